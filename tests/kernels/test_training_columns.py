"""Compare training with groups of columns, and with factors, with its twin and with definitions."""

import math

import numpy as np
import pytest

from ebagx._kernels import lookups_reference
from ebagx.optim.rules import RULES
from support import kernel_cases as cases
from support.training_cases import B, F, N, assert_equals_twin, make_call, results


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize(
    ("groups", "dims", "drawn"),
    [(2, (32, 10), 0), (3, (15, 4, 1), 0), (4, (64, 90), 11), (1, (9, 5), 0)],
)
def test_groups(level, groups, dims, drawn, num_threads, index_dtype):
    call = make_call(
        groups=groups,
        dims=dims,
        drawn=drawn,
        num_threads=num_threads,
        index_dtype=index_dtype,
        batch_size=20,
        room=300,
        norm=lookups_reference.NORM_L1,
    )
    assert_equals_twin(level, call)


@cases.levels
def test_empty_groups_add_nothing(level):
    """Rows whose second group is empty train as rows of one group, with plain SGD."""
    one, two = make_call(rule="sgd", dims=(8, 3)), make_call(rule="sgd", dims=(16, 3), groups=2)
    indices, offsets, *others = one[1]
    two[1] = indices, np.repeat(offsets, 2)[1:], *others
    two[2], two[8] = one[2], one[8]
    of_one, of_two = one[7][0][0][0], two[7][0][0][0]
    of_two[:, :8], of_two[:, 16] = of_one[:, :8], of_one[:, 8]
    found, wanted = results(level.train_batches, two), results(level.train_batches, one)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-5, atol=1e-6)
    unchanged = of_two[:, 8:16]
    cases.assert_same_bits(np.ascontiguousarray(found[5][:, 8:16]), unchanged.copy())


@cases.levels
@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("loss", ["sigmoid", "softmax", "squared", "huber", "poisson"])
@pytest.mark.parametrize(("factors", "outputs"), [(8, 1), (1, 3), (16, 2), (45, 1), (31, 17)])
def test_factors(level, loss, factors, outputs, num_threads):
    call = make_call(
        loss,
        factors=factors,
        dims=(0, outputs),
        num_threads=num_threads,
        weighted=loss in ("sigmoid", "squared"),
        batch_size=20,
    )
    call[8][0][...] *= 0.3
    assert_equals_twin(level, call)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("batch_size", [1, 16, 33, 100])
def test_sizes_of_batches_with_factors(level, batch_size, index_dtype):
    call = make_call(
        "sigmoid", factors=5, dims=(0, 2), batch_size=batch_size, index_dtype=index_dtype
    )
    assert_equals_twin(level, call)


@cases.levels
@pytest.mark.parametrize("decay", [None, "l2", "decoupled"])
@pytest.mark.parametrize("rule", RULES)
def test_rules_and_decay_with_factors(level, rule, decay):
    call = make_call(
        "squared", rule=rule, decay=decay, factors=9, dims=(0, 1), num_threads=2, room=90
    )
    assert_equals_twin(level, call)


@cases.levels
@pytest.mark.parametrize("limits", [(0.02, 0.05, math.inf), (math.inf, math.inf, 0.1)])
def test_limits_with_factors(level, limits):
    assert_equals_twin(level, make_call("sigmoid", limits=limits, factors=12, dims=(0, 2)))


def mean_loss(table, biases, call, factors):
    """Return the squared loss of all examples of a call, by all pairs of lookups."""
    indices, offsets, weights, _ = call[1]
    outputs, total = len(biases), 0.0
    for b in range(B):
        lookups = range(offsets[b], offsets[b + 1])
        for k in range(outputs):
            score = biases[k, 0]
            for i in lookups:
                score += weights[i] * table[indices[i], outputs * factors + k]
                for j in range(i + 1, offsets[b + 1]):
                    own = slice(k * factors, (k + 1) * factors)
                    product = table[indices[i], own] @ table[indices[j], own]
                    score += float(weights[i]) * float(weights[j]) * product
            total += (score - call[2][2][b, k]) ** 2 / 2
    return total / B


@cases.levels
def test_gradient_of_factors_by_finite_differences(level):
    """A step of plain SGD moves weights by the gradient of the loss over all pairs of lookups."""
    factors, outputs, h = 3, 2, 1e-5
    call = make_call(
        "squared", rule="sgd", factors=factors, dims=(0, outputs), batch_size=B, room=500
    )
    call[1] = *call[1][:3], np.arange(B)
    call[0] = (np.full(B, np.nan), *call[0][1:])
    table, biases = call[8][0].astype(float), call[7][0][0][0].astype(float)
    losses, after, *_, biases_after, _, _, _ = results(level.train_batches, call)
    assert losses.mean() == pytest.approx(mean_loss(table, biases, call, factors), rel=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(40):
        place = rng.integers(N), rng.integers(table.shape[1])
        table[place] += h
        above = mean_loss(table, biases, call, factors)
        table[place] -= 2 * h
        below = mean_loss(table, biases, call, factors)
        table[place] += h
        moved = (table[place] - after[place]) / 0.1
        assert moved == pytest.approx((above - below) / (2 * h), rel=2e-3, abs=2e-4)
    for k in range(outputs):
        biases[k] += h
        above = mean_loss(table, biases, call, factors)
        biases[k] -= 2 * h
        below = mean_loss(table, biases, call, factors)
        biases[k] += h
        moved = (biases[k, 0] - biases_after[k, 0]) / 0.1
        assert moved == pytest.approx((above - below) / (2 * h), rel=2e-3, abs=2e-4)


@cases.levels
def test_one_lookup_has_no_product(level):
    """The score of a bag of one lookup is its weight and the bias, to the bit."""
    call = make_call("squared", factors=20, dims=(0, 1), batch_size=B)
    call[1] = np.arange(B).astype(np.int32), np.arange(B + 1).astype(np.int32), *call[1][2:]
    call[1] = *call[1][:2], np.ones(B, F), np.arange(B)
    call[0] = (np.full(B, np.nan), *call[0][1:])
    call[7][0][0][0][...] = 0
    losses = results(level.train_batches, call)[0]
    errors = call[8][0][:B, 20] - call[2][2][:, 0]
    cases.assert_same_bits(losses, (F(0.5) * (errors * errors)).astype(float))


@cases.levels
@pytest.mark.parametrize("num_threads", [2, 3, 8])
def test_same_bits_for_any_number_of_threads_with_factors(level, num_threads):
    options = {"factors": 20, "dims": (0, 3), "batch_size": 37}
    one = results(level.train_batches, make_call("sigmoid", **options))
    more = make_call("sigmoid", **options, num_threads=num_threads)
    for array, wanted in zip(results(level.train_batches, more), one, strict=True):
        cases.assert_same_bits(array, wanted)
