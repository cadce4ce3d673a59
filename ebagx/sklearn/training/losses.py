"""Losses of the scores of bags, and the gradients of those losses.

In training, the K scores of B bags are an array (K, B): sums over few classes are faster down
columns. Targets are rows (n, K): numbers in regression, ones of a CSR matrix in classification,
whose flat positions in (K, B) are a batch's `positives`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit, xlogy

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.integer[Any]]

_ONE = np.float32(1)
_TINY = np.finfo(np.float32).tiny


class Softmax:
    """Cross-entropy of the softmax of the scores: one of K classes."""

    code, epsilon = 0, 0.0

    def gradient(self, scores: Floats, positives: Positions) -> Floats:
        """Turn scores (K, B) into their gradient, in place; return each bag's loss (B,)."""
        _softmax(scores)
        flat = scores.reshape(-1)
        likelihoods = flat.take(positives)
        flat[positives] = likelihoods - _ONE
        np.maximum(likelihoods, _TINY, out=likelihoods)
        np.log(likelihoods, out=likelihoods)
        return np.negative(likelihoods, out=likelihoods)


class Sigmoid:
    """Sum of the cross-entropies of the scores' sigmoids: any of K labels."""

    code, epsilon = 1, 0.0

    def gradient(self, scores: Floats, positives: Positions) -> Floats:
        """Turn scores (K, B) into their gradient, in place; return each bag's loss (B,)."""
        # The loss of a label of score s is log(1 + exp(s)), or log(1 + exp(-s)) if it is true.
        flat = scores.reshape(-1)
        flat[positives] *= -1
        losses: Floats = np.logaddexp(np.float32(0), scores).sum(axis=0)
        expit(scores, out=scores)
        flat[positives] *= -1
        return losses


class SquaredError:
    """Half the sum of squared errors."""

    code, epsilon = 2, 0.0

    def gradient(self, scores: Floats, targets: Floats) -> Floats:
        """Turn scores (K, B) into their gradient, in place; return each bag's loss (B,)."""
        scores -= targets
        losses: Floats = np.einsum("kb,kb->b", scores, scores) / 2
        return losses


class Huber:
    """Squared error up to `epsilon`, and a linear one beyond: no gradient exceeds `epsilon`."""

    code = 3

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def gradient(self, scores: Floats, targets: Floats) -> Floats:
        """Turn scores (K, B) into their gradient, in place; return each bag's loss (B,)."""
        errors = scores - targets
        np.clip(errors, -self.epsilon, self.epsilon, out=scores)
        losses: Floats = np.einsum("kb,kb->b", scores, errors - scores / 2)
        return losses


class Poisson:
    """Half the Poisson deviance; scores are the logarithms of expected counts."""

    code, epsilon = 4, 0.0

    def gradient(self, scores: Floats, targets: Floats) -> Floats:
        """Turn scores (K, B) into their gradient, in place; return each bag's loss (B,)."""
        losses = xlogy(targets, targets) - targets * (scores + 1)
        np.exp(scores, out=scores)
        losses += scores
        scores -= targets
        total: Floats = losses.sum(axis=0)
        return total


Loss = Softmax | Sigmoid | SquaredError | Huber | Poisson


def _softmax(scores: Floats) -> None:
    """Turn scores (K, B) into probabilities, in place."""
    # scipy.special.softmax, which predictions use, has the same bits, but takes 15 µs longer for a
    # batch: a fit to WordNet's definitions would be 4 to 9 % slower.
    scores -= np.maximum.reduce(scores, axis=0)
    np.exp(scores, out=scores)
    scores /= np.add.reduce(scores, axis=0)


def target_batches(
    targets: sparse.csr_array | Floats, order: npt.NDArray[np.intp], size: int
) -> list[Any]:
    """Return the targets of batches of `size` rows, in this order, as the losses take them."""
    chosen, firsts = targets[order], range(0, len(order), size)
    if not sparse.issparse(chosen):
        columns = np.ascontiguousarray(chosen.T)
        return [columns[:, first : first + size] for first in firsts]
    places = np.arange(len(order))
    sizes = np.minimum(size, len(order) - places // size * size)
    lengths = np.diff(chosen.indptr)
    positives = chosen.indices * np.repeat(sizes, lengths) + np.repeat(places % size, lengths)
    ends = chosen.indptr[[*firsts, len(order)]].tolist()
    return [positives[ends[b] : ends[b + 1]] for b in range(len(firsts))]
