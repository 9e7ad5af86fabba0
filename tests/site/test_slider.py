"""Figures in a row: a slider shows one of them; without scripts, and on paper, they stand below each other."""

from __future__ import annotations

import pytest

PAGE, ROW = "gallery/theory/plot_fractal_boundary.html", 4


def shown(page, theme):
    figures = page.locator(f"article input.figures ~ a.enlarge.only-{theme}").all()
    return [figure.is_visible() for figure in figures[:ROW]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_slider_goes_through_the_figures_by_keyboard_and_says_which_it_shows(visit, server, scheme):
    page = visit(server, PAGE, scheme=scheme).page
    slider = page.locator("article input.figures")
    assert slider.count() == 1
    seen = []
    slider.focus()
    for place in range(ROW):
        assert shown(page, scheme) == [k == place for k in range(ROW)]
        seen.append(slider.get_attribute("aria-valuetext"))
        page.keyboard.press("ArrowRight")
    assert len(set(seen)) == ROW
    assert not any(shown(page, "dark" if scheme == "light" else "light"))


def test_without_scripts_all_figures_of_the_row_are_there(visit, server):
    page = visit(server, PAGE, java_script_enabled=False).page
    assert page.locator("article input.figures").count() == 0
    assert page.locator("article a.enlarge.only-light:visible").count() > ROW


def test_on_paper_all_figures_of_the_row_are_there(visit, server):
    page = visit(server, PAGE).page
    page.emulate_media(media="print")
    asides = page.locator("article a.enlarge.only-light.aside").all()
    displays = [aside.evaluate("aside => getComputedStyle(aside).display") for aside in asides]
    assert displays == ["block"] * (ROW - 1)
