r"""
Diabetes: a line through real data
==================================

*The answer was known; gradient descent needs thousands of updates to say it.*

442 patients, ten measurements each, and how far their diabetes had gone a year later. A :term:`linear neuron` predicts
that from the ten, and its :term:`mean squared error` has a minimum that one linear solve finds: where the
:term:`gradient` is 0, the *normal equations* hold.

.. math::

   \begin{gathered}
   A^\top A \, \theta^* = A^\top y \\[0.5em]
   \lVert \theta_k - \theta^* \rVert \le \rho^k \, \lVert \theta_0 - \theta^* \rVert, \quad
   \rho = \frac{\kappa - 1}{\kappa + 1}
   \end{gathered}

The bound is for the best :term:`learning rate`. Row i of :math:`A` is patient i's :math:`(x_i, 1)`, :math:`\theta = (w, b)`, and :math:`\kappa` is the :term:`condition
number` of the :term:`Hessian`. So real data can referee :term:`gradient descent`: it must land on the same eleven
numbers. Look for what it finds at once, and for what takes it so long. You need
:ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD
from sklearn.datasets import load_diabetes

from gdexplain import (
    Dataset,
    build_mlp,
    line_hessian,
    optimal_learning_rate,
    optimal_momentum,
    train,
    use_style,
)
from gdexplain.plotting import COLORS, label_lines, look_of

use_style()
features, progression = load_diabetes(return_X_y=True)
centred = features - features.mean(axis=0)
data = Dataset(centred / centred.std(axis=0), progression)  # every column has mean 0 and variance 1
names = ["age", "sex", "bmi", "blood pressure", "s1", "s2", "s3", "s4", "s5", "s6"]
design = np.column_stack([data.inputs, np.ones(len(data))])
answer = np.linalg.solve(design.T @ design, design.T @ data.targets)[:, 0]  # the normal equations

# %%
# The same in Keras: one layer with one unit, in float64, from 0, the whole data set at every :term:`update`. The rates
# come from the Hessian: the best one without :term:`momentum`, and the best pair with it.
hessian = line_hessian(data)
eigenvalues = np.linalg.eigvalsh(hessian)
best = optimal_momentum(hessian)


def fit_line(optimizer, epochs):
    """Train one neuron from 0 on the whole batch, in float64."""
    model = build_mlp([1], inputs=len(names), seed=0, dtype="float64")
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return train(model, data, optimizer=optimizer, batch_size=None, epochs=epochs, jit=True)


plain = fit_line(SGD(optimal_learning_rate(hessian)), 7000)
heavy = fit_line(SGD(best.learning_rate, momentum=best.beta), 400)
print("        weight   normal equations   gradient descent")
for name, exact, found in zip([*names, "intercept"], answer, plain.parameters[-1], strict=True):
    print(f"{name:>14}{exact:19.6f}{found:19.6f}")
np.testing.assert_allclose(plain.parameters[-1], answer, rtol=0, atol=1e-8)
print("\nall eleven agree to 1e-8")

# %%
# How long it takes
# -----------------
#
# The bound is a straight line on a log axis, and :math:`\kappa` alone sets its slope. Momentum replaces :math:`\kappa`
# by its square root.
kappa = eigenvalues[-1] / eigenvalues[0]
rho = (kappa - 1) / (kappa + 1)
distance = {run: np.linalg.norm(run.parameters - answer, axis=1) for run in (plain, heavy)}

# sphinx_gallery_alt = "Distance to the normal equations' solution against updates, log axis. Plain gradient descent "
# sphinx_gallery_alt = "drops fast at first and then runs parallel to a dashed line for thousands of updates. With momentum "
# sphinx_gallery_alt = "the curve falls almost straight down."
fig, ax = plt.subplots()
for run, gap in distance.items():
    look = look_of(run, by="rule")
    shown = gap > 1e-9  # below that it is rounding
    ax.plot(run.updates[shown], gap[shown], color=look.color, label=look.label)
line = 10 * distance[plain][3000] * rho ** (plain.updates[:6000] - 3000.0)
ax.plot(
    plain.updates[:6000], line, "--", color=COLORS["theory"], lw=1.4, label="slope predicted, drawn ten times higher"
)
ax.set(xlabel="update", ylabel="distance to the answer", yscale="log", ylim=(1e-9, 1e7))
label_lines(ax)

# %%
# Plain gradient descent is parallel to that line once only the flattest and the steepest direction are left.
factor = (distance[plain][4000] / distance[plain][2000]) ** (1 / 2000)
print(f"condition number {kappa:.1f}: contraction predicted {rho:.6f}, measured {factor:.6f}")
np.testing.assert_allclose(factor, rho, rtol=1e-6)  # Keras keeps the rate in float32
reached = {run: int(np.argmax(gap < 1e-6 * gap[0])) for run, gap in distance.items()}
print(f"to a millionth of the distance: {reached[plain]} updates, with momentum {reached[heavy]}")
assert reached[heavy] < reached[plain] / 10

# %%
# Which answer takes so long?
# ---------------------------
#
# Watch the weights on their way, at half that rate: at the best one the steepest direction swings to and fro as slowly as
# the flattest one creeps, and hides the rest.
calm = fit_line(SGD(1 / eigenvalues[-1]), 3000)

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Ten weights against updates, log axis. Blood pressure, bmi and three others are near their final value, a dash at the "
# sphinx_gallery_alt = "right, early. The weights of s1 and s2 drift apart until late, one down and one up."
fig, ax = plt.subplots()
special = {"bmi": COLORS["minibatch"], "s1": COLORS["stochastic"], "s2": COLORS["adam"], "s5": COLORS["momentum"]}
for name, path, exact in zip(names, calm.parameters.T, answer, strict=False):
    color = special.get(name, COLORS["theory"])
    look = {"lw": 2.4, "label": name} if name in special else {"lw": 1}
    ax.plot(calm.updates[1:], path[1:], color=color, **look)
    ax.plot(5000, exact, "_", color=color, ms=14, mew=2)
ax.set(xlabel="update", ylabel="weight", xscale="log")
label_lines(ax)

# %%
# The dashes at the right are the answer. Half of the weights are near it soon: age, sex, bmi, blood pressure and s6. The
# other half takes a thousand updates, s1 and s2 most of all. These two, two blood lipids, go up and down
# together in the patients. So raising one weight and lowering the other changes next to nothing: a long flat valley, and
# the smallest :term:`eigenvalue`. The :term:`loss` hardly notices.
correlation = np.corrcoef(data.inputs.T)[4, 5]
early, final = calm.loss[100], plain.loss[-1]
print(f"correlation of s1 and s2: {correlation:.2f}")
print(f"after 100 updates: weight of s1 {calm.parameters[100, 4]:.1f} of {answer[4]:.1f}, ", end="")
print(f"loss {early / final - 1:.1%} above the minimum")
assert correlation > 0.89
assert early / final < 1.01
missed = np.abs(calm.parameters[100, :-1] - answer[:-1])
assert {names[place] for place in np.argsort(missed)[:5]} == {"age", "sex", "bmi", "blood pressure", "s6"}
assert abs(calm.parameters[100, 4] / answer[4]) < 0.6

# %%
# What this does not show: when to use which. With eleven unknowns the solve takes no time and is exact. Gradient descent
# goes on working where no formula is left, and that is nearly everywhere. And a small loss on these patients is not a
# small error on the next: that the weights of the flat valley are still small after 100 updates may even help.
#
# Exercises
# ---------
#
# 1. Leave s1 out. What becomes of the :term:`condition number`?
# 2. At the minimum the residuals are orthogonal to every column of :math:`A`. Check that on the trained weights.
# 3. The intercept's weight is the mean of the targets. Why?
#
# The solutions, in this order:
without = np.delete(hessian, 4, axis=0)
remaining = np.linalg.eigvalsh(np.delete(without, 4, axis=1))
print(f"1. it falls from {kappa:.0f} to {remaining[-1] / remaining[0]:.0f}")
assert remaining[-1] / remaining[0] < kappa / 8

residuals = data.targets[:, 0] - design @ plain.parameters[-1]
print("2. the largest product is below 1e-7 of the lengths multiplied")
assert np.abs(design.T @ residuals).max() < 1e-7 * np.linalg.norm(design, axis=0).max() * np.linalg.norm(residuals)

print(f"3. {plain.parameters[-1, -1]:.4f}: each column has mean 0, so the rest of the line adds nothing on average")
np.testing.assert_allclose(plain.parameters[-1, -1], data.targets.mean(), rtol=1e-9)
plt.show()

# %%
# Next: a task with no formula, and a race, :ref:`sphx_glr_gallery_practice_plot_digits.py`.
