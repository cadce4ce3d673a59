"""`SharedRows`: arrays for the lookups of a table in a batch, which threads share by its rows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._training.pairs import PairBags, Positives

Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Arrays = tuple[npt.NDArray[Any], ...]

# A part costs a microsecond more than its lookups, as long as some fifty of them.
_LEAST_OF_PART = 64  # lookups of a batch


class SharedRows:
    """The parts of a table's rows, and arrays of each thread for the lookups of one part.

    Parameters
    ----------
    table : ndarray of shape (N, C)
        The table.
    room : int
        Largest number of lookups of a batch.
    counts : ndarray of shape (N,)
        How often a batch looks each row up, about.
    threads : int
        Number of threads, each of which may have all lookups of a batch in its part. Most of that
        memory is never written, and takes none of the machine's.
    is_whole : bool
        Let there be one part: the norm of the whole gradient is needed before the steps.
    """

    def __init__(
        self,
        table: npt.NDArray[Any],
        room: int,
        counts: Doubles,
        threads: int,
        is_whole: bool,
    ) -> None:
        types = np.int64, np.int32, np.float32, np.int32, np.int64, np.int64, np.int32, np.float32
        self._lookups = tuple(
            aligned_empty((threads, room + 1), np.dtype(dtype)) for dtype in types
        )
        self._slots = aligned_zeros((len(table),), np.dtype(np.int32))
        num_parts = min(threads, int(counts.sum()) // _LEAST_OF_PART)
        self._bounds = bounds_of_parts(counts, 1 if is_whole or threads == 1 else num_parts)

    def __repr__(self) -> str:
        return f"SharedRows({self.num_parts} parts of {len(self._slots)} rows)"

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return len(self._bounds) - 1

    def arrays(self, threads: int) -> tuple[Arrays, Arrays]:
        """Return what the kernel takes for a call of some threads: one thread has one part."""
        bounds = self._bounds if threads > 1 else self._bounds[[0, -1]]
        numbers = (np.empty(len(bounds) - 1, np.int64) for _ in range(2))
        return self._lookups, (self._slots, bounds, *numbers)


def bounds_of_parts(counts: Doubles, num_parts: int) -> Longs:
    """Return the first row of each part, and the number of rows; parts have about equal counts."""
    num_parts = max(num_parts, 1)
    ends = np.cumsum(counts)
    inner = np.searchsorted(ends, ends[-1] * np.arange(1, num_parts) / num_parts, "right")
    return np.concatenate([[0], inner, [len(counts)]]).astype(np.int64)


def frequencies(
    bags: PairBags, positives: Positives, num_rows: tuple[int, int], batch: tuple[int, int]
) -> tuple[Doubles, Doubles]:
    """Return about how often a batch looks up each row of the users' and of the items' table.

    Parameters
    ----------
    bags : PairBags
        Bags.
    positives : Positives
        Positives.
    num_rows : tuple of two int
        Rows of both tables.
    batch : tuple of two int
        Pairs of a batch, and the other items that it compares with theirs.
    """
    num_pairs, num_others = batch
    share = num_pairs / positives.num_entries
    chances = np.minimum(np.diff(positives.offsets) * share, 1)  # that a batch has the user
    num_items = num_rows[1] if bags.items is None else bags.items.num_bags
    counts = np.bincount(positives.items, minlength=num_items)
    items: Doubles = np.asarray(counts * share + num_others / num_items, np.float64)
    if bags.items is not None:
        items = _of_rows(bags.items, items, num_rows[1])
    return _of_rows(bags.users, chances, num_rows[0]), items


def _of_rows(bags: Bags, of_bags: Doubles, num_rows: int) -> Doubles:
    """Return how often rows are looked up if each bag is so often."""
    of_lookups = np.repeat(of_bags, np.diff(bags.offsets))
    return np.asarray(np.bincount(bags.indices, of_lookups, num_rows), np.float64)
