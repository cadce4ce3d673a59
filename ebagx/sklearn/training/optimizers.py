"""Optimizers and schedules by the names that estimators give them, made for a fit."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from ebagx import optim

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    optimizer.name: optimizer
    for optimizer in (optim.Adagrad, optim.RowwiseAdagrad, optim.SGD, optim.Adam, optim.AdamW)
}
SCHEDULES = {"linear": optim.linear_decay, "cosine": optim.cosine_decay}


def is_optimizer(value: Any) -> bool:
    """Return whether a parameter is an optimizer object, not the name of one."""
    return isinstance(value, optim.Optimizer)


def make_optimizers(estimator: Any) -> list[optim.Optimizer]:
    """Return new optimizers for a fit: one for the table, and one for each layer."""
    named = estimator.optimizer
    count = 2 if estimator.hidden is None else 3
    if is_optimizer(named):
        return [copy.deepcopy(named.fresh()) for _ in range(count)]
    options = {"weight_decay": estimator.alpha, "num_threads": estimator.num_threads}
    return [OPTIMIZERS[named](estimator.learning_rate, **options) for _ in range(count)]


def set_learning_rate(
    optimizers: Sequence[optim.Optimizer], estimator: Any, num_steps: int | None
) -> None:
    """Set the learning rate, on its schedule if the number of steps is known.

    Optimizer objects have rates of their own, which stay.
    """
    if is_optimizer(estimator.optimizer):
        return
    rate, schedule = estimator.learning_rate, estimator.schedule
    if callable(schedule):
        rate = schedule
    elif schedule is not None and num_steps is not None:
        rate = SCHEDULES[schedule](rate, num_steps)
    for optimizer in optimizers:
        optimizer.learning_rate = rate
