"""Keras' own `fit` on batches that we choose: the referee of `train`."""

import keras
import numpy as np

from gdexplain import Dataset, batch_order


class Batches(keras.utils.PyDataset):
    """The batches of `batch_order`, one after the other, as an epoch of `fit`."""

    def __init__(self, data, order):
        super().__init__()
        self.data, self.order = data, order

    def __len__(self):
        return len(self.order)

    def __getitem__(self, update):
        return keras.tree.map_structure(lambda array: array[self.order[update]], self.data)


def fit(model, data, *, optimizer, loss="mse", batch_size, epochs, seed=0, callbacks=(), jit=False):
    """Train as `train` does, on the same batches, by `model.fit`."""
    if isinstance(data, Dataset):
        targets = data.targets if data.targets.dtype == np.int64 else data.targets.astype(keras.config.floatx())
        data = (data.inputs.astype(keras.config.floatx()), targets)
    order = batch_order(len(keras.tree.flatten(data)[0]), batch_size, epochs, seed=seed)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=jit)
    return model.fit(Batches(data, order), epochs=1, shuffle=False, verbose=0, callbacks=list(callbacks))


def largest_difference(model, other):
    """The largest difference between two models' weights, BatchNorm's averages among them."""
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return max(float(np.max(np.abs(a.astype(float) - b))) for a, b in pairs)
