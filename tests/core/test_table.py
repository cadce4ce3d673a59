"""`Table`: what it shares, copies and refuses, and that rows may be stored in another way."""

import copy
import pickle

import numpy as np
import pytest

import ebagx
from ebagx._core.backward import Backward, weights_gradient
from ebagx._core.bags import as_bags, check_indices
from ebagx._core.modes import MODES
from ebagx._core.options import checked_options
from ebagx._core.passes import forward
from ebagx._core.table import Table
from support.kernel_cases import TABLE_DTYPES, assert_same_bits

table_dtypes = pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
ROWS = np.random.default_rng(0).standard_normal((7, 5))
BAGS = [[0, 6, 3], [], [2, 2], [5]]
WEIGHTS = [[0.5, 2.0, 1.0], [], [1.0, -0.25], [3.0]]


@table_dtypes
def test_an_array_is_not_copied(dtype):
    rows = ROWS.astype(dtype)
    table = Table.of(rows)
    assert table.array is rows
    assert np.shares_memory(table.kernel_rows(), rows)
    assert (table.shape, table.num_rows, table.dim, table.dtype) == ((7, 5), 7, 5, dtype)
    assert repr(table) == f"Table(7 rows, embedding_dim=5, dtype={dtype})"


@table_dtypes
@pytest.mark.parametrize("again", [copy.deepcopy, lambda table: pickle.loads(pickle.dumps(table))])
def test_a_copy_has_rows_of_its_own(dtype, again):
    """Kernels read the copy's memory, not a copy of the first table's view."""
    table = Table.of(ROWS.astype(dtype))
    other = again(table)
    assert not np.shares_memory(other.array, table.array)
    assert np.shares_memory(other.kernel_rows(), other.array)
    assert_same_bits(other.array, table.array)


LAYOUTS = {
    "strided": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "narrow": lambda rows: np.hstack([rows, rows])[:, :5],
    "reversed": lambda rows: rows[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "backwards": lambda rows: rows[:, ::-1].copy()[:, ::-1],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name):
    laid_out = LAYOUTS[name](ROWS.astype(np.float32))
    table = Table.of(laid_out)
    in_place = name not in ("fortran", "backwards")
    assert table.has_contiguous_rows is in_place
    if in_place:
        assert np.shares_memory(table.kernel_rows(), laid_out)
    table.renorm(np.array([1, 3]), 0.5, 2.0, 1)
    norms = np.linalg.norm(laid_out.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms[[1, 3]], 0.5, rtol=1e-6)
    np.testing.assert_array_equal(laid_out[[0, 2, 4]], ROWS.astype(np.float32)[[0, 2, 4]])


def test_other_layouts_are_read_anew_in_each_call():
    rows = np.asfortranarray(ROWS)
    bag = ebagx.EmbeddingBag.from_pretrained(rows, mode="sum")
    before = bag([[1]])
    rows[1] += 1
    np.testing.assert_array_equal(bag([[1]]), before + 1)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (np.broadcast_to(np.float32(1), (3, 2)), "read-only"),
        (np.lib.stride_tricks.as_strided(np.ones(3), (3, 2), (0, 8)), "share memory"),
    ],
    ids=["read-only", "overlapping"],
)
def test_tables_that_cannot_be_changed(rows, why):
    with pytest.raises(ValueError, match=f"{why}.*, but training changes it in place$"):
        Table.of(rows).check_writeable("training")


class Codes(Table):
    """Rows stored as bytes with a scale each: the methods that read rows are all there is to it."""

    __slots__ = ("codes", "scales")

    def __init__(self, codes, scales):
        super().__init__(np.empty((len(codes), codes.shape[1]), np.float32))
        self.codes, self.scales = codes, scales

    def kernel_rows(self):
        return self.codes.astype(np.float32) * self.scales[:, np.newaxis]


class Blocks(Table):
    """Rows stored in several arrays."""

    __slots__ = ("blocks",)

    def __init__(self, *blocks):
        super().__init__(np.empty((sum(map(len, blocks)), blocks[0].shape[1]), blocks[0].dtype))
        self.blocks = blocks

    def kernel_rows(self):
        return np.concatenate(self.blocks)


def stored_otherwise():
    rng = np.random.default_rng(1)
    codes, scales = rng.integers(-127, 128, (7, 5), np.int8), rng.random(7, np.float32)
    rows = rng.standard_normal((7, 5)).astype(np.float32)
    return {"codes": Codes(codes, scales), "blocks": Blocks(rows[:2], rows[2:6], rows[6:])}


@pytest.mark.parametrize("stored", ["codes", "blocks"])
@pytest.mark.parametrize("mode", MODES)
def test_rows_may_be_stored_in_another_way(monkeypatch, stored, mode):
    """Passes, pieces of them and gradients of weights take such a table as it is."""
    monkeypatch.setattr("ebagx._core.pieces._PIECE", 4)
    table = stored_otherwise()[stored]
    array, how = np.ascontiguousarray(table.kernel_rows()), MODES[mode]
    weights = None if how.is_extreme else WEIGHTS
    bags, source = as_bags(BAGS, None, weights, num_rows=7, sums=table.sum_dtype)
    check_indices(bags, source, 7, 1)
    pooled, winners = forward(bags, table, how, None, 1)
    options = {"mode": mode, "per_sample_weights": weights}
    np.testing.assert_array_equal(pooled, ebagx.embedding_bag(BAGS, array, **options))
    if how.is_extreme:
        return
    grad = np.ones_like(pooled)
    gradient = weights_gradient(
        Backward(grad, bags, table, winners, checked_options(7, mode=mode, num_threads=1))
    )
    expected = ebagx.embedding_bag_backward(grad, BAGS, array, **options).per_sample_weights
    np.testing.assert_array_equal(gradient, expected)
