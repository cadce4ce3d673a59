"""Test embedding_bag: known answers, its definition, every form of input."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings

from ebagx import embedding_bag
from ebagx._core.bags import as_bags
from support import definition, strategies
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES

TABLE = np.arange(1.0, 11.0).reshape(5, 2)
BAGS = [[3, 1, 1], [1, 4, 0]]
SUMS = [[13.0, 16.0], [13.0, 16.0]]
EPS = {
    dtype: float(np.nextafter(dtype.type(1), dtype.type(2)) - dtype.type(1))
    for dtype in TABLE_DTYPES
}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", SUMS),
        ("mean", np.divide(SUMS, 3)),
        ("sqrtn", np.divide(SUMS, np.sqrt(3))),
        ("max", [[7, 8], [9, 10]]),
        ("min", [[3, 4], [1, 2]]),
    ],
)
@pytest.mark.parametrize(
    "lookups",
    [
        {"input": [3, 1, 1, 1, 4, 0], "offsets": [0, 3]},
        {"input": (3, 1, 1, 1, 4, 0), "offsets": (0, 3, 6), "include_last_offset": True},
        {"input": np.array(BAGS)},
        {"input": np.array(BAGS), "include_last_offset": True},
        {"input": np.asfortranarray(BAGS)},
        {"input": BAGS},
        {"input": tuple(map(np.array, BAGS))},
        {"input": scipy.sparse.csr_array((np.ones(6), np.ravel(BAGS), [0, 3, 6]), (2, 5))},
    ],
    ids=["offsets", "last offset", "2-D", "2-D last", "Fortran", "lists", "arrays", "csr"],
)
def test_known_answers(lookups, mode, expected):
    actual = embedding_bag(**lookups, weight=TABLE, mode=mode)
    np.testing.assert_array_max_ulp(actual, np.array(expected, float), maxulp=1)


def test_mean_is_the_default():
    np.testing.assert_array_equal(embedding_bag([[0, 2]], TABLE), [[3, 4]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("sum", [-1.5, 0]), ("mean", [-1, 0]), ("sqrtn", [-1.5 / np.sqrt(10.25), 0])],
)
def test_known_answers_with_weights(mode, expected):
    pooled = embedding_bag([[0, 1, 1]], TABLE, mode=mode, per_sample_weights=[[3, -1, -0.5]])
    np.testing.assert_allclose(pooled, [expected], rtol=1e-15, atol=1e-15)


@pytest.mark.slow
@settings(max_examples=800)
@given(strategies.calls())
def test_equals_its_definition(call):
    actual = embedding_bag(**call.arguments)
    expected = definition.pooled(*call.meaning)
    dtype = call.table.dtype
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    if call.mode in ("sum", "max", "min"):  # exact before the last rounding
        np.testing.assert_array_equal(actual, expected.astype(dtype))
    else:
        np.testing.assert_allclose(actual.astype(float), expected, rtol=2 * EPS[dtype], atol=0)


@given(strategies.calls(modes=("max", "min")))
def test_max_indices_equal_their_definition(call):
    pooled, winners = embedding_bag(**call.arguments, return_indices=True)
    table = call.table
    expected = definition.winners(table, call.bags, call.mode, *call.policies)
    np.testing.assert_array_equal(winners, expected)
    columns = np.arange(table.shape[1])
    won = np.where(expected < 0, table.dtype.type(0), table[expected, columns])
    np.testing.assert_array_equal(pooled, won)


@pytest.mark.parametrize("mode", MODES)
class TestEmptyBags:
    @pytest.mark.parametrize("padding_idx", [None, 2, -3])
    def test_zeros(self, mode, padding_idx):
        table = TABLE.copy()
        table[2] = np.nan
        padding = [] if padding_idx is None else [2, 2]
        lists = [padding, [3, *padding, 1], [], padding]
        pooled = embedding_bag(lists, table, mode=mode, padding_idx=padding_idx)
        np.testing.assert_array_equal(pooled[[0, 2, 3]], np.zeros((3, 2)))
        np.testing.assert_array_equal(pooled[1:2], embedding_bag([[3, 1]], TABLE, mode=mode))

    def test_empty_bags_between(self, mode):
        pooled = embedding_bag([3, 1, 1, 1, 4, 0], TABLE, [0, 0, 3, 3, 6], mode=mode)
        np.testing.assert_array_equal(pooled[[0, 2, 4]], np.zeros((3, 2)))
        np.testing.assert_array_equal(pooled[[1, 3]], embedding_bag(BAGS, TABLE, mode=mode))

    @pytest.mark.parametrize(
        ("lookups", "num_bags"),
        [
            ({"input": [], "offsets": []}, 0),
            ({"input": [], "offsets": [0]}, 1),
            ({"input": [], "offsets": [0], "include_last_offset": True}, 0),
            ({"input": [], "offsets": [0, 0, 0]}, 3),
            ({"input": np.empty((0, 4), int)}, 0),
            ({"input": np.empty((4, 0), int)}, 4),
            ({"input": []}, 0),
            ({"input": [[], (), np.array([], int)]}, 3),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("num_rows", [0, 5])
    @pytest.mark.parametrize("dim", [0, 2])
    def test_nothing_looked_up(self, mode, lookups, num_bags, num_rows, dim):
        pooled = embedding_bag(**lookups, weight=np.ones((num_rows, dim)), mode=mode)
        np.testing.assert_array_equal(pooled, np.zeros((num_bags, dim)), strict=True)

    @pytest.mark.parametrize("num_bags", [0, 3])
    @pytest.mark.parametrize("num_rows", [0, 5])
    def test_nothing_stored(self, mode, num_bags, num_rows):
        matrix = scipy.sparse.csr_array((num_bags, num_rows))
        pooled = embedding_bag(matrix, np.ones((num_rows, 2)), mode=mode)
        np.testing.assert_array_equal(pooled, np.zeros((num_bags, 2)), strict=True)

    def test_no_columns(self, mode):
        assert embedding_bag([[0, 1], [1, 2]], np.ones((3, 0)), mode=mode).shape == (2, 0)


def test_max_indices_of_empty_bags_are_minus_one():
    _, winners = embedding_bag([[], [2]], TABLE, mode="max", padding_idx=2, return_indices=True)
    np.testing.assert_array_equal(winners, [[-1, -1], [-1, -1]])


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
class TestExtremes:
    """Max and min take the first of equal numbers, signed zeros too, and NaN propagates."""

    @pytest.mark.parametrize(
        ("mode", "column", "best", "winner"),
        [
            ("max", [1, 2, 2], 2, 1),
            ("min", [1, 2, 1], 1, 0),
            ("max", [-0.0, 0.0], -0.0, 0),
            ("max", [0.0, -0.0], 0.0, 0),
            ("min", [-0.0, 0.0], -0.0, 0),
            ("min", [0.0, -0.0], 0.0, 0),
            ("max", [-np.inf, -np.inf], -np.inf, 0),
            ("min", [np.inf, np.inf], np.inf, 0),
            ("max", [-np.inf, 3, np.inf], np.inf, 2),
            ("max", [1, np.nan, np.inf], np.nan, 1),
            ("max", [np.nan, np.inf], np.nan, 0),
            ("min", [np.nan, 1, np.nan], np.nan, 0),
            ("min", [-np.inf, np.nan], np.nan, 1),
        ],
    )
    def test_number_and_row(self, dtype, mode, column, best, winner):
        table = np.array([column] * 9).T.astype(dtype)
        lookups = [np.arange(len(column))]
        pooled, winners = embedding_bag(lookups, table, mode=mode, return_indices=True)
        np.testing.assert_array_equal(pooled.astype(float), np.full((1, 9), best))
        np.testing.assert_array_equal(np.signbit(pooled), np.signbit(np.full((1, 9), best)))
        np.testing.assert_array_equal(winners, np.full((1, 9), winner))

    def test_winner_far_into_a_long_bag(self, dtype):
        table = np.zeros((70_001, 3), dtype)
        table[68_000] = 1
        _, winners = embedding_bag(
            np.arange(70_001)[np.newaxis], table, mode="max", return_indices=True
        )
        np.testing.assert_array_equal(winners, [[68_000] * 3])


@pytest.mark.parametrize("mode", WEIGHTED_MODES)
class TestNanAndInf:
    def test_propagate(self, mode):
        table = np.array([[np.nan, np.inf, np.inf, 1], [1, 1, -np.inf, 1]])
        pooled = embedding_bag([[0, 1]], table, mode=mode)
        np.testing.assert_array_equal(np.isnan(pooled), [[True, False, True, False]])
        assert pooled[0, 1] == np.inf

    def test_a_weight_of_zero_does_not_mask_nan(self, mode):
        table = np.array([[np.nan], [1.0]])
        pooled = embedding_bag([[0, 1]], table, mode=mode, per_sample_weights=[[0, 1]])
        assert np.isnan(pooled).all()


@pytest.mark.parametrize(
    ("mode", "weights", "expected"),
    [
        ("mean", [1, -1], [0, 0]),
        ("mean", [0, 0], [0, 0]),
        ("sqrtn", [0, 0], [0, 0]),
        ("sqrtn", [1, -1], [-2 / np.sqrt(2), -2 / np.sqrt(2)]),
        ("sum", [1, -1], [-2, -2]),
    ],
)
@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_zero_divisor(dtype, mode, weights, expected):
    table = TABLE.astype(dtype)
    pooled = embedding_bag([[0, 1]], table, mode=mode, per_sample_weights=[weights])
    np.testing.assert_array_equal(pooled, np.array([expected]).astype(dtype))


class TestSparseInput:
    DENSE = np.array([[0, 2, 0, -1, 0], [0, 0, 0, 0, 0], [3, 0, 0, 0, 4]])

    @pytest.mark.parametrize("kind", ["array", "matrix"])
    @pytest.mark.parametrize("name", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
    def test_every_format(self, name, kind, dtype):
        matrix = getattr(scipy.sparse, f"{name}_{kind}")(self.DENSE.astype(dtype))
        pooled = embedding_bag(matrix, TABLE, mode="sum")
        np.testing.assert_array_equal(pooled, self.DENSE @ TABLE)

    @pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", ">f8"])
    def test_stored_values_of_any_real_dtype(self, dtype):
        matrix = scipy.sparse.csr_array(self.DENSE != 0)
        matrix.data = matrix.data.astype(dtype)
        pooled = embedding_bag(matrix, TABLE, mode="sum")
        np.testing.assert_array_equal(pooled, (self.DENSE != 0) @ TABLE)

    def test_stored_zeros_are_entries(self):
        matrix = scipy.sparse.csr_array(([0.0, 1.0], [4, 2], [0, 2]), shape=(1, 5))
        np.testing.assert_array_equal(embedding_bag(matrix, TABLE, mode="max"), [[9, 10]])
        np.testing.assert_array_equal(embedding_bag(matrix, TABLE, mode="mean"), [[5, 6]])

    def test_duplicates_are_entries(self):
        matrix = scipy.sparse.csr_array(([1.0, 1.0], [1, 1], [0, 2]), shape=(1, 5))
        pooled = embedding_bag(matrix, TABLE, mode="sqrtn")
        np.testing.assert_array_equal(pooled, TABLE[[1]] * 2 / np.sqrt(2))
        assert matrix.nnz == 2

    def test_spare_room_behind_the_last_entry(self):
        matrix = scipy.sparse.csr_array(([1.0, 2.0], [1, 3], [0, 1, 2]), shape=(2, 5))
        matrix.indices, matrix.data = np.array([1, 3, 99]), np.array([1.0, 2.0, np.nan])
        expected = [TABLE[1], 2 * TABLE[3]]
        np.testing.assert_array_equal(embedding_bag(matrix, TABLE, mode="sum"), expected)

    @pytest.mark.parametrize("mode", ["max", "min"])
    def test_extremes_ignore_the_stored_values(self, mode):
        matrix = scipy.sparse.csr_array(self.DENSE)
        expected = embedding_bag([[1, 3], [], [0, 4]], TABLE, mode=mode)
        np.testing.assert_array_equal(embedding_bag(matrix, TABLE, mode=mode), expected)


class TestCoo:
    @pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn", "max"])
    def test_duplicates_are_entries_as_in_csr(self, mode):
        rows, columns, values = [1, 0, 1, 1], [4, 1, 0, 4], [1.0, 2.0, 3.0, 5.0]
        coo = scipy.sparse.coo_matrix((values, (rows, columns)), shape=(3, 5))
        csr = scipy.sparse.csr_array((3, 5))
        csr.data, csr.indices = np.array([2.0, 1.0, 3.0, 5.0]), np.array([1, 4, 0, 4])
        csr.indptr = np.array([0, 1, 4, 4])
        expected = embedding_bag(csr, TABLE, mode=mode)
        np.testing.assert_array_equal(embedding_bag(coo, TABLE, mode=mode), expected)


class TestLists:
    @pytest.mark.parametrize(
        "bags",
        [
            [np.array([3, 1], "i2"), [1], np.array([], "u8")],
            [np.array([3, 1], "u8"), np.array([1], "i8"), []],
            [np.array([3, 1], ">i4"), (np.int8(1),), []],
            [range(3, 0, -2), range(1, 2), range(0)],
        ],
        ids=["mixed", "u8 and i8", "byte-swapped", "ranges"],
    )
    def test_any_integer_sequences(self, bags):
        pooled = embedding_bag(bags, TABLE, mode="sum")
        np.testing.assert_array_equal(pooled, [[10, 12], [3, 4], [0, 0]])

    @pytest.mark.parametrize("lists", [list, tuple, np.array])
    def test_weights(self, lists):
        weights = [lists([2.0, 1.0]), lists([]), lists([0.5])]
        pooled = embedding_bag([[0, 1], [], [4]], TABLE, mode="sum", per_sample_weights=weights)
        np.testing.assert_array_equal(pooled, [[5, 8], [0, 0], [4.5, 5]])


NO_TABLE = {"num_rows": 5, "sums": np.dtype(np.float64)}


class TestNoCopies:
    """int32 and int64 indices, and CSR matrices, are used without a copy."""

    @pytest.mark.parametrize("dtype", [np.int32, np.int64])
    def test_indices(self, dtype):
        indices, offsets = np.array([3, 1, 4], dtype), np.array([0, 1, 3], dtype)
        bags, _ = as_bags(indices, offsets, None, include_last_offset=True, **NO_TABLE)
        assert np.shares_memory(bags.indices, indices)
        assert np.shares_memory(bags.offsets, offsets)

    @pytest.mark.parametrize("dtype", [np.int32, np.int64])
    def test_csr(self, dtype):
        parts = np.ones(3), np.array([3, 1, 4], dtype), np.array([0, 1, 3], dtype)
        matrix = scipy.sparse.csr_array(parts, shape=(2, 5))
        matrix.indices, matrix.indptr = parts[1:]
        bags, _ = as_bags(matrix, None, None, **NO_TABLE)
        assert np.shares_memory(bags.indices, matrix.indices)
        assert np.shares_memory(bags.offsets, matrix.indptr)
        assert np.shares_memory(bags.weights, matrix.data)
