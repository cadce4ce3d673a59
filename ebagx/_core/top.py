"""The best items of users, by vectors or by scores, without the items that lists exclude.

Kernels go through users in blocks: memory beside the results grows as their number or that of the
items, never as the product.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.layout import as_contiguous
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty
from ebagx._core.threads import thread_count

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_TILE_ITEMS = 8  # of ranking/top_ops.h
_UNITS_PER_THREAD = 4
_PRODUCTS_AT_ONCE = 1 << 30  # between two calls, Ctrl-C takes effect: about a sixth of a second
_FEWEST_USERS = 128  # for whom the kernel copies an item once
_FEWEST_OF_UNIT = 16  # users: a copy of all items costs as much time as the scores of four
_LEAST_OF_LIST = 8  # items of a part for each place of its list
_DOUBLE = np.dtype(np.float64)


class Excluded(NamedTuple):
    """Lists of items, in CSR: those of user u are items[offsets[u] : offsets[u + 1]], ascending."""

    offsets: npt.NDArray[np.integer]  # (m + 1,)
    items: npt.NDArray[np.integer]  # of the dtype of the offsets

    def __repr__(self) -> str:
        return f"Excluded({len(self.items)} items of {len(self.offsets) - 1} users)"


class Lists(NamedTuple):
    """The best items of some users, best first."""

    ids: Ids  # (m, n), -1 in places for which no item is left
    scores: Doubles  # (m, n), -inf in these places

    def __repr__(self) -> str:
        return f"Lists({self.ids.shape[1]} items of {len(self.ids)} users)"


def nothing_excluded(num_users: int) -> Excluded:
    """Return empty lists for some users."""
    return Excluded(np.zeros(num_users + 1, np.int32), np.empty(0, np.int32))


def _empty_lists(num_users: int, n: int) -> Lists:
    return Lists(np.full((num_users, n), -1, np.int64), np.full((num_users, n), -np.inf))


def top_items(
    users: Floats,
    vectors: Floats,
    bias: Floats,
    n: int,
    excluded: Excluded,
    num_threads: int | None = None,
) -> Lists:
    """Return the n items with the largest scores for each user, users @ vectors.T + bias.

    Without a bias, scores are divided by the lengths of the items, and 0 for items of zeros.

    Products of float32 numbers are added in float64, in the order of the columns: the bits of a
    score depend on nothing else. Of items with equal scores, the lower id comes first.

    Parameters
    ----------
    users : ndarray of shape (m, D), float32
        Finite numbers.
    vectors : ndarray of shape (I, D), float32
        Finite numbers; each row is contiguous.
    bias : ndarray of shape (I,), float32
        Finite numbers; or an empty array.
    n : int
        Items a user, at least 1.
    excluded : Excluded
        Items that lists of the m users leave out.
    num_threads : int, optional
        Largest number of threads.

    Returns
    -------
    Lists
        Ids and scores, (m, n) each.

    Notes
    -----
    Cost: m I D additions. Memory beside the result: 8 D bytes for each user of a block.
    """
    lists = _empty_lists(len(users), n)
    per_user = max(vectors.size, 1)
    step = max(_PRODUCTS_AT_ONCE // per_user, _FEWEST_USERS)
    for first in range(0, len(users), step):
        block = slice(first, first + step)
        values = users[block].astype(_DOUBLE)
        of_block, without = _part(lists, block), _part_excluded(excluded, first, len(values))
        threads = thread_count(num_threads, len(values) * per_user)
        parts = _part_count(len(values), len(vectors), n, threads)
        units = parts if parts > 1 else _unit_count(len(values), threads)
        panels = aligned_empty((units, _TILE_ITEMS * users.shape[1]), _DOUBLE)
        if parts > 1:
            starts, offsets, ids = without
            of_parts = _empty_lists(parts * len(values), n)
            without = np.tile(starts, parts), offsets, ids
            kernels.top_items(of_parts, without, panels, values, (vectors, bias), threads)
            _merge(of_block, of_parts, parts)
        else:
            kernels.top_items(of_block, without, panels, values, (vectors, bias), threads)
    return lists


def top_scores(
    scores: Doubles, n: int, excluded: Excluded, num_threads: int | None = None
) -> Lists:
    """Return the same by scores that are given, (m, I), float64 without NaN.

    Items with the score -inf are left out. Cost: one read of the scores.
    """
    lists = _empty_lists(len(scores), n)
    threads = thread_count(num_threads, scores.size)
    kernels.top_scores(lists, _part_excluded(excluded, 0, len(scores)), scores, threads)
    return lists


def _part_count(num_users: int, num_items: int, n: int, threads: int) -> int:
    """Return the number of parts of the items that threads share; 1: they share users.

    Few users do not suffice for all threads. But each part has lists of its own, which are merged.
    """
    parts = threads * _UNITS_PER_THREAD
    is_few = num_users < threads * _FEWEST_OF_UNIT
    return parts if threads > 1 and is_few and parts * n * _LEAST_OF_LIST <= num_items else 1


def _merge(lists: tuple[Ids, Doubles], of_parts: Lists, parts: int) -> None:
    """Write the best items of the lists of all parts."""
    num_users, n = lists[0].shape
    ids, scores = (
        array.reshape(parts, num_users, n).swapaxes(0, 1).reshape(num_users, parts * n)
        for array in of_parts
    )
    order = np.lexsort((ids, -scores))[:, :n]
    for out, array in zip(lists, (ids, scores), strict=True):
        out[...] = np.take_along_axis(array, order, axis=1)


def _unit_count(num_users: int, threads: int) -> int:
    """Return the number of parts of users that threads share, which are not too small."""
    if threads == 1:
        return 1
    return min(-(-num_users // _FEWEST_OF_UNIT), threads * _UNITS_PER_THREAD)


def _part(lists: Lists, block: slice) -> tuple[Ids, Doubles]:
    return lists.ids[block], lists.scores[block]


def _part_excluded(
    excluded: Excluded, first: int, count: int
) -> tuple[Ids, npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Return what kernels take of the lists of some users: where each starts, and the lists."""
    offsets = as_contiguous(excluded.offsets[first : first + count + 1])
    return offsets[:-1].astype(np.int64), offsets, as_contiguous(excluded.items)
