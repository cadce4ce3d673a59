"""Read labelled texts and lines from files, and report errors in the files."""

import re
from collections.abc import Iterator
from functools import lru_cache
from io import BufferedReader
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens
from ebagx.text.sources import read_blocks

PREFIX = "__label__"  # of labels among words, as for fastText
_NO_TAB = "no tab between label and text"
_BOM = b"\xef\xbb\xbf"
_UTF_16 = b"\xff\xfe", b"\xfe\xff"  # how its files begin
_PREFIX_FORM = 2  # the number that ``tokens.split_records`` has for lines with the prefix

_Intp = npt.NDArray[np.intp]


class LabelledTexts(NamedTuple):
    """Texts and their labels: two lists of equal length.

    Examples
    --------
    >>> from ebagx.datasets import load_wordnet10
    >>> texts, labels = load_wordnet10()
    >>> texts[0], labels[0]
    ('any typical arboreal squirrel', 'animal')
    """

    texts: list[str]
    labels: list[str]

    def __repr__(self) -> str:
        return _short_repr(self, len(set(self.labels)))


class Corpus(NamedTuple):
    """Texts and the labels of each, at least one: two lists of equal length."""

    texts: list[str]
    labels: list[tuple[str, ...]]

    def __repr__(self) -> str:
        return _short_repr(self, len({label for labels in self.labels for label in labels}))


def _short_repr(data: LabelledTexts | Corpus, num_labels: int) -> str:
    """Return the sizes of labelled texts, whose lists are too long to print."""
    return f"{type(data).__name__}({len(data.texts)} texts, {num_labels} labels)"


class Records(NamedTuple):
    """The labelled lines of a block of a file.

    The text of each is a part of `text`, which has no labels among the words, and its labels are
    parts of `block`.
    """

    block: bytes
    text: bytes
    spans_b2: _Intp
    is_odd_b: npt.NDArray[np.bool_]  # whether the line is not ASCII
    labels_l2: _Intp
    label_ends_b: _Intp  # labels of the lines up to this one; a label may occur twice in a line

    def __repr__(self) -> str:
        return f"Records({len(self.spans_b2)} lines, {len(self.labels_l2)} labels)"


def parse_corpus(stream: BufferedReader, name: str, prefix: str = PREFIX) -> Corpus:
    """Read an open training file of ``label<TAB>text`` or fastText's ``__label__x text`` lines.

    Parameters
    ----------
    stream : BufferedReader
        A UTF-8 file, plain or compressed with gzip, bzip2, xz or zip. Its first line decides the
        format: fastText's if a word before the first tab has the prefix. In that format a line may
        have several labels, which may stand anywhere in it.
    name : str
        What messages call it.
    prefix : str, default="__label__"
        Words that begin with this are labels in fastText's format.

    Returns
    -------
    Corpus
        In the file's order; blank lines are left out.

    Raises
    ------
    ValueError
        If the file is empty or damaged, or if a line is not UTF-8 or has no label.
    """
    corpus = Corpus([], [])
    for texts, labels in corpus_blocks(stream, name, prefix):
        corpus.texts.extend(texts)
        corpus.labels.extend(labels)
    return corpus


def corpus_blocks(stream: BufferedReader, name: str, prefix: str = PREFIX) -> Iterator[Corpus]:
    """Yield the lines of an open training file in blocks; see `parse_corpus`."""
    for records in read_records(stream, name, prefix):
        block, text, spans, _, label_spans, label_ends = records
        labels = [block[start:end].decode() for start, end in label_spans.tolist()]
        corpus = Corpus([text[start:end].decode() for start, end in spans.tolist()], [])
        first = 0
        for end in label_ends.tolist():
            corpus.labels.append(tuple(dict.fromkeys(labels[first:end])))
            first = end
        yield corpus


def read_records(stream: BufferedReader, name: str, prefix: str = PREFIX) -> Iterator[Records]:
    """Yield the labelled lines of an open training file in blocks; see `parse_corpus`."""
    first_line, form, found_any = 1, 0, False
    for block in read_blocks(stream, name):
        if first_line == 1:
            block = block.removeprefix(_BOM)
        records, form, end = _split(block, form, prefix.encode())
        if end < len(block):
            line, place = _bad_line(block, end)
            number = first_line + place
            raise ValueError(f"{name}, line {number}: {_problem(line, form, prefix)}")
        found_any = found_any or len(records.spans_b2) > 0
        yield records
        first_line += block.count(b"\n")
    if not found_any:
        raise ValueError(f"{name}: no labelled lines")


def read_line_blocks(stream: BufferedReader, name: str) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 stream, plain or compressed, in lists.

    A list has the lines that have arrived: single lines from a terminal, many from a file.
    """
    number = 1
    for block in read_blocks(stream, name):
        lines = (block.removeprefix(_BOM) if number == 1 else block).split(b"\n")[:-1]
        yield [_decode_of_file(line, name, number + i) for i, line in enumerate(lines)]
        number += len(lines)


def is_label(text: object) -> bool:
    """Return whether `text` can be printed as a label on a line of its own."""
    return isinstance(text, str) and bool(text) and text == text.strip() and min(text) >= " "


def is_text_of_integer(label: str) -> bool:
    """Return whether a label is how an integer of up to 18 digits is printed."""
    return len(label) < 19 and label.removeprefix("-").isdecimal() and label == str(int(label))


def without_labels(line: str, prefix: str = PREFIX) -> str:
    """Return a line without the labels among its words; one that is not so labelled stays."""
    return _label_pattern(prefix).sub("", line) if _is_prefixed(line, prefix) else line


def text_of_labelled(line: str, prefix: str = PREFIX) -> str:
    """Return the text of a labelled line of either format, or of a blank line.

    Raises
    ------
    ValueError
        If there is no label.
    """
    if _is_prefixed(line, prefix):
        return without_labels(line, prefix)
    _, tab, text = line.partition("\t")
    if not tab and line.strip():
        raise ValueError(_NO_TAB)
    return text


def _is_prefixed(line: str, prefix: str) -> bool:
    return prefix in line and _has_label(line.partition("\t")[0], prefix)


def _has_label(text: str, prefix: str) -> bool:
    return _label_pattern(prefix).search(text) is not None


@lru_cache(maxsize=8)
def _label_pattern(prefix: str) -> re.Pattern[str]:
    """Return the pattern of a word that is a label, with the white space after it."""
    return re.compile(rf"(?<!\S){re.escape(prefix)}(\S*)\s*")


def _split(block: bytes, form: int, prefix: bytes) -> tuple[Records, int, int]:
    """Return the records of a block, their form, and where the first bad line starts, or the end.

    `form` is that of the lines before, or 0 if there are none.
    """
    n_lines = block.count(b"\n")
    n_prefixes = block.count(prefix)
    n_labels = n_lines + n_prefixes
    spans, labels = np.empty((n_lines, 2), np.intp), np.empty((n_labels, 2), np.intp)
    label_ends, odd, found = np.empty(n_lines, np.intp), np.empty(n_lines, np.uint8), [0, 0, 0]
    counts = np.array(found, np.intp)
    text = bytearray(block if n_prefixes else b"")
    end = tokens.split_records(spans, label_ends, odd, labels, counts, text, block, prefix, form)
    n_lines, n_labels, form = counts.tolist()
    is_odd = odd[:n_lines].view(np.bool_)
    texts = bytes(text) if n_prefixes else block, spans[:n_lines], is_odd
    return Records(block, *texts, labels[:n_labels], label_ends[:n_lines]), form, end


def _decode_of_file(line: bytes, name: str, number: int) -> str:
    try:
        return _decode(line)
    except ValueError as error:
        raise ValueError(f"{name}, line {number}: {error}") from None


def _decode(line: bytes) -> str:
    try:
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        byte, way_out = line[error.start], ""
        if line.startswith(_UTF_16):
            way_out = ": it seems to be UTF-16, save it as UTF-8"
        raise ValueError(
            f"not utf-8 text, byte {byte:#04x} at position {error.start}{way_out}"
        ) from None


def _bad_line(block: bytes, start: int) -> tuple[bytes, int]:
    """Return the line of a block that an error is about, and how many lines are before it.

    It is one that is not UTF-8 or, if there is none, the line at `start`: a file in another
    encoding is best called that.
    """
    try:
        block.decode()
    except UnicodeDecodeError as error:
        start = block.rfind(b"\n", 0, error.start) + 1
    return block[start : block.index(b"\n", start)], block.count(b"\n", 0, start)


def _problem(line: bytes, form: int, prefix: str) -> str:
    """Return why a line, as bytes, is no record of a form."""
    try:
        text = _decode(line)
        _check_labels(text, prefix) if form == _PREFIX_FORM else _check_label_before_tab(text)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"no problem in {line!r}")


def _check_label_before_tab(line: str) -> None:
    label, tab, _ = line.partition("\t")
    if not tab:
        raise ValueError(_NO_TAB)
    _check_label(label.strip())


def _check_labels(line: str, prefix: str) -> None:
    if not _has_label(line, prefix):
        raise ValueError(f"no word begins with {prefix}")
    for label in _label_pattern(prefix).findall(line):
        _check_label(label)


def _check_label(label: str) -> None:
    if not is_label(label):
        raise ValueError(f"{label!r:.40} is not a label" if label else "the label is empty")
