r"""
Feature scaling
===============

*Scale the inputs, and one update finds the line.*

The slow valley of the last page is not in the problem. It is in how x is measured: from which zero, in which unit.
Subtract the mean of the inputs, divide by their standard deviation s, and fit the same line again:

.. math:: z_i = \frac{x_i - \bar x}{s}

.. math:: H = \frac2N \sum_i \begin{pmatrix} z_i^2 & z_i \\ z_i & 1 \end{pmatrix}
            = \begin{pmatrix} 2 & 0 \\ 0 & 2 \end{pmatrix}

By its definition z has mean 0 and mean square 1, so the :term:`Hessian` H of the :term:`mean squared error` is 2 times
the identity. The bowl is round. From every point the negative :term:`gradient` aims at the :term:`minimum`, and the
:term:`learning rate` :math:`\eta = 1/2` goes there at once. Look for how many :term:`updates <update>` that saves.
You need :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import Dataset, build_linear, descend, line_loss, loss_grid, make_line, train
from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.by_hand.rules import gradient_descent
from gdexplain.plotting import COLORS, draw_loss_surface, draw_minimum, draw_path, label_lines, use_style
from gdexplain.theory import contraction_rate, line_hessian, optimal_learning_rate

use_style()


def standardise(data):
    """Give every input the mean 0 and the standard deviation 1."""
    inputs = (data.inputs - data.inputs.mean(axis=0)) / data.inputs.std(axis=0)
    return Dataset(inputs, data.targets, name="standardised")


# %%
# The same neuron on the same four points, once with x and once with z, at the best rate for its bowl; with x at nine tenths
# of it, so that you can tell the updates apart.
raw = make_line()  # x = 1, 2, 3, 4 and y = 2x
scaled = standardise(raw)
np.testing.assert_allclose(line_hessian(scaled), 2 * np.eye(2), atol=1e-15)  # rounding only

runs = {}
for data, share, updates in ((raw, 0.9, 30), (scaled, 1, 2)):
    sgd = SGD(share * optimal_learning_rate(line_hessian(data)))
    neuron = build_linear(dtype="float64")
    runs[data] = train(neuron, data, optimizer=sgd, batch_size=None, epochs=updates)

# sphinx_gallery_alt = "Two loss surfaces. Above, with x: a long narrow valley; the path zigzags across it and creeps. "
# sphinx_gallery_alt = "Below, with z: a round bowl; the path is one straight step to the minimum."
fig, axes = plt.subplots(2, 1, figsize=(6.2, 8.4))
views = (((-1, 5), (-2, 2)), ((-4, 8), (-0.5, 7.5)))
for ax, (data, run), (a, b), name in zip(axes, runs.items(), views, "xz", strict=True):
    draw_loss_surface(ax, loss_grid(line_loss(data), a_range=a, b_range=b))
    draw_path(ax, run)
    draw_minimum(ax, LeastSquares(data).minimum)
    ax.set(xlabel=f"w, with the inputs {name}", aspect="equal")

# %%
# Above, the steepest direction limits the rate: the path jumps across the valley. When the jumps have died down, the
# flattest direction still waits. Below, no direction is steeper than
# another. One update takes the :term:`loss` from 30 to 0; what is left is rounding.
kappas = [np.linalg.cond(line_hessian(data)) for data in runs]
slow, quick = runs.values()
print(f"condition number: {kappas[0]:.2f} with x, {kappas[1]:.2f} with z")
print(f"loss with x: {slow.loss[0]:.2f}, after {len(slow) - 1} updates {slow.loss[-1]:.4f}")
print(f"loss with z: {quick.loss[0]:.2f}, after 1 update {quick.loss[1]:.0e}")
np.testing.assert_allclose(kappas, [55.78207, 1], rtol=1e-7)
assert quick.label == "SGD(0.5)"
assert quick.loss[1] < 1e-25  # the loss is a square, so float64 leaves 1e-30 or so

# %%
# In Keras
# --------
#
# A ``Normalization`` layer learns mean and deviation from the training data, with ``adapt``, and carries them along. So
# new data is scaled by the *old* numbers, as it must be. And the line in x comes back: :math:`w = w_z / s` and
# :math:`b = b_z - w \bar x`, where :math:`w_z` and :math:`b_z` are what was found with z.
layer = keras.layers.Normalization()
layer.adapt(raw.inputs)
np.testing.assert_allclose(layer(raw.inputs), scaled.inputs, atol=1e-6)  # float32

weight, bias = quick.parameters[1]
mean, deviation = raw.inputs.mean(), raw.inputs.std()
w, b = weight / deviation, bias - weight / deviation * mean
print(f"found with z: {weight:.4f} z + {bias:.4f}, which is {w:.4f} x + {abs(b):.4f}")
np.testing.assert_allclose([w, b], [2, 0], atol=1e-14)

# %%
# Two inputs
# ----------
#
# Several inputs seldom share a unit. Take flats: the area in square metres, near 80, and the number of rooms, near 3.
# Their price is made up, without noise.
rng = np.random.default_rng(0)
area = 80 + 25 * rng.standard_normal(50)
rooms = area / 25 + 0.6 * rng.standard_normal(50)
price = 3 * area + 20 * rooms + 50
flats = Dataset(np.column_stack([area, rooms]), price[:, np.newaxis], name="flats")
flats_scaled = standardise(flats)

# sphinx_gallery_alt = "Loss against updates, log axis. With square metres and rooms it stays level for 100 updates; at half the "
# sphinx_gallery_alt = "rate it drops at once and stays level there. Standardised, it falls in a straight line, by more than ten "
# sphinx_gallery_alt = "powers of ten."
fig, ax = plt.subplots()
gentle = 1 / np.linalg.eigvalsh(line_hessian(flats))[-1]
waiting = descend(LeastSquares(flats), gradient_descent(gentle), [0, 0, 0], steps=100)
looks = {"ms": 7, "markevery": 20}
ax.plot(waiting.loss, "v-", color=COLORS["rmsprop"], label="as they are, half the best rate", **looks)
kinds = ((flats, "as they are", "s", "nesterov"), (flats_scaled, "standardised", "o", "batch"))
for data, words, marker, color in kinds:
    hessian = line_hessian(data)
    best = optimal_learning_rate(hessian)
    run = descend(LeastSquares(data), gradient_descent(best), [0, 0, 0], steps=100)
    ax.plot(run.loss, f"{marker}-", color=COLORS[color], label=words, **looks)
    factor = contraction_rate(hessian, best)
    kappa = np.linalg.cond(hessian)
    print(f"{words}: condition number {kappa:.3g}, best contraction {factor:.6f}")
ax.set(xlabel="update", ylabel="loss", yscale="log")
label_lines(ax)

# %%
# As they are, each update takes less than a ten-thousandth off the distance: in the flattest direction, and at this rate
# in the steepest too, where it jumps from side to side. Half the rate ends the jumping in one update, and then waits for
# the flattest direction. Standardised, the rest of the road is easy, though not one step: large flats have more rooms,
# and this correlation :math:`r` stays. The :term:`eigenvalues <eigenvalue>` are now 2 and :math:`2 (1 \pm r)`, so the
# :term:`condition number` is :math:`(1 + r)/(1 - r)`, whatever the units were.
r = np.corrcoef(area, rooms)[0, 1]
np.testing.assert_allclose(kappa, (1 + r) / (1 - r), rtol=1e-12)
measured = (run.loss[99] / run.loss[49]) ** (1 / 100)  # the loss is a square
np.testing.assert_allclose(measured, factor, rtol=1e-4)
assert 2 / np.linalg.cond(line_hessian(flats)) < 1e-4  # what an update takes off
assert waiting.loss[1] < waiting.loss[0] / 100
assert waiting.loss[-1] > 0.9 * waiting.loss[1]

# %%
# What this does not show: scaling cannot remove a correlation, and in a deep network only the first layer sees the
# scaled inputs. For why it helps there too, see :cite:t:`lecun1998`.
#
# Exercises
# ---------
#
# 1. Which half does the work on the four points? Try only centring (:math:`x - \bar x`), then only dividing
#    (:math:`x / s`), and compare condition numbers.
# 2. Measure x in thousandths: 1000, 2000, 3000, 4000. What becomes of the condition number, and what of z?
#
# The solutions, in this order:
centred = Dataset(raw.inputs - mean, raw.targets, name="centred")
divided = Dataset(raw.inputs / deviation, raw.targets, name="divided")
kappa = [np.linalg.cond(line_hessian(data)) for data in (centred, divided)]
print(f"1. centred {kappa[0]:.2f}, divided {kappa[1]:.2f}: here centring does nearly all")
np.testing.assert_allclose(kappa[0], 1.25)  # the variance of 1, 2, 3, 4
assert kappa[1] > 40

milli = Dataset(1000 * raw.inputs, raw.targets, name="thousandths")
print(f"2. {np.linalg.cond(line_hessian(milli)):.2g}, and z is the same")
np.testing.assert_allclose(standardise(milli).inputs, scaled.inputs, rtol=1e-14)
assert np.linalg.cond(line_hessian(milli)) > 1e7
plt.show()

# %%
# Next: one example at a time, :ref:`sphx_glr_gallery_variants_plot_stochastic.py`.
