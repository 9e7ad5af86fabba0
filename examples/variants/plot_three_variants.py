r"""
A race of the three variants
============================

*The smallest batch leads at first, and the largest one wins in the end.*

Batch, mini-batch and stochastic :term:`gradient descent` are one line of mathematics,

.. math:: \theta_{k+1} = \theta_k - \eta \, g_B(\theta_k),

where :math:`\theta = (w, b)` are the parameters, :math:`\eta` is the :term:`learning rate` and :math:`g_B` the mean
:term:`gradient` of a :term:`batch` of B examples. Only B differs: all of them, some of them, or one. Put the three on one
:term:`loss surface` and compare four things: the path, the :term:`loss`, the noise and the work. You need
:ref:`sphx_glr_gallery_variants_plot_minibatch.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import build_linear, make_line, train
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.landscape import line_loss, loss_grid
from gdexplain.plotting import draw_loss_surface, draw_minimum, draw_path, label_lines, look_of, use_style
from gdexplain.theory import line_hessian, minibatch_gradient_variance

use_style()
data = make_line(noise=0.5)  # y = 2x, with noise on the targets: no line meets them all
minimum, epochs = LeastSquares(data).minimum, 2000
loss = line_loss(data)

# %%
# One start, one rate, one :term:`seed`, and the same number of :term:`epochs <epoch>`. The start lies far up the valley, so
# that there is a path to see.
runs = [
    train(build_linear(-4.0, 12.0), data, optimizer=SGD(0.05), batch_size=size, epochs=epochs) for size in (1, 2, None)
]
print("batch size   updates an epoch   in all")
for run in runs:
    print(f"{run.batch_size:10}   {run.updates_per_epoch:16}   {len(run):6,}")

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_alt = "Three paths on one loss surface, from one start to one minimum. The full batch walks a smooth "
# sphinx_gallery_alt = "curve, the batch of two wavers around it, and single examples zigzag across the valley."
fig, ax = plt.subplots()
draw_loss_surface(ax, loss_grid(loss, around=runs))
for run in runs:
    draw_path(ax, run)
draw_minimum(ax, minimum)

# %%
# All three fall into the valley and turn towards the minimum: jagged, wavering, smooth. Each small batch pulls towards
# a fit of its own; only their mean points the way.
#
# The lead changes
# ----------------

# sphinx_gallery_alt = "Loss above its minimum against epochs, log axis. The stochastic curve falls fastest and then "
# sphinx_gallery_alt = "hovers in a high band, the mini-batch curve in a lower one; the batch curve falls below both."
fig, ax = plt.subplots()
excess = [(loss(run.parameters[:-1]) - loss(minimum)).reshape(epochs, -1).mean(axis=1) for run in runs]
for run, above in zip(runs, excess, strict=True):
    color, _, label = look_of(run)
    ax.plot(above[:600], color=color, lw=1.6, label=label)  # the mean of each epoch
ax.set(xlabel="epoch", ylabel="loss above the minimum", yscale="log")
label_lines(ax)

# %%
# This is the loss of all the data, not of the batch. Small batches lead because they make more updates in an
# :term:`epoch`; then each stops at a level set by its noise. The batch has none, and passes them.
early, late = ([above[part].mean() for above in excess] for part in (slice(15, 25), slice(-1000, None)))
assert early == sorted(early)
assert late == sorted(late, reverse=True)
print("batch size   loss above the minimum, around epoch 20   in the last 1,000 epochs")
for run, first, last in zip(runs, early, late, strict=True):
    print(f"{run.batch_size:10}   {first:39.3f}   {last:24.1e}")

# %%
# The noise that stops them
# -------------------------
#
# The record holds the gradient of each batch. For this neuron the gradient of all the data is :math:`H (\theta -
# \theta^*)`, with the :term:`Hessian` :math:`H` and the minimum :math:`\theta^*`. The rest is :term:`gradient noise`.
hessian = line_hessian(data)
noise = [run.gradients - (run.parameters[:-1] - minimum) @ hessian for run in runs]
squares = [(rows**2).sum(axis=1) for rows in noise]

# sphinx_gallery_alt = "Typical gradient noise of each epoch, log axis. Single examples and batches of two fall at first, "
# sphinx_gallery_alt = "then hover around two dashed predictions, the upper for single examples, the lower for batches of two."
fig, ax = plt.subplots()
for run, square in zip(runs[:2], squares[:2], strict=True):
    level = np.sqrt(minibatch_gradient_variance(data, minimum, run.batch_size))
    color, words = look_of(run).color, f"batch {run.batch_size}"
    ax.plot(np.sqrt(square.reshape(epochs, -1).mean(axis=1))[:300], color=color, lw=1.4, label=f"{words}, measured")
    ax.axhline(level, color=color, ls="--", lw=1.4, label=f"{words}, predicted at the minimum")
ax.set(xlabel="epoch", ylabel="typical size of the noise", yscale="log", ylim=(0.04, None))
label_lines(ax)

# %%
# The noise falls while the path comes nearer, and does not die: the examples disagree even at the minimum. Where the path
# is, the formula for a batch drawn at random knows its mean square. The first batch of an epoch *is* drawn at random, and
# there both agree. The later ones are not: :term:`shuffling` leaves them the examples that the path has not followed of
# late. So the last single example of an epoch is louder or quieter than the formula says. The full batch has rounding only.
assert squares[2][-1000:].max() < 1e-9
print("batch size   noise of an epoch's first batch   predicted   of its last batch   times the formula")
for run, square in zip(runs[:2], squares[:2], strict=True):
    half = len(run) // 4  # the start is forgotten
    there = [minibatch_gradient_variance(data, at, run.batch_size) for at in run.parameters[half:-1]]
    met, predicted = (np.reshape(rows, (-1, run.updates_per_epoch)).mean(axis=0) for rows in (square[half:], there))
    of_all = f"{met[0]:31.3f}   {predicted[0]:9.3f}   {met[-1]:17.3f}   {met[-1] / predicted[-1]:17.2f}"
    print(f"{run.batch_size:10}   {of_all}")
    # a mean over 1,500 first batches is known to about 3 %
    np.testing.assert_allclose(met[0], predicted[0], rtol=0.12)

# %%
# The work, and the time
# ----------------------

# sphinx_gallery_alt = "Bars for the three runs. Updates an epoch: four, two, one. Examples an update: one, two, four. "
# sphinx_gallery_alt = "Each pair multiplies to four."
fig, ax = plt.subplots()
for place, run in enumerate(runs):
    color, _, label = look_of(run)
    heights = [run.updates_per_epoch, run.batch_size]
    bars = ax.bar([place, place + 4], heights, color=color, label=label.split(", ")[-1])
    ax.bar_label(bars)
ax.set(xticks=[1, 5], ylabel="count", ylim=(0, 5.5))
ax.set_xticklabels(["updates an epoch", "examples an update"])
ax.legend(ncols=3, loc="upper center")

# %%
# An epoch reads the same four examples in each case, so its time is about (updates) × (cost of starting one) +
# (examples) × (cost of one). For a neuron this small the start is most of it, and the epoch with one update is the
# cheapest. For a large model the examples are most of it, if they are taken one by one. But a processor takes 32 at once in
# much less than 32 times the time of one, a main reason to use mini-batches (:cite:t:`goodfellow2016`, section 8.1.3). Your
# times depend on your machine, so take them there. The first call does more than the others, so it is not timed::
#
#     from time import perf_counter
#
#     train(build_linear(), data, optimizer="sgd", batch_size=4, epochs=1)
#     for batch_size in (1, 2, 4):
#         begin = perf_counter()
#         train(build_linear(), data, optimizer="sgd", batch_size=batch_size, epochs=1000)
#         print(batch_size, perf_counter() - begin)
#
# Try it: two runs from one start. Press *Step*, drag a data point, change the :term:`batch size`.
#
# .. explorable:: playground
#    :settings: batch=4&lr=0.05&also=sgd~1~0.05~0.9~0
#
#    Left, the loss over the weight and the bias, its minimum as a cross, and the paths so far. Right, the data with the
#    fitted lines, and the losses.
#
# What this does not show: a rate that falls with time removes the level at which small batches stop, and a rate tuned
# for each batch size moves all three curves (:cite:t:`goodfellow2016`, chapter 8). When the batch passes the others
# depends on the rate: exercise 3.
for run in runs:
    assert run.updates_per_epoch * run.batch_size == len(data)

# %%
# A bet
# -----
#
# Give the run with single examples patience: ten times as many :term:`epochs <epoch>`. How much nearer to the minimum does its loss
# come? Choose before you open one.
#
# .. dropdown:: Ten times nearer
#
#    No. It would, if only the distance were left. But it has long stopped falling: the noise throws it back as often as the
#    slope pulls it in.
#
# .. dropdown:: About three times nearer, the root of ten
#
#    No. That is how an average of ten times as many draws gets better. A run at a constant rate does not average: it forgets.
#
# .. dropdown:: No nearer
#
#    Yes. It hovers at a level that the rate and the noise set, and time is not in it. A smaller rate is:
#    :ref:`sphx_glr_gallery_variants_plot_noise_floor.py`.
short, long = excess[0][100:200].mean(), excess[0][1000:2000].mean()
print(f"above the minimum: {short:.3f} in epochs 100 to 200, {long:.3f} in epochs 1,000 to 2,000")
assert 0.5 < long / short < 2  # a hundred epochs are a short mean, and three times nearer is 0.3

# %%
# Exercises
# ---------
#
# 1. After which epoch is the full batch below the level at which single examples hover? And the level of batches of two?
# 2. Halve the rate of the stochastic run, and give it time. To which part does its level fall: a half?
# 3. At rate 0.02, is the full batch ahead after 300 epochs? After 2,000?
#
# The solutions, in this order:
passed = [int(np.argmax(excess[2] < hovering[-1000:].mean())) for hovering in excess[:2]]
print(f"1. after epoch {passed[0]}, and {passed[1]}")
assert 0 < passed[0] < passed[1] < epochs

slow, fast = (
    train(build_linear(*minimum), data, optimizer=SGD(rate), batch_size=1, epochs=2000) for rate in (0.025, 0.05)
)
part = (loss(slow.parameters).mean() - loss(minimum)) / (loss(fast.parameters).mean() - loss(minimum))
print(f"2. to {part:.2f} of it: shuffling cancels most of the noise of an epoch, and more of it at small rates")
assert part < 0.3

pair, full = (
    train(build_linear(-4.0, 12.0), data, optimizer=SGD(0.02), batch_size=size, epochs=epochs) for size in (2, None)
)
ahead = [loss(full.parameters[epoch]) < loss(pair.parameters[2 * epoch]) for epoch in (300, 2000)]
print(f"3. after 300 epochs: {ahead[0]}; after 2,000: {ahead[1]}. All are slower, and the batch has the longest way")
assert ahead == [False, True]
plt.show()

# %%
# Next: the same as a film, :ref:`sphx_glr_gallery_variants_plot_descent_animated.py`. On the road of the course: how far
# the noise of batches lets you come, :ref:`sphx_glr_gallery_variants_plot_noise_floor.py`.
