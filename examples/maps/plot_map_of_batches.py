r"""
A map of batch sizes
====================

*Below its limit a run settles in every order drawn; beyond it, the order decides.*

A full :term:`batch` settles below :math:`2/\lambda_{\max}` and not above. For batches that are drawn at random, each
independent of the last, there is a :term:`stability limit` in mean square, which is lower,

.. math:: \frac{1}{\eta_{\max}} = \lambda_{\max}\bigl[ (H \oplus H)^{-1} \operatorname{E}[H_B \otimes H_B] \bigr]

where :math:`H_B` is the :term:`Hessian` of one batch and :math:`H` that of all the data, E is the mean over all batches,
:math:`\otimes` is the Kronecker product, and :math:`H \oplus H = H \otimes I + I \otimes H`. *In mean square* means that the mean
of the squared distance shrinks. But batches in training are not
independent: each :term:`epoch` uses every example once. So each cell of these maps is a run with a :term:`learning rate`
and an order of the examples. Look at which cells beyond the dashed line still settle. You need
:ref:`sphx_glr_gallery_variants_plot_stochastic.py`.
"""

from itertools import permutations, product

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from gdexplain import build_linear, make_line, sweep
from gdexplain.plotting import draw_map, draw_scale, use_style
from gdexplain.theory import (
    cyclic_contraction_rate,
    line_hessian,
    max_stable_learning_rate,
    max_stable_sgd_learning_rate,
)

use_style()
data = make_line()

# %%
# One sweep for each :term:`batch size`: 91 rates times 48 :term:`seeds <seed>`, 240 :term:`updates <update>` each. A seed
# is an order of the examples, and a row of the map. With four examples, *batch 3* means three and then one, in each
# epoch; its limit knows only the batches of three.
rates, seeds = np.linspace(0.05, 0.14, 91), np.arange(48)
rate, seed = (values.ravel() for values in np.meshgrid(rates, seeds))
sizes = 1, 2, 3, 4
sweeps = [
    sweep(build_linear(), data, optimizer="sgd", steps=240, batch_size=size, learning_rate=rate, seed=seed)
    for size in sizes
]
limits = [max_stable_sgd_learning_rate(data, size) for size in sizes]
print("batch      limit    runs   diverged")
for size, limit, runs in zip(sizes, limits, sweeps, strict=True):
    print(f"{size:5}   {limit:.6f}   {len(runs):,}   {runs.diverged.sum():8}")

# %%
# The limits rise with the batch, and that of the full batch is :math:`2/\lambda_{\max}`.
np.testing.assert_allclose(limits[-1], max_stable_learning_rate(line_hessian(data)), rtol=1e-9)

# sphinx_gallery_alt = "Four maps, one for each batch size, learning rate against order of the examples. Left of a dashed "
# sphinx_gallery_alt = "line, which moves right as the batch grows, all cells are light: small losses. For batches of one to three "
# sphinx_gallery_alt = "light cells reach far beyond their line with ragged ends; for the full batch they end on it."
fig, axes = plt.subplots(2, 2, figsize=(6.2, 6.4), sharex=True, sharey=True)
norm = LogNorm(1e-12, 1e12)
for ax, size, limit, runs in zip(axes.flat, sizes, limits, sweeps, strict=True):
    cells, _ = draw_map(ax, runs, rate, seed)
    cells.set_norm(norm)
    ax.axvline(limit, color="#D55E00", linestyle="--", linewidth=2)
    ax.set_title(f"batch {size}")
fig.supxlabel("learning rate")
fig.supylabel("order of the examples (seed)")
draw_scale(cells, "loss after 240 updates", axes)
plt.show()

# %%
# The dashed lines are the limits. Left of them everything settles, in every order that we drew. Right of them a full
# batch climbs at once. Smaller batches do not: most orders settle far beyond the line, some climb, and the edge is
# ragged, for each row has luck of its own. Two reasons are likely. The limit speaks of the *mean* square, which a few
# terrible runs can carry away while most settle. And it speaks of independent draws; an epoch that shows every example
# once repairs with the gentle examples what the steep one has broken.
#
# **Check.** Two per cent inside the limit each run of each batch size ends below the :term:`loss` at its start. The full
# batch climbs in each run two per cent outside. For batches of one, some cells beyond settle: as many as printed.
start = np.mean(data.targets**2)
print("batch   runs beyond the limit that end lower than they began")
for size, limit, runs in zip(sizes, limits, sweeps, strict=True):
    assert np.all(runs.loss[rate < 0.98 * limit] < start)
    beyond = rate > 1.02 * limit
    settled = ~runs.diverged[beyond] & (runs.loss[beyond] < start)
    print(f"{size:5}   {settled.mean():52.0%}")
    assert settled.any() == (size < 4)

# %%
# What it does not show
# ---------------------
# These targets lie on a line, so the noise dies at the :term:`minimum` and a run can settle on it. With noise in the
# targets it stops at a floor (:ref:`sphx_glr_gallery_variants_plot_noise_floor.py`). The limit is not a rate that is best:
# see :ref:`sphx_glr_gallery_variants_plot_batch_size_and_rate.py`. And a limit that is safe for the orders that chance
# draws is not safe for each: take two epochs, each in one of the 24 orders of four examples, and repeat them for ever.
for size, limit in zip(sizes[:2], limits, strict=False):
    pairs = [first + second for first, second in product(permutations(range(4)), repeat=2)]
    factors = [cyclic_contraction_rate(data.take(pair), 0.98 * limit, size) for pair in pairs]
    hostile = sum(factor > 1 for factor in factors)
    print(f"batch {size}: {hostile} of {len(pairs)} pairs of orders diverge two per cent inside the limit")
    assert 0 < hostile < len(pairs) / 4

# %%
# Exercises
# ---------
#
# 1. Which is the largest rate at which one of these orders lets a run with batches of one settle?
# 2. Do not shuffle: one order for all epochs, as it stands. Then one pass is always the same linear map. Does its contraction
#    rate foretell which rates settle?
#
# The solutions, in this order:
first = sweeps[0]
settled = ~first.diverged & (first.loss < start)
print(f"1. {rate[settled].max():.3f}, far above the limit of {limits[0]:.3f}")
assert rate[settled].max() > 1.1 * limits[0]

fixed = sweep(build_linear(), data, optimizer="sgd", steps=240, batch_size=1, learning_rate=rates, shuffle=False)
settles = ~fixed.diverged & (fixed.loss < start)
foretold = np.array([cyclic_contraction_rate(data, float(each)) < 1 for each in rates])
print(f"2. yes, up to {rates[foretold].max():.3f}; wrong for {np.sum(settles != foretold)} of {len(rates)} rates")
assert np.array_equal(settles, foretold)

# %%
# Next: :doc:`/practice/scaling_a_sweep`, to make maps of a million runs.
