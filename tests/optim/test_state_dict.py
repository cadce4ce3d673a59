"""Test the state of optimizers: its way through files, its checks, and its memory."""

import copy
import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from ebagx import RowGradient
from ebagx.optim import SGD, Adagrad, Adam, AdamW, RowwiseAdagrad, linear_decay
from support import optim_cases as cases

STATM = Path("/proc/self/statm")
ARRAYS = {"momentum_buffer", "squares", "exp_avg", "exp_avg_sq", "decay_seen"}
KINDS = (SGD, Adagrad, RowwiseAdagrad, Adam, AdamW)


def through_npz(state, pack=np.savez):
    file = io.BytesIO()
    pack(file, **state)
    file.seek(0)
    return np.load(file, allow_pickle=False)


class Tensors(dict):
    """A dictionary of arrays in native byte order, as safetensors has it."""

    def __init__(self, state):
        super().__init__({name: np.asarray(value) for name, value in state.items()})
        assert {array.dtype.kind for array in self.values()} <= set("biuf")


WAYS = {
    "as it is": dict,
    "npz": through_npz,
    "compressed": lambda state: through_npz(state, np.savez_compressed),
    "read npz": lambda state: dict(through_npz(state)),
    "tensors": Tensors,
    "lists": lambda state: {name: np.asarray(value).tolist() for name, value in state.items()},
    "big-endian": lambda state: {
        name: value.astype(value.dtype.newbyteorder(">")) if name in ARRAYS else value
        for name, value in state.items()
    },
    "fortran": lambda state: {name: np.asarray(value, order="F") for name, value in state.items()},
    "numpy scalars": lambda state: {name: np.asarray(value)[()] for name, value in state.items()},
}
files = pytest.mark.parametrize("file", WAYS.values(), ids=WAYS)


def train(optimizer, table, steps):
    for step in steps:
        optimizer.update(table, cases.gradient(step, dtype=table.dtype))


def trained(make, dtype=np.float64, **options):
    table, optimizer = cases.start(dtype), make(**options)
    train(optimizer, table, range(5))
    return table, optimizer


OPTIONS = {"weight_decay": 0.1, "clip_value": 2.0, "clip_norm": 1.5}


@cases.makers
@files
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["", "options"])
def test_goes_on_from_a_file(make, file, dtype, options):
    """The new optimizer has no option of the old one, and other ones of its own."""
    dtype = np.float64 if file is WAYS["lists"] else dtype  # lists have none
    table, first = trained(make, dtype, **options)
    second = type(first)(7.0, clip_row_norm=0.001)
    second.load_state_dict(file(first.state_dict()))
    assert repr(second) == repr(first)
    other = table.copy()
    train(first, table, range(5, 10))
    train(second, other, range(5, 10))
    np.testing.assert_array_equal(table, other)
    first.catch_up(table)
    second.catch_up(other)
    np.testing.assert_array_equal(table, other)


@cases.makers
@files
def test_goes_on_from_a_file_of_an_optimizer_without_steps(make, file):
    first, second = make(weight_decay=0.5), type(make())()
    train(second, cases.start(), range(2))
    second.unbind()
    second.load_state_dict(file(first.state_dict()))
    assert repr(second) == repr(first)
    table, other = cases.start(), cases.start()
    train(first, table, range(5))
    train(second, other, range(5))
    np.testing.assert_array_equal(table, other)


@cases.makers
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("shape", [cases.SHAPE, (0, 3), (5, 0), (0, 0), (1, 1), (3000, 5)])
def test_goes_on_from_copies_and_states_of_every_shape(make, way, shape):
    rng = np.random.default_rng(0)
    optimizer, table = make(weight_decay=0.1), rng.standard_normal(shape)
    rows = np.arange(shape[0])[shape[0] // 2 :: 2]
    gradients = [RowGradient(rows, rng.standard_normal((len(rows), shape[1])), shape)] * 2
    optimizer.update(table, gradients[0])
    loaded = type(optimizer)()
    loaded.load_state_dict(through_npz(optimizer.state_dict()))
    others = [(way(optimizer), table.copy()), (loaded, table.copy()), (optimizer, table)]
    for one, of_one in others:
        one.update(of_one, gradients[1])
        one.catch_up(of_one)
        np.testing.assert_array_equal(of_one, others[0][1])


@pytest.mark.parametrize("kind", KINDS)
def test_state_is_numbers_and_arrays(kind):
    optimizer, table = kind(weight_decay=0.1), cases.start()
    for _ in range(2):
        state = optimizer.state_dict()
        for name, value in state.items():
            assert type(value) in (np.ndarray, int, float, bool), name
            assert (type(value) is np.ndarray) == (name in ARRAYS)
        assert optimizer.state_dict() == state
        optimizer.update(table, cases.gradient(0))


def test_state_before_the_first_step():
    state = Adagrad().state_dict()
    assert {name: value for name, value in state.items() if name not in ARRAYS} == {
        "num_steps": 0,
        "decay_total": 0.0,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "clip_value": np.inf,
        "clip_row_norm": np.inf,
        "clip_norm": np.inf,
        "eps": 1e-10,
        "initial_accumulator_value": 0.0,
        "per_row": False,
    }
    assert (state["decay_seen"].shape, state["squares"].shape) == ((0,), (0, 0))


def test_arrays_are_not_copied_by_state_dict():
    optimizer = trained(Adam)[1]
    assert optimizer.state_dict()["exp_avg"] is optimizer.state_dict()["exp_avg"]


def test_schedules_stay_and_only_the_step_is_state():
    schedule = linear_decay(0.5, 10)
    first, second = Adam(schedule), Adam(0.125)
    train(first, cases.start(), range(3))
    assert "learning_rate" not in first.state_dict()
    second.load_state_dict(first.state_dict())
    assert (second.learning_rate, second.num_steps) == (0.125, 3)
    first.load_state_dict(Adam(0.75).state_dict())
    assert (first.learning_rate, first.num_steps) == (schedule, 0)


@cases.makers
def test_states_of_earlier_versions(make):
    """They had None for arrays that there are not, and no options."""
    table, first = trained(make, weight_decay=0.1)
    for optimizer in (make(), first):
        state = optimizer.state_dict()
        old = {name: state[name] for name in ("num_steps", "decay_total", *ARRAYS & state.keys())}
        old = {n: None if np.size(value) == 0 else value for n, value in old.items()}
        for given in (old, {n: np.array(v) for n, v in old.items()}):
            second = make(weight_decay=0.1, clip_norm=3.0)
            second.load_state_dict(given)
            assert second.clip_norm == 3.0
            assert second.num_steps == optimizer.num_steps
    first.unbind()
    second.clip_norm = None
    other = table.copy()
    train(first, table, range(5, 10))
    train(second, other, range(5, 10))
    np.testing.assert_array_equal(table, other)


def test_states_with_other_names():
    with pytest.raises(KeyError, match="must have the names num_steps, .*, squares, and may have"):
        Adagrad().load_state_dict({"exp_avg": None})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("steps", [0, 3])
def test_states_of_other_classes_raise(kind, other, steps):
    optimizer, state = kind(), other()
    train(state, cases.start(), range(steps))
    if kind is other:
        return
    before = optimizer.state_dict()
    with pytest.raises((KeyError, ValueError), match="state_dict (must have|is of an optimizer)"):
        optimizer.load_state_dict(state.state_dict())
    assert optimizer.state_dict() == before


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_the_state_counts(kind):
    optimizer, options = kind(), {"momentum": 0.5} if kind is SGD else {}
    state = trained(kind, weight_decay=0.1, **options)[1].state_dict()
    for name in ("num_steps", "decay_total", *ARRAYS & state.keys()):
        with pytest.raises(KeyError, match="state_dict must have the names"):
            optimizer.load_state_dict({n: value for n, value in state.items() if n != name})
    with pytest.raises(KeyError, match="state_dict must have the names"):
        optimizer.load_state_dict({**state, "lr": 0.5})
    if kind in (Adam, AdamW):
        with pytest.raises(KeyError, match="state_dict has no beta2, which belongs to betas"):
            optimizer.load_state_dict({n: value for n, value in state.items() if n != "beta2"})


def wrong_states():
    good, full = np.ones(cases.SHAPE), np.ones((7, 4))
    negative, not_a_number = good.copy(), np.zeros(7)
    negative[6, 2], not_a_number[6] = -1e-30, np.nan
    return [
        ("num_steps", -1, ValueError),
        ("num_steps", 2**70, ValueError),
        ("num_steps", 1.5, TypeError),
        ("num_steps", np.array([1]), TypeError),
        ("num_steps", None, TypeError),
        ("decay_total", "much", TypeError),
        ("decay_total", np.array("much"), TypeError),
        ("decay_total", np.nan, ValueError),
        ("decay_total", 10**400, ValueError),
        ("decay_total", 0.5, ValueError),
        ("decay_seen", np.zeros(8), ValueError),
        ("decay_seen", np.zeros((7, 1)), ValueError),
        ("decay_seen", np.zeros(7, "f4"), TypeError),
        ("decay_seen", np.full(7, 0.1), ValueError),
        ("decay_seen", np.full(7, -1e9), ValueError),
        ("decay_seen", not_a_number, ValueError),
        ("decay_seen", None, ValueError),
        ("exp_avg_sq", [[1.0], [1.0, 2.0]], ValueError),
        ("exp_avg_sq", np.ones(7), ValueError),
        ("exp_avg_sq", np.ones((7, 3, 1)), ValueError),
        ("exp_avg_sq", full, ValueError),
        ("exp_avg_sq", good.T.copy(), ValueError),
        ("exp_avg_sq", good.astype(int), TypeError),
        ("exp_avg_sq", good.astype("f2"), TypeError),
        ("exp_avg_sq", good.astype("f4"), TypeError),
        ("exp_avg_sq", good.astype("c16"), TypeError),
        ("exp_avg_sq", good.astype(object), TypeError),
        ("exp_avg_sq", good.astype("U"), TypeError),
        ("exp_avg_sq", negative, ValueError),
        ("exp_avg_sq", np.full_like(good, -np.inf), ValueError),
        ("exp_avg_sq", None, ValueError),
        ("exp_avg_sq", np.empty((0, 0)), ValueError),
        ("exp_avg_sq", 5.0, ValueError),
        ("learning_rate", -1.0, ValueError),
        ("learning_rate", np.array("fast"), TypeError),
        ("weight_decay", np.array(-1.0), ValueError),
        ("clip_norm", np.array(0.0), ValueError),
        ("clip_norm", -np.inf, ValueError),
        ("beta1", 1.0, ValueError),
        ("beta2", np.array([0.5]), TypeError),
        ("eps", np.array(np.nan), ValueError),
        ("decoupled_weight_decay", True, ValueError),
    ]


WRONG = wrong_states()


@pytest.mark.parametrize(("name", "value", "error"), WRONG, ids=[f"{w[0]}-{n}" for n, w in
                                                              enumerate(WRONG)])  # fmt: skip
@pytest.mark.parametrize("bound", [False, True])
@pytest.mark.parametrize("as_file", [False, True])
def test_wrong_states_change_nothing(name, value, error, bound, as_file):
    table, optimizer = trained(Adam, weight_decay=0.1)
    before, shown = optimizer.state_dict(), repr(optimizer)
    if not bound:
        optimizer.unbind()
    other = {**before, "num_steps": 7, "decay_total": -3.0, "eps": 0.5, "clip_norm": 2.0}
    state = {**other, name: value}
    if as_file and value is not None and not isinstance(value, (list, int)):
        state = {n: np.asarray(v) for n, v in state.items()}
    with pytest.raises(error, match=rf"{name}|beta|decay_total = -3.0 needs"):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert all(after[key] is item or after[key] == item for key, item in before.items())
    assert repr(optimizer) == shown
    optimizer.update(table, cases.gradient(0))


@pytest.mark.parametrize("value", [{}, [], None, "state", 5])
def test_states_must_be_mappings(value):
    error = KeyError if value == {} else TypeError
    with pytest.raises(error, match="state_dict must"):
        Adagrad().load_state_dict(value)


@pytest.mark.parametrize("shape", [(7, 4), (8, 3), (3, 3)])
@pytest.mark.parametrize("kind", [Adagrad, RowwiseAdagrad, Adam])
def test_states_of_another_table_raise_while_the_optimizer_has_one(kind, shape):
    table, optimizer = trained(kind)
    other, of_other = kind(), np.ones(shape)
    other.update(of_other, RowGradient([1], np.ones((1, shape[1])), shape))
    if kind is RowwiseAdagrad and shape[0] == 7:
        return
    with pytest.raises(ValueError, match="use one optimizer per table"):
        optimizer.load_state_dict(other.state_dict())
    optimizer.update(table, cases.gradient(0))
    optimizer.unbind()
    optimizer.load_state_dict(other.state_dict())
    optimizer.update(of_other, RowGradient([1], np.ones((1, shape[1])), shape))
    with pytest.raises(TypeError, match="must have dtype float32 or float64, got int64"):
        optimizer.load_state_dict({**other.state_dict(), kind._states[0]: np.ones(shape, int)})


def test_states_of_another_dtype_raise_while_the_optimizer_has_a_table():
    table, optimizer = trained(Adagrad, np.float32)
    state = trained(Adagrad, np.float64)[1].state_dict()
    with pytest.raises(ValueError, match="squares is float64 .*, weight needs float32"):
        optimizer.load_state_dict(state)
    optimizer.update(table, cases.gradient(0))


def test_a_row_wise_state_has_one_column():
    state = {**RowwiseAdagrad().state_dict(), "squares": np.ones((7, 3))}
    with pytest.raises(ValueError, match=r"squares is float64 of shape \(7, 3\)"):
        RowwiseAdagrad().load_state_dict(state)


def test_states_with_nan_of_gradients_load():
    optimizer, table = Adam(), cases.start()
    optimizer.update(table, RowGradient([1], np.full((1, 3), np.nan), cases.SHAPE))
    optimizer.load_state_dict(through_npz(optimizer.state_dict()))
    assert np.isnan(optimizer.state_dict()["exp_avg_sq"][1]).all()


class TestInPlace:
    """With ``copy=False`` the arrays are used where they are."""

    def mapped(self, folder, optimizer):
        for name, width, dtype in (
            ("decay_seen", None, np.float64),
            *((name, self.width(optimizer), np.float32) for name in optimizer._states),
        ):
            shape = cases.SHAPE[:1] if width is None else (cases.SHAPE[0], width)
            yield name, np.memmap(folder / name, dtype, "w+", shape=shape)

    @staticmethod
    def width(optimizer, dim=cases.SHAPE[1]):
        return 1 if isinstance(optimizer, RowwiseAdagrad) else dim

    @cases.makers
    def test_maps_hold_the_state(self, tmp_path, make):
        table, expected = (cases.start(np.float32) for _ in range(2))
        train(make(weight_decay=0.1), expected, range(6))
        optimizer, rest = make(weight_decay=0.1), 6
        maps = dict(self.mapped(tmp_path, optimizer))
        numbers = {n: v for n, v in optimizer.state_dict().items() if n not in maps}
        for _ in range(2):
            optimizer = type(optimizer)()
            optimizer.load_state_dict({**numbers, **maps}, copy=False)
            rest -= 3
            train(optimizer, table, range(3 - rest, 6 - rest))
            numbers = {n: v for n, v in optimizer.state_dict().items() if n not in maps}
            for name, array in maps.items():
                assert np.shares_memory(optimizer.state_dict()[name], array)
                array.flush()
            maps = {n: np.memmap(a.filename, a.dtype, "r+", shape=a.shape) for n, a in maps.items()}
        np.testing.assert_array_equal(table, expected)

    def test_arrays_that_cannot_be_written(self):
        optimizer = Adagrad()
        for squares, error in (
            (np.broadcast_to(np.zeros(3), cases.SHAPE), ValueError),
            (np.lib.stride_tricks.as_strided(np.ones(2), cases.SHAPE, (0, 8)), ValueError),
            (np.asfortranarray(np.ones(cases.SHAPE)), ValueError),
            (np.ones(cases.SHAPE, ">f8"), TypeError),
        ):
            state = {**optimizer.state_dict(), "squares": squares}
            with pytest.raises(error, match="squares must be"):
                optimizer.load_state_dict(state, copy=False)
            assert optimizer.state_dict()["squares"].size == 0

    def test_arrays_that_become_read_only(self):
        optimizer, table = Adagrad(), cases.start()
        squares = np.zeros(cases.SHAPE)
        optimizer.load_state_dict({**optimizer.state_dict(), "squares": squares}, copy=False)
        optimizer.update(table, cases.gradient(0))
        assert squares.any()
        squares.flags.writeable = False
        before = table.copy()
        with pytest.raises(ValueError, match="^the optimizer's squares must be writeable"):
            optimizer.update(table, cases.gradient(1))
        np.testing.assert_array_equal(table, before)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files may have no holes")
    @cases.makers
    def test_table_and_state_in_memory_maps_larger_than_memory(self, tmp_path, make):
        """The table has 256 GB and so has each state; only a few pages are written."""
        shape = (1 << 32, 16)

        def mapped(name, shape, dtype):
            return np.memmap(tmp_path / name, dtype, "w+", shape=shape)

        table, optimizer = mapped("table", shape, np.float32), make(weight_decay=0.1)
        names = [name for name in optimizer.state_dict() if name in ARRAYS - {"decay_seen"}]
        state = {
            name: mapped(name, (shape[0], self.width(optimizer, shape[1])), np.float32)
            for name in names
        }
        state["decay_seen"] = mapped("decay_seen", shape[:1], np.float64)
        optimizer.load_state_dict({**optimizer.state_dict(), **state}, copy=False)
        rows = np.array([0, 1 << 31, shape[0] - 1])
        optimizer.update(table, RowGradient(rows, np.ones((3, 16), np.float32), shape))
        assert np.all(table[rows] < 0)
        for name in optimizer._rule().states:
            assert np.all(state[name][rows] != 0)
        assert sum(file.stat().st_blocks for file in tmp_path.iterdir()) * 512 < 1 << 20


RESUMES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda optimizer: pickle.loads(pickle.dumps(optimizer)),
    "state": lambda optimizer: loaded(optimizer, dict),
    "npz": lambda optimizer: loaded(optimizer, through_npz),
    "fresh": Adam.fresh,
}


def loaded(optimizer, file):
    other = type(optimizer)()
    other.load_state_dict(file(optimizer.state_dict()))
    return other


@pytest.mark.skipif(not STATM.exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("resume", RESUMES.values(), ids=RESUMES)
def test_a_resume_takes_the_memory_of_touched_rows(resume):
    """The two states have 64 MB each, of which a hundred rows were touched."""
    shape = (1 << 18, 64)
    optimizer, table = AdamW(), np.zeros(shape, np.float32)
    gradient = RowGradient(np.arange(100) * 7, np.ones((100, 64), np.float32), shape)
    optimizer.update(table, gradient)
    before = int(STATM.read_text().split()[1]) * 4096
    other = resume(optimizer)
    after = int(STATM.read_text().split()[1]) * 4096
    assert after - before < 48 << 20
    other.update(table, gradient)


def test_pickles_have_only_touched_pages():
    optimizer = Adam(weight_decay=0.1)
    table = np.zeros((1 << 16, 16))
    optimizer.update(table, RowGradient([5, 40_000], np.ones((2, 16)), table.shape))
    assert len(pickle.dumps(optimizer)) < 6 * 4096 + 3000
