"""Activations and losses are Keras', their derivatives are right, and what does not fit is refused in words."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdexplain.by_hand.functions import ACTIVATIONS, LOSSES
from gdexplain.by_hand.network import Dense, check_stack, check_targets, flat_parameters, loss_at_end
from tests.versions import rounding

SATURATED = [0.0, -0.0, 1e-300, 40.0, -40.0, 800.0, -800.0]
KERAS_LOSSES = {
    "mse": keras.losses.MeanSquaredError,
    "mae": keras.losses.MeanAbsoluteError,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
}


def some_logits(rows=6, units=4):
    return np.random.default_rng(0).normal(0, 3, (rows, units))


def some_targets(loss, shape):
    rng = np.random.default_rng(1)
    if loss.startswith("sparse"):
        return rng.integers(0, shape[1], shape[0])
    targets = rng.uniform(size=shape)
    return targets / targets.sum(axis=1, keepdims=True) if loss.startswith("categorical") else targets


def some_outputs(loss, shape=(6, 4)):
    """Logits, or probabilities of which some are beyond the clipping."""
    if "from_logits" in loss or "crossentropy" not in loss:
        return np.random.default_rng(2).normal(0, 2, shape)
    outputs = np.random.default_rng(2).uniform(0.05, 0.9, shape)
    outputs[0, 0], outputs[1, 1], outputs[2, 2] = 0.0, 1.0, 5e-8
    return outputs


def keras_loss(loss, outputs, targets):
    """The loss and its derivative as Keras and its tape have them, in float64."""
    stem = loss.removesuffix("_from_logits")
    options = {"from_logits": True} if stem != loss else {}
    record = KERAS_LOSSES[stem](dtype="float64", **options)
    a = tf.constant(outputs, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = record(targets, a)
    return value.numpy(), tape.gradient(value, a).numpy()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_and_its_derivative_are_those_of_keras(name):
    z = np.vstack([some_logits(5, 7), np.array([SATURATED])])
    upstream = np.random.default_rng(3).normal(size=z.shape)
    tensor = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        a = keras.activations.get(name)(tensor)
    ours = ACTIVATIONS[name].function(z)
    np.testing.assert_allclose(ours, a.numpy(), rtol=1e-14, atol=max(1e-300, rounding(name)))
    slope = ACTIVATIONS[name].pull_back(upstream, z, ours)
    expected = tape.gradient(a, tensor, upstream).numpy()
    np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=max(1e-15, rounding(name)))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_and_its_derivative_are_those_of_keras(loss):
    outputs = some_outputs(loss)
    targets = some_targets(loss, outputs.shape)
    value, slope = keras_loss(loss, outputs, targets)
    assert LOSSES[loss].function(outputs, targets) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(LOSSES[loss].derivative(outputs, targets), slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name.endswith("from_logits")])
def test_saturated_logits_have_a_finite_loss_and_a_slope_that_does_not_vanish(loss):
    logits = np.array([[800.0, -800.0], [-800.0, 800.0]])
    wrong = np.array([1, 0]) if loss.startswith("sparse") else np.array([[0.0, 1.0], [1.0, 0.0]])
    right = 1 - wrong
    each = 1600.0 if "categorical" in loss else 800.0
    assert LOSSES[loss].function(logits, wrong) == each
    assert LOSSES[loss].function(logits, right) == 0
    share = 0.5 if "categorical" in loss else 0.25
    np.testing.assert_array_equal(LOSSES[loss].derivative(logits, wrong), share * np.sign(logits))
    np.testing.assert_array_equal(LOSSES[loss].derivative(logits, right), 0)


def test_probabilities_are_clipped_at_keras_epsilon_and_have_no_slope_beyond():
    record = LOSSES["binary_crossentropy"]
    assert record.function(np.array([[0.0]]), np.array([[1.0]])) == pytest.approx(-np.log(keras.config.epsilon()))
    assert record.derivative(np.array([[0.0]]), np.array([[1.0]])) == 0
    assert record.derivative(np.array([[1e-7]]), np.array([[1.0]])) == pytest.approx(-1e7)


def test_probabilities_that_sum_to_0_are_refused_where_keras_gives_nan():
    with pytest.raises(ValueError, match=r"outputs must be probabilities .* but row 1 sums to 0: end the stack"):
        LOSSES["categorical_crossentropy"].function(np.array([[0.5, 0.5], [0.0, 0.0]]), np.eye(2))


def test_one_class_alone_in_the_batch_is_no_special_case():
    outputs, labels = some_outputs("sparse_categorical_crossentropy_from_logits"), np.full(6, 2)
    sparse, dense = (LOSSES[f"{stem}categorical_crossentropy_from_logits"] for stem in ("sparse_", ""))
    one_hot = np.eye(4)[labels]
    assert sparse.function(outputs, labels) == dense.function(outputs, one_hot) > 0
    np.testing.assert_array_equal(sparse.derivative(outputs, labels), dense.derivative(outputs, one_hot))


def test_a_layer_is_frozen_and_shows_its_sizes():
    weights = np.ones((2, 3))
    layer = Dense(weights, activation="relu")
    weights[:] = 7
    np.testing.assert_array_equal(layer.weights, 1)
    with pytest.raises(ValueError, match="read-only"):
        layer.weights[0, 0] = 2
    assert repr(layer) == "Dense(2 -> 3, 'relu')"
    assert layer.bias is None
    assert len(layer.arrays) == 1


def test_flat_parameters_stand_in_the_order_of_trainable_variables():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1, use_bias=False)])
    first, bias, second = (weight.astype(float) for weight in model.get_weights())
    expected = np.concatenate([v.numpy().ravel() for v in model.trainable_variables])
    np.testing.assert_array_equal(flat_parameters([Dense(first, bias), Dense(second)]), expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Dense([1.0]), ValueError, r"weights must have 2 axes, not shape \(1,\)"),
        (lambda: Dense(np.ones((0, 2))), ValueError, "weights must have at least one row and one column"),
        (lambda: Dense([[1.0, 2.0]], [0.0]), ValueError, "bias must have 2 entries, one a column of weights, not 1"),
        (lambda: Dense([[1.0]], [0.0], "swish"), ValueError, "activation must be one of 'linear', .*, not 'swish'"),
        (lambda: Dense([[1.0]], [0.0], "softmax"), ValueError, "activation 'softmax' must have at least 2 units"),
        (lambda: check_stack([], [[1.0]]), ValueError, "layers must be a sequence of at least one gdexplain.Dense"),
        (lambda: check_stack(Dense([[1.0]]), [[1.0]]), TypeError, "layers must be a sequence"),
        (lambda: check_stack([np.eye(2)], [[1.0]]), TypeError, r"layers\[0\] must be a gdexplain.Dense"),
        (lambda: check_stack([Dense([[1.0]])], np.ones((0, 1))), ValueError, "inputs must have at least one row"),
        (lambda: check_stack([Dense([[1.0]])], [1.0]), ValueError, "inputs must have 2 axes"),
        (
            lambda: check_stack([Dense([[1.0]])], [[1.0, 2.0]]),
            ValueError,
            r"layers\[0\].weights must have 2 rows, as inputs has 2 columns, not shape \(1, 1\)",
        ),
        (
            lambda: check_stack([Dense([[1.0]]), Dense(np.ones((3, 1)))], [[1.0]]),
            ValueError,
            r"layers\[1\].weights must have 1 rows, as layers\[0\].weights has 1 columns",
        ),
        (
            lambda: check_targets("mse", [[1.0, 2.0]], (1, 1)),
            ValueError,
            r"targets must have the outputs' shape \(1, 1\)",
        ),
        (lambda: check_targets("binary_crossentropy", [[-1.0]], (1, 1)), ValueError, r"targets must lie in \[0, 1\]"),
        (
            lambda: check_targets("categorical_crossentropy", [0, 1], (2, 2)),
            ValueError,
            "Whole-number labels go with 'sparse_categorical_crossentropy'",
        ),
        (
            lambda: check_targets("categorical_crossentropy", [[0.5, 0.6]], (1, 2)),
            ValueError,
            "targets must sum to 1 in each row .* but row 0",
        ),
        (
            lambda: check_targets("sparse_categorical_crossentropy", [0, 2], (2, 2)),
            ValueError,
            "targets must be whole numbers from 0 to 1",
        ),
        (
            lambda: check_targets("sparse_categorical_crossentropy", [0.5, 1], (2, 2)),
            ValueError,
            "targets must be whole numbers",
        ),
        (
            lambda: check_targets("sparse_categorical_crossentropy", np.eye(2), (2, 2)),
            ValueError,
            r"targets must be 2 labels, one a row of inputs, not of shape \(2, 2\)",
        ),
        (lambda: loss_at_end("hinge", "linear"), ValueError, "loss must be one of 'mse', .*, not 'hinge'"),
        (
            lambda: loss_at_end("binary_crossentropy_from_logits", "sigmoid"),
            ValueError,
            "takes logits: the last layer must be 'linear', not 'sigmoid'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_labels_fit_one_output_and_a_column_of_labels_fits_a_sparse_loss():
    assert check_targets("binary_crossentropy", np.array([0, 1]), (2, 1)).shape == (2, 1)
    assert check_targets("sparse_categorical_crossentropy", [[0.0], [1.0]], (2, 2)).tolist() == [0, 1]


@pytest.mark.parametrize("loss", [name for name in LOSSES if LOSSES[name].at_logits])
def test_a_cross_entropy_after_a_squashing_layer_is_taken_of_the_logits(loss):
    assert loss_at_end(loss, "softmax") == (LOSSES[f"{loss}_from_logits"], True)
    assert loss_at_end(loss, "sigmoid") == (LOSSES[f"{loss}_from_logits"], True)
    assert loss_at_end(loss, "tanh") == (LOSSES[loss], False)
    assert loss_at_end("mean_squared_error", "sigmoid") == (LOSSES["mse"], False)
