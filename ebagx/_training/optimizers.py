"""Optimizers and schedules by the names that estimators give them, made for a fit."""

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from ebagx import optim

OPTIMIZERS: dict[str, Any] = {
    optimizer.name: optimizer
    for optimizer in (optim.Adagrad, optim.RowwiseAdagrad, optim.SGD, optim.Adam, optim.AdamW)
}
SCHEDULES = {"linear": optim.linear_decay, "cosine": optim.cosine_decay}


class State(NamedTuple):
    """State that `partial_fit` goes on with, beside the fitted attributes."""

    rng: np.random.Generator
    optimizers: list[optim.Optimizer]
    random_state: Any  # the parameter that has seeded `rng`

    def under(self, estimator: Any) -> "State":
        """Return the state with which training goes on under the estimator's parameters."""
        seed, rng = estimator.random_state, self.rng
        is_same = seed is self.random_state
        if not is_same and not (isinstance(seed, Integral) and seed == self.random_state):
            rng = estimator._new_rng()
        return State(rng, _changed_optimizers(self.optimizers, estimator), seed)


def is_optimizer(value: Any) -> bool:
    """Return whether a parameter is an optimizer object, not the name of one."""
    return isinstance(value, optim.Optimizer)


def make_optimizers(estimator: Any) -> list[optim.Optimizer]:
    """Return new optimizers for a fit: those of tables first, then one for each layer."""
    named, count = estimator.optimizer, estimator._num_optimizers
    if is_optimizer(named):
        return [copy.deepcopy(named.fresh()) for _ in range(count)]
    options = {"weight_decay": estimator.alpha, "num_threads": estimator.num_threads}
    kind = OPTIMIZERS[named]
    own = estimator._optimizer_options.items()
    options |= {name: value for name, value in own if name in kind._options}
    made = [kind(estimator.learning_rate, **options) for _ in range(count)]
    if estimator._table_eps is not None:
        made[0].eps = estimator._table_eps
    return made


def _changed_optimizers(optimizers: list[optim.Optimizer], estimator: Any) -> list[optim.Optimizer]:
    """Return the optimizers with which training goes on under the estimator's parameters.

    They take over a rate, a decay and a number of threads. If the rule or another of its numbers
    has changed, they are new ones.
    """
    wanted = make_optimizers(estimator)
    for mine, new in zip(optimizers, wanted, strict=True):
        mine.learning_rate, mine.weight_decay = new.learning_rate, new.weight_decay
        mine.num_threads = new.num_threads
        if repr(mine) != repr(new):
            return wanted
    return optimizers


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
