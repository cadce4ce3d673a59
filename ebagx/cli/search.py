"""Search for good options, and show the trials, the best of them and the time that is left."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ebagx.cli.inputs import read_training_lines
from ebagx.cli.layout import Layout
from ebagx.cli.progress import progress
from ebagx.cli.report import report
from ebagx.cli.split import Split
from ebagx.io.model_folder import saved_size
from ebagx.text import autotune
from ebagx.text.autotune import SEARCHED, Follower, Limits, Score, Trial
from ebagx.text.corpus import PREFIX
from ebagx.text.evaluation import f1_score
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel


class Found(NamedTuple):
    """The best trial, and whether Ctrl-C has ended the search."""

    trial: Trial
    interrupted: bool


def search(
    args: Namespace, split: Split, settings: Settings, given: set[str], layout: Layout
) -> Found:
    """Try settings for a time; those that were given stay as they are."""
    limits = Limits(
        args.autotune_duration, args.autotune_trials, given, _max_bytes(args, layout.prefix)
    )
    if not limits.searched and limits.max_bytes is None:
        raise ValueError(
            f"--autotune has nothing to search: {' '.join(SEARCHED.values())} are given"
        )
    validation, name = _validation(args, split, settings, layout)
    heading, score = _score(args, split)
    report("autotune", f"{args.autotune_duration} s, {heading} of {validation.num_lines:,} {name}")
    wishes = ["bits and cutoff"] * (limits.max_bytes is not None)
    report("searching", " ".join([*(SEARCHED[name] for name in limits.searched), *wishes]))
    print(f"{heading:>9}      lr epochs dim words chars    s left")
    view = _View(args.autotune_duration, heading)
    follower = Follower(view.during, view.after)
    best, interrupted = autotune.search(
        split.training, validation, settings, limits, score, follower
    )
    if best.is_cut:
        report("", "the time has ended the first trial")
    options = autotune.describe(best.settings)
    report("best", " ".join(options[:3]))
    report("", " ".join(options[3:]))
    if best.model.bits:
        size, n_features = saved_size(best.model), best.model.features.n_columns
        report("", f"{best.model.bits} bits, {n_features:,} features, {size:,} bytes")
    return Found(best, interrupted)


def _max_bytes(args: Namespace, prefix: str) -> int | None:
    """Return the largest size of a model with the usual prefix, in place of which comes another."""
    if args.autotune_modelsize is None:
        return None
    longer = len(json.dumps(prefix, ensure_ascii=False).encode()) - len(json.dumps(PREFIX))
    size: int = args.autotune_modelsize
    return size - longer


def _validation(
    args: Namespace, split: Split, settings: Settings, layout: Layout
) -> tuple[Lines, str]:
    if args.autotune_validation is not None:
        lines = read_training_lines(args.autotune_validation, settings.cutter, layout)
        return lines, "validation lines"
    if not split.held_out.num_lines:
        raise ValueError("--autotune has no held-out lines to measure on; raise --held-out")
    return split.held_out, "held-out lines"


def _score(args: Namespace, split: Split) -> tuple[str, Score]:
    """Return the name of the score, and the function."""
    metric, _, label = args.autotune_metric.partition(":")
    if metric == "p@1":
        return "P@1", TextModel.precision_at_1
    if label and label not in split.training.label_names():
        raise ValueError(f"--autotune-metric: no line to learn from has the label {label!r:.40}")
    return "F1", lambda model, lines: f1_score(model, lines, label or None)


class _View:
    """The trials of a search on a terminal: a line each, and how far the present one is."""

    def __init__(self, duration: int, heading: str) -> None:
        self._duration, self._heading, self._best = duration, heading, ""
        self._start = time.monotonic()

    @contextmanager
    def during(self, number: int) -> Iterator[Callable[[Sequence[float]], None]]:
        """Show how much of the time is over during a trial."""
        with progress(f"trial {number}", self._duration, "s") as show:

            def watch(losses: Sequence[float]) -> None:
                show(int(time.monotonic() - self._start), f"epoch {len(losses) + 1}{self._best}")

            yield watch

    def after(self, number: int, trial: Trial, is_best: bool) -> None:
        """Print a line for a trial: settings, seconds, and seconds that are left."""
        settings = trial.settings
        if is_best:
            self._best = f", best {self._heading} {trial.score:.3f}"
        chars = f"{max(settings.minn, 1)}-{settings.maxn}" if settings.maxn else "-"
        left = max(self._duration - (time.monotonic() - self._start), 0)
        print(
            f"{number:3} {trial.score:5.3f}{'*' if is_best else ' '} {settings.lr:6.3g} "
            f"{settings.epochs:6} {settings.dim:3} {settings.word_ngrams:5} {chars:>5} "
            f"{_short(trial.seconds):>4} {left:4.0f}",
            flush=True,
        )


def _short(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 99.95 else f"{seconds:.0f}"
