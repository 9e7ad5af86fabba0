"""What teachers take with them: figures for slides, on white and on dark, and links to exercises."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter

import pytest
from bs4 import BeautifulSoup
from built_site import SITE, read

HEAVIEST = 400_000  # bytes of one file


def teachers() -> BeautifulSoup:
    return read("teachers.html")


def slides() -> list:
    """List the rows of the table of figures."""
    return [row for row in teachers().select("article tr") if row.select("a.download")]


def test_every_lecture_has_figures_to_download(site):
    lectures = Counter(row.select_one("td").get_text(strip=True) for row in slides())
    assert sorted(lectures) == list("123456")
    assert min(lectures.values()) >= 2


def test_a_figure_comes_as_svg_and_png_on_white_and_on_dark(site):
    for row in slides():
        files = [(SITE / link["href"]).resolve() for link in row.select("a.download")]
        assert [path.suffix for path in files] == [".svg", ".png"] * 2
        for path in files:
            assert 5_000 < path.stat().st_size < HEAVIEST
        for path, background in zip(files[::2], ("#ffffff", "#131416"), strict=True):
            text = path.read_text(encoding="utf-8")
            assert ET.fromstring(text).tag.endswith("svg")
            assert background in text
            assert not re.search(r"<dc:date>|\d{4}-\d\d-\d\dT", text)


@pytest.mark.parametrize("number", range(1, 7))
def test_a_lecture_has_exercises_of_each_level_with_links(site, number):
    lecture = teachers().find(id=f"lecture-{number}")
    lecture = lecture if lecture.name == "section" else lecture.find_parent("section")
    levels = {item.find("em").get_text(): item for item in lecture.select("li") if item.find("em")}
    assert [*levels] == ["Easy:", "Medium:", "Hard:"]
    assert all(item.select("a[href]") for item in levels.values())
