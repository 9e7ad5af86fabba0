"""What is minimised: functions of one flat parameter vector, each with its gradient beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, keep, row_numbers, symmetric, vector
from gdexplain.data import Dataset, as_dataset
from gdexplain.record import Layout

Array = NDArray[np.float64]
Rows = NDArray[np.int64] | Sequence[int] | None


class Objective(Protocol):
    """What `descend` walks on: anything that returns a loss and its gradient.

    A mean over examples says how many they are, and takes `rows`, the examples of one batch; all of them if left out.
    A plain function has ``size`` 1 and takes no rows.
    """

    @property
    def size(self) -> int:
        """How many examples the loss is a mean of; 1 for a plain function."""
        ...

    def value_and_grad(self, theta: Array, rows: Rows = None) -> tuple[float, Array]:
        """Return the loss at theta (P,), and its gradient (P,)."""
        ...


@dataclass(frozen=True, eq=False)
class LeastSquares:
    r"""The mean squared error of a linear neuron, over all examples or a batch of them.

    .. math:: L(w, b) = \frac1N \sum_i (x_i^\top w + b - y_i)^2

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D) and one target a row; whole numbers count as real ones.

    Raises
    ------
    TypeError, ValueError
        If `dataset` is not one, or the targets have more than one column.

    Notes
    -----
    Keras' conventions: the flat parameters are (w, b), kernel then bias; the loss is a mean, with no factor 1/2.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.by_hand.objectives import LeastSquares
    >>> LeastSquares(make_line()).value_and_grad([0.0, 0.0])
    (30.0, array([-30., -10.]))
    >>> LeastSquares(make_line()).value_and_grad([0.0, 0.0], rows=[0])
    (4.0, array([-4., -4.]))
    """

    dataset: Dataset
    design: Array = field(init=False, repr=False)
    targets: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the targets; keep the inputs with a column of ones, whose weight is the bias."""
        dataset = as_dataset(self.dataset)
        design = np.column_stack([dataset.inputs, np.ones(len(dataset))])
        keep(self, dataset=dataset, design=design, targets=dataset.target_column)

    @property
    def size(self) -> int:
        """The number of examples N."""
        return len(self.targets)

    @property
    def layout(self) -> Layout:
        """The names and shapes of the parameters: ``w`` (D, 1) and ``b`` (1,)."""
        return ("w", (self.design.shape[1] - 1, 1)), ("b", (1,))

    @property
    def minimum(self) -> Array:
        """The least-squares solution (D + 1,); the shortest where there are several."""
        return np.linalg.lstsq(self.design, self.targets, rcond=None)[0].astype(np.float64)

    @np.errstate(over="ignore", invalid="ignore")
    def value_and_grad(self, theta: ArrayLike, rows: Rows = None) -> tuple[float, Array]:
        """Return the mean squared error of the examples in `rows`, and its gradient.

        Parameters
        ----------
        theta : array_like, shape (D + 1,)
            The parameters (w, b).
        rows : array_like of int, shape (B,), optional
            The examples of the batch; all of them if left out.

        Returns
        -------
        loss : float
            In squared units of the targets.
        gradient : ndarray, shape (D + 1,)
            Its derivatives with respect to w and b.

        Raises
        ------
        TypeError, ValueError
            If `theta` is not finite or of another shape, or `rows` are not row numbers, one or more.

        Notes
        -----
        Where the loss leaves the range of float64 it is infinity, without a warning.
        """
        design, targets = self.design, self.targets
        if rows is not None:
            index = row_numbers("rows", rows, self.size)
            design, targets = design[index], targets[index]
        residual = design @ vector("theta", theta, design.shape[1]) - targets
        return _or_infinity(residual @ residual) / len(targets), 2 / len(targets) * (residual @ design)


@dataclass(frozen=True, eq=False)
class NoisyQuadratic:
    r"""A mean of quadratic bowls that differ only in where their minima are: gradient noise in its purest form.

    .. math:: L(\theta) = \frac1N \sum_i \tfrac12 (\theta - m_i)^\top H (\theta - m_i)

    The gradient of a batch is the full gradient plus noise that depends neither on θ nor on the curvature met.

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        The second derivatives H, the same for every example; symmetric.
    minima : array_like, shape (N, P)
        Each example's own minimum.

    Raises
    ------
    ValueError
        If `hessian` is not square and symmetric, the shapes disagree or a value is not finite.

    References
    ----------
    .. [1] G. Zhang et al., "Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic
       model", 2019, arXiv:1907.04164.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import NoisyQuadratic
    >>> bowls = NoisyQuadratic([[2.0]], [[-1.0], [1.0]])
    >>> bowls.value_and_grad([0.0])[1], bowls.value_and_grad([0.0], rows=[0])[1]
    (array([0.]), array([2.]))
    """

    hessian: Array
    minima: Array

    def __post_init__(self) -> None:
        """Check the arrays and freeze them."""
        hessian, minima = symmetric("hessian", self.hessian), finite_array("minima", self.minima, ndim=2)
        if minima.shape[1] != len(hessian) or len(minima) == 0:
            raise ValueError(f"minima must have shape (N, {len(hessian)}), N at least 1, not {minima.shape}.")
        keep(self, hessian=hessian, minima=minima)

    @property
    def size(self) -> int:
        """The number of examples N."""
        return len(self.minima)

    @property
    def minimum(self) -> Array:
        """The minimum of the mean (P,): the mean of the minima."""
        mean: Array = self.minima.mean(axis=0)
        return mean

    @property
    def gradient_covariance(self) -> Array:
        """The covariance (P, P) of one random example's gradient; the same everywhere."""
        gradients = (self.minima - self.minimum) @ self.hessian
        covariance: Array = gradients.T @ gradients / self.size
        return covariance

    @np.errstate(over="ignore", invalid="ignore")
    def value_and_grad(self, theta: ArrayLike, rows: Rows = None) -> tuple[float, Array]:
        """Return the mean loss of the examples in `rows`, and its gradient.

        Parameters
        ----------
        theta : array_like, shape (P,)
            The parameters.
        rows : array_like of int, shape (B,), optional
            The examples of the batch; all of them if left out.

        Returns
        -------
        loss : float
            The mean height of the bowls.
        gradient : ndarray, shape (P,)
            Its derivatives.

        Raises
        ------
        TypeError, ValueError
            If `theta` is not finite or of another shape, or `rows` are not row numbers, one or more.
        """
        minima = self.minima if rows is None else self.minima[row_numbers("rows", rows, self.size)]
        away = vector("theta", theta, minima.shape[1]) - minima
        gradients = away @ self.hessian
        return 0.5 * _or_infinity((away * gradients).sum()) / len(minima), gradients.mean(axis=0)


def _or_infinity(loss: Any) -> float:
    """Return the loss at a finite point, where infinity minus infinity is not a number but an overflow."""
    return math.inf if math.isnan(loss) else float(loss)
