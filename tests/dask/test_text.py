"""Test that texts in collections of Dask become the matrix that they are in memory."""

import pickle

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("dask.array")

import dask.array as da
import dask.bag as db
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer

from dask import delayed
from ebagx.dask import DaskTextVectorizer, vectorize
from ebagx.datasets import load_langid30, load_wordnet10
from ebagx.sklearn import TextVectorizer

TEXTS = load_wordnet10().texts[:300] + load_langid30().texts[:300]
NGRAMS = {"word_ngrams": 3, "char_ngrams": (2, 4), "n_buckets": 1000, "min_count": 2}


@pytest.fixture(autouse=True)
def one_thread():
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


def bag_of(texts, lengths):
    """Return a bag with partitions of some lengths, which may be 0."""
    ends = np.cumsum(lengths)
    assert ends[-1] == len(texts)
    parts = [texts[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    return db.from_delayed([delayed(part) for part in parts])


def series_of(texts, lengths):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    ends = np.cumsum(lengths)
    column = pd.Series(texts, name="text")
    parts = [column[end - n : end] for end, n in zip(ends, lengths, strict=True)]
    return dd.from_delayed([delayed(part.to_frame()) for part in parts])["text"]


def array_of(texts, lengths):
    return da.from_array(np.array(texts, object), chunks=(tuple(lengths),))


def assert_same_matrix(found, expected):
    assert type(found) is type(expected)
    assert found.shape == expected.shape
    for name in ("data", "indices", "indptr"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(ours, theirs)
    assert found.dtype == expected.dtype


def assert_same_features(found, expected):
    assert list(found.vocabulary_.items()) == list(expected.vocabulary_.items())
    np.testing.assert_array_equal(found.buckets_, expected.buckets_)


KINDS = {"bag": bag_of, "series": series_of, "array": array_of}


@pytest.mark.parametrize("options", [{}, NGRAMS, {"tokenizer": "fasttext"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_all_bits_are_those_of_local_texts(kind, options):
    texts = KINDS[kind](TEXTS, [200, 1, 250, 149])
    local, ours = TextVectorizer(**options), DaskTextVectorizer(**options)
    expected = local.fit_transform(TEXTS)
    lazy = ours.fit_transform(texts)
    assert lazy.numblocks == (4, 1)
    assert lazy.dtype == np.float32
    assert isinstance(lazy._meta, sparse.csr_array)
    assert_same_matrix(lazy.compute(), expected)
    assert_same_features(ours, local)


@pytest.mark.parametrize("n_parts", [1, 2, 8, 9, 65])
def test_any_number_of_partitions(n_parts):
    """Nine partitions are merged in two steps, 65 in three."""
    texts = TEXTS[:130]
    local = TextVectorizer(**NGRAMS).fit(texts)
    lengths = np.bincount(np.arange(130) * n_parts // 130, minlength=n_parts)
    assert_same_features(DaskTextVectorizer(**NGRAMS).fit(bag_of(texts, lengths)), local)


def test_empty_partitions():
    texts = bag_of(TEXTS, [0, 300, 0, 300, 0])
    expected = TextVectorizer().fit_transform(TEXTS)
    assert_same_matrix(DaskTextVectorizer().fit_transform(texts).compute(), expected)
    hashed = vectorize(texts, HashingVectorizer(n_features=64)).compute()
    assert hashed.shape == (600, 64)


def test_equally_frequent_words_stand_as_they_occur():
    vectorizer = DaskTextVectorizer().fit(bag_of(["b a", "c", "d c a b"], [1, 1, 1]))
    assert list(vectorizer.vocabulary_) == ["b", "a", "c", "d"]


def test_the_most_frequent_words_alone():
    texts = ["b a", "c", "d c a b"]
    vectorizer = DaskTextVectorizer(max_features=2)
    counts = vectorizer.fit_transform(bag_of(texts, [1, 1, 1])).compute()
    assert list(vectorizer.vocabulary_) == ["b", "a"]
    assert counts.toarray().tolist() == [[1, 1], [0, 0], [1, 1]]
    assert_same_features(DaskTextVectorizer(max_features=2).fit(texts), vectorizer)


def test_lengths_of_an_array_stay_known():
    texts = array_of(TEXTS, [200, 400])
    counts = DaskTextVectorizer().fit_transform(texts)
    assert counts.chunks[0] == (200, 400)
    assert np.isnan(DaskTextVectorizer().fit_transform(bag_of(TEXTS, [600])).chunks[0]).all()


def test_nothing_is_computed_by_transform():
    def read(text):
        raise AssertionError(f"{text} has been read")

    vectorizer = DaskTextVectorizer().fit(bag_of(TEXTS, [300, 300]))
    lazy = vectorizer.transform(bag_of(TEXTS, [300, 300]).map(read))
    with pytest.raises(AssertionError, match="has been read"):
        lazy.compute()


def test_local_texts_have_local_results():
    expected = TextVectorizer(**NGRAMS)
    matrix = expected.fit_transform(TEXTS)
    ours = DaskTextVectorizer(**NGRAMS)
    assert_same_matrix(ours.fit_transform(TEXTS), matrix)
    assert_same_matrix(ours.to_local().transform(TEXTS), matrix)
    assert type(ours.to_local()) is TextVectorizer
    assert ours.to_local().get_params() == expected.get_params()


def test_it_is_cloned_and_pickled():
    vectorizer = DaskTextVectorizer(max_features=7).fit(bag_of(TEXTS, [300, 300]))
    copy = pickle.loads(pickle.dumps(vectorizer))
    assert_same_features(copy, vectorizer)
    assert clone(copy).max_features == 7
    with pytest.raises(NotFittedError):
        clone(copy).transform(bag_of(TEXTS, [600]))


def test_hashing_needs_no_fit():
    hashing = HashingVectorizer(n_features=256)
    lazy = vectorize(bag_of(TEXTS, [100, 500]), hashing)
    assert_same_matrix(lazy.compute(), sparse.csr_array(hashing.transform(TEXTS)))
    assert lazy.shape[1] == 256
    assert lazy.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bag_of(["a", 3], [1, 1]), TypeError, r"^raw_documents\[0\] must be str, got int"),
        (lambda: bag_of(["a", "\ud800"], [1, 1]), ValueError, "^text 0 of 1 has the surrogate"),
        (lambda: bag_of(["", " "], [1, 1]), ValueError, "^no word occurs .* in the 2 texts"),
        (lambda: da.zeros((4, 2)), ValueError, "must be one column of texts, got a Array with two"),
        (lambda: delayed(["a"]), TypeError, "must be a Bag, Series or Array of Dask, got Delayed"),
    ],
    ids=["number", "surrogate", "no words", "table", "delayed"],
)
def test_bad_texts(make, error, message):
    vectorizer = DaskTextVectorizer()
    with pytest.raises(error, match=message):
        vectorizer.fit(make())
    assert not hasattr(vectorizer, "vocabulary_")


def test_an_error_names_the_partition():
    with pytest.raises(TypeError) as caught:
        DaskTextVectorizer().fit(bag_of(["a", "b", None], [2, 1]))
    assert caught.value.__notes__ == ["This happened in partition 1 of the texts."]


def test_vectorize_takes_collections_only():
    with pytest.raises(TypeError, match="got list; vectorizer.transform takes local texts"):
        vectorize(TEXTS, HashingVectorizer())


@pytest.mark.parametrize("value", [0, 1.5, True])
def test_bad_max_features(value):
    with pytest.raises((TypeError, ValueError), match="^max_features must be "):
        DaskTextVectorizer(max_features=value).fit(TEXTS)
