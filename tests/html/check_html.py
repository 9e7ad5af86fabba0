"""Check the HTML of the built site with html-validate: `python tests/html/check_html.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import npm  # it is found through the line above

# All of html-validate's recommended rules hold but these.
RELAXED = {
    "attribute-boolean-style": "a matter of style: both forms are valid",
    "attribute-empty-style": "a matter of style: both forms are valid",
    "doctype-style": "a matter of style: both cases are valid",
    "void-style": "a matter of style: both forms are valid",
    "no-trailing-whitespace": "templates leave it, and no reader sees it",
    "no-inline-style": "KaTeX places every symbol by an inline style",
    "prefer-native-element": "the theme's groups of contents are headings by role, and Sphinx's search reads role=main",
    "prefer-tbody": "the theme's index has tables without one, which is valid",
    "long-title": "a page's title is its claim",
    "wcag/h32": "the theme's search has one field, sent by Enter, and no room for a button",
    "aria-label-misuse": "a film has no other place for its words",
    "valid-id": "the theme's switches begin with _, and some headings with a digit, which HTML allows",
}


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
    settings = {"root": True, "extends": ["html-validate:recommended"], "rules": dict.fromkeys(RELAXED, "off")}
    (work / "settings.json").write_text(json.dumps(settings))
    command = [npm.NODE, tool, "--config", work / "settings.json", "--max-warnings", "0", *names]
    done = subprocess.run(command, cwd=site, check=False)
    print(f"{len(names)} pages checked")
    return int(done.returncode != 0 or not names)


if __name__ == "__main__":
    sys.exit(main(ROOT / "docs" / "_build" / "html"))
