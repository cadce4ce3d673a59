"""Copies of weights in training, and of the state of their optimizers, to which they can be set.

The two are one: an optimizer whose state is of later steps, perhaps infinite, takes other steps.
"""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx.optim import Optimizer

Rows = slice | npt.NDArray[np.integer[Any]]
_Array = npt.NDArray[Any]


class Part(NamedTuple):
    """An array in training, its rows that training changes, and its optimizer."""

    weights: npt.NDArray[np.float32]
    rows: Rows
    optimizer: Optimizer

    def __repr__(self) -> str:
        return f"Part({len(self.weights)} rows, {self.optimizer})"

    def copied(self, into: "PartCopy | None", with_state: bool) -> "PartCopy":
        """Return a copy, in the memory of an earlier one if there is one."""
        weights = _copied(self.weights, self.rows, into and into.weights)
        if not with_state:
            return PartCopy(weights, {}, {})
        entries, earlier = self.optimizer.state_dict(), {} if into is None else into.arrays
        arrays = {
            name: _copied(value, self.rows, earlier.get(name))
            for name, value in entries.items()
            if isinstance(value, np.ndarray) and value.size
        }
        return PartCopy(weights, entries, arrays)

    def restore(self, copy: "PartCopy") -> None:
        """Set the weights to a copy and, if it has the state of the optimizer, that as well."""
        self.weights[self.rows] = copy.weights
        for name, array in copy.arrays.items():
            copy.entries[name][self.rows] = array
        if copy.entries:
            self.optimizer.load_state_dict(copy.entries, copy=False)


class PartCopy(NamedTuple):
    """Copies of rows of an earlier time: of the weights, and of the arrays of the optimizer."""

    weights: _Array
    entries: dict[str, Any]  # of the optimizer's state dict then, whose arrays go on to change
    arrays: dict[str, _Array]

    def __repr__(self) -> str:
        return f"PartCopy({len(self.weights)} rows{', with state' * bool(self.entries)})"


Snapshot = Sequence[PartCopy]


def snapshot_of(parts: Sequence[Part], into: Snapshot | None, with_state: bool) -> Snapshot:
    """Return copies of some parts, in the memory of an earlier snapshot if there is one."""
    earlier = repeat(None) if into is None else into
    return [part.copied(copy, with_state) for part, copy in zip(parts, earlier, strict=False)]


def _copied(array: _Array, rows: Rows, into: _Array | None) -> _Array:
    if into is None:
        return np.array(array[rows], order="C")
    if isinstance(rows, slice):
        np.copyto(into, array[rows])
    else:
        np.take(array, rows, axis=0, out=into, mode="clip")
    return into
