"""Gradient descent on a quadratic, with momentum or without: rates, limits, whole paths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gdexplain._checks import flag, real
from gdexplain.data import Data
from gdexplain.theory._shared import Array, design_of, in_range, spectrum


def line_hessian(dataset: Data) -> Array:
    r"""Return the second derivatives of a linear neuron's mean squared error; they depend on the inputs only.

    .. math:: H = \frac{2}{N} \sum_i \begin{pmatrix} x_i \\ 1 \end{pmatrix} \begin{pmatrix} x_i^\top & 1 \end{pmatrix}

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D) and one target a row.

    Returns
    -------
    ndarray, shape (D + 1, D + 1)
        In the order (w, b), Keras' weight order; in units of loss per squared unit of each parameter.

    Raises
    ------
    TypeError, ValueError
        If `dataset` is not one, or its targets have more than one column.

    Notes
    -----
    The loss is Keras' ``mse``: a mean over the examples with no factor 1/2, hence the 2.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.theory import line_hessian
    >>> line_hessian(make_line())
    array([[15.,  5.],
           [ 5.,  2.]])
    """
    design, _ = design_of(dataset)
    with np.errstate(over="ignore", invalid="ignore"):
        return in_range(2 / len(design) * design.T @ design)


def max_stable_learning_rate(hessian: ArrayLike, *, beta: float = 0.0, nesterov: bool = False) -> float:
    r"""Return the rate at which gradient descent on a quadratic stops converging.

    .. math:: \eta_{\max} = \frac{2}{\lambda_{\max}}, \qquad
              \frac{2 (1 + \beta)}{\lambda_{\max}} \text{ with momentum}, \qquad
              \frac{2 (1 + \beta)}{(1 + 2 \beta) \lambda_{\max}} \text{ with Nesterov's}

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric, with no negative eigenvalue and a positive one.
    beta : float
        Momentum, at least 0 and below 1.
    nesterov : bool
        Whether the momentum is Nesterov's.

    Returns
    -------
    float
        Below it every start converges; above it almost none does.

    Raises
    ------
    TypeError, ValueError
        If `hessian` is not as said, or `beta` is outside [0, 1).

    References
    ----------
    .. [1] J. Cohen et al., "Gradient descent on neural networks typically occurs at the edge of stability", 2021,
       arXiv:2103.00065, appendix B.

    Examples
    --------
    >>> from gdexplain.theory import max_stable_learning_rate
    >>> print(f"{max_stable_learning_rate([[15, 5], [5, 2]]):.6f}")
    0.119756
    """
    beta = real("beta", beta, at_least=0, below=1)
    largest = spectrum(hessian)[0][-1]
    return float(2 * (1 + beta) / (1 + 2 * beta * flag("nesterov", nesterov)) / largest)


def optimal_learning_rate(hessian: ArrayLike) -> float:
    r"""Return the rate at which gradient descent on a quadratic converges fastest from the worst start.

    .. math:: \eta^* = \frac{2}{\lambda_{\min} + \lambda_{\max}}

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric and positive definite.

    Returns
    -------
    float
        The steepest and the flattest direction then contract equally fast, with opposite signs.

    Raises
    ------
    TypeError, ValueError
        If `hessian` is not symmetric and positive definite.

    Examples
    --------
    >>> from gdexplain.theory import optimal_learning_rate
    >>> print(f"{optimal_learning_rate([[15, 5], [5, 2]]):.6f}, and 2/17 = {2 / 17:.6f}")
    0.117647, and 2/17 = 0.117647
    """
    eigenvalues, _ = spectrum(hessian, definite=True)
    return float(2 / (eigenvalues[0] + eigenvalues[-1]))


@np.errstate(over="ignore")
def contraction_rate(hessian: ArrayLike, learning_rate: float) -> float:
    r"""Return the factor by which one update of gradient descent shrinks the distance to the minimum, at worst.

    .. math:: \rho(I - \eta H) = \max_i |1 - \eta \lambda_i|

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric, with no negative eigenvalue and a positive one.
    learning_rate : float
        The rate, above 0.

    Returns
    -------
    float
        Below 1 the run converges; above 1 it explodes.

    Raises
    ------
    TypeError, ValueError
        If `hessian` is not as said, or the rate is not positive.

    Examples
    --------
    >>> from gdexplain.theory import contraction_rate
    >>> print(f"{contraction_rate([[15, 5], [5, 2]], 2 / 17):.6f}")
    0.964778
    """
    learning_rate = real("learning_rate", learning_rate, above=0)
    return float(np.max(np.abs(1 - learning_rate * spectrum(hessian)[0])))


class OptimalMomentum(NamedTuple):
    """The settings that `optimal_momentum` returns, and what they achieve.

    Parameters
    ----------
    learning_rate : float
        The rate η.
    beta : float
        The momentum β.
    rate : float
        The contraction rate: a spectral radius, per update.
    """

    learning_rate: float
    beta: float
    rate: float


def optimal_momentum(hessian: ArrayLike) -> OptimalMomentum:
    r"""Return the rate and the momentum with which a quadratic is minimised fastest from the worst start.

    .. math:: \eta = \left(\frac{2}{\sqrt{\lambda_{\max}} + \sqrt{\lambda_{\min}}}\right)^2, \qquad
              \sqrt\beta = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}, \qquad \rho = \sqrt\beta, \qquad
              \kappa = \frac{\lambda_{\max}}{\lambda_{\min}}

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric and positive definite.

    Returns
    -------
    OptimalMomentum
        ``learning_rate``, ``beta`` and ``rate``, the contraction rate ρ (a spectral radius).

    Raises
    ------
    TypeError, ValueError
        If `hessian` is not symmetric and positive definite.

    References
    ----------
    .. [1] B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational
       Mathematics and Mathematical Physics 4, 1964, doi:10.1016/0041-5553(64)90137-5.

    Examples
    --------
    >>> from gdexplain.theory import optimal_momentum
    >>> print("eta {:.6f}, beta {:.6f}, rate {:.6f}".format(*optimal_momentum([[15, 5], [5, 2]])))
    eta 0.186288, beta 0.583448, rate 0.763837
    """
    eigenvalues, _ = spectrum(hessian, definite=True)
    flat, steep = np.sqrt(eigenvalues[0]), np.sqrt(eigenvalues[-1])
    rate = float((steep - flat) / (steep + flat))
    return OptimalMomentum(float(2 / (steep + flat)) ** 2, rate**2, rate)
