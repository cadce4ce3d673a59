import numpy as np

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
