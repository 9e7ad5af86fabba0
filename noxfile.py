#!/usr/bin/env -S uv run --script

# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Every task of the project: `nox -l` lists them, `nox -s docs` runs one."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"  # `_install` sees to it that none is stale
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).resolve().parent
SITE = ROOT / "docs" / "_build" / "html"
LOCKS = {
    # lock: what `uv pip compile` resolves for it
    "docs": ["--extra", "cpu", "--group", "serve"],
    "tests": ["--extra", "cpu", "--group", "test", "--group", "typing", "--group", "browser"],
    "lint": ["--group", "lint", "--group", "build"],
}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every kernel and every test run would compile everything again
os.environ["UV_COMPILE_BYTECODE"] = "1"
QUIET = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}


def _install(session: nox.Session, lock: str, *, project: bool = True) -> None:
    """Install a hashed lock, and the project, unless this environment already holds exactly that."""
    session.env.update(QUIET)
    path = ROOT / "requirements" / f"{lock}.txt"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = [path.read_text(encoding="utf-8"), str(ROOT), settings["build-system"], settings["project"]]
    wanted = hashlib.sha256(repr(installed).encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed-from"
    if stamp.exists():
        if stamp.read_text() == wanted:
            return
        session.log(f"{path.name} or pyproject.toml has changed: making the environment anew")
        session.virtualenv.reuse_existing = False
        session.virtualenv.create()
    session.install("--require-hashes", "-r", str(path))
    if project:
        session.install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    stamp.write_text(wanted)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, strictly, and say where it is."""
    _install(session, "docs")
    session.run("python", "docs/_ext/build_site.py")


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Serve the site on this machine and rebuild it at every change."""
    _install(session, "docs")
    out = ROOT / "docs" / "_build" / "serve"
    ignored = [f"docs/{name}" for name in ("_build", "gallery", "reference/generated", "sg_execution_times.rst")]
    session.run(
        *("sphinx-autobuild", "-n", "-q", "-d", str(out / "doctrees"), "docs", str(out / "html")),
        *("--host", "127.0.0.1", "--watch", "gdexplain", "--watch", "examples"),
        *(word for name in ignored for word in ("--ignore", str(ROOT / name))),
        *(session.posargs or ["--port", "8000"]),
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Test the package, with branch coverage."""
    _install(session, "tests")
    session.run(
        "pytest",
        "--ignore=tests/site",
        "--ignore=tests/browser",
        "--cov",
        "--cov-report=term-missing:skip-covered",
        *session.posargs,
    )


@nox.session(requires=["docs"])
def site(session: nox.Session) -> None:
    """Build the site if needed and test it, in a browser too."""
    _install(session, "tests")
    session.run("pytest", "tests/site", *session.posargs)


@nox.session(requires=["docs"])
def browser(session: nox.Session) -> None:
    """Test the explorables of the built site in a browser, against Keras."""
    _install(session, "tests")
    session.run("pytest", "tests/browser", *session.posargs, env={"GDEXPLAIN_SITE": str(SITE)})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling and the project's set-up."""
    _install(session, "lint", project=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("python", "docs/_ext/check_prose.py")
    session.run("repo-review", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types, strictly."""
    _install(session, "tests")
    session.run("mypy", *session.posargs)


@nox.session(requires=["docs"])
def html(session: nox.Session) -> None:
    """Validate the HTML of the built site."""
    _install(session, "docs")
    session.run("python", "tests/html/check_html.py")


@nox.session(default=False, requires=["docs"])
def lighthouse(session: nox.Session) -> None:
    """Measure three pages of the built site (or those named) with Lighthouse."""
    _install(session, "docs")
    session.run("python", "tests/lighthouse/serve_and_measure.py", *session.posargs)


@nox.session
def javascript(session: nox.Session) -> None:
    """Check the types of the explorables' scripts with TypeScript."""
    _install(session, "docs")
    session.run("python", "docs/_ext/check_types.py")


@nox.session(default=False)
def reproducible(session: nox.Session) -> None:
    """Build the site twice from nothing, in different folders, and compare every byte."""
    _install(session, "docs")
    sites = []
    for name in ("one", "another-folder"):
        copy = Path(session.create_tmp()).resolve() / name / "gdexplain"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        for entry in ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff"):
            if (ROOT / entry).exists():
                shutil.copy(ROOT / entry, copy)
        made = shutil.ignore_patterns("__pycache__", "_build", "gallery", "generated", "sg_execution_times.rst")
        for entry in ("docs", "examples", "gdexplain", "requirements"):
            shutil.copytree(ROOT / entry, copy / entry, ignore=made)
        session.run("python", str(copy / "docs" / "_ext" / "build_site.py"), env={"PYTHONPATH": str(copy)})
        sites.append(copy / "docs" / "_build" / "html")
    names = [{path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()} for top in sites]
    differing = names[0] ^ names[1]
    differing |= {
        name for name in names[0] & names[1] if not filecmp.cmp(*(top / name for top in sites), shallow=False)
    }
    if differing:
        session.error("these files differ between two builds:\n" + "\n".join(sorted(differing)))
    session.log(f"two clean builds agree in every byte of {len(names[0])} files")


@nox.session(default=False)
def linkcheck(session: nox.Session) -> None:
    """Try every link that leads to another site."""
    _install(session, "docs")
    work = ROOT / "docs" / "_build"
    session.run(
        "sphinx-build", "-q", "-b", "linkcheck", "-d", str(work / "doctrees-linkcheck"), "docs", str(work / "linkcheck")
    )


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel into dist/, and check both."""
    _install(session, "lint", project=False)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation")
    files = [str(path) for path in sorted((ROOT / "dist").iterdir())]
    session.run("check-wheel-contents", "dist")
    session.run("twine", "check", "--strict", *files)


@nox.session(default=False, venv_backend="none")
def lock(session: nox.Session) -> None:
    """Renew the hashed locks in requirements/ (`-- --upgrade` for newer versions)."""
    options = ["--universal", "--python-version=3.11", "--fork-strategy=fewest", "--generate-hashes", "--no-header"]
    options += ["--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    for name, choice in LOCKS.items():
        target = f"requirements/{name}.txt"
        session.run("uv", "pip", "compile", *options, *choice, "pyproject.toml", "-o", target, *session.posargs)


if __name__ == "__main__":
    nox.main()
