r"""
The path of batch gradient descent
==================================

*It walks one path, and calculus knows every step of it.*

:term:`Batch gradient descent` looks at all the examples before it moves. There is one :term:`update` an
:term:`epoch`, and no chance in it. For a :term:`linear neuron` and the :term:`mean squared error` the distance to the
minimum follows a law:

.. math:: \theta_k - \theta^* = (I - \eta H)^k \, (\theta_0 - \theta^*)

Here :math:`\theta_k = (w, b)` after k updates, :math:`\theta^*` is the minimum, :math:`\eta` the :term:`learning rate`
and :math:`H` the :term:`Hessian`, the second derivatives of the :term:`loss`. Look for two motions: one across the valley that
is over at once, and one along it that takes all the time. You need :doc:`/tutorial/batch`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import build_linear, make_line, train
from gdexplain.landscape import line_loss, loss_grid
from gdexplain.plotting import (
    COLORS,
    draw_fits,
    draw_loss_surface,
    draw_minimum,
    draw_path,
    label_lines,
    look_of,
    use_style,
)
from gdexplain.theory import contraction_rate, line_hessian

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x
start, minimum, rate = np.array([-1.0, 3.0]), np.array([2.0, 0.0]), 3 / 32

# %%
# Train one neuron in Keras. ``batch_size=None`` takes the whole data set for every update, as
# ``model.fit(x, y, batch_size=len(x))`` does. The record holds the parameters before the first update and after each.
# We count in float64 to compare many digits, and choose a rate that Keras, which keeps rates in float32, holds exactly.
model = build_linear(*start, dtype="float64")
run = train(model, data, optimizer=SGD(rate), batch_size=None, epochs=300)
print(run.summary())
assert run.updates_per_epoch == 1

# sphinx_gallery_alt = "A blue path on the loss surface. It crosses a narrow valley from side to side, each time "
# sphinx_gallery_alt = "less far, then runs in a straight line down the valley floor to the minimum."
fig, ax = plt.subplots()
draw_loss_surface(ax, loss_grid(line_loss(data), around=run))
draw_path(ax, run)
draw_minimum(ax, minimum)

# %%
# The path overshoots the valley floor, comes back, and settles on it after some updates. The rest is a long walk down
# the valley. Nothing is random: run it again and you get the same path.
#
# Every step was known beforehand
# -------------------------------
#
# The eigenvectors of :math:`H` put the law above into numbers, without iterating anything. The two
# paths differ by rounding only; the tolerance leaves 300 updates about 20 roundings each.
curvature, directions = np.linalg.eigh(line_hessian(data))


def after(k, rate):
    """Return the parameters after k updates; for a column of numbers k, a row for each."""
    return minimum + ((1 - rate * curvature) ** k * (directions.T @ (start - minimum))) @ directions.T


predicted = after(run.updates[:, np.newaxis], rate)
np.testing.assert_allclose(run.parameters, predicted, rtol=0, atol=1e-12)
print(f"largest difference in {len(run)} updates is below 1e-12")

# %%
# Two directions, two speeds
# --------------------------
#
# These eigenvectors are the directions across and along the valley. In each the error shrinks by its own
# fixed factor :math:`|1 - \eta \lambda|`, where :math:`\lambda` is the curvature there.
error = np.abs((run.parameters - minimum) @ directions)
factor = np.abs(1 - rate * curvature)
updates = np.arange(31)

# sphinx_gallery_alt = "Two straight lines on a log axis, each on top of a dashed prediction. The error across the "
# sphinx_gallery_alt = "valley falls steeply to nothing; the error along the valley hardly falls in thirty updates."
fig, ax = plt.subplots()
for k, (words, line) in enumerate({"along the valley": "-", "across the valley": ":"}.items()):
    ax.plot(updates, error[updates, k], line, color=look_of(run).color, lw=3, label=f"measured {words}")
    ax.plot(
        updates, error[0, k] * factor[k] ** updates, "--", color=COLORS["theory"], label=f"predicted, × {factor[k]:.4f}"
    )
ax.set(xlabel="update", ylabel="distance to the minimum", yscale="log")
label_lines(ax)

# %%
# On a log axis a fixed factor is a straight line. The steep direction is done when the flat one has barely begun: the
# flattest direction sets how long you train. Its factor is the :term:`contraction rate` of the run.
measured = error[200, 0] / error[199, 0]
np.testing.assert_allclose(measured, contraction_rate(line_hessian(data), rate), rtol=1e-12)
print(f"contraction rate: predicted {contraction_rate(line_hessian(data), rate):.6f}, measured {measured:.6f}")
print(f"updates for one more digit: {np.log(0.1) / np.log(measured):.0f}")

# %%
# The line turns first, then slides
# ---------------------------------

# sphinx_gallery_alt = "Four points on y = 2x and five lines. The first slopes the wrong way; twelve updates later the "
# sphinx_gallery_alt = "line runs through the middle of the points; the rest turn slowly until they meet all four."
fig, ax = plt.subplots()
draw_fits(ax, data, run, updates=[0, 12, 40, 100, 300])

# %%
# Crossing the valley brings the line to the points, in a few updates. Walking along the valley trades height for slope
# and hardly changes the loss: that takes all the others.
#
# What this does not show: a loss that is not a quadratic bowl has no single :math:`H`, and the law holds only near a
# minimum. And with a million examples every one of these steps would read all of them; the other variants do not.
#
# Gradient descent itself is from :cite:t:`cauchy1847`.

# %%
# Exercises
# ---------
#
# 1. After how many updates is the error along the valley a thousandth of what it was? Predict it from its factor.
# 2. Which rate finishes the direction across the valley in one update? What does it do to the other one?
#
# The solutions, in this order:
predicted_count = int(np.ceil(np.log(1e-3) / np.log(factor[0])))
count = int(np.argmax(error[:, 0] < 1e-3 * error[0, 0]))
print(f"1. predicted {predicted_count}, measured {count}")
assert count == predicted_count

one = 1 / curvature[1]
along, across = np.abs((after(1, one) - minimum) @ directions)
print(f"2. at rate {one:.4f}; the error along the valley keeps {along / error[0, 0]:.1%}")
assert across < 1e-14 < along  # float64
np.testing.assert_allclose(along / error[0, 0], 1 - curvature[0] / curvature[1], rtol=1e-12)
plt.show()

# %%
# Next: which rates work at all, :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
