"""Test ragged ids and weights that are separate objects: lists, arrays, iterators, masked."""

from array import array
from collections import UserList, deque
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

from ebagx import EmbeddingBag, RowGradient, embedding_bag, embedding_bag_backward
from ebagx._core.forms import entries as entries_module, lists as lists_module
from support.errors import large_table, rejected

TABLE = large_table()
BAGS = [[3, 1, 1], [], [4], [0, 2]]
WEIGHTS = [[0.5, 1.0, -2.0], [], [4.0], [0.25, 0.0]]
GRAD = np.ones((4, 2))


def objects(bags):
    """Return an object array of bags; NumPy would make a 2-D one of bags of one length."""
    whole = np.empty(len(bags), object)
    whole[:] = bags
    return whole


class Sequence:
    """A sequence that is no list: entries by number and a length."""

    def __init__(self, entries):
        self.entries = entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, i):
        return self.entries[i]


class Arraylike:
    """An object that NumPy can read, as tensors and series are."""

    def __init__(self, values):
        self.values_of_it = np.array(values)

    def __len__(self):
        return len(self.values_of_it)

    def __array__(self, dtype=None, copy=None):
        return self.values_of_it


# Each makes a value of bags of numbers of a dtype.
FORMS = {
    "lists": lambda bags, dtype: bags,
    "tuples": lambda bags, dtype: tuple(map(tuple, bags)),
    "scalars": lambda bags, dtype: [list(map(np.dtype(dtype).type, bag)) for bag in bags],
    "0-D arrays": lambda bags, dtype: [[np.array(x, dtype) for x in bag] for bag in bags],
    "arrays": lambda bags, dtype: [np.array(bag, dtype) for bag in bags],
    "mixed": lambda bags, dtype: [np.array(bags[0], dtype), *bags[1:]],
    "byte-swapped": lambda bags, dtype: [np.array(bag, dtype).astype(">" + dtype) for bag in bags],
    "strided": lambda bags, dtype: [np.repeat(np.array(bag, dtype), 3)[::3] for bag in bags],
    "array-likes": lambda bags, dtype: [Arraylike(np.array(bag, dtype)) for bag in bags],
    "sequences": lambda bags, dtype: [Sequence(bag) for bag in bags],
    "memory views": lambda bags, dtype: [memoryview(np.array(bag, dtype)) for bag in bags],
    "array.array": lambda bags, dtype: [array(np.dtype(dtype).char, bag) for bag in bags],
    "deques": lambda bags, dtype: deque(map(deque, bags)),
    "user list": lambda bags, dtype: UserList(bags),
    "objects": lambda bags, dtype: objects(bags),
    "objects of arrays": lambda bags, dtype: objects([np.array(bag, dtype) for bag in bags]),
    "objects of objects": lambda bags, dtype: objects([np.array(bag, object) for bag in bags]),
    "generator": lambda bags, dtype: (bag for bag in bags),
    "map": lambda bags, dtype: map(tuple, bags),
    "values": lambda bags, dtype: dict(enumerate(bags)).values(),
    "keys": lambda bags, dtype: dict.fromkeys(map(tuple, bags)).keys(),
    "matrices": lambda bags, dtype: [np.ma.array(bag, dtype) for bag in bags],
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


class TestForms:
    @forms
    @pytest.mark.parametrize("dtype", ["i8", "i4", "u2"])
    def test_ids(self, form, dtype):
        expected = embedding_bag(BAGS, TABLE, mode="sqrtn")
        np.testing.assert_array_equal(
            embedding_bag(form(BAGS, dtype), TABLE, mode="sqrtn"), expected
        )

    @forms
    @pytest.mark.parametrize("dtype", ["f8", "f4"])
    @pytest.mark.parametrize("flat", [False, True])
    def test_weights(self, form, dtype, flat):
        lookups = {"input": BAGS}
        if flat:
            lookups = {"input": np.array([3, 1, 1, 4, 0, 2]), "offsets": [0, 3, 3, 4]}
        expected = embedding_bag(BAGS, TABLE, mode="sum", per_sample_weights=WEIGHTS)
        actual = embedding_bag(
            **lookups, weight=TABLE, mode="sum", per_sample_weights=form(WEIGHTS, dtype)
        )
        np.testing.assert_array_equal(actual, expected)

    @forms
    def test_gradient_of_weights_is_flat(self, form):
        gradient = embedding_bag_backward(
            GRAD, form(BAGS, "i8"), TABLE, mode="sum", per_sample_weights=form(WEIGHTS, "f8")
        )
        np.testing.assert_array_equal(gradient.per_sample_weights, [15, 7, 7, 19, 3, 11])

    @forms
    def test_module(self, form):
        bag = EmbeddingBag(5, 2, mode="sum", _weight=TABLE.copy())
        for _ in range(2):
            bag(form(BAGS, "i8"), per_sample_weights=form(WEIGHTS, "f8"))
            bag.backward(GRAD)
        np.testing.assert_array_equal(bag.per_sample_weights_grad, [30, 14, 14, 38, 6, 22])
        np.testing.assert_array_equal(bag.grad[:, 0], [0.5, -2, 0, 1, 8])

    def test_rows_of_weights_keep_their_shape(self):
        bags, weights = [[3, 1], [4, 4]], np.array([[0.5, 1.0], [2.0, 4.0]])
        gradient = embedding_bag_backward(
            GRAD[:2], bags, TABLE, mode="sum", per_sample_weights=weights
        )
        np.testing.assert_array_equal(gradient.per_sample_weights, [[15, 7], [19, 19]])
        gradient = embedding_bag_backward(
            GRAD[:2], np.array(bags), TABLE, mode="sum", per_sample_weights=weights.tolist()
        )
        np.testing.assert_array_equal(gradient.per_sample_weights, [15, 7, 19, 19])

    def test_no_bags(self):
        for empty in ([], (), iter([]), {}.values(), np.empty(0, object)):
            assert embedding_bag(empty, TABLE).shape == (0, 2)
            given = {"per_sample_weights": [] if isinstance(empty, type(iter([]))) else empty}
            assert embedding_bag([], TABLE, mode="sum", **given).shape == (0, 2)
        with rejected(TypeError, "input must be integers, got object"):
            embedding_bag(np.empty(0, object), TABLE, [0])

    def test_empty_arrays_of_any_dtype(self):
        bags = [np.array([]), np.array([3], np.int8), [], np.array([], object), Arraylike([])]
        expected = embedding_bag([[], [3], [], [], []], TABLE, mode="sum")
        np.testing.assert_array_equal(embedding_bag(bags, TABLE, mode="sum"), expected)

    def test_arrays_are_not_walked(self, monkeypatch):
        """Numbers of arrays become no Python objects."""
        monkeypatch.setattr(entries_module, "from_scalars", None)
        bags = [np.array(bag, np.int32) for bag in BAGS]
        assert embedding_bag(bags, TABLE).shape == (4, 2)
        assert embedding_bag([Arraylike(bag) for bag in bags], TABLE).shape == (4, 2)

    def test_arrays_of_their_own_memory_are_in_no_map(self, monkeypatch):
        """The owners of their memory are not looked up, which would take a fifth of the time."""
        asked = []
        monkeypatch.setattr(lists_module, "check_mapped", lambda *given: asked.append(given))
        bags = [np.array(bag, np.int32) for bag in BAGS]
        assert embedding_bag(bags, TABLE).shape == (4, 2)
        assert not asked
        whole = np.arange(5)
        assert embedding_bag([bags[0], whole[:2], whole[2:]], TABLE).shape == (3, 2)
        assert [array.tolist() for array, _ in asked] == [[3, 1, 1], [2, 3, 4]]

    def test_int64_and_uint64(self):
        bags = [np.array([3], np.uint64), np.array([1], np.int8)]
        np.testing.assert_array_equal(embedding_bag(bags, TABLE), TABLE[[3, 1]])


class TestIterators:
    def test_of_ids(self):
        message = "an iterator must yield bags, one after the other; got [3, 1, 1]"
        with rejected(TypeError, message):
            embedding_bag(iter([3, 1, 1]), TABLE, offsets=[0])

    def test_that_fail(self):
        def bags():
            yield [1]
            raise OSError("disk")

        with pytest.raises(OSError, match="disk"):
            embedding_bag(bags(), TABLE)


class Tensor:
    """It has the methods of torch's nested tensors and of TorchRec's KeyedJaggedTensor."""

    __module__ = "torchlike.nested"

    def values(self):
        raise AssertionError

    def offsets(self):
        raise AssertionError


class Unreadable(Tensor):
    __module__ = "torchlike.nested"

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not supported")


class RaggedTensor:
    """It has the attributes of TensorFlow's."""

    __module__ = "tensorlike"
    values, row_splits = [1], [0, 1]


class Awkward:
    __module__ = "awkward.highlevel"

    def __array__(self, dtype=None, copy=None):
        raise ValueError("cannot convert to RegularArray")


@pytest.mark.parametrize("name", ["input", "offsets", "per_sample_weights"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Tensor(), "torchlike's Tensor: pass x.values(), with offsets=x.offsets()"),
        (Unreadable(), "torchlike's Unreadable: pass x.values(), with offsets=x.offsets()"),
        (RaggedTensor(), "tensorlike's RaggedTensor: pass x.values, with offsets=x.row_splits"),
        (
            Awkward(),
            "awkward's Awkward: pass awkward.to_arrow(x), or awkward.flatten(x), "
            "with offsets=numpy.cumsum([0, *awkward.num(x)])",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ragged_arrays_of_other_libraries(value, message, name):
    arguments = {"input": [1, 2], "offsets": [0], name: value}
    message = f"{name} is {message} and include_last_offset=True"
    with rejected(TypeError, message):
        embedding_bag(**arguments, weight=TABLE, mode="sum")


def test_a_frame_of_lists():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            whole = np.empty((2, 2), object)
            whole[:] = [[[1], [0.5]], [[2, 3], [1.0, 1.0]]]
            return whole

    with rejected(TypeError, "input is a table of lists: pass one of its columns"):
        embedding_bag(Frame(), TABLE)


def masked(values, mask):
    return np.ma.array(values, mask=mask)


class TestMasked:
    @pytest.mark.parametrize(
        ("lookups", "place"),
        [
            ({"input": masked([[3, 1], [1, 9]], [[0, 0], [0, 1]])}, "[1, 1]"),
            ({"input": masked([3, 1, 1], [0, 0, 1]), "offsets": [0]}, "[2]"),
            ({"input": [[1], masked([3, -1], [0, 1])]}, "[1][1]"),
            ({"input": [[1], masked([3, -1], [0, 1]), masked([1], [1])]}, "[1][1]"),
            ({"input": [[1, np.ma.masked]]}, "[0][1]"),
            ({"input": [1, np.ma.masked], "offsets": [0]}, "[1]"),
        ],
        ids=str,
    )
    def test_ids(self, lookups, place):
        message = f"input{place} is masked: drop or replace it"
        for call in (embedding_bag, EmbeddingBag(5, 2, _weight=TABLE)):
            options = {"weight": TABLE} if call is embedding_bag else {}
            with rejected(ValueError, message, TABLE):
                call(**lookups, **options)
        with rejected(ValueError, message):
            embedding_bag_backward(GRAD, **lookups, weight=TABLE)

    @pytest.mark.parametrize(
        ("weights", "place"),
        [
            (masked([[1.0, 2.0], [3.0, 4.0]], [[0, 1], [1, 0]]), "[0, 1]"),
            ([[1.0, 2.0], masked([1.0, 2.0], [0, 1])], "[1][1]"),
            ([[1.0, 2.0], [np.ma.masked, 2.0]], "[1][0]"),
        ],
        ids=str,
    )
    def test_weights(self, weights, place):
        message = f"per_sample_weights{place} is masked: give every lookup a weight"
        for lookups in (np.ones((2, 2), int), [[1, 1], [1, 1]]):
            with rejected(ValueError, message):
                embedding_bag(lookups, TABLE, mode="sum", per_sample_weights=weights)

    def test_flat_weights(self):
        for weights in (masked([1.0, 2.0], [0, 1]), [1.0, np.ma.masked]):
            message = "per_sample_weights[1] is masked: give every lookup a weight"
            with rejected(ValueError, message):
                embedding_bag([1, 2], TABLE, [0], mode="sum", per_sample_weights=weights)

    def test_offsets(self):
        for offsets in (masked([0, 1], [0, 1]), [0, np.ma.masked]):
            with rejected(ValueError, "offsets[1] is masked: every bag has a start"):
                embedding_bag([1, 2], TABLE, offsets)

    def test_tables_and_gradients(self):
        table = masked(TABLE, TABLE[1, 1] == TABLE)
        with rejected(ValueError, "weight[1, 1] is masked: fill it"):
            embedding_bag(BAGS, table)
        with rejected(ValueError, "embeddings[1, 1] is masked: fill it"):
            EmbeddingBag.from_pretrained(table)
        bag = EmbeddingBag(5, 2, _weight=TABLE.copy())
        with rejected(ValueError, "weight[1, 1] is masked: fill it"):
            bag.weight = table
        with rejected(ValueError, "weight[1, 1] is masked: fill it"):
            bag.load_state_dict({"weight": table})
        grad = masked(GRAD, [[0, 0], [0, 0], [0, 1], [0, 0]])
        with rejected(ValueError, "grad_output[2, 1] is masked: fill it"):
            embedding_bag_backward(grad, BAGS, TABLE)
        winners = masked(np.array([[3, 3]]), [[0, 1]])
        with rejected(ValueError, "max_indices[0, 1] is masked: fill it"):
            embedding_bag_backward(GRAD[:1], BAGS[:1], TABLE, mode="max", max_indices=winners)
        with rejected(ValueError, "rows[0] is masked: fill it"):
            RowGradient(masked([1], [1]), np.ones((1, 2)), (5, 2))

    def test_nothing_masked(self):
        ids = masked([[3, 1], [1, 4]], False)
        expected = embedding_bag(np.array(ids), TABLE)
        np.testing.assert_array_equal(embedding_bag(ids, np.ma.array(TABLE)), expected)
        assert type(embedding_bag(ids, np.ma.array(TABLE))) is np.ndarray


class Nullable(Arraylike):
    """A column of pandas with a dtype of its own, which NumPy reads as floats with NaN."""

    dtype = SimpleNamespace(kind="i")

    def isna(self):
        return np.isnan(self.values_of_it)

    def fillna(self, value):
        return np.nan_to_num(self.values_of_it, nan=value).astype(int)


def test_nullable_columns():
    ids = Nullable([3.0, np.nan, 1.0])
    with rejected(ValueError, "input[1] is missing: drop or replace it"):
        embedding_bag(ids, TABLE, [0])
    with rejected(ValueError, "input[1][1] is missing: drop or replace it"):
        embedding_bag([[1], ids], TABLE)
    with rejected(ValueError, "offsets[1] is missing: every bag has a start"):
        embedding_bag([3, 1], TABLE, ids)


class Refusing:
    """An object that cannot be an array, as PyTorch's tensors of some kinds."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __array__(self, dtype=None, copy=None):
        raise self.error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (RuntimeError("call detach()"), TypeError),
        (NotImplementedError("call detach()"), TypeError),
        (TypeError("call detach()"), TypeError),
        (ValueError("call detach()"), ValueError),
    ],
    ids=lambda value: str(value),
)
def test_errors_of_other_libraries_name_the_argument(raised, error):
    value = Refusing(raised)
    with rejected(error, "input cannot be taken as an array: call detach()"):
        embedding_bag(value, TABLE, [0])
    with rejected(error, "input[1] cannot be taken as an array: call detach()"):
        embedding_bag([[1], value], TABLE)
    with rejected(error, "per_sample_weights cannot be taken as an array: call detach()"):
        embedding_bag([1], TABLE, [0], mode="sum", per_sample_weights=value)


class TestNumbersOfWeights:
    @pytest.mark.parametrize(
        ("entry", "error", "message"),
        [
            (None, TypeError, "must be a real number, got None"),
            ("1", TypeError, "must be a real number, got '1'"),
            (1j, TypeError, "must be a real number, got 1j"),
            (np.datetime64(1, "s"), TypeError, "must be a real number, got"),
            (
                np.array(1j),
                TypeError,
                "must be a real number, got array(0.+1.j)",
            ),
            (10**400, ValueError, "is too large for a float"),
            ([1.0], ValueError, "must be a real number, got deeper nesting: [1.0]"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_others(self, entry, error, message):
        with pytest.raises(error) as raised:
            embedding_bag([[1, 2]], TABLE, mode="sum", per_sample_weights=[[1.0, entry]])
        assert str(raised.value).startswith(f"per_sample_weights[0][1] {message}")
        if not isinstance(entry, list):
            with pytest.raises(error) as raised:
                embedding_bag([1, 2], TABLE, [0], mode="sum", per_sample_weights=[1.0, entry])
            assert str(raised.value).startswith(f"per_sample_weights[1] {message}")

    @pytest.mark.parametrize("kind", ["complex", "U1", "M8[s]"])
    def test_arrays(self, kind):
        weights = [np.ones(1), np.ones(1, int).astype(kind)]
        with pytest.raises(TypeError, match=r"^per_sample_weights\[1\] must be real numbers, got"):
            embedding_bag([[1], [2]], TABLE, mode="sum", per_sample_weights=weights)

    @pytest.mark.parametrize("entry", [2, True, np.float16(2), np.uint8(2), np.array(2.0), 2**60])
    def test_numbers(self, entry):
        pooled = embedding_bag([[1, 2]], TABLE, mode="sum", per_sample_weights=[[0.0, entry]])
        np.testing.assert_array_equal(pooled, float(entry) * TABLE[[2]])


class TestForeignMaxIndices:
    LENGTHS = (3, 0, 70, 1, 200, 64, 65)

    @pytest.fixture
    def call(self):
        rng = np.random.default_rng(0)
        table = rng.permutation(600).reshape(300, 2).astype(float)
        ids = [rng.integers(0, 150, length) for length in self.LENGTHS]
        _, winners = embedding_bag(ids, table, mode="max", return_indices=True)
        return table, ids, winners

    @pytest.mark.parametrize("index_dtype", ["i4", "i8"])
    def test_rows_of_other_bags(self, call, index_dtype):
        table, ids, winners = call
        flat, offsets = np.concatenate(ids).astype(index_dtype), np.cumsum([0, *self.LENGTHS])
        arguments = np.ones(winners.shape), flat, table, offsets
        options = {"mode": "max", "include_last_offset": True}
        expected = embedding_bag_backward(*arguments, **options).weight
        actual = embedding_bag_backward(*arguments, **options, max_indices=winners).weight
        np.testing.assert_array_equal(actual, expected)
        for b, bag in enumerate(ids):
            for row in (200, -1, 299):
                wrong = winners.copy()
                wrong[b, 1] = row
                if not len(bag):  # its gradient is not read
                    embedding_bag_backward(*arguments, **options, max_indices=wrong)
                    continue
                message = (
                    f"max_indices[{b}, 1] = {row} is no row of bag {b} without its padding: pass "
                    "the max_indices of embedding_bag for the same bags, or None"
                )
                with rejected(ValueError, message):
                    embedding_bag_backward(*arguments, **options, max_indices=wrong)

    def test_any_row_of_the_bag(self, call):
        table, ids, winners = call
        for place in range(3):
            winners[0] = ids[0][place]
            embedding_bag_backward(
                np.ones(winners.shape), ids, table, mode="max", max_indices=winners
            )

    def test_padding(self):
        winners = np.array([[3, 3]])
        with pytest.raises(ValueError, match=r"^max_indices\[0, 0\] = 3 is no row of bag 0"):
            embedding_bag_backward(
                GRAD[:1], [[3, 1]], TABLE, mode="max", max_indices=winners, padding_idx=3
            )
        winners[:] = -1
        embedding_bag_backward(
            GRAD[:1], [[3, 3]], TABLE, mode="max", max_indices=winners, padding_idx=3
        )

    @pytest.mark.parametrize("shape", [(0, 2), (2, 0)])
    def test_nothing(self, shape):
        embedding_bag_backward(
            np.ones(shape),
            [[1]] * shape[0],
            np.ones((3, shape[1])),
            mode="max",
            max_indices=np.zeros(shape, int),
        )


def test_sparse_matrices_need_no_bags():
    matrix = scipy.sparse.csr_array(np.eye(2, 5))
    np.testing.assert_array_equal(embedding_bag(matrix, TABLE), TABLE[:2])
