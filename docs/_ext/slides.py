"""The table of the gallery's figures as slides, for teachers; `figures` makes their files."""

from __future__ import annotations

import gallery_order
from sphinx.util.docutils import SphinxDirective


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
                for suffix in ("", "_dark")
            ]
            rows.append(
                f"| [{lecture}](#lecture-{lecture}) | {image} {{doc}}`{words} <{page}>` | {' | '.join(files)} |"
            )
        return self.parse_text_to_nodes("\n".join(rows))


def setup(app):
    """Register the table."""
    app.add_directive("slides", Slides)
    return {"parallel_read_safe": True}
