"""`train` equals `fit` to the last bit on models, data, losses and optimizers that nobody chose."""

import keras
import numpy as np
import pytest

from gdexplain import train
from tests.alike import alike

K, L, O = keras.losses, keras.layers, keras.optimizers
ROWS = 22


class Asks(keras.Model):
    """A subclass whose call has no default for `training`, and whose loss is its own."""

    def __init__(self, end):
        super().__init__()
        self.hidden, self.end, self.drop = L.Dense(4, "tanh"), end, L.Dropout(0.3, seed=3)

    def call(self, x, training):
        return self.end(self.drop(self.hidden(x), training=training))

    def compute_loss(self, x, y, y_pred, sample_weight=None):
        return super().compute_loss(x, y, y_pred, sample_weight) + 0.01 * keras.ops.mean(keras.ops.abs(y_pred))


class Adds(L.Layer):
    """A layer that adds a loss."""

    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(x)))
        return x


def pick(rng, *choices):
    return choices[rng.integers(len(choices))]


def body(rng):
    """A random stack of layers and the shape of its inputs."""
    act = pick(rng, "relu", "tanh", "gelu", "elu", "selu", "sigmoid", "softplus", "silu")
    regular = pick(rng, None, keras.regularizers.L2(0.01), keras.regularizers.L1(0.01))
    dense = [L.Dense(int(rng.integers(2, 9)), act, kernel_regularizer=regular) for _ in range(rng.integers(1, 4))]
    extra = pick(rng, [], [L.BatchNormalization()], [L.LayerNormalization()], [L.Dropout(0.4, seed=7)], [Adds()],
                 [L.GaussianNoise(0.1, seed=5)], [L.Dense(3, kernel_constraint="non_neg", use_bias=False)],
                 [L.SpectralNormalization(L.Dense(4))], [keras.Sequential([L.Dense(4, "tanh"), L.PReLU()])])  # fmt: skip
    return pick(
        rng,
        ((6,), [*dense, *extra]),
        ((6,), [*extra, *dense]),
        ((6, 2), [L.Conv1D(3, 2, activation=act), *extra, L.MaxPooling1D(2), L.Flatten(), *dense]),
        ((5, 4, 2), [L.SeparableConv2D(3, 2), L.BatchNormalization(), L.GlobalAveragePooling2D(), *extra]),
        ((6, 2), [pick(rng, L.LSTM, L.GRU, L.SimpleRNN)(3), *extra]),
        ((6, 2), [L.Bidirectional(L.GRU(2)), L.Dense(3, act)]),
        ((6, 2), [L.RNN(L.SimpleRNNCell(3)), L.GroupNormalization(3)]),
        ((6, 2), [L.TimeDistributed(L.Dense(3, act)), L.Flatten(), *extra]),
        ("words", [L.Embedding(9, 4, mask_zero=bool(rng.integers(2))), pick(rng, L.LSTM, L.GRU)(3), *extra]),
    )


def inputs_of(rng, shape):
    if shape == "words":
        words = rng.integers(1, 9, (ROWS, 6))
        words[:, 4:] *= rng.integers(0, 2, (ROWS, 2))
        return (6,), words
    kind = pick(rng, "float32", "float64", "int64", "uint8")
    return shape, (2 * rng.normal(size=(ROWS, *shape)) + (4 if kind == "uint8" else 0)).astype(kind)


def ending(rng):
    """A last layer, targets and a loss that fit each other."""
    real = rng.normal(size=(ROWS, 2))
    labels = rng.integers(0, 3, ROWS)
    column = pick(rng, labels, labels[:, np.newaxis], labels.astype(float), labels.astype("uint8"))
    sparse = pick(rng, "sparse_categorical_crossentropy", K.SparseCategoricalCrossentropy())
    plain = pick(rng, "mse", "mae", "huber", "log_cosh", K.MeanSquaredError(reduction=pick(rng, "sum", "none")),
                 K.MeanSquaredError(), lambda t, p: keras.ops.mean((t - p) ** 4))  # fmt: skip
    return pick(
        rng,
        (L.Dense(2), real, plain),
        (L.Dense(1), pick(rng, real[:, 0], real[:, :1], labels, labels > 0), plain),
        (L.Dense(3, activation="softmax"), column, sparse),
        (L.Dense(3), np.eye(3)[labels], K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)),
        (L.Dense(1, activation="sigmoid"), labels > 0, pick(rng, "binary_crossentropy", K.BinaryFocalCrossentropy())),
        (L.Dense(1), pick(rng, labels % 2, 2 * (labels % 2) - 1), "hinge"),
    )


def optimizer_of(rng):
    schedule = O.schedules.ExponentialDecay(0.02, 3, 0.9)
    kind = pick(rng, O.SGD, O.Adam, O.RMSprop, O.Adagrad, O.AdamW, O.Nadam, O.Adamax, O.Lion, O.Ftrl, O.Adadelta)
    options = pick(rng, {}, {}, {"clipnorm": 0.1}, {"global_clipnorm": 0.2}, {"weight_decay": 0.01}, {"use_ema": True},
                   {"gradient_accumulation_steps": 2}, {"clipvalue": 0.05})  # fmt: skip
    return kind(pick(rng, 0.01, schedule), **options)


def case(seed):
    """Model, inputs, targets, loss and optimizer of one seed: the same each time."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    policy = pick(rng, "float32", "float32", "float32", "bfloat16", "mixed_bfloat16", "float16")
    shape, layers = body(rng)
    shape, x = inputs_of(rng, shape)
    end, y, loss = ending(rng)
    if layers[-1].__class__ is L.Embedding:
        layers.append(L.Flatten())
    form = pick(
        rng, "sequential", "functional", "two ends", "two inputs", "subclass" if len(shape) == 1 else "functional"
    )
    if policy != "float32" and not any(type(layer) in (L.Embedding, L.Bidirectional) for layer in layers):
        for layer in (*layers[:1], end):
            layer.dtype_policy = policy
    if form == "sequential":
        return keras.Sequential([keras.Input(shape), *layers, end]), x, y, loss, optimizer_of(rng)
    if form == "subclass":
        return Asks(end), x.astype("float32"), y, loss, optimizer_of(rng)
    start = middle = keras.Input(shape, name="start")
    for layer in layers:
        middle = layer(middle)
    if form == "two inputs":
        second = keras.Input((3,), name="second")
        middle = L.Concatenate()([middle, L.Dense(2)(second)])
        x = pick(rng, {"start": x, "second": x[:, :3].reshape(ROWS, -1)[:, :3]}, [x, x.reshape(ROWS, -1)[:, :3]])
        start = {"start": start, "second": second} if isinstance(x, dict) else [start, second]
    if form == "two ends":
        other = L.Dense(1, name="other")(middle)
        y, loss = [y, rng.normal(size=(ROWS, 1))], [K.get(loss) if isinstance(loss, str) else loss, "mae"]
        if getattr(loss[0], "reduction", "") in ("none", None):
            loss[0] = "mse"
        return keras.Model(start, [end(middle), other]), x, y, loss, optimizer_of(rng)
    return keras.Model(start, end(middle)), x, y, loss, optimizer_of(rng)


def by_fit(seed, size):
    """The variables after `fit`, or None where Keras itself cannot train the case."""
    model, x, y, loss, optimizer = case(seed)
    model.compile(optimizer, loss, jit_compile=False)
    try:
        model.fit(x, y, batch_size=size, epochs=2, shuffle=False, verbose=0)
    except (TypeError, ValueError):
        return None
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


def difference(seed):
    """The largest difference of any variable, model's and optimizer's, between `train` and `fit`."""
    size = int(np.random.default_rng(seed).integers(1, ROWS + 1))
    theirs = by_fit(seed, size)
    model, x, y, loss, optimizer = case(seed)
    if theirs is None:
        with pytest.raises((TypeError, ValueError), match="must"):
            train(model, (x, y), optimizer=optimizer, loss=loss, batch_size=size, epochs=2, shuffle=False)
        return 0.0
    run = train(model, (x, y), optimizer=optimizer, loss=loss, batch_size=size, epochs=2, shuffle=False)
    if not all(np.isfinite(array.astype(float)).all() for array in theirs):  # epsilon is 0 in float16, say
        assert run.diverged
        return 0.0
    assert not run.diverged
    ours = [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]
    return max(float(np.max(np.abs(a.astype(float) - b), initial=0.0)) for a, b in zip(ours, theirs, strict=True))


def pytest_generate_tests(metafunc):
    """Try the seeds that among them have most kinds, or as many as `--models` asks for."""
    asked = metafunc.config.getoption("--models")
    metafunc.parametrize("seed", range(asked) if asked else alike((1, 2, 3, 4, 6, 7, 9, 11, 14, 16, 17, 19)))


@pytest.mark.filterwarnings("ignore:.*does not support masking", "ignore:.*Gradients do not exist")
def test_a_model_that_nobody_chose_trains_as_under_fit_to_the_last_bit(seed):
    assert difference(seed) == 0
