"""Rows of a table of any kind as float32, their lengths, and their directions."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import NO_WEIGHTS, Bags
from ebagx._core.modes import SUM
from ebagx._core.passes import forward
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table

# The inverse of these lengths, and scalar products of rows with unit vectors, are ordinary float32.
_LEAST_LENGTH, _LARGEST_LENGTH = np.float32(2.0**-126), np.float32(2.0**126)

_Floats = npt.NDArray[np.float32]


def take_rows(table: Table, rows: npt.NDArray[np.integer[Any]]) -> _Floats:
    """Return some rows, float32 (n, D); of codes, the sums of bags of one row each."""
    if not isinstance(table, CodeTable):
        taken: _Floats = table.array[rows].astype(np.float32)
        return taken
    offsets = np.arange(len(rows) + 1, dtype=np.int32)
    bags = Bags(np.ascontiguousarray(rows, np.int32), offsets, NO_WEIGHTS[table.sum_dtype])
    sums: _Floats = forward(bags, table, SUM, None, None)[0]
    return sums


def row_lengths(rows: npt.NDArray[Any]) -> _Floats:
    """Return the Euclidean length of each row."""
    # In float64, as squares of float32 may exceed float32.
    squares = np.einsum("nd,nd->n", rows, rows, dtype=np.float64, casting="unsafe")
    with np.errstate(over="ignore"):
        lengths: _Floats = np.sqrt(squares).astype(np.float32)
    return lengths


def are_extreme(lengths: _Floats) -> npt.NDArray[np.bool_]:
    """Return where a row must not be divided by its length in float32: use `unit_rows`."""
    is_usual = (lengths >= _LEAST_LENGTH) & (lengths <= _LARGEST_LENGTH)
    are_found: npt.NDArray[np.bool_] = ~is_usual & (lengths != 0)
    return are_found


def unit_rows(rows: _Floats) -> _Floats:
    """Return rows divided by their lengths, in float64; NaN for rows that are not finite."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    lengths[lengths == 0] = 1
    with np.errstate(invalid="ignore"):
        units: _Floats = (wide / lengths[:, None]).astype(np.float32)
    return units
