#!/usr/bin/env -S uv run --script

# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["nox[uv]>=2025.2.9"]
# ///
"""Every task of the project: `nox -l` lists them, `nox -s docs` runs one."""

from __future__ import annotations

import filecmp
import hashlib
import json
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
SITE = ROOT / "docs" / "_build" / "html"
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
NO_SITE = ["--ignore=tests/site", "--ignore=tests/browser"]  # these test a site that is built
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


def _install_without_locks(session: nox.Session, *options: str) -> None:
    """Install what the tests need, as one who has no locks does, and the project."""
    session.env.update(QUIET)
    session.install("--upgrade", *options, "--extra=cpu", "--group=test", "--requirements=pyproject.toml")
    session.install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, strictly, and say where it is (`-- --fresh` begins from nothing)."""
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
    """Test the package, with branch coverage."""
    _install(session, "tests")
    session.run(
        "pytest",
        *NO_SITE,
        *("-n2", "--dist=loadfile"),
        "--cov",
        "--cov-report=term-missing:skip-covered",
        *session.posargs,
    )


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


@nox.session(requires=["docs"])
def site(session: nox.Session) -> None:
    """Build the site if needed and test it, in a browser too."""
    _install(session, "tests")
    session.run("pytest", "tests/site", "-n2", "--dist=loadfile", *session.posargs, env={"UV": UV})


@nox.session(requires=["docs"], default=False)
def downloads(session: nox.Session) -> None:
    """Run every download of the built site in a clean environment (some minutes)."""
    _install(session, "tests")
    options = ["tests/site/test_downloads.py", "-k", "runs", "--durations=0", "--durations-min=0.5"]
    session.run("pytest", *options, *session.posargs, env={"UV": UV, "GDEXPLAIN_DOWNLOADS": "every"})


@nox.session(requires=["docs"])
def browser(session: nox.Session) -> None:
    """Test the explorables of the built site in a browser, against Keras."""
    _install(session, "tests")
    session.run("pytest", "tests/browser", "-n2", *session.posargs, env={"GDEXPLAIN_SITE": str(SITE)})


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
        for entry in ("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE"):
            if (ROOT / entry).exists():
                shutil.copy(ROOT / entry, copy)
        made = shutil.ignore_patterns("__pycache__", "_build", "gallery", "sg_execution_times.rst")
        # The tests too: a script that is no page names its test.
        for entry in ("docs", "examples", "gdexplain", "requirements", "tests"):
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


@nox.session(default=False, venv_backend="virtualenv")
def bench(session: nox.Session) -> None:
    """Measure speed and renew the table of the benchmark page (`-- --torch` installs PyTorch too)."""
    _install(session, "bench")
    words = list(session.posargs)
    if "--torch" in words:  # by pip: it heeds the index or the local wheels that you have set up for the CPU build
        words.remove("--torch")
        session.install("torch")
    session.run("python", "-m", "benchmarks", *words)


@nox.session(name="diagnose-score", default=False)
def diagnose_score(session: nox.Session) -> None:
    """Count how often `diagnose` names the fault, and where there is none, and renew its table (`-- mutants`: a part)."""
    _install(session, "tests")
    session.run("python", "-W", "ignore", "-m", "benchmarks.diagnose_score", *session.posargs)


@nox.session(default=False)
def robust(session: nox.Session) -> None:
    """Run every page under other arithmetic and other chance (`-- plot_edge seed` runs a part)."""
    _install(session, "docs")
    session.run("python", "-m", "tools.robust", *session.posargs)


@nox.session(default=False)
def gettext(session: nox.Session) -> None:
    """Renew the catalogues of translated pages (`-- es tutorial/setup` starts one)."""
    _install(session, "docs")
    session.run("python", "docs/_ext/catalogues.py", *session.posargs)


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
    """Build the sdist and the wheel into dist/, twice, and check both."""
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


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Look up every locked version among known vulnerabilities (it asks a service on the network)."""
    _install(session, "lint", project=False)
    report = Path(session.create_tmp()).resolve() / "report.json"
    found, unknown = [], 0
    for name in LOCKS:
        command = ["pip-audit", "--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=15"]
        options = ["-r", f"requirements/{name}.txt", "--format=json", "--output", str(report), *session.posargs]
        report.unlink(missing_ok=True)
        said = session.run(*command, *options, silent=True, success_codes=[0, 1])
        if not report.exists():
            session.skip(f"nothing could be looked up: {str(said).strip()[-300:]}")
        parts = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        unknown += sum("skip_reason" in part for part in parts)
        found += [f"{part['name']} {part['version']}: {flaw['id']}" for part in parts for flaw in part.get("vulns", ())]
        session.log(f"{name}: {sum('vulns' in part for part in parts)} of {len(parts)} parts looked up")
    if found:
        session.error(
            "known vulnerabilities; `nox -s lock -- --upgrade` may be enough:\n" + "\n".join(sorted({*found}))
        )
    if unknown:
        session.skip(
            f"the service did not know {unknown} of the parts (is it a mirror?), so nothing is sure about them"
        )


@nox.session(default=False)
def sbom(session: nox.Session) -> None:
    """List every part that the package is tested and the site is built with, as CycloneDX, into dist/."""
    _install(session, "lint", project=False)
    (ROOT / "dist").mkdir(exist_ok=True)
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible", "--of", "JSON"]
    for name in ("docs", "tests"):
        target = f"dist/gdexplain-{name}.cdx.json"
        command = ["cyclonedx-py", "requirements", f"requirements/{name}.txt", *options, "-o", target]
        session.run(
            *command, env={"PYTHONWARNINGS": "ignore::UserWarning"}
        )  # a list of parts has no graph, and need not


@nox.session(name="new-page", default=False, venv_backend="none")
def new_page(session: nox.Session) -> None:
    """Start a page of the gallery: `-- theory my-claim`, and `--dry-run` to see what would be written."""
    session.run(sys.executable, "tools/new_page.py", *session.posargs, external=True)


@nox.session(default=False, requires=["docs"])
def picture(session: nox.Session) -> None:
    """Take the README's picture of the home page, from the built site, in Chromium."""
    _install(session, "tests")
    session.run("python", "tools/take_picture.py", *session.posargs)


@nox.session(default=False, requires=["docs"])
def faults(session: nox.Session) -> None:
    """Try each fault of docs/project/faults.md on copies of the real tree (minutes; some need root)."""
    _install(session, "docs")
    session.run("python", "tools/try_faults.py", *session.posargs)


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
