import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases

NUM_ROWS = 60


def numbered(number_rows, blocks, dtype, num_rows=NUM_ROWS):
    """Return the result of a kernel for blocks of lookups, one after the other."""
    slots, first, made = np.zeros(num_rows, dtype), 1, []
    for indices, bounds in blocks:
        rows, numbers = np.full(len(indices), -9, dtype), np.full(len(indices), -9, dtype)
        ends = np.full(len(bounds) - 1, -9)
        first = number_rows(rows, ends, numbers, slots, indices, np.array(bounds, dtype), first)
        made += [rows[: ends[-1]], ends, numbers, np.array(first), slots.copy()]
    return made


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("bounds", [(0, 0), (0, 1), (0, 1, 1, 40, 500), (0, 0, 500, 500)])
def test_number_rows_equals_reference(level, index_dtype, bounds):
    rng = np.random.default_rng(5)
    blocks = [(rng.integers(0, NUM_ROWS, bounds[-1]).astype(index_dtype), bounds)] * 2
    expected = numbered(reference.number_rows, blocks, index_dtype)
    found = numbered(level.number_rows, blocks, index_dtype)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("bounds", [(0, 6, 2, 6), (0, -5, 99), (4, 2, 1), (-3, 9, 9)])
def test_changed_by_another_thread(level, index_dtype, bounds):
    """Rows outside the table and decreasing bounds give wrong numbers, not wild addresses."""
    indices = np.array([2, -1, 7, 2**31 - 1, 2, 0], index_dtype)
    kernel = level.number_rows
    rows, ends, numbers, *_ = numbered(kernel, [(indices, bounds)], index_dtype, num_rows=3)
    assert ((rows >= 0) & (rows < 3)).all()
    assert (np.diff(ends) >= 0).all()
    assert (numbers < 3).all()
