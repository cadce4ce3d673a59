"""Every check of a caller's arguments and every error message.

What passes here is trusted by the kernels; nothing has been changed when a check raises.
"""

import math
import numbers
import operator
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from ebagx._dispatch import is_index_dtype, is_table_dtype, real_dtype
from ebagx._mapped import check_mapped

POOLING_MODES = ("sum", "mean", "sqrtn")
EXTREME_MODES = ("max", "min")
MODES = POOLING_MODES + EXTREME_MODES


def check_mode(mode: str) -> None:
    """Raise ValueError unless `mode` is one of the five."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")


def check_sparse(sparse: bool | str) -> None:
    """Raise ValueError unless `sparse` names a form of gradient."""
    if not (isinstance(sparse, (bool, np.bool_)) or sparse == "rows"):
        raise ValueError(f"sparse must be False, True or 'rows', got {sparse!r}")


def check_integer(value: Any, name: str) -> int:
    """Return an integer (bool is none) as an int."""
    kind = "bool" if isinstance(value, (bool, np.bool_)) else type(value).__name__
    try:
        if kind != "bool":
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be an integer, got a {kind}")


def check_size(size: int, name: str) -> int:
    """Return a size >= 0 as an int."""
    size = check_integer(size, name)
    if not 0 <= size <= sys.maxsize:
        limit = "at least 0" if size < 0 else f"at most {sys.maxsize}"
        raise ValueError(f"{name} must be {limit}, got {size}")
    return size


def _check_real(value: Any, name: str) -> None:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got a {type(value).__name__}")
    try:
        float(value)
    except OverflowError:
        raise ValueError(f"{name} is too large for a float") from None


def check_number(value: Any, name: str) -> float:
    """Return a finite number as a float."""
    _check_real(value, name)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def check_at_least_0(value: Any, name: str) -> float:
    """Return a finite number >= 0 as a float."""
    if type(value) is not float:
        _check_real(value, name)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {value}")
    return float(value)


def check_positive(value: Any, name: str) -> float:
    """Return a finite number > 0 as a float."""
    _check_real(value, name)
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def check_fraction(value: Any, name: str) -> float:
    """Return a number in [0, 1) as a float."""
    _check_real(value, name)
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}")
    return float(value)


def check_num_threads(num_threads: int | None) -> int | None:
    """Return a number of threads >= 1, or None."""
    if num_threads is None:
        return None
    num_threads = check_integer(num_threads, "num_threads")
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    return num_threads


def check_padding_idx(padding_idx: int | None, num_rows: int) -> int | None:
    """Return the padding row in [0, N), or None; negative ones count from the end."""
    if padding_idx is None:
        return None
    padding_idx = check_integer(padding_idx, "padding_idx")
    if not -num_rows <= padding_idx < num_rows:
        raise ValueError(
            f"padding_idx = {padding_idx} is out of range for {num_rows} embeddings, "
            f"it must be in [{-num_rows}, {num_rows})"
        )
    return padding_idx + num_rows if padding_idx < 0 else padding_idx


def check_max_norm(max_norm: float | None, norm_type: float) -> None:
    """Raise unless `max_norm` is None or a number >= 0, and `norm_type` a number."""
    if max_norm is None:
        return
    for value, name in ((max_norm, "max_norm"), (norm_type, "norm_type")):
        _check_real(value, name)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be at least 0, got {max_norm}")
    if norm_type != norm_type:
        raise ValueError(f"norm_type must be a number, got {norm_type}")


def check_table_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Raise TypeError unless tables may have this dtype."""
    if not is_table_dtype(dtype):
        raise TypeError(
            f"{name} must be float16, bfloat16, float32 or float64 in native byte order, "
            f"got {dtype.str if dtype.kind in 'fc' else dtype}"
        )


def check_weight(weight: Any, name: str = "weight") -> np.ndarray:
    """Return the table as a 2-D array of a supported dtype, without a copy if it is one."""
    table = weight if type(weight) is np.ndarray else np.asarray(weight)
    check_table_dtype(table.dtype, name)
    if table.ndim != 2:
        raise ValueError(f"{name} must be 2-D (num_embeddings, embedding_dim), got {table.ndim}-D")
    check_mapped(table, name)
    return table


def check_writeable(weight: np.ndarray, why: str) -> None:
    """Raise ValueError if the table cannot be changed in place."""
    if not weight.flags.writeable:
        raise ValueError(f"weight is read-only, but {why} changes it in place")
    if overlaps_itself(weight):
        raise ValueError(f"elements of weight share memory, but {why} changes it in place")
    check_mapped(weight, "weight")


def check_grad_output(grad_output: Any, num_bags: int, weight: np.ndarray) -> np.ndarray:
    """Return grad_output as (B, D) in the dtype that sums are kept in, rows contiguous."""
    grad = np.asarray(grad_output)
    shape = (num_bags, weight.shape[1])
    if grad.shape != shape:
        raise ValueError(f"grad_output must have shape {shape}, got {grad.shape}")
    return as_rows(as_real(grad, "grad_output", real_dtype(weight.dtype)))


def check_real(array: np.ndarray, name: str) -> None:
    """Raise TypeError unless the array holds real numbers."""
    if array.dtype.kind not in "biuf" and not is_table_dtype(array.dtype):
        raise TypeError(f"{name} must be real numbers, got {array.dtype}")
    check_mapped(array, name)


def as_real(array: np.ndarray, name: str, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a real-valued array in another dtype."""
    check_real(array, name)
    return array.astype(dtype, copy=False)


def has_rows(array: np.ndarray) -> bool:
    """Return whether each row of a 2-D array is contiguous and aligned; rows may be strided."""
    in_order = array.strides[1] == array.itemsize or array.shape[1] < 2 or array.size == 0
    return in_order and array.flags.aligned


def overlaps_itself(array: np.ndarray) -> bool:
    """Return whether elements of an array may share memory, as stride tricks make them."""
    if array.flags.c_contiguous or array.size == 0:
        return False
    end = array.itemsize
    axes = zip(array.strides, array.shape, strict=True)
    for stride, size in sorted((abs(stride), size) for stride, size in axes if size > 1):
        if stride < end:
            return True
        end += stride * (size - 1)
    return False


def as_rows(array: np.ndarray) -> np.ndarray:
    """Return a 2-D array with contiguous rows: itself, or a copy."""
    return array if has_rows(array) else np.array(array, order="C")


def apart_from(array: np.ndarray, written: np.ndarray | None) -> np.ndarray:
    """Return an array that is read while another is written: itself, or a copy."""
    if written is None or not np.may_share_memory(array, written):
        return array
    return array.copy()


def as_contiguous(array: np.ndarray) -> np.ndarray:
    """Return a contiguous and aligned array: itself, or a copy."""
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy()


def as_indices(array: np.ndarray) -> np.ndarray:
    """Return integers as contiguous int32 or int64, without a copy if they are."""
    if not is_index_dtype(array.dtype):
        array = array.astype(np.int64)  # uint64 beyond it turns negative: still out of range
    return as_contiguous(array)


def check_out(
    out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any], read: Iterable[np.ndarray]
) -> None:
    """Raise unless the result can be written to `out`, apart from everything that is read."""
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

    They may be -1, for empty bags.
    """
    winners = np.asarray(max_indices)
    check_integers(winners, "max_indices")
    if winners.shape != shape:
        raise ValueError(f"max_indices must have shape {shape}, got {winners.shape}")
    outside = np.argwhere((winners < -1) | (winners >= num_rows))
    if len(outside):
        _raise_out_of_range(winners, tuple(outside[0]), "max_indices", num_rows)
    return as_contiguous(winners.astype(dtype, copy=False))


def check_integers(array: np.ndarray, name: str) -> None:
    """Raise TypeError unless the array holds integers (bool is none)."""
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    check_mapped(array, name)


def as_integer_array(values: Any, name: str) -> np.ndarray:
    """Return integers as an array of any integer dtype."""
    array = np.asarray(values)
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
    falls = np.flatnonzero(rows[1:] <= rows[:-1])
    if len(falls):
        u = falls[0] + 1
        raise ValueError(f"{name} must ascend, got {name}[{u}] = {rows[u]} after {rows[u - 1]}")
    for u in (0, -1):
        if not 0 <= rows[u] < num_rows:
            _raise_out_of_range(rows, (u % len(rows),), name, num_rows)


def raise_bad_index(
    indices: np.ndarray, name: str, num_rows: int, ends: np.ndarray | None
) -> NoReturn:
    """Raise IndexError for the first index outside the table.

    `ends` are the B + 1 ends of the bags if `indices` was flattened from a list of them.
    """
    outside = np.argwhere((indices < 0) | (indices >= num_rows))
    if not len(outside):
        raise RuntimeError(f"{name} was changed by another thread during the call")
    place = tuple(outside[0])
    if ends is not None:
        bag = np.searchsorted(ends, place[0], side="right") - 1
        name, indices, place = f"{name}[{bag}]", indices[ends[bag] :], (place[0] - ends[bag],)
    _raise_out_of_range(indices, place, name, num_rows)


def _raise_out_of_range(
    indices: np.ndarray, place: tuple[Any, ...], name: str, num_rows: int
) -> NoReturn:
    raise IndexError(
        f"{name}[{', '.join(map(str, place))}] = {indices[place]} "
        f"is out of range for {num_rows} embeddings"
    )


def raise_bad_offsets(
    offsets: np.ndarray, name: str, num_lookups: int, include_last_offset: bool
) -> NoReturn:
    """Raise ValueError for the first thing that is wrong with the offsets."""
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
