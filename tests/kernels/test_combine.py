"""Compare the kernel that combines the rows of several shards with its twin."""

import numpy as np
import pytest

from ebagx._kernels import combine_reference as twin
from support import kernel_cases as cases

NOTHING = np.empty((0, 0), np.float32)
RULES = {
    "sum": (twin.SHARE_SUM, twin.SHARE_SUM, twin.SHARE_MEAN),
    "root": (twin.SHARE_ROOT, twin.SHARE_MEAN, twin.SHARE_MEAN),
    "mean": (twin.SHARE_MEAN, twin.SHARE_SUM, twin.SHARE_SUM),
    "squares": (twin.SHARE_SQUARES, twin.SHARE_SUM, twin.SHARE_SUM),
}


def make_block(rng, num_rows, widths):
    """Return arrays with rows further apart than they are long; states are not negative."""
    whole = [rng.standard_normal((num_rows, width + 2)).astype(np.float32) for width in widths]
    block = [whole[0][:, 1:-1], *(np.abs(array)[:, 1:-1] for array in whole[1:])]
    return (*block, NOTHING, NOTHING)[:3]


def make_pieces(rng, block, num_pieces, decayed):
    """Return pieces with all rows, with none, and with some; rows that nobody has are left."""
    num_rows, pieces = len(block[0]), []
    for k in range(num_pieces):
        rows = np.flatnonzero(rng.random(num_rows - 1) < (1.0, 0.0, 0.5, 0.3)[k % 4])
        added = [np.abs(rng.standard_normal((len(rows), a.shape[1]))) for a in block]
        arrays = tuple(
            (array[rows] + more).astype(np.float32) if array.size else NOTHING
            for array, more in zip(block, added, strict=True)
        )
        uses = rng.integers(1, 30, len(rows)).astype(np.float32)
        pieces.append((rows.astype(np.int64), uses, arrays, decayed - k / 100))
    return tuple(pieces)


def combined(kernels, block, pieces, rules, num_threads):
    guarded = [cases.guarded(array.shape, array.dtype) for array in block if array.size]
    out = (*(inner for _, inner in guarded), NOTHING, NOTHING)[:3]
    kernels.combine_rows(out, block, pieces, rules, 8.0, num_threads)
    for whole, inner in guarded:
        cases.assert_guards(whole, inner.shape)
    return out


@cases.levels
@cases.threads
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("widths", [(1, 1), (5, 5), (16, 1), (33, 33), (70, 1), (7, 7, 7)])
def test_equals_twin(level, num_threads, rules, widths):
    rng = np.random.default_rng(0)
    block = make_block(rng, 23, widths)
    for decayed in (1.0, 0.9):
        pieces = make_pieces(rng, block, 5, decayed)
        found = combined(level, block, pieces, rules, num_threads)
        expected = combined(twin, block, pieces, rules, 1)
        for array, wanted in zip(found, expected, strict=True):
            cases.assert_same_bits(array, wanted)


@cases.levels
def test_rows_of_no_shard_stay(level):
    rng = np.random.default_rng(1)
    block = make_block(rng, 6, (4, 4))
    for pieces in ((), make_pieces(rng, block, 1, 1.0), make_pieces(rng, block, 2, 1.0)):
        decayed = np.float32(np.prod([factor for *_, factor in pieces]))
        for rules in RULES.values():
            found = combined(level, block, pieces, rules, 1)
            np.testing.assert_allclose(found[0][-1], decayed * block[0][-1], rtol=1e-6)
            np.testing.assert_array_equal(found[1][-1], block[1][-1])


@cases.levels
def test_rows_outside_the_block_are_not_read(level):
    """Rows that another thread has changed give wrong numbers, and no wild address."""
    rng = np.random.default_rng(2)
    block = make_block(rng, 6, (4,))
    ((rows, *others),) = make_pieces(rng, block, 1, 1.0)
    for wild in (rows[::-1], rows + 2**60, rows - 2**60):
        combined(level, block, ((wild.copy(), *others),), RULES["root"], 2)


@cases.levels
def test_wrong_arrays_are_refused(level):
    block = make_block(np.random.default_rng(3), 6, (4,))
    good = make_pieces(np.random.default_rng(3), block, 2, 1.0)
    rows, uses, arrays, decayed = good[1]
    out = tuple(np.empty(array.shape, np.float32) for array in block)
    for bad in (
        (rows.astype(np.int32), uses, arrays, decayed),
        (rows, uses.astype(float), arrays, decayed),
        (rows, uses, (arrays[0].astype(float), *arrays[1:]), decayed),
    ):
        with pytest.raises(TypeError, match="has a dtype that does not suit"):
            level.combine_rows(out, block, (good[0], bad), RULES["sum"], 8.0, 1)
