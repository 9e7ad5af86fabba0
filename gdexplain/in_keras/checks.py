"""Does this data fit this model and its loss? Asked before a weight moves, and answered in words."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain.in_keras.arrays import leaves
from gdexplain.in_keras.backend import reason

_SPARSE = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
_ROWS = 1024  # that are tried at once: a batch of one example takes as long
_FREE = ("ctc", "circle")  # losses of Keras whose targets have a shape of their own


def fixed_lengths(model: keras.Model) -> set[int]:
    """Return how many examples a batch must have, if the inputs of a model say so."""
    return {tensor.shape[0] for tensor in keras.tree.flatten(getattr(model, "inputs", None) or [])} - {None}


def check_length(model: keras.Model, width: int) -> None:
    """Refuse batches of another length than that of a state which passes from one to the next."""
    fixed = fixed_lengths(model) - {width}
    if fixed and any(getattr(layer, "stateful", False) for layer in model._flatten_layers()):
        raise ValueError(
            f"dataset must come in batches of {fixed.pop()} examples, as a state passes from one to the next, not of "
            f"{width}: choose a batch_size that divides their number, or a data set of as many rows."
        )


def check_count(problem: Any, prediction: Any) -> None:
    """Refuse targets for another number of outputs than the model has and the loss looks at."""
    user = getattr(problem.loss, "_user_loss", None)
    outputs, targets = len(keras.tree.flatten(prediction)), len(leaves("y", problem.y))
    looked = sum(one is not None for one in keras.tree.flatten(user)) if isinstance(user, list | dict) else outputs
    if user is not None and outputs > 1 and targets not in (outputs, looked):
        raise ValueError(
            f"y must be a list or dict of {outputs} arrays, one for each output of the model, not {targets}."
        )


class _AllSeen(Exception):  # a way out of a model, and no error
    """Every table of the model has been given its indices."""


def check_indices(problem: Any, width: int) -> None:
    """Refuse inputs that an Embedding has no row for: TensorFlow stops in the midst of training, XLA takes another row."""
    tables = [layer for layer in problem.model._flatten_layers() if type(layer) is keras.layers.Embedding]
    if not tables:
        return
    try:
        said = _outside(problem, tables, max(width, min(problem.examples, _ROWS)))
    except Exception:  # noqa: BLE001  # a model that takes batches of one length
        said = _outside(problem, tables, width)
    if said:
        raise ValueError(f"x must have whole numbers {said}.")


def _outside(problem: Any, tables: list[Any], width: int) -> str:
    """Say which number has no row in a table, and what may be; nothing if all have. `width` rows are tried at once."""
    seen: set[int] = set()
    bad: list[str] = []  # Keras would wrap an error raised within a layer

    def call(inputs: Any, table: Any, rows: Any) -> Any:
        indices = np.asarray(inputs)
        outside = np.argwhere((indices < 0) | (indices >= table.input_dim))
        if len(outside):
            at, last = tuple(outside[0]), table.input_dim - 1
            bad.append(
                f"from 0 to {last} for the layer {table.name!r}, but in row {rows[at[0]]} it has {indices[at]:g}"
            )
        seen.add(id(table))
        if bad or len(seen) == len(tables):
            raise _AllSeen
        return type(table).call(table, inputs)

    for first in range(0, problem.examples, width):
        rows = np.arange(first, first + width) % problem.examples
        inputs = problem.tensors(rows)[0]
        seen.clear()
        with contextlib.ExitStack() as stack:
            for table in tables:
                vars(table)["call"] = functools.partial(call, table=table, rows=rows)
                stack.callback(vars(table).pop, "call")
            stack.enter_context(contextlib.suppress(_AllSeen))
            stack.enter_context(keras.StatelessScope())
            problem.predict(inputs, training=False)
        if bad:
            return bad[0]
    return ""


def check_targets(problem: Any, inputs: Any, targets: Any, prediction: Any) -> None:
    """Ask each loss what it is given, and refuse targets that it would stretch, and labels that are none."""
    loss = problem.loss
    if loss is None or not loss.built or targets is None:
        return
    seen: list[tuple[Any, Any, Any]] = []

    def ask(one: Any) -> Callable[..., Any]:
        def spy(target: Any, output: Any, _: Any = None) -> Any:
            seen.append((one, target, output))
            return tf.zeros(())

        return spy

    before = loss._flat_losses
    loss._flat_losses = [item._replace(loss=ask(item.loss)) for item in before]
    with contextlib.suppress(Exception):  # what else is wrong is told where the loss itself is tried
        problem.loss_of(inputs, targets, prediction, training=True)
    loss._flat_losses = before
    given = [leaf for leaf in keras.tree.flatten(targets) if leaf is not None]
    names = dict(zip(map(id, given), leaves("y", problem.y), strict=True))
    for one, target, output in seen:
        if id(target) in names and hasattr(output, "shape"):
            name, array = names[id(target)]
            try:
                _check_pair(one, name, array, target, output)
            except (ValueError, TypeError):
                raise
            except Exception as error:
                raise ValueError(f"{name} must fit the model's outputs and the loss: {reason(error)}") from error


def _check_pair(loss: Any, name: str, array: NDArray[Any], target: Any, output: Any) -> None:
    """Refuse the targets of one output that its loss would stretch over the predictions, and labels that are none."""
    function = getattr(loss, "fn", None)
    known = getattr(function, "__module__", "").startswith("keras.")
    kind = getattr(function, "__name__", "") if known else ""
    wanted, given = tuple(output.shape[1:]), tuple(target.shape[1:])
    if kind in _SPARSE:
        axis = loss._fn_kwargs.get("axis", -1)
        labels = tuple(np.delete(output.shape, axis))[1:]
        column = (*labels, 1) if kind == _SPARSE[0] else labels  # the other one stretches a column
        if given not in (labels, column):
            raise ValueError(f"{name} must be labels of shape {_shape(labels)}, not {array.shape}.")
        _check_labels(name, array, output.shape[axis], loss._fn_kwargs.get("ignore_class"))
    elif _squeezed(given, wanted) == _squeezed(wanted, given) and (function is not None or given == wanted):
        return  # a loss of your own gets the shapes as they are, Keras' wrapper of a function evens them out
    elif known and kind not in _FREE:
        hint = f" Whole-number labels go with 'sparse_{kind}'." if kind == "categorical_crossentropy" else ""
        raise ValueError(
            f"{name} must have the shape of the predictions, {_shape(wanted)}, not {array.shape}: "
            f"the loss {kind!r} would compare each prediction with the targets of others.{hint}"
        )
    elif not known and _stretches(loss, array, output):
        raise ValueError(
            f"{name} must have the shape of the predictions, {_shape(wanted)}, not {array.shape}: "
            f"{loss.name!r} compares each prediction with the targets of others alike. Repeat them if that is meant."
        )


def _stretches(loss: Any, targets: NDArray[Any], output: Any) -> bool:
    """Say whether a loss of your own, given two shapes, stretches one over the other: then it cannot tell places apart.

    Moving all predictions (or all targets) on by one place along an axis changes a loss that compares like with like.
    It leaves one as it is that compares each with all.
    """
    rng = np.random.default_rng(0)
    size = next(n for n in (5, 7, 11, 13) if n not in (*output.shape[1:], *targets.shape[1:]))
    t = targets[np.arange(size) % len(targets)]
    scale = (float(np.abs(t).max()) or 1.0) if t.dtype.kind == "f" else 1.0  # beside it a prediction must count
    p = scale * rng.uniform(0.1, 0.9, (size, *output.shape[1:]))
    if t.dtype.kind == "f":  # targets that are all alike would tell nothing
        t = t + 0.01 * scale * rng.uniform(size=t.shape).astype(t.dtype)

    def value(one: NDArray[Any], other: NDArray[Any]) -> float:
        with tf.init_scope():  # out of the trace
            return float(tf.reduce_mean(loss(tf.constant(one), tf.constant(other, loss.dtype))))

    def same(one: float, other: float) -> bool:
        return abs(one - other) <= 1e-5 * abs(one)

    def moved(array: NDArray[Any]) -> list[NDArray[Any]]:
        rolled = [np.roll(array, 1, axis) for axis in range(array.ndim) if array.shape[axis] > 1]
        return [other for other in rolled if not np.array_equal(other, array)]

    base = value(t, p)
    if not np.isfinite(base) or same(base, value(np.zeros_like(t), p)):
        return False  # it does not look at the targets, or cannot be asked
    return any(same(base, value(t, other)) for other in moved(p)) or any(
        same(base, value(other, p)) for other in moved(t)
    )


def _squeezed(shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its last axis where that is the 1 that it has more than the other: Keras drops it."""
    return shape[:-1] if len(shape) == len(other) + 1 and shape[-1] == 1 else shape


def _shape(row: tuple[int, ...]) -> str:
    """Return the shape of N such rows, as a message writes it."""
    return f"(N, {', '.join(map(str, row))})" if row else "(N,)"


def _check_labels(name: str, labels: NDArray[Any], outputs: int, ignored: int | None) -> None:
    """Refuse labels that are no whole number from 0 to the number of outputs less 1."""
    good = (labels >= 0) & (labels < outputs) & (labels == np.floor(labels))
    if ignored is not None:
        good |= labels == ignored
    if not np.all(good):
        row = tuple(np.argwhere(~good)[0])
        raise ValueError(
            f"{name} must be whole numbers from 0 to {outputs - 1}, as the model has {outputs} outputs, "
            f"but {name}[{', '.join(map(str, row))}] is {labels[row]}."
        )
