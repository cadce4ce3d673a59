"""Test vectors whose squares or inverses float32 does not have, and those that are not finite."""

import numpy as np
import pytest

from ebagx.text import WordVectors

WORDS = ["a", "b", "c", "zero"]
ROWS = np.array([[3, 4, 0], [4, -2, 1], [-1, 2, 2], [0, 0, 0]], np.float32)
SCALES = [2.0**-148, 1e-40, 2.0**-126, 1e-30, 1e30, 5e37]
scales = pytest.mark.parametrize("scale", SCALES)


def scaled(scale, words=WORDS):
    rows = (ROWS.astype(np.float64) * scale).astype(np.float32)
    return WordVectors.of(words, rows), rows.astype(np.float64)


def units_of(rows):
    lengths = np.linalg.norm(rows, axis=1)
    return rows / np.where(lengths > 0, lengths, 1)[:, None]


@scales
@pytest.mark.parametrize("normalize", [None, "l2"])
def test_texts_are_means_of_unit_vectors(scale, normalize):
    vectors, rows = scaled(scale)
    units = units_of(rows)
    wanted = np.stack([units[0], (units[0] + units[1]) / 2, units[2], np.zeros(3)])
    wanted = units_of(wanted) if normalize else wanted
    found = vectors.embed(["a", "a b zero", "c zero zero", "zero"], normalize=normalize)
    np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=1e-7)


@scales
@pytest.mark.parametrize("bits", [None, 8])
def test_cosines(scale, bits):
    vectors, rows = scaled(scale)
    if bits is not None:
        vectors = vectors.quantize(bits)
        rows = vectors.table.toarray().astype(np.float64)
    wanted = units_of(rows) @ units_of(rows)[0]
    found = vectors.nearest("a")
    assert {word for word, _ in found} == {"b", "c", "zero"}
    for word, cosine in found:
        assert cosine == pytest.approx(wanted[WORDS.index(word)], abs=1e-6)


@scales
def test_analogies(scale):
    vectors, rows = scaled(scale)
    unit = units_of(rows)
    target = units_of((unit[1] - unit[0] + unit[2])[None])[0]
    ((word, cosine),) = vectors.analogy("a", "b", "c", k=1)
    assert word == "zero"
    assert cosine == pytest.approx(float(unit[3] @ target))


def test_usual_rows_keep_their_bits_beside_extreme_ones():
    usual = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    rows = np.vstack([usual, np.full((1, 7), 3e38), np.full((1, 7), 1e-42)]).astype(np.float32)
    words = [*"abcdexy"]
    plain, mixed = WordVectors.of(words[:5], usual), WordVectors.of(words, rows)
    assert mixed.embed(["a b c d e"]).tobytes() == plain.embed(["a b c d e"]).tobytes()
    cosines = dict(mixed.nearest("a"))
    assert [cosines[word] for word, _ in plain.nearest("a")] == [x for _, x in plain.nearest("a")]
    # Of both lookups together, each has the bits that it has alone.
    total = mixed.embed(["a", "x", "b"], mode="sum")
    pooled = mixed.embed(["a x b"], mode="sum")[0]
    assert pooled.tobytes() == ((total[0] + total[1]) + total[2]).tobytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_do_not_depend_on_threads(threads):
    rows = np.random.default_rng(0).normal(size=(300, 40))
    rows[::3] *= 1e-41
    rows[1::3] *= 1e37
    vectors = WordVectors.of([f"w{i}" for i in range(300)], rows.astype(np.float32))
    texts = [" ".join(f"w{i}" for i in range(start, start + 40)) for start in range(250)]
    alone = vectors.embed(texts, num_threads=1)
    assert vectors.embed(texts, num_threads=threads).tobytes() == alone.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_similar_to_nothing(bad):
    rows = np.vstack([ROWS, [[bad, 1, 2]]]).astype(np.float32)
    vectors = WordVectors.of([*WORDS, "bad"], rows)
    found = vectors.nearest("a")
    assert [word for word, _ in found] == [w for w, _ in WordVectors.of(WORDS, ROWS).nearest("a")]
    assert vectors.nearest("bad") == []
    assert vectors.analogy("a", "b", "bad") == []


def test_texts_with_nan_are_nan_whatever_else_they_have():
    vectors = WordVectors.of([*WORDS, "bad"], np.vstack([ROWS, [[np.nan, 1, 2]]]))
    for text in ("bad", "bad zero", "a bad"):
        assert np.isnan(vectors.embed([text])).any()
    assert np.isfinite(vectors.embed(["a zero"])).all()
