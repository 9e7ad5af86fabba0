"""Downloads run as a reader runs them: saved into an empty folder, in an environment that has nothing yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

# What this process was started with and a reader's shell does not have.
_OURS = ("TF_", "KERAS_", "MPL", "OMP_", "OPENBLAS_", "CUDA_", "PYTHON", "VIRTUAL_ENV", "UV_COMPILE", "COV_", "NOX_")
_WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY")  # so that no window opens and waits for somebody to close it


def uv() -> str | None:
    """Find uv: the one that came with nox, or one on the path."""
    return os.environ.get("UV") or shutil.which("uv")


def environment(**more: str) -> dict[str, str]:
    """Give the variables of a fresh shell in which nobody sits, with uv on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*_OURS, *_WINDOWS))}
    folders = [str(Path(uv()).parent)] if uv() else []
    ours = Path(sys.prefix, "bin").as_posix()
    folders += [folder for folder in kept["PATH"].split(os.pathsep) if Path(folder).as_posix() != ours]
    return {**kept, "PATH": os.pathsep.join(folders), **more}


def save(address: str, folder: Path) -> Path:
    """Download a file into a folder, under its own name."""
    path = folder / address.rsplit("/", 1)[1]
    with urllib.request.urlopen(address) as response:  # a loopback address
        path.write_bytes(response.read())
    return path


def run(command: str, folder: Path, **more: str) -> str:
    """Run a command as a shell does, and give what it printed; fail with all of that if it failed."""
    done = subprocess.run(  # the command is printed on our own page
        command,
        shell=True,
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Warning:" not in done.stderr, done.stderr[-3000:]
    return done.stdout


def run_script(commands: dict[str, str], script: Path) -> str:
    """Run a script by the one command that its page prints, and forget the environment that uv made for it."""
    if not uv():
        return run_with_pip(commands["pip"], script.parent)
    try:
        return run(commands["uv"], script.parent)
    finally:
        interpreter = Path(run(f"uv python find --script {script.name}", script.parent).strip())
        made = interpreter.parent.parent
        if made.parent.name.startswith("environments-"):
            shutil.rmtree(made, ignore_errors=True)  # another run of the same script may be forgetting it too


def run_with_pip(commands: str, folder: Path) -> str:
    """Run the commands that a page prints for pip, in an environment of Python's own making."""
    environment_made = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment_made], check=True)
    path = f"{environment_made / 'bin'}{os.pathsep}{environment()['PATH']}"
    return [run(command, folder, PATH=path) for command in commands.splitlines()][-1]


def make_jupyter(folder: Path) -> Path:
    """Make an environment with what runs notebooks, and pip, as Jupyter's installers leave it; give its folder of programs."""
    made = folder / "jupyter"
    if uv():
        run(f"uv venv --quiet --seed --python {sys.executable} {made}", folder)
        run(f"uv pip install --quiet --python {made} nbclient ipykernel", folder)
    else:
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        run(f"{made}/bin/pip install --quiet nbclient ipykernel", folder)
    return made / "bin"


def run_notebook(programs: Path, notebook: Path) -> None:
    """Run a notebook from top to bottom."""
    path = f"{programs}{os.pathsep}{environment()['PATH']}"
    run(f"{programs / 'jupyter-execute'} --timeout=300 {notebook.name}", notebook.parent, PATH=path)
