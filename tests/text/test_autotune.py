"""Test the search for settings."""

import pytest

pytest.importorskip("sklearn")

from ebagx.text import autotune
from ebagx.text.autotune import describe, search
from ebagx.text.lines import Lines
from ebagx.text.model import Settings

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


def run(seconds=60.0, trials=None, start=START, will_be_interrupted=False):
    seen = []
    best, interrupted = search(
        TRAINING, VALIDATION, start, seconds, trials, lambda *args: seen.append(args)
    )
    assert interrupted is will_be_interrupted
    return best, seen


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


def test_first_trial_is_made_whatever_the_time():
    best, seen = run(seconds=0)
    assert len(seen) == 1
    assert best.settings == START


def test_epochs_are_cut_to_the_time_left(monkeypatch):
    """The clock advances a second in each call: an epoch of the first trial took half a second."""
    clock = iter(range(10**6))
    monkeypatch.setattr(autotune.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        autotune, "_candidates", lambda start: iter([start, start._replace(epochs=50)])
    )
    _, seen = run(seconds=15, start=START._replace(epochs=2))
    epochs = [trial.settings.epochs for _, trial, _ in seen]
    assert epochs[0] == 2
    assert 2 < epochs[1] < 50


def test_no_trial_without_time_for_an_epoch(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(autotune.time, "monotonic", lambda: next(clock))
    _, seen = run(seconds=7)
    assert len(seen) == 1


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
