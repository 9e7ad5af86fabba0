"""A release is one version everywhere, moved by one command, and its archives hold what they should and nothing else."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
STATED = ["gdexplain/__init__.py", "pyproject.toml", "CITATION.cff", "CHANGELOG.md"]


def tool(name):
    """Load a script from tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = tool("release")


@pytest.fixture
def copy(tmp_path):
    """The four files that state the version, in a folder of their own."""
    for name in STATED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_file_states_the_same_version_and_date():
    assert release.disagreements(ROOT) == []


def test_one_command_moves_the_version_everywhere_and_dates_it(copy, capsys):
    before = release.section(copy, "Unreleased")[1]
    assert release.main(["prepare", "98.0.1", "--date", "2030-01-02"], copy) == 0
    assert set(release.versions(copy).values()) == {"98.0.1"}
    assert release.section(copy, "98.0.1") == ("2030-01-02", before)
    assert release.section(copy, "Unreleased") == ("", "")
    assert capsys.readouterr().out.strip() == before
    assert release.disagreements(copy, "v98.0.1") == []


@pytest.mark.parametrize(
    ("name", "old", "new", "word"),
    [
        ("pyproject.toml", '\nversion = "98.0.1"', '\nversion = "98.0.2"', "the version differs"),
        ("CITATION.cff", "\nversion: 98.0.1", "\nversion: 98.0.0", "the version differs"),
        ("CITATION.cff", "2030-01-02", "2030-01-03", "CITATION.cff"),
        ("CITATION.cff", "date-released: 2030-01-02\n", "", "not at all"),
        ("CHANGELOG.md", "## [98.0.1] - 2030-01-02", "## [98.0.1]", "not at all"),
    ],
)
def test_a_disagreement_is_said_in_words(copy, name, old, new, word, capsys):
    release.main(["prepare", "98.0.1", "--date", "2030-01-02"], copy)
    path = copy / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert release.main(["check", "v98.0.1"], copy) == 1
    assert word in capsys.readouterr().err


def test_a_tag_must_be_that_of_the_version(copy, capsys):
    release.main(["prepare", "98.0.1"], copy)
    assert release.main(["check", "v98.0.2"], copy) == 1
    assert "must be v98.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0rc1"])
def test_a_version_that_is_not_three_numbers_is_refused(copy, version, capsys):
    assert release.main(["prepare", version], copy) == 1
    assert repr(version) in capsys.readouterr().err


def test_a_version_is_not_released_twice_nor_without_a_word(copy, capsys):
    release.main(["prepare", "98.0.1"], copy)
    assert release.main(["prepare", "98.0.1"], copy) == 1
    assert "already" in capsys.readouterr().err
    assert release.main(["prepare", "98.0.2"], copy) == 1
    assert "nothing to release" in capsys.readouterr().err


# -- the archives -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """Build the sdist and the wheel twice."""
    folders = [tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("again")]
    for folder in folders:
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folders


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


def test_two_builds_give_the_same_bytes(archives):
    for pattern in ("*.whl", "*.tar.gz"):
        one, other = (only(folder, pattern).read_bytes() for folder in archives)
        assert one == other


def test_the_wheel_holds_the_package_and_nothing_else(archives):
    names = set(zipfile.ZipFile(only(archives[0], "*.whl")).namelist())
    assert {"gdexplain/py.typed", "gdexplain/gdexplain.mplstyle"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    sources = [path for path in (ROOT / "gdexplain").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    package = {path.relative_to(ROOT).as_posix() for path in sources}
    assert {name for name in names if ".dist-info/" not in name} == package


def test_the_sdist_holds_the_sources_of_everything_and_nothing_made(archives):
    with tarfile.open(only(archives[0], "*.tar.gz")) as archive:
        names = {pathlib.PurePosixPath(name) for name in archive.getnames()}
    inside = {pathlib.PurePosixPath(*name.parts[1:]).as_posix() for name in names}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "noxfile.py", "pyproject.toml", "docs/conf.py"}
    needed |= {
        "docs/.npmrc",
        "docs/package-lock.json",
        "requirements/docs.txt",
        "tests/conftest.py",
        "gdexplain/py.typed",
    }
    assert needed <= inside
    made = {"_build", "generated", "__pycache__", ".jupyter_cache", "node_modules", ".nox", "dist"}
    assert [name for name in inside if made & {*name.split("/")} or name.startswith("docs/gallery/")] == []
