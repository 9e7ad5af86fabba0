"""Stochastic gradient descent on a line, where every batch has a curvature of its own."""

from __future__ import annotations

import math

import numpy as np

from gdexplain._checks import positive_int, real
from gdexplain.data import Data
from gdexplain.theory._shared import batch_factor, design_of, in_range, spectrum
from gdexplain.theory.quadratic import line_hessian


def max_stable_sgd_learning_rate(dataset: Data, batch_size: int = 1, *, replacement: bool = False) -> float:
    r"""Return the rate at which gradient descent on random batches stops settling in mean square.

    .. math:: \frac1{\eta_{\max}} = \lambda_{\max}\left[ (H \oplus H)^{-1} \operatorname E[H_B \otimes H_B] \right],
              \qquad H \oplus H = H \otimes I + I \otimes H

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D), not all on one hyperplane, and one target a row.
    batch_size : int
        How many examples a batch has; batches are drawn independently of each other.
    replacement : bool
        Whether a batch may hold an example twice.

    Returns
    -------
    float
        Below it the mean squared distance to the minimum shrinks in the long run, above it that distance grows. At most
        `max_stable_learning_rate` of the full batch.

    Raises
    ------
    TypeError, ValueError
        If the targets are not one column, `batch_size` is out of range or the Hessian is not positive definite.

    Notes
    -----
    The update maps covariances to covariances, so its spectral radius is an eigenvalue, and the limit is where that
    eigenvalue is 1: an eigenvalue problem, with nothing to search for.

    References
    ----------
    .. [1] C. Ma and L. Ying, "On linear stability of SGD and input-smoothness of neural networks", 2021,
       arXiv:2105.13462.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.theory import max_stable_sgd_learning_rate
    >>> print(f"{max_stable_sgd_learning_rate(make_line()):.6f}")
    0.080148
    """
    eigenvalues, vectors = spectrum(line_hessian(dataset), definite=True, name="the hessian of dataset")
    root = np.sqrt(eigenvalues[:, np.newaxis] + eigenvalues).ravel()
    design = design_of(dataset)[0] @ vectors
    with np.errstate(over="ignore", invalid="ignore"):
        each = 2 * design[:, :, np.newaxis] * design[:, np.newaxis, :]
        mean = each.mean(axis=0)
        of_mean = np.kron(mean, mean)
        square = np.einsum("nij,nkl->ikjl", each, each).reshape(of_mean.shape) / len(design)
        squares = in_range(of_mean + batch_factor(len(design), batch_size, replacement) * (square - of_mean))
    return float(1 / np.linalg.eigvalsh(squares / np.outer(root, root))[-1])


def cyclic_contraction_rate(dataset: Data, learning_rate: float, batch_size: int = 1) -> float:
    r"""Return the factor by which one pass in fixed order shrinks the distance to where the passes settle.

    .. math:: \rho\left( (I - \eta H_{B_n}) \cdots (I - \eta H_{B_2}) (I - \eta H_{B_1}) \right)

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D) and one target a row.
    learning_rate : float
        The rate, above 0.
    batch_size : int
        How many examples a batch has; rows 0, 1, ... in order, and the last batch may be short.

    Returns
    -------
    float
        A spectral radius, per pass. Below 1 the passes converge.

    Raises
    ------
    TypeError, ValueError
        If the targets are not one column, or an argument is out of range.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.theory import cyclic_contraction_rate
    >>> print(f"{cyclic_contraction_rate(make_line(), 0.1):.4f}")
    0.9600
    """
    design, _ = design_of(dataset)
    eta = real("learning_rate", learning_rate, above=0)
    batch_size = positive_int("batch_size", batch_size, at_most=len(design))
    one_pass = np.eye(design.shape[1])
    for first in range(0, len(design), batch_size):
        batch = design[first : first + batch_size]
        with np.errstate(over="ignore", invalid="ignore"):
            one_pass -= eta * 2 / len(batch) * batch.T @ (batch @ one_pass)
    return float(np.max(np.abs(np.linalg.eigvals(one_pass)))) if np.all(np.isfinite(one_pass)) else math.inf
