"""`PackedRows` are the rows of a quantised table, in one array of bytes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty
from ebagx._core.quantized.formats import FLOAT, HALF, RowFormat
from ebagx._core.threads import thread_count

_BLOCK_BYTES = 1 << 20  # that are looked at, or converted, at once


class PackedRows:
    """Rows of codes with a scale and a bias, as an array of their values that is not kept.

    ``rows[indices]`` and ``rows[:, columns]`` are what NumPy gives for the array of values.

    Parameters
    ----------
    array : ndarray of shape (N, bytes), uint8
        The packed rows, which are contiguous.
    format : RowFormat
        Their layout.
    dim : int
        The number of columns D.
    columns : slice, optional
        Those that count; all by default.
    """

    itemsize = FLOAT.itemsize

    def __init__(
        self, array: np.ndarray, format: RowFormat, dim: int, columns: slice = slice(None)
    ) -> None:
        self.array = array
        self.format = format
        self.dim = dim
        self._start, self._stop, _ = columns.indices(dim)
        self.shape = len(array), max(self._stop - self._start, 0)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # columns of all rows
            start, stop, _ = key[1].indices(self.shape[1])
            columns = slice(self._start + start, self._start + stop)
            return PackedRows(self.array, self.format, self.dim, columns)
        return self.values(key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.empty(self.shape, FLOAT) if dtype is None else np.empty(self.shape, dtype)
        for part in self.blocks():
            values[part] = self.values(np.arange(part.start, part.stop))
        return values

    def layout(self, column: int = 0) -> tuple[int, int, int, bool]:
        """Return the layout as kernels take it, for the columns from one on that starts a byte."""
        codes_at = self.format.codes_at + column // self.format.per_byte
        constants_at = self.format.constants_at(self.dim)
        return self.format.bits, codes_at, constants_at, self.format.dtype == HALF

    def values(self, indices: np.ndarray, num_threads: int | None = None) -> np.ndarray:
        """Return the values (n, d) of some rows, whose numbers must have been checked."""
        indices = np.ascontiguousarray(indices)
        first = self._start // self.format.per_byte * self.format.per_byte
        values = aligned_empty((len(indices), max(self._stop - first, 0)), FLOAT)
        threads = thread_count(num_threads, values.size)
        kernels.unpack_codes(values, self.array, indices, *self.layout(first), threads)
        return values[:, self._start - first :]

    def blocks(self) -> Iterator[slice]:
        """Yield slices of rows, whose values take about a megabyte."""
        step = max(_BLOCK_BYTES // max(self.dim * FLOAT.itemsize, 1), 1)
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    def check(self, name: str) -> None:
        """Raise ValueError unless all scales and biases are finite, and unused bits are 0."""
        unused = -self.dim % self.format.per_byte * self.format.bits
        for part in self.blocks():
            rows = self.array[part]
            finite = np.isfinite(self.format.constants(rows, self.dim)).all(axis=1)
            if not finite.all():
                row = part.start + int(np.argmin(finite))
                raise ValueError(f"row {row} of {name} has a scale or bias that is not finite")
            if unused and self.dim:
                used = self.format.codes(rows, self.dim)[:, -1] >> (8 - unused) == 0
                if not used.all():
                    row = part.start + int(np.argmin(used))
                    raise ValueError(f"row {row} of {name} has bits that belong to no column")
