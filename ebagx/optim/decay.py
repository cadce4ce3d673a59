"""`LazyDecay` applies weight decay to a row when it is next touched."""

import math

import numpy as np

from ebagx._core.maps import in_sequence
from ebagx._core.memory import aligned_zeros
from ebagx._core.table import Table

_CHUNK_BYTES = 1 << 20


class LazyDecay:
    """The weight decay of all steps so far that each row still lacks.

    A step of learning rate r multiplies every row by 1 - r · decay; for an untouched row this can
    be done later. `total` is the sum of the logarithms of those factors, and `seen` has for each
    row the total that it has had, so that it still lacks the factor exp(total - seen[row]).
    """

    def __init__(self, total: float = 0.0, seen: np.ndarray | None = None) -> None:
        self.total = total
        self.seen = seen
        self._before = total  # the total without the current step

    def begin_step(self, factor: float, num_rows: int) -> None:
        """Begin a step that multiplies rows by a factor."""
        self.of_rows(num_rows)
        self._before = self.total
        self.total += math.log(factor)

    def of_rows(self, num_rows: int) -> np.ndarray:
        """Return `seen`, and make it if there is none yet."""
        if self.seen is None:
            self.seen = aligned_zeros((num_rows,), np.dtype(np.float64))
        return self.seen

    def missed(self, rows: np.ndarray) -> np.ndarray:
        """Return the factors (U,) of the steps that rows missed before the current one.

        After that, the rows count as up to date, the current step included.
        """
        assert self.seen is not None
        factors: np.ndarray = np.exp(self._before - self.seen[rows])
        self.seen[rows] = self.total
        return factors

    def settle(self, table: Table) -> None:
        """Multiply all rows by the factors that they lack. Cost: the whole table."""
        if self.seen is None:
            return
        step = max(_CHUNK_BYTES // max(table.dim * table.dtype.itemsize, 1), 1)
        with in_sequence(table.array, self.seen):
            for start in range(0, table.num_rows, step):
                part, seen = table.array[start : start + step], self.seen[start : start + step]
                factors = np.exp(self.total - seen).astype(table.sum_dtype)
                part[...] = part.astype(table.sum_dtype) * factors[:, np.newaxis]
                seen[...] = self.total
