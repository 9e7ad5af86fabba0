"""Short runs of the live model, measured update by update; around them everything is put back."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.restore import activated
from gdexplain.in_keras.eye import innermost

Array = NDArray[Any]
_CHUNK = 128  # updates in one call of the compiled loop: Ctrl-C and the clock wait for its end
_SHOWN = 1000  # examples that the error is taken of, at most


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
    activations : mapping of str to str
        Layers that have another activation, by name.
    back : tuple of ndarray
        What was taken from the targets, and what the rest was divided by.
    scaled : bool
        Whether the inputs were standardised.
    steady : bool
        Whether a schedule stays at its first rate.
    """

    x: Any
    y: Any
    loss: Any
    batch_size: int
    updates: int
    start: tuple[Array, ...]
    rate: float = 1.0
    activations: Mapping[str, str] = field(default_factory=dict)
    back: tuple[Any, Any] = (0.0, 1.0)
    scaled: bool = False
    steady: bool = False


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
    kernels : tuple of bool
        Which of the V arrays rows are multiplied with.
    """

    loss: Array
    sizes: Array
    error: float
    accuracy: float
    diverged: bool
    kernels: tuple[bool, ...]

    @property
    def ratio(self) -> Array:
        """The update over the weights, the median over the updates, for each kernel that is not zero."""
        kept = (self.sizes[:, 1] > 0) & np.array(self.kernels if any(self.kernels) else [True])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            shares = np.where(kept, self.sizes[:, 2] / self.sizes[:, 1], np.nan)
        return np.nanmedian(shares[:, kept.any(0)], axis=0) if kept.any() else np.zeros(0)

    @property
    def first_ratio(self) -> float:
        """The largest update over the weights among the first few."""
        first = self.sizes[:5, :, list(self.kernels)]
        return float(np.max(first[:, 2] / np.maximum(first[:, 1], 1e-12), where=first[:, 1] > 0, initial=0.0))


@dataclass(frozen=True, eq=False)
class Layer:
    """What an activated layer gives on some rows.

    Parameters
    ----------
    name, activation : str
        The layer, and the name of its activation.
    units : int
        How many numbers it gives a row (or a place).
    zero : float
        The share of units that give 0 for every row.
    flat : float
        The share of numbers that lie where a sigmoid or tanh is flat.
    followed_by_weights : bool
        Whether another layer with weights follows.
    """

    name: str
    activation: str
    units: int
    zero: float
    flat: float
    followed_by_weights: bool


class Bench:
    """A live model with its data, and every way to train it that was compiled so far."""

    def __init__(
        self, model: keras.Model, setup: Setup, task: look.Task, make: Callable[[core.Problem, Setup], Any]
    ) -> None:
        self.model, self.setup, self.task, self._make = model, setup, task, make
        weights = zip(names_of(model), setup.start, strict=True)
        self.kernels = tuple(look.is_kernel(name, array) for name, array in weights)
        self._ways: dict[Any, Any] = {}
        self._first = tuple(np.array(variable.numpy()) for variable in model.variables)
        self._normalised = any(isinstance(one, keras.layers.BatchNormalization) for one in model._flatten_layers())

    def run(self, setup: Setup, seed: int, *, seconds: float = np.inf) -> Run:
        """Train from the setup's start, with batches in the order of a seed, and put nothing back."""
        with activated(setup.activations, self.model):
            way = self._way(setup)
            self._begin(setup, way)
            losses, sizes, finite = way.train(setup, seed, seconds)
            error, accuracy = self.judge(setup, way)
        done = np.concatenate(losses) if losses else np.zeros(0)
        return Run(
            done,
            np.concatenate(sizes) if sizes else np.zeros((0, 3, len(way.problem.variables))),
            error if finite else look.CEILING,
            accuracy,
            not finite,
            self.kernels,
        )

    def judge(self, setup: Setup, way: Any = None) -> tuple[float, float]:
        """Return error and accuracy of the predictions on some examples, in the units of the user's targets."""
        way = self._way(setup) if way is None else way
        n = way.problem.examples
        rows = np.random.default_rng(0).permutation(n)[:_SHOWN] if n > _SHOWN else np.arange(n)
        inputs, targets = replace(way.problem, x=setup.x, y=setup.y).tensors(rows)
        predicted = way.problem.predict(inputs, training=self._normalised)
        if not self.task.kind:
            loss = float(way.problem.mean(way.problem.loss_of(inputs, targets, predicted, training=False)))
            way.first = loss if way.first is None else way.first
            worst = not np.isfinite(loss) or way.first == 0
            return (look.CEILING if worst else min(loss / abs(way.first), look.CEILING)), float("nan")
        mean, scale = setup.back
        shown = (
            np.asarray(setup.y)[rows] * scale + mean if self.task.kind == "regression" else np.asarray(setup.y)[rows]
        )
        predicted = np.asarray(predicted, np.float64) * scale + mean
        if not np.all(np.isfinite(predicted)):
            return look.CEILING, 0.0
        logits = from_logits(way.problem)
        return (
            self.task.error(shown, predicted, logits=logits),
            self.task.accuracy(shown, predicted, logits=logits),
        )

    def layers(self, setup: Setup) -> tuple[Layer, ...]:
        """Return what each activated layer gives on some rows, with the weights as they are now."""
        problem = self.problem(setup)
        inputs = replace(problem, x=setup.x, y=setup.y).tensors(np.arange(min(problem.examples, 256)))[0]
        seen = dict[str, Any]()
        with contextlib.ExitStack() as stack, warnings.catch_warnings(), keras.StatelessScope():
            warnings.simplefilter("ignore")
            for layer in self.model._flatten_layers():
                if look.activation_of(layer):
                    stack.enter_context(_spied(layer, seen))
            problem.predict(inputs, training=False)
        return tuple(_layer(name, *given) for name, given in seen.items())

    def gap(self, setup: Setup) -> tuple[float, float]:
        """Return the loss that Keras computes on some rows, and the one that it has for the predictions as numbers."""
        problem = self.problem(setup)
        inputs, targets = replace(problem, x=setup.x, y=setup.y).tensors(np.arange(min(problem.examples, 256)))
        predicted = problem.predict(inputs, training=False)
        numbers = keras.tree.map_structure(lambda one: tf.constant(one.numpy()), predicted)
        pair = [problem.mean(problem.loss_of(inputs, targets, p, training=False)) for p in (predicted, numbers)]
        return float(pair[0]), float(pair[1])

    def problem(self, setup: Setup) -> core.Problem:
        """Return model, loss and data, checked against each other."""
        with activated(setup.activations, self.model):
            problem: core.Problem = self._way(setup).problem
            return problem

    def begin(self, setup: Setup) -> None:
        """Let the model stand where a run of this setup begins."""
        self._begin(setup, None)

    def _way(self, setup: Setup) -> Any:
        """Return the compiled way to train so; data, start, rate and number of updates need no other."""
        loss = setup.loss if isinstance(setup.loss, str) else id(setup.loss)
        kinds = tuple(str(leaf.dtype) for leaf in keras.tree.flatten((setup.x, setup.y)) if leaf is not None)
        key = loss, setup.batch_size, tuple(setup.activations.items()), kinds
        if key not in self._ways:
            problem = core.pose(self.model, (setup.x, setup.y), setup.loss, batch_size=setup.batch_size)
            self._ways[key] = self._make(problem, setup)
        return self._ways[key]

    def _begin(self, setup: Setup, way: Any) -> None:
        """Assign the first weights and the first state."""
        for variable, value in zip(self.model.variables, self._first, strict=True):
            variable.assign(value)
        for variable, value in zip(self.model.trainable_variables, setup.start, strict=True):
            variable.assign(value)
        if way is not None and way.first is None:
            self.judge(setup, way)


@contextlib.contextmanager
def _spied(layer: Any, seen: dict[str, Any]) -> Iterator[None]:
    """Note what a layer gives when it is called."""
    plain = layer.call

    def call(*arguments: Any, **options: Any) -> Any:
        seen[layer.name] = layer, plain(*arguments, **options)
        return seen[layer.name][1]

    vars(layer)["call"] = call
    try:
        yield
    finally:
        vars(layer).pop("call")


def _layer(name: str, layer: Any, output: Any) -> Layer:
    """Describe what a layer gave."""
    given = np.asarray(output, np.float64)
    units = given.reshape(-1, given.shape[-1])
    activation = look.activation_of(layer)
    low = -1.0 if activation in ("tanh", "softsign") else 0.0
    edge = 0.02 * (1 - low)
    flat = float(np.mean((given < low + edge) | (given > 1 - edge)))
    return Layer(name, activation, units.shape[-1], float(np.mean(np.all(units == 0, 0))), flat, bool(layer.weights))


class Fresh:
    """Optimizers as they are now, to begin every run with; the first has the rate."""

    def __init__(self, *optimizers: Any) -> None:
        rate = getattr(innermost(optimizers[0]), "_learning_rate", None)
        self.optimizer = optimizers[0]
        self.rate = float(rate) if isinstance(rate, keras.Variable) else None  # None of a schedule, which has no number
        self._values = [
            (variable, np.array(variable.numpy())) for optimizer in optimizers for variable in optimizer.variables
        ]

    def begin(self, factor: float) -> None:
        """Put every variable back, and the rate times a factor if it is a number."""
        for variable, value in self._values:
            variable.assign(value)
        if self.rate is not None:
            self.optimizer.learning_rate.assign(self.rate * factor)


class Way:
    """One compiled loop of updates, with an optimizer of its own that is like the user's."""

    def __init__(self, problem: core.Problem, pattern: Any, width: int) -> None:
        self.problem, self.width = problem, width
        self.first: float | None = None
        self.factor, self.steady = (tf.Variable(value, trainable=False) for value in (1.0, False))
        self.optimizer = twin_of(pattern, self.factor, self.steady)
        self.optimizer.build(problem.variables)
        self._fresh = Fresh(self.optimizer)
        self._loop: Callable[..., Any] | None = None

    def train(self, setup: Setup, seed: int, seconds: float) -> tuple[list[Array], list[Array], bool]:
        """Make the updates in chunks; return losses and sizes as far as they are finite, and whether all are."""
        self._fresh.begin(setup.rate)
        self.factor.assign(setup.rate)
        self.steady.assign(setup.steady)
        x, y = core.map_arrays(tf.constant, (setup.x, setup.y))
        losses, sizes, loop = list[Array](), list[Array](), self._compiled(x, y)
        until = time.perf_counter() + seconds  # compiling does not count
        for chunk in batches(self.problem.examples, self.width, setup.updates, seed):
            loss, size, good = loop(x, y, _filled(chunk), np.int32(len(chunk)))
            losses.append(loss.numpy()[: int(good)])
            sizes.append(np.sqrt(2) * np.sqrt(size.numpy()[: int(good)]))
            if int(good) < len(chunk):
                return losses, sizes, False
            if time.perf_counter() > until:
                break
        return losses, sizes, True

    def _compiled(self, x: Any, y: Any) -> Callable[..., Any]:
        if self._loop is None:
            specs = core.map_arrays(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), (x, y))
            many = tf.TensorSpec([_CHUNK, self.width], tf.int64), tf.TensorSpec([], tf.int32)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Keras warns of is found in other ways here
                self._loop = tf.function(self._updates, autograph=False).get_concrete_function(*specs, *many)
        return self._loop

    def _updates(self, x: Any, y: Any, chunk: Any, count: Any) -> Any:
        """Make `count` updates, or as many as are finite."""
        problem, variables = self.problem, self.problem.variables
        shape = (3, len(variables))

        def update(k: Any, _: Any, losses: Any, sizes: Any) -> Any:
            rows = chunk[k]
            inputs, targets = core.map_arrays(lambda array: tf.gather(array, rows), (x, y))
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
            loss = tf.cast(loss, tf.float32)
            return k + 1, fine, losses.write(k, loss), sizes.write(k, size)

        losses = tf.TensorArray(tf.float32, _CHUNK, element_shape=())
        sizes = tf.TensorArray(tf.float32, _CHUNK, element_shape=shape)
        begin = tf.constant(0), tf.constant(True), losses, sizes
        made, fine, losses, sizes = tf.while_loop(
            lambda k, fine, *_: fine & (k < count), update, begin, parallel_iterations=1
        )
        return losses.stack(), sizes.stack(), made - tf.cast(~fine, tf.int32)


def _half_square(tensor: Any) -> Any:
    """Return half the squared norm of a gradient or weight, by one operation; of none, 0."""
    return tf.constant(0.0) if tensor is None else tf.nn.l2_loss(tf.cast(tensor, tf.float32))


class _Scaled(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A schedule times a factor, or that of its first step, which may change from run to run."""

    def __init__(self, inner: Any, factor: Any, steady: Any) -> None:
        super().__init__()
        self.inner, self.factor, self.steady = inner, factor, steady

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step."""
        return self.factor * self.inner(tf.where(self.steady, tf.zeros_like(step), step))


def names_of(model: keras.Model) -> list[str]:
    """Return the names of the trainable weights."""
    return [variable.path.removeprefix(f"{model.name}/") for variable in model.trainable_variables]


def twin_of(
    optimizer: keras.optimizers.Optimizer, factor: Any = None, steady: Any = False
) -> keras.optimizers.Optimizer:
    """Return a new optimizer with the configuration of the user's own."""
    twin = type(optimizer).from_config(optimizer.get_config())
    schedule = getattr(optimizer, "_learning_rate", None)
    if factor is not None and isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        twin._learning_rate = _Scaled(schedule, factor, steady)
    return twin


def from_logits(problem: core.Problem) -> bool:
    """Say whether the loss takes logits."""
    return bool(loss_of(problem)[1])


def loss_of(problem: core.Problem) -> tuple[str, bool]:
    """Return the name of Keras' function behind the one loss, and whether it takes logits; "" for one of your own."""
    flat = getattr(problem.loss, "_flat_losses", None) or []
    function = getattr(flat[0].loss, "fn", None) if len(flat) == 1 else None
    if function is None or not getattr(function, "__module__", "").startswith("keras."):
        return "", False
    return function.__name__, bool(getattr(flat[0].loss, "_fn_kwargs", {}).get("from_logits"))


def batches(n: int, width: int, updates: int, seed: int) -> Iterator[Array]:
    """Give the rows of each update, in chunks: one shuffled epoch after the other, cut into batches of one size."""
    rng, left = np.random.default_rng(seed), np.zeros(0, np.int64)
    while updates > 0:
        now = min(_CHUNK, updates, max(1, 2**22 // width))
        parts = [left]
        while sum(map(len, parts)) < now * width:
            parts.append(rng.permutation(n))
        rows = np.concatenate(parts)
        left, updates = rows[now * width :], updates - now
        yield rows[: now * width].reshape(now, width)


def _filled(chunk: Array) -> Array:
    """Return a chunk with as many rows as every other."""
    return np.concatenate([chunk, np.zeros((_CHUNK - len(chunk), chunk.shape[1]), np.int64)])
