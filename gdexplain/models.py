"""Keras models seen by the rest: small ones whose start is known, and any one as arrays or as an objective."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from gdexplain import _keras
from gdexplain._checks import finite_array, one_of, positive_int, real
from gdexplain.data import Dataset
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
        [keras.Input((1,), dtype=dtype, name="x"), keras.layers.Dense(1, dtype=dtype, name="neuron")], name="linear"
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
    if isinstance(units, int) or len(units) == 0:
        raise ValueError(f"units must list the width of at least one layer, such as [8, 1], not {units!r}.")
    widths = [positive_int(f"units[{place}]", width) for place, width in enumerate(units)]
    dtype = one_of("dtype", dtype, _DTYPES)
    layers = [keras.Input((positive_int("inputs", inputs),), dtype=dtype, name="x")]
    for place, width in enumerate(widths, start=1):
        layers.append(
            keras.layers.Dense(
                width,
                activation=activation if place < len(widths) else output_activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed + place - 1),
                dtype=dtype,
                name=f"dense_{place}",
            )
        )
    return keras.Sequential(layers, name="mlp")


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
        if isinstance(layer, keras.layers.Dense):
            stack.append(_as_dense(layer))
        elif isinstance(layer, keras.layers.Activation) and stack:
            function = _activation_name(layer)
            if "linear" not in (function, stack[-1].activation):
                raise ValueError(f"model must have one activation a layer, but {layer.name!r} is a second one.")
            name = stack[-1].activation if function == "linear" else function
            stack[-1] = Dense(stack[-1].weights, stack[-1].bias, name)
        elif stack or not isinstance(layer, keras.layers.InputLayer | keras.layers.Flatten):
            kind = type(layer).__name__
            raise ValueError(f"model must be a stack of Dense and Activation layers, but {layer.name!r} is a {kind}.")
    if not stack:
        raise ValueError("model must have a Dense layer, but it has none.")
    return stack


def _chain(model: keras.Model) -> list[Any]:
    """Return the layers of a model in which each feeds the next and nothing else."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, not {type(model).__name__}.")
    if not model.built:
        raise ValueError("model must be built: start it with keras.Input, or call it once on data.")
    layers = list(model.layers)
    if isinstance(model, keras.Sequential):
        return layers
    if not hasattr(model, "operations"):
        raise ValueError(f"model must be Sequential or functional, but {type(model).__name__} is a subclass.")
    pairs = itertools.pairwise(layers)
    if model.output is not layers[-1].output or any(after.input is not before.output for before, after in pairs):
        raise ValueError("model must be one chain of layers, each feeding the next, but it branches or shares a layer.")
    return layers


def _as_dense(layer: keras.layers.Dense) -> Dense:
    """Copy one Keras layer, if arrays and an activation say all about it."""
    if not layer.trainable or layer.kernel_regularizer or layer.bias_regularizer or layer.activity_regularizer:
        raise ValueError(
            f"model must have trainable layers without penalties, but {layer.name!r} is frozen or has one."
        )
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
        Any built Keras model with one input and one output; its own weights are never changed.
    dataset : Dataset
        The examples; a row of inputs is reshaped to the model's ``input_shape``.
    loss : str, callable or keras.losses.Loss
        As for ``model.compile``, or a name of `trace_backprop` such as ``"binary_crossentropy_from_logits"``.

    Raises
    ------
    TypeError
        If `model` is not a Keras model, or `dataset` not a `Dataset`.
    ValueError
        If the model is not built, has no trainable weight, does not fit the data, or the loss is unknown.

    Notes
    -----
    The model runs as in ``evaluate`` (``training=False``: Dropout is off, BatchNormalization uses its averages), and
    the penalties of its layers are added. The loss is computed in the model's dtype, which ``compile`` does not do: it
    takes ``keras.config.floatx()``. Theta, loss and gradient are float64 outside, whatever the model's dtype is.

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
    dataset: Dataset
    loss: Any = field(default="mse", kw_only=True)
    _functions: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check that model, data and loss fit, and write the functions of theta."""
        if not isinstance(self.model, keras.Model):
            raise TypeError(f"model must be a keras.Model, not {type(self.model).__name__}.")
        if not isinstance(self.dataset, Dataset):
            raise TypeError(f"dataset must be a gdexplain.Dataset, not {type(self.dataset).__name__}.")
        if not self.model.built or not self.model.trainable_variables:
            raise ValueError("model must be built and have a trainable weight.")
        self._functions.update(_functions_of_theta(self.model, self.dataset, self.loss))

    @property
    def size(self) -> int:
        """How many examples the loss is a mean of."""
        return len(self.dataset)

    @property
    def precision(self) -> str:
        """What the model computes in: "float64", or "float32" for anything less."""
        return _keras.record_dtype(self.model)

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
        along = tf.constant(finite_array("vector", vector, ndim=1), at.dtype)
        return np.asarray(self._run("hessian_product", at, rows, along), np.float64)

    def _run(self, name: str, *arguments: Any) -> Any:
        """Call one of the functions, compiled when it is first needed."""
        if not isinstance(self._functions[name], tf.types.experimental.ConcreteFunction):
            self._functions[name] = self._functions[name].get_concrete_function()
        return self._functions[name](*arguments)

    def _arguments(self, theta: ArrayLike, rows: ArrayLike | None) -> tuple[Any, Any]:
        """Turn theta and rows into tensors."""
        flat = finite_array("theta", theta, ndim=1)
        size = _keras.parameter_count(self.model)
        if len(flat) != size:
            raise ValueError(f"theta must have the model's {size} parameters, not {len(flat)}.")
        index = np.arange(len(self.dataset)) if rows is None else np.asarray(rows)
        return tf.constant(flat, _keras.record_dtype(self.model)), tf.constant(index, tf.int64)


def _functions_of_theta(model: keras.Model, dataset: Dataset, loss: Any) -> dict[str, Any]:
    """Compile the loss, its gradient and its Hessian product as functions of flat weights."""
    dtype = _keras.record_dtype(model)
    shapes = [tuple(variable.shape) for variable in model.trainable_variables]
    sizes = [int(np.prod(shape)) for shape in shapes]
    x, y = tf.constant(_as_input(model, dataset, dtype)), dataset.targets
    y = tf.constant(y if y.ndim == 1 else y.astype(dtype))
    options = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    loss_of = _loss_of(loss)
    _check_targets(loss, tuple(y.shape[1:]), tuple(model(x[:1], **options).shape[1:]))

    def mean_loss(theta: Any, rows: Any) -> Any:
        weights = [tf.reshape(part, shape) for part, shape in zip(tf.split(theta, sizes), shapes, strict=True)]
        fixed = [variable.value for variable in model.non_trainable_variables]
        outputs, _, penalties = model.stateless_call(weights, fixed, tf.gather(x, rows), return_losses=True, **options)
        return tf.add_n([tf.cast(part, dtype) for part in (loss_of(tf.gather(y, rows), outputs), *penalties)])

    def value_and_grad(theta: Any, rows: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = mean_loss(theta, rows)
        return value, tape.gradient(value, theta, unconnected_gradients="zero")

    def hessian_product(theta: Any, rows: Any, vector: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            along = tf.reduce_sum(value_and_grad(theta, rows)[1] * vector)
        return tape.gradient(along, theta, unconnected_gradients="zero")

    flat, index = tf.TensorSpec([sum(sizes)], dtype), tf.TensorSpec([None], tf.int64)
    wanted = {mean_loss: [flat, index], value_and_grad: [flat, index], hessian_product: [flat, index, flat]}
    return {each.__name__: tf.function(each, specs, autograph=False) for each, specs in wanted.items()}


def _as_input(model: keras.Model, dataset: Dataset, dtype: str) -> NDArray[Any]:
    """Give the rows of inputs the shape that the model asks for."""
    rows = dataset.inputs.astype(dtype)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or None in shape[1:]:
        return rows
    if int(np.prod(shape[1:])) != rows.shape[1]:
        raise ValueError(
            f"dataset must have inputs of {np.prod(shape[1:])} columns for this model, not {rows.shape[1]}."
        )
    return rows.reshape(-1, *shape[1:])


def _loss_of(loss: Any) -> Any:
    """Return the mean loss of (targets, outputs) as Keras computes it, but in the outputs' dtype."""
    record = _named_loss(loss) if isinstance(loss, str) else loss
    if not callable(record):
        raise TypeError(f"loss must be a name, a callable or a keras.losses.Loss, not {loss!r}.")
    # a Loss casts to floatx when it is called, which costs a float64 model half its digits; its `call` does not
    each = record.call if isinstance(record, keras.losses.Loss) else record
    reduce = tf.reduce_sum if getattr(record, "reduction", "") == "sum" else tf.reduce_mean

    def mean(targets: Any, outputs: Any) -> Any:
        if len(targets.shape) == 1 and outputs.shape[1:] == (1,):
            targets = tf.expand_dims(targets, 1)
        return reduce(each(targets, outputs))

    return mean


def _check_targets(loss: Any, targets: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    """Refuse targets that Keras would stretch over the outputs, for the losses known by name."""
    plain = isinstance(loss, str) and not loss.lower().startswith("sparse")
    if plain and targets != outputs and not (targets == () and outputs == (1,)):
        raise ValueError(f"dataset must have targets with rows of shape {outputs} for loss {loss!r}, not {targets}.")


def _named_loss(name: str) -> Any:
    """Return a loss by its Keras name, or by the name that `trace_backprop` has for its form from logits."""
    stem = name.removesuffix("_from_logits")
    try:
        if stem != name:
            return getattr(keras.losses, stem.title().replace("_", ""))(from_logits=True)
        return keras.losses.get(name)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"loss must be the name of a Keras loss, not {name!r}.") from error


def keras_gradient(model: keras.Model, dataset: Dataset, *, loss: Any = "mse") -> tuple[float, NDArray[np.float64]]:
    """Take the loss and its gradient at a model's present weights by GradientTape.

    Parameters
    ----------
    model : keras.Model
        As for `KerasObjective`.
    dataset : Dataset
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
    model: keras.Model, dataset: Dataset, *, loss: Any = "mse", parameters: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Measure the largest eigenvalue of the loss's Hessian.

    .. math:: \lambda_{\max} = \max_{\lVert v \rVert = 1} v^\top \nabla^2 L(\theta)\, v

    Parameters
    ----------
    model : keras.Model
        As for `KerasObjective`.
    dataset : Dataset
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
    points = objective.theta if parameters is None else finite_array("parameters", parameters)
    if points.ndim not in (1, 2):
        raise ValueError(f"parameters must have shape (P,) or (K, P), not {points.shape}.")
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
    exact = _keras.record_dtype(objective.model) == "float64"
    values = eigsh(operator, k=1, which="LA", v0=start, tol=1e-10 if exact else 1e-5, return_eigenvectors=False)
    return float(values[0])


def in_float64(model: keras.Model) -> keras.Model:
    """Copy a Sequential or functional model, weights and all, into float64.

    Parameters
    ----------
    model : keras.Model
        A built model; it is not changed.

    Returns
    -------
    keras.Model
        A copy that computes in float64, from its inputs to its outputs.

    Raises
    ------
    ValueError
        If the model cannot be copied from its configuration (a subclass, or a layer that takes no dtype).

    Notes
    -----
    A layer's own activation function is kept as it is, so that a gradient of your own (``tf.custom_gradient``) is the
    one that is checked.

    Examples
    --------
    >>> from gdexplain import build_linear
    >>> from gdexplain.models import in_float64
    >>> in_float64(build_linear(0.5)).get_weights()[0].dtype
    dtype('float64')
    """

    def copy(layer: Any) -> Any:
        config = {**layer.get_config(), "dtype": "float64"}
        if "activation" in config:
            config["activation"] = layer.activation
        return type(layer).from_config(config)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a lambda that it would write into a file
            starts = [keras.Input(batch_shape=one.shape, dtype="float64", name=one.name) for one in model.inputs]
            double = keras.models.clone_model(model, input_tensors=starts, clone_function=copy)
            double.set_weights([np.asarray(weight, np.float64) for weight in model.get_weights()])
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ValueError(
            f"model must be Sequential or functional, of layers that take a dtype. Keras: {reason}"
        ) from error
    return double


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
    record = _named_loss(loss) if isinstance(loss, str) else loss
    if not isinstance(record, keras.losses.Loss):
        return next((name for function, name in _LOSS_FUNCTIONS if function is record), "")
    name, config = _LOSS_CLASSES.get(type(record), ""), record.get_config()
    if not name or any(config[key] != value for key, value in type(record)().get_config().items() if key in _OPTIONS):
        return ""
    return name + ("_from_logits" if config.get("from_logits") else "")
