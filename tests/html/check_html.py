"""Check the HTML of the built site with html-validate: `python tests/html/check_html.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import npm  # it is found through the line above


def pages(site: Path) -> list[str]:
    """List the pages of the site, without what other tools put beside them."""
    found = (path.relative_to(site) for path in sorted(site.rglob("*.html")))
    return [path.as_posix() for path in found if path.parts[0] not in {"_static", "_downloads"}]


def main(site: Path) -> int:
    """Validate every page; return 1 if one is not valid."""
    work = ROOT / ".cache" / "html-validate"
    npm.install(HERE, work)
    tool = work / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
    names = pages(site)
    settings = HERE / "html-validate.json"
    command = [npm.NODE, tool, "--config", settings, "--formatter", "codeframe" if "-v" in sys.argv else "stylish"]
    done = subprocess.run([*command, *names], cwd=site, check=False)
    print(f"{len(names)} pages checked")
    return int(done.returncode != 0 or not names)


if __name__ == "__main__":
    sys.exit(main(ROOT / "docs" / "_build" / "html"))
