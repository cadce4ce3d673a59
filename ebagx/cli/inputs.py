"""Open the files that the commands read, or standard input, and show how far reading is."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

from ebagx.cli.progress import progress
from ebagx.cli.report import warn
from ebagx.text.corpus import (
    Corpus,
    parse_corpus,
    read_line_blocks,
    text_of_labelled,
    without_labels,
)
from ebagx.text.lines import Lines, read_lines
from ebagx.text.tokenizers import Tokenizer

_STDIN = Path("-")
_LINES_TO_LOOK_AT = 10


def read_training_lines(path: Path, tokenizer: Tokenizer, prefix: str) -> Lines:
    """Read a labelled file to learn from or to measure on."""
    with _opened(path) as stream:
        size = path.stat().st_size if path.is_file() else None  # which a pipe does not have
        with progress("reading", size, "lines" if size is None else "bytes") as show:

            def advance(n_lines: int) -> None:
                if size is None:
                    show(n_lines, "")
                else:
                    show(stream.tell(), f"{n_lines:,} lines")

            return read_lines(stream, name_of(path), advance, tokenizer, prefix)


def read_labelled_texts(path: Path, prefix: str) -> Corpus:
    """Read a labelled file as texts."""
    with _opened(path) as stream:
        return parse_corpus(stream, name_of(path), prefix)


def text_blocks(
    path: Path, prefix: str, is_labelled: bool, labels: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the texts of a file in lists, each as soon as its lines have arrived.

    Parameters
    ----------
    path : Path
        The file. Words of fastText's format that are labels are left out of its lines.
    prefix : str
        Beginning of such words.
    is_labelled : bool
        Leave out the label before the first tab, too.
    labels : sequence of str
        If the first lines begin with such labels, but `is_labelled` is False, there is a warning.
    """
    with _opened(path) as stream:
        number, may_warn = 0, not is_labelled
        for lines in read_line_blocks(stream, name_of(path)):
            if may_warn and any(lines):
                may_warn = False
                _warn_of_labels(lines, labels, name_of(path))
            if is_labelled:
                name = name_of(path)
                yield [_text_of(line, prefix, name, i) for i, line in enumerate(lines, number + 1)]
            else:
                yield [without_labels(line, prefix) for line in lines]
            number += len(lines)


def _warn_of_labels(lines: Sequence[str], labels: Sequence[str], name: str) -> None:
    first = [line.partition("\t") for line in lines if line.strip()][:_LINES_TO_LOOK_AT]
    known = set(labels)
    if all(tab and label.strip() in known for label, tab, _ in first):
        warn(f"{name}: labels stand before the tabs, and count as words; --labelled drops them")


def _text_of(line: str, prefix: str, name: str, number: int) -> str:
    try:
        return text_of_labelled(line, prefix)
    except ValueError as error:
        raise ValueError(f"{name}, line {number}: {error}") from None


def name_of(path: Path) -> str:
    """Return the name of a file in messages."""
    return "stdin" if path == _STDIN else str(path)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    if path != _STDIN:
        with path.open("rb") as stream:
            yield stream
        return
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    yield cast(BufferedReader, sys.stdin.buffer)
