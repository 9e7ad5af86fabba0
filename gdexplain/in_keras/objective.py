"""The loss of a Keras model as a function of its flat parameters: value, gradient, curvature, sharpness."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from gdexplain._checks import finite_array, instance, row_numbers
from gdexplain.by_hand.functions import LOSSES
from gdexplain.in_keras import backend
from gdexplain.in_keras.backend import NOTHING_TO_TRAIN
from gdexplain.in_keras.core import Problem, in_float64, map_arrays, named_loss, pose, rounding
from gdexplain.record import Layout

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
    >>> from gdexplain.in_keras.objective import KerasObjective
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
    _weights: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that model, data and loss fit, and write the functions of theta."""
        instance("model", self.model, keras.Model, "a keras.Model")
        if not self.model.built:
            raise ValueError("model must be built: start it with keras.Input, or call it once on data.")
        if not self.model.trainable_variables:
            raise ValueError(NOTHING_TO_TRAIN)
        object.__setattr__(self, "_problem", pose(self.model, self.dataset, self.loss))
        object.__setattr__(self, "_weights", self.layout)
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
            raise ValueError(f"model must compute in float64. {backend.reason(error)}") from error
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
        return backend.layout(self.model)

    @property
    def theta(self) -> NDArray[np.float64]:
        """The model's present trainable weights, flat, shape (P,)."""
        return np.asarray(backend.flat_parameters(self.model), np.float64)

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
            raise ValueError(f"model and loss must have {wanted}. TensorFlow says: {backend.reason(error)}") from error

    def _arguments(self, theta: ArrayLike, rows: ArrayLike | None) -> tuple[Any, Any]:
        """Turn theta and rows into tensors."""
        if self.layout != self._weights:
            raise ValueError(
                "model must keep the trainable weights that it had when this objective was made, but a layer was frozen "
                "or unfrozen since: make a new KerasObjective."
            )
        flat = finite_array("theta", theta, ndim=1, dtype=self.precision)
        size = backend.parameter_count(self.model)
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

    size = backend.parameter_count(problem.model)
    flat, index = tf.TensorSpec([size], problem.dtype), tf.TensorSpec([None], tf.int64)
    wanted = {mean_loss: [flat, index], value_and_grad: [flat, index], hessian_product: [flat, index, flat]}
    return {each.__name__: tf.function(each, specs, autograph=False) for each, specs in wanted.items()}


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
    >>> from gdexplain.in_keras.objective import sharpness
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
    size, start = len(theta), np.random.default_rng(0).standard_normal(len(theta))
    along = objective.hessian_product(theta, start)
    if not np.all(np.isfinite(along)):
        raise ValueError(
            f"parameters must be a point with a finite second derivative in {objective.precision}, but that of the "
            f"loss is not at theta of size {np.linalg.norm(theta):.3g}."
        )
    if size <= _DENSE_HESSIAN:
        hessian = np.array([objective.hessian_product(theta, row) for row in np.eye(size)])
        return float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])
    if not np.any(along):
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
    >>> from gdexplain.in_keras.objective import loss_name
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
