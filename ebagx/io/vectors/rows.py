"""Rows that arrive in blocks become one table, without a second copy of it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import as_dtype
from ebagx._core.dtypes import cell_type
from ebagx._core.memory import aligned_empty
from ebagx._core.quantized.formats import FLOAT, HALF, RowFormat
from ebagx._core.quantized.packed import PackedRows
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.quantized import quantize, table_of_rows

# The C library gives blocks of more than 32 MB back to the system when they are freed.
_CHUNK_BYTES = 1 << 26
_FIRST_BYTES = 1 << 20


class Rows:
    """A table that grows by blocks of rows.

    `CodeRows` keeps them in 8, 4 or 2 bits.

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
        self._is_half = cell_type(dtype) is not None and dtype.itemsize < 4

    def add(self, rows: npt.NDArray[Any]) -> None:
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
            if self._is_half and not np.isfinite(part.astype(np.float32)).all():
                raise ValueError(f"a number is too large for {self._dtype.name}; use float32")
            self._used += len(some)
            start += len(some)
        self.count += len(rows)

    def table(self) -> Table:
        """Return the table; the memory of each chunk is given back when it has been copied."""
        return Table(self.joined(), "table")

    def joined(self) -> npt.NDArray[Any]:
        """Return all rows, which are not kept here."""
        self._chunks[-1:] = [chunk[: self._used] for chunk in self._chunks[-1:]]
        whole = aligned_empty((self.count, self._dim), self._dtype)
        self._chunks.reverse()
        start = 0
        while self._chunks:
            chunk = self._chunks.pop()
            whole[start : start + len(chunk)] = chunk
            start += len(chunk)
        return whole

    def _open_chunk(self) -> None:
        size = min(_FIRST_BYTES << len(self._chunks), _CHUNK_BYTES)
        self._room = max(size // (self._dim * self._dtype.itemsize), 1)
        self._used = 0
        self._chunks.append(np.empty((self._room, self._dim), self._dtype))


class CodeRows:
    """A quantised table that grows by blocks of rows.

    Parameters
    ----------
    dim : int
        Number of columns D.
    bits : int
        Bits of a number: 8, 4 or 2.
    """

    def __init__(self, dim: int, bits: int) -> None:
        self.count = 0
        self._dim = dim
        self._layout = RowFormat(bits, HALF)
        self._rows = self._no_rows()

    def add(self, rows: npt.NDArray[np.float32]) -> None:
        """Append some rows, quantised."""
        found = Table.of(quantize(rows, self._layout.bits))
        assert isinstance(found, CodeTable)
        if found.packed.format != self._layout and self._layout.dtype == HALF:
            before, self._layout = self._rows.joined(), found.packed.format
            self._rows = self._no_rows()
            self._rows.add(_with_floats(before, self._dim, self._layout.bits))
        added = found.packed.array
        if found.packed.format != self._layout:
            added = _with_floats(added, self._dim, self._layout.bits)
        self._rows.add(added)
        self.count += len(rows)

    def table(self) -> Table:
        """Return the table."""
        rows = self._rows.joined()
        packed = PackedRows.checked(rows, self._layout, self._dim, "the table")
        return Table.of(table_of_rows(packed))

    def _no_rows(self) -> Rows:
        return Rows(self._layout.row_bytes(self._dim), np.dtype(np.uint8))


def _with_floats(rows: npt.NDArray[np.uint8], dim: int, bits: int) -> npt.NDArray[np.uint8]:
    """Return rows with float32 in place of float16 for scale and bias: some row needs it."""
    given, layout = RowFormat(bits, HALF), RowFormat(bits, FLOAT)
    wide = np.empty((len(rows), layout.row_bytes(dim)), np.uint8)
    layout.write(wide, given.codes(rows, dim), given.constants(rows, dim))
    return wide


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a table that is read: float32 or half of it."""
    found = as_dtype(dtype, "dtype")
    if cell_type(found) is None or found.itemsize > 4:
        raise ValueError(f"dtype must be float32, float16 or bfloat16, got {found}")
    return found
