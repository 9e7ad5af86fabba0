"""Models start where they are told to."""

import numpy as np
import pytest

from gdexplain import build_linear, build_mlp


def test_the_linear_neuron_starts_where_it_is_told_and_computes_a_line():
    model = build_linear(0.5, -1, dtype="float64")
    x = np.array([[0.0], [2.0]])
    np.testing.assert_array_equal(model(x).numpy(), 0.5 * x - 1)
    assert {v.dtype for v in model.variables} == {"float64"}


def test_an_mlp_depends_on_its_seed_alone():
    first, again, other = (build_mlp([4, 3, 1], inputs=2, seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.get_weights(), again.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or not np.array_equal(a, c)
    assert [layer.activation.__name__ for layer in first.layers] == ["tanh", "tanh", "linear"]
    assert not np.array_equal(*[w.ravel()[:3] for w in build_mlp([3, 3], inputs=3, seed=1).get_weights()[::2]])


def test_the_output_activation_is_the_last_layers():
    model = build_mlp([4, 3], inputs=2, seed=0, activation="relu", output_activation="softmax")
    np.testing.assert_allclose(model(np.ones((5, 2))).numpy().sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: build_linear(1e39), ValueError, r"weight must be finite, but weight is 1e\+39, beyond float32"),
        (lambda: build_linear(0, 1e5, dtype="float16"), ValueError, "bias must be finite, .* beyond float16"),
        (lambda: build_linear(dtype="int32"), ValueError, "dtype must be one of 'float16', .*, not 'int32'"),
        (
            lambda: build_mlp([], inputs=2, seed=0),
            (TypeError, ValueError),
            "units must be the width of at least one layer",
        ),
        (
            lambda: build_mlp(3, inputs=2, seed=0),
            (TypeError, ValueError),
            "units must be the width of at least one layer",
        ),
        (lambda: build_mlp([3, 0], inputs=2, seed=0), ValueError, r"units\[1\] must be a whole number of at least 1"),
        (lambda: build_mlp([3], inputs=0, seed=0), ValueError, "inputs must be a whole number of at least 1, not 0"),
        (lambda: build_mlp([3, 1], inputs=1, seed=0, activation="tan"), ValueError, "tan"),
    ],
)
def test_bad_arguments_are_refused_in_words(call, error, words):
    with pytest.raises(error, match=words):
        call()
