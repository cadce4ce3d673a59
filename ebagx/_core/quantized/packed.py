"""`PackedRows` are the rows of a quantised table, in one array of bytes."""

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ebagx._core.layout import as_contiguous
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_empty
from ebagx._core.quantized.formats import FLOAT, HALF, RAISED, RowFormat
from ebagx._core.threads import thread_count

_BLOCK_BYTES = 1 << 20  # that are looked at, or converted, at once
_LARGE_SCALE = 2.0**119


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
    is_exact : bool, default=False
        Kernels may round once, in fused operations: see `are_exact`.
    columns : slice, optional
        Those that count; all by default.
    """

    itemsize = FLOAT.itemsize

    def __init__(
        self,
        array: np.ndarray,
        format: RowFormat,
        dim: int,
        is_exact: bool = False,
        columns: slice = slice(None),
    ) -> None:
        self.array = array
        self.format = format
        self.dim = dim
        self.is_exact = is_exact
        self._start, self._stop, _ = columns.indices(dim)
        self.shape = len(array), max(self._stop - self._start, 0)

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, tuple):  # columns of all rows
            start, stop, _ = key[1].indices(self.shape[1])
            columns = slice(self._start + start, self._start + stop)
            return PackedRows(self.array, self.format, self.dim, self.is_exact, columns)
        return self.values(key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = np.empty(self.shape, FLOAT) if dtype is None else np.empty(self.shape, dtype)
        for part in self.blocks():
            values[part] = self.values(np.arange(part.start, part.stop))
        return values

    def layout(self, column: int = 0) -> tuple[int, int, int, bool, bool]:
        """Return the layout as kernels take it, for the columns from one on that starts a byte."""
        codes_at = self.format.codes_at + column // self.format.per_byte
        constants_at = self.format.constants_at(self.dim)
        return self.format.bits, codes_at, constants_at, self.format.dtype == HALF, self.is_exact

    def values(self, indices: np.ndarray, num_threads: int | None = None) -> np.ndarray:
        """Return the values (n, d) of some rows, whose numbers must have been checked."""
        indices = as_contiguous(indices)
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

    @classmethod
    def checked(cls, array: np.ndarray, format: RowFormat, dim: int, name: str) -> Self:
        """Return packed rows from outside, once each row has been looked at.

        Raises
        ------
        ValueError
            If a scale or bias is not finite, or bits are set that belong to no column.
        """
        rows = cls(array, format, dim, is_exact=True)
        unused = -dim % format.per_byte * format.bits
        for part in rows.blocks():
            constants = format.constants(array[part], dim)
            _check_all(
                np.isfinite(constants).all(axis=1), part, name, "a scale or bias is not finite"
            )
            if unused:
                last = format.codes(array[part], dim)[:, -1]
                _check_all(
                    last >> (8 - unused) == 0, part, name, "bits are set that have no column"
                )
            rows.is_exact &= are_exact(constants, format.bits)
        return rows


def are_exact(constants: np.ndarray, bits: int) -> bool:
    """Return whether kernels may round once, in fused operations, with these scales and biases.

    Products of a scale and any code of 8 bits must be exact: they are with 16 bits in the scale.
    They must not overflow before a bias is added. With 8 bits, kernels add `RAISED` to the codes,
    so that ``bias - RAISED * scale`` must be exact, too, and no value a zero of the sign that this
    loses.
    """
    scale, bias = np.ascontiguousarray(constants.T, dtype=FLOAT)
    good = ((scale.view(np.uint32) & 0xFF) == 0) & (np.abs(scale) < _LARGE_SCALE)
    if bits == 8:
        raised = RAISED * scale.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = (bias - raised).astype(FLOAT)
            good &= (bias - moved == raised) & (moved + raised == bias)
        good &= ~(np.signbit(bias) & (bias == 0))
    return bool(good.all())


def _check_all(good: np.ndarray, part: slice, name: str, problem: str) -> None:
    """Raise ValueError for the first row that is not good."""
    if not good.all():
        raise ValueError(f"row {part.start + int(np.argmin(good))} of {name} is damaged: {problem}")
