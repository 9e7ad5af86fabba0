"""A right gradient is called right, a wrong one wrong, and the model is left alone."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdexplain import Dataset, build_linear, build_mlp, make_line
from gdexplain.by_hand.network import Dense
from gdexplain.in_keras.builders import as_layers
from gdexplain.in_keras.gradient_check import GradientReport, check_gradients

SPARSE = "sparse_categorical_crossentropy"
RIGHT = "Right: the gradients agree to 1e-7 or better."


def some_data(rows=7, columns=2, classes=3):
    rng = np.random.default_rng(0)
    return Dataset(rng.normal(size=(rows, columns)), rng.integers(0, classes, rows))


def test_a_stack_as_arrays_is_checked_against_both_quotients():
    layers = as_layers(build_mlp([5, 3], inputs=2, seed=0, output_activation="softmax", dtype="float64"))
    report = check_gradients(layers, some_data(), loss=SPARSE)
    assert set(report.differences) == {"trace vs central differences", "trace vs complex step"}
    assert report.differences["trace vs complex step"] < 1e-14
    assert report.largest < 1e-8
    assert report.verdict == RIGHT
    assert report.checked == report.parameters == 33


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dense_keras_model_is_checked_four_ways_in_float64(dtype):
    model = build_mlp([5, 3], inputs=2, seed=0, output_activation="softmax", dtype=dtype)
    model.compile(loss=SPARSE)
    report = check_gradients(model, some_data())
    assert list(report.differences) == [
        "trace vs GradientTape",
        "GradientTape vs central differences",
        "trace vs central differences",
        "trace vs complex step",
    ]
    assert report.differences["trace vs GradientTape"] < 1e-14
    assert report.verdict == RIGHT
    assert report.precision == "float64"
    assert report.notes == (("Compared in float64, by the float32 model itself.",) if dtype == "float32" else ())


def test_any_other_model_is_checked_by_central_differences_on_some_parameters():
    model = keras.Sequential([
        keras.Input((4, 4, 1)),
        keras.layers.Conv2D(8, 2, activation="tanh"),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, activation="softmax", kernel_regularizer="l2"),
    ])  # fmt: skip
    before = model.get_weights()
    report = check_gradients(model, some_data(columns=16), loss=SPARSE, at_most=20)
    assert set(report.differences) == {"GradientTape vs central differences"}
    assert report.verdict == RIGHT
    assert (report.checked, report.parameters) == (20, 8 * 5 + 8 * 9 * 3 + 3)
    assert "'conv2d" in report.notes[-1]
    assert "is a Conv2D" in report.notes[-1]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@tf.custom_gradient
def slipped_tanh(x):
    y = tf.tanh(x)
    return y, lambda upstream: upstream * (1 - tf.tanh(y) ** 2)


def test_a_derivative_taken_after_the_activation_is_called_wrong():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, slipped_tanh), keras.layers.Dense(3, "softmax")])
    report = check_gradients(model, some_data(), loss=SPARSE)
    assert report.verdict.startswith("Wrong, very probably: the gradients differ by ")
    assert report.worst.split("/")[1].split("[")[0] in {"kernel", "bias"}
    assert report.worst.split("/")[0] == model.layers[0].name


class Subclass(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.hidden = keras.layers.Dense(4, activation, kernel_initializer=keras.initializers.GlorotUniform(0))
        self.end = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(1))

    def call(self, x):
        return self.end(self.hidden(x))


@pytest.mark.parametrize(("activation", "word"), [("tanh", RIGHT), (slipped_tanh, "Wrong, very probably")])
def test_a_subclass_is_checked_in_float64_too(activation, word):
    model = Subclass(activation)
    model(np.ones((1, 1)))
    report = check_gradients(model, make_line())
    assert report.precision == "float64"
    assert report.notes[-1].endswith("Sequential or functional, but Subclass is a subclass.")
    assert report.verdict.startswith(word)


@tf.custom_gradient
def wrong_by_a_fifth(x):
    return tf.tanh(x), lambda upstream: 1.2 * upstream * (1 - tf.tanh(x) ** 2)


def only_float32(x):
    return x * tf.constant(2.0)


def rounding(x):
    return tf.cast(tf.cast(x, "float32"), x.dtype)


@pytest.mark.parametrize("insists", [only_float32, rounding])
@pytest.mark.parametrize(
    ("activation", "word"), [("tanh", "Right, as far as"), (wrong_by_a_fifth, "Wrong, very probably")]
)
def test_a_model_that_insists_on_float32_is_checked_in_float32(insists, activation, word):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4, activation), keras.layers.Lambda(insists), keras.layers.Dense(1)]
    report = check_gradients(keras.Sequential([keras.Input((1,)), *layers]), make_line())
    assert report.precision == "float32"
    assert report.notes[0].startswith("Compared in float32, whose floor is near 5e-5: ")
    assert report.verdict.startswith(word)


def test_a_kink_at_the_point_itself_is_named_and_is_no_mistake():
    layers = [Dense(np.ones((2, 3)), np.zeros(3), "relu"), Dense(np.ones((3, 1)), [0.5])]
    report = check_gradients(layers, Dataset(np.zeros((2, 2)), np.zeros(2)))
    assert report.largest < 1e-7
    assert report.kinks == tuple(f"layers[0].bias[{unit}]" for unit in range(3))
    assert report.verdict.startswith(f"{RIGHT} The loss has a kink (relu, mae, max-pooling)")


def kinked(name):
    """A model, data and loss whose gradient is right and whose loss has a kink at the present weights."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    if name == "mae at an exact fit":
        return build_linear(2.0, 0.0), make_line(), "mae"
    if name == "max-pooling of equal pixels":
        layers = [
            keras.layers.Conv1D(2, 2),
            keras.layers.MaxPooling1D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
        model = keras.Sequential([keras.Input((6, 1)), *layers])
        model.layers[0].set_weights([np.full((2, 1, 2), 0.5), np.zeros(2)])
        x = np.array([[0, 1, 0, 1, 0, 1], [1, 0, 1, 0, 2, 0.0]])
        return model, (x[..., np.newaxis], rng.normal(size=(2, 1))), "mse"
    model = build_mlp([60, 1], inputs=2, activation="relu", seed=0)  # so many kinks that some lie within a step
    return model, (rng.normal(size=(3000, 2)), rng.normal(size=(3000, 1))), "mae"


@pytest.mark.parametrize("name", ["mae at an exact fit", "max-pooling of equal pixels", "180,000 kinks"])
def test_a_right_model_with_kinks_is_called_right_and_the_kinks_by_name(name):
    model, data, loss = kinked(name)
    report = check_gradients(model, data, loss=loss)
    assert report.verdict.startswith(RIGHT)
    assert report.precision == "float64"
    assert report.kinks


def test_a_mistake_is_found_beside_a_kink():
    layers = [keras.layers.Dense(4, slipped_tanh), keras.layers.Dense(4, "relu", bias_initializer="zeros")]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    data = Dataset(np.vstack([np.zeros((1, 2)), np.random.default_rng(0).normal(size=(5, 2))]), np.ones(6))
    assert check_gradients(model, data).verdict.startswith("Wrong, very probably")


def test_a_layer_that_draws_numbers_anew_is_refused_and_a_seeded_one_is_checked():
    def noisy(draw):
        return keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x * draw(tf.shape(x))), keras.layers.Dense(1)])  # fmt: skip

    with pytest.raises(ValueError, match="model must give one loss for the same weights"):
        check_gradients(noisy(tf.random.uniform), make_line())
    report = check_gradients(noisy(lambda shape: tf.cast(keras.random.uniform(shape), "float32")), make_line())
    assert report.verdict == "Right, as far as float32 can tell."


@pytest.mark.parametrize("floatx", ["float16", "bfloat16"])
def test_a_float32_model_under_a_coarse_floatx_is_called_right(floatx):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    data, before = some_data(), keras.config.floatx()
    keras.config.set_floatx(floatx)  # which the loss alone is computed in
    try:
        report = check_gradients(model, (data.inputs, data.inputs[:, :1]))
    finally:
        keras.config.set_floatx(before)
    assert report.verdict == RIGHT, report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_the_minimum_rounding_is_not_called_a_mistake(dtype):
    assert check_gradients(build_linear(2, 0, dtype=dtype), make_line()).verdict == RIGHT


@pytest.mark.parametrize(
    ("errors", "precision", "words"),
    [
        ([1e-8], "float64", RIGHT),
        ([1e-5], "float64", "Uncomfortable: 1.0e-05 at w"),
        ([1e-3], "float64", "Wrong, very probably: the gradients differ by 1.0e-03 at w"),
        ([0.5], "float64", "Wrong, very probably: the gradients differ by 5.0e-01 at w"),
        ([1e-3], "float32", "Right, as far as float32 can tell"),
        ([0.5], "float32", "Wrong, very probably"),
    ],
)
def test_the_verdict_follows_its_thresholds(errors, precision, words):
    pairs = {"GradientTape vs central differences": errors[0]}
    report = GradientReport("net", 1.0, pairs, "w", 1, 1, precision)
    assert re.match(words, report.verdict)


def test_a_report_prints_its_table_its_notes_and_its_verdict():
    lines = repr(check_gradients(build_linear(), make_line())).split("\n")
    assert lines[0] == "linear: loss 30, 2 of 2 parameters, float64"
    assert lines[1].startswith("  trace vs GradientTape                ")
    assert lines[-2:] == ["  Compared in float64, by the float32 model itself.", f"  {RIGHT}"]


def test_a_layer_alone_and_no_layers_are_refused_in_words():
    with pytest.raises(TypeError, match=r"model must be a keras\.Model, not Dense"):
        check_gradients(Dense([[1.0]]), make_line())
    with pytest.raises(ValueError, match="layers must be a sequence"):
        check_gradients([], make_line())
