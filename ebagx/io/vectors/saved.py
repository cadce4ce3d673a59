"""Read what ``WordVectors.save`` has written: words in one file of tensors, which is mapped.

===============  ===================  =====================================================
array            dtype and shape      content
===============  ===================  =====================================================
table            float, (N, D)        the rows; or uint8, quantised ones
words.text       uint8                the words, one after the other
words.offsets    int64, (W + 1,)      where each word starts, and the last one ends
words.hashes     uint32, (W,)         their hashes
words.slots      uint64               their table of hashes
others                                what the lookup of the format needs more
===============  ===================  =====================================================

The metadata has a version, the kind of the lookup, and its strings. Nothing is copied but what is
small; words and their table are checked once, so that no look-up can leave the arrays.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.quantized.formats import BITS, FLOAT, HALF, RowFormat
from ebagx._core.quantized.packed import PackedRows
from ebagx._core.table import Table
from ebagx.io.safetensors import Tensors, read_safetensors
from ebagx.io.vectors.text import MAX_DIM
from ebagx.io.versioned_folder import DESCRIPTION, is_version_name, patiently
from ebagx.quantized import QuantizedTable, table_of_rows
from ebagx.text.fasttext.lookups import FastTextLookup, FloretModelLookup
from ebagx.text.vectors.floret import FloretLookup
from ebagx.text.vectors.lookups import Lookup, State, WholeWords
from ebagx.text.vectors.pieces import TokenizerPieces, WordPieces
from ebagx.text.words import Words

FORMAT, VERSION = "ebagx word vectors", "1"
TENSORS = "vectors.safetensors"
WORDS = ("words.text", "words.offsets", "words.hashes", "words.slots")
_WORD_DTYPES = (np.uint8, np.int64, np.uint32, np.uint64)


KINDS: Mapping[str, Any] = {
    kind.kind: kind
    for kind in (
        *(WholeWords, FloretLookup, WordPieces, TokenizerPieces),
        *(FastTextLookup, FloretModelLookup),
    )
}


def is_saved_folder(folder: Path) -> bool:
    """Return whether a folder has the description of something that ebagx saved."""
    return (folder / DESCRIPTION).is_file()


def read_folder(folder: Path) -> tuple[Lookup, Table]:
    """Read a saved folder; the table is mapped.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If the folder has something else, or is damaged.
    """
    name = _version_in(folder)
    while True:
        try:
            return read_saved(folder / name / TENSORS)
        except OSError:
            # A save may have replaced the version meanwhile; then the new one is read.
            newer = _version_in(folder)
            if newer == name:
                raise
            name = newer


def read_saved(path: Path) -> tuple[Lookup, Table]:
    """Read a saved file; the table is mapped.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file has something else, or is damaged.
    """
    tensors = read_safetensors(path)
    about = tensors.metadata
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path}: the file has arrays, but no words: load_vectors takes the folder of a model "
            "with its tokenizer, or what WordVectors.save has written"
        )
    if about.get("version") != VERSION:
        raise ValueError(f"{path}: a newer ebagx wrote it: pip install -U ebagx")
    kind = KINDS.get(about.get("kind", ""))
    if kind is None:
        raise ValueError(f"{path}: the kind {about.get('kind')!r:.30} is not known")
    try:
        words = Words.restored(*_word_arrays(tensors))
        table = _table(tensors)
        lookup: Lookup = kind.restored(words, State(about, tensors.arrays))
        lookup.check_table(table.num_rows)
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    return lookup, table


def _word_arrays(tensors: Tensors) -> list[npt.NDArray[Any]]:
    arrays = []
    for name, dtype in zip(WORDS, _WORD_DTYPES, strict=True):
        array = tensors.arrays[name]
        if array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"{name} has the dtype {array.dtype} and {array.ndim} dimensions")
        arrays.append(array)
    text, offsets, *others = arrays
    return [text, offsets.astype(np.intp, copy=False), *others]


def _table(tensors: Tensors) -> Table:
    rows = tensors.arrays["table"]
    if "codes" in tensors.metadata:
        return Table.of(_codes(rows, json.loads(tensors.metadata["codes"])), "the table")
    try:
        return Table.of(rows, "the table")
    except TypeError as error:
        raise ValueError(str(error)) from None


def _codes(rows: npt.NDArray[Any], about: Any) -> QuantizedTable:
    """Return the quantised table in rows of bytes."""
    if not isinstance(about, dict) or about.keys() != {*RowFormat._fields, "dim"}:
        raise ValueError("the layout of the table is damaged")
    bits, dim, first = about["bits"], about["dim"], about["constants_first"]
    dtypes = {dtype.name: dtype for dtype in (HALF, FLOAT)}
    is_sound = type(bits) is int and bits in BITS and type(first) is bool and type(dim) is int
    if not is_sound or about["dtype"] not in dtypes or rows.dtype != np.uint8 or rows.ndim != 2:
        raise ValueError("the layout of the table is damaged")
    layout = RowFormat(bits, dtypes[about["dtype"]], first)
    if not 1 <= dim <= MAX_DIM or rows.shape[1] != layout.row_bytes(dim):
        raise ValueError("the rows of the table have another length than their layout says")
    return table_of_rows(PackedRows.checked(rows, layout, dim, "the table"))


def _version_in(folder: Path) -> str:
    """Return the name of the folder with the files of the current version."""
    path = folder / DESCRIPTION
    try:
        about = json.loads(patiently(path.read_bytes))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged or incomplete: {error}") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ValueError(f"{path}: these are no word vectors; load_model reads text classifiers")
    if not is_version_name(about.get("folder")):
        raise ValueError(f"{path}: damaged: the name of the folder is {about.get('folder')!r:.30}")
    return str(about["folder"])
