"""Join bags that are separate objects: lists, arrays, tensors, series, one for each bag."""

import array
from collections.abc import Iterator, KeysView, Mapping, Sequence, ValuesView
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from ebagx._core.arguments import shown
from ebagx._core.forms.arrow import is_arrow
from ebagx._core.forms.entries import (
    INTEGERS,
    Entries,
    EntryKind,
    concatenated,
    from_scalars,
    joined_entries,
)
from ebagx._core.forms.flat import NO_ARRAYS, as_entries
from ebagx._core.forms.source import Joined
from ebagx._core.integers import copy_bags, measure_bags
from ebagx._core.memory import check_mapped

# The usual sequences of Python objects, whose entries are walked. Others are taken as arrays.
_WALKED = {list, tuple, range}
_ITERABLES = (Iterator, ValuesView, KeysView, Sequence)
_BUFFERS = (memoryview, array.array, bytearray)

_BASE, _DTYPE, _NDIM = map(attrgetter, ("base", "dtype", "ndim"))


def is_ragged(input: Any, offsets: Any) -> bool:
    """Return whether a list holds bags rather than indices."""
    if len(input) == 0:
        return offsets is None
    if type(input[0]) in _WALKED:  # the usual bags, found first
        return True
    # Arrays, series and tensors have a length too, unless they are 0-D.
    sized = {kind for kind in set(map(type, input)) if _has_entries(kind)}
    return bool(sized) and any(
        type(entry) in sized and getattr(entry, "ndim", 1) > 0 for entry in input
    )


def _has_entries(kind: type) -> bool:
    return (hasattr(kind, "__len__") and not issubclass(kind, NO_ARRAYS)) or is_arrow(kind)


def listed(value: Any) -> Any:
    """Return an iterator, a view of a dict or another sequence as a list.

    NumPy would take an iterator and a view as one object; arrays are returned as they are.
    """
    if not isinstance(value, _ITERABLES) or isinstance(value, (*NO_ARRAYS, *_BUFFERS, range)):
        return value
    bags = list(value)
    is_iterator = isinstance(value, Iterator)
    if is_iterator and not is_ragged(bags, None):
        raise TypeError("an iterator must yield bags, one after the other; got " + shown(bags))
    return bags


def join_lists(bags: Any, name: str, kind: EntryKind) -> Joined:
    """Return a list of sequences of numbers, one for each bag, side by side."""
    types = set(map(type, bags))
    if types <= _WALKED:
        return _join_scalars(bags, name, kind)
    if len(types) == 1 and (arrays := _plain_arrays(bags, types.pop(), name, kind)) is not None:
        return Joined(Entries(concatenated(arrays, kind)), _ends(arrays))
    parts = [_entries_of(bag, name, b, kind) for b, bag in enumerate(bags)]
    offsets = _ends([part.values for part in parts])
    return Joined(joined_entries(parts, kind), offsets)


def _ends(bags: Any) -> np.ndarray:
    ends = np.zeros(len(bags) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, bags), np.int64, len(bags)), out=ends[1:])
    return ends


def _plain_arrays(bags: Any, of: type, name: str, kind: EntryKind) -> list[np.ndarray] | None:
    """Return bags of one type as arrays, fast; None if an array is not as the usual ones."""
    arrays, is_tensor = bags, False
    if of is not np.ndarray:
        if issubclass(of, np.ndarray) or not hasattr(of, "__array__") or is_arrow(bags[0]):
            return None
        if hasattr(of, "isna") and not all(isinstance(bag.dtype, np.dtype) for bag in bags):
            return None
        # A tensor's own method is five times as fast as NumPy's function.
        is_tensor = of.__module__.partition(".")[0] == "torch"
        to_array: Any = getattr(of, "numpy", np.asarray) if is_tensor else np.asarray
        try:
            arrays = list(map(to_array, bags))
        except (ValueError, TypeError, RuntimeError):
            return None  # the usual way names the bag
    kinds = {dtype.kind for dtype in set(map(_DTYPE, arrays))}
    usual = set(map(_NDIM, arrays)) == {1} and kinds <= set(kind.safe)
    # The memory of a tensor is not NumPy's; most arrays have their own.
    if usual and not is_tensor and set(map(type, map(_BASE, arrays))) != {type(None)}:
        views = dict(zip(map(id, map(_BASE, arrays)), arrays, strict=True))
        for view in views.values():  # one for each map
            check_mapped(view, name)
    return arrays if usual else None


def join_integers(bags: list[Any], most: int | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return indices (n,) and offsets (B + 1,) of lists of Python's integers, fast.

    None is for every other list, and for more than `most` integers.
    """
    ends = np.empty(len(bags) + 1, np.int64)
    count = measure_bags(ends, bags)
    if count < 0 or (most is not None and count > most):
        return None
    indices = np.empty(count, np.int64)
    return (indices, ends) if copy_bags(indices, bags) else None


def _join_scalars(bags: Any, name: str, kind: EntryKind) -> Joined:
    if kind is INTEGERS and type(bags) is list and (joined := join_integers(bags)) is not None:
        return Joined(Entries(joined[0]), joined[1])
    ends = _ends(bags)
    entries = list(chain.from_iterable(bags))

    def place(i: int) -> str:
        bag = int(np.searchsorted(ends, i, side="right")) - 1
        return f"{name}[{bag}][{i - ends[bag]}]"

    return Joined(from_scalars(entries, kind, place), ends)


def _entries_of(bag: Any, name: str, b: int, kind: EntryKind) -> Entries:
    """Return the entries of one bag, which may be an array of another library."""
    where = f"{name}[{b}]"
    if kind.has(type(bag)) or getattr(bag, "ndim", 1) == 0:
        raise ValueError(f"{name} must not mix sequences and numbers, got {where} = {bag}")
    if hasattr(bag, "as_py"):  # a list of pyarrow; a null one is empty
        bag = bag.as_py() or []
    has_entries = hasattr(bag, "__len__") or is_arrow(bag)
    if not has_entries or isinstance(bag, (*NO_ARRAYS, Mapping)):
        way_out = "" if has_entries else "; an empty bag is []"  # None, NaN or NA of a column
        raise TypeError(f"{where} must be a sequence of {kind.plural}, got {shown(bag)}{way_out}")
    if _is_walked(bag):
        scalars = list(bag)
        if len(scalars) != len(bag):
            raise ValueError(f"{where} has {len(scalars)} entries, and a length of {len(bag)}")
        return from_scalars(scalars, kind, lambda i: f"{where}[{i}]")
    if hasattr(bag, "__len__") and len(bag) == 0:  # of any dtype
        return Entries(np.empty(0, kind.dtype))
    entries = as_entries(bag, where, kind)
    if entries.values.ndim != 1:
        raise ValueError(f"{where} must be 1-D, got {entries.values.ndim}-D: deeper nesting")
    return entries


def _is_walked(bag: Any) -> bool:
    """Return whether the entries of a bag are Python objects, which are checked one by one."""
    if isinstance(bag, np.ndarray):
        return bag.dtype == object and bag.ndim == 1
    if isinstance(bag, (list, tuple)):
        return True
    has_memory = hasattr(bag, "__array__") or hasattr(bag, "__array_interface__")
    return not (has_memory or isinstance(bag, _BUFFERS) or is_arrow(bag))
