r"""
Batch size and learning rate
============================

*Twice the batch, half the updates; until the noise no longer matters.*

A bigger :term:`batch` has less :term:`gradient noise`. You can spend that on a larger :term:`learning rate`, and so on
fewer :term:`updates <update>`. How far does it go? To a given target, with the best rate for each :term:`batch size` B, it takes about

.. math:: \text{updates} \approx S_{\min} \left( 1 + \frac{B_c}{B} \right)

.. index:: ! batch size

Far below the critical size :math:`B_c` all is noise, and doubling the batch halves the updates. Far above it the curvature
is all, and :math:`S_{\min}` updates are needed with no noise at all :cite:p:`mccandlish2018`. Look for the bend. It is
where more machines stop helping. You need :ref:`sphx_glr_gallery_variants_plot_noise_floor.py`.
"""

import matplotlib.pyplot as plt
import numpy as np

from gdexplain import batch_order, descend, make_line
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.by_hand.rules import gradient_descent
from gdexplain.plotting import COLORS, label_lines, use_style
from gdexplain.theory import (
    expected_squared_error,
    gradient_noise_scale,
    line_hessian,
    max_stable_learning_rate,
    optimal_learning_rate,
)

use_style()
hessian = np.diag([1, 1 / 2, 1 / 4])
noise = 1.5 * hessian  # the covariance of one example's gradient
start = np.ones(3)
target = start @ start / 100
sizes = 2 ** np.arange(12)

# %%
# Three parameters, each with its own curvature, and gradient noise in proportion to it, as in the model of
# :cite:t:`zhang2019`. The target: a hundredth of the squared distance at the start. For each batch size try 200 rates, up
# to the one that is best without noise, and keep the one that is there first, on average over all the draws.
no_noise = optimal_learning_rate(hessian)
trials = np.geomspace(1e-3, no_noise, 200)


def updates_needed(rate, size, at_most):
    """Count the updates until the mean squared distance is at the target."""
    error = expected_squared_error(hessian, noise / size, np.full(at_most, rate), start)
    return np.argmax(error <= target) if (error <= target).any() else np.inf


updates, best = [1000], []
for size in sizes:
    needed = [updates_needed(rate, size, int(updates[-1])) for rate in trials]
    updates.append(min(needed))
    best.append(trials[np.argmin(needed)])
updates = np.array(updates[1:], int)
print("batch size   updates   best rate")
for size, needed, rate in zip(sizes, updates, best, strict=True):
    print(f"{size:10}   {needed:7}   {rate:9.3f}")
# another grid of trial rates moves these by one or two
np.testing.assert_allclose(updates[:5], [956, 479, 242, 123, 62], rtol=0, atol=2)

# %%
# Then run it: 2,000 runs side by side for each size, with noise drawn anew at every update.
measured = []
for size, rate, length in zip(sizes, best, updates, strict=True):
    rng, theta, error = np.random.default_rng(0), np.tile(start, (2000, 1)), []
    scatter = np.sqrt(np.diag(noise) / size)
    for _ in range(2 * length):
        xi = rng.standard_normal(theta.shape)
        theta = theta - rate * (theta @ hessian + scatter * xi)
        error.append((theta**2).sum(axis=1).mean())
    measured.append(1 + np.argmax(np.array(error) <= target))
critical = updates[0] / updates[-1] - 1

# sphinx_gallery_alt = "Updates to the target against batch size, log axes. Measured points first fall along the line 1/B, "
# sphinx_gallery_alt = "then bend near a vertical line, the critical size, and run level."
fig, ax = plt.subplots()
ax.plot(sizes, measured, "s", ms=9, color=COLORS["minibatch"], label="measured, best rate")
model = updates[-1] * (1 + critical / sizes)
ax.plot(sizes, model, "--", color=COLORS["theory"], label=r"$S_{\min}\,(1 + B_c / B)$")
ax.plot(sizes, updates[0] / sizes, ":", color=COLORS["theory"], label="in proportion to 1/B")
ax.axvline(critical, color=COLORS["theory"], lw=1)
ax.annotate(r" $B_c$", (critical, 500), color=COLORS["theory"])
ax.set(xlabel="batch size", ylabel="updates to the target", yscale="log", ylim=(2, None))
ax.set_xscale("log", base=2)
label_lines(ax)

# %%
# On the slope, twice the batch is worth half the updates: you read as many examples, and two machines are twice as fast.
# On the level, twice the batch gains next to nothing. The runs agree with the means to a few percent, which is what 2,000
# of them can tell; the simple formula, made for a rate that is best at every update, is off by up to a half at the bend.
np.testing.assert_allclose(measured, updates, rtol=0.06, atol=1)
np.testing.assert_allclose(np.log(model), np.log(updates), atol=np.log(1.5))
halvings = updates[:6] / updates[1:7]
print("each doubling divides the updates by", *halvings.round(2))
np.testing.assert_allclose(halvings, 2, rtol=0.1)
assert len(set(updates[-2:])) == 1

# %%
# Where is the bend? McCandlish's noise scale compares the noise with the :term:`gradient`,
# :math:`\operatorname{tr}(H \Sigma) / g^\top H g`. The gradient shrinks on the way, so the scale grows. Its value at the
# target is the one that counts: take there the mean square of each parameter, on the way of the single examples.
way = np.full(updates[0], best[0])
square = np.array(
    [
        expected_squared_error([[h]], [[s]], way, [1.0])[-1]
        for h, s in zip(np.diag(hessian), np.diag(noise), strict=True)
    ]
)
np.testing.assert_allclose(square.sum(), target, rtol=0.01)
scales = [gradient_noise_scale(hessian, noise, hessian @ theta) for theta in (start, np.sqrt(square))]
print(f"noise scale at the start {scales[0]:.1f}, at the target {scales[1]:.0f}")
print(f"the bend is at {critical:.0f}")
np.testing.assert_allclose(scales[1], critical, rtol=0.2)  # it says how large, not more
assert scales[0] < critical / 50

# %%
# The best rate grows with the batch
# ----------------------------------

# sphinx_gallery_alt = "Best learning rate against batch size, log axes. It follows the line in proportion to B and levels "
# sphinx_gallery_alt = "off below a dashed line, the rate with the smallest factor per update without noise."
fig, ax = plt.subplots()
ax.plot(sizes, best, "s", ms=9, color=COLORS["minibatch"], label="best rate")
ax.plot(sizes, best[0] * sizes, ":", color=COLORS["theory"], label="in proportion to B")
ax.axhline(no_noise, ls="--", color=COLORS["theory"], label=r"$2 / (\lambda_{\min} + \lambda_{\max})$")
ax.set(xlabel="batch size", ylabel="learning rate", yscale="log", ylim=(None, 6))
ax.set_xscale("log", base=2)
label_lines(ax)

# %%
# The dashed rate has the smallest factor per update where there is no noise. While noise rules, twice the batch wants twice
# the rate: the *linear scaling rule* of :cite:t:`goyal2017`. It ends where the :term:`stability limit` begins to be felt.
# There a few updates are enough at many rates; the smallest of them is drawn.
growth = (best[5] / best[0]) ** (1 / 5)
print(f"from batch 1 to 32 the best rate grows {growth:.2f} times a doubling")
np.testing.assert_allclose(growth, 2, rtol=0.05)
assert best[-1] <= no_noise

# %%
# Why linear scaling works
# ------------------------
#
# Four updates at rate :math:`\eta`, on four batches of four, against one at :math:`4 \eta` on all sixteen. If the gradient
# changed nothing on the way, the sums would be equal. It changes by an amount in proportion to :math:`\eta`; so the two
# ends differ by an amount in proportion to :math:`\eta^2`.
data = make_line(16, noise=1.0)
loss, batches = LeastSquares(data), batch_order(16, 4, 1, seed=0)
limit = max_stable_learning_rate(line_hessian(data))
rates = limit / 2.0 ** np.arange(3, 12)
gaps = []
for rate in rates:
    small = descend(loss, gradient_descent(rate), [0, 0], batches=batches).parameters
    large = descend(loss, gradient_descent(4 * rate), [0, 0], steps=1).parameters
    gaps.append(np.linalg.norm(small[-1] - large[-1]) / np.linalg.norm(large[-1]))

# sphinx_gallery_alt = "Relative difference between four small updates and one large one against the rate, log axes. It "
# sphinx_gallery_alt = "falls along a straight line of slope one."
fig, ax = plt.subplots()
ax.plot(rates, gaps, "s", ms=9, color=COLORS["minibatch"], label="measured")
line = gaps[-1] * rates / rates[-1]
ax.plot(rates, line, "--", color=COLORS["theory"], label="in proportion to the rate")
ax.set(xlabel="small rate", ylabel="difference / step", xscale="log", yscale="log")
label_lines(ax)

# %%
# The step itself is in proportion to :math:`\eta`, and so is the difference relative to it. In absolute terms each halving
# of the rate divides the difference by four. At large rates the two part, and
# most while the network changes fast: so :cite:t:`goyal2017` begin large-batch runs with a warm-up, small rates first.
falls = 2 * np.array(gaps[:-1]) / gaps[1:]  # the step halves too
print("each halving divides the difference by", *falls.round(2))
np.testing.assert_allclose(falls[-2:], 4, rtol=0.005)
np.testing.assert_allclose(falls[-3], 3.99, atol=0.005)

# %%
# What this does not show: generalisation, and the time on the wall clock. One large batch is many small ones at once only
# if the machine has room. And :term:`Adam` scales otherwise, because it divides
# each gradient by its typical size, noise included: with the root of the batch size, as
# :doc:`another page </practice/settings_of_fit>` measures.
#
# Exercises
# ---------
#
# 1. How many examples does each batch size read on the way to the target? Where does that begin to grow?
# 2. Keep the best rate of batch 1 and make the batch 64. How many updates does it take, and what was gained?
#
# The solutions, in this order:
read = sizes * updates
print("1.", *read)
assert read[5] < 1.1 * read[0]
assert read[-1] > 10 * read[0]

lazy = updates_needed(best[0], 64, 1000)
print(f"2. {lazy}, against {updates[6]} at the best rate and {updates[0]} with batch 1")
assert lazy > updates[0] / 3 > 10 * updates[6]
plt.show()

# %%
# Next: a large batch on a small device, :ref:`sphx_glr_gallery_variants_plot_accumulation.py`.
