"""Make columns of the Arrow C data interface by hand, right ones and hostile ones.

`Column` describes a tree of arrays. `exported` and `streamed` make objects that give it to one
consumer, as pyarrow and polars do, and count the calls of the release callbacks. A released buffer
is overwritten, so that a consumer that reads it later has wrong results.
"""

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

RELEASE = ctypes.CFUNCTYPE(None, c_void_p)
GET = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p)
GET_ERROR = ctypes.CFUNCTYPE(c_void_p, c_void_p)
DESTRUCTOR = ctypes.PYFUNCTYPE(None, c_void_p)

KINDS = ("schema", "array", "stream", "child")  # only the parent of a child may release it
LETTERS = dict(zip("cCsSiIlL", ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), strict=True))
FLOATS = {"e": "f2", "f": "f4", "g": "f8"}


class SchemaStruct(ctypes.Structure):
    pass


class ArrayStruct(ctypes.Structure):
    pass


class StreamStruct(ctypes.Structure):
    pass


SchemaStruct._fields_ = [
    ("format", c_char_p),
    ("name", c_char_p),
    ("metadata", c_char_p),
    ("flags", c_int64),
    ("n_children", c_int64),
    ("children", POINTER(POINTER(SchemaStruct))),
    ("dictionary", POINTER(SchemaStruct)),
    ("release", c_void_p),
    ("private_data", c_void_p),
]
ArrayStruct._fields_ = [
    ("length", c_int64),
    ("null_count", c_int64),
    ("offset", c_int64),
    ("n_buffers", c_int64),
    ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)),
    ("children", POINTER(POINTER(ArrayStruct))),
    ("dictionary", POINTER(ArrayStruct)),
    ("release", c_void_p),
    ("private_data", c_void_p),
]
StreamStruct._fields_ = [
    ("get_schema", c_void_p),
    ("get_next", c_void_p),
    ("get_last_error", c_void_p),
    ("release", c_void_p),
    ("private_data", c_void_p),
]


@dataclass
class Column:
    """An array and its type; `array` and `schema` overwrite fields of the structs."""

    format: str | None
    length: int
    buffers: list[Any]  # arrays, or None for a null pointer
    children: list["Column"] = field(default_factory=list)
    offset: int = 0
    null_count: int = 0
    name: str = ""
    array: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> "Column":
        return replace(self, **changes)

    def sliced(self, start: int, length: int) -> "Column":
        """Return some entries of the column, which share its buffers."""
        count = -1 if self.null_count else 0
        return self.but(offset=self.offset + start, length=length, null_count=count)


class Memory:
    """Owner of structs and buffers until they are released."""

    def __init__(self) -> None:
        IMMORTAL.append(self)  # a consumer may release the structs after their owner is gone
        self.released: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.kept: list[Any] = []
        self.arrays: list[np.ndarray] = []  # of the last array

    def callback(self, what: str, struct: type) -> int:
        """Return the address of a release callback."""
        arrays = self.arrays

        def release(address: int) -> None:
            self.released[what] += 1
            struct.from_address(address).release = None
            for array in arrays if what == "array" else ():
                array.view(np.uint8).fill(0x55)

        return self.keep_function(RELEASE(release))

    def keep_function(self, function: Any) -> int:
        self.kept.append(function)
        return ctypes.cast(function, c_void_p).value

    def schema(self, column: Column, root: bool = True) -> SchemaStruct:
        children = [self.schema(child, False) for child in column.children]
        struct = SchemaStruct(
            format=None if column.format is None else column.format.encode(),
            name=column.name.encode(),
            n_children=len(children),
            children=self.pointers(SchemaStruct, children),
        )
        self.finish(struct, "schema" if root else "child", column.schema)
        return struct

    def array(self, column: Column, root: bool = True) -> ArrayStruct:
        if root:
            self.arrays = []
        children = [self.array(child, False) for child in column.children]
        addresses = [None if b is None else self.owned(b) for b in column.buffers]
        buffers = (c_void_p * len(addresses))(*addresses)
        struct = ArrayStruct(
            length=column.length,
            null_count=column.null_count,
            offset=column.offset,
            n_buffers=len(buffers),
            n_children=len(children),
            buffers=buffers,
            children=self.pointers(ArrayStruct, children),
        )
        self.kept.append(buffers)
        self.finish(struct, "array" if root else "child", column.array)
        return struct

    def owned(self, buffer: np.ndarray) -> int:
        array = np.array(buffer, order="C")  # a copy, which the release will overwrite
        if array.size == 0:
            array = np.zeros(1, array.dtype)  # an address
        self.arrays.append(array)
        return array.ctypes.data

    def pointers(self, kind: type, structs: list[Any]) -> Any:
        pointers = (POINTER(kind) * max(len(structs), 1))(*map(ctypes.pointer, structs))
        self.kept += [pointers, *structs]
        return pointers if structs else None

    def finish(self, struct: Any, what: str, changes: dict[str, Any]) -> None:
        struct.release = self.callback(what, type(struct))
        for name, value in changes.items():
            setattr(struct, name, value)
        self.kept.append(struct)

    def capsule(self, struct: Any, name: bytes) -> object:
        """Return a capsule that releases the struct, unless a consumer has moved it out."""
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, (c_void_p, c_void_p, c_void_p)

        def destroy(_: int) -> None:
            if struct.release:
                RELEASE(struct.release)(ctypes.addressof(struct))

        destructor = DESTRUCTOR(destroy)
        stored = ctypes.create_string_buffer(name)
        IMMORTAL.extend([destructor, stored, struct])
        address = ctypes.cast(destructor, c_void_p).value
        return new(ctypes.addressof(struct), ctypes.addressof(stored), address)


# Destructors may run at any time, also when the interpreter ends.
IMMORTAL: list[Any] = []


class Exported:
    """An object with ``__arrow_c_array__``."""

    def __init__(self, column: Column) -> None:
        self.memory = Memory()
        self.column = column

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[object, object]:
        memory = self.memory
        schema = memory.capsule(memory.schema(self.column), b"arrow_schema")
        return schema, memory.capsule(memory.array(self.column), b"arrow_array")


class Streamed:
    """An object with ``__arrow_c_stream__`` that gives chunks, and then an error if there is one.

    `struct` overwrites fields of the stream.
    """

    def __init__(
        self,
        chunks: list[Column],
        column: Column | None = None,
        error: bytes | None = None,
        schema_code: int = 0,
        struct: dict[str, Any] | None = None,
    ) -> None:
        self.memory = Memory()
        self.chunks, self.error, self.schema_code = chunks, error, schema_code
        self.column = chunks[0] if column is None else column
        self.struct = struct or {}
        self.made = 0

    def __arrow_c_stream__(self, requested_schema: Any = None) -> object:
        memory, left = self.memory, iter(self.chunks)
        message = ctypes.create_string_buffer(self.error or b"")

        def get_schema(_: int, out: int) -> int:
            if not self.schema_code:
                made = memory.schema(self.column)
                ctypes.memmove(out, ctypes.addressof(made), ctypes.sizeof(made))
            return self.schema_code

        def get_next(_: int, out: int) -> int:
            chunk = next(left, None)
            if chunk is None:
                ArrayStruct.from_address(out).release = None
                return 5 if self.error is not None else 0
            self.made += 1
            made = memory.array(chunk)
            ctypes.memmove(out, ctypes.addressof(made), ctypes.sizeof(made))
            return 0

        def get_last_error(_: int) -> int | None:
            return ctypes.addressof(message) if self.error else None

        stream = StreamStruct(
            memory.keep_function(GET(get_schema)),
            memory.keep_function(GET(get_next)),
            memory.keep_function(GET_ERROR(get_last_error)),
            memory.callback("stream", StreamStruct),
        )
        memory.kept.append(message)
        for name, value in self.struct.items():
            setattr(stream, name, value)
        return memory.capsule(stream, b"arrow_array_stream")


def bits(valid: Any) -> np.ndarray:
    """Return a validity buffer."""
    return np.packbits(np.asarray(valid, bool), bitorder="little")


def numbers(values: Any, letter: str = "l", valid: Any = None) -> Column:
    """Return a column of numbers."""
    array = np.array(values, {**LETTERS, **FLOATS}[letter])
    count = 0 if valid is None else int(np.sum(np.asarray(valid) == 0))
    return Column(letter, len(array), [None if valid is None else bits(valid), array], [], 0, count)


def lists(
    bags: list[list[Any]], form: str = "+l", letter: str = "l", valid: Any = None, before: int = 0
) -> Column:
    """Return a column of lists; `before` entries lie before those of the first list."""
    child = numbers([0] * before + [entry for bag in bags for entry in bag], letter)
    sizes = np.array([len(bag) for bag in bags], np.int64)
    ends = before + np.cumsum([0, *sizes])
    dtype = np.int64 if form in ("+L", "+vL") else np.int32
    count = 0 if valid is None else int(np.sum(np.asarray(valid) == 0))
    buffers: list[Any] = [None if valid is None else bits(valid)]
    if form in ("+l", "+L"):
        buffers.append(ends.astype(dtype))
    elif form.startswith("+v"):
        buffers += [ends[:-1].astype(dtype), sizes.astype(dtype)]
    return Column(form, len(bags), buffers, [child], 0, count)
