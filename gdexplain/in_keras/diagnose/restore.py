"""Whatever is done to a live model in here, it is afterwards what it was, to the last bit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # where Keras keeps its own seeds; it exports it nowhere
from tensorflow.python.eager import context  # where TensorFlow keeps its own; it exports it nowhere

from gdexplain.in_keras.eye import optimizers_of

_NUMPY = np.random  # the reader's generator, which is put back and never drawn from


@contextlib.contextmanager
def put_back(model: keras.Model) -> Iterator[None]:
    """Put back the variables of a model, what its layers hold, and every state of chance that there is."""
    moved = [variable for optimizer in optimizers_of(model) for variable in optimizer.variables]
    held = [(layer, dict(vars(layer))) for layer in model._flatten_layers()]
    lists = [(item, list(item)) for _, kept in held for item in kept.values() if isinstance(item, list)]
    try:
        with values_put_back([*model.variables, *model.metrics_variables, *moved]), chance_put_back():
            yield
    finally:
        for layer, kept in held:
            vars(layer).clear()
            vars(layer).update(kept)
        for item, kept_items in lists:
            if len(item) != len(kept_items) or any(a is not b for a, b in zip(item, kept_items, strict=True)):
                list.__init__(item, kept_items)  # past Keras' lock of its lists


@contextlib.contextmanager
def values_put_back(variables: Iterable[Any]) -> Iterator[None]:
    """Put back what variables hold."""
    values = [(variable, np.array(variable.numpy())) for variable in variables]
    try:
        yield
    finally:
        for variable, value in values:
            variable.assign(value)


@contextlib.contextmanager
def chance_put_back() -> Iterator[None]:
    """Put back the random states of Python, NumPy, Keras and TensorFlow."""
    python, numpy = random.getstate(), _NUMPY.get_state()
    seeds = global_state.get_global_attribute("global_seed_generator")
    drawn = None if seeds is None else np.array(seeds.state.numpy())
    eager = getattr(context.context(), "_rng", None)
    tensorflow = None if eager is None else eager.getstate()
    try:
        yield
    finally:
        random.setstate(python)
        _NUMPY.set_state(numpy)
        global_state.set_global_attribute("global_seed_generator", seeds)
        if seeds is not None:
            seeds.state.assign(drawn)
        if eager is not None and tensorflow is not None:
            eager.setstate(tensorflow)


@contextlib.contextmanager
def activated(activations: Mapping[str, str], model: keras.Model) -> Iterator[None]:
    """Let the layers of these names have other activations for a while."""
    layers = [layer for layer in model._flatten_layers() if layer.name in activations]
    before = [(layer, key, vars(layer).get(key)) for layer in layers for key in ("activation", "call")]
    for layer in layers:
        function = keras.activations.get(activations[layer.name])
        if "activation" in vars(layer):
            vars(layer)["activation"] = function
        else:
            vars(layer)["call"] = _only(function)
    try:
        yield
    finally:
        for layer, key, value in before:
            if value is None:
                vars(layer).pop(key, None)
            else:
                vars(layer)[key] = value


def _only(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a layer's call that is an activation and nothing else."""

    def call(inputs: Any, *_: Any, **__: Any) -> Any:
        return function(inputs)

    return call
