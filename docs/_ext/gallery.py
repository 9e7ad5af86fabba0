"""The gallery: its order by hand, one state before each script, and figures with alt text."""

from __future__ import annotations

import ast
import html
import logging
import random
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import gallery_order
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import slides
from docutils import nodes
from matplotlib.animation import Animation, FFMpegWriter
from sphinx.errors import ConfigError, ExtensionError

# -- order ------------------------------------------------------------------------------------------------------------


def section_order(folder):
    """Sort sections by their place in `gallery_order.ORDER`."""
    return list(gallery_order.ORDER).index(Path(folder).name)


class ScriptOrder:
    """Sort key of the scripts of one section: their place in `gallery_order.ORDER`."""

    def __init__(self, source_dir):
        self.scripts = gallery_order.ORDER.get(Path(source_dir).name, [])

    def __call__(self, filename):
        return self.scripts.index(Path(filename).name)


def check_order(examples: Path) -> None:
    """Refuse scripts that are not listed, that are listed and missing, or that would not be run."""
    listed = {f"{section}/{name}" for section, names in gallery_order.ORDER.items() for name in names}
    found = {path.relative_to(examples).as_posix() for path in examples.rglob("*.py")}
    check_companions(examples, found)
    found -= set(gallery_order.COMPANIONS)
    if found - listed:
        raise ConfigError(f"examples missing from docs/gallery_order.py: {', '.join(sorted(found - listed))}")
    if listed - found:
        raise ConfigError(f"docs/gallery_order.py lists scripts that do not exist: {', '.join(sorted(listed - found))}")
    wrong = [name for name in sorted(listed) if not re.fullmatch(r"\w+/plot_\w+\.py", name)]
    if wrong:
        raise ConfigError(
            f"only scripts named plot_*.py, in letters, digits and underscores, are run: {', '.join(wrong)}"
        )


def check_companions(examples: Path, found: set[str]) -> None:
    """Refuse a script that is no page unless a page shows it and a test runs it."""
    for name, (page, test) in gallery_order.COMPANIONS.items():
        if name not in found:
            raise ConfigError(f"docs/gallery_order.py names a companion that does not exist: {name}")
        if f".. literalinclude:: /../examples/{name}" not in (examples / page).read_text(encoding="utf-8"):
            raise ConfigError(f"examples/{name} is no page, and examples/{page} does not show it")
        if Path(name).name not in (examples.parent / "tests" / test).read_text(encoding="utf-8"):
            raise ConfigError(f"examples/{name} is not run by the build, and tests/{test} does not run it")


class _OnlyNames(logging.Filter):
    """Let sphinx-gallery warn of spaces in the names of scripts, but not in that of the folder they lie in.

    It looks at whole paths, and its warning would stop every build in a folder such as "my projects".
    """

    def filter(self, record):
        """Say whether a message is worth showing: no script that `check_order` lets in has a space in its name."""
        return not str(record.msg).startswith("Example file name(s) with spaces found")


# -- the state before each script -------------------------------------------------------------------------------------


def reset(gallery_conf, filename):
    """Give every script the same start: seeds, Keras' session, the project's figure style."""
    import imageio_ffmpeg

    import gdexplain

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # a script that uses the legacy state must be reproducible too
    if "keras" in sys.modules:
        keras = sys.modules["keras"]
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
    gdexplain.use_style()
    mpl.rcParams["savefig.transparent"] = True
    mpl.rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()


# -- the solutions of exercises ---------------------------------------------------------------------------------------

_FOLD = '<details class="hide solutions"><summary>Show the solutions</summary>'


def fold_solutions(app, doctree):
    """Fold away what follows the questions of a script's exercises, up to the words that lead to the next page."""
    if not app.env.docname.startswith("gallery/"):
        return
    for section in doctree.findall(nodes.section):
        if section[0].astext() != "Exercises":
            continue
        questions = [k for k, node in enumerate(section) if isinstance(node, nodes.enumerated_list)]
        leads_on = [k for k, node in enumerate(section) if node.astext().startswith("Next: ")]
        if not questions or not leads_on:
            raise ExtensionError(
                f"{app.env.docname}: the exercises need a numbered list, and a line that begins with Next:"
            )
        section.insert(leads_on[-1], nodes.raw("", "</details>", format="html"))
        section.insert(questions[-1] + 1, nodes.raw("", _FOLD, format="html"))


# -- figures ----------------------------------------------------------------------------------------------------------

_ALT_LINE = r"^[ \t]*#[ \t]*sphinx_gallery_alt[ \t]*=[ \t]*(.+)\n?"
_ALT_RUN = re.compile(rf"(?:{_ALT_LINE})+", re.MULTILINE)
_IMAGE = """
.. image:: /{stem}.svg
   :alt: {alt}
   :class: sphx-glr-single-img
"""
_ANIMATION = """
.. animation:: /{stem}
   :alt: {alt}
"""


def alt_texts(code: str) -> list[str]:
    """Read the alt texts of a code block: each run of `# sphinx_gallery_alt = "..."` lines is one text."""
    runs = (run.group() for run in _ALT_RUN.finditer(code))
    return ["".join(ast.literal_eval(line) for line in re.findall(_ALT_LINE, run, re.MULTILINE)) for run in runs]


def scrape(block, block_vars, gallery_conf):
    """Save the open figures of a code block, and its animations, each with the alt text written in the block."""
    numbers = plt.get_fignums()
    alts = alt_texts(block[1])
    if len(alts) != len(numbers):
        raise ExtensionError(
            f"{block_vars['src_file']}:{block[2]}: the code block that starts here draws {len(numbers)} figure(s) and has "
            f'{len(alts)} alt text(s); write one `# sphinx_gallery_alt = "..."` comment for each'
        )
    animations = {value._fig: value for value in block_vars["example_globals"].values() if isinstance(value, Animation)}
    rst = []
    for number, alt, path in zip(numbers, alts, map(Path, block_vars["image_path_iterator"]), strict=False):
        figure = plt.figure(number)
        if figure in animations:
            _save_animation(animations[figure], path)
        else:
            slides.save(figure, path, Path(block_vars["src_file"]).parent.name)
        figure.savefig(
            path.with_suffix(".svg"), dpi=150, metadata={"Date": None, "Creator": None}
        )  # a film's is its poster
        stem = path.with_suffix("").relative_to(gallery_conf["src_dir"]).as_posix()
        template = _ANIMATION if figure in animations else _IMAGE
        rst.append(template.format(alt=html.escape(alt), stem=stem))
    plt.close("all")
    return "".join(rst)


_FILM_DPI = 120  # wider than the text on a phone and on a page; each frame is drawn anew, so size is build time
_REST = "tpad=stop_mode=clone:stop_duration=2.5"  # a film ends with a pause
_DARK = "lutyuv=y=33+(235-val)*0.98"  # the page turns from white to #131416, the ink from dark to light; hues stay


def _save_animation(animation, path):
    """Save an animation on white, and turn its light for dark pages."""
    figure = animation._fig
    flags = [
        "-fflags",
        "+bitexact",
        "-flags",
        "+bitexact",
        "-threads",
        "1",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ]
    # Each frame would be laid out and drawn for a window, laid out again, and drawn for the film: two thirds of the time.
    figure.set_dpi(_FILM_DPI)
    animation._init_draw()  # the first frame's title needs room
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    light, dark = (path.with_name(f"{path.stem}{suffix}.mp4") for suffix in ("", "_dark"))
    with mpl.rc_context({"savefig.transparent": False}), mock.patch.object(figure.canvas, "draw_idle"):
        writer = FFMpegWriter(1000 / animation._interval, "libx264", extra_args=["-vf", _REST, "-crf", "18", *flags])
        animation.save(light, writer, dpi=_FILM_DPI)
    command = [mpl.rcParams["animation.ffmpeg_path"], "-y", "-v", "error", "-i", light, "-vf", _DARK, *flags, dark]
    subprocess.run(command, check=True)
    animation._init_draw()  # the poster is the whole picture


# -- pages --------------------------------------------------------------------------------------------------------------


def drop_tag_lists(app, docname, source):
    """Remove sphinx-gallery's empty lists of tags: each has the same id, which may stand once on a page."""
    if docname.startswith("gallery/"):
        source[0] = source[0].replace(".. raw:: html\n\n  <div id='sg-tag-list' class='sphx-glr-tag-list'></div>\n", "")


def setup(app):
    """Check the order before the gallery is made, and fold the solutions of its exercises."""
    logging.getLogger("sphinx.sphinx-gallery").addFilter(_OnlyNames())
    app.connect("builder-inited", lambda _: check_order(Path(app.srcdir).parent / "examples"), priority=100)
    app.connect("source-read", drop_tag_lists)
    app.connect("doctree-read", fold_solutions)
    return {"parallel_read_safe": True}
