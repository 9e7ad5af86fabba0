"""What stands around every page: words for search engines, the search, themes, an icon."""

from __future__ import annotations

import re

from built_site import content_pages, pages, read


def test_no_two_pages_have_the_same_description_or_title(site):
    for what, names in (('meta[name="description"]', content_pages()), ("title", pages())):
        found = {name: read(name).select(what) for name in names}
        assert [name for name, tags in found.items() if len(tags) != 1 and what != "title"] == []
        words = [(tags[0].get("content") or tags[0].get_text()).strip() for tags in found.values()]
        assert min(map(len, words)) >= (9 if what == "title" else 30)
        assert sorted({word for word in words if words.count(word) > 1}) == []


def test_a_description_holds_no_code_and_no_formula(site):
    found = {name: read(name).select_one('meta[name="description"]')["content"] for name in content_pages()}
    assert [name for name, words in found.items() if re.search(r"\\|\bimport \w+ import\b", words)] == []


def test_the_site_works_from_the_disk_search_and_all(visit, site):
    seen = visit(site.as_uri() + "/", "search.html?q=momentum")
    seen.page.wait_for_selector("ul.search li a")
    assert seen.page.locator("ul.search li").count() > 3
    seen = visit(site.as_uri() + "/", "index.html")
    seen.page.locator(".sidebar-search").fill("adam")
    seen.page.locator(".sidebar-search").press("Enter")
    seen.page.wait_for_selector("ul.search li a")
    assert seen.outside == []


def test_the_theme_can_be_switched_and_the_page_remembers(visit, server):
    page = visit(server, "tutorial/batch.html").page
    before = page.evaluate("document.body.dataset.theme")
    page.locator("button.theme-toggle:visible").first.click()
    after = page.evaluate("document.body.dataset.theme")
    assert after != before
    page.reload()
    assert page.evaluate("document.body.dataset.theme") == after


def test_a_page_has_an_icon_in_two_forms(site):
    icons = read("tutorial/batch.html").select('link[rel~="icon"]')
    assert [icon["type"] for icon in icons] == ["image/svg+xml", "image/png"]
    assert all((site / "tutorial" / icon["href"]).resolve().is_file() for icon in icons)
