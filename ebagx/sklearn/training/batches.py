"""Mini-batches: shuffled bags, and the rows of the table that they touch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_zeros
from ebagx.sklearn.bags import take

# Batches are gathered and numbered many at a time: the calls cost as much as the work of a small
# batch. The arrays of a block of so many lookups still fit a second-level cache.
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

    def __repr__(self) -> str:
        return f"Batch({self.num_bags} bags, {len(self.rows)} rows)"


def batches(bags: Bags, num_rows: int, order: npt.NDArray[np.intp], size: int) -> Iterator[Batch]:
    """Yield bags over a table of `num_rows` rows, in this order, as batches of `size` bags."""
    lookups_per_batch = len(bags.indices) / max(bags.num_bags, 1) * size
    step = size * max(1, int(_BLOCK_LOOKUPS / max(lookups_per_batch, 1)))
    # This array is as long as the table, but only the places of touched rows become memory.
    slots, first = aligned_zeros((num_rows,), bags.indices.dtype), 1
    for start in range(0, len(order), step):
        block = take(bags, order[start : start + step])
        rows, numbers = np.empty_like(block.indices), np.empty_like(block.indices)
        bounds = np.append(block.offsets[:-1:size], block.offsets[-1])
        ends = np.empty(len(bounds) - 1, np.int64)
        first = kernels.number_rows(rows, ends, numbers, slots, block.indices, bounds, first)
        yield from _cut(block, size, rows, numbers, ends.tolist())


def _cut(
    block: Bags, size: int, rows: npt.NDArray[Any], numbers: npt.NDArray[Any], ends: list[int]
) -> Iterator[Batch]:
    """Cut a block into batches; `ends` are the ends of their rows."""
    indices, offsets, weights = block
    num_bags, first_row = block.num_bags, 0
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
