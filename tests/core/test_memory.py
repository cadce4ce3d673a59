"""Test copies and pickles of arrays, whose pages of zeros take no memory."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from ebagx._core import memory
from ebagx._core.memory import PackedArray, aligned_zeros, copy_sparsely

STATM = Path("/proc/self/statm")
MB = 1 << 20

HALF = np.arange(3000, dtype=np.float32).reshape(60, 50)
LARGE = np.zeros((9000, 100))
LARGE[[0, 17, 8000], 5] = 1, -0.0, np.nan
ARRAYS = {
    "large": LARGE,
    "zeros": np.zeros((3000, 3)),
    "full": np.random.default_rng(0).standard_normal((600, 50)),
    "minus zero": np.full((600, 50), -0.0),
    "int": np.arange(100_000) % 50_000 // 10_000,
    "odd item": np.zeros(5000, "S3"),
    "last": np.arange(2000, dtype=np.float32) == 1999,
    "fortran": np.asfortranarray(LARGE),
    "strided": LARGE[::-3, 5:7],
    "wide": LARGE.reshape(1, -1)[:, ::2],
    "swapped": LARGE.astype(">f8"),
    "3-D": HALF.reshape(3, 20, 50).transpose(1, 2, 0),
    "scalar": np.array(3.5),
    "empty": np.empty((0, 7)),
    "empty rows": np.empty((7, 0), np.float32),
}
WAYS = {
    "copy": copy_sparsely,
    "pack": lambda array: PackedArray.of(array).unpacked(),
    "pickle": lambda array: pickle.loads(pickle.dumps(PackedArray.of(array))).unpacked(),
}
arrays = pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@arrays
@ways
@pytest.mark.parametrize("block", [1 << 13, memory._BLOCK])
def test_copies_have_the_same_bits(monkeypatch, array, way, block):
    monkeypatch.setattr(memory, "_BLOCK", block)
    other = way(array)
    assert other.shape == array.shape
    assert other.dtype == array.dtype.newbyteorder("=")
    assert other.flags.c_contiguous
    assert other.flags.writeable
    assert other.tobytes() == array.astype(other.dtype).tobytes()


@arrays
def test_copies_are_independent(array):
    assert not np.shares_memory(copy_sparsely(array), array)


def test_pickles_have_no_pages_of_zeros():
    array = np.zeros((1000, 1000))
    array[[3, 500], 7] = 1
    packed = PackedArray.of(array)
    assert packed.values.nbytes == 2 * memory._PAGE
    assert len(pickle.dumps(packed)) < 2 * memory._PAGE + 1000


def test_full_arrays_are_packed_without_a_copy():
    array = ARRAYS["full"]
    assert PackedArray.of(array).values.base is array
    packed = pickle.loads(pickle.dumps(PackedArray.of(array)))
    assert np.shares_memory(packed.unpacked(), packed.values)


def test_what_cannot_be_written_is_copied():
    packed = PackedArray.of(ARRAYS["full"].copy())
    packed.values.flags.writeable = False
    assert packed.unpacked().flags.writeable


def resident():
    """Return the bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * 4096


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
@ways
def test_pages_of_zeros_stay_out_of_memory(way):
    """The array has 512 MB, of which three pages are written."""
    array = aligned_zeros((1 << 20, 64), np.dtype(np.float64))
    array[[5, 70_000, 1_000_000]] = 1
    before = resident()
    other = way(array)
    assert resident() - before < 64 * MB
    assert other[70_000].all()


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
def test_that_counts_resident_pages():
    array = aligned_zeros((1 << 24,), np.dtype(np.float64))
    before = resident()
    other = copy.deepcopy(array)
    assert resident() - before > 100 * MB
    assert len(other) == len(array)
