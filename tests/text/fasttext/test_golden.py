"""Compare answers with those that fastText has printed, for each golden model."""

import numpy as np
import pytest

from ebagx.io.fasttext.model import read_file
from support.fasttext_files import (
    FLORET,
    MODELS,
    QUERIES,
    WITH_LABELS,
    content_of,
    expected,
    model_path,
    with_integer,
)

pytest.importorskip("sklearn")
from ebagx.io.fasttext.vectors import read_vectors
from ebagx.text import load_model, load_vectors
from ebagx.text.words import words_of

TOLERANCE = 5e-6  # of six digits that were printed, of values up to 1.00002


def pairs_of(line):
    """Return labels and probabilities of a line that fastText printed."""
    words = line.split(" ")
    return [
        (label.removeprefix("__label__"), float(p))
        for label, p in zip(words[::2], words[1::2], strict=True)
    ]


def check_predictions(model, lines):
    k = max(len(pairs_of(line)) for line in lines)
    for line, found in zip(lines, model.predict_top(QUERIES, k), strict=True):
        pairs, values = pairs_of(line), dict(found)
        assert len(found) == len(pairs)
        assert [p for _, p in found] == pytest.approx([p for _, p in pairs], abs=TOLERANCE, rel=0)
        # The order of labels that are equally likely is not that of fastText's heap.
        for label, p in pairs[: len(pairs) if k == len(model.labels) else -1]:
            assert values.get(label, pairs[-1][1]) == pytest.approx(p, abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_predictions(name):
    model = load_model(model_path(name))
    check_predictions(model, expected(name, "predict_all") or expected(name, "predict_k20"))


@pytest.mark.parametrize("name", WITH_LABELS)
def test_predictions_of_a_folder(name, tmp_path):
    load_model(model_path(name)).save(tmp_path / "m")
    model = load_model(tmp_path / "m")
    check_predictions(model, expected(name, "predict_all") or expected(name, "predict_k20"))


def test_predictions_of_version_11(tmp_path):
    """The older version has no n-grams of characters, though its options have."""
    path = tmp_path / "old.bin"
    path.write_bytes(with_integer(content_of("ova_sub.bin"), 4, 11))
    check_predictions(load_model(path), expected("ova_sub_v11.bin", "predict_all"))


@pytest.mark.parametrize("name", WITH_LABELS)
def test_vectors_of_lines(name):
    """Models with labels have the same vectors of lines on both ways."""
    printed = np.array([row.split() for row in expected(name, "sentence_vectors")], float)
    found = load_model(model_path(name)).vectors(QUERIES)
    np.testing.assert_allclose(found, printed, rtol=6e-5, atol=1e-9)
    np.testing.assert_allclose(load_vectors(model_path(name)).embed(QUERIES), found, atol=1e-6)


@pytest.mark.parametrize("name", ["cbow_nosub.bin", "skipgram.bin"])
def test_vectors_of_sentences(name):
    printed = np.array([row.split() for row in expected(name, "sentence_vectors")], float)
    found = load_vectors(model_path(name)).embed(QUERIES)
    np.testing.assert_allclose(found, printed, rtol=6e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if expected(name, "word_vectors")])
def test_vectors_of_words(name):
    vectors = load_vectors(model_path(name))
    for line in expected(name, "word_vectors"):
        word, *numbers = line.split(" ")[:-1]
        printed = np.array(numbers, float)
        if word in vectors:
            np.testing.assert_allclose(vectors[word], printed, rtol=6e-5, atol=1e-9)
        else:
            assert not printed.any(), word


def test_nearest():
    vectors = load_vectors(model_path("skipgram.bin"))
    lines = " ".join(expected("skipgram.bin", "nn5")).split("Query word? ")[1:]
    words = (model_path("").parent / "words.txt").read_text("utf-8").split("\n")
    for word, line in zip(words, lines[:10], strict=False):
        cosines = [float(cosine) for cosine in line.split()[1::2]]
        found = [cosine for _, cosine in vectors.nearest(word, 5)]
        assert found == pytest.approx(cosines, abs=2e-6), word


@pytest.mark.parametrize("name", FLORET)
def test_floret(name):
    golden = model_path("").parents[1] / "floret" / name.replace(".bin", ".expected.txt")
    vectors = load_vectors(model_path(name))
    assert len(vectors.words) == 142
    for line in golden.read_text("utf-8").split("\n")[:-1]:
        word, *numbers = line.split()
        np.testing.assert_allclose(vectors[word], np.array(numbers, float), atol=1e-6)


@pytest.mark.parametrize("name", FLORET)
def test_end_of_line_of_floret(name):
    """Alone of all words, it has a row of its own, and no n-grams."""
    first = read_file(model_path(name)).table.dense[0]
    vectors = load_vectors(model_path(name))
    np.testing.assert_array_equal(vectors["</s>"], first)
    length = np.linalg.norm(first)
    lookup, _ = read_vectors(model_path(name))
    rows, offsets, _ = lookup.rows_of(words_of(["ti", "</s>", "</s", "x"]))
    alone = [lookup.rows_of(words_of([word])).indices for word in ("ti", "</s>", "</s", "x")]
    np.testing.assert_array_equal(rows, np.concatenate(alone))
    assert np.diff(offsets).tolist() == [len(part) for part in alone]
    np.testing.assert_allclose(vectors.embed(["</s>"])[0], first / length, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_saved_vectors_are_the_same(name, tmp_path):
    vectors = load_vectors(model_path(name))
    vectors.save(tmp_path / "saved")
    again = load_vectors(tmp_path / "saved")
    np.testing.assert_array_equal(again.embed(QUERIES), vectors.embed(QUERIES))
    assert again.words == vectors.words
