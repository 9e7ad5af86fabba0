"""Ways to train one neuron 10,000 times, each time with another learning rate.

Each way is a function that gives the parameters at the end, shape (runs, 2). Those that make one run after another would
take hours for all: they make a few, and their time is multiplied. Such a time is marked as estimated.
"""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import tensorflow as tf

from gdexplain import build_linear, make_line
from gdexplain.in_keras import sweeping, task, tiling

RUNS, UPDATES, SAMPLE, TILE = 10_000, 200, 2, 5_000


def rates(runs):
    """Return learning rates from slow to just below the limit of stability, 2 / 16.7."""
    return np.linspace(0.001, 0.1, runs).astype(np.float32)


def one_after_another(runs=RUNS, updates=UPDATES):
    """Return the ways that make one run and then the next; each makes the few of `SAMPLE` only."""
    x, y, rate = *_arrays(), rates(runs)[:: max(1, runs // SAMPLE)][:SAMPLE]
    ways = {
        "fit, an epoch an update": by_fit(x, y, updates),
        "fit, all updates in one epoch": by_fit(x, y, updates, long_epoch=True),
        "train_on_batch": by_train_on_batch(x, y, updates),
        "a tf.function step called from Python": by_function(x, y, updates),
    }
    if importlib.util.find_spec("torch"):
        ways["a PyTorch loop"] = by_torch(x, y, updates)
    return {name: lambda train=train: np.array([train(float(one)) for one in rate]) for name, train in ways.items()}


def all_at_once(runs=RUNS, updates=UPDATES):
    """Return the ways that make all runs side by side."""
    x, y, rate = *_arrays(), rates(runs)
    ways = {"NumPy, all runs in one array": numpy_vectorised(x, y, rate, updates)}
    if importlib.util.find_spec("jax"):
        ways["JAX, vmap of jit and scan"] = jax_vmap(x, y, rate, updates)
    ways["sweep, the whole call"] = sweep(make_line(), rate, updates)
    ways["sweep, its compiled tiles"] = compiled_tiles(make_line(), rate, updates)
    return ways


def _arrays():
    data = make_line()
    return data.inputs.astype("float32"), data.targets.astype("float32")


def check_the_same(ways):
    """Make sure that all end at the same parameters, and that these are those of the line y = 2x where they converge."""
    ends = {name: np.asarray(way()) for name, way in ways.items()}
    expected = ends["NumPy, all runs in one array"]
    for name, end in ends.items():
        wanted = expected[:: max(1, len(expected) // SAMPLE)][:SAMPLE] if len(end) == SAMPLE else expected
        np.testing.assert_allclose(end, wanted, rtol=1e-3, atol=1e-4, err_msg=name)


def by_fit(x, y, updates, *, long_epoch=False):
    """One full batch an epoch, as one writes it, or all updates in one epoch, which is faster."""
    model = build_linear()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    options = {"batch_size": len(x), "epochs": updates, "shuffle": False, "verbose": 0}
    if long_epoch:
        x, y, options["epochs"] = np.tile(x, (updates, 1)), np.tile(y, (updates, 1)), 1

    def train(rate):
        _start_again(model, rate)
        model.fit(x, y, **options)
        return _theta(model)

    return train


def by_train_on_batch(x, y, updates):
    model = build_linear()
    model.compile(keras.optimizers.SGD(0.01), "mse")

    def train(rate):
        _start_again(model, rate)
        for _ in range(updates):
            model.train_on_batch(x, y)
        return _theta(model)

    return train


def by_function(x, y, updates):
    model = build_linear()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.optimizer.build(model.trainable_variables)
    x, y = tf.constant(x), tf.constant(y)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - y) ** 2)
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables))

    def train(rate):
        _start_again(model, rate)
        for _ in range(updates):
            step()
        return _theta(model)

    return train


def by_torch(x, y, updates):
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def train(rate):
        model = torch.nn.Linear(1, 1)
        for part in model.parameters():
            torch.nn.init.zeros_(part)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        for _ in range(updates):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
        return np.array([part.item() for part in model.parameters()])

    return train


def _start_again(model, rate):
    """Put a compiled model back to the start."""
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    model.optimizer.learning_rate = rate


def _theta(model):
    """Return weight and bias."""
    return np.concatenate([part.ravel() for part in model.get_weights()])


def numpy_vectorised(x, y, rate, updates):
    x, y = x[:, 0], y[:, 0]

    def run():
        weight, bias = np.zeros_like(rate), np.zeros_like(rate)
        for _ in range(updates):
            residual = weight[:, np.newaxis] * x + bias[:, np.newaxis] - y
            weight -= rate * (residual @ x) * np.float32(2 / len(x))
            bias -= rate * residual.sum(axis=1) * np.float32(2 / len(x))
        return np.stack([weight, bias], axis=1)

    return run


def jax_vmap(x, y, rate, updates):
    import jax
    import jax.numpy as jnp

    def loss(parameters):
        return jnp.mean((x @ parameters[:1, np.newaxis] + parameters[1] - y) ** 2)

    def train(value):
        def step(parameters, _):
            return parameters - value * jax.grad(loss)(parameters), None

        return jax.lax.scan(step, jnp.zeros(2), None, length=updates)[0]

    compiled, rate = jax.jit(jax.vmap(train)), jnp.asarray(rate)
    return lambda: np.asarray(compiled(rate))


def sweep(data, rate, updates):
    """`gdexplain.sweep` as it is called, with everything that a call does but the compiling."""

    def run():
        options = {"optimizer": "sgd", "steps": updates, "learning_rate": rate, "tile": TILE}
        return sweeping.sweep(build_linear(), data, **options).parameters

    return run


def compiled_tiles(data, rate, updates):
    """The tiles of that sweep, with its checks and its preparation left out, as with the other compiled ways."""
    model, seeds = build_linear(), np.zeros(1, int)
    plan = task.Plan(
        model,
        data,
        "mse",
        keras.optimizers.SGD(),
        steps=updates,
        batch_size=None,
        shuffle=True,
        seeded=False,
        goal=None,
        jit=True,
    )
    rows = sweeping._make_rows(plan, seeds, rate, None, None, {})
    made = plan.task(plan.width(TILE, len(rate)))
    tiles = [
        {name: v[first : first + made.width] for name, v in rows.items()} for first in range(0, len(rate), made.width)
    ]
    return lambda: np.concatenate([tiling.run_tile(made, tile)["parameters"] for tile in tiles])
