"""How rough a set in the plane is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import items, number_array, positive_int


def box_dimension(mask: ArrayLike, *, sizes: Sequence[int] | None = None) -> float:
    r"""Return the box-counting dimension of a set that is drawn in pixels.

    .. math:: N(k) \propto k^{-D}

    Parameters
    ----------
    mask : array_like of bool, shape (rows, columns)
        True where a pixel belongs to the set; at least one does.
    sizes : sequence of int, optional
        Side lengths k of the boxes, in pixels; at least two different ones. By default the powers of 2 from 1 to an
        eighth of the shorter side.

    Returns
    -------
    float
        The slope -D of log N(k) against log k, by least squares, without its sign; N(k) is the number of boxes of side
        k that the set touches. A smooth curve has 1, a filled square 2; a set between them is a fractal.

    Raises
    ------
    TypeError, ValueError
        If `mask` is not a two-dimensional array of bool with a True in it, or there are fewer than two sizes.

    Notes
    -----
    The boxes stand on one grid, from the first row and column; those at the far sides may be cut. On a finite picture
    the dimension is an estimate: of a set so dense that every large box is touched it is nearer to 2 than it should be.

    References
    ----------
    .. [1] K. Falconer, "Fractal Geometry", 3rd ed., Wiley, 2014, chapter 2, doi:10.1002/0470013850.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain.theory import box_dimension
    >>> round(box_dimension(np.eye(64, dtype=bool)), 6)  # a line
    1.0
    >>> row, column = np.indices((64, 64))
    >>> round(box_dimension(row & column == 0), 4)  # Sierpinski's triangle: log 3 / log 2
    1.585
    """
    pixels = _as_mask(mask)
    if sizes is None:
        sizes = [2**k for k in range(max(0, int(np.log2(min(pixels.shape))) - 2))]
    sides = sorted(
        {
            positive_int("sizes", size, at_most=max(pixels.shape))
            for size in items("sizes", sizes, "side lengths in pixels")
        }
    )
    if len(sides) < 2:
        raise ValueError(f"sizes must have at least two different numbers, not {list(sizes)} (mask is {pixels.shape}).")
    counts = [_touched(pixels, side) for side in sides]
    return float(-np.polyfit(np.log(sides), np.log(counts), 1)[0])


def _as_mask(mask: ArrayLike) -> NDArray[np.bool_]:
    """Return the mask as a two-dimensional array of bool with a True in it."""
    pixels = number_array("mask", mask, booleans=True)
    if pixels.dtype != np.bool_:
        raise TypeError(f"mask must be an array of bool, not of {pixels.dtype}.")
    if pixels.ndim != 2 or not pixels.any():
        raise ValueError(f"mask must have 2 axes and a True in it, not shape {pixels.shape} with {pixels.sum()} True.")
    return pixels


def _touched(pixels: NDArray[np.bool_], side: int) -> int:
    """Count the boxes of this side that hold a pixel of the set."""
    rows, columns = np.nonzero(pixels)
    return len(np.unique(rows // side * pixels.shape[1] + columns // side))
