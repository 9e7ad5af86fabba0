"""How long one loss and gradient take: the trace, difference quotients, GradientTape eager and compiled.

Run it with ``python benchmarks/bench_trace.py``. It prints times and their ratios to the trace; trust the ratios. All
four compute in float64, from NumPy arrays to NumPy arrays. TensorFlow has all cores, NumPy has one.
"""

from __future__ import annotations

import os
import timeit

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # beside TensorFlow's threads, more of NumPy's wait for each other

import keras
import numpy as np
import tensorflow as tf

from gdexplain import Dataset, build_mlp
from gdexplain.backprop import loss_function, numerical_gradient, trace_backprop
from gdexplain.models import as_layers
from gdexplain.network import flat_parameters

NETS = {"neuron 1-1, 4 rows": ([1], 1, 4), "2-16-16-3, 64 rows": ([16, 16, 3], 2, 64), "64-32-10, 32 rows": ([32, 10], 64, 32),
        "64-256-256-10, 128 rows": ([256, 256, 10], 64, 128)}  # fmt: skip


def best(function, *, rounds=7, seconds=0.15):
    """Return the best mean time of one call, in microseconds."""
    function()
    once = timeit.timeit(function, number=1)
    number = max(1, int(seconds / max(once, 1e-6)))
    return min(timeit.repeat(function, number=number, repeat=rounds)) / number * 1e6


def contestants(units, inputs, rows):
    """Return four ways to the same loss and gradient."""
    model = build_mlp(units, inputs=inputs, seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(rows, inputs)), rng.normal(size=(rows, units[-1])))
    layers, loss = as_layers(model), keras.losses.MeanSquaredError(dtype="float64")

    def eager(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x))
        return value, tape.gradient(value, model.trainable_variables)

    compiled = tf.function(eager)

    def arrays(function):
        value, gradients = function(tf.constant(data.inputs), tf.constant(data.targets))
        return float(value), np.concatenate([part.numpy().ravel() for part in gradients])

    def trace():
        record = trace_backprop(layers, data.inputs, data.targets)
        return record.loss, record.gradient

    function, theta = loss_function(layers, data.inputs, data.targets), flat_parameters(layers)
    return {
        "trace": trace,
        "GradientTape, compiled": lambda: arrays(compiled),
        "GradientTape, eager": lambda: arrays(eager),
        "central differences": lambda: (None, numerical_gradient(function, theta)),
    }


def main():
    """Print one row a net."""
    for name, (units, inputs, rows) in NETS.items():
        ways = contestants(units, inputs, rows)
        np.testing.assert_allclose(ways["trace"]()[1], ways["GradientTape, eager"]()[1], rtol=1e-9, atol=1e-12)
        if flat_size(ways) > 10_000:
            ways.pop("central differences")
        times = {way: best(function) for way, function in ways.items()}
        print(f"{name}: trace {times['trace']:.0f} us;", end=" ")
        print(", ".join(f"{way} {time / times['trace']:.3g}x" for way, time in times.items() if way != "trace"))


def flat_size(ways):
    """Return the number of parameters."""
    return len(ways["trace"]()[1])


if __name__ == "__main__":
    main()
