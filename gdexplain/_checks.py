"""Is this argument what it should be? One way of saying no: what it must be, and what came."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

E = TypeVar("E", bound=Exception)
T = TypeVar("T")
_KINDS = {"b": "truth values", "c": "complex numbers", "M": "dates", "m": "times", "U": "text", "S": "text"}
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxarray = 8
_SHORT.maxstring = _SHORT.maxother = 80


def refused(error: type[E], name: str, allowed: str, value: Any) -> E:
    """Return the error to raise: "name must be what is allowed, not the value", and its type where that is wrong."""
    try:
        shown = " ".join(_SHORT.repr(value).split())
    except ValueError:  # a whole number of more digits than Python prints
        shown = "a number of thousands of digits"
    kind = f" ({type(value).__name__})" if issubclass(error, TypeError) else ""
    return error(f"{name} must be {allowed}, not {shown}{kind}.")


def instance(name: str, value: T, kind: type[Any], allowed: str = "") -> T:
    """Return `value` if it is an instance of `kind`."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIO" else "a"
        raise refused(TypeError, name, allowed or f"{article} {kind.__name__}", value)
    return value


def function(name: str, value: T, allowed: str = "a function") -> T:
    """Return `value` if it can be called."""
    if not callable(value):
        raise refused(TypeError, name, allowed, value)
    return value


def items(name: str, value: Any, allowed: str, *, at_least: int = 0, at_most: float = math.inf) -> tuple[Any, ...]:
    """Return what a list, a tuple, an array or the like holds, in its order, if it is as many things as it must be."""
    listed = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not listed and (getattr(value, "ndim", 0) == 0 or hasattr(value, "columns")):  # a table would give its names
        raise refused(TypeError, name, allowed, value)
    if not at_least <= len(value) <= at_most:
        raise refused(ValueError, name, allowed, value)
    return tuple(value)


def text(name: str, value: Any) -> str:
    """Return `value` if it is text."""
    return str(instance(name, value, str, "text"))


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool if it is True or False, Python's or NumPy's."""
    if not isinstance(_scalar(value), bool | np.bool_):
        raise refused(TypeError, name, "True or False", value)
    return bool(value)


def positive_int(name: str, value: Any, *, at_least: int = 1, at_most: int | None = None) -> int:
    """Return `value` as an int if it is a whole number from `at_least` to `at_most`."""
    allowed = (
        f"a whole number of at least {at_least}" if at_most is None else f"a whole number from {at_least} to {at_most}"
    )
    scalar = _scalar(value)
    if not (_is_real(scalar) and isinstance(scalar, Integral)):
        raise refused(TypeError, name, allowed, value)
    number = int(scalar)
    if at_most is None and number >= 2**63:
        raise refused(ValueError, name, f"{allowed}, below 2**63", number)
    if number < at_least or (at_most is not None and number > at_most):
        raise refused(ValueError, name, allowed, number)
    return number


def room(name: str, numbers: int) -> None:
    """Raise unless so many numbers fit into 4 GiB: a slip of the key shall not stop the computer."""
    if numbers > 2**29:
        raise ValueError(f"{name} must be small enough for 4 GiB, but this takes {8 * numbers / 2**30:.3g} GiB.")


def called(name: str, function: Any, *arguments: Any) -> Any:
    """Return what a function of the caller's returns; one that does not take these arguments is named."""
    try:
        return function(*arguments)
    except TypeError as error:
        raise TypeError(f"{name} must be a function that takes what it is given: {error}") from error


def seed_of(name: str, value: Any) -> int:
    """Return `value` as an int if it can be the seed of NumPy, of Keras and of a record: one range for all."""
    return positive_int(name, value, at_least=0, at_most=2**63 - 1)


def real(
    name: str,
    value: Any,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a float if it is finite and inside the bounds given."""
    scalar = _scalar(value)
    is_number = _is_real(scalar)
    try:
        number = float(scalar) if is_number else math.nan
    except OverflowError:  # a whole number beyond float64
        number = math.inf
    if math.isfinite(number) and number > above and at_least <= number < below:
        return number
    bounds = [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"at least {at_least:g}"] if at_least > -math.inf else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise refused(ValueError if is_number else TypeError, name, allowed, number if math.isfinite(number) else value)


def rate_at(name: str, schedule: Any, k: int) -> float:
    """Return a schedule's rate after k updates, held to its promise: a finite rate of at least 0."""
    try:
        rate = called(name, schedule, k)
    except OverflowError:  # a power that grows
        rate = math.inf
    return real(f"{name}({k})", rate, at_least=0)


def one_of(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return `value` if it is one of the names in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise refused(ValueError, name, f"one of {', '.join(map(repr, allowed))}", value)
    return value


def number_array(name: str, value: Any, *, ndim: int | None = None, booleans: bool = False) -> NDArray[Any]:
    """Return `value` as an array of real numbers in its own dtype, if nothing is lost on the way and it has `ndim` axes.

    NumPy makes numbers of dates, of digits in text and of None, and drops masks and imaginary parts. This does not.
    """
    try:
        masked = _is_masked(value)
        array = np.asarray(value if not masked else 0.0)
    except Exception as error:  # ragged rows, a symbolic tensor, an __array__ that raises, a list that holds itself
        raise refused(TypeError, name, "an array of numbers, its rows of one length", value) from error
    if masked:
        raise TypeError(f"{name} must be an array of numbers, but some are masked: fill them or leave them out.")
    if array.dtype.kind in "if" and isinstance(value, list | tuple) and any(isinstance(item, bool) for item in value):
        array = np.array(value, dtype=object)  # truth values among numbers
    if array.dtype.kind == "O":
        array = _from_objects(name, array, value, booleans=booleans)
    if array.dtype.kind == "V" and np.can_cast(array.dtype, np.float64):  # bfloat16 and its like
        array = array.astype(np.float64)
    if array.dtype.kind not in ("biuf" if booleans else "iuf"):
        if array.ndim == 0:
            raise refused(TypeError, name, "an array of numbers", value)
        came = _KINDS.get(array.dtype.kind, str(array.dtype))
        raise TypeError(f"{name} must be an array of numbers, not of {came}.")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} {'axis' if ndim == 1 else 'axes'}, not shape {array.shape}.")
    return array


def finite_array(
    name: str, value: ArrayLike, *, ndim: int | None = None, booleans: bool = False, dtype: Any = np.float64
) -> NDArray[Any]:
    """Return `value` as an array of `dtype` (None: its own) if all of it is finite; the first that is not is named."""
    given = number_array(name, value, ndim=ndim, booleans=booleans)
    with np.errstate(over="ignore"):  # what overflows becomes inf, and is named below
        array = given if dtype is None else given.astype(dtype, copy=False)
    if not np.all(np.isfinite(array)):
        bad = tuple(np.argwhere(~np.isfinite(array))[0])
        where = f"[{', '.join(map(str, bad))}]" if bad else ""
        range_ = "" if not np.isfinite(given[bad]) else f", beyond {np.dtype(dtype)}"
        raise ValueError(f"{name} must be finite, but {name}{where} is {given[bad]}{range_}.")
    return array


def vector(name: str, value: ArrayLike, size: int) -> NDArray[np.float64]:
    """Return `value` as a vector of `size` finite numbers."""
    array = finite_array(name, value)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape ({size},), not {array.shape}.")
    return array


def symmetric(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return `value` as a square matrix of finite numbers that equals its transpose, to rounding."""
    matrix = finite_array(name, value, ndim=2)
    if matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ValueError(f"{name} must be square, shape (P, P), not {matrix.shape}.")
    if np.max(np.abs(matrix / 2 - matrix.T / 2)) > 5e-11 * np.max(np.abs(matrix)):  # halved: no difference overflows
        raise refused(ValueError, name, "symmetric", matrix.tolist())
    return matrix


def row_numbers(name: str, value: Any, size: int) -> NDArray[np.int64]:
    """Return `value` as the numbers of rows of an array of `size` rows: one or more, in any order, perhaps repeated."""
    array = number_array(name, value, ndim=1)
    allowed = f"row numbers from 0 to {size - 1}, at least one"
    if array.size == 0:
        raise ValueError(f"{name} must be {allowed}, not none.")
    if array.dtype.kind == "f":
        raise refused(TypeError, name, allowed, value)
    if array.min() < 0 or array.max() >= size:
        place = int(np.flatnonzero((array < 0) | (array >= size))[0])
        raise ValueError(f"{name} must be {allowed}, but {name}[{place}] is {array[place]}.")
    return array.astype(np.int64, copy=False)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy of `array`, so that a record cannot be changed behind its back.

    An array that is read-only and owns its memory is that already: a large record is not there twice.
    """
    if array.base is None and not array.flags.writeable:
        return array
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def keep(record: Any, **values: Any) -> None:
    """Set fields of a frozen record to what was checked: arrays to read-only copies."""
    for name, value in values.items():
        object.__setattr__(record, name, frozen(value) if isinstance(value, np.ndarray) else value)


def _is_real(value: Any) -> bool:
    """Say whether this is a real number: for Python a truth value is one, for NumPy a length of time too."""
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64)


def _scalar(value: Any) -> Any:
    """Return the number in an array or tensor of no axes; everything else as it is."""
    if getattr(value, "shape", None) != () or not hasattr(value, "__array__") or isinstance(value, np.ma.MaskedArray):
        return value
    try:
        return np.asarray(value)[()]
    except Exception:  # noqa: BLE001  # whatever a symbolic tensor raises, it has no number yet
        return value


def _is_masked(value: Any) -> bool:
    """Say whether a number of this array is masked, or of one of the arrays in this list."""
    if isinstance(value, list | tuple):
        return any(_is_masked(item) for item in value if isinstance(item, list | tuple | np.ma.MaskedArray))
    return bool(np.ma.is_masked(value))


def _from_objects(name: str, array: NDArray[Any], value: Any, *, booleans: bool) -> NDArray[Any]:
    """Return an array of objects, such as a table of mixed columns, as one of numbers if each is a number."""
    if array.ndim == 0:
        raise refused(TypeError, name, "an array of numbers", value)
    for place, item in np.ndenumerate(array):
        if not (_is_real(item) or (booleans and isinstance(item, bool | np.bool_))):
            raise refused(TypeError, f"{name}[{', '.join(map(str, place))}]", "a number", item)
    try:
        plain = np.asarray(array.tolist())
        return plain if plain.dtype.kind in "biuf" else array.astype(np.float64)
    except OverflowError as error:
        raise ValueError(f"{name} must be finite, but holds a whole number beyond float64.") from error
