"""Smaller models that fit in a given number of bytes."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from ebagx._core.quantized.formats import BITS, HALF, RowFormat
from ebagx._core.quantized.packed import PackedRows
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table
from ebagx.io.model_folder import saved_size
from ebagx.quantized import QuantizedTable, quantize, table_of_rows
from ebagx.text.model import TextModel
from ebagx.text.small import by_importance, sorted_rows, with_rows

# Rows, at most and of all, to estimate how long all of them take.
_SAMPLE, _PART = 2048, 16

_Intp = npt.NDArray[np.intp]


def fitting_models(
    model: TextModel,
    num_bytes: int,
    counts: _Intp,
    is_in_time: Callable[[float], bool] = lambda _: True,
) -> Iterator[TextModel]:
    """Yield models of 8, 4 and 2 bits whose saved files have at most so many bytes.

    Each keeps as many features as fit, the most important where so many lines have each; after a
    model that keeps all of them comes no other. `is_in_time` is asked before each but the first
    whether there are about so many seconds to make it; if not, there are no more.

    Raises
    ------
    ValueError
        If not even one feature fits.
    """
    order = by_importance(model, counts)
    reduction: _Reduction | None = None
    for bits in BITS:
        if reduction is not None and not is_in_time(reduction.seconds_of(bits)):
            return
        reduction = _Reduction(model, order, bits, num_bytes)
        smallest = reduction.model(1)
        least = saved_size(smallest)
        if least > num_bytes:
            raise ValueError(
                f"no model of {model.dim} dimensions fits in {num_bytes:,} bytes: one feature and "
                f"the {len(model.labels):,} labels take {least:,}; fewer dimensions take less"
            )
        yield reduction.largest(num_bytes, least)
        if reduction.has_all:
            return


class _Reduction:
    """The models that keep the first features of an order, as many as could fit in some bytes."""

    def __init__(self, model: TextModel, order: _Intp, bits: int, num_bytes: int) -> None:
        self._num_bytes, self._search_seconds = num_bytes, 0.0
        most = self._most(bits, model.dim)
        self.has_all = False
        self._model, self._order = model, order[:most]
        self._num_features = len(order)
        self._table = quantize(model.trainable_weights()[0][self._order], bits)
        self._places = np.empty(len(order), np.intp)
        self._places[self._order] = np.arange(len(self._order))

    def model(self, count: int) -> TextModel:
        """Return the model of the first `count` features."""
        kept = sorted_rows(self._model, self._order[:count])
        return with_rows(self._model, kept, _selected(self._table, self._places[kept]))

    def largest(self, num_bytes: int, least: int) -> TextModel:
        """Return the largest model that fits; one of one feature has `least` bytes."""
        start = time.monotonic()
        found = self._search(num_bytes, least)
        self._search_seconds = time.monotonic() - start
        return found

    def seconds_of(self, bits: int) -> float:
        """Return about how long models of other bits take after this one: see `quantize`.

        The scales of 4 and 2 bits are searched for, which takes 15 times as long as those of 8.
        """
        most = min(self._most(bits, self._model.dim), self._num_features)
        sample = self._order[: min(_SAMPLE, 1 + most // _PART)]
        some = self._model.trainable_weights()[0][sample]
        start = time.monotonic()
        quantize(some, bits)
        per_row = (time.monotonic() - start) / len(some)
        return most * (per_row + self._search_seconds / len(self._order))

    def _most(self, bits: int, dim: int) -> int:
        return max(self._num_bytes // RowFormat(bits, HALF).row_bytes(dim), 1)

    def _search(self, num_bytes: int, least: int) -> TextModel:
        """Return the largest model that fits.

        Bytes are nearly in proportion to features, so that two to four models are made, each at
        least a hundredth smaller than the one before.
        """
        count = len(self._order)
        while True:
            found = self.model(count)
            size = saved_size(found)
            if size <= num_bytes:
                self.has_all = count == self._num_features
                return found
            in_proportion = count * (num_bytes - least) // (size - least)
            count = max(min(in_proportion, count - count // 100 - 1), 1)


def _selected(table: QuantizedTable, rows: _Intp) -> QuantizedTable:
    codes = Table.of(table)
    assert isinstance(codes, CodeTable)
    packed = codes.packed
    return table_of_rows(PackedRows(packed.array[rows], packed.format, packed.dim, packed.is_exact))
