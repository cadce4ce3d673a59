"""Features in collections of Dask become arrays that are chunked along their rows only."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from scipy import sparse

import dask
from ebagx._core.arguments import shown
from ebagx.functional import csr_from_bags

_TAKEN = "a 2-D array or a dataframe of Dask"
_NUMBERS = "biuf"
_WAY_OUT = (
    "; DaskTextVectorizer of ebagx.dask makes an array of texts, and array.map_blocks one of others"
)


def is_collection(value: Any) -> bool:
    """Return whether a value is an array, dataframe, series or bag of Dask."""
    return bool(dask.is_dask_collection(value))


def is_bag(value: Any) -> bool:
    """Return whether a value is a bag of Dask, without an import of its module."""
    # A Delayed object has every attribute, its type has not.
    return is_collection(value) and hasattr(type(value), "foldby")


def features_of(X: Any) -> Any:
    """Return features as an array of Dask with one chunk in each row of chunks.

    Raises
    ------
    TypeError
        If `X` is no 2-D array or dataframe of Dask.
    ValueError
        If it is chunked along its columns, if their number is unknown, or if a column of a
        dataframe has no numbers.
    """
    if hasattr(type(X), "to_dask_array"):
        for name, dtype in getattr(X, "dtypes", {}).items() if X.ndim == 2 else ():
            if getattr(dtype, "kind", "O") not in _NUMBERS:
                raise ValueError(
                    f"X must hold counts or weights, got column {name!r:.40} of dtype {dtype}"
                    f"{_WAY_OUT}"
                )
        X = X.to_dask_array() if X.ndim == 2 else X
    if not isinstance(X, da.Array) or X.ndim != 2:
        raise TypeError(f"X must be {_TAKEN}, got {_described(X)}{_WAY_OUT}")
    if X.numblocks[1] != 1:
        raise ValueError(
            f"X must be chunked along its rows only, got {X.numblocks[1]} chunks in a row: "
            "X.rechunk({1: -1}) joins them"
        )
    if np.isnan(X.shape[1]):
        raise ValueError(
            "X must have a known number of columns, got nan: map_partitions and map_blocks take "
            "it, as in X.map_blocks(function, chunks=(X.chunks[0], (num_columns,)))"
        )
    return X


def _described(X: Any) -> str:
    name = type(X).__name__
    return f"{name} of {X.ndim} dimensions" if isinstance(X, da.Array) else name


def names_of(X: Any) -> npt.NDArray[np.object_] | None:
    """Return the names of the columns of a dataframe, as scikit-learn does; None without any."""
    columns = list(getattr(X, "columns", ())) if hasattr(type(X), "columns") else []
    if not columns or not all(isinstance(name, str) for name in columns):
        return None
    return np.asarray(columns, object)


def fitted_features(X: Any, num_columns: int, fitted: Any) -> Any:
    """Return features of a fitted model as an array of Dask; a bag has lists of ids.

    Raises
    ------
    TypeError
        If `X` is another collection.
    ValueError
        If it has other columns than the data of `fit`, whose names are `fitted` or None.
    """
    if is_bag(X):
        return matrix_of_ids(X, num_columns)
    names, X = names_of(X), features_of(X)
    if X.shape[1] != num_columns:
        raise ValueError(
            f"X must have the {num_columns} columns of the data of fit, got {X.shape[1]}"
        )
    if names is not None and fitted is not None and (names != fitted).any():
        first = int(np.flatnonzero(names != fitted)[0])
        raise ValueError(
            f"X must have the columns of the data of fit in their order, got {names[first]!r} in "
            f"place of {fitted[first]!r}: X[list(model.feature_names_in_)] orders them"
        )
    return X


def matrix_of_ids(bag: Any, num_columns: int) -> Any:
    """Return the matrix of a bag of lists of ids, each of which counts its column by one.

    The chunks have unknown lengths, one for each partition. Nothing is computed yet.
    """
    empty = sparse.csr_array((0, num_columns), dtype=np.float32)
    rows = dask.delayed(_rows_of_ids, pure=False)
    parts = enumerate(bag.to_delayed(optimize_graph=False))
    chunks = [
        da.from_delayed(rows(part, number, num_columns), (np.nan, num_columns), meta=empty)
        for number, part in parts
    ]
    return da.concatenate(chunks, allow_unknown_chunksizes=True)


def _rows_of_ids(part: Any, number: int, num_columns: int) -> Any:
    bags = list(part)
    if not bags:
        return sparse.csr_array((0, num_columns), dtype=np.float32)
    for ids in bags:
        if not isinstance(ids, (Sequence, np.ndarray)) or isinstance(ids, (str, bytes)):
            raise TypeError(
                f"X must be a bag of lists of ids, got {shown(ids)} in partition {number}; "
                "DaskTextVectorizer of ebagx.dask makes an array of texts"
            )
    try:
        return csr_from_bags(bags, num_columns)
    except (IndexError, TypeError, ValueError) as error:
        error.add_note(f"This happened in partition {number} of the bag.")
        raise
