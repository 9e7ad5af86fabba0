r"""
The three variants as a film
============================

*In the same number of epochs, smaller batches walk further.*

One neuron :math:`w x + b`, one :term:`loss`, one start, and three ways to go down: all four examples at every :term:`update`, two
of them, or one. The left side shows the :term:`parameters <parameter>` :math:`(w, b)` on the :term:`loss surface`, the
right side the line that they mean. Each update is

.. math:: (w, b) \leftarrow (w, b) - \eta \, \nabla L_B(w, b)

with the :term:`learning rate` :math:`\eta` and the loss :math:`L_B` of the current :term:`batch`. The three advance by
:term:`epochs <epoch>`: at each moment all of them have read the same number of examples. Look for who waits for whom.
You need :doc:`/tutorial/setup`.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras.optimizers import SGD

from gdexplain import animate_descent, build_linear, make_line, train, use_style

use_style()
data = make_line()  # x = 1, 2, 3, 4 and y = 2x

# %%
# The film
# --------
#
# Early updates get more pictures than late ones, because most of the way is made in them.
runs = [train(build_linear(-1.0, 3.0), data, optimizer=SGD(0.05), batch_size=size, epochs=250) for size in (1, 2, None)]

# sphinx_gallery_alt = "A film. Left: from one start, the full batch walks a smooth curve to the minimum, the batch of two "
# sphinx_gallery_alt = "wavers around it, single examples zigzag. Right: three lines turn until they lie on the points."
animation = animate_descent(data, *runs)

# %%
# Left: all three fall into the valley in the first epoch or two, then turn towards the minimum. The full batch walks
# smoothly, two examples waver, one example zigzags. Right: the lines swing up to the points at once; after that they
# trade height for slope, and you hardly see them move. That slow part is the walk along the valley.
#
# The order along the way
# -----------------------
#
# Four updates an epoch beat two, and two beat one. When all have read 20 epochs of examples, the distances to the minimum
# are in that order; after 250 all have come within a tenth.
minimum = [2.0, 0.0]
print("epoch ", *(f"batch size {run.batch_size}" for run in runs), sep="  ")
for epoch in (20, 250):
    distance = [np.linalg.norm(run.parameters[epoch * run.updates_per_epoch] - minimum) for run in runs]
    print(f"{epoch:6}", *(f"{value:12.4f}" for value in distance), sep="  ")
    assert distance == sorted(distance)
assert max(distance) < 0.1

# %%
# What this does not show: these targets have no noise, so the zigzag dies out at the minimum. With noisy targets it does
# not, and the order turns round in the end: :ref:`sphx_glr_gallery_variants_plot_three_variants.py`. And an epoch is a
# measure of reading, not of time.
#
# A film of your own run takes two lines: ``animation = animate_descent(data, run)``, then ``plt.show()`` or
# ``animation.save("descent.gif")``. See :func:`gdexplain.animate_descent`.

# %%
# Exercises
# ---------
#
# 1. Start on the other side of the valley, at (4, -6). Is the order the same?
# 2. Let each make 80 updates, instead of the same number of epochs. How far apart are they now?
#
# The solutions, in this order:
others = [
    train(build_linear(4.0, -6.0), data, optimizer=SGD(0.05), batch_size=size, epochs=20) for size in (1, 2, None)
]
distance = [np.linalg.norm(run.parameters[-1] - minimum) for run in others]
print("1. yes:", ", ".join(f"{value:.2f}" for value in distance))
assert distance == sorted(distance)

distance = [np.linalg.norm(run.parameters[80] - minimum) for run in runs]
print("2. not far:", ", ".join(f"{value:.2f}" for value in distance), "- what counted was the number of updates")
assert max(distance) < 1.5 * min(distance)
plt.show()

# %%
# Next: who is in which batch, :ref:`sphx_glr_gallery_variants_plot_what_fit_does.py`.
