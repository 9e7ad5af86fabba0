"""Backpropagation told in equations: the symbols, the numbers put in, and the result, as text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gdexplain._checks import positive_int
from gdexplain.by_hand.functions import ACTIVATIONS, Array
from gdexplain.by_hand.network import LayerTrace

_MOST_TERMS = 8  # a longer sum is shortened in the middle
_LATEX = [  # in this order: a derivative is a fraction, then each name in it gets its layer and its place
    (r"\bd(L|\w\d*(?:\[[\d,]+\])?)/d(\w\d*(?:\[[\d,]+\])?)", r"\\frac{\\partial \1}{\\partial \2}"),
    ("mean of", "mean"),
    (r"(\d)e\+?(-?)0*(\d+)", r"\1 \\cdot 10^{\2\3}"),
    (r"\b(log|exp|tanh)\b", r"\\\1 "),
    ("_", r"\\_"),
    (r"(?<![\\\w])([a-z]{2,}(?:\\_[a-z]+)*)(?!\w)", r"\\operatorname{\1}"),
    (r"\b([wbzaxt])(\d+)", r"\1^{(\2)}"),
    (r"(?<!\))\[([\d,]+)\]", r"_{\1}"),
    ("×", r"\\times"), ("·", r"\\cdot"), ("²", "^2"), ("…", r"\\dots"),
]  # fmt: skip
_ERRORS = {  # one term of the loss, and its derivative
    **dict.fromkeys(("mse", "mean_squared_error"), ("({} - {})²", "2 ({} - {})")),
    **dict.fromkeys(("mae", "mean_absolute_error"), ("|{} - {}|", "sign({} - {})")),
}


@dataclass(frozen=True)
class Equation:
    """One equation of the two passes, with the numbers put in.

    Parameters
    ----------
    name : str
        What it computes, such as ``"dL/dw1[1,2]"``.
    text : str
        The equation on one line: symbols, numbers, result.
    value : float
        The result.
    """

    name: str
    text: str
    value: float

    def __str__(self) -> str:
        """Return the line of text."""
        return self.text

    @property
    def latex(self) -> str:
        """The same equation in LaTeX, without dollar signs."""
        said = self.text
        for pattern, latex in _LATEX:
            said = re.sub(pattern, latex, said)
        return said


class Explanation(tuple[Equation, ...]):
    """The equations of a trace in order: a tuple that prints one a line."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return one equation a line."""
        return "\n".join(equation.text for equation in self)

    __str__ = __repr__

    @property
    def latex(self) -> str:
        """All of them as one ``aligned`` block, without dollar signs."""
        rows = [equation.latex.replace("=", "&=", 1) for equation in self]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


class _Loss(NamedTuple):
    """What the telling needs to know of the loss: its value, its name, the targets as the outputs are laid out."""

    value: float
    name: str
    targets: Array


def explain_passes(
    loss: float, loss_name: str, targets: Array, layers: Sequence[LayerTrace], *, limit: int
) -> Explanation:
    """Tell both passes number by number, in at most about `limit` equations."""
    positive_int("limit", limit)
    size = sum(layer.weights.size + layer.weights.shape[1] + 4 * layer.output.size for layer in layers)
    if size > limit:
        raise ValueError(f"limit must be at least {size} to tell a net and data of this size, not {limit}.")
    sparse = loss_name.startswith("sparse")
    end = _Loss(loss, loss_name, np.eye(layers[-1].output.shape[1])[targets] if sparse else targets)
    forward = [equation for place in range(len(layers)) for equation in _forward_equations(layers, place)]
    backward = [
        equation for place in reversed(range(len(layers))) for equation in _backward_equations(layers, place, end)
    ]
    return Explanation([*forward, _loss_equation(layers, end), *backward])


def _name(layers: Sequence[LayerTrace], letter: str, place: int, *indices: int) -> str:
    """Name an entry of w, b (by unit) or z, a, x, t (by row and unit); an index that can only be 1 is left out."""
    at = layers[place]
    sizes = {"w": at.weights.shape, "b": at.weights.shape[1:], "x": at.inputs.shape}.get(letter, at.output.shape)
    places = [str(index + 1) for index, size in zip(indices, sizes, strict=True) if size > 1]
    number = str(place + 1) if len(layers) > 1 and letter in "wbza" else ""
    return letter + number + (f"[{','.join(places)}]" if places else "")


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}"


def _factor(value: float, first: bool = False) -> str:
    """Write a number inside a product or sum: a negative one in brackets unless it comes first."""
    return _number(value) if first or value >= 0 or _number(value) == "0" else f"({_number(value)})"


def _shorten(terms: list[str]) -> str:
    """Join the terms of a sum; a long sum keeps its ends."""
    return " + ".join(terms if len(terms) <= _MOST_TERMS else [*terms[:4], "…", terms[-1]])


def _equation(name: str, symbols: str, numbers: str, value: Any) -> Equation:
    """Write name = symbols = numbers = value; numbers that are the value already are not said twice."""
    middle = "" if numbers == _number(value) else f" = {numbers}"
    return Equation(name, f"{name} = {symbols}{middle} = {_number(value)}", float(value))


def _sum_of_products(name: str, terms: Sequence[Sequence[tuple[str, Any]]], value: Any) -> Equation:
    """Write name = sum of products of symbols = the same in numbers = value."""
    symbols = [" · ".join(symbol for symbol, _ in term) for term in terms]
    numbers = [
        " × ".join(_factor(factor, first=k == 0 and place == 0) for place, (_, factor) in enumerate(term))
        for k, term in enumerate(terms)
    ]
    return _equation(name, _shorten(symbols), _shorten(numbers), value)


def _forward_equations(layers: Sequence[LayerTrace], place: int) -> Iterator[Equation]:
    """Tell z = Σ w x + b and a = f(z) of one layer, row by row."""
    layer, below = layers[place], ("x", 0) if place == 0 else ("a", place - 1)
    for row, j in np.ndindex(layer.output.shape):
        terms = [
            [(_name(layers, "w", place, i, j), weight), (_name(layers, *below, row, i), layer.inputs[row, i])]
            for i, weight in enumerate(layer.weights[:, j])
        ]
        if layer.bias is not None:
            terms.append([(_name(layers, "b", place, j), layer.bias[j])])
        yield _sum_of_products(_name(layers, "z", place, row, j), terms, layer.pre_activation[row, j])
        yield _activation_equation(layers, place, row, j)


def _activation_equation(layers: Sequence[LayerTrace], place: int, row: int, j: int) -> Equation:
    """Tell a = f(z) of one unit; a softmax takes the whole row, and of its answer one place."""
    layer, a = layers[place], _name(layers, "a", place, row, j)
    value = layer.output[row, j]
    if layer.activation == "linear":
        return _equation(a, _name(layers, "z", place, row, j), _number(value), value)
    units, which = (range(layer.output.shape[1]), f"[{j + 1}]") if layer.activation == "softmax" else ([j], "")
    symbols = ", ".join(_name(layers, "z", place, row, k) for k in units)
    numbers = ", ".join(_number(layer.pre_activation[row, k]) for k in units)
    return _equation(a, f"{layer.activation}({symbols}){which}", f"{layer.activation}({numbers}){which}", value)


def _loss_equation(layers: Sequence[LayerTrace], end: _Loss) -> Equation:
    """Tell a squared or absolute error as the mean of its terms, any other loss by its name."""
    at_logits, last = layers[-1].d_output is None, layers[-1]
    letter = ("z" if at_logits else "a") + (str(len(layers)) if len(layers) > 1 else "")
    if end.name not in _ERRORS:
        return Equation("L", f"L = {end.name}({letter}, t) = {_number(end.value)}", end.value)
    term = _ERRORS[end.name][0]
    terms = [term.format(_number(a), _factor(t)) for a, t in zip(last.output.ravel(), end.targets.ravel(), strict=True)]
    if len(terms) == 1:
        return _equation("L", term.format(letter, "t"), terms[0], end.value)
    return _equation("L", f"mean of {term.format(letter, 't')}", f"({_shorten(terms)}) / {len(terms)}", end.value)


def _backward_equations(layers: Sequence[LayerTrace], place: int, end: _Loss) -> Iterator[Equation]:
    """Tell dL/da, dL/dz, dL/dw and dL/db of one layer."""
    layer, last = layers[place], place == len(layers) - 1
    for row, j in np.ndindex(layer.output.shape):
        yield _end_equation(layers, end, row, j) if last else _paths_equation(layers, place, row, j)
        if layer.d_output is not None:
            units = range(layer.output.shape[1]) if layer.activation == "softmax" else [j]
            terms = [_through(layers, place, (row, k, j), layer.d_output[row, k]) for k in units]
            yield _sum_of_products(f"dL/d{_name(layers, 'z', place, row, j)}", terms, layer.delta[row, j])
    for i, j in np.ndindex(layer.weights.shape):
        yield _parameter_equation(
            layers, place, _name(layers, "w", place, i, j), layer.inputs[:, i], layer.d_weights[i, j], j
        )
    for j, slope in enumerate([] if layer.d_bias is None else layer.d_bias):
        yield _parameter_equation(layers, place, _name(layers, "b", place, j), np.ones(len(layer.inputs)), slope, j)


def _end_equation(layers: Sequence[LayerTrace], end: _Loss, row: int, j: int) -> Equation:
    """Tell the derivative of the loss itself, in one output or logit."""
    place, last = len(layers) - 1, layers[-1]
    at_logits = last.d_output is None
    value = last.delta[row, j] if last.d_output is None else last.d_output[row, j]
    symbol, goal = _name(layers, "z" if at_logits else "a", place, row, j), _name(layers, "t", place, row, j)
    target, shown, form = end.targets[row, j], last.output[row, j], _ERRORS.get(end.name, ("", "({} - {})"))[1]
    count = len(end.targets) if "categorical" in end.name else last.output.size
    over, said = f" / {count}" if count > 1 else "", symbol
    if at_logits or end.name.endswith("from_logits"):
        squash = "sigmoid" if end.name.startswith("binary") else "softmax"
        met = at_logits and last.activation == squash  # the loss undoes what the layer did
        said = _name(layers, "a", place, row, j) if met else f"{squash}({symbol})"
        shown = value * count + target
    elif end.name not in _ERRORS:  # probabilities, of which the loss is no difference
        return Equation(f"dL/d{symbol}", f"dL/d{symbol} = {_number(value)}", value)
    return _equation(
        f"dL/d{symbol}", form.format(said, goal) + over, form.format(_number(shown), _factor(target)) + over, value
    )


def _paths_equation(layers: Sequence[LayerTrace], place: int, row: int, j: int) -> Equation:
    """Tell dL/da of a hidden unit: one path through each unit of the layer above, and their sum."""
    above, a = layers[place + 1], _name(layers, "a", place, row, j)
    tops = [_name(layers, "z", place + 1, row, k) for k in range(above.weights.shape[1])]
    terms = [[(f"dL/d{z}", above.delta[row, k]), (f"d{z}/d{a}", above.weights[j, k])] for k, z in enumerate(tops)]
    return _sum_of_products(f"dL/d{a}", terms, float(above.delta[row] @ above.weights[j]))


def _through(
    layers: Sequence[LayerTrace], place: int, at: tuple[int, int, int], upstream: Any
) -> list[tuple[str, Any]]:
    """List the two factors dL/da_k · ∂a_k/∂z_j of one path through an activation."""
    row, k, j = at
    layer, a = layers[place], _name(layers, "a", place, row, k)
    basis = np.eye(layer.output.shape[1])[k : k + 1]
    z, output = layer.pre_activation[row : row + 1], layer.output[row : row + 1]
    local = float(ACTIVATIONS[layer.activation].pull_back(basis, z, output)[0, j])
    return [(f"dL/d{a}", upstream), (f"d{a}/d{_name(layers, 'z', place, row, j)}", local)]


def _parameter_equation(
    layers: Sequence[LayerTrace], place: int, name: str, feeds: Array, value: Any, j: int
) -> Equation:
    """Tell dL/dw or dL/db: the whole chain for one row, the sum over the rows for several."""
    layer = layers[place]
    terms: list[list[tuple[str, Any]]] = []
    for row, feed in enumerate(feeds):
        z = _name(layers, "z", place, row, j)
        chain = [(f"dL/d{z}", layer.delta[row, j])]
        if len(feeds) == 1 and layer.d_output is not None and layer.activation != "softmax":
            chain = _through(layers, place, (row, j, j), layer.d_output[row, j])
        terms.append([*chain, (f"d{z}/d{name}", feed)])
    return _sum_of_products(f"dL/d{name}", terms, value)
