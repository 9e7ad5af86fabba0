"""Another chance for a page that does not know: starts that differ in the last digit, and other seeds."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_draws

import gdexplain
import gdexplain.by_hand.descent
import gdexplain.in_keras.sweeping

_PRIME = 1_000_003  # so far apart that no page's own seeds meet
_SIZE = {"float32": 1e-7, "float64": 1e-15}


class Start:
    """Multiply weights by 1 + size u, where u in [-1, 1] depends on the number and on nothing else.

    So two ways of making the same run get the same start, whatever the shape that they keep it in. A number that comes
    out of this, or out of a model, is left alone, so that a copy of a model is that model.
    """

    def __init__(self, seed: int) -> None:
        self.seed = np.uint64(seed)
        self.known: dict[str, set[float]] = {dtype: set() for dtype in _SIZE}

    def __call__(self, values: Any, dtype: str) -> Any:
        """Return the start that stands for these weights."""
        if dtype not in _SIZE:
            return values
        array = np.asarray(values).astype(dtype)
        known = self.known[dtype]
        new = np.array([number not in known for number in array.ravel().tolist()], bool).reshape(array.shape)
        moved = np.where(new, array * (1 + _SIZE[dtype] * self._u(array)), array).astype(dtype)
        self.know(moved)
        return moved

    def know(self, values: Any) -> None:
        """Remember numbers that are not to be moved again."""
        self.known.get(values.dtype.name, set()).update(values.ravel().tolist())

    def _u(self, array: Any) -> Any:
        """Mix the bits of each number (splitmix64): equal numbers give equal u."""
        bits = np.ascontiguousarray(array, np.float64).view(np.uint64).reshape(array.shape)
        with np.errstate(over="ignore"):
            z = bits + (self.seed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) / 2.0**63 - 1


@contextlib.contextmanager
def perturbed(seed: int) -> Iterator[None]:
    """Have every model and every run by hand start beside where it says that it does."""
    move, layer = Start(seed), keras.layers.Layer
    add, put, get, by_hand, many = (
        layer.add_weight,
        layer.set_weights,
        layer.get_weights,
        gdexplain.descend,
        gdexplain.sweep,
    )

    def add_weight(self: Any, shape: Any = None, initializer: Any = None, **options: Any) -> Any:
        if initializer is not None and options.get("trainable", True):
            initializer = _moved(keras.initializers.get(initializer), move)
        return add(self, shape, initializer, **options)

    def set_weights(self: Any, weights: Any) -> None:
        as_many = len(weights) == len(self.weights)
        put(self, [move(*pair) for pair in zip(weights, _dtypes(self), strict=True)] if as_many else weights)

    def get_weights(self: Any) -> Any:
        weights = get(self)
        for value in weights:
            move.know(value)
        return weights

    def descend(objective: Any, rule: Any, theta0: Any, **options: Any) -> Any:
        return by_hand(objective, rule, move(theta0, "float64"), **options)

    def sweep(model: Any, *data: Any, start: Any = None, **options: Any) -> Any:
        return many(model, *data, start=None if start is None else move(start, _dtypes(model)[0]), **options)

    with (
        mock.patch.multiple(layer, add_weight=add_weight, set_weights=set_weights, get_weights=get_weights),
        mock.patch.multiple(gdexplain, descend=descend, sweep=sweep),
        mock.patch.object(gdexplain.by_hand.descent, "descend", descend),
        mock.patch.object(gdexplain.in_keras.sweeping, "sweep", sweep),
    ):
        yield


def _dtypes(model: Any) -> list[str]:
    """Return the dtype of each weight."""
    return [weight.dtype for weight in model.weights]


def _moved(initializer: Any, move: Start) -> Any:
    """Return an initialiser whose weights are moved; inside a graph it is left as it is."""

    def make(shape: Any, dtype: Any = None) -> Any:
        value = tf.convert_to_tensor(initializer(shape, dtype=dtype))
        return tf.constant(move(value.numpy(), value.dtype.name)) if tf.executing_eagerly() else value

    return make


@contextlib.contextmanager
def shifted(seed: int) -> Iterator[None]:
    """Have every whole-number seed mean another one, wherever it is given.

    `keras.utils.set_random_seed` sets three generators, and each is here; `keras.random` and the initialisers draw by way
    of `draw_seed`.
    """

    def other(value: Any) -> Any:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        return int(value) + seed * _PRIME if whole else value

    def shift(function: Any) -> Any:
        return lambda value=None, *rest: function(other(value), *rest)

    make = keras.random.SeedGenerator.__init__

    def make_generator(self: Any, seed: Any = None, **options: Any) -> None:
        make(self, other(seed), **options)
        self._initial_seed = seed  # what a copy of a layer is made with

    with (
        mock.patch.object(np.random, "default_rng", shift(np.random.default_rng)),
        mock.patch.object(np.random, "seed", shift(np.random.seed)),
        mock.patch.object(random, "seed", shift(random.seed)),
        mock.patch.object(tf.random, "set_seed", shift(tf.random.set_seed)),
        mock.patch.object(keras_draws, "draw_seed", shift(keras_draws.draw_seed)),
        mock.patch.object(keras.random.SeedGenerator, "__init__", make_generator),
    ):
        yield
