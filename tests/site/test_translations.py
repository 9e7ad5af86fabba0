"""Pages in other languages: whole, up to date, with the numbers of the English page, and marked as what they are.

A passage that is missing in a catalogue does not stop the build: whoever changes an English page must be able to look at
it, and may not speak the language. It stops here. Then renew the catalogue (`tools/catalogues.py`) and translate what it marks
as fuzzy or leaves empty; or remove the catalogue, if nobody is there to keep the page.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from built_site import ROOT, SITE, pages, read

LOCALE = ROOT / "docs" / "locale"
CATALOGUES = sorted(LOCALE.glob("*/LC_MESSAGES/**/*.po"))
SAME = {"Adam", "fit"}  # texts that are the same in both languages


def named(catalogue: Path) -> tuple[str, str]:
    """Give language and English page of a catalogue."""
    language, _, *page = catalogue.relative_to(LOCALE).with_suffix("").parts
    return language, "/".join(page)


every_catalogue = pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: "-".join(named(path)))


def entries(catalogue: Path) -> list[tuple[str, str, str]]:
    """Read a catalogue as (comments, English, translation), without its header."""
    found = []
    for block in catalogue.read_text(encoding="utf-8").split("\n\n"):
        parts = re.fullmatch(r"((?:#.*\n)*)msgid ((?:\".*\"\n?)+)msgstr ((?:\".*\"\n?)+)", block.strip())
        if parts:
            text = ["".join(map(ast.literal_eval, part.strip().splitlines())) for part in parts.groups()[1:]]
            found.append((parts[1], *text))
    return found[1:]


def passages(page: str) -> list[str]:
    """List what a page says in words: headings, paragraphs, lists, tables and alt texts."""
    article = read(f"{page}.html").select_one("article")
    said = [part.get_text(" ", strip=True) for part in article.select("h1, h2, h3, p, li:not(.crumbs li), td, th")]
    said += [image["alt"] for image in article.select("img")]
    return [text for text in said if re.search(r"[a-z]{3}", re.sub(r"\\\w+", "", text)) and text not in SAME]


def cells(page: str, part: str) -> list[str]:
    """List the code, or the results, of a page."""
    return [cell.get_text() for cell in read(f"{page}.html").select(f".{part} pre")]


def test_there_is_a_catalogue():
    assert CATALOGUES


@every_catalogue
def test_a_catalogue_is_complete_and_nothing_in_it_is_a_guess(catalogue):
    read_entries = entries(catalogue)
    assert len(read_entries) > 10
    assert [english for comments, english, text in read_entries if not text or "fuzzy" in comments] == []


@every_catalogue
def test_a_catalogue_says_nothing_that_the_english_page_no_longer_says(catalogue):
    source = (ROOT / "docs" / f"{named(catalogue)[1]}.md").read_text(encoding="utf-8")
    flat = " ".join(source.split())
    assert [english for _, english, _ in entries(catalogue) if english not in flat] == []


@every_catalogue
def test_a_translation_keeps_formulas_code_and_links(catalogue):
    marks = re.compile(r"\{[\w:]+\}`[^`]+`|\$[^$]+\$|`[^`]+`|\]\([^)]+\)")
    for _, english, text in entries(catalogue):
        before, after = ([mark for mark in marks.findall(each) if "{term}" not in mark] for each in (english, text))
        assert sorted(before) == sorted(after), text


@every_catalogue
def test_no_passage_of_a_translated_page_is_still_english(site, catalogue):
    language, page = named(catalogue)
    english, translated = passages(page), passages(f"{language}/{page}")
    assert len(english) == len(translated)
    assert sorted(set(english) & set(translated)) == []


@every_catalogue
def test_a_translated_page_has_the_code_and_the_numbers_of_the_english_one(site, catalogue):
    language, page = named(catalogue)
    for part in ("cell_input", "cell_output"):
        assert cells(page, part) == cells(f"{language}/{page}", part) != []
    pictures = [[image["src"].rsplit("/", 1)[-1] for image in read(f"{name}.html").select(".cell_output img")]
                for name in (page, f"{language}/{page}")]  # fmt: skip
    assert pictures[0] == pictures[1] != []


@every_catalogue
def test_a_page_and_its_translation_lead_to_each_other(site, catalogue):
    language, page = named(catalogue)
    for here, there, key in ((page, f"{language}/{page}", language), (f"{language}/{page}", page, "en")):
        link = read(f"{here}.html").select_one(f"article nav.languages a[hreflang={key}][lang={key}]")
        assert (SITE / f"{here}.html").parent.joinpath(link["href"]).resolve() == SITE / f"{there}.html"
        assert read(f"{here}.html").select_one(f"link[rel=alternate][hreflang={key}]") is not None


@pytest.mark.parametrize("name", pages())
def test_a_page_says_which_language_it_is_in(name):
    languages = {path.name for path in LOCALE.glob("*")}
    first = name.partition("/")[0]
    assert read(name).html["lang"] == (first if first in languages else "en")


def test_the_search_knows_the_words_of_english_pages_only(site):
    index = json.loads((SITE / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(")[:-1])
    languages = {path.name for path in LOCALE.glob("*")}
    foreign = {place for place, name in enumerate(index["docnames"]) if name.partition("/")[0] in languages}
    found = {
        word
        for word, places in index["terms"].items()
        if foreign & {*(places if isinstance(places, list) else [places])}
    }
    assert foreign
    assert len(index["terms"]) > 1000
    assert found == set()
