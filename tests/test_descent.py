"""`descend` follows closed forms, keeps a true record, and walks where Keras walks."""

import warnings

import keras
import numpy as np
import pytest

from gdexplain import Dataset, Trajectory, batch_order, build_linear, make_line, train
from gdexplain.by_hand import rules, schedules
from gdexplain.by_hand.descent import descend
from gdexplain.by_hand.objectives import LeastSquares, NoisyQuadratic
from gdexplain.theory import contraction_rate, line_hessian, max_stable_learning_rate

LINE = make_line()
HESSIAN = line_hessian(LINE)
O = keras.optimizers


class Valley:
    """Rosenbrock's banana valley: a plain function, so it has no rows."""

    size = 1

    def value_and_grad(self, theta, rows=None):
        if rows is not None:
            raise ValueError("rows must be None")
        here, after = theta[:-1], theta[1:]
        off_floor, short = after - here**2, 1 - here
        gradient = np.append(-400 * here * off_floor - 2 * short, 0.0) + np.append(0.0, 200 * off_floor)
        return float(100 * off_floor @ off_floor + short @ short), gradient


@pytest.mark.parametrize("learning_rate", [0.01, 2 / 17, 0.1197, 0.13])
def test_gradient_descent_on_a_quadratic_follows_its_closed_form(learning_rate):
    run = descend(NoisyQuadratic(HESSIAN, [[2, 0]]), rules.gradient_descent(learning_rate), [0, 0], steps=300)
    curvature, directions = np.linalg.eigh(HESSIAN)
    shrunk = (1 - learning_rate * curvature) ** np.arange(301)[:, np.newaxis]
    points = [2, 0] + (shrunk * (directions.T @ [-2, 0])) @ directions.T
    np.testing.assert_allclose(run.parameters, points, rtol=0, atol=1e-12 * np.abs(points).max())


def test_the_record_holds_every_loss_and_gradient_before_its_update():
    objective = LeastSquares(LINE)
    run = descend(objective, rules.momentum(0.01), [0.5, -0.5], steps=20)
    assert run.parameters.shape == (21, 2)
    assert run.gradients.shape == (20, 2)
    np.testing.assert_array_equal(run.parameters[0], [0.5, -0.5])
    for theta, loss, gradient in zip(run.parameters, run.loss, run.gradients, strict=False):
        value, grad = objective.value_and_grad(theta)
        assert loss == value
        np.testing.assert_array_equal(gradient, grad)


def test_the_record_says_what_ran():
    run = descend(LeastSquares(LINE), rules.adam(0.01), [0, 0], batches=batch_order(4, 3, 5, seed=0))
    assert isinstance(run, Trajectory)
    assert (run.label, run.batch_size, run.updates_per_epoch, len(run)) == ("adam(0.01)", 3, 2, 10)
    assert run.layout == (("w", (1, 1)), ("b", (1,)))
    np.testing.assert_array_equal(run.weight("b").ravel(), run.parameters[:, 1])


def test_the_batch_of_every_update_is_the_one_given():
    batches = [[0], [3, 1], [2, 2]]
    objective = LeastSquares(make_line(noise=1.0))
    run = descend(objective, rules.gradient_descent(0.01), [0, 0], batches=batches)
    for k, rows in enumerate(batches):
        assert run.loss[k] == objective.value_and_grad(run.parameters[k], rows)[0]


def test_more_batches_than_steps_are_left_over():
    batches = batch_order(4, 1, 3, seed=1)
    short = descend(LeastSquares(LINE), rules.gradient_descent(0.01), [0, 0], steps=5, batches=batches)
    whole = descend(LeastSquares(LINE), rules.gradient_descent(0.01), [0, 0], batches=batches)
    assert len(short) == 5
    np.testing.assert_array_equal(short.parameters, whole.parameters[:6])
    assert short.updates_per_epoch == whole.updates_per_epoch == 4


@pytest.mark.parametrize(
    ("batches", "updates"),
    [(None, 1), ([[0, 1, 2, 3]], 1), ([[0, 1, 2], [3]] * 3, 2), ([[0, 0]] * 5, 2), ([[0]], 4), ([[0, 1, 2]], 2)],
)
def test_an_epoch_is_as_many_updates_as_it_takes_to_use_as_many_rows_as_there_are(batches, updates):
    run = descend(LeastSquares(LINE), rules.gradient_descent(0.01), [0, 0], steps=1, batches=batches)
    assert run.updates_per_epoch == updates


def test_a_second_descent_starts_afresh():
    rule, objective = rules.adam(0.1), Valley()
    first, second = (descend(objective, rule, [-1.0, 1.0], steps=50) for _ in range(2))
    np.testing.assert_array_equal(first.parameters, second.parameters)


def test_the_start_is_not_changed_and_whole_numbers_will_do():
    start = np.array([1, -1])
    run = descend(NoisyQuadratic(HESSIAN, [[0, 0]]), rules.gradient_descent(0.01), start, steps=3)
    np.testing.assert_array_equal(start, [1, -1])
    assert run.parameters.dtype == np.float64


@pytest.mark.parametrize(
    "rule",
    [rules.gradient_descent(1.0), rules.momentum(1.0), rules.rmsprop(1e200), rules.adam(1e200), rules.adagrad(1e300)],
    ids=lambda rule: rule.name,
)
def test_a_run_that_diverges_ends_early_with_a_finite_record_and_no_warning(rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = descend(Valley(), rule, [-1.0, 2.0, 0.5], steps=5000)
    assert run.diverged
    assert len(run) < 5000
    assert len(run.parameters) == len(run) + 1
    for array in (run.parameters, run.loss, run.gradients):
        assert np.isfinite(array).all()


def test_the_record_of_a_run_that_diverges_is_the_record_of_the_updates_before():
    objective, rule = LeastSquares(LINE), rules.gradient_descent(1.0)
    run = descend(objective, rule, [0, 0], steps=1000)
    again = descend(objective, rule, [0, 0], steps=len(run))
    assert run.diverged
    assert not again.diverged
    np.testing.assert_array_equal(run.parameters, again.parameters)


def test_a_start_whose_loss_overflows_is_a_record_without_updates():
    run = descend(Valley(), rules.gradient_descent(0.1), [1e200, 0.0], steps=10)
    assert run.diverged
    assert (len(run), run.parameters.shape, run.gradients.shape) == (0, (1, 2), (0, 2))


def test_parameters_that_overflow_in_the_last_update_are_not_recorded():
    run = descend(NoisyQuadratic([[1.0]], [[0.0]]), rules.gradient_descent(1e250), [1e100], steps=1)
    assert run.diverged
    np.testing.assert_array_equal(run.parameters, [[1e100]])


@pytest.mark.parametrize("rule", [rules.gradient_descent(2.0), rules.lion(1.0)], ids=["gradient descent", "lion"])
def test_a_gradient_that_is_not_finite_ends_the_record_before_its_update(rule):
    class Root:
        """sqrt(|theta|): a finite loss with an infinite slope at 0."""

        size = 1

        def value_and_grad(self, theta, *_):
            return float(np.sqrt(np.abs(theta)).sum()), np.sign(theta + (theta == 0)) / (2 * np.sqrt(np.abs(theta)))

    run = descend(Root(), rule, [1.0], steps=10)  # both arrive at 0; lion's step from there would be finite
    assert run.diverged
    np.testing.assert_array_equal(run.parameters, [[1.0], [0.0]])
    np.testing.assert_array_equal(run.loss, [1.0])


def test_below_the_stable_limit_a_run_converges_and_above_it_explodes():
    limit = max_stable_learning_rate(HESSIAN)
    assert 0.1197 < limit < 0.1198
    below, above = (
        descend(LeastSquares(LINE), rules.gradient_descent(rate), [0, 0], steps=20_000) for rate in (0.1197, 0.1198)
    )
    assert below.loss[-1] < 1e-12
    assert above.loss[-1] > 1e3


def test_the_measured_contraction_at_the_best_rate_is_the_predicted_one():
    run = descend(LeastSquares(LINE), rules.gradient_descent(2 / 17), [0, 0], steps=400)
    distance = np.linalg.norm(run.parameters - [2, 0], axis=1)
    # Two updates at a time: the steep and the flat direction take turns.
    measured = (distance[300] / distance[200]) ** (1 / 100)
    assert measured == pytest.approx(contraction_rate(HESSIAN, 2 / 17), abs=1e-12)
    assert round(measured, 6) == 0.964778


PARITY = {
    "momentum": (rules.momentum(2**-7, 7 / 8), lambda: O.SGD(2**-7, momentum=7 / 8)),
    "adamw": (
        rules.adamw(2**-6, beta_1=7 / 8, beta_2=127 / 128, weight_decay=2**-5),
        lambda: O.AdamW(2**-6, beta_1=7 / 8, beta_2=127 / 128, weight_decay=2**-5),
    ),
    "schedule": (
        rules.gradient_descent(schedules.step_decay(2**-5, 10, 0.5)),
        lambda: O.SGD(O.schedules.ExponentialDecay(2**-5, 10, 0.5, staircase=True)),
    ),
}
NOISY = make_line(7, noise=0.5, seed=3)
SCALED = Dataset(NOISY.inputs / 4, NOISY.targets, "scaled")  # so that no rule diverges on a batch of one


@pytest.mark.parametrize(
    ("name", "batch_size", "dtype"),
    [("momentum", 3, "float64"), ("adamw", None, "float64"), ("schedule", 1, "float64"), ("adamw", 3, "float32")],
)
def test_descend_walks_where_train_walks_on_the_same_batches(name, batch_size, dtype):
    rule, optimizer = PARITY[name]
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    options = {"batch_size": batch_size, "epochs": 12, "seed": 5}
    keras_run = train(build_linear(0.5, -0.25, dtype=dtype), SCALED, optimizer=optimizer(), **options)
    batches = batch_order(7, batch_size, 12, seed=5)
    run = descend(LeastSquares(SCALED), rule, [0.5, -0.25], batches=batches)
    assert len(run) == len(keras_run)
    assert run.updates_per_epoch == keras_run.updates_per_epoch
    assert run.batch_size == keras_run.batch_size
    for ours, theirs in (
        (run.parameters, keras_run.parameters),
        (run.loss, keras_run.loss),
        (run.gradients, keras_run.gradients),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1, np.abs(ours).max()))


def test_descend_and_train_diverge_at_the_same_update():
    keras_run = train(build_linear(dtype="float64"), LINE, optimizer=O.SGD(0.5), batch_size=None, epochs=500)
    run = descend(LeastSquares(LINE), rules.gradient_descent(0.5), [0, 0], steps=500)
    assert run.diverged
    assert keras_run.diverged
    assert len(run) == len(keras_run)
    np.testing.assert_allclose(run.parameters, keras_run.parameters, rtol=1e-11)


ROWS = NoisyQuadratic([[1.0]], [[0.0], [1.0], [2.0]])


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((ROWS, [0.0]), {}, ValueError, "^steps must be given"),
        ((ROWS, [0.0]), {"steps": 0}, ValueError, "^steps must be a whole number"),
        ((ROWS, [0.0]), {"steps": 3, "batches": [[0], [1]]}, ValueError, "^steps must be a whole number from 1 to 2"),
        ((ROWS, [0.0]), {"batches": []}, ValueError, "^batches must be a list of batches, at least one"),
        ((ROWS, [0.0]), {"batches": [[0], []]}, ValueError, r"^batches\[1\] must be row numbers .*, not none"),
        ((ROWS, [0.0]), {"batches": [0, 1]}, ValueError, r"^batches\[0\] must have 1 axis"),
        (
            (ROWS, [0.0]),
            {"batches": [[0], [3]]},
            ValueError,
            r"^batches\[1\] must be .* 0 to 2, .* batches\[1\]\[0\] is 3",
        ),
        ((ROWS, [0.0]), {"batches": [[-1]]}, ValueError, r"^batches\[0\] must be row numbers from 0 to 2"),
        ((ROWS, [[0.0]]), {"steps": 1}, ValueError, "^theta0 must have 1 axis"),
        ((ROWS, [0.0, 1.0]), {"steps": 1}, ValueError, r"^theta0 must .* theta must have shape \(1,\)"),
        ((Valley(), [0.0, 0.0]), {"batches": [[0]]}, ValueError, "^batches must .* rows must be None"),
    ],
)
def test_bad_input_is_an_error_that_names_the_argument(arguments, options, error, words):
    objective, start = arguments
    with pytest.raises(error, match=words):
        descend(objective, rules.gradient_descent(0.1), start, **options)


def test_an_objective_whose_gradient_has_another_shape_is_an_error():
    class Wrong:
        size = 1

        def value_and_grad(self, *_):
            return 0.0, np.zeros((1, 2))

    with pytest.raises(ValueError, match=r"^theta0 must have the shape of the gradient, \(1, 2\), not \(2,\)"):
        descend(Wrong(), rules.gradient_descent(0.1), [0.0, 0.0], steps=1)
