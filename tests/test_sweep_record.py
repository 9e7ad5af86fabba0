"""The record of a sweep says what it holds, and comes back from disk to the last bit."""

import numpy as np
import pytest

from gdexplain import Sweep


def record(**changes):
    values = {
        "loss": [0.5, 0.25, 9.0],
        "diverged": [False, False, True],
        "parameters": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "updates": [10, 10, 3],
        "steps": 10,
        "label": "SGD(0.1 to 2)",
        "learning_rate": [0.1, 0.2, 2.0],
        "target": 0.5,
        "steps_to_target": [10, 4, -1],
        "hyperparameters": {"momentum": [0.1, 0.2, 0.3]},
        "seed": [0, 1, 2],
        "batch_size": 4,
        "layout": (("dense/kernel", (1, 1)), ("dense/bias", (1,))),
        "provenance": {"data": "y = 2x"},
    }
    return Sweep(**values | changes)


def test_a_sweep_comes_back_from_disk_to_the_last_bit(tmp_path):
    before = record(loss=np.float32([1 / 3, 2 / 3, 1]))
    path = before.save(tmp_path / "sweep")
    after = Sweep.load(path)
    assert path.name == "sweep.npz"
    for name in ("loss", "diverged", "parameters", "updates", "learning_rate", "steps_to_target", "seed"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        assert getattr(after, name).dtype == getattr(before, name).dtype
    for name in ("steps", "label", "target", "batch_size", "layout", "provenance"):
        assert getattr(after, name) == getattr(before, name)
    np.testing.assert_array_equal(after.hyperparameters["momentum"], before.hyperparameters["momentum"])
    assert repr(after) == repr(before) == "Sweep('SGD(0.1 to 2)': 3 runs of 10 updates, 2 parameters, 1 diverged)"


def test_a_file_that_is_no_sweep_is_refused_in_words(tmp_path):
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is not a Sweep saved by gdexplain"):
        Sweep.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        Sweep.load(tmp_path / "missing.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ("3 runs of 10 updates. 1 diverged, after 3 updates. Loss of the others: 0.25 to 0.5. "
              "2 reached a loss of 0.5, after 4 to 10 updates.")),
        ({"target": None, "diverged": [True] * 3, "updates": [1, 1, 1]},
         "3 runs of 10 updates. 3 diverged, after 1 update."),
        ({"diverged": [False] * 3, "steps_to_target": [-1] * 3, "target": 0.01},
         "3 runs of 10 updates. Loss: 0.25 to 9. 0 reached a loss of 0.01."),
        ({"target": None, "diverged": [True, False, True], "updates": [0, 10, 3]},
         "3 runs of 10 updates. 2 diverged, after 0 to 3 updates. Loss of the other: 0.25."),
    ],
)  # fmt: skip
def test_the_summary_says_in_words_what_happened(changes, words):
    assert record(**changes).summary() == words


def test_weights_have_their_own_shape_and_arrays_are_read_only():
    runs = record()
    assert runs.weight("dense/kernel").shape == (3, 1, 1)
    assert runs.weight("dense/bias")[:, 0].tolist() == [2, 4, 6]
    with pytest.raises(KeyError, match="dense/kernel"):
        runs.weight("kernel")
    for array in (runs.loss, runs.parameters, runs.hyperparameters["momentum"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert len(runs) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"diverged": [True]}, r"diverged must have shape \(3,\), not \(1,\)"),
        ({"parameters": [[1.0], [2.0]]}, r"parameters must have shape \(3, 1\), not \(2, 1\)"),
        ({"learning_rate": [0.1]}, r"learning_rate must have shape \(3,\)"),
        ({"hyperparameters": {"momentum": [0.1]}}, r"hyperparameters\['momentum'\] must have shape \(3,\)"),
        ({"hyperparameters": {"momentum": []}}, r"hyperparameters\['momentum'\] must have shape \(3,\)"),
        ({"layout": (("w", (3,)),)}, "layout must describe 2 parameters"),
    ],
)
def test_records_that_do_not_fit_together_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        record(**changes)
