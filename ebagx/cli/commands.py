"""Run the commands. None needs scikit-learn, but `test` to draw a picture."""

import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ebagx.cli.continuing import (
    Checkpoints,
    given_vectors,
    model_to_continue,
    report_growth,
    settings_to_continue,
)
from ebagx.cli.fasttext_models import convert_model, describe_file, describe_model, load_model
from ebagx.cli.inputs import labelled_blocks, text_blocks
from ebagx.cli.layout import layout_of
from ebagx.cli.progress import progress
from ebagx.cli.report import (
    confusion_text,
    draw_confusion,
    label_table,
    quantised_to,
    report,
    report_labels,
    report_size,
    threshold_table,
)
from ebagx.cli.saving import save_somewhere
from ebagx.cli.search import search
from ebagx.cli.split import split_file, split_wordnet
from ebagx.io import model_folder
from ebagx.io.fasttext.model import is_fasttext
from ebagx.io.model_description import read_description
from ebagx.io.model_folder import check_destination
from ebagx.io.npy import write_rows
from ebagx.io.versioned_folder import DESCRIPTION
from ebagx.text.corpus import PREFIX
from ebagx.text.evaluation import Evaluation, ThresholdCounts
from ebagx.text.fasttext.model import FastTextModel
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.pretrained import GivenVectors
from ebagx.text.ranking import likeliest
from ebagx.text.training import Fitted, Following, continue_model, fit_model

ALL = -1  # labels

_Floats = npt.NDArray[np.float32]
_Intp = npt.NDArray[np.intp]


class TrainingInterrupted(Exception):  # noqa: N818
    """Ctrl-C has ended a training, and the model so far has been saved."""


def train(args: Namespace) -> None:
    """Learn from labelled lines, measure, and save the model."""
    former, vectors = model_to_continue(args), given_vectors(args)
    given = {name: getattr(args, name) for name in Settings._fields if hasattr(args, name)}
    settings = Settings(**given)
    if former is not None:
        settings = settings_to_continue(args.continue_from, given, former)
    _check_settings(args, settings)
    layout = layout_of(args, args.label or (PREFIX if former is None else former.label_prefix))
    check_destination(args.model)
    settings.make_learner()  # raises here if threadpoolctl is missing, and imports it untimed
    if args.file is None:
        split = split_wordnet(settings)
    else:
        split = split_file(args, settings, layout, former)
    n_labels = len(split.training.label_names())
    n_lines, n_held_out = split.training.num_lines, split.held_out.num_lines
    report("", f"{n_labels:,} labels, {n_lines:,} lines and {n_held_out:,} held out")
    if args.autotune:
        found = search(args, split, settings, set(given), layout)
        model, interrupted, outcome = found.trial.model, found.interrupted, "; the best model"
        is_chosen_there, speed = args.autotune_validation is None, ""
    else:
        every, checkpoint = args.checkpoint, None
        if every:
            checkpoint = Checkpoints(args.model, every, layout.prefix)
        fitted, speed = _train_shown(checkpoint, split.training, settings, former, vectors)
        model, interrupted, is_chosen_there = fitted.model, fitted.passes.interrupted, False
        outcome = f" after {fitted.passes.made} of {settings.epochs} epochs; the model"
    heading = "accuracy" if settings.loss == "softmax" else "P@1"
    try:
        report(heading, _describe_accuracy(model, split.held_out) + "," * is_chosen_there)
        if is_chosen_there:
            report("", "on which the model was chosen")
    except KeyboardInterrupt:
        interrupted = True  # the model is complete, and is saved
    if speed and not interrupted:
        report("speed", speed)
    place, problem = save_somewhere(replace(model, label_prefix=layout.prefix), args.model)
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
    layout = layout_of(args, args.label or model.label_prefix)
    for texts in text_blocks(args.file, layout, model.labels):
        for order, probabilities in model.best_blocks(texts, args.k):
            found = _chosen(model, order, probabilities, args.threshold)
            # One call a line to print would take as long as its prediction.
            print("".join([_printed(chosen, args.prob) for chosen in found]), end="")
        sys.stdout.flush()


def test(args: Namespace) -> None:
    """Print how well a model predicts labelled lines."""
    model = load_model(args.model, args.threads)
    layout = layout_of(args, args.label or model.label_prefix)
    evaluation, thresholds = Evaluation(), ThresholdCounts(model.labels)
    for texts, labels in labelled_blocks(args.file, layout):
        first = 0
        for probabilities in model.probability_blocks(texts):
            true = labels[first : first + len(probabilities)]
            best = likeliest(probabilities, args.k)
            chosen = _chosen(model, *best, args.threshold)
            evaluation.add(true, [[name for name, _ in pairs] for pairs in chosen])
            thresholds.add(true, probabilities)
            first += len(probabilities)
    columns = shutil.get_terminal_size((80, 24)).columns
    k = "all" if args.k == ALL else args.k
    report("lines", f"{evaluation.n_lines:,}")
    report(f"P@{k}", f"{evaluation.precision:.3f}")
    report(f"R@{k}", f"{evaluation.recall:.3f}")
    report("macro F1", f"{evaluation.macro_f1:.3f}")
    print(f"\n{label_table(evaluation, columns, args.labels)}\n")
    print(f"labels of predict -k -1 --threshold:\n{threshold_table(thresholds)}\n")
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
    layout = layout_of(args, args.label or model.label_prefix)
    with write_rows(args.output, model.dim) as rows:
        for texts in text_blocks(args.file, layout, model.labels):
            rows.write(model.vectors(texts))
    report("saved", f"{args.output}: {rows.count:,} x {rows.dim}, float32")


def info(args: Namespace) -> None:
    """Print the features, the size and the labels of a model."""
    if is_fasttext(args.model):
        describe_file(args.model)
        return
    model = model_folder.load_any_model(args.model)
    version = read_description(args.model / DESCRIPTION).version
    if isinstance(model, FastTextModel):
        describe_model(model, version)
        return
    ngrams, n_words = model.features.ngrams, model.features.words.count
    n_rows, dim = model.embedding.shape
    report("features", f"{n_words:,} words; tokenizer: {model.features.tokenizer.name}")
    if ngrams.buckets_in_use:
        report("", f"{n_rows - n_words:,} of {ngrams.n_buckets:,} buckets of n-grams")
    if ngrams.word_ngrams > 1:
        report("", f"n-grams of up to {ngrams.word_ngrams} words")
    if ngrams.max_chars:
        report("", f"n-grams of {ngrams.min_chars} to {ngrams.max_chars} characters")
    report_size(dim, model.embedding.nbytes, quantised_to(model.bits))
    report("loss", model.loss)
    report("format", f"version {version}")
    report_labels(model.labels)


def convert(args: Namespace) -> None:
    """Save a model of fastText as one of ebagx."""
    check_destination(args.folder)
    convert_model(args.model, args.folder)
    report("saved", str(args.folder))


def _chosen(
    model: TextModel | FastTextModel, order: _Intp, probabilities: _Floats, threshold: float
) -> Iterator[list[tuple[str, float]]]:
    """Yield the likeliest labels of each text, best first, each with its probability."""
    for positions, values in zip(order.tolist(), probabilities.tolist(), strict=True):
        pairs = zip(positions, values, strict=True)
        yield [(model.labels[i], value) for i, value in pairs if value >= threshold]


def _printed(chosen: list[tuple[str, float]], with_probability: bool) -> str:
    if with_probability:
        return "\t".join([f"{name}\t{p:.4f}" for name, p in chosen]) + "\n"
    return "\t".join([name for name, _ in chosen]) + "\n"


def _check_settings(args: Namespace, settings: Settings) -> None:
    if settings.maxn and settings.minn > settings.maxn:
        raise ValueError(f"--minn {settings.minn} is above --maxn {settings.maxn}")
    if settings.minn and not settings.maxn:
        raise ValueError(f"--minn {settings.minn} has no --maxn")
    if args.autotune and (args.checkpoint or args.pretrained):
        raise ValueError("--autotune goes neither with --checkpoint nor with --pretrained")
    if hasattr(args, "patience") and not settings.early_stopping:
        raise ValueError("--patience needs --early-stopping")
    if args.freeze_pretrained and args.pretrained is None:
        raise ValueError("--freeze-pretrained needs --pretrained")
    if args.autotune and args.autotune_validation is None and not args.held_out:
        raise ValueError("--autotune needs --held-out above 0 or --autotune-validation")


def _describe_accuracy(model: TextModel, held_out: Lines) -> str:
    if not held_out.num_lines:
        return "not measured, no lines are held out"
    return f"{model.precision_at_1(held_out):.3f} on the held-out lines"


def _train_shown(
    checkpoint: Checkpoints | None,
    lines: Lines,
    settings: Settings,
    former: TextModel | None,
    vectors: GivenVectors | None,
) -> tuple[Fitted, str]:
    """Train, and show how far the training is; return its result and speed."""
    report("training", f"{settings.epochs} epochs, {settings.dim} dimensions")
    start = time.perf_counter()
    features = _numbered(lines, settings) if former is None else former.features
    n_words = lines.count_words()
    n_learned = lines.num_lines
    if settings.early_stopping:
        n_learned -= round(settings.learner_options.validation_fraction * n_learned)
    begin = time.perf_counter()
    with progress("training", n_learned * settings.epochs, "lines") as show:
        done = 0

        def watch(count: int, losses: Sequence[float]) -> None:
            nonlocal done
            done += count
            rate = done / n_learned * n_words / (time.perf_counter() - begin)
            loss = f", epoch {len(losses)}: loss {losses[-1]:.3f}" if losses else ""
            lr = settings.lr_at(done / (n_learned * settings.epochs))
            show(done, f"{rate:,.0f} words/s{loss}, lr {lr:.3f}")

        following = Following(watch, checkpoint)
        if former is None:
            fitted = fit_model(features, lines, settings, following, vectors)
        else:
            fitted = continue_model(former, lines, settings, following, vectors)
    seconds = time.perf_counter() - start
    if former is not None:
        report_growth(former, fitted.model)
    if settings.early_stopping and not fitted.passes.interrupted:
        made, kept = fitted.passes.made, fitted.passes.kept
        model = f"the model of epoch {kept} is kept" if kept else "no model is better than before"
        report("", f"{made} epochs made; {model}")
    speed = fitted.passes.made * n_words / seconds
    return fitted, f"{speed:,.0f} words per second ({seconds:.2f} s)"


def _numbered(lines: Lines, settings: Settings) -> Features:
    """Give numbers to words and n-grams, and show how far this is."""
    passes = 2 if settings.word_ngrams > 1 else 1
    with progress("numbering", passes * lines.num_lines, "lines") as show:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            show(done, "")

        return Features.learn(lines, settings.ngrams, settings.min_count, advance)
