"""Learning-rate schedules: functions that make plain callables, step -> learning rate.

The callables are partials of functions of this module, so that what holds one can be pickled.
"""

import math
from collections.abc import Callable
from functools import partial

from ebagx._validate import check_at_least_0, check_size

Schedule = Callable[[int], float]


def linear_decay(start: float, num_steps: int, end: float = 0.0) -> Schedule:
    """Return a schedule that falls evenly from one rate to another, and stays there.

    Parameters
    ----------
    start, end : float
        Rates of step 0 and of steps from `num_steps` on, at least 0.
    num_steps : int
        Steps on the way, at least 1.

    Returns
    -------
    callable
        From the number of a step, which counts from 0, to its learning rate.

    Examples
    --------
    >>> from ebagx.optim import SGD, linear_decay
    >>> rate = linear_decay(0.5, 100)
    >>> rate(0), rate(50), rate(100), rate(1000)
    (0.5, 0.25, 0.0, 0.0)
    >>> optimizer = SGD(learning_rate=rate)
    """
    start, end, num_steps = _checked(start, end, num_steps)
    return partial(_linear, start, end, num_steps)


def cosine_decay(start: float, num_steps: int, end: float = 0.0) -> Schedule:
    """Return a schedule that falls along half a cosine, and stays at its end [1]_.

    Parameters
    ----------
    start, end : float
        Rates of step 0 and of steps from `num_steps` on, at least 0.
    num_steps : int
        Steps on the way, at least 1.

    Returns
    -------
    callable
        From the number of a step, which counts from 0, to its learning rate.

    References
    ----------
    .. [1] Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts, ICLR 2017.

    Examples
    --------
    >>> from ebagx.optim import cosine_decay
    >>> rate = cosine_decay(0.5, 100)
    >>> rate(0), round(rate(50), 3), rate(100)
    (0.5, 0.25, 0.0)
    """
    start, end, num_steps = _checked(start, end, num_steps)
    return partial(_cosine, start, end, num_steps)


def exponential_decay(start: float, factor: float) -> Schedule:
    """Return a schedule that multiplies the rate by a factor in each step.

    Parameters
    ----------
    start : float
        Rate of step 0, at least 0.
    factor : float
        In (0, 1].

    Returns
    -------
    callable
        From the number of a step, which counts from 0, to its learning rate.

    Examples
    --------
    >>> from ebagx.optim import exponential_decay
    >>> exponential_decay(0.5, 0.5)(3)
    0.0625
    """
    start = check_at_least_0(start, "start")
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be in (0, 1], got {factor}")
    return partial(_exponential, start, factor)


def inverse_scaling(start: float, power: float = 0.5) -> Schedule:
    """Return the schedule start / (step + 1) ** power, scikit-learn's "invscaling".

    Parameters
    ----------
    start : float
        Rate of step 0, at least 0.
    power : float, default=0.5
        At least 0.

    Returns
    -------
    callable
        From the number of a step, which counts from 0, to its learning rate.

    Examples
    --------
    >>> from ebagx.optim import inverse_scaling
    >>> inverse_scaling(0.5)(3)
    0.25
    """
    start, power = check_at_least_0(start, "start"), check_at_least_0(power, "power")
    return partial(_inverse, start, power)


def warmup(schedule: float | Schedule, num_steps: int) -> Schedule:
    """Return a schedule that climbs evenly to another one's rates over its first steps.

    Parameters
    ----------
    schedule : float or callable
        What to climb to; it counts its own steps from 0 all the same.
    num_steps : int
        Steps with less than the full rate, plus one: step s has (s + 1) / `num_steps` of it.

    Returns
    -------
    callable
        From the number of a step, which counts from 0, to its learning rate.

    Examples
    --------
    >>> from ebagx.optim import warmup
    >>> rate = warmup(0.5, 4)
    >>> rate(0), rate(3), rate(100)
    (0.125, 0.5, 0.5)
    """
    num_steps = _check_steps(num_steps)
    if not callable(schedule):
        schedule = check_at_least_0(schedule, "schedule")
    return partial(_warm, schedule, num_steps)


def _linear(start: float, end: float, num_steps: int, step: int) -> float:
    return start + (end - start) * min(step / num_steps, 1.0)


def _cosine(start: float, end: float, num_steps: int, step: int) -> float:
    done = min(step / num_steps, 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _exponential(start: float, factor: float, step: int) -> float:
    return float(start * factor**step)


def _inverse(start: float, power: float, step: int) -> float:
    return float(start / (step + 1) ** power)


def _warm(schedule: float | Schedule, num_steps: int, step: int) -> float:
    rate = schedule(step) if callable(schedule) else schedule
    return rate * min((step + 1) / num_steps, 1.0)


def _checked(start: float, end: float, num_steps: int) -> tuple[float, float, int]:
    start, end = check_at_least_0(start, "start"), check_at_least_0(end, "end")
    return start, end, _check_steps(num_steps)


def _check_steps(num_steps: int) -> int:
    if check_size(num_steps, "num_steps") < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    return num_steps
