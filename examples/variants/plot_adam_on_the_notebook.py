r"""
Adam on the notebook's neuron
=============================

*At rate 0.01 it cannot reach y = 2x in 25 epochs.*

The notebook that this course starts from trains one neuron on four points of y = 2x with :term:`Adam` at rate 0.01, for
25 :term:`epochs <epoch>`. The :term:`loss` falls at every :term:`epoch`, and nothing looks wrong. But the answer is :math:`w = 2`, and the
neuron is nowhere near it. The reason is the rule: Adam divides a mean of the recent :term:`gradients <gradient>` by their typical size,

.. math:: \Delta\theta = -\eta \, \frac{\hat m}{\sqrt{\hat v} + \varepsilon},

with running means :math:`\hat m` of the :term:`gradient` and :math:`\hat v` of its square, and a tiny
:math:`\varepsilon`. While a gradient hardly changes, each :term:`parameter` moves by about the
:term:`learning rate` :math:`\eta` an update, however large that gradient is. Look for straight lines: a speed limit. You need
:ref:`sphx_glr_gallery_variants_plot_batch.py`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD, Adam

from gdexplain import Dataset, build_linear, make_line, train
from gdexplain.plotting import COLORS, draw_fits, draw_loss, label_lines, look_of, use_style

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x
rate, shown = 0.01, 25

# %%
# The notebook's settings, from :math:`w = b = 0`, and then on: 500 updates and more in place of 25. Its ``fit`` names no
# :term:`batch size`, so Keras takes 32; four examples fit in one :term:`batch`, and an epoch has one :term:`update`.
run = train(build_linear(), data, optimizer=Adam(rate), batch_size=None, epochs=501)
step = np.abs(np.diff(run.parameters, axis=0))
print(f"largest step / rate: {step.max() / rate:.3f}\n\nupdates       w       b    loss")
for updates in (0, shown, 100, 500):
    w, b = run.parameters[updates]
    print(f"{updates:7}   {w:.3f}   {b:.3f}   {run.loss[updates]:5.4g}")

# sphinx_gallery_alt = "The weight over 500 updates of Adam. It first follows a dashed line of one rate an update, then "
# sphinx_gallery_alt = "bends below it. At update 25, where the notebook stops, it has made an eighth of the way to 2."
fig, ax = plt.subplots()
ax.plot(run.updates, run.parameters[:, 0], color=COLORS["adam"], label="the weight w")
ax.plot([0, 200], [0, 200 * rate], "--", color=COLORS["theory"], label="speed limit: one rate an update")
ax.axhline(2, color=COLORS["theory"], lw=1, label="the answer, w = 2")
ax.plot(shown, run.parameters[shown, 0], "P", color=COLORS["adam"], ms=12, label="where the notebook stops")
ax.set(xlabel="update", ylabel="weight w")
label_lines(ax)

# %%
# No step is longer than the rate. So 25 updates cannot carry the weight further than 0.25, and the way to 2 takes at
# least 200; in truth more, because Adam slows down as the gradients shrink. This is not a wrong model or a wrong
# gradient. The run is too short for its rate.
assert step.max() <= rate * (1 + 1e-5)  # float32
assert run.parameters[shown].max() <= shown * rate
np.testing.assert_allclose(run.loss[[100, 500]], [5.58, 0.239], rtol=1e-3)

# %%
# What the neuron knows by then
# -----------------------------

# sphinx_gallery_alt = "Four points on y = 2x and the neuron's line after 0, 25, 100 and 500 updates. At 25 it lies far "
# sphinx_gallery_alt = "below the points; at 500 it is close to them and still too flat."
fig, ax = plt.subplots()
draw_fits(ax, data, run, updates=[0, shown, 100, 500], by="rule")

# %%
# After 25 updates the line is a fraction of the way up. After 500 it is close, with too little slope and too much
# height, and the loss is still falling. The curve alone does not tell you: look at the predictions.
#
# Two ways out
# ------------
#
# Ask for a larger rate, or take plain gradient descent, whose steps are as long as the gradient says.
larger = train(build_linear(), data, optimizer=Adam(0.1), batch_size=None, epochs=501)
plain = train(build_linear(), data, optimizer=SGD(0.1), batch_size=None, epochs=501)

# sphinx_gallery_alt = "Loss against updates, log axis. Adam at 0.01 falls little; Adam at 0.1 and plain gradient descent "
# sphinx_gallery_alt = "at the same rate fall by many powers of ten, plain gradient descent fastest."
fig, ax = plt.subplots()
draw_loss(ax, run, larger, plain, by="rule")

# %%
# Both reach the answer within the same 500 updates: Adam is not at fault, its rate and the number of epochs are. On this
# small bowl plain descent is even ahead.
print("optimizer          loss after 25 updates   w after 500")
for other in (larger, plain):
    name, early, weight = look_of(other, by="rule").label, other.loss[shown], other.parameters[500, 0]
    print(f"{name.split(',')[0]:16}   {early:21.4f}   {weight:11.4f}")
    np.testing.assert_allclose(other.parameters[500], [2, 0], atol=1e-3)

# %%
# What this does not show: the limit of one rate an update holds while gradients change slowly. After a long silence a
# sudden gradient can carry Adam about three rates at once :cite:p:`kingma2015`; and where the gradients of different
# parameters differ much in size, dividing each by its typical size can make Adam fast.
#
# How to choose the rate of plain descent: :ref:`sphx_glr_gallery_variants_plot_learning_rate.py`. The notebook's own run,
# re-made to its last printed digit: :doc:`/tutorial/digit_by_digit`.

# %%
# Exercises
# ---------
#
# 1. Keep Adam at 0.01. How many epochs until both parameters are within a hundredth of the answer?
# 2. Multiply the targets by ten, so that the answer is ten times as far. How far does Adam get in 25 epochs now?
#
# The solutions, in this order:
long = train(build_linear(), data, optimizer=Adam(rate), batch_size=None, epochs=4000)
arrived = int(np.argmax(np.abs(long.parameters - [2, 0]).max(axis=1) < 0.01))
print(f"1. {arrived}")
assert 2000 < arrived < 4000

taller = Dataset(data.inputs, 10 * data.targets, name="y = 20x")
weights = [
    train(build_linear(), one, optimizer=Adam(rate), batch_size=None, epochs=25).parameters[-1, 0]
    for one in (data, taller)
]
print(f"2. w = {weights[1]:.3f}, as before ({weights[0]:.3f}): the step does not know how far it is")
np.testing.assert_allclose(*weights, atol=0.01)
plt.show()

# %%
# Next: the rules, from the first that remembers, :ref:`sphx_glr_gallery_rules_plot_momentum.py`.
