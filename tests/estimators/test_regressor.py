"""EmbeddingBagRegressor: scikit-learn's rules, its losses, and its targets."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx.optim import RowwiseAdagrad
from ebagx.sklearn import EmbeddingBagRegressor
from estimators.rules import expected_failed_checks

LOSSES = ("squared_error", "huber", "poisson")


@parametrize_with_checks(
    [
        *(EmbeddingBagRegressor(loss=loss) for loss in LOSSES),
        EmbeddingBagRegressor(mode="sum", hidden=8, optimizer="adamw", schedule="linear"),
        EmbeddingBagRegressor(mode="sqrtn", optimizer=RowwiseAdagrad(0.1), early_stopping=True),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)
