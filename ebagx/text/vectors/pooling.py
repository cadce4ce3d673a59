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
from ebagx.text.vectors.table_rows import row_lengths, take_rows

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


def unit_weights(
    indices: _Int32, offsets: _Int32, lengths: _Floats
) -> tuple[_Int32, _Int32, _Floats]:
    """Return lookups with weights that make unit vectors, without those of length 0."""
    if not lengths.all():
        is_kept = lengths > 0
        before = np.zeros(len(indices) + 1, np.int32)
        np.cumsum(is_kept, out=before[1:])
        indices, offsets, lengths = indices[is_kept], before[offsets], lengths[is_kept]
    return indices, offsets, np.reciprocal(lengths)


def unit(vector: _Floats) -> _Floats:
    """Return a vector divided by its Euclidean length, or as it is if that is 0."""
    (length,) = row_lengths(vector[None])
    return vector / length if length else vector


def scale_to_length_1(vectors: _Floats) -> None:
    """Divide each row, in place, by its Euclidean length; leave zeros alone."""
    lengths = row_lengths(vectors)
    lengths[lengths == 0] = 1
    vectors /= lengths[:, None]
