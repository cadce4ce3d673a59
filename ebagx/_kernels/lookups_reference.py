"""The lookups of a batch in the NumPy twin of training: their bags, weights, rows and products.

Axis letters: b bag, k output, d column of the table, u touched row.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ebagx._kernels import reference

NO_NORM, NORM_L1, NORM_L2 = range(3)

_f = np.float32


class Lookups(NamedTuple):
    """The lookups of a batch: bag b has those from offsets[b] to offsets[b + 1]."""

    indices: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    def divided_by(self, norm: int) -> "Lookups":
        """Return the lookups with weights divided by the norm of their bag."""
        return self._replace(weights=_divided_by_norm(self.weights, self.offsets, norm))

    def pooled(self, table: np.ndarray) -> np.ndarray:
        """Return the weighted sums (B, D) of rows."""
        pooled_bd = np.empty((len(self.offsets) - 1, table.shape[1]), _f)
        reference.pool(pooled_bd, table, *self, reference.SUM, 1)
        return pooled_bd

    def row_gradient(self, below_bd: np.ndarray, numbers: np.ndarray, count: int) -> np.ndarray:
        """Return the gradient of `count` touched rows, which have the lookups' numbers."""
        gradient = np.zeros((count, below_bd.shape[1]), _f)
        lookups = numbers, self.offsets, self.weights
        reference.scatter(gradient, below_bd, *lookups, reference.SUM, 1)
        return gradient

    def products(self, table: np.ndarray, pooled_bd: np.ndarray, factors: int) -> np.ndarray:
        """Return the scores (B, K) of factors and weights, without the bias."""
        num_outputs = table.shape[1] // (factors + 1)
        terms = self.weights[:, np.newaxis] * table[self.indices]
        squares_bd = np.zeros_like(pooled_bd)
        np.add.at(squares_bd, self._bags(), terms * terms)
        differences = (pooled_bd * pooled_bd - squares_bd)[:, : num_outputs * factors]
        products = [
            [reference.add_lanes(own) for own in row.reshape(num_outputs, factors)]
            for row in differences
        ]
        result: np.ndarray = pooled_bd[:, num_outputs * factors :] + _f(0.5) * np.array(
            products, _f
        ).reshape(-1, num_outputs)
        return result

    def subtract_own_terms(
        self,
        gradient: np.ndarray,
        rows: np.ndarray,
        below_bd: np.ndarray,
        numbers: np.ndarray,
        factors: int,
    ) -> None:
        """Subtract from the gradient of touched rows (U, D) that of their factors' own squares."""
        num_outputs = rows.shape[1] // (factors + 1)
        columns = num_outputs * factors
        own = np.zeros((len(rows), num_outputs), _f)
        squares = (self.weights * self.weights)[:, np.newaxis]
        np.add.at(own, numbers, squares * below_bd[self._bags(), columns:])
        gradient[:, :columns] -= np.repeat(own, factors, axis=1) * rows[:, :columns]

    def _bags(self) -> np.ndarray:
        lengths = np.diff(self.offsets)
        return np.repeat(np.arange(len(lengths)), lengths)


def take_bags(bags: Sequence[np.ndarray], examples: np.ndarray, groups: int) -> Lookups:
    """Return the lookups of some examples, each of which has a bag for each group."""
    indices, offsets, weights, _ = bags
    taken = (examples[:, np.newaxis] * groups + np.arange(groups)).ravel()
    parts = [np.arange(offsets[b], offsets[b + 1]) for b in taken]
    lookups = np.concatenate(parts)
    ends = np.cumsum([0, *map(len, parts)])
    return Lookups(indices[lookups].astype(np.int64), ends, weights[lookups])


def _divided_by_norm(weights: np.ndarray, offsets: np.ndarray, norm: int) -> np.ndarray:
    """Return weights divided by the norm of their bag, which is added up in float64, in order."""
    if norm == NO_NORM:
        return weights
    lengths = np.diff(offsets)
    bags = np.repeat(np.arange(len(lengths)), lengths)
    with np.errstate(over="ignore"):
        parts = np.abs(weights) if norm == NORM_L1 else np.square(weights)
    norms = np.bincount(bags, parts, len(lengths))
    if norm == NORM_L2:
        norms = np.sqrt(norms)
    norms[norms == 0] = 1
    divided: np.ndarray = (weights / norms[bags]).astype(_f)
    return divided


def touched_rows(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows in the order of their first lookups, and which of them each lookup is of."""
    rows, firsts, numbers = np.unique(indices, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return rows[order], places[numbers.ravel()]
