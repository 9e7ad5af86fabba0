"""A scalar tape: numbers that remember how they were made, and derivatives walked back one node at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from gdexplain._checks import instance, items, real, text

_BOX = (112.0, 46.0)  # a node's box in the drawing, in pixels
_GRID = (172.0, 66.0)  # from one node to the next: across, down
_MOST_DRAWN = 400


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
        object.__setattr__(self, "number", real(what, self.number))
        parents = items("parents", self.parents, "a tuple of Value")
        for place, parent in enumerate(parents):
            instance(f"parents[{place}]", parent, Value)
        form = f"{len(parents)} numbers, one for each of parents"
        slopes = items("local_derivatives", self.local_derivatives, form, at_least=len(parents), at_most=len(parents))
        object.__setattr__(self, "parents", parents)
        object.__setattr__(self, "local_derivatives", tuple(real("local_derivatives", slope) for slope in slopes))

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

    def __pow__(self, other: Value | float) -> Value:
        if isinstance(other, Value):  # a ** b moves with b too, where log a exists
            return _apply("**", lambda a, b: (a**b, b * a ** (b - 1.0), a**b * math.log(a)), self, other)
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

    def __rpow__(self, other: float) -> Value:
        return _as_value(other) ** self

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
    """Return a node; a plain number becomes one."""
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
    TypeError, ValueError
        If `root` is not a Value, or was made of itself (by force: no operation does that).
    """
    instance("root", root, Value, "a gdexplain.by_hand.tape.Value")
    order: list[Value] = []
    seen, under_way = {root}, {root}
    stack = [(root, iter(root.parents))]
    while stack:
        node, parents = stack[-1]
        parent = next(parents, None)
        if parent is None:
            order.append(node)
            under_way.discard(node)
            stack.pop()
        elif parent in under_way:
            raise ValueError(f"root must not be made of itself, but {parent!r} is.")
        elif parent not in seen:
            seen.add(parent)
            under_way.add(parent)
            stack.append((parent, iter(parent.parents)))
    return order


class ForwardStep(NamedTuple):
    """One node as the forward pass meets it.

    Parameters
    ----------
    node : Value
        The node.
    value : float
        Its number.
    local_derivatives : tuple of float
        Its derivative with respect to each of ``node.parents``.
    """

    node: Value
    value: float
    local_derivatives: tuple[float, ...]


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


class BackwardStep(NamedTuple):
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


def forward_steps(root: Value) -> Iterator[ForwardStep]:
    """Replay the forward pass one node at a time, each after its parents.

    Parameters
    ----------
    root : Value
        The last node.

    Yields
    ------
    ForwardStep
        The node, its value and its local derivatives.
    """
    for node in in_order(root):
        yield ForwardStep(node, node.number, node.local_derivatives)


def backward_steps(root: Value) -> Iterator[BackwardStep]:
    r"""Replay the backward pass one node at a time, from the root down.

    .. math:: \bar p \mathrel{+}= \bar n \, \frac{\partial n}{\partial p} \quad \text{for each parent } p \text{ of } n

    Parameters
    ----------
    root : Value
        The node whose derivatives are taken; its own is 1.

    Yields
    ------
    BackwardStep
        The node, its complete gradient, and what it hands to each parent.

    Examples
    --------
    >>> from gdexplain.by_hand.tape import Value, backward_steps
    >>> x = Value(3.0, "x")
    >>> for step in backward_steps(x * x + 1):
    ...     print(step.node.label or "1", step.gradient, [(part.amount, part.running) for part in step.contributions])
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
        yield BackwardStep(node, gradient, tuple(parts))


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
    return {step.node: step.gradient for step in backward_steps(root)}


class Drawing(NamedTuple):
    """Where the nodes of a graph stand, in columns and rows.

    Parameters
    ----------
    positions : dict of Value to (column, row)
        Columns go from left (0) to the root; rows are centred on 0.
    edges : tuple of (parent, child, points)
        Each edge's way: the parent's place, one point in each column between, the child's place.
    """

    positions: dict[Value, tuple[float, float]]
    edges: tuple[tuple[Value, Value, tuple[tuple[float, float], ...]], ...]


def layout(root: Value) -> Drawing:
    """Give every node of a graph a place: columns by depth, rows near the parents' rows.

    Parameters
    ----------
    root : Value
        The last node; it stands in the last column.

    Returns
    -------
    Drawing
        Places in columns and rows. An edge that spans several columns has a row of its own in each, so that it runs
        past the nodes there, not through them.

    Raises
    ------
    TypeError, ValueError
        If `root` is not a Value, or was made of more than 400.
    """
    order = in_order(root)
    if len(order) > _MOST_DRAWN:  # before any place is sought: in a long graph that takes minutes
        raise ValueError(f"root must have at most {_MOST_DRAWN} nodes to be drawn, not {len(order)}.")
    depth = _depths(order)
    lanes: dict[Value, list[object]] = {}
    columns: list[list[tuple[object, list[object]]]] = [[] for _ in range(depth[root] + 1)]
    children: dict[Value, list[Value]] = {node: [] for node in depth}
    for node in depth:
        for parent in dict.fromkeys(node.parents):
            children[parent].append(node)
    for node, column in depth.items():
        columns[column].append((node, [lanes[parent][column - depth[parent] - 1] for parent in node.parents]))
        last = max((depth[child] for child in children[node]), default=column)
        lanes[node] = [node, *((node, step) for step in range(1, last - column))]
        for step, point in enumerate(lanes[node][1:], start=1):
            columns[column + step].append((point, [lanes[node][step - 1]]))
    places = _rows(columns)
    edges = tuple(
        (node, child, tuple(places[point] for point in [*lanes[node][: depth[child] - depth[node]], child]))
        for node in depth
        for child in children[node]
    )
    return Drawing({node: places[node] for node in depth}, edges)


def _depths(order: list[Value]) -> dict[Value, int]:
    """Return each node's column: after its parents, and for a number written down just before its first use."""
    depth: dict[Value, int] = {}
    for node in order:
        depth[node] = 1 + max((depth[parent] for parent in node.parents), default=-1)
    first: dict[Value, int] = {}
    for node in order:
        for parent in node.parents:
            first[parent] = min(first.get(parent, depth[node]), depth[node])
    late = {node: first[node] - 1 if not node.parents and node in first else depth[node] for node in order}
    return dict(sorted(late.items(), key=lambda item: item[1]))


def _rows(columns: list[list[tuple[object, list[object]]]]) -> dict[object, tuple[float, float]]:
    """Order each column by the mean row of what feeds it, and centre it."""
    places: dict[object, tuple[float, float]] = {}
    for column, entries in enumerate(columns):
        wanted = {
            item: sum(places[feed][1] for feed in feeds) / len(feeds) if feeds else math.inf for item, feeds in entries
        }
        ordered = sorted(wanted, key=lambda item: wanted[item])
        for row, item in enumerate(ordered):
            places[item] = (float(column), row - (len(ordered) - 1) / 2)
    return places


def to_svg(root: Value, *, gradients: Mapping[Value, float] | None = None, title: str = "Computation graph") -> str:
    """Draw a graph as SVG text, in the colour of the text around it.

    Parameters
    ----------
    root : Value
        The last node.
    gradients : mapping of Value to float, optional
        What `backward` returned, or a part of it: shown in the boxes of its nodes.
    title : str
        What the picture shows, for readers who hear it.

    Returns
    -------
    str
        One ``<svg>`` element without outside references. Lines and letters are ``currentColor``: it is legible on a
        light page and on a dark one.

    Raises
    ------
    TypeError, ValueError
        If the graph has more than 400 nodes, or an argument is not as above.

    Examples
    --------
    >>> from gdexplain.by_hand.tape import Value, backward, to_svg
    >>> f = Value(2.0, "x") * Value(3.0, "y")
    >>> to_svg(f, gradients=backward(f)).count("<rect")
    3
    """
    drawing, said = layout(root), _svg_text(text("title", title))
    known = {} if gradients is None else instance("gradients", gradients, Mapping, "a mapping from Value to number")
    everywhere = [point for _, _, points in drawing.edges for point in points] + list(drawing.positions.values())
    top = min(row for _, row in everywhere)
    width = (1 + max(column for column, _ in everywhere)) * _GRID[0]
    height = (1 + max(row for _, row in everywhere) - top) * _GRID[1]
    parts = [_edge_svg([(column, row - top) for column, row in points]) for _, _, points in drawing.edges]
    parts += [
        _node_svg(node, column, row - top, real("gradients", known[node]) if node in known else None)
        for node, (column, row) in drawing.positions.items()
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" style="max-width: 100%; height: auto" role="img" aria-label="{said}" '
        'font-family="sans-serif" font-size="13" fill="none" stroke="currentColor" stroke-width="1.3">\n'
        f"<title>{said}</title>\n" + "\n".join(parts) + "\n</svg>"
    )


def _edge_svg(points: list[tuple[float, float]]) -> str:
    """Draw one edge, level where it passes a column, and its arrowhead."""
    middle = [((column + 0.5) * _GRID[0], (row + 0.5) * _GRID[1]) for column, row in points]
    half = _BOX[0] / 2
    x, y = middle[0]
    path = f"M{x + half:g} {y:g}"
    for x2, y2 in middle[1:]:
        bend = (x + x2) / 2
        path += f"H{x + half:g}C{bend:g} {y:g} {bend:g} {y2:g} {x2 - half:g} {y2:g}"
        x, y = x2, y2
    return f'<path d="{path}m-6 -3.5l6 3.5l-6 3.5" opacity="0.7"/>'


def _node_svg(node: Value, column: float, row: float, gradient: float | None) -> str:
    """Draw one box: the label, the value, and the gradient if there is one."""
    x, y = (column + 0.5) * _GRID[0], (row + 0.5) * _GRID[1]
    made = f"[{'×' if node.operation == '*' else node.operation}] " if node.operation else ""
    lines = [made + (f"{node.name} = " if node.name else "") + f"{node.number:.4g}"]
    lines += [] if gradient is None else [f"grad {gradient:.4g}"]
    start = y + 4.5 - 9 * (len(lines) - 1)
    text = "".join(
        f'<text x="{x:g}" y="{start + 18 * place:g}" text-anchor="middle" fill="currentColor" stroke="none"'
        f' font-weight="{700 if place else 400}">{_svg_text(line)}</text>'
        for place, line in enumerate(lines)
    )
    round_ = 8 if node.parents else 2
    left, up = x - _BOX[0] / 2, y - _BOX[1] / 2
    return f'<rect x="{left:g}" y="{up:g}" width="{_BOX[0]:g}" height="{_BOX[1]:g}" rx="{round_}"/>{text}'


def _svg_text(words: str) -> str:
    """Return words as SVG can hold them: XML has no control characters."""
    return escape("".join(letter if letter.isprintable() else " " for letter in words))
