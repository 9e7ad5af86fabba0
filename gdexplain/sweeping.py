"""Thousands of training runs at once: vectorised, in tiles, on one machine or many."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from gdexplain import _keras, _program, _tile
from gdexplain._arrays import as_pair
from gdexplain._checks import finite_array, flag, instance, number_array, positive_int, real, refused
from gdexplain._model import Problem, check_model, pose
from gdexplain.data import Dataset
from gdexplain.training import _as_optimizer, _progress_bar
from gdexplain.trajectory import Sweep

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
_RECENT: deque[tuple[str, _tile.Task]] = deque(maxlen=4)  # tasks, by what they were made of
_ORDER_BYTES = 2**28  # what the orders of a tile's runs may hold, an epoch of each

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
        A folder that keeps each tile as soon as it is done. The same call goes on from there after an interruption.

    Returns
    -------
    Sweep
        The record, one run a row. A run that diverges stops where it last was finite; the others go on.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind or out of range, lengths disagree, the model or the optimizer cannot be swept,
        or the checkpoint belongs to another sweep.
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
    plan = _Plan(
        model,
        dataset,
        loss,
        _checked_optimizer(optimizer),
        steps=positive_int("steps", steps),
        batch_size=None if batch_size is None else positive_int("batch_size", batch_size),
        shuffle=flag("shuffle", shuffle),
        seeds=_seeds(seed),
        goal=None if target is None else real("target", target),
        jit=flag("jit", jit),
    )
    rows = _make_rows(plan, learning_rate, start, scale, {} if hyperparameters is None else hyperparameters)
    width = plan.width(positive_int("tile", tile), len(rows["seed"]))
    shown, store = flag("progress", progress), _open_checkpoint(checkpoint)
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
        layout=_keras.layout(model),
        provenance={
            "data": dataset.name if isinstance(dataset, Dataset) else "arrays",
            "shuffle": str(plan.shuffle),
            "jit": str(plan.jit),
            "tile": str(width),
            **_keras.versions(),
        },
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """The arguments that all runs share, and the task that they make for tiles of a given width."""

    model: keras.Model
    dataset: Any
    loss: Any
    optimizer: keras.optimizers.Optimizer
    steps: int
    batch_size: int | None
    shuffle: bool
    seeds: NDArray[np.int64]
    goal: float | None
    jit: bool

    def __post_init__(self) -> None:
        """Check model, data and loss against each other, unless a sweep of the very same was made just now."""
        check_model(self.model)
        if not any(self.parts == parts for parts, _ in list(_RECENT)):
            self.problem  # noqa: B018  # posing it checks it

    @functools.cached_property
    def parts(self) -> str | None:
        """What tells these arguments from any others; None unless all is Keras' own."""
        settings = [self.steps, self.batch_size, self.shuffle, self.seeds.size > 1, self.goal, self.jit]
        return _identity(self.model, self.dataset, self.loss, self.optimizer, settings)

    @functools.cached_property
    def problem(self) -> Problem:
        """The model, its loss and its data, checked against each other; a model with a state is refused."""
        problem = pose(self.model, self.dataset, self.loss, batch_size=self.batch_size)
        changed = {id(variable) for variable in problem.state} & {id(variable) for variable in self.model.variables}
        layers = [layer for layer in self.model.layers if changed & {id(variable) for variable in layer.variables}]
        if changed:
            names = [f"{layer.name} ({type(layer).__name__})" for layer in layers] or [self.model.name]
            raise ValueError(
                "model must have no state besides its weights in a sweep, but training changes that of "
                f"{', '.join(names)}."
            )
        return problem

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(keras.tree.flatten(as_pair(self.dataset))[0]) if self.parts else self.problem.examples

    @property
    def own(self) -> bool:
        """Whether each run has batches of its own."""
        return self.shuffle and self.seeds.size > 1 and (self.batch_size or self.examples) < self.examples

    def width(self, tile: int, runs: int) -> int:
        """Return the width of tiles of one size, so that they share one compiled loop."""
        widest = min(tile, max(1, _ORDER_BYTES // (4 * self.examples))) if self.own else tile
        return -(-runs // -(-runs // widest))

    def task(self, width: int) -> _tile.Task:
        """Return the task of such tiles: one of the last few, if it was made of the very same."""
        for parts, task in list(_RECENT):
            if parts == self.parts and task.width == width:
                return task
        task = self._make_task(width)
        if self.parts is not None:
            _RECENT.append((self.parts, task))
        return task

    def _make_task(self, width: int) -> _tile.Task:
        """Trace the live model, and pack what a worker needs."""
        problem, size = self.problem, self.batch_size or self.problem.examples
        evaluated = min(width, max(1, width * size // problem.examples))
        tile = _program.Tile(problem, width, self.own)
        try:
            programs: dict[str, Any] = {
                "gradients": {n: tile.gradient(n, self.optimizer) for n in {size, problem.examples % size or size}},
                "loss": replace(tile, width=evaluated).loss(),
                "constraint": tile.constraint(),
                "schedule": _program.schedule(self.optimizer),
            }
        except Exception as error:
            raise ValueError(
                f"model, loss and data must make a step that a sweep can vectorise. It fails with: {error}"
            ) from error
        rest: dict[str, Any] = {
            "fixed": [variable.numpy() for variable in tile.fixed],
            "data": tile.data,
            "optimizer": (type(self.optimizer).__name__, _settings(self.optimizer)),
            "dtype": problem.dtype,
            "size": _keras.parameter_count(self.model),
            "width": width,
            "evaluated": evaluated,
            "batch_size": size,
            "steps": self.steps,
            "shuffle": self.shuffle,
            "own": self.own,
            "goal": self.goal,
            "jit": self.jit,
        }
        return _tile.Task(key=joblib.hash([programs, rest]), **programs, **rest)


class _Own(Exception):  # a reason to trace, and no error
    """A part that is not Keras' own: only its trace says what it computes."""


def _identity(
    model: keras.Model, dataset: Any, loss: Any, optimizer: keras.optimizers.Optimizer, settings: list[Any]
) -> str | None:
    """Return as text what tells a sweep of nothing but Keras' own parts from any other; None if it has others.

    It saves the tracing of a sweep that was traced just now, and may say less often than it could that two are equal.
    """
    try:
        if not model.built or any(type(leaf) is not np.ndarray for leaf in keras.tree.flatten(as_pair(dataset))):
            raise _Own
        for leaf in keras.tree.flatten(loss):
            if isinstance(leaf, str) and keras.saving.get_registered_object(leaf) is not None:
                raise _Own
        parts = [
            keras.saving.serialize_keras_object(model),
            [_layer(layer) for layer in model._flatten_layers()],
            [[v.trainable, v.regularizer, v.constraint, None if v.trainable else v.numpy()] for v in model.variables],
            *as_pair(dataset),
            loss,
            type(optimizer).__name__,
            _settings(optimizer),
            optimizer._learning_rate if _scheduled(optimizer) else None,
            [keras.config.epsilon(), keras.config.floatx(), keras.config.image_data_format()],
            settings,
        ]
        return json.dumps(parts, sort_keys=True, default=_described)
    except (_Own, TypeError, ValueError):
        return None


def _layer(layer: keras.layers.Layer) -> dict[str, Any]:
    """Return the state of a layer that neither its configuration nor its weights need hold."""
    if not all(map(_is_keras, (layer, *getattr(layer, "operations", ())))):
        raise _Own
    plain = bool | int | float | str | np.ndarray | tf.Tensor
    return {name: value for name, value in vars(layer).items() if isinstance(value, plain) and name[0] != "_"}


def _described(part: Any) -> Any:
    """Return for JSON what JSON does not know: numbers by their hash, an object of Keras by its class and attributes."""
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.ndarray | tf.Tensor):
        return joblib.hash(np.asarray(part))
    if not _is_keras(part):
        raise _Own
    kind = part if isinstance(part, FunctionType) else type(part)
    return [kind.__module__, kind.__qualname__, vars(part)]


def _is_keras(part: Any) -> bool:
    """Say whether an object is of Keras' own class, and holds no function but Keras' own."""
    if isinstance(part, FunctionType):
        return part.__module__.startswith("keras.") and part.__closure__ is None
    held = (value for name, value in vars(part).items() if callable(value) and name not in ("build", "quantize"))
    return type(part).__module__.startswith("keras.") and all(
        _is_keras(value) if isinstance(value, FunctionType) else type(value).__module__.startswith("keras.")
        for value in held
    )


def _checked_optimizer(optimizer: str | keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer; refuse by name those that cannot train many runs side by side."""
    known = isinstance(optimizer, str) and keras.saving.get_registered_object(optimizer) is None
    optimizer = _named_optimizer(optimizer) if known else _as_optimizer(optimizer)
    name = type(optimizer).__name__
    if name not in _ELEMENTWISE or type(optimizer) is not getattr(keras.optimizers, name):
        raise ValueError(f"optimizer must be one of Keras' {', '.join(_ELEMENTWISE)} in a sweep, not {name}.")
    if optimizer.gradient_accumulation_steps and (optimizer.clipnorm or optimizer.global_clipnorm):
        raise ValueError("optimizer must not clip by norm and accumulate gradients at once in a sweep.")
    rate = getattr(optimizer, "_learning_rate", None)
    if callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        raise TypeError("optimizer must have a number or a Keras schedule as its learning rate, not a function.")
    excluded = "_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"
    if any(getattr(optimizer, attribute, None) for attribute in excluded):
        raise ValueError(
            "optimizer must decay all weights or none in a sweep, but some are excluded from weight decay."
        )
    return optimizer


@functools.lru_cache(maxsize=16)
def _named_optimizer(name: str) -> keras.optimizers.Optimizer:
    """Return Keras' optimizer of this name: a pattern, which no sweep changes."""
    return _as_optimizer(name)


def _settings(optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    """Return an optimizer's options but for its name and its rate."""
    return {key: value for key, value in optimizer.get_config().items() if key not in ("name", "learning_rate")}


def _scheduled(optimizer: keras.optimizers.Optimizer) -> bool:
    """Say whether the learning rate is a schedule."""
    return isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)


def _make_rows(
    plan: _Plan, learning_rate: Any, start: Any, scale: Any, hyperparameters: Mapping[str, ArrayLike]
) -> Arrays:
    """Return what differs from run to run, one run a row; what does not is one row seen many times."""
    name = type(plan.optimizer).__name__
    given: Arrays = {}
    if not _scheduled(plan.optimizer):
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
    size, dtype = _keras.parameter_count(plan.model), _keras.record_dtype(plan.model)
    if start is not None:
        given["start"] = _matrix("start", start, size)
    if scale is not None:
        given["scale"] = _matrix("scale", scale, size)
    given["seed"] = plan.seeds
    runs = _count_runs(given)
    given.setdefault("start", _keras.flat_parameters(plan.model)[np.newaxis])
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
    head, _, tail = _keras.label(optimizer).partition("(")
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


def _run_tiles(plan: _Plan, rows: Arrays, width: int, store: Store | None, *, progress: bool) -> Arrays:
    """Run all tiles; those that do not fit into memory are halved."""
    runs, size = rows["start"].shape
    record = _empty_record(runs, size, rows["start"].dtype)
    done = np.zeros(runs, bool)
    with _progress_bar(runs, shown=progress, unit="run") as bar:
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
    try:
        np.empty((2, runs, size), dtype)  # a record has a copy of its own, which nobody can change
        return {"parameters": np.empty((runs, size), dtype)} | {
            name: np.empty(runs, kind) for name, kind in kinds.items()
        }
    except (MemoryError, ValueError) as error:
        count = 2 * runs * size * np.dtype(dtype).itemsize
        raise MemoryError(
            f"the record of {runs:,} runs of {size:,} parameters takes {count:,} bytes, more than there are: "
            "make fewer runs in one sweep."
        ) from error


def _parts(
    task: _tile.Task, rows: Arrays, tiles: list[NDArray[np.int64]], store: Store | None
) -> Iterator[tuple[NDArray[np.int64], Arrays]]:
    """Give the runs and the results of each tile as soon as they are there: from the checkpoint, or through joblib."""

    def rows_of(tile: NDArray[np.int64]) -> Arrays:
        return {name: values[tile] for name, values in rows.items()}

    missing: dict[int, tuple[NDArray[np.int64], str | None]] = {}
    for tile in tiles:
        place = None if store is None else joblib.hash([task.key, _keras.versions(), rows_of(tile)])
        part = _load(store, place)
        if part is None:
            missing[len(missing)] = tile, place
        else:
            yield tile, part
    pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
    calls = (joblib.delayed(_numbered)(task, rows_of(tile), number) for number, (tile, _) in missing.items())
    with contextlib.closing(pool(calls)) as results:
        for number, part in results:
            tile, place = missing[number]
            if store is not None:
                store.dump_item([place], (joblib.hash(part), part))
            yield tile, part


def _numbered(task: _tile.Task, rows: Arrays, number: int) -> tuple[int, Arrays]:
    """Run a tile and say which: tiles come back in any order."""
    return number, _tile.run_tile(task, rows)


def _open_checkpoint(path: Any) -> Store | None:
    """Return joblib's store in this folder; None without a folder."""
    if path is None:
        return None
    if not isinstance(path, str | os.PathLike):
        raise refused(TypeError, "checkpoint", "a path", path)
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"no permission to write into {str(folder)!r}")
    except OSError as error:
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
