"""`Binding` recognises a table by its memory."""

import mmap
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ebagx._core.memory import mapped_file


class Binding:
    """The table that another object belongs to: known by its memory, and held weakly.

    Views of all of the table are the table, and so is a map of the same part of the same file. A
    new array at the address of one that is gone is another table.

    An array may replace the table in one of several objects that share it, as copies of modules
    do. Then both arrays may be the table that is meant: `move` notes the new one, and the next call
    of `is_to` for one of them decides.

    Parameters
    ----------
    array : ndarray of shape (N, D)
        The table.
    """

    # All by their id. Unlike a WeakSet, this can be listed while other threads make bindings.
    _all: ClassVar["weakref.WeakValueDictionary[int, Binding]"] = weakref.WeakValueDictionary()
    __slots__ = ("__weakref__", "_array", "_memories", "dtype", "shape")

    _array: Callable[[], np.ndarray | None]

    def __init__(self, array: np.ndarray) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self._array = weakref.ref(array)
        self._memories = [_Memory.of(array)]
        self._all[id(self)] = self

    def __repr__(self) -> str:
        return f"Binding({self.shape[0]} rows, embedding_dim={self.shape[1]})"

    def is_to(self, array: np.ndarray) -> bool:
        """Return whether an array is the table. For the same object, this takes 0.1 us."""
        if self._array() is array and self.shape == array.shape:
            return True
        memory = self._memory_of(array)
        if memory is None:
            return False
        self._array, self._memories, self.dtype = weakref.ref(array), [memory], array.dtype
        return True

    def _memory_of(self, array: np.ndarray) -> "_Memory | None":
        """Return the memory that an array is in, of those that may be the table's."""
        if self.shape != array.shape:
            return None
        return next((memory for memory in self._memories if memory.is_of(array)), None)

    @classmethod
    def move(cls, old: np.ndarray, new: np.ndarray) -> None:
        """Note that an array replaces another one, for all that belongs to the other one."""
        for reference in cls._all.valuerefs():
            binding = reference()
            if binding is None or binding._memory_of(old) is None:
                continue
            if binding._memory_of(new) is None:
                kept = [memory for memory in binding._memories if not memory.is_gone()]
                binding._memories = [*kept, _Memory.of(new)]
                binding._array, binding.dtype = _no_array, new.dtype


def _no_array() -> None:
    """Stand for a weak reference to an array that is gone."""


class _Memory(NamedTuple):
    """A place in memory, and in a file if it is a map of one.

    `owner` is a weak reference to the array or map that frees the memory, or None if it belongs to
    another library, whose objects may change while the memory stays.
    """

    owner: "weakref.ref[Any] | None"
    address: int
    strides: tuple[int, ...]
    file: tuple[str, int] | None

    @classmethod
    def of(cls, array: np.ndarray) -> "_Memory":
        owner = _owner(array)
        return cls(
            None if owner is None else weakref.ref(owner),
            array.ctypes.data,
            _strides(array),
            mapped_file(array),
        )

    def is_gone(self) -> bool:
        """Return whether the memory has been freed, as far as that can be known."""
        return self.file is None and self.owner is not None and self.owner() is None

    def is_of(self, array: np.ndarray) -> bool:
        """Return whether an array of the same shape is in this memory."""
        if self.strides != _strides(array):
            return False
        if self.file is not None and self.file == mapped_file(array):
            return True
        owner = _owner(array)
        if (None if self.owner is None else self.owner()) is not owner:
            return False
        return self.address == array.ctypes.data


def _owner(array: Any) -> Any:
    """Return the array or map that frees the memory of an array; None for foreign memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    base = array.base
    if base is None:
        return array
    base = base.obj if isinstance(base, memoryview) else base
    return base if isinstance(base, mmap.mmap) else None


def _strides(array: np.ndarray) -> tuple[int, ...]:
    """Return the strides that matter: the others may have any value."""
    if array.size == 0:
        return ()
    return tuple(
        stride if size > 1 else 0 for stride, size in zip(array.strides, array.shape, strict=True)
    )
