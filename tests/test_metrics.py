"""Compare measures of rankings with their definition and with scikit-learn, and give bad input."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import sparse

from ebagx import metrics
from support import ranking_definition as definition

AT_K = ["precision_at_k", "recall_at_k", "ndcg_at_k", "reciprocal_rank"]
at_k = pytest.mark.parametrize("name", AT_K)


@st.composite
def cases(draw):
    """Scores with ties and -inf, disjoint sets, and an item for a user in the test set at least."""
    num_users, num_items = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = rng.choice(3, (num_users, num_items), p=draw(st.sampled_from(SHARES)))
    kinds[rng.integers(num_users), rng.integers(num_items)] = 1
    levels = draw(st.integers(1, 5))
    scores = rng.integers(-levels, levels + 1, kinds.shape).astype(draw(st.sampled_from("efd")))
    if draw(st.booleans()):
        scores[rng.random(kinds.shape) < 0.2] = -np.inf
    sets = [sparse.csr_array((kinds == kind).astype(float)) for kind in (1, 2)]
    return scores, sets[0], draw(st.sampled_from([None, sets[1]])), draw(st.integers(1, 12))


SHARES = ([0.4, 0.3, 0.3], [0.9, 0.1, 0], [0.1, 0.8, 0.1], [0, 0.5, 0.5])


@at_k
@given(case=cases())
def test_scores_equal_the_definition(name, case):
    scores, *sets, k = case
    expected = getattr(definition, name)(scores, *sets, k)
    assert getattr(metrics, name)(scores, *sets, k) == pytest.approx(expected, rel=1e-12)


@at_k
@given(case=cases(), seed=st.integers(0, 2**32), dtype=st.sampled_from(["i1", "i4", "i8"]))
def test_ids_equal_the_definition(name, case, seed, dtype):
    scores, *sets, _ = case
    rng = np.random.default_rng(seed)
    ids = rng.permuted(np.tile(np.arange(scores.shape[1]), (len(scores), 1)), axis=1)
    ids[rng.random(ids.shape) < 0.2] = -1
    k = rng.integers(1, ids.shape[1] + 1)
    expected = getattr(definition, name)(ids, *sets, k)
    found = getattr(metrics, name)(ids.astype(dtype), *sets, k)
    assert found == pytest.approx(expected, rel=1e-12)


@given(case=cases())
def test_auc_equals_the_definition(case):
    scores, test, train, _ = case
    left = test.shape[1] - test.sum(axis=1) - (0 if train is None else train.sum(axis=1))
    if not (left * test.sum(axis=1)).any():
        with pytest.raises(ValueError, match="no user has an item outside"):
            metrics.auc(scores, test, train)
        return
    expected = definition.auc(scores, test, train)
    assert metrics.auc(scores, test, train) == pytest.approx(expected, rel=1e-12)


def make_case(num_users=40, num_items=25, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.choice(3, (num_users, num_items), p=[0.7, 0.2, 0.1])
    kinds[:, :2] = [0, 1]
    sets = [sparse.csr_array((kinds == kind).astype(float)) for kind in (1, 2)]
    return rng.standard_normal(kinds.shape), *sets


def test_equal_to_scikit_learn():
    score = pytest.importorskip("sklearn.metrics")
    scores, test, _ = make_case()
    truth = test.toarray()
    assert metrics.ndcg_at_k(scores, test, k=7) == pytest.approx(
        score.ndcg_score(truth, scores, k=7)
    )
    areas = [score.roc_auc_score(*row) for row in zip(truth, scores, strict=True)]
    assert metrics.auc(scores, test) == pytest.approx(np.mean(areas))
    one = sparse.csr_array(
        np.eye(25)[np.arange(40) % 25]
    )  # one item each: they have equal measures
    expected = score.label_ranking_average_precision_score(one.toarray(), scores)
    assert metrics.reciprocal_rank(scores, one, k=None) == pytest.approx(expected)
    first = score.top_k_accuracy_score(np.arange(40) % 25, scores, k=3, labels=range(25))
    assert metrics.recall_at_k(scores, one, k=3) == pytest.approx(first)


@pytest.mark.parametrize("name", [*AT_K, "auc"])
def test_blocks_of_users_change_nothing(name, monkeypatch):
    scores, test, train = make_case()
    whole = getattr(metrics, name)(scores, test, train)
    monkeypatch.setattr(metrics, "_NUMBERS_AT_ONCE", 60)
    assert getattr(metrics, name)(scores, test, train) == whole


@at_k
def test_lists_and_scores_agree(name):
    scores, test, train = make_case()
    left_out = np.where(train.toarray() > 0, -np.inf, scores)
    ids = np.argsort(-left_out, axis=1, kind="stable")
    whole = getattr(metrics, name)(scores, test, train, 5)
    assert getattr(metrics, name)(ids, test, train, 5) == pytest.approx(whole, rel=1e-15)
    assert getattr(metrics, name)(left_out, test, k=5) == pytest.approx(whole, rel=1e-15)


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_array", "lil_array"])
def test_forms_of_matrices(form):
    scores, test, train = make_case()
    whole = metrics.ndcg_at_k(scores, test, train)
    make = getattr(sparse, form)
    assert metrics.ndcg_at_k(scores, make(test), make(train)) == whole


def test_unsorted_and_repeated_entries_are_one_and_stay():
    columns = np.array([3, 1, 3, 0])
    test = sparse.csr_array((np.ones(4), columns.copy(), [0, 3, 4]), shape=(2, 4))
    assert metrics.recall_at_k([[3, 0], [2, 0]], test, k=2) == 0.75
    np.testing.assert_array_equal(test.indices, columns)


def test_scores_are_not_changed():
    scores, test, train = make_case()
    before = scores.copy()
    scores.flags.writeable = False
    for name in (*AT_K, "auc"):
        getattr(metrics, name)(scores, test, train)
    np.testing.assert_array_equal(scores, before)


X = sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]])
IDS = np.array([[3, 0], [2, 0]])
SCORES = np.zeros((2, 4))


@at_k
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((IDS, X), {"k": 0}, ValueError, "k must be at least 1"),
        ((IDS, X), {"k": 2.0}, TypeError, "k must be an integer"),
        ((IDS, X), {"k": 3}, ValueError, "k = 3 needs as many ids a user, got 2"),
        ((IDS[:1], X), {"k": 2}, ValueError, "a row for each of the 2 users"),
        ((IDS[0], X), {"k": 2}, ValueError, "a row for each of the 2 users"),
        ((IDS + 1, X), {"k": 2}, ValueError, r"ranked\[0, 0\] = 4 must be the id"),
        ((IDS - 2, X), {"k": 2}, ValueError, r"ranked\[0, 1\] = -2 must be the id"),
        ((IDS * 0, X), {"k": 2}, ValueError, r"ranked\[0\] has the item 0 more than once"),
        ((IDS > 0, X), {"k": 2}, TypeError, "ids, which are integers, or scores"),
        ((IDS.astype(str), X), {"k": 2}, TypeError, "ranked must be real numbers"),
        ((sparse.csr_array(SCORES), X), {}, TypeError, "ranked must be an array, got a csr_array"),
        ((SCORES[:, :3], X), {}, ValueError, r"the shape \(2, 4\) of X_test"),
        ((np.array([[0] * 4, [np.nan] * 4]), X), {}, ValueError, r"ranked\[1, 0\] is NaN"),
        ((SCORES, X.toarray()), {}, TypeError, "X_test must be a sparse matrix"),
        ((SCORES, X * 0), {}, ValueError, "must be above 0"),
        ((SCORES, sparse.csr_array((2, 4))), {}, ValueError, "X_test has no interactions"),
        ((SCORES, -X), {}, ValueError, r"X_test\[0, 1\] = -1 must be above 0"),
        ((SCORES, X, X), {}, ValueError, r"both have \[0, 1\]"),
        ((SCORES, X, X[:, :3]), {}, ValueError, "X_train must have the shape"),
    ],
)  # fmt: skip
def test_bad_input(name, arguments, options, error, message):
    with pytest.raises(error, match=message):
        getattr(metrics, name)(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((IDS, X), TypeError, "scores must be floats, one for each item"),
        ((SCORES[:, :3], X), ValueError, "scores must have the shape"),
        ((SCORES * np.nan, X), ValueError, r"scores\[0, 0\] is NaN"),
        ((SCORES, sparse.csr_array(np.ones((2, 4)))), ValueError, "no user has an item outside"),
    ],
)
def test_bad_input_of_auc(arguments, error, message):
    with pytest.raises(error, match=message):
        metrics.auc(*arguments)
