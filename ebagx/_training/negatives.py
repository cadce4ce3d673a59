"""Negatives: with many classes, a step uses the true ones of its batch and some drawn at random.

Classes are drawn by the root of their frequency: with 256 of 2,583, the accuracy was .380, and .373
where all were equally likely. The kernel weighs a class that is not true of a bag by 1 / q, where
q is the probability that a batch with such a bag uses the class.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.draws import Draws
from ebagx._core.memory import aligned_empty, aligned_zeros

_FLOAT32, _INT32 = np.dtype(np.float32), np.dtype(np.int32)
_STRIP = 16  # bags whose numbers lie side by side

Arrays = tuple[np.ndarray, ...]
Doubles = npt.NDArray[np.float64]

_NO_ROWS = np.empty((0, 0), np.int32)
_NO_NUMBERS = np.empty((0, 0), np.float32)
# The kernel takes these where each batch uses all classes.
ALL_CLASSES: tuple[Arrays, Arrays] = (
    (_NO_ROWS, np.empty(0, np.float32), _NO_ROWS, np.empty(0, np.int64)),
    (
        *(_NO_ROWS, np.empty(0, np.int64), _NO_ROWS, np.empty((0, 0), np.int64)),
        *(_NO_NUMBERS, _NO_NUMBERS),
    ),
)


class Drawing(NamedTuple):
    """The number of classes that each step draws, and the seed of the draws."""

    num_classes: int
    seed: int


class Shape(NamedTuple):
    """Sizes of the arrays of a training."""

    num_bags: int  # of all examples
    batch_size: int
    most_labels: int  # of a batch
    inputs: int  # columns of the head, with the bias
    num_batches: int  # of a block
    threads: int


class Negatives:
    """The classes that each step of a training draws, and arrays for those that it uses.

    Parameters
    ----------
    drawing : Drawing
        Number and seed.
    counts : ndarray of shape (K,)
        Number of bags that have each class.
    shape : Shape
        Sizes.
    """

    def __init__(self, drawing: Drawing, counts: npt.NDArray[np.intp], shape: Shape) -> None:
        # A class that no bag has is drawn like a rare one: its score shall fall, too.
        weights = np.sqrt(np.maximum(counts, 1).astype(np.float64))
        self._count, self._step = drawing.num_classes, 0
        self._draws = Draws(len(counts), drawing.seed, weights)
        chances = chances_to_be_used(weights, counts, drawing.num_classes, shape)
        self._weights = (1 / chances).astype(np.float32)
        self._slots = (
            aligned_zeros((shape.threads, len(counts)), _INT32),
            np.ones(shape.threads, np.int64),
        )
        most, batches = most_used(len(counts), drawing, shape.most_labels), shape.num_batches
        self._chosen = (
            *(np.empty((batches, most), np.int32), np.empty(batches, np.int64)),
            np.empty((batches, shape.most_labels), np.int32),
            np.empty((batches, shape.batch_size + 1), np.int64),
            aligned_empty((most, shape.inputs), _FLOAT32),
            aligned_empty((shape.threads, _STRIP * most), _FLOAT32),
        )

    def arrays(self, count: int) -> tuple[Arrays, Arrays]:
        """Return what the kernel takes for the next steps; they count as taken."""
        drawn = self._draws.rows(self._step, count, self._count)
        self._step += count
        return (drawn, self._weights, *self._slots), self._chosen


def most_used(num_classes: int, drawing: Drawing | None, most_labels: int) -> int:
    """Return the largest number of classes that a batch uses."""
    return num_classes if drawing is None else min(num_classes, most_labels + drawing.num_classes)


def chances_to_be_used(
    weights: Doubles, counts: npt.NDArray[np.intp], num_drawn: int, shape: Shape
) -> Doubles:
    """Return the probability (K,) that a batch uses a class which one of its bags has not.

    Either a draw gives it, or another bag of the batch has it. There are no powers or logarithms
    here, whose bits depend on the C library.
    """
    shares = weights / np.add.accumulate(weights)[-1]
    return 1 - _power(1 - shares, num_drawn) * _chances_to_miss(counts, shape)


def _power(base: Doubles, exponent: int) -> Doubles:
    power = np.ones_like(base)
    while exponent:
        if exponent & 1:
            power *= base
        base, exponent = base * base, exponent >> 1
    return power


def _chances_to_miss(counts: npt.NDArray[np.intp], shape: Shape) -> Doubles:
    """Return the probability (K,) that no other bag of a batch has a class.

    Batches are drawn without replacement, from all bags but the one.
    """
    distinct, places = np.unique(counts, return_inverse=True)
    missed = np.ones(len(distinct))
    others = shape.num_bags - 1
    for left in range(others, others - (shape.batch_size - 1), -1):
        missed *= np.maximum(left - distinct, 0) / left
    return missed[places]
