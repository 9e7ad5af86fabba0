"""The two training tasks that every way gets: one start, one order of the rows, one rate."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from gdexplain import Dataset, batch_order, build_linear, build_mlp, load_digits, make_line


@dataclass(frozen=True)
class Task:
    """Train a stack of dense layers (tanh between them) by SGD and record every update.

    The rows are used in the order in which they stand, so that every library can be given the same batches.
    """

    title: str
    units: tuple[int, ...]  # inputs, then the width of each layer
    data: Dataset
    loss: str  # "mse", or "cross-entropy" of logits
    batch_size: int
    epochs: int
    learning_rate: float

    @property
    def x(self):
        return self.data.inputs.astype("float32")

    @property
    def y(self):
        return self.data.targets.astype("float32" if self.loss == "mse" else "int32")

    @property
    def order(self):
        return batch_order(len(self.data), self.batch_size, self.epochs, shuffle=False)

    def model(self):
        """Build the Keras model, always with the same start."""
        if self.units == (1, 1):
            return build_linear()
        return build_mlp(self.units[1:], inputs=self.units[0], seed=0)

    def keras_loss(self):
        if self.loss == "mse":
            return keras.losses.MeanSquaredError()
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def start(self):
        """Return the start as a list of NumPy arrays: kernel, bias, kernel, bias, ..."""
        return [np.array(weight) for weight in self.model().get_weights()]


def neuron(updates=1000):
    """1,000 full-batch updates of the notebook's neuron."""
    return Task(f"{updates:,} full-batch updates of one neuron", (1, 1), make_line(), "mse", 4, updates, 0.01)


def digits(epochs=5, hidden=32, rows=1797):
    """Five epochs of a small network on the digits."""
    data = load_digits().take(np.arange(rows))
    title = f"{epochs} epochs of the digits, network 64-{hidden}-10, batches of 32"
    return Task(title, (64, hidden, 10), data, "cross-entropy", 32, epochs, 0.1)
