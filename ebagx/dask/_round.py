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
from typing import NamedTuple

import numpy as np

from ebagx._core.memory import aligned_empty, aligned_zeros
from ebagx._training.loop import make_one_pass
from ebagx._training.losses import Loss
from ebagx._training.negatives import Drawing
from ebagx._training.network import Floats, Layer, Network
from ebagx.dask._shards import Columns, Part, order_of_pass
from ebagx.optim import Optimizer
from ebagx.optim.planning import rule_of

_FLOAT32 = np.dtype(np.float32)
_CACHED_BYTES = 1 << 17
_ROWS_OF_NUMBERS = 256  # rows whose first numbers are drawn at once

Arrays = tuple[Floats, ...]  # weights, then the states of the optimizer's rule


class Block(NamedTuple):
    """Some rows of the table, or a layer with its intercept as last column, and their state."""

    first: int  # row of the table
    arrays: Arrays

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
    lengths: Floats  # (u,), of the changes of the weights, squared
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


def take(block: Block, rows: Columns) -> Arrays:
    """Return copies of some rows of a block."""
    return tuple(_taken(array, rows) for array in block.arrays)


def _taken(array: Floats, rows: Columns) -> Floats:
    out = aligned_empty((len(rows), array.shape[1]), _FLOAT32)
    return np.take(array, rows, axis=0, out=out, mode="clip")


def train_part(
    part: Part,
    bounds: Columns,
    layers: Sequence[Block],
    recipe: Recipe,
    place: tuple[int, int, int],
    num_steps: int,
    *taken: Arrays,
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
    *taken : tuple of ndarray
        For each block the rows that `rows_by_block` names, as `take` returns them.

    Returns
    -------
    Trained
        Its pieces have no rows if the part has no examples.
    """
    rows = rows_by_block(part.columns, bounds)
    if not part.num_bags:
        return _untouched(rows, layers, taken)
    weights, *states = (_joined(arrays) for arrays in zip(*taken, strict=True))
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
    before = [arrays[0] for arrays in (*taken, *(block.arrays for block in layers))]
    return Trained(_pieces(rows, before, trained, decayed), loss)


def _untouched(rows: list[Columns], layers: Sequence[Block], taken: Sequence[Arrays]) -> Trained:
    none = tuple(tuple(array[:0] for array in block.arrays) for block in layers)
    nowhere = [*rows, *(np.empty(0, np.int64) for _ in layers)]
    pieces = zip(nowhere, (*taken, *none), strict=True)
    return Trained(tuple(Piece(*pair, np.zeros(len(pair[0]), np.float32)) for pair in pieces), 0.0)


def _joined(arrays: Sequence[Floats]) -> Floats:
    """Return the rows of several arrays, in an array that training may change."""
    out = aligned_empty((sum(map(len, arrays)), arrays[0].shape[1]), _FLOAT32)
    return np.concatenate(arrays, out=out)


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
    before: Sequence[Floats],
    trained: Sequence[Arrays],
    decayed: Sequence[float],
) -> tuple[Piece, ...]:
    """Return the rows of the table in pieces, one for each block, and all rows of the layers."""
    ends = np.cumsum([0, *map(len, rows)]).tolist()
    of_table = [tuple(array[start:stop] for array in trained[0]) for start, stop in pairwise(ends)]
    positions = [*rows, *(np.arange(len(arrays[0])) for arrays in trained[1:])]
    factors = [decayed[0]] * len(rows) + list(decayed[1:])
    every = zip(positions, (*of_table, *trained[1:]), before, factors, strict=True)
    return tuple(
        Piece(place, arrays, squared_lengths(arrays[0], old, factor), factor)
        for place, arrays, old, factor in every
    )


def squared_lengths(new: Floats, old: Floats, factor: float = 1.0) -> Floats:
    """Return the squared length of ``new - factor * old`` for each row."""
    lengths = np.empty(len(new), np.float32)
    at_once = max(1, _CACHED_BYTES // (4 * new.shape[1]))
    for start in range(0, len(new), at_once):
        few = slice(start, start + at_once)
        changes = new[few] - (old[few] if factor == 1 else np.float32(factor) * old[few])
        np.add.reduce(np.square(changes, out=changes), axis=1, out=lengths[few])
    return lengths


def piece_of(trained: Trained, number: int) -> Piece:
    """Return one of the pieces, so that no other travels to the task that combines it."""
    return trained.pieces[number]


def loss_of(trained: Trained) -> float:
    """Return the sum of the losses."""
    return trained.loss
