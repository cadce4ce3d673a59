"""Read arrays that are not ragged: NumPy's and whatever NumPy, or the Arrow interface, takes."""

from itertools import chain
from typing import Any

import numpy as np

from ebagx._core.arguments import shown
from ebagx._core.checks import masked_places
from ebagx._core.forms.arrow import is_arrow, read_arrow
from ebagx._core.forms.entries import Entries, EntryKind, Missing, from_scalars, plain_array

# NumPy takes these as one object, or as text; their entries are no numbers, or have no order.
NO_ARRAYS = (str, bytes, dict, set, frozenset)

# Names of such dtypes start with one of these, in pandas, polars and pyarrow.
_CATEGORIES = ("category", "categorical", "enum(", "dictionary<")
CATEGORICAL = "is categorical: pass its codes, for pandas those in .cat.codes"


def as_entries(value: Any, name: str, kind: EntryKind) -> Entries:
    """Return an array_like of integers or real numbers as an array of its shape.

    Raises
    ------
    TypeError
        If it holds other objects.
    ValueError
        If it is ragged.
    """
    if isinstance(value, (list, tuple)):
        return entries_of_list(value, name, kind)
    found = read_arrow(value, name, kind) if is_arrow(value) else None
    if found is None:
        return entries_of_array(value, as_numpy(value, name), name, kind)
    if found.offsets is not None:
        raise ValueError(f"{name} must be an array of {kind.plural}, got a column of lists")
    return found.entries


def entries_of_array(value: Any, array: np.ndarray, name: str, kind: EntryKind) -> Entries:
    """Return the entries of an array that NumPy has made of a value."""
    if is_categorical(value) and array.dtype.kind not in kind.safe:
        raise TypeError(f"{name} {CATEGORICAL}")
    if _has_nullable_numbers(value, kind):
        return _entries_of_nullable(value, name, kind)
    if array.dtype == object and array.ndim == 2 and any(map(_is_sized, array.flat)):
        raise TypeError(f"{name} is a table of lists: pass one of its columns")
    mask = masked_places(array)
    array = np.asarray(array)
    kind.check(array, name)
    return Entries(array, None if mask is None else Missing(mask, "masked"))


def is_categorical(value: Any) -> bool:
    """Return whether a column holds categories, or has a dictionary: its codes are integers."""
    dtype = getattr(value, "dtype", getattr(value, "type", None))
    return not isinstance(dtype, np.dtype) and str(dtype).lower().startswith(_CATEGORIES)


def as_numpy(value: Any, name: str) -> np.ndarray:
    """Return what ``numpy.asanyarray`` does; an error names the way out, where one is known."""
    if isinstance(value, NO_ARRAYS):
        raise TypeError(f"{name} must be an array or a list, got {shown(value)}")
    try:
        array: np.ndarray = np.asanyarray(value)
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
        if isinstance(value, (list, tuple)):
            raise ValueError(f"{name} has rows of different lengths or depths") from error
        way_out = _way_out(value)
        if way_out is None:  # for tensors, the error of PyTorch names it
            kind = ValueError if isinstance(error, ValueError) else TypeError
            raise kind(f"{name} cannot be taken as an array: {error}") from error
        raise TypeError(f"{name} is {_kind_of(value)}: {way_out}") from error
    if array.dtype == object and array.ndim == 0 and not isinstance(value, np.ndarray):
        way_out = _way_out(value)
        if way_out is not None:
            raise TypeError(f"{name} is {_kind_of(value)}: {way_out}")
        raise TypeError(f"{name} must be an array or a list, got {shown(value)}")
    return array


def _kind_of(value: Any) -> str:
    return f"{type(value).__module__.partition('.')[0]}'s {type(value).__name__}"


def _way_out(value: Any) -> str | None:
    """Return what to pass instead of a ragged array of another library."""
    flat, offsets = None, None
    if type(value).__module__.partition(".")[0] == "awkward":
        flat, offsets = "awkward.flatten(x)", "numpy.cumsum([0, *awkward.num(x)])"
    elif hasattr(value, "row_splits"):
        flat, offsets = "x.values", "x.row_splits"
    elif callable(getattr(value, "values", None)) and callable(getattr(value, "offsets", None)):
        flat, offsets = "x.values()", "x.offsets()"
    if flat is None:
        return None
    column = "awkward.to_arrow(x), or " * (flat == "awkward.flatten(x)")
    return f"pass {column}{flat}, with offsets={offsets} and include_last_offset=True"


def entries_of_list(value: Any, name: str, kind: EntryKind) -> Entries:
    """Return the entries of a list of numbers, or of nested lists of one shape."""
    plain = plain_array(value, kind)
    if plain is not None:
        return Entries(plain)
    if not any(map(_is_sized, value)):
        return from_scalars(value, kind, lambda i: f"{name}[{i}]")
    array = as_numpy(value, name)
    if array.size == 0:
        return Entries(array.astype(kind.dtype))  # NumPy makes empty lists float64
    if array.dtype.kind not in kind.safe:  # a few entries may be of another kind
        shape, entries = array.shape, list(value)
        for _ in shape[1:]:
            entries = list(chain.from_iterable(entries))
        place = lambda i: f"{name}[{', '.join(map(str, np.unravel_index(i, shape)))}]"  # noqa: E731
        array = from_scalars(entries, kind, place).values.reshape(shape)
    return Entries(array)


def _is_sized(entry: Any) -> bool:
    return hasattr(entry, "__len__") and getattr(entry, "ndim", 1) > 0


def _has_nullable_numbers(value: Any, kind: EntryKind) -> bool:
    """Return whether a column or a frame of pandas has numbers of dtypes that are not NumPy's."""
    if not hasattr(value, "isna"):
        return False
    dtypes = [value.dtype] if hasattr(value, "dtype") else list(getattr(value, "dtypes", ()))
    if all(isinstance(dtype, np.dtype) for dtype in dtypes):
        return False
    return {getattr(dtype, "kind", "") for dtype in dtypes} <= set(kind.safe)


def _entries_of_nullable(value: Any, name: str, kind: EntryKind) -> Entries:
    """Return such numbers, and which are NA: NumPy turns them into NaN, or all into objects."""
    mask = np.asarray(value.isna())
    missing = Missing(mask, "missing") if mask.any() else None
    filled = value if missing is None else value.fillna(0)
    array = as_numpy(filled, name)
    if array.dtype == object:  # of a frame
        numbers = from_scalars(array.ravel().tolist(), kind, lambda _: name)
        return Entries(numbers.values.reshape(array.shape), missing)
    kind.check(array, name)
    return Entries(array, missing)
