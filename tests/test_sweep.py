"""Each run of a sweep is the run that `train` makes."""

import keras
import numpy as np
import pytest

from gdexplain import Dataset, build_linear, build_mlp, line_hessian, make_line, sweep, train
from gdexplain.in_keras import tiling
from tests.alike import alike

RNG = np.random.default_rng(0)
REAL = Dataset(RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2)), "two outputs")
RATES = np.array([2**-7, 2**-5, 3 * 2**-6])  # float32 numbers, so that Keras' own copy of a rate is exact

O = keras.optimizers
OPTIMIZERS = {
    "SGD": O.SGD,
    "momentum": lambda rate: O.SGD(rate, momentum=0.875),
    "Nesterov": lambda rate: O.SGD(rate, momentum=0.875, nesterov=True),
    "RMSprop": lambda rate: O.RMSprop(rate, rho=0.875),
    "centered RMSprop": lambda rate: O.RMSprop(rate, rho=0.875, momentum=0.5, centered=True),
    "Adagrad": O.Adagrad,
    "Adadelta": lambda rate: O.Adadelta(rate, rho=0.875),
    "Adam": lambda rate: O.Adam(rate, beta_1=0.875, beta_2=0.96875),
    "AMSGrad": lambda rate: O.Adam(rate, beta_1=0.875, beta_2=0.96875, amsgrad=True),
    "AdamW": lambda rate: O.AdamW(rate, beta_1=0.875, beta_2=0.96875, weight_decay=0.125),
    "Adamax": lambda rate: O.Adamax(rate, beta_1=0.875, beta_2=0.96875),
    "Nadam": lambda rate: O.Nadam(rate, beta_1=0.875, beta_2=0.96875),
    "Lion": lambda rate: O.Lion(rate, beta_1=0.875, beta_2=0.96875),
    "Ftrl": O.Ftrl,
    "weight decay": lambda rate: O.SGD(rate, weight_decay=0.125),
    "clipvalue": lambda rate: O.SGD(rate, clipvalue=0.03125),
    "clipnorm": lambda rate: O.SGD(rate, clipnorm=0.125),
    "global_clipnorm": lambda rate: O.SGD(rate, momentum=0.875, global_clipnorm=0.125),
    "accumulation": lambda rate: O.SGD(rate, gradient_accumulation_steps=3),
    "overwriting average": lambda rate: O.SGD(rate, use_ema=True, ema_momentum=0.75, ema_overwrite_frequency=4),
}


def mlp(dtype="float64"):
    return build_mlp([2], inputs=3, seed=1, dtype=dtype)


def flat(model):
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def starts(model, runs, seed=5):
    """Rows of parameters near the model's own."""
    own = flat(model)
    rows = own + 0.3 * np.random.default_rng(seed).normal(size=(runs, own.size))
    return rows.astype("float32").astype("float64")


def train_alone(model, data, start, *, steps, batch_size, seed=0, **options):
    """The same run by `train`: as many epochs as it takes, cut to the updates asked for."""
    place, weights = 0, []
    for weight in model.get_weights():
        weights.append(start[place : place + weight.size].reshape(weight.shape))
        place += weight.size
    model.set_weights(weights)
    an_epoch = -(-len(data) // (batch_size or len(data)))
    run = train(model, data, batch_size=batch_size, epochs=-(-steps // an_epoch), seed=seed, **options)
    return run.parameters[min(steps, len(run))], run


@pytest.mark.parametrize(  # 10 = 4 + 4 + 2: a short last batch
    ("name", "dtype", "batch_size", "row"),
    [
        *alike((name, "float64", 4, 2) for name in OPTIMIZERS),
        ("Adam", "float32", 4, 1),
        ("Adam", "float64", None, 0),
    ],
)
def test_each_run_equals_train_and_its_loss_is_that_of_all_examples(name, dtype, batch_size, row):
    begin, options = starts(mlp(), len(RATES)), {"steps": 20, "batch_size": batch_size, "seed": 3}
    runs = sweep(
        mlp(dtype),
        REAL,
        optimizer=OPTIMIZERS[name](0.5),
        learning_rate=RATES,
        start=begin,
        tile=2,
        jit=name in ("SGD", "Adam"),
        **options,
    )
    expected, _ = train_alone(mlp(dtype), REAL, begin[row], optimizer=OPTIMIZERS[name](RATES[row]), **options)
    digits = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(runs.parameters[row], expected, rtol=digits, atol=digits)
    assert runs.parameters.dtype == runs.loss.dtype == dtype
    assert not np.any(runs.diverged)
    assert runs.updates.tolist() == [20, 20, 20]
    kernel, bias = runs.parameters[:, :6].reshape(-1, 3, 2), runs.parameters[:, np.newaxis, 6:]
    losses = np.mean((REAL.inputs @ kernel + bias - REAL.targets) ** 2, axis=(1, 2))
    np.testing.assert_allclose(runs.loss, losses, rtol=digits)


class Halving(O.schedules.LearningRateSchedule):
    """A schedule of one's own; Keras cannot build it again, and need not."""

    def __init__(self, rate=2.0**-5):
        self.rate = rate

    def __call__(self, step):
        return self.rate / 2 ** keras.ops.cast(step, "float32")

    def get_config(self):
        return {}


class Nameless(Halving):
    def get_config(self):
        return super(Halving, self).get_config()


def test_a_schedule_sets_the_rate_of_every_run_and_scale_multiplies_it():
    begin, options = starts(mlp(), 2), {"steps": 6, "batch_size": 4}
    runs = sweep(mlp(), REAL, optimizer=O.SGD(Halving()), start=begin, scale=[[1.0], [0.5]], jit=False, **options)
    for row, rate in enumerate([2.0**-5, 2.0**-6]):
        expected, _ = train_alone(mlp(), REAL, begin[row], optimizer=O.SGD(Halving(rate)), **options)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12)
    assert runs.label == "SGD(Halving)"
    assert runs.learning_rate.shape == (0,)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (O.SGD, {"nesterov": True, "momentum": [0.5, 0.875], "weight_decay": [0.5, 0.125]}),
        (O.RMSprop, {"rho": [0.5, 0.875], "momentum": [0.25, 0.5], "epsilon": [0.5, 0.125]}),
        (
            O.AdamW,
            {"beta_1": [0.5, 0.875], "beta_2": [0.875, 0.96875], "epsilon": [0.5, 0.125], "weight_decay": [0.5, 0.125]},
        ),
    ],
)
def test_other_options_of_the_optimizer_may_differ_from_run_to_run(make, options):
    of_run = [
        {key: value[row] if isinstance(value, list) else value for key, value in options.items()} for row in (0, 1)
    ]
    swept = {key: values for key, values in options.items() if isinstance(values, list)}
    runs = sweep(mlp(), REAL, optimizer=make(2**-6, **of_run[0]), steps=10, hyperparameters=swept, jit=False)
    for row in range(2):
        alone = make(2**-6, **of_run[row])
        expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=alone, steps=10, batch_size=None)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12, atol=1e-12)
    assert {name: values.tolist() for name, values in runs.hyperparameters.items()} == swept


def test_a_scale_is_a_rate_for_each_parameter():
    data, rates = make_line(4), np.array([[0.01, 0.1], [0.1, 0.02]])
    runs = sweep(build_linear(dtype="float64"), data, optimizer="sgd", steps=7, learning_rate=0.5, scale=2 * rates)
    for row, rate in enumerate(rates):
        theta = np.zeros(2)
        for _ in range(7):
            theta -= rate * (line_hessian(data) @ (theta - [2, 0]))
        np.testing.assert_allclose(runs.parameters[row], theta, rtol=1e-12)
    one = sweep(build_linear(dtype="float64"), data, optimizer="sgd", steps=7, learning_rate=0.5, scale=2 * rates[1])
    np.testing.assert_allclose(one.parameters, runs.parameters[1:], rtol=1e-12)
    assert one.label == "SGD(0.5)"


def test_each_run_may_have_an_order_of_its_own():
    seeds, options = [4, 0, 7], {"steps": 9, "batch_size": 4}
    runs = sweep(mlp(), REAL, optimizer=O.SGD(2**-5), seed=seeds, tile=2, **options)
    assert len({tuple(row) for row in runs.parameters}) == 3
    for row in (1, 2):  # of the first tile and of the second
        expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=O.SGD(2**-5), seed=seeds[row], **options)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12, atol=1e-12)
    assert runs.seed.tolist() == seeds
    still = sweep(mlp(), REAL, optimizer=O.SGD(2**-5), seed=seeds, shuffle=False, jit=False, **options)
    expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=O.SGD(2**-5), shuffle=False, **options)
    np.testing.assert_allclose(still.parameters, np.tile(expected, (3, 1)), rtol=1e-12, atol=1e-12)


def test_a_run_that_diverges_stops_where_train_stops_and_the_others_go_on():
    data, rates = make_line(4), [2.0**-6, 1.0, 2.0**4, 2.0**-5]
    options = {"steps": 400, "batch_size": 3, "seed": 1}
    runs = sweep(build_linear(), data, optimizer="sgd", learning_rate=rates, **options)
    assert runs.diverged.tolist() == [False, True, True, False]
    for values in (runs.loss, runs.parameters):
        assert np.all(np.isfinite(values))
    for row in range(4):
        expected, alone = train_alone(build_linear(), data, np.zeros(2), optimizer=O.SGD(rates[row]), **options)
        assert runs.updates[row] == min(len(alone), 400)
        assert runs.diverged[row] == alone.diverged
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-4)
        if alone.diverged:
            np.testing.assert_allclose(runs.loss[row], alone.loss[-1], rtol=1e-4)
    assert "2 diverged, after" in runs.summary()


def test_a_run_that_diverges_at_once_keeps_its_start():
    begin = np.array([[1e30, 0], [1, 1]])
    runs = sweep(build_linear(), make_line(), optimizer="sgd", steps=5, start=begin)
    assert (runs.diverged.tolist(), runs.updates.tolist()) == ([True, False], [0, 5])
    np.testing.assert_array_equal(runs.parameters[0], begin[0].astype("float32"))
    assert runs.loss[0] == np.finfo("float32").max


def test_a_loss_that_is_not_finite_after_the_last_update_is_divergence_too():
    runs = sweep(build_linear(), make_line(), optimizer="sgd", steps=1, learning_rate=[1e19, 0.01])
    assert (runs.diverged.tolist(), runs.updates.tolist()) == ([True, False], [1, 1])
    assert runs.loss[0] == 30


def test_the_target_counts_the_updates_of_the_record():
    rates, options = [2.0**-7, 2.0**-5, 2.0**-3], {"steps": 60, "batch_size": None}
    runs = sweep(
        build_linear(dtype="float64"), make_line(), optimizer="sgd", learning_rate=rates, target=0.05, **options
    )
    for row, rate in enumerate(rates):
        _, alone = train_alone(
            build_linear(dtype="float64"), make_line(), np.zeros(2), optimizer=O.SGD(rate), **options
        )
        below = np.flatnonzero(alone.loss <= 0.05)
        assert runs.steps_to_target[row] == (below[0] if len(below) else -1)
    assert runs.steps_to_target[0] > runs.steps_to_target[1] > 0 > runs.steps_to_target[2]
    assert "2 reached a loss of 0.05, after" in runs.summary()


def test_one_summed_loss_of_two_outputs_is_that_of_train():
    x = keras.Input((3,))
    model = keras.Model(x, {name: keras.layers.Dense(2, name=name)(x) for name in ("a", "b")})
    data, loss = (REAL.inputs, {"a": REAL.targets, "b": -REAL.targets}), keras.losses.MeanAbsoluteError(reduction="sum")
    options = {"optimizer": O.SGD(2.0**-6), "loss": loss, "batch_size": 4}
    runs = sweep(model, data, steps=6, scale=[[1.0], [0.5]], jit=False, **options)
    run = train(model, data, epochs=2, **options)
    np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=1e-5, atol=1e-6)


def test_what_xla_cannot_compile_is_sent_to_a_sweep_without_it():
    model = keras.Sequential([keras.Input((3, 2)), keras.layers.SimpleRNN(2), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="jit must be False for this model, for XLA cannot compile it"):
        sweep(model, (np.ones((6, 3, 2)), np.ones((6, 1))), optimizer="sgd", steps=2, scale=[[1.0], [0.5]])


def few(**changes):
    """A small sweep of four runs in two tiles."""
    values = {"model": build_linear(), "dataset": make_line(), "optimizer": "sgd", "steps": 5}
    values |= {"learning_rate": [0.01, 0.02, 0.03, 0.04], "tile": 2, "jit": False} | changes
    return sweep(values.pop("model"), values.pop("dataset"), **values)


def test_the_tile_changes_the_last_digits_at_most():
    tiles = {width: few(tile=width, batch_size=3) for width in (1, 3, 100)}  # of 100, all losses are two blocks
    for runs in tiles.values():
        np.testing.assert_allclose(runs.parameters, tiles[1].parameters, rtol=1e-6)
        np.testing.assert_allclose(runs.loss, tiles[1].loss, rtol=1e-6)
    assert [runs.provenance["tile"] for runs in tiles.values()] == ["1", "2", "4"]  # tiles of one size
    assert tiles[1].provenance["jit"] == "False"


def test_long_runs_in_short_chunks_are_equal(monkeypatch):
    options = {"steps": 23, "batch_size": 3, "target": 1.0}
    expected = few(**options)
    monkeypatch.setattr(tiling, "_CHUNK_UPDATES", 4)
    tiling._loops().clear()
    chunked = few(**options)
    np.testing.assert_array_equal(chunked.parameters, expected.parameters)
    np.testing.assert_array_equal(chunked.steps_to_target, expected.steps_to_target)


def test_the_same_sweep_with_other_rates_is_not_compiled_again(monkeypatch):
    compiled = []
    monkeypatch.setattr(tiling, "_compile", lambda *given, build=tiling._compile: compiled.append(1) or build(*given))
    tiling._loops().clear()
    few()
    few(learning_rate=[0.1, 0.2, 0.3, 0.4])
    assert len(compiled) == 1
    for steps in range(6, 12):
        few(steps=steps)
    assert len(tiling._loops()) == tiling._KEPT


@pytest.mark.parametrize("name", ["MemoryError", "ResourceExhausted"])
def test_a_tile_that_does_not_fit_into_memory_is_halved(monkeypatch, name):
    import tensorflow as tf

    fault = tf.errors.ResourceExhaustedError(None, None, "OOM") if name == "ResourceExhausted" else MemoryError("full")
    expected, tried, build = few(learning_rate=np.arange(1, 8) / 100, tile=7), [], tiling._compile

    def small_memory(task, rows):
        tried.append(task.width)
        if task.width > 2:
            raise fault
        return build(task, rows)

    monkeypatch.setattr(tiling, "_compile", small_memory)
    tiling._loops().clear()
    halved = few(learning_rate=np.arange(1, 8) / 100, tile=7)
    np.testing.assert_allclose(halved.parameters, expected.parameters, rtol=1e-6)
    np.testing.assert_array_equal(halved.learning_rate, expected.learning_rate)
    assert tried == [7, 4, 2]


def test_a_run_that_never_fits_into_memory_is_an_error_in_words(monkeypatch):
    def no_memory(task, rows):
        raise MemoryError("full")

    monkeypatch.setattr(tiling, "_compile", no_memory)
    tiling._loops().clear()
    with pytest.raises(MemoryError, match="not even a single run fits into memory: full"):
        few()


def test_a_record_that_cannot_fit_is_refused_with_its_bytes_before_anything_runs(monkeypatch):
    monkeypatch.setattr(tiling, "run_tile", None)  # nothing may call it
    model = keras.Sequential([keras.Input((3200,)), keras.layers.Dense(3200, use_bias=False)])
    # more than the 2**47 bytes that a process can ask for, whatever the machine has
    words = "the record of 4,000,000 runs of 10,240,000 parameters takes 327,680,000,000,000 bytes"
    with pytest.raises(MemoryError, match=words):
        few(model=model, dataset=(np.ones((1, 3200)), np.ones((1, 3200))), learning_rate=np.full(4_000_000, 0.1))


def test_progress_goes_to_the_error_stream_and_only_if_asked(capsys):
    few()
    assert capsys.readouterr() == ("", "")
    few(progress=True)
    assert "4/4" in capsys.readouterr().err


def test_threads_give_the_same_runs():
    import joblib

    expected = few(steps=50)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        np.testing.assert_array_equal(few(steps=50).parameters, expected.parameters)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"optimizer": type("SGD", (O.SGD,), {})(0.1)}, ValueError, "in a sweep, not SGD"),
        ({"optimizer": O.SGD(0.1, gradient_accumulation_steps=2, clipnorm=1.0)}, ValueError, "accumulate"),
        ({"optimizer": O.SGD(Nameless())}, ValueError, "optimizer must have a schedule that says what it is"),
        ({"optimizer": O.SGD(O.schedules.CosineDecay(0.1, 5))}, ValueError, "learning_rate must be left out"),
        ({"learning_rate": []}, ValueError, "learning_rate must be one number or one for each run"),
        ({"learning_rate": [[0.1]]}, ValueError, r"learning_rate must be one number or one for each run, not shape \(1, 1\)"),
        ({"learning_rate": [0.1, -0.1]}, ValueError, "learning_rate must be a finite number at least 0, not -0.1"),
        ({"learning_rate": 1e300}, ValueError, "learning_rate must be finite in float32"),
        ({"start": np.ones((4, 3))}, ValueError, r"start must have shape \(R, 2\), one row a run .*not \(4, 3\)"),
        ({"start": np.ones(2)}, ValueError, r"start must have shape \(R, 2\)"),
        ({"start": np.ones((0, 2))}, ValueError, r"start must have shape \(R, 2\)"),
        ({"start": np.ones((3, 2))}, ValueError, "as many runs, but learning_rate has 4, start has 3"),
        ({"scale": np.ones((4, 3))}, ValueError, r"scale must have shape \(R, 2\), \(R, 1\) or \(2,\), not \(4, 3\)"),
        ({"scale": 2.0}, ValueError, "scale must have shape"),
        ({"seed": [1, 2]}, ValueError, "as many runs, but learning_rate has 4, seed has 2"),
        ({"seed": -1}, ValueError, "seed must be a whole number from 0 to 9223372036854775807, or one for each run, not -1"),
        ({"seed": np.uint64(2**63)}, ValueError, "seed must be a whole number from 0"),
        ({"seed": [[1]]}, ValueError, "seed must be a whole number from 0"),
        ({"checkpoint": ""}, ValueError, "checkpoint must be the path of a folder, not ''"),
        ({"checkpoint": "a\0b"}, ValueError, "checkpoint must be a folder that can be written"),
        ({"hyperparameters": {"beta_1": 0.5}}, ValueError, "hyperparameters of SGD must be among 'momentum', .*not 'beta_1'"),
        ({"optimizer": "lion", "hyperparameters": {"beta_1": 0.5}}, ValueError, "hyperparameters of Lion must be among none"),
        ({"hyperparameters": {"momentum": 1.0}}, ValueError, r"hyperparameters\['momentum'\] must be .*below 1, not 1"),
        ({"hyperparameters": {"momentum": [0.1, 0.2]}}, ValueError, "learning_rate has 4, momentum has 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_words_and_model_and_folder_are_left_alone(
    changes, error, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = build_linear(0.25)
    with pytest.raises(error, match=words):
        few(**{"checkpoint": tmp_path / "tiles", "model": model} | changes)
    assert list(tmp_path.iterdir()) == []
    assert not getattr(model, "compiled", False)
