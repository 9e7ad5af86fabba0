"""The explorables: figures that can be touched, refereed by Keras at build, which no library has.

``.. explorable:: playground`` (or ``backprop``, ``rule`` or ``map``) puts one on a page; its content is the caption, and
``:small:`` leaves of the playground what fits a first screen. Browsers
with scripts get a custom element of ``docs/explorables``; without scripts a figure and its text stay; other builders
write the text. What Keras computes for them is computed in a fork, beside the pages, and again when the package changes.
Pages without an explorable load nothing.
"""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import execute
import referee
from docutils import nodes
from docutils.parsers.rst import directives
from referee import LEAVES, Wanted
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

HERE, REFEREE = Path(__file__).resolve(), Path(referee.__file__)
SCRIPTS = HERE.parents[1] / "explorables"
NAME = "explorables"  # of this module, and of what it computes among the results of the pages
ORDER = ["engine", "ui", "settings", "plots", "words", "playground", "net", "backprop", "rule", "map"]
ALT = {
    "playground": (
        "Left, contours of the loss of the line y = 2x over weight w and bias b: a long, narrow valley, with three "
        "paths from the start at (0, 0). Batch gradient descent moves smoothly, mini-batch wavers, stochastic is "
        "jagged. Right, the loss of each on a log scale, falling."
    ),
    "net": (
        "The computational graph of a network with one input, two tanh units and one output. Each node carries its "
        "name, its value from the forward pass and its gradient from the backward pass."
    ),
    "circuit": (
        "The computational graph of (x + y) z: x and y feed the sum q; q and z feed the product f. Each node carries "
        "its value and its gradient."
    ),
    "rule": (
        "Steps against updates for three rules that are given one gradient ten times, and then none. Momentum's step "
        "grows with every update and dies out slowly, RMSProp's begins too long, Adam's is one rate from the first on."
    ),
    "map": (
        "A map over learning rate and momentum. The colour says how many updates the neuron needs to converge. Beyond "
        "a straight dashed line, the rate 2 (1 + beta) / lambda, every run diverges. The fastest runs lie in the upper "
        "half, at a high momentum and well inside the line."
    ),
}


class Explorable(nodes.General, nodes.Element):
    """One explorable; its children are its caption."""


class ExplorableDirective(SphinxDirective):
    """Put an explorable on the page."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "settings": directives.unchanged,
        "small": directives.flag,
        "graph": lambda value: directives.choice(value, tuple(LEAVES)),
        "alt": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Build the node, and remember for the page what it needs."""
        kind = self.arguments[0]
        if kind not in ("playground", "backprop", "rule", "map"):
            raise self.error(f"explorable must be playground, backprop, rule or map, not {kind!r}.")
        graph = self.options.get("graph", "net") if kind == "backprop" else ""
        wanted = Wanted(kind, graph, self.options.get("settings", ""))
        alt = self.options.get("alt", ALT[graph or kind])
        node = Explorable(wanted=wanted, alt=alt, small="small" in self.options)
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        _pages(self.env).setdefault(self.env.docname, []).append(wanted)
        return [node]


# ---- Files ---------------------------------------------------------------------------------------------------------


def script() -> str:
    """Return all scripts as one file, in their order: one request, and the next page has it already."""
    return "".join((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in ORDER)


def style() -> str:
    """Return the style sheet without its comments."""
    text = (SCRIPTS / "explorables.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/\n?", "", text, flags=re.DOTALL)


def minify(source: str) -> str:
    """Have terser, which npm fetched with KaTeX, shorten a script."""
    import npm

    tool = HERE.parents[1] / "_build" / "katex" / "node_modules" / "terser" / "bin" / "terser"
    done = subprocess.run(  # both paths are ours
        [npm.NODE, tool, "--compress", "passes=2", "--mangle", "--toplevel"],
        input=source, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return done.stdout


def cached(path: Path, key: str, make: Callable[[], Any]) -> Any:
    """Return what `make` returned when the key was last this one."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else [None, None]
    if known[0] != key:
        known = [key, make()]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known), encoding="utf-8")
    return known[1]


# ---- Sphinx --------------------------------------------------------------------------------------------------------


def _pages(env: BuildEnvironment) -> dict[str, list[Wanted]]:
    """Return the explorables of every page, as kept with the environment."""
    if not hasattr(env, "explorables"):
        env.explorables = {}  # type: ignore[attr-defined]  # Sphinx keeps what extensions put here
    pages: dict[str, list[Wanted]] = env.explorables
    return pages


def outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """Read the pages with an explorable again when the package or the scripts have changed."""
    key = execute.key_of(app.gdexplain_results[NAME]["key"], script(), style())  # type: ignore[attr-defined]
    before, env.explorables_key = getattr(env, "explorables_key", key), key  # type: ignore[attr-defined]
    return [] if before == key else [name for name in _pages(env) if name in env.all_docs]


def forget(_: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Drop a page that is read again or gone."""
    _pages(env).pop(docname, None)


def merge(_: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: BuildEnvironment) -> None:
    """Take over what a parallel reader found."""
    _pages(env).update({name: found for name, found in _pages(other).items() if name in docnames})


def provide(app: Sphinx, env: BuildEnvironment) -> None:
    """Put the script, the style sheet and the figures beside the pages, and keep the payload for them."""
    wanted = {one for page in _pages(env).values() for one in page}
    if not wanted or app.builder.format != "html":
        return
    about = app.gdexplain_results[NAME]  # type: ignore[attr-defined]
    if about["failures"]:
        raise ExtensionError(f"what the explorables show could not be computed: {about['failures'][0]['measured']}")
    folder, target = Path(app.doctreedir) / "explorables", Path(app.outdir) / "_static" / "explorables"
    target.mkdir(parents=True, exist_ok=True)
    graphs = sorted({one for one in wanted if one.graph} | {Wanted("backprop", graph, "") for graph in LEAVES})
    key = execute.key_of(about["key"], graphs)
    drawn = cached(folder / "graphs.json", key, lambda: execute.in_fork("referee", "draw", graphs))
    light = cached(folder / "script.json", script(), lambda: minify(script()))
    (target / "explorables.js").write_text(light, encoding="utf-8")
    (target / "explorables.css").write_text(style(), encoding="utf-8")
    for name, picture in {**about["pictures"], **drawn["pictures"]}.items():
        (target / name).write_text(picture, encoding="utf-8", newline="\n")
    payload = json.dumps({**about["reference"], "graphs": drawn["tapes"]}, separators=(",", ":"))
    app.explorables_payload = payload.replace("</", "<\\/")  # type: ignore[attr-defined]


def add_files(app: Sphinx, pagename: str, _: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script and the style sheet, and carry the payload, on the pages that use them."""
    if doctree is None or app.builder.format != "html" or not _pages(app.env).get(pagename):
        return
    app.add_css_file("explorables/explorables.css")
    app.add_js_file("explorables/explorables.js", loading_method="defer")
    payload = app.explorables_payload  # type: ignore[attr-defined]
    context["body"] += f'<script type="application/json" id="gdx-payload">{payload}</script>\n'


def visit_html(self: Any, node: Explorable) -> None:
    """Write the element with its static figure inside, and open the caption."""
    wanted: Wanted = node["wanted"]
    static = os.path.normpath(f"{self.builder.imgpath}/../_static/explorables").replace(os.sep, "/")
    given = {"settings": wanted.settings, "graph": wanted.graph, "data-playground": _playground_page(self.builder)}
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in given.items() if value)
    attributes += " small" * node["small"]
    self.body.append(
        f'<figure class="gdx-figure"><gdx-{wanted.kind}{attributes}><img class="gdx-static" width="648" height="288" '
        f'src="{static}/{wanted.picture}" alt="{html.escape(node["alt"])}"></gdx-{wanted.kind}>{"<figcaption>" if node.children else ""}'
    )


def depart_html(self: Any, node: Explorable) -> None:
    """Close the caption and the figure."""
    self.body.append(f"{'</figcaption>' if node.children else ''}</figure>\n")


def _playground_page(builder: Any) -> str:
    """Return the way from the present page to the first page with a playground, if there is one."""
    found = sorted(name for name, page in _pages(builder.env).items() if any(one.kind == "playground" for one in page))
    found = ["explore/index"] if "explore/index" in found else found
    return str(builder.get_relative_uri(builder.current_docname, found[0])) if found else ""


def visit_text(_: Any, node: Explorable) -> None:
    """Say the figure in words, before the caption."""
    node.insert(0, nodes.paragraph("", f"[Figure: {node['alt']}]"))


def depart_text(_: Any, __: Explorable) -> None:
    """Nothing is left to close."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, its node for every builder, and the files."""
    words = (visit_text, depart_text)
    app.add_node(
        Explorable, html=(visit_html, depart_html), text=words, latex=words, man=words, texinfo=words, gettext=words
    )
    app.add_directive("explorable", ExplorableDirective)
    execute.ALSO.append(
        lambda base: execute.Page(NAME, REFEREE, execute.key_of(base, execute.code_of(REFEREE)), ("referee", "compute"))
    )
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", provide)
    app.connect("html-page-context", add_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True, "env_version": 2}
