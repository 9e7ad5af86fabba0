"""What was found, in words, and as one file of HTML."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdexplain.in_keras.diagnose.locate import NotFinite
from gdexplain.in_keras.diagnose.page import html
from gdexplain.in_keras.diagnose.trial import LEARNED, Finding, numbers


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
        return f"{self.title}: error {shown} ({self.measure}; 1 is a guess){right}"

    @property
    def nothing(self) -> str:
        """What to say where nothing was found."""
        if self.errors and max(self.errors) <= LEARNED:
            return "Nothing found: the model learns."
        names = ", ".join(dict.fromkeys(finding.name for finding in self.tried))
        return f"Nothing found; tried {names or 'nothing'}, none helped by more than the seeds differ."

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
        target = Path(path)
        target.write_text(html(self), encoding="utf-8")
        return target
