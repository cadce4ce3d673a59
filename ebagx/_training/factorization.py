"""Scores of factorization machines: linear terms, and the products of all pairs of lookups.

A row of the table (N, K * (D + 1)) has D factors for each of K outputs, one output after the other,
and then a weight for each output. The training kernel has the formulas with their gradients
(``_kernels/training/factorization.pxi``).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.memory import aligned_zeros
from ebagx._core.table import Table
from ebagx._training.bags import Floats, weighted_sums

_ROWS_AT_ONCE = 1024
_DEVIATION = np.float32(0.05)  # of the initial factors


def initial_factors(
    used: npt.NDArray[np.integer[Any]],
    num_rows: int,
    num_factors: int,
    num_outputs: int,
    rng: np.random.Generator,
) -> Floats:
    """Return a table of small normal factors in the rows that some bag uses, and weights of 0."""
    columns = num_outputs * num_factors
    table = aligned_zeros((num_rows, columns + num_outputs), np.dtype(np.float32))
    table[used, :columns] = _DEVIATION * rng.standard_normal((len(used), columns), np.float32)
    return table


def scores_of_factors(
    bags: Bags,
    table: Floats,
    biases: npt.NDArray[Any],
    num_threads: int | None,
    dtype: npt.DTypeLike = np.float32,
) -> npt.NDArray[Any]:
    """Return the scores (B, K) of bags, whose products are added in float64.

    The squared norms are those of the rows in use, so the cost depends on the lookups alone.
    """
    num_outputs = len(biases)
    columns = table.shape[1] - num_outputs
    pooled = weighted_sums(bags, Table(table), num_threads)
    scores = np.empty((len(pooled), num_outputs), dtype)
    squares = _pooled_squares(bags, table, num_outputs, num_threads)
    for start in range(0, len(pooled), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        products = _norms(pooled[rows, :columns], num_outputs) - squares[rows]
        scores[rows] = biases + pooled[rows, columns:].astype(np.float64) + products / 2
    return scores


def _norms(factors: Floats, num_outputs: int) -> npt.NDArray[np.float64]:
    """Return for rows of factors (n, K * D) the sum of squares of each output (n, K)."""
    by_output = factors.reshape(len(factors), num_outputs, -1).astype(np.float64)
    norms: npt.NDArray[np.float64] = np.square(by_output).sum(axis=2)
    return norms


def _pooled_squares(
    bags: Bags, table: Floats, num_outputs: int, num_threads: int | None
) -> npt.NDArray[np.float64]:
    """Return for each bag the sum of the squared norms of its rows times their weights (B, K)."""
    used, places = np.unique(bags.indices, return_inverse=True)
    norms = np.zeros((max(len(used), 1), num_outputs))
    columns = table.shape[1] - num_outputs
    for start in range(0, len(used), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        norms[rows] = _norms(table[used[rows], :columns], num_outputs)
    weights = np.square(bags.weights.astype(np.float64))
    of_norms = Bags(places.astype(bags.indices.dtype), bags.offsets, weights)
    squares: Any = weighted_sums(of_norms, Table(norms), num_threads)
    return squares  # type: ignore[no-any-return]
