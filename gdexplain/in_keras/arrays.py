"""Data as people have it, made into what `fit` makes of it: NumPy arrays with one example a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdexplain._checks import finite_array, number_array, refused
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
        listed = any(isinstance(part, list | tuple) for part in (x, y))
        hint = " A list of arrays is one array an input or output: np.stack makes one of rows." if listed else ""
        raise ValueError(f"x and y must have as many examples, and at least one, not {list(counts.values())}.{hint}")
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
    if several or (isinstance(value, list | tuple) and any(is_array(item) for item in value)):
        items = [_convert(f"{name}[{place}]", item, dtype, 1) for place, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    return _numbers(name, value, dtype)


def is_array(value: Any) -> bool:
    """Say whether a member of a list is an array of its own (or a structure of them), not a number or a plain list."""
    if isinstance(value, list | tuple):
        return any(is_array(item) for item in value)
    return isinstance(value, Mapping) or len(getattr(value, "shape", ())) > 0


def _numbers(name: str, value: Any, dtype: str) -> NDArray[Any]:
    """Return one array of numbers: whole numbers as they are, floats in `dtype` and finite."""
    try:
        array = number_array(name, value, booleans=True)
    except TypeError as error:
        raise TypeError(f"{error} {_instead(name, value)}".rstrip()) from error
    if array.ndim == 0:
        raise refused(TypeError, name, "an array of numbers, one example a row", value)
    if hasattr(value, "to_frame") and array.ndim == 1:  # a pandas series, of which Keras makes a column
        array = array[:, np.newaxis]
    return finite_array(name, array, dtype=dtype) if array.dtype.kind == "f" else array


def _instead(name: str, value: Any) -> str:
    """Say what to do with data of which there is no array of numbers."""
    dense = {
        "toarray": f"{name}.toarray()",
        "dense_shape": f"tf.sparse.to_dense({name})",
        "to_tensor": f"{name}.to_tensor()",
    }
    for attribute, code in dense.items():  # SciPy's, TensorFlow's sparse and its ragged ones
        if hasattr(value, attribute):
            return f"Make it dense: {code}."
    try:
        array = np.asarray(value)
    except Exception:  # noqa: BLE001  # ragged rows, a symbolic tensor
        return (
            "Pad its rows to one length (keras.utils.pad_sequences)." if isinstance(value, list | tuple) else _ELSEWHERE
        )
    if array.dtype.names:
        return f"Make its fields columns: numpy.lib.recfunctions.structured_to_unstructured({name})."
    if array.dtype.kind == "O" and np.ndim(array.flat[0] if array.size else 0):
        return f"If its rows have one length, put them into one array: np.stack({name})."
    if array.ndim and array.dtype.kind in "OUSTMm":
        return (
            "Turn text, dates and categories into numbers first, and fill gaps (pandas.get_dummies, fillna, a StringLookup "
            "layer), or leave the data to fit, with RecordTrajectory."
        )
    return "" if array.ndim else _ELSEWHERE
