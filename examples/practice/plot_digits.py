r"""
Digits: a fair race of optimizers
=================================

*Adam beats SGD by a mile, until both may choose their rate.*

Which :term:`optimizer` is best? Take one :term:`learning rate`, run them all, and you will see a clear winner, and
nothing about optimizers: a rate means something else to each. A fair race tunes every one on the same grid, with the
same budget, on data that is not used for the final score, and repeats it with other :term:`seeds <seed>`.

.. math::

   \begin{gathered}
   \hat\eta_o = \operatorname*{arg\,min}_{\eta \in \text{grid}} \; \frac1S \sum_{s=1}^{S} L_{\text{valid}}(o, \eta, s)
   \\[0.5em]
   \text{a tie if } \lvert \bar d \rvert < 2 \, \frac{\operatorname{std}(d)}{\sqrt n}
   \end{gathered}

Here o is the optimizer, s a seed, and d the n differences in score between two optimizers that had the same seed, so the
same start and the same batches. Look at how far apart they are before the tuning, and after. You need
:ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
from keras.losses import SparseCategoricalCrossentropy
from keras.optimizers import SGD, Adagrad, Adam, RMSprop

from gdexplain import build_mlp, load_digits, sweep, use_style
from gdexplain.plotting import COLORS, label_lines

use_style()
digits = load_digits()  # 1,797 images of 8 by 8 pixels
order = np.random.default_rng(0).permutation(len(digits))
fit, valid, test = (digits.take(rows) for rows in np.split(order, [1000, 1400]))
crossentropy = SparseCategoricalCrossentropy(from_logits=True)
grid, shared = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0], 0.01
optimizers = {  # everything but the rate is Keras' default, and the momentum the usual 0.9
    "SGD": (SGD, COLORS["minibatch"], "s-"),
    "momentum": (lambda rate: SGD(rate, momentum=0.9), COLORS["momentum"], "D-"),
    "Adagrad": (Adagrad, COLORS["adagrad"], ">-"),
    "RMSprop": (RMSprop, COLORS["rmsprop"], "v-"),
    "Adam": (Adam, COLORS["adam"], "P-"),
}


@cache
def network(seed):
    """Build a 64-32-10 network; return it and its weights in one row."""
    model = build_mlp([32, 10], inputs=64, activation="relu", seed=seed)
    return model, np.concatenate([weight.ravel() for weight in model.get_weights()])


def outcomes(name, rates, seeds, rows):
    """Train the network for ten epochs with each rate and seed; return its losses and accuracies on these rows."""
    rate, seed = (values.ravel() for values in np.meshgrid(rates, seeds, indexing="ij"))
    each = {"learning_rate": rate, "start": [network(one)[1] for one in seed.tolist()], "seed": seed}
    budget = {"batch_size": 50, "steps": 200, "jit": False}  # so few runs are not worth a wait for XLA
    runs = sweep(network(0)[0], fit, optimizer=optimizers[name][0](1.0), loss=crossentropy, **each, **budget)
    parts = np.split(runs.parameters, np.cumsum([64 * 32, 32, 32 * 10]), axis=1)
    shapes = (64, 32), (1, 32), (32, 10), (1, 10)
    w1, b1, w2, b2 = (part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True))
    logits = np.maximum(rows.inputs @ w1 + b1, 0) @ w2 + b2  # (runs, rows, 10)
    losses = np.array([float(crossentropy(rows.targets, run)) for run in logits])
    accuracies = np.mean(logits.argmax(axis=-1) == rows.targets, axis=1)
    return losses.reshape(len(rates), -1), accuracies.reshape(len(rates), -1)


# %%
# Tuning: the same grid for all
# -----------------------------
#
# Five optimizers, seven rates, two seeds; each run is 200 :term:`updates <update>`. :func:`gdexplain.sweep` makes the
# runs of an optimizer side by side. What counts is the :term:`loss` on 400 images that no run has trained on.
valid_loss = {name: outcomes(name, grid, [0, 1], valid)[0] for name in optimizers}
best = {name: grid[np.argmin(loss.mean(axis=1))] for name, loss in valid_loss.items()}

# sphinx_gallery_alt = "Validation loss against learning rate, both axes logarithmic, one curve for each of five optimizers. All "
# sphinx_gallery_alt = "are valleys. Their floors lie far apart: Adam's and RMSprop's at small rates, "
# sphinx_gallery_alt = "SGD's a hundred times to the right."
fig, ax = plt.subplots()
for name, (_, color, look) in optimizers.items():
    low, high = valid_loss[name].min(axis=1), valid_loss[name].max(axis=1)
    ax.plot(grid, valid_loss[name].mean(axis=1), look, color=color, label=f"{name}, best at {best[name]:g}")
    ax.fill_between(grid, low, high, color=color, alpha=0.2, lw=0)
ax.axvline(shared, ls=":", color=COLORS["theory"])
ax.set(xlabel="learning rate", ylabel="validation loss", xscale="log", yscale="log")
label_lines(ax)

# %%
# Walk along the dotted line, and Adam and RMSprop are far ahead. But that line crosses each valley at another place. The
# valleys are shifted far more than their depths differ. None has its floor at an end of the grid, so the grid was wide enough.
print(f"optimizer   best rate    loss   loss at rate {shared:g}")
for name, rate in best.items():
    loss = valid_loss[name].mean(axis=1)
    print(f"{name:9}   {rate:9g}   {loss.min():.3f}   {loss[grid.index(shared)]:17.3f}")
    assert grid[0] < rate < grid[-1]

# %%
# The race
# --------
#
# Now the score: seven fresh seeds, each optimizer at its own best rate (and, for later, at the shared one), and 397 images
# that nobody has seen yet.
seeds = range(10, 17)
scores = {name: outcomes(name, [rate, shared], seeds, test)[1] for name, rate in best.items()}
score = {name: tuned for name, (tuned, _) in scores.items()}

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Test accuracy of five tuned optimizers, a dot for each of seven seeds and a bar at the mean. The dots of "
# sphinx_gallery_alt = "each spread over a percent or more, and the columns overlap."
fig, ax = plt.subplots()
for place, (name, (_, color, look)) in enumerate(optimizers.items()):
    offsets = place + np.linspace(-0.2, 0.2, len(seeds))
    ax.plot(offsets, score[name], look[0], color=color, alpha=0.8)
    ax.hlines(score[name].mean(), place - 0.35, place + 0.35, color=color, lw=2.4)
ax.set(xticks=range(len(best)), xticklabels=[f"{name}\n{rate:g}" for name, rate in best.items()])
ax.set(xlabel="optimizer and its tuned rate", ylabel="test accuracy")

# %%
# The verdict is written by the code, not by us:
ranking = sorted(best, key=lambda name: -score[name].mean())


def verdict(first, second):
    """Say whether the first optimizer beats the second by more than twice the standard error."""
    d = score[first] - score[second]
    noise = 2 * d.std(ddof=1) / np.sqrt(len(d))
    words = f"{first} beats {second}" if d.mean() > noise else f"{first} and {second} tie"
    return f"{words}: margin {d.mean():.2%}, noise {noise:.2%}"


print("optimizer    mean   lowest   highest")
for name in ranking:
    print(f"{name:9}   {score[name].mean():.1%}    {score[name].min():.1%}     {score[name].max():.1%}")
print()
for name in ranking[1:]:
    print(verdict(ranking[0], name))

# %%
# A tie does not say that two optimizers are equal. It says that seven seeds cannot tell them apart: a margin below the noise
# is not seen, and the noise falls as the root of n. How many seeds would it take to see a margin of half a percent?
spread = {name: np.std(score["Adam"] - score[name], ddof=1) for name in best if name != "Adam"}
seeds_needed = {name: int(np.ceil((2 * each / 0.005) ** 2)) for name, each in spread.items()}
print("seeds to see half a percent between Adam and:")
print(*(f"{name} {needed}" for name, needed in seeds_needed.items()), sep=", ")
assert max(seeds_needed.values()) > len(seeds)

# %%
# Was the tuning worth it? Compare Adam's lead over plain SGD at the shared rate with its lead now.
lead, tuned_lead = (np.mean(scores["Adam"][row] - scores["SGD"][row]) for row in (1, 0))
print(
    f"Adam leads SGD by {100 * lead:.0f} points with one rate for both, and by {100 * tuned_lead:.1f} with both tuned"
)
print(verdict("Adam", "SGD"))
assert lead > 10 * tuned_lead

# %%
# What this does not show: which optimizer is best for you. This network is small, the task easy, the budget short, and
# only the rate was tuned: a finer grid, decay, or more seeds could find differences that are hidden here, and on harder
# losses they are real. With five in the race the best of them looks a little better than it is. What carries over is the
# method. :cite:t:`wilson2017` tell what a careful comparison did to the reputation of adaptive rules.
#
# A bet
# -----
#
# Suppose that five optimizers are equally good. You take the mean of seven seeds for each, and publish the best. By how much does it
# stand above what it will do next time? Choose before you open one.
#
# .. dropdown:: By nothing: luck is zero on average
#
#    No. That holds for one that you named beforehand. You took the best of five, and so you took the one with the luck.
#
# .. dropdown:: By about one standard error of such a mean
#
#    Yes. The best of five equals is about that lucky, and with more in the race more so. A margin below twice the noise is no
#    news.
#
# .. dropdown:: By about five standard errors, one for each
#
#    No. So much luck hardly happens once in a million means. Five tries are few.
equals = np.random.default_rng(1).normal(size=(100_000, 5, 7)).mean(axis=2)  # races of equals
luck = equals.max(axis=1).mean() * np.sqrt(7)
print(f"the best of five equals stands {luck:.2f} standard errors too high, on average")
assert 1.1 < luck < 1.25

# %%
# Exercises
# ---------
#
# 1. One image of the test is how much accuracy? Is the margin between the first two more than a few images?
# 2. How far do two seeds of one optimizer lie apart, and is that more than the first and the last optimizer do?
# 3. Suppose you may run only one rate for all five. Which one does the grid recommend, by the mean loss?
#
# The solutions, in this order:
margin = score[ranking[0]].mean() - score[ranking[1]].mean()
print(f"1. {1 / len(test):.2%}; the margin is {margin * len(test):.1f} images")
assert margin * len(test) < 5

spread = max(np.ptp(scores) for scores in score.values())
gap = score[ranking[0]].mean() - score[ranking[-1]].mean()
print(f"2. up to {spread:.1%}; first and last mean are {gap:.1%} apart")
assert spread > gap

everyone = np.mean([loss.mean(axis=1) for loss in valid_loss.values()], axis=0)
one = grid[np.argmin(everyone)]
print(f"3. {one:g}; it is the tuned rate of {list(best.values()).count(one)} of the {len(best)}")
assert everyone.min() > max(loss.mean(axis=1).min() for loss in valid_loss.values())
plt.show()

# %%
# Next: a table to decide by, :doc:`/practice/which_optimizer`.
