"""Show a printed table as a table: a page prints it for a terminal, whose lines are cut on a phone.

A paragraph of what is printed is a table if gaps of two blanks run through all of its lines, and in the first one a name
stands over numbers. So a downloaded script prints what its page shows, and needs nothing more for it.
"""

from __future__ import annotations

import html
import re
from typing import Any

_NUMBER = re.compile(r"[-+−]?[\d,.]+(e[-+]?\d+)?\s?(%|s)?|-|inf|nan")
_SET = re.compile(r"^ |\S {2,}\S", re.MULTILINE)  # of several lines: indented, or set in columns
_TABLE = (
    '<div class="table-wrapper {}"><table class="docutils printed"><thead>{}</thead><tbody>{}</tbody></table></div>'
)


def columns_of(text: str) -> list[list[str]]:
    """Take a printed paragraph apart into its cells, row by row; nothing if it is no table."""
    lines = text.split("\n")
    inked = "".join(" x"[any(line[k : k + 1].strip() for line in lines)] for k in range(max(map(len, lines))))
    spans = [found.span() for found in re.finditer(r"x( ?x)*", inked)]
    rows = [[line[slice(*span)].strip() for span in spans] for line in lines]
    named = any(name and not _numbers([name]) and _numbers(values) for name, *values in zip(*rows, strict=True))
    return rows if len(rows) > 1 and len(spans) > 1 and named and all(map(all, rows[1:])) else []


def _numbers(values: list[str]) -> bool:
    return all(map(_NUMBER.fullmatch, values))


def _table(rows: list[list[str]], classes: list[str]) -> str:
    """Write rows, the first of names, as HTML, still an output by its classes; numbers stand at the right."""
    right = [' class="text-right"' * _numbers(values) for _, *values in zip(*rows, strict=True)]
    lines = [
        "".join(f"<{tag}{how}>{html.escape(cell)}</{tag}>" for cell, how in zip(row, right, strict=True))
        for tag, row in zip(["th", *["td"] * len(rows)], rows, strict=False)
    ]
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return _TABLE.format(" ".join(classes), head, "".join(body))


def show_tables(app: Any, doctree: Any) -> None:
    """Put tables in the place of what a page's cells, or a script's blocks, print as such; plain words may wrap."""
    from docutils import nodes

    for block in list(doctree.findall(nodes.literal_block)):
        if not {"stream", "sphx-glr-script-out"} & {*block["classes"], *block.parent["classes"]}:
            continue
        text, shown = block.astext().strip("\n"), []
        parts = re.split(r"\n\s*\n", text)
        for part in parts if any(map(columns_of, parts)) else [text]:
            if rows := columns_of(part):
                shown.append(nodes.raw("", _table(rows, block["classes"]), format="html"))
                continue
            shown.append(nodes.literal_block(part, part, **block.attributes))
            if "\n" not in part or not _SET.search(part):
                shown[-1]["classes"] = [*block["classes"], "words"]
        block.parent[block.parent.index(block) : block.parent.index(block) + 1] = shown


def setup(app: Any) -> dict[str, bool]:
    """Look for tables after `fold`, which puts a check behind what its code has printed."""
    app.connect("doctree-read", show_tables, priority=650)
    return {"parallel_read_safe": True}
