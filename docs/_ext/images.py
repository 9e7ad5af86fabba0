"""Figures as small files, at a third of the size: Pillow's own palettes merge the bands of a contour plot."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

_COLOURS = 256  # what a PNG with a palette can hold
_EXACT = 96  # of these, the most frequent colours of the figure: its lines, bands and texts


def png_size(path: Path) -> tuple[int, int]:
    """Read width and height in pixels from a PNG's header."""
    with path.open("rb") as handle:
        return struct.unpack(">II", handle.read(24)[16:])


def shrink(path: Path) -> None:
    """Rewrite a PNG with a palette, unless it has one already.

    Pillow's own quantizer for transparent images averages: it merges neighbouring bands of a contour plot. Here the
    frequent colours stay as they are, and only the edges' mixtures move, to the nearest colour of the palette.
    """
    from PIL import Image
    from scipy.spatial import cKDTree  # both take long to import, and most builds shrink nothing

    with Image.open(path) as image:
        if image.mode == "P":
            return
        pixels = np.array(image.convert("RGBA"))
    pixels[pixels[..., 3] == 0] = 0
    keys, place, count = np.unique(pixels.view(np.uint32).ravel(), return_inverse=True, return_counts=True)
    colours = keys.view(np.uint8).reshape(-1, 4)
    seen = colours * np.where(np.arange(4) < 3, colours[:, 3:] / 255.0, 1.0)  # as a reader sees them, alpha applied
    palette = _choose(seen, count)
    nearest = cKDTree(seen[palette]).query(seen)[1]
    figure = Image.fromarray(nearest[place.ravel()].astype(np.uint8).reshape(pixels.shape[:2]))
    figure.putpalette(colours[palette].tobytes(), "RGBA")
    figure.save(path, "PNG", optimize=True)


def _choose(seen: np.ndarray, count: np.ndarray) -> list[int]:
    """Choose the palette: the most frequent colours, then one by one the colour that is worst represented."""
    chosen = np.argsort(-count, kind="stable")[:_EXACT].tolist()
    distance = np.min([np.sum((seen - seen[k]) ** 2, axis=1) for k in chosen], axis=0)
    while len(chosen) < min(_COLOURS, len(seen)):
        chosen.append(int(np.argmax(distance * np.sqrt(count))))
        distance = np.minimum(distance, np.sum((seen - seen[chosen[-1]]) ** 2, axis=1))
    return chosen
