"""Read single entries of bags: integers for ids, real numbers for weights, and missing ones."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.arguments import shown
from ebagx._core.checks import check_integers, check_real

Place = Callable[[int], str]  # returns the name of an entry for an error message


class EntryKind(NamedTuple):
    """The numbers that the entries of an argument must be."""

    plural: str
    singular: str
    scalars: tuple[type, ...]
    plain: frozenset[type]  # Python's own, the usual ones
    dtype: np.dtype[Any]  # in which arrays of these are
    safe: str  # kinds of dtype of arrays of such numbers
    check: Callable[[np.ndarray, str], None]  # raises TypeError for an array of another kind

    def has(self, kind: type) -> bool:
        """Return whether objects of a type are such numbers."""
        return issubclass(kind, self.scalars) and (self is REALS or kind is not bool)


INTEGERS = EntryKind(
    "integers",
    "an integer",
    (int, np.integer),
    frozenset({int}),
    np.dtype(np.int64),
    "iu",
    check_integers,
)
REALS = EntryKind(
    "real numbers",
    "a real number",
    (int, float, np.integer, np.floating, np.bool_),
    frozenset({int, float}),
    np.dtype(np.float64),
    "iuf",
    check_real,
)


class Missing(NamedTuple):
    """Entries that have a place in their bag but no value, and the word for it."""

    mask: np.ndarray
    word: str  # masked or null


class Entries(NamedTuple):
    """The entries of an argument as an array, and those that are missing.

    Integers outside int64 are Python's, in an object array.
    """

    values: np.ndarray
    missing: Missing | None = None


def plain_array(numbers: Sequence[Any], kind: EntryKind) -> np.ndarray | None:
    """Return a list of Python's numbers as an array, fast; None for every other list."""
    if numbers and type(numbers[0]) in kind.plain and set(map(type, numbers)) <= kind.plain:
        try:
            return np.array(numbers, kind.dtype)
        except OverflowError:
            pass
    return None


def from_scalars(entries: Sequence[Any], kind: EntryKind, place: Place) -> Entries:
    """Return numbers of a list as an array; other objects are a TypeError that names the first."""
    missing = None
    types = set(map(type, entries))
    if not (types <= kind.plain or all(map(kind.has, types))):
        entries, missing = _converted(entries, kind, place)
    try:
        return Entries(np.array(entries, kind.dtype), missing)
    except OverflowError:
        if kind is INTEGERS:
            return Entries(_exact(entries), missing)
        i = next(i for i, entry in enumerate(entries) if abs(entry) > sys.float_info.max)
        raise ValueError(f"{place(i)} is too large for a float") from None


def _exact(integers: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(integers), object)
    array[:] = list(map(int, integers))
    return array


def _converted(
    entries: Sequence[Any], kind: EntryKind, place: Place
) -> tuple[list[Any], Missing | None]:
    """Return entries of unusual types as numbers, and which are missing."""
    numbers: list[Any] = []
    words: dict[int, str] = {}
    for i, entry in enumerate(entries):
        if kind.has(type(entry)):
            numbers.append(entry)
            continue
        number, word = _number(entry, kind, place, i)
        numbers.append(number)
        if word:
            words[i] = word
    if not words:
        return numbers, None
    mask = np.zeros(len(numbers), bool)
    mask[list(words)] = True
    return numbers, Missing(mask, next(iter(words.values())))


def _number(entry: Any, kind: EntryKind, place: Place, i: int) -> tuple[Any, str]:
    """Return one entry as a number, or -1 and the word for a missing one."""
    if entry is np.ma.masked:
        return -1, "masked"
    given = entry
    if hasattr(entry, "as_py"):  # a scalar of pyarrow
        entry = entry.as_py()
        if entry is None:
            return -1, "null"
    if getattr(entry, "ndim", None) == 0:  # a scalar of NumPy, a tensor
        array = np.asarray(entry)
        fits = array.dtype.kind in "iu" if kind is INTEGERS else _is_real(array)
        if fits:
            return array.item(), ""
    if isinstance(entry, (list, tuple, np.ndarray)) and getattr(entry, "ndim", 1) > 0:
        raise ValueError(f"{place(i)} must be {kind.singular}, got deeper nesting: {shown(entry)}")
    if kind.has(type(entry)):
        return entry, ""
    raise TypeError(f"{place(i)} must be {kind.singular}, got {shown(given)}")


def _is_real(array: np.ndarray) -> bool:
    try:
        check_real(array, "")
    except TypeError:
        return False
    return True


def joined_entries(parts: Sequence[Entries], kind: EntryKind) -> Entries:
    """Return several arrays as one."""
    arrays = [part.values for part in parts]
    if not arrays:
        return Entries(np.empty(0, kind.dtype))
    values = concatenated(arrays, kind)
    word = next((part.missing.word for part in parts if part.missing is not None), None)
    if word is None:
        return Entries(values)
    masks = [
        np.zeros(len(part.values), bool) if part.missing is None else part.missing.mask
        for part in parts
    ]
    return Entries(values, Missing(np.concatenate(masks), word))


def concatenated(arrays: Sequence[np.ndarray], kind: EntryKind) -> np.ndarray:
    """Return 1-D arrays of numbers as one; integers stay exact."""
    dtypes = {array.dtype for array in arrays}
    if len(dtypes) == 1:
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    if kind is REALS:
        return np.concatenate([array.astype(kind.dtype, copy=False) for array in arrays])
    if np.result_type(*dtypes).kind in "iu":
        return np.concatenate(arrays)
    # uint64 beside signed integers would become float64.
    exact = np.concatenate([array.astype(object) for array in arrays])
    try:
        return exact.astype(np.int64)
    except OverflowError:
        return exact
