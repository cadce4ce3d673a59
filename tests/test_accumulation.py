"""Test sums of gradients: the same in every form, at the cost of a batch, and set by hand."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import EmbeddingBag, RowGradient, embedding_bag_backward, optim
from ebagx._core import dense, row_sum
from ebagx._core.dtypes import sum_dtype
from support.errors import rejected
from support.kernel_cases import TABLE_DTYPES, assert_same_bits
from support.strategies import MODES

N, D = 30, 5
FORMS = (False, True, "rows")
forms = pytest.mark.parametrize("sparse", FORMS)
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda bag: pickle.loads(pickle.dumps(bag)),
}


def module(sparse=False, **options):
    return EmbeddingBag(N, D, sparse=sparse, **{"mode": "sum", "rng": 0, **options})


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.integers(0, N, (6, 4)), rng.standard_normal((6, D))


def run(bag, count=4, seed=0):
    for ids, grad in batches(count, seed):
        bag(ids)
        bag.backward(grad)
    return bag


def as_dense(grad):
    return grad if isinstance(grad, np.ndarray) else grad.toarray()


def numbers(bag):
    """Return the array in which `grad` has its numbers."""
    grad = bag.grad
    return {False: grad, True: getattr(grad, "data", None), "rows": getattr(grad, "values", None)}[
        bag.sparse
    ]


class TestBits:
    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("padding_idx", [None, 3])
    @forms
    def test_are_those_of_the_batches_added_up_in_order(self, sparse, padding_idx, mode, dtype):
        options = {"mode": mode, "padding_idx": padding_idx}
        bag = module(sparse, dtype=dtype, **options)
        expected, rows = np.zeros((N, D), sum_dtype(np.dtype(dtype))), set()
        for ids, grad in batches(12):
            bag(ids)
            bag.backward(grad)
            of_batch = embedding_bag_backward(grad, ids, bag.weight, sparse="rows", **options)
            expected[of_batch.weight.rows] += of_batch.weight.values
            rows |= set(of_batch.weight.rows.tolist())
        assert_same_bits(as_dense(bag.grad), expected)
        gradient = bag.row_gradient()
        assert gradient.rows.tolist() == sorted(rows)
        assert_same_bits(gradient.toarray(), expected)

    @pytest.mark.parametrize("numbers", [(0.0, -0.0), (np.nan, 1.0), (np.inf, -np.inf, 1.0)])
    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    def test_of_unusual_numbers_are_the_same_in_every_form(self, numbers):
        results = []
        for sparse in FORMS:
            bag, rng = module(sparse), np.random.default_rng(0)
            for _ in range(10):
                bag(rng.integers(0, N, (3, 2)))
                bag.backward(rng.choice(np.array(numbers), (3, D)))
            gradient = bag.row_gradient()
            results.append((gradient.rows, gradient.values))
        for rows, values in results[1:]:
            np.testing.assert_array_equal(rows, results[0][0])
            np.testing.assert_array_equal(values, results[0][1])
            np.testing.assert_array_equal(
                np.signbit(values)[~np.isnan(values)],
                np.signbit(results[0][1])[~np.isnan(values)],
            )

    @pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
    @pytest.mark.parametrize("read", [False, True])
    @forms
    def test_are_kept_by_copies(self, sparse, read, way):
        bag = module(sparse)
        for step in range(3):
            old = run(bag, 3, seed=step)
            if read:
                _ = old.grad
            bag = way(old)
            run(old, 5, seed=99)  # leaves the copy as it is
            old.zero_grad()
        run(bag, 3, seed=3)
        expected = module()
        for seed in range(4):
            run(expected, 3, seed=seed)
        assert_same_bits(as_dense(bag.grad), expected.grad)
        np.testing.assert_array_equal(bag.row_gradient().rows, expected.row_gradient().rows)

    @pytest.mark.parametrize("num_threads", [1, 3])
    @forms
    def test_do_not_depend_on_threads(self, sparse, num_threads, monkeypatch):
        monkeypatch.setattr("ebagx._core.threads.WORK_PER_THREAD", 1)
        bag = run(module(sparse, num_threads=num_threads), 9)
        assert_same_bits(as_dense(bag.grad), run(module(), 9).grad)


class TestCopies:
    @pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
    @forms
    def test_have_gradients_of_their_own(self, sparse, way):
        bag = module(sparse)
        bag(np.zeros((2, 2), int), per_sample_weights=np.ones((2, 2)))
        bag.backward(np.ones((2, D)))
        other = way(bag)
        assert np.shares_memory(other.weight, bag.weight) is (way is copy.copy)
        expected = as_dense(bag.grad).copy(), bag.per_sample_weights_grad.copy()
        bag.grad *= 3
        bag.per_sample_weights_grad *= 3
        numbers(bag)[...] = 7
        bag.zero_grad()
        assert_same_bits(as_dense(other.grad), expected[0])
        assert_same_bits(other.per_sample_weights_grad, expected[1])
        numbers(other)[...] = 5
        assert bag.grad is None

    @pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
    def test_of_an_assigned_array(self, way):
        bag = module()
        bag.grad = np.full((N, D), -0.0, np.float32)
        bag.grad[3] = 1
        other = way(bag)
        assert_same_bits(other.grad, bag.grad)
        bag.grad[4] = 1
        assert other.row_gradient().rows.tolist() == [3]

    def test_of_a_subclass_have_its_attributes(self):
        class Named(EmbeddingBag):
            pass

        bag = Named(N, D)
        bag.label = ["words"]
        for way in (copy.copy, copy.deepcopy):
            assert way(bag).label == ["words"]

    def test_pickles_hold_the_touched_rows_alone(self):
        bag = EmbeddingBag(10_000, D, _weight=np.zeros((10_000, D), np.float32))
        before = len(pickle.dumps(bag))
        bag([[1, 2]])
        bag.backward(np.ones((1, D)))
        assert len(pickle.dumps(bag)) < before + 1000


ZEROS = {
    "fill": lambda bag: numbers(bag).fill(0),
    "slice": lambda bag: numbers(bag).__setitem__(slice(None), 0),
    "factor": lambda bag: setattr(bag, "grad", bag.grad * 0),
    "in place": lambda bag: exec("bag.grad *= 0", {"bag": bag}),
    "negative": lambda bag: exec("bag.grad *= -0.0", {"bag": bag}),
    "copyto": lambda bag: np.copyto(numbers(bag), 0),
    "none": lambda bag: setattr(bag, "grad", None),
    "zero_grad": lambda bag: bag.zero_grad(),
}


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
@forms
class TestZeroedByHand:
    def test_is_as_zero_grad(self, sparse, zero):
        bag, expected = module(sparse, rng=0), module("rows", rng=0)
        optimizer, other = (optim.Adam(0.1, weight_decay=0.1) for _ in range(2))
        for step in range(6):
            for each, rule in ((bag, optimizer), (expected, other)):
                run(each, step % 3 + 1, seed=step)
                rule.step(each)
            zero(bag)
            expected.zero_grad()
            if bag.grad is not None:
                assert not as_dense(bag.grad).any()
                assert len(bag.row_gradient().rows) == 0
        assert_same_bits(bag.weight, expected.weight)
        run(bag, 2, seed=9)
        run(expected, 2, seed=9)
        assert_same_bits(as_dense(bag.grad), as_dense(expected.grad))
        np.testing.assert_array_equal(bag.row_gradient().rows, expected.row_gradient().rows)

    def test_leaves_no_ids_behind(self, sparse, zero):
        """Memory, and the rows of a step, are those of the last batch."""
        bag = EmbeddingBag(5000, 2, mode="sum", sparse=sparse, rng=0)
        ids = np.random.default_rng(0).integers(0, 5000, (30, 1, 200))
        kept = []
        tracemalloc.start()
        for batch in ids:
            bag(batch)
            bag.backward(np.ones((1, 2)))
            assert bag.row_gradient().rows.tolist() == np.unique(batch).tolist()
            zero(bag)
            kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert max(kept[15:]) <= max(kept[:15]) + 10_000  # the ids of 6 batches


@forms
class TestZeros:
    """Zeros of gradients are no zeros by hand: their rows are touched."""

    @pytest.mark.parametrize("zeroed", [False, True])
    def test_of_gradients_keep_their_rows(self, sparse, zeroed):
        bag = module(sparse)
        for ids in ([[1, 2]], [[3]]):
            bag(ids)
            bag.backward(np.zeros((1, D)))
        if zeroed:
            numbers(bag)[...] = 0
        bag.grad *= 0.5
        assert bag.row_gradient().rows.tolist() == [1, 2, 3]
        bag([[5]])
        bag.backward(np.ones((1, D)))
        assert bag.row_gradient().rows.tolist() == [1, 2, 3, 5]

    def test_that_gradients_add_up_to_keep_their_rows(self, sparse):
        bag = module(sparse)
        for grad in (np.ones((1, D)), -np.ones((1, D))):
            bag([[1, 2]])
            bag.backward(grad)
        assert bag.row_gradient().rows.tolist() == [1, 2]
        bag([[5]])
        bag.backward(np.ones((1, D)))
        assert bag.row_gradient().rows.tolist() == [1, 2, 5]

    def test_by_hand_in_some_rows_keep_them(self, sparse):
        bag = module(sparse)
        bag([[1, 2]])
        bag.backward(np.ones((1, D)))
        numbers(bag)[1 if sparse is False else 0] = 0
        bag([[5]])
        bag.backward(np.ones((1, D)))
        assert bag.row_gradient().rows.tolist() == [1, 2, 5]
        assert as_dense(bag.grad)[:, 0].nonzero()[0].tolist() == [2, 5]


class TestScaling:
    @pytest.mark.parametrize("factor", [0.25, -1, np.float32(0.1), np.float64(0.1)])
    @forms
    def test_in_place(self, sparse, factor):
        bag, expected = run(module(sparse)), run(module()).grad.copy()
        rows = run(module()).row_gradient().rows
        bag.grad *= factor
        expected *= factor
        for _ in range(2):
            np.testing.assert_array_equal(as_dense(bag.grad), expected)
            assert_same_bits(bag.row_gradient().values, expected[rows])
            np.testing.assert_array_equal(bag.row_gradient().rows, rows)
            numbers(bag)[...] = numbers(bag) / 2
            expected /= 2
        assert bag.grad.dtype == np.float32 if sparse != "rows" else True
        bag.grad /= 2
        bag = run(bag, 1, seed=1)
        later = EmbeddingBag(N, D, mode="sum", rng=0)
        later.grad = expected / 2
        np.testing.assert_array_equal(as_dense(bag.grad), run(later, 1, seed=1).grad)

    def test_of_rows_that_are_not_touched_leaves_no_negative_zeros(self):
        bag = run(module(), 1)
        bag.grad *= -1
        untouched = np.setdiff1d(np.arange(N), bag.row_gradient().rows)
        assert len(untouched)
        assert not np.signbit(bag.grad[untouched]).any()

    @forms
    def test_with_a_decay(self, sparse):
        bag = run(module(sparse))
        expected = as_dense(bag.grad) + 0.5 * bag.weight
        if sparse:
            bag.grad = as_dense(bag.grad) + 0.5 * bag.weight
        else:
            bag.grad += 0.5 * bag.weight
        np.testing.assert_array_equal(as_dense(bag.grad), expected)
        assert len(bag.row_gradient().rows) == N
        bag.zero_grad()
        assert bag.grad is None
        assert_same_bits(as_dense(run(bag).grad), run(module()).grad)

    def test_of_a_matrix_with_arrays_of_its_own(self):
        bag = run(module(True))
        expected = bag.grad.toarray()
        bag.grad.data = bag.grad.data * 2
        np.testing.assert_array_equal(bag.row_gradient().toarray(), 2 * expected)
        bag.grad.data[0] = 0
        bag.grad.eliminate_zeros()
        rows = bag.row_gradient().rows
        bag([[0]])
        bag.backward(np.ones((1, D)))
        np.testing.assert_array_equal(bag.row_gradient().rows, np.union1d([0], rows))


class TestOtherForm:
    @pytest.mark.parametrize("before", FORMS)
    @pytest.mark.parametrize("after", FORMS)
    @pytest.mark.parametrize("read", [False, True])
    def test_keeps_the_sum(self, before, after, read):
        bag, expected = run(module(before), 5), run(module("rows"), 5)
        if read:
            _ = bag.grad
        bag.sparse = after
        assert isinstance(
            bag.grad, {False: np.ndarray, True: scipy.sparse.bsr_array, "rows": RowGradient}[after]
        )
        for each in (bag, expected):
            each([[1, 2]])
            each.backward(np.zeros((1, D)))
        for _ in range(2):
            np.testing.assert_array_equal(bag.row_gradient().rows, expected.row_gradient().rows)
            assert_same_bits(as_dense(bag.grad), as_dense(expected.grad))
            run(bag, 3, seed=1)
            run(expected, 3, seed=1)

    @pytest.mark.parametrize("after", [True, "rows"])
    def test_is_independent_of_the_one_before(self, after):
        bag = run(module("rows" if after is True else True))
        old, expected = numbers(bag), as_dense(bag.grad).copy()
        bag.sparse = after
        old[...] = 99
        np.testing.assert_array_equal(as_dense(bag.grad), expected)

    def test_costs_no_array_of_the_table_s_size(self):
        bag = EmbeddingBag(100_000, 8, sparse=False, rng=0)
        bag([[1, 2]])
        bag.backward(np.ones((1, 8)))
        tracemalloc.start()
        bag.sparse = "rows"
        assert tracemalloc.get_traced_memory()[1] < 100_000
        tracemalloc.stop()

    @forms
    def test_an_error_changes_nothing(self, sparse):
        bag = run(module(sparse))
        before = as_dense(bag.grad).copy()
        with rejected(ValueError, "sparse must be False, True or 'rows', got 'csr'"):
            bag.sparse = "csr"
        assert bag.sparse is sparse or bag.sparse == sparse
        np.testing.assert_array_equal(as_dense(bag.grad), before)


class TestAssigned:
    @pytest.mark.parametrize("form", ["array", "list", "rows", "bsr", "csr", "matrix", "f8", "f2"])
    @forms
    def test_gets_the_form_and_dtype_of_the_module(self, sparse, form):
        given = np.zeros((N, D), np.float32)
        given[[2, 7]] = [[1.5], [-2]]
        rows = RowGradient([2, 7], given[[2, 7]], (N, D))
        bag = run(module(sparse))
        bag.grad = {
            "array": given, "list": given.tolist(), "rows": rows, "bsr": rows.tobsr(),
            "csr": rows.tocsr(), "matrix": scipy.sparse.csr_matrix(given),
            "f8": given.astype("f8"), "f2": given.astype("f2"),
        }[form]  # fmt: skip
        types = {False: np.ndarray, True: scipy.sparse.bsr_array, "rows": RowGradient}
        assert type(bag.grad) is types[sparse]
        assert numbers(bag).dtype == np.float32
        np.testing.assert_array_equal(as_dense(bag.grad), given)
        assert bag.row_gradient().rows.tolist() == [2, 7]
        bag([[7, 9]])
        bag.backward(np.ones((1, D)))
        given[[7, 9]] += 1
        np.testing.assert_array_equal(as_dense(bag.grad), given)
        assert bag.row_gradient().rows.tolist() == [2, 7, 9]
        bag.zero_grad()
        assert_same_bits(as_dense(run(bag).grad), run(module()).grad)

    @pytest.mark.parametrize("sparse", [False, True, "rows"])
    def test_is_the_same_object_if_it_fits(self, sparse):
        rows = RowGradient([2], np.ones((1, D), np.float32), (N, D))
        given = {False: rows.toarray(), True: rows.tobsr(), "rows": rows}[sparse]
        bag = module(sparse)
        bag.grad = given
        assert bag.grad is given
        numbers(bag)[...] = 3
        assert (bag.row_gradient().values == 3).all()
        bag([[2]])
        bag.backward(np.ones((1, D)))
        assert (as_dense(bag.grad)[2] == 4).all()
        assert (as_dense(given)[2] == 3).all()

    @pytest.mark.parametrize(
        ("grad", "error", "message"),
        [
            (
                np.ones((N, D + 1)),
                ValueError,
                f"grad must have shape ({N}, {D}), got ({N}, {D + 1})",
            ),
            (np.ones(D), ValueError, f"grad must have shape ({N}, {D}), got ({D},)"),
            (1.0, ValueError, f"grad must have shape ({N}, {D}), got ()"),
            ([[1.0]], ValueError, f"grad must have shape ({N}, {D}), got (1, 1)"),
            (np.ones((N, D), complex), TypeError, "grad must be real numbers, got complex128"),
            (np.ones((N, D), object), TypeError, "grad must be real numbers, got object"),
            ([["1"] * D] * N, TypeError, "grad must be real numbers, got <U1"),
            (
                RowGradient([0], np.ones((1, D)), (N + 1, D)),
                ValueError,
                f"grad must have shape ({N}, {D}), got ({N + 1}, {D})",
            ),
            (
                scipy.sparse.eye_array(N, D + 1),
                ValueError,
                f"grad must have shape ({N}, {D}), got ({N}, {D + 1})",
            ),
        ],
    )
    @forms
    def test_errors_come_at_once_and_change_nothing(self, sparse, grad, error, message):
        bag = run(module(sparse))
        before = bag.grad, as_dense(bag.grad).copy()
        with rejected(error, message):
            bag.grad = grad
        assert bag.grad is before[0]
        assert_same_bits(as_dense(bag.grad), before[1])

    def test_gradient_of_weights(self):
        bag = module()
        ids, weights = np.array([[1, 2]]), np.array([[1.0, 2.0]])
        bag(ids, per_sample_weights=weights)
        bag.backward(np.ones((1, D)))
        before = bag.per_sample_weights_grad
        message = "per_sample_weights_grad must be real numbers, got complex128"
        with rejected(TypeError, message, before):
            bag.per_sample_weights_grad = np.ones((1, 2), complex)
        bag.per_sample_weights_grad = [[1, 2]]
        assert bag.per_sample_weights_grad.dtype == np.float32
        bag(ids, per_sample_weights=weights)
        bag.backward(np.ones((1, D)))
        np.testing.assert_array_equal(
            bag.per_sample_weights_grad, before + np.array([[1, 2]], "f4")
        )

    def test_writes_by_index_are_found_when_the_gradient_is_assigned(self):
        bag = module()
        bag([[1]])
        bag.backward(np.ones((1, D)))
        bag.grad[5] = 1
        bag.grad = bag.grad
        assert bag.row_gradient().rows.tolist() == [1, 5]
        memory = bag.grad
        bag.zero_grad()
        assert not memory.any()


class TestTable:
    """The gradient of a module whose table, or whether it is trained, is assigned."""

    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    @forms
    def test_of_another_dtype(self, sparse, dtype):
        bag = run(module(sparse, dtype=np.float64))
        expected = as_dense(bag.grad).astype(sum_dtype(np.dtype(dtype)))
        bag.weight = bag.weight.astype(dtype)
        assert_same_bits(as_dense(bag.grad), expected)
        of_batch = module("rows", dtype=dtype)
        of_batch.weight = bag.weight.copy()
        run(of_batch, 1, seed=1)
        run(bag, 1, seed=1)
        expected[of_batch.grad.rows] += of_batch.grad.values
        assert_same_bits(as_dense(bag.grad), expected)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @forms
    def test_assigned_between_forward_and_backward(self, sparse, dtype):
        """The gradient is that of the table of the forward call, in the dtype of the new one."""
        ids, grad = next(batches(1))
        weights = np.ones(ids.shape)
        bag, expected = module(sparse), module(sparse)
        for each in (bag, expected):
            each(ids, per_sample_weights=weights)
        bag.weight = np.ones((N, D), dtype)
        for each in (bag, expected):
            each.backward(grad)
        np.testing.assert_array_equal(as_dense(bag.grad), as_dense(expected.grad))
        assert numbers(bag).dtype == dtype
        np.testing.assert_array_equal(bag.per_sample_weights_grad, expected.per_sample_weights_grad)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_assigned_before_backward_update(self, dtype):
        """The table of the module is updated, not the one that it had."""
        bag, expected = module(), module()
        ids, grad = next(batches(1))
        old = bag.weight
        before = old.copy()
        for each in (bag, expected):
            each(ids)
            each.weight = np.ones((N, D), dtype)
        bag.backward_update(grad, optim.SGD(0.5))
        expected.backward(grad)
        optim.SGD(0.5).step(expected)
        np.testing.assert_array_equal(old, before)
        assert_same_bits(bag.weight, expected.weight)

    def test_frozen_table_takes_no_step_and_no_backward(self):
        bag = run(module())
        bag([[1, 2]])
        bag.frozen = True
        before = bag.weight.copy()
        for action in (
            lambda: optim.SGD(0.5).step(bag),
            lambda: bag.row_gradient(),
            lambda: bag.backward(np.ones((1, D))),
            lambda: bag.backward_update(np.ones((1, D)), optim.SGD(0.5)),
        ):
            with pytest.raises(RuntimeError, match="frozen"):
                action()
        np.testing.assert_array_equal(bag.weight, before)
        assert_same_bits(bag.grad, run(module()).grad)
        bag.frozen = False
        with pytest.raises(RuntimeError, match="^backward needs a forward call"):
            bag.backward(np.ones((1, D)))
        optim.SGD(0.5).step(bag)
        assert (bag.weight != before).any()

    @pytest.mark.parametrize("name", ["training", "frozen"])
    @pytest.mark.parametrize("value", [1, 0, "no", None])
    def test_flags_are_checked(self, name, value):
        bag = run(module())
        bag([[1, 2]])
        with pytest.raises(TypeError, match=f"^{name} must be True or False, got {value!r}"):
            setattr(bag, name, value)
        bag.backward(np.ones((1, D)))
        with pytest.raises(TypeError, match="^freeze must be True or False, got 'no'"):
            EmbeddingBag.from_pretrained(np.ones((2, 2)), freeze="no")

    @pytest.mark.parametrize("name", ["paddingidx", "freeze", "dtype", "lr"])
    def test_names_of_no_attribute_are_refused(self, name):
        bag = module()
        with pytest.raises(AttributeError, match=name):
            setattr(bag, name, 1)

        class Mine(EmbeddingBag):
            pass

        mine = Mine(N, D)
        setattr(mine, name, 1)
        assert getattr(mine, name) == 1


@pytest.mark.compiled
class TestCost:
    """A backward pass costs what its batch does, however many went before it."""

    @pytest.mark.parametrize("mode", ["sum", "max"])
    @forms
    def test_of_memory(self, sparse, mode):
        bag = EmbeddingBag(40_000, 4, mode=mode, sparse=sparse, rng=0)
        ids = np.random.default_rng(0).integers(0, 40_000, (120, 4, 50))
        peaks = []
        for batch in ids:
            bag(batch)
            tracemalloc.start()
            bag.backward(np.ones((4, 4)))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        # The scratch memory of a sort, and the array of the first call, are there once.
        usual = sorted(peaks[5:15])[5]
        assert sorted(peaks[80:])[20] <= 1.5 * usual + 4096
        assert np.mean(peaks[80:]) <= 6 * usual + 40_000

    @forms
    def test_of_the_same_rows_again(self, sparse):
        bag = EmbeddingBag(40_000, 4, mode="sum", sparse=sparse, rng=0)
        ids = np.random.default_rng(0).integers(0, 40_000, (4, 50))
        kept = []
        tracemalloc.start()
        for _ in range(100):
            bag(ids)
            bag.backward(np.ones((4, 4)))
            kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        of_rows = 200 * (4 * 4 + 8)
        assert max(kept[50:]) <= kept[0] + max(2 * dense._FEW * 8, (row_sum._FEW + 2) * of_rows)

    def test_of_a_dense_one_does_not_depend_on_the_table(self):
        peaks = []
        for num_rows in (10_000, 1_000_000):
            bag = EmbeddingBag(num_rows, 4, mode="sum", _weight=np.zeros((num_rows, 4)))
            run_on = lambda bag=bag: (bag([[1, 2]]), bag.backward(np.ones((1, 4))))  # noqa: E731
            run_on()
            tracemalloc.start()
            for _ in range(3):
                run_on()
                optim.SGD(0.1).step(bag)
            bag.zero_grad()
            run_on()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] <= peaks[0] + 4096

    def test_of_steps_is_that_of_the_rows_since_zero_grad(self):
        bag = module()
        run(bag, 10)
        bag.zero_grad()
        bag([[1, 2]])
        bag.backward(np.ones((1, D)))
        assert bag.row_gradient().rows.tolist() == [1, 2]


def test_gradients_of_modules_in_threads_are_apart():
    """Modules with one table may go backward at the same time."""
    from concurrent.futures import ThreadPoolExecutor

    table = module().weight
    bags = [EmbeddingBag(N, D, mode="sum", sparse=form, _weight=table) for form in FORMS * 4]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda bag: run(bag, 20), bags))
    for bag in bags:
        assert_same_bits(as_dense(bag.grad), run(module(), 20).grad)


def test_a_sum_of_gradients_is_that_of_a_module():
    bag, terms = module("rows"), []
    for ids, grad in batches(5):
        bag(ids)
        bag.backward(grad)
        terms.append(ebagx.embedding_bag_backward(grad, ids, bag.weight, mode="sum", sparse="rows"))
    assert_same_bits(sum(term.weight for term in terms).toarray(), bag.grad.toarray())
