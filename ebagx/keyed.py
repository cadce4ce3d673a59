"""`KeyedBags` hold the bags of many features in three arrays, in TorchRec's order."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from ebagx._core.checks import as_integer_array, as_plain_array, check_real
from ebagx._core.forms.arrays import checked_offsets
from ebagx._core.forms.feature import FeatureArguments
from ebagx._core.layout import as_indices

__all__ = ["KeyedBags"]


class KeyedBags:
    """The bags of F features for one batch of B examples: the layout of TorchRec.

    Bag (f, b) holds ``values[offsets[f * B + b] : offsets[f * B + b + 1]]``, as in a
    ``KeyedJaggedTensor``: first the bags of the first feature, then those of the second.

    Parameters
    ----------
    keys : iterable of str
        Names of the F features.
    values : array_like of int of shape (n,)
        The indices of all bags. An array is not copied: do not change it while it is in use.
    offsets : array_like of int of shape (F * B + 1,)
        Where each bag starts; from 0, without decreasing, to n.
    per_sample_weights : array_like of shape (n,), optional
        Weights of the indices.

    Attributes
    ----------
    keys : tuple of str
        Names of the features.
    num_bags : int
        Number B of bags of each feature; 0 without features.
    values, offsets : ndarray
        The arrays given; offsets are read-only.
    per_sample_weights : ndarray or None
        The weights given.

    Raises
    ------
    ValueError
        If a name occurs twice, a shape does not fit, or offsets are not as above.
    TypeError
        If a name is no str, values or offsets are not integers, or weights are not real numbers.

    See Also
    --------
    EmbeddingBagCollection : It looks such bags up in its tables.

    Notes
    -----
    Cost: one read of the offsets, and a copy of them.

    Examples
    --------
    >>> import ebagx
    >>> bags = ebagx.KeyedBags(["city", "tags"], [3, 1, 7, 8, 9], [0, 1, 2, 2, 5])
    >>> bags
    KeyedBags(keys=('city', 'tags'), num_bags=2, 5 indices)
    >>> bags["tags"]
    (array([7, 8, 9]), array([0, 0]), None)
    """

    def __init__(
        self, keys: Iterable[str], values: Any, offsets: Any, per_sample_weights: Any = None
    ) -> None:
        self._places = _numbered(keys)
        self._values = as_integer_array(values, "values")
        if self._values.ndim != 1:
            raise ValueError(f"values must be 1-D, got {self._values.ndim}-D")
        ends = as_integer_array(offsets, "offsets")
        self._num_bags = _bags_per_key(ends.size - 1, len(self._places))
        ends = checked_offsets(ends, len(self._values), True)
        self._offsets = ends.copy()
        self._offsets.flags.writeable = False
        self._weights = None
        if per_sample_weights is not None:
            self._weights = as_plain_array(per_sample_weights, "per_sample_weights")
            check_real(self._weights, "per_sample_weights")
            if self._weights.shape != self._values.shape:
                raise ValueError(
                    f"per_sample_weights must have the shape of values {self._values.shape}, "
                    f"got {self._weights.shape}"
                )

    @classmethod
    def from_lengths(
        cls, keys: Iterable[str], values: Any, lengths: Any, per_sample_weights: Any = None
    ) -> Self:
        """Return the bags with the given numbers of indices.

        Parameters
        ----------
        keys, values, per_sample_weights
            As in `KeyedBags`.
        lengths : array_like of int of shape (F * B,)
            Number of indices of each bag.

        Returns
        -------
        KeyedBags

        Examples
        --------
        >>> import ebagx
        >>> ebagx.KeyedBags.from_lengths(["city", "tags"], [3, 1, 7, 8, 9], [1, 1, 0, 3]).offsets
        array([0, 1, 2, 2, 5])
        """
        values = as_integer_array(values, "values")
        counts = as_indices(as_integer_array(lengths, "lengths"))
        if counts.ndim != 1:
            raise ValueError(f"lengths must be 1-D, got {counts.ndim}-D")
        wrong = np.flatnonzero((counts < 0) | (counts > values.size))
        if len(wrong):
            raise ValueError(
                f"lengths[{wrong[0]}] must be in [0, {values.size}], the number of values, "
                f"got {counts[wrong[0]]}"
            )
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=offsets[1:])
        if offsets[-1] != values.size:
            raise ValueError(f"lengths must add up to the {values.size} values, got {offsets[-1]}")
        return cls(keys, values, offsets, per_sample_weights)

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(self._places)

    @property
    def num_bags(self) -> int:
        """The number B of bags of each feature."""
        return self._num_bags

    @property
    def values(self) -> np.ndarray:
        """The indices (n,) of all bags."""
        return self._values

    @property
    def offsets(self) -> np.ndarray:
        """The start of each bag, and the end of the last one (F * B + 1,)."""
        return self._offsets

    @property
    def per_sample_weights(self) -> np.ndarray | None:
        """The weights (n,) of the indices, or None."""
        return self._weights

    def arguments(self, key: str) -> FeatureArguments:
        """Return the bags of one feature as arguments of a call; offsets have B + 1 entries."""
        if key not in self._places:
            raise KeyError(f"{key!r} is not a key, the keys are: {', '.join(self._places)}")
        first = self._places[key] * self._num_bags
        ends = self._offsets[first : first + self._num_bags + 1]
        start, stop = ends[0], ends[-1]
        weights = None if self._weights is None else self._weights[start:stop]
        return FeatureArguments(self._values[start:stop], ends - start, weights, True)

    def __getitem__(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the arguments ``(input, offsets, per_sample_weights)`` of one feature's bags."""
        values, ends, weights, _ = self.arguments(key)
        return values, ends[:-1], weights

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number F of features."""
        return len(self._places)

    def __repr__(self) -> str:
        return (
            f"KeyedBags(keys={self.keys}, num_bags={self._num_bags}, {len(self._values)} indices)"
        )


def _numbered(keys: Iterable[str]) -> dict[str, int]:
    """Return the place of each name."""
    if isinstance(keys, str):
        raise TypeError(f"keys must be a list of names, got the str {keys!r}")
    places: dict[str, int] = {}
    for place, key in enumerate(keys):
        if not isinstance(key, str):
            raise TypeError(f"keys must be str, got keys[{place}] = {key!r}")
        if key in places:
            raise ValueError(f"keys[{place}] = {key!r} is there before, at {places[key]}")
        places[key] = place
    return places


def _bags_per_key(num_bags: int, num_keys: int) -> int:
    if num_bags < 0 or (num_bags % num_keys if num_keys else num_bags):
        raise ValueError(
            f"offsets must have num_bags * {num_keys} + 1 entries for {num_keys} keys, "
            f"got {num_bags + 1}"
        )
    return num_bags // max(num_keys, 1)
