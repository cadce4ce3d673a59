"""Texts as callers have them, checked and converted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from ebagx._core.arguments import refuse_dask

# The types of missing entries, those of pandas and of masked arrays too.
_MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")


def checked_texts(texts: Any, name: str) -> Sequence[str]:
    """Return texts as a list.

    Raises
    ------
    TypeError
        If an entry is not a `str`, or `texts` is a collection of Dask or none of anything.
    ValueError
        If `texts` is one string, or a table or mapping of several columns.
    """
    if type(texts) is list:
        copied: list[str] = texts.copy()  # as another thread may change the list
        if set(map(type, copied)) <= {str}:
            return copied
        texts = copied
    refuse_dask(texts, name)
    if isinstance(texts, str | bytes):
        raise ValueError(
            f"{name} must be an iterable of texts, got a single string; [text] is a list of one"
        )
    if _has_columns(texts) or sparse.issparse(texts) or getattr(texts, "ndim", 1) != 1:
        _raise_not_a_column(texts, name)
    checked = as_list(texts, name)
    for i, text in enumerate(checked):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{i}] must be str, got {type(text).__name__}{_way_out(text)}")
    return checked


def as_list(values: Any, name: str) -> list[Any]:
    """Return the entries of an iterable; those of an Arrow column as objects of Python."""
    # The entries of pyarrow's columns are objects of its own, unless they are converted at once.
    is_arrow = any(hasattr(values, f"__arrow_c_{of}__") for of in ("array", "stream"))
    if is_arrow and hasattr(values, "to_pylist"):
        values = values.to_pylist()
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be an iterable, got {type(values).__name__}")
    return list(values)


def _has_columns(texts: Any) -> bool:
    """Return whether this is a table of pandas, polars or Arrow, or a mapping of columns."""
    return isinstance(texts, Mapping) or hasattr(texts, "columns")


def _raise_not_a_column(texts: Any, name: str) -> None:
    if _has_columns(texts):
        raise ValueError(
            f"{name} must be one column of texts, got a {type(texts).__name__}; {name}['column'] "
            "is one, and so is the string that a ColumnTransformer takes as its columns"
        )
    kind = "a sparse matrix" if sparse.issparse(texts) else f"an array with {texts.ndim} dimensions"
    raise ValueError(
        f"{name} must be an iterable of texts, got {kind}; EmbeddingBagClassifier of ebagx.sklearn "
        "takes counts"
    )


def _way_out(text: Any) -> str:
    is_nan = isinstance(text, float) and text != text
    if is_nan or type(text).__name__ in _MISSING:
        return "; drop or replace missing texts"
    if isinstance(text, int | np.integer | list | tuple | np.ndarray):
        return "; csr_from_bags makes matrices of ids, which EmbeddingBagClassifier takes"
    return ""
