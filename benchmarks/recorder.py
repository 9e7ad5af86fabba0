"""What the record of `fit` costs: `fit` alone, with RecordTrajectory, and with a second tape as one writes it."""

from __future__ import annotations

import keras

from benchmarks import contestants, harness
from gdexplain import RecordTrajectory


def record_of_fit(task, *, rounds):
    """Race the ways to a record of `fit` against `fit` without one."""
    ways = recording(task)
    contestants.check_the_same(task, ways | {"train": contestants.compiled_train(task, jit=False)})
    return {"title": task.title, "times": harness.race({"fit alone": fit(task)} | ways, rounds=rounds)}


def recording(task):
    """Return the ways to record loss, parameters and gradient of each update of `fit`."""
    return {
        "fit and RecordTrajectory": fit(task, RecordTrajectory()),
        "fit, a Callback and a second tape": contestants.fit_and_callback(task),
    }


def fit(task, recorder=None):
    """Fit, and give the record if somebody kept one."""
    model = task.model()
    model.compile(keras.optimizers.SGD(task.learning_rate), task.keras_loss())
    options = {"batch_size": task.batch_size, "epochs": task.epochs, "shuffle": False, "verbose": 0}

    def run():
        model.fit(task.x, task.y, callbacks=[recorder] if recorder else [], **options)
        kept = recorder.trajectory if recorder else None
        return (kept.loss, kept.parameters[:-1], kept.gradients) if kept else None

    return run
