"""Measure everything and write the table that the site reads: ``python -m benchmarks``, or ``nox -s bench``."""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # beside TensorFlow's threads, more of NumPy's wait for each other

import argparse
import json
from pathlib import Path

from benchmarks import by_hand, call, contestants, first_result, harness, recorder, sizes, sweeps, tasks

TABLE = Path(__file__).resolve().parent.parent / "docs" / "project" / "benchmarks.json"


def training(task, rounds):
    ways = contestants.contestants(task)
    contestants.check_the_same(task, ways)
    return {"title": task.title, "updates": len(task.order), "times": harness.race(ways, rounds=rounds)}


def sweep(rounds):
    serial = sweeps.one_after_another()
    ways = serial | sweeps.all_at_once()
    sweeps.check_the_same(ways)
    times = harness.race(ways, rounds=rounds)
    for way in serial:
        times[way]["estimated from runs"] = sweeps.SAMPLE
        for kind in ("best", "median"):
            times[way][kind] = float(f"{times[way][kind] * sweeps.RUNS / sweeps.SAMPLE:.4g}")
    return {"title": f"{sweeps.RUNS:,} runs of {sweeps.UPDATES} updates of one neuron", "times": times}


SECTIONS = {
    "neuron": lambda rounds: training(tasks.neuron(), rounds),
    "digits": lambda rounds: training(tasks.digits(), rounds),
    "start of a call": lambda rounds: call.empty_call(tasks.neuron(), rounds=rounds),
    "record of fit": lambda rounds: recorder.record_of_fit(tasks.digits(), rounds=rounds),
    "sweep": sweep,
    "first result": lambda rounds: first_result.first_results(rounds=rounds),
    "updates": lambda rounds: sizes.updates(rounds=rounds),
    "parameters": lambda rounds: sizes.parameters(rounds=rounds),
    "runs": lambda rounds: sizes.runs(rounds=rounds),
    "rules": lambda rounds: by_hand.rules_of_descend(rounds=rounds),
    "gradients": lambda rounds: by_hand.gradients(rounds=rounds),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=5, help="how often each way gets its turn")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table; sections that are not measured stay")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    table = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    if table.get("machine") != (machine := harness.machine()):
        table = {"machine": machine}  # sections of two machines, versions or days do not belong on one page
    for name in options.sections or SECTIONS:
        table[name] = SECTIONS[name](options.rounds)
        print(f"{name}: {json.dumps(table[name], indent=1)}", flush=True)
        options.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
