r"""
A map of momentum
=================

*It moves the border: twelve thousand runs on both sides of it.*

With :term:`momentum` :math:`\beta` a :term:`learning rate` :math:`\eta` may be larger, up to the :term:`stability limit`

.. math:: \eta < \frac{2 (1 + \beta)}{\lambda_{\max}}

where :math:`\lambda_{\max}` is the largest :term:`eigenvalue` of the :term:`Hessian` :cite:p:`polyak1964`. A line on paper;
here are the runs. :func:`gdexplain.sweep` trains the neuron once for each cell of a map of rates and momenta, all at
once. Look at how sharp the border is, and where the light cells of the fastest runs lie. You need
:ref:`sphx_glr_gallery_rules_plot_momentum.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import build_linear, make_line, sweep
from gdexplain.plotting import draw_map, draw_scale, use_style
from gdexplain.theory import line_hessian, optimal_momentum

use_style()
data = make_line()
largest = np.linalg.eigvalsh(line_hessian(data))[-1]

# %%
# Every run starts at weight 0 and bias 0, makes 400 full-batch updates, and counts how many it takes until the
# :term:`loss` is a millionth. Only two numbers differ from run to run.
rates, momenta = np.linspace(0.002, 0.26, 130), np.linspace(0, 0.96, 97)
rate, momentum = (values.ravel() for values in np.meshgrid(rates, momenta))
runs = sweep(
    build_linear(),
    data,
    optimizer=keras.optimizers.SGD(0.1, momentum=0.5),
    steps=400,
    learning_rate=rate,
    hyperparameters={"momentum": momentum},
    target=1e-6,
)
print(runs.label)
print(runs.summary())

# %%
# The theory's border, and the pair that :func:`gdexplain.optimal_momentum` says is best in the long run:
border = 2 * (1 + momenta) / largest
best = optimal_momentum(line_hessian(data))
print(f"best pair: rate {best.learning_rate:.6f}, momentum {best.beta:.6f}")

# sphinx_gallery_alt = "Map of learning rate and momentum. A dashed line rises to the right; every cell right of it is grey or "
# sphinx_gallery_alt = "empty. Left of it the cells are coloured, the fastest near a cross close to the line, and in a band from it up to the left."
fig, ax = plt.subplots(figsize=(6.2, 4.6))
cells, lost = draw_map(ax, runs, rate, momentum, value="steps_to_target")
ax.plot(border, momenta, "--", color="#D55E00", linewidth=2, label="theory: $2(1 + \\beta)/\\lambda_{max}$")
ax.plot(best.learning_rate, best.beta, "X", color="#D55E00", markersize=11, label="theory: the best")
ax.set(xlabel="learning rate", ylabel="momentum", xlim=rates[[0, -1]], ylim=momenta[[0, -1]])
draw_scale(cells, "updates until the loss is a millionth", ax)
fig.legend(loc="outside upper left", ncols=2)
plt.show()

# %%
# Left of the dashed line every run settles; right of it every run explodes (grey: beyond all numbers). No colour: it has
# not arrived after 400 updates, whether it creeps at a tiny rate, swings at a large momentum, or grows too slowly to
# overflow. Up to the cross the best rate for each momentum grows, close to the border. Above the cross a light band
# turns back to smaller rates, and then all cells darken: too much momentum is slow again.
#
# **Check.** Two per cent inside the border the loss of every run has fallen, two per cent outside it has grown. Closer
# than that, 400 updates are not enough to tell them apart.
limit = 2 * (1 + momentum) / largest
start = np.mean(data.targets**2)
inside, outside = rate < 0.98 * limit, rate > 1.02 * limit
assert np.all(runs.loss[inside] < start)
assert not np.any(runs.diverged[inside])
assert np.all(runs.diverged[outside] | (runs.loss[outside] > start))
print(f"{inside.sum():,} runs inside end lower than they began, {outside.sum():,} outside do not; no exception")

# %%
# And the deepest point of the valley? The count stops at the first touch, and a run that swings through the minimum at
# the right moment is counted early. So ask again for the *loss* after 100 updates, in float64, and take the
# hundred best runs of the map: the luck of one swing is gone, and their middle lies by the cross.
longer = sweep(
    build_linear(dtype="float64"),
    data,
    optimizer=keras.optimizers.SGD(0.1, momentum=0.5),
    steps=100,
    learning_rate=rate,
    hyperparameters={"momentum": momentum},
)
hundred = np.argsort(np.where(longer.diverged, np.inf, longer.loss))[:100]
middle = np.median(rate[hundred]), np.median(momentum[hundred])
print(f"the middle of the hundred best: rate {middle[0]:.3f}, momentum {middle[1]:.3f}")
# the valley is longer along the rate than across: 0.03 of a rate, 0.05 of a momentum
assert abs(middle[0] - best.learning_rate) < 0.03
assert abs(middle[1] - best.beta) < 0.05

# %%
# What it does not show
# ---------------------
# One bowl, full batches, one start. With noise the best momentum is smaller, and a deep network has a border that moves
# while you train (:ref:`sphx_glr_gallery_theory_plot_edge_of_stability.py`).

# %%
# Exercises
# ---------
#
# 1. How many of the runs that settle have a rate that plain gradient descent, without momentum, cannot bear?
# 2. At a momentum of 0.9, which rates bring the loss to a millionth within 400 updates?
#
# The solutions, in this order:
bold = inside & (rate > 2 / largest)
print(f"1. {bold.sum():,} of {inside.sum():,}; the largest rate among them is {rate[bold].max():.3f}")
assert bold.any()
assert runs.loss[bold].max() < start

row = np.isclose(momentum, 0.9) & (runs.steps_to_target >= 0)
print(f"2. those from {rate[row].min():.3f} to {rate[row].max():.3f}: the border is at {2 * 1.9 / largest:.3f}")
assert rate[row].max() < 2 * 1.9 / largest

# %%
# Next: :ref:`sphx_glr_gallery_maps_plot_map_of_starts.py`.
