"""Try what goes wrong around a build on copies of the whole tree: `nox -s faults`, or `nox -s faults -- offline full`.

tests/site/test_faults.py does the same in seconds on a site of three pages. Here the real pages are built, from results
that have been executed already. What needs Linux and root says so, and is left out elsewhere.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LEFT_OUT = ("__pycache__", ".git", ".nox", ".cache", ".venv", "work", "serve", ".mypy_cache")
_BUILD = (sys.executable, "docs/_ext/build_site.py")


def copy(folder: Path, name: str = "gdexplain") -> Path:
    """Copy the tree with its executed results, and change one page."""
    tree = folder / name
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    page = tree / "docs" / "project" / "index.md"
    page.write_text(page.read_text(encoding="utf-8") + "\nChanged by a trial.\n", encoding="utf-8")
    return tree


def build(tree: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Run the builder to its end, through another command if one is given."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run([*before, *_BUILD], cwd=tree, env=environment, capture_output=True, text=True, check=False)


def expect(done: subprocess.CompletedProcess[str], status: int, words: str) -> None:
    """Hold a finished build to its exit status and to what it said."""
    said = done.stdout + done.stderr
    if done.returncode != status or words not in said:
        raise AssertionError(f"expected {status} and {words!r}, got {done.returncode}:\n{said[-3000:]}")


def pages(tree: Path) -> dict[str, bytes]:
    """Read every file of the published site."""
    site = tree / "docs" / "_build" / "html"
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def right(tree: Path) -> None:
    """Build once more: it succeeds, the change is there, and no file has gone."""
    expect(build(tree), 0, "The site is built")
    assert b"Changed by a trial." in pages(tree)["project/index.html"]
    if differing := pages(tree).keys() ^ pages(ROOT).keys():
        raise AssertionError(f"these files are on one of the two sites only: {', '.join(sorted(differing)[:20])}")


def broken(folder: Path) -> None:
    """Break a check of two pages; both are named in one run, and the last good site stays."""
    tree = copy(folder)
    before = pages(tree)
    for name in ("docs/tutorial/batch.md", "examples/variants/plot_batch.py"):
        page = tree / name
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("\nassert ", "\nassert not ", 1), encoding="utf-8")
    done = build(tree)
    for name in ("docs/tutorial/batch.md:", "examples/variants/plot_batch.py:"):
        expect(done, 1, name)
    assert pages(tree) == before
    assert b"page-failed" in (tree / "docs" / "_build" / "failed" / "tutorial" / "batch.html").read_bytes()


def killed(folder: Path) -> None:
    """Kill a build at several moments; the last good site is whole each time, and the next build is right."""
    tree = copy(folder)
    before = pages(tree)
    for seconds in (2, 6, 12, 20):
        environment = os.environ | {"PYTHONPATH": str(tree)}
        process = subprocess.Popen(_BUILD, cwd=tree, env=environment, start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert pages(tree) == before or b"Changed by a trial." in pages(tree)["project/index.html"]
    right(tree)


def full(folder: Path) -> None:
    """Give the pages a disk that is too small (root, Linux)."""
    tree = copy(folder)
    before = pages(tree)
    work = tree / "docs" / "_build" / "work"
    work.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", work], check=True)
    try:
        expect(build(tree), 1, "No space left on device")
    finally:
        subprocess.run(["umount", work], check=True)
    assert pages(tree) == before
    right(tree)


def unwritable(folder: Path) -> None:
    """Mount the checkout read-only (root, Linux)."""
    tree = copy(folder)
    subprocess.run(["mount", "--bind", tree, tree], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tree], check=True)
        expect(build(tree), 1, "Read-only file system")
    finally:
        subprocess.run(["umount", tree], check=True)
    right(tree)


def offline(folder: Path) -> None:
    """Build in a network namespace that has no network at all (root, Linux)."""
    tree = copy(folder)
    expect(build(tree, "unshare", "--net"), 0, "The site is built")
    right(tree)


def path(folder: Path) -> None:
    """Build in a folder whose name has spaces and letters beyond ASCII."""
    right(copy(folder, "väg med mellanslag 路 #1"))


def lines(folder: Path) -> None:
    """Give every page, script and lock Windows line ends; the pages are the same."""
    tree = copy(folder)
    for top in ("docs", "examples", "requirements"):
        for file in (tree / top).rglob("*"):
            made = {"_build", "gallery"} & {*file.relative_to(tree).parts}
            if file.suffix in {".md", ".py", ".rst", ".txt", ".bib", ".js", ".css"} and not made:
                file.write_bytes(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    right(tree)


def port(_: Path) -> None:
    """Ask for a port that is taken (the server is that of `nox -s serve`)."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        command = [sys.executable, "tools/check_port.py", number]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    expect(done, 1, f"port {number} of this machine is taken")


TRIALS = {trial.__name__: trial for trial in (broken, killed, full, unwritable, offline, path, lines, port)}


def main(arguments: list[str]) -> int:
    """Try the faults named, or all."""
    parser = argparse.ArgumentParser(description="Try what goes wrong around a build.")
    parser.add_argument("trials", nargs="*", help=", ".join(TRIALS))
    names = parser.parse_args(arguments).trials or list(TRIALS)
    unknown = [name for name in names if name not in TRIALS]
    if unknown:
        parser.error(f"no such trial: {', '.join(unknown)}; choose from {', '.join(TRIALS)}")
    may_mount = sys.platform == "linux" and os.geteuid() == 0
    failed = 0
    for name in names:
        if "(root, Linux)" in (TRIALS[name].__doc__ or "") and not may_mount:
            print(f"left out, it needs Linux and root: {name}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                TRIALS[name](Path(folder))
                print(f"passed: {name}", flush=True)
            except (AssertionError, OSError, subprocess.CalledProcessError) as error:
                failed += 1
                print(f"FAILED: {name}: {error}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
