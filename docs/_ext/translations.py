"""Pages in other languages beside the English, in one site: Sphinx gives a site one language.

A folder such as `docs/es` holds pages in its language. One that names at its head the `edition` of an English page, which is
the beginning of the SHA-256 of that file, says the same as this page, and takes the results of the same code.
"""

from __future__ import annotations

import gettext
from pathlib import Path

import sphinx

NAMES = {"en": "English", "es": "Español"}  # a language calls itself
_THEME = {  # what the theme and we write around a page, and Sphinx' own catalogue does not have
    "es": {
        "Back to top": "Volver arriba",
        "Home": "Inicio",
        "Languages": "Idiomas",
        "Next": "Siguiente",
        "On this page": "En esta página",
        "Previous": "Anterior",
        "Skip to content": "Saltar al contenido",
        "View this page": "Ver el texto fuente",
    }
}


def frame(app, pagename, templatename, context, doctree):
    """Name the language of a page, translate what the theme writes on it, and give the same page in every language."""
    language, _, original = pagename.partition("/")
    if language not in NAMES:
        language, original = "en", pagename
    else:
        words = gettext.translation("sphinx", Path(sphinx.__file__).parent / "locale", [language], fallback=True)

        def say(text):
            return _THEME[language].get(text.strip()) or words.gettext(text)

        context |= {"language": language, "_": say, "gettext": say}
    pages = {key: f"{key}/{original}" for key in NAMES}
    pages = {"en": original} | {key: page for key, page in pages.items() if "edition" in app.env.metadata.get(page, {})}
    base, target, pathto = app.config.html_baseurl.rstrip("/"), app.builder.get_target_uri, context["pathto"]
    context["same_page"] = [  # search engines want addresses, where the site has one
        {
            "key": key,
            "name": NAMES[key],
            "path": pathto(page),
            "address": f"{base}/{target(page)}" if base else pathto(page),
        }
        for key, page in pages.items()
        if len(pages) > 1
    ]


def setup(app):
    """Connect."""
    app.connect("html-page-context", frame, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
