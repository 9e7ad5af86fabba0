"""Every public function with odd values in every argument: it returns, or it says which argument is wrong and why.

Each value carries the kinds that it may be taken for, and each argument the kinds that it takes. What an argument
does not take must be refused by a TypeError or a ValueError that names the argument. What it takes may still be out of
range. A call, refused or not, gives no warning and changes nothing that it was given or that belongs to everybody.
"""

import datetime as dt
import decimal
import fractions
import functools
import inspect
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import gdexplain as g
from gdexplain import plotting
from gdexplain.by_hand import graph, rules, schedules, tape

# ---- The odd values, each with the kinds that it may be taken for

WHOLE, REAL, TRUTH, TEXT, NOTHING = {"whole", "real", "numbers"}, {"real", "numbers"}, {"truth"}, {"text"}, {"nothing"}
NUMBERS, TRUTHS, ITEMS, FUNCTION = {"numbers", "items"}, {"truths", "items"}, {"items"}, {"function"}
MASK = np.array([[False], [True]])
ODD: dict[str, tuple[set[str], Callable[[], Any]]] = {
    "None": (NOTHING, lambda: None),
    "True": (TRUTH, lambda: True),
    "NumPy's False": (TRUTH, lambda: np.False_),
    "-1": (WHOLE, lambda: -1),
    "0": (WHOLE, lambda: 0),
    "1": (WHOLE, lambda: 1),
    "2 of 8 bits": (WHOLE, lambda: np.int8(2)),
    "2**63": (WHOLE, lambda: 2**63),
    "10**400": (WHOLE, lambda: 10**400),
    "a half": (REAL, lambda: 0.5),
    "a half of 16 bits": (REAL, lambda: np.float16(0.5)),
    "a fraction": (REAL, lambda: fractions.Fraction(1, 3)),
    "1e300": (REAL, lambda: 1e300),
    "1e-300": (REAL, lambda: 1e-300),
    "-1e300": (REAL, lambda: -1e300),
    "NaN": (set(), lambda: np.nan),
    "infinity": (set(), lambda: -np.inf),
    "1j": (set(), lambda: 1j),
    "a decimal": (set(), lambda: decimal.Decimal("0.5")),
    "a length of time": (set(), lambda: np.timedelta64(1, "D")),
    "a date": (set(), lambda: dt.date(2020, 1, 1)),
    "no": (TEXT, lambda: "no"),
    "no text": (TEXT, lambda: ""),
    "digits": (TEXT, lambda: "3"),
    "odd letters": (TEXT, lambda: "_$x{é\n\0"),
    "bytes": (set(), lambda: b"3"),
    "a masked number": (set(), lambda: np.ma.masked),
    "an array of no axes": (REAL, lambda: np.array(0.5)),
    "an empty list": (NUMBERS | TRUTHS, list),
    "a list of an empty list": (NUMBERS | TRUTHS, lambda: [[]]),
    "no rows": (NUMBERS, lambda: np.empty((0, 2))),
    "NaN in a list": (ITEMS, lambda: [0.0, np.nan]),
    "NaN in a matrix": (ITEMS, lambda: [[0.0, np.nan], [np.nan, 0.0]]),
    "None in a list": (ITEMS, lambda: [1.0, None]),
    "digits in a list": (ITEMS | {"texts"}, lambda: ["1", "2"]),
    "truths": (TRUTHS, lambda: [True, False]),
    "whole numbers": (NUMBERS, lambda: [1, 2]),
    "one row beyond": (NUMBERS, lambda: [99]),
    "a row below 0": (NUMBERS, lambda: [-1]),
    "half a row": (NUMBERS, lambda: [0.5]),
    "rows of unequal length": (ITEMS, lambda: [[1.0], [1.0, 2.0]]),
    "huge numbers": (NUMBERS, lambda: [[1e300, 0.0], [0.0, 1e300]]),
    "tiny numbers": (NUMBERS, lambda: [[1e-300, 0.0], [0.0, 1e-300]]),
    "three axes": (NUMBERS, lambda: np.ones((2, 2, 2))),
    "columns in Fortran's order": (NUMBERS, lambda: np.asfortranarray(np.ones((4, 2)))),
    "masked numbers": (ITEMS, lambda: np.ma.masked_array([[1.0], [2.0]], MASK)),
    "complex numbers": (ITEMS, lambda: np.array([[1j], [2.0]])),
    "dates": (ITEMS, lambda: np.array(["2020-01-01", "2020-01-02"], "M8[D]")),
    "objects": (ITEMS, lambda: np.array([1.0, object()])),
    "named columns": (ITEMS, lambda: np.zeros(2, [("a", float)])),
    "a series": (NUMBERS, lambda: pd.Series([1.0, 2.0])),
    "a table": ({"numbers"}, lambda: pd.DataFrame({"x": [1, 2], "y": [1.0, 2.0]})),
    "a table with a gap": (set(), lambda: pd.DataFrame({"x": pd.array([1, None], dtype="Int64")})),
    "a column of words": (ITEMS, lambda: pd.Series(["a", "b"], dtype="category")),
    "a mapping": ({"mapping"}, lambda: {"a": 1.0}),
    "a set": (set(), lambda: {1.0}),
    "a generator": (set(), lambda: (n for n in (1, 2))),
    "a function of nothing": (FUNCTION, lambda: lambda: None),
    "a function": (FUNCTION, lambda: len),
    "a type": (FUNCTION, lambda: dict),
    "an object": (set(), object),
}


# ---- The arguments: what each takes, and a value that is right


class Argument(NamedTuple):
    """The kinds that an argument takes, and how to make a value that is right."""

    kinds: frozenset[str]
    right: Callable[[], Any]


def taking(*kinds):
    """Return a maker of arguments of these kinds. A right value that can be called makes a new one for each call."""

    def make(right, *more):
        return Argument(frozenset((*kinds, *more)), right if callable(right) else lambda: right)

    return make


whole, real, flag, word, numbers = taking("whole"), taking("real"), taking("truth"), taking("text"), taking("numbers")
things, function, thing = taking("items"), taking("function"), taking()
OR_NONE = "nothing"


SHARED = Figure().subplots(1, 3)


def axes(place=0):
    """An empty axes: the same again and again, for making one takes long."""
    if SHARED[place].get_children() != EMPTY[place]:
        SHARED[place].clear()
        EMPTY[place] = SHARED[place].get_children()
    return SHARED[place]


EMPTY = [made.get_children() for made in SHARED]


def run(**changes):
    """A run of a line of four points, in one epoch of two batches."""
    batches = g.batch_order(4, 2, 2)
    made = g.descend(g.LeastSquares(g.make_line()), rules.gradient_descent(0.05), [0.0, 0.0], batches=batches)
    return made if not changes else g.Trajectory(**(vars(made) | changes))


def swept():
    return g.Sweep([1.0, 2.0], [False, True], [[0.0], [1.0]], [5, 3], 5, "SGD")


def surface():
    return g.loss_grid(g.LeastSquares(g.make_line()), a_range=(0, 1), b_range=(0, 1), resolution=3)


def node():
    return tape.Value(2.0, "x") * tape.Value(3.0)


HESSIAN, NOISE, POINT = [[15.0, 5.0], [5.0, 2.0]], [[2.0, 0.0], [0.0, 1.0]], [0.5, 0.5]
dataset = things(g.make_line)  # a pair of lists is one too
ax = thing(axes)
by = word("rule")
hessian, noise, theta, rate = numbers(HESSIAN), numbers(NOISE), numbers(POINT), real(0.05)
batch_size, replacement, seed = whole(2), flag(False), whole(1)
model, loss = thing(functools.cache(g.build_linear)), word("mse", "function")
objective = functools.cache(lambda: g.KerasObjective(model.right(), g.make_line()))
rows = numbers([0, 2], OR_NONE)
adam = {"beta_1": real(0.5), "beta_2": real(0.5), "epsilon": real(1e-7)}
scheduled = {"learning_rate": real(0.1, "function")}
decay = {"initial_learning_rate": rate, "decay_steps": whole(10), "decay_rate": real(0.5)}
named = {"layout": things((("w", (2,)),)), "provenance": thing({"seed": "0"}, "mapping")}


def method(make, name):
    """Return a method of an object that is made anew at each call."""

    def made_anew(*args, **options):
        return getattr(make(), name)(*args, **options)

    made_anew.__signature__ = inspect.signature(getattr(make(), name))
    return made_anew


def film(*args, **options):
    """Make a film and throw it away; one that was never shown would warn."""
    made = g.animate_descent(*args, **options)
    made._draw_was_started = True
    plt.close(made._fig)


film.__signature__ = inspect.signature(g.animate_descent)


def calling(function, /, **arguments):
    return function, arguments


def theory(name, **arguments):
    return {name: (getattr(g, name), arguments)}


def rule(name, **arguments):
    return {f"rules.{name}": (getattr(rules, name), scheduled | arguments)}


def schedule(name, **arguments):
    return {f"schedules.{name}": (getattr(schedules, name), arguments)}


CALLS: dict[str, tuple[Callable[..., Any], Mapping[str, Argument]]] = {
    # data and records
    "Dataset": calling(
        g.Dataset, inputs=numbers([[1.0], [2.0]], "truths"), targets=numbers([1.0, 2.0], "truths"), name=word("a")
    ),
    "Dataset.take": calling(method(g.make_line, "take"), rows=numbers([0, 0])),
    "make_line": calling(g.make_line, n=whole(3), slope=real(2.0), intercept=real(1.0), noise=real(0.1), seed=seed),
    "make_moons": calling(g.make_moons, n=whole(4), noise=real(0.1), seed=seed),
    "load_digits": calling(g.load_digits),
    "batch_order": calling(
        g.batch_order, n=whole(4), batch_size=whole(2, OR_NONE), epochs=whole(2), seed=seed, shuffle=flag(True)
    ),
    "Trajectory": calling(
        g.Trajectory,
        parameters=numbers([[0.0, 1.0], [0.5, 0.5]]),
        loss=numbers([1.0]),
        gradients=numbers([[0.5, -0.5]]),
        updates_per_epoch=whole(1),
        diverged=flag(False),
        label=word("SGD"),
        updates=numbers([0, 1]),
        batch_size=whole(2, OR_NONE),
        **named,
    ),
    "Trajectory.weight": calling(method(run, "weight"), name=word("w")),
    "Sweep": calling(
        g.Sweep,
        loss=numbers([1.0]),
        diverged=taking("truths")([False]),
        parameters=numbers([[0.0, 1.0]]),
        updates=numbers([2]),
        steps=whole(2),
        label=word("SGD"),
        learning_rate=numbers([0.1]),
        target=real(0.1, OR_NONE),
        steps_to_target=numbers([-1]),
        hyperparameters=thing({"momentum": np.array([0.5])}, "mapping"),
        seed=numbers([1]),
        batch_size=whole(2, OR_NONE),
        **named,
    ),
    # by hand
    "descend": calling(
        g.descend,
        objective=thing(lambda: g.LeastSquares(g.make_line())),
        rule=thing(lambda: rules.gradient_descent(0.1)),
        theta0=theta,
        steps=whole(1, OR_NONE),
        batches=things([[0], [1, 2]], OR_NONE),
    ),
    "LeastSquares": calling(g.LeastSquares, dataset=dataset),
    "LeastSquares.value_and_grad": calling(
        method(lambda: g.LeastSquares(g.make_line()), "value_and_grad"), theta=theta, rows=rows
    ),
    "NoisyQuadratic": calling(g.NoisyQuadratic, hessian=hessian, minima=numbers([[0.0, 1.0]])),
    "NoisyQuadratic.value_and_grad": calling(
        method(lambda: g.NoisyQuadratic(HESSIAN, [[0.0, 0.0]] * 3), "value_and_grad"), theta=theta, rows=rows
    ),
    "Dense": calling(
        g.Dense, weights=numbers([[1.0, 2.0]]), bias=numbers([0.0, 0.0], OR_NONE), activation=word("softmax")
    ),
    "trace_backprop": calling(
        g.trace_backprop,
        layers=thing(lambda: [g.Dense([[1.0]], [0.0])]),
        inputs=numbers([[1.0], [2.0]], "truths"),
        targets=numbers([1.0, 0.0], "truths"),
        loss=word("mae"),
    ),
    "BackpropTrace.explain": calling(
        method(lambda: g.trace_backprop([g.Dense([[1.0]])], [[1.0]], [[2.0]]), "explain"), limit=whole(10)
    ),
    "numerical_gradient": calling(
        g.numerical_gradient,
        function=function(lambda: lambda theta: (theta**2).sum()),
        theta=theta,
        method=word("forward"),
        h=real(0.001, OR_NONE),
    ),
    # landscapes
    "Plane": calling(g.Plane, origin=numbers([0.0, 0.0]), directions=numbers(np.eye(2)), labels=things(("u", "v"))),
    "Plane.of_parameters": calling(
        g.Plane.of_parameters,
        theta=numbers([1.0, 2.0, 3.0]),
        first=whole(0),
        second=whole(2),
        labels=things(("u", "v"), OR_NONE),
    ),
    "Plane.point": calling(method(g.Plane.of_parameters, "point"), a=numbers([1.0, 2.0]), b=numbers(0.5)),
    "Plane.project": calling(method(g.Plane.of_parameters, "project"), parameters=numbers([[1.0, 2.0]])),
    "Slice": calling(
        g.Slice,
        plane=thing(g.Plane.of_parameters),
        a=numbers([0.0, 1.0]),
        b=numbers([0.0, 1.0, 2.0]),
        loss=numbers(np.ones((3, 2))),
    ),
    "pca_plane": calling(g.pca_plane, path=numbers([[0.0, 1.0], [1.0, 0.0], [3.0, 3.0]])),
    "loss_grid": calling(
        g.loss_grid,
        loss_function=function(lambda: g.line_loss(g.make_line())),
        plane=thing(g.Plane.of_parameters, OR_NONE),
        a_range=numbers((0.0, 1.0), OR_NONE),
        b_range=numbers((0.0, 1.0), OR_NONE),
        around=numbers([[0.0, 0.0], [1.0, 1.0]], OR_NONE),
        resolution=whole(3),
    ),
    "loss_between": calling(
        g.loss_between,
        loss_function=function(lambda: g.line_loss(g.make_line())),
        start=theta,
        end=numbers([1.0, 0.0]),
        span=numbers((0.0, 2.0)),
        points=whole(3),
    ),
    "line_loss": calling(g.line_loss, dataset=dataset),
    "line_loss()": calling(g.line_loss(g.make_line()), theta=theta),
    # theory
    **theory("line_hessian", dataset=dataset),
    **theory("max_stable_learning_rate", hessian=hessian, beta=real(0.5), nesterov=flag(True)),
    **theory("optimal_learning_rate", hessian=hessian),
    **theory("contraction_rate", hessian=hessian, learning_rate=rate),
    **theory("optimal_momentum", hessian=hessian),
    **theory("gradient_covariance", dataset=dataset, theta=theta, batch_size=batch_size, replacement=replacement),
    **theory(
        "minibatch_gradient_variance", dataset=dataset, theta=theta, batch_size=batch_size, replacement=replacement
    ),
    **theory("gradient_noise_scale", hessian=hessian, noise_covariance=noise, gradient=theta),
    **theory("stationary_covariance", hessian=hessian, noise_covariance=noise, learning_rate=rate),
    **theory(
        "expected_squared_error",
        hessian=hessian,
        noise_covariance=noise,
        learning_rates=numbers([0.05, 0.01]),
        start=theta,
    ),
    **theory("max_stable_sgd_learning_rate", dataset=dataset, batch_size=batch_size, replacement=replacement),
    **theory("cyclic_contraction_rate", dataset=dataset, learning_rate=rate, batch_size=batch_size),
    # pictures
    "look_of": calling(g.look_of, trajectory=thing(run), by=by),
    "use_style": calling(mpl.rc_context()(g.use_style)),
    "draw_loss": calling(
        g.draw_loss,
        ax=ax,
        trajectories=thing(run),
        x=word("epochs"),
        scale=word("linear"),
        epoch_mean=flag(True),
        by=by,
    ),
    "draw_loss_surface": calling(
        g.draw_loss_surface, ax=ax, surface=thing(surface), levels=whole(3), numbers=flag(False)
    ),
    "draw_map": calling(
        g.draw_map, ax=ax, sweeps=thing(swept), x=numbers([0.0, 1.0]), y=numbers([0.0, 0.0]), value=word("updates")
    ),
    "draw_path": calling(g.draw_path, ax=ax, trajectory=thing(run), plane=thing(g.Plane.of_parameters, OR_NONE), by=by),
    "draw_minimum": calling(g.draw_minimum, ax=ax, point=theta, plane=thing(g.Plane.of_parameters, OR_NONE)),
    "draw_data": calling(g.draw_data, ax=ax, dataset=dataset),
    "draw_fits": calling(
        g.draw_fits, ax=ax, dataset=dataset, trajectory=thing(run), updates=numbers([0, 2], OR_NONE), by=by
    ),
    "draw_descent": calling(
        plotting.draw_descent,
        axes=thing(lambda: [axes(1), axes(2)]),
        dataset=dataset,
        trajectories=thing(run),
        surface=thing(surface, OR_NONE),
        by=by,
    ),
    "animate_descent": calling(
        film,
        dataset=dataset,
        trajectories=thing(run),
        surface=thing(surface, OR_NONE),
        frames=whole(3),
        interval=whole(50),
        by=by,
    ),
    # in Keras
    "build_linear": calling(g.build_linear, weight=real(0.5), bias=real(0.5), dtype=word("float64")),
    "build_mlp": calling(
        g.build_mlp,
        units=numbers([2, 1]),
        inputs=whole(1),
        activation=word("relu"),
        output_activation=word("sigmoid", OR_NONE),
        seed=seed,
        dtype=word("float64"),
    ),
    "as_layers": calling(g.as_layers, model=model),
    "KerasObjective": calling(g.KerasObjective, model=model, dataset=dataset, loss=loss),
    "KerasObjective.value": calling(method(objective, "value"), theta=theta, rows=rows),
    "KerasObjective.value_and_grad": calling(method(objective, "value_and_grad"), theta=theta, rows=rows),
    "KerasObjective.hessian_product": calling(method(objective, "hessian_product"), theta=theta, vector=theta),
    "sharpness": calling(g.sharpness, model=model, dataset=dataset, loss=loss, parameters=numbers(POINT, OR_NONE)),
    "check_gradients": calling(
        g.check_gradients,
        model_or_layers=thing(lambda: [g.Dense([[1.0]], [0.0])]),
        dataset=dataset,
        loss=word("mse", OR_NONE),
        at_most=whole(1),
        seed=seed,
    ),
    "RecordTrajectory": calling(
        g.RecordTrajectory, record=things(["parameters"], "texts"), record_every=whole(2), max_bytes=whole(120)
    ),
    "train": calling(
        g.train,
        model=model,
        dataset=dataset,
        optimizer=word("sgd"),
        loss=loss,
        batch_size=whole(2, OR_NONE),
        epochs=whole(1),
        seed=seed,
        shuffle=flag(False),
        record=things(["parameters"], "texts"),
        record_every=whole(1),
        max_bytes=whole(120),
        jit=flag(False),
        progress=flag(False),
    ),
    "sweep": calling(
        g.sweep,
        model=model,
        dataset=dataset,
        optimizer=word("sgd"),
        loss=loss,
        steps=whole(1),
        batch_size=whole(2, OR_NONE),
        learning_rate=numbers(0.1, OR_NONE),
        start=numbers([[0.0, 0.0]], OR_NONE),
        scale=numbers([[1.0, 1.0]], OR_NONE),
        hyperparameters=thing(None, OR_NONE, "mapping"),
        seed=numbers(0),
        shuffle=flag(False),
        target=real(0.1, OR_NONE),
        tile=whole(4),
        jit=flag(False),
        progress=flag(False),
        checkpoint=thing(None, OR_NONE, "text"),
    ),
    # update rules, schedules and the tape
    **rule("gradient_descent"),
    **rule("momentum", beta=real(0.5), nesterov=flag(True)),
    **rule("adagrad", initial_accumulator_value=real(0.1), epsilon=real(1e-07)),
    **rule("rmsprop", rho=real(0.5), momentum=real(0.5), epsilon=real(1e-07), centered=flag(True)),
    **rule("adadelta", rho=real(0.5), epsilon=real(1e-07)),
    **rule("adam", **adam),
    **rule("amsgrad", **adam),
    **rule("nadam", **adam),
    **rule("adamw", weight_decay=real(0.1), **adam),
    **rule("lion", beta_1=real(0.5), beta_2=real(0.5)),
    **schedule("constant", learning_rate=rate),
    **schedule("piecewise_constant", boundaries=numbers([1, 2]), values=numbers([0.1, 0.2, 0.3])),
    **schedule("exponential_decay", **decay),
    **schedule("step_decay", **decay),
    **schedule("inverse_time_decay", **decay),
    **schedule("cosine_decay", initial_learning_rate=rate, decay_steps=whole(10), alpha=real(0.1)),
    **schedule("warm_up", schedule=real(0.1, "function"), warmup_steps=whole(3)),
    "tape.Value": calling(
        tape.Value,
        number=real(1.0),
        name=word("x"),
        operation=word("+"),
        parents=things(lambda: (node(),)),
        local_derivatives=numbers([1.0]),
    ),
    **{f"tape.{name}": (getattr(tape, name), {"root": thing(node)}) for name in ("in_order", "backward")},
    "graph.layout": calling(graph.layout, root=thing(node)),
    "tape.walk_back": calling(lambda root: list(tape.walk_back(root)), root=thing(node)),
}
RESULTS = {"BackpropTrace", "GradientReport", "Diagnosis", "Finding"}  # functions return them
ELSEWHERE = {"diagnose"}  # it trains for seconds: tests/test_diagnose.py tries its odd values
ALIASES = {"dataset": "x|y|inputs|targets", "trajectories": "trajectory", "model_or_layers": "model|layers"}
CHANGED = {"ax", "axes", "model", "optimizer"}  # what a call that is not refused is there to change


# ---- The calls


def call(function, arguments):
    """Call a function with all its arguments by name."""
    positional, options = [], {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in arguments and parameter.kind is parameter.KEYWORD_ONLY:
            options[name] = arguments[name]
        elif name in arguments:
            positional.append(arguments[name])
    return function(*positional, **options)


def belongings():
    """What belongs to everybody, and no call may change."""
    return {
        "Python's random state": random.getstate(),
        "NumPy's random state": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "NumPy's errors": np.geterr(),
        "matplotlib's settings": dict.copy(mpl.rcParams),
        "open figures": plt.get_fignums(),
        "Keras' floatx": keras.config.floatx(),
    }


HELD = {
    np.ndarray: lambda array: (str(array.dtype), array.shape, array.flags.writeable, repr(array.tolist())),
    (pd.DataFrame, pd.Series): lambda table: table.to_json(),
    dict: lambda mapping: {key: fingerprint(item) for key, item in mapping.items()},
    (list, tuple): lambda things: [fingerprint(item) for item in things],
    keras.Model: lambda model: fingerprint(model.get_weights()),
    mpl.axes.Axes: lambda axes: len(axes.get_children()),
    (int, float, str, bytes): repr,
}


def fingerprint(value):
    """What a value holds: to see that it was not changed."""
    return next((held(value) for kind, held in HELD.items() if isinstance(value, kind)), None)


def answer(name, function, arguments, odd, given):
    """Call, and return whether the call was refused and what is wrong with the answer, if anything."""
    taken = ODD[odd][0] & arguments[name].kinds
    try:
        call(function, given)
    except (TypeError, ValueError, KeyError) as error:  # a KeyError is a weight's name that is not there
        # what the argument takes may disagree with another, which may be named in its stead
        names = [name, ALIASES.get(name, name), *(arguments if taken else [])]
        if not re.search(rf"\b({'|'.join(names)})\b", str(error)):
            return True, f"{type(error).__name__} does not name the argument: {str(error)[:200]}"
    except Exception as error:  # noqa: BLE001  # whatever it is, it is not what was promised
        return True, f"{type(error).__name__}: {str(error)[:200]}"
    else:
        return False, "" if taken else "was accepted"
    return True, ""


def complaint(name, function, arguments, odd):
    """Say what is wrong with the answer to an odd value; an empty string if nothing is."""
    given = {key: argument.right() for key, argument in arguments.items()} | {name: ODD[odd][1]()}
    before = belongings(), {key: fingerprint(value) for key, value in given.items()}
    refused, said = answer(name, function, arguments, odd, given)
    after = belongings(), {key: fingerprint(value) for key, value in given.items()}
    changed = [key for key in before[0] if before[0][key] != after[0][key]]
    changed += [key for key in before[1] if before[1][key] != after[1][key] and (refused or key not in CHANGED)]
    plt.close("all")
    return "; ".join([said, *(f"changed {key}" for key in changed)]).removeprefix("; ")


@pytest.mark.parametrize("name", CALLS)
def test_an_odd_value_is_taken_or_refused_by_name_and_changes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # text is a path to some
    function, arguments = CALLS[name]
    call(function, {key: argument.right() for key, argument in arguments.items()})
    complaints = {
        f"{name}({argument}={odd})": said
        for argument in arguments
        for odd in ODD
        if (said := complaint(argument, function, arguments, odd))
    }
    assert not complaints, "\n".join(f"{where}: {said}" for where, said in complaints.items())


def in_other_kinds(value):
    """The same numbers as NumPy and pandas have them."""
    array = np.asarray(value)
    if array.ndim == 0:
        narrow = {"b": np.bool_, "i": np.int8, "f": np.float32}[array.dtype.kind]
        yield from (array.dtype.type(value), narrow(value), array)
        return
    table = pd.DataFrame if array.ndim == 2 else pd.Series
    locked = array.copy(order="F")
    locked.flags.writeable = False
    yield from (array.tolist(), locked, array[::-1].copy()[::-1], table(array), array.astype(object))


@pytest.mark.parametrize("name", CALLS)
def test_numbers_are_numbers_whoever_holds_them_and_the_record_can_be_saved(name, tmp_path):
    function, arguments = CALLS[name]
    for key, argument in arguments.items():
        if argument.right() is None or not argument.kinds & {"whole", "real", "truth", "numbers", "truths"}:
            continue
        for value in in_other_kinds(argument.right()):
            if not callable(value):
                made = call(function, {key: argument.right() for key, argument in arguments.items()} | {key: value})
                if isinstance(made, g.Trajectory | g.Sweep):
                    assert repr(type(made).load(made.save(tmp_path / "record"))) == repr(made)


def test_every_public_function_and_each_of_its_arguments_is_tried():
    tried = {name.split(".")[0] for name in CALLS}
    assert set(g.__all__) - RESULTS - ELSEWHERE <= tried
    for module in (rules, schedules):
        made = {name for name, value in vars(module).items() if inspect.isfunction(value)}
        own = {
            name for name in made if not name.startswith("_") and getattr(module, name).__module__ == module.__name__
        }
        assert {f"{module.__name__.rpartition('.')[2]}.{name}" for name in own} <= set(CALLS)
    for name, (function, arguments) in CALLS.items():
        assert list(inspect.signature(function).parameters) == list(arguments), name
