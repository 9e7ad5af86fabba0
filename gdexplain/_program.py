"""Functions of a live model as data: what they compute, without the model, for any worker to run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from gdexplain._model import Problem

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
    operations = concrete.graph.get_operations()
    impure = sorted({op.type for op in operations if op.op_def.is_stateful} - _HARMLESS)
    if impure:
        raise ValueError(f"it draws random numbers or calls Python from the graph ({', '.join(impure)}).")
    graph = concrete.graph.as_graph_def()
    new = {node.name: f"n{place}" for place, node in enumerate(graph.node)}
    fed = [new[tensor.op.name] for tensor in concrete.inputs]
    library = _rename_functions(graph)
    nodes = _rename_nodes(graph, new, fed)
    read = {end for node in nodes for end in node.input}
    plain = tf.compat.v1.GraphDef(node=nodes, library={"function": library}, versions=graph.versions)
    return Program(
        plain.SerializeToString(deterministic=True),
        tuple(name if name in read else "" for name in fed),
        tuple(f"{new[tensor.op.name]}:{tensor.value_index}" for tensor in concrete.outputs),
        tuple(tensor.numpy() for tensor in concrete.captured_inputs),
    )


def _rename_nodes(graph: Any, new: Mapping[str, str], fed: Collection[str]) -> list[Any]:
    """Name the nodes anew, and drop those that are fed from outside."""

    def renamed(end: str) -> str:
        name, colon, output = end.removeprefix("^").partition(":")
        return f"{'^' if end.startswith('^') else ''}{new[name]}{colon}{output}"

    for node in graph.node:
        node.name, node.device = new[node.name], ""
        ends = [renamed(end) for end in node.input]
        node.input[:] = [end for end in ends if not (end.startswith("^") and end[1:] in fed)]
        for attribute in _COUNTED:
            node.attr.pop(attribute, None)
    return [node for node in graph.node if node.name not in fed]


def _rename_functions(graph: Any) -> list[Any]:
    """Name the functions that the graph calls by what they hold: no two in a process may share a name."""
    library = sorted(graph.library.function, key=lambda function: function.signature.name)
    digest = joblib.hash([function.SerializeToString(deterministic=True) for function in library])
    new = {function.signature.name: f"f{digest}_{place}" for place, function in enumerate(library)}
    for node in (*graph.node, *(node for function in library for node in function.node_def)):
        for value in node.attr.values():
            for called in (*([value.func] if value.HasField("func") else ()), *value.list.func):
                called.name = new[called.name]
    for function in library:
        function.signature.name = new[function.signature.name]
    return library


@dataclass(frozen=True, eq=False)
class Tile:
    """Writes the programs of one problem for `width` runs at once, a column a run."""

    problem: Problem
    width: int
    own: bool  # whether each run has batches of its own

    @property
    def fixed(self) -> list[Any]:
        """What is read and no update changes: frozen weights, the means that Keras keeps of the losses of outputs."""
        known = {id(variable): variable for variable in (*self.problem.model.variables, *self.problem.state)}
        return [variable for variable in known.values() if not variable.trainable]

    @property
    def data(self) -> list[NDArray[Any]]:
        """Inputs and targets as a list of arrays."""
        return [leaf for leaf in keras.tree.flatten((self.problem.x, self.problem.y)) if leaf is not None]

    def gradient(self, size: int, optimizer: keras.optimizers.Optimizer) -> Program:
        """Write the loss of each run on a batch of `size` examples, and its gradient, clipped by norm."""

        def gradient(weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> list[Any]:
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = self._loss_at(weights, fixed, batch)
            pieces = self._checked(tape.gradient(loss, weights), optimizer)
            return [self.problem.mean(loss), *_clipped(pieces, optimizer)]

        return self._program(gradient, size, own=self.own)

    def loss(self) -> Program:
        """Write the loss of each run on all examples."""

        def loss(weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> list[Any]:
            return [self.problem.mean(self._loss_at(weights, fixed, batch))]

        return self._program(loss, self.problem.examples)

    def constraint(self) -> Program | None:
        """Write what the weights' constraints do to each run; None if there are none."""
        constraints = [variable.constraint or tf.identity for variable in self.problem.variables]
        if all(constraint is tf.identity for constraint in constraints):
            return None

        def constrain(weights: Sequence[Any], *_: Any) -> list[Any]:
            return [constraint(weight) for constraint, weight in zip(constraints, weights, strict=True)]

        return self._program(constrain, 1, first=0)

    def _loss_at(self, weights: Sequence[Any], fixed: Sequence[Any], batch: Sequence[Any]) -> Any:
        """Return the loss of the live model on a batch if these were its weights."""
        leaves = iter(batch)
        inputs, targets = keras.tree.map_structure(
            lambda leaf: None if leaf is None else next(leaves), (self.problem.x, self.problem.y)
        )
        mapping = [*zip(self.problem.variables, weights, strict=True), *zip(self.fixed, fixed, strict=True)]
        with keras.StatelessScope(mapping, collect_losses=True):
            return self.problem.run(inputs, targets, training=True)

    def _checked(self, pieces: Sequence[Any], optimizer: keras.optimizers.Optimizer) -> list[Any]:
        """Return the gradients as dense tensors; refuse by name the weights of which Keras would skip some."""
        paths = [variable.path for variable in self.problem.variables]
        idle = [path for path, piece in zip(paths, pieces, strict=True) if piece is None]
        if idle:
            raise ValueError(f"the loss does not depend on {', '.join(idle)}.")
        sparse = [path for path, piece in zip(paths, pieces, strict=True) if isinstance(piece, tf.IndexedSlices)]
        if sparse and (type(optimizer) is not keras.optimizers.SGD or optimizer.momentum):
            raise ValueError(
                f"{', '.join(sparse)} is a table of which a batch uses some rows. Keras' optimizers with a memory leave "
                "the memory of the other rows alone, which a sweep cannot do: use SGD without momentum."
            )
        return [tf.convert_to_tensor(piece) for piece in pieces]

    def _program(
        self, function: Callable[..., Sequence[Any]], size: int, *, own: bool = False, first: int = 1
    ) -> Program:
        """Vectorise a function of one run over the columns of a matrix, and trace it.

        It returns `first` numbers and then tensors with the shapes of the weights, which become columns again.
        """
        fixed, data, dtype = self.fixed, self.data, self.problem.dtype
        variables = self.problem.variables
        counts = [int(np.prod(variable.shape)) for variable in variables]

        def of_all(theta: Any, *given: Any) -> list[Any]:
            values, batch = given[: len(fixed)], given[len(fixed) :]
            # cut outside, so that a weight of one number is moved nowhere
            weights = [
                tf.cast(tf.reshape(tf.transpose(piece), (self.width, *variable.shape)), variable.dtype)
                for piece, variable in zip(tf.split(theta, counts), variables, strict=True)
            ]
            # an operation that cannot be vectorised is an error, and not a slow loop
            results = tf.vectorized_map(
                lambda run: function(run[0], values, run[1] if own else batch),
                (weights, batch if own else ()),
                fallback_to_while_loop=False,
            )
            rows = [tf.transpose(tf.reshape(tf.cast(result, dtype), (self.width, -1))) for result in results]
            return rows[:first] + ([tf.concat(rows[first:], axis=0)] if rows[first:] else [])

        runs = (self.width,) if own else ()
        return trace(
            of_all,
            tf.TensorSpec((sum(counts), self.width), dtype),
            *(tf.TensorSpec(variable.shape, variable.dtype) for variable in fixed),
            *(tf.TensorSpec((*runs, size, *array.shape[1:]), array.dtype) for array in data),
        )


def _clipped(pieces: Sequence[Any], optimizer: keras.optimizers.Optimizer) -> Sequence[Any]:
    """Clip the gradient of one run by norm, which the optimizer of the whole tile could not."""
    if optimizer.clipnorm is not None:
        return [tf.clip_by_norm(piece, optimizer.clipnorm) for piece in pieces]
    if optimizer.global_clipnorm is None:
        return pieces
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(piece)) for piece in pieces]))
    return [piece * tf.minimum(optimizer.global_clipnorm / norm, 1.0) for piece in pieces]


def schedule(optimizer: keras.optimizers.Optimizer) -> Program | None:
    """Write the learning rate as a function of the updates made; None if it is a number."""
    rate = optimizer._learning_rate
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return None
    return trace(lambda step: [tf.convert_to_tensor(rate(step))], tf.TensorSpec([], optimizer.iterations.dtype))
