"""A Keras model seen as arrays, as an objective and by its curvature, and never changed by it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdexplain import Dataset, build_linear, build_mlp, line_hessian, make_line
from gdexplain.by_hand.backprop import trace_backprop
from gdexplain.by_hand.functions import LOSSES
from gdexplain.by_hand.network import flat_parameters
from gdexplain.in_keras import backend
from gdexplain.in_keras.builders import as_layers
from gdexplain.in_keras.objective import KerasObjective, loss_name, sharpness
from tests.versions import rounding


def some_data(rows=7, columns=2, classes=3):
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(rows, columns)), rng.integers(0, classes, rows))


def classifier(dtype="float64", **options):
    return build_mlp([5, 3], inputs=2, seed=0, output_activation="softmax", dtype=dtype, **options)


SPARSE = "sparse_categorical_crossentropy"


def keras_gradient(model, data, **options):
    """The loss of the present weights and its gradient."""
    objective = KerasObjective(model, data, **options)
    return objective.value_and_grad(objective.theta)


# as_layers


def test_a_stack_seen_as_arrays_computes_what_the_model_computes():
    model = keras.Sequential([
        keras.Input((2,), dtype="float64"),
        keras.layers.Flatten(dtype="float64"),
        keras.layers.Dense(4, dtype="float64"),
        keras.layers.Activation("gelu", dtype="float64"),
        keras.layers.Dense(3, activation="leaky_relu", use_bias=False, dtype="float64"),
        keras.layers.Activation("linear", dtype="float64"),
        keras.layers.Dense(2, activation="softmax", dtype="float64"),
    ])  # fmt: skip
    layers = as_layers(model)
    assert [layer.activation for layer in layers] == ["gelu", "leaky_relu", "softmax"]
    np.testing.assert_array_equal(flat_parameters(layers), backend.flat_parameters(model))
    x = some_data().inputs
    trace = trace_backprop(layers, x, np.zeros((7, 2)))
    np.testing.assert_allclose(trace.layers[-1].output, model(x).numpy(), rtol=max(1e-14, rounding("gelu")))


def test_a_functional_chain_is_a_stack_too():
    start = keras.Input((2,))
    end = keras.layers.Dense(1)(keras.layers.Dense(3, activation="tanh")(start))
    assert repr(as_layers(keras.Model(start, end))) == "[Dense(2 -> 3, 'tanh'), Dense(3 -> 1, 'linear')]"


def sequential(*layers):
    return keras.Sequential([keras.Input((2,)), *layers])


def branching():
    start = keras.Input((2,))
    first, second = keras.layers.Dense(2), keras.layers.Dense(2)
    first(start)
    return keras.Model(start, [first.output, second(start)][1:]), keras.Model(
        start, [first.output, second(first.output)]
    )


def shared():
    start, layer = keras.Input((2,)), keras.layers.Dense(2)
    return keras.Model(start, layer(layer(start)))


class Subclass(keras.Model):
    def __init__(self, activation="tanh"):
        super().__init__()
        self.hidden = keras.layers.Dense(
            4, activation=activation, kernel_initializer=keras.initializers.GlorotUniform(0)
        )
        self.end = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(1))

    def call(self, x):
        return self.end(self.hidden(x))


def subclassed(columns=1):
    model = Subclass()
    model(np.ones((1, columns)))
    return model


def frozen_first():
    model = sequential(keras.layers.Dense(1, name="cold"))
    model.layers[0].trainable = False
    return model


def patched():
    model = sequential(keras.layers.Dense(2, name="other"))
    model.layers[0].call = lambda x: 2 * x
    return model


class OwnLoss(keras.Sequential):
    def compute_loss(self, *given, **options):
        return 2 * super().compute_loss(*given, **options)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda: [1], TypeError, r"model must be a keras.Model, not \[1\]"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), ValueError, "model must be built"),
        (lambda: sequential(keras.layers.Flatten()), ValueError, "model must have a Dense layer"),
        (lambda: sequential(keras.layers.Dense(2), keras.layers.Dropout(0.5, name="drop")), ValueError,
         "'drop' is a Dropout"),
        (lambda: sequential(keras.layers.Activation("tanh", name="early")), ValueError, "'early' is a Activation"),
        (lambda: sequential(keras.layers.Dense(2, "tanh"), keras.layers.Activation("relu", name="twice")), ValueError,
         "one activation a layer, but 'twice' is a second one"),
        (lambda: sequential(keras.layers.Dense(2, "selu", name="odd")), ValueError, "activation of layer 'odd' must be"),
        (lambda: sequential(keras.layers.Dense(2, lambda x: x, name="own")), ValueError, "activation of layer 'own'"),
        (lambda: sequential(keras.layers.Dense(2, kernel_regularizer="l2", name="held")), ValueError, "'held' is frozen"),
        (frozen_first, ValueError, "'cold' is frozen"),
        (shared, ValueError, "one chain of layers"),
        (lambda: branching()[1], ValueError, "one chain of layers"),
        (subclassed, ValueError, "Sequential or functional, but Subclass is a subclass"),
        (patched, ValueError, "the call of 'other' is another"),
        (lambda: OwnLoss([keras.Input((2,)), keras.layers.Dense(1)]), ValueError, "own compute_loss, but OwnLoss overrides"),
    ],
)  # fmt: skip
def test_what_is_no_plain_stack_is_refused_by_name(model, error, words):
    with pytest.raises(error, match=words):
        as_layers(model())


def test_a_keras_model_where_layers_belong_is_told_the_way():
    with pytest.raises(TypeError, match="as_layers makes it of a Keras model"):
        trace_backprop(build_linear(), [[1.0]], [[2.0]])


# KerasObjective


def test_an_objective_takes_rows_and_any_theta_and_leaves_the_model_alone():
    model, data = classifier(), some_data()
    before = [weight.copy() for weight in model.get_weights()]
    objective = KerasObjective(model, data, loss=SPARSE)
    theta, rows = objective.theta + 0.1, [4, 0, 4]
    loss, gradient = objective.value_and_grad(theta, rows)
    model.set_weights([part.reshape(w.shape) for part, w in
                       zip(np.split(theta, np.cumsum([w.size for w in before])[:-1]), before, strict=True)])  # fmt: skip
    expected = keras_gradient(model, data.take(rows), loss=SPARSE)
    model.set_weights(before)
    assert loss == objective.value(theta, rows) == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])
    assert objective.size == 7
    assert objective.precision == "float64"
    assert objective.layout[0] == ("dense_1/kernel", (2, 5))
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KerasObjective(build_linear(), some_data()), "dataset must fit the model's inputs: 1 columns"),
        (
            lambda: KerasObjective(classifier(), Dataset(np.ones((2, 2)), np.ones(2))),
            r"y must have the shape of the predictions, \(N, 3\), not \(2, 1\)",
        ),
        (lambda: keras_gradient(build_linear(), make_line(), loss="hinges"), "name of a Keras loss"),
        (lambda: keras_gradient(build_linear(), make_line(), loss="x_from_logits"), "name of a Keras loss"),
        (lambda: keras_gradient(build_linear(), make_line(), loss=[]), r"loss must be one loss, .* not \[\]"),
        (lambda: KerasObjective(build_linear(), make_line()).value([1.0]), "theta must have the model's 2"),
        (lambda: sharpness(build_linear(), make_line(), parameters=np.ones((1, 1, 2))), "parameters must"),
        (
            lambda: sharpness(build_mlp([3, 1], inputs=1, seed=0), make_line(), parameters=np.full(10, 1e30)),
            "parameters must be a point with a finite second derivative",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# sharpness


def test_the_sharpness_of_the_notebook_neuron_is_the_largest_eigenvalue_of_its_hessian():
    expected = np.linalg.eigvalsh(line_hessian(make_line()))[-1]
    assert sharpness(build_linear(dtype="float64"), make_line()) == pytest.approx(expected, rel=1e-12)


def test_lanczos_and_the_whole_hessian_agree_at_every_row_and_twice():
    model, data = build_mlp([6, 6, 3], inputs=2, seed=0, output_activation="softmax", dtype="float64"), some_data()
    objective = KerasObjective(model, data, loss=SPARSE)
    points = objective.theta + np.random.default_rng(0).normal(0, 0.3, (3, len(objective.theta)))
    wholes = [np.array([objective.hessian_product(at, e) for e in np.eye(len(at))]) for at in points]
    measured = sharpness(model, data, loss=SPARSE, parameters=points)
    np.testing.assert_allclose(measured, [np.linalg.eigvalsh(whole)[-1] for whole in wholes], rtol=1e-9)
    np.testing.assert_array_equal(measured, sharpness(model, data, loss=SPARSE, parameters=points))
    single = keras.models.clone_model(model)
    assert sharpness(single, data, loss=SPARSE).shape == ()


def test_float32_keeps_the_sharpness_to_float32s_digits():
    double = build_mlp([8, 3], inputs=2, seed=0, output_activation="softmax", dtype="float64")
    single = build_mlp([8, 3], inputs=2, seed=0, output_activation="softmax")
    single.set_weights(double.get_weights())
    measured = [sharpness(model, some_data(), loss=SPARSE) for model in (single, double)]
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)


def test_a_flat_loss_has_sharpness_0():
    model = build_mlp([12, 1], inputs=2, seed=0, activation="relu", dtype="float64")
    model.set_weights(
        [np.zeros_like(weight) - (weight.ndim == 1) * (len(weight) > 1) for weight in model.get_weights()]
    )
    assert sharpness(model, Dataset(np.zeros((2, 2)), np.zeros(2)), loss="mae") == 0


# float64 and names


def test_a_live_model_in_float64_computes_the_same_with_more_digits():
    model = sequential(keras.layers.Dense(3, lambda x: x * x), keras.layers.BatchNormalization(), keras.layers.Dense(1))
    data = (np.random.default_rng(0).normal(size=(5, 2)), np.ones((5, 1)))
    single = KerasObjective(model, data)
    double = single.in_float64()
    theta = single.theta
    assert (single.precision, double.precision) == ("float32", "float64")
    assert double.value(theta) == pytest.approx(single.value(theta), rel=1e-6)
    assert double.value(theta + 1e-12) != double.value(theta)
    assert single.value(theta + 1e-12) == single.value(theta)
    assert {v.dtype for v in model.variables} == {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert model(data[0]).dtype == "float32"


def test_a_model_that_cannot_compute_in_float64_says_why_and_stays_as_it_is():
    model = sequential(keras.layers.Lambda(lambda x: x * tf.constant(2.0)), keras.layers.Dense(1))
    with pytest.raises(ValueError, match=r"model must compute in float64\. model and loss must have a loss"):
        KerasObjective(model, (np.ones((3, 2)), np.ones((3, 1)))).in_float64()
    assert {v.dtype for v in model.variables} == {layer.compute_dtype for layer in model.layers} == {"float32"}


def own_loss(y, a):
    return keras.ops.mean((y - a) ** 4, axis=-1)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        *[(name, name) for name in LOSSES],
        ("MSE", "mse"),
        ("MeanSquaredError", "mse"),
        ("mean_absolute_error", "mae"),
        (keras.losses.CategoricalCrossentropy(), "categorical_crossentropy"),
        (keras.losses.BinaryCrossentropy(from_logits=True), "binary_crossentropy_from_logits"),
        (keras.losses.BinaryCrossentropy(label_smoothing=0.1), ""),
        (keras.losses.MeanSquaredError(reduction="sum"), ""),
        (keras.losses.Huber(), ""),
        ("huber", ""),
        (own_loss, ""),
    ],
)
def test_a_keras_loss_has_the_name_of_its_twin_by_hand(loss, name):
    assert loss_name(loss) == name


@pytest.mark.parametrize("loss", list(LOSSES))
def test_every_loss_by_hand_is_a_loss_of_keras(loss):
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 3, 7) if loss.startswith("sparse") else rng.uniform(size=(7, 3))
    if loss.startswith("categorical"):
        targets /= targets.sum(axis=1, keepdims=True)
    end = None if loss.endswith("from_logits") else "softmax"
    model = build_mlp([4, 3], inputs=2, seed=0, output_activation=end, dtype="float64")
    data = Dataset(rng.normal(size=(7, 2)), targets)
    value, gradient = keras_gradient(model, data, loss=loss)
    trace = trace_backprop(as_layers(model), data.inputs, data.targets, loss=loss)
    assert value == pytest.approx(trace.loss, rel=1e-14)
    np.testing.assert_allclose(gradient, trace.gradient, atol=1e-14)


def test_a_model_without_a_second_derivative_is_refused_for_its_sharpness_alone():
    @tf.custom_gradient
    def bent(x):
        @tf.custom_gradient
        def slope(upstream):
            def none(*_):
                raise LookupError("no second derivative of bent")

            return 2 * upstream, none

        return 2 * x, slope

    model = sequential(keras.layers.Dense(1), keras.layers.Lambda(bent))
    data = (np.ones((3, 2)), np.ones((3, 1)))
    assert keras_gradient(model, data)[0] > 0
    with pytest.raises(
        ValueError, match=r"must have second derivatives\. TensorFlow says: .*no second derivative of bent"
    ):
        sharpness(model, data)


def test_masks_several_ends_and_the_models_own_loss_count_as_under_evaluate():
    rng = np.random.default_rng(0)
    words = rng.integers(1, 9, (8, 6))
    words[:, 3:] = 0  # padding
    start = keras.Input((6,))
    keras.utils.set_random_seed(2)
    steps = keras.layers.SimpleRNN(3, return_sequences=True)(keras.layers.Embedding(9, 4, mask_zero=True)(start))
    ends = {"tag": keras.layers.Dense(3, "softmax", name="tag")(steps), "sum": keras.layers.Dense(1, name="sum")(steps)}
    model, targets = keras.Model(start, ends), {"tag": words % 3, "sum": rng.normal(size=(8, 6, 1))}
    loss = {"tag": SPARSE, "sum": keras.losses.MeanAbsoluteError(reduction="sum")}
    model.compile("sgd", loss, jit_compile=False)
    expected = model.evaluate(words, targets, batch_size=8, verbose=0)[0]
    assert keras_gradient(model, (words, targets), loss=loss)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("used", [False, True])
def test_a_layer_that_is_frozen_later_asks_for_a_new_objective(used):
    model = build_mlp([3, 1], inputs=1, seed=0)
    objective = KerasObjective(model, make_line())
    value = objective.value(objective.theta) if used else None
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match=r"model must keep the trainable weights .* make a new KerasObjective"):
        objective.value_and_grad(objective.theta)
    assert len(KerasObjective(model, make_line()).theta) == 4
    model.layers[0].trainable = True
    assert value in (None, objective.value(objective.theta))


def test_an_objective_refuses_weights_beyond_its_precision():
    objective = KerasObjective(build_linear(), make_line())
    with pytest.raises(ValueError, match=r"theta\[0\] is 1e\+300, beyond float32"):
        objective.value(np.full(2, 1e300))
