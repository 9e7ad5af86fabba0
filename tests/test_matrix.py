"""What works with what: each kind of model, data and setting equals its reference, or is refused in words."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.trainers.epoch_iterator import EpochIterator

from gdexplain import KerasObjective, RecordTrajectory, check_gradients, sharpness, sweep, train
from gdexplain.in_keras.backend import flat_parameters
from tests.alike import alike
from tests.kinds import KINDS, Case

TABLE = Path(__file__).parents[1] / "docs" / "project" / "what_works.json"
REFUSALS = (ValueError, TypeError, NotImplementedError)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not support masking", "ignore:.*Gradients do not exist", "ignore:.*not have any trainable weights"
)


# ---- One kind, and what several columns are compared with


class Lab:
    """One kind, made as often as it must, and the references that its columns share."""

    def __init__(self, name: str) -> None:
        self.kind = KINDS[name]

    def case(self) -> Case:
        """Make the kind anew: each time the same."""
        keras.utils.set_random_seed(5)
        return self.kind.make()

    def compiled(self, *, referee: bool = False) -> Case:
        """Make the kind anew, compiled as its owner compiles it."""
        case = self.case()
        case.optimizer = case.referee if referee and case.referee is not None else case.optimizer
        compile_(case)
        return case

    @functools.cached_property
    def twin(self) -> tuple[Case, list[Any], list[Any]]:
        """A model that `fit` has trained, with what its variables held before and hold now."""
        case = self.compiled(referee=True)
        unbuilt = not case.model.built
        start = self.compiled(referee=True) if unbuilt else case
        if unbuilt:
            start.model(batch(start, start.batch_size)[0])
        start.model.optimizer.build(start.model.trainable_variables)
        before = values(start)
        fit(case)
        return case, before, values(case)

    def tape(self, *, training: bool) -> tuple[float, Any]:
        """Loss and gradient at the start by a plain tape: of the first batch of training, or of all rows."""
        case, before, _ = self.twin
        put(case, before)
        fresh = self.case()
        case.x, case.y = fresh.x, fresh.y  # a generator gives its batches once
        return tape(case, training=training)

    @functools.cached_property
    def still(self) -> Case:
        """A model for the functions that change none."""
        return self.compiled()

    @functools.cached_property
    def objective(self) -> KerasObjective:
        return KerasObjective(self.still.model, self.still.data, loss=self.still.loss)

    @functools.cached_property
    def first_step(self) -> tuple[float, Any]:
        """Loss and gradient of the first batch of training."""
        return self.tape(training=True)

    def start(self, factor: float) -> Any:
        """The weights that the kind starts with, flat, times a factor."""
        case, before, _ = self.twin
        put(case, before)
        return np.float32(factor) * flat_parameters(case.model)

    def after_fit_from(self, factor: float) -> Any:
        """The weights that `fit` makes of these; those before the average is taken, where the optimizer takes one."""
        case, before, after = self.twin
        recorder = [RecordTrajectory(record="parameters")] if case.model.optimizer.use_ema else []
        if factor == 1 and not recorder:
            put(case, after)
            return flat_parameters(case.model)
        put(case, before)
        for variable in case.model.trainable_variables:
            variable.assign(factor * variable.value)
        fit(case, *recorder)
        return recorder[0].trajectory.parameters[-1] if recorder else flat_parameters(case.model)


def compile_(case: Case) -> None:
    case.model.compile(case.optimizer, case.loss, **{"jit_compile": False} | dict(case.compile))


def fit(case: Case, *callbacks: Any) -> None:
    options = {"batch_size": case.batch_size, "shuffle": False, "verbose": 0, "callbacks": list(callbacks)}
    case.model.fit(case.x, case.y, **options, **case.fit)


def batch(case: Case, size: int | None) -> tuple[Any, Any, Any]:
    """The first batch of so many rows, as Keras hands it to a model."""
    weights = {"sample_weight": case.fit.get("sample_weight"), "class_weight": case.fit.get("class_weight")}
    batches = EpochIterator(x=case.x, y=case.y, batch_size=size, shuffle=False, **weights).data_adapter.get_tf_dataset()
    return keras.utils.unpack_x_y_sample_weight(next(iter(batches)))


def variables(case: Case) -> list[Any]:
    """Every variable of a model, its loss and its optimizer, in one order; Keras lists no state of an RNN or a loss."""
    optimizer = getattr(case.model, "optimizer", None) or case.optimizer
    states = [state for layer in case.model.layers if getattr(layer, "stateful", False) for state in layer.states]
    held = [value for value in getattr(case.loss, "__dict__", {}).values() if isinstance(value, keras.Variable)]
    return [*case.model.variables, *states, *held, *(() if isinstance(optimizer, str) else optimizer.variables)]


def values(case: Case) -> list[Any]:
    return [variable.numpy() for variable in variables(case)]


def put(case: Case, held: list[Any]) -> None:
    for variable, value in zip(variables(case), held, strict=True):
        variable.assign(value)


def tape(case: Case, *, training: bool) -> tuple[float, Any]:
    """Loss and gradient of a compiled model by a plain tape: of a batch of training, or of all rows."""
    x, y, weights = batch(case, case.batch_size if training else 99)
    with tf.GradientTape() as record:
        prediction = case.model(x, **({"training": training} if case.model._call_has_training_arg else {}))
        loss = case.model.compute_loss(x, y, prediction, weights, training=training)
        mean = tf.reduce_mean(loss)
    weights = case.model.trainable_variables
    parts = record.gradient(loss if training else mean, [variable.value for variable in weights])
    dense = [np.zeros(variable.shape) if part is None else part for part, variable in zip(parts, weights, strict=True)]
    flat = [np.asarray(tf.convert_to_tensor(part), float).ravel() for part in dense]
    return float(mean), np.concatenate([*flat, []])


def near(ours: Any, theirs: Any, digits: float) -> None:
    """Two ways to compute one thing agree, by the largest number in it."""
    scale = max(float(np.max(np.abs(theirs), initial=0)), 1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=digits * scale)


def same(case: Case, ours: list[Any], theirs: list[Any]) -> None:
    """Two runs end with the same variables: to the last bit where they do the same arithmetic."""
    if not case.exact:  # each beside the largest of all
        near(*(np.concatenate([np.ravel(one) for one in values]) for values in (ours, theirs)), 1e-6)
        return
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@contextlib.contextmanager
def changing_nothing(case: Case, *, ever: bool) -> Iterator[None]:
    """The block leaves model and optimizer as they were: whenever it is left, or only if it refuses the kind."""
    before = state(case)
    try:
        yield
    except REFUSALS:
        assert state(case) == before
        raise
    if ever:
        assert state(case) == before


def state(case: Case) -> Any:
    attributes = {name: id(value) for name, value in vars(case.model).items() if name != "_called"}
    held = [(variable.path, variable.numpy().tobytes()) for variable in variables(case)]
    return *((attributes, held) if case.model.built else ()), keras.config.floatx()


# ---- The columns


def by_train(lab: Lab) -> None:
    case = lab.case()
    if case.compile:
        compile_(case)
    options = {"optimizer": case.optimizer, "loss": case.loss, "batch_size": case.batch_size, "shuffle": False}
    with changing_nothing(case, ever=False):
        run = train(case.model, case.data, epochs=1, **options)
    same(case, values(case), lab.twin[2])
    if not case.model.optimizer.use_ema:
        np.testing.assert_array_equal(run.parameters[-1], flat_parameters(case.model))
    _check_first_row(lab, case, run)


def by_recorder(lab: Lab) -> None:
    case, recorder = lab.compiled(), RecordTrajectory()
    before = values(case)
    try:
        fit(case, recorder)
    except REFUSALS:
        for one, other in zip(values(case), before, strict=True):
            np.testing.assert_array_equal(one, other)
        raise
    same(case, values(case), lab.twin[2])
    _check_first_row(lab, case, recorder.trajectory)


def _check_first_row(lab: Lab, case: Case, run: Any) -> None:
    """The record of the first update is what a tape says of its batch."""
    loss, gradient = lab.first_step
    near(run.loss[0], loss, case.digits)
    near(run.gradients[0], gradient, 10 * case.digits)


def by_check(lab: Lab) -> None:
    with changing_nothing(lab.still, ever=True):
        report = check_gradients(lab.still.model, lab.still.data)
    assert report.verdict.startswith("Right"), report


def by_objective(lab: Lab) -> None:
    with changing_nothing(lab.still, ever=True):
        objective, digits = lab.objective, lab.still.digits
        loss, gradient = objective.value_and_grad(objective.theta)
    theirs = lab.tape(training=False)
    near(loss, theirs[0], digits)
    near(gradient, theirs[1], 10 * digits)


def by_sharpness(lab: Lab) -> None:
    case = lab.still
    with changing_nothing(case, ever=True):
        ours = sharpness(case.model, case.data, loss=case.loss)
    coarse = case.digits > 1e-3  # differences of a coarser loss are noise
    objective = lab.objective.in_float64() if coarse else lab.objective
    theta, step = objective.theta, 5e-3
    gradient = functools.partial(_gradient, objective)
    hessian = np.array([gradient(theta + step * row) - gradient(theta - step * row) for row in np.eye(len(theta))])
    near(ours, np.linalg.eigvalsh((hessian + hessian.T) / (4 * step))[-1], 0.1 if coarse else 0.01)


def _gradient(objective: KerasObjective, theta: Any) -> Any:
    return objective.value_and_grad(theta)[1]


def by_sweep(lab: Lab) -> None:
    case, factors = lab.case(), (1.0, 0.5)
    if case.compile:
        compile_(case)
    refused = "sweep" in lab.kind.no
    two = {"seed": [0, 1]} if refused else {"start": np.array([lab.start(factor) for factor in factors])}
    steps = 1 if case.batch_size == 1 else 2
    options = {"optimizer": case.optimizer, "loss": case.loss, "batch_size": case.batch_size, "shuffle": False}
    with changing_nothing(case, ever=case.model.built):
        runs = sweep(case.model, case.data, steps=steps, jit=False, **two, **options)
    for factor, row in zip(factors, runs.parameters, strict=True):
        near(row, lab.after_fit_from(factor), case.digits)


COLUMNS = {
    "train": by_train,
    "RecordTrajectory": by_recorder,
    "check_gradients": by_check,
    "KerasObjective": by_objective,
    "sharpness": by_sharpness,
    "sweep": by_sweep,
}
BLIND = ("check_gradients", "KerasObjective", "sharpness")  # they see neither the optimizer nor what else is compiled
lab_of = functools.lru_cache(maxsize=1)(Lab)


@functools.cache
def outcome(name: str, column: str) -> str:
    """Try a function on a kind: "yes", or "no: " and what to use instead, as the message says. Anything else raises."""
    kind = KINDS[name]
    if kind.like and column in BLIND:
        return outcome(kind.like, column)
    refusal, lab = kind.no.get(column), lab_of(name)
    before = keras.config.floatx()
    keras.config.set_floatx(lab.case().floatx)
    try:
        if refusal is None:
            COLUMNS[column](lab)
            return "yes"
        with pytest.raises(REFUSALS) as caught:
            COLUMNS[column](lab)
    finally:
        keras.config.set_floatx(before)
    assert re.search(refusal.message, str(caught.value)), str(caught.value)
    return f"no: use {refusal.instead}"


def row(name: str) -> dict[str, Any]:
    """How a kind stands in the table but for its cells."""
    return {"kind": KINDS[name].name, "family": KINDS[name].family, "code": KINDS[name].code}


FIRST = {kind.family: name for name, kind in reversed(KINDS.items())}.values()  # one kind of each family


@pytest.mark.parametrize(
    ("name", "column"),
    alike(
        ((name, column) for name in KINDS for column in COLUMNS),
        daily=lambda cell: cell[1] == "train" or cell[0] in FIRST,
    ),
)
def test_each_kind_equals_its_reference_or_is_refused_with_what_to_use_instead(name, column, request):
    found = outcome(name, column)
    if not request.config.getoption("--write-matrix"):
        assert json.loads(TABLE.read_text(encoding="utf-8"))["rows"][name]["cells"][column] == found


def test_the_table_that_the_site_shows_is_of_these_kinds(request):
    if request.config.getoption("--write-matrix"):
        rows = {name: row(name) | {"cells": {column: outcome(name, column) for column in COLUMNS}} for name in KINDS}
        table = {"columns": list(COLUMNS), "rows": rows}
        TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    assert {name: {key: table["rows"][name][key] for key in row(name)} for name in table["rows"]} == {
        name: row(name) for name in KINDS
    }
    assert table["columns"] == list(COLUMNS)
