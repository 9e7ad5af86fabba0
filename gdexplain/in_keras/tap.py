"""Keras' own train function, made once more so that each batch also shows its loss, gradient and parameters.

`fit` calls ``model.train_function`` for each batch. A tap stands there for one batch at a time and puts the function
that was there back before the batch runs, so whatever ends a fit finds the model as it was. What the tap calls is made
by Keras from the model's own ``train_step``, and nothing is computed twice: while Python runs that step, to trace it or
eagerly, the gradient is seen where an optimizer receives it, and the loss where a tape differentiates it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from gdexplain.in_keras import backend, core
from gdexplain.in_keras.eye import Eye, standing_in

_SEVERAL_WORKERS = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.ParameterServerStrategy,
    tf.distribute.TPUStrategy,
)


class Batch(NamedTuple):
    """What one batch of `fit` showed; rows are flat and in Keras' weight order."""

    loss: float
    finite: bool  # the loss and all three rows
    examples: int  # 0 if the data does not say
    before: Any  # None in the batch that built the model
    after: Any
    gradient: Any


class Listener(NamedTuple):
    """Who waits for the next batch."""

    begin: Callable[[], None]  # called once the weights exist and before one of them moves
    take: Callable[[Batch], None]
    gradients: bool


def tap_on(model: keras.Model, latest: Tap | None) -> Tap:
    """Return the tap for the next batch: the one that stands there, the latest one if it still fits, or a new one."""
    function = model.train_function
    if isinstance(function, Tap):
        return function
    return latest if latest is not None and latest.plain is function and not latest.stale else Tap(model)


class Tap:
    """Stands in ``model.train_function`` for one batch."""

    def __init__(self, model: keras.Model) -> None:
        strategy = model.distribute_strategy
        if issubclass(type(strategy), _SEVERAL_WORKERS):
            raise ValueError(  # noqa: TRY004  # the model is of its kind; what it trains under is not
                f"model must be trained by one worker to be recorded, not under {type(strategy).__name__}."
            )
        self.model, self.plain, self._listeners = model, model.train_function, list[Listener]()
        self._waiting: list[Listener] = []
        self.stale = False  # its first batch built the model: it does not show the weights before each batch
        self.eye, self._own_step = Eye(model, self._begin), _untraced_step(model)
        self._replicas = strategy.num_replicas_in_sync
        try:
            with standing_in(model, "train_step", self._step):
                model.make_train_function(force=True)
            self._function = model.train_function
        finally:
            model.train_function = self.plain
        with strategy.scope():
            if tf.distribute.has_strategy():  # inside a replica no variable can be made
                self.eye.open()

    def join(self, listener: Listener) -> None:
        """Let a listener see the next batch."""
        if self.eye.begun:
            listener.begin()
        self._listeners.append(listener)
        self._history = getattr(self.model, "history", None)  # every fit has one of its own
        self.model.train_function = self

    def leave(self) -> None:
        """Give the model its own train function back, whoever waits for a batch."""
        self._listeners = []
        if self.model.train_function is self:
            self.model.train_function = self.plain

    @property
    def passed_over(self) -> bool:
        """Whether somebody put another train function in its place, and the batch went by."""
        return bool(self._listeners) and self.model.train_function is not self

    def __call__(self, iterator: Any) -> Any:
        """Train on the next batch as Keras does, show it to those who wait for it, and return its logs."""
        self._waiting = self._listeners if getattr(self.model, "history", None) is self._history else []
        self.leave()
        before = backend.flat_parameters(self.model) if self._replicas > 1 else None
        shown = self._function(iterator)
        if not self.eye.begun:
            name = type(self.model).__name__
            raise ValueError(
                f"model must be built before fit and train by its train_step, but {name} is not or does not."
            )
        logs, seen = shown
        batch = self._read(**{"before": before, **seen})
        for listener in self._waiting:
            listener.take(batch)
        return logs

    def _begin(self) -> None:
        """Tell those who wait that the weights exist."""
        for listener in self._waiting:
            listener.begin()

    def _step(self, data: Any) -> tuple[Any, dict[str, Any]]:
        """Do what the model's train_step does; return its logs, and what was seen."""
        eye, known = self.eye, self.model.trainable_variables
        rows = {"before": core.flat([variable.value for variable in known], eye.dtype)} if known else {}
        with eye.watching():
            logs = self._own_step(data)
        self._check(known)
        eye.open()
        self.stale = len(known) != len(eye.variables)
        if self.stale:
            rows.pop("before", None)
        loss, rows["gradient"] = eye.recall(logs)
        rows["after"] = core.flat([variable.value for variable in eye.variables], eye.dtype)
        finite = [tf.reduce_all(tf.math.is_finite(value)) for value in (loss, rows["gradient"], rows["after"])]
        if self._replicas > 1:  # Keras will take a mean over replicas, and a mean of equal rows is not always that row
            rows = {"gradient": rows["gradient"]}
        status = [tf.cast(value, eye.dtype) for value in (loss, tf.reduce_all(finite), _examples(data))]
        return logs, {"status": tf.stack(status), **rows}

    def _check(self, known: list[Any]) -> None:
        """Say before the first update what a train_step will not show."""
        name, eager = type(self.model).__name__, tf.executing_eagerly()
        if eager and not self.eye.variables and len(known) != len(self.model.trainable_variables):
            raise ValueError(f"model must be built before fit, as the train_step of {name} uses no GradientTape.")
        if not eager and not self.eye.applied and any(listener.gradients for listener in self._waiting):
            warnings.warn(
                f"The record will have no gradients: the train_step of {name} hands none to an optimizer that is an "
                "attribute of the model, or does so in a tf.function of its own that an earlier fit has traced.",
                stacklevel=2,
            )

    def _read(self, status: Any, gradient: Any, before: Any, after: Any = None) -> Batch:
        """Read what a batch showed; the losses and gradients of replicas add up, and Keras gave their mean."""
        loss, finite, examples = status.numpy()
        if self._replicas > 1:
            after, gradient = backend.flat_parameters(self.model), gradient * self._replicas
        return Batch(loss * self._replicas, finite == 1, round(examples * self._replicas), before, after, gradient)


def _examples(data: Any) -> Any:
    """Return how many examples a batch has, 0 if that cannot be seen."""
    for leaf in keras.tree.flatten(data):
        if isinstance(leaf, tf.Tensor) and leaf.shape.rank:
            return tf.shape(leaf)[0]
    return 0


def _untraced_step(model: keras.Model) -> Callable[[Any], Any]:
    """Return the model's train_step; of one that is a tf.function another that has no trace yet, as an old one is blind."""
    step = model.train_step
    return step._clone(None) if isinstance(step, tf.types.experimental.PolymorphicFunction) else step  # type: ignore[no-any-return]
