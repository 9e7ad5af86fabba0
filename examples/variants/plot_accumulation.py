r"""
Gradient accumulation
=====================

*It is a larger batch: exactly, as long as no layer looks at the batch or draws at random, and every step is filled.*

A :term:`batch` of 32 does not fit on your device, and one of 4 does. Add up the :term:`gradients <gradient>` of eight small
batches and make one :term:`update` with their mean. In Keras it is one argument of every :term:`optimizer`,
``gradient_accumulation_steps=8``. The gradient of a mean is the mean of the gradients, so this *is* the update of the large batch:

.. math:: \frac1K \sum_{k=1}^{K} \frac1B \sum_{i \in \text{batch } k} g_i \;=\; \frac1{KB} \sum_{i} g_i

Here :math:`g_i` is the gradient of one :term:`example`'s :term:`loss`, B the size of a small batch and K how many are
collected. Look at what the formula takes for granted: that :math:`g_i` depends on example i alone, that all batches have
the same size, and that there are always K of them. You need :ref:`sphx_glr_gallery_variants_plot_minibatch.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import layers
from keras.optimizers import SGD, Adam

from gdexplain import make_line, train
from gdexplain.plotting import COLORS, label_lines, use_style

use_style()
data = make_line(8, noise=0.5)  # x = 1, ..., 8
X, y = data.inputs, data.targets


def neuron():
    """Make one neuron that starts at w = 0, b = 0."""
    return keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])


# %%
# Four batches of two are one batch of eight
# ------------------------------------------
#
# The same eight examples in the same order, read two at a time with four steps collected, and read all at once.
sgd = {"optimizer": SGD(0.02, gradient_accumulation_steps=4), "batch_size": 2, "shuffle": False}
collected = train(neuron(), data, epochs=30, **sgd)
large = train(neuron(), data, optimizer=SGD(0.02), batch_size=8, epochs=30, shuffle=False)
moves = np.any(np.diff(collected.parameters, axis=0) != 0, axis=1)
print(f"{len(collected)} batches of 2: the weights moved {moves.sum()} times")
print(f"apart from the run with batches of 8: {np.abs(collected.parameters[::4] - large.parameters).max():.0e}")
assert moves.sum() == len(large) == 30
np.testing.assert_allclose(collected.parameters[::4], large.parameters, atol=1e-5)  # float32

# sphinx_gallery_alt = "The weight against batches read. With batches of two and four collected it is a staircase that moves "
# sphinx_gallery_alt = "at every fourth batch; marks for the run with batches of eight lie on the stairs."
fig, ax = plt.subplots()
ax.step(
    range(41), collected.parameters[:41, 0], where="post", color=COLORS["minibatch"], label="2 at a time, 4 collected"
)
ax.plot(range(0, 41, 4), large.parameters[:11, 0], "o", color=COLORS["batch"], label="8 at a time")
ax.set(xlabel="batches of two read", ylabel="weight w")
label_lines(ax)

# %%
# The stairs move only when four batches are in, and each time they land on the mark. The same holds for a rule with a
# memory: Adam sees the collected gradient, once for each update.
adam = [
    train(
        neuron(),
        data,
        optimizer=Adam(0.1, gradient_accumulation_steps=k),
        batch_size=8 // (k or 1),
        epochs=30,
        shuffle=False,
    )
    for k in (4, None)
]
apart = np.abs(adam[0].parameters[::4] - adam[1].parameters).max()
print(f"Adam: apart {apart:.0e}")
np.testing.assert_allclose(adam[0].parameters[::4], adam[1].parameters, atol=1e-4)  # Adam divides rounding by its size

# %%
# Where it is not: a layer that looks at the batch
# ------------------------------------------------
#
# Batch normalisation subtracts the mean *of the batch* and divides by its spread. Then :math:`g_i` depends on who else is
# in the batch, and eight batches of four are another function than one of 32.
rng = np.random.default_rng(0)
inputs = rng.normal(size=(32, 3)).astype("float32")
answers = np.sin(inputs.sum(axis=1, keepdims=True))


def network(*between):
    """Make a small network, with these layers in its middle."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), layers.Dense(8), *between, layers.Activation("tanh"), layers.Dense(1)])


def gradient(model, rows):
    """Return the gradient of the loss over these examples, in training, in one row."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(inputs[rows], training=True) - answers[rows]) ** 2)
    return np.concatenate([part.numpy().ravel() for part in tape.gradient(loss, model.trainable_variables)])


def missed(model, size):
    """Return how far the mean over batches of this size lies from the gradient of all, as a share of it."""
    parts = [gradient(model, np.arange(start, start + size)) for start in range(0, 32, size)]
    whole = gradient(model, np.arange(32))
    return np.linalg.norm(np.mean(parts, axis=0) - whole) / np.linalg.norm(whole)


sizes = (2, 4, 8, 16)
plain = [missed(network(), size) for size in sizes]
normed = [missed(network(layers.BatchNormalization()), size) for size in sizes]
layered = [missed(network(layers.LayerNormalization()), size) for size in sizes]
print("batches of   no normalisation   batch normalisation   layer normalisation")
for size, *values in zip(sizes, plain, normed, layered, strict=True):
    print("{:10}   {:16.0e}   {:19.0e}   {:19.0e}".format(size, *values))
assert max(plain + layered) < 1e-5  # float32
assert min(normed) > 0.01
assert normed[0] > normed[-1]

# sphinx_gallery_alt = "How far the mean gradient of small batches lies from that of all 32 examples, against the size of the "
# sphinx_gallery_alt = "batches, log axis. With batch normalisation it is a large share of the gradient, less for larger "
# sphinx_gallery_alt = "batches. Without it, and with layer normalisation, it is rounding, five powers of ten below."
fig, ax = plt.subplots()
ax.plot(sizes, normed, "o-", color=COLORS["stochastic"], label="batch normalisation")
ax.plot(sizes, layered, "s--", color=COLORS["minibatch"], label="layer normalisation")
ax.plot(sizes, plain, "^:", color=COLORS["batch"], label="no normalisation")
ax.set(xlabel="size of the small batches", ylabel="missed, as a share of the gradient", yscale="log", xticks=sizes)
label_lines(ax)

# %%
# With batch normalisation the collected gradient is another one, and more so the smaller the batches. Layer normalisation
# looks at one example only, and changes nothing.
#
# Where it is not: the last step of ``fit``
# -----------------------------------------
#
# Ten examples in batches of two make five batches an :term:`epoch`. Collect four: after the fifth, ``fit`` ends, and nothing
# has been done with it. The last two examples had no say.
ten = make_line(10, noise=0.5)
fits = []
for rows in (10, 8):
    model = neuron()
    model.compile(optimizer=SGD(0.01, gradient_accumulation_steps=4), loss="mse")
    model.fit(ten.inputs[:rows], ten.targets[:rows], batch_size=2, epochs=1, shuffle=False, verbose=0)
    fits.append(np.array([value.item() for value in model.get_weights()]))
print(f"ten examples: w, b = {fits[0].round(4)}; the first eight alone: {fits[1].round(4)}")
np.testing.assert_array_equal(*fits)

# %%
# With more epochs the batch that was left over joins the first three of the next epoch. That is harmless with
# :term:`shuffling`, and lost at the very end. Let K divide the batches of an epoch.
#
# What this does not show: that it saves time. It saves memory; each small batch still costs a pass. The noise, the
# largest rate and the number of updates are those of the large batch: :ref:`sphx_glr_gallery_variants_plot_batch_size_and_rate.py`.

# %%
# Exercises
# ---------
#
# 1. Seven examples in batches of two make four batches, the last with a single one. Collect four. How much say has the
#    example alone, compared with the others?
# 2. You collect 8 and find the rate too small. Is it because the gradients are added, not averaged?
#
# The solutions, in this order:
pulls = np.hstack([2 * (0 * X - y) * X, 2 * (0 * X - y)])[:7]  # each example's gradient at (0, 0)
weights = np.array([1, 1, 1, 1, 1, 1, 2]) / 8
first = train(neuron(), (X[:7], y[:7]), epochs=1, **sgd | {"optimizer": SGD(0.01, gradient_accumulation_steps=4)})
print(f"1. twice as much: the step is {np.diff(first.parameters[[0, -1]], axis=0)[0].round(4)}")
np.testing.assert_allclose(first.parameters[-1], -0.01 * weights @ pulls, rtol=1e-4)

step = np.linalg.norm(collected.parameters[4]) / np.linalg.norm(large.parameters[1])
print(f"2. no: the first step is {step:.4f} times that of the large batch, so Keras takes the mean")
np.testing.assert_allclose(step, 1, rtol=1e-5)
plt.show()

# %%
# Next: how several devices share one batch, :ref:`sphx_glr_gallery_variants_plot_data_parallel.py`.
