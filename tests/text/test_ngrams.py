"""Compare the features of texts with their definition in plain Python."""

import re

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings

from ebagx.text import lines as lines_module
from ebagx.text.features import Features, LineBags
from ebagx.text.lines import Lines
from ebagx.text.ngrams import BucketTable, Ngrams
from ebagx.text.tokenizers import DEFAULT, Tokenizer
from ebagx.text.words import Words
from support.ngram_definition import features_of, fnv1a

# Letters that change their length or number when lowered, marks, digits of other scripts,
# separators of all kinds, what needs 1 to 4 bytes.
ODD = "aAbZz09_ \n\r\t\0\x1c\x85\xa0\u2028-'.\u0130\u03a3\u03c3\u212a\u00df\u0307\u0301\u00e9"
ODD += "\u0661\u4e2d\u6587\u00b2\u200b\ufeff\uffff\U0001d7d8\U0001f600\U00020000\U0010ffff"
ODD += "\u0928\u093f\u2019\u00b7#+@\u200d\u0301\U0001f468\U0001f3fd\U0001f1e9\ufe0f"
# Characters that another version of Unicode has may be of another class there.
known = st.characters(codec="utf-8", exclude_categories=["Cn"])
texts = st.text(st.sampled_from(ODD) | known, max_size=30)
tokenizers = st.builds(
    Tokenizer, st.sampled_from(["words", "words-1", "whitespace"]), st.booleans()
)
settings_of_ngrams = st.builds(
    lambda runs, low, extra, buckets: (runs, (low, low + extra) if low else None, buckets),
    st.integers(1, 4), st.integers(0, 4), st.integers(0, 30), st.sampled_from([1, 7, 64, 2**20]),
)  # fmt: skip


def count_features(texts, word_ngrams, chars, n_buckets, tokenizer=DEFAULT):
    """Return, for each text, how often each word and bucket occurs, by the package's code."""
    lines = Lines.of(texts, tokenizer=tokenizer)
    try:
        features = Features.learn(lines, Ngrams(word_ngrams, *(chars or (0, 0)), n_buckets))
    except ValueError:  # no feature
        return [{} for _ in texts], 0
    names = [*features.columns, *features.table.buckets().tolist()]
    matrix = LineBags(features, lines).matrix()
    matrix.check_format()
    assert matrix.shape == (len(texts), len(names))
    return [
        {names[i]: count for i, count in zip(row.indices, row.data, strict=True)} for row in matrix
    ], matrix.nnz


@pytest.mark.slow
@given(st.lists(texts, max_size=5), settings_of_ngrams, tokenizers)
@example(["\u0130\u03a3 \u03a3\n\u03a3", "", "a\nb"], (2, (1, 3), 7), Tokenizer())
@example(["<a>"], (1, (1, 5), 2**20), Tokenizer("whitespace"))
@example([], (2, (2, 3), 64), Tokenizer())
@example(["", "  ", "\n\n"], (2, (2, 3), 64), Tokenizer("words-1"))
def test_features_equal_the_definition(lines, ngrams, tokenizer):
    counted, nnz = count_features(lines, *ngrams, tokenizer)
    of_words = {"lowercase": tokenizer.lowercase, "tokenizer": tokenizer.name}
    expected = [features_of(line, *ngrams, **of_words) for line in lines]
    assert counted == expected
    assert nnz == sum(map(len, expected))  # no duplicates, no zeros


def test_hashes_are_those_of_every_platform():
    assert fnv1a("foobar") == 0xBF9CF968  # from the authors' test vectors
    (counted,), _ = count_features(["the caf\u00e9"], 2, (3, 3), 2**28)
    buckets = {8538415, 68071964, 146026264, 261610379, 141837821, 109472362, 89255905, 90520125}
    assert counted == dict.fromkeys({"the", "caf\u00e9"} | buckets, 1)


def test_order_is_that_of_the_text():
    lines = Lines.of(["b a b c", "c a a a"])
    assert lines.store.words.names() == ["b", "a", "c"]
    features = Features.learn(lines, Ngrams(1, 0, 0, 1))
    assert list(features.columns) == ["a", "b", "c"]
    matrix = LineBags(features, lines).matrix()
    assert matrix.indices.tolist() == [1, 0, 2, 2, 0]
    assert matrix.data.tolist() == [2, 1, 1, 1, 3]


def test_words_without_a_column_keep_their_ngrams():
    lines = Lines.of(["a b"])
    features = Features.learn(lines, Ngrams(2, 1, 1, 2**20), min_count=2)
    assert features.words.count == 0
    assert LineBags(features, lines).matrix().nnz == 3


@pytest.mark.slow
def test_a_long_word_and_a_long_line():
    line = "\u00e9" * 100_000 + " " + "x y " * 100_000
    counted, nnz = count_features([line], 2, (4, 4), 2**20)
    assert counted == [features_of(line, 2, (4, 4), 2**20)]
    assert nnz < 20


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["fine", "ab\ud800c"], r"text 1 of 2 has the surrogate '\ud800' at position 2"),
        (["x" * 2**20] * 2 + ["\udfff"], r"text 2 of 3 has the surrogate '\udfff' at position 0"),
        (["\udfff"], r"text 0 of 1 has the surrogate '\udfff' at position 0"),
    ],
)
def test_surrogates(texts, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}, which is not a character$"):
        Lines.of(texts)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], []),
        ([0], [1]),
        ([3, 3, 3], [2, 1]),
        ([50, 1, 50, 1], [1, 1, 1, 1]),
        ([0] * 20, [10, 10]),
        ([8, 0], [2]),
    ],
)
def test_blocks(lengths, expected, monkeypatch):
    monkeypatch.setattr(lines_module, "_BLOCK_LENGTH", 9)
    lines = ["x" * length for length in lengths]
    blocks = list(lines_module._split_into_blocks(lines))
    assert [len(block) for block in blocks] == expected
    assert [line for block in blocks for line in block] == lines


def test_too_many_features():
    with pytest.raises(
        ValueError, match=r"^2147483647 words and 5 buckets are more than 2147483647"
    ):
        Ngrams(2, 0, 0, 5).check_columns(2**31 - 1)
    Ngrams(1, 0, 0, 5).check_columns(2**31 - 1)


def test_too_many_words():
    words = Words()
    words.count = 2**31 - 2
    with pytest.raises(ValueError, match="^more than 2147483647 different words$"):
        words.add(b"ab", np.array([[0, 1], [1, 2]]))


def test_bucket_table():
    rng = np.random.default_rng(0)
    for n_buckets in (1, 31, 32, 33, 1000):
        chosen = np.flatnonzero(rng.random(n_buckets) < 0.5).astype(np.int32)
        shuffled = rng.permutation(np.concatenate([chosen, chosen])).astype(np.int32)
        table = BucketTable.of(n_buckets, shuffled)
        assert table.buckets().tolist() == chosen.tolist()


@settings(max_examples=20)
@given(st.lists(texts, min_size=1, max_size=4), st.lists(texts, max_size=4))
def test_features_that_are_not_in_the_table_are_left_out(fitted, texts):
    ngrams = Ngrams(2, 2, 3, 64)
    buckets = {name for text in fitted for name in features_of(text, 2, (2, 3), 64)}
    known = sorted(name for name in buckets if isinstance(name, int))
    features = Features.restore(ngrams, [], np.array(known, np.int32), Tokenizer())
    for text, row in zip(texts, features.count(texts), strict=True):
        found = {known[i]: c for i, c in zip(row.indices, row.data, strict=True)}
        expected = features_of(text, 2, (2, 3), 64)
        assert found == {name: c for name, c in expected.items() if name in known}
