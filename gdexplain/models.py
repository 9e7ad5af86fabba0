"""Keras models seen by the rest: small ones whose start is known, and any one as arrays or as an objective."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from gdexplain import _keras
from gdexplain._checks import finite_array, instance, items, one_of, positive_int, real, refused, row_numbers, seed_of
from gdexplain._keras import NOTHING_TO_TRAIN
from gdexplain._model import Problem, in_float64, map_arrays, named_loss, pose, rounding
from gdexplain.functions import ACTIVATIONS, LOSSES
from gdexplain.network import Dense
from gdexplain.trajectory import Layout

_DTYPES = ("float16", "float32", "float64", "bfloat16")
_LOSS_FUNCTIONS = (
    (keras.losses.mean_squared_error, "mse"),
    (keras.losses.mean_absolute_error, "mae"),
    (keras.losses.binary_crossentropy, "binary_crossentropy"),
    (keras.losses.categorical_crossentropy, "categorical_crossentropy"),
    (keras.losses.sparse_categorical_crossentropy, "sparse_categorical_crossentropy"),
)
_LOSS_CLASSES = {
    keras.losses.MeanSquaredError: "mse",
    keras.losses.MeanAbsoluteError: "mae",
    keras.losses.BinaryCrossentropy: "binary_crossentropy",
    keras.losses.CategoricalCrossentropy: "categorical_crossentropy",
    keras.losses.SparseCategoricalCrossentropy: "sparse_categorical_crossentropy",
}
_OPTIONS = {"label_smoothing", "axis", "ignore_class", "reduction"}  # with other values than Keras' own, no name fits
_DENSE_HESSIAN = 32  # parameters up to which the whole Hessian is formed


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
    weight, bias = real("weight", weight), real("bias", bias)
    dtype = one_of("dtype", dtype, _DTYPES)
    model = keras.Sequential(
        [
            keras.Input((1,), dtype=dtype, name="x"),
            keras.layers.Dense(1, kernel_initializer="zeros", dtype=dtype, name="neuron"),
        ],
        name="linear",
    )
    model.set_weights([np.array([[weight]]), np.array([bias])])
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
        If the model is not built or no chain, or a layer is of another kind, is frozen, has a penalty, a constraint or
        an activation that `Dense` does not know; the message names the layer.

    Examples
    --------
    >>> from gdexplain import as_layers, build_mlp
    >>> as_layers(build_mlp([3, 1], inputs=2, seed=0))
    [Dense(2 -> 3, 'tanh'), Dense(3 -> 1, 'linear')]
    """
    stack: list[Dense] = []
    for layer in _chain(model):
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


@dataclass(frozen=True, eq=False)
class KerasObjective:
    """A Keras model's loss on a data set as a function of one flat parameter vector.

    Parameters
    ----------
    model : keras.Model
        Any built Keras model; it is called as it is, with its state, masks and penalties, and never changed.
    dataset : Dataset or (x, y)
        The examples, as for `train`; a row of a `Dataset` is reshaped to the model's ``input_shape``.
    loss : str, callable, keras.losses.Loss, or a list or dict of them
        As for ``model.compile``, or a name of `trace_backprop` such as ``"binary_crossentropy_from_logits"``.

    Raises
    ------
    TypeError
        If `model` is not a Keras model, or `dataset` no data.
    ValueError
        If the model is not built, has no trainable weight, does not fit the data, or the loss is unknown.

    Notes
    -----
    The model runs as in ``evaluate`` (``training=False``: Dropout is off, BatchNormalization uses its averages), the
    penalties of its layers are added, and padded steps are masked. The value is the one that ``evaluate`` reports on
    all rows at once; of a loss that is not reduced, the mean. The loss of a float64 model is computed in float64, which
    ``compile`` does not do: it takes ``keras.config.floatx()``. Theta, loss and gradient are float64 outside, whatever
    the model's dtype is.

    Examples
    --------
    >>> from gdexplain import build_linear, make_line
    >>> from gdexplain.models import KerasObjective
    >>> objective = KerasObjective(build_linear(dtype="float64"), make_line())
    >>> loss, gradient = objective.value_and_grad([0.0, 0.0])
    >>> loss, gradient
    (30.0, array([-30., -10.]))
    """

    model: keras.Model
    dataset: Any
    loss: Any = field(default="mse", kw_only=True)
    _problem: Problem = field(init=False, repr=False)
    _functions: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check that model, data and loss fit, and write the functions of theta."""
        instance("model", self.model, keras.Model, "a keras.Model")
        if not self.model.built:
            raise ValueError("model must be built: start it with keras.Input, or call it once on data.")
        if not self.model.trainable_variables:
            raise ValueError(NOTHING_TO_TRAIN)
        object.__setattr__(self, "_problem", pose(self.model, self.dataset, self.loss))
        self._functions.update(_functions_of_theta(self._problem))

    def in_float64(self) -> KerasObjective:
        """Return the same objective, of the same live model, computed in float64.

        Returns
        -------
        KerasObjective
            One with the float32 weights' values, and float64 arithmetic from inputs to loss.

        Raises
        ------
        ValueError
            If an operation of the model insists on another dtype, or the loss in float64 is another one.
        """
        other = copy.copy(self)
        object.__setattr__(other, "_problem", in_float64(self._problem, self.dataset))
        object.__setattr__(other, "_functions", _functions_of_theta(other._problem))
        try:
            value = other.value(self.theta)
        except ValueError as error:
            raise ValueError(f"model must compute in float64. {_keras.reason(error)}") from error
        scale = max(abs(self.value(at)) for at in (self.theta, self.theta / 2))
        if not abs(value - self.value(self.theta)) <= rounding(self.model) * scale:
            raise ValueError(f"model must compute the same in float64: {value} is not {self.value(self.theta)}.")
        return other

    @property
    def size(self) -> int:
        """How many examples the loss is a mean of."""
        return self._problem.examples

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The data as the model takes it: inputs and targets, arrays or structures of arrays."""
        return self._problem.x, self._problem.y

    @property
    def precision(self) -> str:
        """What the loss is computed in: "float64", or "float32" for anything less."""
        return self._problem.dtype

    @property
    def layout(self) -> Layout:
        """The name and shape of each trainable weight, in order."""
        return _keras.layout(self.model)

    @property
    def theta(self) -> NDArray[np.float64]:
        """The model's present trainable weights, flat, shape (P,)."""
        return np.asarray(_keras.flat_parameters(self.model), np.float64)

    def value(self, theta: ArrayLike, rows: ArrayLike | None = None) -> float:
        """Return the loss alone.

        Parameters
        ----------
        theta : array_like, shape (P,)
            As for `value_and_grad`.
        rows : array_like of int, shape (B,), optional
            As for `value_and_grad`.

        Returns
        -------
        float
            The loss.
        """
        return float(self._run("mean_loss", *self._arguments(theta, rows)))

    def value_and_grad(self, theta: ArrayLike, rows: ArrayLike | None = None) -> tuple[float, NDArray[np.float64]]:
        """Return the loss and its gradient by GradientTape.

        Parameters
        ----------
        theta : array_like, shape (P,)
            The trainable weights, flat, in the order of ``model.trainable_variables``.
        rows : array_like of int, shape (B,), optional
            The examples to take the mean of; all of them if left out.

        Returns
        -------
        loss : float
            The loss.
        gradient : ndarray, shape (P,)
            Its derivatives.
        """
        loss, gradient = self._run("value_and_grad", *self._arguments(theta, rows))
        return float(loss), np.asarray(gradient, np.float64)

    def hessian_product(self, theta: ArrayLike, vector: ArrayLike) -> NDArray[np.float64]:
        """Return the Hessian at theta times a vector, without forming the Hessian.

        Parameters
        ----------
        theta, vector : array_like, shape (P,)
            Where, and what to multiply.

        Returns
        -------
        ndarray, shape (P,)
            The gradient of gradient · vector, by two nested tapes.
        """
        at, rows = self._arguments(theta, None)
        along = finite_array("vector", vector, ndim=1, dtype=at.dtype.as_numpy_dtype)
        if len(along) != len(at):
            raise ValueError(f"vector must have the model's {len(at)} parameters, not {len(along)}.")
        return np.asarray(self._run("hessian_product", at, rows, tf.constant(along)), np.float64)

    def _run(self, name: str, *arguments: Any) -> Any:
        """Call one of the functions, compiled when it is first needed."""
        try:
            if not isinstance(self._functions[name], tf.types.experimental.ConcreteFunction):
                self._functions[name] = self._functions[name].get_concrete_function()
            return self._functions[name](*arguments)
        except (
            LookupError,
            TypeError,
            ValueError,
            tf.errors.InvalidArgumentError,
            tf.errors.UnimplementedError,
        ) as error:
            wanted = "second derivatives" if name == "hessian_product" else "a loss and a gradient on these rows"
            raise ValueError(f"model and loss must have {wanted}. TensorFlow says: {_keras.reason(error)}") from error

    def _arguments(self, theta: ArrayLike, rows: ArrayLike | None) -> tuple[Any, Any]:
        """Turn theta and rows into tensors."""
        flat = finite_array("theta", theta, ndim=1)
        size = _keras.parameter_count(self.model)
        if len(flat) != size:
            raise ValueError(f"theta must have the model's {size} parameters, not {len(flat)}.")
        index = np.arange(self.size) if rows is None else row_numbers("rows", rows, self.size)
        return tf.constant(flat, self.precision), tf.constant(index, tf.int64)


def _functions_of_theta(problem: Problem) -> dict[str, Any]:
    """Compile the loss, its gradient and its Hessian product as functions of flat weights."""
    data = problem.tensors()

    def batch(rows: Any) -> Any:
        return map_arrays(lambda array: tf.gather(array, rows), data)

    def mean_loss(theta: Any, rows: Any) -> Any:
        return problem.mean(problem.loss_at(problem.split(theta), *batch(rows)))

    def value_and_grad(theta: Any, rows: Any) -> tuple[Any, Any]:
        return problem.value_and_grad(theta, *batch(rows))

    def hessian_product(theta: Any, rows: Any, vector: Any) -> Any:
        return problem.hessian_product(theta, vector, *batch(rows))

    size = _keras.parameter_count(problem.model)
    flat, index = tf.TensorSpec([size], problem.dtype), tf.TensorSpec([None], tf.int64)
    wanted = {mean_loss: [flat, index], value_and_grad: [flat, index], hessian_product: [flat, index, flat]}
    return {each.__name__: tf.function(each, specs, autograph=False) for each, specs in wanted.items()}


def keras_gradient(model: keras.Model, dataset: Any, *, loss: Any = "mse") -> tuple[float, NDArray[np.float64]]:
    """Take the loss and its gradient at a model's present weights by GradientTape.

    Parameters
    ----------
    model : keras.Model
        As for `KerasObjective`.
    dataset : Dataset or (x, y)
        As for `KerasObjective`.
    loss : str, callable or keras.losses.Loss
        As for `KerasObjective`.

    Returns
    -------
    loss : float
        The mean loss over the data set.
    gradient : ndarray, shape (P,)
        Its derivatives, flat, in the order of ``model.trainable_variables``.

    Raises
    ------
    TypeError, ValueError
        As `KerasObjective`.

    Examples
    --------
    >>> from gdexplain import build_linear, make_line
    >>> from gdexplain.models import keras_gradient
    >>> keras_gradient(build_linear(), make_line())
    (30.0, array([-30., -10.]))
    """
    objective = KerasObjective(model, dataset, loss=loss)
    return objective.value_and_grad(objective.theta)


def sharpness(
    model: keras.Model, dataset: Any, *, loss: Any = "mse", parameters: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Measure the largest eigenvalue of the loss's Hessian.

    .. math:: \lambda_{\max} = \max_{\lVert v \rVert = 1} v^\top \nabla^2 L(\theta)\, v

    Parameters
    ----------
    model : keras.Model
        As for `KerasObjective`.
    dataset : Dataset or (x, y)
        As for `KerasObjective`.
    loss : str, callable or keras.losses.Loss
        As for `KerasObjective`.
    parameters : array_like, shape (P,) or (K, P), optional
        Where to measure, such as the rows of ``Trajectory.parameters``; the model's present weights if left out.

    Returns
    -------
    ndarray, shape () or (K,)
        One eigenvalue for each row of `parameters`.

    Raises
    ------
    TypeError, ValueError
        As `KerasObjective`, or if `parameters` has another number of columns than the model has parameters.

    Notes
    -----
    Lanczos iteration on Hessian-vector products, from the same start vector each time: a call gives the same digits
    twice. Gradient descent is stable where this is below 2 / learning_rate. A model of up to 32 parameters has its
    whole Hessian formed.

    References
    ----------
    .. [1] J. Cohen, S. Kaur, Y. Li, J. Z. Kolter and A. Talwalkar, "Gradient descent on neural networks typically occurs
       at the edge of stability", ICLR 2021. arXiv:2103.00065

    Examples
    --------
    >>> from gdexplain import build_linear, make_line
    >>> from gdexplain.models import sharpness
    >>> round(float(sharpness(build_linear(dtype="float64"), make_line())), 6)
    16.70061
    """
    objective = KerasObjective(model, dataset, loss=loss)
    size, given = len(objective.theta), objective.theta if parameters is None else parameters
    points = finite_array("parameters", given, dtype=objective.precision).astype(np.float64)
    if points.ndim not in (1, 2) or points.shape[-1] != size:
        raise ValueError(f"parameters must have shape ({size},) or (K, {size}), not {points.shape}.")
    rows = [_largest_eigenvalue(objective, theta) for theta in np.atleast_2d(points)]
    return np.array(rows).reshape(points.shape[:-1])


def _largest_eigenvalue(objective: KerasObjective, theta: NDArray[np.float64]) -> float:
    """Return the largest Hessian eigenvalue at theta."""
    size = len(theta)
    if size <= _DENSE_HESSIAN:
        hessian = np.array([objective.hessian_product(theta, row) for row in np.eye(size)])
        return float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])
    start = np.random.default_rng(0).standard_normal(size)
    if not np.any(objective.hessian_product(theta, start)):
        return 0.0  # flat: Lanczos has no direction to go on with
    operator = LinearOperator(
        (size, size), lambda vector: objective.hessian_product(theta, vector.ravel()), dtype=float
    )
    exact = objective.precision == "float64"
    values = eigsh(operator, k=1, which="LA", v0=start, tol=1e-10 if exact else 1e-5, return_eigenvectors=False)
    return float(values[0])


def loss_name(loss: Any) -> str:
    """Return the name that `trace_backprop` has for a Keras loss, or an empty one if it has none.

    Parameters
    ----------
    loss : str, callable or keras.losses.Loss
        As for ``model.compile``.

    Returns
    -------
    str
        Such as ``"mse"``; empty for a loss with options of its own, such as label smoothing.

    Examples
    --------
    >>> import keras
    >>> from gdexplain.models import loss_name
    >>> loss_name(keras.losses.BinaryCrossentropy(from_logits=True))
    'binary_crossentropy_from_logits'
    """
    if isinstance(loss, str) and loss in LOSSES:
        return loss
    record = named_loss(loss)
    record = keras.losses.get(record) if isinstance(record, str) else record
    if not isinstance(record, keras.losses.Loss):
        return next((name for function, name in _LOSS_FUNCTIONS if function is record), "")
    name, config = _LOSS_CLASSES.get(type(record), ""), record.get_config()
    if not name or any(config[key] != value for key, value in type(record)().get_config().items() if key in _OPTIONS):
        return ""
    return name + ("_from_logits" if config.get("from_logits") else "")
