"""Fit factorization machines, and estimators with groups of columns, to hostile data."""

import copy
from typing import Any

import numpy as np
import scipy.sparse
from scipy.special import expit, softmax

from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRegressor,
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from fuzz import oracle
from fuzz.calls import SPARSE_FORMS, eighths
from fuzz.recommenders import _spoiled, _state
from fuzz.source import Source

OPTIMIZERS = ("adagrad", "sgd", "adam", "adamw", "rowwise_adagrad")
NO_GROUPS = (5, "ab", [], [[0, 1]], [slice("a")], [slice(0, 1), 2], [0.5], {}, {"a": 1}, [True])
TABLES = (None, "table", 3, np.zeros(3), np.zeros((2, 2)), np.full((5, 4), "a"))
ERRORS = (TypeError, ValueError)


class Fit:
    """Arguments of an estimator, as reports describe them."""

    def __init__(self, model: Any, arguments: dict[str, Any]) -> None:
        self.operation, self.arguments = f"{model}.fit", arguments
        self.bags, self.form = "none", "estimator"


def run(source: Source) -> str:
    """Fit, predict as the definition does, go on, and refuse what is wrong."""
    is_machine = bool(source.below(2))
    name = "machine" if is_machine else "groups"
    columns = source.choice((5, 1, 9))
    model, groups = _machine(source), None
    if not is_machine:
        model, groups = _pooling(source, columns)
    X, y = _data(source, model, columns)
    fit = Fit(model, {"X": X, "y": y})
    spoiled = source.one_in(3)
    if spoiled:
        which = source.choice(("X", "y"))
        fit.arguments[which] = _spoiled(source, fit.arguments[which])
    must_fail = not is_machine and groups is None
    before, state = oracle.Snapshot(fit.arguments), _state(model)
    try:
        model.fit(**fit.arguments)
    except ERRORS as error:
        before.check(fit, error)
        if "diverged" in str(error):
            return f"{name} diverged"
        if _state(model) != state or not (must_fail or spoiled or model.early_stopping):
            raise oracle.FuzzError(f"{oracle.describe(fit)}: {error!r}") from error
        return f"{name} raises"
    before.check(fit)
    if must_fail and model.n_features_in_ == columns:
        raise oracle.FuzzError(f"{oracle.describe(fit)}: groups={model.groups!r} passed")
    if model.n_features_in_ != columns:
        return f"{name} of other columns"
    with oracle.judged(fit):
        rows = _matrix(source, eighths(source.rng, 4, columns), model)
        scores = _machine_scores(model, rows) if is_machine else _scores(model, rows, groups)
        _check_answers(model, rows, scores)
    return f"{name} {_go_on(source, model, fit, X)}"


def _machine(source: Source) -> Any:
    kind = source.choice((FactorizationMachineClassifier, FactorizationMachineRegressor))
    return kind(embedding_dim=source.choice((3, 1, 16)), **_options(source))


def _options(source: Source) -> dict[str, Any]:
    return {
        "optimizer": source.choice(OPTIMIZERS),
        "batch_size": source.choice((4, 1, 256)),
        "max_iter": 1 + source.below(2),
        "num_threads": source.choice((1, 2, 3)),
        "random_state": source.below(256),
        "early_stopping": source.one_in(6),
    }


def _pooling(source: Source, columns: int) -> tuple[Any, list[np.ndarray] | None]:
    """Return an estimator with groups, and the columns of each; None if they are wrong."""
    kind = source.choice((EmbeddingBagClassifier, EmbeddingBagRegressor))
    given, meaning = groups_of(source, columns)
    options = {"mode": source.choice(("mean", "sum", "sqrtn")), "hidden": source.choice((None, 4))}
    return kind(source.choice((2, 7)), groups=given, **options, **_options(source)), meaning


def groups_of(source: Source, columns: int) -> tuple[Any, list[np.ndarray] | None]:
    """Return groups as a caller gives them, and what they mean; None if they are wrong."""
    kind = source.below(4)
    if kind == 3:
        return source.choice(NO_GROUPS), None
    if kind == 2:
        numbers = source.rng.integers(source.choice((0, 0, -1)), 4, columns + source.choice((0, 1)))
        given = source.choice((numbers, numbers.tolist(), numbers.astype("i1")))
        if numbers.min() < 0 or len(numbers) != columns:
            return given, None
        return given, [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    bounds = (None, 0, 1, columns, -1, columns + 1, -columns, np.int64(columns // 2))
    slices = [
        slice(source.choice(bounds), source.choice(bounds), source.choice((None, 1, -1, 2, 0)))
        for _ in range(source.between(1, 3))
    ]
    if source.below(2):
        slices.append(slice(None))
    given = dict(enumerate(slices)) if kind else slices
    for part in slices:
        outside = any(b is not None and abs(b) > columns for b in (part.start, part.stop))
        if part.step == 0 or outside:
            return given, None
    parts = [np.arange(columns)[part] for part in slices]
    is_whole = len(set(np.concatenate(parts).tolist())) == columns
    return given, [part for part in parts if len(part)] if is_whole else None


def _data(source: Source, model: Any, columns: int) -> tuple[Any, Any]:
    rows = source.choice((8, 5))
    X = eighths(source.rng, rows, columns) * (source.rng.random((rows, columns)) < 0.7)
    if "Regressor" in type(model).__name__:
        return _matrix(source, X, model), source.rng.random(source.choice(((rows,), (rows, 2))))
    if source.one_in(3):
        indicator = (source.rng.random((rows, 3)) < 0.5).astype(int)
        return _matrix(source, X, model), indicator
    return _matrix(source, X, model), np.arange(rows) % source.choice((2, 3))


def _matrix(source: Source, dense: np.ndarray, model: Any) -> Any:
    form = source.choice((*SPARSE_FORMS, "dense"))
    if form == "dense":
        return dense
    csr = scipy.sparse.csr_array(dense)
    if getattr(model, "mode", "sum") != "sqrtn" and source.below(2):  # each entry in two halves
        halves = np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2)
        csr = scipy.sparse.csr_array((*halves, csr.indptr * 2), csr.shape)
    return csr.asformat(form)


def _dense(X: Any) -> np.ndarray:
    return X.toarray().astype("f8") if scipy.sparse.issparse(X) else X.astype("f8")


def _machine_scores(model: Any, X: Any) -> np.ndarray:
    """Return the scores of a machine by the definition: all pairs of columns."""
    dense = _dense(X)
    scores: np.ndarray = dense @ model.coef_.T.astype("f8") + model.intercept_
    for k, factors in enumerate(model.factors_.astype("f8")):
        scores[:, k] += np.einsum("bi,ij,bj->b", dense, np.triu(factors @ factors.T, 1), dense)
    return scores


def _scores(model: Any, X: Any, groups: list[np.ndarray] | None) -> np.ndarray:
    """Return the scores of an estimator with groups by the definition."""
    dense, vectors = _dense(X), []
    for columns in groups or [np.arange(dense.shape[1])]:
        unique, counts = np.unique(columns, return_counts=True)
        part = dense[:, unique]
        assert (counts == 1).all()
        size = {"mean": np.abs(part).sum(1), "sqrtn": np.sqrt((part**2).sum(1))}.get(model.mode)
        size = np.ones(len(part)) if size is None else np.where(size == 0, 1, size)
        vectors.append(part @ model.embedding_[unique].astype("f8") / size[:, np.newaxis])
    scores = np.hstack(vectors)
    np.testing.assert_allclose(model.transform(X), scores, 1e-3, 1e-3)
    if model.hidden:
        scores = np.maximum(scores @ model.hidden_coef_.T + model.hidden_intercept_, 0)
    scores = scores @ model.coef_.T
    scores += model.intercept_
    return scores


def _check_answers(model: Any, X: Any, scores: np.ndarray) -> None:
    """Compare predictions or probabilities with scores."""
    most = max(np.abs(scores).max(initial=1), 1)
    if not hasattr(model, "classes_"):
        found = model.predict(X).reshape(scores.shape)
        np.testing.assert_allclose(found, scores, 1e-3, 1e-3 * most)
        return
    found = model.predict_proba(X)
    if scores.shape[1] == 1:
        expected = np.hstack([expit(-scores), expit(scores)])
    elif model.multilabel_:
        expected = expit(scores)
    else:
        expected = softmax(scores, 1)
    np.testing.assert_allclose(found, expected, 1e-3, 1e-3 * most)
    assert np.isfinite(found).all()


def _go_on(source: Source, model: Any, fit: Fit, X: Any) -> str:
    """Make another call, perhaps a wrong one, which must leave the model as it is."""
    kind = source.below(5)
    if kind == 0:
        return "fits"
    other = copy.deepcopy(model)
    if kind == 1:
        model.embedding_ = source.choice(TABLES)
    elif kind == 2:
        model.set_params(embedding_dim=source.choice((4, 0, 2.5, None)))
    elif kind == 3:
        fit = Fit(model, dict(fit.arguments, X=_spoiled(source, X)))
    before, state = oracle.Snapshot(fit.arguments), _state(model)
    try:
        if kind == 3 and source.below(2):
            model.predict(fit.arguments["X"])
            return "predicts"
        model.partial_fit(**fit.arguments)
    except (*ERRORS, AttributeError) as error:
        before.check(fit, error)
        if _state(model) != state and "diverged" not in str(error):
            raise oracle.FuzzError(f"{oracle.describe(fit)}: {error!r} changed it") from error
        return "goes on with an error"
    before.check(fit)
    if kind in (1, 2):
        raise oracle.FuzzError(f"{other} went on with {vars(model)}")
    return "goes on"
