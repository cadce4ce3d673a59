"""Mini-batches: shuffled bags, and the rows that they touch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_zeros
from ebagx.sklearn.bags import bags_of

# Batches are gathered and numbered many at a time: calls cost as much as a small batch's work.
# What a block has of these lookups still fits a second-level cache.
_BLOCK_LOOKUPS = 1 << 16


class Batch(NamedTuple):
    """A mini-batch for the forward and the backward pass.

    Its bags come twice, with the rows of the table and with their numbers among the batch's rows:
    as both are parts of longer ones, their offsets start anywhere.
    """

    num_bags: int
    bags: Bags
    rows: npt.NDArray[Any]  # (U,) the touched rows, in the order in which they first occur
    numbers: Bags  # rows[numbers.indices] are those of bags.indices


def batches(X: sparse.csr_array, order: npt.NDArray[np.intp], size: int) -> Iterator[Batch]:
    """Yield the rows of `X`, in this order, as batches of `size` bags."""
    lookups_per_batch = X.nnz / max(X.shape[0], 1) * size
    step = size * max(1, int(_BLOCK_LOOKUPS / max(lookups_per_batch, 1)))
    # As long as the table, but only the places of touched rows are ever memory.
    slots, first = aligned_zeros((X.shape[1],), X.indices.dtype), 1
    for start in range(0, len(order), step):
        bags = bags_of(X[order[start : start + step]])
        rows, numbers = np.empty_like(bags.indices), np.empty_like(bags.indices)
        bounds = np.append(bags.offsets[:-1:size], bags.offsets[-1])
        ends = np.empty(len(bounds) - 1, np.int64)
        first = kernels.number_rows(rows, ends, numbers, slots, bags.indices, bounds, first)
        yield from _cut(bags, size, rows, numbers, ends.tolist())


def _cut(
    bags: Bags, size: int, rows: npt.NDArray[Any], numbers: npt.NDArray[Any], ends: list[int]
) -> Iterator[Batch]:
    """Cut a block into batches, whose rows end where `ends` says."""
    indices, offsets, weights = bags
    num_bags, first_row = bags.num_bags, 0
    for first, end in zip(range(0, num_bags, size), ends, strict=True):
        stop = min(first + size, num_bags)
        part = offsets[first : stop + 1]
        yield Batch(
            stop - first,
            Bags(indices, part, weights),
            rows[first_row:end],
            Bags(numbers, part, weights),
        )
        first_row = end
