"""At each name of the API the pages that use it, in words: sphinx-gallery offers a picture of each, on every name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class _Pair(NamedTuple):
    """Any named tuple: its field shows the type of them all."""

    field: int


def skip_fields(app, what, name, obj, skip, options):
    """Leave out a named tuple's fields: its Parameters section describes them."""
    return True if isinstance(obj, type(_Pair.field)) else None


def uses(app) -> dict[str, list[str]]:
    """List the pages that use each name, from the file that sphinx-gallery keeps of them."""
    path = Path(app.srcdir, app.config.sphinx_gallery_conf["backreferences_dir"], "backreferences_all.json")
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: sorted(f"/{Path(target, script).relative_to(app.srcdir).with_suffix('').as_posix()}" for script, _, target, *_ in scripts)
        for name, scripts in found.items()
    }  # fmt: skip


def list_uses(app, what, name, obj, options, lines):
    """List the pages that use a name, below its description; `outdated` has looked them up before any page is read."""
    if what in {"function", "class"} and (pages := app.env.gdexplain_uses.get(name)):
        lines += ["", ".. rubric:: Examples that use it", "", *(f"- :doc:`{page}`" for page in pages), ""]


def outdated(app, env, added, changed, removed):
    """Have the API read again when the pages use it otherwise."""
    before, env.gdexplain_uses = getattr(env, "gdexplain_uses", None), uses(app)
    return (
        [] if before == env.gdexplain_uses else [name for name in env.found_docs if name.startswith("reference/api/")]
    )


def setup(app):
    """Connect; numpydoc has rewritten the docstring by then."""
    app.connect("autodoc-process-docstring", list_uses, priority=900)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True}
