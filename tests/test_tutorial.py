"""The five pages of the tutorial: plain Keras, and every name in their code comes from a cell that a reader can open.

And the page of questions, whose data is a file beside it.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import re
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).resolve().parents[1] / "docs" / "tutorial"
PAGES = ("setup", "backprop", "batch", "stochastic", "minibatch")
LIBRARIES = {"keras", "numpy", "matplotlib.pyplot", "tensorflow", "itertools", "time", "gdexplain"}
every_page = pytest.mark.parametrize("page", PAGES)


def cells(page: str) -> list[tuple[ast.Module, bool]]:
    """List the cells of a page that a reader sees or can open, each with whether it is open at once."""
    text = (TUTORIAL / f"{page}.md").read_text(encoding="utf-8")
    found = []
    for body in re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        options, code = re.fullmatch(
            r"((?:---\n.*?^---\n)?(?::[^\n]*\n)*)(.*)", body, re.MULTILINE | re.DOTALL
        ).groups()
        if "remove-" not in options:
            found.append((ast.parse(code), "hide-" not in options))
    return found


def imported(page: str) -> list[tuple[str, str]]:
    """List what the cells import: (module, name)."""
    names = []
    for node in (node for cell, _ in cells(page) for node in ast.walk(cell)):
        if isinstance(node, ast.Import):
            names += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [(node.module, alias.name) for alias in node.names]
    return names


def bound(cell: ast.Module) -> set[str]:
    """Name everything that a cell defines: variables, arguments, functions and imports."""
    names = set()
    for node in ast.walk(cell):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add((other or name).partition(".")[0])
    return names


@every_page
def test_a_page_takes_at_most_two_names_from_the_package(page):
    assert len({name for module, name in imported(page) if module.startswith("gdexplain")}) <= 2


@every_page
def test_a_page_is_written_in_keras_numpy_and_matplotlib(page):
    assert {module for module, _ in imported(page)} <= LIBRARIES


@every_page
def test_every_name_in_the_code_of_a_page_comes_from_a_cell_that_a_reader_can_open(page):
    known = set(dir(builtins))
    for cell, _ in cells(page):
        known |= bound(cell)
        used = {node.id for node in ast.walk(cell) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        assert used - known == set()


@every_page
def test_a_page_begins_with_its_subject_its_claim_and_a_picture(page):
    text = (TUTORIAL / f"{page}.md").read_text(encoding="utf-8")
    body = text.split("\n---\n", 1)[1]
    assert re.match(r"\s*# [A-Z][\w -]{10,40}\n\n\*[^*\n]{20,140}\*\n\n```\{code-cell\}", body)
    first, _ = cells(page)[0]
    assert "subplots" in ast.unparse(first)


@every_page
def test_a_page_checks_its_claim_in_the_open(page):
    opened = [ast.unparse(cell) for cell, is_open in cells(page) if is_open]
    assert sum("assert" in code for code in opened) >= 3


def test_the_page_of_questions_names_the_edition_of_its_file():
    """Results are kept by a page's code; so a page whose file has changed runs again only if its code says so."""
    practice = TUTORIAL.parent / "practice"
    edition = hashlib.sha256((practice / "questions.toml").read_text(encoding="utf-8").encode()).hexdigest()[:8]
    assert f'EDITION = "{edition}"' in (practice / "questions.md").read_text(encoding="utf-8")
