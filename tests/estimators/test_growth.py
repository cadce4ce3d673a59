"""Test arrays and optimizers of models that get new rows."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from ebagx import RowGradient, optim
from ebagx._training.growth import grown, grown_optimizer
from ebagx.optim.state import SEEN

PLACES = np.array([4, 0, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_stand_at_their_places(dtype):
    array = np.arange(6, dtype=dtype).reshape(3, 2)
    larger = grown(array, PLACES, 5, fill=9)
    assert larger.dtype == dtype
    assert larger.tolist() == [[2, 3], [9, 9], [4, 5], [9, 9], [0, 1]]
    assert grown(array[:, 0], PLACES, 5).tolist() == [2, 0, 4, 0, 0]
    same = grown(array, np.arange(3), 3)
    assert same.tolist() == array.tolist()
    assert not np.shares_memory(same, array)


@pytest.mark.parametrize(
    "optimizer",
    [
        optim.Adagrad(0.1),
        optim.Adagrad(0.1, initial_accumulator_value=0.5, weight_decay=0.01),
        optim.RowwiseAdagrad(0.1),
        optim.SGD(optim.linear_decay(0.1, 10), momentum=0.9, weight_decay=0.1),
        optim.AdamW(0.1),
    ],
    ids=str,
)
def test_a_grown_optimizer_goes_on_as_if_the_rows_had_been_there(optimizer):
    rng = np.random.default_rng(0)
    table = rng.standard_normal((3, 2)).astype(np.float32)
    values = rng.standard_normal((3, 2)).astype(np.float32)
    small, large = optimizer.fresh(), optimizer.fresh()
    larger = grown(table, PLACES, 5, fill=0.5)
    small.update(table, RowGradient(np.array([0, 2]), values[:2], table.shape))
    small.catch_up(table)
    large.update(larger, RowGradient(np.array([2, 4]), values[1::-1], larger.shape))
    large.catch_up(larger)
    more = grown_optimizer(small, PLACES, 5)
    assert (more.num_steps, repr(more)) == (1, repr(small))
    found = grown(table, PLACES, 5)
    found[[1, 3]] = larger[[1, 3]]
    for each, weight in ((more, found), (large, larger)):
        each.update(weight, RowGradient(np.array([0, 1, 2]), values, weight.shape))
        each.catch_up(weight)
    np.testing.assert_array_equal(found, larger)
    seen = more.state_dict()[SEEN]
    assert not seen.size or (seen == more.state_dict()["decay_total"]).all()


def test_an_optimizer_before_its_first_step():
    assert grown_optimizer(optim.Adagrad(0.1), PLACES, 5).num_steps == 0
