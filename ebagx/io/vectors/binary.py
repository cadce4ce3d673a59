"""Read word2vec's binary format: a header, then records of a word, a blank and float32 numbers."""

import sys

import numpy as np

from ebagx.io.vectors import parse
from ebagx.io.vectors.stream import Stream
from ebagx.io.vectors.text import Collector, Header, Options, Vocabulary, check_count

_LONGEST_WORD = 1 << 16  # bytes


def read_binary(stream: Stream, header: Header, options: Options) -> Vocabulary:
    """Read all records.

    Raises
    ------
    ValueError
        If the file has fewer or more records than the header says, a number is not finite, or a
        word has a newline.
    """
    collector = Collector(stream, header.dim, options)
    pending = b""
    for i, block in enumerate(stream.blocks()):
        text = pending + (block[block.index(b"\n") + 1 :] if i == 0 else block)
        pending = _take_records(collector, stream, text, header.dim)
        if collector.is_full:
            return collector.finish()
    check_count(stream, header.n_words, collector.count)
    if pending.strip(b"\n"):
        raise stream.error("the file has more than the words that its header says")
    return collector.finish()


def _take_records(collector: Collector, stream: Stream, text: bytes, dim: int) -> bytes:
    """Take the complete records of a text; return what is left."""
    row_bytes = 4 * dim
    most = len(text) // (row_bytes + 1)
    rows, words = np.empty((most, dim), np.float32), np.empty((most, 2), np.intp)
    found = parse.split_binary(rows, words, text)
    rows, words = rows[:found], words[:found]
    if sys.byteorder == "big":
        rows.byteswap(inplace=True)
    _check_records(collector, stream, rows, words, text)
    collector.add(rows, words, text)
    rest = text[words[-1, 1] + 1 + row_bytes :] if found else text
    if len(rest) > row_bytes + _LONGEST_WORD:
        raise stream.error(f"word {collector.count + 1:,} has more than {_LONGEST_WORD:,} bytes")
    return rest


def _check_records(
    collector: Collector, stream: Stream, rows: np.ndarray, words: np.ndarray, text: bytes
) -> None:
    before = collector.count + 1
    is_finite = np.isfinite(rows).all(axis=1)
    if not is_finite.all():
        raise stream.error(f"the vector of word {before + is_finite.argmin():,} is not finite")
    if len(words) and text.find(b"\n", int(words[0, 0]), int(words[-1, 1])) >= 0:
        for i, (start, end) in enumerate(words.tolist()):
            if b"\n" in text[start:end]:
                raise stream.error(f"word {before + i:,} has a newline: {text[start:end]!r:.50}")
