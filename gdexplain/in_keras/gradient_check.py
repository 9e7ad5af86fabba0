"""Is this gradient right? Every way of taking it, compared, with a verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdexplain._checks import positive_int, seed_of
from gdexplain.by_hand.backprop import loss_function, numerical_gradient, trace_backprop
from gdexplain.by_hand.network import Dense, flat_parameters
from gdexplain.in_keras.arrays import as_pair
from gdexplain.record import Layout

if TYPE_CHECKING:
    import keras

    from gdexplain.in_keras.objective import KerasObjective

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
_FLOOR = 1e-3  # a gradient this much smaller than the largest one is not held to its own scale


class _Precision(NamedTuple):
    """What a comparison in one dtype can tell."""

    passes: float  # an error up to this is rounding
    # What rounding does to a gradient, as a share of the loss there and of the loss at half these weights, over the
    # error that passes. The first is a central difference's alone; the second is all that is left where the loss is 0.
    noise: float
    rounding: float
    step: float | None  # of a central difference; None: the one that numerical_gradient chooses
    steps: tuple[float, ...]  # others, for the parameters where that one steps across a kink
    beside: float  # how far away a kink at the point itself is out of reach


_PRECISIONS = {
    "float64": _Precision(1e-7, 4e-4, 4e-9, None, (4e-7, 2.5e-8), 1e-3),
    "float32": _Precision(1e-2, 0.03, 1e-4, 5e-3, (2e-2, 1e-3), 2e-2),
}


class _Pair(NamedTuple):
    """Two ways of taking one gradient: both are functions of theta and of the parameters that are asked for."""

    name: str
    first: Callable[[Array], Array]
    second: Callable[[Array, Indices, float | None], Array]
    chosen: Indices
    exact: bool  # whether neither of them is a difference of losses


@dataclass(frozen=True, eq=False)
class GradientReport:
    """How far the gradients of one model on one data set are from each other.

    Parameters
    ----------
    title : str
        What was checked.
    loss : float
        The loss there.
    differences : mapping of str to float
        The largest relative error of each pair, such as ``"trace vs GradientTape"``.
    worst : str
        The parameter in which the largest of them stands.
    checked, parameters : int
        How many parameters the difference quotients took, out of how many.
    precision : str
        ``"float64"`` or ``"float32"``: what the comparison was made in.
    notes : tuple of str
        What else to know, such as why there is no trace.
    kinks : tuple of str
        The parameters at which the loss has a kink (relu, mae, max-pooling) at this point, or closer than the step of
        the difference quotients. They agree with a smaller step, or a little beside the point.
    """

    title: str
    loss: float
    differences: Mapping[str, float]
    worst: str
    checked: int
    parameters: int
    precision: str = "float64"
    notes: tuple[str, ...] = ()
    kinks: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest relative error of all pairs."""
        return max(self.differences.values())

    @property
    def verdict(self) -> str:
        """What the largest error means, by the thresholds of CS231n where no kink explains it."""
        verdict = _verdict(self.largest, self.worst, self.precision)
        if not self.kinks:
            return verdict
        count, first = len(self.kinks), self.kinks[0]
        which = f"{count} parameters, such as {first}" if count > 1 else first
        return f"{verdict} The loss has a kink (relu, mae, max-pooling) or a steep curve right here at {which}."

    def __repr__(self) -> str:
        """Return the table and the verdict."""
        head = f"{self.title}: loss {self.loss:.6g}, {self.checked} of {self.parameters} parameters, {self.precision}"
        width = max(map(len, self.differences))
        rows = [f"  {pair:<{width}}  {error:.1e}" for pair, error in self.differences.items()]
        return "\n".join([head, *rows, *(f"  {note}" for note in self.notes), f"  {self.verdict}"])


def check_gradients(
    model_or_layers: keras.Model | Sequence[Dense],
    dataset: Any,
    *,
    loss: Any = None,
    at_most: int = 100,
    seed: int = 0,
) -> GradientReport:
    r"""Compare backpropagation by hand, difference quotients and GradientTape on a model of yours.

    .. math:: \text{error} = \max_i \frac{|a_i - b_i|}{\max(\lVert a \rVert_\infty, \lVert b \rVert_\infty)}

    Parameters
    ----------
    model_or_layers : keras.Model or sequence of Dense
        A built Keras model of any kind, or a stack as arrays. It is not changed.
    dataset : Dataset or (x, y)
        A few examples are enough; for a Keras model whatever `train` takes.
    loss : str, callable, keras.losses.Loss, or a list or dict of them, optional
        The loss; by default the one that the model was compiled with, or ``"mse"`` where there are targets.
    at_most : int
        How many parameters the difference quotients take; of a larger model, a random choice.
    seed : int
        Seed of that choice.

    Returns
    -------
    GradientReport
        The largest relative error of each pair of gradients, and a verdict in words; readable when printed.

    Raises
    ------
    TypeError, ValueError
        As `trace_backprop` and `KerasObjective`; or if the model gives two losses for the same weights.

    Notes
    -----
    A model of fewer digits is evaluated in float64, where a check can tell a mistake from rounding: the live model
    itself, with float64 values for its weights. Where an operation insists on float32, the comparison is made in
    float32, whose floor is near 5e-5. A stack of Dense layers is also traced by hand; of any other model GradientTape
    is held against central differences. The error is taken array by array (each kernel, each bias), against the array's
    largest entry, or a thousandth of the whole gradient's where that is larger: below it, a difference quotient shows
    its own rounding. Where two gradients differ, the step is made smaller, and the weights are moved a little: a kink
    is out of reach then, a mistake is not. The model runs as in ``evaluate`` (``training=False``), with Keras' random
    numbers the same each time.

    References
    ----------
    .. [1] A. Karpathy, "Gradient checks", CS231n course notes, Stanford University.

    Examples
    --------
    >>> from gdexplain import Dense, check_gradients, make_line
    >>> report = check_gradients([Dense([[0.0]], [0.0])], make_line())
    >>> report.verdict
    'Right: the gradients agree to 1e-7 or better.'
    """
    positive_int("at_most", at_most)
    seed = seed_of("seed", seed)
    if not isinstance(model_or_layers, Sequence):
        return _check_model(model_or_layers, dataset, loss, at_most, seed)
    (inputs, targets), name, layers = as_pair(dataset), "mse" if loss is None else loss, list(model_or_layers)
    trace = trace_backprop(layers, inputs, targets, loss=name)
    chosen = _choose(len(trace.gradient), at_most, seed)
    pairs, value = (
        _trace_pairs(layers, inputs, targets, name, chosen),
        loss_function(layers, inputs, targets, loss=name),
    )
    return _report("layers", pairs, value, flat_parameters(layers), _layout(layers), "float64", ())


def _check_model(model: Any, dataset: Any, loss: Any, at_most: int, seed: int) -> GradientReport:
    """Check a Keras model: in float64 where it can compute so, by hand too where it is a dense stack."""
    from gdexplain.in_keras import objective as in_tensorflow  # Keras is loaded for a Keras model only

    loss = getattr(model, "loss", None) if loss is None else loss
    loss = "mse" if loss is None and as_pair(dataset)[1] is not None else loss  # without targets a model has its own
    objective, precision, notes = _precise(in_tensorflow.KerasObjective(model, dataset, loss=loss))
    theta = objective.theta
    chosen = _choose(len(theta), at_most, seed)

    def tape(at: Array) -> Array:
        return objective.value_and_grad(at)[1]

    pairs = [_Pair("GradientTape vs central differences", tape, _quotients(objective.value), chosen, exact=False)]
    try:
        traced = _traced(model, objective, in_tensorflow.loss_name(loss), chosen)
        every = np.arange(len(theta))
        pairs = [_Pair("trace vs GradientTape", traced[0].first, lambda at, _, __: tape(at), every, exact=True), *pairs]
        pairs += traced
    except (TypeError, ValueError) as error:
        notes.append(f"Not traced by hand: {error}")
    return _report(model.name, pairs, objective.value, theta, objective.layout, precision, notes)


def _precise(objective: KerasObjective) -> tuple[KerasObjective, str, list[str]]:
    """Return the objective with as many digits as it can have, how many these are, and what to say of it."""
    theta, notes = objective.theta, list[str]()
    if objective.value(theta) != objective.value(theta):
        raise ValueError(
            "model must give one loss for the same weights, but it gives another each time: a layer draws random numbers "
            "that no keras.random.SeedGenerator holds."
        )
    if objective.precision == "float32":
        try:
            objective = objective.in_float64()
            notes.append("Compared in float64, by the float32 model itself.")
        except ValueError as error:
            return objective, "float32", [f"Compared in float32, whose floor is near 5e-5: {error}"]
    if _is_rough(objective.value, theta):
        return objective, "float32", ["Compared in float32, whose floor is near 5e-5: the model rounds on its way."]
    return objective, "float64", notes


def _is_rough(value: Callable[[Array], float], theta: Array) -> bool:
    """Say whether a loss rounds more than float64 does: on a short straight path it jumps where it should be smooth.

    The path lies a little beside the point, where an exact fit does not make the loss vanish. Float32 somewhere on the
    way leaves 1e-8 of the loss or more, float64 about 1e-13; few of the fourth differences see a kink.
    """
    away, along = np.random.default_rng(0).standard_normal((2, len(theta)))
    path = np.array([value(theta + 1e-2 * away + 2e-7 * place * along) for place in range(13)])
    return bool(np.median(np.abs(np.diff(path, 4))) > 1e-10 * np.abs(path).max())


def _traced(model: Any, objective: KerasObjective, name: str, chosen: Indices) -> list[_Pair]:
    """Return the comparisons of the trace, if the model is a dense stack and its loss one that is known by hand."""
    from gdexplain.in_keras.builders import as_layers

    layers, (inputs, targets) = as_layers(model), objective.arrays
    if not name:
        raise ValueError("the loss has no twin there.")
    rows = np.asarray(inputs).reshape(objective.size, -1)
    by_hand = trace_backprop(layers, rows, targets, loss=name).loss
    value = objective.value(objective.theta)
    if not np.isclose(by_hand, value, rtol=1e-3, atol=1e-12):
        raise ValueError(f"the layers as arrays have the loss {by_hand:.6g}, the model has {value:.6g}.")
    return _trace_pairs(layers, rows, targets, name, chosen)


def _trace_pairs(layers: Sequence[Dense], inputs: Any, targets: Any, loss: str, chosen: Indices) -> list[_Pair]:
    """Hold the trace against central differences and the complex step."""
    function = loss_function(layers, inputs, targets, loss=loss)

    def trace(theta: Array) -> Array:
        return trace_backprop(_with(layers, theta), inputs, targets, loss=loss).gradient

    return [
        _Pair("trace vs central differences", trace, _quotients(function), chosen, exact=False),
        _Pair("trace vs complex step", trace, _quotients(function, "complex"), chosen, exact=True),
    ]


def _with(layers: Sequence[Dense], theta: Array) -> list[Dense]:
    """Return the layers with other weights."""
    parts = iter(_cut(theta, [array.size for layer in layers for array in layer.arrays]))
    arrays = [[next(parts).reshape(array.shape) for array in layer.arrays] for layer in layers]
    return [
        Dense(both[0], both[1] if len(both) > 1 else None, layer.activation)
        for both, layer in zip(arrays, layers, strict=True)
    ]


def _choose(size: int, at_most: int, seed: int) -> Indices:
    """Choose the parameters whose difference quotients are taken."""
    return np.sort(np.random.default_rng(seed).permutation(size)[:at_most])


def _quotients(function: Callable[[Any], Any], method: str = "central") -> Callable[..., Array]:
    """Write the difference quotients in some parameters as a function of theta, these parameters and the step."""

    def quotients(theta: Array, chosen: Indices, step: float | None) -> Array:
        def restricted(part: Array) -> Any:
            whole = theta.astype(part.dtype)
            whole[chosen] = part
            return function(whole)

        return numerical_gradient(restricted, theta[chosen], method=method, h=None if method == "complex" else step)

    return quotients


def _errors(
    pair: _Pair,
    theta: Array,
    chosen: Indices,
    value: Callable[[Any], Any],
    layout: Layout,
    precision: _Precision,
    step: float | None,
) -> Array:
    """Return the relative error of each chosen parameter: against its array's largest entry, or what rounding leaves."""
    first, second = pair.first(theta), pair.second(theta, chosen, step)
    loss = abs(float(np.real(value(theta))))
    noise = precision.rounding * abs(float(np.real(value(theta / 2))))
    if not pair.exact:
        noise = max(noise, precision.noise * loss)
    sizes = [int(np.prod(shape)) for _, shape in layout]
    scale = np.concatenate(
        [np.full(size, np.abs(part).max()) for size, part in zip(sizes, _cut(first, sizes), strict=True)]
    )
    scale = np.maximum(np.maximum(scale, max(_FLOOR * np.abs(first).max(), noise))[chosen], np.abs(second))
    difference = np.abs(first[chosen] - second)
    if step is not None and precision.step is None:  # a smaller step than the best one lets more rounding through
        difference = np.maximum(difference - 20 * np.finfo(np.float64).eps * loss / step, 0.0)
    errors: Array = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0)
    return errors


def _cut(flat: Array, sizes: Sequence[int]) -> list[Array]:
    """Cut a flat gradient into its arrays."""
    return np.split(flat, np.cumsum(sizes)[:-1])


def _compare(
    pair: _Pair, theta: Array, value: Callable[[Any], Any], layout: Layout, precision: _Precision
) -> tuple[Array, Indices]:
    """Return the error of each chosen parameter, and the parameters where a kink had to be stepped around."""

    def errors(at: Array, chosen: Indices) -> Array:
        steps = (precision.step,) if pair.exact else (precision.step, *precision.steps)
        least = np.full(len(chosen), np.inf)
        for step in steps:
            left = least > precision.passes
            if np.any(left):
                least[left] = np.minimum(least[left], _errors(pair, at, chosen[left], value, layout, precision, step))
        return least

    here = _errors(pair, theta, pair.chosen, value, layout, precision, precision.step)
    least = here.copy()
    left = least > precision.passes
    if np.any(left):
        least[left] = errors(theta, pair.chosen[left])
    for seed in range(3):
        left = least > precision.passes
        if np.any(left):
            nudge = np.random.default_rng(seed).standard_normal(len(theta)) * (1 + np.abs(theta))
            beside = errors(theta + precision.beside * nudge, pair.chosen[left])
            least[left] = np.where(beside <= precision.passes, beside, least[left])
    return least, pair.chosen[(here > precision.passes) & (least <= precision.passes)]


def _layout(layers: Sequence[Dense]) -> Layout:
    """Name the arrays of a stack as a reader writes them."""
    return tuple(
        (f"layers[{place}].{name}", array.shape)
        for place, layer in enumerate(layers)
        for name, array in zip(("weights", "bias"), layer.arrays, strict=False)
    )


def _report(
    title: str,
    pairs: Sequence[_Pair],
    value: Callable[[Any], Any],
    theta: Array,
    layout: Layout,
    precision: str,
    notes: Sequence[str],
) -> GradientReport:
    """Make the comparisons and write the report of them."""
    differences, worst, kinks = {}, (-1.0, 0), set[int]()
    for pair in pairs:
        errors, kinked = _compare(pair, theta, value, layout, _PRECISIONS[precision])
        place = int(np.argmax(errors))
        differences[pair.name] = float(errors[place])
        worst = max(worst, (float(errors[place]), int(pair.chosen[place])), key=lambda gap: gap[0])
        kinks |= set(kinked.tolist())
    return GradientReport(
        title,
        float(np.real(value(theta))),
        differences,
        _entry(layout, worst[1]),
        len(pairs[-1].chosen),
        len(theta),
        precision,
        tuple(notes),
        tuple(_entry(layout, place) for place in sorted(kinks)),
    )


def _entry(layout: Layout, place: int) -> str:
    """Name one parameter by its array and its place there."""
    sizes = [int(np.prod(shape)) for _, shape in layout]
    which = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
    name, shape = layout[which]
    return f"{name}[{', '.join(str(int(i)) for i in np.unravel_index(place - sum(sizes[:which]), shape))}]"


def _verdict(largest: float, worst: str, precision: str) -> str:
    """Say what the largest error means."""
    if precision == "float32":
        if largest <= _PRECISIONS[precision].passes:
            return "Right, as far as float32 can tell."
    elif largest <= _PRECISIONS[precision].passes:
        return "Right: the gradients agree to 1e-7 or better."
    elif largest <= 1e-4:
        return f"Uncomfortable: {largest:.1e} at {worst}, too far apart for float64, and no kink explains it."
    return f"Wrong, very probably: the gradients differ by {largest:.1e} at {worst}, and no kink explains it."
