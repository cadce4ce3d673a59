"""A first pass over y: classes, counts and moments, which each shard needs of all of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from ebagx.sklearn.inputs import as_targets
from ebagx.sklearn.labels import INDICATOR, column_of_labels
from ebagx.sklearn.numbers import columns_of_numbers

Doubles = npt.NDArray[np.float64]


class Labels(NamedTuple):
    """The labels of a chunk of y, or of all."""

    num_rows: int
    classes: npt.NDArray[Any] | None  # sorted; None: an indicator, or no rows
    counts: npt.NDArray[np.int64]  # of each class or label
    is_sparse: bool = False

    @property
    def is_indicator(self) -> bool:
        """Return whether y has a column for each label."""
        return self.classes is None

    def __repr__(self) -> str:
        return f"Labels({self.num_rows} rows, {len(self.counts)} classes)"


class Moments(NamedTuple):
    """Weighted moments of the columns of a chunk of y, or of all."""

    num_rows: int
    has_columns: bool
    weight: float
    mean: Doubles  # (K,)
    squares: Doubles  # sums of the squared differences from the mean, weighted
    largest: Doubles  # absolute values

    def __repr__(self) -> str:
        return f"Moments({self.num_rows} rows, {len(self.mean)} outputs)"


def labels_of(y: Any) -> Labels:
    """Return the labels of a chunk of y."""
    given: Any = y if sparse.issparse(y) else np.asarray(y)
    num_rows = given.shape[0]
    if not num_rows:
        return Labels(0, None, np.zeros(0, np.int64))
    given = as_targets(given)
    if not sparse.issparse(given):
        _check_kinds(given)
    kind = type_of_target(given, input_name="y")
    if kind == INDICATOR:
        ones = sparse.csr_array(given)
        ones.eliminate_zeros()
        counts = np.bincount(ones.indices, minlength=given.shape[1])
        return Labels(num_rows, None, counts, sparse.issparse(given))
    classes, counts = np.unique(column_of_labels(given, kind), return_counts=True)
    return Labels(num_rows, classes, counts)


def _check_kinds(labels: Any) -> None:
    """Raise TypeError if there are texts and other labels, which have no order."""
    if labels.dtype.kind != "O":
        return
    kinds = {str if isinstance(label, str) else type(label) for label in labels.ravel().tolist()}
    if str in kinds and len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"y must hold labels of one type, got {names}")


def all_labels(chunks: Sequence[Labels]) -> Labels:
    """Return the labels of all chunks, some of which may have no rows.

    Raises
    ------
    ValueError
        If there are no rows, or if only some of the chunks are indicators, or of other widths.
    TypeError
        If labels are texts in some chunks and numbers in others.
    """
    chunks = [chunk for chunk in chunks if chunk.num_rows]
    if not chunks:
        raise ValueError("y must have at least one row, got none")
    num_rows = sum(chunk.num_rows for chunk in chunks)
    if {chunk.is_indicator for chunk in chunks} != {chunks[0].is_indicator}:
        raise ValueError("y must hold labels or be an indicator in all chunks, got both")
    if chunks[0].is_indicator:
        if len({len(chunk.counts) for chunk in chunks}) > 1:
            raise ValueError("y must have the same number of columns in all chunks")
        total = np.sum([chunk.counts for chunk in chunks], axis=0)
        return Labels(num_rows, None, total, chunks[0].is_sparse)
    own: list[Any] = [chunk.classes for chunk in chunks]
    every = np.concatenate(own)
    dtypes = sorted({str(classes.dtype) for classes in own})
    if every.dtype.kind in "US" and any(classes.dtype.kind not in "USO" for classes in own):
        raise TypeError(f"y must hold labels of one type in all chunks, got {' and '.join(dtypes)}")
    _check_kinds(every)
    classes, places = np.unique(every, return_inverse=True)
    counts = np.bincount(places, np.concatenate([chunk.counts for chunk in chunks]))
    return Labels(num_rows, classes, counts.astype(np.int64))


def moments_of(y: Any, weights: Any) -> Moments:
    """Return the moments of a chunk of y."""
    given: Any = y if sparse.issparse(y) else np.asarray(y)
    if not given.shape[0]:
        nothing = np.zeros(0)
        return Moments(0, given.ndim == 2, 0.0, nothing, nothing, nothing)
    columns, has_columns = columns_of_numbers(given)
    of_rows = np.ones(len(columns)) if weights is None else np.asarray(weights, np.float64)
    if len(of_rows) != len(columns):
        raise ValueError(f"sample_weight has {len(of_rows)} rows in a chunk, y has {len(columns)}")
    total = float(of_rows.sum())
    mean = of_rows @ columns / total if total else np.zeros(columns.shape[1])
    squares = of_rows @ (columns - mean) ** 2
    largest = np.abs(columns).max(axis=0)
    return Moments(len(columns), has_columns, total, mean, squares, largest)


def all_moments(chunks: Sequence[Moments]) -> Moments:
    """Return the moments of all chunks, merged in their order."""
    chunks = [chunk for chunk in chunks if chunk.num_rows]
    if not chunks:
        raise ValueError("y must have at least one row, got none")
    if len({(chunk.has_columns, len(chunk.mean)) for chunk in chunks}) > 1:
        raise ValueError("y must have the same number of columns in all chunks")
    total = chunks[0]
    for chunk in chunks[1:]:
        total = _merged(total, chunk)
    if not total.weight:
        raise ValueError("sample_weight must contain at least one non-zero number")
    return total


def _merged(first: Moments, second: Moments) -> Moments:
    weight = first.weight + second.weight
    share = second.weight / weight if weight else 0.0
    difference = second.mean - first.mean
    return Moments(
        first.num_rows + second.num_rows,
        first.has_columns,
        weight,
        first.mean + share * difference,
        first.squares + second.squares + share * first.weight * difference**2,
        np.maximum(first.largest, second.largest),
    )
