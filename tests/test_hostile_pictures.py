"""Odd runs, data, surfaces and sweeps in every picture: it is drawn to the end without a warning, or refused by name."""

import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

import gdexplain as g
from gdexplain import plotting
from gdexplain.by_hand import graph, rules, tape
from tests.alike import alike

LABELS = {
    "an underscore first": "_MySGD(0.1)",
    "dollars": "costs $5 and $6",
    "a formula that is none": r"$\frac{$ and {",
    "a formula": r"rate $\eta = 0.1$",
    "two lines and a tab": "two\nlines\tand\x00more",
    "letters of other tongues": "Gänsefüßchen, Ωμέγα, шаг",
    "nothing": "",
    "only an underscore": "_",
    "hundreds of letters": "AdamW(" + ", ".join(f"option_{n}=0.123456" for n in range(40)) + ")",
    "one long word": "x" * 500,
}


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context({"figure.dpi": 30}):
        plt.switch_backend("Agg")
        yield
    plt.close("all")


def descend(rate, steps, **options):
    return g.descend(g.LeastSquares(g.make_line()), rules.gradient_descent(rate), [0.0, 0.0], steps=steps, **options)


def record(parameters, loss, label="SGD(0.1)", *, diverged=False, **options):
    rows = np.asarray(parameters)
    return g.Trajectory(rows, loss, np.empty((0, rows.shape[1])), 1, diverged, label, **options)


RUNS = {
    "no update": record([[0.0, 1.0]], []),
    "diverged at its first update": record([[0.0, 1.0]], [], diverged=True),
    "one update": descend(0.1, 1),
    "diverged where float64 ends": descend(0.5, 3000),
    "diverged in float32": record(np.float32([[0, 1], [1e38, -1e38]]), np.float32([3e38]), diverged=True),
    "as far out as a number goes": record([[0.0, 1.0], [1.7e308, -1.7e308]], [1.7e308], diverged=True),
    "from the smallest loss to the largest": record([[0.0, 1.0]] * 3, [5e-324, 1.7e308]),
    "a loss of exactly 0": record([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]], [1.0, 0.0]),
    "losses of 0 only": record([[2.0, 0.0]] * 4, [0.0] * 3),
    "tiny losses": record([[2.0, 0.0]] * 4, [1e-300, 1e-310, 1e-320]),
    "all the same": record([[0.5, 0.5]] * 6, [2.0] * 5),
    "all at one place far away": record([[1e20, 1e20]] * 3, [2.0] * 2),
    "many epochs of huge losses": g.Trajectory(
        [[0.0, 0.0]] * 10, [1e308] * 9, [[0.0, 0.0]] * 9, 3, False, "SGD", batch_size=1
    ),
    "thinned": record([[0.0, 1.0], [1.0, 1.0], [1.5, 1.0]], [1.0, 0.5, 0.4], updates=[0, 2, 3]),
}
NAMED = {label: record([[0.0, 1.0], [1.0, 1.0]], [3.0], label=words) for label, words in LABELS.items()}
HERE = g.loss_grid(g.LeastSquares(g.make_line()), a_range=(-1, 4), b_range=(-2, 3), resolution=11)


def painted(draw, count=1):
    """Draw on axes of a small figure, and paint it to the end; return the axes."""
    figure = Figure(layout="constrained", dpi=30)
    axes = figure.subplots(1, count)
    draw(axes)
    figure.savefig(io.BytesIO())
    return axes


def refusal(see):
    """Return what a ValueError said, or nothing."""
    try:
        see()
    except ValueError as error:
        return str(error)
    return ""


def filmed(run, **options):
    film = g.animate_descent(g.make_line(), run, frames=2, **options)
    film._fig.set_dpi(30)
    for frame in film.new_frame_seq():
        film._draw_frame(frame)
    film._fig.savefig(io.BytesIO())
    film._draw_was_started = True


PICTURES = {
    "loss": lambda run: painted(lambda ax: g.draw_loss(ax, run)),
    "loss on an even scale": lambda run: painted(lambda ax: g.draw_loss(ax, run, scale="linear")),
    "path": lambda run: painted(lambda ax: (g.draw_loss_surface(ax, HERE), g.draw_path(ax, run))),
    "path on a plane": lambda run: painted(lambda ax: g.draw_path(ax, run, g.Plane([1.0, 1.0], np.eye(2)[::-1]))),
    "fits": lambda run: painted(lambda ax: g.draw_fits(ax, g.make_line(), run)),
    "descent": lambda run: painted(lambda axes: plotting.draw_descent(axes, g.make_line(), run, surface=HERE), 2),
    "film": lambda run: filmed(run, surface=HERE),
}


@pytest.mark.parametrize("run", alike(RUNS.values()), ids=RUNS)
def test_every_run_has_every_picture(run):
    for draw in PICTURES.values():
        draw(run)


@pytest.mark.parametrize("run", NAMED.values(), ids=NAMED)
def test_a_run_of_any_name_has_a_picture_with_its_name(run):
    for picture in ("loss", "fits", "descent"):
        PICTURES[picture](run)


@pytest.mark.parametrize("run", [*RUNS.values(), *NAMED.values()], ids=[*RUNS, *NAMED])
def test_every_run_tells_itself_in_words_and_survives_a_trip_to_disk(run, tmp_path):
    assert "\n" not in repr(run) + run.summary()
    assert len(run.to_dataframe()) == len(run.parameters)
    again = g.Trajectory.load(run.save(tmp_path / "run"))
    assert repr(again) == repr(run)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_surface_around_a_run_and_the_plane_of_its_path_exist_or_are_refused_in_words(run):
    def surface(ax):
        g.draw_loss_surface(ax, g.loss_grid(g.line_loss(g.make_line()), around=run, resolution=5))

    plane = refusal(lambda: painted(lambda ax: g.draw_path(ax, run, g.pca_plane(run))))
    assert plane == "" or plane.startswith(("path must ", "trajectory must "))
    around = refusal(lambda: painted(surface))
    assert around == "" or around.startswith(("around must ", "a_range must ", "surface must "))


def test_a_run_that_diverged_is_drawn_with_its_last_finite_points_and_its_end_in_words():
    run = RUNS["diverged where float64 ends"]
    ax = painted(lambda ax: g.draw_loss(ax, run, descend(0.1, 20)))
    low, high = ax.get_ylim()
    assert low <= run.loss.min()
    assert run.loss.max() <= high < np.inf
    curve = ax.get_lines()[0]
    np.testing.assert_array_equal(curve.get_ydata(), run.loss)
    assert any(f"diverged at\nupdate {len(run) + 1:,}" in text.get_text() for text in ax.texts)
    assert len(ax.get_yticks()) >= 3


def test_a_run_without_an_update_is_told_of_beside_the_others():
    for name, words in (("no update", "no update"), ("diverged at its first update", "diverged at update 1")):
        ax = painted(lambda ax, name=name: g.draw_loss(ax, RUNS[name], descend(0.1, 20)))
        assert [words in text.get_text().replace("\n", " ") for text in ax.texts].count(True) == 1


@pytest.mark.parametrize("label", ["dollars", "a formula that is none", "nothing"])
def test_a_label_that_is_no_call_stands_in_the_picture_as_it_was_given(label):
    ax = painted(lambda ax: g.draw_path(ax, NAMED[label]))
    (shown,) = (text.get_text().replace("\n", " ") for text in ax.texts if text.get_gid())
    assert LABELS[label] in shown.replace(r"\$", "$")
    assert ("\\$" in shown) == ("$" in shown)  # a dollar that begins no formula is meant


# ---- Data


DATA = {
    "one example": g.Dataset([[1.0]], [2.0]),
    "one place twice": g.Dataset([[1.0], [1.0]], [2.0, 3.0]),
    "one target": g.Dataset([[1.0], [2.0]], [3.0, 3.0]),
    "only zeros": g.Dataset([[0.0], [0.0]], [0.0, 0.0]),
    "far out": g.Dataset([[1e150], [-1e150]], [1e150, 0.0]),
    "close by": g.Dataset([[1e-300], [2e-300]], [1e-300, 0.0]),
    "whole numbers": g.Dataset([[1], [2], [3], [4]], [2, 4, 6, 8]),
    "truths": g.Dataset([[True], [False]], [True, False]),
    "a pair of lists": ([[1], [2], [3], [4]], [2, 4, 6, 8]),
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_all_data_have_a_picture_and_a_fit(data):
    painted(lambda ax: g.draw_data(ax, data))
    painted(lambda ax: g.draw_fits(ax, data, descend(0.1, 3)))
    painted(lambda axes: plotting.draw_descent(axes, data, descend(0.1, 3), surface=HERE), 2)


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_descent_on_any_data_has_a_surface_or_is_refused_in_words(data):
    said = refusal(lambda: painted(lambda axes: plotting.draw_descent(axes, data, descend(0.1, 3)), 2))
    assert said == "" or said.startswith(("surface must ", "dataset must "))


@pytest.mark.parametrize("name", LABELS.values(), ids=LABELS)
def test_data_of_any_name_have_a_picture(name):
    painted(lambda ax: g.draw_fits(ax, g.Dataset([[1.0], [2.0]], [3.0, 4.0], name), descend(0.1, 3)))


# ---- Surfaces, gradients, maps


def sliced(loss, **options):
    loss = np.asarray(loss, float)
    rows, columns = loss.shape
    return g.Slice(g.Plane([0.0, 0.0], np.eye(2), **options), np.arange(columns), np.arange(rows), loss)


SLOPE = np.arange(1.0, 10).reshape(3, 3)
SURFACES = {
    "constant": sliced(np.ones((3, 3))),
    "nearly constant": sliced(1 + 1e-16 * SLOPE),
    "zeros": sliced(np.zeros((2, 2))),
    "negative": sliced(-SLOPE),
    "of both signs": sliced(SLOPE - 5),
    "infinite": sliced(np.full((2, 2), np.inf)),
    "one finite value among infinities": sliced(np.where(SLOPE == 5, 1.0, np.inf)),
    "one value among infinities": sliced(np.where(SLOPE < 5, 2.0, np.inf)),
    "not a number": sliced(np.full((2, 2), np.nan)),
    "a hole": sliced(np.where(SLOPE == 5, np.nan, SLOPE)),
    "from the smallest to the largest": sliced([[5e-324, 1.0], [1e300, 1.7e308]]),
    "tiny": sliced(1e-310 * SLOPE),
    "huge": sliced(1.9e307 * SLOPE),
    **{label: sliced(SLOPE, labels=(words, words)) for label, words in LABELS.items()},
}


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_a_surface_is_drawn_or_refused_in_words(surface):
    said = refusal(lambda: painted(lambda ax: g.draw_loss_surface(ax, surface)))
    assert said == "" or said.startswith("surface must hold positive losses that are not all the same")


def swept(runs=4, **changes):
    values = {"loss": np.arange(1.0, runs + 1), "diverged": [False] * runs, "parameters": np.zeros((runs, 1))}
    return g.Sweep(**(values | {"updates": [5] * runs, "steps": 5, "label": "SGD"} | changes))


SWEEPS = {
    "as usual": swept(),
    "negative": swept(loss=[-1.0, -2.0, -3.0, -4.0]),
    "of both signs": swept(loss=[-1.0, 0.0, 3.0, 4.0]),
    "zeros": swept(loss=[0.0] * 4),
    "all lost": swept(diverged=[True] * 4),
    "all alike": swept(loss=[2.0] * 4),
    "all alike and negative": swept(loss=[-2.0] * 4),
    "the smallest and the largest": swept(loss=[5e-324, 1e-300, 1e300, 1.7e308]),
    "the largest": swept(loss=[1.7e308] * 4),
    "the smallest": swept(loss=[5e-324] * 4),
    "without an update": swept(updates=[0] * 4),
}
PLACES = {
    "a square": ([0, 1, 0, 1], [0, 0, 1, 1]),
    "a row": ([0, 1, 2, 3], [7, 7, 7, 7]),
    "a column": ([0, 0, 0, 0], [0, 1, 2, 3]),
    "decades": ([1e-300, 1.0, 1e-300, 1.0], [0, 0, 1e300, 1e300]),
}


@pytest.mark.parametrize("sweep", alike(SWEEPS.values()), ids=SWEEPS)
def test_every_sweep_has_a_map(sweep):
    for x, y in PLACES.values():
        for value in ("loss", "updates"):
            painted(lambda ax, x=x, y=y, value=value: g.draw_map(ax, sweep, x, y, value=value))


def test_a_sweep_of_one_run_has_a_map_and_one_of_none_is_refused():
    painted(lambda ax: g.draw_map(ax, swept(1), [0.1], [0.2]))
    with pytest.raises(ValueError, match="sweeps must be a Sweep or several, of at least one run"):
        painted(lambda ax: g.draw_map(ax, swept(0), [], []))


def test_a_negative_loss_has_a_colour():
    colours, _ = g.draw_map(Figure().subplots(), SWEEPS["negative"], *PLACES["a square"])
    np.testing.assert_array_equal(colours.get_array().ravel(), [-1, -2, -3, -4])
    assert not colours.get_array().mask.any()
    assert (colours.norm.vmin, colours.norm.vmax) == (-4, -1)


# ---- Graphs


def chain(length):
    x = tape.Value(1.0, "x")
    end = x
    for _ in range(length):
        end = end + x
    return end


@pytest.mark.parametrize("length", [400, 40_000])
def test_a_graph_too_large_to_draw_is_refused_before_its_places_are_sought(length):
    with pytest.raises(ValueError, match=f"root must have at most 400 nodes to be drawn, not {length + 1}"):
        graph.layout(chain(length))
