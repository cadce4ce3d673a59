"""From files to texts, and from texts to bags; what can be wrong with the files."""

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAX_DIM = 2**16
MAX_WORD_NGRAMS = 8
MAX_BUCKETS = 2**31 - 2  # the most that scikit-learn takes

_BLOCK_SIZE = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_FASTTEXT_PREFIX = "__label__"
_FASTTEXT_LINE = re.compile(rf"{_FASTTEXT_PREFIX}(\S*)\s*(.*)", re.DOTALL)


class LabelledTexts(NamedTuple):
    """Texts and their labels: two lists of equal length."""

    texts: list[str]
    labels: list[str]


class Features(NamedTuple):
    """What becomes a feature: words and runs of up to `word_ngrams` words.

    A vocabulary numbers them or, where `buckets` is not 0, a hash does.
    """

    word_ngrams: int = 2
    buckets: int = 0

    def make_vectorizer(self, vocabulary: list[str] | None = None) -> Any:
        """Return scikit-learn's vectorizer for these features."""
        from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

        options: dict[str, Any] = {
            "token_pattern": r"\w+",
            "ngram_range": (1, self.word_ngrams),
            "dtype": np.float32,
        }
        if self.buckets:
            return HashingVectorizer(
                n_features=self.buckets, alternate_sign=False, norm=None, **options
            )
        return CountVectorizer(vocabulary=vocabulary, **options)


def read_labelled(path: Path) -> LabelledTexts:
    """Read a training file of ``label<TAB>text`` or fastText's ``__label__x text`` lines.

    Parameters
    ----------
    path : Path
        A UTF-8 file, possibly compressed with gzip. Its first line decides the format.

    Returns
    -------
    LabelledTexts
        In the file's order; blank lines are left out.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is empty or damaged, or if a line is not UTF-8 or has no label.
    """
    with path.open("rb") as stream:
        return parse_labelled(stream, str(path))


def parse_labelled(stream: BufferedReader, name: str) -> LabelledTexts:
    """Read an open training file, which messages call `name`; see `read_labelled`."""
    texts: list[str] = []
    labels: list[str] = []
    split = None
    for number, line in enumerate(_read_lines(stream, name), 1):
        if not line.strip():
            continue
        if split is None:
            split = _split_fasttext if line.startswith(_FASTTEXT_PREFIX) else _split_tab
        try:
            label, text = split(line)
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
        labels.append(label)
        texts.append(text)
    if not texts:
        raise ValueError(f"{name}: no lines to learn from")
    return LabelledTexts(texts, labels)


def read_line_blocks(stream: BufferedReader, name: str) -> Iterator[list[str]]:
    """Yield the lines of a UTF-8 stream, plain or gzip, in lists.

    A list holds what has arrived: at once the lines typed into a pipe, many from a file.
    """
    number = 1
    for lines in _split_blocks(stream, name):
        yield [_decode(line, name, number + i) for i, line in enumerate(lines)]
        number += len(lines)


def is_label(text: object) -> bool:
    """Tell whether `text` can be printed as a label on a line of its own."""
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


def _split_tab(line: str) -> tuple[str, str]:
    label, tab, text = line.partition("\t")
    if not tab:
        raise ValueError("no tab between label and text")
    return _checked(label), text


def _split_fasttext(line: str) -> tuple[str, str]:
    match = _FASTTEXT_LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"no {_FASTTEXT_PREFIX} at the start")
    label, text = match.groups()
    if text.startswith(_FASTTEXT_PREFIX):
        raise ValueError("more than one label")
    return _checked(label), text


def _checked(label: str) -> str:
    label = label.strip()
    if not is_label(label):
        raise ValueError(f"{label!r:.40} is not a label" if label else "the label is empty")
    return label
