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
