"""Shards are the logical parts of the data: their rows and columns depend on no worker."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._training.examples import Examples
from ebagx._training.network import Floats
from ebagx.dask._spare import Spare

Columns = npt.NDArray[np.int64]

# Columns are found by a mask of all columns if there are at most so many for each lookup.
_COLUMNS_PER_LOOKUP = 4


class Part(NamedTuple):
    """Examples that one task trains on, with the rows of the table that they touch."""

    columns: Columns  # (U,), ascending: the columns of X that occur
    examples: Examples  # whose indices are positions in `columns`
    uses: Floats  # (U,): number of lookups of each column
    order: npt.NDArray[np.intp] | None = None  # of training; None: it is drawn for each pass
    spare: Spare | None = None  # for the rows that are trained

    @property
    def num_bags(self) -> int:
        """Number of examples."""
        return self.examples.num_bags

    def __repr__(self) -> str:
        return f"Part({self.num_bags} bags, {len(self.columns)} columns)"


def part_of(examples: Examples, num_columns: int) -> Part:
    """Return examples in memory as a part: their columns, and their bags on those.

    This costs 8 ns a lookup. With one exchange in each pass, it is done once for each shard.
    """
    assert isinstance(examples.bags, Bags)
    columns, bags = on_own_columns(examples.bags, num_columns)
    uses = np.bincount(bags.indices, minlength=len(columns)).astype(np.float32)
    return Part(columns, examples._replace(bags=bags), uses, spare=Spare())


def on_own_columns(bags: Bags, num_columns: int) -> tuple[Columns, Bags]:
    """Return the columns that occur in bags, and the bags on positions among these."""
    if num_columns <= _COLUMNS_PER_LOOKUP * max(len(bags.indices), 1):
        columns, indices = _found_by_mask(bags.indices, num_columns)
    else:
        columns, indices = np.unique(bags.indices, return_inverse=True)
    narrow = bags._replace(indices=indices.astype(bags.indices.dtype, copy=False))
    return columns.astype(np.int64, copy=False), narrow


def _found_by_mask(
    indices: npt.NDArray[Any], num_columns: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the columns that occur, and for each index its position among them."""
    occurs = np.zeros(num_columns, bool)
    occurs[indices] = True
    columns = np.flatnonzero(occurs)
    positions = np.empty(num_columns, indices.dtype)
    positions[columns] = np.arange(len(columns), dtype=indices.dtype)
    return columns, positions[indices]


def order_of_pass(num_bags: int, seed: int, epoch: int, shard: int) -> npt.NDArray[np.intp]:
    """Return the order of a shard's examples in a pass, which is a function of the arguments."""
    return np.random.default_rng([seed, epoch, shard]).permutation(num_bags)


def sizes_of_parts(num_bags: int, num_parts: int) -> list[int]:
    """Return how many of a shard's examples each round of a pass takes."""
    return [num_bags // num_parts + (part < num_bags % num_parts) for part in range(num_parts)]


def sub(shard: Part, seed: int, epoch: int, number: int, part: int, num_parts: int) -> Part:
    """Return the part of a shard on which a round of a pass trains.

    Parameters
    ----------
    shard : Part
        The shard, with all its examples.
    seed, epoch, number : int
        The seed of the training, the pass and the number of the shard, which order the examples.
    part, num_parts : int
        The round in the pass, and the number of rounds in each.
    """
    order = order_of_pass(shard.num_bags, seed, epoch, number)
    if num_parts == 1:
        return shard._replace(order=order)
    rows = np.array_split(order, num_parts)[part]
    inner = part_of(shard.examples.take(rows), len(shard.columns))
    return inner._replace(
        columns=shard.columns[inner.columns], order=np.arange(len(rows)), spare=shard.spare
    )
