"""Allocation: arrays whose rows start on cache lines."""

from typing import Any

import numpy as np

_CACHE_LINE = 64
_SMALL = 1 << 14  # bytes below which alignment is not worth its microsecond


def aligned_empty(shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an uninitialised array that starts on a cache line.

    NumPy's large arrays start 16 bytes past one, so that every row straddles one line more. The
    memory is NumPy's all the same: it asks the system for huge pages.
    """
    size = shape[0] * shape[1] * dtype.itemsize
    if size < _SMALL:
        return np.empty(shape, dtype)
    raw = np.empty(size + _CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % _CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)
