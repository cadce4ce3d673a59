"""A `Lookup` turns words and texts into bags of rows; `WholeWords` is that of one row a word.

A new format needs a class with the attributes and methods of `Lookup`. `WordVectors` does the
rest::

    texts ── tokens_of ──► Tokens ── pooled as `rule` says ──► a vector for each text
    words ── rows_of ────► Bags ──── mean of the rows ───────► a vector for each word
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import NO_WEIGHTS, Bags
from ebagx.text.lines import encoded
from ebagx.text.words import Words

ALL_ONES = NO_WEIGHTS[np.dtype(np.float32)]


class Rule(Enum):
    """A rule by which the vectors of a text's tokens become the vector of the text.

    `MEAN` is their mean. `UNIT_MEAN` divides each by its Euclidean length first; tokens whose
    vector is zero do not count. A text without tokens has the vector 0.
    """

    MEAN = "mean"
    UNIT_MEAN = "unit mean"


class Tokens(NamedTuple):
    """The tokens of B texts.

    Text b has the tokens ``indices[offsets[b] : offsets[b + 1]]``.

    Attributes
    ----------
    indices : ndarray of int32, shape (n,)
        Numbers of distinct tokens, or rows of the table if `rows` is None.
    offsets : ndarray of int32, shape (B + 1,)
        Where the tokens of each text start; the last is n.
    weights : ndarray of float32, shape (n,) or (0,)
        Factors of the tokens' vectors; without entries all are 1. A mean divides by the number of
        tokens, not by the sum of the factors.
    rows : Bags or None
        The rows whose mean is the vector of each distinct token; a token may have none, and then
        has the vector 0.
    """

    indices: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32] = ALL_ONES
    rows: Bags | None = None


class State(NamedTuple):
    """All of a lookup apart from the table, as files hold it: strings and arrays."""

    about: Mapping[str, str]
    arrays: Mapping[str, npt.NDArray[Any]]


class Lookup(Protocol):
    """The rule of a format: which rows of the table the words and texts have.

    Attributes
    ----------
    kind : str
        Its name in files.
    words : Words
        The words that the format lists, W of them: those of `WordVectors.words`.
    rule : Rule
        The pooling of the tokens of a text.
    normalizes : bool
        Whether the vector of a text is divided by its Euclidean length.
    has_row_per_word : bool
        Whether the vector of word w is just row w.
    """

    kind: str
    words: Words
    rule: Rule
    normalizes: bool
    has_row_per_word: bool

    def rows_of(self, words: Words) -> Bags:
        """Return the rows of each word, listed or not; the bag of a word without rows is empty.

        The vector of a word is the mean of its rows; with weights, the sum of the products.
        """

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts, without those that have no vector."""

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless a table with so many rows has all rows that bags may hold."""

    def state(self) -> State:
        """Return what `restored` of the same class takes."""


class WholeWords:
    """One row a word: the rule of word2vec, GloVe and ``.vec`` files.

    Tokens are what stands between blanks of ASCII, as in fastText; unknown ones are left out. The
    vector of a text is the mean of its words' unit vectors: that of fastText's
    ``print-sentence-vectors`` and gensim's ``get_mean_vector``.

    Parameters
    ----------
    words : Words
        Word w has row w.
    """

    kind = "words"
    rule = Rule.UNIT_MEAN
    normalizes = False
    has_row_per_word = True

    def __init__(self, words: Words) -> None:
        self.words = words

    @classmethod
    def restored(cls, words: Words, state: State) -> "WholeWords":  # noqa: ARG003
        """Return the lookup of a saved state."""
        return cls(words)

    def rows_of(self, words: Words) -> Bags:
        """Return the row of each word, an empty bag for unknown ones."""
        return bags_of_known(self.words.find(words))

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return the known words of each text."""
        return known_tokens(*self.words.recognise(encoded(texts)))

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless the table has a row for each word."""
        if num_rows != self.words.count:
            raise ValueError(f"{self.words.count:,} words need as many rows, not {num_rows:,}")

    def state(self) -> State:
        """Return nothing, as the words are all."""
        return State({}, {})


def bags_of_known(rows: npt.NDArray[np.int32]) -> Bags:
    """Return a bag of one row each, or of none where the row is negative."""
    is_known = rows >= 0
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(is_known, out=offsets[1:])
    return Bags(rows[is_known], offsets, ALL_ONES)


def known_tokens(rows: npt.NDArray[np.int32], ends: npt.NDArray[np.intp]) -> Tokens:
    """Return the tokens with a row: not negative. Text b has the tokens up to ``ends[b]``."""
    is_known = rows >= 0
    before = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(is_known, out=before[1:])
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = before[ends]
    return Tokens(rows[is_known], offsets)
