"""Test csr_from_bags: every form of input, no copies, errors."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings

from ebagx import csr_from_bags, embedding_bag
from support import strategies
from support.errors import rejected

BAGS = [[3, 1, 1], [], [2]]


@given(strategies.calls(modes=["sum"], policies=False))
@settings(max_examples=50)
def test_pools_as_its_input(call):
    lookups, num_rows = call.lookups, len(call.table)
    matrix = csr_from_bags(num_embeddings=num_rows, **lookups)
    assert matrix.shape == (len(call.bags), num_rows)
    np.testing.assert_array_equal(matrix.indptr, np.cumsum([0, *map(len, call.bags)]))
    assert matrix.indices.tolist() == [index for bag in call.bags for index in bag]
    given_weights = lookups.get("per_sample_weights") is not None
    if given_weights or call.form in strategies.SPARSE_FORMS:
        assert matrix.data.tolist() == [weight for bag in call.weights for weight in bag]
    matrix.check_format(full_check=True)
    table = call.table.astype(float)
    expected = embedding_bag(weight=table, mode="sum", **lookups)
    np.testing.assert_allclose(matrix @ table, expected)
    np.testing.assert_array_equal(embedding_bag(matrix, table, mode="sum"), expected)


def test_ones():
    matrix = csr_from_bags(BAGS, 4)
    assert type(matrix) is scipy.sparse.csr_array
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix.toarray(), [[0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    assert matrix.nnz == 4  # the duplicate is kept


@pytest.mark.parametrize("index_dtype", ["i4", "i8"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_no_copies(dtype, index_dtype):
    indices, offsets = np.array([3, 1, 1, 2], index_dtype), np.array([0, 3, 3, 4], index_dtype)
    weights = np.ones(4, dtype)
    matrix = csr_from_bags(indices, 4, offsets, weights, include_last_offset=True)
    parts = (matrix.indices, indices), (matrix.indptr, offsets), (matrix.data, weights)
    for part, given_array in parts:
        assert np.shares_memory(part, given_array)
        assert part.dtype == given_array.dtype
    again = csr_from_bags(matrix, 4)
    assert np.shares_memory(again.indices, indices)
    assert np.shares_memory(again.data, weights)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("f2", "f4"), ("i8", "f8"), ("u1", "f8"), (">f4", "f8"), ("g", "f8")]
)
def test_other_weights_are_cast(dtype, expected):
    weights = np.array([[1, 2], [3, 4]]).astype(dtype)
    matrix = csr_from_bags(np.array([[3, 1], [2, 2]]), 4, per_sample_weights=weights)
    assert matrix.dtype == np.dtype(expected)
    np.testing.assert_array_equal(matrix.data, [1, 2, 3, 4])


@pytest.mark.parametrize("shape", [(0, 4), (0, 0), (3, 0)])
def test_nothing(shape):
    matrix = csr_from_bags([[]] * shape[0], shape[1])
    assert matrix.shape == shape
    assert matrix.nnz == 0


def test_errors():
    # It has no option `invalid`, which the messages of other functions name.
    with pytest.raises(IndexError, match=r"^input\[0\]\[0\] = 3 is out of range for 3 embeddings$"):
        csr_from_bags(BAGS, 3)
    with pytest.raises(IndexError, match=r"^input\[1\] = -1 is out of range for 3 embeddings$"):
        csr_from_bags(np.array([0, -1]), 3, [0])
    with pytest.raises(ValueError, match=r"^input\[0, 1\] is masked: drop or replace it$"):
        csr_from_bags(np.ma.array([[0, 1]], mask=[[0, 1]]), 3)
    with rejected(ValueError, "num_embeddings must be at least 0, got -1"):
        csr_from_bags(BAGS, -1)
    with rejected(TypeError, "num_embeddings must be an integer, got 3.0"):
        csr_from_bags(BAGS, 3.0)
    with rejected(ValueError, "offsets must be given for 1-D input"):
        csr_from_bags([1, 2], 3)
    message = "per_sample_weights[0] must have 3 weights, as many as input[0], got 1"
    with rejected(ValueError, message):
        csr_from_bags(BAGS, 4, per_sample_weights=[[1.0], [], [1.0]])
    with rejected(
        ValueError, "sparse input must have shape (num_bags, 3) for 3 embeddings, got (2, 4)"
    ):
        csr_from_bags(scipy.sparse.csr_array((2, 4)), 3)
