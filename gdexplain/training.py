"""Training in Keras with every update on record: one compiled loop around the model's own step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from gdexplain import _keras, _model
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
        examples along their first axis. Data frames, series, tensors and nested lists of numbers are arrays too. As under
        ``fit``, floating numbers are cast to ``keras.config.floatx()`` (of a float64 model to float64), whole numbers
        stay as they are; y is None where a model needs no targets.
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
    The loss of an update is the one that Keras computes before it: the mean over the batch's entries for ``"mse"``. A
    float64 model computes it in float64, which under ``fit`` takes ``keras.config.set_floatx("float64")``. Of a loss
    that is not reduced, Keras reports the mean and takes the gradient of the sum; so does the record. Without XLA
    (``jit=False``), results equal those of ``fit`` with ``jit_compile=False`` on the same batches to the last bit. The gradients are those of the batch, before the
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
    epochs = positive_int("epochs", epochs)
    optimizer = _as_optimizer(optimizer)
    _model.check_model(model)
    problem = _model.pose(model, dataset, loss, batch_size=batch_size)
    order = _as_matrix(batch_order(problem.examples, batch_size, epochs, seed=seed, shuffle=shuffle))
    _check_optimizer(optimizer, problem)
    with _model.unchanged_if_refused(model, optimizer):
        _compile(problem, optimizer, loss, jit=jit)
        chunk = _chunk_length(model, len(order), len(kinds), every, progress=progress)
        place, loop = _compile_loop(problem, order, kinds, chunk, every, jit=jit)
    record_of, diverged = _run(place, loop, problem, order, chunk, progress=progress)
    if model.optimizer.use_ema:  # as fit does when it ends
        model.optimizer.finalize_variable_values(model.trainable_variables)
    total = len(record_of["loss"])
    nothing = np.empty((0, _keras.parameter_count(model)), problem.dtype)
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


def _compile(problem: _model.Problem, optimizer: keras.optimizers.Optimizer, loss: Any, *, jit: bool) -> None:
    """Compile the model as fit would find it, with the loss that was checked."""
    model, variables = problem.model, problem.variables
    model.compile(optimizer=optimizer, loss=_model.named_loss(loss), jit_compile=jit, auto_scale_loss=False)
    vars(model)["_compile_loss"] = problem.loss
    if not optimizer.built:
        optimizer.build(variables)


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


def _check_optimizer(optimizer: keras.optimizers.Optimizer, problem: _model.Problem) -> None:
    """Refuse an optimizer whose memory belongs to other weights."""
    if not optimizer.built:
        return
    try:
        optimizer._check_variables_are_known(problem.variables)
    except ValueError as error:
        raise ValueError(
            f"optimizer must be a new one for these weights: {optimizer.name!r} was built for other ones "
            "(of another model, or before a layer was unfrozen)."
        ) from error


def _chunk_length(model: keras.Model, total: int, kinds: int, every: int, *, progress: bool) -> int:
    """Return how many updates one call of the loop makes: a multiple of `every` whose record fits the memory."""
    size = _keras.parameter_count(model)
    rows = max(1, _CHUNK_BYTES // (8 * size * max(1, kinds)))
    length = min(_CHUNK_UPDATES, rows * every, total)
    if progress:
        length = min(length, -(-total // _PROGRESS_CHUNKS))
    return -(-length // every) * every


def _make_step(problem: _model.Problem, *, jit: bool) -> Callable[[Any], tuple[Any, Any]]:
    """Write one update on the given rows as `fit` makes it; it returns the loss and the gradient before it."""
    data, variables, dtype = problem.tensors(), problem.variables, problem.dtype

    def step(rows: Any) -> tuple[Any, Any]:
        loss, gradients = problem.gradients(*_model.map_arrays(lambda array: tf.gather(array, rows), data))
        problem.model.optimizer.apply(gradients, variables)
        dense = [
            tf.zeros(variable.shape, dtype) if gradient is None else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return loss, _model.flat(dense, dtype)

    # As under fit, a function of its own: TensorFlow regroups sums and products in the body of a loop, but not in this.
    return step if jit else tf.function(step, autograph=False)


def _compile_loop(
    problem: _model.Problem,
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
    dtype, step, variables, state = problem.dtype, _make_step(problem, jit=jit), problem.variables, _state(problem)
    widths = sorted({int(np.count_nonzero(rows >= 0)) for rows in order[[0, -1]]}, reverse=True)
    # Slot s keeps what is after s * every updates: each slot is overwritten until then, the last one to the end.
    row = (_keras.parameter_count(problem.model),)
    slots: dict[str, tuple[int, tuple[int, ...]]] = {"loss": (length, ())}
    slots |= dict.fromkeys(kinds, (length // every + 1, row))
    placed = tf.Variable(np.full((length + 1, order.shape[1]), -1), trainable=False)

    def parameters() -> Any:
        return _model.flat([variable.value for variable in variables], dtype)

    def update(rows: Any, width: int, k: Any, _: Any, arrays: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        batch = rows[k, :width]
        if len(widths) == 1:  # as under fit, which knows how long a batch is if all are: TensorFlow rounds by it
            batch = tf.ensure_shape(batch, [width])
        loss, gradient = step(batch)
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
    try:
        compiled = tf.function(loop, jit_compile=jit, autograph=False).get_concrete_function()
        compiled()  # no batch is in place yet: it makes no update, but XLA says what it cannot compile
    except Exception as error:
        hint = " Without jit=True it may." if jit else ""
        raise ValueError(
            f"model, loss and optimizer must make a step that compiles.{hint} Keras says: {_keras.reason(error)}"
        ) from error

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
    place: Place, loop: Loop, problem: _model.Problem, order: NDArray[np.int64], length: int, *, progress: bool
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
                for variable, value in zip(_state(problem), before, strict=True):
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


def _state(problem: _model.Problem) -> list[Any]:
    """Return every variable that an update may change."""
    known = [*problem.model.variables, *problem.model.optimizer.variables, *problem.state]
    return list({id(variable): variable for variable in known}.values())


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
