"""Pages as notebooks for Jupyter and Colab, without what only Sphinx reads: MyST-NB's own keep roles and glue."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any, Protocol

_ROLE = re.compile(r"(?:\{(?P<myst>[\w:+.-]+)\}|:(?P<rst>[\w:+.-]+):)`(?P<text>[^`]+)`")
_TITLED = re.compile(r"(?P<title>.*?)\s*<(?P<target>[^<>]+)>\s*", re.DOTALL)
_EXPLORABLE = re.compile(
    r"^`{3,}\{explorable\}.*?^`{3,}\n?|^\.\. explorable::[^\n]*\n(?:\n|[ \t]+[^\n]*\n?)*", re.MULTILINE | re.DOTALL
)
_INDEX = re.compile(  # words for the site's own index
    r"^`{3,}\{index\}.*?^`{3,}\n?|^\.\. index::[^\n]*\n(?:[ \t]+[^\n]*\n)*\n?", re.MULTILINE | re.DOTALL
)
_INCLUDE = re.compile(r"^\.\. literalinclude:: *(?P<path>\S+)\n(?:[ \t]+[^\n]*\n)*", re.MULTILINE)
_ANSWER = re.compile(r"^(?::{3,}\{dropdown\}|\.\. dropdown::) +(?P<title>.+)\n+", re.MULTILINE)  # of a bet
_BOX = re.compile(r"^:{3,}.*\n?", re.MULTILINE)  # the frame of a note; its words stay
_FORMULA = re.compile(r"^`{3,}\{math\}\n(?::[^\n]*\n)*(?P<formula>.*?)^`{3,}$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?P<title>[^\]\n]*)\]\((?P<target>(?![a-z]+:|#)[^)\s]+)\)")
_EQUATION_LABEL = re.compile(r"\$\$ \((?P<label>[\w-]+)\)")
_LABEL = re.compile(r"(?<!`)`(?P<label>(?:sphx_glr_|gallery-)[\w.-]+)`(?!`)")  # what sphinx-gallery leaves of a :ref:
_RST_LINK = re.compile(r"(\[[^\]\n]+\]\([^)\s]+\))__?(?!\w)")  # and of a link
_GLUE = re.compile(r"\bglue\b")


class Book(Protocol):
    """What the text of a page refers to: the rest of the site."""

    def title(self, page: str) -> str: ...
    def address(self, page: str) -> str: ...
    def label(self, name: str) -> tuple[str, str] | None: ...
    def equation(self, label: str) -> str: ...
    def citation(self, keys: list[str], *, textual: bool) -> str: ...


def from_page(path: Path, page: str, book: Book, first_cell: str) -> str:
    """Make a notebook of an executed page, with the numbers that it glued into its text."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    glued = path.with_suffix(".glue.json")
    values = json.loads(glued.read_text(encoding="utf-8")) if glued.exists() else {}
    numbers = {name: ast.literal_eval(value["data"]["text/plain"]) for name, value in values.items()}
    style = "\n\nimport gdexplain\n\ngdexplain.use_style()"  # the site's own kernels start with it
    return _write(notebook["cells"], Text(page, book, numbers), first_cell + style)


def from_example(path: Path, page: str, book: Book, first_cell: str) -> str:
    """Make a notebook of the one that sphinx-gallery wrote."""
    return _write(json.loads(path.read_text(encoding="utf-8"))["cells"], Text(page, book, {}), first_cell)


def code_cells(path: Path) -> list[str]:
    """Read the code of an executed page as its notebook will have it, without IPython's magics."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = (drop_glue("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code")
    return [re.sub(r"^[ \t]*[%!].*$", "pass", source, flags=re.MULTILINE) for source in code]


def _write(cells: list[dict[str, Any]], text: Text, first_cell: str) -> str:
    """Write the notebook, without outputs: whoever opens it makes their own."""
    made = [_code(first_cell, [])]
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            made.append(_code(drop_glue(source), cell["metadata"].get("tags", [])))
        else:
            made.append({"cell_type": "markdown", "metadata": {}, "source": text.plain(source)})
    made = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(filter(lambda cell: cell["source"], made))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _code(source: str, tags: list[str]) -> dict[str, Any]:
    """Make a code cell; what the page folds away is folded away, what is meant to raise may."""
    metadata: dict[str, Any] = {}
    if {"hide-input", "hide-cell"} & {*tags}:
        metadata["jupyter"] = {"source_hidden": True}
    if "raises-exception" in tags:
        metadata["tags"] = ["raises-exception"]
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def drop_glue(code: str) -> str:
    """Remove the lines that hand numbers to the page's text: a notebook has them in its text already."""
    if not _GLUE.search(code):
        return code
    lines = code.split("\n")
    for node in reversed(ast.parse(code).body):
        if _is_glue(node):
            del lines[node.lineno - 1 : node.end_lineno]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _is_glue(node: ast.stmt) -> bool:
    """Tell whether a statement imports or calls MyST-NB's `glue`."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "myst_nb"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "glue"


class Text:
    """Turns the text of one page into Markdown that reads well outside Sphinx."""

    def __init__(self, page: str, book: Book, numbers: dict[str, str]) -> None:
        self.page = page
        self.book = book
        self.numbers = numbers

    def plain(self, text: str) -> str:
        """Say in plain Markdown what roles, labels and directives say."""
        text = _EXPLORABLE.sub(lambda _: self._explorable(), _INDEX.sub("", text))
        text = _INCLUDE.sub(
            lambda found: f"*The site shows this part of `{posixpath.basename(found['path'])}` here.*\n", text
        )
        text = _ANSWER.sub(r"**\g<title>**\n\n", text)
        text = _FORMULA.sub(lambda found: f"$$\n{found['formula']}$$", _BOX.sub("", text))
        text = _EQUATION_LABEL.sub(lambda found: f"\\tag{{{self.book.equation(found['label'])}}}\n$$", text)
        text = _RST_LINK.sub(r"\1", text)
        text = _LINK.sub(self._link, text)
        text = _ROLE.sub(self._role, text)
        text = _LABEL.sub(self._label, text)
        return re.sub(r"(?<!`)``([^`\n]+)``(?!`)", r"`\1`", text).strip()  # reStructuredText's literals

    def _explorable(self) -> str:
        address = self.book.address(self.page)
        words = "An interactive figure stands here on the site"
        return f"*{words}: <{address}>.*\n\n" if address else f"*{words}.*\n\n"

    def _link(self, found: re.Match[str]) -> str:
        return self._to_page(found["target"], found["title"])

    def _to_page(self, target: str, title: str = "") -> str:
        """Link to a page of the site, where its address is known, or name it."""
        page = posixpath.normpath(posixpath.join("/", posixpath.dirname(self.page), target.partition("#")[0]))
        page = page.removeprefix("/").removesuffix(".md")
        title = title or f"*{self.book.title(page)}*"
        address = self.book.address(page)
        return f"[{title}]({address})" if address else title

    def _label(self, found: re.Match[str]) -> str:
        return self._to_label(found["label"]) if self.book.label(found["label"]) else found.group()

    def _to_label(self, label: str, title: str = "") -> str:
        """Link to what a label stands for, or name it."""
        page, name = self.book.label(label) or ("", label)
        return self._to_page(f"/{page}", title or f"*{name}*") if page else title or name

    def _role(self, found: re.Match[str]) -> str:
        role, text = found["myst"] or found["rst"], " ".join(found["text"].split())
        titled = _TITLED.fullmatch(text)
        title, target = (titled["title"], titled["target"]) if titled else ("", text)
        words = title or target
        match role.split(":"):
            case ["glue", *_]:
                words = self.numbers[target]
            case ["eq"]:
                words = f"({self.book.equation(target)})"
            case ["doc"]:
                words = self._to_page(target, title)
            case ["ref"]:
                words = self._to_label(target, title)
            case ["cite", kind]:
                words = self.book.citation(target.split(","), textual=kind == "t")
            case [*_, "func" | "class" | "meth" | "mod" | "data" | "attr" | "obj" | "exc"]:
                name = target.lstrip("!~")
                words = f"`{title or (name.rpartition('.')[2] if target.startswith('~') else name)}`"
            case ["download"]:
                words = f"`{title or posixpath.basename(target)}`"
            case ["arxiv" | "doi" as kind]:
                words = f"{kind.replace('arxiv', 'arXiv')}:{target}"
            case _ if role != "term":
                raise ValueError(f"{self.page}: no plain words are known for the role {role!r}; add them to {__file__}")
        return words
