"""Write ``.npy`` files: their header, and rows one block after another."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Chunks = list[bytes | memoryview]

_ALIGNMENT = 64


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of a file of version 1.0, for little-endian data in C order.

    It has 128 bytes for every shape of one or two dimensions.
    """
    descr = dtype.newbyteorder("<").str
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape!r}, }}"
    size = -(-(11 + len(text)) // _ALIGNMENT) * _ALIGNMENT - 10
    return b"\x93NUMPY\x01\x00" + size.to_bytes(2, "little") + f"{text:<{size - 1}}\n".encode()


def little_endian_bytes(array: npt.NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


def npy_chunks(array: npt.NDArray[Any]) -> Chunks:
    """Return the content of a file, in parts."""
    return [npy_header(array.shape, array.dtype), little_endian_bytes(array)]


class RowWriter:
    """Appends rows of float32, and writes their number when it is closed."""

    def __init__(self, file: BinaryIO, dim: int) -> None:
        self.count = 0
        self.dim = dim
        self._file = file
        self._write_header()

    def write(self, rows: npt.NDArray[np.float32]) -> None:
        """Append some rows."""
        self._file.write(little_endian_bytes(rows))
        self.count += len(rows)

    def close(self) -> None:
        """Write the header again, with the number of rows."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        self._file.write(npy_header((self.count, self.dim), np.dtype(np.float32)))


@contextmanager
def write_rows(path: Path, dim: int) -> Iterator[RowWriter]:
    """Yield a writer of a ``.npy`` file, which appears only when it is complete.

    Raises
    ------
    ValueError
        Before anything is written, if the file cannot be made.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a directory")
    try:
        scratch = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error
    with scratch as directory:
        new = Path(directory, "rows.npy")
        with new.open("xb") as file:
            writer = RowWriter(file, dim)
            yield writer
            writer.close()
        os.replace(new, path)
