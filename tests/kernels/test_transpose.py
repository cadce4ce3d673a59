import numpy as np
import pytest

from ebagx._kernels import reference
from support import kernel_cases as cases

RADIX = 2048


def sorted_keys(level, indices, offsets, num_rows, payload_bits, num_threads=1):
    keys, scratch = np.zeros(len(indices), np.uint64), np.zeros(len(indices), np.uint64)
    counts = np.full((num_threads, RADIX), -9)
    level.sort_lookups(keys, scratch, counts, indices, offsets, num_rows, payload_bits, num_threads)
    return keys


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("num_rows", [1, 2, 2048, 2049, 100_000, 2**22, 2**22 + 1, 2**31 - 1])
@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_sort_and_group(level, index_dtype, num_threads, num_rows, n):
    rng = np.random.default_rng(3)
    indices = rng.integers(0, num_rows, n).astype(index_dtype)
    indices[::3] = num_rows - 1
    offsets = np.sort(rng.integers(0, n + 1, 41)).astype(index_dtype)  # empty bags among them
    offsets[0], offsets[-1] = 0, n
    payload_bits = 6
    keys = sorted_keys(level, indices, offsets, num_rows, payload_bits, num_threads)
    expected_keys = np.empty_like(keys)
    reference.sort_lookups(
        expected_keys, keys, keys, indices, offsets, num_rows, payload_bits, num_threads
    )
    np.testing.assert_array_equal(keys, expected_keys)

    def room():
        return tuple(np.full(size, -9, index_dtype) for size in (n, n + 1, n))

    unique, starts, payloads = room()
    group_rows = level.group_rows
    count = group_rows(unique, starts, payloads, keys, payload_bits)
    expected_unique, expected_starts, expected_payloads = room()
    assert count == reference.group_rows(
        expected_unique, expected_starts, expected_payloads, keys, payload_bits
    )
    np.testing.assert_array_equal(unique[:count], expected_unique[:count])
    np.testing.assert_array_equal(starts[: count + 1], expected_starts[: count + 1])
    np.testing.assert_array_equal(payloads, expected_payloads)


def counted(level, indices, offsets, num_rows, num_threads):
    n, dtype = len(indices), indices.dtype
    rows, starts, payloads = (np.full(size, -9, dtype) for size in (n, n + 1, n))
    counts = np.full((num_threads, num_rows), -9, np.int32)
    touched = level.count_lookups(rows, starts, payloads, counts, indices, offsets, num_threads)
    return rows[:touched], starts[: touched + 1], payloads


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize(("num_rows", "n"), [(1, 1), (1, 50), (7, 7), (50, 1000), (1000, 1000)])
def test_count(level, index_dtype, num_threads, num_rows, n):
    rng = np.random.default_rng(5)
    indices = rng.integers(0, num_rows, n).astype(index_dtype)
    indices[::3] = num_rows - 1
    offsets = np.sort(rng.integers(0, n + 1, 41)).astype(index_dtype)  # empty bags among them
    offsets[0], offsets[-1] = 0, n
    found = counted(level, indices, offsets, num_rows, num_threads)
    for array, expected in zip(
        found, counted(reference, indices, offsets, num_rows, 1), strict=True
    ):
        np.testing.assert_array_equal(array, expected)


@cases.levels
@cases.threads
def test_count_of_every_row_once(level, num_threads):
    """The rows then fill the room that they have."""
    indices, offsets = np.arange(100)[::-1].copy(), np.arange(0, 101, 10)
    rows, starts, bags = counted(level, indices, offsets, 100, num_threads)
    assert rows.tolist() == list(range(100))
    assert starts.tolist() == list(range(101))
    assert bags.tolist() == np.repeat(np.arange(10), 10)[::-1].tolist()


@cases.levels
@cases.threads
@pytest.mark.parametrize("offsets", [[0, 2, 5], [0, 9, -5], [8, 8, 8], [3, 2, -1]])
def test_count_of_lookups_that_changed_after_the_check(level, num_threads, offsets):
    indices = np.array([3, -1, 1, 1 << 40, 2])
    rows, starts, bags = counted(level, indices, np.array(offsets), 4, num_threads)
    assert rows.tolist() == [0, 1, 2, 3]
    assert starts.tolist() == [0, 2, 3, 4, 5]
    assert set(bags.tolist()) <= {0, 1}
    if offsets == [0, 2, 5]:
        assert bags.tolist() == [0, 1, 1, 1, 0]


@cases.levels
@cases.threads
def test_sort_of_rows_beyond_32_bits(level, num_threads):
    rng = np.random.default_rng(4)
    indices = rng.integers(0, 2**40, 500)
    keys = sorted_keys(level, indices, np.arange(501), 2**40, 9, num_threads)
    np.testing.assert_array_equal(keys & 511, np.argsort(indices, kind="stable"))
    np.testing.assert_array_equal(keys >> 9, np.sort(indices))


@cases.levels
def test_int32_rows_of_a_table_beyond_40_bits(level):
    indices = np.array([5000, 1000, 5000, 4096, 1000], np.int32)
    keys = sorted_keys(level, indices, np.array([0, 5], np.int32), 2**44, 0)
    np.testing.assert_array_equal(keys, [1000, 1000, 4096, 5000, 5000])


@cases.levels
def test_indices_that_changed_after_the_check_become_row_0(level):
    indices = np.array([5, -(2**60), 2**60, 1])
    keys = sorted_keys(level, indices, np.array([0, 4]), 6, 0)
    np.testing.assert_array_equal(keys, [0, 0, 1, 5])


@cases.levels
@pytest.mark.parametrize("offsets", [[0, 9, -5, 7, 3], [8, 8, 8, 8, 8], [3, 2, 1, 0, -1]])
def test_offsets_that_changed_after_the_check_lose_no_lookup(level, offsets):
    indices = np.arange(7)[::-1].copy()
    keys = sorted_keys(level, indices, np.array(offsets), 7, 2)
    np.testing.assert_array_equal(keys >> 2, np.arange(7))


@cases.levels
@cases.index_dtypes
@cases.threads
@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("mode", [reference.SUM, reference.MEAN, reference.SQRTN])
@pytest.mark.parametrize("weighted", [False, True])
def test_transpose_lookups(level, index_dtype, num_threads, real, mode, weighted):
    rng = np.random.default_rng(5)
    indices, offsets = cases.make_bags(rng, 50, index_dtype)
    n = len(indices)
    weights = cases.make_weights(rng, n if weighted else 0, np.dtype(real))
    weights[offsets[9] : offsets[10]] = 0
    order = np.argsort(indices, kind="stable").astype(index_dtype)
    scaled = n if weighted or mode else 0
    expected = np.empty(n, index_dtype), np.empty(scaled, real)
    actual = np.full(n, -9, index_dtype), np.full(scaled, np.nan, real)
    scratch = np.empty(n, index_dtype), np.empty(scaled, real)
    arguments = (*scratch, order, offsets, weights, mode, num_threads)
    reference.transpose_lookups(*expected, *arguments)
    level.transpose_lookups(*actual, *arguments)
    np.testing.assert_array_equal(actual[0], expected[0])
    cases.assert_same_bits(actual[1], expected[1])


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_rows", [1, 50, 2049, 2**22 + 1, 2**31 - 1])
@pytest.mark.parametrize("mode", [reference.SUM, reference.MEAN, reference.SQRTN])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 511, 512])
def test_few_lookups(level, index_dtype, num_rows, mode, weighted, n):
    rng = np.random.default_rng(6)
    indices = rng.integers(0, num_rows, n).astype(index_dtype)
    offsets = np.sort(rng.integers(0, n + 1, 9)).astype(index_dtype)  # empty bags among them
    offsets[0], offsets[-1] = 0, n
    weights = cases.make_weights(rng, n if weighted else 0, np.dtype(np.float32))
    scaled = n if weighted or mode else 0
    results = []
    for kernels in (level, reference):
        written = (
            *(np.full(size, -9, index_dtype) for size in (n, n + 1, n)),
            np.full(scaled, np.nan, np.float32),
        )
        touched = kernels.transpose_few(*written, indices, offsets, weights, num_rows, mode)
        rows, starts, bags, scales = written
        results.append((rows[:touched], starts[: touched + 1], bags, scales))
    for actual, expected in zip(*results, strict=True):
        assert actual.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(results[0][0], np.unique(indices))


@cases.levels
def test_no_more_than_few_lookups(level):
    indices, written = np.zeros(513, np.int64), [np.full(size, -9) for size in (513, 514, 513)]
    empty = np.empty(0, np.float32)
    call = *written, empty, indices, np.array([0, 513]), empty, 50, reference.SUM
    assert level.transpose_few(*call) == 0
    assert all((array == -9).all() for array in written)


@cases.levels
@pytest.mark.parametrize("offsets", [[0, 9, -5, 7, 3], [8, 8, 8, 8, 8], [3, 2, 1, 0, -1]])
def test_few_lookups_that_changed_after_the_check(level, offsets):
    indices = np.array([5, -(2**60), 2**60, 1])
    written = np.empty(4, np.int64), np.empty(5, np.int64), np.empty(4, np.int64)
    scales, empty = np.empty(4, np.float32), np.empty(0, np.float32)
    call = *written, scales, indices, np.array(offsets), empty, 6, reference.MEAN
    assert level.transpose_few(*call) == 3
    np.testing.assert_array_equal(written[0][:3], [0, 1, 5])
    np.testing.assert_array_equal(written[1][:4], [0, 2, 3, 4])
