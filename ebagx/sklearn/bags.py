"""From the matrices that scikit-learn passes around to bags whose pooled sum is the mode's."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.preprocessing import normalize

from ebagx._core.bags import Bags, as_bags, check_indices
from ebagx._core.forms.sparse import sound_csr
from ebagx._core.modes import MODES


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
    num_rows = X.shape[1]
    bags, source = as_bags(X, None, None, num_rows=num_rows, sums=np.dtype(np.float32))
    check_indices(bags, source, num_rows, num_threads)
    matrix = sparse.csr_array((bags.weights, bags.indices, bags.offsets), shape=X.shape)
    norm = MODES[mode].norm
    return matrix if norm is None else normalize(matrix, norm=norm)


def bags_of(matrix: sparse.csr_array) -> Bags:
    """Return a CSR matrix as bags, without a copy."""
    return Bags(matrix.indices, matrix.indptr, matrix.data)
