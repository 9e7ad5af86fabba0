r"""
AdamW and weight decay
======================

*With Adam, an L2 penalty is not weight decay.*

:term:`Weight decay` shrinks every :term:`weight` a little at each :term:`update`. In plain :term:`gradient descent` you
get it by adding :math:`\tfrac\lambda2 \lVert\theta\rVert^2` to the :term:`loss`, because the penalty's
:term:`gradient` is :math:`\lambda \theta`. So the two were long taken for one. Then came
:term:`Adam`, which divides every gradient by its own size, and the penalty's with it:

.. math:: \text{decay (AdamW):} \quad \theta \leftarrow \theta - \eta \lambda \theta - \eta \, \frac{\hat m}{\sqrt{\hat v}}

.. math:: \text{penalty (Adam + L2):} \quad g \leftarrow g + \lambda \theta \ \text{ inside } \hat m \text{ and } \hat v

Here :math:`\eta` is the :term:`learning rate` and :math:`\hat m`, :math:`\hat v` are Adam's running means of the
gradient and of its square. Take a weight that the data does not touch, and make :math:`\lambda` ten times larger.
With decay the weight shrinks ten times as fast. Look at what happens with the penalty: nothing. You need :ref:`sphx_glr_gallery_rules_plot_adam_from_scratch.py`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD, Adam, AdamW

from gdexplain import Dataset, descend, train, use_style
from gdexplain.by_hand import rules
from gdexplain.plotting import COLORS, label_lines

use_style()
rate, updates = 0.01, 100

# %%
# A neuron whose input is always 0: its weight starts at 1, and the data says nothing about it. Both forms in Keras, as
# you would write them. (Keras' ``L2(c)`` adds :math:`c \, \theta^2`, so :math:`c = \lambda / 2`.)
silent = Dataset(np.zeros((4, 1)), np.zeros((4, 1)), name="an input that is always 0")


def run(optimizer, penalty=0.0):
    """Train a weight of 1 on the silent input."""
    regularizer = keras.regularizers.L2(penalty / 2) if penalty else None
    options = {"kernel_initializer": "ones", "kernel_regularizer": regularizer}
    weight = keras.layers.Dense(1, use_bias=False, dtype="float64", **options)
    model = keras.Sequential([keras.Input((1,)), weight])
    record = train(model, silent, optimizer=optimizer, batch_size=None, epochs=updates)
    return record.parameters[:, 0]


decays = (0.1, 1.0)
decayed = [run(AdamW(rate, weight_decay=decay)) for decay in decays]
penalised = [run(Adam(rate), penalty=decay) for decay in decays]

# sphinx_gallery_alt = "A weight without a gradient over 100 updates. With AdamW it decays slowly for the small lambda and "
# sphinx_gallery_alt = "quickly for the large one. With Adam and an L2 penalty both curves are one: a nearly straight fall."
fig, ax = plt.subplots()
for decay, path, color in zip(decays, decayed, ("nesterov", "adam"), strict=True):
    ax.plot(path, color=COLORS[color], label=f"AdamW, λ = {decay:g}")
for decay, path, color, width in zip(decays, penalised, ("momentum", "rmsprop"), (6, 1.5), strict=True):
    ax.plot(path, color=COLORS[color], lw=width, label=f"Adam + L2, λ = {decay:g}")
ax.set(xlabel="update", ylabel="weight", ylim=(0, 1.05))
label_lines(ax)

# %%
# AdamW does what its formula says: without a gradient the weight is multiplied by :math:`1 - \eta\lambda` each time.
# With the penalty the only gradient is :math:`\lambda\theta`, and dividing it by its own size removes :math:`\lambda`:
# the weight walks down by at most one rate an update, whatever you ask for.
print("lambda      AdamW   predicted   Adam + L2")
for decay, path, other in zip(decays, decayed, penalised, strict=True):
    predicted = (1 - rate * decay) ** updates
    print(f"{decay:6}   {path[-1]:.6f}    {predicted:.6f}      {other[-1]:.4f}")
    # Keras' rate is float32
    np.testing.assert_allclose(path[-1], predicted, rtol=1e-6)
np.testing.assert_allclose(decayed[0][-1], 0.904792, atol=5e-7)
np.testing.assert_allclose(penalised[1][-1], 0.2244, atol=1e-4)
# Epsilon, 1e-7, is all that tells them apart
np.testing.assert_allclose(*penalised, atol=1e-4)

# %%
# Plain descent cannot tell the two apart, which is where the habit came from.
plain = run(SGD(rate), penalty=0.1)
np.testing.assert_allclose(plain, decayed[0], rtol=1e-6)

# %%
# The penalty spares the loud
# ---------------------------
#
# Now let the data speak, with pure noise: the gradient of weight i is :math:`\pm s_i`, up, down, down, up, and zero on
# average. All that should remain is the decay. The :math:`s_i` run from silent to loud.


class Noise:
    """Example 0 pulls each weight one way, example 1 the other; plus an L2 penalty."""

    size, signs = 2, np.array([1.0, -1.0])

    def __init__(self, loudness, penalty=0.0):
        self.loudness, self.penalty = loudness, penalty

    def value_and_grad(self, theta, rows=None):
        """Return the loss of the examples in `rows`, and its gradient."""
        pull = self.signs[rows if rows is not None else ...].mean() * self.loudness
        return pull @ theta + self.penalty / 2 * theta @ theta, pull + self.penalty * theta


loudness, steps, decay = np.logspace(-3, 2, 26), 2000, 0.1
turns = [[0], [1], [1], [0]] * (steps // 4)
start = np.ones(len(loudness))
cases = {
    "AdamW": (Noise(loudness), rules.adamw(rate, weight_decay=decay)),
    "Adam + L2": (Noise(loudness, decay), rules.adam(rate)),
    "gradient descent + L2": (Noise(loudness, decay), rules.gradient_descent(rate)),
}
left = {}
for name, (objective, rule) in cases.items():
    path = descend(objective, rule, start, batches=turns).parameters
    # Each pull moves a loud weight; their mean does not
    left[name] = path[-4:].mean(axis=0)
expected = (1 - rate * decay) ** steps

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Weight left after 2000 updates against the size of its gradient noise, log axis. AdamW is a flat line "
# sphinx_gallery_alt = "on the dashed prediction. Adam with L2 climbs from zero for quiet weights to one, no decay at all, for "
# sphinx_gallery_alt = "loud ones. Gradient descent with L2 lies on the prediction too."
fig, ax = plt.subplots()
looks = (("adam", "P", 12), ("momentum", "D", 6), ("batch", "o", 4))
for (name, weights), (color, marker, size) in zip(left.items(), looks, strict=True):
    ax.plot(loudness, weights, marker, color=COLORS[color], ms=size, label=name)
ax.axhline(expected, ls="--", color=COLORS["theory"], label="predicted decay")
ax.set(xscale="log", xlabel="size of the gradient noise", ylabel="weight that is left")
label_lines(ax)

# %%
# With decay every weight shrinks alike. With the penalty a quiet weight is wiped out and a loud one is hardly touched:
# its share of a step is :math:`\lambda\theta / s`. So the penalty spares the weights whose
# gradients are noisiest.
print("rule                    in silence   in the loudest noise   predicted")
for name, weights in left.items():
    print(f"{name:21}   {weights[0]:10.4f}   {weights[-1]:20.4f}   {expected:9.4f}")
# Half a turn of noise
np.testing.assert_allclose(left["gradient descent + L2"], expected, rtol=3e-3)
# Adam's first steps are not quite balanced
np.testing.assert_allclose(left["AdamW"], expected, rtol=0.01)
assert left["Adam + L2"][0] < 1e-3
assert left["Adam + L2"][-1] > 0.95
assert (np.diff(left["Adam + L2"]) > -1e-3).all()

# %%
# What this does not show: which of the two makes a better network. :cite:t:`loshchilov2019` measured that, and named
# AdamW. In Keras' AdamW the decay is multiplied by the rate, so a :term:`learning rate schedule` lowers both.
#
# Exercises
# ---------
#
# 1. You want AdamW at rate 0.001 to halve a weight without gradient in 1000 updates. Which decay do you ask for?
# 2. Does :term:`momentum` make a difference between decay and penalty too? Compare ``SGD(0.01, momentum=0.9)`` with an L2
#    penalty, on the silent weight, with the decay :math:`(1 - \eta\lambda)^{100}`.
# 3. With Adam + L2, how many rates can the silent weight walk in 100 updates at most? How many does it walk?
#
# The solutions, in this order:
ask = (1 - 0.5 ** (1 / 1000)) / 0.001
rule = rules.adamw(0.001, weight_decay=ask)
halving = descend(Noise(np.zeros(1)), rule, [1.0], steps=1000).parameters[-1, 0]
print(f"1. {ask:.4f}: leaves {halving:.4f}")
np.testing.assert_allclose(halving, 0.5)

heavy = run(SGD(rate, momentum=0.9), penalty=0.1)[-1]
print(f"2. yes: {heavy:.3f} in place of {decayed[0][-1]:.3f}, for each pull is repeated")
assert heavy < decayed[0][-1] - 0.2

walked = (1 - penalised[0][-1]) / rate
print(f"3. {updates}: v remembers the larger gradients of before longer than m does, so no step is longer than a rate.")
print(f"   It walks {walked:.1f}, for it slows down as its own gradient shrinks")
assert 70 < walked < updates
plt.show()

# %%
# Next: rates that change while you train, :ref:`sphx_glr_gallery_rules_plot_schedules.py`.
