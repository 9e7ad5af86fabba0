"""The address of a published site, and a description of each page from its own first words: no tool writes one.

`GDEXPLAIN_BASE_URL` names the address that the site will have; on Read the Docs its own variable does. Without one
nothing on the site needs to know: there are no canonical links, no map and no cards, all of which are absolute
addresses or nothing.
"""

from __future__ import annotations

import html
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

VARIABLE = "GDEXPLAIN_BASE_URL"
LONGEST = 200  # characters of a description that search engines show, or nearly so
UNLISTED = frozenset({"404", "search", "genindex", "py-modindex"})
FIXED = {
    "404": "This page is not there. Here is the way back to the course on gradient descent and backpropagation.",
    "search": "Search the course, the gallery and the reference of gdexplain.",
    "genindex": "Every function, class and module of gdexplain, from A to Z.",
    "py-modindex": "The modules of gdexplain.",
}


def base_url(environment: Mapping[str, str] = os.environ) -> str:
    """Read the site's address, "" or absolute and with a slash at its end."""
    value = (environment.get(VARIABLE, "") or environment.get("READTHEDOCS_CANONICAL_URL", "")).strip()
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{VARIABLE} is {value!r}; it must be an absolute http or https address, without ? and #")
    return value.rstrip("/") + "/"


def root_path(base: str | None) -> str:
    """Give the path of the site on its host, "" where there is no address."""
    return urlsplit(base).path or "/" if base else ""


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text to whole sentences, or to whole words where the first sentence is too long."""
    text = re.sub(r"[,:]$", " …", " ".join(text.split()))
    if len(text) <= longest:
        return text
    ends = [found.end() for found in re.finditer(r"[.!?](?= )", text[: longest + 1])]
    if ends and ends[-1] > longest // 3:
        return text[: ends[-1]]
    return text[:longest].rsplit(" ", 1)[0].rstrip(",;: ") + " …"


def describe(name: str, title: str, doctree: Any) -> str:
    """Describe a page by its first words without formulas: its claim, and how its text begins."""
    if name in FIXED:
        return FIXED[name]
    texts = filter(None, (" ".join(paragraph.astext().split()) for paragraph in _paragraphs(doctree)))
    return shorten(" ".join(itertools.islice(texts, 2))) or f"{title}: a page of gdexplain."


def _paragraphs(doctree: Any) -> Iterable[Any]:
    """Go through the paragraphs that a reader takes for the page's text."""
    from docutils import nodes
    from sphinx import addnodes

    described = (addnodes.desc, addnodes.desc_content)  # Sphinx derives these from docutils' admonitions
    aside = (nodes.Admonition, nodes.table, nodes.topic, nodes.sidebar, nodes.footnote)
    for paragraph in doctree.findall(nodes.paragraph):
        parent = paragraph.parent
        while parent is not None and (isinstance(parent, described) or not isinstance(parent, aside)):
            parent = parent.parent
        if parent is None and not any(paragraph.findall(nodes.math)):  # a search engine shows no formulas
            yield paragraph


# -- Sphinx -----------------------------------------------------------------------------------------------------------


def add_head(app, pagename, templatename, context, doctree):
    """Give the page its description, and words for its card where there are cards."""
    title = re.sub(r"<[^>]+>", "", context.get("title") or app.config.project)
    tags = context.get("metatags") or ""
    given = re.search(r'<meta content="([^"]*)" name="description"|<meta name="description" content="([^"]*)"', tags)
    if given:
        words = html.unescape(given[1] or given[2])
    else:
        words = describe(pagename, html.unescape(title), doctree) if doctree is not None else FIXED.get(pagename, title)
        tags += f'\n<meta name="description" content="{html.escape(words)}">'
    if pagename == "404":
        tags += '\n<meta name="robots" content="noindex">'
        context["pageurl"] = None  # whatever address it is shown under is not its own
    context["metatags"] = tags
    if context.get("meta") is None:
        context["meta"] = {}
    context["meta"].setdefault("og:description", html.escape(words))


def setup(app):
    """Connect; the cards' extension reads `og:description` after this has written it."""
    app.connect("html-page-context", add_head, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
