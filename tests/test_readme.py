"""The README keeps its word: its code runs and prints what it says, and its commands exist."""

import ast
import contextlib
import io
import pathlib
import re
import tomllib

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}


def blocks():
    """The fenced blocks of the README, each with its language."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def sessions():
    """The names of the nox sessions: of functions under a `nox.session` decorator, or as the decorator says."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    marks = [(node.name, ast.unparse(mark)) for node in functions for mark in node.decorator_list]
    named = [(name, re.search(r"name='(.+?)'", mark)) for name, mark in marks if mark.startswith("nox.session")]
    return {found[1] if found else name for name, found in named}


def test_the_python_code_of_the_readme_runs_and_prints_what_stands_below_it():
    keras.utils.set_random_seed(0)
    namespace, pairs = {}, list(zip(blocks(), [*blocks()[1:], ("", "")], strict=True))
    examples = [(code, after) for (language, code), after in pairs if language == "python"]
    assert examples
    for code, (language, expected) in examples:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "README.md", "exec"), namespace)  # noqa: S102  # this is what the test is about
        assert language == "text"
        assert printed.getvalue() == expected


def test_the_readme_has_exactly_two_set_up_commands():
    commands = [line for language, code in blocks() if language == "bash" for line in code.splitlines()]
    assert [line for line in commands if "nox" in line] == ['pip install "nox[uv]" && nox -s docs', "nox -s tests"]


@pytest.mark.parametrize("name", GUIDES)
def test_every_session_that_a_guide_names_exists(name):
    named = set(re.findall(r"nox -s ([\w-]+)", GUIDES[name]))
    assert {"docs", "tests"} <= named <= sessions()


def test_the_readme_names_every_session():
    assert set(re.findall(r"nox -s ([\w-]+)", README)) == sessions()


def test_the_readme_names_every_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = README.partition("| Extra |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(project["optional-dependencies"])


def test_the_changelog_says_what_is_not_released_yet_first():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
