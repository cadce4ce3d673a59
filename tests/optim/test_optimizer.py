"""Test the functions that all optimizers have in common."""

import copy
import pickle
import sys

import numpy as np
import pytest

import ebagx
from ebagx import RowGradient, embedding_bag_backward
from ebagx.optim import SGD, Adagrad, Adam, AdamW
from support import optim_cases as cases

ROWS = np.array([1, 3])


def gradient(shape=(5, 2), dtype=np.float64, seed=0):
    values = np.random.default_rng(seed).standard_normal((2, shape[1])).astype(dtype)
    return RowGradient(ROWS, values, shape)


def test_many_steps_equal_the_formula():
    table = np.random.default_rng(1).standard_normal((5, 2))
    expected, squares = table.copy(), np.full((5, 2), 0.25)
    optimizer = Adagrad(learning_rate=0.3, eps=1e-8, initial_accumulator_value=0.25)
    for step in range(20):
        if step == 10:
            optimizer.learning_rate = 0.1
        dense = gradient(seed=step).toarray()
        squares += dense**2
        expected -= optimizer.learning_rate * dense / (np.sqrt(squares) + 1e-8)
        optimizer.update(table, gradient(seed=step))
    np.testing.assert_allclose(table, expected, rtol=1e-13)
    np.testing.assert_allclose(optimizer.state_dict()["squares"], squares, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_touches_only_the_rows_of_the_gradient(dtype):
    table = np.ones((5, 2), dtype)
    real = np.float64 if dtype == np.float64 else np.float32
    Adagrad(0.5).update(table, gradient(dtype=real))
    np.testing.assert_array_equal(table[[0, 2, 4]], 1)
    assert np.all(table[ROWS] != 1)


def test_updates_a_strided_table_in_place():
    whole = np.ones((5, 9))
    Adagrad(0.5).update(whole[:, 3:5], gradient())
    assert np.all(whole[ROWS, 3:5] != 1)
    whole[ROWS, 3:5] = 1
    np.testing.assert_array_equal(whole, 1)


def test_updates_a_memory_map(tmp_path):
    table = np.memmap(tmp_path / "table", np.float64, "w+", shape=(5, 2))
    table[:] = 1
    Adagrad(0.5).update(table, gradient())
    assert np.all(table[ROWS] != 1)


def test_takes_what_backward_gives():
    table = np.ones((5, 2), np.float32)
    grad = embedding_bag_backward(np.ones((1, 2)), [[1, 3]], table, mode="sum", sparse="rows")
    Adagrad(0.5).update(table, grad.weight)
    np.testing.assert_allclose(table[[0, 1]], [[1, 1], [0.5, 0.5]])


def test_empty_gradient():
    table = np.ones((5, 2))
    Adagrad().update(table, RowGradient(np.empty(0, int), np.empty((0, 2)), (5, 2)))
    np.testing.assert_array_equal(table, 1)


@cases.makers
@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_goes_on_from_saved_state(make, way):
    table, first = cases.start(), make(weight_decay=0.1)
    for step in range(5):
        first.update(table, cases.gradient(step))
    if way == "state_dict":
        second = make(weight_decay=0.1)
        second.load_state_dict(first.state_dict())
    else:
        second = pickle.loads(pickle.dumps(first)) if way == "pickle" else copy.deepcopy(first)
    other = table.copy()
    for step in range(5, 10):
        first.update(table, cases.gradient(step))
    for step in range(5, 10):
        second.update(other, cases.gradient(step))
    np.testing.assert_array_equal(table, other)


def test_state_dict_before_the_first_step():
    assert Adagrad().state_dict() == {
        "num_steps": 0,
        "decay_total": 0.0,
        "decay_seen": None,
        "squares": None,
    }


def test_state_dict_with_other_names():
    with pytest.raises(KeyError, match="must have the names num_steps, .*, squares, got exp_avg"):
        Adagrad().load_state_dict({"exp_avg": None})


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files may have no holes")
@cases.makers
def test_table_and_state_in_memory_maps_larger_than_memory(tmp_path, make):
    """The table has 256 GB and so has each state; only a few pages are written."""
    shape = (1 << 32, 16)

    def mapped(name, shape, dtype):
        return np.memmap(tmp_path / name, dtype, "w+", shape=shape)

    table, optimizer = mapped("table", shape, np.float32), make(weight_decay=0.1)
    state = optimizer.state_dict()
    names = [name for name in state if name not in ("num_steps", "decay_total", "decay_seen")]
    for name in names:
        width = 1 if "Rowwise" in type(optimizer).__name__ else shape[1]
        state[name] = mapped(name, (shape[0], width), np.float32)
    state["decay_seen"] = mapped("decay_seen", shape[:1], np.float64)
    optimizer.load_state_dict(state, copy=False)
    rows = np.array([0, 1 << 31, shape[0] - 1])
    optimizer.update(table, RowGradient(rows, np.ones((3, 16), np.float32), shape))
    assert np.all(table[rows] < 0)
    for name in names:
        assert np.all(state[name][rows] != 0)
    assert sum(file.stat().st_blocks for file in tmp_path.iterdir()) * 512 < 1 << 20


def test_state_that_cannot_be_written():
    optimizer, table = Adagrad(), cases.start()
    squares = np.zeros(cases.SHAPE)
    squares.flags.writeable = False
    optimizer.load_state_dict({**optimizer.state_dict(), "squares": squares}, copy=False)
    with pytest.raises(ValueError, match="^the optimizer's squares must be writeable"):
        optimizer.update(table, cases.gradient(0))
    np.testing.assert_array_equal(table, cases.start())


def trained(how, make, mode, dtype, num_threads, sparse="rows"):
    """Return a table trained in one of the three ways."""
    rng = np.random.default_rng(8)
    ids, grad = rng.integers(0, 3000, (2000, 9)), rng.standard_normal((2000, 33))
    bag = ebagx.EmbeddingBag(
        3000, 33, mode=mode, sparse=sparse, padding_idx=2, dtype=dtype, rng=1,
        num_threads=num_threads,
    )  # fmt: skip
    optimizer = make(num_threads=num_threads, weight_decay=0.1, clip_row_norm=2.0)
    for step in range(3):
        bag(ids[: 2000 - 600 * step])
        out = grad[: 2000 - 600 * step]
        if how == "fused":
            bag.backward_update(out, optimizer)
            assert bag.grad is None
            continue
        bag.backward(out)
        if how == "step":
            optimizer.step(bag)
        else:
            optimizer.update(bag.weight, bag.row_gradient())
        bag.zero_grad()
    return bag.weight


@pytest.mark.slow
@cases.makers
@pytest.mark.parametrize("mode", ["mean", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_fused_step_and_update_give_the_same_bits(make, mode, dtype):
    expected = trained("update", make, mode, dtype, 1)
    for num_threads in (1, 2, 3):
        for how in ("fused", "step"):
            table = trained(how, make, mode, dtype, num_threads)
            np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize("sparse", [False, True, "rows"])
def test_step_takes_every_form_of_gradient(sparse):
    make = cases.MAKERS["adam"]
    expected = trained("fused", make, "mean", np.float32, 1)
    np.testing.assert_array_equal(trained("step", make, "mean", np.float32, 1, sparse), expected)


def test_fused_step_within_a_norm():
    def make(**options):
        return SGD(0.1, clip_norm=0.5, **options)

    expected = trained("update", make, "sum", np.float32, 1)
    np.testing.assert_array_equal(trained("fused", make, "sum", np.float32, 2), expected)
    assert not np.array_equal(expected, trained("fused", SGD, "sum", np.float32, 2))


def test_step_with_an_assigned_dense_gradient():
    bag = ebagx.EmbeddingBag(5, 2, rng=0)
    before, optimizer = bag.weight.copy(), cases.MAKERS["adam"]()
    bag.grad = np.zeros((5, 2))
    bag.grad[3] = 1
    optimizer.step(bag)
    assert np.flatnonzero((bag.weight != before).any(axis=1)) == [3]


def test_step_without_gradient():
    with pytest.raises(RuntimeError, match="^grad is None: call backward first$"):
        SGD().step(ebagx.EmbeddingBag(5, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_catch_up_of_a_large_table(dtype):
    table = np.ones((100_000, 8), dtype)
    optimizer = AdamW(0.5, weight_decay=1.0)
    for _ in range(2):
        optimizer.update(table, RowGradient(np.array([7]), np.zeros((1, 8), "f4"), table.shape))
    np.testing.assert_array_equal(table[:7], 1)
    np.testing.assert_array_equal(table[7], 0.25)
    optimizer.catch_up(table)
    np.testing.assert_array_equal(table, 0.25)
    optimizer.catch_up(table)
    np.testing.assert_array_equal(table, 0.25)


def test_interrupted_step_leaves_rows_that_can_catch_up():
    """After an exception between two pieces, some rows are old and some are new."""
    table, optimizer = np.ones((4, 2)), SGD(0.5, weight_decay=1.0)

    def pieces():
        yield np.array([1]), np.zeros((1, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.update_pieces(table, pieces())
    optimizer.catch_up(table)
    np.testing.assert_array_equal(table, 0.5)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
@cases.makers
def test_bad_numbers(make, name, value):
    kind = type(make())
    with pytest.raises(ValueError, match=f"^{name} must be at least 0 and finite, got {value}$"):
        kind(**{name: value})


def test_learning_rate_of_another_type():
    with pytest.raises(TypeError, match="^learning_rate must be a number, got '.*'$"):
        SGD("fast")
    with pytest.raises(TypeError, match="^weight_decay must be a number, got None$"):
        SGD(weight_decay=None)


def test_unknown_keyword():
    with pytest.raises(TypeError, match="^SGD has no argument 'lr'$"):
        SGD(lr=0.1)


def test_decay_that_would_turn_rows_round():
    table = cases.start()
    optimizer = SGD(0.5, weight_decay=2.0)
    message = r"^learning_rate \* weight_decay must be less than 1, got 0.5 \* 2.0$"
    with pytest.raises(ValueError, match=message):
        optimizer.update(table, cases.gradient(0))
    np.testing.assert_array_equal(table, cases.start())


def test_learning_rate_that_became_negative():
    table, optimizer = np.ones((5, 2)), Adagrad()
    optimizer.learning_rate = -1
    with pytest.raises(ValueError, match="^learning_rate must be at least 0 and finite, got -1$"):
        optimizer.update(table, gradient())
    np.testing.assert_array_equal(table, 1)


def read_only():
    table = np.ones((5, 2))
    table.flags.writeable = False
    return table


def changed(rows):
    """Return a gradient whose rows were changed after it was made."""
    good = RowGradient(np.array([1, 3]), np.ones((2, 2)), (5, 2))
    good.rows[:] = rows
    return good


BAD_UPDATES = [
    (np.ones((5, 3)), gradient(), ValueError, r"gradient must have shape \(5, 3\), got \(5, 2\)"),
    (np.ones((5, 2)), np.ones((5, 2)), TypeError, "gradient must be a RowGradient, got ndarray"),
    (read_only(), gradient(), ValueError, "weight is read-only, but an optimizer step changes it"),
    ([[1.0, 1.0]] * 5, gradient(), ValueError, "weight must be an ndarray to be updated in place"),
    (np.ones((5, 2), int), gradient(), TypeError, "weight must be float16, bfloat16, float32"),
    (
        np.ones((5, 2)),
        changed([1, 5]),
        IndexError,
        r"gradient.rows\[1\] = 5 is out of range for 5 embeddings",
    ),
    (
        np.ones((5, 2)),
        changed([3, 1]),
        ValueError,
        r"gradient.rows must ascend, got gradient.rows\[1\] = 1 after 3",
    ),
    (
        np.lib.stride_tricks.as_strided(np.ones(2), (5, 2), (0, 8)),
        gradient(),
        ValueError,
        "elements of weight share memory, but an optimizer step changes it in place",
    ),
]


@pytest.mark.parametrize(("table", "bad", "error", "message"), BAD_UPDATES)
def test_bad_updates_change_nothing(table, bad, error, message):
    before = np.array(table)
    with pytest.raises(error, match=f"^{message}"):
        Adagrad(0.5).update(table, bad)
    np.testing.assert_array_equal(table, before)


def test_one_optimizer_per_table():
    optimizer = Adagrad()
    optimizer.update(np.ones((5, 2)), gradient())
    with pytest.raises(ValueError, match="use one optimizer per table"):
        optimizer.update(np.ones((6, 2)), RowGradient(ROWS, np.ones((2, 2)), (6, 2)))


@pytest.mark.parametrize("shape", [(0, 2), (0, 0), (4, 0)])
@cases.makers
def test_tables_without_elements(make, shape):
    table, optimizer = np.empty(shape), make(weight_decay=0.1, clip_norm=1)
    nothing = RowGradient(np.arange(shape[0]), np.empty(shape), shape)
    for _ in range(3):
        optimizer.update(table, nothing)
    optimizer.catch_up(table)
    assert optimizer.num_steps == 3


@pytest.mark.parametrize("shift", [0, 1])
@cases.makers
def test_gradient_in_the_memory_of_the_table(make, shift):
    expected = cases.start()
    values = expected[shift:]
    make().update(expected, RowGradient(np.arange(len(values)), values.copy(), cases.SHAPE))
    table = cases.start()
    make().update(table, RowGradient(np.arange(len(values)), table[shift:], cases.SHAPE))
    np.testing.assert_array_equal(table, expected)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("num_steps", -1, ValueError),
        ("num_steps", 2**70, ValueError),
        ("num_steps", 1.5, TypeError),
        ("decay_total", "much", TypeError),
        ("decay_total", np.nan, ValueError),
        ("decay_total", 10**400, ValueError),
        ("exp_avg_sq", [[1.0], [1.0, 2.0]], ValueError),
    ],
)
def test_bad_states_change_nothing(name, value, error):
    optimizer = Adam(weight_decay=0.1)
    optimizer.update(np.ones((5, 2)), gradient())
    before = optimizer.state_dict()
    with pytest.raises(error):
        optimizer.load_state_dict({**before, "num_steps": 7, "decay_total": -3.0, name: value})
    after = optimizer.state_dict()
    assert all(after[key] is value for key, value in before.items())


def test_states_must_be_mappings():
    with pytest.raises(TypeError, match="^state_dict must be a mapping, got list$"):
        Adagrad().load_state_dict([])


def test_states_that_overlap_themselves():
    optimizer = Adagrad()
    table = np.ones((5, 2))
    optimizer.update(table, gradient())
    state = optimizer.state_dict()
    shared = np.lib.stride_tricks.as_strided(np.ones(2), (5, 2), (0, 8))
    optimizer.load_state_dict({**state, "squares": shared}, copy=False)
    with pytest.raises(ValueError, match="squares must be writeable, with contiguous rows"):
        optimizer.update(table, gradient())
