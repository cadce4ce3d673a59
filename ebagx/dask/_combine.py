r"""The rows that several shards have trained become those of a block.

    row · Π_k f_k + (Σ_k row_k - Σ_k f_k · row) · s / m^p

where k runs over the m shards that touched the row, in the order of their numbers, and f_k is the
factor by which the steps of shard k have decayed its weights. A row that one shard alone touched
gets its whole change. The exponent p is

* 0 for sums of squares, which are added up;
* 1 for moments and velocities, which are means over steps: their mean over shards is one, too;
* 1/2 for weights: the sum of m changes is too far, and their mean too short;
* 0 for weights with sums of squares, those of Adagrad.

For weights, s is

    (8 + n √r) / (8 + n),   r = min(1, Σ |c_k|² / |Σ c_k|²)

where c_k is the change of the row by shard k, and n how often the row was used, in the mean of the
shards. A row of the table is used by each of its lookups, one of the head by the examples of its
class. √r is 1/√m if all changes are the same, and 1 if they have nothing in common. Changes of many
steps are alike because each shard has gone the whole way by itself, so that their sum is too far.
Those of few steps are alike because the way is long: one machine would have gone on.

For weights with sums of squares, another factor of s is

    √((g + D / 2m) / (g + D / 2))

where g are the squares before the round, and D is the sum of what the shards have added to them.
One machine would have divided its steps by larger roots, as it adds the squares of all shards; the
root makes up for this at the middle of the round. In the first rounds it is 1/√m, later 1.

In the last round, weights with sums of squares become the mean of those of the shards, p = 1 and
s = 1: no later round would make up for a sum that is too far.

The rule was chosen on made texts and on names of cities; ``bench/README.md`` has the accuracies of
others. With √r for all rows, 16 shards of 600 classes were .023 less accurate than one machine, as
their rows moved too little; without it the losses rose after four passes over 45 classes. With s
of 1, those of Adam rose from the fifth pass on, to twice those of the first.

Sums are in float64, in the order of the shards' numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self, TypeVar

import numpy as np

from ebagx._core.levels import kernels
from ebagx._core.threads import thread_count
from ebagx._kernels.combine_reference import SHARE_MEAN, SHARE_ROOT, SHARE_SQUARES, SHARE_SUM
from ebagx.dask._round import Block, Piece
from ebagx.dask._spare import Spare
from ebagx.optim import Optimizer
from ebagx.optim.planning import rule_of

_FEW_USES = 8.0
_SQUARES = "squares"
_RULES = {
    _SQUARES: SHARE_SUM,
    "momentum_buffer": SHARE_MEAN,
    "exp_avg": SHARE_MEAN,
    "exp_avg_sq": SHARE_MEAN,
}
_NOTHING = np.empty((0, 0), np.float32)
_T = TypeVar("_T")


class Sharing(NamedTuple):
    """The rule by which the changes of several shards become that of a block."""

    rules: tuple[int, ...]  # of the kernel, for weights and states

    @classmethod
    def of(cls, optimizer: Optimizer) -> Self:
        """Return the rule for the steps of an optimizer."""
        states = rule_of(optimizer).states
        of_weights = SHARE_SQUARES if _SQUARES in states else SHARE_ROOT
        return cls((of_weights, *(_RULES[name] for name in states)))

    def of_last_round(self) -> Self:
        """Return the rule of the last round: weights with squares become means."""
        of_weights, *of_states = self.rules
        if of_weights == SHARE_SQUARES:
            of_weights = SHARE_MEAN
        return type(self)((of_weights, *of_states))


def combine(block: Block, sharing: Sharing, num_threads: int | None, *pieces: Piece) -> Block:
    """Return a block after a round.

    Parameters
    ----------
    block : Block
        The block before the round.
    sharing : Sharing
        The rule of its optimizer.
    num_threads : int or None
        Number of threads; None: as many as there are.
    *pieces : Piece
        The rows that each shard has trained, in the order of the shards' numbers.
    """
    spare = block.spare or Spare()
    new = tuple(spare.empty(number, old.shape) for number, old in enumerate(block.arrays))
    work = sum(piece.arrays[0].size for piece in pieces) + block.arrays[0].size
    kernels.combine_rows(
        *(_three(new, _NOTHING), _three(block.arrays, _NOTHING)),
        tuple(
            (piece.rows, piece.uses, _three(piece.arrays, _NOTHING), piece.decayed)
            for piece in pieces
        ),
        _three(sharing.rules, SHARE_SUM),
        *(_FEW_USES, thread_count(num_threads, work)),
    )
    return block._replace(arrays=new, spare=spare)


def _three(values: Sequence[_T], other: _T) -> tuple[_T, _T, _T]:
    """Return values for weights and two states, as the kernel takes them."""
    weights, first, second = (*values, other, other)[:3]
    return weights, first, second
