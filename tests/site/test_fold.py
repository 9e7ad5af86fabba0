"""Checks as one line each, and folds for imports and drawing: nothing of a page's code is lost, and none shows twice."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest
from built_site import ROOT, SITE, gallery_pages, read
from checks import cells, is_check

NOTEBOOKS = (
    "tutorial/setup",
    "tutorial/backprop",
    "tutorial/minibatch",
    "explanation/why_backprop",
    "practice/common_mistakes",
)
PAGES = [name.removesuffix(".html") for name in gallery_pages()] + [*NOTEBOOKS]


def source_of(name: str):
    stem = name.removeprefix("gallery/")
    return ROOT / "examples" / f"{stem}.py" if stem != name else ROOT / "docs" / f"{name}.md"


def statements(code: str) -> list[str]:
    try:
        body = ast.parse(code).body
    except SyntaxError:  # a line of IPython's
        return []
    words = [node for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    return [ast.unparse(node) for node in body if node not in words]


def blocks(name: str):
    return read(f"{name}.html").select("article div.highlight-Python pre, article div.highlight-ipython3 pre")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_all_of_its_code_once(site, name):
    shown = Counter(found for block in blocks(name) for found in statements(block.get_text()))
    wrote = Counter(found for _, code in cells(source_of(name)) for found in statements(code))
    assert shown - wrote == Counter()
    text = source_of(name).read_text(encoding="utf-8")
    unseen = re.findall(r"```{code-cell}[^`]*?remove-(?:cell|input)\S*\n(?:[^`]*?---\n)?([^`]*)```", text)
    assert wrote - shown <= Counter(found for code in unseen for found in statements(code))


@pytest.mark.parametrize("name", PAGES)
def test_a_check_is_a_line_that_says_what_was_measured_and_opens_to_the_code_that_ran(site, name):
    for block in blocks(name):
        nodes = ast.parse(block.get_text()).body if statements(block.get_text()) else []
        fold = block.find_parent("details")
        if fold is None:
            assert not any(map(is_check, nodes)), block.get_text()
        elif "checks" in fold["class"]:
            lines = [line.get_text() for line in fold.select("summary .check")]
            assert len(lines) == len(nodes)
            assert all(map(is_check, nodes))
            assert all(re.match(r"checked: \S", line) for line in lines)
            assert not any("`" in line for line in lines)


def test_a_page_says_what_was_predicted_and_what_was_measured(site):
    lines = [line.get_text() for line in read("gallery/variants/plot_batch.html").select(".check")]
    numbers = [re.fullmatch(r"checked: .*predicted (\S+), measured (\S+)", line) for line in lines]
    assert any(found and found[1] == found[2] for found in numbers), lines
    assert (SITE / "gallery" / "variants" / "plot_batch.html").exists()
