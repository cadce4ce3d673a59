"""Compare the kernels that rank items with their twins, and with a plain definition."""

import numpy as np
import pytest

from ebagx._kernels import top_reference as twin
from support import kernel_cases as cases


def make_excluded(rng, num_users, num_items, dtype):
    """Lists of no, few and all items, in ascending order."""
    lists = [
        np.sort(rng.choice(num_items, rng.integers(num_items + 1), replace=False))
        for _ in range(num_users)
    ]
    for user, items in ((0, ()), (num_users - 1, range(num_items))):
        lists[user] = np.array(items, int)
    offsets = np.cumsum([0, *map(len, lists)])
    return offsets.astype(dtype), np.concatenate(lists).astype(dtype)


def empty_lists(num_users, n):
    """Strided lists in an array whose other numbers must stay."""
    ids, scores = np.full((num_users, n + 2), -5), np.full((num_users, n + 2), 5.0)
    ids[:, 1:-1], scores[:, 1:-1] = -1, -np.inf
    return ids, scores


def inner(lists):
    return tuple(array[:, 1:-1] for array in lists)


def assert_guards(lists):
    for array, guard in zip(lists, (-5, 5.0), strict=True):
        assert (array[:, [0, -1]] == guard).all()


def top_items(kernels, users, items, excluded, n, num_threads=1, parts=1):
    lists = empty_lists(parts * len(users), n)
    units = 1 if num_threads == 1 else min(len(users), 4 * num_threads)
    panels = np.empty((parts if parts > 1 else units, 8 * users.shape[1]))
    cursors = np.tile(excluded[0][:-1].astype(np.int64), parts)
    kernels.top_items(inner(lists), (cursors, *excluded), panels, users, items, num_threads)
    assert_guards(lists)
    return inner(lists)


def top_scores(kernels, scores, excluded, n, num_threads=1):
    lists = empty_lists(len(scores), n)
    cursors = excluded[0][:-1].astype(np.int64)
    kernels.top_scores(inner(lists), (cursors, *excluded), scores, num_threads)
    assert_guards(lists)
    return inner(lists)


@cases.levels
@cases.threads
@pytest.mark.parametrize("parts", [2, 5])
def test_parts_of_items_equal_twin(level, num_threads, parts):
    rng = np.random.default_rng(parts)
    users, items = make_vectors(rng, 3, 53, 6)
    excluded = make_excluded(rng, 3, 53, np.int32)
    found, wanted = (
        top_items(kernels, users, items, excluded, 4, num_threads, parts)
        for kernels in (level, twin)
    )
    for array, of_twin in zip(found, wanted, strict=True):
        assert array.tobytes() == of_twin.tobytes()
    of_second = wanted[0][3:6]
    assert ((of_second < 0) | (of_second >= 8)).all()


def make_vectors(rng, num_users, num_items, dim):
    """Vectors with many equal scores, and with sums whose bits depend on their order."""
    users = rng.standard_normal((num_users, dim)).astype(np.float32)
    vectors = rng.standard_normal((num_items, dim + 3)).astype(np.float32)[:, :dim]
    users[::2], vectors[::3] = np.round(users[::2]), np.round(vectors[::3])
    vectors[:, ::4] *= np.float32(1e9)
    vectors[1::5] = 0
    bias = rng.integers(-1, 2, num_items).astype(np.float32)
    return users.astype(np.float64), (vectors, bias)


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize(
    ("num_users", "num_items", "dim", "n"),
    [(1, 1, 1, 1), (5, 23, 3, 4), (13, 40, 17, 40), (9, 8, 32, 3), (150, 30, 8, 50)],
)
def test_items_equal_twin(level, index_dtype, num_threads, num_users, num_items, dim, n):
    rng = np.random.default_rng(num_users)
    users, items = make_vectors(rng, num_users, num_items, dim)
    excluded = make_excluded(rng, num_users, num_items, index_dtype)
    found = top_items(level, users, items, excluded, n, num_threads)
    for array, wanted in zip(found, top_items(twin, users, items, excluded, n), strict=True):
        assert array.tobytes() == wanted.tobytes()


@cases.levels
@pytest.mark.parametrize(("num_users", "num_items", "dim"), [(5, 23, 3), (13, 40, 17), (9, 8, 32)])
def test_cosines_equal_twin_and_definition(level, num_users, num_items, dim):
    """Without a bias, scores are divided by the lengths of the items."""
    rng = np.random.default_rng(dim)
    users, (vectors, _) = make_vectors(rng, num_users, num_items, dim)
    items, nothing = (vectors, np.empty(0, np.float32)), make_excluded(rng, num_users, 0, np.int32)
    found = top_items(level, users, items, nothing, num_items)
    for array, wanted in zip(found, top_items(twin, users, items, nothing, num_items), strict=True):
        assert array.tobytes() == wanted.tobytes()
    lengths = np.linalg.norm(vectors.astype(float), axis=1)
    expected = users @ vectors.T.astype(float) / np.where(lengths > 0, lengths, 1)
    np.testing.assert_allclose(np.take_along_axis(expected, found[0], 1), found[1], rtol=1e-9)


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("n", [1, 3, 40, 60])
def test_scores_equal_twin(level, index_dtype, num_threads, n):
    rng = np.random.default_rng(n)
    scores = rng.integers(-3, 4, (21, 40)).astype(float)
    scores[3], scores[4, :35], scores[5, 7] = -np.inf, -np.inf, np.inf
    excluded = make_excluded(rng, 21, 40, index_dtype)
    found = top_scores(level, scores, excluded, n, num_threads)
    for array, wanted in zip(found, top_scores(twin, scores, excluded, n), strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_twin_equals_definition():
    rng = np.random.default_rng(1)
    scores = rng.integers(-3, 4, (21, 40)).astype(float)
    offsets, items = make_excluded(rng, 21, 40, np.int32)
    ids, best = top_scores(twin, scores, (offsets, items), 12)
    for user in range(21):
        left = set(range(40)) - set(items[offsets[user] : offsets[user + 1]].tolist())
        order = sorted(left, key=lambda item: (-scores[user, item], item))[:12]
        missing = 12 - len(order)
        assert ids[user].tolist() == order + [-1] * missing
        assert best[user].tolist() == [*scores[user, order], *[-np.inf] * missing]


@cases.levels
def test_a_score_is_added_in_the_order_of_columns(level):
    """In another order, or in float32, the large numbers would hide the small one."""
    users = np.array([[1e9, 1e9, 1e-8]])
    vectors = np.array([[1e9, -1e9, 1.0], [1.0, -1e9, 1e9]], np.float32)
    bias = np.zeros(2, np.float32)
    nothing = np.zeros(2, np.int32), np.empty(0, np.int32)
    users = users.astype(np.float32).astype(float)
    _, scores = top_items(level, users, (vectors, bias), nothing, 2)
    expected = [
        ((u[0] * users[0, 0] + u[1] * users[0, 1]) + u[2] * users[0, 2])
        for u in vectors.astype(float)
    ]
    assert scores[0].tolist() == sorted(expected, reverse=True)


@cases.levels
@pytest.mark.parametrize("bad", [-1, 10**9])
def test_changed_by_another_thread(level, bad):
    """Numbers outside their arrays give wrong lists, not wild addresses."""
    rng = np.random.default_rng(1)
    users, items = make_vectors(rng, 13, 40, 4)
    offsets, excluded = make_excluded(rng, 13, 40, np.int64)
    offsets[2:9:2], excluded[::4] = bad, bad
    ids, _ = top_items(level, users, items, (offsets, excluded), 5)
    assert ((ids >= -1) & (ids < 40)).all()
