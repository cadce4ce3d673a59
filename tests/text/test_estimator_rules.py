"""Test that the classifier of texts keeps scikit-learn's rules, whose checks take numbers only."""

import pickle
from itertools import starmap

import numpy as np
import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from ebagx.text import TextClassifier

TEXTS = [
    "a small cat",
    "a cat purrs",
    "dogs bark",
    "a big dog barks",
    "pie of \u00e4pfel",
    "pie",
] * 4
LABELS = ["cat", "cat", "dog", "dog", "food", "food"] * 4
LISTS = [["cat", "small"], ["cat"], ["dog"], ["dog", "small"], ["food"], ["food"]] * 4
FORMS = [
    {},
    {"loss": "ova"},
    {"tokenizer": str.split},
    {"early_stopping": True},
    {"warm_start": True},
    {"class_weight": "balanced"},
]


def make(**options):
    return TextClassifier(**{"dim": 4, "epochs": 5, "random_state": 0, **options})


def target(options):
    return LISTS if "loss" in options else LABELS


@pytest.fixture(params=FORMS, ids=str)
def case(request):
    return make(**request.param), target(request.param)


def answers(model):
    return model.predict_proba(TEXTS)


def test_fit_returns_the_estimator_and_changes_no_parameter(case):
    model, y = case
    before = model.get_params()
    assert model.fit(TEXTS, y) is model
    assert model.get_params() == before
    assert all(model.get_params()[name] is value for name, value in before.items())


def test_fit_and_predict_change_no_argument(case):
    model, y = case
    texts, labels = list(TEXTS), [list(row) if isinstance(row, list) else row for row in y]
    weights = np.ones(len(TEXTS))
    model.fit(texts, labels, sample_weight=weights).predict(texts)
    assert (texts, labels, weights.tolist()) == (TEXTS, y, [1] * len(TEXTS))


def test_fit_twice(case):
    model, y = case
    first = answers(model.fit(TEXTS, y))
    model.set_params(warm_start=False)
    np.testing.assert_array_equal(answers(model.fit(TEXTS, y)), first)
    other = answers(model.fit(TEXTS[::-1], y[::-1]))
    np.testing.assert_array_equal(answers(model.fit(TEXTS, y)), first)
    assert (other != first).any()


def test_attributes_of_a_fitted_estimator_end_with_a_line(case):
    model, y = case
    with pytest.raises(NotFittedError):
        model.predict(TEXTS)
    given = set(vars(model))
    model.fit(TEXTS, y)
    public = {name for name in set(vars(model)) - given if not name.startswith("_")}
    assert all(name.endswith("_") for name in public)
    assert len(model.classes_) == len(
        {label for row in LISTS for label in row} if y is LISTS else set(y)
    )


def test_copies(case):
    model, y = case
    model.fit(TEXTS, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(answers(again), answers(model))
    fresh = clone(model)
    assert not hasattr(fresh, "classes_")
    np.testing.assert_array_equal(answers(fresh.fit(TEXTS, y)), answers(model))


def test_methods_do_not_depend_on_the_texts_beside(case):
    model, y = case
    model.fit(TEXTS, y)
    for method in (model.predict_proba, model.decision_function, model.vectors):
        whole = method(TEXTS)
        parts = np.concatenate([method([text]) for text in TEXTS])
        np.testing.assert_array_equal(parts, whole)
        order = np.random.default_rng(0).permutation(len(TEXTS))
        np.testing.assert_array_equal(method([TEXTS[i] for i in order]), whole[order])


def test_weights_of_1_are_no_weights(case):
    model, y = case
    expected = answers(model.fit(TEXTS, y))
    model.set_params(warm_start=False)
    for weights in (None, np.ones(24), [1] * 24):
        np.testing.assert_array_equal(answers(model.fit(TEXTS, y, weights)), expected)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(TEXTS, y, [-1] * 24)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(TEXTS, y, [1] * 23)


def test_weights_are_repetitions():
    """Words have embeddings whatever the weights of their texts, so that all texts are there."""
    weights = np.array([2, 1, 1, 1, 1, 1] * 4)
    model = make(epochs=40, batch_size=1000)
    weighted = answers(model.fit(TEXTS, LABELS, weights))
    repeated = [text for text, w in zip(TEXTS, weights, strict=True) for _ in range(w)]
    labels = [label for label, w in zip(LABELS, weights, strict=True) for _ in range(w)]
    np.testing.assert_allclose(answers(model.fit(repeated, labels)), weighted, atol=0.1)


def test_searches_and_scores():
    search = GridSearchCV(make(), {"word_ngrams": [1, 2], "tokenizer": ["words", str.split]}, cv=2)
    assert search.fit(TEXTS, LABELS).best_score_ > 0.9
    scores = cross_validate(
        make(), TEXTS, LABELS, scoring=["accuracy", "f1_macro", "neg_log_loss"], cv=2
    )
    assert set(scores) >= {"test_accuracy", "test_f1_macro", "test_neg_log_loss"}
    found = cross_val_predict(make(), TEXTS, LABELS, method="predict_proba", cv=2)
    assert found.shape == (24, 3)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"cat": 2, "dog": 1, "food": 1}])
def test_calibration(class_weight):
    calibrated = CalibratedClassifierCV(make(class_weight=class_weight), cv=2)
    calibrated.fit(TEXTS, LABELS, sample_weight=np.linspace(1, 2, 24))
    assert calibrated.predict(TEXTS).tolist() == LABELS


def test_committees():
    members = [("one", make()), ("two", make(random_state=1))]
    texts = np.array(TEXTS, object)
    for committee in (VotingClassifier(members, voting="soft"), StackingClassifier(members, cv=2)):
        assert committee.fit(texts, LABELS).predict(texts).tolist() == LABELS
    several = OneVsRestClassifier(make(epochs=20)).fit(TEXTS, LABELS)
    assert several.predict(TEXTS).tolist() == LABELS


def test_weights_are_routed_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        model = make().set_fit_request(sample_weight=True)
        weights = np.linspace(1, 2, 24)
        piped = make_pipeline(model).fit(TEXTS, LABELS, sample_weight=weights)
    expected = make().fit(TEXTS, LABELS, weights)
    np.testing.assert_array_equal(answers(piped), answers(expected))


@pytest.mark.parametrize("y", [LISTS, [[int("cat" in row), int("small" in row)] for row in LISTS]])
@pytest.mark.parametrize("class_weight", ["balanced", "dict"])
def test_weights_of_classes_with_several_labels(y, class_weight):
    texts, y = TEXTS[2:], y[2:]
    plain = make(loss="ova", epochs=20).fit(texts, y)
    if class_weight == "dict":
        class_weight = dict(zip(plain.classes_.tolist(), [3, *[1] * 9], strict=False))
    model = make(loss="ova", epochs=20, class_weight=class_weight).fit(texts, y)
    assert (answers(model) != answers(plain)).any()
    assert np.mean(list(starmap(np.array_equal, zip(model.predict(texts), y, strict=True)))) > 0.5


def test_pages_of_notebooks():
    assert "TextClassifier" in make()._repr_html_()
    assert "TextClassifier" in make().fit(TEXTS, LABELS)._repr_html_()


def test_the_label_of_a_text_may_have_a_name():
    pandas = pytest.importorskip("pandas")
    texts, labels = pandas.Series(TEXTS, name="text"), pandas.Series(LABELS, dtype="category")
    model = make().fit(texts, labels)
    assert model.classes_.tolist() == ["cat", "dog", "food"]
    model.partial_fit(texts, pandas.Series(["cat", "owl"] * 12))
    assert model.classes_.tolist() == ["cat", "dog", "food", "owl"]
