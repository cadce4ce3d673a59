"""Users and items whose vectors are pooled rows of two tables: data and weights of a training."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.bags import Bags
from ebagx._core.layout import as_contiguous
from ebagx._training.network import Floats, _is_finite
from ebagx._training.snapshots import Part, Snapshot, snapshot_of
from ebagx.optim import Optimizer

Doubles = npt.NDArray[np.float64]


class Positives(NamedTuple):
    """The stored entries (n,) of a matrix (U, I) of users and items, row by row, items ascending.

    Integers have one dtype, int32 or int64.
    """

    users: npt.NDArray[Any]
    offsets: npt.NDArray[Any]  # (U + 1,)
    items: npt.NDArray[Any]
    values: Floats
    strengths: Floats  # weights in the loss

    @classmethod
    def of(cls, matrix: Any, sample_weight: Doubles | None = None) -> "Positives":
        """Return the entries of a CSR matrix without duplicates, whose indices ascend."""
        offsets = as_contiguous(matrix.indptr)
        items = as_contiguous(matrix.indices.astype(offsets.dtype, copy=False))
        users = np.repeat(np.arange(len(offsets) - 1, dtype=offsets.dtype), np.diff(offsets))
        values = as_contiguous(matrix.data.astype(np.float32, copy=False))
        strengths = values
        if sample_weight is not None:
            strengths = (values * sample_weight[users]).astype(np.float32)
        return cls(users, offsets, items, values, strengths)

    def __repr__(self) -> str:
        return f"Positives({len(self.items)} entries of {len(self.offsets) - 1} users)"

    @property
    def num_entries(self) -> int:
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

    def snapshot(self, into: Snapshot | None = None, with_state: bool = False) -> Snapshot:
        """Return copies of the tables, in the memory of an earlier snapshot if there is one."""
        return snapshot_of(self._parts, into, with_state)

    def restore(self, snapshot: Snapshot) -> None:
        """Set the tables, and the state if that was copied, to those of a snapshot."""
        for part, copy in zip(self._parts, snapshot, strict=True):
            part.restore(copy)

    def is_finite(self) -> bool:
        """Return whether no number is NaN or infinite."""
        return all(map(_is_finite, self.tables))

    def settle(self) -> None:
        """Apply the weight decay that untouched rows still owe."""
        for optimizer, table in zip(self.optimizers, self.tables, strict=True):
            optimizer.catch_up(table)

    @property
    def _parts(self) -> list[Part]:
        all_rows = [slice(None)] * len(self.tables)
        return [*map(Part, self.tables, all_rows, self.optimizers)]


def bags_beside(own: sparse.csr_array, features: sparse.csr_array | None) -> Bags:
    """Return as bags a matrix, and beside it one of features, whose rows come after its columns.

    The lookups of a bag ascend, as those of `own` must.
    """
    matrix: Any = own
    if features is not None and features.shape[1]:
        matrix = sparse.hstack([own, features], format="csr")
        matrix.sort_indices()
    weights = as_contiguous(matrix.data.astype(np.float32, copy=False))
    return Bags(matrix.indices, matrix.indptr.astype(matrix.indices.dtype, copy=False), weights)


def own_rows(has_row: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Return an identity matrix, with ones only for those that have a row of their own."""
    offsets = np.zeros(len(has_row) + 1, np.int32)
    np.cumsum(has_row, out=offsets[1:])
    places = np.flatnonzero(has_row).astype(np.int32)
    ones = np.ones(len(places), np.float32)
    return sparse.csr_array((ones, places, offsets), shape=(len(has_row), len(has_row)))


def totals_of(bags: Bags, norm: str | None) -> Doubles:
    """Return Σ|w| or Σw² of each bag, added up in float64; ones without a norm."""
    num_bags = bags.num_bags
    if norm is None:
        return np.ones(num_bags)
    weights = bags.weights.astype(np.float64)
    parts = np.abs(weights) if norm == "l1" else weights * weights
    bag_of_lookup = np.repeat(np.arange(num_bags), np.diff(bags.offsets))
    totals: Doubles = np.bincount(bag_of_lookup, parts, num_bags).astype(np.float64)
    return totals


def start_rows(
    table: Floats, used: npt.NDArray[np.bool_], dim: int, rng: np.random.Generator
) -> None:
    """Give rows in use that are zeros their first values, uniform in (-1/D, 1/D)."""
    new = np.flatnonzero(used & ~table.any(axis=1))
    values = rng.random((len(new), dim), dtype=np.float32)
    table[new, :dim] = (2 * values - 1) / np.float32(dim)


def rows_in_use(bags: Bags | None, num_rows: int) -> npt.NDArray[np.bool_]:
    """Return which rows of a table occur in bags; None: each is the bag of an item."""
    if bags is None:
        return np.ones(num_rows, bool)
    used = np.zeros(num_rows, bool)
    used[bags.indices] = True
    return used


def places_after_growth(
    num_rows: int, own_before: int, own: int, num_features: int
) -> npt.NDArray[np.intp]:
    """Return where rows of a table come to stand when more rows of its own precede the features'.

    Raises
    ------
    ValueError
        If there are less features than before.
    """
    features_before = num_rows - own_before
    if 0 < num_features < features_before:
        raise ValueError(
            f"features must have the {features_before} columns of before, and perhaps more behind "
            f"them, got {num_features}"
        )
    return np.concatenate([np.arange(own_before), own + np.arange(features_before)])


def with_shape(
    matrix: sparse.csr_array, num_rows: int, num_columns: int | None = None
) -> sparse.csr_array:
    """Return a copy of a CSR matrix with empty rows and columns behind its own."""
    copy: Any = matrix.copy()
    copy.resize((num_rows, matrix.shape[1] if num_columns is None else num_columns))
    resized: sparse.csr_array = copy
    return resized


def part_of(matrix: sparse.csr_array, is_kept: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Return some of the entries of a CSR matrix."""
    ends = np.concatenate([[0], np.cumsum(is_kept)])[matrix.indptr]
    offsets = ends.astype(matrix.indptr.dtype)
    return sparse.csr_array(
        (matrix.data[is_kept], matrix.indices[is_kept], offsets), shape=matrix.shape
    )
