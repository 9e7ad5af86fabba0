"""The report as one file of HTML: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdexplain.in_keras.diagnose.trial import numbers

if TYPE_CHECKING:
    from gdexplain.in_keras.diagnose.say import Diagnosis

_WIDTH, _HEIGHT, _POINTS = 420, 150, 200
_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Diagnosis of {{ report.title }}</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
code, td, th { font-family: ui-monospace, monospace; font-size: .9em } code { overflow-wrap: anywhere }
td, th { text-align: right; padding: .1em .8em; font-weight: normal } td:first-child, th:first-child { text-align: left }
svg { display: block; width: 100%; max-width: 30rem; height: auto } text { font-size: 11px; fill: currentColor }
polyline { fill: none; stroke-width: 2 } .before { stroke: #D55E00 } .after { stroke: #0072B2; stroke-dasharray: 6 3 }
</style></head><body>
<h1>Why does it not learn?</h1>
<p>{{ report.summary }}</p>
{% for note in report.notes %}<p>{{ note }}</p>{% endfor %}
{% for finding in report.findings %}
<h2>{{ loop.index }}. {{ finding.name }}</h2>
<p>{{ finding.evidence }}.</p>
{% if finding.change %}<p>Change: <code>{{ finding.change }}</code>
{% if finding.together %}, together with <code>{{ finding.together }}</code>{% endif %}</p>{% endif %}
{% if finding.after %}<p>Error {{ numbers(finding.before) }} before, {{ numbers(finding.after) }} after ({{ finding.after|length }} seeds).</p>
<svg viewBox="0 0 {{ width }} {{ height + 34 }}" role="img">
<title>Loss by update, as a share of the first, before and after the change</title>
{% for name, line in lines(finding.curves) %}<polyline class="{{ name }}" points="{{ line }}"></polyline>
{% endfor %}<text x="0" y="{{ height + 14 }}">log loss over the run, left to right</text>
<text x="0" y="{{ height + 29 }}">full line: before; dashed: after (each over its own first loss)</text></svg>{% endif %}
<p>Explained on the page <code>{{ finding.page }}</code>.</p>
{% else %}<p>{{ report.nothing }}</p>
{% endfor %}
{% if report.gradients %}<h2>Gradients by layer</h2>
<table><tr><th>weights</th><th>gradient</th><th>update / weight</th></tr>
{% for name, gradient, ratio in report.gradients %}<tr><td>{{ name }}</td><td>{{ "%.2g"|format(gradient) }}</td>
<td>{{ "%.2g"|format(ratio) }}</td></tr>
{% endfor %}</table>{% endif %}
{% if report.tried %}<h2>Tried, and no great help</h2>
<ul>{% for finding in report.tried %}<li>{{ finding.name }}: <code>{{ finding.change }}</code>,
error {{ numbers(finding.before) }} before, {{ numbers(finding.after) }} after</li>
{% endfor %}</ul>{% endif %}
<p>{{ "%.1f"|format(report.seconds) }} seconds. Error: {{ report.measure }}.</p>
</body></html>
"""


def html(report: Diagnosis) -> str:
    """Fill the template."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "saving a report needs Jinja2: pip install 'gdexplain[report]', or print the report."
        ) from error
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_TEMPLATE)
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
