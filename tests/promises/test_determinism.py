"""Test that results have the same bits for every number of threads."""

import numpy as np
import pytest
import scipy.sparse

from ebagx import embedding_bag, embedding_bag_backward
from ebagx._core import threads
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES

NUM_ROWS, NUM_BAGS = 200, 100


@pytest.fixture(autouse=True)
def small_work_is_worth_a_thread(monkeypatch):
    monkeypatch.setattr(threads, "WORK_PER_THREAD", 1)


@pytest.fixture(scope="module")
def bags():
    """Empty bags, short ones and a giant; one row has half of all lookups."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 60, NUM_BAGS)
    lengths[[7, 8]] = 0, 9000
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(0, NUM_ROWS, offsets[-1])
    indices[rng.random(len(indices)) < 0.6] = 17
    return indices, offsets


def assert_all_same_bits(results, expected):
    for actual, array in zip(results, expected, strict=True):
        assert actual.dtype == array.dtype
        assert actual.shape == array.shape
        assert actual.tobytes() == array.tobytes()


@pytest.mark.parametrize("dim", [17, 100])
@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_forward_and_backward(bags, mode, dtype, dim):
    indices, offsets = bags
    rng = np.random.default_rng(1)
    table = rng.standard_normal((NUM_ROWS, dim)).astype(dtype)
    weighted = mode in WEIGHTED_MODES
    options = {
        "input": indices,
        "weight": table,
        "offsets": offsets,
        "include_last_offset": True,
        "mode": mode,
        "per_sample_weights": rng.standard_normal(len(indices)) if weighted else None,
        "padding_idx": 3,
        "default_row": 7,
    }
    grad = rng.standard_normal((NUM_BAGS, dim))

    def results(num_threads):
        pooled = embedding_bag(**options, return_indices=not weighted, num_threads=num_threads)
        gradients = embedding_bag_backward(
            grad, **options, scale_grad_by_freq=True, num_threads=num_threads
        )
        return [pooled, *gradients] if weighted else [*pooled, gradients.weight]

    expected = results(1)
    for num_threads in (2, 3):
        assert_all_same_bits(results(num_threads), expected)


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_max_norm(dtype):
    tables = [np.random.default_rng(2).standard_normal((500, 33)).astype(dtype) for _ in range(3)]
    lookups = np.arange(0, 500, 2)[:, np.newaxis]
    results = [
        [embedding_bag(lookups, table, max_norm=3, num_threads=num_threads), table]
        for num_threads, table in enumerate(tables, start=1)
    ]
    assert_all_same_bits(results[1], results[0])
    assert_all_same_bits(results[2], results[0])


def test_sparse_input(bags):
    indices, offsets = bags
    values = np.random.default_rng(3).standard_normal(len(indices))
    matrix = scipy.sparse.csr_array((values, indices, offsets), shape=(NUM_BAGS, NUM_ROWS))
    table = np.random.default_rng(4).standard_normal((NUM_ROWS, 20))
    expected = [embedding_bag(matrix, table, num_threads=1)]
    assert_all_same_bits([embedding_bag(matrix, table, num_threads=2)], expected)


@pytest.mark.parametrize("place", [0, 4999])
@pytest.mark.parametrize("index", [-1, NUM_ROWS])
def test_every_thread_checks_its_indices(place, index):
    indices = np.zeros(5000, np.int64)
    indices[place] = index
    with pytest.raises(IndexError, match=rf"^input\[{place}\] = {index} is out of range"):
        embedding_bag(indices, np.ones((NUM_ROWS, 1)), [0], num_threads=2)
