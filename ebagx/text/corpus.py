"""Read labelled texts and lines from files, and report errors in the files."""

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens

_BLOCK_SIZE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_FASTTEXT_PREFIX = "__label__"
_FASTTEXT_LABEL = re.compile(rf"{_FASTTEXT_PREFIX}(\S*)\s*")
_PREFIX_BYTES = _FASTTEXT_PREFIX.encode()
_PREFIX_FORM = 2  # the number that ``tokens.split_records`` has for lines with the prefix

_Intp = npt.NDArray[np.intp]


class LabelledTexts(NamedTuple):
    """Texts and their labels: two lists of equal length."""

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
    """The labelled lines of a block of a file: where the text and the labels of each are."""

    block: bytes
    spans_b2: _Intp
    is_odd_b: npt.NDArray[np.bool_]  # whether the line is not ASCII
    labels_l2: _Intp
    label_ends_b: _Intp  # labels of the lines up to this one; a label may occur twice in a line

    def __repr__(self) -> str:
        return f"Records({len(self.spans_b2)} lines, {len(self.labels_l2)} labels)"


def read_corpus(path: Path) -> Corpus:
    """Read a training file of ``label<TAB>text`` or fastText's ``__label__x text`` lines.

    Parameters
    ----------
    path : Path
        A UTF-8 file, possibly compressed with gzip. Its first line decides the format. Only in
        fastText's format may a line have several labels, all before the text.

    Returns
    -------
    Corpus
        In the file's order; blank lines are left out.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is empty or damaged, or if a line is not UTF-8 or has no label.
    """
    with path.open("rb") as stream:
        return parse_corpus(stream, str(path))


def parse_corpus(stream: BufferedReader, name: str) -> Corpus:
    """Read an open training file, which messages call `name`; see `read_corpus`."""
    corpus = Corpus([], [])
    for records in read_records(stream, name):
        block, spans, _, label_spans, label_ends = records
        labels = [block[start:end].decode() for start, end in label_spans.tolist()]
        corpus.texts.extend([block[start:end].decode() for start, end in spans.tolist()])
        first = 0
        for end in label_ends.tolist():
            corpus.labels.append(tuple(dict.fromkeys(labels[first:end])))
            first = end
    return corpus


def read_records(stream: BufferedReader, name: str) -> Iterator[Records]:
    """Yield the labelled lines of an open training file in blocks; see `read_corpus`."""
    first_line, form, found_any = 1, 0, False
    for block in _read_blocks(stream, name):
        if first_line == 1:
            block = block.removeprefix(_BOM)
        records, form, end = _split(block, form)
        if end < len(block):
            line, place = _bad_line(block, end)
            number = first_line + place
            raise ValueError(f"{name}, line {number}: {_problem(line, form)}")
        found_any = found_any or len(records.spans_b2) > 0
        yield records
        first_line += block.count(b"\n")
    if not found_any:
        raise ValueError(f"{name}: no labelled lines")


def read_line_blocks(stream: BufferedReader, name: str) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 stream, plain or gzip, in lists.

    A list has the lines that have arrived: single lines from a terminal, many from a file.
    """
    number = 1
    for block in _read_blocks(stream, name):
        lines = (block.removeprefix(_BOM) if number == 1 else block).split(b"\n")[:-1]
        yield [_decode_of_file(line, name, number + i) for i, line in enumerate(lines)]
        number += len(lines)


def is_label(text: object) -> bool:
    """Return whether `text` can be printed as a label on a line of its own."""
    return isinstance(text, str) and bool(text) and text == text.strip() and min(text) >= " "


def _read_blocks(stream: BufferedReader, name: str) -> Iterator[bytes]:
    """Yield the lines that have arrived, each with its newline, which the last one gets."""
    compressed = stream.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
    source = gzip.GzipFile(fileobj=stream) if compressed else stream
    pieces: list[bytes] = []  # of a line without its end
    try:
        while block := source.read1(_BLOCK_SIZE):
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join([*pieces, block[:end]])
                pieces = []
            if end < len(block):
                pieces.append(block[end:])
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: damaged gzip data: {error}") from error
    if pieces:
        yield b"".join([*pieces, b"\n"])


def _split(block: bytes, form: int) -> tuple[Records, int, int]:
    """Return the records of a block, their form, and where the first bad line starts, or the end.

    `form` is that of the lines before, or 0 if there are none.
    """
    n_lines = block.count(b"\n")
    n_labels = n_lines + block.count(_PREFIX_BYTES)
    spans, labels = np.empty((n_lines, 2), np.intp), np.empty((n_labels, 2), np.intp)
    label_ends, odd, found = np.empty(n_lines, np.intp), np.empty(n_lines, np.uint8), [0, 0, 0]
    counts = np.array(found, np.intp)
    end = tokens.split_records(spans, label_ends, odd, labels, counts, block, _PREFIX_BYTES, form)
    n_lines, n_labels, form = counts.tolist()
    is_odd = odd[:n_lines].view(np.bool_)
    records = Records(block, spans[:n_lines], is_odd, labels[:n_labels], label_ends[:n_lines])
    return records, form, end


def _decode_of_file(line: bytes, name: str, number: int) -> str:
    try:
        return _decode(line)
    except ValueError as error:
        raise ValueError(f"{name}, line {number}: {error}") from None


def _decode(line: bytes) -> str:
    try:
        return line.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(f"not utf-8 text, byte {byte:#04x} at position {error.start}") from None


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


def _problem(line: bytes, form: int) -> str:
    """Return why a line, as bytes, is no record of a form."""
    try:
        text = _decode(line)
        _check_labels(text) if form == _PREFIX_FORM else _check_label_before_tab(text)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"no problem in {line!r}")


def _check_label_before_tab(line: str) -> None:
    label, tab, _ = line.partition("\t")
    if not tab:
        raise ValueError("no tab between label and text")
    _check_label(label.strip())


def _check_labels(line: str) -> None:
    if not line.startswith(_FASTTEXT_PREFIX):
        raise ValueError(f"no {_FASTTEXT_PREFIX} at the start")
    position = 0
    while match := _FASTTEXT_LABEL.match(line, position):
        _check_label(match[1])
        position = match.end()


def _check_label(label: str) -> None:
    if not is_label(label):
        raise ValueError(f"{label!r:.40} is not a label" if label else "the label is empty")
