"""Test RowGradient: its sum and its other forms."""

import numpy as np
import pytest
import scipy.sparse

from ebagx import RowGradient
from ebagx.gradients import as_row_gradient
from support.kernel_cases import INDEX_DTYPES


def gradient(rows, dtype=np.float64, index_dtype=np.int64, shape=(6, 2)):
    rows = np.array(rows, index_dtype)
    values = np.outer(rows + 1, np.ones(shape[1])).astype(dtype)
    return RowGradient(rows, values, shape)


def test_takes_lists():
    dense = RowGradient([0, 2], [[1.0], [2.0]], (3, 1)).toarray()
    np.testing.assert_array_equal(dense, [[1], [0], [2]])


@pytest.mark.parametrize("index_dtype", INDEX_DTYPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [[], [0], [5], [0, 1, 2, 3, 4, 5], [1, 4]])
class TestForms:
    def expected(self, rows, dtype):
        dense = np.zeros((6, 2), dtype)
        for row in rows:
            dense[row] = row + 1
        return dense

    def test_dense(self, rows, dtype, index_dtype):
        actual = gradient(rows, dtype, index_dtype).toarray()
        np.testing.assert_array_equal(actual, self.expected(rows, dtype), strict=True)

    @pytest.mark.parametrize("form", ["bsr", "csr"])
    def test_scipy(self, rows, dtype, index_dtype, form):
        original = gradient(rows, dtype, index_dtype)
        matrix = getattr(original, f"to{form}")()
        assert type(matrix) is getattr(scipy.sparse, f"{form}_array")
        matrix.check_format(full_check=True)
        assert matrix.has_canonical_format
        np.testing.assert_array_equal(matrix.toarray(), self.expected(rows, dtype), strict=True)
        if form == "bsr":
            assert matrix.blocksize == (1, 2)
            assert np.shares_memory(matrix.data, original.values) or not rows


def test_zero_values_are_kept():
    matrix = RowGradient(np.array([2]), np.zeros((1, 3)), (4, 3)).tobsr()
    assert matrix.data.shape == (1, 1, 3)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 0)])
@pytest.mark.parametrize("form", ["toarray", "tobsr", "tocsr"])
def test_empty_shapes(shape, form):
    empty = RowGradient(np.empty(0, np.int32), np.empty((0, shape[1]), np.float32), shape)
    assert getattr(empty, form)().shape == shape
    assert getattr(empty, form)().dtype == np.float32


@pytest.mark.parametrize(
    ("left", "right"), [([0, 2], [1, 5]), ([0, 2], [2, 3]), ([], [4]), ([4], []), ([1], [1])]
)
def test_sum(left, right):
    total = gradient(left) + gradient(right, np.float32, np.int32)
    np.testing.assert_array_equal(total.rows, sorted({*left, *right}))
    expected = gradient(left).toarray() + gradient(right).toarray()
    np.testing.assert_array_equal(total.toarray(), expected, strict=True)


def test_sum_leaves_its_terms_alone():
    left, right = gradient([0, 2]), gradient([2, 3])
    before = left.toarray(), right.toarray()
    _ = left + right
    np.testing.assert_array_equal((left.toarray(), right.toarray()), before)


def test_sum_of_other_shapes():
    with pytest.raises(ValueError, match=r"cannot add a gradient of shape \(7, 2\) to \(6, 2\)"):
        gradient([1]) + gradient([1], shape=(7, 2))


def test_sum_with_something_else():
    with pytest.raises(TypeError, match="unsupported operand"):
        gradient([1]) + 1


def test_is_immutable():
    with pytest.raises(AttributeError):
        gradient([1]).rows = np.array([2])


def test_repr():
    expected = "RowGradient(2 of 6 rows, embedding_dim=2, dtype=float32)"
    assert repr(gradient([1, 4], np.float32)) == expected


@pytest.mark.parametrize(
    ("rows", "values", "shape", "error", "message"),
    [
        (
            [5],
            np.ones((1, 2)),
            (5, 2),
            IndexError,
            r"rows\[0\] = 5 is out of range for 5 embeddings",
        ),
        ([-1], np.ones((1, 2)), (5, 2), IndexError, r"rows\[0\] = -1 is out of range"),
        (
            [3, 3],
            np.ones((2, 2)),
            (5, 2),
            ValueError,
            r"rows must ascend, got rows\[1\] = 3 after 3",
        ),
        ([[3]], np.ones((1, 2)), (5, 2), ValueError, "rows must be 1-D, got 2-D"),
        ([1.0], np.ones((1, 2)), (5, 2), TypeError, "rows must be integers, got float64"),
        (
            [1],
            np.ones((2, 2)),
            (5, 2),
            ValueError,
            r"values must have shape \(1, 2\), got \(2, 2\)",
        ),
        ([1], np.ones((1, 2), "c16"), (5, 2), TypeError, "values must be real numbers, got comp"),
        ([], np.ones((0, 2)), (-5, 2), ValueError, r"shape\[0\] must be at least 0, got -5"),
        (
            [],
            np.ones((0, 2)),
            (2**63, 2),
            ValueError,
            r"shape\[0\] must be at most 9223372036854775807",
        ),
        ([], np.ones((0, 2)), (5, 2.0), TypeError, r"shape\[1\] must be an integer, got 2.0"),
    ],
)
def test_errors(rows, values, shape, error, message):
    with pytest.raises(error, match=f"^{message}"):
        RowGradient(rows, values, shape)


@pytest.mark.parametrize("dtype", ["u1", "u8", ">i4", "i2"])
def test_rows_of_any_integers(dtype):
    gradient = RowGradient(np.array([1, 4], dtype), np.ones((2, 3)), (6, 3))
    assert gradient.rows.dtype == np.int64
    np.testing.assert_array_equal(gradient.tobsr().toarray(), gradient.toarray())


def hand_made(make, **parts):
    matrix = make(np.eye(4, 3))
    for name, part in parts.items():
        setattr(matrix, name, np.array(part))
    return matrix


BROKEN = {
    "csr columns": hand_made(scipy.sparse.csr_array, indices=[0, 1, 10**6]),
    "csr indptr": hand_made(scipy.sparse.csr_array, indptr=[0, 10**6, 2, 3, 3]),
    "csr unsigned": hand_made(scipy.sparse.csr_array, indptr=np.array([0, 3, 1, 3, 3], "u4")),
    "csc rows": hand_made(scipy.sparse.csc_array, indices=[0, 1, 10**6]),
    "csc indptr": hand_made(scipy.sparse.csc_array, indptr=[0, 10**6, 2, 3]),
    "bsr": hand_made(scipy.sparse.bsr_array, indptr=[0, 10**6, 2, 3, 3]),
    "flat": np.ones(4),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_matrices(broken):
    """SciPy would convert them with writes outside its arrays."""
    with pytest.raises((ValueError, IndexError)):
        as_row_gradient(broken)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (6, 4)])
def test_matrices_of_any_format(form, shape):
    dense = np.eye(*shape, dtype=np.float32)
    gradient = as_row_gradient(scipy.sparse.csr_array(dense).asformat(form))
    np.testing.assert_array_equal(gradient.toarray(), dense)


def test_blocks_that_repeat_are_summed():
    data = np.arange(6.0).reshape(3, 1, 2)
    twice = scipy.sparse.bsr_array((data, [0, 0, 0], [0, 2, 2, 3]), shape=(3, 2))
    np.testing.assert_array_equal(as_row_gradient(twice).toarray(), [[2, 4], [0, 0], [4, 5]])
