"""Rank items by vectors of users and items, compare items, and measure rankings."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ebagx._core.arguments import check_flag, check_integer
from ebagx._core.checks import as_integer_array
from ebagx._core.memory import aligned_empty, check_mapped
from ebagx._core.top import Excluded, nothing_excluded, top_items
from ebagx.metrics import ndcg_at_k

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


class RanksItems:
    """The methods of a recommender that rank items by scores ⟨user, item⟩ + bias of the item.

    The class with the model gives `item_vectors_` (I, D) and `item_bias_` (I,), both of float32,
    `num_threads`, and two methods: ``_checked_rows(X)`` checks interactions (m, I) and returns them
    as CSR whose rows ascend; ``_user_vectors(X, user_features)`` returns the vectors (m, D) of
    their users.
    """

    item_vectors_: Floats
    item_bias_: Floats
    num_threads: int | None

    def _checked_rows(self, X: Any) -> Any:
        raise NotImplementedError

    def _user_vectors(self, X: Any, user_features: Any) -> Floats:
        raise NotImplementedError

    def _items(self, dim: int) -> tuple[Floats, Floats]:
        """Return vectors and biases of the items, which may be maps, or have been assigned.

        Raises
        ------
        ValueError
            If a map has become shorter, or if the shapes do not fit: a kernel would read outside
            the arrays. A thread sees such arrays, too, while another one fits a model with more
            items.
        """
        vectors, bias = self.item_vectors_, self.item_bias_
        check_mapped(vectors, "item_vectors_")
        if vectors.ndim != 2 or vectors.shape[1] != dim or bias.shape != vectors.shape[:1]:
            raise ValueError(
                f"item_vectors_ must have {dim} columns and item_bias_ an entry for each of its "
                f"rows, got shapes {vectors.shape} and {bias.shape}"
            )
        return vectors, bias

    def recommend(
        self,
        X: Any,
        n: int = 10,
        *,
        user_features: Any = None,
        items: Any = None,
        exclude_seen: bool = True,
    ) -> tuple[Ids, Doubles]:
        """Return the n best items of each user, best first.

        Parameters
        ----------
        X : sparse matrix of shape (m, I)
            Interactions of the users asked for. They need not have been in `fit` if users are the
            items of their history.
        n : int, default=10
            Items a user.
        user_features : sparse matrix of shape (m, F), optional
            Features of these users, if the model has been fitted with features.
        items : array of int, optional
            Ids of the items that may be recommended, each once; None: all.
        exclude_seen : bool, default=True
            Leave out the items that `X` has for a user.

        Returns
        -------
        ids : ndarray of shape (m, n), int64
            Of items with equal scores, the lower id comes first. If fewer than n items are left,
            the last places are -1.
        scores : ndarray of shape (m, n), float64
            ⟨user, item⟩ + bias, and -inf in places without an item.

        Raises
        ------
        TypeError, ValueError
            If `X`, the features or an argument do not fit.

        Notes
        -----
        Cost: m I D additions, tens of thousands of users a second and thread for 5,000 items of 32
        columns. Memory beside the result grows as m + I, not as m I: all users may be asked for in
        one call. The result has the same bits for every number of threads.
        """
        check_integer(n, "n", 1)
        check_flag(exclude_seen, "exclude_seen")
        rows = self._checked_rows(X)
        users = self._user_vectors(rows, user_features)
        vectors, bias = self._items(users.shape[1])
        if items is not None:
            candidates = _checked_ids(items, "items", len(vectors))
            candidates.sort()
            if np.any(candidates[1:] == candidates[:-1]):
                raise ValueError("items must have each id once; numpy.unique does that")
            vectors, bias = vectors[candidates], bias[candidates]
        excluded = nothing_excluded(rows.shape[0])
        if exclude_seen:
            seen = rows if items is None else _columns(rows, candidates)
            excluded = Excluded(seen.indptr, seen.indices)
        ids, scores = top_items(users, vectors, bias, n, excluded, self.num_threads)
        if items is not None:
            ids = np.where(ids < 0, -1, candidates[ids])
        return ids, scores

    def similar_items(self, ids: Any, n: int = 10) -> tuple[Ids, Doubles]:
        """Return the n items whose vectors are most similar to those of some items, best first.

        Parameters
        ----------
        ids : array of int, shape (m,)
            Items.
        n : int, default=10
            Items for each, without the item itself.

        Returns
        -------
        ids : ndarray of shape (m, n), int64
            Of items that are as similar, the lower id comes first; -1 where none is left.
        similarities : ndarray of shape (m, n), float64
            Cosines of the angles between vectors, at most 1, and 0 for vectors of zeros; -inf in
            places without an item. The bias of items does not count.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If an id is not that of an item, or `n` is less than 1.

        Notes
        -----
        Cost: one read of the vectors for up to 128 items: 5 ms on one thread for 200,000 vectors
        of 32 columns. Memory beside the result grows as m.
        """
        check_is_fitted(self, "item_vectors_")
        check_integer(n, "n", 1)
        vectors, _ = self._items(self.item_vectors_.shape[-1])
        given = _checked_ids(ids, "ids", len(vectors))
        itself = Excluded(np.arange(len(given) + 1, dtype=np.int64), given)
        directions, no_bias = _normalised(vectors[given]), np.empty(0, np.float32)
        found, cosines = top_items(directions, vectors, no_bias, n, itself, self.num_threads)
        np.minimum(cosines, 1, out=cosines)  # but for a rounding error, they are
        return found, cosines

    def score(self, X_train: Any, X_test: Any, *, user_features: Any = None) -> float:
        """Return the mean NDCG of the ten items recommended to users who have test items.

        Parameters
        ----------
        X_train : sparse matrix of shape (m, I)
            Interactions from which users are made. They are not recommended.
        X_test : sparse matrix of shape (m, I)
            Other interactions of the same users.
        user_features : sparse matrix of shape (m, F), optional
            Features of these users, if the model has been fitted with features.

        Returns
        -------
        float
            As `ebagx.metrics.ndcg_at_k` defines it, in [0, 1].

        Raises
        ------
        TypeError, ValueError
            As in `recommend` and `ebagx.metrics.ndcg_at_k`.
        """
        ids, _ = self.recommend(X_train, user_features=user_features)
        return ndcg_at_k(ids, X_test, X_train)


def _checked_ids(ids: Any, name: str, num_items: int) -> Ids:
    """Return a copy of ids, or raise if there are none, or one is not that of an item."""
    array = as_integer_array(ids, name)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be a list of ids, got shape {array.shape}")
    outside = np.flatnonzero((array < 0) | (array >= num_items))
    if len(outside):
        raise ValueError(
            f"{name}[{outside[0]}] = {array[outside[0]]} must be the id of one of the {num_items} "
            "items"
        )
    return array.astype(np.int64)


def _columns(rows: Any, items: Ids) -> Any:
    """Return some columns of a CSR matrix, as CSR whose rows ascend."""
    part = rows[:, items]
    part.sort_indices()  # SciPy does not promise an order
    return part


def _normalised(vectors: Floats) -> Floats:
    """Return the rows at length 1, and rows of zeros as they are."""
    lengths = np.sqrt(np.einsum("id,id->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    result: Floats = aligned_empty(vectors.shape, vectors.dtype)
    np.divide(vectors, lengths[:, np.newaxis], out=result, casting="same_kind")
    return result
