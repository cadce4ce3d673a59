import inspect

import numpy as np
import pytest

from ebagx._core import levels
from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from support import kernel_cases as cases


@pytest.mark.parametrize("name", levels.KERNEL_NAMES)
@cases.levels
def test_every_kernel_has_a_twin_of_the_same_arguments(name, level):
    kernel = inspect.signature(getattr(level, name))
    twin = inspect.signature(getattr(levels.load_level(levels.REFERENCE), name))
    assert list(kernel.parameters) == list(twin.parameters)


@cases.table_dtypes
def test_the_twin_takes_cells_as_kernels_do(dtype):
    """16-bit floats come as their bits, and are written so."""
    rng = np.random.default_rng(3)
    table = rng.standard_normal((6, 5)).astype(dtype)
    bags = np.array([0, 5, 2, 2]), np.array([0, 3, 4])
    weights = np.empty(0, sum_dtype(dtype))

    def results(view):
        pooled, best, scaled = np.empty((2, 5), dtype), np.empty((2, 5), dtype), table.copy()
        winners, gradient = np.empty((2, 5), np.int64), np.empty(4, weights.dtype)
        ones, grad = np.ones(4, weights.dtype), np.ones((2, 5), weights.dtype)
        reference.pool(view(pooled), view(table), *bags, weights, reference.MEAN, 1)
        reference.extreme(view(best), winners, view(table), *bags, 1, 1)
        reference.weights_gradient(gradient, grad, view(table), *bags, ones, reference.SUM, 1)
        reference.renorm(view(scaled), np.arange(3), 0.5, 2.0, 1)
        return pooled, best, winners, gradient, scaled

    for of_bits, expected in zip(results(kernel_view), results(np.asarray), strict=True):
        assert of_bits.dtype == expected.dtype
        np.testing.assert_array_equal(of_bits, expected)
