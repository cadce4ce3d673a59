"""Classes or items drawn at random, for training: the same ones on every machine."""

import numpy as np
import numpy.typing as npt

from ebagx._core.levels import kernels

_NO_ATTEMPTS = np.empty((0, 0), np.int32)
_NO_POSITIVES = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32)
_UNIFORM = np.empty(0, np.uint32), np.empty(0, np.int32)


class Draws:
    """Rows of random classes, each a function of the seed and of its row.

    Parameters
    ----------
    num_classes : int
        Number of classes K, less than 2**31.
    seed : int
        From 0 to 2**64 - 1.
    weights : ndarray of shape (K,), float64, optional
        Weights above 0 by which classes are drawn; without them, all are equally likely.
    """

    def __init__(
        self, num_classes: int, seed: int, weights: npt.NDArray[np.float64] | None = None
    ) -> None:
        self._num_classes, self._seed, self._alias = num_classes, seed, _UNIFORM
        if weights is not None:
            self._alias = np.empty(num_classes, np.uint32), np.empty(num_classes, np.int32)
            kernels.make_alias(*self._alias, np.empty(num_classes, np.int32), weights.copy())

    def rows(self, first: int, count: int, columns: int) -> npt.NDArray[np.int32]:
        """Return the rows (count, columns) from row `first` on. Cost: 3 ns a class."""
        drawn = np.empty((count, columns), np.int32)
        kernels.draw_classes(
            (drawn, _NO_ATTEMPTS),
            self._alias,
            _NO_POSITIVES,
            self._num_classes,
            self._seed,
            first,
            *(1, 1),
        )
        return drawn
