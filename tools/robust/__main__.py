"""Run the pages in every variant, two at once, and print which checks fail: `nox -s robust -- [page ...] [variant ...]`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.robust import page, variants

TABLE = page.ROOT / "docs" / "project" / "robust.json"
Outcome = dict[str, dict[str, Any]]
sys.path[:0] = [str(page.ROOT / "docs" / "_ext"), str(page.ROOT / "docs")]


def main() -> None:
    """Choose pages and variants, run them, print and keep the table."""
    parser = argparse.ArgumentParser(prog="nox -s robust --", description=__doc__)
    parser.add_argument("words", nargs="*", help="parts of the names of pages, and of variants; all if none is named")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a process of one variant
    parser.add_argument("--jobs", type=int, default=2, help="how many processes at once")
    options = parser.parse_args()
    names = {path.relative_to(page.ROOT).as_posix(): path for path in page.find()}
    if options.one:
        run_one(options.one, [names[name] for name in options.words])
        return
    import build_state

    build_state.prepare_environment(page.ROOT / "docs" / "_build")  # each process inherits it
    chosen, asked = choose(options.words, list(names), list(variants.every()))
    outcomes = run_all(chosen, asked, options.jobs)
    report(outcomes)
    if not options.words:
        write(outcomes)
    sys.exit(1 if variants.broken(outcomes) else 0)


def choose(words: list[str], pages: list[str], known: list[str]) -> tuple[list[str], list[str]]:
    """Return the pages and the variants that the words are parts of; a word that is part of no name is an error."""
    by_word = {
        word: ([name for name in pages if word in name], [name for name in known if word in name]) for word in words
    }
    if lost := [word for word, found in by_word.items() if not any(found)]:
        sys.exit(f"no page and no variant has {lost[0]!r} in its name; the variants: {', '.join(known)}")
    some = [{name for found in by_word.values() for name in found[kind]} for kind in (0, 1)]
    return [name for name in pages if name in some[0] or not some[0]], [
        name for name in known if name in some[1] or not some[1]
    ]


def run_all(pages: list[str], asked: list[str], jobs: int) -> dict[str, Outcome]:
    """Run each variant in a process of its own, and say when it is done."""
    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(asked, pool.map(lambda name: _process(name, pages), asked), strict=True))


def _process(name: str, pages: list[str]) -> Outcome:
    """Start a variant's process, pass on what it says, and return its outcomes."""
    command = [sys.executable, "-m", "tools.robust", "--one", name, *pages]
    outcome, began = {}, time.monotonic()
    environment = {**os.environ, **variants.every()[name]}
    with subprocess.Popen(command, cwd=page.ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            about = json.loads(line)
            outcome[about.pop("page")] = about
    if process.returncode or len(outcome) != len(pages):
        sys.exit(f"{name}: the process ended with {process.returncode} after {len(outcome)} of {len(pages)} pages")
    failed = sum(len(about["failures"]) for about in outcome.values())
    print(f"{name}: {len(pages)} pages, {failed} checks fail, {time.monotonic() - began:.0f} s", flush=True)
    return outcome


def run_one(name: str, paths: list[Path]) -> None:
    """Run pages in this process, and write a line of JSON for each."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not mix with it
    variants.check(name)
    import gc

    import gallery
    import matplotlib.pyplot as plt

    from tools.robust import chance

    kind, _, number = name.partition("-")
    chances = {"start": chance.perturbed, "seed": chance.shifted}
    for path in paths:
        with chances[kind](int(number)) if kind in chances else contextlib.nullcontext():
            gallery.reset({}, path.name)
            began = time.monotonic()
            result = page.run(path)
        plt.close("all")
        gc.collect()
        about = {"page": path.relative_to(page.ROOT).as_posix(), "seconds": time.monotonic() - began}
        about |= {
            "checks": len(result.checks),
            "failures": [{"line": k, **v} for k, v in sorted(result.failures.items())],
        }
        print(json.dumps(about), file=out, flush=True)


def report(outcomes: dict[str, Outcome]) -> None:
    """Print each check that fails somewhere: where, what it says, what was measured, what is allowed."""
    for place, found in variants.by_check(outcomes).items():
        claim = next(iter(found.values()))["claim"]
        print(f"\n{place}: {claim}")
        for name, about in found.items():
            print(f"    {name:18} measured {about['measured']}; allowed {about['allowed']}")


def write(outcomes: dict[str, Outcome]) -> None:
    """Keep the table that the site shows."""


if __name__ == "__main__":
    main()
