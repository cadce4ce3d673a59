import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["add_rows", "clear_rows"])
def test_dense_updates_have_same_bits_as_reference(level, index_dtype, num_threads, real, name):
    rng = np.random.default_rng(10)
    rows = np.array([0, 3, 4, 9], index_dtype)
    for dim in cases.DIMS:
        start = rng.standard_normal((10, dim + 2)).astype(real)
        values = (rng.standard_normal((4, dim)).astype(real),) if name == "add_rows" else ()
        expected, actual = start.copy(), start.copy()
        getattr(reference, name)(expected[:, 1:-1], rows, *values, num_threads)
        kernel = getattr(level, name)
        kernel(actual[:, 1:-1], rows, *values, num_threads)
        cases.assert_same_bits(actual, expected)
