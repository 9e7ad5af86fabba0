"""The table of checks: each a small function from the evidence to what is suspicious; a page explains its theory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from gdexplain.in_keras.arrays import leaves
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.evidence import Change, Evidence, Suspicion
from gdexplain.in_keras.diagnose.measure import rate_of
from gdexplain.in_keras.diagnose.restore import Altered, activated, altered
from gdexplain.in_keras.eye import innermost
from gdexplain.in_keras.task import schedule_of

_RANGES = {  # what an end can say
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus", "exponential"), (0.0, np.inf)),
    "elu": (-1.0, np.inf),
}
_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")
_CUT = ("relu", "relu6")
INITIALISATION = "gallery/theory/plot_initialisation"
MISTAKES = "practice/common_mistakes"
RATE = "gallery/variants/plot_learning_rate"
SCALING = "gallery/variants/plot_feature_scaling"
SETTINGS = "practice/settings_of_fit"


def shifted_labels(seen: Evidence) -> Suspicion | None:
    """See rows whose targets belong to their neighbours in the file."""
    shift, told, now = look.best_shift(seen.setup.x, seen.setup.y)
    if shift == 0 or told < 0.3 or told < now + 0.25:
        return None
    moved = np.roll(seen.setup.y, shift, axis=0)
    if look.forecasts(seen.setup.x, moved):
        return None
    words = (
        f"like inputs should have like targets: of a row's target, the five nearest rows tell {max(now, 0):.0%} of the "
        f"variance, and {told:.0%} once the targets are moved by {shift:+d} row{'s' * (abs(shift) > 1)}"
    )
    return words, [Change(f"y = np.roll(y, {shift}, axis=0)", {"y": moved})]


def output_activation(seen: Evidence) -> Suspicion | None:
    """See an end that cannot say what the targets ask for."""
    wanted = "linear" if seen.logits else seen.task.asks.end
    words = _end_is_wrong(seen) if seen.end and wanted and seen.end != wanted else ""
    if not words:
        return None
    last = look.last_layer(seen.bench.model)
    change = _altered(f"activation={wanted!r} in the last layer, {last.name!r}", [activated(last, wanted)])
    return words, [change, *_with(change, loss(seen))]


def _end_is_wrong(seen: Evidence) -> str:
    """Say why the end does not fit the targets or the loss; nothing if it does."""
    (low, high), (says, true) = _RANGES.get(seen.end, (-np.inf, np.inf)), seen.gap
    end, last = seen.end, seen.after[-1]
    if end == "softmax" and seen.task.kind in ("binary", "regression") and last.units == 1:
        hidden = f"; Keras reports the loss {says:.3g}, of hidden logits, while the predictions have {true:.3g}"
        return "softmax over one unit is 1 whatever its input" + hidden * (not np.isclose(says, true, 0.1, 1e-3))
    if seen.task.kind == "regression":
        least, most = float(seen.setup.y.min()), float(seen.setup.y.max())
        if least < low - 1e-6 or most > high + 1e-6:
            return f"{end} gives numbers from {low:g} to {high:g}, and the targets run from {least:.4g} to {most:.4g}"
        dead = end in _CUT and last.zero >= 0.99
        return f"{end} gives 0 for every row, and its slope there is 0 too" * dead
    if seen.logits:
        return f"the loss takes logits, any number, and {end} gives {low:g} to {high:g}" * bool(np.isfinite(low))
    if seen.task.kind in ("one-hot", "labels"):
        return f"{end} makes no probabilities that add up to 1 over {seen.task.classes} classes"
    return f"{end} makes no probabilities, which targets of 0 and 1 ask for"


def _with(change: Change, suspicion: Suspicion | None) -> list[Change]:
    """Return a change together with each of another suspicion."""
    _, others = suspicion or ("", [])
    return [Change(f"{change.code}; {other.code}", {**other.fields, **change.fields}) for other in others]


def loss(seen: Evidence) -> Suspicion | None:
    """See a loss for another kind of problem, or for another kind of end."""
    kind, wanted = seen.task.kind, seen.task.asks.loss
    ends_in_logits = seen.end == "linear" and kind != "regression"
    if not seen.loss or not kind:
        return None
    if seen.loss != wanted:
        if kind == "regression" and "entropy" not in seen.loss and "hinge" not in seen.loss:
            return None
        words = f"the targets are of the kind {kind}, and {seen.loss} is not their loss"
    elif kind == "regression" or seen.logits == ends_in_logits or seen.end not in ("linear", "softmax", "sigmoid"):
        return None
    else:
        given = "logits, any number" if ends_in_logits else "probabilities"
        words = f"the model ends in {seen.end}, which gives {given}, and the loss has from_logits={seen.logits}"
    options = {} if kind == "regression" else {"from_logits": ends_in_logits}
    name = wanted.title().replace("_", "")
    code = f"loss=keras.losses.{name}({''.join(f'{key}={value}' for key, value in options.items())})"
    return words, [Change(code, {"loss": getattr(keras.losses, name)(**options)})]


def sign(seen: Evidence) -> Suspicion | None:
    """See a loss of your own that falls below 0 while the predictions get no better than a guess."""
    losses, own = seen.run.loss, seen.setup.loss
    if seen.loss or not callable(own) or not seen.task.kind or seen.run.error < 1 or not losses[-1:].min(initial=0) < 0:
        return None
    words = f"the loss falls from {losses[0]:.3g} to {losses[-1]:.3g}, and the predictions are worse than a guess"
    return words, [Change("the loss with the other sign", {"loss": lambda targets, given: -own(targets, given)})]


def unscaled_inputs(seen: Evidence) -> Suspicion | None:
    """See inputs whose size or spread is far from 1."""
    scaled, codes, words, table = list[Any](), list[str](), "", look.has_table(seen.bench.model)
    for name, x in leaves("x", seen.setup.x):
        scaled.append(x)
        if x.dtype.kind not in "fiu" or (table and np.all(x == np.floor(x))):  # which may be places in the table
            continue
        mean, deviation = look.spread(x)
        if not (0.1 <= deviation <= 4 and mean <= 4):
            scaled[-1], code = look.standardised(x, name)
            codes.append(code)
            words = words or (
                f"columns of {name} have means up to {mean:.3g} and standard deviations up to {deviation:.3g}; "
                "they should be near 0 and 1"
            )
    if not words:
        return None
    change = Change("; ".join(codes), {"x": keras.tree.pack_sequence_as(seen.setup.x, scaled)})
    return words, [change, *_with(change, unscaled_targets(seen))]


def unscaled_targets(seen: Evidence) -> Suspicion | None:
    """See targets of a regression whose size is far from 1."""
    y = seen.setup.y
    if seen.task.kind != "regression" or np.any(y.std(0, dtype=np.float64) == 0):  # nothing to divide by
        return None
    mean, deviation = look.spread(y)
    if 0.05 <= deviation <= 5 and mean <= 5:
        return None
    back = y.mean(0), y.std(0)
    scaled = ((y - back[0]) / back[1]).astype(y.dtype if y.dtype.kind == "f" else "float32")
    words = f"y has the mean {mean:.3g} and the standard deviation {deviation:.3g}; they should be near 0 and 1"
    return words, [Change("y = (y - y.mean(axis=0)) / y.std(axis=0)", {"y": scaled, "back": back})]


_DRAWN_ANEW = Change("kernel_initializer='glorot_uniform', bias_initializer='zeros'", {}, drawn=True)


def initialisation(seen: Evidence) -> Suspicion | None:
    """See weights that start equal, or far too small or large."""
    for name, array, kernel in zip(seen.bench.names, seen.setup.start, seen.bench.kernels, strict=True):
        wanted, deviation = look.glorot(array.shape) if kernel else np.inf, float(array.std())
        if kernel and not wanted / 5 <= deviation <= wanted * 5:
            words = f"{name} starts with a standard deviation of {deviation:.2g}; Glorot's rule gives {wanted:.2g}"
            if deviation == 0:
                words = f"every number in {name} starts at {array.flat[0]:g}, so that all units learn the same"
            return words, [_DRAWN_ANEW]
    return None


def dead_units(seen: Evidence) -> Suspicion | None:
    """See units that give 0 for every row, and so have no gradient, before a step has been made."""
    cut = [layer for layer in seen.before if layer.activation in _CUT]
    dead = next((layer for layer in cut if layer.zero >= 0.6), None)
    if dead is None:
        return None
    words = f"{dead.zero:.0%} of the units of {dead.name!r} give 0 for every row before the first update; so their gradient is 0"
    leaky = _altered("activation='leaky_relu'", [activated(each.layer, "leaky_relu") for each in cut])
    return words, [_DRAWN_ANEW, leaky]


_HIDDEN = (  # what is said of the first of the layers that are bad, in the order of hidden_activation
    "{0.name!r} has no activation, and layers without one between them are no more than one layer",
    "what {0.name!r} gives adds up to 1 in each row: softmax is for the last layer",
    "{flat:.0%} of what {0.name!r} gives lies where {0.activation} is flat",
    "the gradient of the first layer is {ratio:.1g} of the last one's: each {0.activation} makes it smaller",
)


def hidden_activation(seen: Evidence) -> Suspicion | None:
    """See layers that saturate, or that have no activation between them."""
    last, flat = look.last_layer(seen.bench.model), {layer.name: layer.flat for layer in seen.after}
    hidden = [one for one in seen.before if one.layer is not last]
    linear, shared = (
        [one for one in hidden if one.activation == no and one.layer.weights] for no in ("linear", "softmax")
    )
    saturating = [one for one in hidden if one.activation in _SATURATING]
    stuck = [one for one in saturating if flat.get(one.name, 0) >= 0.5]
    cases = (  # the layers that are bad, and those to change
        (linear if len(linear) == len(hidden) else [], linear),
        (shared, shared),
        (stuck, saturating),
        (saturating if seen.vanishing < 0.05 else [], saturating),
    )
    for (bad, changed), words in zip(cases, _HIDDEN, strict=True):
        if bad:
            relu = _altered("activation='relu' in the hidden layers", [activated(one.layer, "relu") for one in changed])
            drawn = Change("activation='relu', kernel_initializer='glorot_uniform'", relu.fields, drawn=True)
            told = words.format(bad[0], flat=flat.get(bad[0].name, 0), ratio=seen.vanishing)
            return told, [relu, drawn]
    return None


def _altered(code: str, changes: Iterable[Altered]) -> Change:
    return Change(code, {"altered": tuple(changes)})


def _named(layers: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(repr(layer.name) for layer in layers))


def frozen(seen: Evidence) -> Suspicion | None:
    """See weights that no update changes, since their layers are frozen."""
    layers, held = look.frozen(seen.bench.model)
    if not held:
        return None
    owners = [
        one for one in seen.bench.model._flatten_layers() if {*map(id, one._trainable_variables)} & {*map(id, held)}
    ]
    free, fixed = (sum(int(np.prod(each.shape)) for each in group) for group in (seen.setup.start, held))
    words = f"{fixed:,} of the {free + fixed:,} weights are frozen, so that no update changes them"
    change = _altered(
        f"trainable = True for {_named(owners)}", [Altered(one, "_trainable", True) for one in layers + held]
    )
    with altered(change.fields["altered"]):
        start = tuple(np.array(variable.numpy()) for variable in seen.bench.model.trainable_variables)
    return words, [Change(change.code, {**change.fields, "start": start})]


def dropout(seen: Evidence) -> Suspicion | None:
    """See dropout that leaves little of a signal."""
    found = look.dropouts(seen.bench.model)
    left = float(np.prod([1 - rate for _, _, rate in found]))
    if left > 0.5:
        return None
    words = f"dropout leaves {left:.2g} of a signal on its way through the layers in each update"
    much = [(layer, attribute) for layer, attribute, rate in found if rate > 0.1]
    return words, [
        _altered(f"rate=0.1 in {_named(layer for layer, _ in much)}", [Altered(*each, 0.1) for each in much])
    ]


def penalty(seen: Evidence) -> Suspicion | None:
    """See penalties that weigh about as much as the loss itself."""
    model, optimizer = seen.bench.model, innermost(seen.optimizer)
    weights = [variable for variable in model.trainable_variables if variable.regularizer is not None]
    active = [layer for layer in model._flatten_layers() if getattr(layer, "activity_regularizer", None) is not None]
    size, first = sum(float(one.regularizer(one)) for one in weights), float(np.abs(seen.run.loss[:1]).sum())
    decay, share = getattr(optimizer, "weight_decay", None) or 0.0, size / max(first, 1e-12)
    cases = (
        (share > 0.1, f"the penalties of the weights are {share:.0%} of the loss before the first update"),
        (bool(active), f"what {_named(active)} gives has a penalty"),
        (decay >= 0.05, f"the optimizer has weight_decay={decay:g}"),
    )
    changes = [
        *(Altered(one, "_regularizer", None) for one in weights),
        *(Altered(one, "activity_regularizer", None) for one in active),
        *[Altered(optimizer, "weight_decay", 0.0)] * (decay > 0),
    ]
    codes = [f"{one.name}_regularizer=None" for one in weights] + ["activity_regularizer=None"] * bool(active)
    code = ", ".join(dict.fromkeys(codes + ["weight_decay=0.0"] * (decay > 0)))
    words = "; ".join(said for true, said in cases if true)
    return (words, [_altered(code, changes)]) if words else None


def constraint(seen: Evidence) -> Suspicion | None:
    """See weights that are put back into bounds after each update."""
    held = [variable for variable in seen.bench.model.trainable_variables if variable.constraint is not None]
    if not held:
        return None
    code = ", ".join(dict.fromkeys(f"{one.name}_constraint=None" for one in held))
    many = f"{len(held)} arrays of weights are" if len(held) > 1 else "one array of weights is"
    words = f"{many} put back into the bounds of a constraint after each update"
    return words, [_altered(code, [Altered(one, "_constraint", None) for one in held])]


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
    elif dead := [layer for layer in seen.after if layer.activation in _CUT and layer.zero > 0.9]:
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
    size, examples = seen.setup.batch_size, seen.bench.way(seen.setup).problem.examples
    per_epoch = -(-examples // size)
    if size <= 8 or per_epoch > 10 or seen.total > 2000:
        return None
    words = f"batches of {size} make {per_epoch} update{'s' * (per_epoch > 1)} an epoch and {seen.total} in all"
    smaller, made = 32 if size > 64 else max(1, size // 8), seen.setup.updates
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


# In this order where their changes help alike: what is wrong before what is only slow.
PACE = ("learning rate too low", "batch size", "epochs")  # what makes a run slow, and not wrong
# What may be there for the sake of fresh data, so that a change of it must help on rows that were held out.
FRESH = ("frozen layers", "dropout", "penalty", "constraint", "epochs")
CHECKS: tuple[tuple[str, Callable[[Evidence], Suspicion | None], str], ...] = (
    ("labels shifted", shifted_labels, MISTAKES),
    ("output activation", output_activation, MISTAKES),
    ("loss", loss, MISTAKES),
    ("sign of the loss", sign, MISTAKES),
    ("unscaled inputs", unscaled_inputs, SCALING),
    ("unscaled targets", unscaled_targets, SCALING),
    ("dead units", dead_units, INITIALISATION),
    ("initialisation", initialisation, INITIALISATION),
    ("hidden activation", hidden_activation, INITIALISATION),
    ("frozen layers", frozen, SETTINGS),
    ("dropout", dropout, SETTINGS),
    ("penalty", penalty, SETTINGS),
    ("constraint", constraint, SETTINGS),
    ("learning rate too high", rate_too_high, RATE),
    ("learning rate schedule", schedule, RATE),
    ("learning rate too low", rate_too_low, RATE),
    ("batch size", batch_size, "practice/which_optimizer"),
    ("epochs", epochs, "gallery/variants/plot_three_variants"),
)
