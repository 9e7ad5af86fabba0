"""The one record: what every run, by hand or in Keras, returns."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gdexplain._checks import (
    finite_array,
    flag,
    frozen,
    instance,
    items,
    keep,
    number_array,
    positive_int,
    real,
    refused,
    text,
)

if TYPE_CHECKING:
    import pandas as pd

Layout = tuple[tuple[str, tuple[int, ...]], ...]
R = TypeVar("R", "Trajectory", "Sweep")
_FORMAT = 1
_NESTED = "hyperparameters/"  # before the names of a sweep's options in its file


@dataclass(frozen=True, eq=False)
class Trajectory:
    r"""What happened at every update of one training run.

    Update k (k = 1, ..., T) takes the parameters from row k - 1 to row k. The loss and the gradient of update k are
    those of its own batch, taken *before* it, at row k - 1.

    Parameters
    ----------
    parameters : array_like, shape (T + 1, P)
        The trainable parameters, flat and in Keras' weight order, before the first update and after each.
        With ``record_every=m`` only the rows in `updates`; no row, shape (0, P), if they were not recorded.
    loss : array_like, shape (T,)
        The loss of each update's batch; never thinned.
    gradients : array_like, shape (T, P)
        Row i is the gradient at ``parameters[i]`` of the batch of update ``updates[i] + 1``. No row, shape (0, P), if
        gradients were not recorded.
    updates_per_epoch : int
        How many updates make one pass over the data.
    diverged : bool
        Whether the run ended early because the next loss, gradient or parameter was not finite. The record ends at
        the last finite row.
    label : str
        Says what ran, made from the optimizer's own configuration.
    updates : array_like of int, optional
        How many updates had been made at each row of `parameters`; 0, 1, ..., T if left out.
    batch_size : int, optional
        How many examples an update saw (the last batch of an epoch may have had fewer).
    layout : tuple of (name, shape), optional
        The name and shape of each weight, in order; the sizes add up to P.
    provenance : mapping of str to str, optional
        How to repeat the run: versions, seed, data, whether it was compiled with XLA.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the shapes disagree with each other, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain import Trajectory
    >>> run = Trajectory(
    ...     parameters=[[0.0], [1.0], [1.5]], loss=[4.0, 1.0], gradients=[[-4.0], [-2.0]],
    ...     updates_per_epoch=1, diverged=False, label="SGD(0.25)",
    ... )
    >>> run
    Trajectory('SGD(0.25)': 2 updates, 1 parameter, loss 4 -> 1)
    >>> run.summary()
    '2 updates in 2 epochs (1 update an epoch). Loss: first 4, last 1.'
    """

    parameters: NDArray[Any]
    loss: NDArray[Any]
    gradients: NDArray[Any]
    updates_per_epoch: int
    diverged: bool
    label: str
    updates: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    batch_size: int | None = None
    layout: Layout = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the arrays fit together and freeze them."""
        axes = {"parameters": 2, "loss": 1, "gradients": 2}
        arrays = {name: finite_array(name, getattr(self, name), ndim=ndim, dtype=None) for name, ndim in axes.items()}
        total, updates = len(arrays["loss"]), _vector("updates", self.updates, "iu", "whole numbers")
        updates = updates.astype(np.int64) if updates.size else np.arange(total + 1)
        _check_shapes(arrays["parameters"], arrays["gradients"], updates, total)
        epoch = positive_int("updates_per_epoch", self.updates_per_epoch)
        keep(self, **arrays, updates=updates, updates_per_epoch=epoch, diverged=flag("diverged", self.diverged))
        _check_words(self, arrays["parameters"].shape[1])

    def __len__(self) -> int:
        """Return the number of updates T."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Return the label and the essentials in one line."""
        size = self.parameters.shape[1]
        losses = f", loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}" if len(self) else ""
        end = ", diverged" if self.diverged else ""
        return f"Trajectory({self.label!r}: {_count(len(self), 'update')}, {_count(size, 'parameter')}{losses}{end})"

    @property
    def epochs(self) -> NDArray[np.float64]:
        """How many passes over the data had been made before each update, shape (T,)."""
        return np.arange(len(self)) / self.updates_per_epoch

    def weight(self, name: str) -> NDArray[Any]:
        """Return one weight's rows in its own shape.

        Parameters
        ----------
        name : str
            A name from `layout`, such as ``"dense/kernel"``.

        Returns
        -------
        ndarray, shape (rows, ...)
            The weight before the first update and after each (recorded) one.

        Raises
        ------
        KeyError
            If no weight has this name, or several have.
        """
        return _weight(self.parameters, self.layout, name)

    def summary(self) -> str:
        """Say in words what happened.

        Returns
        -------
        str
            Updates, epochs, first and last loss, and where the run diverged if it did.
        """
        passes = len(self) / self.updates_per_epoch
        text = f"{_count(len(self), 'update')} in {passes:.4g} epoch{'' if passes == 1 else 's'} "
        text += f"({_count(self.updates_per_epoch, 'update')} an epoch)."
        if len(self):
            text += f" Loss: first {self.loss[0]:.4g}, last {self.loss[-1]:.4g}."
        if self.diverged:
            text += f" Diverged: update {len(self) + 1} was no longer finite."
        return text

    def to_dataframe(self) -> pd.DataFrame:
        """Return the record as a table, one recorded row a line.

        Returns
        -------
        pandas.DataFrame
            Indexed by update; columns ``epoch``, ``loss``, one for each parameter, and ``d loss / d name`` for each
            gradient that was recorded. The last row has no loss and no gradient: no update starts there.

        Raises
        ------
        ImportError
            If pandas is not installed (the extra ``gdexplain[pandas]``).
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_dataframe needs pandas: pip install 'gdexplain[pandas]'.") from error
        index = pd.Index(self.updates, name="update")
        loss = np.append(self.loss.astype(float), np.nan)[self.updates]
        parts = [pd.DataFrame({"epoch": self.updates / self.updates_per_epoch, "loss": loss}, index=index)]
        names = _column_names(self.layout)
        if len(self.parameters):
            parts.append(pd.DataFrame(self.parameters, index=index, columns=names))
        if len(self.gradients):
            columns = [f"d loss / d {name}" for name in names]
            parts.append(pd.DataFrame(self.gradients, index=index[:-1], columns=columns))
        return pd.concat(parts, axis=1)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record to one ``.npz`` file; a file that is there is replaced only once the new one is whole.

        Parameters
        ----------
        path : path
            Where to; ``.npz`` is added if the name does not end so.

        Returns
        -------
        pathlib.Path
            The file written.
        """
        return _save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Trajectory:
        """Read a record that `save` wrote.

        Parameters
        ----------
        path : path
            The ``.npz`` file.

        Returns
        -------
        Trajectory
            Equal to the one saved, to the last bit.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a record of this format.
        """
        return _load(path, cls)


@dataclass(frozen=True, eq=False)
class Sweep:
    r"""What became of many training runs, one a row.

    Parameters
    ----------
    loss : array_like, shape (R,)
        The loss over all examples at the run's last parameters. For a run that diverged, the loss of the batch of its
        last update, the last finite loss that it had (the largest number of the dtype if it made no update).
    diverged : array_like of bool, shape (R,)
        Whether a loss, gradient or parameter of the run was not finite.
    parameters : array_like, shape (R, P)
        Each run's last finite parameters, flat and in Keras' weight order.
    updates : array_like of int, shape (R,)
        How many updates each run made: all of `steps`, or fewer if it diverged.
    steps : int
        How many updates each run was asked to make.
    label : str
        Says what ran, made from the optimizer's own configuration.
    learning_rate : array_like, shape (R,)
        Each run's learning rate; no row, shape (0,), if a schedule set it.
    target : float, optional
        The loss that `steps_to_target` waits for.
    steps_to_target : array_like of int, shape (R,), optional
        How many updates each run had made when the loss of its batch was first at most `target`; -1 if it never was.
        No row if there is no target.
    hyperparameters : mapping of str to array_like, each of shape (R,), optional
        The optimizer's options that differ from run to run.
    seed : array_like of int, shape (R,), optional
        The seed of each run's batches.
    batch_size : int, optional
        How many examples an update saw.
    layout : tuple of (name, shape), optional
        The name and shape of each weight, in order; the sizes add up to P.
    provenance : mapping of str to str, optional
        How to repeat the sweep: versions, data, whether it was compiled with XLA.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as above, the shapes disagree with each other, or a value is not finite.

    Examples
    --------
    >>> from gdexplain import Sweep
    >>> runs = Sweep(
    ...     loss=[0.25, 9.0], diverged=[False, True], parameters=[[0.5], [7.0]], updates=[10, 3], steps=10,
    ...     label="SGD(0.1 to 2)", learning_rate=[0.1, 2.0],
    ... )
    >>> runs
    Sweep('SGD(0.1 to 2)': 2 runs of 10 updates, 1 parameter, 1 diverged)
    >>> runs.summary()
    '2 runs of 10 updates. 1 diverged, after 3 updates. Loss of the other: 0.25.'
    """

    loss: NDArray[Any]
    diverged: NDArray[np.bool_]
    parameters: NDArray[Any]
    updates: NDArray[np.int64]
    steps: int
    label: str
    learning_rate: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    target: float | None = None
    steps_to_target: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    hyperparameters: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    seed: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    batch_size: int | None = None
    layout: Layout = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the arrays fit together and freeze them."""
        arrays = {"diverged": _vector("diverged", self.diverged, "b", "True and False").astype(np.bool_)}
        for name in ("loss", "parameters", "learning_rate"):
            arrays[name] = finite_array(name, getattr(self, name), ndim=2 if name == "parameters" else 1, dtype=None)
        for name in ("updates", "steps_to_target", "seed"):
            arrays[name] = _vector(name, getattr(self, name), "iu", "whole numbers").astype(np.int64)
        given = instance("hyperparameters", self.hyperparameters, Mapping, "a mapping from names to arrays")
        options = {
            text("hyperparameters", name): finite_array(f"hyperparameters[{name!r}]", given[name], dtype=None)
            for name in given
        }
        runs, size = len(arrays["loss"]), arrays["parameters"].shape[1]
        for name, array in (arrays | {f"hyperparameters[{name!r}]": array for name, array in options.items()}).items():
            shape = (runs, size) if name == "parameters" else (runs,)
            missing = name in ("learning_rate", "steps_to_target", "seed") and array.shape == (0,)
            if array.shape != shape and not missing:
                raise ValueError(f"{name} must have shape {shape}, not {array.shape}.")
        target = None if self.target is None else real("target", self.target)
        keep(self, **arrays, steps=positive_int("steps", self.steps), target=target)
        keep(self, hyperparameters={name: frozen(array) for name, array in options.items()})
        _check_words(self, size)

    def __len__(self) -> int:
        """Return the number of runs R."""
        return len(self.loss)

    def __repr__(self) -> str:
        """Return the label and the essentials in one line."""
        size, lost = self.parameters.shape[1], int(np.sum(self.diverged))
        runs = f"{_count(len(self), 'run')} of {_count(self.steps, 'update')}, {_count(size, 'parameter')}"
        return f"Sweep({self.label!r}: {runs}{f', {lost:,} diverged' if lost else ''})"

    def weight(self, name: str) -> NDArray[Any]:
        """Return one weight of every run in its own shape.

        Parameters
        ----------
        name : str
            A name from `layout`, such as ``"dense/kernel"``.

        Returns
        -------
        ndarray, shape (R, ...)
            The weight at each run's end.

        Raises
        ------
        KeyError
            If no weight has this name, or several have.
        """
        return _weight(self.parameters, self.layout, name)

    def summary(self) -> str:
        """Say in words what happened.

        Returns
        -------
        str
            How many runs there were, how many diverged and when, the losses of the others, and how many of them
            reached the target.
        """
        text = f"{_count(len(self), 'run')} of {_count(self.steps, 'update')}."
        lost = self.updates[self.diverged]
        if len(lost):
            text += f" {len(lost):,} diverged, after {_range(lost, '{:,}')} update{'' if np.all(lost == 1) else 's'}."
        rest = self.loss[~self.diverged]
        if len(rest):
            whose = "" if not len(lost) else " of the other" if len(rest) == 1 else " of the others"
            text += f" Loss{whose}: {_range(rest, '{:.4g}')}."
        if self.target is not None:
            there = self.steps_to_target[self.steps_to_target >= 0]
            text += f" {len(there):,} reached a loss of {self.target:.4g}"
            text += f", after {_range(there, '{:,}')} updates." if len(there) else "."
        return text

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record to one ``.npz`` file; a file that is there is replaced only once the new one is whole.

        Parameters
        ----------
        path : path
            Where to; ``.npz`` is added if the name does not end so.

        Returns
        -------
        pathlib.Path
            The file written.
        """
        return _save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sweep:
        """Read a record that `save` wrote.

        Parameters
        ----------
        path : path
            The ``.npz`` file.

        Returns
        -------
        Sweep
            Equal to the one saved, to the last bit.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not a record of this format.
        """
        return _load(path, cls)


def _path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file."""
    if not isinstance(path, str | os.PathLike):
        raise refused(TypeError, "path", "the name of a file", path)
    target = Path(path)
    if not target.name or "\0" in target.name:
        raise refused(ValueError, "path", "the name of a file", path)
    return target


def _save(record: Trajectory | Sweep, path: str | os.PathLike[str]) -> Path:
    """Write the record's arrays, and the rest of it as JSON, into one archive: beside the old file, then in its place."""
    target = _path(path)
    target = target if target.suffix == ".npz" else target.with_name(target.name + ".npz")
    values = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    options = {f"{_NESTED}{name}": values for name, values in values.pop("hyperparameters", {}).items()}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)} | options
    about = json.dumps({"format": _FORMAT, **{name: values[name] for name in values if name not in arrays}})
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            np.savez_compressed(file, about=np.array(about), **arrays)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _load(path: str | os.PathLike[str], kind: type[R]) -> R:
    """Read what `_save` wrote."""
    with _path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                values: dict[str, Any] = dict(archive)
            values |= json.loads(str(values.pop("about")))
            if values.pop("format") != _FORMAT:
                raise ValueError("another format")
            options = {name.removeprefix(_NESTED): values.pop(name) for name in [*values] if name.startswith(_NESTED)}
            if options:
                values["hyperparameters"] = options
            return kind(**values)
        except Exception as error:
            raise ValueError(f"{os.fspath(path)!r} is not a {kind.__name__} saved by gdexplain ({error}).") from error


def _vector(name: str, value: Any, kinds: str, allowed: str) -> NDArray[Any]:
    """Return a vector whose dtype is one of the kinds; an empty one may be of any."""
    array = number_array(name, value, ndim=1, booleans=True)
    if array.size and array.dtype.kind not in kinds:
        raise refused(TypeError, name, f"a vector of {allowed}", value)
    return array


def _check_words(record: Trajectory | Sweep, size: int) -> None:
    """Check what the two records share besides their arrays, and keep it in the kinds that a file can hold."""
    text("label", record.label)
    about = instance("provenance", record.provenance, Mapping, "a mapping from text to text")
    words = {text("provenance", name): text(f"provenance[{name!r}]", about[name]) for name in about}
    batch = None if record.batch_size is None else positive_int("batch_size", record.batch_size)
    keep(record, provenance=words, batch_size=batch, layout=_checked_layout(record.layout, size))


def _checked_layout(layout: Any, size: int) -> Layout:
    """Return the layout in tuples and Python's own numbers; raise unless it describes `size` parameters."""
    form = "pairs of a name and a shape"
    pairs = [items("layout", entry, form, at_least=2, at_most=2) for entry in items("layout", layout, form)]
    named = tuple(
        (text("layout", name), tuple(positive_int("layout", side, at_least=0) for side in items("layout", shape, form)))
        for name, shape in pairs
    ) or (("theta", (size,)),)
    if sum(math.prod(shape) for _, shape in named) != size:
        raise ValueError(f"layout must describe {size} parameters, not {named}.")
    return named


def _weight(parameters: NDArray[Any], layout: Layout, name: str) -> NDArray[Any]:
    """Cut one weight out of rows of parameters, in its own shape."""
    names = [known for known, _ in layout]
    text("name", name)
    if names.count(name) != 1:
        raise KeyError(f"name must be one of {', '.join(map(repr, names))}, and only one, not {name!r}.")
    place = names.index(name)
    sizes = [int(np.prod(shape)) for _, shape in layout]
    first = sum(sizes[:place])
    return parameters[:, first : first + sizes[place]].reshape(-1, *layout[place][1])


def _range(values: NDArray[Any], form: str) -> str:
    """Return the smallest and the largest value in words, or the one that they all are."""
    low, high = (form.format(value) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _count(number: int, noun: str) -> str:
    """Return the number and its noun, in the plural where it must be."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _check_shapes(parameters: NDArray[Any], gradients: NDArray[Any], updates: NDArray[np.int64], total: int) -> None:
    """Raise ValueError unless the rows of the record fit together."""
    if parameters.shape[1] != gradients.shape[1]:
        raise ValueError(
            f"parameters and gradients must be 2-D with as many columns, not {parameters.shape} and {gradients.shape}."
        )
    if len(updates) == 0 or updates[0] != 0 or updates[-1] != total or np.any(np.diff(updates) < 1):
        raise ValueError(f"updates must rise from 0 to {total}, the length of loss, not {updates}.")
    if len(parameters) not in (0, len(updates)):
        raise ValueError(f"parameters must have {len(updates)} rows, one for each of updates, not {len(parameters)}.")
    if len(gradients) not in (0, len(updates) - 1):
        raise ValueError(f"gradients must have {len(updates) - 1} rows, one less than updates, not {len(gradients)}.")


def _column_names(layout: Layout) -> list[str]:
    """Return one name for each parameter: the weight's name, and its place in it where it has several."""
    names: list[str] = []
    for name, shape in layout:
        places = list(np.ndindex(*shape))
        alone = len(places) == 1
        names += [name if alone else f"{name}[{', '.join(map(str, place))}]" for place in places]
    return names
