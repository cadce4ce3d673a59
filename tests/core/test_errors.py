"""Test the errors of bad lookups in arrays and lists: type, full message, nothing changed."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ebagx import embedding_bag
from support import errors
from support.errors import DIM, NUM_ROWS, large_table

SIGNED = ["i1", "i2", "i4", "i8", ">i4"]
FORMS = (
    "1-D (with offsets), 2-D, a scipy.sparse matrix or bags of integers (a list, an Arrow column)"
)


SEQUENCES = " must have a sequence for each of the 2 bags of input"
FLAT = "flat weights go with flat input and offsets"


def out_of_range(place, index):
    return f"input{place} = {index} is out of range for {NUM_ROWS} embeddings"


@errors.lookups
class TestIndices:
    @pytest.mark.parametrize("place", [0, 3, 7])
    @pytest.mark.parametrize("index", [-1, NUM_ROWS, 127, -128])
    @pytest.mark.parametrize("dtype", SIGNED)
    def test_flat(self, rejects, dtype, index, place):
        indices = np.full(8, NUM_ROWS - 1, dtype)
        indices[place] = index
        indices[7] = -1  # only the first offender is named
        message = out_of_range(f"[{place}]", indices[place])
        rejects(IndexError, message, input=indices, offsets=[0, 4])

    @pytest.mark.parametrize("index", [-1, NUM_ROWS])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_rows(self, rejects, order, index):
        indices = np.zeros((2, 3), int, order)
        indices[1, 0] = index
        rejects(IndexError, out_of_range("[1, 0]", index), input=indices)

    @pytest.mark.parametrize("index", [-1, NUM_ROWS])
    @pytest.mark.parametrize("sequence", [list, tuple, np.array])
    def test_lists(self, rejects, sequence, index):
        bags = [sequence([4, 0]), sequence([3, index])]
        rejects(IndexError, out_of_range("[1][1]", index), input=bags)

    @pytest.mark.parametrize("index", [2**63 - 1, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("dtype", ["u8", ">u8"])
    def test_beyond_int64(self, rejects, dtype, index):
        indices = np.array([[0, 1], [2, index]], dtype)
        rejects(IndexError, out_of_range("[1, 1]", index), input=indices)

    @pytest.mark.parametrize(
        ("index", "dtype"), [(2**31 - 1, "i4"), (-(2**31), "i4"), (-(2**63), "i8"), (2**31, "u4")]
    )
    def test_extremes_of_the_dtype(self, rejects, dtype, index):
        indices = np.array([0, 0, index], dtype)
        rejects(IndexError, out_of_range("[2]", index), input=indices, offsets=[0, 1])

    def test_no_wrap_around(self, rejects):
        rejects(IndexError, out_of_range("[0, 0]", 2**32), input=np.array([[2**32, 0]]))

    @pytest.mark.parametrize("padding_idx", [1, -1])
    def test_minus_one_is_never_padding(self, rejects, padding_idx):
        bags = np.array([[0, -1]])
        rejects(IndexError, out_of_range("[0, 1]", -1), input=bags, padding_idx=padding_idx)

    @pytest.mark.parametrize(
        ("indices", "dtype"),
        [
            (np.array([True, False]), "bool"),
            (np.array([0.0, 1.0]), "float64"),
            (np.array([]), "float64"),
            (np.array([0, 1], complex), "complex128"),
            (np.array([0, 1], object), "object"),
            (np.array(["0", "1"]), "<U1"),
            (np.array([b"0"]), "|S1"),
            (np.array([0, 1], "M8[s]"), "datetime64[s]"),
            (np.array([0, 1], "m8[s]"), "timedelta64[s]"),
            (np.array([(0,)], [("a", "i8")]), "[('a', '<i8')]"),
        ],
        ids=str,
    )
    def test_no_integers(self, rejects, indices, dtype):
        message = f"input must be integers, got {dtype}"
        rejects(TypeError, message, input=indices, offsets=[0, 1])

    @pytest.mark.parametrize("indices", ["01", b"01", None, {0, 1}, {0: 1}, frozenset([0])])
    def test_no_array(self, rejects, indices):
        message = f"input must be an array or a list, got {indices!r}"
        rejects(TypeError, message, input=indices, offsets=[0, 1])

    @pytest.mark.parametrize("entry", [1.0, float("nan"), None, np.float32(1), 1j], ids=repr)
    def test_no_integer(self, rejects, entry):
        message = f"must be an integer, got {entry!r}"
        rejects(TypeError, f"input[1] {message}", input=[0, entry], offsets=[0, 1])
        rejects(TypeError, f"input[1][1] {message}", input=[[0], (0, entry)])
        objects = np.array([0, entry], object)
        rejects(TypeError, f"input[1][1] {message}", input=[[0], objects])

    @pytest.mark.parametrize(
        ("bags", "message"),
        [
            ([[0, 1.0], [2]], "[0][1] must be an integer, got 1.0"),
            ([[1], [True]], "[1][0] must be an integer, got True"),
            ([[1], [np.True_, 2]], "[1][0] must be an integer, got np.True_"),
            ([[1], [2, np.array(1.5)]], "[1][1] must be an integer, got array(1.5)"),
            ([[None]], "[0][0] must be an integer, got None"),
            ([[1], "ab"], "[1] must be a sequence of integers, got 'ab'"),
            ([[1], b"ab"], "[1] must be a sequence of integers, got b'ab'"),
            ([[1], {0: 1}], "[1] must be a sequence of integers, got {0: 1}"),
            ([[1], {0}], "[1] must be a sequence of integers, got {0}"),
            ([[1], None], "[1] must be a sequence of integers, got None; an empty bag is []"),
            ([[1], np.array([0.5])], "[1] must be integers, got float64"),
            ([np.array([1]), np.array([True])], "[1] must be integers, got bool"),
            ([np.array([1]), np.array(["1"])], "[1] must be integers, got <U1"),
        ],
        ids=str,
    )
    def test_no_integers_in_lists(self, rejects, bags, message):
        rejects(TypeError, f"input{message}", input=bags)

    @pytest.mark.parametrize("value", [2**63, 2**64 - 1, 2**64, -(2**63) - 1, -(2**64), 10**30])
    @pytest.mark.parametrize(
        ("write", "place"),
        [
            (lambda x: [0, 1, 2, x, -1], "[3]"),
            (lambda x: [[0, 1], [2, x, -1]], "[1][1]"),
            (lambda x: [np.array([0]), [2, x, -1]], "[1][1]"),
            (lambda x: np.array([[0], [1, x]], object), "[1][1]"),
        ],
    )
    def test_integers_outside_int64(self, rejects, value, write, place):
        lookups = write(value)
        offsets = [0, 1] if place == "[3]" else None
        rejects(IndexError, out_of_range(place, value), input=lookups, offsets=offsets)

    @pytest.mark.parametrize("scalar", [np.uint64, int])
    def test_large_uint64_beside_negative_ones(self, rejects, scalar):
        bags = [[0, scalar(2**63)], [np.int8(-1)]]
        rejects(IndexError, out_of_range("[0][1]", 2**63), input=bags)
        bags = [np.array([0, 2**63], np.uint64), np.array([-1], np.int8)]
        rejects(IndexError, out_of_range("[0][1]", 2**63), input=bags)

    @pytest.mark.parametrize(("indices", "ndim"), [(3, 0), (np.zeros((1, 2, 2), int), 3)])
    def test_dimensions(self, rejects, indices, ndim):
        message = f"input must be {FORMS}, got a {ndim}-D array"
        rejects(ValueError, message, input=indices)

    @pytest.mark.parametrize(
        ("bags", "message"),
        [
            ([[0], 1], "input must not mix sequences and numbers, got input[1] = 1"),
            (
                [[[0, 1]], [[1, 0]]],
                "input[0][0] must be an integer, got deeper nesting: [0, 1]",
            ),
            ([[0, [1]]], "input[0][1] must be an integer, got deeper nesting: [1]"),
            ([np.zeros((1, 2), int)], "input[0] must be 1-D, got 2-D: deeper nesting"),
        ],
        ids=str,
    )
    def test_nesting(self, rejects, bags, message):
        rejects(ValueError, message, input=bags)


@errors.lookups
class TestOffsets:
    @pytest.mark.parametrize("dtype", [*SIGNED, "u2"])
    @pytest.mark.parametrize(
        ("offsets", "message"),
        [
            ([1], "offsets[0] must be 0, got 1"),
            ([1, 0], "offsets[0] must be 0, got 1"),
            (
                [0, 3, 2],
                "offsets must not decrease, got offsets[2] = 2 after offsets[1] = 3",
            ),
            ([0, 7], "offsets[1] = 7 is beyond the 6 indices of input"),
            ([0, 7, 8], "offsets[1] = 7 is beyond the 6 indices of input"),
            ([], "offsets is empty, so the 6 indices of input belong to no bag"),
        ],
        ids=str,
    )
    def test_values(self, rejects, offsets, dtype, message):
        rejects(ValueError, message, input=[0] * 6, offsets=np.array(offsets, dtype))

    @pytest.mark.parametrize(
        ("offsets", "message"),
        [
            ([-1, 0], "offsets[0] must be 0, got -1"),
            ([0, -1], "offsets must not decrease, got offsets[1] = -1 after offsets[0] = 0"),
            (np.array([0, 2**63], "u8"), f"offsets[1] = {2**63} is beyond the 6 indices of input"),
            ([0, 2**32], f"offsets[1] = {2**32} is beyond the 6 indices of input"),
            ([[0]], "offsets must be 1-D, got 2-D"),
            (0, "offsets must be 1-D, got 0-D"),
            (None, "offsets must be given for 1-D input"),
        ],
    )
    def test_more(self, rejects, offsets, message):
        rejects(ValueError, message, input=[0] * 6, offsets=offsets)

    @pytest.mark.parametrize(
        ("offsets", "message"),
        [
            ([], "offsets must not be empty with include_last_offset=True"),
            ([0, 3, 5], "offsets[-1] must be the number of indices 6, got 5"),
            ([0, 3, 7], "offsets[2] = 7 is beyond the 6 indices of input"),
            ([0], "offsets[-1] must be the number of indices 6, got 0"),
            ([6], "offsets[0] must be 0, got 6"),
            ([0, 6, 5], "offsets must not decrease, got offsets[2] = 5 after offsets[1] = 6"),
        ],
    )
    def test_last_offset(self, rejects, offsets, message):
        lookups = {"input": [0] * 6, "offsets": offsets, "include_last_offset": True}
        rejects(ValueError, message, **lookups)

    @pytest.mark.parametrize(
        ("offsets", "dtype"),
        [
            (np.array([False]), "bool"),
            (np.array([]), "float64"),
            (np.array([0], object), "object"),
        ],
    )
    def test_no_integers(self, rejects, offsets, dtype):
        message = f"offsets must be integers, got {dtype}"
        rejects(TypeError, message, input=[0] * 6, offsets=offsets)

    @pytest.mark.parametrize(
        ("offsets", "message"),
        [
            ([0, 1.0], "offsets[1] must be an integer, got 1.0"),
            ([0, None], "offsets[1] must be an integer, got None"),
            ("0", "offsets must be an array or a list, got '0'"),
        ],
    )
    def test_no_integer(self, rejects, offsets, message):
        rejects(TypeError, message, input=[0] * 6, offsets=offsets)

    def test_outside_int64(self, rejects):
        message = f"offsets[1] = {2**64} is beyond the 6 indices of input"
        rejects(ValueError, message, input=[0] * 6, offsets=[0, 2**64])

    @pytest.mark.parametrize(
        ("lookups", "what"),
        [
            (np.zeros((2, 3), int), "2-D input, whose rows are the bags"),
            ([[0], [1, 2]], "a list of sequences, which are the bags"),
        ],
    )
    @pytest.mark.parametrize("offsets", [[0], []])
    def test_are_for_1d_input(self, rejects, lookups, what, offsets):
        rejects(ValueError, f"offsets must be None for {what}", input=lookups, offsets=offsets)


@errors.lookups
class TestWeights:
    @pytest.mark.parametrize(
        ("indices", "weights", "shape"),
        [
            (np.zeros((2, 3), int), np.ones((3, 2)), "(2, 3), got (3, 2)"),
            (np.zeros((2, 3), int), np.ones(6), "(2, 3), got (6,)"),
            (np.zeros((2, 3), int), 1.0, "(2, 3), got ()"),
            (np.zeros((1, 2), int), np.ones((1, 2, 1)), "(1, 2), got (1, 2, 1)"),
        ],
    )
    def test_shape(self, rejects, indices, weights, shape):
        message = f"per_sample_weights must have input's shape {shape}"
        rejects(ValueError, message, input=indices, per_sample_weights=weights)

    @pytest.mark.parametrize("num_weights", [5, 7])
    def test_length(self, rejects, num_weights):
        message = f"per_sample_weights must have input's shape (6,), got ({num_weights},)"
        weights = np.ones(num_weights)
        rejects(ValueError, message, input=[0] * 6, offsets=[0], per_sample_weights=weights)

    @pytest.mark.parametrize(
        ("weights", "message"),
        [
            ([[1.0], [1.0]], "[0] must have 2 weights, as many as input[0], got 1"),
            ([[1.0, 1.0], []], "[1] must have 1 weights, as many as input[1], got 0"),
            ([[1.0, 1.0]], f"{SEQUENCES}, got 1"),
            (np.ones((2, 2)), "[1] must have 1 weights, as many as input[1], got 2"),
            ([1.0, 1.0, 1.0], f"{SEQUENCES}, got an array of shape (3,): {FLAT}"),
            (np.ones(3), f"{SEQUENCES}, got an array of shape (3,): {FLAT}"),
            (1.0, f"{SEQUENCES}, got an array of shape ()"),
            (
                [[[1.0], [1.0]], [[1.0]]],
                "[0][0] must be a real number, got deeper nesting: [1.0]",
            ),
        ],
        ids=str,
    )
    def test_lists(self, rejects, weights, message):
        bags = [[0, 1], [2]]
        message = f"per_sample_weights{message}"
        rejects(ValueError, message, input=bags, per_sample_weights=weights)

    @pytest.mark.parametrize("mode", ["max", "min"])
    @pytest.mark.parametrize("indices", [np.zeros((2, 3), int), [[0] * 3] * 2])
    def test_modes_without(self, rejects, mode, indices):
        message = f"per_sample_weights must be None in mode {mode!r}"
        weights = np.ones((2, 3))
        rejects(ValueError, message, input=indices, mode=mode, per_sample_weights=weights)

    @pytest.mark.parametrize("dtype", ["c16", "O", "U1", "M8[s]"])
    def test_no_real_numbers(self, rejects, dtype):
        weights = np.array([[1, 2]]).astype(dtype)
        message = f"per_sample_weights must be real numbers, got {weights.dtype}"
        rejects(TypeError, message, input=np.array([[0, 1]]), per_sample_weights=weights)


def test_the_greatest_valid_values():
    pooled = embedding_bag([NUM_ROWS - 1] * 6, large_table(), [0, 6], mode="sum", padding_idx=-5)
    np.testing.assert_array_equal(pooled, [6 * large_table()[-1], [0] * DIM])


@given(
    st.lists(st.integers(-1, NUM_ROWS), max_size=5),
    st.lists(st.integers(-1, 6), max_size=4).map(sorted) | st.lists(st.integers(-1, 6), max_size=3),
    st.booleans(),
)
def test_exactly_the_invalid_is_rejected(indices, offsets, last):
    ends = offsets if last else [*offsets, len(indices)]
    runs = bool(ends) and ends[0] == 0 and ends[-1] == len(indices) and ends == sorted(ends)
    arguments = np.array(indices, int), large_table(), np.array(offsets, int)
    if not runs:
        with pytest.raises(ValueError, match=r"^offsets"):
            embedding_bag(*arguments, include_last_offset=last)
    elif not all(0 <= index < NUM_ROWS for index in indices):
        with pytest.raises(IndexError, match=r"^input"):
            embedding_bag(*arguments, include_last_offset=last)
    else:
        assert len(embedding_bag(*arguments, include_last_offset=last)) == len(ends) - 1


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn", "max"])
@pytest.mark.parametrize(("shape", "index"), [((0, 4), 0), ((0, 0), 0), ((3, 0), 3), ((3, 0), -1)])
def test_tables_without_entries(shape, index, mode):
    """No row is read, so that no pass can find the bad index."""
    message = rf"^input\[0\] = {index} is out of range for {shape[0]} embeddings;"
    for padding_idx in (None, 0)[: 1 + shape[0]]:
        with pytest.raises(IndexError, match=message):
            embedding_bag([index], np.ones(shape), [0], mode=mode, padding_idx=padding_idx)


@pytest.mark.parametrize("mode", ["mean", "sqrtn"])
def test_bags_without_a_divisor(mode):
    """Their rows are not read either."""
    with pytest.raises(IndexError, match=r"^input\[0, 1\] = 5 is out of range for 5 embeddings;"):
        embedding_bag(
            np.array([[0, NUM_ROWS]]), large_table(), mode=mode, per_sample_weights=[[0.0, 0.0]]
        )


class Longer(list):
    """A sequence that is shorter than its length."""

    def __len__(self):
        return super().__len__() + 3


def test_sequences_that_lie():
    with errors.rejected(ValueError, "input[0] has 2 entries, and a length of 5"):
        embedding_bag([Longer([1, 2]), [3]], large_table())
    message = "per_sample_weights[0] has 1 entries, and a length of 4"
    with errors.rejected(ValueError, message):
        embedding_bag([[1, 2, 3, 4], [3]], large_table(), per_sample_weights=[Longer([1.0]), [1.0]])
