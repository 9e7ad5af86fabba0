"""RecordTrajectory sees under `fit` what `train` records, and leaves `fit` as it was."""

import keras
import numpy as np
import pytest

from gdexplain import RecordTrajectory, build_linear, build_mlp, make_line, train
from tests.fit import fit


def test_the_callback_gives_the_record_of_train():
    options = {"batch_size": 3, "epochs": 4, "seed": 2}
    expected = train(build_linear(), make_line(5), optimizer=keras.optimizers.Adam(0.1), **options)
    recorder = RecordTrajectory()
    fit(build_linear(), make_line(5), optimizer=keras.optimizers.Adam(0.1), callbacks=[recorder], **options)
    record = recorder.trajectory
    np.testing.assert_array_equal(record.parameters, expected.parameters)
    np.testing.assert_allclose(record.loss, expected.loss, rtol=1e-6)  # Keras keeps loss times batch size, in float32
    np.testing.assert_array_equal(record.gradients, expected.gradients)
    assert (record.label, record.layout, record.batch_size) == (expected.label, expected.layout, expected.batch_size)


def test_the_history_of_fit_and_what_other_callbacks_see_do_not_change():
    def run(callbacks):
        seen = []
        watcher = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: seen.append(logs["loss"] + 0 * batch)
        )
        model = build_mlp([4, 1], inputs=1, seed=0)
        model.compile(keras.optimizers.SGD(0.01), "mse", metrics=["mae"])
        x = np.linspace(-1, 1, 10, dtype="float32")[:, np.newaxis]
        history = model.fit(x, x**2, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[*callbacks, watcher])
        return history.history, seen, model.get_weights()

    plain, recorded = run([]), run([RecordTrajectory()])
    for key in ("loss", "mae"):
        np.testing.assert_allclose(recorded[0][key], plain[0][key], rtol=1e-6)
    np.testing.assert_allclose(recorded[1], plain[1], rtol=1e-6)
    for a, b in zip(recorded[2], plain[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("every", "updates"), [(1, [*range(9)]), (4, [0, 4, 8]), (5, [0, 5, 8]), (99, [0, 8])])
def test_the_callback_thins_its_rows_and_keeps_the_last(every, updates):
    recorder = RecordTrajectory(record_every=every)
    model = build_linear()
    fit(model, make_line(), optimizer="sgd", batch_size=2, epochs=4, callbacks=[recorder])
    assert recorder.trajectory.updates.tolist() == updates
    assert len(recorder.trajectory.parameters) == len(updates)
    np.testing.assert_array_equal(recorder.trajectory.parameters[-1], np.ravel([w.item() for w in model.get_weights()]))


def test_epochs_of_fit_become_epochs_of_the_record():
    recorder, model = RecordTrajectory(), build_linear()
    model.compile("sgd", "mse")
    x = np.ones((5, 1), "float32")
    for epochs in (2, 3):
        model.fit(x, x, batch_size=2, epochs=epochs, verbose=0, callbacks=[recorder])
        assert recorder.trajectory.updates_per_epoch == 3
        assert len(recorder.trajectory) == 3 * epochs


def test_a_fit_that_diverges_ends_the_record_at_its_last_finite_row():
    recorder, model = RecordTrajectory(), build_linear()
    model.compile(keras.optimizers.SGD(1.0), "mse")
    data = make_line()
    model.fit(data.inputs, data.targets, batch_size=4, epochs=40, verbose=0, callbacks=[recorder])
    assert recorder.trajectory.diverged
    assert np.all(np.isfinite(recorder.trajectory.loss))
    assert len(recorder.trajectory) < 40


def test_several_steps_an_execution_are_refused():
    model = build_linear()
    model.compile("sgd", "mse", steps_per_execution=4)
    with pytest.raises(ValueError, match="must be compiled with steps_per_execution=1 for RecordTrajectory, not 4"):
        model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=1, verbose=0, callbacks=[RecordTrajectory()])


def test_asking_for_the_record_before_fit_says_what_to_do():
    with pytest.raises(AttributeError, match="pass this callback to fit first"):
        _ = RecordTrajectory().trajectory
    with pytest.raises(ValueError, match="record_every must be a whole number of at least 1, not 0"):
        RecordTrajectory(record_every=0)
