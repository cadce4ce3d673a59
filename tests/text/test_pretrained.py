"""Test classifiers whose words begin with given vectors."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

from ebagx.text import TextClassifier, load_model, load_vectors

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
SMALL = {"dim": 4, "epochs": 20, "random_state": 0, "word_ngrams": 1}
WORDS = ["zebra", "cat", "\u00e4pfel", "cat", "Dogs", "canary", "pie"]


def vectors(words=WORDS, dim=4, dtype=np.float32):
    table = np.random.default_rng(0).standard_normal((len(words), dim)).astype(dtype)
    return SimpleNamespace(words=words, table=table)


def row(model, word):
    return model.embedding_[model._model.features.columns[word]].tolist()


def fitted(**options):
    return TextClassifier(**{**SMALL, **options}).fit(TEXTS, LABELS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_known_words_begin_with_their_vectors(dtype):
    given = vectors(dtype=dtype)
    model = fitted(pretrained=given, learning_rate=1e-30)
    expected = given.table.astype(np.float32)
    assert row(model, "cat") == expected[1].tolist()  # of equal words, the first counts
    assert row(model, "\u00e4pfel") == expected[2].tolist()
    assert row(model, "pie") == expected[6].tolist()
    assert max(map(abs, row(model, "dogs"))) <= 1 / 4
    assert "zebra" not in model._model.features.columns
    trained = fitted(pretrained=given)
    assert row(trained, "cat") != expected[1].tolist()
    assert trained.predict(TEXTS).tolist() == LABELS


def test_frozen_rows_stay(tmp_path):
    given = vectors()
    model = fitted(pretrained=given, freeze_pretrained=True)
    assert row(model, "cat") == given.table[1].tolist()
    assert model.predict(TEXTS).tolist() == LABELS
    model.partial_fit(["a canary and a cat"], ["bird"])
    assert row(model, "canary") == given.table[5].tolist()
    model.partial_fit(["a zebra"], ["bird"])
    assert row(model, "zebra") == given.table[0].tolist()
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m").partial_fit(TEXTS, LABELS)
    for found in (model.partial_fit(TEXTS, LABELS), loaded):
        for word, place in (("cat", 1), ("pie", 6), ("canary", 5), ("zebra", 0)):
            assert row(found, word) == given.table[place].tolist()
    assert row(loaded, "dogs") != row(load_model(tmp_path / "m"), "dogs")


def test_words_that_are_new_later_begin_with_their_vectors():
    given = vectors()
    model = fitted(pretrained=given)
    cat = row(model, "cat")
    model.set_params(learning_rate=1e-30).partial_fit(["a canary and a cat"], ["bird"])
    assert row(model, "canary") == given.table[5].tolist()
    assert row(model, "cat") == cat


def test_a_mapped_table_and_a_clone(tmp_path):
    given = vectors()
    np.save(tmp_path / "table.npy", given.table)
    mapped = SimpleNamespace(words=WORDS, table=np.load(tmp_path / "table.npy", mmap_mode="r"))
    expected = fitted(pretrained=given).embedding_
    for model in (fitted(pretrained=mapped), clone(fitted(pretrained=mapped)).fit(TEXTS, LABELS)):
        np.testing.assert_array_equal(model.embedding_, expected)


def test_threads_change_nothing():
    given = vectors()
    one, two = (fitted(pretrained=given, num_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.embedding_, two.embedding_)


@pytest.mark.parametrize(
    ("given", "error", "problem"),
    [
        (
            7,
            TypeError,
            "pretrained must be a path or None, or have words and a table, as load_vectors of",
        ),
        (vectors(dim=5), ValueError, "dim must be that of the pretrained vectors, 5, got 4"),
        (
            SimpleNamespace(words=WORDS, table=np.zeros((3, 4))),
            ValueError,
            "pretrained.table must have a row for each of 7 words, got shape (3, 4)",
        ),
        (
            SimpleNamespace(words=WORDS, table=np.full((7, 4), np.nan)),
            ValueError,
            "the pretrained vectors have nan or infinity",
        ),
    ],
)
def test_bad_vectors(given, error, problem):
    with pytest.raises(error, match="^" + re.escape(problem)):
        fitted(pretrained=given)


def test_vectors_of_a_file(tmp_path):
    (tmp_path / "v.vec").write_text("2 4\ncat 1 2 3 4\nzebra 1 1 1 1\n")
    given = load_vectors(tmp_path / "v.vec")
    for pretrained in (given, tmp_path / "v.vec", str(tmp_path / "v.vec")):
        model = clone(TextClassifier(**SMALL, pretrained=pretrained, freeze_pretrained=True))
        assert row(model.fit(TEXTS, LABELS), "cat") == [1, 2, 3, 4]
    (tmp_path / "v.vec").unlink()
    with pytest.raises(FileNotFoundError):
        fitted(pretrained=tmp_path / "v.vec")
