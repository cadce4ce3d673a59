"""Constraints on the parameters of estimators are data here, and one function checks them all.

The attribute `_constraints` of an estimator's class maps the name of each parameter to an object of
this module. Those objects add no rules of their own: they call the checks of
``_core/arguments.py``, which have one format of message.
"""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.utils import check_random_state

from ebagx._core.arguments import (
    OR_NONE,
    Range,
    check_flag,
    check_integer,
    check_number,
    check_one_of,
    shown,
)

_LARGEST_SEED = 2**32 - 1


class Constraint(Protocol):
    """The values that a parameter may have."""

    def check(self, value: Any, name: str, or_else: str = "") -> object:
        """Raise TypeError or ValueError unless the parameter may have this value.

        `or_else` says in the message what else the parameter may be.
        """


Constraints = Mapping[str, Constraint]


class Integer(NamedTuple):
    """Integers from `low` to `high`."""

    low: int
    high: int = sys.maxsize

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is such an integer."""
        check_integer(value, name, self.low, self.high, or_else)


class IntegerPair(NamedTuple):
    """Two integers from `low` to `high`, the first not above the second."""

    low: int
    high: int

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is such a pair."""
        is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
        if not is_pair:
            raise ValueError(f"{name} must be two integers{or_else}, got {shown(value)}")
        try:
            first = check_integer(value[0], f"{name}[0]", self.low, self.high)
            check_integer(value[1], f"{name}[1]", first, self.high)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}; {name} must be two integers{or_else}") from None


class Number(NamedTuple):
    """Real numbers in a range."""

    within: Range

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is such a number."""
        check_number(value, name, self.within, or_else)


class OneOf(NamedTuple):
    """One of some strings or None; or another value, which messages describe as `or_else`."""

    choices: Collection[str | None]
    is_other: Callable[[Any], bool] | None = None
    or_else: str = ""

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise ValueError unless `value` is one of the choices or another value allowed."""
        if self.is_other is None or not self.is_other(value):
            check_one_of(value, name, self.choices, self.or_else + or_else)


class NoneOr(NamedTuple):
    """None, or a value that another constraint allows."""

    constraint: Constraint

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is None or allowed."""
        if value is not None:
            self.constraint.check(value, name, or_else + OR_NONE)


class Flag:
    """True or False."""

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError unless `value` is True or False."""
        check_flag(value, name, or_else)


class Verbosity:
    """True, False, or an integer as elsewhere in scikit-learn: 0 is silent."""

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise TypeError or ValueError unless `value` is such a value."""
        if not isinstance(value, (bool, np.bool_)):
            check_integer(value, name, 0, sys.maxsize, or_else)


class Seed:
    """Seeds of scikit-learn's random numbers: None, an int or a RandomState."""

    def check(self, value: Any, name: str, or_else: str = "") -> None:
        """Raise ValueError unless `value` can seed a generator."""
        try:
            check_random_state(value)
        except ValueError:  # scikit-learn's message does not name the parameter
            raise ValueError(
                f"{name} must be an integer from 0 to {_LARGEST_SEED}, a RandomState or None"
                f"{or_else}, got {shown(value)}"
            ) from None


SIZE = Integer(1, 2**31 - 1)  # of a vector or a list: a larger one is a mistake
COUNT = Integer(1)
NUM_THREADS = NoneOr(COUNT)
CLASS_WEIGHT = OneOf((None, "balanced"), lambda value: isinstance(value, dict), " or a dict")


def check_parameters(estimator: Any, *names: str) -> None:
    """Raise TypeError or ValueError unless parameters, by default all, keep their constraints."""
    constraints: Constraints = estimator._constraints
    for name in names or constraints:
        constraints[name].check(getattr(estimator, name), name)


def check_same_values(estimator: Any, before: Mapping[str, Any], way_out: str) -> None:
    """Raise ValueError if parameters differ from those with which the model was made."""
    for name, value in before.items():
        now = getattr(estimator, name)
        if _differ(now, value):
            raise ValueError(
                f"{name} = {shown(now)} differs from {shown(value)}, with which the model was "
                f"fitted: set it back, or {way_out}"
            )


def _differ(first: Any, second: Any) -> bool:
    """Return whether two values differ; arrays, whose comparison is an array, do."""
    try:
        return first is not second and bool(first != second)
    except ValueError:
        return True
