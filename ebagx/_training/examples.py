"""Bags with their targets, to learn from or to measure on.

Bags are either arrays in memory, which training uses in place, or a `BagMaker`, which makes those
of a few batches at a time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.modes import SUM, Mode
from ebagx._core.pieces import bag_ranges
from ebagx._training.bags import scaled_for, take

_MADE_AT_ONCE = 1 << 17  # lookups: 1 MB of indices and weights

Positions = npt.NDArray[np.integer[Any]]


@runtime_checkable
class BagMaker(Protocol):
    """Bags that are made when training needs them, from something that takes less memory.

    ``fit`` takes such an object in place of `X`, and has the result, to the bit, that it has for
    the matrix of the same rows. Nothing that `take` returns is kept.
    """

    @property
    def num_bags(self) -> int:
        """Number of bags B."""

    @property
    def num_columns(self) -> int:
        """Number of columns N, each of which occurs in some bag."""

    def most_lookups(self) -> Positions:
        """Return for each bag (B,) a number of lookups that it does not exceed, at low cost."""

    def take(self, rows: Positions) -> Bags:
        """Return some of the bags, in the order of `rows`.

        Indices and offsets are int32 or int64, indices less than N and in the order in which the
        matrix would store them; weights are float32, as in the matrix.
        """


class SelectedBags(NamedTuple):
    """Some of the bags of a maker, which are a `BagMaker` themselves."""

    maker: BagMaker
    rows: Positions

    @property
    def num_bags(self) -> int:
        """Number of bags B."""
        return len(self.rows)

    @property
    def num_columns(self) -> int:
        """Number of columns N."""
        return self.maker.num_columns

    def most_lookups(self) -> Positions:
        """Return for each bag (B,) a number of lookups that it does not exceed."""
        return self.maker.most_lookups()[self.rows]

    def take(self, rows: Positions) -> Bags:
        """Return some of the bags, in the order of `rows`."""
        return self.maker.take(self.rows[rows])

    def __repr__(self) -> str:
        return f"SelectedBags({self.num_bags} bags)"


class Examples(NamedTuple):
    """Bags with their targets, to learn from or to measure on."""

    bags: Bags | BagMaker  # n of them, or n times the number of groups, those of a row in order
    targets: Any  # (n, K): CSR of ones, or numbers
    weights: npt.NDArray[np.float32] | None  # (n,)
    mode: Mode = SUM  # in which the bags are pooled
    groups: int = 1  # bags of a row; a maker's rows have one

    def __repr__(self) -> str:
        weighted = ", weighted" if self.weights is not None else ""
        return f"Examples({self.num_bags} bags, {self.targets.shape[1]} outputs{weighted})"

    @property
    def num_bags(self) -> int:
        """Number of rows n, each of which is a bag, or a bag for each group."""
        return self.bags.num_bags // self.groups

    def most_lookups(self) -> npt.NDArray[Any]:
        """Return for each row (n,) a number of lookups that it does not exceed."""
        if isinstance(self.bags, Bags):
            return np.diff(self.bags.offsets[:: self.groups])
        return self.bags.most_lookups()

    def take(self, rows: Positions) -> "Examples":
        """Return some of the examples; a maker has made no bags by then."""
        if isinstance(self.bags, Bags):
            of_groups = rows[:, np.newaxis] * self.groups + np.arange(self.groups)
            bags: Bags | BagMaker = take(self.bags, of_groups.ravel())
        else:
            bags = SelectedBags(self.bags, rows)
        weights = self._weights_of(rows)
        return self._replace(bags=bags, targets=self.targets[rows], weights=weights)

    def made(self, rows: Positions) -> "Examples":
        """Return some of the examples, whose bags a maker makes now."""
        assert not isinstance(self.bags, Bags)
        return self.take(rows)._replace(bags=self.bags.take(rows))

    def scaled(self) -> "Examples":
        """Return examples of the mode sum which give the same vectors; a maker's bags stay."""
        if not isinstance(self.bags, Bags):
            return self
        return self._replace(bags=scaled_for(self.mode, self.bags), mode=SUM)

    def blocks(self) -> Iterator[Bags]:
        """Yield all bags, one block after the other, with weights whose sums are the vectors."""
        for bags in self._unscaled_blocks():
            yield scaled_for(self.mode, bags)

    def used_columns(self, num_columns: int) -> npt.NDArray[np.intp]:
        """Return the columns that occur in some bag; a maker promises this of all its columns."""
        if not isinstance(self.bags, (Bags, SelectedBags)):
            return np.arange(num_columns)
        is_used = np.zeros(num_columns, bool)
        for bags in self._unscaled_blocks():
            is_used[bags.indices] = True
        return np.flatnonzero(is_used)

    def bags_at_once(self) -> int:
        """Return how many bags a maker should make at once."""
        lookups = int(self.most_lookups().sum(dtype=np.int64))
        return max(1, _MADE_AT_ONCE * self.num_bags // max(lookups, 1))

    def _unscaled_blocks(self) -> Iterator[Bags]:
        if isinstance(self.bags, Bags):
            yield self.bags
            return
        ends = np.concatenate([[0], np.cumsum(self.most_lookups(), dtype=np.intp)])
        for first, stop in bag_ranges(ends, 1, _MADE_AT_ONCE):
            yield self.bags.take(np.arange(first, stop))

    def _weights_of(self, rows: Positions) -> npt.NDArray[np.float32] | None:
        return None if self.weights is None else self.weights[rows]
