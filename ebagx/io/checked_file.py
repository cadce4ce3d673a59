"""`CheckedFile` is a file of a model, whose content is read as lines or as an array."""

import hashlib
import os
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import Descriptor
from ebagx.io.description_fields import FileRecord
from ebagx.io.npy import npy_header
from ebagx.io.versioned_folder import DESCRIPTION, naming

_CHECKED_AT_ONCE = 1 << 20


class CheckedFile(NamedTuple):
    """A file with the recorded size and checksum, mapped."""

    path: Path
    content: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, path: Path, file: BufferedReader, record: FileRecord) -> Self:
        """Map an open file of the recorded size and checksum."""
        size = os.fstat(file.fileno()).st_size
        if size != record.size:
            raise ValueError(
                f"{path}: damaged or incomplete: it has {size:,} bytes, not {record.size:,}"
            )
        with naming(path):
            if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
                raise ValueError(f"{path}: damaged: the checksum is not the one in {DESCRIPTION}")
            # The open file is mapped, as its path may name another by now. Maps cannot be empty.
            if not size:
                return cls(path, np.empty(0, np.uint8))
            content = np.memmap(file, np.uint8, "r")
            content.descriptor = Descriptor(file.fileno())  # type: ignore[attr-defined]
        return cls(path, np.asarray(content))

    def lines(self, content: bytes, count: int) -> list[str]:
        """Return content of the file as `count` lines that are not empty."""
        try:
            lines = content.decode().split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: not utf-8 text") from error
        if lines.pop() or len(lines) != count or not all(lines):
            raise ValueError(f"{self.path}: this is not a list of {count:,} words, a line each")
        return lines

    def array(self, shape: tuple[int, ...], dtype: type[np.generic]) -> npt.NDArray[Any]:
        """Return the content as an array in C order."""
        header = npy_header(shape, np.dtype(dtype))
        if self.content[: len(header)].tobytes() != header or (
            len(self.content) != len(header) + np.dtype(dtype).itemsize * int(np.prod(shape))
        ):
            name = np.dtype(dtype).name
            raise ValueError(f"{self.path}: this is not a {name} array of shape {shape} in C order")
        return self.content[len(header) :].view(np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def floats(
        self, shape: tuple[int, ...], dtype: type[np.floating[Any]] = np.float32
    ) -> npt.NDArray[np.float32]:
        """Return the content as an array of finite float32, of which float16 becomes a copy."""
        array = self.array(shape, dtype).astype(np.float32, copy=False)
        flat = array.reshape(-1)
        for start in range(0, len(flat), _CHECKED_AT_ONCE):
            if not np.isfinite(flat[start : start + _CHECKED_AT_ONCE]).all():
                raise ValueError(f"{self.path}: the array holds nan or infinity")
        return array
