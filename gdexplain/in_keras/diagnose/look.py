"""What data and model show before a step: the kind of problem, ranges and scales, what stands at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit, softmax

from gdexplain.in_keras.arrays import is_array, leaves

Array = NDArray[Any]
CEILING = 2.0  # an error this many times that of a guess is as hopeless as any larger one
_LOG_LOSS = "log loss of the predictions, as a share of a guess's"


class Kind(NamedTuple):
    """A kind of problem: the activation and the loss that go with it, and what its error is measured in."""

    end: str
    loss: str
    measure: str


KINDS = {
    "regression": Kind("linear", "mean_squared_error", "squared error, as a share of the targets' variance"),
    "binary": Kind("sigmoid", "binary_crossentropy", _LOG_LOSS),
    "one-hot": Kind("softmax", "categorical_crossentropy", _LOG_LOSS),
    "labels": Kind("softmax", "sparse_categorical_crossentropy", _LOG_LOSS),
}
_ACTIVATIONS = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}
_ACTIVATED = ("Dense", "EinsumDense", "Activation", "Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D")


@dataclass(frozen=True, eq=False)
class Task:
    """What the targets ask for, and how far predictions are from it.

    Parameters
    ----------
    kind : {"regression", "binary", "one-hot", "labels", ""}
        Empty where targets are nested or none: then the loss itself is the measure.
    guess : float
        The error of the best constant: the variance of the targets, or the entropy of the classes.
    classes : int
        How many classes there are.
    """

    kind: str
    guess: float
    classes: int = 0

    @property
    def asks(self) -> Kind:
        """What such targets ask for."""
        return KINDS.get(self.kind, Kind("", "", "loss, as a share of the first"))

    def judge(self, targets: Array, predictions: Array, *, logits: bool) -> tuple[float, float]:
        """Return the error over that of the best constant, at most `CEILING`, and the share of right answers or NaN."""
        p, binary = np.asarray(predictions, np.float64), self.kind == "binary"
        if not np.all(np.isfinite(p)):
            return CEILING, float("nan") if self.kind == "regression" else 0.0
        if self.kind == "regression":
            return min(float(np.mean((p - targets.reshape(p.shape)) ** 2)) / self.guess, CEILING), float("nan")
        if binary:
            right, p = targets.reshape(p.shape), expit(p) if logits else p
            right, p = np.stack([1 - right, right], -1), np.stack([1 - p, p], -1)
        else:
            if self.kind == "labels":
                targets = np.eye(self.classes)[targets.reshape(p.shape[:-1]).astype(int)]
            right, p = targets, softmax(p, -1) if logits else p
        accuracy = float(np.mean(np.argmax(right, -1) == np.argmax(p, -1)))
        p = np.clip(p, 1e-9, None)
        p = np.clip(p / p.sum(-1, keepdims=True), 1e-3, 1 - 1e-3 * binary)
        return min(float(-np.mean(np.sum(right * np.log(p), -1))) / self.guess, CEILING), accuracy


def task_of(y: Any, shape: tuple[int, ...], loss: str) -> Task:
    """Say what kind of problem targets are, for predictions of this shape an example and a loss of this name."""
    if not isinstance(y, np.ndarray) or y.size == 0 or not shape:
        return Task("", 1.0)
    t, width = y.astype(np.float64), shape[-1]
    places, sides = t.size // len(t), "hinge" in loss and np.all(np.isin(t, (-1, 0, 1)))
    alike, labels = places == np.prod(shape), width > 1 and places == np.prod(shape[:-1]) and np.all(t == np.floor(t))
    if alike and not sides and np.all((t == 0) | (t == 1)):
        if width > 1 and np.all(t.reshape(-1, width).sum(-1) == 1):
            return Task("one-hot", _entropy(t.reshape(-1, width).mean(0)), width)
        share = t.reshape(len(t), -1).mean(0)
        return Task("binary", float(np.mean(np.maximum(entr(share) + entr(1 - share), 1e-3))), 2)
    if labels and t.min() >= 0 and t.max() < width:
        counts = np.bincount(t.astype(int).ravel(), minlength=width)
        return Task("labels", _entropy(counts / counts.sum()), width)
    soft = "crossentropy" in loss and width > 1 and np.all(t >= 0) and t.max() <= 1
    if not alike or soft or sides or ("cosine" in loss and width > 1):  # nothing but the loss says what is near
        return Task("", 1.0)
    return Task("regression", max(float(np.mean(t.reshape(len(t), -1).var(0))), 1e-30))


def wrong_labels(y: Any, width: int, loss: Any) -> tuple[str, str, str] | None:
    """Return fault, evidence and change of labels that no training could learn from as they are coded; None if fine."""
    name = str(getattr(loss, "name", getattr(loss, "__name__", loss))).lower()
    own = not isinstance(loss, str) and not (getattr(loss, "__module__", None) or "").startswith("keras.")
    if own or "cross" not in name or getattr(y, "ndim", len(np.shape(y))) not in (1, 2):
        return None
    try:
        found = np.unique(np.asarray(y, np.float64))
    except (TypeError, ValueError):  # no numbers: it is said elsewhere
        found = np.zeros(0)
    many = len(found)
    if many < 2:
        return None
    counted = np.array_equal(found - found[0], np.arange(many))
    back = f"y = y - {found[0]:g}" if counted else "y = np.unique(y, return_inverse=True)[1]"
    if "binary" in name and many == 2 and (found[0] < 0 or found[1] > 1):
        words = f"the labels are {found[0]:g} and {found[1]:g}, and binary cross-entropy takes 0 and 1"
        return "labels", words, f"y = (y == {found[1]:g}).astype('float32')"
    if width == 1 and many > 2 and counted:
        words = f"the labels are {many} classes, {found[0]:g} to {found[-1]:g}, and the model has one output for them"
        code = f"Dense({many}, activation='softmax') at the end, loss='sparse_categorical_crossentropy'"
        return "output units", words, code + f"; {back}" * bool(found[0])
    whole = np.all(found == np.floor(found)) and (found[0] > 0 or found[-1] >= width)
    if "sparse" in name and width > 1 and many == width and whole:
        words = f"the labels run from {found[0]:g} to {found[-1]:g}, and the model's {width} outputs are for 0 to {width - 1}"
        return "labels", words, back
    return None


def constant(y: Any) -> list[str]:
    """Say that all targets are the same, if they are."""
    same = isinstance(y, np.ndarray) and len(y) > 1 and bool(np.all(y == y[:1]))
    return ["All targets are the same: there is nothing to learn but one number."] if same else []


def _entropy(share: Array) -> float:
    """Return the log loss of the best constant guess."""
    return max(float(np.sum(entr(share))), 1e-3)


def bad_numbers(x: Any, y: Any) -> str:
    """Say where the data is not finite; nothing if it is."""
    plain = (isinstance(one, list) and not any(map(is_array, one)) for one in (x, y))
    try:
        x, y = (np.asarray(one) if joined else one for one, joined in zip((x, y), plain, strict=True))
    except ValueError:  # rows of several lengths: it is said elsewhere
        return ""
    for name, array in leaves("x", x) + leaves("y", y):
        try:
            bad = ~np.isfinite(np.asarray(array, np.float64))
        except (TypeError, ValueError):
            continue
        if np.any(bad):
            rows = np.unique(np.argwhere(np.atleast_1d(bad))[:, 0])
            return f"{name} has NaN or inf in {len(rows)} of {len(bad)} rows, the first of them {rows[:5].tolist()}"
    return ""


def same_rows(x: Any) -> str:
    """Say that all rows are the same, if they are: then nothing tells one from another."""
    arrays = [np.asarray(array) for _, array in leaves("x", x)]
    same = arrays and all(len(one) > 1 and one.dtype.kind in "fiub" and np.all(one == one[:1]) for one in arrays)
    return "every row of x is the same, so that nothing tells one from another" if same else ""


def columns(x: Any) -> list[str]:
    """Say which columns of a table are constant, and which are there twice: they do no harm, and tell nothing."""
    if not isinstance(x, np.ndarray) or x.ndim != 2 or len(x) < 3:
        return []
    x = x[:2000]
    constant = int(np.sum(np.all(x == x[0], axis=0)))
    twice = x.shape[1] - len(np.unique(x, axis=1).T)
    words = [f"{constant} without a second value"] * bool(constant) + [f"{twice} that others repeat"] * bool(twice)
    return [f"Among the {x.shape[1]} columns of x: {', '.join(words)}."] if words else []


def spread(array: Array) -> tuple[float, float]:
    """Return the largest mean and standard deviation of the columns, in absolute value."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    return float(np.abs(rows.mean(0)).max()), float(rows.std(0).max())


def standardised(x: Array, name: str = "x") -> tuple[Array, str]:
    """Return inputs with mean 0 and standard deviation 1, column by column, or as a whole for images; and the code."""
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype("float32")
    if x.ndim > 2:
        return ((x - x.mean()) / (x.std() + 1e-12)).astype(dtype), f"{name} = ({name} - {name}.mean()) / {name}.std()"
    scale = x.std(0)
    varies = scale > 1e-6 * (np.abs(x).max(0) + 1e-30)
    scaled = (x - x.mean(0)) / np.where(varies, scale, 1)
    # a column without a spread would become 0 / 0
    deviation = f"{name}.std(axis=0)"
    divisor = deviation if np.all(varies) else f"np.where({deviation} > 0, {deviation}, 1)"
    return scaled.astype(dtype), f"{name} = ({name} - {name}.mean(axis=0)) / {divisor}"


def glorot(shape: tuple[int, ...]) -> float:
    """Return the standard deviation that Glorot's rule gives to a kernel of this shape."""
    field = int(np.prod(shape[:-2]))
    return float(np.sqrt(2 / (field * (shape[-2] + shape[-1]))))


def is_kernel(name: str, array: Array) -> bool:
    """Say whether these are weights that rows are multiplied with."""
    return array.ndim >= 2 and array.size > 1 and not name.endswith(("bias", "embeddings"))


def drawn_anew(start: Sequence[Array], kernels: Sequence[bool], seed: int) -> tuple[Array, ...]:
    """Return another start: kernels by Glorot's rule, and no large bias."""
    rng, bound = np.random.default_rng(seed), np.sqrt(3)
    drawn = [
        rng.uniform(-bound, bound, array.shape) * glorot(array.shape) if kernel else array * (np.abs(array).max() <= 1)
        for array, kernel in zip(start, kernels, strict=True)
    ]
    return tuple(new.astype(array.dtype) for new, array in zip(drawn, start, strict=True))


def second_start(start: Sequence[Array], kernels: Sequence[bool], seed: int) -> tuple[Array, ...]:
    """Return the same weights with the rows and columns of each kernel in another order: a start as good as the first.

    It has the same numbers, whatever drew them, and pairs them anew. Biases stay.
    """
    rng, moved = np.random.default_rng(seed), list[Array]()
    for array, kernel in zip(start, kernels, strict=True):
        for axis in range(array.ndim if kernel else 0):
            array = np.take(array, rng.permutation(array.shape[axis]), axis)  # noqa: PLW2901  # axis by axis
        moved.append(array)
    return tuple(moved)


def has_table(model: Any) -> bool:
    """Say whether inputs are indices into a table."""
    return any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())


def frozen(model: Any) -> tuple[list[Any], list[Any]]:
    """Return the layers that are frozen, and the variables that would be trained if none were."""
    layers = model._flatten_layers()
    held = [one for layer in layers for one in layer._trainable_variables if not (layer.trainable and one.trainable)]
    return [layer for layer in layers if not layer.trainable], held


def dropouts(model: Any) -> list[tuple[Any, str, float]]:
    """Return each layer or cell that drops numbers out, with the name of the attribute that says how many, and its share."""
    found = list[tuple[Any, str, float]]()
    for layer in model._flatten_layers():
        names = ("rate",) if "Dropout" in type(layer).__name__ else ("dropout", "recurrent_dropout")
        shares = [(name, vars(layer).get(name)) for name in names]
        if type(layer).__name__ == "GaussianNoise":  # beside a signal of variance 1
            shares = [("stddev", layer.stddev**2 / (1 + layer.stddev**2))]
        found += [(layer, name, share) for name, share in shares if isinstance(share, float) and 0 < share < 1]
    return found


def last_layer(model: Any) -> Any:
    """Return the layer that makes the one output, None where that cannot be told."""
    layer = model
    while True:
        if isinstance(layer, keras.Sequential):
            layer = layer.layers[-1]
        elif isinstance(layer, keras.Model) and len(getattr(layer, "outputs", None) or ()) == 1:
            layer = layer.outputs[0]._keras_history.operation
        else:
            return layer if activation_of(layer) else None


def behind_weights(model: Any) -> list[Any]:
    """Return the layers between the last weights and the one output, last first; none where that cannot be told."""
    found, ends = list[Any](), getattr(model, "outputs", None) or []
    while len(ends) == 1:
        layer, node, _ = ends[0]._keras_history
        if getattr(layer, "weights", ()):
            return found
        found.append(layer)
        ends = layer._inbound_nodes[node].input_tensors
    return []


def activation_of(layer: Any) -> str:
    """Return the name of the activation of a layer whose activation can be changed, empty for any other."""
    kind = type(layer).__name__
    if kind in _ACTIVATIONS and type(layer).__module__.startswith("keras."):
        return _ACTIVATIONS[kind]
    if kind in _ACTIVATED and hasattr(layer, "activation"):
        return getattr(layer.activation, "__name__", "your own") if layer.activation is not None else "linear"
    return ""


def forecasts(x: Array, moved: Array) -> bool:
    """Say whether rows follow each other in time, so that moved targets would be told by what they are to foretell.

    Then a column of one row is another column of the next, or the moved targets are a column.
    """
    table = np.column_stack([one.reshape(len(one), -1) for one in (x, moved)]).astype(np.float64)[2:-2]
    columns = [column for column in table.T if column.std() > 0]
    later, sooner = ({column[part].tobytes() for column in columns} for part in (slice(1, None), slice(-1)))
    known = len(columns) > 1 and np.abs(np.corrcoef(columns)[-1, :-1]).max() > 0.999
    return bool(later & sooner) or bool(known)


def best_shift(x: Any, y: Any, *, rows: int = 800, furthest: int = 2) -> tuple[int, float, float]:
    """Return by how many rows the targets are off, and how much of them neighbours tell with and without that shift.

    Rows with like inputs have like targets. Take each row's five nearest others: what they tell of its target is a
    share of the variance, near 0 where inputs and targets do not belong together.
    """
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray) or len(x) < 20:
        return 0, 0.0, 0.0
    n = min(rows, len(x))
    flat = x[:n].reshape(n, -1).astype(np.float64)
    flat = (flat - flat.mean(0)) / (flat.std(0) + 1e-12)
    distance = (flat**2).sum(1)[:, np.newaxis] - 2 * flat @ flat.T + (flat**2).sum(1)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1, kind="stable")[:, :5]
    labels = y.ndim == 1 or y.shape[-1] == 1
    column = y.reshape(len(y), -1).astype(np.float64)
    if labels and 2 < len(np.unique(column)) <= 20 and np.all(column == np.floor(column)):
        column = (column == np.unique(column)).astype(np.float64)

    def told(shift: int) -> float:
        t = np.roll(column, shift, axis=0)[:n]
        return float(1 - np.mean((t - t[near].mean(1)) ** 2) / max(np.mean(t.var(0)), 1e-30))

    shares = {shift: told(shift) for shift in range(-furthest, furthest + 1)}
    best = max(shares, key=lambda shift: (shares[shift], shift == 0))
    return best, shares[best], shares[0]
