"""The model in training: a table, perhaps a hidden layer, and a linear head."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.layout import rows_are_contiguous
from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._training.snapshots import Part, Rows, Snapshot, snapshot_of
from ebagx.optim import Optimizer
from ebagx.optim.state import SEEN

Floats = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 1024  # a block whose scores are added in float64, for instance


class Layer(NamedTuple):
    """A linear layer in the form of the estimators' attributes."""

    coef: Floats  # (out, in)
    intercept: Floats  # (out,)

    def __repr__(self) -> str:
        return f"Layer({self.coef.shape[1]} inputs, {self.coef.shape[0]} outputs)"


def checked_layer(coef: Any, intercept: Any, width: int, prefix: str = "") -> Layer:
    """Return a layer of an estimator's attributes, which may have been assigned.

    Raises
    ------
    ValueError
        If their shapes do not fit each other, or the `width` numbers of the layer before.
    """
    weights, biases = np.asarray(coef, np.float32, order="C"), np.asarray(intercept, np.float32)
    if weights.ndim != 2 or weights.shape[1] != width or biases.shape != weights.shape[:1]:
        raise ValueError(
            f"{prefix}coef_ and {prefix}intercept_ must have shapes (n, {width}) and (n,), got "
            f"{weights.shape} and {biases.shape}"
        )
    return Layer(weights, biases)


def trainable_table(embedding: Any) -> Floats:
    """Return a table of an estimator's attribute, or a copy if steps cannot change it in place."""
    array: Floats = np.asanyarray(embedding)
    if array.dtype == np.float32 and rows_are_contiguous(array):
        return array
    return np.array(array, np.float32, order="C")


def scores_of(
    pooled: Floats, layers: Sequence[Layer], dtype: npt.DTypeLike = np.float32
) -> npt.NDArray[Any]:
    """Return the scores (B, K) of pooled bags (B, D).

    Products are added in float64. The bits that BLAS returns for a row depend on the rows beside
    it, but only in places that a float32 no longer has.
    """
    weights = [(coef.astype(np.float64), intercept) for coef, intercept in layers]
    scores = np.empty((len(pooled), len(layers[-1].intercept)), dtype)
    for start in range(0, len(pooled), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        values = pooled[rows].astype(np.float64)
        for coef, intercept in weights[:-1]:
            values = np.maximum(values @ coef.T + intercept, 0)
        coef, intercept = weights[-1]
        scores[rows] = values @ coef.T + intercept
    return scores


def initial_rows(
    used: npt.NDArray[np.integer[Any]], shape: tuple[int, int], rng: np.random.Generator
) -> Floats:
    """Return fastText's start, uniform in (-1/D, 1/D), in the rows that some bag uses.

    The others are zeros: a column that occurs in no bag adds nothing to a vector, and its row takes
    no memory.
    """
    is_full = len(used) == shape[0]
    table = (aligned_empty if is_full else aligned_zeros)(shape, np.dtype(np.float32))
    for start in range(0, len(used), _ROWS_AT_ONCE):  # in the cache: half the time of whole arrays
        rows = slice(start, start + _ROWS_AT_ONCE)
        values = table[rows] if is_full else np.empty((len(used[rows]), shape[1]), np.float32)
        rng.random(dtype=np.float32, out=values)
        values *= 2
        values -= 1
        values /= shape[1]
        if not is_full:
            table[used[rows]] = values
    return table


def _all_or_some(rows: npt.NDArray[Any], count: int) -> Rows:
    """Return a slice, which costs no copy, if the rows are all `count` rows of the table."""
    return slice(None) if len(rows) == count else rows


def initial_layers(
    dim: int, hidden: int | None, num_scores: int, rng: np.random.Generator
) -> list[Layer]:
    """Return a head of zeros, on a hidden layer of He's uniform numbers if there is one."""
    layers = []
    if hidden is not None:
        bound = np.float32(np.sqrt(6 / dim))
        coef = bound * (2 * rng.random((hidden, dim), dtype=np.float32) - 1)
        layers.append(Layer(coef, np.zeros(hidden, np.float32)))
        dim = hidden
    head = Layer(np.zeros((num_scores, dim), np.float32), np.zeros(num_scores, np.float32))
    return [*layers, head]


def _is_finite(weights: Floats) -> bool:
    """Return whether no number is NaN or infinite.

    Their sum then is no number either. It takes a third of the time of looking at each of them,
    which is left for sums that overflow.
    """
    return bool(np.isfinite(weights.sum()) or np.isfinite(weights).all())


class Network:
    """Table and layers in training: weights, optimizers, and their steps.

    Parameters
    ----------
    table : ndarray of shape (N, D), float32
        The embeddings, trained in place.
    layers : sequence of Layer
        Initial layers, which are copied; the last is the head, ReLU comes after the others.
    optimizers : list of Optimizer
        An optimizer for the table and one for each layer.
    used : ndarray of int
        Rows of the table that training may look up, for `snapshot`.
    num_threads : int or None
        Largest number of threads.
    factors : int, default=0
        Factors of an output, if the table has those of a factorization machine with their weights,
        as `ebagx._training.factorization` describes; its one layer has no inputs.
    """

    def __init__(
        self,
        table: Floats,
        layers: Sequence[Layer],
        optimizers: list[Optimizer],
        used: npt.NDArray[np.integer[Any]],
        num_threads: int | None,
        factors: int = 0,
    ) -> None:
        self.table = table
        self.num_threads = num_threads
        self.factors = factors
        self.optimizers = optimizers
        self._used = _all_or_some(used, len(table))
        # Biases are a last column of the layer: so there is one update.
        self.weights = [np.column_stack(layer) for layer in layers]
        for optimizer in optimizers:
            optimizer.unbind()  # a later call of `partial_fit` has other arrays for its layers

    @property
    def _parts(self) -> list[Part]:
        # Weight decay changes all rows.
        optimizer = self.optimizers[0]
        decays = optimizer.weight_decay or optimizer.state_dict()[SEEN].size
        rows = [slice(None) if decays else self._used, *[slice(None)] * len(self.weights)]
        return [*map(Part, [self.table, *self.weights], rows, self.optimizers)]

    @property
    def layers(self) -> list[Layer]:
        """Copies of the layers."""
        return [Layer(layer[:, :-1].copy(), layer[:, -1].copy()) for layer in self.weights]

    def snapshot(self, into: Snapshot | None = None, with_state: bool = False) -> Snapshot:
        """Return copies of the weights, in the memory of an earlier snapshot if there is one.

        The state of the optimizers takes as much memory again for each array that they have.
        """
        return snapshot_of(self._parts, into, with_state)

    def restore(self, snapshot: Snapshot) -> None:
        """Set the weights, and the state if that was copied, to those of a snapshot."""
        for part, copy in zip(self._parts, snapshot, strict=True):
            part.restore(copy)

    def is_finite(self) -> bool:
        """Return whether no weight is NaN or infinite."""
        return all(map(_is_finite, [*self._blocks(), *self.weights]))

    def _blocks(self) -> Iterator[Floats]:
        """Yield the rows of the table in use."""
        if isinstance(self._used, slice):
            yield self.table
            return
        for start in range(0, len(self._used), _ROWS_AT_ONCE):
            yield self.table[self._used[start : start + _ROWS_AT_ONCE]]

    def settle(self) -> None:
        """Apply the weight decay that untouched rows still owe."""
        for optimizer, weight in zip(self.optimizers, [self.table, *self.weights], strict=True):
            optimizer.catch_up(weight)
