"""`RowFormat` says which bytes of a packed row are codes, scale and bias."""

from typing import Any, NamedTuple

import numpy as np

from ebagx._core.arguments import check_integer, shown

HALF = np.dtype(np.float16)
FLOAT = np.dtype(np.float32)
# Kernels of AVX-512 add this to codes of 8 bits, which makes a float of a code by one shuffle:
# EBAGX_RAISED in codes.h.
RAISED = 2.0**15
BITS = (8, 4, 2)


def check_bits(bits: Any, or_else: str = "") -> int:
    """Return the bits of a code as an int; raise TypeError or ValueError if no format has them.

    `or_else` is that of ``check_integer``.
    """
    number = check_integer(bits, "bits", or_else=or_else)
    if number not in BITS:
        raise ValueError(f"bits must be 8, 4 or 2{or_else}, got {shown(bits)}")
    return number


class RowFormat(NamedTuple):
    """The layout of a row: codes, side by side with the low bits of a byte first, and constants.

    The constants are the scale and the bias, in this order. The bits of the last byte that have no
    column are 0.
    """

    bits: int
    dtype: np.dtype[Any]  # of the constants: float16 or float32
    constants_first: bool = False

    @property
    def per_byte(self) -> int:
        """The number of columns in a byte."""
        return 8 // self.bits

    @property
    def constant_bytes(self) -> int:
        """The bytes of scale and bias."""
        return 2 * self.dtype.itemsize

    @property
    def codes_at(self) -> int:
        """The first byte of the codes."""
        return self.constant_bytes if self.constants_first else 0

    def code_bytes(self, dim: int) -> int:
        """Return the bytes of the codes of a row."""
        return -(-dim // self.per_byte)

    def row_bytes(self, dim: int) -> int:
        """Return the bytes of a row."""
        return self.code_bytes(dim) + self.constant_bytes

    def constants_at(self, dim: int) -> int:
        """Return the first byte of scale and bias."""
        return 0 if self.constants_first else self.code_bytes(dim)

    def codes(self, rows: np.ndarray, dim: int) -> np.ndarray:
        """Return the bytes of the codes of packed rows: a view."""
        return rows[:, self.codes_at : self.codes_at + self.code_bytes(dim)]

    def constants(self, rows: np.ndarray, dim: int) -> np.ndarray:
        """Return scale and bias (N, 2) of packed rows: a copy, in their dtype."""
        start = self.constants_at(dim)
        part = np.ascontiguousarray(rows[:, start : start + self.constant_bytes])
        return part.view(self.dtype.newbyteorder("<")).astype(self.dtype, copy=False)

    def write(self, rows: np.ndarray, codes: np.ndarray, constants: np.ndarray) -> None:
        """Write codes, as bytes, and scale and bias (N, 2) to packed rows."""
        self.codes(rows, self.per_byte * codes.shape[1])[...] = codes
        start = 0 if self.constants_first else codes.shape[1]
        stored = np.ascontiguousarray(constants, self.dtype.newbyteorder("<"))
        rows[:, start : start + self.constant_bytes] = stored.view(np.uint8)


# The formats of other tools, by the names that callers use.
FORMATS = {
    "torch_byte": RowFormat(8, FLOAT),
    "torch_4bit": RowFormat(4, HALF),
    "torch_2bit": RowFormat(2, HALF),
    "fbgemm_int8": RowFormat(8, HALF, constants_first=True),
    "fbgemm_int4": RowFormat(4, HALF, constants_first=True),
    "fbgemm_int2": RowFormat(2, HALF, constants_first=True),
}
