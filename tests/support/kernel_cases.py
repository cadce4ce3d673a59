"""Provide the cases of kernel tests: levels, dtypes, thread counts, shapes, bags."""

import numpy as np
import pytest

from ebagx._core.dtypes import sum_dtype
from ebagx._core.levels import available_levels, load_level

LEVELS = {name: load_level(name) for name in available_levels()}
TABLE_DTYPES = [np.dtype(name) for name in ("float32", "float64", "float16")]
try:
    import ml_dtypes
except ImportError:
    pass
else:
    TABLE_DTYPES.append(np.dtype(ml_dtypes.bfloat16))

INDEX_DTYPES = [np.dtype(np.int32), np.dtype(np.int64)]
DIMS = (1, 3, 7, 8, 17, 50, 64, 65, 100, 145)

levels = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
threads = pytest.mark.parametrize("num_threads", [1, 2, 3])
table_dtypes = pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
index_dtypes = pytest.mark.parametrize("index_dtype", INDEX_DTYPES, ids=str)
dims = pytest.mark.parametrize("dim", DIMS)

GUARD = 7.0


def guarded(shape: tuple[int, int], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return an output with strided rows, and the array around it that must stay as it is."""
    whole = np.full((shape[0] + 2, shape[1] + 5), GUARD).astype(dtype)
    return whole, whole[1:-1, 2 : 2 + shape[1]]


def assert_guards(whole: np.ndarray, shape: tuple[int, int]) -> None:
    outside = np.ones(whole.shape, bool)
    outside[1:-1, 2 : 2 + shape[1]] = False
    assert np.all(whole[outside] == np.asarray(GUARD, whole.dtype))


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """Assert that arrays are equal bit for bit, signed zeros too; any NaN equals any other."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    real = sum_dtype(expected.dtype)
    nan = np.isnan(expected.astype(real))
    np.testing.assert_array_equal(np.isnan(actual.astype(real)), nan)
    zero = np.zeros((), expected.dtype)
    bits = f"u{expected.itemsize}"
    np.testing.assert_array_equal(
        np.where(nan, zero, actual).view(bits), np.where(nan, zero, expected).view(bits)
    )


def make_table(rng, num_rows: int, dim: int, dtype: np.dtype) -> np.ndarray:
    """Return a read-only table with strided rows, ties, signed zeros, infinities and NaN."""
    table = rng.standard_normal((num_rows, dim + 3)).astype(dtype)
    table[0] = table[-1]
    table[1], table[2] = 0.0, -0.0
    table[3, ::3] = np.inf
    table[4, ::5] = -np.inf
    table[5, ::7] = np.nan
    table = table[:, 1 : dim + 1]
    table.flags.writeable = False
    return table


def make_bags(rng, num_rows: int, index_dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Return (indices, offsets) of bags that are empty, short, long, and one giant."""
    lengths = np.concatenate([[0, 1, 0, 0, 2, 37, 9000], rng.integers(0, 40, 30), [0]])
    rng.shuffle(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    indices = rng.integers(0, num_rows, offsets[-1]).astype(index_dtype)
    indices.flags.writeable = False
    return indices, offsets


def make_weights(rng, n: int, real: np.dtype) -> np.ndarray:
    weights = rng.standard_normal(n).astype(real)
    weights[rng.random(n) < 0.05] = 0
    return weights
