"""Pool bags from the memory of tensors, without arrays.

To make arrays of tensors and to check them in Python took two thirds of a call with one bag of ten.
As `ebagx._core.plain`, this way leaves to the kernel what can be checked there, and never raises:
what it cannot take goes the usual way, and so do errors. The results have the same bits.
"""

from typing import Any

import numpy as np

from ebagx._core.dtypes import kernel_view
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty
from ebagx._core.options import Options
from ebagx._core.pieces import is_one_piece
from ebagx._core.plain import FEW_BAGS, FEW_NUMBERS
from ebagx._core.threads import thread_count
from ebagx.torch.arguments import Settings, Tensors
from ebagx.torch.tensors import TABLE_DTYPES, as_tensor, memories_of

_INDEX_DTYPES: dict[int, Any] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}


# Pooled bags (B, D) as a tensor, and what gradients need: closed offsets (B + 1,) if they are kept,
# the shape of the table, and the options. A named tuple would take a twentieth of a call.
Pooled = tuple[Any, Any, tuple[int, ...], Options]


def pool_directly(tensors: Tensors, settings: Settings, is_kept: bool) -> Pooled | None:
    """Pool the bags, or return None if the call must go the usual way.

    Nothing has been checked before. `is_kept` says that gradients may be needed.
    """
    memories: Any = memories_of(tensors)
    if memories is None:
        return None
    table, indices, starts, weights = memories
    dtype = TABLE_DTYPES.get(tensors.weight.dtype)
    if dtype is None or table.ndim != 2:
        return None
    num_rows, dim = table.shape
    options = _plain_options(num_rows, settings)
    if options is None:
        return None
    is_closed = options.include_last_offset
    num_bags = len(indices) if starts is None else len(starts) - is_closed
    work, numbers = indices.nbytes // indices.itemsize * dim, num_bags * dim
    if numbers <= 0 or not is_one_piece(max(work, numbers)):
        return None
    allocate: Any = np.empty if numbers <= FEW_NUMBERS else aligned_empty
    out, ends = allocate((num_bags, dim), dtype), None
    if is_kept or num_bags > FEW_BAGS:
        ends = np.empty(num_bags + 1, _INDEX_DTYPES[indices.itemsize])
    written: Any = out if out.itemsize > 2 else kernel_view(out)
    read = table, indices, starts, weights, options.mode.divisor, is_closed
    threads = thread_count(options.num_threads, work)
    if not kernels.pool_plain(memoryview(written), ends, *read, threads):
        return None
    return as_tensor(out), ends, table.shape, options


def _plain_options(num_rows: int, settings: Settings) -> Options | None:
    """Return the options if the kernel ``pool_plain`` does all that they say."""
    try:
        options = settings.options(num_rows)
    except (TypeError, ValueError):
        return None
    return options if options.pools_plainly else None
