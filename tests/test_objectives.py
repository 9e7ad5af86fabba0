"""Objectives: each gradient is the derivative of its loss, and each minimum is one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain import Dataset, make_line
from gdexplain.by_hand.objectives import LeastSquares, NoisyQuadratic
from gdexplain.theory import gradient_covariance, line_hessian

RNG = np.random.default_rng(0)
WIDE = Dataset(RNG.normal(size=(7, 3)), RNG.normal(size=7), "wide")
OBJECTIVES = {
    "LeastSquares": (LeastSquares(make_line(noise=1.0)), 2),
    "LeastSquares, 3 inputs": (LeastSquares(WIDE), 4),
    "NoisyQuadratic of one example": (NoisyQuadratic([[15, 5], [5, 2]], [[2, 0]]), 2),
    "NoisyQuadratic": (NoisyQuadratic([[2.0, 0.5], [0.5, 1.0]], RNG.normal(size=(5, 2))), 2),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_gradient_is_the_derivative_of_the_loss(name, data):
    objective, size = OBJECTIVES[name]
    theta = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size)))
    value, gradient = objective.value_and_grad(theta)
    h = 1e-5
    around = [[objective.value_and_grad(theta + sign * h * axis)[0] for sign in (1, -1)] for axis in np.eye(size)]
    numerical = [(up - down) / (2 * h) for up, down in around]
    assert isinstance(value, float)
    assert gradient.shape == (size,)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-6 * max(1, value))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradient_vanishes_at_the_minimum_and_the_loss_grows_around_it(name):
    objective, size = OBJECTIVES[name]
    least, gradient = objective.value_and_grad(objective.minimum)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)
    for axis in np.vstack([np.eye(size), -np.eye(size)]):
        assert objective.value_and_grad(objective.minimum + 1e-3 * axis)[0] > least


@pytest.mark.parametrize("data", [make_line(noise=1.0), WIDE], ids=["line", "wide"])
def test_least_squares_is_keras_mse_of_a_linear_neuron_in_keras_weight_order(data):
    theta = RNG.normal(size=data.inputs.shape[1] + 1)
    neuron = keras.layers.Dense(1, dtype="float64")
    neuron.build(data.inputs.shape)
    neuron.set_weights([theta[:-1, np.newaxis], theta[-1:]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.mean_squared_error(data.targets, neuron(data.inputs)))
    gradients = tape.gradient(loss, [weight.value for weight in neuron.trainable_variables])
    ours, gradient = LeastSquares(data).value_and_grad(theta)
    assert ours == pytest.approx(float(loss), rel=1e-14)
    np.testing.assert_allclose(gradient, np.concatenate([part.numpy().ravel() for part in gradients]), rtol=1e-12)


def test_least_squares_is_a_quadratic_with_the_hessian_of_theory():
    data = make_line(noise=1.0)
    line = LeastSquares(data)
    bowl, least = NoisyQuadratic(line_hessian(data), [line.minimum]), line.value_and_grad(line.minimum)[0]
    for theta in RNG.normal(size=(5, 2)):
        (loss, gradient), (height, slope) = line.value_and_grad(theta), bowl.value_and_grad(theta)
        np.testing.assert_allclose(loss, least + height, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-12)


@pytest.mark.parametrize("name", ["LeastSquares", "LeastSquares, 3 inputs", "NoisyQuadratic"])
def test_the_mean_over_single_examples_is_the_full_loss_and_gradient(name):
    objective, size = OBJECTIVES[name]
    theta = np.ones(size)
    singles = [objective.value_and_grad(theta, rows=[row]) for row in range(objective.size)]
    full = objective.value_and_grad(theta)
    np.testing.assert_allclose(np.mean([loss for loss, _ in singles]), full[0], rtol=1e-13)
    np.testing.assert_allclose(np.mean([grad for _, grad in singles], axis=0), full[1], rtol=1e-12)
    twice = objective.value_and_grad(theta, rows=[1, 1])
    np.testing.assert_allclose(twice[1], singles[1][1], rtol=1e-14)


@pytest.mark.parametrize("rows", [[0], [3, 1], [2, 2, 5]])
def test_the_loss_of_a_batch_is_the_loss_of_the_data_set_of_its_rows(rows):
    theta, minima = np.ones(4), RNG.normal(size=(6, 4))
    pairs = [
        (LeastSquares(WIDE), LeastSquares(WIDE.take(rows))),
        (NoisyQuadratic(np.diag([1.0, 2, 3, 4]), minima), NoisyQuadratic(np.diag([1.0, 2, 3, 4]), minima[rows])),
    ]
    for whole, part in pairs:
        for ours, theirs in zip(whole.value_and_grad(theta, rows), part.value_and_grad(theta), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_gradient_noise_of_a_noisy_quadratic_is_the_same_everywhere():
    objective, _ = OBJECTIVES["NoisyQuadratic"]
    for theta in ([0.0, 0.0], [5.0, -3.0]):
        gradients = [objective.value_and_grad(theta, rows=[row])[1] for row in range(objective.size)]
        np.testing.assert_allclose(
            np.cov(np.transpose(gradients), bias=True), objective.gradient_covariance, rtol=1e-12
        )


def test_the_gradient_noise_of_least_squares_is_that_of_theory():
    data = make_line(noise=1.0)
    gradients = [LeastSquares(data).value_and_grad([0.5, 1.0], rows=[row])[1] for row in range(4)]
    expected = gradient_covariance(data, [0.5, 1.0])
    np.testing.assert_allclose(np.cov(np.transpose(gradients), bias=True), expected, rtol=1e-12)


def test_least_squares_names_its_parameters():
    assert LeastSquares(WIDE).layout == (("w", (3, 1)), ("b", (1,)))
    assert LeastSquares(WIDE).size == 7
    assert "design" not in repr(LeastSquares(WIDE))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_theta_of_another_shape_is_an_error(name):
    objective, size = OBJECTIVES[name]
    for wrong in (np.zeros(size + 1), np.zeros((size, 1)), 1.0):
        with pytest.raises(ValueError, match=rf"^theta must have shape \({size},\), not "):
            objective.value_and_grad(wrong)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NoisyQuadratic([[1, 2], [0, 1]], [[0, 0]]), "^hessian must be symmetric"),
        (lambda: NoisyQuadratic([[1, 2]], [[0, 0]]), "^hessian must be square"),
        (lambda: NoisyQuadratic([1, 2], [[0, 0]]), "^hessian must have 2 axes"),
        (lambda: NoisyQuadratic([[1.0]], [[0, 0]]), r"^minima must have shape \(N, 1\)"),
        (lambda: NoisyQuadratic([[1.0]], np.empty((0, 1))), "^minima must have shape"),
        (lambda: LeastSquares(Dataset([[1]], [[0.0, 1.0]])), "^dataset must have one target a row"),
        (lambda: LeastSquares(([[[1.0]]], [2.0])), "^dataset must .* inputs must have shape"),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(make, words):
    with pytest.raises(ValueError, match=words):
        make()
