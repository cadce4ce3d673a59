"""Test the parameters of the trained estimators: types, ranges, messages."""

import copy

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

import ebagx.sklearn
from ebagx.optim import SGD, linear_decay
from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagRegressor
from ebagx.sklearn.parameters import check_parameters
from support.estimator_cases import bags, make

BAD = [
    ({"embedding_dim": 0}, ValueError, "^embedding_dim must be at least 1, got 0$"),
    ({"embedding_dim": 2.0}, TypeError, "^embedding_dim must be an integer, got 2.0$"),
    ({"batch_size": 0}, ValueError, "^batch_size must be at least 1, got 0$"),
    ({"batch_size": "all"}, TypeError, "^batch_size must be an integer, got 'all'$"),
    ({"max_iter": -1}, ValueError, "^max_iter must be at least 1, got -1$"),
    ({"max_iter": True}, TypeError, "^max_iter must be an integer, got True$"),
    ({"n_iter_no_change": 0}, ValueError, "^n_iter_no_change must be at least 1, got 0$"),
    ({"n_iter_no_change": np.inf}, TypeError, "^n_iter_no_change must be an integer, got inf$"),
    ({"hidden": 0}, ValueError, "^hidden must be at least 1 or None, got 0$"),
    ({"hidden": (8, 8)}, TypeError, r"^hidden must be an integer or None, got \(8, 8\)$"),
    ({"mode": "max"}, ValueError, "^mode must be one of 'sum', 'mean', 'sqrtn', got 'max'$"),
    ({"mode": None}, ValueError, "^mode must be one of 'sum', 'mean', 'sqrtn', got None$"),
    ({"learning_rate": 0}, ValueError, "^learning_rate must be positive and finite, got 0$"),
    ({"learning_rate": -0.5}, ValueError, "^learning_rate must be positive and .* got -0.5$"),
    ({"learning_rate": float("nan")}, ValueError, "learning_rate must be pos.* got nan$"),
    ({"learning_rate": float("inf")}, ValueError, "learning_rate must be pos.* got inf$"),
    ({"learning_rate": "fast"}, TypeError, "^learning_rate must be a number, got 'fast'$"),
    ({"alpha": -1e-9}, ValueError, "^alpha must be at least 0 and finite, got -1e-09$"),
    ({"alpha": np.inf}, ValueError, "^alpha must be at least 0 and finite, got inf$"),
    ({"alpha": None}, TypeError, "^alpha must be a number, got None$"),
    ({"tol": -1}, ValueError, "^tol must be at least 0 and finite, got -1$"),
    ({"tol": np.nan}, ValueError, "^tol must be at least 0 and finite, got nan$"),
    ({"validation_fraction": 0}, ValueError, "^validation_fraction must be between 0 and 1, got 0"),
    ({"validation_fraction": 1.0}, ValueError, "^validation_fraction must be between 0 and 1, .*1"),
    ({"validation_fraction": True}, TypeError, "^validation_fraction must be a number, got True$"),
    ({"early_stopping": 1}, TypeError, "^early_stopping must be True or False, got 1$"),
    ({"warm_start": None}, TypeError, "^warm_start must be True or False, got None$"),
    ({"verbose": -1}, ValueError, "^verbose must be at least 0, got -1$"),
    ({"verbose": "yes"}, TypeError, "^verbose must be an integer, got 'yes'$"),
    ({"num_threads": 0}, ValueError, "^num_threads must be at least 1 or None, got 0$"),
    ({"num_threads": 1.5}, TypeError, "^num_threads must be an integer or None, got 1.5$"),
    ({"optimizer": "lbfgs"}, ValueError, "^optimizer must be one of 'adagrad', .*, got 'lbfgs'$"),
    ({"optimizer": SGD}, ValueError, "^optimizer must be one of .* or an ebagx.optim.Optimizer"),
    ({"schedule": "step"}, ValueError, "^schedule must be one of None, 'linear', .*, got 'step'$"),
    (
        {"schedule": 0.5},
        ValueError,
        "^schedule must be one of None, 'linear', 'cosine' or a callable, got 0.5$",
    ),
    (
        {"schedule": "linear", "optimizer": SGD(0.1)},
        ValueError,
        "^schedule must be None with an optimizer object, got 'linear'; make the optimizer with th",
    ),
    (
        {"random_state": "x"},
        ValueError,
        "^random_state must be an integer from 0 to 4294967295, a RandomState or None, got 'x'$",
    ),
    ({"random_state": -1}, ValueError, "^random_state must be an integer from 0 .* got -1$"),
    (
        {"learning_rate": 2, "alpha": 0.5},
        ValueError,
        r"^learning_rate \* alpha must be less than 1, got 2 \* 0.5$",
    ),
    ({"hidden": 2**31}, ValueError, "^hidden must be at most 2147483647 or None, got 2147483648$"),
]
NAMES = [getattr(ebagx.sklearn, name) for name in ebagx.sklearn.__all__]
ESTIMATORS = [named for named in NAMES if isinstance(named, type)]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_has_a_constraint_that_its_default_keeps(kind):
    estimator = kind("vectors") if kind is ebagx.sklearn.TextEmbedder else kind()
    assert set(estimator._constraints) == set(estimator.get_params()) - {"weight", "vectors"}
    check_parameters(estimator)


both = pytest.mark.parametrize("kind", ["softmax", "squared"])


@both
@pytest.mark.parametrize(("parameters", "error", "message"), BAD)
def test_bad_parameters(kind, parameters, error, message):
    model, X, y = make(kind, **parameters)
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not hasattr(model, "embedding_")


@both
@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": np.float32(0.25), "alpha": np.float64(0.001), "tol": 0},
        {"embedding_dim": np.int32(3), "batch_size": np.int64(1), "max_iter": np.uint8(1)},
        {"early_stopping": np.True_, "validation_fraction": 1e-9},
        {"early_stopping": True, "validation_fraction": 1 - 1e-9, "n_iter_no_change": 10**9},
        {"batch_size": 10**9, "num_threads": 10**6},
        {"alpha": 0.5, "optimizer": SGD(linear_decay(0.1, 5))},  # not used, as documented
        {"random_state": np.random.RandomState(0), "schedule": lambda step: 1 / (step + 1)},
    ],
)
def test_good_parameters(kind, parameters):
    model, X, y = make(kind, **parameters)
    assert np.isfinite(clone(model).fit(X, y).embedding_).all()


@both
def test_parameters_that_predictions_use_are_checked_again(kind):
    model, X, y = make(kind)
    model.fit(X, y)
    for parameters, error, message in (
        ({"mode": "max"}, ValueError, "^mode must be one of 'sum', 'mean', 'sqrtn', got 'max'$"),
        ({"num_threads": -1}, ValueError, "^num_threads must be at least 1 or None, got -1$"),
    ):
        with pytest.raises(error, match=message):
            copy.deepcopy(model).set_params(**parameters).predict(X)


def test_negative_rate_from_a_schedule():
    model, X, y = make("softmax", schedule=lambda _: -0.1)
    with pytest.raises(ValueError, match="^learning_rate must be at least 0 and finite, got -0.1$"):
        model.fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (
            {"loss": "absolute"},
            ValueError,
            "^loss must be one of 'squared_error', 'huber', 'poisson', got 'absolute'$",
        ),
        (
            {"loss": None},
            ValueError,
            "^loss must be one of 'squared_error', 'huber', 'poisson', got None$",
        ),
        ({"epsilon": 0}, ValueError, "^epsilon must be positive and finite, got 0$"),
        ({"epsilon": np.nan}, ValueError, "^epsilon must be positive and finite, got nan$"),
        ({"epsilon": "1"}, TypeError, "^epsilon must be a number, got '1'$"),
    ],
)
def test_bad_parameters_of_the_regressor(parameters, error, message):
    X, y = bags()
    with pytest.raises(error, match=message):
        EmbeddingBagRegressor(**parameters).fit(X, np.arange(len(y)))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("equal", "^class_weight must be one of None, 'balanced' or a dict, got 'equal'$"),
        ([1, 2, 3], r"^class_weight must be one of None, 'balanced' or a dict, got \[1, 2, 3\]$"),
        ({"a": -1}, "^class_weight of class a must be at least 0 and finite, got -1.0$"),
        ({"b": np.nan}, "^class_weight of class b must be at least 0 and finite, got nan$"),
        ({"a": 0, "b": 0, "c": 0}, "^class_weight leaves no row a weight above 0$"),
    ],
)
def test_bad_class_weight(class_weight, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingBagClassifier(class_weight=class_weight).fit(*bags())


def test_class_weight_that_cannot_be():
    X, y = bags()
    with pytest.raises(ValueError, match="^class_weight must be None or a dict for partial_fit"):
        EmbeddingBagClassifier(class_weight="balanced").partial_fit(X, y, ["a", "b", "c"])
