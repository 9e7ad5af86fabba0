r"""
The noise of a mini-batch
=========================

*A mini-batch guesses the gradient: right on average, and better the bigger it is.*

:term:`Mini-batch gradient descent` takes B of the N examples for each :term:`update`. Their mean :term:`gradient` stands
in for the gradient of the whole data set. Over all the batches that could have been drawn it is exact on average, and its
spread is

.. math:: \operatorname{E} \lVert g_B - \bar g \rVert^2 = \frac{\operatorname{tr} \Sigma}{B} \, \frac{N - B}{N - 1}

.. index:: ! batch size

Here :math:`g_B` is the gradient of a :term:`batch`, :math:`\bar g` that of all the data, and :math:`\Sigma` the
covariance of the single examples' gradients. Look for clouds that shrink around one centre; then for what you pay.
You need :ref:`sphx_glr_gallery_variants_plot_stochastic.py`.
"""

from itertools import combinations
from math import comb

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import KerasObjective, build_linear, make_line, sweep, train
from gdexplain.landscape import line_loss
from gdexplain.plotting import COLORS, draw_loss, label_lines, use_style
from gdexplain.theory import minibatch_gradient_variance

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x
sizes = np.arange(1, len(data) + 1)

# %%
# Every batch there is
# --------------------
#
# Four examples make few batches, so leave nothing to chance and take them all: one gradient for each, as Keras computes it
# for the neuron at :math:`w = b = 0`.
neuron, gradients = KerasObjective(build_linear(), data), {}
for size in sizes:
    batches = combinations(range(len(data)), size)
    gradients[size] = np.array([neuron.value_and_grad([0, 0], list(rows))[1] for rows in batches])

# sphinx_gallery_alt = "Gradients of all batches of one, two and three examples, as three clouds with one ellipse each. "
# sphinx_gallery_alt = "All are centred on the full gradient, and the bigger the batch, the smaller its cloud."
fig, ax = plt.subplots()
turn = np.linspace(0, 2 * np.pi)
for size, name, mark in zip(sizes[:3], ("stochastic", "minibatch", "nesterov"), "o^s", strict=True):
    cloud = gradients[size]
    label = f"batch {size}, variance {cloud.var(axis=0).sum():.4g}"
    ax.plot(*cloud.T, mark, color=COLORS[name], ms=7, alpha=0.85, ls="none", label=label)
    to_ellipse = np.linalg.cholesky(np.cov(cloud.T, bias=True))  # of a circle
    ring = to_ellipse @ [np.cos(turn), np.sin(turn)] + cloud.mean(axis=0)[:, np.newaxis]
    ax.plot(*ring, color=COLORS[name], lw=1.8, label=f"_{size}")
ax.plot(-30, -10, "o", color=COLORS["batch"], ms=11, ls="none", label="full batch")
ax.set(xlabel="gradient along w", ylabel="gradient along b")
label_lines(ax)

# %%
# Each point is one batch, and each ellipse one standard deviation, so some points lie outside theirs. All clouds have the
# same centre: on average no :term:`batch size` is wrong. The float32 gradients are whole numbers or simple fractions, so
# the tolerances leave room for rounding only. By hand, the centre is
# :math:`(-2\,\overline{xy}, -2\,\overline{y}) = (-30, -10)`.
noise = []
for size in sizes:
    np.testing.assert_allclose(gradients[size].mean(axis=0), [-30, -10], rtol=1e-6)
    noise.append(gradients[size].var(axis=0).sum())
predicted = [minibatch_gradient_variance(data, [0, 0], int(size)) for size in sizes]
np.testing.assert_allclose(noise, predicted, rtol=1e-5)
print("batch   mean gradient   variance")
for size, variance in zip(sizes, noise, strict=True):
    w, b = gradients[size].mean(axis=0)
    print(f"{size:5}       {w:.0f}, {b:.0f}   {variance:8.3f}")

# %%
# The spread falls faster than 1/B
# --------------------------------

# sphinx_gallery_alt = "Variance of the gradient against batch size. Four measured points lie on the dashed prediction, "
# sphinx_gallery_alt = "below a thin line for one over B, and reach zero at the full batch."
fig, ax = plt.subplots()
ax.plot(sizes, noise, "s", color=COLORS["minibatch"], ms=10, label="measured over all batches")
ax.plot(sizes, predicted, "--", color=COLORS["theory"], label="predicted")
ax.plot(sizes, predicted[0] / sizes, ":", color=COLORS["theory"], label="1/B: examples may repeat")
ax.set(xlabel="batch size", ylabel="variance of the gradient", xticks=sizes)
label_lines(ax)

# %%
# Two examples have a third of the variance of one, not half: a batch never holds an example twice, so the second one is
# news. The last example brings the variance to 0, for there is only one full batch. When N is large the factor
# :math:`(N - B)/(N - 1)` is close to 1, and only 1/B is left: four times the work for half the typical error.
assert noise[1] * 2 < noise[0]
assert noise[-1] == 0

# %%
# What you pay
# ------------
#
# Train with each size, at one rate and for the same number of :term:`epochs <epoch>`. An epoch reads each example once, so a
# bigger batch means fewer updates: N/B, rounded up where the last batch is short.
runs = [
    train(build_linear(-1.0, 3.0), data, optimizer=SGD(0.03), batch_size=size, epochs=60) for size in (None, 3, 2, 1)
]

# sphinx_gallery_alt = "Loss against epochs on a log axis. After the same number of epochs the stochastic run is lowest, "
# sphinx_gallery_alt = "the mini-batch runs lie between, and the full batch run is highest and the only smooth one."
fig, ax = plt.subplots()
draw_loss(ax, *runs, x="epochs")

# %%
# The strong lines are means over an epoch, the faint ones the :term:`losses <loss>` of single batches. At the same rate,
# more updates get further with the same reading; and the smaller a batch, the more it jumps. In Keras all of this is one
# argument: ``model.fit(x, y, batch_size=2, epochs=60)``.
print("batch size   updates an epoch   in all")
for run in runs:
    assert run.updates_per_epoch == -(-len(data) // run.batch_size)  # rounded up
    print(f"{run.batch_size:10}   {run.updates_per_epoch:16}   {len(run):6}")
ends = [line_loss(data)(run.parameters[-1]) for run in runs]
assert ends[0] > max(ends[1:3])
assert min(ends[1:3]) > ends[3]

# %%
# Batches of three and of two make as many updates, so which of these two is ahead is chance. Train with a hundred other
# orders of the examples for each size: :func:`gdexplain.sweep` makes such runs side by side.
budget = {"optimizer": SGD(0.03), "seed": np.arange(1, 101), "jit": False}
others = [sweep(build_linear(-1.0, 3.0), data, batch_size=run.batch_size, steps=len(run), **budget) for run in runs[1:]]
three, two, one = (line_loss(data)(each.parameters) for each in others)
between = np.sum((one < np.minimum(two, three)) & (np.maximum(two, three) < ends[0]))
print(f"one lowest, two and three between, the full batch highest: in {between} of 100 orders")
print(f"two below three: in {np.sum(two < three)} of 100")
assert between == 100
assert 50 < np.sum(two < three) < 90

# %%
# What this does not show: one rate is not the best rate for all. A calmer gradient allows a larger rate, and a larger
# batch uses the machine better, so per second the order can turn round
# (:ref:`sphx_glr_gallery_variants_plot_three_variants.py`). How far a bigger batch pays is measured by
# :cite:t:`mccandlish2018` and, for training at scale, by :cite:t:`goyal2017`. The same step by step:
# :doc:`/tutorial/minibatch`.

# %%
# Exercises
# ---------
#
# 1. How many batches of 8 are there in 64 examples? What is their variance, as a share of that of one example?
# 2. What is the variance at the minimum, w = 2 and b = 0, for each batch size?
#
# The solutions, in this order:
many = make_line(64)
share = minibatch_gradient_variance(many, [0, 0], 8) / minibatch_gradient_variance(many, [0, 0], 1)
print(f"1. {comb(64, 8):,} batches; the share is {share:.4f}, a little less than 1/8")
np.testing.assert_allclose(share, 1 / 8 * (64 - 8) / (64 - 1), rtol=1e-12)

at_minimum = [minibatch_gradient_variance(data, [2, 0], int(size)) for size in sizes]
print(f"2. {at_minimum}: the line meets all four points, so no example pulls")
assert at_minimum == [0] * len(sizes)
plt.show()

# %%
# Next: the three on one surface, :ref:`sphx_glr_gallery_variants_plot_three_variants.py`.
