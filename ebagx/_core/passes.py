"""Run the forward pass on checked bags: allocate, choose the kernel, call it in pieces."""

import numpy as np

from ebagx._core.bags import Bags, raise_bad_source
from ebagx._core.dtypes import kernel_view
from ebagx._core.forms.source import Source
from ebagx._core.layout import rows_are_contiguous
from ebagx._core.maps import ROWS_AT_ONCE, Use
from ebagx._core.memory import aligned_empty
from ebagx._core.modes import Mode
from ebagx._core.options import Options
from ebagx._core.pieces import bag_ranges, is_one_piece, pieces
from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx._core.transpose import scratch_for, touched_rows


def forward(
    bags: Bags,
    table: Table,
    mode: Mode,
    out: np.ndarray | None,
    num_threads: int | None,
    source: Source | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the pooled bags (B, D) and, in max and min, the row (B, D) of each result.

    Indices must have been checked in the modes max and min, for tables without entries, and
    without `source`, by which an IndexError names the index.
    """
    shape = (bags.num_bags, table.dim)
    if out is None or not rows_are_contiguous(out):
        result = aligned_empty(shape, table.dtype)
    else:
        result = out
    winners = np.empty(shape, bags.indices.dtype) if mode.is_extreme else None
    if table.map_advice is None:
        valid = _fill(result, winners, table, bags, mode, num_threads)
    else:
        valid = _fill_from_map(result, winners, table, bags, mode, num_threads)
    if not valid and source is not None:
        raise_bad_source(source, table.num_rows)
    if out is None or out is result:
        return result, winners
    out[...] = result
    return out, winners


def _fill(
    out: np.ndarray,
    winners: np.ndarray | None,
    table: Table,
    bags: Bags,
    mode: Mode,
    num_threads: int | None,
) -> bool:
    """Write the pooled bags, in max and min with their rows; return whether indices are valid."""
    if winners is None:
        return pool(out, table, bags, mode, num_threads)
    _take_extremes(out, winners, table, bags, mode, num_threads)
    return True


def _fill_from_map(
    out: np.ndarray,
    winners: np.ndarray | None,
    table: Table,
    bags: Bags,
    mode: Mode,
    num_threads: int | None,
) -> bool:
    """Do what `_fill` does in parts: the pages of each are read while the one before is pooled."""
    indices, offsets, weights = bags
    valid, previous = True, None
    for start, stop in [*bag_ranges(offsets, 1, ROWS_AT_ONCE), (bags.num_bags, bags.num_bags)]:
        ends = offsets[start : stop + 1]
        if start < stop:
            table.will_need(indices[ends[0] : ends[-1]], Use.POOL)
        if previous is not None:
            b, part = previous
            of_part = None if winners is None else winners[b]
            valid &= _fill(out[b], of_part, table, part, mode, num_threads)
        previous = slice(start, stop), Bags(indices, ends, weights)
    return valid


def pool(out: np.ndarray, table: Table, bags: Bags, mode: Mode, num_threads: int | None) -> bool:
    """Write the pooled bags (B, D) to an array with contiguous rows.

    Return whether every index was in the table, if the table has entries. The offsets may be a
    slice of longer ones, and so need not start at 0.
    """
    indices, offsets, weights = bags
    dim, divisor = table.dim, mode.divisor
    work = int(offsets[-1] - offsets[0]) * dim
    threads = thread_count(num_threads, work)
    written = kernel_view(out)
    if is_one_piece(work):  # slices would cost more than the work
        return table.pool(written, indices, offsets, weights, divisor, threads)
    valid = True
    for b, ends, d in pieces(offsets, dim):
        part = written[b, d], indices, offsets[ends], weights
        valid &= table.pool(*part, divisor, threads, d)
    return valid


def _take_extremes(
    out: np.ndarray,
    winners: np.ndarray,
    table: Table,
    bags: Bags,
    mode: Mode,
    num_threads: int | None,
) -> None:
    """Write the largest or smallest number of each column (B, D), and its row (B, D)."""
    indices, offsets, _ = bags
    dim, direction = table.dim, mode.direction
    threads = thread_count(num_threads, len(indices) * dim)
    written = kernel_view(out)
    for b, ends, d in pieces(offsets, dim):
        part = written[b, d], winners[b, d], indices, offsets[ends]
        table.take_extremes(*part, direction, threads, d)


def renorm(kept: Bags, bags: Bags, table: Table, options: Options) -> None:
    """Scale down, in place, the rows in bags whose norm is over `max_norm`.

    `kept` are the bags as they are pooled. The padding row is scaled too, if it is in `bags`.
    """
    max_norm, padding_idx, num_threads = options.max_norm, options.padding_idx, options.num_threads
    assert max_norm is not None
    with scratch_for(kept) as scratch:
        rows = touched_rows(kept, table.num_rows, scratch, num_threads)
    if padding_idx is not None and np.any(bags.indices == padding_idx):
        rows = np.union1d(rows, rows.dtype.type(padding_idx))
    threads = thread_count(num_threads, len(rows) * table.dim)
    step = len(rows) if table.map_advice is None else ROWS_AT_ONCE
    for start in range(0, len(rows), max(step, 1)):
        part = rows[start : start + step]
        table.will_need(part, Use.RENORM)
        table.renorm(part, max_norm, options.norm_type, threads)
