"""What every test needs: a quiet, deterministic TensorFlow, and no window."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_addoption(parser):
    """Let `test_matrix` write the table that it otherwise compares."""
    parser.addoption("--write-matrix", action="store_true", help="write docs/project/what_works.json anew")
