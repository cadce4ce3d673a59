"""Test similar words and labels, and keywords, against their definition in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from ebagx.datasets import load_langid30, load_wordnet10
from ebagx.text import inspection
from ebagx.text.features import Features
from ebagx.text.inspection import WordIndex, keywords, nearest, nearest_labels
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import RULES, Tokenizer

TEXTS = [*load_wordnet10().texts[:300], *load_langid30().texts[:300], "C++ c# don't Ünï e\u0301"]
NGRAMS = [Ngrams(1, 0, 0, 1), Ngrams(2, 0, 0, 500), Ngrams(2, 2, 4, 500)]


def make(ngrams=NGRAMS[0], tokenizer=None, loss="softmax", dim=5, texts=TEXTS):
    tokenizer = Tokenizer("words", True) if tokenizer is None else tokenizer
    features = Features.learn(Lines.of(texts, tokenizer=tokenizer), ngrams, 1)
    rng = np.random.default_rng(0)
    shapes = (features.n_columns, dim), (4, dim), (4,)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    return TextModel(features, ["a", "b", "c", "d"], loss, *weights)


@pytest.mark.parametrize("ngrams", NGRAMS)
@pytest.mark.parametrize("name", [name for name in RULES if name != "fasttext"])  # has "</s>" too
def test_words_have_the_vectors_of_texts(monkeypatch, ngrams, name):
    monkeypatch.setattr(inspection, "_WORDS_AT_ONCE", 100)
    model = make(ngrams, Tokenizer(name, lowercase=name != "whitespace"))
    names = model.features.words.names()
    np.testing.assert_array_equal(WordIndex.of(model).vectors, model.vectors(names))


@pytest.mark.parametrize("ngrams", NGRAMS)
@pytest.mark.parametrize("text", ["natural", "a natural body", "unknownword natural"])
def test_nearest_words(ngrams, text):
    model = make(ngrams)
    names, vector = model.features.words.names(), model.vectors([text])[0].astype(float)
    vectors = model.vectors(names).astype(float)
    cosines = vectors @ vector / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vector)
    order = [i for i in np.argsort(-cosines, kind="stable") if names[i] != text]
    for k in (1, 7, 10**6):
        found = nearest(model, text, k)
        assert [word for word, _ in found][:9] == [names[i] for i in order[:k]][:9]
        np.testing.assert_allclose([cosine for _, cosine in found], cosines[order[:k]], atol=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_keywords(loss):
    model = make(NGRAMS[2], loss=loss)
    names = model.features.words.names()
    weights = model.coef[2] - (model.coef.mean(axis=0) if loss == "softmax" else 0)
    scores = model.vectors(names) @ weights
    found = keywords(model, 2, 5)
    assert [word for word, _ in found] == [names[i] for i in np.argsort(-scores)[:5]]
    np.testing.assert_allclose([score for _, score in found], np.sort(scores)[:-6:-1], rtol=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_nearest_labels(loss):
    model = make(loss=loss)
    weights = model.coef - (model.coef.mean(axis=0) if loss == "softmax" else 0)
    weights = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    cosines = weights @ weights[1]
    order = [i for i in np.argsort(-cosines) if i != 1]
    found = nearest_labels(model, 1, 9)
    assert [label for label, _ in found] == [model.labels[i] for i in order]
    np.testing.assert_allclose([cosine for _, cosine in found], cosines[order], rtol=1e-5)
    assert nearest_labels(model, 1, 2) == found[:2]


def test_of_equal_words_the_most_frequent_is_first():
    model = make(texts=["b b b c c a a d"])
    assert model.features.words.names() == ["b", "c", "a", "d"]
    model = replace(model, embedding=np.ones_like(model.embedding))
    for k in (1, 2, 3, 4):
        assert [word for word, _ in nearest(model, "d", k)] == ["b", "c", "a"][:k]
        assert [word for word, _ in keywords(model, 0, k)] == ["b", "c", "a", "d"][:k]


def test_words_without_a_direction():
    model = make(texts=["b b b c c a"])
    model.embedding[1:] = 0
    assert [word for word, _ in nearest(model, "b", 5)] == ["c", "a"]
    with pytest.raises(ValueError, match="^nothing in the text 'c' is known to the model$"):
        nearest(model, "c", 1)


def test_the_number_of_threads_changes_no_bit():
    found = [nearest(replace(make(), num_threads=threads), "a cat", 9) for threads in (1, 2, 3)]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("ngrams", NGRAMS)
def test_line_ends_are_no_part_of_what_is_looked_for(ngrams):
    """The tokenizer of fastText's models adds a word to each text."""
    words = [*make(ngrams).features.words.names()[:50], "</s>"]
    lines = Lines.of([" ".join(words)], tokenizer=Tokenizer("whitespace", lowercase=False))
    features = Features.learn(lines, ngrams)
    shapes = ((features.n_columns, 5), (2, 5), (2,))
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    found = []
    for name in ("whitespace", "fasttext"):
        features = replace(features, tokenizer=Tokenizer(name, lowercase=False))
        model = TextModel(features, ["a", "b"], "softmax", *weights)
        found.append(nearest(model, words[0], 5))
    assert found[0] == found[1]
