"""Constraints on the parameters of estimators are data here, and one function checks them all.

The attribute `_constraints` of an estimator's class maps the name of each parameter to an object of
this module. Those objects add no rules of their own: they call the checks of ``_core/checks.py``,
which have one format of message.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.utils import check_random_state

from ebagx._core.checks import (
    Range,
    check_flag,
    check_integer,
    check_number,
    check_one_of,
    shown,
)


class Constraint(Protocol):
    """The values that a parameter may have."""

    def check(self, value: Any, name: str) -> object:
        """Raise TypeError or ValueError unless the parameter may have this value."""


Constraints = Mapping[str, Constraint]


class Integer(NamedTuple):
    """Integers from `low` to `high`."""

    low: int
    high: int | None = None

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError or ValueError unless `value` is such an integer."""
        check_integer(value, name, self.low, self.high)


class IntegerPair(NamedTuple):
    """Two integers from `low` to `high`, the first not above the second."""

    low: int
    high: int

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError or ValueError unless `value` is such a pair."""
        if not isinstance(value, Sequence) or len(value) != 2:
            raise ValueError(f"{name} must be None or two integers, got {shown(value)}")
        first = check_integer(value[0], f"{name}[0]", self.low, self.high)
        check_integer(value[1], f"{name}[1]", first, self.high)


class Number(NamedTuple):
    """Real numbers in a range."""

    within: Range

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError or ValueError unless `value` is such a number."""
        check_number(value, name, self.within)


class OneOf(NamedTuple):
    """One of some strings or None; or another value, which messages describe as `or_else`."""

    choices: Collection[str | None]
    is_other: Callable[[Any], bool] | None = None
    or_else: str = ""

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is one of the choices or another value allowed."""
        if self.is_other is None or not self.is_other(value):
            check_one_of(value, name, self.choices, self.or_else)


class NoneOr(NamedTuple):
    """None, or a value that another constraint allows."""

    constraint: Constraint

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError or ValueError unless `value` is None or allowed."""
        if value is not None:
            self.constraint.check(value, name)


class Flag:
    """True or False."""

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError unless `value` is True or False."""
        check_flag(value, name)


class Verbosity:
    """True, False, or an integer as elsewhere in scikit-learn: 0 is silent."""

    def check(self, value: Any, name: str) -> None:
        """Raise TypeError or ValueError unless `value` is such a value."""
        if not isinstance(value, (bool, np.bool_)):
            check_integer(value, name, 0)


class Seed:
    """Seeds of scikit-learn's random numbers: None, an int or a RandomState."""

    def check(self, value: Any, name: str) -> None:  # noqa: ARG002 - the message is scikit-learn's
        """Raise ValueError unless `value` can seed a generator."""
        check_random_state(value)


NUM_THREADS = NoneOr(Integer(1))
CLASS_WEIGHT = OneOf((None, "balanced"), lambda value: isinstance(value, dict), " or a dict")


def check_parameters(estimator: Any, *names: str) -> None:
    """Raise TypeError or ValueError unless parameters, by default all, keep their constraints."""
    constraints: Constraints = estimator._constraints
    for name in names or constraints:
        constraints[name].check(getattr(estimator, name), name)
