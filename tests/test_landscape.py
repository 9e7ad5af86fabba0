"""A slice shows the loss as it is: at each grid point, on each line, for each batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdexplain import build_linear
from gdexplain.by_hand.objectives import LeastSquares, NoisyQuadratic
from gdexplain.data import Dataset, make_line, make_moons
from gdexplain.landscape import (
    Plane,
    Slice,
    line_loss,
    loss_between,
    loss_grid,
    pca_plane,
)
from gdexplain.record import Trajectory
from gdexplain.theory import line_hessian

LINE = make_line(noise=0.5)


def run(parameters):
    parameters = np.asarray(parameters, float)
    loss = np.ones(len(parameters) - 1)
    none = np.zeros((0, parameters.shape[1]))
    return Trajectory(parameters, loss, none, updates_per_epoch=1, diverged=False, label="SGD(0.1)")


def random_plane(seed, size=5):
    rng = np.random.default_rng(seed)
    return Plane(rng.normal(size=size), np.linalg.qr(rng.normal(size=(size, 2)))[0].T)


# ---- Plane


@given(seed=st.integers(0, 1000), a=st.floats(-9, 9), b=st.floats(-9, 9))
def test_projecting_a_point_of_the_plane_gives_its_coordinates_back(seed, a, b):
    plane = random_plane(seed)
    np.testing.assert_allclose(plane.project(plane.point(a, b)[np.newaxis]), [[a, b]], atol=1e-12)


def test_what_a_projection_leaves_out_is_orthogonal_to_the_plane():
    plane, theta = random_plane(1), np.random.default_rng(2).normal(size=(7, 5))
    nearest = plane.point(*plane.project(theta).T)
    np.testing.assert_allclose((theta - nearest) @ plane.directions.T, 0, atol=1e-12)


def test_points_broadcast_to_a_grid():
    assert random_plane(3).point(np.zeros((4, 1)), np.zeros(6)).shape == (4, 6, 5)


def test_a_plane_of_parameters_has_their_values_as_coordinates():
    plane = Plane.of_parameters([7.0, 8.0, 9.0], 2, 0)
    assert plane.project([[1.0, 2.0, 3.0]]).tolist() == [[3.0, 1.0]]
    assert plane.point(3.0, 1.0).tolist() == [1.0, 8.0, 3.0]
    assert plane.labels == ("parameter 2", "parameter 0")


def test_the_default_plane_is_the_neurons():
    plane = Plane.of_parameters()
    assert plane.labels == ("w", "b")
    assert plane.point(2.0, 3.0).tolist() == [2.0, 3.0]
    assert Plane.of_parameters(labels=("slope", "intercept")).labels == ("slope", "intercept")


@pytest.mark.parametrize("array", ["origin", "directions"])
def test_a_plane_is_read_only(array):
    with pytest.raises(ValueError, match="read-only"):
        getattr(Plane.of_parameters(), array)[...] = 1.0


@pytest.mark.parametrize(
    ("origin", "directions", "words"),
    [
        ([0.0, 0.0], [[1.0, 0.0]], r"directions must have shape \(2, 2\), not \(1, 2\)"),
        ([0.0, 0.0], [[1.0, 0.0], [1.0, 0.0]], "directions must be orthogonal"),
        ([0.0, 0.0], [[2.0, 0.0], [0.0, 1.0]], "of length 1"),
        ([[0.0, 0.0]], np.eye(2), "origin must have 1 axis"),
    ],
)
def test_a_plane_that_is_none_is_refused(origin, directions, words):
    with pytest.raises(ValueError, match=words):
        Plane(origin, directions)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (0, 2, "second must be a whole number from 0 to 1, not 2"),
        (-1, 1, "first must be"),
        (1, 1, "two different parameters"),
    ],
)
def test_parameters_that_span_no_plane_are_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        Plane.of_parameters([0.0, 0.0], first, second)


def test_projecting_parameters_of_another_size_is_refused():
    with pytest.raises(ValueError, match="parameters must have 5 columns, as the plane has, not 2"):
        random_plane(0).project([[1.0, 2.0]])


# ---- The main directions of a path


def test_the_main_plane_of_a_path_in_a_plane_holds_the_path():
    plane = random_plane(4)
    path = plane.point(*np.random.default_rng(5).normal(size=(2, 30)))
    found = pca_plane(path)
    np.testing.assert_allclose(found.point(*found.project(path).T), path, atol=1e-12)
    np.testing.assert_allclose(found.origin, path[-1])


def test_the_first_direction_holds_the_variance_that_its_label_says():
    path = np.random.default_rng(6).normal(size=(50, 4)) * [5.0, 2.0, 1.0, 0.5]
    plane = pca_plane(run(path))
    shares = plane.project(path).var(axis=0) / path.var(axis=0).sum()
    assert plane.labels == (
        f"direction 1 ({100 * shares[0]:.3g} % of the path)",
        f"direction 2 ({100 * shares[1]:.3g} %)",
    )
    assert shares[0] > shares[1] > np.sort(path.var(axis=0))[1] / path.var(axis=0).sum()


def test_the_largest_entry_of_a_main_direction_is_positive():
    path = np.random.default_rng(7).normal(size=(20, 6))
    for directions in (pca_plane(path).directions, pca_plane(-path).directions):
        assert np.all(directions[[0, 1], np.abs(directions).argmax(axis=1)] > 0)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (np.ones((3, 2)), "path must move"),
        (np.ones((1, 2)), "at least 2 rows"),
        (np.ones((3, 1)), "2 columns"),
        (np.ones((0, 2)), "at least one row"),
    ],
)
def test_a_path_without_two_directions_is_refused(path, words):
    with pytest.raises(ValueError, match=words):
        pca_plane(path)


# ---- The loss on a plane


def test_a_slice_holds_the_loss_at_each_grid_point():
    plane = random_plane(8)
    surface = loss_grid(lambda rows: (rows**2).sum(axis=1), plane, a_range=(-1, 2), b_range=(0, 5), resolution=4)
    for i, a in enumerate(surface.a):
        for j, b in enumerate(surface.b):
            assert surface.loss[j, i] == pytest.approx(plane.point(a, b) @ plane.point(a, b))
    assert (surface.a[0], surface.a[-1], surface.b[0], surface.b[-1]) == (-1, 2, 0, 5)


def test_a_function_of_rows_and_an_objective_give_one_slice():
    options = {"a_range": (-1, 4), "b_range": (-3, 3), "resolution": 7}
    rows, objective = (loss_grid(loss, **options) for loss in (line_loss(LINE), LeastSquares(LINE)))
    np.testing.assert_allclose(objective.loss, rows.loss, rtol=1e-12)


def test_the_surface_of_a_line_is_the_quadratic_that_its_hessian_says():
    least = LeastSquares(LINE)
    lowest = least.value_and_grad(least.minimum)[0]
    quadratic = NoisyQuadratic(line_hessian(LINE), [least.minimum])
    surface = loss_grid(line_loss(LINE), a_range=(0, 4), b_range=(-2, 2), resolution=9)
    expected = loss_grid(quadratic, a_range=(0, 4), b_range=(-2, 2), resolution=9)
    np.testing.assert_allclose(surface.loss, lowest + expected.loss, rtol=1e-10)


def test_the_ranges_that_are_left_out_hold_all_points_with_a_margin():
    first, second = run([[0.0, 0.0], [1.0, 1.0]]), run([[0.0, 0.0], [2.0, -4.0]])
    surface = loss_grid(line_loss(LINE), around=[first, second], resolution=3)
    assert (surface.a[0], surface.a[-1]) == pytest.approx((-0.3, 2.3))
    assert (surface.b[0], surface.b[-1]) == pytest.approx((-4.75, 1.75))
    one = loss_grid(line_loss(LINE), around=second, a_range=(5, 6), resolution=3)
    assert (one.a[0], one.a[-1], one.b[0]) == pytest.approx((5, 6, -4.6))
    rows = loss_grid(line_loss(LINE), around=[[1.0, 2.0]], resolution=3)
    assert (rows.a[0], rows.a[-1], rows.b[0], rows.b[-1]) == (0, 2, 1, 3)


def test_a_loss_that_overflows_far_out_is_infinite_without_a_warning():
    far = {"a_range": (0, 1e200), "b_range": (0, 1), "resolution": 2}
    for surface in (loss_grid(line_loss(LINE), **far), loss_grid(lambda rows: rows[:, 0] ** 2, **far)):
        assert np.isinf(surface.loss[:, 1]).all()
    assert np.isinf(line_loss(LINE)([1e200, 0.0]))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"a_range": (0, 1)}, ValueError, "b_range must be given"),
        ({"a_range": (1, 0), "b_range": (0, 1)}, ValueError, "a_range must be a finite number above 1, not 0"),
        ({"around": [[0.0, 0.0, 0.0]]}, ValueError, "must have 2 columns"),
        ({"around": np.zeros((0, 2))}, ValueError, "around must hold at least one row"),
        ({"around": [[0.0, 0.0]], "resolution": 1}, ValueError, "resolution must be a whole number of at least 2"),
    ],
)
def test_a_slice_that_cannot_be_laid_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        loss_grid(line_loss(LINE), **options)


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda rows: rows, ValueError, r"given rows \(3, 2\) and must return \(3,\), not \(3, 2\)"),
        (lambda rows: rows.sum(), ValueError, r"given rows \(3, 2\) and must return \(3,\), not \(\)"),
    ],
)
def test_a_loss_function_of_another_kind_is_refused(function, error, words):
    with pytest.raises(error, match=words):
        loss_grid(function, a_range=(0, 1), b_range=(0, 1), resolution=3)


@pytest.mark.parametrize(
    ("a", "loss", "error", "words"),
    [
        ([0.0, 0.0], np.ones((2, 2)), ValueError, "a must hold at least two rising numbers"),
        ([0.0], np.ones((2, 1)), ValueError, "at least two"),
        ([0.0, 1.0], np.ones((2, 3)), ValueError, r"loss must have shape \(2, 2\), not \(2, 3\)"),
    ],
)
def test_a_slice_whose_arrays_disagree_is_refused(a, loss, error, words):
    with pytest.raises(error, match=words):
        Slice(Plane.of_parameters(), a, [0.0, 1.0], loss)
    with pytest.raises(TypeError, match=r"plane must be a Plane, not None \(NoneType\)"):
        Slice(None, a, [0.0, 1.0], loss)


# ---- The loss on a line


def test_the_loss_along_a_line_starts_and_ends_at_its_two_points():
    least = LeastSquares(LINE)
    alpha, loss = loss_between(least, [-1.0, 3.0], least.minimum, points=11)
    assert (alpha[0], alpha[-1]) == (0, 1)
    assert loss[0] == pytest.approx(least.value_and_grad([-1.0, 3.0])[0])
    assert loss[-1] == pytest.approx(least.value_and_grad(least.minimum)[0])
    assert np.all(np.diff(loss) < 0)


def test_past_its_two_points_the_line_goes_on():
    alpha, loss = loss_between(lambda rows: rows.sum(axis=1), [0, 0], [1, 2], span=(-1, 2), points=4)
    np.testing.assert_allclose(loss, 3 * alpha, atol=1e-12)
    assert alpha.tolist() == [-1, 0, 1, 2]


@pytest.mark.parametrize(
    ("end", "options", "words"),
    [
        ([1.0], {}, "start and end must have one length, not 2 and 1"),
        ([1.0, 1.0], {"points": 1}, "points must be a whole number of at least 2"),
        ([1.0, 1.0], {"span": (1, 1)}, "span must be a finite number above 1"),
    ],
)
def test_a_line_that_is_none_is_refused(end, options, words):
    with pytest.raises(ValueError, match=words):
        loss_between(line_loss(LINE), [0.0, 0.0], end, **options)


@pytest.mark.parametrize("dataset", [make_moons(4), Dataset([[1.0, 2.0]], [1.0]), Dataset([[1.0]], [[1.0, 2.0]])])
def test_data_that_no_line_fits_are_refused(dataset):
    with pytest.raises(ValueError, match="one input and one target"):
        line_loss(dataset)


def test_what_is_no_data_set_is_refused():
    with pytest.raises(TypeError, match="dataset must be a Dataset or a pair"):
        line_loss([1, 2, 3])
    with pytest.raises(ValueError, match=r"dataset must be a pair .* inputs must have shape \(N, D\) or \(N,\)"):
        line_loss(([[[1, 2]]], [1]))


def test_a_grid_holds_all_the_arrays_of_a_list():
    one, two = np.zeros((3, 2)), np.full((2, 2), 10.0)
    both = loss_grid(line_loss(make_line()), around=[one, two], resolution=5)
    whole = loss_grid(line_loss(make_line()), around=np.concatenate([one, two]), resolution=5)
    np.testing.assert_array_equal(both.loss, whole.loss)


def test_a_keras_model_is_no_loss_and_the_message_says_what_makes_it_one():
    with pytest.raises(TypeError, match=r"KerasObjective\(model, data\)"):
        loss_grid(build_linear(), a_range=(0, 1), b_range=(0, 1))
