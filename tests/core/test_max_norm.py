"""Test that max_norm scales the right rows in place, by the documented factor."""

import numpy as np
import pytest
import scipy.sparse

from ebagx import EmbeddingBag, embedding_bag
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES

NORM_TYPES = [0, 0.5, 1, 2, 3, np.inf, -np.inf, -1]


def table_with_norms(dtype=np.float64):
    table = np.random.default_rng(0).standard_normal((8, 19))
    table *= np.geomspace(0.1, 10, 8)[:, np.newaxis]
    return table.astype(dtype)


def renormed(table, rows, max_norm, norm_type):
    """Return the table with the rows scaled down, each once, by the documented formula."""
    result = table.astype(np.float64)
    for row in set(rows):
        norm = np.linalg.norm(result[row], norm_type)
        if norm > max_norm:
            result[row] *= max_norm / (norm + 1e-7)
    return result


@pytest.mark.parametrize("norm_type", NORM_TYPES)
@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_formula(dtype, norm_type):
    table = table_with_norms(dtype)
    norms = np.linalg.norm(table.astype(float), norm_type, axis=1)
    max_norm = 18.5 if norm_type == 0 else float(np.median(norms))
    expected = renormed(table, [7, 1, 4, 0], max_norm, norm_type)
    pooled = embedding_bag([[7, 1, 7, 4], [0]], table, max_norm=max_norm, norm_type=norm_type)
    tolerance = {2: {"float16": 1e-3}.get(str(np.dtype(dtype)), 8e-3), 4: 3e-7, 8: 1e-14}
    rtol = tolerance[table.itemsize]
    np.testing.assert_allclose(table.astype(float), expected, rtol=rtol)
    np.testing.assert_array_equal(pooled, embedding_bag([[7, 1, 7, 4], [0]], table))


def test_rows_that_are_not_looked_up_stay():
    table = 100 * np.ones((6, 4))
    embedding_bag([[1, 4, 1]], table, max_norm=1.0)
    np.testing.assert_array_equal(table[[0, 2, 3, 5]], 100 * np.ones((4, 4)))
    np.testing.assert_allclose(np.linalg.norm(table[[1, 4]], axis=1), [1, 1], rtol=1e-6)


def test_boundary():
    table = np.array([[3.0, 4.0], [3.0, np.nextafter(4.0, 5.0)]])
    expected = [[3.0, 4.0], table[1] * (5 / (np.linalg.norm(table[1]) + 1e-7))]
    embedding_bag([[0, 1]], table, max_norm=5)
    np.testing.assert_array_equal(table, expected)


def test_zero_and_inf():
    table = table_with_norms()
    before = table.copy()
    embedding_bag([range(8)], table, max_norm=np.inf)
    np.testing.assert_array_equal(table, before)
    embedding_bag([range(8)], table, max_norm=0)
    np.testing.assert_array_equal(table, np.zeros_like(before))


def test_nan_rows_stay():
    table = np.array([[np.nan, 100.0], [3.0, 4.0]])
    embedding_bag([[0, 1]], table, max_norm=1)
    np.testing.assert_array_equal(table[0], [np.nan, 100])


@pytest.mark.parametrize("mode", MODES)
def test_the_padding_row_is_scaled_too(mode):
    table = np.array([[3.0, 4.0], [30.0, 40.0]])
    pooled = embedding_bag([[0, 1, 1]], table, mode=mode, max_norm=5, padding_idx=1)
    np.testing.assert_array_equal(pooled, [[3, 4]])
    np.testing.assert_allclose(table[1], [3, 4], rtol=1e-7)


@pytest.mark.parametrize(
    "lookups",
    [
        {"input": [1, 3, 1], "offsets": [0]},
        {"input": [[1, 3, 1]]},
        {"input": scipy.sparse.csr_array(([0.0, 1.0], [1, 3], [0, 2]), shape=(1, 4))},
    ],
    ids=["offsets", "lists", "csr"],
)
def test_every_form_of_input(lookups):
    table = 10 * np.ones((4, 1))
    embedding_bag(**lookups, weight=table, max_norm=1)
    np.testing.assert_allclose(table, [[10], [1], [10], [1]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (4, 3)])
@pytest.mark.parametrize("bags", [[], [[]]])
def test_nothing_looked_up(shape, bags):
    table = 9 * np.ones(shape)
    pooled = embedding_bag(bags, table, max_norm=1)
    np.testing.assert_array_equal(pooled, np.zeros((len(bags), shape[1])))
    np.testing.assert_array_equal(table, 9 * np.ones(shape))


def test_gradients_are_of_the_scaled_table():
    table = np.array([[3.0, 4.0], [60.0, 80.0]])
    bag = EmbeddingBag(2, 2, mode="sum", max_norm=5, _weight=table)
    bag(np.array([[1, 0]]), per_sample_weights=np.array([[1.0, 1.0]]))
    bag.backward([[1.0, 1.0]])
    np.testing.assert_allclose(bag.per_sample_weights_grad, [[7, 7]], rtol=1e-7)
    np.testing.assert_array_equal(bag.grad, np.ones((2, 2)))
    assert bag.weight is table
