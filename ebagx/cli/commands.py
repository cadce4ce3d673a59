"""Run the commands. `train` imports scikit-learn, and so does `test` to draw a picture."""

import random
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ebagx.cli.progress import progress
from ebagx.cli.report import confusion_text, draw_confusion, label_table, report
from ebagx.cli.saving import save_somewhere
from ebagx.datasets import load_wordnet10
from ebagx.io.model_description import read_description
from ebagx.io.model_folder import check_destination, load_model
from ebagx.io.npy import write_rows
from ebagx.io.versioned_folder import DESCRIPTION
from ebagx.text import autotune
from ebagx.text.autotune import Trial
from ebagx.text.corpus import read_corpus, read_line_blocks
from ebagx.text.evaluation import Evaluation
from ebagx.text.lines import Lines, read_lines
from ebagx.text.model import Fitted, Settings, TextModel, train_model
from ebagx.text.tokenizers import Tokenizer

_WORDNET_TRAINING_LINES = 8000
_LINES_AT_ONCE = 10_000
_STDIN = Path("-")


class TrainingInterrupted(Exception):  # noqa: N818
    """Ctrl-C has ended a training, and the model so far has been saved."""


class _Split(NamedTuple):
    """The lines to learn from, and those that are held out."""

    source: str
    training: Lines
    held_out: Lines
    example: str


def train(args: Namespace) -> None:
    """Learn from labelled lines, measure, and save the model."""
    settings = Settings(*(getattr(args, name) for name in Settings._fields))
    _check_settings(args, settings)
    check_destination(args.model)
    settings.make_classifier()  # raises here if scikit-learn is missing, and imports it untimed
    split = _split_wordnet(settings) if args.file is None else _split_file(args, settings)
    report("reading", split.source)
    n_labels = len(split.training.label_names())
    n_lines, n_held_out = split.training.num_lines, split.held_out.num_lines
    report("", f"{n_labels:,} labels, {n_lines:,} lines and {n_held_out:,} held out")
    start = time.perf_counter()
    if args.autotune:
        best, interrupted = _autotuned(args, split, settings)
        model, outcome = best.model, "; the best model"
        seconds = time.perf_counter() - start
        report("best", " ".join(autotune.describe(best.settings)[:3]))
        report("", " ".join(autotune.describe(best.settings)[3:]))
    else:
        report("training", f"{settings.epochs} epochs, {settings.dim} dimensions")
        model, epochs = _train_shown(split.training, settings)
        seconds = time.perf_counter() - start
        interrupted = epochs < settings.epochs
        outcome = f" after {epochs} of {settings.epochs} epochs; the model"
    heading = "accuracy" if settings.loss == "softmax" else "P@1"
    report(heading, _describe_accuracy(model, split.held_out))
    if not (args.autotune or interrupted):
        words = settings.epochs * split.training.count_words()
        report("speed", f"{words / seconds:,.0f} words per second ({seconds:.2f} s)")
    place, problem = save_somewhere(model, args.model)
    report("saved", str(place))
    if interrupted:
        reason = f", as {problem}" if problem else ""
        raise TrainingInterrupted(f"interrupted{outcome} so far is saved as {place}{reason}")
    print("\nNow classify lines of your own:")
    print(f"  echo {split.example} | {args.command()} predict {shlex.quote(str(place))}")
    if problem:
        raise OSError(f"{problem}; the model is saved as {place}")


def predict(args: Namespace) -> None:
    """Print the likeliest labels of each line."""
    model = load_model(args.model, args.threads)
    for lines in _line_blocks(args.file):
        order, probabilities = model.best(lines, args.k)
        for positions, values in zip(order.tolist(), probabilities.tolist(), strict=True):
            fields = []
            for i, value in zip(positions, values, strict=True):
                if value >= args.threshold:
                    fields += [model.labels[i], f"{value:.4f}"] if args.prob else [model.labels[i]]
            print(*fields, sep="\t")
        sys.stdout.flush()


def test(args: Namespace) -> None:
    """Print how well a model predicts labelled lines."""
    model = load_model(args.model, args.threads)
    texts, labels = read_corpus(args.file)
    evaluation = Evaluation()
    for start in range(0, len(texts), _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        order, probabilities = model.best(texts[part], args.k)
        chosen = [
            [model.labels[i] for i, value in zip(*line, strict=True) if value >= args.threshold]
            for line in zip(order.tolist(), probabilities.tolist(), strict=True)
        ]
        evaluation.add(labels[part], chosen)
    report("lines", f"{evaluation.n_lines:,}")
    report(f"P@{args.k}", f"{evaluation.precision:.3f}")
    report(f"R@{args.k}", f"{evaluation.recall:.3f}")
    print(f"\n{label_table(evaluation)}\n")
    if evaluation.n_several:
        print(f"{evaluation.n_several:,} lines have several labels and are not in the matrix\n")
    if args.confusion:
        draw_confusion(evaluation, args.confusion)
        report("saved", str(args.confusion))
    else:
        print(confusion_text(evaluation, shutil.get_terminal_size((80, 24)).columns))


def vectors(args: Namespace) -> None:
    """Write the mean embedding of each line to a ``.npy`` file."""
    model = load_model(args.model, args.threads)
    with write_rows(args.output, model.embedding.shape[1]) as rows:
        for lines in _line_blocks(args.file):
            rows.write(model.vectors(lines))
    report("saved", f"{args.output}: {rows.count:,} x {rows.dim}, float32")


def info(args: Namespace) -> None:
    """Print the features, the size and the labels of a model."""
    model = load_model(args.model)
    ngrams, n_words = model.features.ngrams, model.features.words.count
    n_rows, dim = model.embedding.shape
    report("features", f"{n_words:,} words; tokenizer: {model.features.tokenizer.name}")
    if ngrams.buckets_in_use:
        report("", f"{n_rows - n_words:,} of {ngrams.n_buckets:,} buckets of hashed n-grams")
    if ngrams.word_ngrams > 1:
        report("", f"n-grams of up to {ngrams.word_ngrams} words")
    if ngrams.max_chars:
        report("", f"n-grams of {ngrams.min_chars} to {ngrams.max_chars} characters")
    report("size", f"{dim} dimensions, {model.embedding.nbytes / 1e6:,.1f} MB")
    report("loss", model.loss)
    report("format", f"version {read_description(args.model / DESCRIPTION).version}")
    report("labels", f"{len(model.labels):,}")
    for label in model.labels:
        report("", label)


def _check_settings(args: Namespace, settings: Settings) -> None:
    if settings.maxn and settings.minn > settings.maxn:
        raise ValueError(f"--minn {settings.minn} is above --maxn {settings.maxn}")
    if settings.minn and not settings.maxn:
        raise ValueError(f"--minn {settings.minn} has no --maxn")
    if args.autotune and args.autotune_validation is None and not args.held_out:
        raise ValueError("--autotune needs --held-out above 0 or --autotune-validation")


def _autotuned(args: Namespace, split: _Split, settings: Settings) -> tuple[Trial, bool]:
    validation, name = split.held_out, "held-out"
    if args.autotune_validation is not None:
        lines = _read(args.autotune_validation, settings.cutter)
        validation, name = lines, "validation"
    if not validation.num_lines:
        raise ValueError("--autotune has no held-out lines to measure on; raise --held-out")
    report("autotune", f"{args.autotune_duration} s, P@1 of {validation.num_lines:,} {name} lines")
    report("", "  P@1      lr epochs   dim words  chars      s")

    def show(number: int, trial: Trial, is_best: bool) -> None:
        _, lr, epochs, _, word_ngrams, _, minn, maxn, *_ = trial.settings
        chars = f"{max(minn, 1)}-{maxn}" if maxn else "-"
        numbers = f"{trial.score:5.3f} {lr:7.3g} {epochs:6} {trial.settings.dim:5}"
        rest = f"{word_ngrams:5} {chars:>6} {trial.seconds:6.1f}{' *' if is_best else ''}"
        report(f"  {number}", f"{numbers} {rest}")

    duration, trials = args.autotune_duration, args.autotune_trials
    return autotune.search(split.training, validation, settings, duration, trials, show)


def _describe_accuracy(model: TextModel, held_out: Lines) -> str:
    if not held_out.num_lines:
        return "not measured, no lines are held out"
    return f"{model.precision_at_1(held_out):.3f} on the held-out lines"


def _split_wordnet(settings: Settings) -> _Split:
    texts, labels = load_wordnet10()
    lines = Lines.of(texts, [(label,) for label in labels], settings.cutter)
    training, held_out = (
        lines.select(part)
        for part in (slice(_WORDNET_TRAINING_LINES), slice(_WORDNET_TRAINING_LINES, None))
    )
    return _Split("WordNet topics (come with ebagx)", training, held_out, '"a small striped cat"')


def _split_file(args: Namespace, settings: Settings) -> _Split:
    lines, source = _read(args.file, settings.cutter), _name_of(args.file)
    names, n_lines = lines.label_names(), lines.num_lines
    if len(names) == 1:
        raise ValueError(f"{source}: every line has the label {names[0]!r:.40}")
    if 2 * len(names) > n_lines:
        raise ValueError(f"{source}: {len(names):,} labels for {n_lines:,} lines are too many")
    labels, offsets = lines.labels()
    if args.loss == "softmax" and len(labels) > n_lines:
        several = int(np.argmax(np.diff(offsets) > 1))
        in_order = lines.store.label_names.names()
        shown = ", ".join(in_order[i] for i in labels[offsets[several] : offsets[several + 1]])
        raise ValueError(
            f"{source}: a line has the labels {shown:.40}; several labels a line need --loss ova"
        )
    is_held_out = _hold_out(labels[offsets[:-1]], args.held_out, args.seed)
    parts = lines.select(~is_held_out), lines.select(is_held_out)
    return _Split(source, *parts, '"some words"')


def _hold_out(labels: npt.NDArray[np.int32], fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose lines at random, the same fraction of each label, rounded down; return which.

    `labels` has the number of the first label of each line.
    """
    chooser = random.Random(seed)
    is_held_out = np.zeros(len(labels), bool)
    _, first, counts = np.unique(labels, return_index=True, return_counts=True)
    lines_of_label = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    for i in np.argsort(first):  # labels by first occurrence
        lines = lines_of_label[i]
        chosen = chooser.sample(range(len(lines)), int(fraction * len(lines)))
        is_held_out[lines[np.array(chosen, np.intp)]] = True
    return is_held_out


def _train_shown(lines: Lines, settings: Settings) -> Fitted:
    with progress("training", lines.num_lines * settings.epochs, "lines") as show:
        done = 0

        def watch(count: int, losses: Sequence[float]) -> None:
            nonlocal done
            done += count
            show(done, f"epoch {len(losses)}: loss {losses[-1]:.3f}" if losses else "")

        return train_model(lines, settings, watch)


def _read(path: Path, tokenizer: Tokenizer) -> Lines:
    with _opened(path) as stream:
        size = path.stat().st_size if path.is_file() else None  # which a pipe does not have
        with progress("reading", size, "lines" if size is None else "bytes") as show:

            def advance(n_lines: int) -> None:
                if size is None:
                    show(n_lines, "")
                else:
                    show(stream.tell(), f"{n_lines:,} lines")

            return read_lines(stream, _name_of(path), advance, tokenizer)


def _line_blocks(path: Path) -> Iterator[list[str]]:
    with _opened(path) as stream:
        yield from read_line_blocks(stream, _name_of(path))


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    if path != _STDIN:
        with path.open("rb") as stream:
            yield stream
        return
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    yield cast(BufferedReader, sys.stdin.buffer)


def _name_of(path: Path) -> str:
    """Return the name of a file in messages."""
    return "stdin" if path == _STDIN else str(path)
