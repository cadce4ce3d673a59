"""`Option` describes an attribute of optimizers that may be assigned."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ebagx._core.arguments import (
    AT_LEAST_0,
    FRACTION,
    OR_NONE,
    POSITIVE,
    check_flag,
    check_num_threads,
    check_number,
    check_size,
    shown,
)

LearningRate = float | Callable[[int], float]
Options = dict[str, "Option"]


class Option(NamedTuple):
    """An attribute of an optimizer: its check, and how a state dict has it.

    `check` takes a value and the name for messages; it returns the value to keep, or raises.
    A state dict has numbers only: `none` stands there for None, and the names `parts` for the parts
    of a tuple. With `is_state` false the results of steps do not depend on the option.
    """

    check: Callable[[Any, str], Any]
    none: float | None = None
    parts: tuple[str, ...] = ()
    is_state: bool = True

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names that a state dict has for the option of this name."""
        return (self.parts or (name,)) if self.is_state else ()

    def to_numbers(self, name: str, value: Any) -> dict[str, Any]:
        """Return the entries of a state dict for a value; none for a schedule."""
        if callable(value) or not self.is_state:
            return {}
        values = value if self.parts else (self.none if value is None else value,)
        return dict(zip(self.names(name), values, strict=True))

    def from_numbers(self, name: str, numbers: Mapping[str, Any]) -> Any:
        """Return the checked value that a state dict has for the option."""
        if lacking := [part for part in self.names(name) if part not in numbers]:
            raise KeyError(f"state_dict has no {lacking[0]}, which belongs to {name}")
        values = tuple(numbers[part] for part in self.names(name))
        value = values if self.parts else values[0]
        is_none = self.none is not None and isinstance(value, float) and value == self.none
        return self.check(None if is_none else value, name)


def _rate(value: Any, name: str) -> LearningRate:
    return value if callable(value) else check_number(value, name, AT_LEAST_0)


def _size(value: Any, name: str) -> float:
    return check_number(value, name, AT_LEAST_0)


def _limit(value: Any, name: str) -> float | None:
    return None if value is None else check_number(value, name, POSITIVE, OR_NONE)


def _fraction(value: Any, name: str) -> float:
    return check_number(value, name, FRACTION)


def _flag(value: Any, name: str) -> bool:
    check_flag(value, name)
    return bool(value)


def _fractions(value: Any, name: str) -> tuple[float, float]:
    try:
        first, second = value
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be two numbers, got {shown(value)}") from None
    return _fraction(first, f"{name}[0]"), _fraction(second, f"{name}[1]")


_LIMIT = Option(_limit, none=math.inf)

COMMON: Options = {
    "learning_rate": Option(_rate),
    "weight_decay": Option(_size),
    "clip_value": _LIMIT,
    "clip_row_norm": _LIMIT,
    "clip_norm": _LIMIT,
    "num_threads": Option(lambda value, _: check_num_threads(value), is_state=False),
    "num_steps": Option(check_size),
}
MOMENTUM: Options = {"momentum": Option(_fraction)}
NESTEROV: Options = {"nesterov": Option(_flag)}
EPS: Options = {"eps": Option(_size)}
BETAS: Options = {"betas": Option(_fractions, parts=("beta1", "beta2"))}
ACCUMULATOR: Options = {"initial_accumulator_value": Option(_size)}
