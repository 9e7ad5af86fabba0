"""What is known when faults are suspected: the data, the model, its first run; and what a change is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.locate import NotFinite
from gdexplain.in_keras.diagnose.measure import Bench, Layer, Run, Setup
from gdexplain.in_keras.diagnose.restore import Altered
from gdexplain.in_keras.objective import sharpness

Array = NDArray[Any]
CUT = ("relu", "relu6")  # activations that turn units off


class Change(NamedTuple):
    """One thing done otherwise: the line of Keras that does it, and what is then another in a setup."""

    code: str
    fields: Mapping[str, Any]
    drawn: bool = False  # whether its start is drawn anew for each seed


def altering(code: str, changes: Iterable[Altered]) -> Change:
    """Return the change that lets attributes of the model or the optimizer be others."""
    return Change(code, {"altered": tuple(changes)})


Suspicion = tuple[str, Sequence[Change]]  # the evidence in words, and the changes to try, of which the best is kept


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was seen: before a step, and in the first run as it is."""

    bench: Bench
    task: look.Task
    setup: Setup
    optimizer: Any
    loss: str  # Keras' name of the loss, "" for one of your own
    logits: bool
    total: int  # updates that the user's epochs make
    run: Run
    not_finite: NotFinite | None
    before: Sequence[Layer]
    after: Sequence[Layer]
    gap: tuple[float, float]  # the loss that Keras computes, and that of the predictions

    @property
    def end(self) -> str:
        """The activation at the end, empty where it cannot be told."""
        return look.activation_of(look.last_layer(self.bench.model))

    @property
    def late_share(self) -> float:
        """How much of the fall of the loss came in the second half of the run; 0 if it did not fall."""
        losses, n = self.run.loss.astype(np.float64), len(self.run.loss)
        if n < 3:
            return 0.0
        width = max(1, n // 8)
        first, middle, last = (losses[at : at + width].mean() for at in (0, (n - width) // 2, n - width))
        return float(np.clip((middle - last) / (first - last), 0, 1)) if first - last > 1e-6 * abs(first) else 0.0

    @property
    def shares(self) -> Array:
        """The update over the weights in each update, of each kernel; NaN where these are zero."""
        kept = np.array(self.bench.kernels) | (not any(self.bench.kernels))
        _, weights, updates = np.moveaxis(self.run.sizes[..., kept], 1, 0)
        shares: Array = np.divide(updates, weights, out=np.full_like(weights, np.nan), where=weights > 0)
        return shares

    @property
    def vanishing(self) -> float:
        """The gradient of the first weights over that of the last, each as a share of its own size."""
        sizes, matrices = self.run.sizes, [place for place, array in enumerate(self.setup.start) if array.ndim >= 2]
        if len(matrices) < 3 or len(sizes) == 0:
            return 1.0
        share = np.median(sizes[:, 0] / np.maximum(sizes[:, 1], 1e-12), axis=0)
        return float(share[matrices[0]] / share[matrices[-1]]) if share[matrices[-1]] > 0 else 1.0

    @property
    def limit(self) -> float:
        """2 / sharpness at the start; infinite where it is flat, bounds nothing, or cannot be taken."""
        plain = type(self.optimizer) is keras.optimizers.SGD and not self.optimizer.momentum
        some_rows = self.not_finite is not None and len(self.not_finite.rows) < self.not_finite.examples
        if plain and not some_rows:  # where some rows alone are not finite, the Hessian is not
            self.bench.begin(self.setup)
            data = core.take((self.setup.x, self.setup.y), slice(256))
            with contextlib.suppress(Exception):  # no second derivatives, or too many
                largest = float(sharpness(self.bench.model, data, loss=self.setup.loss))
                return 2 / largest if largest > 0 else float("inf")
        return float("inf")
