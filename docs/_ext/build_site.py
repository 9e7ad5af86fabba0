"""Build the site, check it, and put it in place only if it is good: `python docs/_ext/build_site.py`.

Pages are written to `docs/_build/work`, which the next build goes on from. `docs/_build/html` is the last good site.
"""

from __future__ import annotations

import re
import shutil
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import build_state
from check_site import check_site
from sphinx.application import Sphinx
from sphinx.errors import ConfigError, ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

DOCS = Path(__file__).resolve().parents[1]
BUILD = DOCS / "_build"
WORK = BUILD / "work"


def build() -> int:
    """Build, check and publish; return 0, or 1 after a failure, with the published site as it was."""
    build_state.prepare_environment(BUILD)
    try:
        build_state.hold_lock(BUILD / "lock")
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    faults = _run_sphinx() or [str(fault) for fault in check_site(WORK / "html", cache=WORK / "checked.json")]
    if faults:
        # Sphinx warns about a page only when it reads it: forget what it read, so that the next build says it again.
        shutil.rmtree(WORK / "doctrees", ignore_errors=True)
        kept = f"\n{BUILD / 'html'} is still the last good site." if (BUILD / "html").exists() else ""
        print(*faults, f"\nThe build failed.{kept}", sep="\n", file=sys.stderr)
        return 1
    publish(WORK / "html", BUILD / "html")
    return 0


def _run_sphinx() -> list[str]:
    """Run Sphinx, strictly, and say what went wrong besides the warnings that it printed itself."""
    try:
        with patch_docutils(DOCS), docutils_namespace():
            app = Sphinx(
                DOCS,
                DOCS,
                WORK / "html",
                WORK / "doctrees",
                "html",
                {"nitpicky": True},
                status=None,
                warningiserror=True,
            )
            app.build()
        return ["Sphinx warned, see above"] * bool(app.statuscode)
    except Exception as error:  # noqa: BLE001  # a page may fail in any way; `explain` says how
        return [explain(error)]


def explain(error: BaseException) -> str:
    """Say in few words why a build stopped: the file and line where a page's own code failed."""
    causes = [error]
    while (cause := causes[-1].__cause__ or getattr(causes[-1], "orig_exc", None)) is not None:
        causes.append(cause)
    cell = causes[-1]
    if type(cell).__name__ == "CellExecutionError":
        page = Path(str(causes[-2]))
        return f"{locate(page, _plain(cell.traceback))}: {cell.ename}: {cell.evalue}"
    if isinstance(cell, (ConfigError, ExtensionError)):
        return str(cell)
    frames = [
        frame for frame in traceback.extract_tb(cell.__traceback__) if "/examples/" in Path(frame.filename).as_posix()
    ]
    if frames:
        return f"{frames[-1].filename}:{frames[-1].lineno}: {type(cell).__name__}: {cell}"
    return "".join(traceback.format_exception(error))


def _plain(text: str) -> str:
    """Remove a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def locate(page: Path, text: str) -> str:
    """Turn IPython's "Cell In[3], line 2" into a line of the page that the cell stands on."""
    found = re.search(r"Cell In\[(\d+)\], line (\d+)", text) or re.search(
        r"Input In \[(\d+)\].*?line (\d+)", text, re.DOTALL
    )
    lines = page.read_text(encoding="utf-8").splitlines()
    fences = [number for number, line in enumerate(lines, 1) if re.match(r"[`:]{3,}\{code-cell\}", line)]
    if not found or int(found[1]) > len(fences):
        return str(page)
    first = fences[int(found[1]) - 1] + 1
    if lines[first - 1].strip() == "---":  # the cell's settings stand between two such lines
        first = lines.index("---", first) + 2
    while lines[first - 1].startswith(":"):
        first += 1
    return f"{page}:{first + int(found[2]) - 1}"


def publish(new: Path, site: Path) -> None:
    """Put a copy of a folder in place of another in one step, so that nobody ever sees half of it."""
    incoming, outgoing = site.with_name("html.new"), site.with_name("html.old")
    for folder in (incoming, outgoing):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(new, incoming, ignore=shutil.ignore_patterns(".buildinfo*"))  # it is about the folder built in
    if site.exists():
        site.rename(outgoing)
    incoming.rename(site)
    shutil.rmtree(outgoing, ignore_errors=True)


if __name__ == "__main__":
    status = build()
    if status == 0:
        index = BUILD / "html" / "index.html"
        print(f"\nThe site is built: {index}\nOpen {index.as_uri()} in a browser, or serve it with `nox -s serve`.")
    sys.exit(status)
