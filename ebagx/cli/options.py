"""Options that several commands have, and values of options."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from ebagx._core.quantized.formats import BITS
from ebagx.cli import commands

_MAX_THREADS = 256


def add_prefix(parser: argparse.ArgumentParser, default: str = "default: as in training") -> None:
    """Add the option of the prefix of labels."""
    parser.add_argument(
        "--label",
        "-label",
        type=_prefix,
        metavar="PREFIX",
        help=f"words that begin with this are labels ({default})",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option of the number of threads."""
    parser.add_argument(
        "--threads",
        "-thread",
        type=integer(1, _MAX_THREADS),
        metavar="N",
        help="threads to use (default: all)",
    )


def number(parse: type, valid: Callable[[Any], bool], description: str) -> Callable[[str], Any]:
    """Return a function from an argument to its number, or to an error that describes it."""

    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"must be {description}, got {text!r}")
        return value

    return convert


def integer(low: int, high: int = sys.maxsize) -> Callable[[str], int]:
    """Return the same for integers between limits."""
    limits = f"at least {low}" if high == sys.maxsize else f"from {low} to {high}"
    return number(int, lambda value: low <= value <= high, f"an integer {limits}")


def _prefix(text: str) -> str:
    if len(text.split()) != 1 or text != text.strip():
        raise argparse.ArgumentTypeError(f"must be a word, got {text!r}")
    return text


bits = number(int, lambda value: value in BITS, "8, 4 or 2")
probability = number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
label_count = number(int, lambda k: k == commands.ALL or k > 0, "-1 or an integer at least 1")
