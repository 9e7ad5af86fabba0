"""What goes wrong around a build leaves the last good site, and the next build is right. Rows of docs/project/faults.md.

The real builder works here on a site of three pages, in the environment of `nox -s docs`, so that a build takes seconds.
`nox -s faults` does the same on copies of the whole tree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from built_site import ROOT

PYTHON = ROOT / ".nox" / "docs" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
BUILDER = [
    "ahead.py",
    "build_site.py",
    "build_state.py",
    "check_site.py",
    "kernel_config.py",
    "publishing.py",
    "recovery.py",
]
CONF = """
import sys
from pathlib import Path
DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))
import build_state, publishing, recovery
build_state.prepare_environment(DOCS / "_build")
build_state.hold_lock(DOCS / "_build" / "lock")
recovery.begin(DOCS / "_build", DOCS / "gallery")
project = html_title = "small"
extensions = ["myst_parser"]
html_theme = "furo"
html_baseurl = publishing.base_url()
exclude_patterns = ["_build"]
def setup(app):
    app.connect("build-finished", publishing.write_map)
    app.connect("build-finished", lambda app, error: recovery.end(DOCS / "_build") if error is None else None)
"""
PAGES = {
    "index.md": "# Home\n\nA page.\n\n```{toctree}\none\ntwo\n```\n",
    "one.md": "# One\n\n[Two](two.md).\n",
    "two.md": "# Two\n\n" + "A long page. " * 2000 + "\n",
}
# Run the builder with one thing changed; {change} has the modules at hand.
DRIVER = """
import builtins, errno, os, shutil, sys
from pathlib import Path
sys.path.insert(0, "docs/_ext")
import build_site
{change}
sys.exit(build_site.build())
"""


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """Build the small site once; tests copy it."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing: run `nox -s docs`, which `nox -s site` does")
    top = tmp_path_factory.mktemp("faults") / "tree"
    (top / "docs" / "_ext").mkdir(parents=True)
    for name in BUILDER:
        shutil.copy(ROOT / "docs" / "_ext" / name, top / "docs" / "_ext" / name)
    (top / "docs" / "conf.py").write_text(CONF, encoding="utf-8")
    for name, text in PAGES.items():
        (top / "docs" / name).write_text(text, encoding="utf-8")
    done = build(top)
    assert done.returncode == 0, done.stderr
    return shutil.copytree(top, top.with_name("good"))


@pytest.fixture
def tree(good):
    """Give the small site where it was built, so that Sphinx trusts what it finds, with one page changed since."""
    top = good.with_name("tree")
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(good, top)
    (top / "docs" / "one.md").write_text("# One\n\nChanged. [Two](two.md).\n", encoding="utf-8")
    return top


def build(top: Path, change: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the builder to its end."""
    what = ["docs/_ext/build_site.py"] if change is None else ["-c", DRIVER.format(change=change)]
    return subprocess.run([PYTHON, *what], cwd=top, capture_output=True, text=True, encoding="utf-8", check=False)


def site(top: Path) -> dict[str, bytes]:
    """Read the published site, without what names the folder it was built in."""
    html = top / "docs" / "_build" / "html"
    return {path.relative_to(html).as_posix(): path.read_bytes() for path in html.rglob("*") if path.is_file()}


def assert_next_build_is_right(top: Path, good: Path) -> None:
    """Build again: the changed page is there, every other file is that of the good site, and nothing is left over."""
    done = build(top)
    assert done.returncode == 0, done.stderr
    now, before = site(top), site(good)
    assert b"Changed." in now["one.html"]
    assert now.keys() == before.keys()
    changing = {"one.html", "_sources/one.md.txt", "searchindex.js"}
    assert [name for name in now.keys() - changing if now[name] != before[name]] == []
    left = {path.name for path in (top / "docs" / "_build").iterdir()}
    assert not left & {"html.new", "html.old", "unfinished"}


FAILS = """
import sys
import joblib, runpy
sys.path.insert(0, "docs/_ext")
import build_site
try:
    joblib.Parallel(2)(joblib.delayed(runpy.run_path)(sys.argv[1]) for _ in range(2))
except Exception as error:
    print(build_site.explain(error))
"""


@pytest.mark.parametrize(
    ("code", "said"), [("x = 1\n1 / 0\n", "2: ZeroDivisionError: "), ("x = 1\n\nx = = 2\n", "3: SyntaxError: ")]
)
def test_a_script_that_fails_in_a_process_of_its_own_is_named_with_the_line(code, said, tmp_path):
    script = tmp_path / "examples" / "plot_fails.py"
    script.parent.mkdir()
    script.write_text(code, encoding="utf-8")
    command = [PYTHON, "-c", FAILS, script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.startswith(f"{script}:{said}")
    assert len(done.stdout.splitlines()) == 1


def test_a_site_for_another_address_keeps_nothing_of_the_old_one(tree, good, monkeypatch):
    monkeypatch.setenv("GDEXPLAIN_BASE_URL", "https://a.org/course")
    done = build(tree)
    assert done.returncode == 0, done.stderr
    assert b"https://a.org/course/one.html" in site(tree)["sitemap.xml"]
    monkeypatch.delenv("GDEXPLAIN_BASE_URL")
    assert_next_build_is_right(tree, good)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_build_killed_at_some_moment_leaves_the_last_good_site(tree, good, share, tmp_path):
    begun = time.monotonic()
    build(shutil.copytree(tree, tmp_path / "timed"))  # how long one takes here and now
    process = subprocess.Popen([PYTHON, "docs/_ext/build_site.py"], cwd=tree, stdout=subprocess.DEVNULL)
    time.sleep(share * (time.monotonic() - begun))
    process.kill()
    process.wait()
    assert set(site(tree)) == set(site(good))
    assert_next_build_is_right(tree, good)


@pytest.mark.parametrize("rename", [1, 2])
def test_a_build_killed_between_the_renames_of_publishing_is_mended_by_the_next(tree, good, rename):
    change = "count = [0]\nold = Path.rename\ndef stop(self, to):\n    count[0] += 1\n"
    change += f"    if count[0] == {rename}: os._exit(9)\n    return old(self, to)\nPath.rename = stop"
    assert build(tree, change).returncode == 9
    assert (tree / "docs" / "_build" / "html").exists() == (rename == 1)
    failing = build(tree, "build_site._run_sphinx = lambda: ['a fault']")  # even a build that fails puts the site back
    assert failing.returncode == 1
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


def test_a_page_cut_off_by_a_kill_is_written_again(tree, good):
    pages = tree / "docs" / "_build" / "work" / "html"
    (pages / "two.html").write_bytes(b"<!doctype html><h1>Tw")
    (tree / "docs" / "_build" / "work" / "checked.json").write_text('{"cut o')
    (tree / "docs" / "_build" / "unfinished").touch()
    assert_next_build_is_right(tree, good)


FULL = "OSError(errno.ENOSPC, 'No space left on device')"
FULL_AFTER = f"""
count, old = [0], builtins.open
def full(path, mode="r", *rest, **options):
    count[0] += "w" in mode
    if "w" in mode and count[0] > {{after}}:
        raise {FULL}
    return old(path, mode, *rest, **options)
builtins.open = full
"""
FULL_FOR_PUBLISHING = f"""
def full(*_, **__):
    (build_site.BUILD / "html.new").mkdir()
    raise {FULL}
shutil.copytree = full
"""


@pytest.mark.parametrize(
    "change",
    [FULL_AFTER.format(after=0), FULL_AFTER.format(after=3), FULL_AFTER.format(after=8), FULL_FOR_PUBLISHING],
    ids=["at once", "after 3 files", "after 8 files", "when the pages are copied"],
)
def test_a_full_disk_is_said_in_words_and_leaves_the_last_good_site(tree, good, change):
    done = build(tree, change)
    assert done.returncode == 1
    assert "a file could not be written: [Errno" in done.stderr
    assert "Traceback" not in done.stderr
    assert site(tree) == site(good)
    assert not (tree / "docs" / "_build" / "html.new").exists()
    assert_next_build_is_right(tree, good)


@pytest.mark.skipif(sys.platform != "linux" or os.name != "posix" or os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_full_indeed_leaves_the_last_good_site(tree, good):
    work = tree / "docs" / "_build" / "work"
    shutil.rmtree(work)
    work.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", work], check=False, capture_output=True
    ).returncode:
        pytest.skip("no right to mount here")
    try:
        done = build(tree)
    finally:
        subprocess.run(["umount", work], check=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


def test_a_checkout_that_cannot_be_written_to_is_said_in_words(tree, good):
    change = "def refuse(*a, **k): raise OSError(errno.EROFS, 'Read-only file system', 'docs/_build/ipython')\n"
    done = build(tree, change + "build_site.build_state.prepare_environment = refuse")
    assert done.returncode == 1
    assert "a file could not be written: [Errno" in done.stderr
    assert "Read-only file system: 'docs/_build/ipython'" in done.stderr
    assert "Traceback" not in done.stderr
    assert site(tree) == site(good)


def test_a_path_with_spaces_and_other_letters_builds(tree, good, tmp_path):
    moved = shutil.copytree(tree, tmp_path / "väg med mellanslag 路 #1")
    assert_next_build_is_right(moved, good)


def test_sources_with_windows_line_ends_build_the_same_pages(tree, good):
    for path in (tree / "docs").rglob("*.*"):
        if path.suffix in {".md", ".py"} and "_build" not in path.parts:
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    done = build(tree)
    assert done.returncode == 0, done.stderr
    now, before = site(tree), site(good)
    for name in ("index.html", "two.html"):
        assert now[name] == before[name]


def test_a_second_build_is_refused_while_one_runs_and_spoils_nothing(tree, good):
    change = (
        "import time\nold = build_site._run_sphinx\ndef slow():\n    print('begun', flush=True)\n    sys.stdin.read()\n"
    )
    command = [PYTHON, "-c", DRIVER.format(change=change + "    return old()\nbuild_site._run_sphinx = slow")]
    with subprocess.Popen(command, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "begun\n"
        second = build(tree)
        first.communicate()
    assert second.returncode == 1
    assert "another build of these pages is running" in second.stderr
    assert first.returncode == 0
    assert_next_build_is_right(tree, good)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_control_c_stops_in_words(tree, good):
    # a shell has its background jobs ignore this signal, and so would whatever they start
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    command = [PYTHON, "docs/_ext/build_site.py"]
    with subprocess.Popen(command, cwd=tree, stderr=subprocess.PIPE, text=True, **heed) as process:
        while not (tree / "docs" / "_build" / "unfinished").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 1
    assert "Stopped. The last good site is as it was" in said
    assert "Traceback" not in said
    assert site(tree) == site(good)
    assert_next_build_is_right(tree, good)


# -- what a stopped build leaves in the caches of executed results ----------------------------------------------------


@pytest.fixture
def recovery():
    """Load the module that mends."""
    import recovery

    return recovery


def test_a_script_that_a_stopped_build_ran_is_run_again_and_an_older_one_is_not(recovery, tmp_path):
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for name in ("old.py.md5", "new.py.md5"):
        (gallery / name).touch()
    (tmp_path / "unfinished").touch()
    began = (tmp_path / "unfinished").stat().st_mtime
    os.utime(gallery / "old.py.md5", (began - 10, began - 10))
    os.utime(gallery / "new.py.md5", (began + 10, began + 10))
    recovery.distrust(tmp_path, gallery)
    assert [path.name for path in gallery.iterdir()] == ["old.py.md5"]


def test_an_executed_notebook_that_is_missing_or_cut_off_is_forgotten_and_a_whole_one_kept(recovery, tmp_path):
    database = tmp_path / "global.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE nbcache (pk INTEGER PRIMARY KEY, hashkey TEXT)")
    for key, text in {"whole": json.dumps({"cells": []}), "cut": '{"cells": [', "missing": None}.items():
        connection.execute("INSERT INTO nbcache (hashkey) VALUES (?)", (key,))
        if text is not None:
            (tmp_path / "executed" / key).mkdir(parents=True)
            (tmp_path / "executed" / key / "base.ipynb").write_text(text)
    connection.commit()
    recovery.forget_partial_notebooks(database)
    assert connection.execute("SELECT hashkey FROM nbcache").fetchall() == [("whole",)]
    connection.close()
    assert [path.name for path in (tmp_path / "executed").iterdir()] == ["whole"]
