"""Thousands of training runs at once: vectorised, in tiles, on one machine or many."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import finite_array, flag, instance, number_array, positive_int, real, refused
from gdexplain.data import Dataset
from gdexplain.in_keras import backend, tiling
from gdexplain.in_keras.task import Plan, schedule_of
from gdexplain.in_keras.training import as_optimizer, progress_bar
from gdexplain.record import Sweep

# Optimizers that treat every parameter alike and alone, so that the runs of a tile cannot disturb each other.
_ELEMENTWISE = ("SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Lion", "Ftrl")
_SWEEPABLE = {  # what can differ from run to run besides the rate
    "SGD": ("momentum", "weight_decay"),
    "RMSprop": ("rho", "momentum", "epsilon", "weight_decay"),
    "Adam": ("beta_1", "beta_2", "epsilon", "weight_decay"),
    "AdamW": ("beta_1", "beta_2", "epsilon", "weight_decay"),
}
_BOUNDS: dict[str, dict[str, float]] = {  # what a hyperparameter may be
    "epsilon": {"above": 0},
    "weight_decay": {"at_least": 0},
}
Arrays = dict[str, NDArray[Any]]
Store = Any  # joblib's; it has no types


def sweep(
    model: keras.Model,
    dataset: Dataset | tuple[Any, Any],
    *,
    optimizer: str | keras.optimizers.Optimizer,
    loss: Any = "mse",
    steps: int,
    batch_size: int | None = None,
    learning_rate: ArrayLike | None = None,
    start: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    hyperparameters: Mapping[str, ArrayLike] | None = None,
    seed: ArrayLike = 0,
    shuffle: bool = True,
    target: float | None = None,
    tile: int = 2048,
    jit: bool = True,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Sweep:
    r"""Train a model many times at once, each time from another start or with another rate.

    Run r is the run that `train` would make with row r of the arguments:

    .. math:: \theta^r_k = \theta^r_{k-1} + \mathrm{step}_k\bigl(\nabla L_{B_k}(\theta^r_{k-1});\, \eta^r\bigr),
              \qquad k = 1, \dots, T, \quad r = 1, \dots, R

    Parameters
    ----------
    model : keras.Model
        A Keras model whose layers have no state but their weights: no Dropout, no BatchNormalization. It is a pattern,
        and stays as it is.
    dataset : Dataset or (x, y)
        The data, as for `train`.
    optimizer : keras.optimizers.Optimizer or str
        SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, Lion or Ftrl, with schedules, clipping, weight
        decay. Its configuration counts; a state that it has from training is not used.
    loss : str, callable or keras.losses.Loss
        As for ``model.compile``.
    steps : int
        Updates in each run.
    batch_size : int or None
        Examples an update, from 1 to N; None for all of them.
    learning_rate : float or array_like, shape (R,), optional
        Each run's learning rate; that of the optimizer if left out. It must be left out if the optimizer has a
        schedule: use `scale`.
    start : array_like, shape (R, P), optional
        Each run's first parameters, flat and in Keras' weight order; the model's own if left out.
    scale : array_like, shape (R, P), (R, 1) or (P,), optional
        A factor for the learning rate of each parameter in each run.
    hyperparameters : mapping of str to float or array_like of shape (R,), optional
        Other options of the optimizer that differ from run to run: ``momentum`` of SGD, ``rho``, ``momentum`` of
        RMSprop, ``beta_1``, ``beta_2`` of Adam and AdamW, ``epsilon``, ``weight_decay``.
    seed : int or array_like of int, shape (R,)
        Seed of the order of the examples, one for all runs or one for each; see `batch_order`.
    shuffle : bool
        Whether each epoch draws a new order.
    target : float, optional
        Count the updates until a batch's loss is at most this.
    tile : int
        Runs at once. More are faster, up to a few thousand, and take more memory; the number of runs as a whole does
        not. A tile that does not fit into memory is halved.
    jit : bool
        Compile with XLA.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        A folder that keeps each tile as soon as it is done. The same call goes on from there after an interruption;
        other sweeps may keep theirs in the same folder.

    Returns
    -------
    Sweep
        The record, one run a row. A run that diverges stops where it last was finite; the others go on.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind or out of range, lengths disagree, the model or the optimizer cannot be swept,
        or joblib's backend gives nothing back before all is done.
    OSError
        If the checkpoint cannot be written.
    MemoryError
        If not even a single run fits into memory.

    Notes
    -----
    The parameters of a tile are the rows of one matrix, and Keras' own optimizer updates that matrix, with a learning
    rate that has a row for each run. This is right for optimizers that treat each parameter alone. Clipping by norm is
    done in each run beforehand.

    The learning rates have the model's dtype; Keras keeps its own in float32, under a float64 model too. The two agree
    where the rate is a float32 number.

    Tiles run through joblib, on the backend that ``joblib.parallel_config`` names; without one, in turn. With one seed,
    the tiles' size and the backend change the last digits at most.

    Examples
    --------
    >>> from gdexplain import build_linear, make_line, sweep
    >>> runs = sweep(build_linear(), make_line(), optimizer="sgd", steps=50, learning_rate=[0.01, 0.1, 0.2])
    >>> runs.diverged.tolist()
    [False, False, False]
    >>> (runs.loss < 0.1).tolist()
    [True, True, False]
    """
    seeds = _seeds(seed)
    plan = Plan(
        model,
        dataset,
        loss,
        _checked_optimizer(optimizer),
        steps=positive_int("steps", steps),
        batch_size=None if batch_size is None else positive_int("batch_size", batch_size),
        shuffle=flag("shuffle", shuffle),
        seeded=seeds.size > 1,
        goal=None if target is None else real("target", target),
        jit=flag("jit", jit),
    )
    rows = _make_rows(plan, seeds, learning_rate, start, scale, {} if hyperparameters is None else hyperparameters)
    width = plan.width(positive_int("tile", tile), len(rows["seed"]))
    shown, _, store = flag("progress", progress), _open_pool(), _open_checkpoint(checkpoint)
    made = _run_tiles(plan, rows, width, store, progress=shown)
    if target is None:
        del made["steps_to_target"]
    return Sweep(
        **made,
        steps=plan.steps,
        label=_label(plan.optimizer, rows),
        learning_rate=rows["rate"][:, 0] if "rate" in rows else np.empty(0),
        target=plan.goal,
        hyperparameters={name: rows[name][:, 0] for name in hyperparameters or {}},
        seed=rows["seed"],
        batch_size=plan.batch_size or plan.examples,
        layout=backend.layout(model),
        provenance={
            "data": dataset.name if isinstance(dataset, Dataset) else "arrays",
            "shuffle": str(plan.shuffle),
            "jit": str(plan.jit),
            "tile": str(width),
            **backend.versions(),
        },
    )


def _checked_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer; refuse by name those that cannot train many runs side by side."""
    known = isinstance(optimizer, str) and keras.saving.get_registered_object(optimizer) is None
    optimizer = _named_optimizer(optimizer) if known else as_optimizer(optimizer)
    name = type(optimizer).__name__
    if name not in _ELEMENTWISE or type(optimizer) is not getattr(keras.optimizers, name):
        raise ValueError(f"optimizer must be one of Keras' {', '.join(_ELEMENTWISE)} in a sweep, not {name}.")
    if optimizer.gradient_accumulation_steps and (optimizer.clipnorm or optimizer.global_clipnorm):
        raise ValueError("optimizer must not clip by norm and accumulate gradients at once in a sweep.")
    rate = getattr(optimizer, "_learning_rate", None)
    if callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise TypeError("optimizer must have a number or a Keras schedule as its learning rate, not a function.")
    try:
        optimizer.get_config()
    except NotImplementedError as error:
        raise ValueError(f"optimizer must have a schedule that says what it is: {error}") from error
    excluded = "_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"
    if any(getattr(optimizer, attribute, None) for attribute in excluded):
        raise ValueError(
            "optimizer must decay all weights or none in a sweep, but some are excluded from weight decay."
        )
    return optimizer


@functools.lru_cache(maxsize=16)
def _named_optimizer(name: str) -> keras.optimizers.Optimizer:
    """Return Keras' optimizer of this name: a pattern, which no sweep changes."""
    return as_optimizer(name)


def _make_rows(
    plan: Plan,
    seeds: NDArray[np.int64],
    learning_rate: Any,
    start: Any,
    scale: Any,
    hyperparameters: Mapping[str, ArrayLike],
) -> Arrays:
    """Return what differs from run to run, one run a row; what does not is one row seen many times."""
    name = type(plan.optimizer).__name__
    given: Arrays = {}
    if schedule_of(plan.optimizer) is None:
        rate = float(plan.optimizer.learning_rate) if learning_rate is None else learning_rate
        given["learning_rate"] = _vector("learning_rate", rate, at_least=0)
    elif learning_rate is not None:
        raise ValueError("learning_rate must be left out if the optimizer has a schedule; scale has a factor a run.")
    for option, values in instance("hyperparameters", hyperparameters, Mapping).items():
        allowed = _SWEEPABLE.get(name, ())
        if option not in allowed:
            can = ", ".join(map(repr, allowed)) if allowed else "none"
            raise ValueError(f"hyperparameters of {name} must be among {can}, not {option!r}.")
        given[option] = _vector(
            f"hyperparameters[{option!r}]", values, **_BOUNDS.get(option, {"at_least": 0, "below": 1})
        )
    size, dtype = backend.parameter_count(plan.model), backend.record_dtype(plan.model)
    if start is not None:
        given["start"] = _matrix("start", start, size)
    if scale is not None:
        given["scale"] = _matrix("scale", scale, size)
    given["seed"] = seeds
    runs = _count_runs(given)
    given.setdefault("start", backend.flat_parameters(plan.model)[np.newaxis])
    return {key.removeprefix("learning_"): _as_rows(key, values, runs, size, dtype) for key, values in given.items()}


def _as_rows(name: str, values: NDArray[Any], runs: int, size: int, dtype: str) -> NDArray[Any]:
    """Return values in the dtype of the model with one row a run."""
    if name == "seed":
        return np.broadcast_to(values, (runs,))
    column = values if values.ndim == 2 else values[:, np.newaxis]
    with np.errstate(over="ignore"):
        column = column.astype(dtype)
    if not np.all(np.isfinite(column)):
        raise ValueError(f"{name} must be finite in {dtype}.")
    return np.broadcast_to(column, (runs, size if name in ("start", "scale") else 1))


def _vector(name: str, values: ArrayLike, **bounds: float) -> NDArray[np.float64]:
    """Return one number for all runs as shape (1,), or one for each as shape (R,), all in bounds."""
    array = np.atleast_1d(finite_array(name, values))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be one number or one for each run, not shape {array.shape}.")
    for value in (array.min(), array.max()):
        real(name, float(value), **bounds)
    return array


def _matrix(name: str, values: ArrayLike, size: int) -> NDArray[np.float64]:
    """Return rows of parameters; a factor may be the same for all runs or for all parameters."""
    array = finite_array(name, values)
    widths: tuple[int, ...]
    if name == "scale":
        array = array[np.newaxis] if array.ndim == 1 else array
        widths, shapes = (1, size), f"(R, {size}), (R, 1) or ({size},)"
    else:
        widths, shapes = (size,), f"(R, {size}), one row a run and one column a parameter"
    if array.ndim != 2 or array.shape[1] not in widths or len(array) == 0:
        raise ValueError(f"{name} must have shape {shapes}, not {np.shape(values)}.")
    return array


def _seeds(seed: ArrayLike) -> NDArray[np.int64]:
    """Return the seeds as whole numbers of at least 0."""
    allowed = f"a whole number from 0 to {2**63 - 1}, or one for each run"
    array = np.atleast_1d(number_array("seed", seed))
    if array.dtype.kind not in "iu":
        raise refused(TypeError, "seed", allowed, seed)
    if array.ndim != 1 or array.size == 0 or array.min() < 0 or array.max() > 2**63 - 1:
        raise refused(ValueError, "seed", allowed, seed)
    return array.astype(np.int64)


def _count_runs(given: Mapping[str, NDArray[Any]]) -> int:
    """Return R: all arguments with more than one row must have as many."""
    counts = {name: len(values) for name, values in given.items() if len(values) > 1 or name == "start"}
    many = {name: count for name, count in counts.items() if count > 1}
    if len(set(many.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in many.items())
        raise ValueError(f"all arguments must have as many runs, but {said}.")
    return max(counts.values(), default=1)


def _label(optimizer: keras.optimizers.Optimizer, rows: Arrays) -> str:
    """Name the optimizer with the range of each number that differs from run to run."""
    head, _, tail = backend.label(optimizer).partition("(")
    parts = tail.removesuffix(")").split(", ")
    if "rate" in rows:
        parts[0] = _span(rows["rate"])
    names = [name for name in rows if name not in ("rate", "start", "scale", "seed")]
    parts = [part for part in parts if part.split("=")[0] not in names]
    return f"{head}({', '.join(parts + [f'{name}={_span(rows[name])}' for name in names])})"


def _span(values: NDArray[Any]) -> str:
    """Return "low to high", or the one value."""
    low, high = f"{values.min():.6g}", f"{values.max():.6g}"
    return low if low == high else f"{low} to {high}"


def _run_tiles(plan: Plan, rows: Arrays, width: int, store: Store | None, *, progress: bool) -> Arrays:
    """Run all tiles; those that do not fit into memory are halved."""
    runs, size = rows["start"].shape
    record = _empty_record(runs, size, rows["start"].dtype)
    done = np.zeros(runs, bool)
    with progress_bar(runs, shown=progress, unit="run") as bar:
        while not np.all(done):
            left = np.flatnonzero(~done)
            tiles = [left[first : first + width] for first in range(0, len(left), width)]
            try:
                for place, part in _parts(plan.task(width), rows, tiles, store):
                    for name, values in part.items():
                        record[name][place] = values
                    done[place] = True
                    bar.update(len(place))
            except MemoryError as error:
                if width == 1:
                    raise MemoryError(f"not even a single run fits into memory: {error}") from error
                width = -(-width // 2)
    return record


def _empty_record(runs: int, size: int, dtype: Any) -> Arrays:
    """Ask for the memory of the whole record before anything runs."""
    kinds = {"loss": dtype, "diverged": bool, "updates": np.int32, "steps_to_target": np.int32}
    record = {name: np.empty(runs, kind) for name, kind in kinds.items()}
    try:
        np.empty((2, runs, size), dtype)  # a record has a copy of its own, which nobody can change
        return record | {"parameters": np.empty((runs, size), dtype)}
    except (MemoryError, ValueError) as error:
        count = 2 * runs * size * np.dtype(dtype).itemsize
        raise MemoryError(
            f"the record of {runs:,} runs of {size:,} parameters takes {count:,} bytes, more than there are: "
            "make fewer runs in one sweep."
        ) from error


def _parts(
    task: tiling.Task, rows: Arrays, tiles: list[NDArray[np.int64]], store: Store | None
) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    """Give the runs and the results of each tile as soon as they are there: from the checkpoint, or through joblib."""

    def rows_of(tile: NDArray[np.int64]) -> Arrays:
        return {name: values[tile] for name, values in rows.items()}

    missing: list[tuple[NDArray[np.int64], str | None]] = []
    for tile in tiles:
        place = None if store is None else joblib.hash([task.key, backend.versions(), rows_of(tile)])
        part = _load(store, place)
        if part is None:
            missing.append((tile, place))
        else:
            yield tile, part
    pool = _open_pool()
    calls = (joblib.delayed(_numbered)(task, rows_of(tile), number) for number, (tile, _) in enumerate(missing))
    with contextlib.closing(pool(calls)) as results:
        for number, part in results:
            tile, place = missing[number]
            if store is not None:
                store.dump_item([place], (joblib.hash(part), part))
            yield tile, part


def _open_pool() -> Any:
    """Open joblib's pool of workers, one that hands over each tile as soon as it is done."""
    try:
        return joblib.Parallel(return_as="generator_unordered", batch_size=1)
    except ValueError as error:
        raise ValueError(
            "joblib's backend must give each tile back as soon as it is done, as 'threading', 'loky' and 'dask' do, "
            "for a sweep to lose no more than the tiles under way. This one (Ray's, 'multiprocessing') gives back all "
            "at the end."
        ) from error


def _numbered(task: tiling.Task, rows: Arrays, number: int) -> tuple[int, Arrays]:
    """Run a tile and say which: tiles come back in any order."""
    return number, tiling.run_tile(task, rows)


def _open_checkpoint(path: Any) -> Store | None:
    """Return joblib's store in this folder; None without a folder."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise refused(TypeError, "checkpoint", "a path", path)
    if not str(path).strip():  # for Python it is the folder that one happens to stand in
        raise refused(ValueError, "checkpoint", "the path of a folder", path)
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        raise type(error)(
            f"checkpoint must be a folder that can be written, but {str(folder)!r} is not: {error}"
        ) from error
    return joblib.Memory(folder, verbose=0).store_backend


def _load(store: Store | None, place: str | None) -> Arrays | None:
    """Read a tile from the checkpoint; None if it is not there, or damaged and to be run again.

    A flipped bit may break the reading in any way, or in none: only the hash beside the tile is believed.
    """
    if store is None:
        return None
    try:
        digest, part = store.load_item([place])
    except Exception:  # noqa: BLE001
        return None
    return part if digest == joblib.hash(part) else None
