r"""
The surface of a network
========================

*It has copies of every minimum and saddles between them. Very small networks get stuck; slightly larger ones hardly do.*

One neuron has a bowl for a :term:`loss surface`, with one :term:`minimum`. What changes with a second :term:`layer`? Take the smallest
network that has one, with two :term:`weights <weight>`:

.. math:: \hat y = v \tanh(w x)

Change the sign of both weights, and nothing happens to :math:`\hat y`, since :math:`\tanh(-z) = -\tanh z`. So every point of its
surface has a twin, and where there is one minimum there are two. Look at what lies between them; and then, for larger
networks, at where runs end. You need :ref:`sphx_glr_gallery_theory_plot_initialisation.py`.
"""

from math import factorial

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers
from keras.optimizers import SGD, Adam

from gdexplain import KerasObjective, build_mlp, loss_between, loss_grid, pca_plane, sweep, train
from gdexplain.plotting import COLORS, INK, draw_loss_surface, label_lines, use_style

use_style()
x = np.linspace(-2, 2, 16)[:, np.newaxis]
answers = np.tanh(1.5 * x)  # what the network gives for w = 1.5, v = 1

# %%
# Two minima and a saddle
# -----------------------
two = keras.Sequential([keras.Input((1,)), layers.Dense(1, "tanh", use_bias=False), layers.Dense(1, use_bias=False)])
objective = KerasObjective(two, (x, answers))


def height(w, v):
    """Return the loss at each pair of weights."""
    return np.mean((v[..., np.newaxis] * np.tanh(w[..., np.newaxis] * x[:, 0]) - answers[:, 0]) ** 2, axis=-1)


def run_from(w, v):
    """Train from a start, and return the path."""
    two.set_weights([np.array([[w]]), np.array([[v]])])
    return train(two, (x, answers), optimizer=SGD(0.2), batch_size=None, epochs=3000).parameters.astype(float)


paths = [run_from(w, v) for w, v in ((0.9, -0.6), (0.6, -0.9), (2.5, 2.2))]
for path in paths:
    print(f"from {path[0].round(1)} to {path[-1].round(2)}")
np.testing.assert_allclose([path[-1] for path in paths], [[1.5, 1], [-1.5, -1], [1.5, 1]], atol=0.05)

# sphinx_gallery_alt = "Contours of the loss over two weights. Two basins, one where both are positive and its twin on the opposite "
# sphinx_gallery_alt = "side of the origin, with a mountain pass between them at (0, 0). Two paths start close to each other, below "
# sphinx_gallery_alt = "the pass, and part: one to each basin. A third ends where the first does."
fig, ax = plt.subplots()
W, V = np.meshgrid(np.linspace(-3, 3, 200), np.linspace(-2.5, 2.5, 200))
lines = ax.contour(W, V, height(W, V), [0.01, 0.1, 0.3, 0.6, 0.8, 1, 2, 4, 8], colors=INK, linewidths=0.8)
ax.clabel(lines, fmt="%g", manual=[(1.9, 1.55), (-1.9, 1.3), (-1.9, 0.2), (1.9, -1.3), (1.9, -0.2), (-1.9, -1.6)])
for path, color, mark in zip(paths, ("batch", "stochastic", "minibatch"), "os^", strict=True):
    ax.plot(*path.T, mark + "-", color=COLORS[color], ms=3, lw=1)
ax.plot([1.5, -1.5], [1, -1], "x", color=INK, ms=13, mew=3)
ax.plot(0, 0, "+", color=INK, ms=15, mew=3)
ax.set(xlabel="weight w of the first layer", ylabel="weight v of the second layer")

# %%
# Two crosses, the twins. The plus between them is a :term:`saddle`: the :term:`gradient` is zero there, and the surface curves up
# in one direction and down in the other. Two starts
# that lie close to each other end on its two sides.
at_plus, slope = objective.value_and_grad([0.0, 0.0])
around = [height(np.array(0.3 * w), np.array(0.3 * v)) - at_plus for w, v in ((1, 1), (-1, -1), (1, -1), (-1, 1))]
print(f"at the saddle: loss {at_plus:.3f}, gradient {slope}; four neighbours {np.round(around, 2)}")
assert not slope.any()
assert max(around[:2]) < 0 < min(around[2:])
np.testing.assert_allclose(height(W, V), height(-W, -V), rtol=1e-12)  # the twins
np.testing.assert_allclose(objective.value_and_grad([0.7, -0.4])[0], height(np.array(0.7), np.array(-0.4)), rtol=1e-5)

# %%
# Copies, and what lies between them
# ----------------------------------
#
# With H hidden units you may flip the signs of each, and put them in any order: :math:`2^H \, H!` copies of every point.
waves = np.sin(2 * x)
print(f"8 units: {2**8 * factorial(8):,} copies of every minimum")
model = build_mlp([8, 1], inputs=1, seed=0)
run = train(model, (x, waves), optimizer=Adam(0.03), batch_size=None, epochs=2000, record_every=10)
found = run.parameters[-1].astype(float)
order = np.roll(np.arange(8), 1)
copy = np.concatenate([found[:8][order], found[8:16][order], found[16:24][order], found[24:]])  # units in another order


def loss_of(rows):
    """Return the loss of each row of 25 weights."""
    first, bias, second, last = np.split(rows, [8, 16, 24], axis=1)
    hidden = np.tanh(x[:, 0, np.newaxis] * first[:, np.newaxis] + bias[:, np.newaxis])
    return np.mean(((hidden @ second[:, :, np.newaxis])[..., 0] + last - waves[:, 0]) ** 2, axis=1)


np.testing.assert_allclose(
    loss_of(found[np.newaxis])[0], model.evaluate(x, waves, verbose=0), rtol=0.01
)  # Keras': float32
along, barrier = loss_between(loss_of, found, copy)
print(f"loss of the minimum {barrier[0]:.4f}, of its copy {barrier[-1]:.4f}, half-way {barrier[50]:.2f}")
np.testing.assert_allclose(barrier[-1], barrier[0], atol=1e-6)
assert barrier.max() > 100 * barrier[0]

# sphinx_gallery_alt = "Loss on the straight line from a minimum to its copy, with the units in another order: close to zero at "
# sphinx_gallery_alt = "both ends, and high in between."
fig, ax = plt.subplots()
ax.plot(along, barrier, color=COLORS["batch"])
ax.set(xlabel="from a minimum (0) to its copy (1)", ylabel="loss")

# %%
# Both ends are equally good, for they are the same network. The way between them is not: to average the weights of two
# good networks gives a bad one.
#
# Do runs end in a local minimum?
# -------------------------------
#
# Fit one wave of a sine from 200 random starts, with two, three and eight hidden units, and look at the last :term:`loss`.
ends = {}
for units in (2, 3, 8):
    starts = np.random.default_rng(0).normal(size=(200, 3 * units + 1))
    ends[units] = sweep(
        build_mlp([units, 1], inputs=1, seed=0), (x, waves), optimizer=Adam(0.03), steps=3000, start=starts
    )
stuck = {units: np.mean(runs.loss > 0.1) for units, runs in ends.items()}
print("units   of 200 runs end above 0.1   best loss")
for units, share in stuck.items():
    print(f"{units:5}   {share:25.0%}   {ends[units].loss.min():9.4f}")
assert 0.08 < stuck[2] < 0.35
assert stuck[3] < 0.02
assert stuck[8] < 0.02

# sphinx_gallery_alt = "The final losses of 200 runs, sorted, log axis, for two, three and eight hidden units. With two, "
# sphinx_gallery_alt = "some of the runs stand on a high shelf. With three and eight none does, and most losses are below a thousandth."
fig, ax = plt.subplots()
for (units, runs), color, dashes in zip(
    ends.items(), ("stochastic", "minibatch", "batch"), ("-", "--", ":"), strict=True
):
    ax.plot(np.linspace(0, 100, 200), np.sort(runs.loss), dashes, color=COLORS[color], label=f"{units} hidden units")
ax.set(xlabel="per cent of the runs", ylabel="final loss", yscale="log", ylim=(1e-7, 1))
label_lines(ax)

# %%
# With two units some runs end on a shelf. Is that an end, or a rest? Go on from the shelf, ten times as long:
shelf = ends[2].parameters[ends[2].loss > 0.1]
later = sweep(build_mlp([2, 1], inputs=1, seed=0), (x, waves), optimizer=Adam(0.03), steps=30_000, start=shelf)
print(f"{np.mean(later.loss > 0.1):.0%} of these {len(shelf)} runs are still there after 30,000 more updates")
assert np.mean(later.loss > 0.1) > 0.5

# %%
# So they do end in a :term:`local minimum`, or so flat a place that it makes no difference. One unit more, and none does: with
# a third unit to help, there are more directions that may lead down. That is one reason why few worry about local minima
# in wide networks. What slows those are saddles and flat stretches.
#
# A large surface, seen in a plane
# --------------------------------
#
# The eight units have 25 weights. The run from above moved through all of them; the plane in which it moved most shows it.
plane = pca_plane(run)
shown = (run.parameters - plane.origin) @ plane.directions.T
moved = run.parameters - run.parameters.mean(axis=0)
share = np.sum((moved @ plane.directions.T) ** 2) / np.sum(moved**2)
print(f"of the run's variance, the plane holds {share:.0%}; a random plane would hold about {2 / 25:.0%}")
assert share > 0.6

# sphinx_gallery_alt = "Contours of the loss in the plane in which the run moved most, with the path of the run: a curved way "
# sphinx_gallery_alt = "through a bent valley, which ends in a basin."
fig, ax = plt.subplots()
draw_loss_surface(ax, loss_grid(loss_of, plane, around=run))
ax.plot(*shown.T, "o-", color=COLORS["adam"], ms=4, lw=1.2)
ax.plot(0, 0, "x", color=INK, ms=13, mew=3)

# %%
# The valley is bent, as no bowl is. The picture is honest about the path and says little of the rest: 23 directions are not
# drawn, and a path of many noisy updates looks smoother here than it is.
#
# What this does not show: whether the minimum that a run finds is one that does well on fresh data. It also says nothing of
# networks with millions of weights, but that their surfaces have at least these copies.

# %%
# Exercises
# ---------
#
# 1. Start the network of two weights at (0, 0). Where does it go?
# 2. Start on the straight line between the first two starts of the figure. Is there one place where the ends change over?
# 3. The best loss with two units is far above that with three. Does it go to zero with patience?
#
# The solutions, in this order:
print(f"1. nowhere: after 3,000 updates it is at {run_from(0, 0)[-1]}")
assert not run_from(0, 0).any()

between = np.linspace([0.9, -0.6], [0.6, -0.9], 101)
sides = np.sign(sweep(two, (x, answers), optimizer=SGD(0.2), steps=3000, start=between).parameters[:, 0])
print(f"2. one: {np.sum(sides > 0)} of 101 starts go to one minimum, and all beyond them to its twin")
assert set(sides) == {1, -1}
assert np.all(np.diff(sides) <= 0)

patient = sweep(
    build_mlp([2, 1], inputs=1, seed=0), (x, waves), optimizer=Adam(0.01), steps=30_000, start=ends[2].parameters
)
print(f"3. after 30,000 more updates the best is at {patient.loss.min():.4f}: patience is not what two units lack")
assert patient.loss.min() > 10 * ends[3].loss.min()
plt.show()

# %%
# Next: a deep network simple enough for its whole training to be written down,
# :ref:`sphx_glr_gallery_theory_plot_deep_linear.py`.
