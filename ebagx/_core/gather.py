"""Give rows of any memory layout to kernels, which take contiguous rows of aligned cells.

Rows in Fortran order, with reversed or repeated columns or with misaligned cells are copied to a
buffer in the order of the lookups, so that lookup k reads row k of the buffer; of rows of codes,
the values are computed. The cost of a call is that of its n lookups, n * D, and not that of the
table. At most `BUFFER_BYTES` are copied at a time, or one column of a bag that is larger: kernels
add the lookups of a column in bag order, and so no bit of a result depends on the cuts.

A call with more than half as many lookups as the table has rows copies some columns of all rows
instead, each number once.

The functions take the arguments of the kernels of the same names. They rely on NumPy's checks if
another thread changes the indices during a call.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ebagx._core.dtypes import kernel_view
from ebagx._core.levels import kernels
from ebagx._core.modes import SUM
from ebagx._core.pieces import bag_ranges, pieces
from ebagx._core.quantized.packed import PackedRows

Rows = np.ndarray | PackedRows

BUFFER_BYTES = 1 << 20  # half of the second cache of a core
BLOCK_BYTES = 1 << 25  # of all rows, in some columns


class _Part(NamedTuple):
    """Some bags, or some columns of one bag, and the rows of their lookups."""

    bags: slice
    columns: slice
    lookups: slice
    rows: np.ndarray  # (n, d), as kernels take them
    numbers: np.ndarray  # (n,), 0 to n - 1: the indices in `rows`
    offsets: np.ndarray  # (b + 1,), from 0


def _gathered(table: Rows, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return contiguous rows of a table, as kernels take them, and their numbers."""
    rows = np.ascontiguousarray(table[indices])
    return kernel_view(rows), np.arange(len(rows), dtype=indices.dtype)


def _lookups(offsets: np.ndarray) -> tuple[slice, np.ndarray]:
    """Return the lookups of some bags, and offsets in them, which start at 0."""
    first = offsets[0]
    return slice(int(first), int(offsets[-1])), offsets - first


def _parts(table: Rows, indices: np.ndarray, offsets: np.ndarray) -> Iterator[_Part]:
    most = BUFFER_BYTES // table.itemsize
    for bags, ends, columns in pieces(offsets, table.shape[1], most, multiple=1):
        lookups, own_offsets = _lookups(offsets[ends])
        rows, numbers = _gathered(table[:, columns], indices[lookups])
        yield _Part(bags, columns, lookups, rows, numbers, own_offsets)


def _prefers_blocks(table: Rows, offsets: np.ndarray) -> bool:
    return 2 * int(offsets[-1] - offsets[0]) > len(table)


def _blocks(table: Rows) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield ranges of columns, and these of all rows, as kernels take them."""
    num_rows, dim = table.shape
    step = max(BLOCK_BYTES // (num_rows * table.itemsize), 1)
    for start in range(0, dim, step):
        columns = slice(start, start + step)
        yield columns, kernel_view(np.require(table[:, columns], requirements=("C", "A")))


def pool(
    out: np.ndarray,
    table: Rows,
    indices: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    divisor: int,
    num_threads: int,
) -> bool:
    """Write the weighted sum of each bag's rows; return whether all indices are valid."""
    looked_up = indices[int(offsets[0]) : int(offsets[-1])]
    if not kernels.indices_valid(looked_up, len(table), num_threads):
        return False
    if _prefers_blocks(table, offsets):
        for d, rows in _blocks(table):
            kernels.pool(out[:, d], rows, indices, offsets, weights, divisor, num_threads)
        return True
    for part in _parts(table, indices, offsets):
        written, of_part = out[part.bags, part.columns], weights[part.lookups]
        kernels.pool(written, part.rows, part.numbers, part.offsets, of_part, divisor, num_threads)
    return True


def extreme(
    out: np.ndarray,
    winners: np.ndarray,
    table: Rows,
    indices: np.ndarray,
    offsets: np.ndarray,
    direction: int,
    num_threads: int,
) -> None:
    """Write the extreme of each column of each bag's rows, and its row; -1 in empty bags."""
    if _prefers_blocks(table, offsets):
        for d, rows in _blocks(table):
            part_out = out[:, d], winners[:, d]
            kernels.extreme(*part_out, rows, indices, offsets, direction, num_threads)
        return
    for part in _parts(table, indices, offsets):
        written, won = out[part.bags, part.columns], winners[part.bags, part.columns]
        kernels.extreme(written, won, part.rows, part.numbers, part.offsets, direction, num_threads)
        if len(part.numbers):
            np.copyto(won, indices[part.lookups][won], where=won >= 0)


def weights_gradient(
    out: np.ndarray,
    grad: np.ndarray,
    table: Rows,
    indices: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    divisor: int,
    num_threads: int,
) -> None:
    """Write the gradient of each lookup's weight: `grad` (B, D) times its row, and the mode's."""
    dim, most = table.shape[1], BUFFER_BYTES // table.itemsize
    for start, stop in bag_ranges(offsets, dim, most):
        lookups, ends = _lookups(offsets[start : stop + 1])
        part = out[lookups], grad[start:stop], table, indices[lookups], ends, weights[lookups]
        if len(part[0]) * dim <= most:
            _of_few(*part, divisor, num_threads)
        else:
            _of_giant(*part, divisor, num_threads)


def _of_few(
    out: np.ndarray,
    grad: np.ndarray,
    table: Rows,
    indices: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    divisor: int,
    num_threads: int,
) -> None:
    rows, numbers = _gathered(table, indices)
    kernels.weights_gradient(out, grad, rows, numbers, offsets, weights, divisor, num_threads)


def _of_giant(
    out: np.ndarray,
    grad: np.ndarray,
    table: Rows,
    indices: np.ndarray,
    offsets: np.ndarray,
    weights: np.ndarray,
    divisor: int,
    num_threads: int,
) -> None:
    """Write the gradient of the weights of one bag, whose rows are too many for the buffer."""
    # The product of the gradient and a row, the gradient of a sum, depends on no other lookup.
    step = max(BUFFER_BYTES // (table.shape[1] * table.itemsize), 1)
    for k in range(0, len(indices), step):
        few = slice(k, k + step)
        ends = np.array([0, len(indices[few])], offsets.dtype)
        part = out[few], grad, table, indices[few], ends, weights[few]
        _of_few(*part, SUM.divisor, num_threads)
    if divisor != SUM.divisor:
        # The mode's formula takes these products from a table with one column.
        products, one = out[:, np.newaxis].copy(), np.ones((1, 1), out.dtype)
        numbers = np.arange(len(out), dtype=indices.dtype)
        _of_few(out, one, products, numbers, offsets, weights, divisor, num_threads)


def row_pieces(table: np.ndarray, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of `rows` that fit in the buffer, and the rows themselves."""
    step = max(BUFFER_BYTES // max(table.shape[1] * table.itemsize, 1), 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, rows[part]


def renorm(
    table: np.ndarray, touched: np.ndarray, max_norm: float, norm_type: float, num_threads: int
) -> None:
    """Scale down, in place, the touched rows whose norm is over `max_norm`."""
    for _, some in row_pieces(table, touched):
        rows = np.ascontiguousarray(table[some])
        numbers = np.arange(len(some), dtype=some.dtype)
        kernels.renorm(kernel_view(rows), numbers, max_norm, norm_type, num_threads)
        table[some] = rows


def step_rows(
    table: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    scales: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    constants: np.ndarray,
    rule: int,
    num_threads: int,
) -> None:
    """Take one step of an optimizer on the rows of a gradient; states may be empty."""
    arrays = table, first, second
    for part, some in row_pieces(table, rows):
        new = [np.ascontiguousarray(array[some]) if array.size else array for array in arrays]
        numbers = np.arange(len(some), dtype=some.dtype)
        gradient = scales[part], numbers, values[part], constants
        kernels.step_rows(kernel_view(new[0]), new[1], new[2], *gradient, rule, num_threads)
        for array, changed in zip(arrays, new, strict=True):
            if array.size:
                array[some] = changed
