"""Cases of one kind: a few of them in every run, all of them once a week."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def alike(cases: Iterable[Any], daily: Callable[[Any], bool] | None = None) -> list[Any]:
    """Mark the cases that wait for the weekly run (`pytest -m ""`): two of three, or all but the daily ones."""
    marked = []
    for place, case in enumerate(cases):
        now = daily(case) if daily else place % 3 == 0
        values = case if isinstance(case, tuple) else (case,)
        marked.append(pytest.param(*values, marks=() if now else pytest.mark.wide))
    return marked
