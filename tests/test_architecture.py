"""The house keeps its shape: imports go one way, importing is instant, and names are what they say."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import gdexplain

PACKAGE = pathlib.Path(gdexplain.__file__).parent
# A module imports from the ranks below its own; a folder stands for its modules, which may import one another.
RANKS = [
    {"_checks", "by_hand.functions"},
    {"data", "record", "theory", "by_hand.network", "by_hand.tape", "by_hand.schedules"},
    {
        "by_hand.objectives",
        "by_hand.rules",
        "by_hand.explain",
        "by_hand.graph",
        "in_keras.arrays",
        "in_keras.backend",
        "in_keras.ledger",
    },
    {"by_hand.backprop", "by_hand.descent", "landscape", "in_keras.checks"},
    {"in_keras.core"},
    {"in_keras.builders", "in_keras.objective", "in_keras.eye", "in_keras.program", "in_keras.training"},
    {"in_keras.gradient_check", "in_keras.tap", "in_keras.tiling"},
    {"in_keras.recorder", "in_keras.task"},
    {"in_keras.sweeping", "in_keras.diagnose"},
    {"plotting", "rules", "schedules", "tape"},
]
PLACES = {place: rank for rank, places in enumerate(RANKS) for place in places}
# Data are what theory speaks of; a record is not. A plot reads records, and may not look at a runner.
ALLOWED = {("theory", "data")}
FORBIDDEN = {"plotting": ("in_keras", "by_hand.descent", "by_hand.backprop"), "by_hand": ("in_keras",)}


def modules():
    """Every module by its dotted name within the package."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts) for path in paths if path.name != "__init__")


def file_of(module):
    return PACKAGE / f"{module.replace('.', '/')}.py"


def place(name):
    """The entry of `PLACES` that a module, or a name in a module, belongs to."""
    parts = name.split(".")
    return next((found for n in range(len(parts), 0, -1) if (found := ".".join(parts[:n])) in PLACES), None)


def imports_of(module):
    """Every module that a module imports, and every name from one, at its top or inside a function."""
    for node in ast.walk(ast.parse(file_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module):
    """What a module imports from the package, by its dotted name within the package."""
    return [name.removeprefix("gdexplain.") for name in imports_of(module) if name.startswith("gdexplain.")]


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module):
    mine = place(module)
    assert mine, f"{module} has no rank"
    for other in filter(None, map(place, own_imports(module))):
        assert other == mine or PLACES[other] < PLACES[mine] or (mine, other) in ALLOWED, other
        for room, hidden in FORBIDDEN.items():
            assert not (
                f"{module}.".startswith(f"{room}.") and f"{other}.".startswith(tuple(f"{one}." for one in hidden))
            )


@pytest.mark.parametrize("module", modules())
def test_no_private_name_crosses_a_module(module):
    imported = own_imports(module)
    crossing = [name for name in imported if name.rpartition(".")[2].startswith("_") and name != "_checks"]
    rooms = {name.rpartition(".")[2] for name in imported}
    used = {
        node.attr
        for node in ast.walk(ast.parse(file_of(module).read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in rooms
        and node.attr.startswith("_")
    }
    assert (crossing, used) == ([], set())


@pytest.mark.parametrize("module", modules())
def test_keras_and_matplotlib_are_imported_where_they_belong_only(module):
    roots = {name.split(".")[0] for name in imports_of(module)}
    assert module.startswith("in_keras.") or not roots & {"keras", "tensorflow"}
    assert module.startswith("plotting.") or module == "plotting" or "matplotlib" not in roots


def test_importing_gdexplain_loads_no_numpy_keras_or_matplotlib():
    code = (
        "import sys, gdexplain; dir(gdexplain)\n"
        "print(sorted({'numpy', 'keras', 'tensorflow', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_numpy_side_never_loads_keras():
    code = (
        "import sys, gdexplain as g; g.make_line(), g.Trajectory, g.Sweep, g.line_hessian(g.make_line()), g.Plane\n"
        "print(sorted({'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_loads_from_its_module_and_an_unknown_one_is_an_attribute_error():
    assert dir(gdexplain) == sorted(gdexplain.__all__)
    for name in gdexplain.__all__:
        assert getattr(gdexplain, name).__module__.startswith("gdexplain.")
    with pytest.raises(AttributeError, match="No gdexplain attribute no_such_name"):
        _ = gdexplain.no_such_name


def test_another_backend_is_refused_in_words():
    code = (
        "import keras; keras.backend.backend = lambda: 'jax'\n"
        "try:\n    import gdexplain.in_keras.training\n"
        "except ImportError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "TensorFlow backend, not on 'jax'" in result.stdout


@pytest.mark.parametrize("name", ["rules", "schedules", "tape"])
def test_a_module_of_the_hand_written_wing_has_a_short_address_too(name):
    short, whole = (importlib.import_module(f"gdexplain.{place}") for place in (name, f"by_hand.{name}"))
    public = {key: value for key, value in vars(whole).items() if not key.startswith("_")}
    assert public.items() <= vars(short).items()
