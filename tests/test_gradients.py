"""Test RowGradient: its sum and its other forms."""

import copy
import pickle
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

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


@pytest.mark.parametrize("zero", [0, 0.0, np.float32(0), np.int8(0), 0j])
def test_zero_changes_nothing(zero):
    for total in (gradient([1]) + zero, zero + gradient([1]), gradient([1]) - zero):
        np.testing.assert_array_equal(total.toarray(), gradient([1]).toarray(), strict=True)
    np.testing.assert_array_equal((zero - gradient([1])).toarray(), -gradient([1]).toarray())


def test_sum_of_a_list():
    terms = [gradient([0, 2], np.float32), gradient([2, 3], np.float32), gradient([2], np.float32)]
    expected = sum(term.toarray() for term in terms)
    np.testing.assert_array_equal(sum(terms).toarray(), expected, strict=True)
    np.testing.assert_array_equal((sum(terms) / 3).toarray(), expected / 3, strict=True)


@pytest.mark.parametrize(
    "other", [1, True, False, np.bool_(False), 1.5, np.ones((6, 2)), scipy.sparse.eye_array(6, 2)]
)
def test_sum_with_something_else(other):
    message = "^a RowGradient can be added to a RowGradient or 0, got .*: add toarray.. to an array"
    if isinstance(other, (bool, np.bool_)):
        message = "unsupported operand|RowGradient can be added|does not support ufuncs"
    for add in (
        lambda: gradient([1]) + other,
        lambda: other + gradient([1]),
        lambda: gradient([1]) - other,
        lambda: other - gradient([1]),
    ):
        with pytest.raises(TypeError, match=message):
            add()


def test_sum_with_an_object_that_can_add_it():
    class Other:
        def __radd__(self, other):
            return "added"

        __rsub__ = __radd__

    assert gradient([1]) + Other() == gradient([1]) - Other() == "added"


def test_difference_and_sign():
    left, right = gradient([0, 2]), gradient([2, 3], np.float32, np.int32)
    expected = left.toarray() - right.toarray()
    np.testing.assert_array_equal((left - right).toarray(), expected, strict=True)
    np.testing.assert_array_equal((-left).values, -left.values)


FACTORS = [3, 0.5, -1, 0, np.float32(0.1), np.float64(0.1), np.float16(2), np.int64(5)]
FACTORS += [np.longdouble(0.5), np.array(2.0), np.array(3, np.int32), float("inf"), float("nan")]


@pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: f"{type(factor).__name__} {factor}")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_factors_are_those_of_numpy(dtype, factor):
    original = gradient([1, 4], dtype)
    number = factor[()] if isinstance(factor, np.ndarray) else factor
    for product in (original * factor, factor * original, original.scaled(factor)):
        assert type(product) is RowGradient
        np.testing.assert_array_equal(product.values, original.values * number, strict=True)
        np.testing.assert_array_equal(product.rows, [1, 4])
    quotient = original / factor
    np.testing.assert_array_equal(quotient.values, original.values / number, strict=True)
    np.testing.assert_array_equal(original.values, gradient([1, 4], dtype).values)


@pytest.mark.parametrize("factor", [Fraction(1, 4), Decimal("0.25"), IntEnum("E", "two").two])
def test_factors_of_other_kinds_give_no_objects(factor):
    if isinstance(factor, Decimal):
        with pytest.raises(TypeError, match="^factor must be a number, got Decimal"):
            gradient([1]) * factor
        return
    product = gradient([1], np.float32) * factor
    np.testing.assert_array_equal(
        product.values, gradient([1], np.float32).values * float(factor), strict=True
    )


NO_FACTORS = [True, np.True_, 1j, np.complex64(1), "2", None, [2.0], np.ones(2), np.ones((1, 2))]


@pytest.mark.parametrize("factor", NO_FACTORS, ids=repr)
def test_what_is_no_number_does_not_scale(factor):
    original = gradient([1])
    message = "^{} must be a number, got .*: to scale each row by its own number, make a RowGrad"
    for name, scale in {
        "factor": lambda: original * factor,
        "divisor": lambda: original / factor,
    }.items():
        with pytest.raises(TypeError, match=message.format(name)):
            scale()
    with pytest.raises(TypeError):
        _ = factor * original
    with pytest.raises(TypeError):
        _ = 1 / original
    with pytest.raises(TypeError):
        original.scaled(factor)
    np.testing.assert_array_equal(original.values, gradient([1]).values)


def test_assignments_with_an_operator_make_a_new_gradient():
    original = gradient([1])
    scaled = original
    scaled *= 4
    scaled /= 2
    scaled += original
    scaled -= gradient([3])
    assert scaled.values.tolist() == [[6, 6], [-4, -4]]
    np.testing.assert_array_equal(original.values, gradient([1]).values)


def test_values_can_be_written_to_also_by_an_operator():
    given = np.ones((2, 3))
    original = RowGradient([1, 4], given, (5, 3))
    assert original.values is given
    original.values *= 4
    original.values -= 1
    original.values[0] = 7
    np.testing.assert_array_equal(given, [[7, 7, 7], [3, 3, 3]])
    given.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        original.values *= 4
    np.testing.assert_array_equal(given, [[7, 7, 7], [3, 3, 3]])


def test_other_assignments_change_nothing():
    given = np.array([1, 4])
    original = RowGradient(given, np.ones((2, 3)), (5, 3))
    for name, value in {"rows": [1, 2], "values": np.ones((2, 3)), "shape": (9, 3)}.items():
        with pytest.raises(AttributeError, match=f"^cannot assign {name} of a RowGradient: make a"):
            setattr(original, name, value)
        with pytest.raises(AttributeError, match=f"^cannot delete {name}"):
            delattr(original, name)
    with pytest.raises(ValueError, match="read-only"):
        original.rows += 1
    with pytest.raises(AttributeError):
        original.shape += (1,)
    with pytest.raises(AttributeError):
        original.other = 1
    assert (original.rows.tolist(), original.shape) == ([1, 4], (5, 3))
    assert original.values.tolist() == np.ones((2, 3)).tolist()
    assert given.flags.writeable


def test_equality_and_hash_are_those_of_objects():
    first, second = gradient([1]), gradient([1])
    assert first == first
    assert first != second
    assert len({first, second, first}) == 2


class Named(RowGradient):
    """A subclass with an attribute."""


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))]
)
@pytest.mark.parametrize("cls", [RowGradient, Named])
def test_copies(way, cls):
    original = cls([1, 4], np.ones((2, 3), np.float32), (5, 3))
    if cls is Named:
        original.name = "words"
    other = way(original)
    assert type(other) is cls
    assert getattr(other, "name", None) == getattr(original, "name", None)
    np.testing.assert_array_equal(other.toarray(), original.toarray(), strict=True)
    assert np.shares_memory(other.values, original.values) is (way is copy.copy)
    other.values *= 2
    with pytest.raises(ValueError, match="read-only"):
        other.rows += 1


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
