"""The gallery's order by hand, held to the scripts that there are; the folds of its exercises and of its bets."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import gallery_order
from docutils import nodes
from sphinx.errors import ConfigError, ExtensionError

# -- order ------------------------------------------------------------------------------------------------------------


def section_order(folder):
    """Sort sections by their place in `gallery_order.ORDER`."""
    return list(gallery_order.ORDER).index(Path(folder).name)


class ScriptOrder:
    """Sort key of the scripts of one section: their place in `gallery_order.ORDER`."""

    def __init__(self, source_dir):
        self.scripts = gallery_order.ORDER.get(Path(source_dir).name, [])

    def __call__(self, filename):
        return self.scripts.index(Path(filename).name)


def check_order(examples: Path) -> None:
    """Refuse scripts that are not listed, that are listed and missing, or that would not be run."""
    listed = {f"{section}/{name}" for section, names in gallery_order.ORDER.items() for name in names}
    found = {path.relative_to(examples).as_posix() for path in examples.rglob("*.py")}
    check_companions(examples, found)
    found -= set(gallery_order.COMPANIONS)
    if found - listed:
        raise ConfigError(f"examples missing from docs/gallery_order.py: {', '.join(sorted(found - listed))}")
    if listed - found:
        raise ConfigError(f"docs/gallery_order.py lists scripts that do not exist: {', '.join(sorted(listed - found))}")
    wrong = [name for name in sorted(listed) if not re.fullmatch(r"\w+/plot_\w+\.py", name)]
    if wrong:
        raise ConfigError(
            f"only scripts named plot_*.py, in letters, digits and underscores, are run: {', '.join(wrong)}"
        )


def check_companions(examples: Path, found: set[str]) -> None:
    """Refuse a script that is no page unless a page shows it and a test runs it."""
    for name, (page, test) in gallery_order.COMPANIONS.items():
        if name not in found:
            raise ConfigError(f"docs/gallery_order.py names a companion that does not exist: {name}")
        if f".. literalinclude:: /../examples/{name}" not in (examples / page).read_text(encoding="utf-8"):
            raise ConfigError(f"examples/{name} is no page, and examples/{page} does not show it")
        if Path(name).name not in (examples.parent / "tests" / test).read_text(encoding="utf-8"):
            raise ConfigError(f"examples/{name} is not run by the build, and tests/{test} does not run it")


class _OnlyNames(logging.Filter):
    """Let sphinx-gallery warn of spaces in the names of scripts, but not in that of the folder they lie in.

    It looks at whole paths, and its warning would stop every build in a folder such as "my projects". Nor let it say that
    no script was run: `execute` has run them.
    """

    def filter(self, record):
        """Say whether a message is worth showing: no script that `check_order` lets in has a space in its name."""
        return not str(record.msg).startswith(("Example file name(s) with spaces found", "Sphinx-Gallery gallery_conf"))


# -- the solutions of exercises, and what decides a bet -----------------------------------------------------------------

_FOLDS = {  # a section, and the class and the words of its fold
    "Exercises": ("solutions", "Show the solutions"),
    "A bet": ("decides", "Show what decides it"),
}


def fold_sections(app, doctree):
    """Fold away what follows a script's questions, or the answers to its bet, up to the words that lead to the next page."""
    if not app.env.docname.startswith("gallery/"):
        return
    for section in doctree.findall(nodes.section):
        title = section[0].astext()
        if title not in _FOLDS:
            continue
        asked = [
            k
            for k, node in enumerate(section)
            if isinstance(node, nodes.enumerated_list) or node.get("design_component") == "dropdown"
        ]
        *_, end = [len(section), *(k for k, node in enumerate(section) if node.astext().startswith("Next: "))]
        if not asked or asked[-1] + 1 == end:
            raise ExtensionError(
                f"{app.env.docname}: below {title!r} stand a numbered list of questions, or answers that are each a dropdown,"
                " and then what is folded away"
            )
        name, words = _FOLDS[title]
        section.insert(end, nodes.raw("", "</details>", format="html"))
        start = f'<details class="hide {name}"><summary>{words}</summary>'
        section.insert(asked[-1] + 1, nodes.raw("", start, format="html"))


# -- pages --------------------------------------------------------------------------------------------------------------


def drop_tag_lists(app, docname, source):
    """Remove sphinx-gallery's empty lists of tags: each has the same id, which may stand once on a page."""
    if docname.startswith("gallery/"):
        source[0] = source[0].replace(".. raw:: html\n\n  <div id='sg-tag-list' class='sphx-glr-tag-list'></div>\n", "")


def setup(app):
    """Check the order before the gallery is made, and fold what its questions and bets hide."""
    logging.getLogger("sphinx.sphinx-gallery").addFilter(_OnlyNames())
    app.connect("builder-inited", lambda _: check_order(Path(app.srcdir).parent / "examples"), priority=100)
    app.connect("source-read", drop_tag_lists)
    app.connect("doctree-read", fold_sections)
    return {"parallel_read_safe": True}
