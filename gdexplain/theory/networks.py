"""Deep networks: how deep linear ones learn, and how far a signal gets at the start."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from gdexplain._checks import finite_array, flag, one_of, positive_int, real
from gdexplain.theory._shared import Array


def deep_linear_mode(times: ArrayLike, strength: float, start: float, *, tau: float = 1.0) -> Array:
    r"""Return how a two-layer linear network learns one direction of its data: a sigmoid in time.

    .. math:: \tau \frac{du}{dt} = 2 u (s - u) \quad\Longrightarrow\quad
              u(t) = \frac{s}{1 + (s / u_0 - 1) \, e^{-2 s t / \tau}}

    Parameters
    ----------
    times : array_like, shape (T,)
        Times t, in the units of `tau`.
    strength : float
        The singular value s of the input-output correlation, above 0.
    start : float
        The product :math:`u_0` of the two layers at time 0, above 0; both share it equally.
    tau : float
        The time constant, above 0. Gradient descent at rate η on :math:`\tfrac12 \lVert \Sigma - W_2 W_1 \rVert^2`
        has :math:`t / \tau = \eta k` after k updates.

    Returns
    -------
    ndarray, shape (T,)
        The strength u(t) that the network has learned.

    Raises
    ------
    TypeError, ValueError
        If an argument is not positive or a time is not finite.

    Notes
    -----
    For whitened inputs, small rates and layers that start balanced. Keras' ``mse`` over K outputs is 2 / K times the
    loss above, so there :math:`t / \tau = 2 \eta k / K`.

    References
    ----------
    .. [1] A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
       neural networks", 2014, arXiv:1312.6120, eq. 8.

    Examples
    --------
    >>> from gdexplain.theory import deep_linear_half_time, deep_linear_mode
    >>> deep_linear_mode([0.0, deep_linear_half_time(2.0, 0.001), 100.0], 2.0, 0.001).round(6)
    array([1.e-03, 1.e+00, 2.e+00])
    """
    strength, start, tau = real("strength", strength, above=0), real("start", start, above=0), real("tau", tau, above=0)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        age = -2 * strength * finite_array("times", times) / tau
        # the same, with powers of e that are at most 1, before the start as well as after it
        power, less = np.exp(-np.abs(age)), np.expm1(-np.abs(age))
        mode: Array = np.where(age > 0, power / (1 / start + less / strength), 1 / (power / start - less / strength))
    return mode


def deep_linear_half_time(strength: float, start: float, *, tau: float = 1.0) -> float:
    r"""Return when a two-layer linear network has learned half of one direction of its data.

    .. math:: t_{1/2} = \frac{\tau}{2 s} \ln\left(\frac{s}{u_0} - 1\right)

    Parameters
    ----------
    strength : float
        The singular value s of the input-output correlation, above 0.
    start : float
        The product :math:`u_0` of the two layers at time 0, above 0 and below s / 2.
    tau : float
        The time constant, above 0; see `deep_linear_mode`.

    Returns
    -------
    float
        In the units of `tau`. Strong directions are learned first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from gdexplain.theory import deep_linear_half_time
    >>> [round(deep_linear_half_time(s, 0.03**2), 3) for s in (3, 2, 1)]
    [1.352, 1.926, 3.506]
    """
    strength, tau = real("strength", strength, above=0), real("tau", tau, above=0)
    start = real("start", start, above=0, below=strength / 2)
    return tau / (2 * strength) * float(np.log(strength / start - 1))


def initialization_gain(
    initializer: str,
    activation: str,
    *,
    fan_in: int,
    fan_out: int,
    second_moment: float = 1.0,
    backward: bool = False,
) -> float:
    r"""Return the factor by which one layer changes the second moment of its signal, or of its gradient.

    .. math:: \frac{\operatorname E[z_{l+1}^2]}{\operatorname E[z_l^2]}
              = n_{\text{in}} \operatorname{Var}(w) \frac{\operatorname E[\varphi(z)^2]}{\operatorname E[z^2]}, \qquad
              \frac{\operatorname E[\delta_l^2]}{\operatorname E[\delta_{l+1}^2]}
              = n_{\text{out}} \operatorname{Var}(w) \operatorname E[\varphi'(z)^2]

    Parameters
    ----------
    initializer : str
        Keras' name of the kernel's initialiser: ``"he_normal"``, ``"glorot_uniform"``, ``"lecun_normal"``, ...
    activation : str
        ``"linear"``, ``"relu"``, ``"leaky_relu"`` (slope 0.2), ``"tanh"`` or ``"sigmoid"``.
    fan_in, fan_out : int
        The layer's inputs and units.
    second_moment : float
        The second moment of the pre-activations z, above 0. It does not matter for the first three activations.
    backward : bool
        If True, of the gradient on its way back; if False, of the signal on its way forward.

    Returns
    -------
    float
        1 keeps the signal alive; its logarithm to base 2 is lost or won at every layer.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a number out of range.

    Notes
    -----
    Exact for wide layers with biases 0, where z is Gaussian. Keras' normal initialisers are truncated and rescaled, so
    normal and uniform share one variance.

    References
    ----------
    .. [1] K. He et al., "Delving deep into rectifiers", 2015, arXiv:1502.01852.
    .. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       AISTATS 2010, https://proceedings.mlr.press/v9/glorot10a.html.

    Examples
    --------
    >>> from gdexplain.theory import initialization_gain
    >>> width = {"fan_in": 256, "fan_out": 256}
    >>> [round(initialization_gain(name, "relu", **width), 6) for name in ("he_normal", "glorot_uniform")]
    [1.0, 0.5]
    """
    initializer = one_of("initializer", initializer, _KERNEL_VARIANCES)
    function, derivative = _ACTIVATIONS[one_of("activation", activation, _ACTIVATIONS)]
    fan_in, fan_out = positive_int("fan_in", fan_in), positive_int("fan_out", fan_out)
    second_moment = real("second_moment", second_moment, above=0)
    variance = _KERNEL_VARIANCES[initializer](fan_in, fan_out)
    nodes, weights = _gauss_hermite()
    z = np.sqrt(second_moment) * nodes
    if flag("backward", backward):
        return float(fan_out * variance * (weights @ derivative(z) ** 2))
    return float(fan_in * variance * (weights @ function(z) ** 2) / second_moment)


@functools.cache
def _gauss_hermite() -> tuple[Array, Array]:
    """Return nodes and weights of the mean over a standard Gaussian.

    Their number is even, so none is at 0: exact for kinked lines, and to 8 digits for tanh and sigmoid.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    return nodes, weights / weights.sum()


def _sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z)) without overflow."""
    half: Array = 0.5 * (1 + np.tanh(z / 2))
    return half


_KERNEL_VARIANCES: dict[str, Callable[[int, int], float]] = {
    f"{name}_{shape}": variance
    for name, variance in {
        "he": lambda fan_in, _: 2 / fan_in,
        "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
        "lecun": lambda fan_in, _: 1 / fan_in,
    }.items()
    for shape in ("normal", "uniform")
}
_ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "linear": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.2 * z), lambda z: np.where(z > 0, 1, 0.2)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * _sigmoid(-z)),
}
