"""Memory that the arrays of a task leave to those of the next one.

Large arrays get fresh pages from the system, which it fills with zeros first: for a block of 51 MB
that took .07 s on a virtual machine, and the sums in it .03. The memory belongs to an object of the
worker, a shard or a block, and goes with it.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np

from ebagx._core.memory import aligned_empty
from ebagx._training.network import Floats

_FLOAT32 = np.dtype(np.float32)
_BYTES = np.dtype(np.uint8)
_STEPS = 8  # buffers have so many sizes between powers of two, to fit the rows of a later round


class _Lent:
    """A buffer that goes back to a list when no array uses it."""

    def __init__(self, buffer: np.ndarray, home: list[np.ndarray]) -> None:
        self._buffer, self._home = buffer, home
        self.__array_interface__ = buffer.__array_interface__

    def __del__(self) -> None:
        self._home.append(self._buffer)


class Spare:
    """Buffers of arrays that are no longer used; a pickle has none."""

    def __init__(self) -> None:
        self._buffers: defaultdict[int, list[np.ndarray]] = defaultdict(list)

    def empty(self, number: int, shape: tuple[int, int]) -> Floats:
        """Return an uninitialised array, in the memory of an earlier one of the same number.

        Parameters
        ----------
        number : int
            Arrays of about the same size have the same number.
        shape : tuple of int
            The shape.
        """
        size, home = math.prod(shape) * _FLOAT32.itemsize, self._buffers[number]
        try:
            buffer = home.pop()
        except IndexError:
            buffer = np.empty(0, _BYTES)
        if len(buffer) < size:
            step = max((1 << size.bit_length()) // (2 * _STEPS), 1)
            buffer = aligned_empty((-(-size // step) * step,), _BYTES)
        lent: np.ndarray = np.asarray(_Lent(buffer, home))
        array: Floats = lent[:size].view(_FLOAT32).reshape(shape)
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def __repr__(self) -> str:
        return f"Spare({sum(map(len, self._buffers.values()))} buffers)"
