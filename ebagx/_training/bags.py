"""Matrices that scikit-learn passes around become bags: checked, taken apart once, and scaled."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.bags import Bags
from ebagx._core.checks import as_real
from ebagx._core.forms.sparse import sound_csr
from ebagx._core.layout import as_contiguous
from ebagx._core.modes import SUM, Mode
from ebagx._core.passes import forward
from ebagx._core.table import Table

Floats = npt.NDArray[np.float32]

# The arrays of a block of so many short bags stay in the cache, and cost no page faults.
_BAGS_AT_ONCE = 512


def as_csr(matrix: Any, name: str, dtype: Any = None) -> Any:
    """Return a sparse matrix as CSR whose arrays fit each other, and anything else as it is.

    Estimators call this before scikit-learn sees the matrix: scikit-learn has SciPy convert it,
    which reads and writes outside the arrays of a matrix that was made by hand and does not fit.
    """
    if not sparse.issparse(matrix):
        return matrix
    given: Any = matrix
    return sound_csr(given, name, dtype) if given.ndim == 2 else given


def bags_of(X: Any, dtype: np.dtype[Any]) -> Bags:
    """Return a matrix (B, N) as bags with weights of a dtype, without a copy where it has that.

    `X` is what ``validate_data`` made of the result of `as_csr`, so nothing is checked here. The
    zeros of a dense matrix are no lookups, those that a sparse one stores are.
    """
    if sparse.issparse(X):
        csr: Any = X
        indices, offsets, values = csr.indices, csr.indptr, csr.data
    else:
        occupied = X != 0
        indices, values = np.nonzero(occupied)[1], X[occupied]
        offsets = np.zeros(len(X) + 1, indices.dtype)
        np.cumsum(np.count_nonzero(occupied, axis=1), out=offsets[1:])
    weights = as_contiguous(as_real(values, "X", dtype))
    return Bags(as_contiguous(indices), as_contiguous(offsets), weights)


def scaled_for(mode: Mode, bags: Bags) -> Bags:
    """Return the bags with weights whose plain sums are the bags pooled in the mode.

    The weights of a bag are divided by their norm, Σ|w| in the mode mean and √Σw² in the mode
    sqrtn, unless that is 0. Norms are added up in float64, in the order of the lookups.
    """
    if mode.norm is None:
        return bags
    scaled = np.empty_like(bags.weights)
    for first in range(0, bags.num_bags, _BAGS_AT_ONCE):
        ends = bags.offsets[first : first + _BAGS_AT_ONCE + 1]
        part = slice(ends[0], ends[-1])
        weights = bags.weights[part]
        norms = _norms(weights, np.diff(ends), mode.norm)
        np.divide(weights, norms, out=scaled[part], casting="same_kind")
    return bags._replace(weights=scaled)


def _norms(weights: Floats, lengths: npt.NDArray[Any], norm: str) -> Any:
    """Return for each lookup the norm of its bag, or 1 where that is 0."""
    with np.errstate(over="ignore"):  # a norm of infinity makes weights of 0
        parts = np.abs(weights) if norm == "l1" else np.square(weights)
    bag_of_lookup = np.repeat(np.arange(len(lengths)), lengths)
    norms: Any = np.bincount(bag_of_lookup, parts, len(lengths))
    norms = norms.astype(np.float64, copy=False)  # NumPy counts nothing in integers
    if norm == "l2":
        np.sqrt(norms, out=norms)
    norms[norms == 0] = 1
    return norms[bag_of_lookup]


def take(bags: Bags, rows: npt.NDArray[np.intp]) -> Bags:
    """Return some of the bags, which have weights, in the order of `rows`.

    SciPy gathers the rows of a CSR matrix: 2,560 bags of 57,000 lookups in 0.24 ms, which NumPy's
    ``repeat`` and ``take`` do in 0.51 ms. It would write outside its arrays if another thread
    changed the offsets meanwhile, so it gets a copy of them that ascends within the lookups.
    """
    indices, given, weights = bags
    offsets = np.maximum.accumulate(np.clip(given, 0, len(indices)))
    offsets[:1] = 0
    shape = bags.num_bags, np.iinfo(indices.dtype).max  # any number of columns will do
    part = sparse.csr_array((weights, indices, offsets), shape=shape)[rows]
    return Bags(part.indices, part.indptr, part.data)


def table_of(weight: Any, name: str, num_features: int) -> Table:
    """Return the table in an array that has a row for each feature.

    Raises
    ------
    TypeError
        If tables may not have its dtype.
    ValueError
        If it is not 2-D, or has another number of rows.
    """
    table = Table.of(weight, name)
    if table.num_rows != num_features:
        raise ValueError(
            f"{name} must have a row for each of the {num_features} features of X, "
            f"got {table.num_rows} rows"
        )
    return table


def weighted_sums(bags: Bags, table: Table, num_threads: int | None) -> Floats:
    """Return the weighted sum (B, D) of each bag's rows; the indices have been checked."""
    weights = bags.weights.astype(table.sum_dtype, copy=False)
    pooled: Floats = forward(bags._replace(weights=weights), table, SUM, None, num_threads)[0]
    return pooled
