r"""
Where Adam fails
================

*It can walk to the worst point there is, and stay.*

:term:`Adam` divides each :term:`gradient` by the root of a running mean of squares. That is a promise of equal
treatment: a rare large gradient and a frequent small one end up as steps of similar length. So the small ones can
outvote the large one. Take a :term:`loss` with one :term:`parameter` :math:`x` in :math:`[-1, 1]`, a mean over three examples:

.. math:: L(x) = \tfrac13 \left( C x - x - x \right), \qquad C = 3

Its slope is :math:`1/3`, so the best point is -1. :cite:t:`reddi2018` prove that Adam goes to +1. Below is that run, and
after it a second failure: three rules that fit the same data perfectly, of which two fail on every new negative. You need
:ref:`sphx_glr_gallery_rules_plot_adam_from_scratch.py`.
"""

import matplotlib.pyplot as plt
import numpy as np

from gdexplain import Dataset, LeastSquares, descend, line_hessian, max_stable_learning_rate, use_style
from gdexplain.by_hand import rules
from gdexplain.plotting import COLORS, label_lines, look_of

use_style()


class ThreeLines:
    """C x, -x and -x: the loss is their mean."""

    size, slopes = 3, np.array([3.0, -1.0, -1.0])

    def value_and_grad(self, theta, rows=None):
        """Return the mean of the lines in `rows`, and its slope."""
        slope = self.slopes[rows if rows is not None else ...].mean()
        return slope * theta[0], np.array([slope])


def within_bounds(rule):
    """Return the rule that clips x to [-1, 1] after each step."""

    def update(grad, state, theta):
        step, state = rule.update(grad, state, theta)
        return np.clip(theta + step, -1, 1) - theta, state

    return rules.UpdateRule(rule.name, rule.init, update)


# %%
# The settings are the theorem's: no :term:`momentum`, :math:`\beta_2 = 1 / (1 + C^2)`, a rate that falls with
# :math:`1 / \sqrt{k}`, and the examples in turn. AMSGrad is Adam whose denominator never shrinks.
betas, updates = {"beta_1": 0.0, "beta_2": 1 / (1 + 3**2)}, 30_000
turns = [[k % 3] for k in range(updates)]


def falling(k):
    """Return the rate of update k + 1."""
    return 0.5 / np.sqrt(k + 1)


chosen = {
    "Adam": rules.adam(falling, **betas),
    "AMSGrad": rules.amsgrad(falling, **betas),
    "gradient descent": rules.gradient_descent(falling),
}
runs = {}
for name, rule in chosen.items():
    runs[name] = descend(ThreeLines(), within_bounds(rule), [0.0], batches=turns)

# sphinx_gallery_alt = "The parameter x against updates, log axis. Adam rises in steps to plus one, the worst "
# sphinx_gallery_alt = "point, and stays. AMSGrad and gradient descent reach minus one and hop there ever less."
fig, ax = plt.subplots()
looks = (("adam", "-", 2), ("nesterov", "--", 3), ("batch", "-", 2))
for (name, run), (color, line, above) in zip(runs.items(), looks, strict=True):
    ax.plot(run.updates[1:], run.parameters[1:, 0], line, color=COLORS[color], label=name, zorder=above)
ax.axhline(-1, ls="--", color=COLORS["theory"], label="the minimum")
ax.set(xscale="log", xlabel="update", ylabel="x", ylim=(-1.1, 1.1))
label_lines(ax)

# %%
# Three rules, one stream of gradients, and one of them goes up the hill. It does not help to wait.
ends = {name: run.parameters[-1, 0] for name, run in runs.items()}
print("rule                     x")
for name, x in ends.items():
    print(f"{name:16}   {x:+.3f}")
# The last hop's height
np.testing.assert_allclose([ends["Adam"], ends["AMSGrad"]], [1, -0.998], atol=5e-4)

# %%
# Why? Look at one round of three gradients, when the running mean has settled. The large gradient comes with a large
# denominator, because it is in the mean itself; by the next two, the mean has forgotten most of it.
slopes = ThreeLines.slopes
v, beta_2 = 0.0, betas["beta_2"]
for k in range(30):
    v = beta_2 * v + (1 - beta_2) * slopes[k % 3] ** 2
steps = []
for slope in slopes:
    v = beta_2 * v + (1 - beta_2) * slope**2
    steps.append(-slope / np.sqrt(v))
print("steps of a round, in rates:", np.round(steps, 3), f"sum {sum(steps):+.3f}")
assert sum(steps) > 0  # uphill
# One denominator for all three, as AMSGrad ends up with: downhill
assert sum(-slopes / np.abs(slopes).max()) < 0

# %%
# Two small steps up outweigh a large one down. AMSGrad keeps the largest mean it ever saw, so all three gradients get
# the same denominator, and their sum keeps its sign.
#
# A rule chooses among the answers
# --------------------------------
#
# The second failure needs no tricks with order. Where there are more parameters than examples, many weights fit
# perfectly, and the rule decides which of them you get. :cite:t:`wilson2017` built a task for it. The label is -1 or
# +1. The first input *is* the label. The next is always 1, and so is the input of the :term:`bias`. All others are
# private: every example has its own, one if its label is +1 and five if it is -1, and no other example shares them.
rng = np.random.default_rng(0)
labels = rng.permutation(np.repeat([1.0, -1.0], [30, 20]))  # the task asks for more positives
inputs = np.zeros((50, 2 + 5 * 50))
inputs[:, 0], inputs[:, 1] = labels, 1
for i, label in enumerate(labels):
    inputs[i, 2 + 5 * i : 2 + 5 * i + (1 if label > 0 else 5)] = 1
examples = Dataset(inputs, labels[:, np.newaxis], name="Wilson's task")
task, limit = LeastSquares(examples), max_stable_learning_rate(line_hessian(examples))

chosen = [
    rules.gradient_descent(0.9 * limit),
    rules.adagrad(0.1, initial_accumulator_value=0),
    rules.adam(0.01),
]
runs = [descend(task, rule, np.zeros(task.design.shape[1]), steps=1000) for rule in chosen]


# %%
# A fresh example's private inputs were never seen, so their weights are still 0. Its score is made of three weights:
# the first, times the label; the second; and the bias.
def score(run, label):
    """Score fresh examples after every update."""
    w = run.parameters
    return np.multiply.outer(w[:, 0], label) + (w[:, 1] + w[:, -1])[:, np.newaxis]


# sphinx_gallery_alt = "Score of a fresh negative example against updates for three rules. With gradient descent it falls "
# sphinx_gallery_alt = "far below zero, where it belongs. With AdaGrad and Adam it ends above zero."
fig, ax = plt.subplots()
for run in runs:
    color, _, words = look_of(run, by="rule")
    ax.plot(run.updates, score(run, [-1.0]), color=color, label=words)
ax.axhline(0, color=COLORS["theory"], lw=1)
ax.set(xscale="symlog", xlabel="update", ylabel="score of a fresh negative", xlim=(0, 1000))
label_lines(ax)

# %%
# All three runs fit the 50 examples perfectly. Gradient descent also gets every fresh example right. AdaGrad and Adam
# call everything positive, so they err on exactly the negatives: the label stands in front of them, but its
# weight is outvoted by those of the constant input and the bias.
fresh = np.where(rng.random(10_000) < 0.6, 1.0, -1.0)
print("rule                         training loss   test error")
for run in runs:
    wrong = (np.sign(score(run, fresh)[-1]) != fresh).mean()
    print(f"{run.label:26}   {run.loss[-1]:13.0e}   {wrong:10.2%}")
    assert run.loss[-1] < 1e-12
    assert wrong == (0 if run is runs[0] else (fresh < 0).mean())
print(f"\nshare of negatives: {(fresh < 0).mean():.2%}")

# %%
# From 0, gradient descent stays in the span of the examples and ends at the shortest of all solutions, in which the
# input that is the label counts most by far. The adaptive rules give every weight steps of equal length, so they end
# where all weights have the same size: a private input that was seen once weighs as much as the one that tells the
# answer.
shortest = task.minimum  # least squares returns the shortest solution
np.testing.assert_allclose(runs[0].parameters[-1], shortest, atol=1e-7)
print(
    f"gradient descent's weight of the label: {shortest[0]:.3f}, the largest of the others: {np.abs(shortest[1:]).max():.3f}"
)
assert shortest[0] > 5 * np.abs(shortest[1:]).max()
seen = np.abs(runs[2].parameters[-1][np.any(task.design, axis=0)])
# 1 + 1 + 1 + 1 weights of a positive make a score of 1
np.testing.assert_allclose(seen, 1 / 4, rtol=1e-3)
print(f"Adam's weights: all between {seen.min():.4f} and {seen.max():.4f} in size")

# %%
# What this does not show: that Adam is a bad choice. Both tasks were built against it. It says that "Adam converges"
# and "Adam finds the same answer" are not theorems, and that a comparison needs a test set and a tuned rate for each.
#
# Exercises
# ---------
#
# 1. The running mean forgets too fast. Does Adam's round still go uphill with :math:`\beta_2 = 0.999`?
# 2. Give the examples of the first task in one batch. Where does Adam end?
# 3. Start gradient descent on the second task from random weights. Does it still get all fresh examples right?
#
# The solutions, in this order:
slow = rules.adam(falling, beta_1=0.0, beta_2=0.999)
x = descend(ThreeLines(), within_bounds(slow), [0.0], batches=turns).parameters[-1, 0]
print(f"1. no: x = {x:.3f}. With a long memory all three get nearly the same denominator")
assert x < -0.99

rule = within_bounds(rules.adam(falling, **betas))
x = descend(ThreeLines(), rule, [0.0], steps=1000).parameters[-1, 0]
print(f"2. x = {x:.3f}: the true gradient never changes its sign")
assert x == -1

start = rng.normal(size=task.design.shape[1])
run = descend(task, rules.gradient_descent(0.9 * limit), start, steps=1000)
# Fresh private weights keep their random start, of variance 1
private = np.where(fresh > 0, 1, 5)
noisy = score(run, fresh)[-1] + np.sqrt(private) * rng.normal(size=len(fresh))
wrong = (np.sign(noisy) != fresh).mean()
print(f"3. no, {wrong:.0%} wrong: what training does not touch stays as it was drawn")
assert wrong > 0.05
plt.show()

# %%
# Next: a mistake that makes Adam ignore your regularisation,
# :ref:`sphx_glr_gallery_rules_plot_adamw_is_not_l2.py`.
