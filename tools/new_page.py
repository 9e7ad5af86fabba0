"""Start a page of the gallery: `nox -s new-page -- theory my-claim`.

It writes a script that runs and checks itself, and names it in the order of the gallery, in the table of lessons that
the tests hold the site to, and in the bibliography. Every place that is yours to fill says so in the script's text.
"""

from __future__ import annotations

import argparse
import re
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 40
_SCRIPT = '''r"""
{title}
{line}

Two sentences of why: what a reader believes before this page, and what the page changes. Name every symbol of the
equation. This one says that a step of :term:`gradient descent` with :term:`learning rate` :math:`\\eta` on
:math:`\\tfrac{{\\lambda}}{{2}} \\theta^2`, a bowl of curvature :math:`\\lambda`, multiplies :math:`\\theta` by one number:

.. math:: \\theta_{{k+1}} = (1 - \\eta \\lambda) \\, \\theta_k

Say what to look for in the figure. Put in your own claim, equation and code; keep what the page has: a check in the
open, a text for each figure, limits, exercises with solutions, and the way on. (Source: :cite:t:`{key}`.)
"""

import matplotlib.pyplot as plt
import numpy as np

from gdexplain import use_style
from gdexplain.plotting import COLORS, label_lines

use_style()
learning_rate, curvature, steps = 0.1, 2.0, 20
predicted = (1 - learning_rate * curvature) ** np.arange(steps + 1)

# %%
# Say what the next lines do, in the words of the equation.
measured = [1.0]
for _ in range(steps):
    grad = curvature * measured[-1]
    measured.append(measured[-1] - learning_rate * grad)

# sphinx_gallery_alt = "Distance from the minimum against updates, log axis. The measured points lie on the predicted line, "
# sphinx_gallery_alt = "which falls by the same factor at every update."
fig, ax = plt.subplots()
ax.plot(predicted, "--", color=COLORS["theory"], label="predicted")
ax.plot(measured, "o", color=COLORS["batch"], ms=4, label="measured")
ax.set(xlabel="update", ylabel="distance from the minimum", yscale="log")
label_lines(ax)

# %%
# One paragraph on what the figure shows. Then the check, with the reason for its tolerance beside it.
print(f"predicted {{predicted[-1]:.6f}}, measured {{measured[-1]:.6f}}")
np.testing.assert_allclose(measured, predicted, rtol=1e-12)  # twenty products in float64 round that little

# %%
# What this does not show: where the claim ends.
#
# Exercises
# ---------
#
# 1. At which rate does one update reach the minimum?
#
# The solution:
print(f"1. at {{1 / curvature}}: the factor is {{1 - 1 / curvature * curvature}}")
assert 1 - 1 / curvature * curvature == 0
plt.show()

# %%
# Next: name the page that goes on from here, with a link.
'''
_ENTRY = """
@misc{{{key},
  author = {{Put the authors here}},
  title  = {{Put the title of the source of {name} here}},
  year   = {{{year}}},
}}
"""
_YEAR = "1847"  # that of Cauchy's method, until the source's own stands here


def check(root: Path, section: str, name: str) -> None:
    """Refuse, in words, what cannot be a new page.

    Raises
    ------
    ValueError
        If the section is unknown, the name is not made of small words, or something of that name is there.
    """
    order = load_order(root)
    if section not in order:
        raise ValueError(f"there is no section {section!r}; choose one of {', '.join(order)}")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise ValueError(
            f"a name is small letters and digits joined by hyphens, such as my-claim, {_LONGEST} at most; got {name!r}"
        )
    script = script_of(name)
    taken = [place for place, names in order.items() if script in names]
    taken += [path.parent.name for path in (root / "examples").glob(f"*/{script}")]
    if taken:
        raise ValueError(f"examples/{taken[0]}/{script} is there already; choose another name")


def script_of(name: str) -> str:
    """Give the file name of the script of a page."""
    return f"plot_{name.replace('-', '_')}.py"


def load_order(root: Path) -> dict[str, list[str]]:
    """Read the order of the gallery."""
    return runpy.run_path(str(root / "docs" / "gallery_order.py"))["ORDER"]  # run, not imported: no cache is written


def plan(root: Path, section: str, name: str) -> dict[Path, str]:
    """Work out the new text of every file that a page touches."""
    check(root, section, name)
    title, key = name.replace("-", " ").capitalize(), f"{name.replace('-', '')}{_YEAR}"
    order, lessons, sources = (
        root / "docs" / "gallery_order.py",
        root / "tests" / "site" / "test_curriculum.py",
        root / "docs" / "reference" / "references.bib",
    )
    text = order.read_text(encoding="utf-8")
    start = text.index(f'    "{section}": [\n')
    end = text.index("    ],\n", start)
    page = f"gallery/{section}/{script_of(name).removesuffix('.py')}.html"
    return {
        root / "examples" / section / script_of(name): _SCRIPT.format(title=title, line="=" * len(title), key=key),
        order: f'{text[:end]}        "{script_of(name)}",\n{text[end:]}',
        lessons: _with_lesson(lessons.read_text(encoding="utf-8"), title[0].lower() + title[1:], page),
        sources: sources.read_text(encoding="utf-8").rstrip("\n")
        + "\n"
        + _ENTRY.format(key=key, name=name, year=_YEAR),
    }


def _with_lesson(text: str, claim: str, page: str) -> str:
    """Add a lesson at the end of the table, under the number of the last one: give it its own if it has one."""
    start = text.index("CURRICULUM = (\n")
    end = text.index("\n)\n", start) + 1
    number = re.findall(r"^    Lesson\(\s*(\d+),", text[start:end], re.MULTILINE)[-1]
    lesson = f'({number}, "{claim}", "{page}", (r"predicted (\\S+), measured \\1\\n",))'
    return f"{text[:end]}    Lesson{lesson},\n{text[end:]}"


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write the files of a new page, or say why not."""
    parser = argparse.ArgumentParser(prog="nox -s new-page --", description="Start a page of the gallery.")
    parser.add_argument("section", help="a folder of examples/")
    parser.add_argument("name", help="small words joined by hyphens, such as my-claim")
    parser.add_argument("--dry-run", action="store_true", help="say which files would be written, and write none")
    given = parser.parse_args(arguments)
    try:
        files = plan(root, given.section, given.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in files.items():
        print(path.relative_to(root).as_posix())
        if not given.dry_run:
            path.write_text(text, encoding="utf-8", newline="\n")
    if not given.dry_run:
        script = f"examples/{given.section}/{script_of(given.name)}"
        print(f"\nThe page runs as it is: `python {script}`. Now make it yours; CONTRIBUTING.md says how.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
