"""Every page, read once as a file and visited once, from the disk: on a desk, on paper and on a phone."""

from __future__ import annotations

import ast
import json
import re

import pytest
from built_site import LISTS, SITE, content_pages, gallery_pages, pages, read, target

STAMP = re.compile(r"Built with gdexplain \S+, Keras \d\S+, TensorFlow \d\S+, NumPy \d\S+, Python 3\.\d+\.")
FILE_NAME = re.compile(r"[\w-]+\.(?:png|svg|jpe?g|gif|mp4)|^(?:image|figure|plot|img)\b\W*\d*$", re.IGNORECASE)
CONTENT, GALLERY = frozenset(content_pages()), frozenset(gallery_pages())


def follow(name: str, href: str):
    return SITE / target(name, href)


def faults(checks, *given) -> list[str]:
    """Run all checks of a page, and say every one that fails."""
    found = []
    for check in checks:
        try:
            check(*given)
        except AssertionError as error:
            found.append(f"{check.__name__.replace('_', ' ')}: {error}")
    return found


# -- as a file --------------------------------------------------------------------------------------------------------


def it_names_the_versions_it_was_built_with(name, page):
    assert STAMP.fullmatch(page.select_one(".version-stamp").get_text())


def it_loads_nothing_from_another_host(name, page):
    loaded = [part["src"] for part in page.select("[src]")]
    loaded += [link["href"] for link in page.select("link[href]") if {"stylesheet", "preload", "icon"} & {*link["rel"]}]
    assert [address for address in loaded if re.match(r"(?!data:)[a-z]+:|//", address)] == []


def its_images_have_a_size_and_all_but_a_first_for_both_themes_wait_until_they_are_near(name, page):
    images = page.select("img")
    assert all(image.get("width") and image.get("height") and image.get("decoding") for image in images)
    at_once = [image for image in images if image.get("loading") != "lazy"]
    assert at_once == [image for image in images[:1] if "only-light" not in image.get("class", [])]


def it_links_to_its_source_and_the_source_is_there(name, page):
    link = page.select_one("a.page-source")
    assert link is not None
    assert follow(name, link["href"]).is_file()


def it_leads_on_to_a_neighbour(name, page):
    links = page.select("a.next-page, a.prev-page")
    assert links or name in LISTS
    assert all(follow(name, link["href"]).is_file() for link in links)


def it_has_one_first_heading(name, page):
    assert len(page.select("article h1")) == 1


def the_words_of_its_figures_say_what_they_show(name, page):
    for image in page.select("article img"):
        words = image["alt"]
        assert len(words) >= (20 if "Thumbnail" in words else 60), words
        assert not FILE_NAME.search(words), words


def its_films_have_a_poster_and_the_reader_can_stop_them(name, page):
    for film in page.select("video"):
        assert film.get("poster")
        assert len(film["aria-label"]) >= 60
        assert film.has_attr("controls")
        assert not film.has_attr("autoplay")


def the_way_to_it_is_open_and_marked_in_the_sidebar(name, page):
    tree = page.select_one(".sidebar-tree")
    here = tree.select("a[href='#']")
    assert len(here) >= 1 or name in {"index.html", *LISTS}
    assert [item.a for item in tree.select(".current-page")] == here
    for link in here:
        around = [item for item in link.parents if item.name == "li"]
        assert all("current" in item["class"] for item in around)
        boxes = [box for item in around for box in item.find_all("input", recursive=False)]
        assert all(box.has_attr("checked") for box in boxes)


def it_offers_its_script_and_its_notebook(name, page):
    links = {link["href"].rsplit(".", 1)[-1]: link["href"] for link in page.select("a.download")}
    ast.parse(follow(name, links["py"]).read_text(encoding="utf-8"))
    assert json.loads(follow(name, links["ipynb"]).read_text(encoding="utf-8"))["cells"]


def it_ends_with_what_to_read_next(name, page):
    paragraphs = [part for part in page.select("article p") if part.find_parent(class_="sphx-glr-footer") is None]
    last = next(part for part in reversed(paragraphs) if re.match(r"(Next|Back)\b", part.get_text()))
    following = [part.get_text() for part in last.find_all_next("p") if part in paragraphs]
    assert last.select_one("a[href]") is not None
    assert [text for text in following if len(text) > 40] == []


OF_ALL = (
    it_names_the_versions_it_was_built_with,
    it_loads_nothing_from_another_host,
    its_images_have_a_size_and_all_but_a_first_for_both_themes_wait_until_they_are_near,
)
OF_CONTENT = (
    it_links_to_its_source_and_the_source_is_there,
    it_leads_on_to_a_neighbour,
    it_has_one_first_heading,
    the_words_of_its_figures_say_what_they_show,
    its_films_have_a_poster_and_the_reader_can_stop_them,
    the_way_to_it_is_open_and_marked_in_the_sidebar,
)
OF_GALLERY = (it_offers_its_script_and_its_notebook, it_ends_with_what_to_read_next)


@pytest.mark.parametrize("name", pages())
def test_a_page_is_whole(site, name):
    checks = OF_ALL + OF_CONTENT * (name in CONTENT) + OF_GALLERY * (name in GALLERY)
    assert faults(checks, name, read(name)) == []


# -- in a browser -----------------------------------------------------------------------------------------------------

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What a page says is the same in every theme and width: axe judges it once, on a phone, where there is least room, and every
# text is held against what is behind it in both themes. What stands around it is the same on every page, and judged on these:
WHOLE = {"index.html", "search.html", "tutorial/batch.html", "reference/api.html"}
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 900}
# Two frames on, what scrolls has been found and takes the focus: observers of sizes are told between frames.
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PAPER = 680  # CSS pixels between the margins of a sheet of A4, and a little less than of Letter
HIDDEN = ".sidebar-drawer, .toc-drawer, .mobile-header, .related-pages, .skip-to-content, button, video"
SHOWN = "(selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility()).length"
WIDER = """() => [...document.querySelectorAll("article *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 2 && box.right > innerWidth + 1 && !one.closest(".katex-mathml, svg");
}).map((one) => one.outerHTML.slice(0, 120)).slice(0, 3)"""
# The worst contrast of a text with what is behind it. For axe each word of code is a case of its own, which takes too long twice.
CONTRAST = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
    const behind = (one) => {
        const page = parse(getComputedStyle(one).backgroundColor);
        return page[3] === 0 ? behind(one.parentElement) : page;
    };
    const seen = {visibilityProperty: true, opacityProperty: true};
    const said = [...document.querySelectorAll("body *")].filter((one) =>
        [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim())
        && one.checkVisibility(seen) && !one.closest(".sidebar-scroll, .katex-mathml, svg, noscript"));
    const pairs = said.map((one) => [light(parse(getComputedStyle(one).color)), light(behind(one))]);
    return Math.min(21, ...pairs.map(([ink, page]) => Math.max(ink, page) / Math.min(ink, page)));
}"""
# Code and formulas as plain text, which is all that is left for axe to look at.
PLAIN = """() => {
    for (const one of document.querySelectorAll(".highlight pre")) one.textContent = one.textContent;
    for (const one of document.querySelectorAll(".katex-html")) one.textContent = "";
}"""
FORMULAS = """() => [...document.querySelectorAll('.katex-display')].filter(box => box.checkVisibility()).map(box => ({
    latex: box.querySelector('annotation').textContent, scrolls: ['auto', 'scroll'].includes(getComputedStyle(box).overflowX),
    right: box.getBoundingClientRect().right, left: box.getBoundingClientRect().left, room: innerWidth,
    hidden: box.scrollWidth - box.clientWidth, cut: box.scrollHeight - box.clientHeight,
}))"""
COURSE = ("tutorial/", "explanation/", "gallery/", "practice/", "es/")
WORDS = {"practice/questions.html", "tutorial/notebook.html"}  # a list of answers, and the notebook as it was
FIGURES = """() => [...document.querySelectorAll("article :is(img, video, canvas, svg)")].filter((one) => one.checkVisibility())
    .map((one) => one.getBoundingClientRect()).filter((box) => box.height > 60).map((box) => box.top)"""
TOLD = "explanation/backprop_by_hand.html"  # its rows carry their numbers, and are as long as these make them


def it_asks_for_nothing_outside_and_has_no_complaint(seen, name):
    assert seen.outside == []
    assert seen.complaints == []


def it_fits(seen, name):
    assert seen.page.evaluate(OVERFLOW) <= 0


def its_first_figure_stands_on_the_first_screen(seen, name):
    assert min(seen.page.evaluate(FIGURES), default=DESK["height"]) < DESK["height"]


def its_text_stands_out_in_both_themes(seen, name):
    for theme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=theme)
        assert seen.page.evaluate(CONTRAST) >= 4.5, theme


def axe_finds_nothing(seen, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: nox -s site")
    seen.page.evaluate(PLAIN)
    context = {"exclude": [] if name in WHOLE else [[".sidebar-scroll"]]}
    # Half of its time goes into contrast, which `CONTRAST` has measured of every text in both themes, and more strictly.
    rules = {} if name in WHOLE else {"color-contrast": {"enabled": False}}
    only = {"type": "tag", "values": RULES}
    options = {"resultTypes": ["violations"], "preload": False, "runOnly": only, "rules": rules}
    found = axe.Axe().run(seen.page, context=context, options=options).response["violations"]
    assert [(one["id"], node["html"][:120], node["failureSummary"]) for one in found for node in one["nodes"][:3]] == []


def axe_finds_nothing_on_a_desk_in_either_theme(seen, name):
    seen.page.set_viewport_size(DESK)
    for theme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=theme)
        axe_finds_nothing(seen, name)


def it_prints_without_menus_and_nothing_runs_over_its_edge(seen, name):
    """Print from the dark theme, which paper does not have."""
    seen.page.set_viewport_size({"width": PAPER, "height": 1000})
    seen.page.emulate_media(media="print", color_scheme="dark")
    shown, width, wider = (seen.page.evaluate(*what) for what in ((SHOWN, HIDDEN), (OVERFLOW,), (WIDER,)))
    seen.page.emulate_media(media="screen")
    assert shown == 0
    assert width <= 0
    assert wider == []


def no_formula_is_clipped(seen, name):
    for formula in seen.page.evaluate(FORMULAS):
        assert formula["left"] >= 0, formula
        assert formula["right"] <= formula["room"], formula
        assert formula["hidden"] <= 1 or formula["scrolls"], formula
        assert formula["cut"] <= 1, formula
        if name.startswith(COURSE) and name != TOLD:
            assert formula["hidden"] <= 1, formula  # on a page of the course nobody has to scroll a formula


@pytest.mark.parametrize("name", pages())
def test_a_page_holds_on_a_desk_on_paper_and_on_a_phone(tab, site, name):
    tab.page.set_viewport_size(DESK)
    tab.page.emulate_media(media="screen", color_scheme="light")
    seen = tab.go(site.as_uri() + "/", name)
    checks = [it_asks_for_nothing_outside_and_has_no_complaint, its_text_stands_out_in_both_themes]
    checks += [it_prints_without_menus_and_nothing_runs_over_its_edge] * (name in CONTENT)
    if name in CONTENT and name.startswith(COURSE) and not name.endswith("index.html") and name not in WORDS:
        checks.insert(0, its_first_figure_stands_on_the_first_screen)
    found = faults(checks, seen, name)
    seen.page.set_viewport_size(PHONE)
    seen.page.evaluate(DRAWN)
    checks = [it_fits] * (name in CONTENT) + [no_formula_is_clipped, axe_finds_nothing]
    checks += [axe_finds_nothing_on_a_desk_in_either_theme] * (name in WHOLE)
    assert found + faults(checks, seen, name) == []


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_page_holds_from_a_server_too(visit, server, name):
    it_asks_for_nothing_outside_and_has_no_complaint(visit(server, name, width=360, scheme="dark"), name)


def test_the_site_has_formulas_and_a_gallery(site):
    with_formulas = [name for name in CONTENT if 'class="katex-display' in (SITE / name).read_text(encoding="utf-8")]
    assert len(with_formulas) > 20
    assert len(GALLERY) > 20
