"""The wing in NumPy: how long the rules of `descend` take, and four ways to one loss and gradient."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from benchmarks import harness
from gdexplain import Dataset, build_mlp, make_line
from gdexplain.by_hand import rules
from gdexplain.by_hand.backprop import loss_function, numerical_gradient, trace_backprop
from gdexplain.by_hand.descent import descend
from gdexplain.by_hand.network import flat_parameters
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.in_keras.builders import as_layers

RULES = (
    rules.gradient_descent(0.01),
    rules.momentum(0.01),
    rules.momentum(0.01, nesterov=True),
    rules.adagrad(0.01),
    rules.rmsprop(0.01),
    rules.adadelta(1.0),
    rules.adam(0.01),
    rules.amsgrad(0.01),
    rules.nadam(0.01),
    rules.adamw(0.01),
    rules.lion(0.01),
)
NETS = {
    "1-1, 4 rows": (1, (1,), 4),
    "2-16-16-3, 64 rows": (2, (16, 16, 3), 64),
    "64-32-10, 32 rows": (64, (32, 10), 32),
    "64-256-256-10, 128 rows": (64, (256, 256, 10), 128),
}


def rules_of_descend(*, rounds):
    """Time 1,000 full-batch updates of the neuron by each rule."""
    objective = LeastSquares(make_line())
    ways = {rule.name: partial(descend, objective, rule, [0.0, 0.0], steps=1000) for rule in RULES}
    return harness.race(ways, rounds=rounds)


def gradients(*, rounds):
    """Time one loss and gradient in float64, from arrays to arrays, for each net."""
    table = {}
    for name, (inputs, units, rows) in NETS.items():
        ways = _ways_to_a_gradient(inputs, units, rows)
        np.testing.assert_allclose(ways["trace_backprop"](), ways["GradientTape, eager"](), rtol=1e-9, atol=1e-12)
        if len(ways["trace_backprop"]()) > 10_000:  # two passes for each parameter
            del ways["central differences"]
        table[name] = harness.race(ways, rounds=rounds)
    return table


def _ways_to_a_gradient(inputs, units, rows):
    model = build_mlp(units, inputs=inputs, seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    data = Dataset(rng.normal(size=(rows, inputs)), rng.normal(size=(rows, units[-1])))
    layers, loss = as_layers(model), keras.losses.MeanSquaredError(dtype="float64")

    def eager(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x))
        return tape.gradient(value, model.trainable_variables)

    compiled = tf.function(eager)

    def arrays(function):
        gradients = function(tf.constant(data.inputs), tf.constant(data.targets))
        return np.concatenate([part.numpy().ravel() for part in gradients])

    function, theta = loss_function(layers, data.inputs, data.targets), flat_parameters(layers)
    return {
        "trace_backprop": lambda: trace_backprop(layers, data.inputs, data.targets).gradient,
        "GradientTape, compiled": lambda: arrays(compiled),
        "GradientTape, eager": lambda: arrays(eager),
        "central differences": lambda: numerical_gradient(function, theta),
    }
