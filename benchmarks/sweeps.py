"""Ways to train one neuron 10,000 times, each time with another learning rate.

Each returns a function that gives the parameters at the end, shape (runs, 2). `fit` would take hours for all: it makes
a few of the runs, and its time is multiplied. Such a time is marked as estimated.
"""

from __future__ import annotations

import importlib.util

import keras
import numpy as np

from gdexplain import build_linear, make_line

RUNS, UPDATES, SAMPLE = 10_000, 200, 2


def rates(runs):
    """Return learning rates from slow to just below the limit of stability, 2 / 16.7."""
    return np.linspace(0.001, 0.1, runs).astype(np.float32)


def contestants(runs=RUNS, updates=UPDATES):
    """Return every way that can run here; `fit` alone makes fewer runs, see `SAMPLE`."""
    data, rate = make_line(), rates(runs)
    x, y = data.inputs.astype("float32"), data.targets.astype("float32")
    ways = {"fit, one run after another": serial_fit(x, y, rate[:: max(1, runs // SAMPLE)][:SAMPLE], updates)}
    ways["NumPy, all runs in one array"] = numpy_vectorised(x, y, rate, updates)
    if importlib.util.find_spec("jax"):
        ways["JAX, vmap of jit and scan"] = jax_vmap(x, y, rate, updates)
    if importlib.util.find_spec("gdexplain.sweep"):
        ways["sweep"] = sweep(data, rate, updates)
    return ways


def check_the_same(ways):
    """Make sure that all end at the same parameters, and that these are those of the line y = 2x where they converge."""
    ends = {name: np.asarray(way()) for name, way in ways.items()}
    expected = ends["NumPy, all runs in one array"]
    for name, end in ends.items():
        wanted = expected[:: max(1, len(expected) // SAMPLE)][:SAMPLE] if len(end) == SAMPLE else expected
        np.testing.assert_allclose(end, wanted, rtol=1e-3, atol=1e-4, err_msg=name)


def serial_fit(x, y, rate, updates):
    model = build_linear()
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x, y = np.tile(x, (updates, 1)), np.tile(y, (updates, 1))

    def run():
        ends = []
        for value in rate:
            model.set_weights([np.zeros((1, 1)), np.zeros(1)])
            model.optimizer.learning_rate = float(value)
            model.fit(x, y, batch_size=len(x) // updates, epochs=1, shuffle=False, verbose=0)
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
    """`gdexplain.sweep` as it is called, with everything that a call does."""
    from gdexplain.sweep import sweep as run_all

    def run():
        return run_all(build_linear(), data, optimizer="sgd", steps=updates, learning_rate=rate).parameters

    return run
