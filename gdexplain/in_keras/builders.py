"""Small Keras models to explain with, and a Keras model as layers of the hand-written wing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from gdexplain._checks import finite_array, instance, items, one_of, positive_int, real, refused, seed_of
from gdexplain.by_hand.functions import ACTIVATIONS
from gdexplain.by_hand.network import Dense

_DTYPES = ("float16", "float32", "float64", "bfloat16")


def build_linear(weight: float = 0.0, bias: float = 0.0, *, dtype: str = "float32") -> keras.Model:
    r"""Build one linear neuron with a known start.

    .. math:: \hat y = w x + b

    Parameters
    ----------
    weight, bias : float
        The start, :math:`w_0` and :math:`b_0`.
    dtype : str
        The dtype of weights and arithmetic.

    Returns
    -------
    keras.Model
        A ``Sequential`` of one ``Dense(1)`` on inputs (N, 1); its parameters are (w, b), in this order.

    Raises
    ------
    TypeError, ValueError
        If the start is not finite or the dtype is not a floating one.

    Examples
    --------
    >>> from gdexplain import build_linear
    >>> [value.item() for value in build_linear(0.5, -1.0).get_weights()]
    [0.5, -1.0]
    """
    given = {"weight": real("weight", weight), "bias": real("bias", bias)}
    dtype = one_of("dtype", dtype, _DTYPES)
    start = [finite_array(name, value, dtype=dtype) for name, value in given.items()]
    model = keras.Sequential(
        [
            keras.Input((1,), dtype=dtype, name="x"),
            keras.layers.Dense(1, kernel_initializer="zeros", dtype=dtype, name="neuron"),
        ],
        name="linear",
    )
    model.set_weights([start[0].reshape(1, 1), start[1].reshape(1)])
    return model


def build_mlp(
    units: Sequence[int],
    *,
    inputs: int,
    activation: str = "tanh",
    output_activation: str | None = None,
    seed: int,
    dtype: str = "float32",
) -> keras.Model:
    r"""Build a stack of dense layers whose start depends on the seed and nothing else.

    .. math:: a_0 = x, \qquad a_l = \varphi(a_{l-1} W_l + b_l)

    Parameters
    ----------
    units : sequence of int
        The width of each layer; the last one is the output layer.
    inputs : int
        How many columns the inputs have.
    activation : str
        The activation :math:`\varphi` of every layer but the last, by its Keras name.
    output_activation : str or None
        The activation of the last layer; None for a linear one.
    seed : int
        Seed of the kernels (Glorot uniform, Keras' default; biases start at 0).
    dtype : str
        The dtype of weights and arithmetic.

    Returns
    -------
    keras.Model
        A ``Sequential`` with layers named ``dense_1``, ``dense_2``, ...

    Raises
    ------
    TypeError, ValueError
        If a width is not a whole number of at least 1, there is no layer, or a name is unknown.

    References
    ----------
    .. [1] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
       AISTATS 2010.

    Examples
    --------
    >>> from gdexplain import build_mlp
    >>> build_mlp([3, 1], inputs=2, seed=0).count_params()
    13
    """
    wanted = "the width of at least one layer, such as [8, 1]"
    widths = [positive_int(f"units[{place}]", w) for place, w in enumerate(items("units", units, wanted, at_least=1))]
    _check_activation("activation", activation)
    if output_activation is not None:
        _check_activation("output_activation", output_activation)
    first = seed_of("seed", seed)
    dtype = one_of("dtype", dtype, _DTYPES)
    layers = [keras.Input((positive_int("inputs", inputs),), dtype=dtype, name="x")]
    for place, width in enumerate(widths, start=1):
        layers.append(
            keras.layers.Dense(
                width,
                activation=activation if place < len(widths) else output_activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed=first + place - 1),
                dtype=dtype,
                name=f"dense_{place}",
            )
        )
    return keras.Sequential(layers, name="mlp")


def _check_activation(name: str, activation: Any) -> None:
    """Refuse what is not the name of one of Keras' activations."""
    if not isinstance(activation, str):
        raise refused(TypeError, name, "the name of one of Keras' activations", activation)
    try:
        keras.activations.get(activation)
    except ValueError as error:
        raise refused(ValueError, name, "the name of one of Keras' activations", activation) from error


def as_layers(model: keras.Model) -> list[Dense]:
    """See a Keras stack of dense layers as arrays, for `trace_backprop`.

    Parameters
    ----------
    model : keras.Model
        A ``Sequential``, or a functional model that is one chain: ``Dense`` layers, each perhaps followed by an
        ``Activation``; ``Flatten`` before the first of them is passed over, as rows are flat already.

    Returns
    -------
    list of Dense
        The layers with their present weights, copied in float64. `Dense.arrays`, layer by layer, stand in the order of
        ``model.trainable_variables``.

    Raises
    ------
    TypeError
        If `model` is not a Keras model.
    ValueError
        If the model is not built or no chain or has a loss of its own, or a layer is of another kind, is frozen, has a
        penalty, a constraint or an activation that `Dense` does not know; the message names the layer.

    Examples
    --------
    >>> from gdexplain import as_layers, build_mlp
    >>> as_layers(build_mlp([3, 1], inputs=2, seed=0))
    [Dense(2 -> 3, 'tanh'), Dense(3 -> 1, 'linear')]
    """
    stack: list[Dense] = []
    for layer in _chain(model):
        if "call" in vars(layer):
            raise ValueError(f"model must have layers as Keras made them, but the call of {layer.name!r} is another.")
        if type(layer) is keras.layers.Dense:  # a subclass may compute anything
            stack.append(_as_dense(layer))
        elif type(layer) is keras.layers.Activation and stack:
            function = _activation_name(layer)
            if "linear" not in (function, stack[-1].activation):
                raise ValueError(f"model must have one activation a layer, but {layer.name!r} is a second one.")
            name = stack[-1].activation if function == "linear" else function
            stack[-1] = Dense(stack[-1].weights, stack[-1].bias, name)
        elif stack or type(layer) not in (keras.layers.InputLayer, keras.layers.Flatten):
            kind = type(layer).__name__
            raise ValueError(f"model must be a stack of Dense and Activation layers, but {layer.name!r} is a {kind}.")
    if not stack:
        raise ValueError("model must have a Dense layer, but it has none.")
    return stack


def _chain(model: keras.Model) -> list[Any]:
    """Return the layers of a model in which each feeds the next and nothing else."""
    instance("model", model, keras.Model, "a keras.Model")
    if not model.built:
        raise ValueError("model must be built: start it with keras.Input, or call it once on data.")
    layers = list(model.layers)
    graph = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    if not graph or not _is_keras_own(type(model).call):
        raise ValueError(f"model must be Sequential or functional, but {type(model).__name__} is a subclass.")
    if not _is_keras_own(model.compute_loss):
        raise ValueError(
            f"model must have Keras' own compute_loss, but {type(model).__name__} overrides it: the trace would be that "
            "of another loss. KerasObjective takes such a model."
        )
    if isinstance(model, keras.Sequential):
        return layers
    pairs = itertools.pairwise(layers)
    if model.output is not layers[-1].output or any(after.input is not before.output for before, after in pairs):
        raise ValueError("model must be one chain of layers, each feeding the next, but it branches or shares a layer.")
    return layers


def _is_keras_own(thing: Any) -> bool:
    """Say whether a class or a function is Keras' own, and not a subclass's or a user's."""
    return str(thing.__module__).startswith("keras.")


def _as_dense(layer: keras.layers.Dense) -> Dense:
    """Copy one Keras layer, if arrays and an activation say all about it."""
    held = (layer.kernel_regularizer, layer.bias_regularizer, layer.activity_regularizer)
    if not layer.trainable or any((*held, layer.kernel_constraint, layer.bias_constraint)):
        raise ValueError(
            "model must have trainable layers without penalties and constraints, "
            f"but {layer.name!r} is frozen or has one."
        )
    if layer.lora_enabled or layer.quantization_mode is not None:
        raise ValueError(f"model must have plain Dense layers, but {layer.name!r} has LoRA or is quantized.")
    weights = [np.asarray(weight, np.float64) for weight in layer.get_weights()]
    return Dense(weights[0], weights[1] if layer.use_bias else None, _activation_name(layer))


def _activation_name(layer: Any) -> str:
    """Return the name of a layer's activation if it is Keras' own and `Dense` knows it."""
    name = getattr(layer.activation, "__name__", "")
    if name not in ACTIVATIONS or keras.activations.get(name) is not layer.activation:
        known, shown = ", ".join(map(repr, ACTIVATIONS)), name or type(layer.activation).__name__
        raise ValueError(f"activation of layer {layer.name!r} must be one of Keras' {known}, not {shown!r}.")
    return str(name)
