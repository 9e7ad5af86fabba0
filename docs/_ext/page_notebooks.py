"""Pages as notebooks for Jupyter and Colab, without what only Sphinx reads: MyST-NB's own keep roles and glue."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

STYLE = "\n\nimport gdexplain\n\ngdexplain.use_style()"  # the site's own kernels start with it


def _block(name: str) -> str:
    return rf"^`{{3,}}\{{{name}\}}.*?^`{{3,}}\n*|^\.\. {name}::[^\n]*\n(?:(?:[ \t]+[^\n]*)?\n)*"


_PLAIN = [  # what stands in a page, and in a notebook
    (_block("index"), ""),
    (_block("explorable"), "*An interactive figure stands here on the site.*\n\n"),
    (r"^\.\. literalinclude:: *(?:\S*/)?(\S+)\n(?:[ \t]+[^\n]*\n)*", r"*The site shows this part of `\1` here.*\n"),
    (r"^(?::{3,}\{dropdown\}|\.\. dropdown::) +([^\n]+)\n+", r"**\1**\n\n"),  # an answer to a bet
    (r"^:{3,}[^\n]*\n?", ""),  # the frame of a note; its words stay
    (r"^`{3,}\{math\}\n(?::[^\n]*\n)*(.*?)^`{3,}$", r"$$\n\1$$"),
    (r"(\[[^\]\n]+\]\([^)\s]+\))__?(?!\w)", r"\1"),  # what sphinx-gallery leaves of a link, and of a :ref:
    (r"(?<![`}:])`(sphx_glr_[\w.-]+)`(?!`)", r"{ref}`\1`"),
    (r"(?<!`)``([^`\n]+)``(?!`)", r"`\1`"),  # reStructuredText's literals
]
_ROLE = re.compile(
    r"(?:\{(?P<myst>[\w:]+)\}|:(?P<rst>[\w:]+):)`(?:(?P<title>[^`<]*?)\s*<(?P<target>[^`<>]+)>|(?P<text>[^`]+))`"
)
_LINK = re.compile(r"\[(?P<title>[^\]\n]*)\]\((?P<target>(?![a-z]+:|#)[^)\s]+)\)")
_GLUE = re.compile(r"^(?:from myst_nb import glue|glue\(.*(?:\n[ )].*)*)\n?", re.MULTILINE)


def plain(text: str, page: str, names: dict[str, dict[str, Any]], base: str = "") -> str:
    """Say in plain Markdown what roles, labels and directives say.

    `names` holds what they may name: of "doc" and "ref" a page and its title, of "eq", "cite" and "glue" the words.
    """

    def link(where: str, title: str, words: str) -> str:
        return f"[{words or title}]({base}{where}.html)" if base and where else words or title

    def document(target: str, words: str) -> str:
        path = posixpath.join("/", posixpath.dirname(page), target.partition("#")[0].removesuffix(".md"))
        return link(*names["doc"].get(posixpath.normpath(path), ("", words)), words)

    def role(found: re.Match[str]) -> str:
        kind, _, form = (found["myst"] or found["rst"]).partition(":")
        title, target = (" ".join(found[name].split()) if found[name] else "" for name in ("title", "target"))
        target = target or " ".join(found["text"].split())
        match kind:
            case "doc":
                return document(target, title)
            case "ref":
                return link(*names["ref"][target.lower()], title)
            case "cite":
                words = "; ".join(names["cite"][key.strip()] for key in target.split(","))
                return f"({words})" if form == "p" else words
            case "eq" | "glue":
                return names[kind][target]
            case "term":
                return title or target
        name = target.lstrip("!~")
        return f"`{title or (name.rpartition('.')[2] if target[0] == '~' else posixpath.basename(name))}`"

    for pattern, words in _PLAIN:
        text = re.sub(pattern, words, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\$\$ \(([\w-]+)\)", lambda found: f"\\tag*{{{names['eq'][found[1]]}}}\n$$", text)
    text = _LINK.sub(lambda found: document(found["target"], found["title"]), text)
    return _ROLE.sub(role, text).strip()


def make(path: Path, page: str, names: dict[str, dict[str, Any]], base: str, first_cell: str) -> str:
    """Make a notebook of an executed page, or of the one that sphinx-gallery wrote, without outputs."""
    glued = path.with_suffix(".glue.json")
    values = json.loads(glued.read_text(encoding="utf-8")) if glued.exists() else {}
    names = names | {"glue": {name: ast.literal_eval(one["data"]["text/plain"]) for name, one in values.items()}}
    cells = [_code(first_cell, [])]
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cells.append(_code(drop_glue(source), cell["metadata"].get("tags", [])))
        else:
            cells.append({"cell_type": "markdown", "metadata": {}, "source": plain(source, page, names, base)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    notebook["cells"] = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells) if cell["source"]]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _code(source: str, tags: list[str]) -> dict[str, Any]:
    """Make a code cell; what the page folds away is folded away."""
    metadata = {"jupyter": {"source_hidden": True}} if {"hide-input", "hide-cell"} & {*tags} else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def drop_glue(code: str) -> str:
    """Remove the lines that hand numbers to the page's text: a notebook has them in its text already."""
    return re.sub(r"\n{3,}", "\n\n", _GLUE.sub("", code)).strip("\n") if "glue" in code else code
