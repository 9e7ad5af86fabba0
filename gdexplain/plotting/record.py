"""The loss of a run, update by update."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from gdexplain._checks import flag, instance, one_of
from gdexplain.plotting.labels import label_lines
from gdexplain.plotting.style import PAPER, Array, check_runs, draw_curve, look_of, near
from gdexplain.record import Trajectory

_MOST_DECADES = 1e200  # a logarithmic axis that goes beyond this, or below its inverse, gets ticks of our own
_X_LABELS = {"updates": "update", "epochs": "epoch", "examples": "examples seen"}


def draw_loss(
    ax: Axes,
    *trajectories: Trajectory,
    x: str = "updates",
    scale: str = "log",
    epoch_mean: bool = True,
    by: str = "variant",
) -> list[Line2D]:
    """Draw each run's loss, as it was before every update.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    *trajectories : Trajectory
        One run or more. Of runs that share a meaning, each gets a colour and a marker of its own.
    x : {"updates", "epochs", "examples"}
        What the horizontal axis counts. "examples" counts a short last batch of an epoch as a whole one.
    scale : {"log", "linear"}
        The vertical axis.
    epoch_mean : bool
        Draw the losses of small batches, which jump, faintly, and over them the mean of each epoch: Keras' ``loss``
        of an epoch. Runs of one update an epoch, or of fewer than three epochs, are drawn as they are.
    by : {"variant", "rule"}
        What the colour says, as in `look_of`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The labelled curve of each run, in order; then the faint ones, then the end marks, if any.

    Raises
    ------
    TypeError, ValueError
        If there is no run; if an option has another value; if a batch size is needed and unknown; or if a loss is
        negative on a log axis.

    Notes
    -----
    A log axis has no 0. Where a loss is exactly 0 the curve has a gap; the first such update is marked by a triangle
    at the foot of the axes, and the label says it in words. A run that diverged ends in a cross. A run without an
    update has no curve: the label alone tells of it.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import draw_loss
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0, 0.0], [1.5, 0.5], [1.8, 0.6]], [30.0, 1.5], [[-30.0, -10.0], [-6.0, -2.0]],
    ...                  updates_per_epoch=1, diverged=False, label="SGD(0.05)")
    >>> draw_loss(Figure().subplots(), run)[0].get_ydata().tolist()
    [30.0, 1.5]
    """
    instance("ax", ax, Axes), one_of("x", x, tuple(_X_LABELS)), one_of("scale", scale, ("log", "linear"))
    epoch_mean, looks = flag("epoch_mean", epoch_mean), [look_of(run, by=by) for run in check_runs(trajectories)]
    points = [_loss_points(trajectory, x, scale) for trajectory in trajectories]
    curves: list[Line2D] = []
    faint: list[Line2D] = []
    marks: list[Line2D] = []
    for trajectory, found, (place, height, words) in zip(trajectories, looks, points, strict=True):
        look = found._replace(label=found.label + words)
        if epoch_mean and 1 < trajectory.updates_per_epoch <= len(trajectory) / 3:
            means = [_epoch_means(values, trajectory.updates_per_epoch) for values in (place, height)]
            curves.append(draw_curve(ax, look, *means))
            faint += ax.plot(place, height, color=curves[-1].get_color(), alpha=0.3, lw=0.9, zorder=1.8)
        else:
            curves.append(draw_curve(ax, look, place, height))
        marks += _end_marks(ax, trajectory, place, height, curves[-1])
    _scale_losses(ax, scale)
    ax.set(xlabel=_X_LABELS[x], ylabel="loss")
    label_lines(ax)
    return curves + faint + marks


def _positions(trajectory: Trajectory, x: str) -> Array:
    """Return where on the horizontal axis each loss stands."""
    if x == "epochs":
        return trajectory.epochs
    if x == "examples" and trajectory.batch_size is None:
        raise ValueError(f"x must not be 'examples': the record of {trajectory.label} has no batch size.")
    each = (trajectory.batch_size or 1) if x == "examples" else 1
    return np.arange(len(trajectory), dtype=np.float64) * each


def _loss_points(trajectory: Trajectory, x: str, scale: str) -> tuple[Array, Array, str]:
    """Return the positions, the losses (a gap for 0 on a log axis), and what the label adds."""
    place, loss = _positions(trajectory, x), trajectory.loss.astype(np.float64)
    words = f", diverged at update {len(loss) + 1:,}" if trajectory.diverged else "" if len(loss) else ", no update"
    if scale == "linear" or len(loss) == 0:
        return place, near(loss), words
    if loss.min() < 0:
        raise ValueError(f"scale must be 'linear': {trajectory.label} has a negative loss, {loss.min():g}.")
    if loss.min() == 0:
        words = f", 0 at update {np.argmin(loss):,}{words}"
    return place, np.where(loss > 0, loss, np.nan), words


def _scale_losses(ax: Axes, scale: str) -> None:
    """Set the scale of the losses; where they span more decades than matplotlib can, with limits and ticks of our own."""
    low, high = float(ax.dataLim.minposy), float(ax.dataLim.y1)
    if scale == "linear" or low > high or (low > 1 / _MOST_DECADES and high < _MOST_DECADES):
        ax.set(yscale=scale)
        return
    low, high = max(low / 10, np.finfo(float).tiny), min(high * 10, np.finfo(float).max)
    ax.set_autoscaley_on(False)  # its margins overflow
    ax.set(yscale=scale, ylim=(low, high))
    tens = np.arange(np.ceil(np.log10(low)), np.log10(high))
    ax.yaxis.set_major_locator(FixedLocator(list(10.0 ** tens[:: max(1, len(tens) // 5)])))
    ax.yaxis.set_minor_locator(NullLocator())


def _epoch_means(values: Array, updates_per_epoch: int) -> Array:
    """Return the mean over each epoch; the last may be cut short by divergence."""
    first = np.arange(0, len(values), updates_per_epoch)
    counts = np.diff([*first, len(values)])
    return np.asarray(np.add.reduceat(values / np.repeat(counts, counts), first))  # a sum of large losses overflows


def _end_marks(ax: Axes, trajectory: Trajectory, place: Array, height: Array, curve: Line2D) -> list[Line2D]:
    """Mark the first loss of exactly 0 at the foot of the axes, and the end of a run that diverged."""
    style: dict[str, Any] = {"color": curve.get_color(), "ms": 13, "ls": "none", "mec": PAPER, "label": "_end"}
    style |= {"clip_on": False, "zorder": 5}
    marks: list[Line2D] = []
    if np.isnan(height).any():
        first = place[np.isnan(height)][:1]
        marks += ax.plot(first, [0.0], "v", transform=ax.get_xaxis_transform(), **style)
    if trajectory.diverged:
        marks += ax.plot(place[-1:], height[-1:], "X", **style)
    return marks
