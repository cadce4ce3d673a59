"""Clip gradients by value, by the norm of each row, and by the norm of all."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from ebagx._core.levels import kernels

Piece = tuple[np.ndarray, np.ndarray]

# PyTorch's clip_grad_norm_ adds the same number.
_EPS = 1e-6


def clipped(
    pieces: Iterable[Piece], value: float | None, row_norm: float | None, norm: float | None
) -> Iterable[Piece]:
    """Return the pieces of a gradient (rows, values) within limits; None means no limit.

    Values are not changed in place. `norm` needs all pieces in memory.
    """
    if value is None and row_norm is None and norm is None:
        return pieces
    within = _within_each_row(pieces, value, row_norm)
    return within if norm is None else _within_norm(within, norm)


def _within_each_row(
    pieces: Iterable[Piece], value: float | None, row_norm: float | None
) -> Iterator[Piece]:
    for rows, values in pieces:
        limited = values
        if value is not None:
            limited = limited.clip(-value, value)
        if row_norm is not None:
            factors = np.minimum(row_norm / (np.sqrt(row_squares(limited)) + _EPS), 1)
            limited = limited * factors.astype(values.dtype)[:, np.newaxis]
        yield rows, limited


def _within_norm(pieces: Iterable[Piece], norm: float) -> list[Piece]:
    # The values of a piece are valid until the next piece.
    kept = [(rows, values.copy()) for rows, values in pieces]
    # The squares are added up as one array, so that no bit depends on the pieces.
    squares = [row_squares(values) for _, values in kept]
    total = math.sqrt(np.concatenate(squares).sum()) if squares else 0.0
    factor = norm / (total + _EPS)
    if not factor >= 1:
        for _, values in kept:
            values *= values.dtype.type(factor)
    return kept


def row_squares(values: np.ndarray) -> np.ndarray:
    """Return the sum of squares of each row (U,), in float64."""
    squares = np.zeros(len(values))
    kernels.row_squares(squares, values)
    return squares
