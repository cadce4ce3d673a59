"""Test that steps which a kernel takes are those of `Optimizer.update` on the same gradient."""

import copy

import numpy as np
import pytest

from ebagx import RowGradient
from ebagx._core.levels import kernels
from ebagx._kernels import training_reference as twin
from ebagx._kernels.lookups_reference import NO_NORM, take_bags, touched_rows
from ebagx.optim import SGD, Adagrad, Adam, linear_decay
from ebagx.optim.planning import PlannedSteps
from support.optim_cases import makers

N, D, K, BATCH, STEPS = 30, 5, 4, 6, 8
F = np.float32


def make_bags():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 6, BATCH * STEPS)
    offsets = np.cumsum([0, *lengths])
    indices = rng.integers(0, N, offsets[-1])
    return indices, offsets, rng.standard_normal(len(indices)).astype(F), np.arange(BATCH * STEPS)


def make_weights():
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape).astype(F) for shape in ((N, D), (K, D + 1))]


TARGETS = (
    np.arange(BATCH * STEPS + 1),
    np.random.default_rng(2).integers(0, K, BATCH * STEPS),
    np.empty((0, 0), F),
    np.empty(0, F),
)


def empty(*layout):
    return tuple(np.empty((0,) * ndim, dtype) for ndim, dtype in layout)


# Each batch uses all classes.
ALL_CLASSES = (
    empty((2, np.int32), (1, F), (2, np.int32), (1, np.int64)),
    empty((2, np.int32), (1, np.int64), (2, np.int32), (2, np.int64), (2, F), (2, F)),
)


def train(of_table, of_layer, first, count):
    """Take `count` steps from step `first` on with the kernel."""
    bags = make_bags()
    plans = [steps.plan(count)[0] for steps in (of_table, of_layer)]
    for steps, plan in zip((of_table, of_layer), plans, strict=True):
        steps.take(plan)
    losses = np.empty(count * BATCH)
    order = bags[-1][first * BATCH : (first + count) * BATCH]
    room = 40
    block = [np.empty(room, t) for t in (np.int64, F, np.int32, np.int64, np.int64, np.int32, F)]
    block[4] = np.empty(room + 1, np.int64)
    kernels.train_batches(
        (losses, np.empty((BATCH, D), F), np.empty((1, 4 * (D + 1)), F)),
        (*bags[:-1], order),
        TARGETS,
        tuple(block),
        (
            *(np.zeros((1, N), np.int32), np.ones(1, np.int64), np.empty(BATCH, np.int64)),
            *(np.empty(BATCH + 1, np.int64), np.empty(1, np.int64)),
        ),
        *ALL_CLASSES,
        (
            (
                of_layer.arrays(plans[1]),
                (np.empty((BATCH, D), F), np.empty((D, 16), F), np.empty((K, 16), F)),
            ),
        ),
        of_table.arrays(plans[0]),
        *(BATCH, NO_NORM, twin.SOFTMAX, 0.0, 1, 0, 1),
    )


def update(table, layer, optimizers, step):
    """Take one step by `update` on the same gradients."""
    indices, offsets, weights, order = make_bags()
    examples = order[step * BATCH : (step + 1) * BATCH]
    bags = take_bags((indices, offsets, weights, order), examples, 1)
    pooled = np.zeros((BATCH, D), F)
    twin.reference.pool(pooled, table, *bags, twin.reference.SUM, 1)
    scales = np.full(BATCH, F(1) / F(BATCH))
    targets = twin._batch_targets(TARGETS, examples)
    _, (of_layer,), below = twin.differentiate(
        pooled, [layer], targets, None, scales, twin.SOFTMAX, F(0)
    )
    rows, numbers = touched_rows(bags[0])
    values = np.zeros((len(rows), D), F)
    twin.reference.scatter(values, below, numbers, bags[1], bags[2], twin.reference.SUM, 1)
    order = np.argsort(rows)
    optimizers[0].update(table, RowGradient(rows[order], values[order], (N, D)))
    optimizers[1].update(layer, RowGradient(np.arange(K), of_layer, layer.shape))


OPTIONS = {
    "plain": {},
    "value": {"clip_value": 0.05},
    "row norm": {"clip_row_norm": 0.1},
    "norm": {"clip_norm": 0.2},
    "decay": {"weight_decay": 0.2},
    "schedule": {"learning_rate": linear_decay(0.2, 6, 0.01)},
}


@makers
@pytest.mark.parametrize("options", OPTIONS)
def test_steps_are_those_of_update(make, options):
    given = dict(OPTIONS[options])
    rate = given.pop("learning_rate", None)
    optimizers = [make(**given) for _ in range(2)]
    if rate is not None:
        for optimizer in optimizers:
            optimizer.learning_rate = rate
    others = copy.deepcopy(optimizers)
    weights, expected = make_weights(), make_weights()
    of_table, of_layer = (PlannedSteps(*pair, N) for pair in zip(optimizers, weights, strict=True))
    train(of_table, of_layer, 0, 3)
    train(of_table, of_layer, 3, STEPS - 3)
    for step in range(STEPS):
        update(*expected, others, step)
    for optimizer, other in zip(optimizers, others, strict=True):
        found, wanted = optimizer.state_dict(), other.state_dict()
        assert found["num_steps"] == wanted["num_steps"] == STEPS
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=1e-7, err_msg=name)
    for optimizer, weight in zip(optimizers, weights, strict=True):
        optimizer.catch_up(weight)
    for optimizer, weight in zip(others, expected, strict=True):
        optimizer.catch_up(weight)
    for weight, wanted in zip(weights, expected, strict=True):
        if options in ("norm", "decay"):  # whose sums and powers have another order there
            np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("make", [SGD, Adagrad, Adam])
def test_steady_steps_are_planned_as_others(make):
    """Numbers that do not change are computed once; Adam's change."""
    weights, rate = np.ones((3, 2), F), 0.1
    plans = []
    for learning_rate in (rate, lambda _: rate):
        optimizer = make(learning_rate, weight_decay=0.1)
        steps = PlannedSteps(optimizer, weights.copy(), 3)
        plan, error = steps.plan(20)
        assert error is None
        assert optimizer.num_steps == 0
        plans.append(plan)
    np.testing.assert_array_equal(*plans)
    assert (len(np.unique(plans[0][:, 0])) == 1) == (make is not Adam)


def test_a_subclass_may_have_numbers_of_its_own():
    class Warm(SGD):
        def _constants(self, rate, decay):
            return super()._constants(rate * min(self.num_steps, 3), decay)

    plan, _ = PlannedSteps(Warm(0.5), np.ones((3, 2), F), 3).plan(5)
    np.testing.assert_array_equal(plan[:, 0], [0.5, 1, 1.5, 1.5, 1.5])


def test_a_bad_step_ends_a_plan():
    def schedule(step):
        if step == 2:
            raise KeyboardInterrupt
        return 0.1

    optimizer = SGD(schedule)
    steps = PlannedSteps(optimizer, np.ones((3, 2), F), 3)
    plan, error = steps.plan(10)
    assert len(plan) == 2
    assert isinstance(error, KeyboardInterrupt)
    steps.take(plan)
    assert optimizer.num_steps == 2
    plan, error = PlannedSteps(SGD(lambda step: -step), np.ones((3, 2), F), 3).plan(10)
    assert len(plan) == 1
    assert isinstance(error, ValueError)


def test_ctrl_c_leaves_no_numbers_of_steps_unwritten(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    steps = PlannedSteps(Adagrad(0.1), np.zeros((N, D), F), N)
    monkeypatch.setattr(steps, "_is_steady", lambda _: True)
    monkeypatch.setattr(steps, "_numbers_of_step", interrupted)
    plan, error = steps.plan(8)
    assert plan.shape == (0, 8)
    assert isinstance(error, KeyboardInterrupt)
