"""The neuron w x + b: its data, its line through time, and a whole descent, still and moving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gdexplain._checks import instance, items, number_array, one_of, positive_int, refused
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.data import Data, as_dataset, line_columns
from gdexplain.landscape import Slice, line_loss, loss_grid
from gdexplain.plotting.labels import clear_labels, in_words, label_lines
from gdexplain.plotting.style import BY, INK, Array, check_runs, look_of, near
from gdexplain.plotting.surface import draw_loss_surface, draw_minimum, draw_path, points_of
from gdexplain.record import Trajectory


def draw_data(ax: Axes, dataset: Data) -> list[Line2D]:
    """Draw the examples, y over x.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    dataset : Dataset or (inputs, targets)
        One input and one target an example.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The points.

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
    x, y = line_columns(dataset)
    ax.set(xlabel="x", ylabel="y")
    name = in_words(as_dataset(dataset).name)
    return ax.plot(near(x), near(y), "o", color=INK, ms=8, ls="none", label=name, zorder=3)


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
    rows, look = _line_rows(trajectory), look_of(trajectory, by=by)
    moments = _moments(trajectory.updates, 5) if updates is None else _recorded(trajectory, updates)
    ends = _ends(x)
    lines = []
    for width, update in zip(np.linspace(1, 3.5, len(moments)), moments, strict=True):
        heights = _line(rows[np.flatnonzero(trajectory.updates == update)[0]], ends)
        lines += ax.plot(ends, heights, color=look.color, lw=width, label=f"update {update:,}")
    points = draw_data(ax, dataset)
    ax.set_title(in_words(look.label))
    label_lines(ax)
    return lines + points


def draw_descent(
    axes: Sequence[Axes], dataset: Data, *trajectories: Trajectory, surface: Slice | None = None, by: str = "variant"
) -> list[Line2D]:
    """Draw whole runs on two axes: the paths on the loss surface, and the lines that they end with.

    Parameters
    ----------
    axes : two of matplotlib.axes.Axes
        For the paths, and for the data.
    dataset : Dataset or (inputs, targets)
        One input and one target an example.
    *trajectories : Trajectory
        Runs of the neuron w x + b on this data.
    surface : Slice, optional
        The loss surface; by default the mean squared error around the paths and the minimum.
    by : {"variant", "rule"}
        What the colour says, as in `look_of`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        For each run its path, its end and its line.

    Raises
    ------
    TypeError, ValueError
        If there is no run, or the data or a run is not one of a line.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.data import make_line
    >>> from gdexplain.plotting import draw_descent
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]], [30.0, 1.5], [[-30.0, -10.0], [-6.0, -2.0]],
    ...                  updates_per_epoch=1, diverged=False, label="SGD(0.05)")
    >>> path, end, line = draw_descent(Figure(layout="constrained").subplots(1, 2), make_line(), run)
    >>> path.get_xydata().tolist()
    [[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]]
    """
    data = as_dataset(dataset)
    x, y = line_columns(data)
    left, right = (instance("axes", ax, Axes) for ax in items("axes", axes, "two Axes", at_least=2, at_most=2))
    rows = [_line_rows(trajectory) for trajectory in check_runs(trajectories)]
    one_of("by", by, BY)  # before anything is drawn
    minimum, ends = LeastSquares(data).minimum, _ends(x)
    if surface is None:
        around = [_in_view(run.diverged, theta, minimum) for run, theta in zip(trajectories, rows, strict=True)]
        surface = loss_grid(line_loss(data), around=np.concatenate([*around, [minimum]]))
    draw_loss_surface(left, surface)
    draw_minimum(left, minimum)
    draw_data(right, data)[0].set_label("_data")  # the line that fits them is what is told of
    artists = []
    for trajectory, theta in zip(trajectories, rows, strict=True):
        path, _, end = draw_path(left, trajectory, by=by)
        style: dict[str, Any] = {"color": path.get_color(), "label": path.get_label(), "zorder": 2}
        artists += [path, end, *right.plot(ends, _line(theta[-1], ends), **style)]
    # The data and the lines at the start set the limits: a diverging line may leave the picture.
    seen = np.concatenate([near(y), *(_line(theta[0], ends) for theta in rows)])
    right.set_ylim(*(_ends(seen)))
    for ax in (left, right):
        ax.locator_params(nbins=5)
    clear_labels(left)  # the words beside the lines tell of the paths too
    label_lines(right)
    return artists


def animate_descent(
    dataset: Data,
    *trajectories: Trajectory,
    surface: Slice | None = None,
    frames: int = 60,
    interval: int = 130,
    by: str = "variant",
) -> FuncAnimation:
    """Animate runs of the neuron: the paths on the loss surface, and the fitted lines, together.

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        One input and one target an example.
    *trajectories : Trajectory
        Runs of the neuron w x + b on this data. They advance by epochs: at each moment all have seen as much data.
    surface : Slice, optional
        The loss surface; by default the mean squared error around the paths and the minimum.
    frames : int
        How many pictures, from 2 to 120; early updates get more of them.
    interval : int
        How long a picture stands, in milliseconds.
    by : {"variant", "rule"}
        What the colour says, as in `look_of`.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Its last picture is `draw_descent`'s. It plays once and stops there.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.plotting import animate_descent
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]], [30.0, 1.5], [[-30.0, -10.0], [-6.0, -2.0]],
    ...                  updates_per_epoch=1, diverged=False, label="SGD(0.05)")
    >>> film = animate_descent(make_line(), run)
    >>> film.to_jshtml().count("data:image/png")  # three moments: the start, and after each update
    3
    """
    frames, interval = positive_int("frames", frames, at_least=2, at_most=120), positive_int("interval", interval)
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.8), layout="constrained")
    try:
        artists = draw_descent(axes, dataset, *trajectories, surface=surface, by=by)
    except BaseException:  # a refused film leaves no figure open
        plt.close(figure)
        raise
    epochs = [trajectory.updates / trajectory.updates_per_epoch for trajectory in trajectories]
    rows = [_line_rows(trajectory) for trajectory in trajectories]
    ends = [line.get_xdata() for line in artists[2::3]]
    longest = max(epochs, key=lambda passed: float(passed[-1]))
    moments = longest[_moments(np.arange(len(longest)), frames)]

    def show(epoch: float) -> Iterable[Artist]:
        """Cut each run at this epoch."""
        axes[1].set_title(f"epoch {epoch:.4g}")
        for passed, theta, x, drawn in zip(epochs, rows, ends, zip(*[iter(artists)] * 3, strict=True), strict=True):
            path, end, line = drawn
            seen = theta[: np.searchsorted(passed, epoch, side="right")]
            path.set_data(*seen.T)
            end.set_data(*seen[-1:].T)
            line.set_ydata(_line(seen[-1], np.asarray(x)))
        return artists

    whole: dict[str, Any] = {"init_func": lambda: show(moments[-1]), "repeat": False, "blit": False}
    return FuncAnimation(figure, show, moments, interval=interval, **whole)


def _in_view(diverged: bool, theta: Array, minimum: Array) -> Array:
    """Return the points of a path to show: all of it; of one that diverged the start, and its mirror image."""
    return np.stack([theta[0], 2 * minimum - theta[0]]) if diverged else theta


def _line_rows(trajectory: Trajectory) -> Array:
    """Return (w, b) in rows, of a run of the neuron w x + b."""
    check_runs([trajectory])
    if trajectory.parameters.shape[1] != 2:
        raise ValueError(f"trajectory must be of a line w x + b, not of {trajectory.parameters.shape[1]} parameters.")
    return points_of(trajectory, None)


def _line(theta: Array, x: Array) -> Array:
    """Return w x + b at theta = (w, b), as far out as a picture can show it."""
    with np.errstate(over="ignore"):
        return near(theta[0] * x + theta[1])


def _ends(values: Array) -> Array:
    """Return the smallest and the largest value, each moved outwards a little."""
    return np.array([values.min(), values.max()]) + 0.08 * (np.ptp(values) or 1.0) * np.array([-1, 1])


def _moments(updates: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return about `count` of the updates, first and last included, the early ones closer together."""
    steps = np.geomspace(1, len(updates), count) - 1
    return np.asarray(updates[np.unique(steps.round().astype(int))])


def _recorded(trajectory: Trajectory, updates: Sequence[int]) -> NDArray[np.int64]:
    """Return the updates asked for, if each is in the record."""
    chosen = number_array("updates", updates)
    if chosen.ndim != 1 or len(chosen) == 0 or len(np.setdiff1d(chosen, trajectory.updates)):
        raise refused(ValueError, "updates", f"some of those recorded, 0 to {trajectory.updates[-1]}", updates)
    return chosen
