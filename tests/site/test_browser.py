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
