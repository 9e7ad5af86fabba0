"""What theory predicts is what runs do; and its figures are those of the curriculum."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain import Dataset, batch_order, make_line, theory
from gdexplain.by_hand import rules, schedules
from gdexplain.by_hand.descent import descend
from gdexplain.by_hand.objectives import LeastSquares, NoisyQuadratic

LINE = make_line()
HESSIAN = theory.line_hessian(LINE)
NOISY = make_line(noise=1.0, seed=2)


def random_hessian(seed, size=3):
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return basis * np.geomspace(0.2, 4, size) @ basis.T


def tail_rate(run, minimum, updates):
    """The factor by which the last `updates` updates shrank the distance, per update."""
    distance = np.linalg.norm(run.parameters - minimum, axis=1)
    return (distance[-1] / distance[-1 - updates]) ** (1 / updates)


# ---- Gradient descent ----


def test_the_hessian_of_the_notebook_s_line():
    np.testing.assert_array_equal(HESSIAN, [[15, 5], [5, 2]])
    flat, steep = np.linalg.eigvalsh(HESSIAN)
    assert (round(steep, 8), round(flat, 8), round(steep / flat, 5)) == (16.70060973, 0.29939027, 55.78207)


def test_the_hessian_is_the_slope_of_the_gradient():
    data = Dataset(np.random.default_rng(0).normal(size=(6, 3)), np.arange(6.0))
    objective, hessian = LeastSquares(data), theory.line_hessian(data)
    at_zero = objective.value_and_grad(np.zeros(4))[1]
    slopes = [objective.value_and_grad(axis)[1] - at_zero for axis in np.eye(4)]
    np.testing.assert_allclose(hessian, slopes, rtol=0, atol=1e-13)


def test_standardised_inputs_make_the_hessian_2i_and_rate_one_half_arrives_in_one_step():
    x = (LINE.inputs - LINE.inputs.mean()) / LINE.inputs.std()
    data = Dataset(x, LINE.targets)
    np.testing.assert_allclose(theory.line_hessian(data), 2 * np.eye(2), atol=1e-15)
    assert theory.optimal_learning_rate(theory.line_hessian(data)) == pytest.approx(0.5, rel=1e-15)
    run = descend(LeastSquares(data), rules.gradient_descent(0.5), [3.0, -4.0], steps=2)
    assert run.loss[1] < 1e-28


def test_the_rates_of_the_notebook_s_line():
    assert round(theory.max_stable_learning_rate(HESSIAN), 6) == 0.119756
    best = theory.optimal_learning_rate(HESSIAN)
    assert best == pytest.approx(2 / 17, rel=1e-14)
    assert round(theory.contraction_rate(HESSIAN, best), 6) == 0.964778


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 50), st.floats(0.05, 1.5))
def test_no_rate_contracts_better_than_the_optimal_one_and_the_limit_contracts_not_at_all(seed, factor):
    hessian = random_hessian(seed)
    best = theory.optimal_learning_rate(hessian)
    assert theory.contraction_rate(hessian, factor * best) >= theory.contraction_rate(hessian, best) - 1e-14
    limit = theory.max_stable_learning_rate(hessian)
    assert theory.contraction_rate(hessian, limit) == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("learning_rate", [0.02, 0.3, 0.49])
def test_the_measured_rate_of_gradient_descent_is_the_predicted_one(learning_rate):
    hessian = random_hessian(1)
    run = descend(NoisyQuadratic(hessian, [np.zeros(3)]), rules.gradient_descent(learning_rate), [1, 2, 3], steps=3000)
    assert tail_rate(run, np.zeros(3), 200) == pytest.approx(theory.contraction_rate(hessian, learning_rate), abs=1e-12)


# ---- Momentum ----


def iteration_matrix(hessian, learning_rate, beta, nesterov):
    """One update of (theta, velocity) as a matrix, column by column, from the rule itself."""
    size, rule = len(hessian), rules.momentum(learning_rate, beta, nesterov=nesterov)
    columns = []
    for column in np.eye(2 * size):
        theta, velocity = column[:size], column[size:]
        step, state = rule.update(hessian @ theta, rule.init(theta)._replace(velocity=velocity), theta)
        columns.append(np.concatenate([theta + step, state.velocity]))
    return np.array(columns).T


def radius(hessian, learning_rate, beta, *, nesterov=False):
    """The factor by which the rule's own matrix shrinks the distance in the long run."""
    return np.abs(np.linalg.eigvals(iteration_matrix(hessian, learning_rate, beta, nesterov))).max()


def test_the_optimal_momentum_of_the_notebook_s_line():
    best = theory.optimal_momentum(HESSIAN)
    assert [round(value, 6) for value in best] == [0.186288, 0.583448, 0.763837]
    assert best.rate == pytest.approx(best.beta**0.5, rel=1e-15)
    measured = radius(HESSIAN, best.learning_rate, best.beta)
    # Where two eigenvalues meet, rounding moves them by its square root.
    assert measured == pytest.approx(best.rate, abs=1e-7)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.5, 1.5), st.floats(0.5, 1.5))
def test_no_momentum_beats_the_optimal_one(rate_factor, beta_factor):
    best = theory.optimal_momentum(HESSIAN)
    other = radius(HESSIAN, rate_factor * best.learning_rate, beta_factor * best.beta)
    assert other >= best.rate - 1e-7


def test_momentum_is_still_outside_1e6_after_71_updates_and_gradient_descent_after_404():
    """The distance to the minimum (2, 0) from the start (0, 0), each rule at its own optimum."""
    best = theory.optimal_momentum(HESSIAN)
    outside = []
    for rule in (
        rules.momentum(best.learning_rate, best.beta),
        rules.gradient_descent(theory.optimal_learning_rate(HESSIAN)),
    ):
        run = descend(LeastSquares(LINE), rule, [0, 0], steps=500)
        distance = np.linalg.norm(run.parameters - [2, 0], axis=1)
        outside.append(int(np.flatnonzero(distance >= 1e-6)[-1]))
    assert outside == [71, 404]


@pytest.mark.parametrize(("beta", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])
def test_runs_converge_below_the_stable_limit_of_momentum_and_explode_above_it(beta, nesterov):
    limit = theory.max_stable_learning_rate(HESSIAN, beta=beta, nesterov=nesterov)
    assert radius(HESSIAN, limit, beta, nesterov=nesterov) == pytest.approx(1, abs=1e-12)
    for factor, converges in ((0.99, True), (1.01, False)):
        rule = rules.momentum(factor * limit, beta, nesterov=nesterov)
        run = descend(LeastSquares(LINE), rule, [0, 0], steps=4000)
        assert (run.loss[-1] < 1e-6) == converges


# ---- Mini-batches ----


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4])
def test_the_covariance_of_a_batch_gradient_is_that_of_all_batches_enumerated(batch_size, replacement):
    theta = [0.5, -1.0]
    batches = list(product(range(4), repeat=batch_size) if replacement else combinations(range(4), batch_size))
    gradients = np.array([LeastSquares(NOISY).value_and_grad(theta, list(rows))[1] for rows in batches])
    full = LeastSquares(NOISY).value_and_grad(theta)[1]
    np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-12)  # unbiased
    enumerated = (gradients - full).T @ (gradients - full) / len(batches)
    predicted = theory.gradient_covariance(NOISY, theta, batch_size, replacement=replacement)
    np.testing.assert_allclose(predicted, enumerated, rtol=1e-12, atol=1e-12)
    trace = theory.minibatch_gradient_variance(NOISY, theta, batch_size, replacement=replacement)
    assert trace == pytest.approx(np.trace(enumerated), rel=1e-12, abs=1e-12)


def test_the_gradient_variance_of_the_notebook_at_the_origin():
    sizes = (1, 2, 3, 4)
    variances = [theory.minibatch_gradient_variance(LINE, [0, 0], size) for size in sizes]
    np.testing.assert_allclose(variances, [536, 536 / 3, 536 / 9, 0], rtol=1e-14)
    with_replacement = [theory.minibatch_gradient_variance(LINE, [0, 0], size, replacement=True) for size in sizes]
    np.testing.assert_allclose(with_replacement, [536, 268, 536 / 3, 134], rtol=1e-14)


def test_one_example_has_no_gradient_noise():
    assert theory.minibatch_gradient_variance(make_line(1), [0, 0], 1) == 0


def test_the_noise_scale_is_the_batch_size_whose_noise_costs_as_much_as_the_gradient_gains():
    theta = np.array([0.5, -1.0])
    gradient = LeastSquares(NOISY).value_and_grad(theta)[1]
    scale = theory.gradient_noise_scale(HESSIAN, theory.gradient_covariance(NOISY, theta), gradient)
    # A step -eta g_B changes the loss by -eta |g|^2 + eta^2 / 2 (g H g + tr(H C) / B) in the mean.
    noise = theory.gradient_covariance(NOISY, theta, 3, replacement=True)
    assert np.trace(HESSIAN @ noise) * 3 / (gradient @ HESSIAN @ gradient) == pytest.approx(scale, rel=1e-12)


# ---- The noise floor ----


def test_the_noise_floor_of_the_curriculum():
    floor = theory.stationary_covariance([[2.0]], [[1.0]], 0.1).item()
    assert floor == pytest.approx(0.1 / (2 * (2 - 0.1 * 2)), rel=1e-14)
    assert round(floor, 5) == 0.02778


def test_the_measured_noise_floor_is_the_predicted_one():
    """Two bowls at -0.5 and 0.5, one drawn at each update: curvature 2, noise variance 1, rate 0.1."""
    bowls = NoisyQuadratic([[2.0]], [[-0.5], [0.5]])
    assert bowls.gradient_covariance.item() == 1
    rows = np.random.default_rng(0).integers(0, 2, (100_000, 1))
    run = descend(bowls, rules.gradient_descent(0.1), [0.0], batches=rows)
    # 100,000 updates, correlated over about 5: the standard error is sqrt(2 * 5 / 100,000) = 1 %.
    assert run.parameters[100:].var() == pytest.approx(0.02778, rel=0.03)


def test_the_stationary_covariance_does_not_change_in_an_update():
    hessian, noise = random_hessian(3), random_hessian(4)
    covariance = theory.stationary_covariance(hessian, noise, 0.3)
    step = np.eye(3) - 0.3 * hessian
    np.testing.assert_allclose(step @ covariance @ step + 0.09 * noise, covariance, rtol=1e-12, atol=1e-14)


def test_the_mean_squared_error_with_a_constant_rate_ends_at_the_noise_floor():
    hessian, noise = random_hessian(3), random_hessian(4)
    errors = theory.expected_squared_error(hessian, noise, np.full(2000, 0.3), [1, 2, 3])
    assert errors[0] == pytest.approx(14)
    assert errors[-1] == pytest.approx(np.trace(theory.stationary_covariance(hessian, noise, 0.3)), rel=1e-12)


def test_the_mean_squared_error_is_that_of_many_runs():
    bowls = NoisyQuadratic([[2.0]], [[-0.5], [0.5]])
    rate, rng = schedules.inverse_time_decay(0.25, 1, 0.5), np.random.default_rng(0)
    runs = [
        descend(bowls, rules.gradient_descent(rate), [1.0], batches=rng.integers(0, 2, (60, 1))) for _ in range(1000)
    ]
    measured = np.mean([run.parameters.ravel() ** 2 for run in runs], axis=0)
    predicted = theory.expected_squared_error([[2.0]], [[1.0]], [rate(k) for k in range(60)], [1.0])
    np.testing.assert_allclose(measured, predicted, rtol=0.2)  # 1,000 runs: standard error sqrt(2 / 1,000) = 4.5 %


def test_one_over_t_decay_gains_as_one_over_t():
    rates = 1 / (2 * (1 + np.arange(10_000)))
    errors = theory.expected_squared_error([[2.0]], [[1.0]], rates, [5.0])
    np.testing.assert_allclose(errors[1:], 1 / (4 * np.arange(1, 10_001)), rtol=1e-10)
    slope = np.polyfit(np.log(np.arange(100, 10_001)), np.log(errors[100:]), 1)[0]
    assert f"{slope:.3f}" == "-1.000"


def test_an_exploding_mean_squared_error_ends_with_its_last_finite_value():
    errors = theory.expected_squared_error([[2.0]], [[1.0]], np.full(1000, 5.0), [1.0])
    assert len(errors) < 1000
    assert np.isfinite(errors).all()


# ---- Stochastic gradient descent on a line ----


def mean_square_matrix(data, learning_rate, batch_size, *, replacement):
    """The mean over all batches of the Kronecker square of one update, by enumeration."""
    rows = range(len(data))
    batches = list(product(rows, repeat=batch_size) if replacement else combinations(rows, batch_size))
    squares = []
    for batch in batches:
        update = np.eye(2) - learning_rate * theory.line_hessian(data.take(list(batch)))
        squares.append(np.kron(update, update))
    return np.mean(squares, axis=0)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_the_mean_square_limit_is_where_the_spectral_radius_over_all_batches_is_one(batch_size, replacement):
    limit = theory.max_stable_sgd_learning_rate(LINE, batch_size, replacement=replacement)
    for factor in (0.5, 0.99, 1, 1.01):
        matrix = mean_square_matrix(LINE, factor * limit, batch_size, replacement=replacement)
        radius = np.abs(np.linalg.eigvals(matrix)).max()
        assert (radius > 1 + 1e-10, radius < 1 - 1e-10) == (factor > 1, factor < 1)


def test_the_mean_square_limit_of_the_notebook():
    assert round(theory.max_stable_sgd_learning_rate(LINE), 6) == 0.080148
    full = theory.max_stable_sgd_learning_rate(LINE, 4)
    assert full == pytest.approx(theory.max_stable_learning_rate(HESSIAN), rel=1e-12)


def test_passes_in_cyclic_order_contract_by_the_predicted_factor_at_a_rate_where_random_order_does_not():
    assert theory.max_stable_sgd_learning_rate(LINE) < 0.1
    predicted = theory.cyclic_contraction_rate(LINE, 0.1)
    assert round(predicted, 4) == 0.96
    order = batch_order(4, 1, 400, seed=0, shuffle=False)
    run = descend(LeastSquares(LINE), rules.gradient_descent(0.1), [0, 0], batches=order)
    assert tail_rate(run, [2, 0], 4 * 100) ** 4 == pytest.approx(predicted, abs=1e-10)


@pytest.mark.parametrize("batch_size", [3, 4])
def test_passes_over_a_short_last_batch_contract_by_the_predicted_factor(batch_size):
    predicted = theory.cyclic_contraction_rate(LINE, 0.02, batch_size)
    order = batch_order(4, batch_size, 600, seed=0, shuffle=False)
    run = descend(LeastSquares(LINE), rules.gradient_descent(0.02), [0, 0], batches=order)
    each = run.updates_per_epoch
    assert tail_rate(run, [2, 0], each * 100) ** each == pytest.approx(predicted, abs=1e-10)


# ---- Bad input ----

SAME = Dataset([[1], [1]], [[1.0], [2.0]])
I2 = np.eye(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.max_stable_learning_rate([[1, 2], [0, 1]]), "^hessian must be symmetric"),
        (lambda: theory.max_stable_learning_rate([[1, 2]]), "^hessian must be square"),
        (lambda: theory.max_stable_learning_rate([[1, 2], [2, 1]]), "^hessian must be positive semidefinite"),
        (lambda: theory.max_stable_learning_rate([[0.0]]), "^hessian must be positive semidefinite and not 0"),
        (lambda: theory.max_stable_learning_rate(I2, beta=1), "^beta must be"),
        (lambda: theory.optimal_learning_rate([[1, 1], [1, 1]]), "^hessian must be positive definite"),
        (lambda: theory.optimal_momentum([[1, 0], [0, 0]]), "^hessian must be positive definite"),
        (lambda: theory.contraction_rate(I2, 0), "^learning_rate must be"),
        (lambda: theory.gradient_covariance(LINE, [0, 0, 0]), r"^theta must have shape \(2,\)"),
        (lambda: theory.minibatch_gradient_variance(LINE, [0, 0], 5), "^batch_size must be"),
        (lambda: theory.minibatch_gradient_variance(LINE, [0, 0], 0, replacement=True), "^batch_size must be"),
        (lambda: theory.gradient_noise_scale(I2, I2, [0, 0]), "^gradient must not be 0"),
        (lambda: theory.gradient_noise_scale(I2, [[1.0]], [0, 1]), "^noise_covariance must have the Hessian's shape"),
        (lambda: theory.stationary_covariance(I2, [[1, 2], [2, 1]], 0.1), "^noise_covariance must be positive"),
        (lambda: theory.stationary_covariance(I2, I2, 2.0), "^learning_rate must be .* below 2"),
        (lambda: theory.stationary_covariance([[1, 0], [0, 0]], I2, 0.1), "^hessian must be positive definite"),
        (lambda: theory.expected_squared_error(I2, I2, [0.1, -0.1], [0, 0]), "^learning_rates must be at least 0"),
        (lambda: theory.expected_squared_error(I2, I2, [0.1], [0]), r"^start must have shape \(2,\)"),
        (lambda: theory.max_stable_sgd_learning_rate(LINE, 9), "^batch_size must be"),
        (lambda: theory.cyclic_contraction_rate(LINE, -1), "^learning_rate must be"),
        (lambda: theory.max_stable_sgd_learning_rate(SAME), "hessian of dataset must be positive definite"),
        (lambda: theory.cyclic_contraction_rate(LINE, 0.1, 5), "^batch_size must be"),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_hessian_that_is_singular_has_a_stable_limit_all_the_same():
    assert theory.max_stable_learning_rate(theory.line_hessian(SAME)) == pytest.approx(2 / 4, rel=1e-14)
