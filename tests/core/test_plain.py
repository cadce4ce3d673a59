"""Small calls go through one kernel: the same bits and the same errors as on the usual path."""

import sys
from contextlib import contextmanager
from functools import partial
from threading import Thread

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings

import ebagx
from ebagx import EmbeddingBag, embedding_bag
from ebagx._core import plain
from support import kernel_cases as cases, strategies

TABLE = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
IDS = np.array([3, 1, 4, 1, 5, 29])
STARTS = np.array([0, 2, 2])
ENDS = np.array([0, 2, 2, 6])
WEIGHTS = np.array([1, -2, 0.5, 3, 0, 1], np.float32)
CSR = scipy.sparse.csr_array((WEIGHTS, IDS, ENDS), (3, 30))


class Subclass(np.ndarray):
    pass


@contextmanager
def usual_path():
    """Let all calls go the usual way."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("ebagx.functional", "ebagx.module"):
            patch.setattr(f"{module}.plain_bags", lambda *_: None)
        yield


@contextmanager
def plain_path():
    """Let calls that go the usual way fail."""

    def fail(*_, **__):
        raise AssertionError("the call went the usual way")

    with pytest.MonkeyPatch.context() as patch:
        for module in ("ebagx.functional", "ebagx.module"):
            patch.setattr(f"{module}.bags_for", fail)
        yield


def outcome(call):
    """Return the result of a call, or its error."""
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def assert_same_outcome(call):
    with usual_path():
        expected = outcome(call)
    actual = outcome(call)
    if isinstance(expected, np.ndarray):
        cases.assert_same_bits(actual, expected)
    else:
        assert actual == expected


SMALL_CALLS = {
    "offsets": {"input": IDS, "offsets": STARTS},
    "int32": {"input": IDS.astype(np.int32), "offsets": STARTS.astype(np.int32)},
    "mixed": {"input": IDS.astype(np.int32), "offsets": STARTS},
    "last offset": {"input": IDS, "offsets": ENDS, "include_last_offset": True},
    "rows": {"input": IDS.reshape(2, 3).copy()},
    "view": {"input": IDS[:4], "offsets": STARTS[:2]},
    "weights": {"input": IDS, "offsets": STARTS, "per_sample_weights": WEIGHTS},
    "weights of rows": {"input": IDS.reshape(3, 2), "per_sample_weights": WEIGHTS.reshape(3, 2)},
    "csr_array": {"input": CSR},
    "csr_matrix": {"input": scipy.sparse.csr_matrix(CSR)},
    "lists": {"input": [[3, 1], [], [4, 1, 5, 29]]},
    "tuples": {"input": [(3, 1), (2,)]},
    "threads": {"input": IDS, "offsets": STARTS, "num_threads": 2},
}


@pytest.mark.parametrize("name", SMALL_CALLS)
@pytest.mark.parametrize("mode", ["sum", "mean", "sqrtn"])
@cases.table_dtypes
def test_the_usual_arguments_make_a_small_call(name, mode, dtype):
    arguments = {**SMALL_CALLS[name], "mode": mode}
    if dtype == np.float64 and "eight" in name:
        arguments["per_sample_weights"] = arguments["per_sample_weights"].astype(np.float64)
    if dtype == np.float64 and "csr" in name:
        arguments["input"] = arguments["input"].astype(np.float64)
    table = TABLE.astype(dtype)
    assert_same_outcome(lambda: embedding_bag(weight=table, **arguments))
    with plain_path():
        embedding_bag(weight=table, **arguments)
    lookups = {name: arguments.pop(name, None) for name in ("offsets", "per_sample_weights")}
    lookups["input"] = arguments.pop("input")
    arguments.pop("num_threads", None)
    bag = EmbeddingBag.from_pretrained(table, freeze=False, **arguments)
    for training in (True, False):
        bag.train(training)
        assert_same_outcome(lambda: bag(**lookups))
        with plain_path():
            bag(**lookups)


def with_rows(matrix, num_rows):
    """Return a matrix that was changed by hand: it lacks the end of its last rows."""
    changed = matrix.copy()
    changed._shape = num_rows, matrix.shape[1]
    return changed


def with_space(matrix):
    """Return a matrix with more entries than its rows have, as SciPy allows."""
    spacious = matrix.copy()
    spacious.indices = np.append(matrix.indices, 99).astype(matrix.indices.dtype)
    spacious.data = np.append(matrix.data, 5).astype(matrix.data.dtype)
    return spacious


WRONG_CALLS = {
    "index": {"input": np.array([1, 30]), "offsets": np.array([0])},
    "negative index": {"input": np.array([[1, -1]])},
    "index in a list": {"input": [[1], [2, 30]]},
    "integer in a list": {"input": [[1], [2**63]]},
    "bool in a list": {"input": [[1], [True]]},
    "float in a list": {"input": [[1], [2.0]]},
    "a number in a list": {"input": [[1], 2]},
    "index in CSR": {"input": scipy.sparse.csr_array((WEIGHTS, IDS + 20, ENDS), (3, 30))},
    "columns of CSR": {"input": scipy.sparse.csr_array((3, 31), dtype=np.float32)},
    "rows of CSR": {"input": with_rows(CSR, 4)},
    "first offset": {"input": IDS, "offsets": np.array([1, 2])},
    "falling offsets": {"input": IDS, "offsets": np.array([0, 3, 2])},
    "offset beyond": {"input": IDS, "offsets": np.array([0, 7])},
    "last offset": {"input": IDS, "offsets": STARTS, "include_last_offset": True},
    "no offsets": {"input": IDS},
    "no last offset": {"input": IDS, "offsets": STARTS[:0], "include_last_offset": True},
    "no bags": {"input": IDS, "offsets": STARTS[:0]},
    "offsets of rows": {"input": IDS.reshape(2, 3), "offsets": STARTS},
    "0-D input": {"input": np.array(3), "offsets": STARTS},
    "0-D without offsets": {"input": np.array(3)},
    "0-D offsets": {"input": IDS, "offsets": np.array(0)},
    "2-D offsets": {"input": IDS, "offsets": STARTS.reshape(3, 1)},
    "3-D input": {"input": IDS.reshape(1, 2, 3)},
    "float input": {"input": IDS.astype(float), "offsets": STARTS},
    "bool input": {"input": IDS.astype(bool), "offsets": STARTS},
    "float offsets": {"input": IDS, "offsets": STARTS.astype(float)},
    "few weights": {"input": IDS, "offsets": STARTS, "per_sample_weights": WEIGHTS[:5]},
    "flat weights": {"input": IDS.reshape(2, 3), "per_sample_weights": WEIGHTS},
    "weights of CSR": {"input": CSR, "per_sample_weights": WEIGHTS},
    "offsets of CSR": {"input": CSR, "offsets": STARTS},
    "masked": {"input": np.ma.masked_array(IDS, IDS == 4), "offsets": STARTS},
    "complex weights": {"input": IDS, "offsets": STARTS, "per_sample_weights": WEIGHTS * 1j},
    "empty items": {"input": np.empty(3, "V0"), "offsets": STARTS},
}
UNUSUAL_CALLS = {
    "no lookups": {"input": IDS[:0], "offsets": np.array([0, 0])},
    "no bags": {"input": IDS[:0], "offsets": STARTS[:0]},
    "empty rows": {"input": np.empty((3, 0), np.int64)},
    "no rows": {"input": np.empty((0, 3), np.int64)},
    "no lists": {"input": []},
    "empty lists": {"input": [[], []]},
    "short integers": {"input": IDS.astype(np.uint8), "offsets": STARTS.astype(np.int16)},
    "other byte order": {"input": IDS.astype(">i8"), "offsets": STARTS.astype(">i4")},
    "reversed": {"input": IDS[::-1], "offsets": STARTS},
    "float64 weights": {"input": IDS, "offsets": STARTS, "per_sample_weights": WEIGHTS * 1.0},
    "list of weights": {"input": IDS, "offsets": STARTS, "per_sample_weights": WEIGHTS.tolist()},
    "flat list": {"input": [1, 2, 3], "offsets": [0, 1]},
    "lists of NumPy's": {"input": [[np.int64(3), 1], [2]]},
    "lists of arrays": {"input": [IDS, IDS[:2]]},
    "integers in CSR": {"input": CSR.astype(np.int64)},
    "unused space in CSR": {"input": with_space(CSR)},
    "CSC": {"input": CSR.tocsc()},
    "padding": {"input": IDS, "offsets": STARTS, "padding_idx": 1},
    "skip": {"input": IDS + 1, "offsets": STARTS, "invalid": "skip"},
    "default": {"input": IDS, "offsets": STARTS, "default_row": 2},
    "max_norm": {"input": IDS, "offsets": STARTS, "max_norm": 1.0},
    "max": {"input": IDS, "offsets": STARTS, "mode": "max"},
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_wrong_calls_have_the_errors_of_the_usual_path(name):
    arguments = WRONG_CALLS[name]
    assert_same_outcome(lambda: embedding_bag(weight=TABLE, **arguments))
    with pytest.raises((IndexError, ValueError, TypeError)):
        embedding_bag(weight=TABLE, **arguments)
    last = {name: value for name, value in arguments.items() if name == "include_last_offset"}
    lookups = {name: value for name, value in arguments.items() if name not in last}
    for training in (True, False):
        bag = EmbeddingBag.from_pretrained(TABLE, **last).train(training)
        assert_same_outcome(partial(bag, **lookups))


@pytest.mark.parametrize("name", UNUSUAL_CALLS)
def test_unusual_calls_have_the_results_of_the_usual_path(name):
    assert_same_outcome(lambda: embedding_bag(weight=TABLE.copy(), **UNUSUAL_CALLS[name]))
    embedding_bag(weight=TABLE.copy(), **UNUSUAL_CALLS[name])  # does not raise


LAYOUTS = {
    "columns": np.asfortranarray(TABLE),
    "part": TABLE[:, :5],
    "backwards": TABLE[::-1],
    "strided": TABLE[:, ::2],
    "no rows": TABLE[:0],
    "no columns": TABLE[:, :0],
    "other byte order": TABLE.astype(">f4"),
    "integers": TABLE.astype(int),
    "1-D": TABLE[0],
    "broadcast": np.broadcast_to(TABLE[:1], (30, 8)),
    "complex": TABLE.astype(complex),
    "subclass": TABLE.view(Subclass),
}


@pytest.mark.parametrize("table", LAYOUTS.values(), ids=LAYOUTS)
def test_tables_of_any_layout(table):
    assert_same_outcome(lambda: embedding_bag(IDS, table, STARTS))
    assert_same_outcome(lambda: embedding_bag(np.empty((2, 0), int), table))


@given(strategies.calls())
@settings(max_examples=200)
def test_any_call(call):
    assert_same_outcome(lambda: embedding_bag(**call.arguments))


@pytest.mark.parametrize("num_bags", [1, 255, 256, 257])
@pytest.mark.parametrize("length", [1, 90, 100])
def test_sizes_around_the_limits(num_bags, length):
    rng = np.random.default_rng(1)
    lookups = rng.integers(30, size=(num_bags, length))
    assert_same_outcome(lambda: embedding_bag(lookups, TABLE))
    assert_same_outcome(lambda: embedding_bag(lookups.tolist(), TABLE))
    flat, offsets = lookups.reshape(-1).copy(), np.arange(0, lookups.size, length)
    assert_same_outcome(lambda: embedding_bag(flat, TABLE, offsets))


@pytest.mark.parametrize("sparse", [False, True, "rows"])
@pytest.mark.parametrize("name", SMALL_CALLS)
def test_backward_after_a_small_call(name, sparse):
    arguments = {n: v for n, v in SMALL_CALLS[name].items() if n != "num_threads"}
    last = {"include_last_offset": arguments.pop("include_last_offset", False)}

    def gradients():
        bag = EmbeddingBag(30, 8, rng=0, sparse=sparse, **last)
        grad = np.ones_like(bag(**arguments)) * np.arange(8)
        bag.backward(grad)
        of_table = bag.grad if not sparse else bag.row_gradient().toarray()
        bag(**arguments)
        bag.backward_update(grad, ebagx.optim.Adagrad(0.1))
        return of_table, bag.per_sample_weights_grad, bag.weight

    with usual_path():
        expected = gradients()
    for actual, wanted in zip(gradients(), expected, strict=True):
        assert (actual is None) == (wanted is None)
        if wanted is not None:
            cases.assert_same_bits(actual, wanted)


def test_changes_of_a_module_take_effect_at_once():
    bag = EmbeddingBag(30, 8, mode="sum", rng=0).eval()
    call = IDS, STARTS
    bag(*call)
    for name, value in {
        "weight": TABLE.astype(np.float64),
        "mode": "mean",
        "padding_idx": 1,
        "default_row": 3,
        "invalid": "skip",
        "max_norm": 0.5,
    }.items():
        before = bag(*call)
        setattr(bag, name, value)
        assert_same_outcome(lambda: bag(*call))
        if name != "invalid":
            assert not np.array_equal(bag(*call), before)
    bag.include_last_offset = True
    with pytest.raises(ValueError, match=r"offsets\[-1\]"):
        bag(*call)


def test_an_eval_call_keeps_nothing():
    bag = EmbeddingBag(30, 8, rng=0).eval()
    pooled = bag(IDS, STARTS)
    with pytest.raises(RuntimeError, match="forward call in training mode"):
        bag.backward(np.ones_like(pooled))


def test_a_file_that_was_cut_short(tmp_path):
    def mapped(name, array):
        np.save(tmp_path / name, array)
        return np.load(tmp_path / name, mmap_mode="r")

    plain = {"input": IDS, "offsets": STARTS, "weight": TABLE, "per_sample_weights": WEIGHTS}
    for name, array in plain.items():
        for view in (lambda array: array, np.asarray, lambda array: np.asarray(array)[:]):
            arguments = {**plain, name: view(mapped(f"{name}.npy", array))}
            assert_same_outcome(lambda: embedding_bag(**arguments))  # noqa: B023
            with open(tmp_path / f"{name}.npy", "r+b") as file:
                file.truncate(10)
            with pytest.raises(ValueError, match="cut short"):
                embedding_bag(**arguments)


def test_the_file_of_a_modules_table_was_cut_short(tmp_path):
    np.save(tmp_path / "table.npy", TABLE)
    bag = EmbeddingBag.from_pretrained(np.load(tmp_path / "table.npy", mmap_mode="r"))
    assert_same_outcome(lambda: bag(IDS, STARTS))
    with open(tmp_path / "table.npy", "r+b") as file:
        file.truncate(10)
    with pytest.raises(ValueError, match="cut short"):
        bag(IDS, STARTS)


def test_inputs_are_not_kept():
    bag = EmbeddingBag(30, 8, rng=0).eval()
    arrays = IDS.copy(), STARTS.copy(), WEIGHTS.copy()
    lists = [[1, 2], [300, 2**40]]
    counts = [sys.getrefcount(array) for array in (*arrays, bag.weight, lists[1])]
    for _ in range(100):
        bag(*arrays)
        for wrong in (arrays[0] + 30, arrays[0].astype(float)):
            outcome(lambda: bag(wrong, arrays[1]))  # noqa: B023
        outcome(lambda: bag(lists))
    assert [sys.getrefcount(array) for array in (*arrays, bag.weight, lists[1])] == counts


def test_threads_call_while_weights_are_assigned():
    tables = [np.full((30, 8), value, np.float32) for value in range(8)]
    bag = EmbeddingBag.from_pretrained(tables[0], mode="sum")
    wrong, done = [], []

    def call():
        while not done:
            pooled = bag(IDS, STARTS)
            value = pooled[0, 0] / 2
            if value not in range(8) or not np.array_equal(pooled[2], np.full(8, 4 * value)):
                wrong.append(pooled)

    threads = [Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3000):
        bag.weight = tables[number % 8]
    done.append(True)
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_change_the_arrays_of_a_call():
    indices, offsets = IDS.copy(), STARTS.copy()
    done = []

    def change():
        rng = np.random.default_rng(0)
        while not done:
            indices[:] = rng.integers(-(2**60), 2**60, len(indices))
            offsets[:] = rng.integers(-10, 2**40, len(offsets))
            indices[:], offsets[:] = IDS, STARTS

    thread = Thread(target=change)
    thread.start()
    try:
        for _ in range(3000):
            found = outcome(lambda: embedding_bag(indices, TABLE, offsets))
            assert isinstance(found, np.ndarray) or found[0] in (
                *(IndexError, ValueError, RuntimeError),
            )
    finally:
        done.append(True)
        thread.join()


LARGE_CALLS = {
    "offsets": {"offsets": np.arange(0, 60_000, 30)},
    "int32": {"offsets": np.arange(0, 60_000, 30, np.int32), "dtype": np.int32},
    "mixed": {"offsets": np.arange(0, 60_000, 30, np.int32)},
    "last offset": {"offsets": np.arange(0, 60_001, 30), "include_last_offset": True},
    "rows": {"shape": (2000, 30)},
    "one bag": {"offsets": np.array([0])},
    "weights": {"offsets": np.arange(0, 60_000, 30), "weighted": True},
}


@pytest.mark.parametrize("name", LARGE_CALLS)
@pytest.mark.parametrize("num_threads", [1, 2])
@cases.table_dtypes
def test_large_calls_of_plain_arguments(name, num_threads, dtype):
    """They are shared by threads, and `backward` gets the offsets that the kernel has written."""
    options = dict(LARGE_CALLS[name])
    rng, kind = np.random.default_rng(0), options.pop("dtype", np.int64)
    lookups = rng.integers(30, size=options.pop("shape", 60_000)).astype(kind)
    if options.pop("weighted", False):
        sums = np.float64 if dtype == np.float64 else np.float32
        options["per_sample_weights"] = rng.random(60_000).astype(sums)
    table = TABLE.astype(dtype)

    def pool():
        return embedding_bag(lookups, table, mode="mean", num_threads=num_threads, **options)

    assert_same_outcome(pool)
    with plain_path():
        pooled = pool()
    assert pooled.nbytes < plain.SMALL_BYTES or pooled.ctypes.data % 64 == 0
    last = options.pop("include_last_offset", False)
    bag = EmbeddingBag.from_pretrained(table, freeze=False, include_last_offset=last)

    def gradient():
        bag.zero_grad()
        bag.backward(np.ones_like(bag(lookups, **options)))
        return bag.grad

    assert_same_outcome(gradient)


def test_work_of_several_pieces_goes_the_usual_way(monkeypatch):
    """Ctrl-C takes effect between pieces."""
    monkeypatch.setattr(plain, "is_one_piece", lambda work: work < 8 * 50_000)
    bag = EmbeddingBag.from_pretrained(TABLE)
    for count, is_done in ((50_000, False), (49_999, True)):
        bags = np.zeros(count, np.int64), np.array([0]), None, False
        assert (plain.pool_plainly(bags, bag._table, bag._options) is not None) == is_done


def test_so_many_bags_that_int32_has_no_numbers_for_them_go_the_usual_way():
    bags = np.empty((2**28 + 1, 0), np.int32), None, None, False
    table = ebagx._core.table.Table.of(TABLE[:, :1].copy())
    assert plain.pool_plainly(bags, table, EmbeddingBag.from_pretrained(TABLE)._options) is None


def test_nothing_is_allocated_in_vain(monkeypatch):
    monkeypatch.setattr(plain, "aligned_empty", None)
    ids = np.zeros((500, 20), np.int64)
    with pytest.raises(ValueError, match="offsets"):
        embedding_bag(ids.ravel(), TABLE)
    embedding_bag(ids.astype(np.uint32), TABLE)
    for weights in (np.ones(ids.shape), np.ones(ids.shape, np.float32).view(Subclass)):
        embedding_bag(ids, TABLE, per_sample_weights=weights, mode="sum")
    embedding_bag(scipy.sparse.csr_array(np.ones((500, 30))), TABLE)
