"""Read vectors as text: a word and its numbers in a line, below a header or without one.

Lines end at newlines and fields at spaces only: words may have other blanks of Unicode. Numbers are
the last D fields of a line, so that the words of GloVe may have spaces.
"""

import warnings
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.threads import thread_count
from ebagx.io.vectors import parse
from ebagx.io.vectors.rows import CodeRows, Rows
from ebagx.io.vectors.stream import Stream
from ebagx.text.words import Words, spans_of_lines

MAX_DIM = 1 << 16
_LINES_THAT_TELL = 100  # the number of columns, where there is no header
_WORK_OF_NUMBER = 20  # additions, that reading one takes

_Floats = npt.NDArray[np.float32]
_Spans = npt.NDArray[np.intp]


class Header(NamedTuple):
    """The number of words, and of columns."""

    n_words: int
    dim: int


class Options(NamedTuple):
    """Options of the readers."""

    dtype: np.dtype[Any]
    bits: int | None = None  # of a quantised table
    limit: int | None = None
    decodes: bool = True  # words must be UTF-8

    def rows(self, dim: int) -> Rows | CodeRows:
        """Return what collects rows."""
        return Rows(dim, self.dtype) if self.bits is None else CodeRows(dim, self.bits)


class Vocabulary(NamedTuple):
    """Words, and the rows that they have."""

    words: Words
    rows: Rows | CodeRows


class Collector:
    """Collects words with their rows; of equal words the first counts."""

    def __init__(self, stream: Stream, dim: int, options: Options) -> None:
        self._stream, self._options = stream, options
        self.words, self.rows = Words(), options.rows(dim)
        self.count = 0  # of records, those left out too

    @property
    def is_full(self) -> bool:
        """Return whether there are as many words as the caller wants."""
        limit = self._options.limit
        return limit is not None and self.words.count >= limit

    def add(self, rows: _Floats, spans: _Spans, text: bytes) -> None:
        """Add the rows of words, which are parts of a text."""
        first = self.count
        self.count += len(spans)
        if self._options.decodes and not text.isascii():
            self._check_text(spans, text, first)
        is_word = spans[:, 1] > spans[:, 0]
        if not is_word.all():
            spans, rows = spans[is_word], rows[is_word]
        while len(spans) and not self.is_full:
            room = len(spans)
            if self._options.limit is not None:
                room = min(room, self._options.limit - self.words.count)
            self._add_words(rows[:room], spans[:room], text)
            rows, spans = rows[room:], spans[room:]

    def _add_words(self, rows: _Floats, spans: _Spans, text: bytes) -> None:
        before = self.words.count
        numbers = self.words.add(text, spans)
        if self.words.count - before < len(numbers):
            rows = rows[np.diff(np.maximum.accumulate(numbers), prepend=before - 1) > 0]
        add_rows(self._stream, self.rows, rows)

    def finish(self) -> Vocabulary:
        """Return all words, with a warning if some were left out."""
        if not self.words.count:
            raise self._stream.error("the file has no vectors")
        left_out = self.count - self.words.count
        if left_out and not self.is_full:
            warnings.warn(
                f"{self._stream.path}: {left_out:,} of {self.count:,} vectors are left out, whose "
                "words are empty or occurred before",
                stacklevel=2,
            )
        return Vocabulary(self.words, self.rows)

    def _check_text(self, spans: _Spans, text: bytes, first: int) -> None:
        for number, (start, end) in enumerate(spans.tolist(), first + 1):
            try:
                text[start:end].decode()
            except UnicodeDecodeError:
                raise self._stream.error(
                    f"word {number:,} is not UTF-8: {text[start:end]!r:.50}; with "
                    "unicode_errors='surrogateescape' its bytes are kept as surrogates"
                ) from None


def read_text(stream: Stream, header: Header | None, options: Options) -> Vocabulary:
    """Read lines of words and numbers.

    Raises
    ------
    ValueError
        If a line has another number of numbers than the first ones, or if there are more or fewer
        lines than the header says. The text names file and line.
    """
    dim = dim_of_lines(stream) if header is None else header.dim
    collector = Collector(stream, dim, options)
    skipped = 0 if header is None else 1
    for part, text in enumerate(stream.lines()):
        spans = spans_of_lines(text)
        if part == 0:
            spans = spans[skipped:]
        words = np.empty_like(spans)
        rows = parsed_rows(stream, dim, words, spans, text, collector.count + skipped)
        collector.add(rows, words, text)
        if collector.is_full:
            break
    if header is not None and not collector.is_full:
        check_count(stream, header.n_words, collector.count)
    return collector.finish()


def add_rows(stream: Stream, table: Rows | CodeRows, rows: _Floats) -> None:
    """Add rows to a table; raise ValueError with the name of the file if it cannot hold them."""
    try:
        table.add(rows)
    except ValueError as error:
        first, last = table.count + 1, table.count + len(rows)
        raise stream.error(f"in rows {first:,} to {last:,} of the table: {error}") from None


def check_count(stream: Stream, expected: int, found: int) -> None:
    """Raise ValueError unless there are as many words as the header says."""
    if found != expected:
        raise stream.error(
            f"damaged or incomplete: the header says {expected:,} words, the file has {found:,}"
        )


def parsed_rows(
    stream: Stream, dim: int, words: _Spans, spans: _Spans, text: bytes, before: int
) -> _Floats:
    """Return the numbers of lines, and write where their words are; `before` lines come before."""
    rows, faults = np.empty((len(spans), dim), np.float32), np.empty(len(spans), np.uint8)
    threads = thread_count(None, rows.size * _WORK_OF_NUMBER)
    parse.parse_rows(rows, words, faults, spans, text, powers_of_ten(), threads)
    for i in np.flatnonzero(faults):
        start, end = spans[i]
        try:
            words[i, 1] = start + _parse_line(rows[i], text[start:end])
        except ValueError as error:
            raise stream.error(f"line {before + i + 1:,}: {error}") from None
    return rows


def _parse_line(row: _Floats, line: bytes) -> int:
    """Read the numbers of a line as the compiled code would; return where the word ends."""
    rest = line.rstrip(b"\r")
    for d in reversed(range(len(row))):
        rest, blank, field = rest.rstrip(b" ").rpartition(b" ")
        if not blank:
            raise ValueError(f"there are fewer than {len(row)} numbers: {line!r:.60}")
        row[d] = _as_number(field)
    *others, last = rest.rstrip(b" ").split(b" ")
    if others and _is_number(last):
        raise ValueError(f"there are more than {len(row)} numbers: {line!r:.60}")
    return len(rest.rstrip(b" "))


def _as_number(field: bytes) -> np.float32:
    if not _is_number(field):
        raise ValueError(f"{field!r:.30} is not a number")
    with np.errstate(over="ignore"):
        number = np.float32(float(field))
    if not np.isfinite(number):
        raise ValueError(f"{field!r:.30} is not a finite float32")
    return number


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field


def dim_of_lines(stream: Stream) -> int:
    """Return how many numbers most of the first lines end with.

    The first field of a line is no such number: it is a word, or begins one.
    """
    lines = stream.head.split(b"\n")[:-1][:_LINES_THAT_TELL]
    counts = Counter(_count_numbers(fields_of(line)[1:]) for line in lines)
    dim = max(counts, key=counts.__getitem__, default=0)
    if not 1 <= dim <= MAX_DIM:
        raise stream.error(
            "this is no file of vectors that ebagx knows; text has a word and its numbers in each "
            "line"
        )
    return dim


def _count_numbers(fields: list[bytes]) -> int:
    """Return how many numbers are at the end of some fields."""
    return next((n for n, field in enumerate(fields[::-1]) if not _is_number(field)), len(fields))


def fields_of(line: bytes) -> list[bytes]:
    """Return the parts of a line between spaces."""
    return [field for field in line.rstrip(b"\r").split(b" ") if field]


@cache
def powers_of_ten() -> npt.NDArray[np.uint64]:
    """Return the first 128 bits of powers of ten, (E, 2): the lower 64 and the upper 64."""
    exponents = range(parse.LEAST_POWER, parse.LARGEST_POWER + 1)
    halves = [divmod(_first_bits(exponent), 1 << 64) for exponent in exponents]
    return np.array([(low, high) for high, low in halves], np.uint64)


def _first_bits(exponent: int) -> int:
    power: int = 10 ** abs(exponent)
    if exponent < 0:
        return (1 << (power.bit_length() + 127)) // power
    shift = power.bit_length() - 128
    return power >> shift if shift > 0 else power << -shift
