r"""
What fit does
=============

*Set a seed, and fit deals the same batches in every epoch.*

``model.fit(x, y)`` hides a loop: shuffle the :term:`examples <example>`, deal them into :term:`batches <batch>`, make one
:term:`update` for each. You can watch it with a spy. Give each example an input of its own, a 1 among zeros, and a
:term:`weight` of its own. An update then moves the weights of its own batch, and no others:

.. math:: \Delta w_i = \eta \, \frac{2}{B} \, (1 - w_i) \quad \text{if example } i \text{ is in the batch, else } 0

where the targets are 1, :math:`\eta` is the :term:`learning rate` and B the number of examples in this batch. Look for
three things: each example comes once an :term:`epoch`, the last batch is short, and the order does not change.
You need :ref:`sphx_glr_gallery_variants_plot_minibatch.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from gdexplain import (
    Dataset,
    RecordTrajectory,
    batch_order,
    build_linear,
    build_mlp,
    make_line,
    make_moons,
    train,
)
from gdexplain.plotting import COLORS, use_style

use_style()
spies = Dataset(np.eye(10), np.ones((10, 1)), name="ten spies")
settings = {"batch_size": 4, "epochs": 5}


def spy_model():
    """Build one weight for each example, all 0."""
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    return keras.Sequential([keras.Input((10,)), layer])


def watch_fit(**options):
    """Run fit on the spies; return its record and its history."""
    model, recorder = spy_model(), RecordTrajectory()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = spies.inputs, spies.targets
    history = model.fit(x, y, verbose=0, callbacks=[recorder], **settings, **options)
    return recorder.trajectory, history.history["loss"]


def pulls(run):
    """Return how far each update pulls each weight towards 1: a row for each update."""
    return np.diff(run.parameters, axis=0) / (1 - run.parameters[:-1])


# %%
# Once with ``fit`` after ``keras.utils.set_random_seed``, and once with :func:`gdexplain.train`, which takes a
# :term:`seed` of its own.
keras.utils.set_random_seed(0)
by_fit, history = watch_fit()
sgd = keras.optimizers.SGD(0.1)
by_train = train(spy_model(), spies, optimizer=sgd, seed=0, **settings)

# sphinx_gallery_alt = "Which of ten examples each of 15 updates uses, in five epochs of three updates. Above, fit with a "
# sphinx_gallery_alt = "seed: the same pattern five times. Below, train: a new pattern in each epoch. The third update of "
# sphinx_gallery_alt = "every epoch has two examples, drawn larger, the others four."
fig, axes = plt.subplots(2, 1, figsize=(6.2, 6.4), sharex=True)
for ax, run, words in ((axes[0], by_fit, "fit, with a seed"), (axes[1], by_train, "train")):
    update, example = np.nonzero(pulls(run))
    size = 900 * pulls(run)[update, example]
    ax.scatter(update + 1, example, s=size, marker="s", color=COLORS["minibatch"])
    for edge in (3.5, 6.5, 9.5, 12.5):
        ax.axvline(edge, color=COLORS["theory"], lw=1)
    ax.set(title=words, ylabel="example", xticks=range(1, 16, 2), yticks=range(0, 10, 3))
axes[1].set_xlabel("update")

# %%
# Read each picture from left to right; the lines part the epochs. Every example comes once an epoch: 4 + 4 + 2. And
# above, the five epochs are one and the same. A seed was to make the *run* repeat. It also makes TensorFlow restart
# its random numbers at each epoch, so ``fit`` shuffles the same way each time (in the versions named at
# the foot of the page). Without a seed each epoch has an order of
# its own, but the run does not repeat.


def orders(run):
    """Count the different epochs of a run."""
    return len({tuple(map(tuple, epoch)) for epoch in (pulls(run) > 0).reshape(5, 3, 10)})


tf.random.set_seed(None)  # as in a fresh Python; the build of this page has set one
unseeded, _ = watch_fit()
keras.utils.set_random_seed(0)
print(f"different orders in 5 epochs: fit with a seed {orders(by_fit)}, ", end="")
print(f"without {orders(unseeded)}, train {orders(by_train)}")
assert (orders(by_fit), orders(unseeded), orders(by_train)) == (1, 5, 5)
for run in (by_fit, unseeded, by_train):
    seen = (pulls(run) > 0).reshape(5, 3, 10)
    assert (seen.sum(axis=1) == 1).all()  # every example once an epoch
    assert (seen.sum(axis=2) == [4, 4, 2]).all()

# %%
# The short last batch is loud
# ----------------------------
#
# The :term:`loss` is a *mean* over the batch. So the two examples of the last batch pull twice as hard as those of a
# batch of four. A new order in each epoch favours another two each time, and a fixed one the same two all along.
strength = pulls(by_fit).max(axis=1)[:3]
print("pull on each example of the three batches:", strength.round(3))
np.testing.assert_allclose(strength, 0.1 * 2 / np.array([4, 4, 2]), rtol=1e-5)  # float32

# %%
# And the loss that ``fit`` prints for an epoch is the mean over its examples of the losses *during* the epoch, each
# before its update. It is not the loss of the model that you have at the end of it.
during = by_fit.loss.reshape(5, 3) @ [0.4, 0.4, 0.2]
np.testing.assert_allclose(history, during, rtol=1e-6)
at_end = np.mean((1 - by_fit.parameters[3]) ** 2)
print(f"epoch 1: fit says {history[0]:.3f}, and at its end the loss is {at_end:.3f}")
assert at_end < history[0]

# %%
# The default of 32
# -----------------
#
# If you leave ``batch_size`` out, it is 32. With so many examples or fewer, ``fit`` is :term:`batch gradient descent`, and
# does not say so.
for n, expected in ((4, 1), (33, 2), (100, 4)):
    neuron, line = build_linear(), make_line(n)
    neuron.compile(keras.optimizers.SGD(1e-5), "mse")
    neuron.fit(line.inputs, line.targets, epochs=4, verbose=0)
    updates = int(neuron.optimizer.iterations) // 4
    print(f"{n} examples: {updates} update{'s' * (updates > 1)} an epoch")
    assert updates == expected

# %%
# So the bar that ``fit`` draws counts batches, not examples. This is what 50,000 examples come to:
many, neuron = 50_000, build_linear()
neuron.compile(keras.optimizers.SGD(), "mse")
neuron.fit(np.zeros((many, 1)), np.zeros((many, 1)), verbose=0)
batches = int(neuron.optimizer.iterations)
print(f"{many:,} examples: the bar ends at {batches}/{batches}, with a batch of {many - 32 * (batches - 1)}")
assert batches == -(-many // 32)

# %%
# train does what fit does
# ------------------------
#
# To have both, a run that repeats and a new order in each epoch, deal the batches yourself:
# :func:`gdexplain.batch_order` says who is in which. That is what ``train`` does, so the two end with the same weights,
# to the last bit.
moons, net = make_moons(50), {"inputs": 2, "output_activation": "sigmoid", "seed": 1}
model, twin = build_mlp([8, 1], **net), build_mlp([8, 1], **net)
cross = "binary_crossentropy"
train(model, moons, optimizer="adam", loss=cross, batch_size=16, epochs=5, seed=3)

twin.compile("adam", cross, jit_compile=False)  # XLA would change the last digit
for epoch in np.split(np.concatenate(batch_order(50, 16, 5, seed=3)), 5):
    x, y = moons.inputs[epoch], moons.targets[epoch]
    twin.fit(x, y, batch_size=16, shuffle=False, verbose=0)
pairs = list(zip(model.get_weights(), twin.get_weights(), strict=True))
print(f"largest difference of the weights: {max(np.abs(a - b).max() for a, b in pairs)}")
assert all(np.array_equal(a, b) for a, b in pairs)

# %%
# What this does not show: data that is no array. A ``tf.data.Dataset`` comes in the order that you gave it, whatever
# ``shuffle`` says; with ``dataset.shuffle(n)`` it draws a new order in each epoch. What the order is worth is measured in
# :ref:`sphx_glr_gallery_variants_plot_shuffling.py`.
#
# Exercises
# ---------
#
# 1. Train with ``shuffle=False``. Which two examples end nearest to their target, and why?
# 2. 1,000 examples, ``batch_size=64``, 10 epochs: how many updates, and how large is the last batch of an epoch?
in_order, _ = watch_fit(shuffle=False)
nearest = np.argsort(in_order.parameters[-1])[-2:]
print("1. examples", sorted(nearest.tolist()), "are always in the short batch")
assert set(nearest) == {8, 9}

rows = batch_order(1000, 64, 10)
print(f"2. {len(rows)} updates, and the last batch holds {len(rows[-1])}")
assert (len(rows), len(rows[-1])) == (160, 40)
plt.show()

# %%
# Next: how far the noise of batches lets you come, :ref:`sphx_glr_gallery_variants_plot_noise_floor.py`.
