"""What Keras says of the explorables, and their still figures: computed at build, in a fork, with what the pages show."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np

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


# ---- Runs of Keras ---------------------------------------------------------------------------------------------------


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


def compute() -> dict[str, Any]:
    """Return what takes long and depends on no page; `execute` has it computed beside the pages."""
    return {"failures": [], "reference": reference(), "pictures": {one.picture: svg(one) for one in LONG}}


def draw(graphs: list[Wanted]) -> dict[str, Any]:
    """Return the pictures of graphs, and what TensorFlow's tape says of them."""
    tapes = [{"graph": one.graph, "leaves": one.leaves, "nodes": tape_of(one)} for one in graphs]
    return {"pictures": {one.picture: svg(one) for one in graphs}, "tapes": tapes}
