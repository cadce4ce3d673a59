"""Take Dask collections apart: their chunks, a first pass over y, and the shards they make."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from dask.delayed import Delayed
from scipy import sparse

import dask
from ebagx._core.bags import Bags
from ebagx.dask._features import features_of, is_collection, names_of
from ebagx.dask._rounds import Shard
from ebagx.dask._shards import part_of

WAY_OUT = "; EmbeddingBagClassifier and EmbeddingBagRegressor of ebagx.sklearn fit arrays in memory"


class Data(NamedTuple):
    """The chunks of X, y and the sample weights, which belong together one by one."""

    X: list[Delayed]
    y: list[Delayed]
    weights: list[Delayed | None]
    num_columns: int
    names: Any = None  # of the columns, for a dataframe

    def __repr__(self) -> str:
        return f"Data({len(self.X)} chunks, {self.num_columns} columns)"


class Slice(NamedTuple):
    """Some rows of a chunk."""

    chunk: int
    start: int
    stop: int


def data_of(X: Any, y: Any, sample_weight: Any) -> Data:
    """Return the chunks of collections of Dask.

    Raises
    ------
    TypeError
        If one of them is no collection of Dask.
    ValueError
        If X is cut along its columns or has an unknown number of them, or if chunks differ in
        length or number, where these are known.
    """
    for value, name in ((X, "X"), (y, "y")):
        if not is_collection(value):
            raise TypeError(
                f"{name} must be a collection of Dask, got {type(value).__name__}{WAY_OUT}"
            )
    names, X = names_of(X), features_of(X)
    blocks = _chunks(y, "y")
    _check_lengths(X, y, "y", len(blocks))
    weights: list[Delayed | None] = [None] * len(blocks)
    if sample_weight is not None:
        if not is_collection(sample_weight):
            name = type(sample_weight).__name__
            raise TypeError(f"sample_weight must be a collection of Dask, got {name}")
        weights = list(_chunks(sample_weight, "sample_weight"))
        _check_lengths(X, sample_weight, "sample_weight", len(weights))
    return Data([row[0] for row in _tasks(X).tolist()], blocks, weights, int(X.shape[1]), names)


def _tasks(values: Any) -> Any:
    """Return the chunks as tasks on the graph as it is.

    The scheduler takes other graphs of the same names, which an optimisation makes, for an error.
    """
    return values.to_delayed(optimize_graph=False)


def _chunks(values: Any, name: str) -> list[Delayed]:
    """Return the chunks of an array or a series along its first axis."""
    delayed = _tasks(values)
    if not isinstance(delayed, np.ndarray):
        return list(delayed)
    if delayed.ndim == 2 and delayed.shape[1] != 1:
        raise ValueError(
            f"{name} must be chunked along its rows only, got {delayed.shape[1]} chunks in a row: "
            f"{name}.rechunk({{1: -1}}) joins them"
        )
    chunks: list[Delayed] = delayed.reshape(len(delayed), -1)[:, 0].tolist()
    return chunks


def _check_lengths(X: Any, values: Any, name: str, num_chunks: int) -> None:
    if num_chunks != X.numblocks[0]:
        raise ValueError(
            f"{name} must have the {X.numblocks[0]} chunks of X, got {num_chunks}: "
            f"{name}.rechunk({{0: X.chunks[0]}}) makes them alike"
        )
    own = getattr(values, "chunks", None)
    if own is None:
        return
    for number, (rows, found) in enumerate(zip(X.chunks[0], own[0], strict=True)):
        if not (np.isnan(rows) or np.isnan(found) or rows == found):
            raise ValueError(
                f"{name} must have chunks of the lengths of those of X, got {found} rows in chunk "
                f"{number}, where X has {rows}: {name}.rechunk({{0: X.chunks[0]}}) makes them alike"
            )


def slices_of_shards(lengths: Sequence[int], num_shards: int | None) -> list[list[Slice]]:
    """Return the parts of chunks that each shard consists of.

    Parameters
    ----------
    lengths : sequence of int
        Number of rows of each chunk.
    num_shards : int or None
        Number of shards, which have equal numbers of rows; None: each chunk is one.
    """
    if num_shards is None:
        return [[Slice(chunk, 0, length)] for chunk, length in enumerate(lengths)]
    ends = np.cumsum([0, *lengths]).tolist()
    bounds = [ends[-1] * shard // num_shards for shard in range(num_shards + 1)]
    shards = []
    for first, stop in itertools.pairwise(bounds):
        cuts = [
            Slice(chunk, max(first, start) - start, min(stop, end) - start)
            for chunk, (start, end) in enumerate(itertools.pairwise(ends))
        ]
        shards.append([cut for cut in cuts if cut.start < cut.stop])
    return shards


def delayed_shards(
    template: Any, data: Data, slices: Sequence[Sequence[Slice]], lengths: Sequence[int], seed: int
) -> list[Delayed]:
    """Return the shards as tasks on the graphs of the collections."""
    make = dask.delayed(make_shard, pure=False)
    shared = dask.delayed(template)
    return [
        make(
            *(shared, shard, seed),
            [
                (cut, lengths[cut.chunk], *(chunks[cut.chunk] for chunks in data[:3]))
                for cut in cuts
            ],
        )
        for shard, cuts in enumerate(slices)
    ]


def make_shard(template: Any, number: int, seed: int, pieces: Sequence[Any]) -> Shard:
    """Return the examples of a shard, checked, without rows of weight 0.

    Parameters
    ----------
    template : estimator
        A local estimator, which knows the classes or the units of y.
    number, seed : int
        The number of the shard and the seed, for the choice of held-out rows.
    pieces : sequence of tuple
        For each part of a chunk: the slice, the chunk's length, and its X, y and weights.
    """
    X, y, weights = [], [], []
    for cut, length, features, targets, of_rows in pieces:
        for values, name in ((features, "X"), (targets, "y"), (of_rows, "sample_weight")):
            if values is not None and np.shape(values)[0] != length:
                raise ValueError(
                    f"{name} has {np.shape(values)[0]} rows in chunk {cut.chunk}, where y has "
                    f"{length}"
                )
        rows = slice(cut.start, cut.stop)
        X.append(features[rows])
        y.append(targets[rows])
        weights.append(None if of_rows is None else np.asarray(of_rows)[rows])
    examples = template.examples_of_shard(*_stacked(X, y, weights))
    examples, held_out = template.split_shard(examples, np.random.default_rng([seed, number]))
    assert isinstance(examples.bags, Bags)
    columns = template.n_features_in_
    return Shard(
        part_of(examples, columns), None if held_out is None else part_of(held_out, columns)
    )


def _stacked(X: list[Any], y: list[Any], weights: list[Any]) -> tuple[Any, Any, Any]:
    """Return the pieces of a shard as one matrix, its targets and weights; None: no rows."""
    if not X:
        return None, None, None
    return (
        _joined(X),
        _joined([values if sparse.issparse(values) else np.asarray(values) for values in y]),
        None if weights[0] is None else np.concatenate(weights),
    )


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts, format="csr")
    return np.concatenate(parts)


def num_bags_of(shard: Shard) -> int:
    """Return the number of examples that a shard trains on."""
    return shard.part.num_bags
