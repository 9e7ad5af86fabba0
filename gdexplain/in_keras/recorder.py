"""A Keras callback for those who keep `fit`: the record that `train` gives, gradients included, of any fit."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
import numpy as np

from gdexplain._checks import positive_int
from gdexplain.in_keras import backend
from gdexplain.in_keras.backend import NOTHING_TO_TRAIN, OTHER_WEIGHTS
from gdexplain.in_keras.eye import optimizers_of
from gdexplain.in_keras.ledger import RECORD_BYTES, Ledger, record_kinds
from gdexplain.in_keras.tap import Batch, Listener, Tap, tap_on
from gdexplain.record import Trajectory


class RecordTrajectory(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Record the parameters, the gradient and the loss of every update of any ``fit``.

    Pass it in ``callbacks``, and read `trajectory` afterwards. Whatever ``fit`` can do, it records: sample and class
    weights, validation, other callbacks, ``tf.data`` and generators, a ``train_step`` of your own. It computes nothing
    a second time: the gradient is the one that the optimizer received.

    Parameters
    ----------
    record : collection of {"parameters", "gradients"}
        What to record besides the loss.
    record_every : int
        Record parameters and gradients only at every m-th update (and the parameters at the end).
    max_bytes : int
        How large the record may be; 2 GiB if left out. A fit whose record would be larger is refused before its first
        update. If ``fit`` does not know how many updates it will make, a record that reaches this size is thinned to
        every second row, with a warning, as often as it must.

    Attributes
    ----------
    trajectory : Trajectory
        The record of the latest ``fit``. After a fit that was interrupted, by Ctrl-C or by an error, it ends with the
        last update that was finished and seen. If a loss, gradient or parameter stops being finite, the record ends
        before it and says that the run diverged; ``fit`` itself goes on (``keras.callbacks.TerminateOnNaN`` would stop
        it).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its kind or out of range. From ``fit``, before any weight moves: if the model was
        compiled with ``steps_per_execution`` above 1, starts from weights that are not finite, was changed in what is
        trainable since it was compiled, hands no gradient to an optimizer that is an attribute of it, or if the record
        would be larger than `max_bytes`.

    Notes
    -----
    The gradient is that of the batch, before the optimizer clips, averages or accumulates it, and without the scale of
    a ``LossScaleOptimizer`` or ``loss_scale_factor``; an update that a ``LossScaleOptimizer`` skips has gradient zero.
    The loss is the number of which a ``GradientTape`` took this gradient: with Keras' own ``train_step`` the one that
    Keras minimises, penalties included. A ``train_step`` that takes several gradients of a weight shows the last, and
    the last loss; one without a tape shows the ``"loss"`` that it returns. Each row of parameters is from just before
    its gradient, so what other callbacks do to the weights between two batches is in it.

    ``fit`` trains as it would without this callback, and other callbacks see what they would see. For one batch at a
    time Keras' train function is replaced by one that Keras made of the same ``train_step``, traced anew; the optimizer
    is touched only while Python runs that step, once for each shape of a batch (with ``run_eagerly``, in each batch).
    So a fit that ends by an error or by Ctrl-C leaves the optimizer as it was, and the model too, unless another
    callback raises between this one and the batch: then the next batch of the model puts its train function back.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain import RecordTrajectory, build_linear
    >>> model, recorder = build_linear(), RecordTrajectory()
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=4, verbose=0, callbacks=[recorder])
    >>> recorder.trajectory.updates.tolist()
    [0, 1, 2]
    >>> recorder.trajectory.gradients[0].tolist()
    [-2.0, -2.0]
    """

    def __init__(
        self,
        *,
        record: Collection[str] = ("parameters", "gradients"),
        record_every: int = 1,
        max_bytes: int = RECORD_BYTES,
    ) -> None:
        super().__init__()
        self.record, self.record_every = record_kinds(record), positive_int("record_every", record_every)
        self.max_bytes = positive_int("max_bytes", max_bytes)
        self._tap: Tap | None = None
        self._waiting = False  # for the fit, evaluate or predict that this callback was passed to

    @property
    def trajectory(self) -> Trajectory:
        """The record of the latest ``fit``, as far as it has come."""
        if self._waiting:
            raise AttributeError("There is no trajectory: the latest fit ended before it began.")
        if "_run" not in vars(self):
            raise AttributeError("There is no trajectory yet: pass this callback to fit first.")
        return self._run.trajectory()

    def set_model(self, model: keras.Model) -> None:
        """Take the model of the fit that begins; Keras calls this.

        Parameters
        ----------
        model : keras.Model
            The model that is trained.
        """
        super().set_model(model)
        self._waiting, self._made_before = True, getattr(model, "train_function", None) is not None

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        self._waiting = False

    on_predict_begin = on_test_begin

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        self._waiting = False
        self._run = _Run(self.model, self.record, self.record_every, self.max_bytes, self.params)
        if self.model.built and not self.model.trainable_variables:
            raise ValueError(NOTHING_TO_TRAIN)
        if self.model.steps_per_execution != 1:
            raise ValueError(
                "model must be compiled with steps_per_execution=1 for RecordTrajectory, "
                f"not {self.model.steps_per_execution}: Keras then calls back only once in several updates."
            )
        if self._made_before:
            _refuse_thawed(self.model)
        optimizer = self.model.optimizer
        known = {id(one) for one in getattr(optimizer, "_trainable_variables", ())}  # private: what it was built for
        if self.model.built and known and not known & {*map(id, self.model.trainable_variables)}:
            raise ValueError(OTHER_WEIGHTS.format(optimizer.name))
        for tap in (self._tap, self.model.train_function):  # another callback may have ended a fit between two batches
            if isinstance(tap, Tap):
                tap.leave()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        self._run.begin_epoch(epoch)
        self._batch: int | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        if batch == self._batch:  # it stands in the list of callbacks twice
            return
        self._batch = batch
        if self._tap is not None and self._tap.passed_over:
            self._run.broken = True
        self._tap = self._run.tap = tap_on(self.model, self._tap)
        self._tap.join(Listener(self._run.begin, self._run.take, gradients="gradients" in self.record))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002, D102  # Keras' signature and words
        self._run.end_epoch()


def _refuse_thawed(model: keras.Model) -> None:
    """Refuse a model whose old train function trains other layers than a new one would."""
    compiled = getattr(model, "_compiled_trainable_state", None)
    if compiled is None:  # an older Keras: what the optimizer was built for, once there is a train function
        built = {id(one) for one in getattr(model.optimizer, "_trainable_variables", ()) if model.train_function}
        layers = (layer for layer in model._flatten_layers() if built & {*map(id, layer._trainable_variables)})
        compiled = dict.fromkeys(layers, True)
    changed = [layer.name for layer, trainable in compiled.items() if layer.trainable != trainable]
    if changed:
        raise ValueError(
            f"model must be compiled again, as trainable of {', '.join(map(repr, changed))} was changed since: "
            "fit goes on with what it was."
        )


class _Run:
    """One fit, as far as it has come."""

    def __init__(
        self, model: keras.Model, kinds: tuple[str, ...], every: int, max_bytes: int, params: dict[str, Any]
    ) -> None:
        self._model, self._kinds, self._every, self._max_bytes, self._params = model, kinds, every, max_bytes, params
        self._labels = {id(optimizer): backend.label(optimizer) for optimizer in optimizers_of(model)}
        self.tap: Tap | None = None
        self.broken = self._diverged = self._counted = False
        self._ledger: Ledger | None = None
        self._given: Trajectory | None = None
        self._first_epoch: int | None = None
        self._begun_with: Tap | None = None
        self._lengths, self._in_epoch, self._examples = list[int](), 0, 0  # of whole epochs; of this one; of a batch

    def begin_epoch(self, epoch: int) -> None:
        self._first_epoch = epoch if self._first_epoch is None else self._first_epoch
        self._in_epoch, self._counted = 0, False

    def end_epoch(self) -> None:
        """Count the updates of an epoch, unless it may have been stopped in its middle, or was counted already."""
        if self._counted:
            return
        self._counted = True
        if not (self._model.stop_training and (self._lengths or self._params.get("steps"))):
            self._lengths.append(self._in_epoch)
        self._given = None

    def begin(self) -> None:
        """Open the ledger, once the weights exist; for another train function, see that they are still the same."""
        if self._ledger is not None and self.tap is self._begun_with:
            return
        layout, self._begun_with = backend.layout(self._model), self.tap
        if self._ledger is None:
            if not layout:
                raise ValueError(NOTHING_TO_TRAIN)
            backend.check_start(self._model)
            self._layout = layout
            self._ledger = Ledger(
                backend.flat_parameters(self._model),
                self._kinds,
                self._every,
                total=self._total(),
                max_bytes=self._max_bytes,
            )
        elif layout != self._layout:
            raise ValueError("model must keep its trainable weights during fit, but a callback changed which they are.")

    def take(self, batch: Batch) -> None:
        """Put an update on record."""
        ledger, self._given = self._ledger, None
        self._in_epoch += 1
        self._diverged = self._diverged or not batch.finite
        if self._diverged or ledger is None:
            return
        count, every = ledger.done[0], ledger.every
        ledger.write("loss", count, [batch.loss])
        rows = {"parameters": batch.before, "gradients": batch.gradient}
        for kind in self._kinds if count % every == 0 else ():
            if rows[kind] is not None:
                ledger.write(kind, count // every, np.asarray(rows[kind])[np.newaxis])
        self._examples = max(self._examples, batch.examples)
        ledger.commit(count + 1, batch.after)

    def trajectory(self) -> Trajectory:
        """Return the record so far."""
        ledger, none = self._ledger, "There is no trajectory: "
        if ledger is None:
            raise AttributeError(f"{none}the latest fit ended before its first update.")
        if self.broken:
            raise AttributeError(f"{none}another callback replaced model.train_function in on_train_batch_begin.")
        if self._given is None:
            applied = self.tap.eye.applied if self.tap is not None else []
            self._given = ledger.trajectory(
                np.asarray(ledger.done[1]),
                without=() if applied else ("gradients",),
                updates_per_epoch=self._updates_per_epoch(),
                diverged=self._diverged,
                label=self._label(applied),
                batch_size=self._examples or None,
                layout=self._layout,
                provenance=backend.versions(),
            )
        return self._given

    def _label(self, applied: list[int]) -> str:
        """Name the optimizers that received a gradient, as they were before the run."""
        if not set(applied) <= set(self._labels):  # a callback compiled the model again
            return backend.label(self._model.optimizer)
        return ", ".join(self._labels[name] for name in applied or self._labels)

    def _total(self) -> int | None:
        """Return how many updates this fit will make, if it knows."""
        steps, epochs = self._params.get("steps"), self._params.get("epochs")
        return steps * (epochs - (self._first_epoch or 0)) if steps and epochs else None

    def _updates_per_epoch(self) -> int:
        """Return the updates of an epoch: counted, or if none was finished, as many as Keras announces."""
        if self._lengths:
            return max(1, round(sum(self._lengths) / len(self._lengths)))
        return self._params.get("steps") or max(1, self._in_epoch)
