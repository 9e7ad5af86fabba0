"""Words in pictures: what a run is called, and where its words stand: at the end of its line."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import BboxTransformTo, ScaledTranslation, blended_transform_factory
from numpy.typing import NDArray

from gdexplain._checks import instance

_GID = "text_label"  # what an artist of these labels is called in its axes, and in an SVG
_CALL = re.compile(r"(\w+)\(([^()]*)\)(.*)")
_NAMES = {
    "adam": "Adam",
    "adamw": "AdamW",
    "amsgrad": "AMSGrad",
    "rmsprop": "RMSProp",
    "adagrad": "AdaGrad",
    "lion": "Lion",
}


def words_of(label: str) -> str:
    """Say a run's label, which is code, in words: "SGD(0.01, momentum=0.9)" is "momentum 0.9, rate 0.01"."""
    call = _CALL.fullmatch(label)
    if not call:
        return label
    rate, *more = call[2].split(", ")
    options = dict(part.partition("=")[::2] for part in more)
    beta = options.pop("momentum", options.pop("beta", ""))
    ahead = options.pop("nesterov", "") == "True" or call[1] == "nesterov"
    rule = "" if call[1] in ("SGD", "gradient_descent") else _NAMES.get(call[1].lower(), call[1])
    if beta:
        rule = f"{'Nesterov ' if ahead else ''}momentum {_short(beta)}"
    others = [f"{name.replace('_', ' ')} {_short(value)}".strip() for name, value in options.items()]
    return ", ".join(filter(None, [rule, f"rate {_short(rate)}" if rate else "", *others])) + call[3]


def _short(number: str) -> str:
    """Return a number with three digits, and what is no number as it is."""
    try:
        return f"{float(number):.3g}"
    except ValueError:
        return number


def label_lines(ax: Axes) -> None:
    """Write beside the axes what each labelled line is, at the height of its end and in its colour.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with labelled lines, complete but for this: the ends are sought now. A second call begins anew.

    Notes
    -----
    A label is a list of words between commas. What all such lists have in common is left out; what tells
    them apart is written.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from gdexplain.plotting import label_lines
    >>> ax = Figure().subplots()
    >>> _ = ax.plot([1, 2], label="rate 0.1, batch 1"), ax.plot([2, 1], label="rate 0.2, batch 1")
    >>> label_lines(ax)
    >>> [text.get_text() for text in ax.texts]
    ['rate 0.2', 'rate 0.1']
    """
    instance("ax", ax, Axes)
    clear_labels(ax)
    lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
    words = dict(zip(lines, _telling([str(line.get_label()) for line in lines]), strict=True))
    lines.sort(key=lambda line: _end(ax, line))
    places = _spread(ax, [_end(ax, line) for line in lines], [words[line].count("\n") + 1 for line in lines])
    edge = ScaledTranslation(1, 0, BboxTransformTo(ax.bbox))  # from the right edge of the axes, in inches
    style: dict[str, Any] = {"label": "_sign", "gid": _GID, "clip_on": False}
    style["transform"] = blended_transform_factory(ax.figure.dpi_scale_trans + edge, ax.transAxes)
    for line, place in zip(lines, places, strict=True):
        sign = Line2D([], [])
        sign.update_from(line)
        large, thick = min(line.get_markersize(), 8), max(line.get_linewidth(), 1.6)
        sign.set(data=([0.08, 0.2, 0.32], [place] * 3), markevery=[1], markersize=large, linewidth=thick, **style)
        ax.add_artist(sign)
        ax.text(0.42, place, words[line], color=line.get_color(), va="center", linespacing=1.1, **style)


def clear_labels(ax: Axes) -> None:
    """Take away what `label_lines` has written."""
    for artist in [artist for artist in ax.get_children() if artist.get_gid() == _GID]:
        artist.remove()


def _telling(labels: list[str]) -> list[str]:
    """Leave out of each label what all have in common, and break what is left into lines of a fair length."""
    parts = [label.strip().split(", ") for label in labels]
    lists = [set(each) for each in parts if len(each) > 1]
    common = set.intersection(*lists) if len(lists) > 1 else set()
    told = [", ".join(part for part in each if part not in common) or ", ".join(each) for each in parts]
    return [words if "$" in words.replace(r"\$", "") or len(words) <= 17 else _in_lines(words) for words in told]


def _in_lines(words: str) -> str:
    """Begin a new line after each comma, and where a line grows too long."""
    return ",\n".join(textwrap.fill(part.replace("\n", " "), 17) for part in words.split(", "))


def _end(ax: Axes, line: Line2D) -> float:
    """Return the height at which a line ends, as a share of the axes."""
    ax.get_xlim(), ax.get_ylim()  # they bring the axes' scale up to date
    with np.errstate(all="ignore"):
        shown = ax.transAxes.inverted().transform(line.get_transform().transform(line.get_xydata()))
    seen = shown[np.isfinite(shown).all(axis=1)]
    return float(np.clip(seen[-1, 1], 0, 1)) if len(seen) else 1.0


def _spread(ax: Axes, ends: list[float], rows: list[int]) -> NDArray[np.float64]:
    """Move labels of so many rows apart, as little as it takes, from the lowest up and then from the top down."""
    height = ax.get_window_extent().height / ax.figure.dpi * 72  # in points, as the size of the letters is
    half = 0.75 * rcParams["font.size"] * np.array(rows) / height
    stacked = 2 * np.cumsum(half) - half  # the places of labels that stand one on the other, from the foot of the axes
    places = stacked + np.maximum.accumulate(np.array(ends) - stacked) if rows else stacked
    return np.asarray(np.minimum(places, 1.05 - sum(2 * half) + stacked))


def name_point(ax: Axes, name: str, x: float, y: float, ahead: float = 0) -> None:
    """Write a point's name beside it, over whatever is drawn there; not ahead of it if there is room."""
    if (name, (x, y)) in [(text.get_text(), text.xy) for text in ax.texts if isinstance(text, Annotation)]:
        return
    (low, high), (foot, top) = ax.get_xlim(), ax.get_ylim()
    left = x > (0.3 * low + 0.7 * high if ahead <= 0 else 0.84 * low + 0.16 * high)  # where there is room
    above = y < 0.15 * foot + 0.85 * top
    way = (-9 if left else 9, 9 if name == "start" else 22 if left and above else -20)  # the names of two do not meet
    style: dict[str, Any] = {"textcoords": "offset points", "ha": "right" if left else "left", "zorder": 5}
    style["path_effects"] = [withStroke(linewidth=3, foreground="white")]
    ax.annotate(name, (x, y), way, annotation_clip=True, **style)


def in_words(label: str) -> str:
    """Return a label as matplotlib will write it: a dollar begins no formula, and a line has a fair length."""
    line = "".join(letter if letter.isprintable() else " " for letter in label).replace("$", r"\$")
    wrapped = textwrap.fill(line, 60, max_lines=2, placeholder=" ...") if len(line) > 60 else line
    return f" {wrapped}" if wrapped.startswith("_") else wrapped  # matplotlib does not show what begins so
