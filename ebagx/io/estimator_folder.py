"""Save and load fitted estimators as a folder of JSON and ``.npy`` files, which can hold no code.

``model.json`` describes the estimator: its class, its parameters and what is small of the fitted
attributes, under ``values``; the folder beside it that has the arrays; and dtype, shape, size and
SHA-256 of each of these, under ``files``. `ebagx.io.versioned_folder` says how a folder has one
complete model at every moment, for any number of processes that save and load.

Names of files are fixed, and their headers must be, byte for byte, those that are written here.
What the values and the arrays mean, and whether they fit each other, the caller has to check.
"""

import json
from collections.abc import Collection, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ebagx._core.dtypes import INDEX_TYPES, SUM_DTYPES
from ebagx.io.checked_file import CheckedFile
from ebagx.io.description_fields import FileRecord, read_json
from ebagx.io.npy import npy_chunks
from ebagx.io.stored_folder import check_replaceable, load_current, write_files
from ebagx.io.versioned_folder import VersionedFolder, is_version_name, open_files

FORMAT = "ebagx estimator"
FORMAT_VERSION = 1

_DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    **{str(dtype): np.dtype(str(dtype)) for dtype in INDEX_TYPES},
    **{str(dtype): dtype for dtype in SUM_DTYPES},
}
_MOST_ROWS = 2**40

Arrays = Mapping[str, npt.NDArray[Any]]


class Content(NamedTuple):
    """The content of a folder: name of a class, values for JSON, and arrays by their names."""

    kind: str
    values: dict[str, Any]
    arrays: Arrays


class _ArrayFile(NamedTuple):
    """The record of the file of an array."""

    record: FileRecord
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class _Description(NamedTuple):
    """The checked content of ``model.json``."""

    kind: str
    values: dict[str, Any]
    folder: str
    files: dict[str, _ArrayFile]


def write_estimator(content: Content, directory: Path, names: Collection[str]) -> None:
    """Write `content` as `directory`; a complete new model replaces one that is there.

    Parameters
    ----------
    content : Content
        What is written. Values are numbers, strings, and lists and dictionaries of such.
    directory : Path
        The folder.
    names : collection of str
        Names of all arrays that any estimator may have.

    Raises
    ------
    OSError
        If the system refuses to write; its text names a file. An old model stays.
    ValueError
        If `directory` is neither new, nor empty, nor the model of an estimator.
    """
    check_replaceable(directory, FORMAT)
    files = {_file_of(name): npy_chunks(array) for name, array in content.arrays.items()}
    folder = VersionedFolder(directory.resolve(), [_file_of(name) for name in names])
    with folder.new_version() as version:
        records = write_files(version, files)
        version.publish(_describe(content, version.folder.name, records))


def read_estimator(directory: Path, names: Collection[str]) -> Content:
    """Read and check a folder; the arrays are mapped, not copied, and cannot be written to.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If `directory` is no model of an estimator, or if a file is damaged or of another version.
        The text names the file.
    """

    def read(path: Path) -> _Description:
        return _read_description(path, names)

    return load_current(directory, read, _load)


def _file_of(name: str) -> str:
    return f"{name}.npy"


def _load(root: Path, about: _Description) -> Content:
    paths = [root / about.folder / _file_of(name) for name in about.files]
    arrays = {}
    with open_files(paths) as opened:
        for (name, file), path, stream in zip(about.files.items(), paths, opened, strict=True):
            checked = CheckedFile.of(path, stream, file.record)
            arrays[name] = checked.array(file.shape, file.dtype.type)
    return Content(about.kind, about.values, arrays)


def _describe(content: Content, folder: str, records: Mapping[str, FileRecord]) -> bytes:
    files = {}
    for name, array in content.arrays.items():
        size, sha256 = records[_file_of(name)]
        about = {"dtype": array.dtype.name, "shape": list(array.shape)}
        files[name] = {**about, "bytes": size, "sha256": sha256}
    description = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "class": content.kind,
        "values": content.values,
        "folder": folder,
        "files": files,
    }
    return json.dumps(description, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _read_description(path: Path, names: Collection[str]) -> _Description:
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: this is not the description of an {FORMAT}")
    version = about.get("version")
    if type(version) is not int or version != FORMAT_VERSION:
        hint = "; a newer ebagx wrote it: pip install -U ebagx" if version != 0 else ""
        raise ValueError(
            f"{path}: the model has format version {version!r:.20}, this ebagx reads "
            f"{FORMAT_VERSION}{hint}"
        )
    kind, values, folder = about.get("class"), about.get("values"), about.get("folder")
    if not isinstance(kind, str) or not isinstance(values, dict):
        raise ValueError(f"{path}: class and values are not a name and a dictionary")
    if not is_version_name(folder):
        raise ValueError(f"{path}: folder is {folder!r:.20}, not data- and 16 hexadecimal digits")
    files = about.get("files")
    if not isinstance(files, dict) or not {*files} <= {*names}:
        raise ValueError(f"{path}: files does not consist of arrays of an estimator")
    checked = {name: _checked_file(files[name], name, path) for name in files}
    return _Description(kind, values, cast(str, folder), checked)


def _checked_file(given: Any, name: str, path: Path) -> _ArrayFile:
    if not isinstance(given, dict) or set(given) != {"dtype", "shape", "bytes", "sha256"}:
        raise ValueError(f"{path}: {name} does not have dtype, shape, bytes and sha256")
    dtype, shape, size = given["dtype"], given["shape"], given["bytes"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{path}: {name} has dtype {dtype!r:.20}, not {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 2 or not all(map(_is_size, shape)):
        raise ValueError(f"{path}: {name} has shape {shape!r:.40}, not one or two sizes")
    if not _is_size(size) or prod(shape) * _DTYPES[dtype].itemsize > size:
        raise ValueError(f"{path}: {name} has {size!r:.20} bytes, too few for shape {shape}")
    return _ArrayFile(FileRecord(size, str(given["sha256"])), _DTYPES[dtype], tuple(shape))


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST_ROWS
