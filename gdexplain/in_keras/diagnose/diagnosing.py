"""The one call: look, measure, try one change at a time, and say what helps, with the numbers."""

from __future__ import annotations

import contextlib
import time
import warnings
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from gdexplain._checks import instance, positive_int, real
from gdexplain.in_keras import backend, core
from gdexplain.in_keras.arrays import as_pair
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.checks import CHECKS, MISTAKES, PACE, Change, Evidence
from gdexplain.in_keras.diagnose.locate import NotFinite, first_not_finite
from gdexplain.in_keras.diagnose.measure import Bench, Run, Setup, from_logits, loss_of, names_of
from gdexplain.in_keras.diagnose.restore import put_back
from gdexplain.in_keras.diagnose.say import Diagnosis
from gdexplain.in_keras.diagnose.trial import FEW, LEARNED, SLOW, Finding, Trial
from gdexplain.in_keras.objective import sharpness

_UPDATES = 4000  # of one run, at most


def diagnose(
    model: keras.Model,
    dataset: Any,
    *,
    optimizer: Any = None,
    loss: Any = None,
    batch_size: int = 32,
    epochs: int | None = None,
    seconds: float = 30,
) -> Diagnosis:
    """Find out why a model does not learn: look at it, measure short runs, and try one change at a time.

    Parameters
    ----------
    model : keras.Model
        The model as you train it, before or after a fit. Nothing of it is changed: weights, optimizer and compiled
        state are afterwards what they were, and so is every random state.
    dataset : Dataset or (x, y)
        The training data, as for `train`.
    optimizer : str or keras.optimizers.Optimizer, optional
        What you train with; the one that the model was compiled with if left out. A new one like it is used.
    loss : str, callable or keras.losses.Loss, optional
        The loss; the one that the model was compiled with if left out.
    batch_size : int
        Examples an update, as for ``fit``; a number above that of the examples means all of them.
    epochs : int, optional
        How long you train. If left out, as long as the latest ``fit`` of the model did, or else 20.
    seconds : float
        When to stop trying, about. Ctrl-C stops earlier; either returns what is known by then.

    Returns
    -------
    Diagnosis
        The findings, worst first: print it, or save it as a page.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind or out of range, or the model cannot be trained at all.

    Notes
    -----
    A finding is a fault that the evidence points to and whose change, tried from the same start and again with a second
    seed, makes the run better by more than the seeds differ. "Better" is the problem's own measure, taken of the
    predictions: the squared error of a regression, the log loss of classes, each as a share of what the best constant
    guess has. A fault that stops a run before it can begin, such as NaN in the data, needs no trial.

    A run that leaves less than a fifth of a guess's error has learned, and nothing is tried. Runs are cut short: what is
    too slow is compared over the updates that were made.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from gdexplain import diagnose
    >>> x = np.linspace(-1, 1, 64)[:, np.newaxis]
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    >>> report = diagnose(model, (x, 20 * x), optimizer=keras.optimizers.SGD(0.1), loss="mse", epochs=50)
    >>> report.findings[0].name
    'output activation'
    """
    instance("model", model, keras.Model, "a keras.Model")
    began, seconds = time.perf_counter(), real("seconds", seconds, above=0)
    bad = look.bad_numbers(*dataset) if isinstance(dataset, tuple | list) and len(dataset) == 2 else ""
    if bad:
        return _at_once(model, "data", bad, began)
    optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
    optimizer = keras.optimizers.get("rmsprop" if optimizer is None else optimizer)
    loss = getattr(model, "loss", None) if loss is None else loss
    rows = len(look.first(as_pair(dataset)[0]))
    batch_size = min(positive_int("batch_size", batch_size), max(rows, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem = core.pose(model, dataset, loss, batch_size=batch_size)
        except ValueError as error:
            return _refused(model, dataset, batch_size, str(error), began)
        total = (_epochs_of(model) if epochs is None else positive_int("epochs", epochs)) * -(-rows // batch_size)
        start = tuple(np.array(variable.numpy()) for variable in problem.variables)
        setup = Setup(problem.x, problem.y, loss, batch_size, min(total, _UPDATES), start)
        with put_back(model):
            return _diagnosed(model, optimizer, setup, problem, total, began, seconds)


def _epochs_of(model: Any) -> int:
    """Return how long the latest fit was; 20 without one."""
    history = getattr(getattr(model, "history", None), "params", None) or {}
    return int(history.get("epochs") or 20)


def _at_once(model: Any, name: str, words: str, began: float, change: str = "") -> Diagnosis:
    """Return a finding that needs no trial."""
    finding = Finding(name, words, change, (), (), MISTAKES)
    title = f"{getattr(model, 'name', 'model')}"
    return Diagnosis(title, (finding,), (), (), float("nan"), "", seconds=time.perf_counter() - began)


def _refused(model: Any, dataset: Any, batch_size: int, words: str, began: float) -> Diagnosis:
    """Say what Keras would not train, and the loss with which it would."""
    for name in (
        "mean_squared_error",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ):
        with contextlib.suppress(ValueError):
            problem = core.pose(model, dataset, name, batch_size=batch_size)
            if look.task_of(problem.y, _width(model), name).loss == name:
                return _at_once(model, "loss", words, began, change=f"loss={name!r}")
    return _at_once(model, "data and model", words, began)


def _diagnosed(
    model: Any, optimizer: Any, setup: Setup, problem: Any, total: int, began: float, seconds: float
) -> Diagnosis:
    """Measure, suspect and try, until the time is over or Ctrl-C."""
    task = look.task_of(problem.y, _width(model), loss_of(problem)[0])
    bench, until, notes = Bench(model, optimizer, setup, task), began + seconds, list[str]()
    trial = Trial(bench, setup, moved=not int(optimizer.iterations), until=until, longest=seconds / 10)
    found, tried, where = list[Finding](), list[Finding](), None
    try:
        bench.begin(setup)
        before = bench.layers(setup)
        for _ in trial.begin():
            if len(trial.runs) == 1:
                after, gap = bench.layers(setup), bench.gap(setup)
        lost = next(((run, seed) for seed, run in enumerate(trial.runs) if run.diverged), None)
        where = None if lost is None else first_not_finite(bench, trial.seeded(lost[1]), *lost)
        trial.setup = _same_length(setup, trial.runs)
        if trial.error > LEARNED:
            seen = _evidence(trial, problem, optimizer, total, where, before, after, gap)
            _try_all(trial, seen, found, tried, notes)
    except KeyboardInterrupt:
        notes.append("Stopped by Ctrl-C: this is what was known.")
    if where is not None and not found:
        found.append(Finding("not finite", str(where), "", (), (), MISTAKES))
    elif where is not None:
        notes.append(f"The first number that is not finite: {where}.")
    found.sort(key=lambda finding: -round(finding.gain / 0.15))
    return Diagnosis(
        f"{model.name}, {backend.label(optimizer)}, batch size {setup.batch_size}",
        tuple(found),
        tuple(tried),
        tuple(run.error for run in trial.runs),
        trial.runs[0].accuracy if trial.runs else float("nan"),
        task.words,
        tuple(notes),
        _gradients(model, trial),
        where,
        seconds=time.perf_counter() - began,
    )


def _try_all(trial: Trial, seen: Evidence, found: list[Finding], tried: list[Finding], notes: list[str]) -> None:
    """Try what each check suspects; where no change helps alone, each together with the best rate."""
    suspicions = [one for one in (check(seen) for check in CHECKS) if one is not None]
    rates = list[tuple[float, Change]]()
    for suspicion in suspicions:
        if suspicion.name in PACE and trial.error < SLOW and seen.total > FEW:
            continue
        if trial.over:
            notes.append(f"No time was left to try: {suspicion.name} ({suspicion.evidence}).")
            continue
        finding, change = trial.of(suspicion)
        (found if finding.helps else tried).append(finding)
        if suspicion.name.startswith("learning rate"):
            rates.append((finding.after[0], change))
    if found or not rates or trial.over:
        return
    second = trial.with_change(min(rates, key=lambda each: each[0])[1])
    for suspicion in suspicions:
        if not second.over and not suspicion.name.startswith("learning rate") and suspicion.name not in PACE:
            finding, _ = second.of(suspicion)
            (found if finding.helps else tried).append(finding)


def _gradients(model: Any, trial: Trial) -> tuple[tuple[str, float, float], ...]:
    """Return for each array of weights the median norm of its gradient, and its updates as a share of its size."""
    if not trial.runs or not len(trial.runs[0].sizes):
        return ()
    gradient, weight, update = np.median(trial.runs[0].sizes, axis=0)
    share = np.divide(update, weight, out=np.zeros_like(update), where=weight > 0)
    return tuple(zip(names_of(model), map(float, gradient), map(float, share), strict=True))


def _same_length(setup: Setup, runs: list[Run]) -> Setup:
    """Let no run be longer than the time let the first ones be."""
    if any(run.diverged for run in runs):
        return setup
    return replace(setup, updates=min(len(run.loss) for run in runs))


def _width(model: Any) -> int:
    """Return how many numbers a model gives for each place, 1 if that cannot be told."""
    shape = getattr(model, "output_shape", None)
    return int(shape[-1]) if isinstance(shape, tuple) and len(shape) > 1 and isinstance(shape[-1], int) else 1


def _evidence(
    trial: Trial, problem: Any, optimizer: Any, total: int, where: NotFinite | None, before: Any, after: Any, gap: Any
) -> Evidence:
    """Put together what was seen."""
    bench, setup, runs = trial.bench, trial.setup, trial.runs
    limit = float("inf")
    plain = type(optimizer) is keras.optimizers.SGD and not optimizer.momentum
    if plain and (where is None or len(where.rows) == where.examples):  # some rows alone: the Hessian is not finite
        bench.begin(setup)
        rows = np.arange(min(problem.examples, 256))
        with contextlib.suppress(Exception):  # no second derivatives, or too many
            largest = float(sharpness(bench.model, core.take((setup.x, setup.y), rows), loss=setup.loss))
            limit = 2 / largest if largest > 0 else limit
    rate = getattr(optimizer, "_learning_rate", None)
    rate = float(optimizer.learning_rate) if hasattr(rate, "numpy") or isinstance(rate, float) else float("nan")
    return Evidence(
        setup,
        bench.task,
        bench.model,
        loss_of(problem)[0],
        from_logits(problem),
        gap,
        total,
        tuple(runs),
        limit,
        rate,
        plain,
        str(where or ""),
        before,
        after,
    )
