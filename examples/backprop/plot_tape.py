r"""
Automatic differentiation
=========================

*A tape differentiates what a program computes: written forward, read backward.*

You never wrote a derivative for Keras, and yet it has them all. It needs no algebra. While your program runs, a
:term:`GradientTape` notes each sum and each product as a node :math:`n` of a :term:`computational graph`, with its local
derivative with respect to each parent :math:`p`, a number that it was made from. Read
from the end, every node hands its share to its parents:

.. math:: \bar p \;\mathrel{+}=\; \bar n \, \frac{\partial n}{\partial p}

Here :math:`\bar n` is the derivative of the result with respect to node :math:`n`; the result's own is 1. That is all
of :term:`backpropagation`. Look for the ``+=``: a number that is used twice is paid twice. You need
:doc:`/explanation/backprop_by_hand`.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.animation import FuncAnimation

from gdexplain.by_hand.graph import layout
from gdexplain.by_hand.tape import Value, backward, in_order, walk_back
from gdexplain.plotting import COLORS, INK, use_style

use_style()

# %%
# An ugly expression
# ------------------
#
# This is the example from the README of Andrej Karpathy's `micrograd <https://github.com/karpathy/micrograd>`__. It has
# no meaning; it only makes a tangle. A :class:`!Value` is a number that remembers what it was made of.


def tangle(a, b, relu):
    """Add, multiply and square until nobody sees through it."""
    c = 2 * (a + b) + 1
    c = 2 * c + 1 - a
    d = 3 * (a * b + b**3) + relu(b + a)
    d = 4 * d + relu(b - a)
    f = (c - d) ** 2
    return f / 2 + 10 / f


a, b = Value(-4.0, "a"), Value(2.0, "b")
g = tangle(a, b, Value.relu)
slope = backward(g)
print(f"g = {g.number:.4f}, dg/da = {slope[a]:.4f}, dg/db = {slope[b]:.4f}, from a graph of {len(in_order(g))} nodes")
np.testing.assert_allclose([g.number, slope[a], slope[b]], [24.7041, 138.8338, 645.5773], atol=5e-5)  # all digits given

# sphinx_gallery_alt = "The graph of the expression: small circles with plus, times, power and relu signs, joined by "
# sphinx_gallery_alt = "lines that run from the inputs a and b and some constants on the left to the result g on the "
# sphinx_gallery_alt = "right. Many lines leave a and b and cross each other."
fig, ax = plt.subplots(figsize=(6, 4.6), layout="none")
ax.set_position((0, 0, 1, 1))
drawing = layout(g)
for parent, _, points in drawing.edges:
    way = {"color": COLORS["batch"], "lw": 1.8} if parent in (a, b) else {"color": INK, "lw": 1}
    ax.plot(*np.transpose(points), **way, alpha=0.8, zorder=1)
for node, (column, row) in drawing.positions.items():
    sign = {"*": "×", "** 3": "^3", "** 2": "^2"}.get(node.operation, node.operation) or f"{node.number:g}"
    known = {a: f"a = {a.number:g}", b: f"b = {b.number:g}", g: f"g = {g.number:.2f}"}
    ax.text(column, row, known.get(node, sign), ha="center", va="center", size=12.5, color="white",
            bbox={"boxstyle": "round", "fc": COLORS["batch"] if node in known else INK, "ec": "none"})  # fmt: skip
ax.set_axis_off()
ax.margins(0.1, 0.06)

# %%
# A box with a sign is one operation on one or two numbers, and knows nothing of the rest; a box with a number is what the
# expression starts from, or its result. The lines from a and b are blue: both
# are used several times. Solving this for :math:`\partial g / \partial a` on paper fills a page; the tape walks each
# line once.
#
# TensorFlow's tape reads the same function, unchanged, and agrees to the last digit or two.
tf_a, tf_b = tf.Variable(-4.0, dtype=tf.float64), tf.Variable(2.0, dtype=tf.float64)
with tf.GradientTape() as tape:
    result = tangle(tf_a, tf_b, tf.nn.relu)
by_tensorflow = [float(part) for part in tape.gradient(result, [tf_a, tf_b])]
print(f"GradientTape: dg/da = {by_tensorflow[0]:.4f}, dg/db = {by_tensorflow[1]:.4f}")
np.testing.assert_allclose([slope[a], slope[b]], by_tensorflow, rtol=1e-14)  # about 40 operations, 1e-16 each

# %%
# The replay
# ----------
#
# Now a graph small enough to follow. The weight w is used twice, as in a recurrent network of two steps:
# :math:`h_1 = \tanh(w x)`, :math:`h_2 = \tanh(w h_1)`. Every line below is one node of the walk back, and what it hands on.
w, x = Value(1.5, "w"), Value(0.5, "x")
first = (w * x).named("z1").tanh().named("h1")
h2 = (w * first).named("z2").tanh().named("h2")

print("node   slope    what it hands on")
for visit in walk_back(h2):
    shares = [
        f"{part.parent.name} += {visit.gradient:.4f} × {part.local_derivative:.4f} = {part.amount:.4f}"
        for part in visit.contributions
    ]
    print(f"{visit.node.name:4}   {visit.gradient:.4f}   {'; '.join(shares) or 'an input: done'}")

two_ways = [part.amount for visit in walk_back(h2) for part in visit.contributions if part.parent is w]
assert len(two_ways) == 2
assert backward(h2)[w] == sum(two_ways)  # one share from each use

# %%
# The node w gets a share on two lines, z2 and z1; its own line shows their sum, its :term:`gradient`. A tape that wrote
# ``=`` in place of ``+=`` would keep the later share and lose the other. The animation shows the same walk: values
# forward in blue, shares backward in orange.
drawing, texts, frames = layout(h2), {}, []
for node in in_order(h2):
    texts[node] = f"{node.name} = {node.number:.3f}"
    frames.append((node, COLORS["batch"], dict(texts)))
texts[h2] += "\nslope 1"
for visit in walk_back(h2):
    for part in visit.contributions:
        texts[part.parent] += f"\n{'slope' if part.running == part.amount else '+'} {part.amount:.3f}"
    frames.append((visit.node, COLORS["stochastic"], dict(texts)))

# sphinx_gallery_alt = "A graph of six boxes, w and x on the left, h2 on the right. First the values appear from left to "
# sphinx_gallery_alt = "right, in blue; then the slopes from right to left, in orange. The box of w receives two shares, "
# sphinx_gallery_alt = "one from z2 and, two nodes later, one from z1; its slope is the sum."
fig, ax = plt.subplots(figsize=(6, 3.8), layout="none")
ax.set_position((0, 0, 1, 1))
boxes = {}
for _, _, points in drawing.edges:
    ax.plot(*np.transpose(points), color=INK, lw=1.2, zorder=1)
for node, place in drawing.positions.items():
    boxes[node] = ax.text(*place, node.name, ha="center", va="center", size=12.5, weight="bold", color="white",
                          bbox={"boxstyle": "round,pad=0.5", "ec": "none"})  # fmt: skip
ax.set_axis_off()
ax.margins(0.15, 0.3)


def show(number):
    """Draw one frame."""
    active, color, said = frames[min(number, len(frames) - 1)]
    for node, box in boxes.items():
        box.set_text(said.get(node, node.name))
        box.get_bbox_patch().set_facecolor(color if node is active else INK)


animation = FuncAnimation(fig, show, frames=len(frames) + 2, interval=500)

# %%
# Each box is left once, when all shares have arrived. That is why the walk goes in reverse order of the writing: whatever
# uses a number was written after it.
#
# Again, and deep
# ---------------
#
# Our tape returns the slopes and stores nothing on the nodes, so asking twice gives the same answer. Tapes that keep a
# running ``.grad`` on each node double it, unless you remember to set it to zero. TensorFlow's tape refuses the second
# call, unless you make it with ``persistent=True``.
assert backward(g) == slope
try:
    tape.gradient(result, tf_a)
except RuntimeError as error:
    print("GradientTape, second call:", str(error).partition(".")[0])

# %%
# And the walk is a loop, not a function that calls itself for each parent: a long program would break that. Here is a
# chain of 5,000 multiplications, each with a constant, and its derivative is known.
start = deep = Value(1.0, "x")
for _ in range(5000):
    deep = deep * 1.0001

print(f"Python calls at most {sys.getrecursionlimit()} deep; this graph has {len(in_order(deep))} nodes")
print(f"derivative {backward(deep)[start]:.6f}, expected 1.0001 ** 5000 = {1.0001**5000:.6f}")
np.testing.assert_allclose(backward(deep)[start], 1.0001**5000, rtol=1e-12)  # 5,000 roundings of at most 1.1e-16

# %%
# What this does not show: speed. A tape of single numbers makes an object for each product; TensorFlow's makes one for each
# whole array. How many operations the walk takes is counted in :doc:`/explanation/why_backprop`. The idea is
# older than its fame: compare :cite:t:`linnainmaa1976` with :cite:t:`rumelhart1986`. A survey is :cite:t:`baydin2018`.
#
# Exercises
# ---------
#
# 1. Move a from -4 to -3.999. By how much does g change, according to the tape? And in truth?
# 2. ``x * x`` and ``x ** 2`` are different graphs. Do they have the same slope at 3, and where does it come from?
# 3. In the replay, replace ``+=`` by ``=``. Which slope would w get? Check by moving w a little which one is right.
#
# The solutions, in this order:
moved = tangle(-3.999, 2.0, lambda z: max(z, 0.0)) - tangle(-4.0, 2.0, lambda z: max(z, 0.0))
print(f"1. the tape says {0.001 * slope[a]:.4f}, in truth {moved:.4f}: a slope holds at one point only")
np.testing.assert_allclose(moved, 0.001 * slope[a], rtol=5e-3)

three = Value(3.0, "x")
print(f"2. two shares of 3: {backward(three * three)[three]:g}; one share of 2 × 3: {backward(three**2)[three]:g}")
assert backward(three * three)[three] == backward(three**2)[three] == 6

nudged = [np.tanh(v * np.tanh(v * 0.5)) for v in (1.5 - 1e-5, 1.5 + 1e-5)]
print(f"3. with = {two_ways[-1]:.4f}, with += {sum(two_ways):.4f}, measured {(nudged[1] - nudged[0]) / 2e-5:.4f}")
np.testing.assert_allclose((nudged[1] - nudged[0]) / 2e-5, sum(two_ways), rtol=1e-8)  # h squared is 1e-10
plt.show()

# %%
# Next: how to tell whether a gradient is right, :ref:`sphx_glr_gallery_backprop_plot_gradient_check.py`.
