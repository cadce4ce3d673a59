import numpy as np
import pytest

import kernel_cases as cases
from ebagx import _reference
from ebagx._dispatch import cells, real_dtype


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@cases.threads
def test_adagrad_has_same_bits_as_reference(level, dtype, index_dtype, num_threads):
    rng = np.random.default_rng(9)
    real = real_dtype(dtype)
    rows = np.array([0, 3, 4, 9], index_dtype)
    for dim in cases.DIMS:
        start = rng.standard_normal((10, dim)).astype(dtype)
        tables, squares = [start.copy(), start.copy()], [np.zeros((10, dim), real)] * 2
        squares = [array.copy() for array in squares]
        kernel = cases.find(level, "adagrad", index_dtype, dtype)
        for _ in range(3):
            grad = rng.standard_normal((4, dim)).astype(real)
            _reference.adagrad(tables[0], squares[0], rows, grad, 0.1, 1e-8, num_threads)
            kernel(cells(tables[1]), squares[1], rows, grad, 0.1, 1e-8, num_threads)
        cases.assert_same_bits(tables[1], tables[0])
        cases.assert_same_bits(squares[1], squares[0])
        cases.assert_same_bits(tables[1][[1, 2, 5]], start[[1, 2, 5]])


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
        getattr(_reference, name)(expected[:, 1:-1], rows, *values, num_threads)
        kernel = cases.find(level, name, index_dtype, np.dtype(real))
        kernel(actual[:, 1:-1], rows, *values, num_threads)
        cases.assert_same_bits(actual, expected)
