"""Check interactions of users and items, their features, and pairs of them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils import check_array

from ebagx._core.arguments import named_errors
from ebagx._core.checks import as_integer_array
from ebagx._training.bags import as_csr
from ebagx.sklearn.inputs import without_duplicates

Rows = npt.NDArray[np.integer[Any]]


def as_interactions(X: Any) -> sparse.csr_array:
    """Return checked numbers (U, I) as CSR without duplicates whose rows ascend.

    Raises
    ------
    ValueError
        If one is stored and not above 0.
    """
    if not sparse.issparse(X):
        X = sparse.csr_array(X)
    matrix = without_duplicates(sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape))
    wrong = np.flatnonzero(~(matrix.data > 0))
    if len(wrong):
        row = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        value, column = matrix.data[wrong[0]], matrix.indices[wrong[0]]
        if value == 0:
            raise ValueError(
                f"X must not store zeros, got X[{row}, {column}] = 0; X.eliminate_zeros() removes "
                "them if they are no interactions"
            )
        raise ValueError(
            f"Negative values in data: X[{row}, {column}] = {value} must be above 0, the weight of "
            "an interaction; leave negative feedback out, or shift the numbers"
        )
    csr: sparse.csr_array = matrix
    return csr


def check_some(X: Any) -> None:
    """Raise ValueError unless there are an interaction and two items."""
    if X.shape[1] < 2:
        raise ValueError(
            "X must have a column for each of at least 2 items, got 1 feature(s); rows are users"
        )
    if not X.nnz:
        raise ValueError("X must have interactions, but all its users are empty")


def check_columns(X: Any, num_items: int, estimator: str) -> None:
    """Raise ValueError, in scikit-learn's words, unless a matrix has a column for each item."""
    if X.shape[1] == num_items:
        return
    hint = "; its rows seem to be items: pass X.T" if X.shape[0] == num_items else ""
    raise ValueError(
        f"X has {X.shape[1]} features, but {estimator} is expecting {num_items} features as input"
        f"{hint}"
    )


def as_entity_features(
    features: Any, name: str, kind: str, shape: tuple[int, int]
) -> sparse.csr_array:
    """Return features of the users or items of a matrix as CSR of float32.

    Parameters
    ----------
    features : array-like or sparse matrix
        Features.
    name : str
        Name of the argument.
    kind : {"user", "item"}
        What has them.
    shape : tuple of int
        Shape of the interactions.

    Raises
    ------
    ValueError
        If there are no rows for just the users or items, or a number is NaN or infinite.
    """
    with named_errors(name):
        checked = check_array(
            as_csr(features, name, np.float32),
            accept_sparse="csr",
            dtype=np.float32,
            input_name=name,
        )
    axis = 0 if kind == "user" else 1
    if checked.shape[0] != shape[axis]:
        hint = ""
        if checked.shape[0] == shape[1 - axis]:
            hint = "; rows of X are users and its columns items: pass X.T if they are not"
        raise ValueError(
            f"{name} must have a row for each of the {shape[axis]} {kind}s of X, got "
            f"{checked.shape[0]} rows{hint}"
        )
    return sparse.csr_array(checked)


def as_pairs(pairs: Any, shape: tuple[int, int]) -> tuple[Rows, Rows]:
    """Return the rows and the items of pairs (n, 2), or raise if one is not in the matrix."""
    array = as_integer_array(pairs, "pairs")
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f"pairs must have shape (n, 2), a row of X and an item, got {array.shape}")
    outside = np.flatnonzero(((array < 0) | (array >= np.array(shape))).any(axis=1))
    if len(outside):
        row, item = array[outside[0]]
        raise ValueError(
            f"pairs[{outside[0]}] = ({row}, {item}) must be a row and a column of X, whose "
            f"shape is {shape}"
        )
    return array[:, 0], array[:, 1]
