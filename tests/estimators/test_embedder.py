"""Test the transformer of texts to pretrained vectors."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from ebagx.sklearn import TextEmbedder
from ebagx.text import WordVectors, load_vectors
from support.vector_files import GOLDEN, ROWS, SENTENCES, VECTORS, WORDS, raises
from support.workers import file_of_table

WV = WordVectors.of(WORDS, ROWS)

with warnings.catch_warnings():
    # Most checks have no text to call it with, as for scikit-learn's own vectorizers.
    warnings.simplefilter("ignore", SkipTestWarning)
    rules = parametrize_with_checks([TextEmbedder(WV)])


def test_transform_is_embed():
    texts = ["the UPPER", "unknown", "3.14 the"]
    for options in ({}, {"mode": "max"}, {"normalize": "l2"}, {"mode": "sum", "num_threads": 1}):
        found = TextEmbedder(WV, **options).fit_transform(texts)
        assert found.tobytes() == WV.embed(texts, **options).tobytes()


@pytest.mark.parametrize("convert", [str, lambda path: path])
def test_paths(convert):
    embedder = TextEmbedder(convert(GOLDEN / "model2vec" / "plain")).fit(SENTENCES)
    wanted = np.load(GOLDEN / "model2vec" / "plain.expected.npy")
    np.testing.assert_allclose(embedder.transform(SENTENCES), wanted, atol=1e-6)
    assert embedder.vectors_.dim == 8


def test_names_of_columns():
    embedder = TextEmbedder(WV).fit(["a"])
    assert embedder.get_feature_names_out().tolist() == [f"textembedder{i}" for i in range(5)]
    pytest.importorskip("pandas")
    frame = embedder.set_output(transform="pandas").transform(["the", "a"])
    assert frame.shape == (2, 5)


def test_pipeline():
    texts = ["the caf\xe9", "UPPER 3.14", "the", "3.14"] * 5
    labels = np.array([0, 1, 0, 1] * 5)
    assert make_pipeline(TextEmbedder(WV), LogisticRegression()).fit(texts, labels).score(
        texts, labels
    ) == pytest.approx(1)


def test_clones_share_the_vectors():
    embedder = TextEmbedder(WV, "max", "l2")
    copy = clone(embedder)
    assert copy.vectors is WV
    assert clone(make_pipeline(embedder))[0].vectors is WV
    assert copy.get_params() == embedder.get_params()


def test_processes_share_the_map(tmp_path):
    rows = np.ones((5000, 80), np.float32)
    WordVectors.of([f"w{i}" for i in range(5000)], rows).save(tmp_path / "a")
    embedder = TextEmbedder(load_vectors(tmp_path / "a")).fit(["w1"])
    embedder.transform(["w2"])
    found = Parallel(2)(delayed(file_of_table)(embedder, ["w3 w4"]) for _ in range(2))
    for name, vectors in found:
        assert str(tmp_path) in name
        np.testing.assert_array_equal(vectors, embedder.transform(["w3 w4"]))


def test_pickles():
    embedder = TextEmbedder(WV).fit(["a"])
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(["the"]), embedder.transform(["the"]))


def test_bad_parameters():
    for vectors in (None, 7, ["a"], WORDS):
        with raises(TypeError, "vectors must be WordVectors or a path, got"):
            TextEmbedder(vectors).fit(["a"])
    with pytest.raises(FileNotFoundError):
        TextEmbedder("missing").fit(["a"])
    with raises(ValueError, "mode must be one of"):
        TextEmbedder(WV, mode="median").fit(["a"])
    with raises(ValueError, "normalize must be one of"):
        TextEmbedder(WV, normalize="l1").fit(["a"])
    with raises(ValueError, "raw_documents must be an iterable of texts, got a single string"):
        TextEmbedder(WV).fit("the")
    with pytest.raises(NotFittedError):
        TextEmbedder(WV).transform(["the"])


@rules
def test_estimator_conventions(estimator, check):
    check(estimator)


def test_attributes():
    fitted = TextEmbedder(VECTORS / "gensim_text.txt").fit(["a"])
    assert {name for name in vars(fitted) if name.endswith("_")} == {"vectors_"}
    tags = fitted.__sklearn_tags__().input_tags
    assert (tags.string, tags.two_d_array) == (True, False)
