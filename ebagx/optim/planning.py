"""`PlannedSteps` are steps that a kernel takes: their numbers are computed before the first."""

import math

import numpy as np

from ebagx.optim.optimizer import Optimizer
from ebagx.optim.rules import Rule
from ebagx.optim.stored import set_unchecked

# A plan has the columns of StepConstants, and three of the weight decay: the sum of the logarithms
# of all factors before the step and after it, and the factor of the step if decay is decoupled.
_COLUMNS, _OF_DECAY = 8, 3
_BEFORE, _AFTER, _KEPT = 5, 6, 7
_FEW = 4  # steps whose numbers are not compared
_FLOAT64 = np.dtype(np.float64)
_NO_ROWS = np.empty(0)


def rule_of(optimizer: Optimizer) -> Rule:
    """Return the rule of an optimizer's steps with its present options."""
    return optimizer._rule()


class PlannedSteps:
    """The steps of an optimizer on one float32 table, many of which one call of a kernel takes.

    The kernel ``train_batches`` takes the arrays: the table, its state, and a plan with a row of
    numbers for each step. Until `take` is called, the optimizer has not taken the steps.

    Parameters
    ----------
    optimizer : Optimizer
        It must be free or belong to the table, and belongs to it from now on.
    weight : ndarray of shape (R, C), float32
        The table, with contiguous rows, which the kernel updates in place.
    most_rows : int
        Largest number of rows that one step may touch.

    Raises
    ------
    ValueError
        As by `Optimizer.update`.
    """

    def __init__(self, optimizer: Optimizer, weight: np.ndarray, most_rows: int) -> None:
        self._optimizer = optimizer
        prepared = optimizer._prepared(optimizer._checked_table(weight))
        optimizer._check_constant_rate()
        optimizer._adopt(prepared)
        limits = optimizer.clip_value, optimizer.clip_row_norm, optimizer.clip_norm
        numbers = [math.inf if limit is None else limit for limit in limits]
        self._options = np.array([prepared.rule.code, *numbers], _FLOAT64)
        num_kept = 0 if optimizer.clip_norm is None else most_rows
        self._whole = np.empty((num_kept, weight.shape[1]), np.float32), np.empty(num_kept)
        self._written = weight, *prepared.pair
        # Rows may lack the decay of earlier steps when there is none now.
        self._seen = _NO_ROWS
        if optimizer.weight_decay or optimizer._decay.seen is not None:
            self._seen = optimizer._decay.of_rows(len(weight))

    def plan(self, count: int) -> tuple[np.ndarray, BaseException | None]:
        """Return the numbers (steps, 8) of the next steps, and what ended them before `count`.

        A schedule may raise, or have a bad rate: the steps before that one can still be taken.
        """
        numbers: list[tuple[float, ...]] = []
        error = None
        try:
            is_steady = self._is_steady(count)
            for step in range(min(count, 1) if is_steady else count):
                numbers.append(self._numbers_of_step(step))  # noqa: PERF401 - keeps those before an error
        except BaseException as caught:  # Ctrl-C in a schedule, too
            is_steady, error = False, caught
        plan = np.empty((count if is_steady else len(numbers), _COLUMNS))
        logarithms = np.zeros(len(plan) + 1)
        logarithms[0] = self._optimizer._decay.total
        if numbers:  # one row, which all steps have, or a row for each
            rows = np.array(numbers)
            plan[:, :-_OF_DECAY], plan[:, _KEPT] = rows[:, :-1], rows[:, -1]
            if len(self._seen):
                logarithms[1:] = [math.log(kept) for kept in rows[:, -1]]
        totals = np.add.accumulate(logarithms)
        plan[:, _BEFORE], plan[:, _AFTER] = totals[:-1], totals[1:]
        if not self._optimizer._decoupled:
            plan[:, _KEPT] = 1
        return plan, error

    def _is_steady(self, count: int) -> bool:
        """Return whether the next steps have the same numbers, as without schedule and moments."""
        optimizer = self._optimizer
        own = type(optimizer)._constants.__module__.startswith(f"{__package__}.")
        if count < _FEW or callable(optimizer.learning_rate) or not own:
            return False
        return self._numbers_of_step(0) == self._numbers_of_step(count - 1)

    def _numbers_of_step(self, ahead: int) -> tuple[float, ...]:
        """Return the constants of a later step and the factor of its weight decay."""
        optimizer, step = self._optimizer, self._optimizer.num_steps
        rate, kept = optimizer._rate_and_factor(step + ahead)
        decay = 0.0 if optimizer._decoupled else optimizer.weight_decay
        try:
            # The numbers of Adam depend on the number of the step, which counts from 1.
            set_unchecked(optimizer, "num_steps", step + ahead + 1)
            return *optimizer._constants(rate, decay), kept
        finally:
            set_unchecked(optimizer, "num_steps", step)

    def arrays(self, plan: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the arrays that the kernel takes for steps of this plan."""
        return *self._written, self._seen, plan, self._options, *self._whole

    def take(self, plan: np.ndarray) -> None:
        """Let the optimizer have taken the steps of a plan."""
        optimizer = self._optimizer
        set_unchecked(optimizer, "num_steps", optimizer.num_steps + len(plan))
        if len(plan):
            optimizer._decay.total = float(plan[-1, _AFTER])
