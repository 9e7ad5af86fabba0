"""The explorables: figures that can be touched, refereed by Keras at build, which no library has.

``.. explorable:: playground`` (or ``backprop``, ``rule`` or ``map``) puts one on a page; its content is the caption, and
``:small:`` leaves of the playground what fits a first screen. Browsers
with scripts get a custom element of ``docs/explorables``; without scripts a figure and its text stay; other builders
write the text. What Keras computes for them is computed in a fork, beside the pages, and again when the package changes.
Pages without an explorable load nothing.
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl

import execute
import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve()
SCRIPTS = HERE.parents[1] / "explorables"
NAME = "explorables"  # of this module, and of what it computes among the results of the pages
ORDER = ["engine", "ui", "settings", "plots", "words", "playground", "net", "backprop", "rule", "map"]
LINE = [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]]
CLOUD = [[-1.5, -2.0], [0.0, 1.5], [0.5, 0.25], [1.0, 3.0], [2.0, 2.5]]
CHECKPOINTS = [1, 2, 3, 5, 10, 20, 50]  # the updates whose (w, b) a page carries
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.5, "rmsprop": 0.1, "adam": 0.1, "adamw": 0.1}
GRADIENTS = [4.0, 4.0, -2.0, 0.5, 0.0, 1e-3, 3.0]  # what the rules are given, one weight's, an update each
UPDATES = 400  # what the map grants each place
PLACES = {
    "beta": [(0.1, 0.6), (0.186, 0.58), (0.05, 0.9), (0.15, 0.2), (0.02, 0.3), (0.119, 0.0)],
    "batch": [(0.06, 1), (0.08, 1), (0.05, 2), (0.1, 3), (0.119, 4), (0.13, 4)],
}
LEAVES = {"net": ["x", "y", "w1", "w2", "b1", "b2", "v1", "v2", "c"], "circuit": ["x", "y", "z"]}
STANDARD = {"net": [2.0, 1.0, 0.5, -0.5, 0.0, 0.5, 1.0, 2.0, 0.5], "circuit": [-2.0, 5.0, -4.0]}
PLACE_OF = {
    "net": {"w1": (0, 4), "b1": (0, 3), "x": (0, 2), "w2": (0, 1), "b2": (0, 0), "z1": (1, 3), "z2": (1, 1), "h1": (2, 3), "h2": (2, 1), "v1": (2, 4), "c": (2, 2), "v2": (2, 0), "yhat": (3, 2), "y": (3, 0), "loss": (4, 2)},
    "circuit": {"x": (0, 2), "y": (0, 1), "z": (0, 0), "q": (1, 1.5), "f": (2, 0.75)},
}  # fmt: skip
INTO = {
    "net": {"z1": "w1 x b1", "z2": "w2 x b2", "h1": "z1", "h2": "z2", "yhat": "v1 h1 v2 h2 c", "loss": "yhat y"},
    "circuit": {"q": "x y", "f": "q z"},
}
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


class Wanted(NamedTuple):
    """One explorable on a page: which, which graph, and where it starts."""

    kind: str
    graph: str
    settings: str

    @property
    def picture(self) -> str:
        """The file name of its static figure."""
        name = self.graph or self.kind
        return f"{name}-{hashlib.sha256(self.settings.encode()).hexdigest()[:8]}.svg" if self.graph else f"{name}.svg"

    @property
    def leaves(self) -> dict[str, float]:
        """The numbers that a graph starts with."""
        numbers = dict(zip(LEAVES[self.graph], STANDARD[self.graph], strict=True))
        given = dict(parse_qsl(self.settings))
        weights = LEAVES[self.graph][2:]
        flat = dict(zip(weights, given.get("weights", "").split(","), strict=True)) if given.get("weights") else {}
        return numbers | {name: float(text) for name, text in {**given, **flat}.items() if name in numbers}


LONG = Wanted("playground", "", ""), Wanted("rule", "", ""), Wanted("map", "", "")  # their figures take seconds


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


# ---- What Keras computes -------------------------------------------------------------------------------------------


def reference() -> dict[str, Any]:
    """Run Keras for the playground and the map."""
    from gdexplain import max_stable_sgd_learning_rate

    places = [
        {"by": by, "lr": lr, "other": other, "needed": updates_needed(by, lr, other)}
        for by, pairs in PLACES.items()
        for lr, other in pairs
    ]
    limits = [max_stable_sgd_learning_rate(_dataset(LINE), size) for size in range(1, len(LINE) + 1)]
    return {
        "keras": version("keras"),
        "runs": reference_runs(),
        "rules": reference_rules(),
        "map": {"limit": UPDATES, "limits": limits, "places": places},
    }


def optimizer_of(opt: str, rate: float, beta: float) -> Any:
    """Build the Keras optimizer that a setting of the playground names."""
    from keras import optimizers

    make: dict[str, Callable[[], Any]] = {
        "sgd": lambda: optimizers.SGD(rate),
        "momentum": lambda: optimizers.SGD(rate, momentum=beta),
        "nesterov": lambda: optimizers.SGD(rate, momentum=beta, nesterov=True),
        "adagrad": lambda: optimizers.Adagrad(rate),
        "rmsprop": lambda: optimizers.RMSprop(rate, rho=beta),
        "adam": lambda: optimizers.Adam(rate, beta_1=beta),
        "adamw": lambda: optimizers.AdamW(rate, beta_1=beta),
    }
    return make[opt]()


def train_line(settings: dict[str, Any], updates: int) -> Any:
    """Train one neuron in Keras, in float64, as the playground would."""
    from gdexplain import build_linear, train

    data = _dataset(settings["data"])
    epochs = -(-updates // -(-len(data) // settings["batch"]))
    return train(
        build_linear(settings["w"], settings["b"], dtype="float64"),
        data,
        optimizer=optimizer_of(settings["opt"], settings["lr"], settings["beta"]),
        batch_size=settings["batch"],
        epochs=epochs,
        seed=settings["seed"],
    )


def reference_runs() -> list[dict[str, Any]]:
    """Train with every optimizer at every kind of batch size; keep some rows of each trajectory."""
    runs = []
    for opt, rate in RATES.items():
        for data, batch, seed in ((LINE, 4, 0), (LINE, 1, 1), (CLOUD, 2, 2)):
            settings = {
                "opt": opt,
                "batch": batch,
                "lr": rate,
                "beta": 0.9,
                "w": 0.25,
                "b": -1.0,
                "seed": seed,
                "data": data,
            }
            path = train_line(settings, max(CHECKPOINTS)).parameters
            runs.append({"settings": settings, "at": CHECKPOINTS, "path": [path[k].tolist() for k in CHECKPOINTS]})
    return runs


def reference_rules() -> list[dict[str, Any]]:
    """Have three rules of Keras move one weight in float64, each by the same gradients."""
    import keras
    import tensorflow as tf

    rules = []
    for opt in ("momentum", "rmsprop", "adam"):
        weight, optimizer = keras.Variable(1.0, dtype="float64"), optimizer_of(opt, 0.1, 0.9)
        optimizer.build([weight])
        path = []
        for gradient in GRADIENTS:
            optimizer.apply([tf.constant(gradient, tf.float64)], [weight])
            path.append(weight.numpy().item())
        rules.append({"opt": opt, "lr": 0.1, "beta": 0.9, "w": 1.0, "gradients": GRADIENTS, "path": path})
    return rules


def updates_needed(by: str, lr: float, other: float) -> int | None:
    """Return how many updates Keras makes until the loss is a millionth of the first; None if it never is."""
    rule = (
        {"opt": "momentum", "beta": other, "batch": len(LINE)}
        if by == "beta"
        else {"opt": "sgd", "beta": 0.0, "batch": other}
    )
    run = train_line({**rule, "lr": lr, "w": 0.0, "b": 0.0, "seed": 0, "data": LINE}, UPDATES)
    losses = _line_loss()(run.parameters[: UPDATES + 1])
    reached = np.flatnonzero(losses <= 1e-6 * losses[0])
    exploded = np.flatnonzero(losses >= 1e6 * losses[0])
    return int(reached[0]) if len(reached) and not len(exploded) else None


def tape_of(wanted: Wanted) -> dict[str, tuple[float, float]]:
    """Return every node's value and gradient, as Keras layers and TensorFlow's tape give them in float64."""
    import keras
    import tensorflow as tf

    at = {name: tf.constant([[number]], tf.float64) for name, number in wanted.leaves.items()}
    with tf.GradientTape() as tape:
        tape.watch(at)
        if wanted.graph == "circuit":
            at["q"] = at["x"] + at["y"]
            end = at["f"] = at["q"] * at["z"]
        else:
            for unit in "12":
                at[f"z{unit}"] = at["x"] * at[f"w{unit}"] + at[f"b{unit}"]
                at[f"h{unit}"] = keras.activations.tanh(at[f"z{unit}"])
            at["yhat"] = at["h1"] * at["v1"] + at["h2"] * at["v2"] + at["c"]
            loss = keras.losses.MeanSquaredError(dtype="float64")(at["y"], at["yhat"])
            end = at["loss"] = tf.reshape(loss, [1, 1])
    gradients = tape.gradient(end, at)
    return {name: (value.numpy().item(), gradients[name].numpy().item()) for name, value in at.items()}


def _dataset(points: list[list[float]]) -> Any:
    """Return points (x, y) as a Dataset."""
    from gdexplain import Dataset

    x, y = np.transpose(points)
    return Dataset(x[:, np.newaxis], y[:, np.newaxis], name="y = 2x")


def _line_loss() -> Any:
    """Return the loss of the neuron on `LINE` as a function of (w, b)."""
    from gdexplain.landscape import line_loss

    return line_loss(_dataset(LINE))


# ---- The static figures --------------------------------------------------------------------------------------------


def draw_playground(_: Wanted) -> Any:
    """Draw three variants on one loss surface, and their losses."""
    from gdexplain import draw_loss, draw_loss_surface, draw_path, loss_grid
    from gdexplain.plotting.labels import clear_labels

    start = {"opt": "sgd", "lr": 0.05, "beta": 0.0, "w": 0.0, "b": 0.0, "seed": 0, "data": LINE}
    runs = [train_line({**start, "batch": size}, 40) for size in (4, 2, 1)]
    figure, (left, right) = _subplots(1, 2, width_ratios=(1.35, 1))
    draw_loss_surface(left, loss_grid(_line_loss(), a_range=(-0.4, 3.2), b_range=(-0.6, 1.6)))
    for run in runs:
        draw_path(left, run)
    clear_labels(left)  # those beside the losses tell of the paths too
    draw_loss(right, *runs)
    return figure


def draw_graph(wanted: Wanted) -> Any:
    """Draw a graph with each node's value and gradient."""
    figure, ax = _subplots()
    place = {name: np.array(at, float) for name, at in PLACE_OF[wanted.graph].items()}
    for name, sources in INTO[wanted.graph].items():
        for source in sources.split():
            way = place[name] - place[source]
            ends = np.array([place[source] + 0.3 * way, place[source] + 0.72 * way])  # room for the words of both
            ax.plot(*ends.T, color="#767676", linewidth=1)
    for name, (value, gradient) in tape_of(wanted).items():
        label = {"yhat": r"\hat y", "loss": "L"}.get(name, re.sub(r"(\d)", r"_\1", name))
        ax.annotate(f"${label}$ = {value:.3g}\n∇ {gradient:.3g}", place[name], ha="center", va="center")
        ax.plot(*place[name], alpha=0)  # so that the axes hold every node
    ax.margins(0.12, 0.15)
    ax.axis("off")
    return figure


def draw_rule(_: Wanted) -> Any:
    """Draw the steps of three rules that are given one gradient ten times, and then none."""
    from gdexplain.by_hand import rules
    from gdexplain.plotting import COLORS, label_lines

    figure, ax = _subplots()
    kinds = {
        "momentum": (rules.momentum(0.1), "D-"),
        "RMSProp": (rules.rmsprop(0.1), "v:"),
        "Adam": (rules.adam(0.1), "P-"),
    }
    for name, (rule, look) in kinds.items():
        state, steps = rule.init(np.zeros(1)), []
        for gradient in [1.0] * 10 + [0.0] * 10:
            step, state = rule.update(np.array([gradient]), state, np.zeros(1))
            steps.append(-step.item() / 0.1)
        ax.plot(range(1, 21), steps, look, color=COLORS[name.lower()], label=name)
    ax.set(xlabel="update", ylabel="step / rate", xticks=range(0, 21, 5))
    label_lines(ax)
    return figure


def draw_map(_: Wanted) -> Any:
    """Draw how many updates each learning rate and momentum needs, and the boundary of theory."""
    from gdexplain.by_hand.descent import descend
    from gdexplain.by_hand.objectives import LeastSquares
    from gdexplain.by_hand.rules import momentum
    from gdexplain.theory import line_hessian, max_stable_learning_rate

    rates, betas = np.linspace(0.005, 0.255, 26), np.linspace(0.025, 0.975, 20)
    data, loss = _dataset(LINE), _line_loss()

    def needed(rate: float, beta: float) -> float:
        run = descend(LeastSquares(data), momentum(rate, beta), [0.0, 0.0], steps=UPDATES)
        reached = np.flatnonzero(loss(run.parameters) <= 1e-6 * run.loss[0])
        return float(reached[0]) if len(reached) else np.nan

    figure, ax = _subplots()
    table = [[needed(rate, beta) for rate in rates] for beta in betas]
    mesh = ax.pcolormesh(rates, betas, table, cmap="viridis_r", norm="log")
    figure.colorbar(mesh, label="updates to converge")
    edge = [max_stable_learning_rate(line_hessian(data), beta=beta) for beta in (0, 0.98)]
    ax.plot(edge, (0, 0.98), linestyle="--", color="#767676", label="theory: 2 (1 + β) / λ")
    ax.set(xlabel="learning rate", ylabel="momentum β", ylim=(0, 1))
    ax.legend(loc="lower right")
    return figure


def _subplots(*args: int, **options: Any) -> Any:
    """Return a figure of the fallback's size."""
    from matplotlib import pyplot as plt

    return plt.subplots(*args, figsize=(9, 4), layout="constrained", gridspec_kw=options or None)


def svg(wanted: Wanted) -> str:
    """Draw one static figure, the same bytes at every build."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    from gdexplain import use_style

    draw = {"playground": draw_playground, "backprop": draw_graph, "rule": draw_rule, "map": draw_map}[wanted.kind]
    with mpl.rc_context():
        use_style()
        mpl.rcParams["svg.hashsalt"] = "gdexplain"
        figure = draw(wanted)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return buffer.getvalue()


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


def compute() -> dict[str, Any]:
    """Return what takes long and depends on no page; `execute` has it computed beside the pages."""
    return {"failures": [], "reference": reference(), "pictures": {one.picture: svg(one) for one in LONG}}


def draw(graphs: list[Wanted]) -> dict[str, Any]:
    """Return the pictures of graphs, and what TensorFlow's tape says of them."""
    tapes = [{"graph": one.graph, "leaves": one.leaves, "nodes": tape_of(one)} for one in graphs]
    return {"pictures": {one.picture: svg(one) for one in graphs}, "tapes": tapes}


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
    drawn = cached(folder / "graphs.json", key, lambda: execute.in_fork("explorables", "draw", graphs))
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
        lambda base: execute.Page(NAME, HERE, execute.key_of(base, execute.code_of(HERE)), (NAME, "compute"))
    )
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", provide)
    app.connect("html-page-context", add_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True, "env_version": 2}
