"""Losses of the scores of bags: those that training lowers, and early stopping compares.

The training kernel has the same formulas with their gradients (``_kernels/training/losses.pxi``),
which it knows by `code`. Here they rate held-out bags. The K scores of B bags are an array (K, B):
sums over few classes are faster down columns. Targets are as `targets_of` returns them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.integer[Any]]

_TINY = np.finfo(np.float32).tiny


class Softmax:
    """Cross-entropy of the softmax of the scores: one of K classes."""

    code, epsilon = 0, 0.0

    def of(self, scores: Floats, positives: Positions) -> Floats:
        """Return the loss (B,) of scores (K, B)."""
        from scipy.special import softmax  # tens of milliseconds, which few trainings need

        likelihoods = softmax(scores, axis=0).reshape(-1)[positives]
        losses: Floats = -np.log(np.maximum(likelihoods, _TINY))
        return losses


class Sigmoid:
    """Sum of the cross-entropies of the scores' sigmoids: any of K labels."""

    code, epsilon = 1, 0.0

    def of(self, scores: Floats, positives: Positions) -> Floats:
        """Return the loss (B,) of scores (K, B)."""
        # The loss of a label of score s is log(1 + exp(s)), or log(1 + exp(-s)) if it is true.
        signed = scores.copy()
        signed.reshape(-1)[positives] *= -1
        losses: Floats = np.logaddexp(np.float32(0), signed).sum(axis=0)
        return losses


class SquaredError:
    """Half the sum of squared errors."""

    code, epsilon = 2, 0.0

    def of(self, scores: Floats, targets: Floats) -> Floats:
        """Return the loss (B,) of scores (K, B)."""
        errors = scores - targets
        losses: Floats = np.einsum("kb,kb->b", errors, errors) / 2
        return losses


class Huber:
    """Squared error up to `epsilon`, and a linear one beyond: no gradient exceeds `epsilon`."""

    code = 3

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def of(self, scores: Floats, targets: Floats) -> Floats:
        """Return the loss (B,) of scores (K, B)."""
        errors = scores - targets
        limited = np.clip(errors, -self.epsilon, self.epsilon)
        losses: Floats = np.einsum("kb,kb->b", limited, errors - limited / 2)
        return losses


class Poisson:
    """Half the Poisson deviance; scores are the logarithms of expected counts."""

    code, epsilon = 4, 0.0

    def of(self, scores: Floats, targets: Floats) -> Floats:
        """Return the loss (B,) of scores (K, B)."""
        from scipy.special import xlogy

        terms = xlogy(targets, targets) - targets * (scores + 1) + np.exp(scores)
        losses: Floats = terms.sum(axis=0)
        return losses


Loss = Softmax | Sigmoid | SquaredError | Huber | Poisson


def targets_of(targets: sparse.csr_array | Floats) -> Any:
    """Return targets (n, K) of all bags as the losses take them.

    Numbers become an array (K, n); of the ones of a CSR matrix, only the flat positions in such an
    array are returned.
    """
    if not sparse.issparse(targets):
        return np.ascontiguousarray(targets.T)
    ones: Any = targets
    num_bags = ones.shape[0]
    bags = np.repeat(np.arange(num_bags), np.diff(ones.indptr))
    return ones.indices.astype(np.intp) * num_bags + bags
