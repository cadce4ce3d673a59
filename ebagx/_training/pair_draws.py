"""`DrawnItems`: the items with which the loss "softmax" compares all pairs of a batch."""

import numpy as np
import numpy.typing as npt

from ebagx._core.draws import Draws
from ebagx._kernels.training_reference import log

_NO_ITEMS = np.empty((0, 0), np.int32), np.empty(0, np.float32)

Items = npt.NDArray[np.int32]


class DrawnItems:
    """Items drawn with replacement by the root of their frequency.

    Parameters
    ----------
    number : int
        Items K for each batch; 0: none, as the loss draws for each pair.
    counts : ndarray of shape (I,)
        Number of pairs of each item. An item without any is drawn like one that has one.
    candidates : ndarray of shape (C,), int32
        The items that may be drawn, ascending; empty: all.
    seed : int
        From 0 to 2**64 - 1.
    """

    def __init__(
        self, number: int, counts: npt.NDArray[np.intp], candidates: Items, seed: int
    ) -> None:
        self.number, self._step = number, 0
        self._candidates, self._shifts = candidates, _NO_ITEMS[1]
        if not number:
            return
        weights = np.sqrt(np.maximum(counts, 1).astype(np.float64))
        if len(candidates):
            weights = weights[candidates]
        self._draws = Draws(len(weights), seed, weights)
        expected = number * (weights / np.add.accumulate(weights)[-1])
        shifts = log(expected.astype(np.float32))
        self._shifts = np.zeros(len(counts), np.float32)
        self._shifts[candidates if len(candidates) else slice(None)] = shifts

    def use(self, count: int) -> None:
        """Go on after the items of so many batches."""
        self._step += count

    def arrays(self, count: int) -> tuple[Items, npt.NDArray[np.float32]]:
        """Return the items (count, K) of the next batches, and log(K q) of all.

        Items of a batch ascend, as do those of a user, which the kernel looks for among them.
        """
        if not self.number:
            return _NO_ITEMS
        drawn = self._draws.rows(self._step, count, self.number)
        if len(self._candidates):
            drawn = self._candidates[drawn]
        drawn.sort(axis=1)
        return drawn, self._shifts
