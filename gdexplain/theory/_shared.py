"""What the parts of the theory share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import flag, positive_int, symmetric
from gdexplain.data import Data, as_dataset

Array = NDArray[np.float64]


def design_of(dataset: Data) -> tuple[Array, Array]:
    """Return the inputs with a column of ones for the bias, and the targets as a vector."""
    data = as_dataset(dataset)
    return np.column_stack([data.inputs, np.ones(len(data))]), data.target_column


def spectrum(hessian: ArrayLike, *, definite: bool = False, name: str = "hessian") -> tuple[Array, Array]:
    """Return the eigenvalues, smallest first, and the eigenvectors of a symmetric positive matrix."""
    matrix = symmetric(name, hessian)
    scale = np.max(np.abs(matrix))
    eigenvalues, vectors = np.linalg.eigh(matrix / 2 + matrix.T / 2)
    rounding = len(matrix) * np.finfo(float).eps * scale
    if eigenvalues[0] < -rounding or eigenvalues[-1] <= 0 or (definite and eigenvalues[0] <= rounding):
        kind = "positive definite" if definite else "positive semidefinite and not 0"
        raise ValueError(f"{name} must be {kind}, but its eigenvalues are {eigenvalues.tolist()}.")
    return eigenvalues, vectors


def batch_factor(n: int, batch_size: int, replacement: bool) -> float:
    """Return the variance of a batch's mean in units of the variance of one example."""
    replacement = flag("replacement", replacement)
    batch_size = positive_int("batch_size", batch_size, at_most=None if replacement else n)
    if replacement or n == 1:
        return 1 / batch_size
    return (n - batch_size) / (n - 1) / batch_size


def in_range(moments: Array, name: str = "dataset") -> Array:
    """Return sums of products of the data; raise where the data are so large that these left the range of float64."""
    if not np.all(np.isfinite(moments)):
        raise ValueError(f"{name} must be scaled down: the squares leave the range of float64.")
    return moments
