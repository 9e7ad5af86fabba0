"""What the layers of a model give to suspect: how they start, where they saturate, and what holds them back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from gdexplain.in_keras.diagnose import look
from gdexplain.in_keras.diagnose.evidence import CUT, Change, Evidence, Suspicion, altering
from gdexplain.in_keras.diagnose.restore import Altered, activated, altered, normalisers
from gdexplain.in_keras.eye import innermost

_CELLS = ("SimpleRNNCell", "GRUCell", "LSTMCell")
_SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")
_FEW, _WIDE = 8, 64  # hidden units with which runs hardly get stuck, as a page measures, and many
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
    cut = [layer for layer in seen.before if layer.activation in CUT]
    dead = next((layer for layer in cut if layer.zero >= 0.6 and layer.units > 1), None)  # one unit is a matter of luck
    if dead is None:
        return None
    words = f"{dead.zero:.0%} of the units of {dead.name!r} give 0 for every row before the first update; so their gradient is 0"
    leaky = altering("activation='leaky_relu'", [activated(each.layer, "leaky_relu") for each in cut])
    return words, [_DRAWN_ANEW, leaky]


_HIDDEN = (  # what is said of the first of the layers that are bad, in the order of hidden_activation
    "{0.name!r} has the last weights, and its {0.activation} comes before the activation at the end",
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
    ending = next((one for one in reversed(seen.before) if one.layer.weights), None)  # after it stand no more weights
    twice = [one for one in hidden if one is ending and last is not None and one.activation != "linear"]
    cases = (  # the layers that are bad, and those to change
        (twice, twice),
        (linear if len(linear) == len(hidden) else [], linear),
        (shared, shared),
        (stuck, saturating),
        (saturating if seen.vanishing < 0.05 else [], saturating),
    )
    for (bad, changed), words in zip(cases, _HIDDEN, strict=True):
        if bad:
            new = "linear" if ending in changed and ending is not None and ending.layer is not last else "relu"
            where = repr(bad[0].name) if new == "linear" else "the hidden layers"
            relu = altering(f"activation={new!r} in {where}", [activated(one.layer, new) for one in changed])
            drawn = Change(f"activation={new!r}, kernel_initializer='glorot_uniform'", relu.fields, drawn=True)
            told = words.format(bad[0], flat=flat.get(bad[0].name, 0), ratio=seen.vanishing)
            return told, [relu, drawn]
    return None


def hidden_units(seen: Evidence) -> Suspicion | None:
    """See few hidden units, or none, in a model that is not to compress its inputs."""
    model, last, x = seen.bench.model, look.last_layer(seen.bench.model), seen.setup.x
    weighted = [one for one in model._flatten_layers(include_self=False, recursive=False) if one.weights]
    narrow = [one for one in weighted if one is not last and getattr(one, "units", _FEW) < _FEW]
    if (isinstance(x, np.ndarray) and np.array_equal(x, seen.setup.y)) or not (narrow or weighted == [last]):
        return None
    words, code = "no layer stands before the last one", f"Dense({_WIDE}, activation='relu') before the last layer"
    if narrow:
        least = min(narrow, key=lambda one: one.units)
        words = f"{least.name!r} passes on no more than {least.units} number{'s' * (least.units > 1)} of a row"
        code = f"units={_WIDE} in {_named(narrow)}, and activation='relu' where there is none"
    with contextlib.suppress(Exception):  # what Keras cannot build in another width
        return words, [Change(code, _wider(model, narrow))]
    return None


def _wider(model: Any, narrow: list[Any]) -> dict[str, Any]:
    """Return a copy of a model with more units in these layers, or before its only one, and weights to start from."""

    def copied(layer: Any) -> Any:
        config, more = layer.get_config(), keras.layers.Dense(_WIDE, "relu", name="wide")
        if layer in narrow:
            config |= {"units": _WIDE, "activation": config["activation"].replace("linear", "relu")}
        new = type(layer).from_config(config)
        return new if narrow or not layer.weights else keras.Sequential([more, new], name=layer.name)

    wide = keras.models.clone_model(model, clone_function=copied)
    for old, new in zip(model.variables, wide.variables, strict=True) if narrow else ():
        new.regularizer, new.constraint = old.regularizer, old.constraint
        if old.shape == new.shape:  # such as what a layer that is frozen holds
            new.assign(old)
    values = [np.array(one.numpy()) for one in wide.trainable_variables]
    kernels = [*map(look.is_kernel, (one.path for one in wide.trainable_variables), values)]
    return {"model": wide, "start": look.drawn_anew(values, kernels, 0)}


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
    change = altering(
        f"trainable = True for {_named(owners)}", [Altered(one, "_trainable", True) for one in layers + held]
    )
    with altered(change.fields["altered"]):
        start = tuple(np.array(variable.numpy()) for variable in seen.bench.model.trainable_variables)
    return words, [Change(change.code, {**change.fields, "start": start})]


def dropout(seen: Evidence) -> Suspicion | None:
    """See dropout that leaves little of a signal on its way to the last weights."""
    behind = look.behind_weights(seen.bench.model)
    found = [one for one in look.dropouts(seen.bench.model) if one[0] not in behind]
    left = float(np.prod([1 - rate for _, _, rate in found]))
    if left > 0.5:
        return None
    words = f"dropout or noise leaves {left:.2g} of a signal on its way through the layers in each update"
    much = [(layer, attribute) for layer, attribute, rate in found if rate > 0.1]
    code = f"{much[0][1]}=0.1 in {_named(layer for layer, _ in much)}"
    return words, [altering(code, [Altered(*each, 0.1) for each in much])]


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
    return (words, [altering(code, changes)]) if words else None


def recurrent(seen: Evidence) -> Suspicion | None:
    """See a recurrent layer whose state has no bounds, or can only grow: each row runs through it many times."""
    cells = [one for one in seen.bench.model._flatten_layers() if type(one).__name__ in _CELLS]
    other = [cell for cell in cells if cell.activation is not keras.activations.tanh]
    if not other:
        return None
    words = (
        f"{_named(other)} takes its state through {other[0].activation.__name__} at each place of a row; tanh is usual"
    )
    tanh = [Altered(cell, "activation", keras.activations.tanh) for cell in other]
    return words, [altering("activation='tanh' in the recurrent layers", tanh)]


def averages(model: keras.Model, error: float, stored: float) -> Suspicion | None:
    """See batch normalisation whose stored averages are not those of the data at the end of a run."""
    found = [(one, 0.9 if one.momentum > 0.9 else 0.5) for one in normalisers(model)]
    if not found or stored <= 2 * error + 0.2:
        return None
    words = (
        f"with the stored averages of batch normalisation, as predict uses them, the error is {stored:.3g}, and {error:.3g} "
        f"with those of the batch: at momentum={found[0][0].momentum:g} they need more updates than the run has"
    )
    return words, [altering(f"momentum={found[0][1]:g}", [Altered(one, "momentum", new) for one, new in found])]


def constraint(seen: Evidence) -> Suspicion | None:
    """See weights that are put back into bounds after each update."""
    held = [variable for variable in seen.bench.model.trainable_variables if variable.constraint is not None]
    if not held:
        return None
    code = ", ".join(dict.fromkeys(f"{one.name}_constraint=None" for one in held))
    many = f"{len(held)} arrays of weights are" if len(held) > 1 else "one array of weights is"
    words = f"{many} put back into the bounds of a constraint after each update"
    return words, [altering(code, [Altered(one, "_constraint", None) for one in held])]
