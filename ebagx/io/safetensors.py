"""Read and write ``.safetensors`` files: a header in JSON, then the bytes of arrays.

    8 bytes: length n of the header │ n bytes: {"name": {"dtype", "shape", "data_offsets"}} │ arrays

Names, shapes and places are checked against the size of the file; arrays are mapped, not read.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.io.npy import little_endian_bytes
from ebagx.io.replaced_file import replaced_file
from ebagx.io.versioned_folder import naming, open_files

__all__ = ["Tensors", "read_safetensors", "write_safetensors"]

_MAX_HEADER = 100 << 20
_ALIGNMENT = 64
_MOST_DIMENSIONS = 32
_METADATA = "__metadata__"
_BFLOAT16 = "BF16"
_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", _BFLOAT16: "<u2"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"},
    **{"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items() if name != _BFLOAT16}


class Tensors(NamedTuple):
    """The content of a file: arrays in read-only maps, and strings."""

    arrays: dict[str, npt.NDArray[Any]]
    metadata: dict[str, str]


class _Entry(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_safetensors(path: Path) -> Tensors:
    """Return the arrays of a file, in read-only maps, and its metadata.

    bfloat16 becomes that of the package ml_dtypes or, without it, float32 in memory.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or no such file. The text names it.

    Notes
    -----
    Cost: a look at the header. The numbers of arrays are not checked.
    """
    with open_files([path]) as (file,), naming(path):
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(size - 8, _MAX_HEADER):
            raise ValueError(f"{path}: damaged or incomplete: the header has {length:,} bytes")
        entries, metadata = _checked_header(file.read(length), size - 8 - length, path)
        # Maps cannot be empty.
        content = np.memmap(file, np.uint8, "r", 8 + length) if size > 8 + length else None
    data = np.empty(0, np.uint8) if content is None else np.asarray(content)
    return Tensors({name: _array(data, entry) for name, entry in entries.items()}, metadata)


def write_safetensors(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write arrays and strings; the file appears, or replaces an old one, when it is complete.

    Raises
    ------
    OSError
        If the system refuses to write. Its text names a file.
    TypeError
        If an array has a dtype that the format lacks.

    Notes
    -----
    The first array starts at a multiple of 64 bytes of the file, so that rows in a map do not
    straddle cache lines. bfloat16 of the package ml_dtypes is known.
    """
    with replaced_file(path) as file:
        write_tensors(file, arrays, metadata)


def write_tensors(
    file: BinaryIO, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]
) -> None:
    """Write the content of such a file; see `write_safetensors`."""
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    start = 0
    for name, array in arrays.items():
        end = start + array.nbytes
        entry = {"dtype": _name_of(array.dtype), "shape": list(array.shape)}
        header[name] = {**entry, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for array in arrays.values():
        file.write(little_endian_bytes(array))


def _name_of(dtype: np.dtype[Any]) -> str:
    name = _BFLOAT16 if dtype.name == "bfloat16" else _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise TypeError(f"safetensors have no dtype {dtype}")
    return name


def _checked_header(
    text: bytes, n_bytes: int, path: Path
) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Return the entries of a header, which cover all bytes of the arrays, and its metadata."""
    try:
        header = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: the header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: damaged: the header is no object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{path}: damaged: {_METADATA} does not consist of strings")
    entries = {name: _checked_entry(name, given, path) for name, given in header.items()}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != end:
            raise ValueError(f"{path}: damaged: {name!r:.50} does not follow the array before it")
        end = entry.end
    if end != n_bytes:
        raise ValueError(f"{path}: damaged or incomplete: it has {n_bytes:,} bytes, not {end:,}")
    return entries, metadata


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _checked_entry(name: str, given: Any, path: Path) -> _Entry:
    try:
        dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
        start, end = offsets
        is_sound = all(type(n) is int and n >= 0 for n in (*shape, start, end))
        size = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    except (KeyError, TypeError, ValueError):
        is_sound, size = False, -1
    if not is_sound or size != end - start or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{path}: damaged: {name!r:.50} is {given!r:.80}")
    return _Entry(dtype, tuple(shape), start, end)


def _array(content: npt.NDArray[np.uint8], entry: _Entry) -> npt.NDArray[Any]:
    array = content[entry.start : entry.end].view(_DTYPES[entry.dtype]).reshape(entry.shape)
    if not array.flags.aligned or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return _as_bfloat16(array) if entry.dtype == _BFLOAT16 else array


def _as_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[Any]:
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return bits.view(ml_dtypes.bfloat16)
