"""Make arrays of given values, in every layout that NumPy has."""

import tempfile
from typing import Any

import numpy as np

from fuzz.source import Source


class Subclass(np.ndarray):
    """A subclass whose arithmetic and methods give wrong results."""

    def __array_finalize__(self, parent: Any) -> None:
        self.note = getattr(parent, "note", "made by hand")

    def astype(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a method of a subclass was called")

    copy = reshape = view = astype


class Convertible:
    """An object that NumPy can make an array of."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)


def plain(values: np.ndarray) -> np.ndarray:
    """Return a copy in C order."""
    return np.array(values, order="C")


def fortran(values: np.ndarray) -> np.ndarray:
    """Return a copy in Fortran order."""
    return np.array(values, order="F")


def inside(values: np.ndarray) -> np.ndarray:
    """Return the middle of a larger array."""
    whole = np.ones([size + 3 for size in values.shape]).astype(values.dtype)
    part = whole[tuple(slice(1, size + 1) for size in values.shape)]
    part[...] = values
    return part


def every_other(values: np.ndarray) -> np.ndarray:
    """Return every other element of a larger array."""
    whole = np.ones([2 * size for size in values.shape]).astype(values.dtype)
    part = whole[tuple(slice(None, None, 2) for _ in values.shape)]
    part[...] = values
    return part


def backwards(values: np.ndarray) -> np.ndarray:
    """Return an array with negative strides along the first axis."""
    return np.array(values[::-1])[::-1] if values.ndim else plain(values)


def mirrored(values: np.ndarray) -> np.ndarray:
    """Return an array with negative strides along all axes."""
    turn = tuple(slice(None, None, -1) for _ in values.shape)
    return np.array(values[turn])[turn]


def misaligned(values: np.ndarray) -> np.ndarray:
    """Return an array that starts at an odd address."""
    raw = np.zeros(values.nbytes + 1, np.uint8)
    part = raw[1:].view(values.dtype).reshape(values.shape)
    part[...] = values
    return part


def odd_rows(values: np.ndarray) -> np.ndarray:
    """Return rows that lie an odd number of bytes apart: all but one misaligned."""
    if values.ndim != 2:
        return misaligned(values)
    row_bytes = values.shape[1] * values.itemsize + 1
    raw = np.zeros(max(len(values) * row_bytes, 1), np.uint8)
    part = np.ndarray(values.shape, values.dtype, raw, strides=(row_bytes, values.itemsize))
    part[...] = values
    return part


def subclass(values: np.ndarray) -> np.ndarray:
    """Return an instance of a subclass."""
    return plain(values).view(Subclass)


def memory_map(values: np.ndarray) -> np.ndarray:
    """Return a memory map of a temporary file that is deleted when it is closed."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(max(values.nbytes, 1)))
        file.flush()
        array = np.memmap(file, values.dtype, "r+", shape=values.shape or (1,))
    array = array.reshape(values.shape)
    array[...] = values
    return array


def read_only(values: np.ndarray) -> np.ndarray:
    """Return an array that may not be written."""
    array = plain(values)
    array.flags.writeable = False
    return array


def broadcast(values: np.ndarray) -> np.ndarray:
    """Return an array with stride 0 along the first axis, if the values are the same there."""
    same = values.ndim and len(values) and bool(np.all(values == values[:1]))
    return np.broadcast_to(plain(values[:1]), values.shape) if same else read_only(values)


def broadcast_columns(values: np.ndarray) -> np.ndarray:
    """Return an array with stride 0 along the last axis, if the values are the same there."""
    same = values.ndim == 2 and values.size and bool(np.all(values == values[:, :1]))
    return np.broadcast_to(plain(values[:, :1]), values.shape) if same else broadcast(values)


def fortran_map(values: np.ndarray) -> np.ndarray:
    """Return a memory map in Fortran order."""
    return memory_map(plain(values.T)).T


def overlapping(values: np.ndarray) -> np.ndarray:
    """Return rows that share memory, if their values allow it."""
    if (
        values.ndim != 2
        or len(values) < 2
        or not values.size
        or not np.all(values[1:, :-1] == values[:-1, 1:])
    ):
        return broadcast(values)
    line = np.concatenate([values[0], values[1:, -1]])
    return np.lib.stride_tricks.as_strided(line, values.shape, line.strides * 2)


def convertible(values: np.ndarray) -> Convertible:
    """Return an object that is no array."""
    return Convertible(plain(values))


def nested_list(values: np.ndarray) -> Any:
    """Return lists of NumPy's numbers, which keep the dtype."""
    return [list(row) for row in values] if values.ndim == 2 else list(values)


WRITEABLE = (plain, inside, backwards, fortran, every_other, mirrored, misaligned, odd_rows)
ARRAYS = (*WRITEABLE, read_only, broadcast, broadcast_columns, overlapping, memory_map, fortran_map)
ANY = (*ARRAYS, subclass, convertible)


def lay_out(source: Source, values: np.ndarray, layouts: Any = ANY) -> Any:
    """Return the values in some layout."""
    # Half of the arrays are plain, so that few arguments of a call are odd.
    return source.choice(layouts)(values) if source.below(2) else plain(values)
