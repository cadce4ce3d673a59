"""Read the content of a model as word vectors."""

from pathlib import Path
from typing import Any

from ebagx._core.table import Table
from ebagx.io.fasttext.model import FastTextFile, read_file
from ebagx.text.fasttext.lookups import CodedTable, FastTextLookup, FloretModelLookup
from ebagx.text.vectors.floret import FloretHashing
from ebagx.text.vectors.lookups import Lookup

_FLORET_SEED = "2166136261"  # files do not have it, nor the marks


def read_vectors(path: Path) -> tuple[Lookup, Any]:
    """Return the rule of a model and its table: a `Table`, or one of codes.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged or incomplete. The text names the file.
    """
    file = read_file(path)
    table = CodedTable(file.table) if file.table.is_quantised else Table.of(file.table.dense)
    return _lookup_of(file, path), table


def _lookup_of(file: FastTextFile, path: Path) -> Lookup:
    header, lookup = file.header, FastTextLookup(file.features, file.header.is_supervised)
    if not header.hash_count:
        return lookup
    numbers = header.bucket, header.minn, header.maxn, header.hash_count
    try:
        hashing = FloretHashing.of([*map(str, numbers), _FLORET_SEED, "<", ">"])
    except ValueError as error:
        raise ValueError(f"{path}: this is no model of floret: {error}") from error
    return FloretModelLookup(hashing, lookup.words)
