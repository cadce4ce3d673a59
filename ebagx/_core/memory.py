"""Allocate and copy aligned arrays, lend scratch memory, and check memory maps."""

import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from ebagx._core import cpu

_BYTE = np.dtype(np.uint8)
_CACHE_LINE = 64
_INT32_MAX = 2**31 - 1
SMALL_BYTES = 1 << 14  # aligning smaller arrays costs more time, a microsecond, than it saves
_PAGE = 1 << 12  # bytes
_BLOCK = 1 << 20  # bytes that are compared at once


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return an uninitialised array that starts on a cache line.

    NumPy's large arrays start 16 bytes after one, so that every row touches one line more. The
    memory still comes from NumPy, which requests huge pages from the system.
    """
    return _aligned(np.empty, shape, dtype)


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return zeros that start on a cache line; pages that stay zero are never allocated."""
    return _aligned(np.zeros, shape, dtype)


def ascending(count: int) -> np.ndarray:
    """Return the numbers from 0 on, as int32 where they fit: half the memory of NumPy's."""
    return np.arange(count, dtype=np.int32 if count <= _INT32_MAX else np.int64)


def _aligned(
    allocate: Callable[..., np.ndarray], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    if size > sys.maxsize - _CACHE_LINE:
        raise MemoryError(f"an array of shape {shape} and dtype {dtype} fits no memory")
    if size < SMALL_BYTES:
        return allocate(shape, dtype)
    raw = allocate(size + _CACHE_LINE, _BYTE)
    # A slice, a view and a reshape would take a microsecond more between kernels.
    return np.ndarray(shape, dtype, raw, -cpu.misalignment(raw, _CACHE_LINE) % _CACHE_LINE)


def copy_sparsely(array: np.ndarray) -> np.ndarray:
    """Return a copy in C order and native byte order, in which pages of zeros take no memory.

    Beside the copy, this takes about a megabyte. The cost in time is that of reading the array.
    """
    copy = aligned_zeros(array.shape, array.dtype.newbyteorder("="))
    flat = copy.reshape(-1)
    for start, values in _nonzero_parts(array):
        flat[start : start + len(values)] = values
    return copy


def write_changes(out: np.ndarray, array: np.ndarray) -> None:
    """Write an array to another one of its shape, but not to pages that have its bits already.

    Pages of zeros that were never written then still take no memory. This is so if both arrays have
    the same dtype and are contiguous, and share no memory.
    """
    is_flat = out.flags.c_contiguous and array.flags.c_contiguous and out.dtype == array.dtype
    if not is_flat or np.may_share_memory(out, array):
        out[...] = array
        return
    old, new = (flat.reshape(-1).view(np.uint8) for flat in (out, array))
    for start in range(0, len(old), _BLOCK):
        before, after = old[start : start + _BLOCK], new[start : start + _BLOCK]
        if np.array_equal(before, after):
            continue
        whole = len(before) // _PAGE * _PAGE
        pages = before[:whole].reshape(-1, _PAGE), after[:whole].reshape(-1, _PAGE)
        changed = (pages[0] != pages[1]).any(axis=1)
        pages[0][changed] = pages[1][changed]
        before[whole:] = after[whole:]


class PackedArray(NamedTuple):
    """An array without its pages of zeros, for pickles.

    `values` are its other parts one after another, and `bounds` (parts, 2) has for each the
    numbers of its first element and of the one after it, in C order.
    """

    shape: tuple[int, ...]
    bounds: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """Pack an array. If it has no page of zeros and is contiguous, it is not copied."""
        bounds: list[list[int]] = []
        for start, values in _nonzero_parts(array):
            if bounds and bounds[-1][1] == start:
                bounds[-1][1] += len(values)
            else:
                bounds.append([start, start + len(values)])
        flat = np.asarray(array).reshape(-1)
        parts = [flat[start:end] for start, end in bounds]
        values = parts[0] if len(parts) == 1 else np.concatenate([flat[:0], *parts])
        return cls(array.shape, np.array(bounds, np.int64).reshape(-1, 2), values)

    def unpacked(self) -> np.ndarray:
        """Return the array, in which pages of zeros take no memory."""
        values = self.values
        whole = values.size == math.prod(self.shape)
        if whole and values.dtype.isnative and values.flags.writeable and values.flags.aligned:
            return values.reshape(self.shape)
        array = aligned_zeros(self.shape, values.dtype.newbyteorder("="))
        flat, done = array.reshape(-1), 0
        for start, end in self.bounds.tolist():
            flat[start:end] = values[done : done + end - start]
            done += end - start
        return array


def unpacked(array: "np.ndarray | PackedArray") -> np.ndarray:
    """Return an array, which may be packed."""
    return array.unpacked() if isinstance(array, PackedArray) else array


def _nonzero_parts(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the parts of an array that have no page of zeros, as 1-D arrays.

    Before each comes the number of its first element, in C order. A -0.0 is not a zero.
    """
    check_mapped(array, "an array to copy")
    for start, block in _flat_blocks(array):
        per_page = max(_PAGE // block.itemsize, 1)
        whole = len(block) // per_page * per_page
        bits = block.view(np.uint8)
        pages = bits[: whole * block.itemsize].reshape(-1, per_page * block.itemsize)
        if pages.shape[1] % 8 == 0:
            pages = pages.view(np.uint64)
        touched = pages.any(axis=1)
        if whole < len(block):
            touched = np.append(touched, bits[whole * block.itemsize :].any())
        edges = np.flatnonzero(np.diff(touched, prepend=False, append=False)).tolist()
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            part = block[first * per_page : end * per_page]
            yield start + first * per_page, part


def _flat_blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield pieces of an array, in C order, with the number of the first element of each."""
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        step = max(_BLOCK // array.itemsize, 1)
        for start in range(0, len(flat), step):
            yield start, flat[start : start + step]
    elif array.size:
        width = array.size // len(array)
        step = max(_BLOCK // (width * array.itemsize), 1)
        for row in range(0, len(array), step):
            yield row * width, np.ascontiguousarray(array[row : row + step]).reshape(-1)


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


class Descriptor:
    """A descriptor of an open file, a copy that is closed with this object.

    As the attribute `descriptor` of a `numpy.memmap` it makes checks of the map cheaper.
    """

    def __init__(self, number: int) -> None:
        self.number = os.dup(number)

    def __del__(self) -> None:
        os.close(self.number)


class MapOfArray(NamedTuple):
    """The memory map that an array is in, found once for many checks: see `check_mapped`."""

    mapped: mmap.mmap
    start: int
    descriptor: Descriptor | None
    name: str

    @classmethod
    def of(cls, array: np.ndarray, name: str) -> Self | None:
        """Return the map that an array is in, or None if it is in none."""
        mapped, start = _find_map(array)
        if mapped is None:
            return None
        root: Any = array
        while isinstance(root, np.ndarray) and not hasattr(root, "descriptor"):
            root = root.base
        return cls(mapped, start, getattr(root, "descriptor", None), name)

    def check(self) -> None:
        """Raise ValueError if the file has become shorter; keep the GIL where it has not."""
        end = self.start + len(self.mapped)
        if self.descriptor is None or cpu.file_bytes(self.descriptor.number) < end:
            _check_file(self.mapped, self.start, self.name)


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


def mapped_file(array: np.ndarray) -> tuple[str, int] | None:
    """Return the file that holds an array in a shared `numpy.memmap`, and the place in it.

    None is for all other arrays; copy-on-write maps are among them, as they keep their changes.
    """
    root: Any = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c":
        return None
    return str(root.filename), root.offset + array.ctypes.data - root.ctypes.data


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
