"""Lines of text kept as numbers of words: four bytes a word, and no object of Python a line."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens
from ebagx.text.corpus import PREFIX, Records, read_records
from ebagx.text.rows import AllRows
from ebagx.text.tokenizers import DEFAULT, Tokenizer, joined
from ebagx.text.words import Words, spans_of_lines

_BLOCK_LENGTH = 1 << 20

_INT16_MAX, _INT32_MAX = 2**15 - 1, 2**31 - 1
_LINES_AT_ONCE = 1 << 16

_Int32 = npt.NDArray[np.int32]
_Intp = npt.NDArray[np.intp]
_Integers = npt.NDArray[np.integer[Any]]
Rows = _Integers | AllRows


class LineStore:
    """Lines and their labels, which can be added to.

    Parameters
    ----------
    tokenizer : Tokenizer
        The rule that cuts texts into words.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.words, self.label_names = Words(), Words()
        self._words = _GrowingArray(np.int32)
        self._offsets = _GrowingArray(np.int32, 0)
        self._labels = _GrowingArray(np.int16)
        self._label_offsets = _GrowingArray(np.int32, 0)

    def __repr__(self) -> str:
        return f"LineStore({self.num_lines} lines, {len(self.words_k)} words)"

    @property
    def num_lines(self) -> int:
        """Number of lines."""
        return len(self.offsets) - 1

    @property
    def words_k(self) -> _Int32:
        """The number of the word of each token."""
        return self._words.array

    @property
    def offsets(self) -> _Integers:
        """The places where the tokens of each line start, and the last ones end."""
        return self._offsets.array

    @property
    def labels_l(self) -> _Integers:
        """The numbers of the labels of all lines, one after the other."""
        return self._labels.array

    @property
    def label_offsets(self) -> _Integers:
        """The places where the labels of each line start, and the last ones end."""
        return self._label_offsets.array

    def all(self) -> "Lines":
        """Return all lines."""
        return Lines(self, AllRows(self.num_lines))

    def arrays_of(self, rows: _Integers) -> tuple[_Intp, _Int32, _Intp]:
        """Return some lines as compiled code takes them: numbers, words and offsets.

        The words of line b are those from ``offsets[numbers[b]]`` to ``offsets[numbers[b] + 1]``.
        """
        offsets = np.empty(2 * len(rows), np.intp)
        offsets[::2], offsets[1::2] = self.offsets[rows], self.offsets[rows + 1]
        return np.arange(0, len(offsets), 2), self.words_k, offsets

    def add_texts(self, texts: Sequence[str]) -> None:
        """Add lines without labels.

        Raises
        ------
        ValueError
            If a text has a surrogate, which UTF-8 cannot encode.
        """
        if self.tokenizer.function is not None:
            self._add_cut(texts)
            return
        for part in _split_into_blocks(texts):
            try:
                encoded = joined(part)
            except UnicodeEncodeError:
                raise ValueError(describe_surrogate(texts)) from None
            prepared = self.tokenizer.prepare(encoded)
            self._add(prepared, spans_of_lines(prepared))

    def add_labels(self, labels: Iterable[Sequence[str]]) -> None:
        """Add the labels of lines that have been added."""
        given = list(labels)
        text = "".join(f"{name}\n" for names in given for name in names).encode()
        numbers = self.label_names.add(text, spans_of_lines(text))
        self._add_labels(numbers, np.cumsum([len(names) for names in given]))

    def add_records(self, records: Records) -> None:
        """Add the lines of a block of a file."""
        block, text, spans, is_odd, label_spans, label_ends = records
        prepared = self.tokenizer.prepare_ascii(text)
        is_odd = is_odd | self.tokenizer.ends_lines
        if is_odd.any():
            odd = self.tokenizer.prepare(_copied(text, spans[is_odd]))
            spans[is_odd] = spans_of_lines(odd) + len(prepared)
            prepared += odd
        self._add(prepared, spans)
        self._add_labels(self.label_names.add(block, label_spans), label_ends)

    def drop_rare_labels(self, min_count: int) -> int:
        """Take labels of fewer than `min_count` lines from all lines; return how many there are."""
        labels, offsets = self.labels_l, self.label_offsets
        counts = np.bincount(labels, minlength=self.label_names.count)
        is_kept = counts[labels] >= min_count
        before = np.concatenate([[0], np.cumsum(is_kept)])
        kept, starts = labels[is_kept], before[offsets]
        self._labels, self._label_offsets = _GrowingArray(np.int16), _GrowingArray(np.int32)
        self._labels.append(kept)
        self._label_offsets.append(starts)
        return int(np.count_nonzero((counts > 0) & (counts < min_count)))

    def trim(self) -> None:
        """Give back the memory of what may still be added: up to an eighth."""
        for array in (self._words, self._offsets, self._labels, self._label_offsets):
            array.trim()
        self.words.trim()

    def _add_cut(self, texts: Sequence[str]) -> None:
        """Add lines that a function cuts into words."""
        number = 0
        for part in _split_into_blocks(texts):
            cut = [self.tokenizer.cut(text, i) for i, text in enumerate(part, number)]
            text = "".join([f"{word}\n" for words in cut for word in words]).encode()
            self._offsets.append(len(self.words_k) + np.cumsum([len(words) for words in cut]))
            self._words.append(self.words.add(text, spans_of_lines(text)))
            number += len(part)

    def _add(self, prepared: bytes, spans: _Intp) -> None:
        words, ends = self.words.split(prepared, spans, self.tokenizer)
        ends += len(self.words_k)
        self._words.append(words)
        self._offsets.append(ends)

    def _add_labels(self, labels: _Int32, ends: _Intp) -> None:
        if len(labels) > len(ends):
            labels, ends = _without_repeats(labels, ends)
        self._label_offsets.append(ends + len(self.labels_l))
        self._labels.append(labels)


@dataclass(frozen=True)
class Lines:
    """Some lines of a store, to learn from or to measure on."""

    store: LineStore
    rows: Rows

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        labels: Iterable[Sequence[str]] | None = None,
        tokenizer: Tokenizer = DEFAULT,
    ) -> Self:
        """Return texts, perhaps with one or more labels each, as lines."""
        store = LineStore(tokenizer)
        store.add_texts(texts)
        if labels is not None:
            store.add_labels(labels)
        return cls(store, AllRows(store.num_lines))

    def __repr__(self) -> str:
        return f"Lines({len(self.rows)} of {self.store.num_lines} lines)"

    @property
    def num_lines(self) -> int:
        """Number of lines."""
        return len(self.rows)

    def select(self, places: Any) -> "Lines":
        """Return some of these lines."""
        is_mask = isinstance(places, np.ndarray) and places.dtype == bool
        return self if is_mask and places.all() else Lines(self.store, self.rows[places])

    def count_words(self) -> int:
        """Return the number of words, each as often as it occurs."""
        bounds = self._bounds(self.store.offsets)
        return sum(int((ends - starts).sum(dtype=np.int64)) for _, starts, ends in bounds)

    def labels(self) -> tuple[_Integers, _Integers]:
        """Return the numbers of the labels of all lines, and where those of each start, and end.

        They may be the arrays of the store, which nobody changes.
        """
        bounds = self.store.label_offsets
        if isinstance(self.rows, AllRows):
            return self.store.labels_l, bounds
        offsets = np.zeros(self.num_lines + 1, bounds.dtype)
        for part, starts, ends in self._bounds(bounds):
            np.subtract(ends, starts, out=offsets[1:][part])
        np.cumsum(offsets, out=offsets)
        numbers = np.empty(offsets[-1], self.store.labels_l.dtype)
        for part, starts, ends in self._bounds(bounds):
            first, stop = offsets[:-1][part][0], offsets[1:][part][-1]
            places = np.repeat(ends - offsets[1:][part], ends - starts)
            places += np.arange(first, stop, dtype=places.dtype)
            numbers[first:stop] = self.store.labels_l[places]
        return numbers, offsets

    def labelled(self) -> "Lines":
        """Return those of these lines that have a label."""
        has_label = np.empty(self.num_lines, bool)
        for part, starts, ends in self._bounds(self.store.label_offsets):
            np.greater(ends, starts, out=has_label[part])
        return self.select(has_label)

    def _bounds(self, offsets: _Integers) -> Iterator[tuple[slice, _Integers, _Integers]]:
        """Yield parts of the lines, and where what each line has starts and ends in the store.

        The parts are small, so that no array beside those of a result has a large size.
        """
        for first in range(0, self.num_lines, _LINES_AT_ONCE):
            part = slice(first, first + _LINES_AT_ONCE)
            rows = self.rows[part]
            yield part, offsets[rows], offsets[rows + 1]

    def label_names(self) -> list[str]:
        """Return the labels that occur, sorted."""
        names = self.store.label_names.names()
        occurs = np.zeros(len(names), bool)
        occurs[self.labels()[0]] = True
        return sorted(name for name, found in zip(names, occurs.tolist(), strict=True) if found)

    def label_places(self, names: Sequence[str]) -> _Intp:
        """Return where the label of each number stands in a list, or -1."""
        place = {name: i for i, name in enumerate(names)}
        return np.array([place.get(name, -1) for name in self.store.label_names.names()], np.intp)


def read_lines(
    stream: BufferedReader,
    name: str,
    advance: Callable[[int], object] | None = None,
    tokenizer: Tokenizer = DEFAULT,
    prefix: str = PREFIX,
) -> Lines:
    """Read an open training file, which messages call `name`; see ``corpus.parse_corpus``.

    `advance` is called after each block, with the number of labelled lines so far.
    """
    store = LineStore(tokenizer)
    for records in read_records(stream, name, prefix):
        store.add_records(records)
        if advance is not None:
            advance(store.num_lines)
    store.trim()
    return store.all()


class _GrowingArray:
    """A one-dimensional array of integers to which entries are added at the end.

    Those of int16 become int32 as soon as one does not fit, and these int64 as soon as an ascending
    one does not.

    It grows by an eighth: where the system moves pages, as Linux does, its entries are not copied,
    and there are never two copies of them.
    """

    def __init__(self, dtype: npt.DTypeLike, *entries: int) -> None:
        self._array = np.array(entries, dtype)
        self._count = len(entries)

    @property
    def array(self) -> npt.NDArray[Any]:
        """The entries, which must not be kept while more are added."""
        return self._array[: self._count]

    def append(self, entries: npt.NDArray[Any]) -> None:
        """Add entries."""
        if self._array.dtype == np.int16 and entries.max(initial=0) > _INT16_MAX:
            self._array = self._array.astype(np.int32)
        if self._array.dtype == np.int32 and len(entries) and entries[-1] > _INT32_MAX:
            self._array = self._array.astype(np.int64)
        end = self._count + len(entries)
        if end > len(self._array):
            self._array.resize(max(end, self._count * 9 // 8), refcheck=False)
        self._array[self._count : end] = entries
        self._count = end

    def trim(self) -> None:
        """Give back the memory of entries that may still come."""
        self._array.resize(self._count, refcheck=False)


def _split_into_blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield runs of texts of about a million characters, or of one text."""
    first = length = 0
    for i, text in enumerate(texts):
        if length and length + len(text) > _BLOCK_LENGTH:
            yield texts[first:i]
            first, length = i, 0
        length += len(text) + 1
    if first < len(texts):
        yield texts[first:]


def encoded(texts: Sequence[str]) -> bytes:
    """Return texts as lines of UTF-8.

    Raises
    ------
    ValueError
        If a text has a surrogate.
    """
    try:
        return joined(texts)
    except UnicodeEncodeError:
        raise ValueError(describe_surrogate(texts)) from None


def describe_surrogate(texts: Sequence[str]) -> str:
    """Return the message about the first surrogate in texts, which UTF-8 cannot encode."""
    for i, text in enumerate(texts):
        match = re.search("[\ud800-\udfff]", text)
        if match:
            return (
                f"text {i} of {len(texts)} has the surrogate {match[0]!a} at position "
                f"{match.start()}, which is not a character"
            )
    raise AssertionError("no surrogate")


def _copied(block: bytes, spans: _Intp) -> bytes:
    """Return parts of a block, each followed by a newline."""
    lines = np.empty(int((spans[:, 1] - spans[:, 0]).sum()) + len(spans), np.uint8)
    tokens.copy_spans(lines, spans, block)
    return lines.tobytes()


def _without_repeats(labels: _Int32, ends: _Intp) -> tuple[_Int32, _Intp]:
    """Leave out labels that occur before in the same line."""
    lines = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    _, first = np.unique(lines * (labels.max() + np.int64(1)) + labels, return_index=True)
    first.sort()
    return labels[first], np.searchsorted(lines[first], np.arange(len(ends)), "right")
