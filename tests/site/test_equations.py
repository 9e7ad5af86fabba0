"""Formulas in a browser as wide as a phone: each fits, or scrolls inside its own box."""

from __future__ import annotations

import pytest
from built_site import SITE, content_pages

WITH_FORMULAS = [
    name for name in content_pages() if 'class="katex-display' in (SITE / name).read_text(encoding="utf-8")
]
COURSE = ("tutorial/", "explanation/", "gallery/", "practice/", "es/")
LOOK = """() => [...document.querySelectorAll('.katex-display')].filter(box => box.checkVisibility()).map(box => ({
    latex: box.querySelector('annotation').textContent, scrolls: ['auto', 'scroll'].includes(getComputedStyle(box).overflowX),
    right: box.getBoundingClientRect().right, left: box.getBoundingClientRect().left, room: innerWidth,
    hidden: box.scrollWidth - box.clientWidth, cut: box.scrollHeight - box.clientHeight,
}))"""
TOLD = "explanation/backprop_by_hand.html"  # its rows carry their numbers, and are as long as these make them


@pytest.mark.parametrize("name", WITH_FORMULAS)
def test_no_formula_is_clipped_on_a_phone(visit, server, name):
    for formula in visit(server, name, width=360).page.evaluate(LOOK):
        assert formula["left"] >= 0, formula
        assert formula["right"] <= formula["room"], formula
        assert formula["hidden"] <= 1 or formula["scrolls"], formula
        assert formula["cut"] <= 1, formula
        if name.startswith(COURSE) and name != TOLD:
            assert formula["hidden"] <= 1, formula  # on a page of the course nobody has to scroll a formula


def test_the_site_has_formulas():
    assert len(WITH_FORMULAS) > 20
