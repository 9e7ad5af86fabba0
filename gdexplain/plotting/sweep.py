"""Many runs as a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, instance, items, one_of, refused
from gdexplain.plotting.style import FARTHEST, Array
from gdexplain.record import Sweep


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
    grey = ListedColormap(["#8c8c8c"])  # between a white page and a dark one
    gone = np.ma.masked_array(lost.astype(np.float64), ~lost)[place]
    cells = ax.pcolormesh(columns, rows, gone, cmap=grey, shading="nearest", rasterized=True)
    ax.grid(visible=False)
    return [colours, cells]


def draw_scale(cells: QuadMesh, label: str, ax: Axes | Sequence[Axes]) -> Colorbar:
    """Draw the scale of a map's colours, with ticks that can be read: 1, 2, 5, 10, or powers of ten where they are many.

    Parameters
    ----------
    cells : matplotlib.collections.QuadMesh
        The map's cells in colour, as `draw_map` returns them.
    label : str
        What the colours say.
    ax : Axes or sequence of Axes
        Whose scale it is: the map's axes, or those of all maps that share it.

    Returns
    -------
    matplotlib.colorbar.Colorbar
        The scale.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import draw_map, draw_scale
    >>> from gdexplain.record import Sweep
    >>> runs = Sweep(loss=[1.0, 70.0], diverged=[False] * 2, parameters=[[0.0]] * 2, updates=[5, 5], steps=5, label="SGD")
    >>> ax = Figure().subplots()
    >>> scale = draw_scale(draw_map(ax, runs, [0.1, 0.2], [0, 0])[0], "loss", ax)
    >>> [float(tick) for tick in scale.ax.get_yticks() if 1 <= tick <= 70]
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    """
    scale: Colorbar = np.ravel([ax])[0].figure.colorbar(cells, ax=ax, label=label)
    if isinstance(cells.norm, LogNorm):
        low, high = cells.get_clim()
        few = high / low < 2e3 and low >= 1
        scale.locator = LogLocator(subs=(1, 2, 5) if few else (1,))
        scale.formatter = StrMethodFormatter("{x:,.0f}") if few else LogFormatterMathtext()
        scale.minorlocator = NullLocator()
        scale.update_ticks()
    return scale


def _grid(x: ArrayLike, y: ArrayLike, runs: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the columns and rows of a grid, and which run stands at each place."""
    places = [finite_array(name, values, ndim=1) for name, values in (("x", x), ("y", y))]
    if any(np.any(np.abs(values) > FARTHEST) for values in places):
        raise ValueError(f"x and y must lie within {FARTHEST:g}, as matplotlib's axes do.")
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
        low, high = low - 0.5 * abs(low), high + 0.5 * min(abs(high), FARTHEST)
    return Normalize(low, high) if linear else LogNorm(low, high)
