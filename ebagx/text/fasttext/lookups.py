"""The rules by which models of fastText and floret give vectors to words and texts."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import check_integer
from ebagx._core.bags import Bags
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.lines import encoded
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.vectors.floret import FloretHashing, FloretLookup
from ebagx.text.vectors.lookups import ALL_ONES, Rule, State, Tokens
from ebagx.text.words import Words, spans_of_lines, words_of

_BETWEEN_BLANKS = Tokenizer("whitespace", lowercase=False)
_END_OF_LINE = "</s>"


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
        self.words = features.words() if words is None else words
        self.rule = Rule.MEAN if is_supervised else Rule.UNIT_MEAN
        self._features = features

    @classmethod
    def restored(cls, words: Words, state: State) -> Self:
        """Return the lookup of a saved state, or raise ValueError or KeyError."""
        is_supervised = check_integer(int(state.about["is_supervised"]), "is_supervised", 0, 1)
        return cls(FastTextFeatures.restored(words, state), bool(is_supervised), words)

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
        about, arrays = self._features.state()
        return State({**about, "is_supervised": str(int(self.rule is Rule.MEAN))}, arrays)


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
