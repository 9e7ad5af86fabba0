"""Every page passes axe's rules of WCAG 2.2 A and AA, in both themes, on a desk and on a phone."""

from __future__ import annotations

import pytest

FOCUSED = """() => {
    const box = document.activeElement.getBoundingClientRect();
    return [document.activeElement.className, box.top >= 0 && box.left >= 0 && box.width > 24 && box.height > 16];
}"""


IN_SIGHT = """(selector) => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return box.left > -1 && box.right < innerWidth + 1;
}"""


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
    page = visit(server, "practice/my_model_does_not_learn.html", width=360).page
    page.wait_for_selector("article [tabindex='0']", state="attached")
    wrong = page.evaluate("""() => [...document.querySelectorAll("article pre")].filter((pre) =>
        pre.checkVisibility() && (pre.scrollWidth > pre.clientWidth) !== (pre.tabIndex === 0)).length""")
    assert wrong == 0
