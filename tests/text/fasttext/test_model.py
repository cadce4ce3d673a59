"""Test `FastTextModel` as users see it."""

import dataclasses
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")
from ebagx.io.fasttext.model import read_model
from ebagx.text import TextClassifier, load_model
from ebagx.text.fasttext.conversion import converted
from support.fasttext_files import (
    QUERIES,
    content_of,
    expected,
    model_path,
    places_of,
    with_integer,
)


@pytest.fixture
def model():
    return load_model(model_path("softmax_bigram.bin"))


def test_attributes(model):
    assert repr(model) == "<FastTextModel: 6 labels, 142 words, dim=8, loss='softmax'>"
    assert (
        model.classes_.tolist() == model.labels == ["red", "grün", "жёлтый", "bleu", "cyan", "pink"]
    )
    assert model.label_prefix == "__label__"


def test_answers_agree(model):
    proba = model.predict_proba(QUERIES)
    assert proba.shape == (37, 6)
    assert model.predict(QUERIES).tolist() == model.classes_[proba.argmax(axis=1)].tolist()
    assert [pairs[0][0] for pairs in model.predict_top(QUERIES, 1)] == model.predict(
        QUERIES
    ).tolist()
    assert model.score(QUERIES, model.predict(QUERIES)) == 1
    assert model.predict(["ti"] * 2).dtype.kind == "U"


def test_no_texts(model):
    assert model.predict([]).shape == (0,)
    assert model.predict_proba([]).shape == (0, 6)
    assert model.predict_top([]) == []
    assert model.vectors([]).shape == (0, 8)


def test_threshold_is_that_of_fasttext():
    """fastText compares before it adds 1e-5."""
    for name in ("hs_trigram_sub.bin", "ova_sub.bin"):
        model = load_model(model_path(name))
        lines = expected(name, "predict_all")
        for line, found in zip(lines, model.predict_top(QUERIES, 9, 0.2), strict=True):
            kept = [p for p in map(float, line.split(" ")[1::2]) if p - 1e-5 >= 0.2]
            assert [p for _, p in found] == pytest.approx(kept, abs=5e-6)
    p = model.predict_top(["ti"], 1)[0][0][1]
    assert model.predict_top(["ti"], 1, threshold=p - 5e-6) == [[]]


def test_texts_are_lines(model):
    """A newline is a blank, and the text ends at the word for the end of a line."""
    np.testing.assert_array_equal(
        model.predict_proba(["qu ti", "qu ti </s> ix"]), model.predict_proba(["qu\nti"] * 2)
    )


def test_a_text_without_features(tmp_path):
    """A model that does not know the end of lines has no answer where fastText has none."""
    content = content_of("ns_words.bin")
    assert content.count(b"</s>\0") == 1
    path = tmp_path / "model.bin"
    path.write_bytes(content.replace(b"</s>\0", b"</x>\0"))
    model = load_model(path)
    assert model.predict(["nothing", "ti"])[0] == ""
    assert model.predict_top(["nothing"]) == [[]]
    assert model.predict_proba(["nothing"]).tolist() == [[0.0] * 6]
    assert model.predict(["ti"])[0] in model.labels


def test_labels_without_the_prefix_stay(tmp_path):
    content = content_of("ns_words.bin")
    path = tmp_path / "model.bin"
    path.write_bytes(content.replace(b"__label__red\0", b"__lebal__red\0"))
    assert load_model(path).labels[:2] == ["__lebal__red", "__label__grün"]


def test_pickle(model):
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(QUERIES), model.predict_proba(QUERIES))


@pytest.mark.parametrize("name", ["cbow_nosub.bin", "sg_h2.bin"])
def test_models_without_labels(name):
    with pytest.raises(ValueError, match="which has word vectors and no labels: ebagx.text.load"):
        load_model(model_path(name))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda model: model.predict("ti"), ValueError, "single string"),
        (lambda model: model.predict_top(["ti"], 0), ValueError, "k must be at least 1"),
        (lambda model: model.predict_top(["ti"], 1, 1.0), ValueError, "threshold must be"),
        (lambda model: model.score(["ti"], []), ValueError, "1 texts and 0 labels"),
        (lambda model: model.vectors(["\ud800"]), ValueError, "surrogate"),
    ],
)
def test_errors(model, call, error, message):
    with pytest.raises(error, match=message):
        call(model)


def test_numbers_that_are_too_large(tmp_path):
    """Tables of words are not searched for nan, but no answer is made of it."""
    content = content_of("ns_words.bin")
    first = places_of(content)["quant"] + 17
    path = tmp_path / "model.bin"
    path.write_bytes(with_integer(content, first, float("nan"), "f"))
    with pytest.raises(ValueError, match="nan, infinity or numbers that are too large"):
        load_model(path).predict([""])


def test_arrays_of_compiled_code_cannot_be_changed():
    assert not load_model(model_path("hs_trigram_sub.bin")).output.children.flags.writeable
    pruned = load_model(model_path("q_cutoff_retrain.ftz"))
    assert len(pruned.features.places)
    assert not pruned.features.places.flags.writeable


def test_tables_with_other_rows_are_refused():
    model = load_model(model_path("ns_words.bin"))
    table = model.table._replace(dense=model.table.dense[:1])
    with pytest.raises(ValueError, match=r"^table must have \d+ rows for the features, got 1$"):
        dataclasses.replace(model, table=table)


class TestConversion:
    def test_scores_are_the_same(self):
        old = read_model(model_path("ns_words.bin"))
        new = converted(old)
        np.testing.assert_allclose(new.vectors(QUERIES), old.vectors(QUERIES), atol=1e-6)
        assert new.labels == sorted(old.labels)
        expected = old.predict_proba(QUERIES)[:, np.argsort(old.labels)]
        np.testing.assert_allclose(new.probabilities(QUERIES), expected, atol=8e-3)

    def test_training_goes_on(self, tmp_path):
        from ebagx.io.model_folder import save_model

        save_model(converted(read_model(model_path("ns_words.bin"))), tmp_path / "new")
        model = load_model(tmp_path / "new")
        assert isinstance(model, TextClassifier)
        before = model.vectors(["ti"])
        assert not np.array_equal(model.partial_fit(["ti"], [["red"]]).vectors(["ti"]), before)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("hs_trigram_sub.bin", "a tree"),
            ("softmax_bigram.bin", "n-grams"),
            ("many_labels.bin", "n-grams"),
        ],
    )
    def test_models_that_cannot_be_held(self, name, reason):
        with pytest.raises(ValueError, match=reason):
            converted(read_model(model_path(name)))
