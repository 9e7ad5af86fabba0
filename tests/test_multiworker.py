"""The script that trains in two processes, examples/practice/multiworker_descent.py, run as a reader runs it."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "examples" / "practice" / "multiworker_descent.py"


@pytest.fixture
def script(monkeypatch):
    """Give the script as a module, and the list of the processes that it starts."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    spec = importlib.util.spec_from_file_location("multiworker_descent", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started, start = [], module.start

    def note(*place):
        started.append(start(*place))
        return started[-1]

    monkeypatch.setattr(module, "start", note)
    return module, started


def test_two_workers_on_loopback_arrive_where_one_process_with_all_the_data_does(script, capsys):
    module, started = script
    module.main()  # it compares: bit for bit between workers, to 1e-6 with one process
    assert [process.returncode for process in started] == [0, 0]
    assert [line.split(":")[0].strip() for line in capsys.readouterr().out.splitlines()] == [
        "worker 0",
        "worker 1",
        "alone",
    ]


def test_no_worker_is_left_behind_when_they_take_too_long(script):
    module, started = script
    with pytest.raises(subprocess.TimeoutExpired):
        module.run_workers(timeout=0.1)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_free_addresses_are_all_different_and_on_loopback(script):
    addresses = script[0].free_addresses(8)
    assert len(set(addresses)) == 8
    assert all(address.startswith("127.0.0.1:") for address in addresses)
