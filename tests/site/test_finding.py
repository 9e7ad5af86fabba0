"""A reader finds things: by the search, by three clicks from home, and from each page to the next."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote

import pytest
from built_site import content_pages, read

# What a reader types, and the pages of which one must stand among the first three.
QUESTIONS = {
    "why does my loss explode": ("practice/common_mistakes.html",),
    "exploding loss": ("gallery/variants/plot_learning_rate.html",),
    "batch size": ("gallery/variants/plot_minibatch.html", "practice/which_optimizer.html"),
    "vanishing gradient": ("gallery/theory/plot_initialisation.html",),
    "momentum": ("gallery/rules/plot_momentum.html",),
    "license": ("project/index.html",),
    "local minimum": ("gallery/theory/plot_network_surface.html",),
    "overfitting": ("reference/glossary.html",),
    "iteration": ("reference/glossary.html",),
}
USERS = {  # names of the package and a script that uses each
    "gdexplain.train": "plot_three_variants",
    "gdexplain.descend": "plot_noise_floor",
    "gdexplain.draw_path": "plot_three_variants",
    "gdexplain.optimal_momentum": "plot_momentum",
    "gdexplain.by_hand.rules.momentum": "plot_momentum",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_answers_a_question_at_once(visit, server, question):
    page = visit(server, f"search.html?q={quote(question)}").page
    page.locator(".search-summary").filter(
        has_text=re.compile("finished|found|did not match", re.IGNORECASE)
    ).wait_for()
    page.wait_for_selector("ul.search li a")
    links = page.locator("ul.search li > a").evaluate_all("links => links.map(link => link.href)")
    found = [link.removeprefix(server).split("#")[0] for link in links[:3]]
    assert {*found} & {*QUESTIONS[question]}, found


def links_in_the_text(name: str) -> set[str]:
    """List the pages that the text of a page links to; what stands around it leads everywhere anyway."""
    found = (unquote(link["href"].split("#")[0]) for link in read(name).select("article a[href]"))
    return {posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) for link in found if link}


def test_three_clicks_from_home_reach_every_page(site):
    reached, newest = {"index.html"}, {"index.html"}
    for _ in range(3):
        newest = set().union(*map(links_in_the_text, newest)) & {*content_pages()} - reached
        reached |= newest
    assert sorted({*content_pages()} - reached) == []


@pytest.mark.parametrize("name", USERS)
def test_the_reference_shows_at_a_function_the_scripts_that_use_it(site, name):
    found = [page for page in content_pages() if page.startswith("reference/api/") and read(page).find(id=name)]
    assert len(found) == 1
    links = [link["href"] for link in read(found[0]).find(id=name).find_next_sibling("dd").select("ul a")]
    assert any(link.endswith(f"{USERS[name]}.html") for link in links), links
