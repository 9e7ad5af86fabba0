"""Each run of a sweep is the run that `train` makes."""

import keras
import numpy as np
import pytest

from gdexplain import (
    Dataset,
    build_linear,
    build_mlp,
    line_hessian,
    make_line,
    sweep,
    train,
)
from gdexplain.in_keras import tiling

RNG = np.random.default_rng(0)
REAL = Dataset(RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2)), "two outputs")
CLASSES = Dataset(RNG.normal(size=(12, 4)), RNG.integers(0, 3, 12), "three classes")
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


def mlp(dtype="float64", **options):
    return build_mlp([4, 2], inputs=3, seed=1, dtype=dtype, **options)


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
    ("name", "batch_size", "row"), [*((name, 4, 2) for name in OPTIMIZERS), ("SGD", None, 0), ("Adam", None, 0)]
)
def test_each_run_equals_train(name, batch_size, row):
    begin, options = starts(mlp(), len(RATES)), {"steps": 20, "batch_size": batch_size, "seed": 3}
    runs = sweep(mlp(), REAL, optimizer=OPTIMIZERS[name](0.5), learning_rate=RATES, start=begin, tile=2, **options)
    expected, _ = train_alone(mlp(), REAL, begin[row], optimizer=OPTIMIZERS[name](RATES[row]), **options)
    np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12, atol=1e-12)
    assert not np.any(runs.diverged)
    assert runs.updates.tolist() == [20, 20, 20]


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "RMSprop", "Adam"])
def test_in_float32_each_run_equals_train_to_one_in_a_hundred_thousand(name):
    begin, options = starts(mlp(), len(RATES)), {"steps": 20, "batch_size": 4, "seed": 3}
    runs = sweep(mlp("float32"), REAL, optimizer=OPTIMIZERS[name](0.5), learning_rate=RATES, start=begin, **options)
    expected, _ = train_alone(mlp("float32"), REAL, begin[1], optimizer=OPTIMIZERS[name](RATES[1]), **options)
    assert runs.parameters.dtype == runs.loss.dtype == np.float32
    np.testing.assert_allclose(runs.parameters[1], expected, rtol=1e-5, atol=1e-5)


def test_a_schedule_sets_the_rate_of_every_run_and_scale_multiplies_it():
    def cosine(factor=1.0):
        return O.SGD(O.schedules.CosineDecay(2**-5 * factor, 16, warmup_target=2**-4 * factor, warmup_steps=4))

    begin, options = starts(mlp(), 2), {"steps": 20, "batch_size": 4}
    runs = sweep(mlp(), REAL, optimizer=cosine(), start=begin, scale=[[1.0], [0.5]], **options)
    for row, factor in enumerate([1.0, 0.5]):
        expected, _ = train_alone(mlp(), REAL, begin[row], optimizer=cosine(factor), **options)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-6)  # the schedule is float32
    assert runs.label == "SGD(CosineDecay)"
    assert runs.learning_rate.shape == (0,)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda momentum: O.SGD(2**-6, momentum=momentum), {"momentum": [0.5, 0.875]}),
        (lambda momentum: O.SGD(2**-6, momentum=momentum, nesterov=True), {"momentum": [0.5, 0.875]}),
        (lambda weight_decay: O.SGD(2**-6, weight_decay=weight_decay), {"weight_decay": [0.5, 0.125]}),
        (lambda rho, momentum: O.RMSprop(2**-6, rho=rho, momentum=momentum), {"rho": [0.5, 0.875], "momentum": [0.25, 0.5]}),
        (lambda epsilon: O.RMSprop(2**-6, rho=0.875, epsilon=epsilon), {"epsilon": [0.5, 0.125]}),
        (
            lambda beta_1, beta_2, epsilon: O.Adam(2**-6, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon),
            {"beta_1": [0.5, 0.875], "beta_2": [0.875, 0.96875], "epsilon": [0.5, 0.125]},
        ),
        (
            lambda beta_1, weight_decay: O.AdamW(2**-6, beta_1=beta_1, beta_2=0.96875, weight_decay=weight_decay),
            {"beta_1": [0.5, 0.875], "weight_decay": [0.5, 0.125]},
        ),
    ],
)  # fmt: skip
def test_other_options_of_the_optimizer_may_differ_from_run_to_run(make, options):
    first = {name: values[0] for name, values in options.items()}
    runs = sweep(mlp(), REAL, optimizer=make(**first), steps=10, hyperparameters=options)
    for row in range(2):
        alone = make(**{name: values[row] for name, values in options.items()})
        expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=alone, steps=10, batch_size=None)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12, atol=1e-12)
    assert {name: values.tolist() for name, values in runs.hyperparameters.items()} == options


def test_on_a_quadratic_every_run_follows_the_closed_form():
    data, model = make_line(6, slope=1.5, intercept=0.5), build_linear(dtype="float64")
    begin = np.random.default_rng(2).normal(size=(3, 2))
    runs = sweep(model, data, optimizer="sgd", steps=30, learning_rate=[0.01, 0.02, 0.0375], start=begin)
    for row, rate in enumerate(runs.learning_rate):
        update = np.linalg.matrix_power(np.eye(2) - rate * line_hessian(data), 30)
        expected = [1.5, 0.5] + update @ (begin[row] - [1.5, 0.5])
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12)
        residual = data.inputs[:, 0] * runs.parameters[row, 0] + runs.parameters[row, 1] - data.targets[:, 0]
        np.testing.assert_allclose(runs.loss[row], np.mean(residual**2), rtol=1e-12)
    np.testing.assert_array_equal(model.get_weights()[0], 0)  # a pattern, and not the one that is trained


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
    for row, seed in enumerate(seeds):
        expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=O.SGD(2**-5), seed=seed, **options)
        np.testing.assert_allclose(runs.parameters[row], expected, rtol=1e-12, atol=1e-12)
    assert runs.seed.tolist() == seeds
    still = sweep(mlp(), REAL, optimizer=O.SGD(2**-5), seed=seeds, shuffle=False, **options)
    expected, _ = train_alone(mlp(), REAL, flat(mlp()), optimizer=O.SGD(2**-5), shuffle=False, **options)
    np.testing.assert_allclose(still.parameters, np.tile(expected, (3, 1)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_run_that_diverges_stops_where_train_stops_and_the_others_go_on(batch_size):
    data, rates = make_line(4), [2.0**-6, 1.0, 2.0**4, 2.0**-5]
    options = {"steps": 400, "batch_size": batch_size, "seed": 1}
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


def test_penalties_constraints_and_frozen_layers_are_those_of_train():
    def build():
        keras.utils.set_random_seed(3)
        layers = [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh", trainable=False),
            keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer="l2"),
            keras.layers.Dense(3, kernel_constraint=keras.constraints.MaxNorm(0.25)),
        ]
        return keras.Sequential(layers)

    loss, options = keras.losses.SparseCategoricalCrossentropy(from_logits=True), {"steps": 12, "batch_size": 5}
    runs = sweep(build(), CLASSES, optimizer=O.SGD(2**-3), scale=[[1.0], [0.5]], loss=loss, **options)
    model = build()
    run = train(model, CLASSES, optimizer=O.SGD(2**-3), loss=loss, batch_size=5, epochs=4)
    np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=1e-5, atol=1e-6)
    assert [shape for _, shape in runs.layout] == [shape for _, shape in run.layout]
    assert np.max(np.linalg.norm(runs.weight(runs.layout[2][0]), axis=1)) < 0.25 + 1e-6
    np.testing.assert_allclose(runs.loss[0], evaluate(model, CLASSES), rtol=1e-5)


def evaluate(model, data):
    """The loss that train's model has on all examples, penalties included."""
    return model.compute_loss(data.inputs, data.targets, model(data.inputs), training=True).numpy()


def test_embeddings_and_models_with_several_inputs_are_those_of_train():
    def build():
        keras.utils.set_random_seed(3)
        word, number = keras.Input((2,), dtype="int32", name="word"), keras.Input((3,), name="number")
        flat = keras.layers.Flatten()(keras.layers.Embedding(20, 2)(word))
        both = keras.layers.Concatenate()([flat, number])
        return keras.Model({"word": word, "number": number}, keras.layers.Dense(1)(both))

    x = {"word": RNG.integers(0, 20, (9, 2)).astype("int32"), "number": RNG.normal(size=(9, 3)).astype("float32")}
    y = RNG.normal(size=(9, 1)).astype("float32")
    runs = sweep(build(), (x, y), optimizer="sgd", steps=6, batch_size=4, scale=[[1.0], [2.0]])
    run = train(build(), (x, y), optimizer="sgd", batch_size=4, epochs=2)
    np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="embeddings is a table of which a batch uses some rows"):
        sweep(build(), (x, y), optimizer="adam", steps=6, batch_size=4)


class Shifted(keras.layers.Layer):
    """A layer of one's own, with a weight that no step moves."""

    def build(self, shape):
        self.shift = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False)
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return self.scale * x + self.shift


def plain(*layers):
    return keras.Sequential([keras.Input((3,)), *layers])


def normalised():
    layer = keras.layers.Normalization()
    layer.adapt(100 + 20 * REAL.inputs)
    return plain(layer, keras.layers.Dense(2))


def two_outputs():
    x = keras.Input((3,))
    return keras.Model(x, {name: keras.layers.Dense(2, name=name)(x) for name in ("a", "b")})


def shared():
    x, layer = keras.Input((3,)), keras.layers.Dense(3, "tanh")
    return keras.Model(x, keras.layers.Dense(2)(layer(layer(x))))


def masked():
    embedding = keras.layers.Embedding(6, 3, mask_zero=True)
    return keras.Sequential(
        [keras.Input((4,), dtype="int32"), embedding, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)]
    )


L, WORDS = keras.layers, (RNG.integers(0, 6, (10, 4)).astype("int32"), REAL.targets)
TWO = (REAL.inputs, {"a": REAL.targets, "b": -REAL.targets})
KINDS = {
    "adapted Normalization": (normalised, (100 + 20 * REAL.inputs, REAL.targets), "mse"),
    "own layer": (lambda: plain(Shifted(), L.Dense(2)), REAL, "mse"),
    "Lambda": (lambda: plain(L.Lambda(lambda x: 2 * x), L.Dense(2)), REAL, "mse"),
    "frozen layer": (lambda: plain(L.Dense(3, trainable=False), L.Dense(2)), REAL, "mse"),
    "shared layer": (shared, REAL, "mse"),
    "mask": (masked, WORDS, "mse"),
    "layer normalisation": (lambda: plain(L.LayerNormalization(), L.Dense(2)), REAL, "mse"),
    "mixed bfloat16": (lambda: plain(L.Dense(4, "tanh", dtype="mixed_bfloat16"), L.Dense(2)), REAL, "mse"),
    "losses by output": (two_outputs, TWO, {"a": "mse", "b": keras.losses.Huber(0.5)}),
    "one loss for two outputs": (two_outputs, TWO, keras.losses.MeanAbsoluteError()),
    "losses of one's own": (two_outputs, TWO, {"a": lambda y, p: keras.ops.mean((y - p) ** 4), "b": "mae"}),
    "loss that is not reduced": (lambda: plain(L.Dense(2)), REAL, keras.losses.MeanSquaredError(reduction="none")),
    "loss that is summed": (lambda: plain(L.Dense(2)), REAL, keras.losses.MeanSquaredError(reduction="sum")),
    "lists": (lambda: plain(L.Dense(2)), (REAL.inputs.tolist(), REAL.targets.tolist()), "mse"),
    "whole numbers": (lambda: plain(L.Dense(2)), (REAL.inputs, np.rint(REAL.targets).astype(int)), "mse"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_model_and_loss_ends_where_train_ends(kind):
    build, data, loss = KINDS[kind]
    keras.utils.set_random_seed(3)
    model = build()
    start = [weight.copy() for weight in model.get_weights()]
    options = {"optimizer": O.SGD(2.0**-6), "loss": loss}
    runs = sweep(model, data, steps=6, batch_size=4, scale=[[1.0], [0.5]], jit=False, **options)
    for before, after in zip(start, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)  # a pattern, which is not trained
    run = train(model, data, batch_size=4, epochs=2, **options)
    digits = 1e-2 if "bfloat16" in kind else 1e-5
    np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=digits, atol=digits / 10)


@pytest.mark.parametrize("jit", [False, True])
def test_a_recurrent_layer_is_swept_without_xla_and_refused_with_it(jit):
    def build():
        keras.utils.set_random_seed(3)
        return keras.Sequential([keras.Input((3, 2)), keras.layers.SimpleRNN(2), keras.layers.Dense(1)])

    data, options = (RNG.normal(size=(6, 3, 2)), RNG.normal(size=(6, 1))), {"optimizer": O.SGD(2.0**-6)}
    if jit:
        with pytest.raises(ValueError, match="jit must be False for this model, for XLA cannot compile it"):
            sweep(build(), data, steps=2, scale=[[1.0], [0.5]], **options)
    else:
        runs = sweep(build(), data, steps=2, scale=[[1.0], [0.5]], jit=False, **options)
        run = train(build(), data, batch_size=None, epochs=2, **options)
        np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=1e-5, atol=1e-6)


def test_a_convolution_is_refused_for_it_cannot_be_vectorised_over_filters():
    model = keras.Sequential(
        [keras.Input((6, 1)), keras.layers.Conv1D(2, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    with pytest.raises(ValueError, match=r"a step that a sweep can vectorise\. It fails with[\s\S]*Conv2D"):
        few(model=model, dataset=(np.ones((4, 6, 1)), np.ones((4, 1))))


def test_a_loss_of_your_own_and_graph_mode_work():
    def absolute(y, prediction):
        return keras.ops.mean(keras.ops.abs(y - prediction))

    for loss in (absolute, "mae", keras.losses.MeanAbsoluteError()):
        runs = sweep(build_linear(), make_line(), optimizer="sgd", loss=loss, steps=3, jit=False)
        np.testing.assert_allclose(runs.parameters, [[0.075, 0.03]], rtol=1e-6)
    assert runs.provenance["jit"] == "False"


def few(**changes):
    """A small sweep of four runs in two tiles."""
    values = {"model": build_linear(), "dataset": make_line(), "optimizer": "sgd", "steps": 5}
    values |= {"learning_rate": [0.01, 0.02, 0.03, 0.04], "tile": 2} | changes
    return sweep(values.pop("model"), values.pop("dataset"), **values)


def test_the_tile_changes_the_last_digits_at_most():
    whole = few(tile=100)
    for width in (1, 2, 3):
        np.testing.assert_allclose(few(tile=width).parameters, whole.parameters, rtol=1e-6)
    assert [few(tile=width).provenance["tile"] for width in (3, 100)] == ["2", "4"]  # tiles of one size


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


class Halving(O.schedules.LearningRateSchedule):
    """A schedule of one's own; Keras cannot build it again, and need not."""

    def __call__(self, step):
        return 2.0**-5 / 2 ** keras.ops.cast(step, "float32")

    def get_config(self):
        return {}


class Nameless(Halving):
    def get_config(self):
        return super(Halving, self).get_config()


def test_a_schedule_of_ones_own_is_that_of_train():
    runs = sweep(build_linear(), make_line(), optimizer=O.SGD(Halving()), steps=4, scale=[[1.0], [2.0]])
    run = train(build_linear(), make_line(), optimizer=O.SGD(Halving()), batch_size=None, epochs=4)
    np.testing.assert_allclose(runs.parameters[0], run.parameters[-1], rtol=1e-6)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def deep(*layers):
    return keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(1)])


def excluding():
    optimizer = O.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "linear"}, TypeError, "model must be a keras.Model, not str"),
        ({"model": OwnStep([keras.layers.Dense(1)])}, ValueError, "OwnStep overrides it"),
        ({"model": deep(keras.layers.Dropout(0.5))}, ValueError, "no state besides its weights.*dropout"),
        ({"model": deep(keras.layers.BatchNormalization())}, ValueError, "that of batch_normalization.* .BatchNormalization.\\."),
        ({"model": deep(keras.layers.GaussianNoise(0.5))}, ValueError, "no state besides its weights.*gaussian_noise"),
        ({"model": keras.Sequential([keras.Input((1,)), keras.layers.Flatten()])}, ValueError, "trainable weight"),
        ({"dataset": np.ones((4, 1))}, TypeError, "dataset must be a Dataset or a pair"),
        ({"dataset": (np.ones((4, 2)), np.ones((4, 1)))}, ValueError, "dataset must fit the model's inputs"),
        ({"dataset": (np.ones((4, 1)), np.ones((4, 2)))}, ValueError, "y must have the shape of the predictions"),
        ({"dataset": (np.full((4, 1), np.nan), np.ones((4, 1)))}, ValueError, "x must be finite"),
        ({"loss": "no loss"}, ValueError, "loss must be the name of a Keras loss, not 'no loss'"),
        ({"optimizer": "sdg"}, ValueError, "optimizer must be the name of a Keras optimizer"),
        ({"optimizer": O.Lamb(0.1)}, ValueError, "optimizer must be one of Keras' SGD, .* in a sweep, not Lamb"),
        ({"optimizer": O.Muon(0.1)}, ValueError, "in a sweep, not Muon"),
        ({"optimizer": type("SGD", (O.SGD,), {})(0.1)}, ValueError, "in a sweep, not SGD"),
        ({"optimizer": O.LossScaleOptimizer(O.SGD(0.1))}, ValueError, "LossScaleOptimizer"),
        ({"optimizer": O.SGD(0.1, gradient_accumulation_steps=2, clipnorm=1.0)}, ValueError, "accumulate"),
        ({"optimizer": excluding()}, ValueError, "some are excluded"),
        ({"optimizer": O.SGD(Nameless())}, ValueError, "optimizer must have a schedule that says what it is"),
        ({"optimizer": O.SGD(lambda: 0.1)}, TypeError, "a number or a Keras schedule"),
        ({"optimizer": O.SGD(O.schedules.CosineDecay(0.1, 5))}, ValueError, "learning_rate must be left out"),
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1, not 0"),
        ({"steps": 1.5}, TypeError, "steps must be a whole number"),
        ({"tile": 0}, ValueError, "tile must be a whole number of at least 1, not 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1, not 0"),
        ({"batch_size": 5}, ValueError, "batch_size must be a whole number from 1 to 4, not 5"),
        ({"learning_rate": []}, ValueError, "learning_rate must be one number or one for each run"),
        ({"learning_rate": [[0.1]]}, ValueError, r"learning_rate must be one number or one for each run, not shape \(1, 1\)"),
        ({"learning_rate": [0.1, np.nan]}, ValueError, r"learning_rate must be finite, but learning_rate\[1\] is nan"),
        ({"learning_rate": [0.1, -0.1]}, ValueError, "learning_rate must be a finite number at least 0, not -0.1"),
        ({"learning_rate": 1e300}, ValueError, "learning_rate must be finite in float32"),
        ({"learning_rate": "fast"}, TypeError, "learning_rate must be an array of numbers"),
        ({"start": np.ones((4, 3))}, ValueError, r"start must have shape \(R, 2\), one row a run .*not \(4, 3\)"),
        ({"start": np.ones(2)}, ValueError, r"start must have shape \(R, 2\)"),
        ({"start": np.ones((0, 2))}, ValueError, r"start must have shape \(R, 2\)"),
        ({"start": np.ones((3, 2))}, ValueError, "as many runs, but learning_rate has 4, start has 3"),
        ({"start": np.full((4, 2), np.inf)}, ValueError, "start must be finite"),
        ({"scale": np.ones((4, 3))}, ValueError, r"scale must have shape \(R, 2\), \(R, 1\) or \(2,\), not \(4, 3\)"),
        ({"scale": 2.0}, ValueError, "scale must have shape"),
        ({"seed": [1, 2]}, ValueError, "as many runs, but learning_rate has 4, seed has 2"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be a whole number from 0 to 9223372036854775807, or one for each run, not -1"),
        ({"seed": np.uint64(2**63)}, ValueError, "seed must be a whole number from 0"),
        ({"seed": [[1]]}, ValueError, "seed must be a whole number from 0"),
        ({"seed": None}, TypeError, "seed must be"),
        ({"shuffle": "no"}, TypeError, "shuffle must be True or False, not 'no'"),
        ({"jit": 1}, TypeError, "jit must be True or False, not 1"),
        ({"progress": None}, TypeError, "progress must be True or False"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path, not 3"),
        ({"checkpoint": True}, TypeError, "checkpoint must be a path, not True"),
        ({"checkpoint": b"tiles"}, TypeError, "checkpoint must be a path, not b'tiles'"),
        ({"checkpoint": ""}, ValueError, "checkpoint must be the path of a folder, not ''"),
        ({"checkpoint": " "}, ValueError, "checkpoint must be the path of a folder, not ' '"),
        ({"checkpoint": "a\0b"}, ValueError, "checkpoint must be a folder that can be written"),
        ({"hyperparameters": ["momentum"]}, TypeError, "hyperparameters must be a Mapping"),
        ({"learning_rate": [0.1j]}, TypeError, "learning_rate must be an array of numbers, not of complex numbers"),
        ({"loss": {"nowhere": "mse"}}, ValueError, "y must fit the model's outputs and the loss"),
        ({"target": np.nan}, ValueError, "target must be a finite number"),
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
    model = changes.get("model") or build_linear(0.25)
    with pytest.raises(error, match=words):
        few(**{"checkpoint": tmp_path / "tiles"} | changes | {"model": model})
    assert list(tmp_path.iterdir()) == []
    if isinstance(model, keras.Model):
        assert not getattr(model, "compiled", False)


class Scaled(keras.Model):
    def __init__(self, factor):
        super().__init__()
        self.factor, self.dense = factor, keras.layers.Dense(1, kernel_initializer="zeros")

    def call(self, x):
        return self.factor * self.dense(x)

    def get_config(self):
        return {"factor": self.factor}


class Doubled(keras.losses.Loss):
    def call(self, y, prediction):
        return 2 * keras.ops.mean(keras.ops.square(y - prediction), axis=-1)


def test_models_and_losses_of_your_own_class_are_swept():
    runs = sweep(Scaled(1.0), make_line(), optimizer=O.SGD(0.005), loss=Doubled(), steps=1, scale=[[1.0], [2.0]])
    np.testing.assert_allclose(runs.parameters, [[0.3, 0.1], [0.6, 0.2]], rtol=1e-6)


class Twice(keras.Model):
    """A model that nobody could build again: it has no configuration, and a layer from outside."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, x):
        return 2 * self.layer(x)


def test_a_model_that_keras_cannot_rebuild_is_swept_all_the_same():
    model = Twice(keras.layers.Dense(1, kernel_initializer="zeros"))
    runs = sweep(model, make_line(), optimizer=O.SGD(0.005), steps=1, scale=[[1.0], [2.0]])
    np.testing.assert_allclose(runs.parameters, [[0.3, 0.1], [0.6, 0.2]], rtol=1e-6)


class Growing(keras.losses.Loss):
    """A loss whose weight grows from batch to batch, as a KL term is faded in."""

    def __init__(self):
        super().__init__()
        self.weight = keras.Variable(1.0, trainable=False, name="weight")

    def call(self, y_true, y_pred):
        self.weight.assign_add(0.5)
        return self.weight * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def test_a_loss_that_changes_from_batch_to_batch_is_refused_and_left_alone():
    loss = Growing()
    with pytest.raises(ValueError, match=r"no state besides its weights in a sweep, .* that of .*weight\. Use train"):
        sweep(build_linear(), make_line(), optimizer="sgd", loss=loss, steps=3, jit=False)
    assert float(loss.weight) == 1
    run = train(build_linear(), make_line(), optimizer=O.SGD(0.0), loss=loss, batch_size=None, epochs=3)
    np.testing.assert_allclose(run.loss, [45, 60, 75])


def test_weights_that_the_loss_does_not_reach_are_refused_by_name():
    x = keras.Input((1,))
    idle = keras.ops.stop_gradient(keras.layers.Dense(1, name="idle")(x))
    model = keras.Model(x, keras.layers.Dense(1)(x) + idle)
    with pytest.raises(ValueError, match="the loss does not depend on idle/kernel, idle/bias"):
        few(model=model)
