"""Test groups of columns in the estimators: vectors, forms, overlaps, copies, errors."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx._core.bags import Bags
from ebagx._training.groups import groups_of_pairs
from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagRegressor
from support.estimator_cases import KINDS, assert_same_model, make
from support.estimator_rules import expected_failed_checks

GROUPS = [slice(0, 3), slice(3, 4), slice(4, None)]  # of the 7 columns
kinds = pytest.mark.parametrize("kind", KINDS)
modes = pytest.mark.parametrize("mode", ["mean", "sqrtn", "sum"])


def pooled_by_definition(model, X, groups, mode):
    """Return the vectors of each group of columns, one after the other."""
    dense = X.toarray().astype(np.float32).astype(float)
    vectors = []
    for columns in groups:
        part = dense[:, columns]
        size = {"mean": np.abs(part).sum(1), "sqrtn": np.sqrt((part**2).sum(1))}.get(mode)
        size = np.ones(len(part)) if size is None else np.where(size == 0, 1, size)
        vectors.append(part @ model.embedding_[columns].astype(float) / size[:, np.newaxis])
    return np.hstack(vectors)


@parametrize_with_checks(
    [EmbeddingBagClassifier(4, groups=[slice(None)]), EmbeddingBagRegressor(groups=[slice(None)])],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@modes
@kinds
@pytest.mark.parametrize("hidden", [None, 6])
def test_transform_and_predictions(kind, mode, hidden):
    model, X, y = make(kind, groups=GROUPS, mode=mode, hidden=hidden)
    vectors = model.fit(X, y).transform(X)
    assert vectors.shape == (40, 15)
    assert vectors.dtype == np.float32
    expected = pooled_by_definition(model, X, GROUPS, mode)
    np.testing.assert_allclose(vectors, expected, 1e-4, 1e-5)
    assert len(model.get_feature_names_out()) == 15
    scores = expected
    if hidden:
        scores = np.maximum(scores @ model.hidden_coef_.T + model.hidden_intercept_, 0)
    scores = scores @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(model._scores(X), scores, 1e-3, 1e-4)


@kinds
def test_one_group_is_no_group(kind):
    plain, X, y = make(kind)
    one = clone(plain).set_params(groups=[slice(None)])
    assert_same_model(plain.fit(X, y), one.fit(X, y))
    np.testing.assert_array_equal(plain.transform(X), one.transform(X))


@pytest.mark.parametrize(
    "groups",
    [
        np.array([0, 0, 0, 1, 2, 2, 2]),
        [0, 0, 0, 1, 2, 2, 2],
        np.array([3, 3, 3, 7, 9, 9, 9], np.uint8),
        {"a": slice(0, 3), "none": slice(0, 0), "b": slice(3, 4), "c": slice(-3, None)},
        (slice(None, 3), slice(3, 4, 2), slice(4, 7)),
    ],
)
def test_forms_that_mean_the_same(groups):
    model, X, y = make("softmax", groups=GROUPS)
    other = clone(model).set_params(groups=groups)
    assert_same_model(model.fit(X, y), other.fit(X, y))
    model.set_params(groups=groups)
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_columns_of_groups_may_lie_apart_and_overlap():
    apart = [0, 1, 0, 1, 0, 1, 0]
    model, X, y = make("softmax", groups=apart)
    vectors = model.fit(X, y).transform(X)
    groups = [np.flatnonzero(np.array(apart) == g) for g in range(2)]
    expected = pooled_by_definition(model, X, groups, "mean")
    np.testing.assert_allclose(vectors, expected, 1e-4, 1e-5)
    overlapping = [slice(0, 5), slice(2, 7), slice(2, 3)]
    model.set_params(groups=overlapping)
    vectors = model.fit(X, y).transform(X)
    expected = pooled_by_definition(model, X, overlapping, "mean")
    np.testing.assert_allclose(vectors, expected, 1e-4, 1e-5)


def test_gradient_of_columns_in_several_groups():
    """A column in both groups learns from both: two groups of all columns double its step."""
    one, X, y = make("squared", optimizer="sgd", learning_rate=0.1, max_iter=1, batch_size=40)
    two = clone(one).set_params(groups=[slice(None), slice(None)])
    one.fit(X, y)
    two.fit(X, y)
    head = one.coef_
    two.coef_ = np.hstack([head, head]) / 2
    two.set_params(warm_start=True)
    two.embedding_[...] = one.embedding_
    two.intercept_ = one.intercept_
    one.set_params(warm_start=True)
    np.testing.assert_allclose(one.predict(X), two.predict(X), 1e-4)
    one.fit(X, y)
    two.fit(X, y)
    np.testing.assert_allclose(one.embedding_, two.embedding_, 1e-4, 1e-5)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_bags_of_groups(index_dtype):
    groups = groups_of_pairs(np.array([0, 1, 2, 2]), np.array([1, 0, 0, 1]), 3)
    indices = np.array([9, 2, 0, 1, 1, 2, 9], index_dtype)[1:-1]
    offsets = np.array([0, 3, 3, 5], index_dtype)
    weights = np.arange(1, 6, dtype=np.float32)
    found = groups.apart(Bags(indices, offsets, weights))
    assert found.indices.dtype == found.offsets.dtype == index_dtype
    np.testing.assert_array_equal(found.indices, [2, 1, 2, 0, 1, 2, 2])
    np.testing.assert_array_equal(found.weights, [1, 3, 1, 2, 4, 5, 5])
    np.testing.assert_array_equal(found.offsets, [0, 2, 4, 4, 4, 6, 7])
    assert repr(groups) == "Groups(2 groups of 3 columns)"


def test_sorted_slices_copy_no_lookups():
    X = sparse.random_array((30, 8), density=0.5, format="csr", dtype=np.float32, rng=0)
    X.sort_indices()
    groups = groups_of_pairs(np.arange(8), np.array([0, 0, 0, 1, 1, 2, 2, 2]), 8)
    found = groups.apart(Bags(X.indices, X.indptr, X.data))
    assert np.shares_memory(found.indices, X.indices)
    assert np.shares_memory(found.weights, X.data)


@kinds
@pytest.mark.parametrize("num_threads", [2, 3])
def test_same_bits_for_any_number_of_threads(kind, num_threads):
    one, X, y = make(kind, groups=GROUPS, num_threads=1, hidden=4)
    more = clone(one).set_params(num_threads=num_threads)
    assert_same_model(one.fit(X, y), more.fit(X, y))
    np.testing.assert_array_equal(one.transform(X), more.transform(X))


def test_partial_fit_copies_and_pickles_go_on_alike():
    model, X, y = make("softmax", groups=GROUPS, max_iter=3)
    model.fit(X, y)
    other = clone(model).partial_fit(X, y, classes=["a", "b", "c"]).partial_fit(X, y)
    for way in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        again = way(other).partial_fit(X, y)
        assert_same_model(model, again)
        np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))


@kinds
def test_early_stopping(kind):
    model, X, y = make(
        kind, groups=GROUPS, early_stopping=True, max_iter=30, validation_fraction=0.3
    )
    model.fit(X, y)
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_rows_of_weight_0_are_absent():
    model, X, y = make("softmax", groups=GROUPS)
    weights = np.arange(len(y)) % 3 > 0
    other = clone(model).fit(X[np.flatnonzero(weights)], y[weights])
    assert_same_model(model.fit(X, y, sample_weight=weights), other)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_negatives(kind):
    model, X, y = make(kind, groups=GROUPS, negatives=1, max_iter=30)
    losses = model.fit(X, y).loss_curve_
    assert np.isfinite(losses).all()
    assert np.isfinite(model.predict_proba(X)).all()


def test_output_slices_of_a_column_transformer():
    rng = np.random.default_rng(0)
    table = np.stack([rng.integers(5, size=60), rng.integers(4, size=60), rng.random(60)], 1)
    columns = ColumnTransformer(
        [("a", OneHotEncoder(), [0]), ("number", FunctionTransformer(), [2])], remainder="drop"
    )
    X = columns.fit_transform(table)
    assert columns.output_indices_["remainder"] == slice(0, 0)
    model = EmbeddingBagClassifier(4, groups=columns.output_indices_, random_state=0)
    assert model.fit(X, table[:, 0]).transform(X).shape == (60, 8)


def test_large_numbers_leave_other_groups_as_they_are():
    """Numbers of any size change no vector of another group."""
    rng = np.random.default_rng(0)
    words, y = rng.integers(20, size=(400, 3)), rng.integers(2, size=400)
    words = 2 * words + y[:, np.newaxis] * (rng.random((400, 3)) < 0.9)
    counts = np.zeros((400, 41))
    counts[np.arange(400)[:, np.newaxis], words] = 1
    X = np.hstack([counts, 1e4 * (1 + rng.random((400, 1)))])
    drowned = EmbeddingBagClassifier(8, random_state=0).fit(X[:300], y[:300])
    apart = clone(drowned).set_params(groups=[slice(0, 41), slice(41, 42)]).fit(X[:300], y[:300])
    assert drowned.score(X[300:], y[300:]) < 0.7
    assert apart.score(X[300:], y[300:]) > 0.85


WRONG_KIND = "^groups must be None, a list of slices or an integer for each column of X, got "
NO_NUMBERS = r"^groups\[1\] must be a slice of column numbers, got slice\("
BAD = [
    ([slice(0, 3), slice(5, 7)], "of the 7 columns of X, but columns 3, 4 are in none of them; "),
    ([slice(0, 6)], "but column 6 is in none of them; another slice can take what is left$"),
    ([slice(7, 7)], "but columns 0, 1, 2, 3, 4 and 2 more are in none of them"),
    ([slice(0, 8)], r"^groups\[0\] = slice\(0, 8, None\) reaches beyond the 7 columns of X"),
    ([0, 1, 2], "^groups must have a number for each of the 7 columns of X, got 3 numbers$"),
    ([0, 0, 0, 0, 0, 0, -1], "^groups must be integers of at least 0, got -1$"),
    *((kind, WRONG_KIND) for kind in ("text", 7, [], [0.5] * 7, [[0, 1], [2]], [slice(3), 4])),
    (np.zeros((7, 1), int), WRONG_KIND),
    (dict.fromkeys("abcdefg", 0), WRONG_KIND),
    ([slice(0, 3), slice("c", None)], NO_NUMBERS),
    ({"a": slice(0, 3), "b": slice(3, 7, 1.0)}, NO_NUMBERS),
    ([slice(0, 7, 0)], r"^groups\[0\] must have a step other than 0, got slice\(0, 7, 0\)$"),
]


@pytest.mark.parametrize(("groups", "message"), BAD)
def test_bad_groups(groups, message):
    model, X, y = make("softmax", groups=groups)
    error = TypeError if message in (WRONG_KIND, NO_NUMBERS) else ValueError
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not hasattr(model, "embedding_")


def test_messages_name_columns():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.eye(3), columns=["age", "height", "weight"])
    model = EmbeddingBagClassifier(groups=[slice(0, 2)])
    with pytest.raises(ValueError, match="but column 'weight' is in none of them"):
        model.fit(X, [0, 1, 0])


def test_groups_belong_to_the_model():
    model, X, y = make("softmax", groups=GROUPS)
    model.fit(X, y)
    for groups in (None, [slice(None)], [0, 0, 0, 0, 1, 2, 2]):
        for call in (lambda m: m.predict(X), lambda m: m.partial_fit(X, y)):
            with pytest.raises(ValueError, match="^groups differs from those with which the mod"):
                call(copy.deepcopy(model).set_params(groups=groups))
    model.set_params(groups=[slice(None)], warm_start=True)
    with pytest.raises(ValueError, match="^groups differs"):
        model.fit(X, y)
    model.set_params(warm_start=False).fit(X, y)
    assert model.coef_.shape == (3, 5)
