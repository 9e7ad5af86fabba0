"""Check the explorables' JSDoc types with the lock's TypeScript, by this environment's node: `check_types.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import npm

DOCS = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    work = DOCS / "_build" / "typescript"
    npm.install(DOCS, work, dev=True)
    tool = work / "node_modules" / "typescript" / "bin" / "tsc"
    sys.exit(subprocess.run([npm.NODE, tool, "-p", DOCS / "explorables"], check=False).returncode)
