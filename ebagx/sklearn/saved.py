"""Kinds of fitted attributes that a model's folder has: how they are written, read and checked.

A kind belongs to the name of an attribute. `write` puts its value into `Folder`, numbers and
strings as JSON and arrays as files, and `read` returns it, or raises ValueError. Sizes that arrays
share have letters, which `Folder` binds when one is read first.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

_CHECKED_AT_ONCE = 1 << 20
_FLOAT64_MAX = float(np.finfo(np.float64).max)

Arrays = dict[str, npt.NDArray[Any]]


class Folder(NamedTuple):
    """Values and arrays of a folder, and the sizes that are known."""

    values: dict[str, Any]
    arrays: Arrays
    sizes: dict[str, int]

    def array(self, name: str, dtype: npt.DTypeLike, shape: str) -> npt.NDArray[Any]:
        """Return an array of this dtype, whose shape is given by letters such as "ID"."""
        array = self.arrays.get(name)
        if array is None:
            raise ValueError(f"{name} is missing")
        if array.dtype != dtype or array.ndim != len(shape):
            raise ValueError(f"{name} is {array.dtype} and {array.ndim}-D")
        for letter, size in zip(shape, array.shape, strict=True):
            self.bind(letter, size, name)
        if array.dtype.kind == "f" and not _is_finite(array):
            raise ValueError(f"{name} holds nan or infinity")
        return array

    def bind(self, letter: str, size: int, name: str) -> None:
        """Note a size, or raise ValueError if it is another one than before."""
        if self.sizes.setdefault(letter, size) != size:
            raise ValueError(f"{name} has the size {size} where others have {self.sizes[letter]}")


class Kind(Protocol):
    """The kind of an attribute."""

    def files(self, name: str) -> list[str]:
        """Return the names of the arrays that it may need."""

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the value of the attribute into the folder."""

    def read(self, name: str, folder: Folder) -> Any:
        """Return the checked value."""


class _Value:
    """Values that JSON has."""

    def files(self, name: str) -> list[str]:  # noqa: ARG002
        """Return no names."""
        return []

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the value into the folder."""
        folder.values[name] = value

    def read(self, name: str, folder: Folder) -> Any:
        """Return the checked value."""
        if name not in folder.values or not self.fits(folder.values[name]):
            raise ValueError(f"{name} is {folder.values.get(name)!r:.40}")
        return folder.values[name]

    def fits(self, value: Any) -> bool:
        """Return whether the value is of this kind."""
        raise NotImplementedError


class Truth(_Value):
    """True or False."""

    def fits(self, value: Any) -> bool:
        """Return whether the value is a truth value."""
        return isinstance(value, bool)


class Count(_Value):
    """An integer of at least 0, which may be a size of arrays."""

    def __init__(self, letter: str | None = None) -> None:
        self._letter = letter

    def fits(self, value: Any) -> bool:
        """Return whether the value is such an integer."""
        return type(value) is int and 0 <= value < 2**62

    def read(self, name: str, folder: Folder) -> Any:
        """Return the integer, and note the size."""
        value = super().read(name, folder)
        if self._letter is not None:
            folder.bind(self._letter, value, name)
        return value


class NumberOrNone(_Value):
    """A finite number or None."""

    def fits(self, value: Any) -> bool:
        """Return whether the value is one."""
        return value is None or _is_number(value)

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the number into the folder."""
        folder.values[name] = None if value is None else float(value)


class Numbers(_Value):
    """A list of finite numbers, or None."""

    def fits(self, value: Any) -> bool:
        """Return whether the value is one."""
        return value is None or (isinstance(value, list) and all(map(_is_number, value)))

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the numbers into the folder."""
        folder.values[name] = None if value is None else list(map(float, value))


class Array(NamedTuple):
    """An array of a dtype and a shape in letters; or None, if it may be.

    It is copied unless it stays a memory map, for which each use must check that its file has not
    become shorter.
    """

    shape: str
    dtype: npt.DTypeLike = np.float32
    may_be_none: bool = False
    is_mapped: bool = False

    def files(self, name: str) -> list[str]:
        """Return the name of the array."""
        return [name]

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the array into the folder."""
        if value is None and self.may_be_none:
            return
        if not isinstance(value, np.ndarray) or value.dtype != self.dtype:
            raise ValueError(f"{name} must be an array of {np.dtype(self.dtype)} to be saved")
        folder.arrays[name] = value

    def read(self, name: str, folder: Folder) -> Any:
        """Return the checked array."""
        if self.may_be_none and name not in folder.arrays:
            return None
        array = folder.array(name, self.dtype, self.shape)
        return array if self.is_mapped else array.copy()


class Matrix(NamedTuple):
    """A CSR matrix of float32 whose rows have a letter, or None."""

    rows: str

    def files(self, name: str) -> list[str]:
        """Return the names of the three arrays."""
        return [f"{name}{part}" for part in ("data", "indices", "indptr")]

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the matrix into the folder."""
        folder.values[name] = None if value is None else value.shape[1]
        if value is not None:
            parts = value.data, value.indices, value.indptr
            folder.arrays.update(zip(self.files(name), parts, strict=True))

    def read(self, name: str, folder: Folder) -> Any:
        """Return the checked matrix, whose arrays are copies."""
        columns = folder.values.get(name)
        if columns is None:
            return None
        if type(columns) is not int or not 0 <= columns < 2**62:
            raise ValueError(f"{name} is {columns!r:.40}")
        data, *integers = (folder.arrays.get(part) for part in self.files(name))
        is_index = [part is not None and part.dtype.kind == "i" for part in integers]
        if data is None or data.dtype != np.float32 or not all(is_index) or not _is_finite(data):
            raise ValueError(f"{name} is not a matrix of finite float32")
        shape = folder.sizes.get(self.rows, -1), columns
        arrays = data.copy(), *(part.copy() for part in integers if part is not None)
        try:
            matrix = sparse.csr_array(arrays, shape=shape)
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise ValueError(f"{name} is not a matrix of shape {shape}: {error}") from None
        return matrix


class Labels(NamedTuple):
    """An array of strings, integers, finite numbers or truth values, as many as a letter says."""

    letter: str

    def files(self, name: str) -> list[str]:  # noqa: ARG002
        """Return no names."""
        return []

    def write(self, name: str, value: Any, folder: Folder) -> None:
        """Put the labels into the folder."""
        labels = np.asarray(value).tolist()
        if not labels or not any(all(type(x) is kind for x in labels) for kind in _LABELS):
            raise ValueError(
                f"{name} must be all strings, integers, numbers or truth values to be saved"
            )
        folder.values[name] = {"dtype": np.asarray(value).dtype.str, "labels": labels}

    def read(self, name: str, folder: Folder) -> Any:
        """Return the checked labels."""
        given = folder.values.get(name)
        if not isinstance(given, dict) or set(given) != {"dtype", "labels"}:
            raise ValueError(f"{name} does not have dtype and labels")
        labels, dtype = given["labels"], given["dtype"]
        if not isinstance(labels, list) or not any(
            all(type(label) is kind for label in labels) for kind in _LABELS
        ):
            raise ValueError(f"{name} has labels of another kind")
        folder.bind(self.letter, len(labels), name)
        array = np.array(labels)
        try:
            wanted = np.dtype(dtype)
            # A dtype of long strings could ask for any amount of memory.
            if wanted.kind in "biufUO" and wanted.itemsize <= max(_LONG, array.itemsize):
                array = array.astype(wanted)
        except (TypeError, ValueError, OverflowError):
            wanted = None
        if array.dtype != wanted or array.tolist() != labels:
            raise ValueError(f"{name} has labels that do not fit the dtype {dtype!r:.20}")
        return array


_LABELS = (str, int, float, bool)
_LONG = 1024  # bytes of a label that have room in a dtype though no label is that long

Schema = Mapping[str, Kind]


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(-_FLOAT64_MAX <= value <= _FLOAT64_MAX)


def _is_finite(array: npt.NDArray[Any]) -> bool:
    flat = array.reshape(-1)
    starts = range(0, len(flat), _CHECKED_AT_ONCE)
    return all(np.isfinite(flat[start : start + _CHECKED_AT_ONCE]).all() for start in starts)
