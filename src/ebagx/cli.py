"""The command line: train a text classifier, classify lines with it, look at it.

scikit-learn is imported by the commands that need it, so that its absence is reported in one
line and ``--help`` is quick.
"""

import argparse
import math
import os
import random
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ebagx import __version__
from ebagx._text import (
    MAX_BUCKETS,
    MAX_DIM,
    MAX_WORD_NGRAMS,
    Features,
    LabelledTexts,
    read_labelled,
    read_line_blocks,
)
from ebagx.datasets import load_wordnet10

if TYPE_CHECKING:
    from ebagx._model import TextModel

_SIGINT_STATUS = 130
_SIGPIPE_STATUS = 141
_WORDNET_TRAINING_LINES = 8000
_MAX_SEED = 2**32 - 1
_MAX_THREADS = 256


def main(argv: Sequence[str] | None = None, prog: str = "ebagx") -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments, by default those of the process.
    prog : str, default="ebagx"
        The command's own name.

    Returns
    -------
    int
        Exit status: 0, 2 for anything the user can put right, which is explained in one line
        on standard error, 130 after Ctrl-C, 141 when the reader of the output has gone.

    Examples
    --------
    >>> main(["predict", "no-such-model"])
    2
    """
    args = _make_parser(prog).parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would make the interpreter complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS
    except KeyboardInterrupt:
        return _fail("interrupted", _SIGINT_STATUS)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, ModuleNotFoundError, ValueError) as error:
        return _fail(str(error) or "out of memory")
    return 0


def _fail(message: str, status: int = 2) -> int:
    print("ebagx:", " ".join(message.split()), file=sys.stderr)
    return status


class _Split(NamedTuple):
    """What is learned from and what is held out."""

    source: str
    training: LabelledTexts
    held_out: LabelledTexts
    example: str


def _train(args: argparse.Namespace) -> None:
    from ebagx._model import check_destination, save_model, train_model
    from ebagx.sklearn import EmbeddingBagClassifier

    check_destination(args.model)
    split = _split_wordnet() if args.file is None else _split_file(args)
    texts, labels = split.training
    _report("reading", split.source)
    n_labels, n_held_out = len(set(labels)), len(split.held_out.texts)
    _report("", f"{n_labels:,} labels, {len(texts):,} lines and {n_held_out:,} held out")
    _report("training", f"{args.epochs} epochs, {args.dim} dimensions")
    classifier = EmbeddingBagClassifier(
        args.dim,
        learning_rate=args.lr,
        batch_size=args.batch_size,
        max_iter=args.epochs,
        random_state=args.seed,
        verbose=sys.stderr.isatty() and find_spec("tqdm") is not None,
        num_threads=args.threads,
    )
    start = time.perf_counter()
    model = train_model(texts, labels, Features(args.word_ngrams, args.buckets), classifier)
    seconds = time.perf_counter() - start
    words = args.epochs * sum(len(text.split()) for text in texts)
    _report("accuracy", _describe_accuracy(model, split.held_out))
    _report("speed", f"{words / seconds:,.0f} words per second ({seconds:.2f} s)")
    save_model(model, args.model)
    _report("saved", str(args.model))
    print("\nNow classify lines of your own:")
    print(f"  echo {split.example} | {args.command()} predict {shlex.quote(str(args.model))}")


def _predict(args: argparse.Namespace) -> None:
    from ebagx._model import load_model

    model = load_model(args.model, args.threads)
    from_stdin = args.file == Path("-")
    if from_stdin and sys.stdin is None:
        raise ValueError("standard input is closed")
    with nullcontext(sys.stdin.buffer) if from_stdin else args.file.open("rb") as stream:
        name = "stdin" if from_stdin else str(args.file)
        for lines in read_line_blocks(cast(BufferedReader, stream), name):
            print(*model.predict(lines), sep="\n", flush=True)


def _info(args: argparse.Namespace) -> None:
    from ebagx._model import load_model

    model = load_model(args.model)
    n_features, dim = model.classifier.embedding_.shape
    words, buckets = model.features
    _report("features", f"{n_features:,} {'hash buckets' if buckets else 'known'}")
    _report("", "words" if words == 1 else f"runs of 1 to {words} words")
    _report("size", f"{dim} dimensions, {model.classifier.embedding_.nbytes / 1e6:,.1f} MB")
    _report("labels", f"{len(model.labels)}")
    for label in model.labels:
        _report("", label)


def _report(heading: str, text: str) -> None:
    print(f"{heading:<10}{text}", flush=True)


def _describe_accuracy(model: "TextModel", held_out: LabelledTexts) -> str:
    if not held_out.texts:
        return "not measured, no lines are held out"
    predicted = model.predict(held_out.texts)
    hits = sum(p == label for p, label in zip(predicted, held_out.labels, strict=True))
    return f"{hits / len(predicted):.3f} on the held-out lines"


def _split_wordnet() -> _Split:
    texts, labels = load_wordnet10()
    training, held_out = (
        LabelledTexts(texts[part], labels[part])
        for part in (slice(_WORDNET_TRAINING_LINES), slice(_WORDNET_TRAINING_LINES, None))
    )
    return _Split("WordNet topics (come with ebagx)", training, held_out, '"a small striped cat"')


def _split_file(args: argparse.Namespace) -> _Split:
    data = read_labelled(args.file)
    n_labels, n_lines = len(set(data.labels)), len(data.labels)
    if n_labels == 1:
        raise ValueError(f"{args.file}: every line has the label {data.labels[0]!r:.40}")
    if 2 * n_labels > n_lines:
        raise ValueError(f"{args.file}: {n_labels:,} labels for {n_lines:,} lines are too many")
    training, held_out = _hold_out(data, args.held_out, args.seed)
    return _Split(str(args.file), training, held_out, '"some words"')


def _hold_out(
    data: LabelledTexts, fraction: float, seed: int
) -> tuple[LabelledTexts, LabelledTexts]:
    """Split at random, taking the same fraction of each label, rounded down, out of training."""
    lines_of_label = defaultdict(list)
    for i, label in enumerate(data.labels):
        lines_of_label[label].append(i)
    chooser = random.Random(seed)
    held_out = set()
    for lines in lines_of_label.values():
        held_out.update(chooser.sample(lines, int(fraction * len(lines))))
    parts = LabelledTexts([], []), LabelledTexts([], [])
    for i, (text, label) in enumerate(zip(*data, strict=True)):
        part = parts[i in held_out]
        part.texts.append(text)
        part.labels.append(label)
    return parts


def _make_parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Text classification with an embedding bag."
    )
    parser.add_argument("--version", action="version", version=f"ebagx {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_train(commands.add_parser("train", help="learn from labelled lines and save a model"))
    _add_predict(commands.add_parser("predict", help="print the likeliest label of each line"))
    _add_info(commands.add_parser("info", help="describe a saved model"))
    parser.set_defaults(command=lambda: _own_command(prog))
    return parser


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Learn to tell the labels of lines of text, print the accuracy on lines held out, and "
        "save the model. Without a file, learn the topics of the WordNet definitions that come "
        "with ebagx."
    )
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        help="lines of label<TAB>text, or of __label__x text as for fastText; UTF-8, maybe gzip",
    )
    add(
        "--model",
        type=Path,
        default=Path("ebagx-model"),
        metavar="DIR",
        help="where to save the model; a model already there is replaced (default: %(default)s)",
    )
    add(
        "--held-out",
        type=_fraction,
        default=0.1,
        metavar="X",
        help="fraction of the file's lines to measure the accuracy on (default: %(default)s)",
    )
    for option, parse, default, description in _TRAINING_NUMBERS:
        text = f"{description} (default: {default})"
        add(option, type=parse, default=default, metavar="N", help=text)
    _add_threads(parser)
    parser.set_defaults(run=_train)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the likeliest label of each line, as the lines come in."
    parser.add_argument("model", type=Path, help="directory that train has saved")
    parser.add_argument(
        "file", nargs="?", type=Path, default=Path("-"), help="lines of text; - is standard input"
    )
    _add_threads(parser)
    parser.set_defaults(run=_predict)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print what a saved model knows."
    parser.add_argument("model", type=Path, help="directory that train has saved")
    parser.set_defaults(run=_info)


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
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


_positive = _number(float, lambda value: 0 < value < math.inf, "a positive number")
_fraction = _number(float, lambda value: 0 <= value < 1, "a number from 0 to less than 1")

_TRAINING_NUMBERS = (
    ("--dim", _integer(1, MAX_DIM), 32, "length of the embeddings"),
    ("--epochs", _integer(1), 10, "passes over the lines"),
    ("--lr", _positive, 0.1, "learning rate"),
    ("--batch-size", _integer(1), 64, "lines per step"),
    ("--word-ngrams", _integer(1, MAX_WORD_NGRAMS), 2, "longest run of words to be a feature"),
    ("--buckets", _integer(0, MAX_BUCKETS), 0, "hash features into N rows; 0: a vocabulary"),
    ("--seed", _integer(0, _MAX_SEED), 0, "seed of all that is random"),
)


def _own_command(prog: str) -> str:
    """Return what to type to run this program again, virtual environment or not."""
    if prog.endswith("-m ebagx"):
        return f"{_as_typed(sys.executable)} -m ebagx"
    return _as_typed(sys.argv[0])


def _as_typed(program: str) -> str:
    name = os.path.basename(program)
    if shutil.which(name) == program:
        return name
    return shlex.quote(min(program, os.path.relpath(program), key=len))
