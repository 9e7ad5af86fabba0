"""Colours of code that everybody can read: the familiar styles, each colour moved until it has the contrast it needs."""

from __future__ import annotations

from typing import ClassVar

from pygments.style import Style
from pygments.styles import get_style_by_name

NEEDED = 4.6  # WCAG AA asks for 4.5 to 1; a little more survives the rounding to eight bits


def luminance(colour: str) -> float:
    """Compute the relative luminance of a colour, six hexadecimal digits, as WCAG defines it."""
    channels = [int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Compute the contrast of two colours: 1 for the same, 21 for black on white."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, paper: str) -> str:
    """Move a colour towards black or white, whichever is further from the paper, until it can be read."""
    end = 0 if luminance(paper) > 0.18 else 255
    for step in range(101):
        channels = [round(int(colour[k : k + 2], 16) * (1 - step / 100) + end * step / 100) for k in (0, 2, 4)]
        moved = "".join(f"{c:02x}" for c in channels)
        if contrast(moved, paper) >= NEEDED:
            return moved
    raise AssertionError(colour)


def _readable_styles(name: str, paper: str) -> dict:
    """Rewrite a style of Pygments: each token keeps its weight and slant, and takes no background of its own."""
    styles = {}
    for token, style in get_style_by_name(name):
        marks = [word for word in ("bold", "italic", "underline") if style[word]]
        colour = [f"#{readable(style['color'], paper)}"] if style["color"] else []
        styles[token] = " ".join([*marks, *colour])
    return styles


class Light(Style):
    """Tango on its light grey."""

    name = "light"
    background_color = "#f8f8f8"
    styles: ClassVar = _readable_styles("tango", "f8f8f8")


class Dark(Style):
    """One Dark."""

    name = "dark"
    background_color = "#282c34"
    styles: ClassVar = _readable_styles("one-dark", "282c34")
