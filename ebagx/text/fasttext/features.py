"""`FastTextFeatures`: the rows of fastText's input table that lines and words have."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import check_integer
from ebagx._core.bags import Bags
from ebagx._core.modes import MODES
from ebagx._core.passes import forward
from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.text import tokens
from ebagx.text.corpus import PREFIX
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.lines import encoded
from ebagx.text.ngrams import BucketTable
from ebagx.text.vectors.lookups import ALL_ONES, State
from ebagx.text.words import Words, spans_of_lines

MOST_CHARS = 512  # of an n-gram, as compiled code has room for
MOST_WORDS = 255  # of a run
_ROWS_AT_ONCE = 1024  # which compiled code finds before it adds them up
_BYTES_AT_ONCE = 1 << 22  # of text; Ctrl-C takes effect between blocks
_WORK_PER_BYTE = 32  # finding the features of a byte costs about as many additions
_NO_PLACES = np.empty(0, np.int32)
_MAX_ROWS = 2**31 - 1
# Rows are listed for vectors of words: of 4 bytes each, at most 16 MB and 256 bytes for each byte
# of text. A word of 400 kB would have 820 MB in a model with n-grams of up to 512 characters.
_MOST_ROWS_LISTED, _MOST_ROWS_PER_BYTE = 1 << 22, 64

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

    @classmethod
    def restored(cls, words: Words, state: State) -> Self:
        """Return features of these words from the rest, or raise ValueError or KeyError."""
        limits = {
            "word_ngrams": (1, MOST_WORDS),
            "min_chars": (0, MOST_CHARS),
            "max_chars": (0, MOST_CHARS),
            "n_buckets": (0, _MAX_ROWS - words.count),
            "is_pruned": (0, 1),
        }
        about = {
            name: check_integer(int(state.about[name]), name, *limits[name]) for name in limits
        }
        is_pruned = about.pop("is_pruned")
        if not about["n_buckets"] and (about["max_chars"] or about["word_ngrams"] > 1):
            raise ValueError("there are no buckets for n-grams")
        labels = _saved_array(state, "labels", np.uint8).tobytes()
        left, places = None, _NO_PLACES
        if is_pruned:
            buckets, places = (
                _saved_array(state, name, np.int32) for name in ("buckets", "places")
            )
            check_buckets_left(buckets, places, about["n_buckets"])
            left = BucketTable.of(about["n_buckets"], buckets)
        entries = _with_labels(words, labels) if labels else words
        return cls(entries, words.count, **about, buckets_left=left, places=places)

    def state(self) -> State:
        """Return the options, the labels and the buckets that are left, for `restored`."""
        labels = np.arange(self.n_words, self.entries.count, dtype=np.int32)
        numbers = {
            "word_ngrams": self.word_ngrams,
            "min_chars": self.min_chars,
            "max_chars": self.max_chars,
            "n_buckets": self.n_buckets,
            "is_pruned": int(self.buckets_left is not None),
        }
        lines = self.entries.select(labels).lines()
        arrays: dict[str, npt.NDArray[Any]] = {"labels": np.frombuffer(lines, np.uint8)}
        if self.buckets_left is not None:
            arrays |= {"buckets": self.buckets_left.buckets(), "places": self.places}
        return State({name: str(value) for name, value in numbers.items()}, arrays)

    def words(self) -> Words:
        """Return the words without the labels."""
        if self.entries.count == self.n_words:
            return self.entries
        return self.entries.select(np.arange(self.n_words, dtype=np.int32))

    def label_names(self) -> list[str]:
        """Return the labels; without fastText's prefix, if all have it and a name behind it."""
        names = [self.entries.name(i) for i in range(self.n_words, self.entries.count)]
        short = [name.removeprefix(PREFIX) for name in names]
        is_prefixed = all(len(name) > len(PREFIX) and name.startswith(PREFIX) for name in names)
        return short if is_prefixed else names

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

    def pool_codes(
        self, texts: Sequence[str], table: Table, num_threads: int | None
    ) -> tuple[_Floats, _Intp]:
        """Return the same of a table of few bits, whose rows are listed for some texts at a time.

        Cost: a pass over the bytes, a read of each row, and four bytes a row.
        """
        pooled = np.empty((len(texts), table.dim), np.float32)
        counts = np.empty(len(texts), np.intp)
        table.check_mapped()
        for block, text, spans in _blocks(texts):
            rows, ends = self._listed(text, spans, True)
            offsets = np.concatenate([[0], ends])
            bags = Bags(rows.astype(offsets.dtype), offsets, ALL_ONES)
            pooled[block] = forward(bags, table, MODES["mean"], None, num_threads)[0]
            counts[block] = np.diff(offsets)
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
        count = int(ends[-1]) if len(ends) else 0
        if count > _MOST_ROWS_LISTED + _MOST_ROWS_PER_BYTE * len(text):
            raise ValueError(
                f"{len(text):,} bytes of text have {count:,} n-grams of up to {self.max_chars} "
                "characters, more than memory should hold: cut or drop very long words"
            )
        rows = np.empty(count, np.int32)
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


def _saved_array(state: State, name: str, dtype: type[np.generic]) -> npt.NDArray[Any]:
    array = state.arrays[name]
    if array.dtype != dtype or array.ndim != 1:
        raise ValueError(f"{name} has the dtype {array.dtype} and {array.ndim} dimensions")
    return np.array(array)  # a copy, as another process may change a file under a map of it


def _with_labels(words: Words, labels: bytes) -> Words:
    if not labels.endswith(b"\n"):
        raise ValueError("the list of labels is cut off")
    text = words.lines() + labels
    entries = Words.of(text, spans_of_lines(text))
    if entries.count != text.count(b"\n"):
        raise ValueError("a label is empty, or is a word, too")
    return entries


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
