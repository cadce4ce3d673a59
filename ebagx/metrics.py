"""Measures of rankings: how well recommended items agree with those that users took later.

Every function takes the items of many users at once, as ids, best first, or as scores of all items:

========================  ====================================================================
`precision_at_k`          share of the first k items that are in the test set
`recall_at_k`             share of the test set that is among the first k items
`ndcg_at_k`               the same with less weight for later places: 1 / log2(place + 1)
`reciprocal_rank`         1 / place of the first item that is in the test set
`auc`                     share of pairs of an item in the test set and one outside in this order
========================  ====================================================================

Users without test items are left out of the means. Items of the training set are never ranked: they
are taken out of lists of ids, and their scores do not count. Of items with equal scores, the lower
id comes first.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.arguments import check_integer, check_integer_or_none
from ebagx._core.checks import as_plain_array, check_real
from ebagx._core.forms.sparse import sound_csr
from ebagx._core.top import Excluded, nothing_excluded, top_scores

__all__ = ["auc", "ndcg_at_k", "precision_at_k", "recall_at_k", "reciprocal_rank"]

_NUMBERS_AT_ONCE = 1 << 20  # scores or ids of a block of users: 8 MB

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Hits = npt.NDArray[np.bool_]
# Takes the hits (m, k) and the numbers of test items (m,); returns what each user has.
Measure = Callable[[Hits, npt.NDArray[np.integer]], Doubles]


def precision_at_k(ranked: Any, X_test: Any, X_train: Any = None, k: int = 10) -> float:
    """Return the mean share of the first k items that are in the test set.

    Parameters
    ----------
    ranked : array of shape (m, n), integers, or of shape (m, I), floats
        For each user, ids of items, best first, with -1 in places without an item; or a score for
        each item, of which larger ones come first. Items with the score -inf are not ranked.
    X_test : sparse matrix of shape (m, I)
        Interactions of the test set. Each entry is one, whatever its value above 0.
    X_train : sparse matrix of shape (m, I), optional
        Interactions of the training set, none of which may be in the test set. They are not ranked.
    k : int, default=10
        Length of the lists. One that has fewer items counts as k with misses.

    Returns
    -------
    float
        Mean over the users who have test items, in [0, 1].

    Raises
    ------
    TypeError
        If `ranked` are not numbers, or a matrix is not sparse.
    ValueError
        If shapes do not fit, a score is NaN, an id is not that of an item or comes twice for a
        user, `k` is less than 1 or more than the ids of a user, an entry of a matrix is not above
        0, an entry is in both, or the test set is empty.

    Notes
    -----
    Cost: one pass over scores in blocks of users, about 1 ns a score; memory does not grow with the
    number of users.

    Examples
    --------
    >>> from scipy import sparse
    >>> from ebagx.metrics import precision_at_k
    >>> X_test = sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]])
    >>> precision_at_k([[3, 0], [2, 0]], X_test, k=2)
    0.5
    >>> precision_at_k([[0.1, 0.3, 0.2, 0.4], [0.9, 0.1, 0.1, 0.1]], X_test, k=2)
    0.75
    """

    def share_of_list(hits: Hits, counts: npt.NDArray[np.integer]) -> Doubles:  # noqa: ARG001
        shares: Doubles = hits.sum(axis=1) / k
        return shares

    return _mean_of_users(share_of_list, ranked, X_test, X_train, check_integer(k, "k", 1))


def recall_at_k(ranked: Any, X_test: Any, X_train: Any = None, k: int = 10) -> float:
    """Return the mean share of a user's test set that is among the first k items.

    Parameters, exceptions and cost are those of `precision_at_k`. A user with more than k items in
    the test set cannot reach 1.

    Returns
    -------
    float
        Mean over the users who have test items, in [0, 1].

    Examples
    --------
    >>> from scipy import sparse
    >>> from ebagx.metrics import recall_at_k
    >>> recall_at_k([[3, 0], [2, 0]], sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]]), k=2)
    0.75
    """

    def share_of_test(hits: Hits, counts: npt.NDArray[np.integer]) -> Doubles:
        shares: Doubles = hits.sum(axis=1) / counts
        return shares

    return _mean_of_users(share_of_test, ranked, X_test, X_train, check_integer(k, "k", 1))


def ndcg_at_k(ranked: Any, X_test: Any, X_train: Any = None, k: int = 10) -> float:
    """Return the mean normalised discounted cumulative gain of the first k items.

    A test item in place p (from 1) counts 1 / log2(p + 1). The sum is divided by its largest
    value, which it has if test items have the first places. All test items count alike.

    Parameters, exceptions and cost are those of `precision_at_k`.

    Returns
    -------
    float
        Mean over the users who have test items, in [0, 1].

    Examples
    --------
    >>> from scipy import sparse
    >>> from ebagx.metrics import ndcg_at_k
    >>> X_test = sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]])
    >>> round(ndcg_at_k([[3, 0], [2, 0]], X_test, k=2), 3)
    0.622
    """

    def gain(hits: Hits, counts: npt.NDArray[np.integer]) -> Doubles:
        discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
        best = np.cumsum(discounts)
        gains: Doubles = hits @ discounts / best[np.minimum(counts, len(best)) - 1]
        return gains

    return _mean_of_users(gain, ranked, X_test, X_train, check_integer(k, "k", 1))


def reciprocal_rank(ranked: Any, X_test: Any, X_train: Any = None, k: int | None = 10) -> float:
    """Return the mean of 1 / place of the first item that is in the test set.

    A user without such an item among the first k counts 0.

    Parameters
    ----------
    ranked, X_test, X_train
        As in `precision_at_k`.
    k : int or None, default=10
        Length of the lists. None ranks all items: all that have scores, or all ids.

    Returns
    -------
    float
        Mean over the users who have test items, in [0, 1].

    Examples
    --------
    >>> from scipy import sparse
    >>> from ebagx.metrics import reciprocal_rank
    >>> X_test = sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]])
    >>> reciprocal_rank([[3, 0], [2, 0]], X_test, k=2)
    0.75
    """

    def of_first(hits: Hits, counts: npt.NDArray[np.integer]) -> Doubles:  # noqa: ARG001
        shares: Doubles = hits.any(axis=1) / (hits.argmax(axis=1) + 1)
        return shares

    length = check_integer_or_none(k, "k", 1)
    return _mean_of_users(of_first, ranked, X_test, X_train, length)


def auc(scores: Any, X_test: Any, X_train: Any = None) -> float:
    """Return the mean area under the ROC curve: the share of pairs in the right order.

    The pairs of a user are an item of the test set and one that is in neither set. A pair with
    equal scores counts one half.

    Parameters
    ----------
    scores : array of shape (m, I), floats
        Scores of all items: the order of a few of them does not tell the area.
    X_test, X_train
        As in `precision_at_k`.

    Returns
    -------
    float
        Mean over the users who have pairs, in [0, 1].

    Raises
    ------
    TypeError
        If `scores` are not floats, or a matrix is not sparse.
    ValueError
        As in `precision_at_k`, or if no user has a pair.

    Notes
    -----
    Cost: a sort of the scores of each user, in blocks of users.

    Examples
    --------
    >>> from scipy import sparse
    >>> from ebagx.metrics import auc
    >>> X_test = sparse.csr_array([[0, 1, 0, 1], [1, 0, 0, 0]])
    >>> auc([[0.1, 0.3, 0.2, 0.4], [0.9, 0.1, 0.1, 0.1]], X_test)
    1.0
    """
    array = as_plain_array(scores, "scores")
    if array.dtype.kind != "f":
        raise TypeError(
            f"scores must be floats, one for each item, got {array.dtype}: a list of ids does not "
            "tell the area"
        )
    task = _checked_task(array, "scores", X_test, X_train)
    areas = [area for block in _blocks(task) for area in _areas(task, block)]
    if not areas:
        raise ValueError("no user has an item outside the test set and the training set")
    return float(np.mean(areas))


class _Task(NamedTuple):
    """Checked arguments: what is ranked, and CSR matrices whose rows ascend."""

    ranked: np.ndarray
    name: str
    test: Any
    train: Any | None

    def __repr__(self) -> str:
        return f"_Task({self.test.shape[0]} users, {self.test.shape[1]} items)"

    @property
    def num_items(self) -> int:
        """Number of items I."""
        return int(self.test.shape[1])


def _interactions(X: Any, name: str) -> Any:
    """Return a sparse matrix as CSR without duplicates whose rows ascend; do not change it."""
    given: Any = X
    if not sparse.issparse(X) or given.ndim != 2:
        raise TypeError(
            f"{name} must be a sparse matrix of users x items, got {type(X).__name__}: "
            "scipy.sparse.csr_array makes one"
        )
    csr = sound_csr(given, name)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    wrong = np.flatnonzero(~(csr.data > 0))
    if len(wrong):
        user = np.searchsorted(csr.indptr, wrong[0], "right") - 1
        raise ValueError(
            f"{name}[{user}, {csr.indices[wrong[0]]}] = {csr.data[wrong[0]]} must be above 0: "
            "leave out what is no interaction, stored zeros by eliminate_zeros()"
        )
    return csr


def _checked_task(ranked: np.ndarray, name: str, X_test: Any, X_train: Any) -> _Task:
    """Return the arguments; raise if they do not fit each other, or the test set is empty."""
    test = _interactions(X_test, "X_test")
    if ranked.ndim != 2 or len(ranked) != test.shape[0]:
        raise ValueError(
            f"{name} must have a row for each of the {test.shape[0]} users of X_test, got shape "
            f"{ranked.shape}"
        )
    if ranked.dtype.kind == "f" and ranked.shape != test.shape:
        raise ValueError(
            f"{name} must have the shape {test.shape} of X_test, got {ranked.shape}: scores are "
            "floats, one for each item, and ids are integers"
        )
    if test.nnz == 0:
        raise ValueError("X_test has no interactions: there is nothing to measure")
    if X_train is None:
        return _Task(ranked, name, test, None)
    train = _interactions(X_train, "X_train")
    _check_apart(train, test)
    return _Task(ranked, name, test, train)


def _check_apart(train: Any, test: Any) -> None:
    """Raise ValueError unless the sets have one shape and no entry in common."""
    if train.shape != test.shape:
        raise ValueError(f"X_train must have the shape {test.shape} of X_test, got {train.shape}")
    common = sparse.coo_array((train > 0).multiply(test > 0))
    users, items = common.nonzero()
    if len(users):
        raise ValueError(
            f"X_train and X_test both have [{users[0]}, {items[0]}], but items of the training set "
            "are not ranked: leave them out of X_test"
        )


def _blocks(task: _Task) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the users who have test items, in blocks."""
    users = np.flatnonzero(np.diff(task.test.indptr))
    step = max(_NUMBERS_AT_ONCE // max(task.ranked.shape[1], 1), 1)
    for first in range(0, len(users), step):
        yield users[first : first + step]


def _mean_of_users(
    measure: Measure, ranked: Any, X_test: Any, X_train: Any, k: int | None
) -> float:
    """Return the mean of what `measure` returns for each user who has test items."""
    task = _checked_task(_checked_ranked(ranked), "ranked", X_test, X_train)
    are_ids = task.ranked.dtype.kind != "f"
    length = task.ranked.shape[1] if k is None else k
    if are_ids:
        _check_ids(task, length)
    else:
        length = min(length, task.num_items)
    values = []
    for users in _blocks(task):
        ids = _listed(task, users, length) if are_ids else _best(task, users, length)
        test = task.test[users]
        values.append(measure(_are_in(test, ids), np.diff(test.indptr)))
    return float(np.concatenate(values).mean())


def _checked_ranked(ranked: Any) -> np.ndarray:
    """Return ids or scores as an array of integers or of floats."""
    array = as_plain_array(ranked, "ranked")
    check_real(array, "ranked")
    if array.dtype.kind not in "iuf":
        raise TypeError(
            "ranked must be ids, which are integers, or scores, which are floats, got "
            f"{array.dtype}"
        )
    return array


def _check_ids(task: _Task, length: int) -> None:
    """Raise ValueError unless ids are those of items or -1, and there are enough."""
    ids = task.ranked
    if length > ids.shape[1]:
        raise ValueError(
            f"k = {length} needs as many ids a user, got {ids.shape[1]}: recommend more, or give a "
            "smaller k"
        )
    outside = np.argwhere((ids < -1) | (ids >= task.num_items))
    if len(outside):
        user, place = outside[0]
        raise ValueError(
            f"ranked[{user}, {place}] = {ids[user, place]} must be the id of one of the "
            f"{task.num_items} items of X_test, or -1 in a place without an item"
        )


def _listed(task: _Task, users: npt.NDArray[np.intp], length: int) -> Ids:
    """Return the first ids (m, length) of some users that are not in the training set."""
    ids = task.ranked[users].astype(np.int64)
    ordered = np.sort(ids, axis=1)
    repeated = np.argwhere((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0))
    if len(repeated):
        user, place = repeated[0]
        raise ValueError(
            f"ranked[{users[user]}] has the item {ordered[user, place]} more than once"
        )
    if task.train is not None:
        ids[_are_in(task.train[users], ids)] = -1
    order = np.argsort(ids < 0, axis=1, kind="stable")  # later items move up
    return np.take_along_axis(ids, order, axis=1)[:, :length]


def _scores(task: _Task, users: npt.NDArray[np.intp]) -> Doubles:
    """Return a copy of the scores (m, I) of some users."""
    scores: Doubles = task.ranked[users].astype(np.float64)
    missing = np.argwhere(np.isnan(scores))
    if len(missing):
        user, item = missing[0]
        raise ValueError(
            f"{task.name}[{users[user]}, {item}] is NaN: scores must be numbers; those of items "
            "that must not be ranked may be -inf"
        )
    return scores


def _best(task: _Task, users: npt.NDArray[np.intp], length: int) -> Ids:
    """Return the ids (m, length) of the best items of some users, -1 where there are fewer."""
    excluded = nothing_excluded(len(users))
    if task.train is not None:
        train = task.train[users]
        excluded = Excluded(train.indptr, train.indices)
    return top_scores(_scores(task, users), length, excluded).ids


def _are_in(rows: Any, ids: Ids) -> Hits:
    """Return which ids (m, n) are entries of their row of a CSR matrix (m, I)."""
    num_users, num_items = rows.shape
    starts = np.arange(num_users, dtype=np.int64) * num_items
    keys = np.append(np.repeat(starts, np.diff(rows.indptr)) + rows.indices, np.int64(-2))
    wanted = np.where(ids < 0, -1, starts[:, np.newaxis] + ids)
    found: Hits = keys[np.searchsorted(keys[:-1], wanted)] == wanted
    return found


def _areas(task: _Task, users: npt.NDArray[np.intp]) -> Iterator[float]:
    """Yield the area of each of some users who has a pair."""
    scores, test = _scores(task, users), task.test[users]
    positives = [
        scores[user, test.indices[start:stop]]
        for user, (start, stop) in enumerate(zip(test.indptr, test.indptr[1:], strict=False))
    ]
    counts = task.num_items - np.diff(test.indptr)
    apart = [test] if task.train is None else [test, task.train[users]]
    for rows in apart:  # they come last in the order
        scores[np.repeat(np.arange(len(users)), np.diff(rows.indptr)), rows.indices] = np.inf
    if task.train is not None:
        counts = counts - np.diff(apart[1].indptr)
    scores.sort(axis=1)
    for ordered, of_test, count in zip(scores, positives, counts, strict=True):
        if count:
            below = np.searchsorted(ordered[:count], of_test)
            not_above = np.searchsorted(ordered[:count], of_test, "right")
            yield float((below + not_above).mean() / (2 * count))
