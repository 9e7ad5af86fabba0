"""One tile of a sweep: many training runs as one compiled loop around Keras' own optimizer, a column a run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain.in_keras.program import Program

Arrays = dict[str, NDArray[Any]]

_CHUNK_BYTES = 64 * 2**20  # what the row numbers of the batches may hold at once
_CHUNK_UPDATES = 8192
_KEPT = 4  # compiled loops that a thread keeps for its next tile
_LOCAL = threading.local()


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that a worker, perhaps on another machine, needs to run any tile of a sweep: bytes and numbers."""

    gradients: Mapping[int, Program]  # loss and gradient of every run, by the number of examples in the batch
    loss: Program  # on all examples
    constraint: Program | None
    schedule: Program | None
    fixed: Sequence[NDArray[Any]]  # weights that no update changes
    data: Sequence[NDArray[Any]]
    optimizer: tuple[str, Mapping[str, Any]]
    dtype: str
    size: int  # parameters of a run
    width: int  # runs of a tile
    evaluated: int  # runs of which the loss on all examples is computed at once
    batch_size: int
    steps: int
    shuffle: bool
    own: bool  # whether each run has batches of its own
    goal: float | None
    jit: bool

    key: str = field(init=False)  # of all the others

    def __post_init__(self) -> None:
        """Hash the task once; it travels with its hash."""
        object.__setattr__(self, "key", joblib.hash(self))

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.data[0])


def run_tile(task: Task, rows: Mapping[str, NDArray[Any]]) -> Arrays:
    """Run one tile of at most `width` runs, filled up to the width: every tile runs through the same compiled loop."""
    count = len(rows["seed"])
    places = np.minimum(np.arange(task.width), count - 1)
    filled = {name: values[places] if count < task.width else values for name, values in rows.items()}
    loops = _loops()
    key = (task.key, *sorted(rows))
    try:
        if key not in loops:
            loops[key] = _compile(task, filled)
        loops.move_to_end(key)
        while len(loops) > _KEPT:
            loops.popitem(last=False)
        return {name: values[:count].copy() for name, values in loops[key](filled).items()}
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        loops.clear()
        raise MemoryError(str(error)) from None
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        if not task.jit:
            raise
        raise ValueError(
            f"jit must be False for this model, for XLA cannot compile it: {error.message.splitlines()[0]}"
        ) from None


def _loops() -> OrderedDict[Any, Callable[[Arrays], Arrays]]:
    """Return this thread's compiled loops: each has variables of its own, so no two threads may share one."""
    if not hasattr(_LOCAL, "loops"):
        _LOCAL.loops = OrderedDict()
    return _LOCAL.loops  # type: ignore[no-any-return]


class _Rates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A learning rate for each run, or for each parameter of each run: Keras asks a schedule before each update."""

    def __init__(self, schedule: Program | None, rate: Any, scale: Any) -> None:
        self.schedule, self.rate, self.scale = schedule, rate, scale

    def __call__(self, step: Any) -> Any:
        rate = self.rate.read_value() if self.schedule is None else self.schedule(step)[0]
        return rate if self.scale is None else tf.cast(rate, self.scale.dtype) * self.scale


class _PerRun:
    """A hyperparameter that differs from run to run, where Keras expects one number."""

    def __init__(self, variable: tf.Variable) -> None:
        self.variable = variable

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self.variable, dtype=dtype, name=name)

    def __rsub__(self, number: float) -> Any:
        return number - self.variable

    def __ne__(self, other: object) -> bool:  # "is there momentum at all?": there is, in some run
        return True

    def __gt__(self, other: float) -> bool:
        return True


def _make_optimizer(task: Task, given: Mapping[str, tf.Variable], theta: keras.Variable) -> Any:
    """Make the optimizer of the whole tile: Keras' own, with clipping by norm left to each run."""
    name, settings = task.optimizer
    swept = [option for option in given if option not in ("rate", "scale")]
    # placeholders that Keras accepts
    config = {**settings, "clipnorm": None, "global_clipnorm": None, "learning_rate": 0.5, **dict.fromkeys(swept, 0.5)}
    optimizer = getattr(keras.optimizers, name).from_config(config)
    optimizer.learning_rate = _Rates(task.schedule, given.get("rate"), given.get("scale"))
    optimizer.build([theta])
    for option in swept:
        setattr(optimizer, option, _PerRun(given[option]))
    return optimizer


def _make_step(task: Task, theta: keras.Variable, optimizer: Any) -> Callable[..., tuple[Any, ...]]:
    """Write one update of every run of a tile; a run that would leave the finite numbers stays where it is."""
    fixed, data = ([tf.constant(array) for array in arrays] for arrays in (task.fixed, task.data))
    with np.errstate(over="ignore"):  # a loss that is always small enough, or never
        goal = None if task.goal is None else np.asarray(task.goal, task.dtype)

    def step(rows: Any, size: int, alive: Any, updates: Any, last: Any, reached: Any) -> tuple[Any, ...]:
        before = tf.identity(theta.value)
        batch = data if rows is None else [tf.gather(array, rows) for array in data]
        loss, gradient = task.gradients[size](before, *fixed, *batch)
        optimizer.apply([gradient], [theta])
        after = tf.identity(theta.value)
        if task.constraint is not None:
            (after,) = task.constraint(after, *fixed, *data)
        finite = tf.reduce_all(tf.math.is_finite(gradient) & tf.math.is_finite(after), axis=0)
        loss = loss[0]
        alive &= finite & tf.math.is_finite(loss)
        theta.assign(tf.where(alive, after, before))
        if goal is not None:
            reached = tf.where(alive & (reached < 0) & (loss <= goal), updates, reached)
        return alive, updates + tf.cast(alive, tf.int32), tf.where(alive, loss, last), reached

    return step


def _compile(task: Task, rows: Mapping[str, NDArray[Any]]) -> Callable[[Arrays], Arrays]:
    """Compile the tile's loop, and return the function that runs a tile through it."""
    theta = keras.Variable(np.zeros_like(rows["start"]).T, dtype=task.dtype, name="theta")
    names = [name for name in rows if name not in ("start", "seed")]
    given = {name: tf.Variable(rows[name].T, dtype=task.dtype) for name in names}
    optimizer = _make_optimizer(task, given, theta)
    fresh = [tf.identity(variable.value) for variable in optimizer.variables]

    def begin(values: Sequence[Any]) -> int:
        for variable, value in zip((theta, *given.values(), *optimizer.variables), (*values, *fresh), strict=True):
            variable.assign(value)
        return 0

    length = _chunk_length(task)
    specs = [tf.TensorSpec(rows[name].T.shape, task.dtype) for name in ("start", *names)]
    loop = _compile_loop(task, theta, begin, _make_step(task, theta, optimizer), specs, length)
    largest = np.full(task.width, np.finfo(task.dtype).max, task.dtype)
    state = np.ones(task.width, bool), np.zeros(task.width, np.int32), largest, np.full(task.width, -1, np.int32)
    start = [tf.constant(array) for array in state]

    def run(tile: Arrays) -> Arrays:
        values = [tf.constant(tile[name].T) for name in ("start", *names)]
        state = start
        for first, order, ends in _chunks(task, tile["seed"], length):
            count = min(length, task.steps - first)
            *state, parameters, loss = loop(first, count, order, ends, *values, *state)
            if not state[0].numpy().any():
                break
        alive, updates, last, reached = (part.numpy() for part in state)
        diverged = ~(alive & np.isfinite(loss.numpy()))
        return {
            "loss": np.where(diverged, last, loss.numpy()),
            "diverged": diverged,
            "parameters": parameters.numpy().T,
            "updates": updates,
            "steps_to_target": reached,
        }

    return run


def _chunk_length(task: Task) -> int:
    """Return how many updates one call of the loop makes, so that their row numbers fit the memory."""
    runs = task.width if task.own else 1
    return min(task.steps, _CHUNK_UPDATES, max(1, _CHUNK_BYTES // (4 * task.batch_size * runs)))


def _compile_loop(
    task: Task,
    theta: keras.Variable,
    begin: Callable[..., int],
    step: Callable[..., Any],
    given: Sequence[tf.TensorSpec],
    length: int,
) -> Callable[..., Any]:
    """Compile the loop over a chunk of updates; the first one begins with the given values, the last one asks the loss.

    Both are part of the loop, for a call of TensorFlow takes longer than ten updates of a neuron.
    """
    size, tail = task.batch_size, task.examples % task.batch_size or task.batch_size
    full, losses = size == task.examples, _write_losses(task)

    def loop(first: Any, count: Any, order: Any, ends: Any, *values: Any) -> Any:
        def body(k: Any, *state: Any) -> Any:
            if full:
                return k + 1, *step(None, size, *state)
            if tail == size:
                return k + 1, *step(order[k], size, *state)
            # a static shape for each of the two lengths, so that XLA can compile both
            after = tf.cond(
                ends[k], lambda: step(order[k, ..., :tail], tail, *state), lambda: step(order[k], size, *state)
            )
            return k + 1, *after

        tf.cond(first == 0, lambda: begin(values[: len(given)]), lambda: 0)
        state = (tf.constant(0), *values[len(given) :])
        going = tf.while_loop(lambda k, alive, *_: (k < count) & tf.reduce_any(alive), body, state)
        end = tf.identity(theta.value)
        last = first + count == task.steps
        return *going[1:], end, tf.cond(last, lambda: losses(end), lambda: tf.zeros(task.width, task.dtype))

    shape = [1, 1] if full else [length, task.width, size] if task.own else [length, size]
    specs = [tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32)]
    specs += [tf.TensorSpec(shape, tf.int32), tf.TensorSpec([length], tf.bool), *given]
    specs += [tf.TensorSpec([task.width], kind) for kind in (tf.bool, tf.int32, task.dtype, tf.int32)]
    concrete = tf.function(loop, jit_compile=task.jit, autograph=False).get_concrete_function(*specs)
    return lambda *values: concrete(*map(tf.convert_to_tensor, values))


def _write_losses(task: Task) -> Callable[[Any], Any]:
    """Write the loss of every run on all examples, for as many runs at once as their batches took memory."""
    fixed, data = ([tf.constant(array) for array in arrays] for arrays in (task.fixed, task.data))
    places = np.arange(0, task.width, task.evaluated)
    rest = task.width - places[-1]
    places[-1] = task.width - task.evaluated  # the last block goes back to be as wide as the others

    def losses(theta: Any) -> Any:
        def of_block(place: Any) -> Any:
            block = tf.slice(theta, [0, place], [task.size, task.evaluated])
            return task.loss(block, *fixed, *data)[0][0]

        if len(places) == 1:
            return of_block(0)
        blocks = tf.map_fn(of_block, tf.constant(places), parallel_iterations=1, fn_output_signature=task.dtype)
        return tf.concat([tf.reshape(blocks[:-1], [-1]), blocks[-1, task.evaluated - rest :]], axis=0)

    return losses


def _chunks(task: Task, seeds: NDArray[Any], length: int) -> Iterator[tuple[int, NDArray[np.int32], NDArray[Any]]]:
    """Draw the row numbers of the batches a chunk of updates at a time, with the number of its first update.

    They have the same shape in each chunk: a short batch is filled up with zeros, and so is the last chunk. Beside them
    stands which updates end an epoch. Runs with the same seed have the same order, which is drawn once. If every batch
    is all the data, nobody asks for its rows.
    """
    size, per_epoch = task.batch_size, -(-task.examples // task.batch_size)
    distinct, which = np.unique(seeds if task.own else seeds[:1], return_inverse=True)
    generators = [np.random.default_rng(int(seed)) for seed in distinct]
    drawn = np.zeros((len(distinct), 0, size), np.int32)
    for first in range(0, task.steps, length):
        ends = np.arange(first + 1, first + length + 1) % per_epoch == 0
        if size == task.examples:
            yield first, np.zeros((1, 1), np.int32), ends
            continue
        epochs = -(-(length - drawn.shape[1]) // per_epoch)
        drawn = np.concatenate([drawn, *(_epoch(task, generators) for _ in range(epochs))], axis=1)
        chunk, drawn = drawn[:, :length], drawn[:, length:]
        yield first, chunk.swapaxes(0, 1)[:, which] if task.own else chunk[0], ends


def _epoch(task: Task, generators: Sequence[np.random.Generator]) -> NDArray[np.int32]:
    """Draw one epoch of every order as `batch_order` does: (orders, updates, batch size)."""
    size, examples = task.batch_size, task.examples
    rows = np.zeros((len(generators), -(-examples // size) * size), np.int32)
    for row, generator in zip(rows, generators, strict=True):
        row[:examples] = generator.permutation(examples) if task.shuffle else np.arange(examples)
    return rows.reshape(len(generators), -1, size)
