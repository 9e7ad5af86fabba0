"""A live Keras model as a function: the one place where model, loss and data become a loss and its gradient."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.compile_utils import CompileLoss  # what `compile` makes of a loss; Keras exports it nowhere
from numpy.typing import NDArray

from gdexplain._checks import positive_int
from gdexplain.data import Dataset
from gdexplain.in_keras import backend
from gdexplain.in_keras.arrays import as_arrays
from gdexplain.in_keras.backend import NOTHING_TO_TRAIN, reason
from gdexplain.in_keras.checks import check_count, check_indices, check_length, check_targets


class _Watch(keras.StatelessScope):  # type: ignore[misc]  # Keras has no types
    """A scope in which nothing is assigned for good; it lists the variables that would have been."""

    def __init__(self) -> None:
        super().__init__(collect_losses=True)
        self.assigned: dict[int, Any] = {}

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Keep the value for the time of the scope, and the variable in the list."""
        self.assigned[id(update[0])] = update[0]
        super().add_update(update)

    def hold(self, variables: Sequence[Any]) -> None:
        """Let penalties find these variables here: Keras looks for them nowhere else."""
        for variable in variables:
            if self.get_current_value(variable) is None:
                super().add_update((variable, variable.value))


@dataclass(frozen=True, eq=False)
class Problem:
    """A live model, its loss and its data, checked against each other: what is minimised.

    The model is called as it is, with its present state, masks, penalties and `compute_loss`. Nothing of it is copied,
    and nothing but `update`'s own step changes it.

    Parameters
    ----------
    model : keras.Model
        Any Keras model; one that is not built yet is built on the data, as `fit` builds it.
    x, y : array or structure of arrays
        The data, one example a row; y is None for a model that needs no targets.
    examples : int
        How many rows there are.
    dtype : str
        What losses and gradients are kept in: "float64" for a float64 model, else "float32".
    loss : CompileLoss or None
        What `compile` would make of the loss.
    state : tuple of keras.Variable
        What a training step changes besides the trainable weights: moving averages, seeds, states of RNNs.
    double : bool
        Whether the model computes in float64, whatever its own dtype is; see `in_float64`.
    """

    model: keras.Model
    x: Any
    y: Any
    examples: int
    dtype: str
    loss: Any
    state: tuple[Any, ...] = field(default=(), repr=False)
    double: bool = False

    @property
    def variables(self) -> list[Any]:
        """The trainable weights, in Keras' order."""
        return list(self.model.trainable_variables)

    def tensors(self, rows: Any = None) -> tuple[Any, Any]:
        """Return inputs and targets as tensors; those of `rows` (NumPy) alone, if given."""
        kept = (self.x, self.y) if rows is None else take((self.x, self.y), rows)
        return map_arrays(tf.constant, kept)  # type: ignore[no-any-return]

    def run(self, inputs: Any, targets: Any, *, training: bool) -> Any:
        """Return the loss of the live model on a batch, as Keras computes it: a number, or one an example."""
        return self.loss_of(inputs, targets, self.predict(inputs, training=training), training=training)

    def predict(self, inputs: Any, *, training: bool) -> Any:
        """Call the live model on a batch."""
        return self.model(inputs, **_training(self.model.call, training))

    def loss_of(self, inputs: Any, targets: Any, prediction: Any, *, training: bool) -> Any:
        """Return the loss of a prediction, with the model's penalties, by its own `compute_loss`."""
        compute = self.model.compute_loss
        with _installed(self.model, self.loss):
            return compute(inputs, targets, prediction, None, **_training(compute, training))

    def split(self, theta: Any) -> list[Any]:
        """Return the trainable weights, each in its shape and dtype, of a flat row of them."""
        parts = tf.split(theta, [int(np.prod(variable.shape)) for variable in self.variables])
        return [
            tf.cast(tf.reshape(part, variable.shape), "float64" if self.double else variable.dtype)
            for part, variable in zip(parts, self.variables, strict=True)
        ]

    def loss_at(self, weights: Sequence[Any], inputs: Any, targets: Any, *, training: bool = False) -> Any:
        """Return the loss of a batch if the trainable weights were these; the model stays as it is."""
        scope = keras.StatelessScope(collect_losses=True)
        for variable, weight in zip(self.variables, weights, strict=True):
            scope.add_update((variable, weight))
        if not self.double:
            with scope:
                return self.run(inputs, targets, training=training)
        for variable in self.model.non_trainable_variables:
            if _is_float(variable):
                scope.add_update((variable, tf.cast(variable.value, "float64")))
        with _computing_in_float64(self.model), scope:
            return self.run(inputs, targets, training=training)

    def mean(self, loss: Any) -> Any:
        """Return a loss as the one number that Keras reports: its mean, where a loss is not reduced."""
        return tf.reduce_mean(tf.cast(loss, self.dtype))

    def gradients(self, inputs: Any, targets: Any) -> tuple[Any, list[Any]]:
        """Return loss and gradients of the live model on a batch, as `fit` takes them in a training step.

        Keras adds up a loss that is not reduced (``reduction="none"``) when it takes the gradient, and reports its mean.
        """
        with tf.GradientTape() as tape:
            loss = self.run(inputs, targets, training=True)
        return self.mean(loss), tape.gradient(loss, [variable.value for variable in self.variables])

    def value_and_grad(self, theta: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return loss and flat gradient at flat weights, as in `evaluate`."""
        with tf.GradientTape() as tape:
            tape.watch(theta)
            value = self.mean(self.loss_at(self.split(theta), inputs, targets))
        return value, tape.gradient(value, theta, unconnected_gradients="zero")

    def hessian_product(self, theta: Any, vector: Any, inputs: Any, targets: Any) -> Any:
        """Return the Hessian of `value_and_grad` at theta times a vector."""
        with tf.GradientTape() as tape:
            tape.watch(theta)
            along = tf.reduce_sum(self.value_and_grad(theta, inputs, targets)[1] * vector)
        return tape.gradient(along, theta, unconnected_gradients="zero")


def pose(model: keras.Model, dataset: Any, loss: Any, *, batch_size: int | None = None) -> Problem:
    """Check a model, its data and its loss against each other; nothing but an unbuilt model changes.

    The model is tried on the first batch of each size that training will meet.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, not {type(model).__name__}.")
    _refuse_loss_weights(model)
    dtype, floats = backend.record_dtype(model), data_dtype(model)
    x, y, n = _as_data(model, dataset, floats)
    size = n if batch_size is None else positive_int("batch_size", batch_size, at_most=n)
    problem = Problem(model, x, y, n, dtype, _compile_loss(model, loss))
    state: dict[int, Any] = {}
    for width in dict.fromkeys((size, n % size or size)):
        check_length(model, width)
        state |= _try(problem, width)
    check_indices(problem, size)
    if not model.trainable_variables:
        raise ValueError(NOTHING_TO_TRAIN)
    if backend.record_dtype(model) != dtype:  # a model says so only once it is built
        return pose(model, dataset, loss, batch_size=batch_size)
    weights = {id(variable) for variable in model.trainable_variables}
    return Problem(model, x, y, n, dtype, problem.loss, tuple(v for key, v in state.items() if key not in weights))


def _refuse_loss_weights(model: keras.Model) -> None:
    """Refuse a model that was compiled with weights for its losses: a loss that is handed over has none."""
    compiled = getattr(model, "_compile_loss", None)
    if getattr(compiled, "_user_loss_weights", None) is not None:
        raise ValueError(
            "model must not be compiled with loss_weights, which are no part of the loss that is handed over. Use fit "
            "with the callback RecordTrajectory instead, or compile without them and put the weights into the losses."
        )


def check_model(model: keras.Model) -> None:
    """Refuse by name the models that a compiled loop cannot train as `fit` would."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, not {type(model).__name__}.")
    name, instead = type(model).__name__, "Use fit with the callback RecordTrajectory instead."
    if has_own_step(model):
        raise ValueError(f"model must use Keras' own train_step, but {name} overrides it. {instead}")
    if tf.distribute.has_strategy() or model.distribute_strategy is not tf.distribute.get_strategy():
        strategy = type(model.distribute_strategy).__name__
        raise ValueError(f"model must not be built or trained under a tf.distribute strategy ({strategy}). {instead}")
    if model.dtype_policy.name == "mixed_float16":
        raise ValueError(
            "model must not have the dtype policy mixed_float16: fit scales its loss (LossScaleOptimizer) and skips "
            f"updates, so that a record with one row an update would be another run. {instead} Or take mixed_bfloat16."
        )


def has_own_step(model: keras.Model) -> bool:
    """Say whether a model overrides Keras' train_step."""
    return getattr(model.train_step, "__func__", None) is not keras.Model.train_step


def in_float64(problem: Problem, dataset: Any) -> Problem:
    """Let the same live model compute in float64, for a check that rounding must not disturb; nothing is copied.

    The weights are the model's own, with more digits behind them. An operation that insists on another dtype raises, or
    rounds in the middle: compare the loss with the live model's before you trust it.
    """
    model = problem.model
    x, y, n = _as_data(model, dataset, "float64")
    loss = None if problem.loss is None else _in_dtype(_twin(problem.loss), "float64")
    return replace(problem, x=x, y=y, examples=n, dtype="float64", loss=loss, double=True)


def data_dtype(model: keras.Model) -> str:
    """Return what floating data and losses are cast to: Keras' floatx, as under `fit`, but float64 for such a model."""
    return "float64" if backend.record_dtype(model) == "float64" else str(keras.config.floatx())


def take(data: Any, rows: Any) -> Any:
    """Return the given rows of every array."""
    return map_arrays(lambda leaf: leaf[rows], data)


def flat(tensors: Sequence[Any], dtype: str) -> Any:
    """Return tensors as one flat row."""
    return tf.concat([tf.reshape(tf.cast(tf.convert_to_tensor(tensor), dtype), [-1]) for tensor in tensors], axis=0)


def named_loss(loss: Any) -> Any:
    """Return a loss as `compile` takes it: `trace_backprop`'s names with ``_from_logits`` become Keras' objects."""
    if loss is None or isinstance(loss, keras.losses.Loss) or (callable(loss) and not isinstance(loss, type)):
        return loss
    if isinstance(loss, dict | list | tuple) and not loss:
        raise ValueError(f"loss must be one loss, or one for each output of the model, not {loss!r}.")
    if isinstance(loss, dict):
        return {key: named_loss(item) for key, item in loss.items()}
    if isinstance(loss, list | tuple):  # `model.loss` is a list of Keras' own kind, which cannot be made anew
        return [named_loss(item) for item in loss]
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name, a callable or a keras.losses.Loss, not {loss!r}.")
    stem = loss.removesuffix("_from_logits")
    try:
        if stem != loss:
            return getattr(keras.losses, stem.title().replace("_", ""))(from_logits=True)
        if loss.lower() not in ("crossentropy", "ce"):  # these two Keras chooses by the shapes
            keras.losses.get(loss)
    except (AttributeError, ValueError) as error:
        raise ValueError(f"loss must be the name of a Keras loss, not {loss!r}.") from error
    return loss


def rounding(model: keras.Model) -> float:
    """Return how far, in parts of itself, a loss may be from its value in float64: by the coarsest dtype on its way."""
    kinds = {data_dtype(model), *(str(layer.compute_dtype) for layer in model._flatten_layers())}
    return 0.2 if "bfloat16" in kinds else 0.05 if "float16" in kinds else 1e-3


@contextlib.contextmanager
def unchanged_if_refused(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Put back how the model was compiled, and an optimizer that was not built yet, if the block raises."""
    compiled, built, updates = dict(vars(model)), optimizer.built, int(optimizer.iterations)
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(compiled)
        if not built:  # what Keras has noted in it stands in many places: a new one has none of it
            with contextlib.suppress(Exception):  # one without a configuration stays as it is: no weight has moved
                new = type(optimizer).from_config(optimizer.get_config())
                new.iterations.assign(updates)
                vars(optimizer).clear()
                vars(optimizer).update(vars(new))
        raise


def map_arrays(function: Callable[[Any], Any], data: Any) -> Any:
    """Apply a function to every array; targets that are None stay so."""
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), data)


def _training(function: Callable[..., Any], training: bool) -> dict[str, bool]:
    """Return the argument `training` for a function that takes it, as Keras does."""
    return {"training": training} if "training" in inspect.signature(function).parameters else {}


def _count(model: keras.Model, which: str) -> int:
    """Return how many inputs or outputs a model is known to have; 1 if it does not say."""
    try:
        return max(1, len(getattr(model, which)))
    except (AttributeError, TypeError, ValueError):  # a subclass, or a model that is not built
        return 1


def _as_data(model: keras.Model, dataset: Any, dtype: str) -> tuple[Any, Any, int]:
    """Return inputs, targets and the number of examples as the model takes them."""
    x, y, n = as_arrays(dataset, dtype, inputs=_count(model, "inputs"), outputs=_count(model, "outputs"))
    return (_as_input(model, x) if isinstance(dataset, Dataset) else x), y, n


def _as_input(model: keras.Model, rows: NDArray[Any]) -> NDArray[Any]:
    """Give the rows of a `Dataset`, which are flat, the shape that the model asks for."""
    shape = getattr(model, "input_shape", None) if model.built else None
    if not isinstance(shape, tuple) or None in shape[1:] or not all(isinstance(size, int) for size in shape[1:]):
        return rows
    if int(np.prod(shape[1:])) != rows.shape[1]:
        raise ValueError(
            f"dataset must fit the model's inputs: {np.prod(shape[1:])} columns for shape {shape}, not {rows.shape[1]}."
        )
    return rows.reshape(-1, *shape[1:])


def _compile_loss(model: keras.Model, loss: Any) -> Any:
    """Return what `compile` makes of a loss, in the model's dtype from the first: penalties are added to it."""
    known = named_loss(loss)
    if known is None:
        return None
    compiled = CompileLoss(known, output_names=getattr(model, "output_names", None))

    def build(targets: Any, predictions: Any) -> None:
        CompileLoss.build(compiled, targets, predictions)
        _in_dtype(compiled, data_dtype(model))

    vars(compiled)["build"] = build
    return compiled


@contextlib.contextmanager
def _installed(model: keras.Model, loss: Any) -> Iterator[None]:
    """Let the model's `compute_loss` find a loss, and put back what was there."""
    before = vars(model).get("_compile_loss")
    vars(model)["_compile_loss"] = loss  # past Keras' tracking of attributes: it is there for a moment only
    try:
        yield
    finally:
        vars(model)["_compile_loss"] = before


def _is_float(thing: Any) -> bool:
    """Say whether a variable or a symbolic tensor holds floating numbers."""
    return "float" in str(thing.dtype)


@contextlib.contextmanager
def _computing_in_float64(model: keras.Model) -> Iterator[None]:
    """Let every layer, weight and symbolic input of a live model say that it is of float64, and put back what it said.

    It lasts for the trace of one function. The weights' float64 values are those of the scope around it.
    """
    layers = model._flatten_layers()
    graphs = [graph for layer in layers for graph in (layer, getattr(layer, "_functional", None))]
    inputs = [tensor for graph in graphs for tensor in getattr(graph, "_inputs", None) or ()]
    said = [(layer, "_dtype_policy", keras.DTypePolicy("float64")) for layer in layers]
    starts = [layer for layer in layers if "_dtype" in vars(layer)]  # an InputLayer
    said += [(each, "_dtype", "float64") for each in (*starts, *inputs, *model.variables) if _is_float(each)]
    before = [(each, name, vars(each)[name]) for each, name, _ in said]
    for each, name, value in said:
        vars(each)[name] = value
    try:
        yield
    finally:
        for each, name, value in before:
            vars(each)[name] = value


def _try(problem: Problem, width: int) -> dict[int, Any]:
    """Trace a training step on `width` rows in a scope that forgets it; return the variables it would assign.

    Nothing is computed: Keras traces a model in the same way before its first batch.
    """
    model, failed = problem.model, list[Exception]()

    def step(inputs: Any, targets: Any) -> None:
        try:
            prediction = problem.predict(inputs, training=True)
        except Exception as error:
            failed.append(error)
            raise ValueError(f"dataset must fit the model's inputs. Keras says: {reason(error)}") from error
        scope.hold(model.trainable_variables)
        check_count(problem, prediction)
        try:
            problem.loss_of(inputs, targets, prediction, training=True)
        except Exception as error:
            check_targets(problem, inputs, targets, prediction)
            failed.append(error)
            hint = " Take loss=None for a model that needs no targets." if targets is None else ""
            raise ValueError(
                f"y must fit the model's outputs and the loss.{hint} Keras says: {reason(error)}"
            ) from error
        check_targets(problem, inputs, targets, prediction)

    specs = map_arrays(lambda leaf: tf.TensorSpec((width, *leaf.shape[1:]), leaf.dtype), (problem.x, problem.y))
    try:
        with _Watch() as scope:
            tf.function(step, autograph=False).get_concrete_function(*specs)
    except ValueError as error:
        if failed and _runs_eagerly(problem, width):
            raise ValueError(
                "model and loss must run as a graph, from keras.ops or TensorFlow's operations alone. These run eagerly "
                "only: use fit with run_eagerly=True and the callback RecordTrajectory instead. In a graph, Keras says: "
                f"{reason(failed[0])}"
            ) from error
        raise
    return dict(scope.assigned)


def _runs_eagerly(problem: Problem, width: int) -> bool:
    """Say whether a model and its loss run on some rows outside a graph; what they would assign is forgotten."""
    inputs, targets = problem.tensors(np.arange(width) % problem.examples)
    with contextlib.suppress(Exception), keras.StatelessScope(collect_losses=True):
        problem.run(inputs, targets, training=True)
        return True
    return False


def _in_dtype(loss: Any, dtype: str) -> Any:
    """Let a compiled loss compute in a dtype: Keras would give it floatx, which costs a float64 model half its digits."""

    def told(one: Any) -> Any:
        return one if one.dtype == dtype else _twin(one, _dtype=dtype)

    loss._dtype = dtype
    loss._flat_losses = [item._replace(loss=told(item.loss)) for item in loss._flat_losses or ()]
    return loss


def _twin(loss: Any, **changes: Any) -> Any:
    """Copy a loss, which is not the one that a user holds any more; `copy` would save it and load it again."""
    twin = object.__new__(type(loss))
    vars(twin).update(vars(loss) | changes)
    return twin
