import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("mode", [reference.SUM, reference.MEAN, reference.SQRTN])
@pytest.mark.parametrize("weighted", [False, True])
def test_scatter_has_same_bits_as_reference(level, index_dtype, num_threads, real, mode, weighted):
    rng = np.random.default_rng(11)
    indices, offsets = cases.make_bags(rng, 50, index_dtype)
    weights = cases.make_weights(rng, len(indices) if weighted else 0, np.dtype(real))
    weights[offsets[9] : offsets[10]] = 0
    kernel = level.scatter
    for dim in (1, 17, 100):
        grad = rng.standard_normal((len(offsets) - 1, dim)).astype(real)
        start = rng.standard_normal((50, dim + 2)).astype(real)
        expected, actual = start.copy(), start.copy()
        bags = (grad, indices, offsets, weights, mode, num_threads)
        reference.scatter(expected[:, 1:-1], *bags)
        kernel(actual[:, 1:-1], *bags)
        cases.assert_same_bits(actual, expected)
