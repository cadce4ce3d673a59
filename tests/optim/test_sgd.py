import numpy as np
import pytest

from ebagx.optim import SGD, linear_decay
from support import optim_cases as cases

VARIANTS = [(0.0, False), (0.9, False), (0.9, True)]


@pytest.mark.torch
def test_equals_pytorch_with_scattered_rows():
    expected = cases.run_torch(lambda optim, p: optim.SGD(p, lr=0.1))
    np.testing.assert_allclose(cases.run(SGD(0.1)), expected, rtol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize(("momentum", "nesterov"), VARIANTS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_equals_pytorch_with_all_rows(momentum, nesterov, weight_decay):
    table = cases.run(SGD(0.1, momentum, nesterov, weight_decay=weight_decay), cases.ALL_ROWS)
    expected = cases.run_torch(
        lambda optim, p: optim.SGD(
            p, lr=0.1, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        ),
        cases.ALL_ROWS,
    )
    np.testing.assert_allclose(table, expected, rtol=1e-11)


@pytest.mark.torch
@pytest.mark.parametrize("rate", [lambda _: 0.1, linear_decay(0.2, 40, 0.01)])
def test_lazy_weight_decay_ends_where_pytorch_s_dense_one_does(rate):
    optimizer = SGD(rate, weight_decay=0.3)
    table = cases.run(optimizer)
    expected = cases.run_torch(lambda optim, p: optim.SGD(p, lr=1, weight_decay=0.3), rate=rate)
    assert not np.allclose(table, expected, rtol=1e-3)
    optimizer.catch_up(table)
    np.testing.assert_allclose(table, expected, rtol=1e-11)


@pytest.mark.parametrize(("momentum", "nesterov"), VARIANTS[1:])
def test_untouched_rows_keep_their_velocity(momentum, nesterov):
    table, expected = cases.run(SGD(0.1, momentum, nesterov)), cases.start()
    velocity = np.zeros(cases.SHAPE)
    for step in range(cases.STEPS):
        rows, values, _ = (getattr(cases.gradient(step), n) for n in ("rows", "values", "shape"))
        velocity[rows] = momentum * velocity[rows] + values
        expected[rows] -= 0.1 * (values + momentum * velocity[rows] if nesterov else velocity[rows])
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_has_no_state_without_momentum():
    optimizer = SGD()
    optimizer.update(cases.start(), cases.gradient(0))
    assert optimizer.state_dict()["momentum_buffer"].shape == (0, 0)


def test_momentum_may_be_assigned_between_steps():
    optimizer, table = SGD(0.1), cases.start()
    optimizer.update(table, cases.gradient(0))
    optimizer.momentum = 0.9
    optimizer.update(table, cases.gradient(1))
    assert optimizer.state_dict()["momentum_buffer"].shape == cases.SHAPE


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_bad_momentum(value):
    with pytest.raises(ValueError, match=rf"^momentum must be in \[0, 1\), got {value}$"):
        SGD(momentum=value)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="^nesterov needs momentum, which is 0$"):
        SGD(nesterov=True)
