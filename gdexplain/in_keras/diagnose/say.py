"""What was found, in words, and as one file of HTML."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from gdexplain.in_keras.diagnose.locate import NotFinite
from gdexplain.in_keras.diagnose.trial import LEARNED, Finding, numbers

_WIDTH, _HEIGHT, _POINTS = 420, 150, 200  # of a figure, and how many means it shows


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What is wrong with a training, worst first, and what was tried.

    Parameters
    ----------
    title : str
        What was diagnosed.
    findings : tuple of Finding
        The faults whose change makes the run better by more than the seeds differ, and those that need no trial.
    tried : tuple of Finding
        What was tried and did not help so much.
    errors : tuple of float
        The error of each run as it is, as a share of the error of a guess.
    accuracy : float
        The share of right answers at the end of the first run; NaN where there are none.
    measure : str
        What the error is measured in.
    notes : tuple of str
        What else to know.
    gradients : tuple of (str, float, float)
        For each array of weights the median norm of its gradient, and its updates as a share of its size.
    not_finite : NotFinite or None
        Where the first number comes from that is not finite, of a run that diverged.
    seconds : float
        How long it took.
    """

    title: str
    findings: tuple[Finding, ...]
    tried: tuple[Finding, ...]
    errors: tuple[float, ...]
    accuracy: float
    measure: str
    notes: tuple[str, ...] = ()
    gradients: tuple[tuple[str, float, float], ...] = ()
    not_finite: NotFinite | None = None
    seconds: float = 0.0

    def __repr__(self) -> str:
        """Return the findings in words."""
        lines = [textwrap.fill(self.summary, 92, subsequent_indent="  "), *(f"  {note}" for note in self.notes)]
        for number, finding in enumerate(self.findings, 1):
            lines += ["", f"{number}. {finding}"]
        if not self.findings:
            lines += ["", self.nothing]
        return "\n".join(lines)

    @property
    def summary(self) -> str:
        """How well the run goes as it is."""
        if not self.errors:
            return self.title
        shown = numbers(self.errors)
        right = "" if np.isnan(self.accuracy) else f"; {self.accuracy:.0%} of the answers are right"
        guess = "" if "the first" in self.measure else "; 1 is a guess"
        return f"{self.title}: error {shown} ({self.measure}{guess}){right}"

    @property
    def nothing(self) -> str:
        """What to say where nothing was found."""
        if self.errors and np.mean(self.errors) <= LEARNED:
            return "Nothing found: the model learns."
        names = ", ".join(dict.fromkeys(finding.name for finding in self.tried))
        if not names:
            return "Nothing found, and nothing was tried."
        return f"Nothing found; tried {names}, none helped by more than the seeds differ."

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one file of HTML that needs nothing else.

        Parameters
        ----------
        path : path
            Where to write it.

        Returns
        -------
        Path
            The file.
        """
        try:
            import jinja2
        except ImportError as error:
            needed = "saving a report needs Jinja2: pip install 'gdexplain[report]', or print the report."
            raise ImportError(needed) from error
        text = (resources.files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
        template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
        page = template.render(report=self, lines=_lines, numbers=numbers, width=_WIDTH, height=_HEIGHT)
        Path(path).write_text(page, encoding="utf-8")
        return Path(path)


def _lines(curves: Sequence[Sequence[float]]) -> list[tuple[str, str]]:
    """Return the points of each curve: the logarithm of means, each over its own first, in one frame."""
    logs = []
    for curve in (np.abs(each) for each in curves if len(each) > 1):
        means = np.array([part.mean() for part in np.array_split(curve, min(_POINTS, len(curve)))])
        logs.append(np.log10(np.maximum(means / max(means[0], 1e-30), 1e-9)))
    every, drawn = np.concatenate([[0.0], *logs]), []  # each begins at 0
    low, high = every.min(), every.max()
    for name, each in zip(("before", "after"), logs, strict=False):
        x = np.linspace(2, _WIDTH - 2, len(each))
        y = 4 + (high - each) / max(high - low, 1e-9) * (_HEIGHT - 8)
        drawn.append((name, " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))))
    return drawn
