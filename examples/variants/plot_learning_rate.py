r"""
The learning rate
=================

*In a narrow valley the best one lies just below the one that explodes.*

:term:`Gradient descent` on a bowl multiplies the error along each eigenvector of the :term:`Hessian` by
:math:`1 - \eta \lambda` at every :term:`update`, where :math:`\eta` is the :term:`learning rate` and :math:`\lambda`
the curvature there. The worst direction sets the :term:`contraction rate`, and from it follow two special rates:

.. math:: \rho(\eta) = \max_i |1 - \eta \lambda_i|, \qquad \eta_{\max} = \frac{2}{\lambda_{\max}}, \qquad
          \eta^* = \frac{2}{\lambda_{\min} + \lambda_{\max}}

.. index:: ! exploding loss

Above the :term:`stability limit` :math:`\eta_{\max}` the steepest direction overshoots by more than it corrects. At
:math:`\eta^*` the steepest and the flattest direction shrink equally fast. Their ratio is

.. math:: \frac{\eta^*}{\eta_{\max}} = \frac{\kappa}{\kappa + 1}, \qquad \kappa = \frac{\lambda_{\max}}{\lambda_{\min}}.

The narrower the valley, the larger its :term:`condition number` :math:`\kappa`, and the closer together the two. You need
:ref:`sphx_glr_gallery_variants_plot_batch.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import Dataset, LeastSquares, build_linear, descend, make_line, sweep, train
from gdexplain.by_hand.rules import gradient_descent
from gdexplain.plotting import COLORS, draw_loss, label_lines, use_style
from gdexplain.theory import contraction_rate, line_hessian, max_stable_learning_rate, optimal_learning_rate

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x
hessian, minimum = line_hessian(data), [2.0, 0.0]


def descend_at(rate, updates):
    """Train the neuron on the full batch, in float64, and return the record."""
    sgd = SGD(rate)
    return train(build_linear(dtype="float64"), data, optimizer=sgd, batch_size=None, epochs=updates)


def side_by_side(rates, updates, start=None):
    """Train one neuron for each rate, all at once, and return where they end."""
    neuron = build_linear(dtype="float64")
    return sweep(neuron, data, optimizer="sgd", learning_rate=rates, steps=updates, start=start, jit=False)


# %%
# Four rates, the last a little too large. The third is the best one, :math:`\eta^*`.
best = optimal_learning_rate(hessian)
np.testing.assert_allclose(best, 2 / 17)  # 17 is the Hessian's trace, and so the sum of its two eigenvalues

# sphinx_gallery_alt = "Loss against updates, log axis, for four learning rates. Three fall: the smallest slowest, the "
# sphinx_gallery_alt = "third lowest in the end. The fourth, hardly larger than the third, climbs in a straight line."
fig, ax = plt.subplots()
draw_loss(ax, *(descend_at(rate, updates=200) for rate in (0.01, 0.05, best, 0.121)))
ax.lines[2].set_label(f"{ax.lines[2].get_label()}, the best")
label_lines(ax)

# %%
# In the end, larger is faster, up to a point. At once it is not: at :math:`\eta^*` the steepest direction overshoots by
# almost as much as it corrects, so the large error of the start fades slowly. *Best* means the smallest factor per update in
# the worst direction. A slightly larger rate climbs; and on this axis it climbs along a straight line, so no patience
# helps.
#
# The limit, by trial
# -------------------
#
# Find the limit without theory. Train at 41 rates side by side, and ask of each whether the :term:`loss` went up or down
# after update 500, when the start is forgotten. The limit lies between two neighbours; take 41 rates between them, and ask
# again. A rate that is off by a millionth of itself moves the loss by a part in a thousand until the end: little, but far
# more than float64 rounds.


def grows(rates):
    """Tell for each rate whether the loss goes up from update 500 to update 1,000."""
    before = side_by_side(rates, 500)
    return side_by_side(rates, 500, start=before.parameters).loss > before.loss


low, high = 0.1, 0.13
while high - low > 3e-7:
    tried = np.linspace(low, high, 41)
    first = int(np.argmax(grows(tried)))
    low, high = tried[first - 1], tried[first]
limit = (low + high) / 2
np.testing.assert_allclose(limit, max_stable_learning_rate(hessian), rtol=0, atol=3e-7)
print(f"stability limit: measured {limit:.6f}, predicted {max_stable_learning_rate(hessian):.6f}")

pair = [0.1197, 0.1198]
for rate, up in zip(pair, grows(pair), strict=True):
    print(f"rate {rate}: the loss {'grows' if up else 'falls'}")
    assert up == (rate > limit)

# %%
# The whole curve
# ---------------
#
# The factor of the distance to the minimum per update, late in the run, at ten rates.
rates = [0.01, 0.03, 0.05, 0.07, 0.09, 0.105, best, limit, 0.121, 0.1225]
predicted = [contraction_rate(hessian, rate) for rate in rates]
middle = side_by_side(rates, 150)
end = side_by_side(rates, 150, start=middle.parameters)
distance = [np.linalg.norm(runs.parameters - minimum, axis=1) for runs in (middle, end)]
measured = (distance[1] / distance[0]) ** (1 / 150)
grid = np.sort([*np.linspace(0.005, 0.1225, 100), best])

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Contraction rate against learning rate. Measured points lie on a dashed curve that sinks slowly from "
# sphinx_gallery_alt = "one to its lowest point and then shoots up, past one almost at once."
fig, ax = plt.subplots()
ax.plot(grid, [contraction_rate(hessian, rate) for rate in grid], "--", color=COLORS["theory"], label="predicted")
ax.plot(rates, measured, "o", color=COLORS["batch"], label="measured")
ax.axhline(1, color=COLORS["theory"], lw=1)
ax.set(xlabel="learning rate", ylabel="contraction rate")
label_lines(ax)

# %%
# Below the line at 1 the run converges. On the long slope the flattest direction is the slow one, and a larger rate
# helps it. At the corner the steepest direction takes over, and from there to the limit is a step of two percent. So a
# rate slightly too small costs little, and one slightly too large costs everything: tune from below. For a long time a
# rate a little below the best is even ahead, as the last line shows.
np.testing.assert_allclose(measured, predicted, rtol=1e-6)  # at some rates a little of the faster direction is left
print(f"best rate {best:.6f}: contraction predicted {min(predicted):.6f}, measured {min(measured):.6f}")
kappa = np.linalg.cond(hessian)
print(f"it is {best / limit:.1%} of the limit, predicted {kappa / (kappa + 1):.1%}; condition number {kappa:.2f}")
np.testing.assert_allclose(best / limit, kappa / (kappa + 1), rtol=3e-6)  # the limit is measured
assert measured.argmin() == rates.index(best)

# The same descent by hand, where the rate keeps all its digits.
by_hand = descend(LeastSquares(data), gradient_descent(best), [0, 0], steps=300)
distance = np.linalg.norm(by_hand.parameters - minimum, axis=1)
exact = (distance[300] / distance[150]) ** (1 / 150)
print(f"by hand, to 12 digits: {exact:.12f}, predicted {min(predicted):.12f}")
np.testing.assert_allclose(exact, min(predicted), rtol=1e-12)
below = descend(LeastSquares(data), gradient_descent(0.98 * best), [0, 0], steps=300)
print(f"loss after 300 updates: {by_hand.loss[-1]:.1e} at the best rate, {below.loss[-1]:.1e} two percent below it")
assert below.loss[-1] < by_hand.loss[-1] / 10

# %%
# Point at a rate and watch its run. The map adds :term:`momentum`, which is a story for later: start on its lowest row,
# where there is none.
#
# .. explorable:: map
#
#    The colour says how many updates bring the loss to a millionth of its start; the dashed line is the limit that
#    theory draws.

# %%
# What this does not show: in a round bowl, :math:`\kappa = 1`, the best rate is half of the limit
# (:ref:`sphx_glr_gallery_variants_plot_feature_scaling.py`). Other losses have another :math:`H` at every point, and single
# examples have a lower limit (:ref:`sphx_glr_gallery_variants_plot_stochastic.py`). A neural network trained on the full
# batch at a constant rate often moves by itself to where its steepest curvature is about :math:`2 / \eta`
# :cite:p:`cohen2021`. For the old advice on choosing rates see :cite:t:`lecun1998`.


# %%
# A bet
# -----
#
# Multiply the :term:`loss` by ten: minimise ten times the :term:`mean squared error`. The best rate was :math:`\eta^*`. What now? Choose before you open one.
#
# .. dropdown:: The same rate is best: the minimum has not moved
#
#    No. The rate does not know where the minimum is. It multiplies slopes, and all slopes are ten times as steep: at this rate
#    the run explodes.
#
# .. dropdown:: A tenth of the rate, and the run is as fast as before
#
#    Yes. The curvatures are ten times as large, and :math:`\eta \lambda` decides. The path is the same, point by point.
#
# .. dropdown:: A tenth of the rate, and the run is ten times slower
#
#    No. It would be, with the old slopes. But each step is the rate times the slope: a tenth of one times ten of the other.
def tenfold(targets, predictions):
    """Return ten times the squared errors."""
    return 10 * (predictions - targets) ** 2


sgd = SGD(best / 10)
scaled = train(build_linear(dtype="float64"), data, optimizer=sgd, loss=tenfold, batch_size=None, epochs=200)
gap = np.abs(scaled.parameters - descend_at(best, updates=200).parameters).max()
print(f"200 updates of ten times the loss at a tenth of the rate: the paths differ by {gap:.0e}")
assert gap < 1e-4  # Keras keeps each rate in float32
np.testing.assert_allclose(optimal_learning_rate(10 * hessian), best / 10)
np.testing.assert_allclose(contraction_rate(10 * hessian, best / 10), min(predicted))

# %%
# Exercises
# ---------
#
# 1. By which factor does the loss grow at each update at rate 0.121? Predict it from the steepest curvature.
# 2. Multiply all targets by ten. What becomes of the limit? And if you multiply the inputs by two?
#
# The solutions, in this order:
steepest = np.linalg.eigvalsh(hessian)[-1]
loss = descend_at(0.121, updates=1000).loss
growth, expected = loss[-1] / loss[-2], (1 - 0.121 * steepest) ** 2  # the loss is quadratic in the error
print(f"1. predicted {expected:.5f}, measured {growth:.5f}")
np.testing.assert_allclose(growth, expected, rtol=1e-6)  # the rate is a float32 in Keras

taller = Dataset(data.inputs, 10 * data.targets, name="taller")
wider = Dataset(2 * data.inputs, data.targets, name="wider")
limits = [max_stable_learning_rate(line_hessian(changed)) for changed in (data, taller, wider)]
print(f"2. the targets do not matter: {limits[1]:.6f}; with wider inputs the limit is {limits[2]:.6f}")
print(
    f"   that is {limits[0] / limits[2]:.2f} times less, and not 4: x enters squared, but nothing has changed for the bias"
)
assert limits[0] == limits[1]
assert 3 < limits[0] / limits[2] < 4
plt.show()

# %%
# Next: a change of the data that makes every rate easy, :ref:`sphx_glr_gallery_variants_plot_feature_scaling.py`.
# On the road of the course: :ref:`sphx_glr_gallery_variants_plot_three_variants.py`.
