"""Check `X` and `y` of estimators: messages about input of another kind name the right tool."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from ebagx._core.arguments import refuse_dask
from ebagx._training.bags import as_csr

_LISTS = (list, tuple, set, frozenset, np.ndarray)


def as_features(X: Any, estimator: Any, dtype: Any = None) -> Any:
    """Return `X` of an estimator as `as_csr` does.

    Raises
    ------
    TypeError
        If it is a collection of Dask.
    ValueError
        If it holds texts, lists of ids or words, or dicts, of which other objects make matrices.
    """
    if sparse.issparse(X):
        return as_csr(X, "X", dtype)
    refuse_dask(X, "X")
    name = type(estimator).__name__
    problem = _problem_of_columns(X, name) or _problem_of_rows(X, name)
    if problem:
        raise ValueError(f"X must hold counts or weights, got {problem}")
    return X


def as_targets(y: Any) -> Any:
    """Return `y` of an estimator as `as_csr` does.

    Raises
    ------
    TypeError
        If it is a collection of Dask.
    ValueError
        If it has lists of labels.
    """
    refuse_dask(y, "y")
    if _has_entries(y) and _are_ragged(y):
        raise ValueError(
            "y must be an array, got lists of labels; MultiLabelBinarizer().fit_transform(y) of "
            "scikit-learn makes an indicator of them"
        )
    return as_csr(y, "y")


def without_duplicates(csr: Any) -> Any:
    """Return CSR whose rows ascend, with the sums of duplicate entries; the given one stays."""
    if csr.has_canonical_format:
        return csr
    csr = csr.copy()
    csr.sum_duplicates()
    return csr


def _problem_of_columns(X: Any, estimator: str) -> str:
    """Return the problem with a table that has texts in a column, or ""."""
    if getattr(X, "ndim", 1) != 2 or not len(X):
        return ""
    if hasattr(X, "columns"):
        texts = [name for name in X.columns if isinstance(next(iter(X[name])), str)]
    else:
        kind = getattr(getattr(X, "dtype", None), "kind", "")  # dtypes of PyTorch have none
        row = X[0] if kind in ("O", "U") else ()
        texts = [i for i, cell in enumerate(row) if isinstance(cell, str)]
    if not texts:
        return ""
    return (
        f"texts in column {texts[0]!r:.40}; a vectorizer makes counts of them: make_pipeline("
        f"make_column_transformer((TextVectorizer(), {texts[0]!r:.40})), {estimator}())"
    )


def _problem_of_rows(X: Any, estimator: str) -> str:
    """Return the problem with rows that are texts, dicts, or lists of several lengths, or ""."""
    if not _has_entries(X):
        return ""
    first = next(iter(X))
    if isinstance(first, str):
        return (
            "texts; a vectorizer makes counts of them: make_pipeline(TextVectorizer(), "
            f"{estimator}())"
        )
    if isinstance(first, dict):
        return f"dicts; make_pipeline(DictVectorizer(), {estimator}()) takes them"
    if not _are_ragged(X):
        return ""
    if any(isinstance(entry, str) for row in X for entry in row):
        return "lists of words; TextVectorizer makes counts of texts, as ' '.join makes of words"
    return "lists of ids; ebagx.csr_from_bags(X, num_embeddings) makes a matrix of them"


def _has_entries(values: Any) -> bool:
    is_sequence = isinstance(values, (Sequence, np.ndarray)) or hasattr(values, "iloc")  # of pandas
    return is_sequence and getattr(values, "ndim", 1) == 1 and len(values) > 0


def _are_ragged(rows: Any) -> bool:
    """Return whether entries are lists of which NumPy makes no matrix."""
    if not isinstance(next(iter(rows)), _LISTS):
        return False
    if not isinstance(rows, list | tuple):  # an array or a Series of objects
        return True
    if any(isinstance(row, set | frozenset) for row in rows):
        return True
    return len({len(row) if isinstance(row, _LISTS) else -1 for row in rows}) > 1
