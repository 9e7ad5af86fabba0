"""Activations and losses as plain functions of arrays, each with its derivative beside it.

The conventions are Keras': a loss is a mean, over all entries (mse, mae, binary) or over the rows (categorical).
Cross-entropies of probabilities clip them to [1e-7, 1 - 1e-7], and where they are clipped the derivative is 0. The
categorical one divides each row by its sum before it clips; the sparse one clips first and divides after.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

Array = NDArray[Any]
EPSILON = 1e-7  # keras.config.epsilon(): probabilities are clipped this far from 0 and 1
# TensorFlow keeps these two constants in float32 even where it computes in float64; so its gradients are matched.
LEAK = float(np.float32(0.2))  # keras.activations.leaky_relu; the layer keras.layers.LeakyReLU has 0.3
ROOT_HALF = float(np.float32(math.sqrt(0.5)))  # in gelu


class Activation(NamedTuple):
    """An activation and its derivative.

    Both work on complex arrays too and branch on the real part, so that a complex step passes through them.

    Parameters
    ----------
    function : callable
        ``output = function(pre_activation)``, both of shape (N, units).
    pull_back : callable
        ``dL/dz = pull_back(dL/da, z, a)``: what comes from above, taken through the activation.
    """

    function: Callable[[Array], Array]
    pull_back: Callable[[Array, Array, Array], Array]


class Loss(NamedTuple):
    """A loss, averaged as Keras does, and its derivative.

    Parameters
    ----------
    function : callable
        ``loss = function(outputs, targets)``, one number.
    derivative : callable
        ``dL/da = derivative(outputs, targets)``, of the outputs' shape (N, K).
    at_logits : str
        The loss of the logits that equals this one after a sigmoid or softmax; empty if there is none.
    """

    function: Callable[[Array, Array], Any]
    derivative: Callable[[Array, Array], Array]
    at_logits: str = ""


def _sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), of an exponent that is never positive."""
    decay = np.exp(-_magnitude(z))
    return np.where(z.real >= 0, 1.0, decay) / (1.0 + decay)


def _softmax(z: Array) -> Array:
    """exp(z_j) / sum_k exp(z_k), shifted by the largest logit of the row."""
    powers = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def _softmax_pull_back(upstream: Array, _: Array, a: Array) -> Array:
    """Take dL/da through the softmax Jacobian diag(a) - a aᵀ."""
    return a * (upstream - (upstream * a).sum(axis=-1, keepdims=True))  # type: ignore[no-any-return]


def _normal_cdf(z: Array) -> Array:
    return 0.5 * erfc(-ROOT_HALF * z)  # type: ignore[no-any-return]


def _gelu_derivative(z: Array) -> Array:
    """Φ(z) + z φ(z)."""
    return _normal_cdf(z) + z * ROOT_HALF / math.sqrt(math.pi) * np.exp(-((ROOT_HALF * z) ** 2))


ACTIVATIONS: dict[str, Activation] = {
    "linear": Activation(lambda z: z, lambda g, _z, _a: g),
    "relu": Activation(lambda z: z * (z.real > 0), lambda g, z, _a: g * (z > 0)),
    "leaky_relu": Activation(
        lambda z: np.where(z.real > 0, z, LEAK * z), lambda g, z, _a: g * np.where(z > 0, 1, LEAK)
    ),
    "tanh": Activation(np.tanh, lambda g, _z, a: g * (1.0 - a * a)),
    "sigmoid": Activation(_sigmoid, lambda g, _z, a: g * a * (1.0 - a)),
    "gelu": Activation(lambda z: z * _normal_cdf(z), lambda g, z, _a: g * _gelu_derivative(z)),
    "softmax": Activation(_softmax, _softmax_pull_back),
}


def _magnitude(z: Array) -> Array:
    """|z|, and analytic where z is complex: the sign is the real part's."""
    return np.where(z.real < 0, -z, z)


def _clip(p: Array) -> Array:
    """Keep probabilities EPSILON away from 0 and 1."""
    return np.where(p.real < EPSILON, EPSILON, np.where(p.real > 1 - EPSILON, 1 - EPSILON, p))


def _unclipped(p: Array) -> Array:
    """1 where `_clip` lets p through, 0 where it holds it, and its derivative is 0."""
    return (p >= EPSILON) & (p <= 1 - EPSILON)


def _binary(p: Array, t: Array) -> Any:
    """-mean(t log p + (1 - t) log(1 - p)), p clipped."""
    p = _clip(p)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def _binary_derivative(p: Array, t: Array) -> Array:
    """((1 - t) / (1 - p) - t / p) / NK where p is not clipped."""
    inside, p = _unclipped(p), _clip(p)
    return inside * ((1 - t) / (1 - p) - t / p) / p.size  # type: ignore[no-any-return]


def _binary_logits(z: Array, t: Array) -> Any:
    """mean(max(z, 0) - t z + log(1 + exp(-|z|))): no exponent is positive."""
    return (z * (z.real > 0) - t * z + np.log1p(np.exp(-_magnitude(z)))).mean()


def _shares(p: Array) -> tuple[Array, Array]:
    """Each row of p over its sum, and the sums."""
    total = p.sum(axis=-1, keepdims=True)
    if not np.all(total):
        row = int(np.argmin(np.abs(total)))
        raise ValueError(
            f"outputs must be probabilities for loss 'categorical_crossentropy', but row {row} sums to 0: "
            "end the stack in 'softmax', or choose 'categorical_crossentropy_from_logits'."
        )
    return p / total, total


def _categorical(p: Array, t: Array) -> Any:
    """-mean_n(sum_k t log q), q = p / sum p clipped."""
    return -(t * np.log(_clip(_shares(p)[0]))).sum() / len(p)


def _categorical_derivative(p: Array, t: Array) -> Array:
    """Take -t / q / N back through the clipping and through q = p / sum p."""
    q, total = _shares(p)
    d_q = _unclipped(q) * -t / _clip(q) / len(p)
    return (d_q - (d_q * q).sum(axis=-1, keepdims=True)) / total  # type: ignore[no-any-return]


def _categorical_logits(z: Array, t: Array) -> Any:
    """mean_n(sum_k t (log sum_j exp z_j - z_k)), with the largest logit of the row taken out."""
    z = z - z.real.max(axis=-1, keepdims=True)
    return (t * (np.log(np.exp(z).sum(axis=-1, keepdims=True)) - z)).sum() / len(z)


def _one_hot(labels: Array, p: Array) -> Array:
    """Labels (N,) as rows of zeros with one 1, in the outputs' shape (N, K)."""
    return np.eye(p.shape[1])[labels]


def _sparse(p: Array, labels: Array) -> Any:
    """mean_n(log sum p - log p[label]), p clipped: Keras clips first and divides by the sum after."""
    p = _clip(p)
    return (np.log(p.sum(axis=-1)) - np.log(p[np.arange(len(p)), labels])).sum() / len(p)


def _sparse_derivative(p: Array, labels: Array) -> Array:
    """(1 / sum p - [k is the label] / p) / N where p is not clipped."""
    inside, p = _unclipped(p), _clip(p)
    return inside * (1 / p.sum(axis=-1, keepdims=True) - _one_hot(labels, p) / p) / len(p)  # type: ignore[no-any-return]


LOSSES: dict[str, Loss] = {
    "mse": Loss(lambda a, t: ((a - t) ** 2).mean(), lambda a, t: 2.0 * (a - t) / a.size),
    "mae": Loss(lambda a, t: _magnitude(a - t).mean(), lambda a, t: np.sign(a - t) / a.size),
    "binary_crossentropy": Loss(_binary, _binary_derivative, "binary_crossentropy_from_logits"),
    "binary_crossentropy_from_logits": Loss(_binary_logits, lambda z, t: (_sigmoid(z) - t) / z.size),
    "categorical_crossentropy": Loss(_categorical, _categorical_derivative, "categorical_crossentropy_from_logits"),
    "categorical_crossentropy_from_logits": Loss(_categorical_logits, lambda z, t: (_softmax(z) - t) / len(z)),
    "sparse_categorical_crossentropy": Loss(_sparse, _sparse_derivative, "sparse_categorical_crossentropy_from_logits"),
    "sparse_categorical_crossentropy_from_logits": Loss(
        lambda z, labels: _categorical_logits(z, _one_hot(labels, z)),
        lambda z, labels: (_softmax(z) - _one_hot(labels, z)) / len(z),
    ),
}
