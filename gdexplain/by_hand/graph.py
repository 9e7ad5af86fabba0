"""Where the nodes of a computational graph stand when it is drawn, and how its edges run between them."""

from __future__ import annotations

import math
from typing import NamedTuple

from gdexplain.by_hand.tape import Value, in_order

_MOST_DRAWN = 400


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
    # An edge over several columns takes a place in each, as if a node stood there: its lane. `lanes` holds a node and then
    # those places, one a column; `columns` holds what stands in each, a node or a place, with what leads to it.
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
