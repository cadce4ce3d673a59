"""Blocks on disk, for tables that fit no single machine; each file appears when it is complete."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ebagx._training.network import Floats
from ebagx.dask._combine import Sharing, combine
from ebagx.dask._round import (
    Block,
    Piece,
    Taken,
    initial_block,
    rows_by_block,
    take,
)
from ebagx.dask._shards import Columns
from ebagx.io.replaced_file import replaced_file
from ebagx.optim import Optimizer


class StoredBlock(NamedTuple):
    """A block in files, one for each of its arrays, which all machines see."""

    first: int  # row of the table
    shape: tuple[int, int]
    paths: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def opened(self) -> Block:
        """Return the block, whose arrays are memory maps: only the rows in use are read."""
        return Block(self.first, tuple(_loaded(path, "r") for path in self.paths))


def stored(block: Block, folder: str, name: str) -> StoredBlock:
    """Write a block to a folder, which is made if there is none."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for number, array in enumerate(block.arrays):
        path = Path(folder, f"{name}.{number}.npy")
        with replaced_file(path) as file:
            np.save(file, array, allow_pickle=False)
        paths.append(str(path))
    weights: Any = block.arrays[0]
    return StoredBlock(block.first, weights.shape, tuple(paths))


def opened(block: Block | StoredBlock) -> Block:
    """Return a block with arrays, in memory or mapped."""
    return block.opened() if isinstance(block, StoredBlock) else block


def kept(block: Block, place: tuple[str, str] | None) -> Block | StoredBlock:
    """Return a block as it is, or written to a folder under a name if there is such a place."""
    return block if place is None else stored(block, *place)


def start_block(
    place: tuple[str, str] | None,
    bounds: tuple[int, int],
    dim: int,
    optimizer: Optimizer,
    seed: int,
    *rows_of_shards: Columns,
) -> Block | StoredBlock:
    """Return a block before the first round; see `initial_block`."""
    return kept(initial_block(bounds, dim, rows_of_shards, optimizer, seed), place)


def take_rows(block: Block | StoredBlock, rows: Columns) -> Taken:
    """Return some rows of a block; those of files are read now, as rounds remove old files."""
    taken = take(opened(block), rows)
    return Taken(taken.copied(), None) if isinstance(block, StoredBlock) else taken


def combine_block(
    place: tuple[str, str] | None,
    block: Block | StoredBlock,
    sharing: Sharing,
    num_threads: int | None,
    *pieces: Piece,
) -> Block | StoredBlock:
    """Return a block after a round; see `combine`."""
    return kept(combine(opened(block), sharing, num_threads, *pieces), place)


def take_from_blocks(blocks: Sequence[StoredBlock], columns: Columns) -> Floats:
    """Return some rows of the table, of which only these are read."""
    bounds = np.array([block.first for block in blocks] + [blocks[-1].first + blocks[-1].num_rows])
    rows = rows_by_block(columns, bounds)
    parts = [
        take(block._replace(paths=block.paths[:1]).opened(), of_block).copied()[0]
        for block, of_block in zip(blocks, rows, strict=True)
        if len(of_block)
    ]
    return np.concatenate(parts) if parts else np.empty((0, blocks[0].shape[1]), np.float32)


def table_of_blocks(blocks: Sequence[StoredBlock]) -> Floats:
    """Return the whole table in memory."""
    return np.concatenate([_loaded(block.paths[0], None) for block in blocks])


def _loaded(path: str, mode: Literal["r"] | None) -> Any:
    """Return the array in a file, which may have gone."""
    try:
        return np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} has gone: another fit with the same checkpoint removes the blocks of the one "
            "before; model.to_local() keeps them in memory"
        ) from error
