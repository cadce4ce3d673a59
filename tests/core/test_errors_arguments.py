"""Test the errors of all other arguments, and of calls in the wrong order."""

import numpy as np
import pytest
from scipy import sparse

from ebagx import EmbeddingBag, RowGradient, embedding_bag, embedding_bag_backward, optim
from support import errors
from support.errors import DIM, NUM_ROWS, large_table, rejected

BAGS = [[0, 4], [1, 1]]
GRAD = np.ones((2, DIM))
MODES = "'sum', 'mean', 'sqrtn', 'max', 'min'"
DTYPES = "float16, bfloat16, float32 or float64 in native byte order"


@errors.options
@pytest.mark.parametrize("mode", ["SUM", "", None, 0, ["sum"]])
def test_mode(rejects, mode):
    rejects(ValueError, f"mode must be one of {MODES}, got {mode!r}", input=BAGS, mode=mode)


@errors.options
class TestPaddingIdx:
    @pytest.mark.parametrize("padding_idx", [NUM_ROWS, -NUM_ROWS - 1, 2**63, -(2**70)])
    def test_out_of_range(self, rejects, padding_idx):
        message = (
            f"padding_idx = {padding_idx} is out of range for {NUM_ROWS} embeddings, "
            f"it must be in [{-NUM_ROWS}, {NUM_ROWS})"
        )
        rejects(ValueError, message, input=BAGS, padding_idx=padding_idx)

    @pytest.mark.parametrize("padding_idx", [True, np.True_, 1.0, "1", [1]], ids=repr)
    def test_no_integer(self, rejects, padding_idx):
        message = f"padding_idx must be an integer or None, got {padding_idx!r}"
        rejects(TypeError, message, input=BAGS, padding_idx=padding_idx)


@pytest.mark.parametrize("padding_idx", [NUM_ROWS - 1, -NUM_ROWS, np.int8(-1), np.array(0)])
def test_padding_idx_at_its_limits(padding_idx):
    pooled = embedding_bag([[0, 4]], large_table(), mode="sum", padding_idx=padding_idx)
    other = 0 if int(padding_idx) % NUM_ROWS == NUM_ROWS - 1 else NUM_ROWS - 1
    np.testing.assert_array_equal(pooled, large_table()[[other]])


BAD_TABLES = [
    (np.ones(4), ValueError, "2-D (num_embeddings, embedding_dim), got 1-D"),
    (np.ones((1, 2, 3)), ValueError, "2-D (num_embeddings, embedding_dim), got 3-D"),
    (1.0, ValueError, "2-D (num_embeddings, embedding_dim), got 0-D"),
    (np.ones((5, 2), int), TypeError, f"{DTYPES}, got int64"),
    (np.ones((5, 2), bool), TypeError, f"{DTYPES}, got bool"),
    (np.ones((5, 2), object), TypeError, f"{DTYPES}, got object"),
    (np.ones((5, 2), "c8"), TypeError, f"{DTYPES}, got <c8"),
    (np.ones((5, 2), ">f4"), TypeError, f"{DTYPES}, got >f4"),
    (np.ones((5, 2), ">f2"), TypeError, f"{DTYPES}, got >f2"),
    (np.full((5, 2), "a"), TypeError, f"{DTYPES}, got <U1"),
    ([[1, 2]], TypeError, f"{DTYPES}, got int64"),
    (None, TypeError, f"{DTYPES}, got object"),
    (
        sparse.csr_array(np.eye(5)),
        TypeError,
        "an array, got a csr_array: its method toarray makes one",
    ),
]
if np.dtype("g") != np.dtype("d"):  # on Windows they are the same
    BAD_TABLES.append((np.ones((5, 2), "g"), TypeError, f"{DTYPES}, got longdouble"))
bad_tables = pytest.mark.parametrize(("table", "error", "message"), BAD_TABLES)


class TestTable:
    @bad_tables
    def test_functional(self, table, error, message):
        with rejected(error, f"weight must be {message}"):
            embedding_bag(BAGS, table)
        with rejected(error, f"weight must be {message}"):
            embedding_bag_backward(GRAD, BAGS, table)

    @bad_tables
    def test_from_pretrained(self, table, error, message):
        with rejected(error, f"embeddings must be {message}"):
            EmbeddingBag.from_pretrained(table)

    @bad_tables
    def test_assignment(self, table, error, message):
        bag = EmbeddingBag(NUM_ROWS, DIM)
        before = bag.weight
        with rejected(error, f"weight must be {message}"):
            bag.weight = table
        assert bag.weight is before

    @pytest.mark.parametrize("shape", [(DIM, NUM_ROWS), (NUM_ROWS + 1, DIM), (NUM_ROWS, DIM - 1)])
    def test_other_shape(self, shape):
        with rejected(ValueError, f"weight must have shape (5, 2), got {shape}"):
            EmbeddingBag(NUM_ROWS, DIM, _weight=np.ones(shape))
        with rejected(ValueError, f"weight must have shape (5, 2), got {shape}"):
            EmbeddingBag(NUM_ROWS, DIM).weight = np.ones(shape)

    @pytest.mark.parametrize("dtype", [int, ">f4", "c8", object])
    def test_dtype_of_a_new_one(self, dtype):
        with pytest.raises(TypeError, match="^dtype must be float16, bfloat16, float32 or float64"):
            EmbeddingBag(NUM_ROWS, DIM, dtype=dtype)

    @pytest.mark.parametrize("name", ["num_embeddings", "embedding_dim"])
    def test_sizes(self, name):
        sizes = {"num_embeddings": NUM_ROWS, "embedding_dim": DIM}
        with rejected(ValueError, f"{name} must be at least 0, got -1"):
            EmbeddingBag(**{**sizes, name: -1})
        with rejected(TypeError, f"{name} must be an integer, got 2.0"):
            EmbeddingBag(**{**sizes, name: 2.0})


class TestMaxNorm:
    @pytest.mark.parametrize("max_norm", [-1, -1e-300, float("nan"), -np.inf])
    def test_value(self, max_norm):
        table = large_table()
        with rejected(ValueError, f"max_norm must be at least 0 or None, got {max_norm}", table):
            embedding_bag(BAGS, table, max_norm=max_norm)
        with rejected(ValueError, f"max_norm must be at least 0 or None, got {max_norm}"):
            EmbeddingBag(NUM_ROWS, DIM, max_norm=max_norm)

    def test_norm_type(self):
        table = large_table()
        with rejected(ValueError, "norm_type must be a number, got nan", table):
            embedding_bag(BAGS, table, max_norm=1, norm_type=float("nan"))
        with rejected(ValueError, "norm_type must be a number, got nan"):
            EmbeddingBag(NUM_ROWS, DIM, max_norm=1, norm_type=float("nan"))

    @pytest.mark.parametrize("name", ["max_norm", "norm_type"])
    def test_beyond_float(self, name):
        table = large_table()
        arguments = {"max_norm": 1.0, "norm_type": 2.0, name: 10**400}
        with rejected(ValueError, f"{name} is too large for a float", table):
            embedding_bag(BAGS, table, **arguments)

    def test_overlapping(self):
        memory = np.ones(2)
        table = np.lib.stride_tricks.as_strided(memory, (NUM_ROWS, DIM), (0, 8))
        message = "elements of weight share memory, but max_norm changes it in place"
        with rejected(ValueError, message, memory):
            embedding_bag(BAGS, table, max_norm=0.5)

    @pytest.mark.parametrize(
        ("name", "kind"), [("max_norm", "a number or None"), ("norm_type", "a number")]
    )
    def test_no_number(self, name, kind):
        table = large_table()
        arguments = {"max_norm": 1.0, "norm_type": 2.0, name: "2"}
        with rejected(TypeError, f"{name} must be {kind}, got '2'", table):
            embedding_bag(BAGS, table, **arguments)
        with rejected(TypeError, f"{name} must be {kind}, got '2'"):
            EmbeddingBag(NUM_ROWS, DIM, **arguments)


class TestReadOnlyTable:
    @pytest.fixture
    def table(self):
        table = large_table()
        table.flags.writeable = False
        return table

    @pytest.mark.parametrize("max_norm", [0.5, 1e9])
    def test_max_norm(self, table, max_norm):
        out = np.full((2, DIM), 7.0)
        message = "weight is read-only, but max_norm changes it in place"
        with rejected(ValueError, message, table, out):
            embedding_bag(BAGS, table, max_norm=max_norm, out=out)
        with rejected(ValueError, message, table):
            EmbeddingBag.from_pretrained(table, max_norm=max_norm)(BAGS)

    def test_optimizer(self, table):
        gradient = RowGradient(np.array([1]), np.ones((1, DIM)), table.shape)
        message = "weight is read-only, but an optimizer step changes it in place"
        with rejected(ValueError, message, table):
            optim.Adagrad().update(table, gradient)

    def test_reset_and_load(self, table):
        bag = EmbeddingBag.from_pretrained(table)
        with rejected(
            ValueError, "weight is read-only, but reset_parameters changes it in place", table
        ):
            bag.reset_parameters()
        with rejected(
            ValueError, "weight is read-only, but load_state_dict changes it in place", table
        ):
            bag.load_state_dict({"weight": np.zeros((NUM_ROWS, DIM))})


class TestNumThreads:
    @pytest.mark.parametrize("num_threads", [0, -1])
    def test_value(self, num_threads):
        message = f"num_threads must be at least 1 or None, got {num_threads}"
        with rejected(ValueError, message):
            embedding_bag(BAGS, large_table(), num_threads=num_threads)
        with rejected(ValueError, message):
            embedding_bag_backward(GRAD, BAGS, large_table(), num_threads=num_threads)
        with rejected(ValueError, message):
            EmbeddingBag(NUM_ROWS, DIM, num_threads=num_threads)

    @pytest.mark.parametrize("num_threads", [1.0, "2"])
    def test_no_integer(self, num_threads):
        with rejected(TypeError, f"num_threads must be an integer or None, got {num_threads!r}"):
            embedding_bag(BAGS, large_table(), num_threads=num_threads)


class TestOut:
    @pytest.mark.parametrize(
        ("out", "error", "message"),
        [
            (np.ones((3, 2)), ValueError, "out must have shape (2, 2), got (3, 2)"),
            (np.ones(2), ValueError, "out must have shape (2, 2), got (2,)"),
            (
                np.ones((2, 2), "f4"),
                TypeError,
                "out must have dtype float64, got float32",
            ),
            (
                np.ones((2, 2), ">f8"),
                TypeError,
                "out must have dtype float64, got >f8",
            ),
            ([[0.0, 0.0]] * 2, TypeError, "out must be an ndarray, got list"),
        ],
    )
    def test_unfit(self, out, error, message):
        table = large_table()
        with rejected(error, message, table):
            embedding_bag(BAGS, table, max_norm=0.5, out=out)

    def test_read_only(self):
        table, out = large_table(), np.ones((2, DIM))
        out.flags.writeable = False
        with rejected(ValueError, "out is read-only", table, out):
            embedding_bag(BAGS, table, max_norm=0.5, out=out)

    @pytest.mark.parametrize("strides", [(0, 8), (8, 8), (8, 0), (-8, 8)])
    def test_overlapping(self, strides):
        table, memory = large_table(), np.ones(5)
        out = np.lib.stride_tricks.as_strided(memory[1:], (2, DIM), strides)
        with rejected(ValueError, "elements of out share memory", table, memory):
            embedding_bag(BAGS, table, max_norm=0.5, out=out)

    @pytest.mark.parametrize("place", [np.s_[:2], np.s_[3:], np.s_[4:2:-1]])
    def test_in_the_table(self, place):
        table = large_table()
        message = "out must not share memory with what the call reads"
        with rejected(ValueError, message, table):
            embedding_bag(BAGS, table, max_norm=0.5, out=table[place])

    def test_in_the_weights(self):
        table, weights = np.ones((3, 128)), np.ones((2, 128))
        lookups = np.zeros((2, 128), int)
        message = "out must not share memory with what the call reads"
        with rejected(ValueError, message, weights):
            embedding_bag(lookups, table, mode="sum", per_sample_weights=weights, out=weights)


@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
def test_return_indices(mode):
    message = f"return_indices needs mode 'max' or 'min', got {mode!r}"
    with rejected(ValueError, message):
        embedding_bag(BAGS, large_table(), mode=mode, return_indices=True)


class TestGradOutput:
    @pytest.mark.parametrize("shape", [(1, DIM), (3, DIM), (2, DIM + 1), (2,), (), (2, DIM, 1)])
    def test_shape(self, shape):
        grad, table = np.ones(shape), large_table()
        message = f"grad_output must have shape (2, 2), got {shape}"
        with rejected(ValueError, message, table):
            embedding_bag_backward(grad, BAGS, table)
        bag = EmbeddingBag(NUM_ROWS, DIM, _weight=table)
        bag(BAGS)
        with rejected(ValueError, message, table):
            bag.backward(grad)
        assert bag.grad is None
        bag.backward(GRAD)  # the forward call is still there

    @pytest.mark.parametrize("dtype", ["c16", "O", "U3", "M8[s]"])
    def test_dtype(self, dtype):
        grad = np.ones((2, DIM)).astype("i8").astype(dtype)
        with rejected(TypeError, f"grad_output must be real numbers, got {grad.dtype}"):
            embedding_bag_backward(grad, BAGS, large_table())


class TestBackwardArguments:
    @pytest.mark.parametrize("sparse", ["row", "bsr", None, 1, np.array(True)])
    def test_sparse(self, sparse):
        message = f"sparse must be False, True or 'rows', got {sparse!r}"
        with rejected(ValueError, message):
            embedding_bag_backward(GRAD, BAGS, large_table(), sparse=sparse)
        with rejected(ValueError, message):
            EmbeddingBag(NUM_ROWS, DIM, sparse=sparse)

    @pytest.mark.parametrize(
        ("winners", "error", "message"),
        [
            (np.zeros((2, 3), int), ValueError, "max_indices must have shape (2, 2), got (2, 3)"),
            (np.zeros((2, 2)), TypeError, "max_indices must be integers, got float64"),
            (
                [[0, 4], [NUM_ROWS, 1]],
                IndexError,
                "max_indices[1, 0] = 5 is out of range for 5 embeddings",
            ),
            (
                [[0, 4], [1, 2**32 + 1]],
                IndexError,
                f"max_indices[1, 1] = {2**32 + 1} is out of range for 5 embeddings",
            ),
        ],
    )
    @pytest.mark.parametrize("index_dtype", ["i4", "i8"])
    def test_max_indices(self, winners, error, message, index_dtype):
        with rejected(error, message):
            embedding_bag_backward(
                GRAD, np.array(BAGS, index_dtype), large_table(), mode="max", max_indices=winners
            )

    def test_max_indices_of_another_mode(self):
        winners = np.zeros((2, DIM), int)
        with rejected(ValueError, "max_indices must be None in mode 'sum'"):
            embedding_bag_backward(GRAD, BAGS, large_table(), mode="sum", max_indices=winners)

    @pytest.mark.parametrize(("bags", "mode"), [(BAGS, "sum"), (BAGS, "max"), ([[], []], "max")])
    def test_weights_gradient_without_weights(self, bags, mode):
        modes = "'sum', 'mean', 'sqrtn'"
        message = f"per_sample_weights_grad=True needs weights and a mode of {modes}"
        with rejected(ValueError, message):
            embedding_bag_backward(
                GRAD, bags, large_table(), mode=mode, per_sample_weights_grad=True
            )


class TestCalls:
    def test_backward_without_forward(self):
        message = "backward needs a forward call in training mode before it"
        bag = EmbeddingBag(NUM_ROWS, DIM)
        with rejected(RuntimeError, message):
            bag.backward(GRAD)
        bag(BAGS)
        bag.backward(GRAD)
        before = bag.grad.copy()
        with rejected(RuntimeError, message):
            bag.backward(GRAD)
        np.testing.assert_array_equal(bag.grad, before)

    def test_backward_on_a_frozen_table(self):
        bag = EmbeddingBag.from_pretrained(large_table())
        bag(BAGS)
        message = "backward on a frozen table, use from_pretrained(..., freeze=False)"
        with rejected(RuntimeError, message):
            bag.backward(GRAD)

    def test_weights_of_another_shape_than_their_gradient(self):
        bag = EmbeddingBag(NUM_ROWS, DIM, mode="sum")
        bag(np.array(BAGS), per_sample_weights=np.ones((2, 2)))
        bag.backward(GRAD)
        before = bag.grad.copy()
        bag(np.zeros((2, 3), int), per_sample_weights=np.ones((2, 3)))
        message = (
            "per_sample_weights_grad has shape (2, 2) from an earlier call, "
            "cannot add shape (2, 3): call zero_grad() first"
        )
        with rejected(ValueError, message):
            bag.backward(GRAD)
        np.testing.assert_array_equal(bag.grad, before)
        bag.zero_grad()
        bag.backward(GRAD)
        assert bag.per_sample_weights_grad.shape == (2, 3)

    @pytest.mark.parametrize(
        ("state", "error", "message"),
        [
            ({}, KeyError, "state_dict must have the one name 'weight', got []"),
            (
                {"weight": np.ones((5, 2)), "bias": 0},
                KeyError,
                "state_dict must have the one name 'weight', got ['bias', 'weight']",
            ),
            (
                {"weight": np.ones((2, 5))},
                ValueError,
                "weight must have shape (5, 2), got (2, 5)",
            ),
            (
                {"weight": np.ones((5, 2), "f4")},
                TypeError,
                "weight must have dtype float64, got float32",
            ),
        ],
        ids=["nothing", "too much", "shape", "dtype"],
    )
    def test_load_state_dict(self, state, error, message):
        table = large_table()
        bag = EmbeddingBag(NUM_ROWS, DIM, _weight=table)
        message = repr(message) if error is KeyError else message
        with rejected(error, message, table):
            bag.load_state_dict(state)
