"""The one call: look, measure, try one change at a time, and say what helps, with the numbers."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from gdexplain._checks import instance, positive_int, real
from gdexplain.in_keras import backend, core
from gdexplain.in_keras.arrays import as_pair
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.checks import CHECKS, MISTAKES, PACE, Change, Evidence
from gdexplain.in_keras.diagnose.fitted import Fitted, has_own_step
from gdexplain.in_keras.diagnose.locate import NotFinite, first_not_finite
from gdexplain.in_keras.diagnose.measure import Bench, Run, Setup, Way, loss_of, names_of, twin_of
from gdexplain.in_keras.diagnose.restore import chance_put_back, put_back, values_put_back
from gdexplain.in_keras.diagnose.say import Diagnosis
from gdexplain.in_keras.diagnose.trial import FEW, LEARNED, SLOW, Finding, Trial
from gdexplain.in_keras.eye import innermost
from gdexplain.in_keras.gradient_check import check_gradients
from gdexplain.in_keras.objective import sharpness
from gdexplain.in_keras.training import optimizer_of, scales_loss

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
        The model as you train it, before or after a fit. Weights, optimizer and compiled state are afterwards what they
        were, and so are the random states of Python, NumPy, Keras and TensorFlow. A model or an optimizer that is not
        built yet is built, as by ``fit``.
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
    optimizer = optimizer_of("rmsprop" if optimizer is None else optimizer)
    loss = getattr(model, "loss", None) if loss is None else loss
    batch_size = positive_int("batch_size", batch_size)
    epochs = _epochs_of(model) if epochs is None else positive_int("epochs", epochs)
    with warnings.catch_warnings(), chance_put_back():
        warnings.simplefilter("ignore", UserWarning)  # what Keras warns of is found in other ways here
        if not model.built:
            with contextlib.suppress(ValueError):  # it is said below
                core.pose(model, dataset, loss)
        labels = look.wrong_labels(as_pair(dataset)[1], _width(model), loss)
        if labels is not None:
            return _at_once(model, labels[0], labels[1], began, change=labels[2])
        with put_back(model):
            try:
                problem = core.pose(model, dataset, loss)
                backend.check_start(model)
            except ValueError as error:
                return _refused(model, dataset, str(error), began)
            setup, total = _setup_of(problem, loss, batch_size, epochs)
            with values_put_back(problem.state):
                return _diagnosed(model, optimizer, setup, problem, total, began, seconds)


def _setup_of(problem: core.Problem, loss: Any, batch_size: int, epochs: int) -> tuple[Setup, int]:
    """Return how the user trains, cut short, and how many updates the whole of it makes."""
    width = min(batch_size, problem.examples)
    total = epochs * -(-problem.examples // width)
    start = tuple(np.array(variable.numpy()) for variable in problem.variables)
    return Setup(problem.x, problem.y, loss, width, min(total, _UPDATES), start), total


def _epochs_of(model: Any) -> int:
    """Return how long the latest fit was; 20 without one."""
    history = getattr(getattr(model, "history", None), "params", None) or {}
    return int(history.get("epochs") or 20)


def _at_once(model: Any, name: str, words: str, began: float, change: str = "") -> Diagnosis:
    """Return a finding that needs no trial."""
    finding = Finding(name, words, change, (), (), MISTAKES)
    title = f"{getattr(model, 'name', 'model')}"
    return Diagnosis(title, (finding,), (), (), float("nan"), "", seconds=time.perf_counter() - began)


def _refused(model: Any, dataset: Any, words: str, began: float) -> Diagnosis:
    """Say what Keras would not train, and the loss with which it would."""
    for _, name in look.KINDS.values():
        with contextlib.suppress(ValueError):
            problem = core.pose(model, dataset, name)
            fits = look.task_of(problem.y, _width(model, problem), name).loss == name
            if fits and "finite" not in words:
                return _at_once(model, "loss", words, began, change=f"loss={name!r}")
    return _at_once(model, "data and model", words, began)


def _diagnosed(
    model: Any, optimizer: Any, setup: Setup, problem: Any, total: int, began: float, seconds: float
) -> Diagnosis:
    """Measure, suspect and try, until the time is over or Ctrl-C."""
    task = look.task_of(problem.y, _width(model, problem), loss_of(problem)[0])
    bench, until = Bench(model, setup, task, _way_of(model, optimizer)), began + seconds
    notes = look.columns(setup.x) + look.constant(setup.y)
    trial = Trial(bench, setup, moved=not int(optimizer.iterations), until=until, longest=seconds / 10)
    found, tried, where = list[Finding](), list[Finding](), None
    try:
        bench.begin(setup)
        before = bench.layers(setup)
        for _ in trial.begin():
            if len(trial.runs) == 1:
                after, gap = bench.layers(setup), bench.gap(setup)
        where = _not_finite(trial)
        trial.setup = _same_length(setup, trial.runs)
        bench.begin(setup)
        found += _wrong_gradient(model, setup, problem) if where is None else []
        if trial.error > LEARNED:
            seen = _evidence(trial, problem, optimizer, total, where, before, after, gap)
            _try_all(trial, seen, found, tried, notes)
            found += _no_gradient(trial) if not found else []
            notes += _unrelated(trial) if not found and trial.error > SLOW else []
    except KeyboardInterrupt:
        notes.append("Stopped by Ctrl-C: this is what was known.")
    if where is not None and not found:
        found.append(Finding("not finite", str(where), "", (), (), MISTAKES))
    elif where is not None:
        notes.append(f"The first number that is not finite: {where}.")
    return _report(trial, optimizer, found, tried, notes, where, time.perf_counter() - began)


def _report(
    trial: Trial,
    optimizer: Any,
    found: list[Finding],
    tried: list[Finding],
    notes: list[str],
    where: NotFinite | None,
    seconds: float,
) -> Diagnosis:
    """Put the findings in order: what needs no trial, then what its change makes better by most."""
    model, runs = trial.bench.model, trial.runs
    return Diagnosis(
        f"{model.name}, {backend.label(optimizer)}, batch size {trial.setup.batch_size}",
        tuple(sorted(found, key=lambda finding: (bool(finding.after), -round(finding.gain / 0.15)))),
        tuple(tried),
        tuple(run.error for run in runs),
        runs[0].accuracy if runs else float("nan"),
        trial.bench.task.words,
        tuple(notes),
        _gradients(model, trial),
        where,
        seconds,
    )


def _not_finite(trial: Trial) -> NotFinite | None:
    """Trace what is not finite in the first run that has it."""
    for seed, run in enumerate(trial.runs):
        if run.diverged:
            with contextlib.suppress(Exception):  # a graph in which not every number can be read
                return first_not_finite(trial.bench, trial.seeded(seed), run, seed)
    return None


def _way_of(model: Any, optimizer: Any) -> Callable[[core.Problem, Setup], Any]:
    """Return how runs are made: by a compiled loop, or by `fit` where such a loop would train otherwise."""
    why = _only_by_fit(model, optimizer)
    if not why:
        return lambda problem, setup: Way(problem, optimizer, setup.batch_size)
    if getattr(model, "optimizer", None) is not optimizer:
        raise ValueError(f"model must be compiled with its optimizer, and optimizer left out, as {why}.")
    return lambda problem, setup: Fitted(problem, setup.loss, setup.batch_size)


def _only_by_fit(model: Any, optimizer: Any) -> str:
    """Say what a loop with a new optimizer of the same kind would not do; nothing if it would do all."""
    if has_own_step(model):
        return f"{type(model).__name__} has a train_step of its own"
    if scales_loss(optimizer):
        return f"{optimizer.name!r} scales the loss"
    try:
        twin_of(optimizer)
    except Exception:  # noqa: BLE001  # whatever a class of the user's own raises
        return "it does not say how to make one like it (get_config)"
    # its configuration may miss what its class has added
    return (
        "" if type(optimizer).__module__.startswith("keras.") else f"{type(optimizer).__name__} is a class of your own"
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


def _wrong_gradient(model: Any, setup: Setup, problem: core.Problem) -> list[Finding]:
    """Check the gradient where a layer or a loss is the user's own; autodiff is right where nobody helped it."""
    own = [layer.name for layer in model._flatten_layers() if not type(layer).__module__.startswith("keras.")]
    own = [name for name in own if name != model.name]
    own += ["the loss"] if callable(setup.loss) and not loss_of(problem)[0] else []
    if not own:
        return []
    with contextlib.suppress(ValueError, TypeError):
        report = check_gradients(model, core.take((setup.x, setup.y), np.arange(8)), loss=setup.loss, at_most=30)
        if report.verdict.startswith("Wrong"):
            words = f"{report.verdict} Of your own is: {', '.join(own)}"
            return [Finding("gradient", words, "", (), (), "gallery/backprop/plot_gradient_check")]
    return []


def _no_gradient(trial: Trial) -> list[Finding]:
    """See that no update moved anything, since nothing of the loss came back to the weights."""
    sizes = trial.runs[0].sizes[:, 0]
    if not len(sizes) or sizes.any():
        return []
    words = (
        f"the gradient of every weight is 0, or there is none, in all of {len(sizes)} updates: something between the "
        "weights and the loss lets none through, such as a rounding, an argmax, or a loss that ignores the predictions"
    )
    return [Finding("no gradient", words, "", (), (), "gallery/backprop/plot_gradient_check")]


def _unrelated(trial: Trial) -> list[str]:
    """Say that rows with like inputs have targets no more alike than any, which no change of the training can mend."""
    x, y = trial.setup.x, trial.setup.y
    numbers = isinstance(x, np.ndarray) and not look.has_table(trial.bench.model)
    if not numbers or not trial.bench.task.kind or len(x) < 50 or look.best_shift(x, y)[2] > 0.02:
        return []
    words = (
        "Rows with like inputs have targets no more alike than any: x does not tell y, or they were put into another order "
        "apart (shuffle both by one permutation)."
    )
    return [words]


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


def _width(model: Any, problem: core.Problem | None = None) -> int:
    """Return how many numbers a model gives for each place, 0 if that cannot be told."""
    shape: Any = getattr(model, "output_shape", None)
    if shape is None and problem is not None:  # a subclass
        shape = getattr(problem.predict(problem.tensors(np.arange(1))[0], training=False), "shape", None)
    known = shape is not None and all(side is None or isinstance(side, int) for side in shape)
    return int(shape[-1] if len(shape) > 1 else 1) if known and shape[-1:] != (None,) else 0


def _evidence(
    trial: Trial, problem: Any, optimizer: Any, total: int, where: NotFinite | None, before: Any, after: Any, gap: Any
) -> Evidence:
    """Put together what was seen."""
    bench, setup = trial.bench, trial.setup
    plain = type(optimizer) is keras.optimizers.SGD and not optimizer.momentum
    partly = where is not None and len(where.rows) < where.examples  # some rows alone: the Hessian is not finite
    limit = _stability_limit(trial) if plain and not partly else float("inf")
    rate = getattr(innermost(optimizer), "_learning_rate", None)
    rate = float(optimizer.learning_rate) if hasattr(rate, "numpy") or isinstance(rate, float) else float("nan")
    falls = _falls(innermost(optimizer), total)
    about = bench.task, bench.model, *loss_of(problem), gap, total, tuple(trial.runs), limit, rate, falls, plain
    return Evidence(setup, *about, str(where or ""), before, after)


def _falls(optimizer: Any, total: int) -> tuple[float, float]:
    """Return a schedule's rate at the first update and half-way; NaN of a number."""
    schedule = getattr(optimizer, "_learning_rate", None)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return float("nan"), float("nan")
    begin, middle = (
        schedule(keras.ops.convert_to_tensor(step, optimizer.iterations.dtype)) for step in (0, total // 2)
    )
    return float(begin), float(middle)


def _stability_limit(trial: Trial) -> float:
    """Return 2 / sharpness at the start, infinite where it is flat or cannot be taken."""
    bench, setup = trial.bench, trial.setup
    bench.begin(setup)
    rows = np.arange(min(len(look.first(setup.x)), 256))
    with contextlib.suppress(Exception):  # no second derivatives, or too many
        largest = float(sharpness(bench.model, core.take((setup.x, setup.y), rows), loss=setup.loss))
        return 2 / largest if largest > 0 else float("inf")
    return float("inf")
