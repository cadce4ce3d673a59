"""Pool the vectors of tokens to those of texts, and scale vectors to length 1."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ebagx._core.bags import Bags
from ebagx._core.modes import SUM, Mode
from ebagx._core.passes import forward
from ebagx._core.pieces import bag_ranges
from ebagx._core.table import Table
from ebagx.text.vectors.lookups import ALL_ONES
from ebagx.text.vectors.table_rows import are_extreme, row_lengths, take_rows, unit_rows

_CHARS_AT_ONCE = 1 << 19  # of texts; Ctrl-C takes effect between blocks

_Floats = npt.NDArray[np.float32]
_Int32 = npt.NDArray[np.int32]


def text_blocks(texts: Sequence[str]) -> Iterator[slice]:
    """Yield ranges of texts with a bounded number of characters, or of one text."""
    ends = np.cumsum([0, *map(len, texts)])
    for first, stop in bag_ranges(ends, 1, _CHARS_AT_ONCE) if texts else ():
        yield slice(first, stop)


def pool(bags: Bags, table: Table, mode: Mode, threads: int | None) -> _Floats:
    """Pool rows times weights: a mean divides by the number of rows, not by their weights."""
    if mode.is_extreme:
        factors = bags.weights[:, None] if len(bags.weights) else np.float32(1)
        table = Table(take_rows(table, bags.indices) * factors)
        places = np.arange(len(bags.indices), dtype=np.int32)
        bags = Bags(places, bags.offsets, ALL_ONES)
    pooled: _Floats
    pooled, _ = forward(bags, table, mode if mode.is_extreme else SUM, None, threads)
    if mode.norm is not None:
        counts = np.maximum(np.diff(bags.offsets), 1).astype(np.float32)[:, None]
        pooled /= counts if mode.norm == "l1" else np.sqrt(counts)
    return pooled


def unit_bags(
    indices: _Int32, offsets: _Int32, lengths: _Floats, table: Table
) -> tuple[Bags, Table]:
    """Return bags with weights that make unit vectors, without those of length 0.

    The table is another one if some length is too small or too large to divide by.
    """
    if not lengths.all():
        is_kept = lengths != 0
        before = np.zeros(len(indices) + 1, np.int32)
        np.cumsum(is_kept, out=before[1:])
        indices, offsets, lengths = indices[is_kept], before[offsets], lengths[is_kept]
    is_extreme = are_extreme(lengths)
    if is_extreme.any():
        indices, table = _with_unit_rows(indices, is_extreme, table)
        lengths = np.where(is_extreme, np.float32(1), lengths)
    return Bags(indices, offsets, np.reciprocal(lengths)), table


def _with_unit_rows(
    indices: _Int32, is_extreme: npt.NDArray[np.bool_], table: Table
) -> tuple[_Int32, Table]:
    """Return numbers of rows in a table of the same rows, some of which are scaled to length 1."""
    used, places = np.unique(indices, return_inverse=True)
    rows = take_rows(table, used)
    extreme = np.unique(places[is_extreme])
    rows[extreme] = unit_rows(rows[extreme])
    return places.astype(np.int32), Table(rows)


def unit(vector: _Floats) -> _Floats:
    """Return a vector divided by its Euclidean length, or as it is if that is 0."""
    scaled = vector[None].copy()
    scale_to_length_1(scaled)
    found: _Floats = scaled[0]
    return found


def scale_to_length_1(vectors: _Floats) -> None:
    """Divide each row, in place, by its Euclidean length; leave zeros alone."""
    lengths = row_lengths(vectors)
    is_extreme = are_extreme(lengths)
    vectors[is_extreme] = unit_rows(vectors[is_extreme])
    lengths[is_extreme | (lengths == 0)] = 1
    vectors /= lengths[:, None]
