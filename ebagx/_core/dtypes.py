"""The dtypes of tables and of indices have one row each here, which all other code reads."""

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np


class CellType(NamedTuple):
    """A dtype that the cells of a table may have.

    `code` is its number in the compiled kernels (``common/arrays.pxi``).
    """

    name: str
    code: int
    sum_dtype: np.dtype[Any]  # dtype of sums over rows, and of gradients
    view_dtype: np.dtype[Any] | None  # dtype in which kernels take the bits; None: the same

    def kernel_view(self, array: np.ndarray) -> np.ndarray:
        """Return an array of such cells as kernels take it: 16-bit floats as integers."""
        return array if self.view_dtype is None else array.view(self.view_dtype)


_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)

CELL_TYPES = (
    CellType("float16", 2, _FLOAT32, np.dtype(np.uint16)),
    CellType("bfloat16", 3, _FLOAT32, np.dtype(np.int16)),  # from the package ml_dtypes
    CellType("float32", 0, _FLOAT32, None),
    CellType("float64", 1, _FLOAT64, None),
)
# Kernels take indices in these dtypes, and have these numbers for them.
INDEX_TYPES = {np.dtype(np.int32): 4, np.dtype(np.int64): 5}

SUM_DTYPES = tuple(dict.fromkeys(cell.sum_dtype for cell in CELL_TYPES))

_BY_NAME = {cell.name: cell for cell in CELL_TYPES}
# NumPy's own dtypes hash fast; bfloat16 is found by its name.
_BY_DTYPE: dict[np.dtype[Any], CellType] = {
    np.dtype(cell.name): cell for cell in CELL_TYPES if hasattr(np, cell.name)
}


def cell_type(dtype: np.dtype[Any]) -> CellType | None:
    """Return the row of a dtype, or None if tables may not have it."""
    found = _BY_DTYPE.get(dtype)
    if found is None and dtype.isnative:
        found = _BY_NAME.get(dtype.name)
    return found


def stored_as(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array that was stored in a file in the dtype that it had there.

    NumPy's files know no bfloat16, and give cells of two bytes without a type.
    """
    raw = np.dtype((np.void, dtype.itemsize))
    is_raw = array.dtype == raw and dtype.kind == "V" and cell_type(dtype) is not None
    return array.view(dtype) if is_raw else array


def is_index_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether kernels take indices of this dtype as they are."""
    return dtype in INDEX_TYPES


def sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of sums over the rows of a table of a supported dtype."""
    cell = cell_type(dtype)
    assert cell is not None
    return cell.sum_dtype


def common_dtype(dtypes: Collection[np.dtype[Any]]) -> np.dtype[Any]:
    """Return NumPy's common dtype of tables or, if there is none, that of their sums.

    float16 and bfloat16 have none: the result is float32.
    """
    try:
        return np.result_type(*dtypes)
    except TypeError:
        return np.result_type(*map(sum_dtype, dtypes))


def nearest_sum_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `sum_dtype`, or the widest one for numbers that tables cannot hold."""
    cell = cell_type(dtype)
    return SUM_DTYPES[-1] if cell is None else cell.sum_dtype


def kernel_view(array: np.ndarray) -> np.ndarray:
    """Return an array of table cells as kernels take it: 16-bit floats as integers."""
    cell = cell_type(array.dtype)
    assert cell is not None
    return cell.kernel_view(array)
