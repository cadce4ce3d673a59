import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from support import kernel_cases as cases

NUM_ROWS = 50
MODES = (reference.SUM, reference.MEAN, reference.SQRTN)
LENGTHS = [3, 0, 1, 37, 0, 700, 2]  # one bag is added up in parts

modes = pytest.mark.parametrize("mode", MODES)


def make_call(dtype, index_dtype, weighted, *, dim=17, lengths=LENGTHS):
    """Return table, indices, offsets (B + 1,) and weights."""
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    indices = rng.integers(0, NUM_ROWS, offsets[-1]).astype(index_dtype)
    weights = cases.make_weights(rng, len(indices), sum_dtype(dtype)) if weighted else None
    return cases.make_table(rng, NUM_ROWS, dim, dtype), indices, offsets, weights


def pooled(table, indices, offsets, weights, mode):
    out = np.empty((len(offsets) - 1, table.shape[1]), table.dtype)
    flat = np.empty(0, sum_dtype(table.dtype)) if weights is None else weights
    reference.pool(kernel_view(out), kernel_view(table), indices, offsets, flat, mode, 1)
    return out


def plainly(kernel, threads):
    """Return a kernel that asserts that `pool_plain` writes closed offsets."""

    def pool(out, table, indices, offsets, weights, mode, is_closed):
        dtype = getattr(indices, "dtype", np.dtype(np.int64))
        ends = np.empty(len(out) + 1, dtype if dtype.kind == "i" else np.int64)
        given = table, indices, offsets, weights, mode, is_closed, threads
        copy = np.empty_like(out)
        if not kernel(out, ends, *given):
            assert not kernel(copy, None, *given)
            return False
        assert kernel(copy, None, *given)  # there are few bags
        assert copy.tobytes() == out.tobytes()
        if offsets is None:
            expected = np.arange(len(indices) + 1) * indices.shape[1]
        else:
            expected = offsets if is_closed else np.append(offsets, len(indices))
        np.testing.assert_array_equal(ends, expected)
        return True

    return pool


def kernels_of(level):
    """Return kernels that check the arguments of a caller."""
    return *(plainly(level.pool_plain, n) for n in (1, 3)), plainly(reference.pool_plain, 1)


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@pytest.mark.parametrize("weighted", [False, True])
@modes
@pytest.mark.parametrize("dim", [17, 64])  # the GIL is kept for few additions, with one thread
def test_same_bits_as_pool(level, dtype, index_dtype, weighted, mode, dim):
    table, indices, offsets, weights = make_call(dtype, index_dtype, weighted, dim=dim)
    expected = pooled(table, indices, offsets, weights, mode)
    other = np.int32 if index_dtype == np.int64 else np.int64
    for ends, is_closed in (
        *((offsets, True), (offsets[:-1].copy(), False)),
        *((offsets.astype(other), True), (offsets[:-1].astype(other), False)),
    ):
        for kernel in kernels_of(level):
            whole, out = cases.guarded(expected.shape, dtype)
            given = kernel_view(out), kernel_view(table), indices, ends, weights
            assert kernel(*given, mode, is_closed) is True
            cases.assert_same_bits(out, expected)
            cases.assert_guards(whole, out.shape)


@cases.levels
@cases.index_dtypes
@cases.dims
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_of_2d_indices_are_bags(level, index_dtype, dim, weighted):
    lengths = [5] * 4
    table, indices, offsets, weights = make_call(
        np.dtype(np.float32), index_dtype, weighted, dim=dim, lengths=lengths
    )
    expected = pooled(table, indices, offsets, weights, reference.MEAN)
    shaped = None if weights is None else weights.reshape(4, 5).copy()
    for kernel in kernels_of(level):
        out = np.empty_like(expected)
        given = out, table, indices.reshape(4, 5).copy(), None, shaped
        assert kernel(*given, reference.MEAN, False) is True
        cases.assert_same_bits(out, expected)


def unaligned(array):
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = memory.view(array.dtype)
    copy[:] = array
    return copy


class Subclass(np.ndarray):
    pass


UNUSUAL = {
    "subclass": lambda array: array.view(Subclass),
    "list": lambda array: array.tolist(),
    "strided": lambda array: np.repeat(array, 2)[::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "unaligned": unaligned,
    "3-D": lambda array: array.copy().reshape(1, -1, 1),
    "2-D": lambda array: array.copy().reshape(1, -1),
    "0-D": lambda array: np.array(3, array.dtype),
    "short": lambda array: array[:-1].copy(),
    "int16": lambda array: array.astype(np.int16),
    "bool": lambda array: array.astype(bool),
    "empty items": lambda array: np.empty(len(array), "V0"),
    "dates": lambda array: array.astype("M8[s]"),
    "objects": lambda array: array.astype(object),
    "in foreign memory": lambda array: np.frombuffer(array.tobytes(), array.dtype),
}
GIVEN = ("indices", "offsets", "weights")


@cases.levels
@pytest.mark.parametrize("place", range(3), ids=GIVEN)
@pytest.mark.parametrize("kind", UNUSUAL)
@pytest.mark.filterwarnings("ignore:Casting:RuntimeWarning")
def test_unusual_arrays_are_left_to_the_usual_path(level, place, kind):
    table, *given = make_call(np.dtype(np.float32), np.dtype(np.int64), True)
    given[place] = UNUSUAL[kind](given[place])
    for kernel in kernels_of(level):
        out = np.empty((len(LENGTHS), table.shape[1]), table.dtype)
        assert kernel(out, table, *given, reference.SUM, True) is False


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@pytest.mark.parametrize("weighted", [False, True])
def test_memoryviews(level, dtype, index_dtype, weighted):
    table, *given = make_call(dtype, index_dtype, weighted)
    views = [None if array is None else memoryview(array) for array in given]
    expected = pooled(table, *given, reference.MEAN)
    for kernel in (level.pool_plain, reference.pool_plain):
        out = np.empty_like(expected)
        read = memoryview(kernel_view(table)), *views, reference.MEAN, True, 1
        assert kernel(memoryview(kernel_view(out)), None, *read) is True
        assert out.tobytes() == expected.tobytes()


@cases.levels
@pytest.mark.parametrize("place", range(3), ids=GIVEN)
def test_memoryviews_that_are_not_plain(level, place):
    table, *given = make_call(np.dtype(np.float32), np.dtype(np.int64), True)
    for kernel in (level.pool_plain, reference.pool_plain):
        out = np.empty((len(LENGTHS), table.shape[1]), table.dtype)
        views = [memoryview(array) for array in given]
        for other in (given[place], memoryview(np.repeat(given[place], 2))[::2]):
            read = memoryview(table), *views[:place], other, *views[place + 1 :]
            assert kernel(memoryview(out), None, *read, reference.SUM, True, 1) is False


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("bad", [-1, NUM_ROWS, 2**31 - 1])
@pytest.mark.parametrize("place", [0, 40, -1])
def test_indices_outside_are_found(level, index_dtype, bad, place):
    table, indices, offsets, _ = make_call(np.dtype(np.float32), index_dtype, False)
    indices[place] = bad
    for kernel in kernels_of(level):
        out = np.empty((len(LENGTHS), table.shape[1]), table.dtype)
        assert kernel(out, table, indices, offsets, None, reference.SUM, True) is False


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize(
    ("offsets", "is_closed"),
    [
        ([1, 3, 6], True),
        ([0, 4, 3, 6], True),
        ([0, -1, 6], True),
        ([0, 7, 6], True),
        ([0, 3, 5], True),
        ([0, 3, 7], True),
        ([6], True),
        ([1, 3], False),
        ([0, 4, 3], False),
        ([0, 7], False),
        ([-1, 2], False),
        # Lookups of such bags would not only be wrong: they are in no memory of the process.
        ([0, 2**31 - 1, 6], True),
        ([0, 2**31 - 1], False),
        ([0, 6, -(2**31), 6], True),
    ],
)
def test_wrong_offsets_are_found(level, index_dtype, offsets, is_closed):
    table, indices, _, _ = make_call(np.dtype(np.float32), index_dtype, False, lengths=[6])
    ends = np.array(offsets, index_dtype)
    for kernel in kernels_of(level):
        out = np.empty((len(ends) - is_closed, table.shape[1]), table.dtype)
        assert kernel(out, table, indices, ends, None, reference.SUM, is_closed) is False


@cases.levels
@pytest.mark.parametrize("shape", [(4, 5), (10, 2), (20, 1), (4, 0), (5,), (5, 4, 1)])
def test_2d_indices_without_a_row_for_each_bag_are_found(level, shape):
    table = cases.make_table(np.random.default_rng(0), NUM_ROWS, 4, np.dtype(np.float32))
    for kernel in kernels_of(level):
        out = np.empty((5, 4), np.float32)
        given = out, table, np.zeros(shape, np.int64), None, None
        assert kernel(*given, reference.SUM, False) is False


@cases.levels
@pytest.mark.parametrize(
    ("shape", "other"),
    [((5, 4), (4, 5)), ((5, 4), (20,)), ((5, 4), (5, 3)), ((5, 1), (5,)), ((5, 1), (5, 1, 1))],
)
def test_weights_of_another_shape_than_2d_indices_are_found(level, shape, other):
    table = cases.make_table(np.random.default_rng(0), NUM_ROWS, 4, np.dtype(np.float32))
    for kernel in kernels_of(level):
        for weights_shape in (shape, other):
            out = np.empty((5, 4), np.float32)
            given = out, table, np.zeros(shape, np.int64), None, np.ones(weights_shape, np.float32)
            assert kernel(*given, reference.SUM, False) is (weights_shape == shape)


@cases.levels
def test_outputs_of_another_size_are_found(level):
    table, indices, offsets, _ = make_call(np.dtype(np.float32), np.dtype(np.int64), False)
    width = table.shape[1]
    for kernel in kernels_of(level):
        for shape in ((len(LENGTHS) + 1, width), (len(LENGTHS), width - 1), (0, width)):
            out = np.empty(shape, table.dtype)
            assert kernel(out, table, indices, offsets, None, reference.SUM, True) is False
        none = np.empty((0, width), table.dtype)
        out = np.empty((len(LENGTHS), width), table.dtype)
        assert kernel(out, none, indices, offsets, None, reference.SUM, True) is False


@cases.levels
def test_a_place_for_offsets_that_does_not_suit(level):
    table, indices, offsets, _ = make_call(np.dtype(np.float32), np.dtype(np.int64), False)
    out = np.empty((len(LENGTHS), table.shape[1]), table.dtype)
    for ends in (np.empty(len(offsets), np.int32), np.empty(len(LENGTHS), np.int64)):
        given = out, ends, table, indices, offsets, None
        assert level.pool_plain(*given, reference.SUM, True, 1) is False


@cases.levels
@cases.index_dtypes
def test_many_bags_need_a_place_for_offsets(level, index_dtype):
    table, indices, offsets, _ = make_call(
        np.dtype(np.float32), index_dtype, False, lengths=[2] * 64
    )
    for kernel in (level.pool_plain, reference.pool_plain):
        for count, is_done in ((63, True), (64, False)):
            out = np.empty((count, table.shape[1]), np.float32)
            given = out, None, table, indices[: 2 * count], offsets[:count], None
            assert kernel(*given, reference.SUM, False, 1) is is_done
