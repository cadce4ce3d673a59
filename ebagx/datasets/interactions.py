"""Generated interactions of users and items, whose best ranking is known."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ebagx._core.arguments import FRACTION, check_integer, check_number, checked_generator

Doubles = npt.NDArray[np.float64]

_MOST = 2**31 - 1  # users, items, or dimensions: more fit no memory
_NUM_GROUPS = 10
_GROUP_SHARE = 0.5  # of the variance of an item's taste
_STRENGTH = 2.0  # standard deviation of the scores of a user's items
_HELD_OUT = 0.25  # of the interactions of a user


class Interactions(NamedTuple):
    """Interactions of users with items, apart for training and test, and how they were made.

    Examples
    --------
    >>> from ebagx.datasets import make_interactions
    >>> data = make_interactions(100, 50, random_state=0)
    >>> data
    Interactions(100 users, 50 items, 1500 + 500)
    >>> data.train.shape, data.item_features.shape
    ((100, 50), (50, 10))
    """

    train: sparse.csr_array
    """Ones for interactions, (n_users, n_items)."""
    test: sparse.csr_array
    """Other interactions of the same users."""
    item_features: sparse.csr_array
    """Ones for the group of each item, (n_items, 10)."""
    scores: Doubles
    """Logarithms of chances, (n_users, n_items): no ranking is expected to be better."""

    def __repr__(self) -> str:
        users, items = self.train.shape
        return f"Interactions({users} users, {items} items, {self.train.nnz} + {self.test.nnz})"


def make_interactions(
    n_users: int = 500,
    n_items: int = 300,
    *,
    per_user: int = 20,
    dim: int = 5,
    popularity: float = 0.5,
    random_state: int | None = None,
) -> Interactions:
    """Draw interactions of users with items by vectors of their tastes.

    A user takes different items, each by a chance in proportion to exp(⟨user, item⟩) / rank^p,
    where the rank is that of the item's popularity. Items of a group have similar vectors. A
    quarter of each user's interactions, drawn at random, are the test set.

    Parameters
    ----------
    n_users, n_items : int
        Sizes.
    per_user : int, default=20
        Interactions of each user, less than `n_items`.
    dim : int, default=5
        Length of the vectors.
    popularity : float, default=0.5
        The power p of Zipf's law, in [0, 1): with 0, items are equally popular.
    random_state : int or None, default=None
        Seed; with None, the data differ from call to call.

    Returns
    -------
    Interactions
        ``train`` and ``test``, both sparse of shape (n_users, n_items), ``item_features``, sparse
        of shape (n_items, 10), and ``scores``, of shape (n_users, n_items): the measures of
        `ebagx.metrics` for these are the ceiling for a model.

    Raises
    ------
    TypeError, ValueError
        If an argument has another type, or a value outside its range.

    Examples
    --------
    >>> from ebagx.datasets import make_interactions
    >>> from ebagx.metrics import ndcg_at_k
    >>> data = make_interactions(random_state=0)
    >>> data
    Interactions(500 users, 300 items, 7500 + 2500)
    >>> ceiling = ndcg_at_k(data.scores, data.test, data.train)
    """
    check_integer(n_users, "n_users", 1, _MOST)
    check_integer(n_items, "n_items", 2, _MOST)
    check_integer(per_user, "per_user", 2, n_items - 1)
    check_integer(dim, "dim", 1, _MOST)
    check_number(popularity, "popularity", FRACTION)
    rng = checked_generator(random_state, "random_state")
    groups = rng.integers(_NUM_GROUPS, size=n_items)
    scores = _scores(rng, groups, (n_users, n_items, dim), popularity)
    # The largest of scores with Gumbel's noise are a draw without replacement by their chances.
    chosen = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)[:, :per_user]
    chosen = rng.permuted(chosen, axis=1)
    held_out = max(1, round(_HELD_OUT * per_user))
    features = _ones(groups[:, np.newaxis], (n_items, _NUM_GROUPS))
    train, test = (_ones(part, scores.shape) for part in np.split(chosen, [-held_out], axis=1))
    return Interactions(train, test, features, scores)


def _scores(
    rng: np.random.Generator,
    groups: npt.NDArray[np.int64],
    sizes: tuple[int, int, int],
    popularity: float,
) -> Doubles:
    n_users, n_items, dim = sizes
    of_groups = rng.standard_normal((_NUM_GROUPS, dim))[groups]
    own = rng.standard_normal((n_items, dim))
    items = np.sqrt(_GROUP_SHARE) * of_groups + np.sqrt(1 - _GROUP_SHARE) * own
    users = rng.standard_normal((n_users, dim)) * (_STRENGTH / np.sqrt(dim))
    ranks = rng.permutation(n_items) + 1
    scores: Doubles = users @ items.T - popularity * np.log(ranks)
    return scores


def _ones(columns: npt.NDArray[np.int64], shape: Any) -> sparse.csr_array:
    """Return a matrix with ones in some columns of each row."""
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    ones: Any = np.ones(columns.size, np.float32)
    matrix = sparse.csr_array((ones, (rows, columns.ravel())), shape)
    matrix.sort_indices()
    return matrix
