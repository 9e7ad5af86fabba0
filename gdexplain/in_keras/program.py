"""A traced function as data: what it computes, without the objects that it was made of, for any worker to run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import tensorflow as tf
from numpy.typing import NDArray

_HARMLESS = {"Assert", "PrintV2"}  # operations with a state that changes no number
_COUNTED = ("_class", "_gradient_op_type")  # attributes that hold a name with a number that counts on


@dataclass(frozen=True, eq=False)
class Program:
    """A graph of TensorFlow as bytes, without the names that count on from model to model, and what it captures.

    Functions that compute the same in the same way are equal in every byte, whatever made them: a loss by its name, a
    lambda, a partial, a closure over a number. So a program is its own identity.
    """

    graph: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captured: tuple[NDArray[Any], ...]

    def __call__(self, *tensors: Any) -> list[Any]:
        """Write a call of the function into the graph that is being traced, and return the results."""
        graph = tf.compat.v1.GraphDef.FromString(self.graph)
        _name_functions(graph, joblib.hash(self.graph))

        def imported(*values: Any) -> list[Any]:
            mapping = {name: tf.identity(value) for name, value in zip(self.inputs, values, strict=True) if name}
            return tf.graph_util.import_graph_def(graph, mapping, self.outputs)  # type: ignore[no-any-return]

        values = [tf.convert_to_tensor(tensor) for tensor in (*tensors, *self.captured)]
        specs = [tf.TensorSpec(value.shape, value.dtype) for value in values]
        return tf.compat.v1.wrap_function(imported, specs)(*values)  # type: ignore[no-any-return]


def trace(function: Callable[..., Sequence[Any]], *specs: tf.TensorSpec) -> Program:
    """Trace a function of tensors that returns a list of tensors."""
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    variables = sorted({variable.name for variable in concrete.graph.variables})
    if variables:
        raise ValueError(f"it reads {', '.join(variables)}, which is no weight of the model: make it a number.")
    impure = {op.type for op in concrete.graph.get_operations() if op.op_def.is_stateful} - _HARMLESS
    if impure:
        raise ValueError(f"it draws random numbers or calls Python from the graph ({', '.join(sorted(impure))}).")
    graph = concrete.graph.as_graph_def()
    new = {node.name: f"n{place}" for place, node in enumerate(graph.node)}
    fed = [new[tensor.op.name] for tensor in concrete.inputs]
    library = {function.signature.name: function for function in graph.library.function}
    called: dict[str, str] = {}
    _rename(graph.node, new, library, called)
    nodes = [node for node in graph.node if node.name not in fed]
    read = {end for node in nodes for end in node.input}
    functions = {"function": [library[name] for name in called]}
    plain = tf.compat.v1.GraphDef(node=nodes, library=functions, versions=graph.versions)
    return Program(
        plain.SerializeToString(deterministic=True),
        tuple(name if name in read else "" for name in fed),
        tuple(f"{new[tensor.op.name]}:{tensor.value_index}" for tensor in concrete.outputs),
        tuple(tensor.numpy() for tensor in concrete.captured_inputs),
    )


def _rename(nodes: Collection[Any], new: Mapping[str, str], library: Mapping[str, Any], called: dict[str, str]) -> None:
    """Name nodes anew, and the functions that they call by the order in which they are called."""
    for node in nodes:
        node.name, node.device = new[node.name], ""
        node.input[:] = [_renamed(end, new) for end in node.input if not end.startswith("^")]
        for attribute in _COUNTED:
            node.attr.pop(attribute, None)
        for function in _functions(node):
            name = function.name
            if name not in called:
                called[name] = f"f{len(called)}"
                _rename_function(library[name], library, called)
            function.name = called[name]


def _rename_function(function: Any, library: Mapping[str, Any], called: dict[str, str]) -> None:
    """Name a function, its arguments, nodes and results anew."""
    signature = function.signature
    new = {end.name: f"n{place}" for place, end in enumerate((*signature.input_arg, *function.node_def))}
    ends = {f"r{place}": _renamed(function.ret[end.name], new) for place, end in enumerate(signature.output_arg)}
    signature.name = called[signature.name]
    for place, end in enumerate(signature.output_arg):
        end.name = f"r{place}"
    for end in signature.input_arg:
        end.name = new[end.name]
    function.ret.clear()
    function.ret.update(ends)
    for field in ("arg_attr", "attr", "control_ret"):
        function.ClearField(field)
    signature.ClearField("control_output")
    _rename(function.node_def, new, library, called)


def _renamed(end: str, new: Mapping[str, str]) -> str:
    """Return the name of a tensor after that of its node."""
    name, colon, output = end.partition(":")
    return f"{new[name]}{colon}{output}"


def _functions(node: Any) -> list[Any]:
    """Return the functions that a node names in its attributes."""
    values = [node.attr[key] for key in sorted(node.attr)]
    return [f for value in values for f in (*([value.func] if value.HasField("func") else ()), *value.list.func)]


def _name_functions(graph: Any, prefix: str) -> None:
    """Put what they hold into the names of a graph's functions: no two in a process may share a name."""
    for function in graph.library.function:
        function.signature.name = f"{function.signature.name}_{prefix}"
        for called in (called for node in function.node_def for called in _functions(node)):
            called.name = f"{called.name}_{prefix}"
    for called in (called for node in graph.node for called in _functions(node)):
        called.name = f"{called.name}_{prefix}"
