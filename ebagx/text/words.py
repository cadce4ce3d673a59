"""Words of prepared text, numbered in the order in which they first occur."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens
from ebagx.text.tokenizers import Rule, Tokenizer

UNDECODED = "surrogateescape"
_MAX_WORDS = 2**31 - 1

_Bytes = npt.NDArray[np.uint8]
_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Uint32 = npt.NDArray[np.uint32]
_Slots = npt.NDArray[np.uint64]


def spans_of_lines(text: bytes) -> _Intp:
    """Return where each line of a text starts and ends, (B, 2); all end with a newline."""
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    spans = np.empty((len(ends), 2), np.intp)
    spans[:, 1] = ends
    spans[:1, 0] = 0
    spans[1:, 0] = ends[:-1] + 1
    return spans


class Words:
    """Distinct words, numbered from 0 in the order in which they were added.

    A word takes its bytes in UTF-8 and about 32 bytes more: no object of Python.
    """

    def __init__(self) -> None:
        self.count = 0
        self._bytes = np.empty(0, np.uint8)
        self._offsets = np.zeros(1, np.intp)
        self._hashes = np.empty(0, np.uint32)
        self._slots = np.zeros(2, np.uint64)

    @classmethod
    def of(cls, text: bytes | _Bytes, spans: _Intp) -> Self:
        """Return the distinct words that parts of a text are."""
        words = cls()
        words.add(text, spans)
        return words

    @classmethod
    def restored(cls, text: _Bytes, offsets: _Intp, hashes: _Uint32, slots: _Slots) -> Self:
        """Return words whose arrays were saved; nothing is added.

        The arrays are copied, as another process may change the file under a map of it.

        Raises
        ------
        ValueError
            If the arrays do not fit each other: look-ups would read outside them, or never end.
        """
        text, offsets, hashes, slots = map(np.array, (text, offsets, hashes, slots))
        n_words = len(hashes)
        if len(offsets) != n_words + 1 or offsets[0] != 0 or offsets[-1] != len(text):
            raise ValueError("the words do not fill their text")
        if (offsets[1:] <= offsets[:-1]).any():
            raise ValueError("a word ends before it starts")
        numbers = (slots & np.uint64(0xFFFFFFFF)).astype(np.int64)
        is_power = len(slots) > 1 and len(slots) & (len(slots) - 1) == 0
        if not is_power or len(slots) < 2 * n_words or numbers.max() > n_words:
            raise ValueError("the table of words is damaged")
        if np.count_nonzero(numbers) != n_words or np.count_nonzero(slots) != n_words:
            raise ValueError("the table of words has other words")
        words = cls()
        words.count = n_words
        words._bytes, words._offsets, words._hashes, words._slots = text, offsets, hashes, slots
        return words

    def __repr__(self) -> str:
        return f"Words({self.count} words)"

    @property
    def text(self) -> _Bytes:
        """The words, one after the other."""
        return self._bytes[: self._offsets[self.count]]

    @property
    def spans(self) -> _Intp:
        """The places in `text` where each word starts and ends, (W, 2)."""
        return np.column_stack((self._offsets[: self.count], self._offsets[1 : self.count + 1]))

    @property
    def hashes(self) -> _Uint32:
        """The hash of each word, (W,)."""
        return self._hashes[: self.count]

    @property
    def lookup(self) -> tuple[_Bytes, _Intp, npt.NDArray[np.uint64]]:
        """The arrays in which `tokens.expand_texts` finds words."""
        return self._bytes, self._offsets, self._ready_slots()

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return what `restored` takes, with offsets of int64."""
        offsets = self._offsets[: self.count + 1].astype(np.int64, copy=False)
        slots = self._ready_slots()
        if len(slots) > 4 * max(self.count, 1):  # room for words that did not come
            slots = self._filled_slots(self.count)
        return self.text, offsets, self.hashes, slots

    def trim(self) -> None:
        """Give back the memory of the slots, which the next look-up fills again."""
        self._slots = np.zeros(2, np.uint64)

    def lines(self) -> bytes:
        """Return the words, each followed by a newline."""
        lines = np.empty(len(self.text) + self.count, np.uint8)
        tokens.copy_spans(lines, self.spans, self.text)
        return lines.tobytes()

    def names(self) -> list[str]:
        """Return the words in their order, as `name` does."""
        names = self.lines().decode(errors=UNDECODED).split("\n")[:-1]
        return names if len(names) == self.count else [*map(self.name, range(self.count))]

    def name(self, word: int) -> str:
        """Return a word; bytes that are not UTF-8 become surrogates, as in names of files."""
        return bytes(self._bytes[self._offsets[word] : self._offsets[word + 1]]).decode(
            errors=UNDECODED
        )

    def select(self, order: _Int32) -> "Words":
        """Return some of the words, in another order."""
        return Words.of(self.text, self.spans[order])

    def joined(self, others: "Words") -> "Words":
        """Return these words, and after them those of the others that are not among them."""
        words = Words.of(self.text, self.spans)
        words.add(others.text, others.spans)
        return words

    def split(self, text: bytes, spans: _Intp, tokenizer: Tokenizer) -> tuple[_Int32, _Intp]:
        """Cut lines of prepared text into words; add those that are new.

        Return the number of each token's word, and how many tokens there are up to each line.
        """
        is_blank = tokenizer.rule is Rule.BLANKS
        room = tokens.count_words(text) if is_blank else tokens.count_starts(text)
        self._reserve(room, len(text))
        return self._number(room, spans, text, tokenizer.rule, tokenizer.lowercase, True)

    def add(self, text: bytes | _Bytes, spans: _Intp) -> _Int32:
        """Add the words that parts of a text are; return their numbers."""
        self._reserve(len(spans), int((spans[:, 1] - spans[:, 0]).sum()))
        return self._number(len(spans), spans, text, Rule.WHOLE, False, True)[0]

    def recognise(self, text: bytes) -> tuple[_Int32, _Intp]:
        """Cut lines of text at blanks; return the numbers of the words, and how many up to each.

        A word that is not here has the number -1. Cost: a look-up per word.
        """
        room, spans = tokens.count_words(text), spans_of_lines(text)
        return self._number(room, spans, text, Rule.BLANKS, False, False)

    def find(self, others: "Words") -> _Int32:
        """Return the numbers that other words have here, -1 for those that are not here."""
        return self._number(others.count, others.spans, others.text, Rule.WHOLE, False, False)[0]

    def _number(
        self,
        room: int,
        spans: _Intp,
        text: bytes | _Bytes,
        rule: Rule,
        lowercase: bool,
        learns: bool,
    ) -> tuple[_Int32, _Intp]:
        numbers, ends = np.empty(room, np.int32), np.empty(len(spans), np.intp)
        table = self._bytes, self._offsets, self._hashes, self._ready_slots()
        word = np.empty(len(text) if rule is Rule.BOUNDARIES else 0, np.uint8)
        count = tokens.number_words(
            numbers, ends, *table, spans, text, word, self.count, rule, lowercase, learns
        )
        if learns:
            self.count = count
        return numbers[: ends[-1] if len(ends) else 0], ends

    def _reserve(self, n_words: int, n_bytes: int) -> None:
        """Make room for new words, and keep half of the slots free."""
        most = self.count + n_words
        if most > _MAX_WORDS:
            raise ValueError(f"more than {_MAX_WORDS} different words")
        self._bytes = _enlarged(self._bytes, int(self._offsets[self.count]) + n_bytes)
        self._offsets = _enlarged(self._offsets, most + 1)
        self._hashes = _enlarged(self._hashes, most)
        if 2 * most > len(self._slots):
            self._slots = self._filled_slots(most)

    def _ready_slots(self) -> _Slots:
        """Return the slots, filled if they have been given back."""
        if 2 * self.count > len(self._slots):
            self._slots = self._filled_slots(self.count)
        return self._slots

    def _filled_slots(self, most: int) -> _Slots:
        """Return slots of which half stay free with the `most` words."""
        slots = np.zeros(1 << (2 * most - 1).bit_length(), np.uint64)
        tokens.fill_slots(slots, self.hashes)
        return slots


def words_of(words: Sequence[str]) -> Words:
    """Return some words; those that are empty or repeated have no number."""
    encoded = [word.encode(errors=UNDECODED) for word in words]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.intp)
    spans = np.column_stack((ends[:-1], ends[1:]))
    return Words.of(b"".join(encoded), spans)


def distinct_words(words: Sequence[str]) -> Words:
    """Return some words; raise ValueError if one is empty or occurs twice."""
    distinct = words_of(words)
    if distinct.count < len(words):
        raise ValueError("words must be different and not empty")
    return distinct


def _enlarged(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Return an array of at least `size` entries, half as many more if it has to grow."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, len(array) * 3 // 2), array.dtype)
    larger[: len(array)] = array
    return larger
