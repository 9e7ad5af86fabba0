"""`train` makes the updates that `fit` makes, and its record is true."""

import os
import re
import signal
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain import Dataset, Trajectory, batch_order, build_linear, build_mlp, make_line, train
from gdexplain.in_keras import backend, training
from tests.alone import run_alone
from tests.fit import Batches, fit, largest_difference

RNG = np.random.default_rng(0)
REAL = Dataset(RNG.normal(size=(50, 6)), RNG.normal(size=(50, 2)), "two outputs")

L, O = keras.layers, keras.optimizers
OPTIMIZERS = {
    "SGD": lambda: O.SGD(0.1),
    "Adam": lambda: O.Adam(0.01),
    "schedule": lambda: O.SGD(O.schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3)),
    "accumulation": lambda: O.Adam(0.01, gradient_accumulation_steps=3),
    "overwriting average": lambda: O.SGD(0.1, use_ema=True, ema_overwrite_frequency=4),
}


def mlp(seed=0, outputs=2):
    return build_mlp([8, outputs], inputs=6, activation="relu", seed=seed)


@pytest.mark.parametrize("name", ["schedule", "accumulation", "overwriting average"])
def test_without_xla_train_equals_fit_to_the_last_bit(name):
    ours, theirs = mlp(), mlp()
    options = {"batch_size": 16, "epochs": 3, "seed": 4}  # 50 = 3 * 16 + 2: the last batch is short
    run = train(ours, REAL, optimizer=OPTIMIZERS[name](), **options)
    fit(theirs, REAL, optimizer=OPTIMIZERS[name](), **options)
    assert largest_difference(ours, theirs) == 0
    assert len(run) == 12
    for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", ["Adam", "schedule"])
def test_with_xla_train_equals_fit_to_one_in_a_million(name):
    ours, theirs = mlp(), mlp()
    options = {"batch_size": 16, "epochs": 3, "seed": 4}
    run = train(ours, REAL, optimizer=OPTIMIZERS[name](), jit=True, **options)
    fit(theirs, REAL, optimizer=OPTIMIZERS[name](), **options)
    assert largest_difference(ours, theirs) < 1e-6
    assert run.provenance["jit"] == "True"


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 23), st.integers(0, 2**31), st.sampled_from(["SGD", "Adam"]))
def test_any_batch_size_and_any_order_gives_fits_weights(data, n, seed, name):
    batch_size = data.draw(st.integers(1, n))
    rows, ours, theirs = REAL.take(np.arange(n)), mlp(), mlp()
    train(ours, rows, optimizer=OPTIMIZERS[name](), batch_size=batch_size, epochs=2, seed=seed)
    fit(theirs, rows, optimizer=OPTIMIZERS[name](), batch_size=batch_size, epochs=2, seed=seed)
    assert largest_difference(ours, theirs) == 0


def test_batch_norm_and_penalties_train_under_xla_too():
    layers = L.Conv1D(4, 3, kernel_regularizer="l2", use_bias=False), L.BatchNormalization(), L.Flatten(), L.Dense(2)
    runs = []
    for jit in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((6, 1)), *(layer.from_config(layer.get_config()) for layer in layers)])
        data = (REAL.inputs[..., np.newaxis], REAL.targets)
        runs.append(train(model, data, optimizer=O.SGD(0.05), batch_size=16, epochs=3, jit=jit))
    np.testing.assert_allclose(runs[0].loss, runs[1].loss, rtol=1e-5)


def test_the_record_holds_the_batch_loss_and_gradient_before_each_update():
    data, rate = make_line(6, noise=1), 0.01
    run = train(build_linear(dtype="float64"), data, optimizer=O.SGD(2**-7), batch_size=4, epochs=2, seed=1)
    x, y, rate = data.inputs[:, 0], data.targets[:, 0], 2**-7
    for k, rows in enumerate(batch_order(6, 4, 2, seed=1)):
        w, b = run.parameters[k]
        residual = w * x[rows] + b - y[rows]
        gradient = 2 * np.mean(residual * x[rows]), 2 * np.mean(residual)
        np.testing.assert_allclose(run.loss[k], np.mean(residual**2), rtol=1e-12)
        np.testing.assert_allclose(run.gradients[k], gradient, rtol=1e-12)
        np.testing.assert_allclose(run.parameters[k + 1], run.parameters[k] - rate * run.gradients[k], rtol=1e-12)
    assert (run.updates_per_epoch, run.batch_size, run.label) == (2, 4, "SGD(0.0078125)")
    assert run.provenance["data"] == data.name
    assert run.loss.dtype == run.parameters.dtype == run.gradients.dtype == np.float64
    assert run.layout == (("neuron/kernel", (1, 1)), ("neuron/bias", (1,)))


@pytest.mark.parametrize(("chunk", "every"), [(1, 2), (4, 1), (4, 3), (4, 100), (8192, 5)])
def test_a_thinned_record_has_the_rows_of_the_full_one_whatever_the_chunks(monkeypatch, every, chunk):
    options = {"batch_size": 2, "epochs": 5, "seed": 2}
    full = train(build_linear(), make_line(5), optimizer=O.SGD(0.01), **options)
    monkeypatch.setattr(training, "_CHUNK_UPDATES", chunk)
    thin = train(build_linear(), make_line(5), optimizer=O.SGD(0.01), record_every=every, **options)
    assert len(full) == 15
    assert thin.updates.tolist() == [*range(0, 15, every), 15]
    np.testing.assert_array_equal(thin.loss, full.loss)
    np.testing.assert_array_equal(thin.parameters, full.parameters[thin.updates])
    np.testing.assert_array_equal(thin.gradients, full.gradients[thin.updates[:-1]])


def test_memory_bounds_the_chunk_and_the_record_does_not_depend_on_it(monkeypatch):
    expected = train(mlp(), REAL, optimizer="sgd", batch_size=8, epochs=2)
    monkeypatch.setattr(training, "_CHUNK_BYTES", 4096)
    model = mlp()
    assert training._chunk_length(1000, 8, 74, 2, 1) == 4096 // (8 * 74 * 2)
    run = train(model, REAL, optimizer="sgd", batch_size=8, epochs=2)
    np.testing.assert_array_equal(run.parameters, expected.parameters)


@pytest.mark.parametrize("record", [("parameters",), ("gradients",), (), "gradients"])
def test_only_what_is_asked_for_is_recorded(record):
    run = train(build_linear(), make_line(), optimizer="sgd", batch_size=1, epochs=1, record=record)
    assert run.parameters.shape == (5 if "parameters" in record else 0, 2)
    assert run.gradients.shape == (4 if "gradients" in record else 0, 2)
    assert run.loss.shape == (4,)


@pytest.mark.parametrize(("jit", "chunk"), [(False, 5), (True, 8192)])
def test_a_run_that_diverges_ends_early_with_a_finite_record_and_a_finite_model(monkeypatch, jit, chunk):
    monkeypatch.setattr(training, "_CHUNK_UPDATES", chunk)
    model = build_linear()
    run = train(model, make_line(), optimizer=O.SGD(1.0), batch_size=None, epochs=500, jit=jit)
    assert run.diverged
    assert 10 < len(run) < 20
    assert run.summary().endswith(f"Diverged: update {len(run) + 1} was no longer finite.")
    for values in (run.parameters, run.loss, run.gradients):
        assert np.all(np.isfinite(values))
    np.testing.assert_array_equal(backend.flat_parameters(model), run.parameters[-1])
    assert int(model.optimizer.iterations) == len(run)


def test_a_chunk_with_chance_of_its_own_is_run_again_until_all_of_it_is_finite():
    keras.utils.set_random_seed(0)
    for _ in range(5):
        noise = L.Lambda(lambda z: z * keras.random.uniform(keras.ops.shape(z), 0.0, 2.0))
        model = keras.Sequential([keras.Input((1,)), L.Dense(1), noise])
        run = train(model, make_line(5), optimizer=O.SGD(0.15), batch_size=None, epochs=300)
        assert run.diverged
        assert int(model.optimizer.iterations) == len(run)
        np.testing.assert_array_equal(backend.flat_parameters(model), run.parameters[-1])


def test_a_run_that_is_stopped_in_a_chunk_leaves_model_and_record_at_its_start(monkeypatch):
    made = []

    def stop_after_the_updates(place, loop, state, batches, ledger):
        if made:  # Ctrl-C comes when TensorFlow returns: the updates are made, and nobody knows of them
            place(batches, ledger.done[0])
            loop()
            raise KeyboardInterrupt
        made.append(run_chunk(place, loop, state, batches, ledger))
        return made[-1]

    run_chunk = training._run_chunk
    model, optimizer, rows = build_linear(), O.Adam(0.1), make_line()
    with monkeypatch.context() as patch:
        patch.setattr(training, "_run_chunk", stop_after_the_updates)
        patch.setattr(training, "_CHUNK_UPDATES", 4)
        patch.setattr(training, "_FIRST_CHUNK", 4)
        with pytest.raises(KeyboardInterrupt) as stopped:
            train(model, rows, optimizer=optimizer, batch_size=2, epochs=5, record_every=3)
    run = stopped.value.trajectory
    assert "after 4 updates: their record is this exception's `trajectory`" in stopped.value.__notes__[0]
    expected = train(build_linear(), rows, optimizer=O.Adam(0.1), batch_size=2, epochs=2, record_every=3)
    for part in ("parameters", "gradients", "loss", "updates"):
        np.testing.assert_array_equal(getattr(run, part), getattr(expected, part))
    assert not run.diverged
    assert int(optimizer.iterations) == 4
    np.testing.assert_array_equal(backend.flat_parameters(model), run.parameters[-1])


def press_ctrl_c():
    class Press(O.SGD):
        def update_step(self, gradient, variable, learning_rate):
            tf.py_function(lambda k: os.kill(os.getpid(), signal.SIGINT) if k == 30 else None, [self.iterations], [])
            super().update_step(gradient, variable, learning_rate)

    model = build_linear()
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(model, make_line(), optimizer=Press(0.01), batch_size=None, epochs=10**6, record="parameters")
    run = stopped.value.trajectory
    assert len(run) < 10**6
    np.testing.assert_array_equal(backend.flat_parameters(model), run.parameters[-1])
    assert np.all(np.isfinite(run.parameters))


def test_ctrl_c_is_answered_after_the_chunk_under_way():
    run_alone(press_ctrl_c)


def test_a_record_beyond_its_budget_is_refused_with_its_bytes_and_nothing_is_touched():
    model = build_linear()
    model.compile("adam", "mae")
    optimizer, new = model.optimizer, O.SGD(0.1)
    words = (
        r"max_bytes must be at least 2,800,000,016 for the record of 100,000,000 updates of 2 parameters at every "
        r"update, not 2,147,483,648\. Or ask for less: record_every=\d+, "
    )
    with pytest.raises(ValueError, match=words):
        train(model, make_line(), optimizer=new, batch_size=None, epochs=10**8)
    with pytest.raises(ValueError, match="Or ask for less: fewer kinds in record, or fewer updates"):
        train(model, make_line(), optimizer=new, batch_size=None, epochs=10**18, record=(), record_every=10**18)
    assert model.optimizer is optimizer
    assert not new.built


def test_what_the_refusal_names_fits():
    options = {"optimizer": "sgd", "batch_size": 1, "epochs": 25}
    with pytest.raises(ValueError, match="record_every=") as refused:
        train(build_linear(), make_line(), max_bytes=700, **options)
    every = int(re.search(r"record_every=(\d+)", str(refused.value))[1])
    run = train(build_linear(), make_line(), max_bytes=700, record_every=every, **options)
    held = run.parameters, run.gradients, run.loss, run.updates
    assert sum(part.nbytes for part in held) <= 700
    with pytest.raises(ValueError, match="max_bytes"):
        train(build_linear(), make_line(), max_bytes=700, record_every=every - 1, **options)


def test_neither_epochs_nor_rarely_kept_rows_cost_memory(monkeypatch):
    monkeypatch.setattr(training, "_CHUNK_BYTES", 2**20)
    x, options = np.ones((4000, 1), "float32"), {"optimizer": "sgd", "record_every": 10**12}
    train(build_linear(), (x, x), batch_size=None, epochs=2, **options)
    tracemalloc.start()
    run = train(build_linear(), (x, x), batch_size=None, epochs=400, **options)  # the order of all epochs: 13 MB
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert run.updates.tolist() == [0, 400]
    assert peak < 6 * 2**20


def test_a_run_that_diverges_at_once_keeps_its_start():
    model = build_linear(1e30)
    run = train(model, make_line(), optimizer="sgd", batch_size=None, epochs=5)
    assert (len(run), run.diverged, run.parameters.shape) == (0, True, (1, 2))
    assert repr(run) == "Trajectory('SGD(0.01)': 0 updates, 2 parameters, diverged)"
    assert model.get_weights()[0].item() == np.float32(1e30)


def test_an_infinite_gradient_that_clipping_hides_still_ends_the_run():
    model = build_linear(1.5e19)
    run = train(model, (np.array([[1.0]]), [[0.0]]), optimizer=O.SGD(1.0, clipvalue=1.0), batch_size=1, epochs=3)
    assert run.diverged == (not np.isfinite(np.float32(1.5e19) ** 2))


def test_a_second_call_goes_on_where_the_first_one_stopped():
    once, twice, optimizer = build_linear(), build_linear(), O.Adam(0.1)
    options = {"batch_size": None, "shuffle": False}
    whole = train(once, make_line(), optimizer=O.Adam(0.1), epochs=10, **options)
    first = train(twice, make_line(), optimizer=optimizer, epochs=4, **options)
    second = train(twice, make_line(), optimizer=optimizer, epochs=6, **options)
    np.testing.assert_array_equal(np.vstack([first.parameters, second.parameters[1:]]), whole.parameters)
    assert twice.optimizer is optimizer
    assert twice.evaluate(np.ones((2, 1)), np.ones((2, 1)), verbose=0) >= 0  # it stays compiled, as after fit


def test_progress_goes_to_the_error_stream_and_only_if_asked(capsys):
    options = {"optimizer": "sgd", "batch_size": 1, "epochs": 3}
    quiet = train(build_linear(), make_line(), **options)
    assert capsys.readouterr() == ("", "")
    shown = train(build_linear(), make_line(), progress=True, **options)
    assert "12/12" in capsys.readouterr().err
    np.testing.assert_array_equal(shown.parameters, quiet.parameters)


class Warm(O.schedules.LearningRateSchedule):
    """As in TensorFlow's tutorial of the Transformer: a schedule without a configuration."""

    def __call__(self, step):  # noqa: ARG002  # Keras' signature
        return 0.01


class Damped(O.SGD):
    """An optimizer that cannot be made without an argument."""

    def __init__(self, damping, **options):
        super().__init__(0.01, **options)
        self.damping = damping


class Named(O.SGD):
    """An optimizer with an option of its own in its configuration."""

    def get_config(self):
        return super().get_config() | {"schedule": keras.Variable(0.5), "own": np.float32(0.25)}


def warm_up():
    return 0.01


@pytest.mark.parametrize(
    ("optimizer", "label"),
    [
        (O.SGD(0.01), "SGD(0.01)"),
        (O.SGD(0.5, momentum=0.9, nesterov=True), "SGD(0.5, momentum=0.9, nesterov=True)"),
        (O.Adam(O.schedules.ExponentialDecay(0.1, 5, 0.9), beta_1=0.8), "Adam(ExponentialDecay, beta_1=0.8)"),
        (O.AdamW(0.001, clipnorm=1.0), "AdamW(0.001, clipnorm=1)"),
        (O.SGD(Warm(), momentum=np.float64(0.9)), "SGD(Warm, momentum=0.9)"),
        (O.SGD(warm_up), "SGD(warm_up)"),
        (O.Adam(0.1, beta_1=np.float64(0.9), epsilon=tf.constant(1e-5)), "Adam(0.1, epsilon=1e-05)"),
        (Damped(0.5, momentum=0.5), "Damped(0.01, momentum=0.5)"),
        (Named(0.1), "Named(0.1)"),
        (O.LossScaleOptimizer(O.SGD(0.1)), "LossScaleOptimizer(SGD(0.1))"),
        (object(), "object(None)"),
    ],
)
def test_the_label_is_the_optimizers_configuration_or_what_can_be_said_of_it(optimizer, label):
    assert backend.label(optimizer) == label


@pytest.mark.parametrize("optimizer", [lambda: O.SGD(Warm()), lambda: Damped(0.5), lambda: O.SGD(warm_up)])
def test_a_run_is_kept_and_saved_whatever_its_optimizer_says_of_itself(optimizer, tmp_path):
    run = train(build_linear(), make_line(), optimizer=optimizer(), batch_size=np.int8(2), epochs=np.int8(3))
    same = train(build_linear(), make_line(), optimizer=O.SGD(0.01), batch_size=2, epochs=3)
    np.testing.assert_array_equal(run.parameters, same.parameters)
    assert repr(Trajectory.load(run.save(tmp_path / "run"))) == repr(run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": (np.full((4, 1), 1e300), np.ones((4, 1)))}, r"1e\+300, beyond float32"),
        ({"optimizer": "sdg"}, "optimizer must be the name of a Keras optimizer, not 'sdg'"),
        ({"optimizer": O.SGD(0.1, loss_scale_factor=8)}, "loss_scale_factor"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to 4, not 0"),
        ({"batch_size": 5}, "batch_size must be a whole number from 1 to 4, not 5"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"loss": {"nowhere": "mse"}}, "y must fit the model's outputs and the loss"),
    ],
)
def test_bad_input_is_refused_in_words_and_the_model_is_left_alone(changes, words):
    model = build_linear(0.25)
    options = {"dataset": make_line(), "optimizer": "sgd", "batch_size": 1, "epochs": 1} | changes
    with pytest.raises(ValueError, match=words):
        train(model, **options)
    assert not getattr(model, "compiled", False)
    np.testing.assert_array_equal(backend.flat_parameters(model), [0.25, 0])


def test_a_model_of_a_distribution_strategy_is_refused():
    options = {"optimizer": "sgd", "batch_size": 1, "epochs": 1}
    words = r"strategy \(OneDeviceStrategy\)\. Use fit with the callback RecordTrajectory"
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        model = build_linear()
        with pytest.raises(ValueError, match=words):
            train(model, make_line(), **options)
    with pytest.raises(ValueError, match=words):
        train(model, make_line(), **options)


def test_the_batches_of_the_referee_are_those_of_the_order():
    order = batch_order(4, 3, 1)
    batches = Batches((np.arange(4), np.arange(4)), order)
    assert [batches[k][0].tolist() for k in range(len(batches))] == [rows.tolist() for rows in order]


def test_sums_that_tensorflow_regroups_in_a_loop_have_the_order_that_fit_gives_them():
    x, y, models = RNG.normal(size=(10, 5, 2)), RNG.normal(size=(10, 1)), []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        start = keras.Input((5, 2))
        models.append(keras.Model(start, L.Dense(1)(L.Flatten()(L.MultiHeadAttention(2, 3)(start, start)))))
    train(models[0], (x, y), optimizer="sgd", batch_size=5, epochs=2, shuffle=False)
    models[1].compile("sgd", "mse", jit_compile=False)
    models[1].fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    assert largest_difference(*models) == 0


def test_a_step_that_does_not_compile_is_refused_in_words_whatever_the_optimizer():
    class Stepwise(O.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 if step < 1 else 0.01  # Python's if, of a number that the graph does not know

    model = build_linear()
    with pytest.raises(ValueError, match="optimizer must make a step that compiles"):
        train(model, make_line(), optimizer=O.SGD(Stepwise()), batch_size=None, epochs=1)
    assert not getattr(model, "compiled", False)
