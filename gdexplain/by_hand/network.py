"""Dense stacks as plain arrays, checked against each other, against the data and against the loss; and their traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, instance, items, keep, one_of
from gdexplain.by_hand.functions import ACTIVATIONS, LOSSES, Array, Loss


@dataclass(frozen=True, eq=False)
class Dense:
    r"""One fully connected layer as arrays: ``a = f(x W + b)``.

    Parameters
    ----------
    weights : array_like, shape (fan_in, units)
        The matrix W, laid out as Keras' kernel: a column for each unit.
    bias : array_like, shape (units,), optional
        The row b; None for a layer without one (``use_bias=False``).
    activation : str
        The function f: ``"linear"``, ``"relu"``, ``"leaky_relu"``, ``"tanh"``, ``"sigmoid"``, ``"gelu"`` or ``"softmax"``.

    Raises
    ------
    TypeError
        If an array is not one of numbers.
    ValueError
        If a value is NaN or infinite, the shapes disagree, the activation is unknown, or a softmax has one unit.

    Notes
    -----
    Keras' conventions: the slope of relu at 0 is 0; leaky_relu has ``negative_slope=0.2`` and that slope at 0; gelu is
    the exact one (``approximate=False``), z Φ(z). TensorFlow rounds that 0.2, and the 1/√2 in Φ, to float32 at any
    precision, which moves the eighth digit; so do these.

    Examples
    --------
    >>> from gdexplain import Dense
    >>> Dense([[2.0], [0.5]], [0.0], "tanh")
    Dense(2 -> 1, 'tanh')
    """

    weights: Array
    bias: Array | None = None
    activation: str = "linear"

    def __post_init__(self) -> None:
        """Check the arrays against each other and freeze them."""
        weights = finite_array("weights", self.weights, ndim=2)
        units = weights.shape[1]
        if weights.size == 0:
            raise ValueError(f"weights must have at least one row and one column, not shape {weights.shape}.")
        if self.bias is not None:
            bias = finite_array("bias", self.bias, ndim=1)
            if len(bias) != units:
                raise ValueError(f"bias must have {units} entries, one a column of weights, not {len(bias)}.")
            keep(self, bias=bias)
        if one_of("activation", self.activation, ACTIVATIONS) == "softmax" and units == 1:
            raise ValueError("activation 'softmax' must have at least 2 units: of one alone it is always 1.")
        keep(self, weights=weights)

    def __repr__(self) -> str:
        """Return the sizes and the activation."""
        return f"Dense({self.weights.shape[0]} -> {self.weights.shape[1]}, {self.activation!r})"

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The layer's arrays in Keras' order: weights, then bias if it has one."""
        return (self.weights,) if self.bias is None else (self.weights, self.bias)


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer computed, forward and backward.

    Parameters
    ----------
    weights, bias : ndarray, shapes (fan_in, units) and (units,)
        The layer's arrays; bias is None for a layer without one.
    activation : str
        The name of f.
    inputs : ndarray, shape (N, fan_in)
        What came in: the output of the layer below.
    pre_activation : ndarray, shape (N, units)
        The weighted sum z, before the activation.
    output : ndarray, shape (N, units)
        The activation a = f(z).
    d_output : ndarray, shape (N, units), or None
        The slope dL/da; None where the loss was differentiated at the logits.
    delta : ndarray, shape (N, units)
        The slope dL/dz.
    d_weights, d_bias : ndarray, shapes (fan_in, units) and (units,)
        The slopes dL/dW and dL/db; d_bias is None for a layer without a bias.
    """

    weights: Array
    bias: Array | None
    activation: str
    inputs: Array
    pre_activation: Array
    output: Array
    d_output: Array | None
    delta: Array
    d_weights: Array
    d_bias: Array | None

    def __repr__(self) -> str:
        """Return the sizes, the activation and the size of delta."""
        fan_in, units = self.weights.shape
        return f"LayerTrace({fan_in} -> {units}, {self.activation!r}, |delta| {np.linalg.norm(self.delta):.4g})"


def flat_parameters(layers: Sequence[Dense]) -> NDArray[np.float64]:
    """Return all weights and biases as one vector.

    Parameters
    ----------
    layers : sequence of Dense
        The stack, first layer first.

    Returns
    -------
    ndarray, shape (P,)
        In the order of ``keras.Model.trainable_variables``: weights, then bias, layer by layer.

    Examples
    --------
    >>> from gdexplain import Dense
    >>> from gdexplain.by_hand.network import flat_parameters
    >>> flat_parameters([Dense([[1.0, 2.0]], [3.0, 4.0])])
    array([1., 2., 3., 4.])
    """
    stack = items("layers", layers, "a sequence of at least one gdexplain.Dense", at_least=1)
    return np.concatenate([array.ravel() for layer in stack for array in instance("layers", layer, Dense).arrays])


def check_stack(layers: Sequence[Dense], inputs: ArrayLike) -> NDArray[np.float64]:
    """Return the inputs as float64 (N, D) if they fit the first layer and each layer fits the next."""
    form = "a sequence of at least one gdexplain.Dense (as_layers makes it of a Keras model)"
    for place, layer in enumerate(items("layers", layers, form, at_least=1)):
        instance(f"layers[{place}]", layer, Dense, "a gdexplain.Dense")
    rows = finite_array("inputs", inputs, ndim=2, booleans=True)
    if len(rows) == 0:
        raise ValueError(f"inputs must have at least one row, not shape {rows.shape}.")
    width, whose = rows.shape[1], "inputs has"
    for place, layer in enumerate(layers):
        if layer.weights.shape[0] != width:
            raise ValueError(
                f"layers[{place}].weights must have {width} rows, as {whose} {width} columns, "
                f"not shape {layer.weights.shape}."
            )
        width, whose = layer.weights.shape[1], f"layers[{place}].weights has"
    return rows


def check_targets(loss: str, targets: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return targets fit for the loss and outputs of shape (N, K): float64 (N, K), or labels (N,) where it is sparse."""
    array = finite_array("targets", targets, booleans=True)
    if loss.startswith("sparse"):
        return _check_labels(array, shape)
    if array.ndim == 1 and shape[1] == 1:
        array = array[:, np.newaxis]
    if array.shape != shape:
        hint = f" Whole-number labels go with 'sparse_{loss}'." if loss.startswith("categorical") else ""
        raise ValueError(f"targets must have the outputs' shape {shape} for loss {loss!r}, not {array.shape}.{hint}")
    if "crossentropy" in loss and (array.min() < 0 or array.max() > 1):
        raise ValueError(f"targets must lie in [0, 1] for loss {loss!r}, not in [{array.min():g}, {array.max():g}].")
    if loss.startswith("categorical") and not np.allclose(array.sum(axis=1), 1.0, rtol=0, atol=1e-6):
        row = int(np.argmax(np.abs(array.sum(axis=1) - 1.0)))
        raise ValueError(f"targets must sum to 1 in each row for loss {loss!r}, but row {row} is {array[row]}.")
    return array


def _check_labels(array: Array, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return labels of shape (N,), each a whole number below the number of outputs."""
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.shape != shape[:1]:
        raise ValueError(f"targets must be {shape[0]} labels, one a row of inputs, not of shape {array.shape}.")
    if np.any(labels != np.floor(labels)) or labels.min() < 0 or labels.max() >= shape[1]:
        raise ValueError(f"targets must be whole numbers from 0 to {shape[1] - 1}, one for each output, not {labels}.")
    return labels.astype(np.int64)


def loss_at_end(loss: str, activation: str) -> tuple[Loss, bool]:
    """Return the loss to take, and whether it takes the last layer's logits in place of its outputs.

    Keras differentiates a cross-entropy and the sigmoid or softmax before it as one; so does this.
    """
    longer = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}
    name = longer.get(one_of("loss", loss, [*LOSSES, *longer]), loss)
    record = LOSSES[name]
    if activation not in ("sigmoid", "softmax"):
        return record, False
    if loss.endswith("from_logits"):
        raise ValueError(f"loss {loss!r} takes logits: the last layer must be 'linear', not {activation!r}.")
    return (LOSSES[record.at_logits], True) if record.at_logits else (record, False)
