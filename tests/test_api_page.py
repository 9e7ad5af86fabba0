"""The API page names every public name, and each name says what it takes and what it returns."""

import importlib
import inspect
import pathlib
import re

import pytest

import gdexplain

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "reference" / "api.md"
# Modules whose names are too short to stand alone, such as `momentum` and `constant`, are public as they are.
MODULES = ["gdexplain.by_hand.rules", "gdexplain.by_hand.schedules", "gdexplain.by_hand.tape"]


def names_of(module):
    """The public names that a module defines; the states of the rules are told by `UpdateRule`."""
    for name, value in vars(importlib.import_module(module)).items():
        is_ours = getattr(value, "__module__", None) == module and (inspect.isfunction(value) or inspect.isclass(value))
        if is_ours and not name.startswith("_") and not name.endswith("State"):
            yield f"{module}.{name}"


PUBLIC = {f"gdexplain.{name}": getattr(gdexplain, name) for name in gdexplain.__all__}
PUBLIC |= {
    path: getattr(importlib.import_module(module), path.rpartition(".")[2])
    for module in MODULES
    for path in names_of(module)
}


def names_on_the_page():
    """What the page's autosummary tables list, each name with the module that stands above it."""
    module, names = "", []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif re.fullmatch(r"   \w+", line):
            names.append(f"{module}.{line.strip()}")
    return names


def sections(docstring):
    """The numpydoc sections of a docstring, each with its text."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters_in(text):
    """The names that a Parameters section describes."""
    heads = [line.partition(" : ")[0] for line in text.splitlines() if line and not line.startswith(" ")]
    return {name.lstrip("*") for head in heads for name in head.split(", ")}


def called_with(value):
    """The parameters of a public name; none for what nobody calls (an interface) or what a built-in makes (a tuple)."""
    if inspect.isclass(value) and (getattr(value, "_is_protocol", False) or not hasattr(value.__init__, "__code__")):
        return set(getattr(value, "_fields", ()))
    return set(inspect.signature(value).parameters)


def test_the_api_page_lists_every_public_name_once_and_nothing_else():
    assert sorted(names_on_the_page()) == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_docstring_opens_with_one_sentence_on_one_line(name):
    summary, _, rest = inspect.getdoc(PUBLIC[name]).partition("\n")
    assert summary.endswith(".")
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_docstring_describes_every_parameter_and_what_is_returned(name):
    value = PUBLIC[name]
    found = sections(inspect.getdoc(value))
    described = parameters_in(found.get("Parameters", "")) or parameters_in(found.get("Attributes", ""))
    assert described == called_with(value)
    if inspect.isfunction(value) and inspect.signature(value).return_annotation not in {None, "None"}:
        assert found.keys() & {"Returns", "Yields"}


@pytest.mark.parametrize("name", [name for name in sorted(PUBLIC) if inspect.isclass(PUBLIC[name])])
def test_every_public_method_and_property_has_a_docstring(name):
    for key, member in vars(PUBLIC[name]).items():
        if not key.startswith("_") and (callable(member) or isinstance(member, property | classmethod | staticmethod)):
            assert inspect.getdoc(member), f"{name}.{key}"
