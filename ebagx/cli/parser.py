"""Define the arguments of the commands: names, types, defaults, help."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from ebagx import __version__
from ebagx.cli import commands
from ebagx.cli.arguments import CommandParser
from ebagx.cli.layout import add_columns
from ebagx.cli.options import add_prefix, add_threads, bits, integer, label_count, probability
from ebagx.cli.quantizing import quantize
from ebagx.cli.similar import similar
from ebagx.cli.train_options import add_train


def make_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of a command line that is called `prog`."""
    parser = CommandParser(prog=prog, description="Text classification with an embedding bag.")
    parser.add_argument("--version", action="version", version=f"ebagx {__version__}")
    subparsers = parser.add_subparsers(metavar="command")
    for name, add_arguments, summary in (
        ("train", add_train, "learn from labelled lines and save a model"),
        ("predict", _add_predict, "print the likeliest labels of each line"),
        ("test", _add_test, "measure a model on labelled lines"),
        ("similar", _add_similar, "print the words that are most similar to words and texts"),
        ("vectors", _add_vectors, "write the embedding of each line to a .npy file"),
        ("info", _add_info, "describe a saved model"),
        ("quantize", _add_quantize, "save a smaller model that predicts the same"),
        ("convert", _add_convert, "save a model of fastText as one of ebagx"),
    ):
        # `-w` would be an abbreviation of `-wordNgrams`, so that none are allowed.
        add_arguments(subparsers.add_parser(name, help=summary, allow_abbrev=False))
    parser.set_defaults(command=lambda: _own_command(prog), run=lambda _: parser.print_help())
    return parser


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the likeliest labels of each line as soon as it is read."
    _add_model(parser)
    _add_lines(parser)
    parser.add_argument("--prob", action="store_true", help="print the probability of each label")
    _add_choice(parser)
    add_threads(parser)
    parser.set_defaults(run=commands.predict)


def _add_test(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print precision at K and recall at K, the same and F1 for each label and for thresholds "
        "of probabilities, and a confusion matrix of the lines with one label: as text where it "
        "fits, else its largest entries."
    )
    _add_model(parser)
    parser.add_argument("file", type=Path, help="labelled lines, as for train; or -")
    parser.add_argument(
        "--labels",
        type=label_count,
        default=30,
        metavar="N",
        help="labels in the table, those of the most lines first; -1 is all (default: %(default)s)",
    )
    parser.add_argument(
        "--confusion", type=Path, metavar="PNG", help="draw the confusion matrix into a file"
    )
    _add_choice(parser)
    add_prefix(parser)
    add_threads(parser)
    add_columns(parser, has_labels=True)
    parser.set_defaults(run=commands.test)


def _add_similar(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the words whose vectors are most similar to that of each word or text, with the "
        "cosine; without one, read lines of standard input."
    )
    _add_model(parser)
    parser.add_argument("text", nargs="*", help="a word, a text or, with the options, a label")
    parser.add_argument(
        "-k",
        type=integer(1),
        default=10,
        metavar="K",
        help="words, or labels, to print (default: %(default)s)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--keywords",
        action="store_true",
        help="the words that speak most for a label, with the score that they add",
    )
    kind.add_argument(
        "--labels", action="store_true", help="the labels that are most similar to a label"
    )
    add_threads(parser)
    parser.set_defaults(run=similar)


def _add_vectors(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the mean embedding of each line as a row of float32."
    _add_model(parser)
    _add_lines(parser, nargs=None)
    parser.add_argument("output", type=Path, help="the .npy file; an existing one is replaced")
    add_threads(parser)
    parser.set_defaults(run=commands.vectors)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the features, the size and the labels of a saved model."
    _add_model(parser)
    parser.set_defaults(run=commands.info)


def _add_quantize(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Save a smaller model: embeddings in few bits a value, words compressed and, with "
        "--cutoff, without the least important features. It predicts as other models do, and "
        "cannot be trained."
    )
    parser.add_argument("model", type=Path, help="directory that train has saved")
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        help="folder for the smaller model; a model in it is replaced (default: MODEL-small)",
    )
    parser.add_argument(
        "--bits",
        type=bits,
        default=4,
        metavar="N",
        help="bits of a value: 8, 4 or 2 (default: %(default)s)",
    )
    parser.add_argument(
        "--cutoff",
        "-cutoff",
        type=integer(1),
        metavar="N",
        help="keep the N most important features, words and n-grams together (default: all)",
    )
    parser.add_argument(
        "--input",
        "-input",
        type=Path,
        metavar="FILE",
        help="with --cutoff: count features in these labelled lines, such as those of the "
        "training, to find the most important (default: estimate it)",
    )
    add_prefix(parser)
    add_columns(parser, has_labels=True)
    parser.set_defaults(run=quantize)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Save a model of fastText as a folder of ebagx. If its features are words, training can go "
        "on with it; a model with n-grams, or a tree of labels, predicts as before."
    )
    parser.add_argument("model", type=Path, help="the .bin or .ftz file")
    parser.add_argument("folder", type=Path, help="folder for the model; a model in it is replaced")
    parser.set_defaults(run=commands.convert)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        type=Path,
        help="directory that train has saved, or a .bin or .ftz file of fastText",
    )


def _add_lines(parser: argparse.ArgumentParser, nargs: str | None = "?") -> None:
    parser.add_argument(
        "file",
        nargs=nargs,
        type=Path,
        default=Path("-"),
        help="lines of text, plain or compressed; - is standard input",
    )
    parser.add_argument(
        "--labelled", action="store_true", help="leave out the label before the tab of each line"
    )
    add_prefix(parser)
    add_columns(parser, has_labels=False)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-k",
        type=label_count,
        default=1,
        metavar="K",
        help="labels a line; -1 is all (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=probability,
        default=0.0,
        metavar="P",
        help="only labels at least so probable (default: %(default)s)",
    )


def _own_command(prog: str) -> str:
    """Return the command that runs this program again, with its virtual environment."""
    if prog.endswith("-m ebagx"):
        return f"{_as_typed(sys.executable)} -m ebagx"
    return _as_typed(sys.argv[0])


def _as_typed(program: str) -> str:
    name = os.path.basename(program)
    if shutil.which(name) == program:
        return name
    return shlex.quote(min(program, os.path.relpath(program), key=len))
