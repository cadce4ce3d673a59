import sys

import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from support import kernel_cases as cases

NUM_ROWS = 50
MODES = (reference.SUM, reference.MEAN, reference.SQRTN)


def make_jobs(lengths, dims=(1, 8, 17, 64)):
    """Return jobs of every dtype of cells and indices, and arrays that the outputs are in."""
    rng = np.random.default_rng(0)
    jobs, wholes = [], []
    for number, (dtype, dim) in enumerate((d, dim) for d in cases.TABLE_DTYPES for dim in dims):
        offsets = np.cumsum([0, *np.roll(lengths, number)])
        index_dtype = cases.INDEX_DTYPES[number % 2]
        indices = rng.integers(0, NUM_ROWS, offsets[-1])
        weights = cases.make_weights(rng, len(indices) * (number % 3 > 0), sum_dtype(dtype))
        table = cases.make_table(rng, NUM_ROWS, dim, dtype)
        whole, out = cases.guarded((len(lengths), dim), dtype)
        bags = indices.astype(index_dtype), offsets.astype(index_dtype)
        mode = MODES[number % 3]
        jobs.append((kernel_view(out), kernel_view(table), *bags, weights, mode))
        wholes.append((whole, out))
    return jobs, wholes


def packed(jobs):
    """Return jobs as the kernel takes them: a tuple of arrays, and the mode."""
    return tuple((tuple(job[:5]), job[5]) for job in jobs)


@cases.levels
@cases.threads
@pytest.mark.parametrize(
    "lengths", [[3, 0, 1, 37, 0, 2, 0, 5], [3, 0, 1, 37, 9000, 2, 0], [9000]], ids=len
)
def test_same_bits_as_one_by_one(level, num_threads, lengths):
    jobs, wholes = make_jobs(lengths)
    expected = []
    for (_, *arguments), (_, shown) in zip(jobs, wholes, strict=True):
        pooled = np.empty(shown.shape, shown.dtype)
        reference.pool(kernel_view(pooled), *arguments, 1)
        expected.append(pooled)
    assert level.pool_many(packed(jobs), num_threads) is True
    for (whole, actual), pooled in zip(wholes, expected, strict=True):
        cases.assert_same_bits(actual, pooled)
        cases.assert_guards(whole, actual.shape)


@cases.levels
@cases.threads
def test_the_twin_does_the_same(level, num_threads):
    jobs, wholes = make_jobs([2, 0, 3])
    level.pool_many(packed(jobs), num_threads)
    twins, copies = make_jobs([2, 0, 3])
    assert reference.pool_many(packed(twins), 1) is True
    for (_, actual), (_, expected) in zip(wholes, copies, strict=True):
        cases.assert_same_bits(actual, expected)


@cases.levels
@cases.threads
@pytest.mark.parametrize("bad", [-1, NUM_ROWS, 2**31 - 1])
@pytest.mark.parametrize("place", [0, 5, -1])
def test_an_index_outside_one_table_is_found(level, num_threads, bad, place):
    for kernel in (level.pool_many, reference.pool_many):
        jobs, _ = make_jobs([3, 0, 4])
        jobs[place][2][4] = bad
        assert kernel(packed(jobs), num_threads) is False


@cases.levels
@cases.threads
def test_an_index_outside_in_a_giant_bag_is_found(level, num_threads):
    jobs, _ = make_jobs([1, 9000, 1])
    jobs[-1][2][4444] = NUM_ROWS
    assert level.pool_many(packed(jobs), num_threads) is False


@cases.levels
def test_jobs_without_output_take_no_part(level):
    """No table has rows here, and no index is looked at."""
    none = np.empty(0)
    offsets = np.array([0, 2])
    no_columns = np.empty((1, 0)), np.empty((3, 0)), np.array([7, -7]), offsets, none, 0
    no_bags = np.empty((0, 2)), np.empty((3, 2)), np.array([], int), np.array([0]), none, 0
    for kernel in (level.pool_many, reference.pool_many):
        assert kernel((), 1) is True
        assert kernel(packed([no_columns, no_bags]), 2) is True


@cases.levels
@pytest.mark.parametrize("wrong", [0, 1, 2, 3, 4, 5])
def test_arrays_are_given_back_also_after_an_error(level, wrong):
    """Each buffer that a call has opened counts as a reference to its array."""
    jobs, _ = make_jobs([3, 0, 4])
    empty = np.empty((1, 0)), np.empty((3, 0)), *jobs[0][2:4], np.empty(0), 0
    jobs[1] = empty
    before = [sys.getrefcount(array) for job in jobs for array in job[:5]]
    bad = [*jobs[-1][:wrong], "wrong", *jobs[-1][wrong + 1 :]]
    with pytest.raises(TypeError):
        level.pool_many(packed([*jobs, tuple(bad)]), 1)
    level.pool_many(packed(jobs), 1)
    del bad
    assert [sys.getrefcount(array) for job in jobs for array in job[:5]] == before


@cases.levels
def test_wrong_jobs_are_refused(level):
    jobs, wholes = make_jobs([3, 0, 4])
    read_only = jobs[2][0].copy()
    read_only.flags.writeable = False
    good, arrays = packed(jobs)[0], tuple(jobs[2][:5])
    wrongs = (arrays[:4], 0), ((*arrays, arrays[0]), 0), ((read_only, *arrays[1:]), 0), arrays, 5
    for wrong in (*wrongs, (list(arrays), 0), (arrays, "0"), (arrays,)):
        with pytest.raises((TypeError, ValueError)):
            level.pool_many((good, wrong), 1)
    for whole, _ in wholes:
        assert np.all(whole == np.asarray(cases.GUARD, whole.dtype))
    with pytest.raises(TypeError):
        level.pool_many([good], 1)
