"""Where the first number that is not finite comes from: which update, layer, operation and rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose.measure import Bench, Run, Setup, batches
from gdexplain.in_keras.diagnose.restore import activated

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
        way = "on the way back through" if self.backward else "in"
        shown = ", ".join(map(str, self.rows[:_SHOWN])) + ", ..." * (len(self.rows) > _SHOWN)
        rows = f", in {len(self.rows)} of the {self.examples} rows of the batch: {shown}" if self.rows else ""
        return (
            f"in update {self.update} {self.operation} {way} {self.layer!r} gives NaN or inf from finite numbers{rows}"
        )


def first_not_finite(bench: Bench, setup: Setup, run: Run, seed: int) -> NotFinite | None:
    """Make the run again up to the update that failed, and follow what is not finite back to where it began."""
    done = len(run.loss)
    bench.run(replace(setup, updates=done), seed)
    rows = list(batches(bench.problem(setup).examples, setup.batch_size, done + 1, seed))[-1][-1]
    problem = bench.problem(setup)
    inputs, targets = replace(problem, x=setup.x, y=setup.y).tensors(rows)
    with activated(setup.activations, bench.model), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tracer = _Trace(problem, inputs, targets)
        place = tracer.origin(inputs, targets)
        if place is None:
            return NotFinite(done, "the optimizer", "apply", True, (), len(rows))
        operation = tracer.operations[place]
        value = np.asarray(tracer.value(place, inputs, targets))
        if value.shape[:1] == (len(rows),):
            bad = ~np.isfinite(value).reshape(len(rows), -1).all(1)
        else:
            bad = np.array([tracer.origin(*_one(inputs, targets, row)) is not None for row in range(len(rows))])
    layer, backward = _whose(operation.name, [one.name for one in bench.model._flatten_layers()])
    return NotFinite(done, layer, operation.type, backward, tuple(sorted({*rows[bad].tolist()})), len(rows))


def _one(inputs: Any, targets: Any, row: int) -> tuple[Any, Any]:
    """Return one row of a batch, as a batch."""
    return core.map_arrays(lambda leaf: leaf[row : row + 1], (inputs, targets))  # type: ignore[no-any-return]


class _Trace:
    """A training step up to its gradients, as a graph all of whose numbers can be read."""

    def __init__(self, problem: core.Problem, inputs: Any, targets: Any) -> None:
        self.problem, self.operations = problem, list[Any]()
        specs = core.map_arrays(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), (inputs, targets))
        self._flags = tf.function(self._checked, autograph=False).get_concrete_function(*specs)
        self._specs = specs

    def _checked(self, inputs: Any, targets: Any) -> Any:
        """Say of each operation's outputs whether they are finite."""
        tensors, self.operations, self._ends = self._trace(inputs, targets)
        return tf.stack([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])

    def _trace(self, inputs: Any, targets: Any) -> tuple[list[Any], list[Any], list[Any]]:
        """Return the floating results of all operations, the operations, and where loss and gradients stand."""
        graph = tf.compat.v1.get_default_graph()
        loss, gradients = self.problem.gradients(inputs, targets)
        ends = [loss, *(tf.convert_to_tensor(one) for one in gradients if one is not None)]
        tensors = [each for one in graph.get_operations() for each in one.outputs if each.dtype.is_floating]
        return tensors, [each.op for each in tensors], [_place(tensors, end) for end in ends]

    def origin(self, inputs: Any, targets: Any) -> int | None:
        """Return the place of the operation that first gave what is not finite, on the way to loss or gradient."""
        finite = np.asarray(self._flags(inputs, targets))
        place = next((end for end in self._ends if not finite[end]), None)
        places = {operation.name: list[int]() for operation in self.operations}
        for number, operation in enumerate(self.operations):
            places[operation.name].append(number)
        while place is not None:
            names = [tensor.op.name for tensor in self.operations[place].inputs]
            before = [number for name in names for number in places.get(name, []) if not finite[number]]
            if not before or min(before) >= place:
                break
            place = min(before)
        return place

    def value(self, place: int, inputs: Any, targets: Any) -> NDArray[Any]:
        """Return what the operation at a place gave."""

        def read(one: Any, other: Any) -> Any:
            return self._trace(one, other)[0][place]

        return np.asarray(tf.function(read, autograph=False).get_concrete_function(*self._specs)(inputs, targets))


def _place(tensors: Sequence[Any], tensor: Any) -> int:
    """Return where a tensor stands in a list."""
    return next(number for number, each in enumerate(tensors) if each is tensor)


def _whose(operation: str, layers: Sequence[str]) -> tuple[str, bool]:
    """Return the innermost layer that an operation belongs to by its name, and whether it is part of a gradient."""
    parts = operation.split("/")
    for part in reversed(parts[:-1]):
        plain = part if part in layers else part.rpartition("_")[0]
        if plain in layers:
            return plain, parts[0].startswith("gradient_tape")
    return "the loss", parts[0].startswith("gradient_tape")
