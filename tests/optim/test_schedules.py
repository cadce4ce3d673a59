import math

import numpy as np
import pytest

from ebagx.optim import (
    SGD,
    cosine_decay,
    exponential_decay,
    inverse_scaling,
    linear_decay,
    warmup,
)
from support import optim_cases as cases


def test_linear_decay():
    rate = linear_decay(1.0, 4, 0.2)
    np.testing.assert_allclose([rate(step) for step in range(6)], [1, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_cosine_decay():
    rate = cosine_decay(1.0, 4, 0.2)
    expected = [0.6 + 0.4 * math.cos(math.pi * min(step, 4) / 4) for step in range(6)]
    np.testing.assert_allclose([rate(step) for step in range(6)], expected)


def test_exponential_decay():
    assert [exponential_decay(1.0, 0.5)(step) for step in range(3)] == [1, 0.5, 0.25]


def test_inverse_scaling():
    assert [inverse_scaling(1.0, 2)(step) for step in range(3)] == [1, 1 / 4, 1 / 9]


def test_warmup_climbs_to_another_schedule():
    rate = warmup(linear_decay(1.0, 10), 2)
    np.testing.assert_allclose([rate(step) for step in range(3)], [0.5, 0.9, 0.8])


def test_optimizer_asks_for_the_rate_of_each_step():
    asked = []

    def rate(step):
        asked.append(step)
        return 0.5 / (step + 1)

    table, expected = cases.run(SGD(rate), steps=3), cases.start()
    assert asked == [0, 1, 2]
    for step in range(3):
        expected -= rate(step) * cases.gradient(step).toarray()
    np.testing.assert_allclose(table, expected)


def test_a_schedule_that_goes_wrong_changes_nothing():
    optimizer, table = SGD(lambda step: 1.0 - step), cases.start()
    optimizer.update(table, cases.gradient(0))
    optimizer.update(table, cases.gradient(1))
    before = table.copy()
    with pytest.raises(ValueError, match="^learning_rate must be at least 0 and finite"):
        optimizer.update(table, cases.gradient(2))
    np.testing.assert_array_equal(table, before)
    assert optimizer.num_steps == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_decay(-1, 5), "start must be at least 0 and finite, got -1"),
        (lambda: linear_decay(1, 0), "num_steps must be at least 1, got 0"),
        (lambda: cosine_decay(1, 5, math.nan), "end must be at least 0 and finite, got nan"),
        (lambda: exponential_decay(1, 1.5), r"factor must be in \(0, 1\], got 1.5"),
        (lambda: inverse_scaling(1, -1), "power must be at least 0 and finite, got -1"),
        (lambda: warmup(0.1, 0), "num_steps must be at least 1, got 0"),
        (lambda: warmup(-0.1, 3), "schedule must be at least 0 and finite, got -0.1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()
