"""Test weight decay that is switched off and on, against dense steps on all rows."""

import itertools

import numpy as np
import pytest

from ebagx import RowGradient
from ebagx.optim import SGD, Adam, AdamW, linear_decay
from support import optim_cases as cases

PLANS = {
    "off and on": [(0.1, 0.5)] * 3 + [(0.1, 0.0)] * 3 + [(0.1, 0.5)] * 2,
    "on late": [(0.1, 0.0)] * 3 + [(0.1, 0.5)] * 3,
    "off for ever": [(0.1, 0.5)] * 3 + [(0.1, 0.0)] * 3,
    "changed": [(0.1, decay) for decay in (0.5, 0.1, 2, 0, 1e-9, 3)],
    "rates": [(rate, 0.5) for rate in (0.1, 0, 1.5, 0.01, 0, 0.3)],
    "both": [(rate, decay) for rate, decay in itertools.product((0, 0.2), (0, 0.5, 0))],
}


def through_state(optimizer):
    other = type(optimizer)()
    other.load_state_dict(optimizer.state_dict())
    return other


def unbound(optimizer):
    optimizer.unbind()
    return optimizer


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("between", [lambda optimizer: optimizer, through_state, unbound])
@pytest.mark.parametrize("settle", [False, True])
def test_equals_dense_steps(plan, momentum, between, settle):
    """With momentum, only one row is touched, and all others have but their decay."""
    table, expected = cases.start(), cases.start()
    optimizer, velocity = SGD(momentum=0.9 * momentum), np.zeros_like(table)
    for step, (rate, decay) in enumerate(plan):
        rows = [2] if momentum else [step % 3, 4 + step % 2]
        values = np.random.default_rng(step).standard_normal((len(rows), 3))
        optimizer.learning_rate = (lambda _, rate=rate: rate) if step % 2 else rate
        optimizer.weight_decay = decay
        optimizer.update(table, RowGradient(rows, values, cases.SHAPE))
        dense = RowGradient(rows, values, cases.SHAPE).toarray()
        touched = dense[rows] + decay * expected[rows]
        velocity[rows] = 0.9 * velocity[rows] * momentum + touched
        others = np.setdiff1d(cases.ALL_ROWS, rows)
        expected[others] -= rate * decay * expected[others]
        expected[rows] -= rate * velocity[rows]
        np.testing.assert_allclose(table[rows], expected[rows], rtol=1e-12)
        if settle and step % 2:
            optimizer.catch_up(table)
            np.testing.assert_allclose(table, expected, rtol=1e-12)
        optimizer.learning_rate = rate
        optimizer = between(optimizer)
    optimizer.weight_decay = 0
    optimizer.catch_up(table)
    np.testing.assert_allclose(table, expected, rtol=1e-12)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_untouched_rows_of_other_rules_lack_the_same_factors(plan, kind):
    table, optimizer, factor = cases.start(), kind(), 1.0
    for rate, decay in plan:
        optimizer.learning_rate, optimizer.weight_decay = rate, decay
        optimizer.update(table, RowGradient([2], np.ones((1, 3)), cases.SHAPE))
        factor *= 1 - rate * decay
    optimizer.catch_up(table)
    others = np.setdiff1d(cases.ALL_ROWS, [2])
    np.testing.assert_allclose(table[others], factor * cases.start()[others], rtol=1e-12)


def test_rows_get_the_decay_they_lack_before_a_step_without_decay():
    table, optimizer = np.ones((3, 1)), SGD(0.5, weight_decay=1.0)
    optimizer.update(table, RowGradient([0], np.zeros((1, 1)), (3, 1)))
    optimizer.weight_decay = 0
    optimizer.update(table, RowGradient([1], np.ones((1, 1)), (3, 1)))
    np.testing.assert_allclose(table[:, 0], [0.5, 0.0, 1.0], atol=1e-15)
    optimizer.catch_up(table)
    np.testing.assert_allclose(table[:, 0], [0.5, 0.0, 0.5], atol=1e-15)


def test_no_decay_takes_no_memory():
    optimizer = SGD(linear_decay(0.5, 9))
    optimizer.update(cases.start(), cases.gradient(0))
    assert optimizer.state_dict()["decay_seen"].size == 0


@pytest.mark.parametrize("decay", [2.0, 3.0])
def test_decay_that_was_assigned_and_turns_rows_round(decay):
    table, optimizer = cases.start(), SGD(0.5)
    optimizer.update(table, cases.gradient(0))
    before, optimizer.weight_decay = table.copy(), decay
    with pytest.raises(ValueError, match=r"^learning_rate \* weight_decay must be less than 1"):
        optimizer.update(table, cases.gradient(1))
    np.testing.assert_array_equal(table, before)
    assert optimizer.num_steps == 1
