"""A scalar tape: numbers that remember how they were made, and derivatives walked back one node at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gdexplain._checks import instance, items, keep, real, text


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    r"""A number, what made it, and its derivative with respect to each parent.

    Values are combined with ``+ - * / **``, `exp`, `log`, `tanh`, `relu` and `sigmoid`; each result is a new node, and
    no node ever changes.

    Parameters
    ----------
    number : float
        The value.
    name : str
        What a drawing or a caption calls the node.
    operation : str
        What made it; empty for a number you wrote down.
    parents : tuple of Value
        What it was made of.
    local_derivatives : tuple of float
        The derivative with respect to each parent, the others held still.

    Raises
    ------
    TypeError
        If the number is not one, or a parent is no Value.
    ValueError
        If it is NaN or infinite, a result leaves the range of float64 or of its function, or there are not as many
        local derivatives as parents.

    Notes
    -----
    The slope of relu at 0 is 0, as in Keras. Derivatives are not stored on the nodes: `backward` returns them, so that
    calling it twice gives the same twice.

    References
    ----------
    .. [1] A. Griewank and A. Walther, "Evaluating Derivatives", 2nd ed., SIAM, 2008. doi:10.1137/1.9780898717761

    Examples
    --------
    >>> from gdexplain.by_hand.tape import Value, backward
    >>> x, y, z = Value(-2, "x"), Value(5, "y"), Value(-4, "z")
    >>> f = (x + y) * z
    >>> gradient = backward(f)
    >>> f.number, [gradient[node] for node in (x, y, z)]
    (-12.0, [-4.0, -4.0, 3.0])
    """

    number: float
    name: str = ""
    operation: str = ""
    parents: tuple[Value, ...] = ()
    local_derivatives: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the number, and that each parent has a derivative."""
        text("name", self.name)
        what = f"the result of {self.operation!r}" if text("operation", self.operation) else "number"
        keep(self, number=real(what, self.number))
        parents = items("parents", self.parents, "a tuple of Value")
        for place, parent in enumerate(parents):
            instance(f"parents[{place}]", parent, Value)
        form = f"{len(parents)} numbers, one for each of parents"
        slopes = items("local_derivatives", self.local_derivatives, form, at_least=len(parents), at_most=len(parents))
        keep(self, parents=parents, local_derivatives=tuple(real("local_derivatives", slope) for slope in slopes))

    def __repr__(self) -> str:
        """Return the name or operation, and the number; the parents are not walked."""
        return f"Value({self.number:.6g}{f', {self.label!r}' if self.label else ''})"

    @property
    def label(self) -> str:
        """The name, or else the operation."""
        return self.name or self.operation

    def named(self, name: str) -> Value:
        """Return the same node under a name.

        Parameters
        ----------
        name : str
            The name; it stands in drawings.

        Returns
        -------
        Value
            A node with the same parents.
        """
        return Value(self.number, name, self.operation, self.parents, self.local_derivatives)

    def __add__(self, other: Value | float) -> Value:
        return _apply("+", lambda a, b: (a + b, 1.0, 1.0), self, other)

    def __sub__(self, other: Value | float) -> Value:
        return _apply("-", lambda a, b: (a - b, 1.0, -1.0), self, other)

    def __mul__(self, other: Value | float) -> Value:
        return _apply("*", lambda a, b: (a * b, b, a), self, other)

    def __truediv__(self, other: Value | float) -> Value:
        return _apply("/", lambda a, b: (a / b, 1.0 / b, -a / b / b), self, other)

    def __pow__(self, other: float) -> Value:
        power = real("exponent", other)
        return _apply(
            f"** {power:g}", lambda a: (math.pow(a, power), power * math.pow(a, power - 1.0) if power else 0.0), self
        )

    def __neg__(self) -> Value:
        return _apply("neg", lambda a: (-a, -1.0), self)

    def __radd__(self, other: float) -> Value:
        return _as_value(other) + self

    def __rsub__(self, other: float) -> Value:
        return _as_value(other) - self

    def __rmul__(self, other: float) -> Value:
        return _as_value(other) * self

    def __rtruediv__(self, other: float) -> Value:
        return _as_value(other) / self

    def exp(self) -> Value:
        """Return e to this power.

        Returns
        -------
        Value
            A new node of the graph.
        """
        return _apply("exp", lambda a: (math.exp(a),) * 2, self)

    def log(self) -> Value:
        """Return the natural logarithm.

        Returns
        -------
        Value
            A new node of the graph.
        """
        return _apply("log", lambda a: (math.log(a), 1.0 / a), self)

    def tanh(self) -> Value:
        """Return the hyperbolic tangent.

        Returns
        -------
        Value
            A new node of the graph.
        """
        return _apply("tanh", lambda a: (math.tanh(a), 1.0 - math.tanh(a) ** 2), self)

    def relu(self) -> Value:
        """Return the number if it is positive, else 0.

        Returns
        -------
        Value
            A new node of the graph.
        """
        return _apply("relu", lambda a: (a, 1.0) if a > 0 else (0.0, 0.0), self)

    def sigmoid(self) -> Value:
        """Return 1 / (1 + exp(-a)).

        Returns
        -------
        Value
            A new node of the graph.
        """
        return _apply("sigmoid", _sigmoid, self)


def _sigmoid(a: float) -> tuple[float, float]:
    """Return the sigmoid and its slope, of an exponent that is never positive."""
    decay = math.exp(-abs(a))
    return (1.0 if a >= 0 else decay) / (1.0 + decay), decay / (1.0 + decay) ** 2


def _as_value(number: Value | float) -> Value:
    return number if isinstance(number, Value) else Value(number)


def _apply(operation: str, function: Callable[..., tuple[float, ...]], *operands: Value | float) -> Value:
    """Make the node of an operation: `function` gives the value and the local derivatives."""
    parents = tuple(_as_value(operand) for operand in operands)
    numbers = [parent.number for parent in parents]
    try:
        value, *slopes = function(*numbers)
        return Value(value, "", operation, parents, tuple(slopes))
    except (ArithmeticError, TypeError, ValueError) as error:  # a power of a negative number is complex: TypeError
        said = ", ".join(f"{number:g}" for number in numbers)
        raise ValueError(f"{operation!r} must have a finite result and slope, but has none at {said}.") from error


def in_order(root: Value) -> list[Value]:
    """List a node and all it was made of, each node after its parents.

    Parameters
    ----------
    root : Value
        The last node.

    Returns
    -------
    list of Value
        Every node once; `root` comes last. A loop, not a recursion: any depth works.

    Raises
    ------
    TypeError
        If `root` is not a Value.
    """
    instance("root", root, Value, "a gdexplain.by_hand.tape.Value")
    order: list[Value] = []
    seen = {root}
    stack = [(root, iter(root.parents))]
    while stack:
        node, parents = stack[-1]
        parent = next(parents, None)
        if parent is None:
            order.append(node)
            stack.pop()
        elif parent not in seen:
            seen.add(parent)
            stack.append((parent, iter(parent.parents)))
    return order


class Contribution(NamedTuple):
    """What one node hands to one of its parents in the backward pass.

    Parameters
    ----------
    parent : Value
        Who receives it.
    local_derivative : float
        The derivative of the node with respect to this parent.
    amount : float
        The node's gradient times the local derivative.
    running : float
        The parent's gradient so far, this amount included.
    """

    parent: Value
    local_derivative: float
    amount: float
    running: float


class Visit(NamedTuple):
    """One node as the backward pass leaves it: its gradient is complete, its parents get their shares.

    Parameters
    ----------
    node : Value
        The node.
    gradient : float
        The derivative of the root with respect to it.
    contributions : tuple of Contribution
        One for each of ``node.parents``.
    """

    node: Value
    gradient: float
    contributions: tuple[Contribution, ...]


def walk_back(root: Value) -> Iterator[Visit]:
    r"""Replay the backward pass one node at a time, from the root down.

    .. math:: \bar p \mathrel{+}= \bar n \, \frac{\partial n}{\partial p} \quad \text{for each parent } p \text{ of } n

    Parameters
    ----------
    root : Value
        The node whose derivatives are taken; its own is 1.

    Yields
    ------
    Visit
        The node, its complete gradient, and what it hands to each parent.

    Examples
    --------
    >>> from gdexplain.by_hand.tape import Value, walk_back
    >>> x = Value(3.0, "x")
    >>> for visit in walk_back(x * x + 1):
    ...     print(visit.node.label or "1", visit.gradient, [(part.amount, part.running) for part in visit.contributions])
    + 1.0 [(1.0, 1.0), (1.0, 1.0)]
    1 1.0 []
    * 1.0 [(3.0, 3.0), (3.0, 6.0)]
    x 6.0 []
    """
    order = in_order(root)
    gradients = {root: 1.0}
    for node in reversed(order):
        gradient, parts = gradients[node], []
        for parent, local in zip(node.parents, node.local_derivatives, strict=True):
            amount = gradient * local
            gradients[parent] = gradients.get(parent, 0.0) + amount
            parts.append(Contribution(parent, local, amount, gradients[parent]))
        yield Visit(node, gradient, tuple(parts))


def backward(root: Value) -> dict[Value, float]:
    """Take the derivative of a node with respect to every node it was made of.

    Parameters
    ----------
    root : Value
        The node whose derivatives are taken.

    Returns
    -------
    dict of Value to float
        One entry a node, `root` included (1.0); a new dict at each call.

    Raises
    ------
    TypeError
        If `root` is not a `Value`.

    Examples
    --------
    >>> from gdexplain.by_hand.tape import Value, backward
    >>> x = Value(0.5)
    >>> y = x.tanh() * x
    >>> backward(y)[x] == backward(y)[x]
    True
    """
    return {visit.node: visit.gradient for visit in walk_back(root)}
