"""`DenseGradient` sums gradients in an array of the size of the table."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from ebagx._core.backward import Backward, can_scatter, gradient_pieces, scatter
from ebagx._core.layout import rows_are_contiguous
from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_zeros
from ebagx._core.threads import thread_count

# So many ids are remembered before they are sorted for the first time.
_FEW = 1 << 12
# So many numbers are searched at once.
_BLOCK = 1 << 16


class DenseGradient:
    """A table-sized sum of gradients, with a list of the rows that it has touched.

    Fresh memory costs page faults: for a million rows, 20 times the time of the gradient itself.
    `clear` therefore zeroes only the touched rows, and the memory is used again.

    The first gradient is added lookup by lookup. To each later one the rule of all forms applies:
    its sum over the batch is taken first, and then added to the total.

    The caller may write to `total`, and may zero it in place of `clear`. One number that is not 0
    is therefore watched: if it and all other numbers of touched rows have become 0, the caller has
    done so, and the rows are forgotten. The number is found in the batch that was added, so that
    the watch costs no more than the batch.

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
        self._in_place = rows_are_contiguous(out)
        self._forget()

    @classmethod
    def of_rows(cls, rows: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Self:
        """Return a sum so far that has these touched rows (U,) and values (U, D)."""
        dense = cls(shape, values.dtype)
        dense.total[rows] = values
        dense._touch(rows)
        dense._note([rows])
        return dense

    def add(self, backward: Backward) -> Self:
        """Add the gradient of a forward pass; return self. Cost: that of the pass."""
        if self._touched and self._is_zeroed():
            self.clear(backward.options.num_threads)
        earlier, total = len(self._touched), self.total
        in_place = self._in_place and total.dtype == backward.grad.dtype
        if not earlier and in_place and can_scatter(backward):
            kept = backward.selected()
            # The indices are copied, as the caller may change them, and noted before the rows are
            # written, as Ctrl-C may end the call after some of them.
            self._touch(kept.bags.indices.copy())
            scatter(total, kept.grad, kept.bags, kept.options.mode, kept.options.num_threads)
        else:
            for rows, values in gradient_pieces(backward):
                self._touch(rows)
                if in_place:
                    threads = thread_count(backward.options.num_threads, values.size)
                    kernels.add_rows(total, rows, values, threads)
                else:
                    total[rows] += values.astype(total.dtype, copy=False)
        self._note(self._touched[earlier:])
        return self

    def row_gradient(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that were touched (U,), and their gradients (U, D).

        There are none if the caller has zeroed `total`.
        """
        rows = self._sorted_rows()
        if self._is_zeroed():
            rows = rows[:0]
        return rows, self.total[rows]

    def note_writes(self) -> None:
        """Note the rows that the caller has written. Cost: the whole table."""
        if self._is_zeroed():
            self._forget()
        written = np.flatnonzero(self.total.any(axis=1))
        self._touch(written)
        self._note([written])
        # A factor has made -0 of the zeros in rows that no other form of the gradient has.
        negative = np.signbit(self.total).any(axis=1)
        negative[self._sorted_rows()] = False
        self.total[negative] = 0

    def clear(self, num_threads: int | None) -> None:
        """Zero the rows that were touched. The cost does not depend on the table's size."""
        if not self._touched:
            return
        for rows in self._touched:
            threads = thread_count(num_threads, len(rows) * self.total.shape[1])
            kernels.clear_rows(self.total, rows, threads)
        self._forget()

    def _forget(self) -> None:
        self._touched: list[np.ndarray] = []
        self._num_touched, self._limit = 0, _FEW
        self._watched: tuple[int, int] | None = None

    def _touch(self, rows: np.ndarray) -> None:
        """Remember rows, which may repeat."""
        self._touched.append(rows)
        self._num_touched += len(rows)

    def _sorted_rows(self) -> np.ndarray:
        """Return the touched rows, ascending, each once; remember them in this form."""
        rows = np.unique(np.concatenate(self._touched or [np.empty(0, np.int64)]))
        self._touched, self._num_touched = [rows], len(rows)
        self._limit = max(2 * len(rows), _FEW)
        return rows

    def _note(self, latest: list[np.ndarray]) -> None:
        """Watch a number that is not 0 after an addition; sort the rows if there are many."""
        if self._watched is None or not self.total[self._watched]:
            found = self._find(latest)
            if found is None and self._watched is not None:
                found = self._find(self._touched)
            self._watched = found
        if self._num_touched > self._limit and len(self._touched) > 1:
            self._sorted_rows()

    def _is_zeroed(self) -> bool:
        """Return whether numbers that were not 0 have all become 0, and so by the caller."""
        if self._watched is None or self.total[self._watched]:
            return False
        found = self._find(self._touched)
        if found is not None:
            self._watched = found
        return found is None

    def _find(self, parts: Iterable[np.ndarray]) -> tuple[int, int] | None:
        """Return the place of a number that is not 0 in some rows; None if there is none."""
        total = self.total
        dim = total.shape[1]
        for rows in parts if dim else ():
            if len(rows) and total.item(rows.item(0), 0):
                return rows.item(0), 0
            step = max(_BLOCK // dim, 1)
            for start in range(0, len(rows), step):
                places = np.flatnonzero(total[rows[start : start + step]])
                if len(places):
                    u, d = divmod(places.item(0), dim)
                    return rows.item(start + u), d
        return None
