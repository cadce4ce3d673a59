"""Write the tables of options of the page on the command line, from the parser itself."""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from ebagx.cli.parser import make_parser


def write_command_options(folder: Path) -> None:
    """Write ``command_NAME.csv`` for each command: options, their values, what they do."""
    folder.mkdir(exist_ok=True)
    for name, parser in _commands(make_parser("ebagx")).items():
        with (folder / f"command_{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(_rows(parser))


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("no commands")


def _rows(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        spellings = action.option_strings or [action.metavar or action.dest]
        names = ", ".join(f"``{name}``" for name in spellings)
        value = f" ``{formatter._format_args(action, action.dest)}``" if _has_value(action) else ""
        text = formatter._expand_help(action)
        yield names + value, text[:1].upper() + text[1:] + "."


def _has_value(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.nargs != 0
