"""Manners of estimators that are trained in passes: parameters, state, the end of a training."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import check_random_state

from ebagx._core.checks import AT_LEAST_0, PART, POSITIVE, shown
from ebagx._training.loop import History, Plan
from ebagx._training.optimizers import OPTIMIZERS, SCHEDULES, is_optimizer, make_optimizers
from ebagx.optim import Optimizer
from ebagx.sklearn.parameters import (
    COUNT,
    NUM_THREADS,
    SIZE,
    Constraints,
    Flag,
    Number,
    OneOf,
    Seed,
    Verbosity,
    check_parameters,
    check_same_values,
)


class DivergenceError(ValueError):
    """A loss that is infinite or NaN has ended the training in pass `number`."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message, number)
        self.number = number

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


class MadeInPasses:
    """Estimators that train on shuffled mini-batches, and keep the model of one pass."""

    _constraints: ClassVar[Constraints] = {
        "embedding_dim": SIZE,
        "optimizer": OneOf(tuple(OPTIMIZERS), is_optimizer, " or an ebagx.optim.Optimizer"),
        "learning_rate": Number(POSITIVE),
        "schedule": OneOf((None, *SCHEDULES), callable, " or a callable"),
        "batch_size": COUNT,
        "max_iter": COUNT,
        "alpha": Number(AT_LEAST_0),
        "early_stopping": Flag(),
        "validation_fraction": Number(PART),
        "n_iter_no_change": COUNT,
        "tol": Number(AT_LEAST_0),
        "warm_start": Flag(),
        "random_state": Seed(),
        "verbose": Verbosity(),
        "num_threads": NUM_THREADS,
    }

    # Parameters that belong to a fitted model, and their values when it was made.
    _fixed: ClassVar[tuple[str, ...]] = ()
    _made_with: Mapping[str, Any] = MappingProxyType({})
    _fitted_name: ClassVar[str] = "embedding_"
    _data_names: ClassVar[str] = "X or y"
    _table_eps: float | None = None  # `eps` of the table's optimizer; None: the optimizer's default
    # Options of optimizers that are given by name, if they have them.
    _optimizer_options: ClassVar[Mapping[str, float]] = MappingProxyType({})

    optimizer: Any
    schedule: Any
    learning_rate: float
    alpha: float
    random_state: Any

    loss_curve_: list[float]
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    best_iter_: int
    n_iter_: int

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        """Give the estimator its attributes back if the block raises an error."""
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _check_parameters(self) -> None:
        """Raise TypeError or ValueError unless the parameters are good, also together."""
        check_parameters(self)
        if self.schedule is not None and is_optimizer(self.optimizer):
            raise ValueError(
                f"schedule must be None with an optimizer object, got {shown(self.schedule)}; "
                "make the optimizer with the schedule as its learning_rate"
            )
        if not is_optimizer(self.optimizer) and not callable(self.schedule):
            self._check_decay()

    def _check_decay(self) -> None:
        """Raise ValueError if a step would shrink rows to less than nothing."""
        if not self.learning_rate * self.alpha < 1:
            raise ValueError(
                "learning_rate * alpha must be less than 1, got "
                f"{self.learning_rate} * {self.alpha}"
            )

    def _check_unchanged(self, *names: str) -> None:
        """Raise ValueError if parameters differ from those with which the model was made."""
        made_with = {name: self._made_with[name] for name in names if name in self._made_with}
        check_same_values(self, made_with, "call fit with warm_start=False")

    def _is_fitted(self) -> bool:
        return hasattr(self, self._fitted_name)

    def _new_optimizers(self) -> list[Optimizer]:
        """Return the optimizers that a training begins with."""
        return make_optimizers(self)

    def _new_rng(self) -> np.random.Generator:
        return np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))

    def _take_over(self, history: History, earlier: list[float], plan: Plan) -> None:
        """Set the attributes that describe the training; raise or warn if it ended early."""
        made = len(history.losses)
        if history.diverged:
            kept = f"pass {history.best_iter}" if history.best_iter else "before"
            outcome = f"the model of {kept} is kept" if self._is_fitted() else "there is no model"
            rate = self.learning_rate if isinstance(self.optimizer, str) else "the optimizer's"
            message = (
                f"the loss diverged in pass {made + 1}; learning_rate = {rate} or the values of "
                f"{self._data_names} are too large; {outcome}"
            )
        if self._is_fitted():
            self.loss_curve_ = [*earlier, *history.losses]
            self.n_iter_ = len(self.loss_curve_)
            self.best_iter_ = len(earlier) + history.best_iter
            self.validation_scores_ = None if plan.score is None else history.scores
            self.best_validation_score_ = max([*history.start, *history.scores], default=None)
        if history.diverged:
            raise DivergenceError(message, made + 1)
        if history.interrupted:
            warnings.warn(
                f"training was interrupted in pass {made + 1} of {plan.max_iter}; the model is "
                "the one learned until then",
                stacklevel=3,
            )

    def _forget(self) -> None:
        """Remove all fitted attributes."""
        for name in [name for name in self.__dict__ if name.endswith("_")] + [
            "_state",
            "_made_with",
        ]:
            self.__dict__.pop(name, None)
