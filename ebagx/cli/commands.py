"""Run the commands. `train` imports scikit-learn, and so does `test` to draw a picture."""

import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence

from ebagx.cli.fasttext_models import convert_model, describe_file, load_model
from ebagx.cli.inputs import read_labelled_texts, read_training_lines, text_blocks
from ebagx.cli.progress import progress
from ebagx.cli.report import confusion_text, draw_confusion, label_table, report
from ebagx.cli.saving import save_somewhere
from ebagx.cli.split import Split, split_file, split_wordnet
from ebagx.io import model_folder
from ebagx.io.fasttext.model import is_fasttext
from ebagx.io.model_description import read_description
from ebagx.io.model_folder import check_destination
from ebagx.io.npy import write_rows
from ebagx.io.versioned_folder import DESCRIPTION
from ebagx.text import autotune
from ebagx.text.autotune import Trial
from ebagx.text.evaluation import Evaluation
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.lines import Lines
from ebagx.text.model import Fitted, Settings, TextModel, train_model

ALL = -1  # labels
_LINES_AT_ONCE = 10_000


class TrainingInterrupted(Exception):  # noqa: N818
    """Ctrl-C has ended a training, and the model so far has been saved."""


def train(args: Namespace) -> None:
    """Learn from labelled lines, measure, and save the model."""
    settings = Settings(*(getattr(args, name) for name in Settings._fields))
    _check_settings(args, settings)
    check_destination(args.model)
    settings.make_classifier()  # raises here if scikit-learn is missing, and imports it untimed
    split = split_wordnet(settings) if args.file is None else split_file(args, settings)
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
    try:
        report(heading, _describe_accuracy(model, split.held_out))
    except KeyboardInterrupt:
        interrupted = True  # the model is complete, and is saved
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
    for texts in text_blocks(args.file, args.label, args.labelled, model.labels):
        # One call a line to print would take as long as its prediction.
        print(
            "".join([_printed(chosen, args.prob) for chosen in _chosen(model, texts, args)]), end=""
        )
        sys.stdout.flush()


def test(args: Namespace) -> None:
    """Print how well a model predicts labelled lines."""
    model = load_model(args.model, args.threads)
    texts, labels = read_labelled_texts(args.file, args.label)
    evaluation = Evaluation()
    for start in range(0, len(texts), _LINES_AT_ONCE):
        part = slice(start, start + _LINES_AT_ONCE)
        guesses = ([name for name, _ in chosen] for chosen in _chosen(model, texts[part], args))
        evaluation.add(labels[part], guesses)
    columns = shutil.get_terminal_size((80, 24)).columns
    k = "all" if args.k == ALL else args.k
    report("lines", f"{evaluation.n_lines:,}")
    report(f"P@{k}", f"{evaluation.precision:.3f}")
    report(f"R@{k}", f"{evaluation.recall:.3f}")
    print(f"\n{label_table(evaluation, columns)}\n")
    if evaluation.n_several:
        print(f"{evaluation.n_several:,} lines have several labels and are not in the matrix\n")
    if args.confusion:
        draw_confusion(evaluation, args.confusion)
        report("saved", str(args.confusion))
    else:
        print(confusion_text(evaluation, columns))


def vectors(args: Namespace) -> None:
    """Write the mean embedding of each line to a ``.npy`` file."""
    model = load_model(args.model, args.threads)
    with write_rows(args.output, model.dim) as rows:
        for texts in text_blocks(args.file, args.label, args.labelled, model.labels):
            rows.write(model.vectors(texts))
    report("saved", f"{args.output}: {rows.count:,} x {rows.dim}, float32")


def info(args: Namespace) -> None:
    """Print the features, the size and the labels of a model."""
    if is_fasttext(args.model):
        describe_file(args.model)
        return
    model = model_folder.load_model(args.model)
    ngrams, n_words = model.features.ngrams, model.features.words.count
    n_rows, dim = model.embedding.shape
    report("features", f"{n_words:,} words; tokenizer: {model.features.tokenizer.name}")
    if ngrams.buckets_in_use:
        report("", f"{n_rows - n_words:,} of {ngrams.n_buckets:,} buckets of n-grams")
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


def convert(args: Namespace) -> None:
    """Save a model of fastText as one of ebagx."""
    check_destination(args.folder)
    convert_model(args.model, args.folder)
    report("saved", str(args.folder))


def _chosen(
    model: TextModel | FastTextModel, texts: Sequence[str], args: Namespace
) -> Iterator[list[tuple[str, float]]]:
    """Yield the likeliest labels of each text, best first, each with its probability."""
    for order, probabilities in model.best_blocks(texts, args.k):
        for positions, values in zip(order.tolist(), probabilities.tolist(), strict=True):
            pairs = zip(positions, values, strict=True)
            yield [(model.labels[i], value) for i, value in pairs if value >= args.threshold]


def _printed(chosen: list[tuple[str, float]], with_probability: bool) -> str:
    if with_probability:
        return "\t".join([f"{name}\t{p:.4f}" for name, p in chosen]) + "\n"
    return "\t".join([name for name, _ in chosen]) + "\n"


def _check_settings(args: Namespace, settings: Settings) -> None:
    if settings.maxn and settings.minn > settings.maxn:
        raise ValueError(f"--minn {settings.minn} is above --maxn {settings.maxn}")
    if settings.minn and not settings.maxn:
        raise ValueError(f"--minn {settings.minn} has no --maxn")
    if args.autotune and args.autotune_validation is None and not args.held_out:
        raise ValueError("--autotune needs --held-out above 0 or --autotune-validation")


def _autotuned(args: Namespace, split: Split, settings: Settings) -> tuple[Trial, bool]:
    validation, name = split.held_out, "held-out"
    if args.autotune_validation is not None:
        lines = read_training_lines(args.autotune_validation, settings.cutter, args.label)
        validation, name = lines, "validation"
    if not validation.num_lines:
        raise ValueError("--autotune has no held-out lines to measure on; raise --held-out")
    report("autotune", f"{args.autotune_duration} s, P@1 of {validation.num_lines:,} {name} lines")
    print("      P@1      lr epochs dim words chars      s")

    def show(number: int, trial: Trial, is_best: bool) -> None:
        _, lr, epochs, _, word_ngrams, _, minn, maxn, *_ = trial.settings
        chars = f"{max(minn, 1)}-{maxn}" if maxn else "-"
        numbers = f"{number:3} {trial.score:5.3f} {lr:7.3g} {epochs:6} {trial.settings.dim:3}"
        rest = f"{word_ngrams:5} {chars:>5} {trial.seconds:6.1f}{' *' if is_best else ''}"
        print(f"{numbers} {rest}", flush=True)

    duration, trials = args.autotune_duration, args.autotune_trials
    return autotune.search(split.training, validation, settings, duration, trials, show)


def _describe_accuracy(model: TextModel, held_out: Lines) -> str:
    if not held_out.num_lines:
        return "not measured, no lines are held out"
    return f"{model.precision_at_1(held_out):.3f} on the held-out lines"


def _train_shown(lines: Lines, settings: Settings) -> Fitted:
    with progress("training", lines.num_lines * settings.epochs, "lines") as show:
        done = 0

        def watch(count: int, losses: Sequence[float]) -> None:
            nonlocal done
            done += count
            show(done, f"epoch {len(losses)}: loss {losses[-1]:.3f}" if losses else "")

        return train_model(lines, settings, watch)
