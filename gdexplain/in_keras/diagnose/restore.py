"""Whatever is done to a live model in here, it is afterwards what it was, to the last bit."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # where Keras keeps its own seeds; it exports it nowhere
from tensorflow.python.eager import context  # where TensorFlow keeps its own; it exports it nowhere

from gdexplain.in_keras.eye import optimizers_of, standing_in

_NUMPY = np.random  # the reader's generator, which is put back and never drawn from


class Kept:
    """What variables hold now, to be put back as often as you like."""

    def __init__(self, variables: Iterable[Any]) -> None:
        self._values = [(variable, np.array(variable.numpy())) for variable in variables]

    def put_back(self) -> None:
        """Assign to each what it held."""
        for variable, value in self._values:
            variable.assign(value)


@contextlib.contextmanager
def put_back(model: keras.Model) -> Iterator[contextlib.ExitStack]:
    """Put back the variables of a model and what its layers hold; give the stack, for whatever else is to be put back."""
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            stack.callback(_hold, vars(layer), dict(vars(layer)))
            for item in (each for each in vars(layer).values() if isinstance(each, list | set)):
                stack.callback(_fill, item, list(item))
        moved = [variable for optimizer in optimizers_of(model) for variable in optimizer.variables]
        stack.callback(Kept([*model.variables, *model.metrics_variables, *moved]).put_back)
        yield stack


def _hold(attributes: dict[str, Any], kept: dict[str, Any]) -> None:
    attributes.clear()
    attributes.update(kept)


def _fill(item: list[Any] | set[Any], kept: list[Any]) -> None:
    if list(map(id, item)) != list(map(id, kept)):
        (list if isinstance(item, list) else set).__init__(item, kept)  # type: ignore[arg-type]  # past Keras' lock


@contextlib.contextmanager
def chance_put_back() -> Iterator[None]:
    """Put back the random states of Python, NumPy, Keras and TensorFlow."""
    with contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(_NUMPY.set_state, _NUMPY.get_state())
        seeds = global_state.get_global_attribute("global_seed_generator")
        stack.callback(global_state.set_global_attribute, "global_seed_generator", seeds)
        if seeds is not None:
            stack.callback(Kept([seeds.state]).put_back)
        eager = getattr(context.context(), "_rng", None)
        if eager is not None:
            stack.callback(eager.setstate, eager.getstate())
        yield


@dataclass(frozen=True, eq=False)
class Altered:
    """An attribute of a layer, a variable or an optimizer that is another one for a while; equal to itself alone."""

    owner: Any
    attribute: str
    value: Any


@contextlib.contextmanager
def altered(changes: Iterable[Altered]) -> Iterator[None]:
    """Let attributes be others for a while."""
    with contextlib.ExitStack() as stack:
        for each in changes:
            stack.enter_context(standing_in(each.owner, each.attribute, each.value))
        yield


def normalisers(model: keras.Model) -> list[Any]:
    """Return the layers of batch normalisation that learn: frozen ones use what they have stored, as under `fit`."""
    layers = model._flatten_layers()
    return [one for one in layers if isinstance(one, keras.layers.BatchNormalization) and one.trainable]


@contextlib.contextmanager
def by_batch(model: keras.Model) -> Iterator[None]:
    """Let batch normalisation use what the batch has: its averages are not those of the weights yet in a short run."""
    layers = normalisers(model)
    with altered(Altered(one, "call", functools.partial(_in_training, one.call)) for one in layers):
        yield


def _in_training(call: Any, inputs: Any, *_: Any, mask: Any = None, **__: Any) -> Any:
    return call(inputs, training=True, mask=mask)


def activated(layer: Any, name: str) -> Altered:
    """Return the change of a layer to another activation."""
    function = keras.activations.get(name)
    if "activation" in vars(layer):
        return Altered(layer, "activation", function)
    return Altered(layer, "call", lambda x, *_, **__: function(x))  # a layer that is an activation and nothing else
