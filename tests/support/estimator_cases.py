"""Provide data and estimators for the tests of the trained estimators."""

import numpy as np
from scipy import sparse

from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRegressor,
)


def bags(num_bags=40):
    """Signed weights, an empty row, a column in no bag and a stored zero; three classes."""
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((num_bags, 7)) * (rng.random((num_bags, 7)) < 0.5)
    dense[3] = 0
    dense[:, 5] = 0
    X = sparse.csr_array(dense)
    X.data[10] = 0
    return X, rng.choice(["a", "b", "c"], num_bags)


def targets(kind, y):
    """Targets of a kind, made from the classes a, b and c."""
    codes = np.searchsorted(["a", "b", "c"], y)
    return {
        "classes": y,
        "labels": np.stack([codes == 0, codes >= 1], axis=1).astype(int),
        "numbers": 10.0 * codes + np.arange(len(y)) / 7,
        "columns": np.stack([codes, np.sin(codes) * 100], axis=1),
        "counts": codes * 3,
    }[kind]


# Each case is an estimator and the kind of its targets.
KINDS = {
    "softmax": (EmbeddingBagClassifier, {}, "classes"),
    "sigmoid": (EmbeddingBagClassifier, {}, "labels"),
    "squared": (EmbeddingBagRegressor, {}, "numbers"),
    "columns": (EmbeddingBagRegressor, {}, "columns"),
    "huber": (EmbeddingBagRegressor, {"loss": "huber"}, "numbers"),
    "poisson": (EmbeddingBagRegressor, {"loss": "poisson"}, "counts"),
}


def make(kind, **parameters):
    """An estimator of a kind, and data to fit it to."""
    cls, own, of_y = KINDS[kind]
    X, y = bags()
    parameters = {"embedding_dim": 5, "batch_size": 7, "random_state": 0, **own, **parameters}
    return cls(**parameters), X, targets(of_y, y)


def assert_same_model(first, second):
    """Assert that two fitted models have the same bits."""
    for name in ("embedding_", "coef_", "intercept_", "hidden_coef_", "hidden_intercept_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
