"""Check arguments that are numbers, names and flags; `checks` has those that are arrays.

Kernels rely on these checks. When a check raises, nothing has been changed.
"""

import math
import numbers
import operator
import re
import reprlib
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ebagx._core.modes import MODES, Mode


class Range(NamedTuple):
    """The values that a number may have: above `low`, or equal to it, and below `high`."""

    low: float
    high: float
    has_low: bool
    description: str

    def holds(self, value: float) -> bool:
        """Return whether a number, which is not NaN, is in the range."""
        return (self.low <= value if self.has_low else self.low < value) and value < self.high


# Policies for indices outside the table.
RAISE, SKIP = "raise", "skip"
LEAVES_OUT = f"invalid={SKIP!r} leaves it out"

OR_NONE = " or None"  # ends what a message says of an argument that may be None

FINITE = Range(-math.inf, math.inf, False, "finite")
AT_LEAST_0 = Range(0, math.inf, True, "at least 0 and finite")
POSITIVE = Range(0, math.inf, False, "positive and finite")
FRACTION = Range(0, 1, True, "in [0, 1)")
PART = Range(0, 1, False, "between 0 and 1")


class _Shown(reprlib.Repr):
    """Short reprs, also of integers with more digits than Python converts."""

    def repr_int(self, x: int, level: int) -> str:
        """Return the digits, those in the middle left out if there are many."""
        try:
            return super().repr_int(x, level)
        except ValueError:
            return f"an integer of {x.bit_length()} bits"


_shown = _Shown()


def checked_generator(seed: Any, name: str) -> np.random.Generator:
    """Return the generator that ``numpy.random.default_rng`` makes, or raise ValueError."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be None, a Generator, an integer at least 0 or a sequence of them, "
            f"got {shown(seed)}"
        ) from None


def as_dtype(dtype: Any, name: str) -> np.dtype[Any]:
    """Return what ``numpy.dtype`` makes; its error gets the name."""
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a dtype of NumPy, got {shown(dtype)}") from None
    return found


def shown(value: Any) -> str:
    """Return a wrong value for an error message: its repr on one line, shortened if long."""
    return _on_a_line(_shown.repr(value))


def _on_a_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text)


def check_one_of(value: Any, name: str, choices: Collection[str | None], or_else: str = "") -> None:
    """Raise ValueError unless `value` is one of the choices.

    `or_else` ends the list of choices in the message, where other values are allowed, too.
    """
    if not ((value is None or isinstance(value, str)) and value in choices):
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}{or_else}, got {shown(value)}")


def check_same_names(
    given: Any, names: Collection[str], name: str, optional: Collection[str] = ()
) -> None:
    """Raise KeyError unless a mapping has the names, apart from optional ones, and no others."""
    if not hasattr(given, "keys"):
        raise TypeError(f"{name} must be a mapping of names, got {type(given).__name__}")
    found = list(given.keys())
    missing = [key for key in names if key not in found and key not in optional]
    unknown = [key for key in found if key not in names]
    if missing:
        raise KeyError(f"{name} lacks {_listed(missing)}: it must have {_listed(names)}")
    if unknown:
        raise KeyError(f"{name} must have the names {_listed(names)}, not {_listed(unknown)}")


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(repr, names)) or "none"


def raise_about(error: Exception, what: str) -> NoReturn:
    """Raise an IndexError, TypeError or ValueError again, with what it is about in its message."""
    for kind in (IndexError, TypeError, ValueError):
        if isinstance(error, kind):
            raise kind(f"{what}: {_on_a_line(str(error))}") from None
    raise error


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Name the argument in errors of other libraries about it that do not."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if name in str(error):
            raise
        raise_about(error, name)


def is_dask_collection(value: Any) -> bool:
    """Return whether `value` is a collection of Dask, whose data may lie on many machines."""
    return hasattr(type(value), "__dask_graph__")


def refuse_dask(value: Any, name: str) -> None:
    """Raise TypeError if `value` is a collection of Dask."""
    if is_dask_collection(value):
        kind = type(value).__name__
        raise TypeError(
            f"{name} is a {kind} of Dask, and this estimator takes data in memory: use ebagx.dask, "
            f"whose estimators take collections of Dask, or {name}.compute() if it fits in memory"
        )


def check_flag(value: Any, name: str, or_else: str = "") -> None:
    """Raise TypeError unless `value` is a bool, NumPy's included; `or_else` ends the choices."""
    if not isinstance(value, (bool, np.bool_)):
        choices = f"True, False{or_else}" if or_else else "True or False"
        raise TypeError(f"{name} must be {choices}, got {shown(value)}")


def check_mode(mode: Any) -> Mode:
    """Return the row of a pooling mode, or raise ValueError."""
    check_one_of(mode, "mode", MODES)
    return MODES[mode]


def check_sparse(sparse: Any) -> bool | str:
    """Return the form of a gradient that `sparse` names, or raise ValueError."""
    if isinstance(sparse, (bool, np.bool_)):
        return bool(sparse)
    if isinstance(sparse, str) and sparse == "rows":
        return "rows"
    raise ValueError(f"sparse must be False, True or 'rows', got {shown(sparse)}")


def check_integer(
    value: Any, name: str, low: int | None = None, high: int | None = None, or_else: str = ""
) -> int:
    """Return an integer from `low` to `high` as an int; a bool is a TypeError.

    `or_else` says in the message what else is allowed: ``OR_NONE``, where the caller takes None.
    """
    number: int = value if type(value) is int else _as_int(value, name, or_else)
    if low is not None and number < low:
        raise ValueError(f"{name} must be at least {low}{or_else}, got {shown(number)}")
    if high is not None and number > high:
        raise ValueError(f"{name} must be at most {high}{or_else}, got {shown(number)}")
    return number


def check_integer_or_none(value: Any, name: str, low: int | None = None) -> int | None:
    """Return an integer of at least `low` as an int, or None."""
    return None if value is None else check_integer(value, name, low, or_else=OR_NONE)


def _as_int(value: Any, name: str, or_else: str) -> int:
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be an integer{or_else}, got {shown(value)}")


def check_number(value: Any, name: str, within: Range = FINITE, or_else: str = "") -> float:
    """Return a real number in a range as a float; a bool is a TypeError.

    `or_else` is that of `check_integer`.
    """
    number: float = value if type(value) is float else _as_float(value, name, or_else)
    if not within.holds(number):
        got = shown(value) if isinstance(value, int) else value  # an int can have 300 digits
        raise ValueError(f"{name} must be {within.description}{or_else}, got {got}")
    return number


def _as_float(value: Any, name: str, or_else: str = "") -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number{or_else}, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None


def check_size(size: Any, name: str) -> int:
    """Return a size >= 0 as an int."""
    return check_integer(size, name, 0, sys.maxsize)


def check_num_threads(num_threads: Any) -> int | None:
    """Return a number of threads >= 1, or None."""
    return check_integer_or_none(num_threads, "num_threads", 1)


def check_row(value: Any, name: str, num_rows: int) -> int | None:
    """Return a table row in [0, N), or None; negative ones count from the end."""
    row = check_integer_or_none(value, name)
    if row is None:
        return None
    if not -num_rows <= row < num_rows:
        raise ValueError(
            f"{name} = {shown(row)} is out of range for {num_rows} embeddings, "
            f"it must be in [{-num_rows}, {num_rows})"
        )
    return row + num_rows if row < 0 else row


def check_invalid(invalid: Any) -> str:
    """Return the policy for indices outside the table, or raise ValueError."""
    check_one_of(invalid, "invalid", (RAISE, SKIP))
    return SKIP if invalid == SKIP else RAISE


def check_max_norm(max_norm: Any, norm_type: Any) -> None:
    """Raise unless `max_norm` is None or a number >= 0, and `norm_type` a number."""
    if max_norm is None:
        return
    if not _as_float(max_norm, "max_norm", OR_NONE) >= 0:
        raise ValueError(f"max_norm must be at least 0{OR_NONE}, got {max_norm}")
    if math.isnan(_as_float(norm_type, "norm_type")):
        raise ValueError(f"norm_type must be a number, got {norm_type}")
