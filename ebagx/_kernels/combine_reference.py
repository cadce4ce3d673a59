"""The NumPy twin of the kernel `combine_rows`: rows that several shards have trained become one.

Axis letters: r row of the block, u row of a piece, d column.
"""

from collections.abc import Sequence

import numpy as np

from ebagx._kernels.reference import LANES

# The numbers by which compiled kernels know the rules, too.
SHARE_SUM, SHARE_ROOT, SHARE_MEAN, SHARE_SQUARES = range(4)
_TINY = np.finfo(np.float64).tiny

_Arrays = Sequence[np.ndarray]
_Piece = tuple[np.ndarray, np.ndarray, _Arrays, float]


def _changes(
    old_rd: np.ndarray, pieces: Sequence[_Piece], array: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of the changes of each row, in float64, and of their squares."""
    sum_rd, squares_rd = np.zeros((2, *old_rd.shape))
    wide_rd = old_rd.astype(np.float64)
    for rows_u, _, arrays, decayed in pieces:
        factor = 1.0 if array else decayed
        change_ud = arrays[array] - factor * wide_rd[rows_u]
        sum_rd[rows_u] += change_ud
        squares_rd[rows_u] += change_ud * change_ud
    return sum_rd, squares_rd


def _add_lanes(terms_rd: np.ndarray) -> np.ndarray:
    """Return the sum of each row: term d goes to partial sum d % LANES, those are halved."""
    num_rows, dim = terms_rd.shape
    padded = np.zeros((num_rows, -(-dim // LANES) * LANES))
    padded[:, :dim] = terms_rd
    lanes = np.zeros((num_rows, LANES))
    for start in range(0, padded.shape[1], LANES):
        lanes += padded[:, start : start + LANES]
    half = LANES // 2
    while half:
        lanes = lanes[:, :half] + lanes[:, half : 2 * half]
        half //= 2
    return lanes


def _restraint(
    sum_rd: np.ndarray, squares_rd: np.ndarray, uses_r: np.ndarray, count_r: np.ndarray, few: float
) -> np.ndarray:
    """Return the factor of rows whose changes are alike: see `ebagx.dask._combine`."""
    length_r = _add_lanes(squares_rd) + _TINY
    whole_r = _add_lanes(sum_rd * sum_rd) + _TINY
    likeness_r = np.sqrt(np.minimum(length_r, whole_r) / whole_r)
    few_r = few * count_r
    factor_r = (few_r + uses_r * likeness_r) / (few_r + uses_r)
    return np.where(count_r == 1, 1.0, factor_r)


def _slowdown(old_rd: np.ndarray, added_rd: np.ndarray, count_r: np.ndarray) -> np.ndarray:
    """Return the factor for squares that were added up by other shards: see `_restraint`."""
    half_rd = added_rd / 2
    own_rd = (old_rd + half_rd / count_r) + _TINY
    all_rd = (old_rd + half_rd) + _TINY
    return np.where(count_r == 1, 1.0, np.sqrt(own_rd / all_rd))


def combine_rows(
    out: _Arrays,
    old: _Arrays,
    pieces_k: Sequence[_Piece],
    rules: Sequence[int],
    few: float,
    num_threads: int,
) -> None:
    """Combine the rows that several shards have trained."""
    count_r, uses_r = np.zeros((2, len(out[0]), 1))
    decayed = 1.0
    for rows_u, uses_u, _, factor in pieces_k:
        count_r[rows_u] += 1
        uses_r[rows_u, 0] += uses_u
        decayed *= factor
    divisor_r = np.maximum(count_r, 1)
    for array, (out_rd, old_rd, rule) in enumerate(zip(out, old, rules, strict=True)):
        if not out_rd.size:
            continue
        sum_rd, squares_rd = _changes(old_rd, pieces_k, array)
        scale_r = np.ones_like(divisor_r)
        if rule == SHARE_MEAN:
            scale_r = 1 / divisor_r
        elif rule != SHARE_SUM:
            scale_r = _restraint(sum_rd, squares_rd, uses_r, divisor_r, few)
        if rule == SHARE_ROOT:
            scale_r /= np.sqrt(divisor_r)
        elif rule == SHARE_SQUARES:
            added_rd, _ = _changes(old[1], pieces_k, 1)
            sum_rd *= _slowdown(old[1].astype(np.float64), added_rd, divisor_r)
        kept = 1.0 if array else decayed
        out_rd[...] = kept * old_rd.astype(np.float64) + scale_r * sum_rd
