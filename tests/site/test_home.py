"""The home page: touched in a few seconds, whole without scripts, light, and true about the course."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from built_site import read
from test_explore import SHIFT, SIZES

PLAY = "document.querySelector('gdx-playground')"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.mark.parametrize("size", SIZES)
def test_surface_rate_and_play_stand_on_the_first_screen(open_page: Any, size: str) -> None:
    page = open_page("index.html", viewport=SIZES[size])
    for part in (page.locator(".gdx-surface svg"), page.get_by_label("Learning rate, log scale")):
        box = part.bounding_box()
        assert 0 <= box["y"] < box["y"] + box["height"] <= SIZES[size]["height"]
    play = page.get_by_role("button", name="Play", exact=True).bounding_box()
    assert play["y"] + play["height"] <= SIZES[size]["height"]


def test_a_path_is_there_before_anything_is_pressed(open_page: Any) -> None:
    page = open_page("index.html")
    assert page.locator(".gdx-surface .gdx-line").get_attribute("d").count("L") > 10
    assert page.evaluate("location.hash") == ""


def test_the_rate_past_the_mark_is_the_rate_that_diverges(open_page: Any) -> None:
    page = open_page("index.html")
    slider, said = page.get_by_label("Learning rate, log scale"), page.locator("gdx-playground [role=status]")
    track, mark = slider.bounding_box(), page.locator(".gdx-limit-mark").bounding_box()
    place = (mark["x"] + mark["width"] / 2 - track["x"] - 8) / (track["width"] - 16)
    low, high = (float(slider.get_attribute(end)) for end in ("min", "max"))
    assert 10 ** (low + place * (high - low)) == pytest.approx(0.1198, rel=0.02)
    for power, diverges in ((-1.0, False), (-0.8, True), (-1.2, False)):
        slider.evaluate("(range, to) => { range.value = to; range.dispatchEvent(new Event('input')); }", power)
        assert ("This run diverges" in said.inner_text()) == diverges
        assert page.evaluate(f"{PLAY}.trace.length") == 41  # the whole run again, at the new rate
    assert page.evaluate("location.hash") == ""


def test_play_ends_by_itself_and_plays_again_from_the_start(open_page: Any) -> None:
    page = open_page("index.html")
    page.evaluate(f"{PLAY}.step(700)")
    page.get_by_role("button", name="Play", exact=True).click()
    assert page.evaluate(f"{PLAY}.trace.length") < 100
    page.get_by_role("button", name="Pause", exact=True).click()
    assert page.locator(".gdx-count").inner_text() == f"update {page.evaluate(f'{PLAY}.updates')}"


def test_without_scripts_the_still_figure_stands_there(open_page: Any) -> None:
    page = open_page("index.html", java_script_enabled=False)
    assert page.locator("img.gdx-static").bounding_box()["width"] > 400
    assert page.get_by_text("Drag it up until the steps no longer come down").is_visible()


@pytest.mark.parametrize("size", SIZES)
def test_nothing_moves_when_the_scripts_arrive(open_page: Any, size: str) -> None:
    assert open_page("index.html", viewport=SIZES[size]).evaluate(SHIFT) <= 0.001


def test_home_weighs_at_most_150_kilobytes_without_fonts(open_page: Any, server: str, site: Path) -> None:
    page = open_page("index.html")
    page.wait_for_load_state("networkidle")
    names = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    files = {site / "index.html", *(site / name.removeprefix(server).split("?")[0] for name in names)}
    text = (".html", ".css", ".js", ".svg")
    sent = {
        path.name: len(gzip.compress(path.read_bytes()) if path.suffix in text else path.read_bytes())
        for path in files
        if path.is_file() and "font" not in path.as_posix() and path.suffix not in (".woff", ".woff2")
    }
    assert "explorables.js" in sent
    assert sum(sent.values()) <= 150_000, sent


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_home_page(open_page: Any, theme: str, size: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = open_page("index.html", color_scheme=theme, viewport=SIZES[size])
    page.add_style_tag(content=".gdx-card svg :is(path, line, image) { display: none !important }")  # as in test_page
    page.evaluate(f"{PLAY}.change({{lr: 0.2}})")
    results = axe.Axe().run(page, context="article", options={"runOnly": {"type": "tag", "values": RULES}})
    assert not [(one["id"], [node["target"] for node in one["nodes"]]) for one in results.response["violations"]]


def test_a_card_counts_the_pages_that_the_contents_list_for_its_part(site: Path) -> None:
    page = read("index.html")
    card = next(
        card for card in page.select(".sd-card") if card.select_one(".sd-card-title").get_text().strip() == "Decide"
    )
    caption = next(words for words in page.select(".sidebar-tree .caption") if words.get_text().strip() == "Decide")
    listed = caption.find_next_sibling("ul").find_all("li", recursive=False)
    assert card.select_one(".minutes").get_text().split()[:2] == [str(len(listed)), "pages,"]
