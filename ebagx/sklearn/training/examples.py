"""Bags with their targets, to learn from or to measure on."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx.sklearn.bags import take


class Examples(NamedTuple):
    """Bags with their targets, to learn from or to measure on."""

    bags: Bags  # n of them, scaled for the mode
    targets: Any  # (n, K): CSR of ones, or numbers
    weights: npt.NDArray[np.float32] | None  # (n,)

    def __repr__(self) -> str:
        weighted = ", weighted" if self.weights is not None else ""
        return f"Examples({self.num_bags} bags, {self.targets.shape[1]} outputs{weighted})"

    @property
    def num_bags(self) -> int:
        """Number of bags n."""
        return self.bags.num_bags

    def take(self, rows: npt.NDArray[np.intp]) -> "Examples":
        """Return some of the examples."""
        weights = None if self.weights is None else self.weights[rows]
        return Examples(take(self.bags, rows), self.targets[rows], weights)
