"""Define the arguments of the commands: names, types, defaults, help."""

import argparse
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ebagx import __version__
from ebagx._core.quantized.formats import BITS
from ebagx.cli import commands
from ebagx.cli.arguments import CommandParser
from ebagx.cli.continuing import Interval
from ebagx.cli.layout import add_columns
from ebagx.cli.quantizing import quantize
from ebagx.cli.similar import similar
from ebagx.io.model_description import MAX_DIM
from ebagx.text.corpus import PREFIX
from ebagx.text.model import LOSSES, Settings
from ebagx.text.ngrams import MAX_BUCKETS, MAX_CHAR_NGRAM, MAX_WORD_NGRAM
from ebagx.text.tokenizers import NAMES

_MAX_SEED = 2**32 - 1
_MAX_THREADS = 256
_MODEL = Path("ebagx-model")


def make_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of a command line that is called `prog`."""
    parser = CommandParser(prog=prog, description="Text classification with an embedding bag.")
    parser.add_argument("--version", action="version", version=f"ebagx {__version__}")
    subparsers = parser.add_subparsers(metavar="command")
    for name, add_arguments, summary in (
        ("train", _add_train, "learn from labelled lines and save a model"),
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


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learn the labels of lines of text, print the accuracy on lines held out, and "
        "save the model. Without a file, learn the topics of the WordNet definitions that come "
        "with ebagx. Options may also be spelt as in fastText."
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="lines of label<TAB>text, or of fastText's __label__x text, in which labels may stand "
        "anywhere; UTF-8, plain, gzip, bzip2, xz or zip; - is standard input",
    )
    source.add_argument("--input", "-input", type=Path, metavar="FILE", help="the same")
    add(
        "--model",
        "-output",
        type=Path,
        metavar="DIR",
        help=f"folder for the model; a model in it is replaced (default: {_MODEL})",
    )
    add(
        "--held-out",
        type=_fraction,
        default=0.1,
        metavar="X",
        help="fraction of each label's lines to measure the accuracy on, rounded at random; one "
        "line at least is learned (default: %(default)s)",
    )
    add(
        "--loss",
        "-loss",
        type=_loss,
        default=argparse.SUPPRESS,
        help="softmax: one label a line; ova, one versus all: several (default: softmax)",
    )
    add(
        "--negatives",
        type=_integer(1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="with many labels: a step uses those of its lines and N others at random, 256 for "
        "instance, which is faster (default: all labels)",
    )
    add(
        "--tokenizer",
        choices=NAMES,
        default=argparse.SUPPRESS,
        help="words: as Unicode bounds them, in lower case; whitespace: what stands between "
        "blanks; fasttext: the same, with the word </s> at the end of a text (default: words)",
    )
    for option, alias, parse, description in _TRAINING_NUMBERS:
        default = Settings._field_defaults[option[2:].replace("-", "_")]
        names = [option, alias] if alias else [option]
        text = f"{description} (default: {default})"
        add(*names, type=parse, default=argparse.SUPPRESS, metavar="N", help=text)
    add(
        "--class-weight",
        choices=["balanced"],
        default=argparse.SUPPRESS,
        help="balanced: rare labels count more, so that each has the same weight in all; a line "
        "with several labels has the mean of their weights",
    )
    add(
        "--early-stopping",
        action="store_true",
        default=argparse.SUPPRESS,
        help="hold out another tenth of the lines, stop when they are predicted no better, and "
        "keep the model of the best epoch",
    )
    add(
        "--patience",
        type=_integer(1),
        default=argparse.SUPPRESS,
        metavar="N",
        help=f"epochs to wait for a better one (default: {Settings().patience})",
    )
    add(
        "--min-count-label",
        "-minCountLabel",
        type=_integer(1),
        default=1,
        metavar="N",
        help="a label with fewer lines is left out (default: %(default)s)",
    )
    _add_prefix(parser, f"default: {PREFIX}; the model keeps it")
    _add_threads(parser)
    _add_start(parser.add_argument_group("a training that goes on"))
    add_columns(parser, has_labels=True)
    _add_autotune(parser.add_argument_group("search for good options"))
    parser.set_defaults(run=_train)


def _add_start(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--continue",
        dest="continue_from",
        type=Path,
        metavar="MODEL",
        help="go on with this model, and add new words and labels to it; options are those of its "
        "training, and the result replaces it unless --model names another folder",
    )
    add(
        "--checkpoint",
        type=_interval,
        metavar="N",
        help="also save the model after every N epochs or, with 10m, every 10 minutes; the folder "
        "always has a complete one",
    )
    add(
        "--pretrained",
        "-pretrainedVectors",
        type=Path,
        metavar="FILE",
        help="let words begin with the vectors that this file has for them",
    )
    add("--freeze-pretrained", action="store_true", help="leave those embeddings as they are")


def _add_autotune(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--autotune",
        action="store_true",
        help="try lr, epochs, dim, word and character n-grams at random, except those given, and "
        "keep the model with the best score on the held-out lines",
    )
    add(
        "--autotune-validation",
        "-autotune-validation",
        type=Path,
        metavar="FILE",
        help="autotune on these lines instead",
    )
    add(
        "--autotune-duration",
        "-autotune-duration",
        type=_integer(1),
        default=300,
        metavar="S",
        help="seconds of the search (default: %(default)s)",
    )
    add(
        "--autotune-metric",
        "-autotune-metric",
        type=_metric,
        default="p@1",
        metavar="SCORE",
        help="p@1; f1: of all labels together; f1:LABEL (default: %(default)s)",
    )
    add(
        "--autotune-modelsize",
        "-autotune-modelsize",
        type=_size,
        metavar="SIZE",
        help="save a quantised model of at most so many bytes, such as 2M or 500k, and measure the "
        "score of such models",
    )
    add("--autotune-trials", type=_integer(1), metavar="N", help="end the search after N trials")


def _train(args: argparse.Namespace) -> None:
    args.file = args.file or args.input
    args.model = args.model or args.continue_from or _MODEL
    wishes = args.autotune_validation, args.autotune_modelsize
    args.autotune = args.autotune or any(wish is not None for wish in wishes)
    commands.train(args)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the likeliest labels of each line as soon as it is read."
    _add_model(parser)
    _add_lines(parser)
    parser.add_argument("--prob", action="store_true", help="print the probability of each label")
    _add_choice(parser)
    _add_threads(parser)
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
        type=_label_count,
        default=30,
        metavar="N",
        help="labels in the table, those of the most lines first; -1 is all (default: %(default)s)",
    )
    parser.add_argument(
        "--confusion", type=Path, metavar="PNG", help="draw the confusion matrix into a file"
    )
    _add_choice(parser)
    _add_prefix(parser)
    _add_threads(parser)
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
        type=_integer(1),
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
    _add_threads(parser)
    parser.set_defaults(run=similar)


def _add_vectors(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the mean embedding of each line as a row of float32."
    _add_model(parser)
    _add_lines(parser, nargs=None)
    parser.add_argument("output", type=Path, help="the .npy file; an existing one is replaced")
    _add_threads(parser)
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
        type=_bits,
        default=4,
        metavar="N",
        help="bits of a value: 8, 4 or 2 (default: %(default)s)",
    )
    parser.add_argument(
        "--cutoff",
        "-cutoff",
        type=_integer(1),
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
    _add_prefix(parser)
    add_columns(parser, has_labels=True)
    parser.set_defaults(run=quantize)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Save a model of fastText, whose features are words, as one of ebagx, with which training "
        "can go on. Models with other features are used as they are: predict and the other "
        "commands take the file."
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
    _add_prefix(parser)
    add_columns(parser, has_labels=False)


def _add_prefix(parser: argparse.ArgumentParser, default: str = "default: as in training") -> None:
    parser.add_argument(
        "--label",
        "-label",
        type=_prefix,
        metavar="PREFIX",
        help=f"words that begin with this are labels ({default})",
    )


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-k",
        type=_label_count,
        default=1,
        metavar="K",
        help="labels a line; -1 is all (default: %(default)s)",
    )
    parser.add_argument(
        "--threshold",
        type=_probability,
        default=0.0,
        metavar="P",
        help="only labels at least so probable (default: %(default)s)",
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        "-thread",
        type=_integer(1, _MAX_THREADS),
        metavar="N",
        help="threads to use (default: all)",
    )


def _number(parse: type, valid: Callable[[Any], bool], description: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            value = parse(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"must be {description}, got {text!r}")
        return value

    return convert


def _integer(low: int, high: int = sys.maxsize) -> Callable[[str], int]:
    limits = f"at least {low}" if high == sys.maxsize else f"from {low} to {high}"
    return _number(int, lambda value: low <= value <= high, f"an integer {limits}")


def _interval(text: str) -> Interval:
    try:
        return Interval(_integer(1)(text.removesuffix("m")), text.endswith("m"))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be a number of epochs, or of minutes as 10m, at least 1, got {text!r:.40}"
        ) from None


def _prefix(text: str) -> str:
    if len(text.split()) != 1 or text != text.strip():
        raise argparse.ArgumentTypeError(f"must be a word, got {text!r}")
    return text


def _loss(text: str) -> str:
    if text in ("hs", "ns"):
        raise argparse.ArgumentTypeError(
            f"{text} is not needed: use softmax or ova, with many labels and --negatives 256"
        )
    if text not in (*LOSSES, "one-vs-all"):
        raise argparse.ArgumentTypeError(f"must be softmax or ova, got {text!r}")
    return "ova" if text == "one-vs-all" else text


def _metric(text: str) -> str:
    name, colon, label = text.partition(":")
    if name not in ("p@1", "f1") or (colon and (name != "f1" or not label)):
        raise argparse.ArgumentTypeError(f"must be p@1, f1 or f1:LABEL, got {text!r}")
    return name + colon + label.removeprefix(PREFIX)


def _size(text: str) -> int:
    number, unit = text[:-1], _UNITS.get(text[-1:].lower())
    if unit is None:
        number, unit = text, 1
    if not (number.isascii() and number.isdigit() and int(number)):
        raise argparse.ArgumentTypeError(f"must be a number of bytes, 500k or 2M, got {text!r}")
    return int(number) * unit


_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}

_bits = _number(int, lambda value: value in BITS, "8, 4 or 2")
_positive = _number(float, lambda value: 0 < value < math.inf, "a positive number")
_probability = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
_label_count = _number(int, lambda k: k == commands.ALL or k > 0, "-1 or an integer at least 1")
_fraction = _number(float, lambda value: 0 <= value < 1, "a number from 0 to less than 1")

_TRAINING_NUMBERS = (
    ("--dim", "-dim", _integer(1, MAX_DIM), "length of the embeddings"),
    ("--epochs", "-epoch", _integer(1), "passes over the lines"),
    ("--lr", "-lr", _positive, "learning rate; falls to 0 in 4 epochs or more, but with ova"),
    ("--batch-size", None, _integer(1), "lines per step"),
    ("--word-ngrams", "-wordNgrams", _integer(1, MAX_WORD_NGRAM), "longest n-gram of words"),
    ("--min-count", "-minCount", _integer(1), "a word with fewer occurrences is not used alone"),
    ("--minn", "-minn", _integer(0, MAX_CHAR_NGRAM), "shortest n-gram of characters"),
    ("--maxn", "-maxn", _integer(0, MAX_CHAR_NGRAM), "longest n-gram of characters; 0: none"),
    ("--buckets", "-bucket", _integer(1, MAX_BUCKETS), "number of buckets for hashed n-grams"),
    ("--seed", "-seed", _integer(0, _MAX_SEED), "seed of all random numbers"),
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
