"""The n-grams that are features, and the columns of those that are hashed into buckets."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens
from ebagx.text.words import Words

MAX_WORD_NGRAM = 8
MAX_CHAR_NGRAM = 32
MAX_BUCKETS = 2**28
_MAX_FEATURES = 2**31 - 1

_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]


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

    def check_columns(self, n_words: int) -> None:
        """Raise ValueError if so many words and the buckets are too many columns."""
        if n_words + self.buckets_in_use > _MAX_FEATURES:
            raise ValueError(
                f"{n_words} words and {self.n_buckets} buckets are more than {_MAX_FEATURES} "
                "features"
            )


class OwnFeatures(NamedTuple):
    """The features of each word w by itself: first the word, then its character n-grams.

    `features_k` has buckets, or columns; a word that has none is -1.
    """

    features_k: _Int32
    offsets_w: _Intp

    def __repr__(self) -> str:
        return f"OwnFeatures({len(self.features_k)} features, {len(self.offsets_w) - 1} words)"

    @classmethod
    def buckets_of(cls, words: Words, ngrams: Ngrams) -> Self:
        """Return the buckets of character n-grams, after a place for the word."""
        offsets = np.arange(words.count + 1)
        if not ngrams.max_chars:
            return cls(np.full(words.count, -1, np.int32), offsets)
        lengths = max(ngrams.min_chars, 1), ngrams.max_chars
        counts, spans = np.empty(words.count, np.intp), words.spans
        tokens.count_char_ngrams(counts, spans, words.text, *lengths)
        np.cumsum(counts, out=counts)
        offsets[1:] += counts
        features = np.empty(offsets[-1], np.int32)
        features[offsets[:-1]] = -1
        starts = offsets[:-1] + 1
        tokens.hash_char_ngrams(features, starts, spans, words.text, *lengths, 0, ngrams.n_buckets)
        return cls(features, offsets)


@dataclass(frozen=True)
class BucketTable:
    """The buckets with a column: a bit for each of 32 buckets, and the bits set before them."""

    table: npt.NDArray[np.uint32]  # (n, 2)
    count: int

    @classmethod
    def of(cls, n_buckets: int, buckets: _Int32) -> Self:
        """Give columns to some buckets."""
        table = cls.empty(n_buckets)
        tokens.mark_words(table, buckets, np.array([0, len(buckets)], np.intp), np.ones(1, np.intp))
        return cls.ranked(table)

    @staticmethod
    def empty(n_buckets: int) -> npt.NDArray[np.uint32]:
        """Return the array of a table without columns, whose bits can be set."""
        return np.zeros(((n_buckets + 31) // 32, 2), np.uint32)

    @classmethod
    def ranked(cls, table: npt.NDArray[np.uint32]) -> Self:
        """Give columns to the buckets whose bits are set."""
        return cls(table, tokens.rank_buckets(table))

    def buckets(self) -> _Int32:
        """List the buckets with a column in ascending order."""
        buckets = np.empty(self.count, np.int32)
        tokens.list_buckets(buckets, self.table)
        return buckets
