r"""
Data-parallel training
======================

*Two replicas with half the batch each make the update of one with all of it.*

When a :term:`batch` is too large for one device, split it. Every :term:`replica`, a copy of the model on a device of
its own, takes a share of the :term:`examples <example>` and computes the :term:`gradient` there. Their mean, each weighted by the
size of its share, goes to all of them, and all make the same :term:`update`. Nothing new has happened, for that mean is the
gradient of the whole batch:

.. math:: \nabla L_B = \sum_r \frac{B_r}{B} \, \nabla L_r
          \qquad \Bigl( = \frac1R \sum_r \nabla L_r \ \text{ if all shares are equal} \Bigr)

Here R is the number of replicas, :math:`B_r` the size of the share of replica r, and :math:`B = \sum_r B_r` the batch.
Look at the condition in the parenthesis: Keras' ``fit`` takes it for granted. You need
:ref:`sphx_glr_gallery_variants_plot_minibatch.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed

from gdexplain import Dataset, line_loss, loss_grid, use_style
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.plotting import COLORS, draw_loss_surface, draw_minimum, label_lines

use_style()
x = np.linspace(-1, 1, 8)[:, np.newaxis]
data = Dataset(x, 2 * x + 0.3 * np.random.default_rng(0).normal(size=x.shape), name="8 points near y = 2x")
objective = LeastSquares(data)


def gradient(rows, theta=(0, 0)):
    """Return the gradient of these examples, for the weight and the bias."""
    return objective.value_and_grad(theta, list(rows))[1]


# %%
# Eight points near a line, two replicas. One gets the points on the left, the other those on the right: four and four,
# or two and six. Here is where each would go, and where the whole batch goes.
whole, places = gradient(range(8)), [(4, 4), (2, 6)]

# sphinx_gallery_alt = "Two pictures of steps from one start, as arrows. In each, two green arrows, one for each replica, "
# sphinx_gallery_alt = "point far apart, and a thick blue one, the whole batch's, ends on the dashed line between their "
# sphinx_gallery_alt = "tips. With shares of 4 and 4 it ends at the middle, marked by a ring. With 2 and 6 it is pulled "
# sphinx_gallery_alt = "towards the larger share, and the ring misses it."
fig, axes = plt.subplots(1, 2, figsize=(6.2, 4.6), sharex=True, sharey=True)
for ax, sizes in zip(axes, places, strict=True):
    steps = -np.array([gradient(range(sizes[0])), gradient(range(sizes[0], 8))])
    ax.plot(*steps.T, "--", color=COLORS["theory"], lw=1.4)
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 3}
    ax.quiver([0, 0], [0, 0], *steps.T, color=COLORS["minibatch"], width=0.014, label="one replica", **arrows)
    ax.quiver(0, 0, *-whole, color=COLORS["batch"], width=0.03, label="whole batch", **arrows)
    ax.plot(*steps.mean(axis=0), "o", ms=15, mfc="none", mew=2, color=COLORS["stochastic"], label="plain mean")
    for (dw, db), size in zip(steps, sizes, strict=True):
        ax.annotate(f"{size} points", (dw, db), (0, 6 if db > 0 else -18), textcoords="offset points", ha="center")
    ax.set(title=f"{sizes[0]} + {sizes[1]}", xlabel="step of the weight", xlim=(-0.3, 4.2), ylim=(-4.6, 3.2))
axes[0].set_ylabel("step of the bias")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)

# %%
# From one side of a line you cannot tell a slope from a height, so the replicas pull the bias in opposite directions. With
# equal shares the whole batch's step ends in the middle between theirs. With unequal ones the middle is wrong, and the
# weights :math:`B_r / B` are right.
for first, second in places:
    shares = gradient(range(first)), gradient(range(first, 8))
    weighted = (first * shares[0] + second * shares[1]) / 8
    print(f"{first} + {second}: whole batch {whole.round(3)}, plain mean {np.mean(shares, axis=0).round(3)}")
    np.testing.assert_allclose(weighted, whole, rtol=0, atol=1e-14)  # rounding of float64
    assert np.allclose(np.mean(shares, axis=0), whole) == (first == second)

# %%
# In Keras
# --------
#
# ``tf.distribute.MirroredStrategy`` keeps a copy of the model on every device, splits each batch, and adds up the
# gradients. Two GPUs are not needed to see it: TensorFlow divides one CPU into two *logical* ones. It does so
# only before it is first used. So the runs with two replicas get a process of their own, from joblib.


def fit(*jobs, replicas=1):
    """Train the neuron with fit on each (dataset, batch size), on one device or on several: (record, reported loss)."""
    import keras
    import tensorflow as tf

    from gdexplain import RecordTrajectory, build_linear

    strategy = tf.distribute.get_strategy()  # the one that does nothing
    if replicas > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        strategy = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(replicas)])
    records = []
    for dataset, batch_size in jobs:
        with strategy.scope():
            model, recorder = build_linear(), RecordTrajectory()
            model.compile(keras.optimizers.SGD(0.3), "mse", jit_compile=False)  # not worth a wait for XLA
        settings = {"batch_size": batch_size, "shuffle": False, "verbose": 0}
        try:
            history = model.fit(dataset.inputs, dataset.targets, callbacks=[recorder], **settings)
            records.append((recorder.trajectory, history.history["loss"][0]))
        except tf.errors.OpError as error:
            records.append((type(error).__name__, None))
    return records


again = data.take([*range(8)] * 20)  # twenty times the eight points: twenty updates in one epoch
seven = data.take(range(7))  # for the second half of this page
elsewhere = Parallel(n_jobs=2, backend="loky", idle_worker_timeout=5)  # it ends 5 s after its last work
(((split, _), (split_seven, reported), (stopped, _)),) = elsewhere(
    [delayed(fit)((again, 8), (seven, 4), (seven, 7), replicas=2)]
)
((alone, _),) = fit((again, 8))
digits = np.abs(split.parameters - alone.parameters) / np.spacing(np.abs(alone.parameters))

# sphinx_gallery_alt = "Above, the loss surface with two paths from the start to the minimum, a broad blue one and on it a thin "
# sphinx_gallery_alt = "dashed green one: they cannot be told apart. Below, their distance at each update in units of the last "
# sphinx_gallery_alt = "binary digit of float32: a few units at most, for the weight and for the bias."
fig, axes = plt.subplots(2, 1, figsize=(6.2, 7.4))
draw_loss_surface(axes[0], loss_grid(line_loss(data), around=alone), numbers=False)
axes[0].plot(*alone.parameters.T, "o-", color=COLORS["batch"], lw=6, ms=9, alpha=0.6, label="one process")
axes[0].plot(*split.parameters.T, "s--", color=COLORS["minibatch"], lw=1.6, ms=4, label="two replicas")
draw_minimum(axes[0], np.linalg.lstsq(np.hstack([x, x**0]), data.targets[:, 0])[0])
for k, (name, mark) in enumerate({"weight": "o", "bias": "s"}.items()):
    axes[1].plot(split.updates, digits[:, k], mark, color=COLORS["theory"], mfc=("none", None)[k], label=name)
axes[1].set(xlabel="update", ylabel="difference, in last digits", xticks=range(0, 21, 5))
for ax in axes:
    label_lines(ax)

# %%
# The two runs are one. What is left is rounding: a sum of two halves is rounded otherwise than a sum of eight, in the
# last of the 24 binary digits of a float32. (Near zero the last digit is a tiny thing, so the bias counts more of them.)
gap = np.abs(split.parameters - alone.parameters).max()
print(f"largest difference in {len(split)} updates: {gap:.0e}")
np.testing.assert_allclose(split.parameters, alone.parameters, rtol=0, atol=1e-6)  # a few last digits of float32
assert len(split) == len(alone) == 20

# %%
# Where fit gets it wrong
# -----------------------
#
# Now seven points in batches of four. The second batch has three, and two replicas cannot share three equally: one
# gets two points, the other gets one. Here is the gradient that ``fit`` used for this update.
before, after = split_seven.parameters[1:3]
used = (before - after) / 0.3
plain = (gradient([4, 5], before) + gradient([6], before)) / 2
right = gradient([4, 5, 6], before)
print(f"fit used {used.round(4)}, the plain mean is {plain.round(4)}, the batch's gradient {right.round(4)}")
np.testing.assert_allclose(used, plain, rtol=0, atol=1e-5)  # float32, and a difference divided by the rate
assert np.abs(used - right).max() > 0.05  # thousands of times more than rounding

# %%
# It took the plain mean: ``fit`` divides the mean :term:`loss` of each share by the number of replicas, whatever the size
# of the share. The lonely point counted twice as much as each of the others, and nothing was said. Only if the very first
# batch cannot be shared equally does ``fit`` stop, with an error about something else:
print(f"seven points in one batch: {stopped}")
assert stopped == "InvalidArgumentError"

# %%
# With thousands of examples and :term:`shuffling` a short last batch hardly matters. With few and no shuffling it does. Let
# the number of replicas divide every batch, the last one too; or leave the last one out (``drop_remainder`` of a
# ``tf.data.Dataset``).
#
# On two machines
# ---------------
#
# A loop of your own has no such trouble: each worker divides the sum over its share by the size of the *whole* batch, and
# then the gradients are added. Here it is for two processes that talk over a network, with shares of four and three.
#
# .. literalinclude:: /../examples/practice/multiworker_descent.py
#    :language: python
#    :pyobject: descend_with_the_others
#
# :download:`multiworker_descent.py </../examples/practice/multiworker_descent.py>` starts both workers on your machine
# and compares: they agree with each other to the last bit, and with one process to 1e-6. The tests of this site run it
# so. Under this strategy ``fit`` itself stops with an error, a
# `known one <https://github.com/keras-team/keras/issues/20585>`__.
#
# What this does not show: that it is faster. The gradients must travel at every update, and one bigger batch is worth
# less and less, as :ref:`sphx_glr_gallery_variants_plot_batch_size_and_rate.py` shows. And a :term:`layer` that looks at its
# batch sees only its share, unless you tell it to ask the others, as ``BatchNormalization(synchronized=True)`` does.
#
# Exercises
# ---------
#
# 1. Was ``batch_size=8`` the batch of one replica, or of both together?
# 2. Does the loss that ``fit`` reports for the seven points give the mistake away?
# 3. Batch normalisation takes the variance of the batch. What is the mean of the variances of x in shares of four and
#    four, and what is missing in it?
#
# The solutions, in this order:
print(f"1. of both: {len(again)} points made {len(split)} updates, so 8 points make one, and a replica sees 4 of them")
assert len(split) == len(again) / 8

batches = [([0, 1, 2, 3], split_seven.parameters[0]), ([4, 5, 6], before)]
mean = sum(len(rows) * objective.value_and_grad(at, rows)[0] for rows, at in batches) / 7
print(f"2. no: it reports {reported:.4f}, the right mean over the points, {mean:.4f}")
np.testing.assert_allclose(reported, mean, rtol=1e-5)  # float32

shares = x.reshape(2, 4)
inside, between = shares.var(axis=1).mean(), shares.mean(axis=1).var()
print(f"3. {inside:.3f} of {x.var():.3f}: the variance between the shares, {between:.3f}, is missing")
np.testing.assert_allclose(inside + between, x.var(), rtol=1e-12)
plt.show()

# %%
# Next: what Adam does to the notebook, :ref:`sphx_glr_gallery_variants_plot_adam_on_the_notebook.py`.
