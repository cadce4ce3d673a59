"""Forward and backward on checked bags: allocate, choose the kernel, run it."""

import numpy as np

from ebagx._arrays import aligned_empty
from ebagx._bags import Bags, without_padding
from ebagx._dispatch import cells, kernel
from ebagx._threads import thread_count
from ebagx._validate import as_rows, has_rows
from ebagx.gradients import RowGradient

# The numbers that kernels know the modes by.
_DIVISORS = {"sum": 0, "mean": 1, "sqrtn": 2}
_DIRECTIONS = {"max": 1, "min": -1}


def forward(
    bags: Bags, weight: np.ndarray, mode: str, out: np.ndarray | None, num_threads: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pooled bags (B, D) and, in the modes max and min, the winning rows."""
    shape = (bags.num_bags, weight.shape[1])
    result = aligned_empty(shape, weight.dtype) if out is None or not has_rows(out) else out
    table = cells(as_rows(weight))
    index_dtype = bags.indices.dtype
    threads = thread_count(num_threads, len(bags.indices) * shape[1])
    winners = None
    if mode in _DIVISORS:
        pool = kernel("pool", index_dtype, weight.dtype)
        pool(cells(result), table, *bags, _DIVISORS[mode], threads)
    else:
        winners = np.empty(shape, index_dtype)
        extreme = kernel("extreme", index_dtype, weight.dtype)
        direction = _DIRECTIONS[mode]
        extreme(cells(result), winners, table, bags.indices, bags.offsets, direction, threads)
    if out is None or result is out:
        return result, winners
    out[...] = result
    return out, winners


def _sorted_lookups(bags: Bags, num_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the touched rows (U,), where their lookups start (U + 1,), and the sorting order."""
    n, dtype = len(bags.indices), bags.indices.dtype
    sorted_rows, order, scratch_rows, scratch_order = (np.empty(n, dtype) for _ in range(4))
    kernel("sort_lookups", dtype)(
        sorted_rows, order, scratch_rows, scratch_order, bags.indices, num_rows
    )
    starts = np.empty(n + 1, dtype)
    touched = kernel("group_rows", dtype)(scratch_rows, starts, sorted_rows)
    return scratch_rows[:touched].copy(), starts[: touched + 1], order


def transposed(
    bags: Bags, num_rows: int, mode: str, by_freq: bool, num_threads: int | None
) -> tuple[np.ndarray, Bags]:
    """Return the touched rows and, as bags over the bags, who looked them up at which scale.

    The scale of a lookup is weight / divisor / count, as its gradient needs it. Cost: a sort of
    the n lookups; nothing has the size of the table.
    """
    rows, starts, order = _sorted_lookups(bags, num_rows)
    n, real = len(order), bags.weights.dtype
    divisor = _DIVISORS.get(mode, 0)
    scaled = n if len(bags.weights) or divisor else 0
    bag_numbers, scratch = np.empty_like(order), np.empty_like(order)
    scales, scratch_scales = np.empty(scaled, real), np.empty(scaled, real)
    kernel("transpose_lookups", order.dtype, real)(
        bag_numbers,
        scales,
        scratch,
        scratch_scales,
        order,
        bags.offsets,
        bags.weights,
        divisor,
        thread_count(num_threads, n),
    )
    if by_freq:
        counts = np.diff(starts)
        scales = (scales if scaled else np.ones(n, real)) / np.repeat(counts, counts).astype(real)
    return rows, Bags(bag_numbers, starts, scales)


def backward(
    grad: np.ndarray,
    bags: Bags,
    weight: np.ndarray,
    winners: np.ndarray | None,
    *,
    mode: str,
    padding_idx: int | None,
    by_freq: bool,
    with_weights: bool,
    num_threads: int | None,
) -> tuple[RowGradient, np.ndarray | None]:
    """Return the gradients of the table and, `with_weights`, of the per-sample weights."""
    kept = without_padding(bags, padding_idx)
    if mode in _DIRECTIONS and winners is None:
        _, winners = forward(kept, weight, mode, None, num_threads)
    rows, lookups = transposed(kept, len(weight), mode, by_freq, num_threads)
    values = _row_values(grad, rows, lookups, winners, num_threads)
    of_weights = None
    if with_weights:
        of_weights = _weights_gradient(grad, kept, weight, mode, num_threads)
        if padding_idx is not None:
            spread = np.zeros_like(bags.weights)
            spread[bags.indices != padding_idx] = of_weights
            of_weights = spread
    return RowGradient(rows, values, weight.shape), of_weights


def _row_values(
    grad: np.ndarray,
    rows: np.ndarray,
    lookups: Bags,
    winners: np.ndarray | None,
    num_threads: int | None,
) -> np.ndarray:
    """Return the gradients of the touched rows: `grad` (B, D) pooled over the transposed bags."""
    values = aligned_empty((len(rows), grad.shape[1]), grad.dtype)
    threads = thread_count(num_threads, len(lookups.indices) * grad.shape[1])
    if winners is None:
        pool = kernel("pool", rows.dtype, grad.dtype)
        pool(values, grad, *lookups, _DIVISORS["sum"], threads)
    else:
        extreme_gradient = kernel("extreme_gradient", rows.dtype, grad.dtype)
        extreme_gradient(values, grad, winners, rows, *lookups, threads)
    return values


def _weights_gradient(
    grad: np.ndarray, bags: Bags, weight: np.ndarray, mode: str, num_threads: int | None
) -> np.ndarray:
    gradient = np.empty_like(bags.weights)
    threads = thread_count(num_threads, len(bags.indices) * weight.shape[1])
    kernel("weights_gradient", bags.indices.dtype, weight.dtype)(
        gradient, grad, cells(as_rows(weight)), *bags, _DIVISORS[mode], threads
    )
    return gradient


def renorm(
    bags: Bags, weight: np.ndarray, max_norm: float, norm_type: float, num_threads: int | None
) -> None:
    """Scale down, in place, the looked-up rows whose norm is over `max_norm`."""
    rows, _, _ = _sorted_lookups(bags, len(weight))
    threads = thread_count(num_threads, len(rows) * weight.shape[1])
    scale = kernel("renorm", rows.dtype, weight.dtype)
    if has_rows(weight):
        scale(cells(weight), rows, max_norm, norm_type, threads)
    else:
        touched = as_rows(weight[rows])
        scale(cells(touched), np.arange(len(rows), dtype=rows.dtype), max_norm, norm_type, threads)
        weight[rows] = touched
