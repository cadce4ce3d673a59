"""Weight decay that reaches a row when it is next touched."""

import math

import numpy as np

from ebagx._core.memory import aligned_zeros
from ebagx._core.table import Table

_CHUNK_BYTES = 1 << 20


class LazyDecay:
    """What each row has missed of the decay of all steps so far.

    A step of learning rate r multiplies every row by 1 - r · decay. That of an untouched row can
    wait: `total` is the sum of the logarithms of those factors, and `seen` holds for each row the
    total that it has had, so the outstanding factor is exp(total - seen[row]).
    """

    def __init__(self) -> None:
        self.total = 0.0
        self.seen: np.ndarray | None = None
        self._before = 0.0  # the total without the current step

    def begin_step(self, factor: float, num_rows: int) -> None:
        """Begin a step that multiplies rows by a factor."""
        if self.seen is None:
            self.seen = aligned_zeros((num_rows,), np.dtype(np.float64))
        self._before = self.total
        self.total += math.log(factor)

    def missed(self, rows: np.ndarray) -> np.ndarray:
        """Return the factors (U,) that rows have missed before the current step.

        From now on they count as up to date, that step included.
        """
        assert self.seen is not None
        factors: np.ndarray = np.exp(self._before - self.seen[rows])
        self.seen[rows] = self.total
        return factors

    def settle(self, table: Table) -> None:
        """Multiply all rows by what is outstanding. Cost: the whole table."""
        if self.seen is None:
            return
        step = max(_CHUNK_BYTES // max(table.dim * table.dtype.itemsize, 1), 1)
        for start in range(0, table.num_rows, step):
            part, seen = table.array[start : start + step], self.seen[start : start + step]
            factors = np.exp(self.total - seen).astype(table.sum_dtype)
            part[...] = part.astype(table.sum_dtype) * factors[:, np.newaxis]
            seen[...] = self.total
