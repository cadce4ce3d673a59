"""`Optimizer` has the step that optimizers share: checks, schedule, clipping, weight decay."""

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from ebagx._core.arguments import AT_LEAST_0, check_number
from ebagx._core.checks import as_integer_array, as_plain_array, as_real, check_rows
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.identity import Binding
from ebagx._core.layout import as_contiguous, as_indices, copy_if_overlapping
from ebagx._core.maps import Use, ask_for_rows
from ebagx._core.memory import aligned_zeros, find_map
from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.gradients import RowGradient
from ebagx.optim.clipping import Piece, clipped
from ebagx.optim.rules import Rule, StepConstants
from ebagx.optim.state import check_arrays
from ebagx.optim.stored import StoredOptimizer, set_unchecked

__all__ = ["Optimizer"]

# Kernels get these for states that a rule does not have, and for scales that are all 1.
_NO_STATE = {dtype: np.empty((0, 0), dtype) for dtype in SUM_DTYPES}
_NO_SCALES = {dtype: np.empty(0, dtype) for dtype in SUM_DTYPES}


class _Prepared(NamedTuple):
    """The part of a step that does not change from step to step."""

    table: Table
    pair: tuple[np.ndarray, np.ndarray]  # the kernel takes two states
    mapped: list[np.ndarray]  # the table and the states, where they are in memory maps
    rule: Rule
    states: dict[str, np.ndarray]


class Trainable(Protocol):
    """The interface that `Optimizer.step` needs: that of an `EmbeddingBag`."""

    @property
    def weight(self) -> np.ndarray:
        """The table (N, D)."""

    def row_gradient(self) -> RowGradient:
        """Return the gradient of the touched rows."""


class Optimizer(StoredOptimizer):
    r"""Base class of the optimizers. One object updates one embedding table.

    The first step binds the optimizer to the table, which other tables must not follow: they would
    share its state, its schedule and its weight decay. Views of the whole table are the table, and
    so is a map of the same file. After ``bag.weight = other`` the next step of that table's
    optimizer binds it to either array. `unbind` and `load_state_dict` set it free for another one;
    copies, also those of a pickle, are free. The table is not kept alive.

    A step reads and writes only the rows of the gradient and their state: its cost does not depend
    on the size of the table, which may be a memory map larger than memory. The result
    has the same bits for every number of threads.

    Parameters
    ----------
    learning_rate : float or callable
        Step size, at least 0, or a schedule: a function from the number of a step, which counts
        from 0, to its rate.
    weight_decay : float, default=0.0
        Factor λ of the decay towards 0, at least 0; `learning_rate` · λ must be less than 1.
    clip_value : float, optional
        Elements of the gradient are limited to [-clip_value, clip_value].
    clip_row_norm : float, optional
        Rows g of the gradient are multiplied by min(1, clip_row_norm / (‖g‖ + 1e-6)).
    clip_norm : float, optional
        Then the whole gradient g is multiplied by min(1, clip_norm / (‖g‖ + 1e-6)), as in
        ``torch.nn.utils.clip_grad_norm_``. `EmbeddingBag.backward_update` then stores the gradient.
    num_threads : int, optional
        Largest number of threads.

    Attributes
    ----------
    num_steps : int
        Steps taken.

    Notes
    -----
    All arguments are attributes, which may be assigned between steps: they are checked at once, as
    the arguments are, and hold from the next step on. Other attributes raise an AttributeError.

    *Weight decay* is applied to a row when it is next touched. A row that missed k steps of
    learning rates r₁ ... rₖ is first multiplied by (1 - r₁λ) ··· (1 - rₖλ), as plain gradient
    descent would have done; then it takes its own step with the gradient g + λ · row (L2; `AdamW`:
    the row is multiplied by 1 - rλ). For `SGD` without momentum and for `AdamW` a dense optimizer
    does the same to rows without gradient (apart from the steps of old moments). A lookup in
    between reads the row without this decay; call `catch_up`, which decays all rows, before the
    table is saved or compared. This takes 8 bytes for each row that has been touched.

    Examples
    --------
    >>> from ebagx.optim import Optimizer, Adagrad
    >>> optimizer = Adagrad(0.1, clip_norm=1.0)
    >>> isinstance(optimizer, Optimizer)
    True
    >>> optimizer.learning_rate = 0.05
    >>> optimizer.fresh()
    Adagrad(learning_rate=0.05, clip_norm=1.0)
    """

    __slots__ = ()

    name: ClassVar[str]  # in the argument `optimizer` of estimators
    _decoupled = False

    def update(self, weight: np.ndarray, gradient: RowGradient) -> None:
        """Take one step on the rows of a gradient, in place.

        Parameters
        ----------
        weight : ndarray of shape (N, D)
            The table: writeable, and the same one in each call.
        gradient : RowGradient
            Gradient of that table, as ``embedding_bag_backward(..., sparse="rows")`` gives it.

        Raises
        ------
        ValueError
            If `weight` is not the table of the optimizer's first step, is read-only or its elements
            share memory, if shapes differ, or if a schedule gives a negative rate, or one that is
            too large for the weight decay.
        """
        table = self._checked_table(weight)
        pieces = [_checked_gradient(gradient, table)]
        self._take_step(self._prepared(table), pieces)

    def step(self, bag: Trainable) -> None:
        """Take one step with the gradient of an `EmbeddingBag`, in any form.

        `bag.grad` is kept: call `bag.zero_grad` before the next backward pass. In a dense gradient
        that was assigned, rows of zeros count as not touched.

        Parameters
        ----------
        bag : EmbeddingBag
            Its `weight` is updated. Each call must have the same one, but it may be assigned.

        Raises
        ------
        RuntimeError
            If `bag.grad` is None.
        ValueError
            As in `update`.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> bag = ebagx.EmbeddingBag(10, 3, mode="sum", sparse="rows", rng=0)
        >>> optimizer = ebagx.optim.SGD(learning_rate=0.5, momentum=0.9)
        >>> for _ in range(3):
        ...     pooled = bag([[1, 2], [4, 2]])
        ...     bag.zero_grad()
        ...     bag.backward(pooled)  # the gradient of (pooled**2).sum() / 2
        ...     optimizer.step(bag)
        >>> optimizer.num_steps
        3
        """
        self.update(bag.weight, bag.row_gradient())

    def catch_up(self, weight: np.ndarray) -> None:
        """Apply the weight decay that rows have missed. Cost: the whole table.

        Parameters
        ----------
        weight : ndarray of shape (N, D)
            The table.
        """
        table = self._checked_table(weight)
        self._decay.settle(table)
        if self._bound is None:
            self._bound = Binding(weight)

    def prefetch(self, rows: np.ndarray) -> None:
        """Ask the system to read the state of some rows from the disk, for a later step.

        It does nothing for state that is not in memory maps; see `EmbeddingBag.prefetch`.

        Parameters
        ----------
        rows : array_like of int
            Rows of the table, in any order; those that it does not have are left out.
        """
        indices = as_indices(as_integer_array(rows, "rows")).reshape(-1)
        ask_for_rows((*self._state.values(), self._decay.seen), indices, Use.PREFETCH)

    def _constants(self, rate: float, decay: float) -> StepConstants:
        """Return the numbers of the step `num_steps`, which counts from 1, with this L2 decay."""
        raise NotImplementedError

    def _initial_value(self) -> float:
        return 0.0

    def update_pieces(self, weight: np.ndarray | Table, pieces: Iterable[Piece]) -> None:
        """Take one step with a gradient in pieces, which need not fit in memory together.

        Parameters
        ----------
        weight : ndarray of shape (N, D), or Table
            The table, as in `update`.
        pieces : iterable of tuple
            ``(rows, values)``, of shapes (U,) and (U, D): rows of the table, ascending over all
            pieces, and their gradients in the dtype of sums. They are not checked, and each is
            used before the next one is requested.
        """
        self._take_step(self._prepared(self._checked_table(weight)), pieces)

    def check_step(self, weight: np.ndarray) -> None:
        """Raise what `update_pieces` would raise before it changes a table; change nothing."""
        self._checked_table(weight)
        self._rate_and_factor(self.num_steps)

    def _prepared(self, table: Table) -> "_Prepared":
        """Return the constant part of steps on a checked table, with states that it still lacks."""
        rule, states = self._rule(), self._state
        missing = [name for name in rule.states if name not in states]
        if missing:
            states = {**states, **{name: self._new_state(table) for name in missing}}
        none = _NO_STATE[table.sum_dtype]
        first, second, *_ = *[states[name] for name in rule.states], none, none
        read = table.array, *states.values(), self._decay.seen
        mapped = [array for array in read if array is not None and find_map(array) is not None]
        return _Prepared(table, (first, second), mapped, rule, states)

    def _adopt(self, prepared: "_Prepared") -> None:
        """Keep new states and belong to the table, as a step is about to be taken."""
        set_unchecked(self, "_state", prepared.states)
        if self._bound is None:
            set_unchecked(self, "_bound", Binding(prepared.table.array))

    def _rate_of_step(self, step: int) -> float:
        rate = self.learning_rate
        return check_number(rate(step), "learning_rate", AT_LEAST_0) if callable(rate) else rate

    def _rate_and_factor(self, step: int) -> tuple[float, float]:
        """Return the rate of a step, and the factor by which it decays rows."""
        rate, decay = self._rate_of_step(step), self.weight_decay
        kept = 1 - rate * decay
        if not kept > 0:
            raise ValueError(
                f"learning_rate * weight_decay must be less than 1, got {rate} * {decay}"
            )
        return rate, kept

    def _check_constant_rate(self) -> None:
        """Raise ValueError if no step can be taken, at the rate that all steps have."""
        if not callable(self.learning_rate):
            self._rate_and_factor(self.num_steps)

    def _checked_table(self, weight: np.ndarray | Table) -> Table:
        """Return the table once everything but the gradient has been checked."""
        table = weight
        if not isinstance(table, Table):
            table = Table(as_plain_array(weight, "weight"))
        table.check_writeable("an optimizer step")
        if not isinstance(weight, (np.ndarray, Table)):
            raise ValueError("weight must be an ndarray to be updated in place")
        bound, states, seen = self._bound, self._state, self._decay.seen
        if bound is not None and not bound.is_to(table.array):
            raise ValueError(
                f"weight is another table than that of the optimizer's earlier steps, of shape "
                f"{bound.shape}: use one optimizer per table, or call optimizer.unbind() if this "
                "array replaces that table"
            )
        if states or seen is not None:
            shape = self._rule().state_shape(table.shape)
            check_arrays(states, seen, shape, table.num_rows, table.sum_dtype)
        return table

    def _take_step(self, prepared: "_Prepared", pieces: Iterable[Piece]) -> None:
        table, pair, mapped, rule, states = prepared
        rate, kept = self._rate_and_factor(self.num_steps)
        decay = self.weight_decay
        pieces = iter(clipped(pieces, self.clip_value, self.clip_row_norm, self.clip_norm))
        # Most errors come before or with the first piece, when nothing has been changed.
        piece = next(pieces, None)
        if self._state is not states or self._bound is None:
            self._adopt(prepared)
        # Rows may lack the decay of earlier steps when there is none now.
        if decay or self._decay.seen is not None:
            self._decay.begin_step(kept, table.num_rows)
        set_unchecked(self, "num_steps", self.num_steps + 1)
        constants = self._constants(rate, 0.0 if self._decoupled else decay)
        numbers = np.fromiter(constants, np.float64, len(constants))
        while piece is not None:
            rows, values = piece
            if mapped:
                ask_for_rows(mapped, rows, Use.STEP)
            scales = self._scales(rows, kept, values.dtype)
            threads = thread_count(self.num_threads, values.size)
            table.step_rows(*pair, scales, rows, values, numbers, rule.code, threads)
            piece = next(pieces, None)

    def _scales(self, rows: np.ndarray, kept: float, dtype: np.dtype[Any]) -> np.ndarray:
        """Return the factors of rows before the step; empty if all are 1."""
        if self._decay.seen is None:
            return _NO_SCALES[dtype]
        factors = self._decay.missed(rows)
        return (factors * kept if self._decoupled else factors).astype(dtype)

    def _new_state(self, table: Table) -> np.ndarray:
        # Zeros are not written: the system provides pages when rows are first touched.
        array = aligned_zeros(self._rule().state_shape(table.shape), table.sum_dtype)
        if self._initial_value():
            array += self._initial_value()
        return array


def _checked_gradient(gradient: RowGradient, table: Table) -> Piece:
    """Return rows and values of a gradient that fits the table."""
    if not isinstance(gradient, RowGradient):
        raise TypeError(f"gradient must be a RowGradient, got {type(gradient).__name__}")
    if gradient.shape != table.shape:
        raise ValueError(f"gradient must have shape {table.shape}, got {gradient.shape}")
    rows, values = gradient.rows, gradient.values
    check_rows(rows, "gradient.rows", table.num_rows)
    values = as_real(values, "gradient.values", table.sum_dtype)
    return as_indices(rows), copy_if_overlapping(as_contiguous(values), table.array)
