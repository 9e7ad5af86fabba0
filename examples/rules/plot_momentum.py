r"""
Momentum
========

*It takes the square root of the condition number.*

A valley that is far steeper across than along makes :term:`gradient descent` slow, even at its best rate. So keep part
of the last :term:`step`. Along the floor these parts add up. Across the valley they alternate in sign, so that a larger
rate is stable:

.. math:: v_{k+1} = \beta v_k - \eta \, g_k, \qquad \theta_{k+1} = \theta_k + v_{k+1}

Here :math:`v` is the :term:`velocity`, :math:`\eta` the :term:`learning rate`, :math:`g_k` the :term:`gradient` and
:math:`\beta` the share that survives: the :term:`momentum`. The :term:`condition number` :math:`\kappa` of a bowl is its
largest curvature divided by its smallest. There the best possible :term:`contraction rates <contraction rate>` of plain descent and of momentum are

.. math:: \rho = \frac{\kappa - 1}{\kappa + 1}, \qquad
          \rho = \sqrt{\beta^*} = \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}.

.. index:: ! momentum

One root makes hundreds of :term:`updates <update>` into tens. You need :term:`stability limit` and best rate from
:ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import (
    LeastSquares,
    build_linear,
    descend,
    draw_loss_surface,
    draw_minimum,
    draw_path,
    line_hessian,
    line_loss,
    look_of,
    loss_grid,
    make_line,
    max_stable_learning_rate,
    optimal_learning_rate,
    optimal_momentum,
    train,
    use_style,
)
from gdexplain.by_hand import rules
from gdexplain.plotting import COLORS, label_lines

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x
hessian, minimum = line_hessian(data), np.array([2.0, 0.0])
best = optimal_momentum(hessian)
low, high = np.linalg.eigvalsh(hessian)
print(f"condition number {high / low:.2f}")
print("eta {:.6f}, beta {:.6f}, predicted contraction rate {:.6f}".format(*best))

# %%
# From scratch it is two lines in a loop. In Keras it is one argument of ``SGD``.
neuron = LeastSquares(data)
theta, velocity = np.zeros(2), np.zeros(2)
for _ in range(100):
    gradient = neuron.value_and_grad(theta)[1]
    velocity = best.beta * velocity - best.learning_rate * gradient
    theta = theta + velocity

sgd = SGD(best.learning_rate, momentum=best.beta)
model = build_linear(dtype="float64")
in_keras = train(model, data, optimizer=sgd, batch_size=None, epochs=100)
# Keras keeps the rate and the momentum in float32, seven digits
np.testing.assert_allclose(in_keras.parameters[100], theta, rtol=0, atol=1e-7)

# %%
# Now side by side, each at its own best: plain descent, momentum, and :term:`Nesterov momentum`, which takes the
# gradient where the velocity is about to lead :cite:p:`nesterov1983`. Its best setting on a bowl has a formula too
# :cite:p:`lessard2016`.
root = np.sqrt(3 * high / low + 1)
nesterov = 4 / (3 * high + low), (root - 2) / (root + 2)
settings = [
    rules.gradient_descent(optimal_learning_rate(hessian)),
    rules.momentum(best.learning_rate, best.beta),
    rules.momentum(*nesterov, nesterov=True),
]
runs = [descend(neuron, rule, [0.0, 0.0], steps=600) for rule in settings]
plain, heavy, _ = runs

# sphinx_gallery_alt = "Two panels with the same loss surface. Above, plain gradient descent hops from wall to wall of the "
# sphinx_gallery_alt = "valley and creeps along it. Below, momentum shoots far past the valley, swings across it and ends on the minimum."
fig, axes = plt.subplots(2, 1, sharex=True, figsize=(6.2, 6.4))
for ax, rule in zip(axes, settings[:2], strict=True):
    draw_loss_surface(ax, loss_grid(line_loss(data), around=[plain, heavy]), numbers=False)
    draw_path(ax, descend(neuron, rule, [0.0, 0.0], steps=35), by="rule")
    draw_minimum(ax, minimum)
    ax.label_outer()

# %%
# Both made 35 updates. Momentum is worse at first: with its larger rate it flies far past the valley. Then its swings die
# out, and it is there, while plain descent still hops from wall to wall.
#
# One update, slot by slot
# ------------------------
#
# .. explorable:: rule
#    :settings: opt=momentum
#
#    Press Next, and keep the gradient: the velocity grows, and the step with it.
#
# How far does it grow? Give Keras' ``SGD``, with the usual momentum of 0.9, a gradient that stays 1:
w, usual, steps = keras.Variable(0.0), SGD(1.0, momentum=0.9), []
for _ in range(60):
    before = float(w.value)
    usual.apply([np.float32(1)], [w])
    steps.append(before - float(w.value))
print("update  step, in rates")
for k in (1, 2, 10, 60):
    print(f"{k:6}  {steps[k - 1]:14.2f}")
print(f"\nafter 60 updates: {steps[-1]:.2f} rates")
np.testing.assert_allclose(steps, (1 - 0.9 ** np.arange(1, 61)) / (1 - 0.9), rtol=1e-4)  # float32

# %%
# So along a slope that stays, momentum :math:`\beta` comes to a rate that is :math:`1 / (1 - \beta)` times as large, ten times
# with the usual one. Where the gradient changes its sign from update to update, its steps cancel.
#
# How far from the minimum
# ------------------------
distance = [np.linalg.norm(run.parameters - minimum, axis=1) for run in runs]

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Distance to the minimum against updates, log axis. Three lines fall straight: plain descent slowest, "
# sphinx_gallery_alt = "Nesterov between, momentum fastest. Dashed predictions run along them."
fig, ax = plt.subplots()
k, slopes = np.arange(601), [(high - low) / (high + low), best.rate, 1 - 2 / root]
for run, error, slope in zip(runs, distance, slopes, strict=True):
    look = look_of(run, by="rule")
    ax.plot(run.updates, error, f"{look.marker}-", color=look.color, markevery=60, label=look.label)
    growth = 1 if run is plain else (k + 1) / 61  # see below
    predicted = error[60] * growth * slope ** (k - 60.0)
    ax.plot(k, predicted, "--", lw=1.2, color=COLORS["theory"])
ax.plot([], "--", lw=1.2, color=COLORS["theory"], label="predicted slopes")
ax.axhline(1e-6, color=COLORS["theory"], lw=1)
ax.set(xlabel="update", ylabel="distance to the minimum", yscale="log", ylim=(1e-9, 30))
label_lines(ax)

# %%
# Each dashed line is fixed at update 60; what is predicted is its slope. Count until the distance stays below the
# horizontal line:
last = [int(np.flatnonzero(error > 1e-6)[-1]) for error in distance]
print("rule                                   still outside after   inside after")
for run, outside in zip(runs, last, strict=True):
    print(f"{run.label:36}   {outside:19}   {outside + 1:12}")
print()
assert last[:2] == [404, 71]
print(f"momentum needs {(last[1] + 1) / (last[0] + 1):.0%} of the updates, and its distance first grows ", end="")
print(f"from {distance[1][0]:.1f} to {distance[1].max():.1f}")

# %%
# Is it this start? On a bowl an update is linear, so take fifty starts around the minimum side by side.
angles = np.linspace(0, np.pi, 50, endpoint=False)
around = 2 * np.column_stack([np.cos(angles), np.sin(angles)])


def inside_after(eta, beta):
    """Count the updates until each start's distance stays below the line."""
    away, velocity, outside = around, np.zeros_like(around), []
    for _ in range(600):
        outside.append(np.linalg.norm(away, axis=1) > 1e-6)
        velocity = beta * velocity - eta * away @ hessian
        away = away + velocity
    return 600 - np.argmax(outside[::-1], axis=0)


shares = inside_after(best.learning_rate, best.beta) / inside_after(optimal_learning_rate(hessian), 0.0)
print(f"from {len(around)} starts momentum needs {shares.min():.0%} to {shares.max():.0%} of the updates")
assert shares.max() < 0.2

# %%
# Measure the rate, and be careful
# --------------------------------
#
# This section and the next are for those who want the mathematics.
#
# The obvious measurement, a ratio of late distances, comes out too large. At the best setting the two roots that rule
# each direction meet, and the distance falls like :math:`k \rho^k`: the factor :math:`k` spoils every finite run.
late = (distance[1][81] / distance[1][71]) ** (1 / 10)
print(f"ratio of distances around update 71: {late:.4f}; spectral radius: {best.rate:.6f}")

# %%
# So measure the roots. Along each eigenvector the errors obey :math:`e_{k+2} = p \, e_{k+1} - q \, e_k` with fixed
# :math:`p` and :math:`q`. Read both off the run by least squares; the roots of :math:`z^2 - p z + q` have the size
# :math:`\sqrt q` where they meet or are complex. The larger of these sizes is the *spectral
# radius*, the :term:`contraction rate`.
along = (heavy.parameters[:30] - minimum) @ np.linalg.eigh(hessian)[1]
fits = [np.linalg.lstsq(np.c_[e[1:-1], -e[:-2]], e[2:])[0] for e in along.T]
radius = max(np.sqrt(q) for p, q in fits)
print(f"measured radius {radius:.6f} = sqrt(beta) = {np.sqrt(best.beta):.6f}")
np.testing.assert_allclose(radius, best.rate, rtol=1e-9)  # float64, and thirty rows
np.testing.assert_allclose(best[:], [0.186288, 0.583448, 0.763837], atol=5e-7)

# %%
# The whole map
# -------------
#
# For any pair of settings both roots of both directions have a formula. Nesterov's gradient is taken further on, so
# there :math:`1 - \eta \lambda` multiplies the velocity too.


def spectral_radius(eta, beta, *, nesterov=False):
    """Return the size of the largest root of z^2 - p z + q over the eigenvalues of the Hessian."""
    left = 1 - eta * np.array([low, high])
    p, q = ((1 + beta) * left, beta * left) if nesterov else (beta + left, beta)
    between = np.sqrt(p**2 - 4 * q + 0j)
    return np.abs([p + between, p - between]).max() / 2


# A double root, so half of the digits
np.testing.assert_allclose(spectral_radius(*best[:2]), radius, rtol=1e-6)
etas, betas = np.linspace(0.005, 0.24, 120), np.linspace(0, 0.95, 100)

# sphinx_gallery_alt = "Two maps of the contraction rate over learning rate and momentum. Heavy ball: a wedge that opens to "
# sphinx_gallery_alt = "higher rates with more momentum, its best point in a sharp corner. Nesterov: the stable region "
# sphinx_gallery_alt = "narrows with more momentum, and its best point lies at a lower rate."
fig, axes = plt.subplots(1, 2, sharey=True, figsize=(6.2, 3.8))
optima = [best[:2], nesterov]
for ax, ahead_of_time, optimum in zip(axes, (False, True), optima, strict=True):
    rates = [[spectral_radius(eta, beta, nesterov=ahead_of_time) for eta in etas] for beta in betas]
    look = {"colors": COLORS["momentum"], "linewidths": [2.5, 2, 1.5, 1]}
    ax.contour(etas, betas, rates, [0.78, 0.85, 0.9, 0.95], **look)
    ax.contourf(etas, betas, rates, [1, 99], colors=COLORS["theory"], alpha=0.35)
    ax.plot(*optimum, "X", color=COLORS["theory"], ms=11, mec="white")
    ax.set(xlabel="learning rate", title="Nesterov" if ahead_of_time else "momentum")
axes[0].set(ylabel="momentum β")

# %%
# The contours, from thick to thin, stand at 0.78, 0.85, 0.9 and 0.95; grey diverges. With momentum the stable rates grow,
# up to twice as large; with Nesterov's they shrink, which is the price of looking ahead. On this bowl Nesterov's best is
# the slower one. Its promise is another: at a rate of at most :math:`1 / \lambda_{\max}` and with a fitting :math:`\beta`
# it converges on every smooth convex :term:`loss` that has a minimum, where plain momentum, tuned as here, can circle for
# ever :cite:p:`lessard2016`.
np.testing.assert_allclose(spectral_radius(*nesterov, nesterov=True), 1 - 2 / root, rtol=1e-6)
for beta in (0.5, 0.9):
    plain_limit, limit_of = 2 / high, partial(max_stable_learning_rate, hessian, beta=beta)
    np.testing.assert_allclose(limit_of(), (1 + beta) * plain_limit)
    ahead = (1 + beta) / (1 + 2 * beta) * plain_limit
    np.testing.assert_allclose(limit_of(nesterov=True), ahead)
print("best rates: plain {:.4f}, momentum {:.4f}, Nesterov {:.4f}".format(*slopes))

# %%
# Why it works, with pictures you can drag: :cite:t:`goh2017`. The rule is Polyak's :cite:p:`polyak1964`. What this does
# not show: you rarely know :math:`\kappa`, so people take :math:`\beta = 0.9` and tune the rate; and with
# :term:`gradient noise` the gain is smaller.
#
# Point at a place of the map, or move the sliders, and watch the run from there.
#
# .. explorable:: map
#
#    The colour says how many updates bring the loss to a millionth of its start. The dashed line is the stability limit
#    of theory.
#
# A bet
# -----
#
# Keep the best rate, and raise :math:`\beta` from its best value to the usual :math:`0.9`. Faster or slower? Choose before you open one.
#
# .. dropdown:: Faster: it keeps more of its speed
#
#    No. It keeps more of it in every direction, and so it swings to and fro for longer before it rests.
#
# .. dropdown:: It diverges: the best rate is next to the limit
#
#    No. That is so without momentum. With it the limit grows, to :math:`1 + \beta` times as much.
#
# .. dropdown:: Slower: the root of :math:`\beta` is nearer to one
#
#    Yes. All roots are complex there, of the size :math:`\sqrt\beta`, whatever the rate. More momentum than the valley needs is swing.
usual = inside_after(best.learning_rate, 0.9).mean()
tuned = inside_after(best.learning_rate, best.beta).mean()
print(f"updates from 50 starts, on average: {tuned:.0f} with the best beta, {usual:.0f} with 0.9")
np.testing.assert_allclose(spectral_radius(best.learning_rate, 0.9), np.sqrt(0.9))
assert usual > 2 * tuned

# %%
# Exercises
# ---------
#
# 1. Which rate is the largest stable one at :math:`\beta = 0.9`, and does a run one percent above it diverge?
# 2. ``SGD(0.1, momentum=0.9)`` and ``SGD(0.19, momentum=0.9)`` contract equally fast here. Why?
# 3. Standardise the inputs, and :math:`\kappa = 1`. Which momentum is best?
#
# The solutions, in this order:
limit = max_stable_learning_rate(hessian, beta=0.9)
below, above = rules.momentum(0.99 * limit), rules.momentum(1.01 * limit)
inside, outside = (descend(neuron, rule, [0, 0], steps=4000) for rule in (below, above))
print(f"1. {limit:.4f}; loss inside {inside.loss[-1]:.1e}, outside {outside.loss[-1]:.1e}")
assert inside.loss[-1] < 1e-6
assert outside.loss[-1] > 1e6

pair = [spectral_radius(eta, 0.9) for eta in (0.1, 0.19)]
print(f"2. {pair[0]:.4f} and {pair[1]:.4f}: all roots are complex, of size sqrt(0.9)")
np.testing.assert_allclose(pair, np.sqrt(0.9))

round_bowl = optimal_momentum(np.diag([2.0, 2.0]))
eta, beta, _ = round_bowl
print(f"3. beta = {beta:.0f}, eta = {eta:.2f}: one step, no momentum needed")
assert round_bowl.beta == 0 == round_bowl.rate
plt.show()

# %%
# Next: rules that give each parameter a rate of its own, :ref:`sphx_glr_gallery_rules_plot_adam_from_scratch.py`.
