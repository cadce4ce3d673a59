import numpy as np
import pytest

from ebagx import RowGradient
from ebagx.optim import SGD
from support import optim_cases as cases


@pytest.mark.torch
def test_value_equals_pytorch():
    expected = cases.run_torch(
        lambda optim, p: optim.SGD(p, lr=0.1), clip=lambda utils, p: utils.clip_grad_value_(p, 0.5)
    )
    np.testing.assert_allclose(cases.run(SGD(0.1, clip_value=0.5)), expected, rtol=1e-12)


@pytest.mark.torch
def test_norm_equals_pytorch():
    expected = cases.run_torch(
        lambda optim, p: optim.SGD(p, lr=0.1), clip=lambda utils, p: utils.clip_grad_norm_(p, 1.5)
    )
    np.testing.assert_allclose(cases.run(SGD(0.1, clip_norm=1.5)), expected, rtol=1e-12)


def test_row_norm():
    table, expected = cases.run(SGD(0.1, clip_row_norm=1.5)), cases.start()
    clipped = 0
    for step in range(cases.STEPS):
        grad = cases.gradient(step)
        factors = 1.5 / (np.linalg.norm(grad.values, axis=1, keepdims=True) + 1e-6)
        clipped += np.count_nonzero(factors < 1)
        expected[grad.rows] -= 0.1 * np.minimum(factors, 1) * grad.values
    assert 10 < clipped < 130
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_all_three_in_order():
    values = np.array([[3.0, 4.0, 0.0], [0.1, 0.0, 0.0]])
    table = np.zeros(cases.SHAPE)
    optimizer = SGD(1.0, clip_value=3.5, clip_row_norm=2.0, clip_norm=1.0)
    optimizer.update(table, RowGradient(np.array([1, 2]), values, cases.SHAPE))
    limited = values.clip(max=3.5)
    limited[0] *= 2 / (np.linalg.norm(limited[0]) + 1e-6)
    limited *= 1 / (np.linalg.norm(limited) + 1e-6)
    np.testing.assert_allclose(table[1:3], -limited, rtol=1e-12)


@pytest.mark.parametrize("name", ["clip_value", "clip_row_norm", "clip_norm"])
def test_gradient_itself_stays_as_it_is(name):
    grad = cases.gradient(0)
    before = grad.values.copy()
    SGD(**{name: 0.1}).update(cases.start(), grad)
    np.testing.assert_array_equal(grad.values, before)


@pytest.mark.parametrize("name", ["clip_value", "clip_row_norm", "clip_norm"])
def test_small_gradients_and_nan_pass(name):
    table = np.zeros(cases.SHAPE)
    optimizer = SGD(1.0, **{name: 100.0})
    optimizer.update(table, cases.gradient(0))
    np.testing.assert_array_equal(table, -cases.gradient(0).toarray())
    values = np.full((1, 3), np.nan)
    optimizer.update(table, RowGradient(np.array([0]), values, cases.SHAPE))
    assert np.isnan(table[0]).all()


@pytest.mark.parametrize("name", ["clip_value", "clip_row_norm", "clip_norm"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_bad_limits(name, value):
    with pytest.raises(
        ValueError, match=f"^{name} must be positive and finite or None, got {value}$"
    ):
        SGD(**{name: value})
