"""Short runs of the live model, measured update by update: by a compiled loop, or by `fit` where that trains otherwise."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import LearningRateSchedule
from numpy.typing import NDArray

from gdexplain.in_keras import backend, core
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.restore import Altered, Kept, altered, by_batch
from gdexplain.in_keras.eye import innermost, optimizers_of, standing_in
from gdexplain.in_keras.recorder import RecordTrajectory
from gdexplain.in_keras.task import schedule_of

Array = NDArray[Any]
_FEWEST, _CHUNK = 8, 128  # updates in one call of the compiled loop: Ctrl-C and the clock wait for its end
_SHOWN = 1000  # examples that the error is taken of, at most
_ROWS = 2**24  # numbers that a record of `fit` may hold


@dataclass(frozen=True, eq=False)
class Setup:
    """How a model is trained. A change is another setup, which differs in one field.

    Parameters
    ----------
    x, y : array or structure of arrays
        The data.
    loss : Any
        As for ``model.compile``.
    batch_size, updates : int
        Examples an update, and updates a run.
    rate : float
        A factor for the learning rate of the optimizer.
    start : tuple of ndarray
        The trainable weights before the first update.
    altered : tuple of Altered
        What is otherwise in the model or its optimizer.
    back : tuple of ndarray
        What was taken from the targets, and what the rest was divided by.
    steady : bool
        Whether a schedule stays at its first rate.
    held : int
        How many of the last rows are not trained on, and judged instead.
    stored : bool
        Whether batch normalisation is judged with its stored averages, as ``predict`` uses them.
    optimizer, model : Any
        Another optimizer or model than the user's, or None.
    """

    x: Any
    y: Any
    loss: Any
    batch_size: int
    updates: int
    start: tuple[Array, ...]
    rate: float = 1.0
    altered: tuple[Altered, ...] = ()
    back: tuple[Any, Any] = (0.0, 1.0)
    steady: bool = False
    held: int = 0
    stored: bool = False
    optimizer: Any = None
    model: Any = None

    def tensors(self, rows: Any) -> tuple[Any, Any]:
        """Return inputs and targets of some rows."""
        return core.map_arrays(tf.constant, core.take((self.x, self.y), rows))  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Run:
    """A short run: its losses, what each weight did in each update, and how far its predictions are from the targets.

    Parameters
    ----------
    loss : ndarray, shape (T,)
        The loss of each batch, before the update.
    sizes : ndarray, shape (T, 3, V)
        For each of V weight arrays the norms of gradient, of weights before, and of the update.
    error, accuracy : float
        Of the predictions at the end.
    diverged : bool
        Whether the run ended early, at a number that is not finite.
    """

    loss: Array
    sizes: Array
    error: float
    accuracy: float
    diverged: bool


FAILED = Run(np.zeros(0), np.zeros((0, 3, 0)), look.CEILING, 0.0, diverged=True)


class Layer(NamedTuple):
    """What an activated layer gives on some rows.

    Parameters
    ----------
    layer : keras.Layer
        The layer.
    activation : str
        The name of its activation.
    units : int
        How many numbers it gives a row (or a place).
    zero : float
        The share of units that give 0 for every row.
    flat : float
        The share of numbers that lie where a sigmoid or tanh is flat.
    """

    layer: Any
    activation: str
    units: int
    zero: float
    flat: float

    @property
    def name(self) -> str:
        """What the layer is called."""
        return str(self.layer.name)


Make = Callable[[core.Problem, Setup], Any]  # makes a way to train


class Bench:
    """A live model with its data, and every way to train it that was compiled so far."""

    def __init__(self, model: keras.Model, setup: Setup, task: look.Task, make: Make, *, logits: bool = False) -> None:
        self.model, self.task, self._make, self.logits = model, task, make, logits
        self.names = [name for name, _ in backend.layout(model)]
        self.kernels = tuple(map(look.is_kernel, self.names, setup.start))
        self._ways: dict[Any, Any] = {}
        self._first = Kept(model.variables)

    def run(self, setup: Setup, seed: int, *, seconds: float = np.inf) -> Run:
        """Train from the setup's start, with batches in the order of a seed, and put nothing back."""
        with altered(setup.altered):
            way = self.way(setup)
            self.begin(setup)
            if not self.task.kind and way.first is None:
                self.judge(setup)
            losses, sizes, finite = way.train(setup, seed, seconds)
            error, accuracy = self.judge(setup, stored=setup.stored)
        return Run(losses, sizes, error if finite else look.CEILING, accuracy, not finite)

    def judge(self, setup: Setup, *, stored: bool = False) -> tuple[float, float]:
        """Return error and accuracy of the predictions on some examples, in the units of the user's targets.

        Batch normalisation uses what these examples have, or its stored averages, as `predict` does.
        """
        way = self.way(setup)
        problem, n = way.problem, way.problem.examples
        rows = np.arange(n - setup.held, n) if setup.held else np.arange(n)
        rows = np.random.default_rng(0).permutation(rows)[:_SHOWN] if len(rows) > _SHOWN else rows
        inputs, targets = setup.tensors(rows)
        with contextlib.nullcontext() if stored else by_batch(setup.model or self.model):
            predicted = problem.predict(inputs, training=False)
        if not self.task.kind:
            loss = float(problem.mean(problem.loss_of(inputs, targets, predicted, training=False)))
            way.first = loss if way.first is None else way.first
            worst = not np.isfinite(loss) or way.first == 0
            return (look.CEILING if worst else min(loss / abs(way.first), look.CEILING)), float("nan")
        mean, scale = setup.back
        shown, predicted = (np.asarray(each, np.float64) * scale + mean for each in (setup.y[rows], predicted))
        named, logits = loss_of(problem)
        return self.task.judge(shown, predicted, logits=logits if named else self.logits)

    def look(self, setup: Setup) -> tuple[list[Layer], tuple[float, float]]:
        """Return what each activated layer gives on some rows, with the weights as they are now, in the order of calls.

        And the loss that Keras computes there, and the one that it has for the predictions as numbers.
        """
        problem, given = self.way(setup).problem, dict[str, Any]()
        inputs, targets = setup.tensors(slice(256))
        known = [(variable, variable.value) for variable in problem.variables]  # penalties look for them here alone
        with contextlib.ExitStack() as stack, keras.StatelessScope(known, collect_losses=True):
            for layer in self.model._flatten_layers():
                if look.activation_of(layer):
                    stack.enter_context(standing_in(layer, "call", _noting(layer, given)))
            predicted = problem.predict(inputs, training=False)
            numbers = keras.tree.map_structure(lambda one: tf.constant(one.numpy()), predicted)
            says, true = (problem.loss_of(inputs, targets, one, training=False) for one in (predicted, numbers))
        return [_layer(*each) for each in given.values()], (float(problem.mean(says)), float(problem.mean(true)))

    def begin(self, setup: Setup) -> None:
        """Let the model stand where a run of this setup begins."""
        self._first.put_back()
        for variable, value in zip((setup.model or self.model).trainable_variables, setup.start, strict=True):
            variable.assign(value)

    def way(self, setup: Setup) -> Any:
        """Return the compiled way to train so; data, start, rate and number of updates need no other."""
        loss = setup.loss if isinstance(setup.loss, str) else id(setup.loss)
        kinds = tuple(str(leaf.dtype) for leaf in keras.tree.flatten((setup.x, setup.y)) if leaf is not None)
        key = loss, setup.batch_size, setup.altered, setup.optimizer, setup.model, kinds
        if key not in self._ways:
            data, model = (setup.x, setup.y), setup.model or self.model
            problem = core.pose(model, data, setup.loss, batch_size=setup.batch_size)
            self._ways[key] = self._make(problem, setup)
        return self._ways[key]


def _noting(layer: Any, given: dict[str, Any]) -> Callable[..., Any]:
    """Return a layer's call that notes what it gives."""
    plain = layer.call

    def call(*arguments: Any, **options: Any) -> Any:
        given[layer.name] = layer, plain(*arguments, **options)
        return given[layer.name][1]

    return call


def _layer(layer: Any, output: Any) -> Layer:
    """Describe what a layer gave."""
    given, activation = np.asarray(output, np.float64), look.activation_of(layer)
    units = given.reshape(-1, given.shape[-1])
    low = -1.0 if activation in ("tanh", "softsign") else 0.0
    edge = 0.02 * (1 - low)
    zero, flat = np.mean(np.all(units == 0, 0)), np.mean((given < low + edge) | (given > 1 - edge))
    return Layer(layer, activation, units.shape[-1], float(zero), float(flat))


class Way:
    """One compiled loop of updates, with an optimizer of its own that is like the user's."""

    def __init__(self, problem: core.Problem, pattern: Any, width: int) -> None:
        self.problem, self.width = problem, width
        self.first: float | None = None  # the loss before the first run
        self.chunk = _FEWEST  # updates of one call, of about half a second
        self.factor = tf.Variable(1.0, trainable=False, dtype=tf.float64)
        self.steady = tf.Variable(initial_value=False, trainable=False)
        self.optimizer = twin_of(pattern, self.factor, self.steady)
        self.optimizer.build(problem.variables)
        self._fresh = Kept(self.optimizer.variables)
        data = core.map_arrays(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), (problem.x, problem.y))
        chunk = tf.TensorSpec([None, width], tf.int64)
        self._loop = tf.function(self._updates, autograph=False).get_concrete_function(*data, chunk)

    def train(self, setup: Setup, seed: int, seconds: float) -> tuple[Array, Array, bool]:
        """Make the updates in chunks; return losses and sizes as far as they are finite, and whether all are."""
        self._fresh.put_back()
        self.factor.assign(setup.rate)
        self.steady.assign(setup.steady)
        losses, sizes = [np.zeros(0, np.float32)], [np.zeros((0, 3, len(self.problem.variables)))]
        data, finite, until = setup.tensors(slice(None)), True, time.perf_counter() + seconds
        for chunk in batches(self.problem.examples - setup.held, self.width, setup.updates, seed, lambda: self.chunk):
            began = time.perf_counter()
            loss, size, good = self._loop(*data, chunk)
            losses.append(loss.numpy()[: int(good)])
            sizes.append(np.sqrt(2) * np.sqrt(size.numpy()[: int(good)]))
            finite = int(good) == len(chunk)
            now = time.perf_counter()
            self.chunk = int(np.clip(0.5 * len(chunk) / (now - began), _FEWEST, _CHUNK))
            if not finite or now > until:
                break
        return np.concatenate(losses), np.concatenate(sizes), finite

    def _updates(self, x: Any, y: Any, chunk: Any) -> Any:
        """Make an update for each row of the chunk, or as many as are finite."""
        problem, variables, count = self.problem, self.problem.variables, tf.shape(chunk)[0]

        def update(k: Any, _: Any, losses: Any, sizes: Any) -> Any:
            inputs, targets = core.map_arrays(lambda array: tf.gather(array, chunk[k]), (x, y))
            loss, given = problem.gradients(inputs, targets)
            given = [None if one is None else tf.convert_to_tensor(one) for one in given]
            before = [tf.identity(variable.value) for variable in variables]
            pairs = [(one, variable) for one, variable in zip(given, variables, strict=True) if one is not None]
            if pairs:
                self.optimizer.apply_gradients(pairs)
            moved = [variable.value - old for variable, old in zip(variables, before, strict=True)]
            size = tf.stack([[_half_square(one) for one in group] for group in (given, before, moved)])
            after = core.flat([variable.value for variable in variables], problem.dtype)
            fine = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(after))
            return k + 1, fine, losses.write(k, tf.cast(loss, tf.float32)), sizes.write(k, size)

        shapes = (), (3, len(variables))
        arrays = [tf.TensorArray(tf.float32, count, element_shape=shape) for shape in shapes]
        made, fine, *arrays = tf.while_loop(
            lambda k, fine, *_: fine & (k < count), update, (0, True, *arrays), parallel_iterations=1
        )
        return *(array.stack() for array in arrays), made - tf.cast(~fine, tf.int32)


def _half_square(tensor: Any) -> Any:
    """Return half the squared norm of a gradient or weight, by one operation; of none, 0."""
    return tf.constant(0.0) if tensor is None else tf.nn.l2_loss(tf.cast(tensor, tf.float32))


class Fitted:
    """Runs of `fit`, recorded by `RecordTrajectory`; with a train_step of its own the loss is the model's affair."""

    def __init__(self, problem: core.Problem, width: int) -> None:
        self.problem, self.width = problem, width
        self.first: float | None = None
        main, *others = dict.fromkeys((problem.model.optimizer, *optimizers_of(problem.model)))
        if not main.built:
            main.build(problem.variables)
        self._fresh = Kept(variable for optimizer in (main, *others) for variable in optimizer.variables)
        self._function: Any = None
        self._recorders = dict[int, RecordTrajectory]()

    def train(self, setup: Setup, seed: int, seconds: float) -> tuple[Array, Array, bool]:
        """Fit on as many batches; return losses and sizes as far as they are finite, and whether all are."""
        model, size = self.problem.model, sum(variable.size for variable in setup.start)
        self._fresh.put_back()
        rate, another = rate_of(model.optimizer), setup.rate != 1 or setup.steady
        if setup.optimizer is not None or (another and np.isnan(rate)):
            raise ValueError("fit trains with the model's own optimizer, and a schedule has rates of its own.")
        if another:
            model.optimizer.learning_rate.assign(rate * setup.rate)
        if not core.has_own_step(model):
            vars(model)["_compile_loss"] = self.problem.loss
        model.train_function = self._function  # of this way alone: an activation may be another one in another
        chunks = batches(self.problem.examples - setup.held, self.width, setup.updates, seed)
        order = np.concatenate(list(chunks)).ravel()
        every, ends = max(1, setup.updates * size // _ROWS), list[float]()
        recorder = self._recorders.setdefault(every, RecordTrajectory(record_every=every))

        def stop(*_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())
            model.stop_training = model.stop_training or ends[-1] - ends[0] > seconds  # the first batch compiles

        callbacks = [recorder, keras.callbacks.LambdaCallback(on_train_batch_end=stop)]
        x, y = core.take((setup.x, setup.y), order)
        model.fit(x, y, batch_size=self.width, shuffle=False, verbose=0, callbacks=callbacks)
        run, self._function = recorder.trajectory, model.train_function
        return run.loss, _sizes(run, [array.size for array in setup.start]), not run.diverged


def _sizes(run: Any, lengths: list[int]) -> Array:
    """Return for each recorded update and each weight array the norms of gradient, weights and step."""
    first = np.cumsum([0, *lengths[:-1]])
    before, steps = run.parameters[:-1], np.diff(run.parameters, axis=0)
    gradients = run.gradients if len(run.gradients) == len(before) else np.zeros_like(before)
    squares = [np.add.reduceat(np.square(rows), first, axis=1) for rows in (gradients, before, steps)]
    norms: Array = np.sqrt(np.stack(squares, axis=1))
    return norms


class _Rate(LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A rate or a schedule times a factor, or that of the first step, which may change from run to run."""

    def __init__(self, inner: Any, factor: Any, steady: Any) -> None:
        super().__init__()
        self.inner, self.factor, self.steady = inner, factor, steady

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step; the factor has the digits of Python's numbers."""
        rate = self.inner(tf.where(self.steady, tf.zeros_like(step), step)) if callable(self.inner) else self.inner
        return tf.cast(tf.cast(rate, self.factor.dtype) * self.factor, tf.float32)


def rate_of(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the learning rate; NaN of a schedule, which has no number."""
    rate = getattr(innermost(optimizer), "_learning_rate", None)
    return float(rate) if isinstance(rate, keras.Variable) else float("nan")


def twin_of(optimizer: Any, factor: Any = 1.0, steady: Any = False) -> keras.optimizers.Optimizer:
    """Return a new optimizer with the configuration of the user's own, and a rate that can be changed."""
    twin = type(optimizer).from_config(optimizer.get_config())
    twin._learning_rate = _Rate(schedule_of(optimizer) or rate_of(optimizer), factor, steady)
    return twin


def loss_of(problem: core.Problem) -> tuple[str, bool]:
    """Return the name of Keras' function behind the one loss, and whether it takes logits; "" for one of your own."""
    flat = getattr(problem.loss, "_flat_losses", None) or []
    function = getattr(flat[0].loss, "fn", None) if len(flat) == 1 else None
    if function is None or not getattr(function, "__module__", "").startswith("keras."):
        return "", False
    return function.__name__, bool(getattr(flat[0].loss, "_fn_kwargs", {}).get("from_logits"))


def takes_logits(problem: core.Problem, setup: Setup, task: look.Task) -> bool:
    """Whether a loss of your own takes logits, by what it gives: that of softmax is the same if all are larger by 1."""
    inputs, targets = setup.tensors(slice(64))
    shape = problem.predict(inputs, training=False).shape
    z = np.random.default_rng(0).normal(size=shape)

    def at(given: Array) -> float:
        numbers = tf.constant(given, problem.dtype)
        return float(problem.mean(problem.loss_of(inputs, targets, numbers, training=False)))

    if task.kind == "binary":  # softplus(z) - y z, and with -z for z the same up to (1 - 2 y) z
        return bool(np.isclose(at(z) - at(-z), np.mean((1 - 2 * np.reshape(targets, shape)) * z), 1e-3, 1e-3))
    return bool(np.isclose(at(z), at(z + 1), 1e-3, 1e-4) and not np.isclose(at(z), at(2 * z), 1e-3, 1e-4))


def batches(n: int, width: int, updates: int, seed: int, most: Callable[[], int] = lambda: _CHUNK) -> Iterator[Array]:
    """Give the rows of each update, in chunks: one shuffled epoch after the other, cut into batches of one size."""
    rng, left = np.random.default_rng(seed), np.zeros(0, np.int64)
    while updates > 0:
        now = min(most(), updates, max(1, 2**22 // width))
        while len(left) < now * width:
            left = np.concatenate([left, rng.permutation(n)])
        yield left[: now * width].reshape(now, width)
        left, updates = left[now * width :], updates - now
