"""Figures for light and for dark pages: each SVG of matplotlib gets a dark twin.

No library does it: a picture in a page does not know the page's theme. The twin is the same drawing; the ink, the page and
the lines have the colours that `gdexplain.plotting.DARK` names, and what is no ink (a map's cells) stays as it is. The theme
shows one of the two.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from gdexplain.plotting import DARK

_SVG = {"": "http://www.w3.org/2000/svg", "xlink": "http://www.w3.org/1999/xlink"}
_WORDS = ("matplotlib.axis_", "text_", "legend_")  # how matplotlib begins the names of what is no curve


def image_size(path: Path) -> tuple[int, int]:
    """Read width and height in CSS pixels from an SVG's first element, or in pixels from a PNG's header."""
    if path.suffix == ".svg":
        sizes = dict(re.findall(r'\b(width|height)="([\d.]+)pt"', path.read_text(encoding="utf-8")[:2000]))
        return round(float(sizes["width"]) * 4 / 3), round(float(sizes["height"]) * 4 / 3)
    with path.open("rb") as handle:
        return struct.unpack(">II", handle.read(24)[16:])


def darken(svg: str) -> str:
    """Draw matplotlib's SVG in the colours of a dark page; a colour that the project's style does not know stays."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: DARK.get(found[0], found[0]), svg)


def write_twin(path: Path) -> None:
    """Write the dark twin of an SVG beside it."""
    path.with_stem(f"{path.stem}_dark").write_text(darken(path.read_text(encoding="utf-8")), encoding="utf-8")


def shorten(svg: str) -> str:
    """Say where a curve runs, and a mark stands, to a tenth of a point; draw marks that then lie on each other once."""
    svg = re.sub(r'\b(?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d)\d+", r"\1", found[0]), svg)
    return re.sub(r"( *<use (?![^>]*opacity)[^>]*/>\n)\1+", r"\1", svg)


def darken_pixels(path: Path, dark: Path) -> None:
    """Turn a PNG of ink on white into one of light ink on the dark page: each pixel keeps its hue, and turns its light."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB")) / 255
    turned = pixels + 1 - 2 * (pixels @ [0.2126, 0.7152, 0.0722])[..., np.newaxis]
    page = np.array([int(DARK["#ffffff"][k : k + 2], 16) for k in (1, 3, 5)])
    Image.fromarray((page + (255 - page) * np.clip(turned, 0, 1)).astype(np.uint8)).save(dark)


def strip(svg: str) -> str:
    """Leave of a figure its curves alone, as large as they are: no axis, no word, for the size of a thumbnail.

    Of axes that stand one above the other the first is shown; a figure without an axis, say a graph, is all of it a picture.
    """
    if f'id="{_WORDS[0]}' not in svg:
        return svg
    for prefix, name in _SVG.items():
        ET.register_namespace(prefix, name)
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for group in [child for child in parent if child.get("id", "").startswith(_WORDS)]:
            parent.remove(group)
    figure = root.find(".//*[@id='figure_1']")
    axes = [group for group in figure if re.fullmatch(r"axes_\d+", group.get("id", ""))]
    pages = [one.find(".//{*}path").get("d") for one in axes]
    corners = [np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", page), float) for page in pages]
    width, height = np.ptp(np.concatenate(corners), axis=0)
    if width < height:
        for below in axes[1:]:
            figure.remove(below)
        del corners[1:]
    (left, top), (right, bottom) = (f(np.concatenate(corners), axis=0) for f in (np.min, np.max))
    root.set("viewBox", f"{left - 8:.1f} {top - 8:.1f} {right - left + 16:.1f} {bottom - top + 16:.1f}")
    return ET.tostring(root, encoding="unicode")
