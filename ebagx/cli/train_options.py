"""The options of the command `train`, many of which fastText has, too."""

import argparse
import math
from pathlib import Path

from ebagx.cli import commands
from ebagx.cli.continuing import Interval
from ebagx.cli.layout import add_columns
from ebagx.cli.options import add_prefix, add_threads, integer, number
from ebagx.io.model_description import MAX_DIM
from ebagx.text.corpus import PREFIX
from ebagx.text.model import LOSSES, Settings
from ebagx.text.ngrams import MAX_BUCKETS, MAX_CHAR_NGRAM, MAX_WORD_NGRAM
from ebagx.text.tokenizers import NAMES

_MODEL = Path("ebagx-model")
_MAX_SEED = 2**32 - 1


def add_train(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
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
        type=integer(1),
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
        type=integer(1),
        default=argparse.SUPPRESS,
        metavar="N",
        help=f"epochs to wait for a better one (default: {Settings().patience})",
    )
    add(
        "--min-count-label",
        "-minCountLabel",
        type=integer(1),
        default=1,
        metavar="N",
        help="a label with fewer lines is left out (default: %(default)s)",
    )
    add_prefix(parser, f"default: {PREFIX}; the model keeps it")
    add_threads(parser)
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
        type=integer(1),
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
    add("--autotune-trials", type=integer(1), metavar="N", help="end the search after N trials")


def _train(args: argparse.Namespace) -> None:
    args.file = args.file or args.input
    args.model = args.model or args.continue_from or _MODEL
    wishes = args.autotune_validation, args.autotune_modelsize
    args.autotune = args.autotune or any(wish is not None for wish in wishes)
    commands.train(args)


def _interval(text: str) -> Interval:
    try:
        return Interval(integer(1)(text.removesuffix("m")), text.endswith("m"))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be a number of epochs, or of minutes as 10m, at least 1, got {text!r:.40}"
        ) from None


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
    digits, unit = text[:-1], _UNITS.get(text[-1:].lower())
    if unit is None:
        digits, unit = text, 1
    if not (digits.isascii() and digits.isdigit() and int(digits)):
        raise argparse.ArgumentTypeError(f"must be a number of bytes, 500k or 2M, got {text!r}")
    return int(digits) * unit


_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}

_positive = number(float, lambda value: 0 < value < math.inf, "a positive number")
_fraction = number(float, lambda value: 0 <= value < 1, "a number from 0 to less than 1")

_TRAINING_NUMBERS = (
    ("--dim", "-dim", integer(1, MAX_DIM), "length of the embeddings"),
    ("--epochs", "-epoch", integer(1), "passes over the lines"),
    ("--lr", "-lr", _positive, "learning rate; falls to 0 in 4 epochs or more, but with ova"),
    ("--batch-size", None, integer(1), "lines per step"),
    ("--word-ngrams", "-wordNgrams", integer(1, MAX_WORD_NGRAM), "longest n-gram of words"),
    ("--min-count", "-minCount", integer(1), "a word with fewer occurrences is not used alone"),
    ("--minn", "-minn", integer(0, MAX_CHAR_NGRAM), "shortest n-gram of characters"),
    ("--maxn", "-maxn", integer(0, MAX_CHAR_NGRAM), "longest n-gram of characters; 0: none"),
    ("--buckets", "-bucket", integer(1, MAX_BUCKETS), "number of buckets for hashed n-grams"),
    ("--seed", "-seed", integer(0, _MAX_SEED), "seed of all random numbers"),
)
