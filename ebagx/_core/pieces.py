"""Long work cut into pieces, between which Ctrl-C takes effect: a kernel cannot be interrupted."""

from collections.abc import Iterator

import numpy as np

# Element additions that take a tenth of a second, or a third where memory is the limit.
_PIECE = 1 << 28
# Columns of one bag are cut at cache lines of float.
COLUMNS = 16


def is_one_piece(work: int) -> bool:
    """Return whether so many element additions are done in one piece."""
    return work <= _PIECE


def pieces(offsets: np.ndarray, dim: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut bags into ranges of at most `_PIECE` additions, and larger bags into columns.

    Yields the slices of bags, of the offsets around them and of columns. What a column of a bag
    adds, and in which order, does not depend on the cut.
    """
    start, num_bags = 0, len(offsets) - 1
    if is_one_piece(int(offsets[-1] - offsets[0]) * dim):
        yield slice(0, num_bags), slice(0, num_bags + 1), slice(0, dim)
        return
    while start < num_bags:
        # In the dtype of the offsets, which a search would else convert each time.
        goal = min(int(offsets[start]) + _PIECE // dim, int(offsets[-1]))
        end = int(np.searchsorted(offsets, offsets.dtype.type(goal), side="right")) - 1
        stop = min(max(end, start + 1), num_bags)
        lookups = int(offsets[stop] - offsets[start])
        step = dim if is_one_piece(lookups * dim) else max(_PIECE // lookups, COLUMNS)
        for column in range(0, dim, step // COLUMNS * COLUMNS or dim):
            columns = slice(column, column + (step // COLUMNS * COLUMNS or dim))
            yield slice(start, stop), slice(start, stop + 1), columns
        start = stop


def bag_ranges(offsets: np.ndarray, dim: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bags that `pieces` cuts, without a cut in a bag."""
    last = None
    for bags, _, _ in pieces(offsets, max(dim, 1)):
        if bags != last:
            yield bags.start, bags.stop
        last = bags
