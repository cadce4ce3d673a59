"""Test the methods that rank items, on vectors that are given."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from ebagx import metrics
from ebagx._core.top import top_items
from ebagx.sklearn.ranking import RanksItems


class Given(RanksItems, BaseEstimator):
    """A recommender whose users are the means of the items that they have."""

    def __init__(self, vectors, bias, num_threads=None):
        self.item_vectors_ = np.array(vectors, np.float32)
        self.item_bias_ = np.array(bias, np.float32)
        self.num_threads = num_threads

    def fit(self):  # by which scikit-learn knows estimators
        return self

    def _checked_rows(self, X):
        return sparse.csr_array(X)

    def _user_vectors(self, X, user_features):
        return (X @ (self.item_vectors_ if user_features is None else user_features)).astype("f")


def make_case(num_users=30, num_items=50, dim=6):
    rng = np.random.default_rng(0)
    model = Given(rng.standard_normal((num_items, dim)), rng.standard_normal(num_items))
    kinds = rng.choice(3, (num_users, num_items), p=[0.8, 0.1, 0.1])
    return model, *(sparse.csr_array((kinds == kind).astype(np.float32)) for kind in (1, 2))


def scores_of(model, X, user_features=None):
    users = model._user_vectors(X, user_features).astype(float)
    return users @ model.item_vectors_.T.astype(float) + model.item_bias_


@pytest.mark.parametrize("n", [1, 10, 60])
@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("items", [None, [7], [40, 3, 12, 30, 2, 49, 0]])
def test_recommend_equals_a_sort_of_all_scores(n, exclude_seen, items):
    model, X, _ = make_case()
    ids, best = model.recommend(X, n, items=items, exclude_seen=exclude_seen)
    assert ids.shape == best.shape == (30, n)
    assert (ids.dtype, best.dtype) == (np.int64, np.float64)
    scores = scores_of(model, X)
    for user in range(30):
        left = set(range(50) if items is None else items)
        if exclude_seen:
            left -= set(X[[user]].indices.tolist())
        order = sorted(left, key=lambda item: (-scores[user, item], item))[:n]
        assert ids[user].tolist() == order + [-1] * (n - len(order))
        np.testing.assert_allclose(best[user, : len(order)], scores[user, order], rtol=1e-12)
        assert (best[user, len(order) :] == -np.inf).all()


def test_user_features_are_passed_on():
    model, X, _ = make_case()
    features = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    ids, _ = model.recommend(X, 1, user_features=features, exclude_seen=False)
    assert ids[:, 0].tolist() == scores_of(model, X, features).argmax(axis=1).tolist()


def test_equal_scores_have_the_lower_id_first():
    model = Given(np.ones((20, 3)), np.zeros(20))
    X = sparse.csr_array(np.eye(20, dtype=np.float32)[[4, 0]])
    ids, _ = model.recommend(X, 5)
    assert ids.tolist() == [[0, 1, 2, 3, 5], [1, 2, 3, 4, 5]]
    ids, _ = model.recommend(X, 3, items=[9, 4, 7, 0, 8])
    assert ids.tolist() == [[0, 7, 8], [4, 7, 8]]


def test_similar_items_are_those_of_the_largest_cosine():
    model, _, _ = make_case()
    model.item_vectors_[5] = 0
    ids, cosines = model.similar_items([3, 5, 3], 4)
    vectors = model.item_vectors_.astype(float)
    expected = vectors @ vectors[3] / np.linalg.norm(vectors[3])
    expected /= np.maximum(np.linalg.norm(vectors, axis=1), 1e-30)
    order = [item for item in np.argsort(-expected) if item != 3][:4]
    assert ids[0].tolist() == ids[2].tolist() == order
    np.testing.assert_allclose(cosines[0], expected[order], rtol=1e-6)
    assert ids[1].tolist() == [0, 1, 2, 3]
    assert (cosines[1] == 0).all()
    model.item_vectors_ *= 1e30
    np.testing.assert_array_equal(model.similar_items([3], 4)[0][0], order)


def test_similar_items_before_fit():
    model, _, _ = make_case()
    del model.item_vectors_
    with pytest.raises(NotFittedError):
        model.similar_items([3])


def test_more_similar_items_than_there_are():
    ids, cosines = Given(np.eye(2), np.zeros(2)).similar_items([1], 3)
    assert ids.tolist() == [[0, -1, -1]]
    assert cosines.tolist() == [[0, -np.inf, -np.inf]]


def test_score_is_the_ndcg_of_ten_items():
    model, train, test = make_case()
    scores = scores_of(model, train)
    assert model.score(train, test) == metrics.ndcg_at_k(scores, test, train, 10)
    features = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    expected = metrics.ndcg_at_k(scores_of(model, train, features), test, train, 10)
    assert model.score(train, test, user_features=features) == expected


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_change_no_bit(num_threads, monkeypatch):
    model, X, _ = make_case()
    expected = model.recommend(X, 7)
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 100)
    given = []

    def noted(*arguments):
        given.append(arguments[-1])
        return top_items(*arguments)

    monkeypatch.setattr("ebagx.sklearn.ranking.top_items", noted)
    model.num_threads = num_threads
    for found, wanted in zip(model.recommend(X, 7), expected, strict=True):
        assert found.tobytes() == wanted.tobytes()
    model.similar_items([3])
    assert given == [num_threads, num_threads]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, X: m.recommend(X, 0), ValueError, "n must be at least 1"),
        (lambda m, X: m.recommend(X, 1.5), TypeError, "n must be an integer"),
        (lambda m, X: m.recommend(X, items=[]), ValueError, "items must be a list of ids"),
        (lambda m, X: m.recommend(X, items=[3, 50]), ValueError, r"items\[1\] = 50 must be the id"),
        (lambda m, X: m.recommend(X, items=[-1]), ValueError, r"items\[0\] = -1 must be the id"),
        (lambda m, X: m.recommend(X, items=[3, 2, 3]), ValueError, "each id once"),
        (lambda m, X: m.recommend(X, items=[True]), TypeError, "items must be integers"),
        (lambda m, X: m.recommend(X, exclude_seen=1), TypeError, "exclude_seen must be True"),
        (lambda m, X: m.similar_items(3), ValueError, "ids must be a list of ids"),
        (lambda m, X: m.similar_items([50]), ValueError, r"ids\[0\] = 50 must be the id"),
        (lambda m, X: m.similar_items([3], 0), ValueError, "n must be at least 1"),
        (lambda m, X: m.score(X, X), ValueError, "X_train and X_test both have"),
    ],
)
def test_bad_input(call, error, message):
    model, X, _ = make_case()
    with pytest.raises(error, match=message):
        call(model, X)
