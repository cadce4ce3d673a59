"""Test the policies for invalid lookups and for empty bags, and gradients of the weights alone."""

import copy
import pickle
import re

import numpy as np
import pytest
import scipy.sparse

from ebagx import EmbeddingBag, embedding_bag, embedding_bag_backward, optim
from ebagx._core import bags as core_bags
from ebagx._core.options import checked_options
from ebagx._core.table import Table
from support.errors import rejected
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES

TABLE = np.arange(1.0, 11.0).reshape(5, 2)
# The second bag is empty after lookups are left out, the last one from the start.
BAGS = [[3, -1, 1, 5], [-1, 7], [1, 4, 0], []]
PRUNED = [[3, 1], [], [1, 4, 0], []]
WEIGHTS = [[2.0, np.nan, 0.5, np.inf], [np.nan, 3.0], [1.0, -2.0, 4.0], []]
PRUNED_WEIGHTS = [[2.0, 0.5], [], [1.0, -2.0, 4.0], []]
GRAD = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0], [np.nan, np.nan]])
FILLED_GRAD = np.array([[1.0, 2.0], [5.0, 6.0], [3.0, 4.0], [7.0, 8.0]])
FLAT, ENDS = np.array([k for bag in BAGS for k in bag]), np.array([0, 4, 6, 9, 9])
# Rows of four: the same bags with padding (row 2) instead of bags that are short.
FULL = np.array([[3, -1, 1, 5], [-1, 7, 2, 2], [1, 4, 0, 2], [2, 2, 2, 2]])
OF_FULL = np.array([[2.0, np.nan, 0.5, np.inf], [np.nan, 3, 9, 9], [1, -2, 4, 9], [9, 9, 9, 9]])


def csr(indices=FLAT, ends=ENDS, values=None, width=5):
    """Return a matrix of any indices, as a program may make it by its attributes."""
    matrix = scipy.sparse.csr_array((len(ends) - 1, width))
    matrix.indices, matrix.indptr = indices, ends
    matrix.data = np.ones(len(indices)) if values is None else values
    return matrix


FORMS = {
    "offsets": {"input": FLAT, "offsets": ENDS[:-1]},
    "last offset": {"input": FLAT, "offsets": ENDS, "include_last_offset": True},
    "lists": {"input": BAGS},
    "arrays": {"input": [np.array(bag, np.int16) for bag in BAGS]},
    "rows": {"input": FULL, "padding_idx": 2},
    "csr": {"input": csr()},
}
forms = pytest.mark.parametrize("lookups", FORMS.values(), ids=FORMS)
modes = pytest.mark.parametrize("mode", MODES)
weighted_modes = pytest.mark.parametrize("mode", WEIGHTED_MODES)


@forms
@modes
class TestSkip:
    def test_equals_bags_without_the_invalid(self, lookups, mode):
        expected = embedding_bag(PRUNED, TABLE, mode=mode)
        actual = embedding_bag(**lookups, weight=TABLE, mode=mode, invalid="skip")
        np.testing.assert_array_equal(actual, expected)

    def test_into_out_with_max_norm(self, lookups, mode):
        tables = TABLE.copy(), TABLE.copy()
        out = np.full((4, 2), 9.0)
        pooled = embedding_bag(
            **lookups, weight=tables[0], mode=mode, invalid="skip", max_norm=3.0, out=out
        )
        # In the 2-D form, padding is looked up too, and so scaled.
        bags = [[*bag, 2] for bag in PRUNED] if "padding_idx" in lookups else PRUNED
        padding_idx = lookups.get("padding_idx")
        expected = embedding_bag(bags, tables[1], mode=mode, max_norm=3.0, padding_idx=padding_idx)
        assert pooled is out
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(*tables)

    @pytest.mark.parametrize("by_freq", [False, True])
    @pytest.mark.parametrize("sparse", [False, True, "rows"])
    def test_gradient(self, lookups, mode, sparse, by_freq):
        options = {"mode": mode, "sparse": sparse, "scale_grad_by_freq": by_freq}
        actual = embedding_bag_backward(GRAD, **lookups, weight=TABLE, invalid="skip", **options)
        expected = embedding_bag_backward(GRAD, PRUNED, TABLE, **options)
        for gradient in (actual, expected):
            assert gradient.per_sample_weights is None
        if sparse == "rows":
            np.testing.assert_array_equal(actual.weight.rows, expected.weight.rows)
        dense = [g.weight.toarray() if sparse else g.weight for g in (actual, expected)]
        np.testing.assert_array_equal(*dense)

    def test_raises_by_default(self, lookups, mode):
        for invalid in ({}, {"invalid": "raise"}):
            with pytest.raises(IndexError, match=r"= -1 is out of range .*; invalid='skip' leaves"):
                embedding_bag(**lookups, weight=TABLE, mode=mode, **invalid)
            with pytest.raises(IndexError, match=r"= -1 is out of range .*; invalid='skip' leaves"):
                embedding_bag_backward(GRAD, **lookups, weight=TABLE, mode=mode, **invalid)


@weighted_modes
class TestSkippedWeights:
    """The weight of a lookup that is left out may be anything, and has the gradient 0."""

    @pytest.mark.parametrize("default_row", [None, 3])
    def test_forward(self, mode, default_row):
        expected = embedding_bag(
            PRUNED, TABLE, mode=mode, per_sample_weights=PRUNED_WEIGHTS, default_row=default_row
        )
        options = {"mode": mode, "invalid": "skip", "default_row": default_row}
        of_lists = embedding_bag(BAGS, TABLE, per_sample_weights=WEIGHTS, **options)
        of_rows = embedding_bag(FULL, TABLE, per_sample_weights=OF_FULL, padding_idx=2, **options)
        values = np.array([w for bag in WEIGHTS for w in bag])
        of_matrix = embedding_bag(csr(values=values), TABLE, **options)
        for actual in (of_lists, of_rows, of_matrix):
            np.testing.assert_array_equal(actual, expected)

    @pytest.mark.parametrize("default_row", [None, 3])
    def test_gradient(self, mode, default_row):
        options = {"mode": mode, "default_row": default_row}
        expected = embedding_bag_backward(
            FILLED_GRAD, PRUNED, TABLE, per_sample_weights=PRUNED_WEIGHTS, **options
        )
        actual = embedding_bag_backward(
            FILLED_GRAD, FULL, TABLE, per_sample_weights=OF_FULL, padding_idx=2, invalid="skip",
            **options,
        )  # fmt: skip
        np.testing.assert_array_equal(actual.weight, expected.weight)
        of_weights = np.zeros((4, 4))
        of_weights[[0, 0, 2, 2, 2], [0, 2, 0, 1, 2]] = expected.per_sample_weights
        np.testing.assert_array_equal(actual.per_sample_weights, of_weights)


class TestWhatIsInvalid:
    """Every integer outside [0, N) is."""

    @pytest.mark.parametrize(
        ("dtype", "values"),
        [
            ("i1", [-1, -128, 5, 127]),
            ("u1", [5, 255]),
            ("i4", [-(2**31), -1, 5, 2**31 - 1]),
            ("i8", [-(2**63), -1, 5, 2**32, 2**63 - 1]),
            ("u8", [5, 2**32, 2**63, 2**63 + 1, 2**64 - 1, 2**64 - 5]),
            (">i4", [-1, 5, 2**31 - 1]),
            (">u8", [2**63 + 2, 2**64 - 1]),
        ],
    )
    @modes
    def test_integers(self, dtype, values, mode):
        flat = np.array([1, *values, 3], dtype)
        expected = embedding_bag([[1, 3]], TABLE, mode=mode)
        for given in ({"input": flat, "offsets": [0]}, {"input": flat[None]}, {"input": [flat]}):
            pooled = embedding_bag(**given, weight=TABLE, mode=mode, invalid="skip")
            np.testing.assert_array_equal(pooled, expected)

    @pytest.mark.parametrize("shape", [(0, 2), (0, 0), (5, 0)])
    @modes
    def test_tables_without_entries(self, shape, mode):
        pooled = embedding_bag([[0, 9], [-1]], np.ones(shape), mode=mode, invalid="skip")
        np.testing.assert_array_equal(pooled, np.zeros((2, shape[1])), strict=True)
        gradient = embedding_bag_backward(
            np.ones((2, shape[1])), [[0, 9], [-1]], np.ones(shape), mode=mode, invalid="skip"
        )
        np.testing.assert_array_equal(gradient.weight, np.zeros(shape), strict=True)

    def test_categories_of_pandas(self):
        pandas = pytest.importorskip("pandas")
        codes = pandas.Series(["b", None, "a"], dtype="category").cat.codes
        pooled = embedding_bag(codes, TABLE, offsets=range(3), invalid="skip", default_row=4)
        np.testing.assert_array_equal(pooled, TABLE[[1, 4, 0]])

    @pytest.mark.parametrize(
        ("error", "message", "wrong"),
        [
            (ValueError, "offsets[0] must be 0, got 1", {"offsets": [1, 4]}),
            (ValueError, "offsets[1] = 10 is beyond the 9 indices of input", {"offsets": [0, 10]}),
            (TypeError, "input must be integers, got float64", {"input": FLAT * 1.0}),
            (TypeError, "input must be integers, got bool", {"input": FLAT > 0}),
            (
                ValueError,
                "sparse input must have shape (num_bags, 5) for 5 embeddings, got (4, 6)",
                {"input": csr(width=6), "offsets": None},
            ),
            (
                ValueError,
                "per_sample_weights must have input's shape (9,), got (8,)",
                {"per_sample_weights": np.ones(8)},
            ),
        ],
    )
    def test_everything_else_is_still_checked(self, error, message, wrong):
        given = {"input": FLAT, "offsets": ENDS[:-1], **wrong}
        table = TABLE.copy()
        with rejected(error, message, table):
            embedding_bag(
                **given, weight=table, mode="sum", max_norm=0.1, invalid="skip", default_row=0
            )
        grad = np.ones((4, 2))
        with rejected(error, message, table, grad):
            embedding_bag_backward(
                grad, **given, weight=table, mode="sum", invalid="skip", default_row=0
            )

    def test_formats_that_scipy_converts_need_valid_indices(self):
        matrix = scipy.sparse.coo_array(([1.0, 1.0], ([0, 1], [0, 4])), shape=(2, 5))
        matrix.coords = matrix.coords[0], np.array([0, 5])
        with pytest.raises(ValueError, match="5"):
            embedding_bag(matrix, TABLE, invalid="skip")


@modes
class TestDefaultRow:
    @forms
    @pytest.mark.parametrize("row", [0, 4, -1])
    def test_fills_empty_bags(self, mode, lookups, row):
        expected = embedding_bag([[3, 1], [row % 5], [1, 4, 0], [row % 5]], TABLE, mode=mode)
        pooled = embedding_bag(**lookups, weight=TABLE, mode=mode, invalid="skip", default_row=row)
        np.testing.assert_array_equal(pooled, expected)
        np.testing.assert_array_equal(pooled[[1, 3]], TABLE[[row, row]])

    @forms
    @pytest.mark.parametrize("by_freq", [False, True])
    @pytest.mark.parametrize("sparse", [False, True, "rows"])
    def test_takes_their_gradient(self, mode, lookups, sparse, by_freq):
        options = {"mode": mode, "sparse": sparse, "scale_grad_by_freq": by_freq}
        gradient = embedding_bag_backward(
            FILLED_GRAD, **lookups, weight=TABLE, invalid="skip", default_row=-2, **options
        ).weight
        bags = [[3, 1], [3], [1, 4, 0], [3]]
        expected = embedding_bag_backward(FILLED_GRAD, bags, TABLE, **options).weight
        dense = [g if sparse is False else g.toarray() for g in (gradient, expected)]
        np.testing.assert_array_equal(*dense)

    def test_does_not_fill_bags_that_have_a_lookup(self, mode):
        """Weights that add up to 0 are no reason."""
        options = {"per_sample_weights": [[1.0, -1.0]]} if mode in WEIGHTED_MODES else {}
        with_default = embedding_bag([[0, 1]], TABLE, mode=mode, default_row=3, **options)
        without = embedding_bag([[0, 1]], TABLE, mode=mode, **options)
        np.testing.assert_array_equal(with_default, without)

    def test_without_any_lookups(self, mode):
        weights = np.empty(0) if mode in WEIGHTED_MODES else None
        arguments = np.empty(0, int), TABLE, [0, 0]
        options = {"mode": mode, "per_sample_weights": weights, "default_row": 2}
        np.testing.assert_array_equal(embedding_bag(*arguments, **options), TABLE[[2, 2]])
        gradient = embedding_bag_backward(np.ones((2, 2)), *arguments, **options)
        np.testing.assert_array_equal(gradient.weight[:, 0], [0, 0, 2, 0, 0])
        if weights is not None:
            np.testing.assert_array_equal(gradient.per_sample_weights, weights, strict=True)
        assert embedding_bag([], TABLE, [], mode=mode, default_row=2).shape == (0, 2)

    def test_that_is_padding_is_read_and_takes_no_gradient(self, mode):
        options = {"mode": mode, "padding_idx": 2, "default_row": -3, "invalid": "skip"}
        bags = [[3, 1, 2], [2, 2], [], [9]]
        pooled = embedding_bag(bags, TABLE, **options)
        np.testing.assert_array_equal(pooled[1:], TABLE[[2, 2, 2]])
        expected = embedding_bag_backward(np.ones((1, 2)), [[3, 1]], TABLE, mode=mode).weight
        for by_freq in (False, True):
            for sparse in (False, "rows"):
                gradient = embedding_bag_backward(
                    np.ones((4, 2)), bags, TABLE, sparse=sparse, scale_grad_by_freq=by_freq,
                    **options,
                ).weight  # fmt: skip
                if sparse:
                    np.testing.assert_array_equal(gradient.rows, [1, 3])
                    gradient = gradient.toarray()
                np.testing.assert_array_equal(gradient, expected)

    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    def test_keeps_the_bits_of_the_row(self, mode, dtype):
        table = np.array([[-0.0, np.inf, np.nan, 1 / 3, 2e-7, -7.5]] * 3).astype(dtype)
        pooled = embedding_bag([[], [9]], table, mode=mode, default_row=1, invalid="skip")
        expected = embedding_bag([[1], [1]], table, mode=mode)
        assert pooled.tobytes() == expected.tobytes()


class TestDefaultRowOfExtremes:
    @pytest.mark.parametrize("mode", ["max", "min"])
    def test_max_indices(self, mode):
        bags, grad = [[3, 9], [-1], []], np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        options = {"mode": mode, "invalid": "skip", "default_row": 0}
        _, winners = embedding_bag(bags, TABLE, return_indices=True, **options)
        np.testing.assert_array_equal(winners, [[3, 3], [0, 0], [0, 0]])
        for max_indices in (None, winners):
            gradient = embedding_bag_backward(
                grad, bags, TABLE, max_indices=max_indices, **options
            ).weight
            np.testing.assert_array_equal(gradient[[0, 3]], [[8, 10], [1, 2]])

    def test_padding_as_default(self):
        options = {"mode": "max", "padding_idx": 0, "default_row": 0}
        _, winners = embedding_bag([[0], [1, 0]], TABLE, return_indices=True, **options)
        np.testing.assert_array_equal(winners, [[0, 0], [1, 1]])
        gradient = embedding_bag_backward(
            np.ones((2, 2)), [[0], [1, 0]], TABLE, max_indices=winners, **options
        )
        np.testing.assert_array_equal(gradient.weight[:, 0], [0, 1, 0, 0, 0])


class TestMaxNorm:
    def scaled(self, bags, **options):
        table = np.array([[3.0, 4.0]] * 5)
        pooled = embedding_bag(bags, table, mode="sum", max_norm=1.0, **options)
        return np.flatnonzero(np.linalg.norm(table, axis=1) < 2).tolist(), table, pooled

    def test_default_row_is_scaled_if_a_bag_uses_it(self):
        rows, table, pooled = self.scaled([[1], []], default_row=3)
        assert rows == [1, 3]
        np.testing.assert_array_equal(pooled, table[[1, 3]])
        assert self.scaled([[1], [2]], default_row=3)[0] == [1, 2]

    def test_padding_is_scaled_as_ever(self):
        assert self.scaled([[1, 0], [0]], padding_idx=0)[0] == [0, 1]
        assert self.scaled([[1, 0], [0]], padding_idx=0, default_row=4)[0] == [0, 1, 4]
        assert self.scaled([[1], [-1]], padding_idx=0, default_row=0, invalid="skip")[0] == [0, 1]
        assert self.scaled([[1], [-1]], padding_idx=0, invalid="skip")[0] == [1]

    def test_each_row_once(self):
        """Scaling does not change the number of non-zeros, the norm of type 0."""
        _, table, _ = self.scaled([[0], [], [0, 1]], padding_idx=0, default_row=0, norm_type=0)
        np.testing.assert_allclose(table[:3], [[1.5, 2], [1.5, 2], [3, 4]], rtol=1e-6)

    @pytest.mark.parametrize("bags", [[[1], [-1]], [[1], [5]]])
    def test_nothing_changes_before_an_error(self, bags):
        table = np.array([[3.0, 4.0]] * 5)
        place = f"input[1][0] = {bags[1][0]}"
        with rejected(IndexError, f"{place} is out of range for 5 embeddings", table):
            embedding_bag(bags, table, max_norm=1.0, default_row=3, padding_idx=2)


@pytest.mark.parametrize("by_function", [True, False])
class TestTensorFlow:
    """Known answers of tf.nn.safe_embedding_lookup_sparse, by the example in its documentation."""

    IDS = ([1, 3], [-1], [1])
    WEIGHTS = ([2.0, 0.5], [1.0], [3.0])
    PARAMS = np.arange(12.0).reshape(4, 3) ** 2

    def lookup(self, by_function, mode, **options):
        if by_function:
            return embedding_bag(
                self.IDS, self.PARAMS, mode=mode, per_sample_weights=self.WEIGHTS, **options
            )
        bag = EmbeddingBag.from_pretrained(self.PARAMS, mode=mode, **options)
        return bag(self.IDS, per_sample_weights=self.WEIGHTS)

    def test_default_id(self, by_function):
        one, three, zero = self.PARAMS[[1, 3, 0]]
        actual = self.lookup(by_function, "mean", invalid="skip", default_row=0)
        expected = [(one * 2.0 + three * 0.5) / (2.0 + 0.5), zero * 1.0 / 1.0, one * 3.0 / 3.0]
        np.testing.assert_allclose(actual, expected, rtol=1e-15)
        actual = self.lookup(by_function, "sqrtn", invalid="skip", default_row=0)
        np.testing.assert_allclose(actual[0], (one * 2.0 + three * 0.5) / np.sqrt(4.25), rtol=1e-15)
        np.testing.assert_array_equal(actual[1], zero)

    def test_zeros_without_default_id(self, by_function):
        actual = self.lookup(by_function, "mean", invalid="skip")
        np.testing.assert_array_equal(actual[1], [0, 0, 0])


class TestWeightGradFalse:
    @weighted_modes
    def test_is_the_gradient_of_the_weights(self, mode):
        options = {"mode": mode, "padding_idx": 2, "invalid": "skip", "default_row": 1}
        both = embedding_bag_backward(
            FILLED_GRAD, FULL, TABLE, per_sample_weights=OF_FULL, **options
        )
        for sparse in (False, True, "rows"):
            alone = embedding_bag_backward(
                FILLED_GRAD, FULL, TABLE, per_sample_weights=OF_FULL, weight_grad=False,
                sparse=sparse, scale_grad_by_freq=True, **options,
            )  # fmt: skip
            assert alone.weight is None
            np.testing.assert_array_equal(alone.per_sample_weights, both.per_sample_weights)

    def test_of_stored_values(self):
        matrix = csr(np.array([1, 3]), np.array([0, 1, 2]), np.array([2.0, 3.0]))
        arguments = {"grad_output": FILLED_GRAD[:2], "input": matrix, "weight": TABLE}
        expected = embedding_bag_backward(**arguments, mode="sum", per_sample_weights_grad=True)
        alone = embedding_bag_backward(**arguments, mode="sum", weight_grad=False)
        np.testing.assert_array_equal(alone.per_sample_weights, expected.per_sample_weights)

    def test_of_read_only_tables_and_maps(self, tmp_path):
        weights = [[1.0, 2.0]]
        expected = embedding_bag_backward(
            [[1.0, 2.0]], [[0, 4]], TABLE, per_sample_weights=weights
        ).per_sample_weights
        np.save(tmp_path / "table.npy", TABLE)
        frozen = TABLE.copy()
        frozen.flags.writeable = False
        for table in (frozen, np.load(tmp_path / "table.npy", mmap_mode="r")):
            alone = embedding_bag_backward(
                [[1.0, 2.0]], [[0, 4]], table, per_sample_weights=weights, weight_grad=False
            )
            np.testing.assert_array_equal(alone.per_sample_weights, expected)

    @pytest.mark.parametrize(
        ("error", "message", "options"),
        [
            (
                ValueError,
                "weight_grad=False needs weights and a mode of 'sum', 'mean', 'sqrtn'",
                {"mode": "sum"},
            ),
            (
                ValueError,
                "weight_grad=False needs weights and a mode of 'sum', 'mean', 'sqrtn'",
                {"mode": "max"},
            ),
            (
                ValueError,
                "per_sample_weights_grad=True needs weights and a mode of 'sum', 'mean', 'sqrtn'",
                {"mode": "sum", "weight_grad": True, "per_sample_weights_grad": True},
            ),
            (
                ValueError,
                "weight_grad=False needs per_sample_weights_grad=True or None",
                {"per_sample_weights": np.ones((1, 2)), "per_sample_weights_grad": False},
            ),
            (
                ValueError,
                "out must be None for weight_grad=False, it takes a dense gradient",
                {"per_sample_weights": np.ones((1, 2)), "out": np.zeros((5, 2))},
            ),
            (TypeError, "weight_grad must be True or False, got 0", {"weight_grad": 0}),
            (TypeError, "weight_grad must be True or False, got None", {"weight_grad": None}),
        ],
    )
    def test_errors(self, error, message, options):
        with rejected(error, message):
            embedding_bag_backward(
                np.ones((1, 2)), [[0, 1]], TABLE, **{"weight_grad": False, **options}
            )

    @weighted_modes
    def test_needs_weights_without_lookups_too(self, mode):
        for asked in ({"weight_grad": False}, {"per_sample_weights_grad": True}):
            with pytest.raises(ValueError, match="needs weights"):
                embedding_bag_backward(np.ones((1, 2)), [[]], TABLE, mode=mode, **asked)
        gradients = embedding_bag_backward(
            np.ones((1, 2)), [[]], TABLE, mode=mode, per_sample_weights=[[]], weight_grad=False
        )
        np.testing.assert_array_equal(gradients.per_sample_weights, np.empty(0), strict=True)


class TestOptions:
    @pytest.mark.parametrize("invalid", [None, 1, b"skip", "ignore", "SKIP", ["skip"], True])
    def test_unknown_policies(self, invalid):
        message = f"invalid must be one of 'raise', 'skip', got {invalid!r}"
        calls = (
            lambda: embedding_bag([[0]], TABLE, invalid=invalid),
            lambda: embedding_bag_backward([[1.0, 1.0]], [[0]], TABLE, invalid=invalid),
            lambda: EmbeddingBag(5, 2, invalid=invalid),
            lambda: EmbeddingBag.from_pretrained(TABLE, invalid=invalid),
            lambda: setattr(EmbeddingBag(5, 2), "invalid", invalid),
        )
        for call in calls:
            with rejected(ValueError, message):
                call()

    @pytest.mark.parametrize(
        ("row", "error"),
        [(5, ValueError), (-6, ValueError), (2**70, ValueError), (True, TypeError),
         (1.0, TypeError), ("1", TypeError), ([1], TypeError)],
    )  # fmt: skip
    def test_rows_that_the_table_has_not(self, row, error):
        message = f"default_row = {row} is out of range for 5 embeddings, it must be in [-5, 5)"
        if error is TypeError:
            message = f"default_row must be an integer or None, got {row!r}"
        calls = (
            lambda: embedding_bag([[0]], TABLE, default_row=row),
            lambda: embedding_bag_backward([[1.0, 1.0]], [[0]], TABLE, default_row=row),
            lambda: EmbeddingBag(5, 2, default_row=row),
            lambda: EmbeddingBag.from_pretrained(TABLE, default_row=row),
            lambda: setattr(EmbeddingBag(5, 2), "default_row", row),
        )
        for call in calls:
            with rejected(error, message):
                call()

    def test_a_table_without_rows_has_none(self):
        with pytest.raises(ValueError, match=re.escape("it must be in [0, 0)")):
            embedding_bag([[]], np.ones((0, 2)), default_row=0)


class TestModule:
    def bag(self, **options):
        return EmbeddingBag(5, 2, _weight=TABLE.copy(), **options)

    @pytest.mark.parametrize("sparse", [False, True, "rows"])
    @pytest.mark.parametrize("padding_idx", [None, 2])
    @modes
    def test_equals_the_functional_form(self, mode, padding_idx, sparse):
        options = {"mode": mode, "padding_idx": padding_idx, "invalid": "skip", "default_row": 2}
        bag = self.bag(sparse=sparse, **options)
        given = {"input": FULL}
        if mode in WEIGHTED_MODES:
            given["per_sample_weights"] = OF_FULL
        np.testing.assert_array_equal(bag(**given), embedding_bag(weight=TABLE, **given, **options))
        bag.backward(FILLED_GRAD)
        expected = embedding_bag_backward(FILLED_GRAD, weight=TABLE, **given, **options)
        dense = bag.grad if sparse is False else bag.grad.toarray()
        np.testing.assert_array_equal(dense, expected.weight)
        if mode in WEIGHTED_MODES:
            np.testing.assert_array_equal(bag.per_sample_weights_grad, expected.per_sample_weights)

    @modes
    def test_steps_move_the_default_row(self, mode):
        for padding_idx, moved in ((None, [1, 3, 4]), (4, [1, 3])):
            bag = self.bag(mode=mode, padding_idx=padding_idx, invalid="skip", default_row=4)
            bag([[1, -1], [9], [], [3]])
            bag.backward_update(np.ones((4, 2)), optim.SGD(1.0))
            changed = np.flatnonzero((bag.weight != TABLE).any(axis=1))
            np.testing.assert_array_equal(changed, moved)

    def test_assigned_as_if_constructed_so(self):
        bag = self.bag(mode="sum")
        with pytest.raises(IndexError):
            bag([[9]])
        bag.invalid, bag.default_row = "skip", -1
        assert (bag.invalid, bag.default_row) == ("skip", 4)
        np.testing.assert_array_equal(bag([[9], [1]]), TABLE[[4, 1]])
        bag.invalid = "raise"  # the call before is still skipping
        bag.backward(np.ones((2, 2)))
        np.testing.assert_array_equal(bag.grad[:, 0], [0, 1, 0, 0, 1])
        with pytest.raises(IndexError):
            bag([[9]])
        bag.default_row = None
        np.testing.assert_array_equal(bag([[]]), np.zeros((1, 2)))

    def test_representation_and_copies(self):
        bag = self.bag(mode="sum", invalid=np.str_("skip"), default_row=np.int8(-1))
        assert repr(bag) == "EmbeddingBag(5, 2, mode='sum', invalid='skip', default_row=4)"
        assert repr(self.bag()) == "EmbeddingBag(5, 2, mode='mean')"
        for twin in (copy.copy(bag), copy.deepcopy(bag), pickle.loads(pickle.dumps(bag))):
            assert repr(twin) == repr(bag)
            np.testing.assert_array_equal(twin([[9], [1]]), TABLE[[4, 1]])

    def test_from_pretrained(self):
        bag = EmbeddingBag.from_pretrained(TABLE, invalid="skip", default_row=-2)
        assert (bag.invalid, bag.default_row) == ("skip", 3)


class TestWideIndices:
    """Rows and lookups beyond the range of int32 indices make these int64."""

    @modes
    def test_default_row(self, mode):
        row = 2**32 + 3
        table = np.lib.stride_tricks.as_strided(np.array([1.0, 2.0]), (2**33, 2), (0, 8))
        lookups = np.array([3, 9], np.int32), table, np.array([0, 2], np.int32)
        options = {"mode": mode, "default_row": row}
        np.testing.assert_array_equal(embedding_bag(*lookups, **options)[1], [1, 2])
        winners = None
        if mode not in WEIGHTED_MODES:
            _, winners = embedding_bag(*lookups, **options, return_indices=True)
            np.testing.assert_array_equal(winners, [[3, 3], [row, row]])
        gradient = embedding_bag_backward(
            np.array([[4.0, 4.0], [5.0, 5.0]]), *lookups, sparse="rows", max_indices=winners,
            **options,
        ).weight  # fmt: skip
        np.testing.assert_array_equal(gradient.rows, [3, 9, row])
        np.testing.assert_array_equal(gradient.values[2], [5, 5])

    def test_padding_row(self):
        """It is compared with indices in full width: 2**32 + 3 is not 3."""
        table = np.lib.stride_tricks.as_strided(np.array([1.0, 2.0]), (2**33, 2), (0, 8))
        pooled = embedding_bag(np.array([[3, 9]], np.int32), table, padding_idx=2**32 + 3)
        np.testing.assert_array_equal(pooled, [[1, 2]])

    @modes
    def test_many_lookups(self, mode, monkeypatch):
        lookups = np.array([3, 1, 2, 4], np.int32), TABLE, np.array([0, 0, 4], np.int32)
        kinds = []
        for limit in (7, 6):  # the bags are the 4 lookups and up to 3 of the default row
            monkeypatch.setattr(core_bags, "INT32_MAX", limit)
            options = checked_options(5, mode=mode, default_row=0)
            bags, _ = core_bags.bags_for(lookups[0], lookups[2], None, Table(TABLE), options)
            kinds.append((bags.indices.dtype, bags.offsets.dtype))
        assert kinds == [(np.int32, np.int32), (np.int64, np.int64)]
        expected = TABLE[[0]]
        options = {"mode": mode, "default_row": 0}
        np.testing.assert_array_equal(embedding_bag(*lookups, **options)[::2], expected[[0, 0]])
        gradient = embedding_bag_backward(np.ones((3, 2)), *lookups, **options)
        np.testing.assert_array_equal(gradient.weight[0], [2, 2])


MASKED = np.ma.masked_array([3, 9, 1], [False, True, False])


@modes
class TestIndicesThatNoArrayHolds:
    """Missing indices, and integers beyond 64 bits, are invalid ones."""

    @pytest.mark.parametrize(
        "lookups",
        [
            {"input": [[3, 2**64, -(2**70), 1]]},
            {"input": [[3, -1, 2**63, 1]]},
            {"input": [3, 10**30, 1], "offsets": [0]},
            {"input": MASKED, "offsets": [0]},
            {"input": MASKED[np.newaxis]},
            {"input": MASKED.astype("u1")[np.newaxis]},
            {"input": [MASKED]},
            {"input": [[3, np.ma.masked, 1]]},
        ],
        ids=str,
    )
    def test_skipped_or_refused(self, mode, lookups):
        options = {"weight": TABLE, "mode": mode, "default_row": 0}
        pooled = embedding_bag(**lookups, invalid="skip", **options)
        np.testing.assert_array_equal(pooled, embedding_bag([[3, 1]], TABLE, mode=mode))
        grad = np.ones((1, 2))
        gradient = embedding_bag_backward(grad, **lookups, invalid="skip", **options)
        expected = embedding_bag_backward(grad, [[3, 1]], TABLE, mode=mode)
        np.testing.assert_array_equal(gradient.weight, expected.weight)
        for call in (
            lambda: embedding_bag(**lookups, **options),
            lambda: embedding_bag_backward(grad, **lookups, **options),
        ):
            with pytest.raises((IndexError, ValueError), match="; invalid='skip' leaves it out$"):
                call()

    def test_arrays_of_several_dtypes(self, mode):
        bags = [np.array([3, -5], "i8"), np.array([2**64 - 1, 1], "u8"), np.array([2**63], "u8")]
        pooled = embedding_bag(bags, TABLE, mode=mode, invalid="skip", default_row=-1)
        np.testing.assert_array_equal(pooled, TABLE[[3, 1, 4]])

    def test_missing_ones_of_pandas(self, mode):
        pandas = pytest.importorskip("pandas")
        series = pandas.Series([3, None, 1], dtype="Int64")
        pooled = embedding_bag(series, TABLE, offsets=[0, 1, 2], mode=mode, invalid="skip")
        np.testing.assert_array_equal(pooled, [TABLE[3], [0, 0], TABLE[1]])

    def test_nulls_of_arrow(self, mode):
        pyarrow = pytest.importorskip("pyarrow")
        column = pyarrow.array([[3, None, 1], None, [None]])
        options = {"mode": mode, "invalid": "skip", "default_row": 4}
        pooled = embedding_bag(column, TABLE, **options)
        expected = embedding_bag([[3, 1], [4], [4]], TABLE, mode=mode)
        np.testing.assert_array_equal(pooled, expected)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_foreign_max_indices_are_refused(mode):
    bags, options = [[3, 9], [-1], [2]], {"mode": mode, "invalid": "skip", "padding_idx": 2}
    for default_row, wrong in ((0, [[3, 3], [1, 0], [0, 0]]), (None, [[1, 3], [0, 0], [0, 0]])):
        with pytest.raises(ValueError, match="is no row of bag"):
            embedding_bag_backward(
                np.ones((3, 2)), bags, TABLE, max_indices=wrong, default_row=default_row, **options
            )
