"""One tile of a sweep: many training runs as one vectorised, compiled loop around Keras' own optimizer."""

from __future__ import annotations

import copy
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain import _keras
from gdexplain._model import flat
from gdexplain.data import batch_order
from gdexplain.training import _as_optimizer

Arrays = dict[str, NDArray[Any]]

# Optimizers that treat every parameter alike and alone, so that the runs of a tile cannot disturb each other.
ELEMENTWISE = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Lion", "Ftrl")
SWEEPABLE = {  # what can differ from run to run besides the rate
    "SGD": ("momentum", "weight_decay"),
    "RMSprop": ("rho", "momentum", "epsilon", "weight_decay"),
    "Adam": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "AdamW": ("beta_1", "beta_2", "epsilon", "weight_decay"),
}
RESULTS = ("loss", "diverged", "parameters", "updates", "steps_to_target")
_CHUNK_BYTES = 64 * 2**20  # what the row numbers of the batches may hold at once
_CHUNK_UPDATES = 8192
_KEPT = 4  # compiled loops that a thread keeps for its next tile
_BUILDING = threading.Lock()  # Keras' floatx, under which a loop is traced, belongs to the whole process
_LOCAL = threading.local()


@dataclass(frozen=True, eq=False)
class Task:
    """Everything that a worker, perhaps on another machine, needs to run any tile of a sweep."""

    key: str
    model: Mapping[str, Any]
    classes: Mapping[str, type]  # of layers that are not Keras' own
    weights: Sequence[NDArray[Any]]
    inputs: Any
    targets: Any
    examples: int
    dtype: str
    optimizer: Mapping[str, Any]
    loss: Any
    batch_size: int
    steps: int
    shuffle: bool
    own: bool  # whether each run has batches of its own
    goal: float | None
    jit: bool


def run_tile(task: Task, rows: Mapping[str, NDArray[Any]], width: int) -> Arrays:
    """Run one tile of at most `width` runs; one that does not fit into memory is halved and tried again."""
    count = len(rows["start"])
    try:
        return _run(task, rows, width)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        _loops().clear()
        if width == 1:
            raise MemoryError(f"not even a single run fits into memory: {error}") from error
    half = -(-width // 2)
    parts = [
        run_tile(task, {name: values[first : first + half] for name, values in rows.items()}, half)
        for first in range(0, count, half)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _run(task: Task, rows: Mapping[str, NDArray[Any]], width: int) -> Arrays:
    """Pad the tile to its width, so that every tile runs through the same compiled loop."""
    count = len(rows["start"])
    padded = {name: np.concatenate([v, np.repeat(v[-1:], width - count, axis=0)]) for name, v in rows.items()}
    key = (task.key, width, *sorted(padded))
    loops = _loops()
    if key not in loops:
        with _BUILDING, _keras.floatx(task.dtype):
            loops[key] = _compile(task, padded, width)
    loops.move_to_end(key)
    while len(loops) > _KEPT:
        loops.popitem(last=False)
    return {name: values[:count] for name, values in loops[key](padded).items()}


def _loops() -> OrderedDict[Any, Callable[[Arrays], Arrays]]:
    """Return this thread's compiled loops: each has variables of its own, so no two threads may share one."""
    if not hasattr(_LOCAL, "loops"):
        _LOCAL.loops = OrderedDict()
    return _LOCAL.loops  # type: ignore[no-any-return]


def rebuild(task: Task) -> keras.Model:
    """Make the model again from its configuration and weights, compiled with the loss."""
    # a copy: Keras empties the configuration that it reads
    model = keras.saving.deserialize_keras_object(copy.deepcopy(task.model), custom_objects=dict(task.classes))
    sample = keras.tree.map_structure(lambda leaf: leaf[:1], task.inputs)
    model(sample)
    model.set_weights(task.weights)
    loss = (
        keras.losses.deserialize(task.loss, custom_objects=dict(task.classes))
        if isinstance(task.loss, dict)
        else task.loss
    )
    model.compile(optimizer="sgd", loss=loss, auto_scale_loss=False)
    return model


class _Rates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A learning rate for each run, or for each parameter of each run: Keras asks a schedule before each update."""

    def __init__(self, schedule: Any, rate: Any, scale: Any) -> None:
        self.schedule, self.rate, self.scale = schedule, rate, scale

    def __call__(self, step: Any) -> Any:
        rate = self.rate.read_value() if self.schedule is None else self.schedule(step)
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
    config = dict(task.optimizer["config"])
    config |= {"clipnorm": None, "global_clipnorm": None}
    schedule = None
    if isinstance(config["learning_rate"], Mapping):
        schedule = keras.optimizers.schedules.deserialize(config["learning_rate"])
    swept = [name for name in given if name not in ("rate", "scale")]
    config |= {"learning_rate": 0.5, **dict.fromkeys(swept, 0.5)}  # placeholders that Keras accepts
    optimizer = getattr(keras.optimizers, task.optimizer["class_name"]).from_config(config)
    optimizer.learning_rate = _Rates(schedule, given.get("rate"), given.get("scale"))
    optimizer.build([theta])
    for name in swept:
        setattr(optimizer, name, _PerRun(given[name]))
    return optimizer


def make_gradient(task: Task, model: keras.Model) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Write the loss and the clipped gradient of one run on one batch as functions of its flat parameters."""
    variables = model.trainable_variables
    shapes = [tuple(variable.shape) for variable in variables]
    training = {"training": True} if "training" in inspect.signature(model.call).parameters else {}
    config = task.optimizer["config"]

    def weights_of(theta: Any) -> list[Any]:
        pieces = tf.split(theta, [int(np.prod(shape)) for shape in shapes])
        return [
            tf.cast(tf.reshape(piece, shape), variable.dtype)
            for piece, shape, variable in zip(pieces, shapes, variables, strict=True)
        ]

    def loss_at(weights: Sequence[Any], inputs: Any, targets: Any) -> Any:
        mapping = list(zip(variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
            prediction = model(inputs, **training)
            loss = model.compute_loss(x=inputs, y=targets, y_pred=prediction, sample_weight=None, training=True)
        return tf.cast(loss, task.dtype)

    def gradient(theta: Any, inputs: Any, targets: Any) -> tuple[Any, Any, Any]:
        weights = weights_of(theta)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = loss_at(weights, inputs, targets)
        gradients = tape.gradient(loss, weights)
        idle = [variable.path for variable, piece in zip(variables, gradients, strict=True) if piece is None]
        if idle:
            raise ValueError(f"the loss does not depend on {', '.join(idle)}.")
        sparse = [v.path for v, g in zip(variables, gradients, strict=True) if isinstance(g, tf.IndexedSlices)]
        if sparse and (task.optimizer["class_name"] != "SGD" or config.get("momentum")):
            raise ValueError(
                f"{', '.join(sparse)} is a table of which a batch uses some rows. Keras' optimizers with a memory leave "
                "the memory of the other rows alone, which a sweep cannot do: use SGD without momentum."
            )
        gradients = [tf.convert_to_tensor(piece) for piece in gradients]
        finite = tf.reduce_all(tf.math.is_finite(flat([loss, *gradients], task.dtype)))
        if config.get("clipnorm") is not None:
            gradients = [tf.clip_by_norm(piece, config["clipnorm"]) for piece in gradients]
        if config.get("global_clipnorm") is not None:
            norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(piece)) for piece in gradients]))
            gradients = [piece * tf.minimum(config["global_clipnorm"] / norm, 1.0) for piece in gradients]
        return loss, flat(gradients, task.dtype), finite

    return lambda theta, inputs, targets: loss_at(weights_of(theta), inputs, targets), gradient


def _make_constraint(model: keras.Model, dtype: str) -> Callable[[Any], Any] | None:
    """Write what the weights' constraints do to one run's flat parameters; None if there are none."""
    variables = model.trainable_variables
    if all(variable.constraint is None for variable in variables):
        return None

    def constrain(theta: Any) -> Any:
        pieces = tf.split(theta, [int(np.prod(variable.shape)) for variable in variables])
        pieces = [tf.reshape(piece, variable.shape) for piece, variable in zip(pieces, variables, strict=True)]
        return flat(
            [
                piece if variable.constraint is None else variable.constraint(piece)
                for piece, variable in zip(pieces, variables, strict=True)
            ],
            dtype,
        )

    return lambda theta: _vectorised(constrain, theta)


def _vectorised(function: Callable[[Any], Any], elements: Any) -> Any:
    """Map over runs without a loop; an operation that cannot be, is an error and not a slow loop."""
    return tf.vectorized_map(function, elements, fallback_to_while_loop=False)


def _make_step(task: Task, model: keras.Model, theta: keras.Variable, optimizer: Any) -> Any:
    """Write one update of every run of a tile; a run that would leave the finite numbers stays where it is."""
    inputs, targets = keras.tree.map_structure(tf.constant, (task.inputs, task.targets))
    _, gradient_of = make_gradient(task, model)
    constrain = _make_constraint(model, task.dtype)

    def take(rows: Any) -> Any:
        return keras.tree.map_structure(lambda array: tf.gather(array, rows), (inputs, targets))

    def gradients(before: Any, rows: Any) -> Any:
        if task.own:  # each run has batches of its own
            return _vectorised(lambda run: gradient_of(run[0], *take(run[1])), (before, rows))
        batch = (inputs, targets) if rows is None else take(rows)
        return _vectorised(lambda run: gradient_of(run, *batch), before)

    def step(rows: Any, alive: Any, updates: Any, last: Any, reached: Any) -> tuple[Any, ...]:
        before = tf.identity(theta.value)
        loss, gradient, finite = gradients(before, rows)
        optimizer.apply([gradient], [theta])
        after = tf.identity(theta.value) if constrain is None else constrain(tf.identity(theta.value))
        alive &= finite & tf.reduce_all(tf.math.is_finite(after), axis=1)
        theta.assign(tf.where(alive[:, tf.newaxis], after, before))
        if task.goal is not None:
            reached = tf.where(alive & (reached < 0) & (loss <= task.goal), updates, reached)
        return alive, updates + tf.cast(alive, tf.int32), tf.where(alive, loss, last), reached

    return step


def _compile(task: Task, rows: Mapping[str, NDArray[Any]], width: int) -> Callable[[Arrays], Arrays]:
    """Compile the tile's loop, and return the function that runs a tile through it."""
    model = rebuild(task)
    theta = keras.Variable(np.zeros_like(rows["start"]), dtype=task.dtype, name="theta")
    given = {name: tf.Variable(v, dtype=task.dtype) for name, v in rows.items() if name not in ("start", "seed")}
    optimizer = _make_optimizer(task, given, theta)
    fresh = [tf.identity(variable.value) for variable in optimizer.variables]
    loop, length = _compile_loop(task, _make_step(task, model, theta, optimizer), width)
    evaluate = _compile_loss(task, model, width, rows["start"].shape[1])

    def run(tile: Arrays) -> Arrays:
        theta.assign(tile["start"])
        for name, variable in given.items():
            variable.assign(tile[name])
        for variable, value in zip(optimizer.variables, fresh, strict=True):
            variable.assign(value)
        largest = np.full(width, np.finfo(task.dtype).max, task.dtype)
        state = [np.ones(width, bool), np.zeros(width, np.int32), largest, np.full(width, -1, np.int32)]
        order = _orders(task, tile["seed"], length)
        for first in range(0, task.steps, length):
            chunk = _chunk(task, *order, first, length)
            state = loop(*chunk, min(length, task.steps - first), *state)
            if not np.any(state[0]):
                break
        alive, updates, last, reached = (np.array(value) for value in state)
        parameters = theta.numpy()
        loss = evaluate(parameters)
        alive &= np.isfinite(loss)
        values = np.where(alive, loss, last), ~alive, parameters, updates, reached
        return dict(zip(RESULTS, values, strict=True))

    return run


def _compile_loop(task: Task, step: Any, width: int) -> tuple[Callable[..., Any], int]:
    """Compile the loop over a chunk of updates, and say how many updates a chunk has."""
    size, tail = task.batch_size, task.examples % task.batch_size or task.batch_size
    full = size == task.examples
    runs = width if task.own else 1
    length = min(task.steps, _CHUNK_UPDATES, max(1, _CHUNK_BYTES // (4 * size * runs)))
    dtype = tf.dtypes.as_dtype(task.dtype)

    def loop(rows: Any, short: Any, count: Any, *state: Any) -> Any:
        def body(k: Any, *state: Any) -> Any:
            if full:
                return k + 1, *step(None, *state)
            if tail == size:
                return k + 1, *step(rows[k], *state)
            # a static shape for each of the two lengths, so that XLA can compile both
            after = tf.cond(short[k], lambda: step(rows[k, ..., :tail], *state), lambda: step(rows[k], *state))
            return k + 1, *after

        start = (tf.constant(0), *state)
        going = tf.while_loop(lambda k, alive, *_: (k < count) & tf.reduce_any(alive), body, start)
        return going[1:]

    shape = [1, 1] if full else [length, width, size] if task.own else [length, size]
    specs = [tf.TensorSpec(shape, tf.int32), tf.TensorSpec([length], tf.bool), tf.TensorSpec([], tf.int32)]
    specs += [tf.TensorSpec([width], kind) for kind in (tf.bool, tf.int32, dtype, tf.int32)]
    concrete = tf.function(loop, jit_compile=task.jit, autograph=False).get_concrete_function(*specs)
    return lambda *values: concrete(*map(tf.convert_to_tensor, values)), length


def _compile_loss(task: Task, model: keras.Model, width: int, size: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Compile the loss over all examples, for as many runs at once as their batches took memory."""
    at_once = max(1, width * task.batch_size // task.examples)
    inputs, targets = keras.tree.map_structure(tf.constant, (task.inputs, task.targets))
    loss_at, _ = make_gradient(task, model)

    def losses(theta: Any) -> Any:
        return _vectorised(lambda run: loss_at(run, inputs, targets), theta)

    spec = tf.TensorSpec([at_once, size], tf.dtypes.as_dtype(task.dtype))
    concrete = tf.function(losses, jit_compile=task.jit, autograph=False).get_concrete_function(spec)

    def evaluate(parameters: NDArray[Any]) -> NDArray[Any]:
        missing = -len(parameters) % at_once
        padded = np.concatenate([parameters, np.repeat(parameters[-1:], missing, axis=0)])
        parts = [concrete(tf.constant(block)).numpy() for block in padded.reshape(-1, at_once, size)]
        return np.concatenate(parts)[: len(parameters)]

    return evaluate


def _orders(task: Task, seeds: NDArray[Any], length: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return the row numbers of each order of the examples, (orders, updates, batch size), and which order a run takes.

    A short batch is filled up with zeros, and so is the last of the chunks, of `length` updates each. Runs with the same
    seed have the same order, which is drawn once. If every batch is all the data, nobody asks for its rows.
    """
    size, distinct = task.batch_size, np.zeros(1, int)
    if size == task.examples:
        return np.zeros((1, 1, 1), np.int32), distinct
    distinct, which = np.unique(seeds if task.own else seeds[:1], return_inverse=True)
    per_epoch = -(-task.examples // size)
    epochs = -(-task.steps // per_epoch)
    rows = np.zeros((len(distinct), epochs, per_epoch * size), np.int32)
    for place, seed in enumerate(distinct):
        batches = batch_order(task.examples, size, epochs, seed=int(seed), shuffle=task.shuffle)
        rows[place, :, : task.examples] = np.concatenate(batches).reshape(epochs, -1)
    updates = rows.reshape(len(distinct), -1, size)
    return np.pad(updates, ((0, 0), (0, -updates.shape[1] % length), (0, 0))), which


def _chunk(task: Task, rows: NDArray[np.int32], which: NDArray[np.intp], first: int, length: int) -> tuple[Any, Any]:
    """Return the row numbers of a chunk of updates in an array of fixed shape, and which of them end an epoch."""
    ends = np.arange(first + 1, first + length + 1) % -(-task.examples // task.batch_size) == 0
    if task.batch_size == task.examples:
        return rows[0], ends
    chunk = rows[:, first : first + length]
    return (chunk.swapaxes(0, 1)[:, which] if task.own else chunk[0]), ends


def stateful_layers(model: keras.Model, inputs: Any) -> list[str]:
    """Name the layers in which a step changes more than trainable weights: a moving average, a random state."""
    scope = keras.StatelessScope()
    training = {"training": True} if "training" in inspect.signature(model.call).parameters else {}
    with scope:
        model(inputs, **training)
    changed = {id(v) for v in model.non_trainable_variables if scope.get_current_value(v) is not None}
    layers = [layer for layer in model.layers if changed & {id(variable) for variable in layer.variables}]
    return [f"{layer.name} ({type(layer).__name__})" for layer in layers] or [model.name] * bool(changed)


def checked_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer; refuse by name those that cannot train many runs side by side."""
    optimizer = _as_optimizer(optimizer)
    name = type(optimizer).__name__
    if name not in ELEMENTWISE or type(optimizer) is not getattr(keras.optimizers, name):
        raise ValueError(f"optimizer must be one of Keras' {', '.join(ELEMENTWISE)} in a sweep, not {name}.")
    if optimizer.gradient_accumulation_steps and (optimizer.clipnorm or optimizer.global_clipnorm):
        raise ValueError("optimizer must not clip by norm and accumulate gradients at once in a sweep.")
    rate = getattr(optimizer, "_learning_rate", None)
    if callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise TypeError("optimizer must have a number or a Keras schedule as its learning rate, not a function.")
    excluded = "_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"
    if any(getattr(optimizer, attribute, None) for attribute in excluded):
        raise ValueError(
            "optimizer must decay all weights or none in a sweep, but some are excluded from weight decay."
        )
    return optimizer
