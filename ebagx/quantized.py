"""`QuantizedTable` holds an embedding table in 8, 4 or 2 bits a value; `quantize` makes one."""

import os
from typing import Any, Self

import numpy as np

from ebagx._core.arguments import check_flag, check_one_of
from ebagx._core.checks import check_table_dtype
from ebagx._core.layout import with_contiguous_rows
from ebagx._core.memory import aligned_empty, check_mapped
from ebagx._core.quantized import file, rounding
from ebagx._core.quantized.formats import FLOAT, FORMATS, HALF, RowFormat, check_bits
from ebagx._core.quantized.packed import PackedRows, are_exact
from ebagx._core.quantized.table import CodeTable
from ebagx._core.table import Table

__all__ = ["QuantizedTable", "quantize"]

_BLOCK = 1 << 16  # values that are quantised at once: some arrays of them fit in a cache


class QuantizedTable:
    r"""An embedding table of codes of 8, 4 or 2 bits, with a scale and a bias for each row.

    `quantize` makes one of a table of floats, `from_packed` of PyTorch's or FBGEMM's packed rows,
    and `load` reads one from a file. It takes the place of the table, to read from, in
    `embedding_bag`, `EmbeddingBag.from_pretrained`, `EmbeddingBagCollection` and
    `EmbeddingBagTransformer`. It is never changed: to train, take `toarray`.

    Attributes
    ----------
    shape : tuple of int
        (N, D): rows and columns.
    bits : int
        Bits of a code: 8, 4 or 2.
    nbytes : int
        Bytes of all rows.

    See Also
    --------
    quantize : Quantise a table.

    Notes
    -----
    The value of a code is ``float32(float32(scale * code) + bias)``. Each call gives the bits that
    it gives for ``toarray()``, in every mode, and reads a quarter, an eighth or a sixteenth as many
    bytes. A row takes ``ceil(D * bits / 8)`` bytes, and 4 or 8 for scale and bias.

    In the modes max and min, and for gradients of per-sample weights, the values of a megabyte of
    rows at a time are computed first. Nothing ever makes those of the whole table but `toarray`.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.arange(12, dtype=np.float32).reshape(3, 4)
    >>> quantized = ebagx.quantize(table, bits=4)
    >>> quantized
    QuantizedTable(3, 4, bits=4)
    >>> quantized.nbytes, table.nbytes
    (18, 48)
    >>> ebagx.embedding_bag([[0, 2]], quantized).round(2)
    array([[4., 5., 6., 7.]], dtype=float32)
    """

    __slots__ = ("__weakref__", "_packed")

    _packed: PackedRows

    def __init__(self) -> None:
        raise TypeError("QuantizedTable has no constructor: use quantize, from_packed or load")

    @classmethod
    def _of(cls, packed: PackedRows) -> Self:
        table = object.__new__(cls)
        table._packed = packed
        return table

    @classmethod
    def _unpickled(cls, array: np.ndarray, format: RowFormat, dim: int, is_exact: bool) -> Self:
        return cls._of(PackedRows(array, format, dim, is_exact))

    @classmethod
    def from_packed(cls, array: Any, format: str) -> Self:
        """Return the table in rows that another tool has packed.

        Parameters
        ----------
        array : array_like of uint8, of shape (N, bytes)
            The packed rows. An array or memory map whose rows are contiguous is not copied: do not
            change it afterwards.
        format : str
            "torch_byte", "torch_4bit" or "torch_2bit" for what
            ``torch.ops.quantized.embedding_bag_byte_prepack`` and its like return; "fbgemm_int8",
            "fbgemm_int4" or "fbgemm_int2" for rows of FBGEMM's table batched embeddings.

        Returns
        -------
        QuantizedTable
            Its values are those of the other tool's function that unpacks the rows.

        Raises
        ------
        ValueError
            If the array is not 2-D, a row is too short, or a scale or bias is not finite.
        TypeError
            If the array is not of uint8.

        Notes
        -----
        PyTorch's and FBGEMM's own pooled sums may differ in the last bits, as they multiply and add
        in another order. Cost: one look at the scale and bias of each row.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> row = np.array([0, 1, 2], np.uint8), np.array([0.5, -1], np.float32).view(np.uint8)
        >>> table = ebagx.QuantizedTable.from_packed([np.concatenate(row)], "torch_byte")
        >>> table.toarray()
        array([[-1. , -0.5,  0. ]], dtype=float32)
        """
        check_one_of(format, "format", FORMATS)
        row_format = FORMATS[format]
        given = np.asarray(array)
        if given.dtype != np.uint8:
            raise TypeError(f"array must have dtype uint8, got {given.dtype}")
        if given.ndim != 2:
            raise ValueError(f"array must be 2-D (num_embeddings, bytes), got {given.ndim}-D")
        size = given.shape[1] - row_format.constant_bytes
        if size < 0:
            raise ValueError(
                f"rows of {format} have at least {row_format.constant_bytes} bytes, "
                f"got {given.shape[1]}"
            )
        check_mapped(given, "array")
        rows, dim = with_contiguous_rows(given), size * row_format.per_byte
        return cls._of(PackedRows.checked(rows, row_format, dim, "array"))

    def to_packed(self, format: str) -> np.ndarray:
        """Return the rows in the format of another tool.

        Parameters
        ----------
        format : str
            As in `from_packed`.

        Returns
        -------
        ndarray of shape (N, bytes), uint8
            A copy.

        Raises
        ------
        ValueError
            If the format has another number of bits, has no room for the last columns, or keeps
            float16 and a scale or bias is not one.

        Examples
        --------
        >>> import numpy as np, ebagx
        >>> quantized = ebagx.quantize(np.eye(4), bits=2)
        >>> quantized.to_packed("torch_2bit").shape
        (4, 5)
        """
        check_one_of(format, "format", FORMATS)
        to, packed = FORMATS[format], self._checked()
        own, dim = packed.format, packed.dim
        if to.bits != own.bits:
            fitting = " or ".join(repr(name) for name in FORMATS if FORMATS[name].bits == own.bits)
            raise ValueError(f"format must be {fitting} for {own.bits} bits, got {format!r}")
        if dim % to.per_byte:
            raise ValueError(
                f"{format} needs a multiple of {to.per_byte} columns, got {dim}: add columns of 0 "
                "before quantising"
            )
        array = np.empty((len(packed), to.row_bytes(dim)), np.uint8)
        for part in packed.blocks():
            rows = packed.array[part]
            constants = own.constants(rows, dim)
            with np.errstate(over="ignore"):
                stored = constants.astype(to.dtype)
            lost = (stored != constants).any(axis=1)
            if lost.any():
                raise ValueError(
                    f"row {part.start + int(np.argmax(lost))} has a scale or bias that is no "
                    f"float16, which {format} keeps"
                )
            to.write(array[part], own.codes(rows, dim), stored)
        return array

    @classmethod
    def load(cls, path: str | os.PathLike[str], mmap: bool = True) -> Self:
        """Return the table in a file that `save` has written.

        Parameters
        ----------
        path : path-like
            The file.
        mmap : bool, default=True
            Leave the rows in the file, as a read-only memory map: calls read the rows that they
            look up, and processes share the memory. False reads all of it.

        Returns
        -------
        QuantizedTable

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not such a file, or is damaged.

        Notes
        -----
        Cost: one look at the scale and bias of each row, also in a memory map. Damaged codes cannot
        be seen, but no content of a file makes a call read outside of it.
        """
        check_flag(mmap, "mmap")
        return cls._of(file.load(path, bool(mmap)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a file of 64 bytes more than `nbytes`.

        Parameters
        ----------
        path : path-like
            The file. One of this name is replaced when the new one is complete.

        Raises
        ------
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import numpy as np, ebagx, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ebagx.quantize(np.eye(4)).save(f"{folder}/table.ebagx")
        ...     table = ebagx.QuantizedTable.load(f"{folder}/table.ebagx", mmap=False)
        >>> table.toarray()[3].round(3)
        array([0., 0., 0., 1.], dtype=float32)
        """
        file.save(self._checked(), path)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (N, D)."""
        return self._packed.shape

    @property
    def bits(self) -> int:
        """The bits of a code: 8, 4 or 2."""
        return self._packed.format.bits

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return int(self._packed.array.nbytes)

    def toarray(self) -> np.ndarray:
        """Return the values (N, D), in float32."""
        return self._checked().__array__()

    def __len__(self) -> int:
        return len(self._packed)

    def __repr__(self) -> str:
        num_rows, dim = self.shape
        return f"{type(self).__name__}({num_rows}, {dim}, bits={self.bits})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        packed = self._checked()
        return type(self)._unpickled, (packed.array, packed.format, packed.dim, packed.is_exact)

    def _checked(self) -> PackedRows:
        check_mapped(self._packed.array, "the table")
        return self._packed

    def _as_table(self, name: str) -> Table:
        return CodeTable(self, name)


def table_of_rows(packed: PackedRows) -> QuantizedTable:
    """Return the table in packed rows, which must have been checked, without a copy."""
    return QuantizedTable._of(packed)


def quantize(table: Any, bits: int = 8) -> QuantizedTable:
    r"""Return a table in 8, 4 or 2 bits a value.

    Parameters
    ----------
    table : array_like of shape (N, D), float16, bfloat16, float32 or float64
        The table, such as the `weight` of an `EmbeddingBag`; it is read in blocks, also from a
        memory map.
    bits : {8, 4, 2}, default=8
        Bits of a value. Each row has a scale and a bias, too.

    Returns
    -------
    QuantizedTable

    Raises
    ------
    ValueError
        If a value is NaN or infinite or too large for float32, or `bits` or the number of
        dimensions is wrong.
    TypeError
        If the dtype is not supported.

    Notes
    -----
    A row of equal values keeps them exactly. Otherwise 256, 16 or 4 values lie evenly between the
    smallest and the largest value of the row, and each value goes to the nearest. With 4 and 2 bits
    a search for each row cuts off parts of both ends, as long as that makes the sum of the squared
    errors smaller. The root mean square error, relative to the standard deviation of normally
    distributed rows of 32 columns, is about 0.005, 0.07 and 0.3.

    With 8 bits, scale and bias are float32. With 4 and 2 bits they are float16 if no row loses by
    it, otherwise, for instance if values are over 65,504 or a row has equal values that float16 has
    not, float32 in all rows.

    Cost: on one thread, about 40 nanoseconds a value with 8 bits, and 200 with the search; memory:
    the result.

    Examples
    --------
    >>> import numpy as np, ebagx
    >>> table = np.random.default_rng(0).standard_normal((1000, 64))
    >>> quantized = ebagx.quantize(table)
    >>> quantized.nbytes / table.nbytes
    0.140625
    >>> bool(np.abs(quantized.toarray() - table).max() < 0.02)
    True
    """
    bits = check_bits(bits)
    if isinstance(table, QuantizedTable):
        raise TypeError("table is quantised already: quantize its toarray()")
    array = np.asarray(table)
    check_table_dtype(array.dtype, "table")
    if array.ndim != 2:
        raise ValueError(f"table must be 2-D (num_embeddings, embedding_dim), got {array.ndim}-D")
    check_mapped(array, "table")
    num_rows, dim = array.shape
    step = max(_BLOCK // max(dim, 1), 1)
    blocks = [slice(start, start + step) for start in range(0, num_rows, step)]
    fits = bits < 8  # the 4 bytes count, and 8 bits are faster in float32
    for part in blocks:
        rows = _as_float32(array[part])
        rounding.check_rows(rows, part.start, "table")
        fits = fits and rounding.fit_half(rows, bits)
    layout = RowFormat(int(bits), HALF if fits else FLOAT)
    packed = aligned_empty((num_rows, layout.row_bytes(dim)), np.dtype(np.uint8))
    is_exact = True
    for part in blocks:
        codes, constants = rounding.quantise_rows(_as_float32(array[part]), layout)
        layout.write(packed[part], codes, constants)
        is_exact &= are_exact(constants, layout.bits)
    return QuantizedTable._of(PackedRows(packed, layout, dim, is_exact))


def _as_float32(rows: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        return rows.astype(FLOAT, copy=False)
