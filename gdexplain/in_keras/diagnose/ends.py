"""What the data and the end of a model give to suspect: labels, the last activation, the loss, scales."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gdexplain.in_keras.arrays import leaves
from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.evidence import CUT, Change, Evidence, Suspicion, altering
from gdexplain.in_keras.diagnose.restore import Altered, activated

_SIDES = ("hinge", "squared_hinge")
_RANGES = {  # what an end can say
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus", "exponential"), (0.0, np.inf)),
    "elu": (-1.0, np.inf),
}


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
    wanted = "linear" if seen.logits or seen.loss in _SIDES else seen.task.asks.end
    wanted = "exponential" if seen.loss == "poisson" else wanted
    words = _end_is_wrong(seen) if seen.end and wanted and seen.end != wanted else ""
    if not words:
        return None
    last = look.last_layer(seen.bench.model)
    change = altering(f"activation={wanted!r} in the last layer, {last.name!r}", [activated(last, wanted)])
    return words, [change, *_with(change, loss(seen))]


def _end_is_wrong(seen: Evidence) -> str:
    """Say why the end does not fit the targets or the loss; nothing if it does."""
    (low, high), (says, true) = _RANGES.get(seen.end, (-np.inf, np.inf)), seen.gap
    end, last = seen.end, seen.after[-1]
    if end == "softmax" and seen.task.kind in ("binary", "regression") and last.units == 1:
        hidden = f"; Keras reports the loss {says:.3g}, of hidden logits, while the predictions have {true:.3g}"
        return "softmax over one unit is 1 whatever its input" + hidden * (not np.isclose(says, true, 0.1, 1e-3))
    if seen.task.kind == "regression":
        return _numbers_are_wrong(seen, low, high)
    if seen.logits or seen.loss in _SIDES:
        takes = "logits, any number" if seen.logits else "numbers on both sides of 0"
        wrong = np.isfinite(low) and (seen.logits or low >= 0)
        return f"the loss takes {takes}, and {end} gives {low:g} to {high:g}" * bool(wrong)
    if seen.task.kind in ("one-hot", "labels"):
        return f"{end} makes no probabilities that add up to 1 over {seen.task.classes} classes"
    together = "what softmax gives adds up to 1, over outputs that may be 1 together"
    return together if end == "softmax" else f"{end} makes no probabilities, which targets of 0 and 1 ask for"


def _numbers_are_wrong(seen: Evidence, low: float, high: float) -> str:
    """Say why an end that gives numbers in such a range does not fit targets that are numbers."""
    least, most = float(seen.setup.y.min()), float(seen.setup.y.max())
    if seen.loss == "poisson" and low < 0:
        return f"poisson takes the logarithm of the predictions, and {seen.end} gives numbers below 0"
    if least < low - 1e-6 or most > high + 1e-6:
        return f"{seen.end} gives numbers from {low:g} to {high:g}, and the targets run from {least:.4g} to {most:.4g}"
    dead = seen.end in CUT and seen.after[-1].zero >= 0.99
    return f"{seen.end} gives 0 for every row, and its slope there is 0 too" * dead


def _with(change: Change, suspicion: Suspicion | None) -> list[Change]:
    """Return a change together with each of another suspicion."""
    _, others = suspicion or ("", [])
    return [Change(f"{change.code}; {other.code}", {**other.fields, **change.fields}) for other in others]


def loss(seen: Evidence) -> Suspicion | None:
    """See a loss for another kind of problem, or for another kind of end."""
    kind, wanted = seen.task.kind, seen.task.asks.loss
    if not seen.loss or not kind:
        return None
    end = seen.end or ("softmax" if kind == "regression" or _probable(seen) else "linear")  # by its numbers
    ends_in_logits = end == "linear" and kind != "regression"
    if seen.loss != wanted:
        if kind == "regression" and "entropy" not in seen.loss and "hinge" not in seen.loss and not _unfit(seen):
            return None
        words = f"the targets are of the kind {kind}, and {seen.loss} is not their loss"
    elif kind == "regression" or seen.logits == ends_in_logits or end not in ("linear", "softmax", "sigmoid"):
        return None
    else:
        given = "logits, any number" if ends_in_logits else "probabilities"
        words = f"the model ends in {end}, which gives {given}" if seen.end else f"the model gives {given}"
        words += f", and the loss has from_logits={seen.logits}"
    options = {} if kind == "regression" else {"from_logits": ends_in_logits}
    name = wanted.title().replace("_", "")
    code = f"loss=keras.losses.{name}({''.join(f'{key}={value}' for key, value in options.items())})"
    return words, [Change(code, {"loss": getattr(keras.losses, name)(**options)})]


def _probable(seen: Evidence) -> bool:
    """Whether all predictions of the start are from 0 to 1, and those of classes add up to 1."""
    inputs, _ = seen.setup.tensors(slice(256))
    given = np.asarray(seen.bench.way(seen.setup).problem.predict(inputs, training=False), np.float64)
    within = given.min() >= 0 and given.max() <= 1
    return bool(within and (seen.task.kind == "binary" or np.allclose(given.sum(-1), 1, atol=1e-3)))


def _unfit(seen: Evidence) -> bool:
    """Whether a loss for numbers is none for these: a share of what is near 0, a logarithm, a sign, or a median."""
    y = np.abs(seen.setup.y)
    if seen.loss == "mean_absolute_error":  # its best guess is the number that more than half of the targets are
        return bool(np.mean(seen.setup.y == np.median(seen.setup.y)) > 0.5)
    if seen.loss == "cosine_similarity":  # over one output
        return True
    if seen.loss == "mean_absolute_percentage_error":
        return bool(y.min() < 0.02 * y.mean())
    return seen.loss in ("mean_squared_logarithmic_error", "poisson") and bool(seen.setup.y.min() < 0)


def own_loss(seen: Evidence) -> Suspicion | None:
    """See a loss of your own for which the targets of other rows are predictions as good as the right ones, or better."""
    own, kind, problem = seen.setup.loss, seen.task.kind, seen.bench.way(seen.setup).problem
    if seen.loss or not callable(own) or not kind or problem.examples < 8:
        return None
    rng = np.random.default_rng(0)
    rows = rng.permutation(problem.examples)[:256]
    inputs, targets = seen.setup.tensors(rows)
    predicted, right = problem.predict(inputs, training=False), np.asarray(targets)
    right = np.eye(seen.task.classes)[right.astype(int).ravel()] if kind == "labels" else right
    right = right.reshape(predicted.shape).astype(predicted.dtype.as_numpy_dtype)
    answers = map(tf.constant, (right, rng.permutation(right)))
    losses = (problem.loss_of(inputs, targets, one, training=False) for one in answers)
    best, other = (float(problem.mean(one)) for one in losses)
    if not other <= best + 1e-6 * max(abs(best), 1):
        return None
    words = f"for predictions that are the targets it is {best:.3g}, and {other:.3g} for the targets of other rows"
    turned = Change("the loss with the other sign", {"loss": lambda targets, given: -own(targets, given)})
    usual = Change(f"loss={seen.task.asks.loss!r}", {"loss": seen.task.asks.loss})
    return words, [turned] * (other < best - 1e-3) + [usual]


def mildly_unscaled_inputs(seen: Evidence) -> Suspicion | None:
    """See columns that lie to one side of 0, as those from 0 to 1 do, or of unlike sizes."""
    return unscaled_inputs(seen, aside=1.2, apart=30)


def unscaled_inputs(seen: Evidence, aside: float = np.inf, apart: float = np.inf) -> Suspicion | None:
    """See inputs whose size or spread is far from 1, or whose columns lie so many spreads aside or are so far apart."""
    scaled, codes, words, places = list[Any](), list[str](), "", look.has_table(seen.bench.model)
    for name, x in leaves("x", seen.setup.x):
        scaled.append(x)
        if x.dtype.kind not in "fiu" or (places and np.all(x == np.floor(x))):  # which may be places in a table
            continue
        (mean, deviation), deviations = look.spread(x), x.std(0, dtype=np.float64)
        least = deviations.min(initial=deviation, where=deviations > 0)
        mild = x.ndim == 2 and (mean > aside * deviation or least < deviation / apart)
        kinds = np.all(x == np.floor(x))  # whole numbers may stand for kinds
        if not (0.1 <= deviation <= 4 and mean <= 4) or (mild and not kinds):
            scaled[-1], code = look.standardised(x, name)
            codes.append(code)
            words = words or (
                f"columns of {name} have means up to {mean:.3g} and standard deviations of {least:.3g} to {deviation:.3g}; "
                "they should be near 0 and 1"
            )
    if not words:
        return None
    change = Change("; ".join(codes), {"x": keras.tree.pack_sequence_as(seen.setup.x, scaled)})
    return words, [change, *_with(change, unscaled_targets(seen))]


def rescaling(seen: Evidence) -> Suspicion | None:
    """See a Rescaling that takes the inputs far from 1, as where they were scaled before."""
    found = [one for one in seen.bench.model._flatten_layers() if type(one).__name__ == "Rescaling"]
    sizes = [look.spread(x)[1] for _, x in leaves("x", seen.setup.x) if x.dtype.kind in "fiu"]
    scale = float(np.prod([np.max(np.abs(one.scale)) for one in found]))
    if not found or not sizes or 0.02 < scale * max(sizes) < 10:
        return None
    names = ", ".join(repr(one.name) for one in found)
    words = f"{names} takes inputs with a standard deviation of up to {max(sizes):.3g} to {scale * max(sizes):.2g}"
    plain = [Altered(one, name, value) for one in found for name, value in (("scale", 1.0), ("offset", 0.0))]
    change = altering(f"no Rescaling: scale=1 in {names}", plain)
    return words, [change, *_with(change, unscaled_inputs(seen))]


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
