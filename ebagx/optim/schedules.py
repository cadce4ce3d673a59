"""Make learning-rate schedules: callables from the number of a step to its rate."""

import math
from collections.abc import Callable
from typing import Any

from ebagx._core.arguments import AT_LEAST_0, check_integer, check_number, shown


class Schedule:
    """A learning rate that depends on the number of the step, which counts from 0.

    The function `maker` of this module made it with `arguments`; the function `rate` of this module
    takes those and the step. So a schedule can be pickled, compared and shown. It does not change.
    """

    __slots__ = ("_arguments", "_maker", "_rate")

    _arguments: dict[str, Any]
    _maker: str
    _rate: Callable[..., float]

    def __init__(self, maker: str, rate: Callable[..., float], **arguments: Any) -> None:
        for name, value in (("_maker", maker), ("_rate", rate), ("_arguments", arguments)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse all attributes."""
        raise AttributeError(
            f"a schedule does not change, cannot set {name} = {shown(value)}: assign a new one to "
            "the optimizer's learning_rate"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return globals()[self._maker], tuple(self._arguments.values())

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        return self._rate(**self._arguments, step=step)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments.items())
        return f"{self._maker}({arguments})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self._maker == other._maker and self._arguments == other._arguments

    __hash__ = None  # type: ignore[assignment]


def linear_decay(start: float, num_steps: int, end: float = 0.0) -> Schedule:
    """Return a schedule that falls linearly from one rate to another, and stays there.

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
    return Schedule("linear_decay", _linear, start=start, num_steps=num_steps, end=end)


def cosine_decay(start: float, num_steps: int, end: float = 0.0) -> Schedule:
    """Return a schedule that falls along half a cosine, and stays at its end.

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
    Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts, ICLR 2017.

    Examples
    --------
    >>> from ebagx.optim import cosine_decay
    >>> rate = cosine_decay(0.5, 100)
    >>> rate(0), round(rate(50), 3), rate(100)
    (0.5, 0.25, 0.0)
    """
    start, end, num_steps = _checked(start, end, num_steps)
    return Schedule("cosine_decay", _cosine, start=start, num_steps=num_steps, end=end)


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
    start = check_number(start, "start", AT_LEAST_0)
    factor = check_number(factor, "factor")
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be in (0, 1], got {shown(factor)}")
    return Schedule("exponential_decay", _exponential, start=start, factor=factor)


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
    start, power = (
        check_number(start, "start", AT_LEAST_0),
        check_number(power, "power", AT_LEAST_0),
    )
    return Schedule("inverse_scaling", _inverse, start=start, power=power)


def warmup(schedule: float | Callable[[int], float], num_steps: int) -> Schedule:
    """Return a schedule that rises linearly to the rates of another in its first steps.

    Parameters
    ----------
    schedule : float or callable
        The rates after the first steps; it also counts steps from 0.
    num_steps : int
        Number N of these steps, at least 1: step s < N has (s + 1) / N of the rate.

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
    num_steps = check_integer(num_steps, "num_steps", 1)
    if not callable(schedule):
        schedule = check_number(schedule, "schedule", AT_LEAST_0)
    return Schedule("warmup", _warm, schedule=schedule, num_steps=num_steps)


def _linear(start: float, end: float, num_steps: int, step: int) -> float:
    return start + (end - start) * min(step / num_steps, 1.0)


def _cosine(start: float, end: float, num_steps: int, step: int) -> float:
    done = min(step / num_steps, 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2


def _exponential(start: float, factor: float, step: int) -> float:
    return float(start * factor**step)


def _inverse(start: float, power: float, step: int) -> float:
    return float(start / (step + 1) ** power)


def _warm(schedule: float | Callable[[int], float], num_steps: int, step: int) -> float:
    rate = schedule(step) if callable(schedule) else schedule
    return rate * min((step + 1) / num_steps, 1.0)


def _checked(start: float, end: float, num_steps: int) -> tuple[float, float, int]:
    start, end = check_number(start, "start", AT_LEAST_0), check_number(end, "end", AT_LEAST_0)
    return start, end, check_integer(num_steps, "num_steps", 1)
