"""`Content` gives numbers and arrays of a file one after the other, each within its bytes."""

import mmap
import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import aligned_empty

_BYTES_AT_ONCE = 1 << 26  # Ctrl-C takes effect between copies


class DamagedError(ValueError):
    """A file is no complete model; the text says why."""


class Content:
    """The bytes of a file, from the first on.

    Parameters
    ----------
    path : Path
        A regular file.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is not a regular file.
    """

    def __init__(self, path: Path) -> None:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path}: this is not a regular file")
        with path.open("rb") as file:
            is_empty = not path.stat().st_size
            # Maps cannot be empty.
            mapped = b"" if is_empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.bytes = np.frombuffer(mapped, np.uint8)
        self.place = 0

    @property
    def left(self) -> int:
        """The number of bytes that have not been read."""
        return len(self.bytes) - self.place

    def check_left(self, n_bytes: int, name: str) -> None:
        """Raise DamagedError unless there are so many bytes."""
        if n_bytes > self.left:
            raise DamagedError(
                f"{name} has {n_bytes:,} bytes, and {self.left:,} are left in the file"
            )

    def mapped(self, n_bytes: int, name: str) -> npt.NDArray[np.uint8]:
        """Return the next bytes, which stay in the file."""
        self.check_left(n_bytes, name)
        self.place += n_bytes
        return self.bytes[self.place - n_bytes : self.place]

    def integers(self, count: int, name: str) -> list[int]:
        """Return the next integers of 32 bits."""
        return [int(value) for value in self.array((count,), np.int32, name)]

    def integer(self, name: str, dtype: type[np.integer[Any]] = np.int64) -> int:
        """Return the next integer."""
        return int(self.array((1,), dtype, name)[0])

    def flag(self, name: str) -> bool:
        """Return the next byte, which must be 0 or 1."""
        value = self.integer(name, np.uint8)
        if value > 1:
            raise DamagedError(f"{name} is {value}, not 0 or 1")
        return bool(value)

    def array(
        self, shape: tuple[int, ...], dtype: type[np.generic], name: str, may_map: bool = False
    ) -> npt.NDArray[Any]:
        """Return the next numbers; with `may_map`, in the file if it has them at a fit place."""
        stored = np.dtype(dtype).newbyteorder("<")
        count = 1
        for length in shape:
            count *= length  # as int of Python, which no header makes too large
        given = self.mapped(count * stored.itemsize, name)
        address = given.__array_interface__["data"][0]
        if may_map and stored.isnative and address % stored.itemsize == 0:
            return given.view(stored).reshape(shape)
        copy = aligned_empty(shape, np.dtype(dtype))
        target = copy.reshape(-1).view(np.uint8)
        for start in range(0, len(given), _BYTES_AT_ONCE):
            target[start : start + _BYTES_AT_ONCE] = given[start : start + _BYTES_AT_ONCE]
        return copy if stored.isnative else copy.byteswap()
