r"""
AdaGrad, RMSProp and Adam
=========================

*Divide each slope by its own size; from scratch, it is Keras' Adam to the last digits.*

Where the course's neuron starts, the slope along :math:`w` is three times that along :math:`b`, so plain descent moves
:math:`w` three times as far. In a network one :term:`gradient` may be a thousand times larger than another, and no rate
suits both. Three rules divide each gradient by its own size, and then both move by about one rate. :term:`AdaGrad` sums the squares of all gradients, :term:`RMSProp`
keeps a running mean of them, and :term:`Adam` adds :term:`momentum` and corrects both means for their start at zero:

.. math:: a \leftarrow a + g^2, \qquad s = -\frac{\eta \, g}{\sqrt{a + \varepsilon}}

.. math:: v \leftarrow \rho v + (1 - \rho) \, g^2, \qquad s = -\frac{\eta \, g}{\sqrt{v + \varepsilon}}

.. math:: m \leftarrow \beta_1 m + (1 - \beta_1) \, g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) \, g^2, \quad
          s = -\eta \, \frac{\sqrt{1 - \beta_2^k}}{1 - \beta_1^k} \, \frac{m}{\sqrt v + \hat\varepsilon}

Here :math:`g` is the gradient of update :math:`k = 1, 2, \dots`, :math:`s` the :term:`step`, :math:`\eta` the
:term:`learning rate` and :math:`\varepsilon` a tiny number that keeps a division by zero away.
You need :ref:`sphx_glr_gallery_rules_plot_momentum.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import (
    KerasObjective,
    LeastSquares,
    batch_order,
    build_mlp,
    contraction_rate,
    descend,
    line_hessian,
    make_line,
    make_moons,
    optimal_learning_rate,
    train,
    use_style,
)
from gdexplain.by_hand import rules
from gdexplain.plotting import COLORS, label_lines

use_style()
# Exact in float32, in which Keras keeps some of them
eta, rho, beta_1, beta_2, epsilon = 2**-6, 7 / 8, 7 / 8, 127 / 128, 2**-20

# %%
# Each rule is a function from the gradient and what it remembers to the step and what it remembers then. (A third
# argument, the parameters, is there for rules that need it.)


def adagrad(g, a, _):
    """Divide by the root of the sum of all squares."""
    a = a + g**2
    return -eta * g / np.sqrt(a + epsilon), a


def rmsprop(g, v, _):
    """Divide by the root of a running mean of squares."""
    v = rho * v + (1 - rho) * g**2
    return -eta * g / np.sqrt(v + epsilon), v


def adam(g, memory, _):
    """Divide a running mean by the root of another, both corrected."""
    k, m, v = memory
    k, m, v = k + 1, beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
    corrected = eta * np.sqrt(1 - beta_2**k) / (1 - beta_1**k)
    return -corrected * m / (np.sqrt(v) + epsilon), (k, m, v)


# %%
# The referee is ``keras.optimizers``, on a network with four variables and mini-batches of 16, for 200 updates. Both
# take their gradients from the same Keras model in float64; only the rule differs.
moons, loss = make_moons(64), "binary_crossentropy"
betas = {"beta_1": beta_1, "beta_2": beta_2}
twins = {
    "AdaGrad": (
        rules.UpdateRule("adagrad", lambda theta: 0 * theta + 0.125, adagrad),
        keras.optimizers.Adagrad(eta, initial_accumulator_value=0.125, epsilon=epsilon),
    ),
    "RMSProp": (
        rules.UpdateRule("rmsprop", np.zeros_like, rmsprop),
        keras.optimizers.RMSprop(eta, rho=rho, epsilon=epsilon),
    ),
    "Adam": (
        rules.UpdateRule("adam", lambda theta: (0, 0 * theta, 0 * theta), adam),
        keras.optimizers.Adam(eta, epsilon=epsilon, **betas),
    ),
}


def build():
    """Build 2 inputs, 8 tanh units and 1 output: two kernels and two biases."""
    return build_mlp([8, 1], inputs=2, output_activation="sigmoid", seed=0, dtype="float64")


order = batch_order(len(moons), 16, 50, seed=0)
runs = {}
for name, (rule, optimizer) in twins.items():
    setting = {"optimizer": optimizer, "loss": loss, "batch_size": 16, "epochs": 50}
    theirs = train(build(), moons, **setting, seed=0)
    objective = KerasObjective(build(), moons, loss=loss)
    ours = descend(objective, rule, theirs.parameters[0], batches=order)
    gap = np.abs(ours.parameters - theirs.parameters).max()
    counts = f"{len(ours)} updates of {len(objective.layout)} variables"
    print(f"{name}: {counts}, largest difference {gap:.0e}")
    assert gap < 1e-12  # float64, and 200 roundings
    runs[name] = ours

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_alt = "Loss of each epoch against updates for three rules at one rate. RMSProp and Adam fall together; "
# sphinx_gallery_alt = "AdaGrad falls ever more slowly and stays far above them."
fig, ax = plt.subplots()
for (name, run), marker in zip(runs.items(), ">vP", strict=True):
    means = run.loss.reshape(-1, 4).mean(axis=1)
    ax.plot(np.arange(0, 200, 4), means, f"{marker}-", markevery=7, color=COLORS[name.lower()], label=name)
ax.set(xlabel="update", ylabel="loss, mean of an epoch", yscale="log")
label_lines(ax)

# %%
# AdaGrad is the slowest at this rate. One cause is that it never forgets: its sum only grows, so the rate that is left,
# :math:`\eta / \sqrt a`, only shrinks. RMSProp and Adam forget old gradients. (Its sum also starts above 0, and nobody
# has tuned its rate here.)
#
# One update, slot by slot
# ------------------------
#
# .. explorable:: rule
#
#    Press Next: the gradient, the two means, the correction, the step. Then choose another rule for the same gradient.
#
# Where epsilon stands
# --------------------
#
# Look where :math:`\varepsilon` stands above: not at the same place in each rule. It should not matter. How small must a
# gradient be until it does? Take the
# first step, at Keras' defaults, for gradients of every size. The last curve adds :math:`\varepsilon` *after* the
# correction, as the Adam paper's algorithm does :cite:p:`kingma2015`; Keras has the paper's "epsilon hat", before it.
sizes = np.logspace(-10, 3, 400)
first = {
    "AdaGrad": rules.adagrad(1.0),
    "RMSProp": rules.rmsprop(1.0),
    "Adam": rules.adam(1.0),
}
curves = {}
for name, rule in first.items():
    curves[name] = -rule.update(sizes, rule.init(sizes), sizes)[0]
curves["Adam, epsilon after the correction"] = sizes / (sizes + 1e-7)

# sphinx_gallery_alt = "First step in units of the rate against the size of the gradient, both on log axes. All curves rise "
# sphinx_gallery_alt = "and then stay flat. Adam flattens at the smallest gradients, RMSProp later, AdaGrad last."
fig, ax = plt.subplots()
for (name, step), marker in zip(curves.items(), (">-", "v-", "P-", "--"), strict=True):
    color = COLORS.get(name.lower(), COLORS["theory"])
    ax.plot(sizes, step, marker, markevery=50, color=color, label=name)
ax.set(xscale="log", yscale="log", ylim=(1e-5, 10))
ax.set(xlabel="size of the gradient", ylabel="first step / rate")
label_lines(ax)

# %%
# Where a curve is flat the step no longer depends on the gradient's size: the rule works as it is meant to. Below, the
# step shrinks with the gradient, and the rule is plain descent. Half the full step is reached where the formulas say,
# and these places are far apart: the same :math:`\varepsilon` weighs more inside a root, and AdaGrad's start at 0.1
# weighs more still.
predicted = {
    "AdaGrad": np.sqrt((0.1 + 1e-7) / 3),
    "RMSProp": np.sqrt(1e-7 / (3 * (1 - 0.9))),
    "Adam": 1e-7 / np.sqrt(1 - 0.999),
    "Adam, epsilon after the correction": 1e-7,
}
for name, step in curves.items():
    half = np.exp(np.interp(np.log(step[-1] / 2), np.log(step), np.log(sizes)))
    print(f"{name}: half a step at gradient {half:.1e}, predicted {predicted[name]:.1e}")
    np.testing.assert_allclose(half, predicted[name], rtol=2e-3)  # the grid's

# %%
# Without the corrections
# -----------------------
#
# Both means start at zero, so both are too small at first: after k steady gradients :math:`m` is :math:`1 - \beta_1^k` of
# what it should be, and :math:`\sqrt v` is :math:`\sqrt{1 - \beta_2^k}`. Keras' defaults are :math:`\beta_1 = 0.9` and
# :math:`\beta_2 = 0.999`: after one update :math:`\sqrt v` is further off than :math:`m` (both are printed below). You divide
# by :math:`\sqrt v`. So a step without corrections is too long, by
#
# .. math:: c_k = \frac{1 - \beta_1^k}{\sqrt{1 - \beta_2^k}}
#
# Keras' Adam always corrects. By hand you can leave it out. Here are both, at a rate of 0.3, on the network of
# the first section (``build``) and the same moons, from one start and with the same batches (``order``).
k = np.arange(1, 201)
too_long = (1 - 0.9**k) / np.sqrt(1 - 0.999**k)


def uncorrected(eta):
    """Return Adam at Keras' defaults, without its two corrections."""

    def update(g, memory, _):
        m, v = memory
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        return -eta * m / (np.sqrt(v) + 1e-7), (m, v)

    return rules.UpdateRule(f"uncorrected({eta:g})", lambda theta: (0 * theta, 0 * theta), update)


objective = KerasObjective(build(), moons, loss=loss)
starts = []
for seed in range(8):
    model = build_mlp([8, 1], inputs=2, seed=seed, dtype="float64")
    starts.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))


def first_updates(make, eta, start, updates=50):
    """Return the size of each step in rates, and the loss of all the data."""
    run = descend(objective, make(eta), start, batches=order[:updates])
    losses = [objective.value_and_grad(theta)[0] for theta in run.parameters]
    return np.abs(np.diff(run.parameters, axis=0)) / eta, np.array(losses)


both = {"with corrections": rules.adam, "without": uncorrected}
seen = {name: first_updates(make, 0.3, starts[0]) for name, make in both.items()}

# sphinx_gallery_alt = "Two panels against the first 50 updates. Above, the longest step in units of the rate: with "
# sphinx_gallery_alt = "corrections it is one and then falls; without them it begins above three, and a dotted line for a steady "
# sphinx_gallery_alt = "gradient peaks above six. Below, the loss: with corrections it falls; without them it first jumps above its start."
fig, axes = plt.subplots(2, 1, figsize=(6.4, 6), sharex=True)
for (name, (steps, losses)), look in zip(seen.items(), ("P-", "s--"), strict=True):
    color = COLORS["stochastic" if look == "s--" else "adam"]
    axes[0].plot(k[:50], steps.max(axis=1), look, color=color, markevery=8, label=name)
    axes[1].plot(losses, look, color=color, markevery=8, label=name)
axes[0].plot(k[:50], too_long[:50], ":", color=COLORS["theory"], label="steady gradient")
axes[0].set(ylabel="longest step / rate")
axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
axes[1].set(xlabel="update", ylabel="loss of all data")

# %%
# Without corrections the first step is more than three times as long as the rate says. Were the gradient steady, the steps
# would grow until the update that is printed below. Then :math:`v` fills, and after a few thousand updates the steps are
# hardly too long any more.
print(f"after one update: m is {1 - 0.9:.2f} of what it should be, the root of v {np.sqrt(1 - 0.999):.3f}")
for name, (steps, _) in seen.items():
    print(f"longest first step {name}: {steps[0].max():.2f} rates")
top = int(too_long.argmax())
print(f"were the gradient steady: {too_long[top]:.2f} rates at update {k[top]}")
np.testing.assert_allclose(seen["with corrections"][0][0].max(), 1, rtol=1e-3)  # epsilon
np.testing.assert_allclose(seen["without"][0][0].max(), too_long[0], rtol=1e-3)

walks = []
for make in both.values():
    rule, walk = make(1.0), []
    memory = rule.init(np.ones(1))
    for _ in k:
        step, memory = rule.update(np.ones(1), memory, np.zeros(1))
        walk.append(-step[0])
    walks.append(np.array(walk))
np.testing.assert_allclose(walks[1] / walks[0], too_long, rtol=1e-9)  # for a steady gradient

# %%
# Are steps that are too long bad? From eight starts, at a rate that is large for this network and at one that is small:


def from_all_starts(eta, updates):
    """Return the losses of each rule from each start, and say how they went."""
    losses = {}
    for name, make in both.items():
        runs = [first_updates(make, eta, start, updates)[1] for start in starts]
        losses[name] = np.array(runs)
        print(f"rate {eta}, {name}: {rises(losses[name])} of 8 runs rise a tenth above their start, ", end="")
        print(f"mean loss after {updates} updates {losses[name][:, -1].mean():.2f}")
    return losses.values()


def rises(losses):
    """Count the runs that get a tenth above the loss of their start."""
    return np.sum(losses.max(axis=1) > 1.1 * losses[:, 0])


corrected_losses, uncorrected_losses = from_all_starts(0.3, updates=10)
assert rises(uncorrected_losses) >= rises(corrected_losses) + 4
corrected_losses, uncorrected_losses = from_all_starts(0.003, updates=50)
assert np.all(uncorrected_losses[:, -1] < corrected_losses[:, -1])


# %%
# At the large rate the first steps, too long by what is missing in :math:`v`, raise the :term:`loss` above its start. At the
# small one longer steps are a gain. So what the corrections give you is not speed. They
# make the first steps as long as the rate says: the number that you tune means the same from the first update on
# :cite:p:`kingma2015`.
#
# What this does not show: which rule is best. Two ways in which Adam fails come next,
# :ref:`sphx_glr_gallery_rules_plot_when_adam_fails.py`. The sources: :cite:t:`duchi2011`, :cite:t:`tieleman2012` and
# :cite:t:`kingma2015`. One more Adam stands in :ref:`sphx_glr_gallery_variants_plot_adam_on_the_notebook.py`.
#
# A bet
# -----
#
# Multiply the :term:`loss` by a thousand, and leave Adam's rate as it is. What becomes of its path? Choose before you open one.
#
# .. dropdown:: It explodes: every gradient is a thousand times as large
#
#    No. Plain descent would. Adam divides the mean of the gradients by the root of the mean of their squares, and both have grown by
#    the same factor.
#
# .. dropdown:: The steps are the root of a thousand times as long
#
#    No. They would be, if only the root in the denominator had grown, or only the numerator. Both have.
#
# .. dropdown:: Next to nothing
#
#    Yes. The factor cancels, but for epsilon, which weighs less now. So a loss in other units needs no other rate, and a penalty
#    that you add to the loss counts only beside the rest of it.
def thousandfold(eta):
    """Return Adam that is told a thousand times each gradient."""
    rule = rules.adam(eta)
    return rules.UpdateRule(
        f"thousandfold({eta:g})",
        rule.init,
        lambda g, memory, theta: rule.update(1000 * g, memory, theta),
    )


there, louder = (
    descend(objective, make(0.01), starts[0], batches=order).parameters for make in (rules.adam, thousandfold)
)
way, gap = np.linalg.norm(there[-1] - there[0]), np.linalg.norm(louder[-1] - there[-1])
print(f"200 updates: the ends differ by {gap / way:.0e} of the way")
assert gap < 0.01 * way

# %%
# Exercises
# ---------
#
# Each of these is about code that was published and ran without an error.
#
# 1. A line of Adam in the TensorFlow tab of :cite:t:`zhang2023d2l` ends ``p - lr * m_hat / sqrt(v_hat) + eps``. What
#    does the misplaced parenthesis do to a neuron's path? And to a weight whose gradient is zero?
# 2. The ``Momentum`` class of a
#    `TensorFlow guide <https://www.tensorflow.org/guide/core/optimizers_core>`_ keeps one ``change`` for the whole
#    model, and each variable in turn reads it and writes it. The guide tests it with one variable. What does it do
#    with two?
# 3. Leave out one correction of Adam and keep the other. How long is the first step at Keras' defaults?
#
# The first solution. The denominator has lost its epsilon, and each parameter gains it at every update.
line, steps = LeastSquares(make_line()), 500


def misplaced(g, memory, _, eps=1e-6):
    """Adam with the parenthesis in the wrong place; the book's settings."""
    k, m, v = memory
    k, m, v = k + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    with np.errstate(invalid="ignore"):
        return -0.01 * (m / (1 - 0.9**k)) / np.sqrt(v / (1 - 0.999**k)) + eps, (k, m, v)


wrong = rules.UpdateRule("misplaced", lambda theta: (0, 0 * theta, 0 * theta), misplaced)
right = rules.adam(0.01, epsilon=1e-12)
paths = [descend(line, rule, [0.0, 0.0], steps=steps).parameters for rule in (right, wrong)]
gap = np.abs(paths[1] - paths[0]).max()
ends = [line.value_and_grad(path[-1])[0] for path in paths]
print(
    f"1. the paths of {steps} updates differ by {gap:.0e} at most, and the losses {ends[0]:.4f} and {ends[1]:.4f} look alike"
)
assert np.isclose(*ends, rtol=1e-2)
assert 1e-6 < gap <= steps * 1e-6
step, _ = wrong.update(np.array([3.0, 0.0]), wrong.init(np.zeros(2)), np.zeros(2))
print(f"   step for gradients 3 and 0: {step.round(6)}: one dead input is enough")
assert np.isnan(step[1])
assert np.isfinite(step[0])

# %%
# The second. The bias takes over the weight's velocity, and the weight the bias's. The settings are the guide's
# momentum of 0.7 and, for both, every rate.


def one_state(eta, beta=0.7):
    """Momentum with a single velocity, handed from variable to variable."""

    def update(g, change, _):
        steps = []
        for g_i in g:
            change = beta * change - eta * g_i
            steps.append(change)
        return np.array(steps), change

    return rules.UpdateRule(f"one state({eta:g}, beta={beta})", lambda _: 0.0, update)


# sphinx_gallery_alt = "Contraction rate against learning rate. Momentum with a state for each variable dips far below the "
# sphinx_gallery_alt = "line of the best plain descent. With one shared state it never gets below that line, and it "
# sphinx_gallery_alt = "diverges earlier."
fig, ax = plt.subplots()
etas = np.linspace(0.01, 0.21, 81)
for label, make, color in (
    ("one state for each variable", lambda eta: rules.momentum(eta, 0.7), "momentum"),
    ("one state for all", one_state, "stochastic"),
):
    paths = [descend(line, make(eta), [0, 0], steps=120).parameters for eta in etas]
    away = np.linalg.norm(np.array(paths) - [2, 0], axis=2)
    # swings go up and down, so compare the highest of each twenty
    rates = (away[:, 100:120].max(axis=1) / away[:, 60:80].max(axis=1)) ** (1 / 40)
    ax.plot(etas, rates, color=COLORS[color], label=label)
    limit = etas[rates > 1][0]
    print(f"2. {label}: contracts by {rates.min():.3f} at best, diverges from {limit:.3f}")
hessian = line_hessian(make_line())
plain = contraction_rate(hessian, optimal_learning_rate(hessian))
ax.axhline(plain, ls="--", color=COLORS["theory"], label="plain descent at its best")
ax.set(xlabel="learning rate", ylabel="contraction rate", ylim=(0.8, 1.05))
label_lines(ax)
assert rates.min() > plain  # worse than no momentum at all

# %%
# Below the rate at which it diverges it still ends at the minimum, for it can rest only where all gradients are zero. So
# a test of the result passes; only the speed is lost. And the third:
g = 3.0
only_v = 0.1 * g / np.sqrt(0.001 * g**2 / (1 - 0.999))
only_m = 0.1 * g / (1 - 0.9) / np.sqrt(0.001 * g**2)
print(f"3. {only_v:.1f} rates if v alone is corrected, {only_m:.1f} if m alone is")
np.testing.assert_allclose([only_v, only_m], [1 - 0.9, 1 / np.sqrt(1 - 0.999)])
np.testing.assert_allclose(only_v * only_m, too_long[0])  # both left out
plt.show()

# %%
# Next: two problems on which Adam goes wrong, :ref:`sphx_glr_gallery_rules_plot_when_adam_fails.py`. On the road of the
# course: networks of many layers, :ref:`sphx_glr_gallery_theory_plot_initialisation.py`.
