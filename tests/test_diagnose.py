"""A diagnosis names the fault, bears it out, finds none where there is none, and leaves everything as it was."""

import random
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from gdexplain import Finding, diagnose, train
from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose import checks, locate, look, measure, trial
from gdexplain.in_keras.diagnose.restore import put_back
from tests.alike import alike
from tests.faulty import CONTROL, FAULTY, stack
from tests.test_model import gaussian, pinball

ROOT = Path(__file__).parents[1]
QUICK = ("square", "exclusive or", "noisy square", "relu end", "passengers")  # `nox -s diagnose-score` tries them all


@pytest.fixture(scope="module")
def reports():
    """Each quick failure, diagnosed once."""
    made = {}

    def of(name):
        if name not in made:
            case = FAULTY[name](fixed=False)
            made[name] = case, diagnose(case.model, case.data, **case.options())
        return made[name]

    return of


@pytest.fixture(autouse=True)
def _same_start():
    keras.utils.set_random_seed(0)


def small(activation="tanh", end="linear", units=1):
    return stack(2, layers.Dense(6, activation), layers.Dense(units, end))


def bowl(n=64):
    x = np.random.default_rng(0).standard_normal((n, 2)).astype("float32")
    return x, (x @ np.array([[1.0], [-0.5]])).astype("float32")


def bench_of(model, data, *, loss="mse", optimizer=None, batch_size=16, updates=50):
    problem = core.pose(model, data, loss, batch_size=batch_size)
    start = tuple(variable.numpy() for variable in problem.variables)
    setup = measure.Setup(problem.x, problem.y, loss, batch_size, updates, start)
    task = look.task_of(problem.y, model.output_shape[-1:], measure.loss_of(problem)[0])
    optimizer = optimizer or keras.optimizers.SGD(0.05)
    return measure.Bench(model, setup, task, lambda one, _: measure.Way(one, optimizer, batch_size)), setup


@pytest.mark.parametrize("name", QUICK)
def test_a_real_failure_has_a_true_fault_named(name, reports):
    case, report = reports(name)
    assert case.truth & {finding.name for finding in report.findings}, report


def test_what_is_wrong_comes_before_too_few_units_which_more_would_make_up_for(reports):
    names = [finding.name for finding in reports("relu end")[1].findings]
    assert names[0] == "output activation"


@pytest.mark.parametrize("name", QUICK)
def test_every_finding_is_borne_out_by_its_own_trial(name, reports):
    for finding in reports(name)[1].findings:
        assert finding.helps
        assert finding.change
        assert np.mean(finding.after) < np.mean(finding.before)


@pytest.mark.parametrize("make", [FAULTY["square"], FAULTY["relu end"], CONTROL["iris"]])
def test_of_a_twin_that_works_nothing_is_said(make):
    case = make(fixed=True)
    report = diagnose(case.model, case.data, **case.options())
    assert all(finding.helps for finding in report.findings)
    assert "output activation" not in {finding.name for finding in report.findings}


def test_a_healthy_run_is_said_to_learn_and_nothing_is_tried():
    report = diagnose(small(), bowl(), optimizer="adam", loss="mse", batch_size=8, epochs=100)
    assert report.findings == report.tried == ()
    assert "Nothing found: the model learns." in str(report)


def test_what_was_tried_in_vain_is_said():
    rng = np.random.default_rng(0)
    data = rng.standard_normal((64, 2)), rng.standard_normal((64, 1))  # noise: there is nothing to learn
    report = diagnose(stack(2, layers.Dense(1)), data, optimizer=keras.optimizers.SGD(0.1), loss="mse")
    assert not report.findings
    assert "Nothing found; tried" in str(report)


def test_the_report_says_evidence_change_numbers_and_page(reports):
    said = str(reports("square")[1])
    for part in ("1. output activation", "sigmoid gives numbers from 0 to 1", "activation='linear'", "before", "page:"):
        assert part in said


def test_nothing_of_the_users_is_changed():
    x, y = bowl()
    model = stack(
        2, layers.Dense(6, "relu"), layers.Dropout(0.3), layers.BatchNormalization(), layers.Dense(1, "sigmoid")
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    keras.utils.set_random_seed(3)
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    held, values = dict(vars(model)), [variable.numpy() for variable in variables]
    legacy = np.random  # the generator that users seed with `np.random.seed`
    chance, floatx = (random.getstate(), legacy.get_state()), keras.config.floatx()
    report = diagnose(model, (x, y), batch_size=16, seconds=3)
    assert report.errors
    assert vars(model).keys() == held.keys()
    assert all(vars(model)[key] is value for key, value in held.items())
    for variable, value in zip(variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert random.getstate() == chance[0]
    np.testing.assert_array_equal(legacy.get_state()[1], chance[1][1])
    assert keras.config.floatx() == floatx


def test_a_fit_after_a_diagnosis_is_the_fit_without_it():
    x, y = bowl()
    losses = []
    for looked_at in (False, True):
        keras.utils.set_random_seed(0)
        model = stack(2, layers.Dense(6, "relu"), layers.Dropout(0.3), layers.Dense(1, "sigmoid"))
        model.compile(keras.optimizers.Adam(0.01), "mse")
        keras.utils.set_random_seed(1)
        if looked_at:
            diagnose(model, (x, y), seconds=2)
        losses.append(model.fit(x, y, epochs=3, batch_size=16, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_a_full_batch_run_is_the_run_of_train():
    data = bowl()
    model = small()
    bench, setup = bench_of(model, data, batch_size=64, updates=30)
    with put_back(model):
        run = bench.run(setup, 0)
    recorded = train(model, data, optimizer=keras.optimizers.SGD(0.05), loss="mse", batch_size=None, epochs=30)
    np.testing.assert_allclose(run.loss, recorded.loss, rtol=1e-5)
    cuts = np.cumsum([np.prod(shape, dtype=int) for _, shape in recorded.layout])[:-1]
    norms = [[np.linalg.norm(part) for part in np.split(row, cuts)] for row in recorded.gradients]
    np.testing.assert_allclose(run.sizes[:, 0], norms, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("y", "width", "kind"),
    [
        (np.linspace(0, 5, 12)[:, np.newaxis], 1, "regression"),
        (np.arange(12)[:, np.newaxis] % 2, 1, "binary"),
        (np.eye(3)[np.arange(12) % 3], 3, "one-hot"),
        (np.arange(12) % 3, 3, "labels"),
        (np.eye(2)[np.arange(12) % 2], 2, "one-hot"),
        ((np.arange(48).reshape(12, 4) // 3) % 2, 4, "binary"),
    ],
)
def test_the_kind_of_problem_is_read_from_the_targets_and_a_guess_has_the_error_1(y, width, kind):
    task = look.task_of(y, (width,), "")
    assert task.kind == kind
    share = y.mean(0) if kind != "labels" else np.bincount(y) / len(y)
    guess = np.broadcast_to(share, (len(y), width))
    assert task.judge(y, guess, logits=False)[0] == pytest.approx(1, rel=1e-6)


def test_the_log_loss_is_that_of_keras():
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, 3, 40), rng.dirichlet(np.ones(3), 40).clip(0.01)
    p /= p.sum(1, keepdims=True)
    task = look.task_of(labels, (3,), "")
    keras_says = float(keras.losses.SparseCategoricalCrossentropy()(labels, p))
    assert task.judge(labels, p, logits=False)[0] * task.guess == pytest.approx(keras_says, rel=1e-5)
    assert task.judge(labels, np.log(p), logits=True)[0] * task.guess == pytest.approx(keras_says, rel=1e-5)


def test_a_regression_has_no_right_answers_even_where_its_predictions_are_no_numbers():
    y = np.linspace(0, 5, 12)[:, np.newaxis]
    error, accuracy = look.task_of(y, (1,), "").judge(y, y * np.nan, logits=False)
    assert error == look.CEILING
    assert np.isnan(accuracy)


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_targets_that_slipped_are_seen_to_be_off_by_as_many_rows(shift):
    x = np.random.default_rng(0).uniform(-1, 1, (300, 1))
    y = x**2
    assert look.best_shift(x, y)[0] == 0
    assert look.best_shift(x, np.roll(y, shift, axis=0))[0] == -shift


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 40), width=st.integers(1, 40), updates=st.integers(1, 300), seed=st.integers(0, 9))
def test_each_epoch_of_batches_has_each_row_once(n, width, updates, seed):
    width = min(n, width)
    rows = np.concatenate(list(measure.batches(n, width, updates, seed)))
    assert rows.shape == (updates, width)
    for epoch in np.split(rows.ravel(), range(n, rows.size, n)):
        assert len(set(epoch.tolist())) == len(epoch)


def test_a_second_start_has_the_numbers_of_the_first():
    start = [np.arange(12.0).reshape(3, 4), np.arange(4.0), np.zeros((2, 3))]
    moved = look.second_start(start, [True, False, False], 1)
    assert not np.array_equal(moved[0], start[0])
    np.testing.assert_array_equal(np.sort(moved[0].ravel()), start[0].ravel())
    np.testing.assert_array_equal(moved[1], start[1])


errors = st.lists(st.floats(0, 2), min_size=2, max_size=2)


@given(before=errors, after=errors)
def test_a_change_that_helps_less_than_the_seeds_differ_is_no_finding(before, after):
    finding = Finding("x", "", "", tuple(before), tuple(after), "")
    overlap = max(after) >= min(before)
    if np.mean(after) >= np.mean(before) or (overlap and finding.gain <= max(np.ptp(before), np.ptp(after))):
        assert not finding.helps


@pytest.mark.parametrize("after", [0.9, 0.8, 0.5])
def test_a_run_that_gets_away_from_a_guess_is_helped_however_far_it_gets(after):
    assert Finding("x", "", "", (1.0, 1.0), (after, after), "").helps


class Doubled(layers.Layer):
    """A layer whose own gradient is wrong by a factor."""

    def call(self, inputs):
        @tf.custom_gradient
        def same(z):
            return z, lambda upstream: 2 * upstream

        return same(inputs)


def test_a_gradient_of_ones_own_that_is_wrong_is_found():
    model = stack(2, layers.Dense(3, "tanh"), Doubled(name="doubled"), layers.Dense(1))
    report = diagnose(model, bowl(), optimizer="adam", loss="mse", epochs=60)
    assert report.findings[0].name == "gradient"
    assert "doubled" in report.findings[0].evidence


def test_weights_that_a_run_has_lost_are_named():
    model = small()
    model.layers[0].set_weights([np.full((2, 6), np.nan), np.zeros(6)])
    assert "finite weights" in diagnose(model, bowl(), optimizer="sgd", loss="mse").findings[0].evidence


def test_a_model_that_is_not_built_is_built_and_diagnosed():
    model = keras.Sequential([layers.Dense(6, "tanh"), layers.Dense(1, "sigmoid")])
    x, y = bowl()
    report = diagnose(
        model, (x.tolist(), (20 * y).tolist()), optimizer=keras.optimizers.Adam(0.05), loss="mse", epochs=9
    )
    assert report.findings[0].name == "output activation"


def test_whole_numbers_are_scaled_as_others_are():
    x = np.random.default_rng(0).integers(0, 256, (128, 2)).astype("uint8")
    y = (x.sum(1) > 255).astype(int)
    report = diagnose(
        small("tanh", "sigmoid"), (x, y), optimizer="adam", loss="binary_crossentropy", batch_size=8, epochs=40
    )
    assert "unscaled inputs" in {finding.name for finding in report.findings}


def test_columns_that_tell_nothing_are_noted():
    x, _ = bowl()
    notes = look.columns(np.column_stack([x, x[:, :1], np.ones(64)]))
    assert notes == ["Among the 4 columns of x: 1 without a second value, 1 that others repeat."]
    assert look.columns(x) == []


def test_several_outputs_are_measured_by_their_loss():
    x, y = bowl()
    inputs = keras.Input((2,))
    model = keras.Model(inputs, [layers.Dense(1, name="a")(inputs), layers.Dense(1, name="b")(inputs)])
    report = diagnose(model, (x, [y, -y]), optimizer=keras.optimizers.SGD(0.1), loss="mse", epochs=60)
    assert report.measure == "loss, as a share of the first"
    assert max(report.errors) < 0.2


class Subclass(keras.Model):
    """Does not say its shapes."""

    def __init__(self):
        super().__init__()
        self.hidden, self.end = layers.Dense(6, "tanh"), layers.Dense(3, "softmax")

    def call(self, inputs):
        return self.end(self.hidden(inputs))


def test_a_subclass_is_measured_by_its_predictions():
    x, _ = bowl(90)
    labels = np.digitize(x[:, 0], [-0.5, 0.5])
    loss = "sparse_categorical_crossentropy"
    report = diagnose(
        Subclass(), (x, labels), optimizer=keras.optimizers.Adam(1e-6), loss=loss, batch_size=8, epochs=20
    )
    assert "log loss" in report.measure
    assert "learning rate too low" in {finding.name for finding in report.findings}


class OwnStep(keras.Model):
    """Has a train_step of its own, which is Keras' in other words."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        self.second.apply([tf.zeros_like(weight.value) for weight in self.trainable_weights], self.trainable_weights)
        return {"loss": loss}


def test_a_model_with_a_train_step_of_its_own_is_diagnosed_by_fit_and_put_back():
    x, y = bowl()
    inputs = keras.Input((2,))
    model = OwnStep(inputs, layers.Dense(1, "sigmoid", name="end")(layers.Dense(6, "tanh")(inputs)))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.second = keras.optimizers.SGD(0.1)
    held, values = dict(vars(model)), [variable.numpy() for variable in model.variables]
    report = diagnose(model, (x, 20 * y), batch_size=16, epochs=20)
    assert report.findings[0].name == "output activation"
    assert all(vars(model)[key] is value for key, value in held.items())
    assert int(model.optimizer.iterations) == int(model.second.iterations) == 0
    for variable, value in zip(model.variables, values, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    with pytest.raises(ValueError, match="optimizer left out"):
        diagnose(model, (x, y), optimizer="sgd")
    with pytest.raises(ValueError, match="optimizer must be the name of a Keras optimizer, not 'nonsense'"):
        diagnose(model, (x, y), optimizer="nonsense")


@pytest.mark.parametrize(
    ("labels", "end", "loss", "name", "change"),
    [
        ([-1, 1], 1, "binary_crossentropy", "labels", "y = (y == 1).astype('float32')"),
        ([1, 2, 3], 3, "sparse_categorical_crossentropy", "labels", "y = y - 1"),
        ([1, 2, 3], 3, keras.losses.SparseCategoricalCrossentropy(from_logits=True), "labels", "y = y - 1"),
        ([3, 4, 5], 3, "sparse_categorical_crossentropy", "labels", "y = y - 3"),
        ([1, 5, 9], 3, "sparse_categorical_crossentropy", "labels", "y = np.unique(y, return_inverse=True)[1]"),
        ([0, 1, 2], 1, "binary_crossentropy", "output units", "Dense(3, activation='softmax') at the end"),
        ([1, 2, 3], 1, "binary_crossentropy", "output units", "Dense(3, activation='softmax') at the end"),
    ],
)
@pytest.mark.parametrize("kind", [np.array, list])
def test_labels_that_the_loss_cannot_take_are_named_before_any_run(labels, end, loss, name, change, kind):
    y = kind(labels * 8)
    report = diagnose(small(end="sigmoid" if end == 1 else "softmax", units=end), (np.ones((len(y), 2)), y), loss=loss)
    assert [finding.name for finding in report.findings] == [name]
    assert report.findings[0].change.startswith(change)


def test_targets_in_another_order_than_their_rows_are_noted():
    x, y = bowl(200)
    options = {"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", "epochs": 10}
    shuffled = diagnose(stack(2, layers.Dense(1)), (x, np.random.default_rng(1).permutation(y)), **options)
    assert not shuffled.findings
    assert "put into another order apart" in str(shuffled)
    assert "another order" not in str(diagnose(stack(2, layers.Dense(1, "relu")), (x, y), **options))


def test_a_schedule_that_stops_the_run_is_named_and_one_that_slows_it_down_is_not():
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype("float32")
    y = (np.linalg.norm(x, axis=1) < 0.7).astype("float32")
    for every, named in ((2, True), (500, False)):
        keras.utils.set_random_seed(0)
        schedule = keras.optimizers.schedules.ExponentialDecay(0.05, every, 0.5)
        model = stack(2, layers.Dense(16, "tanh"), layers.Dense(1, "sigmoid"))
        options = {"optimizer": keras.optimizers.Adam(schedule), "loss": "binary_crossentropy", "epochs": 40}
        names = {finding.name for finding in diagnose(model, (x, y), **options).findings}
        assert ("learning rate schedule" in names) == named


def test_softmax_between_layers_is_named():
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype("float32")
    y = (np.linalg.norm(x, axis=1) < 0.7).astype("float32")
    model = stack(2, layers.Dense(16, "softmax"), layers.Dense(16, "softmax"), layers.Dense(1, "sigmoid"))
    report = diagnose(model, (x, y), optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", epochs=30)
    assert "hidden activation" in {finding.name for finding in report.findings}
    assert "adds up to 1" in str(report)


def test_an_activation_before_the_one_at_the_end_is_named():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 300)
    x = 2 * rng.normal(size=(6, 4))[labels] + 0.3 * rng.normal(size=(300, 4))
    model = stack(4, layers.Dense(16, "relu"), layers.Dense(6, "relu", name="last"), layers.Softmax())
    options = {"optimizer": keras.optimizers.Adam(0.01), "loss": "sparse_categorical_crossentropy", "epochs": 40}
    report = diagnose(model, (x, labels), **options)
    assert report.findings[0].name == "hidden activation"
    assert report.findings[0].change.startswith("activation='linear' in 'last'")


class Damped(keras.optimizers.SGD):
    """An optimizer of one's own that does not say what it is made of, as most are."""

    def __init__(self, damping, learning_rate):
        super().__init__(learning_rate)
        self.damping = damping

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(self.damping * gradient, variable, learning_rate)


def test_an_optimizer_that_scales_the_loss_is_diagnosed_as_fit_trains():
    x, y = bowl()
    model = stack(2, layers.Dense(1, kernel_initializer="zeros"))
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), "mse")
    report = diagnose(model, (x, y), batch_size=16, epochs=20)
    assert not report.findings
    assert max(report.errors) < 0.01
    assert float(model.optimizer.learning_rate) == np.float32(0.1)
    assert all(not weight.numpy().any() for weight in model.weights)


def test_an_optimizer_of_ones_own_trains_by_fit_and_not_one_like_it():
    x, y = bowl()
    model = stack(2, layers.Dense(1, kernel_initializer="zeros"))
    with pytest.raises(
        ValueError, match="model must be compiled with its optimizer, and optimizer left out, as it does"
    ):
        diagnose(model, (x, y), optimizer=Damped(1e-3, 0.1), loss="mse")
    model.compile(Damped(1e-3, 0.1), "mse")
    report = diagnose(model, (x, y), batch_size=16, epochs=20)
    assert "learning rate too low" in {finding.name for finding in report.findings}
    assert "output activation" not in {finding.name for finding in report.findings}
    assert int(model.optimizer.iterations) == 0


def held(model):
    for layer in model.layers[:-1]:
        layer.trainable = False
    model.layers[0].set_weights([np.array([[1.0] * 6, [0.0] * 6]), np.zeros(6)])  # it never sees the second column
    return model


def penalised(model):
    for layer in model.layers:
        layer.kernel.regularizer = keras.regularizers.L2(1.0)
    return model


SPOILED = {  # how, by which name, and what change is told
    "frozen": (lambda: held(small()), {}, "frozen layers", "trainable = True for 'dense"),
    "dropout": (
        lambda: stack(2, layers.Dense(9, "relu"), layers.Dropout(0.97, name="d"), layers.Dense(1)),
        {},
        "dropout",
        "rate=0.1 in 'd'",
    ),
    "dropout of a cell": (
        lambda: stack(2, layers.Reshape((2, 1)), layers.LSTM(8, dropout=0.97), layers.Dense(1)),
        {"epochs": 60},
        "dropout",
        "dropout=0.1 in 'lstm_cell",
    ),
    "noise": (
        lambda: stack(2, layers.GaussianNoise(1.0, name="n"), layers.Dense(9, "relu"), layers.Dense(1)),
        {},
        "dropout",
        "stddev=0.1 in 'n'",
    ),
    "rescaling": (
        lambda: stack(2, layers.Rescaling(1 / 255, name="r"), layers.Dense(9, "relu"), layers.Dense(1)),
        {},
        "rescaling",
        "no Rescaling: scale=1 in 'r'",
    ),
    "penalty": (lambda: penalised(small()), {}, "penalty", "kernel_regularizer=None"),
    "activity": (
        lambda: stack(
            2,
            layers.Dense(9, "relu", activity_regularizer="l2"),
            layers.Dense(1, activity_regularizer=keras.regularizers.L2(9.0)),
        ),
        {},
        "penalty",
        "activity_regularizer=None",
    ),
    "bounds": (
        lambda: stack(
            2,
            layers.Dense(6, "tanh", kernel_constraint=keras.constraints.MaxNorm(0.01)),
            layers.Dense(1, kernel_constraint="non_neg"),
        ),
        {},
        "constraint",
        "kernel_constraint=None",
    ),
    "decay": (small, {"optimizer": keras.optimizers.AdamW(0.01, weight_decay=20.0)}, "penalty", "weight_decay=0.0"),
    "clipped": (small, {"optimizer": keras.optimizers.SGD(0.1, clipnorm=1e-6)}, "clipping", "clipnorm=None"),
    "alone in its batch": (
        lambda: stack(2, layers.Dense(6, "tanh"), layers.BatchNormalization(), layers.Dense(1)),
        {"batch_size": 1},
        "batch size",
        "batch_size=32",
    ),
    "averages": (  # the run itself learns, and what predict gives does not
        lambda: stack(2, layers.Dense(6, "tanh"), layers.BatchNormalization(momentum=0.9999), layers.Dense(1)),
        {},
        "batch normalisation",
        "momentum=0.9",
    ),
    "state": (
        lambda: stack(2, layers.Reshape((2, 1)), layers.GRU(4, activation=lambda x: 0.0 * x), layers.Dense(1)),
        {},
        "recurrent activation",
        "activation='tanh' in the recurrent layers",
    ),
}


@pytest.mark.parametrize("name", alike(SPOILED))
def test_what_keeps_weights_or_signals_small_or_still_is_named_and_put_back(name):
    make, options, fault, change = SPOILED[name]
    model, data = make(), bowl(200)
    kept = [(dict(vars(one)), one.trainable) for one in (*model._flatten_layers(), *model.variables)]
    options = {"optimizer": keras.optimizers.Adam(0.01), "loss": "mse", "batch_size": 16, "epochs": 30} | options
    report = diagnose(model, data, **options)
    assert fault in {finding.name for finding in report.findings}, report
    said = next(finding for finding in report.findings if finding.name == fault)
    assert said.change.startswith(change)
    now = [(vars(one), one.trainable) for one in (*model._flatten_layers(), *model.variables)]
    assert all(a.keys() == b.keys() and t == u for (a, t), (b, u) in zip(kept, now, strict=True))
    assert all(a[key] is b[key] for (a, _), (b, _) in zip(kept, now, strict=True) for key in a if key != "_trainable")


def test_a_model_that_is_frozen_whole_is_named_without_a_run():
    model = small()
    model.trainable = False
    report = diagnose(model, bowl(), optimizer="sgd", loss="mse")
    assert [finding.name for finding in report.findings] == ["frozen layers"]
    assert report.findings[0].change == "model.trainable = True"


def test_a_loss_with_a_state_is_put_back():
    class Growing(keras.losses.MeanSquaredError):
        weight = keras.Variable(1.0, trainable=False)

        def call(self, y_true, y_pred):
            self.weight.assign_add(0.5)
            return self.weight * super().call(y_true, y_pred)

    loss = Growing()
    diagnose(small(), bowl(), optimizer="sgd", loss=loss, epochs=1, seconds=2)
    assert float(loss.weight) == 1


class Poison(layers.Layer):
    """Gives NaN for the rows that are marked: on the way forward, or on the way back only."""

    def __init__(self, operation):
        super().__init__(name="poison")
        self.operation = operation

    def call(self, inputs):
        hidden, mark = inputs
        size = tf.abs(hidden)
        if self.operation == "Log":
            return hidden + 0 * tf.math.log(tf.where(mark > 0, -1 - size, 1 + size))
        return hidden + tf.sqrt(tf.where(mark > 0, 0 * size, 1 + size))  # finite; its slope at 0 is not


@pytest.mark.parametrize(("operation", "backward"), [("Log", False), ("SqrtGrad", True)])
def test_the_first_number_that_is_not_finite_is_traced_to_its_update_layer_operation_and_rows(operation, backward):
    x, y = bowl(200)
    mark = np.zeros((200, 1), "float32")
    mark[[23, 150]] = 1
    keras.utils.set_random_seed(0)
    inputs = keras.Input((2,)), keras.Input((1,))
    hidden = Poison(operation)([layers.Dense(4, "tanh")(inputs[0]), inputs[1]])
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    report = diagnose(model, ([x, mark], y), optimizer="sgd", loss="mse", batch_size=10)
    found = report.not_finite
    assert (found.layer, found.operation, found.backward) == ("poison", operation, backward)
    order = np.concatenate(list(measure.batches(200, 10, 20, 0)))
    first = next(number for number, rows in enumerate(order) if mark[rows].any())
    assert found.update == first
    assert set(found.rows) == set(order[first].tolist()) & {23, 150}
    assert report.findings[0].name == "not finite"
    assert "poison" in str(report)


def test_numbers_that_are_masked_away_are_not_blamed():
    masked = layers.Lambda(lambda h: tf.where(tf.abs(h) >= 0, h, tf.math.log(0 * tf.stop_gradient(h))), name="masked")
    model = stack(2, layers.Dense(4), masked, layers.Dense(1))
    data = bowl()
    bench, setup = bench_of(model, data, optimizer=keras.optimizers.SGD(1e30))
    with put_back(model):
        run = bench.run(setup, 0)
        assert run.diverged
        assert locate.first_not_finite(bench, setup, run, 0).layer != "masked"


def test_nan_in_the_data_is_found_without_a_run():
    x, y = bowl()
    x[7, 1] = np.nan
    report = diagnose(small(), (x, y), optimizer="sgd", loss="mse")
    assert report.findings[0].name == "data"
    assert "[7]" in report.findings[0].evidence


def test_a_loss_that_keras_refuses_is_named_with_the_one_that_fits():
    model = stack(2, layers.Dense(3, "softmax"))
    x, _ = bowl()
    report = diagnose(model, (x, np.arange(64) % 3), optimizer="sgd", loss="mse")
    assert report.findings[0].name == "loss"
    assert report.findings[0].change == "loss='sparse_categorical_crossentropy'"


@pytest.mark.parametrize(
    ("end", "loss"), [("softmax", "sparse_categorical_crossentropy"), ("sigmoid", keras.losses.BinaryCrossentropy())]
)
def test_one_output_for_many_classes_is_named(end, loss):
    report = diagnose(small(end=end), (bowl()[0], np.arange(64) % 5), optimizer="sgd", loss=loss)
    assert report.findings[0].name == "output units"
    assert "Dense(5" in report.findings[0].change


def test_ctrl_c_returns_what_is_known(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trial.Trial, "of", stop)
    model = small(end="sigmoid")
    weights = model.get_weights()
    report = diagnose(model, (bowl()[0], 20 * bowl()[1]), optimizer="sgd", loss="mse")
    assert "Stopped by Ctrl-C" in str(report)
    assert len(report.errors) >= 2
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_without_time_it_says_what_it_could_not_try():
    report = diagnose(small(end="sigmoid"), (bowl()[0], 20 * bowl()[1]), optimizer="sgd", loss="mse", seconds=1e-3)
    assert "No time was left to try: output activation" in str(report)


def test_the_report_is_one_file_that_asks_for_nothing(tmp_path, reports):
    pytest.importorskip("jinja2")
    report = reports("square")[1]
    text = report.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|src=|<script|@import|url\(", text)
    assert text.count("<svg") == len(report.findings)
    for finding in report.findings:
        assert finding.name in text
    hostile = replace(report, notes=("<b>&",))
    assert "&lt;b&gt;&amp;" in hostile.save(tmp_path / "other.html").read_text(encoding="utf-8")


def test_a_report_without_jinja_says_what_to_install(tmp_path, monkeypatch, reports):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"gdexplain\[report\]"):
        reports("square")[1].save(tmp_path / "report.html")


def test_each_check_has_a_page_that_exists():
    pages = {value for name, value in vars(checks).items() if name.isupper() and isinstance(value, str)}
    text = (ROOT / "gdexplain/in_keras/diagnose/checks.py").read_text(encoding="utf-8")
    pages |= set(re.findall(r'"((?:practice|gallery)/[\w/]+)"', text))
    assert len(pages) >= 4
    for page in pages:
        at = (
            ROOT / "examples" / f"{page.removeprefix('gallery/')}.py"
            if "gallery" in page
            else ROOT / "docs" / f"{page}.md"
        )
        assert at.exists(), page


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"epochs": 0}, {"batch_size": 0}])
def test_a_wrong_argument_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        diagnose(small(), bowl(), optimizer="sgd", loss="mse", **wrong)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"model must be a keras\.Model"):
        diagnose("model", bowl())


# -- what a fresh reader found --------------------------------------------------------------------------------------------


def test_the_change_that_is_named_for_inputs_with_a_constant_column_can_be_made():
    x = np.column_stack([np.ones(64), 1e4 + 3e4 * np.random.default_rng(0).uniform(size=64)])
    scaled, code = look.standardised(x)
    names = {"np": np, "x": x}
    exec(code, names)  # noqa: S102  # it is what a reader is told to write
    np.testing.assert_allclose(names["x"], scaled, atol=1e-12)


def test_targets_that_are_all_the_same_are_said_to_be_so_and_are_not_divided_by_their_spread():
    x = np.random.default_rng(0).normal(size=(64, 2))
    report = diagnose(dense(1), (x, np.full((64, 1), 5.0)), optimizer="adam", loss="mse", epochs=5)
    assert "All targets are the same" in str(report)
    assert "unscaled targets" not in [finding.name for finding in (*report.findings, *report.tried)]


@pytest.mark.parametrize(("low", "high"), [(1, 2), (-1, 1), (0, 255)])
def test_two_labels_that_are_not_0_and_1_are_named_with_the_line_that_makes_them_so(low, high):
    x = np.random.default_rng(0).normal(size=(64, 2))
    y = np.where(x[:, :1] > 0, float(high), float(low))
    report = diagnose(dense(1, "sigmoid"), (x, y), optimizer="adam", loss="binary_crossentropy")
    assert report.findings[0].name == "labels"
    names = {"y": y}
    exec(report.findings[0].change, names)  # noqa: S102  # it is what a reader is told to write
    np.testing.assert_array_equal(names["y"], x[:, :1] > 0)


def test_a_gradient_that_does_not_come_back_is_named():
    x = np.random.default_rng(0).normal(size=(64, 2))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1), keras.layers.Lambda(keras.ops.round)])
    report = diagnose(model, (x, 9 * x[:, :1]), optimizer="sgd", loss="mse", epochs=3, seconds=5)
    assert [finding.name for finding in report.findings] == ["no gradient"]


def dense(*options):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(*options)])


# -- what a stranger's models found -----------------------------------------------------------------------------------------


SHAPES = {  # predictions an example, the targets, and the loss
    "a word a place": ((8, 3), lambda x: x.argmax(-1), "sparse_categorical_crossentropy"),
    "a class is ignored": (
        (8, 3),
        lambda x: np.where(x[..., 0] > 1, -1, x.argmax(-1)),
        keras.losses.SparseCategoricalCrossentropy(ignore_class=-1),
    ),
    "quantiles": ((3,), lambda x: 1e5 * x[:, :1, 0], pinball),
    "two numbers for one": ((2,), lambda x: x[:, :1, 0], gaussian),
    "sides": ((1,), lambda x: np.sign(x[:, :1, 0]), "hinge"),
    "directions": ((3,), lambda x: x[:, 0], "cosine_similarity"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_targets_of_another_shape_than_the_predictions_are_judged_as_what_they_are(name):
    shape, targets, loss = SHAPES[name]
    x = np.random.default_rng(0).normal(size=(200, 8, 3)).astype("float32")
    end = "softmax" if len(shape) == 2 else None
    body = [layers.Dense(16, "relu")] if len(shape) == 2 else [layers.Flatten(), layers.Dense(32, "relu")]
    model = keras.Sequential([keras.Input((8, 3)), *body, layers.Dense(shape[-1], end)])
    report = diagnose(
        model, (x, targets(x).astype("float32")), optimizer=keras.optimizers.Adam(0.01), loss=loss, epochs=60
    )
    assert report.errors
    assert not report.findings or name == "quantiles", report  # of which the targets are far from 1


class Recoded(layers.Layer):
    """Adds its own loss, as autoencoders do."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        self.add_loss(keras.ops.mean((self.dense(inputs) - inputs) ** 2))
        return self.dense(inputs)


def test_a_model_whose_layers_add_the_loss_needs_no_targets_and_keeps_no_trace():
    model = stack(2, Recoded())
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(bowl()[0], None, verbose=0)
    kept = [set(layer._loss_ids) for layer in model.layers]
    assert diagnose(model, (bowl()[0], None), epochs=30).errors
    assert [set(layer._loss_ids) for layer in model.layers] == kept


def test_dropout_is_off_and_batch_normalisation_by_the_batch_where_predictions_are_judged():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype("float32")
    model = stack(4, layers.Dense(24, "relu"), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1))
    report = diagnose(
        model, (x, x[:, :1] * x[:, 1:2] + x[:, 2:3]), optimizer=keras.optimizers.Adam(0.01), loss="mse", epochs=100
    )
    assert max(report.errors) < 0.15
    assert not report.findings


def test_averages_that_are_not_those_of_the_data_are_noted():
    x = 8 + 3 * np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    slow = layers.BatchNormalization(momentum=0.99999)
    model = stack(4, slow, layers.Dense(16, "relu"), layers.Dense(1))
    report = diagnose(model, (x, (x[:, :1] - 8) / 3), optimizer=keras.optimizers.Adam(0.01), loss="mse", epochs=40)
    assert "stored averages of batch normalisation" in str(report)


@pytest.mark.parametrize("kind", [list, dict])
def test_one_of_several_inputs_that_is_not_scaled_is_named(kind):
    rng = np.random.default_rng(0)
    parts = {"a": rng.uniform(2e4, 2e5, (300, 1)), "b": rng.normal(size=(300, 2))}
    inputs = {name: keras.Input((part.shape[1],), name=name) for name, part in parts.items()}
    hidden = layers.Dense(16, "relu")(layers.Concatenate()(list(inputs.values())))
    x = parts if kind is dict else list(parts.values())
    model = keras.Model(inputs if kind is dict else list(inputs.values()), layers.Dense(1, "sigmoid")(hidden))
    y = (parts["a"] > 1.1e5).astype("float32")
    report = diagnose(model, (x, y), optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", epochs=20)
    assert report.findings[0].name == "unscaled inputs"
    assert report.findings[0].change.startswith("x['a'] = " if kind is dict else "x[0] = ")


def test_an_end_and_a_loss_that_are_both_wrong_are_changed_together():
    x = np.random.default_rng(0).normal(size=(400, 4))
    model = stack(4, layers.Dense(16, "relu"), layers.Dense(4, "softmax"))
    options = {"optimizer": keras.optimizers.Adam(0.01), "loss": "categorical_crossentropy", "epochs": 30}
    report = diagnose(model, (x, (x > 0).astype("float32")), **options)
    assert report.findings[0].name == "output activation"
    assert "'sigmoid'" in report.findings[0].change
    assert "BinaryCrossentropy" in report.findings[0].change


@pytest.mark.parametrize("model", ["dropout", "penalty"])
def test_what_keeps_a_model_from_learning_noise_by_heart_is_no_fault(model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6))
    y = (x[:, :1] + 2 * rng.normal(size=(300, 1))) / 2
    hidden = {
        "dropout": lambda: [layers.Dense(64, "relu"), layers.Dropout(0.5)],
        "penalty": lambda: [layers.Dense(64, "relu", kernel_regularizer=keras.regularizers.L2(0.02))],
    }[model]
    net = stack(6, *hidden(), *hidden(), layers.Dense(1))
    report = diagnose(net, (x, y), optimizer=keras.optimizers.Adam(0.003), loss="mse", epochs=30)
    assert model not in {finding.name for finding in report.findings}, report


def test_weights_that_no_gradient_reaches_are_named_beside_others_that_learn():
    stop = layers.Lambda(tf.stop_gradient)
    model = stack(2, layers.Dense(3, "tanh", name="first"), stop, layers.Dense(1, "tanh", name="last"))
    x, _ = bowl(200)
    report = diagnose(model, (x, np.sign(x[:, :1] * x[:, 1:])), optimizer="adam", loss="mse", epochs=20)
    said = [finding.evidence for finding in report.findings if finding.name == "no gradient"]
    assert said
    assert "first/kernel, first/bias is 0" in said[0]


def test_without_rows_and_with_one_kind_of_label_nothing_is_said_of_labels():
    for labels in ([], [2, 2, 2]):
        assert look.wrong_labels(np.array(labels), 1, "binary_crossentropy") is None


def test_a_weight_that_is_frozen_alone_is_named_by_its_layer():
    model = held(small())
    model.layers[0].trainable = True
    model.layers[0].kernel.trainable = False
    report = diagnose(model, bowl(200), optimizer=keras.optimizers.Adam(0.01), loss="mse", epochs=30)
    said = [finding.change for finding in (*report.findings, *report.tried) if finding.name == "frozen layers"]
    assert said == [f"trainable = True for '{model.layers[0].name}'"]


def test_a_rate_of_nothing_is_named_without_a_run():
    report = diagnose(small(), bowl(), optimizer=keras.optimizers.SGD(0.0), loss="mse")
    assert [(finding.name, finding.change) for finding in report.findings] == [
        ("learning rate too low", "learning_rate=0.001")
    ]


def test_what_is_no_loss_and_what_fixes_its_batches_are_refused_by_name():
    with pytest.raises(ValueError, match="loss must be the name of a Keras loss, not 'nonsense'"):
        diagnose(small(), bowl(), optimizer="sgd", loss="nonsense")
    inputs = keras.Input(batch_shape=(16, 4, 2))
    model = keras.Model(inputs, layers.Dense(1)(layers.LSTM(3, stateful=True)(inputs)))
    with pytest.raises(ValueError, match="model must take batches of any size, but its inputs fix 16 examples"):
        diagnose(model, (np.ones((64, 4, 2)), np.ones((64, 1))), optimizer="sgd", loss="mse", batch_size=16)


# -- what a second stranger's models found ----------------------------------------------------------------------------------


def backwards(targets, predictions):
    return -keras.ops.mean((targets - predictions) ** 2, axis=-1)


def floorless(targets, predictions):
    return keras.ops.mean(predictions - targets, axis=-1)


def of_means(targets, predictions):
    return keras.ops.square(keras.ops.mean(targets) - keras.ops.mean(predictions))


def own_logits(targets, predictions):
    return keras.ops.binary_crossentropy(keras.ops.cast(targets, predictions.dtype), predictions, from_logits=True)


def own_labels(targets, predictions):
    labels = keras.ops.cast(keras.ops.reshape(targets, (-1,)), "int32")
    return keras.ops.sparse_categorical_crossentropy(labels, predictions, from_logits=True)


def far(data):
    return data[0], data[1] ** 3 + 0.3


def rarely(n=400):
    x, rng = bowl(n)[0], np.random.default_rng(1)
    return x, np.where(rng.uniform(size=(n, 1)) < 0.4, np.exp(x[:, :1]), 0).astype("float32")


def series(n=300):
    noise = np.random.default_rng(1).normal(size=n).astype("float32")
    return np.cumsum(noise - noise.mean()) / 5


SIGNS = bowl()[0], (bowl()[1] > 0).astype("float32")
WINDOWS = np.lib.stride_tricks.sliding_window_view(series(), 6)
FAULTS_OF_STRANGERS = {  # the end of the model, its loss, the data, and what is named
    "the next number of noise": (
        lambda: [layers.Dense(1)],
        "mse",
        (np.diff(series())[:-1, None], np.diff(series())[1:, None]),
        [],
    ),
    "the next number, scaled": (lambda: [layers.Dense(1)], "mse", (WINDOWS[:-1], 100 * WINDOWS[1:, -1:] + 7), []),
    "hinge with labels of 0 and 1": (
        lambda: [layers.Dense(1)],
        "hinge",
        SIGNS,
        [],
    ),
    "a loss with the wrong sign": (lambda: [layers.Dense(1)], backwards, bowl(), ["loss of your own"]),
    "a loss of means": (lambda: [layers.Dense(1)], of_means, bowl(), ["loss of your own"]),
    "shares of what is near 0": (lambda: [layers.Dense(1)], "mean_absolute_percentage_error", far(bowl()), ["loss"]),
    "a loss without a floor": (lambda: [layers.Dense(1)], floorless, bowl(), ["loss of your own"]),
    "counts, and an end that may be below 0": (
        lambda: [layers.Dense(1)],
        "poisson",
        (bowl(200)[0], np.round(np.exp(bowl(200)[1]))),
        ["output activation"],
    ),
    "counts": (
        lambda: [layers.Dense(1, "exponential")],
        "poisson",
        (bowl(200)[0], np.round(np.exp(bowl(200)[1]))),
        [],
    ),
    "dropout of the predictions": (lambda: [layers.Dense(1), layers.Dropout(0.5)], "mse", bowl(), ["dropout"]),
    "dropout of predictions that learn all the same": (
        lambda: [layers.Dense(1), layers.Dropout(0.2)],
        "mse",
        (3 * bowl()[0], bowl()[1]),
        ["dropout"],
    ),
    "a median that is 0": (lambda: [layers.Dense(1)], "mae", rarely(), ["loss"]),
    "a cosine of one number": (lambda: [layers.Dense(1)], "cosine_similarity", bowl(), ["loss"]),
    "probabilities behind a layer, and logits": (
        lambda: [layers.Dense(2, "softmax"), layers.Reshape((2,))],
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        SIGNS,
        ["loss"],
    ),
    "logits behind a layer, and probabilities": (
        lambda: [layers.Dense(2), layers.Reshape((2,))],
        "sparse_categorical_crossentropy",
        SIGNS,
        ["loss"],
    ),
    "sigmoid, and a loss of one's own that takes logits": (
        lambda: [layers.Dense(1, "sigmoid")],
        own_logits,
        SIGNS,
        ["output activation"],
    ),
    "softmax, and a loss of one's own that takes logits": (
        lambda: [layers.Dense(2, "softmax")],
        own_labels,
        SIGNS,
        ["output activation"],
    ),
    "logits, and a loss of one's own that takes them": (lambda: [layers.Dense(2)], own_labels, SIGNS, []),
    "hinge behind a sigmoid": (
        lambda: [layers.Dense(1, "sigmoid")],
        "hinge",
        (bowl()[0], np.sign(bowl()[1])),
        ["output activation"],
    ),
    "softmax over the rows": (
        lambda: [layers.Dense(2), layers.Softmax(axis=0)],
        "sparse_categorical_crossentropy",
        SIGNS,
        ["output activation"],
    ),
}


@pytest.mark.parametrize("name", alike(FAULTS_OF_STRANGERS))
def test_a_strangers_fault_is_named_and_what_is_none_is_not(name):
    end, loss, data, named = FAULTS_OF_STRANGERS[name]
    model = stack(data[0].shape[1], layers.Dense(8, "relu"), *end())
    found = diagnose(model, data, optimizer=keras.optimizers.Adam(0.01), loss=loss, epochs=20).findings
    asked = ("labels shifted", "loss", "loss of your own", "output activation", "dropout")
    assert [one.name for one in found if one.name in asked] == named


def test_a_loss_of_ones_own_is_not_taken_for_that_of_keras_by_its_name():
    def cross_validated(targets, predictions):
        return keras.ops.mean((targets - predictions) ** 2, axis=-1)

    assert look.wrong_labels(np.arange(64) % 3, 1, "sparse_categorical_crossentropy") is not None
    assert look.wrong_labels(np.arange(64) % 3, 1, cross_validated) is None


def test_plain_lists_are_searched_row_by_row():
    report = diagnose(small(), ([[1.0, 2.0], [1.0, float("nan")]], [[1.0], [2.0]]), optimizer="sgd", loss="mse")
    assert "in 1 of 2 rows, the first of them [1]" in report.findings[0].evidence


def test_rows_that_are_all_the_same_are_named_without_a_run():
    report = diagnose(small(), (np.zeros((64, 2)), bowl()[1]), optimizer="sgd", loss="mse")
    assert [(finding.name, finding.evidence) for finding in report.findings] == [
        ("data", "every row of x is the same, so that nothing tells one from another")
    ]


@pytest.mark.parametrize("rows", [(64, 63), (0, 0)])
def test_data_that_no_model_can_be_trained_on_is_refused_and_no_finding(rows):
    x, y = bowl()
    with pytest.raises(ValueError, match="x and y must have as many examples, and at least one"):
        diagnose(small(), (x[: rows[0]], y[: rows[1]]), optimizer="sgd", loss="mse")


def aside(n=300):
    x = np.linspace(0, 1, n)[:, np.newaxis]
    return x, np.sin(12 * x)


def one_small_column():
    x, _ = bowl(300)
    return x * np.array([1, 0.003], "float32"), x[:, 1:]


@pytest.mark.parametrize("data", [aside, one_small_column])
def test_inputs_off_their_middle_or_of_unlike_sizes_are_unscaled(data):
    x, y = data()
    model = stack(x.shape[1], layers.Dense(30, "tanh"), layers.Dense(30, "tanh"), layers.Dense(1))
    report = diagnose(model, (x, y), optimizer=keras.optimizers.SGD(0.05), loss="mse", batch_size=16, epochs=60)
    assert report.findings[0].name == "unscaled inputs"


def test_another_optimizer_is_named_where_one_rate_cannot_suit_all_weights():
    inputs = keras.Input((2,))
    parts = [layers.Rescaling(scale)(inputs[:, at : at + 1]) for at, scale in enumerate((30.0, 0.2))]
    model = keras.Model(inputs, layers.Add()([layers.Dense(1)(part) for part in parts]))
    x, _ = bowl(300)
    report = diagnose(model, (x, x[:, 1:]), optimizer=keras.optimizers.SGD(5e-4), loss="mse", batch_size=16, epochs=170)
    assert [finding.name for finding in report.findings] == ["optimizer"]
    assert report.findings[0].change.startswith("optimizer=keras.optimizers.Adam(")


@pytest.mark.parametrize("n", [300, 40])
def test_what_would_only_learn_noise_sooner_is_no_finding(n):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, 6)), rng.normal(size=(n, 1))
    model = stack(6, layers.Dense(32, "relu"), layers.Dense(1))
    report = diagnose(model, (x, y), optimizer=keras.optimizers.Adam(1e-3), loss="mse", epochs=20)
    assert report.findings == ()
    assert {"learning rate too low", "epochs"} & {finding.name for finding in report.tried}


def test_weights_that_were_trained_are_the_start_of_both_seeds_whatever_the_optimizer():
    model, data = small(), bowl(200)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(*data, epochs=30, verbose=0)
    report = diagnose(model, data, optimizer=keras.optimizers.Adam(1e-5), loss="mse", epochs=2)
    assert max(report.errors) < 0.1


def test_gradients_that_the_optimizer_only_gathers_are_named():
    gathering = keras.optimizers.SGD(0.1, gradient_accumulation_steps=10**6)
    report = diagnose(small(), bowl(), optimizer=gathering, loss="mse", epochs=5)
    assert [finding.name for finding in report.findings] == ["no update"]


def test_targets_that_would_be_stretched_over_the_predictions_are_named():
    x = np.random.default_rng(0).normal(size=(64, 10))
    model = stack(10, layers.Reshape((5, 2)), layers.LSTM(3, return_sequences=True), layers.Dense(1))
    report = diagnose(model, (x, x.sum(1, keepdims=True)), optimizer="adam", loss="mse")
    assert [finding.name for finding in report.findings] == ["shapes"]
    assert "must have the shape of the predictions" in report.findings[0].evidence


def ring(n=300):
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2)).astype("float32")
    return x, (np.linalg.norm(x, axis=1) < 0.75).astype("float32")


NARROW = {  # the layers before the end, and the change that is told
    "none": ([], "Dense(64, activation='relu') before the last layer"),
    "one unit": ([16, 1], "units=64 in 'layer_1', and activation='relu' where there is none"),
}


@pytest.mark.parametrize("name", NARROW)
def test_a_model_with_too_few_hidden_units_is_named_and_its_own_weights_are_left(name):
    units, change = NARROW[name]
    hidden = [layers.Dense(many, "relu", name=f"layer_{at}") for at, many in enumerate(units)]
    model = stack(2, *hidden, layers.Dense(1, "sigmoid", name="end"))
    held = [(dict(vars(layer)), list(layer._inbound_nodes), layer.get_weights()) for layer in model.layers]
    report = diagnose(model, ring(), optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy", epochs=60)
    assert report.findings[0].name == "hidden units"
    assert report.findings[0].change == change
    for layer, (attributes, nodes, weights) in zip(model.layers, held, strict=True):
        assert all(vars(layer)[key] is value for key, value in attributes.items())
        assert layer._inbound_nodes == nodes
        assert all(map(np.array_equal, layer.get_weights(), weights))


def test_few_units_are_no_fault_where_the_inputs_are_to_be_compressed_or_more_would_learn_noise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype("float32")
    noisy = (x[:, :1] + rng.normal(size=(200, 1))).astype("float32")
    for data, end in (((x, x), 6), ((x, noisy), 1)):
        model = stack(6, layers.Dense(2, "tanh"), layers.Dense(end))
        report = diagnose(model, data, optimizer=keras.optimizers.Adam(0.01), loss="mse", epochs=40)
        assert "hidden units" not in {finding.name for finding in report.findings}
