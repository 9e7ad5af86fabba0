"""Tables that pages print: real tables for a reader, lines of text for a terminal."""

from __future__ import annotations

import pytest
from built_site import ROOT, content_pages, read
from tables import columns_of

PRINTED = """\
optimizer   best rate    loss
SGD                 1   0.150
with noise       0.01   1e-05"""
NO_TABLE = {
    "an array": "[[ 4.  4.]\n [16.  8.]]",
    "names without a heading": "w = 1     loss   7.5\nw = 0.1   loss  27.0",
    "lines of words": "update 1: loss 30\nupdate 2: loss 20",
    "a cell is missing": "rate   loss\n 0.1      3\n 0.2",
    "no numbers": "layer   kind\nfirst   dense\nlast    relu",
    "one line": "rate   loss",
    "nothing": "",
}


def test_a_printed_table_is_taken_apart_at_the_gaps_that_run_through_it():
    rows = [["optimizer", "best rate", "loss"], ["SGD", "1", "0.150"], ["with noise", "0.01", "1e-05"]]
    assert columns_of(PRINTED) == rows


@pytest.mark.parametrize("text", NO_TABLE.values(), ids=NO_TABLE)
def test_what_is_no_table_stays_as_it_was_printed(text):
    assert columns_of(text) == []


def test_numbers_stand_at_the_right_under_their_name():
    table = read("gallery/practice/plot_diabetes.html").select_one("table.printed")
    names = [cell.get_text() for cell in table.select("th")]
    assert names == ["weight", "normal equations", "gradient descent"]
    for row in table.select("tbody tr"):
        assert ["text-right" in cell.get("class", []) for cell in row.select("td")] == [False, True, True]


def test_a_downloaded_script_still_prints_its_table():
    script = (ROOT / "examples" / "practice" / "plot_diabetes.py").read_text(encoding="utf-8")
    assert 'print("        weight   normal equations   gradient descent")' in script


def test_plain_words_wrap_on_a_phone_and_a_table_shows_its_last_column(visit, server):
    page = visit(server, "practice/common_mistakes.html", width=360).page
    wide = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
    assert page.locator("article .words pre").evaluate_all(wide) == 0
    assert page.locator("article .words pre").count() > 5
    cells = page.locator("article table.printed").first.locator("th").all()
    right = cells[-1].bounding_box()
    assert right["x"] + right["width"] <= 360


def test_no_column_of_what_a_page_prints_was_left_as_text():
    left = [
        name
        for name in content_pages()
        for block in read(name).select("article .stream pre, article .sphx-glr-script-out pre")
        for part in block.get_text().strip("\n").split("\n\n")
        if columns_of(part)
    ]
    assert left == []
