"""`CodeTable` is a quantised table as the passes see it: a `Table` that is only read."""

from typing import Any, NoReturn

import numpy as np

from ebagx._core import gather
from ebagx._core.checks import check_table_dtype
from ebagx._core.levels import kernels
from ebagx._core.maps import MapAdvice
from ebagx._core.memory import check_mapped
from ebagx._core.quantized.formats import FLOAT
from ebagx._core.quantized.packed import PackedRows
from ebagx._core.table import ALL_COLUMNS, Table


class CodeTable(Table):
    """The rows of a quantised table for the passes.

    Sums are computed from the codes; the modes max and min, and gradients of weights, from values
    of a megabyte of rows at a time. Whatever would change the table is a TypeError.

    Parameters
    ----------
    weight : QuantizedTable
        The caller's table, which has `packed`.
    name : str
        Its name in error messages.
    """

    __slots__ = ("_packed", "_weight", "layout")

    def __init__(self, weight: Any, name: str = "weight") -> None:
        packed: PackedRows = weight._packed
        self._weight = weight
        self._packed = packed
        self.layout = packed.layout()  # of all columns
        self.array = packed.array
        self.name = name
        self.dtype = FLOAT
        self.sum_dtype = check_table_dtype(FLOAT, name).sum_dtype
        self.shape = packed.shape
        self.num_rows, self.dim = self.shape
        self._view = None
        mapped = check_mapped(self.array, name)
        self.map_advice = None if mapped is None else MapAdvice.on(mapped)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._weight, self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CodeTable":
        return self  # nothing of it changes

    @property
    def weight(self) -> Any:
        """The caller's table."""
        return self._weight

    @property
    def packed(self) -> PackedRows:
        """The packed rows."""
        return self._packed

    @property
    def is_plain(self) -> bool:
        """Return whether `pool_plain` can read the rows, without a look at memory maps before."""
        return self.map_advice is None

    def check_trainable(self, why: str) -> None:
        """Raise TypeError: codes are not trained."""
        self._refuse(why)

    def check_writeable(self, why: str) -> None:
        """Raise TypeError: codes are not changed."""
        self._refuse(why)

    def check_updatable(self) -> None:
        """Raise TypeError: codes are not trained."""
        self._refuse("training")

    def checked_values(self, values: Any, why: str) -> np.ndarray:  # noqa: ARG002
        """Raise TypeError: codes are not changed."""
        self._refuse(why)

    def state(self) -> np.ndarray:
        """Raise TypeError: the bytes are no table without their format."""
        raise TypeError(
            f"{self.name} is a QuantizedTable, which state_dict cannot hold: save it with its "
            "method save"
        )

    def _refuse(self, why: str) -> NoReturn:
        raise TypeError(
            f"{self.name} is a QuantizedTable, which is only read, but {why} needs a table of "
            "floats: give its toarray()"
        )

    def pool(
        self,
        out: np.ndarray,
        indices: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray,
        divisor: int,
        num_threads: int,
        columns: slice = ALL_COLUMNS,
    ) -> bool:
        """Write the weighted sum of each bag's rows; return whether all indices were valid."""
        layout = self._packed.layout(columns.start or 0)  # pieces start with a cache line
        bags = indices, offsets, weights
        arguments = *bags, *layout, divisor, num_threads
        return kernels.pool_codes(out, self.array, *arguments)

    def pool_plain(
        self,
        out: np.ndarray,
        ends: np.ndarray | None,
        indices: np.ndarray,
        offsets: np.ndarray | None,
        weights: Any,
        divisor: int,
        is_closed: bool,
        num_threads: int,
    ) -> bool:
        """Write the pooled bags of a caller; return whether they are plain."""
        bags = indices, offsets, weights, *self.layout, divisor, is_closed, num_threads
        return kernels.pool_plain_codes(out, ends, self.array, *bags)

    def take_extremes(
        self,
        out: np.ndarray,
        winners: np.ndarray,
        indices: np.ndarray,
        offsets: np.ndarray,
        direction: int,
        num_threads: int,
        columns: slice = ALL_COLUMNS,
    ) -> None:
        """Write the extreme of each column of each bag's rows, and its row."""
        rows = self._packed[:, columns]
        gather.extreme(out, winners, rows, indices, offsets, direction, num_threads)

    def differentiate_weights(
        self,
        out: np.ndarray,
        grad: np.ndarray,
        indices: np.ndarray,
        offsets: np.ndarray,
        weights: np.ndarray,
        divisor: int,
        num_threads: int,
    ) -> None:
        """Write the gradient of each lookup's weight."""
        lookups = indices, offsets, weights, divisor, num_threads
        gather.weights_gradient(out, grad, self._packed, *lookups)
