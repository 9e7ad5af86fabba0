"""Where the built site is, and which pages it has."""

from __future__ import annotations

import posixpath
import sys
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs" / "_build" / "html"
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "docs")]  # the checks that the build runs are tested here too


LISTS = ("gallery/index.html", "gallery/backprop/index.html")  # of scripts whose pages stand elsewhere in the contents


def pages() -> list[str]:
    """List the pages of the site, without what other tools put beside them."""
    found = (path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return sorted(name for name in found if not name.startswith(("_static/", "_downloads/")))


def content_pages() -> list[str]:
    """List the pages that somebody wrote: not the indices that Sphinx makes."""
    return [name for name in pages() if name not in {"404.html", "genindex.html", "search.html", "py-modindex.html"}]


def gallery_pages() -> list[str]:
    """List the pages made from the examples."""
    return [name for name in pages() if name.startswith("gallery/") and Path(name).name.startswith("plot_")]


def target(page: str, link: str) -> str:
    """Name the file of the site that a link on a page leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link.split("#", maxsplit=1)[0]))


@cache
def read(name: str) -> BeautifulSoup:
    """Parse a page; a test that changes the tree must parse its own."""
    return BeautifulSoup((SITE / name).read_text(encoding="utf-8"), "html.parser")
