"""One page in another language, beside the English: Sphinx translates whole sites only.

`docs/locale/es/LC_MESSAGES/tutorial/stochastic.po` makes `docs/es/tutorial/stochastic.md`, an ordinary page: it is run (or
rather takes the results of the same code from the cache), checked and linked as every other. A passage that the catalogue
does not have, because the English has changed since, stays English: a reader never gets an old claim with new numbers.
The build goes on, so that whoever writes the English can look at the page; the tests of the site do not pass.
"""

from __future__ import annotations

import gettext
import re
from pathlib import Path
from typing import NamedTuple

import sphinx
from babel.messages.pofile import read_po

NAMES = {"en": "English", "es": "Español"}  # a language calls itself
_OTHER_LANGUAGES = {"en": "Languages", "es": "Idiomas"}
_THEME = {  # what the theme writes around a page, and Sphinx' own catalogue does not have
    "es": {
        "Back to top": "Volver arriba",
        "Home": "Inicio",
        "Next": "Siguiente",
        "On this page": "En esta página",
        "Previous": "Anterior",
        "Skip to content": "Saltar al contenido",
        "View this page": "Ver el texto fuente",
    }
}


class Translation(NamedTuple):
    """A catalogue, the language it speaks and the page it translates, such as "tutorial/stochastic"."""

    catalogue: Path
    language: str
    original: str

    @property
    def page(self) -> str:
        """Name the translated page."""
        return f"{self.language}/{self.original}"


def translations(docs: Path) -> list[Translation]:
    """List the catalogues."""
    found = []
    for path in sorted((docs / "locale").glob("*/LC_MESSAGES/**/*.po")):
        language, _, *page = path.relative_to(docs / "locale").with_suffix("").parts
        found.append(Translation(path, language, "/".join(page)))
    return found


def messages(catalogue: Path) -> dict[str, str]:
    """Read what is translated, and not merely guessed."""
    with catalogue.open("rb") as handle:
        entries = [entry for entry in read_po(handle) if entry.id and entry.string and not entry.fuzzy]
    return {entry.id: entry.string for entry in entries}


# What may stand on a line before a message: a heading, a list, a quotation, a table, a setting of a cell.
_LEAD = r"(?P<lead>^[ \t]*(?:\#{1,6}[ ]|[-*][ ]|\d+\.[ ]|>[ ]|[|][ ]|\w+:[ ])?|[|][ ])"
_TAIL = r"(?P<tail>[ \t]*(?:$|[|]))"


def translate(source: str, words: dict[str, str]) -> str:
    """Put each message in place of its English, wherever that is a whole paragraph, heading, cell or setting."""
    for english in sorted(words, key=len, reverse=True):  # a short one may stand within a long one
        pattern = _LEAD + r"\s+".join(map(re.escape, english.split())) + _TAIL
        source = re.sub(
            pattern, lambda found, text=words[english]: found["lead"] + text + found["tail"], source, flags=re.MULTILINE
        )
    return source


def at_home_in(source: str, translation: Translation) -> str:
    """Make links of the page lead where they led, and its labels names of their own."""
    folder = translation.original.rpartition("/")[0]
    source = re.sub(r"\]\((?=[\w-]+\.md)", f"](/{folder}/", source)
    source = re.sub(r"(?m)^(\$\$ \()(?=[\w-]+\)$)", rf"\1{translation.language}-", source)
    source = re.sub(r"(?m)^\((?=[\w-]+\)=$)", f"({translation.language}-", source)
    return re.sub(r"(\{(?:eq|ref)\}`)(?=[\w-]+`)", rf"\1{translation.language}-", source)


# The search has one index, and it is English.
_HEAD = "---\nno-search: true\n"
_NOTE = "\n% Made by the build from docs/{original}.md and {catalogue}: change those, not this file.\n"


def write_pages(docs: Path) -> None:
    """Write the translated pages whose text has changed, and remove those that have lost their catalogue."""
    written = set()
    for translation in translations(docs):
        source = (docs / f"{translation.original}.md").read_text(encoding="utf-8")
        head, rule, body = source.removeprefix("---\n").partition("\n---\n")
        note = _NOTE.format(original=translation.original, catalogue=translation.catalogue.relative_to(docs.parent))
        body = at_home_in(translate(body, messages(translation.catalogue)), translation)
        target = docs / f"{translation.page}.md"
        text = _HEAD + head + rule + note + body
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        written.add(target)
    for language in {path.name for path in (docs / "locale").glob("*")}:
        for path in set((docs / language).glob("*/**/*.md")) - written:
            path.unlink()


# -- what stands around a page in another language --------------------------------------------------------------------


def frame(app, pagename, templatename, context, doctree):
    """Name the language of a page, translate what the theme writes on it, and link it with the same page in others."""
    language = pagename.partition("/")[0] if pagename.partition("/")[0] in NAMES else "en"
    if language != "en":
        words = gettext.translation("sphinx", Path(sphinx.__file__).parent / "locale", [language], fallback=True)

        def say(text):
            return _THEME[language].get(text.strip()) or words.gettext(text)

        context |= {"language": language, "_": say, "gettext": say}
    original = pagename.removeprefix(f"{language}/")
    pages = {"en": original} | {
        translation.language: translation.page
        for translation in translations(Path(app.srcdir))
        if translation.original == original
    }
    if len(pages) > 1:
        context["metatags"] = context.get("metatags", "") + _alternates(app, pages, context["pathto"])
        context["body"] = _switch(language, pages, context["pathto"]) + context.get("body", "")


def _alternates(app, pages, pathto) -> str:
    """Tell search engines which pages say the same: by their addresses, where the site has one."""
    base = app.config.html_baseurl.rstrip("/")
    links = {key: f"{base}/{app.builder.get_target_uri(page)}" if base else pathto(page) for key, page in pages.items()}
    return "".join(f'\n<link rel="alternate" hreflang="{key}" href="{link}">' for key, link in links.items())


def _switch(language, pages, pathto) -> str:
    """Tell the reader, above the title."""
    links = [
        f'<span lang="{key}" aria-current="true">{NAMES[key]}</span>'
        if key == language
        else f'<a lang="{key}" hreflang="{key}" rel="alternate" href="{pathto(page)}">{NAMES[key]}</a>'
        for key, page in pages.items()
    ]
    return f'<nav class="languages" aria-label="{_OTHER_LANGUAGES[language]}">{" · ".join(links)}</nav>\n'


def setup(app):
    """Write the pages before Sphinx looks for pages."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)), priority=100)
    app.connect("html-page-context", frame, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
