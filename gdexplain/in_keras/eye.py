"""What a train_step shows while Python runs it: the gradient that an optimizer receives, and the loss of a tape."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from gdexplain.in_keras import backend, core

_LossScaling = keras.optimizers.LossScaleOptimizer


class Eye:
    """Sees what optimizers receive and what tapes differentiate, while Python runs a train_step."""

    def __init__(self, model: keras.Model, begin: Callable[[], None]) -> None:
        self.model, self._begin = model, begin
        self.variables: list[Any] = []  # those of a row, once they exist
        self.begun = False  # once they have values
        self.applied: list[int] = []  # the identities of the optimizers that received a gradient
        self._saw_loss = False
        self._unscaled: dict[int, tuple[Any, Any]] = {}
        self._depth, self._hooks = 0, contextlib.ExitStack()
        self._receiving: set[tuple[int, int]] = set()  # optimizers at work, each in the thread of its replica

    @property
    def dtype(self) -> str:
        """Return the dtype that records of this fit are kept in."""
        return backend.record_dtype(self.model)

    def open(self) -> None:
        """Make what keeps what is seen: variables, as a step may see it in a branch or a function of its own."""
        if self.begun:
            return
        with tf.init_scope():
            if not self.variables:
                self._make_variables()
            # In the trace in which it makes them, TensorFlow has not initialised the weights; it traces once more then.
            if all(variable.value.is_initialized() for variable in self.variables):
                self._begin()
                self.begun = True

    def _make_variables(self) -> None:
        options = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,  # each replica has one of its own
            "aggregation": tf.VariableAggregation.SUM,
        }
        with self.model.distribute_strategy.scope():
            self._loss = tf.Variable(tf.zeros((), self.dtype), **options)
            self._gradient = tf.Variable(tf.zeros(backend.parameter_count(self.model), self.dtype), **options)
        self.variables = list(self.model.trainable_variables)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the step ends; of several replicas, the first opens the eye and the last closes it."""
        self._depth += 1
        try:
            if self._depth == 1:
                self._saw_loss = False
                self._hook()
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._hooks.close()
                self._unscaled.clear()

    def recall(self, logs: Any) -> tuple[Any, Any]:
        """Return the loss and the gradient of this step; zero where no optimizer received one."""
        loss = self._loss.read_value() if self._saw_loss else tf.cast(_logged(logs, self.model), self.dtype)
        gradient = self._gradient.read_value()
        if self.applied:
            self._gradient.assign(tf.zeros_like(gradient))
        return loss, gradient

    def _hook(self) -> None:
        """Stand in for the methods that a step calls."""
        hook = self._hooks.enter_context
        hook(standing_in(tf.GradientTape, "gradient", self._differentiating(tf.GradientTape.gradient)))
        for optimizer in optimizers_of(self.model):
            hook(standing_in(optimizer, "scale_loss", self._scaling(optimizer.scale_loss)))
            hook(standing_in(innermost(optimizer), "apply", self._applying(optimizer)))
            hook(standing_in(innermost(optimizer), "apply_gradients", self._applying_pairs(optimizer)))

    def _scaling(self, scale_loss: Callable[..., Any]) -> Callable[..., Any]:
        def scale(loss: Any) -> Any:
            scaled = scale_loss(loss)
            self._unscaled[id(scaled)] = scaled, loss
            return scaled

        return scale

    def _differentiating(self, gradient: Callable[..., Any]) -> Callable[..., Any]:
        def differentiate(tape: Any, target: Any, sources: Any, *rest: Any, **options: Any) -> Any:
            if {id(source) for source in tf.nest.flatten(sources)} & self._ids():
                self.open()
                losses = [self._unscaled.get(id(loss), (None, loss))[1] for loss in tf.nest.flatten(target)]
                self._loss.assign(tf.add_n([tf.reduce_mean(tf.cast(loss, self.dtype)) for loss in losses]))
                self._saw_loss = True
            return gradient(tape, target, sources, *rest, **options)

        return differentiate

    def _applying(self, optimizer: Any) -> Callable[..., Any]:
        apply = innermost(optimizer).apply

        def applied(grads: Any, trainable_variables: Any = None) -> Any:
            grads = list(grads)
            variables = self.model.trainable_variables if trainable_variables is None else list(trainable_variables)
            with self._received(optimizer, grads, variables):
                return apply(grads) if trainable_variables is None else apply(grads, variables)

        return applied

    def _applying_pairs(self, optimizer: Any) -> Callable[..., Any]:
        apply_gradients = innermost(optimizer).apply_gradients

        def applied(grads_and_vars: Any, *rest: Any, **options: Any) -> Any:
            pairs = list(grads_and_vars)
            with self._received(optimizer, [gradient for gradient, _ in pairs], [variable for _, variable in pairs]):
                return apply_gradients(pairs, *rest, **options)

        return applied

    @contextlib.contextmanager
    def _received(self, optimizer: Any, grads: list[Any], variables: list[Any]) -> Iterator[None]:
        """Keep what came from outside; an optimizer that calls itself with what it made of it is at work already."""
        me = threading.get_ident(), id(optimizer)
        if me in self._receiving:
            yield
            return
        self._receive(dict(zip(map(_key, variables), grads, strict=True)), innermost(optimizer).loss_scale_factor)
        if id(optimizer) not in self.applied:
            self.applied.append(id(optimizer))
        self._receiving.add(me)
        try:
            yield
        finally:
            self._receiving.discard(me)

    def _receive(self, gradients: dict[int, Any], factor: float | None) -> None:
        """Keep the gradients that came, unscaled; a weight that the loss does not reach has gradient zero."""
        self.open()
        absent = {_key(variable) for variable in self.variables} - set(gradients)
        earlier: Any = self._gradient.read_value() if absent else None  # of another optimizer in this step, or zero
        parts, first = [], 0
        for variable in self.variables:
            end = first + math.prod(variable.shape)
            part = gradients[_key(variable)] if _key(variable) in gradients else earlier[first:end]
            part = tf.zeros(end - first, self.dtype) if part is None else tf.convert_to_tensor(part)
            parts.append(part / factor if factor is not None and _key(variable) in gradients else part)
            first = end
        self._gradient.assign(core.flat(parts, self.dtype))

    def _ids(self) -> set[int]:
        """Tell the trainable weights by identity, as Keras' variables and as TensorFlow's."""
        variables = self.model.trainable_variables
        return {id(variable) for variable in variables} | {_key(variable) for variable in variables}


def _key(variable: Any) -> int:
    """Return the identity of TensorFlow's variable."""
    return id(variable.value if isinstance(variable, keras.Variable) else variable)


def innermost(optimizer: Any) -> Any:
    """Return the optimizer that receives gradients unscaled (or none, if they overflowed), and moves the weights."""
    while isinstance(optimizer, _LossScaling):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _logged(logs: Any, model: keras.Model) -> Any:
    """Return the loss that a step says it had, where no tape showed it."""
    values = logs if isinstance(logs, Mapping) else {}
    if "loss" in values or len(values) == 1:
        return values.get("loss", next(iter(values.values())))
    raise ValueError(
        f"model must show its loss, but the train_step of {type(model).__name__} takes no gradient with a "
        f"tf.GradientTape and returns no 'loss', only {sorted(values)}."
    )


def optimizers_of(model: keras.Model) -> list[Any]:
    """Return every optimizer that is an attribute of the model or of a model within, or in a list or dict that is one."""
    leaves: list[Any] = []
    for part in (each for each in model._flatten_layers() if isinstance(each, keras.Model)):
        for value in vars(part).values():
            leaves += (
                value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
            )
    found = [leaf for leaf in leaves if isinstance(leaf, keras.optimizers.Optimizer)]
    inner = {id(optimizer.inner_optimizer) for optimizer in found if isinstance(optimizer, _LossScaling)}
    return list({id(optimizer): optimizer for optimizer in found if id(optimizer) not in inner}.values())


@contextlib.contextmanager
def standing_in(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let an attribute be another one for a while; one that the class gave is the class's again."""
    own = vars(owner)
    before = [own[name]] if name in own else []
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before:
            setattr(owner, name, before[0])
        else:
            delattr(owner, name)
