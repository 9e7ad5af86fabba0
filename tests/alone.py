"""A part of a test in a process of its own, where its signals reach nobody else: pytest-xdist's workers heed Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_alone(function):
    """Call a function of a test module in a new process; a check that fails there fails here, with its words."""
    heed = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
    code = f"{heed}from {function.__module__} import {function.__name__}\n{function.__name__}()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
