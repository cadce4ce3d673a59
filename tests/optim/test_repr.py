"""The representation of optimizers and schedules: short, and what makes an equal one."""

import copy
import pickle

import numpy as np
import pytest

from ebagx import optim

CALLS = [
    "SGD(learning_rate=0.01)",
    "SGD(learning_rate=0.1, momentum=0.9, nesterov=True)",
    "Adagrad(learning_rate=0.5, eps=0.1, weight_decay=0.25, clip_norm=1.0)",
    "RowwiseAdagrad(learning_rate=0.01, initial_accumulator_value=0.5)",
    "Adam(learning_rate=0.001, betas=(0.8, 0.9), clip_value=2.0, clip_row_norm=3.0)",
    "AdamW(learning_rate=0.001)",
    "AdamW(learning_rate=0.001, weight_decay=0.0, num_threads=2)",
    "SGD(learning_rate=warmup(schedule=exponential_decay(start=0.5, factor=0.5), num_steps=3))",
]
SCHEDULES = [
    "linear_decay(start=0.5, num_steps=9, end=0.25)",
    "cosine_decay(start=0.5, num_steps=9, end=0.0)",
    "exponential_decay(start=0.5, factor=0.5)",
    "inverse_scaling(start=0.5, power=0.5)",
    "warmup(schedule=0.5, num_steps=4)",
]


def evaluate(call):
    return eval(call, vars(optim))


@pytest.mark.parametrize("call", CALLS)
def test_optimizers(call):
    optimizer = evaluate(call)
    assert repr(optimizer) == call
    assert repr(optimizer.fresh()) == call


def test_assigned_options_are_shown():
    optimizer = optim.SGD(0.5)
    optimizer.learning_rate, optimizer.weight_decay = 0.25, 0.1
    assert repr(optimizer) == "SGD(learning_rate=0.25, weight_decay=0.1)"


def test_subclasses_with_another_signature():
    class Mine(optim.AdamW):
        def __init__(self, eps=0.5, **options):
            super().__init__(0.25, eps=eps, **options)

    assert repr(Mine()) == "Mine(learning_rate=0.25)"
    assert repr(Mine(1, betas=(0, 0.5))) == "Mine(learning_rate=0.25, betas=(0.0, 0.5), eps=1.0)"


def test_numbers_of_numpy_are_shown_as_numbers():
    optimizer = optim.Adam(np.float32(0.5), (np.float64(0.5), 0), clip_norm=np.int64(2))
    optimizer.eps = np.float32(0.25)
    assert repr(optimizer) == ("Adam(learning_rate=0.5, betas=(0.5, 0.0), eps=0.25, clip_norm=2.0)")
    assert repr(optim.exponential_decay(1, np.float32(0.5))) == (
        "exponential_decay(start=1.0, factor=0.5)"
    )


@pytest.mark.parametrize("call", SCHEDULES)
def test_schedules(call):
    schedule = evaluate(call)
    assert repr(schedule) == call
    for other in (evaluate(call), copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert other == schedule
        assert [other(step) for step in range(12)] == [schedule(step) for step in range(12)]
    assert schedule != optim.linear_decay(0.125, 3)
    assert schedule != call


@pytest.mark.parametrize("name", ["start", "num_steps", "_arguments", "power"])
def test_schedules_do_not_change(name):
    schedule = optim.linear_decay(0.5, 9)
    with pytest.raises(AttributeError, match=f"^a schedule does not change, cannot set {name} = 7"):
        setattr(schedule, name, 7)
    assert schedule == optim.linear_decay(0.5, 9)
