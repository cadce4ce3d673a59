"""Check the arguments of callers; all error messages of the core are here.

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
from scipy.sparse import issparse

from ebagx._core.dtypes import CELL_TYPES, CellType, cell_type
from ebagx._core.layout import as_contiguous, overlaps_itself, with_contiguous_rows
from ebagx._core.memory import check_mapped
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

_SHORT_BAG = 64  # lookups; `check_winners` compares such bags side by side


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


def check_table_dtype(dtype: np.dtype[Any], name: str) -> CellType:
    """Return the row of a dtype, or raise TypeError if a table cannot have it."""
    cell = cell_type(dtype)
    if cell is None:
        *names, last = (cell.name for cell in CELL_TYPES)
        raise TypeError(
            f"{name} must be {', '.join(names)} or {last} in native byte order, "
            f"got {_dtype_name(dtype)}"
        )
    return cell


def _dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of a wrong dtype: '<f16' would read like float16."""
    if dtype.type is np.longdouble:
        return "longdouble" if dtype.isnative else "longdouble in another byte order"
    return dtype.str if dtype.kind in "fc" else str(dtype)


def check_grad_output(
    grad_output: Any, shape: tuple[int, int], sum_dtype: np.dtype[Any]
) -> np.ndarray:
    """Return grad_output (B, D) in the dtype of sums, with contiguous rows."""
    grad = as_plain_array(grad_output, "grad_output")
    if grad.shape != shape:
        raise ValueError(f"grad_output must have shape {shape}, got {grad.shape}")
    return with_contiguous_rows(as_real(grad, "grad_output", sum_dtype))


def check_real(array: np.ndarray, name: str) -> None:
    """Raise TypeError unless the array holds real numbers."""
    if array.dtype.kind not in "biuf" and cell_type(array.dtype) is None:
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    check_mapped(array, name)


def as_real(array: np.ndarray, name: str, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a real-valued array in another dtype."""
    check_real(array, name)
    return array if array.dtype is dtype else array.astype(dtype, copy=False)


def check_out(
    out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any], read: Iterable[np.ndarray]
) -> None:
    """Raise unless `out` can take the result, and shares no memory with arrays that are read."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an ndarray, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    if overlaps_itself(out):
        raise ValueError("elements of out share memory")
    if any(np.shares_memory(out, array) for array in read):
        raise ValueError("out must not share memory with what the call reads")
    check_mapped(out, "out")


def check_max_indices(
    max_indices: Any, shape: tuple[int, int], num_rows: int, dtype: np.dtype[Any]
) -> np.ndarray:
    """Return `max_indices` as a contiguous (B, D) array of the bags' index dtype.

    An entry of an empty bag may be -1.
    """
    winners = as_plain_array(max_indices, "max_indices")
    check_integers(winners, "max_indices")
    if winners.shape != shape:
        raise ValueError(f"max_indices must have shape {shape}, got {winners.shape}")
    outside = np.argwhere((winners < -1) | (winners >= num_rows))
    if len(outside):
        _raise_out_of_range(winners, tuple(outside[0]), "max_indices", num_rows)
    return as_contiguous(winners.astype(dtype, copy=False))


def check_winners(winners: np.ndarray, indices: np.ndarray, offsets: np.ndarray) -> None:
    """Raise ValueError unless each of `max_indices` (B, D) is a row of its bag.

    The gradient of another row would be lost. Entries of empty bags are not read, and may be any.
    Cost: n·D comparisons, which are made for many bags at once, or a sort of a long bag.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    known = np.zeros(winners.shape, bool)
    known[lengths == 0] = True
    for b in np.flatnonzero(lengths > _SHORT_BAG):
        known[b] = np.isin(winners[b], indices[starts[b] : offsets[b + 1]])
    by_length = np.argsort(-lengths, kind="stable")
    by_length = by_length[lengths[by_length] <= _SHORT_BAG]
    for place in range(int(lengths[by_length[:1]].sum())):
        bags = by_length[: np.count_nonzero(lengths[by_length] > place)]
        known[bags] |= winners[bags] == indices[starts[bags] + place, np.newaxis]
    if not known.all():
        b, d = np.argwhere(~known)[0]
        raise ValueError(
            f"max_indices[{b}, {d}] = {winners[b, d]} is no row of bag {b} without its padding: "
            "pass the max_indices of embedding_bag for the same bags, or None"
        )


def masked_places(array: np.ndarray) -> np.ndarray | None:
    """Return which entries of an array are masked; None if none is."""
    if type(array) is np.ndarray or not isinstance(array, np.ma.MaskedArray):
        return None
    mask: np.ndarray = np.ma.getmaskarray(array)
    return mask if mask.any() else None


def as_plain_array(values: Any, name: str) -> np.ndarray:
    """Return what ``numpy.asarray`` does; a masked entry or a sparse matrix is an error."""
    if type(values) is np.ndarray:
        return values
    if issparse(values):
        kind = type(values).__name__
        raise TypeError(f"{name} must be an array, got a {kind}: its method toarray makes one")
    mask = masked_places(values)
    if mask is not None:
        raise_missing(mask, "masked", name, None, "fill it")
    return np.asarray(values)


def raise_missing(
    mask: np.ndarray, word: str, name: str, ends: np.ndarray | None, way_out: str
) -> NoReturn:
    """Raise ValueError for the first entry without a value; `ends` are as in `raise_bad_index`."""
    name, place, _ = _named(name, tuple(np.argwhere(mask)[0]), ends)
    where = f"[{', '.join(map(str, place))}]" if place else ""
    raise ValueError(f"{name}{where} is {word}: {way_out}")


def check_integers(array: np.ndarray, name: str) -> None:
    """Raise TypeError unless the array holds integers; bool does not count."""
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    check_mapped(array, name)


def as_integer_array(values: Any, name: str) -> np.ndarray:
    """Return integers as an array of any integer dtype."""
    array = as_plain_array(values, name)
    if array.size == 0 and isinstance(values, (list, tuple)):
        return array.astype(np.int64)  # NumPy makes an empty list float64
    check_integers(array, name)
    return array


def sequence_lengths(sequences: Any, name: str) -> list[int]:
    """Return the lengths of sequences."""
    try:
        return [len(sequence) for sequence in sequences]
    except TypeError:
        raise ValueError(f"{name} must not mix sequences and numbers") from None


def check_rows(rows: np.ndarray, name: str, num_rows: int) -> None:
    """Raise unless `rows` are table rows, ascending, each once."""
    check_integers(rows, name)
    if rows.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got {rows.ndim}-D")
    if not len(rows):
        return
    falls = rows[1:] <= rows[:-1]
    if falls.any():
        u = int(falls.argmax()) + 1
        raise ValueError(f"{name} must ascend, got {name}[{u}] = {rows[u]} after {rows[u - 1]}")
    for u in (0, -1):
        if not 0 <= rows[u] < num_rows:
            _raise_out_of_range(rows, (u % len(rows),), name, num_rows)


def raise_bad_index(
    indices: np.ndarray, name: str, num_rows: int, ends: np.ndarray | None, can_skip: bool
) -> NoReturn:
    """Raise IndexError for the first index outside the table.

    `ends` are the B + 1 ends of the bags if `indices` was flattened from a list of them. `can_skip`
    says that the caller has the option `invalid`.
    """
    outside = np.argwhere((indices < 0) | (indices >= num_rows))
    if not len(outside):
        raise RuntimeError(f"{name} was changed by another thread during the call")
    name, place, start = _named(name, tuple(outside[0]), ends)
    way_out = f"; {LEAVES_OUT}" if can_skip else ""
    _raise_out_of_range(indices[start:], place, name, num_rows, way_out)


def _named(
    name: str, place: tuple[Any, ...], ends: np.ndarray | None
) -> tuple[str, tuple[Any, ...], int]:
    """Return the name of what holds an entry, its place there, and the place of its first entry."""
    if ends is None:
        return name, place, 0
    bag = np.searchsorted(ends, place[0], side="right") - 1
    return f"{name}[{bag}]", (place[0] - ends[bag],), int(ends[bag])


def _raise_out_of_range(
    indices: np.ndarray, place: tuple[Any, ...], name: str, num_rows: int, way_out: str = ""
) -> NoReturn:
    raise IndexError(
        f"{name}[{', '.join(map(str, place))}] = {shown(int(indices[place]))} "
        f"is out of range for {num_rows} embeddings{way_out}"
    )


def raise_bad_offsets(
    offsets: np.ndarray, name: str, num_lookups: int, include_last_offset: bool
) -> NoReturn:
    """Raise ValueError for the first error in the offsets."""
    if len(offsets) == 0 and include_last_offset:
        raise ValueError(f"{name} must not be empty with include_last_offset=True")
    if len(offsets) == 0:
        raise ValueError(f"{name} is empty, so the {num_lookups} indices of input belong to no bag")
    if offsets[0] != 0:
        raise ValueError(f"{name}[0] must be 0, got {offsets[0]}")
    falls = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falls):
        b = falls[0]
        raise ValueError(
            f"{name} must not decrease, got {name}[{b + 1}] = {offsets[b + 1]} "
            f"after {name}[{b}] = {offsets[b]}"
        )
    beyond = np.flatnonzero(offsets > num_lookups)
    if len(beyond):
        b = beyond[0]
        raise ValueError(f"{name}[{b}] = {offsets[b]} is beyond the {num_lookups} indices of input")
    if include_last_offset and offsets[-1] != num_lookups:
        raise ValueError(
            f"{name}[-1] must be the number of indices {num_lookups}, got {offsets[-1]}"
        )
    raise RuntimeError(f"{name} was changed by another thread during the call")
