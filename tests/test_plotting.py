"""A plot shows the record: the data of its artists are the record's, and its words come from it."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgb
from matplotlib.figure import Figure

from gdexplain.by_hand.objectives import LeastSquares
from gdexplain.data import Dataset, batch_order, make_line, make_moons
from gdexplain.landscape import Plane, Slice, line_loss, loss_grid, pca_plane
from gdexplain.plotting import (
    COLORS,
    DARK,
    INK,
    animate_descent,
    draw_data,
    draw_descent,
    draw_fits,
    draw_loss,
    draw_loss_surface,
    draw_map,
    draw_minimum,
    draw_path,
    draw_scale,
    label_lines,
    look_of,
    use_style,
)
from gdexplain.record import Sweep, Trajectory

LINE = make_line(noise=0.5)
START = np.zeros(2)
PAGES = {"white": "#ffffff", "dark": "#131416"}


@pytest.fixture(autouse=True)
def style():
    """Draw without a window, in our style; leave no figure and no setting behind."""
    with mpl.rc_context():
        plt.switch_backend("Agg")
        use_style()
        yield
    plt.close("all")


@pytest.fixture
def ax():
    return Figure().subplots()


def descend(rate=0.05, batch_size=None, epochs=5, *, label=None, diverged=False, every=1):
    """Gradient descent on LINE, by hand."""
    least = LeastSquares(LINE)
    rows, loss, gradients = [START], [], []
    for batch in batch_order(4, batch_size, epochs):
        value, gradient = least.value_and_grad(rows[-1], batch)
        loss, gradients = [*loss, value], [*gradients, gradient]
        rows = [*rows, rows[-1] - rate * gradient]
    updates = np.arange(0, len(rows), every)
    return Trajectory(
        np.array(rows)[updates],
        loss,
        np.array(gradients)[updates[:-1]],
        updates_per_epoch=-(-4 // (batch_size or 4)),
        diverged=diverged,
        label=label or f"SGD({rate:g})",
        updates=updates,
        batch_size=batch_size or 4,
    )


def losses(values, *, updates_per_epoch=1, diverged=False, batch_size=4, label="SGD(1)"):
    """A record of these losses only."""
    none = np.zeros((0, 2))
    return Trajectory(
        none,
        values,
        none,
        updates_per_epoch=updates_per_epoch,
        diverged=diverged,
        label=label,
        batch_size=batch_size,
    )


def labels(ax):
    """The words beside the lines, from the top down, each in one line."""
    texts = sorted((text for text in ax.texts if text.get_gid()), key=lambda text: -text.get_position()[1])
    return [text.get_text().replace("\n", " ") for text in texts]


def named(ax):
    """The names of points."""
    return [text.get_text() for text in ax.texts if not text.get_gid() and hasattr(text, "xy")]


BATCH, MINI, ONE = descend(), descend(batch_size=2), descend(0.02, batch_size=1)


def contrast(first, second):
    """Contrast of two colours, as WCAG 2 defines it."""
    light = []
    for color in (first, second):
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
        light.append(0.05 + np.dot([0.2126, 0.7152, 0.0722], parts))
    return max(light) / min(light)


# ---- Style and looks


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_ink_and_lines_are_legible_on_every_page(page):
    seen = {color: color if page == "#ffffff" else DARK[color] for color in (INK, *COLORS.values())}
    assert contrast(seen[INK], page) >= 7
    assert min(contrast(color, page) for color in seen.values()) >= 4.5
    assert len(set(seen.values())) == len(seen)
    assert DARK["#ffffff"] == "#131416"


def test_a_twin_has_the_hue_of_its_colour():
    for name, color in COLORS.items():
        (hue, saturation, _), (twin, _, _) = rgb_to_hsv(to_rgb(color)), rgb_to_hsv(to_rgb(DARK[color]))
        assert saturation == 0 or min(abs(hue - twin), 1 - abs(hue - twin)) < 0.1, name


def test_the_style_writes_in_ink_on_white_and_large_enough_for_a_phone():
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    assert {to_hex(mpl.rcParams[name]) for name in names} == {INK}
    assert to_hex(mpl.rcParams["figure.facecolor"]) == "#ffffff"
    phone = 328 / mpl.rcParams["figure.figsize"][0]  # pixels an inch
    for name in ("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"):
        assert phone * mpl.rcParams[name] / 72 >= 9, name


def test_the_colours_of_the_style_are_the_variants_colours():
    cycle = {to_hex(color) for color in mpl.rcParams["axes.prop_cycle"].by_key()["color"]}
    assert (
        {COLORS[name] for name in ("batch", "minibatch", "stochastic", "momentum", "adam")}
        < cycle
        <= {*COLORS.values()}
    )


@pytest.mark.parametrize(
    ("batch_size", "kind", "words"),
    [
        (None, "batch", "rate 0.05, full batch"),
        (3, "minibatch", "rate 0.05, batch 3"),
        (1, "stochastic", "rate 0.05, batch 1"),
    ],
)
def test_colour_and_label_come_from_the_record(batch_size, kind, words):
    look = look_of(descend(batch_size=batch_size))
    assert (look.color, look.label) == (COLORS[kind], words)


def test_a_batch_size_that_the_label_or_nobody_knows_is_not_added():
    assert look_of(descend(batch_size=2, label="SGD(0.1), batch 2")).label == "rate 0.1, batch 2"
    assert look_of(losses([1.0], updates_per_epoch=3, batch_size=None)).label == "rate 1"


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Adam(0.01)", "adam"),
        ("AdamW(0.01, weight_decay=0.1)", "adam"),
        ("Nadam(0.01)", "adam"),
        ("SGD(0.01, momentum=0.9)", "momentum"),
        ("nesterov(0.1, beta=0.9)", "nesterov"),
        ("RMSprop(0.01)", "rmsprop"),
        ("adagrad(0.01)", "adagrad"),
        ("SGD(0.01)", "batch"),
    ],
)
def test_the_colour_can_say_the_rule(label, kind):
    assert look_of(descend(label=label), by="rule").color == COLORS[kind]
    assert look_of(descend(label=label)).color == COLORS["batch"]


def test_where_the_rule_is_the_subject_plain_gradient_descent_is_named():
    assert look_of(BATCH, by="rule").label == "gradient descent, rate 0.05, full batch"


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("SGD(0.117647)", "rate 0.118"),
        ("gradient_descent(1e-05)", "rate 1e-05"),
        ("momentum(0.186288, beta=0.583448)", "momentum 0.583, rate 0.186"),
        ("SGD(0.01, momentum=0.9, nesterov=True)", "Nesterov momentum 0.9, rate 0.01"),
        ("nesterov(0.1, beta=0.6)", "Nesterov momentum 0.6, rate 0.1"),
        ("adamw(0.01, weight_decay=0.1)", "AdamW, rate 0.01, weight decay 0.1"),
        ("RMSprop(0.01)", "RMSProp, rate 0.01"),
        ("SGD(ExponentialDecay)", "rate ExponentialDecay"),
        ("SGD()", ""),
        ("Mine(Yours(0.1))", "Mine(Yours(0.1))"),
        ("by hand", "by hand"),
    ],
)
def test_a_label_of_code_is_said_in_words(label, words):
    assert look_of(losses([1.0], updates_per_epoch=3, batch_size=None, label=label)).label == words


def test_every_variant_has_its_own_marker():
    assert len({look_of(trajectory).marker for trajectory in (BATCH, MINI, ONE)}) == 3


def test_another_reading_of_the_colour_is_refused():
    with pytest.raises(ValueError, match="by must be one of 'variant', 'rule', not 'mood'"):
        look_of(BATCH, by="mood")


# ---- The loss


@pytest.mark.parametrize("x", ["updates", "epochs", "examples"])
def test_loss_curves_are_the_record_whatever_the_axis_counts(ax, x):
    curves = draw_loss(ax, BATCH, MINI, ONE, x=x, epoch_mean=False)
    assert len(curves) == 3
    for curve, run in zip(curves, (BATCH, MINI, ONE), strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), run.loss)
        place = {"updates": np.arange(len(run)), "epochs": run.epochs, "examples": 4 * run.epochs}[x]
        np.testing.assert_allclose(curve.get_xdata(), place)
    assert ax.get_yscale() == "log"
    assert [curve.get_label() for curve in curves] == [
        "rate 0.05, full batch",
        "rate 0.05, batch 2",
        "rate 0.02, batch 1",
    ]


def test_the_epoch_mean_is_drawn_over_the_faint_losses(ax):
    mean, faint = draw_loss(ax, ONE, x="epochs")
    np.testing.assert_allclose(mean.get_ydata(), ONE.loss.reshape(5, 4).mean(axis=1))
    np.testing.assert_allclose(mean.get_xdata(), np.arange(5) + 3 / 8)
    np.testing.assert_array_equal(faint.get_ydata(), ONE.loss)
    assert faint.get_color() == mean.get_color()
    assert faint.get_alpha() < 0.5
    assert labels(ax) == ["rate 0.02, batch 1"]


def test_an_epoch_cut_short_by_divergence_has_the_mean_of_what_there_is(ax):
    mean = draw_loss(ax, losses([1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 20.0], updates_per_epoch=2, diverged=True))[0]
    assert mean.get_ydata().tolist() == [2, 6, 10, 20]
    assert mean.get_xdata().tolist() == [0.5, 2.5, 4.5, 6]


def test_runs_of_few_epochs_are_drawn_as_they_are(ax):
    run = descend(batch_size=1, epochs=2)
    (curve,) = draw_loss(ax, run)
    np.testing.assert_array_equal(curve.get_ydata(), run.loss)


def test_a_loss_of_exactly_zero_is_a_gap_a_mark_and_words(ax):
    curve, mark = draw_loss(ax, losses([4.0, 1.0, 0.0, 0.0]))
    np.testing.assert_array_equal(curve.get_ydata(), [4, 1, np.nan, np.nan])
    assert mark.get_xydata().tolist() == [[2, 0]]
    assert mark.get_transform() == ax.get_xaxis_transform()
    assert labels(ax) == ["rate 1, full batch, 0 at update 2"]


def test_on_a_linear_axis_zero_is_a_number(ax):
    (curve,) = draw_loss(ax, losses([1.0, 0.0, -1.0]), scale="linear")
    assert curve.get_ydata().tolist() == [1, 0, -1]
    assert ax.get_yscale() == "linear"


def test_a_run_that_diverged_ends_in_a_cross_and_words(ax):
    curve, cross = draw_loss(ax, losses([1.0, 10.0, 1e30], diverged=True))
    assert cross.get_xydata().tolist() == [[2, 1e30]]
    assert cross.get_marker() == "X"
    assert cross.get_color() == curve.get_color()
    assert labels(ax) == ["rate 1, full batch, diverged at update 4"]


def test_runs_that_are_compared_differ_in_colour_and_marker_and_none_is_pale(ax):
    curves = draw_loss(ax, *(descend(rate) for rate in (0.01, 0.02, 0.03, 0.04)))
    assert len({curve.get_color() for curve in curves}) == len({curve.get_marker() for curve in curves}) == 4
    assert min(contrast(curve.get_color(), "white") for curve in curves) >= 4.5
    assert curves[0].get_color() == COLORS["batch"]


# ---- Words beside lines


def test_a_line_is_labelled_in_its_colour_at_the_height_of_its_end(ax):
    (line,) = ax.plot([0, 1, 2], [0, 3, 1], color=COLORS["adam"], label="a run")
    ax.set_ylim(0, 4)
    label_lines(ax)
    (text,) = (text for text in ax.texts if text.get_gid())
    assert (text.get_text(), text.get_color()) == ("a run", line.get_color())
    np.testing.assert_allclose(text.get_position()[1], 0.25)


def test_labels_say_what_tells_runs_apart(ax):
    curves = draw_loss(ax, *(descend(rate) for rate in (0.01, 0.02, 0.05)))
    assert sorted(labels(ax)) == ["rate 0.01", "rate 0.02", "rate 0.05"]
    curves[2].set_label(f"{curves[2].get_label()}, the best")
    label_lines(ax)
    assert sorted(labels(ax)) == ["rate 0.01", "rate 0.02", "rate 0.05, the best"]


def test_labels_stand_in_the_order_of_the_ends_and_do_not_touch(ax):
    for height in (3.0, 1.0, 1.001, 1.002, 2.0):
        ax.plot([0, 1], [0, height], label=f"to {height}")
    label_lines(ax)
    assert labels(ax) == ["to 3.0", "to 2.0", "to 1.002", "to 1.001", "to 1.0"]
    places = sorted(text.get_position()[1] for text in ax.texts)
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    assert np.diff(places).min() * points >= mpl.rcParams["font.size"]


def test_labels_that_fill_the_axes_keep_their_distance_too(ax):
    for k in range(40):
        ax.plot([0, 1], [0, 0], label=f"run {k}")
    label_lines(ax)
    assert np.ptp(np.diff(sorted(text.get_position()[1] for text in ax.texts))) < 1e-9


@pytest.mark.parametrize(
    ("runs", "options", "error", "words"),
    [
        ([], {}, ValueError, "trajectories must name at least one"),
        ([LINE], {}, TypeError, r"trajectory must be a Trajectory, not Dataset\(.*\(Dataset\)"),
        ([BATCH], {"x": "hours"}, ValueError, "x must be one of"),
        ([BATCH], {"scale": "symlog"}, ValueError, "scale must be one of"),
        ([losses([-1.0])], {}, ValueError, "scale must be 'linear': SGD.1. has a negative loss, -1"),
        ([losses([1.0], batch_size=None)], {"x": "examples"}, ValueError, "has no batch size"),
    ],
)
def test_losses_that_cannot_be_drawn_are_refused(ax, runs, options, error, words):
    with pytest.raises(error, match=words):
        draw_loss(ax, *runs, **options)


# ---- The surface and the paths


def surface(low=-1.0, high=4.0, resolution=41):
    return loss_grid(line_loss(LINE), a_range=(low, high), b_range=(-2, 3), resolution=resolution)


def test_a_contour_runs_where_the_loss_is_its_level(ax):
    lines = draw_loss_surface(ax, surface(resolution=201))
    assert len(lines.levels) >= 3
    for level, paths in zip(lines.levels, lines.get_paths(), strict=True):
        # Lines run straight between grid points 1/40 apart: off by at most h^2/8 times the curvature, 33.4 at most.
        np.testing.assert_allclose(line_loss(LINE)(paths.vertices), level, atol=2 * 33.4 / 40**2 / 8)


def test_levels_are_round_and_the_axes_are_the_slices(ax):
    lines = draw_loss_surface(ax, surface())
    assert {f"{level:e}"[:8] for level in lines.levels} == {"1.000000", "3.000000"}
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 4), (-2, 3))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("w", "b")


def test_many_decades_get_powers_of_ten_and_few_get_even_ratios(ax):
    plane = Plane.of_parameters()
    wide = Slice(plane, [0, 1], [0, 1], [[0.0, 0.2], [3.0, 1e3]])
    assert draw_loss_surface(ax, wide, levels=4).levels.tolist() == [1, 10, 100]
    narrow = Slice(plane, [0, 1], [0, 1], [[1.1, 1.2], [1.3, np.inf]])
    ratios = np.exp(np.diff(np.log(draw_loss_surface(ax, narrow, levels=5, numbers=False).levels)))
    assert len(ratios) == 4
    np.testing.assert_allclose(ratios, ratios[0])


@pytest.mark.parametrize(
    ("thing", "levels", "error", "words"),
    [
        (LINE, 9, TypeError, "surface must be a Slice, not Dataset"),
        (surface(resolution=3), 1, ValueError, "levels must be a whole number from 2 to 100, not 1"),
        (Slice(Plane.of_parameters(), [0, 1], [0, 1], np.ones((2, 2))), 9, ValueError, "not all the same"),
        (Slice(Plane.of_parameters(), [0, 1], [0, 1], np.zeros((2, 2))), 9, ValueError, "must hold positive losses"),
    ],
)
def test_a_surface_without_contours_is_refused(ax, thing, levels, error, words):
    with pytest.raises(error, match=words):
        draw_loss_surface(ax, thing, levels=levels)


@pytest.mark.parametrize(("left", "behind"), [(-2.0, True), (-0.1, False)])
def test_the_word_start_stands_behind_the_start_where_there_is_room(ax, left, behind):
    ax.set(xlim=(left, 3), ylim=(-1, 2))
    draw_path(ax, descend())
    (start,) = (text for text in ax.texts if text.get_text() == "start")
    assert (start.xyann[0] < 0) == behind


def test_the_three_highest_contours_are_numbered_and_those_at_the_minimum_are_not(ax):
    lines = draw_loss_surface(ax, loss_grid(line_loss(LINE), a_range=(-1, 4), b_range=(-2, 3)))
    numbers = {float(text.get_text()) for text in lines.labelTexts}
    assert numbers <= set(lines.levels[-3:]) < set(lines.levels)
    assert numbers


def test_a_path_is_the_recorded_parameters_from_start_to_end(ax):
    path, start, end = draw_path(ax, MINI)
    np.testing.assert_array_equal(path.get_xydata(), MINI.parameters)
    np.testing.assert_array_equal(start.get_xydata(), MINI.parameters[:1])
    np.testing.assert_array_equal(end.get_xydata(), MINI.parameters[-1:])
    assert path.get_color() == COLORS["minibatch"]


def test_the_words_name_each_run_once_and_the_points_beside_them(ax):
    draw_minimum(ax, LeastSquares(LINE).minimum)
    for run in (BATCH, MINI, ONE):
        draw_path(ax, run)
    assert sorted(labels(ax)) == ["rate 0.02, batch 1", "rate 0.05, batch 2", "rate 0.05, full batch"]
    assert named(ax) == ["minimum", "start"]


def test_smooth_paths_lie_on_jagged_ones(ax):
    batch, mini, one = (draw_path(ax, run)[0].get_zorder() for run in (BATCH, MINI, ONE))
    assert batch > mini > one


def test_a_path_leaves_the_limits_of_its_surface_as_they_are(ax):
    draw_loss_surface(ax, surface())
    draw_path(ax, descend(0.3, epochs=50, diverged=True))
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 4), (-2, 3))
    assert labels(ax) == ["rate 0.3, full batch, diverged"]


def test_a_path_in_many_dimensions_is_projected_on_the_plane(ax):
    path = np.random.default_rng(0).normal(size=(9, 6))
    run = Trajectory(path, np.ones(8), np.zeros((0, 6)), updates_per_epoch=1, diverged=False, label="Adam(0.1)")
    plane = pca_plane(run)
    np.testing.assert_allclose(draw_path(ax, run, plane)[0].get_xydata(), plane.project(path))
    np.testing.assert_allclose(draw_minimum(ax, path[3], plane).get_xydata(), plane.project(path[3:4]))
    with pytest.raises(ValueError, match="trajectory has 6 parameters, not 2: say on which plane"):
        draw_path(ax, run)
    with pytest.raises(ValueError, match="point has 6 parameters"):
        draw_minimum(ax, path[3])


def test_a_path_that_was_not_recorded_is_refused(ax):
    with pytest.raises(ValueError, match=r"must have its parameters recorded, and SGD.1. has none"):
        draw_path(ax, losses([1.0]))
    with pytest.raises(TypeError, match="must be a Trajectory"):
        draw_path(ax, BATCH.parameters)


def test_the_minimum_is_a_cross_where_it_is(ax):
    cross = draw_minimum(ax, [2.0, 0.0])
    assert cross.get_xydata().tolist() == [[2, 0]]
    assert cross.get_marker() == "X"


# ---- Data and fits


def test_the_data_are_drawn_as_they_are(ax):
    (points,) = draw_data(ax, LINE)
    np.testing.assert_array_equal(points.get_xydata(), np.hstack([LINE.inputs, LINE.targets]))
    assert points.get_label() == LINE.name


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ([1, 2, 3], TypeError, "dataset must be a Dataset or a pair"),
        (Dataset(np.ones((2, 3)), [0, 1]), ValueError, "one input and one target"),
        (Dataset(np.ones((2, 2)), [[1.0], [2.0]]), ValueError, "one input and one target"),
    ],
)
def test_data_that_have_no_picture_are_refused(ax, data, error, words):
    with pytest.raises(error, match=words):
        draw_data(ax, data)


def test_each_fit_is_the_recorded_line(ax):
    *lines, points = draw_fits(ax, LINE, MINI, updates=[0, 3, 10])
    for line, update in zip(lines, (0, 3, 10), strict=True):
        weight, bias = MINI.parameters[update]
        np.testing.assert_allclose(line.get_ydata(), weight * line.get_xdata() + bias)
        assert line.get_label() == f"update {update}"
    widths = [line.get_linewidth() for line in lines]
    assert widths == sorted(widths)
    np.testing.assert_array_equal(points.get_ydata(), LINE.targets[:, 0])
    assert ax.get_title(loc="left") == "rate 0.05, batch 2"


def test_fits_default_to_the_first_update_the_last_and_early_ones_between(ax):
    lines = draw_fits(ax, LINE, descend(epochs=100))[:-1]
    assert [line.get_label() for line in lines] == ["update 0", "update 2", "update 9", "update 31", "update 100"]


def test_a_thinned_record_gives_the_fits_that_it_has(ax):
    run = descend(epochs=30, every=10)
    line = draw_fits(ax, LINE, run, updates=[20])[0]
    np.testing.assert_allclose(line.get_ydata(), run.parameters[2] @ [line.get_xdata(), [1, 1]])
    with pytest.raises(ValueError, match="updates must be some of those recorded, 0 to 30, not \\[5\\]"):
        draw_fits(ax, LINE, run, updates=[5])


@pytest.mark.parametrize("updates", [[], [[0, 1]], [99]])
def test_updates_that_are_no_moments_of_the_run_are_refused(ax, updates):
    with pytest.raises(ValueError, match="updates must be some of those recorded"):
        draw_fits(ax, LINE, BATCH, updates=updates)


@pytest.mark.parametrize("draw", [draw_fits, lambda ax, data, run: draw_descent([ax, ax], data, run)])
def test_a_fit_of_no_line_is_refused(ax, draw):
    net = Trajectory([[0.0] * 3] * 2, [1.0], np.zeros((0, 3)), updates_per_epoch=1, diverged=False, label="SGD(1)")
    with pytest.raises(ValueError, match="trajectory must be of a line w x \\+ b, not of 3 parameters"):
        draw(ax, LINE, net)
    with pytest.raises(ValueError, match="must have its parameters recorded"):
        draw(ax, LINE, losses([1.0]))
    with pytest.raises(TypeError, match="must be a Trajectory, not None"):
        draw(ax, LINE, None)
    with pytest.raises(ValueError, match="one input and one target an example"):
        draw(ax, make_moons(4), BATCH)


# ---- The whole descent, still and moving


def test_the_still_shows_whole_paths_and_last_lines():
    axes = Figure(layout="constrained").subplots(1, 2)
    artists = draw_descent(axes, LINE, BATCH, ONE)
    for run, path, end, line in zip((BATCH, ONE), artists[::3], artists[1::3], artists[2::3], strict=True):
        np.testing.assert_array_equal(path.get_xydata(), run.parameters)
        np.testing.assert_array_equal(end.get_xydata(), run.parameters[-1:])
        weight, bias = run.parameters[-1]
        np.testing.assert_allclose(line.get_ydata(), weight * line.get_xdata() + bias)
    assert sorted(labels(axes[1])) == ["rate 0.02, batch 1", "rate 0.05, full batch"]
    assert labels(axes[0]) == []
    assert named(axes[0]) == ["minimum", "start"]


def test_a_run_that_diverges_does_not_push_the_others_out_of_the_picture():
    axes = Figure(layout="constrained").subplots(1, 2)
    draw_descent(axes, LINE, BATCH, descend(0.3, epochs=60, diverged=True))
    least = LeastSquares(LINE).minimum
    (left, right), (low, high) = axes[0].get_xlim(), axes[1].get_ylim()
    assert left < 0 < least[0] < right < 10
    assert low < 0 < LINE.targets.max() < high < 20


def test_a_surface_of_ones_own_is_used():
    axes = Figure(layout="constrained").subplots(1, 2)
    draw_descent(axes, LINE, BATCH, surface=surface(-7.0, 8.0))
    assert axes[0].get_xlim() == (-7, 8)


def started(*args, **options):
    """A film that has drawn its first picture; one that never did would warn when it is thrown away."""
    film = animate_descent(*args, **options)
    film._init_draw()
    return film


def film_data(film, frame):
    """Path, end and line of each run in one frame."""
    left, right = film._fig.axes
    film._draw_frame(frame)
    runs = [line for line in left.get_lines() if line.get_label().startswith("rate")]
    ends = [line for line in left.get_lines() if line.get_label() == "_end"]
    return runs, ends, [line for line in right.get_lines() if line.get_label().startswith("rate")]


def test_a_film_ends_with_the_whole_paths():
    film = started(LINE, BATCH, ONE)
    frames = list(film.new_frame_seq())
    assert frames[0] == 0
    assert frames[-1] == 5
    runs, ends, lines = film_data(film, frames[-1])
    for run, path, end, line in zip((BATCH, ONE), runs, ends, lines, strict=True):
        np.testing.assert_array_equal(path.get_xydata(), run.parameters)
        np.testing.assert_array_equal(end.get_xydata(), run.parameters[-1:])
        np.testing.assert_allclose(line.get_ydata(), run.parameters[-1] @ [line.get_xdata(), [1, 1]])
    assert film._fig.axes[1].get_title(loc="left") == "epoch 5"


def test_at_each_moment_of_a_film_all_runs_have_seen_as_much_data():
    film = started(LINE, BATCH, ONE)
    (batch, one), _, lines = film_data(film, 2.25)
    np.testing.assert_array_equal(batch.get_xydata(), BATCH.parameters[:3])
    np.testing.assert_array_equal(one.get_xydata(), ONE.parameters[:10])
    np.testing.assert_allclose(lines[1].get_ydata(), ONE.parameters[9] @ [lines[1].get_xdata(), [1, 1]])
    assert film._fig.axes[1].get_title(loc="left") == "epoch 2.25"


def test_a_film_begins_as_the_finished_picture_for_its_poster():
    film = started(LINE, ONE)
    path = next(line for line in film._fig.axes[0].get_lines() if line.get_label().startswith("rate"))
    np.testing.assert_array_equal(path.get_xydata(), ONE.parameters)


def test_a_film_has_as_many_frames_as_asked_for_at_most():
    film = started(LINE, descend(epochs=400), frames=30)
    frames = list(film.new_frame_seq())
    assert 20 <= len(frames) <= 30
    assert np.all(np.diff(frames) > 0)


def test_the_axes_of_a_film_stand_still():
    film = started(LINE, ONE)
    frames = list(film.new_frame_seq())
    places = []
    for frame in (frames[0], frames[-1]):
        film._draw_frame(frame)
        film._fig.canvas.draw()
        places.append([tuple(ax.get_position().bounds) + ax.get_xlim() + ax.get_ylim() for ax in film._fig.axes])
    np.testing.assert_allclose(places[0], places[1], rtol=1e-9)  # a layout is computed in floats


@pytest.mark.parametrize(("frames", "error"), [(1, ValueError), (121, ValueError), (2.5, TypeError)])
def test_a_film_too_short_or_too_long_is_refused(frames, error):
    with pytest.raises(error, match="frames must be a whole number"):
        animate_descent(LINE, BATCH, frames=frames)


def test_a_film_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one Trajectory"):
        animate_descent(LINE)


def swept(**changes):
    values = {
        "loss": [1.0, 2.0, 0.0, 4.0],
        "diverged": [False, False, False, True],
        "parameters": np.zeros((4, 1)),
        "updates": [9, 9, 9, 3],
        "steps": 9,
        "label": "SGD",
        "target": 1.0,
        "steps_to_target": [5, -1, 7, -1],
    }
    return Sweep(**values | changes)


def test_a_map_has_each_run_at_its_place_and_the_lost_ones_in_grey():
    x, y = [0.2, 0.1, 0.1, 0.2], [1, 1, 0, 0]
    colours, lost = draw_map(Figure().subplots(), swept(), x, y)
    np.testing.assert_array_equal(colours.get_array().mask, [[False, True], [False, False]])
    np.testing.assert_array_equal(colours.get_array().compressed(), [1, 2, 1])  # 0 has the lowest colour
    np.testing.assert_array_equal(lost.get_array().mask, [[True, False], [True, True]])
    counted, _ = draw_map(Figure().subplots(), swept(), x, y, value="steps_to_target")
    np.testing.assert_array_equal(counted.get_array().compressed(), [7, 5])
    halves = [swept(), swept(loss=[5.0] * 4)]
    both, _ = draw_map(Figure().subplots(), halves, [*x, *x], [1, 1, 0, 0, 3, 3, 2, 2])
    assert both.get_array().shape == (4, 2)


def test_a_map_of_runs_that_are_all_lost_or_all_alike_has_a_scale_too():
    place = [0, 1, 0, 1], [0, 0, 1, 1]
    draw_map(Figure().subplots(), swept(diverged=[True] * 4), *place)
    colours, _ = draw_map(Figure().subplots(), swept(loss=[3.0] * 4), *place)
    assert colours.norm.vmax > colours.norm.vmin


@pytest.mark.parametrize(
    ("sweeps", "x", "options", "error", "words"),
    [
        ("sweep", [0, 1, 0, 1], {}, TypeError, "sweeps must be a Sweep or several"),
        ([], [0, 1, 0, 1], {}, ValueError, "sweeps must be a Sweep or several"),
        (swept(), [0, 1, 0, 1], {"value": "time"}, ValueError, "value must be one of"),
        (swept(target=None, steps_to_target=[]), [0, 1, 0, 1], {"value": "steps_to_target"}, ValueError, "with a target"),
        (swept(), [0, 1, 0], {}, ValueError, "one number for each of 4 runs"),
        (swept(), [0, 0, 0, 1], {}, ValueError, "must make a full grid"),
    ],
)  # fmt: skip
def test_maps_that_are_no_grid_are_refused_in_words(sweeps, x, options, error, words):
    with pytest.raises(error, match=words):
        draw_map(Figure().subplots(), sweeps, x, [0, 0, 1, 1], **options)


def test_the_scale_of_a_map_has_ticks_in_whole_numbers_or_in_powers_of_ten(ax):
    for loss, words in (([1.0, 3.0, 7.0, 90.0], ["1", "2", "5", "10", "20", "50"]), ([1e-6, 1.0, 1e3, 1e6], None)):
        cells, _ = draw_map(ax, swept(loss=loss, diverged=[False] * 4), [0, 1, 0, 1], [0, 0, 1, 1])
        scale = draw_scale(cells, "loss", ax)
        shown = zip(scale.ax.get_yticks(), scale.ax.get_yticklabels(), strict=True)
        ticks = [text.get_text() for tick, text in shown if min(loss) <= tick <= max(loss)]
        assert ticks == words if words else len(ticks) >= 3
        assert not any("times" in tick for tick in ticks)
        assert len(scale.ax.get_yticks(minor=True)) == 0
        assert scale.ax.get_ylabel() == "loss"


def test_a_map_of_negative_losses_has_a_scale_too(ax):
    cells, _ = draw_map(ax, swept(loss=[-1.0, -2.0, -3.0, -4.0], diverged=[False] * 4), [0, 1, 0, 1], [0, 0, 1, 1])
    assert len(draw_scale(cells, "loss", ax).ax.get_yticks()) >= 3
