"""The variants: what another machine's arithmetic, and another chance, are made of."""

from __future__ import annotations

import functools
import os
import platform
import sys
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

STARTS, SEEDS, ENOUGH = 5, 20, 19
_CORES = {"nehalem": (), "haswell": ("X86_V3",), "skylakex": ("X86_V3", "X86_V4")}  # what NumPy calls their features


@functools.cache
def every() -> dict[str, dict[str, str]]:
    """Return each variant's settings: variables of its process, on top of those that the site is built with."""
    found = _features()
    made: dict[str, dict[str, str]] = {"as-built": {}}
    if platform.machine().lower() in ("x86_64", "amd64"):
        made |= {f"xla-{isa.lower()}": {"XLA_FLAGS": f"--xla_cpu_max_isa={isa}"} for isa in ("SSE4_2", "AVX2")}
        able = [core for core, needs in _CORES.items() if {*needs} <= {*found}]
        made |= {f"openblas-{core}": {"OPENBLAS_CORETYPE": core.capitalize().replace("ex", "eX")} for core in able}
    for name, kept in {"numpy-plain": [], "numpy-avx2": ["X86_V3"]}.items():
        disabled = [feature for feature in found if feature not in kept]
        if disabled and {*kept} < {*found}:
            made[name] = {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)}
    made["onednn"] = {"TF_ENABLE_ONEDNN_OPTS": "1"}
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    made["two-threads"] = dict.fromkeys(threads, "2")
    made |= {f"start-{k}": {} for k in range(1, STARTS + 1)}
    return made | {f"seed-{k}": {} for k in range(1, SEEDS + 1)}


def _features() -> list[str]:
    """Return the features of this processor that NumPy has loops of its own for."""
    return list(np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()))  # type: ignore[index]


def check(name: str) -> None:
    """See that NumPy heeds the settings of this process's variant."""
    used = {pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    if used != {core := os.environ.get("OPENBLAS_CORETYPE") or "".join(used)}:
        sys.exit(f"{name}: OpenBLAS uses {used}, not {core}")
    if left := {*os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split()} & {*_features()}:
        sys.exit(f"{name}: NumPy still uses {left}")


def by_check(outcomes: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, dict[str, str]]]:
    """Return every check that fails in a variant: {file:line: {variant: what failed}}."""
    failed: dict[str, dict[str, dict[str, str]]] = {}
    for variant, outcome in outcomes.items():
        for name, about in outcome.items():
            for failure in about["failures"]:
                failed.setdefault(f"{name}:{failure['line']}", {})[variant] = failure
    return dict(sorted(failed.items()))


def broken(outcomes: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Return the checks that fail where they may not: in any arithmetic, from any start, or with too many seeds."""
    wrong = []
    for place, found in by_check(outcomes).items():
        seeds = [name for name in found if name.startswith("seed-")]
        if len(seeds) > SEEDS - ENOUGH or len(found) > len(seeds):
            wrong.append(place)
    return wrong
