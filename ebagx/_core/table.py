"""`Table` is the only code that depends on the layout of a table's rows in memory."""

import copy
from typing import Any, Self

import numpy as np

from ebagx._core import gather
from ebagx._core.checks import as_plain_array, check_table_dtype
from ebagx._core.dtypes import kernel_view, stored_as
from ebagx._core.layout import overlaps_itself, rows_are_contiguous
from ebagx._core.levels import kernels
from ebagx._core.maps import MapAdvice, Use, in_sequence
from ebagx._core.memory import check_mapped, copy_sparsely, write_changes

ALL_COLUMNS = slice(None)


class Table:
    """An embedding table for the passes, the optimizers and the module.

    `of` checks the caller's argument and makes a table that shares its memory. Only this class
    depends on how rows are stored: passes give the other arguments of a kernel to a method of the
    table, which adds the rows. Rows stored in another way (as codes with a scale, or in several
    blocks) need a class with the same attributes and methods, and no other change.

    Parameters
    ----------
    array : ndarray of shape (N, D)
        The rows. Whether a file behind them has become shorter is not checked: see `of`.
    name : str
        Its name in error messages.

    Attributes
    ----------
    num_rows, dim : int
        N and D.
    shape : tuple of int
        (N, D).
    dtype : dtype
        Dtype of the rows, and of pooled bags.
    sum_dtype : dtype
        Dtype of sums over rows, and of gradients.
    map_advice : MapAdvice or None
        The advice to the system on the memory map of the rows, if they are in one.
    """

    __slots__ = (
        *("_view", "array", "dim", "dtype", "map_advice", "name", "num_rows", "shape", "sum_dtype"),
    )

    def __init__(self, array: np.ndarray, name: str = "weight") -> None:
        dtype, shape = array.dtype, array.shape
        cell = check_table_dtype(dtype, name)
        if len(shape) != 2:
            raise ValueError(
                f"{name} must be 2-D (num_embeddings, embedding_dim), got {len(shape)}-D"
            )
        self.array = array
        self.name = name
        self.map_advice: MapAdvice | None = None
        self.dtype: np.dtype[Any] = dtype
        self.sum_dtype = cell.sum_dtype
        self.shape: tuple[int, int] = shape
        self.num_rows, self.dim = self.shape
        # Rows in other layouts are gathered in each call, as the caller may change them in between.
        self._view = cell.kernel_view(array) if rows_are_contiguous(array) else None

    @classmethod
    def of(cls, weight: Any, name: str = "weight") -> "Table":
        """Return the table in an array, list or memory map, without a copy if it is an array.

        A memory map is advised that its rows are read in random order. Another kind of table, such
        as `QuantizedTable`, has a method that returns its own class of `Table`.

        Raises
        ------
        TypeError
            If a table cannot have its dtype.
        ValueError
            If it is not 2-D, or in a memory map whose file has become shorter.
        """
        if type(weight) is not np.ndarray and hasattr(weight, "_as_table"):
            table: Table = weight._as_table(name)
            return table
        return cls._advised(as_plain_array(weight, name), name)

    @classmethod
    def _advised(cls, array: np.ndarray, name: str) -> Self:
        table = cls(array, name)
        mapped = check_mapped(array, name)
        if mapped is not None:
            table.map_advice = MapAdvice.on(mapped)
        return table

    def __reduce__(self) -> tuple[Any, ...]:
        # The kernels' view of a copy must share memory with the copy, which may be a memory map.
        self.check_mapped()
        return type(self)._advised, (self.array, self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        array = self.array
        self.check_mapped()
        if type(array) is np.ndarray and array.flags.c_contiguous and id(array) not in memo:
            memo[id(array)] = copy_sparsely(array)
        return type(self)(copy.deepcopy(array, memo), self.name)

    def __repr__(self) -> str:
        return f"Table({self.num_rows} rows, embedding_dim={self.dim}, dtype={self.dtype})"

    @property
    def weight(self) -> Any:
        """Return the table as callers give and get it."""
        return self.array

    @property
    def has_contiguous_rows(self) -> bool:
        """Return whether kernels read and write the rows in place; others are gathered first."""
        return self._view is not None

    @property
    def is_plain(self) -> bool:
        """Return whether `pool_plain` can read the rows, without a look at memory maps before."""
        return self._view is not None and self.map_advice is None

    def check_mapped(self) -> None:
        """Raise ValueError if the table is in a memory map whose file has become shorter."""
        check_mapped(self.array, self.name)

    def check_writeable(self, why: str) -> None:
        """Raise ValueError if the table cannot be changed in place."""
        if not self.array.flags.writeable:
            raise ValueError(f"{self.name} is read-only, but {why} changes it in place")
        if overlaps_itself(self.array):
            raise ValueError(f"elements of {self.name} share memory, but {why} changes it in place")
        self.check_mapped()

    def checked_values(self, values: Any, why: str) -> np.ndarray:
        """Return an array that `overwrite` can copy into the table; change nothing.

        Raises
        ------
        ValueError, TypeError
            If shape or dtype differ, or the table cannot be changed in place.
        """
        array = stored_as(as_plain_array(values, self.name), self.dtype)
        if array.shape != self.shape:
            raise ValueError(f"{self.name} must have shape {self.shape}, got {array.shape}")
        if array.dtype != self.dtype:
            raise TypeError(f"{self.name} must have dtype {self.dtype}, got {array.dtype}")
        check_mapped(array, self.name)
        self.check_writeable(why)
        return array

    def overwrite(self, values: Any, why: str) -> None:
        """Copy an array of the table's shape and dtype into it, or raise as `checked_values`."""
        array = self.checked_values(values, why)
        with in_sequence(self.array, array):
            write_changes(self.array, array)

    def check_updatable(self) -> None:
        """Raise ValueError if no optimizer could ever update the table, for its memory layout.

        A read-only table may be meant for reading and for gradients alone.
        """
        if self.array.flags.writeable and overlaps_itself(self.array):
            raise ValueError(
                f"elements of {self.name} share memory, so it cannot be trained: give a copy, "
                "np.array(table, order='C'), or from_pretrained(table, freeze=True) to only read it"
            )

    def check_trainable(self, why: str) -> None:
        """Raise TypeError if no table of this kind has gradients."""

    def state(self) -> np.ndarray:
        """Return the array that a `state_dict` holds."""
        return self.array

    def kernel_rows(self) -> np.ndarray:
        """Return the rows as kernels take them, which must be contiguous."""
        assert self._view is not None
        return self._view

    def will_need(self, rows: np.ndarray, use: Use) -> None:
        """Ask the system for the pages of some rows, if the table is in a memory map."""
        if self.map_advice is not None:
            self.map_advice.will_need(self.array, rows, use)

    # The methods below call the kernel of the same task, with its arguments apart from the rows.
    # Only `columns` of the rows are read, as many as the output has.

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
        if self._view is None:
            rows = self.array[:, columns]
            return gather.pool(out, rows, indices, offsets, weights, divisor, num_threads)
        rows = self.kernel_rows()
        if columns is not ALL_COLUMNS:
            rows = rows[:, columns]
        return kernels.pool(out, rows, indices, offsets, weights, divisor, num_threads)

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
        """Write the pooled bags of a caller, if the table is plain; return whether they are."""
        written = out if self.dtype is self.sum_dtype else kernel_view(out)
        rows = self.kernel_rows()
        return kernels.pool_plain(
            written, ends, rows, indices, offsets, weights, divisor, is_closed, num_threads
        )

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
        if self._view is None:
            rows = self.array[:, columns]
            gather.extreme(out, winners, rows, indices, offsets, direction, num_threads)
            return
        rows = self.kernel_rows()[:, columns]
        kernels.extreme(out, winners, rows, indices, offsets, direction, num_threads)

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
        if self._view is None:
            gather.weights_gradient(out, grad, self.array, *lookups)
        else:
            kernels.weights_gradient(out, grad, self.kernel_rows(), *lookups)

    def renorm(
        self, touched: np.ndarray, max_norm: float, norm_type: float, num_threads: int
    ) -> None:
        """Scale down, in place, the touched rows whose norm is over `max_norm`."""
        if self._view is None:
            gather.renorm(self.array, touched, max_norm, norm_type, num_threads)
        else:
            kernels.renorm(self._view, touched, max_norm, norm_type, num_threads)

    def step_rows(
        self,
        first: np.ndarray,
        second: np.ndarray,
        scales: np.ndarray,
        rows: np.ndarray,
        values: np.ndarray,
        constants: np.ndarray,
        rule: int,
        num_threads: int,
    ) -> None:
        """Take one step of an optimizer, in place, on the rows of a gradient."""
        step = first, second, scales, rows, values, constants, rule, num_threads
        if self._view is None:
            gather.step_rows(self.array, *step)
        else:
            kernels.step_rows(self._view, *step)
