"""Is this gradient right? Every way of taking it, compared, with a verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdexplain._checks import positive_int
from gdexplain.backprop import loss_function, numerical_gradient, trace_backprop
from gdexplain.network import Dense, flat_parameters

if TYPE_CHECKING:
    import keras

    from gdexplain.data import Dataset

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Layout = tuple[tuple[str, tuple[int, ...]], ...]
_FLOOR = 1e-3  # a gradient this much smaller than the largest one is not held to its own scale
# What rounding does to a gradient, as a share of the loss there and of the loss at half these weights, over the error
# that passes. The first is a central difference's alone; the second is all that is left where the loss is 0.
_NOISE = {"float64": 4e-4, "float32": 0.03}
_ROUNDING = {"float64": 4e-9, "float32": 1e-4}
_STEP = {"float64": None, "float32": 5e-3}  # None: the step that numerical_gradient chooses


class _Gap(NamedTuple):
    """The largest relative error of one pair of gradients, and the parameter where it stands."""

    name: str
    error: float
    place: int


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
    """

    title: str
    loss: float
    differences: Mapping[str, float]
    worst: str
    checked: int
    parameters: int
    precision: str = "float64"
    notes: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest relative error of all pairs."""
        return max(self.differences.values())

    @property
    def verdict(self) -> str:
        """What the largest error means, by the thresholds of CS231n."""
        return _verdict(self.differences, self.worst, self.precision)

    def __repr__(self) -> str:
        """Return the table and the verdict."""
        head = f"{self.title}: loss {self.loss:.6g}, {self.checked} of {self.parameters} parameters, {self.precision}"
        width = max(map(len, self.differences))
        rows = [f"  {pair:<{width}}  {error:.1e}" for pair, error in self.differences.items()]
        return "\n".join([head, *rows, *(f"  {note}" for note in self.notes), f"  {self.verdict}"])


def check_gradients(
    model_or_layers: keras.Model | Sequence[Dense],
    dataset: Dataset,
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
        A built Keras model of any kind with one input and one output, or a stack as arrays. It is not changed.
    dataset : Dataset
        A few examples are enough.
    loss : str, callable or keras.losses.Loss, optional
        The loss; by default the one that the model was compiled with, or ``"mse"``.
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
        As `trace_backprop` and `KerasObjective`.

    Notes
    -----
    A float32 model is copied into float64, where a check can tell a mistake from rounding. A model that cannot be
    copied is compared in float32, whose floor is near 5e-5. A stack of Dense layers is also traced by hand; of any
    other model GradientTape is held against central differences. The error is taken array by array (each kernel, each
    bias), against the array's largest entry, or a thousandth of the whole gradient's where that is larger: below it,
    a difference quotient shows its own rounding. The model runs as in ``evaluate`` (``training=False``).

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
    if isinstance(model_or_layers, Sequence):
        layers, name = list(model_or_layers), loss or "mse"
        trace = trace_backprop(layers, dataset.inputs, dataset.targets, loss=name)
        chosen = _choose(len(trace.gradient), at_most, seed)
        layout = _layout(layers)
        gaps = _trace_gaps(layers, dataset, name, layout, chosen)
        return _report("layers", trace.loss, gaps, layout, len(chosen), "float64", ())
    return _check_model(model_or_layers, dataset, loss, at_most, seed)


def _check_model(model: Any, dataset: Dataset, loss: Any, at_most: int, seed: int) -> GradientReport:
    """Check a Keras model: in float64 where it can be copied, by hand too where it is a dense stack."""
    from gdexplain import models  # Keras is loaded for a Keras model only

    loss = loss or getattr(model, "loss", None) or "mse"
    objective, notes = models.KerasObjective(model, dataset, loss=loss), []
    if objective.precision == "float32":
        try:
            objective = models.KerasObjective(models.in_float64(model), dataset, loss=loss)
            notes.append("Compared in float64, on a copy of the float32 model.")
        except ValueError as error:
            notes.append(f"Compared in float32, whose floor is near 5e-5: {error}")
    value, tape = objective.value_and_grad(objective.theta)
    chosen, precision = _choose(len(tape), at_most, seed), objective.precision
    central = _quotients(objective.value, objective.theta, chosen, "central", _STEP[precision])
    floor = _ROUNDING[precision] * abs(objective.value(objective.theta / 2))
    noise = max(floor, _NOISE[precision] * abs(value))
    gaps = [_gap("GradientTape vs central differences", tape, central, objective.layout, chosen, noise)]
    try:
        layers, name = models.as_layers(objective.model), models.loss_name(loss)
    except ValueError as error:
        layers, name = [], ""
        notes.append(f"Not traced by hand: {error}")
    if name and layers:
        trace = trace_backprop(layers, dataset.inputs, dataset.targets, loss=name).gradient
        tapes = _gap("trace vs GradientTape", trace, tape, objective.layout, np.arange(len(tape)), floor)
        gaps = [tapes, *gaps, *_trace_gaps(layers, dataset, name, objective.layout, chosen)]
    return _report(model.name, value, gaps, objective.layout, len(chosen), precision, notes)


def _trace_gaps(layers: Sequence[Dense], dataset: Dataset, loss: str, layout: Layout, chosen: Indices) -> list[_Gap]:
    """Hold the trace against central differences and the complex step."""
    trace = trace_backprop(layers, dataset.inputs, dataset.targets, loss=loss)
    function, theta = loss_function(layers, dataset.inputs, dataset.targets, loss=loss), flat_parameters(layers)
    floor = _ROUNDING["float64"] * abs(function(theta / 2))
    noises = {"central": max(floor, _NOISE["float64"] * abs(trace.loss)), "complex": floor}
    names = {"central": "trace vs central differences", "complex": "trace vs complex step"}
    return [
        _gap(name, trace.gradient, _quotients(function, theta, chosen, method), layout, chosen, noises[method])
        for method, name in names.items()
    ]


def _choose(size: int, at_most: int, seed: int) -> Indices:
    """Choose the parameters whose difference quotients are taken."""
    return np.sort(np.random.default_rng(seed).permutation(size)[:at_most])


def _quotients(
    function: Callable[[Any], Any], theta: Array, chosen: Indices, method: str, h: float | None = None
) -> Array:
    """Take the difference quotients in the chosen parameters."""

    def restricted(part: Array) -> Any:
        whole = theta.astype(part.dtype)
        whole[chosen] = part
        return function(whole)

    return numerical_gradient(restricted, theta[chosen], method=method, h=h)


def _gap(name: str, a: Array, b: Array, layout: Layout, chosen: Indices, noise: float) -> _Gap:
    """Compare the gradient a with b, which has the chosen entries only, array by array."""
    ends = np.cumsum([int(np.prod(shape)) for _, shape in layout])[:-1]
    scale = np.concatenate([np.full(part.size, np.abs(part).max()) for part in np.split(a, ends)])
    scale = np.maximum(scale, max(_FLOOR * np.abs(a).max(), noise))[chosen]
    difference, scale = np.abs(a[chosen] - b), np.maximum(scale, np.abs(b))
    errors = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0)
    place = int(np.argmax(errors))
    return _Gap(name, float(errors[place]), int(chosen[place]))


def _layout(layers: Sequence[Dense]) -> Layout:
    """Name the arrays of a stack as a reader writes them."""
    return tuple(
        (f"layers[{place}].{name}", array.shape)
        for place, layer in enumerate(layers)
        for name, array in zip(("weights", "bias"), layer.arrays, strict=False)
    )


def _report(
    title: str, loss: float, gaps: list[_Gap], layout: Layout, checked: int, precision: str, notes: Sequence[str]
) -> GradientReport:
    """Write the report of the gaps, the largest one last named."""
    sizes = [int(np.prod(shape)) for _, shape in layout]
    place = max(gaps, key=lambda gap: gap.error).place
    which = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
    name, shape = layout[which]
    entry = ", ".join(str(int(index)) for index in np.unravel_index(place - sum(sizes[:which]), shape))
    differences = {gap.name: gap.error for gap in gaps}
    return GradientReport(title, loss, differences, f"{name}[{entry}]", checked, sum(sizes), precision, tuple(notes))


def _verdict(differences: Mapping[str, float], worst: str, precision: str) -> str:
    """Say what the errors mean."""
    largest = max(differences.values())
    exact = [error for name, error in differences.items() if "central" not in name]
    if precision == "float32":
        if largest <= 1e-2:
            return "Right, as far as float32 can tell."
    elif largest <= 1e-7:
        return "Right: the gradients agree to 1e-7 or better."
    elif exact and max(exact) <= 1e-7:
        return (
            "Right: all agree to 1e-7 but the central differences, which step across a kink (relu or mae) "
            f"or a steep curve at {worst}."
        )
    elif largest <= 1e-4:
        return f"Right if the loss has kinks (relu, mae), too far apart for a smooth one: {largest:.1e} at {worst}."
    elif largest <= 1e-2:
        return f"Uncomfortable: {largest:.1e} at {worst}. A kink next to this point can do that; a mistake can too."
    return f"Wrong, very probably: the gradients differ by {largest:.1e} at {worst}."
