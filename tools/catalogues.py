"""Renew catalogues with the words in cells' settings, which sphinx-intl misses: `catalogues.py [LANGUAGE PAGE]`.

With a language and a page, such as `es tutorial/setup`, it starts a catalogue.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from babel.messages.pofile import read_po, write_po
from myst_nb.core.read import read_myst_markdown_notebook
from sphinx_intl.basic import update
from translations import translations

WORK = DOCS / "_build" / "gettext"


def extract() -> None:
    """Have Sphinx write a template for every page; results come from the cache, or go there for the next build."""
    options = ["-b", "gettext", "-n", "-W", "-D", "gettext_compact=0", "-D", "gettext_location=0"]
    command = [sys.executable, "-m", "sphinx", *options, "-d", WORK / "doctrees", DOCS, WORK / "templates"]
    if status := subprocess.call(command):
        sys.exit(status)


def settings_of_cells(page: Path) -> list[str]:
    """List what a page says in the settings of its cells: alt texts, and what opens a folded cell."""
    notebook = read_myst_markdown_notebook(page.read_text(encoding="utf-8"), path=str(page))
    said = []
    for cell in notebook.cells:
        settings = cell.metadata.get("mystnb", {})
        said += [
            settings.get("image", {}).get("alt"),
            settings.get("code_prompt_show"),
            settings.get("code_prompt_hide"),
        ]
    return list(dict.fromkeys(filter(None, said)))


def renew(language: str, page: str) -> None:
    """Bring one catalogue up to date with its template; what has changed is marked fuzzy, which counts as missing."""
    template = WORK / language / f"{page}.pot"
    template.parent.mkdir(parents=True, exist_ok=True)
    with (WORK / "templates" / f"{page}.pot").open("rb") as handle:
        catalogue = read_po(handle)
    for text in settings_of_cells(DOCS / f"{page}.md"):
        catalogue.add(text)
    with template.open("wb") as handle:
        write_po(handle, catalogue, width=0)


def main(arguments: list[str]) -> None:
    """Extract, then renew the catalogues there are and the one that is asked for."""
    extract()
    wanted = {(translation.language, translation.original) for translation in translations(DOCS)}
    wanted |= {tuple(arguments)} if arguments else set()
    for language in sorted({language for language, _ in wanted}):
        shutil.rmtree(WORK / language, ignore_errors=True)
        for page in sorted(page for other, page in wanted if other == language):
            renew(language, page)
        update(str(DOCS / "locale"), str(WORK / language), (language,), line_width=110, ignore_obsolete=True, jobs=1)


if __name__ == "__main__":
    main(sys.argv[1:])
