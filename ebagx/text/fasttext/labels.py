"""Pooled lines become probabilities of labels, by each loss of fastText.

fastText adds 1e-5 to each probability before it takes the logarithm, and prints the exponential of
this. All probabilities here have it, too. So they may be above 1, and those of softmax add up to a
little more than 1. The probability 0 is that of a label that fastText leaves out: the tree is not
walked where it would be under about 1e-5.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.threads import thread_count
from ebagx.text import tokens
from ebagx.text.fasttext.matrix import Matrix

ADDED = 1e-5  # to probabilities
_MAX_SIGMOID, _SIGMOID_STEPS = 8, 512
_COUNTS_LIMIT = 10**15  # fastText's count of a node that is not joined yet

_Floats = npt.NDArray[np.float32]


class Labels(Protocol):
    """The last layer of a model."""

    @property
    def matrix(self) -> Matrix:
        """The rows of labels, or of inner nodes of their tree."""

    def probabilities(self, pooled: _Floats, k: int, num_threads: int | None) -> _Floats:
        """Return the probability of each label for each line; of the `k` best at least, or all."""


@dataclass(frozen=True)
class FlatLabels:
    """A score for each label, which a function turns into probabilities.

    Parameters
    ----------
    matrix : Matrix
        A row for each label.
    function : callable
        Turns scores, (B, L), into probabilities.
    """

    matrix: Matrix
    function: Callable[[_Floats], _Floats]

    def probabilities(self, pooled: _Floats, k: int, num_threads: int | None) -> _Floats:  # noqa: ARG002
        """Return the probability of each label for each line, (B, L)."""
        scores = np.empty((len(pooled), self.matrix.num_rows), np.float32)
        threads = thread_count(num_threads, scores.size * self.matrix.dim)
        tokens.score_fasttext_rows(scores, pooled, self.matrix.arrays, threads)
        _check_finite(scores)
        return _as_printed(self.function(scores))


@dataclass(frozen=True)
class LabelTree:
    """A tree with the labels as leaves: hierarchical softmax.

    Parameters
    ----------
    matrix : Matrix
        A row for each inner node, and one that is not used.
    children : ndarray of int32, shape (L - 1, 2)
        The children of the inner nodes.
    counts : ndarray of int64, shape (L,)
        The counts of the labels, of which the tree is made.
    """

    matrix: Matrix
    children: npt.NDArray[np.int32] = field(repr=False)
    counts: npt.NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, matrix: Matrix, counts: npt.NDArray[np.int64]) -> Self:
        """Return the tree of labels with these counts, in the order of the file.

        Raises
        ------
        ValueError
            If a count is negative, or all together are too large.
        """
        n_labels = len(counts)
        if (counts < 0).any() or counts.sum(dtype=np.float64) >= _COUNTS_LIMIT:
            raise ValueError("counts of labels are negative or too large")
        children = np.empty((n_labels - 1, 2), np.int32)
        tokens.join_labels(children, np.append(counts, np.zeros(n_labels - 1, np.int64)))
        children.setflags(write=False)  # compiled code takes them as they are
        return cls(matrix, children, counts)

    def probabilities(self, pooled: _Floats, k: int, num_threads: int | None) -> _Floats:
        """Return the probabilities, (B, L), of the `k` likeliest labels at least; -1 is all."""
        n_labels = self.matrix.num_rows
        scores = np.empty((len(pooled), n_labels), np.float32)
        threads = thread_count(num_threads, scores.size * self.matrix.dim)
        scratch = np.empty((threads, 2 * n_labels + 2), np.uint32)
        results = scores, pooled, self.children, scratch
        _check_finite(pooled)
        tokens.walk_fasttext_tree(results, self.matrix.arrays, k, threads)
        probabilities: _Floats = np.exp(scores)
        return probabilities


def labels_of(loss: str, matrix: Matrix, counts: npt.NDArray[np.int64]) -> Labels:
    """Return the last layer of a model with a loss."""
    if loss == "hs":
        return LabelTree.of(matrix, counts)
    return FlatLabels(matrix, _softmax if loss == "softmax" else _sigmoids)


def _softmax(scores: _Floats) -> _Floats:
    exponentials: _Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def _table_of_sigmoids() -> _Floats:
    steps = np.arange(_SIGMOID_STEPS + 1, dtype=np.float32)
    x = steps * np.float32(2 * _MAX_SIGMOID) / np.float32(_SIGMOID_STEPS) - np.float32(_MAX_SIGMOID)
    sigmoids: _Floats = (1 / (1 + np.exp(-x).astype(np.float64))).astype(np.float32)
    return sigmoids


_SIGMOIDS = _table_of_sigmoids()


def _sigmoids(scores: _Floats) -> _Floats:
    """Return the sigmoids of scores, from fastText's table with 32 steps for each unit."""
    within = np.clip(scores, -_MAX_SIGMOID, _MAX_SIGMOID)
    places = (within + np.float32(_MAX_SIGMOID)) * np.float32(_SIGMOID_STEPS)
    found = _SIGMOIDS[(places / np.float32(2 * _MAX_SIGMOID)).astype(np.intp)]
    found[scores > _MAX_SIGMOID] = 1
    found[scores < -_MAX_SIGMOID] = 0
    return found


def _as_printed(probabilities: _Floats) -> _Floats:
    logarithms = np.log(probabilities + ADDED, dtype=np.float64).astype(np.float32)
    printed: _Floats = np.exp(logarithms)
    return printed


def _check_finite(values: _Floats) -> None:
    if not np.isfinite(values).all():
        raise ValueError("the model's tables hold nan, infinity or numbers that are too large")
