"""Test the search for settings."""

import time
from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx.text import autotune, fitting
from ebagx.text.autotune import SEARCHED, Follower, Limits, describe, search
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import Settings, TextModel

WORDS = {"animal": "cat dog bird fish", "food": "pie cake soup bread"}
LINES = [
    (f"the {word} number {i}", (label,))
    for i in range(10)
    for label, words in WORDS.items()
    for word in words.split()
]
TRAINING, VALIDATION = (
    Lines.of([text for text, _ in part], [label for _, label in part])
    for part in (LINES[:60], LINES[60:])
)
START = Settings(dim=2, lr=0.02, epochs=1, seed=5)


def run(seconds=60.0, trials=None, start=START, will_be_interrupted=False, fixed=()):
    seen = []
    follower = Follower(
        lambda number: nullcontext(lambda losses: None), lambda *args: seen.append(args)
    )
    best, interrupted = search(
        TRAINING,
        VALIDATION,
        start,
        Limits(seconds, trials, fixed),
        TextModel.precision_at_1,
        follower,
    )
    assert interrupted is will_be_interrupted
    return best, seen


class Clock:
    """Stand for a clock that advances by a second in each call."""

    def __init__(self, monkeypatch):
        self.now = 0
        monkeypatch.setattr(autotune.time, "monotonic", self)

    def __call__(self):
        self.now += 1
        return self.now


def test_search_starts_with_the_given_settings_and_keeps_the_best():
    best, seen = run(trials=6)
    assert [number for number, *_ in seen] == [1, 2, 3, 4, 5, 6]
    trials = [trial for _, trial, _ in seen]
    assert trials[0].settings == START
    assert best.score == max(trial.score for trial in trials) > trials[0].score
    assert [is_best for *_, is_best in seen] == [
        all(trial.score > earlier.score for earlier in trials[:i]) for i, trial in enumerate(trials)
    ]
    assert best.model.precision_at_1(VALIDATION) == best.score
    for trial in trials:
        assert trial.settings._replace(**START._asdict()) == START
        assert trial.settings.buckets == START.buckets


def test_seed_decides_what_is_tried():
    settings = [[trial.settings for _, trial, _ in run(trials=4)[1]] for _ in range(2)]
    assert settings[0] == settings[1]
    other = [trial.settings for _, trial, _ in run(trials=4, start=START._replace(seed=6))[1]]
    assert other[1:] != settings[0][1:]


@pytest.mark.parametrize("name", SEARCHED)
def test_what_is_given_is_not_searched(name):
    trials = [trial.settings for _, trial, _ in run(trials=5, fixed=[name])[1]]
    fixed = ["minn", "maxn"] if name in ("minn", "maxn") else [name]
    for other in SEARCHED:
        values = {getattr(settings, other) for settings in trials}
        assert (len(values) == 1) == (other in fixed)


def test_one_trial_if_nothing_is_searched():
    assert Limits(1, None, ["minn", "lr", "dim"]).searched == ["epochs", "word_ngrams"]
    best, seen = run(fixed=[*SEARCHED])
    assert (len(seen), best.settings) == (1, START)


def test_the_score_chooses():
    follower = Follower(lambda number: nullcontext(lambda losses: None), lambda *args: None)
    limits = Limits(60, 5)
    best, _ = search(
        TRAINING, VALIDATION, START, limits, lambda model, lines: -len(model.coef[0]), follower
    )
    assert best.score == -2


def test_the_first_trial_is_made_whatever_the_time():
    best, seen = run(seconds=0)
    assert len(seen) == 1
    assert best.settings == START
    assert best.is_cut
    assert len(best.model.embedding)


def test_a_trial_in_time_is_not_cut():
    assert not any(trial.is_cut for _, trial, _ in run(trials=3)[1])


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_the_clock_is_looked_at_inside_an_epoch(seconds):
    """An epoch of these lines takes some seconds."""
    words = " ".join(f"w{i}" for i in range(200))
    lines = Lines.of([words] * 6000, [(str(i % 50),) for i in range(6000)])
    validation = lines.select(slice(200))
    start, losses = time.monotonic(), []
    follower = Follower(lambda number: nullcontext(losses.append), lambda *args: None)
    settings = Settings(dim=512, epochs=1000, threads=1)
    best, interrupted = search(
        lines, validation, settings, Limits(seconds), TextModel.precision_at_1, follower
    )
    assert (best.is_cut, interrupted) == (True, False)
    assert losses
    assert time.monotonic() - start < seconds + 1


@pytest.mark.parametrize(("seconds", "tried"), [(60, [8]), (200, [8, 4])])
def test_models_of_a_size_are_made_as_long_as_there_is_time(monkeypatch, seconds, tried):
    """Those of 4 bits take 100 seconds here, it is said, and all others none."""
    quantize, calls = fitting.quantize, []

    def spy(rows, bits):
        calls.append(bits)
        return quantize(rows, bits)

    monkeypatch.setattr(fitting, "quantize", spy)
    monkeypatch.setattr(fitting._Reduction, "seconds_of", lambda _, bits: {4: 100, 2: 0}[bits])
    follower = Follower(lambda _: nullcontext(lambda _: None), lambda *_: None)
    limits = Limits(seconds, 1, (), 2400)
    settings = START._replace(dim=8, word_ngrams=2)
    best, _ = search(TRAINING, VALIDATION, settings, limits, TextModel.precision_at_1, follower)
    assert calls == tried
    assert best.model.bits in tried


def test_the_time_of_models_of_other_bits_is_estimated(monkeypatch):
    quantize = fitting.quantize

    def slow(rows, bits):
        time.sleep(0 if bits == 8 else 0.01 * len(rows))
        return quantize(rows, bits)

    monkeypatch.setattr(fitting, "quantize", slow)
    model = autotune.fit_model(
        Features.learn(TRAINING, START.ngrams), TRAINING, START._replace(dim=8)
    ).model
    count = len(model.embedding)
    reduction = fitting._Reduction(model, np.arange(count), 8, 10_000)
    reduction.largest(10_000, 1000)
    assert 0.009 * count < reduction.seconds_of(4)
    assert reduction.seconds_of(8) < reduction.seconds_of(4)


def test_time_to_make_a_model_of_a_size_is_reserved(monkeypatch):
    """The clock gets the end of the time without it, for the first trial by an estimate."""
    ends = []

    class Spy(autotune._Clock):
        def __init__(self, deadline, n_measured):
            ends.append(deadline - time.monotonic())
            super().__init__(deadline, n_measured)

    monkeypatch.setattr(autotune, "_Clock", Spy)
    monkeypatch.setattr(autotune, "_SHRINKING", 2.0)  # seconds for each number
    follower = Follower(lambda _: nullcontext(lambda _: None), lambda *_: None)
    limits = Limits(60, 2, (), 3000)
    search(TRAINING, VALIDATION, START, limits, TextModel.precision_at_1, follower)
    assert ends[0] < -1000
    assert 50 < ends[1] < 60  # the first trial has told how long it takes


def test_time_is_reserved_to_measure(monkeypatch):
    """A second for ten lines that are learned: the 50 to be measured take five."""
    clock = Clock(monkeypatch)
    watch = autotune._Clock(deadline=20, n_measured=50)
    while clock.now < 14:
        watch.look(lambda losses: None, 10, [])
    assert not watch.is_over
    with pytest.raises(KeyboardInterrupt):
        watch.look(lambda losses: None, 10, [])
    assert watch.is_over


def test_epochs_are_cut_to_the_time_left(monkeypatch):
    Clock(monkeypatch)
    monkeypatch.setattr(
        autotune, "_candidates", lambda start, _: iter([start, start._replace(epochs=50)])
    )
    _, seen = run(seconds=25, start=START._replace(epochs=2))
    epochs = [trial.settings.epochs for _, trial, _ in seen]
    assert epochs[0] == 2
    assert 2 < epochs[1] < 50


def test_no_trial_without_time_for_an_epoch(monkeypatch):
    Clock(monkeypatch)
    best, seen = run(seconds=8)
    assert len(seen) == 1
    assert not best.is_cut


def test_a_later_trial_that_is_cut_is_dropped(monkeypatch):
    Clock(monkeypatch)
    fit, calls = autotune.fit_model, []

    def slow(features, lines, settings, following):
        calls.append(settings)
        if len(calls) == 2:
            for _ in range(1000):
                following.watch(1, [])
        return fit(features, lines, settings, following)

    def stop(*args):
        try:
            return slow(*args)
        except KeyboardInterrupt:  # as the loop of a training does
            return fit(*args[:3])

    monkeypatch.setattr(autotune, "fit_model", stop)
    best, seen = run(seconds=300)
    assert (len(calls), len(seen)) == (2, 1)
    assert best is seen[0][1]


def test_interrupted_search_keeps_the_best(monkeypatch):
    train, calls = autotune.fit_model, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args)

    monkeypatch.setattr(autotune, "fit_model", interrupt)
    best, seen = run(will_be_interrupted=True)
    assert len(seen) == 2
    assert best.model in [trial.model for _, trial, _ in seen]
    calls[:] = [None, None]
    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.mark.parametrize("error", [ValueError("the loss diverged"), MemoryError("too large")])
def test_failed_trials_are_passed_over(monkeypatch, error):
    train, calls = autotune.fit_model, []

    def fail(*args):
        calls.append(args)
        if len(calls) in (2, 4):
            raise error
        return train(*args)

    monkeypatch.setattr(autotune, "fit_model", fail)
    assert [number for number, *_ in run(trials=4)[1]] == [1, 3]
    assert len(calls) == 4
    calls[:] = [None]
    with pytest.raises(type(error), match=str(error)):
        run(trials=3)


def test_options_that_give_the_settings():
    assert " ".join(describe(Settings(lr=0.25, minn=2, maxn=4))) == (
        "--lr 0.25 --epochs 10 --dim 32 --word-ngrams 2 --minn 2 --maxn 4"
    )
