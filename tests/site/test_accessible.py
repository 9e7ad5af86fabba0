"""Every page passes axe's rules of WCAG 2.2 A and AA, in both themes, on a desk and on a phone."""

from __future__ import annotations

import pytest
from built_site import pages

WIDTHS = (1280, 360)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# The theme changes colours and nothing else, so the dark pages are judged by the rules that look at colours.
COLOURS = ["color-contrast", "link-in-text-block"]
# The contents at the side and the phone's header are the same on every page: they are judged on these, and so are the
# colours on a phone, which are those on a desk everywhere else.
WHOLE = {"index.html", "search.html", "tutorial/batch.html", "reference/api.html"}
FOCUSED = """() => {
    const box = document.activeElement.getBoundingClientRect();
    return [document.activeElement.className, box.top >= 0 && box.left >= 0 && box.width > 24 && box.height > 16];
}"""

# Two frames on, what scrolls has been found and takes the focus: observers of sizes are told between frames.
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
IN_SIGHT = """(selector) => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return box.left > -1 && box.right < innerWidth + 1;
}"""


@pytest.fixture(scope="module", params=WIDTHS)
def desk(request, browser):
    """Give one page for all tests of a width: opening one anew would take longer than its tests."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def violations(page, context, **which):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: nox -s site")
    found = (
        axe.Axe()
        .run(page, context=context, options={"resultTypes": ["violations"], "preload": False, **which})
        .response["violations"]
    )
    return [(one["id"], node["html"][:120], node["failureSummary"]) for one in found for node in one["nodes"][:3]]


@pytest.mark.parametrize("name", pages())
def test_axe_finds_nothing_on_a_page_in_either_theme(desk, server, name):
    context = {"exclude": [] if name in WHOLE else [[".sidebar-scroll"]]}
    desk.emulate_media(color_scheme="light")
    desk.goto(server + name)
    desk.evaluate(DRAWN)
    judge_colours = desk.viewport_size["width"] == max(WIDTHS) or name in WHOLE
    rules = {rule: {"enabled": judge_colours} for rule in COLOURS}
    assert violations(desk, context, runOnly={"type": "tag", "values": RULES}, rules=rules) == []
    if judge_colours:
        desk.emulate_media(color_scheme="dark")
        assert violations(desk, context, runOnly={"type": "rule", "values": COLOURS}) == []


def test_the_first_stop_of_the_keyboard_is_a_link_to_the_content_that_can_be_seen(visit, server):
    page = visit(server, "tutorial/batch.html", reduced_motion="reduce").page
    page.keyboard.press("Tab")
    name, is_seen = page.evaluate(FOCUSED)
    assert "skip-to-content" in name
    assert is_seen
    page.keyboard.press("Enter")
    assert page.url.endswith("#furo-main-content")


@pytest.mark.parametrize(
    ("width", "name", "drawer"), [(360, "__navigation", ".sidebar-drawer"), (360, "__toc", ".toc-drawer")]
)
def test_the_keyboard_opens_a_menu_whose_links_were_out_of_its_reach_until_then(visit, server, width, name, drawer):
    page = visit(server, "tutorial/batch.html", width=width, reduced_motion="reduce").page
    link = page.locator(f"{drawer} li li a, {drawer} .sidebar-brand").first
    assert not link.is_visible()
    page.locator(f"#{name}").focus()
    page.keyboard.press("Space")
    assert link.is_visible()
    assert page.evaluate(IN_SIGHT, drawer)


def test_the_keyboard_unfolds_a_part_of_the_contents(visit, server):
    page = visit(server, "index.html").page
    name = page.locator(".toctree-checkbox:not(:checked)").first.get_attribute("id")
    switch = page.locator(f"#{name}")
    switch.focus()
    page.keyboard.press("Space")
    assert switch.is_checked()


def test_what_scrolls_sideways_takes_the_focus_and_what_fits_does_not(visit, server):
    page = visit(server, "tutorial/batch.html", width=360).page
    page.wait_for_selector("article [tabindex='0']", state="attached")
    wrong = page.evaluate("""() => [...document.querySelectorAll("article pre")].filter((pre) =>
        pre.checkVisibility() && (pre.scrollWidth > pre.clientWidth) !== (pre.tabIndex === 0)).length""")
    assert wrong == 0
