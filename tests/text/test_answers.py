"""Test that one compiled call gives the bits of the lines' bags, for every form of text."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

import ebagx
from ebagx._core.quantized.formats import FORMATS
from ebagx.datasets import load_langid30
from ebagx.io.model_folder import load_model, save_model
from ebagx.text import answers
from ebagx.text.features import Features
from ebagx.text.lines import Lines
from ebagx.text.model import TextModel
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import RULES, Tokenizer

NGRAMS = [Ngrams(1, 0, 0, 1), Ngrams(2, 0, 0, 2000), Ngrams(3, 2, 4, 100), Ngrams(8, 1, 32, 5000)]
TOKENIZERS = [Tokenizer(name, lowercase) for name in RULES for lowercase in (False, True)]
TEXTS = [
    *("A small cat.", "the  CAT\tand\r\n the dog, don't", "C++ and C# 1,000.5", "_ 'a' a.b 3.x"),
    *("", " ", "\n", "a", "unknown words only", "\x00 a\x00b \x7f", "a\u0085b\u2028c"),
    *("+" * 50, "+a" * 40, "x" * 300, "a " * 700),
    *(
        "Stra\u00dfe e\u0301t\u00e9 \u0130I",
        "l\u00b7l \u05d0\u05f4\u05d1",
        "\u0915\u094d\u0937\u093f",
    ),
    *("\u4e2d\u6587\u5b57 \u3042\u3044", "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22"),
    *("\U0001f468\u200d\U0001f469 \U0001f1e9\U0001f1ea!", "\U0001f468\U0001f3fd"),
]


def make_model(ngrams=NGRAMS[1], tokenizer=TOKENIZERS[0], dim=5, n_labels=3, min_count=1):
    texts = [*TEXTS, *(f"word{i} word{i + 1} word{i * i}" for i in range(400))]
    features = Features.learn(Lines.of(texts, tokenizer=tokenizer), ngrams, min_count)
    rng = np.random.default_rng(0)
    shapes = (features.n_columns, dim), (n_labels, dim), (n_labels,)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    labels = [str(i) for i in range(n_labels)]
    return TextModel(features, labels, "softmax", *weights)


def by_lines(model, texts):
    """Return vectors and scores that the bags of lines give."""
    pooled = model._vectors(texts)
    return pooled, model._scores(pooled)


def at_once(model, texts):
    """Return those of the compiled call."""
    answerer = model._answerer
    return answerer.vectors(texts), answerer.scores(texts)


def assert_same_bits(model, texts):
    expected = by_lines(model, texts)
    for found, wanted in zip(at_once(model, texts), expected, strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    np.testing.assert_array_equal(model._answerer.places(texts), expected[1].argmax(axis=1))


@pytest.mark.parametrize("ngrams", NGRAMS, ids=str)
@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=str)
def test_bits(ngrams, tokenizer):
    model = make_model(ngrams, tokenizer)
    assert_same_bits(model, TEXTS)
    for text in TEXTS:
        assert_same_bits(model, [text])


@pytest.mark.parametrize("ngrams", NGRAMS, ids=str)
def test_bits_of_many_languages(ngrams):
    texts, _ = load_langid30()
    assert_same_bits(make_model(ngrams), texts[::40])


@given(
    st.lists(st.text(st.sampled_from("ab C.'1+\u00e9\u0301\u4e2d\u3042\n\t\u200d#"), max_size=20)),
    st.sampled_from(TOKENIZERS),
    st.sampled_from(NGRAMS),
)
def test_bits_of_any_texts(texts, tokenizer, ngrams):
    texts = texts or ["a"]
    features = Features.learn(Lines.of([*texts[::2], "a b"], tokenizer=tokenizer), ngrams)
    table = np.random.default_rng(0).standard_normal((features.n_columns, 3)).astype(np.float32)
    coef = np.ones((2, 3), np.float32)
    model = TextModel(features, ["a", "b"], "softmax", table, coef, np.zeros(2, np.float32))
    assert_same_bits(model, texts)


@pytest.mark.parametrize("dim", [1, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("n_labels", [1, 15, 16, 17, 40])
def test_bits_of_sizes(dim, n_labels):
    assert_same_bits(make_model(dim=dim, n_labels=n_labels), TEXTS)


@pytest.mark.parametrize("dim", [1, 2, 7, 15, 16, 31, 32, 33, 48, 70])
@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("factor", [1, 1e6])
def test_bits_of_codes(dim, bits, factor):
    """Scales and biases are float16, or with large values float32."""
    model = make_model(dim=dim)
    model = replace(model, embedding=ebagx.quantize(model.embedding * np.float32(factor), bits))
    if dim > 2:  # float32 also where rows have few values
        assert model._table.layout[3] == (bits < 8 and factor == 1)
    assert_same_bits(model, TEXTS)
    assert_same_bits(model, TEXTS[:1])


@pytest.mark.parametrize("format", ["torch_byte", "torch_4bit", "fbgemm_int8", "fbgemm_int2"])
def test_bits_of_rows_of_other_tools(format):
    """Constants may come before the codes, and scales be negative."""
    model = make_model(dim=32)
    layout = FORMATS[format]
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, (len(model.embedding), layout.row_bytes(32)), np.uint8)
    constants = rng.standard_normal((len(packed), 2)).astype(layout.dtype)
    layout.write(packed, layout.codes(packed, 32).copy(), constants)
    table = ebagx.QuantizedTable.from_packed(packed, format)
    assert_same_bits(replace(model, embedding=table), TEXTS)


@pytest.mark.parametrize("count", [511, 512, 513, 1024, 1500])
def test_bits_of_long_bags(count):
    """More than 512 lookups are added up in parts."""
    words = [f"word{i}" for i in range(count)]
    features = Features.learn(Lines.of([" ".join(words)]), Ngrams(1, 0, 0, 1))
    rng = np.random.default_rng(0)
    table = rng.standard_normal((count, 40)).astype(np.float32) * 1e6
    head = rng.standard_normal((2, 40)).astype(np.float32), np.zeros(2, np.float32)
    model = TextModel(features, ["a", "b"], "softmax", table, *head)
    assert_same_bits(model, [" ".join([*words, *words[:7]]), " ".join(words[::2])])


def test_scores_are_products():
    model = make_model(dim=40, n_labels=40)
    pooled, scores = at_once(model, TEXTS)
    np.testing.assert_allclose(
        scores, pooled @ model.coef.T + model.intercept, rtol=1e-4, atol=1e-5
    )


def test_no_words_have_columns():
    """There are only n-grams."""
    model = make_model(Ngrams(2, 2, 3, 500), min_count=10**6)
    assert model.features.words.count == 0
    assert_same_bits(model, TEXTS)


def test_threads_of_many_texts():
    model, texts = make_model(dim=64, n_labels=40), [text[:40] for text in TEXTS] * 300
    expected = by_lines(model, texts)[1]
    for threads in (1, 2, 3):
        found = replace(model, num_threads=threads).scores(texts)
        np.testing.assert_array_equal(found, expected)


def test_long_texts_go_another_way(monkeypatch):
    model = make_model()
    expected = model.scores(TEXTS)
    assert model._answerer.scores(["a" * answers._MOST_CHARS]) is not None
    assert model._answerer.scores(["a" * answers._MOST_CHARS, "a"]) is None
    monkeypatch.setattr(answers, "_MOST_CHARS", 10)
    np.testing.assert_array_equal(model.scores(TEXTS), expected)
    np.testing.assert_array_equal(model.places(TEXTS), expected.argmax(axis=1))
    np.testing.assert_array_equal(model.vectors(TEXTS), by_lines(model, TEXTS)[0])


def test_no_texts_go_another_way():
    model = make_model()
    assert at_once(model, []) == (None, None)
    assert model.vectors([]).shape == (0, 5)
    assert model.scores([]).shape == (0, 3)
    assert model.places([]).shape == (0,)
    assert model.places([]).dtype == np.intp


def test_places_of_equal_scores_and_nan():
    """The first of equals is the likeliest; NaN comes before all numbers, as in numpy.argmax."""
    model = make_model(n_labels=4)
    for biases in [(0, 1, 1, 0), (0, np.nan, 2, np.nan), (-np.inf,) * 4, (np.nan, 1, 0, 2)]:
        flat = replace(model, coef=model.coef * 0, intercept=np.array(biases, np.float32))
        np.testing.assert_array_equal(flat.places(TEXTS[:2]), [np.argmax(biases)] * 2)


def test_tables_in_other_layouts_go_another_way():
    model = make_model()
    other = replace(model, embedding=np.asfortranarray(model.embedding))
    assert other._answerer is None
    np.testing.assert_array_equal(other.scores(TEXTS), model.scores(TEXTS))


def test_a_file_that_has_become_shorter(tmp_path):
    save_model(make_model(), tmp_path / "model")
    model = load_model(tmp_path / "model")
    model.scores(["a"])
    model.places(["a"])
    (path,) = (tmp_path / "model").glob("data-*/embedding.npy")
    with path.open("r+b") as file:
        file.truncate(100)
    for method in (model.scores, model.vectors, model.places):
        with pytest.raises(ValueError, match="embedding"):
            method(["a"])


def test_copies_have_nothing_that_is_computed():
    model = make_model()
    model.scores(["a"])
    assert set(model.__getstate__()) == set(replace(model).__dict__)
