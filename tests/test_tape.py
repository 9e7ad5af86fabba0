"""The tape gives exact derivatives at any depth, twice the same, one node at a time, and says where to draw them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdexplain.by_hand.backprop import trace_backprop
from gdexplain.by_hand.graph import layout
from gdexplain.by_hand.network import Dense
from gdexplain.by_hand.tape import Value, backward, in_order, walk_back


def circuit():
    """CS231n's circuit."""
    x, y, z = Value(-2, "x"), Value(5, "y"), Value(-4, "z")
    q = (x + y).named("q")
    return x, y, z, q, (q * z).named("f")


def readme():
    """The expression of micrograd's README."""
    a, b = Value(-4.0, "a"), Value(2.0, "b")
    c = a + b
    d = a * b + b**3
    c = c + (c + 1)
    c = c + (1 + c + (-a))
    d = d + (d * 2 + (b + a).relu())
    d = d + (3 * d + (b - a).relu())
    e = c - d
    f = e**2
    g = f / 2.0
    return a, b, g + 10.0 / f


def test_the_circuit_of_cs231n():
    x, y, z, q, f = circuit()
    gradient = backward(f)
    assert f.number == -12
    assert [gradient[node] for node in (x, y, z, q, f)] == [-4, -4, 3, -4, 1]


def test_the_expression_of_micrograds_readme():
    a, b, g = readme()
    gradient = backward(g)
    assert [f"{value:.4f}" for value in (g.number, gradient[a], gradient[b])] == ["24.7041", "138.8338", "645.5773"]


def test_two_backward_calls_agree_and_leave_no_mark():
    a, _b, g = readme()
    first, second = backward(g), backward(g)
    assert first == second
    assert first is not second
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.number = 1
    x = Value(1.0)
    assert backward(x + x)[x] == 2
    assert backward(x * 1)[x] == 1


def test_a_chain_5000_deep_works():
    x = node = Value(1.0)
    for _ in range(5_000):
        node = node + x * 0.5
    assert backward(node)[x] == 1 + 5_000 * 0.5
    assert len(in_order(node)) == 1 + 3 * 5_000
    assert repr(node) == "Value(2501, '+')"


OPERATIONS = {
    "+": (2, lambda a, b: a + b),
    "-": (2, lambda a, b: a - b),
    "*": (2, lambda a, b: a * b),
    "/": (2, lambda a, b: a / (b * b + 1)),
    "neg": (1, lambda a: -a),
    "** 3": (1, lambda a: (a * 0.3) ** 3),
    "right": (1, lambda a: 1 - 2 / (3 + a * a) + 0.5 * (1 + a)),
}
FUNCTIONS = {
    "exp": (lambda a: (a * 0.1).exp(), lambda a: np.exp(a * 0.1)),
    "log": (lambda a: (a * a + 1).log(), lambda a: np.log(a * a + 1)),
    "tanh": (Value.tanh, np.tanh),
    "sigmoid": (Value.sigmoid, lambda a: 1 / (1 + np.exp(-a))),
    "relu": (Value.relu, lambda a: a * (a.real > 0)),
}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_a_random_expression_has_the_derivative_of_the_complex_step(data):
    count = data.draw(st.integers(1, 4))
    starts = [data.draw(st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3)) for _ in range(count)]
    program = []
    for size in range(count, count + data.draw(st.integers(1, 10))):
        name = data.draw(st.sampled_from([*OPERATIONS, *FUNCTIONS]))
        program.append((name, [data.draw(st.integers(0, size - 1)) for _ in range(OPERATIONS.get(name, (1,))[0])]))

    def run(values, side):
        values = list(values)
        for name, places in program:
            function = FUNCTIONS[name][side] if name in FUNCTIONS else OPERATIONS[name][1]
            values.append(function(*(values[place] for place in places)))
        return values

    leaves = [Value(start) for start in starts]
    numbers = run([complex(start) for start in starts], 1)
    if max(abs(number) for number in numbers) > 1e6:
        return
    root = run(leaves, 0)[-1]
    gradient = backward(root)
    assert root.number == pytest.approx(numbers[-1].real, rel=1e-12, abs=1e-12)
    for place, leaf in enumerate(leaves):
        shifted = [start + 1e-30j * (place == other) for other, start in enumerate(starts)]
        expected = np.imag(run(shifted, 1)[-1]) / 1e-30
        assert gradient.get(leaf, 0.0) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_tape_and_the_trace_agree_on_a_1_2_1_net():
    w, v, x, t = [0.5, -1.0], [1.0, 2.0], 1.5, 2.0
    weights, outs = [Value(number) for number in w], [Value(number) for number in v]
    hidden = [(weight * x).tanh() for weight in weights]
    loss = (outs[0] * hidden[0] + outs[1] * hidden[1] - t) ** 2
    gradient = backward(loss)
    trace = trace_backprop([Dense([w], None, "tanh"), Dense([[v[0]], [v[1]]])], [[x]], [[t]])
    assert loss.number == pytest.approx(trace.loss, rel=1e-15)
    np.testing.assert_allclose([gradient[node] for node in (*weights, *outs)], trace.gradient, rtol=1e-14)


@pytest.mark.parametrize(("z", "value", "slope"), [(800.0, 1.0, 0.0), (-800.0, 0.0, 0.0), (0.0, 0.5, 0.25)])
def test_a_saturated_sigmoid_is_finite(z, value, slope):
    x = Value(z)
    assert (x.sigmoid().number, backward(x.sigmoid())[x]) == (value, slope)


def test_the_slope_of_relu_at_0_is_0_and_a_power_of_0_is_flat():
    x = Value(0.0)
    assert backward(x.relu())[x] == 0
    assert backward(x**2)[x] == 0
    assert backward(x**1)[x] == 1
    assert (x**0).number == 1
    assert backward(x**0)[x] == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: Value(1) + "2", TypeError, "number must be a finite number, not '2'"),
        (lambda: Value(1) / 0, ValueError, "'/' must have a finite result and slope, but has none at 1, 0"),
        (lambda: Value(0).log(), ValueError, "'log' must have a finite result"),
        (lambda: Value(-1).log(), ValueError, "'log' must have a finite result"),
        (lambda: Value(1000).exp(), ValueError, "'exp' must have a finite result and slope, but has none at 1000"),
        (lambda: Value(1e200) * 1e200, ValueError, r"'\*' must have a finite result"),
        (lambda: Value(-2) ** 0.5, ValueError, r"'\*\* 0.5' must have a finite result"),
        (lambda: Value(2) ** Value(0.5), TypeError, "exponent must be a finite number, not Value"),
        (lambda: Value(0) ** 0.5, ValueError, r"'\*\* 0.5' must have a finite result and slope, but has none at 0"),
        (lambda: Value(1) ** math.inf, ValueError, "exponent must be a finite number, not inf"),
        (lambda: backward(3.0), TypeError, "root must be a gdexplain.by_hand.tape.Value, not 3.0"),
    ],
)
def test_what_has_no_finite_result_is_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_order_of_the_forward_pass_holds_each_node_once_after_its_parents():
    *_, g = readme()
    order = in_order(g)
    assert order[-1] is g
    assert len(set(order)) == len(order)
    for place, node in enumerate(order):
        assert set(node.parents) <= set(order[:place])


def test_the_backward_pass_replays_what_each_node_hands_to_its_parents():
    x, _y, z, q, f = circuit()
    visits = list(walk_back(f))
    assert next(visit.node for visit in visits) is f
    handed = {(visit.node, part.parent): part for visit in visits for part in visit.contributions}
    assert handed[f, q].local_derivative == z.number
    assert handed[q, x].amount == handed[q, x].running == -4
    a, _b, g = readme()
    running = {}
    for visit in walk_back(g):
        for part in visit.contributions:
            assert part.amount == visit.gradient * part.local_derivative
            running[part.parent] = running.get(part.parent, 0) + part.amount
            assert part.running == running[part.parent]
    assert running[a] == backward(g)[a]


def test_a_node_is_replayed_only_when_its_gradient_is_complete():
    *_, g = readme()
    final, done = backward(g), set()
    for visit in walk_back(g):
        assert visit.gradient == final[visit.node]
        assert not done & set(visit.node.parents)
        done.add(visit.node)


def test_every_node_stands_right_of_its_parents_and_alone_in_its_place():
    *_, g = readme()
    drawing = layout(g)
    assert set(drawing.positions) == set(in_order(g))
    assert len(set(drawing.positions.values())) == len(drawing.positions)
    for node, (column, _) in drawing.positions.items():
        assert all(drawing.positions[parent][0] < column for parent in node.parents)
    assert drawing.positions[g][0] == max(column for column, _ in drawing.positions.values())


def test_a_long_edge_runs_past_the_nodes_between():
    *_, g = readme()
    drawing = layout(g)
    taken = set(drawing.positions.values())
    assert {(parent, child) for parent, child, _ in drawing.edges} == {
        (parent, node) for node in drawing.positions for parent in node.parents
    }
    for parent, child, points in drawing.edges:
        assert (points[0], points[-1]) == (drawing.positions[parent], drawing.positions[child])
        assert np.all(np.diff([column for column, _ in points]) == 1)
        assert not taken & set(points[1:-1])


def test_a_number_written_down_stands_just_before_its_first_use():
    _, _, z, q, f = circuit()
    positions = layout(f).positions
    assert positions[z][0] == positions[q][0] == positions[f][0] - 1
    assert layout(z).positions == {z: (0.0, 0.0)}
