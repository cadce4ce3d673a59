"""Optimizers that touch only the rows a batch used."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ebagx._arrays import aligned_zeros
from ebagx._dispatch import cells, kernel, real_dtype
from ebagx._threads import thread_count
from ebagx._validate import (
    as_contiguous,
    as_indices,
    as_real,
    check_num_threads,
    check_rows,
    check_weight,
    check_writeable,
    has_rows,
)
from ebagx.gradients import RowGradient

__all__ = ["Adagrad"]


class Adagrad:
    r"""Adagrad for one embedding table with row-sparse gradients.

    Parameters
    ----------
    learning_rate : float, default=0.01
        Step size, at least 0; may be assigned between updates.
    eps : float, default=1e-10
        Added to the root of the summed squares, at least 0.
    initial_accumulator_value : float, default=0.0
        Where the sums of squares start, at least 0.
    num_threads : int, optional
        Threads to use at most; the result has the same bits for every number.

    Notes
    -----
    For each touched row, elementwise, with its gradient g and sum of squares G [1]_,

        G += g²;  row -= learning_rate · g / (√G + eps)

    as ``torch.optim.Adagrad`` without decay. The sums take the memory of the table (float32 for
    float16 and bfloat16 tables), as far as rows have been touched. Cost: U·D.

    References
    ----------
    .. [1] Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic
       optimization, JMLR 12, 2011.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.ones((5, 2))
    >>> gradient = ebagx.RowGradient(np.array([3]), np.array([[2.0, -4.0]]), (5, 2))
    >>> ebagx.optim.Adagrad(learning_rate=0.5).update(table, gradient)
    >>> table[3]
    array([0.5, 1.5])
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        eps: float = 1e-10,
        *,
        initial_accumulator_value: float = 0.0,
        num_threads: int | None = None,
    ) -> None:
        self.learning_rate = _at_least_0(learning_rate, "learning_rate")
        self.eps = _at_least_0(eps, "eps")
        self.initial_accumulator_value = _at_least_0(
            initial_accumulator_value, "initial_accumulator_value"
        )
        self.num_threads = check_num_threads(num_threads)
        self._squares: np.ndarray | None = None

    def update(self, weight: np.ndarray, gradient: RowGradient) -> None:
        """Take one step on the rows of a gradient, in place.

        Parameters
        ----------
        weight : ndarray of shape (N, D)
            The table: writeable, with contiguous rows, and the same one in each call.
        gradient : RowGradient
            Gradient of that table, as ``embedding_bag_backward(..., sparse="rows")`` gives it.

        Raises
        ------
        ValueError
            If shapes differ, `weight` is read-only or its rows are not contiguous, or the learning
            rate has become negative.
        """
        table = self._checked_table(weight)
        rows, values = _checked_gradient(gradient, table)
        self._update_rows(table, rows, values)

    def _update_pieces(
        self, weight: np.ndarray, pieces: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        """Take one step on rows that come in pieces, as `EmbeddingBag.backward_update` has them."""
        table = self._checked_table(weight)
        for rows, values in pieces:
            self._update_rows(table, rows, values)

    def _checked_table(self, weight: np.ndarray) -> np.ndarray:
        """Return the table once everything but the gradient has been checked."""
        table = check_weight(weight)
        _at_least_0(self.learning_rate, "learning_rate")
        check_writeable(table, "an optimizer step")
        if not (isinstance(weight, np.ndarray) and has_rows(table)):
            raise ValueError(
                "weight must be an ndarray with contiguous rows to be updated in place"
            )
        self._check_state(table)
        return table

    def _update_rows(self, table: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
        threads = thread_count(self.num_threads, values.size)
        kernel("adagrad", rows.dtype, table.dtype)(
            cells(table),
            self._state_for(table),
            rows,
            values,
            float(self.learning_rate),
            self.eps,
            threads,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of squares as ``{"squares": ndarray or None}``, not copied."""
        return {"squares": self._squares}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict`; the array is copied."""
        if set(state_dict) != {"squares"}:
            raise KeyError(f"state_dict must have the one name 'squares', got {sorted(state_dict)}")
        squares = state_dict["squares"]
        self._squares = None if squares is None else np.array(squares, order="C")

    def _check_state(self, table: np.ndarray) -> None:
        real, squares = real_dtype(table.dtype), self._squares
        if squares is not None and (squares.shape != table.shape or squares.dtype != real):
            raise ValueError(
                f"the optimizer's state is {squares.dtype} of shape {squares.shape}, "
                f"weight needs {real} of shape {table.shape}: use one optimizer per table"
            )

    def _state_for(self, table: np.ndarray) -> np.ndarray:
        if self._squares is None:
            # Zeros are not touched: the system provides their pages as rows come into use.
            self._squares = aligned_zeros(table.shape, real_dtype(table.dtype))
            if self.initial_accumulator_value:
                self._squares += self.initial_accumulator_value
        return self._squares


def _at_least_0(value: float, name: str) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be at least 0 and finite, got {value}")
    return float(value)


def _checked_gradient(gradient: RowGradient, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and values of a gradient that fits the table."""
    if not isinstance(gradient, RowGradient):
        raise TypeError(f"gradient must be a RowGradient, got {type(gradient).__name__}")
    if gradient.shape != table.shape:
        raise ValueError(f"gradient must have shape {table.shape}, got {gradient.shape}")
    rows, values = gradient.rows, gradient.values
    check_rows(rows, "gradient.rows", len(table))
    shape = (len(rows), table.shape[1])
    if values.shape != shape:
        raise ValueError(f"gradient.values must have shape {shape}, got {values.shape}")
    values = as_real(values, "gradient.values", real_dtype(table.dtype))
    return as_indices(rows), as_contiguous(values)
