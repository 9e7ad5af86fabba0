"""Figures of the gallery as slides: the table of them for teachers, and their files, made by the scripts that draw them."""

from __future__ import annotations

from pathlib import Path

import gallery_order
import matplotlib as mpl
from images import darken_pixels, shrink, write_twin
from sphinx.util.docutils import SphinxDirective

_THEMES = ("", "_dark")


def save(figure, path: Path, section: str) -> None:
    """Save a figure that is on the list of slides, on white and on dark: `path` is its image on the page."""
    stem = path.stem.removeprefix("sphx_glr_")
    if f"{section}/{stem}" not in gallery_order.SLIDES:
        return
    light, dark = (path.with_name(f"slide_{stem}{suffix}.svg") for suffix in _THEMES)
    with mpl.rc_context({"savefig.transparent": False}):
        figure.savefig(light, metadata={"Date": None, "Creator": None})
        figure.savefig(light.with_suffix(".png"), dpi=300, metadata={"Software": None})
    write_twin(light)
    darken_pixels(light.with_suffix(".png"), dark.with_suffix(".png"))
    for picture in (light, dark):
        shrink(picture.with_suffix(".png"))


class Slides(SphinxDirective):
    """The table of the slides, with a link to the page of each and its files to download."""

    def run(self):
        """Write the table as the host of the directive would: in Markdown."""
        rows = ["| Lecture | Figure | On white | On dark |", "| --- | --- | --- | --- |"]
        for name, (lecture, words) in gallery_order.SLIDES.items():
            section, stem = name.split("/")
            images, page = f"/gallery/{section}/images", f"/gallery/{section}/{stem.rpartition('_')[0]}"
            image = (
                f"![A figure for a slide, small here and large behind the links: {words}]({images}/sphx_glr_{stem}.svg)"
            )
            files = [
                ", ".join(
                    f"{{download}}`{kind.upper()} <{images}/slide_{stem}{suffix}.{kind}>`" for kind in ("svg", "png")
                )
                for suffix in _THEMES
            ]
            rows.append(
                f"| [{lecture}](#lecture-{lecture}) | {image} {{doc}}`{words} <{page}>` | {' | '.join(files)} |"
            )
        return self.parse_text_to_nodes("\n".join(rows))


def setup(app):
    """Register the table."""
    app.add_directive("slides", Slides)
    return {"parallel_read_safe": True}
