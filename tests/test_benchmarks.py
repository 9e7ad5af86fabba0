"""The ways that the benchmarks race make one and the same run, and the table on the site is whole."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contestants, harness, recorder, sweeps, tasks

TABLE = Path(__file__).resolve().parent.parent / "docs" / "project" / "benchmarks.json"


@pytest.mark.parametrize("task", [tasks.neuron(3), tasks.digits(2, 4, 70)], ids=["neuron", "digits"])
def test_every_way_to_train_records_the_same_run(task):
    ways = contestants.contestants(task)
    assert len(ways) >= 6
    contestants.check_the_same(task, ways)


def test_every_way_to_record_a_fit_records_the_run_of_train():
    task = tasks.digits(2, 4, 70)
    ways = recorder.recording(task)
    contestants.check_the_same(task, ways | {"train": contestants.compiled_train(task, jit=False)})
    assert recorder.fit(task)() is None


def test_a_way_to_something_else_takes_no_part_in_the_race():
    task = tasks.neuron(3)
    ways = {"train": contestants.numpy_by_hand(task), "slower": contestants.numpy_by_hand(tasks.neuron(3))}
    loss, parameters, gradients = ways["train"]()
    ways["slower"] = lambda: (loss, parameters, 1.01 * gradients)
    with pytest.raises(AssertionError, match="gradients of slower"):
        contestants.check_the_same(task, ways)


def test_every_way_to_sweep_ends_at_the_same_parameters():
    ways = sweeps.one_after_another(runs=5, updates=4) | sweeps.all_at_once(runs=5, updates=4)
    assert len(ways) >= 7
    sweeps.check_the_same(ways)


def test_a_race_calls_every_way_in_every_round_and_in_turn():
    called = []
    ways = {"one": lambda: called.append("one"), "two": lambda: called.append("two")}
    times = harness.race(ways, rounds=3, budget=0)
    assert called == ["one", "one", "two", "two", *["one", "two"] * 3]
    assert {way: time["calls"] for way, time in times.items()} == {"one": 3, "two": 3}


def test_a_summary_keeps_the_best_and_the_median():
    assert harness.summary([3.0, 1.0, 2.0]) == {"best": 1.0, "median": 2.0, "calls": 3}


def test_the_machine_is_described_without_names_of_hosts_or_users():
    assert set(harness.machine()) == {"processor", "cores", "system", "date", "versions"}


def test_the_committed_table_has_every_section_and_only_times_that_can_be():
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    sections = {
        "neuron",
        "digits",
        "start of a call",
        "sweep",
        "first result",
        "updates",
        "parameters",
        "runs",
        "rules",
        "gradients",
    }
    assert sections <= set(table)
    times = [time for section in sections for time in _times(table[section])]
    assert len(times) > 40
    for time in times:
        assert 0 < time["best"] <= time["median"]
        assert math.isfinite(time["median"])
        assert time["calls"] >= 1
    assert set(table["machine"]) == set(harness.machine())
    assert np.all(np.diff([int(size) for size in table["updates"]]) > 0)


def _times(entry):
    """Every time somewhere below an entry of the table."""
    if not isinstance(entry, dict):
        return []
    return [entry] if "best" in entry else [time for part in entry.values() for time in _times(part)]
