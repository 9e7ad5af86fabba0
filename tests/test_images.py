"""Figures have a dark twin: the same drawing in the colours that the style names."""

import io
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gdexplain import use_style
from gdexplain.plotting import COLORS, DARK, INK, label_lines

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
from images import darken, darken_pixels, image_size, shorten, strip, write_twin


@pytest.fixture
def svg():
    """A figure in the project's style, with a line, a label beside it and a map."""
    with mpl.rc_context():
        use_style()
        figure = Figure(figsize=(3, 2))
        ax = figure.subplots()
        ax.pcolormesh([[0.0, 1.0], [2.0, 3.0]], rasterized=True)
        ax.plot([0, 1], [0, 1], color=COLORS["adam"], label="a run")
        label_lines(ax)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return buffer.getvalue()


def colours(text):
    return set(re.findall(r"#[0-9a-f]{6}\b", text))


def test_the_twin_has_dark_colours_and_nothing_else_is_changed(svg):
    dark = darken(svg)
    assert {INK, COLORS["adam"]} <= colours(svg)
    assert {DARK[INK], DARK[COLORS["adam"]]} <= colours(dark)
    assert not colours(dark) & {INK, *COLORS.values()}
    assert re.sub(r"#[0-9a-f]{6}\b", "", dark) == re.sub(r"#[0-9a-f]{6}\b", "", svg)


def test_a_twin_stands_beside_its_figure_and_has_its_size(svg, tmp_path):
    path = tmp_path / "figure.svg"
    path.write_text(svg, encoding="utf-8")
    write_twin(path)
    assert (tmp_path / "figure_dark.svg").read_text(encoding="utf-8") == darken(svg)
    assert image_size(path) == image_size(tmp_path / "figure_dark.svg") == (3 * 96, 2 * 96)


def test_a_thumbnail_is_the_curve_and_the_map_alone(svg):
    bare = strip(svg)
    names = [element.get("id", "") for element in ET.fromstring(bare).iter()]
    assert not [name for name in names if name.startswith(("matplotlib.axis", "text"))]
    assert COLORS["adam"] in colours(bare)
    assert "data:image/png" in bare
    assert strip(bare) == bare


def box_of(figure):
    """The part of a figure that its thumbnail shows: left, top, width and height."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return [float(number) for number in ET.fromstring(strip(buffer.getvalue())).get("viewBox").split()]


def test_a_thumbnail_shows_all_axes_side_by_side_and_of_a_pile_the_first():
    beside, pile = Figure(figsize=(6, 3)), Figure(figsize=(3, 6))
    beside.subplots(1, 2)
    pile.subplots(2, 1)
    assert box_of(beside)[2] > 0.7 * 6 * 72
    _, top, _, height = box_of(pile)
    assert top + height < 0.55 * 6 * 72


@pytest.mark.parametrize("size", [(3, 3), (6, 4), (9, 3)])
def test_a_thumbnail_shows_its_axes_whole_whatever_their_shape(size):
    figure, buffer = Figure(figsize=size), io.StringIO()
    figure.subplots()
    figure.savefig(buffer, format="svg")
    root = ET.fromstring(strip(buffer.getvalue()))
    assert "slice" not in root.get("preserveAspectRatio", "xMidYMid meet")


def test_a_figure_without_an_axis_is_its_own_thumbnail():
    graph, buffer = Figure(), io.StringIO()
    ax = graph.subplots()
    ax.text(0.5, 0.5, "a node")
    ax.axis("off")
    graph.savefig(buffer, format="svg")
    assert strip(buffer.getvalue()) == buffer.getvalue()


def test_a_short_curve_is_the_same_to_a_tenth_of_a_point(svg):
    short = shorten(svg)
    assert len(short) < len(svg)
    assert shorten(short) == short
    assert (
        shorten('<path d="M 12.34 4 L -5.6789 7.89" style="x: 1.234"/>')
        == '<path d="M 12.3 4 L -5.6 7.8" style="x: 1.234"/>'
    )


def test_marks_that_lie_on_each_other_are_drawn_once_unless_they_are_clear():
    mark = '  <use xlink:href="#m" x="{}" y="2.51" style="fill: #404040{}"/>\n'
    first, near, far = (mark.format(x, "") for x in (1.21, 1.29, 3.0))
    assert shorten(first + near + far).count("<use") == 2
    clear = mark.format(1.21, "; fill-opacity: 0.3")
    assert shorten(clear * 2).count("<use") == 2


def test_pixels_turn_their_light_and_keep_their_hue(tmp_path):
    light, dark = tmp_path / "light.png", tmp_path / "dark.png"
    Image.fromarray(np.uint8([[[255, 255, 255], [0, 0x72, 0xB2], [64, 64, 64]]])).save(light)
    darken_pixels(light, dark)
    page, (red, green, blue), ink = np.array(Image.open(dark))[0].astype(int)
    assert page.tolist() == [0x13, 0x14, 0x16]
    assert red < green < blue
    assert ink.min() > 190
