"""A page on paper: nothing to press, nothing cut off, films and explorables as still figures."""

from __future__ import annotations

import pytest

PAPER = 680  # CSS pixels between the margins of a sheet of A4, and a little less than of Letter


@pytest.fixture(scope="module")
def paper(browser):
    """Give one page, as wide as paper, that shows what is printed; from the dark theme, which paper does not have."""
    context = browser.new_context(viewport={"width": PAPER, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    page.emulate_media(media="print")
    yield page
    context.close()


def test_the_solutions_of_exercises_are_printed(paper, server):
    paper.goto(server + "tutorial/batch.html")
    folded = paper.locator("details:not([open], .run-page) > :not(summary)")
    assert folded.count() > 0
    assert all(folded.nth(k).bounding_box()["height"] > 10 for k in range(folded.count()))


def test_films_and_explorables_are_printed_as_still_figures(paper, server):
    for name, selector in (
        ("gallery/variants/plot_descent_animated.html", ".only-light > .film-still"),
        ("explore/index.html", ".gdx-static"),
    ):
        paper.goto(server + name)
        stills = paper.locator(selector)
        assert stills.count() >= 1
        assert all(stills.nth(k).is_visible() for k in range(stills.count()))
    assert paper.locator(".gdx-card").count() == stills.count()


def test_paper_is_light(paper, server):
    paper.goto(server + "index.html")
    assert paper.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
