"""Backpropagation told step by step: the symbols, the numbers put in, and the result, as text and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from gdexplain._checks import positive_int
from gdexplain.by_hand.functions import ACTIVATIONS, EPSILON, Array

_MOST_TERMS = 8  # a longer sum is shortened in the middle


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer computed, forward and backward.

    Parameters
    ----------
    weights, bias : ndarray, shapes (fan_in, units) and (units,)
        The layer's arrays; bias is None for a layer without one.
    activation : str
        The name of f.
    inputs : ndarray, shape (N, fan_in)
        What came in: the output of the layer below.
    pre_activation : ndarray, shape (N, units)
        The weighted sum z, before the activation.
    output : ndarray, shape (N, units)
        The activation a = f(z).
    d_output : ndarray, shape (N, units), or None
        The slope dL/da; None where the loss was differentiated at the logits.
    delta : ndarray, shape (N, units)
        The slope dL/dz.
    d_weights, d_bias : ndarray, shapes (fan_in, units) and (units,)
        The slopes dL/dW and dL/db; d_bias is None for a layer without a bias.
    """

    weights: Array
    bias: Array | None
    activation: str
    inputs: Array
    pre_activation: Array
    output: Array
    d_output: Array | None
    delta: Array
    d_weights: Array
    d_bias: Array | None

    def __repr__(self) -> str:
        """Return the sizes, the activation and the size of delta."""
        fan_in, units = self.weights.shape
        return f"LayerTrace({fan_in} -> {units}, {self.activation!r}, |delta| {np.linalg.norm(self.delta):.4g})"


@dataclass(frozen=True)
class Step:
    """One step of the two passes, with the numbers put in.

    Parameters
    ----------
    name : str
        What the step computes, such as ``"dL/dw1[1,2]"``.
    text : str
        The equation on one line: symbols, numbers, result.
    latex : str
        The same in LaTeX, without dollar signs.
    value : float
        The result; in a step about a whole array, its Euclidean norm.
    """

    name: str
    text: str
    latex: str
    value: float

    def __str__(self) -> str:
        """Return the line of text."""
        return self.text


class Explanation(tuple[Step, ...]):
    """The steps of a trace in order: a tuple of `Step` that prints one step a line."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return one step a line."""
        return "\n".join(step.text for step in self)

    __str__ = __repr__

    @property
    def latex(self) -> str:
        """All steps as one ``aligned`` block, without dollar signs."""
        rows = [step.latex.replace("=", "&=", 1) for step in self]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


class _Symbol(NamedTuple):
    """One name in text and in LaTeX."""

    text: str
    latex: str


class _Names:
    """The names of a net's numbers: an index that can only be 1 is left out."""

    def __init__(self, layers: Sequence[LayerTrace]) -> None:
        self.layers, self.deep, self.many = layers, len(layers) > 1, len(layers[0].inputs) > 1

    def __call__(self, letter: str, layer: int, *indices: int) -> _Symbol:
        """Name an entry of w, b (by unit) or z, a, x, t (by row and unit); counts from 0, says from 1."""
        sizes = self._sizes(letter, layer)
        places = [index + 1 for index, size in zip(indices, sizes, strict=True) if size > 1]
        number = str(layer + 1) if self.deep and letter in "wbza" else ""
        joined = ",".join(map(str, places))
        latex = letter + (f"^{{({number})}}" if number else "") + (f"_{{{joined}}}" if places else "")
        return _Symbol(letter + number + (f"[{joined}]" if places else ""), latex)

    def _sizes(self, letter: str, layer: int) -> tuple[int, ...]:
        """Return how many values each index of a letter can have."""
        at = self.layers[layer]
        sizes = {"w": at.weights.shape, "b": at.weights.shape[1:], "x": at.inputs.shape}
        return sizes.get(letter, at.output.shape)

    def feed(self, layer: int, row: int, i: int) -> _Symbol:
        """Name input i of a layer: x, or the output of the layer below."""
        return self("x", 0, row, i) if layer == 0 else self("a", layer - 1, row, i)


def _slope(top: _Symbol, bottom: _Symbol) -> _Symbol:
    """Name a derivative."""
    return _Symbol(f"d{top.text}/d{bottom.text}", rf"\frac{{\partial {top.latex}}}{{\partial {bottom.latex}}}")


_L = _Symbol("L", "L")


def _number(value: float) -> str:
    """Write a number with four digits; a whole one without a point."""
    return f"{value + 0.0:.4g}"


def _factor(value: float, first: bool = False) -> str:
    """Write a number inside a product or sum: a negative one in brackets unless it comes first."""
    return _number(value) if first or value >= 0 or _number(value) == "0" else f"({_number(value)})"


def _latex(text: str) -> str:
    """Turn a line of numbers into LaTeX: powers of ten, crosses, names of functions."""
    text = re.sub(r"(\d)e([+-])0*(\d+)", lambda m: rf"{m[1]} \cdot 10^{{{m[2].replace('+', '')}{m[3]}}}", text)
    text = re.sub(r"(?<![\\a-z])(log|exp|tanh)\b", r"\\\1 ", text)
    text = re.sub(r"(?<![\\a-z{])(sigmoid|softmax|leaky_relu|relu|gelu|sign|mean)\b", _upright, text)
    return text.replace("×", r"\times").replace("²", "^2").replace("Σ", r"\sum ").replace("…", r"\dots")


def _upright(match: re.Match[str]) -> str:
    """Set the name of a function upright, with its underscore escaped."""
    return rf"\operatorname{{{match[1].replace('_', chr(92) + '_')}}}"


def _shorten(terms: list[str]) -> str:
    """Join the terms of a sum; a long sum keeps its ends."""
    if len(terms) > _MOST_TERMS:
        terms = [*terms[:4], "…", terms[-1]]
    return " + ".join(terms)


def _sum_of_products(name: _Symbol, terms: Sequence[Sequence[tuple[_Symbol, float]]], value: float) -> Step:
    """Write name = sum of products of symbols = the same in numbers = value."""
    numbers = [
        " × ".join(_factor(factor, first=k == 0 and place == 0) for place, (_, factor) in enumerate(term))
        for k, term in enumerate(terms)
    ]
    symbols = [_shorten([dot.join(symbol[kind] for symbol, _ in term) for term in terms])
               for kind, dot in ((0, " · "), (1, r" \cdot "))]  # fmt: skip
    return _equation(name, _Symbol(*symbols), _shorten(numbers), value)


def _equation(name: _Symbol, symbols: _Symbol, numbers: str, value: float, note: str = "") -> Step:
    """Write name = symbols = numbers = value; numbers that are the value already are not said twice."""
    middle = "" if numbers == _number(value) else f" = {numbers}"
    text = f"{name.text} = {symbols.text}{middle} = {_number(value)}{note}"
    latex = f"{name.latex} = {_latex(symbols.latex)}{_latex(middle)} = {_latex(_number(value))}"
    return Step(name.text, text, latex, float(value))


def explain_steps(
    loss: float, loss_name: str, targets: Array, layers: Sequence[LayerTrace], *, limit: int
) -> Explanation:
    """Tell the passes number by number in at most `limit` steps, or else layer by layer."""
    positive_int("limit", limit)
    end = _End(loss, loss_name, targets, layers[-1])
    if sum(layer.weights.size + len(layer.weights.T) + 4 * layer.output.size for layer in layers) > limit:
        return Explanation(_summaries(layers, end))
    names = _Names(layers)
    forward = [step for place in range(len(layers)) for step in _forward_steps(names, place)]
    backward = [step for place in reversed(range(len(layers))) for step in _backward_steps(names, place, end)]
    return Explanation([*forward, _loss_step(names, end), *backward])


def _cells(array: Array) -> Iterator[tuple[int, int]]:
    """List the places of a 2-D array, row by row."""
    return ((row, column) for row in range(array.shape[0]) for column in range(array.shape[1]))


def _forward_steps(names: _Names, place: int) -> Iterator[Step]:
    """Tell z = Σ w x + b and a = f(z) of one layer, row by row."""
    layer = names.layers[place]
    for row, j in _cells(layer.output):
        z, a = names("z", place, row, j), names("a", place, row, j)
        terms = [
            [(names("w", place, i, j), weight), (names.feed(place, row, i), layer.inputs[row, i])]
            for i, weight in enumerate(layer.weights[:, j])
        ]
        bias = [] if layer.bias is None else [[(names("b", place, j), layer.bias[j])]]
        yield _sum_of_products(z, [*terms, *bias], layer.pre_activation[row, j])
        if layer.activation == "linear":
            yield _equation(a, z, _number(layer.output[row, j]), layer.output[row, j])
            continue
        units = range(layer.output.shape[1]) if layer.activation == "softmax" else [j]
        call, close = f"{layer.activation}(", f")[{j + 1}]" if layer.activation == "softmax" else ")"
        inside = [names("z", place, row, k) for k in units]
        said = _Symbol(*(call + ", ".join(symbol[kind] for symbol in inside) + close for kind in (0, 1)))
        numbers = call + ", ".join(_number(layer.pre_activation[row, k]) for k in units) + close
        yield _equation(a, said, numbers, layer.output[row, j])


class _End:
    """The end of the net: the loss, what it was taken of (outputs or logits), the number of terms in its mean."""

    def __init__(self, loss: float, name: str, targets: Array, last: LayerTrace) -> None:
        fused = last.d_output is None
        self.loss, self.name = loss, name
        self.kind = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}.get(name, name.split("_", 1)[0])
        self.letter = "z" if fused else "a"
        # a sigmoid or softmax that the loss undoes leaves a - t; any other pair has to squash the logits first
        self.squash = {"binary": "sigmoid", "categorical": "softmax", "sparse": "softmax"}.get(self.kind, "")
        self.meets = fused and last.activation == self.squash
        self.values = last.pre_activation if fused else last.output
        self.slope = last.delta if last.d_output is None else last.d_output
        self.logits = fused or name.endswith("from_logits")
        self.by_row = self.kind in ("categorical", "sparse")
        self.targets = np.eye(self.values.shape[1])[targets] if self.kind == "sparse" else targets
        self.terms = len(targets) if self.by_row else self.values.size
        self.over = f" / {self.terms}" if self.terms > 1 else ""

    def term(self, p: str, t: str) -> str:
        """Write the loss of one entry, in symbols or numbers."""
        if self.kind in ("mse", "mae"):
            return f"({p} - {t})²" if self.kind == "mse" else f"|{p} - {t}|"
        return f"log(1 + exp({p})) - {t} × {p}" if self.logits else f"-{t} × log({p}) - (1 - {t}) × log(1 - {p})"

    def row(self, values: Array, targets: Array) -> str:
        """Write the categorical cross-entropy of one row in numbers."""
        shares = values if self.logits else self.shares(values)
        pairs = [(_number(t), _number(v), _factor(v)) for t, v in zip(targets, shares, strict=True) if t]
        if not self.logits:
            return "-" + _shorten([f"{t} × log({v})" for t, v, _ in pairs]).replace(" + ", " - ")
        powers = _shorten([f"exp({_number(v)})" for v in values])
        return f"log({powers}) - " + _shorten([f"{t} × {v}" for t, _, v in pairs]).replace(" + ", " - ")

    def shown(self, value: float) -> str:
        """Write an output or logit; a probability as it is clipped, with the digits that 1 - p needs."""
        if self.kind != "binary" or self.logits:
            return _number(value)
        p = min(max(value, EPSILON), 1 - EPSILON)
        return f"{p:.8g}" if p > 0.999 else _number(p)

    def shares(self, values: Array) -> Array:
        """Return the probabilities of a row as Keras makes them: sparse clips and divides, categorical the reverse."""
        clipped = np.clip(values if self.kind == "sparse" else values / values.sum(), EPSILON, 1 - EPSILON)
        shares: Array = clipped / clipped.sum() if self.kind == "sparse" else clipped
        return shares

    def rate(self, p: str, t: str, total: str) -> str:
        """Write the derivative in one entry, in symbols or numbers; `total` is the sum of the row."""
        if self.kind in ("mse", "mae"):
            return (f"2 ({p} - {t})" if self.kind == "mse" else f"sign({p} - {t})") + self.over
        if self.logits:
            return f"({p} - {t})" + self.over
        return (
            f"(1 / {total} - {t} / {p})" + self.over
            if self.by_row
            else f"((1 - {t}) / (1 - {p}) - {t} / {p})" + self.over
        )


def _loss_step(names: _Names, end: _End) -> Step:
    """Tell the loss as the mean of its terms."""
    deep = len(names.layers) > 1
    number = str(len(names.layers)) if deep else ""
    p = _Symbol(end.letter + number, end.letter + (f"^{{({number})}}" if deep else ""))
    if end.by_row:
        said = [f"log(Σ exp({s})) - Σ t × {s}" if end.logits else f"-Σ t × log({s} / Σ {s})" for s in p]
        numbers = [end.row(*pair) for pair in zip(end.values, end.targets, strict=True)]
    else:
        said = [end.term(s, "t") for s in p]
        pairs = zip(end.values.ravel(), end.targets.ravel(), strict=True)
        numbers = [end.term(end.shown(v), _factor(t)) for v, t in pairs]
    if end.terms == 1:
        return _equation(_L, _Symbol(*said), numbers[0], end.loss)
    joined = _shorten(numbers if end.kind in ("mse", "mae") else [f"({term})" for term in numbers])
    return _equation(_L, _Symbol(f"mean of {said[0]}", f"mean({said[1]})"), f"({joined}){end.over}", end.loss)


def _backward_steps(names: _Names, place: int, end: _End) -> Iterator[Step]:
    """Tell dL/da, dL/dz, dL/dw and dL/db of one layer."""
    layer, last = names.layers[place], place == len(names.layers) - 1
    for row, j in _cells(layer.output):
        yield _end_step(names, end, row, j) if last else _paths_step(names, place, row, j)
        if layer.d_output is not None:
            z = names("z", place, row, j)
            units = range(layer.output.shape[1]) if layer.activation == "softmax" else [j]
            terms = [_through(names, place, (row, k, j), layer.d_output[row, k]) for k in units]
            yield _sum_of_products(_slope(_L, z), terms, layer.delta[row, j])
    for i, j in _cells(layer.weights):
        yield _parameter_step(names, place, names("w", place, i, j), layer.inputs[:, i], layer.d_weights[i, j], j)
    for j, slope in enumerate([] if layer.d_bias is None else layer.d_bias):
        yield _parameter_step(names, place, names("b", place, j), np.ones(len(layer.inputs)), slope, j)


def _end_step(names: _Names, end: _End, row: int, j: int) -> Step:
    """Tell the derivative of the loss itself, in one output or logit."""
    place, value, values = len(names.layers) - 1, end.slope[row, j], end.values[row]
    symbol, goal = names(end.letter, place, row, j), names("t", place, row, j)
    name = _slope(_L, symbol)
    probabilities = end.kind not in ("mse", "mae") and not end.logits
    shares = values / values.sum() if end.kind == "categorical" else values
    if probabilities and not np.all((shares >= EPSILON) & (shares <= 1 - EPSILON)):
        note = " (probabilities are clipped here)"
        return Step(
            name.text, f"{name.text} = {_number(value)}{note}", f"{name.latex} = {_latex(_number(value))}", value
        )
    target, shown, said = end.targets[row, j], values[j], symbol
    if end.logits and end.squash:
        shown = value * end.terms + target
        said = names("a", place, row, j) if end.meets else _Symbol(*(f"{end.squash}({s})" for s in symbol))
    symbols = _Symbol(*(end.rate(s, t, "Σ a") for s, t in zip(said, goal, strict=True)))
    return _equation(name, symbols, end.rate(end.shown(shown), _factor(target), _number(values.sum())), value)


def _paths_step(names: _Names, place: int, row: int, j: int) -> Step:
    """Tell dL/da of a hidden unit: one path through each unit of the layer above, and their sum."""
    above, a = names.layers[place + 1], names("a", place, row, j)
    tops = [names("z", place + 1, row, k) for k in range(above.weights.shape[1])]
    terms = [[(_slope(_L, z), above.delta[row, k]), (_slope(z, a), above.weights[j, k])] for k, z in enumerate(tops)]
    step = _sum_of_products(_slope(_L, a), terms, float(above.delta[row] @ above.weights[j]))
    return replace(step, text=step.text + (f" ({len(terms)} paths)" if len(terms) > 1 else ""))


def _through(names: _Names, place: int, at: tuple[int, int, int], upstream: float) -> list[tuple[_Symbol, float]]:
    """List the two factors dL/da_k · ∂a_k/∂z_j of one path through an activation."""
    row, k, j = at
    layer, a = names.layers[place], names("a", place, row, k)
    basis = np.eye(layer.output.shape[1])[k : k + 1]
    z, output = layer.pre_activation[row : row + 1], layer.output[row : row + 1]
    local = float(ACTIVATIONS[layer.activation].pull_back(basis, z, output)[0, j])
    return [(_slope(_L, a), upstream), (_slope(a, names("z", place, row, j)), local)]


def _parameter_step(names: _Names, place: int, name: _Symbol, feeds: Array, value: float, j: int) -> Step:
    """Tell dL/dw or dL/db: the whole chain for one row, the sum over the rows for several."""
    layer = names.layers[place]
    terms: list[list[tuple[_Symbol, float]]] = []
    for row, feed in enumerate(feeds):
        z = names("z", place, row, j)
        chain = [(_slope(_L, z), layer.delta[row, j])]
        if len(feeds) == 1 and layer.d_output is not None and layer.activation != "softmax":
            chain = _through(names, place, (row, j, j), layer.d_output[row, j])
        terms.append([*chain, (_slope(z, name), feed)])
    return _sum_of_products(_slope(_L, name), terms, value)


def _summaries(layers: Sequence[LayerTrace], end: _End) -> Iterator[Step]:
    """Tell each layer's two passes by shapes and norms."""
    for place, layer in enumerate(layers, start=1):
        below = "x" if place == 1 else f"a{place - 1}"
        plus = "" if layer.bias is None else f" + b{place}"
        yield _array_step(f"z{place}", f"{below} · W{place}{plus}", layer.pre_activation)
        yield _array_step(f"a{place}", f"{layer.activation}(z{place})", layer.output)
    yield Step("L", f"L = {end.name} = {_number(end.loss)}", f"L = {_latex(_number(end.loss))}", end.loss)
    for place, layer in reversed(list(enumerate(layers, start=1))):
        if place < len(layers):
            upstream = layers[place].delta @ layers[place].weights.T
            yield _array_step(f"dL/da{place}", f"dL/dz{place + 1} · W{place + 1}ᵀ", upstream)
        elif layer.d_output is not None:
            yield _array_step(f"dL/da{place}", f"derivative of {end.name}", layer.d_output)
        rule = f"dL/da{place} through {layer.activation}" if layer.d_output is not None else f"derivative of {end.name}"
        yield _array_step(f"dL/dz{place}", rule, layer.delta)
        below = "x" if place == 1 else f"a{place - 1}"
        yield _array_step(f"dL/dW{place}", f"{below}ᵀ · dL/dz{place}", layer.d_weights)
        if layer.d_bias is not None:
            yield _array_step(f"dL/db{place}", f"sum over the rows of dL/dz{place}", layer.d_bias)


def _array_step(name: str, rule: str, array: Array) -> Step:
    """Tell an array by the rule that made it, its shape and its norm."""
    norm, shape = float(np.linalg.norm(array)), " × ".join(map(str, array.shape))
    symbol = re.sub(r"([A-Za-z])(\d+)$", r"\1^{(\2)}", name.replace("dL/d", ""))
    whole = rf"\frac{{\partial L}}{{\partial {symbol}}}" if name.startswith("dL") else symbol
    text = f"{name} = {rule}: {shape}, norm {_number(norm)}"
    return Step(name, text, rf"\lVert {whole} \rVert = {_latex(_number(norm))}", norm)
