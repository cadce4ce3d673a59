"""Test scikit-learn's rules, the losses and the targets of EmbeddingBagRegressor."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx.optim import RowwiseAdagrad
from ebagx.sklearn import EmbeddingBagRegressor
from support.estimator_rules import expected_failed_checks

LOSSES = ("squared_error", "huber", "poisson")


@parametrize_with_checks(
    [
        *(EmbeddingBagRegressor(loss=loss) for loss in LOSSES),
        EmbeddingBagRegressor(mode="sum", hidden=8, optimizer="adamw"),
        EmbeddingBagRegressor(mode="sqrtn", optimizer=RowwiseAdagrad(0.1), early_stopping=True),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def orders(num_orders=600):
    """Counts of 30 goods in orders, and the price of each good."""
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.poisson(0.1, (num_orders, 30)))
    return X, rng.uniform(-1, 1, 30)


def fitted(y, X, **parameters):
    parameters = {"mode": "sum", "max_iter": 100, "random_state": 0, **parameters}
    return EmbeddingBagRegressor(8, **parameters).fit(X, y)


@pytest.mark.parametrize("loss", ["squared_error", "huber"])
@pytest.mark.parametrize(("location", "scale"), [(0, 1), (2000, 1), (-3, 1e6), (0, 1e-20)])
def test_learns_numbers_in_any_unit(loss, location, scale):
    X, prices = orders()
    y = X @ prices * scale + location
    model = fitted(y, X, loss=loss)
    assert model.predict(X).shape == (600,)
    assert model.predict(X).dtype == np.float64
    assert model.predict(X.astype(np.float32)).dtype == np.float32
    error = np.abs(model.predict(X) - y).mean()
    assert error < 0.01 * np.std(y) + 1e-6 * abs(location)
    unit = fitted(X @ prices, X, loss=loss)
    np.testing.assert_allclose(model.loss_curve_[:9], unit.loss_curve_[:9], rtol=1e-3)


def test_poisson_learns_rates():
    X, prices = orders(4000)
    rates = np.exp(X @ prices + 1)
    model = fitted(np.random.default_rng(1).poisson(rates), X, loss="poisson", max_iter=10)
    predicted = model.predict(X)
    assert (predicted > 0).all()
    assert np.abs(np.log(predicted / rates)).mean() < 0.1
    assert min(model.loss_curve_) >= 0


def test_poisson_begins_with_the_mean():
    X, _ = orders()
    y = np.random.default_rng(1).poisson(1000, 600)
    model = fitted(y, X, loss="poisson", max_iter=1, learning_rate=1e-30)
    np.testing.assert_allclose(model.predict(X), y.mean(), rtol=1e-5)


def test_huber_leaves_outliers_alone():
    X, prices = orders()
    y = X @ prices
    spoiled = y.copy()
    spoiled[::20] += 100
    errors = {
        loss: np.abs(fitted(spoiled, X, loss=loss, epsilon=0.01).predict(X) - y).mean()
        for loss in ("squared_error", "huber")
    }
    assert errors["huber"] < errors["squared_error"] / 4


def test_huber_of_a_large_epsilon_is_the_squared_error():
    X, prices = orders()
    models = [fitted(X @ prices, X, **p) for p in ({}, {"loss": "huber", "epsilon": 1e9})]
    np.testing.assert_allclose(*(model.predict(X) for model in models), rtol=1e-4, atol=1e-5)


def test_columns_of_different_units():
    X, prices = orders()
    y = np.stack([X @ prices, 1e6 * (X @ prices[::-1]), np.full(600, 0.1)], axis=1)
    model = fitted(y, X)
    predicted = model.predict(X)
    assert predicted.shape == (600, 3)
    assert model.coef_.shape == (3, 8)
    np.testing.assert_array_less(
        np.abs(predicted - y).mean(axis=0), 0.02 * y.std(axis=0) + [0, 0, 1e-3]
    )
    one = fitted(y[:, :1], X)
    assert one.predict(X).shape == (600, 1)


def test_a_constant_is_predicted_as_it_is():
    X, _ = orders()
    model = fitted(np.full(600, 0.1), X)
    np.testing.assert_allclose(model.predict(X), 0.1, rtol=1e-6)


def test_partial_fit_keeps_the_units_of_the_first_call():
    X, prices = orders()
    y = X @ prices * 100
    model = EmbeddingBagRegressor(8, mode="sum", random_state=0)
    for _ in range(30):
        for start in range(0, 600, 200):
            model.partial_fit(X[start : start + 200], y[start : start + 200])
    assert model.score(X, y) > 0.99
    assert model.n_iter_ == 90


@pytest.mark.parametrize(
    ("y", "parameters", "error", "message"),
    [
        (
            np.r_[1, -2, np.ones(598)],
            {"loss": "poisson"},
            ValueError,
            r"^y must not be negative with loss='poisson', got y\[1\] = -2.0$",
        ),
        (np.zeros(600), {"loss": "poisson"}, ValueError, "^y must not be all zeros with loss='poi"),
        (np.full(600, 1e39), {}, ValueError, "^y must be within the limits of float32, 3.4e\\+38$"),
        (["cheap"] * 600, {}, ValueError, "could not convert"),
        (
            sparse.csr_array(np.ones((600, 2))),
            {},
            TypeError,
            "^y must be dense, got a sparse",
        ),
        (np.ones((600, 2, 2)), {}, ValueError, "dim 3|3D|3-D"),
        (np.full(600, 1j), {}, ValueError, "[Cc]omplex"),
        (None, {}, ValueError, "requires y to be passed"),
    ],
)
def test_bad_targets(y, parameters, error, message):
    with pytest.raises(error, match=message):
        EmbeddingBagRegressor(**parameters).fit(orders()[0], y)


def test_another_number_of_outputs():
    X, prices = orders()
    model = fitted(X @ prices, X, max_iter=1)
    with pytest.raises(ValueError, match="^y must have 1 outputs as before, got 2$"):
        model.partial_fit(X, np.ones((600, 2)))


def test_tags():
    tags = EmbeddingBagRegressor().__sklearn_tags__()
    assert tags.input_tags.sparse
    assert tags.target_tags.multi_output
    assert not tags.target_tags.positive_only
    assert EmbeddingBagRegressor(loss="poisson").__sklearn_tags__().target_tags.positive_only
