"""Twins of the scores and losses of pairs, for `pairs_reference`.

All sums run in the order of the compiled kernel. Axis letters: b pair, k item drawn, d column.
"""

import numpy as np

from ebagx._kernels import reference
from ebagx._kernels.training_reference import exp, log, log1p

_f = np.float32
_LANES = reference.LANES


def dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the dot products of last axes: column d is added to lane d % LANES, then in halves."""
    products = left * right
    lanes = np.zeros((*products.shape[:-1], _LANES), products.dtype)
    for start in range(0, products.shape[-1], _LANES):
        chunk = products[..., start : start + _LANES]
        lanes[..., : chunk.shape[-1]] += chunk
    half = _LANES // 2
    while half:
        lanes[..., :half] += lanes[..., half : 2 * half]
        half //= 2
    result: np.ndarray = lanes[..., 0]
    return result


def scores(vectors: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the scores of user vectors (..., D + 1) with items, whose last column is the bias."""
    result: np.ndarray = dots(vectors[..., :-1], items[..., :-1]) + items[..., -1]
    return result


def logits_of_drawn(vectors: np.ndarray, drawn: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return scores (B, K) of vectors (B, D + 1) with drawn items (K, D + 1), less shifts (B, K).

    They are added in the order of the columns, from minus the shift on.
    """
    logits = -shifts
    for column in range(vectors.shape[1]):
        logits = logits + vectors[:, column, np.newaxis] * drawn[:, column]
    return logits


def softplus(scores_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log(1 + exp(s)) and its derivative."""
    negative = scores_b < 0
    u = exp(np.where(negative, scores_b, -scores_b))
    losses = np.where(negative, _f(0), scores_b) + log1p(u)
    return losses, np.where(negative, u, _f(1)) / (_f(1) + u)


def softmax(logits: np.ndarray, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return losses (B,) and coefficients (B, 1 + K) from logits, the own one first."""
    greatest = np.fmax.reduce(logits, axis=1)
    own, others = exp(logits[:, 0] - greatest), exp(logits[:, 1:] - greatest[:, np.newaxis])
    rest = dots(others, np.ones_like(others))
    total = own + rest
    losses = strengths * ((greatest - logits[:, 0]) + log(total))
    slopes = strengths[:, np.newaxis] * (others / total[:, np.newaxis])
    return losses, np.concatenate([(-strengths * (rest / total))[:, np.newaxis], slopes], axis=1)
