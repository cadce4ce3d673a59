"""Read texts and labels from the columns of CSV and TSV files and from the keys of JSON lines.

CSV is that of RFC 4180: cells may stand in quotes, and then hold delimiters, newlines and quotes,
which are doubled. The standard library parses: 117 MB/s of CSV, 79 MB/s of JSON, one thread.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ebagx.text.corpus import Corpus, is_label, read_line_blocks

FORMS = ("csv", "tsv", "jsonl")

_FORM_OF_SUFFIX = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_COMPRESSED = {".gz", ".bz2", ".xz", ".zip"}
_LONGEST_CELL = 1 << 24  # characters; more than that follow a quote that is never closed
_MOST_NAMES_SHOWN = 12
_PROBLEMS = {  # the csv module's words, and ours
    "expected after": "text follows a quoted cell; a quote in such a cell is written twice",
    "unexpected end": "a quote is opened and never closed",
    "field limit": "a quote is opened and not closed",
    "new-line": "a carriage return stands outside quotes",
}


class Columns(NamedTuple):
    """The columns that hold texts and labels: their names, or numbers from 1.

    The texts of several columns are joined by a blank. `form` is one of `FORMS`, or None where the
    name of the file tells it.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()
    separator: str | None = None  # of several labels in a cell
    form: str | None = None
    delimiter: str | None = None
    has_header: bool = True


class _BadRowError(ValueError):
    """A row cannot be used; the message gets the name of the file and the number of the line."""


def form_of(path: Path) -> str | None:
    """Return the form of a file by its name, before that of a compression, or None."""
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return _FORM_OF_SUFFIX.get(path.suffix.lower())


def read_columns(stream: BufferedReader, name: str, columns: Columns) -> Iterator[Corpus]:
    """Yield the rows of an open file, in blocks: those that have arrived.

    Parameters
    ----------
    stream : BufferedReader
        UTF-8, plain or compressed.
    name : str
        The name of the file in messages.
    columns : Columns
        Its `form` is one of `FORMS`. Blank lines are left out.

    Yields
    ------
    Corpus
        Texts, and the labels of each, at least one; none if `columns` names no labels.

    Raises
    ------
    ValueError
        If a row is not of the form, or lacks a cell or a label; with the number of its first line.
    """
    rows: _Rows = (_JsonRows if columns.form == "jsonl" else _CsvRows)(stream, name, columns)
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    known: set[str] = set()
    try:
        for text, found in rows:
            texts.append(text)
            if columns.labels:
                labels.append(_checked_labels(found, known))
            if rows.lines.are_used:
                yield Corpus(texts, labels)
                texts, labels = [], []
    except _BadRowError as error:
        raise ValueError(f"{name}, line {rows.number}: {error}") from error
    if texts:
        yield Corpus(texts, labels)


def _checked_labels(found: Sequence[str], known: set[str]) -> tuple[str, ...]:
    """Return the labels of a row; `known` are labels that have passed the check, and gets them."""
    if not known.issuperset(found):
        for label in found:
            if not is_label(label):
                raise _BadRowError(f"{label!r:.40} is not a label")
        known.update(found)
    if not found:
        raise _BadRowError("there is no label")
    return tuple(found) if len(found) == 1 else tuple(dict.fromkeys(found))


class _Lines:
    """The lines of a stream, each with its newline."""

    def __init__(self, stream: BufferedReader, name: str) -> None:
        self._blocks = read_line_blocks(stream, name)
        self.are_used = False  # whether all lines that have arrived have been taken

    def __iter__(self) -> Iterator[str]:
        for block in self._blocks:
            lines = [f"{line}\n" for line in block]
            last = lines.pop()
            self.are_used = False
            yield from lines
            self.are_used = True
            yield last


class _Rows:
    """Texts and labels of the rows of a stream, and the number of the line of the present one."""

    number: int

    def __init__(self, stream: BufferedReader, name: str, columns: Columns) -> None:
        self.lines, self._name, self._columns = _Lines(stream, name), name, columns

    def __iter__(self) -> Iterator[tuple[str, Sequence[str]]]:
        raise NotImplementedError


class _CsvRows(_Rows):
    """Rows of cells between delimiters."""

    def __iter__(self) -> Iterator[tuple[str, Sequence[str]]]:
        rows = self._cells()
        first = next(rows, None)
        if first is None:
            raise ValueError(f"{self._name}: there are no rows")
        header = first if self._columns.has_header else None
        texts, labels = (
            [_place(column, first, self._columns.has_header) for column in columns]
            for columns in (self._columns.texts, self._columns.labels)
        )
        (text, *others), separator = texts, self._columns.separator
        for row in rows if header else chain([first], rows):
            if len(row) != len(first):
                raise _BadRowError(_describe_length(len(row), len(first), header is not None))
            joined = " ".join([row[i] for i in texts]) if others else row[text]
            yield joined, _labels_of([row[i] for i in labels], separator)

    def _cells(self) -> Iterator[list[str]]:
        """Yield the cells of each row that is not blank."""
        csv.field_size_limit(_LONGEST_CELL)  # of this process
        delimiter = self._columns.delimiter or ("\t" if self._columns.form == "tsv" else ",")
        reader = csv.reader(self.lines, delimiter=delimiter, strict=True)
        self.number = 1
        try:
            for row in reader:
                if len(row) > 1 or (row and row[0].strip()):
                    yield row
                self.number = reader.line_num + 1
        except csv.Error as error:
            problem = next((ours for of, ours in _PROBLEMS.items() if of in str(error)), str(error))
            raise _BadRowError(problem) from error


class _JsonRows(_Rows):
    """JSON objects, one a line."""

    def __iter__(self) -> Iterator[tuple[str, Sequence[str]]]:
        texts, labels, separator, *_ = self._columns
        for self.number, line in enumerate(self.lines, 1):  # noqa: B020 - also after an error
            if line.isspace():
                continue
            entries = _parsed(line)
            joined = " ".join([_text_of(entries, key) for key in texts])
            found = [cell for key in labels for cell in _label_cells(entries.get(key), key)]
            if "\\u" in line:
                _check_characters([joined, *found])
            yield joined, _labels_of(found, separator)


def _place(column: str, first: Sequence[str], has_header: bool) -> int:
    """Return the place of a column by its name or, if none is called so, by its number from 1."""
    if has_header and first.count(column) == 1:
        return first.index(column)
    if has_header and column in first:
        raise _BadRowError(f"{first.count(column)} columns are called {column!r:.40}")
    if column.isdecimal() and 1 <= int(column) <= len(first):
        return int(column) - 1
    if not has_header:
        raise _BadRowError(f"there is no column {column!r:.40}; a number from 1 to {len(first)} is")
    raise _BadRowError(f"no column is called {column!r:.40}; there are {_listed(first)}")


def _describe_length(count: int, expected: int, has_header: bool) -> str:
    cells = f"{count} cell{'s' * (count != 1)}"
    return (
        f"{cells}, but the {'header' if has_header else 'first row'} has {expected}; a cell with a "
        "delimiter stands in quotes"
    )


def _labels_of(cells: Sequence[str], separator: str | None) -> Sequence[str]:
    """Return the labels in some cells, of which only one alone may not be empty."""
    if separator is None and len(cells) == 1:
        label = cells[0].strip()
        return (label,) if label else ()
    parts: Iterable[str] = cells
    if separator is not None:
        parts = [part for cell in cells for part in cell.split(separator)]
    return [label for label in map(str.strip, parts) if label]


def _parsed(line: str) -> dict[str, Any]:
    try:
        entries = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _BadRowError(f"not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise _BadRowError("not a JSON object")
    return entries


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a value of JSON")


def _text_of(entries: dict[str, Any], key: str) -> str:
    text = entries.get(key)
    if isinstance(text, str):
        return text
    if key not in entries:
        raise _BadRowError(f"there is no key {key!r:.40}; there are {_listed(list(entries))}")
    raise _BadRowError(f"the text {key!r:.40} is {json.dumps(text):.20}, not a string")


def _label_cells(value: Any, key: str) -> Sequence[str]:
    """Return the labels that a value of JSON stands for: those of a list, or one, or none."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return [cell for entry in value for cell in _label_cells(entry, key)]
    if isinstance(value, dict):
        raise _BadRowError(f"the label {key!r:.40} is an object")
    return () if value is None else (json.dumps(value),)


def _check_characters(values: Sequence[str]) -> None:
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        character = error.object[error.start]
        raise _BadRowError(f"the surrogate {character!a} is not a character") from None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"{name!r:.40}" for name in names[:_MOST_NAMES_SHOWN])
    return f"{shown}, ..." if len(names) > _MOST_NAMES_SHOWN else shown or "none"
