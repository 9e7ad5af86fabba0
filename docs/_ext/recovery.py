"""After a build that was stopped or ran out of disk: put the last good site back, and trust nothing half written.

A file marks a build that has begun and not ended. Whoever finds it removes what a stopped writer may have left: pages
and doctrees, scripts of the gallery whose results may be partial, and executed notebooks that cannot be read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
import sqlite3
from pathlib import Path

_MARK = "unfinished"
_BEGUN = []  # not empty when this process has begun a build
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EROFS, errno.EIO)


def begin(build: Path, gallery: Path) -> None:
    """Mend what a build that did not end has left, and mark that one is running; call it under the lock."""
    if _BEGUN:
        return
    put_back(build / "html")
    if (build / _MARK).exists():
        distrust(build, gallery)
    (build / _MARK).write_text("A build began and has not ended.\n", encoding="utf-8")
    _BEGUN.append(build)


def end(build: Path) -> None:
    """Take the mark away: what this build wrote is whole."""
    (build / _MARK).unlink(missing_ok=True)


def put_back(site: Path) -> None:
    """Put the last good site back in place if its replacement was stopped between two renames."""
    outgoing = site.with_name("html.old")
    if not site.exists() and outgoing.exists():
        outgoing.rename(site)
    for name in ("html.new", "html.old"):
        shutil.rmtree(site.with_name(name), ignore_errors=True)


def distrust(build: Path, gallery: Path) -> None:
    """Remove whatever the build that left the mark may have written in part."""
    for folder in (build / "work", build / "serve"):
        shutil.rmtree(folder, ignore_errors=True)
    began = (build / _MARK).stat().st_mtime
    for stamp in gallery.rglob("*.md5"):  # sphinx-gallery writes it before the page of the script
        if stamp.stat().st_mtime >= began:
            stamp.unlink()
    for database in build.glob("cache/notebooks-*/global.db"):
        forget_partial_notebooks(database)


def forget_partial_notebooks(database: Path) -> None:
    """Drop executed notebooks whose file is missing or cut off; jupyter-cache would fail on them at every build."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        keys = [key for (key,) in connection.execute("SELECT hashkey FROM nbcache")]
        for key in keys:
            path = database.parent / "executed" / key / "base.ipynb"
            if not _is_json(path):
                connection.execute("DELETE FROM nbcache WHERE hashkey = ?", (key,))
                shutil.rmtree(path.parent, ignore_errors=True)


def _is_json(path: Path) -> bool:
    """Tell whether a file is there and whole."""
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def no_room(error: BaseException | str) -> bool:
    """Tell whether an error, or the report of one from another process, says that a file could not be written."""
    numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))}
    return bool({getattr(error, "errno", None), *numbers} & {*_NO_ROOM})
