"""Test which features are learned and restored; TextVectorizer's tests have the rest."""

import numpy as np
import pytest

from ebagx.text.features import Features, LineBags
from ebagx.text.lines import Lines
from ebagx.text.ngrams import Ngrams
from ebagx.text.tokenizers import Tokenizer

TEXTS = ["A small cat.", "a small, small dog", "", "Une caf\u00e9!"]
NGRAMS = Ngrams(3, 2, 4, 1000)


def learn(texts, ngrams, **options):
    lines = Lines.of(texts)
    features = Features.learn(lines, ngrams, **options)
    return features, LineBags(features, lines).matrix()


def test_learned():
    features, counts = learn(TEXTS, NGRAMS, min_count=2)
    assert list(features.columns) == ["small", "a"]
    assert counts.shape == (4, features.n_columns)
    assert (features.count(TEXTS) != counts).nnz == 0
    assert features.count([]).shape == (0, features.n_columns)


def test_restored():
    features, counts = learn(TEXTS, NGRAMS)
    again = Features.restore(NGRAMS, list(features.columns), features.table.buckets(), Tokenizer())
    assert again.n_columns == features.n_columns
    assert (again.count(TEXTS) != counts).nnz == 0


def test_a_word_twice():
    with pytest.raises(ValueError, match="^a word occurs twice$"):
        Features.restore(NGRAMS, ["a", "a"], np.zeros(0, np.int32), Tokenizer())


@pytest.mark.parametrize("buckets", [[-1], [1000], [3, 3], [4, 3]])
def test_bad_buckets(buckets):
    with pytest.raises(ValueError, match="^the buckets do not ascend from 0 or more to less than "):
        Features.restore(NGRAMS, ["a"], np.array(buckets, np.int32), Tokenizer())


def test_buckets_without_ngrams():
    with pytest.raises(ValueError, match="less than 0$"):
        Features.restore(Ngrams(1, 0, 0, 1000), ["a"], np.zeros(1, np.int32), Tokenizer())


def test_no_features():
    with pytest.raises(ValueError, match="^no word occurs at least min_count = 3 times in the "):
        learn(["a a b"], Ngrams(1, 0, 0, 1), min_count=3)


def test_blocks_are_small_though_the_first_lines_are_long(monkeypatch):
    monkeypatch.setattr("ebagx.text.features._LOOKUPS_AT_ONCE", 100)
    texts = [" ".join(f"w{i}" for i in range(n)) for n in (90, 80, 150, 1, 0, *[2] * 60)]
    lines = Lines.of(texts)
    bags = LineBags(Features.learn(lines, Ngrams(1, 0, 0, 1)), lines)
    blocks = list(bags.blocks())
    assert [len(block.indices) for block in blocks] == [90, 80, 150, 99, 22]
    assert sum(block.num_bags for block in blocks) == len(texts)
    assert [block.num_bags for block in LineBags(bags._features, lines.select([])).blocks()] == [0]
