"""Forward and backward on checked bags: allocate, choose the kernel, run it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ebagx._arrays import Scratch, aligned_empty
from ebagx._bags import Bags, without_padding
from ebagx._dispatch import cells, kernels
from ebagx._modes import DIRECTIONS, DIVISORS
from ebagx._threads import thread_count
from ebagx._transpose import scratch_for, touched_rows, transposed
from ebagx._validate import as_rows, has_rows
from ebagx.gradients import RowGradient

# A kernel cannot be interrupted, so long work comes in pieces, between which Python looks for
# Ctrl-C: element additions that take a tenth of a second, or a third where memory is the limit.
_PIECE = 1 << 28
# Columns of one bag are cut at cache lines of float.
_COLUMNS = 16
# A gradient that is used up at once need not leave the cache; smaller pieces cost more in calls.
_CACHED_BYTES = 1 << 20


def _pieces(offsets: np.ndarray, dim: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut bags into ranges of at most `_PIECE` additions, and larger bags into columns.

    Yields the slices of bags, of the offsets around them and of columns. What a column of a bag
    adds, and in which order, does not depend on the cut.
    """
    start, num_bags = 0, len(offsets) - 1
    if int(offsets[-1] - offsets[0]) * dim <= _PIECE:
        yield slice(0, num_bags), slice(0, num_bags + 1), slice(0, dim)
        return
    while start < num_bags:
        # In the dtype of the offsets, which a search would else convert each time.
        goal = min(int(offsets[start]) + _PIECE // dim, int(offsets[-1]))
        end = int(np.searchsorted(offsets, offsets.dtype.type(goal), side="right")) - 1
        stop = min(max(end, start + 1), num_bags)
        lookups = int(offsets[stop] - offsets[start])
        step = dim if lookups * dim <= _PIECE else max(_PIECE // lookups, _COLUMNS)
        for column in range(0, dim, step // _COLUMNS * _COLUMNS or dim):
            columns = slice(column, column + (step // _COLUMNS * _COLUMNS or dim))
            yield slice(start, stop), slice(start, stop + 1), columns
        start = stop


def forward(
    bags: Bags, weight: np.ndarray, mode: str, out: np.ndarray | None, num_threads: int | None
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Return the pooled bags (B, D), who won them in the modes max and min, and what `pool` does.

    The modes max and min, and tables without entries, need indices that have been checked.
    """
    shape = (bags.num_bags, weight.shape[1])
    result = aligned_empty(shape, weight.dtype) if out is None or not has_rows(out) else out
    table = as_rows(weight)
    winners, valid = None, True
    if mode in DIVISORS:
        valid = pool(result, table, bags, mode, num_threads)
    else:
        winners = np.empty(shape, bags.indices.dtype)
        _take_extremes(result, winners, table, bags, mode, num_threads)
    if out is None or result is out:
        return result, winners, valid
    out[...] = result
    return out, winners, valid


def pool(
    out: np.ndarray, weight: np.ndarray, bags: Bags, mode: str, num_threads: int | None
) -> bool:
    """Write the pooled bags (B, D); rows of `out` and `weight` are contiguous.

    Return whether every index was in the table, if that has entries.
    The offsets may be a part of longer ones, which start anywhere.
    """
    indices, offsets, weights = bags
    dim, divisor = weight.shape[1], DIVISORS[mode]
    work = int(offsets[-1] - offsets[0]) * dim
    threads = thread_count(num_threads, work)
    written, table = cells(out), cells(weight)
    if work <= _PIECE:  # without the cost of slices
        return kernels.pool(written, table, indices, offsets, weights, divisor, threads)  # type: ignore[no-any-return]
    valid = True
    for b, ends, d in _pieces(offsets, dim):
        part = written[b, d], table[:, d], indices, offsets[ends], weights
        valid &= kernels.pool(*part, divisor, threads)
    return valid


def _take_extremes(
    out: np.ndarray,
    winners: np.ndarray,
    weight: np.ndarray,
    bags: Bags,
    mode: str,
    num_threads: int | None,
) -> None:
    """Write the largest or smallest numbers of each bag (B, D) and the rows they are from."""
    indices, offsets, _ = bags
    dim, direction = weight.shape[1], DIRECTIONS[mode]
    threads = thread_count(num_threads, len(indices) * dim)
    written, table = cells(out), cells(weight)
    for b, ends, d in _pieces(offsets, dim):
        part = written[b, d], winners[b, d], table[:, d], indices, offsets[ends]
        kernels.extreme(*part, direction, threads)


class Backward(NamedTuple):
    """What the gradients of a forward pass are made of."""

    grad: np.ndarray  # (B, D), of the pooled bags
    bags: Bags
    weight: np.ndarray
    winners: np.ndarray | None  # of the forward pass; None: computed again in the modes max and min
    mode: str
    padding_idx: int | None
    by_freq: bool
    num_threads: int | None

    def without_padding(self) -> "Backward":
        """Return the same without the lookups of the padding row, but with the winners."""
        bags, winners = without_padding(self.bags, self.padding_idx), self.winners
        if self.mode in DIRECTIONS and winners is None:
            _, winners, _ = forward(bags, self.weight, self.mode, None, self.num_threads)
        return self._replace(bags=bags, winners=winners, padding_idx=None)


def row_gradient(backward: Backward) -> RowGradient:
    """Return the gradient of the touched rows."""
    kept = backward.without_padding()
    with scratch_for(kept.bags) as scratch:
        rows, lookups = _transposed(kept, scratch)
        values = aligned_empty((len(rows), kept.grad.shape[1]), kept.grad.dtype)
        _pool_gradient(values, rows, lookups, kept.grad, kept.num_threads, kept.winners)
    return RowGradient(rows, values, kept.weight.shape)


def gradient_pieces(backward: Backward) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the gradient of the touched rows in pieces: rows, and values valid until the next.

    A piece stays in the cache: for a gradient that is used once, this is faster than to write all
    of it to memory and to read it again.
    """
    kept = backward.without_padding()
    grad, num_threads = kept.grad, kept.num_threads
    with scratch_for(kept.bags) as scratch:
        rows, (indices, offsets, weights) = _transposed(kept, scratch)
        dim = grad.shape[1]
        threads = thread_count(num_threads, len(indices) * dim)
        step = max(threads * _CACHED_BYTES // max(dim * grad.itemsize, 1), 1)
        buffer = aligned_empty((min(step, len(rows)), dim), grad.dtype)
        for start in range(0, len(rows), step):
            piece = rows[start : start + step]
            values = buffer[: len(piece)]
            part = Bags(indices, offsets[start : start + step + 1], weights)
            _pool_gradient(values, piece, part, grad, num_threads, kept.winners)
            yield piece, values


def can_scatter(backward: Backward) -> bool:
    """Return whether a lookup's share of the gradient is known without the other lookups."""
    return backward.mode in DIVISORS and not backward.by_freq


def scatter(
    total: np.ndarray, grad: np.ndarray, bags: Bags, mode: str, num_threads: int | None
) -> None:
    """Add the gradient of each bag, scaled, to the rows of its lookups.

    The offsets may be a part of longer ones, which start anywhere.
    """
    indices, offsets, weights = bags
    dim = grad.shape[1]
    work = int(offsets[-1] - offsets[0]) * dim
    # Threads share the columns, a cache line at least.
    threads = min(thread_count(num_threads, work), max(dim // _COLUMNS, 1))
    if work <= _PIECE:  # without the cost of slices
        kernels.scatter(total, grad, indices, offsets, weights, DIVISORS[mode], threads)
        return
    for b, ends, d in _pieces(offsets, dim):
        part = total[:, d], grad[b, d], indices, offsets[ends], weights
        kernels.scatter(*part, DIVISORS[mode], threads)


def _transposed(kept: Backward, scratch: Scratch) -> tuple[np.ndarray, Bags]:
    return transposed(
        kept.bags, len(kept.weight), kept.mode, kept.by_freq, scratch, kept.num_threads
    )


def _pool_gradient(
    values: np.ndarray,
    rows: np.ndarray,
    lookups: Bags,
    grad: np.ndarray,
    num_threads: int | None,
    winners: np.ndarray | None,
) -> None:
    """Write the gradients of touched rows: `grad` (B, D) pooled over the transposed bags."""
    if winners is None:
        pool(values, grad, lookups, "sum", num_threads)
        return
    indices, offsets, weights = lookups
    dim = grad.shape[1]
    threads = thread_count(num_threads, int(offsets[-1] - offsets[0]) * dim)
    for u, ends, d in _pieces(offsets, dim) if dim else ():
        part = values[u, d], grad[:, d], winners[:, d], rows[u], indices, offsets[ends], weights
        kernels.extreme_gradient(*part, threads)


def weights_gradient(backward: Backward) -> np.ndarray:
    """Return the gradient of the per-sample weights, in the order of the lookups; 0 at padding."""
    grad, bags, weight, _, mode, padding_idx, _, num_threads = backward
    kept = without_padding(bags, padding_idx)
    gradient = np.empty_like(kept.weights)
    dim = weight.shape[1]
    threads = thread_count(num_threads, len(kept.indices) * dim)
    table = cells(as_rows(weight))
    for start, stop in _bag_ranges(kept.offsets, dim):
        ends = kept.offsets[start : stop + 1]
        kernels.weights_gradient(
            gradient,
            grad[start:stop],
            table,
            kept.indices,
            ends,
            kept.weights,
            DIVISORS[mode],
            threads,
        )
    if padding_idx is None:
        return gradient
    spread = np.zeros_like(bags.weights)
    spread[bags.indices != padding_idx] = gradient
    return spread


def _bag_ranges(offsets: np.ndarray, dim: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bags that `_pieces` cuts, without a cut in a bag."""
    last = None
    for bags, _, _ in _pieces(offsets, max(dim, 1)):
        if bags != last:
            yield bags.start, bags.stop
        last = bags


def renorm(
    bags: Bags, weight: np.ndarray, max_norm: float, norm_type: float, num_threads: int | None
) -> None:
    """Scale down, in place, the looked-up rows whose norm is over `max_norm`."""
    with scratch_for(bags) as scratch:
        rows = touched_rows(bags, len(weight), scratch, num_threads)
    threads = thread_count(num_threads, len(rows) * weight.shape[1])
    if has_rows(weight):
        kernels.renorm(cells(weight), rows, max_norm, norm_type, threads)
    else:
        touched = as_rows(weight[rows])
        all_rows = np.arange(len(rows), dtype=rows.dtype)
        kernels.renorm(cells(touched), all_rows, max_norm, norm_type, threads)
        weight[rows] = touched
