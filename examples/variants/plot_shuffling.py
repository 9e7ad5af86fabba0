r"""
Shuffling
=========

*Shuffle, and the noise cancels by the end of each epoch.*

:term:`Stochastic gradient descent` in books draws every example at random, so that some come twice and some not at all. In
practice you shuffle, and use each once an :term:`epoch`. Then the noise of an epoch adds up to zero. What is left is that
early examples are forgotten more than late ones, and the noise floor at the end of an epoch becomes smaller by a
factor. For :term:`learning rates <learning rate>` far below :math:`1 / (N \lambda)` it is

.. math:: \frac{S_{\text{drawn}}}{S_{\text{shuffled}}} \approx \frac{12}{(N \eta \lambda)^2}

with N examples, the rate :math:`\eta` and the curvature :math:`\lambda`. Halve the rate, and the advantage grows fourfold.
Look for where within the epoch it appears: only at the end. You need the page before,
:ref:`sphx_glr_gallery_variants_plot_noise_floor.py`.
"""

import matplotlib.pyplot as plt
import numpy as np

from gdexplain import batch_order, descend
from gdexplain.by_hand.objectives import NoisyQuadratic
from gdexplain.by_hand.rules import gradient_descent
from gdexplain.plotting import COLORS, label_lines, use_style
from gdexplain.theory import stationary_covariance

use_style()
n = 100
answers = np.random.default_rng(0).standard_normal(n)
answers = (answers - answers.mean()) / answers.std()  # so the minimum is 0
bowls = NoisyQuadratic([[1.0]], answers[:, np.newaxis])
variance = bowls.gradient_covariance
looks = {
    "drawn": ("^", "-", COLORS["stochastic"]),
    "shuffled once": ("D", "-", COLORS["nesterov"]),
    "reshuffled": ("s", "-", COLORS["rmsprop"]),
}

# %%
# A hundred examples, each with an answer of its own; the parameter should be their mean, 0. Here is one run of each kind,
# from the minimum, at one rate.
drawn = np.random.default_rng(1).integers(n, size=(30 * n, 1))
reshuffled = batch_order(n, 1, 30, seed=1)

# sphinx_gallery_alt = "The parameter in the last eight of 30 epochs. With examples drawn it wanders; the ends of epochs, "
# sphinx_gallery_alt = "marked, lie anywhere. Reshuffled it wanders too, but every epoch ends near zero."
fig, axes = plt.subplots(2, 1, figsize=(6.2, 5), sharex=True, sharey=True)
sgd = gradient_descent(0.005625)
for ax, batches, words in ((axes[0], drawn, "drawn"), (axes[1], reshuffled, "reshuffled")):
    path = descend(bowls, sgd, [0.0], batches=batches).parameters[:, 0]
    mark, _, color = looks[words]
    epoch = np.arange(len(path)) / n
    ax.plot(epoch[22 * n :], path[22 * n :], color=color, lw=1.2, alpha=0.7)
    ax.plot(epoch[22 * n :: n], path[22 * n :: n], mark, color=color, ms=9)
    ax.axhline(0, color=COLORS["theory"], lw=1)
    ax.set(title=words, ylabel="parameter")
axes[1].set_xlabel("epoch")

# %%
# Both lines wander. But below, the marks at the ends of the epochs are back at the axis, whatever the line did before.
#
# Many runs
# ---------
#
# To measure it take 4,000 runs side by side. A third kind joins: shuffled once, and then the same order in every epoch.
# That is what ``fit`` does with a :term:`seed` (:ref:`sphx_glr_gallery_variants_plot_what_fit_does.py`).


def squared_error(rate, kind, runs=4000, epochs=24):
    """Return the mean square of the parameter over many runs, after each update."""
    rng, theta, errors = np.random.default_rng(0), np.zeros(runs), []
    deck = rng.permuted(np.tile(answers, (runs, 1)), axis=1)
    for _ in range(epochs):
        if kind == "drawn":
            deck = rng.choice(answers, deck.shape)
        elif kind == "reshuffled":
            deck = rng.permuted(deck, axis=1)
        for column in deck.T:
            theta = theta - rate * (theta - column)
            errors.append(np.mean(theta**2))
    return np.array(errors)


rates = [0.0225, 0.01125, 0.005625]
errors = {(kind, rate): squared_error(rate, kind) for kind in looks for rate in rates}

# sphinx_gallery_alt = "Mean squared error over three epochs. With examples drawn it is level. Reshuffled it rises in an "
# sphinx_gallery_alt = "arch in the middle of each epoch and falls at its end to a tenth of the level of the "
# sphinx_gallery_alt = "draws. Shuffled once is level, at twice that."
fig, ax = plt.subplots()
for kind, (_, line, color) in looks.items():
    epoch = np.arange(3 * n + 1) / n
    ax.plot(epoch, errors[kind, rates[1]][-3 * n - 1 :], line, color=color, label=kind)
ax.set(xlabel="epoch", ylabel="mean squared error", ylim=(0, None), xticks=range(4))
label_lines(ax)

# %%
# The error breathes. In the middle of an epoch the examples used so far are a random half, and pull to their side. Then
# the other half comes and pulls back. So stop at the end of an epoch, not within one. One fixed order does not breathe:
# any N updates in a row hold each example once, wherever they begin. But each epoch makes the same mistake, and mistakes
# that repeat add up.
#
# The floor at the ends of epochs
# -------------------------------
last = {key: rows[n - 1 :: n][12:].mean() for key, rows in errors.items()}


def predict(kind, rate):
    """Return the variance at the ends of epochs."""
    if kind == "drawn":
        return stationary_covariance(bowls.hessian, variance, rate)[0, 0]
    kept = (1 - rate) ** n  # how much of the parameter survives an epoch
    # within an epoch the noise adds up to 0; what is left is how unequally its n updates are remembered
    uneven = np.var((1 - rate) ** np.arange(n), ddof=1)
    reshuffled = rate**2 * variance[0, 0] * n * uneven / (1 - kept**2)
    # equal mistakes add up, independent ones only as squares
    return reshuffled if kind == "reshuffled" else reshuffled * (1 + kept) / (1 - kept)


grid = np.geomspace(0.004, 0.03, 30)

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_alt = "Mean squared error at the ends of epochs against the rate, log axes, measured on dashed predictions. "
# sphinx_gallery_alt = "Drawn lies highest with the least slope, shuffled once below, reshuffled lowest and steepest."
fig, ax = plt.subplots()
for kind, (mark, _, color) in looks.items():
    curve, points = [predict(kind, rate) for rate in grid], [last[kind, rate] for rate in rates]
    ax.plot(grid, curve, "--", color=COLORS["theory"], lw=1.4)
    ax.plot(rates, points, mark, ms=9, color=color, label=kind)
ax.set(xlabel="learning rate", ylabel="mean squared error", xscale="log", yscale="log")
ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
ax.set_xticks([], minor=True)
label_lines(ax)

# %%
# The smaller the rate, the more :term:`shuffling` gives: a fixed order falls as :math:`\eta^2`, new orders as
# :math:`\eta^3`, in the end, where draws fall as :math:`\eta`. All nine points are where the formulas say. The tolerance is
# four times what chance does to a variance of 4,000 runs, for there are nine of them.
tolerance = 4 * np.sqrt(2 / 4000)
for key, value in last.items():
    np.testing.assert_allclose(value, predict(*key), rtol=tolerance, err_msg=str(key))
ratios = [last["drawn", rate] / last["reshuffled", rate] for rate in rates]
exact = [predict("drawn", rate) / predict("reshuffled", rate) for rate in rates]
print("    rate   drawn over reshuffled   predicted")
for rate, ratio, value in zip(rates, ratios, exact, strict=True):
    print(f"{rate:8}   {ratio:21.2f}   {value:9.2f}")
np.testing.assert_allclose(exact, [3.48, 10.47, 38.5], rtol=2e-3)
np.testing.assert_allclose(ratios, exact, rtol=tolerance)

# %%
# What this does not show: curvature that differs between examples, and networks. For those, bounds are known
# :cite:p:`mishchenko2020`, and the practice is the same: shuffle, each epoch anew.
#
# Exercises
# ---------
#
# 1. Sort the examples, and do not shuffle. How large is the squared error after 30 epochs at rate 0.0225, in units of the
#    floor with draws?
# 2. Halve the smallest rate once more. By which factor does the advantage grow? Compare with the formula at the top.
#
# The solutions, in this order:
ordered = NoisyQuadratic([[1.0]], np.sort(answers)[:, np.newaxis])
in_order = batch_order(n, 1, 30, shuffle=False)
end = descend(ordered, gradient_descent(0.0225), [0.0], batches=in_order).parameters[-1, 0]
print(f"1. {end**2 / predict('drawn', 0.0225):.0f} times: the last answers were all large")
assert end**2 > 20 * predict("drawn", 0.0225)

rate = rates[-1] / 2
ratio = predict("drawn", rate) / predict("reshuffled", rate)
formula = 12 / (n * rate) ** 2
print(f"2. to {ratio:.0f}, {ratio / exact[-1]:.2f} times; formula: {formula:.0f}")
np.testing.assert_allclose(ratio / exact[-1], 4, rtol=0.03)  # 4 in the limit
plt.show()

# %%
# Next: how large a batch pays, :ref:`sphx_glr_gallery_variants_plot_batch_size_and_rate.py`.
