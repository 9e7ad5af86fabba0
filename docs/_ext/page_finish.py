"""Sphinx's template bridge, with every page finished as `finish` says: no event of Sphinx comes after the template."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from finish import finish
from images import image_size
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.locale import _


class FinishedPages(BuiltinTemplateLoader):
    """Render as Sphinx does, then finish the page."""

    def init(self, builder: Any, *arguments: Any, **options: Any) -> None:
        """Keep the builder: it knows where the images of a page come from."""
        super().init(builder, *arguments, **options)
        self.builder = builder
        self.sources: dict[str, str] = {}  # an image's name on the site, and its file

    def render(self, template: str, context: dict[str, Any]) -> str:
        """Render one page and finish it."""
        html = super().render(template, context)
        root = urlsplit(self.builder.config.html_baseurl).path if context.get("pagename") == "404" else ""
        return finish(html, self._size_of, root=root, site=_("Contents"), page=_("On this page"))

    def _size_of(self, address: str) -> tuple[int, int] | None:
        """Look up the size of an image, by the name that it has on the site."""
        name = posixpath.basename(address)
        if len(self.sources) != len(self.builder.images):  # Sphinx fills this page by page
            self.sources = {named: source for source, named in self.builder.images.items()}
        copied = Path(self.builder.outdir, "_images", name)  # and sphinx-gallery copies its figures itself
        path = Path(self.builder.srcdir, self.sources[name]) if name in self.sources else copied
        return image_size(path) if path.suffix in (".png", ".svg") and path.exists() else None
