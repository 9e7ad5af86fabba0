"""The API's pages name every public name, and each name says what it takes and what it returns."""

import importlib
import inspect
import pathlib
import re

import pytest

import gdexplain

PAGES = sorted((pathlib.Path(__file__).parents[1] / "docs" / "reference" / "api").glob("*.md"))
# Modules whose names are too short to stand alone, such as `momentum` and `constant`, are public as they are.
MODULES = [
    "gdexplain.by_hand.rules",
    "gdexplain.by_hand.schedules",
    "gdexplain.by_hand.tape",
    "gdexplain.by_hand.graph",
]


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


def names_on_the_pages(pattern):
    """What the pages list in lines of one form, each name with the module that stands above it."""
    module, names = "", []
    for line in "\n".join(page.read_text(encoding="utf-8") for page in PAGES).splitlines():
        if line.startswith(".. currentmodule:: "):
            module = line.split()[-1]
        elif found := re.fullmatch(pattern, line):
            names.append(f"{module}.{found[1]}")
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
    """The parameters of a public name; of a named tuple its fields."""
    if inspect.isclass(value) and not hasattr(value.__init__, "__code__"):
        return set(getattr(value, "_fields", ()))
    return set(inspect.signature(value).parameters)


@pytest.mark.parametrize("pattern", [r"   (\w+)", r"\.\. auto(?:class|function):: (\w+)"], ids=["table", "description"])
def test_the_apis_pages_list_every_public_name_once_and_nothing_else(pattern):
    assert sorted(names_on_the_pages(pattern)) == sorted(PUBLIC)


def test_the_api_lists_every_page_of_a_room():
    listed = re.findall(
        r"^api/(\w+)$", PAGES[0].parents[1].joinpath("api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == [page.stem for page in PAGES]


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
