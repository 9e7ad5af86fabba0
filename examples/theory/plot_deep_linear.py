r"""
Deep linear networks
====================

*They do nothing for a long while, and then they learn a step at a time.*

Two :term:`layers <layer>` without an :term:`activation` can draw no more than one layer can: a straight map,
:math:`y = x W_1 W_2`. But they learn it in another way. In a plateau, a sudden drop, a plateau again, as deep networks
do; and here every moment of it can be written down :cite:p:`saxe2014`.

Take uncorrelated inputs of mean square 1, and split the map to be learned into its modes: directions
:math:`v_i` in, directions :math:`u_i` out, and strengths :math:`s_i`. If both layers start with the same small share of
every mode, each mode's learned strength :math:`a_i` follows its own :term:`sigmoid` in time:

.. math::

   \begin{aligned}
   \frac{da}{dt} &= 2 a (s - a) \\[0.6em]
   a(t) &= \frac{s}{1 + (s / a_0 - 1) \, e^{-2 s t}} \\[0.6em]
   t_{1/2} &= \frac{1}{2 s} \ln \left( \frac{s}{a_0} - 1 \right)
   \end{aligned}

Here :math:`a_0` is the start. The growth is proportional to what is there already, so nearly nothing grows slowly; and
to s, so the strong mode comes first. You need :doc:`/explanation/backprop_by_hand`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import Dataset, train, use_style
from gdexplain.plotting import COLORS, label_lines

use_style()
strengths, share = np.array([3.0, 2.0, 1.0]), 0.03  # of each layer; the product starts at share squared
rng = np.random.default_rng(0)
v, u, r = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(3))  # orthogonal matrices
data = Dataset(np.sqrt(3) * np.eye(3), np.sqrt(3) * v * strengths @ u.T, name="three modes")
np.testing.assert_allclose(data.inputs.T @ data.inputs / len(data), np.eye(3), atol=1e-15)

# %%
# Keras' ``mse`` is the mean over three outputs, 2/3 of the :term:`loss` that the formula is for,
# half the sum of the squared errors. So after k updates at the
# :term:`learning rate` :math:`\eta` the time is :math:`t = 2 \eta k / 3`. The formula is for small steps: one here is
# a small part of its units.
rate, updates = 0.0015, 6000
times = 2 * rate * np.arange(updates + 1) / 3


def sigmoid(t, s):
    """Return the learned strength of a mode of strength s at time t: the formula above."""
    return s / (1 + (s / share**2 - 1) * np.exp(-2 * s * t))


def half_time(s, start=share**2):
    """Return when half of a mode is learned."""
    return np.log(s / start - 1) / (2 * s)


def learn(*kernels):
    """Train linear layers from these kernels; return the record and the strength of each mode in time."""
    dense = [keras.layers.Dense(3, use_bias=False, dtype="float64", name=f"w{i}") for i in range(len(kernels))]
    model = keras.Sequential([keras.Input((3,), dtype="float64"), *dense])
    model.set_weights(kernels)
    sgd = keras.optimizers.SGD(rate)
    run = train(model, data, optimizer=sgd, batch_size=None, epochs=updates, jit=True)
    product = run.weight("w0/kernel")
    for i in range(1, len(kernels)):
        product = product @ run.weight(f"w{i}/kernel")
    return run, np.einsum("di,kde,ei->ki", v, product, u)


deep, modes = learn(share * v @ r.T, share * r @ u.T)
predicted = sigmoid(times[:, np.newaxis], strengths)
colors, markers = (COLORS["batch"], COLORS["minibatch"], COLORS["stochastic"]), "os^"

# sphinx_gallery_alt = "Three sigmoids against time. The strongest mode rises first, to 3, then the second, to 2, then the "
# sphinx_gallery_alt = "weakest, to 1. Dots measured in Keras lie on the dashed predictions."
fig, ax = plt.subplots()
some = slice(None, None, 180)
for i, s in enumerate(strengths):
    ax.plot(times[some], modes[some, i], markers[i], color=colors[i], ms=6, label=f"strength {s:g}")
    ax.plot(times, predicted[:, i], "--", color=COLORS["theory"], lw=1.4)
ax.set(xlabel="time t", ylabel="strength learned")
label_lines(ax)

# %%
# Dots are Keras, dashes are the formula; nothing is fitted. Each mode waits, rises, and stops at its strength, as if the
# others were not there. The gap is the length of a step: in the formula time flows, in Keras it jumps.
gap = np.abs(modes - predicted).max()
print(f"largest gap to the sigmoids: {gap:.4f}\n\nstrength   half learned at   predicted")
assert gap < 0.01
for i, s in enumerate(strengths):
    half, exact = np.interp(s / 2, modes[:, i], times), half_time(s)
    print(f"{s:8g}   {half:15.3f}   {exact:9.3f}")
    np.testing.assert_allclose(half, exact, rtol=0, atol=2 * times[1])  # two steps
    np.testing.assert_allclose(sigmoid(exact, s), s / 2, rtol=1e-12)
slope = np.gradient(predicted, times, axis=0)[1:-1]  # and the formula solves its own equation
np.testing.assert_allclose(slope, (2 * predicted * (strengths - predicted))[1:-1], rtol=0, atol=1e-4)

# %%
# Stairs in the loss
# ------------------
#
# The loss is the sum of what the modes still lack. One layer alone, from the same start of each mode, learns the same
# map with no stairs: there :math:`da / dt = s - a`, all modes at one pace from the start.
shallow, _ = learn(share**2 * v @ u.T)
unaligned, found = learn(*0.02 * rng.standard_normal((2, 3, 3)))

# sphinx_gallery_alt = "Loss against time, log axis. Two layers stay on a plateau, fall, and wait on another stair. One layer falls "
# sphinx_gallery_alt = "at once, in a straight line. Two layers from random weights make the stairs too, a little later."
fig, ax = plt.subplots()
for run, color, line, words in (
    (shallow, COLORS["stochastic"], "-", "one layer"),
    (deep, COLORS["batch"], "-", "two layers"),
    (unaligned, COLORS["nesterov"], "-", "two layers, random start"),
):
    ax.plot(times[:-1], run.loss, line, color=color, label=words)
ax.set(xlabel="time t", ylabel="loss", yscale="log", ylim=(1e-3, 10))
label_lines(ax)

# %%
# So a plateau is no proof that a network has finished, nor that it is stuck. A start with random small weights has no
# formula as short, and the same stairs in the same order.
stairs = [np.interp(s / 2, found[:, i], times) for i, s in enumerate(strengths)]
print("random start: half learned at " + ", ".join(f"{time:.2f}" for time in stairs))
assert stairs[0] < stairs[1] < stairs[2]
lacking = ((modes - strengths) ** 2).sum(axis=1) / 3
np.testing.assert_allclose(deep.loss, lacking[:-1], rtol=0, atol=1e-6)  # Keras keeps an mse in float32

# %%
# What this does not show: correlated inputs mix the modes, a large start skips the plateau, and with an
# activation there is no such formula in general. The lesson that stays: depth makes learning slow near 0, and strong
# directions come first.
#
# Exercises
# ---------
#
# 1. A start a thousand times smaller: how much longer does the strongest mode take?
# 2. A mode of strength 0.1 is noise. Until when may you train before half of it is learned, with this start?
# 3. At what time has one layer learned half of a mode? Does it depend on the strength?
#
# The solutions, in this order:
longer = half_time(3, share**2 / 1000) - half_time(3)
print(f"1. {longer:.3f} longer: the plateau grows with the logarithm, ln(1000) / 6 = {np.log(1000) / 6:.3f}")
np.testing.assert_allclose(longer, np.log(1000) / 6, rtol=1e-3)

noise = half_time(0.1)
print(f"2. until {noise:.1f}; by then the three real modes are long learned")
assert noise > 6 * half_time(1)

kernel = shallow.weight("w0/kernel")
shallow_modes = np.einsum("di,kde,ei->ki", v, kernel, u)
halves = [np.interp(s / 2, shallow_modes[:, i], times) for i, s in enumerate(strengths)]
print("3. at " + ", ".join(f"{half:.3f}" for half in halves) + f": ln 2 = {np.log(2):.3f} for all of them")
np.testing.assert_allclose(halves, np.log(2), rtol=0.01)
plt.show()

# %%
# Next: what limits the :term:`learning rate` of a network that is not linear,
# :ref:`sphx_glr_gallery_theory_plot_edge_of_stability.py`.
