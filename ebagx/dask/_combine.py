r"""The rows that several shards have trained become those of a block.

    row · Π_k f_k + (Σ_k row_k - Σ_k f_k · row) · s / m^p

where k runs over the m shards that touched the row, in the order of their numbers, and f_k is the
factor by which the steps of shard k have decayed its weights. A row that one shard alone touched
gets its whole change. The exponent p is

* 0 for sums of squares, which are added up;
* 1 for moments and velocities, which are means over steps: their mean over shards is one, too;
* 1/2 for weights, s being 1: the sum of m like changes is too far, and their mean too short. But
  for those with sums of squares, Adagrad's, p is 0 and

      s = √((g + D / 2m) / (g + D / 2)) · ⁴√(r / m),   r = min(1, Σ |c_k|² / |Σ c_k|²)

  Here g are the squares before the round, D the sum of what the shards have added to them, and c_k
  the change of the row by shard k. One machine would have divided its steps by larger roots, as it
  adds the squares of all shards; the first root makes up for this at the middle of the round. In
  the first rounds it is 1/√m, later 1. The other root is 1/√m if all changes are the same, as each
  shard has gone the way of the others by itself; it is 1/⁴√m if they have nothing in common.

In the last round, weights with sums of squares become the mean of those of the shards, p = 1 and
s = 1: no later round would make up for a sum that is too far.

These rules were chosen on 80,000 made texts of 45 classes. With p = 1/2 in all rounds, 16 shards
were .05 less accurate than one machine, as later rounds moved too little; with ⁴√m in place of the
other root they were so too, as the losses rose after some passes, and 4 shards were .03 less
accurate with r alone. With this rule and a mean at the end no number was more than .01 below it.

Sums are in float64, in the order of the shards' numbers.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import aligned_empty
from ebagx._training.network import Floats
from ebagx.dask._round import Block, Piece
from ebagx.dask._shards import Columns
from ebagx.optim import Optimizer
from ebagx.optim.planning import rule_of

_FLOAT32 = np.dtype(np.float32)
_SUMS_BYTES = 1 << 18  # of float64 sums that stay in a second-level cache
_SQUARES = "squares"
_EXPONENTS = {_SQUARES: 0.0, "momentum_buffer": 1.0, "exp_avg": 1.0, "exp_avg_sq": 1.0}
_OF_WEIGHTS = 0.5
_TINY = np.finfo(np.float64).tiny

Sums = npt.NDArray[np.float64]


class Sharing(NamedTuple):
    """The rule by which the changes of several shards become that of a block."""

    exponents: tuple[float, ...]  # of m, for weights and states
    squares: int | None  # the array that has sums of squares, if there is one

    @classmethod
    def of(cls, optimizer: Optimizer) -> Self:
        """Return the rule for the steps of an optimizer."""
        states = rule_of(optimizer).states
        squares = 1 + states.index(_SQUARES) if _SQUARES in states else None
        of_weights = _OF_WEIGHTS if squares is None else 0.0
        return cls((of_weights, *(_EXPONENTS[name] for name in states)), squares)

    def of_last_round(self) -> Self:
        """Return the rule of the last round: weights with squares become means."""
        return self if self.squares is None else type(self)((1.0, *self.exponents[1:]), None)


def combine(block: Block, sharing: Sharing, *pieces: Piece) -> Block:
    """Return a block after a round.

    Parameters
    ----------
    block : Block
        The block before the round.
    sharing : Sharing
        The rule of its optimizer.
    *pieces : Piece
        The rows that each shard has trained, in the order of the shards' numbers.
    """
    decayed = float(np.prod([piece.decayed for piece in pieces]))
    new = tuple(aligned_empty(old.shape, _FLOAT32) for old in block.arrays)
    at_once = max(1, _SUMS_BYTES // (8 * block.arrays[0].shape[1]))
    edges = [*range(0, block.num_rows, at_once), block.num_rows]
    cuts = [np.searchsorted(piece.rows, edges).tolist() for piece in pieces]
    # New arrays for each few rows would cost page faults, as the workers of Dask return memory to
    # the system at once.
    work = [np.empty((3, at_once, old.shape[1])) for old in block.arrays]
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        here = [
            _some_rows(piece, start, slice(cut[number], cut[number + 1]))
            for piece, cut in zip(pieces, cuts, strict=True)
            if cut[number] < cut[number + 1]
        ]
        few = slice(start, stop)
        old, out = ([array[few] for array in arrays] for arrays in (block.arrays, new))
        if here or decayed != 1:
            sums = [array[:, : stop - start] for array in work]
            _combine_few(out, old, here, sharing, decayed, sums)
        else:
            for target, array in zip(out, old, strict=True):
                np.add(array, 0, out=target)  # -0 becomes 0 as in a sum
    return block._replace(arrays=new)


def _some_rows(piece: Piece, start: int, part: slice) -> Piece:
    """Return a part of the rows of a piece, with positions from `start` on."""
    arrays = tuple(array[part] for array in piece.arrays)
    return Piece(piece.rows[part] - start, arrays, piece.lengths[part], piece.decayed)


def _combine_few(
    new: Sequence[Floats],
    old: Sequence[Floats],
    pieces: Sequence[Piece],
    sharing: Sharing,
    decayed: float,
    work: Sequence[Sums],
) -> None:
    """Set rows to the formula of this module, which leaves rows of no piece as they are."""
    counts, shares, lengths = np.zeros((3, len(old[0]), 1))
    for piece in pieces:
        counts[piece.rows] += 1
        shares[piece.rows] += piece.decayed
        lengths[piece.rows, 0] += piece.lengths
    touched = np.maximum(counts, 1)
    for number in reversed(range(len(old))):  # states come before weights, which need squares
        sums, wide, part = work[number]
        wide[...] = old[number]
        _add_up(sums, [(piece.rows, piece.arrays[number]) for piece in pieces], part)
        sums -= np.multiply(wide, counts if number else shares, out=part)
        if number == 0 and sharing.squares is not None:
            sums *= _restraint(sums, lengths, touched, part)
            sums *= _slowdown(work[sharing.squares], touched)
        if sharing.exponents[number]:
            sums /= touched ** sharing.exponents[number]
        if number == 0 and decayed != 1:  # states do not decay
            wide *= decayed
        np.add(sums, wide, out=new[number], casting="same_kind")


def _add_up(sums: Sums, pieces: Sequence[tuple[Columns, Floats]], part: Sums) -> None:
    """Set sums to those of the rows of all pieces."""
    sums[...] = 0
    for rows, values in pieces:
        if len(rows) == len(sums):  # rows that are all there cost no gather
            np.add(sums, values, out=sums)
        else:
            gathered = np.take(sums, rows, axis=0, out=part[: len(rows)], mode="clip")
            np.add(gathered, values, out=gathered)
            sums[rows] = gathered


def _restraint(sums: Sums, lengths: Sums, touched: Sums, part: Sums) -> Sums:
    """Return the second root of s, for each row; it is 1 for rows that one shard has touched."""
    total = np.add.reduce(np.multiply(sums, sums, out=part), axis=1, keepdims=True)
    total += _TINY  # without any change, both are zero
    ratio = np.minimum(lengths + _TINY, total)
    ratio /= total
    ratio[touched == 1] = 1  # lengths are rounded
    ratio /= touched
    return _root(_root(ratio))


def _slowdown(work: Sums, touched: Sums) -> Sums:
    """Return the first root of s; the work has what was added to the squares, and these."""
    added, before, own = work
    added /= 2
    np.divide(added, touched, out=own)
    own += before
    added += before
    own += _TINY  # rows whose gradients are zero have no squares
    added += _TINY
    own /= added
    return _root(own)


def _root(values: Sums) -> Sums:
    """Replace values by their square roots, whose bits are the same on every processor."""
    np.sqrt(values, out=values)
    return values
