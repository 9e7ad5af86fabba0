"""The pages that run, run ahead of Sphinx: several at once, and no code twice.

MyST-NB runs a page when Sphinx reads it: one after the other, and most of the time each waits for TensorFlow to be
imported. Here the pages whose results are not in MyST-NB's cache are run side by side while the gallery's scripts run,
and their results put there.
"""

from __future__ import annotations

import copy
from pathlib import Path

import ahead
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution
from myst_nb.core.read import create_nb_reader

_NOT_PAGES = {"_build", "gallery", "node_modules"}


def begin(app):
    """Begin to run the pages whose results are not in the cache, each code once."""
    cache = get_cache(app.config.nb_execution_cache_path)
    waiting = {path: page for path, page in _pages(app) if not _in_cache(cache, page)}
    results = {code_of(page): (page, 0.0) for page in _done(cache)} if waiting else {}
    to_run = {code_of(page): path for path, page in waiting.items() if code_of(page) not in results}
    running = {code: ahead.begin(_run, app, path, waiting[path]) for code, path in to_run.items()}
    app.gdexplain_pages = cache, waiting, results, running


def finish(app):
    """Wait for the pages, and fill the cache with their results."""
    cache, waiting, results, running = app.gdexplain_pages
    results |= {code: result for code, run in running.items() if (result := run.result()) is not None}
    for path, page in waiting.items():
        if code_of(page) in results:  # if not, it has failed: MyST-NB runs it again and names the line
            done, seconds = results[code_of(page)]
            bundle = CacheBundleIn(_with_results(page, done), str(path), data={"execution_seconds": seconds})
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _pages(app):
    """Read the pages that run, as MyST-NB does: (path, notebook)."""
    source = Path(app.srcdir)
    for path in sorted(source.rglob("*.md")):
        if path.relative_to(source).parts[0] in _NOT_PAGES:
            continue
        text = path.read_text(encoding="utf-8")
        reader = create_nb_reader(str(path), app.env.myst_config, app.env.mystnb_config, text)
        if reader is not None:
            yield path, reader.read(text)


def _in_cache(cache, page) -> bool:
    """Tell whether MyST-NB will find the results of this page."""
    try:
        cache.match_cache_notebook(page)
    except KeyError:
        return False
    return True


def _done(cache):
    """Give every page in the cache, with its results."""
    return (cache.get_cache_bundle(record.pk).nb for record in cache.list_cache_records())


def code_of(page) -> str:
    """Give what the results of a page depend on: its code, and the tags that steer how it is run.

    The cache's own key holds all settings of the cells, alt texts too. They change nothing that is computed; so a better
    alt text, or the same page in another language, takes the results that are there.
    """
    cells = [(cell.source, cell.metadata.get("tags", [])) for cell in page.cells if cell.cell_type == "code"]
    return repr((page.metadata.get("kernelspec"), cells))


def _run(app, path: Path, page):
    """Run a copy of a page in a kernel of its own: (the copy with its results, seconds), or None if it fails."""
    page = copy.deepcopy(page)
    result = single_nb_execution(page, str(path.parent), app.config.nb_execution_timeout, allow_errors=False)
    return (page, result.time) if result.err is None else None


def _with_results(page, done):
    """Put the results of the same code into a page, which keeps its own words and settings."""
    page = copy.deepcopy(page)
    page.metadata["language_info"] = done.metadata.get("language_info", {})
    cells, others = ([cell for cell in each.cells if cell.cell_type == "code"] for each in (page, done))
    for cell, other in zip(cells, others, strict=True):
        cell.outputs, cell.execution_count = copy.deepcopy(other.outputs), other.execution_count
    return page


def setup(app):
    """Begin as soon as MyST-NB has its settings, and be done before Sphinx reads a page."""
    app.connect("builder-inited", begin)  # `conf.py` lists MyST-NB and this before all that take time at this event
    app.connect("builder-inited", finish, priority=800)
    return {"parallel_read_safe": True}
