"""A live model, its loss and its data are posed as one problem: checked against each other, and left as they are."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from gdexplain import Dataset, build_linear, build_mlp, make_line, train
from gdexplain.in_keras.core import Problem, pose

L, O, ops = keras.layers, keras.optimizers, keras.ops
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3))
REAL, LABELS = RNG.normal(size=(12, 3)), np.arange(12) % 3
SPARSE = "sparse_categorical_crossentropy"


def dense(outputs=1, activation=None):
    return keras.Sequential([keras.Input((3,)), L.Dense(outputs, activation=activation)])


# targets and outputs


class OwnLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean((y_true - y_pred) ** 2, axis=-1)


def by_row(y, a):
    return ops.mean((y - a) ** 2, axis=-1)


def over_all(y, a):
    return tf.reduce_mean(tf.square(y - a))


def own_sparse(y, a):
    return ops.sparse_categorical_crossentropy(y, a, from_logits=True)


def gaussian(y, a):
    """Two outputs for one target: a mean and the logarithm of a variance."""
    return ops.mean(0.5 * a[:, 1:] + (y - a[:, :1]) ** 2 * ops.exp(-a[:, 1:]), axis=-1)


def pinball(y, a):
    """Three outputs for one target: its quantiles."""
    q = ops.array([0.1, 0.5, 0.9])
    return ops.mean(ops.maximum(q * (y - a), (q - 1) * (y - a)), axis=-1)


def blind(y, a):
    return ops.mean(a**2)


STRETCHED = [
    (3, REAL[:, :1], "mse"),
    (3, REAL[:, 0], "mse"),
    (3, LABELS, keras.losses.MeanSquaredError()),
    (3, LABELS[:, np.newaxis], "mae"),
    (3, (LABELS > 0)[:, np.newaxis], "hinge"),
    (3, REAL[:, :1, np.newaxis], "mse"),
    (1, REAL, "mse"),
    (1, REAL, keras.losses.Huber()),
    (1, np.ones((12, 4, 1)), "mse"),
    (3, REAL[:, :1], "cosine_similarity"),
    (3, LABELS, "categorical_crossentropy"),
    (3, LABELS[:, np.newaxis], keras.losses.CategoricalGeneralizedCrossEntropy()),
    (3, REAL[:, :1], by_row),
    (3, REAL[:, 0], over_all),
    (1, REAL, by_row),
    (1, REAL[:, 0], OwnLoss()),
    (1, REAL[:, :1, np.newaxis], OwnLoss()),
    (3, REAL[:, :1], OwnLoss()),
]
FITTING = [
    (1, REAL[:, 0], "mse"),
    (1, REAL[:, :1, np.newaxis], "mse"),
    (1, LABELS, over_all),
    (1, LABELS > 0, "binary_crossentropy"),
    (3, REAL, OwnLoss()),
    (3, LABELS, own_sparse),
    (2, REAL[:, :1], gaussian),
    (3, REAL[:, :1], pinball),
    (3, REAL[:, 0], blind),
    (3, LABELS[:, np.newaxis].astype(float), SPARSE),
]


@pytest.mark.parametrize(("outputs", "y", "loss"), STRETCHED)
def test_targets_that_a_loss_would_stretch_are_refused_by_name(outputs, y, loss):
    with pytest.raises(
        ValueError, match=r"y must (have the shape of the predictions|be labels of shape|fit the model)"
    ):
        pose(dense(outputs), (X, y), loss)


@pytest.mark.parametrize(("outputs", "y", "loss"), FITTING)
def test_targets_that_fit_are_those_that_fit_trains_on(outputs, y, loss):
    ours, theirs = dense(outputs), dense(outputs)
    theirs.set_weights(ours.get_weights())
    run = train(ours, (X, y), optimizer=O.SGD(0.1), loss=loss, batch_size=None, epochs=2)
    theirs.compile(O.SGD(0.1), loss, jit_compile=False)
    theirs.fit(X, y, batch_size=12, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(run.parameters[-1][:3], theirs.get_weights()[0].ravel()[:3], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.r_[LABELS[:-1], 3], r"y must be whole numbers from 0 to 2, as the model has 3 outputs, but y\[11\] is 3"),
        (np.r_[-1, LABELS[1:]], r"but y\[0\] is -1"),
        (np.r_[LABELS[:4], 0.5, LABELS[5:]], r"but y\[4\] is 0.5"),
        ((LABELS + 1)[:, np.newaxis], r"but y\[2, 0\] is 3"),
    ],
)
@pytest.mark.parametrize("loss", [SPARSE, keras.losses.SparseCategoricalCrossentropy(from_logits=True)])
def test_labels_without_an_output_are_named_with_their_row(labels, words, loss):
    with pytest.raises(ValueError, match=words):
        pose(dense(3), (X, labels), loss)


def test_the_label_that_a_loss_ignores_may_be_any_number():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    assert pose(dense(3), (X, np.r_[-1, LABELS[1:]]), loss).examples == 12


def test_a_word_without_a_row_in_the_table_is_named_with_its_row():
    words = RNG.integers(0, 9, (12, 4))
    words[7, 2] = 9
    model = keras.Sequential([keras.Input((4,)), L.Embedding(9, 2, name="words"), L.Flatten(), L.Dense(1)])
    with pytest.raises(ValueError, match="from 0 to 8 for the layer 'words', but in row 7 it has 9"):
        train(model, (words, REAL[:, 0]), optimizer="sgd", batch_size=5, epochs=1)
    assert "call" not in vars(model.layers[0])


@pytest.mark.parametrize("length", [None, 2])
def test_words_are_looked_at_many_rows_at_once_unless_the_model_takes_one_length(length, monkeypatch):
    def cut(x):
        return keras.ops.reshape(x, (length or -1, 4))  # TensorFlow refuses another number of rows

    words = L.Embedding(9, 2, name="words")
    model = keras.Sequential([keras.Input((4,)), L.Lambda(cut, output_shape=(4,)), words, L.Flatten(), L.Dense(1)])
    x, calls = np.zeros((3000, 4), int), []
    monkeypatch.setattr(Problem, "predict", lambda self, x, **_: calls.append(x.shape[0]) or self.model(x))
    pose(model, (x, np.zeros(3000)), "mse", batch_size=2)
    assert len(calls) < 10 if length is None else len(calls) > 1500
    x[2999, 1] = 9
    with pytest.raises(ValueError, match="from 0 to 8 for the layer 'words', but in row 2999 it has 9"):
        pose(model, (x, np.zeros(3000)), "mse", batch_size=2)


def two_ends():
    start = keras.Input((3,))
    return keras.Model(start, [L.Dense(1)(start), L.Dense(3)(start)])


def test_targets_of_another_number_than_the_outputs_are_refused():
    with pytest.raises(
        ValueError, match="y must be a list or dict of 2 arrays, one for each output of the model, not 1"
    ):
        pose(two_ends(), (X, REAL[:, 0]), "mse")
    assert pose(two_ends(), (X, REAL[:, 0]), ["mse", None]).examples == 12


# data


def frame():
    return pd.DataFrame({"area": [90.0, 110, 150, 125], "rooms": [2, 3, 4, 3], "garden": [True, False, True, True]})


PRICES = [180, 220, 300, 250]
FORMS = {
    "Dataset": lambda: Dataset(frame(), PRICES),
    "frame and series": lambda: (frame(), pd.Series(PRICES)),
    "frame and list": lambda: (frame(), PRICES),
    "nested lists": lambda: (frame().to_numpy(dtype=float).tolist(), [[price] for price in PRICES]),
    "tensors": lambda: (tf.constant(frame().to_numpy(dtype=float)), tf.constant(PRICES)),
    "list of both": lambda: [frame().to_numpy(dtype="float32"), np.array(PRICES, np.uint16)],
    "nullable": lambda: (frame().convert_dtypes(), pd.Series(PRICES, dtype="Int64")),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_is_the_same_in_every_form_that_people_have_it_in(form):
    problem = pose(dense(), FORMS[form](), "mse")
    np.testing.assert_array_equal(problem.x, frame().to_numpy(dtype="float32"))
    np.testing.assert_array_equal(np.ravel(problem.y), PRICES)
    assert problem.x.dtype in ("float32", "int64")  # as under fit: whole numbers stay what they are


ROWS = np.empty(12, object)
ROWS[:] = list(X)
FIELDS = np.zeros(12, [("a", float), ("b", float), ("c", float)])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (tf.data.Dataset.from_tensor_slices(X), "x must be .* RecordTrajectory"),
        (scipy.sparse.csr_matrix(X), r"Make it dense: x\.toarray\(\)"),
        (tf.sparse.from_dense(X), r"Make it dense: tf\.sparse\.to_dense\(x\)"),
        (tf.RaggedTensor.from_tensor(X), r"Make it dense: x\.to_tensor\(\)"),
        ([[1], [1, 2]], "x must be an array of numbers, .* Pad its rows to one length"),
        (ROWS, r"put them into one array: np\.stack\(x\)"),
        (list(X), "one array an input or output: np.stack makes one of rows"),
        (FIELDS, r"structured_to_unstructured\(x\)"),
        (pd.DataFrame({"colour": pd.Categorical(list("rgb") * 4)}), r"x\[0, 0\] must be a number.*pandas.get_dummies"),
        (pd.date_range("2020", periods=12), "not of dates. Turn text, dates and categories into numbers first"),
        (tf.constant(["a"] * 12), "a StringLookup layer.*or leave the data to fit, with RecordTrajectory"),
        ([1.0, None] * 6, r"x\[1\] must be a number.*fill gaps"),
        (3.0, "x must be an array of numbers, one example a row"),
        ([X, X[:3]], r"as many examples, and at least one, not \[12, 3, 12\]"),
        (np.where(X[2, 1] == X, np.nan, X), r"x must be finite, but x\[2, 1\] is nan"),
    ],
)
def test_data_without_an_array_of_numbers_is_refused_with_the_way_to_one(x, words):
    with pytest.raises((TypeError, ValueError), match=words):
        pose(dense(3), (x, REAL), "mse")


# nothing changes


def state(model, optimizer):
    compiled = {name: id(value) for name, value in vars(model).items()}
    return compiled, [w.tobytes() for w in model.get_weights()], optimizer.built, len(optimizer.variables)


def unwilling(x):
    """An operation that XLA does not have."""
    return x + 0 * tf.strings.to_number(tf.strings.as_string(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": (X, REAL[:, 0])},  # refused before anything is compiled
        {"jit": True},  # and after that
    ],
)
def test_a_refused_call_leaves_model_and_optimizer_as_they_were(changes):
    model = keras.Sequential([keras.Input((3,)), L.Lambda(unwilling), L.Dense(3), L.Dropout(0.5, seed=1)])
    model.compile(O.Adam(), "mae", jit_compile=False)
    model.fit(X, REAL, verbose=0)
    optimizer = O.Adam(0.1)
    before = state(model, optimizer)
    with pytest.raises(ValueError, match="must"):
        train(model, **{"dataset": (X, REAL), "optimizer": optimizer, "batch_size": 4, "epochs": 1} | changes)
    assert state(model, optimizer) == before
    assert model.fit(X, REAL, verbose=0).history["loss"]  # compiled as it was
    other = build_linear()
    train(other, make_line(), optimizer=optimizer, batch_size=None, epochs=1)  # and free for another model
    assert len(optimizer.variables) == 2 + 2 * 2


def test_floatx_is_never_touched_and_is_what_a_loss_is_computed_in():
    seen = []

    def loss(y, a):
        seen.append((keras.config.floatx(), y.dtype, a.dtype))
        return ops.mean((y - a) ** 2)

    train(build_linear(dtype="float64"), make_line(), optimizer="sgd", loss=loss, batch_size=2, epochs=1)
    assert seen[-1] == ("float32", tf.float64, tf.float64)
    seen.clear()
    train(build_mlp([1], inputs=1, seed=0), make_line(), optimizer="sgd", loss=loss, batch_size=2, epochs=1)
    assert set(seen) == {("float32", tf.float32, tf.float32)}


def test_a_loss_that_runs_eagerly_only_is_sent_to_fit_that_runs_eagerly():
    def by_numpy(y_true, y_pred):
        return float(np.mean((y_true - y_pred) ** 2))

    model = dense()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"run as a graph.*fit with run_eagerly=True and the callback Record"):
        train(model, (X, REAL[:, :1]), optimizer="sgd", loss=by_numpy, batch_size=4, epochs=1)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scale", [1e5, 1e-6])
@pytest.mark.parametrize(("loss", "outputs"), [(pinball, 3), (gaussian, 2)])
def test_a_loss_of_ones_own_may_have_targets_of_any_size(loss, outputs, scale):
    assert pose(dense(outputs), (X, scale * REAL[:, :1]), loss).examples == len(X)
