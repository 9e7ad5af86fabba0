r"""
A fractal of learning rates
===========================

*The boundary between learning and exploding is a fractal.*

On a bowl there is one :term:`stability limit`: a rate below it converges, a rate above it :term:`diverges <divergence>`. Give a
small network two :term:`learning rates <learning rate>`, one for each :term:`layer`,

.. math:: W_1 \leftarrow W_1 - \eta_1 \frac{\partial L}{\partial W_1}, \qquad
          W_2 \leftarrow W_2 - \eta_2 \frac{\partial L}{\partial W_2},

and colour each pair :math:`(\eta_1, \eta_2)` by what became of the run. :cite:t:`sohldickstein2024` did, and found that the
limit is no line: zoom in on its edge, and there is more of it. Look for an edge that does not get smoother from picture to
picture. You need :ref:`sphx_glr_gallery_theory_plot_edge_of_stability.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD
from scipy.stats import rankdata

from gdexplain import Dataset, build_mlp, sweep, use_style

use_style()
rng = np.random.default_rng(6)
data = Dataset(rng.normal(size=(8, 8)), rng.normal(size=(8, 1)), name="8 random examples")
model = build_mlp([8, 1], inputs=8, seed=6)  # 8 tanh units; every run starts from here
model.set_weights([2 * weight for weight in model.get_weights()])
is_first = np.repeat([True, True, False, False], [weight.size for weight in model.get_weights()])

# %%
# A window is a range of :math:`\log_{10} \eta_1` and one of :math:`\log_{10} \eta_2`. A pixel is a :term:`run <trajectory>`
# of 200 full-batch :term:`updates <update>`: the rate is 1 for all, and ``scale`` makes it another one for each layer. All
# runs of a picture go through :func:`gdexplain.sweep` side by side.
side, steps, parts = 128, 200, 8


def picture(a, b, c, d):
    """Train with every pair of rates in a window; return which runs diverged, after how many updates, and the losses."""
    rates = 10 ** np.reshape(np.meshgrid(np.linspace(a, b, side), np.linspace(c, d, side)), (2, -1)).T
    scale = np.where(is_first, rates[:, :1], rates[:, 1:])
    runs = sweep(model, data, optimizer=SGD(1.0), steps=steps, scale=scale)
    return [each.reshape(side, side) for each in (runs.diverged, runs.updates, runs.loss)]


def edge(mask):
    """Tell of each pixel whether its neighbour to the right or above is of the other kind."""
    right, above = mask[:-1, :-1] != mask[:-1, 1:], mask[:-1, :-1] != mask[1:, :-1]
    return np.pad(right | above, (0, 1))


# %%
# Where to zoom in? Cut a picture into 8 by 8 boxes, and leave out those that are nearly all of one kind. A smooth line
# across a box would have about as many pixels of edge as the box is wide. The next window is the box in which the edge is
# nearest to twice as long.


def next_window(diverged, a, b, c, d):
    """Return the box, of both kinds, whose edge is nearest to twice a straight one."""
    width = side // parts
    count, share = (
        each.reshape(parts, width, parts, width).mean(axis=(1, 3)) for each in (edge(diverged), diverged.astype(float))
    )
    far_off = abs(count * width - 2) + 1000 * (abs(share - 0.5) > 0.2)
    row, column = np.unravel_index(np.argmin(far_off), far_off.shape)
    x, y = np.linspace(a, b, parts + 1), np.linspace(c, d, parts + 1)
    return x[column], x[column + 1], y[row], y[row + 1]


windows, pictures = [(-1.0, 1.6, -1.2, 0.6)], []
for _ in range(4):
    pictures.append(picture(*windows[-1]))
    windows.append(next_window(pictures[-1][0], *windows[-1]))
lost = np.mean([diverged for diverged, _, _ in pictures])
print(f"{len(pictures) * side**2:,} runs of {steps} updates, {lost:.0%} of them diverged")


def shades(values, where):
    """Return each value's rank among those of one kind, from 0 to 1; nothing elsewhere."""
    shade = np.full(values.shape, np.nan)
    shade[where] = rankdata(values[where]) / where.sum()
    return shade


def draw(ax, window, picture):
    """Show a picture at its place."""
    diverged, updates, loss = picture
    look = {"extent": window, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(shades(loss, ~diverged), cmap="viridis_r", **look)
    ax.imshow(shades(updates, diverged), cmap="Greys", vmin=-1, vmax=1.8, **look)
    ax.locator_params(nbins=4)
    ax.grid(visible=False)


def mark_next(ax, k):
    """Say how close a picture is, and frame the next one in it."""
    ax.set_title(f"{parts**k} times closer" if k else "all pairs of rates")
    if k < 3:
        a, b, c, d = windows[k + 1]
        ax.add_patch(plt.Rectangle((a, c), b - a, d - c, fill=False, ec="#D55E00", lw=2.5, clip_on=False))


# sphinx_gallery_alt = "Four square maps of two learning rates. In colour: runs that stay finite, lighter where they end lower. "
# sphinx_gallery_alt = "In grey: runs that diverge, lighter where they do it sooner. A small frame in each map is the whole "
# sphinx_gallery_alt = "of the next. In the first map colour and grey seem to meet in a line; in the zooms the line breaks up "
# sphinx_gallery_alt = "into tongues, islands and dust, and each zoom shows as much detail as the one before."
fig, axes = plt.subplots(2, 2, figsize=(6.2, 6.6))
for k, ax in enumerate(axes.flat):
    draw(ax, windows[k], pictures[k])
    mark_next(ax, k)
fig.supxlabel(r"$\log_{10} \eta_1$, first layer")
fig.supylabel(r"$\log_{10} \eta_2$, second layer")


# %%
# What has a colour is still finite, the lighter the lower its :term:`loss`; grey has overflowed, the lighter the sooner. Each
# frame is the next picture. The line of the first one is made of tongues and islands in the second, each of these
# of others in the third, and so on. If a run survives, you do not know that its neighbour does.
#
# Now each picture by itself, as large as the page. Move the slider to go in.

# sphinx_gallery_alt = "All pairs of rates: colour at the lower left, grey at the upper right, and an edge that looks like a line."

# sphinx_gallery_alt = "8 times closer, the edge is made of tongues and islands; a frame marks the next picture."

# sphinx_gallery_alt = "64 times closer, the edge of one tongue has tongues and islands of its own; a frame marks the next picture."

# sphinx_gallery_alt = "512 times closer, there is no line left: stripes of colour, and colour and grey mixed like dust."
for k, picture in enumerate(pictures):
    fig, ax = plt.subplots(figsize=(6.2, 5.6))
    draw(ax, windows[k], picture)
    mark_next(ax, k)
    ax.set(xlabel=r"$\log_{10} \eta_1$, first layer", ylabel=r"$\log_{10} \eta_2$, second layer")


# %%
# How rough is it?
# ----------------
#
# Cover the edge with boxes of k by k pixels and count those that it touches. For a smooth curve the count goes as
# :math:`1/k`, for an area as :math:`1/k^2`. The exponent is the :term:`box-counting dimension`.
def box_dimension(mask):
    """Fit the slope of log count against log k to a square picture, for k = 1, 2, ..., an eighth of its side."""
    rows, columns = np.nonzero(mask)
    sizes = 2 ** np.arange(int(np.log2(len(mask))) - 2)
    counts = [len({*zip(rows // k, columns // k, strict=True)}) for k in sizes]
    return -np.polyfit(np.log(sizes), np.log(counts), 1)[0]


triangle = np.bitwise_and(*np.indices((side, side))) == 0  # Sierpinski's, whose dimension is known
np.testing.assert_allclose(box_dimension(triangle), np.log2(3), rtol=1e-12)
dimensions = [box_dimension(edge(diverged)) for diverged, _, _ in pictures]
y, x = np.indices((side, side)) - side / 2
circle = box_dimension(edge(x**2 + y**2 < (0.4 * side) ** 2))
print("times closer   pixels of edge   dimension")
for k, ((diverged, _, _), dimension) in enumerate(zip(pictures, dimensions, strict=True)):
    print(f"{parts**k:12}   {edge(diverged).sum():14}   {dimension:9.2f}")
print(f"\na circle, measured in the same way: {circle:.2f}")

# sphinx_gallery_alt = "The box-counting dimension of the edge in each map, as dots. A circle has about one; the whole map and "
# sphinx_gallery_alt = "the three zooms have more, between a curve and an area."
fig, ax = plt.subplots(figsize=(6.2, 3))
ax.plot([circle, *dimensions], ["circle", "all", "zoom 1", "zoom 2", "zoom 3"], "o", ms=11)
ax.set(xlabel="dimension of the edge", xlim=(0.8, 2.05))

# %%
# An edge that crosses a picture and only goes down has fewer than two pixels a column. Ours has more in the last zoom,
# though each is a sixty-fourth of the picture before. The dimension is not one number: it depends on where you look, and
# where every large box is touched, the measured one is too high rather than too low. So what we assert are bounds. And we
# do not assert single pixels: near the edge the last digit of a rate decides, and last digits differ between machines.
assert edge(pictures[-1][0]).sum() > 2 * side
assert abs(circle - 1) < 0.1  # pixels are coarse
assert circle + 0.05 < np.mean(dimensions[1:]) < 1.9

# %%
# What this does not show: large networks. This one has 8 units and 8 examples and learns them by heart; and it shows full
# batches only; the paper finds the fractal with :term:`mini-batches <mini-batch>` too. And it does not say that training
# is hopeless. Well below the edge all is smooth, and that is where you choose your rate.
#
# Exercises
# ---------
#
# 1. Go along one row of the last zoom, so that only :math:`\eta_1` changes. How often does the outcome flip?
# 2. One rate for both layers is the diagonal of the first map. Go along it. Is there one limit?
# 3. Is the fractal made by float32? Run every second pixel of the last zoom again in float64, and call what is
#    above a million exploded.
#
# The solutions, in this order:
last, _, loss = pictures[-1]
flips = (np.diff(last, axis=1) != 0).sum(axis=1).max()
print(f"1. up to {flips} times in {side} pixels")
assert flips > 4

line = np.geomspace(0.1, 4, 1024)
for _ in range(2):  # once from far, once close by
    ends = sweep(model, data, optimizer=SGD(1.0), steps=steps, learning_rate=line).diverged
    low, high = line[ends].min(), line[~ends].max()
    line = np.geomspace(0.99 * min(low, high), 1.01 * max(low, high), 1024)
print(f"2. from {low:.5f} on some diverge, up to {high:.5f} some do not: {np.diff(ends).sum()} flips on the way")
assert not ends[0]
assert ends[-1]

double = build_mlp([8, 1], inputs=8, seed=6, dtype="float64")
double.set_weights(model.get_weights())
a, b, c, d = windows[3]
rates = 10 ** np.reshape(np.meshgrid(np.linspace(a, b, side)[::2], np.linspace(c, d, side)[::2]), (2, -1)).T
scale = np.where(is_first, rates[:, :1], rates[:, 1:])
again = sweep(double, data, optimizer=SGD(1.0), steps=steps, scale=scale).loss.reshape(side // 2, -1)
both = [box_dimension(edge(each > 1e6)) for each in (again, loss[::2, ::2])]  # float64 overflows much later
print(f"3. no: dimension {both[0]:.2f} in float64, {both[1]:.2f} in float32")
np.testing.assert_allclose(*both, rtol=0, atol=0.15)
plt.show()

# %%
# Next: real data, where the answer is known to ten digits, :ref:`sphx_glr_gallery_practice_plot_diabetes.py`.
