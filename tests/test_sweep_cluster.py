"""The same call gives the same sweep on threads, on processes, and on a cluster that loses a worker half-way."""

import os
import signal
import threading
import time

import joblib
import keras
import numpy as np
import pytest

from gdexplain import build_linear, make_line, sweep

# What Dask and joblib themselves emit when a worker is killed or a cluster closes: sockets that are found closed later.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def runs(steps=20, tiles=8, **options):
    rates = np.linspace(0.01, 0.1, 64)
    return sweep(
        build_linear(), make_line(), optimizer="adam", steps=steps, learning_rate=rates, tile=64 // tiles, **options
    )


@pytest.fixture(scope="module")
def serial():
    return runs()


def assert_equal(sweep, other):
    for name in ("loss", "parameters", "diverged", "updates", "learning_rate"):
        np.testing.assert_array_equal(getattr(sweep, name), getattr(other, name))


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    # "spawn": a process that is forked after TensorFlow was used hangs
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


def kept(folder):
    """The tiles that a checkpoint has."""
    return list(folder.rglob("output.pkl"))


def test_worker_processes_give_the_same_sweep_of_a_model_and_a_loss_that_they_cannot_import(serial):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert_equal(runs(), serial)
        factor = 2.0
        mine = runs(loss=lambda y, prediction: factor * keras.ops.mean((y - prediction) ** 2))
    assert_equal(mine, runs(loss=lambda y, prediction: 2.0 * keras.ops.mean((y - prediction) ** 2)))


def test_a_backend_that_gives_nothing_back_before_the_end_is_refused_at_the_door(tmp_path):
    said = "joblib's backend must give each tile back as soon as it is done"
    # Ray's is of the same kind
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2), pytest.raises(ValueError, match=said):
        runs(checkpoint=tmp_path / "tiles")
    assert list(tmp_path.iterdir()) == []


def test_three_processes_may_open_one_checkpoint_at_once(serial, tmp_path):
    def sweep_there(place):
        # it travels by value, and so imports what it needs
        import numpy as np

        from gdexplain import build_linear, make_line, sweep

        rates = np.linspace(0.01, 0.1, 64)
        options = {"optimizer": "adam", "steps": 20, "learning_rate": rates, "tile": 8, "checkpoint": place}
        return sweep(build_linear(), make_line(), **options)

    with joblib.parallel_config(backend="loky", n_jobs=3):
        for found in joblib.Parallel()(joblib.delayed(sweep_there)(tmp_path) for _ in range(3)):
            assert_equal(found, serial)
    assert len(kept(tmp_path)) == 8
    assert_equal(runs(checkpoint=tmp_path), serial)
    assert len(kept(tmp_path)) == 8  # the same in this process: nothing was made again


def test_a_cluster_gives_the_same_sweep_and_still_does_when_a_worker_is_killed(serial, cluster, tmp_path):
    with joblib.parallel_config(backend="dask"):
        assert_equal(runs(), serial)
    pids = cluster.run(os.getpid)
    killed = []

    def kill_one_half_way():
        while len(kept(tmp_path)) < 4:
            time.sleep(0.01)
        killed.append(len(kept(tmp_path)))
        os.kill(next(iter(pids.values())), signal.SIGKILL)

    assassin = threading.Thread(target=kill_one_half_way)
    assassin.start()
    with joblib.parallel_config(backend="dask"):
        survived = runs(steps=50_000, tiles=16, checkpoint=tmp_path)
    assassin.join()
    assert 4 <= killed[0] < 16  # it died in the middle of the sweep
    assert len(kept(tmp_path)) == 16
    assert_equal(survived, runs(steps=50_000, tiles=16))
