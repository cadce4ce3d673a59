"""Find the likeliest labels of lines a block at a time: memory does not grow as lines x labels."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ebagx.text import tokens

_MOST_COMPILED = 32  # labels a line: one call of 1 microsecond for a line, the steps of NumPy 12
_PROBABILITIES_AT_ONCE = 1 << 20  # 4 MB; the steps of softmax and of the selection take 20 MB

_Floats = npt.NDArray[np.float32]
_Intp = npt.NDArray[np.intp]


def is_one_block(n_lines: int, n_labels: int) -> bool:
    """Return whether memory holds the probabilities of all labels of so many lines."""
    return n_lines * n_labels <= _PROBABILITIES_AT_ONCE


def line_blocks(pooled: _Floats, n_labels: int) -> Iterator[_Floats]:
    """Yield the mean embeddings of lines in blocks that have so many probabilities."""
    size = max(_PROBABILITIES_AT_ONCE // max(n_labels, 1), 1)
    for first in range(0, len(pooled), size):
        yield pooled[first : first + size]


def ranked_blocks(
    pooled: _Floats, probabilities: Callable[[_Floats], _Floats], n_labels: int, k: int
) -> Iterator[tuple[_Intp, _Floats]]:
    """Yield the positions of the likeliest labels of some lines, best first, and how likely.

    Parameters
    ----------
    pooled : ndarray, shape (B, D)
        The mean embeddings of lines.
    probabilities : callable
        Returns the probabilities, (b, L), of the labels for some rows of `pooled`.
    n_labels : int
        Number of labels L.
    k : int
        Number of labels a line; all if it is -1 or more than L.

    Yields
    ------
    positions : ndarray of intp, shape (b, K)
        For the next b lines. Of labels that are equally likely, the lower position comes first.
    values : ndarray of float32, shape (b, K)
    """
    for block in line_blocks(pooled, n_labels):
        yield likeliest(probabilities(block), k)


def best_labels(
    pooled: _Floats, probabilities: Callable[[_Floats], _Floats], n_labels: int, k: int
) -> tuple[_Intp, _Floats]:
    """Return the same for all lines at once, (B, K) each. Cost: O(B L + B K log K)."""
    count = n_labels if k < 0 else min(k, n_labels)
    order, values = np.empty((len(pooled), count), np.intp), np.empty((len(pooled), count), "f")
    first = 0
    for positions, found in ranked_blocks(pooled, probabilities, n_labels, k):
        order[first : first + len(positions)] = positions
        values[first : first + len(positions)] = found
        first += len(positions)
    return order, values


def likeliest(probabilities: _Floats, k: int) -> tuple[_Intp, _Floats]:
    """Return the positions of the `k` largest probabilities of each row, (b, K), and these.

    Of equals, the lower position comes first: the order is that of a stable sort. `k` = -1 is all.
    """
    n_labels = probabilities.shape[1]
    count = n_labels if k < 0 else min(k, n_labels)
    if 0 < count <= _MOST_COMPILED:
        shape = len(probabilities), count
        order, largest = np.empty(shape, np.intp), np.empty(shape, np.float32)
        tokens.rank_rows(order, largest, np.ascontiguousarray(probabilities, np.float32))
        return order, largest
    # The bits of floats that are not negative ascend with them. A key has the inverted bits of a
    # probability and below them its position, so that no keys are equal and the best is least.
    keys = (~np.ascontiguousarray(probabilities, np.float32).view(np.uint32)).astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(n_labels, dtype=np.uint64)
    if count < n_labels:
        keys.partition(count, axis=1)
        keys = keys[:, :count]
    keys.sort(axis=1)
    values = ~(keys >> np.uint64(32)).astype(np.uint32)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp), values.view(np.float32)
