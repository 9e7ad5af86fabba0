"""Note what each check of code that runs has measured, and run on where one fails: no tool keeps what an `assert` measured.

The build and `nox -s robust` share it. It imports nothing of Sphinx.
"""

from __future__ import annotations

import ast
import contextlib
import itertools
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from markdown_it import MarkdownIt

CHECKS_FAILED = (
    3  # Sphinx' status where a check of a page failed and nothing else is wrong; with -W a warning makes it 1
)
# A part of a check: the signs of a comparison or another kind of claim, and the code of its sides.
Part = tuple[Any, list[str]]
CHECK, _SIDE, _COMPARE = "__check__", "__side__", "__compare__"  # the names in the code of `Checks`


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


def bare(code: str) -> str:
    """Return Python as its syntax alone: another where the code is another, whatever its comments and docstrings are."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        has_words = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if has_words and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


@dataclass
class Result:
    """What became of a page: the lines of its checks, what was found at each, and what was allowed where it failed."""

    checks: set[int] = field(default_factory=set)
    found: dict[int, tuple[str, str]] = field(default_factory=dict)  # a check's source, and what held, in words
    failures: dict[int, dict[str, str]] = field(default_factory=dict)

    @contextlib.contextmanager
    def check(self, line: int, claim: str, source: str, parts: list[Part]) -> Iterator[tuple[Callable[..., Any], ...]]:
        """Give what each side of a check passes through, once, and say what it compared or, if it failed, measured."""
        sides, options = defaultdict[int, list[Any]](list), dict[str, Any]()

        def side(value: Any, part: int) -> Any:
            sides[part].append(value)
            return value

        def compare(function: Callable[..., None], *arrays: Any, **words: Any) -> None:
            sides[0] += arrays
            options.update(words)
            function(*arrays, **words)

        self.checks.add(line)
        try:
            yield side, compare
            self.found[line] = source, "; ".join(_held(*part, sides[number]) for number, part in enumerate(parts))
        except AssertionError as error:
            self.note(line, _short(claim), *_measured(parts, sides, options, error))

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

    def note(self, line: int, claim: str, measured: str, allowed: str = "") -> None:
        """Note what is wrong; of a line, which may be in a loop, the first time."""
        self.failures.setdefault(line, {"claim": claim, "measured": _short(measured), "allowed": allowed})


class Checks(ast.NodeTransformer):
    """Run each check within `Result.check`, its sides handed through; `offset` lines stand above the code."""

    offset = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        """Hand each side of the comparisons that an `and` joins through, or the truth of what is no comparison."""
        claim, source, parts = _claim(node.msg, node.test), ast.unparse(node), list[Part]()
        joined = isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
        tests = node.test.values if joined else [node.test]
        for number, test in enumerate(tests):
            if isinstance(test, ast.Compare):
                sides = [test.left, *test.comparators]
                parts.append((tuple(_SIGNS[type(op)] for op in test.ops), list(map(ast.unparse, sides))))
                test.left, *test.comparators = (_through(side, number) for side in sides)
            else:
                parts.append(("holds", [ast.unparse(test)]))
                tests[number] = _through(test, number)
        if not joined:
            node.test = tests[0]
        return self._within(node, claim, source, parts)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """Do the same for `np.testing`'s functions."""
        if not is_check(node):
            return node
        call, source = node.value, ast.unparse(node)
        said = next((word.value for word in call.keywords if word.arg == "err_msg"), None)
        claim, kind = _claim(said, call), "near" if "allclose" in ast.unparse(call.func) else "equal"
        parts = [(kind, [ast.unparse(call.args[0])])]
        call.func, call.args = ast.copy_location(ast.Name(_COMPARE, ast.Load()), call), [call.func, *call.args]
        return self._within(node, claim, source, parts)

    def _within(self, node: ast.stmt, *about: Any) -> ast.stmt:
        """Write `with __check__(...) as (__side__, __compare__): check`."""
        code = f"with {CHECK}{(node.lineno + self.offset, *about)!r} as ({_SIDE}, {_COMPARE}): pass"
        check = ast.parse(code).body[0]
        for child in ast.walk(check):
            ast.copy_location(child, node)
        check.body = [node]
        return check


def _through(side: ast.expr, number: int) -> ast.Call:
    return ast.copy_location(ast.Call(ast.Name(_SIDE, ast.Load()), [side, ast.Constant(number)], []), side)


def is_check(node: ast.stmt) -> bool:
    """Tell whether a statement is a check: an `assert`, or one of `np.testing`'s."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func).startswith("np.testing.")
    return isinstance(node, ast.Assert)


def _claim(said: ast.expr | None, check: ast.expr) -> str:
    return said.value if isinstance(said, ast.Constant) else ast.unparse(check)


_SIGNS = {
    ast.Eq: "=", ast.NotEq: "≠", ast.Lt: "<", ast.LtE: "≤", ast.Gt: ">", ast.GtE: "≥",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip


def _is_written_out(source: str) -> bool:
    """Tell whether a piece of code is its own value, as 3 and [1, 2] are."""
    with contextlib.suppress(ValueError):
        ast.literal_eval(source)
        return True
    return False


def _held(kind: str | tuple[str, ...], sources: list[str], sides: list[Any]) -> str:
    """Say what a check that held has compared; code stands between backticks."""
    with contextlib.suppress(TypeError, ValueError):  # what has no size and no difference
        if kind in _ARRAYS:
            name = f"`{sources[0]}`: " if len(sources[0]) <= 40 else ""
            return name + _near(*map(np.asarray, sides[:2]))
        if isinstance(kind, tuple):
            return _compared(kind, ["" if _is_written_out(source) else source for source in sources], sides)
    return f"`{_short(sources[0])}`"


def _compared(signs: tuple[str, ...], names: list[str], sides: list[Any]) -> str:
    """Say what stands on each side of a comparison; what is its own value has no name."""
    if signs == ("=",):
        name = f"`{names[0]}`: " if 0 < len(names[0]) <= 40 else ""
        return f"{name}predicted {_show(sides[1])}, measured {_show(sides[0])}"
    if {*signs} == {"="}:
        return f"{', '.join(f'`{name}`' for name in names if name)}: all {_show(sides[0])}"
    pairs = zip(names, map(_show, sides), strict=True)
    shown = [f"`{name}` = {value}" if 0 < len(name) <= 45 else value for name, value in pairs]
    return " ".join(itertools.chain(*zip(shown, [*signs, ""], strict=True))).strip()


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


_ARRAYS: dict[Any, dict[str, float]] = {"near": {}, "equal": {"rtol": 0}}  # what `np.testing` allows
_TOLERANCES = {"rtol", "atol"}


def _measured(
    parts: list[Part], sides: dict[int, list[Any]], options: dict[str, Any], error: AssertionError
) -> tuple[str, str]:
    """Say what a failed check measured and what it allows, of an `and` by the part that was reached last."""
    with contextlib.suppress(Exception):  # two sides may have no difference
        if parts[0][0] in _ARRAYS:
            words = {word: options[word] for word in _TOLERANCES & options.keys()}
            return _worst(*sides[0][:2], **(_ARRAYS[parts[0][0]] | words))
        if error.__traceback__.tb_next.tb_next is None:  # it is no error of what a side calls
            last = max(sides)
            pairs = [f"{source} = {_show(side)}" for source, side in zip(parts[last][1], sides[last], strict=False)]
            return _show(sides[last][0]), "; ".join(pairs[1:]) or "true"
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
