"""Test the functions that all optimizers have in common."""

import numpy as np
import pytest

import ebagx
from ebagx import RowGradient, embedding_bag_backward
from ebagx.optim import SGD, Adagrad, AdamW
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


def read_only():
    table = np.ones((5, 2))
    table.flags.writeable = False
    return table


def changed(rows):
    """Return a gradient whose rows were changed after it was made."""
    given = np.array([1, 3])
    good = RowGradient(given, np.ones((2, 2)), (5, 2))
    given[:] = rows
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
