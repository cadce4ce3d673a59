"""`AllRows` stands for the numbers of all lines of a store."""

from typing import Any

import numpy as np
import numpy.typing as npt

_INT32_MAX = 2**31 - 1

_Integers = npt.NDArray[np.integer[Any]]


class AllRows:
    """The numbers from 0 to less than `count`, which take no memory before they are used.

    Parameters
    ----------
    count : int
        How many there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.dtype: np.dtype[Any] = np.dtype(np.int32 if count <= _INT32_MAX else np.int64)

    def __repr__(self) -> str:
        return f"AllRows({self._count})"

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: Any) -> _Integers:
        """Return some of the numbers as NumPy does: by a slice, by places, or by a mask."""
        if isinstance(places, slice):
            return np.arange(*places.indices(self._count), dtype=self.dtype)
        chosen = np.asarray(places)
        if chosen.dtype == bool:
            chosen = np.flatnonzero(chosen).astype(self.dtype)
        # An empty list is one of floats.
        return chosen if chosen.dtype.kind in "iu" else chosen.astype(self.dtype)
