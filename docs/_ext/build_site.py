"""Build the site, check it, and put it in place if it is good or aside if it is not: Sphinx only overwrites.

`python docs/_ext/build_site.py [--fresh | --links]`. Pages are written to `docs/_build/work`, which the next build goes on from.
`docs/_build/html` is the last good site, `docs/_build/failed` one that does not hold.

`GDEXPLAIN_BASE_URL` names the address that the site will have; on Read the Docs its own variable does. Without one there
are no canonical links, no map and no cards, all of which are absolute addresses or nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from check_site import check_site
from checks import CHECKS_FAILED

DOCS = Path(__file__).resolve().parents[1]
BUILD = DOCS / "_build"
VARIABLE = "GDEXPLAIN_BASE_URL"


def base_url(environment: Mapping[str, str] = os.environ) -> str:
    """Read the site's address, "" or absolute and with a slash at its end."""
    value = (environment.get(VARIABLE, "") or environment.get("READTHEDOCS_CANONICAL_URL", "")).strip()
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{VARIABLE} is {value!r}; it must be an absolute http or https address, without ? and #")
    return value.rstrip("/") + "/"


def build() -> int:
    """Run Sphinx, strictly, check what it wrote, and publish it; return 0, or 1 where anything is wrong."""
    address, began, work = base_url(), time.time(), BUILD / "work"
    pages, whole = work / ("public" if address else "html"), work / "whole"
    if not whole.exists():  # the last build was stopped, or warned, which Sphinx does only when it reads a page
        shutil.rmtree(work, ignore_errors=True)
    if address:  # the map lists only pages that are written, and cards of another address would stay
        shutil.rmtree(pages, ignore_errors=True)
    whole.unlink(missing_ok=True)
    options = ["-b", "html", "-n", "-W", "--keep-going", "-d", work / "doctrees"]
    status = subprocess.call([sys.executable, "-u", "-m", "sphinx", *options, DOCS, pages])
    if status not in {0, 1, CHECKS_FAILED}:
        print(f"\nSphinx gave up; what it wrote is not whole.{_kept()}", file=sys.stderr)
        return 1
    if status != 1:
        whole.touch()
    faults = check_site(pages, base=address)
    return _tell(pages, faults + ["Sphinx warned, see above"] * (status == 1), began)


def _tell(pages: Path, faults: list[str], began: float) -> int:
    """Publish what is good and set aside what is not; end with the slowest pages and all that failed."""
    outcomes = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in (BUILD / "pages").glob("*.json")]
    ran = [
        (about["seconds"], path.stem.replace("--", "/")) for path, about in outcomes if path.stat().st_mtime >= began
    ]
    if ran:
        print("\nThe slowest pages:", *(f"{seconds:6.1f} s  {name}" for seconds, name in sorted(ran)[:-6:-1]), sep="\n")
    failed = [(about["path"], failure) for _, about in outcomes for failure in about["failures"]]
    if not (faults or failed):
        publish(pages, BUILD / "html")
        shutil.rmtree(BUILD / "failed", ignore_errors=True)
        return 0
    for path, failure in sorted(failed, key=lambda one: (one[0], one[1]["line"])):
        allowed = f"\n    allowed:  {failure['allowed']}" * bool(failure["allowed"])
        print(
            f"{path}:{failure['line']}: {failure['claim']}\n    measured: {failure['measured']}{allowed}",
            file=sys.stderr,
        )
    publish(pages, BUILD / "failed")
    print(*faults, sep="\n", file=sys.stderr)
    print(
        f"\nThe build failed. The site with its faults is {BUILD / 'failed' / 'index.html'}.{_kept()}", file=sys.stderr
    )
    return 1


def _kept() -> str:
    return f"\n{BUILD / 'html'} is still the last good site." if (BUILD / "html").exists() else ""


def publish(new: Path, site: Path) -> None:
    """Put a copy of a folder in place of another in one step, so that nobody ever sees half of it."""
    incoming, outgoing = site.with_name(f"{site.name}.new"), site.with_name(f"{site.name}.old")
    for folder in (incoming, outgoing):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(new, incoming, ignore=shutil.ignore_patterns(".buildinfo*"))  # it is about the folder built in
    if site.exists():
        site.rename(outgoing)
    incoming.rename(site)
    shutil.rmtree(outgoing, ignore_errors=True)


def main(words: list[str]) -> int:
    """Build, from nothing if `--fresh` is asked for, and say where the site is."""
    if "--fresh" in words:
        for folder in (*(BUILD / name for name in ("work", "serve", "pages", "cache")), DOCS / "gallery"):
            shutil.rmtree(folder, ignore_errors=True)
    if "--links" in words:  # to other sites
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "linkcheck", DOCS, BUILD / "links"]
        return subprocess.call(command)
    try:
        status = build()
    except OSError as error:
        print(f"a file could not be read or written: {error}{_kept()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped.{_kept()}", file=sys.stderr)
        return 1
    if status == 0:
        index = BUILD / "html" / "index.html"
        print(f"\nThe site is built: {index}\nOpen {index.as_uri()} in a browser, or serve it with `nox -s serve`.")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
