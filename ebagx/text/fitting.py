"""Smaller models that fit in a given number of bytes."""

from collections.abc import Iterator

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

_Intp = npt.NDArray[np.intp]


def fitting_models(model: TextModel, num_bytes: int, counts: _Intp) -> Iterator[TextModel]:
    """Yield models of 8, 4 and 2 bits whose saved files have at most so many bytes.

    Each keeps as many features as fit, the most important where so many lines have each; after a
    model that keeps all of them comes no other.

    Raises
    ------
    ValueError
        If not even one feature fits.
    """
    order = by_importance(model, counts)
    for bits in BITS:
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
        most = max(num_bytes // RowFormat(bits, HALF).row_bytes(model.dim), 1)
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
        """Return the largest model that fits; one of one feature has `least` bytes.

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
