"""Real training failures as facts, small and offline: each with the twin that works, and what was wrong."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers


@dataclass(frozen=True)
class Case:
    """A model, its data and how it is trained."""

    model: Any
    data: tuple[Any, Any]
    optimizer: Any
    loss: Any
    batch_size: int | None
    epochs: int
    truth: frozenset[str] = field(default_factory=frozenset)  # any of these names is a true fault

    def options(self):
        """The arguments of `diagnose` besides model and data."""
        return {
            "optimizer": self.optimizer,
            "loss": self.loss,
            "batch_size": self.batch_size or len(self.data[1]),
            "epochs": self.epochs,
        }


def seeded(make):
    """Let the layers draw their weights from the seed: Keras asks for it where a layer is made."""

    @functools.wraps(make)
    def made(fixed, seed=0):
        keras.utils.set_random_seed(seed)
        return make(fixed, seed)

    return made


def stack(inputs, *parts):
    """A stack of layers."""
    return keras.Sequential([keras.Input((inputs,)), *parts])


def dense(units, activation=None, start=None):
    return layers.Dense(units, activation, kernel_initializer=start or "glorot_uniform")


def standard(array):
    return (array - array.mean(0)) / (array.std(0) + 1e-12)


@seeded
def square(fixed, seed):
    x = np.random.default_rng(seed).uniform(-10, 10, (150, 1))
    model = stack(1, dense(5, "sigmoid"), dense(1, "linear" if fixed else "sigmoid"))
    return Case(model, (x, x**2 + 3), keras.optimizers.SGD(0.01), "mse", None, 1000, frozenset({"output activation"}))


@seeded
def one_softmax(fixed, seed):
    labels = np.random.default_rng(seed).integers(0, 2, (20000, 1)).astype("float32")
    x = np.repeat(labels, 128, axis=1)
    end = "sigmoid" if fixed else "softmax"
    hidden = [part for _ in range(2) for part in (dense(50, "relu"), layers.Dropout(0.2))]
    model = stack(128, *hidden, dense(1, end))
    truth = frozenset({"output activation", "loss"})
    return Case(model, (x, labels), keras.optimizers.RMSprop(), "binary_crossentropy", 1, 3, truth)


@seeded
def exclusive_or(fixed, seed):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 1], [1, 1]], "float32")
    y = np.array([[0], [1], [1], [0], [1], [0]], "float32")
    small = keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)

    def start():
        return None if fixed else small.clone()

    end = "sigmoid" if fixed else "softmax"
    model = stack(2, dense(2, "sigmoid", start()), dense(3, "sigmoid", start()), dense(1, end, start()))
    optimizer = keras.optimizers.SGD(0.1 if fixed else 0.001, momentum=0.9, nesterov=True)
    truth = frozenset({"output activation", "learning rate too low", "initialisation", "epochs", "batch size"})
    return Case(model, (x, y), optimizer, "mse", 4, 10000 if fixed else 20, truth)


@seeded
def noisy_square(fixed, seed):
    x = np.arange(0, 5, 0.1)[:, np.newaxis]
    y = 5 * x**2 + np.random.default_rng(seed).standard_normal(x.shape) ** 3
    model = stack(1, dense(50, "relu"), dense(30, "relu", "random_uniform"), dense(1))
    optimizer = keras.optimizers.SGD(0.001 if fixed else 0.1)
    return Case(model, (x, y), optimizer, "mse", 32, 1000, frozenset({"learning rate too high"}))


@seeded
def fourth_power(fixed, seed):
    x = np.arange(-100, 100, 0.5)[:, np.newaxis]
    y = x**4
    if fixed:
        x, y = standard(x), standard(y)
    model = stack(1, dense(50, "relu" if fixed else "sigmoid"), dense(50, "elu"), dense(1))
    truth = frozenset({"unscaled inputs", "unscaled targets"})
    return Case(model, (x, y), keras.optimizers.Adam(), "mse", None, 1000, truth)


@seeded
def bytes_permuted(fixed, seed):
    bits = ((np.arange(256)[:, np.newaxis] >> np.arange(8)) & 1).astype("float32")
    y = bits[np.random.default_rng(seed).permutation(256)]
    start = None if fixed else keras.initializers.RandomNormal(stddev=0.05, seed=seed)
    first = "relu" if fixed else "sigmoid"
    parts = [dense(8, first, start and start.clone()), dense(8, first, start and start.clone())]
    model = stack(8, *parts, dense(8, "sigmoid", start and start.clone()))
    loss, batch = ("binary_crossentropy", 1) if fixed else ("mse", 50)
    truth = frozenset({"hidden activation", "batch size", "initialisation"})
    return Case(model, (bits, y), keras.optimizers.SGD(0.01), loss, batch, 1000, truth)


@seeded
def relu_end(fixed, seed):
    rng = np.random.default_rng(seed)
    x = standard(rng.standard_normal((17, 2)))
    y = x @ np.array([[0.8], [-0.5]]) + 0.3 * rng.standard_normal((17, 1))
    y = (y - y.min()) / (y.max() - y.min()) * 3.76 - 1.05
    model = stack(2, dense(4, "relu"), dense(1, "linear" if fixed else "relu"))
    truth = frozenset({"output activation"})
    return Case(model, (x, y), keras.optimizers.SGD(0.01), "mse", 10, 500 if fixed else 50, truth)


@seeded
def iris(fixed, seed):
    from sklearn.datasets import load_iris

    x, labels = load_iris(return_X_y=True)
    half = np.random.default_rng(seed).permutation(150)[:75]
    x, y = x[half], np.eye(3, dtype="float32")[labels[half]]
    model = stack(4, dense(4, "relu"), dense(3, "softmax" if fixed else "sigmoid"))
    data = (standard(x) if fixed else x, y)
    return Case(model, data, keras.optimizers.Adam(), "categorical_crossentropy", 5, 50)


@seeded
def passengers(fixed, seed):
    rng = np.random.default_rng(seed)
    n = 891
    fare, rank, sex = rng.lognormal(3, 1, n).clip(0, 512), rng.integers(1, 4, n), rng.integers(0, 2, n)
    age = rng.uniform(1, 80, n)
    names, ticket, cabin = rng.permutation(1300)[:n], rng.integers(0, 681, n), rng.integers(0, 147, n)
    rest = rng.integers(0, 5, (n, 3))
    chance = 1 / (1 + np.exp(-(2.5 * sex - 1.1 * (rank - 2) - 0.02 * (age - 30) - 1.5)))
    labels = (rng.uniform(size=n) < chance).astype(int)
    x = np.column_stack([names, rank, sex, age, ticket, fare, cabin, rest]).astype("float32")
    model = stack(10, dense(512, "relu"), layers.Dropout(0.5), dense(2, "softmax"))
    data = (standard(x) if fixed else x, np.eye(2, dtype="float32")[labels])
    return Case(model, data, keras.optimizers.Adam(), "categorical_crossentropy", 4, 10, frozenset({"unscaled inputs"}))


FAULTY = {
    "square": square,
    "one softmax": one_softmax,
    "exclusive or": exclusive_or,
    "noisy square": noisy_square,
    "fourth power": fourth_power,
    "bytes": bytes_permuted,
    "relu end": relu_end,
    "passengers": passengers,
}
CONTROL = {"iris": iris}
