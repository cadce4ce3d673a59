"""Test the errors of scipy.sparse input that is inconsistent or of the wrong shape."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, strategies as st

from ebagx import embedding_bag
from support import errors
from support.errors import NUM_ROWS


def good_csr(num_columns=NUM_ROWS):
    parts = ([1.0, 2.0, 3.0, 4.0], [0, 1, 2, 4], [0, 2, 4])
    return scipy.sparse.csr_array(parts, shape=(2, num_columns))


@errors.lookups
class TestArguments:
    @pytest.mark.parametrize("num_columns", [NUM_ROWS - 1, NUM_ROWS + 1, 0])
    @pytest.mark.parametrize("name", ["csr", "coo"])
    def test_columns(self, rejects, name, num_columns):
        message = (
            f"sparse input must have shape (num_bags, {NUM_ROWS}) for {NUM_ROWS} embeddings, "
            f"got (2, {num_columns})"
        )
        matrix = scipy.sparse.csr_array((2, num_columns))
        rejects(ValueError, message, input=matrix.asformat(name))

    @pytest.mark.skipif(
        scipy.sparse.coo_array(np.ones(1)).ndim == 2, reason="SciPy before 1.13 has no 1-D arrays"
    )
    def test_dimensions(self, rejects):
        message = (
            f"sparse input must have shape (num_bags, {NUM_ROWS}) for {NUM_ROWS} embeddings, "
            f"got ({NUM_ROWS},)"
        )
        rejects(ValueError, message, input=scipy.sparse.coo_array(np.ones(NUM_ROWS)))

    @pytest.mark.parametrize("name", ["csr", "coo", "lil"])
    def test_offsets(self, rejects, name):
        message = "offsets must be None for sparse input, whose rows are the bags"
        rejects(ValueError, message, input=good_csr().asformat(name), offsets=[0, 2, 4])

    def test_weights(self, rejects):
        message = "per_sample_weights must be None for sparse input, whose values they are"
        rejects(ValueError, message, input=good_csr(), per_sample_weights=np.ones(4))

    @pytest.mark.parametrize("mode", ["max", "min"])
    def test_weights_with_extremes(self, rejects, mode):
        message = f"per_sample_weights must be None in mode {mode!r}"
        rejects(ValueError, message, input=good_csr(), per_sample_weights=np.ones(4), mode=mode)

    def test_complex_values(self, rejects):
        message = "input.data must be real numbers, got complex128"
        rejects(TypeError, message, input=good_csr() * 1j)


@errors.lookups
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
class TestBrokenCsr:
    @pytest.mark.parametrize(
        ("indptr", "message"),
        [
            ([1, 2, 4], "input.indptr[0] must be 0, got 1"),
            ([-1, 2, 4], "input.indptr[0] must be 0, got -1"),
            (
                [0, 5, 4],
                "input.indptr must not decrease, got input.indptr[2] = 4 after input.indptr[1] = 5",
            ),
            (
                [0, -1, 4],
                "input.indptr must not decrease, "
                "got input.indptr[1] = -1 after input.indptr[0] = 0",
            ),
            ([0, 2, 5], "input.indptr[2] = 5 is beyond the 4 indices of input"),
            ([0, 4], "input.indptr must have 3 entries for 2 rows, got 2"),
            ([], "input.indptr must have 3 entries for 2 rows, got 0"),
            ([0, 2, 4, 4], "input.indptr must have 3 entries for 2 rows, got 4"),
        ],
        ids=str,
    )
    def test_indptr(self, rejects, dtype, indptr, message):
        matrix = good_csr()
        matrix.indptr = np.array(indptr, dtype)
        rejects(ValueError, message, input=matrix)

    @pytest.mark.parametrize("index", [-1, NUM_ROWS, 2**31 - 1])
    @pytest.mark.parametrize("place", [0, 3])
    def test_indices(self, rejects, dtype, place, index):
        matrix = good_csr()
        matrix.indices = matrix.indices.astype(dtype)
        matrix.indices[place] = index
        message = f"input.indices[{place}] = {index} is out of range for {NUM_ROWS} embeddings"
        rejects(IndexError, message, input=matrix)

    @pytest.mark.parametrize("short", ["indices", "data"])
    def test_too_short(self, rejects, dtype, short):
        matrix = good_csr()
        matrix.indices = matrix.indices.astype(dtype)
        setattr(matrix, short, getattr(matrix, short)[:3])
        message = "input.indptr[2] = 4 is beyond the 3 indices of input"
        rejects(ValueError, message, input=matrix)


@errors.lookups
@pytest.mark.parametrize("part", ["indices", "indptr"])
@pytest.mark.parametrize("dtype", ["float64", "bool", "object"])
def test_no_integers(rejects, part, dtype):
    matrix = good_csr()
    setattr(matrix, part, getattr(matrix, part).astype(dtype))
    rejects(TypeError, f"input.{part} must be integers, got {dtype}", input=matrix)


def broken_csc_rows():
    matrix = good_csr().tocsc()
    matrix.indices[0] = 2
    return matrix


def broken_csc_indptr():
    matrix = good_csr().tocsc()
    matrix.indptr[-1] += 1
    return matrix


def broken_coo():
    matrix = good_csr().tocoo()
    matrix.row[3] = 2
    return matrix


def broken_bsr():
    matrix = good_csr(6).tobsr((1, 2))
    matrix.indptr[-1] += 1
    return matrix


@pytest.mark.parametrize("broken", [broken_csc_rows, broken_csc_indptr, broken_coo, broken_bsr])
def test_what_scipy_would_convert_unchecked(broken):
    """SciPy's conversions write outside their arrays for these."""
    matrix = broken()
    table = np.ones((matrix.shape[1], 3))
    before = table.copy()
    with pytest.raises((ValueError, IndexError)):
        embedding_bag(matrix, table, max_norm=0.5)
    np.testing.assert_array_equal(table, before)


@given(
    st.lists(st.integers(-1, 5), min_size=2, max_size=4),
    st.lists(st.integers(-1, NUM_ROWS), max_size=5),
    st.integers(0, 5),
)
def test_exactly_the_invalid_is_rejected(indptr, indices, num_values):
    matrix = scipy.sparse.csr_array((len(indptr) - 1, NUM_ROWS))
    matrix.indptr, matrix.indices = np.array(indptr), np.array(indices, int)
    matrix.data = np.ones(num_values)
    stored = min(len(indices), num_values)
    if indptr[0] != 0 or indptr != sorted(indptr) or indptr[-1] > stored:
        with pytest.raises(ValueError, match=r"^input\.indptr"):
            embedding_bag(matrix, np.ones((NUM_ROWS, 2)))
    elif not all(0 <= index < NUM_ROWS for index in indices[: indptr[-1]]):
        with pytest.raises(IndexError, match=r"^input\.indices"):
            embedding_bag(matrix, np.ones((NUM_ROWS, 2)))
    else:
        pooled = embedding_bag(matrix, np.ones((NUM_ROWS, 2)), mode="sum")
        np.testing.assert_array_equal(pooled[:, 0], np.diff(indptr))
