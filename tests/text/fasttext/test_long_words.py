"""Test that a long word takes little memory, whatever n-grams a model has."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx._core.table import Table
from ebagx.sklearn import TextEmbedder
from ebagx.text import WordVectors
from ebagx.text.fasttext.features import FastTextFeatures
from ebagx.text.fasttext.lookups import FastTextLookup
from ebagx.text.fasttext.matrix import Matrix
from ebagx.text.words import words_of
from support.memory import peak

N_BUCKETS, LONG = 50, "x" * 100_000
TABLE = np.arange(2.0 * N_BUCKETS + 2, dtype=np.float32).reshape(-1, 2)


def features(longest):
    return FastTextFeatures(words_of(["a"]), 1, 1, 3, longest, N_BUCKETS)


@pytest.mark.parametrize("is_supervised", [True, False])
def test_vectors_of_a_long_word_are_refused_early(is_supervised):
    vectors = WordVectors(FastTextLookup(features(512), is_supervised), Table.of(TABLE))
    problem = r"^10\d,\d+ bytes of text have 50,\d+,\d+ n-grams of up to 512 characters, more than"

    def embed():
        with pytest.raises(ValueError, match=problem):
            TextEmbedder(vectors).fit(["a"]).transform(["a b", LONG])

    assert peak(embed) < 5_000_000
    if not is_supervised:
        with pytest.raises(ValueError, match=problem):
            vectors[LONG]


def test_usual_models_take_long_words():
    vectors = WordVectors(FastTextLookup(features(15), False), Table.of(TABLE))
    assert np.isfinite(vectors[LONG]).all()
    assert vectors.embed(["a b", LONG]).shape == (2, 2)


def test_labels_of_a_text_with_a_long_word_take_no_more_memory():
    """Rows are added up as they are found."""
    given, matrix = features(512), Matrix(len(TABLE), 2, TABLE)
    assert peak(lambda: given.pool([LONG], matrix, 1)) < 2_000_000
