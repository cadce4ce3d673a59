"""RowGradient: its sum and its other forms."""

import numpy as np
import pytest
import scipy.sparse

from ebagx import RowGradient
from kernel_cases import INDEX_DTYPES


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
