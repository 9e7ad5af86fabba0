"""Time several ways to one result in turn, round after round, and describe the machine.

A machine is never alone: another program slows down whatever runs beside it. So each round calls every way, and what
is compared is the best and the median of all its calls. Ratios within one run mean something; seconds do not travel.
"""

from __future__ import annotations

import datetime as dt
import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Way = Callable[[], object]
LIBRARIES = ("gdexplain", "keras", "tensorflow", "tensorflow-cpu", "torch", "jax", "numpy")


def race(ways: Mapping[str, Way], *, rounds: int, budget: float = 0.1) -> dict[str, dict[str, float]]:
    """Call each way in each round, as often as fits `budget` seconds (at least once); return its times in seconds.

    A first call of each, which compiles what is to be compiled, is not counted.
    """
    calls = {}
    for name, way in ways.items():
        slow = _seconds(way) > 2  # then it is not compiling that took so long
        calls[name] = 1 if slow else int(np.clip(budget / _seconds(way), 1, 500))
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            times[name] += [_seconds(way) for _ in range(calls[name])]
    return {name: summary(seconds) for name, seconds in times.items()}


def _seconds(way: Way) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def summary(seconds: list[float]) -> dict[str, float]:
    """Return the best and the median of several times, and how many there are; four digits are more than is known."""
    return {
        "best": float(f"{min(seconds):.4g}"),
        "median": float(f"{statistics.median(seconds):.4g}"),
        "calls": len(seconds),
    }


def machine() -> dict[str, object]:
    """Describe what the times depend on: processor, cores, versions, day. No name of a host or a user."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "versions": versions,
    }


def _processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
