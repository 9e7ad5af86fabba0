"""Training in Keras with every update on record: one compiled loop around the model's own step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial, reduce
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from gdexplain._checks import flag, positive_int
from gdexplain.data import Dataset, batches_in_order
from gdexplain.in_keras import backend, core
from gdexplain.in_keras.ledger import RECORD_BYTES, Ledger, check_budget, record_kinds
from gdexplain.record import Trajectory

_CHUNK_BYTES = 16 * 2**20  # what the compiled loop may hold before the record moves to NumPy
_CHUNK_UPDATES = 8192
_FIRST_CHUNK = 1  # until it is known how long an update takes
_CHUNK_SECONDS = 0.25  # how long a call of the loop may take, as far as an update lets it: Ctrl-C waits for its end

Arrays = dict[str, NDArray[Any]]
Place = Callable[[Sequence[NDArray[np.int64]], int], None]
Loop = Callable[[], tuple[int, Arrays]]


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
    record: Collection[str] = ("parameters", "gradients"),
    record_every: int = 1,
    max_bytes: int = RECORD_BYTES,
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
    max_bytes : int
        How large the record may be; 2 GiB if left out. A larger one is refused before a weight moves.
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
    (``jit=False``), results equal those of ``fit`` with ``jit_compile=False`` on the same batches to the last bit (with
    batch normalisation TensorFlow's graph optimiser may add in another order, and a last bit may differ). The gradients are
    those of the batch, before the optimizer clips or averages them. With ``use_ema=True`` the record keeps the raw weights, and the model ends with
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
    kinds, every = record_kinds(record), positive_int("record_every", record_every)
    max_bytes, epochs = positive_int("max_bytes", max_bytes), positive_int("epochs", epochs)
    jit, progress = flag("jit", jit), flag("progress", progress)
    optimizer = as_optimizer(optimizer)
    core.check_model(model)
    problem = core.pose(model, dataset, loss, batch_size=batch_size)
    backend.check_start(model)
    n, size = problem.examples, backend.parameter_count(model)
    batches = batches_in_order(n, batch_size, epochs, seed=seed, shuffle=shuffle)
    width = n if batch_size is None else int(batch_size)
    per_epoch = -(-n // width)
    total = epochs * per_epoch
    every = min(every, total)  # which keeps the same rows, and is a number that TensorFlow can count with
    check_budget(total, size, kinds, every, problem.dtype, max_bytes)
    _check_optimizer(optimizer, problem)
    with core.unchanged_if_refused(model, optimizer):
        _compile(problem, optimizer, loss, jit=jit)
        ledger = Ledger(backend.flat_parameters(model), kinds, every, total=total, max_bytes=max_bytes)
        length = _chunk_length(total, width, size, len(kinds), every)
        place, loop = _compile_loop(problem, (width, n % width or width), kinds, length, every, jit=jit)
    settings = {"seed": seed, "shuffle": shuffle, "jit": jit}
    about = {"updates_per_epoch": per_epoch, "batch_size": width, **_about(problem, dataset, settings)}
    try:
        diverged = _run(place, loop, problem, batches, ledger, total, length, progress=progress)
    except BaseException as stop:  # Ctrl-C too
        _leave_record(stop, ledger.trajectory(backend.flat_parameters(model), diverged=False, **about))
        raise
    run = ledger.trajectory(backend.flat_parameters(model), diverged=diverged, **about)
    if optimizer.use_ema:  # as fit does when it ends
        optimizer.finalize_variable_values(model.trainable_variables)
    return run


def _about(problem: core.Problem, dataset: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the words of the record."""
    name = dataset.name if isinstance(dataset, Dataset) else "arrays"
    said = {option: str(value) for option, value in settings.items()}
    return {
        "label": backend.label(problem.model.optimizer),
        "layout": backend.layout(problem.model),
        "provenance": {"data": name, **said, **backend.versions()},
    }


def _leave_record(stop: BaseException, run: Trajectory) -> None:
    """Hang the record of a run that was stopped on what stopped it."""
    stop.trajectory = run  # type: ignore[attr-defined]
    stop.add_note(f"train was stopped after {len(run):,} updates: their record is this exception's `trajectory`.")


def _compile(problem: core.Problem, optimizer: keras.optimizers.Optimizer, loss: Any, *, jit: bool) -> None:
    """Compile the model as fit would find it, with the loss that was checked."""
    model, variables = problem.model, problem.variables
    model.compile(optimizer=optimizer, loss=core.named_loss(loss), jit_compile=jit, auto_scale_loss=False)
    vars(model)["_compile_loss"] = problem.loss
    if not optimizer.built:
        optimizer.build(variables)


def optimizer_of(optimizer: Any) -> keras.optimizers.Optimizer:
    """Return an optimizer, or that of a name."""
    if isinstance(optimizer, str):
        try:
            optimizer = keras.optimizers.get(optimizer)
        except ValueError as error:
            raise ValueError(f"optimizer must be the name of a Keras optimizer, not {optimizer!r}.") from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise TypeError(f"optimizer must be a keras.optimizers.Optimizer or its name, not {optimizer!r}.")
    return optimizer


def scales_loss(optimizer: keras.optimizers.Optimizer) -> bool:
    """Say whether an optimizer wants the gradient of a scaled loss."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor is not None


def as_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer; refuse by name those whose updates are not one for each batch gradient."""
    optimizer = optimizer_of(optimizer)
    if scales_loss(optimizer):
        raise ValueError(
            f"optimizer must not scale the loss (LossScaleOptimizer, loss_scale_factor), but {optimizer.name!r} does: "
            "it skips updates, and the record has one row for each. Use fit with the callback RecordTrajectory instead."
        )
    return optimizer


def _check_optimizer(optimizer: keras.optimizers.Optimizer, problem: core.Problem) -> None:
    """Refuse an optimizer whose memory belongs to other weights."""
    if not optimizer.built:
        return
    try:
        optimizer._check_variables_are_known(problem.variables)
    except ValueError as error:
        raise ValueError(backend.OTHER_WEIGHTS.format(optimizer.name)) from error


def _chunk_length(total: int, width: int, size: int, kinds: int, every: int) -> int:
    """Return how many updates one call of the loop makes at most, so that neither its rows nor its batches weigh much."""
    rows = max(1, _CHUNK_BYTES // (8 * size * max(1, kinds)))
    batches = max(1, _CHUNK_BYTES // (16 * width))
    return min(_CHUNK_UPDATES, rows * every, batches, total)


def _make_step(problem: core.Problem, *, jit: bool) -> Callable[[Any], tuple[Any, Any]]:
    """Write one update on the given rows as `fit` makes it; it returns the loss and the gradient before it."""
    data, variables, dtype = problem.tensors(), problem.variables, problem.dtype

    def step(rows: Any) -> tuple[Any, Any]:
        loss, gradients = problem.gradients(*core.map_arrays(lambda array: tf.gather(array, rows), data))
        problem.model.optimizer.apply_gradients(
            zip(gradients, variables, strict=True)
        )  # as fit calls it: some override it
        dense = [
            tf.zeros(variable.shape, dtype) if gradient is None else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        return loss, core.flat(dense, dtype)

    # As under fit, a function of its own: TensorFlow regroups sums and products in the body of a loop, but not in this.
    return step if jit else tf.function(step, autograph=False)


def _compile_loop(
    problem: core.Problem,
    widths: Collection[int],
    kinds: tuple[str, ...],
    length: int,
    every: int,
    *,
    jit: bool,
) -> tuple[Place, Loop]:
    """Write the loop over at most `length` updates as one tf.function; it stops at the first that is not finite.

    Two functions come back: one puts the rows of these updates in place, the other makes the updates. Each in its own
    call, because handing TensorFlow an argument takes longer than a hundred updates of a neuron. `widths` says how many
    examples a batch may have.
    """
    dtype, step, variables = problem.dtype, _make_step(problem, jit=jit), problem.variables
    placed = tf.Variable(np.zeros((length, max(widths)), np.int64), trainable=False)
    examples = tf.Variable(np.zeros(length + 1, np.int32), trainable=False)  # in each batch; none ends the loop
    phase = tf.Variable(0, trainable=False)  # how many updates the last multiple of `every` lies back
    since = 0  # the same for Python
    # A slot is overwritten until its row is the one to keep; those at both ends may be left unfinished.
    row = (backend.parameter_count(problem.model),)
    slots: dict[str, tuple[int, tuple[int, ...]]] = {"loss": (length, ())}
    slots |= dict.fromkeys(kinds, ((length + 2 * every - 3) // every + 1, row))

    def update(
        rows: Any, start: Any, width: int, k: Any, _: Any, arrays: dict[str, Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        batch = rows[k, :width]
        if len(set(widths)) == 1:  # as under fit, which knows how long a batch is if all are: TensorFlow rounds by it
            batch = tf.ensure_shape(batch, [width])
        loss, gradient = step(batch)
        after = core.flat([variable.value for variable in variables], dtype)
        now = {
            "loss": (k, loss),
            "parameters": ((start + k) // every, after),
            "gradients": ((start + k + every - 1) // every, gradient),
        }
        written = {kind: array.write(*now[kind]) for kind, array in arrays.items()}
        finite = tf.math.is_finite(loss) & tf.math.is_finite(gradient) & tf.math.is_finite(after)
        return k + 1, tf.reduce_all(finite), written

    def loop() -> list[Any]:
        rows, many, start = (tf.convert_to_tensor(variable) for variable in (placed, examples, phase))
        arrays = {kind: tf.TensorArray(dtype, size, element_shape=shape) for kind, (size, shape) in slots.items()}

        def batches(now: Any, width: int) -> Any:  # all that follow with this many examples: XLA must know how many
            return _while(lambda k, finite, _: finite & (many[k] == width), partial(update, rows, start, width), now)

        def epochs(now: Any) -> Any:  # batches of the one width, then of the other, until there are no more
            return _while(lambda k, finite, _: finite & (many[k] > 0), lambda *now: reduce(batches, ordered, now), now)

        begin, ordered = (tf.constant(0), tf.constant(True), arrays), sorted(set(widths), reverse=True)
        done, finite, arrays = epochs(begin) if len(ordered) > 1 else batches(begin, *ordered)
        return [done - tf.cast(~finite, tf.int32), *(array.stack() for array in arrays.values())]

    # A concrete function is traced once, here; TensorFlow would warn of a tf.function made anew for each training run.
    try:
        compiled = tf.function(loop, jit_compile=jit, autograph=False).get_concrete_function()
        compiled()  # no batch is in place yet: it makes no update, but XLA says what it cannot compile
    except Exception as error:
        hint = " Without jit=True it may." if jit else ""
        raise ValueError(
            f"model, loss and optimizer must make a step that compiles.{hint} Keras says: {backend.reason(error)}"
        ) from error

    def place(batches: Sequence[NDArray[np.int64]], done: int) -> None:
        nonlocal since
        since = done % every
        phase.assign(since)
        many = np.zeros(examples.shape, np.int32)
        many[: len(batches)] = [len(rows) for rows in batches]
        examples.assign(many)
        if batches:
            placed[: len(batches)].assign(_as_matrix(batches, max(widths)))

    def call() -> tuple[int, Arrays]:
        made, *outputs = compiled()
        good = int(made)
        kept = {  # of parameters and gradients, the rows at the multiples of `every` that were passed
            "loss": slice(good),
            "parameters": slice((since + good) // every),
            "gradients": slice(-(-since // every), -(-(since + good) // every)),
        }
        return good, {kind: np.asarray(array)[kept[kind]] for kind, array in zip(slots, outputs, strict=True)}

    return place, call


def _run(
    place: Place,
    loop: Loop,
    problem: core.Problem,
    batches: Iterator[NDArray[np.int64]],
    ledger: Ledger,
    total: int,
    length: int,
    *,
    progress: bool,
) -> bool:
    """Make the updates, chunk by chunk; say whether they diverged. Whatever stops it, the model is where the ledger ends."""
    state, now = _state(problem), _FIRST_CHUNK
    ledger.commit(0, _values(state))
    try:
        with progress_bar(total, shown=progress) as bar:
            while ledger.done[0] < total:
                chunk, began = list(itertools.islice(batches, now)), time.perf_counter()
                good = _run_chunk(place, loop, state, chunk, ledger)
                now = max(1, min(length, int(len(chunk) * _CHUNK_SECONDS / (time.perf_counter() - began))))
                bar.update(good)
                if good < len(chunk):
                    return True
    except BaseException:  # Ctrl-C too: the chunk under way may have come to its end, and to NaN, or not
        _assign(state, ledger.done[1])
        raise
    return False


def _run_chunk(place: Place, loop: Loop, state: list[Any], batches: Sequence[NDArray[np.int64]], ledger: Ledger) -> int:
    """Make the updates of one chunk and put them on record; return how many were finite.

    If one is not, the chunk is taken back and run again up to the last that was. A layer with chance of its own may
    make other updates then, of which fewer are finite, so that it is run once more.
    """
    done, before = ledger.done
    place(batches, done)
    good, record = loop()
    while good < len(batches):
        _assign(state, before)
        batches = batches[:good]
        place(batches, done)
        good, record = loop()
    first = {"loss": done, "parameters": done // ledger.every + 1, "gradients": -(-done // ledger.every)}
    for kind, values in record.items():
        ledger.write(kind, first[kind], values)
    ledger.commit(done + good, _values(state))
    return good


def _values(state: list[Any]) -> list[Any]:
    """Return what variables hold now."""
    return [tf.identity(variable.value) for variable in state]


def _assign(state: list[Any], values: list[Any]) -> None:
    """Put variables back to what they held."""
    for variable, value in zip(state, values, strict=True):
        variable.assign(value)


def _state(problem: core.Problem) -> list[Any]:
    """Return every variable that an update may change."""
    known = [*problem.model.variables, *problem.model.optimizer.variables, *problem.state]
    return list({id(variable): variable for variable in known}.values())


def progress_bar(total: int, *, shown: bool, unit: str = "update") -> Any:
    """Return a bar for the terminal or the notebook; tqdm.auto warns where widgets are missing, so only if asked."""
    if not shown:
        return tqdm(total=total, disable=True)
    from tqdm.auto import tqdm as widget

    return widget(total=total, unit=unit)


def _as_matrix(order: Sequence[NDArray[np.int64]], width: int) -> NDArray[np.int64]:
    """Return batches as one matrix, a row each; nobody reads the end of a short one."""
    lengths = np.array([len(rows) for rows in order])
    matrix = np.zeros((len(order), width), np.int64)
    matrix[np.arange(width) < lengths[:, np.newaxis]] = np.concatenate(order)
    return matrix


def _while(condition: Callable[..., Any], body: Callable[..., Any], carried: tuple[Any, ...]) -> Any:
    """Repeat `body` in the compiled graph, one update after the other."""
    return tf.while_loop(condition, body, carried, parallel_iterations=1)
