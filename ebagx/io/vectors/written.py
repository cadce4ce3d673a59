"""Write word vectors: as ebagx maps them, or as text that other tools read."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.maps import in_sequence
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.io.replaced_file import replaced_file
from ebagx.io.safetensors import write_tensors
from ebagx.io.vectors.saved import FORMAT, TENSORS, VERSION, WORDS
from ebagx.io.vectors.text import MAX_DIM
from ebagx.io.versioned_folder import VersionedFolder, flush_file, is_own_name, naming
from ebagx.text.vectors.lookups import Lookup
from ebagx.text.vectors.table_rows import take_rows
from ebagx.text.words import Words

_ROWS_AT_ONCE = 1 << 10
_BLANKS = " \t\n\v\f\r"  # at some of which each tool cuts words
_OTHERS = "save a folder or .safetensors"


def write_tensors_file(path: Path, lookup: Lookup, table: Table) -> None:
    """Write one file that `load_vectors` maps.

    Raises
    ------
    OSError
        If the system refuses to write; an old file stays.
    """
    arrays, about = _content(lookup, table)
    with in_sequence(arrays["table"]), replaced_file(path) as file:
        write_tensors(file, arrays, about)


def write_folder(path: Path, lookup: Lookup, table: Table) -> None:
    """Write a folder that `load_vectors` maps; complete new vectors replace those that are there.

    Raises
    ------
    OSError
        If the system refuses to write; the old version stays.
    ValueError
        If `path` has something else.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is not replaced: it is a file")
    foreign = [name for name in os.listdir(path) if not is_own_name(name)] if path.is_dir() else []
    if foreign:
        raise ValueError(f"{path} is not replaced: it holds {min(foreign)}")
    arrays, about = _content(lookup, table)
    folder = VersionedFolder(path.resolve(), (TENSORS,))
    with in_sequence(arrays["table"]), folder.new_version() as version:
        file_path = version.folder / TENSORS
        with naming(file_path), file_path.open("xb") as file:
            write_tensors(file, arrays, about)
            flush_file(file)
        description = {"format": FORMAT, "version": int(VERSION), "folder": version.folder.name}
        version.publish(json.dumps(description, indent=1).encode())


def write_text(path: Path, words: Words, table: Table) -> None:
    """Write a ``.vec`` file: a header, then a word and its numbers in each line.

    Nine significant digits give each float32 back. Cost: 0.15 microseconds a number.

    Raises
    ------
    OSError
        If the system refuses to write; an old file stays.
    ValueError
        If other tools would not find the same words and numbers.
    """
    _check_text(path, words, table)
    with in_sequence(table.array), replaced_file(path) as file:
        file.write(f"{words.count} {table.dim}\n".encode())
        for block in _text_blocks(path, words, table):
            file.write(block)


def _check_text(path: Path, words: Words, table: Table) -> None:
    if table.dim > MAX_DIM:
        raise ValueError(f"{path}: a line has at most {MAX_DIM:,} numbers; {_OTHERS}")
    text = words.text.tobytes()
    if any(blank in text for blank in _BLANKS.encode()):
        name = next(name for name in words.names() if any(map(name.__contains__, _BLANKS)))
        raise ValueError(f"{path}: the word {name!r:.50} has a blank; {_OTHERS}")


def _text_blocks(path: Path, words: Words, table: Table) -> Iterator[bytes]:
    names, form = words.lines().split(b"\n"), b" %.9g" * table.dim
    for start in range(0, words.count, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, words.count)
        rows = take_rows(table, np.arange(start, stop))
        is_finite = np.isfinite(rows).all(axis=1)
        if not is_finite.all():
            name = words.name(start + int(np.argmin(is_finite)))
            raise ValueError(f"{path}: the vector of {name!r:.50} is not finite; {_OTHERS}")
        parts = zip(names[start:stop], rows.tolist(), strict=True)
        yield b"".join([word + form % tuple(row) + b"\n" for word, row in parts])


def _content(lookup: Lookup, table: Table) -> tuple[Mapping[str, npt.NDArray[Any]], dict[str, str]]:
    state = lookup.state()
    of_words = dict(zip(WORDS, lookup.words.arrays(), strict=True))
    about = {"format": FORMAT, "version": VERSION, "kind": lookup.kind, **state.about}
    if isinstance(table, CodeTable):
        layout, dim = table.packed.format, table.packed.dim
        about["codes"] = json.dumps({**layout._asdict(), "dtype": layout.dtype.name, "dim": dim})
    return {"table": np.asarray(table.array), **of_words, **state.arrays}, about
