"""What every test needs: a quiet, deterministic TensorFlow, no window, and a repository that stays clean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parents[1]


def entries():
    """What stands in the repository's root, but for what tools keep there under a name with a dot."""
    return {entry.name for entry in ROOT.iterdir() if not entry.name.startswith(".")}


@pytest.fixture(autouse=True)
def _root_gains_nothing():
    """Fail the test that leaves something in the repository's root: files of a test belong into its tmp_path."""
    before = entries()
    yield
    left = entries() - before
    assert not left, f"this test left {sorted(left)} in the repository's root"


def pytest_addoption(parser):
    """Let `test_matrix` write the table that it otherwise compares, and `test_training_random` try more models."""
    parser.addoption("--write-matrix", action="store_true", help="write docs/project/what_works.json anew")
    parser.addoption("--models", type=int, default=0, help="how many random models to train; a dozen if left out")
