import numpy as np
import pytest

from ebagx.optim import Adagrad, RowwiseAdagrad
from support import optim_cases as cases


@pytest.mark.torch
def test_equals_pytorch_with_scattered_rows():
    expected = cases.run_torch(lambda optim, p: optim.Adagrad(p, lr=0.1))
    np.testing.assert_allclose(cases.run(Adagrad(0.1)), expected, rtol=1e-12)


@pytest.mark.torch
def test_equals_pytorch_with_weight_decay_on_all_rows():
    optimizer = Adagrad(0.1, weight_decay=0.3, initial_accumulator_value=0.2)
    expected = cases.run_torch(
        lambda optim, p: optim.Adagrad(p, lr=0.1, weight_decay=0.3, initial_accumulator_value=0.2),
        cases.ALL_ROWS,
    )
    np.testing.assert_allclose(cases.run(optimizer, cases.ALL_ROWS), expected, rtol=1e-11)


def test_rowwise_equals_the_formula():
    table, expected = cases.run(RowwiseAdagrad(0.1, 1e-8)), cases.start()
    accumulators = np.zeros((cases.SHAPE[0], 1))
    for step in range(cases.STEPS):
        grad = cases.gradient(step)
        accumulators[grad.rows] += (grad.values**2).mean(axis=1, keepdims=True)
        expected[grad.rows] -= 0.1 * grad.values / (np.sqrt(accumulators[grad.rows]) + 1e-8)
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_rowwise_decay_counts_as_gradient():
    table, expected = (
        cases.run(RowwiseAdagrad(0.1, 0, weight_decay=0.3), cases.ALL_ROWS),
        cases.start(),
    )
    accumulators = 0.0
    for step in range(cases.STEPS):
        grad = cases.gradient(step, cases.ALL_ROWS).values + 0.3 * expected
        accumulators = accumulators + (grad**2).mean(axis=1, keepdims=True)
        expected -= 0.1 * grad / np.sqrt(accumulators)
    np.testing.assert_allclose(table, expected, rtol=1e-11)


def test_rowwise_state_is_one_number_a_row():
    optimizer = RowwiseAdagrad(initial_accumulator_value=0.5)
    optimizer.update(cases.start(np.float32), cases.gradient(0, np.array([2]), np.float32))
    squares = optimizer.state_dict()["squares"]
    assert (squares.shape, squares.dtype) == ((cases.SHAPE[0], 1), np.float32)
    assert np.flatnonzero(squares[:, 0] != 0.5) == [2]


@pytest.mark.parametrize("name", ["eps", "initial_accumulator_value"])
@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [Adagrad, RowwiseAdagrad])
def test_bad_numbers(kind, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be at least 0 and finite, got {value}$"):
        kind(**{name: value})
