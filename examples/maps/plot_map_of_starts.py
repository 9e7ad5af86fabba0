r"""
A map of starts
===============

*One layer has one limit; two layers make a limit for each start.*

For a linear neuron the :term:`stability limit` is the same wherever you start: :math:`2/\lambda_{\max}`, for its
:term:`Hessian` is the same everywhere. Put a second layer on top, :math:`y = w_2 w_1 x`, and the :term:`loss` has a valley of
minima, :math:`w_1 w_2 = 2`, some steep and some flat. While the steps are small the quantity

.. math:: c = w_1^2 - w_2^2

does not change :cite:p:`saxe2014`, so a start leads to a minimum of known curvature,
:math:`\lambda = 2 \overline{x^2} \sqrt{c^2 + 16}`. Look at what happens to the runs whose :term:`learning rate` is too
large for *that* minimum. You need :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import build_linear, make_line, sweep
from gdexplain.plotting import draw_map, draw_scale, use_style
from gdexplain.theory import line_hessian, max_stable_learning_rate

use_style()
data = make_line()
mean_square = np.mean(data.inputs**2)

# %%
# Both maps: a start in each row, a rate in each column, 300 full-batch updates in each cell. First the neuron, from
# weights between -6 and 6 and bias 0.
rates, weights = np.linspace(0.002, 0.16, 120), np.linspace(-6, 6, 80)
rate, weight = (values.ravel() for values in np.meshgrid(rates, weights))
line = sweep(
    build_linear(),
    data,
    optimizer="sgd",
    steps=300,
    learning_rate=rate,
    start=np.column_stack([weight, np.zeros_like(weight)]),
)
limit = max_stable_learning_rate(line_hessian(data))
falls, grows = rate < 0.98 * limit, rate > 1.02 * limit
at_start = mean_square * (weight - 2) ** 2
# two per cent from the limit, 300 updates change the steep part of the loss by 10,000 or more
assert np.all(line.loss[falls] < at_start[falls])
assert np.all(line.diverged[grows] | (line.loss[grows] > at_start[grows]))
print(f"one layer: {line.summary()}")

# %%
# Now two layers without biases, from :math:`w_2 = 0.5` and :math:`w_1` between 0.1 and 5.
layers = [keras.layers.Dense(1, use_bias=False), keras.layers.Dense(1, use_bias=False)]
deep = keras.Sequential([keras.Input((1,)), *layers])
small, first = np.linspace(0.001, 0.06, 150), np.linspace(0.1, 5, 120)
rate_2, first_2 = (values.ravel() for values in np.meshgrid(small, first))


def train_from(second):
    """Train two layers from each first weight, with each rate."""
    start = np.column_stack([first_2, np.full_like(first_2, second)])
    return sweep(deep, data, optimizer="sgd", steps=300, learning_rate=rate_2, start=start)


def too_steep(second):
    """Return each run's rate in units of the prediction."""
    curvature = 2 * mean_square * np.sqrt((first_2**2 - second**2) ** 2 + 16)
    return rate_2 * curvature / 2


valley = train_from(0.5)
print(f"two layers: {valley.summary()}")

# %%
# The prediction for small steps, drawn over the map: the curvature of the minimum at the end of the valley that the
# start belongs to.
predicted = 2 / (2 * mean_square * np.sqrt((first**2 - 0.25) ** 2 + 16))

# sphinx_gallery_alt = "Two maps of learning rate and start. For one layer the border between small losses and explosion is a "
# sphinx_gallery_alt = "straight vertical line. For two layers it bends to smaller rates as the first weight grows, and coloured "
# sphinx_gallery_alt = "cells go on beyond the dashed prediction before grey begins."
fig, (above, below) = plt.subplots(2, 1, figsize=(6.2, 7.6))
cells, _ = draw_map(above, line, rate, weight)
above.axvline(limit, color="#D55E00", linestyle="--", linewidth=2)
above.set(title="one layer", xlabel="learning rate", ylabel="weight at the start")
draw_scale(cells, "loss after 300 updates", above)
cells, _ = draw_map(below, valley, rate_2, first_2)
below.plot(predicted, first, "--", color="#D55E00", linewidth=2)
below.set(title="two layers", xlabel="learning rate", ylabel="first weight at the start", ylim=first[[0, -1]])
draw_scale(cells, "loss after 300 updates", below)
plt.show()

# %%
# Above, the border is a straight line, and it stands where the theory says. Below, the border bends: the
# further the two weights are apart, the steeper the minimum ahead. And runs go on settling *beyond* the dashed
# line: a run whose minimum is not much too steep for its rate is thrown out of it, across the valley, and lands where the
# valley is flatter. Further out most runs explode, and within a few updates. The dark corner is a third thing: too large a
# rate for the flattest minimum there is, and too small to explode. After 300 updates these runs still wander.
#
# **Check.** From this second weight no run diverges a tenth below the prediction, nor far above it. And each
# run that converges, wherever, has ended at a minimum that its rate can bear: curvature below :math:`2/\eta`.
steep = too_steep(0.5)
assert not np.any(valley.diverged[steep < 0.9])
for low, high in ((1.0, 1.8), (1.8, steep.max())):
    lost = valley.diverged[(low <= steep) & (steep <= high)]
    print(f"rate {low} to {high:.1f} times the prediction: {lost.sum():,} of {len(lost):,} runs diverge")
    assert np.any(lost) == (low > 1)
assert lost.mean() > 0.5
print(f"half of those that diverge do so by update {np.median(valley.updates[valley.diverged]):.0f}")
assert np.median(valley.updates[valley.diverged]) < 20
arrived = ~valley.diverged & (valley.loss < 1e-8)
w1, w2 = valley.parameters[arrived].T
curvature = 2 * mean_square * (w1**2 + w2**2)
# one per cent: on the way to a minimum at the very edge, the loss shrinks too slowly to be as small as 1e-8
assert np.all(curvature < 1.01 * 2 / rate_2[arrived])
beyond = arrived & (steep > 1.05)
flatter = np.abs(valley.parameters[beyond, 0] ** 2 - valley.parameters[beyond, 1] ** 2)
assert np.all(flatter < np.abs(first_2[beyond] ** 2 - 0.25))
print(f"{beyond.sum():,} runs converge beyond the line, all at a flatter minimum than the one ahead of their start")

# %%
# What it does not show
# ---------------------
# Two weights and four points without noise. The prediction is for small steps, and a start far from the valley does not
# take them: from :math:`w_2 = 3` runs diverge a tenth below it too. In a large network nobody knows the valley's shape
# beforehand, but the same search for flatter ground is measured there
# (:ref:`sphx_glr_gallery_theory_plot_edge_of_stability.py`).
below = train_from(3.0).diverged[too_steep(3.0) < 0.9]
print(f"from a second weight of 3: {below.sum():,} of {len(below):,} runs a tenth below the prediction diverge")
assert below.sum() > 100

# %%
# Exercises
# ---------
#
# 1. From which start may the rate be largest, by the prediction? What do the two weights have in common there?
# 2. Let the targets be 0, and start the single neuron at the minimum, weight 0 and bias 0. Which rates blow it up?
#
# The solutions, in this order:
gentlest = first[np.argmax(predicted)]
print(f"1. from {gentlest:.2f}, beside a second weight of 0.5: weights that are equal lead to the flattest minimum")
assert abs(gentlest - 0.5) < np.diff(first)[0]

still = sweep(build_linear(), make_line(slope=0.0), optimizer="sgd", steps=300, learning_rate=rates)
print(f"2. none: the largest loss is {still.loss.max():g}. The gradient there is 0, and any rate times 0 is 0.")
assert np.all(still.loss == 0)

# %%
# Next: :ref:`sphx_glr_gallery_maps_plot_map_of_batches.py`.
