"""The rules by which models of fastText and floret give vectors to words and texts."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.checks import check_integer
from ebagx.text.fasttext.features import (
    MOST_CHARS,
    MOST_WORDS,
    FastTextFeatures,
    check_buckets_left,
)
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.lines import encoded
from ebagx.text.ngrams import BucketTable
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.vectors.floret import FloretHashing, FloretLookup
from ebagx.text.vectors.lookups import ALL_ONES, Rule, State, Tokens
from ebagx.text.words import Words, spans_of_lines, words_of

_BETWEEN_BLANKS = Tokenizer("whitespace", lowercase=False)
_END_OF_LINE = "</s>"
_MAX_ROWS = 2**31 - 1


class FastTextLookup:
    """The vector of a word is the mean of its row and those of its n-grams of characters.

    The vector of a text is, if the model was trained with labels, the mean of the rows of all its
    features, those of runs of words and of the end of the line included; else that of the unit
    vectors of its words.

    Parameters
    ----------
    features : FastTextFeatures
        The rows of words and lines.
    is_supervised : bool
        Whether the model was trained with labels.
    words : Words, optional
        The words of `features` without the labels, if there are such words already.
    """

    kind = "fasttext"
    normalizes = False
    has_row_per_word = False

    def __init__(
        self, features: FastTextFeatures, is_supervised: bool, words: Words | None = None
    ) -> None:
        entries = features.entries
        if words is None:
            is_all = entries.count == features.n_words
            first = np.arange(features.n_words, dtype=np.int32)
            words = entries if is_all else entries.select(first)
        self.words = words
        self.rule = Rule.MEAN if is_supervised else Rule.UNIT_MEAN
        self._features = features

    @classmethod
    def restored(cls, words: Words, state: State) -> Self:
        """Return the lookup of a saved state, or raise ValueError or KeyError."""
        limits = {
            "word_ngrams": (1, MOST_WORDS),
            "min_chars": (0, MOST_CHARS),
            "max_chars": (0, MOST_CHARS),
            "n_buckets": (0, _MAX_ROWS - words.count),
            "is_supervised": (0, 1),
            "is_pruned": (0, 1),
        }
        about = {
            name: check_integer(int(state.about[name]), name, *limits[name]) for name in limits
        }
        is_supervised, is_pruned = bool(about.pop("is_supervised")), about.pop("is_pruned")
        if not about["n_buckets"] and (about["max_chars"] or about["word_ngrams"] > 1):
            raise ValueError("there are no buckets for n-grams")
        labels = _saved_array(state, "labels", np.uint8).tobytes()
        left, places = None, np.empty(0, np.int32)
        if is_pruned:
            buckets, places = (
                _saved_array(state, name, np.int32) for name in ("buckets", "places")
            )
            check_buckets_left(buckets, places, about["n_buckets"])
            left = BucketTable.of(about["n_buckets"], buckets)
        entries = _with_labels(words, labels) if labels else words
        features = FastTextFeatures(entries, words.count, **about, buckets_left=left, places=places)
        return cls(features, is_supervised, words)

    def rows_of(self, words: Words) -> Bags:
        """Return the rows of each word and its n-grams, an empty bag if it has none."""
        return self._features.rows_of_words(words)

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return all rows of each text as a line, or its distinct words with their rows."""
        if self.rule is Rule.MEAN:
            rows, ends = self._features.rows_of_lines(texts)
            return Tokens(rows, _offsets(ends))
        text, words = encoded(texts), Words()
        numbers, ends = words.split(text, spans_of_lines(text), _BETWEEN_BLANKS)
        return Tokens(numbers, _offsets(ends), rows=self.rows_of(words))

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless the table has a row for each word and bucket."""
        expected = self._features.num_rows
        if num_rows != expected:
            raise ValueError(f"words and buckets need {expected:,} rows, not {num_rows:,}")

    def state(self) -> State:
        """Return the options, the labels and the buckets that are left."""
        features = self._features
        labels = np.arange(features.n_words, features.entries.count, dtype=np.int32)
        numbers = {
            "word_ngrams": features.word_ngrams,
            "min_chars": features.min_chars,
            "max_chars": features.max_chars,
            "n_buckets": features.n_buckets,
            "is_supervised": int(self.rule is Rule.MEAN),
            "is_pruned": int(features.buckets_left is not None),
        }
        lines = features.entries.select(labels).lines()
        arrays: dict[str, npt.NDArray[Any]] = {"labels": np.frombuffer(lines, np.uint8)}
        if features.buckets_left is not None:
            arrays |= {"buckets": features.buckets_left.buckets(), "places": features.places}
        return State({name: str(value) for name, value in numbers.items()}, arrays)


class FloretModelLookup(FloretLookup):
    """The rule of floret in its ``.bin`` files, which have rows of words before those of buckets.

    Of these rows, only that of ``</s>``, the first, is in use.

    Parameters
    ----------
    hashing : FloretHashing
        The options of the file.
    words : Words
        The words that it lists.
    """

    kind = "floret model"

    def __init__(self, hashing: FloretHashing, words: Words) -> None:
        super().__init__(hashing)
        self.words = words

    @classmethod
    def restored(cls, words: Words, state: State) -> Self:
        """Return the lookup of a saved state, or raise ValueError or KeyError."""
        return cls(FloretHashing.of([state.about[name] for name in FloretHashing._fields]), words)

    def rows_of(self, words: Words) -> Bags:
        """Return the rows of each word; ``</s>`` has one of its own."""
        bags = super().rows_of(words)
        rows, counts = bags.indices + np.int32(self.words.count), np.diff(bags.offsets)
        end = words_of([_END_OF_LINE])
        (row,), (place,) = self.words.find(end), words.find(end)
        if row >= 0 and place >= 0:
            start, stop = bags.offsets[place : place + 2]
            rows = np.concatenate([rows[:start], [row], rows[stop:]]).astype(np.int32)
            counts[place] = 1
        return Bags(rows, _offsets(np.cumsum(counts)), ALL_ONES)

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless there is a row for each word and bucket."""
        super().check_table(num_rows - self.words.count)


class CodedTable:
    """The rows of a product-quantised table, decoded when they are asked for.

    It stands where word vectors have a `Table` in half precision: rows that are used are converted
    to float32 first.

    Parameters
    ----------
    matrix : Matrix
        The rows.
    """

    map_advice = None

    def __init__(self, matrix: Matrix) -> None:
        self.array = CodedRows(matrix)
        self.num_rows, self.dim = self.shape = matrix.num_rows, matrix.dim
        self.dtype = matrix.codes.dtype

    @property
    def weight(self) -> "CodedRows":
        """The rows, as callers get them."""
        return self.array

    def check_mapped(self) -> None:
        """Raise ValueError if the file of the codes has become shorter."""
        self.array.matrix.arrays  # noqa: B018 - it checks


class CodedRows:
    """An array of float32, (N, D), whose rows are decoded when they are read.

    Parameters
    ----------
    matrix : Matrix
        The rows.
    """

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix
        self.shape = matrix.num_rows, matrix.dim

    def __repr__(self) -> str:
        return f"<CodedRows: shape={self.shape}, {self.matrix.nbytes:,} bytes>"

    def __getitem__(self, rows: Any) -> npt.NDArray[np.float32]:
        return self.matrix.rows(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("rows of codes cannot become an array without a copy")
        return self.matrix.rows(slice(None)).astype(dtype or np.float32, copy=False)


def _offsets(ends: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends
    return offsets


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
