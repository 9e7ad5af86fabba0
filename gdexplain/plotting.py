"""Pictures of the record. Each ``draw_*`` takes an axes and returns the artists; nothing else imports matplotlib."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap, LogNorm, Normalize, is_color_like, to_hex, to_rgb, to_rgba
from matplotlib.contour import QuadContourSet
from matplotlib.lines import Line2D
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Ellipse
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import (
    finite_array,
    flag,
    instance,
    items,
    number_array,
    one_of,
    positive_int,
    refused,
    text,
)
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.data import Data, as_dataset, line_columns
from gdexplain.landscape import Plane, Slice, batch_gradients, coordinates, line_loss, loss_grid
from gdexplain.record import Sweep, Trajectory

Array: TypeAlias = NDArray[np.float64]
INK = "#767676"
COLORS = MappingProxyType(
    {
        "batch": "#0072B2",
        "minibatch": "#009E73",
        "stochastic": "#D55E00",
        "momentum": "#CC79A7",
        "adam": "#E69F00",
        "theory": INK,
    }
)
_MARKERS = {"batch": "o", "minibatch": "s", "stochastic": "^", "momentum": "D", "adam": "P"}
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
_TINTS = (0.0, 0.35, 0.55, 0.2)  # how much white is mixed into the colour, run by run
_FORMULA = re.compile(r"\$(?=\S)[^$]*(?<=\S)\$(?!\d)")
_FARTHEST = 1e300  # matplotlib's axes overflow where float64 does: what is farther out is drawn here
_MOST_DECADES = 1e200  # a logarithmic axis that goes beyond this, or below its inverse, gets ticks of our own
_BY = ("variant", "rule")
_X_LABELS = {"updates": "update", "epochs": "epoch", "examples": "examples seen"}


class Look(NamedTuple):
    """How a run is drawn, and what the legend calls it.

    Parameters
    ----------
    color : str
        Its meaning is the same on every page: see `COLORS`.
    marker : str
        A second sign beside the colour, for readers who do not see it.
    label : str
        The run's own label, with its batch size.
    """

    color: str
    marker: str
    label: str


def use_style() -> None:
    """Draw everything from here on in gdexplain's style, legible on light and on dark pages.

    Notes
    -----
    Figures are transparent; text and axes are of a grey with a contrast of 4.5 on white and 4.1 on a near-black page;
    colours are Okabe and Ito's. It changes ``matplotlib.rcParams``, as ``matplotlib.style.use`` does.

    Examples
    --------
    >>> import matplotlib
    >>> from gdexplain.plotting import use_style
    >>> with matplotlib.rc_context():
    ...     use_style()
    ...     print(matplotlib.rcParams["figure.facecolor"])
    none
    """
    with resources.as_file(resources.files("gdexplain") / "gdexplain.mplstyle") as path:
        plt.style.use(path)


def look_of(trajectory: Trajectory, *, by: str = "variant") -> Look:
    """Return the colour, marker and legend label of a run, from its record.

    Parameters
    ----------
    trajectory : Trajectory
        The run.
    by : {"variant", "rule"}
        What the colour says: the variant of gradient descent (one update an epoch is batch, one example an update is
        stochastic, else mini-batch); or the rule, if it is of Adam's family or has momentum.

    Returns
    -------
    Look
        The colour, the marker and the label.

    Raises
    ------
    TypeError, ValueError
        If `trajectory` is not one, or `by` has another value.

    Examples
    --------
    >>> from gdexplain.plotting import look_of
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0], [1.0]], [1.0], [[-1.0]], updates_per_epoch=4, diverged=False, label="SGD(0.1)",
    ...                  batch_size=1)
    >>> look_of(run)
    Look(color='#D55E00', marker='^', label='SGD(0.1), batch 1')
    """
    _trajectories([trajectory])
    one_of("by", by, _BY)
    words, size = trajectory.label.lower(), trajectory.batch_size
    kind = "batch" if trajectory.updates_per_epoch == 1 else "stochastic" if size == 1 else "minibatch"
    if by == "rule" and words.partition("(")[0].endswith(("adam", "adamw", "amsgrad")):
        kind = "adam"
    elif by == "rule" and ("momentum" in words or "nesterov" in words):
        kind = "momentum"
    label = trajectory.label
    if "batch" not in words:
        label += ", full batch" if trajectory.updates_per_epoch == 1 else f", batch {size}" if size else ""
    return Look(COLORS[kind], _MARKERS[kind], label)


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
        One run or more. Runs that share a colour get their own dashes and tint.
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
    at the foot of the axes, and the legend says it in words. A run that diverged ends in a cross. A run without an
    update has no curve: the legend alone tells of it.

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
    epoch_mean, looks = flag("epoch_mean", epoch_mean), [look_of(run, by=by) for run in _trajectories(trajectories)]
    points = [_loss_points(trajectory, x, scale) for trajectory in trajectories]
    curves: list[Line2D] = []
    faint: list[Line2D] = []
    marks: list[Line2D] = []
    for trajectory, found, (place, height, words) in zip(trajectories, looks, points, strict=True):
        look = found._replace(label=found.label + words)
        if epoch_mean and 1 < trajectory.updates_per_epoch <= len(trajectory) / 3:
            means = [_epoch_means(values, trajectory.updates_per_epoch) for values in (place, height)]
            curves += _curve(ax, look, *means)
            faint += ax.plot(place, height, color=curves[-1].get_color(), alpha=0.3, lw=0.9, zorder=1.8)
        else:
            curves += _curve(ax, look, place, height)
        marks += _end_marks(ax, trajectory, place, height, curves[-1])
    _scale_losses(ax, scale)
    ax.set(xlabel=_X_LABELS[x], ylabel="loss")
    _legend_above(ax)
    return curves + faint + marks


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
    loss = np.ma.masked_greater(np.ma.masked_invalid(surface.loss), _FARTHEST)
    heights = _levels(loss.compressed(), positive_int("levels", levels, at_least=2, at_most=100))
    fills = [to_rgba(INK, alpha) for alpha in np.linspace(0.04, 0.36, len(heights))]
    ax.contourf(surface.a, surface.b, loss, levels=[*heights, np.inf], colors=fills)
    lines = ax.contour(surface.a, surface.b, loss, levels=heights, colors=INK, linewidths=0.7, alpha=0.7)
    if numbers:
        ax.clabel(lines, heights[-5:], fmt="%g", fontsize="small", inline_spacing=3, zorder=1.9)  # below any path
    ax.set(**dict(zip(("xlabel", "ylabel"), map(_words, surface.plane.labels), strict=True)))
    ax.set(xlim=(surface.a[0], surface.a[-1]), ylim=(surface.b[0], surface.b[-1]))
    ax.grid(visible=False)
    return lines


def draw_map(
    ax: Axes, sweeps: Sweep | Sequence[Sweep], x: ArrayLike, y: ArrayLike, *, value: str = "loss"
) -> list[QuadMesh]:
    """Draw a sweep as a map: each run is a cell, and its colour is what became of it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    sweeps : Sweep or sequence of Sweep
        The runs; several sweeps are taken one after the other.
    x, y : array_like, shape (R,)
        The place of each run. The places make a full grid, in any order.
    value : {"loss", "steps_to_target", "updates"}
        What the colour says, on a logarithmic scale; on an even one if a loss is negative.

    Returns
    -------
    list of matplotlib.collections.QuadMesh
        The cells in colour, and over them those of the runs that diverged, in grey. A run that did not diverge and never
        reached the target has no colour.

    Raises
    ------
    TypeError, ValueError
        If there is no sweep, the places are no grid, or nothing was counted to the target.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import draw_map
    >>> from gdexplain.record import Sweep
    >>> runs = Sweep(loss=[1.0, 2.0], diverged=[False, True], parameters=[[0.0], [0.0]], updates=[5, 3], steps=5,
    ...              label="SGD")
    >>> colours, lost = draw_map(Figure().subplots(), runs, [0.1, 0.2], [0, 0])
    >>> lost.get_array().mask.tolist()
    [[True, False]]
    """
    instance("ax", ax, Axes), one_of("value", value, ("loss", "steps_to_target", "updates"))
    form = "a Sweep or several, of at least one run"
    runs = [sweeps] if isinstance(sweeps, Sweep) else items("sweeps", sweeps, form, at_least=1)
    values = np.concatenate([getattr(instance("sweeps", run, Sweep, form), value) for run in runs])
    lost = np.concatenate([run.diverged for run in runs])
    if len(lost) == 0:
        raise refused(ValueError, "sweeps", form, sweeps)
    if len(values) != len(lost):
        raise ValueError("value must be one that the sweep has: steps_to_target needs a sweep with a target.")
    columns, rows, place = _grid(x, y, len(lost))
    never = values < 0 if value == "steps_to_target" else np.zeros_like(lost)
    shown = np.ma.masked_array(values, never | lost).astype(np.float64)[place]
    norm = _map_norm(np.ma.compressed(shown))
    shown = np.ma.clip(shown, norm.vmin, None)  # a logarithm has no place for an exact 0: the lowest colour
    colours = ax.pcolormesh(columns, rows, shown, norm=norm, cmap="viridis_r", shading="nearest", rasterized=True)
    grey = ListedColormap([to_rgba(INK, 0.45)])
    gone = np.ma.masked_array(lost.astype(np.float64), ~lost)[place]
    cells = ax.pcolormesh(columns, rows, gone, cmap=grey, shading="nearest", rasterized=True)
    ax.grid(visible=False)
    return [colours, cells]


def _grid(x: ArrayLike, y: ArrayLike, runs: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the columns and rows of a grid, and which run stands at each place."""
    places = [finite_array(name, values, ndim=1) for name, values in (("x", x), ("y", y))]
    if any(np.any(np.abs(values) > _FARTHEST) for values in places):
        raise ValueError(f"x and y must lie within {_FARTHEST:g}, as matplotlib's axes do.")
    if {len(values) for values in places} != {runs}:
        raise ValueError(f"x and y must have one number for each of {runs} runs, not {[len(v) for v in places]}.")
    (columns, column), (rows, row) = (np.unique(values, return_inverse=True) for values in places)
    cell = row * len(columns) + column
    if len(columns) * len(rows) != runs or len(np.unique(cell)) != runs:
        raise ValueError(f"x and y must make a full grid, but {len(columns)} x {len(rows)} places have {runs} runs.")
    return columns, rows, np.argsort(cell).reshape(len(rows), len(columns))


def _map_norm(values: Array) -> Normalize:
    """Return the scale of a map's colours: logarithmic where it can be."""
    linear = values.size and values.min() < 0
    values = values if linear else values[values > 0]
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 10.0)
    if low == high:
        low, high = low - 0.5 * abs(low), high + 0.5 * min(abs(high), _FARTHEST)
    return Normalize(low, high) if linear else LogNorm(low, high)


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
    ('SGD(0.05), full batch', [[1.8, 0.6]])
    """
    instance("ax", ax, Axes)
    points, look = _points(trajectory, plane), look_of(trajectory, by=by)
    look = look._replace(label=f"{look.label}: diverged" if trajectory.diverged else look.label)
    (path,) = _curve(ax, look, *points.T, width=1.7 if len(points) <= 200 else 1.2)
    # A short path shows its every update; in a long one the markers would hide it. Smooth paths lie on jagged ones.
    path.set(markersize=4.5, markevery=1 if len(points) <= 40 else len(points))
    path.set_zorder(2 + 0.5 / trajectory.updates_per_epoch)
    known = "start" in [line.get_label() for line in ax.get_lines()]
    (start,) = ax.plot(
        *points[:1].T, "o", ms=12, mfc="none", mec=INK, mew=2.2, label="_start" if known else "start", zorder=3
    )
    (end,) = ax.plot(*points[-1:].T, look.marker, ms=10, color=path.get_color(), mec="white", label="_end", zorder=3)
    _legend_above(ax)
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
    >>> draw_minimum(Figure().subplots(), [2.0, 0.0]).get_label()
    'minimum'
    """
    instance("ax", ax, Axes)
    rows = finite_array("point", point, ndim=1)[np.newaxis]
    place = _on_plane("point", rows, plane)
    (cross,) = ax.plot(*place.T, "X", color=INK, ms=12, mec="white", ls="none", label="minimum", zorder=4)
    _legend_above(ax)
    return cross


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
        return ax.plot(_near(x), _near(y), "o", color=INK, ms=8, ls="none", label=_words(data.name), zorder=3)
    if data.targets.ndim != 1 or data.inputs.shape[1] != 2:
        raise ValueError(f"dataset must have one input and one target, or two inputs and labels, not {data!r}.")
    labels = np.unique(data.targets)
    if len(labels) > len(_MARKERS):
        raise ValueError(f"dataset must have at most {len(_MARKERS)} classes, not {len(labels)}.")
    ax.set(xlabel="input 1", ylabel="input 2")
    points = []
    for label, (kind, marker) in zip(labels, _MARKERS.items(), strict=False):
        x, y = _near(data.inputs[data.targets == label]).T
        points += ax.plot(x, y, marker, color=COLORS[kind], ms=6, ls="none", label=f"class {label}")
    _legend_above(ax)
    return points


def draw_fits(
    ax: Axes, dataset: Data, trajectory: Trajectory, *, updates: Sequence[int] | None = None, by: str = "variant"
) -> list[Line2D]:
    """Draw the data and the fitted line w x + b through time, from faint to strong.

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
    for strength, update in zip(np.linspace(0.5, 1, len(moments)), moments, strict=True):
        lines += ax.plot(
            ends,
            _line(rows[np.flatnonzero(trajectory.updates == update)[0]], ends),
            color=look.color,
            alpha=strength,
            lw=1 + 2 * strength,
            label=f"update {update:,}",
        )
    points = draw_data(ax, dataset)
    _legend_above(ax, title=look.label, columns=3)
    return lines + points


def draw_gradient_noise(
    ax: Axes,
    gradients: ArrayLike,
    *,
    batch_sizes: Sequence[int],
    labels: tuple[str, str] = ("gradient along w", "gradient along b"),
) -> list[Artist]:
    r"""Draw the gradient of every possible batch around the full-batch gradient, for several batch sizes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where.
    gradients : array_like, shape (N, 2)
        One example's gradient a row, all at the same parameters.
    batch_sizes : sequence of int
        How many examples a batch has: one cloud for each.
    labels : tuple of two str
        What the axes are called.

    Returns
    -------
    list of matplotlib.artist.Artist
        For each batch size its cloud and its ellipse; last the full-batch gradient.

    Raises
    ------
    TypeError, ValueError
        If `gradients` has not two finite columns, or a batch size is out of range.

    Notes
    -----
    The ellipse is the covariance of the cloud at one standard deviation. The legend gives its variance, the trace of
    that covariance: :math:`\frac{\operatorname{tr} \Sigma}{B}\,\frac{N - B}{N - 1}` if all batches are drawn. Of more
    than 2,000 batches, 2,000 are drawn at random.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.data import make_line
    >>> from gdexplain.landscape import example_gradients
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> from gdexplain.plotting import draw_gradient_noise
    >>> gradients = example_gradients(LeastSquares(make_line()), [0.0, 0.0])
    >>> cloud, ring, _ = draw_gradient_noise(Figure().subplots(), gradients, batch_sizes=[1])
    >>> cloud.get_label()
    'batch 1, variance 536'
    """
    instance("ax", ax, Axes)
    rows = _near(finite_array("gradients", gradients, ndim=2))
    if rows.shape[1] != 2 or len(rows) == 0:
        raise ValueError(f"gradients must have 2 columns and at least one row, not shape {rows.shape}.")
    given = items("batch_sizes", batch_sizes, "numbers of examples", at_least=1)
    sizes = [positive_int(f"batch_sizes[{place}]", size, at_most=len(rows)) for place, size in enumerate(given)]
    names = [text("labels", label) for label in items("labels", labels, "two names", at_least=2, at_most=2)]
    clouds = [(batch_gradients(rows, size), size) for size in sizes]
    artists = [artist for batches, size in clouds for artist in _cloud(ax, batches, size, len(rows))]
    artists += ax.plot(
        *rows.mean(axis=0)[:, np.newaxis], "o", color=COLORS["batch"], ms=11, ls="none", label="full batch", zorder=5
    )
    ax.set(xlabel=_words(names[0]), ylabel=_words(names[1]))
    _legend_above(ax)
    return artists


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
    rows = [_line_rows(trajectory) for trajectory in _trajectories(trajectories)]
    one_of("by", by, _BY)  # before anything is drawn
    minimum, ends = LeastSquares(data).minimum, _ends(x)
    if surface is None:
        around = [_in_view(run.diverged, theta, minimum) for run, theta in zip(trajectories, rows, strict=True)]
        surface = loss_grid(line_loss(data), around=np.concatenate([*around, [minimum]]))
    draw_loss_surface(left, surface)
    draw_minimum(left, minimum)
    draw_data(right, data)
    artists = []
    for trajectory, theta in zip(trajectories, rows, strict=True):
        path, _, end = draw_path(left, trajectory, by=by)
        artists += [path, end, *right.plot(ends, _line(theta[-1], ends), color=path.get_color(), zorder=2)]
    # The data and the lines at the start set the limits: a diverging line may leave the picture.
    seen = np.concatenate([_near(y), *(_line(theta[0], ends) for theta in rows)])
    right.set_ylim(*(_ends(seen)))
    for ax in (left, right):
        ax.locator_params(nbins=5)
    # One legend for both axes: the left one's, moved above the figure.
    handles, labels = _sorted_legend(left)
    left.legend().remove()
    left.figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return artists


def animate_descent(
    dataset: Data,
    *trajectories: Trajectory,
    surface: Slice | None = None,
    frames: int = 60,
    interval: int = 80,
    background: str = "white",
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
    background : str
        The colour of the page: a film is never transparent.
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
    if not is_color_like(text("background", background)):
        raise refused(ValueError, "background", "a colour", background)
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 4.6), facecolor=background, layout="constrained")
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
        for passed, theta, (path, end, line), x in zip(
            epochs, rows, zip(*[iter(artists)] * 3, strict=True), ends, strict=True
        ):
            seen = theta[: np.searchsorted(passed, epoch, side="right")]
            path.set_data(*seen.T)
            end.set_data(*seen[-1:].T)
            line.set_ydata(_line(seen[-1], np.asarray(x)))
        return artists

    return FuncAnimation(
        figure,
        show,
        moments,
        init_func=lambda: show(moments[-1]),
        interval=interval,
        repeat=False,
        blit=False,
    )


def _trajectories(trajectories: Sequence[Any]) -> Sequence[Trajectory]:
    """Check that there is at least one run, and nothing else."""
    if not trajectories:
        raise ValueError("trajectories must name at least one Trajectory.")
    return [instance("trajectory", trajectory, Trajectory) for trajectory in trajectories]


def _positions(trajectory: Trajectory, x: str) -> Array:
    """Return where on the horizontal axis each loss stands."""
    if x == "epochs":
        return trajectory.epochs
    if x == "examples" and trajectory.batch_size is None:
        raise ValueError(f"x must not be 'examples': the record of {trajectory.label} has no batch size.")
    each = (trajectory.batch_size or 1) if x == "examples" else 1
    return np.arange(len(trajectory), dtype=np.float64) * each


def _loss_points(trajectory: Trajectory, x: str, scale: str) -> tuple[Array, Array, str]:
    """Return the positions, the losses (a gap for 0 on a log axis), and what the legend adds."""
    place, loss = _positions(trajectory, x), trajectory.loss.astype(np.float64)
    words = f": diverged at update {len(loss) + 1:,}" if trajectory.diverged else "" if len(loss) else ": no update"
    if scale == "linear" or len(loss) == 0:
        return place, _near(loss), words
    if loss.min() < 0:
        raise ValueError(f"scale must be 'linear': {trajectory.label} has a negative loss, {loss.min():g}.")
    if loss.min() == 0:
        words = f": 0 at update {np.argmin(loss):,}{words}"
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
    style: dict[str, Any] = {
        "color": curve.get_color(),
        "ms": 13,
        "ls": "none",
        "mec": "white",
        "clip_on": False,
        "zorder": 5,
    }
    marks: list[Line2D] = []
    if np.isnan(height).any():
        first = place[np.isnan(height)][:1]
        marks += ax.plot(first, [0.0], "v", transform=ax.get_xaxis_transform(), **style)
    if trajectory.diverged:
        marks += ax.plot(place[-1:], height[-1:], "X", **style)
    return marks


def _curve(ax: Axes, look: Look, x: Array, y: Array, *, width: float = 2.2) -> list[Line2D]:
    """Draw one run's curve; where its colour is there already, with the next dashes and tint."""
    tints = [to_hex(tuple(np.array(to_rgb(look.color)) * (1 - white) + white)) for white in _TINTS]
    runs = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    turn = sum(line.get_color() in tints for line in runs) % len(_TINTS)
    every = (0, max(1, len(x) // 8))
    return ax.plot(
        x,
        y,
        look.marker,
        ls=_DASHES[turn],
        lw=width,
        color=tints[turn],
        ms=6,
        markevery=every,
        label=_words(look.label),
    )


def _sorted_legend(ax: Axes) -> tuple[list[Artist], list[str]]:
    """Return the legend's entries, runs first, then the points that they share."""
    last = {"start": 1, "minimum": 2}
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: last.get(entry[1], 0))
    return [handle for handle, _ in entries], [label for _, label in entries]


def _legend_above(ax: Axes, *, title: str | None = None, columns: int = 2) -> None:
    """Put the legend above the axes, where it covers no data; in one column if its words are long."""
    handles, labels = _sorted_legend(ax)
    if not labels:  # a data set without a name
        return
    fits = max(map(len, labels)) * columns <= 48
    ax.legend(
        handles,
        labels,
        title=None if title is None else _words(title),
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(-0.03, 1),
        ncols=columns if fits else 1,
    )


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


def _points(trajectory: Trajectory, plane: Plane | None) -> Array:
    """Return a run's path on the plane, (rows, 2)."""
    _trajectories([trajectory])
    if len(trajectory.parameters) == 0:
        raise ValueError(f"trajectory must have its parameters recorded, and {trajectory.label} has none.")
    return _on_plane("trajectory", trajectory.parameters, plane)


def _on_plane(name: str, rows: NDArray[Any], plane: Plane | None) -> Array:
    """Return the rows' coordinates on the plane, (rows, 2)."""
    if plane is not None:
        return _near(coordinates(name, rows, instance("plane", plane, Plane)))
    if rows.shape[1] != 2:
        raise ValueError(f"{name} has {rows.shape[1]} parameters, not 2: say on which plane to draw it.")
    return _near(rows.astype(np.float64))


def _line_rows(trajectory: Trajectory) -> Array:
    """Return (w, b) in rows, of a run of the neuron w x + b."""
    _trajectories([trajectory])
    if trajectory.parameters.shape[1] != 2:
        raise ValueError(f"trajectory must be of a line w x + b, not of {trajectory.parameters.shape[1]} parameters.")
    return _points(trajectory, None)


def _line(theta: Array, x: Array) -> Array:
    """Return w x + b at theta = (w, b), as far out as a picture can show it."""
    with np.errstate(over="ignore"):
        return _near(theta[0] * x + theta[1])


def _near(values: Array) -> Array:
    """Return the values, those beyond what matplotlib's axes can hold at its edge."""
    return np.clip(values, -_FARTHEST, _FARTHEST)


def _is_formula(line: str) -> bool:
    """Say whether every dollar belongs to a formula that matplotlib can set; "from $5 to $6" has none."""
    if "$" in _FORMULA.sub("", line):
        return False
    try:
        MathTextParser("path").parse(line)
    except ValueError:
        return False
    return True


def _words(label: str) -> str:
    """Return a label as matplotlib will write it: formulas only where they are some, and in lines of a fair length."""
    line = "".join(letter if letter.isprintable() else " " for letter in label)
    if not _is_formula(line):  # so the dollars are meant
        line = line.replace("$", r"\$")
    wrapped = textwrap.fill(line, 60, max_lines=2, placeholder=" ...") if len(line) > 60 else line
    return f" {wrapped}" if wrapped.startswith("_") else wrapped  # matplotlib leaves out of a legend what begins so


def _ends(values: Array) -> Array:
    """Return the smallest and the largest value, each moved outwards a little."""
    return np.array([values.min(), values.max()]) + 0.08 * (np.ptp(values) or 1.0) * np.array([-1, 1])


def _in_view(diverged: bool, theta: Array, minimum: Array) -> Array:
    """Return the points of a path to show: all of it; of one that diverged the start, and its mirror image."""
    return np.stack([theta[0], 2 * minimum - theta[0]]) if diverged else theta


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


def _cloud(ax: Axes, batches: Array, size: int, n: int) -> list[Artist]:
    """Draw every batch's gradient, and the ellipse of their covariance at one standard deviation."""
    kind = "batch" if size == n else "stochastic" if size == 1 else "minibatch"
    scale = float(np.abs(batches).max()) or 1.0  # the square of a large gradient leaves the range of float64
    covariance = np.cov(batches.T / scale, bias=True)
    variance = float(np.trace(covariance)) * scale * scale
    look = Look(COLORS[kind], _MARKERS[kind], f"batch {size}, variance {_short(variance)}")
    (points,) = _curve(ax, look, *batches.T)
    few, dashes = len(batches) <= 30, points.get_linestyle()
    points.set(linestyle="none", markevery=1, markersize=7 if few else 4, alpha=0.85 if few else 0.35)
    spread, axes = np.linalg.eigh(covariance)
    low, high = 2 * scale * np.sqrt(np.maximum(spread, 0))
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    centre = tuple(batches.mean(axis=0))
    ring = Ellipse(centre, high, low, angle=angle, fill=False, ec=look.color, ls=dashes, lw=1.8, zorder=2.5)
    return [points, ax.add_patch(ring)]


def _short(number: float) -> str:
    """Return the number with four digits, or whole with commas where it has more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"
