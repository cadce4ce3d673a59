"""`RowSum` sums gradients as the rows they touch, and the values of these rows."""

import numpy as np

from ebagx._core.levels import kernels
from ebagx._core.memory import aligned_zeros

# So many gradients wait at least, whatever their sizes are.
_FEW = 8


class RowSum:
    """A sum of gradients as touched rows (U,), ascending, each once, and values (U, D).

    The gradients are added one after the other, elementwise, as in a dense array, but not at once:
    they wait until they have as many rows as the total, and are then added in one pass over it. So
    a gradient costs time in proportion to itself, on average, and memory is a multiple of U · D.

    The caller may write to the values of a total that `total` has returned, but not change a sum
    with later gradients by it: the next `add` then makes a new total at once. If the caller has
    zeroed all values that were not all zeros, the rows are forgotten.

    Parameters
    ----------
    rows : ndarray of shape (U,)
        The rows of the first gradient.
    values : ndarray of shape (U, D)
        Its values. They are not copied.
    is_shared : bool, default=False
        The caller has the values, and has chosen them by hand.
    was_zero : bool, default=False
        The values are all zeros, but not by hand.
    """

    def __init__(
        self,
        rows: np.ndarray,
        values: np.ndarray,
        is_shared: bool = False,
        was_zero: bool = False,
    ) -> None:
        self._total = rows, values
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_waiting = 0
        self._is_shared = is_shared
        self._was_zero = was_zero

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Add a gradient; its arrays are not copied."""
        if self._is_zeroed():
            self._total = _no_rows(*self._total)
        self._waiting.append((rows, values))
        self._num_waiting += len(rows)
        is_long = len(self._waiting) >= _FEW and self._num_waiting >= len(self._total[0])
        if self._is_shared or is_long:
            self._add_waiting()

    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows and values of the sum, which the caller may write to.

        There are no rows if the caller has zeroed the values.
        """
        if self._waiting:
            self._add_waiting()
        if not self._is_shared:
            self._is_shared, self._was_zero = True, _is_zero(self._total[1])
        return _no_rows(*self._total) if self._is_zeroed() else self._total

    def was_zero(self, rows: np.ndarray) -> bool:
        """Return whether `total` has returned nothing but zeros for these rows, in this memory."""
        return self._was_zero and np.may_share_memory(rows, self._total[0])

    def _is_zeroed(self) -> bool:
        """Return whether the caller has zeroed the values."""
        return self._is_shared and not self._was_zero and _is_zero(self._total[1])

    def _add_waiting(self) -> None:
        first, values = self._total
        rows = np.unique(np.concatenate([first, *(part for part, _ in self._waiting)]))
        total = aligned_zeros((len(rows), values.shape[1]), values.dtype)
        total[np.searchsorted(rows, first)] = values
        for part, added in self._waiting:
            kernels.add_rows(total, np.searchsorted(rows, part), added, 1)
        self._total, self._waiting, self._num_waiting = (rows, total), [], 0
        self._is_shared = self._was_zero = False


def _is_zero(values: np.ndarray) -> bool:
    # Most often the first number shows it, in a fiftieth of the time.
    return not (values.size and values.item(0)) and not values.any()


def _no_rows(rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rows[:0], values[:0]
