"""Tables in any memory layout: the bits of a table in C order, at the cost of the lookups alone."""

import numpy as np
import pytest

import ebagx
from ebagx import optim
from ebagx._core import gather
from ebagx._core.modes import EXTREME_MODES, MODES, WEIGHTED_MODES
from fuzz.layouts import (
    backwards,
    every_other,
    fortran,
    fortran_map,
    mirrored,
    misaligned,
    odd_rows,
)
from support.kernel_cases import TABLE_DTYPES, assert_same_bits
from support.memory import peak
from support.optim_cases import MAKERS

N, D = 60, 21
LENGTHS = np.array([3, 0, 400, 1, 1, 0, 25, 2, 0])
INDICES = np.random.default_rng(1).integers(0, N, LENGTHS.sum())
INDICES[5] = 7  # the padding row
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)[:-1]])
WEIGHTS = np.random.default_rng(2).standard_normal(len(INDICES))


@pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
def test_kernels_get_aligned_rows(dtype, monkeypatch):
    # On x86-64 only a sanitizer would see the others.
    seen = []
    monkeypatch.setattr(gather, "kernel_view", lambda rows: seen.append(rows) or rows.copy())
    table = misaligned(make_table(dtype))
    parts = gather._parts(table, INDICES, np.append(OFFSETS, len(INDICES)))
    rows = [columns for _, columns in gather._blocks(table)] + [part.rows for part in parts]
    assert len(seen) == len(rows)
    assert all(each.flags.aligned and each.flags.c_contiguous for each in seen)


def same_columns(values):
    """Return a table whose columns are all the first one, with stride 0."""
    return np.broadcast_to(values[:, :1].copy(), values.shape)


WRITEABLE = (fortran, every_other, mirrored, misaligned, odd_rows, fortran_map)
LAYOUTS = (*WRITEABLE, same_columns, backwards)
layouts = pytest.mark.parametrize("lay_out", LAYOUTS, ids=lambda make: make.__name__)
table_dtypes = pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
# A buffer of a byte holds one column of one bag; the last one holds all lookups.
# The lookups are more than half of 60 rows, and less than half of 1000.
row_counts = pytest.mark.parametrize("num_rows", [N, 1000])
buffers = pytest.mark.parametrize("buffer", [1, 1000, 10_000, gather.BUFFER_BYTES])


def make_table(dtype, num_rows=N, dim=D):
    table = np.random.default_rng(0).standard_normal((num_rows, dim)).astype(dtype)
    table[3], table[4], table[5, 2], table[9] = 0.0, -0.0, np.nan, table[8]
    return table


def laid_out(lay_out, dtype, *shape):
    """Return a table in a layout, and the same in C order."""
    table = lay_out(make_table(dtype, *shape))
    return table, np.array(table, order="C")


def results(table, mode, num_threads=1, index_dtype=np.int64):
    """Return all that is computed from the rows of a table."""
    indices, options = INDICES.astype(index_dtype), {"mode": mode, "num_threads": num_threads}
    pooled = [
        ebagx.embedding_bag(indices, table, OFFSETS, **options),
        ebagx.embedding_bag(indices, table, OFFSETS, padding_idx=7, **options),
    ]
    grad = np.random.default_rng(3).standard_normal(pooled[0].shape)
    if mode in EXTREME_MODES:
        pooled += ebagx.embedding_bag(indices, table, OFFSETS, return_indices=True, **options)
    else:
        options["per_sample_weights"] = WEIGHTS
        pooled.append(ebagx.embedding_bag(indices, table, OFFSETS, **options))
    gradient, of_weights = ebagx.embedding_bag_backward(
        grad, indices, table, OFFSETS, sparse="rows", padding_idx=7, **options
    )
    return [*pooled, gradient.values, *([] if of_weights is None else [of_weights])]


def assert_all_same(actual, expected):
    for got, wanted in zip(actual, expected, strict=True):
        if np.issubdtype(wanted.dtype, np.integer):
            np.testing.assert_array_equal(got, wanted)
        else:
            assert_same_bits(got, wanted)


@layouts
@table_dtypes
@row_counts
@pytest.mark.parametrize("mode", MODES)
def test_every_layout_gives_the_same_bits(lay_out, dtype, num_rows, mode):
    table, plain = laid_out(lay_out, dtype, num_rows)
    assert_all_same(results(table, mode), results(plain, mode))


@buffers
@row_counts
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_buffer_does_not_change_bits(monkeypatch, buffer, num_rows, mode, num_threads):
    table, plain = laid_out(fortran, np.float32, num_rows)
    expected = results(plain, mode)
    monkeypatch.setattr(gather, "BLOCK_BYTES", buffer)
    monkeypatch.setattr(gather, "BUFFER_BYTES", buffer)
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1)
    assert_all_same(results(table, mode, num_threads, np.int32), expected)


@buffers
@pytest.mark.parametrize("mode", WEIGHTED_MODES)
def test_weights_whose_divisor_is_0(monkeypatch, buffer, mode):
    monkeypatch.setattr(gather, "BUFFER_BYTES", buffer)
    table, plain = laid_out(fortran, np.float64)
    weights = np.zeros(len(INDICES))
    for psw in (weights, np.where(np.arange(len(weights)) % 2, -1.0, 1.0)):
        gradients = [
            ebagx.embedding_bag_backward(
                np.ones((len(OFFSETS), D)), INDICES, t, OFFSETS, mode=mode, per_sample_weights=psw
            ).per_sample_weights
            for t in (table, plain)
        ]
        assert_same_bits(*gradients)


@layouts
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("mode", MODES)
def test_tables_with_few_rows_and_columns(lay_out, shape, mode):
    table = lay_out(np.ones(shape))
    bags = [[], [0], [0] * 3] if shape[0] else [[], []]
    expected = ebagx.embedding_bag(bags, np.ones(shape), mode=mode)
    assert_same_bits(ebagx.embedding_bag(bags, table, mode=mode), expected)


@pytest.mark.parametrize("lay_out", [fortran, mirrored, odd_rows])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [-N, N, -N * N])
@row_counts
def test_indices_are_checked_before_rows_are_read(lay_out, mode, bad, num_rows):
    table, _ = laid_out(lay_out, np.float32, num_rows)
    indices, bad = INDICES.copy(), bad * num_rows // N
    indices[[300, 350]] = bad
    with pytest.raises(IndexError, match=rf"^input\[300\] = {bad} is out of range for {num_rows} "):
        ebagx.embedding_bag(indices, table, OFFSETS, mode=mode)
    bag = ebagx.EmbeddingBag.from_pretrained(table, mode=mode)
    with pytest.raises(IndexError, match=rf"^input\[300\] = {bad} is out of range for {num_rows} "):
        bag(indices, OFFSETS)


@pytest.mark.parametrize("lay_out", WRITEABLE, ids=lambda make: make.__name__)
@table_dtypes
@pytest.mark.parametrize("buffer", [1, 1000, gather.BUFFER_BYTES])
def test_max_norm_changes_only_rows_that_occur(monkeypatch, lay_out, dtype, buffer):
    monkeypatch.setattr(gather, "BUFFER_BYTES", buffer)
    table, plain = laid_out(lay_out, dtype)
    indices = INDICES[:40]
    calls = [ebagx.embedding_bag([indices], t, max_norm=0.5, mode="sum") for t in (table, plain)]
    assert_same_bits(*calls)
    assert_same_bits(np.array(table, order="C"), plain)


@pytest.mark.parametrize("lay_out", WRITEABLE, ids=lambda make: make.__name__)
@table_dtypes
@pytest.mark.parametrize("name", MAKERS)
def test_optimizers_update_every_layout(monkeypatch, lay_out, dtype, name):
    monkeypatch.setattr(gather, "BUFFER_BYTES", 500)
    tables = laid_out(lay_out, dtype)
    states = []
    for table in tables:
        bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, mode="sum", sparse="rows")
        optimizer = MAKERS[name](weight_decay=0.1)
        for step in range(3):
            pooled = bag(np.roll(INDICES, step), OFFSETS)
            bag.zero_grad()
            grad = np.nan_to_num(pooled.astype(np.float32))
            if step == 1:
                bag.backward_update(grad, optimizer)
            else:
                bag.backward(grad)
                optimizer.step(bag)
        optimizer.catch_up(table)
        states.append([s for s in optimizer.state_dict().values() if isinstance(s, np.ndarray)])
    assert_all_same(*states)
    assert_same_bits(np.array(tables[0], order="C"), tables[1])


WIDE = 200_000, 32  # rows and columns


@pytest.fixture(scope="module")
def wide():
    """Return a table of 26 MB in Fortran order, of zeros, which take no memory."""
    return np.zeros(WIDE, np.float32, order="F")


@pytest.mark.compiled
@pytest.mark.parametrize("mode", MODES)
def test_ten_lookups_take_no_memory_for_the_table(wide, mode):
    ids, grad = np.arange(10)[np.newaxis], np.ones((1, WIDE[1]), np.float32)
    options = {"mode": mode}
    if mode in WEIGHTED_MODES:
        options["per_sample_weights"] = np.ones((1, 10))
    assert peak(lambda: ebagx.embedding_bag(ids, wide, **options)) < 20_000

    def backward():
        ebagx.embedding_bag_backward(grad, ids, wide, sparse="rows", **options)

    def step():
        bag = ebagx.EmbeddingBag.from_pretrained(wide, freeze=False, mode=mode, max_norm=1.0)
        bag(ids)
        bag.backward_update(grad, optim.SGD())

    assert peak(backward) < 1_200_000  # the scratch memory of the sort
    assert peak(step) < 1_200_000


@pytest.mark.compiled
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("blocks", [False, True])
def test_a_bag_larger_than_the_buffer_takes_no_memory_for_all(monkeypatch, wide, mode, blocks):
    ids, grad = np.zeros((1, 500_000), np.int32), np.ones((1, WIDE[1]), np.float32)
    monkeypatch.setattr(gather, "_prefers_blocks", lambda *_: blocks)
    lookups = ids.size * WIDE[1] * 4  # 64 MB
    # One column of the bag, its numbers and, for NumPy, its indices; or some columns of all rows.
    monkeypatch.setattr(gather, "BLOCK_BYTES", 4_000_000)
    assert peak(lambda: ebagx.embedding_bag(ids, wide, mode=mode)) < lookups / 4
    if blocks or mode in EXTREME_MODES:
        return
    weights, sort = np.ones(ids.shape, np.float32), 96 * ids.size + (1 << 20)
    options = {"sparse": "rows", "mode": mode, "per_sample_weights": weights}
    backward = peak(lambda: ebagx.embedding_bag_backward(grad, ids, wide, **options))
    assert backward < sort + lookups / 2


@pytest.mark.parametrize("freeze", [True, False])
def test_read_only_tables_of_every_layout_give_gradients(freeze):
    table = same_columns(make_table(np.float32))
    bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=freeze)
    bag(INDICES, OFFSETS)
    if not freeze:
        bag.backward(np.ones((len(OFFSETS), D)))
        with pytest.raises(ValueError, match="^weight is read-only, but an optimizer step"):
            optim.SGD().step(bag)


class TestTablesThatShareElements:
    """No optimizer can update them; modules say so before there is a gradient."""

    table = np.lib.stride_tricks.as_strided(np.ones(12, np.float32), (10, 3), (4, 4))
    why = "share memory, so it cannot be trained: give a copy, .*, or from_pretrained"

    def test_refused_when_the_module_is_made(self):
        with pytest.raises(ValueError, match=f"^elements of weight {self.why}"):
            ebagx.EmbeddingBag(10, 3, _weight=self.table)
        with pytest.raises(ValueError, match=f"^elements of embeddings {self.why}"):
            ebagx.EmbeddingBag.from_pretrained(self.table, freeze=False)

    def test_refused_when_assigned(self):
        bag = ebagx.EmbeddingBag(10, 3, rng=0)
        before = bag.weight
        with pytest.raises(ValueError, match=f"^elements of weight {self.why}"):
            bag.weight = self.table
        assert bag.weight is before

    def test_taken_for_reading(self):
        bag = ebagx.EmbeddingBag.from_pretrained(self.table)
        np.testing.assert_array_equal(bag([[1, 2]]), np.ones((1, 3)))
        bag.weight = self.table
        ebagx.embedding_bag([[1, 2]], self.table)
