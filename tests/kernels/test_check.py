import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("place", [0, 1, 1023, 1024, 4999])
@pytest.mark.parametrize(("value", "valid"), [(-1, False), (0, True), (29, True), (30, False)])
def test_indices_valid(level, index_dtype, num_threads, place, value, valid):
    indices = np.full(5000, 7, index_dtype)
    indices[place] = value
    kernel = level.indices_valid
    assert kernel(indices, 30, num_threads) is valid
    assert reference.indices_valid(indices, 30, num_threads) is valid


@cases.levels
@cases.index_dtypes
def test_no_indices_and_no_rows(level, index_dtype):
    kernel = level.indices_valid
    assert kernel(np.empty(0, index_dtype), 0, 1)
    assert not kernel(np.zeros(1, index_dtype), 0, 1)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_rows", [2**31 - 1, 2**31, 2**40])
def test_tables_beyond_the_range_of_int32(level, index_dtype, num_rows):
    largest = np.iinfo(index_dtype).max
    kernel = level.indices_valid
    assert kernel(np.array([0, largest], index_dtype), num_rows, 1) is (largest < num_rows)
    assert kernel(np.array([0, min(largest, num_rows - 1)], index_dtype), num_rows, 1)
    assert not kernel(np.array([0, -1], index_dtype), num_rows, 1)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize(
    ("offsets", "valid"),
    [
        ([0, 5], True),
        ([0, 0, 5, 5], True),
        ([1, 5], False),
        ([0, 4], False),
        ([0, 6], False),
        ([0, 3, 2, 5], False),
        ([0, -1, 5], False),
    ],
)
def test_offsets_valid(level, index_dtype, offsets, valid):
    offsets = np.array(offsets, index_dtype)
    kernel = level.offsets_valid
    assert kernel(offsets, 5) is valid
    assert reference.offsets_valid(offsets, 5) is valid


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize(
    ("starts", "valid"),
    [
        ([0], True),
        ([0, 0, 3, 5, 5], True),
        ([], False),
        ([1, 5], False),
        ([0, 6], False),
        ([0, 3, 2], False),
        ([0, -1], False),
    ],
)
def test_close_offsets(level, index_dtype, starts, valid):
    starts = np.array(starts, index_dtype)
    actual, expected = np.full((2, len(starts) + 3), -7, index_dtype)
    assert level.close_offsets(actual[1:-1], starts, 5) is valid
    assert reference.close_offsets(expected[1:-1], starts, 5) is valid
    np.testing.assert_array_equal(actual, expected)


@cases.levels
def test_close_offsets_without_bags(level):
    ends = np.full(1, -7)
    assert level.close_offsets(ends, np.empty(0, np.int64), 0) is True
    assert ends == 0


@cases.levels
def test_drop_padding_stays_in_its_arrays_when_offsets_changed_after_the_check(level):
    n = 10
    indices, offsets = np.arange(n), np.array([0, n, 0, n, -(2**60), 2**60, n])
    outputs = [np.full(n + 20, -7), np.full(7, -7), np.empty(0)]
    kernel = level.drop_padding
    kernel(outputs[0][:n], *outputs[1:], indices, offsets, np.empty(0), 3)
    np.testing.assert_array_equal(outputs[0][n:], -7)
    assert outputs[1][-1] == n - 1


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("padding_row", [0, 3, 4])
def test_drop_padding(level, index_dtype, real, weighted, padding_row):
    rng = np.random.default_rng(6)
    indices, offsets = cases.make_bags(rng, 4, index_dtype)
    weights = cases.make_weights(rng, len(indices) if weighted else 0, np.dtype(real))
    arguments = (indices, offsets, weights, padding_row)
    expected, actual = (
        (np.empty_like(indices), np.empty_like(offsets), np.empty_like(weights)) for _ in range(2)
    )
    reference.drop_padding(*expected, *arguments)
    level.drop_padding(*actual, *arguments)
    np.testing.assert_array_equal(actual[1], expected[1])
    kept = expected[1][-1]
    np.testing.assert_array_equal(actual[0][:kept], expected[0][:kept])
    np.testing.assert_array_equal(actual[2][:kept], expected[2][:kept])
