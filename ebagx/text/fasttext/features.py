"""`FastTextFeatures`: the rows of fastText's input table that lines and words have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.threads import thread_count
from ebagx.text import tokens
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.lines import encoded
from ebagx.text.ngrams import BucketTable
from ebagx.text.vectors.lookups import ALL_ONES
from ebagx.text.words import Words, spans_of_lines

MOST_CHARS = 512  # of an n-gram, as compiled code has room for
MOST_WORDS = 255  # of a run
_ROWS_AT_ONCE = 1024  # which compiled code finds before it adds them up
_BYTES_AT_ONCE = 1 << 22  # of text; Ctrl-C takes effect between blocks
_WORK_PER_BYTE = 32  # finding the features of a byte costs about as many additions
_NO_PLACES = np.empty(0, np.int32)

_Floats = npt.NDArray[np.float32]
_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]


@dataclass(frozen=True)
class FastTextFeatures:
    """The rules that turn lines and words into rows.

    Parameters
    ----------
    entries : Words
        The words, then the labels. Row w is that of word w.
    n_words : int
        Number of words. The rows of buckets follow.
    word_ngrams : int
        Longest run of words that is a feature.
    min_chars, max_chars : int
        Lengths of n-grams of characters; 0 as the largest is none.
    n_buckets : int
        Number of different hashes of runs and n-grams.
    buckets_left : BucketTable, optional
        The buckets that have a row, if some were pruned.
    places : ndarray of int32
        Place among the rows of buckets, for each bucket that is left in ascending order.
    """

    entries: Words
    n_words: int
    word_ngrams: int
    min_chars: int
    max_chars: int
    n_buckets: int
    buckets_left: BucketTable | None = None
    places: _Int32 = field(default_factory=lambda: _NO_PLACES)

    def __post_init__(self) -> None:
        # Compiled code takes them as they are.
        if len(self.places):
            self.places.setflags(write=False)

    @property
    def num_rows(self) -> int:
        """The number of rows that the input table must have."""
        return self.n_words + (self.n_buckets if self.buckets_left is None else len(self.places))

    def pool(
        self, texts: Sequence[str], matrix: Matrix, num_threads: int | None
    ) -> tuple[_Floats, _Intp]:
        """Return the mean of the rows of each text as a line, (B, D), and their number, (B,).

        Cost: a pass over the bytes, a read of each row.
        """
        pooled = np.empty((len(texts), matrix.dim), np.float32)
        counts = np.empty(len(texts), np.intp)
        for block, text, spans in _blocks(texts):
            work = _WORK_PER_BYTE * len(text) + matrix.dim * len(text)
            threads = thread_count(num_threads, work)
            scratch = _scratch(spans, threads)
            tokens.pool_fasttext_lines(
                (pooled[block], counts[block], scratch),
                self._arrays(text, spans),
                matrix.arrays,
                self._rules(True),
                threads,
            )
        return pooled, counts

    def rows_of_lines(self, texts: Sequence[str]) -> tuple[_Int32, _Intp]:
        """Return the rows of each text as a line, and how many there are up to each."""
        text = encoded(texts)
        return self._listed(text, spans_of_lines(text), True)

    def rows_of_words(self, words: Words) -> Bags:
        """Return the rows of each word; the bag of a word that has none is empty."""
        rows, ends = self._listed(words.text, words.spans, False)
        offsets = np.zeros(len(ends) + 1, np.int32)
        offsets[1:] = ends
        return Bags(rows, offsets, ALL_ONES)

    def _listed(
        self, text: bytes | npt.NDArray[np.uint8], spans: _Intp, ends_lines: bool
    ) -> tuple[_Int32, _Intp]:
        given, rules = self._arrays(text, spans), self._rules(ends_lines)
        ends, scratch = np.empty(len(spans), np.intp), _scratch(spans, 1)
        tokens.list_fasttext_rows((_NO_PLACES, ends, scratch), given, rules)
        rows = np.empty(int(ends[-1]) if len(ends) else 0, np.int32)
        if len(rows):
            tokens.list_fasttext_rows((rows, ends, scratch), given, rules)
        return rows, ends

    def _arrays(self, text: bytes | npt.NDArray[np.uint8], spans: _Intp) -> tuple[Any, ...]:
        left = BucketTable.empty(0) if self.buckets_left is None else self.buckets_left.table
        return text, spans, *self.entries.lookup, left, self.places

    def _rules(self, ends_lines: bool) -> tuple[int, int, int, int, int, bool, bool]:
        drops_all = self.buckets_left is not None and not len(self.places)
        word_ngrams, max_chars = (1, 0) if drops_all else (self.word_ngrams, self.max_chars)
        lengths = self.min_chars, max_chars
        is_pruned = self.buckets_left is not None
        buckets = max(self.n_buckets, 1)
        return self.n_words, word_ngrams, *lengths, buckets, is_pruned, ends_lines


def check_buckets_left(
    buckets: npt.NDArray[np.int32], places: npt.NDArray[np.int32], n_buckets: int
) -> None:
    """Raise ValueError unless buckets ascend in their range, and places are all of theirs."""
    is_fit = not len(buckets) or (
        buckets[0] >= 0 and buckets[-1] < n_buckets and (buckets[1:] > buckets[:-1]).all()
    )
    if not is_fit or not np.array_equal(np.sort(places), np.arange(len(buckets))):
        raise ValueError("a pruned bucket or its row is out of range or occurs twice")


def _blocks(texts: Sequence[str]) -> Iterator[tuple[slice, bytes, _Intp]]:
    """Yield ranges of texts with a bounded number of characters, or one text, and their lines."""
    first = length = 0
    for i, text in enumerate(texts):
        if length and length + len(text) > _BYTES_AT_ONCE:
            yield _block(texts, first, i)
            first, length = i, 0
        length += len(text) + 1
    if first < len(texts):
        yield _block(texts, first, len(texts))


def _block(texts: Sequence[str], first: int, stop: int) -> tuple[slice, bytes, _Intp]:
    part = slice(first, stop)
    text = encoded(texts[part])
    return part, text, spans_of_lines(text)


def _scratch(spans: _Intp, threads: int) -> npt.NDArray[np.uint32]:
    """Return room for the rows that are found at once and the hashes of the longest line."""
    longest = int((spans[:, 1] - spans[:, 0]).max(initial=0))
    return np.empty((threads, _ROWS_AT_ONCE + longest // 2 + 2), np.uint32)
