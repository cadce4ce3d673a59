"""Test the classifier of texts: training, answers, errors, and its manners as an estimator."""

import copy
import pickle
import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from ebagx._training.steps import Steps
from ebagx.cli.run import main
from ebagx.datasets import load_wordnet10
from ebagx.io.model_folder import load_model as load_text_model
from ebagx.sklearn import EmbeddingBagClassifier, TextVectorizer
from ebagx.text import TextClassifier, load_model
from ebagx.text.model import Settings
from ebagx.text.targets import label_lists
from support.estimator_cases import assert_same_model

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
LISTS = [["cat", "small"], ["cat"], ["dog"], ["dog"], [], ["food"]]
INDICATOR = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1], [0, 0]])
SMALL = {"dim": 4, "epochs": 60, "random_state": 0}
# Words and pairs of a text, on average, and texts of a batch.
EPS = len(TEXTS) / sum(2 * len(text.split()) - 1 for text in TEXTS) / 128


def fitted(**options):
    return TextClassifier(**{**SMALL, **options}).fit(TEXTS, LABELS)


def several(y=LISTS, **options):
    return TextClassifier(**{**SMALL, "loss": "ova", **options}).fit(TEXTS, y)


def test_answers():
    model = fitted()
    assert model.predict(TEXTS).tolist() == LABELS
    assert model.classes_.tolist() == ["cat", "dog", "food"]
    assert not model.multilabel_
    assert model.score(TEXTS, LABELS) == 1
    assert model.n_iter_ == len(model.loss_curve_) == 60
    assert model.vectors(TEXTS).shape == (6, 4)
    assert model.vectors(["unknown"]).tolist() == [[0] * 4]
    probabilities = model.predict_proba(TEXTS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(TEXTS)), probabilities, rtol=1e-5)
    scores = model.decision_function(TEXTS)
    assert scores.argmax(axis=1).tolist() == probabilities.argmax(axis=1).tolist()
    assert model.embedding_.shape == (model.n_features_, 4)
    for name in ("coef_", "intercept_"):
        assert len(getattr(model, name)) == 3


def test_log_probabilities_are_finite():
    model = fitted()
    model._model.coef[:] *= 1000
    assert np.isfinite(model.predict_log_proba(TEXTS)).all()
    assert model.predict_proba(TEXTS).min() == 0


def test_two_classes_have_one_score():
    model = TextClassifier(**SMALL).fit(TEXTS[:4], LABELS[:4])
    scores = model.decision_function(TEXTS[:4])
    assert scores.shape == (4,)
    assert (scores > 0).tolist() == [False, False, True, True]


def test_predict_top():
    model = fitted()
    (first, *_), _ = top = model.predict_top(["a cat", "pie"], k=2)
    assert first[0] == "cat"
    assert [len(row) for row in top] == [2, 2]
    assert first[1] == model.predict_proba(["a cat"]).max()
    assert [len(row) for row in model.predict_top(TEXTS, k=9, threshold=0.5)] == [1] * 6
    assert model.predict_top([]) == []
    with pytest.raises(ValueError, match=r"^threshold must be in \[0, 1\), got 1.0$"):
        model.predict_top(TEXTS, threshold=1.0)
    with pytest.raises(ValueError, match="^k must be at least 1, got 0$"):
        model.predict_top(TEXTS, k=0)


def test_words_of_texts_and_labels():
    model = fitted()
    assert {word for word, _ in model.keywords("cat", 2)} == {"cat", "purrs"}
    found = model.nearest("cat", 3)
    assert len(found) == 3
    assert found[0][1] == max(cosine for _, cosine in found) <= 1.001
    assert "cat" not in dict(found)
    assert dict(model.nearest("a cat", 99))["cat"] > 0.5
    with pytest.raises(ValueError, match="^nothing in the text 'zzz' is known to the model$"):
        model.nearest("zzz")
    with pytest.raises(TypeError, match="^text must be str, got list$"):
        model.nearest(["cat"])
    with pytest.raises(ValueError, match="^label must be one of classes_, got 'bird'$"):
        model.keywords("bird")


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, []),
        ({"char_ngrams": (2, 3), "word_ngrams": 1}, ["--minn=2", "--maxn=3", "--word-ngrams=1"]),
        ({"tokenizer": "whitespace"}, ["--tokenizer=whitespace"]),
    ],
)
def test_the_model_is_that_of_the_command_line(tmp_path, options, arguments):
    texts, labels = load_wordnet10()
    texts, labels = texts[:500], labels[:500]
    lines = "".join(f"{label}\t{text}\n" for label, text in zip(labels, texts, strict=True))
    (tmp_path / "train.tsv").write_text(lines, "utf-8")
    command = ["train", str(tmp_path / "train.tsv"), "--model", str(tmp_path / "m")]
    main([*command, "--held-out=0", *arguments])
    expected = load_text_model(tmp_path / "m")
    model = TextClassifier(random_state=0, **options).fit(texts, labels)
    for name in ("embedding", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(model, name + "_"), getattr(expected, name))


def test_defaults_are_those_of_the_command_line():
    found = TextClassifier(random_state=0)
    assert found._settings == Settings()
    assert found._cutter == Settings().cutter
    assert TextClassifier(lowercase=False)._cutter.lowercase is False


def test_it_is_a_pipeline_of_vectorizer_and_classifier():
    vectorizer = TextVectorizer(word_ngrams=2)
    classifier = EmbeddingBagClassifier(4, learning_rate=0.2, schedule="linear", max_iter=60)
    classifier._table_eps = EPS
    other = make_pipeline(vectorizer, classifier.set_params(random_state=0)).fit(TEXTS, LABELS)
    assert_same_model(_attributes(fitted()), other[-1])
    np.testing.assert_allclose(fitted().predict_proba(TEXTS), other.predict_proba(TEXTS), rtol=1e-5)


def _attributes(model):
    return model._learner


@pytest.mark.parametrize("y", [LISTS, [set(labels) for labels in LISTS], INDICATOR])
def test_several_labels(y):
    model = several(y)
    assert model.multilabel_
    assert model.score(TEXTS, y) == 1
    found = model.predict(TEXTS)
    if isinstance(y, np.ndarray):
        np.testing.assert_array_equal(found, y)
        assert model.classes_.tolist() == [0, 1]
        assert accuracy_score(y, found) == 1
    else:
        assert list(map(set, found)) == list(map(set, y))
        assert model.classes_.tolist() == ["cat", "dog", "food", "small"]
        assert model.score(TEXTS, [list(labels)[::-1] for labels in y]) == 1
        assert model.score(TEXTS, [["other"], *y[1:]]) == 5 / 6
        assert model.score(TEXTS, [list(labels)[::-1] for labels in y]) == 1
        assert model.score(TEXTS, [["other"], *y[1:]], [5, 1, 1, 1, 1, 1]) == 0.5
    np.testing.assert_allclose(
        model.predict_log_proba(TEXTS), np.log(model.predict_proba(TEXTS)), rtol=1e-4, atol=1e-6
    )


def test_forms_of_indicators():
    expected = several(INDICATOR)
    for y in (INDICATOR.tolist(), sparse.csr_array(INDICATOR), sparse.coo_matrix(INDICATOR)):
        assert_same_model(_attributes(several(y)), _attributes(expected))


def test_repeated_labels_count_once():
    twice = [[*labels, *labels] for labels in LISTS]
    assert label_lists(twice) == LISTS
    assert_same_model(_attributes(several(twice)), _attributes(several()))


def test_labels_of_other_types():
    numbers = np.array([5, 5, -1, -1, 30, 30])
    model = TextClassifier(**SMALL).fit(TEXTS, numbers)
    assert model.predict(TEXTS).tolist() == numbers.tolist()
    assert model.predict_top(["pie"], 1)[0][0][0] == 30
    assert model.keywords(-1, 1)[0][0] in ("dogs", "bark", "dog", "barks", "big")


@pytest.mark.parametrize("form", ["array", "objects", "tuple", "generator", "series", "arrow"])
def test_forms_of_texts(form):
    if form == "series":
        pandas = pytest.importorskip("pandas")
        texts, labels = pandas.Series(TEXTS, index=range(6, 0, -1)), pandas.Series(LABELS)
    elif form == "arrow":
        pyarrow = pytest.importorskip("pyarrow")
        texts, labels = pyarrow.chunked_array([TEXTS[:2], TEXTS[2:]]), pyarrow.array(LABELS)
    else:
        make = {"array": np.array, "tuple": tuple, "generator": iter}.get(form)
        texts = np.array(TEXTS, object) if make is None else make(TEXTS)
        labels = LABELS
    model = TextClassifier(**SMALL).fit(texts, labels)
    assert_same_model(_attributes(model), _attributes(fitted()))


class Arrow:
    """A column of Arrow has entries that are objects of its own."""

    def __init__(self, values):
        self.values = values

    def to_pylist(self):
        return self.values

    def __arrow_c_array__(self):
        raise AssertionError

    def __iter__(self):
        return iter([object() for _ in self.values])


def test_columns_of_arrow():
    model = TextClassifier(**SMALL).fit(Arrow(TEXTS), Arrow(LABELS))
    assert_same_model(_attributes(model), _attributes(fitted()))


def frame():
    return pytest.importorskip("pandas").DataFrame({"text": TEXTS})


@pytest.mark.parametrize(
    ("texts", "error", "problem"),
    [
        ("a text", ValueError, "X must be an iterable of texts, got a single string; [text] is"),
        (frame, ValueError, "X must be one column of texts, got a DataFrame; X['column']"),
        (np.array([["a"], ["b"]]), ValueError, "X must be an iterable of texts, got an array"),
        (sparse.eye_array(3), ValueError, "X must be an iterable of texts, got a sparse matrix;"),
        ([[1, 2], [3]], TypeError, "X[0] must be str, got list; csr_from_bags makes"),
        ([1, 2, 3], TypeError, "X[0] must be str, got int; csr_from_bags makes"),
        (["a", None], TypeError, "X[1] must be str, got NoneType; drop or replace missing texts"),
        (["a", np.nan], TypeError, "X[1] must be str, got float; drop or replace missing texts"),
        (
            ["a", np.ma.masked],
            TypeError,
            "X[1] must be str, got MaskedConstant; drop or replace missing texts",
        ),
        (["a", np.datetime64("NaT")], TypeError, "X[1] must be str, got datetime64"),
        ({"text": ["a"]}, ValueError, "X must be one column of texts, got a dict; X['column'] is"),
        (
            SimpleNamespace(columns=["text"]),  # as frames of polars and tables of Arrow
            ValueError,
            "X must be one column of texts, got a SimpleNamespace; X['column'] is one, and so is",
        ),
        ([b"a"], TypeError, "X[0] must be str, got bytes"),
        (7, TypeError, "X must be an iterable, got int"),
        (["a\ud800"], ValueError, "text 0 of 1 has the surrogate"),
    ],
)
def test_bad_texts(texts, error, problem):
    texts = texts() if callable(texts) else texts
    model = fitted()
    for method in (model.predict, model.predict_proba, model.predict_top, model.vectors):
        with pytest.raises(error) as caught:
            method(texts)
        assert str(caught.value).startswith(problem)
    with pytest.raises(error) as caught:
        TextClassifier().fit(texts, ["a", "b"] if isinstance(texts, list) else LABELS)
    assert "X" in str(caught.value) or "text" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "y", "problem"),
    [
        ({}, np.arange(6) / 7, "Unknown label type: continuous; y must be labels, for numbers"),
        ({}, LABELS[:5], "X and y must have one length, got 6 texts and 5 labels"),
        ({}, ["a"] * 6, "y must hold at least 2 classes, got 1 class: a"),
        ({}, [], "y must hold at least 2 classes, got 0 class"),
        ({}, LISTS, "y must have one label a text with loss='softmax', got lists of labels;"),
        ({}, INDICATOR, "y must have one label a text with loss='softmax', got an indicator;"),
        ({"loss": "ova"}, LABELS, "y must be lists of labels or an indicator with loss='ova'; ["),
        ({"loss": "ova"}, [["a"]] * 6, "y must hold at least 2 classes, got 1 class: a"),
        ({"loss": "ova"}, INDICATOR * 2, "y must be an indicator of 0 and 1, got other numbers"),
        (
            {"loss": "ova"},
            INDICATOR + np.arange(2),
            "Unknown label type: multiclass-multioutput; a",
        ),
        (
            {"loss": "ova", "class_weight": {"bird": 1}},
            LISTS,
            "The classes, ['cat', 'dog', 'food', 'small'], are not in class_weight",
        ),
        ({"class_weight": {"cat": -1, "dog": 1, "food": 1}}, LABELS, "class_weight of class cat"),
        ({"epochs": 0}, LABELS, "epochs must be at least 1, got 0"),
        ({"loss": "hinge"}, LABELS, "loss must be one of 'softmax', 'ova', got 'hinge'"),
        (
            {"tokenizer": "words-1"},
            LABELS,
            "tokenizer must be one of 'words', 'whitespace', 'fasttext' or a callable",
        ),
        ({"char_ngrams": (3, 2)}, LABELS, "char_ngrams[1] must be at least 3, got 2"),
        ({"min_count": 9}, LABELS, "no word occurs at least min_count = 9 times in the 6 texts"),
    ],
)
def test_bad_labels_and_parameters(options, y, problem):
    model = fitted()
    before = copy.deepcopy(model.__dict__)
    model.set_params(**{"word_ngrams": 1, **options})
    with pytest.raises(ValueError, match="^" + re.escape(problem)):
        model.fit(TEXTS, y)
    np.testing.assert_array_equal(model.embedding_, before["_model"].embedding)
    assert model.loss_curve_ == before["loss_curve_"]


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="^X must hold at least 1 text, got 0 texts$"):
        TextClassifier().fit([], [])
    with pytest.raises(ValueError, match="^requires y to be passed"):
        TextClassifier().fit(TEXTS, None)


def test_a_loss_that_diverges(monkeypatch):
    model = fitted()
    before = model.predict_proba(TEXTS)
    monkeypatch.setattr(Steps, "make_pass", lambda *_: np.nan)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="^the loss diverged in pass .*learning_rate = 0.2 is"):
            call(TEXTS, LABELS)
        np.testing.assert_array_equal(model.predict_proba(TEXTS), before)


def test_not_fitted():
    model = TextClassifier()
    for name in ("predict", "predict_proba", "predict_top", "vectors", "decision_function"):
        with pytest.raises(NotFittedError, match="not fitted yet: call fit, or load_model"):
            getattr(model, name)(TEXTS)
    for call in (lambda: model.save("x"), lambda: model.score(TEXTS, LABELS)):
        with pytest.raises(NotFittedError):
            call()
    assert not hasattr(model, "embedding_")
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    check_is_fitted(fitted())


def test_weights():
    with_weights = TextClassifier(**SMALL, class_weight={"cat": 1, "dog": 2, "food": 0.5})
    by_hand = TextClassifier(**SMALL)
    weights = [1, 1, 2, 2, 0.5, 0.5]
    assert_same_model(
        _attributes(with_weights.fit(TEXTS, LABELS)),
        _attributes(by_hand.fit(TEXTS, LABELS, weights)),
    )
    assert with_weights.predict_proba(TEXTS).tolist() != fitted().predict_proba(TEXTS).tolist()
    balanced = TextClassifier(**SMALL, class_weight="balanced").fit(TEXTS, LABELS)
    assert_same_model(_attributes(balanced), _attributes(fitted()))


def test_weights_of_several_labels():
    labels = sorted({label for row in LISTS for label in row})
    class_weight = {label: 1.0 + 2 * i for i, label in enumerate(labels)}
    weights = [np.mean([class_weight[label] for label in row]) if row else 1.0 for row in LISTS]
    with_weights = TextClassifier(**SMALL, loss="ova", class_weight=class_weight)
    by_hand = TextClassifier(**SMALL, loss="ova").fit(TEXTS, LISTS, weights)
    assert_same_model(_attributes(with_weights.fit(TEXTS, LISTS)), _attributes(by_hand))


def test_early_stopping():
    texts, labels = load_wordnet10()
    model = TextClassifier(early_stopping=True, epochs=40, random_state=0)
    model.fit(texts[:2000], labels[:2000])
    assert model.n_iter_ < 40
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_threads_change_nothing():
    expected = fitted(num_threads=1)
    found = fitted(num_threads=2)
    assert_same_model(_attributes(found), _attributes(expected))
    found.set_params(num_threads=1)
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    with pytest.raises(ValueError, match="^num_threads must be at least 1 or None, got 0$"):
        found.set_params(num_threads=0).predict(TEXTS)


def test_rates_of_fit_and_partial_fit():
    def optimizers(model):
        return [(o.learning_rate, o.eps) for o in model._learner._state.optimizers]

    model = TextClassifier(**SMALL).partial_fit(TEXTS, LABELS, LABELS)
    assert optimizers(model) == [(0.2, EPS), (0.2, 1e-10)]
    model.partial_fit(TEXTS[:2], LABELS[:2])  # of other lengths, but the state of the optimizers
    assert optimizers(model) == [(0.2, EPS), (0.2, 1e-10)]
    model = fitted().partial_fit([""], LABELS[:1])  # a new state, and a text without features
    assert optimizers(model) == [(0.2, EPS), (0.2, 1e-10)]
    model = TextClassifier(**SMALL).partial_fit([""] * 99 + TEXTS, ["cat"] * 99 + LABELS, LABELS)
    assert optimizers(model) == [(0.2, 1 / 128), (0.2, 1e-10)]
    assert fitted()._learner.schedule == "linear"
    assert several()._learner.schedule is None


def test_models_of_numpy_numbers_are_saved(tmp_path):
    numbers = {"epochs": 3, "batch_size": 2, "min_count": 1, "word_ngrams": 2, "n_buckets": 99}
    numbers |= {"negatives": 2, "n_iter_no_change": 2, "dim": 4}
    options = {name: np.int64(value) for name, value in numbers.items()}
    options |= {"char_ngrams": (np.int64(1), np.int64(2)), "learning_rate": np.float32(0.5)}
    model = TextClassifier(**options, random_state=np.int64(1)).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert {name: getattr(loaded, name) for name in numbers} == numbers
    assert (loaded.char_ngrams, loaded.learning_rate) == ((1, 2), 0.5)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "negatives", "n_iter_no_change"])
def test_numbers_that_files_cannot_hold_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name} must be at most 9223372036854775807.*, got "):
        TextClassifier(**{name: 2**63}).fit(TEXTS, LABELS)


def test_copies():
    model = fitted()
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict_proba(TEXTS), model.predict_proba(TEXTS))
        other.partial_fit(TEXTS, LABELS)
        assert (other.embedding_ != model.embedding_).any()
    assert not hasattr(clone(model), "classes_")
    assert clone(model).get_params() == model.get_params()
    assert repr(TextClassifier(5, char_ngrams=(2, 3))) == (
        "TextClassifier(char_ngrams=(2, 3), dim=5)"
    )


def test_tools_of_scikit_learn():
    texts, labels = load_wordnet10()
    texts, labels = texts[:600], labels[:600]
    model = TextClassifier(4, epochs=5, random_state=0, learning_rate=0.5)
    assert is_classifier(model)
    assert np.mean(cross_val_score(model, texts, labels, cv=3)) > 0.3
    search = GridSearchCV(model, {"dim": [2, 4]}, cv=2).fit(texts, labels)
    assert search.predict(texts[:2]).shape == (2,)
    search = GridSearchCV(model, {"dim": [2]}, cv=2, scoring="neg_log_loss").fit(texts, labels)
    assert search.best_score_ > -np.log(10)
    calibrated = CalibratedClassifierCV(model, cv=2).fit(texts, labels)
    np.testing.assert_allclose(calibrated.predict_proba(texts[:3]).sum(axis=1), 1)
    shouting = make_pipeline(FunctionTransformer(lambda texts: [t.upper() for t in texts]), model)
    assert shouting.fit(texts, labels).score(texts, labels) > 0.5


def test_a_column_of_a_frame():
    table = frame()
    column = make_pipeline(
        ColumnTransformer([("words", TextVectorizer(), "text")]), EmbeddingBagClassifier()
    )
    column.fit(table, LABELS)
    assert fitted().predict(table["text"]).tolist() == LABELS


@pytest.mark.parametrize(
    "name",
    [
        *("check_parameters_default_constructible", "check_no_attributes_set_in_init"),
        *("check_get_params_invariance", "check_set_params", "check_estimator_repr"),
        *("check_estimator_tags_renamed", "check_valid_tag_types", "check_estimator_cloneable"),
        *("check_do_not_raise_errors_in_init_or_set_params", "check_mixin_order"),
    ],
)
def test_rules_of_estimators(name):
    getattr(estimator_checks, name)("TextClassifier", TextClassifier())


def test_parameters_stay_as_they_are():
    model = TextClassifier(**SMALL, char_ngrams=[2, 3])
    before = model.get_params()
    model.fit(TEXTS, LABELS).predict(TEXTS)
    assert model.get_params() == before
    assert set(model._constraints) == set(before)


def test_negatives():
    """They are the estimator's, also where the bags are made in each pass."""
    labels = [f"label {i % 50}" for i in range(300)]
    texts = [f"word{i % 50} of text {i % 7}" for i in range(300)]
    options = {"negatives": 5, "epochs": 3, "dim": 8, "random_state": 0}
    model = TextClassifier(**options).fit(texts, labels)
    assert model.get_params()["negatives"] == 5
    assert not np.array_equal(model.coef_, model.set_params(negatives=50).fit(texts, labels).coef_)
    lists = [[label, "all"] for label in labels]
    several = TextClassifier(loss="ova", **options).fit(texts, lists)
    assert (several.predict_proba(texts)[:, several.classes_ == "all"] > 0.5).all()
    with pytest.raises(ValueError, match="negatives must be at least 1 or None, got 0"):
        TextClassifier(negatives=0).fit(texts, labels)


def test_counts_are_those_that_files_can_hold(tmp_path):
    """A saved model with a larger `min_count` could not be loaded."""
    model = TextClassifier(min_count=2**63, word_ngrams=2)
    with pytest.raises(ValueError, match="min_count must be"):
        model.fit(["a cat", "a dog"], ["cat", "dog"])
    model.set_params(min_count=2**63 - 1).fit(["a cat", "a dog"], ["cat", "dog"])
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").min_count == 2**63 - 1
