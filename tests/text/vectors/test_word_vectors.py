"""Test vectors of words and texts against their definition in plain Python."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ebagx.text import WordVectors, load_vectors
from ebagx.text.vectors import pooling
from support.vector_definition import floret_rows, unit_mean
from support.vector_files import GOLDEN, ROWS, SENTENCES, WORDS, raises

WV = WordVectors.of(WORDS, ROWS)


def test_words_and_table():
    assert WV.words == WORDS
    assert WV.table is not None
    np.testing.assert_array_equal(WV.table, ROWS)
    assert (len(WV), WV.dim) == (12, 5)
    assert repr(WV) == "<WordVectors: 12 words, dim=5, float32>"


def test_items():
    for word, row in zip(WORDS, ROWS, strict=True):
        assert word in WV
        np.testing.assert_array_equal(WV[word], row)
        assert WV[word].dtype == np.float32
    for other in ("dog", "", 7, None, "the "):
        assert other not in WV
    with raises(KeyError, "the word 'dog' has no vector"):
        WV["dog"]
    for other in ("", "\ud800", "the\udc80"):  # the first surrogate stands for no byte
        with raises(KeyError, "has no vector"):
            WV[other]
        assert other not in WV
    for other in (5, None, b"the", ["the"]):
        with raises(TypeError, "a word must be str"):
            WV[other]
        with raises(TypeError, "a word must be str"):
            WV.nearest(other)


def test_of_checks_words():
    for words in (["a", "a"], ["a", ""]):
        with raises(ValueError, "words must be different and not empty"):
            WordVectors.of(words, np.eye(2))
    with raises(ValueError, "2 words need as many rows, not 3"):
        WordVectors.of(["a", "b"], np.eye(3))
    with raises(TypeError, "words[0] must be str, got int"):
        WordVectors.of([1, 2], np.eye(2))


def test_an_array_is_not_copied():
    rows = np.eye(3, dtype=np.float16)
    assert WordVectors.of(["a", "b", "c"], rows).table is rows


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_embed_is_the_mean_of_unit_vectors(dtype):
    rows = ROWS.astype(dtype)
    vectors = WordVectors.of(WORDS, rows)
    texts = ["the UPPER the", "unknown the\tnew_york\n3.14", "</s>", "unknown", "", " the "]
    found = vectors.embed(texts)
    assert found.dtype == np.float32
    for text, vector in zip(texts, found, strict=True):
        known = [rows[WORDS.index(word)] for word in text.split() if word in WORDS]
        wanted = unit_mean(known) if known else np.zeros(5)
        np.testing.assert_allclose(vector, wanted, atol=3e-7)


def test_blanks_are_those_of_ascii():
    """A no-break space is part of a word, as for fastText."""
    found = WV.embed(["x\xa0y", "the\xa0the", "the\0the"])
    np.testing.assert_allclose(found[0], unit_mean([ROWS[WORDS.index("x\xa0y")]]), atol=3e-7)
    assert not found[1].any()
    np.testing.assert_allclose(found[2], unit_mean(ROWS[:1]), atol=3e-7)


def test_vectors_of_length_0_do_not_count():
    vectors = WordVectors.of(["a", "zero", "b"], [[3, 4], [0, 0], [0, -2]])
    found = vectors.embed(["a zero", "zero", "zero a b a"])
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0.4, 0.2]], atol=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_lengths(scale):
    vectors = WordVectors.of(["a"], np.array([[3, 4]]) * scale)
    np.testing.assert_allclose(vectors.embed(["a"]), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("mode", ["sum", "sqrtn", "max", "min"])
def test_modes(mode):
    found = WV.embed(["the UPPER the unknown", "", "3.14"], mode=mode)
    units = ROWS / np.linalg.norm(ROWS, axis=1)[:, None]
    the, upper, number = (units[WORDS.index(word)] for word in ("the", "UPPER", "3.14"))
    pool = {
        "sum": lambda rows: sum(rows),
        "sqrtn": lambda rows: sum(rows) / np.sqrt(len(rows)),
        "max": lambda rows: np.max(rows, axis=0),
        "min": lambda rows: np.min(rows, axis=0),
    }[mode]
    wanted = [pool([the, upper, the]), np.zeros(5), pool([number])]
    np.testing.assert_allclose(found, wanted, atol=3e-7)


def test_normalize():
    found = WV.embed(["the UPPER", "unknown"], normalize="l2")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0], atol=1e-6)
    with raises(ValueError, "normalize must be one of None, 'l2'"):
        WV.embed(["a"], normalize="l1")
    with raises(ValueError, "mode must be one of 'sum'"):
        WV.embed(["a"], mode="median")


@pytest.mark.parametrize("kind", ["words", "floret", "pieces", "float16"])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_bits_depend_on_neither_blocks_nor_threads(kind, mode, monkeypatch):
    vectors = {
        "words": WV,
        "floret": load_vectors(GOLDEN / "floret" / "sg_h2.floret"),
        "pieces": load_vectors(GOLDEN / "model2vec" / "mapped"),
        "float16": load_vectors(GOLDEN / "model2vec" / "float16"),
    }[kind]
    texts = [*SENTENCES, *WORDS, " ".join(WORDS * 9)] * 3
    whole = vectors.embed(texts, mode=mode, num_threads=1)
    assert vectors.embed(texts, mode=mode, num_threads=2).tobytes() == whole.tobytes()
    alone = np.concatenate([vectors.embed([text], mode=mode) for text in texts])
    assert alone.tobytes() == whole.tobytes()
    monkeypatch.setattr(pooling, "_CHARS_AT_ONCE", 20)
    assert vectors.embed(texts, mode=mode).tobytes() == whole.tobytes()


def test_texts_are_checked():
    with raises(ValueError, "texts must be an iterable of texts, got a single string"):
        WV.embed("the")
    with raises(TypeError, "texts[1] must be str, got int"):
        WV.embed(["the", 7])
    with raises(ValueError, "text 1 of 2 has the surrogate"):
        WV.embed(["the", "\udce9"])
    assert WV.embed([]).shape == (0, 5)


def test_nearest():
    rows = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0], [0, 0], [4, 0.2]], "f")
    vectors = WordVectors.of(["a", "b", "c", "d", "zero", "e"], rows)
    found = vectors.nearest("a", 9)
    assert [word for word, _ in found] == ["b", "e", "c", "zero", "d"]  # of equals the first
    cosine = rows[1, 0] / np.linalg.norm(rows[1])
    np.testing.assert_allclose([x for _, x in found], [cosine, cosine, 0, 0, -1], atol=1e-6)
    assert vectors.nearest("a", 2) == found[:2]
    assert all(type(x) is float for _, x in found)
    assert vectors.nearest("zero", 1) == [("a", 0.0)]
    with raises(KeyError, "the word 'x' has no vector"):
        vectors.nearest("x")
    with raises(ValueError, "k must be at least 1, got 0"):
        vectors.nearest("a", 0)


def test_analogy():
    """A man is to a king as a woman is to a queen."""
    rows = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 1, 0]], "f")
    vectors = WordVectors.of(["man", "king", "woman", "queen", "people"], rows)
    assert [word for word, _ in vectors.analogy("man", "king", "woman")] == ["queen", "people"]
    unit = rows / np.linalg.norm(rows, axis=1)[:, None]
    query = unit[1] - unit[0] + unit[2]
    wanted = query @ unit[3] / np.linalg.norm(query)
    assert vectors.analogy("man", "king", "woman", 1) == [("queen", pytest.approx(wanted))]
    assert len(vectors.analogy("man", "man", "man", 9)) == 4


@given(st.integers(1, 700), st.integers(1, 9))
def test_nearest_of_many(count, dim):
    rng = np.random.default_rng(count)
    rows = rng.integers(-2, 3, (count, dim)).astype("f")
    vectors = WordVectors.of([f"w{i}" for i in range(count)], rows)
    if not rows[0].any():
        return
    lengths = np.linalg.norm(rows, axis=1)
    cosines = rows @ rows[0] / np.where(lengths, lengths, 1) / lengths[0]
    found = vectors.nearest("w0", count)
    assert len(found) == count - 1
    np.testing.assert_allclose([x for _, x in found], np.sort(cosines[1:])[::-1], atol=1e-6)


@pytest.mark.parametrize("name", ["sg_h2", "sg_h1_words", "cbow_h4"])
def test_floret(name):
    path = GOLDEN / "floret" / f"{name}.floret"
    vectors = load_vectors(path)
    header = path.read_bytes().partition(b"\n")[0].decode().split()
    buckets, _, minn, maxn, count, seed = map(int, header[:6])
    lines = (GOLDEN / "floret" / f"{name}.expected.txt").read_text("utf-8").splitlines()
    for word, *numbers in (line.split() for line in lines):
        rows = floret_rows(word, buckets, minn, maxn, count, seed, *header[6:])
        np.testing.assert_allclose(vectors[word], vectors.table[rows].mean(axis=0), atol=1e-6)
        if word != "</s>":  # its row is in the binary file only
            np.testing.assert_allclose(vectors[word], np.array(numbers, float), atol=3e-6)
    two = vectors.embed(["a\nb"])  # two words; as one they have other n-grams
    rows = floret_rows("a\nb", buckets, minn, maxn, count, seed, *header[6:])
    np.testing.assert_allclose(vectors["a\nb"], vectors.table[rows].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(two[0], unit_mean([vectors["a"], vectors["b"]]), atol=1e-6)
    assert vectors.words == []
    found = vectors.embed(["kalo unseen", "kalo", ""])
    wanted = [unit_mean([vectors["kalo"], vectors["unseen"]]), unit_mean([vectors["kalo"]])]
    np.testing.assert_allclose(found[:2], wanted, atol=1e-6)
    assert not found[2].any()
    assert vectors.nearest("kalo") == []


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("mode", ["mean", "max"])
def test_quantised_tables_are_those_that_they_stand_for(bits, mode):
    vectors = WV.quantize(bits)
    assert repr(vectors) == f"<WordVectors: 12 words, dim=5, {bits} bits>"
    floats = WordVectors.of(WORDS, vectors.table.toarray())
    texts = [*WORDS, " ".join(WORDS), "unknown"]
    assert vectors.embed(texts, mode=mode).tobytes() == floats.embed(texts, mode=mode).tobytes()
    for word in WORDS:
        assert vectors[word].tobytes() == floats[word].tobytes()
    assert vectors.nearest("the") == floats.nearest("the")
    with raises(TypeError, "table is quantised already"):
        vectors.quantize(bits)
    with raises(ValueError, "bits must be 8, 4 or 2"):
        WV.quantize(3)


def test_pieces_can_be_quantised():
    vectors = load_vectors(GOLDEN / "model2vec" / "mapped")
    found = vectors.quantize().embed(SENTENCES)
    np.testing.assert_allclose(found, vectors.embed(SENTENCES), atol=0.02)


def test_copies():
    assert copy.copy(WV) is WV
    assert copy.deepcopy(WV) is WV
    WV.embed(["the"])
    again = pickle.loads(pickle.dumps(WV))
    np.testing.assert_array_equal(again.embed(WORDS), WV.embed(WORDS))
    # Processes may share the arrays of a copy, which are read-only then.
    assert again._known_lengths is not None


def test_a_map_that_became_shorter(tmp_path):
    path = tmp_path / "a.safetensors"
    rows = np.ones((4000, 64), np.float32)
    WordVectors.of([f"w{i}" for i in range(4000)], rows).save(path)
    vectors = load_vectors(path)
    with path.open("r+b") as file:
        file.truncate(4096)
    calls = (
        lambda: vectors["w7"],
        lambda: "w7" in vectors,
        lambda: vectors.words,
        lambda: vectors.embed(["w7"]),
        lambda: vectors.nearest("w1"),
    )
    for call in calls:
        with raises(ValueError, "which was cut short to 4096 bytes"):
            call()
