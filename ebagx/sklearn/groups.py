"""The parameter `groups` of estimators: which columns of X are pooled apart."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import shown
from ebagx._training.groups import Groups, groups_of_pairs

_NAMED = 5  # columns that a message names


class ColumnGroups:
    """Slices, a mapping to slices, or an integer for each column."""

    def check(self, value: Any, name: str, or_else: str = "") -> None:  # noqa: ARG002 - says None
        """Raise TypeError or ValueError unless `value` is of such a kind."""
        _slices_or_numbers(value, name)


def column_groups(groups: Any, num_columns: int, names: Any = None) -> Groups:
    """Return the groups of columns that a parameter describes.

    Raises
    ------
    TypeError, ValueError
        If it is neither slices nor integers of at least 0, if it fits another number of columns, or
        if a column is in no group; the message has the columns' names, where they have any.
    """
    slices, numbers = _slices_or_numbers(groups, "groups")
    if numbers is not None:
        if len(numbers) != num_columns:
            raise ValueError(
                f"groups must have a number for each of the {num_columns} columns of X, got "
                f"{len(numbers)} numbers"
            )
        return groups_of_pairs(np.arange(num_columns), numbers, num_columns)
    parts = [np.arange(num_columns)[part] for part in _checked(slices, num_columns)]
    columns = np.concatenate([np.empty(0, np.intp), *parts])
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    missing = np.setdiff1d(np.arange(num_columns), columns)
    if len(missing):
        raise ValueError(
            f"groups must hold each of the {num_columns} columns of X, but "
            f"{_named(missing, names)} in none of them; another slice can take what is left"
        )
    return groups_of_pairs(columns, numbers, num_columns)


def _slices_or_numbers(
    value: Any, name: str
) -> tuple[Sequence[slice], npt.NDArray[np.intp] | None]:
    """Return slices, or a number for each column."""
    parts = list(value.values()) if isinstance(value, Mapping) else value
    is_list = isinstance(parts, Sequence) and not isinstance(parts, str) and len(parts) > 0
    if is_list and all(isinstance(part, slice) for part in parts):
        for i, part in enumerate(parts):
            _check_bounds(part, f"{name}[{i}]")
        return list(parts), None
    if isinstance(value, np.ndarray) or (parts is value and is_list and _is_flat(value)):
        numbers = np.asarray(value)
        if numbers.ndim == 1 and numbers.dtype.kind in "iu" and numbers.size:
            if (least := int(numbers.min())) < 0:
                raise ValueError(f"{name} must be integers of at least 0, got {least}")
            return [], numbers.astype(np.intp)
    raise TypeError(
        f"{name} must be None, a list of slices or an integer for each column of X, got "
        f"{shown(value)}"
    )


def _check_bounds(part: slice, name: str) -> None:
    """Raise TypeError or ValueError unless a slice counts columns."""
    for bound in (part.start, part.stop, part.step):
        if bound is not None and not isinstance(bound, Integral):
            raise TypeError(f"{name} must be a slice of column numbers, got {part}")
    if part.step == 0:
        raise ValueError(f"{name} must have a step other than 0, got {part}")


def _is_flat(values: Any) -> bool:
    return not any(isinstance(value, (slice, Sequence, np.ndarray)) for value in values)


def _checked(slices: Sequence[slice], num_columns: int) -> Sequence[slice]:
    """Return the slices, or raise ValueError if one reaches beyond the columns."""
    for i, part in enumerate(slices):
        for bound in (part.start, part.stop):
            if bound is not None and not -num_columns <= bound <= num_columns:
                raise ValueError(
                    f"groups[{i}] = {part} reaches beyond the {num_columns} columns of X; the "
                    "output_indices_ of a fitted ColumnTransformer fit what it returns"
                )
    return slices


def _named(columns: npt.NDArray[np.intp], names: Any) -> str:
    """Return some columns and a verb for them, for a message."""
    some = columns[:_NAMED]
    listed = ", ".join(str(i) if names is None else repr(str(names[i])) for i in some)
    more = f" and {len(columns) - len(some)} more" if len(columns) > len(some) else ""
    return f"column {listed} is" if len(columns) == 1 else f"columns {listed}{more} are"
