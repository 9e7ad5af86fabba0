#!/usr/bin/env -S uv run --script

# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Every task of the project: `nox -l` lists them, `nox -s docs` runs one."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import sys
from pathlib import Path

import nox

if not (3, 11) <= sys.version_info < (3, 14):
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(
        f"gdexplain needs Python 3.11, 3.12 or 3.13 (TensorFlow has wheels for no other), and this nox runs in Python {found}"
        f" ({sys.executable}).\nInstall nox in one of these: python3.11 -m pip install 'nox[uv]' && python3.11 -m nox -s docs"
        "\nWith uv there is nothing to install: uv run noxfile.py -s docs"
    )

import tomllib

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"  # `_install` sees to it that none is stale
nox.options.error_on_missing_interpreters = True

ROOT = Path(__file__).resolve().parent
LOCKS = {
    # lock: what `uv pip compile` resolves for it
    "docs": ["--extra", "cpu", "--group", "serve"],
    "tests": ["--extra", "cpu", "--group", "test", "--group", "typing", "--group", "browser"],
    "lint": ["--group", "lint", "--group", "build"],
    "bench": ["--extra", "cpu", "--group", "bench"],
}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every kernel and every test run would compile everything again
os.environ["UV_COMPILE_BYTECODE"] = "1"
# What `pip install "nox[uv]"` put beside nox, which need not be on the PATH; the tests run downloads with it.
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])) or ""
NO_SITE = ["--ignore=tests/site"]  # which tests a site that is built
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


def _python_of_tests(session: nox.Session) -> str:
    """Give the Python of the session `tests`, which others use too: one environment less for each."""
    session.env.update(QUIET)
    session.run(sys.executable, "-m", "nox", "-s", "tests", "--install-only", silent=True)
    return str(ROOT / ".nox" / "tests" / ("Scripts" if os.name == "nt" else "bin") / "python")


def _install_without_locks(session: nox.Session, *options: str) -> None:
    """Install what the tests need, as one who has no locks does, and the project."""
    session.env.update(QUIET)
    session.install("--upgrade", *options, "--extra=cpu", "--group=test", "--requirements=pyproject.toml")
    session.install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, strictly, and say where it is (`-- --fresh` begins from nothing, `-- --links` tries every link)."""
    _install(session, "docs")
    session.run("python", "docs/_ext/build_site.py", *session.posargs)


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Serve the site on this machine and rebuild it at every change."""
    _install(session, "docs")
    words = session.posargs or ["--port", "8000"]
    if "--port" in words[:-1]:  # `--port 0` takes a free one
        session.run("python", "tools/check_port.py", words[words.index("--port") + 1])
    out = ROOT / "docs" / "_build" / "serve"
    ignored = [f"docs/{name}" for name in ("_build", "gallery", "sg_execution_times.rst")]
    session.run(
        *("sphinx-autobuild", "-n", "-d", str(out / "doctrees"), "docs", str(out / "html")),
        *("--host", "127.0.0.1", "--watch", "gdexplain", "--watch", "examples"),
        *(word for name in ignored for word in ("--ignore", str(ROOT / name))),
        *words,
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Test the package (`-- -m ""` tries all of many cases alike, `-- --cov` counts branches too)."""
    _install(session, "tests")
    session.run("pytest", *NO_SITE, "-n2", "--dist=loadfile", *session.posargs)


@nox.session(default=False, venv_backend="uv")
def oldest(session: nox.Session) -> None:
    """Test the package with the oldest parts that it promises to work with."""
    _install_without_locks(session, "--resolution=lowest-direct")
    # Parts as old as these were not made for the newest of what they need in turn, and say so in warnings.
    session.run("pytest", *NO_SITE, "-W", "default", *session.posargs)


@nox.session(default=False, venv_backend="uv")
def newest(session: nox.Session) -> None:
    """Test the package with the newest of everything."""
    _install_without_locks(session)
    session.run("pytest", *NO_SITE, *session.posargs)


@nox.session(requires=["docs"], venv_backend="none")
def site(session: nox.Session) -> None:
    """Build the site if needed and test it: its HTML, in a browser, and the explorables against Keras."""
    python = _python_of_tests(session)
    session.run(python, "-m", "pytest", "tests/site", "-n2", "--dist=loadfile", *session.posargs, env={"UV": UV})


@nox.session(requires=["docs"], default=False, venv_backend="none")
def downloads(session: nox.Session) -> None:
    """Run every download of the built site in a clean environment (some minutes)."""
    python = _python_of_tests(session)
    options = ["tests/site/test_downloads.py", "-k", "runs", "--durations=0", "--durations-min=0.5"]
    session.run(python, "-m", "pytest", *options, *session.posargs, env={"UV": UV, "GDEXPLAIN_DOWNLOADS": "every"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling and the project's set-up."""
    _install(session, "lint", project=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("zizmor", "--offline", "--quiet", "--persona=pedantic", ".github")
    session.run("python", "tools/check_prose.py")
    session.run("repo-review", ".")
    session.run("deptry", ".")


@nox.session(venv_backend="none")
def typing(session: nox.Session) -> None:
    """Check the types, strictly: the package's with mypy, the explorables' with TypeScript."""
    python = _python_of_tests(session)
    session.run(python, "-m", "mypy", *session.posargs)
    session.run(python, "tools/check_types.py")


@nox.session(default=False, venv_backend="virtualenv")
def bench(session: nox.Session) -> None:
    """Measure speed and renew the table of the benchmark page (`-- --torch` installs PyTorch too)."""
    _install(session, "bench")
    words = list(session.posargs)
    if "--torch" in words:  # by pip: it heeds the index or the local wheels that you have set up for the CPU build
        words.remove("--torch")
        session.install("torch")
    session.run("python", "-m", "benchmarks", *words)


@nox.session(name="diagnose-score", default=False, venv_backend="none")
def diagnose_score(session: nox.Session) -> None:
    """Count how often `diagnose` names the fault, and where there is none, and renew its table (`-- mutants`: a part)."""
    session.run(_python_of_tests(session), "-W", "ignore", "-m", "benchmarks.diagnose_score", *session.posargs)


@nox.session(default=False)
def robust(session: nox.Session) -> None:
    """Run every page under other arithmetic and other chance (`-- plot_edge seed` runs a part)."""
    _install(session, "docs")
    session.run("python", "-m", "tools.robust", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel into dist/, twice, check both, and list every part beside them (CycloneDX)."""
    _install(session, "lint", project=False)
    folders = ROOT / "dist", Path(session.create_tmp()).resolve() / "again"
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "build", "--no-isolation", "--outdir", str(folder), silent=True)
    files = [str(path) for path in sorted(folders[0].iterdir())]
    differing = [file for file in files if not filecmp.cmp(file, folders[1] / Path(file).name, shallow=False)]
    if differing:
        session.error("these archives differ between two builds: " + ", ".join(differing))
    session.run("check-wheel-contents", "dist")
    session.run("twine", "check", "--strict", *files)
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible", "--of", "JSON"]
    for name in ("docs", "tests"):
        command = ["cyclonedx-py", "requirements", f"requirements/{name}.txt", *options]
        quiet = {"PYTHONWARNINGS": "ignore::UserWarning"}  # a list of parts has no graph, and need not
        session.run(*command, "-o", f"dist/gdexplain-{name}.cdx.json", env=quiet)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Renew the hashed locks in requirements/ (`-- --upgrade`), or look them up among known vulnerabilities (`-- --audit`)."""
    if "--audit" in session.posargs:
        _install(session, "lint", project=False)
        for name in LOCKS:
            session.run("pip-audit", "--require-hashes", "--disable-pip", "-r", f"requirements/{name}.txt")
        return
    options = ["--universal", "--python-version=3.11", "--fork-strategy=fewest", "--generate-hashes", "--no-header"]
    options += ["--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    for name, choice in LOCKS.items():
        target = f"requirements/{name}.txt"
        session.run(
            UV, "pip", "compile", *options, *choice, "pyproject.toml", "-o", target, *session.posargs, external=True
        )


if __name__ == "__main__":
    nox.main()
