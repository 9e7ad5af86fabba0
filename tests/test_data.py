"""Data sets are checked at the door; the batch order uses each row once an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdexplain import Dataset, batch_order, load_digits, make_line, make_moons
from gdexplain.data import batches_in_order


def test_the_default_line_is_the_notebooks_data():
    data = make_line()
    assert data.inputs.tolist() == [[1], [2], [3], [4]]
    assert data.targets.tolist() == [[2], [4], [6], [8]]
    assert data.name == "y = 2x"


def test_the_noise_of_a_line_depends_on_the_seed_alone():
    first, again, other = (make_line(50, noise=0.5, intercept=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.targets, again.targets)
    assert np.std(first.targets - 2 * first.inputs - 1) == pytest.approx(0.5, rel=0.3)
    assert not np.array_equal(first.targets, other.targets)
    assert first.name == "y = 2x +1, noisy"


def test_moons_without_noise_lie_on_two_half_circles():
    data = make_moons(9, noise=0)
    radius = np.where(
        data.targets == 0, np.hypot(*data.inputs.T), np.hypot(data.inputs[:, 0] - 1, data.inputs[:, 1] - 0.5)
    )
    np.testing.assert_allclose(radius, 1)
    assert np.bincount(data.targets).tolist() == [5, 4]


def test_the_digits_have_the_documented_shape_and_scale():
    digits = load_digits()
    assert digits.inputs.shape == (1797, 64)
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    assert sorted(set(digits.targets.tolist())) == list(range(10))


def test_bundled_data_without_scikit_learn_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'gdexplain\[data\]'"):
        load_digits()


def test_a_data_set_is_a_read_only_copy():
    source = np.ones((3, 1))
    data = Dataset(source, [1.0, 2.0, 3.0])
    source[0] = 7
    assert data.inputs[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        data.inputs[0] = 2


def test_real_targets_become_a_column_and_whole_numbers_stay_labels():
    assert Dataset([[1], [2]], [1.0, 2.0]).targets.shape == (2, 1)
    labels = Dataset([[1], [2]], [1, 0])
    assert labels.targets.tolist() == [1, 0]
    assert labels.targets.dtype == np.int64
    assert labels.target_column.tolist() == [1.0, 0.0]


def test_whole_numbers_below_0_are_no_labels_but_real_targets():
    data = Dataset([[1], [2]], [-4, 0])
    assert data.targets.tolist() == [[-4.0], [0.0]]
    assert data.target_column.tolist() == [-4.0, 0.0]


def test_plain_lists_of_numbers_are_one_column_of_inputs():
    assert Dataset([1, 2, 3, 4], [2, 4, 6, 8]).inputs.tolist() == make_line().inputs.tolist()


def test_take_keeps_the_order_asked_for():
    taken = make_line().take([3, 0, 0])
    assert taken.targets.ravel().tolist() == [8, 2, 2]
    assert len(taken) == 3
    assert repr(taken) == "Dataset('y = 2x': inputs (3, 1), targets (3, 1))"


@pytest.mark.parametrize(
    ("inputs", "targets", "error", "words"),
    [
        ([[1.0], [np.nan]], [1.0, 2.0], ValueError, r"inputs must be finite, but inputs\[1, 0\] is nan"),
        ([[1.0], [2.0]], [1.0, np.inf], ValueError, r"targets must be finite, but targets\[1\] is inf"),
        (np.ones((2, 1, 1)), [1.0, 2.0], ValueError, r"inputs must have shape \(N, D\) or \(N,\), not \(2, 1, 1\)"),
        ([[1.0], [2.0]], [1.0], ValueError, "as many rows, not 2 and 1"),
        (np.empty((0, 1)), np.empty((0, 1)), ValueError, "at least one row and one column"),
        (
            [[1.0], [2.0]],
            np.ones((2, 1, 1)),
            ValueError,
            r"targets must have shape \(N, K\) or \(N,\), not \(2, 1, 1\)",
        ),
    ],
)
def test_bad_data_is_refused_in_words(inputs, targets, error, words):
    with pytest.raises(error, match=words):
        Dataset(inputs, targets)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: make_line(0), ValueError, "n must be a whole number of at least 1, not 0"),
        (lambda: make_line(noise=-1), ValueError, "noise must be a finite number at least 0, not -1.0"),
        (lambda: make_moons(1), ValueError, "n must be a whole number of at least 2"),
        (lambda: batch_order(4, 5, 1), ValueError, "batch_size must be a whole number from 1 to 4, not 5"),
        (lambda: batch_order(4, 0, 1), ValueError, "batch_size must be a whole number from 1 to 4, not 0"),
        (lambda: batch_order(4, 2, 0), ValueError, "epochs must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()


@given(st.data(), st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans())
def test_each_epoch_uses_every_row_once_whatever_the_batch_size(data, n, epochs, seed, shuffle):
    size = data.draw(st.none() | st.integers(1, n))
    order = batch_order(n, size, epochs, seed=seed, shuffle=shuffle)
    per_epoch = -(-n // (size or n))
    assert len(order) == epochs * per_epoch
    for first in range(0, len(order), per_epoch):
        epoch = order[first : first + per_epoch]
        assert all(len(rows) == (size or n) for rows in epoch[:-1])
        assert sorted(np.concatenate(epoch)) == list(range(n))


def test_one_seed_walks_one_sequence_whatever_the_batch_size():
    flat = [np.concatenate(batch_order(10, size, 3, seed=5)).tolist() for size in (1, 3, 10)]
    assert flat[0] == flat[1] == flat[2]
    assert flat[0] != np.concatenate(batch_order(10, 3, 3, seed=6)).tolist()


@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_drawn_one_epoch_after_the_other_in_the_order_of_the_list(shuffle):
    drawn = batches_in_order(7, 3, 10**15, seed=3, shuffle=shuffle)  # far too many for a list
    for rows, expected in zip(drawn, batch_order(7, 3, 5, seed=3, shuffle=shuffle), strict=False):
        np.testing.assert_array_equal(rows, expected)
