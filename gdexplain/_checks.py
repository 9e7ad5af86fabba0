"""Checks of arguments, shared by every module: the error names the argument, the value, what is allowed."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def positive_int(name: str, value: Any, *, at_most: int | None = None) -> int:
    """Return `value` as an int if it is a whole number from 1 to `at_most`."""
    allowed = "a whole number of at least 1" if at_most is None else f"a whole number from 1 to {at_most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be {allowed}, not {value!r} ({type(value).__name__}).")
    number = int(value)
    if number < 1 or (at_most is not None and number > at_most):
        raise ValueError(f"{name} must be {allowed}, not {number}.")
    return number


def real(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a float if it is finite and inside the bounds given."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    if math.isfinite(number) and number > above and at_least <= number < below:
        return number
    bounds = [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"at least {at_least:g}"] if at_least > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    if not is_number:
        raise TypeError(f"{name} must be {allowed}, not {value!r} ({type(value).__name__}).")
    raise ValueError(f"{name} must be {allowed}, not {number!r}.")


def one_of(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return `value` if it is one of the names in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
    return value


def finite_array(name: str, value: ArrayLike, *, ndim: int | None = None) -> NDArray[np.float64]:
    """Return `value` as a float64 array if all of it is finite and it has `ndim` axes."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, not {value!r}.") from error
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, not shape {array.shape}.")
    if not np.all(np.isfinite(array)):
        bad = np.argwhere(~np.isfinite(array))[0]
        where = ", ".join(map(str, bad))
        raise ValueError(f"{name} must be finite, but {name}[{where}] is {array[tuple(bad)]}.")
    return array


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy of `array`, so that a record cannot be changed behind its back."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy
