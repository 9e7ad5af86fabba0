"""What a build depends on, and what it may trust from the last one."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from pathlib import Path

from sphinx.errors import ConfigError

_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # the same arithmetic on every machine
    "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one of the user's
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",  # sums are split between threads: their number changes last digits
    "OPENBLAS_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "SOURCE_DATE_EPOCH": "1767225600",  # 1 January 2026, in archives and wherever Sphinx writes a date
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # with it, one core and two differ in the last digits
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
}
_HELD = []  # the open lock file of this process


def prepare_environment(work: Path) -> None:
    """Set the variables that make outputs the same on every machine, and give the kernels their settings."""
    os.environ.update(_ENVIRONMENT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each kernel would compile everything again
    profile = work / "ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("kernel_config.py"), profile / "ipython_kernel_config.py")
    os.environ["IPYTHONDIR"] = str(profile.parent)
    # Kernels import the package from here, even where another copy is installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(work.parents[1]), os.environ.get("PYTHONPATH", "")]))


def fingerprint(root: Path) -> str:
    """Hash everything an output may depend on besides the page itself: package, lock, settings, tables, Python."""
    files = [
        root / "requirements" / "docs.txt",
        root / "docs" / "conf.py",
        *(root / "docs" / "project").glob("*.json"),
    ]
    for folder in (root / "gdexplain", root / "docs" / "_ext"):
        files += [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    digest = hashlib.sha256(f"{platform.python_version()} {sys.platform} {platform.machine()}".encode())
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update((path.read_bytes() if path.exists() else b"") + b"\0")
    return digest.hexdigest()[:16]


def forget_stale_gallery(gallery: Path, fingerprint: str) -> None:
    """Remove the gallery's output if it was made with another package, lock or configuration."""
    stamp = gallery / ".fingerprint"
    if gallery.exists() and not (stamp.exists() and stamp.read_text() == fingerprint):
        shutil.rmtree(gallery)
    gallery.mkdir(parents=True, exist_ok=True)
    stamp.write_text(fingerprint)


def hold_lock(path: Path) -> None:
    """Hold a lock until this process ends, or say that another build is running.

    Two builds share the gallery's output and the notebook cache, and would spoil both.
    """
    if _HELD:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = path.open("a")  # closed, and so released, by the end of the process
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        message = f"another build of these pages is running (it holds {path}); wait for it, or stop it"
        raise ConfigError(message) from None
    _HELD.append(handle)
