"""Compare random draws with their twins, and with the shares that classes should have."""

import numpy as np
import pytest
from scipy import stats

from ebagx._kernels import draw_reference as twin
from support import kernel_cases as cases

NOTHING = np.empty((0, 0), np.int32)
UNIFORM = np.empty(0, np.uint32), np.empty(0, np.int32)


def no_positives(dtype):
    return np.empty(0, np.int64), np.empty(0, dtype), np.empty(0, dtype)


def make_alias(kernels, weights):
    size = len(weights)
    table = np.zeros(size, np.uint32), np.zeros(size, np.int32)
    kernels.make_alias(*table, np.empty(size, np.int32), np.array(weights, float))
    return table


def draw(kernels, shape, alias, positives, num_classes, *, seed=5, first=0, most=1, threads=1):
    outputs = np.full(shape, -7, np.int32), np.zeros(shape, np.int32)
    kernels.draw_classes(outputs, alias, positives, num_classes, seed, first, most, threads)
    return outputs


def make_positives(rng, num_rows, num_classes, dtype):
    """Owners with few to all classes, in ascending order; the last rows have those of the first."""
    lists = [
        np.sort(rng.choice(num_classes, count, replace=False))
        for count in (*rng.integers(0, num_classes, 5), num_classes)
    ]
    offsets = np.cumsum([0, *map(len, lists)])
    owners = rng.integers(0, len(lists), num_rows)
    return owners, offsets.astype(dtype), np.concatenate(lists).astype(dtype)


def test_known_bits():
    """The first numbers of SplitMix64 with the seed 1234567, as published with it."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert twin.random_bits(1234567, np.arange(3)).tolist() == expected


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_equals_twin(level, index_dtype, num_threads, weighted, seed):
    rng = np.random.default_rng(1)
    alias = make_alias(level, rng.pareto(1, 50) + 0.01) if weighted else UNIFORM
    positives = make_positives(rng, 13, 50, index_dtype)
    arguments = (13, 7), alias, positives, 50
    options = {"seed": seed, "first": 2**31, "most": 4}
    found = draw(level, *arguments, **options, threads=num_threads)
    for array, wanted in zip(found, draw(twin, *arguments, **options), strict=True):
        np.testing.assert_array_equal(array, wanted)
    owners, offsets, classes = positives
    for row, attempts, owner in zip(*found, owners, strict=True):
        assert not set(row.tolist()) & set(classes[offsets[owner] : offsets[owner + 1]].tolist())
        assert ((row == -1) <= (attempts == 4)).all()
    assert (found[0][owners == 5] == -1).all()


@cases.levels
def test_rows_do_not_depend_on_the_call(level):
    alias = make_alias(level, np.arange(1, 31))
    whole = draw(level, (40, 6), alias, no_positives(np.int32), 30, most=3)[0]
    for first, stop in ((0, 1), (1, 17), (17, 40)):
        part = draw(
            level, (stop - first, 6), alias, no_positives(np.int32), 30, first=first, most=3
        )[0]
        np.testing.assert_array_equal(part, whole[first:stop])
    other = draw(level, (40, 6), alias, no_positives(np.int32), 30, most=3, seed=6)[0]
    assert (other != whole).mean() > 0.8


@cases.levels
@pytest.mark.parametrize("shares", [[1] * 10, [1, 2, 3, 4], [1e-9, 1, 1e6], [5.0], [0.3, 0.3, 9]])
def test_alias_table_equals_twin_and_has_the_shares(level, shares):
    table = make_alias(level, shares)
    for array, wanted in zip(table, make_alias(twin, shares), strict=True):
        np.testing.assert_array_equal(array, wanted)
    kept = (table[0] + (table[1] == np.arange(len(shares)))) / 2**32
    found = kept + np.bincount(table[1], 1 - kept, len(shares))
    np.testing.assert_allclose(found / len(shares), np.array(shares) / sum(shares), atol=1e-9)


@cases.levels
@pytest.mark.parametrize("weights", [None, np.arange(1, 41), np.geomspace(1, 1e3, 40)])
def test_classes_have_their_shares(level, weights):
    alias = UNIFORM if weights is None else make_alias(level, weights)
    drawn = draw(level, (500, 400), alias, no_positives(np.int64), 40)[0]
    shares = np.full(40, 1 / 40) if weights is None else weights / weights.sum()
    found = np.bincount(drawn.ravel(), minlength=40)
    assert stats.chisquare(found, shares * drawn.size).pvalue > 1e-4


@cases.levels
@cases.index_dtypes
def test_positives_are_left_out_of_the_shares(level, index_dtype):
    """Draws that are made again have the shares of the classes that are left."""
    positives = (
        np.zeros(300, np.int64),
        *(np.array(array, index_dtype) for array in ([0, 3], [0, 4, 9])),
    )
    drawn = draw(level, (300, 200), UNIFORM, positives, 10, most=50)[0]
    found = np.bincount(drawn.ravel(), minlength=10)
    assert (found[[0, 4, 9]] == 0).all()
    assert stats.chisquare(np.delete(found, [0, 4, 9])).pvalue > 1e-4


@cases.levels
@pytest.mark.parametrize("bad", [-1, 10**6])
def test_changed_by_another_thread(level, bad):
    """Numbers outside their arrays give wrong draws, not wild addresses."""
    rng = np.random.default_rng(1)
    owners, offsets, classes = make_positives(rng, 13, 50, np.int64)
    thresholds, others = make_alias(level, rng.random(50))
    owners[::3], offsets[2:4], classes[::5], others[::2] = bad, bad, bad, bad
    drawn = draw(level, (13, 7), (thresholds, others), (owners, offsets, classes), 50, most=3)[0]
    assert ((drawn >= -1) & (drawn < 50)).all()
