"""The contents at the side, made once for a folder: Sphinx and furo make them anew for every page.

Sphinx and the theme make the whole tree anew for every page, and that took half of the time in which pages are written.
For the pages of one folder it is the same tree, but for the marks that say where the reader is; these are set here.
"""

from __future__ import annotations

import copy
import posixpath
import xml.etree.ElementTree as ET

from sphinx.environment.adapters.toctree import global_toctree_for_doc


class Sidebar:
    """The trees of one build, by folder: as Sphinx gives them to the theme, and as the theme gives them back."""

    def __init__(self):
        self.plain = {}
        self.themed = {}

    def give_plain(self, app, pagename, _template, context, _doctree):
        """Give the theme the folder's tree, in which no page is the current one."""
        nobody = in_folder_of(pagename)

        def toctree(**options):
            key = nobody, *sorted(options.items())
            if key not in self.plain:
                tree = global_toctree_for_doc(app.env, nobody, app.builder, tags=app.tags, **options)
                self.plain[key] = app.builder.render_partial(tree)["fragment"]
            return self.plain[key]

        context["toctree"] = toctree

    def mark_current(self, app, pagename, _template, context, _doctree):
        """Mark the page, and open the way to it, in the tree that the theme has made."""
        nobody = in_folder_of(pagename)
        if nobody not in self.themed:
            self.themed[nobody] = ET.fromstring(f"<div>{context['furo_navigation_tree']}</div>")
        tree = mark(self.themed[nobody], app.builder.get_relative_uri(nobody, pagename))
        context["furo_navigation_tree"] = "".join(ET.tostring(part, encoding="unicode", method="html") for part in tree)


def in_folder_of(pagename: str) -> str:
    """Name a page that does not exist, in the same folder as one that does."""
    return posixpath.join(posixpath.dirname(pagename), "")


def mark(tree: ET.Element, address: str) -> ET.Element:
    """Return a copy of a tree in which the links to an address, and every branch around them, are the current ones.

    A page may stand in the tree twice. The theme sets off only the last place, which may be far down; here it is each.
    """
    tree = copy.deepcopy(tree)
    parent_of = {child: parent for parent in tree.iter() for child in parent}
    for link in [link for link in tree.iter("a") if link.get("href") == address]:
        link.set("href", "#")
        node = parent_of[link]
        _add_class(link, "current")
        _add_class(node, "current-page")
        while node is not tree:
            _add_class(node, "current")
            for box in node.findall("input"):
                box.set("checked", "")
            node = parent_of[node]
    return tree


def _add_class(node: ET.Element, name: str) -> None:
    """Add a class to an element that may have it."""
    classes = node.get("class", "").split()
    node.set("class", " ".join(classes + [name] * (name not in classes)))


def setup(app):
    """Stand before and behind the theme's own handler (priority 500)."""
    sidebar = Sidebar()
    app.connect("html-page-context", sidebar.give_plain, priority=400)
    app.connect("html-page-context", sidebar.mark_current, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
