"""Checks of the estimators' parameters, and the optimizers they name."""

import copy
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from ebagx import optim
from ebagx._core.checks import check_num_threads
from ebagx._core.modes import WEIGHTED_MODES

_OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    optimizer.name: optimizer
    for optimizer in (optim.Adagrad, optim.RowwiseAdagrad, optim.SGD, optim.Adam, optim.AdamW)
}
_SCHEDULES = {"linear": optim.linear_decay, "cosine": optim.cosine_decay}


def check_parameters(estimator: Any) -> None:
    """Raise TypeError or ValueError unless the parameters all estimators have are good."""
    for name in ("embedding_dim", "batch_size", "max_iter", "n_iter_no_change"):
        check_positive_integer(getattr(estimator, name), name)
    if estimator.hidden is not None:
        check_positive_integer(estimator.hidden, "hidden")
    check_one_of(estimator.mode, "mode", WEIGHTED_MODES)
    for name in ("early_stopping", "warm_start", "verbose"):
        value = getattr(estimator, name)
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    for name, above, below, limits in (
        ("learning_rate", 0, np.inf, "positive and finite"),
        ("validation_fraction", 0, 1, "between 0 and 1"),
    ):
        value = check_number(getattr(estimator, name), name)
        if not above < value < below:
            raise ValueError(f"{name} must be {limits}, got {value}")
    for name in ("alpha", "tol"):
        value = check_number(getattr(estimator, name), name)
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be at least 0 and finite, got {value}")
    _check_optimizer(estimator)
    check_num_threads(estimator.num_threads)


def check_positive_integer(value: Any, name: str) -> None:
    """Raise unless `value` is an integer from 1 on."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_number(value: Any, name: str) -> float:
    """Return a real number, or raise TypeError."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return float(value) if isinstance(value, np.floating) else value  # type: ignore[return-value]


def check_one_of(value: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of the strings."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _check_optimizer(estimator: Any) -> None:
    optimizer, schedule = estimator.optimizer, estimator.schedule
    is_named = isinstance(optimizer, str) and optimizer in _OPTIMIZERS
    if not (is_named or isinstance(optimizer, optim.Optimizer)):
        raise ValueError(
            f"optimizer must be one of {', '.join(_OPTIMIZERS)} or an ebagx.optim.Optimizer, "
            f"got {optimizer!r}"
        )
    if not (schedule is None or callable(schedule)) and (
        not isinstance(schedule, str) or schedule not in _SCHEDULES
    ):
        raise ValueError(
            f"schedule must be None, {', '.join(_SCHEDULES)} or a callable, got {schedule!r}"
        )
    if not is_named and schedule is not None:
        raise ValueError("schedule must be None with an optimizer object, which has its own rate")


def make_optimizers(estimator: Any) -> list[optim.Optimizer]:
    """Return new optimizers as the parameters ask for them: for the table, and for each layer."""
    named = estimator.optimizer
    count = 2 if estimator.hidden is None else 3
    if not isinstance(named, str):
        return [copy.deepcopy(named) for _ in range(count)]
    options = {"weight_decay": estimator.alpha, "num_threads": estimator.num_threads}
    return [_OPTIMIZERS[named](estimator.learning_rate, **options) for _ in range(count)]


def set_learning_rate(
    optimizers: list[optim.Optimizer], estimator: Any, num_steps: int | None
) -> None:
    """Set the learning rate, on its schedule if the number of steps is known."""
    if not isinstance(estimator.optimizer, str):
        return
    rate, schedule = estimator.learning_rate, estimator.schedule
    if callable(schedule):
        rate = schedule
    elif schedule is not None and num_steps is not None:
        rate = _SCHEDULES[schedule](rate, num_steps)
    for optimizer in optimizers:
        optimizer.learning_rate = rate
