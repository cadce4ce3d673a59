"""Open the files that the commands read, or standard input, and show how far reading is."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

from ebagx.cli.columns import form_of, read_columns
from ebagx.cli.layout import Layout
from ebagx.cli.progress import progress
from ebagx.cli.report import warn
from ebagx.text.corpus import (
    Corpus,
    corpus_blocks,
    read_line_blocks,
    text_of_labelled,
    without_labels,
)
from ebagx.text.lines import Lines, LineStore, read_lines
from ebagx.text.tokenizers import Tokenizer

_STDIN = Path("-")
_LINES_TO_LOOK_AT = 10
_WITH_COLUMNS = ("csv", "jsonl")  # in a TSV file the label may stand before the tab


def read_training_lines(path: Path, tokenizer: Tokenizer, layout: Layout) -> Lines:
    """Read a labelled file to learn from or to measure on."""
    columns, name = layout.columns_in(path), name_of(path)
    with _opened(path) as stream:
        size = path.stat().st_size if path.is_file() else None  # which a pipe does not have
        with progress("reading", size, "lines" if size is None else "bytes") as show:

            def advance(n_lines: int) -> None:
                if size is None:
                    show(n_lines, "")
                else:
                    show(stream.tell(), f"{n_lines:,} lines")

            if columns is not None:
                return _lines_of(read_columns(stream, name, columns), tokenizer, advance, name)
            with _naming_columns(path):
                return read_lines(stream, name, advance, tokenizer, layout.prefix)


def labelled_blocks(path: Path, layout: Layout) -> Iterator[Corpus]:
    """Yield the texts of a labelled file with their labels, in blocks."""
    columns, name = layout.columns_in(path), name_of(path)
    with _opened(path) as stream:
        if columns is not None:
            yield from read_columns(stream, name, columns)
            return
        with _naming_columns(path):
            yield from corpus_blocks(stream, name, layout.prefix)


def text_blocks(path: Path, layout: Layout, labels: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts of a file in lists, each as soon as its lines have arrived.

    There is a warning where labels seem to stand before the texts, or columns beside them.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout
        Labels are left out of lines, those before the first tab if it says so.
    labels : sequence of str
        The labels that are known.
    """
    columns, name = layout.columns_in(path), name_of(path)
    with _opened(path) as stream:
        if columns is not None:
            for corpus in read_columns(stream, name, columns):
                yield corpus.texts
            return
        if form_of(path) in _WITH_COLUMNS:
            warn(f"{name}: whole lines are read as texts; --text-column names a column")
        number, may_warn = 0, not layout.is_labelled
        for lines in read_line_blocks(stream, name):
            if may_warn and any(lines):
                may_warn = False
                _warn_of_labels(lines, labels, name)
            if layout.is_labelled:
                numbered = enumerate(lines, number + 1)
                yield [_text_of(line, layout.prefix, name, i) for i, line in numbered]
            else:
                yield [without_labels(line, layout.prefix) for line in lines]
            number += len(lines)


def _lines_of(
    blocks: Iterator[Corpus], tokenizer: Tokenizer, advance: Callable[[int], object], name: str
) -> Lines:
    store = LineStore(tokenizer)
    for texts, labels in blocks:
        store.add_texts(texts)
        store.add_labels(labels)
        advance(store.num_lines)
    if not store.num_lines:
        raise ValueError(f"{name}: there are no rows")
    store.trim()
    return store.all()


@contextmanager
def _naming_columns(path: Path) -> Iterator[None]:
    """Add to errors of lines that there are options for the columns of such a file."""
    try:
        yield
    except ValueError as error:
        if form_of(path) not in _WITH_COLUMNS:
            raise
        raise ValueError(f"{error}; --text-column and --label-column name columns") from error


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
