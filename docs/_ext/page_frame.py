"""What stands around a page: a version stamp, its place and minutes, alt texts or a warning; Sphinx asks for none."""

from __future__ import annotations

import pickle
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import ENV_PICKLE_FILENAME
from sphinx.util import logging

import gdexplain

logger = logging.getLogger(__name__)


def version_stamp() -> str:
    """Name the versions that every output of this build was made with."""
    tensorflow = next(filter(None, map(_version, ("tensorflow-cpu", "tensorflow"))), "?")
    parts = [f"gdexplain {gdexplain.__version__}", f"Keras {_version('keras')}", f"TensorFlow {tensorflow}"]
    return ", ".join([*parts, f"NumPy {_version('numpy')}", f"Python {'.'.join(platform.python_version_tuple()[:2])}"])


def _version(distribution: str) -> str | None:
    """Look up an installed version."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def finish_images(app, doctree, docname):
    """Refuse images without alt text."""
    for image in doctree.findall(nodes.image):
        if "thumb" in Path(image["uri"]).parts:  # sphinx-gallery leaves it empty; the title stands below it
            title = next(image.findall(nodes.reference, include_self=False, siblings=True), None)
            image["alt"] = f"Thumbnail of “{title.astext() if title else ''}”"
        if not (image.get("alt") or "").strip():
            logger.warning("image without alt text: %s", image["uri"], location=image, type="gdexplain", subtype="alt")


def frame(app, pagename, templatename, context, doctree):
    """Give the templates the version stamp, and of sphinx-gallery's files those that it uses."""
    app.gdexplain_wrote = True
    context["version_stamp"] = _STAMP
    context["place"], context["minutes"] = place(app.env, pagename), app.env.gdexplain_minutes.get(pagename, 0)
    scripts = [(script, str(getattr(script, "filename", script))) for script in context["script_files"]]
    context["script_files"] = [script for script, name in scripts if "sg-tags" not in name]
    if not _GALLERY.search(context.get("body", "")):  # a phone waits for each style sheet before it shows a word
        context["css_files"] = [css for css in context["css_files"] if "sg_gallery" not in str(css.filename)]


_GALLERY = re.compile(r"sphx-glr-(?!backref)")  # links from names in code have that class on any page


def place(env, name: str) -> tuple[int, int] | None:
    """Return which page of its part a page is, and of how many."""
    parents = [
        parent for parent, pages in env.toctree_includes.items() if name in pages and parent != env.config.root_doc
    ]
    pages = env.toctree_includes[parents[0]] if parents else []
    return (pages.index(name) + 1, len(pages)) if is_read(name) and len(pages) > 1 else None


def is_read(name: str) -> bool:
    """Tell whether a page, in whatever language, is one to be read from top to bottom."""
    *folders, last = name.split("/")
    return not {"tutorial", "explanation", "gallery", "practice"}.isdisjoint(folders) and last != "index"


def minutes(doctree: nodes.document) -> int:
    """Return how long a page takes without its exercises: two hundred words a minute, and a second for a line of code."""
    parts = [
        node
        for node in next(doctree.findall(nodes.section))
        if not (isinstance(node, nodes.section) and node[0].astext() == "Exercises")
    ]
    words = sum(len(node.astext().split()) for part in parts for node in part.findall(nodes.paragraph))
    lines = sum(node.astext().count("\n") + 1 for part in parts for node in part.findall(nodes.literal_block))
    return max(1, round(words / 200 + lines / 60))


def time_page(app, doctree):
    """Write down how long a page takes."""
    if is_read(app.env.docname):
        app.env.gdexplain_minutes[app.env.docname] = minutes(doctree)


def count_parts(app, doctree, docname):
    """Put the number of a part's pages, and their minutes, where the home page says `@pages(part or folder ...)`."""
    if docname != app.config.root_doc:
        return
    parts = {tree.get("caption"): tree["includefiles"] for tree in doctree.findall(addnodes.toctree)}
    for text in list(doctree.findall(nodes.Text)):
        if "@pages(" in text:
            count = _PAGES.sub(lambda found: _count(app.env, parts, found[1].split()), text)
            text.parent.replace(text, nodes.Text(count))


def _count(env, parts: dict[str, list[str]], words: list[str]) -> str:
    """Count the pages, read from top to bottom, that stand in parts of the contents or in folders."""
    listed = {entry for word in words for entry in parts.get(word, [f"{word}/index"])}
    known = {name: env.gdexplain_minutes[name] for name in env.all_docs if name in env.gdexplain_minutes}
    found = [took for name, took in known.items() if {name, f"{name.rpartition('/')[0]}/index"} & listed]
    return f"{len(found)} pages, {sum(found)} min"


_PAGES = re.compile(r"@pages\((.*?)\)")


_STAMP = version_stamp()


def rewrite_if_contents_changed(app, env):
    """Have every page written again when the contents change: each shows them at its side, its neighbours at its foot."""
    titles = {name: title.astext() for name, title in env.titles.items()}
    trees = env.get_doctree(env.config.root_doc).findall(addnodes.toctree)
    contents = env.collect_relations(), titles, [tree.get("caption") for tree in trees]
    before = getattr(env, "gdexplain_contents", contents)
    env.gdexplain_contents = contents  # kept with the environment, for the next build
    if before != contents:
        return sorted(env.all_docs)
    timed, env.gdexplain_timed = getattr(env, "gdexplain_timed", None), dict(env.gdexplain_minutes)
    return [] if timed == env.gdexplain_timed else [env.config.root_doc]


def keep_search_entries(app, exception):
    """Save the environment once more at the end of a build: the search's index entries are only in it by then.

    Sphinx saves it before it writes pages, so the next build would know the entries of the pages that it writes itself,
    and the search would find less than after a clean build.
    """
    if exception is None and app.builder.format == "html" and app.gdexplain_wrote:
        vars(app.env).pop("master_doctree", None)  # Sphinx' cached property: the next build would show old contents
        with Path(app.doctreedir, ENV_PICKLE_FILENAME).open("wb") as handle:
            pickle.dump(app.env, handle, pickle.HIGHEST_PROTOCOL)


def drop_output(app, env, docname):
    """Remove the page of a document that is about to be read anew, or is gone: Sphinx would leave one that is gone."""
    Path(app.outdir, f"{docname}.html").unlink(missing_ok=True)


def keep_times(app):
    """Keep the minutes of every page with the environment."""
    app.env.gdexplain_minutes = getattr(app.env, "gdexplain_minutes", {})


def setup(app):
    """Connect the checks."""
    app.gdexplain_wrote = False  # whether this build has written a page
    app.connect("builder-inited", keep_times)
    app.connect("env-purge-doc", drop_output)
    app.connect("doctree-read", time_page, priority=800)  # after what folds code
    app.connect("doctree-resolved", count_parts)
    app.connect("build-finished", keep_search_entries)
    app.connect("env-updated", rewrite_if_contents_changed)
    app.connect("doctree-resolved", finish_images)
    app.connect("html-page-context", frame, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
