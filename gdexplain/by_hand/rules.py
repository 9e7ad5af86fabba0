"""The update rules: each is two pure functions, so every bit of its memory can be seen.

A rule turns a gradient into a step. What it remembers from one update to the next is its state, an immutable tuple
that goes in and comes out: nothing is hidden and nothing is changed in place. The conventions are those of
``keras.optimizers``, so that every rule here can be checked against its Keras twin.
"""

# ruff: noqa: ARG001  # every rule has the same two signatures, whether it looks at theta or not
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdexplain._checks import flag, rate_at, real
from gdexplain.by_hand.schedules import Schedule, constant

Array = NDArray[np.float64]
LearningRate = float | Schedule


class UpdateRule(NamedTuple):
    r"""A rule for going downhill: how its memory starts, and how a gradient becomes a step.

    .. math:: (s_k, m_{k+1}) = \text{update}(g_k, m_k, \theta_k), \qquad \theta_{k+1} = \theta_k + s_k

    Parameters
    ----------
    name : str
        What a legend calls it, made from its own settings.
    init : callable
        From the start (P,) to the first state.
    update : callable
        From the gradient (P,), the state and the parameters (P,) to the step (P,) and the next state.

    Notes
    -----
    The form is that of optax: a rule has no attributes, and the step is *added*, so it carries the minus sign.
    Every state is a named tuple whose first entry, ``updates``, counts the updates made before.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain.by_hand.rules import momentum
    >>> rule = momentum(0.5, beta=0.5)
    >>> theta = np.array([1.0])
    >>> state = rule.init(theta)
    >>> for _ in range(2):
    ...     step, state = rule.update(2 * theta, state, theta)  # the gradient of theta ** 2
    ...     theta = theta + step
    >>> theta, state
    (array([-0.5]), MomentumState(updates=2, velocity=array([-0.5])))
    """

    name: str
    init: Callable[[Array], Any]
    update: Callable[[Array, Any, Array], tuple[Array, Any]]


class GradientDescentState(NamedTuple):
    """What gradient descent remembers: how many updates were made."""

    updates: int


class MomentumState(NamedTuple):
    """What momentum remembers: how many updates were made, and how fast it is going."""

    updates: int
    velocity: Array


class AdagradState(NamedTuple):
    """What AdaGrad remembers: how many updates were made, and the sum of squared gradients."""

    updates: int
    accumulator: Array


class RMSpropState(NamedTuple):
    """What RMSProp remembers: running means of squared gradients and of gradients, and its momentum."""

    updates: int
    velocity: Array
    average_gradient: Array
    momentum: Array


class AdadeltaState(NamedTuple):
    """What AdaDelta remembers: running means of squared gradients and of its own squared steps."""

    updates: int
    accumulated_grad: Array
    accumulated_delta: Array


class AdamState(NamedTuple):
    """What Adam remembers: running means of gradients and of squared gradients."""

    updates: int
    momentum: Array
    velocity: Array


class AMSGradState(NamedTuple):
    """What AMSGrad remembers: Adam's two running means, and the largest value the second ever had."""

    updates: int
    momentum: Array
    velocity: Array
    velocity_hat: Array


class NadamState(NamedTuple):
    """What Nadam remembers: Adam's two running means, and the product of its momentum schedule so far."""

    updates: int
    momentum: Array
    velocity: Array
    u_product: float


class LionState(NamedTuple):
    """What Lion remembers: a running mean of gradients."""

    updates: int
    momentum: Array


def gradient_descent(learning_rate: LearningRate) -> UpdateRule:
    r"""Return plain gradient descent: a step against the gradient.

    .. math:: s_k = -\eta_k \, g_k

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``SGD``.

    Raises
    ------
    TypeError, ValueError
        If the rate is not positive.

    Examples
    --------
    >>> from gdexplain.by_hand.rules import gradient_descent
    >>> gradient_descent(0.01).name
    'gradient_descent(0.01)'
    """
    rate, label = _schedule(learning_rate)

    def init(theta: Array) -> GradientDescentState:
        return GradientDescentState(0)

    def update(grad: Array, state: GradientDescentState, theta: Array) -> tuple[Array, GradientDescentState]:
        return -rate(state.updates) * grad, GradientDescentState(state.updates + 1)

    return UpdateRule(f"gradient_descent({label})", init, update)


def momentum(learning_rate: LearningRate, beta: float = 0.9, *, nesterov: bool = False) -> UpdateRule:
    r"""Return gradient descent with momentum: the step is a velocity that remembers where it was going.

    .. math:: v_{k+1} = \beta v_k - \eta_k \, g_k, \qquad
              s_k = v_{k+1} \quad\text{or, with Nesterov's, }\quad s_k = \beta v_{k+1} - \eta_k \, g_k

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    beta : float
        How much of the velocity survives an update, at least 0 and below 1. 0 is gradient descent.
    nesterov : bool
        Whether to look one step ahead.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``SGD(momentum=beta, nesterov=nesterov)``.

    Raises
    ------
    TypeError, ValueError
        If the rate is not positive or `beta` is outside [0, 1).

    Notes
    -----
    Keras' convention: the rate is inside the velocity. In PyTorch, optax and d2l it stands outside,
    :math:`v_{k+1} = \beta v_k + g_k`, :math:`s_k = -\eta_k v_{k+1}`: the same steps while the rate is constant, others
    when it changes.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
       https://proceedings.mlr.press/v28/sutskever13.html.

    Examples
    --------
    >>> from gdexplain.by_hand.rules import momentum
    >>> momentum(0.01, nesterov=True).name
    'nesterov(0.01, beta=0.9)'
    """
    rate, label = _schedule(learning_rate)
    beta, nesterov = _share("beta", beta), flag("nesterov", nesterov)

    def init(theta: Array) -> MomentumState:
        return MomentumState(0, _zeros(theta))

    def update(grad: Array, state: MomentumState, theta: Array) -> tuple[Array, MomentumState]:
        eta = rate(state.updates)
        velocity = beta * state.velocity - eta * grad
        step = beta * velocity - eta * grad if nesterov else velocity
        return step, MomentumState(state.updates + 1, velocity)

    return UpdateRule(f"{'nesterov' if nesterov else 'momentum'}({label}, beta={beta:g})", init, update)


def adagrad(
    learning_rate: LearningRate, *, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7
) -> UpdateRule:
    r"""Return AdaGrad: each parameter's rate falls with the squared gradients that it has seen.

    .. math:: a_{k+1} = a_k + g_k^2, \qquad s_k = -\frac{\eta_k \, g_k}{\sqrt{a_{k+1} + \epsilon}}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    initial_accumulator_value : float
        What the sum starts from, at least 0.
    epsilon : float
        Keeps the root away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Adagrad``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: the sum starts at 0.1, not at 0, and epsilon is inside the root.

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic
       optimization", JMLR 12, 2011, https://jmlr.org/papers/v12/duchi11a.html.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain.by_hand.rules import adagrad
    >>> rule = adagrad(0.1, initial_accumulator_value=0)
    >>> rule.update(np.array([3.0, -300.0]), rule.init(np.zeros(2)), np.zeros(2))[0].round(6)
    array([-0.1,  0.1])
    """
    rate, label = _schedule(learning_rate)
    epsilon = real("epsilon", epsilon, above=0)
    first = real("initial_accumulator_value", initial_accumulator_value, at_least=0)

    def init(theta: Array) -> AdagradState:
        return AdagradState(0, _zeros(theta) + first)

    def update(grad: Array, state: AdagradState, theta: Array) -> tuple[Array, AdagradState]:
        accumulator = state.accumulator + grad**2
        step = -rate(state.updates) * grad / np.sqrt(accumulator + epsilon)
        return step, AdagradState(state.updates + 1, accumulator)

    return UpdateRule(f"adagrad({label})", init, update)


def rmsprop(
    learning_rate: LearningRate,
    *,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> UpdateRule:
    r"""Return RMSProp: each gradient is divided by the root of the running mean of its squares.

    .. math:: v_{k+1} &= \rho v_k + (1 - \rho) g_k^2 \\
              a_{k+1} &= \rho a_k + (1 - \rho) g_k \\
              m_{k+1} &= \mu m_k + \frac{\eta_k \, g_k}{\sqrt{v_{k+1} + \epsilon}} \\
              &\quad \text{(centred: over } \textstyle\sqrt{v_{k+1} - a_{k+1}^2 + \epsilon}\text{)} \\
              s_k &= -m_{k+1}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    rho : float
        How much of the running means survives an update, at least 0 and below 1.
    momentum : float
        How much μ of the last step is made again, at least 0 and below 1.
    epsilon : float
        Keeps the root away from 0; above 0.
    centered : bool
        Whether to divide by the standard deviation of the gradients rather than by their root mean square.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``RMSprop``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: epsilon is inside the root, and nothing corrects the bias of the first updates. Where rounding
    makes the centred variance negative, it counts as 0 here; Keras may then return NaN.

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", Neural Networks for Machine Learning, 2012.
    .. [2] A. Graves, "Generating sequences with recurrent neural networks", 2013, arXiv:1308.0850 (centred).

    Examples
    --------
    >>> from gdexplain.by_hand.rules import rmsprop
    >>> rmsprop(0.001, centered=True).name
    'rmsprop(0.001, centered)'
    """
    rate, label = _schedule(learning_rate)
    rho, momentum, epsilon = _share("rho", rho), _share("momentum", momentum), real("epsilon", epsilon, above=0)
    centered = flag("centered", centered)

    def init(theta: Array) -> RMSpropState:
        return RMSpropState(0, _zeros(theta), _zeros(theta), _zeros(theta))

    def update(grad: Array, state: RMSpropState, theta: Array) -> tuple[Array, RMSpropState]:
        velocity = rho * state.velocity + (1 - rho) * grad**2
        average = rho * state.average_gradient + (1 - rho) * grad
        spread = np.maximum(velocity - average**2, 0) if centered else velocity
        step = momentum * state.momentum + rate(state.updates) * grad / np.sqrt(spread + epsilon)
        return -step, RMSpropState(state.updates + 1, velocity, average, step)

    options = (f", momentum={momentum:g}" if momentum else "") + (", centered" if centered else "")
    return UpdateRule(f"rmsprop({label}{options})", init, update)


def adadelta(learning_rate: LearningRate, *, rho: float = 0.95, epsilon: float = 1e-7) -> UpdateRule:
    r"""Return AdaDelta: steps in the parameter's own units, from the sizes of the steps before.

    .. math:: v_{k+1} &= \rho v_k + (1 - \rho) g_k^2 \\
              d_k &= -\frac{\sqrt{u_k + \epsilon}}{\sqrt{v_{k+1} + \epsilon}} \, g_k \\
              u_{k+1} &= \rho u_k + (1 - \rho) d_k^2 \\
              s_k &= \eta_k \, d_k

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0, or a schedule. The paper has none: 1.0 is its rule.
    rho : float
        How much of the running means survives an update, at least 0 and below 1.
    epsilon : float
        Starts the first step and keeps the roots away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Adadelta``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: the mean of squared steps is of those *before* they are multiplied with the rate.

    References
    ----------
    .. [1] M. Zeiler, "ADADELTA: An adaptive learning rate method", 2012, arXiv:1212.5701.

    Examples
    --------
    >>> from gdexplain.by_hand.rules import adadelta
    >>> adadelta(1.0).name
    'adadelta(1)'
    """
    rate, label = _schedule(learning_rate)
    rho, epsilon = _share("rho", rho), real("epsilon", epsilon, above=0)

    def init(theta: Array) -> AdadeltaState:
        return AdadeltaState(0, _zeros(theta), _zeros(theta))

    def update(grad: Array, state: AdadeltaState, theta: Array) -> tuple[Array, AdadeltaState]:
        squares = rho * state.accumulated_grad + (1 - rho) * grad**2
        delta = -np.sqrt(state.accumulated_delta + epsilon) / np.sqrt(squares + epsilon) * grad
        steps = rho * state.accumulated_delta + (1 - rho) * delta**2
        return rate(state.updates) * delta, AdadeltaState(state.updates + 1, squares, steps)

    return UpdateRule(f"adadelta({label})", init, update)


def adam(
    learning_rate: LearningRate, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> UpdateRule:
    r"""Return Adam: momentum, divided by the root mean square of the gradients, both corrected for their start at 0.

    .. math:: m_{k+1} &= \beta_1 m_k + (1 - \beta_1) g_k \\
              v_{k+1} &= \beta_2 v_k + (1 - \beta_2) g_k^2 \\
              s_k &= -\eta_k \frac{\sqrt{1 - \beta_2^{k+1}}}{1 - \beta_1^{k+1}} \,
              \frac{m_{k+1}}{\sqrt{v_{k+1}} + \hat\epsilon}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    beta_1, beta_2 : float
        How much of each running mean survives an update, at least 0 and below 1.
    epsilon : float
        Keeps the denominator away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Adam``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention is the paper's "epsilon hat": it is added to :math:`\sqrt v` before the bias is corrected, so it
    weighs more in the first updates than an epsilon added to :math:`\sqrt{\hat v}` (PyTorch, optax).

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: A method for stochastic optimization", 2015, arXiv:1412.6980.

    Examples
    --------
    The first step is the rate, whatever the size of the gradient:

    >>> import numpy as np
    >>> from gdexplain.by_hand.rules import adam
    >>> rule = adam(0.01)
    >>> rule.update(np.array([3.0, -300.0]), rule.init(np.zeros(2)), np.zeros(2))[0].round(6)
    array([-0.01,  0.01])
    """
    rate, label = _schedule(learning_rate)
    beta_1, beta_2, epsilon = _share("beta_1", beta_1), _share("beta_2", beta_2), real("epsilon", epsilon, above=0)

    def init(theta: Array) -> AdamState:
        return AdamState(0, _zeros(theta), _zeros(theta))

    def update(grad: Array, state: AdamState, theta: Array) -> tuple[Array, AdamState]:
        k = state.updates + 1
        m = beta_1 * state.momentum + (1 - beta_1) * grad
        v = beta_2 * state.velocity + (1 - beta_2) * grad**2
        corrected = rate(state.updates) * np.sqrt(1 - beta_2**k) / (1 - beta_1**k)
        return -corrected * m / (np.sqrt(v) + epsilon), AdamState(k, m, v)

    return UpdateRule(f"adam({label})", init, update)


def amsgrad(
    learning_rate: LearningRate, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> UpdateRule:
    r"""Return AMSGrad: Adam whose denominator never shrinks.

    .. math:: \hat v_{k+1} = \max(\hat v_k, v_{k+1}), \qquad
              s_k = -\eta_k \frac{\sqrt{1 - \beta_2^{k+1}}}{1 - \beta_1^{k+1}} \,
              \frac{m_{k+1}}{\sqrt{\hat v_{k+1}} + \hat\epsilon}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    beta_1, beta_2 : float
        How much of each running mean survives an update, at least 0 and below 1.
    epsilon : float
        Keeps the denominator away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Adam(amsgrad=True)``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: the maximum is of the uncorrected means, and the bias is corrected afterwards.

    References
    ----------
    .. [1] S. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", 2018, arXiv:1904.09237.

    Examples
    --------
    >>> from gdexplain.by_hand.rules import amsgrad
    >>> amsgrad(0.01).name
    'amsgrad(0.01)'
    """
    rate, label = _schedule(learning_rate)
    beta_1, beta_2, epsilon = _share("beta_1", beta_1), _share("beta_2", beta_2), real("epsilon", epsilon, above=0)

    def init(theta: Array) -> AMSGradState:
        return AMSGradState(0, _zeros(theta), _zeros(theta), _zeros(theta))

    def update(grad: Array, state: AMSGradState, theta: Array) -> tuple[Array, AMSGradState]:
        k = state.updates + 1
        m = beta_1 * state.momentum + (1 - beta_1) * grad
        v = beta_2 * state.velocity + (1 - beta_2) * grad**2
        v_hat = np.maximum(state.velocity_hat, v)
        corrected = rate(state.updates) * np.sqrt(1 - beta_2**k) / (1 - beta_1**k)
        return -corrected * m / (np.sqrt(v_hat) + epsilon), AMSGradState(k, m, v, v_hat)

    return UpdateRule(f"amsgrad({label})", init, update)


def nadam(
    learning_rate: LearningRate, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7
) -> UpdateRule:
    r"""Return Nadam: Adam with Nesterov's look ahead, and a momentum that warms up.

    .. math:: \mu_j &= \beta_1 (1 - \tfrac12 \, 0.96^{\,j}) \\
              \Pi_j &= \mu_1 \mu_2 \cdots \mu_j \\
              \hat m_{k+1} &= \frac{\mu_{k+2} \, m_{k+1}}{1 - \Pi_{k+2}} + \frac{(1 - \mu_{k+1}) \, g_k}{1 - \Pi_{k+1}} \\
              \hat v_{k+1} &= \frac{v_{k+1}}{1 - \beta_2^{k+1}} \\
              s_k &= -\eta_k \frac{\hat m_{k+1}}{\sqrt{\hat v_{k+1}} + \epsilon}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    beta_1, beta_2 : float
        How much of each running mean survives an update, at least 0 and below 1.
    epsilon : float
        Keeps the denominator away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Nadam``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: m and v are Adam's own running means with a constant beta_1; the schedule :math:`\mu` only
    weighs them; and epsilon is added after the bias is corrected, unlike in `adam`. Keras rounds 0.96 to float32 even
    for float64 variables, and so differs from this in the ninth digit.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016,
       https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    Examples
    --------
    >>> from gdexplain.by_hand.rules import nadam
    >>> nadam(0.01).name
    'nadam(0.01)'
    """
    rate, label = _schedule(learning_rate)
    beta_1, beta_2, epsilon = _share("beta_1", beta_1), _share("beta_2", beta_2), real("epsilon", epsilon, above=0)

    def init(theta: Array) -> NadamState:
        return NadamState(0, _zeros(theta), _zeros(theta), 1.0)

    def update(grad: Array, state: NadamState, theta: Array) -> tuple[Array, NadamState]:
        k = state.updates + 1
        mu, mu_next = (beta_1 * (1 - 0.5 * 0.96**j) for j in (k, k + 1))
        product = state.u_product * mu
        m = beta_1 * state.momentum + (1 - beta_1) * grad
        v = beta_2 * state.velocity + (1 - beta_2) * grad**2
        m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * grad / (1 - product)
        v_hat = v / (1 - beta_2**k)
        return -rate(state.updates) * m_hat / (np.sqrt(v_hat) + epsilon), NadamState(k, m, v, product)

    return UpdateRule(f"nadam({label})", init, update)


def adamw(
    learning_rate: LearningRate,
    *,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> UpdateRule:
    r"""Return AdamW: Adam beside a decay that its denominator does not touch.

    .. math:: s_k = -\eta_k \, \lambda \, \theta_k + s_k^{\text{Adam}}

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    weight_decay : float
        The decay λ, at least 0: without a gradient, each update multiplies a weight with 1 - ηλ.
    beta_1, beta_2 : float
        How much of each running mean survives an update, at least 0 and below 1.
    epsilon : float
        Keeps the denominator away from 0; above 0.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``AdamW``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    Keras' convention: the decay is multiplied with the rate. This is not Adam on a loss with an L2 penalty.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019, arXiv:1711.05101.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain.by_hand.rules import adamw
    >>> rule, theta = adamw(0.1, weight_decay=0.5), np.array([2.0])
    >>> print(rule.update(np.array([0.0]), rule.init(theta), theta)[0])
    [-0.1]
    """
    rate, label = _schedule(learning_rate)
    weight_decay = real("weight_decay", weight_decay, at_least=0)
    inner = adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)

    def update(grad: Array, state: AdamState, theta: Array) -> tuple[Array, AdamState]:
        step, after = inner.update(grad, state, theta)
        return -rate(state.updates) * weight_decay * theta + step, after

    return UpdateRule(f"adamw({label}, weight_decay={weight_decay:g})", inner.init, update)


def lion(learning_rate: LearningRate, *, beta_1: float = 0.9, beta_2: float = 0.99) -> UpdateRule:
    r"""Return Lion: a step of the rate in every coordinate, whose sign alone is learned.

    .. math:: s_k = -\eta_k \operatorname{sign}(\beta_1 m_k + (1 - \beta_1) g_k), \qquad
              m_{k+1} = \beta_2 m_k + (1 - \beta_2) g_k

    Parameters
    ----------
    learning_rate : float or callable
        The rate, above 0; or a schedule, from the number of updates made before to the rate.
    beta_1, beta_2 : float
        How much of the running mean counts in the step, and how much of it survives; at least 0 and below 1.

    Returns
    -------
    UpdateRule
        Its Keras twin is ``Lion``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    .. [1] X. Chen et al., "Symbolic discovery of optimization algorithms", 2023, arXiv:2302.06675.

    Examples
    --------
    >>> import numpy as np
    >>> from gdexplain.by_hand.rules import lion
    >>> rule = lion(0.01)
    >>> rule.update(np.array([3.0, -300.0]), rule.init(np.zeros(2)), np.zeros(2))[0]
    array([-0.01,  0.01])
    """
    rate, label = _schedule(learning_rate)
    beta_1, beta_2 = _share("beta_1", beta_1), _share("beta_2", beta_2)

    def init(theta: Array) -> LionState:
        return LionState(0, _zeros(theta))

    def update(grad: Array, state: LionState, theta: Array) -> tuple[Array, LionState]:
        step = -rate(state.updates) * np.sign(beta_1 * state.momentum + (1 - beta_1) * grad)
        return step, LionState(state.updates + 1, beta_2 * state.momentum + (1 - beta_2) * grad)

    return UpdateRule(f"lion({label})", init, update)


def _schedule(learning_rate: LearningRate) -> tuple[Callable[[int], float], str]:
    """Return the rate as a function of the updates made before, and what a label calls it."""
    if callable(learning_rate):
        rate_at("learning_rate", learning_rate, 0)  # what is no schedule fails here, not after the first gradient
        return partial(rate_at, "learning_rate", learning_rate), getattr(learning_rate, "__name__", "schedule")
    schedule = constant(learning_rate)
    return schedule, schedule.__name__


def _share(name: str, value: float) -> float:
    return real(name, value, at_least=0, below=1)


def _zeros(theta: Array) -> Array:
    return np.zeros(np.shape(theta))
