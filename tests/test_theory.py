"""What theory predicts is what runs do; and its figures are those of the curriculum."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain import Dataset, batch_order, make_line, theory
from gdexplain.by_hand import rules, schedules
from gdexplain.by_hand.descent import descend
from gdexplain.by_hand.objectives import LeastSquares, NoisyQuadratic, Quadratic

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
    run = descend(Quadratic(hessian), rules.gradient_descent(learning_rate), [1, 2, 3], steps=3000)
    assert tail_rate(run, np.zeros(3), 200) == pytest.approx(theory.contraction_rate(hessian, learning_rate), abs=1e-12)


def test_the_closed_form_starts_at_its_start_and_ends_at_its_last_finite_row():
    points = theory.gradient_descent_trajectory(HESSIAN, [1, 1], [2, 0], 0.1, 10)
    assert points.shape == (11, 2)
    np.testing.assert_allclose(points[0], [1, 1], atol=1e-15)
    exploding = theory.gradient_descent_trajectory(HESSIAN, [1, 1], [2, 0], 10.0, 1000)
    assert len(exploding) < 200
    assert np.isfinite(exploding).all()
    assert np.abs(exploding[-1]).max() > 1e300


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


@pytest.mark.parametrize("nesterov", [False, True])
@settings(deadline=None, derandomize=True)
@given(st.integers(0, 20), st.floats(0.01, 1.2), st.floats(0, 0.99))
def test_the_rate_with_momentum_is_the_spectral_radius_of_the_rule_s_own_matrix(nesterov, seed, learning_rate, beta):
    hessian = random_hessian(seed)
    eigenvalues = np.linalg.eigvals(iteration_matrix(hessian, learning_rate, beta, nesterov))
    predicted = theory.momentum_contraction_rate(hessian, learning_rate, beta, nesterov=nesterov)
    # Where two eigenvalues meet, rounding moves them by its square root.
    assert predicted == pytest.approx(np.abs(eigenvalues).max(), abs=1e-7)


def test_the_optimal_momentum_of_the_notebook_s_line():
    best = theory.optimal_momentum(HESSIAN)
    assert [round(value, 6) for value in best] == [0.186288, 0.583448, 0.763837]
    assert best.rate == pytest.approx(best.beta**0.5, rel=1e-15)
    measured = theory.momentum_contraction_rate(HESSIAN, best.learning_rate, best.beta)
    assert measured == pytest.approx(best.rate, abs=1e-7)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.5, 1.5), st.floats(0.5, 1.5))
def test_no_momentum_beats_the_optimal_one(rate_factor, beta_factor):
    best = theory.optimal_momentum(HESSIAN)
    other = theory.momentum_contraction_rate(HESSIAN, rate_factor * best.learning_rate, beta_factor * best.beta)
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
    assert theory.momentum_contraction_rate(HESSIAN, limit, beta, nesterov=nesterov) == pytest.approx(1, abs=1e-12)
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


def epoch_ends(bowls, learning_rate, epochs, *, reshuffled, batch_size=1):
    """The parameters after every epoch, the first quarter left out."""
    if reshuffled:
        batches = batch_order(bowls.size, batch_size, epochs, seed=0)
    else:
        batches = np.random.default_rng(0).integers(0, bowls.size, (epochs * bowls.size // batch_size, batch_size))
    run = descend(bowls, rules.gradient_descent(learning_rate), bowls.minimum, batches=batches)
    return run.parameters[:: bowls.size // batch_size][epochs // 4 :] - bowls.minimum


@pytest.mark.parametrize("batch_size", [1, 2])
def test_the_covariance_after_reshuffled_epochs_is_the_predicted_one(batch_size):
    minima = np.random.default_rng(1).normal(size=(6, 2))
    bowls = NoisyQuadratic([[1.0, 0.3], [0.3, 0.5]], minima)
    noise = bowls.gradient_covariance / batch_size * (6 - batch_size) / (6 - 1)
    predicted = theory.reshuffled_covariance(bowls.hessian, noise, 0.25, 6 // batch_size)
    ends = epoch_ends(bowls, 0.25, 8_000, reshuffled=True, batch_size=batch_size)
    # 6,000 epochs, correlated over a few: standard error about 3 %.
    np.testing.assert_allclose(ends.T @ ends / len(ends), predicted, rtol=0.1, atol=0.1 * predicted.max())


def test_reshuffling_gains_fourfold_on_replacement_each_time_the_rate_halves():
    """100 examples, curvature 1, one example a batch; for small rates the ratio is 12 / (eta^2 n (n + 1))."""
    ratios = [
        theory.stationary_covariance([[1.0]], [[1.0]], rate).item()
        / theory.reshuffled_covariance([[1.0]], [[1.0]], rate, 100).item()
        for rate in (0.0225, 0.01125, 0.005625, 1e-5)
    ]
    assert [round(ratio, 1) for ratio in ratios[:3]] == [3.5, 10.5, 38.5]
    assert ratios[-1] == pytest.approx(12 / (1e-5**2 * 100 * 101), rel=1e-4)


def test_the_measured_gain_of_reshuffling_is_the_predicted_one():
    bowls = NoisyQuadratic([[1.0]], np.random.default_rng(2).normal(size=(100, 1)))
    ends = [epoch_ends(bowls, 0.0225, 800, reshuffled=reshuffled) for reshuffled in (False, True)]
    replaced, reshuffled = (np.mean(end**2) for end in ends)
    # 600 epoch ends of each: standard error of the ratio about 10 %.
    assert replaced / reshuffled == pytest.approx(3.48, rel=0.3)


def test_one_batch_an_epoch_leaves_no_noise_after_reshuffling():
    assert theory.reshuffled_covariance([[1.0]], [[1.0]], 0.1, 1).item() == 0


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
        predicted = theory.mean_square_rate(LINE, factor * limit, batch_size, replacement=replacement)
        assert predicted == pytest.approx(radius, rel=1e-12)
        assert (radius > 1 + 1e-10, radius < 1 - 1e-10) == (factor > 1, factor < 1)


def test_the_mean_square_limit_of_the_notebook():
    assert round(theory.max_stable_sgd_learning_rate(LINE), 6) == 0.080148
    full = theory.max_stable_sgd_learning_rate(LINE, 4)
    assert full == pytest.approx(theory.max_stable_learning_rate(HESSIAN), rel=1e-12)


@pytest.mark.parametrize(("batch_size", "replacement"), [(1, False), (2, False), (2, True)])
def test_the_exact_noise_floor_does_not_change_in_an_update_on_a_random_batch(batch_size, replacement):
    rate = 0.04
    floor = theory.noise_floor(NOISY, rate, batch_size, replacement=replacement)
    best = LeastSquares(NOISY).minimum
    rows = range(4)
    batches = product(rows, repeat=batch_size) if replacement else combinations(rows, batch_size)
    after = []
    for batch in batches:
        update = np.eye(2) - rate * theory.line_hessian(NOISY.take(list(batch)))
        kick = rate * LeastSquares(NOISY).value_and_grad(best, list(batch))[1]
        after.append(update @ floor @ update.T + np.outer(kick, kick))
    np.testing.assert_allclose(np.mean(after, axis=0), floor, rtol=1e-10)


def test_the_exact_noise_floor_agrees_with_the_simple_one_for_small_rates():
    noise = theory.gradient_covariance(NOISY, LeastSquares(NOISY).minimum)
    gaps = [
        np.abs(theory.noise_floor(NOISY, rate) / theory.stationary_covariance(HESSIAN, noise, rate) - 1).max()
        for rate in (1e-4, 1e-5)
    ]
    assert gaps[0] < 0.02
    assert gaps[1] < gaps[0] / 9


def test_random_single_examples_settle_where_the_exact_noise_floor_says():
    rows = np.random.default_rng(0).integers(0, 4, (100_000, 1))
    objective = LeastSquares(NOISY)
    run = descend(objective, rules.gradient_descent(0.04), objective.minimum, batches=rows)
    away = run.parameters[1000:] - objective.minimum
    predicted = theory.noise_floor(NOISY, 0.04)
    np.testing.assert_allclose(away.T @ away / len(away), predicted, rtol=0.05, atol=0.05 * np.abs(predicted).max())


def test_passes_in_cyclic_order_contract_by_the_predicted_factor_at_a_rate_where_random_order_does_not():
    assert theory.mean_square_rate(LINE, 0.1) > 1
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


# ---- Deep networks ----


class DeepLinear:
    """Half the squared distance of W2 W1 to a diagonal matrix, as an objective of both layers."""

    size = 1

    def __init__(self, strengths):
        self.target, self.width = np.diag(strengths), len(strengths)

    def value_and_grad(self, theta, *_):
        first, second = theta.reshape(2, self.width, self.width)
        gap = second @ first - self.target
        return 0.5 * float((gap**2).sum()), np.concatenate([(second.T @ gap).ravel(), (gap @ first.T).ravel()])


def test_a_deep_linear_network_learns_along_saxe_s_sigmoids():
    strengths, start, rate = (3.0, 2.0, 1.0), 0.03**2, 0.001
    weights = 0.03 * np.concatenate([np.eye(3).ravel(), np.eye(3).ravel()])
    run = descend(DeepLinear(strengths), rules.gradient_descent(rate), weights, steps=6000)
    times = rate * np.arange(len(run) + 1)
    layers = run.parameters.reshape(-1, 2, 3, 3)
    modes = np.einsum("tij,tji->ti", layers[:, 1], layers[:, 0])
    for mode, strength in zip(modes.T, strengths, strict=True):
        assert np.abs(mode - theory.deep_linear_mode(times, strength, start)).max() < 0.01
        measured = np.interp(strength / 2, mode, times)
        assert measured == pytest.approx(theory.deep_linear_half_time(strength, start), abs=2e-3)
    halves = [round(theory.deep_linear_half_time(strength, start), 3) for strength in strengths]
    assert halves == [1.352, 1.926, 3.506]


def test_saxe_s_sigmoid_solves_its_equation():
    times = np.linspace(0, 4, 4001)
    mode = theory.deep_linear_mode(times, 2.0, 0.001, tau=1.5)
    slope = np.gradient(mode, times)[1:-1]
    np.testing.assert_allclose(slope, (2 * mode * (2 - mode) / 1.5)[1:-1], atol=1e-5)
    assert mode[0] == pytest.approx(0.001, rel=1e-13)
    half = theory.deep_linear_half_time(2.0, 0.001, tau=1.5)
    assert theory.deep_linear_mode(half, 2.0, 0.001, tau=1.5) == pytest.approx(1, rel=1e-13)


FUNCTIONS = {
    "linear": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1.0, 0.2)),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize(
    ("initializer", "variance"), [("he_normal", 2 / 300), ("glorot_uniform", 2 / 500), ("lecun_normal", 1 / 300)]
)
def test_the_gain_of_a_layer_is_that_of_a_wide_random_one(activation, initializer, variance):
    rng = np.random.default_rng(0)
    function, derivative = FUNCTIONS[activation]
    z = 1.5 * rng.normal(size=(4000, 300))
    weights = variance**0.5 * rng.normal(size=(300, 200))
    options = {"fan_in": 300, "fan_out": 200, "second_moment": 1.5**2}
    forward = np.mean((function(z) @ weights) ** 2) / np.mean(z**2)
    assert theory.initialization_gain(initializer, activation, **options) == pytest.approx(forward, rel=0.1)
    delta = rng.normal(size=(4000, 200))
    backward = np.mean((delta @ weights.T * derivative(z)) ** 2)
    predicted = theory.initialization_gain(initializer, activation, backward=True, **options)
    assert predicted == pytest.approx(backward, rel=0.02)


def test_he_keeps_a_relu_network_alive_and_glorot_halves_it_at_every_layer():
    width = {"fan_in": 256, "fan_out": 256}
    for backward in (False, True):
        gains = [
            theory.initialization_gain(n, "relu", backward=backward, **width) for n in ("he_normal", "glorot_normal")
        ]
        np.testing.assert_allclose(np.log2(gains), [0, -1], atol=1e-12)


def test_a_sigmoid_never_lets_more_than_a_quarter_of_the_gradient_through():
    for second_moment in (1e-6, 0.1, 1.0, 10.0):
        gain = theory.initialization_gain(
            "lecun_normal", "sigmoid", fan_in=64, fan_out=64, second_moment=second_moment, backward=True
        )
        assert gain**0.5 <= 0.25
    assert gain**0.5 < 0.16
    small = theory.initialization_gain(
        "lecun_normal", "sigmoid", fan_in=64, fan_out=64, second_moment=1e-6, backward=True
    )
    assert small**0.5 == pytest.approx(0.25, rel=1e-5)


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-3, 20))
def test_leaky_relu_s_gain_does_not_depend_on_the_size_of_its_inputs(second_moment):
    options = {"fan_in": 10, "fan_out": 10, "second_moment": second_moment}
    gain = theory.initialization_gain("he_uniform", "leaky_relu", **options)
    assert gain == pytest.approx(2 * (1 + 0.2**2) / 2, rel=1e-12)


# ---- Bad input ----

SAME = Dataset([[1], [1]], [[1.0], [2.0]])
I2 = np.eye(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: theory.max_stable_learning_rate([[1, 2], [0, 1]]), "^hessian must be symmetric"),
        (lambda: theory.max_stable_learning_rate([[1, 2]]), "^hessian must be square"),
        (lambda: theory.max_stable_learning_rate([[np.nan]]), "^hessian must be finite"),
        (lambda: theory.max_stable_learning_rate([[1, 2], [2, 1]]), "^hessian must be positive semidefinite"),
        (lambda: theory.max_stable_learning_rate([[0.0]]), "^hessian must be positive semidefinite and not 0"),
        (lambda: theory.max_stable_learning_rate(I2, beta=1), "^beta must be"),
        (lambda: theory.optimal_learning_rate([[1, 1], [1, 1]]), "^hessian must be positive definite"),
        (lambda: theory.optimal_momentum([[1, 0], [0, 0]]), "^hessian must be positive definite"),
        (lambda: theory.contraction_rate(I2, 0), "^learning_rate must be"),
        (lambda: theory.contraction_rate(I2, np.inf), "^learning_rate must be"),
        (lambda: theory.momentum_contraction_rate(I2, 0.1, -0.1), "^beta must be"),
        (lambda: theory.momentum_contraction_rate(I2, -0.1, 0.1), "^learning_rate must be"),
        (lambda: theory.gradient_descent_trajectory(I2, [0], [0, 0], 0.1, 3), "^theta0 must have 2 numbers"),
        (lambda: theory.gradient_descent_trajectory(I2, [0, 0], [0, 0, 0], 0.1, 3), "^minimum must have 2 numbers"),
        (lambda: theory.gradient_descent_trajectory(I2, [0, np.nan], [0, 0], 0.1, 3), "^theta0 must be finite"),
        (lambda: theory.gradient_descent_trajectory(I2, [0, 0], [0, 0], 0.1, 0), "^steps must be"),
        (lambda: theory.gradient_covariance(LINE, [0, 0, 0]), "^theta must have 2 numbers"),
        (lambda: theory.minibatch_gradient_variance(LINE, [0, 0], 5), "^batch_size must be"),
        (lambda: theory.minibatch_gradient_variance(LINE, [0, 0], 0, replacement=True), "^batch_size must be"),
        (lambda: theory.gradient_noise_scale(I2, I2, [0, 0]), "^gradient must not be 0"),
        (lambda: theory.gradient_noise_scale(I2, [[1.0]], [0, 1]), "^noise_covariance must have the Hessian's shape"),
        (lambda: theory.stationary_covariance(I2, [[1, 2], [2, 1]], 0.1), "^noise_covariance must be positive"),
        (lambda: theory.stationary_covariance(I2, I2, 2.0), "^learning_rate must be .* below 2"),
        (lambda: theory.stationary_covariance([[1, 0], [0, 0]], I2, 0.1), "^hessian must be positive definite"),
        (lambda: theory.reshuffled_covariance(I2, I2, 0.1, 0), "^updates_per_epoch must be"),
        (lambda: theory.expected_squared_error(I2, I2, [0.1, -0.1], [0, 0]), "^learning_rates must be at least 0"),
        (lambda: theory.expected_squared_error(I2, I2, [0.1], [0]), "^start must have 2 numbers"),
        (lambda: theory.mean_square_rate(LINE, -1), "^learning_rate must be"),
        (lambda: theory.mean_square_rate(LINE, 0.1, 9), "^batch_size must be"),
        (lambda: theory.max_stable_sgd_learning_rate(SAME), "hessian of dataset must be positive definite"),
        (lambda: theory.noise_floor(LINE, 0.09), "^learning_rate must be .* below 0.0801"),
        (lambda: theory.cyclic_contraction_rate(LINE, 0.1, 5), "^batch_size must be"),
        (lambda: theory.deep_linear_mode([0], 0, 0.1), "^strength must be"),
        (lambda: theory.deep_linear_mode([np.nan], 1, 0.1), "^times must be finite"),
        (lambda: theory.deep_linear_half_time(1, 0.6), "^start must be"),
        (lambda: theory.deep_linear_half_time(1, 0.1, tau=0), "^tau must be"),
        (lambda: theory.initialization_gain("he", "relu", fan_in=1, fan_out=1), "^initializer must be one of"),
        (lambda: theory.initialization_gain("he_normal", "elu", fan_in=1, fan_out=1), "^activation must be one of"),
        (lambda: theory.initialization_gain("he_normal", "relu", fan_in=0, fan_out=1), "^fan_in must be"),
        (
            lambda: theory.initialization_gain("he_normal", "relu", fan_in=1, fan_out=1, second_moment=0),
            "^second_moment must be",
        ),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_hessian_that_is_singular_has_a_stable_limit_all_the_same():
    assert theory.max_stable_learning_rate(theory.line_hessian(SAME)) == pytest.approx(2 / 4, rel=1e-14)


# ---- Fractals ----


def carpet(depth):
    """Sierpinski's carpet in 3**depth pixels: each square without its middle, again and again."""
    picture = np.ones((1, 1), bool)
    for _ in range(depth):
        picture = np.kron(picture, [[1, 1, 1], [1, 0, 1], [1, 1, 1]]).astype(bool)
    return picture


@pytest.mark.parametrize(
    ("mask", "dimension"),
    [
        (np.eye(128, dtype=bool), 1),
        (np.ones((128, 64), bool), 2),
        (np.bitwise_and(*np.indices((128, 128))) == 0, np.log2(3)),  # Sierpinski's triangle: binomials mod 2
    ],
)
def test_the_box_dimension_of_a_line_a_square_and_a_triangle_of_sierpinski(mask, dimension):
    assert theory.box_dimension(mask) == pytest.approx(dimension, abs=1e-12)


def test_the_box_dimension_of_sierpinski_s_carpet_on_its_own_scales():
    dimension = theory.box_dimension(carpet(5), sizes=[1, 3, 9, 27])
    assert dimension == pytest.approx(np.log(8) / np.log(3), abs=1e-12)


def test_the_box_dimension_of_a_circle_is_that_of_a_curve():
    y, x = np.indices((512, 512)) - 255.5
    ring = np.abs(np.hypot(x, y) - 200) < 0.75
    assert theory.box_dimension(ring, sizes=[2, 4, 8, 16]) == pytest.approx(1, abs=0.05)


def test_the_box_dimension_does_not_change_when_a_set_is_turned_and_cut_boxes_count():
    mask = carpet(4)[:70, :50]
    assert theory.box_dimension(mask, sizes=[1, 4]) == pytest.approx(theory.box_dimension(mask.T, sizes=(4, 1)))
    assert theory.box_dimension(np.ones((3, 3), bool), sizes=[1, 2]) == pytest.approx(np.log(9 / 4) / np.log(2))


@pytest.mark.parametrize(
    ("mask", "sizes", "error", "words"),
    [
        (np.eye(32), None, TypeError, "mask must be an array of bool, not of float64"),
        (np.ones(32, bool), None, ValueError, "mask must have 2 axes"),
        (np.zeros((32, 32), bool), None, ValueError, "a True in it"),
        (np.ones((8, 8), bool), None, ValueError, "sizes must have at least two different numbers"),
        (np.ones((32, 32), bool), [2, 2], ValueError, "at least two different numbers, not \\[2, 2\\]"),
        (np.ones((32, 32), bool), [0, 1], ValueError, "sizes must be a whole number from 1 to 32, not 0"),
    ],
)
def test_box_dimension_names_what_is_wrong(mask, sizes, error, words):
    with pytest.raises(error, match=words):
        theory.box_dimension(mask, sizes=sizes)
