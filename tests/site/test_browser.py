"""The built site in Chromium: nothing from elsewhere, no complaint, nothing wider than a phone."""

from __future__ import annotations

import pytest
from built_site import SITE, content_pages

HEAVIEST = 300_000  # bytes of a tutorial page with all that it loads: style sheets, scripts, fonts and figures


INK = """() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const lightness = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
    const style = getComputedStyle(document.querySelector("article"));
    return [lightness(channels(style.color)), lightness(channels(getComputedStyle(document.body).backgroundColor))];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_follows_the_readers_colour_scheme(visit, server, scheme):
    ink, paper = visit(server, "index.html", scheme=scheme).page.evaluate(INK)
    assert (ink < paper) == (scheme == "light")
    assert abs(ink - paper) > 120


@pytest.mark.parametrize("name", [name for name in content_pages() if name.startswith("tutorial/")])
def test_a_tutorial_page_is_light(visit, server, name):
    assert visit(server, name).weight() <= HEAVIEST


def test_mathematics_is_drawn_in_its_own_font_from_the_disk(visit, site):
    name = next(name for name in content_pages() if 'class="katex"' in (SITE / name).read_text(encoding="utf-8"))
    page = visit(site.as_uri() + "/", name).page
    assert page.evaluate("document.fonts.ready.then(() => document.fonts.check('16px KaTeX_Main'))")


def test_a_page_reads_without_scripts(visit, server):
    seen = visit(server, "index.html", java_script_enabled=False)
    assert seen.page.locator("article h1").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_loads_the_figures_of_its_theme_and_not_their_twins(visit, server, scheme):
    seen = visit(server, "tutorial/batch.html", scheme=scheme)
    seen.page.locator(f"article img.only-{scheme}").last.scroll_into_view_if_needed()
    seen.page.wait_for_load_state("networkidle")
    shown, twins = (
        {image.evaluate("image => image.src") for image in seen.page.locator(f"article img.only-{theme}").all()}
        for theme in (scheme, "dark" if scheme == "light" else "light")
    )
    loaded = {response.url for response in seen.responses}
    assert shown & loaded
    assert not twins & loaded


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_figure_opens_over_the_page_by_keyboard_and_shuts_again(visit, server, scheme):
    seen = visit(server, "tutorial/batch.html", scheme=scheme)
    link = seen.page.locator(f"article a.enlarge.only-{scheme}").first
    before = link.locator("img").bounding_box()["width"]
    link.focus()
    seen.page.keyboard.press("Enter")
    large = seen.page.locator("dialog.enlarged[open] img")
    assert large.bounding_box()["width"] > 1.3 * before
    assert large.get_attribute("src") == link.locator("img").get_attribute("src")
    seen.page.keyboard.press("Escape")
    assert seen.page.locator("dialog.enlarged[open]").count() == 0
    assert link.evaluate("link => link === document.activeElement")
    assert not seen.complaints


def test_a_figure_is_a_link_to_its_file_without_scripts_and_its_twin_is_no_stop_of_the_keyboard(visit, server):
    seen = visit(server, "tutorial/batch.html", java_script_enabled=False)
    light, dark = (seen.page.locator(f"article a.enlarge.only-{theme}") for theme in ("light", "dark"))
    assert light.count() == dark.count() > 0
    assert light.first.is_visible()
    assert not dark.first.is_visible()
    light.first.click()
    assert seen.page.url.endswith(".svg")


def test_on_a_phone_an_enlarged_figure_is_larger_than_the_window(visit, server):
    page = visit(server, "tutorial/batch.html", width=360).page
    page.locator("article a.enlarge.only-light").first.click()
    assert page.locator("dialog.enlarged img").bounding_box()["width"] > 600
    page.locator("dialog.enlarged button").click()
    assert page.locator("dialog.enlarged[open]").count() == 0
