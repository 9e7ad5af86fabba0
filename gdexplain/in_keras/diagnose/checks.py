"""The table of checks: each a small function from the evidence to a suspicion, or none; a page explains its theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.measure import Layer, Run, Setup, names_of

Array = NDArray[Any]
_RANGES = {  # what an end can say
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, np.inf),
    "softplus": (0.0, np.inf),
    "exponential": (0.0, np.inf),
    "elu": (-1.0, np.inf),
}
_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")
_CUT = ("relu", "relu6")
INITIALISATION = "gallery/theory/plot_initialisation"
MISTAKES = "practice/common_mistakes"
RATE = "gallery/variants/plot_learning_rate"
SCALING = "gallery/variants/plot_feature_scaling"


@dataclass(frozen=True, eq=False)
class Change:
    """One thing done otherwise: the line of Keras that does it, and what it makes of a setup."""

    code: str
    make: Callable[[Setup], Setup]
    drawn: bool = False  # whether its start is drawn anew for each seed


@dataclass(frozen=True, eq=False)
class Suspicion:
    """A fault that the evidence points to, and the changes to try, of which the best is kept."""

    name: str
    evidence: str
    changes: Sequence[Change]
    page: str


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that was seen: before a step, and in the runs as they are."""

    setup: Setup
    task: look.Task
    model: Any
    loss: str  # Keras' name of the loss, "" for one of your own
    logits: bool
    gap: tuple[float, float]  # the loss that Keras computes, and that of the predictions
    total: int  # updates that the user's epochs make
    runs: tuple[Run, ...]
    limit: float  # 2 / sharpness at the start, infinite where it is flat
    rate: float  # of the optimizer, NaN if it has none
    falls: tuple[float, float]  # a schedule's rate at the first update and half-way; NaN of a number
    plain: bool  # whether the optimizer is SGD without momentum
    not_finite: str  # where the first such number comes from
    before: tuple[Layer, ...]
    after: tuple[Layer, ...]

    @property
    def examples(self) -> int:
        """How many rows there are."""
        return len(look.first(self.setup.x))

    @property
    def targets(self) -> Array:
        """The targets as numbers."""
        return np.asarray(self.setup.y, np.float64)

    @property
    def late_share(self) -> float:
        """How much of what the loss fell by it fell in the second half of the run; 0 if it did not fall."""
        losses = self.runs[0].loss.astype(np.float64)
        if len(losses) < 3:
            return 0.0
        width = max(1, len(losses) // 8)
        first, middle, last = (
            losses[at : at + width].mean() for at in (0, (len(losses) - width) // 2, len(losses) - width)
        )
        return float(np.clip((middle - last) / (first - last), 0, 1)) if first - last > 1e-6 * abs(first) else 0.0

    @property
    def vanishing(self) -> float:
        """The gradient of the first weights over that of the last, each as a share of its own size."""
        sizes = self.runs[0].sizes
        matrices = [place for place, array in enumerate(self.setup.start) if array.ndim >= 2]
        if len(matrices) < 3 or len(sizes) == 0:
            return 1.0
        share = np.median(sizes[:, 0] / np.maximum(sizes[:, 1], 1e-12), axis=0)
        return float(share[matrices[0]] / share[matrices[-1]]) if share[matrices[-1]] > 0 else 1.0

    @property
    def end(self) -> str:
        """The activation at the end, empty where it cannot be told."""
        last = look.last_layer(self.model)
        return look.activation_of(last) if last is not None else ""


def shifted_labels(seen: Evidence) -> Suspicion | None:
    """See rows whose targets belong to their neighbours in the file."""
    shift, told, now = look.best_shift(seen.setup.x, seen.setup.y)
    if shift == 0 or told < 0.3 or told < now + 0.25:
        return None
    y = np.roll(seen.setup.y, shift, axis=0)
    words = (
        f"like inputs should have like targets: of a row's target, the five nearest rows tell {max(now, 0):.0%} of the "
        f"variance, and {told:.0%} once the targets are moved by {shift:+d} row{'s' * (abs(shift) > 1)}"
    )
    change = Change(f"y = np.roll(y, {shift}, axis=0)", lambda setup: replace(setup, y=y))
    return Suspicion("labels shifted", words, [change], MISTAKES)


def output_activation(seen: Evidence) -> Suspicion | None:
    """See an end that cannot say what the targets ask for."""
    wanted = "linear" if seen.logits else seen.task.end
    if not seen.end or not wanted or seen.end == wanted:
        return None
    words = _end_is_wrong(seen)
    if not words:
        return None
    layer = look.last_layer(seen.model)
    change = Change(f"activation={wanted!r} in the last layer, {layer.name!r}", _with_activations({layer.name: wanted}))
    return Suspicion("output activation", words, [change], MISTAKES)


def _end_is_wrong(seen: Evidence) -> str:
    """Say why the end does not fit the targets or the loss; nothing if it does."""
    low, high = _RANGES.get(seen.end, (-np.inf, np.inf))
    least, most = float(seen.targets.min()), float(seen.targets.max())
    keras_says, true = seen.gap
    if seen.end == "softmax" and seen.task.kind in ("binary", "regression") and seen.after[-1].units == 1:
        words = "softmax over one unit is 1 whatever its input"
        if not np.isclose(keras_says, true, rtol=0.1, atol=1e-3):
            words += (
                f"; Keras reports the loss {keras_says:.3g}, of hidden logits, while the predictions have {true:.3g}"
            )
        return words
    if seen.task.kind == "regression":
        if least < low - 1e-6 or most > high + 1e-6:
            return (
                f"{seen.end} gives numbers from {low:g} to {high:g}, and the targets run from {least:.4g} to {most:.4g}"
            )
        dead = seen.end in _CUT and seen.after[-1].zero >= 0.99
        return f"{seen.end} gives 0 for every row, and its slope there is 0 too" if dead else ""
    if seen.logits:
        return (
            f"the loss takes logits, any number, and {seen.end} gives {low:g} to {high:g}" if np.isfinite(low) else ""
        )
    if seen.task.kind in ("one-hot", "labels"):
        return f"{seen.end} makes no probabilities that add up to 1 over {seen.task.classes} classes"
    return f"{seen.end} makes no probabilities, which targets of 0 and 1 ask for"


def loss(seen: Evidence) -> Suspicion | None:
    """See a loss for another kind of problem, or for another kind of end."""
    if not seen.loss or not seen.task.kind:
        return None
    ends_in_logits = seen.end == "linear" and seen.task.kind != "regression"
    if seen.loss == seen.task.loss:
        if (
            seen.logits == ends_in_logits
            or seen.task.kind == "regression"
            or seen.end not in ("linear", "softmax", "sigmoid")
        ):
            return None
        given = "logits, any number" if ends_in_logits else "probabilities"
        words = f"the model ends in {seen.end}, which gives {given}, and the loss has from_logits={seen.logits}"
    elif seen.task.kind == "regression" and "entropy" not in seen.loss and "hinge" not in seen.loss:
        return None
    else:
        words = f"the targets are of the kind {seen.task.kind}, and {seen.loss} is not their loss"
    import keras

    kind = {"regression": "MeanSquaredError", "binary": "BinaryCrossentropy", "one-hot": "CategoricalCrossentropy"}
    name = kind.get(seen.task.kind, "SparseCategoricalCrossentropy")
    option = "" if seen.task.kind == "regression" else f"from_logits={ends_in_logits}"
    made = getattr(keras.losses, name)(**({"from_logits": ends_in_logits} if option else {}))
    change = Change(f"loss=keras.losses.{name}({option})", lambda setup: replace(setup, loss=made))
    return Suspicion("loss", words, [change], MISTAKES)


def unscaled_inputs(seen: Evidence) -> Suspicion | None:
    """See inputs whose size or spread is far from 1."""
    x = seen.setup.x
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu" or seen.setup.scaled or look.has_table(seen.model):
        return None
    mean, deviation = look.spread(x)
    if 0.1 <= deviation <= 4 and mean <= 4:
        return None
    words = f"columns of x have means up to {mean:.3g} and standard deviations up to {deviation:.3g}; they should be near 0 and 1"
    scaled, code = look.standardised(x)
    changes = [Change(code, lambda setup: replace(setup, x=scaled, scaled=True))]
    other = unscaled_targets(seen)
    if other is not None:
        both = other.changes[0]
        changes.append(Change(f"{code}; {both.code}", lambda setup: replace(both.make(setup), x=scaled, scaled=True)))
    return Suspicion("unscaled inputs", words, changes, SCALING)


def unscaled_targets(seen: Evidence) -> Suspicion | None:
    """See targets of a regression whose size is far from 1."""
    if seen.task.kind != "regression":
        return None
    mean, deviation = look.spread(seen.setup.y)
    if np.any(seen.targets.std(0) == 0):  # nothing to divide by
        return None
    if 0.05 <= deviation <= 5 and mean <= 5:
        return None
    y = np.asarray(seen.setup.y)
    centre, scale = y.mean(0), y.std(0)
    scaled = ((y - centre) / scale).astype(y.dtype if y.dtype.kind == "f" else "float32")
    words = f"y has the mean {mean:.3g} and the standard deviation {deviation:.3g}; they should be near 0 and 1"
    code = "y = (y - y.mean(axis=0)) / y.std(axis=0)"
    change = Change(code, lambda setup: replace(setup, y=scaled, back=(centre, scale)))
    return Suspicion("unscaled targets", words, [change], SCALING)


def initialisation(seen: Evidence) -> Suspicion | None:
    """See weights that start equal, or far too small or large."""
    for name, array in zip(names_of(seen.model), seen.setup.start, strict=True):
        if not look.is_kernel(name, array):
            continue
        wanted = look.glorot(array.shape)
        deviation = float(array.std())
        if wanted / 5 <= deviation <= wanted * 5:
            continue
        words = f"{name} starts with a standard deviation of {deviation:.2g}; Glorot's rule gives {wanted:.2g}"
        if deviation == 0:
            words = f"every number in {name} starts at {array.flat[0]:g}, so that all units learn the same"
        return Suspicion("initialisation", words, [_DRAWN_ANEW], INITIALISATION)
    return None


_DRAWN_ANEW = Change("kernel_initializer='glorot_uniform', bias_initializer='zeros'", lambda setup: setup, drawn=True)


def _with_activations(activations: Mapping[str, str]) -> Callable[[Setup], Setup]:
    return lambda setup: replace(setup, activations={**setup.activations, **activations})


def dead_units(seen: Evidence) -> Suspicion | None:
    """See units that give 0 for every row, and so have no gradient, before a step has been made."""
    dead = [layer for layer in seen.before if layer.activation in _CUT and layer.zero >= 0.6]
    if not dead:
        return None
    words = f"{dead[0].zero:.0%} of the units of {dead[0].name!r} give 0 for every row before the first update; so their gradient is 0"
    leaky = {layer.name: "leaky_relu" for layer in seen.before if layer.activation in _CUT}
    changes = [_DRAWN_ANEW, Change("activation='leaky_relu'", _with_activations(leaky))]
    return Suspicion("dead units", words, changes, INITIALISATION)


def hidden_activation(seen: Evidence) -> Suspicion | None:
    """See layers that saturate, or that have no activation between them."""
    hidden = [layer for layer in seen.before if layer.name in {one.name for one in look.hidden_layers(seen.model)}]
    saturating = [layer for layer in hidden if layer.activation in _SATURATING]
    linear = [layer for layer in hidden if layer.activation == "linear" and layer.followed_by_weights]
    if linear and len(linear) == len(hidden):
        words = f"{linear[0].name!r} has no activation, and layers without one between them are no more than one layer"
        return _with_relu(linear, words)
    shared = [layer for layer in hidden if layer.activation == "softmax" and layer.followed_by_weights]
    if shared:
        return _with_relu(
            shared, f"what {shared[0].name!r} gives adds up to 1 in each row: softmax is for the last layer"
        )
    stuck = [layer for layer in seen.after if layer.activation in _SATURATING and layer.flat >= 0.5]
    stuck = [layer for layer in stuck if layer.name in {one.name for one in saturating}]
    if stuck:
        return _with_relu(
            saturating, f"{stuck[0].flat:.0%} of what {stuck[0].name!r} gives lies where {stuck[0].activation} is flat"
        )
    ratio = seen.vanishing
    if saturating and ratio < 0.05:
        words = f"the gradient of the first layer is {ratio:.1g} of the last one's: each {saturating[0].activation} makes it smaller"
        return _with_relu(saturating, words)
    return None


def _with_relu(layers: Sequence[Layer], words: str) -> Suspicion:
    make = _with_activations({layer.name: "relu" for layer in layers})
    changes = [Change("activation='relu' in the hidden layers", make)]
    changes.append(Change("activation='relu', kernel_initializer='glorot_uniform'", make, drawn=True))
    return Suspicion("hidden activation", words, changes, INITIALISATION)


def rate_too_high(seen: Evidence) -> Suspicion | None:
    """See steps beyond the stability limit, or as large as the weights themselves."""
    run = seen.runs[0]
    largest = float(run.ratio.max(initial=0.0))
    words = ""
    if run.diverged:
        words = f"the run stops being finite: {seen.not_finite}"
    elif run.loss.size and run.loss[-(len(run.loss) // 4 + 1) :].mean() > 1.2 * run.loss[0] and len(run.loss) > 3:
        words = f"the loss grows from {run.loss[0]:.3g} to {run.loss[-1]:.3g}"
    elif seen.plain and np.isfinite(seen.rate) and seen.rate > seen.limit:
        words = "plain gradient descent needs a rate below 2 / sharpness"
    elif largest > 0.1 or any(layer.zero > 0.9 for layer in seen.after if layer.activation in _CUT):
        words = f"an update is up to {largest:.2g} of the weights that it changes; 0.001 is usual"
    elif run.first_ratio > 0.3:
        words = f"one of the first updates is {run.first_ratio:.2g} of the weights that it changes"
    if not words:
        return None
    if np.isfinite(seen.rate) and np.isfinite(seen.limit):
        words += f" (rate {seen.rate:.3g}; 2 / sharpness at the start is {seen.limit:.3g})"
    return Suspicion("learning rate too high", words, _rates(seen, (0.1, 0.01, 0.001)), RATE)


def schedule(seen: Evidence) -> Suspicion | None:
    """See a schedule that has all but stopped the run half-way."""
    begin, middle = seen.falls
    if not middle < begin / 10:  # of a number, both are NaN
        return None
    words = f"half-way through the updates the schedule has taken the rate from {begin:.3g} to {middle:.2g}"
    change = Change(f"learning_rate={begin:.3g}, without a schedule", lambda setup: replace(setup, steady=True))
    return Suspicion("learning rate schedule", words, [change], RATE)


def rate_too_low(seen: Evidence) -> Suspicion | None:
    """See weights that hardly move, or a loss that falls as slowly at the end as at the start."""
    run = seen.runs[0]
    median = float(np.median(run.ratio)) if run.ratio.size else 0.0
    if run.diverged or (median > 2e-3 and seen.late_share < 0.3) or median > 0.05:
        return None
    words = f"an update is {median:.2g} of the weights, and {seen.late_share:.0%} of what the loss fell by it fell in the second half"
    return Suspicion("learning rate too low", words, _rates(seen, (10.0, 100.0, 1000.0)), RATE)


def _rates(seen: Evidence, factors: Sequence[float]) -> list[Change]:
    def code(factor: float) -> str:
        return (
            f"learning_rate={seen.rate * factor:.3g}"
            if np.isfinite(seen.rate)
            else f"the learning rate times {factor:g}"
        )

    def make(factor: float) -> Callable[[Setup], Setup]:
        return lambda setup: replace(setup, rate=setup.rate * factor)

    return [Change(code(factor), make(factor)) for factor in factors]


def batch_size(seen: Evidence) -> Suspicion | None:
    """See few updates an epoch: each costs a pass over a large batch."""
    size, per_epoch = seen.setup.batch_size, -(-seen.examples // seen.setup.batch_size)
    smaller = 32 if size > 64 else max(1, size // 8)
    if size <= 8 or per_epoch > 10 or seen.total > 2000:
        return None
    words = f"batches of {size} make {per_epoch} update{'s' * (per_epoch > 1)} an epoch and {seen.total} in all"
    updates = min(seen.setup.updates * -(-seen.examples // smaller) // per_epoch, 10 * max(seen.setup.updates, 200))
    change = Change(f"batch_size={smaller}", lambda setup: replace(setup, batch_size=smaller, updates=updates))
    return Suspicion("batch size", words, [change], "practice/which_optimizer")


def epochs(seen: Evidence) -> Suspicion | None:
    """See a run that stops while the loss is still falling as it did."""
    falling = seen.late_share >= 0.2
    if seen.setup.updates < seen.total or seen.total > 3000 or not (falling or seen.total <= 100):
        return None
    words = f"the run ends after {seen.total} updates"
    if falling:
        words += f", and {seen.late_share:.0%} of what the loss fell by it fell in the second half"
    factor = 10 if seen.total > 100 else 30
    change = Change(f"{factor} times as many epochs", lambda setup: replace(setup, updates=factor * setup.updates))
    return Suspicion("epochs", words, [change], "gallery/variants/plot_three_variants")


# In this order where their changes help alike: what is wrong before what is only slow.
PACE = ("learning rate too low", "batch size", "epochs")  # what makes a run slow, and not wrong
CHECKS: tuple[Callable[[Evidence], Suspicion | None], ...] = (
    shifted_labels,
    output_activation,
    loss,
    unscaled_inputs,
    unscaled_targets,
    dead_units,
    initialisation,
    hidden_activation,
    rate_too_high,
    schedule,
    rate_too_low,
    batch_size,
    epochs,
)
