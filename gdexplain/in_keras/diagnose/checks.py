"""The table of checks: each a small function from the evidence to what is suspicious; a page explains its theory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras.optimizers import Adam

from gdexplain.in_keras.diagnose import ends, layers
from gdexplain.in_keras.diagnose.evidence import CUT, Change, Evidence, Suspicion, altering
from gdexplain.in_keras.diagnose.measure import rate_of
from gdexplain.in_keras.diagnose.restore import Altered, normalisers
from gdexplain.in_keras.eye import innermost
from gdexplain.in_keras.task import schedule_of

INITIALISATION = "gallery/theory/plot_initialisation"
MISTAKES = "practice/common_mistakes"
RATE = "gallery/variants/plot_learning_rate"
SCALING = "gallery/variants/plot_feature_scaling"
SETTINGS = "practice/settings_of_fit"


class Check(NamedTuple):
    """A fault, what sees it in the evidence, and the page that explains it."""

    name: str
    of: Callable[[Evidence], Suspicion | None]
    page: str


def rate_too_high(seen: Evidence) -> Suspicion | None:
    """See steps beyond the stability limit, or as large as the weights themselves."""
    run, rate, limit = seen.run, rate_of(seen.optimizer), seen.limit
    usual, first = (np.nan_to_num(each) for each in (np.nanmedian(seen.shares, axis=0), seen.shares[:5]))
    if run.diverged:
        words = f"the run stops being finite: {seen.not_finite or ''}"
    elif len(run.loss) > 3 and run.loss[-(len(run.loss) // 4 + 1) :].mean() > 1.2 * run.loss[0]:
        words = f"the loss grows from {run.loss[0]:.3g} to {run.loss[-1]:.3g}"
    elif rate > limit:
        words = "plain gradient descent needs a rate below 2 / sharpness"
    elif usual.max() > 0.1:
        words = f"an update is up to {usual.max():.2g} of the weights that it changes; 0.001 is usual"
    elif dead := [layer for layer in seen.after if layer.activation in CUT and layer.zero > 0.9]:
        words = f"at the end {dead[0].zero:.0%} of the units of {dead[0].name!r} give 0 for every row: updates turned them off"
    elif first.max(initial=0.0) > 0.3:
        words = f"one of the first updates is {first.max():.2g} of the weights that it changes"
    else:
        return None
    if np.isfinite(rate) and np.isfinite(limit):
        words += f" (rate {rate:.3g}; 2 / sharpness at the start is {limit:.3g})"
    return words, _rates(rate, (0.1, 0.01, 0.001))


def schedule(seen: Evidence) -> Suspicion | None:
    """See a schedule that has all but stopped the run half-way."""
    rates, dtype = schedule_of(innermost(seen.optimizer)), seen.optimizer.iterations.dtype
    if rates is None:
        return None
    begin, middle = (float(rates(keras.ops.convert_to_tensor(step, dtype))) for step in (0, seen.total // 2))
    if not middle < begin / 10:
        return None
    words = f"half-way through the updates the schedule has taken the rate from {begin:.3g} to {middle:.2g}"
    return words, [Change(f"learning_rate={begin:.3g}, without a schedule", {"steady": True})]


def rate_too_low(seen: Evidence) -> Suspicion | None:
    """See weights that hardly move, or a loss that falls as slowly at the end as at the start."""
    median, late = np.nan_to_num(np.nanmedian(np.nanmedian(seen.shares, axis=0))), seen.late_share
    if seen.run.diverged or (median > 2e-3 and late < 0.3) or median > 0.05:
        return None
    words = f"an update is {median:.2g} of the weights, and {late:.0%} of the fall of the loss came in the second half"
    return words, _rates(rate_of(seen.optimizer), (10.0, 100.0, 1000.0))


def _rates(rate: float, factors: Sequence[float]) -> list[Change]:
    known = np.isfinite(rate)
    codes = [f"learning_rate={rate * each:.3g}" if known else f"the learning rate times {each:g}" for each in factors]
    return [Change(code, {"rate": factor}) for code, factor in zip(codes, factors, strict=True)]


def batch_size(seen: Evidence) -> Suspicion | None:
    """See few updates an epoch: each costs a pass over a large batch."""
    size, made, examples = seen.setup.batch_size, seen.setup.updates, seen.bench.way(seen.setup).problem.examples
    per_epoch = -(-examples // size)
    if size < 4 <= examples and normalisers(seen.bench.model):
        words = f"batch normalisation takes its mean and spread from batches of {size}, which leaves little of a row"
        return words, [
            Change("batch_size=32", {"batch_size": min(32, examples), "updates": min(made, 200 + made // 8)})
        ]
    if size <= 8 or per_epoch > 10 or seen.total > 2000:
        return None
    words = f"batches of {size} make {per_epoch} update{'s' * (per_epoch > 1)} an epoch and {seen.total} in all"
    smaller = 32 if size > 64 else max(1, size // 8)
    updates = min(made * -(-examples // smaller) // per_epoch, 10 * max(made, 200))
    return words, [Change(f"batch_size={smaller}", {"batch_size": smaller, "updates": updates})]


def epochs(seen: Evidence) -> Suspicion | None:
    """See a run that stops while the loss is still falling as it did."""
    total, late = seen.total, seen.late_share
    if seen.setup.updates < total or total > 3000 or (late < 0.2 and total > 100):
        return None
    words = f"the run ends after {total} updates"
    if late >= 0.2:
        words += f", and {late:.0%} of the fall of the loss came in its second half: it was still falling"
    factor = 10 if total > 100 else 30
    return words, [Change(f"{factor} times as many epochs", {"updates": factor * seen.setup.updates})]


def clipping(seen: Evidence) -> Suspicion | None:
    """See gradients that are cut to a small part of their size before each update."""
    optimizer, norms = innermost(seen.optimizer), seen.run.sizes[:, 0].max(axis=1, initial=0.0)
    names = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(optimizer, name, None)]
    usual, limit = float(np.median(norms)) if len(norms) else 0.0, getattr(optimizer, names[0]) if names else np.inf
    if not 10 * limit < usual:
        return None
    words = f"gradients of a norm of {usual:.3g}, in the median, are cut by {names[0]}={limit:g} before each update"
    return words, [altering(f"{names[0]}=None", [Altered(optimizer, names[0], None)])]


def optimizer(seen: Evidence) -> Suspicion | None:
    """See an optimizer with one rate for all weights, which needs gradients of like sizes."""
    name, shares = type(seen.optimizer).__name__, np.nan_to_num(np.nanmedian(seen.shares, axis=0))
    if seen.run.diverged or name not in ("SGD", "Adadelta", "Adagrad", "Ftrl"):
        return None
    words = f"{name} moves the weights by {shares.min():.1g} to {shares.max():.1g} of their size, from array to array"
    rates = (0.001, 0.01)
    return words, [Change(f"optimizer=keras.optimizers.Adam({rate})", {"optimizer": Adam(rate)}) for rate in rates]


# In this order where their changes help alike: what is wrong before what is only slow.
PACE = ("learning rate too low", "batch size", "epochs", "optimizer")  # what makes a run slow, and not wrong
KEPT = ("frozen layers", "dropout", "penalty", "constraint")  # what may be there for the sake of fresh data
# What may only learn noise by heart, or sooner, so that it must help on rows that were held out.
FRESH = (*KEPT, *PACE, "unscaled inputs", "hidden units")
CHECKS = (
    Check("labels shifted", ends.shifted_labels, MISTAKES),
    Check("output activation", ends.output_activation, MISTAKES),
    Check("loss", ends.loss, MISTAKES),
    Check("loss of your own", ends.own_loss, MISTAKES),
    Check("unscaled inputs", ends.unscaled_inputs, SCALING),
    Check("rescaling", ends.rescaling, SCALING),
    Check("unscaled targets", ends.unscaled_targets, SCALING),
    Check("initialisation", layers.initialisation, INITIALISATION),
    Check("dead units", layers.dead_units, INITIALISATION),
    Check("hidden activation", layers.hidden_activation, INITIALISATION),
    Check("recurrent activation", layers.recurrent, INITIALISATION),
    Check("frozen layers", layers.frozen, SETTINGS),
    Check("dropout", layers.dropout, SETTINGS),
    Check("penalty", layers.penalty, SETTINGS),
    Check("constraint", layers.constraint, SETTINGS),
    Check("learning rate too high", rate_too_high, RATE),
    Check("clipping", clipping, RATE),
    Check("learning rate schedule", schedule, RATE),
    Check("learning rate too low", rate_too_low, RATE),
    Check("batch size", batch_size, "practice/which_optimizer"),
    Check("epochs", epochs, "gallery/variants/plot_three_variants"),
    Check("hidden units", layers.hidden_units, "gallery/theory/plot_network_surface"),
)
# What is tried only where nothing else helps: it would hide what is wrong otherwise.
LAST = (
    Check("unscaled inputs", ends.mildly_unscaled_inputs, SCALING),
    Check("optimizer", optimizer, "practice/which_optimizer"),
)
