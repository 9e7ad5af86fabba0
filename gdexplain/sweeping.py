"""Thousands of training runs at once: vectorised, in tiles, on one machine or many."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from gdexplain import _keras, _model, _tile
from gdexplain._checks import finite_array, positive_int, real
from gdexplain.data import Dataset
from gdexplain.training import _progress_bar
from gdexplain.trajectory import Sweep

_BOUNDS: dict[str, dict[str, float]] = {  # what a hyperparameter may be
    "epsilon": {"above": 0},
    "weight_decay": {"at_least": 0},
}
_FORMAT = 1
_TRIED: set[str] = set()

Arrays = dict[str, NDArray[Any]]


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
    width, steps = positive_int("tile", tile), positive_int("steps", steps)
    optimizer = _tile.checked_optimizer(optimizer)
    task = _make_task(model, dataset, optimizer, loss, steps, batch_size, target, seed, shuffle=shuffle, jit=jit)
    _check_step(task)
    rows = _make_rows(model, task, learning_rate, start, scale, hyperparameters or {}, seed)
    runs = len(rows["start"])
    width = -(-runs // -(-runs // width))  # tiles of one size, so that they share one compiled loop
    store = _open_checkpoint(checkpoint, task, rows, width)
    made = _run_tiles(task, rows, width, store, progress=progress)
    joined = {name: np.concatenate([part[name] for part in made]) for name in made[0]}
    if target is None:
        del joined["steps_to_target"]
    return Sweep(
        **joined,
        steps=steps,
        label=_label(optimizer, rows),
        learning_rate=rows["rate"][:, 0] if "rate" in rows else np.empty(0),
        target=task.goal,
        hyperparameters={name: rows[name][:, 0] for name in hyperparameters or {}},
        seed=rows["seed"],
        batch_size=task.batch_size,
        layout=_keras.layout(model),
        provenance={
            "data": dataset.name if isinstance(dataset, Dataset) else "arrays",
            "shuffle": str(shuffle),
            "jit": str(jit),
            "tile": str(width),
            **_keras.versions(),
        },
    )


def _make_task(
    model: keras.Model,
    dataset: Any,
    optimizer: keras.optimizers.Optimizer,
    loss: Any,
    steps: int,
    batch_size: int | None,
    target: float | None,
    seed: ArrayLike,
    *,
    shuffle: bool,
    jit: bool,
) -> _tile.Task:
    """Check the model and the data, and pack what a worker needs."""
    _model.check_model(model)
    problem = _model.pose(model, dataset, loss, batch_size=batch_size)
    x, y, n, dtype = problem.x, problem.y, problem.examples, problem.dtype
    size = n if batch_size is None else int(batch_size)
    _check_layers(model, x)
    try:
        config = keras.saving.serialize_keras_object(model)
    except NotImplementedError as error:
        raise ValueError(
            f"model must be one that Keras can rebuild in another process: give {type(model).__name__} a get_config."
        ) from error
    config.pop("compile_config", None)
    settings = keras.optimizers.serialize(optimizer)
    settings["config"].pop("name")
    task = {
        "model": config,
        "classes": _own_classes(model, loss),
        "weights": model.get_weights(),
        "inputs": x,
        "targets": y,
        "examples": n,
        "dtype": dtype,
        "optimizer": settings,
        "loss": keras.losses.serialize(loss) if isinstance(loss, keras.losses.Loss) else loss,
        "batch_size": size,
        "steps": steps,
        "shuffle": shuffle,
        "own": shuffle and size < n and np.ndim(seed) > 0,
        "goal": None if target is None else real("target", target),
        "jit": jit,
    }
    frozen = [value for value, weight in zip(task["weights"], model.weights, strict=True) if not weight.trainable]
    settled = {name: value for name, value in task.items() if name not in ("model", "weights")}
    return _tile.Task(key=_digest(_nameless(config), frozen, settled), **task)


def _check_layers(model: keras.Model, x: Any) -> None:
    """Refuse models with a state besides their weights."""
    changed = _tile.stateful_layers(model, keras.tree.map_structure(lambda leaf: leaf[:1], x))
    if changed:
        raise ValueError(
            f"model must have no state besides its weights in a sweep, but training changes that of "
            f"{', '.join(changed)}."
        )


def _check_step(task: _tile.Task) -> None:
    """Try a step before thousands are sent away, once for each kind of task, and say what is wrong in words."""
    if task.key in _TRIED:
        return
    try:
        with _keras.floatx(task.dtype):
            model = _tile.rebuild(task)
            _, gradient = _tile.make_gradient(task, model)
            one = keras.tree.map_structure(lambda leaf: tf.constant(leaf[:1]), (task.inputs, task.targets))
            theta = tf.constant(np.tile(_keras.flat_parameters(model), (2, 1)))  # a single run would not be vectorised
            tried = tf.function(lambda rows: _tile._vectorised(lambda run: gradient(run, *one), rows), autograph=False)
            tried.get_concrete_function(theta)
    except Exception as error:
        raise ValueError(
            f"model, loss and data must make a step that a sweep can vectorise. It fails with: {error}"
        ) from error
    _TRIED.add(task.key)


def _make_rows(
    model: keras.Model,
    task: _tile.Task,
    learning_rate: ArrayLike | None,
    start: ArrayLike | None,
    scale: ArrayLike | None,
    hyperparameters: Mapping[str, ArrayLike],
    seed: ArrayLike,
) -> Arrays:
    """Return what differs from run to run, one run a row."""
    config, name = task.optimizer["config"], task.optimizer["class_name"]
    scheduled = isinstance(config["learning_rate"], Mapping)
    if scheduled and learning_rate is not None:
        raise ValueError("learning_rate must be left out if the optimizer has a schedule; scale has a factor a run.")
    given: Arrays = {}
    if not scheduled:
        given["learning_rate"] = _vector(
            "learning_rate", config["learning_rate"] if learning_rate is None else learning_rate, at_least=0
        )
    for option, values in hyperparameters.items():
        allowed = _tile.SWEEPABLE.get(name, ())
        if option not in allowed:
            can = ", ".join(map(repr, allowed)) if allowed else "none"
            raise ValueError(f"hyperparameters of {name} must be among {can}, not {option!r}.")
        given[option] = _vector(
            f"hyperparameters[{option!r}]", values, **_BOUNDS.get(option, {"at_least": 0, "below": 1})
        )
    given["seed"] = _seeds(seed)
    size = _keras.parameter_count(model)
    if start is not None:
        given["start"] = _matrix("start", start, size)
    if scale is not None:
        given["scale"] = _matrix("scale", scale, size)
    runs = _count_runs(given)
    given.setdefault("start", _keras.flat_parameters(model)[np.newaxis])
    rows = {}
    for key, values in given.items():
        column = values if values.ndim == 2 or key == "seed" else values[:, np.newaxis]
        shape: tuple[int, ...] = (runs,) if key == "seed" else (runs, size if key in ("start", "scale") else 1)
        with np.errstate(over="ignore"):
            column = np.broadcast_to(column, shape).astype(np.int64 if key == "seed" else task.dtype)
        if not np.all(np.isfinite(column)):
            raise ValueError(f"{key} must be finite in {task.dtype}.")
        rows["rate" if key == "learning_rate" else key] = column
    return rows


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
    array = np.atleast_1d(np.asarray(seed))
    if array.dtype.kind not in "iu":
        raise TypeError(f"seed must be a whole number or one for each run, not {seed!r}.")
    if array.ndim != 1 or array.size == 0 or array.min() < 0:
        raise ValueError(f"seed must be a whole number of at least 0, or one for each run, not {seed!r}.")
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


def _run_tiles(task: _tile.Task, rows: Arrays, width: int, store: Path | None, *, progress: bool) -> list[Arrays]:
    """Run the tiles that the checkpoint lacks through joblib, and keep each as soon as it is there."""
    runs = len(rows["start"])
    tiles = [slice(first, min(first + width, runs)) for first in range(0, runs, width)]
    made = {place: part for place in range(len(tiles)) if (part := _load_tile(store, place)) is not None}
    missing = [place for place in range(len(tiles)) if place not in made]
    with _progress_bar(runs, shown=progress, unit="run") as bar:
        bar.update(sum(len(part["loss"]) for part in made.values()))
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
        calls = (
            joblib.delayed(_numbered)(task, {name: values[tiles[place]] for name, values in rows.items()}, width, place)
            for place in missing
        )
        with contextlib.closing(pool(calls)) as results:
            for place, part in results:
                made[place] = part
                _save_tile(store, place, part)
                bar.update(len(part["loss"]))
    return [made[place] for place in range(len(tiles))]


def _numbered(task: _tile.Task, rows: Arrays, width: int, place: int) -> tuple[int, Arrays]:
    """Run a tile and say which: tiles come back in any order."""
    return place, _tile.run_tile(task, rows, width)


def _open_checkpoint(path: Any, task: _tile.Task, rows: Arrays, width: int) -> Path | None:
    """Make the checkpoint's folder, or check that the one there belongs to this sweep."""
    if path is None:
        return None
    folder = Path(path)
    key = _digest(task.key, rows, width, _FORMAT)
    about = folder / "sweep.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not about.exists():
            if any(folder.iterdir()):
                raise ValueError(
                    f"checkpoint must be an empty or a new folder, but {str(folder)!r} has other files in it."
                )
            _replace(about, json.dumps({"sweep": key, "runs": len(rows["start"]), "tile": width}).encode())
        elif not os.access(folder, os.W_OK):
            raise PermissionError(f"no permission to write into {str(folder)!r}")
        text = about.read_text(encoding="utf-8")
    except OSError as error:
        raise type(error)(
            f"checkpoint must be a folder that can be written, but {str(folder)!r} is not: {error}"
        ) from error
    try:
        known = json.loads(text)["sweep"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {str(folder)!r} has a {about.name} that cannot be read: {error}") from error
    if known != key:
        raise ValueError(
            f"checkpoint {str(folder)!r} belongs to another sweep: its model, data, optimizer or arguments differ. "
            "It was left as it is; choose another folder."
        )
    return folder


def _save_tile(store: Path | None, place: int, part: Arrays) -> None:
    """Write a tile to the checkpoint, whole or not at all."""
    if store is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **part)
    _replace(store / f"tile-{place:06d}.npz", buffer.getvalue())


def _load_tile(store: Path | None, place: int) -> Arrays | None:
    """Read a tile from the checkpoint; None if it is not there, or cannot be read and must be run again."""
    if store is None:
        return None
    try:
        # opened here, so that it is closed even if it is no archive
        with (store / f"tile-{place:06d}.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in _tile.RESULTS}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _replace(target: Path, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(content)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _own_classes(model: keras.Model, loss: Any) -> dict[str, type]:
    """Return the classes of model, layers and loss that are not Keras' own, by name: they travel with the task."""
    found: dict[str, type] = {}

    def look(thing: Any) -> None:
        kind = type(thing)
        if not kind.__module__.startswith("keras."):
            found[kind.__name__] = kind
        for layer in getattr(thing, "layers", ()):
            look(layer)

    look(model)
    if isinstance(loss, keras.losses.Loss):
        look(loss)
    return found


def _nameless(config: Mapping[str, Any]) -> str:
    """Return the configuration as text without the numbers that Keras counts in names: a model built again is equal."""
    names: dict[str, int] = {}

    def collect(value: Any) -> None:
        if isinstance(value, Mapping):
            settings = value.get("config")
            if isinstance(settings, Mapping) and "name" in settings and value.get("class_name") != "DTypePolicy":
                names.setdefault(settings["name"], len(names))
            for item in value.values():
                collect(item)
        elif isinstance(value, list | tuple):
            for item in value:
                collect(item)

    collect(config)
    text = json.dumps(config, sort_keys=True, default=repr)
    for name, place in names.items():
        text = text.replace(json.dumps(name), f'"#{place}"')
    return text


def _digest(*parts: Any) -> str:
    """Return a hash of numbers, arrays, text and nested lists and dicts of them."""
    total = hashlib.sha256()
    seen: set[int] = set()  # a class is in the closure of its own methods

    def feed(value: Any) -> None:
        if callable(value):
            if id(value) in seen:
                return
            seen.add(id(value))
        if isinstance(value, np.ndarray):
            total.update(f"{value.dtype.str}{value.shape}".encode())
            total.update(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                feed(key)
                feed(value[key])
        elif isinstance(value, list | tuple):
            total.update(f"list of {len(value)}".encode())
            for item in value:
                feed(item)
        elif isinstance(value, CodeType):  # its repr has an address in it
            feed([value.co_code, value.co_names, value.co_consts])
        elif isinstance(value, type):
            feed(
                [
                    value.__qualname__,
                    {name: item for name, item in vars(value).items() if isinstance(item, FunctionType)},
                ]
            )
        elif isinstance(value, FunctionType):
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            feed([value.__qualname__, value.__code__, value.__defaults__, cells])
        elif callable(value):
            feed([type(value).__qualname__, vars(value)])
        else:
            total.update(f"{type(value).__name__}:{value!r};".encode())

    feed(parts)
    return total.hexdigest()
