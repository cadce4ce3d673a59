"""Search at random for the settings that predict validation lines best, for a time."""

import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, NamedTuple

from ebagx._core.quantized.formats import BITS
from ebagx.text.features import Features, LineBags
from ebagx.text.fitting import fitting_models
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.training import Following, fit_model

# The settings that are searched, by the option of the command line.
SEARCHED = {
    "lr": "--lr",
    "epochs": "--epochs",
    "dim": "--dim",
    "word_ngrams": "--word-ngrams",
    "minn": "--minn",
    "maxn": "--maxn",
}
_CHARS = {"minn", "maxn"}  # which are searched together
_DIMS = (16, 32, 64, 128)
_WORD_NGRAMS = (1, 2, 3)
_CHAR_NGRAMS = ((0, 0), (0, 0), (2, 4), (3, 5), (3, 6))
_LR_FACTORS = (0.1, 10.0)
_EPOCHS = (3, 50)
_WORK_OF_LOOKUP = 16  # in additions, beside those of its row
_LONG_ENOUGH = 0.2  # seconds of training, which tell its speed
_LETTERS = 7  # of a word with its ends, to estimate its n-grams

Score = Callable[[TextModel, Lines], float]


class Trial(NamedTuple):
    """Settings, the model trained with them, and its score.

    Ctrl-C has interrupted the training, or the end of the time has cut it, or neither.
    """

    settings: Settings
    model: TextModel
    score: float
    seconds: float
    interrupted: bool
    is_cut: bool


class Limits(NamedTuple):
    """The end of a search, the settings that are not searched, and the largest model.

    With `max_bytes`, models are quantised so that the saved files have at most so many bytes.
    """

    seconds: float
    max_trials: int | None = None
    fixed: Collection[str] = ()
    max_bytes: int | None = None

    @property
    def searched(self) -> list[str]:
        """The names of the settings that are searched."""
        fixed = {*self.fixed, *(_CHARS if _CHARS & {*self.fixed} else ())}
        return [name for name in SEARCHED if name not in fixed]


class Follower(NamedTuple):
    """Functions that follow a search.

    `during` is a context of each trial, by its number; it gives a function that is called during
    the training with the losses of the epochs so far. `after` is called after each trial, with its
    number, the trial, and True if it is the best so far.
    """

    during: Callable[[int], AbstractContextManager[Callable[[Sequence[float]], object]]]
    after: Callable[[int, Trial, bool], object]


def search(
    training: Lines,
    validation: Lines,
    start: Settings,
    limits: Limits,
    score: Score,
    follower: Follower,
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
    limits : Limits
        The time, in which the last score is measured, too; the number of trials; the size of the
        model, for which 8, 4 and 2 bits are tried.
    score : callable
        Returns the score of a model on lines.
    follower : Follower
        Functions that follow the search.

    Notes
    -----
    The trials depend only on `start` and the fixed settings, their number on the time. Learning
    rates are drawn log-uniformly from a tenth to ten times that of `start`, epochs from 3 to 50;
    the length of embeddings, word n-grams and character n-grams from short lists.

    A trial that would take too long gets fewer epochs, by the speed of those before it. The clock
    is looked at ten times a second inside an epoch: at the end of the time the first trial stops
    there and is measured, and another is dropped. Ctrl-C ends the search.
    """
    trials = _Trials(training, validation, score, limits)
    best: Trial | None = None
    interrupted = False
    candidates = _candidates(start, limits.searched)
    for number, settings in enumerate(islice(candidates, limits.max_trials), 1):
        try:
            with follower.during(number) as watch:
                trial = trials.make(settings, watch, is_first=best is None)
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
        follower.after(number, trial, is_best)
        interrupted = trial.interrupted
        if trials.is_over() or interrupted or not limits.searched:
            break
    assert best is not None
    return best, interrupted


class _Trials:
    """Make trials until a time, and note how long their parts take."""

    def __init__(self, training: Lines, validation: Lines, score: Score, limits: Limits) -> None:
        self._training, self._validation, self._score = training, validation, score
        self._deadline, self._max_bytes = time.monotonic() + limits.seconds, limits.max_bytes
        # Seconds per unit of work, of the slowest trial so far, or 0.
        self._learning = self._fitting = self._measuring = 0.0

    def is_over(self) -> bool:
        """Return whether the time has ended."""
        return time.monotonic() >= self._deadline

    def make(
        self, settings: Settings, watch: Callable[[Sequence[float]], object], is_first: bool
    ) -> Trial | None:
        """Make a trial; return None if there is no time for it, unless it is the first."""
        start = time.monotonic()
        ngrams = _ngrams_of_word(settings)
        if not is_first and start + self._learning * ngrams >= self._deadline:
            return None
        features = Features.learn(self._training, settings.ngrams, settings.min_count)
        learned = time.monotonic()
        self._learning = max(self._learning, (learned - start) / ngrams)
        work, measured_work = (
            int(LineBags(features, lines).most_lookups().sum()) * (settings.dim + _WORK_OF_LOOKUP)
            for lines in (self._training, self._validation)
        )
        reserved = self._measuring * measured_work
        if self._fitting:
            left = self._deadline - reserved - learned
            epochs = math.floor(left / (self._fitting * work))
            if epochs < 1:
                return None
            settings = settings._replace(epochs=min(settings.epochs, epochs))
        clock = _Clock(self._deadline - reserved, 0 if reserved else self._num_measured)
        model, (epochs, _, interrupted) = fit_model(
            features,
            self._training,
            settings,
            Following(lambda *args: clock.look(watch, *args)),
        )
        if clock.is_over and not is_first:
            return None
        fitted = time.monotonic()
        model, score = self._measured(model)
        end = time.monotonic()
        if epochs:
            self._fitting = max(self._fitting, (fitted - learned) / work / epochs)
        self._measuring = max(self._measuring, (end - fitted) / max(measured_work, 1))
        interrupted = interrupted and not clock.is_over
        return Trial(settings, model, score, end - start, interrupted, clock.is_over)

    @property
    def _num_measured(self) -> int:
        """The number of lines that are looked at after a training."""
        if self._max_bytes is None:
            return self._validation.num_lines
        return len(BITS) * self._validation.num_lines + self._training.num_lines

    def _measured(self, model: TextModel) -> tuple[TextModel, float]:
        """Return a model, or the best of those that fit, and its score."""
        if self._max_bytes is None:
            return model, self._score(model, self._validation)
        found = fitting_models(model, self._max_bytes, self._training)
        scored = [(small, self._score(small, self._validation)) for small in found]
        return max(scored, key=lambda pair: pair[1])


class _Clock:
    """End a training as Ctrl-C does, in time to measure some lines, if that time is not known.

    A line is not measured in more time than it is learned in. The first call, before which the
    training is prepared, only starts the clock.
    """

    def __init__(self, deadline: float, n_measured: int) -> None:
        self.is_over = False
        self._deadline, self._n_measured = deadline, n_measured
        self._start, self._n_learned = 0.0, -1

    def look(
        self, watch: Callable[[Sequence[float]], object], count: int, losses: Sequence[float]
    ) -> None:
        """Note that `count` more lines are learned."""
        watch(losses)
        now, reserved = time.monotonic(), 0.0
        if self._n_learned < 0:
            self._start, self._n_learned = now, 0
        else:
            self._n_learned += count
        if now - self._start > _LONG_ENOUGH:
            reserved = (now - self._start) / self._n_learned * self._n_measured
        if now + reserved >= self._deadline:
            self.is_over = True
            raise KeyboardInterrupt


def _ngrams_of_word(settings: Settings) -> int:
    """Return about how many features a word adds."""
    lengths = range(max(settings.minn, 1), settings.maxn + 1)
    return settings.word_ngrams + sum(max(_LETTERS - length + 1, 0) for length in lengths)


def _candidates(start: Settings, searched: Collection[str]) -> Iterator[Settings]:
    yield start
    rng = random.Random(start.seed)
    while True:
        minn, maxn = rng.choice(_CHAR_NGRAMS)
        low, high = _LR_FACTORS
        drawn: dict[str, Any] = {
            "lr": _rounded(start.lr * _log_uniform(rng, low, high)),
            "epochs": round(_log_uniform(rng, *_EPOCHS)),
            "dim": rng.choice(_DIMS),
            "word_ngrams": rng.choice(_WORD_NGRAMS),
            "minn": minn,
            "maxn": maxn,
        }
        yield start._replace(**{name: drawn[name] for name in searched})


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")


def describe(settings: Settings) -> list[str]:
    """Return the options of the command line for the settings that are searched."""
    return [f"{option} {getattr(settings, name):g}" for name, option in SEARCHED.items()]
