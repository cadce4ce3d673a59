"""Search at random for the settings that predict validation lines best, for a time."""

import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.quantized.formats import BITS
from ebagx.text.features import Features, LineBags
from ebagx.text.fitting import fitting_models
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel
from ebagx.text.small import count_lines
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
# Seconds to make models of a size, for each number of the table, as long as no trial tells.
_SHRINKING = 60e-9
_LONG_ENOUGH = 0.2  # seconds of training, which tell its speed
_LETTERS = 7  # of a word with its ends, to estimate its n-grams

Score = Callable[[TextModel, Lines], float]
_Intp = npt.NDArray[np.intp]


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


class _Work(NamedTuple):
    """The sizes of the parts of a trial, to which their times are in proportion."""

    learning: int  # features of a word
    fitting: int  # additions of an epoch
    measuring: int  # those of the lines to measure
    shrinking: int  # numbers of the table of which models of a size are made


class _Trials:
    """Make trials until a time, and note how long their parts take."""

    def __init__(self, training: Lines, validation: Lines, score: Score, limits: Limits) -> None:
        self._training, self._validation, self._score = training, validation, score
        self._deadline, self._max_bytes = time.monotonic() + limits.seconds, limits.max_bytes
        # Seconds for each part, per unit of its work, of the slowest trial so far, or 0.
        self._costs = dict.fromkeys(_Work._fields, 0.0)

    def is_over(self) -> bool:
        """Return whether the time has ended."""
        return time.monotonic() >= self._deadline

    def make(
        self, settings: Settings, watch: Callable[[Sequence[float]], object], is_first: bool
    ) -> Trial | None:
        """Make a trial; return None if there is no time for it, unless it is the first."""
        start, ngrams = time.monotonic(), _ngrams_of_word(settings)
        if not is_first and start + self._costs["learning"] * ngrams >= self._deadline:
            return None
        features = Features.learn(self._training, settings.ngrams, settings.min_count)
        counts = None if self._max_bytes is None else count_lines(features, self._training)
        learned = time.monotonic()
        work = self._work(features, settings)
        self._note("learning", learned - start, ngrams)
        reserved = self._seconds_after(work)
        if self._costs["fitting"]:
            left = self._deadline - reserved - learned
            epochs = math.floor(left / (self._costs["fitting"] * work.fitting))
            if epochs < 1:
                return None
            settings = settings._replace(epochs=min(settings.epochs, epochs))
        is_known = self._costs["measuring"] > 0
        clock = _Clock(self._deadline - reserved, 0 if is_known else self._num_measured)
        following = Following(lambda *args: clock.look(watch, *args))
        model, (epochs, _, interrupted) = fit_model(features, self._training, settings, following)
        if clock.is_over and not is_first:
            return None
        self._note("fitting", time.monotonic() - learned, work.fitting * epochs)
        model, score = self._measured(model, counts, work)
        interrupted = interrupted and not clock.is_over
        seconds = time.monotonic() - start
        return Trial(settings, model, score, seconds, interrupted, clock.is_over)

    def _work(self, features: Features, settings: Settings) -> _Work:
        per_row = settings.dim + _WORK_OF_LOOKUP
        fitting, measuring = (
            int(LineBags(features, lines).most_lookups().sum()) * per_row
            for lines in (self._training, self._validation)
        )
        if self._max_bytes is None:
            return _Work(_ngrams_of_word(settings), fitting, measuring, 0)
        shrinking = features.n_columns * per_row
        return _Work(_ngrams_of_word(settings), fitting, len(BITS) * measuring, shrinking)

    def _note(self, part: str, seconds: float, work: int) -> None:
        if work:
            self._costs[part] = max(self._costs[part], seconds / work)

    def _seconds_after(self, work: _Work) -> float:
        """Return how long a trial goes on after the training, as far as that is known."""
        shrinking = self._costs["shrinking"] or _SHRINKING
        return self._costs["measuring"] * work.measuring + shrinking * work.shrinking

    @property
    def _num_measured(self) -> int:
        """The number of lines that are looked at after a training."""
        return self._validation.num_lines * (1 if self._max_bytes is None else len(BITS))

    def _measured(
        self, model: TextModel, counts: _Intp | None, work: _Work
    ) -> tuple[TextModel, float]:
        """Return a model, or the best of those that fit, and its score.

        Models of fewer bits are not tried if the time will have ended by then.
        """
        start, made = time.monotonic(), 0.0
        if self._max_bytes is None or counts is None:
            scored = [(model, self._score(model, self._validation))]
        else:
            scored, begin, scoring = [], start, 0.0

            def is_in_time(seconds: float) -> bool:
                return time.monotonic() + seconds + scoring < self._deadline

            for small in fitting_models(model, self._max_bytes, counts, is_in_time):
                scored_at = time.monotonic()
                made += scored_at - begin
                scored.append((small, self._score(small, self._validation)))
                begin = time.monotonic()
                scoring = begin - scored_at
        end = time.monotonic()
        self._note("shrinking", made, work.shrinking)
        self._note("measuring", end - start - made, work.measuring)
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
