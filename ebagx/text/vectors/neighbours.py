"""The words whose vectors have the largest cosine to some vector."""

import numpy as np
import numpy.typing as npt

from ebagx._core.modes import MODES
from ebagx._core.pieces import bag_ranges
from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.text.vectors.table_rows import are_extreme, take_rows, unit_rows

_ROWS_PER_BAG = 256  # which one thread takes
_ROWS_AT_ONCE = 1 << 12  # of those that are scaled first
_FIRST_BIT = np.uint32(1 << 31)

_Floats = npt.NDArray[np.float32]


def products(table: Table, vector: _Floats, num_threads: int | None = None) -> _Floats:
    """Return the scalar product of each row with a vector, (N,), on all cores.

    They are those of the gradient of weights: one order of additions, so the same bits for every
    number of threads. BLAS promises no such order. Cost: one read of the table.
    """
    count = table.num_rows
    out = np.empty(count, np.float32)
    rows = np.arange(count, dtype=np.int32)
    n_bags = -(-count // _ROWS_PER_BAG)
    offsets = np.minimum(np.arange(n_bags + 1) * _ROWS_PER_BAG, count).astype(np.int32)
    grads, ones = np.broadcast_to(vector, (n_bags, table.dim)), np.ones(count, np.float32)
    threads = thread_count(num_threads, count * table.dim)
    for start, stop in bag_ranges(offsets, table.dim):
        ends = offsets[start : stop + 1]
        table.differentiate_weights(
            out, grads[start:stop], rows, ends, ones, MODES["sum"].divisor, threads
        )
    return out


def cosines(table: Table, lengths: _Floats, unit: _Floats) -> _Floats:
    """Return the cosine of each row, which has the given length, to a unit vector, (N,).

    It is 0 for a length of 0, and NaN for rows that are not finite.
    """
    found = products(table, unit)
    with np.errstate(over="ignore", invalid="ignore"):  # of rows that are extreme
        np.divide(found, lengths, out=found, where=lengths > 0)
    extreme = np.flatnonzero(are_extreme(lengths))
    for start in range(0, len(extreme), _ROWS_AT_ONCE):
        some = extreme[start : start + _ROWS_AT_ONCE]
        found[some] = products(Table(unit_rows(take_rows(table, some))), unit)
    return found


def largest(values: _Floats, k: int) -> npt.NDArray[np.intp]:
    """Return the positions of the `k` largest values, largest first; of equals the lower first.

    Cost: O(N + k log k).
    """
    bits = (values + np.float32(0)).view(np.uint32)  # 0 and -0 are equal
    ascending = np.where(bits & _FIRST_BIT, ~bits, bits | _FIRST_BIT)
    # A key has the inverted order of a value and below it its position, so that no keys are equal.
    keys = (~ascending).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(values), dtype=np.uint64)
    if k < len(keys):
        keys.partition(k)
        keys = keys[:k]
    keys.sort()
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)
