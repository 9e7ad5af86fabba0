"""A rule by hand: pure functions, explicit state, and the arithmetic of the papers."""

import inspect
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain.by_hand import rules, schedules

RULES = {
    "gradient_descent(0.1)": rules.gradient_descent(0.1),
    "momentum(0.1, beta=0.9)": rules.momentum(0.1),
    "nesterov(0.1, beta=0.9)": rules.momentum(0.1, nesterov=True),
    "adagrad(0.1)": rules.adagrad(0.1),
    "rmsprop(0.1)": rules.rmsprop(0.1),
    "rmsprop(0.1, momentum=0.5, centered)": rules.rmsprop(0.1, momentum=0.5, centered=True),
    "adadelta(1)": rules.adadelta(1),
    "adam(0.1)": rules.adam(0.1),
    "amsgrad(0.1)": rules.amsgrad(0.1),
    "nadam(0.1)": rules.nadam(0.1),
    "adamw(0.1, weight_decay=0.004)": rules.adamw(0.1),
    "lion(0.1)": rules.lion(0.1),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
GRADIENTS = np.random.default_rng(1).normal(size=(20, 3))


def walk(rule, gradients, theta=(1.0, -2.0, 3.0)):
    """The parameters after each update on the given gradients."""
    theta = np.asarray(theta, float)
    state, path = rule.init(theta), []
    for grad in gradients:
        step, state = rule.update(np.asarray(grad, float), state, theta)
        theta = theta + step
        path.append(theta)
    return np.array(path)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_named_by_its_settings(name):
    assert RULES[name].name == name


@every_rule
def test_an_update_is_pure(rule):
    theta, state = np.ones(3), rule.init(np.ones(3))
    _, state = rule.update(GRADIENTS[0], state, theta)
    before = [np.copy(part) for part in state]
    first = rule.update(GRADIENTS[1], state, theta)
    again = rule.update(GRADIENTS[1], state, theta)
    for one, other in zip((first[0], *first[1]), (again[0], *again[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    for part, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, copy)
    np.testing.assert_array_equal(theta, np.ones(3))


@every_rule
def test_the_state_is_a_tuple_that_counts_the_updates(rule):
    state = rule.init(np.zeros(3))
    for made, grad in enumerate(GRADIENTS):
        assert isinstance(state, tuple)
        assert state.updates == made
        _, state = rule.update(grad, state, np.zeros(3))


@every_rule
def test_no_coordinate_looks_at_another(rule):
    order = [2, 0, 1]
    permuted = walk(rule, GRADIENTS[:, order], theta=np.array([1.0, -2.0, 3.0])[order])
    np.testing.assert_array_equal(permuted, walk(rule, GRADIENTS)[:, order])


@every_rule
def test_whole_numbers_as_a_start_do_not_truncate_the_state(rule):
    whole, real = rule.init(np.array([1, 2, 3])), rule.init(np.array([1.0, 2.0, 3.0]))
    for one, other in zip(whole, real, strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype


@every_rule
def test_zero_gradients_and_no_decay_mean_no_step(rule):
    step, _ = rule.update(np.zeros(3), rule.init(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(step, np.zeros(3))


@pytest.mark.parametrize(
    ("rule", "same"),
    [
        (rules.momentum(0.1, 0), rules.gradient_descent(0.1)),
        (rules.momentum(0.1, 0, nesterov=True), rules.gradient_descent(0.1)),
        (rules.adamw(0.1, weight_decay=0), rules.adam(0.1)),
        (rules.lion(0.1, beta_1=0), rules.lion(0.1, beta_1=0, beta_2=0)),
        (rules.gradient_descent(schedules.constant(0.1)), rules.gradient_descent(0.1)),
    ],
    ids=["momentum", "nesterov", "adamw", "lion", "schedule"],
)
def test_a_setting_that_turns_a_rule_s_idea_off_leaves_the_simpler_rule(rule, same):
    np.testing.assert_array_equal(walk(rule, GRADIENTS), walk(same, GRADIENTS))


def test_amsgrad_is_adam_while_the_squared_gradients_grow_and_no_longer():
    growing = GRADIENTS[0] * 1.1 ** np.arange(20)[:, np.newaxis]
    adam, amsgrad = rules.adam(0.1, beta_2=0.5), rules.amsgrad(0.1, beta_2=0.5)
    np.testing.assert_array_equal(walk(amsgrad, growing), walk(adam, growing))
    assert np.all(walk(amsgrad, growing[::-1])[-1] != walk(adam, growing[::-1])[-1])


@settings(deadline=None, derandomize=True)
@given(st.floats(1e-3, 1e6), st.floats(1e-4, 10))
def test_adam_s_first_step_is_its_rate_whatever_the_gradient(size, learning_rate):
    step = walk(rules.adam(learning_rate), [[size, -size, 2 * size]], theta=np.zeros(3))[0]
    # Epsilon hat weighs 1 / sqrt(1 - beta_2) = 31.6 times more in the first step.
    np.testing.assert_allclose(step, learning_rate * np.array([-1, 1, -1]), rtol=1.01 * 31.7e-7 / size)


def test_momentum_with_a_constant_gradient_reaches_its_terminal_velocity():
    path = walk(rules.momentum(0.1, 0.9), np.ones((400, 1)), theta=[0.0])
    np.testing.assert_allclose(path[-1] - path[-2], -0.1 / (1 - 0.9), rtol=1e-12)


def test_keras_momentum_keeps_its_speed_when_the_rate_falls():
    falling = schedules.piecewise_constant([4], [0.1, 1e-9])
    steps = np.diff(walk(rules.momentum(falling, 0.5), np.ones((8, 1)), theta=[0.0]), axis=0).ravel()
    np.testing.assert_allclose(steps[5] / steps[4], 0.5, rtol=1e-5)  # optax would have stopped at once


def test_centred_rmsprop_survives_constant_huge_gradients():
    """Their variance is 0, and rounding makes it negative for some: a root that Keras may take."""
    constants = 1e9 * np.random.default_rng(0).uniform(1, 2, 200)
    path = walk(rules.rmsprop(0.1, centered=True), np.tile(constants, (500, 1)), theta=np.zeros(200))
    assert np.isfinite(path).all()


def test_adamw_without_a_gradient_decays_geometrically():
    path = walk(rules.adamw(0.01, weight_decay=0.1), np.zeros((100, 1)), theta=[1.0])
    np.testing.assert_allclose(path[-1], (1 - 0.01 * 0.1) ** 100, rtol=1e-13)
    assert round(path[-1].item(), 6) == 0.904792


def test_adam_ends_at_the_worst_point_of_reddi_s_problem_and_amsgrad_at_the_best():
    settings = {"beta_1": 0.0, "beta_2": 1 / (1 + 3**2)}

    def end(rule):
        theta, state = np.array([0.0]), rule.init(np.zeros(1))
        for k in range(6000):
            step, state = rule.update(np.array([3.0 if k % 3 == 0 else -1.0]), state, theta)
            theta = np.clip(theta + step, -1, 1)
        return theta.item()

    rate = lambda k: 0.5 / math.sqrt(k + 1)
    assert end(rules.adam(rate, **settings)) > 0.99
    assert end(rules.amsgrad(rate, **settings)) < -0.99


OUTSIDE = {"learning_rate": (-0.1, 0, math.inf), "epsilon": (0, -1e-7)}
OUTSIDE |= dict.fromkeys(("beta", "beta_1", "beta_2", "rho", "momentum"), (1, 1.5, -0.1))
OUTSIDE |= dict.fromkeys(("weight_decay", "initial_accumulator_value"), (-0.1,))
OPTIONS = [
    (make, option)
    for make in (rules.gradient_descent, rules.momentum, rules.adagrad, rules.rmsprop, rules.adadelta, rules.adam,
                 rules.amsgrad, rules.nadam, rules.adamw, rules.lion)
    for option in inspect.signature(make).parameters if option not in ("nesterov", "centered")
]  # fmt: skip


@pytest.mark.parametrize(("make", "option"), OPTIONS)
def test_a_setting_out_of_range_is_an_error_that_names_it(make, option):
    for value in OUTSIDE[option]:
        with pytest.raises(ValueError, match=rf"^{option} must be a finite number .*, not "):
            make(**{"learning_rate": 0.1, option: value})


@pytest.mark.parametrize("rate", [-0.1, math.nan])
def test_a_schedule_that_breaks_its_promise_is_caught_at_the_update_where_it_does(rate):
    rule = rules.momentum(lambda k: 0.1 if k < 2 else rate)
    with pytest.raises(ValueError, match=r"^learning_rate\(2\) must be a finite number at least 0"):
        walk(rule, GRADIENTS)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: schedules.constant(0), "learning_rate"),
        (lambda: schedules.exponential_decay(0.1, 0, 0.5), "decay_steps"),
        (lambda: schedules.exponential_decay(0.1, 5, 0), "decay_rate"),
        (lambda: schedules.step_decay(-0.1, 5, 0.5), "initial_learning_rate"),
        (lambda: schedules.inverse_time_decay(0.1, 1, math.inf), "decay_rate"),
        (lambda: schedules.cosine_decay(0.1, 5, -0.1), "alpha"),
        (lambda: schedules.warm_up(0.1, 0), "warmup_steps"),
        (lambda: schedules.warm_up(-0.1, 5), "schedule"),
        (lambda: schedules.piecewise_constant([5, 5], [1, 2, 3]), "boundaries"),
        (lambda: schedules.piecewise_constant([5], [1, 2, 3]), "values"),
        (lambda: schedules.piecewise_constant([5], [1, -2]), r"values\[1\]"),
    ],
)
def test_a_schedule_out_of_range_is_an_error_that_names_the_argument(make, argument):
    with pytest.raises(ValueError, match=f"^{argument} must "):
        make()


def test_a_label_says_which_schedule_runs():
    assert rules.adam(schedules.cosine_decay(0.1, 10)).name == "adam(0.1, cosine decay)"
    assert rules.adam(schedules.warm_up(0.1, 10)).name == "adam(0.1 after 10 warm-up)"


def test_warm_up_climbs_to_the_rate_and_then_follows_its_schedule_from_its_beginning():
    after = schedules.step_decay(0.4, 2, 0.5)
    rate = schedules.warm_up(after, 4)
    np.testing.assert_allclose([rate(k) for k in range(8)], [0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.2, 0.2])
