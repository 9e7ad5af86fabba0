r"""
A network moves to where its learning rate is about to explode, and stays there
===============================================================================

On a bowl the curvature is fixed, and a :term:`learning rate` :math:`\eta` is stable below
:math:`2 / \lambda_{\max}` or it is not. The curvature of a network depends on where it is. So turn the
:term:`stability limit` around: at a rate :math:`\eta` the :term:`sharpness`, the largest :term:`eigenvalue` of the
:term:`Hessian`, may be at most

.. math:: \lambda_{\max}(\theta) = \frac{2}{\eta}

:cite:t:`cohen2021` found that full-batch :term:`gradient descent` does not stay below it, as a careful user would
arrange. It climbs until it gets there, and then does not leave. Look for three runs with three rates that end at three
sharpnesses. You need :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import Dataset, build_mlp, sharpness, train, use_style
from gdexplain.plotting import COLORS

use_style()
x = np.linspace(-1, 1, 20)[:, np.newaxis]
data = Dataset(x, np.sin(3 * x), name="sin(3x)")


def start():
    """Build a 1-32-32-1 tanh network with half of Keras' weights: flat enough for every rate here."""
    model = build_mlp([32, 32, 1], inputs=1, seed=1)
    model.set_weights([weight / 2 for weight in model.get_weights()])
    return model


# %%
# Three rates from one start, the whole batch at every :term:`update`, no :term:`momentum`. The sharpness is measured at
# every 125th update, by Lanczos iteration on products of the Hessian with a vector: the matrix itself, 1,153 by
# 1,153, is never formed.
rates = {0.1: COLORS["batch"], 0.2: COLORS["minibatch"], 0.4: COLORS["stochastic"]}
runs, sharp, models = {}, {}, {}
for rate in rates:
    model = models[rate] = start()
    settings = {"batch_size": None, "jit": True, "record": ("parameters",), "record_every": 125}
    runs[rate] = train(model, data, optimizer=SGD(rate), epochs=8000, **settings)
    sharp[rate] = sharpness(model, data, parameters=runs[rate].parameters)

# sphinx_gallery_alt = "Sharpness against updates for three learning rates. All rise from the same low value; each stops "
# sphinx_gallery_alt = "rising at its own dashed line, 2 divided by its rate, and then hovers there."
fig, ax = plt.subplots()
for (rate, color), marker in zip(rates.items(), "os^", strict=True):
    words = f"learning rate {rate}"
    ax.plot(runs[rate].updates, sharp[rate], f"{marker}-", color=color, lw=1.4, ms=4, label=words)
    ax.axhline(2 / rate, ls="--", color=COLORS["theory"], lw=1.4)
ax.set(xlabel="update", ylabel="sharpness", ylim=(0, 31))
ax.legend(loc="upper right")

# %%
# The dashed lines are :math:`2 / \eta`, nothing else. The rate did not only decide how fast the network learns. It
# decided which network it becomes: a larger rate ends in a flatter place.
for rate, values in sharp.items():
    product = np.mean(values[-16:]) * rate / 2  # over the last quarter: it hovers
    print(f"learning rate {rate}: at first {values[0] * rate / 2:.2f} of the limit, at the end {product:.3f}")
    assert values[0] * rate / 2 < 0.7
    np.testing.assert_allclose(product, 1, rtol=0, atol=0.03)

# %%
# Why it does not explode
# -----------------------
#
# At the edge the steepest direction overshoots by as much as it corrects. The :term:`loss` rises. But a bounce along that
# direction also pushes the network to where the curvature is less, and the bounce dies out. Then the climb begins again.
# (That is the explanation of :cite:t:`damian2023`; what you see below is the outcome.)

# sphinx_gallery_alt = "Loss against updates, log axis. At the smallest rate it falls smoothly, and then throws one spike after "
# sphinx_gallery_alt = "another; at the larger rates it is ragged from early on. All three fall in the long run."
fig, ax = plt.subplots()
for rate, color in reversed(rates.items()):
    ax.plot(runs[rate].loss, color=color, lw=0.6, alpha=0.9, label=f"learning rate {rate}")
ax.set(xlabel="update", ylabel="loss", yscale="log")
for handle in ax.legend().get_lines():
    handle.set_linewidth(2.4)

# %%
# At the edge the loss often rises, and still falls in the long run. Well before the edge it falls at nearly every update, as
# the theory of the bowl promises.
for rate, run in runs.items():
    reached = run.updates[np.argmax(sharp[rate] > 0.98 * 2 / rate)]
    rises = [np.mean(np.diff(part) > 0) for part in (run.loss[: reached // 2], run.loss[reached:])]
    print(
        f"learning rate {rate}: the loss rises in {rises[0]:.1%} of the updates half of the way to the edge, ", end=""
    )
    print(f"in {rises[1]:.0%} there; loss at the end {run.loss[-100:].mean():.4f}")
    assert rises[0] < 0.01
    assert rises[1] > 0.15
    assert run.loss[-1000:].mean() < run.loss[reached : reached + 1000].mean()

# %%
# What this does not show: :term:`mini-batches <mini-batch>` settle below the line, because the noise bounces them too;
# and with :term:`Adam` another matrix meets another limit. Float32 and the jumps at the edge make each run a little
# chaotic: where it hovers is sure to a few percent, the digits after that are not.
#
# Exercises
# ---------
#
# 1. Take the network that rate 0.1 left behind and go on with rate 0.2. What do the loss and the sharpness do?
# 2. Momentum :math:`\beta` raises the stability limit to :math:`2 (1 + \beta) / \eta`. Where does rate 0.2 with
#    :math:`\beta = 0.5` end?
#
# The solutions, in this order:
before = runs[0.1].loss[-100:].mean()
after = train(models[0.1], data, optimizer=SGD(0.2), epochs=4000, **settings)
values = sharpness(models[0.1], data, parameters=after.parameters)
print(f"1. the loss jumps from {before:.4f} to {after.loss.max():.2f}, and the sharpness ends at {values[-1]:.1f}")
assert after.loss.max() > 10 * before
np.testing.assert_allclose(np.mean(values[-8:]) * 0.2 / 2, 1, rtol=0, atol=0.06)

model = start()
heavy = train(model, data, optimizer=SGD(0.2, momentum=0.5), epochs=8000, **settings)
product = np.mean(sharpness(model, data, parameters=heavy.parameters[-16:])) * 0.2 / 2
print(f"2. at {product:.2f} times 2 / rate, and 1 + 0.5 = 1.5")
np.testing.assert_allclose(product, 1.5, rtol=0, atol=0.06)
plt.show()

# %%
# Next: where the edge of what trains lies, :ref:`sphx_glr_gallery_theory_plot_fractal_boundary.py`.
