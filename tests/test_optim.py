import numpy as np
import pytest

from ebagx import RowGradient, embedding_bag_backward
from ebagx.optim import Adagrad

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


def test_equals_pytorch():
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(2).standard_normal((5, 2))
    table, parameter = start.copy(), torch.nn.Parameter(torch.tensor(start))
    ours, theirs = Adagrad(0.1), torch.optim.Adagrad([parameter], lr=0.1)
    for step in range(50):
        ours.update(table, gradient(seed=step))
        parameter.grad = torch.tensor(gradient(seed=step).toarray())
        theirs.step()
    np.testing.assert_allclose(table, parameter.detach().numpy(), rtol=1e-12)


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


def test_state_goes_on_from_a_copy():
    table, other = np.ones((5, 2)), np.ones((5, 2))
    first, second = Adagrad(0.5), Adagrad(0.5)
    assert first.state_dict() == {"squares": None}
    first.update(table, gradient())
    other[:] = table
    second.load_state_dict(first.state_dict())
    for optimizer, weight in ((first, table), (second, other)):
        optimizer.update(weight, gradient(seed=3))
    np.testing.assert_array_equal(table, other)
    with pytest.raises(KeyError, match=r"must have the one name 'squares', got \['sum'\]"):
        first.load_state_dict({"sum": table})


@pytest.mark.parametrize("name", ["learning_rate", "eps", "initial_accumulator_value"])
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_bad_numbers(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be at least 0 and finite, got {value}$"):
        Adagrad(**{name: value})


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


BAD_UPDATES = [
    (np.ones((5, 3)), gradient(), ValueError, r"gradient must have shape \(5, 3\), got \(5, 2\)"),
    (np.ones((5, 2)), np.ones((5, 2)), TypeError, "gradient must be a RowGradient, got ndarray"),
    (read_only(), gradient(), ValueError, "weight is read-only, but an optimizer step changes it"),
    (np.ones((2, 5)).T, gradient(), ValueError, "weight must be an ndarray with contiguous rows"),
    ([[1.0, 1.0]] * 5, gradient(), ValueError, "weight must be an ndarray with contiguous rows"),
    (np.ones((5, 2), int), gradient(), TypeError, "weight must be float16, bfloat16, float32"),
    (
        np.ones((5, 2)),
        RowGradient(np.array([1, 5]), np.ones((2, 2)), (5, 2)),
        IndexError,
        r"gradient.rows\[1\] = 5 is out of range for 5 embeddings",
    ),
    (
        np.ones((5, 2)),
        RowGradient(np.array([3, 1]), np.ones((2, 2)), (5, 2)),
        ValueError,
        r"gradient.rows must ascend, got gradient.rows\[1\] = 1 after 3",
    ),
    (
        np.ones((5, 2)),
        RowGradient(ROWS, np.ones((3, 2)), (5, 2)),
        ValueError,
        r"gradient.values must have shape \(2, 2\), got \(3, 2\)",
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
