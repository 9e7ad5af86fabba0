"""The state before each script, and its figures: with alt text, small, as films and slides; sphinx-gallery has neither."""

from __future__ import annotations

import ast
import html
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
from images import darken_pixels, write_twin
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
UNDATED = {"Date": None, "Creator": None}  # of an SVG: the same bytes in every build
_DOTS = 150  # an inch, of what is drawn in dots within an SVG: the cells of a map
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
        if figure in animations:
            _save_animation(animations[figure], path)
        else:
            _save_slide(figure, path, Path(block_vars["src_file"]).parent.name)
        figure.savefig(path.with_suffix(".svg"), dpi=_DOTS, metadata=UNDATED)  # a film's is its poster
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


def _save_slide(figure, path: Path, section: str) -> None:
    """Save a figure that is on the list of slides, on white and on dark: `path` is its image on the page."""
    stem = path.stem.removeprefix("sphx_glr_")
    if f"{section}/{stem}" not in gallery_order.SLIDES:
        return
    light, dark = (path.with_name(f"slide_{stem}{suffix}.svg") for suffix in ("", "_dark"))
    with mpl.rc_context({"savefig.transparent": False}):
        figure.savefig(light, metadata=UNDATED)
        figure.savefig(light.with_suffix(".png"), dpi=300, metadata={"Software": None})
    write_twin(light)
    darken_pixels(light.with_suffix(".png"), dark.with_suffix(".png"))
