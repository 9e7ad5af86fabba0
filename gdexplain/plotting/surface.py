"""A plane: of parameters, with the loss and the paths on it; or of gradients, with the clouds of all batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, flag, instance, positive_int
from gdexplain.landscape import Plane, Slice, coordinates
from gdexplain.plotting.labels import in_words, label_lines, name_point
from gdexplain.plotting.style import (
    COLORS,
    FARTHEST,
    INK,
    PAPER,
    Array,
    check_runs,
    draw_curve,
    look_of,
    near,
)
from gdexplain.record import Trajectory


def draw_loss_surface(ax: Axes, surface: Slice, *, levels: int = 9, numbers: bool = True) -> QuadContourSet:
    """Draw a slice of the loss as contour lines over a relief that is clear at the bottom and grey at the top.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    surface : Slice
        The loss over a plane.
    levels : int
        About how many contour lines; they stand at 1, 3, 10, 30, ..., or at powers of ten where that is too many.
    numbers : bool
        Whether the lines carry their loss.

    Returns
    -------
    matplotlib.contour.QuadContourSet
        The contour lines.

    Raises
    ------
    TypeError, ValueError
        If `surface` is not a Slice, `levels` is not at least 2, or the loss is the same, or not positive, everywhere.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.data import make_line
    >>> from gdexplain.landscape import loss_grid
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> from gdexplain.plotting import draw_loss_surface
    >>> surface = loss_grid(LeastSquares(make_line()), a_range=(-1, 4), b_range=(-2, 3))
    >>> draw_loss_surface(Figure().subplots(), surface, levels=4).levels.tolist()
    [0.1, 1.0, 10.0, 100.0]
    """
    instance("ax", ax, Axes), instance("surface", surface, Slice), flag("numbers", numbers)
    loss = np.ma.masked_greater(np.ma.masked_invalid(surface.loss), FARTHEST)
    heights = _levels(loss.compressed(), positive_int("levels", levels, at_least=2, at_most=100))
    fills = [to_rgba(INK, alpha) for alpha in np.linspace(0.03, 0.24, len(heights))]
    ax.contourf(surface.a, surface.b, loss, levels=[*heights, np.inf], colors=fills)
    lines = ax.contour(surface.a, surface.b, loss, levels=heights, colors=COLORS["theory"], linewidths=0.7)
    if numbers:
        ax.clabel(lines, heights[-3:], fmt="%g", colors=INK, fontsize=12.5, zorder=1.9)  # below any path
    ax.set(**dict(zip(("xlabel", "ylabel"), map(in_words, surface.plane.labels), strict=True)))
    ax.set(xlim=(surface.a[0], surface.a[-1]), ylim=(surface.b[0], surface.b[-1]))
    ax.grid(visible=False)
    return lines


def draw_path(ax: Axes, trajectory: Trajectory, plane: Plane | None = None, *, by: str = "variant") -> list[Line2D]:
    """Draw the path of the parameters, with its start and its end.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where; often over `draw_loss_surface`. Limits set there stay.
    trajectory : Trajectory
        A run whose parameters were recorded.
    plane : Plane, optional
        The plane to project on; not needed for two parameters.
    by : {"variant", "rule"}
        What the colour says, as in `look_of`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The path, its start (a ring) and its end (filled).

    Raises
    ------
    TypeError, ValueError
        If the parameters were not recorded, or there are not two of them and no plane is given.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import draw_path
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]], [30.0, 1.5], [[-30.0, -10.0], [-6.0, -2.0]],
    ...                  updates_per_epoch=1, diverged=False, label="SGD(0.05)")
    >>> path, start, end = draw_path(Figure().subplots(), run)
    >>> path.get_label(), end.get_xydata().tolist()
    ('rate 0.05, full batch', [[1.8, 0.6]])
    """
    instance("ax", ax, Axes)
    points, look = points_of(trajectory, plane), look_of(trajectory, by=by)
    look = look._replace(label=f"{look.label}, diverged" if trajectory.diverged else look.label)
    path = draw_curve(ax, look, *points.T, width=1.7 if len(points) <= 200 else 1.2)
    # A short path shows its every update; in a long one the markers would hide it. Smooth paths lie on jagged ones.
    path.set(markersize=4.5, markevery=1 if len(points) <= 40 else len(points))
    path.set_zorder(2 + 0.5 / trajectory.updates_per_epoch)
    style: dict[str, Any] = {"ms": 10, "color": path.get_color(), "marker": path.get_marker(), "mec": PAPER}
    (start,) = ax.plot(*points[:1].T, "o", ms=12, mfc="none", mec=INK, mew=2.2, label="_start", zorder=3)
    (end,) = ax.plot(*points[-1:].T, label="_end", zorder=3, **style)
    (x, y), to = points[0], points[-1, 0]
    name_point(ax, "start", x, y, ahead=to - x)
    label_lines(ax)
    return [path, start, end]


def draw_minimum(ax: Axes, point: ArrayLike, plane: Plane | None = None) -> Line2D:
    """Mark the minimum of the loss by a cross.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    point : array_like, shape (P,)
        The parameters at the minimum.
    plane : Plane, optional
        The plane to project on; not needed for two parameters.

    Returns
    -------
    matplotlib.lines.Line2D
        The cross.

    Raises
    ------
    TypeError, ValueError
        If `point` is not a finite vector, or has not two numbers and no plane is given.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import draw_minimum
    >>> draw_minimum(Figure().subplots(), [2.0, 0.0]).get_xydata().tolist()
    [[2.0, 0.0]]
    """
    instance("ax", ax, Axes)
    rows = finite_array("point", point, ndim=1)[np.newaxis]
    place = _on_plane("point", rows, plane)
    (cross,) = ax.plot(*place.T, "X", color=INK, ms=12, mec=PAPER, ls="none", label="_minimum", zorder=4)
    name_point(ax, "minimum", *place[0])
    return cross


def _levels(loss: Array, about: int) -> Array:
    """Return round contour levels, evenly spaced in the logarithm, between the lowest loss and the highest."""
    positive = loss[loss > 0]
    high = float(positive.max(initial=0))
    low = max(float(positive.min(initial=high)), 1e-4 * high)
    even = np.geomspace(low, high, about + 2)[1:-1] if low > 0 else np.empty(0)
    if not (len(even) and low < even[0] and even[-1] < high and np.all(even[1:] > even[:-1])):
        raise ValueError("surface must hold positive losses that are not all the same: a log scale needs them.")
    for factors in ([1, 3], [1]):
        tens = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        round_ones = np.outer(tens, factors).ravel()
        inside = round_ones[(round_ones > low) & (round_ones < high)]
        if 3 <= len(inside) <= 1.5 * about:
            return inside
    return np.asarray(even, dtype=np.float64)


def points_of(trajectory: Trajectory, plane: Plane | None) -> Array:
    """Return a run's path on the plane, (rows, 2)."""
    check_runs([trajectory])
    if len(trajectory.parameters) == 0:
        raise ValueError(f"trajectory must have its parameters recorded, and {trajectory.label} has none.")
    return _on_plane("trajectory", trajectory.parameters, plane)


def _on_plane(name: str, rows: NDArray[Any], plane: Plane | None) -> Array:
    """Return the rows' coordinates on the plane, (rows, 2)."""
    if plane is not None:
        return near(coordinates(name, rows, instance("plane", plane, Plane)))
    if rows.shape[1] != 2:
        raise ValueError(f"{name} has {rows.shape[1]} parameters, not 2: say on which plane to draw it.")
    return near(rows.astype(np.float64))
