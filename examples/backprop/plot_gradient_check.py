r"""
Gradient check
==============

*A step that is too small spoils a gradient check.*

A wrong :term:`gradient` does not crash, and the :term:`loss` may fall all the same. So hold yours against the definition of a
derivative: take a small step :math:`h` in one :term:`parameter` :math:`\theta_i` at a time, and see how the loss :math:`L`
answers (:math:`e_i` is 1 at :math:`i` and 0 elsewhere; the upright :math:`\mathrm{i}` is the imaginary unit, and Im takes the
imaginary part).

.. math::

   \begin{aligned}
   \text{forward:} \quad & \frac{L(\theta + h e_i) - L(\theta)}{h} \\[0.9em]
   \text{central:} \quad & \frac{L(\theta + h e_i) - L(\theta - h e_i)}{2h} \\[0.9em]
   \text{complex step:} \quad & \frac{\operatorname{Im} L(\theta + \mathrm{i} h e_i)}{h}
   \end{aligned}

The definition says :math:`h \to 0`. Look what happens when you do that. You need
:doc:`/explanation/backprop_by_hand`.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from gdexplain import (
    Dataset,
    Dense,
    KerasObjective,
    as_layers,
    build_mlp,
    check_gradients,
    load_digits,
    make_moons,
    numerical_gradient,
    trace_backprop,
    train,
)
from gdexplain.by_hand.backprop import loss_function
from gdexplain.by_hand.network import flat_parameters
from gdexplain.plotting import COLORS, label_lines, use_style

use_style()

# %%
# A small Keras network on 20 points, and its gradient from :func:`gdexplain.trace_backprop`, computed in float64. First
# the claim to be checked: :term:`backpropagation` by hand is what Keras does.
data, loss = make_moons(20), "binary_crossentropy"
model = build_mlp([3, 1], inputs=2, output_activation="sigmoid", seed=0)
layers = as_layers(model)
theta = flat_parameters(layers)
gradient = trace_backprop(layers, data.inputs, data.targets, loss=loss).gradient


def error(estimate):
    """Return the largest difference, relative to the largest entry."""
    return np.abs(estimate - gradient).max() / np.abs(gradient).max()


by_tape = KerasObjective(model, data, loss=loss).in_float64().value_and_grad(theta)[1]
print(f"trace against GradientTape, relative: {error(by_tape):.0e}")
assert error(by_tape) < 1e-15  # a few roundings of 1.1e-16

# %%
# Now the three difference quotients, each with 57 steps from 1e-15 to 0.1. They use values of the loss and nothing else.
# The last curve takes them from the Keras model as you would build it, in float32.
steps = np.logspace(-15, -1, 57)
by_hand = loss_function(layers, data.inputs, data.targets, loss=loss)
in_float32 = KerasObjective(model, data, loss=loss).value
curves = {
    method: np.array([error(numerical_gradient(by_hand, theta, method=method, h=h)) for h in steps])
    for method in ("forward", "central", "complex")
}
wide = steps[steps > 1e-7]
float32 = np.array([error(numerical_gradient(in_float32, theta, h=h)) for h in wide])

# sphinx_gallery_alt = "Relative error of the gradient over the step h, both on log axes. Forward and central "
# sphinx_gallery_alt = "differences form two valleys: with smaller h the error falls along a straight line, then rises "
# sphinx_gallery_alt = "again in a ragged one, up to 1. The valley of the central differences is deeper. In float32 "
# sphinx_gallery_alt = "it is shallow. The complex step falls to the last digit and stays there."
fig, ax = plt.subplots(figsize=(6.2, 4.6))
looks = zip(curves.items(), ("-", "-", "-"), ("minibatch", "stochastic", "batch"), strict=True)
for (method, errors), dashes, color in looks:
    ax.plot(
        steps,
        np.maximum(errors, 1e-17),
        ls=dashes,
        color=COLORS[color],
        label=method.replace("complex", "complex step"),
    )
ax.plot(wide, float32, "-", marker=".", ms=6, lw=1.2, color=COLORS["momentum"], label="central, float32")
ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error", ylim=(1e-17, 30))
label_lines(ax)

# %%
# Read it from the right. At first a smaller :math:`h` is better, as the definition promises: the error is proportional to
# :math:`h` (forward) or :math:`h^2` (central, where the odd terms cancel). Then it turns. The two losses become so equal
# that their difference is nothing but rounding, :math:`\epsilon = 2^{-52}`, and you divide that by a tiny :math:`h`. The
# best step lies where both errors are about equal: near :math:`\epsilon^{1/2}` (forward) and :math:`\epsilon^{1/3}`
# (central).
#
# The complex step starts on the central line, and as it subtracts nothing, it goes on down. It needs a loss that takes
# complex numbers, and Keras' losses do not.
sloping = {"forward": (steps > 1e-6) & (steps < 1e-3), "central": (steps > 1e-4) & (steps < 2e-2)}
print("difference   slope   best h   error there")
for method, part in sloping.items():
    slope = np.polyfit(np.log10(steps[part]), np.log10(curves[method][part]), 1)[0]
    best = curves[method].argmin()
    print(f"{method:10}  {slope:6.2f}    {steps[best]:.0e}         {curves[method][best]:.0e}")
    np.testing.assert_allclose(
        slope, {"forward": 1, "central": 2}[method], atol=0.02
    )  # the next term bends it a little
print(f"\ncomplex step: error {curves['complex'].min():.0e}")
print(f"central in float32: best h {wide[float32.argmin()]:.0e}, error {float32.min():.0e}")

# Theory gives orders of magnitude; the constants depend on the curvature. So we allow a factor of 5 either way.
eps, eps32 = np.finfo(np.float64).eps, np.finfo(np.float32).eps
measured = [
    steps[curves["forward"].argmin()],
    steps[curves["central"].argmin()],
    curves["central"].min(),
    float32.min(),
]
predicted = [eps ** (1 / 2), eps ** (1 / 3), eps ** (2 / 3), eps32 ** (2 / 3)]
np.testing.assert_allclose(np.log(measured), np.log(predicted), rtol=0, atol=np.log(5))
assert curves["complex"].min() < 5e-16

# %%
# The pink curve is why checks are made in float64. In float32 even the best step leaves an error that a real mistake could
# hide in, and the step that is best in float64 is useless.
#
# Your own model
# --------------
#
# :func:`gdexplain.check_gradients` does all this with any Keras model: it lets the model compute in float64, picks good
# steps, and gives a verdict. Its thresholds are those that the CS231n notes :cite:p:`karpathy2016cs231n` have for a loss
# without kinks:
#
# - up to 1e-7: right;
# - up to 1e-4: uncomfortable;
# - above: very probably wrong.
#
# The notes allow more where the loss has kinks (:term:`relu`, absolute error). It looks for them instead: with a smaller step, or a
# little beside the point, a kink is out of reach, and a mistake is not.
#
# Here is a network for real images, with a layer that our own trace does not know.
digits = load_digits()
twenty = Dataset(digits.inputs[:20], digits.targets[:20], name="20 digits")
keras.utils.set_random_seed(0)
yours = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(16, activation="gelu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(10),
    ]
)
report = check_gradients(yours, twenty, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
print(report)
assert report.verdict.startswith("Right")

# %%
# A mistake that the loss curve does not show
# -------------------------------------------
#
# Here is a common one: the derivative of tanh is taken after the activation, at :math:`a`, and not before it, at :math:`z`.


@tf.custom_gradient
def careless_tanh(z):
    """Go forward right and backward wrong."""
    a = tf.tanh(z)
    return a, lambda upstream: upstream * (1 - tf.tanh(a) ** 2)  # 1 - a**2 would be right


def build(activation):
    """Build a network with this activation."""
    model = build_mlp([8, 8, 1], inputs=2, activation="linear", output_activation="sigmoid", seed=0)
    for layer in model.layers[:-1]:
        layer.activation = activation
    return model


careless = check_gradients(build(careless_tanh), data, loss=loss)
print(careless.verdict)
assert careless.largest > 0.01

moons = make_moons(200)
settings = {"loss": loss, "batch_size": None, "epochs": 3000, "record": ()}
right, wrong = (
    train(build(kind), moons, optimizer=keras.optimizers.SGD(0.2), **settings) for kind in (tf.tanh, careless_tanh)
)
print("\ngradient   loss at first   after 1,000 updates   at the end")
for name, run in (("right", right), ("careless", wrong)):
    print("{:8}   {:13.4f}   {:19.4f}   {:10.4f}".format(name, *run.loss[[0, 1000, -1]]))
    assert run.loss[-1] < run.loss[0] / 50  # both have learned the task
assert 0.5 < wrong.loss[-1] / right.loss[-1] < 2  # from other starts too: within a factor of two, either way

# sphinx_gallery_alt = "Two losses over 3000 updates on a log axis. Both fall and fall; the careless one is later on the way, and "
# sphinx_gallery_alt = "both end at about the same height."
fig, ax = plt.subplots()
ax.plot(right.loss, color=COLORS["batch"], label="right gradient")
ax.plot(wrong.loss, "--", color=COLORS["stochastic"], label="careless gradient")
ax.set(yscale="log", xlabel="update", ylabel="loss")
label_lines(ax)

# %%
# The careless run is a little later on the way. In the end it is as good, and which of the two is lower depends on the
# start. Nobody finds that mistake by watching the loss. One call of ``check_gradients`` finds it, and names the parameter where the two gradients
# differ most. The mistake lies in that layer or behind it, where the gradient came from.
#
# What this does not show: a check at one point says nothing about a branch that was not taken there. Check at random
# weights, not at zero, on a few examples, and with dropout and data augmentation off. And it tells you that your gradient
# belongs to your loss, not that your loss is the one you want.
#
# Exercises
# ---------
#
# 1. Take the step that is best in float64, 1e-5, with the float32 model. Which verdict would a right gradient get?
# 2. ``relu`` has a kink at 0. One neuron with weight 1e-7 and input 1 stands right beside it. What do central differences give for its slope, and
#    what does the trace give?
# 3. Mend ``careless_tanh`` and check it again.
#
# The solutions, in this order:
hasty = error(numerical_gradient(in_float32, theta, h=1e-5))
print(f"1. error {hasty:.1e}: a hundred times 1e-4 and more, so a right gradient would be condemned")
assert hasty > 100 * 1e-4

beside = [Dense([[1e-7]], None, "relu")]
one = Dataset([[1.0]], [[1.0]], name="one example")
central = numerical_gradient(loss_function(beside, one.inputs, one.targets), [1e-7])[0]
print(
    f"2. trace {trace_backprop(beside, one.inputs, one.targets).gradient[0]:.3f}, central {central:.3f}: half of it, one side is flat"
)
print("  ", check_gradients(beside, one).verdict)
np.testing.assert_allclose(central, -1, atol=0.05)


@tf.custom_gradient
def careful_tanh(z):
    """Go forward right and backward right."""
    a = tf.tanh(z)
    return a, lambda upstream: upstream * (1 - a**2)


mended = check_gradients(build(careful_tanh), data, loss=loss)
print("3.", mended.verdict)
assert mended.largest < 1e-7
plt.show()

# %%
# Next: what a gradient by difference quotients costs, and what backpropagation costs, :doc:`/explanation/why_backprop`.
