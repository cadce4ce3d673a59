import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from support import kernel_cases as cases

NUM_ROWS = 50


@pytest.fixture(scope="module", params=cases.TABLE_DTYPES, ids=str)
def expected(request):
    """Inputs, and the reference's results, for every width, mode and weighting of one dtype."""
    rng = np.random.default_rng(0)
    dtype, real = request.param, sum_dtype(request.param)
    indices, offsets = cases.make_bags(rng, NUM_ROWS, np.dtype(np.int64))
    weights = {False: np.empty(0, real), True: cases.make_weights(rng, len(indices), real)}
    weights[True][offsets[5] : offsets[6]] = 0
    results = {}
    for dim in cases.DIMS:
        table = cases.make_table(rng, NUM_ROWS, dim, dtype)
        for mode in (reference.IN_ORDER, reference.SUM, reference.MEAN, reference.SQRTN):
            for weighted, w in weights.items():
                out = np.empty((len(offsets) - 1, dim), dtype)
                with np.errstate(invalid="ignore", over="ignore"):
                    reference.pool(out, table, indices, offsets, w, mode, 1)
                results[dim, mode, weighted] = table, out
    return dtype, indices, offsets, weights, results


@cases.levels
@cases.index_dtypes
@cases.threads
def test_same_bits_as_reference(level, index_dtype, num_threads, expected):
    dtype, indices, offsets, weights, results = expected
    kernel = level.pool
    indices, offsets = indices.astype(index_dtype), offsets.astype(index_dtype)
    for (dim, mode, weighted), (table, out) in results.items():
        whole, actual = cases.guarded((len(offsets) - 1, dim), dtype)
        arguments = kernel_view(table), indices, offsets, weights[weighted], mode, num_threads
        assert kernel(kernel_view(actual), *arguments) is True
        cases.assert_same_bits(actual, out)
        cases.assert_guards(whole, actual.shape)


@cases.levels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 511, 512, 513, 1024, 5000])
def test_long_bags_are_added_up_in_parts(level, dtype, length):
    """The twin is not asked here: the parts are written out."""
    rng = np.random.default_rng(2)
    table = rng.standard_normal((50, 3)).astype(dtype)
    indices, offsets = rng.integers(0, 50, length), np.array([0, length])
    no_weights = np.empty(0, dtype)
    rows = table[indices]
    in_order = np.cumsum(rows, axis=0, dtype=dtype)[-1:]
    parts = [np.cumsum(rows[k : k + 512], axis=0, dtype=dtype)[-1] for k in range(0, length, 512)]
    in_parts = np.cumsum(parts, axis=0, dtype=np.float64)[-1:].astype(dtype)
    actual = np.empty((1, 3), dtype)
    level.pool(actual, table, indices, offsets, no_weights, reference.SUM, 1)
    cases.assert_same_bits(actual, in_parts)
    level.pool(actual, table, indices, offsets, no_weights, reference.IN_ORDER, 1)
    cases.assert_same_bits(actual, in_order)


@cases.levels
@pytest.mark.parametrize("num_bags", [31, 32, 33, 64, 100])
@pytest.mark.parametrize("dim", [8, 300])
@pytest.mark.parametrize("other", ["none", "empty", "long", "no divisor"])
def test_bags_of_any_kind_at_the_ends_of_groups(level, num_bags, dim, other):
    """32 bags are pooled side by side; those without lookups and long ones are left out of it."""
    rng = np.random.default_rng(3)
    table = rng.standard_normal((50, dim)).astype(np.float32)
    lengths = rng.integers(1, 4, num_bags)
    others = [b for b in (0, 30, 31, 32, 63, num_bags - 1) if b < num_bags]
    lengths[others] = {"none": 2, "empty": 0, "long": 600, "no divisor": 2}[other]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.integers(0, 50, offsets[-1])
    weights = rng.standard_normal(offsets[-1]).astype(np.float32)
    if other == "no divisor":
        for b in others:
            weights[offsets[b] : offsets[b + 1]] = 1, -1
    expected, actual = (np.full((num_bags, dim), np.nan, np.float32) for _ in range(2))
    arguments = table, indices, offsets, weights, reference.MEAN, 1
    reference.pool(expected, *arguments)
    assert level.pool(actual, *arguments) is True
    cases.assert_same_bits(actual, expected)


@cases.levels
@cases.threads
@pytest.mark.parametrize("dim", [1, 16, 17, 64])
def test_one_giant_bag_is_shared_by_all_threads(level, num_threads, dim):
    rng = np.random.default_rng(1)
    table = rng.standard_normal((50, dim))
    indices, offsets = rng.integers(0, 50, 10_000), np.array([0, 10_000])
    expected, actual = np.empty((1, dim)), np.full((1, dim), np.nan)
    arguments = table, indices, offsets, np.empty(0), reference.MEAN, num_threads
    reference.pool(expected, *arguments)
    kernel = level.pool
    kernel(actual, *arguments)
    cases.assert_same_bits(actual, expected)


@cases.levels
def test_rows_in_reverse_order(level):
    table = np.arange(20, dtype=np.float32).reshape(5, 4)[::-1]
    out = np.empty((2, 4), np.float32)
    indices, offsets = np.array([0, 4, 1]), np.array([0, 2, 3])
    kernel = level.pool
    kernel(out, table, indices, offsets, np.empty(0, np.float32), reference.SUM, 1)
    np.testing.assert_array_equal(out, [table[0] + table[4], table[1]])


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("bad", [-1, 50, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize(
    ("dim", "at", "weight", "mode"),
    [
        (4, 0, None, reference.SUM),
        (16, 3_100, None, reference.MEAN),  # in the giant bag, which threads share
        (64, 6_002, 1, reference.SQRTN),
        (100, 6_002, 0.5, reference.SUM),
        (300, 2, None, reference.SUM),
        (64, 6_002, 0, reference.MEAN),  # of a bag without a divisor no row is read
    ],
)
def test_indices_outside_are_found(level, index_dtype, num_threads, bad, dim, at, weight, mode):
    offsets = np.array([0, 2, 4, 6_001, 6_003], index_dtype)
    indices = np.full(6_003, 3, index_dtype)
    weights = np.ones(0 if weight is None else len(indices), np.float32)
    weights[6_001:] = weight or 0
    table, out = np.ones((50, dim), np.float32), np.empty((4, dim), np.float32)
    arguments = out, table, indices, offsets, weights, mode, num_threads
    assert level.pool(*arguments) is True
    indices[at] = bad
    assert level.pool(*arguments) is False


def test_the_reference_finds_indices_outside():
    table, out, offsets = np.ones((5, 2)), np.empty((1, 2)), np.array([0, 2])
    for bad in (-1, 5):
        arguments = out, table, np.array([0, bad]), offsets, np.empty(0), reference.SUM, 1
        assert reference.pool(*arguments) is False


@cases.levels
def test_indices_outside_are_row_0(level):
    table = np.ones((3, 8), np.float32)
    out = np.empty((1, 8), np.float32)
    indices, offsets = np.array([0, -(2**62), 2**62, 3]), np.array([0, 2**40])
    kernel = level.pool
    kernel(out, table, indices, offsets, np.empty(0, np.float32), reference.SUM, 1)
    np.testing.assert_array_equal(out, np.full((1, 8), 4.0))


@cases.levels
@pytest.mark.parametrize("mode", [reference.SUM, reference.MEAN, reference.SQRTN])
@pytest.mark.parametrize("weighted", [False, True])
def test_offsets_that_changed_after_the_check_make_empty_bags(level, mode, weighted):
    """A bag that ends before it starts must not be read, above all not after the last lookup."""
    table = np.ones((3, 8), np.float32)
    out = np.full((3, 8), 7, np.float32)
    indices, offsets = np.zeros(4, np.int64), np.array([0, 4, 1, 4])
    weights = np.ones(4 * weighted, np.float32)
    kernel = level.pool
    kernel(out, table, indices, offsets, weights, mode, 1)
    assert out[0].all()
    np.testing.assert_array_equal(out[1], 0)
