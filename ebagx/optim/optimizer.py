"""`Optimizer` has all that optimizers share: checks, schedule, clipping, decay, state, step."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar, NamedTuple, Protocol, TypedDict, Unpack

import numpy as np

from ebagx._core.checks import (
    AT_LEAST_0,
    POSITIVE,
    as_integer_array,
    as_real,
    check_num_threads,
    check_number,
    check_rows,
    check_size,
)
from ebagx._core.dtypes import SUM_DTYPES
from ebagx._core.layout import (
    as_contiguous,
    as_indices,
    copy_if_overlapping,
    overlaps_itself,
    rows_are_contiguous,
)
from ebagx._core.maps import Use, ask_for_rows
from ebagx._core.memory import aligned_zeros, check_mapped, find_map
from ebagx._core.table import Table
from ebagx._core.threads import thread_count
from ebagx.gradients import RowGradient
from ebagx.optim.clipping import Clipping, Piece
from ebagx.optim.decay import LazyDecay
from ebagx.optim.rules import Rule, StepConstants

__all__ = ["Optimizer"]

LearningRate = float | Callable[[int], float]

# Kernels get these for states that a rule does not have, and for scales that are all 1.
_NO_STATE = {dtype: np.empty((0, 0), dtype) for dtype in SUM_DTYPES}
_NO_SCALES = {dtype: np.empty(0, dtype) for dtype in SUM_DTYPES}


class OptimizerOptions(TypedDict, total=False):
    """Keywords of every optimizer."""

    weight_decay: float
    clip_value: float | None
    clip_row_norm: float | None
    clip_norm: float | None
    num_threads: int | None


class _Prepared(NamedTuple):
    """The part of a step that does not change from step to step."""

    table: Table
    states: tuple[np.ndarray, np.ndarray]  # the kernel takes two
    rule: Rule
    mapped: list[np.ndarray]  # the table and the state, where they are in memory maps


class Trainable(Protocol):
    """The interface that `Optimizer.step` needs: that of an `EmbeddingBag`."""

    @property
    def weight(self) -> np.ndarray:
        """The table (N, D)."""

    def row_gradient(self) -> RowGradient:
        """Return the gradient of the touched rows."""


class Optimizer:
    r"""Base class of the optimizers. One object updates one embedding table.

    A step reads and writes only the rows of the gradient and their state: its cost does not depend
    on the size of the table, which may be a memory map larger than memory. The result
    has the same bits for every number of threads.

    Parameters
    ----------
    learning_rate : float or callable
        Step size, at least 0, or a schedule: a function from the number of a step, which counts
        from 0, to its rate. It may be assigned between steps.
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
    *Weight decay* is applied to a row when it is next touched. A row that missed k steps of
    learning rates r₁ ... rₖ is first multiplied by (1 - r₁λ) ··· (1 - rₖλ), as plain gradient
    descent would have done; then it takes its own step with the gradient g + λ · row (L2; `AdamW`:
    the row is multiplied by 1 - rλ). For `SGD` without momentum and for `AdamW` a dense optimizer
    does the same to rows without gradient (apart from the steps of old moments). A lookup in
    between reads the row without this decay; call `catch_up`, which decays all rows, before the
    table is saved or compared. This takes 8 bytes for each row that has been touched.
    """

    name: ClassVar[str]  # in the argument `optimizer` of estimators
    _decoupled = False
    _default_decay = 0.0

    def __init__(self, learning_rate: LearningRate, **options: Unpack[OptimizerOptions]) -> None:
        unknown = set(options) - set(OptimizerOptions.__annotations__)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no argument {min(unknown)!r}")
        if not callable(learning_rate):
            check_number(learning_rate, "learning_rate", AT_LEAST_0)
        self.learning_rate = learning_rate
        decay = options.get("weight_decay", self._default_decay)
        self.weight_decay = check_number(decay, "weight_decay", AT_LEAST_0)
        self.num_threads = check_num_threads(options.get("num_threads"))
        self.num_steps = 0
        self._clipping = Clipping(
            _checked_limit(options.get("clip_value"), "clip_value"),
            _checked_limit(options.get("clip_row_norm"), "clip_row_norm"),
            _checked_limit(options.get("clip_norm"), "clip_norm"),
        )
        self._decay = LazyDecay()
        self._state: dict[str, np.ndarray] = {}

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind != p.VAR_KEYWORD}
        defaults |= dict.fromkeys(OptimizerOptions.__annotations__)
        defaults["weight_decay"] = self._default_decay
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name, default in defaults.items()
            if name == "learning_rate" or getattr(self, name) != default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def clip_value(self) -> float | None:
        """The limit of the elements of a gradient; set when the optimizer is made."""
        return self._clipping.value

    @property
    def clip_row_norm(self) -> float | None:
        """The limit of the norms of a gradient's rows; set when the optimizer is made."""
        return self._clipping.row_norm

    @property
    def clip_norm(self) -> float | None:
        """The limit of the norm of a gradient; set when the optimizer is made."""
        return self._clipping.norm

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
            If shapes differ, `weight` is read-only or its elements share memory, or the learning
            rate has become negative or too large for the weight decay.
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
            Its `weight` is updated. Each call must have the same one.

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

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimizer; arrays are not copied.

        Returns
        -------
        dict
            ``num_steps``, ``decay_total`` (float) and ``decay_seen`` (float64 array of shape (N,)
            or None) of the weight decay, and the optimizer's own arrays, of the table's shape
            (None before the first step): ``momentum_buffer`` (SGD), ``squares`` (Adagrad; shape
            (N, 1) if row-wise), ``exp_avg`` and ``exp_avg_sq`` (Adam).
        """
        return {
            "num_steps": self.num_steps,
            "decay_total": self._decay.total,
            "decay_seen": self._decay.seen,
            **{name: self._state.get(name) for name in self._rule().states},
        }

    def load_state_dict(self, state_dict: dict[str, Any], *, copy: bool = True) -> None:
        """Continue from a `state_dict`.

        Parameters
        ----------
        state_dict : dict
            As `state_dict` returns it.
        copy : bool, default=True
            Copy the arrays. With False, they are used in place and must be writeable: memory maps
            for a table that is larger than memory, say (new ones hold zeros).

        Raises
        ------
        KeyError
            If names are missing or unknown.
        """
        names = self.state_dict().keys()
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping, got {type(state_dict).__name__}")
        if state_dict.keys() != names:
            raise KeyError(
                f"state_dict must have the names {', '.join(names)}, "
                f"got {', '.join(map(str, state_dict))}"
            )

        def own(array: Any) -> np.ndarray | None:
            if array is None:
                return None
            return np.array(array, order="C") if copy else np.asarray(array)

        num_steps = check_size(state_dict["num_steps"], "num_steps")
        total = check_number(state_dict["decay_total"], "decay_total")
        seen = own(state_dict["decay_seen"])
        arrays = {name: own(state_dict[name]) for name in self._rule().states}
        self.num_steps, self._decay.total, self._decay.seen = num_steps, total, seen
        self._state = {name: array for name, array in arrays.items() if array is not None}

    def _rule(self) -> Rule:
        """Return the rule of a step."""
        raise NotImplementedError

    def _constants(self, rate: float, decay: float) -> StepConstants:
        """Return the numbers of the step `num_steps`, which counts from 1, with this L2 decay."""
        raise NotImplementedError

    def _initial_value(self) -> float:
        return 0.0

    def update_pieces(self, weight: np.ndarray, pieces: Iterable[Piece]) -> None:
        """Take one step with a gradient in pieces, which need not fit in memory together.

        Parameters
        ----------
        weight : ndarray of shape (N, D)
            The table, as in `update`.
        pieces : iterable of tuple
            ``(rows, values)``, of shapes (U,) and (U, D): rows of the table, ascending over all
            pieces, and their gradients in the dtype of sums. They are not checked, and each is
            used before the next one is requested.
        """
        self._take_step(self._prepared(self._checked_table(weight)), pieces)

    def prepared_step(self, weight: np.ndarray) -> Callable[[Iterable[Piece]], None]:
        """Return `update_pieces` for one table, checked now, for loops of steps of microseconds.

        The function is valid until another state is loaded or the table becomes read-only. Rows
        need not ascend.
        """
        return partial(self._take_step, self._prepared(self._checked_table(weight)))

    def _prepared(self, table: Table) -> "_Prepared":
        """Return the constant part of steps on a checked table; make missing state."""
        rule = self._rule()
        for name in rule.states:
            if name not in self._state:
                self._state[name] = self._new_state(table)
        none = _NO_STATE[table.sum_dtype]
        first, second, *_ = *(self._state[name] for name in rule.states), none, none
        read = table.array, *self._state.values(), self._decay.seen
        mapped = [array for array in read if array is not None and find_map(array) is not None]
        return _Prepared(table, (first, second), rule, mapped)

    def _rate_of_step(self, step: int) -> float:
        rate = self.learning_rate
        if callable(rate):
            rate = rate(step)
        return check_number(rate, "learning_rate", AT_LEAST_0)

    def _checked_table(self, weight: np.ndarray) -> Table:
        """Return the table once everything but the gradient has been checked."""
        table = Table.of(weight)
        table.check_writeable("an optimizer step")
        if not isinstance(weight, np.ndarray):
            raise ValueError("weight must be an ndarray to be updated in place")
        shape = self._rule().state_shape(table.shape)
        for name, array in self._state.items():
            _check_state(array, name, shape, table.sum_dtype)
        if self._decay.seen is not None:
            _check_state(self._decay.seen, "decay_seen", table.shape[:1], np.dtype(np.float64))
        return table

    def _take_step(self, prepared: "_Prepared", pieces: Iterable[Piece]) -> None:
        table, states, rule, mapped = prepared
        rate, decay = self._rate_of_step(self.num_steps), self.weight_decay
        kept = 1 - rate * decay
        if not kept > 0:
            raise ValueError(
                f"learning_rate * weight_decay must be less than 1, got {rate} * {decay}"
            )
        pieces = iter(self._clipping.clipped(pieces))
        # Most errors come before or with the first piece, when nothing has been changed.
        first = list(islice(pieces, 1))
        if decay:
            self._decay.begin_step(kept, table.num_rows)
        self.num_steps += 1
        constants = np.array(self._constants(rate, 0.0 if self._decoupled else decay))
        for rows, values in chain(first, pieces):
            if mapped:
                ask_for_rows(mapped, rows, Use.STEP)
            scales = self._scales(rows, kept, values.dtype)
            threads = thread_count(self.num_threads, values.size)
            table.step_rows(*states, scales, rows, values, constants, rule.code, threads)

    def _scales(self, rows: np.ndarray, kept: float, dtype: np.dtype[Any]) -> np.ndarray:
        """Return the factors of rows before the step; empty if all are 1."""
        if not self.weight_decay:
            return _NO_SCALES[dtype]
        factors = self._decay.missed(rows)
        return (factors * kept if self._decoupled else factors).astype(dtype)

    def _new_state(self, table: Table) -> np.ndarray:
        # Zeros are not written: the system provides pages when rows are first touched.
        array = aligned_zeros(self._rule().state_shape(table.shape), table.sum_dtype)
        if self._initial_value():
            array += self._initial_value()
        return array


def _checked_limit(limit: float | None, name: str) -> float | None:
    return None if limit is None else check_number(limit, name, POSITIVE)


def _check_state(
    array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"the optimizer's {name} is {array.dtype} of shape {array.shape}, weight needs {dtype} "
            f"of shape {shape}: use one optimizer per table"
        )
    if not (array.flags.writeable and _is_in_place(array)):
        raise ValueError(f"the optimizer's {name} must be writeable, with contiguous rows")
    check_mapped(array, f"the optimizer's {name}")


def _is_in_place(array: np.ndarray) -> bool:
    if array.ndim == 2:
        return rows_are_contiguous(array) and not overlaps_itself(array)
    return array.flags.c_contiguous and array.flags.aligned


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
