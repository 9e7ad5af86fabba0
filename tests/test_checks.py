"""One way of saying no: what an argument must be, and what came."""

import fractions

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gdexplain import _checks

NOT_NUMBERS = {
    "a mask": np.ma.masked_array([1.0, 2.0], [False, True]),
    "a mask in a list": [np.ma.masked_array([1.0, 2.0], [False, True]), [3.0, 4.0]],
    "a masked number in a list": [1.0, np.ma.masked],
    "complex numbers": np.array([1 + 5j, 2]),
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "lengths of time": np.array([3], "m8[D]"),
    "lengths of time as objects": np.array([np.timedelta64(3, "D")], object),
    "timestamps": pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
    "digits": ["1", "2"],
    "digits as objects": np.array(["1", "2"], object),
    "digits in a table": pd.DataFrame({"x": [1.0, 2.0], "y": ["1", "2"]}),
    "bytes": np.array([b"1"]),
    "truth values": [True, False],
    "a truth value among numbers": [0.5, True],
    "None": None,
    "None in a list": [1.0, None],
    "a missing number of pandas": pd.array([1, None], dtype="Int64"),
    "rows of unequal length": [[1.0], [2.0, 3.0]],
    "a mapping": {"a": 1.0},
    "a set": {1.0},
    "a generator": (number for number in (1.0, 2.0)),
    "a function": len,
    "named columns": np.zeros(2, [("a", float)]),
}


@pytest.mark.parametrize("value", NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_what_numpy_makes_numbers_of_in_silence_is_refused_by_name(value):
    with pytest.raises(TypeError, match=r"^theta(\[[\d, ]+\])? must be "):
        _checks.finite_array("theta", value)


def test_numbers_of_every_kind_are_numbers():
    expected = np.array([1.0, 2.0])
    table = pd.DataFrame({"x": [1, 2], "y": [1.0, 2.0], "z": [True, False]})
    kinds = [(1, 2), range(1, 3), pd.Series([1, 2]), pd.array([1, 2], dtype="Int64"), np.ma.masked_array([1.0, 2.0])]
    kinds += [expected.astype(kind) for kind in ("i1", "u8", "f2", "f4", "g", ml_dtypes.bfloat16, object)]
    kinds += [
        [fractions.Fraction(1), 2],
        [np.float32(1), np.int8(2)],
        np.array([9, 1, 9, 2])[1::2],
        expected[::-1][::-1],
    ]
    for value in kinds:
        array = _checks.finite_array("theta", value)
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float64
    np.testing.assert_array_equal(_checks.finite_array("x", table, booleans=True), [[1, 1, 1], [2, 2, 0]])


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ([0.0, np.nan], {}, r"theta must be finite, but theta\[1\] is nan\."),
        ([[0.0], [-np.inf]], {}, r"theta must be finite, but theta\[1, 0\] is -inf\."),
        (np.nan, {}, r"theta must be finite, but theta is nan\."),
        ([0.0, 1e39], {"dtype": "float32"}, r"theta must be finite, but theta\[1\] is 1e\+39, beyond float32\."),
        ([10**400], {}, "theta must be finite, but holds a whole number beyond float64"),
        ([1.0], {"ndim": 2}, r"theta must have 2 axes, not shape \(1,\)\."),
        ([[1.0]], {"ndim": 1}, r"theta must have 1 axis, not shape \(1, 1\)\."),
    ],
)
def test_numbers_that_are_not_finite_are_named_by_their_place(value, options, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        _checks.finite_array("theta", value, **options)


@given(hnp.arrays(st.sampled_from(["f8", "f4", "i8", "u1"]), hnp.array_shapes(max_dims=3, min_side=0)))
def test_an_array_is_returned_as_it_is_or_refused_for_a_number_that_is_not_finite(array):
    if np.isfinite(array).all():
        np.testing.assert_array_equal(_checks.finite_array("theta", array), array.astype(float))
    else:
        with pytest.raises(ValueError, match=r"^theta must be finite, but theta(\[[\d, ]+\])? is -?(nan|inf)\.$"):
            _checks.finite_array("theta", array)


@pytest.mark.parametrize("check", [_checks.real, _checks.positive_int, _checks.seed_of])
def test_numpys_scalars_are_numbers_and_what_only_looks_like_a_number_is_not(check):
    for one in (1, np.int8(1), np.uint64(1), np.array(1)):
        assert check("n", one) == 1
        assert type(check("n", one)) in (int, float)
    for other in (True, np.True_, np.timedelta64(1, "D"), "1", None, 1j, [1], np.array([1]), np.ma.masked, {}):
        with pytest.raises(TypeError, match=r"^n must be a .* number.*, not .*\(.*\)\.$"):
            check("n", other)
    with pytest.raises(ValueError, match=r"^n must be a .*, not a number of thousands of digits\."):
        check("n", -(10**5000))


@pytest.mark.parametrize("value", [1.5, np.float32(2.0), fractions.Fraction(1)])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(TypeError, match=r"^n must be a whole number of at least 1, not .*\(.*\)\.$"):
        _checks.positive_int("n", value)


def test_a_number_is_held_to_its_bounds():
    assert _checks.real("rate", np.float32(0.5), above=0) == 0.5
    for bounds, words in (({"above": 0}, "above 0"), ({"at_least": 1, "below": 2}, "at least 1 and below 2")):
        with pytest.raises(ValueError, match=f"^rate must be a finite number {words}, not 0.0"):
            _checks.real("rate", 0, **bounds)
    with pytest.raises(ValueError, match=r"^rate must be a finite number, not inf\.$"):
        _checks.real("rate", np.inf)
    with pytest.raises(ValueError, match=r"^n must be a whole number from 2 to 3, not 1\.$"):
        _checks.positive_int("n", 1, at_least=2, at_most=3)


def test_a_seed_is_one_that_numpy_keras_and_a_record_can_take():
    assert _checks.seed_of("seed", 0) == 0
    assert _checks.seed_of("seed", np.uint64(2**63 - 1)) == 2**63 - 1
    for value in (-1, 2**63):
        with pytest.raises(ValueError, match=f"^seed must be a whole number from 0 to {2**63 - 1}, not {value}"):
            _checks.seed_of("seed", value)


def test_rows_are_numbers_of_rows_that_exist():
    np.testing.assert_array_equal(_checks.row_numbers("rows", [3, 0, 3], 4), [3, 0, 3])
    assert _checks.row_numbers("rows", np.uint8([1]), 4).dtype == np.int64
    for value, error, words in [
        ([], ValueError, "at least one, not none"),
        ([0, -1], ValueError, r"but rows\[1\] is -1"),
        ([4], ValueError, r"but rows\[0\] is 4"),
        ([1.0], TypeError, r"not \[1.0\] \(list\)"),
        ([True, False], TypeError, "not of truth values"),
        (1, ValueError, r"1 axis, not shape \(\)"),
        ([[0]], ValueError, "1 axis"),
    ]:
        with pytest.raises(error, match=f"^rows must .*{words}"):
            _checks.row_numbers("rows", value, 4)


def test_a_flag_is_true_or_false_and_nothing_that_only_counts_as_one():
    assert _checks.flag("jit", np.True_) is True
    for value in ("no", 0, 1.0, None, [], np.array([True])):
        with pytest.raises(TypeError, match=r"^jit must be True or False, not .*\(.*\)\.$"):
            _checks.flag("jit", value)


def test_items_are_what_a_list_or_its_like_holds():
    for value in ([1, 2], (1, 2), np.array([1, 2]), pd.Index([1, 2]), range(1, 3)):
        assert _checks.items("sizes", value, "two numbers", at_least=2, at_most=2) == (1, 2)
    for value in ("ab", b"ab", {1: 2, 3: 4}, {1, 2}, 2, None, np.array(2), iter([1, 2])):
        with pytest.raises(TypeError, match=r"^sizes must be two numbers, not .*\(.*\)\.$"):
            _checks.items("sizes", value, "two numbers", at_least=2, at_most=2)
    for value in ([], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"^sizes must be two numbers, not .*\.$"):
            _checks.items("sizes", value, "two numbers", at_least=2, at_most=2)


def test_a_value_of_any_size_is_shown_on_one_short_line():
    for value in (list(range(10**6)), "x" * 10**6, np.zeros((100, 100)), {n: n for n in range(10**5)}):
        message = str(_checks.refused(TypeError, "n", "a number", value))
        assert len(message) < 250
        assert "\n" not in message


def test_other_kinds_are_named_too():
    assert _checks.text("label", "") == ""
    assert _checks.function("loss", len) is len
    assert _checks.instance("n", 3, int) == 3
    with pytest.raises(TypeError, match=r"^label must be text, not None \(NoneType\)\.$"):
        _checks.text("label", None)
    with pytest.raises(TypeError, match=r"^loss must be a function, not 3 \(int\)\.$"):
        _checks.function("loss", 3)
    with pytest.raises(TypeError, match=r"^dataset must be a dict, not 3 \(int\)\.$"):
        _checks.instance("dataset", 3, dict)
    with pytest.raises(ValueError, match=r"^by must be one of 'a', 'b', not \['a'\]\.$"):
        _checks.one_of("by", ["a"], ("a", "b"))
