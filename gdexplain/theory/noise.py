"""The noise of mini-batches: its covariance, and where it lets a run settle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gdexplain._checks import finite_array, real, vector
from gdexplain.data import Data
from gdexplain.theory._shared import Array, batch_factor, design_of, in_range, spectrum


def gradient_covariance(dataset: Data, theta: ArrayLike, batch_size: int = 1, *, replacement: bool = False) -> Array:
    r"""Return the covariance of a random batch's gradient, for a linear neuron and the mean squared error.

    .. math:: \operatorname{Cov}(g_B) = \frac{\Sigma}{B} \, \frac{N - B}{N - 1}, \qquad
              \Sigma = \frac1N \sum_i (g_i - \bar g)(g_i - \bar g)^\top

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D) and one target a row.
    theta : array_like, shape (D + 1,)
        Where: (w, b), Keras' weight order.
    batch_size : int
        How many examples B a batch has; at most N unless drawn with replacement.
    replacement : bool
        If True a batch may hold an example twice, and the factor :math:`(N - B)/(N - 1)` is left out.

    Returns
    -------
    ndarray, shape (D + 1, D + 1)
        0 for the whole data set drawn without replacement: there is only one such batch.

    Raises
    ------
    TypeError, ValueError
        If the targets are not one column, `theta` has another size, or `batch_size` is out of range.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.theory import gradient_covariance
    >>> gradient_covariance(make_line(), [0.0, 0.0])
    array([[516., 100.],
           [100.,  20.]])
    """
    design, targets = design_of(dataset)
    theta, n = vector("theta", theta, design.shape[1]), len(design)
    factor = batch_factor(n, batch_size, replacement)
    with np.errstate(over="ignore", invalid="ignore"):
        each = 2 * (design @ theta - targets)[:, np.newaxis] * design
        centred = each - each.mean(axis=0)
        return in_range(centred.T @ centred / n * factor, "dataset or theta")


def minibatch_gradient_variance(
    dataset: Data, theta: ArrayLike, batch_size: int, *, replacement: bool = False
) -> float:
    r"""Return how far a random batch's gradient lies from the full gradient: the mean squared distance.

    .. math:: \operatorname E \lVert g_B - \bar g \rVert^2 = \operatorname{tr} \operatorname{Cov}(g_B)

    Parameters
    ----------
    dataset : Dataset or (inputs, targets)
        Inputs (N, D) and one target a row.
    theta : array_like, shape (D + 1,)
        Where: (w, b), Keras' weight order.
    batch_size : int
        How many examples B a batch has; at most N unless drawn with replacement.
    replacement : bool
        Whether a batch may hold an example twice.

    Returns
    -------
    float
        The trace of `gradient_covariance`.

    Raises
    ------
    TypeError, ValueError
        If the targets are not one column, `theta` has another size, or `batch_size` is out of range.

    Examples
    --------
    >>> from gdexplain.data import make_line
    >>> from gdexplain.theory import minibatch_gradient_variance
    >>> [round(minibatch_gradient_variance(make_line(), [0, 0], size), 3) for size in (1, 2, 3, 4)]
    [536.0, 178.667, 59.556, 0.0]
    """
    return float(np.trace(gradient_covariance(dataset, theta, batch_size, replacement=replacement)))


def gradient_noise_scale(hessian: ArrayLike, noise_covariance: ArrayLike, gradient: ArrayLike) -> float:
    r"""Return the batch size at which noise and gradient cost a step equally much.

    .. math:: B_{\text{noise}} = \frac{\operatorname{tr}(H \Sigma)}{g^\top H g}, \qquad
              \frac{\text{steps with batches of } B}{\text{steps with the full batch}} \approx
              1 + \frac{B_{\text{noise}}}{B}

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric, with no negative eigenvalue and a positive one.
    noise_covariance : array_like, shape (P, P)
        The covariance Σ of one example's gradient.
    gradient : array_like, shape (P,)
        The full gradient g.

    Returns
    -------
    float
        In examples. Far below it, twice the batch halves the steps; far above it, nothing is gained.

    Raises
    ------
    TypeError, ValueError
        If the shapes disagree, a matrix is not as said or the gradient is 0 along every curved direction.

    References
    ----------
    .. [1] S. McCandlish et al., "An empirical model of large-batch training", 2018, arXiv:1812.06162, eq. 2.8.

    Examples
    --------
    >>> from gdexplain.theory import gradient_noise_scale
    >>> gradient_noise_scale([[2.0]], [[9.0]], [0.5])
    36.0
    """
    eigenvalues, vectors = spectrum(hessian)
    noise = np.diag(_in_basis(noise_covariance, vectors))
    slope = vectors.T @ vector("gradient", gradient, len(eigenvalues))
    signal = float(eigenvalues @ slope**2)
    if signal <= 0:
        raise ValueError(f"gradient must not be 0, not {np.asarray(gradient).tolist()}: at a minimum all is noise.")
    return float(eigenvalues @ noise) / signal


def stationary_covariance(hessian: ArrayLike, noise_covariance: ArrayLike, learning_rate: float) -> Array:
    r"""Return the covariance that noisy gradient descent settles into on a quadratic: the noise floor.

    .. math:: S = (I - \eta H) S (I - \eta H) + \eta^2 C
              \quad\Longrightarrow\quad
              S_{ij} = \frac{\eta \, C_{ij}}{\lambda_i + \lambda_j - \eta \lambda_i \lambda_j}
              \text{ in the eigenvectors of } H,
              \qquad \frac{\eta \sigma^2}{\lambda (2 - \eta \lambda)} \text{ for one parameter}

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric and positive definite.
    noise_covariance : array_like, shape (P, P)
        The covariance C of the batch gradient, the same everywhere; drawn anew at every update.
    learning_rate : float
        The constant rate, above 0 and below the stable limit.

    Returns
    -------
    ndarray, shape (P, P)
        Of the parameters around the minimum; the mean excess loss is :math:`\tfrac12 \operatorname{tr}(H S)`.

    Raises
    ------
    TypeError, ValueError
        If a matrix is not as said, or the rate is not below 2 / λmax.

    References
    ----------
    .. [1] S. Mandt, M. Hoffman and D. Blei, "Stochastic gradient descent as approximate Bayesian inference", JMLR 18,
       2017, arXiv:1704.04289.

    Examples
    --------
    >>> from gdexplain.theory import stationary_covariance
    >>> print(stationary_covariance([[2.0]], [[1.0]], 0.1).round(5))
    [[0.02778]]
    """
    eigenvalues, vectors = spectrum(hessian, definite=True)
    eta = real("learning_rate", learning_rate, above=0, below=float(2 / eigenvalues[-1]))
    noise = _in_basis(noise_covariance, vectors)
    pairs = eigenvalues[:, np.newaxis] + eigenvalues - eta * np.outer(eigenvalues, eigenvalues)
    covariance: Array = vectors @ (eta * noise / pairs) @ vectors.T
    return covariance


def expected_squared_error(
    hessian: ArrayLike, noise_covariance: ArrayLike, learning_rates: ArrayLike, start: ArrayLike
) -> Array:
    r"""Return the mean squared distance to the minimum at every update, for any schedule of rates.

    .. math:: E_{k+1} = \sum_i e_{i,k+1}, \qquad e_{i,k+1} = (1 - \eta_k \lambda_i)^2 e_{i,k} + \eta_k^2 C_{ii}
              \quad \text{in the eigenvectors of } H

    Parameters
    ----------
    hessian : array_like, shape (P, P)
        Symmetric, with no negative eigenvalue and a positive one.
    noise_covariance : array_like, shape (P, P)
        The covariance C of the batch gradient, the same everywhere; drawn anew at every update.
    learning_rates : array_like, shape (T,)
        The rate of each update, none negative.
    start : array_like, shape (P,)
        The start, as seen from the minimum.

    Returns
    -------
    ndarray, shape (T + 1,)
        Before the first update and after each. With :math:`\eta_k = 1 / (\lambda (k + 1))` and one parameter it is
        :math:`\sigma^2 / (\lambda^2 k)`: the 1/t law. Where it explodes it ends with the last finite value.

    Raises
    ------
    TypeError, ValueError
        If a matrix is not as said, the shapes disagree or a rate is negative.

    References
    ----------
    .. [1] H. Robbins and S. Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22, 1951,
       doi:10.1214/aoms/1177729586.

    Examples
    --------
    >>> from gdexplain.theory import expected_squared_error
    >>> expected_squared_error([[2.0]], [[4.0]], [1 / 2, 1 / 4, 1 / 6, 1 / 8], [5.0])[1:].round(4)
    array([1.    , 0.5   , 0.3333, 0.25  ])
    """
    eigenvalues, vectors = spectrum(hessian)
    noise = np.diag(_in_basis(noise_covariance, vectors))
    rates = finite_array("learning_rates", learning_rates, ndim=1)
    if np.any(rates < 0):
        raise ValueError(f"learning_rates must be at least 0, but one is {rates.min()}.")
    squares = (vectors.T @ vector("start", start, len(eigenvalues))) ** 2
    totals = [squares.sum()]
    with np.errstate(over="ignore", invalid="ignore"):
        for rate in rates:
            squares = (1 - rate * eigenvalues) ** 2 * squares + rate**2 * noise
            if not np.isfinite(squares.sum()):
                break
            totals.append(squares.sum())
    return np.array(totals)


def _in_basis(noise_covariance: ArrayLike, vectors: Array) -> Array:
    """Return the covariance in the eigenvectors; raise unless it fits and is a covariance."""
    matrix = finite_array("noise_covariance", noise_covariance, ndim=2)
    if matrix.shape != vectors.shape:
        raise ValueError(f"noise_covariance must have the Hessian's shape, {vectors.shape}, not {matrix.shape}.")
    if np.any(matrix):  # no noise is a covariance too
        spectrum(matrix, name="noise_covariance")
    rotated: Array = vectors.T @ matrix @ vectors
    return rotated
