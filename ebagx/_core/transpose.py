"""Transpose bags: from the lookups of each bag to the lookups of each touched row."""

import numpy as np

from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import Scratch
from ebagx._core.modes import Mode
from ebagx._core.threads import thread_count

# The sort has keys of 64 bits and, per thread, 2 ** RADIX_BITS counters (``transpose.pxi``). A
# lookup takes the time of 32 element additions.
_KEY_BITS = 64
_RADIX = 2048
# Lookups are counted where a table has at most so many rows: the counters, of 4 bytes each, stay in
# the second cache.
_COUNTED_ROWS = 1 << 17
_COUNTED_LOOKUPS = 1 << 31
_FEW_LOOKUPS = 512
_FEW_ROW_BITS = 54
_SORT_WORK = 32
_SORT_BYTES_PER_LOOKUP = 96
_COUNTER_BYTES = 1 << 20


def scratch_for(bags: Bags) -> Scratch:
    """Return the scratch memory for transposing the bags."""
    return Scratch(_SORT_BYTES_PER_LOOKUP * len(bags.indices) + _COUNTER_BYTES)


def _sorted_lookups(
    indices: np.ndarray,
    offsets: np.ndarray,
    num_rows: int,
    scratch: Scratch,
    num_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the touched rows (U,), the starts of their lookups (U + 1,), and those lookups' bags.

    Only the rows are a new array; the others are cut from `scratch`.
    """
    n, dtype = len(indices), indices.dtype
    if 0 < num_rows <= min(n, _COUNTED_ROWS) and n < _COUNTED_LOOKUPS:
        return _counted_lookups(indices, offsets, num_rows, scratch, num_threads)
    payload_bits = max(len(offsets) - 2, 0).bit_length()
    if payload_bits + num_rows.bit_length() > _KEY_BITS:
        names, indices = np.unique(indices, return_inverse=True)
        indices = indices.astype(dtype)
        rows, starts, payloads = _sorted_lookups(indices, offsets, n, scratch, num_threads)
        return names[rows], starts, payloads
    threads = thread_count(num_threads, _SORT_WORK * n)
    keys, spare = scratch.empty(n, np.uint64), scratch.empty(n, np.uint64)
    counters = scratch.empty(threads * _RADIX, np.int64).reshape(threads, _RADIX)
    kernels.sort_lookups(keys, spare, counters, indices, offsets, num_rows, payload_bits, threads)
    rows, payloads = scratch.empty(n, dtype), scratch.empty(n, dtype)
    starts = scratch.empty(n + 1, dtype)
    touched = kernels.group_rows(rows, starts, payloads, keys, payload_bits)
    return rows[:touched].copy(), starts[: touched + 1], payloads


def _counted_lookups(
    indices: np.ndarray,
    offsets: np.ndarray,
    num_rows: int,
    scratch: Scratch,
    num_threads: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `_sorted_lookups` does, for no more rows than lookups, in half the time."""
    n, dtype = len(indices), indices.dtype
    # The counters of all threads are added up by one.
    threads = min(thread_count(num_threads, _SORT_WORK * n), 1 + n // num_rows)
    counts = scratch.empty(threads * num_rows, np.int32).reshape(threads, num_rows)
    rows, payloads = scratch.empty(n, dtype), scratch.empty(n, dtype)
    starts = scratch.empty(n + 1, dtype)
    touched = kernels.count_lookups(rows, starts, payloads, counts, indices, offsets, threads)
    return rows[:touched].copy(), starts[: touched + 1], payloads


def touched_rows(
    bags: Bags, num_rows: int, scratch: Scratch, num_threads: int | None
) -> np.ndarray:
    """Return the rows that occur in the bags, ascending, each once."""
    one_bag = np.array([0, len(bags.indices)], bags.indices.dtype)
    return _sorted_lookups(bags.indices, one_bag, num_rows, scratch, num_threads)[0]


def transposed(
    bags: Bags, num_rows: int, mode: Mode, by_freq: bool, scratch: Scratch, num_threads: int | None
) -> tuple[np.ndarray, Bags]:
    """Return the touched rows (U,) and, as `Bags`, the bags that hold each row, with scales.

    The scale of a lookup is weight / divisor / count, the factor of its gradient. Cost: a sort of
    the n lookups, or a count of them if the table is small and has at most n rows; no array has
    the size of a larger table. The arrays are cut from `scratch`.
    """
    n, real = len(bags.indices), bags.weights.dtype
    divisor = mode.divisor
    if len(bags.weights) or divisor:
        # The payload is the lookup's number, by which its scale is fetched too.
        numbers = np.arange(n + 1, dtype=bags.indices.dtype)
        rows, starts, order = _sorted_lookups(bags.indices, numbers, num_rows, scratch, num_threads)
        bag_numbers, scales = scratch.empty(n, order.dtype), scratch.empty(n, real)
        kernels.transpose_lookups(
            bag_numbers,
            scales,
            scratch.empty(n, order.dtype),
            scratch.empty(n, real),
            order,
            bags.offsets,
            bags.weights,
            divisor,
            thread_count(num_threads, _SORT_WORK * n),
        )
    else:
        rows, starts, bag_numbers = _sorted_lookups(
            bags.indices, bags.offsets, num_rows, scratch, num_threads
        )
        scales = bags.weights
    if by_freq:
        counts = np.diff(starts)
        scales = (scales if len(scales) else np.ones(n, real)) / np.repeat(counts, counts).astype(
            real
        )
    return rows, Bags(bag_numbers, starts, scales)


def transposed_few(bags: Bags, num_rows: int, mode: Mode) -> tuple[np.ndarray, Bags] | None:
    """Return what `transposed` does for few lookups, in a fifth of the time; None for many."""
    indices, _, weights = bags
    n = len(indices)
    if not 0 < n <= _FEW_LOOKUPS or num_rows >> _FEW_ROW_BITS:
        return None
    rows, bag_numbers = np.empty(n, indices.dtype), np.empty(n, indices.dtype)
    starts = np.empty(n + 1, indices.dtype)
    scales = np.empty(n, weights.dtype) if len(weights) or mode.divisor else weights
    written = rows, starts, bag_numbers, scales
    touched = kernels.transpose_few(*written, *bags, num_rows, mode.divisor)
    return rows[:touched], Bags(bag_numbers, starts[: touched + 1], scales)
