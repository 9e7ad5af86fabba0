"""The house keeps its shape: imports go one way, importing is instant, and names are what they say."""

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import gdexplain

PACKAGE = pathlib.Path(gdexplain.__file__).parent
RANKS = [
    {"_checks", "functions"},
    {"data", "network", "objectives", "rules", "schedules", "tape", "theory", "trajectory"},
    {"_arrays", "_explain", "_keras", "_ledger"},
    {"_fitting"},
    {"_model"},
    {"_eye", "_program", "backprop", "descent", "landscape", "models", "training"},
    {"_tap", "_tile", "gradient_check"},
    {"_task", "callback"},
    {"sweeping"},
    {"in_keras"},
    {"plotting"},
]
# A prediction may not look at a record, nor a plot at a runner.
FORBIDDEN = {
    "theory": {"trajectory"},
    "plotting": {"training", "callback", "descent", "_tile", "sweeping", "models", "backprop", "_keras", "in_keras"},
}
# Data are what objectives, theory and networks speak of; a record is not.
ALLOWED_SIBLINGS = {("objectives", "data"), ("theory", "data"), ("rules", "schedules")}
KERAS_SIDE = {
    "_eye",
    "_fitting",
    "_keras",
    "_model",
    "_program",
    "_tap",
    "_task",
    "_tile",
    "callback",
    "gradient_check",
    "in_keras",
    "models",
    "sweeping",
    "training",
}


def modules():
    """Every module, and each part of a package such as theory as ``theory/noise``."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if path.as_posix() != "__init__")


def imports_of(module):
    """Every module that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module):
    """The modules of the package that a module imports."""
    for name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "gdexplain" and len(parts) > 1 and parts[1] in set().union(*RANKS):
            yield parts[1]


def rank(module):
    return next(place for place, names in enumerate(RANKS) if room(module) in names)


def room(module):
    """The package that a part belongs to, or the module itself."""
    return module.split("/")[0]


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module):
    for other in own_imports(module):
        assert other == room(module) or rank(other) < rank(module) or (room(module), other) in ALLOWED_SIBLINGS, other
        assert other not in FORBIDDEN.get(room(module), ()), f"{module} must not see {other}"


@pytest.mark.parametrize("module", modules())
def test_keras_and_matplotlib_are_imported_where_they_belong_only(module):
    roots = {name.split(".")[0] for name in imports_of(module)}
    assert room(module) in KERAS_SIDE or not roots & {"keras", "tensorflow"}
    assert module == "plotting" or "matplotlib" not in roots


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
        value = getattr(gdexplain, name)
        assert name == "__version__" or value.__module__.startswith("gdexplain.")
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = gdexplain.no_such_name


def test_a_type_checker_sees_the_names_that_a_program_sees():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gdexplain.")
        for alias in node.names
    }
    assert seen == set(gdexplain.__all__) - {"__version__"}


def test_another_backend_is_refused_in_words():
    code = (
        "import keras; keras.backend.backend = lambda: 'jax'\n"
        "try:\n    import gdexplain.training\n"
        "except ImportError as error:\n    print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "TensorFlow backend, not on 'jax'" in result.stdout


def test_the_version_is_that_of_the_project_file():
    import tomllib

    project = PACKAGE.parent / "pyproject.toml"
    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == gdexplain.__version__
    assert importlib.reload(gdexplain).__version__ == gdexplain.__version__
