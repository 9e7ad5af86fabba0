"""A page as code whose checks are counted: one that fails is noted, and the page runs on."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))  # the build counts the checks of a page in the same way

from checks import CHECK, Checks, Result, bare, cells, in_words  # noqa: F401  # the last for `__main__`


def find(root: Path = ROOT) -> list[Path]:
    """Return every page that runs: the gallery's scripts, and the Markdown pages with code cells.

    The page that shows the table is not among them: it asks only whether the last run was a good one.
    """
    docs, not_pages = root / "docs", {"_build", "es", "gallery", "node_modules", "robust.md"}
    pages = (path for path in docs.rglob("*.md") if not not_pages & {*path.relative_to(docs).parts})
    return [*sorted((root / "examples").rglob("plot_*.py")), *sorted(path for path in pages if cells(path))]


def digest(path: Path) -> str:
    """Return a hash of a page's code."""
    return hashlib.sha256(repr([bare(code) for _, code in cells(path)]).encode()).hexdigest()[:12]


def run(path: Path) -> Result:
    """Run a page as the build does, in its folder and as the main module, but draw no figure."""
    result, main = Result(), types.ModuleType("__main__")
    main.__dict__.update({"__file__": str(path), CHECK: result.check})
    before = sys.modules["__main__"], Path.cwd()
    sys.modules["__main__"] = main  # what the page defines is sent to other processes by value
    os.chdir(path.parent)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            for line, code in cells(path):
                tree = ast.increment_lineno(ast.parse(code), line - 1)
                exec(compile(ast.fix_missing_locations(Checks().visit(tree)), path, "exec"), main.__dict__)  # noqa: S102
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever it is, it is this page's
        result.stopped(error, path)
    finally:
        sys.modules["__main__"], folder = before
        os.chdir(folder)
    return result
