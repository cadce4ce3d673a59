"""One round of training, as pure functions: arrays in, new arrays out.

A model is kept in blocks, which are ranges of the table's rows with their optimizer state; each
layer is one block more. In a round, each shard takes the rows that its examples touch from the
blocks, and trains on them as a model of its own; `_combine` makes the next blocks of these rows.
Each shard counts its steps from the largest count of all shards, so that schedules and Adam's
corrections go on. Neither the number of blocks nor the place where a function runs changes a bit
of the result.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.memory import aligned_zeros
from ebagx._training.loop import make_one_pass
from ebagx._training.losses import Loss
from ebagx._training.negatives import Drawing
from ebagx._training.network import Floats, Layer, Network
from ebagx.dask._shards import Columns, Part, order_of_pass
from ebagx.dask._spare import Spare
from ebagx.optim import Optimizer
from ebagx.optim.planning import rule_of

_FLOAT32 = np.dtype(np.float32)
_BYTES_OF_FLOAT = 4
_ROWS_OF_NUMBERS = 256  # rows whose first numbers are drawn at once

Arrays = tuple[Floats, ...]  # weights, then the states of the optimizer's rule


class Block(NamedTuple):
    """Some rows of the table, or a layer with its intercept as last column, and their state."""

    first: int  # row of the table
    arrays: Arrays
    spare: Spare | None = None  # for the arrays of the block after the next round

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.arrays[0])

    def __repr__(self) -> str:
        return f"Block({self.num_rows} rows from {self.first} on)"


class Piece(NamedTuple):
    """The rows of a block that a shard has trained."""

    rows: Columns  # (u,), ascending positions in the block
    arrays: Arrays  # u rows each
    uses: Floats  # (u,): number of lookups of each row, or of examples of each class
    decayed: float = 1.0  # factor by which the steps have decayed weights

    def __repr__(self) -> str:
        return f"Piece({len(self.rows)} rows)"


class Trained(NamedTuple):
    """Result of the training of a shard in a round."""

    pieces: tuple[Piece, ...]  # one for each block of the table, then one for each layer
    loss: float  # sum over the examples

    def __repr__(self) -> str:
        return f"Trained({len(self.pieces)} pieces)"


class Recipe(NamedTuple):
    """The part of a training that is the same for all shards and rounds."""

    loss: Loss
    optimizers: Sequence[Optimizer]  # for the table, and for each layer
    batch_size: int
    seed: int
    negatives: int | None = None
    num_threads: int | None = None

    def __repr__(self) -> str:
        return f"Recipe({self.optimizers[0]!r}, batches of {self.batch_size})"


def bounds_of_blocks(num_rows: int, num_blocks: int) -> Columns:
    """Return the first row of each block (J,) and, after them, the number of rows."""
    return np.arange(num_blocks + 1, dtype=np.int64) * num_rows // num_blocks


def rows_by_block(columns: Columns, bounds: Columns) -> list[Columns]:
    """Return for each block the positions of its rows that a part touches."""
    cuts = np.searchsorted(columns, bounds)
    return [
        columns[cuts[block] : cuts[block + 1]] - bounds[block] for block in range(len(bounds) - 1)
    ]


def initial_block(
    bounds: tuple[int, int],
    dim: int,
    rows_of_shards: Sequence[Columns],
    optimizer: Optimizer,
    seed: int,
) -> Block:
    """Return a block before the first round: fastText's start in the rows that some shard has.

    The numbers of a row depend on the seed and on the row alone, and are uniform in (-1/D, 1/D).
    Rows that occur nowhere are zeros and take no memory.
    """
    first, stop = bounds
    used = np.zeros(stop - first, bool)
    for rows in rows_of_shards:
        used[rows] = True
    weights = aligned_zeros((stop - first, dim), _FLOAT32)
    rows = np.flatnonzero(used)
    starts = np.unique((rows + first) // _ROWS_OF_NUMBERS) * _ROWS_OF_NUMBERS
    for start in starts.tolist():
        low, high = max(start, first), min(start + _ROWS_OF_NUMBERS, stop)
        chosen = used[low - first : high - first]
        numbers = _numbers_of_rows(start, dim, seed)[low - start : high - start]
        weights[low - first : high - first][chosen] = numbers[chosen]
    return Block(first, (weights, *initial_states(optimizer, weights)))


def _numbers_of_rows(start: int, dim: int, seed: int) -> Floats:
    """Return the first numbers of the rows from `start`, a multiple of `_ROWS_OF_NUMBERS`, on."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, start, 0, 0]))
    numbers = generator.random((_ROWS_OF_NUMBERS, dim), np.float32)
    return (2 * numbers - 1) / np.float32(dim)


def layer_block(layer: Layer, optimizer: Optimizer) -> Block:
    """Return a layer before the first round."""
    weights = np.column_stack(layer)
    return Block(0, (weights, *initial_states(optimizer, weights)))


def layer_of(block: Block) -> Layer:
    """Return the layer in a block."""
    weights = block.arrays[0]
    return Layer(weights[:, :-1].copy(), weights[:, -1].copy())


def initial_states(optimizer: Optimizer, weights: Floats) -> Arrays:
    """Return the states of the optimizer's rule before the first step."""
    rule, value = rule_of(optimizer), _initial_value(optimizer)
    states = [aligned_zeros(rule.state_shape(weights.shape), _FLOAT32) for _ in rule.states]
    if value:
        for state in states:
            state += value
    return tuple(states)


def _initial_value(optimizer: Optimizer) -> float:
    return float(getattr(optimizer, "initial_accumulator_value", 0.0))


class Taken:
    """Some rows of a block, which are copied when they travel, or into the memory of a training.

    Parameters
    ----------
    arrays : tuple of ndarray
        Those of the block.
    rows : ndarray of shape (u,) or None
        Positions in the block; None: all rows, as there is nothing else in the arrays.
    """

    def __init__(self, arrays: Arrays, rows: Columns | None) -> None:
        self._arrays, self._rows = arrays, rows

    def __len__(self) -> int:
        return len(self._arrays[0]) if self._rows is None else len(self._rows)

    @property
    def dims(self) -> list[int]:
        """Number of columns of each array."""
        return [array.shape[1] for array in self._arrays]

    def write(self, number: int, out: Floats) -> None:
        """Write the rows of one of the arrays to another one."""
        if self._rows is None:
            out[...] = self._arrays[number]
        else:
            np.take(self._arrays[number], self._rows, axis=0, out=out, mode="clip")

    def copied(self) -> Arrays:
        """Return copies of the rows of all arrays."""
        return tuple(joined([self], number, Spare()) for number in range(len(self._arrays)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.copied(), None)

    def __sizeof__(self) -> int:
        return _BYTES_OF_FLOAT * len(self) * sum(self.dims)


def take(block: Block, rows: Columns) -> Taken:
    """Return some rows of a block, which must not change."""
    return Taken(block.arrays, rows)


def train_part(
    part: Part,
    bounds: Columns,
    layers: Sequence[Block],
    recipe: Recipe,
    place: tuple[int, int, int],
    num_steps: int,
    *taken: Taken,
) -> Trained:
    """Make one pass over a part of a shard, on the rows that it has taken.

    Parameters
    ----------
    part : Part
        The examples.
    bounds : ndarray of shape (J + 1,)
        The bounds of the blocks.
    layers : sequence of Block
        The layers before the round.
    recipe : Recipe
        Loss, optimizers and sizes.
    place : tuple of int
        The pass, the shard and the round in the pass, for random numbers.
    num_steps : int
        Number of steps taken before this round.
    *taken : Taken
        For each block the rows that `rows_by_block` names, as `take` returns them.

    Returns
    -------
    Trained
        Its pieces have no rows if the part has no examples.
    """
    rows = rows_by_block(part.columns, bounds)
    if not part.num_bags:
        return _untouched(rows, layers, taken)
    spare = part.spare or Spare()
    weights, *states = (joined(taken, number, spare) for number in range(len(taken[0].dims)))
    own = [tuple(array.copy() for array in block.arrays) for block in layers]
    every = [(weights, *states), *own]
    optimizers = [
        _continued(optimizer, arrays[1:], num_steps)
        for optimizer, arrays in zip(recipe.optimizers, every, strict=True)
    ]
    network = Network(
        *(weights, [layer_of(block) for block in layers], optimizers),
        *(np.arange(len(weights)), recipe.num_threads),
    )
    loss = _pass_over(network, part, recipe, place)
    trained = [
        (array, *_states_of(optimizer))
        for array, optimizer in zip([weights, *network.weights], optimizers, strict=True)
    ]
    decayed = [float(np.exp(optimizer.state_dict()["decay_total"])) for optimizer in optimizers]
    return Trained(_pieces(rows, _all_uses(part, trained), trained, decayed), loss)


def _untouched(rows: list[Columns], layers: Sequence[Block], taken: Sequence[Taken]) -> Trained:
    none = [tuple(array[:0] for array in block.arrays) for block in layers]
    pieces = zip(
        [*rows, *(np.empty(0, np.int64) for _ in layers)],
        [*(of_block.copied() for of_block in taken), *none],
        strict=True,
    )
    return Trained(tuple(Piece(*pair, np.empty(0, np.float32)) for pair in pieces), 0.0)


def joined(taken: Sequence[Taken], number: int, spare: Spare) -> Floats:
    """Return the rows of several blocks, in an array that training may change."""
    ends = np.cumsum([0, *map(len, taken)]).tolist()
    out = spare.empty(number, (ends[-1], taken[0].dims[number]))
    for of_block, (start, stop) in zip(taken, pairwise(ends), strict=True):
        of_block.write(number, out[start:stop])
    return out


def _all_uses(part: Part, trained: Sequence[Arrays]) -> list[Floats]:
    """Return how often a part uses the rows of the table and of each layer.

    Every example uses all rows of a layer. But most of what changes the row of a class are its own
    examples, which count in its place.
    """
    targets: Any = part.examples.targets
    of_layers = [np.full(len(arrays[0]), part.num_bags, np.float32) for arrays in trained[1:]]
    if not isinstance(targets, np.ndarray):
        of_classes = np.bincount(targets.indices, minlength=len(of_layers[-1]))
        of_layers[-1] = of_classes.astype(np.float32)
    return [part.uses, *of_layers]


def _continued(optimizer: Optimizer, states: Sequence[Floats], num_steps: int) -> Optimizer:
    """Return an optimizer that goes on with these states after so many steps."""
    entries = optimizer.fresh().state_dict()
    entries["num_steps"] = num_steps
    entries.update(zip(rule_of(optimizer).states, states, strict=True))
    copy = optimizer.fresh()
    copy.load_state_dict(entries, copy=False)
    return copy


def _states_of(optimizer: Optimizer) -> Arrays:
    entries = optimizer.state_dict()
    return tuple(entries[name] for name in rule_of(optimizer).states)


def _pass_over(network: Network, part: Part, recipe: Recipe, place: tuple[int, int, int]) -> float:
    """Make the pass; return the sum of the losses, NaN if a weight is no finite number."""
    epoch, shard, number = place
    drawing, order = None, part.order
    if order is None:
        order = order_of_pass(part.num_bags, recipe.seed, epoch, shard)
    num_classes = part.examples.targets.shape[1]
    if recipe.negatives is not None and recipe.negatives < num_classes:
        rng = np.random.default_rng([recipe.seed, epoch, shard, number])
        drawing = Drawing(recipe.negatives, int(rng.integers(2**63)))
    loss = make_one_pass(network, recipe.loss, part.examples, order, recipe.batch_size, drawing)
    return loss if network.is_finite() else float("nan")


def _pieces(
    rows: list[Columns],
    uses: Sequence[Floats],
    trained: Sequence[Arrays],
    decayed: Sequence[float],
) -> tuple[Piece, ...]:
    """Return the rows of the table in pieces, one for each block, and all rows of the layers."""
    ends = np.cumsum([0, *map(len, rows)]).tolist()
    of_table = [tuple(array[start:stop] for array in trained[0]) for start, stop in pairwise(ends)]
    positions = [*rows, *(np.arange(len(arrays[0]), dtype=np.int64) for arrays in trained[1:])]
    uses_of_table = [uses[0][start:stop] for start, stop in pairwise(ends)]
    factors = [decayed[0]] * len(rows) + list(decayed[1:])
    every = positions, (*of_table, *trained[1:]), (*uses_of_table, *uses[1:]), factors
    return tuple(Piece(*each) for each in zip(*every, strict=True))


def piece_of(trained: Trained, number: int) -> Piece:
    """Return one of the pieces, so that no other travels to the task that combines it."""
    return trained.pieces[number]
