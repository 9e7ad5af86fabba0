"""Run the pages in every variant, two at once, and say which checks fail: `nox -s robust -- [page ...] [variant ...]`."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.robust import page, variants

TABLE = page.ROOT / "docs" / "project" / "robust.json"
sys.path[:0] = [str(page.ROOT / "docs" / "_ext"), str(page.ROOT / "docs")]  # what makes a build's environment


def main() -> None:
    """Choose pages and variants, run them, say what fails, and keep the table of a full run."""
    parser = argparse.ArgumentParser(prog="nox -s robust --", description=__doc__)
    parser.add_argument("words", nargs="*", help="parts of the names of pages and variants; all if none is named")
    parser.add_argument("--changed", action="store_true", help="only pages whose code is not the table's")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes at once")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the process of one variant
    options = parser.parse_args()
    if options.one:
        run_one(options.one, [page.ROOT / name for name in options.words])
        return
    pages = [path.relative_to(page.ROOT).as_posix() for path in page.find()]
    import execute

    execute.prepare_environment(page.ROOT)  # each process inherits it
    chosen, names = choose(options.words, pages, list(variants.every()))
    before = json.loads(TABLE.read_text(encoding="utf-8"))
    digests = {name: page.digest(page.ROOT / name) for name in pages}
    if options.changed:
        chosen = [name for name in chosen if before["pages"].get(name, {}).get("code") != digests[name]]
        print(f"{len(chosen)} pages have changed: {', '.join(chosen)}", flush=True)
    outcomes = run_all(chosen, names, options.jobs)
    report(outcomes)
    if names == list(variants.every()):
        made = variants.renewed(before, variants.table(outcomes, digests), pages)
        TABLE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    sys.exit(1 if variants.broken(outcomes) else 0)


def choose(words: list[str], pages: list[str], names: list[str]) -> tuple[list[str], list[str]]:
    """Return the pages and the variants that a word is part of; all where no word is part of any."""
    if lost := [word for word in words if not any(word in name for name in pages + names)]:
        sys.exit(f"no page and no variant has {lost[0]!r} in its name; the variants: {', '.join(names)}")
    some = ([name for name in each if any(word in name for word in words)] for each in (pages, names))
    chosen, asked = some
    return chosen or pages, asked or names


def run_all(pages: list[str], names: list[str], jobs: int) -> dict[str, variants.Outcome]:
    """Run each variant in a process of its own, some at once."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return dict(zip(names, pool.map(lambda name: run_variant(name, pages), names), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # or Ctrl-C would begin the next variant
            raise


def run_variant(name: str, pages: list[str]) -> variants.Outcome:
    """Run a variant in a process of its own; if a page ends that process, the pages after it get another one."""
    outcome: variants.Outcome = {}
    began = time.monotonic()
    while len(outcome) < len(pages):
        status = run_process(name, pages[len(outcome) :], outcome)
        if len(outcome) == len(pages):
            break
        if status >= 0 or status == -signal.SIGINT:
            sys.exit(f"{name}: its process gave up with status {status}")
        failure = {"line": 0, "claim": "the page runs", "measured": f"signal {-status}", "allowed": ""}
        outcome[pages[len(outcome)]] = {"seconds": 0.0, "checks": 0, "failures": [failure]}
    failed = sum(len(about["failures"]) for about in outcome.values())
    slow = sorted(((about.pop("seconds"), path) for path, about in outcome.items()), reverse=True)[:3]
    slowest = ", ".join(f"{path.rpartition('/')[2]} {seconds:.0f} s" for seconds, path in slow)
    print(f"{name}: {failed} checks fail; {time.monotonic() - began:.0f} s ({slowest})", flush=True)
    return outcome


def run_process(name: str, pages: list[str], outcome: variants.Outcome) -> int:
    """Start a variant's process, write down each page's outcome, and say what fails."""
    command = [sys.executable, "-m", "tools.robust", "--one", name, *pages]
    environment = {**os.environ, **variants.every()[name]}
    with subprocess.Popen(command, cwd=page.ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            about = json.loads(line)
            path = about.pop("page")
            outcome[path] = about
            for found in about["failures"]:
                print(f"{name}: {path}:{found['line']} {page.in_words(found)}", flush=True)
    return process.returncode


def run_one(name: str, paths: list[Path]) -> None:
    """Run pages in this process, and write a line of JSON for each."""
    variants.heeded(name)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not mix with it
    import figures
    import matplotlib.pyplot as plt

    from tools.robust import chance

    warnings.simplefilter("ignore")  # they are the build's concern
    gc.freeze()  # TensorFlow is here to stay: not to be looked through at each of many thousand graphs
    gc.set_threshold(200_000, 20, 50)
    change = {"start": chance.perturbed, "seed": chance.shifted}.get(variants.kind(name))
    for path in paths:
        began = time.process_time()  # of this process: whatever else the machine does
        with change(int(name.partition("-")[2])) if change else contextlib.nullcontext():
            figures.reset({}, path.name)
            result = page.run(path)
        plt.close("all")
        about: dict[str, Any] = {"page": path.relative_to(page.ROOT).as_posix(), "seconds": time.process_time() - began}
        print(json.dumps(about | {"checks": len(result.checks), "failures": result.listed()}), file=out, flush=True)


def report(outcomes: dict[str, variants.Outcome]) -> None:
    """Print each check that fails somewhere: where, what it says, what was measured, what is allowed."""
    for (name, line), found in variants.by_check(outcomes).items():
        print(f"\n{name}:{line}: {next(iter(found.values()))['claim']}")
        for variant, about in found.items():
            print(f"    {variant:18} {page.in_words(about)}")
    broken = variants.broken(outcomes)
    print(f"\n{len(outcomes)} variants: {len(broken)} checks fail where they may not")


if __name__ == "__main__":
    main()
