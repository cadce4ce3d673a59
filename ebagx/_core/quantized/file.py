r"""Packed rows in a file: a header of 64 bytes, and the rows as they are in memory.

======  =====  =================================================
byte    bytes  content
======  =====  =================================================
0       8      ``\x93EBAGXQT``
8       2      version of the format, 1
10      1      bits of a code: 8, 4 or 2
11      1      bytes of a scale or bias, each: 2 or 4
12      1      1 if they come before the codes, else 0
16      8      number of rows
24      8      number of columns
64             the rows
======  =====  =================================================

Numbers are little-endian integers, all other bytes of the header are 0. The file has no byte after
its last row.
"""

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from ebagx._core.maps import in_sequence
from ebagx._core.memory import aligned_empty
from ebagx._core.quantized.formats import BITS, FLOAT, HALF, RowFormat
from ebagx._core.quantized.packed import PackedRows

_MAGIC = b"\x93EBAGXQT"
_VERSION = 1
_HEADER = struct.Struct("<8sHBBB3xQQ32x")
_MOST = 1 << 56  # rows, or columns
_SIZES = {dtype.itemsize: dtype for dtype in (HALF, FLOAT)}


def save(rows: PackedRows, path: str | os.PathLike[str]) -> None:
    """Write a file, which replaces another one of its name only when it is complete on the disk."""
    target = Path(path)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        new = Path(folder, "rows")
        try:
            with new.open("xb") as file:
                file.writelines(contents(rows))
                file.flush()
                os.fsync(file.fileno())  # or a loss of power might leave the name without content
        except OSError as error:
            if error.filename is None:  # as errors of open files have none
                error.filename = str(target)
            raise
        os.replace(new, target)


def contents(rows: PackedRows) -> Iterator[bytes | memoryview]:
    """Yield the parts of a file, one after the other."""
    layout = rows.format
    constants = layout.dtype.itemsize, layout.constants_first
    yield _HEADER.pack(_MAGIC, _VERSION, layout.bits, *constants, len(rows), rows.dim)
    for part in rows.blocks():
        yield np.ascontiguousarray(rows.array[part]).reshape(-1).data


def load(path: str | os.PathLike[str], mmap: bool) -> PackedRows:
    """Return the rows in a file, in a read-only memory map or in memory.

    Raises
    ------
    ValueError
        If the file is not one that `save` has written, or is damaged: nothing of its size has been
        allocated then.
    """
    with open(path, "rb") as file:
        header, size = file.read(_HEADER.size), os.fstat(file.fileno()).st_size
        layout, num_rows, dim = _read_header(header, size, path)
        shape = num_rows, layout.row_bytes(dim)
        if mmap and num_rows:
            array: np.ndarray = np.memmap(file, np.uint8, "r", _HEADER.size, shape)
        else:
            array = aligned_empty(shape, np.dtype(np.uint8))
            if file.readinto(array.reshape(-1).data) != array.size:
                _refuse(path, "it was cut short while it was read")
    with in_sequence(array):
        return PackedRows.checked(array, layout, dim, str(path))


def rows_in(content: np.ndarray, path: str | os.PathLike[str]) -> PackedRows:
    """Return the rows in the content of a file, without a copy.

    Raises
    ------
    ValueError
        As `load` does.
    """
    header = content[: _HEADER.size].tobytes()
    layout, num_rows, dim = _read_header(header, len(content), path)
    array = content[_HEADER.size :].reshape(num_rows, layout.row_bytes(dim))
    return PackedRows.checked(array, layout, dim, str(path))


def _read_header(
    header: bytes, size: int, path: str | os.PathLike[str]
) -> tuple[RowFormat, int, int]:
    if not header.startswith(_MAGIC):
        _refuse(path, "it starts otherwise")
    if len(header) < _HEADER.size:
        _refuse(path, f"it ends within its header, after {len(header)} bytes")
    _, version, bits, itemsize, first, num_rows, dim = _HEADER.unpack(header)
    if version != _VERSION:
        _refuse(path, f"it has version {version} of the format, and this ebagx knows {_VERSION}")
    if bits not in BITS or itemsize not in _SIZES or first > 1:
        _refuse(path, "its header has a layout of rows that does not exist")
    if header != _HEADER.pack(*_HEADER.unpack(header)):
        _refuse(path, "unused bytes of its header are not 0")
    layout = RowFormat(bits, _SIZES[itemsize], bool(first))
    if max(num_rows, dim) > _MOST:
        _refuse(path, f"no memory holds {num_rows} rows of {dim} columns")
    expected = _HEADER.size + num_rows * layout.row_bytes(dim)
    if size != expected:
        _refuse(path, f"it has {size} bytes, and {num_rows} rows of {dim} columns take {expected}")
    return layout, num_rows, dim


def _refuse(path: str | os.PathLike[str], why: str) -> NoReturn:
    raise ValueError(f"{path} is no file of a QuantizedTable, or is damaged: {why}")
