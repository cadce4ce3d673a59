import numpy as np
import pytest

import kernel_cases as cases
from ebagx import _reference


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_rows", [1, 2, 2048, 2049, 100_000, 2**22, 2**22 + 1, 2**31 - 1])
@pytest.mark.parametrize("n", [0, 1, 1000])
def test_sort_and_group(level, index_dtype, num_rows, n):
    rng = np.random.default_rng(3)
    indices = rng.integers(0, num_rows, n).astype(index_dtype)
    indices[::3] = num_rows - 1
    rows, order, scratch, more_scratch = (np.full(n, -9, index_dtype) for _ in range(4))
    cases.find(level, "sort_lookups", index_dtype)(
        rows, order, scratch, more_scratch, indices, num_rows
    )
    expected_rows, expected_order = np.empty_like(rows), np.empty_like(order)
    _reference.sort_lookups(expected_rows, expected_order, scratch, scratch, indices, num_rows)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(order, expected_order)

    unique, starts = np.full(n, -9, index_dtype), np.full(n + 1, -9, index_dtype)
    count = cases.find(level, "group_rows", index_dtype)(unique, starts, rows)
    expected_unique, expected_starts = np.empty_like(unique), np.empty_like(starts)
    assert count == _reference.group_rows(expected_unique, expected_starts, rows)
    np.testing.assert_array_equal(unique[:count], expected_unique[:count])
    np.testing.assert_array_equal(starts[: count + 1], expected_starts[: count + 1])


@cases.levels
def test_sort_of_rows_beyond_32_bits(level):
    rng = np.random.default_rng(4)
    indices = rng.integers(0, 2**40, 500)
    rows, order, scratch, more_scratch = (np.empty(500, np.int64) for _ in range(4))
    kernel = cases.find(level, "sort_lookups", np.dtype(np.int64))
    kernel(rows, order, scratch, more_scratch, indices, 2**40)
    np.testing.assert_array_equal(order, np.argsort(indices, kind="stable"))


@cases.levels
def test_int32_rows_of_a_table_beyond_40_bits(level):
    indices = np.array([5000, 1000, 5000, 4096, 1000], np.int32)
    rows, order, scratch, more_scratch = (np.empty(5, np.int32) for _ in range(4))
    kernel = cases.find(level, "sort_lookups", np.dtype(np.int32))
    kernel(rows, order, scratch, more_scratch, indices, 2**44)
    np.testing.assert_array_equal(rows, [1000, 1000, 4096, 5000, 5000])


@cases.levels
def test_indices_that_changed_after_the_check_become_row_0(level):
    indices = np.array([5, -(2**60), 2**60, 1])
    rows, order, scratch, more_scratch = (np.empty(4, np.int64) for _ in range(4))
    kernel = cases.find(level, "sort_lookups", np.dtype(np.int64))
    kernel(rows, order, scratch, more_scratch, indices, 6)
    np.testing.assert_array_equal(rows, [0, 0, 1, 5])


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("mode", [_reference.SUM, _reference.MEAN, _reference.SQRTN])
@pytest.mark.parametrize("weighted", [False, True])
def test_transpose_lookups(level, index_dtype, num_threads, real, mode, weighted):
    rng = np.random.default_rng(5)
    indices, offsets = cases.make_bags(rng, 50, index_dtype)
    n = len(indices)
    weights = cases.make_weights(rng, n if weighted else 0, np.dtype(real))
    weights[offsets[9] : offsets[10]] = 0
    order = np.argsort(indices, kind="stable").astype(index_dtype)
    scaled = n if weighted or mode else 0
    expected = np.empty(n, index_dtype), np.empty(scaled, real)
    actual = np.full(n, -9, index_dtype), np.full(scaled, np.nan, real)
    scratch = np.empty(n, index_dtype), np.empty(scaled, real)
    arguments = (*scratch, order, offsets, weights, mode, num_threads)
    _reference.transpose_lookups(*expected, *arguments)
    cases.find(level, "transpose_lookups", index_dtype, np.dtype(real))(*actual, *arguments)
    np.testing.assert_array_equal(actual[0], expected[0])
    cases.assert_same_bits(actual[1], expected[1])
