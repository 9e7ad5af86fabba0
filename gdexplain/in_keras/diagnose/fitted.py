"""The way to train what a compiled loop would train otherwise: by `fit`, with everything put back by those around it."""

from __future__ import annotations

import itertools
import time
import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose.measure import Fresh, Setup, batches
from gdexplain.in_keras.eye import optimizers_of
from gdexplain.in_keras.recorder import RecordTrajectory

Array = NDArray[Any]
_ROWS = 2**24  # numbers that a record may hold


def has_own_step(model: keras.Model) -> bool:
    """Say whether a model overrides Keras' train_step."""
    return getattr(model.train_step, "__func__", None) is not keras.Model.train_step


class Fitted:
    """Runs of `fit`, recorded by `RecordTrajectory`; with a train_step of its own the loss is the model's affair."""

    def __init__(self, problem: core.Problem, loss: Any, width: int) -> None:
        self.problem, self.width, self.first = problem, width, None
        self.loss, self._own_step = loss, has_own_step(problem.model)
        main, *others = dict.fromkeys((problem.model.optimizer, *optimizers_of(problem.model)))
        if not main.built:
            main.build(problem.variables)
        self._fresh = Fresh(main, *others)

    def train(self, setup: Setup, seed: int, seconds: float) -> tuple[list[Array], list[Array], bool]:
        """Fit on as many batches; return losses and sizes as far as they are finite, and whether all are."""
        model, size = self.problem.model, sum(variable.size for variable in setup.start)
        if (self._own_step and setup.loss is not self.loss) or (
            (setup.rate != 1 or setup.steady) and self._fresh.rate is None
        ):
            raise ValueError("a model with a train_step of its own has its own loss, and a schedule its own rates.")
        if not self._own_step:
            vars(model)["_compile_loss"] = self.problem.loss
        self._fresh.begin(setup.rate)
        recorder = RecordTrajectory(record_every=max(1, setup.updates * size // _ROWS))
        model.train_function = None  # an activation may be another one since
        order = np.concatenate(list(batches(self.problem.examples, self.width, setup.updates, seed))).ravel()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = core.take((setup.x, setup.y), order)
            model.fit(
                x, y, batch_size=self.width, shuffle=False, verbose=0, callbacks=[recorder, _Stop(seconds)], epochs=1
            )
        run = recorder.trajectory
        return [run.loss], [_sizes(run, setup)], not run.diverged


class _Stop(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Stop a fit when its time is over, from the end of its first batch on, which compiles."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.until = seconds, np.inf

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002  # Keras' signature
        """Look at the clock; Keras calls this."""
        self.until = time.perf_counter() + self.seconds if batch == 0 else self.until
        self.model.stop_training = self.model.stop_training or time.perf_counter() > self.until


def _sizes(run: Any, setup: Setup) -> Array:
    """Return for each recorded update and each weight array the norms of gradient, weights and step."""
    cuts = list(itertools.accumulate(array.size for array in setup.start))[:-1]

    def norms(rows: Array) -> Array:
        return np.stack([np.linalg.norm(part, axis=1) for part in np.split(rows, cuts, axis=1)], axis=1)

    before, steps = run.parameters[:-1], np.diff(run.parameters, axis=0)
    gradients = run.gradients if len(run.gradients) == len(before) else np.zeros_like(before)
    return np.stack([norms(gradients), norms(before), norms(steps)], axis=1)
