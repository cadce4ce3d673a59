"""Dense gradients: the one thing here that has the size of the table."""

from typing import Any, Self

import numpy as np

from ebagx._passes import Backward, gradient_pieces


class DenseGradient:
    """A table-sized sum of gradients that knows which rows it has touched.

    A fresh one costs page faults rather than arithmetic, for a million rows 20 times the gradient
    itself. `clear` therefore zeroes the touched rows alone, and the memory is used again.

    Parameters
    ----------
    shape : tuple of int
        Shape (N, D) of the table.
    dtype : dtype
        Of the gradient.
    out : ndarray of shape (N, D), optional
        Memory to use, whatever it holds.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], out: np.ndarray | None = None
    ) -> None:
        if out is None:
            out = np.zeros(shape, dtype)  # the system provides pages as rows are touched
        else:
            out[...] = 0
        self.total = out
        self._touched: list[np.ndarray] = []

    def add(self, backward: Backward) -> Self:
        """Add the gradient of a forward pass; return self."""
        fresh = not self._touched
        for rows, values in gradient_pieces(backward):
            if fresh:
                self.total[rows] = values
            else:
                self.total[rows] += values
            self._touched.append(rows)
        return self

    def clear(self) -> None:
        """Zero the rows that were touched. Cost: theirs, whatever the table's size."""
        for rows in self._touched:
            self.total[rows] = 0
        self._touched = []
