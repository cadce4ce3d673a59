"""Check arrays of callers; `arguments` has the checks of numbers, names and flags.

Kernels rely on these checks. When a check raises, nothing has been changed.
"""

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
from scipy.sparse import issparse

from ebagx._core.arguments import LEAVES_OUT, shown
from ebagx._core.dtypes import CELL_TYPES, CellType, cell_type
from ebagx._core.layout import as_contiguous, overlaps_itself, with_contiguous_rows
from ebagx._core.memory import check_mapped

_SHORT_BAG = 64  # lookups; `check_winners` compares such bags side by side


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
