"""Data as people have it, made into what `fit` makes of it: NumPy arrays with one example a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdexplain.data import Dataset

_ELSEWHERE = "Data that comes in batches (tf.data, generators) or with weights goes to fit, with RecordTrajectory."


def as_pair(dataset: Any) -> tuple[Any, Any]:
    """Return inputs and targets of a `Dataset` or of a pair (x, y)."""
    if isinstance(dataset, Dataset):
        return dataset.inputs, dataset.targets
    if isinstance(dataset, tuple | list) and len(dataset) == 2:
        return dataset[0], dataset[1]
    count = f" of {len(dataset)}" if isinstance(dataset, tuple | list) else ""
    raise TypeError(
        f"dataset must be a Dataset or a pair (x, y) of arrays, not {type(dataset).__name__}{count}. {_ELSEWHERE}"
    )


def as_arrays(dataset: Any, dtype: str, *, inputs: int = 1, outputs: int = 1) -> tuple[Any, Any, int]:
    """Return inputs, targets (perhaps nested) and the number of examples; floats in `dtype`, all finite.

    A list of plain numbers is one array, unless the model has several `inputs` (or `outputs`) and the list as many.
    """
    x, y = as_pair(dataset)
    x = _convert("x", x, dtype, inputs)
    y = None if y is None else _convert("y", y, dtype, outputs)
    counts = {name: len(leaf) for name, leaf in leaves("x", x) + leaves("y", y)}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"x and y must have as many examples, and at least one, not {list(counts.values())}.")
    return x, y, next(iter(counts.values()))


def leaves(name: str, value: Any) -> list[tuple[str, NDArray[Any]]]:
    """Return every array of a structure with its name, such as ``x['area']``; None has none."""
    if value is None:
        return []
    if isinstance(value, Mapping):  # in the order in which Keras flattens them
        return [pair for key in sorted(value) for pair in leaves(f"{name}[{key!r}]", value[key])]
    if isinstance(value, list | tuple):
        return [pair for place, item in enumerate(value) for pair in leaves(f"{name}[{place}]", item)]
    return [(name, value)]


def _convert(name: str, value: Any, dtype: str, count: int) -> Any:
    """Turn each leaf of a structure into an array of numbers."""
    if isinstance(value, Mapping):
        return {key: _convert(f"{name}[{key!r}]", item, dtype, 1) for key, item in value.items()}
    several = count > 1 and isinstance(value, list | tuple) and len(value) == count
    if several or (isinstance(value, list | tuple) and any(_is_array(item) for item in value)):
        items = [_convert(f"{name}[{place}]", item, dtype, 1) for place, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    return _numbers(name, value, dtype)


def _is_array(value: Any) -> bool:
    """Say whether a member of a list is an array of its own (or a structure of them), not a number or a plain list."""
    if isinstance(value, list | tuple):
        return any(_is_array(item) for item in value)
    return isinstance(value, Mapping) or len(getattr(value, "shape", ())) > 0


def _numbers(name: str, value: Any, dtype: str) -> NDArray[Any]:
    """Return one array of numbers: whole numbers as they are, floats in `dtype` and finite."""
    array = _as_numpy(name, value)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be an array of real numbers, not of {array.dtype}.")
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise TypeError(f"{name} must be an array of numbers, one example a row, not {_shown(value)}. {_ELSEWHERE}")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # what overflows becomes inf, which the next line refuses
        array = array.astype(dtype)
    finite = np.isfinite(array)
    if not np.all(finite):
        where = ", ".join(map(str, np.argwhere(~finite)[0]))
        raise ValueError(f"{name} must be finite in {dtype}, but it has NaN or inf, first in {name}[{where}].")
    return array


def _as_numpy(name: str, value: Any) -> NDArray[Any]:
    """Return what `value` holds: a frame's columns in their common type, a series as the column that Keras takes."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} must have no masked entries: drop these rows, or fill them with `.filled(...)`.")
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        return _as_matrix(name, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, one example a row, not {_shown(value)}.") from error
    if array.dtype == object:
        array = _from_objects(array)
    elif array.dtype.name == "bfloat16":  # NumPy knows this one by its name only
        array = array.astype(np.float32)
    return array[:, np.newaxis] if hasattr(value, "to_frame") and array.ndim == 1 else array


def _as_matrix(name: str, frame: Any) -> NDArray[Any]:
    """Return a data frame as one array: numbers and truth values of any kind side by side."""
    series = [frame.iloc[:, place] if hasattr(frame, "iloc") else frame[key] for place, key in enumerate(frame.columns)]
    columns = [_from_objects(np.asarray(one)) for one in series]
    for key, one, values in zip(frame.columns, series, columns, strict=True):
        if values.dtype.kind not in "biuf":
            raise TypeError(
                f"{name} must have columns of numbers, but column {key!r} is of {one.dtype}: "
                "turn it into numbers (categories into 0 and 1, dates into days) or leave it out."
            )
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))


def _from_objects(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of Python numbers (pandas' missing value is NaN) as one of NumPy's; anything else as it is."""
    if array.dtype != object:
        return array
    numbers = [getattr(item, "item", lambda item=item: item)() for item in array.ravel()]
    if not all(isinstance(item, bool | int | float) or type(item).__name__ == "NAType" for item in numbers):
        return array
    plain = [float("nan") if type(item).__name__ == "NAType" else item for item in numbers]
    return np.asarray(plain).reshape(array.shape)


def _shown(value: Any) -> str:
    """Return a value as a short text, for a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:120]}..."
