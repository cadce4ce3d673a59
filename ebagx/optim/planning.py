"""`PlannedSteps` are steps that a kernel takes: their numbers are computed before the first."""

import math

import numpy as np

from ebagx.optim.optimizer import Optimizer
from ebagx.optim.stored import set_unchecked

# A plan has the columns of StepConstants, and three of the weight decay: the sum of the logarithms
# of all factors before the step and after it, and the factor of the step if decay is decoupled.
_COLUMNS, _AFTER = 8, 6
_FLOAT64 = np.dtype(np.float64)
_NO_ROWS = np.empty(0)


class PlannedSteps:
    """The steps of an optimizer on one float32 table, many of which one call of a kernel takes.

    The kernel ``train_batches`` takes the arrays: the table, its state, and a plan with a row of
    numbers for each step. Until `take` is called, the optimizer has not taken the steps.

    Parameters
    ----------
    optimizer : Optimizer
        It must be free or belong to the table, and belongs to it from now on.
    weight : ndarray of shape (R, C), float32
        The table, which the kernel updates in place.
    most_rows : int
        Largest number of rows that one step may touch.

    Raises
    ------
    ValueError
        As by `Optimizer.update`.
    """

    def __init__(self, optimizer: Optimizer, weight: np.ndarray, most_rows: int) -> None:
        self._optimizer = optimizer
        prepared = optimizer._prepared(weight, optimizer._checked_table(weight))
        optimizer._adopt(prepared)
        limits = optimizer.clip_value, optimizer.clip_row_norm, optimizer.clip_norm
        numbers = [math.inf if limit is None else limit for limit in limits]
        self._options = np.array([prepared.rule.code, *numbers], _FLOAT64)
        num_kept = 0 if optimizer.clip_norm is None else most_rows
        self._whole = np.empty((num_kept, weight.shape[1]), np.float32), np.empty(num_kept)
        self._written = prepared.written
        # Rows may lack the decay of earlier steps when there is none now.
        self._seen = _NO_ROWS
        if optimizer.weight_decay or optimizer._decay.seen is not None:
            self._seen = optimizer._decay.of_rows(len(weight))

    def plan(self, count: int) -> tuple[np.ndarray, BaseException | None]:
        """Return the numbers (steps, 8) of the next steps, and what ended them before `count`.

        A schedule may raise, or have a bad rate: the steps before that one can still be taken.
        """
        optimizer, decays = self._optimizer, len(self._seen) > 0
        decoupled, first, total = optimizer._decoupled, optimizer.num_steps, optimizer._decay.total
        decay = 0.0 if decoupled else optimizer.weight_decay
        plan: list[tuple[float, ...]] = []
        error = None
        try:
            for step in range(first, first + count):
                rate = optimizer._rate_of_step(step)
                kept = optimizer._kept_part(rate)
                # The numbers of Adam depend on the number of the step, which counts from 1.
                set_unchecked(optimizer, "num_steps", step + 1)
                constants = optimizer._constants(rate, decay)
                after = total + math.log(kept) if decays else total
                plan.append((*constants, total, after, kept if decoupled else 1.0))
                total = after
        except BaseException as caught:  # Ctrl-C in a schedule, too
            error = caught
        set_unchecked(optimizer, "num_steps", first)
        return np.array(plan, _FLOAT64).reshape(-1, _COLUMNS), error

    def arrays(self, plan: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the arrays that the kernel takes for steps of this plan."""
        return *self._written, self._seen, plan, self._options, *self._whole

    def take(self, plan: np.ndarray) -> None:
        """Let the optimizer have taken the steps of a plan."""
        optimizer = self._optimizer
        set_unchecked(optimizer, "num_steps", optimizer.num_steps + len(plan))
        if len(plan):
            optimizer._decay.total = float(plan[-1, _AFTER])
