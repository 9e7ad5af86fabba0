"""Ways to train one neuron 10,000 times, each time with another learning rate.

Each returns a function that gives the parameters at the end, shape (runs, 2). `fit` would take hours for all: it makes
a few of the runs, and its time is multiplied. Such a time is marked as estimated.
"""

from __future__ import annotations

import importlib.util

import keras
import numpy as np

from gdexplain import _tile, build_linear, make_line, sweeping

RUNS, UPDATES, SAMPLE, TILE = 10_000, 200, 2, 5_000
SERIAL = ("fit, an epoch an update", "fit, all updates in one epoch")  # these make `SAMPLE` runs only


def rates(runs):
    """Return learning rates from slow to just below the limit of stability, 2 / 16.7."""
    return np.linspace(0.001, 0.1, runs).astype(np.float32)


def contestants(runs=RUNS, updates=UPDATES):
    """Return every way that can run here; `fit` alone makes fewer runs, see `SAMPLE`."""
    data, rate = make_line(), rates(runs)
    x, y = data.inputs.astype("float32"), data.targets.astype("float32")
    few = rate[:: max(1, runs // SAMPLE)][:SAMPLE]
    ways = {name: serial_fit(x, y, few, updates, long_epoch=name == SERIAL[1]) for name in SERIAL}
    ways["NumPy, all runs in one array"] = numpy_vectorised(x, y, rate, updates)
    if importlib.util.find_spec("jax"):
        ways["JAX, vmap of jit and scan"] = jax_vmap(x, y, rate, updates)
    ways["sweep, the whole call"] = sweep(data, rate, updates)
    ways["sweep, its compiled tiles"] = compiled_tiles(data, rate, updates)
    return ways


def check_the_same(ways):
    """Make sure that all end at the same parameters, and that these are those of the line y = 2x where they converge."""
    ends = {name: np.asarray(way()) for name, way in ways.items()}
    expected = ends["NumPy, all runs in one array"]
    for name, end in ends.items():
        wanted = expected[:: max(1, len(expected) // SAMPLE)][:SAMPLE] if len(end) == SAMPLE else expected
        np.testing.assert_allclose(end, wanted, rtol=1e-3, atol=1e-4, err_msg=name)


def serial_fit(x, y, rate, updates, *, long_epoch):
    """`fit` for each rate: one full batch an epoch, as one writes it, or all updates in one epoch, which is faster."""
    model = build_linear()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    options = {"batch_size": len(x), "epochs": updates, "shuffle": False, "verbose": 0}
    if long_epoch:
        x, y, options["epochs"] = np.tile(x, (updates, 1)), np.tile(y, (updates, 1)), 1

    def run():
        ends = []
        for value in rate:
            model.set_weights([np.zeros((1, 1)), np.zeros(1)])
            model.optimizer.learning_rate = float(value)
            model.fit(x, y, **options)
            ends.append(np.concatenate([part.ravel() for part in model.get_weights()]))
        return np.array(ends)

    return run


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
    model, optimizer = build_linear(), keras.optimizers.SGD()
    options = {"shuffle": True, "jit": True}
    task = sweeping._make_task(model, data, optimizer, "mse", updates, None, None, 0, **options)
    rows = sweeping._make_rows(model, task, rate, None, None, {}, 0)
    width = min(TILE, len(rate))
    tiles = [{name: v[first : first + width] for name, v in rows.items()} for first in range(0, len(rate), width)]
    return lambda: np.concatenate([_tile.run_tile(task, tile, width)["parameters"] for tile in tiles])
