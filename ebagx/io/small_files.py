"""The files of quantised models: words and buckets compressed, codes, and a head in float16.

``words.zlib`` has the words of ``words.txt``, in the order of their bytes, compressed by zlib.

``buckets.zlib`` has the buckets, likewise. As they ascend, each is written as the number of buckets
that are left out before it: a byte, after as many bytes of 255 as are needed. 60,882 buckets of
100,000 take 16 kB so; as numbers of four bytes, compressed, 70.

``embedding.codes`` is a file of `QuantizedTable`, which is mapped. ``coef.npy`` has float16.
"""

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ebagx._core.quantized import file as code_file
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.io.checked_file import CheckedFile
from ebagx.io.model_description import (
    CODES,
    SMALL_BUCKETS,
    SMALL_FILES,
    SMALL_WORDS,
    Description,
)
from ebagx.io.npy import Chunks, npy_chunks
from ebagx.quantized import QuantizedTable, table_of_rows
from ebagx.text.model import TextModel

_MORE = 255  # the number goes on in the next byte
_LEVEL = 9

_Bytes = npt.NDArray[np.uint8]
_Int32 = npt.NDArray[np.int32]


def small_contents(model: TextModel) -> dict[str, Chunks]:
    """Return the content of each file of a quantised model, except the description."""
    features, table = model.features, Table.of(model.embedding, "embedding")
    assert isinstance(table, CodeTable)
    contents: tuple[Chunks, ...] = (
        [_pack(features.words.lines())],
        [_pack_buckets(features.table.buckets())],
        list(code_file.contents(table.packed)),
        npy_chunks(model.coef.astype(np.float16)),
        npy_chunks(model.intercept),
    )
    return dict(zip(SMALL_FILES, contents, strict=True))


def small_features(
    checked: dict[str, CheckedFile], about: Description
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the words and the buckets of a quantised model."""
    assert about.quantised is not None
    words, buckets = checked[SMALL_WORDS], checked[SMALL_BUCKETS]
    text = _unpack(words.content.tobytes(), about.quantised.word_bytes, words.path)
    limits = about.n_buckets, about.ngrams.buckets_in_use
    numbers = _unpack_buckets(buckets.content.tobytes(), *limits, buckets.path)
    return words.lines(text, about.n_words), numbers


def codes(checked: dict[str, CheckedFile], about: Description) -> QuantizedTable:
    """Return the table of a quantised model."""
    assert about.quantised is not None
    path, content = checked[CODES]
    table = table_of_rows(code_file.rows_in(content, path))
    shape = about.n_words + about.n_buckets, about.dim
    if (table.shape, table.bits) != (shape, about.quantised.bits):
        raise ValueError(
            f"{path}: the table has shape {table.shape} and {table.bits} bits, not {shape} and "
            f"{about.quantised.bits}"
        )
    return table


def _pack(content: bytes) -> bytes:
    """Compress the content of a file."""
    return zlib.compress(content, _LEVEL)


def _unpack(content: bytes, most: int, path: Path) -> bytes:
    """Return the content of a compressed file; raise ValueError if it has more than `most` bytes.

    Not more than that is allocated.
    """
    decoder = zlib.decompressobj()
    try:
        found = decoder.decompress(content, most + 1)
    except zlib.error as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    if len(found) > most or not decoder.eof or decoder.unused_data:
        raise ValueError(f"{path}: damaged: this is not a compressed text of up to {most:,} bytes")
    return found


def _pack_buckets(buckets: _Int32) -> bytes:
    """Return the bytes of ascending numbers, compressed."""
    more, last = np.divmod(np.diff(buckets.astype(np.int64), prepend=-1) - 1, _MORE)
    ends = np.cumsum(more + 1) - 1
    content = np.full(int(ends[-1]) + 1 if len(ends) else 0, _MORE, np.uint8)
    content[ends] = last
    return _pack(content.tobytes())


def _unpack_buckets(content: bytes, count: int, limit: int, path: Path) -> _Int32:
    """Return `count` ascending numbers from 0 to less than `limit`; raise ValueError otherwise."""
    given = np.frombuffer(_unpack(content, count + limit // _MORE, path), np.uint8)
    (ends,) = np.nonzero(given < _MORE)
    if len(ends) != count or (count and ends[-1] != len(given) - 1) or (len(given) and not count):
        raise ValueError(f"{path}: these are not {count:,} numbers of buckets")
    buckets = np.cumsum(given, dtype=np.int64)[ends] + np.arange(count)
    if count and buckets[-1] >= limit:
        raise ValueError(f"{path}: a bucket is {buckets[-1]}, not below {limit}")
    return buckets.astype(np.int32)
