"""Test that a masked entry of a gradient, of a state or of a table is refused, not read."""

import copy

import numpy as np
import pytest

from ebagx import EmbeddingBag, RowGradient, optim
from support import optim_cases as cases
from support.errors import rejected

SHAPE = 5, 3
FORMS = (False, True, "rows")


def masked(*place, shape=SHAPE):
    values = np.ma.masked_array(np.full(shape, 9.0), mask=np.zeros(shape, bool))
    values[place] = np.ma.masked
    return values


@pytest.mark.parametrize("sparse", FORMS)
def test_of_an_assigned_gradient(sparse):
    bag = EmbeddingBag(*SHAPE, mode="sum", sparse=sparse, rng=0)
    bag([[1]], per_sample_weights=[[2]])
    bag.backward(np.ones((1, 3)))
    before, of_weights = bag.row_gradient().toarray(), bag.per_sample_weights_grad
    with rejected(ValueError, "grad[1, 2] is masked: fill it"):
        bag.grad = masked(1, 2)
    with rejected(ValueError, "per_sample_weights_grad[0, 0] is masked: fill it"):
        bag.per_sample_weights_grad = masked(0, 0, shape=(1, 1))
    np.testing.assert_array_equal(bag.row_gradient().toarray(), before)
    assert bag.per_sample_weights_grad is of_weights
    bag.grad = np.ma.masked_array(before * 2)
    np.testing.assert_array_equal(bag.row_gradient().toarray(), before * 2)


def test_of_a_row_gradient():
    with rejected(ValueError, "values[0, 1] is masked: fill it"):
        RowGradient([1, 2], masked(0, 1, shape=(2, 3)), SHAPE)
    with rejected(ValueError, "rows[1] is masked: fill it"):
        RowGradient(np.ma.masked_array([1, 2], [False, True]), np.ones((2, 3)), SHAPE)


def test_of_a_table_of_an_optimizer():
    table = masked(0, 0)
    with rejected(ValueError, "weight[0, 0] is masked: fill it"):
        optim.SGD().update(table, RowGradient([0], np.ones((1, 3)), SHAPE))
    assert (table.data == 9).all()


@cases.makers
def test_of_the_state_of_an_optimizer(make):
    optimizer = make()
    optimizer.update(cases.start(), cases.gradient(0))
    state = copy.deepcopy(optimizer.state_dict())
    for name, array in state.items():
        if isinstance(array, np.ndarray) and array.size:
            values = np.ma.masked_array(array, mask=np.zeros(array.shape, bool))
            values[(1,) * array.ndim if array.shape[-1] > 1 else (1, 0)] = np.ma.masked
            with pytest.raises(ValueError, match=rf"{name}\[1.*\] is masked: fill it"):
                optimizer.load_state_dict({**state, name: values})
    optimizer.load_state_dict(state)
