"""Mathematics rendered at build over a pipe: sphinxcontrib-katex's server is sometimes asked before it is ready.

npm fetches what `docs/package-lock.json` names, with the node of this environment. Pages get HTML with MathML; the
site ships KaTeX's style sheet and fonts.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from pathlib import Path

import npm
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)


def install(docs: Path, work: Path) -> None:
    """Fetch the locked KaTeX if it is not there yet, and lay out what the site ships."""
    if npm.install(docs, work) or not (work / "static").exists():
        shutil.rmtree(work / "laid-out", ignore_errors=True)
        _lay_out(work / "node_modules" / "katex" / "dist", work / "laid-out" / "katex")
        (work / "laid-out").rename(work / "static")  # all of it or nothing, if the build is stopped right here


def _lay_out(dist: Path, target: Path) -> None:
    """Copy the style sheet and its woff2 fonts; every browser of today reads those, so no others are named."""
    (target / "fonts").mkdir(parents=True)
    style = (dist / "katex.min.css").read_text()
    style = re.sub(r',url\([^)]+\.(?:woff|ttf)\) format\("[^"]+"\)', "", style)
    (target / "katex.min.css").write_text(style)
    for font in dist.glob("fonts/*.woff2"):
        shutil.copy(font, target / "fonts")


@functools.cache
def _renderer(katex: str) -> subprocess.Popen:
    """Start the one node process that renders for this build; it ends when its stdin is closed, with this process."""
    script = Path(__file__).with_name("katex.cjs")
    return subprocess.Popen(
        [npm.NODE, script, katex], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", bufsize=1
    )


@functools.cache
def render(katex: str, latex: str, *, display: bool) -> dict[str, str]:
    """Render one formula: a dict with `html`, or with `error` where KaTeX cannot read it."""
    renderer = _renderer(katex)
    renderer.stdin.write(json.dumps({"latex": latex, "displayMode": display}) + "\n")
    renderer.stdin.flush()
    answer = renderer.stdout.readline()
    if not answer:
        raise ExtensionError("the node process that renders mathematics has ended")
    return json.loads(answer)


def _aligned(latex: str) -> str:
    r"""Set lines that are broken by ``\\\\`` below each other, as Sphinx does for its other renderers."""
    if r"\\" in latex and r"\begin{" not in latex:
        return rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return latex


_TOKEN = re.compile(r"\\(?:begin|end|left|right|q?quad)(?![a-zA-Z])|\\.|[{}]", re.DOTALL)
_DEEPER = {r"\begin": 1, r"\left": 1, "{": 1, r"\end": -1, r"\right": -1, "}": -1}


def parts(latex: str) -> list[str]:
    r"""Cut a formula at every ``\quad`` and ``\qquad`` that stands outside of all brackets.

    The parts are set beside each other where there is room, and below each other on a phone.
    """
    cuts, depth = [0], 0
    for token in _TOKEN.finditer(latex):
        depth += _DEEPER.get(token.group(), 0)
        if depth == 0 and token.group() in {r"\quad", r"\qquad"}:
            cuts += token.span()
    pieces = [latex[start:end].strip() for start, end in zip(cuts[::2], [*cuts[1::2], len(latex)], strict=True)]
    return [piece for piece in pieces if piece]


def _formula(translator, node, *, display: bool) -> str:
    """Render a node's formula, and warn with its place where KaTeX refuses it."""
    pieces = parts(_aligned(node.astext())) if display else [node.astext()]
    answers = [render(translator.config.katex_module, piece, display=display) for piece in pieces]
    for answer in answers:
        if "error" in answer:
            logger.warning("%s", answer["error"], location=node, type="gdexplain", subtype="katex")
    html = "".join(answer.get("html", "") for answer in answers)
    return f'<div class="math-parts">{html}</div>' if len(pieces) > 1 else html


def visit_inline(translator, node):
    """Write a formula in a line of text."""
    translator.body.append(translator.starttag(node, "span", "", CLASS="math"))
    translator.body.append(_formula(translator, node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_display(translator, node):
    """Write a formula that stands by itself, with its number if it has one."""
    ids = [name for name in node["ids"] if name not in node.parent["ids"]]  # MyST's wrapper carries the label already
    translator.body.append(translator.starttag({"ids": ids, "classes": node["classes"]}, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append(_formula(translator, node, display=True) + "</div>")
    raise nodes.SkipNode


def setup(app):
    """Fetch KaTeX and register the renderer."""
    work = Path(app.srcdir) / "_build" / "katex"
    install(Path(app.srcdir), work)
    app.add_config_value("katex_module", str(work / "node_modules" / "katex"), "", str)
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.add_css_file("katex/katex.min.css")
    return {"parallel_read_safe": True}
