"""The gradients of all batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import ArrayLike

from gdexplain._checks import finite_array, instance, items, positive_int, text
from gdexplain.landscape import batch_gradients
from gdexplain.plotting.labels import in_words, label_lines
from gdexplain.plotting.style import COLORS, MARKERS, Array, Look, draw_curve, near


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
    The ellipse is the covariance of the cloud at one standard deviation. The label gives its variance, the trace of
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
    rows = near(finite_array("gradients", gradients, ndim=2))
    if rows.shape[1] != 2 or len(rows) == 0:
        raise ValueError(f"gradients must have 2 columns and at least one row, not shape {rows.shape}.")
    given = items("batch_sizes", batch_sizes, "numbers of examples", at_least=1)
    sizes = [positive_int(f"batch_sizes[{place}]", size, at_most=len(rows)) for place, size in enumerate(given)]
    names = [text("labels", label) for label in items("labels", labels, "two names", at_least=2, at_most=2)]
    clouds = [(batch_gradients(rows, size), size) for size in sizes]
    artists = [artist for batches, size in clouds for artist in _cloud(ax, batches, size, len(rows))]
    middle: dict[str, Any] = {"color": COLORS["batch"], "ms": 11, "ls": "none", "label": "full batch", "zorder": 5}
    artists += ax.plot(*rows.mean(axis=0)[:, np.newaxis], "o", **middle)
    ax.set(xlabel=in_words(names[0]), ylabel=in_words(names[1]))
    label_lines(ax)
    return artists


def _cloud(ax: Axes, batches: Array, size: int, n: int) -> list[Artist]:
    """Draw every batch's gradient, and the ellipse of their covariance at one standard deviation."""
    kind = "batch" if size == n else "stochastic" if size == 1 else "minibatch"
    scale = float(np.abs(batches).max()) or 1.0  # the square of a large gradient leaves the range of float64
    covariance = np.cov(batches.T / scale, bias=True)
    variance = float(np.trace(covariance)) * scale * scale
    look = Look(COLORS[kind], MARKERS[kind], f"batch {size}, variance {_short(variance)}")
    points, few = draw_curve(ax, look, *batches.T), len(batches) <= 30
    points.set(linestyle="none", markevery=1, markersize=7 if few else 4, alpha=0.85 if few else 0.35)
    spread, axes = np.linalg.eigh(covariance)
    low, high = 2 * scale * np.sqrt(np.maximum(spread, 0))
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
    centre = tuple(batches.mean(axis=0))
    ring = Ellipse(centre, high, low, angle=angle, fill=False, ec=points.get_color(), lw=1.8, zorder=2.5)
    return [points, ax.add_patch(ring)]


def _short(number: float) -> str:
    """Return the number with four digits, or whole with commas where it has more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"
