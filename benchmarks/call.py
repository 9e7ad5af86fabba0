"""What a recorded run costs besides its updates: the start of a compiled function."""

from __future__ import annotations

import keras
import tensorflow as tf

from benchmarks import contestants, harness
from gdexplain.in_keras import core, training


def empty_call(task, *, rounds):
    """Race the recorded run against a compiled function with the same variables and outputs, and nothing to do."""
    ways = {
        "train, with XLA": contestants.compiled_train(task, jit=True),
        "JAX, jit and scan": contestants.jax_scan(task),
        "a compiled function without updates": without_updates(task),
    }
    return harness.race(ways, rounds=rounds)


def without_updates(task):
    """Add one to each variable that training changes, and return as many arrays as a recorded run."""
    problem = core.pose(task.model(), (task.x, task.y), task.keras_loss(), batch_size=task.batch_size)
    training._compile(problem, keras.optimizers.SGD(task.learning_rate), task.keras_loss(), jit=True)
    state = training._state(problem)
    total, size = len(task.order), sum(value.size for value in task.start())
    shapes = (), (total,), (total + 1, size), (total, size)

    def nothing():
        before = [tf.identity(variable.value) for variable in state]
        for variable, value in zip(state, before, strict=True):
            variable.assign(value + tf.ones_like(value))
        return [tf.zeros(shape) for shape in shapes] + before

    return tf.function(nothing, jit_compile=True, autograph=False).get_concrete_function()
