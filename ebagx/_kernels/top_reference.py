"""The NumPy twins of the kernels that rank items: `top_items` and `top_scores`.

Axis letters: m user, i item, n place in a list of the best items, d dimension.
"""

from collections.abc import Sequence

import numpy as np

_PANEL = 8  # items, of which parts have whole numbers


def _rank(
    lists: Sequence[np.ndarray], excluded: Sequence[np.ndarray], scores_mi: np.ndarray
) -> None:
    """Write the best items of each user that are not excluded, best first, and their scores."""
    ids_mn, best_mn = lists
    _, offsets, items = excluded
    most = min(ids_mn.shape[1], scores_mi.shape[1])
    for m, scores_i in enumerate(scores_mi):
        scores_i[items[offsets[m] : offsets[m + 1]]] = -np.inf
        order = np.argsort(-scores_i, kind="stable")[:most]  # of equals, the lower id comes first
        order = order[scores_i[order] > -np.inf]
        ids_mn[m, : len(order)], best_mn[m, : len(order)] = order, scores_i[order]


def top_items(
    lists: Sequence[np.ndarray],
    excluded: Sequence[np.ndarray],
    panels: np.ndarray,
    users_md: np.ndarray,
    items: Sequence[np.ndarray],
    num_threads: int,
) -> None:
    """Find the n best items of each user, best first; users have the values of float32."""
    vectors_id, bias_i = items
    scores_mi = np.zeros((len(users_md), len(vectors_id)))
    scores_mi += bias_i if len(bias_i) else 0
    squares_i = np.zeros(len(vectors_id))
    for user_d, item_d in zip(users_md.T, vectors_id.T.astype(np.float64), strict=True):
        scores_mi += user_d[:, None] * item_d
        squares_i += item_d * item_d
    if not len(bias_i):
        inverses_i = np.zeros(len(vectors_id))
        np.divide(1, np.sqrt(squares_i), out=inverses_i, where=squares_i > 0)
        scores_mi *= inverses_i
    num_users = len(users_md)
    parts = max(len(lists[0]) // max(num_users, 1), 1)
    panels_of_items = np.array_split(np.arange(-(-len(vectors_id) // _PANEL)), parts)
    for part, panels_of_part in enumerate(panels_of_items):
        of_part = np.full_like(scores_mi, -np.inf)
        first = int(panels_of_part[0]) if len(panels_of_part) else 0
        columns = slice(first * _PANEL, (first + len(panels_of_part)) * _PANEL)
        of_part[:, columns] = scores_mi[:, columns]
        rows = slice(part * num_users, (part + 1) * num_users)
        _rank([array[rows] for array in lists], excluded, of_part)


def top_scores(
    lists: Sequence[np.ndarray],
    excluded: Sequence[np.ndarray],
    scores_mi: np.ndarray,
    num_threads: int,
) -> None:
    """Find the n best items of each user, best first, by scores that are given."""
    _rank(lists, excluded, scores_mi.copy())
