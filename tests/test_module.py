"""Test the class: parameters, state, and the state between forward and backward."""

import copy
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import EmbeddingBag, RowGradient, embedding_bag, embedding_bag_backward
from ebagx._core.dtypes import sum_dtype
from support.kernel_cases import TABLE_DTYPES
from support.strategies import MODES, WEIGHTED_MODES

BAGS = [[3, 1, 1], [], [0, 2], [2]]
GRAD = np.arange(1.0, 9.0).reshape(4, 2)
GRAD_TYPES = {False: np.ndarray, True: scipy.sparse.bsr_array, "rows": RowGradient}


def dense(gradient):
    return gradient if isinstance(gradient, np.ndarray) else gradient.toarray()


class TestInitialTable:
    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    def test_is_standard_normal(self, dtype):
        bag = EmbeddingBag(400, 100, dtype=dtype, rng=0)
        values = bag.weight.astype(float)
        assert bag.weight.dtype == dtype
        assert bag.weight.shape == (400, 100)
        assert abs(values.mean()) < 0.02
        assert abs(values.std() - 1) < 0.02

    def test_is_float32_by_default(self):
        assert EmbeddingBag(2, 3).weight.dtype == np.float32

    @pytest.mark.parametrize("seed", ["x", -1])
    def test_bad_rng(self, seed):
        with pytest.raises(ValueError, match=f"^rng must be None, .* got {seed!r}$"):
            EmbeddingBag(5, 4, rng=seed)

    def test_comes_from_rng(self):
        first, again, other = (EmbeddingBag(5, 4, rng=rng).weight for rng in (7, 7, 8))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()
        generator = np.random.default_rng(7)
        np.testing.assert_array_equal(EmbeddingBag(5, 4, rng=generator).weight, first)
        assert (EmbeddingBag(5, 4, rng=generator).weight != first).any()

    @pytest.mark.parametrize("padding_idx", [3, -2])
    def test_padding_row_is_zero(self, padding_idx):
        bag = EmbeddingBag(5, 4, padding_idx=padding_idx)
        assert bag.padding_idx == 3
        np.testing.assert_array_equal(bag.weight.any(axis=1), [True, True, True, False, True])

    def test_padding_row_of_a_given_table_stays(self):
        table = np.ones((3, 2))
        EmbeddingBag(3, 2, padding_idx=1, _weight=table)
        EmbeddingBag.from_pretrained(table, padding_idx=1)
        np.testing.assert_array_equal(table, np.ones((3, 2)))

    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
    def test_may_be_empty(self, shape):
        np.testing.assert_array_equal(EmbeddingBag(*shape)([[], []]), np.zeros((2, shape[1])))

    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    @pytest.mark.parametrize("place", [np.s_[:, :], np.s_[:, 1:4], np.s_[:, ::2]])
    def test_reset_parameters_is_in_place(self, dtype, place):
        whole = np.zeros((6, 8), dtype)
        table = whole[place]
        bag = EmbeddingBag(*table.shape, padding_idx=0, _weight=table)
        bag.reset_parameters(rng=0)
        np.testing.assert_array_equal(table[0], np.zeros(table.shape[1]))
        assert (table[1:] != 0).all()
        assert np.count_nonzero(whole) == np.count_nonzero(table)


class TestWeight:
    def test_is_shared(self):
        table = np.ones((3, 2))
        assert EmbeddingBag(3, 2, _weight=table).weight is table

    def test_may_be_assigned(self):
        bag = EmbeddingBag(3, 2)
        bag.weight = table = np.eye(3, 2)
        assert bag.weight is table
        np.testing.assert_array_equal(bag([[0], [1]]), np.eye(2))

    def test_of_any_sort(self):
        np.testing.assert_array_equal(EmbeddingBag(1, 2, _weight=[[1.0, 2.0]])([[0]]), [[1, 2]])

    def test_state_is_not_copied_but_loaded_in_place(self):
        table = np.zeros((3, 2))
        bag = EmbeddingBag(3, 2, _weight=table)
        assert bag.state_dict()["weight"] is table
        bag.load_state_dict({"weight": np.ones((3, 2))})
        assert bag.weight is table
        np.testing.assert_array_equal(table, np.ones((3, 2)))

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_copies_are_independent(self, copied):
        bag = EmbeddingBag(4, 2, mode="max", padding_idx=1, sparse="rows", rng=0)
        twin = copied(bag)
        np.testing.assert_array_equal(twin(BAGS), bag(BAGS))
        bag.weight[:] = 0
        assert twin.weight.any()
        assert repr(twin) == repr(bag)


class TestFromPretrained:
    def test_freezes_by_default(self):
        bag = EmbeddingBag.from_pretrained(np.ones((4, 2)))
        assert bag.frozen
        bag(BAGS)
        with pytest.raises(RuntimeError, match="frozen table"):
            bag.backward(GRAD)

    def test_unfrozen(self):
        bag = EmbeddingBag.from_pretrained(np.ones((4, 2)), freeze=False)
        bag(BAGS)
        bag.backward(GRAD)
        assert bag.grad.shape == (4, 2)

    def test_passes_every_argument_on(self):
        table = np.ones((4, 2))
        bag = EmbeddingBag.from_pretrained(table, True, 1.5, 1.0, True, "sum", "rows", True, -1)
        assert repr(bag) == (
            "EmbeddingBag(4, 2, max_norm=1.5, norm_type=1.0, scale_grad_by_freq=True, "
            "mode='sum', padding_idx=3)"
        )
        assert bag.sparse == "rows"
        assert bag.include_last_offset
        assert bag.weight is table

    def test_read_only(self):
        table = np.arange(8.0).reshape(4, 2)
        table.flags.writeable = False
        bag = EmbeddingBag.from_pretrained(table)
        assert np.shares_memory(bag.weight, table)
        np.testing.assert_array_equal(bag([[1, 3]]), [[4, 5]])


@pytest.mark.parametrize("sparse", GRAD_TYPES)
@pytest.mark.parametrize("by_freq", [False, True])
@pytest.mark.parametrize("padding_idx", [None, -2])
@pytest.mark.parametrize("mode", MODES)
class TestForwardAndBackward:
    def lookups(self, mode):
        flat, ends = np.concatenate(BAGS).astype(int), np.cumsum([0, *map(len, BAGS)])
        weights = np.linspace(1, 2, len(flat)) if mode in WEIGHTED_MODES else None
        return {"input": flat, "offsets": ends, "per_sample_weights": weights}

    def bag(self, **options):
        return EmbeddingBag(4, 2, include_last_offset=True, dtype=np.float64, rng=0, **options)

    def test_equals_the_functional_form(self, mode, padding_idx, by_freq, sparse):
        options = {"mode": mode, "padding_idx": padding_idx, "scale_grad_by_freq": by_freq}
        bag, lookups = self.bag(sparse=sparse, **options), self.lookups(mode)
        arguments = {"weight": bag.weight, "include_last_offset": True, **lookups, **options}
        np.testing.assert_array_equal(bag(**lookups), embedding_bag(**arguments))
        bag.backward(GRAD)
        expected = embedding_bag_backward(GRAD, **arguments)
        assert type(bag.grad) is GRAD_TYPES[sparse]
        np.testing.assert_array_equal(dense(bag.grad), expected.weight)
        if mode in WEIGHTED_MODES:
            np.testing.assert_array_equal(bag.per_sample_weights_grad, expected.per_sample_weights)
        else:
            assert bag.per_sample_weights_grad is None

    def test_gradients_add_up(self, mode, padding_idx, by_freq, sparse):
        bag = self.bag(
            mode=mode, padding_idx=padding_idx, scale_grad_by_freq=by_freq, sparse=sparse
        )
        bag(**self.lookups(mode))
        bag.backward(GRAD)
        first, first_weights = bag.grad, bag.per_sample_weights_grad
        before = dense(first).copy()
        bag(**self.lookups(mode))
        bag.backward(2 * GRAD)
        assert type(bag.grad) is GRAD_TYPES[sparse]
        np.testing.assert_allclose(dense(bag.grad), 3 * before, rtol=1e-15)
        # A dense gradient is added to in place, as PyTorch does.
        assert (bag.grad is first) is (sparse is False)
        np.testing.assert_array_equal(
            dense(first), dense(bag.grad) if bag.grad is first else before
        )
        if mode in WEIGHTED_MODES:
            np.testing.assert_allclose(bag.per_sample_weights_grad, 3 * first_weights, rtol=1e-15)
        bag.zero_grad()
        assert bag.grad is None
        assert bag.per_sample_weights_grad is None


class TestAccumulatedSparseGradient:
    def test_stays_canonical(self):
        bag = EmbeddingBag(6, 2, mode="sum", sparse=True, dtype=np.float64)
        for lookups in ([[5, 1]], [[1, 0]], [[]]):
            bag(lookups)
            bag.backward(np.ones((1, 2)))
        assert bag.grad.blocksize == (1, 2)
        assert bag.grad.has_canonical_format
        np.testing.assert_array_equal(np.diff(bag.grad.indptr), [1, 1, 0, 0, 0, 1])
        np.testing.assert_array_equal(bag.grad.toarray()[:, 0], [1, 2, 0, 0, 0, 1])

    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    def test_rows(self, dtype):
        bag = EmbeddingBag(6, 2, mode="sum", sparse="rows", dtype=dtype)
        for lookups in ([[5, 1, 1]], [[1, 0]], np.array([[2]], np.int32)):
            bag(lookups)
            bag.backward(np.ones((1, 2)))
        np.testing.assert_array_equal(bag.grad.rows, [0, 1, 2, 5])
        np.testing.assert_array_equal(bag.grad.values[:, 0], [1, 3, 1, 1])
        assert bag.grad.values.dtype == sum_dtype(dtype)


class TestTrainAndEval:
    def test_return_self(self):
        bag = EmbeddingBag(4, 2)
        assert bag.training
        assert bag.eval() is bag
        assert not bag.training
        assert bag.train() is bag
        assert bag.training
        assert not bag.train(False).training

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_eval_keeps_nothing_for_backward(self, when):
        bag = EmbeddingBag(4, 2)
        if when == "before":
            bag.eval()
        bag(BAGS)
        bag.eval().train()
        with pytest.raises(RuntimeError, match="needs a forward call in training mode"):
            bag.backward(GRAD)

    def test_one_object_serves_many_threads_in_eval(self):
        bag = EmbeddingBag(200, 50, rng=0).eval()
        batches = [np.random.default_rng(seed).integers(0, 200, (40, 30)) for seed in range(40)]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(bag, batches))
        for batch, pooled in zip(batches, results, strict=True):
            np.testing.assert_array_equal(pooled, embedding_bag(batch, bag.weight))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "EmbeddingBag(4, 2, mode='mean')"),
        (
            {
                "max_norm": 1,
                "norm_type": 1.0,
                "scale_grad_by_freq": True,
                "mode": "sum",
                "padding_idx": 3,
                "sparse": True,
                "include_last_offset": True,
            },
            "EmbeddingBag(4, 2, max_norm=1, norm_type=1.0, scale_grad_by_freq=True, mode='sum', "
            "padding_idx=3)",
        ),
        ({"mode": "sqrtn", "padding_idx": -4}, "EmbeddingBag(4, 2, mode='sqrtn', padding_idx=0)"),
    ],
)
def test_repr(options, expected):
    assert repr(EmbeddingBag(4, 2, **options)) == expected


def test_backward_uses_the_settings_of_its_forward_call():
    bag = EmbeddingBag(5, 2, mode="sum", rng=0)
    bag([[0, 1]])
    bag.mode, bag.padding_idx = "mean", 1
    bag.backward(np.ones((1, 2)))
    np.testing.assert_array_equal(bag.grad, [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]])


def test_a_copy_leaves_the_last_batch_behind():
    bag = EmbeddingBag(5, 2, rng=0)
    bag([[0, 1]])
    with pytest.raises(RuntimeError, match="^backward needs a forward call"):
        copy.deepcopy(bag).backward(np.ones((1, 2)))
    bag.backward(np.ones((1, 2)))


def test_backward_update_adds_gradients_of_weights_before_rows_change():
    bag = ebagx.EmbeddingBag(5, 2, mode="sum", rng=0)
    before = bag.weight.copy()
    bag([[1, 2]], per_sample_weights=np.ones((1, 2)))
    bag.backward_update(np.ones((1, 2)), ebagx.optim.Adagrad(0.5))
    np.testing.assert_allclose(bag.per_sample_weights_grad, before[[1, 2]].sum(axis=1)[None])


def test_backward_update_of_a_read_only_table_changes_nothing():
    table = np.ones((5, 2))
    table.flags.writeable = False
    bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False)
    bag([[1, 2]])
    optimizer = ebagx.optim.Adagrad()
    with pytest.raises(ValueError, match="weight is read-only"):
        bag.backward_update(np.ones((1, 2)), optimizer)
    assert optimizer.state_dict()["squares"].size == 0
    with pytest.raises(RuntimeError, match="backward needs a forward call"):
        ebagx.EmbeddingBag(5, 2).backward_update(np.ones((1, 2)), optimizer)


class TestAssignedAttributes:
    """An attribute is checked when it is set, as the constructor checks it, and not later."""

    @pytest.mark.parametrize(
        ("name", "value", "error", "message"),
        [
            ("mode", "average", ValueError, "mode must be one of"),
            ("num_threads", -5, ValueError, "num_threads must be at least 1 or None, got -5"),
            ("num_threads", 0, ValueError, "num_threads must be at least 1 or None, got 0"),
            ("num_threads", "2", TypeError, "num_threads must be an integer"),
            ("max_norm", -1, ValueError, "max_norm must be at least 0 or None, got -1"),
            ("sparse", "bsr", ValueError, "sparse must be False, True or 'rows'"),
            ("padding_idx", 5, ValueError, "padding_idx = 5 is out of range for 5 embeddings"),
            ("scale_grad_by_freq", "no", TypeError, "scale_grad_by_freq must be True or False"),
            ("include_last_offset", 2, TypeError, "include_last_offset must be True or False"),
            ("num_embeddings", 7, AttributeError, ".*num_embeddings.* has no setter"),
            ("embedding_dim", 7, AttributeError, ".*embedding_dim.* has no setter"),
        ],
    )
    def test_errors(self, name, value, error, message):
        bag = EmbeddingBag(5, 2, rng=0)
        before = bag(BAGS), getattr(bag, name)
        with pytest.raises(error, match=f"^{message}"):
            setattr(bag, name, value)
        assert getattr(bag, name) == before[1]
        np.testing.assert_array_equal(bag(BAGS), before[0])
        if error is not AttributeError:
            with pytest.raises(error, match=f"^{message}"):
                EmbeddingBag(5, 2, **{name: value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("padding_idx", -1),
            ("padding_idx", np.int8(3)),
            ("mode", "max"),
            ("mode", "sqrtn"),
            ("max_norm", 0.5),
            ("norm_type", 1.0),
            ("scale_grad_by_freq", np.True_),
            ("include_last_offset", np.True_),
            ("num_threads", np.int64(1)),
            ("sparse", np.True_),
            ("sparse", "rows"),
        ],
    )
    def test_an_assigned_module_is_like_a_made_one(self, name, value):
        table = np.random.default_rng(0).standard_normal((5, 2))
        also = {"max_norm": 0.5} if name == "norm_type" else {}
        made = EmbeddingBag(5, 2, _weight=table.copy(), **{name: value}, **also)
        assigned = EmbeddingBag(5, 2, _weight=table.copy(), **also)
        setattr(assigned, name, value)
        assert repr(assigned) == repr(made)
        assert getattr(assigned, name) == getattr(made, name)
        assert type(getattr(assigned, name)) is type(getattr(made, name))
        results = []
        for bag in (made, assigned):
            pooled = bag([4, 3, 3, 0], [0, 2, 4] if bag.include_last_offset else [0, 2])
            bag.backward(np.ones_like(pooled))
            results.append((pooled, bag.row_gradient().toarray(), bag.weight))
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_backward_has_the_options_of_its_forward_call(self):
        bag = EmbeddingBag(5, 2, mode="sum", rng=0)
        bag(BAGS)
        bag.mode = "max"
        bag.backward(GRAD)
        expected = EmbeddingBag(5, 2, mode="sum", rng=0)
        expected(BAGS)
        expected.backward(GRAD)
        np.testing.assert_array_equal(bag.grad, expected.grad)

    def test_training_and_frozen(self):
        bag = EmbeddingBag(5, 2)
        bag(BAGS)
        bag.training = False
        bag.training = True
        with pytest.raises(RuntimeError, match="^backward needs a forward call"):
            bag.backward(GRAD)


@pytest.mark.parametrize("shape", [(5, 0), (0, 2), (5, 2)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sparse", [False, True, "rows"])
def test_steps_without_lookups(shape, mode, sparse):
    bag = EmbeddingBag(*shape, mode=mode, sparse=sparse)
    optimizer = ebagx.optim.Adagrad()
    before = bag.weight.copy()
    for _ in range(2):
        bag([[], []])
        bag.backward(np.ones((2, shape[1])))
        bag.zero_grad()
        bag([[], []])
        bag.backward(np.ones((2, shape[1])))
        assert bag.grad.dtype == np.float32 if sparse != "rows" else True
        optimizer.step(bag)
    np.testing.assert_array_equal(bag.weight, before)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_in_the_memory_that_a_call_writes(mode):
    def module():
        bag = EmbeddingBag(5, 2, mode=mode, rng=0)
        bag(BAGS)
        return bag

    expected, bag = module(), module()
    expected.backward_update(expected.weight[:4].copy(), ebagx.optim.SGD(0.5))
    bag.backward_update(bag.weight[:4], ebagx.optim.SGD(0.5))
    np.testing.assert_array_equal(bag.weight, expected.weight)
    for each in (expected, bag):
        each(BAGS)
        each.backward(GRAD)
        each(BAGS)
    expected.backward(expected.grad[:4].copy())
    bag.backward(bag.grad[:4])
    np.testing.assert_array_equal(bag.grad, expected.grad)


@pytest.mark.parametrize("sizes", [(2**40, 2**40), (2**62, 1)])
def test_tables_beyond_any_memory(sizes):
    with pytest.raises(MemoryError):
        EmbeddingBag(*sizes)
    with pytest.raises(ValueError, match="^num_embeddings must be at most 9223372036854775807"):
        EmbeddingBag(2**70, 0)


class TestStateDict:
    @pytest.mark.parametrize("dtype", TABLE_DTYPES, ids=str)
    @pytest.mark.parametrize("compressed", [False, True])
    def test_goes_through_files_of_numpy(self, tmp_path, dtype, compressed):
        bag, other = EmbeddingBag(5, 2, rng=0, dtype=dtype), EmbeddingBag(5, 2, rng=1, dtype=dtype)
        save = np.savez_compressed if compressed else np.savez
        save(tmp_path / "state.npz", **bag.state_dict())
        memory = other.weight
        with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
            other.load_state_dict(state)
        assert other.weight is memory
        np.testing.assert_array_equal(
            other.weight.view(np.uint8), bag.weight.view(np.uint8), strict=True
        )
        np.testing.assert_array_equal(other(BAGS), bag(BAGS))

    @pytest.mark.parametrize(
        ("state", "error", "message"),
        [
            (None, TypeError, "state_dict must be a mapping, got NoneType"),
            (["weight"], TypeError, "state_dict must be a mapping, got list"),
            ({}, KeyError, "\"state_dict must have the one name 'weight', got []\""),
            ({1: 2, "a": 3}, KeyError, "\"state_dict must have the one name 'weight', got ['1', "),
            ({"weight": None}, ValueError, "weight must have shape (5, 2), got ()"),
            ({"weight": np.ones((2, 5), "f4")}, ValueError, "weight must have shape (5, 2), got ("),
            ({"weight": np.ones((5, 2))}, TypeError, "weight must have dtype float32, got float64"),
            (
                {"weight": np.ones((5, 2), "V4")},
                TypeError,
                "weight must have dtype float32, got |",
            ),
            (
                {"weight": np.ones((5, 2), "i4")},
                TypeError,
                "weight must have dtype float32, got i",
            ),
        ],
    )
    def test_errors_change_nothing(self, state, error, message):
        bag = EmbeddingBag(5, 2, rng=0)
        before = bag.weight.copy()
        with pytest.raises(error, match=f"^{re.escape(message)}"):
            bag.load_state_dict(state)
        np.testing.assert_array_equal(bag.weight, before)

    def test_two_bytes_without_a_type_are_no_float16(self):
        bag = EmbeddingBag(5, 2, rng=0, dtype=np.float16)
        with pytest.raises(TypeError, match="^weight must have dtype float16, got"):
            bag.load_state_dict({"weight": np.ones((5, 2), "V2")})

    def test_of_the_table_itself(self):
        bag = EmbeddingBag(500, 20, rng=0)
        before = bag.weight.copy()
        bag.load_state_dict(bag.state_dict())
        np.testing.assert_array_equal(bag.weight, before)
        bag.load_state_dict({"weight": bag.weight[::-1]})
        np.testing.assert_array_equal(bag.weight, before[::-1])

    def test_keeps_gradients(self):
        bag = EmbeddingBag(5, 2, mode="sum", rng=0)
        bag(BAGS)
        bag.backward(GRAD)
        before = bag.grad.copy()
        bag.load_state_dict({"weight": np.ones((5, 2), np.float32)})
        np.testing.assert_array_equal(bag.grad, before)


def test_copies_of_a_module_and_its_table_stay_together():
    bag = EmbeddingBag(5, 2, rng=0)
    for pair in ((bag, bag.weight), (bag.weight, bag)):
        other, weight = sorted(copy.deepcopy(pair), key=lambda thing: isinstance(thing, np.ndarray))
        assert other.weight is weight
        assert weight is not bag.weight
