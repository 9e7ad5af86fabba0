"""What the theme's templates leave to be mended on every page: names for landmarks, late images.

Sphinx lets a project name its own template bridge; ours renders as Sphinx's own does and passes each page through
`finish`. The functions here take and give text, and import nothing of Sphinx, so that the tests can call them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# -- what the theme and the writers leave to be mended: the text they write, and ours ---------------------------------

_WORDS = {
    # The same meta element is written by the theme and by docutils.
    '<meta name="viewport" content="width=device-width, initial-scale=1" />\n': "",
    # Two landmarks of one kind need names to be told apart.
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="{site}">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="{page}">',
    '<aside class="toc-drawer no-toc">': '<aside class="toc-drawer no-toc" aria-label="{page}">',
    # A heading in ARIA has a level; these stand above groups of the contents.
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    # ARIA 1.3 takes this role back, and a list may hold nothing but its items.
    ' role="doc-biblioentry"': "",
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    # sphinx-gallery's own attribute is no HTML.
    '<div class="sphx-glr-thumbcontainer" tooltip="': '<div class="sphx-glr-thumbcontainer" data-tooltip="',
    # What the validator finds in the theme's and sphinx-gallery's own markup.
    '<button class="theme-toggle"': '<button type="button" class="theme-toggle"',
    '<input class="sidebar-search"': '<input type="text" class="sidebar-search"',
    ' class = "sphx-glr-single-img"/>': ' class="sphx-glr-single-img">',
}
_SUMMARY = re.compile(r"<summary[^>]*>.*?</summary>", re.DOTALL)  # holds phrases only; MyST-NB writes paragraphs
_SKIP = re.compile(r'<a class="skip-to-content.*?</a>\s*', re.DOTALL)
_BODY = re.compile(r"<body[^>]*>\s*")


def mend(html: str, *, site: str = "Site", page: str = "On this page") -> str:
    """Name the landmarks, drop what is no HTML, and make the link that skips to the content the first of the page."""
    for theirs, ours in _WORDS.items():
        html = html.replace(theirs, ours.format(site=site, page=page))
    html = _SUMMARY.sub(lambda found: re.sub(r"<(/?)p\b", r"<\1span", found.group()), html)
    skip, body = _SKIP.search(html), _BODY.search(html)
    if skip and body:
        html = html.replace(skip.group(), "", 1)
        html = html[: body.end()] + skip.group() + html[body.end() :]
    return html


# -- images -----------------------------------------------------------------------------------------------------------

_IMAGE = re.compile(r"<img\s[^>]*>")


def delay_images(html: str, size_of: Callable[[str], tuple[int, int] | None]) -> str:
    """Give every image its size, so that nothing moves when it arrives, and load all but the first when they are near.

    One of a theme waits wherever it stands: a browser does not load what waits and is never shown.
    `size_of` takes an image's address as the page has it and gives its size in CSS pixels, or None.
    """
    seen = 0

    def rewrite(found: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        tag = found.group()
        more = "" if "decoding=" in tag else ' decoding="async"'
        if (seen > 1 or "only-" in tag) and "loading=" not in tag:
            more += ' loading="lazy"'
        source = re.search(r'\ssrc="([^"]+)"', tag)
        if source and not re.search(r"\swidth=", tag) and (size := size_of(source[1])):
            more += f' width="{size[0]}" height="{size[1]}"'
        return f"<img{more}{tag[4:]}"

    return _IMAGE.sub(rewrite, html)


_FIGURE = re.compile(r'<img\s[^>]*class="[^"]*only-(light|dark)[^>]*\ssrc="([^"]+?)(?:_dark)?\.svg"[^>]*>')


def link_figures(html: str) -> str:
    """Make each figure a link to its file, on white as every file opens; `_static/enlarge.js` opens the figure over the page."""
    return _FIGURE.sub(r'<a class="enlarge only-\1" href="\2.svg">\g<0></a>', html)


# -- addresses of a page that may be shown anywhere -------------------------------------------------------------------

_ADDRESS = re.compile(r'(\s(?:href|src|action|poster|data-content_root)=")(?![a-z][a-z0-9+.-]*:|#|/)(?:\./)?([^"]*)"')


def anchor_addresses(html: str, root: str) -> str:
    """Begin every relative address with the site's root: a host shows its 404 page under any address."""
    return _ADDRESS.sub(lambda found: f'{found[1]}{root}{found[2]}"', html)


def finish(html: str, size_of: Callable[[str], tuple[int, int] | None], *, root: str = "", **names: str) -> str:
    """Finish a page: see the module. With `root` the page is one that a host shows under any address."""
    if not html.lstrip().lower().startswith("<!doctype html"):
        return html
    html = link_figures(delay_images(mend(html, **names), size_of))
    return anchor_addresses(html, root) if root else html
