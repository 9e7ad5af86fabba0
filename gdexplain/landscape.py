"""The loss as a landscape: seen on a plane through parameter space, and along a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gdexplain._checks import (
    called,
    finite_array,
    instance,
    items,
    keep,
    number_array,
    positive_int,
    real,
    refused,
    room,
    text,
)
from gdexplain.by_hand.objectives import Array, Objective
from gdexplain.data import Data, line_columns
from gdexplain.record import Trajectory

LossFunction: TypeAlias = Callable[[Array], Any] | Objective


@dataclass(frozen=True, eq=False)
class Plane:
    r"""A plane through parameter space: the place where a landscape is drawn.

    .. math:: \theta(a, b) = \theta_0 + a\, u + b\, v, \qquad u \cdot v = 0, \quad |u| = |v| = 1

    Parameters
    ----------
    origin : array_like, shape (P,)
        The point :math:`\theta_0`, where a and b are 0.
    directions : array_like, shape (2, P)
        The directions u and v: orthogonal, each of length 1.
    labels : tuple of two str
        What the two axes of a plot are called.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree, a value is not finite, or the directions are not orthonormal.

    Notes
    -----
    Because u and v are orthonormal, a and b are lengths in parameter space.

    Examples
    --------
    >>> from gdexplain.landscape import Plane
    >>> plane = Plane([1.0, 0.0, 0.0], [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> plane.point(2.0, 3.0).tolist()
    [1.0, 2.0, 3.0]
    >>> plane.project([[1.0, 2.0, 3.0]]).tolist()
    [[2.0, 3.0]]
    """

    origin: Array
    directions: Array
    labels: tuple[str, str] = ("a", "b")

    def __post_init__(self) -> None:
        """Check that the two directions are orthonormal, and freeze the arrays."""
        origin = finite_array("origin", self.origin, ndim=1)
        directions = finite_array("directions", self.directions, ndim=2)
        if directions.shape != (2, len(origin)):
            raise ValueError(f"directions must have shape (2, {len(origin)}), not {directions.shape}.")
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = directions @ directions.T
        if not np.allclose(lengths, np.eye(2), atol=1e-6):
            raise refused(ValueError, "directions", "orthogonal and of length 1", directions.tolist())
        first, second = items("labels", self.labels, "two names", at_least=2, at_most=2)
        labels = text("labels", first), text("labels", second)
        keep(self, origin=origin, directions=directions, labels=labels)

    @classmethod
    def of_parameters(
        cls,
        theta: ArrayLike = (0.0, 0.0),
        first: int = 0,
        second: int = 1,
        *,
        labels: tuple[str, str] | None = None,
    ) -> Plane:
        """Return the plane of two parameters; a and b are their values, all others stay as in `theta`.

        Parameters
        ----------
        theta : array_like, shape (P,)
            Where the plane lies. The default is the neuron w x + b, whose plane is all there is.
        first, second : int
            Which two parameters: column numbers from 0 to P - 1.
        labels : tuple of two str, optional
            Their names; by default ("w", "b") if P is 2, else ("parameter i", "parameter j").

        Returns
        -------
        Plane
            The plane on which ``a = theta[first]`` and ``b = theta[second]``.

        Raises
        ------
        TypeError, ValueError
            If `theta` is not a finite vector, or the two numbers are the same or out of range.

        Examples
        --------
        >>> from gdexplain.landscape import Plane
        >>> Plane.of_parameters([7.0, 8.0, 9.0], 0, 2).point(1.0, 2.0).tolist()
        [1.0, 8.0, 2.0]
        """
        origin = np.array(finite_array("theta", theta, ndim=1))
        if len(origin) < 2:
            raise ValueError(f"theta must have at least 2 numbers, not {len(origin)}.")
        first, second = (
            positive_int(name, index, at_least=0, at_most=len(origin) - 1)
            for name, index in (("first", first), ("second", second))
        )
        if first == second:
            raise ValueError(f"first and second must be two different parameters, not {first} twice.")
        origin[[first, second]] = 0.0
        default = ("w", "b") if len(origin) == 2 else (f"parameter {first}", f"parameter {second}")
        return cls(origin, np.eye(len(origin))[[first, second]], default if labels is None else labels)

    def point(self, a: ArrayLike, b: ArrayLike) -> Array:
        """Return the parameters at (a, b).

        Parameters
        ----------
        a, b : array_like
            Coordinates on the plane; they broadcast.

        Returns
        -------
        ndarray, shape (..., P)
            ``origin + a * directions[0] + b * directions[1]``.
        """
        try:
            pair = np.broadcast_arrays(finite_array("a", a), finite_array("b", b))
        except ValueError as error:
            raise ValueError(f"a and b must be finite and of shapes that broadcast: {error}") from error
        coordinates = np.stack(pair, axis=-1)
        return self.origin + coordinates @ self.directions

    def project(self, parameters: ArrayLike) -> Array:
        """Return the coordinates (a, b) of the point of the plane that is nearest to each row.

        Parameters
        ----------
        parameters : array_like, shape (rows, P)
            One point of parameter space a row.

        Returns
        -------
        ndarray, shape (rows, 2)
            The columns are a and b.

        Raises
        ------
        TypeError, ValueError
            If `parameters` is not finite or does not have P columns.
        """
        return coordinates("parameters", parameters, self)


def coordinates(name: str, parameters: ArrayLike, plane: Plane) -> Array:
    """Return the coordinates of rows of parameters on the plane, (rows, 2); `name` is what an error calls the rows."""
    rows, size = finite_array(name, parameters, ndim=2), len(plane.origin)
    if rows.shape[1] != size:
        raise ValueError(f"{name} must have {size} columns, as the plane has, not {rows.shape[1]}.")
    with np.errstate(over="ignore", invalid="ignore"):
        away = (rows - plane.origin) @ plane.directions.T
    if not np.all(np.isfinite(away)):
        raise ValueError(
            f"{name} must be near enough to the plane's origin for float64, but it reaches {rows.max():g}."
        )
    return away


@dataclass(frozen=True, eq=False)
class Slice:
    """The loss on a grid over a plane.

    Parameters
    ----------
    plane : Plane
        Where the grid lies.
    a : array_like, shape (A,)
        Coordinates along the first direction, rising.
    b : array_like, shape (B,)
        Coordinates along the second direction, rising.
    loss : array_like, shape (B, A)
        ``loss[j, i]`` is the loss at ``plane.point(a[i], b[j])``. It may overflow to infinity far out.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree, or a coordinate is not finite or does not rise.

    Notes
    -----
    The first index of `loss` is the vertical axis, as matplotlib's ``contour`` has it.
    """

    plane: Plane
    a: Array
    b: Array
    loss: Array

    def __post_init__(self) -> None:
        """Check that the arrays fit together, and freeze them."""
        instance("plane", self.plane, Plane)
        a, b = finite_array("a", self.a, ndim=1), finite_array("b", self.b, ndim=1)
        loss = number_array("loss", self.loss).astype(np.float64)
        for name, array in (("a", a), ("b", b)):
            if len(array) < 2 or np.any(array[1:] <= array[:-1]):
                raise ValueError(f"{name} must hold at least two rising numbers, not {array}.")
        if loss.shape != (len(b), len(a)):
            raise ValueError(f"loss must have shape ({len(b)}, {len(a)}), not {loss.shape}.")
        keep(self, a=a, b=b, loss=loss)


def pca_plane(path: Trajectory | ArrayLike) -> Plane:
    r"""Return the plane in which a path of parameters moves most: its two main directions.

    .. math:: \Theta - \bar\theta = U S V^\top, \qquad u, v = \text{the first two rows of } V^\top

    Parameters
    ----------
    path : Trajectory or array_like, shape (rows, P)
        The parameters, one point of the path a row; P is at least 2.

    Returns
    -------
    Plane
        Its origin is the last point of the path; its labels say which share of the path's variance each direction
        holds.

    Raises
    ------
    TypeError, ValueError
        If the path has fewer than two rows or columns, or never moves.

    Notes
    -----
    The rows are centred on their mean, as in principal component analysis. A direction's sign is arbitrary in theory;
    here its largest entry is positive. Paths of stochastic gradient descent look smoother in this plane than they
    are: what the plane does not hold is not drawn.

    References
    ----------
    .. [1] H. Li, Z. Xu, G. Taylor, C. Studer and T. Goldstein, "Visualizing the loss landscape of neural nets",
       NeurIPS 2018. :arxiv:`1712.09913`
    .. [2] E. Lorch, "Visualizing deep network training trajectories with PCA", ICML Workshop on Visualization for
       Deep Learning, 2016.

    Examples
    --------
    >>> from gdexplain.landscape import pca_plane
    >>> plane = pca_plane([[3.0, 4.0], [0.0, 0.0]])
    >>> plane.directions[0].round(3).tolist()
    [0.6, 0.8]
    >>> plane.labels[0]
    'direction 1 (100 % of the path)'
    """
    rows = _rows("path", path)
    if min(rows.shape) < 2:
        raise ValueError(f"path must have at least 2 rows and 2 columns, not shape {rows.shape}.")
    if np.all(rows == rows[0]):  # asked of the rows: their mean is rounded
        raise ValueError("path must move: all its rows are the same.")
    small = np.ldexp(rows, -np.frexp(np.abs(rows).max())[1])  # a path that diverged has squares beyond float64
    _, spread, directions = np.linalg.svd(small - small.mean(axis=0), full_matrices=False)
    largest = np.abs(directions[:2]).argmax(axis=1)
    signs = np.sign(directions[[0, 1], largest])
    shares = spread[:2] ** 2 / np.sum(spread**2)
    labels = (f"direction 1 ({100 * shares[0]:.3g} % of the path)", f"direction 2 ({100 * shares[1]:.3g} %)")
    return Plane(rows[-1], directions[:2] * signs[:, np.newaxis], labels)


def loss_grid(
    loss_function: LossFunction,
    plane: Plane | None = None,
    *,
    a_range: tuple[float, float] | None = None,
    b_range: tuple[float, float] | None = None,
    around: Trajectory | Sequence[Trajectory] | ArrayLike | None = None,
    resolution: int = 101,
) -> Slice:
    r"""Evaluate a loss on a grid over a plane: :math:`L(\theta_0 + a u + b v)`.

    Parameters
    ----------
    loss_function : Objective or callable
        An objective, such as `LeastSquares` or `KerasObjective`; or a function from rows of parameters (M, P) to their
        losses (M,), such as `line_loss` returns.
    plane : Plane, optional
        The plane; by default that of the neuron w x + b.
    a_range, b_range : (float, float), optional
        From where to where, along each direction.
    around : Trajectory, array_like of shape (rows, P), or list of them, optional
        Gives the ranges that are left out: all of these points, with a margin of 15 %.
    resolution : int
        How many grid points along each direction.

    Returns
    -------
    Slice
        The plane, the grid and the loss.

    Raises
    ------
    TypeError, ValueError
        If a range is missing with no `around`, or does not rise; or if `loss_function` returns another shape.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.landscape import loss_grid
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> surface = loss_grid(LeastSquares(make_line()), a_range=(0, 4), b_range=(-2, 2), resolution=5)
    >>> surface.loss[2].tolist()  # b = 0, w = 0, 1, ..., 4
    [30.0, 7.5, 0.0, 7.5, 30.0]
    """
    plane = Plane.of_parameters() if plane is None else instance("plane", plane, Plane)
    resolution = positive_int("resolution", resolution, at_least=2)
    room("resolution", resolution * (4 * resolution + 4 * len(plane.origin)))
    a_around, b_around = (None, None) if around is None else _ranges(plane, around)
    a = _grid("a_range", a_range, a_around, resolution)
    b = _grid("b_range", b_range, b_around, resolution)
    # One row of the grid at a time: memory stays at A x P, however fine the grid is.
    loss = np.stack([_losses(loss_function, plane.point(a, height)) for height in b])
    return Slice(plane, a, b, loss)


def loss_between(
    loss_function: LossFunction,
    start: ArrayLike,
    end: ArrayLike,
    *,
    span: tuple[float, float] = (0.0, 1.0),
    points: int = 101,
) -> tuple[Array, Array]:
    r"""Evaluate a loss on the straight line between two points of parameter space.

    .. math:: L\bigl((1 - \alpha)\, \theta_\text{start} + \alpha\, \theta_\text{end}\bigr)

    Parameters
    ----------
    loss_function : Objective or callable
        As in `loss_grid`.
    start, end : array_like, shape (P,)
        The points at :math:`\alpha = 0` and 1.
    span : (float, float)
        From which :math:`\alpha` to which; past 0 and 1 the line goes on.
    points : int
        How many values of :math:`\alpha`.

    Returns
    -------
    alpha : ndarray, shape (points,)
        Where on the line; 0 is `start` and 1 is `end`.
    loss : ndarray, shape (points,)
        The loss there.

    Raises
    ------
    TypeError, ValueError
        If `start` and `end` are not finite vectors of one length, or `span` does not rise.

    References
    ----------
    .. [1] I. J. Goodfellow, O. Vinyals and A. M. Saxe, "Qualitatively characterizing neural network optimization
       problems", ICLR 2015. :arxiv:`1412.6544`

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.landscape import loss_between
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> alpha, loss = loss_between(LeastSquares(make_line()), [0, 0], [2, 0], points=3)
    >>> loss.tolist()
    [30.0, 7.5, 0.0]
    """
    start, end = finite_array("start", start, ndim=1), finite_array("end", end, ndim=1)
    if start.shape != end.shape:
        raise ValueError(f"start and end must have one length, not {len(start)} and {len(end)}.")
    room("points", 4 * positive_int("points", points, at_least=2) * (1 + len(start)))
    alpha = _grid("span", span, None, points)
    line = (1 - alpha)[:, np.newaxis] * start + alpha[:, np.newaxis] * end
    return alpha, _losses(loss_function, line)


def line_loss(dataset: Data) -> Callable[[ArrayLike], Array]:
    r"""Return the mean squared error of the neuron w x + b as a function of theta = (w, b).

    .. math:: L(w, b) = \frac1N \sum_{i=1}^N (w x_i + b - y_i)^2

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        One input and one target an example.

    Returns
    -------
    callable
        Takes theta of shape (..., 2) and returns the loss, shape (...).

    Raises
    ------
    TypeError, ValueError
        If `dataset` is not one of one input and one target.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.landscape import line_loss
    >>> line_loss(make_line())([[0.0, 0.0], [2.0, 0.0]]).tolist()
    [30.0, 0.0]
    """
    x, y = line_columns(dataset)

    def loss(theta: ArrayLike) -> Array:
        """Mean squared error at theta = (w, b); far out it may overflow to infinity."""
        points = finite_array("theta", theta)
        if points.shape[-1:] != (2,):
            raise ValueError(f"theta must have shape (..., 2), the pair (w, b), not {points.shape}.")
        w, b = np.moveaxis(points, -1, 0)
        with np.errstate(over="ignore"):
            return np.asarray(np.mean((w[..., np.newaxis] * x + b[..., np.newaxis] - y) ** 2, axis=-1))

    return loss


def _rows(name: str, path: Any) -> Array:
    """Return the points of a path as float64 rows, at least one of them."""
    rows = finite_array(name, path.parameters if isinstance(path, Trajectory) else path, ndim=2)
    if len(rows) == 0:
        raise ValueError(f"{name} must hold at least one row, not shape {rows.shape}.")
    return rows


def _ranges(plane: Plane, around: Any) -> list[tuple[float, float]]:
    """Return the range of a and of b that holds all the points, with a margin."""
    if isinstance(around, (list, tuple)) and any(
        isinstance(path, Trajectory) or getattr(path, "ndim", 0) == 2 for path in around
    ):
        points = np.concatenate([coordinates("around", _rows("around", path), plane) for path in around])
    else:
        points = coordinates("around", _rows("around", around), plane)
    low, high = points.min(axis=0), points.max(axis=0)
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(over="ignore"):  # what is too wide for float64 is told by _grid
        wide = np.maximum(0.15 * (high - low), 1e-11 * size)
        margin = np.where(high > low, wide, np.maximum(1.0, 1e-3 * size))
        return [(float(first), float(last)) for first, last in zip(low - margin, high + margin, strict=True)]


def _grid(name: str, given: Any, default: tuple[float, float] | None, count: int) -> Array:
    """Return `count` numbers that rise over the range given, or over the default."""
    if given is None and default is None:
        raise ValueError(f"{name} must be given as (from, to), or `around` say which points the slice is to hold.")
    low, high = items(name, default if given is None else given, "two numbers (from, to)", at_least=2, at_most=2)
    low, high = real(name, low), real(name, high, above=low)
    with np.errstate(over="ignore", invalid="ignore"):
        grid = np.linspace(low, high, count)
    if not (np.all(np.isfinite(grid)) and np.all(grid[1:] > grid[:-1])):
        raise ValueError(f"{name} must be a range in which float64 has {count} numbers, not ({low:g}, {high:g}).")
    return grid


def _losses(loss_function: LossFunction, rows: Array) -> Array:
    """Return the loss of each row."""
    with np.errstate(over="ignore"):  # far out a loss may overflow: infinity is then the answer
        if hasattr(loss_function, "trainable_variables"):  # a Keras model is callable, on inputs
            raise refused(
                TypeError,
                "loss_function",
                "a function of parameters, such as KerasObjective(model, data)",
                loss_function,
            )
        if callable(loss_function):
            losses = called("loss_function", loss_function, rows)
        elif hasattr(loss_function, "value_and_grad"):
            losses = [loss_function.value_and_grad(row)[0] for row in rows]
        else:
            raise refused(TypeError, "loss_function", "a function or an Objective", loss_function)
    array = number_array("what loss_function returns", losses).astype(np.float64)
    if array.shape != (len(rows),):
        raise ValueError(
            f"loss_function was given rows {rows.shape} and must return ({len(rows)},), not {array.shape}."
        )
    return array
