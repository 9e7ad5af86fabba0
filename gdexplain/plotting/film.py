"""A whole descent, still and moving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from gdexplain._checks import instance, items, one_of, positive_int
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.data import Data, as_dataset, line_columns
from gdexplain.landscape import Slice, evaluate, line_loss
from gdexplain.plotting.fit import draw_data, ends_of, line_at, line_rows, moments_of
from gdexplain.plotting.labels import clear_labels, label_lines
from gdexplain.plotting.style import BY, Array, check_runs, near
from gdexplain.plotting.surface import draw_loss_surface, draw_minimum, draw_path
from gdexplain.record import Trajectory


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
    rows = [line_rows(trajectory) for trajectory in check_runs(trajectories)]
    one_of("by", by, BY)  # before anything is drawn
    minimum, ends = LeastSquares(data).minimum, ends_of(x)
    if surface is None:
        around = [_in_view(run.diverged, theta, minimum) for run, theta in zip(trajectories, rows, strict=True)]
        surface = evaluate(line_loss(data), around=np.concatenate([*around, [minimum]]), vectorized=True)
    draw_loss_surface(left, surface)
    draw_minimum(left, minimum)
    for points in draw_data(right, data):
        points.set_label("_data")  # the line that fits them is what is told of
    artists = []
    for trajectory, theta in zip(trajectories, rows, strict=True):
        path, _, end = draw_path(left, trajectory, by=by)
        style: dict[str, Any] = {"color": path.get_color(), "label": path.get_label(), "zorder": 2}
        artists += [path, end, *right.plot(ends, line_at(theta[-1], ends), **style)]
    # The data and the lines at the start set the limits: a diverging line may leave the picture.
    seen = np.concatenate([near(y), *(line_at(theta[0], ends) for theta in rows)])
    right.set_ylim(*(ends_of(seen)))
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
    interval: int = 80,
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
    rows = [line_rows(trajectory) for trajectory in trajectories]
    ends = [line.get_xdata() for line in artists[2::3]]
    longest = max(epochs, key=lambda passed: float(passed[-1]))
    moments = longest[moments_of(np.arange(len(longest)), frames)]

    def show(epoch: float) -> Iterable[Artist]:
        """Cut each run at this epoch."""
        axes[1].set_title(f"epoch {epoch:.4g}")
        for passed, theta, (path, end, line), x in zip(
            epochs, rows, zip(*[iter(artists)] * 3, strict=True), ends, strict=True
        ):
            seen = theta[: np.searchsorted(passed, epoch, side="right")]
            path.set_data(*seen.T)
            end.set_data(*seen[-1:].T)
            line.set_ydata(line_at(seen[-1], np.asarray(x)))
        return artists

    options: dict[str, Any] = {
        "init_func": lambda: show(moments[-1]),
        "interval": interval,
        "repeat": False,
        "blit": False,
    }
    return FuncAnimation(figure, show, moments, **options)


def _in_view(diverged: bool, theta: Array, minimum: Array) -> Array:
    """Return the points of a path to show: all of it; of one that diverged the start, and its mirror image."""
    return np.stack([theta[0], 2 * minimum - theta[0]]) if diverged else theta
