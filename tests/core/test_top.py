"""Test that the best items of users depend on vectors alone: not on blocks, threads or levels."""

import tracemalloc

import numpy as np
import pytest

from ebagx._core import levels, top
from support import kernel_cases as cases


def make_case(num_users=150, num_items=77, dim=19):
    """Vectors with many equal scores, a list of excluded items for each user."""
    rng = np.random.default_rng(0)
    users = rng.standard_normal((num_users, dim)).astype(np.float32)
    vectors = rng.standard_normal((num_items, dim)).astype(np.float32)
    vectors[::3] = vectors[0]
    bias = rng.integers(0, 2, num_items).astype(np.float32)
    seen = rng.random((num_users, num_items)) < 0.3
    offsets = np.append(0, np.cumsum(seen.sum(axis=1)))
    return users, vectors, bias, 12, top.Excluded(offsets, np.nonzero(seen)[1])


def equal(left, right):
    return all(one.tobytes() == other.tobytes() for one, other in zip(left, right, strict=True))


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 149])
def test_blocks_and_threads_change_no_bit(size, num_threads, monkeypatch):
    expected = top.top_items(*make_case(), 1)
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1000)
    monkeypatch.setattr(top, "_FEWEST_USERS", size)
    monkeypatch.setattr(top, "_PRODUCTS_AT_ONCE", 1)
    assert equal(top.top_items(*make_case(), num_threads), expected)


@pytest.mark.parametrize("num_threads", [2, 3])
@pytest.mark.parametrize("num_users", [1, 5])
def test_few_users_share_items_among_threads(num_users, num_threads, monkeypatch):
    users, vectors, bias, n, excluded = make_case(num_users, 1500)
    expected = top.top_items(users, vectors, bias, n, excluded, 1)
    monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1000)
    monkeypatch.setattr("ebagx._core.threads._PROCESSORS", 3)
    assert top._part_count(num_users, 1500, n, num_threads) == 4 * num_threads
    assert equal(top.top_items(users, vectors, bias, n, excluded, num_threads), expected)
    every = top.top_items(users, vectors, bias, 1500, excluded, num_threads)  # no parts
    assert equal([array[:, :n] for array in every], expected)


@pytest.mark.parametrize("level", [*cases.LEVELS, levels.REFERENCE])
def test_levels_change_no_bit(level, monkeypatch):
    expected = top.top_items(*make_case())
    monkeypatch.setattr(top, "kernels", levels.load_level(level))
    assert equal(top.top_items(*make_case()), expected)


def test_users_alone_have_the_same_bits():
    users, vectors, bias, n, excluded = make_case()
    whole = top.top_items(users, vectors, bias, n, excluded)
    for user in (0, 1, 148, 149):
        start, stop = excluded.offsets[user : user + 2]
        own = top.Excluded(np.array([0, stop - start]), excluded.items[start:stop])
        part = top.top_items(users[user : user + 1], vectors, bias, n, own)
        assert equal(part, [array[user : user + 1] for array in whole])


def test_scores_are_sums_in_float64():
    users, vectors, bias, _, _ = make_case()
    lists = top.top_items(users, vectors, bias, 77, top.nothing_excluded(150))
    expected = users.astype(float) @ vectors.astype(float).T + bias
    found = np.take_along_axis(expected, lists.ids, axis=1)
    np.testing.assert_allclose(lists.scores, found, rtol=0, atol=1e-14 * np.abs(expected).max())


def test_top_scores_equal_top_items():
    users, vectors, bias, n, excluded = make_case()
    lists = top.top_items(users, vectors, bias, n, excluded)
    every = top.top_items(users, vectors, bias, 77, top.nothing_excluded(150))
    scores = np.empty((150, 77))
    np.put_along_axis(scores, every.ids, every.scores, axis=1)
    assert equal(top.top_scores(scores, n, excluded), lists)


@pytest.mark.parametrize(("num_users", "num_items"), [(0, 5), (3, 0)])
def test_without_users_or_items(num_users, num_items):
    case = make_case()
    users, vectors, bias = case[0][:num_users], case[1][:num_items], case[2][:num_items]
    lists = top.top_items(users, vectors, bias, 4, top.nothing_excluded(num_users))
    assert lists.ids.shape == (num_users, 4)
    assert (lists.ids == -1).all()
    assert (lists.scores == -np.inf).all()


def test_memory_does_not_grow_as_users_times_items():
    rng = np.random.default_rng(0)
    users = rng.standard_normal((3000, 4)).astype(np.float32)
    vectors, bias = rng.standard_normal((4000, 4)).astype(np.float32), np.zeros(4000, np.float32)
    tracemalloc.start()
    top.top_items(users, vectors, bias, 5, top.nothing_excluded(3000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # All scores would take 96 MB; the twin in NumPy makes two arrays of them.
    assert peak < (200_000_000 if levels.LEVEL == levels.REFERENCE else 1_000_000)
