"""Test the layouts of tables, results and weights: strided, mapped, read-only, huge."""

import numpy as np
import pytest

from ebagx import EmbeddingBag, embedding_bag, embedding_bag_backward
from support.kernel_cases import GUARD, TABLE_DTYPES, assert_guards, guarded
from support.strategies import MODES, WEIGHTED_MODES

NUM_ROWS, DIM = 12, 20
BAGS = [[3, 1, 1, 11], [], [0, 5, 7, 9, 9, 2], [10]]


def misaligned(array):
    """Return a contiguous copy that starts one byte past an aligned address."""
    raw = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = raw.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def read_only(array):
    array.flags.writeable = False
    return array


def placed_in(array, shape, place):
    """Return a view of a larger array that holds the values of the array."""
    view = np.zeros(shape, array.dtype)[place]
    view[...] = array
    return view


LAYOUTS = {
    "padded rows": lambda a: placed_in(a, (len(a), DIM + 7), np.s_[:, 3 : DIM + 3]),
    "every other row": lambda a: placed_in(a, (2 * len(a), DIM), np.s_[::2]),
    "rows backwards": lambda a: placed_in(a, a.shape, np.s_[::-1]),
    "every other column": lambda a: placed_in(a, (len(a), 2 * DIM), np.s_[:, ::2]),
    "columns backwards": lambda a: placed_in(a, a.shape, np.s_[:, ::-1]),
    "Fortran": np.asfortranarray,
    "misaligned": misaligned,
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture(params=TABLE_DTYPES, ids=str)
def table(request):
    return np.random.default_rng(0).standard_normal((NUM_ROWS, DIM)).astype(request.param)


@pytest.mark.parametrize("mode", MODES)
@layouts
class TestLayouts:
    def test_of_the_table(self, table, layout, mode):
        weights = [np.linspace(-1, 2, len(bag)) for bag in BAGS] if mode in WEIGHTED_MODES else None
        options = {"mode": mode, "per_sample_weights": weights}
        grad = np.ones((len(BAGS), DIM))
        strided = read_only(layout(table))
        np.testing.assert_array_equal(
            embedding_bag(BAGS, strided, **options), embedding_bag(BAGS, table, **options)
        )
        for actual, expected in zip(
            embedding_bag_backward(grad, BAGS, strided, **options),
            embedding_bag_backward(grad, BAGS, table, **options),
            strict=True,
        ):
            np.testing.assert_array_equal(actual, expected)

    def test_of_out(self, table, layout, mode):
        out = layout(np.full((len(BAGS), DIM), GUARD).astype(table.dtype))
        assert embedding_bag(BAGS, table, mode=mode, out=out) is out
        np.testing.assert_array_equal(out, embedding_bag(BAGS, table, mode=mode))

    def test_of_the_gradient(self, table, layout, mode):
        grad = np.random.default_rng(1).standard_normal((len(BAGS), DIM))
        strided = embedding_bag_backward(read_only(layout(grad)), BAGS, table, mode=mode)
        expected = embedding_bag_backward(grad, BAGS, table, mode=mode)
        np.testing.assert_array_equal(strided.weight, expected.weight)


@layouts
def test_max_norm_works_in_place_on_every_layout(table, layout):
    strided = layout(table.copy())
    expected = table.copy()
    pooled = embedding_bag(BAGS, strided, max_norm=1.5)
    np.testing.assert_array_equal(pooled, embedding_bag(BAGS, expected, max_norm=1.5))
    np.testing.assert_array_equal(strided, expected)
    assert (strided != table).any()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_written_around_out(table, mode):
    whole, out = guarded((len(BAGS), DIM), table.dtype)
    embedding_bag(BAGS, table, mode=mode, out=out)
    assert_guards(whole, out.shape)
    np.testing.assert_array_equal(out, embedding_bag(BAGS, table, mode=mode))


def test_one_array_may_hold_table_and_out():
    whole = np.ones((NUM_ROWS, 2 * DIM))
    embedding_bag(BAGS, whole[:, :DIM], mode="sum", out=whole[: len(BAGS), DIM:])
    np.testing.assert_array_equal(whole[:, :DIM], np.ones((NUM_ROWS, DIM)))
    np.testing.assert_array_equal(whole[: len(BAGS), DIM], [4, 0, 6, 1])


def test_broadcast_table_and_gradient():
    table = np.broadcast_to(np.arange(4.0), (9, 4))
    np.testing.assert_array_equal(embedding_bag([[8, 0]], table), [[0, 1, 2, 3]])
    table = np.broadcast_to(np.arange(9.0)[:, np.newaxis], (9, 4))
    np.testing.assert_array_equal(embedding_bag([[8, 0]], table), [[4] * 4])
    gradient = embedding_bag_backward(np.broadcast_to(1.0, (2, 4)), [[8], [8]], table, mode="sum")
    np.testing.assert_array_equal(gradient.weight[8], [2] * 4)


@pytest.mark.parametrize("dtype", ["i4", "i8", "u2"])
@pytest.mark.parametrize(
    "layout",
    [misaligned, lambda a: np.repeat(a, 3)[::3], lambda a: a],
    ids=["misaligned", "strided", "contiguous"],
)
def test_layouts_of_lookups(dtype, layout):
    table = np.arange(24.0).reshape(12, 2)
    indices = read_only(layout(np.array([3, 1, 1, 11], dtype)))
    offsets = read_only(layout(np.array([0, 1, 1], dtype)))
    weights = read_only(layout(np.array([1.0, 0.5, -1.0, 2.0])))
    options = {"mode": "sqrtn", "per_sample_weights": weights}
    expected = {"mode": "sqrtn", "per_sample_weights": [1.0, 0.5, -1.0, 2.0]}
    np.testing.assert_array_equal(
        embedding_bag(indices, table, offsets, **options),
        embedding_bag([3, 1, 1, 11], table, [0, 1, 1], **expected),
    )
    for actual, wanted in zip(
        embedding_bag_backward(np.ones((3, 2)), indices, table, offsets, **options),
        embedding_bag_backward(np.ones((3, 2)), [3, 1, 1, 11], table, [0, 1, 1], **expected),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, wanted)


def test_negative_strides_of_lookups():
    indices = np.array([0, 4, 1, 1, 1, 3])[::-1]
    offsets = np.array([3, 0])[::-1]
    table = np.arange(1.0, 11.0).reshape(5, 2)
    pooled = embedding_bag(indices, table, offsets, mode="sum")
    np.testing.assert_array_equal(pooled, [[13, 16], [13, 16]])


class TestMemoryMaps:
    @pytest.fixture
    def path(self, tmp_path):
        np.save(tmp_path / "table.npy", np.arange(12.0).reshape(6, 2))
        return tmp_path / "table.npy"

    @pytest.mark.parametrize("mode", ["r", "r+", "c"])
    def test_forward_and_backward(self, path, mode):
        table = np.load(path, mmap_mode=mode)
        pooled = embedding_bag([[1, 5]], table)
        assert type(pooled) is np.ndarray
        np.testing.assert_array_equal(pooled, [[6, 7]])
        gradient = embedding_bag_backward([[2.0, 4.0]], [[1, 5]], table).weight
        np.testing.assert_array_equal(gradient[[1, 5]], [[1, 2]] * 2)

    def test_from_pretrained_shares_a_read_only_map(self, path):
        table = np.load(path, mmap_mode="r")
        bag = EmbeddingBag.from_pretrained(table)
        assert np.shares_memory(bag.weight, table)
        np.testing.assert_array_equal(bag([[1, 5]]), [[6, 7]])

    def test_max_norm_reaches_the_file(self, path):
        table = np.load(path, mmap_mode="r+")
        embedding_bag([[1]], table, max_norm=1.0)
        table.flush()
        assert np.linalg.norm(np.load(path)[1]) == pytest.approx(1, rel=1e-6)


def untouched_zeros(shape, dtype):
    """Return 4 GB of zeros, of which the system allocates only pages that are written."""
    try:
        return np.zeros(shape, dtype)
    except MemoryError:
        pytest.skip("4 GB of address space are not to be had")


class TestMoreThan2To31Elements:
    NUM_ROWS = 2**31 + 8

    @pytest.fixture
    def table(self):
        table = untouched_zeros((self.NUM_ROWS, 1), np.float16)
        table[[5, -1], 0] = [1, 2]
        return table

    def test_last_row(self, table):
        lookups = [[self.NUM_ROWS - 1], [5, self.NUM_ROWS - 1]]
        np.testing.assert_array_equal(embedding_bag(lookups, table, mode="sum"), [[2], [3]])
        with pytest.raises(IndexError, match=r"input.* = 2147483656 is out of range"):
            embedding_bag([[self.NUM_ROWS]], table)

    def test_gradient(self, table):
        lookups = [[self.NUM_ROWS - 1], [5, self.NUM_ROWS - 1]]
        gradient = embedding_bag_backward([[1], [2]], lookups, table, mode="sum", sparse="rows")
        np.testing.assert_array_equal(gradient.weight.rows, [5, self.NUM_ROWS - 1])
        np.testing.assert_array_equal(gradient.weight.values, [[2], [3]])

    def test_greatest_int32_index(self, table):
        pooled = embedding_bag(np.array([[2**31 - 1]], np.int32), table)
        np.testing.assert_array_equal(pooled, [[0]])

    def test_row_strides(self):
        cells = untouched_zeros(2**29 + 8, np.float64)
        table = np.lib.stride_tricks.as_strided(cells, (2, 4), (2**32, 8))
        table[1] = 3
        pooled = embedding_bag(np.array([[1, 0]], np.int32), table)
        np.testing.assert_array_equal(pooled, [[1.5] * 4])
