"""One short loop for every rule and every objective: gradient descent by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, function, instance, items, positive_int, refused, room, row_numbers, text
from gdexplain.by_hand.objectives import Objective
from gdexplain.by_hand.rules import UpdateRule
from gdexplain.record import Trajectory

Rows = NDArray[Any] | None


def descend(
    objective: Objective,
    rule: UpdateRule,
    theta0: ArrayLike,
    *,
    steps: int | None = None,
    batches: Sequence[ArrayLike] | None = None,
) -> Trajectory:
    r"""Go downhill: evaluate, let the rule make a step, add it, and write everything down.

    .. math:: (L_k, g_k) = L(\theta_k;\, \text{batch}_k), \qquad (s_k, m_{k+1}) = \text{update}(g_k, m_k, \theta_k),
              \qquad \theta_{k+1} = \theta_k + s_k

    Parameters
    ----------
    objective : Objective
        What to minimise: anything with ``size`` and ``value_and_grad(theta, rows)``.
    rule : UpdateRule
        How a gradient becomes a step.
    theta0 : array_like, shape (P,)
        The start.
    steps : int, optional
        How many updates to make; as many as there are batches if left out.
    batches : sequence of array_like of int, optional
        The rows of each update's batch, such as `batch_order` returns. They are used in order, once each, so there
        must be at least `steps` of them. Every update sees all rows if left out.

    Returns
    -------
    Trajectory
        The record. ``updates_per_epoch`` is the number of batches that it takes to use as many rows as the objective
        has; 1 without batches.

    Raises
    ------
    TypeError, ValueError
        If neither `steps` nor `batches` is given, there are too few batches, a batch is empty or names a row that
        does not exist, or `theta0` is not a finite vector that fits the objective.

    Notes
    -----
    A run that diverges ends early with ``diverged=True``: its record stops at the last finite row, without a warning.

    Examples
    --------
    >>> from gdexplain.data import batch_order, make_line
    >>> from gdexplain.by_hand.descent import descend
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> from gdexplain.by_hand.rules import gradient_descent
    >>> descend(LeastSquares(make_line()), gradient_descent(0.1), [0.0, 0.0], steps=500)
    Trajectory('gradient_descent(0.1)': 500 updates, 2 parameters, loss 30 -> 4.154e-15)
    >>> batches = batch_order(4, 2, epochs=3, seed=0)
    >>> descend(LeastSquares(make_line()), gradient_descent(0.01), [0.0, 0.0], batches=batches).updates_per_epoch
    2
    """
    _check_rule(rule)
    theta = finite_array("theta0", theta0, ndim=1)
    _check_fit("theta0", objective, theta, None)
    rows = _rows(batches, positive_int("objective.size", objective.size), steps, len(theta))
    if batches is not None:
        _check_fit("batches", objective, theta, rows[0])
    parameters, losses, gradients = _walk(objective, rule, theta, rows)
    sizes = [objective.size if batch is None else len(batch) for batch in rows]
    return Trajectory(
        parameters=parameters,
        loss=losses,
        gradients=gradients,
        updates_per_epoch=_updates_per_epoch(sizes, objective.size),
        diverged=len(losses) < len(rows),
        label=rule.name,
        batch_size=sizes[0],
        layout=getattr(objective, "layout", ()),
    )


def _walk(
    objective: Objective, rule: UpdateRule, theta: NDArray[np.float64], rows: list[Rows]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the parameters, losses and gradients of every update before the first number that is not finite."""
    parameters, losses, gradients = [theta], [], []
    state = rule.init(theta)
    with np.errstate(all="ignore"):  # what overflows here is content
        for batch in rows:
            loss, grad = objective.value_and_grad(theta, batch)
            if not (math.isfinite(loss) and np.isfinite(grad).all()):
                break
            step, state = rule.update(grad, state, theta)
            theta = theta + step
            if not np.isfinite(theta).all():
                break
            parameters.append(theta)
            losses.append(loss)
            gradients.append(grad)
    return np.array(parameters), np.array(losses), np.array(gradients).reshape(-1, len(theta))


def _rows(batches: Sequence[ArrayLike] | None, size: int, steps: int | None, width: int) -> list[Rows]:
    """Return one batch an update, None for all rows; raise unless every batch is a list of rows that exist."""
    if batches is None:
        if steps is None:
            raise ValueError("steps must be given where batches are not.")
        room("steps", 4 * positive_int("steps", steps) * (width + 8))
        return [None] * steps
    given = items("batches", batches, "a list of batches, at least one batch", at_least=1)
    count = len(given) if steps is None else positive_int("steps", steps, at_most=len(given))
    return [row_numbers(f"batches[{k}]", batch, size) for k, batch in enumerate(given[:count])]


def _check_rule(rule: UpdateRule) -> None:
    instance("rule", rule, UpdateRule, "an UpdateRule, such as gradient_descent(0.1)")
    text("rule.name", rule.name), function("rule.init", rule.init), function("rule.update", rule.update)


def _check_fit(name: str, objective: Objective, theta: NDArray[np.float64], rows: Rows) -> None:
    """Raise unless the objective takes `theta` and `rows`, and returns a loss and a gradient."""
    if not hasattr(objective, "value_and_grad") or not hasattr(objective, "size"):
        raise refused(TypeError, "objective", "an Objective, with size and value_and_grad(theta, rows)", objective)
    try:
        with np.errstate(all="ignore"):
            answer = objective.value_and_grad(theta, rows)
    except ValueError as error:
        raise ValueError(f"{name} must be what the objective takes: {error}") from error
    _, grad = items("what objective returns", answer, "a loss and a gradient", at_least=2, at_most=2)
    if np.shape(grad) != theta.shape:
        raise ValueError(f"theta0 must have the shape of the gradient, {np.shape(grad)}, not {theta.shape}.")


def _updates_per_epoch(sizes: list[int], size: int) -> int:
    """Return how many batches it takes to use `size` rows; an estimate from the first batch if there are too few."""
    for updates, used in enumerate(accumulate(sizes), start=1):
        if used >= size:
            return updates
    return math.ceil(size / sizes[0])
