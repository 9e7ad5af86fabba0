r"""
The boundary between learning and exploding is a fractal
========================================================

On a bowl there is one :term:`stability limit`: a rate below it converges, a rate above it :term:`diverges <divergence>`. Give a
small network two :term:`learning rates <learning rate>`, one for each :term:`layer`,

.. math:: W_1 \leftarrow W_1 - \eta_1 \frac{\partial L}{\partial W_1}, \qquad
          W_2 \leftarrow W_2 - \eta_2 \frac{\partial L}{\partial W_2},

and colour each pair :math:`(\eta_1, \eta_2)` by what became of the run. :cite:t:`sohldickstein2024` did, and found that the
limit is no line. Zoom in where you like, there is always more of it. Look for an edge that does not get
smoother from picture to picture. You need :ref:`sphx_glr_gallery_theory_plot_edge_of_stability.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD
from scipy.stats import rankdata

from gdexplain import Dataset, box_dimension, build_mlp, sweep, use_style

use_style()
rng = np.random.default_rng(2)
data = Dataset(rng.normal(size=(8, 8)), rng.normal(size=(8, 1)), name="8 random examples")
model = build_mlp([8, 1], inputs=8, seed=2)  # 8 tanh units; every run starts from here
model.set_weights([2 * weight for weight in model.get_weights()])
is_first = np.repeat([True, True, False, False], [weight.size for weight in model.get_weights()])

# %%
# A window is a range of :math:`\log_{10} \eta_1` and one of :math:`\log_{10} \eta_2`. Each of the first four is a small
# part of the one before. The fifth lies elsewhere, where the edge looks like dust. A pixel is a :term:`run <trajectory>`
# of 200 full-batch :term:`updates <update>`: the rate is 1 for all, and ``scale`` makes it another one for each layer.
# All runs go through :func:`gdexplain.sweep` side by side.
windows = [
    (-0.8, 1.4, -1.0, 0.2),
    (-0.8, -0.6, -0.4, -0.25),
    (-0.675, -0.65, -0.3625, -0.34375),
    (-0.66563, -0.6625, -0.35078, -0.34844),
    (1.15, 1.4, -0.7, -0.55),
]
side, steps = 160, 200
grids = [np.meshgrid(np.linspace(a, b, side), np.linspace(c, d, side)) for a, b, c, d in windows]
rates = 10 ** np.reshape(grids, (len(windows), 2, -1)).swapaxes(1, 2).reshape(-1, 2)  # a row for each run
scale = np.where(is_first, rates[:, :1], rates[:, 1:])
runs = sweep(model, data, optimizer=SGD(1.0), steps=steps, scale=scale)
pictures = (len(windows), side, side)
diverged, updates, loss = (each.reshape(pictures) for each in (runs.diverged, runs.updates, runs.loss))
print(f"{len(rates):,} runs of {steps} updates, {runs.diverged.mean():.0%} of them diverged")


def shades(values, where):
    """Return each value's rank among those of one kind, from 0 to 1; nothing elsewhere."""
    shade = np.full(values.shape, np.nan)
    shade[where] = rankdata(values[where]) / where.sum()
    return shade


# sphinx_gallery_alt = "Four square maps of two learning rates. Blue below: runs that stay finite, brighter where they end lower. "
# sphinx_gallery_alt = "Orange above: runs that diverge, brighter where they do it sooner. A small frame in each map is the whole "
# sphinx_gallery_alt = "of the next. In the first map the two colours seem to meet in a line; in the zooms the line breaks up "
# sphinx_gallery_alt = "into tongues, islands and dust, and each zoom shows as much detail as the one before."
fig, axes = plt.subplots(2, 2, figsize=(7.6, 7.9))
for k, ax in enumerate(axes.flat):
    look = {"extent": windows[k], "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(shades(-loss[k], ~diverged[k]), cmap="Blues_r", vmin=-0.15, vmax=1.3, **look)
    ax.imshow(shades(-updates[k], diverged[k]), cmap="Oranges_r", vmin=-0.15, vmax=1.3, **look)
    closer = (windows[0][1] - windows[0][0]) / (windows[k][1] - windows[k][0])
    ax.set_title(f"{closer:.0f} times closer" if k else "all pairs of rates")
    ax.locator_params(nbins=4)
    ax.grid(visible=False)
    if k < 3:
        a, b, c, d = windows[k + 1]
        ax.add_patch(plt.Rectangle((a, c), b - a, d - c, fill=False, ec="white", lw=1.6, clip_on=False))
fig.supxlabel(r"$\log_{10} \eta_1$, first layer")
fig.supylabel(r"$\log_{10} \eta_2$, second layer")

# %%
# Blue is still finite, the brighter the lower its :term:`loss`; orange has overflowed, the brighter the sooner. Each
# white frame is the next picture. The line of the first one is made of tongues and islands in the second, each of these
# of others in the third, and so on. If a run survives, you do not know that its neighbour does.
#
# How rough is it?
# ----------------
#
# Cover the edge with boxes of k by k pixels and count those that it touches. For a smooth curve the count goes as
# :math:`1/k`, for an area as :math:`1/k^2`. The exponent is the :term:`box-counting dimension`.


def edge(mask):
    """Return the pixels whose neighbour to the right or above is of the other kind."""
    right, above = mask[:-1, :-1] != mask[:-1, 1:], mask[:-1, :-1] != mask[1:, :-1]
    return right | above


edges = [edge(picture) for picture in diverged]
dimensions = [box_dimension(each) for each in edges]
y, x = np.indices((side, side)) - side / 2
circle = box_dimension(edge(x**2 + y**2 < (0.4 * side) ** 2))
for each, dimension in zip(edges, dimensions, strict=True):
    print(f"{each.sum():5} pixels of edge, dimension {dimension:.2f}")
print(f"a circle, measured in the same way: {circle:.2f}")

# sphinx_gallery_alt = "Left, a fifth map: orange above thins out into dust on blue. Right, the box-counting dimension of the "
# sphinx_gallery_alt = "edge in each map. A circle has about one; the first four maps lie clearly above it, and the dusty map lies "
# sphinx_gallery_alt = "highest, between a curve and an area."
fig, axes = plt.subplots(1, 2, figsize=(7.6, 4.2))
look["extent"] = windows[-1]
axes[0].imshow(shades(-loss[-1], ~diverged[-1]), cmap="Blues_r", vmin=-0.15, vmax=1.3, **look)
axes[0].imshow(shades(-updates[-1], diverged[-1]), cmap="Oranges_r", vmin=-0.15, vmax=1.3, **look)
axes[0].set(title="dust", xlabel=r"$\log_{10} \eta_1$", ylabel=r"$\log_{10} \eta_2$")
axes[0].grid(visible=False)
names = ["circle", "all", "zoom 1", "zoom 2", "zoom 3", "dust"]
axes[1].plot([circle, *dimensions], names, "o", ms=11, color="#D55E00")
axes[1].set(title="dimension of the edge", xlim=(0.9, 2.05))

# %%
# An edge that crosses a picture and only goes down has fewer than two pixels a column. Ours has more in every zoom,
# though each is about a seventieth of the picture before. The dimension is not one number: it depends on where you look,
# and for dust, where each large box is touched, the measured dimension is too high rather than too low. The dust also
# grows with the updates: some of these runs wander for long before they overflow. So what we assert are ranges. And we do
# not assert single pixels: near the edge the last digit of a rate decides, and last digits differ between machines.
assert all(each.sum() > 2 * side for each in edges)
assert abs(circle - 1) < 0.06
assert all(1.08 < dimension < 1.6 for dimension in dimensions[:4])
assert 1.5 < dimensions[4] < 1.8

# %%
# What this does not show: large networks. This one has 8 units and 8 examples and learns them by heart; and it shows full
# batches only; the paper finds the fractal with :term:`mini-batches <mini-batch>` too. And it does not say that training
# is hopeless. Well below the edge all is smooth, and that is where you choose your rate.
#
# Exercises
# ---------
#
# 1. Go along one row of the last zoom, so that only :math:`\eta_1` changes. How often does the outcome flip?
# 2. One rate for both layers is the diagonal of the first map. Is there one limit on it?
# 3. Is the fractal made by float32? Run every third pixel of the last zoom again in float64, and call what is
#    above a million exploded.
#
# The solutions, in this order:
flips = (np.diff(diverged[3], axis=1) != 0).sum(axis=1).max()
print(f"1. up to {flips} times in {side} pixels")
assert flips > 10

line = np.geomspace(0.38, 0.42, 2048)
ends = sweep(model, data, optimizer=SGD(1.0), steps=steps, learning_rate=line).diverged
first, last = line[ends].min(), line[~ends].max()
print(f"2. no: from {first:.4f} on some diverge, up to {last:.4f} some do not: {np.diff(ends).sum()} flips")
assert np.diff(ends).sum() > 2

double = build_mlp([8, 1], inputs=8, seed=2, dtype="float64")
double.set_weights(model.get_weights())
some = scale.reshape(*pictures, -1)[3, ::3, ::3].reshape(-1, scale.shape[1])
again = sweep(double, data, optimizer=SGD(1.0), steps=steps, scale=some).loss
same = np.mean((again > 1e6) == (loss[3, ::3, ::3].ravel() > 1e6))  # float64 overflows much later
print(f"3. no: {same:.1%} end in the same way; the others lie at the edge")
assert same > 0.9
plt.show()

# %%
# Next: real data, where the answer is known to ten digits, :ref:`sphx_glr_gallery_practice_plot_diabetes.py`.
