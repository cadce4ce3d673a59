"""Allocate aligned arrays and reusable scratch memory, and check memory maps."""

import math
import mmap
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np

from ebagx._core import cpu

_CACHE_LINE = 64
_SMALL = 1 << 14  # bytes; aligning smaller arrays costs more time, a microsecond, than it saves


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an uninitialised array that starts on a cache line.

    NumPy's large arrays start 16 bytes after one, so that every row touches one line more. The
    memory still comes from NumPy, which requests huge pages from the system.
    """
    return _aligned(np.empty, shape, dtype)


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return zeros that start on a cache line; pages that stay zero are never allocated."""
    return _aligned(np.zeros, shape, dtype)


def _aligned(
    allocate: Callable[..., np.ndarray], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    if size > sys.maxsize - _CACHE_LINE:
        raise MemoryError(f"an array of shape {shape} and dtype {dtype} fits no memory")
    if size < _SMALL:
        return allocate(shape, dtype)
    raw = allocate(size + _CACHE_LINE, np.uint8)
    start = -cpu.misalignment(raw, _CACHE_LINE) % _CACHE_LINE
    return raw[start : start + size].view(dtype).reshape(shape)


class Scratch:
    """Memory for one ``with`` block, cut into arrays that must not be used after it.

    Fresh memory costs a page fault per 4 KB: for a batch of 30,000 lookups, three times the time of
    sorting them. So buffers are kept for the next call, at most `_SPARE_BUFFERS` of them, and none
    over `_SPARE_BYTES`. Calls from several threads, or from a signal handler during another call,
    never share a buffer: one in use is not in the list.
    """

    _SPARE_BUFFERS = 2
    _SPARE_BYTES = 1 << 26
    _spare: list[np.ndarray] = []  # noqa: RUF012 - shared on purpose

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = num_bytes
        self._used = 0

    def __enter__(self) -> Self:
        try:
            self._buffer = self._spare.pop()
        except IndexError:
            self._buffer = np.empty(0, np.uint8)
        if len(self._buffer) < self._num_bytes:
            self._buffer = aligned_empty((self._num_bytes,), np.dtype(np.uint8))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if len(self._buffer) <= self._SPARE_BYTES and len(self._spare) < self._SPARE_BUFFERS:
            self._spare.append(self._buffer)
        del self._buffer

    def empty(self, size: int, dtype: Any) -> np.ndarray:
        """Return an uninitialised 1-D array."""
        dtype = np.dtype(dtype)
        start, num_bytes = self._used, size * dtype.itemsize
        self._used = -(-(start + num_bytes) // _CACHE_LINE) * _CACHE_LINE
        if self._used > len(self._buffer):
            return np.empty(size, dtype)
        return self._buffer[start : start + num_bytes].view(dtype)


def check_mapped(array: np.ndarray, name: str) -> mmap.mmap | None:
    """Raise ValueError if an array is in a memory map whose file has become shorter.

    Reading after the end of the file ends the process with a bus error. A file that is cut during
    the call cannot be detected. Return the map, or None if the array is in none.
    """
    base: Any = array.base
    if base is None or (type(base) is np.ndarray and base.base is None):
        return None  # an ordinary array or a view of one, found in 0.1 microseconds
    mapped, start = _find_map(array)
    if mapped is not None:
        _check_file(mapped, start, name)
    return mapped


def find_map(array: np.ndarray) -> mmap.mmap | None:
    """Return the memory map that an array is in, or None if it is in none."""
    base = array.base
    if base is None or (type(base) is np.ndarray and base.base is None):
        return None
    return _find_map(array)[0]


def _find_map(array: np.ndarray) -> tuple[mmap.mmap | None, int]:
    """Return the memory map that an array is in, and where in its file the map starts."""
    base: Any = array.base
    start = _start(array)
    while base is not None and not isinstance(base, mmap.mmap):
        start = _start(base) or start
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    return base, start


def _start(array: Any) -> int:
    """Return the offset in its file at which the map of an array starts; 0 if unknown."""
    offset = (array.offset or 0) if isinstance(array, np.memmap) else 0
    return offset - offset % mmap.ALLOCATIONGRANULARITY


def _check_file(mapped: mmap.mmap, start: int, name: str) -> None:
    try:
        left = mapped.size()
    except (OSError, ValueError):  # no file, or its descriptor was not kept
        return
    if left < start + len(mapped):
        raise ValueError(
            f"{name} is in a memory map of {start + len(mapped)} bytes of a file, "
            f"which was cut short to {left} bytes"
        )
