"""Where the first number that is not finite comes from: which update, layer, operation and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose.measure import Bench, Run, Setup, batches

_SHOWN = 5  # rows that are named


@dataclass(frozen=True)
class NotFinite:
    """The first number of a run that is not finite.

    Parameters
    ----------
    update : int
        How many updates were made before.
    layer : str
        The name of the layer; ``"the loss"`` or ``"the optimizer"`` where it is in none.
    operation : str
        TensorFlow's name of the operation, such as ``"Log"``.
    backward : bool
        Whether it stands in the gradient, on the way back.
    rows : tuple of int
        The rows of the data that it comes from.
    examples : int
        How many rows the batch has.
    """

    update: int
    layer: str
    operation: str
    backward: bool
    rows: tuple[int, ...]
    examples: int

    def __str__(self) -> str:
        """Say it in a line."""
        place = f"{self.operation} {'on the way back through' if self.backward else 'in'} {self.layer!r}"
        shown = ", ".join(map(str, self.rows[:_SHOWN])) + ", ..." * (len(self.rows) > _SHOWN)
        rows = f", in {len(self.rows)} of the {self.examples} rows of the batch: {shown}" if self.rows else ""
        return f"in update {self.update} {place} gives NaN or inf from finite numbers{rows}"


def first_not_finite(bench: Bench, setup: Setup, run: Run, seed: int) -> NotFinite | None:
    """Make the run again up to the update that failed, and follow what is not finite back to where it began."""
    done, problem = len(run.loss), bench.way(setup).problem
    bench.run(replace(setup, updates=done), seed)
    rows = list(batches(problem.examples, setup.batch_size, done + 1, seed))[-1][-1]
    step = _Step(problem, setup.tensors(rows))
    place, value = step.origin(setup, rows)
    if place is None:
        return NotFinite(done, "the optimizer", "apply", True, (), len(rows))
    if value.shape[:1] == (len(rows),):
        bad = ~np.isfinite(value).reshape(len(rows), -1).all(1)
    else:
        bad = np.array([step.origin(setup, rows[[one]])[0] is not None for one in range(len(rows))])
    operation = step.tensors[place].op
    layer, backward = _whose(operation.name, [one.name for one in bench.model._flatten_layers()])
    return NotFinite(done, layer, operation.type, backward, tuple(sorted({*rows[bad].tolist()})), len(rows))


class _Step:
    """A training step up to its gradients, as a graph all of whose numbers can be read."""

    def __init__(self, problem: core.Problem, data: Any) -> None:
        self.problem, self.tensors, self.ends = problem, list[Any](), list[int]()
        specs = core.map_arrays(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), data)
        self._read = tf.function(self._traced, autograph=False).get_concrete_function(*specs)
        self._places = {tensor.name: place for place, tensor in enumerate(self.tensors)}

    def _traced(self, inputs: Any, targets: Any) -> Any:
        """Return the floating results of all operations; note them, and where loss and gradients stand among them."""
        graph = tf.compat.v1.get_default_graph()
        loss, gradients = self.problem.gradients(inputs, targets)
        ends = [loss, *(tf.convert_to_tensor(one) for one in gradients if one is not None)]
        self.tensors = [each for one in graph.get_operations() for each in one.outputs if each.dtype.is_floating]
        self.ends = [place for end in ends for place, each in enumerate(self.tensors) if each is end]
        return list(self.tensors)

    def origin(self, setup: Setup, rows: Any) -> tuple[int | None, Any]:
        """Return where that stands which first was not finite on the way to loss or gradient, and what it was."""
        values = self._read(*setup.tensors(rows))
        finite = [bool(tf.reduce_all(tf.math.is_finite(value))) for value in values]
        place = next((end for end in self.ends if not finite[end]), None)
        while place is not None:
            sources = [self._places.get(tensor.name, place) for tensor in self.tensors[place].op.inputs]
            before = min((source for source in sources if not finite[source]), default=place)
            if before >= place:
                return place, np.asarray(values[place])
            place = before
        return None, None


def _whose(operation: str, layers: Sequence[str]) -> tuple[str, bool]:
    """Return the innermost layer that an operation belongs to by its name, and whether it is part of a gradient."""
    parts = operation.split("/")
    for part in reversed(parts[:-1]):
        plain = part if part in layers else part.rpartition("_")[0]
        if plain in layers:
            return plain, parts[0].startswith("gradient_tape")
    return "the loss", parts[0].startswith("gradient_tape")
