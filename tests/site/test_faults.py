"""The real builder on a site of three pages, in the environment of `nox -s docs`: what fails, and what goes wrong around it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from built_site import ROOT

from tests.alike import alike

PYTHON = ROOT / ".nox" / "docs" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
BUILDER = ["build_site", "check_site", "checks", "execute", "figures", "gallery", "images", "page_frame", "run_page"]
CONF = """
import sys
from pathlib import Path
DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS)]
from build_site import base_url
project = html_title = "small"
extensions = ["myst_nb", "execute", "sphinx_gallery.gen_gallery", "gallery", "page_frame"]
html_theme = "furo"
html_baseurl = base_url()
if html_baseurl:
    extensions.append("sphinx_sitemap")
    sitemap_url_scheme = "{link}"
exclude_patterns = ["_build", "gallery/**.ipynb", "sg_execution_times.rst", "gallery/**sg_execution_times.rst"]
nb_execution_mode = "cache"
nb_execution_cache_path = str(DOCS / "_build" / "cache")
nb_merge_streams = True
nb_output_stderr = "warn"
sphinx_gallery_conf = {
    "subsection_order": "gallery.section_order", "within_subsection_order": "gallery.ScriptOrder",
    "examples_dirs": "../examples", "gallery_dirs": "gallery", "plot_gallery": False, "filename_pattern": "plot_",
    "image_scrapers": ("figures.scrape",), "reset_modules": ("figures.reset",), "write_computation_times": False,
    "min_reported_time": float("inf"), "show_memory": False, "show_signature": False, "download_all_examples": False,
}
"""
PAGES = {
    "docs/gallery_order.py": 'ORDER = {"part": ["plot_it.py"]}\nCOMPANIONS = SLIDES = {}\n',
    "docs/index.md": "# Home\n\nA page.\n\n```{toctree}\ncells\nwords\ngallery/index\n```\n",
    "docs/words.md": "# Words\n\n[Cells](cells.md).\n",
    "docs/cells.md": """---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  name: python3
---
# Cells

```{code-cell} ipython3
import sys
rate = 0.25
print("the rate is", rate)
display({"rate": rate})
rate
```

```{code-cell} ipython3
:tags: [hide-input]

assert rate < 0.5
```
""",
    "examples/README.txt": "Gallery\n=======\n",
    "examples/part/README.txt": "Part\n----\n",
    "examples/part/plot_it.py": '''"""
A script
========

It draws a line.
"""

import matplotlib.pyplot as plt
import numpy as np

losses = np.array([3.0, 1.0])
plt.plot(losses)
# sphinx_gallery_alt = "A line that falls."
plt.show()
# %%
# It falls.
np.testing.assert_allclose(losses[1], 1, rtol=0.1, err_msg="the loss falls to 1")
# %%
# And ends.
assert losses[0] > losses[1], "it falls"
print("the end")
''',
}
BROKEN = {  # a page, what stands there, and what shall
    "docs/cells.md": ("assert rate < 0.5", "assert rate < 0.125"),
    "examples/part/plot_it.py": ("np.array([3.0, 1.0])", "np.array([3.0, 4.5])"),
}


def build(top: Path, *words: str, before: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess[str]:
    """Run the builder to its end."""
    return subprocess.run(
        [*before, PYTHON, "docs/_ext/build_site.py", *words], cwd=top, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, encoding="utf-8", check=False, **options,
    )  # fmt: skip


def make(top: Path) -> Path:
    """Write the small site."""
    (top / "docs" / "_ext").mkdir(parents=True)
    for name in BUILDER:
        shutil.copy(ROOT / "docs" / "_ext" / f"{name}.py", top / "docs" / "_ext")
    for name, text in {"docs/conf.py": CONF, **PAGES}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    return top


def change(top: Path, name: str, old: str, new: str) -> None:
    """Put new words in place of old."""
    text = (top / name).read_text(encoding="utf-8")
    assert old in text
    (top / name).write_text(text.replace(old, new), encoding="utf-8")


def site(top: Path, name: str = "html") -> dict[str, bytes]:
    """Read a published site, without the checksum of MyST-NB's style sheet, which is there only after the first build."""
    html = top / "docs" / "_build" / name
    files = {path.relative_to(html).as_posix(): path for path in html.rglob("*") if path.is_file()}
    return {name: re.sub(rb"(mystnb\.\w+\.css)\?v=\w+", rb"\1", path.read_bytes()) for name, path in files.items()}


def ran(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Name the pages that a build has run, from what it said as each ended."""
    return {line.split(": ")[1].split(",")[0] for line in done.stdout.splitlines() if " s  " in line and " of " in line}


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Build the small site once; tests copy it."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing: run `nox -s docs`, which `nox -s site` does")
    top = make(tmp_path_factory.mktemp("faults") / "tree")
    done = build(top)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ran(done) == {"cells.md", "plot_it.py"}
    return shutil.copytree(top, top.with_name("good"))


def fresh_copy(saved: Path) -> Path:
    """Put a saved folder where it was built, so that Sphinx trusts what it finds."""
    top = saved.with_name("tree")
    shutil.rmtree(top, ignore_errors=True)
    return shutil.copytree(saved, top)


@pytest.fixture
def tree(good):
    """Give the small site as it was built."""
    return fresh_copy(good)


def assert_next_build_is_right(top: Path, good: Path) -> None:
    """Change a page and build: the change is there, every other file is that of the good site, and nothing is left over."""
    change(top, "docs/words.md", "[Cells]", "Changed. [Cells]")
    done = build(top)
    assert done.returncode == 0, done.stdout + done.stderr
    now, before = site(top), site(good)
    assert b"Changed." in now["words.html"]
    assert now.keys() == before.keys()
    changing = {"words.html", "_sources/words.md.txt", "searchindex.js"}
    assert [name for name in now.keys() - changing if now[name] != before[name]] == []
    left = {path.name for path in (top / "docs" / "_build").iterdir()}
    assert left == {"cache", "html", "jupyter_execute", "pages", "work"} & left


def test_what_a_cell_prints_displays_and_gives_stands_on_its_page_in_order(good):
    output = BeautifulSoup(site(good)["cells.html"], "html.parser").select_one(".cell_output").get_text()
    assert output.split() == ["the", "rate", "is", "0.25", "{'rate':", "0.25}", "0.25"]


# -- checks that fail -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def broken(good):
    """Break two pages and build; keep what the build said, and the whole folder as it was left."""
    top = fresh_copy(good)
    for name, (old, new) in BROKEN.items():
        change(top, name, old, new)
    done = build(top)
    return done, shutil.copytree(top, good.with_name("broken"))


def test_two_broken_pages_are_both_named_with_line_words_measured_and_allowed(broken, good):
    done, top = broken
    assert done.returncode == 1
    said = done.stderr
    assert "docs/cells.md:21: rate < 0.125\n    measured: 0.25\n    allowed:  0.125 = 0.125" in said
    assert "plot_it.py:17: the loss falls to 1\n    measured: 4.5\n    allowed:  1 within 0.1" in said
    assert "plot_it.py:20: it falls\n    measured: 3\n    allowed:  losses[1] = 4.5" in said
    assert site(top) == site(good)
    failed = site(top, "failed")
    assert str(good.with_name("tree") / "docs" / "_build" / "failed" / "index.html") in said
    for name in ("cells.html", "gallery/part/plot_it.html"):
        page = failed[name].decode()
        assert page.index("</h1>") < page.index("page-failed") < page.index("measured")
    assert b"the end" in failed["gallery/part/plot_it.html"]  # a page runs on after a check that fails
    assert b"page-failed" not in failed["words.html"]


def test_after_one_page_is_mended_only_that_page_is_run_again(broken):
    top = fresh_copy(broken[1])
    change(top, "docs/cells.md", *reversed(BROKEN["docs/cells.md"]))
    done = build(top)
    assert ran(done) == {"cells.md"}
    assert done.returncode == 1
    assert "plot_it.py:17" in done.stderr
    assert "cells.md" not in done.stderr
    failed = site(top, "failed")
    assert b"page-failed" not in failed["cells.html"]
    assert b"page-failed" in failed["gallery/part/plot_it.html"]
    change(top, "examples/part/plot_it.py", *reversed(BROKEN["examples/part/plot_it.py"]))
    done = build(top)
    assert ran(done) == {"plot_it.py"}
    assert done.returncode == 0, done.stderr
    assert not (top / "docs" / "_build" / "failed").exists()


def test_an_error_and_what_is_written_below_python_are_named(tree, good):
    change(tree, "docs/cells.md", "rate = 0.25", "import os; os.write(2, b'I0000 port.cc'); rate = 1 / 0")
    change(tree, "examples/part/plot_it.py", "plt.plot(losses)", "plt.plot(loses)")
    done = build(tree)
    assert done.returncode == 1
    assert "cells.md:0: nothing is written to standard error\n    measured: I0000 port.cc" in done.stderr
    assert "cells.md:12: the page runs\n    measured: ZeroDivisionError: division by zero" in done.stderr
    assert "plot_it.py:12: the page runs\n    measured: NameError: name 'loses' is not defined" in done.stderr
    assert site(tree) == site(good)


def test_a_page_whose_process_dies_is_named_and_run_again(tree):
    change(tree, "docs/cells.md", "rate = 0.25", "import os; os._exit(7)")
    done = build(tree)
    assert done.returncode == 1
    assert "cells.md:0: the page runs to its end\n    measured: its process ended with status 7" in done.stderr
    assert ran(build(tree)) == {"cells.md"}


def test_a_warning_of_sphinx_fails_the_build_as_often_as_it_is_there(tree, good):
    change(tree, "docs/words.md", "cells.md", "nowhere.md")
    for _ in range(2):
        done = build(tree)
        assert done.returncode == 1
        assert "nowhere.md" in done.stderr
        assert ran(done) == set()
    assert site(tree) == site(good)


# -- what is run again, and what is not -------------------------------------------------------------------------------


def test_code_runs_its_page_the_packages_code_every_page_and_words_none(tree):
    package = tree / "gdexplain"
    package.mkdir()
    (package / "rules.py").write_text('"""Rules."""\n\nRATE = 0.1\n', encoding="utf-8")
    assert ran(build(tree)) == {"cells.md", "plot_it.py"}
    (package / "rules.py").write_text('"""Other rules."""\n\nRATE = 0.1  # a tenth\n', encoding="utf-8")
    change(tree, "docs/cells.md", "# Cells\n", "# Cells\n\nMore words.\n")
    assert ran(build(tree)) == set()
    change(tree, "docs/cells.md", "rate = 0.25", "rate = 0.375")
    assert ran(build(tree)) == {"cells.md"}
    assert b"the rate is 0.375" in site(tree)["cells.html"]


def test_new_words_above_the_contents_reach_every_page_in_the_next_build_and_a_page_that_is_gone_is_gone(tree):
    change(tree, "docs/index.md", "```{toctree}\ncells\nwords\n", "```{toctree}\n:caption: Other words\n\ncells\n")
    (tree / "docs" / "words.md").unlink()
    assert build(tree).returncode == 0
    assert b"Other words" in site(tree)["cells.html"]
    assert "words.html" not in site(tree)


def test_a_build_from_nothing_tells_its_progress_at_once_and_makes_the_same_site(tree, good):
    done = build(tree, "--fresh")
    assert ran(done) == {"cells.md", "plot_it.py"}
    now, before = site(tree), site(good)
    differing = [name for name in now.keys() | before.keys() if now.get(name) != before.get(name)]
    assert [
        name for name in differing if not name.endswith(".zip")
    ] == []  # sphinx-gallery's holds times; `downloads` drops it
    steps = ["running 2 pages", "1 of 2: ", "2 of 2: ", "reading sources", "build succeeded", "The slowest pages:"]
    places = [done.stdout.index(step) for step in steps]
    assert places == sorted(places)


# -- what goes wrong around a build -----------------------------------------------------------------------------------


@pytest.mark.wide
def test_a_site_for_another_address_keeps_nothing_of_the_old_one(tree, good, monkeypatch):
    monkeypatch.setenv("GDEXPLAIN_BASE_URL", "https://a.org/course")
    done = build(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {b"https://a.org/course/words.html", b"https://a.org/course/cells.html"} <= {
        *re.findall(rb"<loc>(.*?)</loc>", site(tree)["sitemap.xml"])
    }
    monkeypatch.delenv("GDEXPLAIN_BASE_URL")
    assert_next_build_is_right(tree, good)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("moment", alike(["running 2 pages", "reading sources", "copying static files"]))
def test_a_build_killed_at_some_moment_leaves_the_last_good_site_and_the_next_is_right(tree, good, moment):
    shutil.rmtree(tree / "docs" / "_build" / "pages")
    shutil.rmtree(tree / "docs" / "_build" / "work")
    stop(tree, moment, signal.SIGKILL)
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


@pytest.mark.wide
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_control_c_stops_in_words(tree, good):
    shutil.rmtree(tree / "docs" / "_build" / "pages")
    status, said = stop(tree, "running 2 pages", signal.SIGINT)
    assert status == 1
    assert "Stopped." in said
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


def stop(top: Path, moment: str, sign: signal.Signals) -> tuple[int, str]:
    """Send a signal to a build and all its processes, as a terminal does, when it says some words; return how it ended."""
    # a shell has its background jobs ignore Ctrl-C, and so would whatever they start
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), "start_new_session": True}
    pipes = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    }
    with subprocess.Popen([PYTHON, "docs/_ext/build_site.py"], cwd=top, text=True, **pipes, **heed) as process:
        next(line for line in process.stdout if line.startswith(moment))
        os.killpg(process.pid, sign)
        said = process.communicate()[1]
    return process.returncode, said


@pytest.mark.wide
@pytest.mark.skipif(sys.platform != "linux" or os.name != "posix" or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_leaves_the_last_good_site(tree, good):
    work = tree / "docs" / "_build" / "work"
    shutil.rmtree(work)
    work.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", work]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no right to mount here")
    try:
        done = build(tree)
    finally:
        subprocess.run(["umount", work], check=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


def test_a_path_with_spaces_and_other_letters_builds(tree, good, tmp_path):
    moved = shutil.copytree(tree, tmp_path / "väg med mellanslag 路 #1")
    assert_next_build_is_right(moved, good)
