"""One change at a time, each from the same start and with a second seed; kept only if it helps more than seeds do."""

from __future__ import annotations

import functools
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gdexplain.in_keras import core
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.checks import MISTAKES, PACE
from gdexplain.in_keras.diagnose.evidence import Change, Suspicion
from gdexplain.in_keras.diagnose.measure import FAILED, Bench, Run, Setup

LEARNED = 0.2  # an error below this share of a guess's is no failure
SLOW = 0.5  # an error above which a run may be called too slow, if its updates are not few
FEW = 100  # updates that are few whatever came of them
_GAIN, _SHARE = 0.15, 0.75  # a change must take away so much, and leave at most this share
_UNSURE = 0.3  # if two seeds differ so much, there are four
_ENOUGH = 20  # rows, of which a quarter says something, as each seed holds out its own
_STUCK, _STUCK_GAIN = 0.97, 0.05  # of a run that does not get away from a guess, less


@dataclass(frozen=True, eq=False)
class Finding:
    """A fault, what points to it, and what its change did.

    Parameters
    ----------
    name : str
        The fault, such as ``"output activation"``.
    evidence : str
        What was seen, and what it should be.
    change : str
        The line of Keras that repairs it; empty where none was tried.
    before, after : tuple of float
        The error with each seed, without and with the change, as a share of the error of a guess.
    page : str
        The page of the site that explains it.
    curves : tuple of tuple of float
        The losses of the first seed, without and with the change.
    together : str
        A change that helps only with this one, and is made both before and after.
    """

    name: str
    evidence: str
    change: str = ""
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    page: str = MISTAKES
    curves: tuple[tuple[float, ...], ...] = ()
    together: str = ""

    def __str__(self) -> str:
        """Say evidence, change, numbers and page."""
        with_it = f", together with {self.together}" if self.together else ""
        alone = f" (with {self.together} alone)" if self.together else ""
        error = f"{numbers(self.before)} before{alone}, {numbers(self.after)} after ({len(self.after)} seeds)"
        words = self.evidence, self.change + with_it, error * bool(self.after), self.page
        said = zip(("evidence:", "change:", "error:", "page:"), words, strict=True)
        shown = [f"   {name:<10}{each}" for name, each in said if each]
        return "\n".join([self.name, *(textwrap.fill(line, 88, subsequent_indent=" " * 13) for line in shown)])

    @property
    def gain(self) -> float:
        """How much of the error the change takes away."""
        return float(np.mean(self.before) - np.mean(self.after)) if self.after else 0.0

    @property
    def noise(self) -> float:
        """How far the seeds differ."""
        return max((float(np.ptp(each)) for each in (self.before, self.after) if each), default=0.0)

    @property
    def helps(self) -> bool:
        """Whether the change makes the run better by more than the seeds differ."""
        if len(self.after) < 2:
            return False
        before, after = float(np.mean(self.before)), float(np.mean(self.after))
        if after > _STUCK and self.name in (*PACE, "learning rate too high"):  # another way to learn nothing
            return False
        if len(self.after) > 2:  # seeds differ much: with the change none may fail, or the means must lie apart
            if max(self.after) <= LEARNED:
                return self.gain > 2 * _GAIN
            spread = np.var(self.before, ddof=1) / len(self.before) + np.var(self.after, ddof=1) / len(self.after)
            return bool(self.gain > max(2 * np.sqrt(spread), _GAIN) and after < _SHARE * before)
        stuck = before >= _STUCK and after <= 1 - _STUCK_GAIN and self.gain > max(self.noise, _STUCK_GAIN)
        apart = min(self.before) - max(self.after) > max(_GAIN, float(np.ptp(self.after)))
        return stuck or ((apart or self.gain > max(self.noise, _GAIN)) and after < _SHARE * before)


def numbers(errors: Sequence[float]) -> str:
    """Say the errors of the seeds."""
    return " and ".join(f"{error:.3g}" for error in errors)


@dataclass(eq=False)
class Trial:
    """Trials of changes to one setup, which is trained as it is first.

    Parameters
    ----------
    bench : Bench
        Where runs are made.
    setup : Setup
        How the user trains.
    moved : bool
        Whether the second seed has a start of its own; a model that was trained before has but one.
    until : float
        When to stop, by the clock of ``time.perf_counter``.
    longest : float
        How many seconds a run may take.
    code : str
        The change that is made already, if one is.
    runs : list of Run
        The runs as they are, one a seed.
    """

    bench: Bench
    setup: Setup
    moved: bool
    until: float
    longest: float
    code: str = ""
    runs: list[Run] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return time.perf_counter() > self.until

    @property
    def error(self) -> float:
        """The mean error of the runs as they are."""
        return float(np.mean([run.error for run in self.runs]))

    def begin(self) -> Iterator[Run]:
        """Make the runs as they are: two, or four where these differ much; give each."""
        while len(self.runs) < 2 or (len(self.runs) < 4 and np.ptp([run.error for run in self.runs]) > _UNSURE):
            self.runs.append(self.run(AS_IT_IS, len(self.runs)))
            yield self.runs[-1]

    def seeded(self, seed: int, *, drawn: bool = False) -> Setup:
        """Return the setup with the start of a seed."""
        start, kernels = self.setup.start, self.bench.kernels
        if drawn:
            start = look.drawn_anew(start, kernels, seed)
        elif seed and self.moved:
            start = look.second_start(start, kernels, seed)
        return replace(self.setup, start=start)

    def run(self, change: Change, seed: int) -> Run:
        """Make the run of a change with a seed; one that Keras refuses is as bad as any."""
        setup = replace(self.seeded(seed, drawn=change.drawn), **change.fields)
        if setup.held:  # the last rows in an order of the seed's
            order = np.random.default_rng(seed).permutation(self.bench.way(self.setup).problem.examples)
            x, y = core.take((setup.x, setup.y), order)
            setup = replace(setup, x=x, y=y)
        try:
            return self.bench.run(setup, seed, seconds=min(self.longest, max(self.until - time.perf_counter(), 0)))
        except Exception:  # whatever Keras or TensorFlow raise
            if change is AS_IT_IS:
                raise
            return FAILED

    def of(self, name: str, suspicion: Suspicion, page: str) -> tuple[Finding, Change]:
        """Try the changes of a suspicion with one seed, and the best of them with the second."""
        (words, changes), runs = suspicion, list[Run]()
        for change in changes:
            if runs and (self.over or runs[-1].error < LEARNED / 2):
                break
            runs.append(self.run(change, 0))
        run, change = min(zip(runs, changes, strict=False), key=lambda pair: pair[0].error)
        before, after = [each.error for each in self.runs], [run.error]
        if self.error - run.error > _STUCK_GAIN:
            after += [self.run(change, seed).error for seed in range(1, len(before))]
        curves = tuple(tuple(map(float, each.loss)) for each in (self.runs[0], run))
        errors = tuple(before[: len(after)]), tuple(after)
        words += f"; the errors are those of {self.setup.held} rows that were held out" * bool(self.setup.held)
        return Finding(name, words, change.code, *errors, page, curves, self.code), change

    @functools.cached_property
    def held_out(self) -> Trial:
        """Trials whose runs are judged by rows that they were not trained on; this one where rows are few."""
        n = self.bench.way(self.setup).problem.examples
        if n < _ENOUGH or self.setup.held:
            return self
        return self.anew(held=n // 4, batch_size=min(self.setup.batch_size, n - n // 4))

    def anew(self, **fields: Any) -> Trial:
        """Return trials of a setup with other fields, which is run as it is first."""
        fresh = replace(self, setup=replace(self.setup, **fields), runs=[])
        list(fresh.begin())
        return fresh

    def with_change(self, change: Change) -> Trial:
        """Return trials of changes on top of this one."""
        runs = [self.run(change, seed) for seed in range(len(self.runs))]
        return replace(self, setup=replace(self.setup, **change.fields), code=change.code, runs=runs)


AS_IT_IS = Change("", {})
