"""A page as code whose checks are counted: one that fails is noted, and the page runs on."""

from __future__ import annotations

import ast
import contextlib
import os
import sys
import traceback
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
_COUNT, _FAIL = "__check_passed__", "__check_failed__"


def find(root: Path = ROOT) -> list[Path]:
    """Return every page that runs: the gallery's scripts, and the Markdown pages with code cells.

    The page that shows the table is not among them: it asks only whether the last run was a good one.
    """
    docs, not_pages = root / "docs", {"_build", "es", "gallery", "locale", "node_modules", "robust.md"}
    pages = (path for path in docs.rglob("*.md") if not not_pages & {*path.relative_to(docs).parts})
    return [*sorted((root / "examples").rglob("plot_*.py")), *sorted(path for path in pages if cells(path))]


def cells(path: Path) -> list[tuple[int, str]]:
    """Return a page's pieces of code, each with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [(1, text)]
    fences = (token for token in MarkdownIt().parse(text) if token.type == "fence" and token.level == 0)
    return [_cell(token) for token in fences if token.info.startswith("{code-cell}")]


def _cell(token: Any) -> tuple[int, str]:
    """Return a cell without its options: a block between two lines of `---`, or lines of `:name: value`."""
    lines, first = token.content.split("\n"), 0
    if lines[0] == "---":
        first = lines.index("---", 1) + 1
    while lines[first].startswith(":"):
        first += 1
    return token.map[0] + 2 + first, "\n".join(lines[first:])


@dataclass
class Result:
    """What became of a page: the lines of its checks, and for each that failed what was measured and allowed."""

    checks: set[int] = field(default_factory=set)
    failures: dict[int, dict[str, str]] = field(default_factory=dict)

    def passed(self, line: int) -> None:
        """Count a check."""
        self.checks.add(line)

    def failed(self, line: int, claim: str, operands: Any) -> None:
        """Note a check that did not hold; in a loop, the first time."""
        self.checks.add(line)
        if line not in self.failures:
            measured, allowed = _measured(operands, sys.exc_info()[1])
            self.failures[line] = {"claim": _short(claim), "measured": measured, "allowed": allowed}

    def stopped(self, error: BaseException, path: Path) -> None:
        """Note an error that is no check: the page ends there."""
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        words = f"{type(error).__name__}: {error}"
        self.failures[(inside or [0])[-1] or 0] = {"claim": "the page runs", "measured": _short(words), "allowed": ""}


def run(path: Path) -> Result:
    """Run a page as the build does, in its folder and as the main module, but draw no figure."""
    result, main = Result(), types.ModuleType("__main__")
    main.__dict__.update({"__file__": str(path), _COUNT: result.passed, _FAIL: result.failed})
    before = sys.modules["__main__"], Path.cwd()
    sys.modules["__main__"] = main  # what the page defines is sent to other processes by value
    os.chdir(path.parent)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            for line, code in cells(path):
                tree = ast.increment_lineno(ast.parse(code), line - 1)
                exec(compile(ast.fix_missing_locations(_Checks().visit(tree)), path, "exec"), main.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is this page's
        result.stopped(error, path)
    finally:
        sys.modules["__main__"], folder = before
        os.chdir(folder)
    return result


class _Checks(ast.NodeTransformer):
    """Put each check of a page between `try` and `except`, with what its two sides are."""

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Note the first part of an `and` that is not true."""
        parts = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else None
        return _guarded(node, node.test, f"[{', '.join(map(_operands, parts or [node.test]))}]")

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """Do the same for `np.testing`'s functions."""
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith("np.testing."):
            words = [keyword for keyword in node.value.keywords if keyword.arg in ("rtol", "atol")]
            rest = ", ".join(f"{word.arg}={ast.unparse(word.value)}" for word in words)
            sides = ", ".join(map(ast.unparse, node.value.args))
            exact = "" if "allclose" in ast.unparse(node.value.func) else "rtol=0"
            return _guarded(node, node.value, f"[lambda: (*({sides},)[:2], dict({rest or exact}))]")
        return node


def _operands(test: ast.expr) -> str:
    """Write code that gives a part of a test, its truth, and the sides of a comparison."""
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
    values = ", ".join(f"({ast.unparse(side)})" for side in sides)
    return f"lambda: (({ast.unparse(test)}), [{values}], {[ast.unparse(side) for side in sides]!r})"


def _guarded(node: ast.stmt, check: ast.expr, operands: str) -> ast.stmt:
    """Write `try: check; count it` and `except AssertionError: note it`."""
    words = f"{_FAIL}({node.lineno}, {ast.unparse(check)!r}, {operands})"
    guard = ast.parse(f"try:\n {_COUNT}({node.lineno})\nexcept AssertionError:\n {words}").body[0]
    for child in ast.walk(guard):
        if hasattr(child, "lineno"):
            child.lineno = child.end_lineno = node.lineno
    guard.body.insert(0, node)
    return guard


def _measured(operands: list[Any], error: BaseException | None) -> tuple[str, str]:
    """Say what a failed check measured and what it allows, by looking at its two sides again."""
    try:
        for look in operands:
            first, second, third = look()
            if isinstance(third, dict):
                return _worst(first, second, **third)
            if not first:
                pairs = [(_show(value), source) for value, source in zip(second, third, strict=True)]
                return pairs[0][0], "; ".join(f"{source} = {value}" for value, source in pairs[1:]) or "true"
    except Exception:  # noqa: BLE001  # what cannot be looked at twice says what it said at first
        return _short(str(error)), ""
    return _short(str(error)), ""


def _worst(actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0) -> tuple[str, str]:
    """Return the value that is furthest out of its range, and the range."""
    got, wanted = np.broadcast_arrays(np.asarray(actual), np.asarray(desired))
    allowed = atol + rtol * np.abs(wanted.astype(float))
    excess = np.nan_to_num(np.abs(got.astype(float) - wanted.astype(float)) - allowed, nan=np.inf)
    place = np.unravel_index(np.argmax(excess), excess.shape)
    where = f" at {tuple(map(int, place))}" if place else ""
    return f"{_show(got[place])}{where}", f"{_show(wanted[place])} within {allowed[place]:.3g}"


def _show(value: Any) -> str:
    """Write a value in six digits and in one line."""
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(value, list | tuple) and all(isinstance(part, float | np.ndarray | np.generic) for part in value):
        return f"[{', '.join(map(_show, value))}]"
    with np.printoptions(precision=6, threshold=8, edgeitems=3):
        number = isinstance(value, float | np.floating)
        return f"{value:.6g}" if number else _short(str(value))


def _short(words: str, width: int = 110) -> str:
    """Return words in one line, cut where they are long."""
    line = " ".join(words.split())
    return line if len(line) <= width else f"{line[: width - 4]} ..."
