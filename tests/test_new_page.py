"""A new page of the gallery starts from something that runs, and is named everywhere it must be."""

import importlib.util
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("new_page", ROOT / "tools" / "new_page.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

LISTS = ["docs/gallery_order.py", "docs/reference/references.bib", "tests/site/test_curriculum.py"]


@pytest.fixture
def tree(tmp_path):
    """The parts of the project that a new page touches."""
    for name in LISTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_script_of_a_new_page_runs_and_checks_itself(tree):
    assert tool.main(["theory", "my-claim"], tree) == 0
    script = tree / "examples" / "theory" / "plot_my_claim.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"predicted (\S+), measured \1\n", done.stdout)
    text = script.read_text(encoding="utf-8")
    assert "np.testing.assert_allclose(measured, predicted" in text
    script.write_text(text.replace("learning_rate * grad", "2 * learning_rate * grad"), encoding="utf-8")
    assert subprocess.run([sys.executable, script], capture_output=True, check=False).returncode == 1


def test_a_new_page_stands_last_in_its_section_and_every_script_is_listed(tree):
    tool.main(["theory", "my-claim"], tree)
    before, after = tool.load_order(ROOT), tool.load_order(tree)
    assert after == before | {"theory": [*before["theory"], "plot_my_claim.py"]}
    listed = {f"{section}/{name}" for section, names in after.items() for name in names}
    listed |= {*runpy.run_path(str(tree / "docs" / "gallery_order.py"))["COMPANIONS"]}
    assert listed == {path.relative_to(tree / "examples").as_posix() for path in (tree / "examples").glob("*/*.py")}


def test_a_new_page_is_a_lesson_and_its_source_is_in_the_bibliography(tree):
    tool.main(["rules", "two-rates"], tree)
    lessons = (tree / "tests" / "site" / "test_curriculum.py").read_text(encoding="utf-8")
    assert re.search(r'Lesson\(\d+, "two rates", "gallery/rules/plot_two_rates.html", \(r".*",\)\),\n\)\n', lessons)
    compile(lessons, "test_curriculum.py", "exec")
    key = re.search(r":cite:t:`(\w+)`", (tree / "examples/rules/plot_two_rates.py").read_text(encoding="utf-8"))[1]
    sources = (tree / "docs" / "reference" / "references.bib").read_text(encoding="utf-8")
    assert len(re.findall(rf"^@misc{{{key},$", sources, re.MULTILINE)) == 1


def test_a_dry_run_names_the_files_and_writes_none(tree, capsys):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert tool.main(["theory", "my-claim", "--dry-run"], tree) == 0
    assert capsys.readouterr().out.split() == ["examples/theory/plot_my_claim.py", LISTS[0], LISTS[2], LISTS[1]]
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("section", "name", "word"),
    [
        ("nowhere", "my-claim", "no section 'nowhere'; choose one of backprop"),
        ("theory", "My-Claim", "small letters"),
        ("theory", "my_claim", "small letters"),
        ("theory", "../my-claim", "small letters"),
        ("theory", "9-claims", "small letters"),
        ("theory", "", "small letters"),
        ("theory", "a" * 41, "40 at most"),
        ("theory", "deep-linear", "examples/theory/plot_deep_linear.py is there already"),
        ("rules", "deep-linear", "examples/theory/plot_deep_linear.py is there already"),
    ],
)
def test_what_cannot_be_a_page_is_refused_in_words_and_nothing_is_written(tree, section, name, word, capsys):
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert tool.main([section, name], tree) == 1
    assert word in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
