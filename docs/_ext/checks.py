"""Note what each check of code that runs has measured, and run on where one fails: no tool keeps what an `assert` measured.

The build and `nox -s robust` share it. It imports nothing of Sphinx.
"""

from __future__ import annotations

import ast
import itertools
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt

CHECKS_FAILED = (
    3  # Sphinx' status where a check of a page failed and nothing else is wrong; with -W a warning makes it 1
)
_COUNT, _FAIL = "__check_passed__", "__check_failed__"


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
    while first < len(lines) - 1 and (lines[first].startswith(":") or not lines[first].strip()):
        first += 1  # IPython leaves out empty lines at the top, and counts from the next
    return token.map[0] + 2 + first, "\n".join(lines[first:])


@dataclass
class Result:
    """What became of a page: the lines of its checks, what was found at each, and what was allowed where it failed."""

    checks: set[int] = field(default_factory=set)
    found: dict[int, tuple[str, str]] = field(default_factory=dict)  # a check's source, and what held, in words
    failures: dict[int, dict[str, str]] = field(default_factory=dict)

    def passed(self, line: int, source: str, parts: list[tuple[Any, ...]]) -> None:
        """Count a check, and say what it compared; in a loop, the last time."""
        self.checks.add(line)
        self.found[line] = source, "; ".join(_held(*part) for part in parts)

    def failed(self, line: int, claim: str, operands: Any) -> None:
        """Note a check that did not hold; in a loop, the first time."""
        self.checks.add(line)
        if line not in self.failures:
            measured, allowed = _measured(operands, sys.exc_info()[1])
            self.failures[line] = {"claim": _short(claim), "measured": measured, "allowed": allowed}

    def names(self) -> dict[str, Any]:
        """Return the names that the code of `Checks` calls."""
        return {_COUNT: self.passed, _FAIL: self.failed}

    def told(self) -> list[tuple[str, str]]:
        """Return the source of each check that held, and what it found, by line."""
        return [told for line, told in sorted(self.found.items()) if line not in self.failures]

    def listed(self) -> list[dict[str, Any]]:
        """Return the failures, by line."""
        return [{"line": line, **found} for line, found in sorted(self.failures.items())]

    def stopped(self, error: BaseException, path: Path) -> None:
        """Note an error that is no check: the page ends there."""
        inside = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        self.note((inside or [0])[-1] or 0, "the page runs", f"{type(error).__name__}: {error}")

    def note(self, line: int, claim: str, measured: str) -> None:
        """Note what is wrong and no check found; of a line the first."""
        self.failures.setdefault(line, {"claim": claim, "measured": _short(measured), "allowed": ""})


class Checks(ast.NodeTransformer):
    """Put each check between `try` and `except`, with what its two sides are; `offset` lines stand above the code."""

    offset = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Keep the sides of each comparison; note the first part of an `and` that is not true."""
        source, parts = ast.unparse(node), _parts(node.test)
        claim, operands = _claim(node.msg, node.test), f"[{', '.join(map(_operands, parts))}]"
        names = (f"_side_{number}_" for number in itertools.count())
        seen = f"[{', '.join(_kept(part, names) for part in parts)}]"
        return self._guarded(node, claim, operands, f"{source!r}, {seen}")

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """Do the same for `np.testing`'s functions."""
        if not is_check(node):
            return node
        call, source = node.value, ast.unparse(node)
        words = [keyword for keyword in call.keywords if keyword.arg in ("rtol", "atol")]
        rest = ", ".join(f"{word.arg}={ast.unparse(word.value)}" for word in words)
        sides = ", ".join(map(ast.unparse, call.args))
        exact = "" if "allclose" in ast.unparse(call.func) else "rtol=0"
        operands = f"[lambda: (*({sides},)[:2], dict({rest or exact}))]"
        said = next((word.value for word in call.keywords if word.arg == "err_msg"), None)
        claim, name = _claim(said, call), ast.unparse(call.args[0])
        given = ast.parse(f"f(*(_sides_ := ({sides},)))", mode="eval").body.args[0]
        for child in ast.walk(given):
            ast.copy_location(child, call)
        call.args = [given]
        return self._guarded(node, claim, operands, f"{source!r}, [('near', [{name!r}, ''], _sides_[:2])]")

    def _guarded(self, node: ast.stmt, claim: str, operands: str, seen: str) -> ast.stmt:
        """Write `try: check; note it` and `except AssertionError: note it`."""
        line = node.lineno + self.offset
        guard = ast.parse(
            f"try:\n {_COUNT}({line}, {seen})\nexcept AssertionError:\n {_FAIL}({line}, {claim!r}, {operands})"
        ).body[0]
        for child in ast.walk(guard):
            if hasattr(child, "lineno"):
                child.lineno = child.end_lineno = node.lineno
        guard.body.insert(0, node)
        return guard


def is_check(node: ast.stmt) -> bool:
    """Tell whether a statement is a check: an `assert`, or one of `np.testing`'s."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).startswith("np.testing.")
    return isinstance(node, ast.Assert)


def _claim(said: ast.expr | None, check: ast.expr) -> str:
    return said.value if isinstance(said, ast.Constant) else ast.unparse(check)


def _parts(test: ast.expr) -> list[ast.expr]:
    """Return what an `and` joins."""
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]


_SIGNS = {
    ast.Eq: "=", ast.NotEq: "≠", ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


def _is_written_out(side: ast.expr) -> bool:
    """Tell whether a piece of code is its own value, as 3 and [1, 2] are."""
    try:
        ast.literal_eval(side)
    except ValueError:
        return False
    return True


def _kept(part: ast.expr, names: Iterator[str]) -> str:
    """Give each side of a comparison a name where it stands, so that it is computed once; write what `_held` takes."""
    if not isinstance(part, ast.Compare):
        return f"('holds', [{ast.unparse(part)!r}], [])"
    sides = [part.left, *part.comparators]
    sources = ["" if _is_written_out(side) else ast.unparse(side) for side in sides]
    kept = [ast.copy_location(ast.NamedExpr(ast.Name(next(names), ast.Store()), side), side) for side in sides]
    part.left, part.comparators = kept[0], kept[1:]
    signs = [_SIGNS[type(op)] for op in part.ops]
    return f"({signs!r}, {sources!r}, [{', '.join(side.target.id for side in kept)}])"


def _held(kind: str | list[str], sources: list[str], sides: Any) -> str:
    """Say what a check that held has compared; code stands between backticks."""
    name = f"`{sources[0]}`: " if 0 < len(sources[0]) <= 40 else ""
    try:
        if kind == "near":
            return name + _near(*(np.asarray(side) for side in sides))
        if kind == ["="]:
            return f"{name}predicted {_show(sides[1])}, measured {_show(sides[0])}"
        if isinstance(kind, list) and {*kind} == {"="}:
            return f"{', '.join(f'`{source}`' for source in sources if source)}: all {_show(sides[0])}"
        if isinstance(kind, list):
            pairs = zip(sources, map(_show, sides), strict=True)
            shown = [f"`{source}` = {value}" if 0 < len(source) <= 45 else value for source, value in pairs]
            return " ".join(itertools.chain(*zip(shown, [*kind, ""], strict=True))).strip()
    except (TypeError, ValueError):  # what has no size and no difference
        pass
    return f"`{_short(sources[0])}`"


def _near(measured: np.ndarray, predicted: np.ndarray) -> str:
    """Say how near two arrays are to each other."""
    count = np.broadcast(measured, predicted).size
    if count == 1:
        return f"predicted {_show(predicted.reshape(-1)[0])}, measured {_show(measured.reshape(-1)[0])}"
    if np.array_equal(*np.broadcast_arrays(measured, predicted)):
        return f"{count} numbers as predicted, to the last digit"
    if predicted.size == 1:
        return (
            f"predicted {_show(predicted.reshape(-1)[0])}, measured {_show(measured.min())} to {_show(measured.max())}"
        )
    return f"{count} numbers as predicted, the largest difference {np.abs(measured - predicted).max():.1e}"


def in_words(failure: dict[str, Any]) -> str:
    """Say of a check that failed what was measured and what is allowed."""
    return f"measured {failure['measured']}" + (f", allowed {failure['allowed']}" if failure["allowed"] else "")


def _operands(test: ast.expr) -> str:
    """Write code that gives a part of a test, its truth, and the sides of a comparison."""
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
    values = ", ".join(f"({ast.unparse(side)})" for side in sides)
    return f"lambda: (({ast.unparse(test)}), [{values}], {[ast.unparse(side) for side in sides]!r})"


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
