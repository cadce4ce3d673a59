import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view
from ebagx._kernels import reference
from support import kernel_cases as cases


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("norm_type", [2.0, 1.0, 0.0, np.inf, -np.inf, 3.0, 0.5, -1.0])
def test_same_bits_as_reference(level, dtype, index_dtype, num_threads, norm_type):
    rng = np.random.default_rng(8)
    rows = np.array([0, 1, 2, 3, 7, 8], index_dtype)
    for dim in cases.DIMS:
        table = (3 * rng.standard_normal((10, dim))).astype(dtype)
        table[1], table[2, ::3], table[3, 0] = 0, np.nan, np.inf
        expected, actual = table.copy(), table.copy()
        with np.errstate(invalid="ignore"):
            reference.renorm(expected, rows, 1.5, norm_type, num_threads)
        level.renorm(kernel_view(actual), rows, 1.5, norm_type, num_threads)
        cases.assert_same_bits(actual, expected)
        cases.assert_same_bits(actual[[4, 5, 6, 9]], table[[4, 5, 6, 9]])


@cases.levels
def test_norm_of_exactly_max_norm_stays(level):
    table = np.array([[3.0, 4.0], [3.0, 4.000001]])
    kernel = level.renorm
    kernel(table, np.arange(2), 5.0, 2.0, 1)
    np.testing.assert_array_equal(table[0], [3.0, 4.0])
    np.testing.assert_allclose(np.linalg.norm(table[1]), 5.0, rtol=1e-6)
    assert np.linalg.norm(table[1]) < 5.0
