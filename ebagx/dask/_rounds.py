"""The tasks of rounds: which function of `_round` runs on which results of others.

A function `submit` runs them. It returns something that stands for the result, in the arguments of
later calls too: a future of Dask, or the result itself where a plain call runs the function.

Each task that waits for others costs about 5 ms, in which a worker may have nothing to do, as the
scheduler hears of results and sends new tasks every 2 ms only. A table in one block therefore goes
to the tasks that train as it is, with the layers, and their results to the one task that combines
them. With several blocks, tasks between these take the rows that travel.
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
    piece_of,
    rows_by_block,
    train_part,
)
from ebagx.dask._shards import Columns, Part, sub
from ebagx.dask._spare import Spare
from ebagx.dask._storage import StoredBlock, combine_block, start_block, take_rows

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


class Layers(NamedTuple):
    """The layers between rounds, and the losses of the shards in the round before."""

    blocks: list[Block]
    losses: tuple[float, ...] = ()

    def __repr__(self) -> str:
        return f"Layers({len(self.blocks)} of them)"


class LayerPieces(NamedTuple):
    """The layers that a shard has trained, and its loss."""

    pieces: tuple[Piece, ...]
    loss: float

    def __repr__(self) -> str:
        return f"LayerPieces({len(self.pieces)} layers)"


class Whole(NamedTuple):
    """A model between rounds whose table is one block."""

    block: Block | StoredBlock
    layers: Layers

    def __repr__(self) -> str:
        return f"Whole({self.block!r}, {self.layers!r})"


class Model(NamedTuple):
    """A model between rounds: results of tasks, or what stands for them.

    With one block, both parts are the same `Whole`.
    """

    blocks: list[Any]
    layers: Any

    @property
    def contents(self) -> tuple[list[Any], list[Block]]:
        """The blocks of the table and those of the layers, if the parts are results."""
        if isinstance(self.layers, Whole):
            return [self.layers.block], self.layers.layers.blocks
        return self.blocks, self.layers.blocks

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
        self._rows: list[list[Any]] = []
        self._rows = self._rows_of(self._parts)
        self._held_out_rows: list[list[Any]] | None = None

    def _rows_of(self, parts: Sequence[Any]) -> list[list[Any]]:
        """Return for each part the rows that it touches in each block."""
        if parts is self._parts and self._rows:
            return self._rows
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
        own = Layers([layer_block(*pair) for pair in zip(layers, of_layers, strict=True)])
        if self._is_whole:
            whole = self._submit(Whole, blocks[0], own)
            return Model([whole], whole)
        return Model(blocks, self._submit(_same, own))

    def placed(
        self,
        blocks: list[Any],
        layers: list[Block],
        scatter: Callable[[list[Any]], list[Any]],
    ) -> Model:
        """Return a model of blocks and layers in memory, or of the names of files.

        Parameters
        ----------
        blocks : list of Block or StoredBlock
            The table.
        layers : list of Block
            The layers.
        scatter : callable
            It makes what stands for each of some results.
        """
        if self._is_whole:
            (whole,) = scatter([Whole(blocks[0], Layers(layers))])
            return Model([whole], whole)
        if self._folder is None:
            blocks = scatter(blocks)
        return Model(blocks, scatter([Layers(layers)])[0])

    @property
    def _is_whole(self) -> bool:
        return self._layout.num_blocks == 1

    def play(
        self, model: Model, number: int, num_steps: int, is_last: bool = False
    ) -> tuple[Model, Any]:
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
        parts = self._parts_of_round(number)
        epoch, of_pass, _ = self._layout.calendar.place(number)
        how = [(self._recipe, (epoch, k, of_pass), num_steps) for k in range(len(parts))]
        every = map(Sharing.of, self._recipe.optimizers)
        sharings = [each.of_last_round() if is_last else each for each in every]
        play = self._play_whole if self._is_whole else self._play_blocks
        model = play(model, number + 1, parts, how, sharings)
        return model, self._submit(_losses, model.layers)

    def _play_whole(
        self,
        model: Model,
        following: int,
        parts: Sequence[Any],
        how: Sequence[tuple[Any, ...]],
        sharings: Sequence[Sharing],
    ) -> Model:
        submit, before = self._submit, model.layers
        trained = [
            submit(_train_whole, part, before, *of_shard)
            for part, of_shard in zip(parts, how, strict=True)
        ]
        place = self._place(following, 0)
        whole = submit(
            *(_combine_whole, place, before, sharings, self._recipe.num_threads),
            *trained,
        )
        return Model([whole], whole)

    def _play_blocks(
        self,
        model: Model,
        following: int,
        parts: Sequence[Any],
        how: Sequence[tuple[Any, ...]],
        sharings: Sequence[Sharing],
    ) -> Model:
        submit, num_blocks = self._submit, self._layout.num_blocks
        trained = [
            submit(
                *(_train_blocks, part, self._bounds, model.layers, *of_shard),
                *self._taken(model, rows),
            )
            for part, rows, of_shard in zip(parts, self._rows_of(parts), how, strict=True)
        ]
        blocks = [
            submit(
                *(combine_block, self._place(following, block), model.blocks[block]),
                *(sharings[0], self._recipe.num_threads),
                *(submit(piece_of, each, block) for k, each in enumerate(trained)),
            )
            for block in range(num_blocks)
        ]
        pieces = [submit(_layer_pieces, each, num_blocks) for k, each in enumerate(trained)]
        return Model(blocks, submit(_combine_layers, model.layers, sharings[1:], *pieces))

    def _parts_of_round(self, number: int) -> list[Any]:
        """Return the parts on which a round trains."""
        epoch, part, num_parts = self._layout.calendar.place(number)
        if num_parts == 1:
            return self._parts
        return [
            self._submit(sub, shard, self._recipe.seed, epoch, k, part, num_parts)
            for k, shard in enumerate(self._parts)
        ]

    def _taken(self, model: Model, rows: Sequence[Any]) -> list[Any]:
        return [
            self._submit(take_rows, block, of_block)
            for number, (block, of_block) in enumerate(zip(model.blocks, rows, strict=True))
        ]

    def rate(self, model: Model, scorer: Callable[[Part, Weights], Any]) -> list[Any]:
        """Return for each shard what `scorer` makes of its held-out examples; None without any."""
        if self._is_whole:
            return [
                self._submit(_rate_whole, part, model.layers, scorer)
                for k, part in enumerate(self._held_out)
            ]
        if self._held_out_rows is None:
            self._held_out_rows = self._rows_of(self._held_out)
        return [
            self._submit(_rate, part, model.layers, scorer, *self._taken(model, rows))
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


def _train_whole(
    part: Part, whole: Whole, recipe: Recipe, place: tuple[int, int, int], num_steps: int
) -> Trained:
    """Train on a part of a shard; see `train_part`."""
    block, bounds = whole.block, bounds_of_blocks(whole.block.num_rows, 1)
    taken = take_rows(block, part.columns)
    return train_part(part, bounds, whole.layers.blocks, recipe, place, num_steps, taken)


def _train_blocks(
    part: Part,
    bounds: Columns,
    layers: Layers,
    recipe: Recipe,
    place: tuple[int, int, int],
    num_steps: int,
    *taken: Taken,
) -> Trained:
    """Train on a part of a shard; see `train_part`."""
    return train_part(part, bounds, layers.blocks, recipe, place, num_steps, *taken)


def _layer_pieces(trained: Trained, num_blocks: int) -> LayerPieces:
    return LayerPieces(trained.pieces[num_blocks:], trained.loss)


def _losses(layers: Layers | Whole) -> tuple[float, ...]:
    """Return the losses of the shards, so that nothing else travels to the driver."""
    return layers.layers.losses if isinstance(layers, Whole) else layers.losses


def _combine_layers(layers: Layers, sharings: Sequence[Sharing], *pieces: LayerPieces) -> Layers:
    """Return the layers after a round."""
    of_layers = zip(*(each.pieces for each in pieces), strict=True)
    blocks = [
        combine(layer, sharing, 1, *given)  # too few rows for several threads
        for layer, sharing, given in zip(layers.blocks, sharings, of_layers, strict=True)
    ]
    return Layers(blocks, tuple(each.loss for each in pieces))


def _combine_whole(
    place: tuple[str, str] | None,
    whole: Whole,
    sharings: Sequence[Sharing],
    num_threads: int | None,
    *trained: Trained,
) -> Whole:
    """Return the model after a round."""
    pieces = (piece_of(each, 0) for each in trained)
    block = combine_block(place, whole.block, sharings[0], num_threads, *pieces)
    of_layers = (_layer_pieces(each, 1) for each in trained)
    return Whole(block, _combine_layers(whole.layers, sharings[1:], *of_layers))


def _rate(
    part: Part | None,
    layers: Layers,
    scorer: Callable[[Part, Weights], Any],
    *taken: Taken,
) -> Any:
    """Return what `scorer` makes of held-out examples, or None if there are none."""
    if part is None:
        return None
    return scorer(
        part, Weights(joined(taken, 0, Spare()), [layer_of(block) for block in layers.blocks])
    )


def _rate_whole(part: Part | None, whole: Whole, scorer: Callable[[Part, Weights], Any]) -> Any:
    """Return what `scorer` makes of held-out examples, or None if there are none."""
    if part is None:
        return None
    return _rate(part, whole.layers, scorer, take_rows(whole.block, part.columns))
