r"""
Learning rate schedules
=======================

*A falling rate silences the noise, and a rising one misleads you.*

A large :term:`learning rate` gets you near the minimum, a small one lets you settle there. A
:term:`learning rate schedule` gives you both: :math:`\eta_k`, the rate of :term:`update` k, starts large and falls.
Two families, with first rate :math:`\eta_0`:

.. math:: \text{cosine:} \quad \eta_k = \tfrac12 \eta_0 \left(1 + \cos \frac{\pi k}{n}\right), \qquad
          \text{1/t:} \quad \eta_k = \frac{\eta_0}{1 + r k / s}

Here n is the number of updates. In 1/t you choose s, a number of updates, and r, by how much the divisor grows in s of them.

How large to start? A popular answer is the range test: raise the rate during one run, and see where the run stops
improving. :cite:t:`smith2017` raises it along a straight line and looks at the accuracy. What most people do today, raise it
by a constant factor and look for the lowest :term:`loss`, came later. Below, that answer lies far above the
:term:`stability limit`, and how far depends on the digits of your computer. You need
:ref:`sphx_glr_gallery_variants_plot_learning_rate.py` and, for the noise,
:ref:`sphx_glr_gallery_variants_plot_stochastic.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import (
    LeastSquares,
    build_linear,
    descend,
    line_hessian,
    line_loss,
    make_line,
    max_stable_learning_rate,
    train,
    use_style,
)
from gdexplain.by_hand import rules, schedules
from gdexplain.plotting import COLORS, label_lines

use_style()
updates, first = 4000, 0.05

# %%
# A schedule is a function of the number of updates made before. ``gdexplain.by_hand.schedules`` has the usual ones, and so
# has Keras, where you give it to the :term:`optimizer` in place of the rate. The last one warms up: it starts from 0.
plans = {
    "constant": schedules.constant(first),
    "step": schedules.step_decay(first, 1000, 0.25),
    "exponential": schedules.exponential_decay(first, 1000, 0.25),
    "1/t": schedules.inverse_time_decay(first, 100, 1.0),
    "cosine": schedules.cosine_decay(first, updates),
    "cosine, warm-up": schedules.warm_up(schedules.cosine_decay(first, updates - 500), 500),
}
S = keras.optimizers.schedules
twins = {
    "step": S.ExponentialDecay(first, 1000, 0.25, staircase=True),
    "exponential": S.ExponentialDecay(first, 1000, 0.25),
    "1/t": S.InverseTimeDecay(first, 100, 1.0),
    "cosine": S.CosineDecay(first, updates),
    "cosine, warm-up": S.CosineDecay(
        0.0,
        updates - 500,
        warmup_target=first,
        warmup_steps=500,
    ),
}
moments = range(0, updates, 250)
for name, twin in twins.items():
    ours, theirs = [plans[name](k) for k in moments], [float(twin(k)) for k in moments]
    # Keras computes them in float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-8)

# sphinx_gallery_alt = "Six learning rates against updates. One is constant, one falls in four stairs, one exponentially, "
# sphinx_gallery_alt = "one fast at first and then slowly, two along half a cosine, one of them after a straight climb from 0."
fig, ax = plt.subplots()
colors = ("theory", "stochastic", "minibatch", "momentum", "batch", "adam")
dashes = ("-", "-", "--", ":", "-", (0, (4, 1.2, 1, 1.2)))
looks = {}
for name, color, dash in zip(plans, colors, dashes, strict=True):
    looks[name] = {"color": COLORS[color], "ls": dash}
for name, plan in plans.items():
    ax.plot([plan(k) for k in range(updates)], **looks[name], label=name)
ax.set(xlabel="update", ylabel="learning rate")
label_lines(ax)

# %%
# Five of six silence the noise
# -----------------------------
#
# The neuron on four points that no line passes through, one random example at a time. The same 200 sequences of examples
# for each schedule, side by side; what is drawn is the mean :term:`loss` above its minimum.
noisy = LeastSquares(make_line(noise=0.5))
best, hessian = noisy.minimum, line_hessian(noisy.dataset)
draws = np.random.default_rng(0).integers(0, 4, size=(updates, 200))


def excess(plan):
    """Return the mean loss above the minimum, before every update."""
    theta, means = np.zeros((200, 2)), []
    for k, rows in enumerate(draws):
        away = theta - best
        means.append(0.5 * np.mean(np.sum(away @ hessian * away, axis=1)))
        a = noisy.design[rows]  # (x, 1) of each run's example
        residual = np.sum(a * theta, axis=1) - noisy.targets[rows]
        theta = theta - plan(k) * 2 * residual[:, np.newaxis] * a
    return np.array(means)


above = {name: excess(plan) for name, plan in plans.items()}

# sphinx_gallery_alt = "Loss above the minimum against updates, log axis. All fall at first. With a constant rate it hovers; "
# sphinx_gallery_alt = "with the others it goes on falling, the cosine ones steeply at the very end."
fig, ax = plt.subplots()
middles = np.arange(50, updates, 100)
for name, loss in above.items():
    ax.plot(middles, loss.reshape(-1, 100).mean(axis=1), **looks[name], label=name)
ax.set(xlabel="update", ylabel="loss above the minimum, mean of 100", yscale="log")
label_lines(ax)

# %%
# A constant rate hovers at a height that belongs to the rate. Lower the rate, and the height sinks with it: in stairs,
# smoothly, or, for the cosine, mostly at the very end.
print("schedule          in the last 100 updates")
for name, loss in above.items():
    print(f"{name:15}   {loss[-100:].mean():23.1e}")
    assert name == "constant" or loss[-100:].mean() < above["constant"][-100:].mean() / 20

# %%
# The range test, and its limit
# -----------------------------
#
# Now the other direction. The whole batch, no noise: raise the rate evenly on a log scale from 1e-4 to 1 in 400 updates, and
# look for the lowest loss. In Keras it is one schedule, a "decay" that grows. Keras counts in float32; here is the same by
# hand in float64.
data, start, minimum = make_line(), [0.0, 0.0], np.array([2.0, 0.0])
neuron, ramp = LeastSquares(data), np.geomspace(1e-4, 1, 400)
growing = keras.optimizers.SGD(S.ExponentialDecay(1e-4, len(ramp) - 1, 1e4))
tests = {
    "float32": train(build_linear(), data, optimizer=growing, batch_size=None, epochs=len(ramp)),
    "float64": descend(neuron, rules.gradient_descent(lambda k: ramp[k]), start, steps=len(ramp)),
}
limit = max_stable_learning_rate(line_hessian(data))
turns = {name: ramp[test.loss.argmin()] for name, test in tests.items()}
print("arithmetic   the loss turns at    limit   times the limit")
for name, turn in turns.items():
    print(f"{name:10}   {turn:17.3f}   {limit:.4f}   {turn / limit:15.1f}")

# %%
# A run that stays at either of these rates explodes. Even the usual advice, a tenth of the rate at the lowest loss, is a
# guess here: nothing in these curves marks the limit. Why? Split the loss into its two directions, the eigenvectors of the
# :term:`Hessian`. Each follows its own law, which needs no run, only the starting error :math:`e_i` and the
# :term:`eigenvalue` :math:`\lambda_i`:
#
# .. math:: L_i(k) = \tfrac12 \lambda_i \, e_i^2 \prod_{j < k} (1 - \eta_j \lambda_i)^2
#
# That is without rounding. A computer cannot hold an error that is smaller than the last digit of the weight, near 2. So
# let no error fall below that.
eigenvalues, vectors = np.linalg.eigh(line_hessian(data))


def shares(last_digit):
    """Return the predicted loss in the flat and in the steep direction before each update."""
    error = np.abs((start - minimum) @ vectors)
    rows = []
    for rate in ramp:
        rows.append(eigenvalues / 2 * error**2)
        error = np.maximum(error * np.abs(1 - rate * eigenvalues), last_digit)
    return np.array(rows)


digits = {"float32": np.spacing(np.float32(2)), "float64": np.spacing(2.0), "without rounding": 0.0}
predicted = {name: shares(float(digit)) for name, digit in digits.items()}

# sphinx_gallery_thumbnail_number = 3
# sphinx_gallery_alt = "Loss against a rising rate, both on log axes. In float32 and in float64 the loss falls until far right of a "
# sphinx_gallery_alt = "vertical line, the stability limit, and then shoots up, in float32 sooner. Dashed, the steep direction's share: "
# sphinx_gallery_alt = "it falls to a level before the limit and rises from the limit on, for a long time below the loss."
fig, ax = plt.subplots()
for (name, test), (color, width) in zip(tests.items(), (("batch", 3), ("stochastic", 1.6)), strict=True):
    ax.plot(ramp[: len(test)], test.loss, color=COLORS[color], lw=width, label=f"loss, {name}")
    ax.plot(ramp, predicted[name][:, 1], "--", color=COLORS[color], lw=1.2, label="its steep share, predicted")
    ax.plot(turns[name], test.loss.min(), "o", color=COLORS[color], ms=9)
ax.axvline(limit, color=COLORS["theory"], lw=1.5, label="stability limit")
ax.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="loss", ylim=(1e-34, 1e4))
label_lines(ax)

# %%
# On its way through the good rates the steep direction is wiped out, down to the last digit. At the limit it begins to
# grow, but from almost nothing, and the loss shows only the sum. By the time it surfaces, the rate has gone on rising. So
# the turning point measures how long the growth took, not where it began: the more digits, the longer, and the later.
print("arithmetic   the loss turns at   predicted")
for name, turn in turns.items():
    foretold = ramp[predicted[name].sum(axis=1).argmin()]
    print(f"{name:10}   {turn:17.3f}   {foretold:9.3f}")
    np.testing.assert_allclose(turn, foretold, rtol=0.1)  # rounding decides within four steps of the ramp
exact = predicted["without rounding"]
last, lowest = ramp[exact.sum(axis=1).argmin()], exact[:, 1].argmin()
print(f"\nwithout rounding it would turn at {last:.3f}; the steep share is smallest at {ramp[lowest]:.4f}")
assert ramp[lowest - 1] < limit < ramp[lowest + 1]
assert 1.3 * limit < turns["float32"] < turns["float64"] < last
held = descend(neuron, rules.gradient_descent(turns["float32"]), start, steps=100)
assert held.loss[-1] > 1e6

# %%
# A better test costs more: start afresh at each rate, and ask whether the loss rose from update 50 to update 100.
grid = np.geomspace(0.01, 1, 200)
fresh = [descend(neuron, rules.gradient_descent(rate), start, steps=101) for rate in grid]
rising = grid[[run.loss[100] > run.loss[50] for run in fresh]][0]
print(f"it rises from {rising:.4f} on, {rising / limit - 1:.1%} above the limit: a grid step")
assert limit < rising < limit * grid[1] / grid[0]

# %%
# What this does not show: other losses bend elsewhere, and there is no one limit. With mini-batches the noise keeps
# stirring the steep direction, and the test does better (exercise 2). If you use it, ramp slowly, and then try the rate
# in a run of its own.
#
# Exercises
# ---------
#
# 1. Make the ramp ten times slower, in float64. Where does the loss turn?
# 2. Use the first ramp with batches of two, drawn at random. Where does the loss of the whole data turn?
# 3. Robbins and Monro ask for :math:`\sum \eta_k = \infty` :cite:p:`robbins1951`. Which plans break that? Let the exponential
#    one fall a hundred times faster: what goes wrong?
#
# The solutions, in this order:
rates = np.geomspace(1e-4, 1, 4000)
slow = descend(neuron, rules.gradient_descent(lambda k: rates[k]), start, steps=4000)
slower = rates[slow.loss.argmin()]
print(f"1. at {slower:.3f}, not {turns['float64']:.3f}: nearer to the limit, still above it")
assert limit < slower < turns["float64"] / 1.5

rows = np.random.default_rng(0).integers(0, 4, size=(len(ramp), 400, 2))  # 400 runs side by side
path = [np.zeros((400, 2))]
for rate, pairs in zip(ramp, rows, strict=True):
    a, y = neuron.design[pairs], data.targets[pairs]
    residual = a @ path[-1][:, :, np.newaxis] - y
    path.append(path[-1] - rate * 2 * np.mean(residual * a, axis=1))
whole = line_loss(data)(np.array(path[:-1]))
found = ramp[whole.argmin(axis=0)]
print(f"2. half of the runs turn below {np.median(found):.3f}: far nearer to the limit of the full batch, {limit:.3f}")
assert limit < np.median(found) < 0.8 * turns["float32"]

fast = schedules.exponential_decay(first, 10, 0.25)
total = sum(fast(k) for k in range(updates))
stuck = descend(noisy, rules.gradient_descent(fast), [0, 0], steps=updates)
curvature, directions = np.linalg.eigh(hessian)
flat = directions[:, 0]  # along the valley
left = flat @ (stuck.parameters[-1] - best) / (flat @ -best)
predicted = np.prod([1 - fast(k) * curvature[0] for k in range(updates)])
print("3. all but constant and 1/t. Above, their sums are large enough to do no harm.")
print(f"   The fast one has the sum {total:.2f}: of the way along the valley {left:.0%} is left")
np.testing.assert_allclose(left, predicted, rtol=1e-6)
assert predicted > 0.5
plt.show()

# %%
# The cosine is from :cite:t:`loshchilov2017`. In Keras: ``SGD(schedules.CosineDecay(...))``, one argument.
# Last, :func:`gdexplain.train` makes such a run in Keras.
cosine = keras.optimizers.SGD(twins["cosine"])
model, epochs = build_linear(), updates // 4
run = train(model, noisy.dataset, optimizer=cosine, batch_size=1, epochs=epochs, jit=True)
print(run.summary())
left = np.linalg.norm(run.parameters[-1] - best) / np.linalg.norm(best)
print(f"it ends {left:.2%} of its way from the minimum")
assert left < 0.05  # what is left of the noise: other draws of data and order leave up to a third of this

# %%
# Next: more than one layer, :ref:`sphx_glr_gallery_theory_plot_initialisation.py`.
