"""The questions that learners ask: every link leads to a section that is there, and every number stands behind it."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections import Counter

import pytest
from built_site import ROOT, SITE, read

HERE = "practice/questions.html"
QUESTIONS = tomllib.loads((ROOT / "docs" / "practice" / "questions.toml").read_text(encoding="utf-8"))["question"]
every_question = pytest.mark.parametrize("one", QUESTIONS, ids=lambda one: one["ask"])


def flat(text: str) -> str:
    """Write a text in one line, for a browser breaks it anywhere."""
    return " ".join(text.replace("−", "-").split())


def test_there_are_forty_questions_or_more_and_none_twice():
    assert len(QUESTIONS) >= 40
    assert [ask for ask, times in Counter(one["ask"] for one in QUESTIONS).items() if times > 1] == []


@every_question
def test_the_numbers_of_an_answer_stand_on_the_page_that_it_links(site, one):
    page = one["page"].partition("#")[0]
    article = read(f"{page}.html").select_one("article")
    text = flat(f"{article.get_text()} {article.get_text(' ')}")  # the cells of a printed table are words of their own
    told = re.findall(r"\d[\d,]*\.\d+", one["about"])  # what it is held against was measured there as well
    for number in (flat(one["number"]), *told):
        assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", text), number


@every_question
def test_an_answer_stands_on_the_page_of_questions_with_its_link(site, one):
    page, _, section = one["page"].partition("#")
    links = [link for link in read(HERE).select("article a[href]") if flat(link.get_text()) == flat(one["number"])]
    targets = [posixpath.normpath(posixpath.join(posixpath.dirname(HERE), link["href"])) for link in links]
    places = [place for target, _, place in (target.partition("#") for target in targets) if target == f"{page}.html"]
    # an id of HTML may not begin with the number of a heading
    assert any(section.endswith(place) and bool(place) == bool(section) for place in places)
    assert all(read(f"{page}.html").find(id=place) is not None for place in places if place)
    assert flat(one["ask"]) in flat(read(HERE).select_one("article").get_text())


@every_question
def test_an_answer_is_short(one):
    assert len(one["answer"].split()) <= 45
    assert one["answer"].endswith(".")


def test_the_questions_are_a_click_from_the_course(site):
    links = {link["href"] for link in read("tutorial/index.html").select("article a[href]")}
    assert any(posixpath.normpath(posixpath.join("tutorial", link)) == HERE for link in links), SITE
