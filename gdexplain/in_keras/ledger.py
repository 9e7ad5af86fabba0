"""The rows of one run while it goes on, held to a budget of bytes that can be said before the run."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import one_of, refused
from gdexplain.record import Trajectory

RECORD_BYTES = 2 * 2**30  # what a record may take unless `max_bytes` says otherwise
_KINDS = ("parameters", "gradients")
_ROOM = 64  # rows to begin with, where the number of updates is not known


def record_kinds(record: Any) -> tuple[str, ...]:
    """Return what to record in a fixed order; a name that is not one of ours is an error."""
    allowed = f"names among {', '.join(map(repr, _KINDS))}"
    if not isinstance(record, Collection) or isinstance(record, bytes) or getattr(record, "shape", None) == ():
        raise refused(TypeError, "record", allowed, record)
    asked = {one_of("record", name, _KINDS) for name in ([record] if isinstance(record, str) else record)}
    return tuple(name for name in _KINDS if name in asked)


def record_bytes(total: int, size: int, kinds: Collection[str], every: int, dtype: Any) -> int:
    """Return how many bytes the record of `total` updates of `size` parameters takes."""
    rows, item = -(-total // every), int(np.dtype(dtype).itemsize)
    flat = (rows + 1) * ("parameters" in kinds) + rows * ("gradients" in kinds)
    return total * item + (rows + 1) * 8 + flat * size * item


def check_budget(total: int, size: int, kinds: Collection[str], every: int, dtype: Any, max_bytes: int) -> None:
    """Refuse a record that is larger than `max_bytes`, and say what would make it fit."""

    def needed(every: int) -> int:
        return record_bytes(total, size, kinds, every, dtype)

    if needed(every) <= max_bytes:
        return
    low, high = every, total  # the first is too often; is the second?
    while needed(total) <= max_bytes and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) > max_bytes else (low, middle)
    rarer = f"record_every={high:,}, " if needed(high) <= max_bytes else ""
    raise ValueError(
        f"max_bytes must be at least {needed(every):,} for the record of {total:,} updates of {size:,} parameters at "
        f"every {'update' if every == 1 else f'{every:,}th update'}, not {max_bytes:,}. "
        f"Or ask for less: {rarer}fewer kinds in record, or fewer updates."
    )


class Ledger:
    """The losses of a run, and rows of parameters and gradients at every m-th update.

    Rows are written first and count once `commit` says so, in one assignment: whatever interrupts the run, what counts
    is whole. Where the number of updates is not known before, rows that reach the budget are thinned.
    """

    def __init__(
        self, start: NDArray[Any], kinds: Collection[str], every: int, *, total: int | None, max_bytes: int
    ) -> None:
        check_budget(total or 1, start.size, kinds, every, start.dtype, max_bytes)
        self.every, self._kinds, self.total, self._max_bytes = every, kinds, total, max_bytes
        self._size, self._dtype = start.size, start.dtype
        rows = _ROOM if total is None else -(-total // every) + 1
        self._rows = {kind: _Rows(start.shape, start.dtype, rows) for kind in kinds}
        self._rows["loss"] = _Rows((), start.dtype, total or _ROOM)
        if "parameters" in kinds:
            self.write("parameters", 0, start[np.newaxis])
        self.done: tuple[int, Any] = 0, start  # how many updates count, and where the last of them left the run

    def write(self, kind: str, first: int, rows: ArrayLike) -> None:
        """Put rows in their place, from the one with number `first` on."""
        self._rows[kind].put(first, np.asarray(rows))

    def commit(self, count: int, end: Any) -> None:
        """Let the first `count` updates count; `end` is where they left the run."""
        self.done = count, end
        if self.total is None:
            self._thin(count)

    def trajectory(self, last: NDArray[Any], *, without: Collection[str] = (), **about: Any) -> Trajectory:
        """Return the record of the updates that count, of which the last one led to the parameters `last`."""
        count, _ = self.done
        rows, nothing = -(-count // self.every), np.empty((0, self._size), self._dtype)
        if "parameters" in self._kinds:
            self.write("parameters", rows, last[np.newaxis])

        def given(kind: str, length: int) -> NDArray[Any]:
            return self._rows[kind].give(length) if kind in self._kinds and kind not in without else nothing

        return Trajectory(
            parameters=given("parameters", rows + 1),
            loss=self._rows["loss"].give(count),
            gradients=given("gradients", rows),
            updates=np.append(np.arange(0, count, self.every), count),
            **about,
        )

    def _thin(self, count: int) -> None:
        """Keep every second row if the rows of one more update would not fit."""
        if record_bytes(count + 1, self._size, self._kinds, self.every, self._dtype) <= self._max_bytes:
            return
        if not self._kinds or self.every > count:
            return
        rows = -(-count // self.every)
        thinned = {kind: self._rows[kind].thinned(rows) for kind in self._kinds}
        self._rows, self.every = self._rows | thinned, 2 * self.every
        warnings.warn(
            f"The record has reached max_bytes={self._max_bytes:,} at update {count:,}: from here on it keeps every "
            f"{self.every:,}th update, and of the ones before too.",
            stacklevel=2,
        )


class _Rows:
    """Rows of one shape in one array that grows; an array that was given away is never written to again."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, room: int) -> None:
        self._held = np.empty((room, *shape), dtype)

    def put(self, first: int, rows: NDArray[Any]) -> None:
        end, room = first + len(rows), len(self._held)
        if end > room or not self._held.flags.writeable:
            grown = np.empty((room if end <= room else max(end, 2 * room), *self._held.shape[1:]), self._held.dtype)
            grown[:first] = self._held[:first]
            self._held = grown
        self._held[first:end] = rows

    def give(self, count: int) -> NDArray[Any]:
        """Return the first rows, without a copy."""
        if count != len(self._held):
            self._held.resize((count, *self._held.shape[1:]), refcheck=False)
        self._held.flags.writeable = False
        return self._held

    def thinned(self, count: int) -> _Rows:
        """Return every second of the first `count` rows."""
        half = _Rows(self._held.shape[1:], self._held.dtype, len(self._held))
        kept = self._held[:count:2]
        half._held[: len(kept)] = kept
        return half
