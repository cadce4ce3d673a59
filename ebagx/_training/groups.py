"""Groups of columns, whose lookups are pooled apart: a row of X then is a bag for each group."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags


class Groups(NamedTuple):
    """The groups that each column of X belongs to, numbered from 0."""

    num_groups: int
    offsets: npt.NDArray[np.intp]  # (N + 1,): column j has numbers[offsets[j] : offsets[j + 1]]
    numbers: npt.NDArray[np.intp]

    def __repr__(self) -> str:
        return f"Groups({self.num_groups} groups of {len(self.offsets) - 1} columns)"

    def equal(self, other: "Groups") -> bool:
        """Return whether these are the same groups of the same columns."""
        return np.array_equal(self.offsets, other.offsets) and np.array_equal(
            self.numbers, other.numbers
        )

    def apart(self, bags: Bags) -> Bags:
        """Return for each bag one bag a group, with its lookups in the order in which they were.

        Lookups of a column in several groups are repeated. If all lookups stand in the order of
        their groups, as in sorted rows of CSR where each group is a slice, no array of lookups is
        copied. The cost is linear in the number of lookups and bags, or that of a stable sort.
        """
        first, last = int(bags.offsets[0]), int(bags.offsets[-1])
        indices, weights = bags.indices[first:last], bags.weights[first:last]
        starts = np.repeat(np.arange(bags.num_bags) * self.num_groups, np.diff(bags.offsets))
        if len(self.numbers) == len(self.offsets) - 1:
            keys = starts + self.numbers[indices]
        else:
            lookups, numbers = self._memberships(indices)
            indices, weights, keys = indices[lookups], weights[lookups], starts[lookups] + numbers
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            indices, weights, keys = indices[order], weights[order], keys[order]
        if len(indices) > np.iinfo(indices.dtype).max:
            indices = indices.astype(np.int64)
        offsets = np.zeros(bags.num_bags * self.num_groups + 1, indices.dtype)
        np.cumsum(np.bincount(keys, minlength=len(offsets) - 1), out=offsets[1:])
        return Bags(indices, offsets, weights)

    def _memberships(
        self, indices: npt.NDArray[np.integer]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Return the pairs of a lookup and a group of its column."""
        counts = np.diff(self.offsets)[indices]
        ends = np.cumsum(counts)
        lookups = np.repeat(np.arange(len(indices)), counts)
        within = np.arange(len(lookups)) - (ends - counts)[lookups]
        return lookups, self.numbers[self.offsets[indices[lookups]] + within]


def groups_of_pairs(
    columns: npt.NDArray[np.intp], numbers: npt.NDArray[np.intp], num_columns: int
) -> Groups:
    """Return the groups of columns from pairs of a column and the number of a group of it.

    Numbers that do not occur are left out; the others keep their order.
    """
    used, numbers = np.unique(numbers, return_inverse=True)
    order = np.lexsort((numbers, columns))
    offsets = np.zeros(num_columns + 1, np.intp)
    np.cumsum(np.bincount(columns, minlength=num_columns), out=offsets[1:])
    return Groups(len(used), offsets, numbers.ravel()[order])
