"""The tasks of rounds: which function of `_round` runs on which results of others.

A function `submit` runs them. It returns something that stands for the result, in the arguments of
later calls too: a future of Dask, or the result itself where a plain call runs the function.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ebagx._training.network import Floats, Layer
from ebagx.dask._calendar import Calendar
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import (
    Block,
    Piece,
    Recipe,
    Taken,
    Trained,
    bounds_of_blocks,
    joined,
    layer_block,
    layer_of,
    loss_of,
    piece_of,
    rows_by_block,
    train_part,
)
from ebagx.dask._shards import Columns, Part, sub
from ebagx.dask._storage import combine_block, start_block, take_rows

# It is called with a function and its arguments.
Submit = Callable[..., Any]


class Shard(NamedTuple):
    """The examples of a shard: those to train on, and those held out for early stopping."""

    part: Part
    held_out: Part | None

    def __repr__(self) -> str:
        return f"Shard({self.part.num_bags} bags)"


class Weights(NamedTuple):
    """The weights with which held-out examples are rated."""

    table: Floats
    layers: list[Layer]

    def __repr__(self) -> str:
        return f"Weights({len(self.table)} rows, {len(self.layers)} layers)"


class Model(NamedTuple):
    """A model between rounds: results of tasks, or what stands for them."""

    blocks: list[Any]
    layers: Any  # of a list of blocks

    def __repr__(self) -> str:
        return f"Model({len(self.blocks)} blocks)"


class Layout(NamedTuple):
    """Sizes of a training."""

    num_rows: int  # of the table
    dim: int
    num_blocks: int
    calendar: Calendar

    @property
    def bounds(self) -> Columns:
        """The bounds of the blocks."""
        return bounds_of_blocks(self.num_rows, self.num_blocks)


class Rounds:
    """The rounds of a training.

    Parameters
    ----------
    submit : callable
        ``submit(function, *args)`` runs a function on arguments.
    shards : sequence of Shard
        The data, or what stands for it.
    layout : Layout
        Sizes.
    recipe : Recipe
        Loss and optimizers.
    folder : callable, optional
        It returns the folder in which the blocks before a round are kept; without, they are
        results in memory.
    """

    def __init__(
        self,
        submit: Submit,
        shards: Sequence[Any],
        layout: Layout,
        recipe: Recipe,
        folder: Callable[[int], str] | None = None,
    ) -> None:
        self._submit, self._layout, self._recipe = submit, layout, recipe
        self._folder = folder
        self._bounds = layout.bounds
        self._parts = [submit(_part, shard) for k, shard in enumerate(shards)]
        self._held_out = [submit(_held_out, shard) for k, shard in enumerate(shards)]
        self._rows = self._rows_of(self._parts)
        self._held_out_rows: list[list[Any]] | None = None

    def _rows_of(self, parts: Sequence[Any]) -> list[list[Any]]:
        """Return for each part the rows that it touches in each block."""
        return [
            [
                self._submit(_rows_in_block, part, self._bounds, block)
                for block in range(self._layout.num_blocks)
            ]
            for k, part in enumerate(parts)
        ]

    def _place(self, number: int, block: int) -> tuple[str, str] | None:
        return None if self._folder is None else (self._folder(number), f"block-{block:05}")

    def start(self, layers: Sequence[Layer]) -> Model:
        """Return the model before the first round."""
        layout, (optimizer, *of_layers) = self._layout, self._recipe.optimizers
        blocks = [
            self._submit(
                *(start_block, self._place(0, block)),
                (int(self._bounds[block]), int(self._bounds[block + 1])),
                *(layout.dim, optimizer, self._recipe.seed),
                *(rows[block] for rows in self._rows),
            )
            for block in range(layout.num_blocks)
        ]
        own = [layer_block(*pair) for pair in zip(layers, of_layers, strict=True)]
        return Model(blocks, self._submit(_same, own))

    def play(
        self, model: Model, number: int, num_steps: int, is_last: bool = False
    ) -> tuple[Model, list[Any]]:
        """Return the model after a round, and the losses of the shards.

        Parameters
        ----------
        model : Model
            The model before the round.
        number : int
            The number of the round, from 0 on.
        num_steps : int
            Number of steps in all rounds before it.
        is_last : bool, default=False
            No round follows it.
        """
        layout, submit = self._layout, self._submit
        parts, rows = self._parts_of_round(number)
        epoch, of_pass, _ = layout.calendar.place(number)
        trained = [
            submit(
                *(train_part, part, self._bounds, model.layers, self._recipe),
                *((epoch, k, of_pass), num_steps, *self._taken(model, rows[k])),
            )
            for k, part in enumerate(parts)
        ]
        sharings = map(Sharing.of, self._recipe.optimizers)
        sharing, *of_layers = (each.of_last_round() if is_last else each for each in sharings)
        blocks = [
            submit(
                *(combine_block, self._place(number + 1, block), model.blocks[block]),
                *(sharing, self._recipe.num_threads),
                *(submit(piece_of, each, block) for k, each in enumerate(trained)),
            )
            for block in range(layout.num_blocks)
        ]
        pieces = [submit(_layer_pieces, each, layout.num_blocks) for k, each in enumerate(trained)]
        layers = submit(_combine_layers, model.layers, of_layers, *pieces)
        losses = [submit(loss_of, each) for k, each in enumerate(trained)]
        return Model(blocks, layers), losses

    def _parts_of_round(self, number: int) -> tuple[list[Any], list[list[Any]]]:
        """Return the parts on which a round trains, and their rows."""
        epoch, part, num_parts = self._layout.calendar.place(number)
        if num_parts == 1:
            return self._parts, self._rows
        parts = [
            self._submit(sub, shard, self._recipe.seed, epoch, k, part, num_parts)
            for k, shard in enumerate(self._parts)
        ]
        return parts, self._rows_of(parts)

    def _taken(self, model: Model, rows: Sequence[Any]) -> list[Any]:
        return [
            self._submit(take_rows, block, of_block)
            for number, (block, of_block) in enumerate(zip(model.blocks, rows, strict=True))
        ]

    def rate(self, model: Model, scorer: Callable[[Part, Weights], Any]) -> list[Any]:
        """Return for each shard what `scorer` makes of its held-out examples; None without any."""
        if self._held_out_rows is None:
            self._held_out_rows = self._rows_of(self._held_out)
        return [
            self._submit(rate, part, model.layers, scorer, *self._taken(model, rows))
            for k, (part, rows) in enumerate(zip(self._held_out, self._held_out_rows, strict=True))
        ]


def _same(value: Any) -> Any:
    return value


def _part(shard: Shard) -> Part:
    return shard.part


def _held_out(shard: Shard) -> Part | None:
    return shard.held_out


def _rows_in_block(part: Part | None, bounds: Columns, block: int) -> Columns:
    if part is None:
        return np.empty(0, np.int64)
    return rows_by_block(part.columns, bounds)[block]


def _layer_pieces(trained: Trained, num_blocks: int) -> tuple[Piece, ...]:
    return trained.pieces[num_blocks:]


def _combine_layers(
    layers: Sequence[Block], sharings: Sequence[Sharing], *pieces: Sequence[Piece]
) -> list[Block]:
    """Return the layers after a round."""
    of_layers = zip(*pieces, strict=True)
    return [
        combine(layer, sharing, 1, *given)  # too few rows for several threads
        for layer, sharing, given in zip(layers, sharings, of_layers, strict=True)
    ]


def rate(
    part: Part | None,
    layers: Sequence[Block],
    scorer: Callable[[Part, Weights], Any],
    *taken: Taken,
) -> Any:
    """Return what `scorer` makes of held-out examples, or None if there are none."""
    if part is None:
        return None
    layers_of_blocks = [layer_of(block) for block in layers]
    return scorer(part, Weights(joined(taken, 0), layers_of_blocks))
