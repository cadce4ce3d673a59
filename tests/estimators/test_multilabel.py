"""Test EmbeddingBagClassifier with several labels for each row."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import MultiLabelBinarizer

from ebagx.datasets import load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier
from support.estimator_cases import assert_same_model, make


def test_learns_labels():
    """Each gloss has its class, and those that mention a person have that label too."""
    texts, labels = load_wordnet10()
    y = MultiLabelBinarizer().fit_transform(
        [
            {label, "person"} if "person" in text else {label}
            for text, label in zip(texts, labels, strict=True)
        ]
    )
    vectorizer = CountVectorizer()
    X = vectorizer.fit_transform(texts)
    model = EmbeddingBagClassifier(random_state=0, max_iter=5).fit(X[:8000], y[:8000])
    predicted = model.predict(X[8000:])
    hits = predicted & y[8000:]
    assert 2 * hits.sum() / (predicted.sum() + y[8000:].sum()) > 0.75  # F1


def test_the_three_predictions_agree():
    model, X, y = make("sigmoid", max_iter=30)
    model.fit(X, y)
    scores, chances, predicted = (
        model.decision_function(X),
        model.predict_proba(X),
        model.predict(X),
    )
    assert scores.shape == chances.shape == predicted.shape == (40, 2)
    assert scores.dtype == chances.dtype == np.float32
    np.testing.assert_allclose(chances, 1 / (1 + np.exp(-scores)), rtol=1e-5)
    np.testing.assert_array_equal(predicted, chances > 0.5)
    assert model.multilabel_
    np.testing.assert_array_equal(model.classes_, [0, 1])


@pytest.mark.parametrize(
    "convert", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix, lambda y: y.astype(bool)]
)
def test_every_form_of_indicator_gives_the_same_model(convert):
    model, X, y = make("sigmoid")
    other = clone(model).fit(X, convert(y))
    assert_same_model(model.fit(X, y), other)
    predicted = other.predict(X)
    assert sparse.issparse(predicted) == sparse.issparse(convert(y))
    np.testing.assert_array_equal(
        predicted.toarray() if sparse.issparse(predicted) else predicted, model.predict(X)
    )


def test_stored_zeros_are_no_labels():
    model, X, y = make("sigmoid")
    with_zeros = sparse.csr_array(np.ones_like(y))
    with_zeros.data[:] = y.ravel()
    assert_same_model(clone(model).fit(X, with_zeros), model.fit(X, y))


def test_two_labels_are_not_two_classes():
    """Rows with both, or none, have to be learned."""
    X = sparse.eye_array(4, format="csr", dtype=np.float32)
    y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    model = EmbeddingBagClassifier(8, max_iter=200, batch_size=4, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), y)


def test_indicator_is_not_densified():
    """This indicator would take 20 GB as an array; a batch of it is small."""
    shape = 50_000, 400_000
    y = sparse.csr_array((np.ones(50_000, bool), np.arange(50_000), np.arange(50_001)), shape)
    X = sparse.csr_array((50_000, 3), dtype=np.float32)
    model = EmbeddingBagClassifier(2, random_state=0)
    chosen = np.r_[1.0, np.zeros(49_999)]
    assert model.fit(X, y, chosen).coef_.shape == (400_000, 2)


def test_partial_fit_needs_no_classes_but_the_same_columns():
    model, X, y = make("sigmoid")
    model.partial_fit(X, y)
    with pytest.raises(ValueError, match="^y must have 2 labels as before$"):
        model.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="^y must be an indicator of 2 labels as before$"):
        model.partial_fit(X, y[:, 0])
    single, X, classes = make("softmax")
    single.fit(X, classes)
    with pytest.raises(ValueError, match="^y must have 3 classes, not an indicator, as before$"):
        single.partial_fit(X, y)


@pytest.mark.parametrize("class_weight", [{0: 3.0, 1: 0.5}, "balanced"])
def test_weights_of_labels_are_means_over_those_of_a_row(class_weight):
    model, X, y = make("sigmoid", class_weight=class_weight)
    y = y.copy()
    y[::5] = 0
    y[1::5] = 1
    counts = y.sum(axis=0)
    balanced = counts.sum() / (2 * counts)
    of_label = balanced if class_weight == "balanced" else np.array([3.0, 0.5])
    labels_of_rows = y.sum(axis=1)
    assert set(labels_of_rows.tolist()) == {0, 1, 2}
    weights = np.where(labels_of_rows, y @ of_label / np.maximum(labels_of_rows, 1), 1.0)
    other = clone(model).set_params(class_weight=None).fit(X, y, weights)
    assert_same_model(model.fit(X, y), other)
    twice = clone(model).set_params(class_weight=None).fit(X, y, weights * 2)
    assert_same_model(model.fit(X, y, np.full(len(y), 2.0)), twice)


def test_balanced_weights_of_single_labels_are_those_of_classes():
    _, _, y = make("softmax")
    classes, places = np.unique(y, return_inverse=True)
    indicator = np.eye(len(classes), dtype=int)[places]
    _, weights = EmbeddingBagClassifier(class_weight="balanced")._encoded(y, None, False, None)
    model = EmbeddingBagClassifier(class_weight="balanced")
    np.testing.assert_allclose(model._encoded(indicator, None, False, None)[1], weights)
