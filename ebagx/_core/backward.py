"""Compute the gradients of the touched rows and of the weights, from checked bags.

The gradient of a table is computed on one of three routes, which give the same bits:

* `row_gradient` transposes the bags: the gradient of a touched row is the weighted sum of the rows
  of `grad_output` whose bags hold it, and the forward kernel ``pool`` takes this sum;
* `gradient_pieces` yields the same in pieces, for an optimizer that uses each piece once;
* `scatter` adds lookup by lookup to a dense array, without a sort (`can_scatter`).

The estimators' training has a kernel of its own, ``train_batches``, which adds the lookups of a row
in the same order.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ebagx._core.bags import Bags, are_kept, select_lookups
from ebagx._core.levels import kernels
from ebagx._core.maps import ROWS_AT_ONCE, Use
from ebagx._core.memory import Scratch, aligned_empty
from ebagx._core.modes import IN_ORDER, Mode
from ebagx._core.options import Options
from ebagx._core.passes import forward, pool
from ebagx._core.pieces import COLUMNS, bag_ranges, is_one_piece, pieces
from ebagx._core.table import Table
from ebagx._core.threads import is_shared, thread_count
from ebagx._core.transpose import scratch_for, transposed, transposed_few

# Pieces of this size stay in the cache of a core; smaller ones cost more in calls.
_CACHED_BYTES = 1 << 20


class Backward(NamedTuple):
    """The inputs of the gradients of one forward pass."""

    grad: np.ndarray  # (B, D), with respect to the pooled bags
    bags: Bags
    table: Table
    winners: np.ndarray | None  # (B, D); None in max and min: computed again
    options: Options

    def selected(self) -> "Backward":
        """Return the same with the lookups that take a gradient alone, and with `winners`."""
        options, bags, winners = self.options, self.bags, self.winners
        if options.pools_plainly:  # as it mostly is
            return self
        if options.selects:
            # The padding row takes no gradient where it fills an empty bag, either.
            default = options.default_row if options.default_row != options.padding_idx else None
            bags, _ = select_lookups(bags, self.table.num_rows, options.padding_idx, default)
            options = options._replace(selects=False)
        if options.mode.is_extreme and winners is None:
            _, winners = forward(bags, self.table, options.mode, None, options.num_threads)
        return self._replace(bags=bags, winners=winners, options=options)


def row_gradient(backward: Backward) -> tuple[np.ndarray, np.ndarray]:
    """Return the touched rows (U,) and their gradients (U, D)."""
    kept = backward.selected()
    if (few := _few_rows(kept)) is not None:
        return few
    with scratch_for(kept.bags) as scratch:
        rows, lookups = _transposed(kept, scratch)
        values = aligned_empty((len(rows), kept.grad.shape[1]), kept.grad.dtype)
        _pool_gradient(values, rows, lookups, kept)
    return rows, values


def gradient_pieces(backward: Backward) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Return the gradient of the touched rows in pieces: rows, and values valid until the next.

    A piece stays in the cache: for a gradient that is used once, this is faster than writing all
    of it to memory and reading it back.
    """
    kept = backward.selected()
    few = _few_rows(kept)
    return _cached_pieces(kept) if few is None else (few,)


def _cached_pieces(kept: Backward) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    grad = kept.grad
    with scratch_for(kept.bags) as scratch:
        rows, (indices, offsets, weights) = _transposed(kept, scratch)
        dim = grad.shape[1]
        threads = thread_count(kept.options.num_threads, len(indices) * dim)
        step = max(threads * _CACHED_BYTES // max(dim * grad.itemsize, 1), 1)
        buffer = aligned_empty((min(step, len(rows)), dim), grad.dtype)
        for start in range(0, len(rows), step):
            piece = rows[start : start + step]
            values = buffer[: len(piece)]
            part = Bags(indices, offsets[start : start + step + 1], weights)
            _pool_gradient(values, piece, part, kept)
            yield piece, values


def _few_rows(kept: Backward) -> tuple[np.ndarray, np.ndarray] | None:
    if kept.winners is not None or kept.options.scale_grad_by_freq:
        return None
    return few_rows(kept.grad, kept.bags, kept.table.num_rows, kept.options.mode)


def few_rows(
    grad: np.ndarray, bags: Bags, num_rows: int, mode: Mode
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what `row_gradient` does for few lookups, in a fifth of the time; None for many.

    The modes are those that are sums.
    """
    dim = grad.shape[1]
    if is_shared(len(bags.indices) * dim):
        return None
    transposed = transposed_few(bags, num_rows, mode)
    if transposed is None:
        return None
    rows, lookups = transposed
    values = aligned_empty((len(rows), dim), grad.dtype)
    kernels.pool(values, grad, *lookups, IN_ORDER.divisor, 1)
    return rows, values


def can_scatter(backward: Backward) -> bool:
    """Return whether a lookup's part of the gradient does not depend on other lookups."""
    return not (backward.options.mode.is_extreme or backward.options.scale_grad_by_freq)


def scatter(
    total: np.ndarray, grad: np.ndarray, bags: Bags, mode: Mode, num_threads: int | None
) -> None:
    """Add the gradient of each bag, scaled, to the rows of its lookups.

    The offsets may be a slice of longer ones, and so need not start at 0.
    """
    indices, offsets, weights = bags
    dim = grad.shape[1]
    work = int(offsets[-1] - offsets[0]) * dim
    # Each thread takes some columns, at least a cache line of them.
    threads = min(thread_count(num_threads, work), max(dim // COLUMNS, 1))
    if is_one_piece(work):  # slices would cost more than the work
        kernels.scatter(total, grad, indices, offsets, weights, mode.divisor, threads)
        return
    for b, ends, d in pieces(offsets, dim):
        part = total[:, d], grad[b, d], indices, offsets[ends], weights
        kernels.scatter(*part, mode.divisor, threads)


def _transposed(kept: Backward, scratch: Scratch) -> tuple[np.ndarray, Bags]:
    mode, by_freq, num_threads = (
        kept.options.mode,
        kept.options.scale_grad_by_freq,
        kept.options.num_threads,
    )
    return transposed(kept.bags, kept.table.num_rows, mode, by_freq, scratch, num_threads)


def _pool_gradient(values: np.ndarray, rows: np.ndarray, lookups: Bags, kept: Backward) -> None:
    """Write the gradients of touched rows: `grad` (B, D) pooled over the transposed bags."""
    grad, winners, num_threads = kept.grad, kept.winners, kept.options.num_threads
    if winners is None:
        pool(values, Table(grad, "grad_output"), lookups, IN_ORDER, num_threads)
        return
    indices, offsets, weights = lookups
    dim = grad.shape[1]
    threads = thread_count(num_threads, int(offsets[-1] - offsets[0]) * dim)
    for u, ends, d in pieces(offsets, dim) if dim else ():
        part = values[u, d], grad[:, d], winners[:, d], rows[u], indices, offsets[ends], weights
        kernels.extreme_gradient(*part, threads)


def weights_gradient(backward: Backward) -> np.ndarray:
    """Return the gradient of the per-sample weights, in the order of the lookups.

    It is 0 at lookups that are left out. A lookup of `default_row` has no weight of the caller.
    """
    grad, bags, table, _, options = backward
    mode, padding_idx, num_threads = options.mode, options.padding_idx, options.num_threads
    kept = bags
    if options.selects:
        kept, _ = select_lookups(bags, table.num_rows, padding_idx)
    gradient = np.empty_like(kept.weights)
    threads = thread_count(num_threads, len(kept.indices) * table.dim)
    most = None if table.map_advice is None else ROWS_AT_ONCE * table.dim
    for start, stop in bag_ranges(kept.offsets, table.dim, most):
        ends = kept.offsets[start : stop + 1]
        table.will_need(kept.indices[ends[0] : ends[-1]], Use.DIFFERENTIATE)
        part = gradient, grad[start:stop], kept.indices, ends, kept.weights
        table.differentiate_weights(*part, mode.divisor, threads)
    if not options.selects:
        return gradient
    spread = np.zeros_like(bags.weights)
    spread[are_kept(bags, table.num_rows, padding_idx)] = gradient
    return spread
