"""The rule of floret: a word is a bag of hashed n-grams of characters, and has no row of its own.

The word between the marks of its ends, and each of its n-grams, have `rows_per_hash` rows each:
the first parts of their hash, modulo the number of buckets (Boyd and Warmerdam 2022).
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.arguments import check_integer
from ebagx._core.bags import Bags
from ebagx.text import tokens
from ebagx.text.lines import encoded
from ebagx.text.ngrams import MAX_CHAR_NGRAM
from ebagx.text.tokenizers import Tokenizer
from ebagx.text.vectors.lookups import ALL_ONES, Rule, State, Tokens
from ebagx.text.words import UNDECODED, Words, spans_of_lines

_BETWEEN_BLANKS = Tokenizer("whitespace", lowercase=False)
_MOST_MARK_BYTES = 64


class FloretHashing(NamedTuple):
    """The header of floret's files."""

    n_buckets: int
    min_chars: int
    max_chars: int
    rows_per_hash: int
    seed: int
    begin: str
    end: str

    @classmethod
    def of(cls, fields: Sequence[str]) -> Self:
        """Return the checked header of the fields of a line; raise ValueError if one is wrong."""
        numbers, marks = map(int, fields[:5]), fields[5:]
        hashing = cls(*numbers, *marks)  # type: ignore[arg-type]
        hashing._check()
        return hashing

    def _check(self) -> None:
        check_integer(self.n_buckets, "bucket", 1, 2**31 - 1)
        check_integer(self.max_chars, "maxn", 0, MAX_CHAR_NGRAM)
        check_integer(self.min_chars, "minn", 0, self.max_chars)
        check_integer(self.rows_per_hash, "hashCount", 1, 4)
        check_integer(self.seed, "seed", 0, 2**32 - 1)
        for mark in (self.begin, self.end):
            if len(mark.encode(errors="replace")) > _MOST_MARK_BYTES or "\n" in mark:
                raise ValueError(f"{mark!r:.50} cannot mark the ends of words")


class FloretLookup:
    """Words as bags of hashed n-grams.

    Tokens are what stands between blanks of ASCII; the vector of a text is the mean of their unit
    vectors.

    Parameters
    ----------
    hashing : FloretHashing
        The checked header of a file.
    """

    kind = "floret"
    rule = Rule.UNIT_MEAN
    normalizes = False
    has_row_per_word = False

    def __init__(self, hashing: FloretHashing) -> None:
        self.words = Words()  # none is listed
        self._hashing = hashing

    @classmethod
    def restored(cls, words: Words, state: State) -> "FloretLookup":  # noqa: ARG003
        """Return the lookup of a saved state, or raise ValueError or KeyError."""
        return cls(FloretHashing.of([state.about[name] for name in FloretHashing._fields]))

    def rows_of(self, words: Words) -> Bags:
        """Return the rows of each word."""
        hashing = self._hashing
        marked, spans = self._marked(words)
        lengths = hashing.max_chars - max(hashing.min_chars, 1) + 1 if hashing.max_chars else 0
        most = (words.count + len(marked) * lengths) * hashing.rows_per_hash
        rows, offsets = np.empty(most, np.int32), np.zeros(words.count + 1, np.intp)
        tokens.hash_murmur(
            rows,
            offsets[1:],
            spans,
            marked,
            (hashing.min_chars, hashing.max_chars),
            hashing.rows_per_hash,
            hashing.seed,
            hashing.n_buckets,
        )
        return Bags(rows[: offsets[-1]].copy(), offsets.astype(np.int32), ALL_ONES)

    def _marked(self, words: Words) -> tuple[bytes, npt.NDArray[np.intp]]:
        """Return the words with the marks of their ends, and where each of them is."""
        begin, end = self._hashing.begin.encode(), self._hashing.end.encode()
        # The last word is followed by a mark that begins no word.
        marked = begin + words.lines().replace(b"\n", end + b"\n" + begin)
        spans = spans_of_lines(marked)
        if len(spans) != words.count:  # a word has a newline
            whole = [begin + name.encode(errors=UNDECODED) + end for name in words.names()]
            ends = np.cumsum([0, *map(len, whole)], dtype=np.intp)
            return b"".join(whole), np.column_stack((ends[:-1], ends[1:]))
        return marked, spans

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Return the distinct words of some texts, and which each text has."""
        text, words = encoded(texts), Words()
        numbers, ends = words.split(text, spans_of_lines(text), _BETWEEN_BLANKS)
        offsets = np.zeros(len(ends) + 1, np.int32)
        offsets[1:] = ends
        return Tokens(numbers, offsets, rows=self.rows_of(words))

    def check_table(self, num_rows: int) -> None:
        """Raise ValueError unless there is a row for each bucket."""
        if num_rows != self._hashing.n_buckets:
            raise ValueError(
                f"{self._hashing.n_buckets:,} buckets need as many rows, not {num_rows:,}"
            )

    def state(self) -> State:
        """Return the header."""
        return State({name: str(value) for name, value in self._hashing._asdict().items()}, {})
