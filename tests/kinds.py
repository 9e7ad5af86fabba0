"""Kinds of model, data and setting that people bring, each as small as can be: what `test_matrix` tries them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from gdexplain import Dataset

K, L, O, ops = keras.losses, keras.layers, keras.optimizers, keras.ops
RNG = np.random.default_rng(0)
ROWS = 4
X, Y = RNG.normal(size=(ROWS, 3)).astype("float32"), RNG.normal(size=(ROWS, 1)).astype("float32")
PATHS, IMAGES = RNG.normal(size=(ROWS, 2, 2)).astype("float32"), RNG.normal(size=(ROWS, 3, 3, 1)).astype("float32")
WORDS, LABELS = np.array([[1, 2], [3, 0], [2, 1], [4, 0]]), np.array([0, 2, 1, 2])
SPARSE = "sparse_categorical_crossentropy"


@dataclass
class Case:
    """A model with all that training it takes: what `compile` and `fit` are given."""

    model: keras.Model
    x: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    loss: Any = "mse"
    optimizer: Any = field(default_factory=lambda: O.SGD(0.05))
    referee: Any = None  # the optimizer of a model that `fit` trains, where it is another one
    batch_size: int | None = 2
    compile: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None  # what is handed to the package; (x, y) if None
    digits: float = 1e-5  # how far one number may be from the same one, computed in another way
    floatx: str = "float32"
    exact: bool = True  # whether `train` and `fit` do the same arithmetic

    def __post_init__(self) -> None:
        """Hand the package what `fit` is given."""
        self.data = (self.x, self.y) if self.data is None else self.data


@dataclass(frozen=True)
class No:
    """A refusal: what its message must say (a pattern), and what it tells people to use instead."""

    message: str
    instead: str


@dataclass(frozen=True)
class Kind:
    """A kind in the matrix: how it is made, how that is said, and which functions refuse it."""

    name: str
    family: str
    code: str
    make: Callable[[], Case]
    no: Mapping[str, No]
    like: str = ""  # the kind with the same model, data and loss


RECORDER = "fit with RecordTrajectory"
OWN_STEP = No(
    r"model must use Keras' own train_step, but \w+ overrides it\. Use fit with the callback RecordT", RECORDER
)
SCALED = No(r"must not scale the loss .*\. Use fit with the callback RecordTrajectory instead", RECORDER)
HALF = No(r"must not have the dtype policy mixed_float16.*Use fit with the callback RecordTrajectory", RECORDER)
WEIGHED = No(
    r"must not be compiled with loss_weights.*Use fit with .*RecordTrajectory.* weights into the losses", RECORDER
)
ARRAYS = No(
    r"must be a Dataset or a pair \(x, y\) of arrays, not \w+.* goes to fit, with RecordTrajectory", "arrays (x, y)"
)
IN_BATCHES = No(ARRAYS.message, RECORDER)
NO_WEIGHT = No(r"must have a trainable weight, but all are frozen.*: set trainable = True", "trainable = True")
NOT_BUILT = No(
    r"model must be built: start it with keras\.Input, or call it once on data", "keras.Input, or call it first"
)
STATE = No(r"must have no state besides its weights in a sweep.* that of \w+.*\. Use train", "train")
NOT_VECTORISED = No(r"a step that a sweep can vectorise.*loop invariant\. Use train", "train")
TABLE = No(r"is a table of which a batch uses some rows.*use SGD without momentum", "SGD without momentum")
IDLE = No(r"the loss does not depend on kind/kernel, kind/bias\. Use train", "train, or freeze the layer")
BY_FUNCTION = No(r"optimizer must have a number or a Keras schedule as its learning rate", "a number or a schedule")
OTHERS = No(r"optimizer must be one of Keras' SGD, .* in a sweep, not \w+", "one of ten optimizers of Keras, or train")
DECAY = No(r"optimizer must decay all weights or none in a sweep", "decay of all or none, or train")
OTHER_MODEL = No(r"optimizer must be a new one for these weights", "a new optimizer")
GRAPH = No(
    r"must run as a graph.*: use fit with run_eagerly=True and the callback RecordTrajectory",
    f"run_eagerly=True, {RECORDER}",
)
STATE_OF_BATCHES = No(
    r"must come in batches of 2 examples.*: choose .* a data set of as many rows", "as many rows as a batch"
)
SEVERAL = No(r"must be compiled with steps_per_execution=1 for RecordTrajectory", "steps_per_execution=1")
LOOKS = ("check_gradients", "KerasObjective", "sharpness")
DOES = ("train", "sweep")
KINDS: dict[str, Kind] = {}


def no(refusal: No, *columns: str) -> dict[str, No]:
    return dict.fromkeys(columns, refusal)


def kind(family: str, *, like: str = "", **no: No) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """List a function that makes a kind, with the columns that refuse it."""

    def listed(make: Callable[[], Case]) -> Callable[[], Case]:
        code = " ".join((make.__doc__ or "").split())
        KINDS[make.__name__] = Kind(make.__name__.replace("_", " "), family, code, make, no, like)
        return make

    return listed


def stack(*layers: Any, shape: tuple[int, ...] = (3,), **options: Any) -> keras.Model:
    return keras.Sequential([keras.Input(shape, **options), *layers])


def net(outputs: int = 1, activation: Any = None, **options: Any) -> keras.Model:
    """A model that stands for any, where the kind is another part: one layer, so that there is little to compile."""
    return stack(L.Dense(outputs, activation, **options))


def frozen(layer: Any) -> Any:
    layer.trainable = False
    return layer


# ---- Layers


@kind("Layers")
def dense():
    """Dense(2, "tanh"), Dense(1)"""
    return Case(stack(L.Dense(2, "tanh"), L.Dense(1)))


@kind("Layers")
def softmax():
    """Dense(2, "relu"), Dense(3, "softmax"), whole-number labels"""
    return Case(stack(L.Dense(2, "relu", bias_initializer="ones"), L.Dense(3, "softmax")), y=LABELS, loss=SPARSE)


@kind("Layers")
def prelu():
    """PReLU, which has weights of its own"""
    return Case(stack(L.Dense(2), L.PReLU(alpha_initializer=keras.initializers.Constant(0.3)), L.Dense(1)))


@kind("Layers")
def normalization():
    """Normalization, adapted to the data"""
    layer = L.Normalization()
    layer.adapt(X)
    return Case(stack(layer, L.Dense(1)))


@kind("Layers")
def rescaling():
    """Rescaling(1 / 255) of pixels"""
    return Case(stack(L.Rescaling(1 / 255), L.Dense(1)), x=(80 * np.abs(X)).astype("uint8"))


@kind("Layers", **no(STATE, "sweep"))
def augmentation():
    """RandomFlip and RandomBrightness of images"""
    layers = L.RandomFlip("horizontal", seed=1), L.RandomBrightness(0.2, (0, 1), seed=2)
    return Case(stack(*layers, L.Flatten(), L.Dense(1), shape=(3, 3, 1)), x=IMAGES)


@kind("Layers")
def embedding():
    """Embedding(5, 2), Flatten"""
    return Case(stack(L.Embedding(5, 2), L.Flatten(), L.Dense(1), shape=(2,)), x=WORDS)


@kind("Layers", **no(TABLE, "sweep"))
def embedding_under_adam():
    """Embedding(5, 2) with Adam"""
    return Case(stack(L.Embedding(5, 2), L.Flatten(), L.Dense(1), shape=(2,)), x=WORDS, optimizer=O.Adam(0.01))


@kind("Layers")
def masked_mean():
    """Embedding(mask_zero=True), GlobalAveragePooling1D"""
    return Case(stack(L.Embedding(5, 2, mask_zero=True), L.GlobalAveragePooling1D(), L.Dense(1), shape=(2,)), x=WORDS)


@kind("Layers")
def masked_sequences():
    """Embedding(mask_zero=True), GRU"""
    return Case(stack(L.Embedding(5, 1, mask_zero=True), L.GRU(1, unroll=True), L.Dense(1), shape=(2,)), x=WORDS)


@kind("Layers")
def masking():
    """Masking(0.0), RNN(SimpleRNNCell)"""
    x = PATHS.copy()
    x[1, 1] = x[2, 1] = 0
    return Case(stack(L.Masking(0.0), L.RNN(L.SimpleRNNCell(1), unroll=True), L.Dense(1), shape=(2, 2)), x=x)


@kind("Layers")
def simple_rnn():
    """SimpleRNN, as a loop in the graph"""
    return Case(stack(L.SimpleRNN(1), L.Dense(1), shape=(2, 2)), x=PATHS)


@kind("Layers")
def lstm():
    """LSTM(return_sequences=True)"""
    layers = L.LSTM(1, return_sequences=True, unroll=True), L.Flatten()
    return Case(stack(*layers, L.Dense(1), shape=(2, 2)), x=PATHS)


@kind("Layers")
def bidirectional():
    """Bidirectional(SimpleRNN)"""
    return Case(stack(L.Bidirectional(L.SimpleRNN(1, unroll=True)), L.Dense(1), shape=(2, 2)), x=PATHS)


@kind("Layers", **no(STATE_OF_BATCHES, *LOOKS), **no(STATE, "sweep"))
def stateful_rnn():
    """SimpleRNN(stateful=True), batch_shape"""
    layers = L.SimpleRNN(1, stateful=True, unroll=True), L.Dense(1)
    return Case(keras.Sequential([keras.Input(batch_shape=(2, 2, 2)), *layers]), x=PATHS)


@kind("Layers")
def time_distributed():
    """TimeDistributed(Dense)"""
    return Case(stack(L.TimeDistributed(L.Dense(2, "tanh")), L.Flatten(), L.Dense(1), shape=(2, 2)), x=PATHS)


@kind("Layers", **no(NOT_VECTORISED, "sweep"))
def conv1d():
    """Conv1D, GlobalAveragePooling1D"""
    return Case(
        stack(L.Conv1D(2, 2, activation="tanh"), L.GlobalAveragePooling1D(), L.Dense(1), shape=(3, 3)), x=IMAGES[..., 0]
    )


@kind("Layers", **no(NOT_VECTORISED, "sweep"))
def conv2d():
    """Conv2D, Flatten"""
    return Case(stack(L.Conv2D(1, 2, activation="tanh"), L.Flatten(), L.Dense(1), shape=(3, 3, 1)), x=IMAGES)


@kind("Layers", **no(NOT_VECTORISED, "sweep"))
def separable_conv():
    """SeparableConv2D, DepthwiseConv2D"""
    layers = L.SeparableConv2D(2, 2, activation="tanh"), L.DepthwiseConv2D(2), L.Flatten()
    return Case(stack(*layers, L.Dense(1), shape=(3, 3, 1)), x=IMAGES)


@kind("Layers", **no(NOT_VECTORISED, "sweep"))
def transposed_conv():
    """Conv1DTranspose"""
    return Case(stack(L.Conv1DTranspose(1, 2), L.Flatten(), L.Dense(1), shape=(2, 2)), x=PATHS)


@kind("Layers")
def pooling():
    """Dense, MaxPooling2D, AveragePooling2D"""
    layers = L.Dense(2, "tanh"), L.MaxPooling2D(2, 1), L.AveragePooling2D(2), L.Flatten()
    return Case(stack(*layers, L.Dense(1), shape=(3, 3, 1)), x=IMAGES)


@kind("Layers", **no(STATE, "sweep"))
def batch_normalization():
    """BatchNormalization"""
    # The bias before it has a gradient of 0, which sums of rounding errors make: TensorFlow's graph optimiser adds these up in
    # an order of its own in each graph, and on a processor without AVX-512 that changed a last bit for one start of twelve.
    return Case(stack(L.Dense(2), L.BatchNormalization(), L.Dense(1)), exact=False)


@kind("Layers")
def frozen_batch_normalization():
    """BatchNormalization, trainable=False"""
    return Case(stack(L.Dense(2), frozen(L.BatchNormalization()), L.Dense(1)))


@kind("Layers")
def layer_normalization():
    """LayerNormalization"""
    return Case(stack(L.Dense(3), L.LayerNormalization(), L.Dense(1)))


@kind("Layers")
def group_normalization():
    """GroupNormalization(2), UnitNormalization"""
    return Case(stack(L.Dense(4), L.GroupNormalization(2), L.UnitNormalization(), L.Dense(1)))


@kind("Layers", **no(STATE, "sweep"))
def spectral_normalization():
    """SpectralNormalization(Dense)"""
    return Case(stack(L.SpectralNormalization(L.Dense(2, "tanh")), L.Dense(1)))


@kind("Layers")
def attention():
    """Attention(), a dot product of three inputs"""
    start = keras.Input((2, 2))
    middle = L.Attention()([L.Dense(2)(start), L.Dense(2)(start), start])
    return Case(keras.Model(start, L.Dense(1)(L.Flatten()(middle))), x=PATHS)


@kind("Layers")
def multi_head_attention():
    """MultiHeadAttention(1, 1) and a residual"""
    start = keras.Input((2, 2))
    middle = start + L.MultiHeadAttention(1, 1)(start, start)
    return Case(keras.Model(start, L.Dense(1)(L.Flatten()(middle))), x=PATHS)


@kind("Layers", **no(STATE, "sweep"))
def dropout():
    """Dropout(0.5)"""
    return Case(stack(L.Dense(3, "tanh"), L.Dropout(0.5), L.Dense(1)))


@kind("Layers")
def lambda_layer():
    """Lambda(lambda x: x ** 2)"""
    return Case(stack(L.Dense(2), L.Lambda(lambda x: x**2), L.Dense(1)))


class Squash(L.Layer):
    """A layer of one's own: a learned steepness."""

    def build(self, shape):
        self.steepness = self.add_weight(shape=(shape[-1],), initializer="ones", name="steepness")

    def call(self, x):
        return ops.tanh(self.steepness * x)


class Penalty(L.Layer):
    """A layer that adds a loss."""

    def call(self, x):
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x


class Counter(L.Layer):
    """A layer that counts the batches of training."""

    def build(self, shape):  # noqa: ARG002  # Keras calls it with one
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x, training=None):
        if training:
            self.count.assign_add(1.0)
        return x / (1 + self.count)


@kind("Layers")
def own_layer():
    """a keras.Layer of your own with a weight"""
    return Case(stack(L.Dense(2), Squash(), L.Dense(1)))


@kind("Layers")
def own_layer_with_a_loss():
    """a layer that calls add_loss"""
    return Case(stack(L.Dense(2, "tanh"), Penalty(), L.Dense(1)))


@kind("Layers", **no(STATE, "sweep"))
def own_layer_with_a_state():
    """a layer that counts the batches of training"""
    return Case(stack(Counter(), L.Dense(1)))


@kind("Layers")
def penalties():
    """kernel_regularizer="l1l2", activity_regularizer="l2" """
    layer = L.Dense(2, "tanh", kernel_regularizer=keras.regularizers.L1L2(0.01, 0.01), activity_regularizer="l2")
    return Case(stack(layer, L.ActivityRegularization(l2=0.01), L.Dense(1)))


@kind("Layers")
def constraints():
    """kernel_constraint=MaxNorm(0.5)"""
    return Case(stack(L.Dense(2, "tanh", kernel_constraint=keras.constraints.MaxNorm(0.5)), L.Dense(1)))


@kind("Layers")
def lora():
    """Dense.enable_lora(1)"""
    model = net()
    model.layers[0].enable_lora(1)
    return Case(model)


# ---- Models


@kind("Models")
def functional():
    """keras.Model(x, Add()([Dense(x), x]))"""
    start = keras.Input((3,))
    middle = L.Add()([L.Dense(3, "tanh")(start), start])
    return Case(keras.Model(start, L.Dense(1)(middle)))


@kind("Models")
def shared_layer():
    """one Dense called twice"""
    start, layer = keras.Input((3,)), L.Dense(3, "tanh")
    return Case(keras.Model(start, L.Dense(1)(layer(layer(start)))))


@kind("Models")
def nested_models():
    """a functional model within a Sequential one"""
    start = keras.Input((3,))
    inner = keras.Model(start, L.Dense(2, "tanh")(start))
    return Case(stack(inner, keras.Sequential([L.Dense(1)])))


@kind("Models")
def several_inputs():
    """keras.Model([a, b], ...), x=[a, b]"""
    first, second = keras.Input((3,)), keras.Input((1,))
    model = keras.Model([first, second], L.Dense(1)(L.Concatenate()([L.Dense(1)(first), second])))
    return Case(model, x=[X, X[:, :1]])


@kind("Models")
def inputs_by_name():
    """keras.Model({"area": a, "rooms": b}, ...), x={...}"""
    inputs = {name: keras.Input((1,), name=name) for name in ("area", "rooms")}
    model = keras.Model(inputs, L.Dense(1)(L.Concatenate()(list(inputs.values()))))
    return Case(model, x={"area": X[:, 0], "rooms": X[:, 1:2]})


def two_ends(names: Any = None) -> keras.Model:
    start = keras.Input((3,))
    ends = [L.Dense(1, name="value")(start), L.Dense(3, "softmax", name="kind")(start)]
    return keras.Model(start, ends if names is None else dict(zip(names, ends, strict=True)))


@kind("Models")
def several_outputs():
    """keras.Model(x, [value, kind]), loss=["mse", ...], y=[...]"""
    return Case(two_ends(), y=[Y, LABELS], loss=["mse", SPARSE])


@kind("Models")
def outputs_by_name():
    """keras.Model(x, {"value": ..., "kind": ...}), losses and y by name"""
    names = ("value", "kind")
    return Case(two_ends(names), y=dict(zip(names, (Y, LABELS), strict=True)), loss={"value": "mae", "kind": SPARSE})


@kind("Models", **no(WEIGHED, *DOES, *LOOKS))
def weighted_losses():
    """compile(loss=[...], loss_weights=[1, 0.1])"""
    return Case(two_ends(), y=[Y, LABELS], loss=["mse", SPARSE], compile={"loss_weights": [1.0, 0.1]})


@kind("Models", **no(IDLE, "sweep"))
def an_output_without_a_loss():
    """two outputs, loss=["mse", None]"""
    return Case(two_ends(), y=[Y, LABELS], loss=["mse", None])


@kind("Models")
def frozen_layer():
    """layers[0].trainable = False"""
    return Case(stack(frozen(L.Dense(2, "tanh")), L.Dense(1)))


@kind("Models")
def frozen_model_within():
    """a pretrained model, trainable=False, called with training=False"""
    start = keras.Input((3,))
    inner = keras.Sequential([keras.Input((3,)), L.Dense(2, "tanh"), L.BatchNormalization()])
    inner.trainable = False
    return Case(keras.Model(start, L.Dense(1)(inner(start, training=False))))


@kind("Models", **no(NO_WEIGHT, *DOES, *LOOKS, "RecordTrajectory"))
def nothing_to_train():
    """all layers frozen"""
    return Case(stack(frozen(L.Dense(1))))


@kind("Models", **no(NOT_BUILT, *LOOKS))
def not_built():
    """keras.Sequential([Dense(2), Dense(1)]) without an Input"""
    return Case(keras.Sequential([L.Dense(2, "tanh"), L.Dense(1)]))


class Plain(keras.Model):
    """A subclass as in Keras' guides."""

    def __init__(self):
        super().__init__()
        self.hidden, self.end = L.Dense(2, "tanh"), L.Dense(1)

    def call(self, x):
        return self.end(self.hidden(x))


class Asks(Plain):
    """A subclass whose call has no default for `training`."""

    def call(self, x, training):
        return self.end(self.hidden(x)) * (0.5 if training else 1.0)


class OwnLoss(Plain):
    """A subclass with a loss of its own."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, y, y_pred, sample_weight, training) + 0.1 * ops.mean(ops.square(y_pred))


class OwnStep(Plain):
    """A subclass with a step of its own."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class OwnTracker(OwnStep):
    """As in Keras' guides: a tracker of one's own, and no other."""

    def __init__(self):
        super().__init__()
        self.total = keras.metrics.Mean(name="total_loss")

    @property
    def metrics(self):
        return [self.total]

    def train_step(self, data):
        self.total.update_state(super().train_step(data)["loss"])
        return {"total": self.total.result()}


class TwoOptimizers(OwnStep):
    """A step that hands each layer to an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.second = O.SGD(0.01)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradient, weights = tape.gradient(loss, self.trainable_variables), self.trainable_variables
        self.second.apply(gradient[2:], weights[2:])
        self.optimizer.apply(gradient[:2], weights[:2])
        return {"loss": loss}


class Variational(keras.Model):
    """A VAE of one number, without targets: its loss is added while it is called."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = L.Dense(2), L.Dense(3)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x):
        mean, scale = ops.split(self.encoder(x), 2, axis=1)
        code = mean + ops.exp(scale) * keras.random.normal(ops.shape(mean), seed=self.seed)
        self.add_loss(
            ops.mean(ops.square(self.decoder(code) - x)) + 0.1 * ops.mean(ops.square(mean) + ops.square(scale))
        )
        return code


def called(model: keras.Model) -> keras.Model:
    model(X)
    return model


@kind("Models")
def subclass():
    """a keras.Model subclass, called once on data"""
    return Case(called(Plain()))


@kind("Models", **no(NOT_BUILT, *LOOKS))
def subclass_not_built():
    """a keras.Model subclass as it is made"""
    return Case(Plain())


@kind("Models")
def training_without_default():
    """a subclass with call(self, x, training)"""
    model = Asks()
    model(X, training=False)
    return Case(model)


@kind("Models")
def own_compute_loss():
    """a subclass that overrides compute_loss"""
    return Case(called(OwnLoss()))


@kind("Models", **no(OWN_STEP, *DOES))
def own_train_step():
    """a subclass that overrides train_step"""
    return Case(called(OwnStep()))


@kind("Models", **no(OWN_STEP, *DOES))
def own_tracker():
    """a subclass with a train_step and a tracker of its own"""
    return Case(called(OwnTracker()))


@kind("Models", **no(OWN_STEP, *DOES))
def two_optimizers():
    """a train_step with an optimizer for each part"""
    return Case(called(TwoOptimizers()))


@kind("Models", **no(STATE, "sweep"))
def variational():
    """a VAE: add_loss, draws of its own, fit(x) without y"""
    return Case(called(Variational()), y=None, loss=None)


class ByNumPy(keras.Model):
    """A model that looks at its numbers, which no graph has."""

    def __init__(self):
        super().__init__()
        self.end = L.Dense(1)

    def call(self, x):
        return self.end(x / float(np.asarray(x).std()))


@kind("Models", **no(GRAPH, *DOES, *LOOKS))
def eager_only():
    """a subclass that calls NumPy on its inputs"""
    return Case(called(ByNumPy()), compile={"run_eagerly": True})


# ---- Arithmetic


def of_dtype(dtype: str) -> keras.Model:
    return stack(L.Dense(2, "tanh", dtype=dtype), L.Dense(1, dtype=dtype), dtype=dtype if dtype == "float64" else None)


@kind("Arithmetic")
def float64():
    """dtype="float64" and keras.config.set_floatx("float64")"""
    return Case(of_dtype("float64"), floatx="float64", digits=1e-10)


@kind("Arithmetic")
def float64_layers():
    """Dense(dtype="float64") under floatx float32"""
    return Case(of_dtype("float64"), exact=False, digits=1e-6)


@kind("Arithmetic")
def bfloat16():
    """dtype="bfloat16" """
    return Case(of_dtype("bfloat16"), digits=3e-2)


@kind("Arithmetic")
def mixed_bfloat16():
    """dtype="mixed_bfloat16" """
    return Case(of_dtype("mixed_bfloat16"), digits=3e-2)


def mixed_float16_model() -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return net()
    finally:
        keras.config.set_dtype_policy(before)


@kind("Arithmetic", **no(HALF, *DOES))
def mixed_float16():
    """keras.config.set_dtype_policy("mixed_float16")"""
    return Case(mixed_float16_model(), 0.1 * X, 0.1 * Y, digits=1e-2)  # so small that no scaled gradient overflows


# ---- Losses


@kind("Losses")
def mse():
    """loss="mse" on Dense(1)"""
    return Case(net())


class Quartic(K.Loss):
    """A loss of one's own."""

    def call(self, y_true, y_pred):
        return ops.mean((y_true - y_pred) ** 4, axis=-1)


def quartic(y_true, y_pred):
    return ops.mean((y_true - y_pred) ** 4, axis=-1)


def gaussian(y, a):
    """Two outputs for one target: a mean and the logarithm of a variance."""
    return ops.mean(0.5 * a[:, 1:] + (y - a[:, :1]) ** 2 * ops.exp(-a[:, 1:]), axis=-1)


@kind("Losses")
def loss_by_name():
    """loss="mean_absolute_error" """
    return Case(net(), loss="mean_absolute_error")


@kind("Losses")
def loss_object():
    """loss=keras.losses.Huber(0.5)"""
    return Case(net(), loss=K.Huber(0.5))


@kind("Losses")
def own_loss_function():
    """loss=a function of yours"""
    return Case(net(), loss=quartic)


@kind("Losses")
def own_loss_class():
    """loss=a keras.losses.Loss of yours"""
    return Case(net(), loss=Quartic())


@kind("Losses")
def loss_not_reduced():
    """MeanSquaredError(reduction="none")"""
    return Case(net(), loss=K.MeanSquaredError(reduction="none"))


@kind("Losses")
def logits():
    """SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)"""
    return Case(net(3), y=LABELS, loss=K.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2))


@kind("Losses")
def one_hot():
    """CategoricalCrossentropy(label_smoothing=0.1), one-hot y"""
    return Case(net(3, "softmax"), y=np.eye(3)[LABELS], loss=K.CategoricalCrossentropy(label_smoothing=0.1))


@kind("Losses")
def binary():
    """ "binary_crossentropy", Dense(1, "sigmoid")"""
    return Case(net(1, "sigmoid"), y=LABELS > 0, loss="binary_crossentropy")


@kind("Losses")
def two_outputs_for_a_target():
    """a mean and a variance for each y: a loss of your own"""
    return Case(net(2), loss=gaussian)


class Growing(K.Loss):
    """A loss whose weight grows from batch to batch, as a term is faded in."""

    def __init__(self):
        super().__init__()
        self.weight = keras.Variable(1.0, trainable=False, name="weight")

    def call(self, y_true, y_pred):
        self.weight.assign_add(0.5)
        return self.weight * ops.mean(ops.square(y_true - y_pred), axis=-1)


@kind("Losses", **no(STATE, "sweep"))
def loss_with_a_state():
    """a Loss of your own with a keras.Variable that each batch changes"""
    return Case(net(), loss=Growing())


# ---- Optimizers


class Damped(O.SGD):
    """A subclass of a Keras optimizer with an update of its own."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(0.5 * gradient, variable, learning_rate)


class BySign(O.SGD):
    """An optimizer that changes the gradients on their way in."""

    def apply_gradients(self, grads_and_vars):
        return super().apply_gradients([(ops.sign(gradient), variable) for gradient, variable in grads_and_vars])


def excluding() -> O.Optimizer:
    optimizer = O.AdamW(0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def used_elsewhere() -> O.Optimizer:
    optimizer = O.Adam(0.01)
    optimizer.build(stack(L.Dense(4)).trainable_variables)
    return optimizer


@kind("Optimizers", like="mse")
def optimizer_by_name():
    """optimizer="adam" """
    return Case(net(), optimizer="adam")


@kind("Optimizers", like="mse")
def momentum():
    """SGD(momentum=0.9, nesterov=True)"""
    return Case(net(), optimizer=O.SGD(0.05, momentum=0.9, nesterov=True))


@kind("Optimizers", like="mse")
def adamw():
    """AdamW(weight_decay=0.1)"""
    return Case(net(), optimizer=O.AdamW(0.01, weight_decay=0.1))


@kind("Optimizers", like="mse", **no(OTHERS, "sweep"))
def lamb():
    """Lamb, which looks at each weight's norm"""
    return Case(net(), optimizer=O.Lamb(0.01))


@kind("Optimizers", like="mse")
def schedule():
    """SGD(CosineDecay(0.1, 10))"""
    return Case(net(), optimizer=O.SGD(O.schedules.CosineDecay(0.1, 10)))


@kind("Optimizers", like="mse", **no(BY_FUNCTION, "sweep"))
def rate_by_a_function():
    """SGD(lambda: 0.05)"""
    return Case(net(), optimizer=O.SGD(lambda: 0.05))


@kind("Optimizers", like="mse")
def clipping():
    """SGD(clipnorm=0.1)"""
    return Case(net(), optimizer=O.SGD(0.05, clipnorm=0.1))


@kind("Optimizers", like="mse")
def accumulation():
    """SGD(gradient_accumulation_steps=2)"""
    return Case(net(), optimizer=O.SGD(0.05, gradient_accumulation_steps=2))


@kind("Optimizers", like="mse")
def moving_average():
    """SGD(use_ema=True)"""
    return Case(net(), optimizer=O.SGD(0.05, use_ema=True, ema_momentum=0.8))


@kind("Optimizers", like="mse", **no(SCALED, *DOES))
def loss_scaling():
    """LossScaleOptimizer(SGD(0.05))"""
    return Case(net(), optimizer=O.LossScaleOptimizer(O.SGD(0.05)))


@kind("Optimizers", like="mse", **no(DECAY, "sweep"))
def decay_of_some():
    """exclude_from_weight_decay(var_names=["bias"])"""
    return Case(net(), optimizer=excluding())


@kind("Optimizers", like="mse", **no(OTHERS, "sweep"))
def own_optimizer():
    """a subclass of keras.optimizers.SGD"""
    return Case(net(), optimizer=Damped(0.05))


@kind("Optimizers", like="mse", **no(OTHERS, "sweep"))
def own_apply_gradients():
    """a subclass of SGD that overrides apply_gradients"""
    return Case(net(), optimizer=BySign(0.05))


@kind("Optimizers", like="mse", **no(OTHER_MODEL, "train", "RecordTrajectory"))
def optimizer_of_another_model():
    """an optimizer that has trained other weights"""
    return Case(net(), optimizer=used_elsewhere(), referee=O.Adam(0.01))


# ---- Data


def frame() -> pd.DataFrame:
    return pd.DataFrame({"area": [0.9, 1.1, 1.5, 1.25], "rooms": [2, 3, 4, 3], "garden": [True, False, True, True]})


@kind("Data")
def notebook():
    """X = [[1], [2], [3], [4]], y = [2, 4, 6, 8]"""
    typed = [[1], [2], [3], [4]], [2, 4, 6, 8]
    arrays = np.array(typed[0]), np.array(typed[1])
    return Case(stack(L.Dense(1), shape=(1,)), *arrays, data=typed, optimizer=O.SGD(0.01))


@kind("Data")
def plain_dataset():
    """gdexplain.Dataset(X, y)"""
    return Case(net(), data=Dataset(X, Y[:, 0]))


@kind("Data")
def pandas_frame():
    """a DataFrame of floats, whole numbers and truth values, a Series"""
    return Case(net(), frame(), frame().area * 2)


@kind("Data")
def pandas_by_name():
    """{"area": frame.area, "rooms": frame.rooms}"""
    return Case(inputs_by_name().model, {"area": frame().area, "rooms": frame().rooms}, frame().area * 2)


@kind("Data")
def list_of_frames():
    """[frame[["area", ...]], frame[["garden"]]]"""
    return Case(several_inputs().model, [frame(), frame()[["garden"]]], frame()[["area"]])


@kind("Data")
def tensors():
    """tf.constant(x), tf.constant(y)"""
    return Case(net(), tf.constant(X), tf.constant(Y))


@kind("Data")
def whole_numbers():
    """int64 x and y"""
    return Case(net(), np.arange(12).reshape(4, 3) - 5, np.array([-1, 0, 2, 1]))


@kind("Data")
def pixels():
    """uint8 x, bool y"""
    return Case(net(1, "sigmoid"), (3 * np.abs(X)).astype("uint8"), LABELS > 0, "binary_crossentropy")


@kind("Data")
def label_column():
    """labels of shape (N, 1)"""
    return Case(net(3, "softmax"), y=LABELS[:, np.newaxis], loss=SPARSE)


@kind("Data")
def ragged_last_batch():
    """4 rows, batch_size=3"""
    return Case(net(), batch_size=3)


@kind("Data", **no(IN_BATCHES, *DOES), **no(ARRAYS, *LOOKS))
def sample_weights():
    """fit(sample_weight=w), (x, y, w)"""
    weights = np.array([0.5, 2, 1, 1], "float32")
    return Case(net(), fit={"sample_weight": weights}, data=(X, Y, weights))


@kind("Data", **no(IN_BATCHES, *DOES), **no(ARRAYS, *LOOKS))
def tf_data():
    """tf.data.Dataset of batches"""
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2)
    return Case(net(), batches, None, batch_size=None, data=batches)


class Batches(keras.utils.PyDataset):
    """Batches one after the other."""

    def __len__(self):
        return 2

    def __getitem__(self, update):
        return X[2 * update : 2 * update + 2], Y[2 * update : 2 * update + 2]


@kind("Data", **no(IN_BATCHES, *DOES), **no(ARRAYS, *LOOKS))
def generator():
    """a Python generator of batches"""
    batches = (Batches()[update] for update in (0, 1))
    return Case(net(), batches, None, batch_size=None, data=batches, fit={"steps_per_epoch": 2})


# ---- Settings


@kind("Settings", like="mse", **no(SEVERAL, "RecordTrajectory"))
def several_steps_an_execution():
    """compile(steps_per_execution=2)"""
    return Case(net(), compile={"steps_per_execution": 2})


@kind("Settings", **no(IN_BATCHES, *DOES), **no(ARRAYS, *LOOKS))
def class_weights():
    """fit(class_weight={...})"""
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    rows = np.array([weights[label] for label in LABELS], "float32")
    return Case(net(3, "softmax"), y=LABELS, loss=SPARSE, fit={"class_weight": weights}, data=(X, LABELS, rows))
