# cython: auto_pickle=False
"""Take arrays out of the capsules of the Arrow C data interface, and release them.

https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html have the three
structs, and CDataInterface/PyCapsuleInterface.html the capsules in which Python objects give them.

A struct is moved out of its capsule, so that the capsule and other consumers cannot release it any
more, and is released when the last `Node` and memoryview of it is gone: NumPy arrays keep them.
Functions here return None for structs that cannot be taken; the Python code raises. The interface
has no lengths of buffers, so that a producer that lies about its lengths can crash every consumer.
"""

from cpython.buffer cimport Py_buffer, PyBuffer_FillInfo
from cpython.memoryview cimport PyMemoryView_FromObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from libc.stdint cimport int64_t
from libc.string cimport memset, strlen

cdef struct Schema:
    const char* format
    const char* name
    const char* metadata
    int64_t flags
    int64_t n_children
    Schema** children
    Schema* dictionary
    void (*release)(Schema*) noexcept
    void* private_data

cdef struct Array:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void** buffers
    Array** children
    Array* dictionary
    void (*release)(Array*) noexcept
    void* private_data

cdef struct ArrayStream:
    int (*get_schema)(ArrayStream*, Schema*) noexcept nogil
    int (*get_next)(ArrayStream*, Array*) noexcept nogil
    const char* (*get_last_error)(ArrayStream*) noexcept nogil
    void (*release)(ArrayStream*) noexcept nogil
    void* private_data

# Longer tables are not described further than this.
cdef enum:
    MAX_CHILDREN = 8
    MAX_DEPTH = 2


cdef str text_of(const char* text):
    if text == NULL:
        return ""
    return bytes(text[:strlen(text)]).decode("utf-8", "replace")


cdef tuple described(const Schema* schema, int depth):
    # Returns format, name, whether there is a dictionary, number of children, the first children.
    children = []
    cdef int64_t i, count = 0 if schema.children == NULL else schema.n_children
    # Only lists and structs are read: what a struct of another type points to is unknown here.
    if depth and schema.format != NULL and schema.format[0] == b"+":
        for i in range(count if count < MAX_CHILDREN else MAX_CHILDREN):
            if schema.children[i] != NULL:
                children.append(described(schema.children[i], depth - 1))
    return (
        text_of(schema.format), text_of(schema.name), schema.dictionary != NULL,
        schema.n_children, tuple(children),
    )


cdef class Node:
    """An array, or a child of one; it keeps the memory of the whole array."""

    cdef Array root       # of the node that owns the array; `release` is NULL in others
    cdef Array* array
    cdef object owner
    cdef readonly tuple schema

    def __dealloc__(self):
        if self.root.release != NULL:
            self.root.release(&self.root)

    def facts(self) -> tuple:
        """Return length, nulls (-1: unknown), offset, buffers, children, if it has a dictionary."""
        cdef Array* a = self.array
        return (
            a.length, a.null_count, a.offset, a.n_buffers, a.n_children, a.dictionary != NULL,
        )

    def child(self) -> object:
        """Return the first child; None if it is missing or was released."""
        if self.array.n_children < 1 or self.array.children == NULL:
            return None
        cdef Array* first = self.array.children[0]
        if first == NULL or first.release == NULL:
            return None
        cdef Node node = Node()
        node.array = first
        node.owner = self
        return node

    def memory(self, Py_ssize_t number, Py_ssize_t start, Py_ssize_t size, /) -> object:
        """Return a memoryview of bytes of a buffer that exists by its number; None without it."""
        if self.array.buffers == NULL or self.array.buffers[number] == NULL:
            return None
        cdef _Memory memory = _Memory()
        memory.data = <char*>self.array.buffers[number] + start
        memory.size = size
        memory.owner = self
        return PyMemoryView_FromObject(memory)


cdef class _Memory:
    """Bytes of a buffer, which NumPy reads by the buffer protocol."""

    cdef char* data
    cdef Py_ssize_t size
    cdef object owner

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.size, 1, flags)


cdef Node owner_of(Array* taken, tuple schema):
    # Moves an array into a new node.
    cdef Node node = Node()
    node.root = taken[0]
    taken.release = NULL
    node.array = &node.root
    node.schema = schema
    return node


cdef tuple taken_schema(Schema* schema):
    # Describes a schema, and releases it.
    try:
        return described(schema, MAX_DEPTH)
    finally:
        if schema.release != NULL:
            schema.release(schema)


def take_array(schema, array, /) -> object:
    """Move the array out of two capsules; None if these are no such capsules, or used before."""
    if not PyCapsule_IsValid(schema, "arrow_schema"):
        return None
    if not PyCapsule_IsValid(array, "arrow_array"):
        return None
    cdef Schema* of_type = <Schema*>PyCapsule_GetPointer(schema, "arrow_schema")
    cdef Array* values = <Array*>PyCapsule_GetPointer(array, "arrow_array")
    if of_type.release == NULL or values.release == NULL:
        return None
    cdef Schema moved = of_type[0]
    of_type.release = NULL
    return owner_of(values, taken_schema(&moved))


cdef class Stream:
    """Arrays that come one by one; `error` says why there is no schema or no further array."""

    cdef ArrayStream stream
    cdef readonly object error

    def __dealloc__(self):
        self.close()

    cpdef close(self):
        """Release the stream."""
        cdef ArrayStream moved = self.stream
        self.stream.release = NULL
        if moved.release != NULL:
            with nogil:  # threads of the producer may wait for it
                moved.release(&moved)

    cdef bint failed(self, int code):
        if code == 0:
            return False
        cdef const char* text = NULL
        if self.stream.get_last_error != NULL:
            text = self.stream.get_last_error(&self.stream)
        self.error = text_of(text) or f"error {code}"
        return True

    def schema(self) -> object:
        """Return the schema as `Node.schema`; None if there is an error."""
        cdef Schema schema
        cdef int code
        memset(&schema, 0, sizeof(schema))
        if self.stream.release == NULL or self.stream.get_schema == NULL:
            self.error = "it has no schema"
            return None
        with nogil:
            code = self.stream.get_schema(&self.stream, &schema)
        if self.failed(code):
            return None
        if schema.release == NULL:
            self.error = "it has no schema"
            return None
        return taken_schema(&schema)

    def next(self) -> object:
        """Return the next array; None at the end, and if there is an error."""
        cdef Array array
        cdef int code
        memset(&array, 0, sizeof(array))
        if self.stream.release == NULL or self.stream.get_next == NULL:
            self.error = "it has no arrays"
            return None
        with nogil:
            code = self.stream.get_next(&self.stream, &array)
        if self.failed(code) or array.release == NULL:
            return None
        return owner_of(&array, None)


def take_stream(capsule, /) -> object:
    """Move the stream out of a capsule; None if this is no such capsule, or used before."""
    if not PyCapsule_IsValid(capsule, "arrow_array_stream"):
        return None
    cdef ArrayStream* given = <ArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if given.release == NULL:
        return None
    cdef Stream stream = Stream()
    stream.stream = given[0]
    given.release = NULL
    return stream
