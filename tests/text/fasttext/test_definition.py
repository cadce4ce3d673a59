"""Compare the compiled code with a definition in plain Python, beyond the golden lines."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from ebagx.io.fasttext.model import read_file, read_model
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.labels import LabelTree
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.words import Words, words_of
from support.fasttext_definition import Model, fnv1a, ngrams_of
from support.fasttext_files import MODELS, QUERIES, WITH_LABELS, content_of, model_path

FASTTEXT = [name for name in MODELS if name not in ("cbow_h4.bin", "sg_h2.bin")]
PIECES = ["ö", "ti", "猫", "犬", "tü", "</s>", "__label__red", "__label__", "é", "\0", "\xa0", "x"]
texts = st.lists(st.sampled_from([*PIECES, " ", " ", "\t"]), max_size=20).map("".join)


@pytest.fixture(scope="module")
def models():
    return {name: (Model(content_of(name)), read_file(model_path(name))) for name in FASTTEXT}


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"", 2166136261), (b"the", 3020861980), (b"\xc3\xa9", 1023043777), (b"\xff", 4193493326)],
)
def test_hashes(data, value):
    assert fnv1a(data) == value


@pytest.mark.parametrize("name", FASTTEXT)
@settings(max_examples=12)
@given(lines=st.lists(texts, min_size=1, max_size=4))
def test_rows_of_lines(models, name, lines):
    definition, file = models[name]
    rows, ends = file.features.rows_of_lines(lines)
    expected = [definition.line_rows(line.encode()) for line in lines]
    assert rows.tolist() == [row for rows_of_line in expected for row in rows_of_line]
    assert ends.tolist() == np.cumsum([len(row) for row in expected]).tolist()


@pytest.mark.parametrize("name", FASTTEXT)
@settings(max_examples=12)
@given(word=st.binary(min_size=1, max_size=8))
def test_rows_of_words(models, name, word):
    """Words may be of any bytes: blanks, and bytes that are not UTF-8."""
    definition, file = models[name]
    words = Words.of(word, np.array([[0, len(word)]], np.intp))
    assert file.features.rows_of_words(words).indices.tolist() == definition.word_rows(word)


@pytest.mark.parametrize("name", WITH_LABELS)
def test_probabilities(models, name):
    definition, _ = models[name]
    model = read_model(model_path(name))
    assert model.labels == [label.removeprefix("__label__") for label in definition.labels]
    expected = [definition.probabilities(line.encode()) for line in QUERIES[:12]]
    found = model.predict_proba(QUERIES[:12])
    # A sigmoid is a step where float64 may fall on the other side.
    is_step = model.loss in ("ns", "ova")
    np.testing.assert_allclose(found, expected, atol=8e-3 if is_step else 6e-6, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_tables(name):
    file = read_file(model_path(name))
    definition = Model(content_of(name)) if name in FASTTEXT else None
    for matrix, rows in (
        (file.table, definition and definition.table),
        (file.output, definition and definition.output),
    ):
        assert matrix.rows(slice(None)).shape == (matrix.num_rows, matrix.dim)
        if definition:
            np.testing.assert_allclose(matrix.rows(slice(None)), rows, rtol=1e-6)


def features_of(words, **options):
    given = {"word_ngrams": 1, "min_chars": 0, "max_chars": 0, "n_buckets": 0, **options}
    return FastTextFeatures(words_of(words), len(words), **given)


def test_more_rows_than_are_found_at_once():
    """Words, n-grams and runs of a long line are added up in blocks of 1024."""
    words = [f"w{i}" for i in range(700)]
    features = features_of(words, word_ngrams=5, min_chars=1, max_chars=4, n_buckets=1000)
    line = " ".join(words * 3)
    rows, ends = features.rows_of_lines([line])
    assert len(rows) == ends[0] > 20_000
    table = np.random.default_rng(0).normal(size=(features.num_rows, 51)).astype(np.float32)
    pooled, counts = features.pool([line], Matrix(*table.shape, table), 1)
    total = np.zeros(51, np.float32)
    for row in rows:
        total += table[row]
    np.testing.assert_array_equal(pooled[0], total * np.float32(1 / len(rows)))
    assert counts.tolist() == [len(rows)]


def test_long_ngrams():
    word = "a" * 700
    features = features_of(["b"], min_chars=500, max_chars=512, n_buckets=97)
    expected = [1 + fnv1a(x) % 97 for x in ngrams_of(word.encode(), 500, 512)]
    assert features.rows_of_words(words_of([word])).indices.tolist() == expected


@pytest.mark.parametrize("dim", [1, 15, 16, 17, 32, 49, 100])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
def test_every_width(dim, step):
    """Rows are added up as in a loop over columns, whichever way they are stored."""
    rng = np.random.default_rng(dim)
    words = ["a", "b", "c", "</s>"]
    dense = rng.normal(size=(4, dim)).astype(np.float32)
    matrix = Matrix(4, dim, dense)
    if step:
        codes = rng.integers(0, 256, (4, -(-dim // step)), dtype=np.uint8)
        centroids = rng.normal(size=256 * dim).astype(np.float32)
        norms = rng.normal(size=256).astype(np.float32)
        norm_codes = rng.integers(0, 256, 4, dtype=np.uint8)
        matrix = Matrix(4, dim, dense[:0], codes, centroids, norm_codes, norms, min(step, dim))
        if step > dim:
            return
    pooled, _ = features_of(words).pool(["a b a c"], matrix, 1)
    total = np.zeros(dim, np.float32)
    for row in (0, 1, 0, 2, 3):
        total += matrix.rows(np.array([row]))[0]
    np.testing.assert_array_equal(pooled[0], total * np.float32(1 / 5))


def test_threads_have_the_same_bits():
    model = read_model(model_path("hs_trigram_sub.bin"))
    lines = [f"{QUERIES[i % 37]} {i % 91}" for i in range(5000)]
    found = {}
    for threads in (1, 2, 3):
        pooled, _ = model.features.pool(lines, model.table, threads)
        found[threads] = pooled, model.output.probabilities(pooled, 2, threads)
    for threads in (2, 3):
        for one, several in zip(found[1], found[threads], strict=True):
            np.testing.assert_array_equal(one, several)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 18))
def test_tree(counts, k):
    """With a number of labels asked for, these are found as if all were."""
    counts = sorted(counts, reverse=True)
    rng = np.random.default_rng(len(counts))
    definition = Model.__new__(Model)
    definition.n_words, definition.n_labels, definition.counts = 0, len(counts), counts
    rows = rng.normal(size=(len(counts), 3)).astype(np.float32)
    tree = LabelTree.of(Matrix(len(counts), 3, rows), np.array(counts, np.int64))
    pooled = rng.normal(size=(4, 3)).astype(np.float32) * 3
    found = tree.probabilities(pooled, -1, 1)
    scores = pooled.astype(float) @ rows.T.astype(float)
    expected = [definition.tree_probabilities(row.tolist()) for row in scores]
    np.testing.assert_allclose(found, expected, atol=1.5e-5)
    best = tree.probabilities(pooled, k, 1)
    np.testing.assert_array_equal(np.sort(best)[:, -k:], np.sort(found)[:, -k:])
    assert (best <= found).all()
