"""Every page is valid HTML, as html-validate reads it."""

from __future__ import annotations

import json
import subprocess

import npm
from built_site import ROOT, SITE

HERE = ROOT / "tests" / "html"  # what npm fetches

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


def test_every_page_is_valid_html(site):
    work = ROOT / ".cache" / "html-validate"
    npm.install(HERE, work)
    tool = work / "node_modules" / "html-validate" / "bin" / "html-validate.mjs"
    found = (path.relative_to(SITE) for path in sorted(SITE.rglob("*.html")))
    names = [path.as_posix() for path in found if path.parts[0] not in {"_static", "_downloads"}]
    settings = {"root": True, "extends": ["html-validate:recommended"], "rules": dict.fromkeys(RELAXED, "off")}
    (work / "settings.json").write_text(json.dumps(settings))
    command = [npm.NODE, tool, "--config", work / "settings.json", "--max-warnings", "0", *names]
    done = subprocess.run(command, cwd=SITE, capture_output=True, text=True, check=False)
    assert names
    assert done.returncode == 0, done.stdout
