import numpy as np
import pytest

from ebagx._core.dtypes import kernel_view, sum_dtype
from ebagx._kernels import reference
from ebagx.optim.rules import RULES
from support import kernel_cases as cases

ROWS = (0, 3, 4, 9)
rules = pytest.mark.parametrize("rule", RULES)


def make_state(rng, rule, dim, real):
    """Return the two arrays of state of 10 rows, empty for states that the rule does not have."""
    widths = {
        "sgd": (0, 0),
        "momentum": (dim, 0),
        "nesterov": (dim, 0),
        "adagrad": (dim, 0),
        "rowwise_adagrad": (1, 0),
        "adam": (dim, dim),
    }
    return [
        np.abs(rng.standard_normal((10 * (w > 0), w + 2)))[:, 1:-1].astype(real)
        for w in widths[rule]
    ]


def run_both(level, rule, dtype, index_dtype, num_threads, dim, decay, scaled):
    """Return (table, states) after three steps by the kernel and by the reference."""
    rng = np.random.default_rng(9)
    real = sum_dtype(dtype)
    rows = np.array(ROWS, index_dtype)
    start = rng.standard_normal((10, dim + 3)).astype(dtype)
    states = make_state(rng, rule, dim, real)
    kernel = level.step_rows
    results = []
    for run, view in ((reference.step_rows, lambda table: table), (kernel, kernel_view)):
        table, own = start.copy(), [state.copy() for state in states]
        steps = np.random.default_rng(1)
        for _ in range(3):
            grad = steps.standard_normal((len(rows), dim)).astype(real)
            scales = steps.random(len(rows) if scaled else 0).astype(real)
            numbers = np.array([0.1, decay, 0.9, 0.01, 1e-8])
            cut = view(table)[:, 1 : dim + 1]
            run(cut, *own, scales, rows, grad, numbers, RULES[rule].code, num_threads)
        results.append((table, own))
    untouched = np.setdiff1d(np.arange(10), ROWS)
    cases.assert_same_bits(results[1][0][untouched], start[untouched])
    return results


@cases.levels
@cases.table_dtypes
@cases.index_dtypes
@cases.threads
@rules
def test_step_rows_has_same_bits_as_reference(level, dtype, index_dtype, num_threads, rule):
    for dim in cases.DIMS[::2]:
        for decay, scaled in ((0, False), (0.25, True)):
            expected, actual = run_both(
                level, rule, dtype, index_dtype, num_threads, dim, decay, scaled
            )
            cases.assert_same_bits(actual[0], expected[0])
            for one, other in zip(actual[1], expected[1], strict=True):
                cases.assert_same_bits(one, other)


@cases.levels
@rules
def test_infinite_row_without_decay_gives_no_nan(level, rule):
    kernel = level.step_rows
    table = np.full((1, 8), np.inf)
    states = [np.ones((1, 8)), np.ones((1, 8))]
    if rule == "rowwise_adagrad":
        states[0] = np.ones((1, 1))
    numbers = np.array([0.1, 0, 0.9, 0.01, 1e-8])
    kernel(table, *states, np.ones(0), np.array([0]), np.ones((1, 8)), numbers, RULES[rule].code, 1)
    assert np.all(table == np.inf)


@cases.levels
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_row_squares_has_same_bits_as_reference(level, real):
    rng = np.random.default_rng(3)
    kernel = level.row_squares
    for dim in cases.DIMS:
        grad = rng.standard_normal((7, dim)).astype(real)
        expected, actual = np.empty(7), np.empty(7)
        reference.row_squares(expected, grad)
        kernel(actual, grad)
        cases.assert_same_bits(actual, expected)
