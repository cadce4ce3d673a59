"""Read the state of optimizers from dictionaries of numbers and arrays, and check it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from ebagx._core.arguments import check_number
from ebagx._core.checks import as_plain_array
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.layout import overlaps_itself, rows_are_contiguous
from ebagx._core.memory import check_mapped, copy_sparsely
from ebagx.optim.rules import SQUARES

# Entries of the weight decay in a state dict.
TOTAL, SEEN = "decay_total", "decay_seen"
_FLOAT64 = np.dtype(np.float64)


def _empty(*shape: int) -> np.ndarray:
    array = np.empty(shape, _FLOAT64)
    array.flags.writeable = False
    return array


# A state dict has these, always the same objects, for arrays that there are not.
NO_ARRAY, NO_SEEN = _empty(0, 0), _empty(0)


class Arrays(NamedTuple):
    """The arrays of an optimizer, those that there are."""

    states: dict[str, np.ndarray]
    seen: np.ndarray | None


def plain(state_dict: Any, required: Collection[str], optional: Collection[str]) -> dict[str, Any]:
    """Return the entries of a state dict, 0-d arrays as numbers; raise if names are not right."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict must be a mapping, got {type(state_dict).__name__}")
    names = state_dict.keys()
    if not (names >= set(required) and set(required) | set(optional) >= names):
        raise KeyError(
            f"state_dict must have the names {', '.join(required)}, and may have "
            f"{', '.join(optional)}, got {', '.join(map(str, names))}"
        )
    return {name: _plain(state_dict[name]) for name in names}


def _plain(value: Any) -> Any:
    return value.item() if getattr(value, "ndim", None) == 0 else value


def read_arrays(entries: Mapping[str, Any], states: Iterable[str], copy: bool) -> Arrays:
    """Return the arrays of plain entries, checked against each other. Empty ones mean none."""
    seen = _array(entries[SEEN], SEEN, 1)
    given = {name: _array(entries[name], name, 2) for name in states}
    there = {name: array for name, array in given.items() if array is not None}
    if len(there) not in (0, len(given)):
        lacking = ", ".join(sorted(given.keys() - there.keys()))
        raise ValueError(f"{', '.join(there)} needs {lacking}, which is empty")
    arrays = Arrays(there, seen)
    _check_together(arrays)
    if copy:
        arrays = Arrays(
            {name: copy_sparsely(array) for name, array in there.items()},
            None if seen is None else copy_sparsely(seen),
        )
        _check_numbers(arrays, entries[TOTAL])
    else:
        for name, array in [*there.items(), (SEEN, seen)]:
            if array is not None and not array.dtype.isnative:
                raise TypeError(f"{name} must be in native byte order, got {array.dtype.str}")
            if array is not None:
                check_in_place(array, name)
    if seen is None and entries[TOTAL]:
        raise ValueError(f"{TOTAL} = {entries[TOTAL]} needs {SEEN}, which is empty")
    return arrays


def _array(value: Any, name: str, ndim: int) -> np.ndarray | None:
    if value is None:
        return None
    try:
        array = as_plain_array(value, name)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    if array.shape in ((0,), (0,) * ndim):  # a list without elements has one dimension
        return None
    if array.ndim != ndim:
        raise ValueError(f"{name} must be {ndim}-D, got {array.ndim}-D")
    check_mapped(array, name)
    dtypes = SUM_DTYPES if ndim == 2 else (_FLOAT64,)
    if array.dtype.newbyteorder("=") not in dtypes:
        allowed = " or ".join(map(str, dtypes))
        raise TypeError(f"{name} must have dtype {allowed}, got {array.dtype}")
    return array


def _check_together(arrays: Arrays) -> None:
    """Raise unless the arrays can be those of one table."""
    (name, first), *others = [*arrays.states.items(), (SEEN, arrays.seen)]
    if first is None:
        return
    for other, array in others:
        if array is None:
            continue
        shape = first.shape[:1] if other == SEEN else first.shape
        if array.shape != shape:
            raise ValueError(f"{other} must have shape {shape}, as {name} has, got {array.shape}")
        if other != SEEN and array.dtype != first.dtype:
            raise TypeError(f"{other} must have dtype {first.dtype}, as {name}, got {array.dtype}")


def _check_numbers(arrays: Arrays, total: float) -> None:
    """Raise ValueError for numbers that no steps give. NaN may be in any state of a rule."""
    for name in SQUARES & arrays.states.keys():
        lowest = np.fmin.reduce(arrays.states[name], axis=None, initial=0)
        if lowest < 0:
            raise ValueError(f"{name} has sums of squares, which must be at least 0, got {lowest}")
    seen = arrays.seen
    if seen is not None and seen.size and not (seen.min() >= total and seen.max() <= 0):
        raise ValueError(
            f"{SEEN} must be between {TOTAL} = {total} and 0, got {seen.min()} to {seen.max()}"
        )


def read_total(value: Any) -> float:
    """Return the sum of logarithms of a weight decay."""
    total = check_number(value, TOTAL)
    if total > 0:
        raise ValueError(f"{TOTAL} must be at most 0, got {total}")
    return total


def check_arrays(
    states: Mapping[str, np.ndarray],
    seen: np.ndarray | None,
    shape: tuple[int, ...],
    num_rows: int,
    dtype: np.dtype[Any],
) -> None:
    """Raise ValueError unless arrays can be changed in place and are those of a table.

    Its states have this shape and dtype.
    """
    for name, array in states.items():
        if array.shape != shape or array.dtype != dtype:
            _raise_unfit(array, name, shape, dtype)
        check_in_place(array, name)
    if seen is not None:
        if len(seen) != num_rows:
            _raise_unfit(seen, SEEN, (num_rows,), _FLOAT64)
        check_in_place(seen, SEEN)


def _raise_unfit(
    array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> NoReturn:
    raise ValueError(
        f"the optimizer's {name} is {array.dtype} of shape {array.shape}, weight needs {dtype} "
        f"of shape {shape}: use one optimizer per table"
    )


def check_in_place(array: np.ndarray, name: str) -> None:
    """Raise ValueError unless steps can change an array of state where it is."""
    flags = array.flags
    in_place = flags.c_contiguous and flags.aligned
    if not in_place and array.ndim == 2:
        in_place = rows_are_contiguous(array) and not overlaps_itself(array)
    if not (in_place and flags.writeable):
        raise ValueError(f"the optimizer's {name} must be writeable, with contiguous rows")
    check_mapped(array, f"the optimizer's {name}")
