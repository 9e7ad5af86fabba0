"""Backpropagation with every intermediate kept, and the difference quotients that check it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdexplain._checks import called, finite_array, frozen, one_of, real, refused
from gdexplain._checks import function as checked_function
from gdexplain.by_hand.explain import Explanation, explain_passes
from gdexplain.by_hand.functions import ACTIVATIONS, Array
from gdexplain.by_hand.network import Dense, LayerTrace, check_stack, check_targets, loss_at_end

_EPS = float(np.finfo(np.float64).eps)
_STEPS = {"forward": _EPS ** (1 / 2), "central": _EPS ** (1 / 3), "complex": 1e-20}


class _Stack(NamedTuple):
    """A layer whose arrays are not checked, and may be complex."""

    weights: Array
    bias: Array | None
    activation: str


@dataclass(frozen=True, eq=False)
class BackpropTrace:
    """Everything that one forward and one backward pass computed.

    Parameters
    ----------
    loss : float
        The loss of these rows.
    loss_name : str
        Which loss it is.
    targets : ndarray, shape (N, K) or (N,)
        The targets; labels (N,) where the loss is sparse.
    layers : tuple of LayerTrace
        What each layer computed, first layer first.
    """

    loss: float
    loss_name: str
    targets: Array
    layers: tuple[LayerTrace, ...]

    def __repr__(self) -> str:
        """Return the loss and the sizes in one line."""
        sizes = " -> ".join(str(layer.weights.shape[0]) for layer in self.layers)
        rows, width = self.layers[-1].output.shape
        count = f"{rows} row{'' if rows == 1 else 's'}"
        return f"BackpropTrace({self.loss_name!r}: net {sizes} -> {width}, {count}, loss {self.loss:.4g})"

    @property
    def gradient(self) -> NDArray[np.float64]:
        """The gradient of the loss, flat, in the order of ``keras.Model.trainable_variables``, shape (P,)."""
        parts = [part for layer in self.layers for part in (layer.d_weights, layer.d_bias) if part is not None]
        return np.concatenate([part.ravel() for part in parts])

    def explain(self, *, limit: int = 150) -> Explanation:
        r"""Tell the two passes in equations, with the numbers put in.

        Parameters
        ----------
        limit : int
            How many equations you would read at most; a larger net is refused.

        Returns
        -------
        Explanation
            A tuple of equations, each with a name, a line of text, the same in LaTeX, and the value. It prints one a line.

        Raises
        ------
        TypeError, ValueError
            If `limit` is not a whole number, or too small for this net and its rows.

        Notes
        -----
        A squared or absolute error is told term by term. A cross-entropy is told by its name, and its slope in numbers
        where it is a difference, at the logits.

        Layers, rows and units are numbered from 1, as on a blackboard: ``w2[1,3]`` is ``layers[1].weights[0, 2]``, and
        ``z1[2,3]`` is row 2, unit 3 of layer 1. An index that can only be 1 is left out.

        Examples
        --------
        >>> from gdexplain import Dense, trace_backprop
        >>> trace = trace_backprop([Dense([[0.5]], [0.0], "tanh")], [[1.0]], [[2.0]])
        >>> print(trace.explain())
        z = w · x + b = 0.5 × 1 + 0 = 0.5
        a = tanh(z) = tanh(0.5) = 0.4621
        L = (a - t)² = (0.4621 - 2)² = 2.365
        dL/da = 2 (a - t) = 2 (0.4621 - 2) = -3.076
        dL/dz = dL/da · da/dz = -3.076 × 0.7864 = -2.419
        dL/dw = dL/da · da/dz · dz/dw = -3.076 × 0.7864 × 1 = -2.419
        dL/db = dL/da · da/dz · dz/db = -3.076 × 0.7864 × 1 = -2.419
        """
        return explain_passes(self.loss, self.loss_name, self.targets, self.layers, limit=limit)


def trace_backprop(
    layers: Sequence[Dense], inputs: ArrayLike, targets: ArrayLike, *, loss: str = "mse"
) -> BackpropTrace:
    r"""Run a dense stack forward, its loss backward, and keep every intermediate.

    .. math::

        z_l &= a_{l-1} W_l + b_l, \quad a_l = f_l(z_l), \quad a_0 = x \\
        \delta_l &= \frac{\partial L}{\partial a_l} f_l'(z_l), \quad
        \frac{\partial L}{\partial a_{l-1}} = \delta_l W_l^T \\
        \frac{\partial L}{\partial W_l} &= a_{l-1}^T \delta_l, \quad \frac{\partial L}{\partial b_l} = \sum_n \delta_{l,n}

    Parameters
    ----------
    layers : sequence of Dense
        The stack, first layer first.
    inputs : array_like, shape (N, D)
        One example a row.
    targets : array_like, shape (N, K) or (N,)
        Real targets; whole-number labels (N,) for the sparse cross-entropies.
    loss : str
        ``"mse"``, ``"mae"``, ``"binary_crossentropy"``, ``"categorical_crossentropy"`` or
        ``"sparse_categorical_crossentropy"``; the last three also with ``"_from_logits"`` at the end.

    Returns
    -------
    BackpropTrace
        The loss, each layer's inputs, pre-activation, output, delta and gradients, and the whole gradient.

    Raises
    ------
    TypeError
        If the layers are not `Dense`, or an array is not one of numbers.
    ValueError
        If the data is not finite, shapes disagree, the loss is unknown or does not fit the targets or the last layer,
        or the pass leaves the range of float64.

    Notes
    -----
    The derivative is taken at the pre-activation, as it must be. As in Keras, a cross-entropy after a sigmoid or
    softmax is differentiated together with it, at the logits: δ = (a - t) / N, which never saturates; then
    ``d_output`` is None. Keras looks at the logits only: softmax with ``binary_crossentropy`` becomes a sigmoid
    cross-entropy of the logits, and sigmoid with ``categorical_crossentropy`` a softmax one. It does so only while the
    loss has the model's dtype: ``compile(loss="binary_crossentropy")`` gives a float32 loss, and a float64 model loses
    both digits and logits to it. ``keras.losses.BinaryCrossentropy(dtype="float64")`` keeps them.

    References
    ----------
    .. [1] D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by back-propagating errors",
       Nature 323, 533-536, 1986. doi:10.1038/323533a0

    Examples
    --------
    >>> from gdexplain import Dense, make_line, trace_backprop
    >>> data = make_line()
    >>> trace = trace_backprop([Dense([[0.0]], [0.0])], data.inputs, data.targets)
    >>> trace
    BackpropTrace('mse': net 1 -> 1, 4 rows, loss 30)
    >>> trace.gradient
    array([-30., -10.])
    """
    rows = frozen(check_stack(layers, inputs))
    record, at_logits = loss_at_end(loss, layers[-1].activation)
    goal = frozen(check_targets(loss, targets, (len(rows), layers[-1].weights.shape[1])))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # an overflow is told in words below
        passes = _forward(layers, rows)
        prediction = passes[-1][1 if at_logits else 2]
        value = float(record.function(prediction, goal))
        traces = _backward(layers, passes, record.derivative(prediction, goal), at_logits=at_logits)
    if not np.isfinite(value) or not all(np.isfinite(layer.d_weights).all() for layer in traces):
        raise ValueError(
            "inputs and layers must be scaled down: their loss or its gradient leaves the range of float64."
        )
    return BackpropTrace(value, loss, goal, traces)


def _forward(layers: Sequence[Dense | _Stack], rows: Array) -> list[tuple[Array, Array, Array]]:
    """Return each layer's inputs, pre-activation and output."""
    passes: list[tuple[Array, Array, Array]] = []
    for layer in layers:
        pre_activation = rows @ layer.weights if layer.bias is None else rows @ layer.weights + layer.bias
        output = ACTIVATIONS[layer.activation].function(pre_activation)
        passes.append((rows, pre_activation, output))
        rows = output
    return passes


def _backward(
    layers: Sequence[Dense], passes: list[tuple[Array, Array, Array]], upstream: Array, *, at_logits: bool
) -> tuple[LayerTrace, ...]:
    """Carry dL/da (dL/dz where `at_logits`) of the last layer down to the first."""
    traces: list[LayerTrace] = []
    d_output: Array | None = None if at_logits else upstream
    for layer, (rows, z, a) in zip(reversed(layers), reversed(passes), strict=True):
        delta = upstream if d_output is None else ACTIVATIONS[layer.activation].pull_back(d_output, z, a)
        d_bias = None if layer.bias is None else delta.sum(axis=0)
        record = (rows, z, a, d_output, delta, rows.T @ delta, d_bias)
        traces.append(LayerTrace(layer.weights, layer.bias, layer.activation, *map(_sealed, record)))  # type: ignore[arg-type]
        d_output = delta @ layer.weights.T
    return tuple(reversed(traces))


def _sealed(array: Array | None) -> Array | None:
    """Make an array of our own read-only; no copy is needed."""
    if array is not None:
        array.flags.writeable = False
    return array


def loss_function(
    layers: Sequence[Dense], inputs: ArrayLike, targets: ArrayLike, *, loss: str = "mse"
) -> Callable[[Array], Any]:
    """Return the loss of a stack as a function of its flat parameters, for `numerical_gradient`.

    Parameters
    ----------
    layers : sequence of Dense
        The stack; its arrays give the shapes only.
    inputs : array_like, shape (N, D)
        One example a row.
    targets : array_like, shape (N, K) or (N,)
        As for `trace_backprop`.
    loss : str
        As for `trace_backprop`.

    Returns
    -------
    callable
        ``function(theta) -> loss`` for theta of shape (P,); complex where theta is complex.

    Raises
    ------
    TypeError, ValueError
        As `trace_backprop`.

    Examples
    --------
    >>> from gdexplain import Dense
    >>> from gdexplain.by_hand.backprop import loss_function
    >>> float(loss_function([Dense([[0.0]], [0.0])], [[1.0]], [[2.0]])([0.5, 0.0]))
    2.25
    """
    rows = frozen(check_stack(layers, inputs))
    record, at_logits = loss_at_end(loss, layers[-1].activation)
    goal = frozen(check_targets(loss, targets, (len(rows), layers[-1].weights.shape[1])))
    shapes = [array.shape for layer in layers for array in layer.arrays]
    *ends, size = np.cumsum([math.prod(shape) for shape in shapes])

    def function(theta: Array) -> Any:
        if np.shape(theta) != (size,):
            raise ValueError(f"theta must have shape ({size},), one number a parameter, not {np.shape(theta)}.")
        parts = iter(part.reshape(shape) for part, shape in zip(np.split(theta, ends), shapes, strict=True))
        stack = [_Stack(next(parts), None if layer.bias is None else next(parts), layer.activation) for layer in layers]
        _, logits, outputs = _forward(stack, rows)[-1]
        return record.function(logits if at_logits else outputs, goal)

    return function


def numerical_gradient(
    function: Callable[[Array], Any], theta: ArrayLike, *, method: str = "central", h: float | None = None
) -> NDArray[np.float64]:
    r"""Estimate a gradient from values of the function alone, one parameter at a time.

    .. math::

        \text{forward: } \frac{f(\theta + h e_i) - f(\theta)}{h}, \quad
        \text{central: } \frac{f(\theta + h e_i) - f(\theta - h e_i)}{2 h}, \quad
        \text{complex: } \frac{\operatorname{Im} f(\theta + i h e_i)}{h}

    Parameters
    ----------
    function : callable
        ``function(theta) -> number``. For ``"complex"`` it must be analytic and take a complex theta.
    theta : array_like, shape (P,)
        Where to take the gradient.
    method : {"central", "forward", "complex"}
        The difference quotient. Its error is of order h², h, and h² without any cancellation.
    h : float, optional
        How far to move a parameter. By default ε^(1/2) (forward) or ε^(1/3) (central) times max(1, \|θ_i\|), where
        truncation and rounding balance, and 1e-20 (complex), where nothing is rounded off.

    Returns
    -------
    ndarray, shape (P,)
        The estimate, from P + 1, 2 P or P evaluations: backpropagation needs about two for any P.

    Raises
    ------
    TypeError
        If the function is none, does not return a number, or returns a real one for a complex step.
    ValueError
        If theta or a value of the function is not finite, the method is unknown, or h is not above 0.

    References
    ----------
    .. [1] W. Squire and G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review
       40(1), 110-112, 1998. doi:10.1137/S003614459631241X

    Examples
    --------
    >>> from gdexplain import numerical_gradient
    >>> numerical_gradient(lambda theta: (theta**3).sum(), [1.0, 2.0], method="complex")
    array([ 3., 12.])
    """
    checked_function("function", function, "a function from theta to a number")
    start = finite_array("theta", theta, ndim=1)
    one_of("method", method, _STEPS)
    steps = _STEPS[method] * (np.ones_like(start) if method == "complex" else np.maximum(1.0, np.abs(start)))
    if h is not None:
        steps = np.full_like(start, real("h", h, above=0.0))
    base = _value(function, start) if method == "forward" else 0.0
    return np.array([_quotient(function, start, place, step, base, method) for place, step in enumerate(steps)])


def _quotient(
    function: Callable[[Array], Any], theta: Array, place: int, step: float, base: float, method: str
) -> float:
    """Return the difference quotient in one parameter."""
    if method == "complex":
        shifted = theta.astype(np.complex128)
        shifted[place] += 1j * step
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.asarray(called("function", function, shifted))
        if not np.iscomplexobj(value) or value.shape != ():
            raise refused(TypeError, "function", "one that returns a complex number for a complex theta", value)
        if not np.isfinite(value):
            raise refused(ValueError, f"the value of function near theta = {theta}", "finite", value[()])
        return float(np.imag(value)) / step
    above, below = theta.copy(), theta.copy()
    above[place] += step
    if method == "central":
        below[place] -= step
        base = _value(function, below)
    if above[place] == below[place]:
        raise ValueError(
            f"h must be large enough to change theta, but {step:g} is lost beside theta[{place}] = {theta[place]:g}."
        )
    # the distance that rounding left, not the one asked for
    return (_value(function, above) - base) / float(above[place] - below[place])


def _value(function: Callable[[Array], Any], theta: Array) -> float:
    """Return the function's value if it is a finite number."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused in words
        return real(f"the value of function near theta = {theta}", called("function", function, theta.copy()))
