"""Test the factorization machines: scikit-learn's rules, scores, learning, units, errors."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import ebagx
from ebagx._training.network import Layer
from ebagx.optim import SGD
from ebagx.sklearn import FactorizationMachineClassifier, FactorizationMachineRegressor
from ebagx.sklearn.factorization import FactorizationMachine
from support.estimator_cases import bags, targets
from support.estimator_rules import expected_failed_checks

KINDS = {
    "two classes": (FactorizationMachineClassifier, {}, "two"),
    "classes": (FactorizationMachineClassifier, {}, "classes"),
    "labels": (FactorizationMachineClassifier, {}, "labels"),
    "numbers": (FactorizationMachineRegressor, {}, "numbers"),
    "columns": (FactorizationMachineRegressor, {}, "columns"),
    "counts": (FactorizationMachineRegressor, {"loss": "poisson"}, "counts"),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def make(kind, **parameters):
    """A machine of a kind, and data to fit it to."""
    cls, own, of_y = KINDS[kind]
    X, y = bags()
    y = np.where(y == "a", "a", "b") if of_y == "two" else targets(of_y, y)
    given = {"embedding_dim": 3, "batch_size": 7, "random_state": 0, **own, **parameters}
    return cls(**given), X, y


def fit(kind, **parameters):
    """A fitted machine whose factors are large enough to count, and its data."""
    model, X, y = make(kind, **parameters)
    model.fit(X, y)
    model.embedding_ *= np.float32(4)
    return model, X, y


def classes_of(kind):
    own = {"two classes": {"classes": ["a", "b"]}, "classes": {"classes": ["a", "b", "c"]}}
    return own.get(kind, {})


def scores_by_pairs(model, X):
    """Return the scores by the definition, all pairs of columns."""
    dense = X.toarray().astype(np.float32).astype(float)
    scores = dense @ model.coef_.T.astype(float) + model.intercept_
    for k, factors in enumerate(model.factors_.astype(float)):
        products = np.triu(factors @ factors.T, 1)
        scores[:, k] += np.einsum("bi,ij,bj->b", dense, products, dense)
    return scores


def assert_same_model(first, second):
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    np.testing.assert_array_equal(first.intercept_, second.intercept_)


@parametrize_with_checks(
    [
        FactorizationMachineClassifier(),
        FactorizationMachineClassifier(3, optimizer="adam", num_threads=2),
        FactorizationMachineRegressor(),
        FactorizationMachineRegressor(3, num_threads=2),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@kinds
def test_scores_are_those_of_all_pairs(kind):
    model, X, _ = fit(kind)
    expected = scores_by_pairs(model, X)
    if kind == "two classes":
        np.testing.assert_allclose(model.decision_function(X), expected[:, 0], 1e-4, 1e-5)
        np.testing.assert_allclose(model.predict_proba(X)[:, 1], expit(expected[:, 0]), 1e-4, 1e-5)
    elif kind == "classes":
        np.testing.assert_allclose(model.predict_proba(X), softmax(expected, 1), 1e-4, 1e-5)
    elif kind == "labels":
        np.testing.assert_allclose(model.predict_proba(X), expit(expected), 1e-4, 1e-5)
        np.testing.assert_array_equal(model.predict(X), expected > 0)
    elif kind == "counts":
        np.testing.assert_allclose(model.predict(X), np.exp(expected[:, 0]), 1e-4)
    else:
        found = model.predict(X)
        np.testing.assert_allclose(found.reshape(len(found), -1), expected, 1e-4, 1e-4)


@kinds
def test_scores_in_training_are_those_of_predictions(kind):
    model, X, y = fit(kind)
    model._biases += np.float32(0.5)
    layer = Layer(np.empty((len(model._biases), 0), np.float32), model._biases)
    network = SimpleNamespace(table=model.embedding_, layers=[layer])
    found = model._scores_in_training(network, model._examples(X, y, None, True).bags)
    location, scale = model._units()
    expected = FactorizationMachine._scores(model, X)
    np.testing.assert_allclose(found * scale + location, expected, 1e-4, 1e-5)


@kinds
def test_scores_of_a_row_do_not_depend_on_others(kind):
    model, X, _ = fit(kind)
    whole = model.predict(X)
    each = np.concatenate([model.predict(X[[b]]) for b in range(X.shape[0])])
    np.testing.assert_array_equal(whole, each)


@kinds
def test_loss_falls_and_products_are_learned(kind):
    model, X, y = make(kind, max_iter=30, alpha=0.0)
    losses = model.fit(X, y).loss_curve_
    assert losses[-1] < 0.95 * losses[0]
    assert model.factors_.shape == (len(model.intercept_), 7, 3)
    assert model.coef_.shape == (len(model.intercept_), 7)
    assert not model.embedding_[5].any()  # of the column in no row
    assert not hasattr(model, "transform")


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "classes"])
def test_learns_what_no_column_says_alone(loss, is_sparse):
    rng = np.random.default_rng(0)
    first, second = rng.integers(10, size=1500), rng.integers(12, size=1500)
    dense = np.hstack([np.eye(10)[first], np.eye(12)[second]])
    agree = first % 2 == second % 2
    X = sparse.csr_array(dense) if is_sparse else dense
    cls = FactorizationMachineClassifier
    if loss != "classes":
        cls = FactorizationMachineRegressor
        agree = np.where(agree, 20.0, -5.0)
    model = cls(4, alpha=0.0, max_iter=60, random_state=0).fit(X[:1000], agree[:1000])
    assert model.score(X[1000:], agree[1000:]) > 0.95


@kinds
def test_starts_from_the_prior(kind):
    """Before the first step, scores are near those of no columns: means, shares, logarithms."""
    model, X, y = make(kind, learning_rate=1e-9, max_iter=1)
    model.fit(X, y)
    if isinstance(model, FactorizationMachineRegressor):
        prior = np.log(np.mean(y)) if kind == "counts" else np.mean(y, axis=0)
        np.testing.assert_allclose(model.intercept_, np.atleast_1d(prior), 1e-5)
        return
    prior = model.predict_proba(X[[3]])[0]  # an empty row
    shares = np.mean(y, axis=0) if kind == "labels" else [np.mean(y == c) for c in model.classes_]
    np.testing.assert_allclose(prior, shares, atol=0.02)


@kinds
def test_partial_fits_are_the_passes_of_fit(kind):
    model, X, y = make(kind, max_iter=3)
    model.fit(X, y)
    other = clone(model).partial_fit(X, y, **classes_of(kind)).partial_fit(X, y)
    other = pickle.loads(pickle.dumps(other)).partial_fit(X, y)
    assert_same_model(model, other)
    assert other.n_iter_ == 3


@kinds
@pytest.mark.parametrize("num_threads", [2, 3])
def test_same_bits_for_any_number_of_threads(kind, num_threads):
    one, X, y = make(kind, num_threads=1)
    more = clone(one).set_params(num_threads=num_threads)
    assert_same_model(one.fit(X, y), more.fit(X, y))
    np.testing.assert_array_equal(one.predict(X), more.predict(X))


@kinds
def test_early_stopping_keeps_the_best_model(kind):
    model, X, y = make(kind, early_stopping=True, max_iter=40, validation_fraction=0.3)
    model.fit(X, y)
    assert len(model.validation_scores_) == model.n_iter_
    best = max(model.validation_scores_)
    assert model.validation_scores_[model.best_iter_ - 1] == model.best_validation_score_ == best


@pytest.mark.parametrize("num_classes", [2, 3])
def test_every_class_is_held_out_alike(num_classes):
    rng = np.random.default_rng(0)
    y = np.array([0] * 180 + [1] * 20 + [2] * 40 * (num_classes - 2))
    model = FactorizationMachineClassifier(early_stopping=True, max_iter=1, random_state=0)
    examples = model._examples(rng.random((len(y), 3)), y, None, False)
    for seed in range(10):
        learned, held_out = model._split(examples, np.random.default_rng(seed))
        for part, counts in ((learned, [162, 18, 36]), (held_out, [18, 2, 4])):
            expected = [counts[1]] if num_classes == 2 else counts
            assert part.targets.sum(axis=0).tolist() == expected


@pytest.mark.parametrize("kind", ["two classes", "classes"])
def test_score_of_held_out_rows_is_the_accuracy(kind):
    model, X, y = fit(kind)
    weights = np.arange(1.0, len(y) + 1)
    scores = model.decision_function(X).reshape(len(y), -1)
    found = model._score(scores, model._examples(X, y, weights, True))
    assert found == pytest.approx(model.score(X, y, weights))
    assert found != pytest.approx(model.score(X, y))


@kinds
def test_rows_of_weight_0_are_absent(kind):
    model, X, y = make(kind)
    weights = np.arange(len(y)) % 3 > 0
    other = clone(model).fit(X[np.flatnonzero(weights)], y[weights])
    assert_same_model(model.fit(X, y, sample_weight=weights), other)


def test_class_weights_are_sample_weights():
    model, X, y = make("two classes")
    weighted = clone(model).set_params(class_weight={"a": 3.0, "b": 0.5}).fit(X, y)
    assert_same_model(weighted, model.fit(X, y, np.where(y == "a", 3.0, 0.5)))


def test_units_of_y_do_not_matter():
    model, X, y = make("numbers")
    far = clone(model).fit(X, 1e6 * y - 1e8)
    model.fit(X, y)
    np.testing.assert_allclose((far.predict(X) + 1e8) / 1e6, model.predict(X), 1e-3, 1e-3)
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    assert model.predict(X.toarray()).dtype == np.float64


def test_decay_makes_factors_small():
    sizes = []
    for alpha in (0.0, 0.3):
        model, X, y = make("numbers", alpha=alpha, max_iter=40)
        sizes.append(np.abs(model.fit(X, y).factors_).mean())
    assert sizes[1] < 0.5 * sizes[0]


@kinds
def test_warm_start_goes_on(kind):
    model, X, y = make(kind, warm_start=True, max_iter=2)
    first = copy.deepcopy(model.fit(X, y))
    model.fit(X, y)
    assert model.loss_curve_[0] < first.loss_curve_[0]
    with pytest.raises(ValueError, match="^embedding_dim = 4 differs from 3"):
        model.set_params(embedding_dim=4).fit(X, y)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", SGD(0.05, clip_norm=0.5)])
@kinds
def test_optimizers(kind, optimizer):
    model, X, y = make(kind, optimizer=optimizer, max_iter=20, learning_rate=0.02)
    losses = model.fit(X, y).loss_curve_
    assert losses[-1] < losses[0]


def test_divergence_keeps_the_last_finite_model():
    model, X, y = make("numbers", optimizer="sgd", learning_rate=100.0, max_iter=200)
    with pytest.raises(ValueError, match="^the loss diverged in pass "):
        model.fit(X, y)
    assert not hasattr(model, "embedding_") or np.isfinite(model.embedding_).all()


@kinds
def test_duplicates_are_one_entry(kind):
    """SciPy takes duplicates for their sum, whose square is not the sum of their squares."""
    model, X, y = fit(kind)
    halves = sparse.csr_matrix(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), X.shape
    )
    np.testing.assert_array_equal(model.predict(halves), model.predict(X))
    assert_same_model(clone(model).fit(halves, y), clone(model).fit(X, y))
    assert halves.nnz == 2 * X.nnz  # the caller's matrix stays


@kinds
@pytest.mark.parametrize("change", [-2, -1, 1])
def test_assigned_tables_of_a_wrong_width(kind, change):
    model, X, y = fit(kind)
    num_rows, width = model.embedding_.shape
    model.embedding_ = np.zeros((num_rows, width + change), np.float32)
    message = f"^embedding_ must have {width} columns, the factors and weights of "
    with pytest.raises(ValueError, match=message):
        model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)


def test_assigned_tables_of_other_kinds():
    model, X, y = fit("numbers")
    expected = model.predict(X)
    model.embedding_ = model.embedding_.astype(np.float64)
    np.testing.assert_allclose(model.predict(X), expected, 1e-4)
    model.embedding_ = ebagx.quantize(model.embedding_)
    with pytest.raises(TypeError, match="^embedding_ must be an array, got QuantizedTable"):
        model.predict(X)
    with pytest.raises(TypeError, match="embedding_ is a QuantizedTable, which is only read"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("name", ["coef_", "factors_", "intercept_"])
def test_attributes_before_fit(name):
    model = FactorizationMachineClassifier()
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=f"^{name} is there after fit"):
        getattr(model, name)


def test_errors():
    model, X, y = make("two classes")
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match="^classes must be given in the first call"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="^y must hold at least 2 classes"):
        model.fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        model.fit(X, np.linspace(0, 1, len(y)))
    with pytest.raises(ValueError, match="^embedding_dim must be at least 1, got 0"):
        model.set_params(embedding_dim=0).fit(X, y)
    with pytest.raises(ValueError, match="^class_weight must be "):
        model.set_params(embedding_dim=3, class_weight="equal").fit(X, y)
    regressor, X, y = make("counts")
    with pytest.raises(ValueError, match="^y must not be negative with loss='poisson'"):
        regressor.fit(X, -1.0 - y)
    with pytest.raises(ValueError, match="^loss must be one of 'squared_error', 'poisson'"):
        regressor.set_params(loss="huber").fit(X, y)
    regressor.set_params(loss="poisson").fit(X, y)
    with pytest.raises(ValueError, match="^loss = 'squared_error' differs from 'poisson'"):
        regressor.set_params(loss="squared_error").predict(X)
