"""Predictions and scores of collections of Dask, which are computed when they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import dask.array as da
import numpy as np
from scipy import sparse

import dask
from ebagx.dask._data import data_of


def lazily(
    X: Any, model: Any, method: str, shape: tuple[int, ...], dtype: Any, is_sparse: bool = False
) -> Any:
    """Return the array of what a method gives for the chunks of X.

    Parameters
    ----------
    X : dask array of shape (n, n_features), one chunk in each row of chunks
        Features.
    model : estimator
        Its method takes a chunk.
    method : str
        The name of the method.
    shape : tuple of int
        The shape of the result for a row.
    dtype : dtype
        The dtype of the result.
    is_sparse : bool, default=False
        The chunks of the result are CSR matrices.
    """
    shared = dask.delayed(model, pure=False)  # once in the graph, for all chunks
    meta: Any = np.empty((0,) * (1 + len(shape)), dtype)
    if is_sparse:
        meta = sparse.csr_matrix((0, 0), dtype=dtype)
    options: dict[str, Any] = {"drop_axis": 1}
    if shape:
        options = {"chunks": (X.chunks[0], *((length,) for length in shape))}
    return X.map_blocks(call, method=method, model=shared, dtype=dtype, meta=meta, **options)


def call(chunk: Any, method: str, model: Any) -> Any:
    """Return the result of a method for a chunk, which may have no rows."""
    if chunk.shape[0]:
        return getattr(model, method)(chunk)
    # scikit-learn refuses a matrix without rows: a row of zeros shows the form of the result.
    row = sparse.csr_matrix((1, chunk.shape[1]), dtype=chunk.dtype)
    return getattr(model, method)(row)[:0]


def scored_lazily(
    X: Any,
    y: Any,
    sample_weight: Any,
    model: Any,
    of_chunk: Callable[..., Any],
    of_all: Callable[[Sequence[Any]], float],
) -> Any:
    """Return the score of collections as an array of no dimensions, which is a float64.

    Parameters
    ----------
    X, y, sample_weight : collections of Dask
        The last may be None.
    model : estimator
        It predicts.
    of_chunk : callable
        ``of_chunk(model, X, y, sample_weight)`` returns the part of the score of a chunk.
    of_all : callable
        It returns the score of all parts.
    """
    data = data_of(X, y, sample_weight)
    shared = dask.delayed(model, pure=False)
    of_each = dask.delayed(of_chunk, pure=False)
    parts = [of_each(shared, *chunk) for chunk in zip(data.X, data.y, data.weights, strict=True)]
    total = dask.delayed(_number, pure=False)(of_all, parts)
    return da.from_delayed(total, shape=(), dtype=np.float64, meta=np.empty((), np.float64))


def _number(of_all: Callable[[Sequence[Any]], float], parts: Sequence[Any]) -> np.float64:
    """Return a score in the type of the items of arrays, as arrays of Dask convert it."""
    return np.float64(of_all(parts))
