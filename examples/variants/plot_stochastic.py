r"""
The path of stochastic gradient descent
=======================================

*It jumps about, and still lands on y = 2x.*

:term:`Stochastic gradient descent` looks at one example, moves, and looks at the next. Its :term:`update` follows that
example's own :term:`gradient`:

.. math:: \theta_{k+1} = \theta_k - \eta \, g_i(\theta_k), \qquad g_i = 2 \, (w x_i + b - y_i) \, (x_i, 1)

Here :math:`\theta = (w, b)`, :math:`\eta` is the :term:`learning rate` and i the example. An :term:`epoch` of N
examples now makes N updates. Look for three things: the path is jagged; the jumps die out where all examples agree, and
not elsewhere; and the rate that is safe for the whole :term:`batch` is not safe here. You need
:ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

from itertools import permutations, product

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import build_linear, make_line, train
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.landscape import line_loss, loss_grid
from gdexplain.plotting import COLORS, draw_loss_surface, draw_minimum, draw_path, label_lines, use_style
from gdexplain.theory import (
    cyclic_contraction_rate,
    line_hessian,
    max_stable_learning_rate,
    max_stable_sgd_learning_rate,
    minibatch_gradient_variance,
)

use_style()
data, start, minimum = make_line(), [-1.0, 3.0], [2.0, 0.0]  # x = 1, 2, 3, 4 and y = 2x

# %%
# The same neuron twice, from the same start, for the same number of epochs at the same rate. Only ``batch_size`` differs.
batch, single = (
    train(build_linear(*start), data, optimizer=SGD(0.05), batch_size=size, epochs=60) for size in (None, 1)
)
assert (batch.updates_per_epoch, single.updates_per_epoch) == (1, len(data))

# sphinx_gallery_alt = "Two paths on one loss surface. The blue one is smooth and stops half-way down the valley. The "
# sphinx_gallery_alt = "orange one zigzags across the valley and ends at the minimum."
fig, ax = plt.subplots()
draw_loss_surface(ax, loss_grid(line_loss(data), around=[batch, single]))
draw_path(ax, single)
draw_path(ax, batch)
draw_minimum(ax, minimum)

# %%
# Each example pulls towards its own set of lines: those through its point. So the path jumps from side to side. But it
# makes four updates where batch gradient descent makes one, from the same four examples, and ends much nearer.
distance = [np.linalg.norm(run.parameters[-1] - minimum) for run in (batch, single)]
print(f"distance to the minimum: {distance[0]:.3f} after {len(batch)} updates of the batch,")
print(f"{distance[1]:.3f} after {len(single)} updates on one example each")
assert distance[1] < distance[0] / 10

# %%
# The jumps die where every example agrees
# ----------------------------------------
#
# On y = 2x one line passes through all points. There every :math:`g_i` is 0, so the :term:`gradient noise` is 0 too, and
# a constant rate lands there. Add noise to the targets, and no line does: the gradients still disagree at the minimum.
noisy = make_line(noise=0.5)
best = LeastSquares(noisy).minimum
for name, rows, point in (("y = 2x", data, minimum), ("noisy", noisy, best)):
    variance = minibatch_gradient_variance(rows, point, batch_size=1)
    print(f"variance of an example's gradient at the minimum, {name}: {variance:.3f}")
exact, hovering = (
    train(build_linear(*start), rows, optimizer=SGD(0.05), batch_size=1, epochs=300) for rows in (data, noisy)
)
excess = {
    "y = 2x": line_loss(data)(exact.parameters),
    "noisy targets": line_loss(noisy)(hovering.parameters) - line_loss(noisy)(best),
}

# sphinx_gallery_alt = "Loss above its minimum, log axis. On y = 2x it falls by many powers of ten. With noisy targets it "
# sphinx_gallery_alt = "falls at first and then hovers in a band for good."
fig, ax = plt.subplots()
for (words, loss), (color, width) in zip(excess.items(), (("stochastic", 2.4), ("rmsprop", 0.8)), strict=True):
    ax.plot(exact.updates, loss, color=COLORS[color], lw=width, label=words)
ax.set(xlabel="update", ylabel="loss above the minimum", yscale="log")
label_lines(ax)

# %%
# The same rate, the same start: one run goes on to the end of what float32 can tell apart, the other hovers. Compare the
# last 75 epochs with the 75 before. The usual cure for the second run is a rate that falls with time
# :cite:p:`robbins1951,bottou2018`.
assert excess["y = 2x"][-1] < 1e-9
for words, loss in excess.items():
    late, later = loss[600:900].mean(), loss[900:].mean()
    print(f"{words}: the last 75 epochs have {later / late:.2g} of the loss above the minimum of the 75 before")
    # chance moves a mean of 300 updates by up to a third; one that falls is a thousand times lower
    assert 1 / 1.5 < later / late < 1.5 if words == "noisy targets" else later / late < 1e-3

# %%
# A rate that is safe for the batch is not safe for one example
# -------------------------------------------------------------
#
# Draw each example at random and ask for the mean squared distance to the minimum, over all the ways the draws can
# fall. Below a :term:`stability limit` it shrinks, above it grows, and this limit is lower than the batch's. We can
# measure it with no chance left: train one neuron for every possible sequence of eight draws, side by side in one model.
# (Keras' :term:`loss` is the mean over the n neurons, so the rate is multiplied by n.)
draws = np.array(list(product(data.inputs[:, 0], repeat=8))).T  # one sequence a column
n = draws.shape[1]


def mean_square(rate):
    """Train n neurons side by side; return their squared distances, before and after each update."""
    neurons = keras.layers.EinsumDense("nr,r->nr", n, bias_axes="r", kernel_initializer="zeros")
    model, rows = keras.Sequential([keras.Input((n,)), neurons]), (draws, 2 * draws)
    run = train(model, rows, optimizer=SGD(rate * n), batch_size=1, epochs=1, shuffle=False)
    return ((run.parameters.reshape(-1, 2, n) - np.reshape(minimum, (2, 1))) ** 2).sum(axis=1)


# sphinx_gallery_alt = "Squared distance against updates, log axis. At the lower rate mean and median fall. At the higher "
# sphinx_gallery_alt = "rate the mean grows along a dashed prediction, and still the median falls."
fig, ax = plt.subplots()
for rate, color in ((0.07, COLORS["nesterov"]), (0.09, COLORS["stochastic"])):
    square = mean_square(rate)
    ax.plot(square.mean(axis=1), "^-", color=color, label=f"rate {rate}, mean of all {n:,}")
    ax.plot(np.median(square, axis=1), ":", color=color, label=f"rate {rate}, median")
updates = [np.eye(2) - rate * line_hessian(data.take([row])) for row in range(len(data))]  # one an example
growth = np.linalg.eigvalsh(np.mean([np.kron(each, each) for each in updates], axis=0))[-1]
predicted = square[0].mean() * growth ** np.arange(9)
ax.plot(predicted, "--", lw=1.4, color=COLORS["theory"], label=f"predicted, × {growth:.3f}")
ax.set(xlabel="update", ylabel="squared distance", yscale="log")
label_lines(ax)

# %%
# Above the limit the mean explodes while the median shrinks: most runs are fine, and a few unlucky ones draw x = 4 again
# and again and are thrown far out. By the eighth update the growth is almost exactly what the theory predicts: the largest
# :term:`eigenvalue` of the map that takes the mean of all products of two errors from one update to the next. And the
# sides of the limit are sharp: one percent below it the mean still shrinks, one percent above it grows.
before, after = square[-2:].mean(axis=1)
np.testing.assert_allclose(after / before, growth, rtol=2e-3)
limit, batch_limit = max_stable_sgd_learning_rate(data), max_stable_learning_rate(line_hessian(data))
print("    rate   factor of the eighth update")
for rate in (0.99 * limit, 1.01 * limit):
    before, after = mean_square(rate)[-2:].mean(axis=1)
    assert (after > before) == (rate > limit)
    print(f"{rate:.6f}   {after / before:27.4f}")
print(f"\nlimit: {limit:.6f} for random single examples, {batch_limit:.6f} for the batch")

# %%
# In a fixed order every pass over the data is the same linear map, and its :term:`contraction rate` decides. In the order
# 1, 2, 3, 4 a rate above that limit still contracts, in the end by the same factor every pass. The tolerance is float32's,
# in which Keras keeps the rate.
neuron, sgd = build_linear(dtype="float64"), SGD(0.1)
ordered = train(neuron, data, optimizer=sgd, batch_size=1, epochs=50, shuffle=False)
passes = np.linalg.norm(ordered.parameters[:: len(data)] - minimum, axis=1)
factor, predicted = passes[-1] / passes[-2], cyclic_contraction_rate(data, 0.1)
np.testing.assert_allclose(factor, predicted, rtol=1e-6)
print(f"in order, at rate 0.1: × {factor:.4f} a pass, predicted × {predicted:.4f}")

# %%
# That was a lucky order. There are 24, so try them all.
factors = {rows: cyclic_contraction_rate(data.take(rows), 0.1) for rows in permutations(range(4))}
grow = sum(factor > 1 for factor in factors.values())
print(f"{grow} of {len(factors)} orders diverge; with x = 1, 2, 4, 3: × {factors[0, 1, 3, 2]:.4f} a pass")
assert grow * 3 == len(factors) == 24
assert factors[0, 1, 3, 2] > 1.02

# %%
# One order in three diverges. This is not far from practice: with a :term:`seed`, Keras' ``fit`` deals one order to all
# epochs (:ref:`sphx_glr_gallery_variants_plot_what_fit_does.py`).
#
# What this does not show: ``fit`` and :func:`gdexplain.train` shuffle, which is neither. Each epoch uses every example
# once, in a random order, so luck evens out within an epoch. And four examples are soon read; with a million of them, a
# cheap update is the point of it all.
#
# The method is from :cite:t:`robbins1951`;
# :cite:t:`bottou2018` tell where it stands today. The same step by step: :doc:`/tutorial/stochastic`.

# %%
# Exercises
# ---------
#
# 1. Show the neuron only the example x = 4. What is the largest stable rate now? Why is a larger one fine when all four are drawn?
# 2. Go through the examples backwards, at rate 0.1. Does a pass contract faster or slower?
#
# The solutions, in this order:
alone = 1 / (4**2 + 1)  # the residual is multiplied by 1 - 2 rate (x^2 + 1)
print(f"1. {alone:.4f}, against {max_stable_sgd_learning_rate(data, 1):.4f} for all: the gentle examples repair")
residuals = train(build_linear(), data.take([3]), optimizer=SGD(1.01 * alone), batch_size=1, epochs=50).loss
assert residuals[-1] > residuals[0]
assert alone < max_stable_sgd_learning_rate(data, 1)

backwards = cyclic_contraction_rate(data.take([3, 2, 1, 0]), 0.1)
print(f"2. neither: × {backwards:.4f}. The product of the four matrices is transposed, and keeps its eigenvalues.")
np.testing.assert_allclose(backwards, predicted, rtol=1e-12)
plt.show()

# %%
# Next: a few examples at a time, :ref:`sphx_glr_gallery_variants_plot_minibatch.py`.
