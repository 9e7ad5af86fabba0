"""Check the explorables' JSDoc types with the lock's TypeScript, by this environment's node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

import npm  # it is found through the line above

if __name__ == "__main__":
    work = DOCS / "_build" / "typescript"
    npm.install(DOCS, work, dev=True)
    tool = work / "node_modules" / "typescript" / "bin" / "tsc"
    sys.exit(subprocess.run([npm.NODE, tool, "-p", DOCS / "explorables"], check=False).returncode)
