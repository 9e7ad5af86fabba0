"""Every page of the course, checked in the open, with results, exercises and a way on."""

from __future__ import annotations

import ast
import posixpath

import pytest
from bs4 import BeautifulSoup
from built_site import content_pages, gallery_pages, read, target
from checks import is_check


def checks(part: BeautifulSoup, *, folded: bool) -> int:
    """Count the checks in the code of a part; in what is folded away too, or only in what a reader sees at once."""
    cells = part.select(".cell_input pre, .fold-checks pre, .highlight-Python pre")
    folds = [cell.find_parents("details", class_=lambda name: name != "checks") for cell in cells]  # a check is a line
    seen = [cell for cell, around in zip(cells, folds, strict=True) if folded or not around]
    return sum(is_check(node) for cell in seen for node in ast.walk(ast.parse(cell.get_text())))


def exercises(page: str) -> BeautifulSoup | None:
    """Find the section of a page whose heading says Exercise."""
    headings = (heading for heading in read(page).select("article h2, article h3") if "Exercise" in heading.get_text())
    return next((heading.find_parent("section") for heading in headings), None)


READ = [name for name in content_pages() if read(name).select_one(".crumbs .minutes") and not name.startswith("es/")]
MEASURED = [name for name in READ if name not in {"practice/questions.html", "tutorial/notebook.html"}]  # these quote


@pytest.mark.parametrize("page", MEASURED)
def test_a_page_shows_what_it_measured_and_checks_it_where_the_reader_sees_it(site, page):
    article = read(page).select_one("article")
    outputs = article.select(".cell_output, .sphx-glr-script-out")
    assert any(output.get_text(strip=True) for output in outputs)
    assert checks(article, folded=False)


@pytest.mark.parametrize("page", [name for name in MEASURED if not name.startswith("practice/")])
def test_a_page_of_the_course_has_exercises_with_checked_solutions_folded_away(site, page):
    section = exercises(page)
    assert section is not None
    assert checks(section, folded=True)
    assert not checks(section, folded=False), "a solution stands open beside its question"


@pytest.mark.parametrize("page", gallery_pages())
def test_a_script_says_what_it_needs(site, page):
    before = read(page).select_one("article section").get_text().split("import ")[0]
    assert "You need " in " ".join(before.split())


@pytest.mark.parametrize("page", READ)
def test_the_end_of_a_page_leads_where_its_foot_leads(site, page):
    foot = target(page, read(page).select_one("a.next-page")["href"])
    headings = [heading for heading in read(page).select("article h2") if heading.get_text().startswith("What next")]
    ends = [heading.find_parent("section") for heading in headings]
    ends += [words for words in read(page).select("article p") if words.get_text().startswith("Next: ")]
    links = {target(page, link["href"]) for link in ends[-1].select("a[href]")}
    part = posixpath.dirname(foot)  # a page may lead to the first of a part instead of to its list
    assert foot in links or (foot.endswith("index.html") and any(posixpath.dirname(link) == part for link in links))


ROAD = [
    *(f"tutorial/{name}.html" for name in ("setup", "backprop", "batch", "stochastic", "minibatch")),
    *(f"explanation/{name}.html" for name in ("backprop_by_hand", "why_backprop")),
    *(f"gallery/variants/plot_{name}.html" for name in ("learning_rate", "three_variants", "noise_floor")),
    *(f"gallery/rules/plot_{name}.html" for name in ("momentum", "adam_from_scratch")),
    "gallery/theory/plot_initialisation.html",
    "gallery/practice/plot_digits.html",
]


@pytest.mark.parametrize("page", ROAD)
def test_a_page_of_the_road_has_a_bet_that_one_answer_wins(site, page):
    headings = [heading for heading in read(page).select("article h2, article h3") if heading.get_text()[:5] == "A bet"]
    assert len(headings) == 1
    section = headings[0].find_parent("section")
    answers = section.select("details.sd-dropdown")
    said = [answer.select_one(".sd-card-body").get_text().split() for answer in answers]
    assert len(answers) >= 3
    assert sum(words[0] in {"Yes", "Yes:", "Yes,", "Yes."} for words in said) == 1
    assert all(len(words) > 8 for words in said), "an answer says what it would mean"
    assert not any(fold.has_attr("open") for fold in section.select("details"))


@pytest.mark.parametrize("page", [page for page in ROAD if page.startswith("gallery/")])
def test_what_decides_the_bet_of_a_script_is_folded_behind_the_answers(site, page):
    fold = read(page).select_one("article details.decides")
    assert checks(fold, folded=True)
    assert fold.select_one(".sphx-glr-script-out").get_text(strip=True)
    assert not fold.select("details.sd-dropdown")
    assert not fold.find_next_siblings("details"), "an answer stands after what decides it"
