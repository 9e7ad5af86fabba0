"""How often `diagnose` names the fault, and how often it sees one where there is none: ``nox -s diagnose-score``."""

from __future__ import annotations

import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from keras.optimizers import SGD, Adam, RMSprop
from sklearn import datasets

from benchmarks import harness
from gdexplain import diagnose, make_moons
from gdexplain.in_keras.diagnose.measure import batches
from tests import faulty
from tests.faulty import standard

TABLE = Path(__file__).resolve().parent.parent / "docs" / "project" / "diagnose.json"
SEEDS, TRIALS = 5, 24
SECONDS = 120  # so that no load of the machine cuts a diagnosis short
HARM = 0.25  # a mutant whose error is not this much above its healthy twin's is not broken


@dataclass(frozen=True)
class Setup:
    """A training that works, in parts, so that one part can be broken."""

    x: Any
    y: Any
    hidden: tuple[Any, ...]
    units: int
    end: str
    loss: Any
    optimizer: Any
    rate: float
    batch_size: int
    epochs: int
    activation: str = "relu"
    start: str = ""  # of the weights: "zeros", "dead", or as Keras draws them
    dropout: float = 0.0  # after each hidden layer
    penalty: float = 0.0  # L2, on each kernel
    frozen: bool = False  # every layer but the last

    def model(self, seed):
        """Build the model."""
        keras.utils.set_random_seed(seed)
        parts = []
        for part in self.hidden:
            parts += [part(self.activation), *([layers.Dropout(self.dropout)] if self.dropout else [])]
        model = keras.Sequential([keras.Input(self.x.shape[1:]), *parts, layers.Dense(self.units, self.end)])
        for layer in model.layers if self.start else ():
            values = [np.zeros_like(w) if self.start == "zeros" and w.ndim > 1 else w for w in layer.get_weights()]
            if self.start == "dead" and layer is not model.layers[-1] and len(values) == 2:
                values[1] = values[1] - 10 * (1 + np.abs(self.x).max())
            layer.set_weights(values)
        for kernel in (weight for weight in model.trainable_variables if weight.name == "kernel" and self.penalty):
            kernel.regularizer = keras.regularizers.L2(self.penalty)
        for layer in model.layers[:-1]:
            layer.trainable = not self.frozen
        return model

    def diagnosis(self, seed, **options):
        """Diagnose the training from a seed."""
        optimizer = self.optimizer(self.rate)
        how = {"optimizer": optimizer, "loss": self.loss, "batch_size": self.batch_size, "epochs": self.epochs}
        return timed(self.model(seed), (self.x, self.y), **how, **options)


def timed(model, data, **options):
    """Diagnose; return the report, and the seconds that processors spent on it, which other programs do not change."""
    began = time.process_time()
    return diagnose(model, data, seconds=SECONDS, **options), time.process_time() - began


def dense(units):
    return lambda activation: layers.Dense(units, activation)


def conv(filters):
    return lambda activation: layers.Conv2D(filters, 3, activation=activation)


def flatten(_):
    return layers.Flatten()


def gru(units):
    return lambda _: layers.GRU(units)


def momentum(rate):
    return SGD(rate, momentum=0.9)


def regressions():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (800, 1))
    yield "a sine", Setup(x, np.sin(2 * x), (dense(32),), 1, "linear", "mse", Adam, 0.005, 16, 30, "tanh")
    x = rng.uniform(-1, 1, (1000, 5))
    y = np.sin(np.pi * x[:, :1] * x[:, 1:2]) + 2 * x[:, 2:3] ** 2 + x[:, 3:4] + 0.5 * x[:, 4:5]
    hidden = (dense(32), dense(32))
    yield "five inputs", Setup(x, standard(y), hidden, 1, "linear", "mse", Adam, 0.001, 16, 30)
    x = rng.standard_normal((600, 3))
    y = np.tanh(x @ rng.standard_normal((3, 2))) + 0.1 * rng.standard_normal((600, 2))
    yield "two targets", Setup(x, y, (dense(24),), 2, "linear", "mse", momentum, 0.001, 16, 40, "tanh")
    x = rng.standard_normal((700, 8))
    y = standard(np.abs(x[:, :1]) + x[:, 1:2] - 0.5 * x[:, 2:3])
    yield "a kink", Setup(x, y, (dense(32),), 1, "linear", "mse", momentum, 0.001, 16, 50)


def binaries():
    moons = make_moons(800, noise=0.1, seed=2)
    order = np.random.default_rng(2).permutation(800)
    x, y = standard(moons.inputs)[order], np.asarray(moons.targets).reshape(-1, 1)[order].astype("float32")
    hidden = (dense(16), dense(16))
    yield "moons", Setup(x, y, hidden, 1, "sigmoid", "binary_crossentropy", Adam, 0.003, 16, 40)
    x, y = datasets.load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(3).permutation(len(x))
    x, y = standard(x)[order], y[order, np.newaxis].astype("float32")
    yield "cancer", Setup(x, y, (dense(16),), 1, "sigmoid", "binary_crossentropy", SGD, 0.02, 8, 25)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((800, 2))
    y = (np.linalg.norm(x, axis=1, keepdims=True) > 1.2).astype("float32")
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    yield "a ring, logits", Setup(x, y, (dense(24),), 1, "linear", logits, Adam, 0.01, 16, 40)


def classes():
    x, y = datasets.load_iris(return_X_y=True)
    order = np.random.default_rng(5).permutation(len(x))
    sparse = "sparse_categorical_crossentropy"
    yield "iris", Setup(standard(x)[order], y[order], (dense(16),), 3, "softmax", sparse, Adam, 0.005, 5, 40)
    x, y = datasets.load_wine(return_X_y=True)
    order = np.random.default_rng(6).permutation(len(x))
    x, y = standard(x)[order], np.eye(3, dtype="float32")[y[order]]
    yield "wine, one-hot", Setup(x, y, (dense(16),), 3, "softmax", "categorical_crossentropy", RMSprop, 0.001, 8, 40)
    rng = np.random.default_rng(7)
    y = rng.integers(0, 5, 800)
    x = standard(2.5 * rng.standard_normal((5, 4))[y] + rng.standard_normal((800, 4)))
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    yield "five blobs, logits", Setup(x, y, (dense(24),), 5, "linear", logits, momentum, 0.002, 16, 30)


def shaped():
    images, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(8).permutation(len(y))[:800]
    x, y = (images.reshape(-1, 8, 8, 1) / 16)[order], y[order]
    sparse = "sparse_categorical_crossentropy"
    yield "digits, convolution", Setup(x, y, (conv(8), flatten, dense(32)), 10, "softmax", sparse, Adam, 0.001, 16, 20)
    rng = np.random.default_rng(9)
    x = rng.standard_normal((600, 8, 2))
    y = standard(x[:, :, 0].mean(1, keepdims=True) - x[:, -1:, 1])
    yield "a sequence", Setup(x, y, (gru(16), dense(16)), 1, "linear", "mse", Adam, 0.003, 16, 25)


def healthy():
    """Return the twelve trainings that work."""
    return dict(pair for kind in (regressions, binaries, classes, shaped) for pair in kind())


def wrong_end(setup):
    if setup.end == "linear" and setup.loss == "mse":
        return replace(setup, end="sigmoid")
    return replace(setup, end="softmax" if setup.end == "sigmoid" else "relu")


def wrong_loss(setup):
    if setup.end == "linear" and setup.loss != "mse":  # logits, taken for probabilities
        return replace(setup, loss=type(setup.loss)(from_logits=False))
    other = {"mse": "binary_crossentropy", "binary_crossentropy": "categorical_crossentropy"}
    other |= {"categorical_crossentropy": "mean_absolute_percentage_error"}
    return replace(setup, loss=other.get(setup.loss, "mse"))


RULES = {  # how a training is broken, and the names that a diagnosis may give it
    "rate x 100": (lambda s: replace(s, rate=100 * s.rate), {"learning rate too high"}),
    "rate / 1000": (lambda s: replace(s, rate=s.rate / 1000), {"learning rate too low"}),
    "wrong end": (wrong_end, {"output activation"}),
    "wrong loss": (wrong_loss, {"loss"}),
    "unscaled": (lambda s: replace(s, x=500 + 1000 * s.x), {"unscaled inputs"}),
    "zero start": (lambda s: replace(s, start="zeros"), {"initialisation"}),
    "labels shifted": (lambda s: replace(s, y=np.roll(s.y, 1, axis=0)), {"labels shifted"}),
    "dead units": (lambda s: replace(s, activation="relu", start="dead"), {"dead units", "initialisation"}),
    "one epoch": (lambda s: replace(s, epochs=1), {"epochs"}),
    "one batch": (lambda s: replace(s, batch_size=len(s.x)), {"batch size"}),
    "dropout": (lambda s: replace(s, dropout=0.9), {"dropout"}),
    "penalty": (lambda s: replace(s, penalty=1.0), {"penalty"}),
    "frozen": (lambda s: replace(s, frozen=True), {"frozen layers"}),
}


def healthy_error(report):
    return float(np.mean(report.errors)) if report.errors else float("inf")


def row(diagnosis, truth=frozenset()):
    """Return what a table keeps of a diagnosis."""
    report, seconds = diagnosis
    names = [finding.name for finding in report.findings]
    return {
        "error": healthy_error(report),
        "names": names,
        "named": bool(truth & set(names)),
        "first": bool(names[:1]) and names[0] in truth,
        "seconds": round(seconds, 1),
    }


def score_healthy(table):
    """Diagnose what works, from five seeds."""
    for name, setup in healthy().items():
        table[name] = [row(setup.diagnosis(seed)) for seed in range(SEEDS)]
        print(f"{name:20}", *(f"{each['error']:.2f} {each['names'] or ''}" for each in table[name]), flush=True)


def score_mutants(table):
    """Diagnose what was broken."""
    for name, setup in healthy().items():
        well = row(setup.diagnosis(0))["error"]
        for rule, (break_it, truth) in RULES.items():
            found = row(break_it(setup).diagnosis(0), truth)
            found["broken"] = not found["error"] < well + HARM
            table.setdefault(name, {})[rule] = found
            mark = "named" if found["named"] else "MISSED" if found["broken"] else "not broken"
            print(
                f"{name:20} {rule:15} {mark:10} {found['error']:.2f} {found['seconds']:4} {found['names']}", flush=True
            )


def score_faulty(table):
    """Diagnose the real failures, and the twins that work."""
    for name, make in (faulty.FAULTY | faulty.CONTROL).items():
        for fixed in (False, True):
            case = make(fixed)
            found = row(timed(case.model, case.data, **case.options()), frozenset() if fixed else case.truth)
            table.setdefault(name, {})["fixed" if fixed else "faulty"] = found
            print(f"{name:14} {'fixed' if fixed else 'faulty':8} {found}", flush=True)


class Poison(layers.Layer):
    """Gives NaN or inf for the rows that are marked, by one operation, forward or on the way back."""

    def __init__(self, operation, *, checked):
        super().__init__()
        self.operation, self.checked = operation, checked

    def call(self, inputs):
        hidden, mark = inputs
        size, bad = tf.abs(hidden), mark > 0
        given = hidden + POISONS[self.operation](lambda one, other: tf.where(bad, one + 0 * size, other + size))
        return tf.debugging.check_numerics(given, "poison") if self.checked else given


POISONS = {  # what a marked row is given, and what any other
    "Log": lambda pick: 0 * tf.math.log(pick(-1, 1)),
    "Sqrt": lambda pick: 0 * tf.sqrt(pick(-1, 1)),
    "Exp": lambda pick: 0 * tf.exp(pick(1e3, 0) * 0.05 + pick(1e3, 0) * 0.05),
    "RealDiv": lambda pick: 0 * (pick(0, 1) / pick(0, 1)),
    "Rsqrt": lambda pick: 0 * tf.math.rsqrt(pick(0, 1)),
    "SqrtGrad": lambda pick: tf.sqrt(pick(0, 1)),  # finite; its slope at 0 is not
}


def poisoned(rng, operation, *, checked):
    """Return a model of random depth with one poisoned layer, data of which some rows are marked, and the truth."""
    depth, n, batch = int(rng.integers(2, 6)), int(rng.integers(60, 300)), int(rng.choice([4, 8, 16]))
    where, marked = int(rng.integers(0, depth)), rng.choice(n, int(rng.integers(1, 4)), replace=False)
    x, mark = rng.standard_normal((n, 4)).astype("float32"), np.zeros((n, 1), "float32")
    mark[marked] = 1
    inputs = keras.Input((4,)), keras.Input((1,))
    hidden, bad = inputs[0], Poison(operation, checked=checked)
    for place in range(depth):
        hidden = layers.Dense(6, "tanh")(hidden)
        hidden = bad([hidden, inputs[1]]) if place == where else hidden
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    order = np.concatenate(list(batches(n, batch, 4 * n, 0)))
    update = next(number for number, rows in enumerate(order) if mark[rows].any())
    rows = tuple(sorted({*order[update].tolist()} & {*marked.tolist()}))
    return model, ([x, mark], x[:, :1]), batch, (bad.name, operation, update, rows)


def outcome(model, data, batch, *, jit):
    """Say what a fit of a poisoned model comes to: "named", "silent", or "not compiled"."""
    model.compile(SGD(0.01), "mse", jit_compile=jit)
    try:
        model.fit(*data, batch_size=batch, epochs=1, shuffle=False, verbose=0)
    except tf.errors.InvalidArgumentError as error:
        return "not compiled" if "unsupported operations" in str(error) else "named"
    return "silent"


def says_tensorflow(make, *, jit):
    """Say what TensorFlow's own checks make of a poisoned fit: one at the layer, and the one for all operations."""
    with_check = outcome(*make(checked=True)[:3], jit=jit)
    tf.debugging.enable_check_numerics()
    try:
        return with_check, outcome(*make(checked=False)[:3], jit=jit)
    finally:
        tf.debugging.disable_check_numerics()


def score_not_finite(table):
    """Put NaN at random places, and see who finds them."""
    for number in range(TRIALS):
        jit, operation = bool(number % 2), list(POISONS)[number // 2 % len(POISONS)]

        def make(number=number, operation=operation, *, checked):
            keras.utils.set_random_seed(number)
            return poisoned(np.random.default_rng(number), operation, checked=checked)

        model, data, batch, truth = make(checked=False)
        model.compile(SGD(0.01), "mse", jit_compile=jit)
        found = diagnose(model, data, batch_size=batch, epochs=4, seconds=SECONDS).not_finite
        said = (found.layer, found.operation, found.update, found.rows) if found else ()
        at_layer, everywhere = says_tensorflow(make, jit=jit)
        about = {"operation": operation, "jit": jit, "right": said == truth}
        table[str(number)] = about | {"check_numerics": at_layer, "enable_check_numerics": everywhere}
        print(number, table[str(number)], "" if said == truth else f"{said} {truth}", flush=True)


SECTIONS = {
    "faulty": score_faulty,
    "mutants": score_mutants,
    "healthy": score_healthy,
    "not finite": score_not_finite,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), help=", ".join(SECTIONS))
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    for name in parser.parse_args().sections:
        table[name] = {}
        SECTIONS[name](table[name])
        table["machine"] = harness.machine()
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
