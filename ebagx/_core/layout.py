"""Check the memory layout of arrays, and copy an array whose layout kernels cannot take."""

import numpy as np

from ebagx._core.dtypes import is_index_dtype


def rows_are_contiguous(array: np.ndarray) -> bool:
    """Return whether each row of a 2-D array is contiguous and aligned; rows may be strided."""
    flags = array.flags
    if flags.c_contiguous:
        return flags.aligned
    in_order = array.strides[1] == array.itemsize or array.shape[1] < 2 or array.size == 0
    return in_order and flags.aligned


def overlaps_itself(array: np.ndarray) -> bool:
    """Return whether elements of an array may share memory, as after `as_strided`."""
    if array.flags.c_contiguous or array.size == 0:
        return False
    end = array.itemsize
    axes = zip(array.strides, array.shape, strict=True)
    for stride, size in sorted((abs(stride), size) for stride, size in axes if size > 1):
        if stride < end:
            return True
        end += stride * (size - 1)
    return False


def with_contiguous_rows(array: np.ndarray) -> np.ndarray:
    """Return a 2-D array, or a copy of it if its rows are not contiguous."""
    return array if rows_are_contiguous(array) else np.array(array, order="C")


def copy_if_overlapping(array: np.ndarray, written: np.ndarray | None) -> np.ndarray:
    """Return an array, or a copy of it if it may share memory with `written`."""
    if written is None or not np.may_share_memory(array, written):
        return array
    return array.copy()


def as_contiguous(array: np.ndarray) -> np.ndarray:
    """Return an array, or a copy of it if it is not contiguous and aligned."""
    return array if array.flags.c_contiguous and array.flags.aligned else array.copy()


def as_indices(array: np.ndarray) -> np.ndarray:
    """Return integers as contiguous int32 or int64; such arrays are not copied.

    Integers outside int64 become negative, and so stay outside every table.
    """
    if array.dtype == object:  # Python's integers, of which some are outside int64
        inside = (array >= -(2**63)) & (array < 2**63)
        array = np.where(inside, array, -1)
    if not is_index_dtype(array.dtype):
        array = array.astype(np.int64)  # large uint64 become negative, and stay out of range
    return as_contiguous(array)
