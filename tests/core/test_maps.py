"""Advice on memory maps: given once for each map, for the pages of a batch, and free for others."""

import gc
import mmap
import os
import sys
import threading

import numpy as np
import pytest

import ebagx
from ebagx import optim
from ebagx._core import cpu, maps
from ebagx._core.maps import Use
from ebagx._core.memory import find_map
from ebagx._core.modes import EXTREME_MODES, MODES
from ebagx._core.table import Table
from support.errors import rejected
from support.optim_cases import MAKERS

PAGE = mmap.PAGESIZE
N, D = 4000, 100
IDS = np.random.default_rng(0).integers(0, N, (30, 7))

linux = pytest.mark.skipif(sys.platform != "linux", reason="the system's figures are Linux's")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "table"
    np.random.default_rng(1).standard_normal((N, D)).astype(np.float32).tofile(path)
    return path


@pytest.fixture
def table(path):
    return np.memmap(path, np.float32, "r+", shape=(N, D))


@pytest.fixture
def given(monkeypatch):
    """Return the list of the advice that is given on whole maps."""
    calls, advise = [], maps._advise

    def note(mapped, name):
        calls.append((mapped, name))
        advise(mapped, name)

    monkeypatch.setattr(maps, "_advise", note)
    return calls


@pytest.fixture
def asked(monkeypatch):
    """Return the list of the rows that the system is asked for; it says that all were missing."""
    calls = []

    def note(array, rows, in_memory):
        assert in_memory
        calls.append((array, np.unique(rows)))
        return True

    monkeypatch.setattr(maps, "read_ahead", note)
    return calls


def names(given, array):
    mapped = find_map(array)
    return [name for other, name in given if other is mapped]


def test_each_map_is_advised_once(given, table):
    bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, sparse="rows")
    for _ in range(3):
        bag(IDS)
        bag.backward_update(np.ones((30, D), np.float32), optim.SGD())
        ebagx.embedding_bag(IDS, table)
        ebagx.embedding_bag(IDS % 10, table[5:, ::2])
    assert names(given, table) == ["MADV_RANDOM"]


def test_maps_can_be_closed(table):
    """The advice keeps no map open."""
    Table.of(table)
    mapped = find_map(table)
    assert mapped in maps._advised
    count = len(maps._advised)
    del mapped, table
    gc.collect()
    assert len(maps._advised) <= count


def test_ordinary_arrays_get_no_advice(given, asked):
    table = np.ones((N, D), np.float32)
    for array in (table, table[1:], np.asfortranarray(table)):
        bag = ebagx.EmbeddingBag.from_pretrained(array.copy(order="K"), freeze=False, max_norm=1.0)
        bag(IDS)
        bag.prefetch(IDS)
        bag.backward_update(np.ones((30, D), np.float32), optim.Adagrad(weight_decay=0.1))
        assert find_map(array) is None
    assert given == []
    assert asked == []


class TestEachUseAsksForItsRows:
    """Every pass asks for the rows that it will read, before it reads them."""

    def rows(self, asked, array=None):
        return [rows.tolist() for a, rows in asked if array is None or np.shares_memory(a, array)]

    def test_forward(self, table, asked):
        ebagx.embedding_bag(IDS, table)
        ebagx.EmbeddingBag.from_pretrained(table, mode="max")(IDS)
        assert self.rows(asked) == [np.unique(IDS).tolist()] * 2

    def test_max_norm(self, table, asked):
        ebagx.embedding_bag(IDS, table, max_norm=1.0)
        # First for the norms, then for the sums: they are asked for only if missing again.
        assert self.rows(asked) == [np.unique(IDS).tolist()] * 2

    def test_gradient_of_weights(self, table, asked):
        grad, weights = np.ones((30, D)), np.ones(IDS.shape)
        ebagx.embedding_bag_backward(grad, IDS, table, sparse="rows", per_sample_weights=weights)
        assert self.rows(asked) == [np.unique(IDS).tolist()]

    def test_winners(self, table, asked):
        ebagx.embedding_bag_backward(np.ones((30, D)), IDS, table, sparse="rows", mode="max")
        assert self.rows(asked) == [np.unique(IDS).tolist()]

    @pytest.mark.parametrize("name", MAKERS)
    def test_step(self, table, asked, name):
        optimizer = MAKERS[name](weight_decay=0.1)
        gradient = ebagx.RowGradient([3, 70], np.ones((2, D)), (N, D))
        optimizer.update(np.array(table), gradient)
        assert asked == []
        states = [a for a in optimizer.state_dict().values() if np.shape(a)[:1] == (N,)]
        optimizer.load_state_dict(on_disk(optimizer.state_dict()), copy=False)
        optimizer.update(table, gradient)
        assert self.rows(asked) == [[3, 70]] * (1 + len(states))
        assert self.rows(asked, table) == [[3, 70]]

    def test_prefetch(self, table, asked):
        bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, sparse="rows")
        optimizer = optim.Adagrad()
        bag(IDS)
        bag.backward_update(np.ones((30, D), np.float32), optimizer)
        optimizer.load_state_dict(on_disk(optimizer.state_dict()), copy=False)
        asked.clear()
        bag.prefetch([[5, 2, 5], [9, -1, N]], optimizer=optimizer)
        assert self.rows(asked) == [[-1, 2, 5, 9, N]] * 2  # others than rows are left out later
        assert self.rows(asked, table) == [[-1, 2, 5, 9, N]]
        asked.clear()
        bag.prefetch(np.array([7, 8], np.uint8), offsets=[0])
        assert self.rows(asked) == [[7, 8]]

    def test_prefetch_leaves_masked_indices_out(self, table, asked):
        ids = np.ma.array([[5, 2], [9, 7]], mask=[[0, 1], [0, 0]])
        bag = ebagx.EmbeddingBag.from_pretrained(table, invalid="skip")
        bag.prefetch(ids)
        assert self.rows(asked) == [[-1, 5, 7, 9]]
        with rejected(ValueError, "input[0, 1] is masked: drop or replace it"):
            ebagx.EmbeddingBag.from_pretrained(table).prefetch(ids)

    @pytest.mark.parametrize("mode", MODES)
    def test_many_rows_are_asked_for_in_parts(self, monkeypatch, table, asked, mode):
        """The rows of the next part are asked for before a part is computed."""
        weights = None if mode in EXTREME_MODES else np.linspace(0, 1, IDS.size).reshape(IDS.shape)
        grad, plain = np.ones((30, D)), np.array(table)

        def all_results(array):
            options = {"mode": mode, "per_sample_weights": weights}
            pooled = ebagx.embedding_bag(IDS, array, max_norm=5.0, **options)
            gradient = ebagx.embedding_bag_backward(grad, IDS, array, sparse="rows", **options)
            return pooled, gradient.weight.values, gradient.per_sample_weights

        expected = all_results(plain)
        monkeypatch.setattr("ebagx._core.passes.ROWS_AT_ONCE", 50)
        monkeypatch.setattr("ebagx._core.backward.ROWS_AT_ONCE", 50)
        for got, wanted in zip(all_results(table), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert max(len(rows) for _, rows in asked) <= 50
        # Three passes over the lookups: norms, sums, and winners or gradients of weights.
        assert len(asked) == 3 * -(-IDS.size // 49)


def on_disk(state):
    """Return a state whose arrays are in memory maps of temporary files."""
    from fuzz.layouts import memory_map

    return {n: memory_map(a) if isinstance(a, np.ndarray) else a for n, a in state.items()}


def test_copies_of_maps_are_advised_too(given, table):
    """A process that joblib starts gets the map itself."""
    again, (array, name) = Table.of(table).__reduce__()
    assert again(array, name).map_advice is Table.of(table).map_advice
    assert names(given, table) == ["MADV_RANDOM"]


def test_prefetch_takes_integers():
    with pytest.raises(TypeError, match="^rows must be integers, got float64$"):
        optim.SGD().prefetch([1.5])
    optim.SGD().prefetch([])
    optim.SGD().prefetch([[1, 2], [-1, 2**40]])


def test_calls_rest_while_nothing_is_missing(monkeypatch, table):
    looks = []
    monkeypatch.setattr(maps, "read_ahead", lambda *_, **__: bool(looks.append(1)) or missing)
    missing, known = False, Table.of(table).map_advice

    def calls_with_a_look(count):
        before = len(looks)
        for _ in range(count):
            known.will_need(table, IDS, Use.POOL)
        return len(looks) - before

    assert calls_with_a_look(2) == 1  # 1 look, 1 rests
    assert calls_with_a_look(4) == 1  # 3 rest, then 7, then 15
    assert calls_with_a_look(8) == 1
    assert calls_with_a_look(160) == 10
    before = len(looks)
    known.will_need(table, IDS, Use.STEP)  # another use has not rested
    assert len(looks) == before + 1
    missing = True
    assert calls_with_a_look(16 + 20) >= 20  # pages are missing again: every call looks


def test_passes_from_end_to_end_take_back_the_advice(given, table):
    bag = ebagx.EmbeddingBag.from_pretrained(table, freeze=False, sparse="rows")
    optimizer = optim.SGD(0.1, weight_decay=0.1)
    bag(IDS)
    bag.backward_update(np.ones((30, D), np.float32), optimizer)
    there_and_back = ["MADV_SEQUENTIAL", "MADV_RANDOM"]
    given.clear()
    optimizer.catch_up(table)
    assert names(given, table) == there_and_back
    given.clear()
    bag.reset_parameters(0)
    assert names(given, table) == there_and_back
    given.clear()
    bag.load_state_dict({"weight": np.zeros((N, D), np.float32)})
    assert names(given, table) == there_and_back


def test_a_map_that_nobody_looks_rows_up_in_keeps_no_advice(given, table):
    with maps.in_sequence(table, np.ones(3)):
        pass
    assert names(given, table) == ["MADV_SEQUENTIAL", "MADV_NORMAL"]


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_systems_without_advice(monkeypatch, error):
    class Stubborn:
        def madvise(self, _):
            raise error

    maps._advise(Stubborn(), "MADV_RANDOM")
    maps._advise(Stubborn(), "MADV_THAT_IS_UNKNOWN")
    monkeypatch.delattr(mmap, "MADV_RANDOM", raising=False)
    maps._advise(Stubborn(), "MADV_RANDOM")


LAYOUTS = {
    "rows": lambda table: table,
    "some rows": lambda table: table[100:3000:3],
    "backwards": lambda table: table[::-1, ::-1],
    "some columns": lambda table: table[:, 20:25],
    "every third column": lambda table: table[:, ::3],
    "Fortran": lambda table: table.reshape(D, N).T,
    "backwards Fortran": lambda table: table.reshape(D, N).T[::-1, ::-1],
    "one column": lambda table: table[:, 7],
}


def evict(table):
    """Drop the pages of a table from memory, those that no process has used."""
    with open(table.filename, "rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def pages_of(array, rows):
    """Return the numbers of the file's pages that hold some rows of an array in a map."""
    base = np.frombuffer(find_map(array), np.uint8).__array_interface__["data"][0]
    start = array.__array_interface__["data"][0] - base + rows.astype(np.int64) * array.strides[0]
    if array.ndim == 2:
        start = start[:, np.newaxis] + np.arange(array.shape[1]) * array.strides[1]
    return set((start // PAGE).ravel().tolist())


def resident(table):
    """Return the numbers of the pages of a map that are in memory, by the system call mincore."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    count = -(-table.nbytes // PAGE)
    state = (ctypes.c_ubyte * count)()
    address = ctypes.c_void_p(table.__array_interface__["data"][0])
    assert libc.mincore(address, ctypes.c_size_t(table.nbytes), state) == 0
    return {k for k in range(count) if state[k] & 1}


@linux
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("in_memory", [False, True])
def test_just_the_pages_of_the_rows_are_read(path, layout, dtype, in_memory):
    whole = np.memmap(path, np.float32, "r+", shape=(N, D))
    table = LAYOUTS[layout](whole)
    rng = np.random.default_rng(3)
    rows = rng.integers(0, len(table), 3).astype(dtype)
    expected = pages_of(table, rows)
    maps.MapAdvice.on(find_map(table))
    evict(whole)
    if resident(whole):
        pytest.skip("this file system keeps its pages in memory")
    outside = np.array([-1, len(table), np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    assert maps.read_ahead(table, np.append(rows, outside), in_memory)
    wait_for(whole, expected)
    assert resident(whole) == expected
    assert not maps.read_ahead(table, rows, in_memory=True)


def wait_for(table, pages):
    """Read the pages, as the system may still be reading them from the disk."""
    flat = table.reshape(-1).view(np.uint8)
    assert sum(int(flat[page * PAGE]) for page in pages) >= 0


@linux
def test_all_pages_of_many_rows_are_asked_for(path, monkeypatch):
    """More rows than are sorted, or asked for, at once."""
    table = np.memmap(path, np.float32, "r+", shape=(N, D))
    maps.MapAdvice.on(find_map(table))
    evict(table)
    if resident(table):
        pytest.skip("this file system keeps its pages in memory")
    monkeypatch.setattr(maps, "_STRETCHES", 30_000)
    rows = np.random.default_rng(0).integers(0, N, 100_000)
    assert maps.read_ahead(table, rows)
    wait_for(table, pages_of(table, np.unique(rows)))
    assert resident(table) == pages_of(table, np.unique(rows))


@linux
def test_a_cold_batch_brings_no_other_pages(path):
    table = np.memmap(path, np.float32, "r", shape=(N, D))
    bag = ebagx.EmbeddingBag.from_pretrained(table)
    evict(table)
    if resident(table):
        pytest.skip("this file system keeps its pages in memory")
    bag([[17, 2000]])
    assert resident(table) == pages_of(table, np.array([17, 2000]))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_empty_arrays(shape):
    assert maps.read_ahead(np.empty(shape), np.array([0, 1])) is False


def test_no_rows(table):
    assert maps.read_ahead(table, np.empty(0, np.int64)) is (sys.platform != "win32")
    ebagx.embedding_bag([[], []], table)


def test_the_gil_is_free_while_pages_are_asked_for(table):
    """Another thread works during a long call."""
    rows = np.random.default_rng(0).integers(0, N, 1 << 17)
    turns, done = [0], threading.Event()

    def work():
        while not done.is_set():
            turns[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.3)  # a thread that keeps the GIL is not asked to give it up
    thread = threading.Thread(target=work)
    try:
        thread.start()
        before = turns[0]
        address = table.__array_interface__["data"][0]
        cpu.read_ahead(address, N, 4 * D, 1, 0, 4 * D, rows, False)
        assert turns[0] > before or sys.platform == "win32"
    finally:
        done.set()
        sys.setswitchinterval(interval)
        thread.join()
