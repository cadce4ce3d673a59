"""Test bags that are made when training needs them: models are those of the same matrix."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._training import examples as examples_module
from ebagx._training.bags import bags_of, take
from ebagx._training.examples import BagMaker
from support.estimator_cases import KINDS, assert_same_model, make


class Made:
    """The rows of a matrix, made when they are asked for, and how many were asked for."""

    def __init__(self, X):
        self._bags = bags_of(X.astype(np.float32), np.dtype("f"))
        self.num_bags, self.num_columns = X.shape
        self.asked = []

    def most_lookups(self):
        return np.diff(self._bags.offsets).astype(np.int64) + 2

    def take(self, rows):
        self.asked.append(len(rows))
        return take(self._bags, rows)


def cases(kind, **parameters):
    """An estimator, a matrix without empty columns, the same rows in a maker, and targets."""
    model, X, y = make(kind, **parameters)
    X = X.tocsc()[:, [0, 1, 2, 3, 4, 6]].tocsr()
    return model, X, Made(X), y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["mean", "sum", "sqrtn"])
def test_models_are_those_of_the_matrix(kind, mode, monkeypatch):
    monkeypatch.setattr(examples_module, "_MADE_AT_ONCE", 40)
    model, X, made, y = cases(kind, mode=mode, max_iter=3)
    model.fit(X, y)
    other, *_ = cases(kind, mode=mode, max_iter=3)
    assert isinstance(made, BagMaker)
    assert_same_model(model, other.fit(made, y))
    assert other.loss_curve_ == model.loss_curve_
    assert other.n_features_in_ == 6
    assert sum(made.asked) == 3 * 40
    assert max(made.asked) == 7  # a batch


@pytest.mark.parametrize("kind", ["softmax", "huber"])
def test_with_weights_and_early_stopping(kind, monkeypatch):
    monkeypatch.setattr(examples_module, "_MADE_AT_ONCE", 40)
    weights = np.resize([1.0, 0.5, 0.0], 40)
    models = []
    for place in (1, 2):
        case = cases(kind, early_stopping=True, max_iter=3)
        models.append(case[0].fit(case[place], case[3], sample_weight=weights))
    assert_same_model(*models)
    assert models[0].validation_scores_ == models[1].validation_scores_


def test_partial_fits():
    model, X, made, y = cases("softmax")
    model.partial_fit(X, y, ["a", "b", "c"]).partial_fit(X, y)
    other, *_ = cases("softmax")
    other.partial_fit(made, y, ["a", "b", "c"]).partial_fit(made, y)
    assert_same_model(model, other)
    other.embedding_ = other.embedding_[:5]
    with pytest.raises(ValueError, match="must have a row for each of the 6 features"):
        other.partial_fit(made, y)


def test_a_call_makes_many_batches():
    model, _, made, y = cases("softmax", max_iter=2)
    model.fit(made, y)
    assert made.asked == [40, 40]


def test_a_column_of_held_out_rows_only_is_not_used(monkeypatch):
    monkeypatch.setattr(examples_module, "_MADE_AT_ONCE", 10)
    model, X, made, y = cases("softmax", max_iter=1)
    weights = 1.0 * (X[:, [2]].toarray().ravel() == 0)
    model.fit(X, y, sample_weight=weights)
    assert not model.embedding_[2].any()
    other = cases("softmax", max_iter=1)[0].fit(made, y, sample_weight=weights)
    assert_same_model(model, other)


@pytest.mark.parametrize("count", [39, 41])
def test_as_many_targets_as_bags(count):
    model, _, made, y = cases("softmax")
    with pytest.raises(ValueError, match=f"X has 40 bags, but y has {count} rows"):
        model.fit(made, np.resize(y, count))
    assert not hasattr(model, "n_features_in_")
