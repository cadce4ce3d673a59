"""Test that copies do not write pages that have the same bits, as those of zeros."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest

import ebagx
from ebagx._core.memory import copy_sparsely, write_changes
from support.kernel_cases import TABLE_DTYPES

STATM = Path("/proc/self/statm")
N, D = 1 << 18, 32  # 32 MB in float32
PAGE = 4096

resident_only = pytest.mark.skipif(
    not STATM.exists() or "libasan" in sys.modules, reason="the system has no such file"
)


def resident():
    """Return the number of bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * PAGE


@pytest.fixture
def table():
    table = np.zeros((N, D), np.float32)
    table[[5, 9000]] = 1
    return table


@resident_only
def test_zeros_of_copies_take_no_memory(table):
    bag = ebagx.EmbeddingBag(N, D, mode="sum", _weight=table)
    bag([[5, 70_000]])
    bag.backward(np.ones((1, D)))
    before = resident()
    other = copy.deepcopy(bag)
    loaded = ebagx.EmbeddingBag(N, D, _weight=np.zeros((N, D), np.float32))
    loaded.load_state_dict(bag.state_dict())
    assert resident() - before < table.nbytes // 4
    for each in (other, loaded):
        np.testing.assert_array_equal(each.weight, table)
    np.testing.assert_array_equal(other.grad, bag.grad)


@pytest.mark.parametrize("dtype", [*TABLE_DTYPES, np.int8], ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(0, 3), (7, 5), (3000, 700), (4_200_000,)])
def test_copies_have_the_bits(dtype, order, shape):
    rng = np.random.default_rng(0)
    array = np.zeros(shape, dtype, order=order)
    flat = array.ravel(order="K")  # a view
    flat[rng.integers(0, max(array.size, 1), array.size and 9)] = 3
    flat[-1:] = -1
    copied = copy_sparsely(array)
    assert copied.flags.c_contiguous
    assert not np.shares_memory(copied, array)
    np.testing.assert_array_equal(copied, array, strict=True)


@pytest.mark.parametrize("size", [10, 1024, 5000, 1_000_000])
@pytest.mark.parametrize("old", [0.0, 1.0, np.nan])
def test_the_sign_of_a_zero_and_no_numbers_are_changes(size, old):
    array, out = np.full(size, old), np.full(size, old)
    array[[0, size // 2, size - 1]] = [-0.0, np.nan, 5]
    write_changes(out, array)
    np.testing.assert_array_equal(out.view(np.int64), array.view(np.int64))


def test_overlapping_arrays():
    memory = np.arange(1_000_000.0)
    expected = memory[:-3].copy()
    write_changes(memory[3:], memory[:-3])
    np.testing.assert_array_equal(memory[3:], expected)


def test_byte_order_becomes_native():
    array = np.arange(5.0).astype(">f8")
    np.testing.assert_array_equal(copy_sparsely(array), np.arange(5.0), strict=True)
