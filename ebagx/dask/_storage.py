"""Blocks on disk, for tables that fit no single machine; each file appears when it is complete."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

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
from ebagx.io.npy import npy_chunks, npy_header
from ebagx.io.replaced_file import replaced_file
from ebagx.optim import Optimizer

_FLOAT32 = np.dtype("<f4")


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
        """Return the block, whose arrays are memory maps: only the rows in use are read.

        Raises
        ------
        FileNotFoundError, ValueError
            If a file has gone or is damaged; the text names it.
        """
        (num_rows, dim), (weights, *states) = self.shape, self.paths
        of_states = [self.shape, (num_rows, 1)]
        arrays = [_mapped(weights, [(num_rows, dim)])]
        return Block(self.first, (*arrays, *(_mapped(path, of_states) for path in states)))


def _mapped(path: str, shapes: Sequence[tuple[int, int]]) -> Floats:
    """Map an array of one of the shapes; no header is parsed."""
    with _opened_file(path) as file:
        start, size = file.read(1 << 10), os.fstat(file.fileno()).st_size
        for shape in shapes:
            header = npy_header(shape, _FLOAT32)
            if start.startswith(header) and size == len(header) + 4 * math.prod(shape):
                array: Floats = np.memmap(file, _FLOAT32, "r", len(header), shape)
                return array
    raise ValueError(f"{path}: damaged or incomplete: no array of float32 of shape {shapes[0]}")


def _opened_file(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} has gone: another fit with the same checkpoint removes the blocks of the one "
            "before; model.to_local() keeps them in memory"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of the text of an error."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def stored(block: Block, folder: str, name: str) -> StoredBlock:
    """Write a block to a folder, which is made if there is none."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for number, array in enumerate(block.arrays):
        path = Path(folder, f"{name}.{number}.npy")
        with replaced_file(path) as file:
            file.writelines(npy_chunks(array))
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
    num_rows = sum(block.num_rows for block in blocks)
    table: Floats = np.empty((num_rows, blocks[0].shape[1]), np.float32)
    ends = np.cumsum([block.num_rows for block in blocks]).tolist()
    for block, end in zip(blocks, ends, strict=True):  # one map at a time
        table[end - block.num_rows : end] = _mapped(block.paths[0], [block.shape])
    return table
