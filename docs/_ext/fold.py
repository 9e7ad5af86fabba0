"""Show a page's figure first, a check as one line, and fold imports and code that draws: no tool folds a part of a cell.

A check that held becomes "checked: predicted 0.5, measured 0.5", and opens to the `assert` that ran. The code of a figure
becomes "Show the code of the figure". All is made of the page's own code, so it is the same in scripts and in cells.
"""

from __future__ import annotations

import ast
import html
import itertools
import re
from collections import defaultdict, deque
from pathlib import Path

from animation import animation
from checks import is_check
from docutils import nodes

_DRAWS = re.compile(r"\b(plt|axe?s?|fig|figure)\b|\b(draw|animate|label)_\w+\(|\.(plot|legend|axhline|annotate)\(")
_FEWEST = 4  # lines of drawing, or twice as many of imports, are worth a fold


def fold(app, doctree: nodes.document) -> None:
    """Go through the code of a page that has run."""
    held = defaultdict(deque)
    for source, words in app.gdexplain_results.get(app.env.docname, {}).get("checked", ()):
        held[source].append(words)
    for block in list(doctree.findall(nodes.literal_block)):
        if str(block.get("language")).lower() in {"python", "ipython3"} and _hidden(block) in {"", "input"}:
            _fold_block(block, held)


def _fold_block(block: nodes.literal_block, held: dict[str, deque[str]]) -> None:
    """Take checks and drawing out of a block of code."""
    try:
        body = ast.parse(block.astext()).body
    except SyntaxError:  # a line of IPython's
        return
    lines = block.astext().split("\n")
    checks, words = [], []
    for node in filter(is_check, body):
        if held[ast.unparse(node)]:  # one that failed stays where it is
            checks.append(node)
            words.append(held[ast.unparse(node)].popleft())
    rest = [node for node in body if node not in checks]
    drawing = _drawing(rest) if not _hidden(block) else []  # it is folded as a whole
    if checks:
        _insert_after_outputs(block, _folded("checks", _summary(words), _text(lines, checks), block))
    if drawing and _count(drawing) >= _FEWEST:
        fold = _folded("drawing", "Show the code of the figure", _text(lines, drawing), block)
        block.parent.insert(block.parent.index(block) + 1, fold)
        rest = rest[: len(rest) - len(drawing)]
    imports = list(itertools.takewhile(lambda node: isinstance(node, ast.Import | ast.ImportFrom), rest))
    if imports and _count(imports) >= 2 * _FEWEST and not _hidden(block):
        fold = _folded("imports", "Show the imports", _text(lines, imports), block)
        block.parent.insert(block.parent.index(block), fold)
        rest = rest[len(imports) :]
    if len(rest) < len(body):
        _keep(block, _text(lines, rest))


def _drawing(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the last statements of a block, as far as they do nothing but draw."""
    first = len(body)
    while first and _only_draws(body[first - 1]):
        first -= 1
    return body[first:]


def _only_draws(node: ast.stmt) -> bool:
    """Tell whether a statement draws, and neither prints, checks nor defines."""
    inside = list(ast.walk(node))
    others = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assert)
    prints = any(isinstance(part, ast.Name) and part.id == "print" for part in inside)
    return (
        bool(_DRAWS.search(ast.unparse(node))) and not prints and not any(isinstance(part, others) for part in inside)
    )


def _count(body: list[ast.stmt]) -> int:
    return sum(node.end_lineno - node.lineno + 1 for node in body)


def _text(lines: list[str], body: list[ast.stmt]) -> str:
    """Give the lines of statements, with the comments right above each, and an empty line where there was one."""
    kept, last = list[str](), None
    for node in body:
        first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        if last is not None and first > last and not "".join(lines[last:first]).strip():
            kept.append("")
        kept += lines[max(first, last or 0) : node.end_lineno]  # two statements may share a line
        last = node.end_lineno
    return "\n".join(kept)


def _summary(words: list[str]) -> str:
    """Write the lines that stand for checks."""
    said = (re.sub(r"`(.+?)`", r"<code>\1</code>", html.escape(line, quote=False)) for line in words)
    return "".join(f'<span class="check">checked: {line}</span>' for line in said)


def _folded(name: str, summary: str, code: str, block: nodes.literal_block) -> nodes.container:
    """Make a fold that holds code."""
    inner = block.copy()
    _keep(inner, code)
    start = nodes.raw("", f'<details class="{name}"><summary>{summary}</summary>', format="html")
    return nodes.container("", start, inner, nodes.raw("", "</details>", format="html"), classes=[f"fold-{name}"])


def _keep(block: nodes.literal_block, code: str) -> None:
    """Put other code into a block, or remove it if none is left."""
    if code:
        block.rawsource = code
        block.children = []
        block += nodes.Text(code)
        return
    parent = block.parent
    parent.remove(block)
    if isinstance(parent, nodes.container) and "cell_input" in parent["classes"] and not parent.children:
        parent.parent.remove(parent)


def _insert_after_outputs(block: nodes.literal_block, fold: nodes.Node) -> None:
    """Put a fold behind what a block of code has printed and drawn."""
    cell = block.parent.parent
    if isinstance(cell, nodes.container) and "cell" in cell["classes"]:
        cell.append(fold)
        return
    place = block.parent.index(block) + 1
    others = (nodes.paragraph, nodes.section, nodes.target, nodes.enumerated_list, nodes.math_block, nodes.table)
    while place < len(block.parent) and not isinstance(block.parent[place], others):
        node = block.parent[place]
        if (
            isinstance(node, nodes.literal_block)
            and "sphx-glr-script-out" not in node.parent["classes"] + node["classes"]
        ):
            break
        if isinstance(node, nodes.raw) and "details" in node.astext():
            break
        place += 1
    block.parent.insert(place, fold)


def _hidden(block: nodes.literal_block) -> str:
    """Return what MyST-NB will hide of a block's cell, by the cell's tags."""
    cell = block.parent.parent
    return (isinstance(cell, nodes.container) and cell.get("hide_mode")) or ""


# -- the figure first -------------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"sphinx_gallery_thumbnail_number = (\d+)")


def show_figure_first(app, doctree: nodes.document) -> None:
    """Show below the claim of a page the figure that it is about, or its film.

    Of a script it is the figure of its thumbnail; of another page the one whose number stands as `figure` at its head.
    """
    name = app.env.docname
    script = Path(app.srcdir).parent / "examples" / f"{name.removeprefix('gallery/')}.py"
    if name.startswith("gallery/") and script.exists():
        number = int((_NUMBER.search(script.read_text(encoding="utf-8")) or [0, 1])[1])
    else:
        number = int(app.env.metadata[name].get("figure", 0))
    figures = [
        node
        for node in doctree.findall()
        if isinstance(node, animation) or (isinstance(node, nodes.image) and "only-light" in node["classes"])
    ]
    if not 0 < number <= len(figures):
        return
    figure, claim = figures[number - 1], next(doctree.findall(nodes.section))[1]
    place = claim.parent.index(claim) + 1
    if isinstance(figure, animation):  # one is enough
        figure.parent.remove(figure)
        claim.parent.insert(place, figure)
    else:
        dark = figure.parent[figure.parent.index(figure) + 1]
        claim.parent.insert(place, [figure.deepcopy(), dark.deepcopy()])


def setup(app):
    """Fold after the solutions of exercises are folded, and before anything looks at the page."""
    app.connect("doctree-read", fold, priority=600)
    app.connect("doctree-read", show_figure_first, priority=700)  # after what looks for code and its outputs
    return {"parallel_read_safe": True}
