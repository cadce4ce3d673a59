"""Test scikit-learn's rules for TextVectorizer, and the features that get a column."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx.datasets import load_langid30, load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier, TextVectorizer
from ebagx.text import lines
from support.ngram_definition import features_of, words_of

TEXTS = ["A small cat.", "a small, small dog", "", "Une caf\u00e9!"]
PAIR = "; char_ngrams must be two integers or None"
OPTIONS = {"word_ngrams": 3, "char_ngrams": (2, 4), "n_buckets": 1000, "min_count": 2}


with warnings.catch_warnings():
    # Most checks have no text to call it with, as for scikit-learn's own vectorizers.
    warnings.simplefilter("ignore", SkipTestWarning)
    rules = parametrize_with_checks([TextVectorizer(), TextVectorizer(**OPTIONS)])


@rules
def test_scikit_learn_rules(estimator, check):
    check(estimator)


def test_words_equal_those_of_count_vectorizer():
    texts = load_wordnet10().texts[:500] + load_langid30().texts[:500]
    theirs = CountVectorizer(tokenizer=words_of, token_pattern=None, dtype=np.float32)
    expected = theirs.fit_transform(texts).toarray()
    ours = TextVectorizer()
    counts = ours.fit_transform(texts)
    assert counts.dtype == np.float32
    assert counts.has_canonical_format is False  # the order is that of the text
    columns = [ours.vocabulary_[name] for name in theirs.get_feature_names_out()]
    np.testing.assert_array_equal(counts.toarray()[:, columns], expected)
    np.testing.assert_array_equal(ours.transform(texts).toarray(), counts.toarray())


def test_columns_are_words_by_frequency_then_buckets():
    vectorizer = TextVectorizer(**OPTIONS)
    counts = vectorizer.fit_transform(TEXTS)
    assert vectorizer.vocabulary_ == {"small": 0, "a": 1}
    names = vectorizer.get_feature_names_out()
    assert names[:2].tolist() == ["small", "a"]
    assert names[2:].tolist() == [f"#{bucket}" for bucket in vectorizer.buckets_]
    assert (np.diff(vectorizer.buckets_) > 0).all()
    for text, row in zip(TEXTS, counts.toarray(), strict=True):
        expected = features_of(text, 3, (2, 4), 1000)
        expected = {k: v for k, v in expected.items() if isinstance(k, int) or k in ("small", "a")}
        found = {k: v for k, v in zip(names, row, strict=True) if v}
        assert found == {k if isinstance(k, str) else f"#{k}": v for k, v in expected.items()}


def test_what_fit_has_not_met_is_left_out():
    vectorizer = TextVectorizer(word_ngrams=2).fit(["a b", "b c"])
    new = vectorizer.transform(["c b a", "x y", "a b c"])
    assert new.shape == (3, 5)
    assert new.toarray().sum(axis=1).tolist() == [3, 0, 5]


def test_many_blocks_are_as_one(monkeypatch):
    texts = load_langid30().texts[:60]
    vectorizer = TextVectorizer(**OPTIONS)
    expected = vectorizer.fit_transform(texts)
    words = vectorizer.vocabulary_
    monkeypatch.setattr(lines, "_BLOCK_LENGTH", 200)
    counts = vectorizer.fit_transform(texts)
    assert vectorizer.vocabulary_ == words
    for result in (counts, vectorizer.transform(texts)):
        for name in ("indices", "indptr", "data"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


def test_pipeline():
    texts, labels = load_wordnet10()
    model = make_pipeline(
        TextVectorizer(word_ngrams=2, n_buckets=2**16), EmbeddingBagClassifier(random_state=0)
    )
    model.fit(texts[:8000], labels[:8000])
    assert model.score(texts[8000:], labels[8000:]) > 0.8
    assert make_pipeline(TextVectorizer(), TfidfTransformer()).fit_transform(TEXTS).shape == (4, 6)


def test_pickle_and_clone():
    vectorizer = TextVectorizer(**OPTIONS).fit(TEXTS)
    copy = pickle.loads(pickle.dumps(vectorizer))
    assert (copy.transform(TEXTS) != vectorizer.transform(TEXTS)).nnz == 0
    assert clone(vectorizer).get_params() == vectorizer.get_params()


def test_a_vectorizer_in_a_memory_map(tmp_path):
    """joblib maps large arrays read-only, also those that it sends to its workers."""
    vectorizer = TextVectorizer(word_ngrams=2, char_ngrams=(3, 4)).fit(["a cat", "a dog"])
    joblib.dump(vectorizer, tmp_path / "vectorizer")
    mapped = joblib.load(tmp_path / "vectorizer", mmap_mode="r")
    texts = ["a cat or a dog", ""]
    assert (mapped.transform(texts) != vectorizer.transform(texts)).nnz == 0


def test_parameters_that_change_after_fit_wait_for_the_next():
    vectorizer = TextVectorizer(char_ngrams=(2, 2), n_buckets=10).fit(TEXTS)
    expected = vectorizer.transform(TEXTS)
    vectorizer.set_params(n_buckets=2**20, word_ngrams=5, char_ngrams=(1, 9))
    assert (vectorizer.transform(TEXTS) != expected).nnz == 0


@pytest.mark.parametrize("documents", [[], [""], ["", "!?"]])
def test_no_features(documents):
    with pytest.raises(ValueError, match=r"^no word occurs at least min_count = 1 times in the"):
        TextVectorizer(char_ngrams=(2, 3)).fit(documents)


def test_too_rare_words():
    with pytest.raises(
        ValueError, match="^no word occurs at least min_count = 4 times in the 4 tex"
    ):
        TextVectorizer(min_count=4).fit(TEXTS)
    vectorizer = TextVectorizer(min_count=4, word_ngrams=2).fit(TEXTS)
    assert vectorizer.vocabulary_ == {}
    assert vectorizer.transform(TEXTS[:1]).nnz == 2


def test_transform_nothing():
    empty = TextVectorizer().fit(TEXTS).transform([])
    assert empty.shape == (0, 6)
    assert empty.dtype == np.float32


def test_not_fitted():
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(TextVectorizer(), method)(TEXTS)


@pytest.mark.parametrize(
    ("documents", "error", "problem"),
    [
        ("a text", ValueError, "raw_documents must be an iterable of texts, got a single string"),
        (b"a text", ValueError, "raw_documents must be an iterable of texts, got a single string"),
        (["a", b"b"], TypeError, "raw_documents[1] must be str, got bytes"),
        (["a", np.nan], TypeError, "raw_documents[1] must be str, got float"),
        (["a\ud800"], ValueError, "text 0 of 1 has the surrogate"),
    ],
)
def test_bad_documents(documents, error, problem):
    vectorizer = TextVectorizer().fit(TEXTS)
    for method in (TextVectorizer().fit, vectorizer.transform):
        with pytest.raises(error) as caught:
            method(documents)
        assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"word_ngrams": 0}, ValueError, "word_ngrams must be at least 1, got 0"),
        ({"word_ngrams": 9}, ValueError, "word_ngrams must be at most 8, got 9"),
        ({"word_ngrams": 2.0}, TypeError, "word_ngrams must be an integer, got 2.0"),
        ({"min_count": 0}, ValueError, "min_count must be at least 1, got 0"),
        ({"min_count": True}, TypeError, "min_count must be an integer, got True"),
        ({"n_buckets": 0}, ValueError, "n_buckets must be at least 1, got 0"),
        ({"n_buckets": 2**29}, ValueError, "n_buckets must be at most 268435456, got 536870912"),
        ({"char_ngrams": 3}, ValueError, "char_ngrams must be two integers or None, got 3"),
        ({"char_ngrams": (3,)}, ValueError, "char_ngrams must be two integers or None, got (3,)"),
        ({"char_ngrams": (0, 3)}, ValueError, "char_ngrams[0] must be at least 1, got 0" + PAIR),
        ({"char_ngrams": (3, 2)}, ValueError, "char_ngrams[1] must be at least 3, got 2" + PAIR),
        ({"char_ngrams": (3, 33)}, ValueError, "char_ngrams[1] must be at most 32, got 33" + PAIR),
        ({"lowercase": "no"}, TypeError, "lowercase must be True or False, got 'no'"),
        ({"char_ngrams": (3, "4")}, TypeError, "char_ngrams[1] must be an integer, got '4'" + PAIR),
    ],
)  # fmt: skip
def test_bad_parameters(options, error, problem):
    with pytest.raises(error) as caught:
        TextVectorizer(**options).fit(TEXTS)
    assert str(caught.value) == problem


@pytest.mark.parametrize("form", ["array", "stream"])
def test_columns_of_arrow(form):
    """The entries of pyarrow's columns are no str until they are converted."""

    class Column:
        def to_pylist(self):
            return ["a b", "b"]

        def __iter__(self):
            return iter([object(), object()])

    setattr(Column, f"__arrow_c_{form}__", lambda self: None)
    counts = TextVectorizer().fit_transform(Column())
    np.testing.assert_array_equal(counts.toarray(), [[1, 1], [1, 0]])


def test_columns_of_pyarrow():
    pa = pytest.importorskip("pyarrow")
    expected = TextVectorizer().fit_transform(["a b", "b"]).toarray()
    for column in (pa.array(["a b", "b"]), pa.chunked_array([["a b"], ["b"]])):
        np.testing.assert_array_equal(TextVectorizer().fit_transform(column).toarray(), expected)
    with pytest.raises(TypeError, match=r"^raw_documents\[1\] must be str, got NoneType; drop"):
        TextVectorizer().fit(pa.array(["a", None]))


def test_output_is_sparse_whatever_scikit_learn_is_set_to():
    """As that of CountVectorizer, which has no set_output either."""
    pytest.importorskip("pandas")
    texts, labels = ["a cat", "a soup"] * 9, [0, 1] * 9
    expected = TextVectorizer().fit_transform(texts)
    for container in ("pandas", "default"):
        with sklearn.config_context(transform_output=container):
            vectorizer = TextVectorizer()
            assert not hasattr(vectorizer, "set_output")
            for found in (vectorizer.fit_transform(texts), vectorizer.transform(texts)):
                assert sparse.issparse(found)
                np.testing.assert_array_equal(found.toarray(), expected.toarray())
            pipeline = make_pipeline(TextVectorizer(), EmbeddingBagClassifier(random_state=0))
            assert pipeline.fit(texts, labels).score(texts, labels) == 1
