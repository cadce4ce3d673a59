"""From the matrices that scikit-learn passes around to bags whose pooled sum is the mode's."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize

from ebagx._bags import Bags, as_bags, check_indices
from ebagx._sparse import sound_csr

_NORM_OF_MODE = {"mean": "l1", "sqrtn": "l2", "sum": None}
MODES = tuple(_NORM_OF_MODE)


def as_csr(matrix: Any, name: str, dtype: Any = None) -> Any:
    """Return a sparse matrix as CSR that was checked, and anything else as it is.

    For what scikit-learn is given: it has SciPy convert matrices, which reads and writes outside
    their arrays if they were made by hand and do not fit.
    """
    if not sparse.issparse(matrix):
        return matrix
    given: Any = matrix
    return sound_csr(given, name, dtype) if given.ndim == 2 else given


def weighted_bags(X: Any, mode: str, num_threads: int | None) -> sparse.csr_array:
    """Return `X` (B, N) as CSR of float32, its rows scaled so that their sums are the mode's.

    Sparse matrices made by hand are checked: what comes out may be given to kernels. Sparse input
    never becomes dense, and is not changed.
    """
    X = sparse.csr_array(X)
    table = np.broadcast_to(np.float32(0), (X.shape[1], 0))  # as_bags asks for its length
    bags, source = as_bags(X, None, None, include_last_offset=False, weight=table)
    check_indices(bags, source, len(table), num_threads)
    matrix = sparse.csr_array((bags.weights, bags.indices, bags.offsets), shape=X.shape)
    norm = _NORM_OF_MODE[mode]
    return matrix if norm is None else normalize(matrix, norm=norm)


def bags_of(matrix: sparse.csr_array) -> Bags:
    """Return a CSR matrix as bags, without a copy."""
    return Bags(matrix.indices, matrix.indptr, matrix.data)
