"""Read labelled texts and lines from files, and report errors in the files."""

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

_BLOCK_SIZE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_FASTTEXT_PREFIX = "__label__"
_FASTTEXT_LABEL = re.compile(rf"{_FASTTEXT_PREFIX}(\S*)\s*")


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
        return _short_repr(self, len(self.distinct_labels()))

    def distinct_labels(self) -> list[str]:
        """Return the labels that occur, sorted."""
        return sorted({label for labels in self.labels for label in labels})


def _short_repr(data: LabelledTexts | Corpus, num_labels: int) -> str:
    """Return the sizes of labelled texts, whose lists are too long to print."""
    return f"{type(data).__name__}({len(data.texts)} texts, {num_labels} labels)"


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
    split = None
    for number, line in enumerate(_read_lines(stream, name), 1):
        if not line.strip():
            continue
        if split is None:
            split = _split_fasttext if line.startswith(_FASTTEXT_PREFIX) else _split_tab
        try:
            labels, text = split(line)
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
        corpus.texts.append(text)
        corpus.labels.append(labels)
    if not corpus.texts:
        raise ValueError(f"{name}: no labelled lines")
    return corpus


def read_line_blocks(stream: BufferedReader, name: str) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 stream, plain or gzip, in lists.

    A list has the lines that have arrived: single lines from a terminal, many from a file.
    """
    number = 1
    for lines in _split_blocks(stream, name):
        yield [_decode(line, name, number + i) for i, line in enumerate(lines)]
        number += len(lines)


def is_label(text: object) -> bool:
    """Return whether `text` can be printed as a label on a line of its own."""
    return isinstance(text, str) and bool(text) and text == text.strip() and min(text) >= " "


def _read_lines(stream: BufferedReader, name: str) -> Iterator[str]:
    for lines in read_line_blocks(stream, name):
        yield from lines


def _split_blocks(stream: BufferedReader, name: str) -> Iterator[list[bytes]]:
    compressed = stream.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
    source = gzip.GzipFile(fileobj=stream) if compressed else stream
    rest = b""
    try:
        while block := source.read1(_BLOCK_SIZE):
            *lines, rest = (rest + block).split(b"\n")
            if lines:
                yield lines
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name}: damaged gzip data: {error}") from error
    if rest:
        yield [rest]


def _decode(line: bytes, name: str, number: int) -> str:
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        raise ValueError(
            f"{name}, line {number}: not utf-8 text, byte {byte:#04x} at position {error.start}"
        ) from None
    return text.removesuffix("\r")


def _split_tab(line: str) -> tuple[tuple[str, ...], str]:
    label, tab, text = line.partition("\t")
    if not tab:
        raise ValueError("no tab between label and text")
    return (_checked(label),), text


def _split_fasttext(line: str) -> tuple[tuple[str, ...], str]:
    labels: dict[str, None] = {}
    position = 0
    while match := _FASTTEXT_LABEL.match(line, position):
        labels[_checked(match[1])] = None
        position = match.end()
    if not labels:
        raise ValueError(f"no {_FASTTEXT_PREFIX} at the start")
    return tuple(labels), line[position:]


def _checked(label: str) -> str:
    label = label.strip()
    if not is_label(label):
        raise ValueError(f"{label!r:.40} is not a label" if label else "the label is empty")
    return label
