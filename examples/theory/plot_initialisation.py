r"""
Initialisation
==============

*Every ReLU layer halves the signal, unless the weights start right.*

Nothing is trained yet, and a deep network may already be lost. Each :term:`layer` multiplies the mean square of its
signal by some factor, on the way forward and on the way back, and n layers multiply it by the n-th power. For wide layers
whose :term:`weights <weight>` are drawn with variance :math:`\operatorname{Var}(w)`:

.. math::

   \begin{aligned}
   \frac{\operatorname E[z_{l+1}^2]}{\operatorname E[z_l^2]}
   &= n_{\text{in}} \operatorname{Var}(w) \, \frac{\operatorname E[\varphi(z_l)^2]}{\operatorname E[z_l^2]} \\[0.9em]
   \frac{\operatorname E[\delta_l^2]}{\operatorname E[\delta_{l+1}^2]}
   &= n_{\text{out}} \operatorname{Var}(w) \operatorname E[\varphi'(z_l)^2]
   \end{aligned}

.. index:: ! vanishing gradient
.. index:: ! exploding gradient

Here :math:`z_l` is layer l's :term:`pre-activation`, :math:`\varphi` the :term:`activation`,
:math:`\delta_l = \partial L / \partial z_l`, and :math:`n` counts inputs or units. :term:`ReLU` drops half of a signal that is
symmetric about 0, so Glorot's variance :math:`2 / (n_{\text{in}} + n_{\text{out}})` :cite:p:`glorot2010` loses one
power of two a layer between layers of equal width, and He's :math:`2 / n_{\text{in}}` :cite:p:`he2015` makes up for it. You need
:doc:`/explanation/backprop_by_hand`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

from gdexplain import Dense, load_digits, trace_backprop, train, use_style
from gdexplain.plotting import COLORS, label_lines

use_style()
width, depth = 256, 20
rng = np.random.default_rng(0)
inputs, targets = rng.standard_normal((2, 50, width))
schemes = {  # initialiser, activation: colour and marker
    ("he_normal", "relu"): (COLORS["minibatch"], "s"),
    ("glorot_uniform", "relu"): (COLORS["stochastic"], "^"),
    ("glorot_uniform", "sigmoid"): (COLORS["batch"], "o"),
}


def stack(initializer, activation, seed):
    """Draw one network's kernels with Keras, as arrays; its last layer is linear."""
    keras.utils.set_random_seed(seed)  # an initialiser draws the same numbers twice: make one a layer
    kernels = [np.asarray(keras.initializers.get(initializer)((width, width))) for _ in range(depth)]
    return [Dense(kernel, None, activation) for kernel in kernels[:-1]] + [Dense(kernels[-1])]


def mean_square(function, second_moment=1.0):
    """Return the mean of function(z) squared over a Gaussian z with this second moment."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)  # an even number: none at 0, where ReLU bends
    return np.average(function(np.sqrt(second_moment) * nodes) ** 2, weights=weights)


variances = {"he_normal": 2 / width, "glorot_uniform": 1 / width}  # of a kernel as wide as it is high
relu = mean_square(lambda z: np.maximum(z, 0))
forward_gains = {name: width * variance * relu for name, variance in variances.items()}
np.testing.assert_allclose([*forward_gains.values()], [1, 1 / 2], rtol=1e-12)  # the half that ReLU drops

# %%
# Draw each network five times, and take it through one :term:`forward pass` and one :term:`backward pass`.
# :func:`gdexplain.trace_backprop` keeps every :math:`z_l` and :math:`\delta_l`.
moments = {}
for scheme in schemes:
    traces = [trace_backprop(stack(*scheme, seed), inputs, targets).layers for seed in range(5)]
    moments[scheme] = [
        np.mean([[np.mean(getattr(layer, kind) ** 2) for layer in trace] for trace in traces], axis=0)
        for kind in ("pre_activation", "delta")
    ]
number = np.arange(1, depth + 1)

# sphinx_gallery_alt = "Mean square of the pre-activations against the layer, log axis to base 2. With He's "
# sphinx_gallery_alt = "weights and relu it stays level. With Glorot's and relu it falls along a dashed straight "
# sphinx_gallery_alt = "line, by half a layer, to a millionth."
fig, ax = plt.subplots()
for scheme, (color, marker) in schemes.items():
    if scheme[1] == "relu":
        gain = forward_gains[scheme[0]]
        forward = moments[scheme][0]
        ax.plot(number, forward, marker, color=color, label=", ".join(scheme).replace("_", " "))
        ax.plot(number, forward[0] * gain ** (number - 1.0), "--", color=COLORS["theory"], lw=1.4)
ax.set_yscale("log", base=2)
ax.set(xlabel="layer", ylabel="mean square of z", xticks=number[::3])
label_lines(ax)

# %%
# Dashed is the prediction. A factor of two in a variance decides whether the last layer hears anything of the
# input. The mean over five draws leaves two hundredths of luck in a slope; the tolerance is three times that.
print("initialisation         log2 a layer   predicted")
for scheme in list(schemes)[:2]:
    slope = np.polyfit(number, np.log2(moments[scheme][0]), 1)[0]
    predicted = np.round(np.log2(forward_gains[scheme[0]]), 9) + 0.0
    print(f"{', '.join(scheme):20}   {slope:+12.2f}   {predicted:+9.2f}")
    np.testing.assert_allclose(slope, predicted, rtol=0, atol=0.06)

# %%
# On the way back: the vanishing gradient
# ---------------------------------------
#
# The slope of the :term:`sigmoid` is 1/4 at most, so with weights that neither grow nor shrink a signal, a layer lets at most a
# quarter of the :term:`gradient` through. Away from its steepest point, a little less.

# sphinx_gallery_thumbnail_number = 2
# sphinx_gallery_alt = "Root mean square of delta against the layer, log axis, read from right to left. He with relu stays "
# sphinx_gallery_alt = "about level. Glorot with relu falls along a straight line, and the sigmoid along a dashed one that is far steeper."
fig, ax = plt.subplots()
for scheme, (color, marker) in schemes.items():
    ax.plot(number, np.sqrt(moments[scheme][1]), marker, color=color, label=", ".join(scheme).replace("_", " "))
sigmoid = moments["glorot_uniform", "sigmoid"]
z2 = sigmoid[0][5:-1].mean()  # after a few layers it no longer changes
gain = width * variances["glorot_uniform"] * mean_square(lambda z: 1 / (4 * np.cosh(z / 2) ** 2), z2)
line = np.sqrt(sigmoid[1][-2]) * np.sqrt(gain) ** (depth - 1 - number)
ax.plot(number, line, "--", color=COLORS["theory"], lw=1.4, label="predicted")
ax.set(xlabel="layer", ylabel="root mean square of δ", yscale="log", xticks=number[::3])
label_lines(ax)

# %%
# Read it from right to left, as the gradient travels. What reaches the first sigmoid layer is a part in
# :math:`4^{19}` or less, so these weights hardly move while the last ones learn.
# The ratio depends on how large z is: 1/4 where z is nearly 0, and less at the size where z settles.
ratio = (sigmoid[1][0] / sigmoid[1][-2]) ** (0.5 / (depth - 2))
print(f"sigmoid: the gradient keeps {ratio:.3f} a layer, predicted {np.sqrt(gain):.3f}, bound 0.25")
# the law is for infinite width, and misses by half a percent here; the rest is chance
np.testing.assert_allclose(ratio, np.sqrt(gain), rtol=0.02)
assert ratio < 0.25

# %%
# What it costs
# -------------
#
# The same three starts on the handwritten digits, twenty layers deep, one rate for all, ten :term:`epochs <epoch>`.
digits = load_digits()
crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
runs = {}
for scheme in schemes:
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(64, scheme[1], kernel_initializer=scheme[0]) for _ in range(depth)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    sgd = keras.optimizers.SGD(0.01)
    runs[scheme] = train(model, digits, optimizer=sgd, loss=crossentropy, batch_size=64, epochs=10, record=())

# sphinx_gallery_alt = "Loss on the digits by epoch. Only He with relu falls; the two others stay on a dotted line, the "
# sphinx_gallery_alt = "loss of a guess."
fig, ax = plt.subplots()
by_epoch = {scheme: run.loss.reshape(-1, run.updates_per_epoch).mean(axis=1) for scheme, run in runs.items()}
for scheme, (color, marker) in schemes.items():
    loss = by_epoch[scheme]
    ax.plot(np.arange(1, len(loss) + 1), loss, f"{marker}-", color=color, label=", ".join(scheme).replace("_", " "))
ax.axhline(np.log(10), ls=":", color=COLORS["theory"], label="a guess: ln 10")
ax.set(xlabel="epoch", ylabel="mean loss")
label_lines(ax)

# %%
# In these ten epochs only one of them learns anything. The second differs from it in its first weights alone, the third in
# its activation too. How far the first one gets depends on its draws; that it gets away from a guess does not.
print("initialisation            loss in the last epoch   of a guess")
for scheme, loss in by_epoch.items():
    print(f"{', '.join(scheme):23}   {loss[-1]:22.2f}   {np.log(10):10.2f}")
    assert loss[-1] < 2 if scheme == ("he_normal", "relu") else loss[-1] > 2.25

# %%
# What this does not show: the law is for wide layers, at the start. Training moves the weights, and a network that learns
# nothing in ten epochs may wake up later. Normalisation layers and skip connections keep the scale up in other ways.
#
# A bet
# -----
#
# Take He's weights, and leave ReLU out: every layer is linear. What becomes of the mean square of :math:`z` from layer to
# layer? Choose before you open one.
#
# .. dropdown:: It stays level: these weights are made for that
#
#    No. They are made for ReLU, which drops half of the signal. Their variance makes up for the half.
#
# .. dropdown:: It halves: half of the units say nothing
#
#    No. That is Glorot with ReLU. Without ReLU no unit is silent.
#
# .. dropdown:: It doubles
#
#    Yes. The half that nothing drops any more comes back, in every layer: twenty layers make it some million times as large.
drawn = [trace_backprop(stack("he_normal", "linear", seed), inputs, targets).layers for seed in range(5)]
square = np.mean([[np.mean(layer.pre_activation**2) for layer in trace] for trace in drawn], axis=0)
doubling = np.polyfit(number, np.log2(square), 1)[0]
print(f"he_normal, linear: log2 {doubling:+.2f} a layer, predicted +1.00")
np.testing.assert_allclose(doubling, 1, rtol=0, atol=0.06)  # as above

# %%
# Exercises
# ---------
#
# 1. After how many layers of Glorot and ReLU is a mean square of 1 below float32's smallest normal number?
# 2. For a tanh network, which of the two initialisers is nearer to a gain of 1 while z is small?
# 3. Let every sigmoid be 16 times as steep: slope 4 at its middle in place of 1/4. Does the gradient explode instead?
#
# The solutions, in this order:
layers = np.floor(-np.log2(float(np.finfo(np.float32).tiny))) + 1
print(f"1. after {layers:.0f} layers: one power of two each")
assert 0.5**layers < np.finfo(np.float32).tiny <= 0.5 ** (layers - 1)

small = mean_square(np.tanh, 1e-4) / 1e-4
gains = [width * variances[name] * small for name in ("glorot_uniform", "he_normal")]
print(f"2. Glorot: gain {gains[0]:.3f}; He would double the mean square: {gains[1]:.3f}")
np.testing.assert_allclose(gains, [1, 2], rtol=1e-3)

*hidden, last = stack("glorot_uniform", "sigmoid", 0)
steeper = [Dense(16 * layer.weights, None, layer.activation) for layer in hidden]  # sigmoid(16 z)
size = [np.sqrt(np.mean(layer.delta**2)) for layer in trace_backprop([*steeper, last], inputs, targets).layers]
growth = (size[0] / size[-2]) ** (1 / (depth - 2))
print(
    f"3. it grows, {growth:.2f} times a layer, and not {16 * ratio:.2f}: z settles where most of the sigmoids are flat"
)
assert 1 < growth < 8 * ratio
plt.show()

# %%
# Next: what a surface with more than one layer looks like, :ref:`sphx_glr_gallery_theory_plot_network_surface.py`. On the
# road of the course: real data, :ref:`sphx_glr_gallery_practice_plot_digits.py`.
