"""The style that every picture shares: what a colour and a marker mean, in ink that is legible on a page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from gdexplain._checks import instance, one_of
from gdexplain.plotting.labels import in_words, words_of
from gdexplain.record import Trajectory

Array: TypeAlias = NDArray[np.float64]
INK, PAPER = "#404040", "#ffffff"
# The hues are Okabe and Ito's, and three for what is compared with them; on white each is dark enough for a thin line.
COLORS = MappingProxyType(
    {
        "batch": "#0072b2",
        "minibatch": "#007f5c",
        "stochastic": "#c04a00",
        "momentum": "#a8487e",
        "adam": "#8a6a00",
        "rmsprop": "#882255",
        "nesterov": "#4f3bb5",
        "adagrad": "#55700f",
        "theory": "#666666",
    }
)
# The same on a dark page: the ink, the page, and the colours in their order.
_TWINS = "#cfcfcf #131416 #56aee8 #2bbf92 #f0813a #dc8fbb #e6a51e #f2a3a3 #a99cf5 #b5cc5a #a0a0a0"
DARK = MappingProxyType(dict(zip((INK, PAPER, *COLORS.values()), _TWINS.split(), strict=True)))
MARKERS = dict(zip(COLORS, "os^DPv<>x", strict=True))
_COMPARED = ("rmsprop", "adagrad", "nesterov", "stochastic", "minibatch", "momentum", "adam", "batch")
FARTHEST = 1e300  # matplotlib's axes overflow where float64 does: what is farther out is drawn here
BY = ("variant", "rule")


class Look(NamedTuple):
    """How a run is drawn, and what a picture calls it.

    Parameters
    ----------
    color : str
        Its meaning is the same on every page: see `COLORS`.
    marker : str
        A second sign beside the colour, for readers who do not see it.
    label : str
        The run's configuration in words, with its batch size.
    """

    color: str
    marker: str
    label: str


def use_style() -> None:
    """Draw everything from here on in gdexplain's style.

    Notes
    -----
    On white, text has a contrast of 10 and every line one of 5; ``plotting.DARK`` has the twin of each colour for a
    dark page. It changes ``matplotlib.rcParams``, as ``matplotlib.style.use`` does.

    Examples
    --------
    >>> import matplotlib
    >>> from gdexplain.plotting import use_style
    >>> with matplotlib.rc_context():
    ...     use_style()
    ...     print(matplotlib.rcParams["text.color"])
    #404040
    """
    with resources.as_file(resources.files("gdexplain") / "gdexplain.mplstyle") as path:
        plt.style.use(path)


def look_of(trajectory: Trajectory, *, by: str = "variant") -> Look:
    """Return the colour, marker and label of a run, from its record.

    Parameters
    ----------
    trajectory : Trajectory
        The run.
    by : {"variant", "rule"}
        What the colour says: the variant of gradient descent (one update an epoch is batch, one example an update is
        stochastic, else mini-batch); or the rule, if it is adaptive or has momentum.

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
    Look(color='#c04a00', marker='^', label='rate 0.1, batch 1')
    """
    check_runs([trajectory])
    one_of("by", by, BY)
    words, size = words_of(trajectory.label), trajectory.batch_size
    kind = "batch" if trajectory.updates_per_epoch == 1 else "stochastic" if size == 1 else "minibatch"
    if by == "rule":
        words = f"gradient descent, {words}" if words.startswith("rate ") else words
        rule = words.lower().partition(",")[0]
        known = ("rmsprop", "adagrad", "nesterov", "momentum")
        family = rule.partition("(")[0].endswith(("adam", "adamw", "amsgrad"))
        kind = "adam" if family else next((name for name in known if name in rule), kind)
    if "batch" not in words:
        words += ", full batch" if trajectory.updates_per_epoch == 1 else f", batch {size}" if size else ""
    return Look(COLORS[kind], MARKERS[kind], words)


def draw_curve(ax: Axes, look: Look, x: Array, y: Array, *, width: float = 2.2) -> Line2D:
    """Draw one run's curve; where its colour is there already, in one that is not."""
    kinds = {color: kind for kind, color in COLORS.items()}
    used = {line.get_color() for line in ax.get_lines() if not str(line.get_label()).startswith("_")}
    color = next((one for one in (look.color, *(COLORS[kind] for kind in _COMPARED)) if one not in used), look.color)
    marker = look.marker if color == look.color else MARKERS[kinds[color]]
    style: dict[str, Any] = {"color": color, "lw": width, "ms": 6, "markevery": (0, max(1, len(x) // 8))}
    (curve,) = ax.plot(x, y, marker, ls="-", label=in_words(look.label), **style)
    return curve


def check_runs(trajectories: Sequence[Any]) -> Sequence[Trajectory]:
    """Check that there is at least one run, and nothing else."""
    if not trajectories:
        raise ValueError("trajectories must name at least one Trajectory.")
    return [instance("trajectory", trajectory, Trajectory) for trajectory in trajectories]


def near(values: Array) -> Array:
    """Return the values, those beyond what matplotlib's axes can hold at its edge."""
    return np.clip(values, -FARTHEST, FARTHEST)
