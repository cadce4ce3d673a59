"""Run estimators and the vectorizer on hostile input: the result is right or a known error."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse

from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRegressor,
    EmbeddingBagTransformer,
    TextVectorizer,
)
from fuzz import oracle
from fuzz.calls import SPARSE_FORMS, Call, eighths
from fuzz.source import Source
from fuzz.spoiled_sparse import spoil_sparse
from support.ngram_definition import features_of

# These change their length in lower case, join, separate, or take 1 to 4 bytes.
LETTERS = "aAbZ09_ .\n\0\u00e9\u0130\u03a3\u212a\u0301\u4e2d\u200b\uffff\U0001f600"
NO_TEXTS = (1, None, b"bytes", "\ud800", ["a"])


@dataclass
class Fit:
    """Arguments of an estimator, with names for the oracle's reports."""

    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    bags: str = "none"
    form: str = "estimator"


def run(source: Source) -> str:
    """Run one case of an estimator or of the vectorizer."""
    return _run_texts(source) if source.below(3) == 0 else _run_matrices(source)


def _run_matrices(source: Source) -> str:
    """Fit and predict with matrices of which one may be broken: nothing may change or crash."""
    rows, columns = source.choice((6, 2, 9)), source.choice((5, 1, 8))
    X, y = _matrix(source, rows, columns), _targets(source, rows)
    name, model = source.choice(
        (
            ("transformer", EmbeddingBagTransformer(n_components=2, random_state=0)),
            ("classifier", EmbeddingBagClassifier(2, max_iter=1, random_state=0)),
            ("regressor", EmbeddingBagRegressor(2, max_iter=1, random_state=0)),
        )
    )
    fit = Fit(name, {"X": X, "y": y})
    if source.below(2):
        which = source.choice(("X", "X", "y"))
        fit.arguments[which] = _spoiled(source, fit.arguments[which])
    before = oracle.Snapshot(fit.arguments)
    outcome = "raises"
    try:
        model.fit(**fit.arguments)
        for method in ("transform", "predict"):
            if hasattr(model, method):
                result = getattr(model, method)(_matrix(source, rows + 1, columns))
                assert len(result) == rows + 1
                getattr(model, method)(fit.arguments["X"])
        outcome = "valid"
    except oracle.ERRORS as error:
        before.check(fit, error)
    before.check(fit)
    return f"{name} {outcome}"


def _matrix(source: Source, rows: int, columns: int) -> Any:
    dense = eighths(source.rng, rows, columns) * (source.rng.random((rows, columns)) < 0.5)
    form = source.choice((*SPARSE_FORMS, "dense"))
    kind = source.choice((scipy.sparse.csr_array, scipy.sparse.csr_matrix))
    if form == "dense":
        return dense
    csr = kind(dense)
    if source.below(2):  # in no order, with duplicates
        csr = kind((csr.data, csr.indices[::-1].copy(), csr.indptr), shape=csr.shape)
    return csr.asformat(form)


def _targets(source: Source, rows: int) -> Any:
    """Return classes, numbers, or labels as an indicator."""
    kind = source.below(4)
    if kind == 0:
        return np.arange(rows) % 2
    if kind == 1:
        return source.rng.random(rows)
    return _labels(source, rows) if kind == 2 else _labels(source, rows).toarray()


def _labels(source: Source, rows: int) -> Any:
    indicator = (source.rng.random((rows, 3)) < 0.5).astype(int)
    return scipy.sparse.csr_array(indicator).asformat(source.choice(SPARSE_FORMS))


def _spoiled(source: Source, values: Any) -> Any:
    """Return something that is wrong, often."""
    if not scipy.sparse.issparse(values):
        shapes = values[..., np.newaxis, np.newaxis], values[:-1], values[:0]
        others = values.astype("U3"), values.astype(object), values.astype("c16"), None, "text", 5
        return source.choice((*shapes, *others, np.full(values.shape, np.nan)))
    table = np.zeros((values.shape[1], 0))
    call = Call("forward", table, [[]] * values.shape[0], None, "sum", None, values.format)
    call.arguments["input"] = values
    spoil_sparse(source, call)
    return call.arguments["input"]


def _run_texts(source: Source) -> str:
    """Count features of odd texts, as their definition does; reject objects that are not texts."""
    texts = [_text(source) for _ in range(source.between(1, 3))]
    runs, buckets = source.choice((1, 2, 8)), source.choice((7, 1, 2**20))
    chars = source.choice((None, (1, 1), (2, 3), (1, 32)))
    vectorizer = TextVectorizer(word_ngrams=runs, char_ngrams=chars, n_buckets=buckets)
    fit = Fit("vectorizer", {"texts": texts, "vectorizer": vectorizer})
    if source.one_in(4):
        wrong: list[Any] = [*texts, source.choice(NO_TEXTS)]
        try:
            vectorizer.fit_transform(wrong)
        except (TypeError, ValueError):
            return "texts raise"
        raise oracle.FuzzError(f"{oracle.describe(fit)}: no error with {wrong[-1]!r}")
    with oracle.judged(fit):
        expected = [features_of(text, runs, chars, buckets) for text in texts]
        if not any(expected):
            return "no features"
        counts = vectorizer.fit_transform(texts)
        names = vectorizer.get_feature_names_out()
        for row, features in zip(counts.toarray(), expected, strict=True):
            wanted = {k if isinstance(k, str) else f"#{k}": v for k, v in features.items()}
            assert {names[i]: row[i] for i in np.flatnonzero(row)} == wanted
        assert (vectorizer.transform(texts) != counts).nnz == 0
    return "texts"


def _text(source: Source) -> str:
    return "".join(source.choice(LETTERS) for _ in range(source.below(12)))
