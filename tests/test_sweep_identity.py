"""A sweep is the sweep of its own model and loss, however alike another one looks; and so is what a checkpoint keeps."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdexplain import build_linear, make_line, sweep
from gdexplain.in_keras import sweeping, task, tiling

SQUARE = 30.0  # the mean squared error of w = b = 0 on y = 2x, x = 1, 2, 3, 4


def start_loss(loss="mse", *, model=None, **options):
    """The loss that a sweep finds where it starts."""
    runs = sweep(
        model or build_linear(), make_line(), optimizer="sgd", loss=loss, steps=1, learning_rate=0.0, **options
    )
    return float(runs.loss[0])


def weighted(y, prediction, alpha):
    return alpha * keras.ops.mean(keras.ops.square(y - prediction))


def by_module(y, prediction):
    return MODULE.factor * keras.ops.mean(keras.ops.square(y - prediction))


MODULE = types.ModuleType("of_mine")


class WeightedLoss(keras.losses.Loss):
    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def call(self, y, prediction):
        return self.alpha * keras.ops.mean(keras.ops.square(y - prediction), axis=-1)


def with_a_changed_module(alpha):
    MODULE.factor = alpha
    return by_module


def with_a_long_tensor(alpha):
    weights = tf.constant(np.r_[np.ones(1000), alpha, np.ones(1000)])  # its repr is shortened
    return lambda y, p: tf.cast(weights[1000], p.dtype) * tf.reduce_mean((y - p) ** 2)


def in_an_object_of_keras(function):
    loss = keras.losses.MeanSquaredError()
    loss.fn = function
    return loss


def compiled_function(alpha):
    @tf.function
    def loss(y, prediction):
        return weighted(y, prediction, alpha)

    return loss


LOSSES = {
    "loss object": WeightedLoss,
    "closure": lambda alpha: lambda y, p: weighted(y, p, alpha),
    "closure over a long tensor": with_a_long_tensor,
    "global of another module": with_a_changed_module,
    "compiled function": compiled_function,
    "function in an object of Keras": lambda alpha: in_an_object_of_keras(lambda y, p: weighted(y, p, alpha)),
    "list": lambda alpha: [lambda y, p: weighted(y, p, alpha)],
}


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_that_looks_like_the_last_one_is_not_taken_for_it(kind, tmp_path):
    for alpha in (1.0, 3.0, 1.0):
        for options in ({}, {"checkpoint": tmp_path}):
            assert start_loss(LOSSES[kind](alpha), jit=False, **options) == alpha * SQUARE


def relu(x):
    """Not Keras' own, but it has its name."""
    return 3 * x


class Factor(keras.layers.Layer):
    factor = 1.0

    def call(self, x):
        return self.factor * x


def line(*layers, bias=1.0):
    """A line with w = 0 and b = 1, and what comes after it."""
    constant = keras.initializers.Constant(bias)
    dense = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=constant, name="line")
    return keras.Sequential([keras.Input((1,)), dense, *layers], name="model")


def with_a_patched_call():
    model = line(keras.layers.Activation("linear", name="last"))
    model.layers[-1].call = lambda x: 3 * x
    return model


def with_a_late_penalty(factor):
    model = line()
    model.layers[0].kernel.regularizer = model.layers[0]._kernel.regularizer = keras.regularizers.L2(1.0)
    model.layers[0].bias.regularizer = keras.regularizers.L2(factor)
    return model


def normalised(mean, *, kept=None):
    """A model with adapted statistics; `kept` are weights set behind the back of the layer, which it does not use."""
    scale = keras.layers.Normalization(name="scale")
    model = keras.Sequential([keras.Input((1,)), scale, line()], name="model")
    scale.adapt(np.array([[mean - 1.0], [mean + 1.0]]))
    model.layers[1].layers[0].set_weights([np.ones((1, 1)), np.zeros(1)])
    if kept is not None:
        scale.adapt_mean.assign([kept])
    return model


def named_relu(function):
    return line(keras.layers.Activation(function, name="last"))


MODELS = {
    "attribute of a class": lambda: [line(Factor(name="last")), line(type("Factor", (Factor,), {"factor": 3.0})(name="last"))],
    "function with Keras' name": lambda: [named_relu("relu"), named_relu(relu)],
    "Lambda": lambda: [line(keras.layers.Lambda(lambda x, f=f: f * x, name="last")) for f in (1.0, 3.0)],
    "call of one layer": lambda: [line(keras.layers.Activation("linear", name="last")), with_a_patched_call()],
    "penalty of one weight": lambda: [with_a_late_penalty(0.5), with_a_late_penalty(2.0)],
    "adapted statistics": lambda: [normalised(1.0), normalised(2.0)],
    "statistics that are not used": lambda: [normalised(2.0), normalised(1.0, kept=2.0)],
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_looks_like_the_last_one_is_not_taken_for_it(kind, tmp_path):
    data, found = make_line(), []
    for model in MODELS[kind]():
        error = np.mean((model(data.inputs).numpy() - data.targets) ** 2)
        expected = error + sum(float(penalty) for penalty in model.losses)
        found.append(start_loss(model=model, jit=False, checkpoint=tmp_path))
        assert found[-1] == pytest.approx(expected, rel=1e-6)
        assert start_loss(model=model, jit=False, checkpoint=tmp_path) == found[-1]
    assert found[0] != found[1]


def test_a_setting_of_keras_that_a_loss_reads_is_part_of_the_sweep():
    before, found = keras.config.epsilon(), []
    try:
        for epsilon in (1e-7, 1e-3):
            keras.config.set_epsilon(epsilon)
            found.append(start_loss("binary_crossentropy", jit=False))
    finally:
        keras.config.set_epsilon(before)
    # predictions of 0 for targets 2, 4, 6, 8: -t log(epsilon) - (1 - t) log(1 - epsilon)
    expected = [-5 * np.log(epsilon) + 4 * np.log1p(-epsilon) for epsilon in (1e-7, 1e-3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_two_optimizers_with_equal_options_are_two_sweeps():
    options = {"steps": 3, "learning_rate": [0.1], "jit": False}
    ends = [
        sweep(build_linear(), make_line(), optimizer=kind(), **options).parameters
        for kind in (keras.optimizers.Adamax, keras.optimizers.Nadam)
    ]
    assert np.abs(ends[0] - ends[1]).max() > 1e-6


def test_what_has_no_identity_is_refused_in_words():
    factor = tf.Variable(2.0, name="my_factor")
    with pytest.raises(ValueError, match="it reads my_factor:0, which is no weight of the model: make it a number"):
        start_loss(lambda y, p: factor * tf.reduce_mean((y - p) ** 2))
    with pytest.raises(ValueError, match="it draws random numbers or calls Python"):
        start_loss(lambda y, p: tf.random.normal(()) * tf.reduce_mean((y - p) ** 2))


def test_the_same_sweep_is_traced_once_and_one_of_your_own_parts_each_time(monkeypatch):
    traced = []
    make = task.Plan._make_task
    monkeypatch.setattr(task.Plan, "_make_task", lambda *given: traced.append(1) or make(*given))
    task._RECENT.clear()
    tiling._loops().clear()
    compiled = []
    monkeypatch.setattr(tiling, "_compile", lambda *given, build=tiling._compile: compiled.append(1) or build(*given))
    for _ in range(3):
        start_loss(jit=False)
    assert (len(traced), len(compiled)) == (1, 1)
    for _ in range(3):
        start_loss(lambda y, p: keras.ops.mean(keras.ops.square(y - p)), jit=False)
    assert (len(traced), len(compiled)) == (4, 2)  # three traces, equal in every byte, and one compiled loop


def few(folder, **options):
    """Four runs in four tiles, kept in a folder."""
    values = {"optimizer": "sgd", "steps": 5, "learning_rate": [0.01, 0.02, 0.03, 0.04], "tile": 1, "jit": False}
    return sweep(build_linear(), make_line(), checkpoint=folder, **values | options)


def tiles(folder):
    return sorted(folder.rglob("output.pkl"))


def test_a_checkpoint_goes_on_where_it_stopped(tmp_path, monkeypatch):
    expected, run, made = few(None), tiling.run_tile, []

    def interrupted(*given):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return run(*given)

    folder = tmp_path / "deep" / "folder"
    monkeypatch.setattr(tiling, "run_tile", interrupted)
    with pytest.raises(KeyboardInterrupt):
        few(folder)
    assert len(tiles(folder)) == 2
    monkeypatch.setattr(tiling, "run_tile", lambda *given: made.append(1) or run(*given))
    np.testing.assert_array_equal(few(folder).parameters, expected.parameters)
    assert len(made) == 4  # two before the interruption, two after
    again = few(str(folder))
    assert len(made) == 4
    for name in ("loss", "parameters", "diverged", "updates"):
        np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))
        assert getattr(again, name).dtype == getattr(expected, name).dtype


@pytest.mark.parametrize(
    "changes",
    [
        {"start": [[0.0, 1.0]]},
        {"optimizer": keras.optimizers.SGD(0.01, nesterov=True, momentum=0.9)},
        {"optimizer": keras.optimizers.SGD(0.01, clipnorm=1.0)},
        {"batch_size": 2, "seed": 1},
        {"target": 5.0},
        {"hyperparameters": {"momentum": 0.5}},
    ],
)
def test_sweeps_may_share_a_folder_and_each_finds_its_own_tiles_only(tmp_path, changes):
    few(tmp_path)
    before = {path: path.read_bytes() for path in tiles(tmp_path)}
    found, expected = few(tmp_path, **changes), few(None, **changes)
    np.testing.assert_array_equal(found.parameters, expected.parameters)
    np.testing.assert_array_equal(found.steps_to_target, expected.steps_to_target)
    assert len(tiles(tmp_path)) == 8
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_that_is_built_again_finds_the_tiles_of_the_first(tmp_path):
    def build():  # Keras numbers its layers on: dense, dense_1, ...
        dense = keras.layers.Dense
        return keras.Sequential([keras.Input((1,)), dense(1, "silu"), dense(1, kernel_initializer="ones")])

    models = [build(), build()]
    models[1].set_weights(models[0].get_weights())
    assert models[0].layers[0].name != models[1].layers[0].name
    for model in models:
        sweep(model, make_line(), optimizer="sgd", steps=5, jit=False, checkpoint=tmp_path)
    assert len(tiles(tmp_path)) == 1


def test_a_damaged_tile_is_run_again_wherever_the_damage_is(tmp_path, capfd):
    expected = few(tmp_path)
    path = tiles(tmp_path)[1]
    good, place = path.read_bytes(), path.parent.name
    store = sweeping._open_checkpoint(tmp_path)
    right = sweeping._load(store, place)
    flips = [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :] for at in range(0, len(good), 7)]
    for content in (b"", good[:100], b"no pickle", *flips):
        path.write_bytes(content)
        part = sweeping._load(store, place)
        assert part is None or all(np.array_equal(part[name], values) for name, values in right.items())
    path.write_bytes(good[:-1])
    np.testing.assert_array_equal(few(tmp_path).parameters, expected.parameters)
    assert path.read_bytes() == good
    assert capfd.readouterr().err == ""


def test_a_checkpoint_that_cannot_be_written_is_an_error_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(tiling, "run_tile", None)  # nothing may call it
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=r"checkpoint must be a folder that can be written, but .*file.*inside"):
        few(tmp_path / "file" / "inside")
    assert (tmp_path / "file").read_text() == "not a folder"

    def denied(**_):
        raise PermissionError("no")

    monkeypatch.setattr(sweeping.tempfile, "TemporaryFile", denied)
    with pytest.raises(PermissionError, match="checkpoint must be a folder that can be written"):
        few(tmp_path)


@pytest.mark.filterwarnings("ignore:Unable to cache to disk")  # joblib says so, once for each tile
def test_a_tile_that_cannot_be_kept_is_not_lost(tmp_path, monkeypatch):
    expected = few(None)
    monkeypatch.setattr("joblib._store_backends.FileSystemStoreBackend._open_item", None)
    np.testing.assert_array_equal(few(tmp_path).parameters, expected.parameters)
    assert tiles(tmp_path) == []
