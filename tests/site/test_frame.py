"""What stands around every page: a policy that lets nothing else in, words for search engines, images that wait."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup
from built_site import SITE, content_pages, pages
from finish import policy

FILE_NAME = re.compile(r"[\w-]+\.(?:png|svg|jpe?g|gif|mp4)|^(?:image|figure|plot|img)\b\W*\d*$", re.IGNORECASE)


def soup(name: str) -> BeautifulSoup:
    return BeautifulSoup((SITE / name).read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize("name", pages())
def test_a_page_states_the_policy_of_its_own_scripts_first(name):
    text = (SITE / name).read_text(encoding="utf-8")
    metas = soup(name).head.find_all("meta")
    assert [meta.get("http-equiv") for meta in metas].index("Content-Security-Policy") == 1
    stated = metas[1]["content"]
    assert stated == policy(text)
    scripts = stated.partition("script-src ")[2].partition(";")[0]
    assert stated.startswith("default-src 'none'")
    assert "unsafe" not in scripts
    assert not re.search(r"\son[a-z]+=\"|javascript:", text)


def test_no_two_pages_have_the_same_description_or_title(site):
    for what in ('meta[name="description"]', "title"):
        found = {name: soup(name).select(what) for name in pages()}
        assert [name for name, tags in found.items() if len(tags) != 1 and what != "title"] == []
        words = [(tags[0].get("content") or tags[0].get_text()).strip() for tags in found.values()]
        assert min(map(len, words)) >= (9 if what == "title" else 30)
        assert sorted({word for word in words if words.count(word) > 1}) == []


@pytest.mark.parametrize("name", pages())
def test_images_have_a_size_and_all_but_the_first_wait_until_they_are_near(name):
    images = soup(name).select("img")
    assert all(image.get("width") and image.get("height") and image.get("decoding") for image in images)
    assert [image.get("loading") for image in images] == [None, *["lazy"] * len(images)][: len(images)]


@pytest.mark.parametrize("name", content_pages())
def test_the_words_of_a_figure_say_what_it_shows(name):
    for image in soup(name).select("article img"):
        words = image["alt"]
        assert len(words) >= (20 if "Thumbnail" in words else 60), words
        assert not FILE_NAME.search(words), words


@pytest.mark.parametrize("name", content_pages())
def test_a_film_has_a_poster_and_its_reader_can_stop_it(name):
    for film in soup(name).select("video"):
        assert film.get("poster")
        assert len(film["aria-label"]) >= 60
        assert film.has_attr("controls")
        if film.has_attr("autoplay"):
            assert film.has_attr("muted")
            assert film.find("source")["media"] == "(prefers-reduced-motion: no-preference)"


def test_the_policy_lets_the_site_work_from_the_disk_search_and_all(visit, site):
    seen = visit(site.as_uri() + "/", "search.html?q=momentum")
    seen.page.wait_for_selector("ul.search li a")
    assert seen.page.locator("ul.search li").count() > 3
    seen = visit(site.as_uri() + "/", "index.html")
    seen.page.locator(".sidebar-search").fill("adam")
    seen.page.locator(".sidebar-search").press("Enter")
    seen.page.wait_for_selector("ul.search li a")
    assert seen.outside == []


def test_the_policy_stops_a_script_that_is_not_the_sites(visit, server):
    seen = visit(server, "index.html")
    seen.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.intruder = true";
        document.body.append(script);
    }""")
    assert seen.page.evaluate("window.intruder") is None
    assert any("Content Security Policy" in word for word in seen.complaints)


def test_the_theme_can_be_switched_and_the_page_remembers(visit, server):
    page = visit(server, "tutorial/batch.html").page
    before = page.evaluate("document.body.dataset.theme")
    page.locator("button.theme-toggle:visible").first.click()
    after = page.evaluate("document.body.dataset.theme")
    assert after != before
    page.reload()
    assert page.evaluate("document.body.dataset.theme") == after


def test_a_page_has_an_icon_in_two_forms(site):
    icons = soup("tutorial/batch.html").select('link[rel~="icon"]')
    assert [icon["type"] for icon in icons] == ["image/svg+xml", "image/png"]
    assert all((site / "tutorial" / icon["href"]).resolve().is_file() for icon in icons)
