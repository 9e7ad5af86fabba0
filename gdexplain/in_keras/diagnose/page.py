"""The report as one file of HTML: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdexplain.in_keras.diagnose.trial import numbers

if TYPE_CHECKING:
    from gdexplain.in_keras.diagnose.say import Diagnosis

_WIDTH, _HEIGHT, _POINTS = 420, 150, 200


def html(report: Diagnosis) -> str:
    """Fill the template."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "saving a report needs Jinja2: pip install 'gdexplain[report]', or print the report."
        ) from error
    text = (resources.files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
    return template.render(report=report, lines=_lines, numbers=numbers, width=_WIDTH, height=_HEIGHT)


def _lines(curves: Sequence[Sequence[float]]) -> list[tuple[str, str]]:
    """Return the points of each curve: its logarithm, each over its own first loss, in one frame."""
    logs = [_thinned(np.asarray(curve, np.float64)) for curve in curves if len(curve) > 1]
    if not logs:
        return []
    low, high = min(each.min() for each in logs), max(each.max() for each in logs)
    drawn = []
    for name, each in zip(("before", "after"), logs, strict=False):
        x = np.linspace(2, _WIDTH - 2, len(each))
        y = 4 + (high - each) / max(high - low, 1e-9) * (_HEIGHT - 8)
        drawn.append((name, " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))))
    return drawn


def _thinned(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of means over as many stretches as a small figure shows."""
    parts = np.array_split(curve, min(_POINTS, len(curve)))
    means = np.array([np.abs(part).mean() for part in parts])
    logs: NDArray[np.float64] = np.log10(np.maximum(means / max(means[0], 1e-30), 1e-9))
    return logs
