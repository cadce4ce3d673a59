"""Make rows of features from texts: words, runs of words, and character n-grams of words.

Python's `str` and `re` convert to lower case and find the characters between words, in blocks of
many texts; ``ebagx.text.tokens`` does the rest.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx.text import tokens

MAX_WORD_NGRAM = 8
MAX_CHAR_NGRAM = 32
MAX_BUCKETS = 2**28
_BLOCK_LENGTH = 1 << 23
_MAX_FEATURES = 2**31 - 1

_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Uint32 = npt.NDArray[np.uint32]


def _byte_table(lowercase: bool) -> bytes:
    """Return a table that maps ASCII characters between words, except the newline, to a space."""
    table = bytearray(range(256))
    for byte in range(128):
        char = chr(byte)
        if char.isalnum() or char == "_":
            table[byte] = ord(char.lower() if lowercase else char)
        elif char != "\n":
            table[byte] = ord(" ")
    return bytes(table)


_BYTE_TABLES = {lowercase: _byte_table(lowercase) for lowercase in (False, True)}
# The other characters between words. Surrogates are left for the encoder, which raises.
_SEPARATORS = re.compile(r"[^\w\x00-\x7f\ud800-\udfff]+")


class Ngrams(NamedTuple):
    """The n-grams that are features: of up to `word_ngrams` words, and of some characters.

    Character n-grams have `min_chars` to `max_chars` characters. Single words are not hashed into
    the buckets; they have columns of their own.
    """

    word_ngrams: int
    min_chars: int
    max_chars: int
    n_buckets: int

    @property
    def buckets_in_use(self) -> int:
        """The number of buckets, 0 if no n-grams are hashed."""
        return self.n_buckets if self.word_ngrams > 1 or self.max_chars else 0


class Block(NamedTuple):
    """Some texts cut into tokens k of lines b; each token is one of the distinct words w."""

    text: bytes
    words_k: _Int32
    offsets_b: _Intp
    spans_w2: _Intp
    hashes_w: _Uint32

    def distinct_words(self) -> list[str]:
        """List the distinct words in the order of their first occurrence."""
        size = int((self.spans_w2[:, 1] - self.spans_w2[:, 0] + 1).sum())
        lines = np.empty(size, np.uint8)
        tokens.copy_words(lines, self.spans_w2, self.text)
        return lines.tobytes().decode().split("\n")[:-1]

    def counts(self) -> _Intp:
        """Count how often each distinct word occurs."""
        return np.bincount(self.words_k, minlength=len(self.hashes_w))


class Rows(NamedTuple):
    """The features of each line: columns of words, then `first` + bucket."""

    features_k: _Int32
    offsets_b: _Intp
    first: int


@dataclass(frozen=True)
class BucketTable:
    """The buckets with a column: one bit for each bucket, and the number of bits set before it."""

    bits: _Uint32
    ranks: _Int32
    count: int

    @classmethod
    def of(cls, n_buckets: int, rows: Sequence[Rows]) -> Self:
        """Give columns to the buckets that occur in `rows`."""
        bits = np.zeros((n_buckets + 31) // 32, np.uint32)
        for part in rows:
            tokens.mark_buckets(bits, part.features_k, part.first)
        ranks = np.empty(len(bits), np.int32)
        return cls(bits, ranks, tokens.rank_buckets(ranks, bits))

    def buckets(self) -> _Int32:
        """List the numbered buckets in ascending order."""
        buckets = np.empty(self.count, np.int32)
        tokens.list_buckets(buckets, self.bits)
        return buckets


def split_into_blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield runs of texts of about eight million characters, or of one text."""
    first = length = 0
    for i, text in enumerate(texts):
        if length and length + len(text) > _BLOCK_LENGTH:
            yield texts[first:i]
            first, length = i, 0
        length += len(text) + 1
    if first < len(texts):
        yield texts[first:]


def scan(texts: Sequence[str], lowercase: bool) -> Block:
    """Cut texts into words.

    Raises
    ------
    ValueError
        If a text has a surrogate, which UTF-8 cannot encode.
    """
    text = _prepared(texts, lowercase)
    n_words = tokens.count_words(text)
    words = np.empty(n_words, np.int32)
    offsets = np.empty(len(texts) + 1, np.intp)
    spans = np.empty((n_words, 2), np.intp)
    hashes = np.empty(n_words, np.uint32)
    slots = np.zeros(1 << (2 * n_words).bit_length(), np.int32)
    n_distinct = tokens.number_words(words, offsets, spans, hashes, slots, text)
    return Block(text, words, offsets, spans[:n_distinct].copy(), hashes[:n_distinct].copy())


def make_rows(block: Block, columns_w: _Int32, n_words: int, ngrams: Ngrams) -> Rows:
    """Return the features of each line; words with column -1 have no feature of their own."""
    first = n_words
    if len(columns_w) and not -1 <= columns_w.min() <= columns_w.max() < n_words:
        raise ValueError(f"the columns of words must be from 0 to {n_words - 1}")
    if first + ngrams.buckets_in_use > _MAX_FEATURES:
        raise ValueError(
            f"{n_words} words and {ngrams.n_buckets} buckets are more than {_MAX_FEATURES} features"
        )
    own, own_offsets = _own_features(block, columns_w, first, ngrams)
    lengths = np.diff(block.offsets_b)
    entries = _offsets(np.diff(own_offsets)[block.words_k])[block.offsets_b]
    run_lengths = range(2, ngrams.word_ngrams + 1)
    n_runs = sum((np.maximum(lengths - n + 1, 0) for n in run_lengths), np.zeros_like(lengths))
    offsets = entries + _offsets(n_runs)
    features = np.empty(offsets[-1], np.int32)
    ends = offsets[:-1].copy()
    tokens.place_words(features, ends, block.words_k, block.offsets_b, own, own_offsets)
    if ngrams.word_ngrams > 1:
        tokens.place_word_ngrams(
            features,
            ends,
            block.words_k,
            block.offsets_b,
            block.hashes_w,
            ngrams.word_ngrams,
            first,
            ngrams.n_buckets,
        )
    return Rows(features, offsets, first)


def merge_rows(rows: Rows, table: BucketTable) -> sparse.csr_array:
    """Count the features of each line that have a column; overwrites `rows`."""
    features, offsets, first = rows
    n_columns = first + table.count
    counts = np.empty(len(features), np.float32)
    scratch = np.zeros(n_columns, np.intp)
    tokens.merge_features(features, counts, offsets, scratch, table.bits, table.ranks, first)
    end = offsets[-1]
    shape = len(offsets) - 1, n_columns
    return sparse.csr_array((counts[:end].copy(), features[:end].copy(), offsets), shape)


def _prepared(texts: Sequence[str], lowercase: bool) -> bytes:
    block = "\n".join([text.replace("\n", " ") for text in texts]) + "\n" if texts else ""
    if not block.isascii():
        block = _SEPARATORS.sub(" ", block.lower() if lowercase else block)
    try:
        return block.encode().translate(_BYTE_TABLES[lowercase])
    except UnicodeEncodeError:
        raise ValueError(_describe_surrogate(texts)) from None


def _describe_surrogate(texts: Sequence[str]) -> str:
    for i, text in enumerate(texts):
        match = re.search("[\ud800-\udfff]", text)
        if match:
            return (
                f"text {i} of {len(texts)} has the surrogate {match[0]!a} at position "
                f"{match.start()}, which is not a character"
            )
    raise AssertionError("no surrogate")


def _own_features(
    block: Block, columns_w: _Int32, first: int, ngrams: Ngrams
) -> tuple[_Int32, _Intp]:
    """Return the features of each distinct word: its column, if any, and its character n-grams."""
    known = columns_w >= 0
    counts = np.zeros(len(columns_w), np.intp)
    lengths = max(ngrams.min_chars, 1), ngrams.max_chars
    if ngrams.max_chars:
        tokens.count_char_ngrams(counts, block.spans_w2, block.text, *lengths)
    offsets = _offsets(counts + known)
    own = np.empty(offsets[-1], np.int32)
    own[offsets[:-1][known]] = columns_w[known]
    if ngrams.max_chars:
        starts = offsets[:-1] + known
        tokens.hash_char_ngrams(
            own, starts, block.spans_w2, block.text, *lengths, first, ngrams.n_buckets
        )
    return own, offsets


def _offsets(counts: npt.NDArray[np.integer]) -> _Intp:
    offsets = np.zeros(len(counts) + 1, np.intp)
    np.cumsum(counts, out=offsets[1:])
    return offsets
