"""The variants: what another machine's arithmetic, and another chance, are made of; and what their outcomes say."""

from __future__ import annotations

import functools
import os
import platform
import sys
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.harness import machine

STARTS, SEEDS, ENOUGH = 5, 20, 19
_CORES = {
    "Nehalem": (),
    "Haswell": ("X86_V3",),
    "SkylakeX": ("X86_V3", "X86_V4"),
}  # with NumPy's names of what they need
_THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Outcome = dict[str, dict[str, Any]]  # of one variant: {page: {"checks": how many, "failures": [...]}}


@functools.cache
def every() -> dict[str, dict[str, str]]:
    """Return each variant's settings: variables of its process, on top of those that the site is built with."""
    made: dict[str, dict[str, str]] = {"built": {}}
    if platform.machine().lower() in ("x86_64", "amd64"):
        made |= {f"xla-{isa.lower()}": {"XLA_FLAGS": f"--xla_cpu_max_isa={isa}"} for isa in ("SSE4_2", "AVX2")}
        able = [core for core, needs in _CORES.items() if {*needs} <= {*features()}]
        made |= {f"openblas-{core.lower()}": {"OPENBLAS_CORETYPE": core} for core in able}
    for name, kept in {"numpy-plain": [], "numpy-avx2": ["X86_V3"]}.items():
        if {*kept} < {*features()}:
            made[name] = {"NPY_DISABLE_CPU_FEATURES": " ".join(word for word in features() if word not in kept)}
    made["onednn"] = {"TF_ENABLE_ONEDNN_OPTS": "1"}
    made["threads-2"] = dict.fromkeys(_THREADS, "2")
    made |= {f"start-{k}": {} for k in range(1, STARTS + 1)}
    return made | {f"seed-{k}": {} for k in range(1, SEEDS + 1)}


def features() -> list[str]:
    """Return the features of this processor that NumPy has loops of its own for."""
    return list(np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()))


def heeded(name: str) -> None:
    """End this process unless NumPy heeds the settings of its variant."""
    used = {pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    core = os.environ.get("OPENBLAS_CORETYPE")
    if core and used != {core}:
        sys.exit(f"{name}: OpenBLAS uses {', '.join(used)}")
    if left := {*os.environ.get("NPY_DISABLE_CPU_FEATURES", "").split()} & {*features()}:
        sys.exit(f"{name}: NumPy still uses {', '.join(left)}")


def kind(name: str) -> str:
    """Return the kind of a variant: xla of xla-avx2, seed of seed-7."""
    return name.partition("-")[0]


def by_check(outcomes: dict[str, Outcome]) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """Return every check that fails somewhere: {(page, line): {variant: what failed}}."""
    failed: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for variant, outcome in outcomes.items():
        for page, about in outcome.items():
            for failure in about["failures"]:
                failed.setdefault((page, failure["line"]), {})[variant] = failure
    return dict(sorted(failed.items()))


def broken(outcomes: dict[str, Outcome]) -> list[tuple[str, int]]:
    """Return the checks that fail where they may not: in any arithmetic, from any start, or with too many seeds."""
    seeds = {check: sum(kind(name) == "seed" for name in found) for check, found in by_check(outcomes).items()}
    found = by_check(outcomes)
    return [check for check in found if seeds[check] > SEEDS - ENOUGH or seeds[check] < len(found[check])]


def table(outcomes: dict[str, Outcome], digests: dict[str, str]) -> dict[str, Any]:
    """Return what the site shows: the machine, its variants, and of each page how many checks hold and which fail."""
    about, failed = machine(), by_check(outcomes)
    pages: dict[str, Any] = {}
    for name in sorted({name for outcome in outcomes.values() for name in outcome}):
        checks = max(outcome[name]["checks"] for outcome in outcomes.values() if name in outcome)
        failures = [_failure(*one) for one in failed.items() if one[0][0] == name]
        run = {"machine": 0, "date": about["date"], "code": digests[name]}
        pages[name] = {**run, "checks": checks, "failures": failures}
    here = {name: about[name] for name in ("processor", "system", "versions")}
    here |= {"features": features(), "variants": {name: every()[name] for name in outcomes}}
    return {"machines": [here], "pages": pages}


def renewed(before: dict[str, Any], made: dict[str, Any], pages: list[str]) -> dict[str, Any]:
    """Keep of an earlier table the pages that still exist and were not run again, each with the machine that ran it."""
    rows = {name: (row, before["machines"][row["machine"]]) for name, row in before["pages"].items() if name in pages}
    rows |= {name: (row, made["machines"][0]) for name, row in made["pages"].items()}
    machines = [one for one in [*before["machines"], *made["machines"]] if any(one == ran for _, ran in rows.values())]
    machines = [one for place, one in enumerate(machines) if one not in machines[:place]]
    kept = {name: {**row, "machine": machines.index(ran)} for name, (row, ran) in sorted(rows.items())}
    return {"machines": machines, "pages": kept}


def _failure(check: tuple[str, int], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a check that fails: its line, its claim, and what was measured in each variant in which it does."""
    values = {name: [one["measured"], one["allowed"]] for name, one in found.items()}
    return {"line": check[1], "claim": next(iter(found.values()))["claim"], "in": values}
