"""`RowGradient` is a gradient as touched rows and their values."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from ebagx._core.checks import (
    as_integer_array,
    check_integers,
    check_real,
    check_rows,
    check_size,
)
from ebagx._core.forms.sparse import csr_parts
from ebagx._core.layout import as_indices
from ebagx._core.memory import check_mapped

__all__ = ["EmbeddingBagGradients", "RowGradient"]


@dataclass(frozen=True, eq=False, slots=True)
class RowGradient:
    """Gradient of an embedding table that is zero outside some rows.

    Parameters
    ----------
    rows : array_like of shape (U,), int32 or int64
        The touched rows, ascending, each once.
    values : array_like of shape (U, D), float32 or float64
        Their gradients.
    shape : tuple of int
        Shape (N, D) of the table.

    Raises
    ------
    ValueError, IndexError
        If shapes do not fit, or rows do not ascend or are outside the table.
    TypeError
        If rows are not integers, or values are not real numbers.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> gradient = ebagx.RowGradient(np.array([1, 4]), np.ones((2, 3)), (5, 3))
    >>> gradient
    RowGradient(2 of 5 rows, embedding_dim=3, dtype=float64)
    >>> gradient.toarray()[:, 0]
    array([0., 1., 0., 0., 1.])
    """

    rows: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        num_rows, dim = self.shape
        shape = check_size(num_rows, "shape[0]"), check_size(dim, "shape[1]")
        rows, values = as_integer_array(self.rows, "rows"), np.asarray(self.values)
        check_rows(rows, "rows", shape[0])
        check_real(values, "values")
        if values.shape != (len(rows), shape[1]):
            raise ValueError(f"values must have shape {(len(rows), shape[1])}, got {values.shape}")
        object.__setattr__(self, "rows", as_indices(rows))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "shape", shape)

    def __repr__(self) -> str:
        return (
            f"RowGradient({len(self.rows)} of {self.shape[0]} rows, "
            f"embedding_dim={self.shape[1]}, dtype={self.values.dtype})"
        )

    def __add__(self, other: "RowGradient") -> "RowGradient":
        """Return the sum of two gradients of one table."""
        if not isinstance(other, RowGradient):
            return NotImplemented
        if self.shape != other.shape:
            raise ValueError(f"cannot add a gradient of shape {other.shape} to {self.shape}")
        rows = np.union1d(self.rows, other.rows)
        values = np.zeros((len(rows), self.shape[1]), np.result_type(self.values, other.values))
        values[np.searchsorted(rows, self.rows)] = self.values
        values[np.searchsorted(rows, other.rows)] += other.values
        return RowGradient(rows, values, self.shape)

    def tobsr(self) -> scipy.sparse.bsr_array:
        """Return the gradient as a block matrix: one (1, D) block per touched row.

        The matrix is canonical. Only its `indptr`, of N + 1 entries, grows with the table.
        """
        num_rows, dim = self.shape
        if dim == 0:
            return scipy.sparse.bsr_array(self.shape, dtype=self.values.dtype)
        touched = len(self.rows)
        counts = np.arange(touched + 1, dtype=self.rows.dtype)
        indptr = np.repeat(counts, np.diff(self.rows, prepend=-1, append=num_rows))
        return scipy.sparse.bsr_array(
            (self.values[:, np.newaxis, :], np.zeros(touched, indptr.dtype), indptr),
            shape=self.shape,
            blocksize=(1, dim),
        )

    def tocsr(self) -> scipy.sparse.csr_array:
        """Return the gradient as a CSR matrix."""
        return self.tobsr().tocsr()

    def toarray(self) -> np.ndarray:
        """Return the gradient as a dense (N, D) array."""
        dense = np.zeros(self.shape, self.values.dtype)
        dense[self.rows] = self.values
        return dense

    def added_to(
        self, total: "scipy.sparse.bsr_array | RowGradient | None", sparse: bool | str
    ) -> "scipy.sparse.bsr_array | RowGradient":
        """Return the sum with an earlier gradient, in the form that `sparse` names."""
        if total is None:
            return self.to_form(sparse)
        # SciPy's own sum drops rows that become zero.
        return (as_row_gradient(total) + self).to_form(sparse)

    def to_form(self, sparse: bool | str) -> "scipy.sparse.bsr_array | RowGradient":
        """Return the gradient in the form that ``sparse=True`` or ``"rows"`` names."""
        return self if sparse == "rows" else self.tobsr()


def _rows_of_blocks(grad: Any) -> RowGradient | None:
    """Return a matrix of `RowGradient.tobsr` by its rows, not copied; None for other matrices."""
    num_rows, dim = grad.shape
    data, counts = np.asarray(grad.data), np.diff(np.asarray(grad.indptr))
    rows = np.flatnonzero(counts)
    if data.shape != (len(rows), 1, dim) or len(counts) != num_rows or np.any(counts[rows] != 1):
        return None
    return RowGradient(rows, data[:, 0], (num_rows, dim))


def _rows_of_sparse(grad: Any) -> RowGradient:
    if grad.ndim != 2:
        raise ValueError(f"grad must be 2-D, got {grad.ndim}-D")
    if grad.format == "bsr" and (found := _rows_of_blocks(grad)) is not None:
        return found
    num_rows, dim = grad.shape
    indptr, columns, data = csr_parts(grad, "grad")
    check_integers(indptr, "grad.indptr")
    check_integers(columns, "grad.indices")
    check_real(data, "grad.data")
    # SciPy checks the structure; nothing has to be converted before.
    matrix = scipy.sparse.csr_array((data, columns, indptr), shape=grad.shape)
    matrix.check_format(full_check=True)
    coo = matrix.tocoo()
    rows, places = np.unique(coo.row, return_inverse=True)
    values = np.zeros((len(rows), dim), data.dtype)
    np.add.at(values, (places, coo.col), coo.data)
    return RowGradient(rows, values, (num_rows, dim))


def as_row_gradient(grad: Any) -> RowGradient:
    """Return a gradient of any form as a RowGradient; rows of zeros of a dense one are left out."""
    if isinstance(grad, RowGradient):
        return grad
    if scipy.sparse.issparse(grad):
        return _rows_of_sparse(grad)
    dense = np.asarray(grad)
    if dense.ndim != 2:
        raise ValueError(f"grad must be 2-D, got {dense.ndim}-D")
    check_mapped(dense, "grad")
    rows = np.flatnonzero(dense.any(axis=1))
    return RowGradient(rows, dense[rows], dense.shape)


class EmbeddingBagGradients(NamedTuple):
    """Result of `embedding_bag_backward`.

    Attributes
    ----------
    weight : ndarray, bsr_array or RowGradient of shape (N, D), or None
        Gradient of the table; None with ``weight_grad=False``.
    per_sample_weights : ndarray or None
        Gradient of the per-sample weights; None if it was not computed.
    """

    # Any stands for None: only callers that asked for None have to expect it.
    weight: np.ndarray | scipy.sparse.bsr_array | RowGradient | Any
    per_sample_weights: np.ndarray | None
