"""Compare the likeliest labels with those of a stable sort of all probabilities."""

import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.special import expit, softmax

from ebagx.text import ranking
from ebagx.text.ranking import best_labels, likeliest, ranked_blocks


def sorted_labels(probabilities, k):
    """Define the order: a stable sort of all."""
    count = probabilities.shape[1] if k < 0 else k
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(probabilities, order, axis=1)


def assert_ranked(probabilities, k):
    order, values = likeliest(probabilities, k)
    expected, largest = sorted_labels(probabilities, k)
    assert order.dtype == np.intp
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(values, largest)
    assert values.dtype == np.float32


@given(
    st.integers(0, 6), st.integers(1, 40), st.integers(1, 8), st.integers(-1, 45), st.integers(0)
)
def test_order_is_that_of_a_stable_sort(n_lines, n_labels, n_values, k, seed):
    """Few values make many ties; zero, one and denormal numbers are among them."""
    chooser = np.random.default_rng(seed)
    values = np.array([0, 1, 1e-45, 0.5, *chooser.random(4)], np.float32)[:n_values]
    probabilities = chooser.choice(values, (n_lines, n_labels))
    assert_ranked(probabilities, k or 1)
    assert_ranked(probabilities[:, ::-1], k or 1)


@pytest.mark.parametrize("k", [1, 2, 17, 299, 300, 999, -1])
@pytest.mark.parametrize("scale", [0.1, 30, 300])  # with the last, most probabilities are 0
def test_random_scores(k, scale):
    scores = np.random.default_rng(0).normal(0, scale, (50, 300)).astype(np.float32)
    assert_ranked(softmax(scores, axis=1), k)
    assert_ranked(expit(scores), k)


@pytest.mark.parametrize("function", [lambda x: softmax(x, axis=1), expit])
@pytest.mark.parametrize("k", [1, 3, -1])
def test_blocks_have_the_bits_of_one(function, k, monkeypatch):
    scores = np.random.default_rng(0).normal(0, 3, (40, 30)).astype(np.float32)
    expected = sorted_labels(function(scores), k)
    for size in (1, 30, 7 * 30 + 5, 10**9):
        monkeypatch.setattr(ranking, "_PROBABILITIES_AT_ONCE", size)
        for found, array in zip(best_labels(scores, function, 30, k), expected, strict=True):
            np.testing.assert_array_equal(found, array)
        blocks = [len(order) for order, _ in ranked_blocks(scores, function, 30, k)]
        assert blocks[0] == min(max(size // 30, 1), 40)
        assert sum(blocks) == 40


def test_memory_does_not_grow_as_lines_times_labels():
    coef = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    pooled = np.random.default_rng(1).normal(size=(2_000, 2)).astype(np.float32)
    tracemalloc.start()
    best_labels(pooled, lambda rows: softmax(rows @ coef.T, axis=1), len(coef), 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6  # all probabilities take 160 MB
