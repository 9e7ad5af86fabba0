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
from gdexplain.in_keras.checks import fixed_lengths
from gdexplain.in_keras.diagnose import layers, look
from gdexplain.in_keras.diagnose.checks import CHECKS, FRESH, KEPT, LAST, MISTAKES, PACE, RATE, SETTINGS, Check
from gdexplain.in_keras.diagnose.evidence import Change, Evidence
from gdexplain.in_keras.diagnose.locate import NotFinite, first_not_finite
from gdexplain.in_keras.diagnose.measure import Bench, Fitted, Make, Setup, Way, loss_of, rate_of, takes_logits, twin_of
from gdexplain.in_keras.diagnose.restore import Kept, chance_put_back, put_back
from gdexplain.in_keras.diagnose.say import Diagnosis
from gdexplain.in_keras.diagnose.trial import FEW, LEARNED, SLOW, Finding, Trial
from gdexplain.in_keras.gradient_check import check_gradients
from gdexplain.in_keras.training import optimizer_of, scales_loss

_UPDATES = 4000  # of one run, at most
_KNOWING = 0.9  # a start with an error below this was trained before, whatever its optimizer says
_CHECKED = "gallery/backprop/plot_gradient_check"


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
    guess has. A fault that stops a run before it can begin, such as NaN in the data, needs no trial. What may only learn
    noise by heart, or sooner (less dropout or penalty, a higher rate, more updates or units, another optimizer, scaled
    inputs), is judged by a quarter of the rows, held out, another for each seed, where there are 20 rows or more.

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
    if fixed := fixed_lengths(model):
        raise ValueError(
            f"model must take batches of any size, but its inputs fix {fixed.pop()} examples: make it without batch_size "
            "and batch_shape."
        )
    bad = look.bad_numbers(*dataset) if isinstance(dataset, tuple | list) and len(dataset) == 2 else ""
    if bad:
        return _at_once(model, Finding("data", bad), began)
    optimizer = getattr(model, "optimizer", None) if optimizer is None else optimizer
    optimizer = optimizer_of("rmsprop" if optimizer is None else optimizer)
    loss = getattr(model, "loss", None) if loss is None else loss
    core.named_loss(loss)  # an unknown name is refused, and no finding
    batch_size = positive_int("batch_size", batch_size)
    fitted = getattr(getattr(model, "history", None), "params", None) or {}
    epochs = int(fitted.get("epochs") or 20) if epochs is None else positive_int("epochs", epochs)
    if rate_of(optimizer) == 0:
        words = "the learning rate is 0, so that no update changes anything"
        return _at_once(model, Finding("learning rate too low", words, "learning_rate=0.001", page=RATE), began)
    with warnings.catch_warnings(), chance_put_back():
        warnings.simplefilter("ignore")  # what Keras warns of is found in other ways here
        if not model.built:
            with contextlib.suppress(ValueError):  # it is said below
                core.pose(model, dataset, loss)
        labels = look.wrong_labels(as_pair(dataset)[1], _width(model), loss)
        if labels is not None:
            return _at_once(model, Finding(*labels), began)
        with put_back(model) as kept:
            try:
                problem = core.pose(model, dataset, loss)
                backend.check_start(model)
            except ValueError as error:
                refused = _refused(model, dataset, str(error))
                if refused is None:
                    raise
                return _at_once(model, refused, began)
            kept.callback(Kept(problem.state).put_back)
            if same := look.same_rows(problem.x):
                return _at_once(model, Finding("data", same), began)
            width = min(batch_size, problem.examples)
            total = epochs * -(-problem.examples // width)
            start = tuple(np.array(variable.numpy()) for variable in problem.variables)
            setup = Setup(problem.x, problem.y, loss, width, min(total, _UPDATES), start)
            return _diagnosed(optimizer, setup, problem, total, began, seconds)


def _at_once(model: Any, finding: Finding, began: float) -> Diagnosis:
    """Return a finding that needs no trial."""
    title = getattr(model, "name", "model")
    return Diagnosis(title, (finding,), (), (), float("nan"), "", seconds=time.perf_counter() - began)


def _refused(model: Any, dataset: Any, words: str) -> Finding | None:
    """Say what Keras would not train, and the loss with which it would; None where no loss is at fault."""
    if model.built and not model.trainable_variables and look.frozen(model)[1]:
        return Finding("frozen layers", words, "model.trainable = True", page=SETTINGS)
    if "finite" in words:
        return Finding("data and model", words)
    for name in (kind.loss for kind in look.KINDS.values()):
        with contextlib.suppress(ValueError):
            problem = core.pose(model, dataset, name)
            if look.task_of(problem.y, _shape(problem), name).asks.loss == name:
                return Finding("loss", words, f"loss={name!r}")
    return Finding("shapes", words) if "the shape of the predictions" in words else None


def _diagnosed(
    optimizer: Any, setup: Setup, problem: core.Problem, total: int, began: float, seconds: float
) -> Diagnosis:
    """Measure, suspect and try, until the time is over or Ctrl-C."""
    model, (loss, logits), label = problem.model, loss_of(problem), backend.label(optimizer)
    task = look.task_of(setup.y, _shape(problem), loss)
    if not loss and callable(setup.loss) and task.kind in ("binary", "one-hot", "labels"):
        with contextlib.suppress(Exception):  # whatever it cannot be asked
            logits = takes_logits(problem, setup, task)
    bench, same = Bench(model, setup, task, _way_of(model, optimizer), logits=logits), look.constant(setup.y)
    found, notes, where = list[Finding](), look.columns(setup.x) + same, None
    bench.begin(setup)
    untrained = not int(optimizer.iterations) and bench.judge(setup)[0] > _KNOWING
    trial = Trial(bench, setup, untrained, until=began + seconds, longest=seconds / 10)
    try:
        before, _ = bench.look(setup)
        for run in trial.begin():
            if run is trial.runs[0]:
                after, gap = bench.look(setup)
                stored, _ = bench.judge(setup, stored=True)
        where = _not_finite(trial)
        if not any(run.diverged for run in trial.runs):  # all as long as time let the first ones be
            trial.setup = replace(setup, updates=min(len(run.loss) for run in trial.runs))
        bench.begin(setup)
        found += _wrong_gradient(setup, problem) if where is None else []
        found += _wrong_end(model)
        found += _averages(trial, stored) if where is None and setup.updates == total and not trial.over else []
        if trial.error > LEARNED and not same:
            about = optimizer, loss, logits, total, trial.runs[0], where, before, after, gap
            _try_all(trial, Evidence(bench, task, trial.setup, *about), found, notes)
            helped = any(one.name not in PACE or max(one.after) <= LEARNED for one in filter(_said, found))
            found += _no_gradient(trial, total) if not helped else []
            notes += _unrelated(trial) if not helped and trial.error > 0.9 else []
    except KeyboardInterrupt:
        notes.append("Stopped by Ctrl-C: this is what was known.")
    if where is not None and any(map(_said, found)):
        notes.append(f"The first number that is not finite: {where}.")
    elif where is not None:
        found.append(Finding("not finite", str(where)))
    worst_first = sorted(filter(_said, found), key=_place)
    return Diagnosis(
        f"{model.name}, {label}, batch size {setup.batch_size}",
        tuple(worst_first),
        tuple(finding for finding in found if not _said(finding)),
        tuple(run.error for run in trial.runs),
        trial.runs[0].accuracy if trial.runs else float("nan"),
        task.asks.measure,
        tuple(notes),
        _gradients(trial),
        where,
        time.perf_counter() - began,
    )


def _place(finding: Finding) -> tuple[bool, bool, int]:
    """Return what findings are sorted by; many units make up for much else that is wrong, so they come last."""
    return bool(finding.after), finding.name == "hidden units", -round(finding.gain / 0.15)


def _said(finding: Finding) -> bool:
    """Whether a finding is one: its change helps, or it needs no trial."""
    return finding.helps or not finding.after


def _not_finite(trial: Trial) -> NotFinite | None:
    """Trace what is not finite in the first run that has it."""
    for seed, run in enumerate(trial.runs):
        if run.diverged:
            with contextlib.suppress(Exception):  # a graph in which not every number can be read
                return first_not_finite(trial.bench, trial.seeded(seed), run, seed)
    return None


def _way_of(model: Any, optimizer: Any) -> Make:
    """Return how runs are made: by a compiled loop, or by `fit` where such a loop would train otherwise."""
    why = _only_by_fit(model, optimizer)
    if not why:
        return lambda problem, setup: Way(problem, setup.optimizer or optimizer, setup.batch_size)
    if getattr(model, "optimizer", None) is not optimizer:
        raise ValueError(f"model must be compiled with its optimizer, and optimizer left out, as {why}.")
    return lambda problem, setup: Fitted(problem, setup.batch_size)


def _only_by_fit(model: Any, optimizer: Any) -> str:
    """Say what a loop with a new optimizer of the same kind would not do; nothing if it would do all."""
    if core.has_own_step(model):
        return f"{type(model).__name__} has a train_step of its own"
    if scales_loss(optimizer):
        return f"{optimizer.name!r} scales the loss"
    try:
        twin_of(optimizer)
    except Exception:  # noqa: BLE001  # whatever a class of the user's own raises
        return "it does not say how to make one like it (get_config)"
    own = not type(optimizer).__module__.startswith("keras.")  # its configuration may miss what its class has added
    return f"{type(optimizer).__name__} is a class of your own" * own


def _try_all(trial: Trial, seen: Evidence, found: list[Finding], notes: list[str]) -> None:
    """Try what each check suspects, the milder ones if nothing helps, and then each together with the best rate."""
    suspicions = [(check, suspicion) for check in CHECKS + LAST if (suspicion := check.of(seen)) is not None]
    rates = list[tuple[float, Change]]()
    for check, suspicion in suspicions:
        name = check.name
        if _needless(check, trial, seen, [*filter(_said, found)]):
            continue
        if trial.over:
            notes.append(f"No time was left to try: {name} ({suspicion[0]}).")
            continue
        finding, change = (trial.held_out if name in FRESH else trial).of(name, suspicion, check.page)
        found.append(finding)
        if name.startswith("learning rate"):
            rates.append((finding.after[0], change))
    if any(map(_said, found)) or not rates or trial.over:
        return
    second = trial.with_change(min(rates, key=lambda each: each[0])[1])
    for (name, _, page), suspicion in suspicions:
        done = name in {one.name for one in filter(_said, found)}
        if not (done or second.over or name.startswith("learning rate") or name in (*PACE, *KEPT)):
            found.append((second.held_out if name in FRESH else second).of(name, suspicion, page)[0])


def _needless(check: Check, trial: Trial, seen: Evidence, helped: list[Finding]) -> bool:
    """Whether a check is not worth a trial: the run may get there as it is, or by what has helped."""
    slow = trial.error < SLOW
    if check.name == "hidden units":
        return (slow and seen.late_share >= 0.2) or any(max(one.after, default=0.0) <= LEARNED for one in helped)
    return bool(check in LAST and helped) or (check.name in PACE and slow and seen.total > FEW)


def _wrong_gradient(setup: Setup, problem: core.Problem) -> list[Finding]:
    """Check the gradient where a layer or a loss is the user's own; autodiff is right where nobody helped it."""
    layers = [layer for layer in problem.model._flatten_layers() if layer.name != problem.model.name]
    own = [layer.name for layer in layers if not type(layer).__module__.startswith("keras.")]
    own += ["the loss"] if callable(setup.loss) and not loss_of(problem)[0] else []
    with contextlib.suppress(ValueError, TypeError):
        some = core.take((setup.x, setup.y), slice(8))
        verdict = check_gradients(problem.model, some, loss=setup.loss, at_most=30).verdict if own else ""
        if verdict.startswith("Wrong"):
            return [Finding("gradient", f"{verdict} Of your own is: {', '.join(own)}", page=_CHECKED)]
    return []


def _wrong_end(model: Any) -> list[Finding]:
    """See what no trial need bear out: dropout of the predictions, or a softmax that adds up to 1 over the batch."""
    last, behind = look.last_layer(model), look.behind_weights(model)
    for layer in (one for one, name, _ in look.dropouts(model) if one in behind and name == "rate"):
        words = f"{layer.name!r} stands behind the last weights, and changes the predictions themselves"
        return [Finding("dropout", words, f"no {layer.name!r}", page=SETTINGS)]
    axis = getattr(last, "axis", -1)
    if last is None or not {0, -len(getattr(model, "output_shape", ()))} & {*np.ravel(axis).tolist()}:
        return []
    words = f"softmax is taken along axis {axis}, so that the answers of a row depend on the rows beside it"
    return [Finding("output activation", words, "Softmax(axis=-1)", page=MISTAKES)]


def _no_gradient(trial: Trial, total: int) -> list[Finding]:
    """See that no update moved some weights, or any, since nothing of the loss came back to them, or all was kept back."""
    names, (sizes, _, moves) = trial.bench.names, np.moveaxis(trial.runs[0].sizes, 1, 0)
    still = [names[place] for place in np.flatnonzero(~sizes.any(axis=0))] if len(sizes) else []
    which = "every weight" if len(still) == len(names) else ", ".join(still)
    words = (
        f"the gradient of {which} is 0, or there is none, in all of {len(sizes)} updates: something between the weights "
        "and the loss lets none through, such as a layer that gives 0 for every row, a rounding, an argmax, a stop_gradient, "
        "or a loss that ignores the predictions"
    )
    if sizes.any() and not moves.any() and len(moves) == total:
        words = f"gradients come, and the optimizer moves no weight in {len(sizes)} updates: does it gather more of them first?"
        return [Finding("no update", words, "gradient_accumulation_steps=None", page=SETTINGS)]
    return [Finding("no gradient", words, page=_CHECKED)] if still else []


def _averages(trial: Trial, stored: float) -> list[Finding]:
    """Try another momentum where the stored averages of batch normalisation are not those of the data."""
    suspicion = layers.averages(trial.bench.model, trial.runs[0].error, stored)
    return [] if suspicion is None else [trial.anew(stored=True).of("batch normalisation", suspicion, SETTINGS)[0]]


def _unrelated(trial: Trial) -> list[str]:
    """Say that rows with like inputs have targets no more alike than any, which no change of the training can mend."""
    x, y = trial.setup.x, trial.setup.y
    numbers = isinstance(x, np.ndarray) and not look.has_table(trial.bench.model)
    if numbers and trial.bench.task.kind and len(x) >= 50 and look.best_shift(x, y)[2] <= 0.02:
        why = "perhaps x does not tell y, or they were put into another order apart (shuffle both by one permutation)"
        return [f"Rows with like inputs have targets no more alike than any: {why}."]
    return []


def _gradients(trial: Trial) -> tuple[tuple[str, float, float], ...]:
    """Return for each array of weights the median norm of its gradient, and its updates as a share of its size."""
    if not trial.runs or not len(trial.runs[0].sizes):
        return ()
    gradient, weight, update = np.median(trial.runs[0].sizes, axis=0)
    share = np.divide(update, weight, out=np.zeros_like(update), where=weight > 0)
    return tuple(zip(trial.bench.names, map(float, gradient), map(float, share), strict=True))


def _width(model: Any) -> int:
    """Return how many numbers a model says that it gives for each place, 0 if it does not."""
    shape: Any = getattr(model, "output_shape", None)
    known = shape is not None and all(side is None or isinstance(side, int) for side in shape)
    return int(shape[-1] if len(shape) > 1 else 1) if known and shape[-1:] != (None,) else 0


def _shape(problem: core.Problem) -> tuple[int, ...]:
    """Return the shape of what a model predicts for an example; none where that is no one array."""
    shape = getattr(problem.predict(problem.tensors(np.arange(1))[0], training=False), "shape", None)
    return () if shape is None else tuple(shape[1:]) or (1,)
