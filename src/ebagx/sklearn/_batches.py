"""Mini-batches: shuffled bags, and the rows they touch with who looked them up."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._bags import Bags
from ebagx._transpose import scratch_for, transposed
from ebagx.sklearn._bags import bags_of

# Batches are gathered and transposed many at a time: calls cost as much as a small batch's work.
# Of the powers of two, the one whose sort still runs in a second-level cache.
_BLOCK_LOOKUPS = 1 << 16


class Batch(NamedTuple):
    """A mini-batch for the forward and the backward pass."""

    num_bags: int
    bags: Bags  # table rows per bag; a part of longer bags, whose offsets start anywhere
    rows: npt.NDArray[Any]  # (U,) the touched rows, ascending
    lookups: Bags  # bags (counted in the batch) per touched row; a part, as above


def batches(
    X: sparse.csr_array, order: npt.NDArray[np.intp], size: int, num_threads: int | None
) -> Iterator[Batch]:
    """Yield the rows of `X`, in this order, as batches of `size` bags."""
    lookups_per_batch = X.nnz / max(X.shape[0], 1) * size
    step = size * max(1, int(_BLOCK_LOOKUPS / max(lookups_per_batch, 1)))
    for start in range(0, len(order), step):
        yield from _block(X[order[start : start + step]], size, num_threads)


def _block(block: sparse.csr_array, size: int, num_threads: int | None) -> Iterator[Batch]:
    """Cut a block into batches, transposed by one sort: its keys are batch * N + row."""
    num_bags, num_rows = block.shape
    bags = bags_of(block)
    firsts = range(0, num_bags, size)
    bounds = bags.offsets[[*firsts, num_bags]]
    table_of_batch = np.arange(len(firsts) + 1, dtype=np.int64) * num_rows
    keys = bags.indices + np.repeat(table_of_batch[:-1], np.diff(bounds))
    keyed = Bags(keys, bags.offsets.astype(np.int64), bags.weights)
    # A block of several batches is too small to be worth waking threads for.
    num_threads = num_threads if len(firsts) == 1 else 1
    with scratch_for(keyed) as scratch:
        rows, (bag_numbers, starts, scales) = transposed(
            keyed, int(table_of_batch[-1]), "sum", False, scratch, num_threads
        )
        # Copies: the originals are in the scratch memory.
        lookups = Bags(bag_numbers % size, starts.copy(), scales.copy())
    touched = np.searchsorted(rows, table_of_batch)
    rows -= np.repeat(table_of_batch[:-1], np.diff(touched))
    indices, offsets, weights = bags
    numbers, starts, scales = lookups
    ends = touched.tolist()
    for first, u, end in zip(firsts, ends[:-1], ends[1:], strict=True):
        stop = min(first + size, num_bags)
        yield Batch(
            stop - first,
            Bags(indices, offsets[first : stop + 1], weights),
            rows[u:end],
            Bags(numbers, starts[u : end + 1], scales),
        )
