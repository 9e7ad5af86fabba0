"""Learning-rate schedules: plain functions of k, the number of updates made before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from gdexplain._checks import items, positive_int, rate_at, real

Schedule = Callable[[int], float]


def constant(learning_rate: float) -> Schedule:
    r"""Return the schedule that never changes, :math:`\eta_k = \eta`.

    Parameters
    ----------
    learning_rate : float
        The rate, above 0.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If the rate is not positive.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import constant
    >>> constant(0.1)(1000)
    0.1
    """
    rate = real("learning_rate", learning_rate, above=0)
    return _named(lambda _: rate, f"{rate:g}")


def piecewise_constant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    r"""Return the schedule that jumps from one value to the next where you say.

    .. math:: \eta_k = v_j \quad \text{where } b_{j-1} < k \le b_j

    Parameters
    ----------
    boundaries : sequence of int, length n
        Numbers of updates, rising.
    values : sequence of float, length n + 1
        The rates between them, none negative.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If the boundaries do not rise, the lengths do not fit or a value is negative.

    Notes
    -----
    Keras' convention (``PiecewiseConstantDecay``): the boundary itself still has the value before it.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import piecewise_constant
    >>> rate = piecewise_constant([10, 20], [0.4, 0.2, 0.1])
    >>> rate(10), rate(11), rate(21)
    (0.4, 0.2, 0.1)
    """
    steps = [
        positive_int(f"boundaries[{i}]", value)
        for i, value in enumerate(items("boundaries", boundaries, "numbers of updates"))
    ]
    rates = [real(f"values[{i}]", value, at_least=0) for i, value in enumerate(items("values", values, "rates"))]
    if len(rates) != len(steps) + 1:
        raise ValueError(f"values must have {len(steps) + 1} rates, one more than boundaries, not {len(rates)}.")
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ValueError(f"boundaries must rise, not {steps}.")
    return _named(lambda k: rates[sum(k > step for step in steps)], f"piecewise {steps}")


def exponential_decay(initial_learning_rate: float, decay_steps: int, decay_rate: float) -> Schedule:
    r"""Return the schedule that shrinks by one factor every so many updates, smoothly.

    .. math:: \eta_k = \eta_0 \, r^{k / s}

    Parameters
    ----------
    initial_learning_rate : float
        The first rate, above 0.
    decay_steps : int
        How many updates s it takes to shrink by `decay_rate` once.
    decay_rate : float
        The factor r, above 0.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If an argument is not positive.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import exponential_decay
    >>> rate = exponential_decay(0.4, 10, 0.25)
    >>> rate(0), rate(5), rate(10)
    (0.4, 0.2, 0.1)
    """
    initial, steps, decay = _decay(initial_learning_rate, decay_steps, decay_rate)
    return _named(lambda k: initial * decay ** (k / steps), f"{initial:g}, exponential decay")


def step_decay(initial_learning_rate: float, decay_steps: int, decay_rate: float) -> Schedule:
    r"""Return the schedule that shrinks by one factor every so many updates, all at once.

    .. math:: \eta_k = \eta_0 \, r^{\lfloor k / s \rfloor}

    Parameters
    ----------
    initial_learning_rate : float
        The first rate, above 0.
    decay_steps : int
        How many updates s share one rate.
    decay_rate : float
        The factor r, above 0.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If an argument is not positive.

    Notes
    -----
    Keras' ``ExponentialDecay(..., staircase=True)``.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import step_decay
    >>> rate = step_decay(0.4, 10, 0.5)
    >>> rate(9), rate(10), rate(20)
    (0.4, 0.2, 0.1)
    """
    initial, steps, decay = _decay(initial_learning_rate, decay_steps, decay_rate)
    return _named(lambda k: initial * decay ** (k // steps), f"{initial:g}, step decay")


def inverse_time_decay(initial_learning_rate: float, decay_steps: int, decay_rate: float) -> Schedule:
    r"""Return the schedule that ends as 1/k: slow enough to get anywhere, fast enough to silence the noise.

    .. math:: \eta_k = \frac{\eta_0}{1 + r k / s}, \qquad
              \sum_k \eta_k = \infty, \quad \sum_k \eta_k^2 < \infty

    Parameters
    ----------
    initial_learning_rate : float
        The first rate, above 0.
    decay_steps : int
        The unit s in which updates are counted.
    decay_rate : float
        How much r one unit adds to the denominator, above 0.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If an argument is not positive.

    References
    ----------
    .. [1] H. Robbins and S. Monro, "A stochastic approximation method", Annals of Mathematical Statistics 22, 1951,
       doi:10.1214/aoms/1177729586.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import inverse_time_decay
    >>> rate = inverse_time_decay(0.5, 1, 1.0)
    >>> rate(0), rate(1), rate(4)
    (0.5, 0.25, 0.1)
    """
    initial, steps, decay = _decay(initial_learning_rate, decay_steps, decay_rate)
    return _named(lambda k: initial / (1 + decay * k / steps), f"{initial:g}, 1/t decay")


def cosine_decay(initial_learning_rate: float, decay_steps: int, alpha: float = 0.0) -> Schedule:
    r"""Return the schedule that falls along half a cosine and then stays.

    .. math:: \eta_k = \eta_0 \left[\alpha + (1 - \alpha) \tfrac12 (1 + \cos \pi \min(k/s, 1)) \right]

    Parameters
    ----------
    initial_learning_rate : float
        The first rate, above 0.
    decay_steps : int
        After how many updates s it is at its lowest.
    alpha : float
        Its lowest value as a share of the first, at least 0.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017,
       arXiv:1608.03983.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import cosine_decay
    >>> rate = cosine_decay(0.5, 10)
    >>> [round(rate(k), 4) for k in (0, 5, 10, 99)]
    [0.5, 0.25, 0.0, 0.0]
    """
    initial, steps, _ = _decay(initial_learning_rate, decay_steps, 1.0)
    alpha = real("alpha", alpha, at_least=0)

    def rate(k: int) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(k / steps, 1)))
        return initial * (alpha + (1 - alpha) * cosine)

    return _named(rate, f"{initial:g}, cosine decay")


def warm_up(schedule: float | Schedule, warmup_steps: int) -> Schedule:
    r"""Return the schedule that climbs from 0 in a straight line and then follows another.

    .. math:: \eta_k = \begin{cases} \eta'_0 \, k / s & k < s \\ \eta'_{k - s} & k \ge s \end{cases}

    Parameters
    ----------
    schedule : float or callable
        What follows: a rate or a schedule :math:`\eta'`.
    warmup_steps : int
        How many updates s the climb takes.

    Returns
    -------
    callable
        From the number of updates made before to the rate of the next.

    Raises
    ------
    TypeError, ValueError
        If the rate is not positive or `warmup_steps` is below 1.

    Notes
    -----
    Keras' convention (``CosineDecay(0.0, warmup_target=..., warmup_steps=...)``): the first update has rate 0.

    Examples
    --------
    >>> from gdexplain.by_hand.schedules import warm_up
    >>> [warm_up(0.4, 4)(k) for k in range(6)]
    [0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.4]
    """
    after = schedule if callable(schedule) else constant(real("schedule", schedule, above=0))
    steps = positive_int("warmup_steps", warmup_steps)
    target = rate_at("schedule", after, 0)
    name = f"{getattr(after, '__name__', 'schedule')} after {steps} warm-up"
    return _named(lambda k: target * (k / steps) if k < steps else after(k - steps), name)


def _decay(initial_learning_rate: float, decay_steps: int, decay_rate: float) -> tuple[float, int, float]:
    initial = real("initial_learning_rate", initial_learning_rate, above=0)
    return initial, positive_int("decay_steps", decay_steps), real("decay_rate", decay_rate, above=0)


def _named(schedule: Schedule, name: str) -> Schedule:
    schedule.__name__ = name
    return schedule
