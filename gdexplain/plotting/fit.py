"""The data, and the lines fitted to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gdexplain._checks import instance, number_array, refused
from gdexplain.data import Data, as_dataset, line_columns
from gdexplain.plotting.labels import in_words, label_lines
from gdexplain.plotting.style import COLORS, INK, MARKERS, Array, check_runs, look_of, near
from gdexplain.plotting.surface import points_of
from gdexplain.record import Trajectory


def draw_data(ax: Axes, dataset: Data) -> list[Line2D]:
    """Draw the examples: y over x, or two inputs with a marker for each class.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    dataset : Dataset or (inputs, targets)
        One input and one target an example; or two inputs and class labels.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The points; one set for each class.

    Raises
    ------
    TypeError, ValueError
        If `dataset` is not a Dataset, or of another shape.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.data import make_line
    >>> from gdexplain.plotting import draw_data
    >>> draw_data(Figure().subplots(), make_line())[0].get_xydata().tolist()
    [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]]
    """
    instance("ax", ax, Axes)
    data = as_dataset(dataset)
    if data.inputs.shape[1] == 1:
        x, y = line_columns(data)
        ax.set(xlabel="x", ylabel="y")
        return ax.plot(near(x), near(y), "o", color=INK, ms=8, ls="none", label=in_words(data.name), zorder=3)
    if data.targets.ndim != 1 or data.inputs.shape[1] != 2:
        raise ValueError(f"dataset must have one input and one target, or two inputs and labels, not {data!r}.")
    labels = np.unique(data.targets)
    if len(labels) > len(MARKERS):
        raise ValueError(f"dataset must have at most {len(MARKERS)} classes, not {len(labels)}.")
    ax.set(xlabel="input 1", ylabel="input 2")
    points = []
    for label, (kind, marker) in zip(labels, MARKERS.items(), strict=False):
        x, y = near(data.inputs[data.targets == label]).T
        points += ax.plot(x, y, marker, color=COLORS[kind], ms=6, ls="none", label=f"class {label}")
    label_lines(ax)
    return points


def draw_fits(
    ax: Axes, dataset: Data, trajectory: Trajectory, *, updates: Sequence[int] | None = None, by: str = "variant"
) -> list[Line2D]:
    """Draw the data and the fitted line w x + b through time, from thin to thick.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    dataset : Dataset or (inputs, targets)
        One input and one target an example.
    trajectory : Trajectory
        A run of the neuron w x + b, its parameters recorded.
    updates : sequence of int, optional
        After how many updates; by default five moments, the early ones closer together.
    by : {"variant", "rule"}
        What the colour says, as in `look_of`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The line after each of `updates`, then the data.

    Raises
    ------
    TypeError, ValueError
        If the data or the run is not one of a line, or an update was not recorded.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.data import make_line
    >>> from gdexplain.plotting import draw_fits
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]], [30.0, 1.5], [[-30.0, -10.0], [-6.0, -2.0]],
    ...                  updates_per_epoch=1, diverged=False, label="SGD(0.05)")
    >>> [line.get_label() for line in draw_fits(Figure().subplots(), make_line(), run)]
    ['update 0', 'update 1', 'update 2', 'y = 2x']
    """
    instance("ax", ax, Axes)
    x, _ = line_columns(dataset)
    rows, look = line_rows(trajectory), look_of(trajectory, by=by)
    moments = moments_of(trajectory.updates, 5) if updates is None else _recorded(trajectory, updates)
    ends = ends_of(x)
    lines = []
    for width, update in zip(np.linspace(1, 3.5, len(moments)), moments, strict=True):
        heights = line_at(rows[np.flatnonzero(trajectory.updates == update)[0]], ends)
        lines += ax.plot(ends, heights, color=look.color, lw=width, label=f"update {update:,}")
    points = draw_data(ax, dataset)
    ax.set_title(in_words(look.label))
    label_lines(ax)
    return lines + points


def line_rows(trajectory: Trajectory) -> Array:
    """Return (w, b) in rows, of a run of the neuron w x + b."""
    check_runs([trajectory])
    if trajectory.parameters.shape[1] != 2:
        raise ValueError(f"trajectory must be of a line w x + b, not of {trajectory.parameters.shape[1]} parameters.")
    return points_of(trajectory, None)


def line_at(theta: Array, x: Array) -> Array:
    """Return w x + b at theta = (w, b), as far out as a picture can show it."""
    with np.errstate(over="ignore"):
        return near(theta[0] * x + theta[1])


def ends_of(values: Array) -> Array:
    """Return the smallest and the largest value, each moved outwards a little."""
    return np.array([values.min(), values.max()]) + 0.08 * (np.ptp(values) or 1.0) * np.array([-1, 1])


def moments_of(updates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return about `count` of the updates, first and last included, the early ones closer together."""
    steps = np.geomspace(1, len(updates), count) - 1
    return np.asarray(updates[np.unique(steps.round().astype(int))])


def _recorded(trajectory: Trajectory, updates: Sequence[int]) -> NDArray[np.int64]:
    """Return the updates asked for, if each is in the record."""
    chosen = number_array("updates", updates)
    if chosen.ndim != 1 or len(chosen) == 0 or len(np.setdiff1d(chosen, trajectory.updates)):
        raise refused(ValueError, "updates", f"some of those recorded, 0 to {trajectory.updates[-1]}", updates)
    return chosen
