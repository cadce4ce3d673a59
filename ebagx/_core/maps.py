"""Advise the system on memory maps, so that a batch costs one parallel read of its own pages.

A page of a map that is not in memory is read from the disk when it is first used. By default the
system reads its neighbours with it (`read_ahead_kb`, 128 kB to 8 MB): of a table of rows that are
read in random order this is nothing but a waste, of time and of memory for other pages. So maps are
advised once that they are read in random order, and each batch asks for its pages before it uses
them, which the disk then reads in parallel.

Passes over a whole map have the opposite need: `in_sequence` gives the opposite advice for a time.
Advice never changes a result. Systems that lack it (Windows) do without.
"""

import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from weakref import WeakKeyDictionary

import numpy as np

from ebagx._core import cpu
from ebagx._core.memory import find_map

# Passes ask for the pages of so many rows at a time, 256 MB, and compute in between.
ROWS_AT_ONCE = 1 << 16
# One bag or one step may have more rows. So many, of 4 GB, are asked for; more might not fit.
_MOST_ROWS = 1 << 20
# Ctrl-C takes effect between two calls that ask for so many stretches of memory.
_STRETCHES = 1 << 17
# A map all of whose sampled pages are in memory is left alone in up to so many calls.
_MOST_SKIPPED = 15


class Use(Enum):
    """A use of the rows of a map. One use leaves in memory what the next one looks at."""

    POOL = auto()
    RENORM = auto()
    DIFFERENTIATE = auto()
    STEP = auto()
    PREFETCH = auto()


class _Rest:
    """The calls of one use that go by without a look at the map."""

    __slots__ = ("last", "left")

    def __init__(self) -> None:
        self.left = self.last = 0


class MapAdvice:
    """The advice on one memory map; arrays in the same map share it."""

    def __init__(self) -> None:
        self._rests = {use: _Rest() for use in Use}

    @staticmethod
    def on(mapped: mmap.mmap) -> "MapAdvice":
        """Return the advice on a map, which is given the first time."""
        known = _advised.get(mapped)
        if known is None:
            _advise(mapped, "MADV_RANDOM")
            known = _advised[mapped] = MapAdvice()
        return known

    def will_need(self, array: np.ndarray, rows: np.ndarray, use: Use) -> None:
        """Ask for the pages of some rows of an array in the map, if pages have been missing.

        `rows` are contiguous int32 or int64, in any order; they may be outside the array. The call
        does not wait for the last pages. While a sample of the rows is in memory, more and more
        calls for the same use, up to 15, go by without a sample. One takes 0.4 microseconds a row,
        for at most 64 rows.
        """
        rest = self._rests[use]
        if rest.left:
            rest.left -= 1
        elif read_ahead(array, rows, in_memory=True):
            rest.last = 0
        else:
            rest.left = rest.last = min(2 * rest.last + 1, _MOST_SKIPPED)


_advised: WeakKeyDictionary[mmap.mmap, MapAdvice] = WeakKeyDictionary()


def ask_for_rows(arrays: Iterable[np.ndarray | None], rows: np.ndarray, use: Use) -> None:
    """Ask for the pages of the same rows of some arrays, of those that are in memory maps."""
    for array in arrays:
        mapped = None if array is None else find_map(array)
        if array is not None and mapped is not None:
            MapAdvice.on(mapped).will_need(array, rows, use)


def read_ahead(array: np.ndarray, rows: np.ndarray, in_memory: bool = False) -> bool:
    """Ask the system for the pages of some rows of an array in a map.

    If the map seems to be `in_memory`, ask only if a page of a sample is missing. Return whether
    the rows were asked for.
    """
    if array.size == 0:
        return False
    rows = rows[:_MOST_ROWS]
    address, stride = array.__array_interface__["data"][0], array.strides[0]
    stretches, apart, length = 1, 0, array.itemsize
    if array.ndim == 2:
        columns, apart = array.shape[1], array.strides[1]
        if abs(apart) < mmap.PAGESIZE:  # every page between the first and the last number counts
            address += min(apart, 0) * (columns - 1)
            length += abs(apart) * (columns - 1)
        else:
            stretches = columns
    step = max(_STRETCHES // stretches, 1)
    for start in range(0, len(rows), step):
        memory = len(array), stride, stretches, apart, length
        some = rows[start : start + step]
        if not cpu.read_ahead(address, *memory, some, in_memory and start == 0):
            return False
    return True


@contextmanager
def in_sequence(*arrays: np.ndarray) -> Iterator[None]:
    """Advise, for a ``with`` block, that arrays are read or written from end to end."""
    maps = [mapped for mapped in map(find_map, arrays) if mapped is not None]
    for mapped in maps:
        _advise(mapped, "MADV_SEQUENTIAL")
    try:
        yield
    finally:
        for mapped in maps:
            _advise(mapped, "MADV_RANDOM" if mapped in _advised else "MADV_NORMAL")


def _advise(mapped: mmap.mmap, name: str) -> None:
    """Give the advice of this name, where the system has it."""
    advice = getattr(mmap, name, None)
    if advice is not None:
        with suppress(OSError, ValueError):  # some memory takes no advice
            mapped.madvise(advice)
