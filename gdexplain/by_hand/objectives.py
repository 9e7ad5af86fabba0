"""What is minimised: functions of one flat parameter vector, each with its gradient beside it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, frozen, positive_int, real, refused, room, row_numbers, symmetric
from gdexplain.data import Dataset, as_dataset

Array = NDArray[np.float64]
Rows = NDArray[np.int64] | Sequence[int] | None
Layout = tuple[tuple[str, tuple[int, ...]], ...]


class Objective(Protocol):
    """What `descend` walks on: anything that returns a loss and its gradient.

    Notes
    -----
    An objective that is a mean over examples says how many they are and takes `rows`, the examples of one batch. A
    plain function has ``size`` 1 and takes no rows.
    """

    @property
    def size(self) -> int:
        """How many examples the loss is a mean of; 1 for a plain function."""
        ...

    def value_and_grad(self, theta: Array, rows: Rows = None) -> tuple[float, Array]:
        """Return the loss and its gradient.

        Parameters
        ----------
        theta : ndarray, shape (P,)
            The parameters.
        rows : ndarray of int, shape (B,), optional
            The examples to take the mean of; all of them if left out.

        Returns
        -------
        loss : float
            The loss.
        gradient : ndarray, shape (P,)
            Its derivatives.
        """
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
        object.__setattr__(self, "dataset", dataset)
        object.__setattr__(self, "design", frozen(np.column_stack([dataset.inputs, np.ones(len(dataset))])))
        object.__setattr__(self, "targets", frozen(dataset.target_column))

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
        residual = design @ _vector(theta, design.shape[1]) - targets
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
        object.__setattr__(self, "hessian", frozen(hessian))
        object.__setattr__(self, "minima", frozen(minima))

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
        away = _vector(theta, minima.shape[1]) - minima
        gradients = away @ self.hessian
        return 0.5 * _or_infinity((away * gradients).sum()) / len(minima), gradients.mean(axis=0)


class _Function(ABC):
    """A plain function of one parameter vector: no examples, so no rows."""

    @property
    def size(self) -> int:
        """1: there are no examples."""
        return 1

    @np.errstate(over="ignore", invalid="ignore")
    def value_and_grad(self, theta: ArrayLike, rows: Rows = None) -> tuple[float, Array]:
        """Return the loss and its gradient.

        Parameters
        ----------
        theta : array_like, shape (P,)
            The parameters.
        rows : None
            There are no examples to choose from.

        Returns
        -------
        loss : float
            The loss.
        gradient : ndarray, shape (P,)
            Its derivatives.

        Raises
        ------
        TypeError, ValueError
            If `theta` is not finite or of another shape, or `rows` are given.
        """
        if rows is not None:
            raise refused(ValueError, "rows", "None, because this objective has no examples", rows)
        loss, gradient = self._evaluate(theta)
        return _or_infinity(loss), gradient

    @abstractmethod
    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Check that `theta` fits and return the loss and its gradient there."""


@dataclass(frozen=True, eq=False)
class Quadratic(_Function):
    r"""A quadratic bowl: what every smooth loss looks like near its minimum.

    .. math:: L(\theta) = c + \tfrac12 (\theta - \theta^*)^\top H (\theta - \theta^*), \qquad
              \nabla L(\theta) = H (\theta - \theta^*)

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        The second derivatives H; symmetric. With a negative eigenvalue it is a saddle.
    minimum : array_like, shape (P,), optional
        Where the gradient is 0; the origin if left out.
    offset : float
        The loss c there.

    Raises
    ------
    ValueError
        If `hessian` is not square and symmetric, the shapes disagree or a value is not finite.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import Quadratic
    >>> Quadratic([[15, 5], [5, 2]], [2, 0]).value_and_grad([0.0, 0.0])
    (30.0, array([-30., -10.]))
    """

    hessian: Array
    minimum: Array = None  # type: ignore[assignment]  # filled below
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Check the arrays and freeze them."""
        hessian = symmetric("hessian", self.hessian)
        given: ArrayLike | None = self.minimum
        minimum = np.zeros(len(hessian)) if given is None else finite_array("minimum", given, ndim=1)
        if len(minimum) != len(hessian):
            raise ValueError(f"minimum must have {len(hessian)} numbers, as hessian has rows, not {len(minimum)}.")
        object.__setattr__(self, "hessian", frozen(hessian))
        object.__setattr__(self, "minimum", frozen(minimum))
        object.__setattr__(self, "offset", real("offset", self.offset))

    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        away = _vector(theta, len(self.minimum)) - self.minimum
        gradient = self.hessian @ away
        return self.offset + 0.5 * float(away @ gradient), gradient


@dataclass(frozen=True)
class Rosenbrock(_Function):
    r"""Rosenbrock's banana valley: easy to reach, slow to follow.

    .. math:: L(\theta) = \sum_{i=1}^{P-1} \left[ 100 (\theta_{i+1} - \theta_i^2)^2 + (1 - \theta_i)^2 \right]

    Parameters
    ----------
    dimension : int
        How many parameters P, at least 2.

    Raises
    ------
    TypeError, ValueError
        If `dimension` is not a whole number, or below 2.

    References
    ----------
    .. [1] H. Rosenbrock, "An automatic method for finding the greatest or least value of a function", The Computer
       Journal 3, 1960, doi:10.1093/comjnl/3.3.175.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import Rosenbrock
    >>> Rosenbrock().value_and_grad([-1.0, 1.0])
    (4.0, array([-4.,  0.]))
    """

    dimension: int = 2

    def __post_init__(self) -> None:
        """Check the dimension."""
        object.__setattr__(self, "dimension", positive_int("dimension", self.dimension, at_least=2))
        room("dimension", self.dimension)

    @property
    def minimum(self) -> Array:
        """The minimum (P,): all ones, with loss 0."""
        return np.ones(self.dimension)

    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        theta = _vector(theta, self.dimension)
        here, after = theta[:-1], theta[1:]
        off_floor, short = after - here**2, 1 - here
        gradient = np.zeros(self.dimension)
        gradient[:-1] = -400 * here * off_floor - 2 * short
        gradient[1:] += 200 * off_floor
        return float(100 * off_floor @ off_floor + short @ short), gradient


@dataclass(frozen=True)
class Beale(_Function):
    r"""Beale's function: plains that are nearly flat, around sharp ridges.

    .. math:: L(x, y) = \sum_{i=1}^{3} \left(c_i - x (1 - y^i) \right)^2, \qquad c = (1.5,\, 2.25,\, 2.625)

    References
    ----------
    .. [1] E. Beale, "On an iterative method for finding a local minimum of a function of more than one variable",
       Technical report 25, Princeton University, 1958.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import Beale
    >>> Beale().value_and_grad(Beale().minimum)[0]
    0.0
    """

    @property
    def minimum(self) -> Array:
        """The minimum (3, 0.5), with loss 0."""
        return np.array([3.0, 0.5])

    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        x, y = _vector(theta, 2)
        i = np.array([1, 2, 3])
        residual = np.array([1.5, 2.25, 2.625]) - (
            x * (1 - y**i) if x else 0.0
        )  # y**i may be infinite, and 0 times that
        gradient = 2 * np.array([residual @ (y**i - 1), residual @ (x * i * y ** (i - 1))])
        return float(residual @ residual), gradient


@dataclass(frozen=True)
class Himmelblau(_Function):
    r"""Himmelblau's function: four minima equally deep, so the start decides which is found.

    .. math:: L(x, y) = (x^2 + y - 11)^2 + (x + y^2 - 7)^2

    References
    ----------
    .. [1] D. Himmelblau, "Applied nonlinear programming", McGraw-Hill, 1972.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import Himmelblau
    >>> Himmelblau().value_and_grad([0.0, 0.0])
    (170.0, array([-14., -22.]))
    """

    @property
    def minimum(self) -> Array:
        """The one minimum with whole numbers, (3, 2), with loss 0."""
        return np.array([3.0, 2.0])

    @property
    def minima(self) -> Array:
        """All four minima (4, 2), each with loss 0."""
        return np.array(
            [
                [3.0, 2.0],
                [-2.805118086952745, 3.131312518250573],
                [-3.779310253377747, -3.2831859912861696],
                [3.5844283403304917, -1.8481265269644036],
            ]
        )

    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        x, y = _vector(theta, 2)
        first, second = x**2 + y - 11, x + y**2 - 7
        gradient = np.array([4 * x * first + 2 * second, 2 * first + 4 * y * second])
        return float(first**2 + second**2), gradient


@dataclass(frozen=True)
class Rastrigin(_Function):
    r"""Rastrigin's egg box: a bowl with a dimple at every whole number.

    .. math:: L(\theta) = \sum_i \left[ \theta_i^2 + 10 \, (1 - \cos 2 \pi \theta_i) \right]

    Parameters
    ----------
    dimension : int
        How many parameters P.

    Raises
    ------
    TypeError, ValueError
        If `dimension` is not a whole number, or below 1.

    References
    ----------
    .. [1] H. Mühlenbein, M. Schomisch and J. Born, "The parallel genetic algorithm as function optimizer", Parallel
       Computing 17, 1991, doi:10.1016/S0167-8191(05)80052-3.

    Examples
    --------
    >>> from gdexplain.by_hand.objectives import Rastrigin
    >>> Rastrigin().value_and_grad([0.0, 0.5])[0]
    20.25
    """

    dimension: int = 2

    def __post_init__(self) -> None:
        """Check the dimension."""
        object.__setattr__(self, "dimension", positive_int("dimension", self.dimension))
        room("dimension", self.dimension)

    @property
    def minimum(self) -> Array:
        """The deepest minimum (P,): the origin, with loss 0."""
        return np.zeros(self.dimension)

    def _evaluate(self, theta: ArrayLike) -> tuple[float, Array]:
        """Return the loss and its gradient."""
        theta = _vector(theta, self.dimension)
        turns = 2 * np.pi * theta
        return float(theta @ theta + 10 * (1 - np.cos(turns)).sum()), 2 * theta + 20 * np.pi * np.sin(turns)


def _vector(theta: ArrayLike, size: int) -> Array:
    """Return the parameters as float64; raise unless there are `size` of them, all finite."""
    vector = finite_array("theta", theta)
    if vector.shape != (size,):
        raise ValueError(f"theta must have shape ({size},), not {vector.shape}.")
    return vector


def _or_infinity(loss: Any) -> float:
    """Return the loss at a finite point, where infinity minus infinity is not a number but an overflow."""
    return math.inf if math.isnan(loss) else float(loss)
