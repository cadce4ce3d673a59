"""Provide packed rows for tests of quantised tables, and their values by the definition."""

from typing import NamedTuple

import numpy as np
import pytest

from ebagx._core.quantized.formats import BITS, FLOAT, FORMATS, HALF, RowFormat

LAYOUTS = {
    **FORMATS,
    "int4 float": RowFormat(4, FLOAT),
    "int2 float": RowFormat(2, FLOAT),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
bits_of_codes = pytest.mark.parametrize("bits", BITS)
# Around the widths of chunks and blocks at every level, odd ones among them.
DIMS = (1, 3, 8, 17, 31, 33, 64, 65, 100, 129, 260)


class Packed(NamedTuple):
    """Packed rows, and what they stand for."""

    array: np.ndarray
    values: np.ndarray


def make_packed(rng, num_rows: int, dim: int, layout: RowFormat) -> Packed:
    """Return rows of random codes, with scales of any sign, zeros and large numbers.

    Their values come from Python's integers and NumPy's float32, not from the library. The rows lie
    apart, after a guard that no code may read.
    """
    codes = rng.integers(0, 1 << layout.bits, (num_rows, dim))
    constants = rng.standard_normal((num_rows, 2)).astype(layout.dtype)
    constants[0] = 0
    constants[1, 0] = -constants[1, 0]
    constants[2] = 6e4 if layout.dtype == HALF else 3e30, -1
    constants[3] = 1e-7, 0
    constants[4] = -0.0, -0.0
    per_byte = 8 // layout.bits
    size = -(-dim // per_byte)
    whole = np.full((num_rows, size + 2 * layout.dtype.itemsize + 3), 0xFF, np.uint8)
    array = whole[:, 2:-1]
    start = 2 * layout.dtype.itemsize if layout.constants_first else 0
    for r in range(num_rows):
        row = codes[r].tolist() + [0] * (size * per_byte - dim)
        for i in range(size):
            digits = row[i * per_byte : (i + 1) * per_byte]
            array[r, start + i] = sum(d << (p * layout.bits) for p, d in enumerate(digits))
    at = 0 if layout.constants_first else size
    array[:, at : at + 2 * layout.dtype.itemsize] = constants.view(np.uint8)
    scale, bias = constants.astype(np.float32).T[:, :, np.newaxis]
    with np.errstate(over="ignore"):
        values = scale * codes.astype(np.float32)
        values += bias
    return Packed(array, values)
