"""Rows that arrive in blocks become one table, without a second copy of it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.dtypes import cell_type
from ebagx._core.memory import aligned_empty
from ebagx._core.table import Table

# The C library gives blocks of more than 32 MB back to the system when they are freed.
_CHUNK_BYTES = 1 << 26
_FIRST_BYTES = 1 << 20


class Rows:
    """A table that grows by blocks of rows.

    A class with `add` and `table` may keep rows in another way, such as in 8 bits.

    Parameters
    ----------
    dim : int
        Number of columns D.
    dtype : dtype
        Dtype of the table.
    """

    def __init__(self, dim: int, dtype: np.dtype[Any]) -> None:
        self.count = 0
        self._dim, self._dtype = dim, dtype
        self._chunks: list[npt.NDArray[Any]] = []
        self._used = self._room = 0  # rows of the last chunk

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Append some rows, which are copied.

        Raises
        ------
        ValueError
            If a number is too large for the dtype.
        """
        start = 0
        while start < len(rows):
            if self._used == self._room:
                self._open_chunk()
            some = rows[start : start + self._room - self._used]
            part = self._chunks[-1][self._used : self._used + len(some)]
            with np.errstate(over="ignore"):
                part[...] = some
            if self._dtype.itemsize < 4 and not np.isfinite(part.astype(np.float32)).all():
                raise ValueError(f"a number is too large for {self._dtype.name}; use float32")
            self._used += len(some)
            start += len(some)
        self.count += len(rows)

    def table(self) -> Table:
        """Return the table; the memory of each chunk is given back when it has been copied."""
        self._chunks[-1:] = [chunk[: self._used] for chunk in self._chunks[-1:]]
        whole = aligned_empty((self.count, self._dim), self._dtype)
        self._chunks.reverse()
        start = 0
        while self._chunks:
            chunk = self._chunks.pop()
            whole[start : start + len(chunk)] = chunk
            start += len(chunk)
        return Table(whole, "table")

    def _open_chunk(self) -> None:
        size = min(_FIRST_BYTES << len(self._chunks), _CHUNK_BYTES)
        self._room = max(size // (self._dim * self._dtype.itemsize), 1)
        self._used = 0
        self._chunks.append(np.empty((self._room, self._dim), self._dtype))


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a table that is read: float32 or half of it."""
    found: np.dtype[Any] = np.dtype(dtype)
    if cell_type(found) is None or found.itemsize > 4:
        raise ValueError(f"dtype must be float32, float16 or bfloat16, got {found}")
    return found
