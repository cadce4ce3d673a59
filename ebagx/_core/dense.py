"""`DenseGradient` sums gradients in an array of the size of the table."""

from typing import Any, Self

import numpy as np

from ebagx._core.backward import Backward, can_scatter, gradient_pieces, scatter
from ebagx._core.layout import rows_are_contiguous
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_zeros
from ebagx._core.threads import thread_count


class DenseGradient:
    """A table-sized sum of gradients, with a list of the rows that it has touched.

    Fresh memory costs page faults: for a million rows, 20 times the time of the gradient itself.
    `clear` therefore zeroes only the touched rows, and the memory is used again.

    Parameters
    ----------
    shape : tuple of int
        Shape (N, D) of the table.
    dtype : dtype
        Dtype of the gradient.
    out : ndarray of shape (N, D), optional
        Memory to use; its content is overwritten.
    """

    def __init__(
        self, shape: tuple[int, int], dtype: np.dtype[Any], out: np.ndarray | None = None
    ) -> None:
        if out is None:
            out = aligned_zeros(shape, dtype)  # the system provides pages as rows are touched
        else:
            out[...] = 0
        self.total = out
        self._touched: list[np.ndarray] = []

    def add(self, backward: Backward) -> Self:
        """Add the gradient of a forward pass; return self."""
        if can_scatter(backward) and rows_are_contiguous(self.total):
            kept = backward.without_padding()
            # The indices are copied, as the caller may change them, and noted before the rows are
            # written, as Ctrl-C may end the call after some of them.
            self._touched.append(kept.bags.indices.copy())
            scatter(self.total, kept.grad, kept.bags, kept.options.mode, kept.options.num_threads)
            return self
        for rows, values in gradient_pieces(backward):
            threads = thread_count(backward.options.num_threads, values.size)
            self._touched.append(rows)
            if rows_are_contiguous(self.total):
                kernels.add_rows(self.total, rows, values, threads)
            else:
                self.total[rows] += values
        return self

    def row_gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that were touched (U,), and their gradients (U, D)."""
        rows = np.unique(np.concatenate(self._touched or [np.empty(0, np.int64)]))
        return rows, self.total[rows]

    def clear(self, num_threads: int | None) -> None:
        """Zero the rows that were touched. The cost does not depend on the table's size."""
        for rows in self._touched:
            threads = thread_count(num_threads, len(rows) * self.total.shape[1])
            kernels.clear_rows(self.total, rows, threads)
        self._touched = []
