"""The API reference: every public name has a page and a docstring, and an unchanged one costs nothing to build."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from pathlib import Path
from typing import NamedTuple

from sphinx.util import logging

import gdexplain

logger = logging.getLogger(__name__)


class _Pair(NamedTuple):
    """Any named tuple: its field shows the type of them all."""

    field: int


PUBLIC = sorted(set(gdexplain.__all__))


def undocumented(name: str, value: object) -> list[str]:
    """List what has no docstring: a public name, or one of its own methods and properties."""
    members = {name: value}
    if inspect.isclass(value):
        members |= {f"{name}.{key}": member for key, member in vars(value).items() if _is_public(key, member)}
    return [key for key, member in members.items() if not inspect.getdoc(member)]


def _is_public(name: str, member: object) -> bool:
    """Tell methods and properties that a reader may use from private ones and from fields."""
    return not name.startswith("_") and (callable(member) or isinstance(member, (property, classmethod, staticmethod)))


def check_docstrings(app, what, name, obj, options, lines):
    """Warn about what is undocumented in a name that is being read."""
    if what in {"class", "function", "data", "exception"}:
        for key in undocumented(name, obj):
            logger.warning("%s is public and has no docstring", key, type="gdexplain", subtype="api")


def skip_fields(app, what, name, obj, skip, options):
    """Leave out a named tuple's fields: its Parameters section describes them."""
    return True if isinstance(obj, type(_Pair.field)) else None


def check_pages(app, env):
    """Warn about every public name that has no page."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for name in PUBLIC:
        if f"gdexplain.{name}" not in documented:
            logger.warning(
                "gdexplain.%s is public and on no page of the API reference", name, type="gdexplain", subtype="api"
            )


# autosummary imports every name to write its stub, at every build: 4 s of Keras even when nothing has changed. So it is
# told to write stubs only when the package, the settings or the pages that ask for stubs have changed.


def _stamp(app) -> tuple[Path, str]:
    """Name the file that says what the stubs were made from, and what it should say now."""
    pages = sorted(Path(app.srcdir, "reference").glob("*.md"))
    digest = hashlib.sha256(b"".join(page.read_bytes() for page in pages)).hexdigest()
    return Path(app.srcdir, "reference", "generated", ".made-from"), f"{app.config.gdexplain_fingerprint} {digest}"


def before_stubs(app):
    """Switch autosummary's stubs off if those at hand are right, and remove them if not."""
    stamp, wanted = _stamp(app)
    app.config.autosummary_generate = not (stamp.exists() and stamp.read_text() == wanted)
    if app.config.autosummary_generate:
        shutil.rmtree(stamp.parent, ignore_errors=True)


def after_stubs(app):
    """Note what the stubs were made from, and leave the setting as Sphinx knows it."""
    stamp, wanted = _stamp(app)
    app.config.autosummary_generate = True
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted)


def setup(app):
    """Connect the checks around what autosummary does at builder-inited (priority 500)."""
    app.connect("builder-inited", before_stubs, priority=100)
    app.connect("builder-inited", after_stubs, priority=900)
    app.connect("autodoc-process-docstring", check_docstrings, priority=100)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("env-check-consistency", check_pages)
    return {"parallel_read_safe": True}
