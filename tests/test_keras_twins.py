"""Every rule and every schedule by hand makes the steps that its twin in Keras makes."""

import inspect
import sys

import keras
import numpy as np
import pytest

from gdexplain.by_hand import rules, schedules
from tests.alike import alike

SHAPES = [(3, 2), (2,), ()]  # a kernel, a bias and a scalar: a rule that mixes up its variables shows here
SIZES = [int(np.prod(shape)) for shape in SHAPES]
UPDATES = 60

# Rule by hand and twin in Keras, from the rate and the settings: values that float32 holds exactly, because Keras keeps
# the rate and some betas in float32 even for float64 variables.
O = keras.optimizers
BETAS = {"beta_1": 7 / 8, "beta_2": 127 / 128, "epsilon": 2**-20}
TWINS = {
    "gradient_descent": (rules.gradient_descent, O.SGD, {}),
    "momentum": (rules.momentum, lambda eta, beta=0.9: O.SGD(eta, momentum=beta), {"beta": 7 / 8}),
    "momentum, nesterov": (
        lambda eta, beta=0.9: rules.momentum(eta, beta, nesterov=True),
        lambda eta, beta=0.9: O.SGD(eta, momentum=beta, nesterov=True),
        {"beta": 7 / 8},
    ),
    "adagrad": (rules.adagrad, O.Adagrad, {"initial_accumulator_value": 0.125, "epsilon": 2**-20}),
    "rmsprop": (rules.rmsprop, O.RMSprop, {"rho": 7 / 8, "epsilon": 2**-20}),
    "rmsprop, centered": (
        lambda eta, **options: rules.rmsprop(eta, centered=True, **options),
        lambda eta, **options: O.RMSprop(eta, centered=True, **options),
        {"rho": 7 / 8, "epsilon": 2**-10},
    ),
    "rmsprop, momentum": (
        lambda eta, rho=0.9, momentum=0.9: rules.rmsprop(eta, rho=rho, momentum=momentum),
        lambda eta, rho=0.9, momentum=0.9: O.RMSprop(eta, rho=rho, momentum=momentum),
        {"rho": 7 / 8, "momentum": 0.75},
    ),
    "rmsprop, centered, momentum": (
        lambda eta, rho=0.9: rules.rmsprop(eta, rho=rho, momentum=0.5, centered=True),
        lambda eta, rho=0.9: O.RMSprop(eta, rho=rho, momentum=0.5, centered=True),
        {"rho": 7 / 8},
    ),
    "adadelta": (rules.adadelta, O.Adadelta, {"rho": 15 / 16, "epsilon": 2**-20}),
    "adam": (rules.adam, O.Adam, BETAS),
    "amsgrad": (rules.amsgrad, lambda eta, **options: O.Adam(eta, amsgrad=True, **options), BETAS),
    "nadam": (rules.nadam, O.Nadam, BETAS),
    "adamw": (rules.adamw, O.AdamW, {**BETAS, "weight_decay": 2**-4}),
    "lion": (rules.lion, O.Lion, {"beta_1": 7 / 8, "beta_2": 63 / 64}),
}


def test_every_public_rule_has_a_twin():
    public = {
        name
        for name, value in vars(rules).items()
        if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == rules.__name__
    }
    assert {name.split(",")[0] for name in TWINS} == public


def problem():
    """A start and a noisy gradient of the flat parameters, with curvatures from 0.1 to 10."""
    rng = np.random.default_rng(0)
    size = sum(SIZES)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    hessian = basis * np.geomspace(0.1, 10, size) @ basis.T
    minimum, noise = rng.normal(size=size), rng.normal(size=(UPDATES, size))
    return rng.normal(size=size), lambda theta, k: hessian @ (theta - minimum) + np.sin(theta) + noise[k]


def walk_by_hand(rule):
    theta, gradient = problem()
    state, path = rule.init(theta), [theta]
    for k in range(UPDATES):
        step, state = rule.update(gradient(theta, k), state, theta)
        theta = theta + step
        path.append(theta)
    return np.array(path)


def walk_in_keras(optimizer):
    theta, gradient = problem()
    cuts = np.cumsum(SIZES)[:-1]
    parts = zip(np.split(theta, cuts), SHAPES, strict=True)
    variables = [keras.Variable(part.reshape(shape), dtype="float64") for part, shape in parts]
    path = [theta]
    for k in range(UPDATES):
        grads = zip(np.split(gradient(path[-1], k), cuts), SHAPES, strict=True)
        optimizer.apply(
            [keras.ops.convert_to_tensor(part.reshape(shape), "float64") for part, shape in grads], variables
        )
        path.append(np.concatenate([variable.numpy().ravel() for variable in variables]))
    return np.array(path)


def largest_difference(name):
    """The largest distance of the two walks, relative to the longer coordinate (or to 1)."""
    by_hand, in_keras, options = TWINS[name]
    learning_rate = 1.0 if name == "adadelta" else 2**-6
    ours, theirs = walk_by_hand(by_hand(learning_rate, **options)), walk_in_keras(in_keras(learning_rate, **options))
    assert np.abs(theirs[-1] - theirs[0]).max() > 0.01  # they went somewhere
    return np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs)))


@pytest.fixture
def floats_cast_exactly(monkeypatch):
    """Nadam of Keras casts its constant 0.96 to float64 by way of float32. Here it does not."""
    ops = sys.modules[O.Nadam.__module__].ops
    cast = ops.cast
    monkeypatch.setattr(ops, "cast", lambda x, dtype: cast(np.asarray(x) if isinstance(x, float) else x, dtype))


@pytest.mark.parametrize("name", alike(TWINS))
def test_a_rule_equals_its_twin_to_1e12_where_float32_holds_the_settings(name, floats_cast_exactly):
    assert largest_difference(name) < 1e-12


def test_nadam_differs_from_keras_as_it_is_by_the_rounding_of_one_constant():
    assert 1e-12 < largest_difference("nadam") < 1e-7


@pytest.mark.parametrize("name", ["adagrad", "rmsprop", "adadelta", "adam", "amsgrad", "nadam", "adamw", "lion"])
def test_a_rule_has_its_twin_s_settings_and_their_defaults_but_always_asks_for_the_rate(name):
    by_hand, in_keras, _ = TWINS[name]
    in_keras = O.Adam if name == "amsgrad" else in_keras
    ours, theirs = (inspect.signature(maker).parameters for maker in (by_hand, in_keras))
    assert ours["learning_rate"].default is inspect.Parameter.empty
    for option in set(ours) - {"learning_rate"}:
        assert ours[option].default == theirs[option].default, option


RATE, SHARE = np.float64(0.4), np.float64(0.5)  # Keras computes a schedule in its first rate's dtype: here float64
SCHEDULE_TWINS = {
    "piecewise_constant": (
        schedules.piecewise_constant([10, 20], [0.4, 0.2, 0.1]),
        O.schedules.PiecewiseConstantDecay([10, 20], [RATE, RATE / 2, RATE / 4]),
    ),
    "exponential_decay": (schedules.exponential_decay(0.4, 7, 0.5), O.schedules.ExponentialDecay(RATE, 7, SHARE)),
    "step_decay": (
        schedules.step_decay(0.4, 7, 0.5),
        O.schedules.ExponentialDecay(RATE, 7, SHARE, staircase=True),
    ),
    "inverse_time_decay": (schedules.inverse_time_decay(0.4, 7, 0.5), O.schedules.InverseTimeDecay(RATE, 7, SHARE)),
    "cosine_decay": (schedules.cosine_decay(0.4, 30, 0.125), O.schedules.CosineDecay(RATE, 30, 0.125)),
    "warm_up": (
        schedules.warm_up(schedules.cosine_decay(0.4, 30), 8),
        O.schedules.CosineDecay(np.float64(0), 30, warmup_target=RATE, warmup_steps=8),
    ),
}


def test_every_public_schedule_has_a_twin():
    public = {name for name, value in vars(schedules).items() if inspect.isfunction(value) and name[0] != "_"}
    public = {name for name in public if getattr(schedules, name).__module__ == schedules.__name__}
    assert {*SCHEDULE_TWINS, "constant"} == public


@pytest.mark.parametrize("name", SCHEDULE_TWINS)
def test_a_schedule_equals_its_twin_at_every_update(name):
    schedule, twin = SCHEDULE_TWINS[name]
    theirs = [float(twin(k)) for k in range(60)]
    ours = [schedule(k) for k in range(60)]
    assert all(isinstance(rate, float) for rate in ours)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULE_TWINS)
def test_a_rule_asks_its_schedule_when_keras_does(name):
    schedule, twin = SCHEDULE_TWINS[name]
    theirs = walk_in_keras(O.SGD(twin, momentum=0.75))
    ours = walk_by_hand(rules.momentum(schedule, 0.75))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())
