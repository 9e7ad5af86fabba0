"""Say where a word leads: names in code to what documents them, words of the glossary to their first sentence.

sphinx-gallery links the names in its scripts, to objects of this site and to those in the inventories of other projects. It
has no setting for other pages, so those get what it reads beside a script: which name of the code is which object. It
finds that in their imports. Where a change of sphinx-gallery breaks this, tests/site/test_names.py fails first.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from checks import cells
from docutils import nodes
from sphinx import addnodes
from sphinx_gallery import _doctree_links
from sphinx_gallery.backreferences import identify_names
from translations import NAMES

_of_script = _doctree_links._load_code_obj
_GLOSSARY = "reference/glossary"
_SENTENCE = re.compile(r".+?[.?!](?=\s|$)", re.DOTALL)


def names_in(env: Any, docname: str) -> dict[str, Any] | None:
    """Return the names of a page's code: a script's as sphinx-gallery keeps them, others by what the cells import."""
    path = Path(env.doc2path(docname))
    if path.suffix != ".md":
        return _of_script(env, docname)
    try:
        code = ast.parse("\n".join(source for _, source in cells(path)))
    except SyntaxError:  # a line of IPython's
        return None
    found = identify_names([], r"(?!)", node=code)
    for guess in (
        guess for guesses in found.values() for guess in guesses
    ):  # it runs nothing, so it takes all for instances
        guess["is_class"] = guess["name"].rpartition(".")[2][:1].isupper()
    return found


def read_tips(app: Any, env: Any) -> list[str]:
    """Keep the first sentence of each entry of the glossary; where one has changed, all pages are written again."""
    tips = {}
    for entry in env.get_doctree(_GLOSSARY).findall(nodes.definition_list_item) if _GLOSSARY in env.found_docs else ():
        said = entry.children[-1].children[0].deepcopy()
        for link in [one for one in said.findall(addnodes.pending_xref) if one["refdomain"] == "cite"]:
            link.parent.remove(link)  # its key is no word
        sentence = _SENTENCE.match(said.astext().replace(" .", "."))
        if sentence and not next(said.findall(nodes.math), None):
            words = " ".join(sentence[0].split())
            tips |= {name: words for term in entry.findall(nodes.term) for name in term["ids"]}
    before, env.gdexplain_tips = getattr(env, "gdexplain_tips", None), tips
    return [] if before in (None, tips) else sorted(env.found_docs)


def give_tips(app: Any, doctree: nodes.document, docname: str) -> None:
    """Say at each word of the glossary what it means, when you point at it; in the glossary's language."""
    if docname.partition("/")[0] in NAMES:
        return
    for link in doctree.findall(nodes.reference):
        page, _, name = link.get("refuri", "").partition("#")
        if page.endswith(f"{_GLOSSARY}.html") and name in app.env.gdexplain_tips:
            link["reftitle"] = app.env.gdexplain_tips[name]


def setup(app: Any) -> dict[str, bool]:
    """Put our reader of names in the place of sphinx-gallery's, which is loaded before."""
    _doctree_links._load_code_obj = names_in
    app.connect("env-updated", read_tips)
    app.connect("doctree-resolved", give_tips)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
