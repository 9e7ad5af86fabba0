r"""
The edge of stability
=====================

*A network moves to where its learning rate is about to explode, and stays there.*

On a bowl the curvature is fixed, and a :term:`learning rate` :math:`\eta` is stable below
:math:`2 / \lambda_{\max}` or it is not. The curvature of a network depends on where it is. So turn the
:term:`stability limit` around: at a rate :math:`\eta` the :term:`sharpness`, the largest :term:`eigenvalue` of the
:term:`Hessian`, may be at most

.. math:: \lambda_{\max}(\theta) = \frac{2}{\eta}

:cite:t:`cohen2021` found that full-batch :term:`gradient descent` does not stay below it, as a careful user would
arrange. It climbs until it gets there, and then does not leave. Look for three runs with three rates that end at three
sharpnesses. You need :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import Dataset, build_mlp, sharpness, sweep, train, use_style
from gdexplain.plotting import COLORS, label_lines

use_style()
x = np.linspace(-1, 1, 20)[:, np.newaxis]
data = Dataset(x, np.sin(3 * x), name="sin(3x)")


def start(seed=0):
    """Build a 1-16-16-1 tanh network with half of Keras' weights: flat enough for every rate here."""
    model = build_mlp([16, 16, 1], inputs=1, seed=seed)
    model.set_weights([weight / 2 for weight in model.get_weights()])
    return model


# %%
# Three rates from one start, the whole batch at every :term:`update`, no :term:`momentum`. The sharpness is measured at
# every 225th update, by Lanczos iteration on products of the Hessian with a vector: the matrix itself, 321 by 321, is
# never formed. (An odd number: a network that hops to and fro is measured on both sides.)
updates, every = 6000, 225
rates = {0.1: COLORS["batch"], 0.15: COLORS["rmsprop"], 0.2: COLORS["adagrad"]}
runs, sharp, models = {}, {}, {}
for rate in rates:
    model = models[rate] = start()
    runs[rate] = train(model, data, optimizer=SGD(rate), batch_size=None, epochs=updates)
    sharp[rate] = sharpness(model, data, parameters=runs[rate].parameters[::every])

# sphinx_gallery_alt = "Sharpness against updates for three learning rates. All rise from the same low value; each stops "
# sphinx_gallery_alt = "rising at its own dashed line, 2 divided by its rate, and then hovers there."
fig, ax = plt.subplots()
for (rate, color), marker in zip(rates.items(), "os^", strict=True):
    words = f"rate {rate}"
    ax.plot(every * np.arange(len(sharp[rate])), sharp[rate], f"{marker}-", color=color, lw=1.4, ms=5, label=words)
    ax.axhline(2 / rate, ls="--", color=COLORS["theory"], lw=1.4)
ax.set(xlabel="update", ylabel="sharpness", ylim=(0, 27))
label_lines(ax)

# %%
# The dashed lines are :math:`2 / \eta`, nothing else. The rate did not only decide how fast the network learns. It
# decided which network it becomes: a larger rate ends in a flatter place. One measurement may lie a few percent off, for
# the sharpness swings; its mean over the last quarter of the run lies within three.
print("rate   at first, in limits   at the end")
for rate, values in sharp.items():
    product = np.mean(values[-8:]) * rate / 2
    print(f"{rate:4}   {values[0] * rate / 2:19.2f}   {product:10.3f}")
    assert values[0] * rate / 2 < 0.5
    np.testing.assert_allclose(product, 1, rtol=0, atol=0.03)

# %%
# Why it does not explode
# -----------------------
#
# At the edge the steepest direction overshoots by as much as it corrects. But a bounce along that direction also pushes
# the network to where the curvature is less, and the bounce dies out. Then the climb begins again. (That is the
# explanation of :cite:t:`damian2023`; what you see below is the outcome.) You can watch the bounce in the record. A step
# is :math:`d_k = -\eta g_k`, and the curvature that the network meets on it, in units of the limit, is
#
# .. math:: \frac{\eta}{2} \, \frac{(g_{k+1} - g_k) \cdot d_k}{\lVert d_k \rVert^2}
#           = \frac12 \left( 1 - \frac{g_{k+1} \cdot g_k}{\lVert g_k \rVert^2} \right).
#
# It is 0 where the next :term:`gradient` is the same, and 1 where the next step undoes this one.


def bounce(run):
    """Return the curvature met on each step, in units of the limit."""
    now, then = run.gradients[:-1], run.gradients[1:]
    return (1 - np.sum(then * now, axis=1) / np.sum(now**2, axis=1)) / 2


# sphinx_gallery_alt = "Above, loss against updates, log axis: three curves that fall smoothly and then throw spikes, "
# sphinx_gallery_alt = "the larger the rate the sooner. Below, the curvature met on each step: it jumps from zero to around one "
# sphinx_gallery_alt = "at each spike; at the largest rate it stays there in the end."
fig, axes = plt.subplots(2, 1, figsize=(6.2, 6), sharex=True)
for rate, color in reversed(rates.items()):
    axes[0].plot(runs[rate].loss, color=color, lw=0.6, label=f"rate {rate}")
    axes[1].plot(bounce(runs[rate]), color=color, lw=0.6)
axes[0].set(ylabel="loss", yscale="log")
axes[1].set(xlabel="update", ylabel="curvature met / limit", ylim=(-0.3, 1.7))
axes[1].axhline(1, ls="--", color=COLORS["theory"], lw=1.4)
label_lines(axes[0])

# %%
# Half of the way to the edge no update raises the :term:`loss`, as the theory of the bowl promises, and no step is undone.
# At the edge a run bounces: there and back, on average at the limit itself where it does so at every update. The smallest
# rate has quiet spells too, in which the network climbs again.
print("rate   updates that rise, half-way   curvature met, half-way   in the last 500")
for rate, run in runs.items():
    smooth = slice(every * int(np.argmax(sharp[rate] > 0.95 * 2 / rate)) // 2)
    rises, met = np.mean(np.diff(run.loss[smooth]) > 0), bounce(run)
    print(f"{rate:4}   {rises:27.1%}   {met[smooth].mean():23.3f}   {met[-500:].mean():15.3f}")
    assert rises < 0.01
    assert abs(met[smooth].mean()) < 0.02
np.testing.assert_allclose(met[-500:].mean(), 1, rtol=0, atol=0.01)  # the largest rate: a mean over 500 bounces

# %%
# Is that luck?
# -------------
#
# The jumps at the edge make a run a little chaotic: another start, or a sum that another processor rounds otherwise, and
# it is somewhere else. So take twenty starts, and twice the largest rate as well, and look at the end.
seeds, pair = np.arange(20), (0.2, 0.4)
weights = [np.concatenate([weight.ravel() for weight in start(seed).get_weights()]) for seed in seeds.tolist()]
settings = {"optimizer": SGD(1.0), "steps": updates // 2, "learning_rate": np.repeat(pair, len(seeds))}
half = sweep(start(), data, start=np.tile(weights, (2, 1)), **settings)
whole = sweep(start(), data, start=half.parameters, **settings)
ends = sharpness(start(), data, parameters=whole.parameters).reshape(2, -1) * np.reshape(pair, (2, 1)) / 2
falls = (whole.loss < half.loss).reshape(2, -1).sum(axis=1)
print("rate   lowest, in limits   middle   highest   within 10 %   less loss than half-way")
for rate, at, lower in zip(pair, ends, falls, strict=True):
    near = f"{np.sum(abs(at - 1) < 0.1)} of {len(seeds)}"
    print(f"{rate:4}   {at.min():17.3f}   {np.median(at):6.3f}   {at.max():7.3f}   {near:11}   {lower} of {len(seeds)}")
np.testing.assert_allclose(np.median(ends[0]), 1, rtol=0, atol=0.02)
np.testing.assert_allclose(ends[0], 1, rtol=0, atol=0.1)  # one measurement each, on one side of a bounce
assert falls[0] > len(seeds) / 2

# %%
# At rate 0.2 it is no luck: every start ends at the limit, and in most of them the loss goes on falling. At rate 0.4
# that is not sure: most end at the limit or a little above it, and now and then one is caught between two walls of a valley,
# well above the limit, and stays there for thousands of updates (the last line says how many here). One run at this rate may
# tell you about its start, and not about the rate; so this page took smaller ones.
assert abs(ends[1] - 1).mean() > abs(ends[0] - 1).mean()

# %%
# What this does not show: :term:`mini-batches <mini-batch>` settle below the line, because the noise bounces them too;
# with :term:`Adam` another matrix meets another limit; and with the :term:`cross-entropy` the sharpness falls again late in a run
# :cite:p:`cohen2021`.
#
# Exercises
# ---------
#
# 1. Take the network that rate 0.1 left behind and go on with rate 0.2. What do the loss and the sharpness do?
# 2. With momentum :math:`\beta` the sharpness at which a rate is still stable is :math:`2 (1 + \beta) / \eta`. Where does rate 0.2 with
#    :math:`\beta = 0.5` end?
#
# The solutions, in this order:
before = runs[0.1].loss[-100:].mean()
after = train(models[0.1], data, optimizer=SGD(0.2), batch_size=None, epochs=2000)
values = sharpness(models[0.1], data, parameters=after.parameters[1000::125])
print(f"1. the loss jumps from {before:.4f} to {after.loss.max():.2f}, and the sharpness ends at {values[-1]:.1f}")
assert after.loss.max() > 2 * before
np.testing.assert_allclose(values.mean() * 0.2 / 2, 1, rtol=0, atol=0.06)

model = start()
heavy = train(model, data, optimizer=SGD(0.2, momentum=0.5), batch_size=None, epochs=updates)
product = np.mean(sharpness(model, data, parameters=heavy.parameters[-1800::every])) * 0.2 / 2
print(f"2. at {product:.2f} times 2 / rate, and 1 + 0.5 = 1.5")
np.testing.assert_allclose(product, 1.5, rtol=0, atol=0.06)
plt.show()

# %%
# Next: where the edge of what trains lies, :ref:`sphx_glr_gallery_theory_plot_fractal_boundary.py`.
