"""Test the error bounds of sums, and numbers at the ends of their ranges.

A sum of n terms added in order differs from the exact one by at most γ · Σ|terms|, where
γ = n·u / (1 - n·u) and u is half the distance from 1 to the next number (Higham, Accuracy and
Stability of Numerical Algorithms, section 4.2).
"""

import math

import numpy as np
import pytest

from ebagx import embedding_bag, embedding_bag_backward
from support.kernel_cases import TABLE_DTYPES

LONG = 1_000_000
UNIT = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}
EXACT = [np.dtype(np.float32), np.dtype(np.float64)]
MODES = ("sum", "mean", "sqrtn")


def pool(table, weights=None, mode="sum"):
    """Pool all rows of a table as one bag."""
    ids = np.arange(len(table))[np.newaxis]
    weights = None if weights is None else weights[np.newaxis]
    return embedding_bag(ids, table, mode=mode, per_sample_weights=weights)[0]


def exact_divisor(mode, count, weights):
    if mode == "sum":
        return 1.0
    if weights is None:
        return float(count) if mode == "mean" else math.sqrt(count)
    exact = weights.astype(float)
    return math.fsum(exact) if mode == "mean" else math.sqrt(math.fsum(exact * exact))


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_million_entries_stay_within_the_bound(dtype, mode, weighted):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((LONG, 2)).astype(dtype)
    weights = rng.random(LONG).astype(dtype) if weighted else None
    terms = table.astype(float) * (1 if weights is None else weights.astype(float)[:, None])
    divisor = exact_divisor(mode, LONG, weights)
    operations = LONG + weighted + 2  # additions, a product, the divisor and the division
    gamma = operations * UNIT[dtype] / (1 - operations * UNIT[dtype])
    for actual, column in zip(pool(table, weights, mode), terms.T, strict=True):
        error = abs(float(actual) - math.fsum(column) / divisor)
        bound = gamma * math.fsum(np.abs(column)) / abs(divisor)
        assert error <= bound
        # Rounding errors of random signs mostly cancel, as in real data.
        assert error <= bound / 100


@pytest.mark.parametrize("dim", [1, 3, 64, 130])
@pytest.mark.parametrize("weighted", [False, True])
def test_equal_terms_add_up(dim, weighted):
    """Their rounding errors do not cancel: added up in order in float32, the mean is 0.101."""
    table = np.full((LONG, dim), 0.1, np.float32)
    weights = np.full(LONG, 0.3, np.float32) if weighted else None
    np.testing.assert_allclose(pool(table, weights, "mean"), table[0], rtol=512 * 2**-24)


@pytest.mark.parametrize("dtype", EXACT, ids=str)
def test_the_gradient_of_a_row_looked_up_a_million_times(dtype):
    rng = np.random.default_rng(1)
    grad = rng.standard_normal((LONG, 2)).astype(dtype)
    ids = np.zeros((LONG, 1), np.int32)
    table = np.zeros((1, 2), dtype)
    for sparse in (False, "rows"):
        gradient = embedding_bag_backward(grad, ids, table, mode="sum", sparse=sparse).weight
        for actual, column in zip(
            getattr(gradient, "values", gradient)[0], grad.astype(float).T, strict=True
        ):
            gamma = LONG * UNIT[dtype] / (1 - LONG * UNIT[dtype])
            bound = gamma * math.fsum(np.abs(column))
            assert abs(float(actual) - math.fsum(column)) <= bound / 100


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_gradients_of_frequent_rows_have_the_same_bits_in_every_form(dtype):
    """Bags are added up in parts, rows of gradients are not."""
    rng = np.random.default_rng(2)
    ids, grad = rng.integers(0, 3, (2000, 1)), rng.standard_normal((2000, 5))
    table = np.zeros((3, 5), dtype)
    dense, sparse, rows = (
        embedding_bag_backward(grad, ids, table, mode="sum", sparse=sparse).weight
        for sparse in (False, True, "rows")
    )
    np.testing.assert_array_equal(dense, sparse.toarray())
    np.testing.assert_array_equal(dense, rows.toarray())


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("mode", MODES)
def test_half_precision_rounds_once(name, mode):
    """The float32 sum has more than 11 correct bits, so that the result is at most one unit off."""
    dtype = next((d for d in TABLE_DTYPES if d.name == name), None)
    if dtype is None:
        pytest.skip("ml_dtypes is not installed")
    rng = np.random.default_rng(2)
    table = (1 + rng.random((10_000, 3))).astype(dtype)
    result = pool(table, mode=mode)
    for actual, column in zip(result, table.astype(float).T, strict=True):
        exact = math.fsum(column) / exact_divisor(mode, len(table), None)
        bits = 10 if name == "float16" else 7
        unit = 2.0 ** (math.floor(math.log2(exact)) - bits)
        assert abs(float(actual) - exact) <= unit * 0.51


def test_float16_never_overflows_where_the_result_does_not():
    """For 100,000 rows, float32 sums of the largest number round to a mean above it."""
    largest = np.finfo(np.float16).max
    many = np.full((2000, 1), largest)
    assert pool(many, mode="mean") == largest
    assert np.isfinite(pool(np.full((100_000, 1), 65_000, np.float16), mode="mean"))
    assert pool(np.array([[largest]] * 2), mode="sqrtn") == np.inf  # 92,636: too large indeed
    ups_and_downs = np.concatenate([many[:250], -many[:250], [[np.float16(7)]]])
    assert pool(ups_and_downs) == 7
    weights = np.full(len(many), 1 / len(many))
    np.testing.assert_allclose(pool(many, weights).astype(float), largest, rtol=2**-11)
    gradient = embedding_bag_backward(
        np.full((100_000, 1), 60_000.0), np.zeros((100_000, 1), int), np.zeros((1, 1), "f2")
    ).weight
    np.testing.assert_allclose(gradient, [[6e9]], rtol=1e5 * 2**-24)


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_denormals_are_not_flushed(dtype):
    bits = np.uint16 if dtype.itemsize == 2 else f"u{dtype.itemsize}"
    smallest = np.array([[1]], bits).view(dtype)
    assert smallest.astype(float) > 0
    assert pool(smallest) == smallest[0]
    three = pool(np.repeat(smallest, 3, axis=0))
    assert three.view(bits) == 3
    np.testing.assert_array_equal(pool(np.repeat(smallest, 3, axis=0), mode="mean"), smallest[0])
    np.testing.assert_array_equal(pool(-smallest, mode="max"), -smallest[0])
    if dtype.itemsize > 2:
        gradient = embedding_bag_backward(smallest, [[0]], np.zeros((1, 1), dtype)).weight
        np.testing.assert_array_equal(gradient, smallest)


@pytest.mark.parametrize("dtype", EXACT, ids=str)
def test_huge_numbers_overflow_only_as_the_running_sum_does(dtype):
    largest = np.finfo(dtype).max
    assert pool(np.array([[largest], [-largest], [largest]], dtype)) == largest
    assert pool(np.array([[largest], [largest]], dtype)) == np.inf
    # The sum comes first, as in PyTorch: its overflow reaches the mean.
    assert pool(np.array([[largest], [largest]], dtype), mode="mean") == np.inf
    assert pool(np.array([[largest], [largest]], dtype), mode="max") == largest


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
@pytest.mark.parametrize("mode", [*MODES, "max", "min"])
def test_all_nan_and_infinite_bags(dtype, mode):
    nan, inf = np.full((3, 2), np.nan).astype(dtype), np.full((3, 2), np.inf).astype(dtype)
    assert np.isnan(pool(nan, mode=mode).astype(float)).all()
    assert (pool(inf, mode=mode).astype(float) == np.inf).all()
    assert (pool(-inf, mode=mode).astype(float) == -np.inf).all()
    both = np.concatenate([inf, -inf])
    if mode in MODES:
        assert np.isnan(pool(both, mode=mode).astype(float)).all()


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_signed_zeros(dtype):
    """A sum starts at +0, as np.sum does; max and min keep the sign of the first."""
    zeros = np.array([[-0.0], [0.0]]).astype(dtype)
    for mode in MODES:
        assert not np.signbit(pool(zeros[:1], mode=mode).astype(float))
    for mode in ("max", "min"):
        assert np.signbit(pool(zeros, mode=mode).astype(float))
        assert not np.signbit(pool(zeros[::-1], mode=mode).astype(float))
