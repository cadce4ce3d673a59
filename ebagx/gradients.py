"""`RowGradient` is a gradient as touched rows and their values."""

import numbers
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse

from ebagx._core.arguments import check_size, shown
from ebagx._core.checks import (
    as_integer_array,
    as_plain_array,
    check_integers,
    check_real,
    check_rows,
)
from ebagx._core.forms.sparse import csr_parts
from ebagx._core.layout import as_indices
from ebagx._core.memory import check_mapped

__all__ = ["EmbeddingBagGradients", "RowGradient"]


@dataclass(eq=False, slots=True)
class RowGradient:
    """Gradient of an embedding table that is zero outside some rows.

    Gradients of one table can be added and subtracted, also by `sum`, and multiplied and divided by
    numbers. The result is a new gradient, with the dtype that NumPy gives to the values. The three
    attributes cannot be assigned, and `rows` cannot be written to; `values` can, also as in
    ``gradient.values *= 0.5``.

    Parameters
    ----------
    rows : array_like of shape (U,), int32 or int64
        The touched rows, ascending, each once.
    values : array_like of shape (U, D), float32 or float64
        Their gradients. An array is not copied.
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
    >>> mean = (gradient + 3 * gradient) / 2
    >>> mean.values[0]
    array([2., 2., 2.])
    """

    rows: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    # NumPy's arrays and numbers on the left leave the operators to this class.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        num_rows, dim = self.shape
        shape = check_size(num_rows, "shape[0]"), check_size(dim, "shape[1]")
        rows = as_integer_array(self.rows, "rows")
        values = as_plain_array(self.values, "values")
        check_rows(rows, "rows", shape[0])
        check_real(values, "values")
        if values.shape != (len(rows), shape[1]):
            raise ValueError(f"values must have shape {(len(rows), shape[1])}, got {values.shape}")
        self._set(as_indices(rows), values, shape)

    @classmethod
    def _of(cls, rows: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Self:
        """Return a gradient of arrays that need no checks, which take longer than small steps."""
        gradient = object.__new__(cls)
        gradient._set(rows, values, shape)
        return gradient

    def _set(self, rows: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> None:
        if rows.flags.writeable:
            rows = rows.view()
            rows.flags.writeable = False
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "shape", shape)

    def __setattr__(self, name: str, value: Any) -> None:
        # The statement ``gradient.values *= 0.5`` changes the array, and then assigns it.
        if hasattr(self, name) and value is not getattr(self, name):
            raise FrozenInstanceError(
                f"cannot assign {name} of a RowGradient: make another one, "
                "RowGradient(rows, values, shape), or write to its values"
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name} of a RowGradient")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rows, self.values, self.shape), getattr(self, "__dict__", None)

    def __repr__(self) -> str:
        return (
            f"RowGradient({len(self.rows)} of {self.shape[0]} rows, "
            f"embedding_dim={self.shape[1]}, dtype={self.values.dtype})"
        )

    def __add__(self, other: Any) -> "RowGradient":
        """Return the sum of two gradients of one table; 0 changes nothing, for `sum`."""
        if not isinstance(other, RowGradient):
            return self if _is_zero(other) else NotImplemented
        if self.shape != other.shape:
            raise ValueError(f"cannot add a gradient of shape {other.shape} to {self.shape}")
        rows = np.union1d(self.rows, other.rows)
        values = np.zeros((len(rows), self.shape[1]), np.result_type(self.values, other.values))
        values[np.searchsorted(rows, self.rows)] = self.values
        values[np.searchsorted(rows, other.rows)] += other.values
        return RowGradient._of(rows, values, self.shape)

    def __radd__(self, other: Any) -> "RowGradient":
        """Return the same as ``self + other``, for `sum`."""
        return self if _is_zero(other) else NotImplemented

    def __sub__(self, other: Any) -> "RowGradient":
        """Return the difference of two gradients of one table."""
        if isinstance(other, RowGradient):
            return self + -other
        return self if _is_zero(other) else NotImplemented

    def __rsub__(self, other: Any) -> "RowGradient":
        """Return 0 less the gradient."""
        return -self if _is_zero(other) else NotImplemented

    def __neg__(self) -> "RowGradient":
        """Return the gradient with the other sign."""
        return RowGradient._of(self.rows, -self.values, self.shape)

    def __mul__(self, factor: Any) -> "RowGradient":
        """Return the gradient times a number."""
        return self.scaled(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> "RowGradient":
        """Return the gradient divided by a number."""
        return RowGradient._of(self.rows, self.values / _as_factor(divisor, "divisor"), self.shape)

    def scaled(self, factor: Any) -> "RowGradient":
        """Return the gradient times a number, as the operator ``*``.

        Parameters
        ----------
        factor : int or float
            A real number of Python or NumPy. NaN and infinity are allowed, as in NumPy.

        Returns
        -------
        RowGradient
            With values in the dtype of ``values * factor``. A number of Python leaves float32 as
            it is; ``np.float64`` makes it float64.

        Raises
        ------
        TypeError
            If `factor` is a bool, a complex number, an array or no number.

        Examples
        --------
        >>> import ebagx
        >>> ebagx.RowGradient([1], [[2.0, 4.0]], (5, 2)).scaled(0.25).values
        array([[0.5, 1. ]])
        """
        return RowGradient._of(self.rows, self.values * _as_factor(factor, "factor"), self.shape)

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

    def to_form(self, sparse: bool | str) -> "scipy.sparse.bsr_array | RowGradient":
        """Return the gradient in the form that ``sparse=True`` or ``"rows"`` names."""
        return self if sparse == "rows" else self.tobsr()


def _is_zero(term: Any) -> bool:
    """Return whether a term is the number 0; raise TypeError for other numbers and for arrays."""
    is_number = isinstance(term, numbers.Number) and not isinstance(term, bool)
    if is_number and not term:
        return True
    if not (is_number or isinstance(term, np.ndarray) or scipy.sparse.issparse(term)):
        return False
    raise TypeError(
        f"a RowGradient can be added to a RowGradient or 0, got {shown(term)}: "
        "add toarray() to an array, and tobsr() to a SciPy matrix"
    )


def _as_factor(factor: Any, name: str) -> Any:
    """Return a real number that NumPy multiplies by, or raise TypeError."""
    if isinstance(factor, np.ndarray) and factor.ndim == 0:
        factor = factor[()]
    if isinstance(factor, bool) or not isinstance(factor, numbers.Real):
        raise TypeError(
            f"{name} must be a number, got {shown(factor)}: to scale each row by its own number, "
            "make a RowGradient of rows and scaled values"
        )
    if isinstance(factor, np.number):
        return factor
    return int(factor) if isinstance(factor, int) else float(factor)


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
    dense = as_plain_array(grad, "grad")
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

    Examples
    --------
    >>> import numpy as np
    >>> from ebagx import embedding_bag_backward
    >>> gradients = embedding_bag_backward(
    ...     np.ones((1, 2)), [[0, 2]], np.zeros((4, 2)), mode="sum", sparse="rows"
    ... )
    >>> gradients.weight
    RowGradient(2 of 4 rows, embedding_dim=2, dtype=float64)
    >>> gradients.per_sample_weights is None
    True
    """

    # Any stands for None: only callers that asked for None have to expect it.
    weight: np.ndarray | scipy.sparse.bsr_array | RowGradient | Any
    per_sample_weights: np.ndarray | None
