"""Test embedding_bag_backward: known answers, definition, finite differences, forms of result."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings, strategies as st

from ebagx import RowGradient, embedding_bag, embedding_bag_backward
from ebagx._core.dtypes import sum_dtype
from support import definition, strategies
from support.strategies import MODES, WEIGHTED_MODES

TABLE = np.arange(1.0, 11.0).reshape(5, 2)
BAGS = [[3, 1, 1], [1, 4, 0]]
GRAD = np.array([[1.0, 2.0], [3.0, 4.0]])
# The sums have up to 36 terms, each up to 500.
TOLERANCE = {np.dtype(np.float32): 4e-4, np.dtype(np.float64): 1e-12}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("sum", [[3, 4], [5, 8], [0, 0], [1, 2], [3, 4]]),
        ("mean", np.divide([[3, 4], [5, 8], [0, 0], [1, 2], [3, 4]], 3)),
        ("sqrtn", np.divide([[3, 4], [5, 8], [0, 0], [1, 2], [3, 4]], np.sqrt(3))),
        ("max", [[0, 0], [0, 0], [0, 0], [1, 2], [3, 4]]),
        ("min", [[3, 4], [1, 2], [0, 0], [0, 0], [0, 0]]),
    ],
)
def test_known_answers(mode, expected):
    gradients = embedding_bag_backward(GRAD, BAGS, TABLE, mode=mode)
    np.testing.assert_allclose(gradients.weight, expected, rtol=1e-15)
    assert gradients.per_sample_weights is None


def test_empty_bags_between():
    grad = np.full((5, 2), np.nan)
    grad[[1, 3]] = GRAD
    actual = embedding_bag_backward(grad, np.ravel(BAGS), TABLE, [0, 0, 3, 3, 6], mode="sum")
    expected = embedding_bag_backward(GRAD, BAGS, TABLE, mode="sum")
    np.testing.assert_array_equal(actual.weight, expected.weight)


def gradient_for(call, seed=0):
    return strategies.eighths(np.random.default_rng(seed), len(call.bags), call.table.shape[1])


def assert_close(actual, expected):
    tolerance = TOLERANCE[actual.dtype]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@settings(max_examples=600)
@given(strategies.calls(), st.booleans())
def test_table_gradient_equals_its_definition(call, by_freq):
    grad = gradient_for(call)
    actual = embedding_bag_backward(grad, **call.arguments, scale_grad_by_freq=by_freq).weight
    assert actual.dtype == sum_dtype(call.table.dtype)
    assert_close(actual, definition.table_gradient(grad, *call.meaning, by_freq=by_freq))


@pytest.mark.slow
@settings(max_examples=300)
@given(strategies.calls(modes=WEIGHTED_MODES), st.booleans())
def test_weights_gradient_equals_its_definition(call, by_freq):
    grad = gradient_for(call)
    actual = embedding_bag_backward(
        grad,
        **call.arguments,
        per_sample_weights_grad=call.weights is not None,
        scale_grad_by_freq=by_freq,
    ).per_sample_weights
    if call.weights is None:
        assert actual is None
        return
    expected = np.concatenate([[], *definition.weights_gradient(grad, *call.meaning)])
    assert actual.dtype == sum_dtype(call.table.dtype)
    assert actual.shape == getattr(call.lookups.get("per_sample_weights"), "shape", expected.shape)
    assert_close(actual.reshape(-1), expected)


@pytest.mark.slow
@settings(max_examples=300)
@given(strategies.calls(), st.booleans())
def test_every_form_of_gradient_is_the_same(call, by_freq):
    def backward(sparse):
        return embedding_bag_backward(
            gradient_for(call), **call.arguments, sparse=sparse, scale_grad_by_freq=by_freq
        ).weight

    dense, blocks, rows = backward(False), backward(True), backward("rows")
    touched = definition.touched_rows(call.table, call.bags, *call.policies)
    np.testing.assert_array_equal(rows.rows, touched)
    np.testing.assert_array_equal(rows.toarray(), dense, strict=True)
    assert isinstance(rows, RowGradient)
    assert isinstance(blocks, scipy.sparse.bsr_array)
    assert blocks.blocksize == (1, call.table.shape[1])
    np.testing.assert_array_equal(np.repeat(np.arange(len(dense)), np.diff(blocks.indptr)), touched)
    np.testing.assert_array_equal(blocks.indices, np.zeros(len(touched)))
    np.testing.assert_array_equal(blocks.toarray(), dense, strict=True)


@pytest.mark.parametrize("padding_idx", [None, 2])
class TestFiniteDifferences:
    BAGS = ([3, 1, 1, 5], [], [2, 4, 0, 5, 5], [2], [1, 3, 2])
    STEP = 2.0**-17

    def case(self):
        rng = np.random.default_rng(0)
        weights = [rng.uniform(0.5, 2, len(bag)) for bag in self.BAGS]
        return rng.standard_normal((6, 3)), weights, rng.standard_normal((5, 3))

    def derivative(self, function, point):
        result = np.empty(point.shape)
        for place in np.ndindex(point.shape):
            shift = np.zeros(point.shape)
            shift[place] = self.STEP
            result[place] = (function(point + shift) - function(point - shift)) / (2 * self.STEP)
        return result

    @pytest.mark.parametrize(
        ("mode", "weighted"),
        [(mode, False) for mode in MODES] + [(mode, True) for mode in WEIGHTED_MODES],
    )
    def test_table(self, mode, weighted, padding_idx):
        table, weights, grad = self.case()
        options = {"mode": mode, "padding_idx": padding_idx}
        if weighted:
            options["per_sample_weights"] = weights

        def loss(table):
            return np.vdot(grad, embedding_bag(self.BAGS, table, **options))

        actual = embedding_bag_backward(grad, self.BAGS, table, **options).weight
        np.testing.assert_allclose(actual, self.derivative(loss, table), rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("mode", WEIGHTED_MODES)
    def test_weights(self, mode, padding_idx):
        table, weights, grad = self.case()
        ends = np.cumsum([0, *map(len, self.BAGS)])
        options = {"mode": mode, "padding_idx": padding_idx, "offsets": ends[:-1]}
        indices = np.concatenate(self.BAGS).astype(int)

        def loss(weights):
            pooled = embedding_bag(indices, table, per_sample_weights=weights, **options)
            return np.vdot(grad, pooled)

        flat = np.concatenate(weights)
        actual = embedding_bag_backward(grad, indices, table, per_sample_weights=flat, **options)
        expected = self.derivative(loss, flat)
        np.testing.assert_allclose(actual.per_sample_weights, expected, rtol=1e-8, atol=1e-8)


class TestFrequency:
    @pytest.mark.parametrize("sparse", [False, True, "rows"])
    @pytest.mark.parametrize("mode", MODES)
    def test_divides_by_the_count_of_the_row_itself(self, mode, sparse):
        # PyTorch 2.13 divides by the count of another row, and gives 0.5 for row 3.
        gradient = embedding_bag_backward(
            np.ones((3, 1)),
            [[1], [1], [3]],
            np.ones((4, 1)),
            mode=mode,
            sparse=sparse,
            scale_grad_by_freq=True,
        ).weight
        dense = gradient if sparse is False else gradient.toarray()
        np.testing.assert_array_equal(dense, [[0], [1], [0], [1]])

    def test_counts_the_whole_input(self):
        lookups = [[1, 1], [1, 2, 0], []]
        scaled, plain = (
            embedding_bag_backward(
                np.ones((3, 1)), lookups, np.ones((3, 1)), mode="sum", scale_grad_by_freq=by_freq
            ).weight
            for by_freq in (True, False)
        )
        np.testing.assert_array_equal(plain, [[1], [3], [1]])
        np.testing.assert_array_equal(scaled, [[1], [1], [1]])


@pytest.mark.parametrize("mode", MODES)
class TestWhatIsNotRead:
    def test_gradients_of_empty_bags(self, mode):
        grad = np.array([[np.nan] * 2, [1.0, 2.0], [np.nan] * 2])
        gradients = embedding_bag_backward(
            grad,
            [[], [4, 0], [2, 2]],
            TABLE,
            mode=mode,
            padding_idx=2,
            per_sample_weights=[[], [1.0, 1.0], [1.0, 1.0]] if mode in WEIGHTED_MODES else None,
        )
        assert np.isfinite(gradients.weight).all()
        np.testing.assert_array_equal(gradients.weight[2], [0, 0])
        if mode in WEIGHTED_MODES:
            assert np.isfinite(gradients.per_sample_weights).all()
            np.testing.assert_array_equal(gradients.per_sample_weights[2:], [0, 0])

    def test_the_padding_row(self, mode):
        table = TABLE.copy()
        table[2] = np.nan
        gradients = embedding_bag_backward(
            np.ones((1, 2)),
            [[2, 4, 0, 2]],
            table,
            mode=mode,
            padding_idx=2,
            per_sample_weights=[[9.0, 1.0, 1.0, 9.0]] if mode in WEIGHTED_MODES else None,
        )
        expected = embedding_bag_backward(np.ones((1, 2)), [[4, 0]], TABLE, mode=mode)
        np.testing.assert_array_equal(gradients.weight, expected.weight)
        if mode in WEIGHTED_MODES:
            assert np.isfinite(gradients.per_sample_weights).all()


@pytest.mark.parametrize("mode", ["max", "min"])
class TestMaxIndices:
    def test_given_or_computed(self, mode):
        _, winners = embedding_bag(BAGS, TABLE, mode=mode, return_indices=True)
        computed = embedding_bag_backward(GRAD, BAGS, TABLE, mode=mode)
        for dtype in ("i4", "i8", "u2", ">i8"):
            given_ = embedding_bag_backward(
                GRAD, BAGS, np.zeros_like(TABLE), mode=mode, max_indices=winners.astype(dtype)
            )
            np.testing.assert_array_equal(given_.weight, computed.weight)

    def test_first_of_equals_takes_all(self, mode):
        gradient = embedding_bag_backward(GRAD[:1], [[4, 1, 4, 2]], np.zeros((5, 2)), mode=mode)
        np.testing.assert_array_equal(gradient.weight, [[0, 0]] * 4 + [[1, 2]])

    def test_first_nan_takes_all(self, mode):
        table = np.array([[1.0], [np.nan], [9.0], [np.nan]])
        gradient = embedding_bag_backward([[1.0]], [[0, 3, 2, 1]], table, mode=mode)
        np.testing.assert_array_equal(gradient.weight, [[0], [0], [0], [1]])


@pytest.mark.parametrize("mode", WEIGHTED_MODES)
class TestWeightsGradient:
    def test_of_stored_values_in_storage_order(self, mode):
        parts = ([1.0, 0.5, -2.0], [4, 0, 4], [0, 2, 3])
        matrix = scipy.sparse.csr_array(parts, shape=(2, 5))
        wanted = embedding_bag_backward(
            GRAD, matrix, TABLE, mode=mode, per_sample_weights_grad=True
        )
        expected = embedding_bag_backward(
            GRAD, [[4, 0], [4]], TABLE, mode=mode, per_sample_weights=[[1.0, 0.5], [-2.0]]
        )
        np.testing.assert_array_equal(wanted.per_sample_weights, expected.per_sample_weights)
        default = embedding_bag_backward(GRAD, matrix, TABLE, mode=mode)
        assert default.per_sample_weights is None

    def test_not_wanted(self, mode):
        weights = np.ones((2, 3))
        gradients = embedding_bag_backward(
            GRAD,
            np.array(BAGS),
            TABLE,
            mode=mode,
            per_sample_weights=weights,
            per_sample_weights_grad=False,
        )
        assert gradients.per_sample_weights is None

    def test_zero_divisor_has_gradient_zero(self, mode):
        weights = np.array([[1.0, -1.0] if mode == "mean" else [0.0, 0.0]])
        gradients = embedding_bag_backward(
            np.ones((1, 2)), np.array([[0, 1]]), TABLE, mode=mode, per_sample_weights=weights
        )
        np.testing.assert_array_equal(gradients.weight, np.zeros((5, 2)))
        dots = [[3, 7]] if mode == "sum" else [[0, 0]]
        np.testing.assert_array_equal(gradients.per_sample_weights, dots)


@pytest.mark.parametrize("sparse", [False, True, "rows"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
@pytest.mark.parametrize(
    ("bags", "shape"),
    [([[], []], (0, 3)), ([], (4, 3)), ([], (0, 0)), ([[0, 1], [1]], (4, 0)), ([[]], (4, 3))],
    ids=["no rows", "no bags", "nothing", "no columns", "no lookups"],
)
def test_empty_gradients(bags, shape, dtype, mode, sparse):
    grad = np.ones((len(bags), shape[1]))
    gradient = embedding_bag_backward(
        grad, bags, np.ones(shape, dtype), mode=mode, sparse=sparse
    ).weight
    dense = gradient if sparse is False else gradient.toarray()
    np.testing.assert_array_equal(dense, np.zeros(shape, sum_dtype(np.dtype(dtype))), strict=True)
