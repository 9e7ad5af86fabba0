"""Build the site, check it, and put it in place only if it is good: `python docs/_ext/build_site.py`.

Pages are written to `docs/_build/work`, which the next build goes on from. `docs/_build/html` is the last good site.
"""

from __future__ import annotations

import gc
import re
import shutil
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import ahead
import build_state
import publishing
import recovery
from check_site import check_site
from sphinx.application import Sphinx
from sphinx.errors import ConfigError, ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

DOCS = Path(__file__).resolve().parents[1]
BUILD = DOCS / "_build"
WORK = BUILD / "work"


def build() -> int:
    """Build, check and publish; return 0, or 1 after a failure, with the published site as it was."""
    # Sphinx holds millions of nodes; to look for dead ones among them as often as by default costs a twelfth of the time.
    gc.set_threshold(200_000, 20, 50)
    try:
        build_state.prepare_environment(BUILD)
        build_state.hold_lock(BUILD / "lock")
        recovery.begin(BUILD, DOCS / "gallery")
    except (ConfigError, OSError) as error:  # nothing has been touched, and what is there may belong to another build
        print(explain(error), file=sys.stderr)
        return 1
    try:
        _forget_another_address()
        faults = _run_sphinx() or list(
            map(str, check_site(WORK / "html", base=publishing.base_url(), cache=WORK / "checked.json"))
        )
        if not faults:
            publish(WORK / "html", BUILD / "html")
            return 0
    except OSError as error:
        faults = [explain(error)]
    # Sphinx warns about a page only when it reads it: forget what it read, so that the next build says it again.
    shutil.rmtree(WORK / "doctrees", ignore_errors=True)
    kept = f"\n{BUILD / 'html'} is still the last good site." if (BUILD / "html").exists() else ""
    print(*faults, f"\nThe build failed.{kept}", sep="\n", file=sys.stderr)
    return 1


def _forget_another_address() -> None:
    """Begin the pages anew if the site's address has changed: its map and its cards name the old one, or are not wanted."""
    note, address = WORK / "address", publishing.base_url()
    if note.exists() and note.read_text(encoding="utf-8") != address:
        shutil.rmtree(WORK / "html", ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    note.write_text(address, encoding="utf-8")


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
        faults = ["Sphinx warned, see above"] * bool(app.statuscode)
    except Exception as error:  # noqa: BLE001  # a page may fail in any way; `explain` says how
        faults = [explain(error)]
    finally:
        ahead.give_up()
    if not any(map(recovery.no_room, faults)):
        recovery.end(BUILD)  # a page that is wrong leaves nothing half written; a full disk does
    return faults


def explain(error: BaseException) -> str:
    """Say in few words why a build stopped: the file and line where a page's own code failed."""
    causes = [error]
    while (cause := causes[-1].__cause__ or getattr(causes[-1], "orig_exc", None)) is not None:
        causes.append(cause)
    # An error from another process carries the text of its traceback as its cause.
    cell = causes[-2 if type(causes[-1]).__name__ == "_RemoteTraceback" else -1]
    if refused := next(filter(recovery.no_room, causes), None):
        return f"a file could not be written: {_one_line(refused)}"
    if type(cell).__name__ == "CellExecutionError":
        page = Path(str(causes[-2]))
        return f"{locate(page, _plain(cell.traceback))}: {cell.ename}: {cell.evalue}"
    if isinstance(cell, (ConfigError, ExtensionError)):
        return str(cell)
    if isinstance(cell, PermissionError):
        return f"a file could not be written; the site is built inside this checkout, which must be yours: {cell}"
    whole = "".join(traceback.format_exception(error))
    places = re.findall(r'File "([^"\n]*[\\/]examples[\\/][^"\n]+)", line (\d+)', whole)
    if places:
        return f"{':'.join(places[-1])}: {type(cell).__name__}: {cell}"
    return whole


def _one_line(error: BaseException) -> str:
    """Say an error of the system, which may have come from another process with its whole traceback, in one line."""
    found = re.search(r"\[Errno \d+\][^\n]{,200}", str(error))
    return found[0] if found else str(error)


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
    recovery.put_back(site)
    try:
        shutil.copytree(new, incoming, ignore=shutil.ignore_patterns(".buildinfo*"))  # it is about the folder built in
    except OSError:
        shutil.rmtree(incoming, ignore_errors=True)  # the disk is full: take no more of it than before
        raise
    if site.exists():
        site.rename(outgoing)
    incoming.rename(site)  # whoever is stopped before this line leaves html.old, and the next build puts it back
    shutil.rmtree(outgoing, ignore_errors=True)


if __name__ == "__main__":
    try:
        status = build()
    except KeyboardInterrupt:
        sys.exit("\nStopped. The last good site is as it was; the next build mends what this one left half done.")
    if status == 0:
        index = BUILD / "html" / "index.html"
        print(f"\nThe site is built: {index}\nOpen {index.as_uri()} in a browser, or serve it with `nox -s serve`.")
    sys.exit(status)
