"""What every picture shares: the colours and their meaning, the look and the words of a run, curves and legends."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.mathtext import MathTextParser
from numpy.typing import NDArray

from gdexplain._checks import instance, one_of
from gdexplain.record import Trajectory

Array: TypeAlias = NDArray[np.float64]
INK = "#767676"
COLORS = MappingProxyType(
    {
        "batch": "#0072B2",
        "minibatch": "#009E73",
        "stochastic": "#D55E00",
        "momentum": "#CC79A7",
        "adam": "#E69F00",
        "theory": INK,
    }
)
MARKERS = {"batch": "o", "minibatch": "s", "stochastic": "^", "momentum": "D", "adam": "P"}
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.2, 1, 1.2)))
_TINTS = (0.0, 0.35, 0.55, 0.2)  # how much white is mixed into the colour, run by run
_FORMULA = re.compile(r"\$(?=\S)[^$]*(?<=\S)\$(?!\d)")
FARTHEST = 1e300  # matplotlib's axes overflow where float64 does: what is farther out is drawn here
BY = ("variant", "rule")


class Look(NamedTuple):
    """How a run is drawn, and what the legend calls it.

    Parameters
    ----------
    color : str
        Its meaning is the same on every page: see `COLORS`.
    marker : str
        A second sign beside the colour, for readers who do not see it.
    label : str
        The run's own label, with its batch size.
    """

    color: str
    marker: str
    label: str


def use_style() -> None:
    """Draw everything from here on in gdexplain's style, legible on light and on dark pages.

    Notes
    -----
    Figures are transparent; text and axes are of a grey with a contrast of 4.5 on white and 4.1 on a near-black page;
    colours are Okabe and Ito's. It changes ``matplotlib.rcParams``, as ``matplotlib.style.use`` does.

    Examples
    --------
    >>> import matplotlib
    >>> from gdexplain.plotting import use_style
    >>> with matplotlib.rc_context():
    ...     use_style()
    ...     print(matplotlib.rcParams["figure.facecolor"])
    none
    """
    with resources.as_file(resources.files("gdexplain") / "gdexplain.mplstyle") as path:
        plt.style.use(path)


def look_of(trajectory: Trajectory, *, by: str = "variant") -> Look:
    """Return the colour, marker and legend label of a run, from its record.

    Parameters
    ----------
    trajectory : Trajectory
        The run.
    by : {"variant", "rule"}
        What the colour says: the variant of gradient descent (one update an epoch is batch, one example an update is
        stochastic, else mini-batch); or the rule, if it is of Adam's family or has momentum.

    Returns
    -------
    Look
        The colour, the marker and the label.

    Raises
    ------
    TypeError, ValueError
        If `trajectory` is not one, or `by` has another value.

    Examples
    --------
    >>> from gdexplain.plotting import look_of
    >>> from gdexplain.record import Sweep, Trajectory
    >>> run = Trajectory([[0.0], [1.0]], [1.0], [[-1.0]], updates_per_epoch=4, diverged=False, label="SGD(0.1)",
    ...                  batch_size=1)
    >>> look_of(run)
    Look(color='#D55E00', marker='^', label='SGD(0.1), batch 1')
    """
    check_runs([trajectory])
    one_of("by", by, BY)
    words, size = trajectory.label.lower(), trajectory.batch_size
    kind = "batch" if trajectory.updates_per_epoch == 1 else "stochastic" if size == 1 else "minibatch"
    if by == "rule" and words.partition("(")[0].endswith(("adam", "adamw", "amsgrad")):
        kind = "adam"
    elif by == "rule" and ("momentum" in words or "nesterov" in words):
        kind = "momentum"
    label = trajectory.label
    if "batch" not in words:
        label += ", full batch" if trajectory.updates_per_epoch == 1 else f", batch {size}" if size else ""
    return Look(COLORS[kind], MARKERS[kind], label)


def check_runs(trajectories: Sequence[Any]) -> Sequence[Trajectory]:
    """Check that there is at least one run, and nothing else."""
    if not trajectories:
        raise ValueError("trajectories must name at least one Trajectory.")
    return [instance("trajectory", trajectory, Trajectory) for trajectory in trajectories]


def near(values: Array) -> Array:
    """Return the values, those beyond what matplotlib's axes can hold at its edge."""
    return np.clip(values, -FARTHEST, FARTHEST)


def _is_formula(line: str) -> bool:
    """Say whether every dollar belongs to a formula that matplotlib can set; "from $5 to $6" has none."""
    if "$" in _FORMULA.sub("", line):
        return False
    try:
        MathTextParser("path").parse(line)
    except ValueError:
        return False
    return True


def in_words(label: str) -> str:
    """Return a label as matplotlib will write it: formulas only where they are some, and in lines of a fair length."""
    line = "".join(letter if letter.isprintable() else " " for letter in label)
    if not _is_formula(line):  # so the dollars are meant
        line = line.replace("$", r"\$")
    wrapped = textwrap.fill(line, 60, max_lines=2, placeholder=" ...") if len(line) > 60 else line
    return f" {wrapped}" if wrapped.startswith("_") else wrapped  # matplotlib leaves out of a legend what begins so


def draw_curve(ax: Axes, look: Look, x: Array, y: Array, *, width: float = 2.2) -> list[Line2D]:
    """Draw one run's curve; where its colour is there already, with the next dashes and tint."""
    tints = [to_hex(tuple(np.array(to_rgb(look.color)) * (1 - white) + white)) for white in _TINTS]
    runs = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    turn = sum(line.get_color() in tints for line in runs) % len(_TINTS)
    every = (0, max(1, len(x) // 8))
    return ax.plot(
        x,
        y,
        look.marker,
        ls=_DASHES[turn],
        lw=width,
        color=tints[turn],
        ms=6,
        markevery=every,
        label=in_words(look.label),
    )


def sorted_legend(ax: Axes) -> tuple[list[Artist], list[str]]:
    """Return the legend's entries, runs first, then the points that they share."""
    last = {"start": 1, "minimum": 2}
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: last.get(entry[1], 0))
    return [handle for handle, _ in entries], [label for _, label in entries]


def legend_above(ax: Axes, *, title: str | None = None, columns: int = 2) -> None:
    """Put the legend above the axes, where it covers no data; in one column if its words are long."""
    handles, labels = sorted_legend(ax)
    if not labels:  # a data set without a name
        return
    fits = max(map(len, labels)) * columns <= 48
    ax.legend(
        handles,
        labels,
        title=None if title is None else in_words(title),
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(-0.03, 1),
        ncols=columns if fits else 1,
    )
