"""What all runs of a sweep share: the live model, its loss and its data, traced into a task for any worker."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain.in_keras import backend
from gdexplain.in_keras.arrays import as_pair
from gdexplain.in_keras.backend import reason
from gdexplain.in_keras.core import Problem, check_model, pose
from gdexplain.in_keras.program import Program, trace
from gdexplain.in_keras.tiling import Task

_RECENT: deque[tuple[str, Task]] = deque(maxlen=4)  # tasks, by what they were made of
_INSTEAD = "Use train for one run after the other instead."
_ORDER_BYTES = 2**28  # what the orders of a tile's runs may hold, an epoch of each


@dataclass(frozen=True, eq=False)
class Plan:
    """The arguments that all runs share, and the task that they make for tiles of a given width."""

    model: keras.Model
    dataset: Any
    loss: Any
    optimizer: keras.optimizers.Optimizer
    steps: int
    batch_size: int | None
    shuffle: bool
    seeded: bool  # whether each run has a seed of its own
    goal: float | None
    jit: bool

    def __post_init__(self) -> None:
        """Check model, data and loss against each other, unless a sweep of the very same was made just now."""
        check_model(self.model)
        if not any(self.identity == identity for identity, _ in list(_RECENT)):
            self.problem  # noqa: B018  # posing it checks it

    @functools.cached_property
    def identity(self) -> str | None:
        """What tells these arguments from any others, as text; None unless all is Keras' own.

        It saves the tracing of what was traced just now. It may miss that two sweeps are equal, and never that they
        differ: a patched layer, a late penalty, a statistic that the weights do not hold are part of it.
        """
        pair, names = as_pair(self.dataset), [leaf for leaf in keras.tree.flatten(self.loss) if isinstance(leaf, str)]
        if (
            not self.model.built
            or any(type(leaf) is not np.ndarray for leaf in keras.tree.flatten(pair))
            or any(keras.saving.get_registered_object(name) is not None for name in names)
        ):
            return None
        layers = list(self.model._flatten_layers())
        layers += [operation for layer in layers for operation in getattr(layer, "operations", ())]
        weights = [
            [weight.trainable, weight.regularizer, weight.constraint, None if weight.trainable else weight.numpy()]
            for weight in self.model.variables
        ]
        rule = type(self.optimizer).__name__, settings_of(self.optimizer), schedule_of(self.optimizer)
        settings = self.steps, self.batch_size, self.shuffle, self.seeded, self.goal, self.jit
        environment = keras.config.epsilon(), keras.config.floatx(), keras.config.image_data_format()
        write = functools.partial(json.dumps, sort_keys=True, default=_plain)
        try:
            text = write([layers, weights, pair, self.loss, rule, settings, environment])
            return text + write(keras.saving.serialize_keras_object(self.model))  # last, for Keras warns of a lambda
        except (NotImplementedError, TypeError, ValueError):
            return None

    @functools.cached_property
    def problem(self) -> Problem:
        """The model, its loss and its data, checked against each other; a model or a loss with a state is refused."""
        problem = pose(self.model, self.dataset, self.loss, batch_size=self.batch_size)
        means = {id(variable) for metric in getattr(problem.loss, "metrics", ()) for variable in metric.variables}
        changed = {id(variable): variable.path for variable in problem.state if id(variable) not in means}
        layers = [
            layer
            for layer in self.model.layers
            if getattr(layer, "stateful", False) or not changed.keys().isdisjoint(map(id, layer.variables))
        ]
        if changed or layers:
            names = [f"{layer.name} ({type(layer).__name__})" for layer in layers] or sorted(changed.values())
            raise ValueError(
                "model must have no state besides its weights in a sweep, but training changes that of "
                f"{', '.join(names)}. {_INSTEAD}"
            )
        return problem

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(keras.tree.flatten(as_pair(self.dataset))[0]) if self.identity else self.problem.examples

    @property
    def own(self) -> bool:
        """Whether each run has batches of its own."""
        return self.shuffle and self.seeded and (self.batch_size or self.examples) < self.examples

    def width(self, tile: int, runs: int) -> int:
        """Return the width of tiles of one size, so that they share one compiled loop."""
        widest = min(tile, max(1, _ORDER_BYTES // (4 * self.examples))) if self.own else tile
        return -(-runs // -(-runs // widest))

    def task(self, width: int) -> Task:
        """Return the task of such tiles: one of the last few, if it was made of the very same."""
        for identity, task in list(_RECENT):
            if identity == self.identity and task.width == width:
                return task
        task = self._make_task(width)
        if self.identity is not None:
            _RECENT.append((self.identity, task))
        return task

    def _make_task(self, width: int) -> Task:
        """Trace the live model, and pack what a worker needs."""
        problem, size = self.problem, self.batch_size or self.problem.examples
        evaluated = min(width, max(1, width * size // problem.examples))
        runs = _Runs(problem, width, own=self.own)
        try:
            with _quiet():
                gradients = {n: runs.gradient(n, self.optimizer) for n in {size, problem.examples % size or size}}
            loss, constraint = replace(runs, width=evaluated).loss(), runs.constraint()
            schedule = _trace_schedule(self.optimizer)
        except Exception as error:
            raise ValueError(
                "model, loss and data must make a step that a sweep can vectorise. It fails with: "
                f"{reason(error).removesuffix('.')}. {_INSTEAD}"
            ) from error
        return Task(
            gradients=gradients,
            loss=loss,
            constraint=constraint,
            schedule=schedule,
            fixed=[variable.numpy() for variable in runs.fixed],
            data=runs.data,
            optimizer=(type(self.optimizer).__name__, settings_of(self.optimizer)),
            dtype=problem.dtype,
            size=backend.parameter_count(self.model),
            width=width,
            evaluated=evaluated,
            batch_size=size,
            steps=self.steps,
            shuffle=self.shuffle,
            own=self.own,
            goal=self.goal,
            jit=self.jit,
        )


@dataclass(frozen=True, eq=False)
class _Runs:
    """Writes the functions of one problem for `width` runs at once, a column a run, and traces them."""

    problem: Problem
    width: int
    own: bool  # whether each run has batches of its own

    @property
    def fixed(self) -> list[Any]:
        """What is read and no update changes: frozen weights, the means that Keras keeps of the losses of outputs."""
        known = {id(variable): variable for variable in (*self.problem.model.variables, *self.problem.state)}
        return [variable for variable in known.values() if not variable.trainable]

    @property
    def data(self) -> list[NDArray[Any]]:
        """Inputs and targets as a list of arrays."""
        return [leaf for leaf in keras.tree.flatten((self.problem.x, self.problem.y)) if leaf is not None]

    def gradient(self, size: int, optimizer: keras.optimizers.Optimizer) -> Program:
        """Write the loss of each run on a batch of `size` examples, and its gradient, clipped by norm."""

        def gradient(weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> list[Any]:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = self._loss_at(weights, fixed, batch)
            pieces = self._checked(tape.gradient(loss, weights), optimizer)
            return [self.problem.mean(loss), *_clipped(pieces, optimizer)]

        return self._program(gradient, size, own=self.own)

    def loss(self) -> Program:
        """Write the loss of each run on all examples."""

        def loss(weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> list[Any]:
            return [self.problem.mean(self._loss_at(weights, fixed, batch))]

        return self._program(loss, self.problem.examples)

    def constraint(self) -> Program | None:
        """Write what the weights' constraints do to each run; None if there are none."""
        constraints = [variable.constraint or tf.identity for variable in self.problem.variables]
        if all(constraint is tf.identity for constraint in constraints):
            return None

        def constrain(weights: Sequence[Any], *_: Any) -> list[Any]:
            return [constraint(weight) for constraint, weight in zip(constraints, weights, strict=True)]

        return self._program(constrain, 1, first=0)

    def _loss_at(self, weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> Any:
        """Return the loss of the live model on a batch if these were its weights."""
        leaves = iter(batch)
        inputs, targets = keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(leaves), (self.problem.x, self.problem.y)
        )
        mapping = [*zip(self.problem.variables, weights, strict=True), *zip(self.fixed, fixed, strict=True)]
        with keras.StatelessScope(mapping, collect_losses=True):
            return self.problem.run(inputs, targets, training=True)

    def _checked(self, pieces: Sequence[Any], optimizer: keras.optimizers.Optimizer) -> list[Any]:
        """Return the gradients as dense tensors; refuse by name the weights of which Keras would skip some."""
        paths = [variable.path for variable in self.problem.variables]
        idle = [path for path, piece in zip(paths, pieces, strict=True) if piece is None]
        if idle:
            raise ValueError(f"the loss does not depend on {', '.join(idle)}.")
        sparse = [path for path, piece in zip(paths, pieces, strict=True) if isinstance(piece, tf.IndexedSlices)]
        if sparse and (type(optimizer) is not keras.optimizers.SGD or optimizer.momentum):
            raise ValueError(
                f"{', '.join(sparse)} is a table of which a batch uses some rows. Keras' optimizers with a memory leave "
                "the memory of the other rows alone, which a sweep cannot do: use SGD without momentum."
            )
        return [tf.convert_to_tensor(piece) for piece in pieces]

    def _program(
        self, function: Callable[..., Sequence[Any]], size: int, *, own: bool = False, first: int = 1
    ) -> Program:
        """Vectorise a function of one run over the columns of a matrix, and trace it.

        It returns `first` numbers and then tensors with the shapes of the weights, which become columns again.
        """
        fixed, data, dtype = self.fixed, self.data, self.problem.dtype
        variables = self.problem.variables
        counts = [int(np.prod(variable.shape)) for variable in variables]

        def of_all(theta: Any, *given: Any) -> list[Any]:
            values, batch = given[: len(fixed)], given[len(fixed) :]
            # cut outside, so that a weight of one number is moved nowhere
            weights = [
                tf.cast(tf.reshape(tf.transpose(piece), (self.width, *variable.shape)), variable.dtype)
                for piece, variable in zip(tf.split(theta, counts), variables, strict=True)
            ]
            # an operation that cannot be vectorised is an error, and not a slow loop
            results = tf.vectorized_map(
                lambda run: function(run[0], values, run[1] if own else batch),
                (weights, batch if own else ()),
                fallback_to_while_loop=False,
            )
            rows = [tf.transpose(tf.reshape(tf.cast(result, dtype), (self.width, -1))) for result in results]
            return rows[:first] + ([tf.concat(rows[first:], axis=0)] if rows[first:] else [])

        runs = (self.width,) if own else ()
        return trace(
            of_all,
            tf.TensorSpec((sum(counts), self.width), dtype),
            *(tf.TensorSpec(variable.shape, variable.dtype) for variable in fixed),
            *(tf.TensorSpec((*runs, size, *array.shape[1:]), array.dtype) for array in data),
        )


def _clipped(pieces: Sequence[Any], optimizer: keras.optimizers.Optimizer) -> Sequence[Any]:
    """Clip the gradient of one run by norm, which the optimizer of the whole tile could not."""
    if optimizer.clipnorm is not None:
        return [tf.clip_by_norm(piece, optimizer.clipnorm) for piece in pieces]
    if optimizer.global_clipnorm is None:
        return pieces
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(piece)) for piece in pieces]))
    return [piece * tf.minimum(optimizer.global_clipnorm / norm, 1.0) for piece in pieces]


def settings_of(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return an optimizer's options but for its name and its rate."""
    return {key: value for key, value in optimizer.get_config().items() if key not in ("name", "learning_rate")}


def schedule_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return the optimizer's schedule; None if its learning rate is a number."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def _trace_schedule(optimizer: keras.optimizers.Optimizer) -> Program | None:
    """Trace the learning rate as a function of the updates made; None if it is a number."""
    schedule = schedule_of(optimizer)
    if schedule is None:
        return None
    return trace(lambda step: [tf.convert_to_tensor(schedule(step))], tf.TensorSpec([], optimizer.iterations.dtype))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to the error that is raised: TensorFlow also logs an operation that it cannot vectorise, and the way to it."""
    logger, here = tf.get_logger(), threading.get_ident()

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def _plain(part: Any) -> Any:
    """Describe numbers by their hash, and an object of Keras by its class and attributes; refuse what is not Keras'."""
    if isinstance(part, np.ndarray | np.generic | tf.Tensor):
        return joblib.hash(np.asarray(part))
    kind = part if isinstance(part, FunctionType) else type(part)
    if not kind.__module__.startswith("keras.") or getattr(part, "__closure__", None):
        raise TypeError(f"{kind} is not Keras' own")
    held = vars(part)
    if isinstance(part, keras.Operation):  # a layer, a model: most of it stands in its configuration
        held = {name: value for name, value in held.items() if _tells(part, name, value)}
    return [kind.__module__, kind.__qualname__, held]


def _tells(part: keras.Operation, name: str, value: Any) -> bool:
    """Say whether an attribute may tell a layer from one with the same configuration: a function, a tensor, a number."""
    if isinstance(part, keras.Model):
        return name in ("call", "compute_loss")
    if callable(value):  # the layers within stand beside it, and an initializer has done its work
        return name not in ("build", "quantize") and not isinstance(value, keras.Operation | keras.Initializer)
    return isinstance(value, tf.Tensor) or (name[0] != "_" and isinstance(value, bool | int | float | str | np.ndarray))
