"""The state before each script, and its figures: with alt text, small, as films and slides; sphinx-gallery has neither."""

from __future__ import annotations

import ast
import html
import random
import re
import sys
from pathlib import Path
from unittest import mock

import gallery_order
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from images import shrink
from matplotlib.animation import Animation, FFMpegWriter
from sphinx.errors import ExtensionError

# -- the state before each script -------------------------------------------------------------------------------------


def reset(gallery_conf, filename):
    """Give every script the same start: seeds, Keras' session, the project's figure style."""
    import imageio_ffmpeg

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # a script that uses the legacy state must be reproducible too
    if "keras" in sys.modules:
        keras = sys.modules["keras"]
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
    use_site_style()
    mpl.rcParams["animation.ffmpeg_path"] = imageio_ffmpeg.get_ffmpeg_exe()


def use_site_style():
    """Draw in the project's style, on no background of its own: the page is light or dark."""
    import gdexplain

    gdexplain.use_style()
    mpl.rcParams["savefig.transparent"] = True


# -- figures ----------------------------------------------------------------------------------------------------------

_ALT_LINE = r"^[ \t]*#[ \t]*sphinx_gallery_alt[ \t]*=[ \t]*(.+)\n?"
_ALT_RUN = re.compile(rf"(?:{_ALT_LINE})+", re.MULTILINE)
_IMAGE = """
.. image-sg:: /{path}
   :alt: {alt}
   :srcset: /{path}, /{path_2x} 2.00x
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
    if "formatted_exception" in block_vars:  # an error has ended the script, and that is said
        plt.close("all")
        return ""
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
        paths = {"path": path, "path_2x": path.with_name(f"{path.stem}_2_00x.png"), "stem": path.with_suffix("")}
        if figure in animations:
            _save_animation(animations[figure], path)
        else:
            _save_figure(figure, paths["path"], paths["path_2x"])
            _save_slide(figure, path, Path(block_vars["src_file"]).parent.name)
        names = {key: value.relative_to(gallery_conf["src_dir"]).as_posix() for key, value in paths.items()}
        template = _ANIMATION if figure in animations else _IMAGE
        rst.append(template.format(alt=html.escape(alt), **names))
    plt.close("all")
    return "".join(rst)


def _save_figure(figure, path, path_2x):
    """Save a figure in plain and in double resolution."""
    for name, factor in ((path, 1), (path_2x, 2)):
        dpi = mpl.rcParams["savefig.dpi"]
        figure.savefig(name, dpi=factor * (figure.dpi if dpi == "figure" else dpi), metadata={"Software": None})
        shrink(name)


_FILM_DPI = 120  # wider than the text on a phone and on a page; each frame is drawn anew, so size is build time


def _save_animation(animation, path):
    """Save an animation on both themes' backgrounds, and its last frame as the poster."""
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
    with mpl.rc_context({"savefig.transparent": False}), mock.patch.object(figure.canvas, "draw_idle"):
        for suffix, background in _BACKGROUNDS.items():
            writer = FFMpegWriter(fps=round(1000 / animation._interval), codec="libx264", extra_args=flags)
            animation.save(
                path.with_name(f"{path.stem}{suffix}.mp4"),
                writer,
                dpi=_FILM_DPI,
                savefig_kwargs={"facecolor": background},
            )
    figure.savefig(path, dpi=_FILM_DPI, metadata={"Software": None})
    shrink(path)


_BACKGROUNDS = {"": "#ffffff", "_dark": "#131416"}
_REPEATABLE = {"svg.hashsalt": "gdexplain", "savefig.transparent": False}  # the same ids, and so bytes, in every build


def _save_slide(figure, path: Path, section: str) -> None:
    """Save a figure that is on the list of slides, on white and on dark: `path` is its image on the page."""
    stem = path.stem.removeprefix("sphx_glr_")
    if f"{section}/{stem}" not in gallery_order.SLIDES:
        return
    with mpl.rc_context(_REPEATABLE):
        for suffix, background in _BACKGROUNDS.items():
            file, options = path.with_name(f"slide_{stem}{suffix}"), {"facecolor": background}
            figure.savefig(file.with_suffix(".svg"), **options, metadata={"Date": None, "Creator": None})
            figure.savefig(file.with_suffix(".png"), **options, dpi=300, metadata={"Software": None})
            shrink(file.with_suffix(".png"))
