"""Training in Keras with every update on record: one compiled loop around the model's own step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from gdexplain import _keras
from gdexplain._checks import one_of, positive_int
from gdexplain.data import Dataset, batch_order
from gdexplain.trajectory import Trajectory

_RECORDS = ("parameters", "gradients")
_CHUNK_BYTES = 64 * 2**20  # what the compiled loop may hold before the record moves to NumPy
_CHUNK_UPDATES = 8192
_PROGRESS_CHUNKS = 50

Arrays = dict[str, NDArray[Any]]
Place = Callable[[NDArray[np.int64]], None]
Loop = Callable[[], tuple[int, list[Any], Arrays]]


def train(
    model: keras.Model,
    dataset: Dataset | tuple[Any, Any],
    *,
    optimizer: str | keras.optimizers.Optimizer,
    loss: Any = "mse",
    batch_size: int | None,
    epochs: int,
    seed: int = 0,
    shuffle: bool = True,
    record: Collection[str] = _RECORDS,
    record_every: int = 1,
    jit: bool = False,
    progress: bool = False,
) -> Trajectory:
    r"""Train a Keras model as `fit` does, and record the parameters, gradient and loss of every update.

    .. math:: \theta_k = \theta_{k-1} + \mathrm{step}_k\bigl(\nabla L_{B_k}(\theta_{k-1})\bigr),
              \qquad k = 1, \dots, T

    Parameters
    ----------
    model : keras.Model
        Any Keras model without a ``train_step`` of its own. It is compiled with `optimizer` and `loss`; afterwards
        model and optimizer hold the trained state, as after ``fit``, and a second call goes on from there.
    dataset : Dataset or (x, y)
        The data, or a pair of arrays (or of nested lists and dicts of arrays, for several inputs or outputs) with
        examples along their first axis. Floating arrays are cast to the model's dtype; whole numbers stay as they are.
    optimizer : keras.optimizers.Optimizer or str
        Schedules, clipping, weight decay, gradient accumulation and moving averages work as under ``fit``.
    loss : str, callable or keras.losses.Loss
        As for ``model.compile``. Regularisation losses of the layers are added, as ``fit`` adds them.
    batch_size : int or None
        Examples an update, from 1 to N; None for all of them (batch gradient descent).
    epochs : int
        Passes over the data.
    seed : int
        Seed of the order of the examples; see `batch_order`.
    shuffle : bool
        Whether each epoch draws a new order.
    record : collection of {"parameters", "gradients"}
        What to record besides the loss.
    record_every : int
        Record parameters and gradients only at every m-th update (and the parameters at the end).
    jit : bool
        Compile with XLA: several times faster, equal to the last digits only.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Trajectory
        The record. A run that diverges ends early: the record stops at the last finite update, and model and
        optimizer hold that state.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind or out of range, the data is not finite, or shapes disagree.

    Notes
    -----
    The loss of an update is the one that Keras computes before it, in the model's dtype: the mean over the batch's
    entries for ``"mse"``. Without XLA (``jit=False``), results for plain dense networks equal ``fit`` with
    ``jit_compile=False`` on the same batches to the last bit. The gradients are those of the batch, before the
    optimizer clips or averages them. With ``use_ema=True`` the record keeps the raw weights, and the model ends with
    the averaged ones, as after ``fit``.

    Examples
    --------
    >>> from gdexplain import build_linear, make_line, train
    >>> model = build_linear()
    >>> run = train(model, make_line(), optimizer="sgd", batch_size=None, epochs=3)
    >>> run.parameters.shape
    (4, 2)
    >>> float(run.loss[0])
    30.0
    """
    kinds = _check_record(record)
    every = positive_int("record_every", record_every)
    dtype = _check_model(model)
    x, y, n = _as_arrays(dataset, dtype)
    order = _as_matrix(batch_order(n, batch_size, epochs, seed=seed, shuffle=shuffle))
    with _keras.floatx(dtype):
        _prepare(model, x, y, optimizer, loss, jit=jit)
        chunk = _chunk_length(model, len(order), len(kinds), every, progress=progress)
        place, loop = _compile_loop(model, (x, y), order, kinds, chunk, every, jit=jit)
        record_of, diverged = _run(place, loop, model, order, chunk, progress=progress)
    if model.optimizer.use_ema:  # as fit does when it ends
        model.optimizer.finalize_variable_values(model.trainable_variables)
    total = len(record_of["loss"])
    nothing = np.empty((0, _keras.parameter_count(model)), dtype)
    return Trajectory(
        parameters=record_of.get("parameters", nothing),
        loss=record_of["loss"],
        gradients=record_of.get("gradients", nothing),
        updates_per_epoch=len(order) // epochs,
        diverged=diverged,
        label=_keras.label(model.optimizer),
        updates=np.append(np.arange(0, total, every), total),
        batch_size=order.shape[1],
        layout=_keras.layout(model),
        provenance={
            "data": dataset.name if isinstance(dataset, Dataset) else "arrays",
            "seed": str(seed),
            "shuffle": str(shuffle),
            "jit": str(jit),
            **_keras.versions(),
        },
    )


def _check_record(record: Collection[str]) -> tuple[str, ...]:
    """Return what to record in a fixed order; a name that is not one of ours is an error."""
    names = [record] if isinstance(record, str) else list(record)
    asked = {one_of("record", name, _RECORDS) for name in names}
    return tuple(name for name in _RECORDS if name in asked)


def _check_model(model: keras.Model) -> str:
    """Refuse by name the models that the loop cannot train as fit would; return the dtype of the record."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, not {type(model).__name__}.")
    if type(model).train_step is not keras.Sequential.train_step:
        raise ValueError(
            f"model must use Keras' own train_step, but {type(model).__name__} overrides it. "
            "Use fit with the callback RecordTrajectory instead."
        )
    if model.distribute_strategy.num_replicas_in_sync > 1:
        raise ValueError("model must not be built under a tf.distribute strategy with several replicas.")
    return _keras.record_dtype(model)


def _as_arrays(dataset: Any, dtype: str) -> tuple[Any, Any, int]:
    """Return inputs, targets (perhaps nested) and the number of examples; floats in `dtype`, all finite."""
    if isinstance(dataset, Dataset):
        x, y = dataset.inputs, dataset.targets
    elif isinstance(dataset, tuple | list) and len(dataset) == 2:
        x, y = dataset
    else:
        raise TypeError(f"dataset must be a Dataset or a pair (x, y) of arrays, not {type(dataset).__name__}.")

    def convert(name: str, value: Any) -> NDArray[Any]:
        array = np.asarray(value)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_) or array.ndim == 0:
            raise TypeError(f"{name} must be an array of numbers, one example a row, not {value!r}.")
        if np.issubdtype(array.dtype, np.floating):
            with np.errstate(over="ignore"):  # what overflows becomes inf, which the next line refuses
                array = array.astype(dtype)
            if not np.all(np.isfinite(array)):
                raise ValueError(f"{name} must be finite in {dtype}, but it has NaN or inf.")
        return array

    x = keras.tree.map_structure(lambda leaf: convert("x", leaf), _listless(x))
    y = keras.tree.map_structure(lambda leaf: convert("y", leaf), _listless(y))
    counts = [len(leaf) for leaf in keras.tree.flatten((x, y))]
    if len(set(counts)) != 1 or counts[0] == 0:
        raise ValueError(f"x and y must have as many examples, and at least one, not {counts}.")
    return x, y, counts[0]


def _listless(value: Any) -> Any:
    """Turn plain lists of numbers into arrays, and leave lists and dicts of arrays as a structure."""
    leaves = keras.tree.flatten(value)
    return value if any(isinstance(leaf, np.ndarray | tf.Tensor) for leaf in leaves) else np.asarray(value)


def _prepare(
    model: keras.Model, x: Any, y: Any, optimizer: str | keras.optimizers.Optimizer, loss: Any, *, jit: bool
) -> None:
    """Build and compile the model as fit would find it, and check that the data fits it."""
    _check_fit(model, x, y, loss)
    model.compile(optimizer=_as_optimizer(optimizer), loss=loss, jit_compile=jit, auto_scale_loss=False)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _check_fit(model: keras.Model, x: Any, y: Any, loss: Any) -> None:
    """Build the model, and refuse data that does not fit it."""
    try:
        prediction = model(keras.tree.map_structure(lambda leaf: leaf[:1], x))
    except ValueError as error:
        raise ValueError(f"dataset must fit the model's inputs. Keras says: {error}") from error
    if not model.trainable_variables:
        raise ValueError("model must have a trainable weight, but all are frozen or there are none.")
    if isinstance(loss, str) and isinstance(y, np.ndarray) and np.issubdtype(y.dtype, np.floating):
        shape = tuple(prediction.shape)
        if y.ndim == len(shape) and y.shape[1:] != shape[1:]:
            raise ValueError(f"y must have the shape of the predictions, {('N', *shape[1:])}, not {y.shape}.")


def _as_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer; refuse by name those whose updates are not one for each batch gradient."""
    if isinstance(optimizer, str):
        try:
            optimizer = keras.optimizers.get(optimizer)
        except ValueError as error:
            raise ValueError(f"optimizer must be the name of a Keras optimizer, not {optimizer!r}.") from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"optimizer must be a keras.optimizers.Optimizer or its name, not {optimizer!r}.")
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor is not None:
        raise ValueError(
            f"optimizer must not scale the loss (LossScaleOptimizer, loss_scale_factor), but {optimizer.name!r} does: "
            "it skips updates, and the record has one row for each."
        )
    return optimizer


def _chunk_length(model: keras.Model, total: int, kinds: int, every: int, *, progress: bool) -> int:
    """Return how many updates one call of the loop makes: a multiple of `every` whose record fits the memory."""
    size = _keras.parameter_count(model)
    rows = max(1, _CHUNK_BYTES // (8 * size * max(1, kinds)))
    length = min(_CHUNK_UPDATES, rows * every, total)
    if progress:
        length = min(length, -(-total // _PROGRESS_CHUNKS))
    return -(-length // every) * every


def _make_step(model: keras.Model, data: tuple[Any, Any], dtype: str) -> Callable[[Any], tuple[Any, Any]]:
    """Write one update on the given rows as `fit` makes it; it returns the loss and the gradient before it."""
    x, y = keras.tree.map_structure(tf.constant, data)
    variables = model.trainable_variables
    training = {"training": True} if "training" in inspect.signature(model.call).parameters else {}

    def step(rows: Any) -> tuple[Any, Any]:
        inputs, targets = keras.tree.map_structure(lambda array: tf.gather(array, rows), (x, y))
        with tf.GradientTape() as tape:
            prediction = model(inputs, **training)
            loss = model.compute_loss(x=inputs, y=targets, y_pred=prediction, sample_weight=None, training=True)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        model.optimizer.apply(gradients, variables)
        dense = [
            tf.zeros(variable.shape, dtype) if gradient is None else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return tf.cast(loss, dtype), _flat(dense, dtype)

    return step


def _compile_loop(
    model: keras.Model,
    data: tuple[Any, Any],
    order: NDArray[np.int64],
    kinds: tuple[str, ...],
    length: int,
    every: int,
    *,
    jit: bool,
) -> tuple[Place, Loop]:
    """Write the loop over at most `length` updates as one tf.function; it stops at the first that is not finite.

    Two functions come back: one puts the rows of these updates in place, the other makes the updates. Each in its own
    call, because handing TensorFlow an argument takes longer than a hundred updates of a neuron.
    """
    dtype = _keras.record_dtype(model)
    step, variables, state = _make_step(model, data, dtype), model.trainable_variables, _state(model)
    widths = sorted({int(np.count_nonzero(rows >= 0)) for rows in order[[0, -1]]}, reverse=True)
    # Slot s keeps what is after s * every updates: each slot is overwritten until then, the last one to the end.
    row = (_keras.parameter_count(model),)
    slots: dict[str, tuple[int, tuple[int, ...]]] = {"loss": (length, ())}
    slots |= dict.fromkeys(kinds, (length // every + 1, row))
    placed = tf.Variable(np.full((length + 1, order.shape[1]), -1), trainable=False)

    def parameters() -> Any:
        return _flat([variable.value for variable in variables], dtype)

    def update(rows: Any, width: int, k: Any, _: Any, arrays: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        loss, gradient = step(rows[k, :width])
        after = parameters()
        now = {
            "loss": (k, loss),
            "parameters": (k // every + 1, after),
            "gradients": ((k + every - 1) // every, gradient),
        }
        written = {kind: array.write(*now[kind]) for kind, array in arrays.items()}
        finite = tf.math.is_finite(loss) & tf.math.is_finite(gradient) & tf.math.is_finite(after)
        return k + 1, tf.reduce_all(finite), written

    def loop() -> list[Any]:
        rows = tf.convert_to_tensor(placed)
        before = [tf.identity(variable.value) for variable in state]
        arrays = {kind: tf.TensorArray(dtype, size, element_shape=shape) for kind, (size, shape) in slots.items()}
        if "parameters" in kinds:
            arrays["parameters"] = arrays["parameters"].write(0, parameters())
        examples = tf.math.count_nonzero(rows >= 0, axis=1, dtype=tf.int32)

        def batches(now: Any, width: int) -> Any:  # all that follow with this many examples: XLA must know how many
            return _while(lambda k, finite, _: finite & (examples[k] == width), partial(update, rows, width), now)

        def epochs(now: Any) -> Any:  # batches of the one width, then of the other, until there are no more
            return _while(
                lambda k, finite, _: finite & (examples[k] > 0), lambda *now: reduce(batches, widths, now), now
            )

        begin = tf.constant(0), tf.constant(True), arrays
        done, finite, arrays = epochs(begin) if len(widths) > 1 else batches(begin, *widths)
        return [done - tf.cast(~finite, tf.int32), *(array.stack() for array in arrays.values()), *before]

    # A concrete function is traced once, here; TensorFlow would warn of a tf.function made anew for each training run.
    compiled = tf.function(loop, jit_compile=jit, autograph=False).get_concrete_function()

    def place(batches: NDArray[np.int64]) -> None:
        rows = np.full(placed.shape, -1)  # an update without examples ends the loop
        rows[: len(batches)] = batches
        placed.assign(rows)

    def call() -> tuple[int, list[Any], Arrays]:
        done, *outputs = compiled()
        good = int(done)
        kept = {"loss": good, "parameters": -(-good // every) + 1, "gradients": -(-good // every)}
        record = {kind: np.asarray(array)[: kept[kind]] for kind, array in zip(slots, outputs, strict=False)}
        return good, outputs[len(slots) :], record

    return place, call


def _run(
    place: Place, loop: Loop, model: keras.Model, order: NDArray[np.int64], length: int, *, progress: bool
) -> tuple[Arrays, bool]:
    """Run the loop chunk by chunk; a chunk that diverges is taken back and run again up to its last finite update."""
    chunks: list[Arrays] = []
    diverged = False
    with _progress_bar(len(order), shown=progress) as bar:
        for first in range(0, len(order), length):
            chunk = order[first : first + length]
            place(chunk)
            good, before, record = loop()
            diverged = good < len(chunk)
            if diverged:
                for variable, value in zip(_state(model), before, strict=True):
                    variable.assign(value)
                place(chunk[:good])
                _, _, record = loop()
            if chunks and "parameters" in record:  # where the last chunk ended
                record["parameters"] = record["parameters"][1:]
            chunks.append(record)
            bar.update(good)
            if diverged:
                break
    if len(chunks) == 1:
        return chunks[0], diverged
    return {kind: np.concatenate([chunk[kind] for chunk in chunks]) for kind in chunks[0]}, diverged


def _state(model: keras.Model) -> list[Any]:
    """Return every variable that an update may change."""
    return [*model.variables, *model.optimizer.variables]


def _progress_bar(total: int, *, shown: bool, unit: str = "update") -> Any:
    """Return a bar for the terminal or the notebook; tqdm.auto warns where widgets are missing, so only if asked."""
    if not shown:
        return tqdm(total=total, disable=True)
    from tqdm.auto import tqdm as widget

    return widget(total=total, unit=unit)


def _as_matrix(order: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the order as one matrix, a row an update; -1 stands in the places that a short batch leaves."""
    width = len(order[0])
    lengths = np.array([len(rows) for rows in order])
    matrix = np.full((len(order), width), -1)
    matrix[np.arange(width) < lengths[:, np.newaxis]] = np.concatenate(order)
    return matrix


def _while(condition: Callable[..., Any], body: Callable[..., Any], carried: tuple[Any, ...]) -> Any:
    """Repeat `body` in the compiled graph, one update after the other."""
    return tf.while_loop(condition, body, carried, parallel_iterations=1)


def _flat(tensors: Sequence[Any], dtype: str) -> Any:
    """Return tensors as one flat row."""
    return tf.concat([tf.reshape(tf.cast(tf.convert_to_tensor(tensor), dtype), [-1]) for tensor in tensors], axis=0)
