"""Common parts of folders of models: which of them may be replaced, and how files are written.

`ebagx.io.versioned_folder` says how a folder has one complete model at every moment.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from ebagx.io.description_fields import FileRecord
from ebagx.io.npy import Chunks
from ebagx.io.versioned_folder import (
    DESCRIPTION,
    Version,
    flush_file,
    is_own_name,
    naming,
    patiently,
)


class Described(Protocol):
    """The content of a description: it names the folder with the other files."""

    @property
    def folder(self) -> str:
        """The name of that folder."""


_Described = TypeVar("_Described", bound=Described)
_Model = TypeVar("_Model")


def check_replaceable(
    directory: Path, model_format: str, former_files: Collection[str] = ()
) -> None:
    """Raise ValueError unless a save may write `directory`.

    Only a folder that is empty, or looks like a model of this format, is replaced, so that a wrong
    path changes nothing.
    """
    if _holds_the_working_directory(directory.resolve()):
        raise ValueError(f"{directory} is not replaced: it is, or holds, the working directory")
    if directory.is_dir():
        names = set(os.listdir(directory)) - {*former_files}
        foreign = [name for name in names if not is_own_name(name)]
        if foreign:
            raise ValueError(f"{directory} is not replaced: it holds {min(foreign)}, not a model")
        other = _format_of(directory / DESCRIPTION)
        if other not in (None, model_format):
            raise ValueError(
                f"{directory} is not replaced: it holds an {other}, not an {model_format}"
            )
    elif directory.exists():
        raise ValueError(f"{directory} is not replaced: it is a file, not a model directory")


def _holds_the_working_directory(directory: Path) -> bool:
    try:
        return Path.cwd().is_relative_to(directory)
    except FileNotFoundError:  # it was deleted, and nothing holds it
        return False


def _format_of(path: Path) -> str | None:
    """Return the format that a description names, None if there is none that can be read."""
    try:
        about = json.loads(patiently(path.read_bytes))
    except (OSError, ValueError, RecursionError):
        return None
    found = about.get("format") if isinstance(about, dict) else None
    is_own = isinstance(found, str) and found.startswith("ebagx ") and len(found) < 40
    return found if is_own else None


def load_current(
    directory: Path,
    read_description: Callable[[Path], _Described],
    load: Callable[[Path, _Described], _Model],
) -> _Model:
    """Return what `load` makes of the folder and its description, of the newest if it changes.

    Raises
    ------
    ValueError
        If there is no description.
    """
    root = Path(os.path.abspath(directory))
    if not (root / DESCRIPTION).is_file():
        raise ValueError(f"{directory} is not a model directory: it has no {DESCRIPTION}")
    about = read_description(root / DESCRIPTION)
    while True:
        try:
            return load(root, about)
        except OSError:
            # A save may have replaced the model meanwhile; then the new one is loaded.
            newer = read_description(root / DESCRIPTION)
            if newer.folder == about.folder:
                raise
            about = newer


def write_files(version: Version, contents: Mapping[str, Chunks]) -> dict[str, FileRecord]:
    """Write all files except the description to the disk; return size and checksum of each."""
    return {name: _write(version.folder / name, chunks) for name, chunks in contents.items()}


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    digest, size = hashlib.sha256(), 0
    with naming(path), path.open("xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
        flush_file(file)
    return FileRecord(size, digest.hexdigest())
