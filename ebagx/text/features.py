"""`Features` learns from texts which features have a column, and counts them in others."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.bags import Bags
from ebagx._core.pieces import bag_ranges
from ebagx._core.threads import thread_count
from ebagx.text import tokens
from ebagx.text.lines import Lines
from ebagx.text.ngrams import BucketTable, Ngrams, OwnFeatures
from ebagx.text.tokenizers import DEFAULT, Tokenizer
from ebagx.text.words import Words, spans_of_lines

_WORK_OF_LOOKUP = 32  # making one costs about as many additions
_LOOKUPS_AT_ONCE = 1 << 20
_INT32_MAX = 2**31 - 1
_LINES_AT_ONCE = 1 << 16  # Ctrl-C takes effect between calls

_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Advance = Callable[[int], object]


@dataclass(frozen=True)
class Features:
    """The columns of features: first those of words, then those of buckets of hashed n-grams.

    Parameters
    ----------
    ngrams : Ngrams
        The n-grams that are features.
    words : Words
        The words of the first columns.
    table : BucketTable
        The buckets that have a column.
    tokenizer : Tokenizer
        The rule that cuts texts into words.
    """

    ngrams: Ngrams
    words: Words
    table: BucketTable
    tokenizer: Tokenizer = DEFAULT

    @classmethod
    def learn(
        cls, lines: Lines, ngrams: Ngrams, min_count: int = 1, advance: _Advance | None = None
    ) -> Self:
        """Give columns to the words that occur `min_count` times, and to the n-grams of lines.

        Words are ordered by frequency, those of equal frequency by their first occurrence.
        `advance` is called with a number of lines each time that so many have been looked at, which
        happens twice to each line if there are n-grams of words.

        Raises
        ------
        ValueError
            If there is no feature, or if there are too many.
        """
        known, counts = lines.store.words, np.zeros(lines.store.words.count, np.intp)
        words = known.select(frequent_words(lines, counts, min_count, advance))
        ngrams.check_columns(words.count)
        bits = used_buckets(lines, ngrams, counts, advance)
        features = cls(ngrams, words, BucketTable.ranked(bits), lines.store.tokenizer)
        features.check_not_empty(min_count, lines.num_lines)
        return features

    @classmethod
    def restore(
        cls, ngrams: Ngrams, words: Sequence[str], buckets: _Int32, tokenizer: Tokenizer
    ) -> Self:
        """Return the features of a saved model.

        Raises
        ------
        ValueError
            If a word occurs twice, or if the buckets do not ascend from 0 or more to less than
            ``ngrams.buckets_in_use``.
        """
        text, limit = "".join(f"{word}\n" for word in words).encode(), ngrams.buckets_in_use
        distinct = Words.of(text, spans_of_lines(text))
        if distinct.count < len(words):
            raise ValueError("a word occurs twice")
        if len(buckets) and (
            buckets[0] < 0 or buckets[-1] >= limit or (buckets[1:] <= buckets[:-1]).any()
        ):
            raise ValueError(f"the buckets do not ascend from 0 or more to less than {limit}")
        return cls(ngrams, distinct, BucketTable.of(limit, buckets), tokenizer)

    def check_not_empty(self, min_count: int, num_texts: int) -> None:
        """Raise ValueError if so many texts had no word that is frequent enough, and no n-gram."""
        if not self.n_columns:
            raise ValueError(
                f"no word occurs at least min_count = {min_count} times in the {num_texts} texts, "
                "and there are no n-grams"
            )

    @property
    def n_columns(self) -> int:
        """The number of features that have a column."""
        return self.words.count + self.table.count

    @property
    def columns(self) -> dict[str, int]:
        """The column of each word, in a new dict."""
        return {word: column for column, word in enumerate(self.words.names())}

    def count(self, texts: Sequence[str], num_threads: int | None = None) -> sparse.csr_array:
        """Count the features that have a column in each text; others are left out."""
        return LineBags(self, Lines.of(texts, tokenizer=self.tokenizer), num_threads).matrix()


class LineBags:
    """The features of lines as bags, which are made when they are needed.

    Training takes such an object in place of a matrix: see ``training.examples.BagMaker``.

    Parameters
    ----------
    features : Features
        The features that have a column.
    lines : Lines
        The lines.
    num_threads : int, optional
        Largest number of threads.
    """

    def __init__(self, features: Features, lines: Lines, num_threads: int | None = None) -> None:
        self._features, self._lines, self._num_threads = features, lines, num_threads

    def __repr__(self) -> str:
        return f"LineBags({self.num_bags} bags, {self.num_columns} columns)"

    @property
    def num_bags(self) -> int:
        """Number of bags, one for each line."""
        return self._lines.num_lines

    @property
    def num_columns(self) -> int:
        """Number of columns, each of which occurs in some bag if they were learned from these."""
        return self._features.n_columns

    @cached_property
    def _own(self) -> OwnFeatures:
        """The columns of each word of the store, -1 for one that has none."""
        words, known = self._lines.store.words, self._features.words
        own = OwnFeatures.buckets_of(words, self._features.ngrams)
        tokens.number_buckets(own.features_k, self._features.table.table, known.count)
        own.features_k[own.offsets_w[:-1]] = known.find(words)
        return own

    def most_lookups(self) -> npt.NDArray[np.integer[Any]]:
        """Return for each bag a number of lookups that it does not exceed: int32 where they fit."""
        ngrams, first = self._features.ngrams.word_ngrams, 0
        per_word = ngrams + int(np.diff(self._own.offsets_w).max(initial=0))
        most = per_word * len(self._lines.store.words_k)
        dtype = np.int32 if most <= _INT32_MAX else np.int64
        lengths: npt.NDArray[np.integer[Any]] = np.empty(self.num_bags, dtype)
        for rows in _row_blocks(self._lines, None):
            part = np.empty(len(rows), np.int64)
            tokens.measure_rows(part, self._arrays(rows), ngrams, 1)
            lengths[first : first + len(rows)] = part
            first += len(rows)
        return lengths

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> Bags:
        """Return some of the bags: columns by first occurrence, and counts as weights."""
        arrays, ngrams = self._arrays(self._lines.rows[rows]), self._features.ngrams
        lengths = np.empty(len(rows), np.int64)
        tokens.measure_rows(lengths, arrays, ngrams.word_ngrams, 1)
        starts = np.zeros(len(rows) + 1, np.intp)
        np.cumsum(lengths, out=starts[1:])
        threads = thread_count(self._num_threads, _WORK_OF_LOOKUP * int(starts[-1]))
        indices, counts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
        most = min(int(lengths.max(initial=1)), self.num_columns)
        slots = np.empty((threads, 1 << (2 * most).bit_length()), np.uint32)
        found = np.empty(len(rows), np.intp)
        tokens.expand_rows(
            (indices, counts, found, starts, slots),
            arrays,
            (self._lines.store.words.hashes, self._features.table.table),
            ngrams.word_ngrams,
            self._features.words.count,
            ngrams.n_buckets,
            threads,
        )
        tokens.close_gaps(indices, counts, found, starts)
        end = int(starts[-1])
        dtype = np.int32 if end <= _INT32_MAX else np.int64  # of both, as kernels want it
        return Bags(indices[:end].astype(dtype, copy=False), starts.astype(dtype), counts[:end])

    def blocks(self) -> Iterator[Bags]:
        """Yield all bags, in blocks of at most a million lookups, or of one bag."""
        ends = np.concatenate([[0], np.cumsum(self.most_lookups(), dtype=np.intp)])
        for first, stop in bag_ranges(ends, 1, _LOOKUPS_AT_ONCE):
            yield self.take(np.arange(first, stop))

    def matrix(self) -> sparse.csr_array:
        """Return all bags as a matrix."""
        empty = sparse.csr_array((0, self.num_columns), dtype=np.float32)
        parts = [matrix_of(bags, self.num_columns) for bags in self.blocks()]
        return parts[0] if len(parts) == 1 else sparse.vstack([empty, *parts], format="csr")

    def _arrays(self, rows: npt.NDArray[np.integer[Any]]) -> tuple[npt.NDArray[Any], ...]:
        return *self._lines.store.arrays_of(rows), *self._own


def matrix_of(bags: Bags, n_columns: int) -> sparse.csr_array:
    """Return bags with weights as the rows of a matrix."""
    arrays = bags.weights, bags.indices, bags.offsets
    return sparse.csr_array(arrays, (bags.num_bags, n_columns))


def frequent_words(
    lines: Lines, counts_w: _Intp, min_count: int, advance: _Advance | None = None
) -> _Int32:
    """Count the words of lines; return those of at least `min_count`, by frequency."""
    store = lines.store
    order, n_words = np.empty(len(counts_w), np.int32), 0
    for rows in _row_blocks(lines, advance):
        n_words = tokens.count_rows(counts_w, order, *store.arrays_of(rows), n_words)
    return ordered_by_frequency(order[:n_words], counts_w, min_count)


def ordered_by_frequency(order: _Int32, counts_w: _Intp, min_count: int) -> _Int32:
    """Return the words that occur `min_count` times by frequency, else as they are in `order`."""
    by_frequency = order[np.argsort(-counts_w[order], kind="stable")]
    return by_frequency[: np.count_nonzero(counts_w >= min_count)]


def used_buckets(
    lines: Lines, ngrams: Ngrams, counts_w: _Intp, advance: _Advance | None = None
) -> npt.NDArray[np.uint32]:
    """Return a table with the bits of all buckets that n-grams of the lines have."""
    store, table = lines.store, BucketTable.empty(ngrams.buckets_in_use)
    if ngrams.max_chars:
        tokens.mark_words(table, *OwnFeatures.buckets_of(store.words, ngrams), counts_w)
    for rows in _row_blocks(lines, advance) if ngrams.word_ngrams > 1 else ():
        tokens.mark_runs(
            table,
            *store.arrays_of(rows),
            store.words.hashes,
            ngrams.word_ngrams,
            ngrams.n_buckets,
        )
    return table


def _row_blocks(lines: Lines, advance: _Advance | None) -> Iterator[npt.NDArray[np.integer[Any]]]:
    for first in range(0, lines.num_lines, _LINES_AT_ONCE):
        rows = lines.rows[first : first + _LINES_AT_ONCE]
        yield rows
        if advance is not None:
            advance(len(rows))
