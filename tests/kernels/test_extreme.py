import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view
from ebagx._kernels import reference
from support import kernel_cases as cases

NUM_ROWS = 50


@pytest.fixture(scope="module", params=cases.TABLE_DTYPES, ids=str)
def expected(request):
    """Inputs, and the reference's results, for every width and direction of one dtype."""
    rng = np.random.default_rng(1)
    indices, offsets = cases.make_bags(rng, NUM_ROWS, np.dtype(np.int64))
    results = {}
    for dim in cases.DIMS:
        table = cases.make_table(rng, NUM_ROWS, dim, request.param)
        for direction in (1, -1):
            shape = (len(offsets) - 1, dim)
            out, winners = np.empty(shape, request.param), np.empty(shape, np.int64)
            reference.extreme(out, winners, table, indices, offsets, direction, 1)
            results[dim, direction] = table, out, winners
    return request.param, indices, offsets, results


@cases.levels
@cases.index_dtypes
@cases.threads
def test_same_bits_as_reference(level, index_dtype, num_threads, expected):
    dtype, indices, offsets, results = expected
    kernel = level.extreme
    indices, offsets = indices.astype(index_dtype), offsets.astype(index_dtype)
    for (dim, direction), (table, out, winners) in results.items():
        whole, actual = cases.guarded((len(offsets) - 1, dim), dtype)
        actual_winners = np.empty(actual.shape, index_dtype)
        kernel(
            kernel_view(actual),
            actual_winners,
            kernel_view(table),
            indices,
            offsets,
            direction,
            num_threads,
        )
        cases.assert_same_bits(actual, out)
        cases.assert_guards(whole, actual.shape)
        np.testing.assert_array_equal(actual_winners, winners)


@cases.levels
@cases.table_dtypes
@cases.threads
def test_winner_far_behind_in_a_long_bag(level, dtype, num_threads):
    # There are more than one segment of positions, and more than float16 or bfloat16 could count.
    n = 200_000
    table = np.zeros((n, 9)).astype(dtype)
    table[131_071], table[196_609] = 1, 1
    out, winners = np.empty((1, 9), dtype), np.empty((1, 9), np.int64)
    kernel = level.extreme
    kernel(
        kernel_view(out),
        winners,
        kernel_view(table),
        np.arange(n),
        np.array([0, n]),
        1,
        num_threads,
    )
    np.testing.assert_array_equal(winners, 131_071)


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("scaled", [False, True])
def test_gradient_has_same_bits_as_reference(level, index_dtype, num_threads, real, scaled):
    rng = np.random.default_rng(2)
    indices, offsets = cases.make_bags(rng, NUM_ROWS, index_dtype)
    order = np.argsort(indices, kind="stable")
    bags = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[order].astype(index_dtype)
    rows, starts = np.unique(indices[order], return_index=True)
    starts = np.append(starts, len(indices)).astype(index_dtype)
    scales = cases.make_weights(rng, len(indices) if scaled else 0, np.dtype(real))
    for dim in cases.DIMS:
        shape = (len(offsets) - 1, dim)
        grad = rng.standard_normal(shape).astype(real)
        winners = rng.integers(-1, NUM_ROWS, shape).astype(index_dtype)
        expected = np.empty((len(rows), dim), real)
        actual = np.full_like(expected, np.nan)
        arguments = (grad, winners, rows, bags, starts, scales, num_threads)
        reference.extreme_gradient(expected, *arguments)
        level.extreme_gradient(actual, *arguments)
        cases.assert_same_bits(actual, expected)


@cases.levels
def test_gradient_of_a_lost_column_may_be_nan(level):
    grad = np.array([[np.nan, 1.0]], np.float32)
    winners, rows = np.array([[0, 1]]), np.array([0, 1])
    out = np.empty((2, 2), np.float32)
    kernel = level.extreme_gradient
    kernel(
        out, grad, winners, rows, np.array([0, 0]), np.array([0, 1, 2]), np.empty(0, np.float32), 1
    )
    np.testing.assert_array_equal(out, [[np.nan, 0], [0, 1]])
