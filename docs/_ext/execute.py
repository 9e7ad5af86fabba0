"""Run the code of all pages ahead of Sphinx, in forks: no tool runs scripts and notebooks side by side, and goes on.

Sphinx then only reads: sphinx-gallery finds its pages made, MyST-NB its results in jupyter-cache. What became of a page
lies in `_build/pages`; a page that failed, or whose code or fingerprint has changed, is run again.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import html
import importlib
import json
import multiprocessing
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from checks import CHECKS_FAILED, bare, cells, in_words
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from myst_nb.core.read import create_nb_reader
from sphinx.util import logging

logger = logging.getLogger(__name__)
ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # the same arithmetic on every machine
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",  # sums are split between threads: their number changes last digits
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",  # the order of a set, should a page show one
    "SOURCE_DATE_EPOCH": "1767225600",  # 1 January 2026, in archives and wherever Sphinx writes a date
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # with it, one core and two differ in the last digits
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}
AT_ONCE = max(2, min(4, os.cpu_count() or 1))
LIMIT = 600  # seconds that a page may take
RUN_BY = ("checks.py", "figures.py", "images.py", "run_page.py")  # what takes part in an execution
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
ALSO: list[Callable[[str], Page]] = []  # other extensions' work: given the fingerprint, each makes a page of it
_NOT_PAGES = {"_build", "gallery", "node_modules"}


class Page(NamedTuple):
    """A page that runs: its name on the site, its file, what its results depend on, the work, and its cells if it has them."""

    name: str
    path: Path
    key: str
    work: tuple[Any, ...]
    notebook: Any = None


# -- in forks ---------------------------------------------------------------------------------------------------------

# A fork of a process that has imported TensorFlow and computed nothing; where that is not sound, a process from nothing.
_FORKS = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


def prepare_environment(root: Path) -> None:
    """Set the variables that make outputs the same on every machine, before TensorFlow is imported anywhere."""
    os.environ.update(ENVIRONMENT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each build would compile everything again
    here = [str(root), str(root / "docs"), str(Path(__file__).parent)]  # the package from here, whatever is installed
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*here, os.environ.get("PYTHONPATH", "")]))


def in_fork(module: str, function: str, *arguments: Any) -> Any:
    """Return what a function returns in a process of its own."""
    here, there = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_send, args=(there, module, function, *arguments))
    process.start()
    there.close()
    try:
        if not here.poll(LIMIT):
            raise ChildProcessError(f"it has not ended after {LIMIT} seconds")
        answer = here.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer
    except EOFError:
        process.join()
        raise ChildProcessError(f"its process ended with status {process.exitcode}") from None
    finally:
        process.join(0 if sys.exc_info()[0] else 10)  # a pool of its own may want to end
        process.kill()


def _send(there: Any, module: str, function: str, *arguments: Any) -> None:
    """Do the work, in the fork."""
    try:
        there.send(getattr(importlib.import_module(module), function)(*arguments))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is raised where the work was asked for
        there.send(RuntimeError("".join(traceback.format_exception(error))))


def _run(page: Page) -> dict[str, Any]:
    """Run one page and say what became of it."""
    began = time.monotonic()
    try:
        about = in_fork(*page.work)
    except (ChildProcessError, RuntimeError) as error:
        failure = {
            "line": 0,
            "claim": "the page runs to its end",
            "measured": str(error).strip().splitlines()[-1],
            "allowed": "",
        }
        about = {"key": "", "failures": [failure]}  # chance, perhaps: it is run again
    where = Path(os.path.relpath(page.path, Path(__file__).parents[2])).as_posix()
    about = {"key": page.key, "path": where, "outputs": [], "checked": []} | about
    return about | {"seconds": round(time.monotonic() - began, 1)}


# -- what a result depends on -----------------------------------------------------------------------------------------


def fingerprint(root: Path) -> str:
    """Hash what a result may depend on besides its page: the package's code, the lock, the tables, Python."""
    here = Path(__file__).parent
    files = [root / "requirements" / "docs.txt", *(here / name for name in RUN_BY)]
    files += (root / "docs" / "project").glob("*.json")
    files += (path for path in (root / "gdexplain").rglob("*") if path.suffix in {".py", ".mplstyle", ".csv", ".npz"})
    digest = hashlib.sha256(repr((platform.python_version(), sys.platform, platform.machine(), ENVIRONMENT)).encode())
    for path in sorted(files):
        digest.update(
            Path(os.path.relpath(path, root)).as_posix().encode()
            + b"\0"
            + (code_of(path) if path.exists() else b"")
            + b"\0"
        )
    return digest.hexdigest()


def code_of(path: Path) -> bytes:
    """Read a file; of Python the code alone, without comments and docstrings."""
    return bare(path.read_text(encoding="utf-8")).encode() if path.suffix == ".py" else path.read_bytes()


def key_of(*parts: Any) -> str:
    """Hash whatever has a repr."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _scripts(app, base: str) -> list[Page]:
    """List the scripts of the gallery."""
    settings = app.config.sphinx_gallery_conf
    examples, gallery = Path(app.srcdir).parent / "examples", Path(app.srcdir, "gallery")
    slides = importlib.import_module("gallery_order").SLIDES
    plain = sorted((name, value) for name, value in settings.items() if isinstance(value, str | int | float | tuple))
    base = key_of(base, [pair for pair in plain if pair[0] != "src_dir"])
    pages = []
    for path in sorted(examples.glob("*/plot_*.py")):
        name = path.relative_to(examples).with_suffix("").as_posix()
        key = key_of(base, path.read_text(encoding="utf-8"), [slide for slide in slides if slide.startswith(name)])
        target = gallery / path.parent.name
        pages.append(Page(f"gallery/{name}", path, key, ("run_page", "script", path, target, settings)))
    names = {f"{page.name}.rst" for page in pages}
    for old in gallery.glob("*/plot_*.rst"):
        if old.relative_to(app.srcdir).as_posix() not in names:  # its script has gone
            old.unlink()
    return pages


def _notebooks(app, base: str) -> list[Page]:
    """List the pages with cells, as MyST-NB reads them.

    Their key is code and the tags that steer it. A better alt text, or the same page in another language, changes nothing
    that is computed.
    """
    pages = []
    for path in sorted(Path(app.srcdir).rglob("*.md")):
        place = path.relative_to(app.srcdir)
        text = path.read_text(encoding="utf-8")
        reader = place.parts[0] not in _NOT_PAGES and create_nb_reader(
            str(path), app.env.myst_config, app.env.mystnb_config, text
        )
        if reader:
            notebook, code = reader.read(text), cells(path)
            key = key_of(base, [(cell.source, cell.metadata.get("tags", [])) for cell in _code_cells(notebook)])
            name = place.with_suffix("").as_posix()
            pages.append(Page(name, path, key, ("run_page", "cells", path, code), notebook))
    return pages


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


# -- all pages --------------------------------------------------------------------------------------------------------


def run_pages(app) -> None:
    """Run what has to be run, some pages at once, the longest first; hand the results on, and say what failed."""
    store = Path(app.srcdir, "_build", "pages")
    store.mkdir(parents=True, exist_ok=True)
    if sys.platform == "linux":
        _FORKS.set_forkserver_preload(["__main__", "execute", *app.config.execute_imports, "run_page"])
    base = fingerprint(Path(app.srcdir).parent)
    pages = [*_scripts(app, base), *_notebooks(app, base), *(make(base) for make in ALSO)]
    before = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in store.glob("*.json")}
    results = {about["key"]: about for about in before.values()}
    stale = {page.key: page for page in reversed(pages) if page.key not in results or _is_lost(app, page)}
    for page, about in _run_all(sorted(stale.values(), key=lambda page: _expected(page, before))):
        results[page.key] = about
        _fill_cache(app, [other for other in pages if other.key == page.key], results, anew=True)
        _write(store / f"{_slug(page.name)}.json", about)  # last: what is not written here is run again
    _fill_cache(app, pages, results, anew=False)
    app.gdexplain_results = {page.name: results[page.key] for page in pages}
    for page in pages:
        about = results[page.key]
        if before.get(_slug(page.name)) != about:
            _write(store / f"{_slug(page.name)}.json", about)
        for failure in about["failures"]:
            logger.info("%s:%d: %s", about["path"], failure["line"], _words(failure), color="red")
            app.statuscode = CHECKS_FAILED
    for name in before.keys() - {_slug(page.name) for page in pages}:
        (store / f"{name}.json").unlink()


def _expected(page: Page, before: dict[str, Any]) -> tuple[float, int]:
    """Sort the longest first: by the seconds of the last time or, where there was none, by the length of the source."""
    known = before.get(_slug(page.name), {"seconds": 1e9})["seconds"]
    return -known, -page.path.stat().st_size


def _run_all(jobs: list[Page]) -> Iterator[tuple[Page, dict[str, Any]]]:
    """Run pages, and give each with what became of it as soon as it has ended; tell the reader at each step."""
    began, running, done = time.monotonic(), {}, 0
    if jobs:
        logger.info("running %d pages, %d at once", len(jobs), AT_ONCE)

    def run(page):
        running[page.key] = page.path.name
        about = _run(page)
        del running[page.key]
        return page, about

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for future in as_completed([pool.submit(run, page) for page in jobs]):
            page, about = future.result()
            done += 1
            failed = f", {len(about['failures'])} FAILED" * bool(about["failures"])
            logger.info(
                "%4.0f s  %d of %d: %s, %.1f s%s%s", time.monotonic() - began, done, len(jobs), page.path.name,
                about["seconds"], failed, f"; now {', '.join(running.values())}" if running else "",
            )  # fmt: skip
            yield page, about
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # or Ctrl-C would begin the next page


def _words(failure: dict[str, Any]) -> str:
    return f"{failure['claim']}: {in_words(failure)}"


def _slug(name: str) -> str:
    return name.replace("/", "--")


def _is_lost(app, page: Page) -> bool:
    """Tell whether somebody has deleted what was made of a script."""
    return page.name.startswith("gallery/") and not Path(app.srcdir, f"{page.name}.rst").exists()


def _write(path: Path, about: dict[str, Any]) -> None:
    """Write all of a file or nothing."""
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(about), encoding="utf-8")
    fresh.replace(path)


# -- hand the results on ----------------------------------------------------------------------------------------------


def _fill_cache(app, pages: list[Page], results: dict[str, Any], *, anew: bool) -> None:
    """Put the results of pages with cells where MyST-NB looks for them, unless they are there."""
    cache = get_cache(app.config.nb_execution_cache_path)
    for page in pages:
        if page.notebook and (anew or not _in_cache(cache, page.notebook)):
            notebook = _with_results(page.notebook, results[page.key]["outputs"])
            bundle = CacheBundleIn(notebook, str(page.path), data={"execution_seconds": 0.0})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _in_cache(cache: Any, notebook: Any) -> bool:
    try:
        return bool(cache.match_cache_notebook(notebook))
    except KeyError:
        return False


def _with_results(notebook: Any, outputs: list[list[dict[str, Any]]]) -> Any:
    """Give the cells of a page their outputs; where it failed the last have none."""
    from nbformat import from_dict

    notebook = copy.deepcopy(notebook)
    notebook.metadata["language_info"] = LANGUAGE
    for number, (cell, made) in enumerate(zip(_code_cells(notebook), outputs, strict=False), 1):
        cell.outputs, cell.execution_count = [from_dict(output) for output in made], number
    return notebook


def changed_pages(app, env, added, changed, removed) -> list[str]:
    """Have Sphinx read the pages whose results are not those that it read the last time: their sources may be the same."""
    results = {
        name: key_of(about["key"], about["checked"], about["failures"]) for name, about in app.gdexplain_results.items()
    }
    before, env.gdexplain_results = getattr(env, "gdexplain_results", {}), results
    return [name for name, result in results.items() if before.get(name) != result and name in env.found_docs]


def mark_failures(app, pagename, templatename, context, doctree) -> None:
    """Say in red, at the top of a page, which of its checks failed."""
    if failures := app.gdexplain_results.get(pagename, {}).get("failures"):
        lines = [f"<li>Line {failure['line']}: {html.escape(_words(failure))}</li>" for failure in failures]
        note = "What this page says was not so when this site was built:"
        box = f'<div class="admonition error page-failed" role="alert"><p class="admonition-title">{note}</p><ul>{"".join(lines)}</ul></div>'
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{box}", 1)


def setup(app):
    """Run the pages after MyST-NB has its settings and before sphinx-gallery looks: `conf.py` lists this between them."""
    prepare_environment(Path(app.srcdir).parent)
    app.add_config_value("execute_imports", [], "", list)  # what is slow to import, and is imported once for all pages
    # Sphinx holds millions of nodes; to look for dead ones among them as often as by default costs a twelfth of the time.
    gc.set_threshold(200_000, 20, 50)
    app.connect("builder-inited", run_pages)
    app.connect("env-get-outdated", changed_pages)
    app.connect("html-page-context", mark_failures, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
