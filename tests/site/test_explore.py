"""The page around the explorables: for everybody, everywhere, and light."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
SHIFT = """new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 500);
})"""


# Colours hang on the theme and room on the size: three of the six have both of each.
@pytest.mark.parametrize(("theme", "size"), [("light", "wide"), ("dark", "phone"), ("toggled to dark", "wide")])
def test_axe_finds_nothing(open_page: Any, theme: str, size: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = open_page(color_scheme="dark" if theme == "dark" else "light", viewport=SIZES[size])
    # Clipped contours reach far in geometry, and axe, which does not clip, would take all the page for covered by them.
    page.add_style_tag(content=".gdx-card svg :is(path, line, image) { display: none !important }")
    if theme == "toggled to dark":
        page.evaluate("document.body.dataset.theme = 'dark'")
    page.evaluate("document.querySelectorAll('.gdx-card details').forEach((e) => (e.open = true))")
    page.evaluate("document.querySelector('gdx-playground').configure({batch: 1, lr: 0.5})")
    page.evaluate("document.querySelector('gdx-playground').step(12)")
    page.evaluate("document.querySelector('gdx-backprop').goto(12)")
    page.evaluate("document.querySelector('gdx-rule').goto(8)")
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    for name in ("gdx-playground", "gdx-backprop", "gdx-rule", "gdx-map"):
        results = axe.Axe().run(page, context=name, options={"runOnly": {"type": "tag", "values": rules}})
        found = [(one["id"], [node["target"] for node in one["nodes"]][:5]) for one in results.response["violations"]]
        assert not found, found
        judged = {one["id"]: len(one["nodes"]) for one in results.response["passes"]}
        unsure = [
            node for one in results.response["incomplete"] if one["id"] == "color-contrast" for node in one["nodes"]
        ]
        unsure = [node for node in unsure if "bgOverlap" in str(node) and not node["html"].startswith("<text")]
        assert judged["color-contrast"] > 4
        assert len(unsure) <= 4, [node["target"] for node in unsure]


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
def test_nothing_scrolls_sideways(open_page: Any, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    page.evaluate("document.querySelectorAll('.gdx-card details').forEach((e) => (e.open = true))")
    page.evaluate("document.querySelector('gdx-playground').configure({opt: 'adamw', lr: 0.0123456})")
    page.evaluate("document.querySelector('gdx-playground').step(40)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate("""() => [...document.querySelectorAll(".gdx-card, .gdx-card *")].filter((e) => {
      const inside = e.closest("pre, .gdx-table, svg, textarea, select");
      return (!inside || inside === e) && e.getBoundingClientRect().right > innerWidth + 1; }).map((e) => e.className)""")
    assert not wide


@pytest.mark.parametrize("size", SIZES)
def test_the_layout_does_not_shift(open_page: Any, size: str) -> None:
    page = open_page(viewport=SIZES[size])
    for name in ("gdx-playground", "gdx-backprop", "gdx-rule", "gdx-map"):
        page.locator(name).scroll_into_view_if_needed()
    assert page.evaluate(SHIFT) <= 0.01
    page.evaluate("document.querySelector('gdx-playground').configure({batch: 1})")
    before = page.evaluate(SHIFT)
    for _ in range(12):
        page.evaluate("document.querySelector('gdx-playground').step(1)")
    assert page.evaluate(SHIFT) - before <= 0.01


@pytest.mark.parametrize("width", [320, 360, 600, 680, 1280])
def test_room_that_the_words_once_needed_is_kept_whatever_the_type(open_page: Any, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 740})
    page.add_style_tag(content=".gdx-card { letter-spacing: .06em }")  # as wide as the widest type at hand
    page.evaluate("document.querySelector('gdx-playground').configure({batch: 1, opt: 'adamw', lr: 0.1})")
    heights = []
    for _ in range(25):
        page.evaluate("document.querySelector('gdx-playground').step(1)")
        heights.append(page.locator("gdx-playground .gdx-form").evaluate("(form) => form.offsetTop"))
    assert heights == sorted(heights)


@pytest.mark.parametrize("size", SIZES)
def test_without_scripts_the_figures_and_their_words_are_there(open_page: Any, size: str) -> None:
    page = open_page(java_script_enabled=False, viewport=SIZES[size])
    images = page.locator("img.gdx-static")
    assert images.count() == 4
    for k in range(4):
        assert len(images.nth(k).get_attribute("alt")) > 80
        box = images.nth(k).bounding_box()
        assert box["width"] > 200
        assert box["x"] + box["width"] <= SIZES[size]["width"]
        gap = page.locator("figcaption").nth(k).bounding_box()["y"] - box["y"] - box["height"]
        assert gap < 30  # nothing is held free for a script that does not run
    assert page.get_by_text("its gradient is a sum over two paths").is_visible()


def test_it_works_from_a_file(open_page: Any, site: Path) -> None:
    page = open_page("explore/index.html#opt=adam&lr=0.2&step=7", base=site.as_uri())
    assert page.evaluate("document.querySelector('gdx-playground').trace.length") == 8
    assert page.locator("gdx-playground .gdx-badge").inner_text().startswith("✓")


def test_a_page_without_an_explorable_loads_nothing_of_it(open_page: Any, site: Path) -> None:
    plain = (site / "search.html").read_text(encoding="utf-8")
    assert "explorables" not in plain
    assert "gdx" not in plain


def test_scripts_and_style_weigh_at_most_30_kilobytes(site: Path) -> None:
    folder = site / "_static" / "explorables"
    sizes = {
        path.name: len(gzip.compress(path.read_bytes(), 9))
        for path in folder.iterdir()
        if path.suffix in (".js", ".css")
    }
    assert sum(sizes.values()) <= 30_000, sizes  # without terser (npm ci) the script keeps its long names


def test_the_theme_reaches_the_figures(open_page: Any) -> None:
    page = open_page(color_scheme="light")
    colour = "getComputedStyle(document.querySelector('.gdx-card')).backgroundColor"
    light = page.evaluate(colour)
    page.evaluate("document.body.dataset.theme = 'dark'")
    assert page.evaluate(colour) != light
