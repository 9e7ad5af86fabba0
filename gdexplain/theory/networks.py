"""Deep networks: how far a signal gets at the start."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from gdexplain._checks import flag, one_of, positive_int, real
from gdexplain.theory._shared import Array


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
