"""Pool calls of plain arrays in one kernel, which checks them, too.

Python's checks and the kernels that they call take ten times as long as to pool one bag of ten, and
a twentieth as long as to pool a thousand. So calls with the arguments that most callers give go
another way: here Python looks at their types alone, and the kernel ``pool_plain`` at everything
else. This way never raises. What it cannot take goes the usual way, and so do errors, whose reason
is found there. The results have the same bits.
"""

from typing import Any

import numpy as np
import scipy.sparse

from ebagx._core.bags import NO_WEIGHTS, Bags
from ebagx._core.dtypes import is_index_dtype
from ebagx._core.forms.lists import join_integers
from ebagx._core.memory import SMALL_BYTES, aligned_empty
from ebagx._core.options import Options
from ebagx._core.pieces import is_one_piece
from ebagx._core.table import Table
from ebagx._core.threads import is_shared, thread_count

# Outputs of so many numbers, of any dtype, need not be aligned.
FEW_NUMBERS = SMALL_BYTES // 8
FEW_BAGS = 63  # for which the kernel needs no array of closed offsets
_CSR = (scipy.sparse.csr_array, scipy.sparse.csr_matrix)


# Indices, offsets or None, weights or None, and whether the offsets have the last one. Nothing but
# the types of indices and offsets has been checked. A named tuple would take a tenth of a call.
PlainBags = tuple[np.ndarray, np.ndarray | None, Any, bool]


def plain_bags(
    input: Any, offsets: Any, weights: Any, table: Table, options: Options
) -> PlainBags | None:
    """Return the bags of a call in the forms of input that `pool_plainly` takes; else None."""
    if not (options.pools_plainly and table.is_plain):
        return None
    if type(input) is np.ndarray:
        if offsets is None or type(offsets) is np.ndarray:
            return input, offsets, weights, options.include_last_offset
    elif offsets is not None or weights is not None:
        return None
    elif type(input) is list and len(input) <= FEW_NUMBERS:
        joined = join_integers(input, FEW_NUMBERS)
        return None if joined is None else (*joined, None, True)
    elif type(input) in _CSR:
        return _bags_of_csr(input, table)
    return None


def _bags_of_csr(matrix: Any, table: Table) -> PlainBags | None:
    shape, ends, indices = matrix.shape, matrix.indptr, matrix.indices
    is_plain = type(ends) is np.ndarray and type(indices) is np.ndarray
    if is_plain and len(shape) == 2 and (ends.size - 1, table.num_rows) == shape:
        return indices, ends, matrix.data, True
    return None


def pool_plainly(
    bags: PlainBags, table: Table, options: Options, is_kept: bool = False
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Return the pooled bags (B, D), and closed offsets if there are many or the call is kept.

    None if the call must go the usual way.
    """
    indices, offsets, weights, is_closed = bags
    dim, dtype = table.dim, table.dtype
    if offsets is None:
        num_bags = len(indices) if indices.ndim == 2 else 0
    else:
        num_bags = offsets.size - is_closed
    work, numbers, threads = indices.size * dim, num_bags * dim, 1
    if numbers <= 0:
        return None
    if numbers <= FEW_NUMBERS and not is_shared(work):
        out = np.empty((num_bags, dim), dtype)
    # In one piece there are so few bags that int32 has their numbers. The kernel finds wrong
    # dtypes, too, but after a large output has been allocated, which took 7 % of the call.
    elif is_one_piece(max(work, numbers)) and _have_dtypes(indices, weights, table):
        out = aligned_empty((num_bags, dim), dtype)
        threads = thread_count(options.num_threads, work)
    else:
        return None
    ends = np.empty(num_bags + 1, indices.dtype) if is_kept or num_bags > FEW_BAGS else None
    divisor = options.mode.divisor
    if table.pool_plain(out, ends, indices, offsets, weights, divisor, is_closed, threads):
        return out, ends
    return None


def _have_dtypes(indices: np.ndarray, weights: Any, table: Table) -> bool:
    """Return whether indices and weights have the dtypes that `pool_plain` takes."""
    has_weights = weights is None or (
        type(weights) is np.ndarray and weights.dtype == table.sum_dtype
    )
    return has_weights and is_index_dtype(indices.dtype)


def checked_bags(bags: PlainBags, ends: Any, table: Table) -> Bags:
    """Return bags that `pool_plainly` has pooled, in the layout that kernels take."""
    indices, _, weights, _ = bags
    flat_weights = NO_WEIGHTS[table.sum_dtype] if weights is None else weights.reshape(-1)
    return Bags(indices.reshape(-1), ends, flat_weights)
