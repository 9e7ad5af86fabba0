"""The trace is right: it equals Keras' tape, difference quotients and paper, and it tells what it did."""

import dataclasses
import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain import make_line
from gdexplain.by_hand.backprop import loss_function, numerical_gradient, trace_backprop
from gdexplain.by_hand.functions import ACTIVATIONS
from gdexplain.by_hand.network import Dense, flat_parameters
from gdexplain.in_keras import backend
from tests.versions import rounding

HIDDEN = ["linear", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "softmax"]
ENDS = [
    *[(loss, activation) for loss in ("mse", "mae") for activation in HIDDEN],
    *[("binary_crossentropy", activation) for activation in HIDDEN],
    *[("categorical_crossentropy", activation) for activation in ("softmax", "sigmoid")],
    *[("sparse_categorical_crossentropy", activation) for activation in HIDDEN],
    *[
        (f"{stem}_from_logits", activation)
        for stem in ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy")
        for activation in ("linear", "tanh", "gelu")
    ],
]
# A probability that no layer squashed may lie so near 0 or 1 that a gradient has few digits, here as in Keras.
SOUND_ENDS = [end for end in ENDS if not end[0].endswith("crossentropy") or end[1] in ("sigmoid", "softmax")]


def random_problem(rng, *, widths, rows, activations, loss):
    """A stack with random arrays, inputs and fitting targets."""
    sizes = list(itertools.pairwise(widths))
    layers = [
        Dense(rng.normal(0, 1 / np.sqrt(fan_in), (fan_in, units)), rng.normal(0, 0.5, units), activation)
        for (fan_in, units), activation in zip(sizes, activations, strict=True)
    ]
    return layers, rng.normal(size=(rows, widths[0])), fitting_targets(rng, loss, (rows, widths[-1]))


def fitting_targets(rng, loss, shape):
    if loss.startswith("sparse"):
        return rng.integers(0, shape[1], shape[0])
    targets = rng.uniform(size=shape)
    return targets / targets.sum(axis=1, keepdims=True) if loss.startswith("categorical") else targets


def keras_loss(loss):
    """The loss as you give it to compile."""
    stem = loss.removesuffix("_from_logits")
    names = {"mse": "MeanSquaredError", "mae": "MeanAbsoluteError"}
    options = {"from_logits": True} if stem != loss else {}
    return getattr(keras.losses, names.get(stem, stem.title().replace("_", "")))(**options)


def keras_gradient(layers, x, y, loss):
    """What Keras itself computes: the loss of a compiled float64 model, and its gradient by GradientTape."""
    float64 = {"dtype": "float64"}
    model = keras.Sequential([keras.Input(x.shape[1:], **float64)])
    for layer in layers:
        options = {"use_bias": layer.bias is not None, **float64}
        model.add(keras.layers.Dense(layer.weights.shape[1], layer.activation, **options))
    model.set_weights([array for layer in layers for array in layer.arrays])
    with backend.floatx("float64"):  # or else Keras computes the loss of a float64 model in float32
        model.compile(loss=keras_loss(loss))
        with tf.GradientTape() as tape:
            value = model.compute_loss(x=x, y=tf.constant(y), y_pred=model(x, training=True))
        gradient = tape.gradient(value, model.trainable_variables, unconnected_gradients="zero")
    return value.numpy(), np.concatenate([part.numpy().ravel() for part in gradient])


def relative_error(a, b):
    """The largest difference, over the largest entry."""
    return np.abs(a - b).max() / max(np.abs(a).max(), np.abs(b).max(), 1e-300)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_the_trace_equals_gradient_tape_the_complex_step_and_central_differences(data):
    loss, last = data.draw(st.sampled_from(SOUND_ENDS), label="end")
    depth = data.draw(st.integers(1, 4), label="depth")
    least = 2 if last == "softmax" or "categorical" in loss else 1
    widths = [data.draw(st.integers(1, 4)), *(data.draw(st.integers(2, 5)) for _ in range(depth - 1))]
    widths.append(data.draw(st.integers(least, 4)))
    activations = [*(data.draw(st.sampled_from(HIDDEN)) for _ in range(depth - 1)), last]
    rows = data.draw(st.integers(1, 9), label="rows")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    layers, x, y = random_problem(rng, widths=widths, rows=rows, activations=activations, loss=loss)

    trace = trace_backprop(layers, x, y, loss=loss)
    value, gradient = keras_gradient(layers, x, y, loss)
    assert trace.loss == pytest.approx(value, rel=max(1e-12, rounding(*activations)))
    assert relative_error(trace.gradient, gradient) <= max(1e-12, rounding(*activations))

    function, theta = loss_function(layers, x, y, loss=loss), flat_parameters(layers)
    assert relative_error(trace.gradient, numerical_gradient(function, theta, method="complex")) <= 1e-12
    assert relative_error(trace.gradient, numerical_gradient(function, theta)) <= 1e-7


@pytest.mark.parametrize(("loss", "activation"), ENDS)
def test_every_loss_after_every_activation_is_keras_own(loss, activation):
    rng = np.random.default_rng(5)
    layers, x, y = random_problem(rng, widths=[3, 4, 3], rows=5, activations=["tanh", activation], loss=loss)
    value, gradient = keras_gradient(layers, x, y, loss)
    trace = trace_backprop(layers, x, y, loss=loss)
    assert trace.loss == pytest.approx(value, rel=max(1e-13, rounding(activation)))
    assert relative_error(trace.gradient, gradient) <= max(1e-12, rounding(activation))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
def test_probabilities_of_no_squashing_layer_are_divided_by_their_sum_as_keras_does(activation):
    rng = np.random.default_rng(0)
    layers = [Dense(rng.uniform(0.1, 1, (2, 3)), rng.uniform(0.1, 1, 3), activation)]
    x, y = rng.uniform(0.1, 1, (4, 2)), fitting_targets(rng, "categorical_crossentropy", (4, 3))
    value, gradient = keras_gradient(layers, x, y, "categorical_crossentropy")
    trace = trace_backprop(layers, x, y, loss="categorical_crossentropy")
    assert trace.loss == pytest.approx(value, rel=1e-13)
    assert relative_error(trace.gradient, gradient) <= 1e-12


def test_a_layer_without_a_bias_has_no_place_in_the_gradient():
    rng = np.random.default_rng(0)
    layers = [Dense(rng.normal(size=(2, 3)), None, "tanh"), Dense(rng.normal(size=(3, 1)), [0.1])]
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 1))
    trace = trace_backprop(layers, x, y)
    assert trace.layers[0].d_bias is None
    assert trace.gradient.shape == (10,)
    assert relative_error(trace.gradient, keras_gradient(layers, x, y, "mse")[1]) <= 1e-14


def test_every_intermediate_is_what_paper_says():
    w1, b1, w2, b2, x, t = 0.5, 0.1, -1.5, 0.2, 2.0, 1.0
    trace = trace_backprop([Dense([[w1]], [b1], "tanh"), Dense([[w2]], [b2])], [[x]], [[t]])
    hidden, end = trace.layers
    z1, a1 = w1 * x + b1, np.tanh(w1 * x + b1)
    d_a2 = 2 * (w2 * a1 + b2 - t)
    delta = d_a2 * w2 * (1 - a1**2)
    assert (hidden.inputs, hidden.pre_activation, hidden.output) == (x, z1, a1)
    assert (end.inputs, end.output, end.d_output, end.delta) == (a1, w2 * a1 + b2, d_a2, d_a2)
    assert hidden.d_output.item() == pytest.approx(d_a2 * w2, rel=1e-15)
    assert hidden.delta.item() == pytest.approx(delta, rel=1e-15)
    np.testing.assert_allclose(trace.gradient, [delta * x, delta, d_a2 * a1, d_a2], rtol=1e-15)


@pytest.mark.parametrize("z", [-800.0, -40.0, 40.0, 800.0])
def test_a_saturated_sigmoid_under_its_own_cross_entropy_still_learns(z):
    layers, x, t = [Dense([[z]], [0.0], "sigmoid")], np.array([[1.0]]), np.array([[float(z < 0)]])
    trace = trace_backprop(layers, x, t, loss="binary_crossentropy")
    value, gradient = keras_gradient(layers, x, t, "binary_crossentropy")
    assert trace.loss == value == pytest.approx(abs(z))
    np.testing.assert_allclose(trace.gradient, gradient, rtol=1e-15)
    np.testing.assert_allclose(trace.gradient, np.sign(z), rtol=1e-15)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [0.0, 1e3])
def test_zero_inputs_and_saturated_layers_are_finite_and_keras_own(activation, scale):
    rng = np.random.default_rng(0)
    layers = [Dense(rng.normal(0, 10, (2, 3)), np.zeros(3), activation), Dense(rng.normal(size=(3, 2)), np.zeros(2))]
    x, y = scale * rng.normal(size=(1, 2)), rng.normal(size=(1, 2))
    trace = trace_backprop(layers, x, y)
    value, gradient = keras_gradient(layers, x, y, "mse")
    assert trace.loss == pytest.approx(value, rel=1e-13)
    assert relative_error(trace.gradient, gradient) <= 1e-12


def test_a_batch_of_one_class_drives_all_logits_to_it():
    layers = [Dense(np.zeros((2, 3)), np.zeros(3), "softmax")]
    trace = trace_backprop(layers, np.ones((5, 2)), np.full(5, 1), loss="sparse_categorical_crossentropy")
    assert trace.loss == pytest.approx(np.log(3))
    np.testing.assert_allclose(trace.layers[0].d_bias, [1 / 3, -2 / 3, 1 / 3])


def test_a_trace_is_read_only_and_does_not_see_later_changes():
    x = np.ones((2, 1))
    trace = trace_backprop([Dense([[1.0]], [0.0], "tanh")], x, [[0.0], [1.0]])
    x[:] = 9
    np.testing.assert_array_equal(trace.layers[0].inputs, 1)
    with pytest.raises(ValueError, match="read-only"):
        trace.layers[0].delta[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.loss = 0
    assert repr(trace) == "BackpropTrace('mse': net 1 -> 1, 2 rows, loss 0.3184)"
    assert repr(trace.layers[0]) == "LayerTrace(1 -> 1, 'tanh', |delta| 0.3352)"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: trace_backprop([Dense([[1.0]])], [[1.0]], [[1.0, 2.0]]), ValueError, "targets must have the outputs'"),
        (lambda: trace_backprop([Dense([[1.0]])], [[1.0]], [[1.0]], loss="l2"), ValueError, "loss must be one of"),
        (lambda: trace_backprop([Dense([[1e200]])], [[1e200]], [[1.0]]), ValueError, "leaves the range of float64"),
        (lambda: numerical_gradient(np.sum, [1.0], method="secant"), ValueError, "method must be one of"),
        (lambda: numerical_gradient(np.sum, [1.0], h=0), ValueError, "h must be a finite number above 0"),
        (lambda: numerical_gradient(np.sum, [1.0], h=1e-20), ValueError, "h must be large enough to change theta"),
        (lambda: numerical_gradient(lambda _: np.inf, [1.0]), ValueError, "function near theta .* finite"),
        (
            lambda: numerical_gradient(lambda t: float(t[0].real), [1.0], method="complex"),
            TypeError,
            "function must be one that returns a complex number for a complex theta",
        ),
    ],
)
def test_bad_input_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def smooth(theta):
    return np.exp(theta[0]) * np.sin(theta[1]) + theta[0] ** 3 * theta[1]


def smooth_gradient(theta):
    a, b = theta
    return np.array([np.exp(a) * np.sin(b) + 3 * a**2 * b, np.exp(a) * np.cos(b) + a**3])


@pytest.mark.parametrize(("method", "order"), [("forward", 1), ("central", 2)])
def test_the_error_of_a_difference_quotient_falls_with_its_order(method, order):
    theta, steps = np.array([0.7, 1.3]), np.array([1e-1, 1e-2, 1e-3])
    errors = [
        np.abs(numerical_gradient(smooth, theta, method=method, h=h) - smooth_gradient(theta)).max() for h in steps
    ]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.05)


@pytest.mark.parametrize(("method", "tolerance"), [("forward", 1e-7), ("central", 1e-9), ("complex", 1e-15)])
def test_the_default_step_is_near_the_best_one(method, tolerance):
    theta = np.array([0.7, 1.3])
    error = relative_error(numerical_gradient(smooth, theta, method=method), smooth_gradient(theta))
    assert error <= tolerance
    if method != "complex":
        tried = [relative_error(numerical_gradient(smooth, theta, method=method, h=10.0**-k), smooth_gradient(theta))
                 for k in range(2, 13)]  # fmt: skip
        assert error <= 30 * min(tried)


def test_the_step_grows_with_the_parameter():
    assert numerical_gradient(lambda t: t[0] ** 2, [1e8])[0] == pytest.approx(2e8, rel=1e-9)


# the telling


def tell(layers, x, y, loss="mse", **options):
    return trace_backprop(layers, x, y, loss=loss).explain(**options)


def by_name(steps):
    return {step.name: step for step in steps}


def small_net():
    return [Dense([[0.5, -1.0]], [0.0, 0.1], "tanh"), Dense([[1.0], [2.0]], [0.0])]


def test_a_chain_is_told_with_its_numbers_put_in():
    steps = by_name(tell(small_net(), [[1.0]], [[2.0]]))
    assert steps["dL/dw1[2]"].text == (
        "dL/dw1[2] = dL/da1[2] · da1[2]/dz1[2] · dz1[2]/dw1[2] = -11.88 × 0.4869 × 1 = -5.786"
    )
    assert steps["L"].text == "L = (a2 - t)² = (-0.9705 - 2)² = 8.824"
    assert steps["L"].latex == "L = (a^{(2)} - t)^2 = (-0.9705 - 2)^2 = 8.824"
    assert steps["dL/dw2[2]"].latex == (
        r"\frac{\partial L}{\partial w^{(2)}_{2}} = \frac{\partial L}{\partial a^{(2)}} \cdot "
        r"\frac{\partial a^{(2)}}{\partial z^{(2)}} \cdot \frac{\partial z^{(2)}}{\partial w^{(2)}_{2}} "
        r"= -5.941 \times 1 \times (-0.7163) = 4.255"
    )


def test_fan_in_is_told_as_a_sum_of_paths():
    layers = [Dense([[0.5]], [0.0], "tanh"), Dense([[1.0, -2.0]], [0.0, 0.0])]
    step = by_name(tell(layers, [[1.0]], [[2.0, 1.0]]))["dL/da1"]
    assert "dL/dz2[1] · dz2[1]/da1 + dL/dz2[2] · dz2[2]/da1" in step.text


def test_several_rows_are_told_as_a_sum_over_the_rows():
    data = make_line()
    story = tell([Dense([[0.0]], [0.0])], data.inputs, data.targets)
    steps = by_name(story)
    assert steps["dL/dw"].text.endswith("= -1 × 1 + (-2) × 2 + (-3) × 3 + (-4) × 4 = -30")
    assert steps["L"].text == "L = mean of (a - t)² = ((0 - 2)² + (0 - 4)² + (0 - 6)² + (0 - 8)²) / 4 = 30"
    assert r"L &= \operatorname{mean} (a - t)^2 = " in story.latex


@pytest.mark.parametrize(("loss", "activation"), [*ENDS, ("mean_squared_error", "tanh")])
def test_every_step_ends_in_the_number_that_the_trace_holds(loss, activation):
    rng = np.random.default_rng(3)
    layers, x, y = random_problem(rng, widths=[2, 2, 3], rows=2, activations=["gelu", activation], loss=loss)
    trace = trace_backprop(layers, x, y, loss=loss)
    steps = by_name(trace.explain())
    assert steps["L"].value == trace.loss
    for place, layer in enumerate(trace.layers, start=1):
        for letter, array in (("z", layer.pre_activation), ("a", layer.output)):
            for (n, j), value in np.ndenumerate(array):
                assert steps[f"{letter}{place}[{n + 1},{j + 1}]"].value == value
        for (n, j), value in np.ndenumerate(layer.delta):
            assert steps[f"dL/dz{place}[{n + 1},{j + 1}]"].value == value
        for (i, j), value in np.ndenumerate(layer.d_weights):
            assert steps[f"dL/dw{place}[{i + 1},{j + 1}]"].value == value
        for (j,), value in np.ndenumerate(layer.d_bias):
            assert steps[f"dL/db{place}[{j + 1}]"].value == value
    for step in steps.values():
        assert step.text.startswith(f"{step.name} = ")
        assert step.latex.count("{") == step.latex.count("}")
        assert step.text.endswith(f"= {step.value + 0.0:.4g}")


def evaluate(numbers):
    """Work out a step's numbers as a reader would."""
    names = {"log": np.log, "exp": np.exp, "sign": np.sign}
    python = numbers.replace("×", "*").replace("²", "**2").replace("2 (", "2 * (")
    while "|" in python:
        python = python.replace("|", "abs(", 1).replace("|", ")", 1)
    return eval(python, names)


@pytest.mark.parametrize(("loss", "activation"), [end for end in ENDS if end[1] != "softmax" or "cross" in end[0]])
def test_the_numbers_of_a_step_work_out_to_its_result(loss, activation):
    rng = np.random.default_rng(8)
    layers, x, y = random_problem(rng, widths=[2, 2, 3], rows=2, activations=["tanh", activation], loss=loss)
    for step in tell(layers, x, y, loss):
        *_, numbers, _ = step.text.split(" = ")
        named = any(f"{name}(" in numbers for name in [*ACTIVATIONS, loss])
        if "…" not in numbers and not named and not re.search(r"[adz]\d", numbers):
            assert evaluate(numbers) == pytest.approx(step.value, rel=2e-2, abs=2e-3), step.text


def test_a_long_sum_keeps_its_ends():
    text = by_name(tell([Dense(np.ones((20, 1)), [0.0])], np.ones((1, 20)), [[0.0]]))["z"].text
    assert "w[4] · x[4] + … + b = 1 × 1" in text


def test_a_stack_without_biases_is_told_without_them():
    assert "b" not in str(tell([Dense([[2.0]], None, "tanh")], [[1.0]], [[0.0]]))


def test_the_story_prints_one_step_a_line_and_is_one_block_of_latex():
    story = tell(small_net(), [[1.0]], [[2.0]])
    assert str(story) == repr(story) == "\n".join(str(step) for step in story)
    assert story.latex.startswith(
        "\\begin{aligned}\nz^{(1)}_{1} &= w^{(1)}_{1} \\cdot x + b^{(1)}_{1} = 0.5 \\times 1 + 0 = 0.5"
    )
    assert story.latex.count("&=") == len(story)
    with pytest.raises(dataclasses.FrozenInstanceError):
        story[0].value = 1


def test_a_small_number_is_a_power_of_ten_in_latex():
    steps = by_name(tell([Dense([[1e-5]], [0.0], "leaky_relu")], [[-1.0]], [[0.0]]))
    assert steps["z"].latex.endswith(r"= -1 \cdot 10^{-5}")
    assert r"\operatorname{leaky\_relu}(z)" in steps["a"].latex


def test_a_net_too_large_to_read_is_refused_and_the_limit_is_a_whole_number():
    with pytest.raises(ValueError, match="limit must be at least 19 to tell a net and data of this size, not 18"):
        tell(small_net(), [[1.0]], [[2.0]], limit=18)
    assert len(tell(small_net(), [[1.0]], [[2.0]], limit=19)) == 20
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, not 0"):
        tell(small_net(), [[1.0]], [[2.0]], limit=0)


def test_a_cross_entropy_is_told_by_its_name_and_its_slope_at_the_logits_in_numbers():
    loss = "binary_crossentropy"
    steps = by_name(tell([Dense([[2.0]], [0.0], "sigmoid")], [[1.0]], [[1.0]], loss))
    assert steps["L"].text == "L = binary_crossentropy(z, t) = 0.1269"
    assert steps["dL/dz"].text == "dL/dz = (a - t) = (0.8808 - 1) = -0.1192"
    steps = by_name(tell([Dense([[2.0]], [0.0])], [[1.0]], [[1.0]], f"{loss}_from_logits"))
    assert steps["dL/da"].text == "dL/da = (sigmoid(a) - t) = (0.8808 - 1) = -0.1192"
    step = by_name(tell([Dense([[0.5]], [0.0])], [[1.0]], [[1.0]], loss))["dL/da"]
    assert step.text == "dL/da = -2"
