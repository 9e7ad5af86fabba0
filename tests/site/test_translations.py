"""Pages in other languages: up to date, with the code and the numbers of the English page, and marked as what they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from built_site import ROOT, SITE, pages, read
from checks import cells

DOCS = ROOT / "docs"
LANGUAGES = ("es",)
EDITION = re.compile(r'^edition: "([0-9a-f]{8})"$', re.MULTILINE)
TRANSLATIONS = [
    path.relative_to(DOCS)
    for language in LANGUAGES
    for path in sorted((DOCS / language).rglob("*.md"))
    if EDITION.search(path.read_text(encoding="utf-8"))
]
SAME = {"Adam", "fit"}  # texts that are the same in both languages
every_translation = pytest.mark.parametrize("path", TRANSLATIONS, ids=str)


def both(path: Path) -> tuple[str, str]:
    """Name the English page of a translation, and the translation."""
    return "/".join(path.with_suffix("").parts[1:]), path.with_suffix("").as_posix()


def source(page: str) -> str:
    """Read the source of a page."""
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def passages(page: str) -> list[str]:
    """List what a page says in words: headings, paragraphs, lists, tables and alt texts."""
    article = read(f"{page}.html").select_one("article")
    said = [
        part.get_text(" ", strip=True)
        for part in article.select("h1, h2, h3, p, summary.sd-summary-title, li:not(.crumbs li), td, th")
    ]
    said += [image["alt"] for image in article.select("img")]
    return [text for text in said if re.search(r"[a-z]{3}", re.sub(r"\\\w+", "", text)) and text not in SAME]


def shown(page: str, part: str) -> list[str]:
    """List the code, or the results, of a page as it was built."""
    return [cell.get_text() for cell in read(f"{page}.html").select(f".{part} pre")]


def test_there_is_a_translation():
    assert TRANSLATIONS


@every_translation
def test_the_english_page_has_not_changed_since_it_was_translated(path):
    page, translated = both(path)
    now = hashlib.sha256((DOCS / f"{page}.md").read_bytes()).hexdigest()[:8]
    assert EDITION.findall(source(translated)) == [now], (
        f"docs/{page}.md has changed since docs/{translated}.md was written: say there what is new, and then write"
        f' edition: "{now}" at its head'
    )


@every_translation
def test_a_translation_keeps_code_formulas_and_citations(path):
    marks = re.compile(r"\{[\w:]+\}`[^`]+`|\$[^$\n]+\$|(?<!`)`[^`\n]+`(?!`)")
    page, translated = both(path)
    assert [code for _, code in cells(DOCS / f"{page}.md")] == [code for _, code in cells(DOCS / f"{translated}.md")]
    words = [re.sub(r"^```.*?^```$", "", source(name), flags=re.MULTILINE | re.DOTALL) for name in (page, translated)]
    english, other = (Counter(mark for mark in marks.findall(text) if "{term}" not in mark) for text in words)
    assert english == other


@every_translation
def test_no_passage_of_a_translated_page_is_still_english(site, path):
    english, translated = map(passages, both(path))
    assert len(english) == len(translated)
    assert sorted(set(english) & set(translated)) == []


@every_translation
def test_a_translated_page_has_the_code_and_the_numbers_of_the_english_one(site, path):
    page, translated = both(path)
    for part in ("cell_input", "cell_output"):
        assert shown(page, part) == shown(translated, part) != []
    pictures = [[image["src"].rsplit("/", 1)[-1] for image in read(f"{name}.html").select(".cell_output img")]
                for name in (page, translated)]  # fmt: skip
    assert pictures[0] == pictures[1] != []


@every_translation
def test_a_page_and_its_translation_lead_to_each_other(site, path):
    page, translated = both(path)
    for here, there, key in ((page, translated, path.parts[0]), (translated, page, "en")):
        link = read(f"{here}.html").select_one(f"article nav.languages a[hreflang={key}][lang={key}]")
        assert (SITE / f"{here}.html").parent.joinpath(link["href"]).resolve() == SITE / f"{there}.html"
        assert read(f"{here}.html").select_one(f"link[rel=alternate][hreflang={key}]") is not None


@pytest.mark.parametrize("name", pages())
def test_a_page_says_which_language_it_is_in(name):
    first = name.partition("/")[0]
    assert read(name).html["lang"] == (first if first in LANGUAGES else "en")


def test_the_search_knows_the_words_of_english_pages_only(site):
    index = json.loads((SITE / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(")[:-1])
    foreign = {place for place, name in enumerate(index["docnames"]) if name.partition("/")[0] in LANGUAGES}
    found = {
        word
        for word, places in index["terms"].items()
        if foreign & {*(places if isinstance(places, list) else [places])}
    }
    assert foreign
    assert len(index["terms"]) > 1000
    assert found == set()
