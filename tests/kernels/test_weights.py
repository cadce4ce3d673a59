import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from support import kernel_cases as cases


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("mode", [reference.SUM, reference.MEAN, reference.SQRTN])
def test_same_bits_as_reference(level, dtype, index_dtype, num_threads, mode):
    rng = np.random.default_rng(7)
    real = sum_dtype(dtype)
    offsets = np.array([0, 0, 1, 40, 40, 90], index_dtype)
    indices = rng.integers(0, 20, 90).astype(index_dtype)
    weights = cases.make_weights(rng, 90, real)
    weights[0] = 0  # the bag of one lookup: every divisor is 0
    for dim in cases.DIMS:
        table = rng.standard_normal((20, dim + 2)).astype(dtype)[:, 1:-1]
        grad = rng.standard_normal((5, dim)).astype(real)
        grad[[0, 3]] = np.nan  # of empty bags: never read
        expected, actual = np.empty(90, real), np.full(90, np.nan, real)
        reference.weights_gradient(
            expected, grad, table, indices, offsets, weights, mode, num_threads
        )
        level.weights_gradient(
            actual, grad, kernel_view(table), indices, offsets, weights, mode, num_threads
        )
        cases.assert_same_bits(actual, expected)


@cases.levels
@pytest.mark.parametrize("mode", [reference.MEAN, reference.SQRTN])
def test_bag_of_zero_divisor_has_zero_gradient(level, mode):
    weights = np.array([1.0, -1.0]) if mode == reference.MEAN else np.zeros(2)
    out = np.full(2, np.nan)
    kernel = level.weights_gradient
    kernel(out, np.ones((1, 3)), np.ones((2, 3)), np.arange(2), np.array([0, 2]), weights, mode, 1)
    np.testing.assert_array_equal(out, 0)
