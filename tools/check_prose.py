"""Find measured numbers that were typed into prose: `python tools/check_prose.py`.

A measured number belongs to the run that measured it: the page computes it and glues or prints it. So a decimal number
in prose is a fault, unless it is given rather than measured: a setting, data, a definition, a version. What is given
is named in `GIVEN`, each with its reason. Code, formulas, roles, links and outputs are not prose; the alt texts of
figures are.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"(?<![\w.^])[-−]?(?:\d+\.\d+(?:e[-−+]?\d+)?|\d+e[-−+]?\d+)(?![\w.]*\w)", re.IGNORECASE)
_N = r"[-−]?(?:\d+\.\d+|\d+e[-−+]?\d+|\d+)"
GIVEN = {
    "a learning rate is chosen, and so is another hyperparameter": (
        rf"\brates? (?:of )?{_N}(?:(?:, | and | or ){_N})*",
        rf"\bAdam at {_N}",
        rf"\bmomentum of {_N}",
        "half the floor of 0.1[?] It is not 0.05",
        "weight 1e-7",
        "at a of 0.01",  # the word between is a role
    ),
    "25 updates of Adam, each of at most the rate, by hand": ("0.25 at most", "further than 0.25"),
    "the original notebook printed it": ("notebook prints 0.432", "printed loss, 23.7309"),
    "Keras or a format defines it": ("starts? at 0.1", "0.01 becomes 0.009999999776"),
    "a plot or an exercise chooses it": (
        "steps from 1e-15 to 0.1",
        "best in float64, 1e-5",
        "from -4 to -3.999",
        "stand at 0.78, 0.85, 0.9 and 0.95",
        "log scale from 1e-4 to 1",
        "mode of strength 0.1",
        "at most 1.1 times",
        "all until the loss is below 0.01",
        "one wants -0.5, the other 0.5",
        "between 0.1 and 5",
        "from 0 to 0.9",
    ),
    "a test asserts it": ("with one process to 1e-6",),
    "a rule of thumb, with its source beside it": ("- up to (?:1e-7|1e-4|1e-2):",),
}
_ALT_OF_CELL = re.compile(r"^( *)alt: >-\n((?:\1 +.*\n)+)|^:alt: (.*)$", re.MULTILINE)
_ALT_OF_FIGURE = re.compile(r'# sphinx_gallery_alt = "(.*)"')
_PROSE_DIRECTIVES = "note|tip|important|warning|admonition|dropdown|glossary|seealso|grid|grid-item-card|figure|margin"


def _blank(text: str, pattern: str, flags: int = re.MULTILINE | re.DOTALL) -> str:
    """Blank what a pattern finds; lines keep their numbers."""
    return re.sub(pattern, lambda found: re.sub(r"[^\n]", " ", found.group()), text, flags=flags)


def prose_of_markdown(text: str) -> str:
    """Blank everything in a MyST page that is neither prose nor an alt text."""
    prose = _blank_code_and_formulas(text)
    for found in _ALT_OF_CELL.finditer(text):
        part = 2 if found[2] else 3
        prose = prose[: found.start(part)] + found[part] + prose[found.end(part) :]
    return prose


def _blank_code_and_formulas(text: str) -> str:
    """Blank everything in a MyST page that is not prose."""
    text = _blank(text, r"\A---\n.*?\n---\n")
    text = _blank(text, rf"^(?P<fence>[`~]{{3,}})(?!\{{(?:{_PROSE_DIRECTIVES})\}})[^\n]*\n.*?^(?P=fence)\s*$")
    text = _blank(text, r"^:[\w-]+:.*$", re.MULTILINE)
    text = _blank(text, r"\$\$.*?\$\$")
    text = _blank(text, r"\$[^$\n]+(?:\n[^$\n]+)?\$")
    text = _blank(text, r"\{[\w:+-]+\}`[^`]*`|`+[^`]+`+")
    return _blank(text, r"\]\([^)]*\)|<[^>\n]+>")


def prose_of_rst(text: str) -> str:
    """Blank everything in reStructuredText that is not prose."""
    text = _blank(text, r"^\.\. (?:math|code-block|code)::.*?(?=^\S|\Z)")
    text = _blank(text, r":[\w:]+:`[^`]*`|``.+?``|`[^`]*`_+")
    return _blank(text, r"^\s*:[\w-]+:.*$", re.MULTILINE)


def prose_of_script(text: str) -> str:
    """Blank everything in a gallery script but its docstring, the comments that become text, and the alt texts."""
    lines = text.split("\n")
    document = ast.parse(text).body[0]
    kept = set(range(document.lineno, (document.end_lineno or document.lineno) + 1))
    inside = False
    for number, line in enumerate(lines, 1):
        inside = line.startswith("# %%") or (inside and line.startswith("#"))
        if inside:
            kept.add(number)
        if found := _ALT_OF_FIGURE.match(line):
            kept.add(number)
            lines[number - 1] = found[1]
    words = [re.sub(r"^# ?(?:%%)?", "", line) if number in kept else "" for number, line in enumerate(lines, 1)]
    return prose_of_rst("\n".join(words))


def numbers_in(path: Path, text: str) -> list[tuple[int, str, str]]:
    """Find decimal numbers in a page's prose: (line, number, the line's text)."""
    readers = {".md": prose_of_markdown, ".rst": prose_of_rst, ".py": prose_of_script}
    prose = readers[path.suffix](text)
    for pattern in (pattern for patterns in GIVEN.values() for pattern in patterns):
        prose = _blank(prose, pattern.replace(" ", r"\s+"), re.MULTILINE)
    lines = prose.split("\n")
    return [(k, found.group(), line.strip()) for k, line in enumerate(lines, 1) for found in NUMBER.finditer(line)]


def sources(root: Path) -> list[Path]:
    """List the pages that people write."""
    made = {"_build", "gallery", "generated", "node_modules", "es"}  # a translation says what its English page says
    found = [
        *root.glob("docs/**/*.md"),
        *root.glob("docs/**/*.rst"),
        *root.glob("examples/**/*.py"),
        *root.glob("examples/**/*.rst"),
    ]
    return sorted(path for path in found if not made & {*path.relative_to(root).parts})


def main(root: Path) -> int:
    """Print every typed number; return 1 if there is one."""
    faults = 0
    for path in sources(root):
        for line, number, words in numbers_in(path, path.read_text(encoding="utf-8")):
            faults += 1
            print(f"{path.relative_to(root)}:{line}: {number} is typed into prose: {' '.join(words.split())[:110]}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(ROOT))
