"""Cut long work into pieces: Ctrl-C takes effect between two calls of a kernel, not in one."""

from collections.abc import Iterator

import numpy as np

# So many element additions take 0.1 seconds, or 0.3 where memory is the limit.
_PIECE = 1 << 28
# Columns of one bag are cut at cache lines of float.
COLUMNS = 16


def is_one_piece(work: int) -> bool:
    """Return whether `work` element additions are done in one piece."""
    return work <= _PIECE


def pieces(
    offsets: np.ndarray, dim: int, most: int | None = None, multiple: int = COLUMNS
) -> Iterator[tuple[slice, slice, slice]]:
    """Cut bags into ranges of at most `most` additions, and larger bags into columns.

    Yield the slices of bags, of their offsets and of columns. The numbers that are added for a
    column of a bag, and their order, do not depend on the cuts. By default a piece is one that
    Ctrl-C waits for. Columns are cut at a `multiple`, and so a piece may be larger.
    """
    start, num_bags = 0, len(offsets) - 1
    most = _PIECE if most is None else most
    if int(offsets[-1] - offsets[0]) * dim <= most:
        yield slice(0, num_bags), slice(0, num_bags + 1), slice(0, dim)
        return
    while start < num_bags:
        # `goal` gets the dtype of the offsets, or the search would convert them each time.
        goal = min(int(offsets[start]) + most // dim, int(offsets[-1]))
        end = int(np.searchsorted(offsets, offsets.dtype.type(goal), side="right")) - 1
        stop = min(max(end, start + 1), num_bags)
        lookups = int(offsets[stop] - offsets[start])
        step = dim if lookups * dim <= most else max(most // lookups, multiple)
        step = step // multiple * multiple or dim
        for column in range(0, dim, step):
            yield slice(start, stop), slice(start, stop + 1), slice(column, column + step)
        start = stop


def bag_ranges(offsets: np.ndarray, dim: int, most: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bags that `pieces` makes, without cuts inside a bag."""
    last = None
    for bags, _, _ in pieces(offsets, max(dim, 1), most):
        if bags != last:
            yield bags.start, bags.stop
        last = bags
