"""Users and items whose vectors are pooled rows of two tables: data and weights of a training."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._training.network import Floats, _is_finite
from ebagx.optim import Optimizer

Doubles = npt.NDArray[np.float64]


class Interactions(NamedTuple):
    """The stored entries (n,) of a matrix (U, I) of users and items, row by row, items ascending.

    Integers have one dtype, int32 or int64.
    """

    users: npt.NDArray[Any]
    offsets: npt.NDArray[Any]  # (U + 1,)
    items: npt.NDArray[Any]
    values: Floats
    strengths: Floats  # weights in the loss

    @classmethod
    def of(cls, matrix: Any, sample_weight: Doubles | None = None) -> "Interactions":
        """Return the entries of a CSR matrix without duplicates, whose indices ascend."""
        offsets = np.ascontiguousarray(matrix.indptr)
        items = np.ascontiguousarray(matrix.indices.astype(offsets.dtype, copy=False))
        users = np.repeat(np.arange(len(offsets) - 1, dtype=offsets.dtype), np.diff(offsets))
        values = np.ascontiguousarray(matrix.data, np.float32)
        strengths = values
        if sample_weight is not None:
            strengths = (values * sample_weight[users]).astype(np.float32)
        return cls(users, offsets, items, values, strengths)

    def __repr__(self) -> str:
        return f"Interactions({len(self.items)} entries of {len(self.offsets) - 1} users)"

    @property
    def count(self) -> int:
        """Number of entries n."""
        return len(self.items)


class PairBags(NamedTuple):
    """The bags of all users and all items."""

    users: Bags
    totals: Doubles  # (U,): Σ|w| or Σw² of users' bags that lose their target; empty: they do not
    items: Bags | None  # None: each item has a row of its own and no features
    norm: str | None  # by which users' bags are divided that lose their target

    def __repr__(self) -> str:
        return f"PairBags({self.users.num_bags} users)"


class Towers:
    """The two tables in training, with their optimizers.

    Parameters
    ----------
    user_table : ndarray of shape (N, D), float32
        Rows of which users' vectors are pooled. It is trained in place, as is the other one.
    item_table : ndarray of shape (M, D + 1), float32
        Rows of which items' vectors are pooled; the last column is the bias.
    optimizers : list of Optimizer
        One for each table.
    num_threads : int or None
        Largest number of threads.
    """

    def __init__(
        self,
        user_table: Floats,
        item_table: Floats,
        optimizers: list[Optimizer],
        num_threads: int | None,
    ) -> None:
        self.tables = [user_table, item_table]
        self.optimizers = optimizers
        self.num_threads = num_threads
        for optimizer in optimizers:
            optimizer.unbind()

    def snapshot(self, into: list[Floats] | None = None) -> list[Floats]:
        """Return copies of the tables, in the memory of an earlier snapshot if there is one."""
        if into is None:
            return [table.copy() for table in self.tables]
        self._copy(into, self.tables)
        return into

    def restore(self, snapshot: list[Floats]) -> None:
        """Set the tables to those of a snapshot."""
        self._copy(self.tables, snapshot)

    def is_finite(self) -> bool:
        """Return whether no number is NaN or infinite."""
        return all(map(_is_finite, self.tables))

    def settle(self) -> None:
        """Apply the weight decay that untouched rows still owe."""
        for optimizer, table in zip(self.optimizers, self.tables, strict=True):
            optimizer.catch_up(table)

    @staticmethod
    def _copy(into: list[Floats], tables: list[Floats]) -> None:
        for copy, table in zip(into, tables, strict=True):
            np.copyto(copy, table)
