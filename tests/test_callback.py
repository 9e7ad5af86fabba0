"""RecordTrajectory gives the record of any `fit`, gradients included, and leaves `fit` as it was."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from gdexplain import RecordTrajectory, build_linear, build_mlp, make_line, train
from gdexplain.in_keras import backend
from gdexplain.in_keras.tap import Tap
from tests.alike import alike
from tests.fit import fit

O, L = keras.optimizers, keras.layers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 6)).astype("float32"), RNG.normal(size=(22, 2)).astype("float32")
WEIGHTS = RNG.uniform(0.2, 2, 22).astype("float32")
UPDATES = 6  # an epoch: 22 = 5 * 4 + 2


# ---- Models of every kind, each always with the same start


class Stack(keras.Sequential):
    """Two layers; `built_on_data` leaves it to the first batch to build them."""

    def __init__(self, *, built_on_data=False):
        keras.utils.set_random_seed(3)
        super().__init__([*([] if built_on_data else [keras.Input((6,))]), L.Dense(5, "tanh"), L.Dense(2)])


class OwnStep(Stack):
    """A step of one's own that computes its loss by hand and gives it a name of its own."""

    def gradient(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        return loss, tape.gradient(loss, self.trainable_variables)

    def train_step(self, data):
        loss, gradient = self.gradient(data)
        self.optimizer.apply(gradient, self.trainable_variables)
        return {"my_loss": loss}


class StepInABranch(OwnStep):
    def train_step(self, data):
        loss, gradient = self.gradient(data)
        tf.cond(loss > 0, lambda: self.optimizer.apply(gradient, self.trainable_variables), lambda: None)
        return {"loss": loss}


class StepInAFunction(OwnStep):
    @tf.function
    def train_step(self, data):
        return super().train_step(data)


class TwoOptimizers(OwnStep):
    def __init__(self):
        super().__init__()
        self.second = O.Adam(0.01)

    def train_step(self, data):
        loss, gradient = self.gradient(data)
        self.second.apply(gradient[2:], self.trainable_variables[2:])
        self.optimizer.apply(gradient[:2], self.trainable_variables[:2])
        return {"loss": loss}


def partly_built():
    model = Stack(built_on_data=True)
    model.layers[0].build((None, 6))
    return model


def frozen():
    model = mlp()
    model.layers[0].trainable = False
    return model


def half_precision():
    keras.utils.set_random_seed(3)
    layers = [L.Dense(5, "tanh", dtype="mixed_float16"), L.Dense(2, dtype="mixed_float16")]
    return keras.Sequential([keras.Input((6,)), *layers])


def mlp(outputs=2, **options):
    return build_mlp([5, outputs], inputs=6, seed=1, **options)


def stream():
    """As nobody knows what a filter lets through, nobody knows how long it is."""
    return tf.data.Dataset.from_tensor_slices((X, Y)).filter(lambda x, _: x[0] > -99).batch(4)


# ---- Kinds of fit: model, optimizer, options of compile, data, options of fit

SGD = lambda **options: lambda: O.SGD(0.1, **options)
KINDS = {
    "sample weights, validation and metrics": (
        mlp,
        SGD(),
        {"metrics": ["mae"]},
        {"sample_weight": WEIGHTS, "validation_data": (X[:5], Y[:5])},
    ),
    "a stream of unknown length": (mlp, SGD(), {}, {"x": stream}),
    "own step, no loss compiled": (OwnStep, SGD(), {"loss": None}, {}),
    "own step, not built": (lambda: OwnStep(built_on_data=True), SGD(), {}, {}),
    "own step, not built, eagerly": (lambda: OwnStep(built_on_data=True), SGD(), {"run_eagerly": True}, {}),
    "a step in a branch, with XLA": (StepInABranch, SGD(), {"jit_compile": True}, {}),
    "a step that is a tf.function": (StepInAFunction, SGD(), {}, {}),
    "two optimizers": (TwoOptimizers, SGD(), {}, {}),
    "loss scaling, with XLA": (mlp, lambda: O.LossScaleOptimizer(O.SGD(0.1)), {"jit_compile": True}, {}),
    "a scaled loss": (mlp, SGD(loss_scale_factor=64.0), {}, {}),
    "partly built": (partly_built, SGD(), {}, {}),
    "a later first epoch": (mlp, SGD(), {}, {"initial_epoch": 1}),
}


def run(kind, *callbacks):
    """Fit a kind; return the model, its history and what a callback after `callbacks` saw."""
    build, optimizer, compiled, options = KINDS[kind]
    model, seen = build(), []
    keras.utils.set_random_seed(8)
    model.compile(optimizer(), **{"loss": "mse", "jit_compile": False} | compiled)
    watcher = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append((batch, dict(logs))),
        on_epoch_end=lambda epoch, logs: seen.append((epoch, dict(logs))),
    )
    options = {"callbacks": [*callbacks, watcher], "epochs": 3, "verbose": 0, "shuffle": False} | options
    options |= {"x": options["x"]()} if "x" in options else {"x": X, "y": Y, "batch_size": 4}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data")  # how Keras finds out how long a stream is
        history = model.fit(**options)
    return model, history.history, seen


def second_tape(kind, model, record):
    """Loss and gradient of every update by a tape of our own, at the weights on record."""
    weights = KINDS[kind][3].get("sample_weight")
    sizes = np.cumsum([int(np.prod(variable.shape)) for variable in model.trainable_variables])[:-1]
    for k, theta in enumerate(record.parameters[:-1]):
        for variable, part in zip(model.trainable_variables, np.split(theta, sizes), strict=True):
            variable.assign(part.reshape(variable.shape))
        rows = slice(4 * (k % UPDATES), 4 * (k % UPDATES) + 4)
        with tf.GradientTape() as tape:
            guess, weight = model(X[rows], training=True), None if weights is None else weights[rows]
            loss = tf.reduce_mean((guess - Y[rows]) ** 2, axis=1)
            loss = tf.reduce_mean(loss if weight is None else loss * weight)
        parts = tape.gradient(loss, model.trainable_variables)
        yield float(loss), np.concatenate([np.ravel(tf.convert_to_tensor(part)) for part in parts])


def assert_untouched(model):
    """Nothing of the recorder is left in the model, its optimizer or TensorFlow."""
    assert not {"apply", "scale_loss"} & set(vars(model.optimizer))
    assert "train_step" not in vars(model)
    assert not isinstance(model.train_function, Tap)
    assert tf.GradientTape.gradient.__qualname__ == "GradientTape.gradient"


@pytest.mark.parametrize("kind", alike(KINDS))
def test_any_fit_is_recorded_as_a_second_tape_sees_it_and_trains_as_without_a_recorder(kind):
    recorder = RecordTrajectory()
    plain, recorded = run(kind), run(kind, recorder)
    for ours, theirs in zip(recorded[0].get_weights(), plain[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert recorded[1:] == plain[1:]
    assert_untouched(recorded[0])
    record, epochs = recorder.trajectory, 2 if kind == "a later first epoch" else 3
    assert (len(record), record.updates_per_epoch, record.batch_size) == (epochs * UPDATES, UPDATES, 4)
    assert not record.diverged
    np.testing.assert_array_equal(record.parameters[-1], backend.flat_parameters(recorded[0]))
    losses, gradients = zip(*second_tape(kind, recorded[0], record), strict=True)
    np.testing.assert_allclose(record.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(record.gradients, gradients, rtol=1e-4, atol=1e-6)


def test_the_record_of_fit_is_that_of_train_to_the_last_bit():
    def optimizer():
        return O.Adam(0.01, clipnorm=0.1, gradient_accumulation_steps=3, use_ema=True)

    options = {"batch_size": 4, "epochs": 2, "seed": 2}
    expected = train(mlp(), (X, Y), optimizer=optimizer(), **options)
    recorder = RecordTrajectory()
    fit(mlp(), (X, Y), optimizer=optimizer(), callbacks=[recorder], **options)
    for part in ("parameters", "gradients", "loss", "updates"):
        np.testing.assert_array_equal(getattr(recorder.trajectory, part), getattr(expected, part))
    for part in ("label", "layout", "batch_size"):
        assert getattr(recorder.trajectory, part) == getattr(expected, part)


def test_an_update_that_loss_scaling_skips_has_gradient_zero():
    model, recorder = half_precision(), RecordTrajectory()
    model.compile(O.LossScaleOptimizer(O.SGD(0.1), initial_scale=2.0**30), "mse")
    model.fit(X, Y, batch_size=4, epochs=4, verbose=0, callbacks=[recorder])
    record = recorder.trajectory
    moved = np.any(np.diff(record.parameters, axis=0), axis=1)
    np.testing.assert_array_equal(moved, np.any(record.gradients, axis=1))
    assert len(record) == 4 * UPDATES
    assert 0 < np.sum(~moved) < len(record)


# ---- What is kept


@pytest.mark.parametrize(("every", "updates"), [(1, [*range(9)]), (4, [0, 4, 8]), (5, [0, 5, 8]), (99, [0, 8])])
def test_the_callback_thins_its_rows_and_keeps_the_last(every, updates):
    thin, full = RecordTrajectory(record_every=every), RecordTrajectory()
    model = build_linear()
    fit(model, make_line(), optimizer="sgd", batch_size=2, epochs=4, callbacks=[thin, full])
    assert thin.trajectory.updates.tolist() == updates
    np.testing.assert_array_equal(thin.trajectory.parameters, full.trajectory.parameters[updates])
    np.testing.assert_array_equal(thin.trajectory.gradients, full.trajectory.gradients[updates[:-1]])
    np.testing.assert_array_equal(thin.trajectory.loss, full.trajectory.loss)
    np.testing.assert_array_equal(thin.trajectory.parameters[-1], backend.flat_parameters(model))


@pytest.mark.parametrize("record", [("parameters",), "gradients", ()])
def test_only_what_is_asked_for_is_recorded(record):
    recorder = RecordTrajectory(record=record)
    fit(build_linear(), make_line(), optimizer="sgd", batch_size=2, epochs=1, callbacks=[recorder])
    assert recorder.trajectory.parameters.shape == (3 if "parameters" in record else 0, 2)
    assert recorder.trajectory.gradients.shape == (2 if "gradients" in record else 0, 2)
    assert recorder.trajectory.loss.shape == (2,)


def test_a_record_beyond_its_budget_is_refused_with_its_bytes_before_a_weight_moves():
    model = mlp()
    before = backend.flat_parameters(model)
    model.compile("sgd", "mse")
    bytes_ = 4 * (12 + 47 * (13 + 12)) + 8 * 13
    words = rf"max_bytes must be at least {bytes_:,} .* 12 updates of 47 parameters .* not 1,100\. .*: record_every=6, "
    with pytest.raises(ValueError, match=words):
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[RecordTrajectory(max_bytes=1100)])
    np.testing.assert_array_equal(backend.flat_parameters(model), before)
    assert_untouched(model)
    recorder = RecordTrajectory(max_bytes=1100, record_every=6)
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[recorder])
    assert recorder.trajectory.updates.tolist() == [0, 6, 12]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_record_of_unknown_length_is_thinned_when_it_reaches_its_budget():
    full, thin = RecordTrajectory(), RecordTrajectory(max_bytes=2200)
    model = mlp()
    model.compile("sgd", "mse")
    words = "reached max_bytes=2,200"
    with pytest.warns(UserWarning, match=words) as said:
        model.fit(stream(), epochs=3, verbose=0, shuffle=False, callbacks=[full, thin])
    assert sum(words in str(warning.message) for warning in said) == 2
    record = thin.trajectory
    assert record.updates.tolist() == [0, 4, 8, 12, 16, 18]
    np.testing.assert_array_equal(record.parameters, full.trajectory.parameters[record.updates])
    np.testing.assert_array_equal(record.gradients, full.trajectory.gradients[record.updates[:-1]])


def test_epochs_of_fit_become_epochs_of_the_record():
    recorder, model = RecordTrajectory(), build_linear()
    model.compile("sgd", "mse")
    x = np.ones((5, 1), "float32")
    for epochs in (2, 3):
        model.fit(x, x, batch_size=2, epochs=epochs, verbose=0, callbacks=[recorder])
        assert recorder.trajectory.updates_per_epoch == 3
        assert len(recorder.trajectory) == 3 * epochs


def test_the_rows_are_the_weights_at_which_each_gradient_was_taken_whatever_callbacks_do_to_them():
    class Halve(keras.callbacks.Callback):
        def on_train_batch_end(self, *_, **__):
            self.model.set_weights([weight / 2 for weight in self.model.get_weights()])

    recorder, model = RecordTrajectory(), mlp()
    model.compile(O.SGD(0.1), "mse")
    model.fit(X, Y, batch_size=22, epochs=3, verbose=0, callbacks=[recorder, Halve()])
    rows, gradients = recorder.trajectory.parameters.astype(float), recorder.trajectory.gradients.astype(float)
    np.testing.assert_allclose(rows[1:-1], (rows[:-2] - 0.1 * gradients[:-1]) / 2, rtol=1e-4, atol=1e-6)


# ---- The end of a fit


class Raise(keras.callbacks.Callback):
    """Raise in a hook, the second time that it is called."""

    def __init__(self, hook):
        super().__init__()
        self.calls = 0
        setattr(self, hook, self._raise)

    def _raise(self, *_, **__):
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt  # of all errors the one that no `except Exception` sees


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("hook", "updates"), [("on_train_batch_begin", 1), ("on_train_batch_end", 2), ("on_test_begin", 12)]
)
def test_a_fit_that_another_callback_ends_leaves_its_record_and_nothing_else(hook, updates, first):
    model, recorder = mlp(), RecordTrajectory()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[recorder])
    before, function = recorder.trajectory, model.train_function
    callbacks = [recorder, Raise(hook)] if first else [Raise(hook), recorder]
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks, validation_data=(X, Y))
    record = recorder.trajectory
    assert len(record) == updates
    assert record is not before
    np.testing.assert_array_equal(record.parameters[-1], backend.flat_parameters(model))
    if first and hook == "on_train_batch_begin":  # the batch that it was there for never came: the next one clears up
        assert isinstance(model.train_function, Tap)
        model.fit(X, Y, epochs=1, verbose=0)
        assert recorder.trajectory is record
    assert_untouched(model)
    assert model.train_function is function


def test_data_that_fails_in_the_first_batch_leaves_nothing_behind():
    model, recorder = mlp(), RecordTrajectory()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[recorder])
    broken = tf.data.Dataset.from_tensor_slices((X, Y)).map(lambda x, y: (tf.debugging.check_numerics(x / 0, "x"), y))
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.fit(broken.batch(4), epochs=1, verbose=0, shuffle=False, callbacks=[recorder])
    assert len(recorder.trajectory) == 0
    assert_untouched(model)


def test_a_fit_that_ends_before_it_begins_has_no_record():
    model, recorder = mlp(), RecordTrajectory()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[recorder])

    class Refuse(keras.callbacks.Callback):
        def on_train_begin(self, *_, **__):
            raise RuntimeError

    for callbacks in ([Refuse(), recorder], [recorder, Refuse()]):
        with pytest.raises(RuntimeError):
            model.fit(X, Y, epochs=1, verbose=0, callbacks=callbacks)
        with pytest.raises(AttributeError, match="the latest fit ended before"):
            _ = recorder.trajectory


def test_evaluating_and_predicting_leave_the_record_alone():
    model, recorder = mlp(), RecordTrajectory()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[recorder])
    record = recorder.trajectory
    model.evaluate(X, Y, verbose=0, callbacks=[recorder])
    model.predict(X, verbose=0, callbacks=[recorder])
    assert recorder.trajectory is record


def test_a_fit_that_diverges_ends_the_record_at_its_last_finite_row_and_the_next_one_is_refused():
    recorder, model = RecordTrajectory(), build_linear()
    model.compile(O.SGD(1.0), "mse")
    data = make_line()
    model.fit(data.inputs, data.targets, batch_size=4, epochs=40, verbose=0, shuffle=False, callbacks=[recorder])
    record = recorder.trajectory
    assert record.diverged
    assert len(record) < 40
    expected = train(build_linear(), data, optimizer=O.SGD(1.0), batch_size=None, epochs=40, shuffle=False)
    np.testing.assert_array_equal(record.gradients, expected.gradients)
    with pytest.raises(ValueError, match=r"model must start from finite weights, but 'linear/neuron/kernel' has NaN"):
        model.fit(data.inputs, data.targets, verbose=0, callbacks=[recorder])
    with pytest.raises(ValueError, match="model must start from finite weights"):
        train(model, data, optimizer="sgd", batch_size=None, epochs=1)


def test_other_callbacks_stop_the_fit_as_they_would_without_a_recorder(capsys):
    lengths, x = [], np.ones((9, 1))
    for recorder in ([], [RecordTrajectory()]):
        model, stop = build_linear(), keras.callbacks.TerminateOnNaN()
        model.compile(O.SGD(1e18), "mse")
        history = model.fit(x, x, batch_size=1, epochs=3, verbose=0, callbacks=[*recorder, stop])
        lengths.append((int(model.optimizer.iterations), len(history.epoch)))
    assert lengths[0] == lengths[1]
    assert "Invalid loss" in capsys.readouterr().out


# ---- One recorder in many fits, many in one


def test_a_recorder_follows_its_model_from_fit_to_fit_without_a_new_trace():
    model, recorder, traces = OwnStep(), RecordTrajectory(), []
    step = model.gradient
    model.gradient = lambda data: traces.append(1) or step(data)
    model.compile(O.SGD(0.1), "mse")
    model.fit(X[:4], Y[:4], epochs=1, verbose=0, callbacks=[recorder])
    start, many = recorder.trajectory, len(traces)
    model.fit(X[:4], Y[:4], epochs=1, verbose=0, callbacks=[recorder])
    assert len(traces) == many
    np.testing.assert_array_equal(recorder.trajectory.parameters[0], start.parameters[-1])
    model.compile(O.Adam(0.1), "mse")
    model.fit(X[:4], Y[:4], epochs=1, verbose=0, callbacks=[recorder])
    assert recorder.trajectory.label == "Adam(0.1)"
    assert start.label == "SGD(0.1)"


def test_a_recorder_records_one_model_after_the_other():
    recorder, records = RecordTrajectory(), []
    for model in (mlp(), mlp(3)):
        model.compile("sgd", "mse")
        model.fit(X, np.ones((22, model.output_shape[1])), epochs=1, verbose=0, callbacks=recorder)
        records.append(recorder.trajectory)
    assert [record.parameters.shape[1] for record in records] == [47, 53]


def test_what_a_recorder_gave_is_not_changed_by_what_it_records_later():
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, *_, **__):
            seen.append(recorder.trajectory)

    recorder, model, seen = RecordTrajectory(record_every=2), mlp(), []
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, callbacks=[recorder, Look()])
    whole = recorder.trajectory
    for k, record in enumerate(seen, 1):
        assert len(record) == k
        np.testing.assert_array_equal(record.loss, whole.loss[:k])
        np.testing.assert_array_equal(record.gradients, whole.gradients[: len(record.gradients)])
        np.testing.assert_array_equal(record.parameters[:-1], whole.parameters[: len(record.gradients)])


# ---- What is refused, and said


def test_a_layer_that_was_frozen_after_compile_and_fit_is_refused():
    model = mlp()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="model must be compiled again, as trainable of 'dense_1' was changed"):
        model.fit(X, Y, verbose=0, callbacks=[RecordTrajectory()])


def test_weights_that_a_callback_thaws_during_fit_are_refused():
    class Thaw(keras.callbacks.Callback):
        def on_epoch_end(self, *_, **__):
            self.model.layers[0].trainable = True
            self.model.compile("sgd", "mse")
            self.model.make_train_function()

    model = frozen()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="model must keep its trainable weights during fit"):
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[RecordTrajectory(), Thaw()])
    assert_untouched(model)


def test_a_model_that_is_compiled_again_during_fit_goes_on_on_record():
    class Change(keras.callbacks.Callback):
        def on_epoch_end(self, *_, **__):
            self.model.compile(O.Adam(0.01), "mse")
            self.model.make_train_function()

    model, recorder = mlp(), RecordTrajectory()
    model.compile("sgd", "mse")
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[recorder, Change()])
    assert len(recorder.trajectory) == 3
    assert_untouched(model)


def test_a_step_that_hands_no_gradient_to_an_optimizer_is_recorded_without_and_says_so():
    class ByHand(OwnStep):
        def train_step(self, data):
            loss, gradient = self.gradient(data)
            for variable, part in zip(self.trainable_variables, gradient, strict=True):
                variable.assign_sub(0.1 * part)
            return {"loss": loss}

    model, recorder = ByHand(), RecordTrajectory()
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="no gradients: the train_step of ByHand hands none to an optimizer"):
        model.fit(X, Y, batch_size=4, epochs=1, verbose=0, shuffle=False, callbacks=[recorder])
    record = recorder.trajectory
    assert record.gradients.shape == (0, 47)
    expected = train(Stack(), (X, Y), optimizer=O.SGD(0.1), batch_size=4, epochs=1, shuffle=False)
    np.testing.assert_allclose(record.parameters, expected.parameters, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(record.loss, expected.loss, rtol=1e-5)


class Centred(O.SGD):
    """Gradient centralisation in front of Keras' own method; of `apply_gradients`, tests/kinds.py has such a one."""

    def apply(self, grads, trainable_variables=None):
        return super().apply([part - tf.reduce_mean(part) for part in grads], trainable_variables)


def test_the_gradient_is_that_of_the_batch_where_an_optimizer_of_ones_own_changes_it():
    model, recorder = Stack(), RecordTrajectory()
    model.compile(Centred(0.1), "mse", jit_compile=False)
    model.fit(X, Y, batch_size=22, epochs=1, verbose=0, callbacks=[recorder])
    record = recorder.trajectory
    plain = train(Stack(), (X, Y), optimizer="sgd", batch_size=None, epochs=1)
    np.testing.assert_allclose(record.gradients[0], plain.gradients[0], rtol=1e-5, atol=1e-7)
    bias = record.parameters[:, -2:]
    np.testing.assert_allclose(bias[1].sum(), bias[0].sum(), atol=1e-6)  # its own update has no mean


class Adversaries(keras.Model):
    """As in many tutorials: two models, each compiled with an optimizer of its own, and a step that trains both."""

    def __init__(self):
        keras.utils.set_random_seed(3)
        super().__init__()
        self.maker = keras.Sequential([keras.Input((2,)), L.Dense(6)])
        self.judge = keras.Sequential([keras.Input((6,)), L.Dense(1)])

    def compile(self, **options):
        super().compile(**options)
        self.maker.compile(O.Adam(0.01))
        self.judge.compile(O.SGD(0.1))

    def call(self, x):
        return self.judge(self.maker(x))

    def train_step(self, x):
        start = tf.ones((tf.shape(x)[0], 2))
        for part, sign in ((self.judge, 1), (self.maker, 0)):
            with tf.GradientTape() as tape:
                loss = sign * tf.reduce_mean(self.judge(x)) - tf.reduce_mean(self(start))
            weights = part.trainable_weights
            part.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"made": loss}


def test_optimizers_that_belong_to_models_within_are_on_record():
    model, recorder = Adversaries(), RecordTrajectory()
    model(np.ones((1, 2)))
    model.compile(jit_compile=False)
    model.fit(X, batch_size=11, verbose=0, shuffle=False, callbacks=[recorder])
    record = recorder.trajectory
    assert record.label == "SGD(0.1), Adam(0.01)"
    assert record.gradients.shape == (2, 25)
    np.testing.assert_allclose(np.diff(record.parameters[:, -7:], axis=0), -0.1 * record.gradients[:, -7:], atol=1e-6)
    assert all(optimizer.apply.__func__ for optimizer in (model.maker.optimizer, model.judge.optimizer))


def test_a_step_without_a_tape_shows_the_loss_that_it_returns_or_is_refused():
    class Still(Stack):
        def train_step(self, data):
            return {name: self.compute_loss(data[0], data[1], self(data[0])) for name in self.said}

    model, recorder = Still(), RecordTrajectory(record="parameters")
    model.compile("sgd", "mse")
    model.said = ["loss", "other"]
    history = model.fit(X, Y, batch_size=22, verbose=0, callbacks=[recorder])
    np.testing.assert_allclose(recorder.trajectory.loss, history.history["loss"], rtol=1e-6)
    model.said = ["one", "other"]
    with pytest.raises(ValueError, match=r"model must show its loss, .* returns no 'loss', only \['one', 'other'\]"):
        model.fit(X, Y, verbose=0, callbacks=[RecordTrajectory(record="parameters")])


def test_asking_for_the_record_before_fit_says_what_to_do_and_for_another_one_what_there_is():
    with pytest.raises(AttributeError, match="pass this callback to fit first"):
        _ = RecordTrajectory().trajectory
    with pytest.raises(ValueError, match="record must be one of 'parameters', 'gradients', not 'weights'"):
        RecordTrajectory(record="weights")


def test_a_callback_that_stands_in_the_list_twice_records_each_update_once():
    x = np.arange(6.0).reshape(6, 1)
    records = []
    for times in (1, 2):
        model, recorder = build_linear(), RecordTrajectory()
        model.compile("sgd", "mse")
        model.fit(x, 2 * x, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=[recorder] * times)
        records.append(recorder.trajectory)
    np.testing.assert_array_equal(records[1].parameters, records[0].parameters)
    np.testing.assert_array_equal(records[1].gradients, records[0].gradients)
    assert records[1].updates_per_epoch == records[0].updates_per_epoch == 2
