"""Figures and films for both themes: what is drawn for a light page has a dark twin, and the theme shows one; no tool does.

The `animation` directive: an mp4 for each theme, with a poster, without scripts.

`.. animation:: /gallery/variants/images/name` shows `name.mp4` and its poster `name.svg` on light pages, and the twins of
both, `name_dark`, on dark ones. It runs when the reader says so; who prints sees its poster. The controls stand below the
picture.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from images import image_size, shorten, strip, write_twin
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

_VIDEO = (
    '<div class="film {theme}" style="--height: {height}; --width: {width}"><video class="{theme}" controls preload="none" playsinline width="{width}" height="{height}" poster="{poster}" aria-label="{alt}">'
    '<source src="{video}" type="video/mp4"></video>'
    '<img class="film-still" width="{width}" height="{height}" src="{poster}" alt="{alt}"></div>'
)
_FILES = (".svg", "_dark.svg", ".mp4", "_dark.mp4")


class animation(nodes.General, nodes.Element):
    """An animation: `files` are its document paths, `alt` its words."""


class AnimationDirective(SphinxDirective):
    """Register the files of an animation, so that they are copied beside the images."""

    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self):
        if not self.options.get("alt"):
            raise self.error("an animation needs :alt: text")
        files = {}
        poster = Path(self.env.relfn2path(f"{self.arguments[0]}.svg")[1])
        if poster.exists():
            write_twin(poster)
        for suffix in _FILES:
            name, full = self.env.relfn2path(self.arguments[0] + suffix)
            if not Path(full).exists():
                raise self.error(f"no such animation: {full}")
            self.env.note_dependency(name)
            self.env.images.add_file(self.env.docname, name)
            files[suffix] = name
        width, height = image_size(poster)
        alt = html.unescape(self.options["alt"])
        node = animation(files=files, alt=alt, width=width, height=height)
        self.set_source_info(node)
        return [node]


class BothThemes(SphinxTransform):
    """Put beside each of matplotlib's SVGs its dark twin; of thumbnails, leave the curves alone."""

    default_priority = 400

    def apply(self):
        """Write the twins, and let the theme choose by the classes."""
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.env.relfn2path(image["uri"], self.env.docname)[1])
            if (
                path.suffix != ".svg"
                or not path.exists()
                or 'id="figure_1"' not in (svg := path.read_text(encoding="utf-8"))
            ):
                continue
            svg = strip(svg) if path.parent.name == "thumb" else svg
            path.write_text(shorten(svg), encoding="utf-8")
            write_twin(path)
            dark = image.deepcopy()
            dark["uri"], dark["ids"], dark["names"] = f"{image['uri'][:-4]}_dark.svg", [], []
            dark["classes"], image["classes"] = [*image["classes"], "only-dark"], [*image["classes"], "only-light"]
            image.parent.insert(image.parent.index(image) + 1, dark)


class CopyAnimations(SphinxPostTransform):
    """Hand the files to the builder, which copies them as it does images."""

    default_priority = 200

    def run(self):
        for node in self.document.findall(animation):
            for name in node["files"].values():
                self.app.builder.images[name] = self.env.images[name][1]


def visit_animation(translator, node):
    """Write one video for each theme; the style sheet shows the right one."""
    builder = translator.builder
    urls = {suffix: f"{builder.imgpath}/{builder.images[name]}" for suffix, name in node["files"].items()}
    for theme, suffix in (("only-light", ""), ("only-dark", "_dark")):
        words = {"alt": html.escape(node["alt"]), "poster": urls[f"{suffix}.svg"], "video": urls[f"{suffix}.mp4"]}
        translator.body.append(_VIDEO.format(theme=theme, width=node["width"], height=node["height"], **words))
    raise nodes.SkipNode


def setup(app):
    """Register the directive, and what gives figures their twins."""
    app.add_transform(BothThemes)
    app.add_node(animation, html=(visit_animation, None))
    app.add_directive("animation", AnimationDirective)
    app.add_post_transform(CopyAnimations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
