"""The record holds together, tells itself in words, and survives a trip to disk."""

import builtins

import numpy as np
import pytest

from gdexplain import Sweep, Trajectory


def make(total=4, size=2, **changes):
    rng = np.random.default_rng(0)
    values = {
        "parameters": rng.normal(size=(total + 1, size)),
        "loss": np.linspace(4, 1, total),
        "gradients": rng.normal(size=(total, size)),
        "updates_per_epoch": 2,
        "diverged": False,
        "label": "SGD(0.1)",
        "layout": (("kernel", (1, size - 1)), ("bias", (1,))),
        "batch_size": 2,
        "provenance": {"seed": "0"},
    }
    return Trajectory(**(values | changes))


def test_a_saved_record_comes_back_to_the_last_bit(tmp_path):
    record = make(loss=np.array([3, 2, 1.1, 0.1], np.float32))
    path = record.save(tmp_path / "run")
    assert path == tmp_path / "run.npz"
    again = Trajectory.load(path)
    for name in ("parameters", "loss", "gradients", "updates"):
        np.testing.assert_array_equal(getattr(again, name), getattr(record, name))
        assert getattr(again, name).dtype == getattr(record, name).dtype
    for name in ("updates_per_epoch", "diverged", "label", "layout", "batch_size", "provenance"):
        assert getattr(again, name) == getattr(record, name)


def test_a_save_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = make().save(tmp_path / "run.npz")
    before = path.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="No space left"):
        make(label="Adam(0.1)").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_loading_something_else_says_so(tmp_path):
    path = tmp_path / "notes.npz"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"notes.npz' is not a Trajectory"):
        Trajectory.load(path)
    np.savez(path, parameters=1, loss=1, gradients=1, updates=1, about='{"format": 99}')
    with pytest.raises(ValueError, match="another format"):
        Trajectory.load(path)
    with pytest.raises(ValueError, match=r"run.npz' is not a Sweep"):
        Sweep.load(make().save(tmp_path / "run"))
    with pytest.raises(FileNotFoundError):
        Trajectory.load(tmp_path / "missing.npz")


def test_the_repr_is_one_short_line():
    assert repr(make()) == "Trajectory('SGD(0.1)': 4 updates, 2 parameters, loss 4 -> 1)"
    assert repr(make(diverged=True)).endswith(", diverged)")
    nothing = Trajectory([[0.0]], [], np.empty((0, 1)), 1, True, "SGD(9)")
    assert repr(nothing) == "Trajectory('SGD(9)': 0 updates, 1 parameter, diverged)"


def test_the_summary_says_updates_epochs_losses_and_where_the_run_diverged():
    assert make().summary() == "4 updates in 2 epochs (2 updates an epoch). Loss: first 4, last 1."
    assert make(diverged=True).summary().endswith("Diverged: update 5 was no longer finite.")
    nothing = Trajectory([[0.0]], [], np.empty((0, 1)), 1, True, "SGD(9)")
    assert nothing.summary() == "0 updates in 0 epochs (1 update an epoch). Diverged: update 1 was no longer finite."


def test_weight_returns_each_weights_rows_in_its_own_shape():
    record = make(size=4)
    assert record.weight("kernel").shape == (5, 1, 3)
    np.testing.assert_array_equal(record.weight("kernel")[:, 0], record.parameters[:, :3])
    np.testing.assert_array_equal(record.weight("bias"), record.parameters[:, 3:])
    with pytest.raises(KeyError, match="name must be one of 'kernel', 'bias'"):
        record.weight("kernels")
    with pytest.raises(KeyError, match="only one"):
        make(layout=(("w", (1,)), ("w", (1,)))).weight("w")


def test_the_table_has_a_row_for_each_recorded_update():
    record = make(size=3)
    table = record.to_dataframe()
    assert list(table.columns) == [
        "epoch", "loss", "kernel[0, 0]", "kernel[0, 1]", "bias",
        "d loss / d kernel[0, 0]", "d loss / d kernel[0, 1]", "d loss / d bias",
    ]  # fmt: skip
    assert table.index.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(table["bias"], record.parameters[:, 2])
    np.testing.assert_array_equal(table["loss"][:-1], record.loss)
    assert table["loss"].isna().tolist() == [False] * 4 + [True]


def test_the_table_of_a_thinned_record_without_gradients_has_its_rows_only():
    record = make(parameters=np.ones((3, 2)), gradients=np.empty((0, 2)), updates=[0, 3, 4])
    table = record.to_dataframe()
    assert table.index.tolist() == [0, 3, 4]
    assert table.shape[1] == 4
    np.testing.assert_array_equal(table["loss"], [record.loss[0], record.loss[3], np.nan])
    losses_only = make(parameters=np.empty((0, 2)), gradients=np.empty((0, 2)))
    assert list(losses_only.to_dataframe().columns) == ["epoch", "loss"]


def test_the_table_without_pandas_says_what_to_install(monkeypatch):
    real_import = builtins.__import__

    def no_pandas(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pandas)
    with pytest.raises(ImportError, match=r"pip install 'gdexplain\[pandas\]'"):
        make().to_dataframe()


def test_epochs_count_passes_before_each_update():
    assert make().epochs.tolist() == [0, 0.5, 1, 1.5]


def test_the_record_is_read_only():
    record = make()
    with pytest.raises(ValueError, match="read-only"):
        record.loss[0] = 0
    with pytest.raises(AttributeError):
        record.label = "Adam(1)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"parameters": np.ones((4, 2))}, "parameters must have 5 rows, one for each of updates, not 4"),
        ({"gradients": np.ones((3, 2))}, "gradients must have 4 rows, one less than updates, not 3"),
        ({"gradients": np.ones((4, 3))}, r"with as many columns, not \(5, 2\) and \(4, 3\)"),
        ({"parameters": np.ones(5)}, r"parameters must have 2 axes, not shape \(5,\)"),
        ({"updates": [0, 2, 2, 3, 4]}, "updates must rise from 0 to 4"),
        ({"updates": [0, 1, 2, 3, 5]}, "updates must rise from 0 to 4"),
        ({"layout": (("w", (3,)),)}, "layout must describe 2 parameters"),
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_a_record_without_a_layout_calls_its_parameters_theta():
    record = make(layout=())
    assert record.layout == (("theta", (2,)),)
    assert list(record.to_dataframe().columns[2:4]) == ["theta[0]", "theta[1]"]
