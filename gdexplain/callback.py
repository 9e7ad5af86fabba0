"""A Keras callback for those who keep `fit`: the same record, without the gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from gdexplain import _keras
from gdexplain._checks import positive_int
from gdexplain.trajectory import Trajectory


class RecordTrajectory(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Record the parameters after every update of any `fit`, and the loss of every batch.

    Pass it in ``callbacks``; after `fit`, `trajectory` holds the record. Each ``fit`` starts a new one. It gives no
    gradients, which ``fit`` does not show: use `train` for them. The history of ``fit`` is not changed by it.

    Parameters
    ----------
    record_every : int
        Record the parameters only at every m-th update (and at the end).

    Attributes
    ----------
    trajectory : Trajectory
        The record of the last ``fit``. If a loss or a parameter stops being finite, the record ends before it and
        says that the run diverged; `fit` itself goes on (``keras.callbacks.TerminateOnNaN`` would stop it).

    Raises
    ------
    ValueError
        When ``fit`` starts, if the model was compiled with ``steps_per_execution`` above 1: Keras then calls back
        only once in several updates.

    Notes
    -----
    Keras reports the mean loss since the epoch began. The loss of one batch is read from Keras' own tracker, which
    is set to zero for the batch and put back after it.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain import RecordTrajectory, build_linear
    >>> model, recorder = build_linear(), RecordTrajectory()
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=4, verbose=0, callbacks=[recorder])
    >>> recorder.trajectory.updates.tolist()
    [0, 1, 2]
    """

    def __init__(self, *, record_every: int = 1) -> None:
        super().__init__()
        self.record_every = positive_int("record_every", record_every)
        self._record: Trajectory | None = None

    @property
    def trajectory(self) -> Trajectory:
        """The record of the last ``fit``."""
        if self._record is None:
            raise AttributeError("There is no trajectory yet: pass this callback to fit first.")
        return self._record

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        steps = getattr(self.model, "steps_per_execution", 1)
        if steps != 1:
            raise ValueError(f"RecordTrajectory needs steps_per_execution=1 in model.compile, not {steps}.")
        self._tracker = next(metric for metric in self.model.metrics if metric.name == "loss")
        self._updates, self._losses = [0], list[float]()
        self._rows = [_keras.flat_parameters(self.model)]
        self._latest, self._ended, self._batch_size = self._rows[0], False, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        self._before = [variable.numpy() for variable in self._tracker.variables]
        self._tracker.reset_state()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002, D102
        loss = float(self._tracker.result())
        count = int(dict(zip(("total", "count"), self._tracker.variables, strict=True))["count"].numpy())
        for variable, before in zip(self._tracker.variables, self._before, strict=True):
            variable.assign(variable + before)
        if logs is not None:
            logs["loss"] = float(self._tracker.result())  # the running mean, as the callbacks after this one expect
        row = _keras.flat_parameters(self.model)
        self._ended = self._ended or not (np.isfinite(loss) and np.all(np.isfinite(row)))
        if self._ended:
            return
        self._losses.append(loss)
        self._latest, self._batch_size = row, max(self._batch_size, count)
        if len(self._losses) % self.record_every == 0:
            self._updates.append(len(self._losses))
            self._rows.append(row)

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002, D102
        if self._updates[-1] != len(self._losses):
            self._updates.append(len(self._losses))
            self._rows.append(self._latest)
        rows = np.stack(self._rows)
        self._record = Trajectory(
            parameters=rows,
            loss=np.asarray(self._losses, dtype=rows.dtype),
            gradients=np.empty((0, rows.shape[1]), rows.dtype),
            updates_per_epoch=self.params["steps"] or max(1, len(self._losses)),
            diverged=self._ended,
            label=_keras.label(self.model.optimizer),
            updates=np.asarray(self._updates),
            batch_size=self._batch_size or None,
            layout=_keras.layout(self.model),
            provenance=_keras.versions(),
        )
