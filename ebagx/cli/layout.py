"""Options that say where texts and labels stand in a file: on lines, or in columns."""

import argparse
from pathlib import Path
from typing import NamedTuple

from ebagx.cli.columns import FORMS, Columns, form_of

_NEED_TEXTS = ("label_column", "label_separator", "format", "delimiter", "no_header")


class Layout(NamedTuple):
    """The place of texts and labels in a file.

    Without columns, words that begin with `prefix` are labels. Where they are not wanted,
    `is_labelled` says that a label before the first tab is left out, too.
    """

    prefix: str
    columns: Columns | None = None
    is_labelled: bool = False

    def columns_in(self, path: Path) -> Columns | None:
        """Return the columns with the form of a file, or None for lines of text.

        Raises
        ------
        ValueError
            If neither an option nor the name of the file tells its form.
        """
        columns = self.columns
        if columns is None or columns.form is not None:
            return columns
        form = form_of(path) or ("csv" if columns.delimiter else None)
        if form is None:
            name = "stdin" if str(path) == "-" else path
            raise ValueError(f"{name}: its columns need --format {', '.join(FORMS)}")
        return columns._replace(form=form)


def add_columns(parser: argparse.ArgumentParser, has_labels: bool) -> None:
    """Add the options of columns to a command, whose lines have labels or have none."""
    group = parser.add_argument_group("columns of CSV, TSV and JSON lines")
    add = group.add_argument
    add(
        "--text-column",
        action="append",
        metavar="NAME",
        help="the column of texts: a name in the header, a number from 1, or a key of JSON; if "
        "given again, the texts are joined by a blank",
    )
    if has_labels:
        add(
            "--label-column",
            action="append",
            metavar="NAME",
            help="the column of labels; if given again, a row has several labels, as it has where "
            "JSON has a list",
        )
        add("--label-separator", metavar="TEXT", help="divides several labels in a cell")
    add(
        "--format",
        choices=FORMS,
        help="csv, tsv or jsonl (default: that of the file's name, such as x.csv.gz)",
    )
    add("--delimiter", type=_character, metavar="C", help="divides cells (default: comma or tab)")
    add(
        "--no-header",
        action="store_true",
        help="the first row is data, and columns have numbers",
    )


def layout_of(args: argparse.Namespace, prefix: str) -> Layout:
    """Return the layout that the options of a command describe.

    Raises
    ------
    ValueError
        If options contradict each other.
    """
    is_labelled = getattr(args, "labelled", False)
    if args.text_column is None:
        for name in _NEED_TEXTS:
            if getattr(args, name, None):
                raise ValueError(f"--{name.replace('_', '-')} needs --text-column")
        return Layout(prefix, None, is_labelled)
    if is_labelled:
        raise ValueError("--labelled is for lines of label<TAB>text: leave it out with columns")
    if args.file is None:
        raise ValueError("--text-column needs a file")
    labels = getattr(args, "label_column", ())
    if labels is None:
        raise ValueError("--text-column needs --label-column")
    columns = Columns(
        tuple(args.text_column),
        tuple(labels),
        getattr(args, "label_separator", None),
        args.format,
        args.delimiter,
        not args.no_header,
    )
    if args.format == "jsonl" and (args.delimiter or args.no_header):
        raise ValueError("--delimiter and --no-header are for CSV and TSV")
    return Layout(prefix, columns, is_labelled)


def _character(text: str) -> str:
    character = "\t" if text == "\\t" else text
    if len(character) != 1 or character in '"\r\n':
        raise argparse.ArgumentTypeError(f"must be one character, not a quote, got {text!r}")
    return character
