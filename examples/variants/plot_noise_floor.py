r"""
The noise floor
===============

*A constant rate stops short of the minimum; a rate that falls as 1/k gets there.*

Near the :term:`minimum` :term:`stochastic gradient descent` meets two forces. The slope pulls it in, and the
:term:`gradient noise` pushes it about. Where they balance, it hovers. Take the simplest case: one :term:`parameter`,
curvature :math:`\lambda`, and examples whose :term:`gradients <gradient>` scatter with variance :math:`\sigma^2`. An :term:`update` at the
:term:`learning rate` :math:`\eta` turns the variance S of the parameter into
:math:`(1 - \eta\lambda)^2 S + \eta^2 \sigma^2`. It stays the same where

.. math:: S = \frac{\eta \, \sigma^2}{\lambda \, (2 - \eta \lambda)}

That is the noise floor. Look for a band that no patience makes narrower; then for the one thing that does. You need
:ref:`sphx_glr_gallery_variants_plot_stochastic.py`.
"""

import matplotlib.pyplot as plt
import numpy as np

from gdexplain import descend
from gdexplain.by_hand.objectives import NoisyQuadratic
from gdexplain.by_hand.rules import gradient_descent
from gdexplain.by_hand.schedules import inverse_time_decay
from gdexplain.plotting import COLORS, label_lines, use_style
from gdexplain.theory import expected_squared_error, stationary_covariance

use_style()
curvature, minima = 2.0, np.array([-0.5, 0.5])
bowls = NoisyQuadratic([[curvature]], minima[:, np.newaxis])
variance = bowls.gradient_covariance[0, 0]
assert (variance, bowls.minimum[0]) == (1, 0)

# %%
# Two examples, two bowls: one wants -0.5, the other 0.5, and the minimum of their mean is 0. Each update asks one of them,
# drawn at random. Here are three rates from one start, with the same draws.
draws = np.random.default_rng(0).integers(bowls.size, size=(250, 1))

# sphinx_gallery_alt = "The parameter against updates for three learning rates. The largest jumps to zero at once and then "
# sphinx_gallery_alt = "over a wide band, the smallest glides in slowly and ends in a narrow band."
fig, axes = plt.subplots(3, 1, figsize=(6.2, 6), sharex=True, sharey=True)
for ax, rate in zip(axes, (0.2, 0.05, 0.0125), strict=True):
    run = descend(bowls, gradient_descent(rate), [1.0], batches=draws)
    spread = np.sqrt(stationary_covariance(bowls.hessian, [[variance]], rate)[0, 0])
    ax.plot(run.parameters, color=COLORS["stochastic"], lw=1.4)
    for edge in (-spread, spread):
        ax.axhline(edge, color=COLORS["theory"], ls="--", lw=1.2)
    ax.set_title(f"rate {rate:g}, dashed: ± √S = {spread:.2f}", weight="normal", size=13)
axes[1].set_ylabel("parameter")
axes[2].set_xlabel("update")

# %%
# A large rate arrives early and never settles; a small one settles, late. To measure the floor, take 40,000 runs side
# by side, each with draws of its own. The code is the update rule and nothing else.
many = 40_000


def squared_error(rates, runs=many, start=1.0):
    """Return the mean square of the parameter over many runs, after each update."""
    rng, theta, errors = np.random.default_rng(0), np.full(runs, start), []
    for rate in rates:
        theta = theta - rate * curvature * (theta - minima[rng.integers(2, size=runs)])
        errors.append(np.mean(theta**2))
    return np.array(errors)


# %%
# The floor
# ---------
def floor(rate):
    """Return the predicted variance at a rate."""
    return stationary_covariance(bowls.hessian, [[variance]], rate)[0, 0]


rates = np.array([0.025, 0.05, 0.1, 0.2, 0.4, 0.8])
predicted = [floor(rate) for rate in rates]
settle = np.ceil(8 / (curvature * rates)).astype(int)  # by then the start is forgotten
measured = []
for rate, wait in zip(rates, settle, strict=True):
    measured.append(squared_error([rate] * (wait + 50), start=0.0)[wait:].mean())
grid = np.geomspace(0.02, 0.95, 60)
curve = [floor(rate) for rate in grid]

# sphinx_gallery_alt = "Variance against learning rate, both log axes. Measured points lie on the dashed prediction: it "
# sphinx_gallery_alt = "follows a dotted straight line at small rates and bends upwards towards the limit of one."
fig, ax = plt.subplots()
ax.plot(grid, curve, "--", color=COLORS["theory"], label="predicted")
line = grid * variance / 2 / curvature
ax.plot(grid, line, ":", color=COLORS["theory"], label="in proportion to the rate")
ax.plot(rates, measured, "^", ms=9, color=COLORS["stochastic"], label="measured")
ax.set(xlabel="learning rate", ylabel="variance S", xscale="log", yscale="log")
label_lines(ax)

# %%
# At small rates: half the rate, half the floor, and twice the wait. The :term:`stability limit`, here
# :math:`2/\lambda = 1`, is felt long before it is reached: the floor lies above the straight line by the factor
# :math:`1 / (1 - \eta / \eta_{\max})`. The tolerance is three times what chance does to so many runs.
np.testing.assert_allclose(measured, predicted, rtol=3 * np.sqrt(2 / many))
print(f"rate {rates[2]}: variance measured {measured[2]:.5f}, predicted {predicted[2]:.5f}\n")
print("of the limit   above the straight line   predicted")
for rate, value in zip(rates, measured, strict=True):
    above = value / (rate * variance / 2 / curvature)
    print(f"{rate:12.1%}   {above:23.2f}   {1 / (1 - rate):9.2f}")
    np.testing.assert_allclose(above, 1 / (1 - rate), rtol=3 * np.sqrt(2 / many))

# %%
# Let the rate fall
# -----------------
#
# A rate that falls makes the floor sink while you walk. It must not fall too fast, or you stop on the way, nor
# too slowly, or the noise adds up: :math:`\sum \eta_k` has to be infinite, :math:`\sum \eta_k^2` finite
# :cite:p:`robbins1951`. The rate
# :math:`\eta_k = 1 / (\lambda (k + 1))` does both, and then :math:`S_k = \sigma^2 / (\lambda^2 k)`.
decay = inverse_time_decay(1 / curvature, 1, 1.0)
k = np.arange(1, 1001)
decayed = [decay(update) for update in range(1000)]
theory = expected_squared_error(bowls.hessian, [[variance]], decayed, [1.0])[1:]
falling = squared_error(decayed)

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_alt = "Mean squared error against updates, log axes. Two constant rates fall and then run level, the "
# sphinx_gallery_alt = "smaller one lower. The falling rate keeps to a straight line below both."
fig, ax = plt.subplots()
for rate, line, color in ((0.1, "--", "rmsprop"), (0.01, ":", "nesterov")):
    constant = squared_error([rate] * 1000, runs=10_000)
    ax.plot(k, constant, line, color=COLORS[color], label=f"rate {rate:g}")
ax.plot(k, falling, color=COLORS["stochastic"], label="falling rate, 1 / (λ (k + 1))")
at = np.geomspace(1, 1000, 13).astype(int)
ax.plot(at, theory[at - 1], "x", color=COLORS["theory"], label="predicted, σ² / (λ² k)")
ax.set(xlabel="update", ylabel="mean squared error", xscale="log", yscale="log")
label_lines(ax)

# %%
# On log axes the falling rate is a straight line of slope -1: ten times the updates, a tenth of the squared error, for good.
both = np.column_stack([falling, theory])[9:]
slope, exact = np.polyfit(np.log(k[9:]), np.log(both), 1)[0]
print(f"slope from 10 to 1,000 updates: measured {slope:.3f}, predicted {exact:.3f}")
np.testing.assert_allclose(theory, variance / curvature**2 / k, rtol=1e-12)
np.testing.assert_allclose(slope, -1, atol=0.01)  # three times what chance does to the slope

# %%
# Why does it work? At this rate the parameter *is* the mean of the answers of all the examples drawn so far. Stochastic
# gradient descent has become the rule that every student of statistics knows: average, and the variance falls as 1/k.
run = descend(bowls, gradient_descent(decay), [1.0], batches=draws)
means = np.cumsum(minima[draws[:, 0]]) / np.arange(1, 251)
np.testing.assert_allclose(run.parameters[1:, 0], means, atol=1e-12)

# %%
# What this does not show: noise that depends on where you are. On y = 2x it vanishes at the minimum and there is no floor
# (:ref:`sphx_glr_gallery_variants_plot_stochastic.py`). And who knows :math:`\lambda`? In practice you keep the rate
# constant until the :term:`loss` stalls, lower it, and repeat :cite:p:`bottou2018`. Examples that are shuffled and not drawn have a
# lower floor at small rates.
#
# A bet
# -----
#
# Start at the minimum itself, at a rate of 0.1. Where is the parameter after a thousand updates, in the mean square? Choose before you open one.
#
# .. dropdown:: Still at 0: there is no slope at the minimum
#
#    No. The mean of the two slopes is 0 there. But each update asks one example, and neither of the two has its minimum here.
#
# .. dropdown:: Between 0 and the floor: it started with a lead
#
#    No. It has a lead for some tens of updates. Then the start is forgotten, on this side as on the other.
#
# .. dropdown:: At the floor
#
#    Yes. The noise pushes it out to where the slope pulls it back as often. The floor is where a run ends, not how far it still
#    has to go.
outwards = squared_error([0.1] * 1000, start=0.0)
print(f"started at 0: mean square {outwards[-50:].mean():.4f}, the floor is {floor(0.1):.4f}")
np.testing.assert_allclose(outwards[-50:].mean(), floor(0.1), rtol=3 * np.sqrt(2 / many))

# %%
# Exercises
# ---------
#
# 1. Which rate has half the floor of 0.1? It is not 0.05.
# 2. Four draws an update instead of one, at rate 0.1: predict the floor, then measure it.
# 3. Start the decay too low: :math:`\eta_k = 1 / (4 \lambda (k + 1))`. What is the slope now?
#
# The solutions, in this order:
half = predicted[2] / 2
rate = 2 * curvature * half / (variance + curvature**2 * half)
print(f"1. rate {rate:.5f}")
np.testing.assert_allclose(floor(rate), half)

fours = np.random.default_rng(1).integers(bowls.size, size=(40_000, 4))
path = descend(bowls, gradient_descent(0.1), [0.0], batches=fours).parameters
print(f"2. a quarter, {predicted[2] / 4:.5f}; measured {path.var():.5f}")
np.testing.assert_allclose(path.var(), predicted[2] / 4, rtol=0.05)  # three times chance

quarter = 1 / (4 * curvature * np.arange(1, 100_001))
timid = expected_squared_error(bowls.hessian, [[variance]], quarter, [1.0])
slope = np.log(timid[100_000] / timid[10_000]) / np.log(10)
print(f"3. slope {slope:.3f}: too timid to forget the start")
np.testing.assert_allclose(slope, -0.5, atol=0.01)
plt.show()

# %%
# Next: what the order of the examples is worth, :ref:`sphx_glr_gallery_variants_plot_shuffling.py`. On the road of the
# course: rules that remember, :ref:`sphx_glr_gallery_rules_plot_momentum.py`.
