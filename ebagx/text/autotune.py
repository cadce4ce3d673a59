"""Search at random for the settings that predict validation lines best."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from ebagx.text.features import Features, LineBags
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.training import fit_model

_DIMS = (16, 32, 64, 128)
_WORD_NGRAMS = (1, 2, 3)
_CHAR_NGRAMS = ((0, 0), (0, 0), (2, 4), (3, 5), (3, 6))
_LR_FACTORS = (0.1, 10.0)
_EPOCHS = (3, 50)


class Trial(NamedTuple):
    """Settings, the model trained with them, and its score."""

    settings: Settings
    model: TextModel
    score: float
    seconds: float
    interrupted: bool


def search(
    training: Lines,
    validation: Lines,
    start: Settings,
    seconds: float,
    max_trials: int | None,
    report: Callable[[int, Trial, bool], object],
) -> tuple[Trial, bool]:
    """Train with the given settings, then with others at random.

    Return the best trial, and whether Ctrl-C has ended the search.

    Parameters
    ----------
    training, validation : Lines
        The lines to learn from, and those to measure the score on.
    start : Settings
        The settings of the first trial. Its seed gives the others, in which only the searched
        settings differ.
    seconds : float
        No trial begins later. A trial that would end later gets fewer epochs.
    max_trials : int, optional
        Largest number of trials.
    report : callable
        Called after each trial, with its number, the trial and True if it is the best so far.

    Notes
    -----
    The trials depend only on `start`, their number on the time. Learning rates are drawn
    log-uniformly from a tenth to ten times that of `start`, epochs from 3 to 50; the length of
    embeddings, word n-grams and character n-grams from short lists. The score is the fraction of
    the validation lines whose likeliest label is one of theirs. Ctrl-C ends the search.
    """
    deadline = time.monotonic() + seconds
    best: Trial | None = None
    cost, interrupted = 0.0, False
    for number, settings in enumerate(islice(_candidates(start), max_trials), 1):
        try:
            trial, cost = _try(training, validation, settings, deadline, cost)
        except (KeyboardInterrupt, MemoryError, ValueError) as error:
            if best is None:
                raise
            interrupted = isinstance(error, KeyboardInterrupt)
            if interrupted:
                break
            continue  # a loss that diverged, or a model too large for the memory
        if trial is None:
            break
        is_best = best is None or trial.score > best.score
        best = trial if best is None or is_best else best
        report(number, trial, is_best)
        interrupted = trial.interrupted
        if time.monotonic() >= deadline or interrupted:
            break
    assert best is not None
    return best, interrupted


def _try(
    training: Lines, validation: Lines, settings: Settings, deadline: float, cost: float
) -> tuple[Trial | None, float]:
    """Make one trial; `cost` is the seconds per unit of work of the slowest so far, or 0.

    Return the trial, or None if there is no time for an epoch, and the new cost.
    """
    start = time.monotonic()
    features = Features.learn(training, settings.ngrams, settings.min_count)
    lookups = int(LineBags(features, training).most_lookups().sum())
    work = lookups * (settings.dim + 16)
    if cost:
        epochs = math.floor((deadline - time.monotonic()) / (cost * work))
        if epochs < 1:
            return None, cost
        settings = settings._replace(epochs=min(settings.epochs, epochs))
    begin = time.monotonic()
    model, epochs = fit_model(features, training, settings)
    end = time.monotonic()
    score = model.precision_at_1(validation)
    seconds = time.monotonic() - start
    trial = Trial(settings, model, score, seconds, epochs < settings.epochs)
    return trial, max(cost, (end - begin) / work / max(epochs, 1))


def _candidates(start: Settings) -> Iterator[Settings]:
    yield start
    rng = random.Random(start.seed)
    while True:
        minn, maxn = rng.choice(_CHAR_NGRAMS)
        low, high = _LR_FACTORS
        yield start._replace(
            lr=_rounded(start.lr * _log_uniform(rng, low, high)),
            epochs=round(_log_uniform(rng, *_EPOCHS)),
            dim=rng.choice(_DIMS),
            word_ngrams=rng.choice(_WORD_NGRAMS),
            minn=minn,
            maxn=maxn,
        )


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def describe(settings: Settings) -> Sequence[str]:
    """Return the options of the command line for the settings that are searched."""
    return [
        f"--lr {settings.lr:g}",
        f"--epochs {settings.epochs}",
        f"--dim {settings.dim}",
        f"--word-ngrams {settings.word_ngrams}",
        f"--minn {settings.minn}",
        f"--maxn {settings.maxn}",
    ]
