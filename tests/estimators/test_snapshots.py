"""Test that a model that training goes back to has the state that belongs to it."""

import copy
import itertools
import pickle
import signal

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training.network import Network
from ebagx._training.pair_steps import PairSteps
from ebagx._training.steps import Steps
from ebagx.datasets import make_interactions
from ebagx.optim import SGD, AdamW
from ebagx.sklearn import EmbeddingBagRecommender
from support.estimator_cases import assert_same_model, make

OPTIONS = [
    {},
    {"optimizer": "adam", "alpha": 0.01},
    {"optimizer": SGD(0.1, momentum=0.9, weight_decay=0.1), "hidden": 3},
    {"optimizer": AdamW(0.1)},
    {"optimizer": "rowwise_adagrad"},
    {"negatives": 1},
]


def state_of(model):
    """Return numbers and arrays of the optimizers, and the state of the random numbers."""
    dicts = [optimizer.state_dict() for optimizer in model._state.optimizers]
    return dicts, model._state.rng.bit_generator.state


def assert_same_state(model, other):
    (found, numbers), (expected, others) = state_of(model), state_of(other)
    for entries, wanted in zip(found, expected, strict=True):
        for name in entries:
            np.testing.assert_array_equal(entries[name], wanted[name], err_msg=name)
    assert numbers == others


def break_after(monkeypatch, steps, how):
    """Let the training fail after one call of the kernel that has changed weights and state."""
    call = steps._call

    def fail(self, losses, *arguments):
        is_busy = call(self, losses, *arguments)
        if how == "diverges":
            losses[:] = np.nan
        elif how == "no memory":
            raise MemoryError
        else:
            monkeypatch.setattr(Network, "is_finite", lambda _: False)
            signal.raise_signal(signal.SIGINT)
        return is_busy

    monkeypatch.setattr(steps, "_call", fail)


@pytest.mark.filterwarnings("ignore:training was interrupted")
@pytest.mark.parametrize("how", ["diverges", "no memory", "Ctrl-C"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_pass_that_fails_leaves_no_trace(monkeypatch, options, how):
    kind = "sigmoid" if "negatives" in options else "softmax"
    model, X, y = make(kind, **options)
    model.fit(X, y).partial_fit(X, y)
    other = pickle.loads(pickle.dumps(model))
    break_after(monkeypatch, Steps, how)
    if how == "Ctrl-C":
        model.partial_fit(X[:20], y[:20])
    else:
        with pytest.raises((ValueError, MemoryError)):
            model.partial_fit(X[:20], y[:20])
    monkeypatch.undo()
    assert_same_model(model, other)
    assert_same_state(model, other)
    assert_same_model(model.partial_fit(X, y), other.partial_fit(X, y))


def with_scores(monkeypatch, scores, **options):
    """Fit with early stopping, where the held-out bags have these scores."""
    model, X, y = make("softmax", early_stopping=True, warm_start=True, **options)
    iterator = iter(scores)
    monkeypatch.setattr(type(model), "_score", lambda *_: next(iterator))
    return model.fit(X, y)


@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
def test_early_stopping_keeps_the_state_of_the_best_pass(monkeypatch, options):
    scores = [0.1, 0.5, 0.4, 0.3, 0.2]
    model = with_scores(monkeypatch, scores, n_iter_no_change=3, **copy.deepcopy(options))
    assert (model.best_iter_, model.n_iter_) == (2, 5)
    shorter = with_scores(monkeypatch, scores, max_iter=2, **copy.deepcopy(options))
    assert_same_model(model, shorter)
    assert_same_state(model, shorter)


@pytest.mark.parametrize(("owner", "name", "number"), [(np, "copyto", 1), (SGD, "state_dict", 7)])
def test_ctrl_c_in_the_middle_of_a_copy(monkeypatch, owner, name, number):
    """The network still has the model whose copy is not complete."""
    calls, function = itertools.count(), getattr(owner, name)

    def interrupt(*arguments):
        if next(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(owner, name, interrupt)
    options = {"optimizer": SGD(0.1, momentum=0.9), "n_iter_no_change": 9}
    with pytest.warns(UserWarning, match=r"interrupted in pass \d of 10"):
        model = with_scores(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5], **options)
    monkeypatch.undo()
    assert 2 <= model.best_iter_ == model.n_iter_
    shorter = with_scores(monkeypatch, [0.1, 0.2, 0.3, 0.4], max_iter=model.n_iter_, **options)
    assert_same_model(model, shorter)
    assert_same_state(model, shorter)


@pytest.mark.filterwarnings("ignore:training was interrupted")
@pytest.mark.parametrize("how", ["diverges", "no memory"])
def test_a_pass_of_a_recommender_that_fails_leaves_no_trace(monkeypatch, how):
    data = make_interactions(50, 30, random_state=0).train
    model = EmbeddingBagRecommender(4, max_iter=2, random_state=0).partial_fit(data)
    other = pickle.loads(pickle.dumps(model))
    break_after(monkeypatch, PairSteps, how)
    with pytest.raises((ValueError, MemoryError)):
        model.partial_fit(data)
    monkeypatch.undo()
    assert_same_state(model, other)
    np.testing.assert_array_equal(
        model.partial_fit(data).item_embedding_, other.partial_fit(data).item_embedding_
    )


def test_a_fit_that_keeps_no_state_copies_none(monkeypatch):
    states, snapshot = [], Network.snapshot

    def spy(self, into=None, with_state=False):
        copies = snapshot(self, into, with_state)
        states.append([bool(copy.arrays) for copy in copies])
        return copies

    monkeypatch.setattr(Network, "snapshot", spy)
    model, X, y = make("softmax", max_iter=3)
    model.fit(X, y)
    assert states == 3 * [[False, False]]
    model.set_params(warm_start=True).fit(X, y)
    assert states[3:] == [[False, False], *2 * [[True, True]]]
