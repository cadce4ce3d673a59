"""Test the recommender: what it learns, cold items, growth, and the manners of estimators."""

import pickle
import signal
import warnings

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx import metrics
from ebagx._training import pair_steps
from ebagx._training.pair_steps import PairSteps, Sampling
from ebagx.datasets import make_interactions
from ebagx.optim import SGD, Adam
from ebagx.sklearn import EmbeddingBagRecommender

DATA = make_interactions(200, 120, per_user=24, random_state=1)
X = DATA.train
USERS = ["history", "id"]


def make(**options):
    return EmbeddingBagRecommender(
        **{"embedding_dim": 8, "max_iter": 3, "random_state": 0, "batch_size": 32, **options}
    )


def tables(model):
    return model.user_embedding_, model.item_embedding_, model.item_vectors_, model.item_bias_


def assert_same_model(left, right):
    for one, other in zip(tables(left), tables(right), strict=True):
        np.testing.assert_array_equal(one, other)
    assert left.loss_curve_ == right.loss_curve_


def expected_failed_checks(estimator):
    """Return the checks that fail by nature, with the reason."""
    matrix = "score compares with other interactions, which are a matrix"
    checks = dict.fromkeys(
        (
            *("check_fit_score_takes_y", "check_n_features_in_after_fitting"),
            "check_pipeline_consistency",
        ),
        matrix,
    )
    per_item = "predict gives a score for each item"
    checks |= dict.fromkeys(
        ("check_estimator_sparse_array", "check_estimator_sparse_matrix"), per_item
    )
    if estimator.user == "id":
        rows = "row k is user k"
        checks |= dict.fromkeys(
            (
                "check_sample_weight_equivalence_on_dense_data",
                "check_sample_weight_equivalence_on_sparse_data",
                "check_methods_subset_invariance",
                "check_methods_sample_order_invariance",
            ),
            rows,
        )
    return checks


@parametrize_with_checks(
    [EmbeddingBagRecommender(user=user) for user in USERS],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "options", [{}, {"loss": "bpr"}, {"loss": "softmax"}, {"optimizer": Adam(0.01, clip_norm=1)}]
)
def test_threads_change_no_bit(user, options):
    features = {"item_features": DATA.item_features}
    one = make(user=user, num_threads=1, **options).fit(X, **features)
    for num_threads in (2, 3):
        model = make(user=user, num_threads=num_threads, **options).fit(X, **features)
        assert_same_model(one, model)
        np.testing.assert_array_equal(one.recommend(X)[1], model.recommend(X)[1])


@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_order_of_features_changes_no_bit(num_threads, monkeypatch):
    monkeypatch.setattr(pair_steps, "thread_count", lambda *_args, **_options: num_threads)
    monkeypatch.setattr("ebagx._training.pair_parts._LEAST_OF_PART", 8)
    rng = np.random.default_rng(0)
    ascending = sparse.csr_array(
        sparse.random_array((200, 6), density=0.5, rng=rng, dtype=np.float32)
    )
    ascending.sort_indices()
    order = np.lexsort((-ascending.indices, np.repeat(np.arange(200), np.diff(ascending.indptr))))
    numbers = ascending.data[order], ascending.indices[order], ascending.indptr
    descending = sparse.csr_array(numbers, shape=ascending.shape)
    assert_same_model(
        make(max_iter=1).fit(X, user_features=ascending),
        make(max_iter=1).fit(X, user_features=descending),
    )


@pytest.mark.parametrize("user", USERS)
def test_predict_gives_the_scores_of_recommend(user):
    model = make(user=user).fit(X)
    ids, scores = model.recommend(X[:5], 4)
    pairs = np.stack([np.repeat(np.arange(5), 4), ids.ravel()], axis=1)
    np.testing.assert_array_equal(model.predict(X[:5], pairs), scores.ravel())
    every = model.predict(X[:5])
    np.testing.assert_array_equal(every[np.arange(5)[:, None], ids], scores)
    vectors = model.transform(X[:5])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(
        scores[0], vectors[0] @ model.item_vectors_[ids[0]].T + model.item_bias_[ids[0]], rtol=1e-5
    )


def test_the_history_may_be_anyones():
    model = make(max_iter=30).fit(X[:150])
    data = X[150:], DATA.test[150:]
    popular = np.tile(X[:150].sum(axis=0), (50, 1)).astype(float)
    assert model.score(*data) > metrics.ndcg_at_k(popular, data[1], data[0])
    empty = sparse.csr_array((1, X.shape[1]), dtype=np.float32)
    np.testing.assert_array_equal(model.transform(empty), 0)
    np.testing.assert_array_equal(model.recommend(empty, 1)[0][0, 0], model.item_bias_.argmax())


def test_features_carry_cold_items():
    is_cold = np.arange(X.shape[1]) % 4 == 0
    warm = X.multiply(~is_cold[np.newaxis]).tocsr()
    warm.eliminate_zeros()
    model = make(max_iter=30).fit(warm, item_features=DATA.item_features)
    np.testing.assert_array_equal(model.item_embedding_[: len(is_cold)][is_cold], 0)
    cold = (X + DATA.test).tocsr()[:, is_cold]
    scores = model.transform(warm) @ model.item_vectors_.T + model.item_bias_
    assert metrics.auc(scores[:, is_cold].astype(float), cold) > 0.58
    without = make(max_iter=30, item_identity=False).fit(warm, item_features=DATA.item_features)
    np.testing.assert_array_equal(without.item_embedding_[: len(is_cold)], 0)


def test_cold_items_with_features_are_not_drawn(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "ebagx.sklearn.towers.Sampling", lambda *given: drawn.append(given[3]) or Sampling(*given)
    )
    warm = X.copy()
    warm.data[warm.indices == 7] = 0
    warm.eliminate_zeros()
    for loss in ("warp", "softmax"):
        make(max_iter=1, loss=loss).fit(warm, item_features=DATA.item_features)
        np.testing.assert_array_equal(drawn.pop(), np.delete(np.arange(X.shape[1]), 7))
    make(max_iter=1).fit(warm)
    assert not len(drawn.pop())


def test_softmax_compares_with_as_many_items_as_are_asked_for():
    one, many = (make(loss="softmax", negatives=n, max_iter=1).fit(X) for n in (1, 64))
    assert 3 * one.loss_curve_[0] < many.loss_curve_[0]


def test_features_of_users_describe_new_ones():
    groups = sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(200) % 2])
    block = np.zeros((200, 40), np.float32)
    rng = np.random.default_rng(0)
    for row in range(200):
        block[row, 20 * (row % 2) + rng.choice(20, 6, replace=False)] = 1
    model = make(user="id", user_identity=False, max_iter=20).fit(block, user_features=groups)
    empty = sparse.csr_array((2, 40), dtype=np.float32)
    ids, _ = model.recommend(empty, 8, user_features=np.eye(2))
    assert (ids[0] < 20).all()
    assert (ids[1] >= 20).all()


class TestGrowth:
    @pytest.mark.parametrize("user", USERS)
    def test_known_rows_stay_and_new_ones_begin(self, user):
        model = make(user=user, warm_start=True).fit(
            X[:150, :100], item_features=DATA.item_features[:100]
        )
        before = [table.copy() for table in tables(model)]
        state = model._state.optimizers[1].state_dict()
        model.set_params(learning_rate=1e-30)
        model.partial_fit(X, item_features=DATA.item_features)
        own = 150 if user == "id" else 100
        np.testing.assert_allclose(model.user_embedding_[:own], before[0][:own], atol=1e-20)
        np.testing.assert_array_equal(model.item_embedding_[:100], before[1][:100])
        np.testing.assert_array_equal(model.item_embedding_[120:], before[1][100:])
        assert model.item_embedding_[100:120, :-1].any(axis=1).all()
        assert model.n_features_in_ == 120
        grown = model._state.optimizers[1].state_dict()
        old = next(v for v in state.values() if isinstance(v, np.ndarray) and v.ndim == 2)
        new = next(v for v in grown.values() if isinstance(v, np.ndarray) and v.ndim == 2)
        assert len(new) == len(old) + 20
        assert (new[:100] >= old[:100]).all()
        assert model.recommend(X)[0].max() < 120

    def test_new_items_are_learned(self):
        model = make(max_iter=20, warm_start=True).fit(X[:, :100])
        for _ in range(20):
            model.partial_fit(X)
        assert len(model.loss_curve_) == 40
        whole = make(max_iter=40).fit(X)
        assert model.score(X, DATA.test) > 0.85 * whole.score(X, DATA.test)

    def test_item_features_are_kept(self):
        model = make().fit(X[:, :100], item_features=DATA.item_features[:100])
        model.partial_fit(X)
        assert model.item_features_.shape == (120, DATA.item_features.shape[1])

    def test_it_begins_like_fit(self):
        assert_same_model(make(max_iter=1).fit(X), make().partial_fit(X))


@pytest.mark.parametrize("user", USERS)
def test_copies_go_on_alike(user):
    model = make(user=user, warm_start=True).fit(X)
    copy = pickle.loads(pickle.dumps(model))
    assert_same_model(model.partial_fit(X), copy.partial_fit(X))
    assert not hasattr(clone(model), "item_embedding_")


def test_early_stopping_keeps_the_best_pass():
    model = make(early_stopping=True, max_iter=100, n_iter_no_change=2).fit(X)
    assert model.n_iter_ < 100
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.validation_scores_.index(model.best_validation_score_) + 1 == model.best_iter_
    assert make(early_stopping=True, max_iter=model.best_iter_).fit(X).item_bias_ == pytest.approx(
        model.item_bias_, abs=0
    )


@pytest.mark.parametrize("user", USERS)
def test_weights_of_users(user):
    weights = np.arange(200) % 2
    empty = X.copy()
    model = make(user=user, optimizer=SGD(0.05)).fit(X, sample_weight=weights)
    half = make(user=user, optimizer=SGD(0.05)).fit(empty, sample_weight=2 * weights)
    assert np.abs(half.item_bias_).sum() > np.abs(model.item_bias_).sum()


def test_divergence_keeps_the_last_finite_model():
    def rate(step):
        return 0.05 if step < 300 else 1e30

    model = make(optimizer=SGD(rate), max_iter=5, warm_start=True)
    with pytest.raises(ValueError, match="the loss diverged in pass .; .* X or the features"):
        model.fit(X)
    assert np.isfinite(model.item_vectors_).all()
    assert len(model.loss_curve_) == model.n_iter_ >= 1
    assert np.isfinite(model._state.optimizers[0].state_dict()["num_steps"])
    with pytest.raises(ValueError, match="there is no model"):
        make(optimizer=SGD(1e38)).fit(X)


def test_ctrl_c_keeps_what_was_learned(monkeypatch):
    calls, kernel = [], PairSteps._call

    def call(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return kernel(self, *arguments)

    monkeypatch.setattr(PairSteps, "_call", call)
    with pytest.warns(UserWarning, match="interrupted in pass 1"):
        model = make(max_iter=1000).fit(X)
    assert model.recommend(X[:1], 3)[0].shape == (1, 3)


def test_ctrl_c_during_a_call_counts_the_steps_that_it_has_taken(monkeypatch):
    """A call whose end comes late stops after a step; the optimizers have taken that many."""
    kernel, taken = pair_steps.kernels.train_pairs, []

    def call(buffers, number, *arguments):
        result = kernel(buffers, number, *arguments)
        taken.append(int(number[0]))
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(pair_steps.kernels, "train_pairs", call)
    monkeypatch.setattr(pair_steps, "_MOST_NANOSECONDS", 1)
    with pytest.warns(UserWarning, match="interrupted in pass 1"):
        model = make(max_iter=1000, warm_start=True).fit(X)
    assert taken == [1]
    assert [optimizer.num_steps for optimizer in model._state.optimizers] == [1, 1]


def test_input_stays_as_it_is():
    data = X.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit(data)
    assert (data != X).nnz == 0
    twice = sparse.csr_array(
        (np.ones(3, np.float32), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 4)
    )
    model = make().fit(twice)
    assert twice.nnz == 3
    assert_same_model(model, make().fit([[1, 0, 2, 0]]))


BAD = {
    "zero": (
        sparse.csr_array(([1.0, 0.0], ([0, 1], [1, 2])), shape=(2, 3)),
        {},
        "must not store zeros",
    ),
    "negative": (np.array([[1, -2, 0]]), {}, "X\\[0, 1\\] = -2.0 must be above 0"),
    "nan": (np.array([[1, np.nan, 0]]), {}, "NaN"),
    "empty": (np.zeros((3, 4)), {}, "all its users are empty"),
    "one item": (np.ones((3, 1)), {}, "at least 2 items"),
    "width": (
        np.ones((2, 3)),
        {"item_features": np.zeros((3, 0))},
        "^item_features: Found array with 0 feature",
    ),
    "weights": (np.ones((2, 3)), {"sample_weight": [1, np.nan]}, "NaN"),
    "rows": (np.ones((2, 3)), {"user_features": np.ones((3, 2))}, "each of the 2 users.*pass X.T"),
    "columns": (
        np.ones((2, 3)),
        {"item_features": np.ones((2, 2))},
        "each of the 3 items.*pass X.T",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    data, arguments, message = BAD[name]
    model = make()
    with pytest.raises(ValueError, match=message):
        model.fit(data, **arguments)
    assert not hasattr(model, "n_features_in_")


def test_bad_calls_of_a_fitted_model_are_named():
    model = make(user="id").fit(X)
    with pytest.raises(ValueError, match="rows seem to be items: pass X.T"):
        model.recommend(X.T.tocsr())
    with pytest.raises(ValueError, match="the model has 200: with user='id', row k is user k"):
        model.transform(sparse.vstack([X, X]))
    with pytest.raises(ValueError, match="pairs\\[1\\] = \\(0, 120\\) must be a row and a column"):
        model.predict(X, [(0, 0), (0, 120)])
    with pytest.raises(ValueError, match="must have shape \\(n, 2\\)"):
        model.predict(X, [0, 1])
    with pytest.raises(ValueError, match="each of the 200 users of the model"):
        model.partial_fit(X[:10])
    with pytest.raises(ValueError, match="X has 50 features, but .* is expecting 120"):
        model.partial_fit(X[:, :50])
    with pytest.raises(ValueError, match="user_features must have 0 columns as in fit, got 2"):
        model.recommend(X, user_features=np.ones((200, 2)))
    with pytest.raises(ValueError, match="mode = 'sum' differs from 'sqrtn'"):
        model.set_params(mode="sum").transform(X)
    with pytest.raises(ValueError, match="item_identity=False needs item_features"):
        make(item_identity=False).fit(X)
    with pytest.raises(ValueError, match="user_identity=False needs user_features"):
        make(user="id", user_identity=False).fit(X)


def test_arrays_that_are_assigned_must_fit():
    """A kernel would read outside of those that do not."""
    model = make().fit(X)
    wrong = {
        "item_bias_": model.item_bias_[:-1],
        "item_vectors_": model.item_vectors_[:, :-1].copy(),
        "user_embedding_": model.user_embedding_[:-1],
    }
    for name, array in wrong.items():
        kept = getattr(model, name)
        setattr(model, name, array)
        for ask in (model.recommend, model.predict):
            with pytest.raises(ValueError, match=name):
                ask(X)
        setattr(model, name, kept)
    model.recommend(X)
