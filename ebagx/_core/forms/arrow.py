"""Take columns of lists by the Arrow C data interface: pyarrow, polars, pandas, nanoarrow, DuckDB.

An object with ``__arrow_c_stream__`` or ``__arrow_c_array__`` gives its memory, and no package is
imported. The arrays made here share that memory and keep it alive. They are copied only if there
are several chunks, lists out of order (list views), or something below null lists.

A null list is an empty bag. A null below a list is missing. What the producer says of its structure
is checked, except for the lengths of buffers, which the interface does not have.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from ebagx._core.arguments import shown
from ebagx._core.arrow import Node, Stream, take_array, take_stream
from ebagx._core.forms.entries import INTEGERS, Entries, EntryKind, Missing, joined_entries
from ebagx._core.forms.source import Joined, valid_offsets

# Formats of the interface, and the dtype of offsets or of values.
_Dtypes = dict[str, np.dtype[Any]]
_LISTS: _Dtypes = {"+l": np.dtype(np.int32), "+L": np.dtype(np.int64)}
_VIEWS: _Dtypes = {"+vl": np.dtype(np.int32), "+vL": np.dtype(np.int64)}
_INTEGERS: _Dtypes = {
    "c": np.dtype(np.int8),
    "C": np.dtype(np.uint8),
    "s": np.dtype(np.int16),
    "S": np.dtype(np.uint16),
    "i": np.dtype(np.int32),
    "I": np.dtype(np.uint32),
    "l": np.dtype(np.int64),
    "L": np.dtype(np.uint64),
}
_FLOATS: _Dtypes = {
    "e": np.dtype(np.float16),
    "f": np.dtype(np.float32),
    "g": np.dtype(np.float64),
}

_NULL = "n"  # a column, or empty lists, in which the producer has seen no value

_LARGEST = 1 << 48  # entries; more cannot be in memory, and addresses cannot overflow


class _Column(NamedTuple):
    """The type of a column: the format of its lists, or "" if it has none, and its values."""

    list_format: str
    dtype: np.dtype[Any] | None  # None: of the null type, every value is null
    in_struct: bool  # the column is the only one of a table


class _Facts(NamedTuple):
    """The numbers of an array, as its producer gives them."""

    length: int
    null_count: int  # -1: unknown
    offset: int  # entries before the first in each buffer
    n_buffers: int
    n_children: int
    has_dictionary: bool

    @classmethod
    def of(cls, node: Node) -> Self:
        return cls(*node.facts())


def is_arrow(value: Any) -> bool:
    """Return whether an object gives its memory by the Arrow interface.

    Columns of pandas that have a NumPy dtype, or numbers with one of pandas' own, do not need it.
    """
    if not (hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")):
        return False
    return getattr(getattr(value, "dtype", None), "kind", None) is None or (
        value.dtype.kind == "O" and not isinstance(value.dtype, np.dtype)
    )


def read_arrow(value: Any, name: str, kind: EntryKind) -> Joined | None:
    """Return a column of numbers, or of lists of them; None if NumPy should take the object.

    Raises
    ------
    TypeError
        If the column has another type, named by its format.
    ValueError
        If its structure is not consistent, or its producer fails.
    """
    if getattr(value, "ndim", 1) != 1:  # a frame of pandas
        return None
    source = _open(value, name)
    if source is None:
        return None
    try:
        column = _column_of(_schema_of(source, name), value, name, kind)
        if column is None:
            return None
        chunks = [_chunk(node, column, name) for node in _nodes(source, name)]
    finally:
        if isinstance(source, Stream):
            source.close()
    return _joined(chunks, column, kind)


def _open(value: Any, name: str) -> Node | Stream | None:
    try:
        if hasattr(value, "__arrow_c_stream__"):
            stream = take_stream(value.__arrow_c_stream__())
            if stream is not None:
                return stream
        else:
            pair = value.__arrow_c_array__()
            if isinstance(pair, tuple) and len(pair) == 2:
                node = take_array(*pair)
                if node is not None:
                    return node
    except ImportError:  # pandas without pyarrow
        return None
    raise ValueError(
        f"{name} must give new Arrow capsules: these are of another kind, or were used before"
    )


def _schema_of(source: Node | Stream, name: str) -> tuple[Any, ...]:
    schema = source.schema() if isinstance(source, Stream) else source.schema
    if schema is None:
        raise _failed(source, name)
    return schema


def _failed(source: Any, name: str) -> ValueError:
    return ValueError(f"the Arrow stream of {name} failed: {source.error}")


def _nodes(source: Node | Stream, name: str) -> Iterator[Node]:
    if isinstance(source, Node):
        yield source
        return
    while (node := source.next()) is not None:
        yield node
    if source.error is not None:
        raise _failed(source, name)


def _column_of(schema: tuple[Any, ...], value: Any, name: str, kind: EntryKind) -> _Column | None:
    """Return the type of a column; None if it has no lists, and NumPy can take it."""
    form, _, _, count, children = schema
    has_array = hasattr(value, "__array__")
    if form == "+s":
        if count == 1 and len(children) == 1 and not has_array:
            column = _column_of(children[0], value, name, kind)
            return None if column is None else column._replace(in_struct=True)
        if has_array and not any(_is_list(child[0]) for child in children):
            return None
        names = ", ".join(child[1] for child in children) + ", ..." * (count > len(children))
        raise TypeError(f"{name} is an Arrow table of the columns {names}: pass one of them")
    entry, lists = schema, ""
    if _is_list(form):
        if count != 1 or len(children) != 1:
            raise _inconsistent(name, f"a list type with {count} children")
        entry, lists = children[0], form
    dtypes = _INTEGERS if kind is INTEGERS else _INTEGERS | _FLOATS
    dtype = None if entry[2] else dtypes.get(entry[0])
    if dtype is not None or (entry[0] == _NULL and not entry[2]):
        return _Column(lists, dtype, False)
    if has_array and not lists:
        return None
    given = f"{shown(lists)} of {shown(entry[0])}" if lists else shown(entry[0])
    raise TypeError(
        f"{name} must be a column of {kind.plural} or of lists of them, got Arrow format {given}"
        + " with a dictionary" * entry[2]
    )


def _is_list(form: str) -> bool:
    return form in _LISTS or form in _VIEWS or _width(form) is not None


def _width(form: str) -> int | None:
    """Return the length of the lists of a format in which all have the same, otherwise None."""
    digits = form[3:]
    is_fixed = form.startswith("+w:") and digits.isascii() and digits.isdecimal()
    return int(digits) if is_fixed and len(digits) < 15 else None


def _inconsistent(name: str, what: str) -> ValueError:
    return ValueError(f"{name} is inconsistent Arrow data: {what}")


def _chunk(node: Node, column: _Column, name: str) -> Joined:
    """Return one array of a column."""
    length, _, start, *_ = node.facts()
    if column.in_struct:
        _check_node(node, 1, 1, name)
        if _nulls(node, start, length, name) is not None:
            raise _inconsistent(name, "null rows of a table")
        node = _child(node, name)
        rows, _, offset, *_ = node.facts()
        if start + length > rows:
            raise _inconsistent(name, f"{start + length} rows, and {rows} in the column")
        start += offset
    if not column.list_format:
        return Joined(_entries(node, start, length, column.dtype, name), None)
    if column.list_format in _LISTS:
        return _lists(node, start, length, column, name)
    return _other_lists(node, start, length, column, name)


def _check_node(node: Node, n_buffers: int | None, n_children: int, name: str) -> None:
    facts = _Facts.of(node)
    for what in ("length", "offset"):
        size = getattr(facts, what)
        if not 0 <= size < _LARGEST:
            raise _inconsistent(name, f"{what} {size}")
    if not -1 <= facts.null_count <= facts.length:
        raise _inconsistent(name, f"{facts.null_count} nulls of {facts.length}")
    if n_buffers is not None and facts.n_buffers != n_buffers:
        raise _inconsistent(name, f"{facts.n_buffers} buffers instead of {n_buffers}")
    if facts.n_children != n_children:
        raise _inconsistent(name, f"{facts.n_children} children instead of {n_children}")
    if facts.has_dictionary:
        raise _inconsistent(name, "a dictionary that its type does not have")


def _child(node: Node, name: str) -> Node:
    child = node.child()
    if child is None:
        raise _inconsistent(name, "a child is missing")
    return child


def _buffer(
    node: Node, number: int, start: int, length: int, dtype: np.dtype[Any], name: str
) -> np.ndarray:
    """Return entries of a buffer, read-only and not copied."""
    if length == 0:
        return np.empty(0, dtype)
    memory = node.memory(number, start * dtype.itemsize, length * dtype.itemsize)
    if memory is None:
        raise _inconsistent(name, f"buffer {number} of {length} entries is missing")
    array: np.ndarray = np.frombuffer(memory, dtype)
    return array


def _nulls(node: Node, start: int, length: int, name: str) -> np.ndarray | None:
    """Return which of some entries are null; None if none is."""
    null_count = _Facts.of(node).null_count
    if null_count == 0 or length == 0:
        return None
    skipped = start % 8
    memory = node.memory(0, start // 8, (skipped + length + 7) // 8)
    if memory is None:
        if null_count > 0:
            raise _inconsistent(name, f"{null_count} nulls without a buffer")
        return None
    bits = np.unpackbits(np.frombuffer(memory, np.uint8), bitorder="little")
    mask: np.ndarray = bits[skipped : skipped + length] == 0
    return mask if mask.any() else None


def _entries(
    node: Node, start: int, length: int, dtype: np.dtype[Any] | None, name: str
) -> Entries:
    """Return numbers from a place on, and which are null."""
    if dtype is None:
        _check_node(node, None, 0, name)  # Some producers give buffers, which are not read.
        values = np.zeros(length, np.int64)
        return Entries(values, Missing(values == 0, "null") if length else None)
    _check_node(node, 2, 0, name)
    values = _buffer(node, 1, start, length, dtype, name)
    mask = _nulls(node, start, length, name)
    return Entries(values, None if mask is None else Missing(mask, "null"))


def _lists(node: Node, start: int, length: int, column: _Column, name: str) -> Joined:
    """Return lists that lie one after the other."""
    _check_node(node, 2, 1, name)
    dtype = _LISTS[column.list_format]
    ends = np.zeros(1, dtype)
    if length:
        ends = _buffer(node, 1, start, length + 1, dtype, name)
    child = _child(node, name)
    count, _, before, *_ = child.facts()
    first, last = int(ends[0]), int(ends[-1])
    if not 0 <= first <= last <= count:
        raise _inconsistent(name, f"lists from {first} to {last} of {count} entries")
    offsets = valid_offsets(
        ends if first == 0 else ends - ends[0], f"the Arrow offsets of {name}", last - first, True
    )
    mask = _nulls(node, start, length, name)
    if mask is not None and np.diff(offsets)[mask].any():
        starts = offsets[:-1].astype(np.int64) + first
        return _gathered(child, starts, np.where(mask, 0, np.diff(offsets)), column, name)
    entries = _entries(child, before + first, last - first, column.dtype, name)
    return Joined(entries, offsets)


def _other_lists(node: Node, start: int, length: int, column: _Column, name: str) -> Joined:
    """Return lists of a fixed length, or that may lie in any order."""
    width = _width(column.list_format)
    _check_node(node, 3 if width is None else 1, 1, name)
    child = _child(node, name)
    count, _, before, *_ = child.facts()
    mask = _nulls(node, start, length, name)
    if width is None:
        dtype = _VIEWS[column.list_format]
        starts = _buffer(node, 1, start, length, dtype, name).astype(np.int64)
        sizes = _buffer(node, 2, start, length, dtype, name).astype(np.int64)
    else:
        if width and start + length > count // width:
            what = f"{start + length} lists of {width} in {count} entries"
            raise _inconsistent(name, what)
        if mask is None:
            entries = _entries(child, before + start * width, length * width, column.dtype, name)
            return Joined(entries, np.arange(length + 1) * width)
        starts = (start + np.arange(length)) * width
        sizes = np.full(length, width)
    if mask is not None:
        starts, sizes = np.where(mask, 0, starts), np.where(mask, 0, sizes)
    outside = (starts < 0) | (sizes < 0) | (starts > count - sizes)
    if outside.any():
        b = int(np.argmax(outside))
        what = f"list {b} of {sizes[b]} at {starts[b]} of {count} entries"
        raise _inconsistent(name, what)
    if length and mask is None and np.array_equal(starts[1:], starts[:-1] + sizes[:-1]):
        first, total = int(starts[0]), int(sizes.sum())
        entries = _entries(child, before + first, total, column.dtype, name)
        return Joined(entries, np.append(starts, first + total) - first)
    return _gathered(child, starts, sizes, column, name)


def _gathered(
    child: Node, starts: np.ndarray, sizes: np.ndarray, column: _Column, name: str
) -> Joined:
    """Return a copy of lists side by side, in their order."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    count, _, before, *_ = child.facts()
    values, missing = _entries(child, before, count, column.dtype, name)
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], sizes)
    if missing is not None:
        mask = missing.mask[places]
        missing = missing._replace(mask=mask) if mask.any() else None
    return Joined(Entries(values[places], missing), offsets)


def _joined(chunks: list[Joined], column: _Column, kind: EntryKind) -> Joined:
    """Return the chunks of a column as one."""
    if len(chunks) == 1:
        return chunks[0]
    entries = joined_entries([chunk.entries for chunk in chunks], kind)
    if not column.list_format:
        return Joined(entries, None)
    ends, total = [np.zeros(1, np.int64)], 0
    for chunk in chunks:
        assert chunk.offsets is not None
        ends.append(chunk.offsets[1:] + np.int64(total))
        total += int(chunk.offsets[-1])
    return Joined(entries, np.concatenate(ends))
